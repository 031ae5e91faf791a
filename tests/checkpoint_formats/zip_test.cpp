#include "checkpoint/zip.h"

#include <cstdint>
#include <optional>
#include <vector>

#include <gtest/gtest.h>

#include "compare.h"

namespace onnxport {
namespace {

using testing::expect_refused;

template <typename Number>
void put(std::string& out, Number number) {
  out.append(reinterpret_cast<const char*>(&number), sizeof(number));
}

/// A member as an attacker may describe it; what is not set is what it should be.
struct Member {
  std::string name;
  std::string data{};
  std::uint16_t flags = 0;
  std::uint16_t method = 0;
  std::optional<std::uint32_t> size{};
  std::optional<std::uint32_t> compressed_size{};
  std::optional<std::uint32_t> header_offset{};
  std::optional<std::string> local_name{};
  std::string central_extra{};
  std::uint16_t disk = 0;
};

struct End {
  std::optional<std::uint16_t> count{};
  std::optional<std::uint32_t> directory_offset{};
  std::optional<std::uint32_t> directory_size{};
  std::uint16_t disk = 0;
  std::string comment{};
  bool is64 = false;
};

std::string make_zip(const std::vector<Member>& members, const End& end = {}) {
  std::string zip;
  std::string directory;
  for (const Member& member : members) {
    const auto offset = static_cast<std::uint32_t>(zip.size());
    const auto size = static_cast<std::uint32_t>(member.data.size());
    const std::string local_name = member.local_name.value_or(member.name);
    put(zip, std::uint32_t{0x04034b50});
    put(zip, std::uint16_t{20});
    put(zip, member.flags);
    put(zip, member.method);
    put(zip, std::uint32_t{0});  // time and date
    put(zip, std::uint32_t{0});  // CRC-32
    put(zip, size);
    put(zip, size);
    put(zip, static_cast<std::uint16_t>(local_name.size()));
    put(zip, std::uint16_t{3});
    zip += local_name + "xtr" + member.data;

    put(directory, std::uint32_t{0x02014b50});
    put(directory, std::uint32_t{20});
    put(directory, member.flags);
    put(directory, member.method);
    put(directory, std::uint32_t{0});
    put(directory, std::uint32_t{0});
    put(directory, member.compressed_size.value_or(size));
    put(directory, member.size.value_or(size));
    put(directory, static_cast<std::uint16_t>(member.name.size()));
    put(directory, static_cast<std::uint16_t>(member.central_extra.size()));
    put(directory, std::uint16_t{0});
    put(directory, member.disk);
    put(directory, std::uint16_t{0});
    put(directory, std::uint32_t{0});
    put(directory, member.header_offset.value_or(offset));
    directory += member.name + member.central_extra;
  }
  const std::uint64_t offset = zip.size();
  zip += directory;
  if (end.is64) {
    const std::uint64_t end64 = zip.size();
    put(zip, std::uint32_t{0x06064b50});
    put(zip, std::uint64_t{44});
    put(zip, std::uint32_t{0});
    put(zip, std::uint64_t{0});
    put(zip, static_cast<std::uint64_t>(members.size()));
    put(zip, static_cast<std::uint64_t>(members.size()));
    put(zip, static_cast<std::uint64_t>(directory.size()));
    put(zip, offset);
    put(zip, std::uint32_t{0x07064b50});
    put(zip, std::uint32_t{0});
    put(zip, end64);
    put(zip, std::uint32_t{1});
  }
  const auto count = end.count.value_or(static_cast<std::uint16_t>(members.size()));
  put(zip, std::uint32_t{0x06054b50});
  put(zip, end.disk);
  put(zip, end.disk);
  put(zip, end.is64 ? std::uint16_t{0xffff} : count);
  put(zip, end.is64 ? std::uint16_t{0xffff} : count);
  put(zip, end.is64 ? 0xffffffffU : end.directory_size.value_or(static_cast<std::uint32_t>(directory.size())));
  put(zip, end.is64 ? 0xffffffffU : end.directory_offset.value_or(static_cast<std::uint32_t>(offset)));
  put(zip, static_cast<std::uint16_t>(end.comment.size()));
  return zip + end.comment;
}

std::map<std::string, ZipMember, std::less<>> read(const std::string& zip) {
  return read_zip_directory(testing::as_bytes(zip), "test.zip");
}

void refuse(const std::string& zip, std::string_view message) {
  expect_refused([&] { read(zip); }, message);
}

std::string content(const std::string& zip, const char* name) {
  const auto members = read(zip);
  const auto found = members.find(name);
  if (found == members.end()) return "(no such member)";
  return zip.substr(found->second.offset, found->second.size);
}

TEST(Zip, Members) {
  const std::vector<Member> members{{"a/data.pkl", "pickle"}, {"a/data/0", std::string(100, 'x')}, {"a/empty"}};
  for (const End& end : {End{}, End{.comment = "a comment"}, End{.is64 = true}}) {
    const std::string zip = make_zip(members, end);
    EXPECT_EQ(content(zip, "a/data.pkl"), "pickle");
    EXPECT_EQ(content(zip, "a/data/0"), std::string(100, 'x'));
    EXPECT_EQ(content(zip, "a/empty"), "");
    EXPECT_EQ(read(zip).size(), 3U);
  }
  EXPECT_TRUE(read(make_zip({})).empty());
}

TEST(Zip, LargeMembersHaveTheirSizesIn64Bits) {
  std::string extra;
  put(extra, std::uint16_t{0x5455});  // a field of another kind before it
  put(extra, std::uint16_t{2});
  extra += "??";
  put(extra, std::uint16_t{1});
  put(extra, std::uint16_t{24});
  put(extra, std::uint64_t{4});
  put(extra, std::uint64_t{4});
  put(extra, std::uint64_t{0});
  const Member member{.name = "m",
                      .data = "data",
                      .size = 0xffffffffU,
                      .compressed_size = 0xffffffffU,
                      .header_offset = 0xffffffffU,
                      .central_extra = extra};
  EXPECT_EQ(content(make_zip({member}), "m"), "data");
  Member without = member;
  without.central_extra = extra.substr(0, 6);
  refuse(make_zip({without}), "test.zip: ");
  Member short_field = member;
  short_field.central_extra[8] = 8;
  refuse(make_zip({short_field}), "test.zip: ");
}

TEST(Zip, BombsAndTricksAreRefused) {
  refuse(make_zip({{.name = "m", .data = "data", .method = 8}}), "\"m\" that is compressed (method 8)");
  refuse(make_zip({{.name = "m", .data = "data", .flags = 1}}), "\"m\" that is encrypted");
  refuse(make_zip({{.name = "m", .data = "data", .flags = 0x2000}}), "\"m\" that is encrypted");
  refuse(make_zip({{.name = "m", .data = "data", .size = 1000}}), "whose two sizes differ: 4 and 1000");
  refuse(make_zip({{.name = "m", .data = "data", .size = 1000, .compressed_size = 1000}}),
         "\"m\" of 1000 bytes, more than there is");
  refuse(make_zip({{.name = "m", .data = "data"}, {.name = "m", .data = "data"}}), "two members \"m\"");
  refuse(make_zip({{.name = "m", .data = "data"}, {.name = "n", .data = "data", .local_name = "x"}}),
         "\"n\" whose own header contradicts");
  refuse(make_zip({{.name = "m", .data = "data", .header_offset = 3}}), "no member \"m\" where its zip directory says");
  refuse(make_zip({{.name = "m", .data = "data", .header_offset = 0xfffffff0U}}), "would lie beyond its end");
  refuse(make_zip({{.name = "m", .data = "data", .disk = 7}}), "several volumes");

  // A member within another: the second header is part of the first one's data.
  const std::string inner = make_zip({{.name = "n", .data = "inner"}}).substr(0, 30 + 1 + 3 + 5);
  refuse(make_zip({{.name = "m", .data = inner}, {.name = "n", .data = "inner", .header_offset = 34}}),
         "members that overlap: \"m\" and \"n\"");
}

TEST(Zip, CorruptDirectoriesAreRefused) {
  const std::vector<Member> members{{"m", "data"}};
  const std::string zip = make_zip(members);
  for (std::size_t length = 0; length < zip.size(); ++length) refuse(zip.substr(0, length), "test.zip: ");
  refuse(zip + "x", "no directory at its end");
  refuse("x" + zip, "does not lie between the last member and the end record");
  refuse(make_zip(members, {.count = std::uint16_t{2}}), "too small for the 2 members");
  refuse(make_zip(members, {.count = std::uint16_t{0}}), "lists more members than it counts");
  refuse(make_zip(members, {.directory_offset = 0U}), "does not lie between");
  refuse(make_zip(members, {.directory_offset = 0xfffffff0U}), "does not lie between");
  refuse(make_zip(members, {.directory_size = 0U}), "does not lie between");
  refuse(make_zip(members, {.disk = 1}), "several volumes");
  refuse("", "no directory at its end");
}

}  // namespace
}  // namespace onnxport
