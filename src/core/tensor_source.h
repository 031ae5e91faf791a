#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/mapped_file.h"
#include "onnxport/array.h"
#include "onnxport/data_type.h"

namespace onnxport {

/// A tensor that need not be in memory: where its elements lie in a mapped file, or how to compute any run of them.
/// Weights pass through the exporter in this form only, so its memory does not grow with the model.
struct TensorSource {
  DataType data_type = DataType::Float32;
  std::vector<std::int64_t> shape;

  /// All elements as they lie in memory (little endian, row-major), empty if they must be computed.
  std::span<const std::byte> bytes;
  /// The file that `bytes` lies in, if any, and the offset there (copy_file_range, external data by reference).
  std::shared_ptr<const MappedFile> file;
  std::uint64_t file_offset = 0;
  /// Otherwise: computes the elements (pairs of them, for types of 4 bits) [first, first + out.size() /
  /// size_of(data_type)) into `out`. Thread-safe.
  std::function<void(std::int64_t first, std::span<std::byte> out)> compute;
  /// Keeps `bytes` alive when they do not lie in `file`.
  std::shared_ptr<const void> owner;

  std::int64_t element_count() const;
  std::uint64_t byte_size() const;
};

/// Elements [first, first + out.size() / element size) of any source. Throws Error(InvalidArgument) beyond its end.
void read_elements(const TensorSource& source, std::int64_t first, std::span<std::byte> out);
/// All elements, without a copy where they lie in memory aligned to their size.
Array materialize(const TensorSource& source);

TensorSource from_array(const Array& array);
/// Lazy transforms. They compose; none reads an element before it is asked for. Throw Error(ShapeMismatch).
/// A negative axis counts from the end.
///
/// cast: float to narrower float saturates finite values, and infinities where the type has none, as torch and ONNX do;
/// float to integer truncates and saturates, NaN becomes 0.
TensorSource cast(TensorSource source, DataType type);
/// Stays in memory or mapped where `source` is, as do a transpose that moves only axes of size 1 and a slice along the
/// first axis other than 1.
TensorSource reshape(TensorSource source, std::vector<std::int64_t> shape);
/// Fastest on a source in memory: of transpose and cast or scale, transpose first. A run that is read should hold many
/// whole rows of the result.
TensorSource transpose(TensorSource source, std::vector<int> permutation);
TensorSource concat(std::vector<TensorSource> sources, int axis);
TensorSource slice(TensorSource source, int axis, std::int64_t begin, std::int64_t end);
/// Floating-point tensors only; the product is rounded to their type and saturates as in cast.
TensorSource scale(TensorSource source, float factor);
/// Any element-wise or structural computation of a float32 tensor, evaluated once on first use.
TensorSource computed(std::vector<std::int64_t> shape, std::function<Array()> compute);

}  // namespace onnxport
