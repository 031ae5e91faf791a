#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace onnxport {

struct PickleValue;
using PickleItems = std::vector<const PickleValue*>;

/// A value that a pickle describes. Values are shared as the pickle shares them, and belong to its PickleResult.
struct PickleValue {
  enum class Kind {
    None,
    Boolean,
    Integer,
    BigInteger,  ///< more than 64 bits: `text` has its bytes, little endian, in two's complement
    Float,       ///< the value itself is nothing that a checkpoint needs
    Text,        ///< str or bytes
    Tuple,
    List,
    Set,
    Dictionary,  ///< `items`: key, value, key, value, ... in the order written; a later key replaces an earlier one
    Global,      ///< `text`: "torch.FloatStorage"
    Call,        ///< `items`: function, argument, argument, ...: what the pickle asks to be called, and nobody calls
    Storage,     ///< `items`: what stands in the pickle for a storage, whose bytes lie elsewhere
  };
  Kind kind = Kind::None;
  std::int64_t integer = 0;  ///< also of a Boolean
  std::string_view text;     ///< lies in the pickle
  PickleItems items;
};

struct PickleResult {
  const PickleValue* value = nullptr;
  std::uint64_t end = 0;              ///< of the pickle, from the beginning of the bytes
  std::shared_ptr<const void> owner;  ///< of all values
};

/// Reads the pickle that begins at `offset` of `bytes`, which must outlive the result; `origin` names it in messages.
///
/// Nothing is executed and nothing imported. A pickle is a program for a small machine; of its instructions, those are
/// followed that put values together, and a call is merely recorded, if its function is one of `callables`
/// ("torch._utils._rebuild_tensor_v2"), or taken for what it makes where that is plain data (OrderedDict, torch.Size).
/// `globals` are the names that may stand without being called; one that ends with '*' stands for all that begin so.
/// Throws Error(InvalidCheckpoint) naming what it refuses: any other global, instructions that build objects of
/// classes, text of protocol 0, corrupt or truncated pickles, and more values than any checkpoint has.
PickleResult read_pickle(std::span<const std::byte> bytes, std::uint64_t offset, std::string_view origin,
                         std::span<const std::string_view> callables, std::span<const std::string_view> globals);

}  // namespace onnxport
