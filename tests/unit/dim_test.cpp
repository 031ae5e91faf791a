#include "graph/dim.h"

#include <gtest/gtest.h>

#include "onnxport/error.h"

namespace onnxport {
namespace {

const Dim batch = Dim::symbol("batch_size");
const Dim length = Dim::symbol("sequence_length");
const Dim past = Dim::symbol("past_sequence_length");

TEST(Dim, EqualHoweverComputed) {
  EXPECT_EQ(length + past, past + length);
  EXPECT_EQ(length * batch + batch, batch * (length + 1));
  EXPECT_EQ(length - length, Dim(0));
  EXPECT_FALSE(length == batch);
  EXPECT_EQ(Dim(3) * Dim(4) - 2, Dim(10));
}

TEST(Dim, PrintsExpressionsThatPythonEvaluates) {
  EXPECT_EQ(length.to_string(), "sequence_length");
  EXPECT_EQ((past + length).to_string(), "past_sequence_length + sequence_length");
  EXPECT_EQ((length * 2 - 1).to_string(), "2 * sequence_length - 1");
  EXPECT_EQ(Dim(0).to_string(), "0");
  EXPECT_EQ(floor_div(length - 10, 5).to_string(), "( sequence_length // 5 ) - 2");
  EXPECT_EQ(floor_div(length, 5).to_string(), "( sequence_length // 5 )");
}

TEST(Dim, DividesWhatTheDivisorDivides) {
  EXPECT_EQ(floor_div(length * 8 + 5, 4), length * 2 + 1);
  EXPECT_EQ(ceil_div(length * 8 + 5, 4), length * 2 + 2);
  EXPECT_EQ(floor_div(Dim(-7), 2), Dim(-4));
  EXPECT_THROW(floor_div(length, 0), Error);
}

TEST(Dim, EvaluatesAndSubstitutes) {
  const DimBindings sizes{{"sequence_length", 17}, {"batch_size", 2}};
  EXPECT_EQ((batch * length + 1).evaluate(sizes), 35);
  EXPECT_EQ(floor_div(length - 3, 4).evaluate(sizes), 3);
  EXPECT_THROW(past.evaluate(sizes), Error);
  EXPECT_EQ((past + length).substitute(sizes), past + 17);
  EXPECT_EQ(element_count({batch, length, 4}).evaluate(sizes), 136);
}

TEST(Dim, KnowsItsKind) {
  EXPECT_TRUE(Dim(5).is_constant());
  EXPECT_TRUE(length.is_symbol());
  EXPECT_FALSE((length + 1).is_symbol());
  EXPECT_FALSE((length + 1).is_constant());
  EXPECT_EQ((length - length + 4).constant(), 4);
}

}  // namespace
}  // namespace onnxport
