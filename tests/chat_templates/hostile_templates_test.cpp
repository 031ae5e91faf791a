// Templates from strangers: every one of them ends soon, within bounds, with a message that names the line.
#include <chrono>

#include <gtest/gtest.h>

#include "onnxport/chat_template.h"
#include "onnxport/error.h"
#include "onnxport/json.h"

namespace onnxport::testing {
namespace {

std::string repeat(std::string_view text, int count) {
  std::string result;
  for (int i = 0; i < count; ++i) result += text;
  return result;
}

/// Renders, which must fail with this in the message.
void expect_error(std::string_view source, std::string_view message, const Json& variables = Json::Object{}) {
  SCOPED_TRACE(std::string(source.substr(0, 200)));
  const auto start = std::chrono::steady_clock::now();
  try {
    const std::string output = ChatTemplate(source, "t").render(variables);
    ADD_FAILURE() << "no error but " << output.substr(0, 200);
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(message), std::string::npos) << error.what();
    EXPECT_EQ(std::string(error.what()).rfind("t:", 0), 0U) << error.what();
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  EXPECT_LT(seconds.count(), 120);
}

TEST(HostileTemplates, MessagesNameTheLine) {
  expect_error("a\nb\n{{ 1 / 0 }}", "t:3: division by zero");
  expect_error("{% if true %}\r\n{{ x.y }}{% endif %}", "t:2: 'x' is undefined");
  expect_error("\n\n{% for %}", "t:3:");
  expect_error("{{ 1 }\n}", "t:1:");
  expect_error("{# x\n #}{% macro f() %}\n{{ raise_exception('told so') }}{% endmacro %}\n{{ f() }}", "t:3: told so");
  expect_error("\n{{ 'x'|uper }}", "there is no filter named 'uper' (nearest: upper");
  expect_error("\n{{ 'x' is strng }}", "t:2: there is no test named 'strng' (nearest: string");
}

TEST(HostileTemplates, LoopsEnd) {
  expect_error("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}", "10000000 steps");
  expect_error("{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}", "steps");
  expect_error("{{ range(10 ** 9) }}", "range of 1000000000 items is too big");
  expect_error("{{ range(-9223372036854775807, 9223372036854775807) }}", "too big");
}

TEST(HostileTemplates, ValuesStaySmall) {
  expect_error("{{ 'x' * 10 ** 12 }}", "exceeds the bound of 67108864 bytes");
  expect_error("{{ [0] * 10 ** 9 }}", "exceeds the bound");
  expect_error("{{ [[]] * 9223372036854775807 }}", "exceeds the bound");
  expect_error("{{ 9 ** 99 }}", "beyond 64 bits");
  expect_error("{{ 9223372036854775807 + 1 }}", "beyond 64 bits");
  expect_error("{{ -9223372036854775807 - 2 }}", "beyond 64 bits");
  expect_error("{{ (-9223372036854775807 - 1) // -1 }}", "beyond 64 bits");
  expect_error("{{ '%1000000000d' % 1 }}", "exceeds the bound");
  expect_error("{{ '%.1000000000f' % 1 }}", "too big");
  expect_error("{{ '%*s' % (999999999, 'x') }}", "exceeds the bound");
  expect_error("{{ '{:>999999999}'.format(1) }}", "exceeds the bound");
  expect_error("{{ '{:.999999999}'.format(1.5) }}", "too big");
  expect_error("{{ '{:0999999999,}'.format(1) }}", "exceeds the bound");
  expect_error("{{ 'x'.center(999999999) }}", "exceeds the bound");
  expect_error("{{ 'x'.ljust(999999999, '\\U0001F600') }}", "exceeds the bound");
  expect_error("{{ '\\t'.expandtabs(999999999) }}", "exceeds the bound");
  expect_error("{{ 'x'.zfill(999999999) }}", "exceeds the bound");
  expect_error("{{ [1]|batch(999999999, 0)|list }}", "exceeds the bound");
  expect_error("{{ 'a\\nb'|indent(999999999) }}", "exceeds the bound");
  expect_error("{{ [[1]]|tojson(indent=999999999) }}", "exceeds the bound");
  expect_error("{{ strftime_now('%1000000d') }}", "too much text");
  expect_error(
      "{% set ns = namespace(s='x' * 1000) %}{% for i in range(100) %}{% set ns.s = ns.s.replace('x', 'xx') %}"
      "{% endfor %}",
      "10000000 steps");
  expect_error("{% set ns = namespace(s='x') %}{% for i in range(100) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
               "bound");
  expect_error("{% set ns = namespace(l=[1]) %}{% for i in range(100) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
               "bound");
}

TEST(HostileTemplates, MemoryIsBounded) {
  // Many values that are each small enough.
  expect_error(
      "{% set ns = namespace(l=[]) %}{% set s = 'x' * 30000000 %}"
      "{% for i in range(100) %}{% set ns.l = ns.l + [s ~ i] %}{% endfor %}",
      "values exceed the bound");
  // A small value with a huge text.
  const std::string share =
      "{% set ns = namespace(l=[1, 2]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}";
  expect_error(share + "{{ ns.l }}", "");
  expect_error(share + "{{ ns.l|tojson }}", "");
  expect_error(share + "{% set a = ns.l %}" + share + "{{ a == ns.l }}", "");
  // Kept objects: each macro, namespace and loop of a round.
  expect_error(
      "{% for i in range(100000) %}{% for j in range(100) %}{% set n = namespace(a=1, b=2) %}{% endfor %}{% endfor %}",
      "bound");
}

TEST(HostileTemplates, OutputIsBounded) {
  expect_error("{% set s = 'x' * 1000000 %}{% for i in range(1000) %}{{ s }}{% endfor %}", "bound");
  ChatTemplateLimits limits;
  limits.output_bytes = 10;
  EXPECT_EQ(ChatTemplate("0123456789").render({}, limits), "0123456789");
  EXPECT_THROW(ChatTemplate("0123456789a").render({}, limits), Error);
}

TEST(HostileTemplates, StepsAreBounded) {
  ChatTemplateLimits limits;
  limits.steps = 1000;
  const ChatTemplate source("{% for x in range(n) %}{{ x }}{% endfor %}");
  EXPECT_EQ(source.render(Json::Object{{"n", 3}}, limits), "012");
  EXPECT_THROW(source.render(Json::Object{{"n", 5000}}, limits), Error);
}

TEST(HostileTemplates, RecursionEnds) {
  expect_error("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "nested deeper than 400 levels");
  expect_error("{% macro f(g) %}{{ g(g) }}{% endmacro %}{{ f(f) }}", "nested deeper");
  expect_error("{% for x in l recursive %}{{ loop(l) }}{% endfor %}", "nested deeper",
               Json::Object{{"l", Json::Array{1}}});
  expect_error("{% macro f() %}{% call f() %}{% endcall %}{{ caller }}{% endmacro %}{{ f() }}", "nested deeper");
  expect_error("{% set ns = namespace(l=[]) %}{% for i in range(1000) %}{% set ns.l = [ns.l] %}{% endfor %}",
               "nested too deeply");
  expect_error("{% set ns = namespace(l={}) %}{% for i in range(1000) %}{% set ns.l = {'a': ns.l} %}{% endfor %}",
               "nested too deeply");
  expect_error(
      "{% set ns = namespace(l=[]) %}{% for i in range(1000) %}{% set ns.l = [ns.l]|map('list') %}{% endfor %}{{ "
      "ns.l|first }}",
      "");
  expect_error("{% set ns = namespace() %}{% set ns.self = ns %}{{ ns }}", "nested too deeply");
}

TEST(HostileTemplates, NestingOfTheSourceIsBounded) {
  for (const auto& [open, close] :
       {std::pair{"(", ")"}, std::pair{"[", "]"}, std::pair{"{1:", "}"}, std::pair{"-", ""}, std::pair{"not ", ""},
        std::pair{"x if 1 else ", ""}, std::pair{"x[", "]"}, std::pair{"f(", ")"}, std::pair{"1 is eq ", ""}})
    expect_error("{{ " + repeat(open, 100000) + "1" + repeat(close, 100000) + " }}", "t:1:");
  for (const char* link : {"|trim", ".a", "[0]", "()", " is defined"})
    expect_error("{{ x" + repeat(link, 100000) + " }}", "");
  expect_error(repeat("{% if 1 %}", 100000) + repeat("{% endif %}", 100000), "nested too deeply");
  expect_error(repeat("{% for x in [1] %}", 100000), "nested too deeply");
  expect_error(repeat("{% macro f() %}", 100000), "nested too deeply");
}

TEST(HostileTemplates, LongTemplatesTakeLinearTime) {
  const int many = 100000;
  EXPECT_EQ(ChatTemplate("{{ 0" + repeat(" + 1", many) + " }}").render({}), std::to_string(many));
  EXPECT_EQ(ChatTemplate("{{ ''" + repeat(" ~ 'a'", many) + " }}").render({}).size(), static_cast<std::size_t>(many));
  EXPECT_EQ(ChatTemplate("{{ false" + repeat(" or false", many) + " }}").render({}), "False");
  EXPECT_EQ(ChatTemplate("{% if 0 %}" + repeat("{% elif 0 %}", 20000) + "{% else %}x{% endif %}").render({}), "x");
  EXPECT_EQ(ChatTemplate(repeat("{{ 'a' }}{# #}", many)).render({}).size(), static_cast<std::size_t>(many));
  EXPECT_EQ(ChatTemplate(repeat("{ ", many)).render({}).size(), static_cast<std::size_t>(2 * many));
  std::string names;
  for (int i = 0; i < 20000; ++i)
    names += "{% if a" + std::to_string(i) + " %}{% set b" + std::to_string(i) + " = 1 %}{% endif %}";
  expect_error(names, "too many variables");
}

TEST(HostileTemplates, NothingOutsideTheVariablesIsReached) {
  for (const char* source :
       {"{{ ''.__class__.__mro__ }}", "{{ x.__init__.__globals__ }}", "{{ namespace.__init__.__globals__ }}",
        "{{ [].__class__.__base__ }}", "{{ lipsum() }}", "{{ self.x }}", "{{ ''|attr('__class__')|attr('mro') }}",
        "{{ '{0.__class__.__mro__}'.format(1) }}", "{{ d.update(a=1) }}", "{{ l.append(1) }}",
        "{% import 'os' as os %}", "{% include '/etc/passwd' %}", "{{ open('/etc/passwd') }}", "{% do 1 %}"})
    expect_error(source, "", Json::Object{{"x", 1}, {"d", Json::Object{}}, {"l", Json::Array{}}});
}

TEST(HostileTemplates, SourceMustBeUtf8) {
  expect_error("{{ 1 }}\xff", "not valid UTF-8");
  expect_error("{{ '\\ud800' }}", "no character");
  expect_error("{{ '%c' % 55296 }}", "no character 55296");
}

}  // namespace
}  // namespace onnxport::testing
