#include "core/tensor_source.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <type_traits>
#include <utility>

#include "core/float16.h"
#include "core/parallel_for.h"
#include "core/tensor_regions.h"
#include "onnxport/error.h"

namespace onnxport {
namespace {

using Strides = std::vector<std::int64_t>;

/// Work that is given to one thread at a time, and the size of intermediate buffers of lazy transforms.
constexpr std::size_t kBlockBytes = std::size_t{4} << 20;

[[noreturn]] void fail_shape(const std::string& message) { throw Error(ErrorKind::ShapeMismatch, message); }

/// Transforms move and convert elements one by one, which packed ones do not allow.
void check_addressable(DataType type) {
  if (elements_per_unit(type) == 1) return;
  throw Error(ErrorKind::InvalidArgument, "Elements of " + std::string(to_string(type)) +
                                              " are packed in pairs: they can be neither moved nor converted");
}

bool in_memory(const TensorSource& source) { return !source.bytes.empty(); }

TensorSource lazy(DataType type, std::vector<std::int64_t> shape,
                  std::function<void(std::int64_t, std::span<std::byte>)> compute) {
  TensorSource result;
  result.data_type = type;
  result.shape = std::move(shape);
  result.compute = std::move(compute);
  return result;
}

std::int64_t product(std::span<const std::int64_t> dimensions) {
  std::int64_t result = 1;
  for (const std::int64_t dimension : dimensions) result *= dimension;
  return result;
}

std::int64_t normalise_axis(const TensorSource& source, int axis) {
  const auto rank = static_cast<std::int64_t>(source.shape.size());
  const std::int64_t normalised = axis < 0 ? axis + rank : axis;
  if (normalised < 0 || normalised >= rank) {
    fail_shape("A tensor of shape " + shape_to_string(source.shape) + " has no axis " + std::to_string(axis));
  }
  return normalised;
}

/// A tensor seen as [outer, size, inner] around one axis.
struct AxisView {
  std::int64_t outer;
  std::int64_t size;
  std::int64_t inner;
};

AxisView view_around(std::span<const std::int64_t> shape, std::int64_t axis) {
  const auto position = static_cast<std::size_t>(axis);
  return {product(shape.first(position)), shape[position], product(shape.subspan(position + 1))};
}

// ---- Element types ------------------------------------------------------------------------------------------------

/// How elements of a type lie in memory and as what they are computed with.
template <typename StorageType, typename ValueType = StorageType>
struct NativeElement {
  using Storage = StorageType;
  using Value = ValueType;
  static Value load(Storage bits) { return static_cast<Value>(bits); }
  static Storage store(Value value) { return static_cast<Storage>(value); }
};

struct BoolElement : NativeElement<std::uint8_t> {
  static Value load(Storage bits) { return bits != 0 ? 1 : 0; }
};

template <typename StorageType, float (*Load)(StorageType), StorageType (*Store)(float)>
struct SmallFloatElement {
  using Storage = StorageType;
  using Value = float;
  static Value load(Storage bits) { return Load(bits); }
  static Storage store(Value value) { return Store(value); }
};

struct Float16Element : SmallFloatElement<std::uint16_t, float16_to_float32, float32_to_float16> {
  static constexpr float kMaximum = 65504.0F;
  static constexpr bool kHasInfinity = true;
};
struct BFloat16Element : SmallFloatElement<std::uint16_t, bfloat16_to_float32, float32_to_bfloat16> {
  static constexpr float kMaximum = 0x1.fep127F;
  static constexpr bool kHasInfinity = true;
};
struct Float8E4M3FNElement : SmallFloatElement<std::uint8_t, float8_e4m3fn_to_float32, float32_to_float8_e4m3fn> {
  static constexpr float kMaximum = 448.0F;
  static constexpr bool kHasInfinity = false;
};
struct Float8E5M2Element : SmallFloatElement<std::uint8_t, float8_e5m2_to_float32, float32_to_float8_e5m2> {
  static constexpr float kMaximum = 57344.0F;
  static constexpr bool kHasInfinity = true;
};

/// Calls function(Element{}) for the type.
template <typename Function>
auto with_element(DataType type, Function function) {
  switch (type) {
    case DataType::Float64:
      return function(NativeElement<double>{});
    case DataType::Float32:
      return function(NativeElement<float>{});
    case DataType::Float16:
      return function(Float16Element{});
    case DataType::BFloat16:
      return function(BFloat16Element{});
    case DataType::Float8E4M3FN:
      return function(Float8E4M3FNElement{});
    case DataType::Float8E5M2:
      return function(Float8E5M2Element{});
    case DataType::Int64:
      return function(NativeElement<std::int64_t>{});
    case DataType::Int32:
      return function(NativeElement<std::int32_t>{});
    case DataType::Int16:
      return function(NativeElement<std::int16_t>{});
    case DataType::Int8:
      return function(NativeElement<std::int8_t>{});
    case DataType::UInt64:
      return function(NativeElement<std::uint64_t>{});
    case DataType::UInt32:
      return function(NativeElement<std::uint32_t>{});
    case DataType::UInt16:
      return function(NativeElement<std::uint16_t>{});
    case DataType::UInt8:
      return function(NativeElement<std::uint8_t>{});
    case DataType::Bool:
      return function(BoolElement{});
    case DataType::Int4:
    case DataType::UInt4:
    case DataType::Float4E2M1:
      check_addressable(type);
  }
  throw Error(ErrorKind::InvalidArgument, "unknown data type");
}

/// Elements may lie at any address: those of a file need not be aligned.
template <typename Storage>
Storage load_bits(const std::byte* address) {
  Storage bits;
  std::memcpy(&bits, address, sizeof(bits));
  return bits;
}

// ---- Conversion of values -----------------------------------------------------------------------------------------

template <typename Value>
Value saturate_finite(Value value, Value maximum) {
  // Written so that NaN and infinities pass.
  if (value > maximum && value <= std::numeric_limits<Value>::max()) return maximum;
  if (value < -maximum && value >= std::numeric_limits<Value>::lowest()) return -maximum;
  return value;
}

float narrow_to_float(double value) {
  return static_cast<float>(saturate_finite(value, static_cast<double>(std::numeric_limits<float>::max())));
}

/// Truncates; values out of range become the nearest bound and NaN zero, where C++ leaves the result undefined.
template <typename Integer, typename Floating>
Integer truncate_to(Floating value) {
  using Limits = std::numeric_limits<Integer>;
  // The upper bound of a wide integer rounds up to a power of two, which itself is out of range.
  if (value >= static_cast<Floating>(Limits::max())) return Limits::max();
  if (value <= static_cast<Floating>(Limits::lowest())) return Limits::lowest();
  return std::isnan(value) ? Integer{0} : static_cast<Integer>(value);
}

template <typename To, typename Value>
typename To::Storage convert_value(Value value) {
  using Target = typename To::Value;
  if constexpr (std::is_same_v<To, BoolElement>) {
    return value != Value{0} ? 1 : 0;
  } else if constexpr (requires { To::kMaximum; }) {
    float narrowed;
    if constexpr (std::is_same_v<Value, double>) {
      narrowed = narrow_to_float(value);
    } else {
      narrowed = static_cast<float>(value);
    }
    if constexpr (To::kHasInfinity) return To::store(saturate_finite(narrowed, To::kMaximum));
    return To::store(std::clamp(narrowed, -To::kMaximum, To::kMaximum));  // NaN passes
  } else if constexpr (std::is_same_v<Target, float> && std::is_same_v<Value, double>) {
    return narrow_to_float(value);
  } else if constexpr (std::is_integral_v<Target> && std::is_floating_point_v<Value>) {
    return truncate_to<Target>(value);
  } else {
    return static_cast<typename To::Storage>(value);
  }
}

using Converter = void (*)(const std::byte* in, std::byte* out, std::size_t count);

template <typename From, typename To>
void convert_run(const std::byte* in, std::byte* out, std::size_t count) {
  using FromStorage = typename From::Storage;
  using ToStorage = typename To::Storage;
  for (std::size_t index = 0; index < count; ++index) {
    const ToStorage bits = convert_value<To>(From::load(load_bits<FromStorage>(in + index * sizeof(FromStorage))));
    std::memcpy(out + index * sizeof(ToStorage), &bits, sizeof(bits));
  }
}

/// The pair of types that large exports spend their time on, with the processor's instructions for it.
void convert_float32_to_float16(const std::byte* in, std::byte* out, std::size_t count) {
  constexpr std::size_t kRun = 1024;
  std::array<float, kRun> values;
  std::array<std::uint16_t, kRun> bits;
  for (std::size_t done = 0; done < count; done += kRun) {
    const std::size_t run = std::min(kRun, count - done);
    std::memcpy(values.data(), in + done * sizeof(float), run * sizeof(float));
    for (std::size_t index = 0; index < run; ++index) {
      values[index] = saturate_finite(values[index], Float16Element::kMaximum);
    }
    float32_to_float16(std::span<const float>(values).first(run), std::span(bits).first(run));
    std::memcpy(out + done * sizeof(std::uint16_t), bits.data(), run * sizeof(std::uint16_t));
  }
}

void convert_float16_to_float32(const std::byte* in, std::byte* out, std::size_t count) {
  constexpr std::size_t kRun = 1024;
  std::array<std::uint16_t, kRun> bits;
  std::array<float, kRun> values;
  for (std::size_t done = 0; done < count; done += kRun) {
    const std::size_t run = std::min(kRun, count - done);
    std::memcpy(bits.data(), in + done * sizeof(std::uint16_t), run * sizeof(std::uint16_t));
    float16_to_float32(std::span<const std::uint16_t>(bits).first(run), std::span(values).first(run));
    std::memcpy(out + done * sizeof(float), values.data(), run * sizeof(float));
  }
}

Converter converter(DataType from, DataType to) {
  if (from == DataType::Float32 && to == DataType::Float16) return convert_float32_to_float16;
  if (from == DataType::Float16 && to == DataType::Float32) return convert_float16_to_float32;
  return with_element(from, [to](auto from_element) {
    return with_element(
        to, [](auto to_element) -> Converter { return convert_run<decltype(from_element), decltype(to_element)>; });
  });
}

/// Reads elements of `source` and converts them, `in_size` and `out_size` bytes each.
void read_converted(const TensorSource& source, Converter convert, std::size_t in_size, std::size_t out_size,
                    std::int64_t first, std::span<std::byte> out) {
  const std::size_t count = out.size() / out_size;
  if (in_memory(source)) {
    convert(source.bytes.data() + static_cast<std::size_t>(first) * in_size, out.data(), count);
    return;
  }
  const std::size_t block = std::min(count, kBlockBytes / in_size);
  std::vector<std::byte> buffer(block * in_size);
  for (std::size_t done = 0; done < count; done += block) {
    const std::size_t run = std::min(block, count - done);
    read_elements(source, first + static_cast<std::int64_t>(done), std::span(buffer).first(run * in_size));
    convert(buffer.data(), out.data() + done * out_size, run);
  }
}

// ---- Transpose ----------------------------------------------------------------------------------------------------

/// The axes of a transposed tensor: how many elements, and how far they lie apart in the source.
struct TransposedAxes {
  std::vector<std::int64_t> dimensions;
  Strides strides;
};

/// Leaves out axes of size 1 and merges neighbours that the source keeps together, so that most permutations become a
/// matrix transpose or a batch of them.
TransposedAxes simplify_axes(std::span<const std::int64_t> shape, std::span<const int> permutation) {
  Strides source_strides(shape.size());
  std::int64_t stride = 1;
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    source_strides[axis] = stride;
    stride *= shape[axis];
  }
  TransposedAxes axes;
  for (const int source_axis : permutation) {
    const std::int64_t dimension = shape[static_cast<std::size_t>(source_axis)];
    const std::int64_t distance = source_strides[static_cast<std::size_t>(source_axis)];
    if (dimension == 1) continue;
    if (!axes.dimensions.empty() && axes.strides.back() == distance * dimension) {
      axes.dimensions.back() *= dimension;
      axes.strides.back() = distance;
    } else {
      axes.dimensions.push_back(dimension);
      axes.strides.push_back(distance);
    }
  }
  return axes;
}

/// Transposes a tile of at most kTile rows and columns. It passes through a buffer, so that each cache line is touched
/// once on either side: rows that lie a power of two apart would evict each other if they were visited again.
template <typename Bits, std::int64_t kTile>
void transpose_tile(const std::byte* in, std::int64_t in_stride, std::byte* out, std::int64_t out_stride,
                    std::int64_t rows, std::int64_t columns) {
  std::array<Bits, static_cast<std::size_t>(kTile * kTile)> tile;
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::byte* address = in + static_cast<std::size_t>(row * in_stride) * sizeof(Bits);
    for (std::int64_t column = 0; column < columns; ++column) {
      tile[static_cast<std::size_t>(column * kTile + row)] =
          load_bits<Bits>(address + static_cast<std::size_t>(column) * sizeof(Bits));
    }
  }
  for (std::int64_t column = 0; column < columns; ++column) {
    std::memcpy(out + static_cast<std::size_t>(column * out_stride) * sizeof(Bits),
                tile.data() + static_cast<std::size_t>(column * kTile), static_cast<std::size_t>(rows) * sizeof(Bits));
  }
}

/// out[column * out_stride + row] = in[row * in_stride + column]; strides in elements. Goes through tiles as wide as a
/// cache line.
template <typename Bits>
void transpose_plane(const std::byte* in, std::int64_t in_stride, std::byte* out, std::int64_t out_stride,
                     std::int64_t rows, std::int64_t columns) {
  constexpr std::int64_t kTile = 64 / static_cast<std::int64_t>(sizeof(Bits));
  for (std::int64_t row = 0; row < rows; row += kTile) {
    for (std::int64_t column = 0; column < columns; column += kTile) {
      const std::int64_t tile_rows = std::min(kTile, rows - row);
      const std::int64_t tile_columns = std::min(kTile, columns - column);
      const std::byte* tile_in = in + static_cast<std::size_t>(row * in_stride + column) * sizeof(Bits);
      std::byte* tile_out = out + static_cast<std::size_t>(column * out_stride + row) * sizeof(Bits);
      if (tile_rows == kTile && tile_columns == kTile) {
        transpose_tile<Bits, kTile>(tile_in, in_stride, tile_out, out_stride, kTile, kTile);  // the compiler unrolls it
      } else {
        transpose_tile<Bits, kTile>(tile_in, in_stride, tile_out, out_stride, tile_rows, tile_columns);
      }
    }
  }
}

using PlaneTransposer = void (*)(const std::byte*, std::int64_t, std::byte*, std::int64_t, std::int64_t, std::int64_t);

PlaneTransposer plane_transposer(std::size_t element_size) {
  switch (element_size) {
    case 1:
      return transpose_plane<std::uint8_t>;
    case 2:
      return transpose_plane<std::uint16_t>;
    case 4:
      return transpose_plane<std::uint32_t>;
    default:
      return transpose_plane<std::uint64_t>;
  }
}

/// Computes runs of a transposed tensor. In the output's order its axes are
///
///     outer ..., unit, middle ..., last
///
/// where `unit` is the axis along which the source is contiguous. A slab is one index of `outer` and `unit`; adjacent
/// slabs are transposed together, as planes [last, unit] of the source.
class Transposer {
 public:
  Transposer(TensorSource source, TransposedAxes axes)
      : source_(std::move(source)),
        axes_(std::move(axes)),
        element_size_(size_of(source_.data_type)),
        transpose_plane_(plane_transposer(element_size_)) {
    unit_ = static_cast<std::size_t>(std::find(axes_.strides.begin(), axes_.strides.end(), 1) - axes_.strides.begin());
    slab_ = product(std::span(axes_.dimensions).subspan(unit_ + 1));
    last_size_ = axes_.dimensions.back();
    last_stride_ = axes_.strides.back();
  }

  const TensorSource& source() const { return source_; }

  void compute(std::int64_t first, std::span<std::byte> out) const {
    const bool rows_stay = unit_ + 1 == axes_.dimensions.size();
    if (rows_stay) {
      copy_rows(first, out);
    } else {
      transpose_slabs(first, out);
    }
  }

 private:
  std::int64_t elements_of(std::span<std::byte> out) const {
    return static_cast<std::int64_t>(out.size() / element_size_);
  }
  std::size_t bytes_of(std::int64_t elements) const { return static_cast<std::size_t>(elements) * element_size_; }

  /// Where the element of row-major index `index` over the axes [begin, end) lies in the source.
  std::int64_t source_offset(std::size_t begin, std::size_t end, std::int64_t index) const {
    std::int64_t offset = 0;
    for (std::size_t axis = end; axis-- > begin;) {
      offset += (index % axes_.dimensions[axis]) * axes_.strides[axis];
      index /= axes_.dimensions[axis];
    }
    return offset;
  }

  /// The last axis is the source's last: rows move as a whole.
  void copy_rows(std::int64_t position, std::span<std::byte> out) const {
    while (!out.empty()) {
      const std::int64_t within = position % last_size_;
      const std::int64_t run = std::min(last_size_ - within, elements_of(out));
      read_elements(source_, source_offset(0, unit_, position / last_size_) + within, out.first(bytes_of(run)));
      position += run;
      out = out.subspan(bytes_of(run));
    }
  }

  void transpose_slabs(std::int64_t position, std::span<std::byte> out) const {
    const std::int64_t units = axes_.dimensions[unit_];
    while (!out.empty()) {
      const std::int64_t within = position % slab_;
      const std::int64_t unit = position / slab_ % units;
      const std::int64_t base = source_offset(0, unit_, position / slab_ / units) + unit;
      std::int64_t run = 0;
      if (within == 0 && elements_of(out) >= slab_) {
        const std::int64_t slabs = std::min(units - unit, elements_of(out) / slab_);
        run = slabs * slab_;
        whole_slabs(base, slabs, out.data());
      } else {
        run = std::min(slab_ - within, elements_of(out));
        part_of_slab(base, within, out.first(bytes_of(run)));
      }
      position += run;
      out = out.subspan(bytes_of(run));
    }
  }

  void whole_slabs(std::int64_t base, std::int64_t slabs, std::byte* out) const {
    const std::size_t last = axes_.dimensions.size() - 1;
    for (std::int64_t middle = 0; middle < slab_ / last_size_; ++middle) {
      plane(base + source_offset(unit_ + 1, last, middle), slabs, out + bytes_of(middle * last_size_));
    }
  }

  /// The plane [last_size_, columns] of the source at `begin`, transposed to rows that lie a slab apart.
  void plane(std::int64_t begin, std::int64_t columns, std::byte* out) const {
    if (in_memory(source_)) {
      transpose_plane_(source_.bytes.data() + bytes_of(begin), last_stride_, out, slab_, last_size_, columns);
      return;
    }
    constexpr std::int64_t kRows = 64;
    std::vector<std::byte> buffer(bytes_of(std::min(kRows, last_size_) * columns));
    for (std::int64_t row = 0; row < last_size_; row += kRows) {
      const std::int64_t rows = std::min(kRows, last_size_ - row);
      for (std::int64_t offset = 0; offset < rows; ++offset) {
        read_elements(source_, begin + (row + offset) * last_stride_,
                      std::span(buffer).subspan(bytes_of(offset * columns), bytes_of(columns)));
      }
      transpose_plane_(buffer.data(), columns, out + bytes_of(row), slab_, rows, columns);
    }
  }

  /// Elements from `within` on of the slab at `base`: a block that a caller asks for need not begin or end with one.
  void part_of_slab(std::int64_t base, std::int64_t within, std::span<std::byte> out) const {
    const std::size_t last = axes_.dimensions.size() - 1;
    while (!out.empty()) {
      const std::int64_t begin = within % last_size_;
      const std::int64_t run = std::min(last_size_ - begin, elements_of(out));
      const std::int64_t offset = base + source_offset(unit_ + 1, last, within / last_size_) + begin * last_stride_;
      gather(offset, out.first(bytes_of(run)));
      within += run;
      out = out.subspan(bytes_of(run));
    }
  }

  void gather(std::int64_t offset, std::span<std::byte> out) const {
    const std::int64_t count = elements_of(out);
    if (in_memory(source_)) {
      transpose_plane_(source_.bytes.data() + bytes_of(offset), last_stride_, out.data(), 1, count, 1);
      return;
    }
    for (std::int64_t index = 0; index < count; ++index) {
      read_elements(source_, offset + index * last_stride_, out.subspan(bytes_of(index), element_size_));
    }
  }

  TensorSource source_;
  TransposedAxes axes_;
  std::size_t element_size_;
  PlaneTransposer transpose_plane_;
  std::size_t unit_ = 0;
  std::int64_t slab_ = 1;
  std::int64_t last_size_ = 1;
  std::int64_t last_stride_ = 1;
};

void check_permutation(std::span<const std::int64_t> shape, std::span<const int> permutation) {
  std::vector<bool> seen(shape.size(), false);
  bool valid = permutation.size() == shape.size();
  for (std::size_t index = 0; valid && index < permutation.size(); ++index) {
    const int axis = permutation[index];
    valid = axis >= 0 && static_cast<std::size_t>(axis) < shape.size() && !seen[static_cast<std::size_t>(axis)];
    if (valid) seen[static_cast<std::size_t>(axis)] = true;
  }
  if (!valid) {
    const std::vector<std::int64_t> axes(permutation.begin(), permutation.end());
    fail_shape("A tensor of shape " + shape_to_string(shape) + " cannot be transposed by the permutation " +
               shape_to_string(axes));
  }
}

// ---- Slice and concat ---------------------------------------------------------------------------------------------

void check_slice(const TensorSource& source, std::int64_t axis, std::int64_t begin, std::int64_t end) {
  const std::int64_t size = source.shape[static_cast<std::size_t>(axis)];
  if (begin < 0 || end < begin || end > size) {
    fail_shape("The range [" + std::to_string(begin) + ", " + std::to_string(end) + ") is outside axis " +
               std::to_string(axis) + " of a tensor of shape " + shape_to_string(source.shape));
  }
}

void check_concat(const std::vector<TensorSource>& sources, std::int64_t axis) {
  const TensorSource& expected = sources.front();
  for (const TensorSource& source : sources) {
    bool fits = source.data_type == expected.data_type && source.shape.size() == expected.shape.size();
    for (std::size_t index = 0; fits && index < source.shape.size(); ++index) {
      fits = static_cast<std::int64_t>(index) == axis || source.shape[index] == expected.shape[index];
    }
    if (fits) continue;
    fail_shape("Tensors of shape " + shape_to_string(expected.shape) + " " +
               std::string(to_string(expected.data_type)) + " and " + shape_to_string(source.shape) + " " +
               std::string(to_string(source.data_type)) + " cannot be concatenated along axis " + std::to_string(axis));
  }
}

/// One operand of a concatenation: a row is what it contributes for one index of the axes before.
struct ConcatPart {
  TensorSource source;
  std::int64_t begin;  ///< of its part in a row of the result
  std::int64_t row;
};

void read_concat(const std::vector<ConcatPart>& parts, std::int64_t row_size, std::size_t element_size,
                 std::int64_t position, std::span<std::byte> out) {
  while (!out.empty()) {
    const std::int64_t row = position / row_size;
    const std::int64_t within = position % row_size;
    // The last part that begins at or before `within`; parts without elements begin where the next one does.
    const auto next = std::upper_bound(parts.begin(), parts.end(), within,
                                       [](std::int64_t value, const ConcatPart& part) { return value < part.begin; });
    const ConcatPart& part = *(next - 1);
    const std::int64_t offset = within - part.begin;
    const std::int64_t run = std::min(part.row - offset, static_cast<std::int64_t>(out.size() / element_size));
    const std::size_t bytes = static_cast<std::size_t>(run) * element_size;
    read_elements(part.source, row * part.row + offset, out.first(bytes));
    position += run;
    out = out.subspan(bytes);
  }
}

// ---- Transforms -----------------------------------------------------------------------------------------------------

/// What `compute` of a lazy source is. Named types, so that what a source reads can be asked of it.
struct Cast {
  TensorSource source;
  Converter convert;
  std::size_t in_size;
  std::size_t out_size;

  void operator()(std::int64_t first, std::span<std::byte> out) const {
    read_converted(source, convert, in_size, out_size, first, out);
  }
};

struct Transposition {
  std::shared_ptr<const Transposer> transposer;

  void operator()(std::int64_t first, std::span<std::byte> out) const { transposer->compute(first, out); }
};

struct Concatenation {
  std::shared_ptr<const std::vector<ConcatPart>> parts;
  std::int64_t row_size;
  std::size_t element_size;

  void operator()(std::int64_t first, std::span<std::byte> out) const {
    read_concat(*parts, row_size, element_size, first, out);
  }
};

struct Slice {
  TensorSource source;
  std::int64_t skipped;  ///< elements of a row of the source before the slice
  std::int64_t row;
  std::int64_t source_row;
  std::size_t element_size;

  void operator()(std::int64_t position, std::span<std::byte> out) const {
    while (!out.empty()) {
      const std::int64_t within = position % row;
      const std::int64_t run = std::min(row - within, static_cast<std::int64_t>(out.size() / element_size));
      const std::size_t bytes = static_cast<std::size_t>(run) * element_size;
      read_elements(source, position / row * source_row + skipped + within, out.first(bytes));
      position += run;
      out = out.subspan(bytes);
    }
  }
};

struct Scaling {
  TensorSource source;
  float factor;

  void operator()(std::int64_t first, std::span<std::byte> out) const {
    read_elements(source, first, out);
    with_element(source.data_type, [&](auto element) {
      using Element = decltype(element);
      using Storage = typename Element::Storage;
      if constexpr (std::is_floating_point_v<typename Element::Value>) {
        for (std::size_t offset = 0; offset < out.size(); offset += sizeof(Storage)) {
          const auto product = Element::load(load_bits<Storage>(out.data() + offset)) * factor;
          const Storage bits = convert_value<Element>(product);
          std::memcpy(out.data() + offset, &bits, sizeof(bits));
        }
      }
    });
  }
};

void add_regions(const TensorSource& source, std::vector<FileRegion>& regions) {
  if (in_memory(source)) {
    if (source.file) regions.push_back({source.file, source.file_offset, source.bytes.size()});
  } else if (const auto* cast = source.compute.target<Cast>()) {
    add_regions(cast->source, regions);
  } else if (const auto* transposition = source.compute.target<Transposition>()) {
    add_regions(transposition->transposer->source(), regions);
  } else if (const auto* concatenation = source.compute.target<Concatenation>()) {
    for (const ConcatPart& part : *concatenation->parts) add_regions(part.source, regions);
  } else if (const auto* slice = source.compute.target<Slice>()) {
    add_regions(slice->source, regions);
  } else if (const auto* scaling = source.compute.target<Scaling>()) {
    add_regions(scaling->source, regions);
  }
}

}  // namespace

std::vector<FileRegion> regions_of(const TensorSource& source) {
  std::vector<FileRegion> regions;
  add_regions(source, regions);
  return regions;
}

bool is_elementwise(const TensorSource& source) {
  if (in_memory(source)) return true;
  if (const auto* cast = source.compute.target<Cast>()) return is_elementwise(cast->source);
  const auto* scaling = source.compute.target<Scaling>();
  return scaling != nullptr && is_elementwise(scaling->source);
}

std::int64_t TensorSource::element_count() const { return onnxport::element_count(shape); }

std::uint64_t TensorSource::byte_size() const { return onnxport::byte_size(data_type, element_count()); }

void read_elements(const TensorSource& source, std::int64_t first, std::span<std::byte> out) {
  if (out.empty()) return;
  if (in_memory(source)) {
    const std::size_t element_size = size_of(source.data_type);
    const auto begin = static_cast<std::size_t>(first);  // of a negative number: beyond every tensor
    if (begin > source.bytes.size() / element_size || out.size() > source.bytes.size() - begin * element_size) {
      throw Error(ErrorKind::InvalidArgument,
                  "Elements beyond the end of a tensor of shape " + shape_to_string(source.shape));
    }
    std::memcpy(out.data(), source.bytes.data() + begin * element_size, out.size());
    return;
  }
  if (!source.compute) {
    throw Error(ErrorKind::InvalidArgument, "A tensor of shape " + shape_to_string(source.shape) + " has no elements");
  }
  source.compute(first, out);
}

Array materialize(const TensorSource& source) {
  const std::size_t element_size = size_of(source.data_type);
  if (in_memory(source) && reinterpret_cast<std::uintptr_t>(source.bytes.data()) % element_size == 0) {
    std::shared_ptr<const void> owner = source.owner ? source.owner : source.file;
    return {source.data_type, source.shape, std::move(owner), source.bytes.data()};
  }
  Array array(source.data_type, source.shape);
  const std::span<std::byte> out = array.mutable_bytes();
  const auto grain = static_cast<std::int64_t>(kBlockBytes / element_size);
  parallel_for(static_cast<std::int64_t>(out.size() / element_size), grain, [&](std::int64_t begin, std::int64_t end) {
    read_elements(source, begin,
                  out.subspan(static_cast<std::size_t>(begin) * element_size,
                              static_cast<std::size_t>(end - begin) * element_size));
  });
  return array;
}

TensorSource from_array(const Array& array) {
  TensorSource source;
  source.data_type = array.data_type();
  source.shape = array.shape();
  source.bytes = array.bytes();
  source.owner = array.owner();
  return source;
}

TensorSource cast(TensorSource source, DataType type) {
  if (source.data_type == type) return source;
  const Converter convert = converter(source.data_type, type);
  const std::size_t in_size = size_of(source.data_type);
  std::vector<std::int64_t> shape = source.shape;
  return lazy(type, std::move(shape), Cast{std::move(source), convert, in_size, size_of(type)});
}

TensorSource reshape(TensorSource source, std::vector<std::int64_t> shape) {
  if (element_count(shape) != source.element_count()) {
    fail_shape("A tensor of shape " + shape_to_string(source.shape) + " cannot be reshaped to " +
               shape_to_string(shape));
  }
  source.shape = std::move(shape);
  return source;
}

TensorSource transpose(TensorSource source, std::vector<int> permutation) {
  check_permutation(source.shape, permutation);
  check_addressable(source.data_type);
  std::vector<std::int64_t> shape;
  for (const int axis : permutation) shape.push_back(source.shape[static_cast<std::size_t>(axis)]);
  if (source.element_count() <= 1) return reshape(std::move(source), std::move(shape));

  TransposedAxes axes = simplify_axes(source.shape, permutation);
  if (axes.dimensions.size() == 1) return reshape(std::move(source), std::move(shape));
  const DataType type = source.data_type;
  return lazy(type, std::move(shape),
              Transposition{std::make_shared<const Transposer>(std::move(source), std::move(axes))});
}

TensorSource concat(std::vector<TensorSource> sources, int axis) {
  if (sources.empty()) fail_shape("Nothing to concatenate");
  const std::int64_t normalised = normalise_axis(sources.front(), axis);
  check_concat(sources, normalised);
  if (sources.size() == 1) return std::move(sources.front());
  check_addressable(sources.front().data_type);

  const DataType type = sources.front().data_type;
  std::vector<std::int64_t> shape = sources.front().shape;
  auto parts = std::make_shared<std::vector<ConcatPart>>();
  std::int64_t row_size = 0;
  std::int64_t size = 0;
  for (TensorSource& source : sources) {
    const AxisView view = view_around(source.shape, normalised);
    const std::int64_t row = view.size * view.inner;
    parts->push_back({std::move(source), row_size, row});
    if (__builtin_add_overflow(row_size, row, &row_size) || __builtin_add_overflow(size, view.size, &size)) {
      fail_shape("The concatenated tensor has too many elements");
    }
  }
  shape[static_cast<std::size_t>(normalised)] = size;
  element_count(shape);  // throws if the product overflows
  return lazy(type, std::move(shape), Concatenation{std::move(parts), row_size, size_of(type)});
}

TensorSource slice(TensorSource source, int axis, std::int64_t begin, std::int64_t end) {
  const std::int64_t normalised = normalise_axis(source, axis);
  check_slice(source, normalised, begin, end);
  const AxisView view = view_around(source.shape, normalised);
  if (begin == 0 && end == view.size) return source;
  check_addressable(source.data_type);

  const DataType type = source.data_type;
  const std::size_t element_size = size_of(type);
  std::vector<std::int64_t> shape = source.shape;
  shape[static_cast<std::size_t>(normalised)] = end - begin;
  const std::int64_t skipped = begin * view.inner;
  const std::int64_t row = (end - begin) * view.inner;

  if (in_memory(source) && (view.outer == 1 || row == 0)) {
    const std::size_t offset = view.outer == 1 ? static_cast<std::size_t>(skipped) * element_size : 0;
    source.bytes = source.bytes.subspan(offset, static_cast<std::size_t>(view.outer * row) * element_size);
    source.file_offset += offset;
    source.shape = std::move(shape);
    return source;
  }
  const std::int64_t source_row = view.size * view.inner;
  return lazy(type, std::move(shape), Slice{std::move(source), skipped, row, source_row, element_size});
}

TensorSource scale(TensorSource source, float factor) {
  if (!is_floating_point(source.data_type)) {
    fail_shape("A tensor of " + std::string(to_string(source.data_type)) + " cannot be scaled");
  }
  const DataType type = source.data_type;
  std::vector<std::int64_t> shape = source.shape;
  return lazy(type, std::move(shape), Scaling{std::move(source), factor});
}

TensorSource computed(std::vector<std::int64_t> shape, std::function<Array()> compute) {
  struct State {
    std::function<Array()> compute;
    std::mutex mutex;
    bool done = false;
    Array array;
  };
  auto state = std::make_shared<State>();
  state->compute = std::move(compute);
  const std::vector<std::int64_t> expected = shape;
  return lazy(DataType::Float32, std::move(shape), [state, expected](std::int64_t first, std::span<std::byte> out) {
    {
      const std::scoped_lock lock(state->mutex);
      if (!state->done) {
        Array array = state->compute();
        if (array.data_type() != DataType::Float32 || array.shape() != expected) {
          fail_shape("A computed tensor has the shape " + shape_to_string(array.shape()) + " " +
                     std::string(to_string(array.data_type())) + " in place of " + shape_to_string(expected) +
                     " float32");
        }
        state->array = std::move(array);
        state->compute = nullptr;
        state->done = true;
      }
    }
    read_elements(from_array(state->array), first, out);
  });
}

}  // namespace onnxport
