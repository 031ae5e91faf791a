#include "onnxport/array.h"

#include <array>
#include <cstring>
#include <limits>
#include <numeric>

#include <gtest/gtest.h>

#include "onnxport/error.h"

namespace onnxport {
namespace {

template <typename Function>
void expect_invalid_argument(Function function) {
  try {
    function();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidArgument) << error.what();
  }
}

TEST(ArrayTest, DefaultIsEmpty) {
  const Array array;
  EXPECT_EQ(array.element_count(), 0);
  EXPECT_EQ(array.shape(), std::vector<std::int64_t>{0});
  EXPECT_TRUE(array.bytes().empty());
}

TEST(ArrayTest, MemoryIsAlignedAndOfTheRightSize) {
  for (const std::int64_t size : {0, 1, 3, 1000}) {
    Array array(DataType::BFloat16, {size, 2});
    EXPECT_EQ(array.bytes().size(), static_cast<std::size_t>(size) * 4);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(array.bytes().data()) % 64, 0U);
    std::memset(array.mutable_bytes().data(), 1, array.mutable_bytes().size());
  }
}

TEST(ArrayTest, Values) {
  const std::vector<float> values{1.0F, 2.0F, 3.0F, 4.0F, 5.0F, 6.0F};
  const Array array = Array::float32({2, 3}, values);
  EXPECT_EQ(array.data_type(), DataType::Float32);
  EXPECT_EQ(array.rank(), 2);
  EXPECT_EQ(array.element_count(), 6);
  EXPECT_TRUE(std::equal(values.begin(), values.end(), array.values<float>().begin()));

  const std::array<std::int64_t, 2> integers{7, -8};
  EXPECT_EQ(Array::int64({2}, integers).data<std::int64_t>()[1], -8);
  const std::array<std::uint8_t, 2> booleans{1, 0};
  EXPECT_EQ(Array::of<std::uint8_t>(DataType::Bool, {2}, booleans).data_type(), DataType::Bool);
  EXPECT_TRUE(Array::float32({0, 4}, {}).bytes().empty());
}

TEST(ArrayTest, ValuesMustFit) {
  const std::vector<float> values(6);
  expect_invalid_argument([&] { Array::float32({2, 2}, values); });
  expect_invalid_argument([&] { Array::of<float>(DataType::Int64, {6}, values); });
}

TEST(ArrayTest, ScalarHasOneElement) {
  const std::vector<float> value{2.5F};
  const Array scalar = Array::float32({}, value);
  EXPECT_EQ(scalar.rank(), 0);
  EXPECT_EQ(scalar.element_count(), 1);
}

TEST(ArrayTest, CopiesAndReshapesShareElements) {
  const std::vector<float> values(6, 1.0F);
  const Array array = Array::float32({2, 3}, values);
  const Array copy = array;
  const Array reshaped = array.reshaped({3, 2, 1});
  EXPECT_EQ(copy.bytes().data(), array.bytes().data());
  EXPECT_EQ(reshaped.bytes().data(), array.bytes().data());
  EXPECT_EQ(reshaped.shape(), (std::vector<std::int64_t>{3, 2, 1}));
  expect_invalid_argument([&] { array.reshaped({7}); });
}

TEST(ArrayTest, BorrowedElementsKeepTheirOwner) {
  auto values = std::make_shared<std::vector<float>>(4, 2.0F);
  Array array(DataType::Float32, {4}, values, reinterpret_cast<const std::byte*>(values->data()));
  const std::weak_ptr<std::vector<float>> owner = values;
  values.reset();
  EXPECT_FALSE(owner.expired());
  EXPECT_EQ(array.data<float>()[3], 2.0F);
  array = Array();
  EXPECT_TRUE(owner.expired());
}

TEST(ArrayTest, Overflow) {
  constexpr std::int64_t kLarge = std::int64_t{1} << 62;
  expect_invalid_argument([] { Array(DataType::Float32, {kLarge}); });
  expect_invalid_argument([] { Array(DataType::Float32, {kLarge}, nullptr, nullptr); });
  expect_invalid_argument([] { Array(DataType::UInt8, {kLarge, 4}); });
  expect_invalid_argument([] { Array(DataType::UInt8, {-1}); });
}

TEST(ElementCountTest, Products) {
  const auto count = [](std::vector<std::int64_t> shape) { return element_count(shape); };
  EXPECT_EQ(count({}), 1);
  EXPECT_EQ(count({0}), 0);
  EXPECT_EQ(count({2, 0, 3}), 0);
  EXPECT_EQ(count({2, 3, 4}), 24);
  EXPECT_EQ(count({std::numeric_limits<std::int64_t>::max()}), std::numeric_limits<std::int64_t>::max());
  constexpr std::int64_t kLarge = std::int64_t{1} << 32;
  expect_invalid_argument([&] { count({kLarge, kLarge}); });
  expect_invalid_argument([&] { count({0, kLarge, kLarge}); });
  expect_invalid_argument([&] { count({2, -3}); });
  expect_invalid_argument([&] { count({0, -3}); });
}

TEST(ShapeToStringTest, AsPythonPrintsTuples) {
  const auto text = [](std::vector<std::int64_t> shape) { return shape_to_string(shape); };
  EXPECT_EQ(text({}), "()");
  EXPECT_EQ(text({2}), "(2,)");
  EXPECT_EQ(text({2, 16}), "(2, 16)");
  EXPECT_EQ(text({1, -1, 3}), "(1, -1, 3)");
}

}  // namespace
}  // namespace onnxport
