#include "checkpoint/pickle.h"

#include <array>

#include <gtest/gtest.h>

#include "compare.h"

namespace onnxport {
namespace {

using namespace std::string_literals;
using Kind = PickleValue::Kind;
using testing::expect_refused;

constexpr std::array<std::string_view, 1> kCallables{"known.function"};
constexpr std::array<std::string_view, 1> kGlobals{"known.type"};

/// Values refer to their pickle, so it stays until the next one is read.
PickleResult read(const std::string& text) {
  static std::string pickle;
  pickle = text;
  return read_pickle(testing::as_bytes(pickle), 0, "test.pkl", kCallables, kGlobals);
}

void refuse(const std::string& pickle, std::string_view message) {
  expect_refused([&] { read(pickle); }, message);
}

TEST(Pickle, Integers) {
  const auto integer = [](const std::string& pickle) {
    const PickleResult result = read(pickle);
    EXPECT_EQ(result.value->kind, Kind::Integer);
    return result.value->integer;
  };
  EXPECT_EQ(integer("K\xff."s), 255);
  EXPECT_EQ(integer("M\xff\xff."s), 65535);
  EXPECT_EQ(integer("J\xff\xff\xff\xff."s), -1);
  EXPECT_EQ(integer("\x80\x02\x8a\x00."s), 0);
  EXPECT_EQ(integer("\x80\x02\x8a\x01\x80."s), -128);
  EXPECT_EQ(integer("\x80\x02\x8a\x02\x80\x00."s), 128);
  EXPECT_EQ(integer("\x80\x02\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f."s), INT64_MAX);
  EXPECT_EQ(read("\x80\x02\x8a\x09\x01\x01\x01\x01\x01\x01\x01\x01\x01."s).value->kind, Kind::BigInteger);
}

TEST(Pickle, Containers) {
  // {"a": (1, 2), "b": [3], "c": None}
  const PickleResult result = read(
      "\x80\x02}q\x00(U\x01"
      "aK\x01K\x02\x86X\x01\x00\x00\x00"
      "b]K\x03"
      "aU\x01"
      "cNu."s);
  const PickleValue& dictionary = *result.value;
  ASSERT_EQ(dictionary.kind, Kind::Dictionary);
  ASSERT_EQ(dictionary.items.size(), 6U);
  EXPECT_EQ(dictionary.items[0]->text, "a");
  EXPECT_EQ(dictionary.items[1]->kind, Kind::Tuple);
  EXPECT_EQ(dictionary.items[1]->items.size(), 2U);
  EXPECT_EQ(dictionary.items[3]->items.at(0)->integer, 3);
  EXPECT_EQ(dictionary.items[5]->kind, Kind::None);
}

TEST(Pickle, TheMemoSharesValues) {
  // [x, x] with x = []
  const PickleResult result = read(
      "](]q\x01h\x01"
      "e."s);
  ASSERT_EQ(result.value->items.size(), 2U);
  EXPECT_EQ(result.value->items[0], result.value->items[1]);
  // A list that holds itself
  const PickleResult self = read(
      "]q\x00h\x00"
      "a."s);
  EXPECT_EQ(self.value->items.at(0), self.value);
}

TEST(Pickle, CallsAreRecordedAndNotMade) {
  const PickleResult result = read("cknown\nfunction\nK\x05\x85R."s);
  ASSERT_EQ(result.value->kind, Kind::Call);
  EXPECT_EQ(result.value->items.at(0)->text, "known.function");
  EXPECT_EQ(result.value->items.at(1)->integer, 5);
  // By protocol 4: two strings, STACK_GLOBAL
  EXPECT_EQ(read("\x80\x04\x8c\x05known\x8c\x08"
                 "function\x93)R."s)
                .value->kind,
            Kind::Call);
}

TEST(Pickle, OrderedDictionaries) {
  EXPECT_EQ(read("ccollections\nOrderedDict\n)R."s).value->kind, Kind::Dictionary);
  // Python 2: OrderedDict([["a", 1]]), and attributes set afterwards
  const PickleResult old = read(
      "ccollections\nOrderedDict\n](]U\x01"
      "aaK\x01"
      "ae\x85R}b."s);
  EXPECT_EQ(old.value->items.at(0)->text, "a");
  EXPECT_EQ(old.value->items.at(1)->integer, 1);
}

TEST(Pickle, WhatIsNoDataIsRefused) {
  refuse(
      "cos\nsystem\nU\x02"
      "id\x85R."s,
      "refers to \"os.system\"");
  refuse("cposix\nsystem\n."s, "refers to \"posix.system\"");
  refuse(
      "c__builtin__\neval\nU\x01"
      "1\x85R."s,
      "refers to \"__builtin__.eval\"");
  refuse(
      "\x80\x04\x8c\x08"
      "builtins\x8c\x04"
      "exec\x93."s,
      "refers to \"builtins.exec\"");
  refuse("cknown\nfunctions\n."s, "refers to \"known.functions\"");
  refuse("cknown\ntype\n)R."s, "makes an object of \"known.type\"");
  refuse("cknown\ntype\n)\x81."s, "makes an object of \"known.type\"");
  refuse("K\x01)R."s, "calls a value that is not a function");
  refuse("cknown\nfunction\n)R}b."s, "sets attributes of an object");
  refuse("(S'text'\nios\nsystem\n."s, "with the instruction 0x53");
  refuse("(ios\nsystem\n."s, "with the instruction 0x69");
  refuse("(cknown\nfunction\no."s, "with the instruction 0x6f");
  refuse("\x80\x02\x82\x01."s, "with the instruction 0x82");  // EXT1: a registry of classes
  refuse("Pid\n."s, "with the instruction 0x50");
  refuse("\x80\x06N."s, "protocol 6");
}

TEST(Pickle, CorruptOnesAreRefused) {
  refuse("", "is corrupt, or was not downloaded completely");
  refuse("."s, "takes a value where there is none");
  refuse("N"s, "is corrupt, or was not downloaded completely");
  refuse("(."s, "takes a value where there is none");
  refuse("N\x87."s, "takes a value where there is none");
  refuse("t."s, "ends a group that it has not begun");
  refuse("h\x00."s, "recalls a value that it has not stored");
  refuse("}NNNu."s, "ends a group");
  refuse("}(Nu."s, "a key has no value");
  refuse("N(Ne."s, "adds items to a value of another type");
  refuse("N(K\x01NNN\x86s."s, "value of another type");
  refuse("cno newline"s, "is corrupt");
}

/// Sizes that a file cannot have are not believed, and none of these takes memory or time.
TEST(Pickle, BombsAreRefused) {
  refuse("X\xff\xff\xff\xff"s, "is corrupt");
  refuse("\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff"s, "is corrupt");
  refuse("\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f"s, "is corrupt");
  refuse("\x80\x02\x8b\xff\xff\xff\xff"s, "is corrupt");
  refuse("Nr\xff\xff\xff\xff."s, "a memo larger than any checkpoint needs");
  EXPECT_EQ(read(std::string(1'000'000, '(') + "N."s).value->kind, Kind::None);
  // A million levels of tuples
  std::string deep = "N";
  for (int i = 0; i < 1'000'000; ++i) deep += '\x85';
  EXPECT_EQ(read(deep + ".").value->kind, Kind::Tuple);
  // Too many values, and the same long tuple copied again and again
  refuse(std::string(5'000'000, 'N') + ".", "more values than any checkpoint needs");
  std::string copies = "cknown\nfunction\nq\x01(" + std::string(500'000, 'N') + "tq\x02";
  for (int i = 0; i < 1000; ++i) copies += "h\x01h\x02R0";
  refuse(copies + ".", "more instructions than any checkpoint needs");
}

/// Lists of lists of lists, each twice the same: what is exponential when it is walked is linear when it is read.
TEST(Pickle, BillionLaughs) {
  std::string laughs = "]q\x00"s;
  for (int i = 0; i < 100; ++i)
    laughs +=
        "0](h\x00h\x00"
        "eq\x00"s;
  EXPECT_EQ(read(laughs + ".").value->kind, Kind::List);
}

}  // namespace
}  // namespace onnxport
