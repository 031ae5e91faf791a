// What expressions do with values: arithmetic, lookup, slices.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include <fmt/format.h>

#include "tokenizers/chat_template/builtins.h"
#include "tokenizers/chat_template/text.h"
#include "tokenizers/chat_template/value.h"

namespace onnxport::jinja {
namespace {

constexpr std::string_view kSymbols[] = {"+", "-", "*", "/", "//", "%", "** or pow()"};

[[noreturn]] void fail_types(Runtime& runtime, Operator operation, const Value& left, const Value& right) {
  for (const Value* value : {&left, &right})
    if (value->is_undefined()) runtime.fail(value->as<UndefinedObject>().hint);
  if (operation == Operator::Add && left.is_string())
    runtime.fail(fmt::format("can only concatenate str (not \"{}\") to str", type_name(right)));
  runtime.fail(fmt::format("unsupported operand type(s) for {}: '{}' and '{}'",
                           kSymbols[static_cast<std::size_t>(operation)], type_name(left), type_name(right)));
}

[[noreturn]] void fail_overflow(Runtime& runtime) { runtime.fail("the result is an integer beyond 64 bits"); }

Value repeat(Runtime& runtime, const Value& value, std::int64_t count) {
  const auto times = static_cast<std::size_t>(std::max<std::int64_t>(count, 0));
  if (value.is_string()) {
    const std::string& text = value.text();
    runtime.check_size(times, text.size());
    runtime.work(times * text.size());
    std::string result;
    result.reserve(times * text.size());
    // Nothing, many times, is nothing at once.
    for (std::size_t i = 0; i < times && !text.empty(); ++i) result += text;
    return runtime.string(std::move(result), value.as<StringObject>().is_markup);
  }
  const std::vector<Value>& items = value.items();
  runtime.check_size(times, items.size() * sizeof(Value));
  runtime.work(times * items.size() * sizeof(Value));
  std::vector<Value> result;
  result.reserve(times * items.size());
  for (std::size_t i = 0; i < times && !items.empty(); ++i) result.insert(result.end(), items.begin(), items.end());
  return runtime.sequence(value.kind(), std::move(result));
}

Value concatenate(Runtime& runtime, const Value& left, const Value& right) {
  if (left.is_string()) {
    const bool is_left_markup = left.as<StringObject>().is_markup;
    const bool is_right_markup = right.as<StringObject>().is_markup;
    runtime.check_size(left.text().size() + right.text().size());
    if (is_left_markup == is_right_markup) return runtime.string(left.text() + right.text(), is_left_markup);
    return is_left_markup ? runtime.string(left.text() + escape_html(right.text()), true)
                          : runtime.string(escape_html(left.text()) + right.text(), true);
  }
  std::vector<Value> items = left.items();
  items.insert(items.end(), right.items().begin(), right.items().end());
  return runtime.sequence(left.kind(), std::move(items));
}

/// Python's floor division and modulo, whose remainder has the sign of the divisor.
double floor_modulo(double left, double right) {
  double remainder = std::fmod(left, right);
  if (remainder != 0 && (right < 0) != (remainder < 0)) remainder += right;
  return remainder == 0 ? std::copysign(0.0, right) : remainder;
}

double floor_divide(double left, double right) {
  const double remainder = std::fmod(left, right);
  double quotient = (left - remainder) / right;
  if (remainder != 0 && (right < 0) != (remainder < 0)) quotient -= 1;
  if (quotient == 0) return std::copysign(0.0, left / right);
  const double floored = std::floor(quotient);
  return quotient - floored > 0.5 ? floored + 1 : floored;
}

Value integer_power(Runtime& runtime, std::int64_t base, std::int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) runtime.fail("0.0 cannot be raised to a negative power");
    return Value::real(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  std::int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) fail_overflow(runtime);
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) {
      // 0, 1 and -1 never get here: their squares are small.
      fail_overflow(runtime);
    }
  }
  return Value::integer(result);
}

Value apply_integers(Runtime& runtime, Operator operation, std::int64_t left, std::int64_t right) {
  std::int64_t result = 0;
  switch (operation) {
    case Operator::Add:
      if (__builtin_add_overflow(left, right, &result)) fail_overflow(runtime);
      return Value::integer(result);
    case Operator::Subtract:
      if (__builtin_sub_overflow(left, right, &result)) fail_overflow(runtime);
      return Value::integer(result);
    case Operator::Multiply:
      if (__builtin_mul_overflow(left, right, &result)) fail_overflow(runtime);
      return Value::integer(result);
    case Operator::Divide:
      if (right == 0) runtime.fail("division by zero");
      return Value::real(static_cast<double>(static_cast<long double>(left) / static_cast<long double>(right)));
    case Operator::FloorDivide:
    case Operator::Modulo: {
      if (right == 0) runtime.fail("integer division or modulo by zero");
      if (right == -1) {  // the quotient of the smallest integer has no 64 bits
        if (operation == Operator::Modulo) return Value::integer(0);
        if (__builtin_sub_overflow(std::int64_t{0}, left, &result)) fail_overflow(runtime);
        return Value::integer(result);
      }
      const bool has_other_sign = left % right != 0 && (left < 0) != (right < 0);
      return Value::integer(operation == Operator::Modulo ? left % right + (has_other_sign ? right : 0)
                                                          : left / right - (has_other_sign ? 1 : 0));
    }
    case Operator::Power:
      return integer_power(runtime, left, right);
  }
  return Value::none();
}

Value apply_floats(Runtime& runtime, Operator operation, double left, double right) {
  switch (operation) {
    case Operator::Add:
      return Value::real(left + right);
    case Operator::Subtract:
      return Value::real(left - right);
    case Operator::Multiply:
      return Value::real(left * right);
    case Operator::Divide:
      if (right == 0) runtime.fail("float division by zero");
      return Value::real(left / right);
    case Operator::FloorDivide:
      if (right == 0) runtime.fail("float floor division by zero");
      return Value::real(floor_divide(left, right));
    case Operator::Modulo:
      if (right == 0) runtime.fail("float modulo");
      return Value::real(floor_modulo(left, right));
    case Operator::Power: {
      if (left == 0 && right < 0) runtime.fail("0.0 cannot be raised to a negative power");
      if (left < 0 && std::isfinite(left) && std::isfinite(right) && right != std::floor(right))
        runtime.fail("a negative number to a fractional power is a complex number, which templates lack");
      const double result = std::pow(left, right);
      if (std::isinf(result) && std::isfinite(left) && std::isfinite(right))
        runtime.fail("the result is too large for a float");
      return Value::real(result);
    }
  }
  return Value::none();
}

/// A part of a slice as an integer, or nothing for None.
std::optional<std::int64_t> slice_index(Runtime& runtime, const Value& value) {
  if (value.is_none()) return std::nullopt;
  if (value.is_undefined()) runtime.fail(value.as<UndefinedObject>().hint);
  if (!value.is_integral()) runtime.fail("slice indices must be integers or None or have an __index__ method");
  return value.integer();
}

struct SliceBounds {
  std::int64_t start = 0;
  std::int64_t stop = 0;
  std::int64_t step = 1;
  std::int64_t count = 0;
};

/// slice(start, stop, step).indices(length)
SliceBounds slice_bounds(Runtime& runtime, std::int64_t length, const Value& start, const Value& stop,
                         const Value& step) {
  const std::int64_t stride = slice_index(runtime, step).value_or(1);
  if (stride == 0) runtime.fail("slice step cannot be zero");
  const std::int64_t lowest = stride > 0 ? 0 : -1;
  const std::int64_t highest = stride > 0 ? length : length - 1;
  const auto clamp = [&](std::optional<std::int64_t> index, std::int64_t absent) {
    if (!index) return absent;
    const std::int64_t from_begin = *index < 0 ? *index + length : *index;  // cannot overflow: the signs differ
    return std::clamp(from_begin, lowest, std::max(lowest, highest));
  };
  const std::int64_t first = clamp(slice_index(runtime, start), stride > 0 ? lowest : highest);
  const std::int64_t last = clamp(slice_index(runtime, stop), stride > 0 ? highest : lowest);
  SliceBounds bounds{first, last, stride, 0};
  // Unsigned: a stride may be as large as an integer can be.
  if (stride > 0 && first < last)
    bounds.count =
        static_cast<std::int64_t>((static_cast<std::uint64_t>(last - first) - 1) / static_cast<std::uint64_t>(stride)) +
        1;
  if (stride < 0 && first > last)
    bounds.count = static_cast<std::int64_t>((static_cast<std::uint64_t>(first - last) - 1) /
                                             (std::uint64_t{0} - static_cast<std::uint64_t>(stride))) +
                   1;
  return bounds;
}

/// The index that follows bounds.start `i` times, without overflow for the last one.
std::int64_t slice_at(const SliceBounds& bounds, std::int64_t i) { return bounds.start + i * bounds.step; }

Value slice_string(Runtime& runtime, const Value& value, const SliceBounds& bounds) {
  const auto& string = value.as<StringObject>();
  runtime.work(string.text.size());
  std::string result;
  if (bounds.step == 1) {
    const std::size_t begin = string.is_ascii() ? static_cast<std::size_t>(bounds.start)
                                                : byte_offset(string.text, static_cast<std::size_t>(bounds.start));
    const std::string_view rest = std::string_view(string.text).substr(std::min(begin, string.text.size()));
    const std::size_t size = string.is_ascii() ? static_cast<std::size_t>(bounds.count)
                                               : byte_offset(rest, static_cast<std::size_t>(bounds.count));
    result = rest.substr(0, size);
  } else if (string.is_ascii()) {
    for (std::int64_t i = 0; i < bounds.count; ++i)
      result += string.text[static_cast<std::size_t>(slice_at(bounds, i))];
  } else {
    std::vector<std::size_t> begins;
    for (std::size_t position = 0; position < string.text.size(); next_character(string.text, position))
      begins.push_back(position);
    begins.push_back(string.text.size());
    for (std::int64_t i = 0; i < bounds.count; ++i) {
      const auto at = static_cast<std::size_t>(slice_at(bounds, i));
      result.append(string.text, begins[at], begins[at + 1] - begins[at]);
    }
  }
  return runtime.string(std::move(result), string.is_markup);
}

/// The item of a sequence or string at an index that may count from the end; Missing if there is none.
Value item_at(Runtime& runtime, const Value& value, std::int64_t index) {
  const std::int64_t length = *length_of(value);
  if (index < 0) index += length;
  if (index < 0 || index >= length) return {};
  if (value.is_sequence()) return value.items()[static_cast<std::size_t>(index)];
  if (value.is(Kind::Range)) return Value::integer(value.as<RangeObject>().at(index));
  const auto& string = value.as<StringObject>();
  std::size_t begin = static_cast<std::size_t>(index);
  if (!string.is_ascii()) {
    runtime.work(string.text.size());
    begin = byte_offset(string.text, begin);
  }
  std::size_t end = begin;
  next_character(string.text, end);
  return runtime.string(string.text.substr(begin, end - begin), string.is_markup);
}

/// value[item] by Python's rules; Missing where Python throws a TypeError or LookupError.
Value subscript(Runtime& runtime, const Value& value, const Value& item) {
  switch (value.kind()) {
    case Kind::Dict:
      if (item.is(Kind::List) || item.is(Kind::Dict)) return {};  // not hashable
      if (const Value* found = value.as<DictObject>().dict.find(runtime, item)) return *found;
      return {};
    case Kind::String:
    case Kind::List:
    case Kind::Tuple:
    case Kind::Range:
      return item.is_integral() ? item_at(runtime, value, item.integer()) : Value();
    default:
      return {};
  }
}

[[noreturn]] void fail_undefined(Runtime& runtime, const Value& value) {
  runtime.fail(value.as<UndefinedObject>().hint);
}

}  // namespace

Value apply(Runtime& runtime, Operator operation, const Value& left, const Value& right) {
  if (left.is_number() && right.is_number()) {
    if (left.is_integral() && right.is_integral())
      return apply_integers(runtime, operation, left.integer(), right.integer());
    return apply_floats(runtime, operation, left.number(), right.number());
  }
  if (operation == Operator::Add && left.kind() == right.kind() && (left.is_string() || left.is_sequence()))
    return concatenate(runtime, left, right);
  if (operation == Operator::Multiply) {
    if ((left.is_string() || left.is_sequence()) && right.is_integral()) return repeat(runtime, left, right.integer());
    if ((right.is_string() || right.is_sequence()) && left.is_integral()) return repeat(runtime, right, left.integer());
  }
  if (operation == Operator::Modulo && left.is_string()) return format_percent(runtime, left, right);
  fail_types(runtime, operation, left, right);
}

Value negate(Runtime& runtime, const Value& value) {
  if (value.is_integral()) {
    std::int64_t result = 0;
    if (__builtin_sub_overflow(std::int64_t{0}, value.integer(), &result)) fail_overflow(runtime);
    return Value::integer(result);
  }
  if (value.is(Kind::Float)) return Value::real(-value.number());
  if (value.is_undefined()) fail_undefined(runtime, value);
  runtime.fail(fmt::format("bad operand type for unary -: '{}'", type_name(value)));
}

Value positive(Runtime& runtime, const Value& value) {
  if (value.is_integral()) return Value::integer(value.integer());
  if (value.is(Kind::Float)) return value;
  if (value.is_undefined()) fail_undefined(runtime, value);
  runtime.fail(fmt::format("bad operand type for unary +: '{}'", type_name(value)));
}

Value get_attribute(Runtime& runtime, const Value& value, const Value& name) {
  if (value.is_undefined()) fail_undefined(runtime, value);
  const std::string& text = name.text();
  if (Value found = find_attribute(runtime, value, text); !found.is_missing()) return found;
  if (Value found = subscript(runtime, value, name); !found.is_missing()) return found;
  return runtime.undefined(fmt::format("{} has no attribute '{}'", describe_type(value), text));
}

Value get_item(Runtime& runtime, const Value& value, const Value& item) {
  if (value.is_undefined()) fail_undefined(runtime, value);
  if (Value found = subscript(runtime, value, item); !found.is_missing()) return found;
  if (!item.is_string())
    return runtime.undefined(fmt::format("{} has no element {}", describe_type(value), repr(runtime, item)));
  if (Value found = find_attribute(runtime, value, item.text()); !found.is_missing()) return found;
  return runtime.undefined(fmt::format("{} has no attribute '{}'", describe_type(value), item.text()));
}

Value slice(Runtime& runtime, const Value& value, const Value& start, const Value& stop, const Value& step) {
  if (value.is_undefined()) fail_undefined(runtime, value);
  if (!value.is_string() && !value.is_sequence() && !value.is(Kind::Range))
    runtime.fail(value.is(Kind::Dict) ? "unhashable type: 'slice'"
                                      : fmt::format("'{}' object is not subscriptable", type_name(value)));
  const SliceBounds bounds = slice_bounds(runtime, *length_of(value), start, stop, step);
  if (value.is_string()) return slice_string(runtime, value, bounds);
  if (value.is(Kind::Range)) {
    const auto& range = value.as<RangeObject>();
    std::int64_t stride = 0;
    if (__builtin_mul_overflow(range.step, bounds.step, &stride)) fail_overflow(runtime);
    return runtime.range(range.at(bounds.start), range.at(bounds.stop), stride);
  }
  runtime.work(static_cast<std::size_t>(bounds.count) * sizeof(Value));
  std::vector<Value> items;
  items.reserve(static_cast<std::size_t>(bounds.count));
  for (std::int64_t i = 0; i < bounds.count; ++i)
    items.push_back(value.items()[static_cast<std::size_t>(slice_at(bounds, i))]);
  return runtime.sequence(value.kind(), std::move(items));
}

Value get_path(Runtime& runtime, const Value& value, const Value& path, const Value* default_value) {
  if (path.is_none()) return value;
  const auto step = [&](const Value& from, const Value& part) {
    Value found = get_item(runtime, from, part);
    return found.is_undefined() && default_value != nullptr && !default_value->is_none() ? *default_value : found;
  };
  if (!path.is_string()) return step(value, path);
  Value result = value;
  std::string_view rest = path.text();
  while (true) {
    const std::string_view part = rest.substr(0, rest.find('.'));
    const bool is_index =
        !part.empty() && std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    bool is_too_large = false;
    const std::optional<std::int64_t> index = is_index ? parse_integer(part, 10, is_too_large) : std::nullopt;
    result = step(result, index ? Value::integer(*index) : runtime.string(std::string(part)));
    if (part.size() == rest.size()) return result;
    rest.remove_prefix(part.size() + 1);
  }
}

}  // namespace onnxport::jinja
