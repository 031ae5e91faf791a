// Jinja's filters.
#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <limits>

#include <fmt/format.h>

#include "core/nearest.h"
#include "tokenizers/chat_template/builtins.h"
#include "tokenizers/chat_template/text.h"
#include "tokenizers/chat_template/value.h"

namespace onnxport::jinja {
namespace {

using std::string_view;

[[noreturn]] void fail_filter(Runtime& runtime, const std::string& message) { runtime.fail(message); }

void refuse_undefined(Runtime& runtime, const Value& value) {
  if (value.is_undefined()) runtime.fail(value.as<UndefinedObject>().hint);
}

Value call_method(Runtime& runtime, const Value& receiver, string_view method, std::vector<Value> positional = {}) {
  Arguments arguments{std::move(positional), {}};
  return find_method(receiver, method)->function(runtime, receiver, arguments);
}

/// Strings in lower case, other values as they are: how filters compare unless they are told to mind the case.
Value ignore_case(Runtime& runtime, const Value& value) {
  return value.is_string() ? call_method(runtime, value, "lower") : value;
}

// ---- Text -----------------------------------------------------------------------------------------------------------

Value upper(Runtime& runtime, const Value& value, Arguments& arguments) {
  Parameters(runtime, "upper", arguments, {});
  return call_method(runtime, to_string_value(runtime, value), "upper");
}

Value lower(Runtime& runtime, const Value& value, Arguments& arguments) {
  Parameters(runtime, "lower", arguments, {});
  return call_method(runtime, to_string_value(runtime, value), "lower");
}

Value capitalize_text(Runtime& runtime, const Value& value, Arguments& arguments) {
  Parameters(runtime, "capitalize", arguments, {});
  return call_method(runtime, to_string_value(runtime, value), "capitalize");
}

Value title(Runtime& runtime, const Value& value, Arguments& arguments) {
  Parameters(runtime, "title", arguments, {});
  const Value source = to_string_value(runtime, value);
  const std::string& text = source.text();
  runtime.work(text.size());
  // Words begin behind white space and -({[<: the first character is put in upper case, the others in lower.
  std::string result;
  std::string word;
  const auto end_word = [&] {
    if (word.empty()) return;
    std::size_t first = 0;
    next_character(word, first);
    result += to_upper(string_view(word).substr(0, first)) + to_lower(string_view(word).substr(first));
    word.clear();
  };
  bool was_separator = false;
  for (std::size_t position = 0; position < text.size();) {
    const std::size_t begin = position;
    const char32_t code_point = next_character(text, position);
    const bool is_separator =
        is_space(code_point) || std::u32string_view(U"-({[<").find(code_point) != std::u32string_view::npos;
    if (is_separator != was_separator) end_word();
    was_separator = is_separator;
    word.append(text, begin, position - begin);
  }
  end_word();
  return runtime.string(std::move(result));
}

Value trim(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters parameters(runtime, "trim", arguments, {"chars"});
  const Value text = to_string_value(runtime, value);
  const Value* characters = parameters.find(0);
  return call_method(runtime, text, "strip", characters == nullptr ? std::vector<Value>{} : std::vector{*characters});
}

Value replace(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters parameters(runtime, "replace", arguments, {"old", "new", "count"});
  // str(...) of all: without autoescape the marks of safe text are dropped.
  const auto plain = [&](const Value& text) { return runtime.string(to_text(runtime, text)); };
  const Value* count = parameters.find(2);
  return call_method(runtime, plain(value), "replace",
                     {plain(parameters.required(0)), plain(parameters.required(1)),
                      count == nullptr || count->is_none() ? Value::integer(-1) : *count});
}

Value string(Runtime& runtime, const Value& value, Arguments& arguments) {
  Parameters(runtime, "string", arguments, {});
  return to_string_value(runtime, value);
}

Value safe(Runtime& runtime, const Value& value, Arguments& arguments) {
  Parameters(runtime, "safe", arguments, {});
  return runtime.string(to_text(runtime, value), true);
}

Value escape(Runtime& runtime, const Value& value, Arguments& arguments) {
  Parameters(runtime, "escape", arguments, {});
  if (value.is_string() && value.as<StringObject>().is_markup) return value;
  return runtime.string(escape_html(to_text(runtime, value)), true);
}

Value forceescape(Runtime& runtime, const Value& value, Arguments& arguments) {
  Parameters(runtime, "forceescape", arguments, {});
  return runtime.string(escape_html(to_text(runtime, value)), true);
}

Value center(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters parameters(runtime, "center", arguments, {"width"});
  return call_method(runtime, to_string_value(runtime, value), "center", {Value::integer(parameters.integer(0, 80))});
}

Value format(Runtime& runtime, const Value& value, Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.keywords.empty())
    fail_filter(runtime, "can't handle positional and keyword arguments at the same time");
  const Value text = to_string_value(runtime, value);
  if (arguments.keywords.empty()) return format_percent(runtime, text, runtime.tuple(arguments.positional));
  Dict dict;
  for (auto& [key, item] : arguments.keywords) dict.set(runtime, runtime.string(key), item);
  return format_percent(runtime, text, runtime.dict(std::move(dict)));
}

Value indent(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters parameters(runtime, "indent", arguments, {"width", "first", "blank"});
  refuse_undefined(runtime, value);
  if (!value.is_string()) fail_filter(runtime, fmt::format("indent needs a str, not {}", type_name(value)));
  std::string indention(4, ' ');
  if (const Value* width = parameters.find(0)) {
    if (width->is_string()) {
      indention = width->text();
    } else {
      const std::int64_t count = std::max<std::int64_t>(to_integer(runtime, *width, "indent"), 0);
      runtime.check_size(static_cast<std::size_t>(count));
      indention.assign(static_cast<std::size_t>(count), ' ');
    }
  }
  const bool indents_blank = parameters.boolean(2, false);
  // Jinja adds a line feed, so that the one that ends the last line is kept.
  const Value lines =
      call_method(runtime, runtime.string(value.text() + "\n", value.as<StringObject>().is_markup), "splitlines");
  std::string result = parameters.boolean(1, false) ? indention : "";
  for (std::size_t i = 0; i < lines.items().size(); ++i) {
    const std::string& line = lines.items()[i].text();
    if (i > 0) result += '\n';
    if (i > 0 && (indents_blank || !line.empty())) result += indention;
    result += line;
    runtime.check_size(result.size());
    runtime.work(indention.size());
  }
  return runtime.string(std::move(result), value.as<StringObject>().is_markup);
}

Value truncate(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters parameters(runtime, "truncate", arguments, {"length", "killwords", "end", "leeway"});
  const std::int64_t length = parameters.integer(0, 255);
  const string_view end = parameters.find(2) != nullptr ? string_view(parameters.text(2)) : "...";
  const auto end_length = static_cast<std::int64_t>(count_characters(end));
  const Value* given_leeway = parameters.find(3);
  const std::int64_t leeway = given_leeway == nullptr || given_leeway->is_none() ? 5 : parameters.required_integer(3);
  if (length < end_length) fail_filter(runtime, fmt::format("expected length >= {}, got {}", end_length, length));
  if (leeway < 0) fail_filter(runtime, fmt::format("expected leeway >= 0, got {}", leeway));
  const std::optional<std::int64_t> size = length_of(value);
  if (size && *size - leeway <= length) return value;
  if (!value.is_string()) fail_filter(runtime, fmt::format("truncate needs a str, not {}", type_name(value)));
  const std::string& text = value.text();
  runtime.work(text.size());
  string_view kept = string_view(text).substr(0, byte_offset(text, static_cast<std::size_t>(length - end_length)));
  if (!parameters.boolean(1, false)) kept = kept.substr(0, kept.rfind(' '));
  return runtime.string(std::string(kept) + std::string(end));
}

Value wordcount(Runtime& runtime, const Value& value, Arguments& arguments) {
  Parameters(runtime, "wordcount", arguments, {});
  const std::string text = to_text(runtime, value);
  runtime.work(text.size());
  std::int64_t words = 0;
  bool is_inside = false;
  for (std::size_t position = 0; position < text.size();) {
    const char32_t code_point = next_character(text, position);
    const bool is_part = code_point == '_' || is_alphanumeric(code_point);
    words += is_part && !is_inside ? 1 : 0;
    is_inside = is_part;
  }
  return Value::integer(words);
}

Value striptags(Runtime& runtime, const Value& value, Arguments& arguments) {
  Parameters(runtime, "striptags", arguments, {});
  std::string text = to_text(runtime, value);
  runtime.work(text.size());
  // Comments and tags go, runs of white space become a space, and the entities of escape are undone.
  const auto remove = [&](string_view open, string_view close) {
    std::string kept;
    std::size_t position = 0;
    while (true) {
      const std::size_t begin = text.find(open, position);
      const std::size_t end = begin == std::string::npos ? begin : text.find(close, begin);
      if (end == std::string::npos) break;
      kept.append(text, position, begin - position);
      position = end + close.size();
    }
    text = kept + text.substr(position);
  };
  remove("<!--", "-->");
  remove("<", ">");
  std::string result;
  const Value parts = call_method(runtime, runtime.string(text), "split");
  for (const Value& word : parts.items()) result += (result.empty() ? "" : " ") + word.text();
  static constexpr std::pair<string_view, string_view> kEntities[] = {
      {"&lt;", "<"}, {"&gt;", ">"}, {"&#39;", "'"}, {"&#34;", "\""}, {"&quot;", "\""}, {"&amp;", "&"}};
  for (const auto& [entity, character] : kEntities)
    for (std::size_t at = 0; (at = result.find(entity, at)) != std::string::npos; at += character.size()) {
      runtime.step();
      result.replace(at, entity.size(), character);
    }
  return runtime.string(std::move(result));
}

void append_percent_encoded(std::string& out, string_view text, bool keeps_slash) {
  constexpr string_view kSafe = "_.-~";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_safe =
        (byte < 0x80 && std::isalnum(byte) != 0) || kSafe.find(c) != string_view::npos || (keeps_slash && c == '/');
    if (is_safe) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", byte);
    }
  }
}

Value urlencode(Runtime& runtime, const Value& value, Arguments& arguments) {
  Parameters(runtime, "urlencode", arguments, {});
  std::string result;
  if (value.is_string() || !is_iterable(value)) {
    append_percent_encoded(result, to_text(runtime, value), true);
    return runtime.string(std::move(result));
  }
  // Of a query, in which a space is a plus.
  const auto append = [&](const Value& part) {
    std::string encoded;
    append_percent_encoded(encoded, to_text(runtime, part), false);
    for (std::size_t at = 0; (at = encoded.find("%20", at)) != std::string::npos;) encoded.replace(at, 3, "+");
    result += encoded;
  };
  const Value pairs = value.is(Kind::Dict) ? call_method(runtime, value, "items") : value;
  for (const Value& pair : to_vector(runtime, pairs)) {
    std::vector<Value> storage;
    const std::vector<Value>& parts = items_of(runtime, pair, storage);
    if (parts.size() != 2) fail_filter(runtime, "urlencode needs pairs");
    if (!result.empty()) result += '&';
    append(parts[0]);
    result += '=';
    append(parts[1]);
    runtime.check_size(result.size());
  }
  return runtime.string(std::move(result));
}

Value filesizeformat(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters parameters(runtime, "filesizeformat", arguments, {"binary"});
  const bool is_binary = parameters.boolean(0, false);
  double bytes = 0;
  if (value.is_number()) {
    bytes = value.number();
  } else {
    const std::optional<double> parsed = value.is_string() ? parse_float(value.text()) : std::nullopt;
    if (!parsed) fail_filter(runtime, "filesizeformat needs a number");
    bytes = *parsed;
  }
  const double base = is_binary ? 1024 : 1000;
  if (bytes == 1) return runtime.string("1 Byte");
  if (bytes < base) return runtime.string(fmt::format("{} Bytes", static_cast<std::int64_t>(bytes)));
  constexpr string_view kPrefixes = "kMGTPEZY";
  double unit = base;
  std::size_t prefix = 0;
  for (;; ++prefix) {
    unit *= base;
    if (bytes < unit || prefix + 1 == kPrefixes.size()) break;
  }
  const char letter = is_binary && prefix == 0 ? 'K' : kPrefixes[prefix];
  return runtime.string(fmt::format("{:.1f} {}{}B", base * bytes / unit, letter, is_binary ? "i" : ""));
}

// ---- Numbers --------------------------------------------------------------------------------------------------------

Value absolute(Runtime& runtime, const Value& value, Arguments& arguments) {
  Parameters(runtime, "abs", arguments, {});
  refuse_undefined(runtime, value);
  if (value.is(Kind::Float)) return Value::real(std::fabs(value.number()));
  if (value.is_integral()) return value.integer() < 0 ? negate(runtime, value) : Value::integer(value.integer());
  fail_filter(runtime, fmt::format("bad operand type for abs(): '{}'", type_name(value)));
}

/// int(number); nothing for what is not finite.
std::optional<std::int64_t> whole_number(Runtime& runtime, double number) {
  constexpr double kTwoTo63 = 9223372036854775808.0;
  if (!std::isfinite(number)) return std::nullopt;
  const double whole = std::trunc(number);
  if (!(whole >= -kTwoTo63 && whole < kTwoTo63)) fail_filter(runtime, "the integer is beyond 64 bits");
  return static_cast<std::int64_t>(whole);
}

Value to_int(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters parameters(runtime, "int", arguments, {"default", "base"});
  refuse_undefined(runtime, value);
  const Value fallback = parameters.find(0) != nullptr ? *parameters.find(0) : Value::integer(0);
  const std::int64_t base = parameters.integer(1, 10);
  if (base != 0 && (base < 2 || base > 36)) return fallback;
  if (value.is_integral()) return Value::integer(value.integer());
  if (value.is(Kind::Float)) {
    if (std::isinf(value.number())) fail_filter(runtime, "cannot convert float infinity to integer");
    const std::optional<std::int64_t> whole = whole_number(runtime, value.number());
    return whole ? Value::integer(*whole) : fallback;
  }
  if (!value.is_string()) return fallback;
  runtime.work(value.text().size());
  bool is_too_large = false;
  const std::optional<std::int64_t> parsed = parse_integer(value.text(), static_cast<int>(base), is_too_large);
  if (is_too_large) fail_filter(runtime, "the integer is beyond 64 bits");
  if (parsed) return Value::integer(*parsed);
  const std::optional<double> number = parse_float(value.text());
  const std::optional<std::int64_t> whole = number ? whole_number(runtime, *number) : std::nullopt;
  return whole ? Value::integer(*whole) : fallback;
}

Value to_float(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters parameters(runtime, "float", arguments, {"default"});
  refuse_undefined(runtime, value);
  if (value.is_number()) return Value::real(value.number());
  const std::optional<double> number = value.is_string() ? parse_float(value.text()) : std::nullopt;
  if (number) return Value::real(*number);
  return parameters.find(0) != nullptr ? *parameters.find(0) : Value::real(0);
}

/// round(value, precision) of a float: to the nearest decimal, ties of the exact binary value to the even digit.
double rounded(double value, std::int64_t precision) {
  constexpr std::int64_t kMostDigits = 340;
  if (!std::isfinite(value) || precision > kMostDigits) return value;
  if (precision < 0) {
    if (precision < -kMostDigits) return std::copysign(0.0, value);
    const long double unit = std::pow(10.0L, static_cast<long double>(-precision));
    return static_cast<double>(std::nearbyint(static_cast<long double>(value) / unit) * unit);
  }
  const std::optional<double> nearest = parse_float(fmt::format("{:.{}f}", value, precision));
  return nearest.value_or(value);
}

Value round(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters parameters(runtime, "round", arguments, {"precision", "method"});
  refuse_undefined(runtime, value);
  const std::int64_t precision = parameters.integer(0, 0);
  const string_view method = parameters.find(1) != nullptr ? string_view(parameters.text(1)) : "common";
  if (method != "common" && method != "ceil" && method != "floor")
    fail_filter(runtime, "method must be common, ceil or floor");
  if (!value.is_number())
    fail_filter(runtime, fmt::format("type {} doesn't define __round__ method", type_name(value)));
  if (method == "common") {
    if (value.is(Kind::Float)) return Value::real(rounded(value.number(), precision));
    if (precision >= 0) return Value::integer(value.integer());
    if (precision < -18) return Value::integer(0);
    std::int64_t unit = 1;
    for (std::int64_t i = precision; i < 0; ++i) unit *= 10;
    const Value remainder = apply(runtime, Operator::Modulo, Value::integer(value.integer()), Value::integer(unit));
    const std::int64_t below = value.integer() - remainder.integer();
    const bool is_up = remainder.integer() * 2 > unit || (remainder.integer() * 2 == unit && below / unit % 2 != 0);
    return is_up ? apply(runtime, Operator::Add, Value::integer(below), Value::integer(unit)) : Value::integer(below);
  }
  // math.ceil and math.floor give integers, which the division makes a float of again.
  const Value power = apply(runtime, Operator::Power, Value::integer(10), Value::integer(precision));
  const Value scaled = apply(runtime, Operator::Multiply, value, power);
  const double cut = method == "ceil" ? std::ceil(scaled.number()) : std::floor(scaled.number());
  const std::optional<std::int64_t> whole = whole_number(runtime, cut);
  if (!whole) fail_filter(runtime, "cannot convert float infinity or NaN to integer");
  return apply(runtime, Operator::Divide, Value::integer(*whole), power);
}

// ---- Sequences ------------------------------------------------------------------------------------------------------

Value length(Runtime& runtime, const Value& value, Arguments& arguments) {
  Parameters(runtime, "length", arguments, {});
  if (value.is(Kind::Loop)) return find_special_attribute(runtime, value, "length");
  const std::optional<std::int64_t> found = length_of(value);
  if (!found) fail_filter(runtime, fmt::format("object of type '{}' has no len()", type_name(value)));
  return Value::integer(*found);
}

Value first(Runtime& runtime, const Value& value, Arguments& arguments) {
  Parameters(runtime, "first", arguments, {});
  Iterator iterator(runtime, value);
  Value item;
  if (iterator.next(runtime, item)) return item;
  return runtime.undefined("No first item, sequence was empty.");
}

void refuse_irreversible(Runtime& runtime, const Value& value) {
  if (!length_of(value)) fail_filter(runtime, fmt::format("'{}' object is not reversible", type_name(value)));
}

Value last(Runtime& runtime, const Value& value, Arguments& arguments) {
  Parameters(runtime, "last", arguments, {});
  refuse_irreversible(runtime, value);
  const std::vector<Value> items = to_vector(runtime, value);
  return items.empty() ? runtime.undefined("No last item, sequence was empty.") : items.back();
}

Value list(Runtime& runtime, const Value& value, Arguments& arguments) {
  Parameters(runtime, "list", arguments, {});
  return runtime.list(to_vector(runtime, value));
}

Value reverse(Runtime& runtime, const Value& value, Arguments& arguments) {
  Parameters(runtime, "reverse", arguments, {});
  if (value.is_string()) return slice(runtime, value, Value::none(), Value::none(), Value::integer(-1));
  const bool is_iterator = !value.is(Kind::Generator);
  std::vector<Value> items = to_vector(runtime, value);
  std::reverse(items.begin(), items.end());
  return is_iterator ? runtime.generator(std::move(items)) : runtime.list(std::move(items));
}

Value join(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters parameters(runtime, "join", arguments, {"d", "attribute"});
  const std::string separator = parameters.find(0) != nullptr ? to_text(runtime, *parameters.find(0)) : "";
  const Value* attribute = parameters.find(1);
  const bool has_attribute = attribute != nullptr && !attribute->is_none();
  std::string result;
  bool is_first = true;
  Iterator iterator(runtime, value);
  for (Value item; iterator.next(runtime, item);) {
    if (!is_first) result += separator;
    is_first = false;
    append_text(runtime, result, has_attribute ? get_path(runtime, item, *attribute) : item);
    runtime.check_size(result.size());
    runtime.work(separator.size());
  }
  return runtime.string(std::move(result));
}

/// sorted(items, key=...) by keys that are computed once.
void sort_by(Runtime& runtime, std::vector<std::pair<Value, Value>>& keyed, bool is_reversed) {
  // A comparison that throws, or an order that is none (NaN), must not reach std::sort: merge by hand.
  std::vector<std::pair<Value, Value>> merged(keyed.size());
  for (std::size_t width = 1; width < keyed.size(); width *= 2) {
    for (std::size_t begin = 0; begin < keyed.size(); begin += 2 * width) {
      const std::size_t middle = std::min(begin + width, keyed.size());
      const std::size_t end = std::min(begin + 2 * width, keyed.size());
      std::size_t left = begin;
      std::size_t right = middle;
      for (std::size_t out = begin; out < end; ++out) {
        bool takes_right = left == middle;
        if (left < middle && right < end)
          takes_right = is_reversed ? compare(runtime, keyed[left].first, keyed[right].first) == -1
                                    : compare(runtime, keyed[right].first, keyed[left].first) == -1;
        merged[out] = takes_right ? keyed[right++] : keyed[left++];
      }
    }
    keyed.swap(merged);
  }
}

/// The value at a path, ready to be compared.
Value sort_key(Runtime& runtime, const Value& item, const Value& path, bool minds_case) {
  Value key = get_path(runtime, item, path);
  return minds_case ? key : ignore_case(runtime, key);
}

Value path_or_none(const Value* path) { return path == nullptr ? Value::none() : *path; }

Value sort(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters parameters(runtime, "sort", arguments, {"reverse", "case_sensitive", "attribute"});
  const bool minds_case = parameters.boolean(1, false);
  std::vector<Value> paths{path_or_none(parameters.find(2))};
  if (paths.front().is_string()) paths = call_method(runtime, paths.front(), "split", {runtime.string(",")}).items();
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& item : to_vector(runtime, value)) {
    std::vector<Value> keys;
    for (const Value& path : paths) keys.push_back(sort_key(runtime, item, path, minds_case));
    keyed.emplace_back(runtime.list(std::move(keys)), item);
  }
  sort_by(runtime, keyed, parameters.boolean(0, false));
  std::vector<Value> items;
  for (const auto& [key, item] : keyed) items.push_back(item);
  return runtime.list(std::move(items));
}

Value dictsort(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters parameters(runtime, "dictsort", arguments, {"case_sensitive", "by", "reverse"});
  refuse_undefined(runtime, value);
  const string_view by = parameters.find(1) != nullptr ? string_view(parameters.text(1)) : "key";
  if (by != "key" && by != "value") fail_filter(runtime, "You can only sort by either \"key\" or \"value\"");
  if (!value.is(Kind::Dict)) fail_filter(runtime, fmt::format("dictsort needs a dict, not {}", type_name(value)));
  std::vector<std::pair<Value, Value>> keyed;
  for (const auto& [key, item] : value.as<DictObject>().dict.items()) {
    const Value& compared = by == "key" ? key : item;
    keyed.emplace_back(parameters.boolean(0, false) ? compared : ignore_case(runtime, compared),
                       runtime.tuple({key, item}));
  }
  sort_by(runtime, keyed, parameters.boolean(2, false));
  std::vector<Value> items;
  for (const auto& [key, item] : keyed) items.push_back(item);
  return runtime.list(std::move(items));
}

Value unique(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters parameters(runtime, "unique", arguments, {"case_sensitive", "attribute"});
  const Value path = path_or_none(parameters.find(1));
  const bool minds_case = parameters.boolean(0, false);
  Dict seen;
  std::vector<Value> items;
  for (const Value& item : to_vector(runtime, value))
    if (seen.set(runtime, sort_key(runtime, item, path, minds_case), Value::none())) items.push_back(item);
  return runtime.generator(std::move(items));
}

template <bool is_maximum>
Value extreme(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters parameters(runtime, is_maximum ? "max" : "min", arguments, {"case_sensitive", "attribute"});
  const Value path = path_or_none(parameters.find(1));
  const bool minds_case = parameters.boolean(0, false);
  Iterator iterator(runtime, value);
  Value best;
  Value best_key;
  for (Value item; iterator.next(runtime, item);) {
    Value key = sort_key(runtime, item, path, minds_case);
    const bool is_better = best.is_missing() || (is_maximum ? compare(runtime, key, best_key, ">") == 1
                                                            : compare(runtime, key, best_key) == -1);
    if (!is_better) continue;
    best = item;
    best_key = key;
  }
  return best.is_missing() ? runtime.undefined("No aggregated item, sequence was empty.") : best;
}

Value sum(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters parameters(runtime, "sum", arguments, {"attribute", "start"});
  const Value path = path_or_none(parameters.find(0));
  Value total = parameters.find(1) != nullptr ? *parameters.find(1) : Value::integer(0);
  if (total.is_string()) fail_filter(runtime, "sum() can't sum strings [use ''.join(seq) instead]");
  Iterator iterator(runtime, value);
  for (Value item; iterator.next(runtime, item);)
    total = apply(runtime, Operator::Add, total, get_path(runtime, item, path));
  return total;
}

Value items(Runtime& runtime, const Value& value, Arguments& arguments) {
  Parameters(runtime, "items", arguments, {});
  if (value.is_undefined()) return runtime.generator({});
  if (!value.is(Kind::Dict)) fail_filter(runtime, "Can only get item pairs from a mapping.");
  return runtime.generator(to_vector(runtime, call_method(runtime, value, "items")));
}

Value slice_into(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters parameters(runtime, "slice", arguments, {"slices", "fill_with"});
  const std::vector<Value> all = to_vector(runtime, value);
  const std::int64_t slices = parameters.required_integer(0);
  if (slices == 0) fail_filter(runtime, "integer division or modulo by zero");
  std::vector<Value> result;
  if (slices < 0) return runtime.generator({});
  const auto count = static_cast<std::int64_t>(all.size());
  const std::int64_t size = count / slices;
  const std::int64_t larger = count % slices;
  const bool fills = parameters.find(1) != nullptr && !parameters.find(1)->is_none();
  auto position = all.begin();
  for (std::int64_t number = 0; number < slices; ++number) {
    const auto end = position + size + (number < larger ? 1 : 0);
    std::vector<Value> part(position, end);
    position = end;
    if (fills && number >= larger) part.push_back(*parameters.find(1));
    result.push_back(runtime.list(std::move(part)));
  }
  return runtime.generator(std::move(result));
}

Value batch(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters parameters(runtime, "batch", arguments, {"linecount", "fill_with"});
  const std::int64_t size = parameters.required_integer(0);
  const Value* fill = parameters.find(1);
  std::vector<Value> result;
  std::vector<Value> row;
  for (const Value& item : to_vector(runtime, value)) {
    if (static_cast<std::int64_t>(row.size()) == size) result.push_back(runtime.list(std::exchange(row, {})));
    row.push_back(item);
  }
  if (!row.empty()) {
    if (fill != nullptr && !fill->is_none() && static_cast<std::int64_t>(row.size()) < size) {
      runtime.check_size(static_cast<std::size_t>(size), sizeof(Value));
      runtime.work(static_cast<std::size_t>(size) * sizeof(Value));
      row.resize(static_cast<std::size_t>(size), *fill);
    }
    result.push_back(runtime.list(std::move(row)));
  }
  return runtime.generator(std::move(result));
}

Value groupby(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters parameters(runtime, "groupby", arguments, {"attribute", "default", "case_sensitive"});
  const Value& path = parameters.required(0);
  const bool minds_case = parameters.boolean(2, false);
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& item : to_vector(runtime, value)) {
    Value key = get_path(runtime, item, path, parameters.find(1));
    keyed.emplace_back(minds_case ? key : ignore_case(runtime, key), item);
  }
  sort_by(runtime, keyed, false);
  std::vector<Value> groups;
  for (std::size_t begin = 0; begin < keyed.size();) {
    std::vector<Value> members;
    std::size_t end = begin;
    while (end < keyed.size() && equal(runtime, keyed[begin].first, keyed[end].first))
      members.push_back(keyed[end++].second);
    if (end == begin) members.push_back(keyed[end++].second);  // a key that does not equal itself, NaN
    Value key = get_path(runtime, members.front(), path, parameters.find(1));
    Value group = runtime.tuple({std::move(key), runtime.list(std::move(members))});
    group.as<SequenceObject>().is_group = true;
    groups.push_back(std::move(group));
    begin = end;
  }
  return runtime.list(std::move(groups));
}

// ---- Filters of filters and tests -----------------------------------------------------------------------------------

[[noreturn]] void fail_name(Runtime& runtime, string_view kind, const Value& name,
                            const std::vector<std::string>& all) {
  if (!name.is_string()) fail_filter(runtime, fmt::format("the name of a {} must be a str", kind));
  fail_filter(runtime,
              fmt::format("there is no {} named '{}'{}", kind, name.text(), describe_nearest(name.text(), all)));
}

Value map(Runtime& runtime, const Value& value, Arguments& arguments) {
  if (!is_true(runtime, value)) return runtime.generator({});
  std::vector<Value> result;
  if (arguments.positional.empty()) {
    const Parameters parameters(runtime, "map", arguments, {"attribute", "default"});
    if (parameters.find(0) == nullptr) fail_filter(runtime, "map requires a filter argument");
    for (const Value& item : to_vector(runtime, value))
      result.push_back(get_path(runtime, item, *parameters.find(0), parameters.find(1)));
    return runtime.generator(std::move(result));
  }
  const Value name = arguments.positional.front();
  const NamedFunction* filter = name.is_string() ? find_filter(name.text()) : nullptr;
  if (filter == nullptr) fail_name(runtime, "filter", name, filter_names());
  arguments.positional.erase(arguments.positional.begin());
  for (const Value& item : to_vector(runtime, value)) {
    Arguments copy = arguments;
    result.push_back(filter->function(runtime, item, copy));
  }
  return runtime.generator(std::move(result));
}

template <bool is_selecting, bool is_of_attribute>
Value selected(Runtime& runtime, const Value& value, Arguments& arguments) {
  if (!is_true(runtime, value)) return runtime.generator({});
  Value path = Value::none();
  if (is_of_attribute) {
    if (arguments.positional.empty()) fail_filter(runtime, "Missing parameter for attribute name");
    path = arguments.positional.front();
    arguments.positional.erase(arguments.positional.begin());
  }
  const NamedFunction* test = nullptr;
  if (!arguments.positional.empty()) {
    const Value name = arguments.positional.front();
    test = name.is_string() ? find_test(name.text()) : nullptr;
    if (test == nullptr) fail_name(runtime, "test", name, test_names());
    arguments.positional.erase(arguments.positional.begin());
  }
  std::vector<Value> result;
  for (const Value& item : to_vector(runtime, value)) {
    const Value tested = get_path(runtime, item, path);
    Arguments copy = arguments;
    const bool passes =
        test == nullptr ? is_true(runtime, tested) : is_true(runtime, test->function(runtime, tested, copy));
    if (passes == is_selecting) result.push_back(item);
  }
  return runtime.generator(std::move(result));
}

// ---- Other ----------------------------------------------------------------------------------------------------------

Value default_value(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters parameters(runtime, "default", arguments, {"default_value", "boolean"});
  const bool is_replaced = value.is_undefined() || (parameters.boolean(1, false) && !is_true(runtime, value));
  if (!is_replaced) return value;
  return parameters.find(0) != nullptr ? *parameters.find(0) : runtime.string("");
}

Value attr(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters parameters(runtime, "attr", arguments, {"name"});
  refuse_undefined(runtime, value);
  if (Value found = find_attribute(runtime, value, parameters.text(0)); !found.is_missing()) return found;
  return runtime.undefined(fmt::format("{} has no attribute '{}'", describe_type(value), parameters.text(0)));
}

constexpr NamedFunction kFilters[] = {
    {"abs", absolute},
    {"attr", attr},
    {"batch", batch},
    {"capitalize", capitalize_text},
    {"center", center},
    {"count", length},
    {"d", default_value},
    {"default", default_value},
    {"dictsort", dictsort},
    {"e", escape},
    {"escape", escape},
    {"filesizeformat", filesizeformat},
    {"first", first},
    {"float", to_float},
    {"forceescape", forceescape},
    {"format", format},
    {"groupby", groupby},
    {"indent", indent},
    {"int", to_int},
    {"items", items},
    {"join", join},
    {"last", last},
    {"length", length},
    {"list", list},
    {"lower", lower},
    {"map", map},
    {"max", extreme<true>},
    {"min", extreme<false>},
    {"reject", selected<false, false>},
    {"rejectattr", selected<false, true>},
    {"replace", replace},
    {"reverse", reverse},
    {"round", round},
    {"safe", safe},
    {"select", selected<true, false>},
    {"selectattr", selected<true, true>},
    {"slice", slice_into},
    {"sort", sort},
    {"string", string},
    {"striptags", striptags},
    {"sum", sum},
    {"title", title},
    {"tojson", to_json},
    {"trim", trim},
    {"truncate", truncate},
    {"unique", unique},
    {"upper", upper},
    {"urlencode", urlencode},
    {"wordcount", wordcount},
};

}  // namespace

const NamedFunction* find_filter(string_view name) {
  for (const NamedFunction& filter : kFilters)
    if (filter.name == name) return &filter;
  return nullptr;
}

std::vector<std::string> filter_names() {
  std::vector<std::string> names;
  for (const NamedFunction& filter : kFilters) names.emplace_back(filter.name);
  return names;
}

}  // namespace onnxport::jinja
