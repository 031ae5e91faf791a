#include "support/torch_file.h"

#include <cstdint>
#include <fstream>
#include <span>
#include <string>
#include <string_view>

#include "checkpoint/checkpoint.h"

namespace onnxport::bench {
namespace {

template <typename Number>
void put(std::string& out, Number number) {
  out.append(reinterpret_cast<const char*>(&number), sizeof(number));
}

// ---- The pickle -----------------------------------------------------------------------------------------------------

void put_text(std::string& out, std::string_view text) {
  out += 'X';
  put(out, static_cast<std::uint32_t>(text.size()));
  out += text;
}

void put_integer(std::string& out, std::int64_t value) {
  out += "\x8a\x08";
  put(out, value);
}

void put_integers(std::string& out, std::span<const std::int64_t> values) {
  out += '(';
  for (const std::int64_t value : values) put_integer(out, value);
  out += 't';
}

std::string pickle_of(const std::map<std::string, TensorSource, std::less<>>& tensors) {
  std::string pickle = "\x80\x02}(";
  int key = 0;
  for (const auto& [name, source] : tensors) {
    std::vector<std::int64_t> strides(source.shape.size(), 1);
    for (std::size_t axis = strides.size(); axis-- > 1;) strides[axis - 1] = strides[axis] * source.shape[axis];
    put_text(pickle, name);
    pickle += "ctorch._utils\n_rebuild_tensor_v2\n((";
    put_text(pickle, "storage");
    pickle += "ctorch\nFloatStorage\n";
    put_text(pickle, std::to_string(key++));
    put_text(pickle, "cpu");
    put_integer(pickle, source.element_count());
    pickle += "tQK";
    pickle += '\0';
    put_integers(pickle, source.shape);
    put_integers(pickle, strides);
    pickle +=
        "\x89"
        "ccollections\nOrderedDict\n)RtR";
  }
  return pickle + "u.";
}

// ---- The archive ----------------------------------------------------------------------------------------------------

class ZipWriter {
 public:
  explicit ZipWriter(const std::filesystem::path& path) : file_(path, std::ios::binary) {
    file_.exceptions(std::ios::failbit | std::ios::badbit);
  }

  void add(const std::string& name, std::string_view data) {
    constexpr std::uint64_t header_bytes = 30;
    constexpr std::uint64_t alignment = 64;
    const std::uint64_t begin = offset_ + header_bytes + name.size() + 4;
    const std::uint64_t padding = (alignment - begin % alignment) % alignment;
    std::string header;
    put(header, std::uint32_t{0x04034b50});
    put_description(header, data.size());
    put(header, static_cast<std::uint16_t>(name.size()));
    put(header, static_cast<std::uint16_t>(4 + padding));
    header += name + "FB";  // the field that torch pads with
    put(header, static_cast<std::uint16_t>(padding));
    header.append(padding, 'Z');

    put(directory_, std::uint32_t{0x02014b50});
    put(directory_, std::uint16_t{45});
    put_description(directory_, data.size());
    put(directory_, static_cast<std::uint16_t>(name.size()));
    put(directory_, std::uint16_t{12});
    directory_.append(2 + 2 + 2 + 4, '\0');  // comment, volume, attributes
    put(directory_, std::uint32_t{0xffffffff});
    directory_ += name;
    put(directory_, std::uint16_t{1});  // zip64: the offset
    put(directory_, std::uint16_t{8});
    put(directory_, offset_);
    ++count_;
    write(header);
    write(data);
  }

  void finish() {
    const std::uint64_t directory = offset_;
    write(directory_);
    std::string end;
    put(end, std::uint32_t{0x06064b50});
    put(end, std::uint64_t{44});
    put(end, std::uint32_t{45 | 45 << 16});
    put(end, std::uint64_t{0});  // volumes
    put(end, count_);
    put(end, count_);
    put(end, static_cast<std::uint64_t>(directory_.size()));
    put(end, directory);
    put(end, std::uint32_t{0x07064b50});
    put(end, std::uint32_t{0});
    put(end, offset_);
    put(end, std::uint32_t{1});
    put(end, std::uint32_t{0x06054b50});
    put(end, std::uint32_t{0});
    for (int i = 0; i < 3; ++i) put(end, std::uint32_t{0xffffffff});
    put(end, std::uint16_t{0});
    write(end);
    file_.close();
  }

 private:
  /// Version, flags, method (stored), time, date, CRC-32 (which torch does not check), and the size twice.
  static void put_description(std::string& out, std::uint64_t size) {
    put(out, std::uint16_t{45});
    out.append(2 + 2 + 2 + 2 + 4, '\0');
    put(out, static_cast<std::uint32_t>(size));
    put(out, static_cast<std::uint32_t>(size));
  }

  void write(std::string_view bytes) {
    file_.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    offset_ += bytes.size();
  }

  std::ofstream file_;
  std::string directory_;
  std::uint64_t offset_ = 0;
  std::uint64_t count_ = 0;
};

}  // namespace

void write_torch_file(const std::filesystem::path& safetensors, const std::filesystem::path& path) {
  const auto tensors = read_safetensors(safetensors);
  ZipWriter zip(path);
  zip.add("pytorch_model/data.pkl", pickle_of(tensors));
  zip.add("pytorch_model/byteorder", "little");
  int key = 0;
  for (const auto& [name, source] : tensors) {
    const auto bytes = source.bytes;
    zip.add("pytorch_model/data/" + std::to_string(key++), {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  zip.add("pytorch_model/version", "3\n");
  zip.finish();
}

}  // namespace onnxport::bench
