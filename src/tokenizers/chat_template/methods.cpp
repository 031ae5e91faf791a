// The methods and attributes of Python's types, as far as they change nothing.
#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

#include <fmt/format.h>

#include "tokenizers/chat_template/builtins.h"
#include "tokenizers/chat_template/text.h"
#include "tokenizers/chat_template/value.h"

namespace onnxport::jinja {
namespace {

using std::string_view;

Value same_kind(Runtime& runtime, const Value& receiver, std::string text) {
  return runtime.string(std::move(text), receiver.as<StringObject>().is_markup);
}

Value part(Runtime& runtime, const Value& receiver, string_view text) {
  return same_kind(runtime, receiver, std::string(text));
}

template <std::string (*convert)(string_view)>
Value converted(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  Parameters(runtime, "the method", arguments, {});
  runtime.work(receiver.text().size());
  return same_kind(runtime, receiver, convert(receiver.text()));
}

// ---- Ends and padding -----------------------------------------------------------------------------------------------

template <bool left, bool right>
Value stripped(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  const Parameters parameters(runtime, "strip", arguments, {""});
  const std::optional<string_view> characters = parameters.optional_text(0);
  if (characters) runtime.work(characters->size() * 8);
  runtime.work(receiver.text().size());
  return part(runtime, receiver, strip(receiver.text(), left, right, characters));
}

/// The text between two indexes as str.find and its kin take them, and where it begins; nothing if start > stop.
struct Window {
  string_view text;
  std::size_t begin = 0;
};

std::optional<Window> window(Runtime& runtime, const std::string& text, const Value* start, const Value* stop) {
  const auto length = static_cast<std::int64_t>(count_characters(text));
  const auto index = [&](const Value* value, std::int64_t absent) {
    if (value == nullptr || value->is_none()) return absent;
    const std::int64_t given = to_integer(runtime, *value, "slice index");
    return std::max<std::int64_t>(given < 0 ? given + length : given, 0);
  };
  const std::int64_t first = index(start, 0);
  const std::int64_t last = std::min(index(stop, length), length);
  if (first > last) return std::nullopt;
  const std::size_t begin = byte_offset(text, static_cast<std::size_t>(first));
  const std::size_t end = byte_offset(text, static_cast<std::size_t>(last));
  return Window{string_view(text).substr(begin, end - begin), begin};
}

template <bool is_prefix>
Value has_affix(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  const string_view name = is_prefix ? "startswith" : "endswith";
  const Parameters parameters(runtime, name, arguments, {"", "", ""});
  runtime.work(receiver.text().size());
  const std::optional<Window> found = window(runtime, receiver.text(), parameters.find(1), parameters.find(2));
  const auto matches = [&](const Value& affix) {
    if (affix.is_undefined()) runtime.fail(affix.as<UndefinedObject>().hint);
    if (!affix.is_string())
      runtime.fail(fmt::format("{} first arg must be str or a tuple of str, not {}", name, type_name(affix)));
    runtime.work(affix.text().size());
    return found && (is_prefix ? found->text.starts_with(affix.text()) : found->text.ends_with(affix.text()));
  };
  const Value& affix = parameters.required(0);
  if (!affix.is(Kind::Tuple)) return Value::boolean(matches(affix));
  return Value::boolean(std::any_of(affix.items().begin(), affix.items().end(), matches));
}

template <bool is_prefix>
Value without_affix(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  const Parameters parameters(runtime, is_prefix ? "removeprefix" : "removesuffix", arguments, {""});
  string_view text = receiver.text();
  const string_view affix = parameters.text(0);
  if (is_prefix && text.starts_with(affix)) text.remove_prefix(affix.size());
  if (!is_prefix && text.ends_with(affix)) text.remove_suffix(affix.size());
  return part(runtime, receiver, text);
}

enum class Align { Left, Center, Right };

std::string aligned(Runtime& runtime, const std::string& text, std::int64_t width, string_view fill, Align align) {
  const auto length = static_cast<std::int64_t>(count_characters(text));
  if (width <= length) return text;
  const std::int64_t room = width - length;
  runtime.check_size(static_cast<std::size_t>(room), fill.size());
  runtime.work(static_cast<std::size_t>(room) * fill.size());
  // Python puts the odd one to the left if the width is odd.
  const std::int64_t left = align == Align::Left ? 0 : align == Align::Right ? room : room / 2 + (room & width & 1);
  std::string result;
  for (std::int64_t i = 0; i < left; ++i) result += fill;
  result += text;
  for (std::int64_t i = left; i < room; ++i) result += fill;
  return result;
}

template <Align align>
Value justified(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  const Parameters parameters(runtime, "justify", arguments, {"", ""});
  const string_view fill = parameters.optional_text(1).value_or(" ");
  if (count_characters(fill) != 1) runtime.fail("The fill character must be exactly one character long");
  return same_kind(runtime, receiver, aligned(runtime, receiver.text(), parameters.required_integer(0), fill, align));
}

Value zfill(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  const Parameters parameters(runtime, "zfill", arguments, {""});
  std::string text = receiver.text();
  const std::string sign = text.starts_with('-') || text.starts_with('+') ? text.substr(0, 1) : "";
  const std::int64_t width = parameters.required_integer(0);
  if (width <= static_cast<std::int64_t>(count_characters(text))) return receiver;
  text.erase(0, sign.size());
  const auto rest = width - static_cast<std::int64_t>(sign.size());
  return same_kind(runtime, receiver, sign + aligned(runtime, text, rest, "0", Align::Right));
}

Value expandtabs(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  const Parameters parameters(runtime, "expandtabs", arguments, {"tabsize"});
  const std::int64_t size = parameters.integer(0, 8);
  std::string result;
  std::int64_t column = 0;
  for (const char c : receiver.text()) {
    if (c == '\t') {
      const std::int64_t spaces = size > 0 ? size - column % size : 0;
      runtime.check_size(result.size() + static_cast<std::size_t>(spaces));
      runtime.work(static_cast<std::size_t>(spaces));
      result.append(static_cast<std::size_t>(spaces), ' ');
      column += spaces;
      continue;
    }
    result += c;
    if (c == '\n' || c == '\r') {
      column = 0;
    } else if ((static_cast<unsigned char>(c) & 0xc0U) != 0x80) {
      ++column;
    }
  }
  return same_kind(runtime, receiver, std::move(result));
}

// ---- Search ---------------------------------------------------------------------------------------------------------

/// The index in code points at which `needle` stands, -1 if nowhere.
template <bool is_last>
std::int64_t find_index(Runtime& runtime, const Value& receiver, const Parameters& parameters) {
  const std::string& text = receiver.text();
  const std::string& needle = parameters.text(0);
  runtime.work(text.size() + needle.size());
  const std::optional<Window> found = window(runtime, text, parameters.find(1), parameters.find(2));
  if (!found) return -1;
  const std::size_t at = is_last ? found->text.rfind(needle) : found->text.find(needle);
  if (at == string_view::npos) return -1;
  return static_cast<std::int64_t>(count_characters(string_view(text).substr(0, found->begin + at)));
}

template <bool is_last>
Value find(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  const Parameters parameters(runtime, "find", arguments, {"", "", ""});
  return Value::integer(find_index<is_last>(runtime, receiver, parameters));
}

template <bool is_last>
Value index(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  const Parameters parameters(runtime, "index", arguments, {"", "", ""});
  const std::int64_t found = find_index<is_last>(runtime, receiver, parameters);
  if (found < 0) runtime.fail("substring not found");
  return Value::integer(found);
}

Value count(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  const Parameters parameters(runtime, "count", arguments, {"", "", ""});
  const std::string& needle = parameters.text(0);
  runtime.work(receiver.text().size());
  const std::optional<Window> found = window(runtime, receiver.text(), parameters.find(1), parameters.find(2));
  if (!found) return Value::integer(0);
  if (needle.empty()) return Value::integer(static_cast<std::int64_t>(count_characters(found->text)) + 1);
  std::int64_t times = 0;
  for (std::size_t at = found->text.find(needle); at != string_view::npos;
       at = found->text.find(needle, at + needle.size()))
    ++times;
  return Value::integer(times);
}

Value replace(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  const Parameters parameters(runtime, "replace", arguments, {"", "", ""});
  const std::string& text = receiver.text();
  const std::string& from = parameters.text(0);
  const bool is_markup = receiver.as<StringObject>().is_markup;
  const bool is_escaped =
      is_markup && !(parameters.required(1).is_string() && parameters.required(1).as<StringObject>().is_markup);
  const std::string to = is_escaped ? escape_html(to_text(runtime, parameters.required(1))) : parameters.text(1);
  std::int64_t left = parameters.integer(2, -1);
  runtime.work(text.size());
  std::string result;
  std::size_t position = 0;
  while (left != 0) {
    // An empty text is found before each character and at the end.
    const std::size_t at = from.empty() ? position : text.find(from, position);
    if (at == std::string::npos) break;
    result.append(text, position, at - position);
    result += to;
    runtime.check_size(result.size());
    runtime.step(1 + to.size() / 128);
    position = at + from.size();
    --left;
    if (!from.empty()) continue;
    if (position >= text.size()) break;
    const std::size_t begin = position;
    next_character(text, position);
    result.append(text, begin, position - begin);
  }
  result.append(text, std::min(position, text.size()), std::string::npos);
  return same_kind(runtime, receiver, std::move(result));
}

// ---- Parts ----------------------------------------------------------------------------------------------------------

/// Parts at white space; `limit` separators at most, or all if negative.
std::vector<string_view> split_at_space(string_view text, std::int64_t limit, bool is_from_right) {
  std::vector<string_view> parts;
  if (is_from_right) {
    text = strip(text, false, true);
    while (!text.empty()) {
      if (limit-- == 0) {
        parts.push_back(text);
        break;
      }
      std::size_t begin = text.size();
      while (begin > 0) {
        std::size_t previous = begin - 1;
        while (previous > 0 && (static_cast<unsigned char>(text[previous]) & 0xc0U) == 0x80) --previous;
        std::size_t at = previous;
        if (is_space(next_character(text, at))) break;
        begin = previous;
      }
      parts.push_back(text.substr(begin));
      text = strip(text.substr(0, begin), false, true);
    }
    std::reverse(parts.begin(), parts.end());
    return parts;
  }
  text = strip(text, true, false);
  while (!text.empty()) {
    if (limit-- == 0) {
      parts.push_back(text);
      break;
    }
    std::size_t end = 0;
    while (end < text.size()) {
      std::size_t next = end;
      if (is_space(next_character(text, next))) break;
      end = next;
    }
    parts.push_back(text.substr(0, end));
    text = strip(text.substr(end), true, false);
  }
  return parts;
}

std::vector<string_view> split_at(string_view text, string_view separator, std::int64_t limit, bool is_from_right) {
  std::vector<string_view> parts;
  while (limit-- != 0) {
    const std::size_t at = is_from_right ? text.rfind(separator) : text.find(separator);
    if (at == string_view::npos) break;
    const std::size_t end = at + separator.size();
    parts.push_back(is_from_right ? text.substr(end) : text.substr(0, at));
    text = is_from_right ? text.substr(0, at) : text.substr(end);
  }
  parts.push_back(text);
  if (is_from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

Value list_of(Runtime& runtime, const Value& receiver, const std::vector<string_view>& parts) {
  std::vector<Value> items;
  items.reserve(parts.size());
  for (const string_view text : parts) items.push_back(part(runtime, receiver, text));
  return runtime.list(std::move(items));
}

template <bool is_from_right>
Value split(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  const Parameters parameters(runtime, "split", arguments, {"sep", "maxsplit"});
  const std::optional<string_view> separator = parameters.optional_text(0);
  const std::int64_t limit = parameters.integer(1, -1);
  runtime.work(receiver.text().size());
  if (separator && separator->empty()) runtime.fail("empty separator");
  return list_of(runtime, receiver,
                 separator ? split_at(receiver.text(), *separator, limit, is_from_right)
                           : split_at_space(receiver.text(), limit, is_from_right));
}

/// The size of the line break at `position`, 0 if there is none.
std::size_t line_break_size(string_view text, std::size_t position) {
  if (text.substr(position).starts_with("\r\n")) return 2;
  std::size_t end = position;
  const char32_t c = next_character(text, end);
  const bool is_break = (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
  return is_break ? end - position : 0;
}

Value splitlines(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  const Parameters parameters(runtime, "splitlines", arguments, {"keepends"});
  const bool keeps_ends = parameters.boolean(0, false);
  const string_view text = receiver.text();
  runtime.work(text.size());
  std::vector<string_view> lines;
  std::size_t begin = 0;
  for (std::size_t position = 0; position < text.size();) {
    const std::size_t size = line_break_size(text, position);
    if (size == 0) {
      next_character(text, position);
      continue;
    }
    lines.push_back(text.substr(begin, position - begin + (keeps_ends ? size : 0)));
    position += size;
    begin = position;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return list_of(runtime, receiver, lines);
}

template <bool is_last>
Value partition(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  const Parameters parameters(runtime, "partition", arguments, {""});
  const string_view text = receiver.text();
  const string_view separator = parameters.text(0);
  if (separator.empty()) runtime.fail("empty separator");
  runtime.work(text.size());
  const std::size_t at = is_last ? text.rfind(separator) : text.find(separator);
  std::array<string_view, 3> parts{is_last ? "" : text, "", is_last ? text : ""};
  if (at != string_view::npos) parts = {text.substr(0, at), separator, text.substr(at + separator.size())};
  std::vector<Value> items;
  for (const string_view item : parts) items.push_back(part(runtime, receiver, item));
  return runtime.tuple(std::move(items));
}

Value join(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  const Parameters parameters(runtime, "join", arguments, {""});
  std::vector<Value> storage;
  std::string result;
  bool is_first = true;
  const bool is_markup = receiver.as<StringObject>().is_markup;
  for (const Value& item : items_of(runtime, parameters.required(0), storage)) {
    if (!item.is_string() && !is_markup)
      runtime.fail(fmt::format("sequence item: expected str instance, {} found", type_name(item)));
    if (!is_first) result += receiver.text();
    is_first = false;
    const bool is_escaped = is_markup && !(item.is_string() && item.as<StringObject>().is_markup);
    result += is_escaped ? escape_html(to_text(runtime, item)) : item.text();
    runtime.check_size(result.size());
    runtime.work(receiver.text().size() + 128);
  }
  return same_kind(runtime, receiver, std::move(result));
}

// ---- Questions ------------------------------------------------------------------------------------------------------

/// True for text that is not empty and all of whose characters are such.
template <bool (*is_such)(char32_t), bool of_empty = false>
Value all_are(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  Parameters(runtime, "the method", arguments, {});
  const std::string& text = receiver.text();
  runtime.work(text.size());
  if (text.empty()) return Value::boolean(of_empty);
  for (std::size_t position = 0; position < text.size();)
    if (!is_such(next_character(text, position))) return Value::boolean(false);
  return Value::boolean(true);
}

bool is_ascii(char32_t code_point) { return code_point < 0x80; }

/// islower() and isupper(): some cased character, and none of the other case.
template <bool (*is_case)(char32_t), bool (*is_other)(char32_t)>
Value is_in_case(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  Parameters(runtime, "the method", arguments, {});
  runtime.work(receiver.text().size());
  bool has_cased = false;
  for (std::size_t position = 0; position < receiver.text().size();) {
    const char32_t code_point = next_character(receiver.text(), position);
    if (is_other(code_point) || is_title(code_point)) return Value::boolean(false);
    has_cased = has_cased || is_case(code_point);
  }
  return Value::boolean(has_cased);
}

Value istitle(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  Parameters(runtime, "istitle", arguments, {});
  runtime.work(receiver.text().size());
  bool has_cased = false;
  bool is_previous_cased = false;
  for (std::size_t position = 0; position < receiver.text().size();) {
    const char32_t code_point = next_character(receiver.text(), position);
    const bool is_capital = is_upper(code_point) || is_title(code_point);
    const bool is_small = is_lower(code_point);
    if ((is_capital && is_previous_cased) || (is_small && !is_previous_cased)) return Value::boolean(false);
    is_previous_cased = is_capital || is_small;
    has_cased = has_cased || is_previous_cased;
  }
  return Value::boolean(has_cased);
}

Value isidentifier(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  Parameters(runtime, "isidentifier", arguments, {});
  const std::string& text = receiver.text();
  runtime.work(text.size());
  std::size_t position = 0;
  if (text.empty()) return Value::boolean(false);
  const char32_t first = next_character(text, position);
  if (first != '_' && !is_alphabetic(first)) return Value::boolean(false);
  while (position < text.size())
    if (!is_word(next_character(text, position))) return Value::boolean(false);
  return Value::boolean(true);
}

Value format(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  return format_braces(runtime, receiver, arguments);
}

Value format_map(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  const Parameters parameters(runtime, "format_map", arguments, {""});
  const Value& mapping = parameters.required(0);
  if (!mapping.is(Kind::Dict)) runtime.fail("format_map() needs a dict");
  Arguments keywords;
  for (const auto& [key, value] : mapping.as<DictObject>().dict.items())
    if (key.is_string()) keywords.keywords.emplace_back(key.text(), value);
  return format_braces(runtime, receiver, keywords);
}

// ---- Lists, tuples, ranges, dicts -----------------------------------------------------------------------------------

Value sequence_count(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  const Parameters parameters(runtime, "count", arguments, {""});
  const Value& wanted = parameters.required(0);
  std::int64_t found = 0;
  std::vector<Value> storage;
  for (const Value& item : items_of(runtime, receiver, storage))
    found += is_same(item, wanted) || equal(runtime, item, wanted) ? 1 : 0;
  return Value::integer(found);
}

Value sequence_index(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  const Parameters parameters(runtime, "index", arguments, {"", "", ""});
  const Value& wanted = parameters.required(0);
  std::vector<Value> storage;
  const std::vector<Value>& items = items_of(runtime, receiver, storage);
  const auto size = static_cast<std::int64_t>(items.size());
  const auto bound = [&](std::size_t argument, std::int64_t absent) {
    const std::int64_t given = parameters.integer(argument, absent);
    return std::clamp<std::int64_t>(given < 0 ? given + size : given, 0, size);
  };
  for (std::int64_t i = bound(1, 0); i < bound(2, size); ++i) {
    const Value& item = items[static_cast<std::size_t>(i)];
    if (is_same(item, wanted) || equal(runtime, item, wanted)) return Value::integer(i);
  }
  runtime.fail(fmt::format("{} is not in {}", repr(runtime, wanted), type_name(receiver)));
}

/// Values do not change, so that a copy is the value itself.
Value copy(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  Parameters(runtime, "copy", arguments, {});
  return receiver;
}

Value dict_get(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  const Parameters parameters(runtime, "get", arguments, {"", ""});
  const Value* found = receiver.as<DictObject>().dict.find(runtime, parameters.required(0));
  if (found != nullptr) return *found;
  return parameters.find(1) != nullptr ? *parameters.find(1) : Value::none();
}

template <DictViewObject::Part which>
Value dict_view(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  Parameters(runtime, "the method", arguments, {});
  auto view = std::make_shared<DictViewObject>();
  view->charge.add(runtime, sizeof(DictViewObject));
  view->dict = receiver;
  view->part = which;
  view->depth = receiver.depth();
  return Value(Kind::DictView, std::move(view));
}

// ---- Numbers and helpers --------------------------------------------------------------------------------------------

Value is_integer(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  Parameters(runtime, "is_integer", arguments, {});
  return Value::boolean(std::isfinite(receiver.number()) && std::floor(receiver.number()) == receiver.number());
}

Value bit_length(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  Parameters(runtime, "bit_length", arguments, {});
  std::uint64_t magnitude = receiver.integer() < 0 ? 0 - static_cast<std::uint64_t>(receiver.integer())
                                                   : static_cast<std::uint64_t>(receiver.integer());
  std::int64_t bits = 0;
  for (; magnitude != 0; magnitude >>= 1U) ++bits;
  return Value::integer(bits);
}

Value cycler_next(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  Parameters(runtime, "next", arguments, {});
  auto& cycler = receiver.as<CyclerObject>();
  Value current = cycler.items[cycler.position];
  cycler.position = (cycler.position + 1) % cycler.items.size();
  return current;
}

Value cycler_reset(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  Parameters(runtime, "reset", arguments, {});
  receiver.as<CyclerObject>().position = 0;
  return Value::none();
}

constexpr NamedFunction kStringMethods[] = {
    {"capitalize", converted<capitalize>},
    {"casefold", converted<to_case_folded>},
    {"center", justified<Align::Center>},
    {"count", count},
    {"endswith", has_affix<false>},
    {"expandtabs", expandtabs},
    {"find", find<false>},
    {"format", format},
    {"format_map", format_map},
    {"index", index<false>},
    {"isalnum", all_are<is_alphanumeric>},
    {"isalpha", all_are<is_alphabetic>},
    {"isascii", all_are<is_ascii, true>},
    {"isdecimal", all_are<is_decimal>},
    {"isdigit", all_are<is_digit>},
    {"isidentifier", isidentifier},
    {"islower", is_in_case<is_lower, is_upper>},
    {"isnumeric", all_are<is_numeric>},
    {"isprintable", all_are<is_printable, true>},
    {"isspace", all_are<is_space>},
    {"istitle", istitle},
    {"isupper", is_in_case<is_upper, is_lower>},
    {"join", join},
    {"ljust", justified<Align::Left>},
    {"lower", converted<to_lower>},
    {"lstrip", stripped<true, false>},
    {"partition", partition<false>},
    {"removeprefix", without_affix<true>},
    {"removesuffix", without_affix<false>},
    {"replace", replace},
    {"rfind", find<true>},
    {"rindex", index<true>},
    {"rjust", justified<Align::Right>},
    {"rpartition", partition<true>},
    {"rsplit", split<true>},
    {"rstrip", stripped<false, true>},
    {"split", split<false>},
    {"splitlines", splitlines},
    {"startswith", has_affix<true>},
    {"strip", stripped<true, true>},
    {"swapcase", converted<swap_case>},
    {"title", converted<to_title>},
    {"upper", converted<to_upper>},
    {"zfill", zfill},
};

constexpr NamedFunction kListMethods[] = {{"copy", copy}, {"count", sequence_count}, {"index", sequence_index}};
constexpr NamedFunction kTupleMethods[] = {{"count", sequence_count}, {"index", sequence_index}};
constexpr NamedFunction kDictMethods[] = {
    {"copy", copy},
    {"get", dict_get},
    {"items", dict_view<DictViewObject::Part::Items>},
    {"keys", dict_view<DictViewObject::Part::Keys>},
    {"values", dict_view<DictViewObject::Part::Values>},
};
constexpr NamedFunction kIntegerMethods[] = {{"bit_length", bit_length}};
constexpr NamedFunction kFloatMethods[] = {{"is_integer", is_integer}};
constexpr NamedFunction kCyclerMethods[] = {{"next", cycler_next}, {"reset", cycler_reset}};

std::span<const NamedFunction> methods_of(const Value& receiver) {
  switch (receiver.kind()) {
    case Kind::String:
      return kStringMethods;
    case Kind::List:
      return kListMethods;
    case Kind::Tuple:
    case Kind::Range:
      return kTupleMethods;
    case Kind::Dict:
      return kDictMethods;
    case Kind::Boolean:
    case Kind::Integer:
      return kIntegerMethods;
    case Kind::Float:
      return kFloatMethods;
    case Kind::Cycler:
      return kCyclerMethods;
    default:
      return {};
  }
}

}  // namespace

const NamedFunction* find_method(const Value& receiver, string_view name) {
  for (const NamedFunction& method : methods_of(receiver))
    if (method.name == name) return &method;
  return nullptr;
}

bool is_refused_attribute(const Value& receiver, string_view name) {
  static constexpr string_view kDictChanges[] = {"clear", "fromkeys", "pop", "popitem", "setdefault", "update"};
  static constexpr string_view kListChanges[] = {"append", "clear",  "extend",  "insert",
                                                 "pop",    "remove", "reverse", "sort"};
  const auto is_one_of = [&](std::span<const string_view> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (receiver.is(Kind::Dict) && is_one_of(kDictChanges)) return true;
  if (receiver.is(Kind::List) && is_one_of(kListChanges)) return true;
  return name == "__class__" || name == "__init__" || name == "__doc__" || name == "__dict__";
}

Value find_attribute(Runtime& runtime, const Value& value, string_view name) {
  if (const NamedFunction* method = find_method(value, name)) return runtime.method(*method, value);
  switch (value.kind()) {
    case Kind::Namespace:
      if (const Value* found = value.as<NamespaceObject>().attributes.find(runtime, name)) return *found;
      return {};
    case Kind::Tuple:
      if (!value.as<SequenceObject>().is_group) break;
      if (name == "grouper") return value.items()[0];
      if (name == "list") return value.items()[1];
      break;
    case Kind::Range: {
      const auto& range = value.as<RangeObject>();
      if (name == "start") return Value::integer(range.start);
      if (name == "stop") return Value::integer(range.stop);
      if (name == "step") return Value::integer(range.step);
      break;
    }
    case Kind::Cycler:
      if (name == "current") return value.as<CyclerObject>().items[value.as<CyclerObject>().position];
      break;
    case Kind::Loop:
    case Kind::Macro:
      if (Value found = find_special_attribute(runtime, value, name); !found.is_missing()) return found;
      break;
    default:
      break;
  }
  if (is_refused_attribute(value, name))
    return runtime.undefined(fmt::format("access to attribute '{}' of '{}' object is unsafe", name, type_name(value)));
  return {};
}

}  // namespace onnxport::jinja
