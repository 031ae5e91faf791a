// Zip archives: members one after another, each behind a header of its own, then the central directory, then a record
// of where that begins. PKWARE's APPNOTE.TXT 6.3.10.

#include "checkpoint/zip.h"

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

#include "checkpoint/byte_reader.h"
#include "onnxport/json.h"

namespace onnxport {
namespace {

constexpr std::uint32_t kLocalHeader = 0x04034b50;
constexpr std::uint32_t kCentralHeader = 0x02014b50;
constexpr std::uint32_t kEndOfDirectory = 0x06054b50;
constexpr std::uint32_t kEndOfDirectory64 = 0x06064b50;
constexpr std::uint32_t kLocator64 = 0x07064b50;

constexpr std::uint64_t kLocalHeaderBytes = 30;
constexpr std::uint64_t kCentralHeaderBytes = 46;
constexpr std::uint64_t kEndBytes = 22;
constexpr std::uint64_t kLocator64Bytes = 20;
constexpr std::uint64_t kMaximumComment = 0xffff;

/// In place of a number that does not fit: the number is in a zip64 field then.
constexpr std::uint32_t kIn64 = 0xffffffff;
constexpr std::uint16_t kIn64Short = 0xffff;
constexpr std::uint16_t kExtra64 = 1;

// Bits of a member's flags: encrypted, patched, strongly encrypted, header masked.
constexpr std::uint16_t kRefusedFlags = 0x0001 | 0x0020 | 0x0040 | 0x2000;

/// Where the central directory lies, and how many members it lists.
struct Directory {
  std::uint64_t offset;
  std::uint64_t size;
  std::uint64_t count;
  std::uint64_t end;  ///< where the records behind it begin
};

struct CentralEntry {
  std::string name;
  std::uint16_t flags;
  std::uint16_t method;
  std::uint64_t compressed_size;
  std::uint64_t size;
  std::uint64_t header_offset;
};

/// The end record is the archive's last, but for a comment whose length it states.
std::uint64_t find_end_record(ByteReader archive) {
  if (archive.size() >= kEndBytes) {
    const std::uint64_t last = archive.size() - kEndBytes;
    const std::uint64_t first = last - std::min(last, kMaximumComment);
    for (std::uint64_t position = last + 1; position-- > first;) {
      archive.seek(position);
      if (archive.number<std::uint32_t>() != kEndOfDirectory) continue;
      archive.seek(position + kEndBytes - 2);
      if (archive.number<std::uint16_t>() == archive.size() - position - kEndBytes) return position;
    }
  }
  archive.fail(
      "is a truncated zip archive: it has no directory at its end; it may not have been downloaded completely");
}

Directory read_end_record64(ByteReader archive, std::uint64_t position) {
  archive.seek(position);
  if (archive.number<std::uint32_t>() != kEndOfDirectory64) archive.fail("has a corrupt zip64 directory");
  archive.skip(8 + 2 + 2);  // its size, the versions made by and needed
  const auto disk = archive.number<std::uint32_t>();
  const auto directory_disk = archive.number<std::uint32_t>();
  const auto count_here = archive.number<std::uint64_t>();
  const auto count = archive.number<std::uint64_t>();
  const auto size = archive.number<std::uint64_t>();
  const auto offset = archive.number<std::uint64_t>();
  if (disk != 0 || directory_disk != 0 || count_here != count) archive.fail("is a zip archive of several volumes");
  return {offset, size, count, position};
}

Directory read_end_record(ByteReader archive) {
  const std::uint64_t position = find_end_record(archive);
  archive.seek(position + 4);
  const auto disk = archive.number<std::uint16_t>();
  const auto directory_disk = archive.number<std::uint16_t>();
  const auto count_here = archive.number<std::uint16_t>();
  const auto count = archive.number<std::uint16_t>();
  const auto size = archive.number<std::uint32_t>();
  const auto offset = archive.number<std::uint32_t>();

  Directory directory{offset, size, count, position};
  bool has64 = false;
  if (position >= kLocator64Bytes) {
    ByteReader locator = archive;
    locator.seek(position - kLocator64Bytes);
    if (locator.number<std::uint32_t>() == kLocator64) {
      locator.skip(4);  // the volume
      directory = read_end_record64(archive, locator.number<std::uint64_t>());
      has64 = true;
    }
  }
  if (!has64 && (disk != 0 || directory_disk != 0 || count_here != count)) {
    archive.fail("is a zip archive of several volumes");
  }
  // Both conditions hold of every archive without bytes that belong to nothing.
  if (directory.offset > directory.end || directory.size != directory.end - directory.offset) {
    archive.fail("has a corrupt zip directory: it does not lie between the last member and the end record");
  }
  if (directory.count > directory.size / kCentralHeaderBytes) {
    archive.fail("has a corrupt zip directory: it is too small for the " + std::to_string(directory.count) +
                 " members that it is said to list");
  }
  return directory;
}

/// Sizes and offset that do not fit into 32 bits stand in an extra field, in this order and only those.
void read_extra64(ByteReader extra, CentralEntry& entry) {
  if (entry.size != kIn64 && entry.compressed_size != kIn64 && entry.header_offset != kIn64) return;
  while (extra.remaining() >= 4) {
    const auto id = extra.number<std::uint16_t>();
    const auto size = extra.number<std::uint16_t>();
    ByteReader field(extra.take(size), extra.origin());
    if (id != kExtra64) continue;
    for (std::uint64_t* value : {&entry.size, &entry.compressed_size, &entry.header_offset}) {
      if (*value == kIn64) *value = field.number<std::uint64_t>();
    }
    return;
  }
}

CentralEntry read_central_entry(ByteReader& directory) {
  CentralEntry entry;
  if (directory.number<std::uint32_t>() != kCentralHeader) directory.fail("has a corrupt zip directory");
  directory.skip(2 + 2);  // versions made by and needed
  entry.flags = directory.number<std::uint16_t>();
  entry.method = directory.number<std::uint16_t>();
  directory.skip(2 + 2 + 4);  // time, date, CRC-32, which torch writes as it likes and does not check
  entry.compressed_size = directory.number<std::uint32_t>();
  entry.size = directory.number<std::uint32_t>();
  const auto name_length = directory.number<std::uint16_t>();
  const auto extra_length = directory.number<std::uint16_t>();
  const auto comment_length = directory.number<std::uint16_t>();
  const auto disk = directory.number<std::uint16_t>();
  directory.skip(2 + 4);  // attributes
  entry.header_offset = directory.number<std::uint32_t>();
  entry.name = std::string(directory.text(name_length));
  read_extra64(ByteReader(directory.take(extra_length), directory.origin()), entry);
  directory.skip(comment_length);
  if (disk != 0 && disk != kIn64Short) directory.fail("is a zip archive of several volumes");
  return entry;
}

/// Where the member's bytes begin: behind its own header, whose name must be that of the directory.
std::uint64_t data_offset(ByteReader archive, const CentralEntry& entry) {
  archive.seek(entry.header_offset);
  if (archive.number<std::uint32_t>() != kLocalHeader) {
    archive.fail("has no member " + quote_json(entry.name) + " where its zip directory says");
  }
  archive.skip(2);  // version needed
  const auto flags = archive.number<std::uint16_t>();
  const auto method = archive.number<std::uint16_t>();
  archive.skip(2 + 2 + 4 + 4 + 4);  // time, date, CRC-32, sizes, which may stand behind the member instead
  const auto name_length = archive.number<std::uint16_t>();
  const auto extra_length = archive.number<std::uint16_t>();
  if (archive.text(name_length) != entry.name || method != entry.method ||
      (flags & kRefusedFlags) != (entry.flags & kRefusedFlags)) {
    archive.fail("has a member " + quote_json(entry.name) + " whose own header contradicts the zip directory");
  }
  archive.skip(extra_length);
  return archive.position();
}

void check_storage(const ByteReader& archive, const CentralEntry& entry) {
  const std::string member = "has a member " + quote_json(entry.name) + " that is ";
  if ((entry.flags & kRefusedFlags) != 0) archive.fail(member + "encrypted");
  if (entry.method != 0) {
    archive.fail(member + "compressed (method " + std::to_string(entry.method) +
                 "); torch.save stores members as they are. Load it with torch.load and save it again");
  }
  if (entry.size != entry.compressed_size) {
    archive.fail(member + "stored, but whose two sizes differ: " + std::to_string(entry.compressed_size) + " and " +
                 std::to_string(entry.size));
  }
}

/// A member with its header, as a run of the archive.
struct Extent {
  std::uint64_t begin;
  std::uint64_t end;
  const std::string* name;
};

void check_overlaps(const ByteReader& archive, std::vector<Extent>& extents) {
  std::sort(extents.begin(), extents.end(), [](const Extent& left, const Extent& right) {
    return std::tie(left.begin, left.end) < std::tie(right.begin, right.end);
  });
  for (std::size_t i = 1; i < extents.size(); ++i) {
    if (extents[i].begin < extents[i - 1].end) {
      archive.fail("has members that overlap: " + quote_json(*extents[i - 1].name) + " and " +
                   quote_json(*extents[i].name));
    }
  }
}

}  // namespace

std::map<std::string, ZipMember, std::less<>> read_zip_directory(std::span<const std::byte> bytes,
                                                                 std::string_view origin) {
  const ByteReader archive(bytes, std::string(origin));
  const Directory directory = read_end_record(archive);
  ByteReader entries(bytes.first(static_cast<std::size_t>(directory.end)), archive.origin(), directory.offset);

  std::map<std::string, ZipMember, std::less<>> members;
  std::vector<Extent> extents;
  for (std::uint64_t index = 0; index < directory.count; ++index) {
    CentralEntry entry = read_central_entry(entries);
    check_storage(archive, entry);
    const std::uint64_t offset = data_offset(archive, entry);
    if (offset > directory.offset || entry.size > directory.offset - offset) {
      archive.fail("has a member " + quote_json(entry.name) + " of " + std::to_string(entry.size) +
                   " bytes, more than there is between its header and the zip directory");
    }
    const auto [member, is_new] = members.try_emplace(std::move(entry.name), ZipMember{offset, entry.size});
    if (!is_new) archive.fail("has two members " + quote_json(member->first));
    extents.push_back({entry.header_offset, offset + entry.size, &member->first});
  }
  if (entries.remaining() != 0) archive.fail("has a corrupt zip directory: it lists more members than it counts");
  check_overlaps(archive, extents);
  return members;
}

}  // namespace onnxport
