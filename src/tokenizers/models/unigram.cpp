#include "tokenizers/models/unigram.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "onnxport/error.h"
#include "tokenizers/models/fields.h"
#include "tokenizers/models/utf8.h"

namespace onnxport::tokenizers {
namespace {

constexpr double kUnknownPenalty = 10;
/// For Step::id of a position that nothing has reached.
constexpr std::uint32_t kUnreached = Vocabulary::none;

/// The first eight bytes as a number of the same order.
std::uint64_t leading_bytes(std::string_view text) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    value = value << 8 | (i < text.size() ? static_cast<unsigned char>(text[i]) : 0);
  }
  return value;
}

DoubleArray make_trie(const Vocabulary& vocabulary) {
  struct Key {
    std::uint64_t leading;
    std::string_view word;
    std::uint32_t id;
  };
  std::vector<Key> keys;
  keys.reserve(vocabulary.size());
  for (std::uint32_t id = 0; id < vocabulary.id_end(); ++id) {
    const auto word = vocabulary.word(id);
    // Of a piece that is listed twice the last one counts.
    if (word && !word->empty() && vocabulary.find(*word) == id) keys.push_back({leading_bytes(*word), *word, id});
  }
  std::sort(keys.begin(), keys.end(), [](const Key& a, const Key& b) {
    return a.leading != b.leading ? a.leading < b.leading : a.word < b.word;
  });
  std::vector<std::pair<std::string_view, std::uint32_t>> words;
  words.reserve(keys.size());
  for (const Key& key : keys) words.emplace_back(key.word, key.id);
  return DoubleArray(words);
}

}  // namespace

Unigram::Unigram(std::vector<std::string_view> pieces, std::vector<double> scores, std::optional<std::uint32_t> unk_id,
                 bool byte_fallback, Sums sums)
    : scores_(std::move(scores)),
      unk_id_(unk_id.value_or(Vocabulary::none)),
      byte_fallback_(byte_fallback),
      sums_(sums) {
  std::size_t bytes = 0;
  for (std::string_view piece : pieces) bytes += piece.size();
  vocabulary_.reserve(pieces.size(), bytes);
  for (std::uint32_t id = 0; id < pieces.size(); ++id) {
    if (vocabulary_.add(pieces[id], id) == Vocabulary::Added::KnownWord) vocabulary_.redirect(pieces[id], id);
  }
  double smallest = std::numeric_limits<double>::infinity();
  for (double score : scores_) smallest = std::min(smallest, score);
  unknown_score_ = smallest - kUnknownPenalty;
  trie_ = make_trie(vocabulary_);
  for (unsigned byte = 0; byte < 256; ++byte) byte_ids_[byte] = vocabulary_.find(fmt::format("<0x{:02X}>", byte));
}

std::unique_ptr<Unigram> Unigram::from_json(const Json& model, std::string_view origin) {
  const Json& vocab = fields::required(model, "vocab", origin);
  if (!vocab.is_array()) fields::fail(origin, "vocab", "expected an array of pieces and their scores");
  const Json::Array& entries = vocab.array();
  if (entries.size() > Vocabulary::largest_id) {
    fields::fail(origin, "vocab",
                 fmt::format("{} pieces, the most possible are {}", entries.size(), Vocabulary::largest_id));
  }
  std::vector<std::string_view> pieces;
  std::vector<double> scores;
  pieces.reserve(entries.size());
  scores.reserve(entries.size());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const Json& entry = entries[i];
    if (!entry.is_array() || entry.array().size() != 2 || !entry.array()[0].is_string() ||
        !entry.array()[1].is_number() || !std::isfinite(entry.array()[1].number())) {
      fields::fail(origin, fmt::format("vocab[{}]", i), "expected a piece and its score, got " + dump_json(entry));
    }
    pieces.push_back(entry.array()[0].string());
    scores.push_back(entry.array()[1].number());
  }
  std::optional<std::uint32_t> unk_id;
  if (const Json* value = model.find("unk_id"); value != nullptr && !value->is_null()) {
    if (!value->is_integer() || value->integer() < 0) {
      fields::fail(origin, "unk_id", "expected a number from 0 on or null, got " + dump_json(*value));
    }
    if (value->integer() >= static_cast<std::int64_t>(entries.size())) {
      fields::fail(origin, "unk_id",
                   fmt::format("{} is beyond the vocabulary of {} pieces", value->integer(), entries.size()));
    }
    unk_id = static_cast<std::uint32_t>(value->integer());
  }
  return std::make_unique<Unigram>(std::move(pieces), std::move(scores), unk_id,
                                   fields::optional_boolean(model, "byte_fallback", origin));
}

template <Unigram::Sums sums>
void Unigram::find_best(std::string_view piece, std::vector<Step>& steps) const {
  const auto rounded = [](double score) {
    return sums == Sums::Single ? static_cast<double>(static_cast<float>(score)) : score;
  };
  steps.assign(piece.size() + 1, Step{0, 0, kUnreached});
  for (std::size_t begin = 0; begin < piece.size();) {
    const double score_here = steps[begin].score;
    const std::size_t character_end = begin + utf8_length(piece[begin]);
    bool is_covered = false;
    std::uint32_t node = DoubleArray::root;
    for (std::size_t position = begin; position < piece.size();) {
      node = trie_.step(node, piece[position]);
      if (node == DoubleArray::root) break;
      ++position;
      const std::uint32_t id = trie_.value(node);
      if (id == DoubleArray::none) continue;
      is_covered = is_covered || position == character_end;
      Step& step = steps[position];
      const double score = rounded(scores_[id] + score_here);
      if (step.id == kUnreached || score > step.score) step = {score, static_cast<std::uint32_t>(begin), id};
    }
    if (!is_covered) {
      Step& step = steps[character_end];
      const double score = rounded(unknown_score_ + score_here);
      if (step.id == kUnreached || score > step.score) {
        if (unk_id_ == Vocabulary::none) {
          throw Error(ErrorKind::InvalidTokenizer, "Unigram: no piece for " +
                                                       quote_json(piece.substr(begin, character_end - begin)) +
                                                       ", and the model has no unk_id");
        }
        step = {score, static_cast<std::uint32_t>(begin), unk_id_};
      }
    }
    begin = character_end;
  }
}

void Unigram::add_token(std::string_view piece, std::uint32_t begin, std::uint32_t end,
                        std::vector<Token>& tokens) const {
  const std::string_view text = piece.substr(begin, end - begin);
  const std::uint32_t id = vocabulary_.find(text);
  if (id != Vocabulary::none) {
    tokens.push_back({id, begin, end});
    return;
  }
  const auto byte_id = [this](char byte) { return byte_ids_[static_cast<unsigned char>(byte)]; };
  if (byte_fallback_ &&
      std::all_of(text.begin(), text.end(), [&](char byte) { return byte_id(byte) != Vocabulary::none; })) {
    // From the back, as tokens are collected there.
    for (auto byte = text.rbegin(); byte != text.rend(); ++byte) tokens.push_back({byte_id(*byte), begin, end});
    return;
  }
  tokens.push_back({unk_id_, begin, end});
}

void Unigram::tokenize(std::string_view piece, std::vector<Token>& tokens, std::vector<Step>& steps) const {
  sums_ == Sums::Single ? find_best<Sums::Single>(piece, steps) : find_best<Sums::Double>(piece, steps);
  const std::size_t before = tokens.size();
  for (auto end = static_cast<std::uint32_t>(piece.size()); end > 0;) {
    std::uint32_t begin = steps[end].begin;
    if (steps[end].id == unk_id_) {
      while (begin > 0 && steps[begin].id == unk_id_) begin = steps[begin].begin;
      add_token(piece, begin, end, tokens);
    } else {
      tokens.push_back({steps[end].id, begin, end});
    }
    end = begin;
  }
  std::reverse(tokens.begin() + static_cast<std::ptrdiff_t>(before), tokens.end());
}

void Unigram::tokenize(std::string_view piece, std::vector<Token>& tokens) const {
  std::vector<Step> steps;
  tokenize(piece, tokens, steps);
}

std::string Unigram::token_text(const Token& token, std::string_view piece) const {
  if (token.id == unk_id_) return std::string(piece.substr(token.begin, token.end - token.begin));
  return Model::token_text(token, piece);
}

std::optional<std::uint32_t> Unigram::token_to_id(std::string_view token) const {
  const std::uint32_t id = vocabulary_.find(token);
  return id == Vocabulary::none ? std::nullopt : std::optional(id);
}

Json Unigram::to_json() const {
  Json json;
  json.set("type", "Unigram");
  json.set("unk_id", unk_id_ == Vocabulary::none ? Json() : Json(std::int64_t{unk_id_}));
  Json::Array vocab;
  vocab.reserve(scores_.size());
  for (std::uint32_t id = 0; id < scores_.size(); ++id) {
    vocab.push_back(Json(Json::Array{Json(*vocabulary_.word(id)), Json(scores_[id])}));
  }
  json.set("vocab", Json(std::move(vocab)));
  json.set("byte_fallback", byte_fallback_);
  return json;
}

}  // namespace onnxport::tokenizers
