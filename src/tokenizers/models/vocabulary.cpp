#include "tokenizers/models/vocabulary.h"

#include <bit>
#include <random>

#include "onnxport/error.h"

namespace onnxport::tokenizers {
namespace {

constexpr std::size_t kSmallestTable = 16;

std::uint64_t random_seed() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

}  // namespace

Vocabulary::Vocabulary() : slots_(kSmallestTable), mask_(kSmallestTable - 1), seed_(random_seed()) {}

void Vocabulary::reserve(std::size_t words, std::size_t bytes) {
  characters_.reserve(bytes);
  words_.reserve(words);
  if (2 * words > slots_.size()) grow(std::bit_ceil(2 * words));
}

void Vocabulary::grow(std::size_t slots) {
  const std::vector<Slot> old = std::move(slots_);
  slots_.assign(slots, Slot{});
  mask_ = slots - 1;
  for (const Slot& slot : old) {
    if (slot.id != none) slot_of(std::string_view(characters_.data() + slot.begin, slot.length)) = slot;
  }
}

Vocabulary::Slot& Vocabulary::slot_of(std::string_view word) {
  std::size_t slot = hash(word) & mask_;
  while (slots_[slot].id != none &&
         std::string_view(characters_.data() + slots_[slot].begin, slots_[slot].length) != word) {
    slot = (slot + 1) & mask_;
  }
  return slots_[slot];
}

Vocabulary::Added Vocabulary::add(std::string_view word, std::uint32_t id) {
  if (id > largest_id) return Added::IdTooLarge;
  if (id < words_.size() && words_[id].length != none) return Added::KnownId;
  if (2 * (size_ + 1) > slots_.size()) grow(2 * slots_.size());
  Slot& slot = slot_of(word);
  if (slot.id != none) return Added::KnownWord;
  if (word.size() + characters_.size() >= none) {
    throw Error(ErrorKind::InvalidTokenizer, "a vocabulary of more than 4 GB of text");
  }
  const Word entry{static_cast<std::uint32_t>(characters_.size()), static_cast<std::uint32_t>(word.size())};
  characters_ += word;
  slot = {entry.begin, entry.length, id};
  if (id >= words_.size()) words_.resize(std::size_t{id} + 1);
  words_[id] = entry;
  ++size_;
  return Added::Yes;
}

void Vocabulary::redirect(std::string_view word, std::uint32_t id) {
  Slot& slot = slot_of(word);
  slot.id = id;
  if (id >= words_.size()) words_.resize(std::size_t{id} + 1);
  words_[id] = {slot.begin, slot.length};
}

}  // namespace onnxport::tokenizers
