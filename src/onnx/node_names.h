#pragma once

#include <filesystem>
#include <functional>
#include <set>
#include <span>
#include <string>

#include "onnx/model.h"

namespace onnxport::onnx {

/// Calls `visit` with all nodes of all models, those in branches too. Throws Error(InvalidModel).
void for_each_node(std::span<const std::filesystem::path> files, const std::function<void(const Node&)>& visit);

/// What a user names must exist: throws Error(InvalidArgument), "no node is called "x" in model.onnx (nearest: y)", for
/// the first of `names` that is not in `known`. `what` is "node is called" or "operator is called".
void check_known(std::span<const std::string> names, const std::set<std::string>& known, std::string_view what,
                 std::span<const std::filesystem::path> files);

}  // namespace onnxport::onnx
