#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace onnxport {

/// Where the bytes of a member lie in the archive.
struct ZipMember {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
};

/// The members of a zip archive in memory (also zip64) by their names; `origin` names the archive in messages.
///
/// Stored members only, as torch.save writes them: each is a run of the archive's own bytes, so no archive can hold
/// more than its size. Throws Error(InvalidCheckpoint): no archive, truncated, members that are compressed or
/// encrypted, that overlap each other or the directory, that lie outside the archive, two of one name, archives of
/// several volumes, a directory that contradicts the members' own headers.
std::map<std::string, ZipMember, std::less<>> read_zip_directory(std::span<const std::byte> archive,
                                                                 std::string_view origin);

}  // namespace onnxport
