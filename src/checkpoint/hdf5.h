#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "checkpoint/byte_reader.h"
#include "onnxport/data_type.h"

namespace onnxport {

/// An array of an HDF5 file: its elements lie in one piece, little endian, row-major.
struct Hdf5Dataset {
  DataType data_type = DataType::Float32;
  std::vector<std::int64_t> shape;
  std::uint64_t offset = 0;  ///< from the beginning of the file
  std::uint64_t size = 0;    ///< in bytes
};

/// An HDF5 file in memory, as far as h5py writes one for a Keras model: groups, attributes of strings, and datasets of
/// numbers in one piece. A reader of our own and not the HDF5 library, since checkpoints come from strangers: it
/// follows no link out of the file, loads no filter, and reads nothing but what it is asked for; tensors stay in the
/// mapped file.
///
/// Functions throw Error(InvalidCheckpoint) naming the object: files that are corrupt or truncated, and by name what is
/// not supported: soft and external links, external and virtual storage, chunks and filters, big-endian numbers,
/// committed types, and the indexed groups and attributes of libver="latest".
class Hdf5File {
 public:
  /// `bytes` must outlive this object; `origin` names the file in messages. Throws if it is not an HDF5 file.
  Hdf5File(std::span<const std::byte> bytes, std::string_view origin);

  /// The strings of an attribute of the group at `path` ("" is the root). Keras splits those that do not fit into one
  /// attribute: `name` stands for name0, name1, ... as well. Throws if there is none.
  std::vector<std::string> strings(std::string_view path, std::string_view name);

  /// The dataset at `path`, of which each level is a group: "bert/tf_bert_model/bert/embeddings/weight:0".
  Hdf5Dataset dataset(std::string_view path);

 private:
  struct Message {
    std::uint16_t type;
    std::uint8_t flags;
    std::span<const std::byte> data;
  };
  struct Link {
    std::uint64_t address = 0;
    std::string_view problem;  ///< why it is not followed: "a soft link"; empty for a hard link
  };
  using Links = std::map<std::string_view, Link>;

  ByteReader reader(std::uint64_t address) const;
  ByteReader reader(std::span<const std::byte> bytes) const { return {bytes, origin_}; }
  void expect_signature(ByteReader& reader, std::string_view signature) const;
  std::uint64_t read_offset(ByteReader& reader) const { return reader.number_of_width(offset_width_); }
  std::uint64_t read_length(ByteReader& reader) const { return reader.number_of_width(length_width_); }
  bool is_undefined(std::uint64_t address) const;
  [[noreturn]] void fail(const std::string& what) const;
  void spend(std::uint64_t steps);

  void read_superblock();
  std::vector<Message> read_messages(std::uint64_t address);
  void read_messages1(ByteReader header, std::vector<Message>& messages);
  void read_messages2(ByteReader header, std::vector<Message>& messages);

  const Links& links_of(std::uint64_t address);
  bool is_indexed(ByteReader info, unsigned order_width) const;
  void read_symbol_table(ByteReader message, Links& links);
  void read_tree(std::uint64_t address, int level_above, std::span<const std::byte> names, Links& links);
  void read_symbols(std::uint64_t address, std::span<const std::byte> names, Links& links);
  void read_link(ByteReader message, Links& links) const;
  std::uint64_t find_object(std::string_view path);

  bool append_attribute(std::span<const Message> messages, std::string_view name, std::vector<std::string>& values);
  void read_string_array(ByteReader type, ByteReader space, ByteReader data, std::vector<std::string>& values);
  std::string_view heap_object(std::uint64_t address, std::uint32_t index);
  std::vector<std::int64_t> read_shape(ByteReader space) const;
  DataType read_data_type(ByteReader type, std::string_view path) const;

  std::span<const std::byte> bytes_;
  std::string origin_;
  unsigned offset_width_ = 8;
  unsigned length_width_ = 8;
  std::uint64_t root_ = 0;
  std::uint64_t spent_ = 0;
  std::unordered_map<std::uint64_t, Links> groups_;
};

}  // namespace onnxport
