#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace onnxport {

/// The up to `count` candidates most alike to a name (by edit distance), best first; unlike ones are left out.
std::vector<std::string> nearest(std::string_view name, std::span<const std::string> candidates, std::size_t count = 3);

/// " (nearest: a, b)" for the end of a message, empty if nothing is near.
std::string describe_nearest(std::string_view name, std::span<const std::string> candidates);

}  // namespace onnxport
