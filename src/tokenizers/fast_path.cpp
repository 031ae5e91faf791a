#include "tokenizers/fast_path.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <utility>

#include "tokenizers/fast_chunks.h"
#include "tokenizers/models/utf8.h"
#include "tokenizers/unicode.h"

namespace onnxport::tokenizers {

// ---- Room that is used again ----------------------------------------------------------------------------------------

/// A place for each of many threads to leave its room at.
class FastScratchPool {
 public:
  FastScratchPool() = default;
  FastScratchPool(const FastScratchPool&) = delete;
  FastScratchPool& operator=(const FastScratchPool&) = delete;
  ~FastScratchPool() {
    for (std::atomic<FastScratch*>& place : places_) delete place.load();
  }

  std::unique_ptr<FastScratch> take() {
    for (std::atomic<FastScratch*>& place : places_) {
      if (place.load(std::memory_order_relaxed) == nullptr) continue;
      if (FastScratch* scratch = place.exchange(nullptr)) return std::unique_ptr<FastScratch>(scratch);
    }
    return std::make_unique<FastScratch>();
  }

  void give_back(std::unique_ptr<FastScratch> scratch) {
    for (std::atomic<FastScratch*>& place : places_) {
      FastScratch* expected = nullptr;
      if (place.load(std::memory_order_relaxed) == nullptr && place.compare_exchange_strong(expected, scratch.get())) {
        scratch.release();
        return;
      }
    }
  }

 private:
  std::array<std::atomic<FastScratch*>, 64> places_{};
};

std::string_view FastScratch::set_text(std::string_view part, bool with_space) {
  constexpr std::size_t readable_behind = 64;
  text.clear();
  if (with_space) text += ' ';
  text += part;
  const std::size_t length = text.size();
  text.append(readable_behind, '\0');
  return std::string_view(text).substr(0, length);
}

void FastScratch::reserve(std::size_t more, bool with_offsets) {
  const std::size_t needed = size + more;
  if (needed > ids.size()) ids.resize(std::max(needed, 2 * ids.size() + 512));
  if (with_offsets && needed > offsets.size()) {
    offsets.resize(ids.size());
    word_ids.resize(ids.size());
  }
}

void FastScratch::place_added_space(std::size_t first, std::uint32_t begin) {
  if (first == size || offsets[first].begin == begin) return;
  offsets[first] = {begin, std::max(offsets[first].end, begin + 1)};
}

FastPath::FastPath() : pool_(std::make_unique<FastScratchPool>()) {}
FastPath::~FastPath() = default;

FastSession::FastSession(const FastPath& path, bool with_offsets)
    : path_(path), with_offsets_(with_offsets), scratch_(path.pool_->take()) {
  scratch_->size = 0;
  scratch_->words = 0;
}

FastSession::~FastSession() { path_.pool_->give_back(std::move(scratch_)); }

bool FastSession::add_text(const TextPart& part) { return path_.add(part, with_offsets_, *scratch_); }

void FastSession::add_token(std::uint32_t id, const TextPart& part) {
  const std::uint32_t characters = with_offsets_ ? static_cast<std::uint32_t>(count_characters(part.text)) : 0;
  const ChunkToken token{id, 0, characters, 0};
  if (with_offsets_) {
    append_tokens<true>({&token, 1}, {1, characters}, part.begin_character, *scratch_);
  } else {
    append_tokens<false>({&token, 1}, {1, characters}, part.begin_character, *scratch_);
  }
}

void FastSession::append_to(Encoding& encoding) const {
  const auto append = [this](auto& to, const auto& from) {
    to.insert(to.end(), from.begin(), from.begin() + static_cast<std::ptrdiff_t>(scratch_->size));
  };
  append(encoding.ids, scratch_->ids);
  if (!with_offsets_) return;
  append(encoding.offsets, scratch_->offsets);
  append(encoding.word_ids, scratch_->word_ids);
}

// ---- The general way for a chunk ------------------------------------------------------------------------------------

bool tokenize_generally(const Components& components, std::string_view text, std::string& normalized,
                        std::vector<ChunkToken>& tokens, ChunkSummary& summary) {
  NormalizedString string = part_of_original(text, {0, text.size()});
  if (components.normalizer) normalize(*components.normalizer, string);
  PieceList pieces;
  pieces.append(string, std::vector<Range>{{0, string.text.size()}});
  normalized = std::move(string.text);
  if (components.pre_tokenizer) pre_tokenize(*components.pre_tokenizer, pieces);
  std::vector<std::uint32_t> characters(text.size() + 1);  // how many begin before a byte
  for (std::size_t i = 0; i < text.size(); ++i)
    characters[i + 1] = characters[i] + (is_utf8_continuation(text[i]) ? 0 : 1);
  std::vector<Token> piece_tokens;
  for (std::size_t i = 0; i < pieces.pieces().size(); ++i) {
    const Piece& piece = pieces.pieces()[i];
    piece_tokens.clear();
    components.model->tokenize(pieces.text_of(piece), piece_tokens);
    for (const Token& token : piece_tokens) {
      if (token.begin >= token.end) return false;
      const std::uint32_t begin = pieces.alignments()[piece.range.begin + token.begin].begin;
      const std::uint32_t end = pieces.alignments()[piece.range.begin + token.end - 1].end;
      if (end < begin) return false;
      tokens.push_back({token.id, characters[begin], characters[end], static_cast<std::uint32_t>(i)});
    }
  }
  summary = {static_cast<std::uint32_t>(pieces.pieces().size()), characters.back()};
  return true;
}

// ---- Choice ---------------------------------------------------------------------------------------------------------

namespace {

void collect(const Normalizer& normalizer, std::vector<const Normalizer*>& steps) {
  if (const auto* sequence = std::get_if<NormalizerSequence>(&normalizer.step)) {
    for (const Normalizer& step : sequence->normalizers) collect(step, steps);
  } else {
    steps.push_back(&normalizer);
  }
}

void collect(const PreTokenizer& pre_tokenizer, std::vector<const PreTokenizer*>& steps) {
  if (const auto* sequence = std::get_if<PreTokenizerSequence>(&pre_tokenizer.step)) {
    for (const PreTokenizer& step : sequence->pretokenizers) collect(step, steps);
  } else {
    steps.push_back(&pre_tokenizer);
  }
}

template <typename Step>
std::vector<const Step*> collect_steps(const std::optional<Step>& step) {
  std::vector<const Step*> steps;
  if (step) collect(*step, steps);
  return steps;
}

}  // namespace

std::vector<const Normalizer*> steps_of(const std::optional<Normalizer>& normalizer) {
  return collect_steps(normalizer);
}

std::vector<const PreTokenizer*> steps_of(const std::optional<PreTokenizer>& pre_tokenizer) {
  return collect_steps(pre_tokenizer);
}

std::shared_ptr<const FastPath> FastPath::make(std::shared_ptr<const Components> components) {
  for (const auto make_one :
       {make_fast_word_piece, make_fast_byte_level, make_fast_unigram, make_fast_sentencepiece_bpe}) {
    if (std::shared_ptr<const FastPath> path = make_one(components)) return path;
  }
  return nullptr;
}

}  // namespace onnxport::tokenizers
