#include "core/tensor_source.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <numeric>
#include <string>
#include <thread>

#include <gtest/gtest.h>
#include <unistd.h>

#include "core/float16.h"
#include "core/parallel_for.h"
#include "onnxport/error.h"

namespace onnxport {
namespace {

using Shape = std::vector<std::int64_t>;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

template <typename T>
TensorSource source_of(DataType type, Shape shape, const std::vector<T>& values) {
  return from_array(Array::of<T>(type, std::move(shape), values));
}

TensorSource floats(Shape shape, const std::vector<float>& values) {
  return source_of(DataType::Float32, std::move(shape), values);
}

/// 0, 1, 2, ... of any type whose elements are 1, 2, 4 or 8 bytes of bits.
template <typename T>
TensorSource counting(DataType type, const Shape& shape) {
  std::vector<T> values(static_cast<std::size_t>(element_count(shape)));
  std::iota(values.begin(), values.end(), T{0});
  return source_of(type, shape, values);
}

/// The same elements, but as if they had to be computed.
TensorSource without_memory(TensorSource source) {
  TensorSource result;
  result.data_type = source.data_type;
  result.shape = source.shape;
  result.compute = [source](std::int64_t first, std::span<std::byte> out) { read_elements(source, first, out); };
  return result;
}

template <typename T>
std::vector<T> values_of(const TensorSource& source) {
  const Array array = materialize(source);
  EXPECT_EQ(array.shape(), source.shape);
  const auto values = array.values<T>();
  return {values.begin(), values.end()};
}

template <typename Function>
void expect_error(ErrorKind kind, Function function) {
  try {
    function();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
  }
}

/// Reads in runs of `run` elements and compares with the elements that all at once gives.
template <typename T>
void expect_same_in_runs(const TensorSource& source, std::int64_t run) {
  const std::vector<T> expected = values_of<T>(source);
  std::vector<T> values(expected.size());
  const std::int64_t count = source.element_count();
  for (std::int64_t first = 0; first < count; first += run) {
    const std::int64_t length = std::min(run, count - first);
    read_elements(source, first,
                  std::as_writable_bytes(
                      std::span(values).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(length))));
  }
  EXPECT_EQ(values, expected) << "in runs of " << run;
}

/// A file in the temporary directory with the numbers 0, 1, ... as float32 behind `skipped` bytes.
class NumberFile {
 public:
  NumberFile(std::size_t skipped, std::size_t count) {
    std::string name = (std::filesystem::temp_directory_path() / "tensor_source_test_XXXXXX").string();
    ::close(::mkstemp(name.data()));
    path_ = name;
    std::vector<float> values(count);
    std::iota(values.begin(), values.end(), 0.0F);
    std::ofstream stream(path_, std::ios::binary);
    stream << std::string(skipped, 'x');
    stream.write(reinterpret_cast<const char*>(values.data()),
                 static_cast<std::streamsize>(values.size() * sizeof(float)));
    stream.close();
    source_.file = MappedFile::open(path_);
    source_.file_offset = skipped;
    source_.bytes = source_.file->bytes().subspan(skipped);
    source_.shape = {static_cast<std::int64_t>(count)};
  }
  ~NumberFile() { std::filesystem::remove(path_); }
  NumberFile(const NumberFile&) = delete;
  NumberFile& operator=(const NumberFile&) = delete;

  const TensorSource& source() const { return source_; }

 private:
  std::filesystem::path path_;
  TensorSource source_;
};

/// The transposed elements by definition.
template <typename T>
std::vector<T> transposed(const std::vector<T>& values, const Shape& shape, const std::vector<int>& permutation) {
  Shape strides(shape.size(), 1);
  for (std::size_t axis = shape.size(); axis-- > 1;) strides[axis - 1] = strides[axis] * shape[axis];
  std::vector<T> result(values.size());
  for (std::size_t position = 0; position < values.size(); ++position) {
    auto rest = static_cast<std::int64_t>(position);
    std::int64_t offset = 0;
    for (std::size_t axis = shape.size(); axis-- > 0;) {
      const auto source_axis = static_cast<std::size_t>(permutation[axis]);
      offset += rest % shape[source_axis] * strides[source_axis];
      rest /= shape[source_axis];
    }
    result[position] = values[static_cast<std::size_t>(offset)];
  }
  return result;
}

// ---- Reading ------------------------------------------------------------------------------------------------------

TEST(TensorSourceTest, ReadsRunsAndRefusesThoseBeyondTheEnd) {
  const TensorSource source = floats({4}, {1, 2, 3, 4});
  std::array<float, 2> out{};
  read_elements(source, 2, std::as_writable_bytes(std::span(out)));
  EXPECT_EQ(out[0], 3.0F);
  EXPECT_EQ(out[1], 4.0F);
  expect_error(ErrorKind::InvalidArgument, [&] { read_elements(source, 3, std::as_writable_bytes(std::span(out))); });
  expect_error(ErrorKind::InvalidArgument, [&] { read_elements(source, -1, std::as_writable_bytes(std::span(out))); });
  expect_error(ErrorKind::InvalidArgument,
               [&] { read_elements(source, std::int64_t{1} << 62, std::as_writable_bytes(std::span(out))); });
  expect_error(ErrorKind::InvalidArgument,
               [&] { read_elements(TensorSource(), 0, std::as_writable_bytes(std::span(out))); });
}

TEST(TensorSourceTest, Sizes) {
  EXPECT_EQ(floats({2, 3}, std::vector<float>(6)).byte_size(), 24U);
  EXPECT_EQ(floats({}, {1}).element_count(), 1);
  TensorSource source;
  source.shape = {std::int64_t{1} << 62, 1};
  expect_error(ErrorKind::InvalidArgument, [&] { source.byte_size(); });
}

TEST(TensorSourceTest, MaterializeDoesNotCopyAlignedMemory) {
  const NumberFile file(16, 8);
  const Array array = materialize(file.source());
  EXPECT_EQ(array.bytes().data(), file.source().bytes.data());
  EXPECT_EQ(array.data<float>()[5], 5.0F);

  const TensorSource source = floats({4}, {1, 2, 3, 4});
  EXPECT_EQ(materialize(source).bytes().data(), source.bytes.data());
}

TEST(TensorSourceTest, MaterializeKeepsTheMappingAlive) {
  Array array;
  {
    const NumberFile file(0, 100'000);
    array = materialize(file.source());
  }
  EXPECT_EQ(array.data<float>()[99'999], 99'999.0F);
}

TEST(TensorSourceTest, MaterializeCopiesUnalignedMemory) {
  const NumberFile file(3, 8);
  const Array array = materialize(file.source());
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(array.bytes().data()) % 64, 0U);
  EXPECT_EQ(array.data<float>()[7], 7.0F);
  EXPECT_EQ(values_of<std::int32_t>(cast(file.source(), DataType::Int32)), (std::vector{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(values_of<float>(transpose(reshape(file.source(), {2, 4}), {1, 0})),
            (std::vector<float>{0, 4, 1, 5, 2, 6, 3, 7}));
}

TEST(TensorSourceTest, MaterializeComputesLargeTensorsInBlocks) {
  const TensorSource source = without_memory(counting<std::uint32_t>(DataType::UInt32, {3, 1'000'003}));
  const std::vector<std::uint32_t> values = values_of<std::uint32_t>(source);
  for (std::size_t index = 0; index < values.size(); ++index) ASSERT_EQ(values[index], index);
}

TEST(TensorSourceTest, EmptyTensors) {
  const TensorSource empty = floats({0, 3}, {});
  EXPECT_EQ(materialize(empty).shape(), (Shape{0, 3}));
  EXPECT_EQ(materialize(cast(empty, DataType::Float16)).element_count(), 0);
  EXPECT_EQ(materialize(transpose(empty, {1, 0})).shape(), (Shape{3, 0}));
  EXPECT_EQ(materialize(concat({empty, empty}, 1)).shape(), (Shape{0, 6}));
  EXPECT_EQ(materialize(slice(empty, 1, 1, 2)).shape(), (Shape{0, 1}));
  EXPECT_EQ(materialize(slice(floats({2, 2}, {1, 2, 3, 4}), 1, 1, 1)).shape(), (Shape{2, 0}));
  EXPECT_EQ(materialize(slice(floats({2, 2}, {1, 2, 3, 4}), 0, 2, 2)).shape(), (Shape{0, 2}));
  EXPECT_EQ(materialize(scale(empty, 2.0F)).element_count(), 0);
  EXPECT_EQ(materialize(reshape(empty, {5, 0})).shape(), (Shape{5, 0}));
}

// ---- Cast ---------------------------------------------------------------------------------------------------------

TEST(CastTest, SameTypeIsTheSameSource) {
  const TensorSource source = floats({2}, {1, 2});
  EXPECT_EQ(cast(source, DataType::Float32).bytes.data(), source.bytes.data());
}

TEST(CastTest, SmallIntegersSurviveEveryPairOfTypes) {
  constexpr std::array kTypes{DataType::Float64,      DataType::Float32,    DataType::Float16, DataType::BFloat16,
                              DataType::Float8E4M3FN, DataType::Float8E5M2, DataType::Int64,   DataType::Int32,
                              DataType::Int16,        DataType::Int8,       DataType::UInt64,  DataType::UInt32,
                              DataType::UInt16,       DataType::UInt8};
  const std::vector<float> values{0, 1, 2, 3, 4, 5, 6, 7, 8, 96};
  for (const DataType from : kTypes) {
    for (const DataType to : kTypes) {
      const TensorSource source = cast(cast(floats({10}, values), from), to);
      EXPECT_EQ(source.data_type, to);
      EXPECT_EQ(values_of<float>(cast(source, DataType::Float32)), values)
          << to_string(from) << " to " << to_string(to);
    }
    EXPECT_EQ(values_of<std::uint8_t>(cast(cast(floats({3}, {0, 1, 2}), from), DataType::Bool)),
              (std::vector<std::uint8_t>{0, 1, 1}));
    const TensorSource booleans = source_of<std::uint8_t>(DataType::Bool, {3}, {0, 1, 255});
    EXPECT_EQ(values_of<float>(cast(cast(booleans, from), DataType::Float32)), (std::vector<float>{0, 1, 1}));
  }
}

TEST(CastTest, NegativeIntegersSurviveSignedTypes) {
  for (const DataType type :
       {DataType::Float64, DataType::Float16, DataType::BFloat16, DataType::Float8E4M3FN, DataType::Float8E5M2,
        DataType::Int64, DataType::Int32, DataType::Int16, DataType::Int8}) {
    EXPECT_EQ(values_of<float>(cast(cast(floats({2}, {-1, -96}), type), DataType::Float32)),
              (std::vector<float>{-1, -96}))
        << to_string(type);
  }
}

TEST(CastTest, NarrowerFloatsSaturateFiniteValues) {
  const std::vector<float> values{1e9F, -1e9F, 65505.0F, kInfinity, -kInfinity, std::numeric_limits<float>::max()};
  const auto through = [&](DataType type) {
    return values_of<float>(cast(cast(floats({6}, values), type), DataType::Float32));
  };
  EXPECT_EQ(through(DataType::Float16), (std::vector<float>{65504, -65504, 65504, kInfinity, -kInfinity, 65504}));
  EXPECT_EQ(through(DataType::Float8E5M2), (std::vector<float>{57344, -57344, 57344, kInfinity, -kInfinity, 57344}));
  EXPECT_EQ(through(DataType::BFloat16)[5], 0x1.fep127F);
  EXPECT_EQ(through(DataType::BFloat16)[3], kInfinity);
  const std::vector<float> e4m3 = through(DataType::Float8E4M3FN);
  EXPECT_EQ(e4m3[0], 448.0F);
  EXPECT_EQ(e4m3[1], -448.0F);
  EXPECT_EQ(e4m3[3], 448.0F);  // it has no infinity
  EXPECT_EQ(e4m3[4], -448.0F);

  const TensorSource doubles = source_of<double>(DataType::Float64, {4}, {1e300, -1e300, HUGE_VAL, 1e-300});
  EXPECT_EQ(
      values_of<float>(cast(doubles, DataType::Float32)),
      (std::vector<float>{std::numeric_limits<float>::max(), std::numeric_limits<float>::lowest(), kInfinity, 0}));
  EXPECT_EQ(values_of<std::uint16_t>(cast(doubles, DataType::Float16)),
            (std::vector<std::uint16_t>{0x7bff, 0xfbff, 0x7c00, 0}));
}

TEST(CastTest, NanStaysNan) {
  for (const DataType type :
       {DataType::Float64, DataType::Float16, DataType::BFloat16, DataType::Float8E4M3FN, DataType::Float8E5M2}) {
    EXPECT_TRUE(std::isnan(values_of<float>(cast(cast(floats({1}, {kNan}), type), DataType::Float32))[0]));
  }
}

TEST(CastTest, FloatsToIntegersTruncateAndSaturate) {
  const TensorSource source = floats({6}, {2.9F, -2.9F, 1e20F, -1e20F, kNan, kInfinity});
  EXPECT_EQ(values_of<std::int64_t>(cast(source, DataType::Int64)),
            (std::vector<std::int64_t>{2, -2, std::numeric_limits<std::int64_t>::max(),
                                       std::numeric_limits<std::int64_t>::min(), 0,
                                       std::numeric_limits<std::int64_t>::max()}));
  EXPECT_EQ(values_of<std::int8_t>(cast(source, DataType::Int8)), (std::vector<std::int8_t>{2, -2, 127, -128, 0, 127}));
  EXPECT_EQ(values_of<std::uint8_t>(cast(source, DataType::UInt8)), (std::vector<std::uint8_t>{2, 0, 255, 0, 0, 255}));
  EXPECT_EQ(values_of<std::int32_t>(cast(source, DataType::Int32))[2], std::numeric_limits<std::int32_t>::max());
}

TEST(CastTest, IntegersWrap) {
  const TensorSource source = source_of<std::int64_t>(DataType::Int64, {3}, {256, -1, (std::int64_t{1} << 32) + 5});
  EXPECT_EQ(values_of<std::uint8_t>(cast(source, DataType::UInt8)), (std::vector<std::uint8_t>{0, 255, 5}));
  EXPECT_EQ(values_of<std::int32_t>(cast(source, DataType::Int32)), (std::vector<std::int32_t>{256, -1, 5}));
  EXPECT_EQ(values_of<std::uint8_t>(cast(source, DataType::Bool)), (std::vector<std::uint8_t>{1, 1, 1}));
}

TEST(CastTest, Float16RunsEqualSingleConversions) {
  std::vector<float> values(5000);
  for (std::size_t index = 0; index < values.size(); ++index) {
    values[index] = std::ldexp(static_cast<float>(index) - 2500.7F, static_cast<int>(index % 41) - 30);
  }
  const std::vector<std::uint16_t> bits = values_of<std::uint16_t>(cast(floats({5000}, values), DataType::Float16));
  for (std::size_t index = 0; index < values.size(); ++index) {
    const float clamped = std::clamp(values[index], -65504.0F, 65504.0F);
    ASSERT_EQ(bits[index], float32_to_float16(clamped)) << values[index];
  }
  const TensorSource halves = source_of(DataType::Float16, {5000}, bits);
  const std::vector<float> widened = values_of<float>(cast(halves, DataType::Float32));
  for (std::size_t index = 0; index < values.size(); ++index) {
    ASSERT_EQ(widened[index], float16_to_float32(bits[index]));
  }
  expect_same_in_runs<std::uint16_t>(cast(floats({5000}, values), DataType::Float16), 13);
  expect_same_in_runs<std::uint16_t>(cast(without_memory(floats({5000}, values)), DataType::Float16), 1025);
}

// ---- Reshape ------------------------------------------------------------------------------------------------------

TEST(ReshapeTest, KeepsTheMapping) {
  const NumberFile file(8, 12);
  const TensorSource source = reshape(file.source(), {3, 4});
  EXPECT_EQ(source.shape, (Shape{3, 4}));
  EXPECT_EQ(source.file, file.source().file);
  EXPECT_EQ(source.file_offset, 8U);
  expect_error(ErrorKind::ShapeMismatch, [&] { reshape(source, {5}); });
  expect_error(ErrorKind::InvalidArgument, [&] { reshape(source, {-3, -4}); });
}

TEST(ReshapeTest, OfComputedElements) {
  const TensorSource source = reshape(without_memory(floats({2, 2}, {1, 2, 3, 4})), {4});
  EXPECT_EQ(values_of<float>(source), (std::vector<float>{1, 2, 3, 4}));
}

// ---- Transpose ----------------------------------------------------------------------------------------------------

template <typename T>
void expect_all_permutations(DataType type, const Shape& shape) {
  const TensorSource source = counting<T>(type, shape);
  const std::vector<T> values = values_of<T>(source);
  std::vector<int> permutation(shape.size());
  std::iota(permutation.begin(), permutation.end(), 0);
  do {
    const std::vector<T> expected = transposed(values, shape, permutation);
    for (const TensorSource& operand : {source, without_memory(source)}) {
      const TensorSource result = transpose(operand, permutation);
      for (std::size_t axis = 0; axis < shape.size(); ++axis) {
        ASSERT_EQ(result.shape[axis], shape[static_cast<std::size_t>(permutation[axis])]);
      }
      ASSERT_EQ(values_of<T>(result), expected);
      for (const std::int64_t run : {1, 7, 64, 101}) expect_same_in_runs<T>(result, run);
    }
  } while (std::next_permutation(permutation.begin(), permutation.end()));
}

TEST(TransposeTest, AllPermutationsOfSmallShapes) {
  for (const Shape& shape : {Shape{}, Shape{5}, Shape{1}, Shape{3, 5}, Shape{1, 7}, Shape{2, 3, 4}, Shape{3, 1, 5},
                             Shape{2, 3, 4, 5}, Shape{1, 4, 1, 3}, Shape{2, 3, 2, 2, 3}}) {
    expect_all_permutations<std::uint32_t>(DataType::UInt32, shape);
  }
}

TEST(TransposeTest, EverySizeOfElements) {
  expect_all_permutations<std::uint8_t>(DataType::UInt8, {3, 5, 7});
  expect_all_permutations<std::uint16_t>(DataType::BFloat16, {3, 5, 7});
  expect_all_permutations<std::uint64_t>(DataType::Int64, {3, 5, 7});
}

TEST(TransposeTest, MatricesLargerThanTiles) {
  for (const Shape& shape : {Shape{64, 64}, Shape{100, 33}, Shape{1, 1000}, Shape{129, 65}, Shape{16, 17}}) {
    const TensorSource floats32 = counting<std::uint32_t>(DataType::Float32, shape);
    const std::vector<std::uint32_t> values = values_of<std::uint32_t>(floats32);
    EXPECT_EQ(values_of<std::uint32_t>(transpose(floats32, {1, 0})), transposed(values, shape, {1, 0}));
    EXPECT_EQ(values_of<std::uint32_t>(transpose(without_memory(floats32), {1, 0})), transposed(values, shape, {1, 0}));
    expect_same_in_runs<std::uint32_t>(transpose(floats32, {1, 0}), 999);

    const TensorSource floats16 = counting<std::uint16_t>(DataType::Float16, shape);
    EXPECT_EQ(values_of<std::uint16_t>(transpose(floats16, {1, 0})),
              transposed(values_of<std::uint16_t>(floats16), shape, {1, 0}));
  }
}

TEST(TransposeTest, LargeMatrixOnSeveralThreads) {
  const Shape shape{1500, 1003};
  const TensorSource source = counting<std::uint32_t>(DataType::UInt32, shape);
  const std::vector<std::uint32_t> expected = transposed(values_of<std::uint32_t>(source), shape, {1, 0});
  EXPECT_EQ(values_of<std::uint32_t>(transpose(source, {1, 0})), expected);
  EXPECT_EQ(values_of<std::uint32_t>(transpose(without_memory(source), {1, 0})), expected);
}

TEST(TransposeTest, MovingAxesOfSizeOneKeepsTheMapping) {
  const NumberFile file(8, 12);
  const TensorSource source = transpose(reshape(file.source(), {3, 1, 4}), {1, 0, 2});
  EXPECT_EQ(source.shape, (Shape{1, 3, 4}));
  EXPECT_EQ(source.bytes.data(), file.source().bytes.data());
  EXPECT_EQ(source.file_offset, 8U);
  EXPECT_EQ(transpose(source, {0, 1, 2}).bytes.data(), source.bytes.data());
}

TEST(TransposeTest, TwiceIsTheSame) {
  const TensorSource source = counting<std::uint32_t>(DataType::UInt32, {13, 5, 7});
  EXPECT_EQ(values_of<std::uint32_t>(transpose(transpose(source, {2, 0, 1}), {1, 2, 0})),
            values_of<std::uint32_t>(source));
}

TEST(TransposeTest, InvalidPermutations) {
  const TensorSource source = floats({2, 2}, {1, 2, 3, 4});
  expect_error(ErrorKind::ShapeMismatch, [&] { transpose(source, {0}); });
  expect_error(ErrorKind::ShapeMismatch, [&] { transpose(source, {0, 0}); });
  expect_error(ErrorKind::ShapeMismatch, [&] { transpose(source, {0, 2}); });
  expect_error(ErrorKind::ShapeMismatch, [&] { transpose(source, {0, -1}); });
  expect_error(ErrorKind::ShapeMismatch, [&] { transpose(source, {0, 1, 2}); });
}

// ---- Slice and concat ---------------------------------------------------------------------------------------------

TEST(SliceTest, AlongTheFirstAxisStaysMapped) {
  const NumberFile file(8, 12);
  const TensorSource source = slice(reshape(file.source(), {3, 4}), 0, 1, 3);
  EXPECT_EQ(source.shape, (Shape{2, 4}));
  EXPECT_EQ(source.file, file.source().file);
  EXPECT_EQ(source.file_offset, 8U + 16U);
  EXPECT_EQ(source.bytes.size(), 32U);
  EXPECT_EQ(values_of<float>(source), (std::vector<float>{4, 5, 6, 7, 8, 9, 10, 11}));

  const TensorSource behind_one = slice(reshape(file.source(), {1, 3, 4}), 1, 2, 3);
  EXPECT_EQ(behind_one.file_offset, 8U + 32U);
  EXPECT_EQ(slice(reshape(file.source(), {3, 4}), 0, 0, 3).bytes.data(), file.source().bytes.data());
}

TEST(SliceTest, AlongOtherAxes) {
  for (const bool in_memory : {true, false}) {
    TensorSource source = counting<std::uint32_t>(DataType::UInt32, {2, 3, 4});
    if (!in_memory) source = without_memory(source);
    EXPECT_EQ(values_of<std::uint32_t>(slice(source, 1, 1, 3)),
              (std::vector<std::uint32_t>{4, 5, 6, 7, 8, 9, 10, 11, 16, 17, 18, 19, 20, 21, 22, 23}));
    EXPECT_EQ(values_of<std::uint32_t>(slice(source, -1, 2, 3)), (std::vector<std::uint32_t>{2, 6, 10, 14, 18, 22}));
    EXPECT_EQ(values_of<std::uint32_t>(slice(source, 0, 1, 2)).front(), 12U);
    expect_same_in_runs<std::uint32_t>(slice(source, 2, 1, 4), 5);
    expect_same_in_runs<std::uint32_t>(slice(source, 0, 1, 2), 5);
  }
}

TEST(SliceTest, OutOfRange) {
  const TensorSource source = floats({2, 2}, {1, 2, 3, 4});
  expect_error(ErrorKind::ShapeMismatch, [&] { slice(source, 0, 0, 3); });
  expect_error(ErrorKind::ShapeMismatch, [&] { slice(source, 0, -1, 1); });
  expect_error(ErrorKind::ShapeMismatch, [&] { slice(source, 0, 2, 1); });
  expect_error(ErrorKind::ShapeMismatch, [&] { slice(source, 2, 0, 1); });
  expect_error(ErrorKind::ShapeMismatch, [&] { slice(source, -3, 0, 1); });
}

TEST(ConcatTest, AlongEveryAxis) {
  const TensorSource left = floats({2, 2}, {1, 2, 3, 4});
  const TensorSource right = without_memory(floats({2, 1}, {5, 6}));
  EXPECT_EQ(values_of<float>(concat({left, right}, 1)), (std::vector<float>{1, 2, 5, 3, 4, 6}));
  EXPECT_EQ(values_of<float>(concat({left, floats({1, 2}, {7, 8})}, 0)), (std::vector<float>{1, 2, 3, 4, 7, 8}));
  const TensorSource empty = floats({2, 0}, {});
  const TensorSource all = concat({empty, right, empty, empty, left, empty}, -1);
  EXPECT_EQ(all.shape, (Shape{2, 3}));
  EXPECT_EQ(values_of<float>(all), (std::vector<float>{5, 1, 2, 6, 3, 4}));
  for (const std::int64_t run : {1, 2, 4, 5}) expect_same_in_runs<float>(all, run);
}

TEST(ConcatTest, OfOneIsTheSameSource) {
  const TensorSource source = floats({2}, {1, 2});
  EXPECT_EQ(concat({source}, 0).bytes.data(), source.bytes.data());
}

TEST(ConcatTest, Mismatches) {
  const TensorSource source = floats({2, 2}, {1, 2, 3, 4});
  expect_error(ErrorKind::ShapeMismatch, [&] { concat({}, 0); });
  expect_error(ErrorKind::ShapeMismatch, [&] { concat({source, floats({3, 1}, {1, 2, 3})}, 1); });
  expect_error(ErrorKind::ShapeMismatch, [&] { concat({source, floats({2}, {1, 2})}, 0); });
  expect_error(ErrorKind::ShapeMismatch, [&] { concat({source, cast(source, DataType::Float16)}, 0); });
  expect_error(ErrorKind::ShapeMismatch, [&] { concat({source, source}, 2); });
}

TEST(ConcatTest, UndoneBySlices) {
  const TensorSource source = counting<std::uint32_t>(DataType::UInt32, {6, 5, 4});
  for (int axis = 0; axis < 3; ++axis) {
    const TensorSource joined = concat({slice(source, axis, 0, 1), slice(source, axis, 1, 3),
                                        slice(source, axis, 3, source.shape[static_cast<std::size_t>(axis)])},
                                       axis);
    EXPECT_EQ(values_of<std::uint32_t>(joined), values_of<std::uint32_t>(source)) << axis;
  }
}

// ---- Scale, computed, compositions --------------------------------------------------------------------------------

TEST(ScaleTest, FloatingPointTypes) {
  const TensorSource source = floats({3}, {1, -2, 40'000});
  EXPECT_EQ(values_of<float>(scale(source, 0.5F)), (std::vector<float>{0.5F, -1, 20'000}));
  EXPECT_EQ(values_of<double>(scale(cast(source, DataType::Float64), 0.5F)), (std::vector<double>{0.5, -1, 20'000}));
  for (const DataType type : {DataType::Float16, DataType::BFloat16, DataType::Float8E5M2}) {
    const std::vector<float> scaled = values_of<float>(cast(scale(cast(source, type), 2.0F), DataType::Float32));
    EXPECT_EQ(scaled[0], 2.0F);
    EXPECT_EQ(scaled[1], -4.0F);
  }
  EXPECT_EQ(values_of<std::uint16_t>(scale(cast(source, DataType::Float16), 2.0F))[2], 0x7bffU);  // saturates
}

TEST(ScaleTest, OtherTypes) {
  expect_error(ErrorKind::ShapeMismatch, [] { scale(cast(floats({1}, {1}), DataType::Int32), 2.0F); });
}

TEST(ComputedTest, RunsOnceOnFirstUse) {
  auto calls = std::make_shared<std::atomic<int>>(0);
  const std::vector<float> values{1, 2, 3, 4};
  const TensorSource source = computed({2, 2}, [calls, values] {
    ++*calls;
    return Array::float32({2, 2}, values);
  });
  EXPECT_EQ(*calls, 0);
  const TensorSource copy = transpose(source, {1, 0});
  std::vector<std::thread> readers;
  for (int reader = 0; reader < 4; ++reader) {
    readers.emplace_back([&] { EXPECT_EQ(values_of<float>(source), values); });
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(values_of<float>(copy), (std::vector<float>{1, 3, 2, 4}));
  EXPECT_EQ(*calls, 1);
}

TEST(ComputedTest, ShapeAndTypeAreChecked) {
  expect_error(ErrorKind::ShapeMismatch,
               [] { materialize(computed({2}, [] { return Array(DataType::Float32, {3}); })); });
  expect_error(ErrorKind::ShapeMismatch,
               [] { materialize(computed({2}, [] { return Array(DataType::Int32, {2}); })); });
}

TEST(ComputedTest, ErrorsAreThrownEachTime) {
  const TensorSource source = computed({2}, []() -> Array { throw Error(ErrorKind::MissingTensor, "later"); });
  for (int round = 0; round < 2; ++round) expect_error(ErrorKind::MissingTensor, [&] { materialize(source); });
}

TEST(PackedTest, IsReadAndReshapedButNeitherMovedNorConverted) {
  Array pairs(DataType::UInt4, {2, 3});
  const std::vector<std::byte> bytes{std::byte{0x21}, std::byte{0x43}, std::byte{0x65}};
  std::copy(bytes.begin(), bytes.end(), pairs.mutable_bytes().begin());
  const TensorSource source = from_array(pairs);
  EXPECT_EQ(source.byte_size(), 3U);
  const Array copy = materialize(reshape(source, {6}));
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), copy.bytes().begin(), copy.bytes().end()));
  EXPECT_THROW(transpose(source, {1, 0}), Error);
  EXPECT_THROW(concat({source, source}, 0), Error);
  EXPECT_THROW(slice(source, 0, 1, 2), Error);
  EXPECT_THROW(cast(source, DataType::Float32), Error);
}

TEST(CompositionTest, SplitTransposeCast) {
  // What an export does with a fused projection: split by output, transpose, scale, and cast.
  const NumberFile file(0, 6 * 4);
  const TensorSource fused = reshape(file.source(), {6, 4});
  const TensorSource value = cast(scale(transpose(slice(fused, 0, 4, 6), {1, 0}), 2.0F), DataType::Float16);
  EXPECT_EQ(value.shape, (Shape{4, 2}));
  EXPECT_EQ(values_of<float>(cast(value, DataType::Float32)), (std::vector<float>{32, 40, 34, 42, 36, 44, 38, 46}));
  EXPECT_EQ(values_of<std::uint16_t>(value),
            values_of<std::uint16_t>(transpose(cast(scale(slice(fused, 0, 4, 6), 2.0F), DataType::Float16), {1, 0})));
}

TEST(CompositionTest, ReadsFromManyThreads) {
  const TensorSource source =
      concat({cast(counting<std::uint32_t>(DataType::UInt32, {1000, 50}), DataType::Int64),
              transpose(cast(counting<std::uint32_t>(DataType::UInt32, {50, 1000}), DataType::Int64), {1, 0})},
             1);
  const std::vector<std::int64_t> expected = values_of<std::int64_t>(source);
  parallel_for(source.element_count(), 100, [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::int64_t> values(static_cast<std::size_t>(end - begin));
    read_elements(source, begin, std::as_writable_bytes(std::span(values)));
    EXPECT_TRUE(std::equal(values.begin(), values.end(), expected.begin() + begin));
  });
}

}  // namespace
}  // namespace onnxport
