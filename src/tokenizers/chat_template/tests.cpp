// Jinja's tests: what stands behind `is`.
#include <fmt/format.h>

#include "tokenizers/chat_template/builtins.h"
#include "tokenizers/chat_template/text.h"
#include "tokenizers/chat_template/value.h"

namespace onnxport::jinja {
namespace {

using std::string_view;

template <bool (*is_such)(const Value&)>
Value question(Runtime& runtime, const Value& value, Arguments& arguments) {
  Parameters(runtime, "the test", arguments, {});
  return Value::boolean(is_such(value));
}

bool is_defined(const Value& value) { return !value.is_undefined(); }
bool is_undefined(const Value& value) { return value.is_undefined(); }
bool is_none(const Value& value) { return value.is_none(); }
bool is_boolean(const Value& value) { return value.is(Kind::Boolean); }
bool is_false(const Value& value) { return value.is(Kind::Boolean) && !value.boolean(); }
bool is_true_itself(const Value& value) { return value.is(Kind::Boolean) && value.boolean(); }
bool is_integer(const Value& value) { return value.is(Kind::Integer); }
bool is_float(const Value& value) { return value.is(Kind::Float); }
bool is_number(const Value& value) { return value.is_number(); }
bool is_string(const Value& value) { return value.is_string(); }
bool is_mapping(const Value& value) { return value.is(Kind::Dict); }
bool is_escaped(const Value& value) { return value.is_string() && value.as<StringObject>().is_markup; }

/// What has len() and [].
bool is_sequence(const Value& value) {
  switch (value.kind()) {
    case Kind::Undefined:
    case Kind::String:
    case Kind::List:
    case Kind::Tuple:
    case Kind::Dict:
    case Kind::Range:
      return true;
    default:
      return false;
  }
}

Value modulo(Runtime& runtime, const Value& value, std::int64_t divisor) {
  if (value.is_string()) runtime.fail("the test needs a number, not a str");
  return apply(runtime, Operator::Modulo, value, Value::integer(divisor));
}

Value odd(Runtime& runtime, const Value& value, Arguments& arguments) {
  Parameters(runtime, "odd", arguments, {});
  return Value::boolean(equal(runtime, modulo(runtime, value, 2), Value::integer(1)));
}

Value even(Runtime& runtime, const Value& value, Arguments& arguments) {
  Parameters(runtime, "even", arguments, {});
  return Value::boolean(equal(runtime, modulo(runtime, value, 2), Value::integer(0)));
}

Value divisibleby(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters parameters(runtime, "divisibleby", arguments, {"num"});
  if (value.is_string()) runtime.fail("the test needs a number, not a str");
  const Value remainder = apply(runtime, Operator::Modulo, value, parameters.required(0));
  return Value::boolean(equal(runtime, remainder, Value::integer(0)));
}

template <bool is_equal>
Value equals(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters parameters(runtime, "eq", arguments, {""});
  return Value::boolean(equal(runtime, value, parameters.required(0)) == is_equal);
}

template <int first, int second>
Value ordered(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters parameters(runtime, "the comparison", arguments, {""});
  const int order = compare(runtime, value, parameters.required(0));
  return Value::boolean(order == first || order == second);
}

Value is_in(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters parameters(runtime, "in", arguments, {"seq"});
  return Value::boolean(contains(runtime, parameters.required(0), value));
}

Value sameas(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters parameters(runtime, "sameas", arguments, {"other"});
  const Value& other = parameters.required(0);
  // Python shares equal strings where it can, and so do templates always.
  if (value.is_string() && other.is_string()) return Value::boolean(equal(runtime, value, other));
  return Value::boolean(is_same(value, other));
}

Value iterable(Runtime& runtime, const Value& value, Arguments& arguments) {
  Parameters(runtime, "iterable", arguments, {});
  return Value::boolean(is_iterable(value) || value.is(Kind::Loop));
}

Value callable(Runtime& runtime, const Value& value, Arguments& arguments) {
  Parameters(runtime, "callable", arguments, {});
  return Value::boolean(is_callable(value));
}

template <bool is_upper>
Value in_case(Runtime& runtime, const Value& value, Arguments& arguments) {
  Parameters(runtime, "the test", arguments, {});
  const Value text = to_string_value(runtime, value);
  Arguments none;
  return find_method(text, is_upper ? "isupper" : "islower")->function(runtime, text, none);
}

Value filter(Runtime& runtime, const Value& value, Arguments& arguments) {
  Parameters(runtime, "filter", arguments, {});
  return Value::boolean(value.is_string() && find_filter(value.text()) != nullptr);
}

Value test(Runtime& runtime, const Value& value, Arguments& arguments) {
  Parameters(runtime, "test", arguments, {});
  return Value::boolean(value.is_string() && find_test(value.text()) != nullptr);
}

constexpr NamedFunction kTests[] = {
    {"!=", equals<false>},
    {"<", ordered<-1, -1>},
    {"<=", ordered<-1, 0>},
    {"==", equals<true>},
    {">", ordered<1, 1>},
    {">=", ordered<1, 0>},
    {"boolean", question<is_boolean>},
    {"callable", callable},
    {"defined", question<is_defined>},
    {"divisibleby", divisibleby},
    {"eq", equals<true>},
    {"equalto", equals<true>},
    {"escaped", question<is_escaped>},
    {"even", even},
    {"false", question<is_false>},
    {"filter", filter},
    {"float", question<is_float>},
    {"ge", ordered<1, 0>},
    {"greaterthan", ordered<1, 1>},
    {"gt", ordered<1, 1>},
    {"in", is_in},
    {"integer", question<is_integer>},
    {"iterable", iterable},
    {"le", ordered<-1, 0>},
    {"lessthan", ordered<-1, -1>},
    {"lower", in_case<false>},
    {"lt", ordered<-1, -1>},
    {"mapping", question<is_mapping>},
    {"ne", equals<false>},
    {"none", question<is_none>},
    {"number", question<is_number>},
    {"odd", odd},
    {"sameas", sameas},
    {"sequence", question<is_sequence>},
    {"string", question<is_string>},
    {"test", test},
    {"true", question<is_true_itself>},
    {"undefined", question<is_undefined>},
    {"upper", in_case<true>},
};

}  // namespace

const NamedFunction* find_test(string_view name) {
  for (const NamedFunction& known : kTests)
    if (known.name == name) return &known;
  return nullptr;
}

std::vector<std::string> test_names() {
  std::vector<std::string> names;
  for (const NamedFunction& known : kTests) names.emplace_back(known.name);
  return names;
}

}  // namespace onnxport::jinja
