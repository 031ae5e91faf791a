#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "onnxport/chat_template.h"
#include "onnxport/json.h"

/// The part of Python that templates see: values and what can be done with them.
namespace onnxport::jinja {

class Runtime;
class Value;

enum class Kind : std::uint8_t {
  Missing,  ///< a variable without a value; never seen by expressions
  Undefined,
  None,
  Boolean,
  Integer,
  Float,
  String,
  List,
  Tuple,
  Dict,
  Range,
  Generator,  ///< an iterator: gives each item once
  DictView,
  Namespace,
  Macro,
  Loop,
  Method,
  Function,
  Cycler,
  Joiner,
};

/// Memory that counts against the bounds of a rendering until it is given back.
class Charge {
 public:
  Charge() = default;
  ~Charge();
  Charge(const Charge&) = delete;
  Charge& operator=(const Charge&) = delete;
  void add(Runtime& runtime, std::size_t bytes);

 private:
  Runtime* runtime_ = nullptr;
  std::size_t bytes_ = 0;
};

/// What a value refers to.
struct Object {
  virtual ~Object() = default;
  Charge charge{};
  int depth = 1;  ///< of containers within each other: bounded, since values are compared and destroyed by recursion
};

class Value {
 public:
  Value() = default;
  static Value none() { return Value(Kind::None, 0); }
  static Value boolean(bool value) { return Value(Kind::Boolean, value ? 1 : 0); }
  static Value integer(std::int64_t value) { return Value(Kind::Integer, value); }
  static Value real(double value);
  Value(Kind kind, std::shared_ptr<Object> object) : kind_(kind), object_(std::move(object)) {}

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_missing() const { return kind_ == Kind::Missing; }
  bool is_undefined() const { return kind_ == Kind::Undefined; }
  bool is_none() const { return kind_ == Kind::None; }
  bool is_string() const { return kind_ == Kind::String; }
  /// Integer or Boolean: Python's bool is an int.
  bool is_integral() const { return kind_ == Kind::Integer || kind_ == Kind::Boolean; }
  bool is_number() const { return is_integral() || kind_ == Kind::Float; }
  bool is_sequence() const { return kind_ == Kind::List || kind_ == Kind::Tuple; }

  /// The value as one type; the caller has asked before.
  std::int64_t integer() const { return number_.integer; }
  bool boolean() const { return number_.integer != 0; }
  double number() const { return kind_ == Kind::Float ? number_.real : static_cast<double>(number_.integer); }
  template <typename Type>
  Type& as() const {
    return static_cast<Type&>(*object_);
  }
  const std::string& text() const;
  const std::vector<Value>& items() const;
  const Object* object() const { return object_.get(); }
  int depth() const { return object_ ? object_->depth : 0; }

 private:
  Value(Kind kind, std::int64_t integer) : kind_(kind) { number_.integer = integer; }

  union Number {
    std::int64_t integer;
    double real;
  };

  Kind kind_ = Kind::Missing;
  Number number_{0};
  std::shared_ptr<Object> object_;
};

/// Python's dict: keys of any hashable type, in the order in which they were added.
class Dict {
 public:
  using Item = std::pair<Value, Value>;

  const std::vector<Item>& items() const { return items_; }
  std::size_t size() const { return items_.size(); }
  /// Throws if the key is not hashable.
  const Value* find(Runtime& runtime, const Value& key) const;
  const Value* find(Runtime& runtime, std::string_view key) const;
  /// True if the key is new.
  bool set(Runtime& runtime, const Value& key, Value value);

 private:
  template <typename Equals>
  std::size_t find_index(Runtime& runtime, std::size_t hash, const Equals& equals) const;
  void add_to_table(std::size_t index);
  void grow_table();

  std::vector<Item> items_;
  std::vector<std::size_t> hashes_;
  std::vector<std::uint32_t> table_;  ///< open addressing, index + 1; empty while there are few items
};

struct StringObject : Object {
  std::string text;        ///< UTF-8
  std::size_t length = 0;  ///< in code points
  bool is_markup = false;  ///< what `safe` and `escape` make: + escapes what it is joined with
  bool is_ascii() const { return length == text.size(); }
};

struct SequenceObject : Object {
  std::vector<Value> items;
  bool is_group = false;  ///< a tuple of groupby: has the attributes grouper and list
};

struct DictObject : Object {
  Dict dict;
};

struct RangeObject : Object {
  std::int64_t start = 0;
  std::int64_t stop = 0;
  std::int64_t step = 1;
  std::int64_t length = 0;
  std::int64_t at(std::int64_t index) const {
    // Unsigned: the one behind the last may lie beyond 64 bits.
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(start) +
                                     static_cast<std::uint64_t>(index) * static_cast<std::uint64_t>(step));
  }
};

struct GeneratorObject : Object {
  std::vector<Value> items;
  std::size_t next = 0;
};

struct DictViewObject : Object {
  enum class Part { Keys, Values, Items };
  Value dict;
  Part part = Part::Items;
};

struct NamespaceObject : Object {
  Dict attributes;
};

struct UndefinedObject : Object {
  std::string hint;
};

struct CyclerObject : Object {
  std::vector<Value> items;
  std::size_t position = 0;
};

struct JoinerObject : Object {
  Value separator;
  bool is_used = false;
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> keywords;
};

using Function = Value (*)(Runtime& runtime, const Value& receiver, Arguments& arguments);

/// A function by its name: global, method, filter or test (the receiver is what stands before the bar or the dot).
struct NamedFunction {
  std::string_view name;
  Function function;
};

struct FunctionObject : Object {
  NamedFunction function{};
  Value receiver;
};

/// One rendering's bounds, and the making of values that count against them.
class Runtime {
 public:
  Runtime(const ChatTemplateLimits& limits, std::string_view name) : limits_(limits), name_(name) {}
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  const ChatTemplateLimits& limits() const { return limits_; }
  int line = 0;  ///< of the template, for messages

  void step(std::size_t count = 1) {
    steps_ += count;
    if (steps_ > limits_.steps) fail_steps();
  }
  /// Steps for work on this many bytes, so that time is bounded and not only the number of operations.
  void work(std::size_t bytes) { step(bytes / 128); }
  /// Throws if a value of this size is too large; to be called before it is made.
  void check_size(std::size_t bytes) const;
  /// The same for `count` parts of `bytes` each.
  void check_size(std::size_t count, std::size_t bytes) const;
  void hold(std::size_t bytes);
  void release(std::size_t bytes) { held_ -= bytes; }

  Value string(std::string text, bool is_markup = false);
  Value list(std::vector<Value> items) { return sequence(Kind::List, std::move(items)); }
  Value tuple(std::vector<Value> items) { return sequence(Kind::Tuple, std::move(items)); }
  Value sequence(Kind kind, std::vector<Value> items);
  Value generator(std::vector<Value> items);
  Value dict(Dict dict);
  Value range(std::int64_t start, std::int64_t stop, std::int64_t step);
  Value undefined(std::string hint);
  Value method(const NamedFunction& function, const Value& receiver);
  Value from_json(const Json& json);

  /// For objects that can refer to themselves in circles: they live until the rendering ends.
  template <typename Type>
  Value keep(Kind kind, std::unique_ptr<Type> object) {
    Type* kept = object.get();
    kept->charge.add(*this, sizeof(Type) + 64);
    kept_.push_back(std::move(object));
    return Value(kind, std::shared_ptr<Object>(std::shared_ptr<Object>(), kept));
  }

  /// Throws Error(InvalidArgument) with the template's name and line.
  [[noreturn]] void fail(const std::string& message) const;

 private:
  [[noreturn]] void fail_steps() const;

  ChatTemplateLimits limits_;
  std::string name_;
  std::size_t steps_ = 0;
  std::size_t held_ = 0;
  std::vector<std::unique_ptr<Object>> kept_;
};

// ---- What Python's built-in functions do ----------------------------------------------------------------------------

/// The name of the value's class: "str", "NoneType".
std::string_view type_name(const Value& value);
/// How Jinja's messages call it: "'dict object'", "None".
std::string describe_type(const Value& value);

bool is_true(Runtime& runtime, const Value& value);
bool is_callable(const Value& value);
bool is_iterable(const Value& value);
/// Python's ==.
bool equal(Runtime& runtime, const Value& left, const Value& right);
/// -1, 0, 1; throws for types that have no order. `operation` is the operator for the message.
int compare(Runtime& runtime, const Value& left, const Value& right, std::string_view operation = "<");
/// The operator `in`.
bool contains(Runtime& runtime, const Value& container, const Value& item);
/// Python's `is`.
bool is_same(const Value& left, const Value& right);
std::size_t hash(Runtime& runtime, const Value& value);

/// str() and repr().
std::string to_text(Runtime& runtime, const Value& value);
void append_text(Runtime& runtime, std::string& out, const Value& value);
std::string repr(Runtime& runtime, const Value& value);
/// str() as a value: strings as they are.
Value to_string_value(Runtime& runtime, const Value& value);

/// len(), nothing if the value has none.
std::optional<std::int64_t> length_of(const Value& value);

/// Gives the items of a value one after the other.
class Iterator {
 public:
  /// Throws if the value is not iterable.
  Iterator(Runtime& runtime, Value source);
  bool next(Runtime& runtime, Value& item);
  /// How many are left, if that is known without looking.
  std::optional<std::int64_t> remaining() const;

 private:
  Value source_;
  std::size_t position_ = 0;
};

std::vector<Value> to_vector(Runtime& runtime, const Value& value);
/// The value's items without a copy where it is a list or tuple; `storage` holds them otherwise.
const std::vector<Value>& items_of(Runtime& runtime, const Value& value, std::vector<Value>& storage);

// ---- What expressions do --------------------------------------------------------------------------------------------

enum class Operator { Add, Subtract, Multiply, Divide, FloorDivide, Modulo, Power };

Value apply(Runtime& runtime, Operator operation, const Value& left, const Value& right);
Value negate(Runtime& runtime, const Value& value);
Value positive(Runtime& runtime, const Value& value);

/// value.name and value[item] as Jinja looks them up: what is not there is undefined.
Value get_attribute(Runtime& runtime, const Value& value, const Value& name);
Value get_item(Runtime& runtime, const Value& value, const Value& item);
/// value.name without the fall back to value["name"]; Missing if there is no such attribute.
Value find_attribute(Runtime& runtime, const Value& value, std::string_view name);
/// The attributes of loops and macros, which the interpreter knows.
Value find_special_attribute(Runtime& runtime, const Value& value, std::string_view name);
/// value[start:stop:step]; None for what is left out.
Value slice(Runtime& runtime, const Value& value, const Value& start, const Value& stop, const Value& step);

/// "a.b.0" of attributes as the filters take them: attribute by attribute, digits as indexes.
Value get_path(Runtime& runtime, const Value& value, const Value& path, const Value* default_value = nullptr);

}  // namespace onnxport::jinja
