#include "tokenizers/chat_template/value.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "onnxport/error.h"
#include "tokenizers/chat_template/text.h"

namespace onnxport::jinja {
namespace {

/// Containers within each other: more than JSON may have, few enough to walk through by recursion.
constexpr int kMaximumContainerDepth = 200;
/// All values together may take this many times what one may.
constexpr std::size_t kHeldFactor = 4;
/// What an object takes beside its contents.
constexpr std::size_t kObjectBytes = 64;
/// A dict of more items than this is searched by hash.
constexpr std::size_t kLinearItems = 8;

std::size_t mix(std::size_t seed, std::size_t value) {
  return seed ^ (value + 0x9e3779b97f4a7c15U + (seed << 6U) + (seed >> 2U));
}

std::size_t hash_text(std::string_view text) { return std::hash<std::string_view>{}(text); }

/// Integers and floats that are equal have the same hash.
std::size_t hash_number(const Value& value) {
  if (value.is_integral()) return std::hash<std::int64_t>{}(value.integer());
  const double number = value.number();
  constexpr double kTwoTo63 = 9223372036854775808.0;
  if (std::floor(number) == number && std::fabs(number) < kTwoTo63)
    return std::hash<std::int64_t>{}(static_cast<std::int64_t>(number));
  return std::hash<double>{}(number);
}

/// -1, 0, 1, or 2 where one is not a number.
int compare_numbers(const Value& left, const Value& right) {
  if (left.is_integral() && right.is_integral())
    return left.integer() < right.integer() ? -1 : left.integer() > right.integer() ? 1 : 0;
  const auto a = static_cast<long double>(left.is_integral() ? static_cast<long double>(left.integer())
                                                             : static_cast<long double>(left.number()));
  const auto b = static_cast<long double>(right.is_integral() ? static_cast<long double>(right.integer())
                                                              : static_cast<long double>(right.number()));
  if (std::isnan(a) || std::isnan(b)) return 2;
  return a < b ? -1 : a > b ? 1 : 0;
}

bool equal_items(Runtime& runtime, const std::vector<Value>& left, const std::vector<Value>& right) {
  if (left.size() != right.size()) return false;
  for (std::size_t i = 0; i < left.size(); ++i)
    if (!is_same(left[i], right[i]) && !equal(runtime, left[i], right[i])) return false;
  return true;
}

bool equal_dicts(Runtime& runtime, const Dict& left, const Dict& right) {
  if (left.size() != right.size()) return false;
  for (const auto& [key, value] : left.items()) {
    const Value* other = right.find(runtime, key);
    if (other == nullptr || (!is_same(value, *other) && !equal(runtime, value, *other))) return false;
  }
  return true;
}

Value view_item(Runtime& runtime, const DictViewObject& view, std::size_t index) {
  const auto& [key, value] = view.dict.as<DictObject>().dict.items()[index];
  switch (view.part) {
    case DictViewObject::Part::Keys:
      return key;
    case DictViewObject::Part::Values:
      return value;
    case DictViewObject::Part::Items:
      break;
  }
  return runtime.tuple({key, value});
}

// ---- repr -----------------------------------------------------------------------------------------------------------

/// Writes what repr() gives, and charges it: a small value that refers to one thing many times can have a huge text.
class Representation {
 public:
  Representation(Runtime& runtime, std::string& out) : runtime_(runtime), out_(out) {}

  void append(const Value& value) {
    runtime_.step();
    runtime_.check_size(out_.size());
    if (++depth_ > kMaximumContainerDepth + 8) runtime_.fail("the value is nested too deeply to be printed");
    append_value(value);
    --depth_;
  }

 private:
  void append_value(const Value& value) {
    switch (value.kind()) {
      case Kind::String:
        runtime_.work(value.text().size());
        if (value.as<StringObject>().is_markup) out_ += "Markup(";
        append_repr(out_, value.text());
        if (value.as<StringObject>().is_markup) out_ += ")";
        break;
      case Kind::List:
        append_items("[", value.items(), "]");
        break;
      case Kind::Tuple:
        append_items("(", value.items(), value.items().size() == 1 ? ",)" : ")");
        break;
      case Kind::Dict:
        append_dict(value.as<DictObject>().dict);
        break;
      case Kind::DictView:
        append_view(value.as<DictViewObject>());
        break;
      case Kind::Namespace:
        out_ += "<Namespace ";
        append_dict(value.as<NamespaceObject>().attributes);
        out_ += ">";
        break;
      case Kind::Range:
        append_range(value.as<RangeObject>());
        break;
      case Kind::Cycler:
      case Kind::Joiner:
      case Kind::Generator:
      case Kind::Method:
      case Kind::Function:
        out_ += fmt::format("<{} object>", type_name(value));
        break;
      case Kind::Loop:
        out_ += fmt::format("<LoopContext {}/{}>", find_special_attribute(runtime_, value, "index").integer(),
                            find_special_attribute(runtime_, value, "length").integer());
        break;
      case Kind::Macro: {
        const Value name = find_special_attribute(runtime_, value, "name");
        out_ += "<Macro ";
        name.is_none() ? void(out_ += "anonymous") : append(name);
        out_ += ">";
        break;
      }
      case Kind::Undefined:
        out_ += "Undefined";
        break;
      default:
        append_text(runtime_, out_, value);
    }
  }

  void append_items(std::string_view open, const std::vector<Value>& items, std::string_view close) {
    out_ += open;
    bool is_first = true;
    for (const Value& item : items) {
      if (!is_first) out_ += ", ";
      is_first = false;
      append(item);
    }
    out_ += close;
  }

  void append_dict(const Dict& dict) {
    out_ += '{';
    bool is_first = true;
    for (const auto& [key, value] : dict.items()) {
      if (!is_first) out_ += ", ";
      is_first = false;
      append(key);
      out_ += ": ";
      append(value);
    }
    out_ += '}';
  }

  void append_view(const DictViewObject& view) {
    std::vector<Value> items;
    for (std::size_t i = 0; i < view.dict.as<DictObject>().dict.size(); ++i)
      items.push_back(view_item(runtime_, view, i));
    out_ += view.part == DictViewObject::Part::Keys     ? "dict_keys("
            : view.part == DictViewObject::Part::Values ? "dict_values("
                                                        : "dict_items(";
    append_items("[", items, "])");
  }

  void append_range(const RangeObject& range) {
    out_ += range.step == 1 ? fmt::format("range({}, {})", range.start, range.stop)
                            : fmt::format("range({}, {}, {})", range.start, range.stop, range.step);
  }

  Runtime& runtime_;
  std::string& out_;
  int depth_ = 0;
};

}  // namespace

// ---- Values ---------------------------------------------------------------------------------------------------------

Charge::~Charge() {
  if (runtime_ != nullptr) runtime_->release(bytes_);
}

void Charge::add(Runtime& runtime, std::size_t bytes) {
  runtime.hold(bytes);
  runtime_ = &runtime;
  bytes_ += bytes;
}

Value Value::real(double value) {
  Value result(Kind::Float, 0);
  result.number_.real = value;
  return result;
}

const std::string& Value::text() const { return as<StringObject>().text; }
const std::vector<Value>& Value::items() const { return as<SequenceObject>().items; }

// ---- Dict -----------------------------------------------------------------------------------------------------------

template <typename Equals>
std::size_t Dict::find_index(Runtime& runtime, std::size_t hash, const Equals& equals) const {
  constexpr std::size_t kNotFound = std::numeric_limits<std::size_t>::max();
  if (table_.empty()) {
    for (std::size_t i = 0; i < items_.size(); ++i)
      if (hashes_[i] == hash && equals(items_[i].first)) return i;
    return kNotFound;
  }
  const std::size_t mask = table_.size() - 1;
  for (std::size_t slot = hash & mask; table_[slot] != 0; slot = (slot + 1) & mask) {
    runtime.step();
    const std::size_t index = table_[slot] - 1;
    if (hashes_[index] == hash && equals(items_[index].first)) return index;
  }
  return kNotFound;
}

const Value* Dict::find(Runtime& runtime, const Value& key) const {
  const std::size_t index = find_index(runtime, hash(runtime, key), [&](const Value& other) {
    return is_same(other, key) || equal(runtime, other, key);
  });
  return index < items_.size() ? &items_[index].second : nullptr;
}

const Value* Dict::find(Runtime& runtime, std::string_view key) const {
  const std::size_t index =
      find_index(runtime, hash_text(key), [&](const Value& other) { return other.is_string() && other.text() == key; });
  return index < items_.size() ? &items_[index].second : nullptr;
}

void Dict::add_to_table(std::size_t index) {
  const std::size_t mask = table_.size() - 1;
  std::size_t slot = hashes_[index] & mask;
  while (table_[slot] != 0) slot = (slot + 1) & mask;
  table_[slot] = static_cast<std::uint32_t>(index + 1);
}

void Dict::grow_table() {
  std::size_t size = 32;
  while (size < items_.size() * 4) size *= 2;
  table_.assign(size, 0);
  for (std::size_t i = 0; i < items_.size(); ++i) add_to_table(i);
}

bool Dict::set(Runtime& runtime, const Value& key, Value value) {
  const std::size_t key_hash = hash(runtime, key);
  const std::size_t index = find_index(
      runtime, key_hash, [&](const Value& other) { return is_same(other, key) || equal(runtime, other, key); });
  if (index < items_.size()) {
    items_[index].second = std::move(value);
    return false;
  }
  items_.emplace_back(key, std::move(value));
  hashes_.push_back(key_hash);
  if (items_.size() <= kLinearItems) return true;
  if (items_.size() * 2 > table_.size()) {
    grow_table();
  } else {
    add_to_table(items_.size() - 1);
  }
  return true;
}

// ---- Runtime --------------------------------------------------------------------------------------------------------

void Runtime::fail(const std::string& message) const {
  throw Error(ErrorKind::InvalidArgument, fmt::format("{}:{}: {}", name_, std::max(line, 1), message));
}

void Runtime::fail_steps() const {
  fail(fmt::format("the template does not come to an end within {} steps", limits_.steps));
}

void Runtime::check_size(std::size_t bytes) const {
  if (bytes > limits_.output_bytes) fail(fmt::format("a value exceeds the bound of {} bytes", limits_.output_bytes));
}

void Runtime::check_size(std::size_t count, std::size_t bytes) const {
  if (bytes != 0 && count > limits_.output_bytes / bytes) check_size(limits_.output_bytes + 1);
}

void Runtime::hold(std::size_t bytes) {
  work(bytes);
  held_ += bytes;
  if (held_ / kHeldFactor > limits_.output_bytes)
    fail(fmt::format("the template's values exceed the bound of {} bytes", kHeldFactor * limits_.output_bytes));
}

Value Runtime::string(std::string text, bool is_markup) {
  step();
  check_size(text.size());
  auto object = std::make_shared<StringObject>();
  object->charge.add(*this, text.size() + kObjectBytes);
  object->length = count_characters(text);
  object->text = std::move(text);
  object->is_markup = is_markup;
  return Value(Kind::String, std::move(object));
}

Value Runtime::sequence(Kind kind, std::vector<Value> items) {
  check_size(items.size(), sizeof(Value));
  auto object = std::make_shared<SequenceObject>();
  object->charge.add(*this, items.size() * sizeof(Value) + kObjectBytes);
  for (const Value& item : items) object->depth = std::max(object->depth, item.depth() + 1);
  object->items = std::move(items);
  if (object->depth > kMaximumContainerDepth) fail("lists are nested too deeply");
  return Value(kind, std::move(object));
}

Value Runtime::generator(std::vector<Value> items) {
  check_size(items.size(), sizeof(Value));
  auto object = std::make_shared<GeneratorObject>();
  object->charge.add(*this, items.size() * sizeof(Value) + kObjectBytes);
  for (const Value& item : items) object->depth = std::max(object->depth, item.depth() + 1);
  object->items = std::move(items);
  if (object->depth > kMaximumContainerDepth) fail("generators are nested too deeply");
  return Value(Kind::Generator, std::move(object));
}

Value Runtime::dict(Dict dict) {
  constexpr std::size_t kItemBytes = sizeof(Dict::Item) + 24;
  check_size(dict.size(), kItemBytes);
  auto object = std::make_shared<DictObject>();
  object->charge.add(*this, dict.size() * kItemBytes + kObjectBytes);
  for (const auto& [key, value] : dict.items())
    object->depth = std::max({object->depth, key.depth() + 1, value.depth() + 1});
  object->dict = std::move(dict);
  if (object->depth > kMaximumContainerDepth) fail("dicts are nested too deeply");
  return Value(Kind::Dict, std::move(object));
}

Value Runtime::range(std::int64_t start, std::int64_t stop, std::int64_t step) {
  auto object = std::make_shared<RangeObject>();
  object->charge.add(*this, kObjectBytes);
  object->start = start;
  object->stop = stop;
  object->step = step;
  const bool is_up = step > 0;
  if (is_up ? start < stop : start > stop) {
    // Unsigned: the bounds may be further apart than 64 bits hold.
    const std::uint64_t distance = is_up ? static_cast<std::uint64_t>(stop) - static_cast<std::uint64_t>(start)
                                         : static_cast<std::uint64_t>(start) - static_cast<std::uint64_t>(stop);
    const std::uint64_t stride = is_up ? static_cast<std::uint64_t>(step) : 0 - static_cast<std::uint64_t>(step);
    const std::uint64_t length = (distance - 1) / stride + 1;
    constexpr std::uint64_t kMaximumLength = 100'000;  // that of Jinja's sandbox
    if (length > kMaximumLength)
      fail(fmt::format("range of {} items is too big; the sandbox allows {}", length, kMaximumLength));
    object->length = static_cast<std::int64_t>(length);
  }
  return Value(Kind::Range, std::move(object));
}

Value Runtime::undefined(std::string hint) {
  auto object = std::make_shared<UndefinedObject>();
  object->charge.add(*this, hint.size() + kObjectBytes);
  object->hint = std::move(hint);
  return Value(Kind::Undefined, std::move(object));
}

Value Runtime::method(const NamedFunction& function, const Value& receiver) {
  auto object = std::make_shared<FunctionObject>();
  object->charge.add(*this, sizeof(FunctionObject) + kObjectBytes);
  object->function = function;
  object->receiver = receiver;
  object->depth = receiver.depth() + 1;
  if (object->depth > kMaximumContainerDepth) fail("methods are nested too deeply");
  return Value(Kind::Method, std::move(object));
}

Value Runtime::from_json(const Json& json) {
  if (json.is_null()) return Value::none();
  if (json.is_boolean()) return Value::boolean(json.boolean());
  if (json.is_integer()) return Value::integer(json.integer());
  if (json.is_number()) return Value::real(json.number());
  if (json.is_string()) return string(tokenizers::to_valid_utf8(json.string()));
  if (json.is_array()) {
    std::vector<Value> items;
    items.reserve(json.array().size());
    for (const Json& item : json.array()) items.push_back(from_json(item));
    return list(std::move(items));
  }
  Dict members;
  for (const auto& [key, value] : json.object())
    members.set(*this, string(tokenizers::to_valid_utf8(key)), from_json(value));
  return dict(std::move(members));
}

// ---- Built-in functions ---------------------------------------------------------------------------------------------

std::string_view type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::Missing:
    case Kind::Undefined:
      return "Undefined";
    case Kind::None:
      return "NoneType";
    case Kind::Boolean:
      return "bool";
    case Kind::Integer:
      return "int";
    case Kind::Float:
      return "float";
    case Kind::String:
      return value.as<StringObject>().is_markup ? "Markup" : "str";
    case Kind::List:
      return "list";
    case Kind::Tuple:
      return "tuple";
    case Kind::Dict:
      return "dict";
    case Kind::Range:
      return "range";
    case Kind::Generator:
      return "generator";
    case Kind::DictView:
      switch (value.as<DictViewObject>().part) {
        case DictViewObject::Part::Keys:
          return "dict_keys";
        case DictViewObject::Part::Values:
          return "dict_values";
        case DictViewObject::Part::Items:
          return "dict_items";
      }
      return "dict_items";
    case Kind::Namespace:
      return "Namespace";
    case Kind::Macro:
      return "Macro";
    case Kind::Loop:
      return "LoopContext";
    case Kind::Method:
    case Kind::Function:
      return "builtin_function_or_method";
    case Kind::Cycler:
      return "Cycler";
    case Kind::Joiner:
      return "Joiner";
  }
  return "object";
}

std::string describe_type(const Value& value) {
  if (value.is_none()) return "'None'";
  return fmt::format("'{} object'", type_name(value));
}

bool is_true(Runtime& runtime, const Value& value) {
  switch (value.kind()) {
    case Kind::Missing:
    case Kind::Undefined:
    case Kind::None:
      return false;
    case Kind::Boolean:
    case Kind::Integer:
      return value.integer() != 0;
    case Kind::Float:
      return value.number() != 0;
    default:
      runtime.step();
      return length_of(value).value_or(1) != 0;
  }
}

bool is_callable(const Value& value) {
  switch (value.kind()) {
    case Kind::Macro:
    case Kind::Loop:
    case Kind::Method:
    case Kind::Function:
    case Kind::Joiner:
    case Kind::Undefined:  // has a __call__, which fails
      return true;
    default:
      return false;
  }
}

bool is_iterable(const Value& value) {
  switch (value.kind()) {
    case Kind::Undefined:
    case Kind::String:
    case Kind::List:
    case Kind::Tuple:
    case Kind::Dict:
    case Kind::Range:
    case Kind::Generator:
    case Kind::DictView:
      return true;
    default:
      return false;
  }
}

bool equal(Runtime& runtime, const Value& left, const Value& right) {
  runtime.step();
  if (left.is_number() && right.is_number()) return compare_numbers(left, right) == 0;
  if (left.kind() != right.kind()) return false;
  switch (left.kind()) {
    case Kind::Missing:
    case Kind::Undefined:
    case Kind::None:
      return true;
    case Kind::String:
      if (left.text().size() != right.text().size()) return false;
      runtime.work(left.text().size());
      return left.text() == right.text();
    case Kind::List:
    case Kind::Tuple:
      return equal_items(runtime, left.items(), right.items());
    case Kind::Dict:
      return equal_dicts(runtime, left.as<DictObject>().dict, right.as<DictObject>().dict);
    case Kind::Range: {
      const auto& a = left.as<RangeObject>();
      const auto& b = right.as<RangeObject>();
      return a.length == b.length && (a.length == 0 || (a.start == b.start && (a.length == 1 || a.step == b.step)));
    }
    default:
      return is_same(left, right);
  }
}

int compare(Runtime& runtime, const Value& left, const Value& right, std::string_view operation) {
  runtime.step();
  if (left.is_number() && right.is_number()) return compare_numbers(left, right);
  if (left.is_string() && right.is_string()) {
    runtime.work(std::min(left.text().size(), right.text().size()));
    const int order = left.text().compare(right.text());  // UTF-8 sorts as code points do
    return order < 0 ? -1 : order > 0 ? 1 : 0;
  }
  if (left.is_sequence() && left.kind() == right.kind()) {
    const auto& a = left.items();
    const auto& b = right.items();
    for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
      if (!is_same(a[i], b[i]) && !equal(runtime, a[i], b[i])) return compare(runtime, a[i], b[i], operation);
    return a.size() < b.size() ? -1 : a.size() > b.size() ? 1 : 0;
  }
  for (const Value* value : {&left, &right})
    if (value->is_undefined()) runtime.fail(value->as<UndefinedObject>().hint);
  runtime.fail(fmt::format("'{}' not supported between instances of '{}' and '{}'", operation, type_name(left),
                           type_name(right)));
}

bool contains(Runtime& runtime, const Value& container, const Value& item) {
  runtime.step();
  switch (container.kind()) {
    case Kind::String:
      if (!item.is_string())
        runtime.fail(fmt::format("'in <string>' requires string as left operand, not {}", type_name(item)));
      runtime.work(container.text().size());
      return container.text().find(item.text()) != std::string::npos;
    case Kind::Dict:
      return container.as<DictObject>().dict.find(runtime, item) != nullptr;
    case Kind::DictView:
      if (container.as<DictViewObject>().part == DictViewObject::Part::Keys)
        return container.as<DictViewObject>().dict.as<DictObject>().dict.find(runtime, item) != nullptr;
      break;
    default:
      if (!is_iterable(container))
        runtime.fail(fmt::format("argument of type '{}' is not iterable", type_name(container)));
  }
  Iterator iterator(runtime, container);
  for (Value next; iterator.next(runtime, next);)
    if (is_same(next, item) || equal(runtime, next, item)) return true;
  return false;
}

bool is_same(const Value& left, const Value& right) {
  if (left.kind() != right.kind()) return false;
  switch (left.kind()) {
    case Kind::Missing:
    case Kind::None:
      return true;
    case Kind::Boolean:
    case Kind::Integer:
      return left.integer() == right.integer();
    case Kind::Float:
      return left.number() == right.number();
    default:
      return left.object() == right.object();
  }
}

std::size_t hash(Runtime& runtime, const Value& value) {
  runtime.step();
  switch (value.kind()) {
    case Kind::Boolean:
    case Kind::Integer:
    case Kind::Float:
      return hash_number(value);
    case Kind::String:
      runtime.work(value.text().size());
      return hash_text(value.text());
    case Kind::None:
      return 1;
    case Kind::Undefined:
      return 2;
    case Kind::Tuple: {
      std::size_t result = 3;
      for (const Value& item : value.items()) result = mix(result, hash(runtime, item));
      return result;
    }
    case Kind::List:
    case Kind::Dict:
    case Kind::DictView:
      runtime.fail(fmt::format("unhashable type: '{}'", type_name(value)));
    default:
      return std::hash<const Object*>{}(value.object());
  }
}

void append_text(Runtime& runtime, std::string& out, const Value& value) {
  switch (value.kind()) {
    case Kind::Missing:
    case Kind::Undefined:
      break;
    case Kind::None:
      out += "None";
      break;
    case Kind::Boolean:
      out += value.boolean() ? "True" : "False";
      break;
    case Kind::Integer:
      out += std::to_string(value.integer());
      break;
    case Kind::Float:
      out += float_repr(value.number());
      break;
    case Kind::String:
      out += value.text();
      break;
    default:
      Representation(runtime, out).append(value);
  }
}

std::string to_text(Runtime& runtime, const Value& value) {
  std::string text;
  append_text(runtime, text, value);
  return text;
}

std::string repr(Runtime& runtime, const Value& value) {
  std::string text;
  Representation(runtime, text).append(value);
  return text;
}

Value to_string_value(Runtime& runtime, const Value& value) {
  if (value.is_string()) return value;
  return runtime.string(to_text(runtime, value));
}

std::optional<std::int64_t> length_of(const Value& value) {
  switch (value.kind()) {
    case Kind::Undefined:
      return 0;
    case Kind::String:
      return static_cast<std::int64_t>(value.as<StringObject>().length);
    case Kind::List:
    case Kind::Tuple:
      return static_cast<std::int64_t>(value.items().size());
    case Kind::Dict:
      return static_cast<std::int64_t>(value.as<DictObject>().dict.size());
    case Kind::DictView:
      return length_of(value.as<DictViewObject>().dict);
    case Kind::Range:
      return value.as<RangeObject>().length;
    default:
      return std::nullopt;
  }
}

// ---- Iteration ------------------------------------------------------------------------------------------------------

Iterator::Iterator(Runtime& runtime, Value source) : source_(std::move(source)) {
  if (!is_iterable(source_)) runtime.fail(fmt::format("'{}' object is not iterable", type_name(source_)));
}

bool Iterator::next(Runtime& runtime, Value& item) {
  runtime.step();
  switch (source_.kind()) {
    case Kind::String: {
      const std::string& text = source_.text();
      if (position_ >= text.size()) return false;
      const std::size_t begin = position_;
      next_character(text, position_);
      item = runtime.string(text.substr(begin, position_ - begin));
      return true;
    }
    case Kind::List:
    case Kind::Tuple:
      if (position_ >= source_.items().size()) return false;
      item = source_.items()[position_++];
      return true;
    case Kind::Dict: {
      const Dict& dict = source_.as<DictObject>().dict;
      if (position_ >= dict.size()) return false;
      item = dict.items()[position_++].first;
      return true;
    }
    case Kind::DictView: {
      const auto& view = source_.as<DictViewObject>();
      if (position_ >= view.dict.as<DictObject>().dict.size()) return false;
      item = view_item(runtime, view, position_++);
      return true;
    }
    case Kind::Range: {
      const auto& range = source_.as<RangeObject>();
      if (static_cast<std::int64_t>(position_) >= range.length) return false;
      item = Value::integer(range.at(static_cast<std::int64_t>(position_++)));
      return true;
    }
    case Kind::Generator: {
      auto& generator = source_.as<GeneratorObject>();
      if (generator.next >= generator.items.size()) return false;
      item = generator.items[generator.next++];
      return true;
    }
    default:
      return false;
  }
}

std::optional<std::int64_t> Iterator::remaining() const {
  const std::optional<std::int64_t> length = length_of(source_);
  if (!length) return std::nullopt;
  // Strings count bytes in position_, so ask for their length before the first item only.
  return *length - (source_.is_string() ? 0 : static_cast<std::int64_t>(position_));
}

std::vector<Value> to_vector(Runtime& runtime, const Value& value) {
  if (value.is_sequence()) {
    runtime.work(value.items().size() * sizeof(Value));
    return value.items();
  }
  std::vector<Value> items;
  Iterator iterator(runtime, value);
  for (Value item; iterator.next(runtime, item);) {
    items.push_back(std::move(item));
    runtime.check_size(items.size(), sizeof(Value));
  }
  return items;
}

const std::vector<Value>& items_of(Runtime& runtime, const Value& value, std::vector<Value>& storage) {
  if (value.is_sequence()) return value.items();
  storage = to_vector(runtime, value);
  return storage;
}

}  // namespace onnxport::jinja
