// Python's pickle protocols 1 to 5: a program for a machine with a stack and a memo. CPython's Lib/pickletools.py
// describes every instruction.

#include "checkpoint/pickle.h"

#include <algorithm>
#include <cstring>

#include "checkpoint/byte_reader.h"
#include "onnxport/json.h"

namespace onnxport {
namespace {

using Kind = PickleValue::Kind;

// A tensor of a checkpoint takes about twenty values and thirty instructions. With these bounds, no pickle makes its
// reader need more than a few hundred megabytes.
constexpr std::uint64_t kMaximumValues = 4'000'000;
constexpr std::uint64_t kMaximumInstructions = 32'000'000;
constexpr std::size_t kMaximumNameInMessage = 200;

constexpr std::string_view kOrderedDict = "collections.OrderedDict";

enum Instruction : std::uint8_t {
  kMark = '(',
  kStop = '.',
  kPop = '0',
  kPopMark = '1',
  kDuplicate = '2',
  kBinFloat = 'G',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinPersistentId = 'Q',
  kReduce = 'R',
  kBinString = 'T',
  kShortBinString = 'U',
  kBinUnicode = 'X',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kAppends = 'e',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kList = 'l',
  kEmptyList = ']',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kEmptyTuple = ')',
  kSetItems = 'u',
  kDictionary = 'd',
  kEmptyDictionary = '}',
  // Protocol 2
  kProtocol = 0x80,
  kNewObject = 0x81,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kLong4 = 0x8b,
  // Protocol 3
  kBinBytes = 'B',
  kShortBinBytes = 'C',
  // Protocol 4
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kBinBytes8 = 0x8e,
  kEmptySet = 0x8f,
  kAddItems = 0x90,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95,
};

/// What the values of one pickle live in.
struct Arena {
  std::deque<PickleValue> values;
  std::deque<std::string> names;
};

std::string hexadecimal(std::uint8_t byte) {
  constexpr std::string_view digits = "0123456789abcdef";
  return {'0', 'x', digits[byte >> 4U], digits[byte & 15U]};
}

class Unpickler {
 public:
  Unpickler(ByteReader reader, std::span<const std::string_view> callables, std::span<const std::string_view> globals)
      : reader_(std::move(reader)), callables_(callables), globals_(globals), arena_(std::make_shared<Arena>()) {}

  PickleResult run() {
    for (;;) {
      spend(1);
      const auto instruction = reader_.number<std::uint8_t>();
      if (instruction == kStop) {
        PickleResult result;
        result.value = pop();
        result.end = reader_.position();
        result.owner = arena_;
        return result;
      }
      step(instruction);
    }
  }

 private:
  /// A pickle may recall a long tuple by an instruction of two bytes: what is copied counts like what is written.
  void spend(std::size_t instructions) {
    spent_ += instructions;
    if (spent_ > kMaximumInstructions) {
      reader_.fail("holds a pickle of more instructions than any checkpoint needs");
    }
  }

  // ---- The stack ----------------------------------------------------------------------------------------------------

  PickleValue& make(Kind kind) {
    if (arena_->values.size() >= kMaximumValues) {
      reader_.fail("holds a pickle of more values than any checkpoint needs");
    }
    PickleValue& value = arena_->values.emplace_back();
    value.kind = kind;
    return value;
  }

  void push(PickleValue& value) { stack_.push_back(&value); }

  /// The number of values above the last mark: those below belong to what is being built there.
  std::size_t available() const { return stack_.size() - (marks_.empty() ? 0 : marks_.back()); }

  PickleValue& top() {
    if (available() == 0) reader_.fail("holds a corrupt pickle: it takes a value where there is none");
    return *stack_.back();
  }

  PickleValue* pop() {
    PickleValue* value = &top();
    stack_.pop_back();
    return value;
  }

  /// The values above the last mark, which is removed with them.
  PickleItems pop_mark() {
    if (marks_.empty()) reader_.fail("holds a corrupt pickle: it ends a group that it has not begun");
    const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    PickleItems items(first, stack_.end());
    stack_.erase(first, stack_.end());
    marks_.pop_back();
    return items;
  }

  void push_integer(std::int64_t integer, Kind kind = Kind::Integer) {
    PickleValue& value = make(kind);
    value.integer = integer;
    push(value);
  }

  void push_text(std::string_view text) {
    PickleValue& value = make(Kind::Text);
    value.text = text;
    push(value);
  }

  void push_items(Kind kind, PickleItems items) {
    PickleValue& value = make(kind);
    value.items = std::move(items);
    push(value);
  }

  void push_last_as_tuple(std::size_t count) {
    if (available() < count) reader_.fail("holds a corrupt pickle: it takes a value where there is none");
    const auto first = stack_.end() - static_cast<std::ptrdiff_t>(count);
    PickleItems items(first, stack_.end());
    stack_.erase(first, stack_.end());
    push_items(Kind::Tuple, std::move(items));
  }

  /// Puts items into the list, set or dictionary that is on top.
  void extend(Kind kind, const PickleItems& items) {
    PickleValue& container = top();
    if (container.kind != kind) reader_.fail("holds a corrupt pickle: it adds items to a value of another type");
    if (kind == Kind::Dictionary && items.size() % 2 != 0) reader_.fail("holds a corrupt pickle: a key has no value");
    spend(items.size());
    container.items.insert(container.items.end(), items.begin(), items.end());
  }

  void append() {
    const PickleValue* item = pop();
    extend(Kind::List, {item});
  }

  void set_item() {
    const PickleValue* value = pop();
    const PickleValue* key = pop();
    extend(Kind::Dictionary, {key, value});
  }

  // ---- The memo -----------------------------------------------------------------------------------------------------

  void put(std::uint64_t index) {
    if (index >= kMaximumValues) reader_.fail("holds a pickle with a memo larger than any checkpoint needs");
    if (index >= memo_.size()) memo_.resize(static_cast<std::size_t>(index) + 1, nullptr);
    PickleValue*& place = memo_[static_cast<std::size_t>(index)];
    if (place == nullptr) ++memoized_;
    place = &top();
  }

  void get(std::uint64_t index) {
    PickleValue* value = index < memo_.size() ? memo_[static_cast<std::size_t>(index)] : nullptr;
    if (value == nullptr) reader_.fail("holds a corrupt pickle: it recalls a value that it has not stored");
    push(*value);
  }

  // ---- Globals and calls --------------------------------------------------------------------------------------------

  bool is_known(std::string_view name) const {
    const auto matches = [&](std::string_view known) {
      return known.ends_with('*') ? name.starts_with(known.substr(0, known.size() - 1)) : name == known;
    };
    return name == kOrderedDict || std::any_of(callables_.begin(), callables_.end(), matches) ||
           std::any_of(globals_.begin(), globals_.end(), matches);
  }

  void push_global(std::string_view module, std::string_view name) {
    std::string full(module.substr(0, kMaximumNameInMessage));
    full.append(".").append(name.substr(0, kMaximumNameInMessage));
    if (!is_known(full)) {
      reader_.fail(
          "refers to " + quote_json(full) +
          " of Python, which is no part of a checkpoint's tensors. Nothing of a checkpoint is ever run; if you "
          "trust it, load it with torch.load and save its state_dict() alone, best as safetensors");
    }
    PickleValue& value = make(Kind::Global);
    value.text = arena_->names.emplace_back(std::move(full));
    push(value);
  }

  void push_stack_global() {
    const PickleValue* name = pop();
    const PickleValue* module = pop();
    if (name->kind != Kind::Text || module->kind != Kind::Text) {
      reader_.fail("holds a corrupt pickle: the name of a global is not text");
    }
    push_global(module->text, name->text);
  }

  void call() {
    const PickleValue* arguments = pop();
    const PickleValue* function = pop();
    if (function->kind != Kind::Global || arguments->kind != Kind::Tuple) {
      reader_.fail("holds a pickle that calls a value that is not a function");
    }
    if (function->text == kOrderedDict) return push_ordered_dictionary(*arguments);
    if (std::find(callables_.begin(), callables_.end(), function->text) == callables_.end()) {
      reader_.fail("makes an object of " + quote_json(function->text) +
                   ", which is no plain tensor; save the model's state_dict() alone");
    }
    spend(arguments->items.size());
    PickleItems items{function};
    items.insert(items.end(), arguments->items.begin(), arguments->items.end());
    push_items(Kind::Call, std::move(items));
  }

  /// OrderedDict(), or, as Python 2 wrote it, OrderedDict([[key, value], ...]).
  void push_ordered_dictionary(const PickleValue& arguments) {
    PickleValue& dictionary = make(Kind::Dictionary);
    const bool has_pairs = arguments.items.size() == 1 && arguments.items[0]->kind == Kind::List;
    if (!arguments.items.empty() && !has_pairs) reader_.fail("holds a pickle with an OrderedDict of an unknown form");
    if (has_pairs) {
      for (const PickleValue* pair : arguments.items[0]->items) {
        const bool is_pair = (pair->kind == Kind::List || pair->kind == Kind::Tuple) && pair->items.size() == 2;
        spend(1);
        if (!is_pair) reader_.fail("holds a pickle with an OrderedDict of an unknown form");
        dictionary.items.insert(dictionary.items.end(), pair->items.begin(), pair->items.end());
      }
    }
    push(dictionary);
  }

  /// Attributes of an OrderedDict, such as a state_dict's `_metadata`, hold no tensors.
  void build() {
    pop();
    if (top().kind != Kind::Dictionary) {
      reader_.fail("holds a pickle that sets attributes of an object, which is no part of a checkpoint's tensors");
    }
  }

  // ---- Instructions -------------------------------------------------------------------------------------------------

  void push_long(std::uint64_t length) {
    const std::string_view bytes = reader_.text(length);
    if (length > sizeof(std::int64_t)) {
      PickleValue& value = make(Kind::BigInteger);
      value.text = bytes;
      return push(value);
    }
    // Two's complement of any length: the last byte has the sign.
    std::int64_t integer = !bytes.empty() && static_cast<std::uint8_t>(bytes.back()) >= 0x80U ? -1 : 0;
    std::memcpy(&integer, bytes.data(), bytes.size());
    push_integer(integer);
  }

  void read_protocol() {
    const auto protocol = reader_.number<std::uint8_t>();
    if (protocol > 5) reader_.fail("holds a pickle of protocol " + std::to_string(protocol) + "; 5 is the last known");
  }

  void step(std::uint8_t instruction) {
    switch (instruction) {
      case kProtocol:
        return read_protocol();
      case kFrame:
        return reader_.skip(8);  // how much to buffer
      case kMark:
        return marks_.push_back(stack_.size());
      case kPop:
        // Of a mark, too, as CPython does.
        if (available() == 0 && !marks_.empty()) return marks_.pop_back();
        pop();
        return;
      case kPopMark:
        pop_mark();
        return;
      case kDuplicate:
        return push(top());
      case kBinPut:
        return put(reader_.number<std::uint8_t>());
      case kLongBinPut:
        return put(reader_.number<std::uint32_t>());
      case kMemoize:
        return put(memoized_);
      case kBinGet:
        return get(reader_.number<std::uint8_t>());
      case kLongBinGet:
        return get(reader_.number<std::uint32_t>());
      case kGlobal: {
        const std::string_view module = reader_.line();
        return push_global(module, reader_.line());
      }
      case kStackGlobal:
        return push_stack_global();
      case kReduce:
      case kNewObject:
        return call();
      case kBuild:
        return build();
      case kBinPersistentId: {
        const PickleValue* id = pop();
        return push_items(Kind::Storage, {id});
      }
      default:
        return step_of_data(instruction);
    }
  }

  void step_of_data(std::uint8_t instruction) {
    switch (instruction) {
      case kNone:
        return push(make(Kind::None));
      case kNewTrue:
        return push_integer(1, Kind::Boolean);
      case kNewFalse:
        return push_integer(0, Kind::Boolean);
      case kBinInt:
        return push_integer(reader_.number<std::int32_t>());
      case kBinInt1:
        return push_integer(reader_.number<std::uint8_t>());
      case kBinInt2:
        return push_integer(reader_.number<std::uint16_t>());
      case kLong1:
        return push_long(reader_.number<std::uint8_t>());
      case kLong4:
        return push_long(reader_.number<std::uint32_t>());
      case kBinFloat:
        reader_.skip(8);
        return push(make(Kind::Float));
      case kShortBinString:
      case kShortBinBytes:
      case kShortBinUnicode:
        return push_text(reader_.text(reader_.number<std::uint8_t>()));
      case kBinString:
      case kBinBytes:
      case kBinUnicode:
        return push_text(reader_.text(reader_.number<std::uint32_t>()));
      case kBinUnicode8:
      case kBinBytes8:
        return push_text(reader_.text(reader_.number<std::uint64_t>()));
      default:
        return step_of_containers(instruction);
    }
  }

  void step_of_containers(std::uint8_t instruction) {
    switch (instruction) {
      case kEmptyTuple:
        return push(make(Kind::Tuple));
      case kTuple1:
        return push_last_as_tuple(1);
      case kTuple2:
        return push_last_as_tuple(2);
      case kTuple3:
        return push_last_as_tuple(3);
      case kTuple:
        return push_items(Kind::Tuple, pop_mark());
      case kEmptyList:
        return push(make(Kind::List));
      case kList:
        return push_items(Kind::List, pop_mark());
      case kAppend:
        return append();
      case kAppends:
        return extend(Kind::List, pop_mark());
      case kEmptySet:
        return push(make(Kind::Set));
      case kAddItems:
        return extend(Kind::Set, pop_mark());
      case kEmptyDictionary:
        return push(make(Kind::Dictionary));
      case kDictionary: {
        const PickleItems items = pop_mark();
        push(make(Kind::Dictionary));
        return extend(Kind::Dictionary, items);
      }
      case kSetItem:
        return set_item();
      case kSetItems:
        return extend(Kind::Dictionary, pop_mark());
      default:
        reader_.fail("holds a pickle with the instruction " + hexadecimal(instruction) + " at byte " +
                     std::to_string(reader_.position() - 1) + ", which no checkpoint of tensors needs");
    }
  }

  ByteReader reader_;
  std::span<const std::string_view> callables_;
  std::span<const std::string_view> globals_;
  std::shared_ptr<Arena> arena_;
  std::vector<PickleValue*> stack_;
  std::vector<std::size_t> marks_;
  std::vector<PickleValue*> memo_;
  std::uint64_t memoized_ = 0;
  std::uint64_t spent_ = 0;
};

}  // namespace

PickleResult read_pickle(std::span<const std::byte> bytes, std::uint64_t offset, std::string_view origin,
                         std::span<const std::string_view> callables, std::span<const std::string_view> globals) {
  return Unpickler(ByteReader(bytes, std::string(origin), offset), callables, globals).run();
}

}  // namespace onnxport
