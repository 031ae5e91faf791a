#include "checkpoint/config.h"

#include <gtest/gtest.h>

#include "onnxport/error.h"

namespace onnxport {
namespace {

Config config_of(std::string_view text) { return Config(parse_json(text, "config.json")); }

template <typename Function>
void expect_error(Function function, std::string_view expected) {
  try {
    function();
    ADD_FAILURE() << "nothing was thrown, expected: " << expected;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidCheckpoint);
    EXPECT_EQ(std::string_view(error.what()), expected);
  }
}

TEST(ConfigTest, Values) {
  const Config config =
      config_of(R"({"i": 3, "f": 0.5, "integral": 768.0, "t": true, "s": "text", "null": null, "list": [1, 2.0, -3],)"
                R"( "names": ["a", "b"]})");
  EXPECT_EQ(config.integer("i"), 3);
  EXPECT_EQ(config.integer("integral"), 768);
  EXPECT_EQ(config.number("f"), 0.5);
  EXPECT_EQ(config.number("i"), 3.0);
  EXPECT_TRUE(config.boolean("t"));
  EXPECT_EQ(config.string("s"), "text");
  EXPECT_EQ(config.integers("list"), (std::vector<std::int64_t>{1, 2, -3}));
  EXPECT_EQ(config.strings("names"), (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(config.has("i"));
  EXPECT_FALSE(config.has("null"));
  EXPECT_FALSE(config.has("missing"));
  EXPECT_EQ(config.json().find("s")->string(), "text");
}

TEST(ConfigTest, DefaultsStandForAbsentAndNull) {
  const Config config = config_of(R"({"null": null, "i": 3})");
  for (const std::string_view name : {"null", "missing"}) {
    EXPECT_EQ(config.integer(name, 5), 5);
    EXPECT_EQ(config.positive(name, 6), 6);
    EXPECT_EQ(config.number(name, 0.5), 0.5);
    EXPECT_TRUE(config.boolean(name, true));
    EXPECT_EQ(config.string(name, "gelu"), "gelu");
    EXPECT_EQ(config.optional_integer(name), std::nullopt);
    EXPECT_EQ(config.optional_positive(name), std::nullopt);
    EXPECT_EQ(config.optional_number(name), std::nullopt);
    EXPECT_EQ(config.optional_boolean(name), std::nullopt);
    EXPECT_EQ(config.optional_string(name), std::nullopt);
    EXPECT_EQ(config.optional_integers(name), std::nullopt);
    EXPECT_EQ(config.optional_strings(name), std::nullopt);
    EXPECT_FALSE(config.optional_section(name).has_value());
  }
  EXPECT_EQ(config.integer("i", 5), 3);
}

TEST(ConfigTest, MissingMembers) {
  const Config config = config_of(R"({"null": null})");
  expect_error([&] { config.integer("hidden_size"); }, "config.json: \"hidden_size\" is missing");
  expect_error([&] { config.positive("null"); }, "config.json: \"null\" is missing");
  expect_error([&] { config.number("x"); }, "config.json: \"x\" is missing");
  expect_error([&] { config.boolean("x"); }, "config.json: \"x\" is missing");
  expect_error([&] { config.string("x"); }, "config.json: \"x\" is missing");
  expect_error([&] { config.integers("x"); }, "config.json: \"x\" is missing");
  expect_error([&] { config.strings("x"); }, "config.json: \"x\" is missing");
  expect_error([&] { config.section("x"); }, "config.json: \"x\" is missing");
}

TEST(ConfigTest, WrongTypes) {
  const Config config = config_of(R"({"s": "abc", "f": 1.5, "list": [1, "a"], "o": {"a": 1}, "t": true, "i": 1})");
  expect_error([&] { config.integer("s"); }, "config.json: \"s\" must be an integer, is \"abc\"");
  expect_error([&] { config.integer("f"); }, "config.json: \"f\" must be an integer, is 1.5");
  expect_error([&] { config.integer("t", 3); }, "config.json: \"t\" must be an integer, is true");
  expect_error([&] { config.number("s", 1.0); }, "config.json: \"s\" must be a number, is \"abc\"");
  expect_error([&] { config.boolean("i"); }, "config.json: \"i\" must be true or false, is 1");
  expect_error([&] { config.string("o"); }, "config.json: \"o\" must be a string, is an object");
  expect_error([&] { config.integers("list"); }, "config.json: \"list\" must be an array of integers, is [1, \"a\"]");
  expect_error([&] { config.integers("i"); }, "config.json: \"i\" must be an array of integers, is 1");
  expect_error([&] { config.strings("list"); }, "config.json: \"list\" must be an array of strings, is [1, \"a\"]");
  expect_error([&] { config.section("i"); }, "config.json: \"i\" must be an object, is 1");
  expect_error([&] { config.section("list"); }, "config.json: \"list\" must be an object, is [1, \"a\"]");
}

TEST(ConfigTest, LongValuesAreAbbreviated) {
  const Config config = config_of("{\"s\": \"" + std::string(58, 'x') + "\xc3\xa9" + std::string(100, 'y') + "\"}");
  expect_error([&] { config.integer("s"); },
               "config.json: \"s\" must be an integer, is \"" + std::string(58, 'x') + "...");
}

TEST(ConfigTest, Ranges) {
  const Config config =
      config_of(R"({"zero": 0, "negative": -4, "large": 2147483648, "larger": 2147483649, "huge": 1e300, "inf": NaN})");
  expect_error([&] { config.positive("zero"); },
               "config.json: \"zero\" is out of range: must be between 1 and 2^31, is 0");
  expect_error([&] { config.positive("negative", 3); },
               "config.json: \"negative\" is out of range: must be between 1 and 2^31, is -4");
  EXPECT_EQ(config.positive("large"), std::int64_t{1} << 31);
  expect_error([&] { config.positive("larger"); },
               "config.json: \"larger\" is out of range: must be between 1 and 2^31, is 2147483649");
  expect_error([&] { config.integer("huge"); }, "config.json: \"huge\" must be an integer, is 1e+300");
  expect_error([&] { config.integer("inf"); }, "config.json: \"inf\" must be an integer, is NaN");
}

TEST(ConfigTest, Sections) {
  const Config config = config_of(R"({"text_config": {"hidden_size": "x", "inner": {"n": 4}}})");
  const Config section = config.section("text_config");
  expect_error([&] { section.integer("hidden_size"); },
               "config.json: \"text_config.hidden_size\" must be an integer, is \"x\"");
  expect_error([&] { section.integer("layers"); }, "config.json: \"text_config.layers\" is missing");
  EXPECT_EQ(section.section("inner").integer("n"), 4);
  expect_error([&] { section.section("inner").integer("m"); }, "config.json: \"text_config.inner.m\" is missing");
}

TEST(ConfigTest, SectionsOutliveTheirConfig) {
  const Config section = config_of(R"({"text_config": {"n": 4}})").section("text_config");
  EXPECT_EQ(section.integer("n"), 4);
}

TEST(ConfigTest, MustBeAnObject) {
  expect_error([] { Config(Json(3), "preprocessor_config.json"); }, "preprocessor_config.json: is not a JSON object");
}

TEST(ConfigDtypeTest, BothDialects) {
  EXPECT_EQ(config_dtype(config_of(R"({"dtype": "bfloat16"})")), "bfloat16");
  EXPECT_EQ(config_dtype(config_of(R"({"torch_dtype": "float16"})")), "float16");
  EXPECT_EQ(config_dtype(config_of(R"({"torch_dtype": "torch.float32"})")), "float32");
  EXPECT_EQ(config_dtype(config_of(R"({"dtype": "float32", "torch_dtype": "float16"})")), "float32");
  EXPECT_EQ(config_dtype(config_of(R"({"dtype": null, "torch_dtype": "float16"})")), "float16");
  EXPECT_EQ(config_dtype(config_of(R"({"torch_dtype": "auto"})")), std::nullopt);
  EXPECT_EQ(config_dtype(config_of("{}")), std::nullopt);
  expect_error([] { config_dtype(config_of(R"({"dtype": 5})")); }, "config.json: \"dtype\" must be a string, is 5");
}

TEST(RopeParametersTest, Defaults) {
  const RopeParameters rope = rope_parameters(config_of("{}"));
  EXPECT_EQ(rope.theta, 10000.0);
  EXPECT_EQ(rope.type, "default");
  EXPECT_TRUE(rope.scaling.is_null());
  EXPECT_EQ(rope.partial_rotary_factor, std::nullopt);
  EXPECT_EQ(rope_parameters(config_of("{}"), {}, 500.0).theta, 500.0);
}

TEST(RopeParametersTest, Version4) {
  const RopeParameters plain = rope_parameters(config_of(R"({"rope_theta": 500000, "rope_scaling": null})"));
  EXPECT_EQ(plain.theta, 500000.0);
  EXPECT_EQ(plain.type, "default");

  const RopeParameters scaled = rope_parameters(config_of(
      R"({"rope_theta": 1e6, "partial_rotary_factor": 0.5, "rope_scaling": {"rope_type": "yarn", "factor": 4.0}})"));
  EXPECT_EQ(scaled.theta, 1e6);
  EXPECT_EQ(scaled.type, "yarn");
  EXPECT_EQ(scaled.scaling.find("factor")->number(), 4.0);
  EXPECT_EQ(scaled.partial_rotary_factor, 0.5);
}

TEST(RopeParametersTest, OlderNames) {
  EXPECT_EQ(rope_parameters(config_of(R"({"rope_scaling": {"type": "linear", "factor": 2.0}})")).type, "linear");
  EXPECT_EQ(rope_parameters(config_of(R"({"rope_scaling": {"type": "su"}})")).type, "longrope");
  EXPECT_EQ(rope_parameters(config_of(R"({"rope_scaling": {"type": "mrope", "mrope_section": [1]}})")).type, "default");
  EXPECT_EQ(rope_parameters(config_of(R"({"rope_scaling": {"type": "a", "rope_type": "b"}})")).type, "b");
  const RopeParameters neox = rope_parameters(config_of(R"({"rotary_emb_base": 5000, "rotary_pct": 0.25})"));
  EXPECT_EQ(neox.theta, 5000.0);
  EXPECT_EQ(neox.partial_rotary_factor, 0.25);
}

TEST(RopeParametersTest, Version4LayerTypes) {
  const Config gemma = config_of(
      R"({"rope_theta": 1e6, "rope_local_base_freq": 1e4, "rope_scaling": {"rope_type": "linear", "factor": 8.0}})");
  EXPECT_EQ(rope_parameters(gemma, "full_attention").theta, 1e6);
  EXPECT_EQ(rope_parameters(gemma, "full_attention").type, "linear");
  EXPECT_EQ(rope_parameters(gemma, "sliding_attention").theta, 1e4);
  EXPECT_EQ(rope_parameters(gemma, "sliding_attention").type, "default");
  const Config modern_bert = config_of(R"({"global_rope_theta": 160000.0, "local_rope_theta": 10000.0})");
  EXPECT_EQ(rope_parameters(modern_bert, "full_attention").theta, 160000.0);
  EXPECT_EQ(rope_parameters(modern_bert, "sliding_attention").theta, 10000.0);
}

TEST(RopeParametersTest, Version5) {
  const RopeParameters rope = rope_parameters(config_of(
      R"({"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "partial_rotary_factor": 0.5}})"));
  EXPECT_EQ(rope.theta, 5e5);
  EXPECT_EQ(rope.type, "llama3");
  EXPECT_EQ(rope.scaling.find("factor")->number(), 8.0);
  EXPECT_EQ(rope.partial_rotary_factor, 0.5);
  EXPECT_EQ(rope_parameters(config_of(R"({"rope_parameters": {"rope_type": "default"}})")).theta, 10000.0);
}

TEST(RopeParametersTest, Version5LayerTypes) {
  const Config config =
      config_of(R"({"rope_parameters": {"full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},)"
                R"( "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}})");
  EXPECT_EQ(rope_parameters(config, "full_attention").type, "linear");
  EXPECT_EQ(rope_parameters(config, "full_attention").theta, 1e6);
  EXPECT_EQ(rope_parameters(config, "sliding_attention").theta, 1e4);
  EXPECT_EQ(rope_parameters(config).theta, 1e6);
  expect_error([&] { rope_parameters(config, "chunked_attention"); },
               "config.json: \"rope_parameters.chunked_attention\" is missing");
}

TEST(RopeParametersTest, Errors) {
  expect_error([] { rope_parameters(config_of(R"({"rope_theta": 0})")); },
               "config.json: \"rope_theta\" must be a positive number");
  expect_error([] { rope_parameters(config_of(R"({"rope_parameters": {"rope_theta": NaN}})")); },
               "config.json: \"rope_parameters.rope_theta\" must be a positive number");
  expect_error([] { rope_parameters(config_of(R"({"rope_scaling": "yarn"})")); },
               "config.json: \"rope_scaling\" must be an object, is \"yarn\"");
}

}  // namespace
}  // namespace onnxport
