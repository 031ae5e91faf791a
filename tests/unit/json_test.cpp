#include "onnxport/json.h"

#include <cmath>
#include <limits>
#include <string>

#include <gtest/gtest.h>

#include "onnxport/error.h"

namespace onnxport {
namespace {

Json parse(std::string_view text) { return parse_json(text, "file.json"); }

/// The message of the error that parsing must end with.
std::string error_of(std::string_view text) {
  try {
    parse(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidCheckpoint);
    return error.what();
  }
  ADD_FAILURE() << "accepted: " << text;
  return {};
}

void expect_error(std::string_view text, std::string_view part) {
  const std::string message = error_of(text);
  EXPECT_NE(message.find(part), std::string::npos) << message;
  EXPECT_TRUE(message.starts_with("file.json:")) << message;
}

std::string repeat(std::string_view text, std::size_t times) {
  std::string result;
  for (std::size_t index = 0; index < times; ++index) result += text;
  return result;
}

TEST(JsonTest, ParsesEveryType) {
  EXPECT_TRUE(parse("null").is_null());
  EXPECT_TRUE(parse("true").boolean());
  EXPECT_FALSE(parse(" false ").boolean());
  EXPECT_EQ(parse("-12").integer(), -12);
  EXPECT_EQ(parse("0.5").number(), 0.5);
  EXPECT_EQ(parse("\"text\"").string(), "text");
  EXPECT_TRUE(parse("[]").array().empty());
  EXPECT_TRUE(parse("{}").object().empty());
}

TEST(JsonTest, IntegersAndFloatsStayApart) {
  EXPECT_TRUE(parse("1").is_integer());
  EXPECT_TRUE(parse("1").is_number());
  EXPECT_FALSE(parse("1.0").is_integer());
  EXPECT_FALSE(parse("1e3").is_integer());
  EXPECT_EQ(parse("1e3").number(), 1000.0);
  EXPECT_EQ(parse("7").number(), 7.0);
}

TEST(JsonTest, ObjectsKeepTheirOrder) {
  const Json json = parse(R"({"z": 1, "a": {"y": [1, 2, {"x": null}]}, "m": "s"})");
  ASSERT_EQ(json.object().size(), 3U);
  EXPECT_EQ(json.object()[0].first, "z");
  EXPECT_EQ(json.object()[1].first, "a");
  EXPECT_EQ(json.object()[2].first, "m");
  EXPECT_EQ(json.find("a")->find("y")->array().size(), 3U);
  EXPECT_EQ(json.find("b"), nullptr);
  EXPECT_EQ(json.find("z")->find("anything"), nullptr);
}

TEST(JsonTest, StringEscapesAndUnicode) {
  EXPECT_EQ(parse(R"("\"\\\/\b\f\n\r\t")").string(), "\"\\/\b\f\n\r\t");
  EXPECT_EQ(parse(R"("\u00e9 \ud83d\ude00")").string(), "\xc3\xa9 \xf0\x9f\x98\x80");
  EXPECT_EQ(parse("\"\xf0\x9f\x98\x80\"").string(), "\xf0\x9f\x98\x80");
  EXPECT_EQ(parse(R"("a\u0000b")").string(), std::string("a\0b", 3));
  EXPECT_EQ(parse("{\"\xc3\xa9\": 1}").object()[0].first, "\xc3\xa9");
}

TEST(JsonTest, IntegerBounds) {
  EXPECT_EQ(parse("9223372036854775807").integer(), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(parse("-9223372036854775808").integer(), std::numeric_limits<std::int64_t>::min());
  expect_error("[1, 9223372036854775808]", "the integer 9223372036854775808 does not fit into 64 bits");
  expect_error("-9223372036854775809", "does not fit");
  expect_error("18446744073709551616", "does not fit");
  expect_error("{\"model_max_length\": 1000000000000000019884624838656}", "does not fit");
}

TEST(JsonTest, LargeIntegersAsDoubles) {
  const Json json = parse_json("[1000000000000000019884624838656, 9223372036854775808, -9223372036854775809, 3]",
                               "tokenizer_config.json", LargeIntegers::AsDouble);
  EXPECT_FALSE(json.array()[0].is_integer());
  EXPECT_EQ(json.array()[0].number(), 1e30);
  EXPECT_EQ(json.array()[1].number(), 0x1p63);
  EXPECT_EQ(json.array()[2].number(), -0x1p63);
  EXPECT_EQ(json.array()[3].integer(), 3);
}

TEST(JsonTest, NumberBounds) {
  EXPECT_EQ(parse("1.7976931348623157e308").number(), std::numeric_limits<double>::max());
  EXPECT_EQ(parse("1e-400").number(), 0.0);
  EXPECT_EQ(parse("5e-324").number(), std::numeric_limits<double>::denorm_min());
  expect_error("1e999", "number overflow");
  expect_error("[-1e999]", "number overflow");
  expect_error(std::string(400, '9'), "number overflow");
}

TEST(JsonTest, LiteralsOfPython) {
  const Json json = parse(R"({"a": NaN, "b": [1, Infinity, -Infinity, 2.5, NaN], "c": 3, "NaN": "Infinity"})");
  EXPECT_TRUE(std::isnan(json.find("a")->number()));
  const Json::Array& array = json.find("b")->array();
  EXPECT_EQ(array[0].integer(), 1);
  EXPECT_EQ(array[1].number(), HUGE_VAL);
  EXPECT_EQ(array[2].number(), -HUGE_VAL);
  EXPECT_EQ(array[3].number(), 2.5);
  EXPECT_TRUE(std::isnan(array[4].number()));
  EXPECT_EQ(json.find("c")->integer(), 3);
  EXPECT_EQ(json.find("NaN")->string(), "Infinity");
  EXPECT_TRUE(std::isnan(parse("NaN").number()));
  EXPECT_EQ(parse("-Infinity").number(), -HUGE_VAL);
}

TEST(JsonTest, StandInsOfPythonLiteralsAreStillNumbers) {
  // The numbers that replace the literals inside of the parser.
  const Json json = parse("[0.0, NaN, 0.000000, Infinity, -0.000000, -Infinity, 0.0, true, null]");
  EXPECT_EQ(json.array()[0].number(), 0.0);
  EXPECT_TRUE(std::isnan(json.array()[1].number()));
  EXPECT_EQ(json.array()[2].number(), 0.0);
  EXPECT_EQ(json.array()[3].number(), HUGE_VAL);
  EXPECT_EQ(json.array()[4].number(), 0.0);
  EXPECT_EQ(json.array()[5].number(), -HUGE_VAL);
  EXPECT_EQ(json.array()[6].number(), 0.0);
}

TEST(JsonTest, LiteralsNearlyOfPython) {
  for (const std::string_view text : {"-NaN", "1NaN", "NaN1", "NaNs", "nan", "+Infinity", "infinity", "--Infinity",
                                      "Infinity Infinity", "NaN\"\"", "{NaN: 1}", "[NaN", "\"\\\"NaN", "\"NaN\\"}) {
    EXPECT_FALSE(error_of(text).empty()) << text;
  }
  EXPECT_EQ(parse(R"(["\"NaN\\", "\\", "-Infinity"])").array()[0].string(), "\"NaN\\");
}

TEST(JsonTest, SyntaxErrorsStatePositions) {
  expect_error("{\"a\": 1,\n \"b\": ]}", "file.json:2:7: ");
  expect_error("[1, 2\n", "unexpected end of input");
  expect_error("", "file.json:1:1: ");
  expect_error("   ", "file.json:1:");
  expect_error("[1, ?]", "file.json:1:5: ");
  expect_error("{\"a\": 1,}", "file.json:1:9: ");
}

TEST(JsonTest, SyntaxErrors) {
  for (const std::string_view text : {"{",
                                      "[",
                                      "\"",
                                      "{\"a\"}",
                                      "{\"a\":}",
                                      "{1: 2}",
                                      "[1 2]",
                                      "01",
                                      "1.",
                                      ".5",
                                      "+1",
                                      "tru",
                                      "nul",
                                      "'a'",
                                      "[1]]",
                                      "{} {}",
                                      "\"\\x\"",
                                      "\"\\u12g4\"",
                                      "// comment\n1",
                                      "\"line\nbreak\"",
                                      "[,]",
                                      "{,}",
                                      "-",
                                      "1e",
                                      "0x10"}) {
    EXPECT_FALSE(error_of(text).empty()) << text;
  }
}

TEST(JsonTest, InvalidUtf8) {
  expect_error("\"\xff\"", "invalid");
  expect_error("\"\xc3\"", "invalid");
  expect_error("\"\xc0\xaf\"", "invalid");
  expect_error("\"\xed\xa0\x80\"", "invalid");
  expect_error("{\"\x80\": 1}", "invalid");
  expect_error("\xfe\xff", "invalid");
  expect_error(R"("\ud800")", "surrogate");
  expect_error(std::string_view("\"a\0b\"", 5), "invalid");
}

TEST(JsonTest, MessagesHaveNoControlCharacters) {
  for (const std::string_view text : {"\"\x1b[31m\"", "{\"\\u001b[31m\": 1, \"\\u001b[31m\": 2}", "[\x1b]"}) {
    EXPECT_EQ(error_of(text).find('\x1b'), std::string::npos) << text;
  }
}

TEST(JsonTest, DuplicateKeys) {
  expect_error(R"({"a": 1, "a": 1})", "two members \"a\"");
  expect_error(R"({"x": [{"a": 1, "b": 2, "\u0061": 3}]})", "two members \"a\"");
  EXPECT_EQ(parse(R"({"a": {"a": 1}, "b": {"a": 2}})").object().size(), 2U);
  expect_error(R"({"": 1, "": 2})", "two members \"\"");
}

TEST(JsonTest, NestingDepth) {
  EXPECT_TRUE(parse(repeat("[", 128) + repeat("]", 128)).is_array());
  expect_error(repeat("[", 129) + repeat("]", 129), "nested deeper than 128 levels");
  EXPECT_TRUE(parse(repeat("{\"a\":", 128) + "1" + repeat("}", 128)).is_object());
  expect_error(repeat("{\"a\":", 129) + "1" + repeat("}", 129), "nested deeper");
  expect_error(repeat("[", 1'000'000), "nested deeper");
}

TEST(JsonTest, SetAndErase) {
  Json json;
  json.set("a", 1);
  json.set("b", "two");
  json.set("a", 3);
  EXPECT_EQ(dump_json(json), R"({"a": 3, "b": "two"})");
  json.erase("a");
  json.erase("missing");
  EXPECT_EQ(dump_json(json), R"({"b": "two"})");
}

TEST(JsonTest, DumpsFloatsAsPythonDoes) {
  const auto dump = [](double value) { return dump_json(Json(value)); };
  EXPECT_EQ(dump(1e-12), "1e-12");
  EXPECT_EQ(dump(1e-05), "1e-05");
  EXPECT_EQ(dump(0.0001), "0.0001");
  EXPECT_EQ(dump(0.00012345), "0.00012345");
  EXPECT_EQ(dump(1.5e-7), "1.5e-07");
  EXPECT_EQ(dump(0.1), "0.1");
  EXPECT_EQ(dump(1.0), "1.0");
  EXPECT_EQ(dump(10000.0), "10000.0");
  EXPECT_EQ(dump(-2.5), "-2.5");
  EXPECT_EQ(dump(0.0), "0.0");
  EXPECT_EQ(dump(-0.0), "-0.0");
  EXPECT_EQ(dump(1e15), "1000000000000000.0");
  EXPECT_EQ(dump(1234567890123456.7), "1234567890123456.8");
  EXPECT_EQ(dump(1e16), "1e+16");
  EXPECT_EQ(dump(1.2345678901234568e+17), "1.2345678901234568e+17");
  EXPECT_EQ(dump(1e30), "1e+30");
  EXPECT_EQ(dump(1.7976931348623157e308), "1.7976931348623157e+308");
  EXPECT_EQ(dump(5e-324), "5e-324");
  EXPECT_EQ(dump(3.4028234663852886e+38), "3.4028234663852886e+38");
  EXPECT_EQ(dump(123.456), "123.456");
  EXPECT_EQ(dump(std::nan("")), "NaN");
  EXPECT_EQ(dump(HUGE_VAL), "Infinity");
  EXPECT_EQ(dump(-HUGE_VAL), "-Infinity");
}

TEST(JsonTest, DumpsOnOneLine) {
  EXPECT_EQ(dump_json(parse(R"({"a":[1,2.0,{"b":null}],"c":{},"d":[],"e":true,"f":"x"})")),
            R"({"a": [1, 2.0, {"b": null}], "c": {}, "d": [], "e": true, "f": "x"})");
}

TEST(JsonTest, DumpsIndented) {
  EXPECT_EQ(dump_json(parse(R"({"a":[1,[2]],"b":{},"c":[],"d":{"e":null}})"), 2),
            "{\n  \"a\": [\n    1,\n    [\n      2\n    ]\n  ],\n  \"b\": {},\n  \"c\": [],\n  \"d\": {\n    \"e\": "
            "null\n  }\n}");
  EXPECT_EQ(dump_json(parse("[1, 2]"), 0), "[\n1,\n2\n]");
}

TEST(JsonTest, DumpsStringsAsPythonDoes) {
  EXPECT_EQ(dump_json(Json("\x7f\xe2\x80\xa8\x01\"\\\b\f\n\r\t/\xc3\xa9\x1f")),
            "\"\x7f\xe2\x80\xa8\\u0001\\\"\\\\\\b\\f\\n\\r\\t/\xc3\xa9\\u001f\"");
  EXPECT_EQ(quote_json("a\x1b[0m\"b"), "\"a\\u001b[0m\\\"b\"");
}

TEST(JsonTest, RoundTrips) {
  const std::string text = R"({"b": -0.0, "a": [1e-05, 1e+16, 9223372036854775807, "\u0000é", Infinity], "c": false})";
  EXPECT_EQ(dump_json(parse(text)), text);
}

TEST(JsonTest, LargeObject) {
  std::string text = "{";
  for (int index = 0; index < 100'000; ++index) {
    text += (index == 0 ? "\"" : ", \"") + std::to_string(index) + "\": " + std::to_string(index);
  }
  const Json json = parse(text + "}");
  EXPECT_EQ(json.object().size(), 100'000U);
  EXPECT_EQ(json.find("99999")->integer(), 99'999);
  expect_error(text + ", \"5\": 5}", "two members \"5\"");
}

}  // namespace
}  // namespace onnxport
