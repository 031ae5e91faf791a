// "HDF5 File Format Specification Version 3.0", of which names and structure below are taken.

#include "checkpoint/hdf5.h"

#include <algorithm>
#include <utility>

#include "onnxport/array.h"
#include "onnxport/json.h"

namespace onnxport {
namespace {

/// Structures that a reading may visit: far more than any model has, few enough to be quick. A file can make them refer
/// to each other in ways that multiply, and to each other's bytes.
constexpr std::uint64_t kMaximumSteps = 4'000'000;
constexpr std::size_t kMaximumName = 4096;
constexpr int kMaximumRank = 32;  // HDF5's own

constexpr std::string_view kSignature("\x89HDF\r\n\x1a\n", 8);

enum MessageType : std::uint16_t {
  kDataspace = 0x01,
  kLinkInfo = 0x02,
  kDatatype = 0x03,
  kLink = 0x06,
  kExternalFiles = 0x07,
  kLayout = 0x08,
  kFilters = 0x0b,
  kAttribute = 0x0c,
  kContinuation = 0x10,
  kSymbolTable = 0x11,
  kAttributeInfo = 0x15,
};
constexpr std::uint8_t kSharedMessage = 0x02;

enum LayoutClass : std::uint8_t { kCompact = 0, kContiguous = 1, kChunked = 2, kVirtual = 3 };
enum TypeClass : std::uint8_t {
  kFixedPoint = 0,
  kFloatingPoint = 1,
  kString = 3,
  kEnumeration = 8,
  kVariableLength = 9
};
constexpr unsigned kStringOfVariableLength = 1;

struct TypeHead {
  unsigned type_class;
  std::uint32_t bits;  ///< meaning depends on the class
  std::uint32_t size;
};

TypeHead read_type_head(ByteReader& type) {
  const auto class_and_version = type.number<std::uint8_t>();
  std::uint32_t bits = type.number<std::uint8_t>();
  bits |= static_cast<std::uint32_t>(type.number<std::uint16_t>()) << 8U;
  return {class_and_version & 0x0fU, bits, type.number<std::uint32_t>()};
}

/// A run of bytes padded to 8, as version 1 of several structures has it.
std::span<const std::byte> take_padded(ByteReader& reader, std::uint64_t size, bool is_padded) {
  const auto taken = reader.take(size);
  if (is_padded) reader.skip((8 - size % 8) % 8);
  return taken;
}

std::string_view until_nul(std::string_view text) { return text.substr(0, text.find('\0')); }

/// A string of fixed length: ended by a NUL, or padded with NULs or spaces.
std::string_view trim(std::string_view text, unsigned padding) {
  if (padding == 0) return until_nul(text);
  const char fill = padding == 2 ? ' ' : '\0';
  const std::size_t last = text.find_last_not_of(fill);
  return last == std::string_view::npos ? std::string_view() : text.substr(0, last + 1);
}

}  // namespace

Hdf5File::Hdf5File(std::span<const std::byte> bytes, std::string_view origin) : bytes_(bytes), origin_(origin) {
  read_superblock();
}

void Hdf5File::fail(const std::string& what) const { throw Error(ErrorKind::InvalidCheckpoint, origin_ + ": " + what); }

void Hdf5File::spend(std::uint64_t steps) {
  spent_ += steps;
  if (spent_ > kMaximumSteps) fail("has more structures than any checkpoint needs");
}

ByteReader Hdf5File::reader(std::uint64_t address) const { return {bytes_, origin_, address}; }

void Hdf5File::expect_signature(ByteReader& reader, std::string_view signature) const {
  if (reader.text(signature.size()) != signature) {
    fail("is corrupt: there is no " + std::string(signature) + " where it should be");
  }
}

bool Hdf5File::is_undefined(std::uint64_t address) const {
  return address == (offset_width_ == 8 ? ~std::uint64_t{0} : (std::uint64_t{1} << (8 * offset_width_)) - 1);
}

// ---- Superblock -----------------------------------------------------------------------------------------------------

void Hdf5File::read_superblock() {
  ByteReader block(bytes_, origin_);
  const std::string_view begin = block.text(std::min<std::uint64_t>(block.size(), kSignature.size()));
  if (begin != kSignature) {
    fail(begin == "version "
             ? "is only the pointer to the weights that git has; fetch the file itself with git lfs pull"
             : "is not an HDF5 file");
  }
  const auto version = block.number<std::uint8_t>();
  if (version > 3) fail("is of version " + std::to_string(version) + " of HDF5's superblock; 3 is the last known");
  const bool is_old = version < 2;
  if (is_old) block.skip(4);  // versions of further structures
  offset_width_ = block.number<std::uint8_t>();
  length_width_ = block.number<std::uint8_t>();
  for (const unsigned width : {offset_width_, length_width_}) {
    if (width != 2 && width != 4 && width != 8)
      fail("is corrupt: it has addresses of " + std::to_string(width) + " bytes");
  }
  block.skip(is_old ? 1 + 2 + 2 + 4 : 1);  // sizes of groups' nodes, flags
  if (version == 1) block.skip(4);
  if (read_offset(block) != 0) fail("has an HDF5 user block, which is not supported");
  read_offset(block);  // free space, or the superblock's extension
  if (read_offset(block) > bytes_.size()) {
    fail("is truncated: it was longer when it was written; it may not have been downloaded completely");
  }
  if (is_old) {
    read_offset(block);  // driver
    read_offset(block);  // name of the root
  }
  root_ = read_offset(block);
}

// ---- Object headers -------------------------------------------------------------------------------------------------

std::vector<Hdf5File::Message> Hdf5File::read_messages(std::uint64_t address) {
  ByteReader header = reader(address);
  std::vector<Message> messages;
  if (header.number<std::uint8_t>() == 1) {
    read_messages1(header, messages);
  } else {
    header.seek(address);
    expect_signature(header, "OHDR");
    read_messages2(header, messages);
  }
  return messages;
}

void Hdf5File::read_messages1(ByteReader header, std::vector<Message>& messages) {
  header.skip(1);
  const auto count = header.number<std::uint16_t>();
  header.skip(4);  // references
  const auto size = header.number<std::uint32_t>();
  header.skip(4);
  std::vector<ByteReader> blocks{reader(header.take(size))};
  std::size_t found = 0;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    // A copy, as another block may be appended while this one is read.
    ByteReader block = blocks[i];
    while (found < count && block.remaining() >= 8) {
      spend(1);
      ++found;
      Message message{};
      message.type = block.number<std::uint16_t>();
      const auto message_size = block.number<std::uint16_t>();
      message.flags = block.number<std::uint8_t>();
      block.skip(3);
      message.data = block.take(message_size);
      if (message.type == kContinuation) {
        ByteReader place = reader(message.data);
        ByteReader continued = reader(read_offset(place));
        blocks.push_back(reader(continued.take(read_length(place))));
      }
      messages.push_back(message);
    }
  }
}

void Hdf5File::read_messages2(ByteReader header, std::vector<Message>& messages) {
  if (header.number<std::uint8_t>() != 2) fail("is corrupt: an object's header is of an unknown version");
  const auto flags = header.number<std::uint8_t>();
  if ((flags & 0x20U) != 0) header.skip(16);  // times
  if ((flags & 0x10U) != 0) header.skip(4);   // when attributes are indexed
  const std::uint64_t size = header.number_of_width(1U << (flags & 3U));
  const std::uint64_t head = (flags & 4U) != 0 ? 6 : 4;
  std::vector<ByteReader> blocks{reader(header.take(size))};
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    ByteReader block = blocks[i];
    while (block.remaining() >= head) {
      spend(1);
      Message message{};
      message.type = block.number<std::uint8_t>();
      const auto message_size = block.number<std::uint16_t>();
      message.flags = block.number<std::uint8_t>();
      if (head == 6) block.skip(2);  // order of creation
      message.data = block.take(message_size);
      if (message.type == kContinuation) {
        ByteReader place = reader(message.data);
        ByteReader continued = reader(read_offset(place));
        ByteReader whole = reader(continued.take(read_length(place)));
        expect_signature(whole, "OCHK");
        if (whole.remaining() < 4) fail("is corrupt: an object's header is cut off");
        blocks.push_back(reader(whole.take(whole.remaining() - 4)));  // without its checksum
      }
      messages.push_back(message);
    }
  }
}

// ---- Groups ---------------------------------------------------------------------------------------------------------

const Hdf5File::Links& Hdf5File::links_of(std::uint64_t address) {
  const auto known = groups_.find(address);
  if (known != groups_.end()) return known->second;
  Links links;
  for (const Message& message : read_messages(address)) {
    if (message.type == kSymbolTable) read_symbol_table(reader(message.data), links);
    if (message.type == kLink) read_link(reader(message.data), links);
    if (message.type == kLinkInfo && is_indexed(reader(message.data), 8)) {
      fail(
          "has a group whose links are indexed (libver=\"latest\"), which is not supported; save it with h5py's "
          "defaults");
    }
  }
  return groups_.emplace(address, std::move(links)).first->second;
}

/// Whether links or attributes lie in a heap with an index, as many of them do in files of later versions. Of the order
/// of their creation, the message may keep the last number.
bool Hdf5File::is_indexed(ByteReader info, unsigned order_width) const {
  info.skip(1);  // version
  if ((info.number<std::uint8_t>() & 1U) != 0) info.skip(order_width);
  return !is_undefined(read_offset(info));
}

void Hdf5File::read_symbol_table(ByteReader message, Links& links) {
  const std::uint64_t tree = read_offset(message);
  ByteReader heap = reader(read_offset(message));
  expect_signature(heap, "HEAP");
  heap.skip(4);  // version
  const std::uint64_t size = read_length(heap);
  read_length(heap);  // free space
  ByteReader names = reader(read_offset(heap));
  read_tree(tree, 256, names.take(size), links);
}

/// Levels descend, so that there is no circle.
void Hdf5File::read_tree(std::uint64_t address, int level_above, std::span<const std::byte> names, Links& links) {
  spend(1);
  ByteReader node = reader(address);
  expect_signature(node, "TREE");
  const auto type = node.number<std::uint8_t>();
  const int level = node.number<std::uint8_t>();
  if (type != 0 || level >= level_above) fail("is corrupt: a group's tree is not one");
  const auto count = node.number<std::uint16_t>();
  read_offset(node);  // siblings
  read_offset(node);
  for (int child = 0; child < count; ++child) {
    read_length(node);  // key
    const std::uint64_t next = read_offset(node);
    if (level == 0) {
      read_symbols(next, names, links);
    } else {
      read_tree(next, level, names, links);
    }
  }
}

void Hdf5File::read_symbols(std::uint64_t address, std::span<const std::byte> names, Links& links) {
  spend(1);
  constexpr std::uint32_t kSoftLink = 2;
  ByteReader node = reader(address);
  expect_signature(node, "SNOD");
  node.skip(2);  // version
  const auto count = node.number<std::uint16_t>();
  for (int symbol = 0; symbol < count; ++symbol) {
    spend(1);
    ByteReader name = reader(names);
    name.seek(read_offset(node));
    const std::string_view text = until_nul(name.text(std::min<std::uint64_t>(name.remaining(), kMaximumName)));
    Link link;
    link.address = read_offset(node);
    if (node.number<std::uint32_t>() == kSoftLink) link.problem = "a soft link";
    node.skip(4 + 16);
    if (!links.emplace(text, link).second) fail("is corrupt: a group has two links " + quote_json(text));
  }
}

void Hdf5File::read_link(ByteReader message, Links& links) const {
  if (message.number<std::uint8_t>() != 1) fail("is corrupt: a link is of an unknown version");
  const auto flags = message.number<std::uint8_t>();
  const auto type = (flags & 8U) != 0 ? message.number<std::uint8_t>() : std::uint8_t{0};
  if ((flags & 4U) != 0) message.skip(8);   // order of creation
  if ((flags & 16U) != 0) message.skip(1);  // character set
  const std::string_view name = message.text(message.number_of_width(1U << (flags & 3U)));
  Link link;
  if (type == 0) {
    link.address = read_offset(message);
  } else {
    link.problem = type == 1 ? "a soft link" : "a link into another file";
  }
  if (!links.emplace(name, link).second) fail("is corrupt: a group has two links " + quote_json(name));
}

std::uint64_t Hdf5File::find_object(std::string_view path) {
  std::uint64_t address = root_;
  for (std::size_t begin = 0; begin < path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view name = path.substr(begin, end - begin);
    begin = end + 1;
    if (name.empty() || name == ".") continue;
    spend(1);
    const Links& links = links_of(address);
    const auto link = links.find(name);
    if (link == links.end()) fail("lacks " + quote_json(path) + ", which its own list of names has");
    if (!link->second.problem.empty()) {
      fail(quote_json(path) + " is reached by " + std::string(link->second.problem) + ", which is never followed");
    }
    address = link->second.address;
  }
  return address;
}

// ---- Attributes -----------------------------------------------------------------------------------------------------

std::vector<std::string> Hdf5File::strings(std::string_view path, std::string_view name) {
  const std::vector<Message> messages = read_messages(find_object(path));
  std::vector<std::string> values;
  if (append_attribute(messages, name, values)) return values;
  int part = 0;
  while (append_attribute(messages, std::string(name) + std::to_string(part), values)) ++part;
  if (part > 0) return values;
  for (const Message& message : messages) {
    if (message.type == kAttributeInfo && is_indexed(reader(message.data), 2)) {
      fail("keeps the attributes of " + quote_json(path) +
           " in an index (libver=\"latest\"), which is not supported; save it with h5py's defaults");
    }
  }
  fail("has no attribute " + quote_json(name) + " of " + quote_json(path) + "; Keras writes one with save_weights");
}

bool Hdf5File::append_attribute(std::span<const Message> messages, std::string_view name,
                                std::vector<std::string>& values) {
  for (const Message& message : messages) {
    if (message.type != kAttribute) continue;
    spend(1);
    if ((message.flags & kSharedMessage) != 0) fail("has a shared attribute, which is not supported");
    ByteReader attribute = reader(message.data);
    const auto version = attribute.number<std::uint8_t>();
    if (version < 1 || version > 3) fail("is corrupt: an attribute is of an unknown version");
    const auto flags = attribute.number<std::uint8_t>();
    const auto name_size = attribute.number<std::uint16_t>();
    const auto type_size = attribute.number<std::uint16_t>();
    const auto space_size = attribute.number<std::uint16_t>();
    if (version == 3) attribute.skip(1);  // character set
    const auto name_bytes = take_padded(attribute, name_size, version == 1);
    if (until_nul({reinterpret_cast<const char*>(name_bytes.data()), name_bytes.size()}) != name) continue;
    if (version > 1 && flags != 0) fail("has an attribute of a committed type, which is not supported");
    const ByteReader type = reader(take_padded(attribute, type_size, version == 1));
    const ByteReader space = reader(take_padded(attribute, space_size, version == 1));
    read_string_array(type, space, attribute, values);
    return true;
  }
  return false;
}

void Hdf5File::read_string_array(ByteReader type, ByteReader space, ByteReader data, std::vector<std::string>& values) {
  const std::int64_t count = element_count(read_shape(space));
  if (count == 0) return;  // of whatever type: an empty list becomes numbers
  const TypeHead head = read_type_head(type);
  const bool is_variable = head.type_class == kVariableLength && (head.bits & 0x0fU) == kStringOfVariableLength;
  if (head.type_class != kString && !is_variable) fail("has names that are not strings");
  for (std::int64_t i = 0; i < count; ++i) {
    spend(1);
    if (is_variable) {
      const auto length = data.number<std::uint32_t>();
      const std::uint64_t address = read_offset(data);
      const auto index = data.number<std::uint32_t>();
      const std::string_view object = length == 0 ? std::string_view() : heap_object(address, index);
      if (length > object.size()) fail("is corrupt: a string is longer than the place where it lies");
      values.emplace_back(object.substr(0, std::min<std::size_t>(length, kMaximumName)));
      spend(values.back().size() / 64);  // many strings may share one place
    } else {
      const std::string_view text = trim(data.text(head.size), head.bits & 0x0fU);
      values.emplace_back(text.substr(0, kMaximumName));
    }
  }
}

/// An object of a global heap, where strings of variable length lie.
std::string_view Hdf5File::heap_object(std::uint64_t address, std::uint32_t index) {
  ByteReader collection = reader(address);
  expect_signature(collection, "GCOL");
  collection.skip(4);  // version
  const std::uint64_t head = 8 + length_width_;
  const std::uint64_t size = read_length(collection);
  if (size < head) fail("is corrupt: a heap is smaller than its own head");
  ByteReader objects = reader(collection.take(size - head));
  while (objects.remaining() >= head) {
    spend(1);
    const auto number = objects.number<std::uint16_t>();
    objects.skip(2 + 4);  // references
    const std::uint64_t object_size = read_length(objects);
    if (number == 0) break;  // the free space at the end
    const auto object = take_padded(objects, object_size, true);
    if (number == index) return {reinterpret_cast<const char*>(object.data()), object.size()};
  }
  fail("is corrupt: a string is not where it should be");
}

// ---- Datasets -------------------------------------------------------------------------------------------------------

std::vector<std::int64_t> Hdf5File::read_shape(ByteReader space) const {
  const auto version = space.number<std::uint8_t>();
  const auto rank = space.number<std::uint8_t>();
  space.skip(1);  // flags
  if (version == 1) {
    space.skip(5);
  } else if (version == 2) {
    constexpr std::uint8_t kNull = 2;
    if (space.number<std::uint8_t>() == kNull) fail("has an array without a shape");
  } else {
    fail("is corrupt: an array's shape is of an unknown version");
  }
  if (rank > kMaximumRank) fail("is corrupt: an array has " + std::to_string(rank) + " axes");
  std::vector<std::int64_t> shape;
  std::int64_t count = 1;
  for (int axis = 0; axis < rank; ++axis) {
    const auto size = static_cast<std::int64_t>(read_length(space));
    if (size < 0 || (size > 0 && __builtin_mul_overflow(count, size, &count))) {
      fail("is corrupt: an array has more elements than can be counted");
    }
    shape.push_back(size);
  }
  return shape;
}

DataType Hdf5File::read_data_type(ByteReader type, std::string_view path) const {
  const TypeHead head = read_type_head(type);
  const auto unsupported = [&](const std::string& what) { fail(quote_json(path) + " has " + what); };
  const bool is_number = head.type_class == kFixedPoint || head.type_class == kFloatingPoint;
  if (!is_number) unsupported("elements that are not numbers (class " + std::to_string(head.type_class) + ")");
  const bool is_float = head.type_class == kFloatingPoint;
  if ((head.bits & (is_float ? 0x41U : 0x01U)) != 0) unsupported("big-endian numbers, which are not supported");
  const auto bit_offset = type.number<std::uint16_t>();
  const auto precision = type.number<std::uint16_t>();
  if (bit_offset != 0 || precision != 8 * head.size) unsupported("numbers that do not fill their bytes");
  if (is_float) {
    type.skip(1);  // where the exponent lies
    const auto exponent = type.number<std::uint8_t>();
    if (head.size == 8 && exponent == 11) return DataType::Float64;
    if (head.size == 4 && exponent == 8) return DataType::Float32;
    if (head.size == 2 && exponent == 5) return DataType::Float16;
    if (head.size == 2 && exponent == 8) return DataType::BFloat16;
  } else {
    const bool is_signed = (head.bits & 0x08U) != 0;
    if (head.size == 8) return is_signed ? DataType::Int64 : DataType::UInt64;
    if (head.size == 4) return is_signed ? DataType::Int32 : DataType::UInt32;
    if (head.size == 2) return is_signed ? DataType::Int16 : DataType::UInt16;
    if (head.size == 1) return is_signed ? DataType::Int8 : DataType::UInt8;
  }
  fail(quote_json(path) + " has numbers of " + std::to_string(head.size) + " bytes, of a type that onnxport lacks");
}

Hdf5Dataset Hdf5File::dataset(std::string_view path) {
  const std::string name = quote_json(path);
  Hdf5Dataset dataset;
  const Message* layout = nullptr;
  bool has_type = false;
  bool has_shape = false;
  const std::vector<Message> messages = read_messages(find_object(path));
  for (const Message& message : messages) {
    if (message.type == kExternalFiles) fail(name + " lies in another file, which is never opened");
    if (message.type == kFilters) {
      fail(name + " is compressed or filtered, which is not supported; Keras writes tensors as they are");
    }
    const bool is_needed = message.type == kDataspace || message.type == kDatatype || message.type == kLayout;
    if (is_needed && (message.flags & kSharedMessage) != 0)
      fail(name + " is of a committed type, which is not supported");
    if (message.type == kDataspace) {
      dataset.shape = read_shape(reader(message.data));
      has_shape = true;
    } else if (message.type == kDatatype) {
      dataset.data_type = read_data_type(reader(message.data), path);
      has_type = true;
    } else if (message.type == kLayout) {
      layout = &message;
    }
  }
  if (layout == nullptr || !has_shape || !has_type) fail(name + " is not an array");
  const std::int64_t count = element_count(dataset.shape);
  if (__builtin_mul_overflow(static_cast<std::uint64_t>(count), std::uint64_t{size_of(dataset.data_type)},
                             &dataset.size)) {
    fail(name + " has more bytes than can be counted");
  }

  ByteReader place = reader(layout->data);
  const auto version = place.number<std::uint8_t>();
  const auto layout_class = place.number<std::uint8_t>();
  if (version != 3 && version != 4)
    fail(name + " is laid out in an unknown way (version " + std::to_string(version) + ")");
  if (layout_class == kChunked)
    fail(name + " lies in chunks, which is not supported; Keras writes tensors in one piece");
  if (layout_class == kVirtual) fail(name + " is a virtual dataset, made of other files, which are never opened");
  std::uint64_t size = 0;
  if (layout_class == kCompact) {
    size = place.number<std::uint16_t>();
    const auto data = place.take(size);
    dataset.offset = static_cast<std::uint64_t>(data.data() - bytes_.data());
  } else if (layout_class == kContiguous) {
    dataset.offset = read_offset(place);
    size = read_length(place);
    if (dataset.size == 0) return Hdf5Dataset{dataset.data_type, std::move(dataset.shape), 0, 0};
    if (is_undefined(dataset.offset)) fail(name + " has a shape, but no elements were ever written");
    reader(dataset.offset).skip(size);  // lies in the file
  } else {
    fail(name + " is laid out in an unknown way (class " + std::to_string(layout_class) + ")");
  }
  if (size != dataset.size) {
    fail(name + " of shape " + shape_to_string(dataset.shape) + " and type " +
         std::string(to_string(dataset.data_type)) + " needs " + std::to_string(dataset.size) + " bytes, but has " +
         std::to_string(size));
  }
  return dataset;
}

}  // namespace onnxport
