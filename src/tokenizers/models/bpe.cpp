#include "tokenizers/models/bpe.h"

#include <algorithm>

#include <fmt/format.h>

#include "onnxport/error.h"
#include "tokenizers/models/fields.h"
#include "tokenizers/models/utf8.h"

namespace onnxport::tokenizers {

Bpe::Bpe(Vocabulary vocabulary, Merges merges, Settings settings)
    : vocabulary_(std::move(vocabulary)), merges_(std::move(merges)), settings_(std::move(settings)) {
  if (settings_.unk_token) unk_id_ = vocabulary_.find(*settings_.unk_token);
  const auto is_given = [](const std::optional<std::string>& text) { return text && !text->empty(); };
  decorates_characters_ = is_given(settings_.continuing_subword_prefix) || is_given(settings_.end_of_word_suffix);
  for (char32_t c = 0; c < table_end; ++c) {
    const std::array<char, 2> two{static_cast<char>(0xc0 | c >> 6), static_cast<char>(0x80 | (c & 0x3f))};
    const char one = static_cast<char>(c);
    table_[c] = vocabulary_.find(c < 0x80 ? std::string_view(&one, 1) : std::string_view(two.data(), 2));
  }
  for (unsigned byte = 0; byte < 256; ++byte) byte_ids_[byte] = vocabulary_.find(fmt::format("<0x{:02X}>", byte));
}

namespace {

/// One entry of "merges", "a b" or ["a", "b"].
std::pair<std::string_view, std::string_view> read_merge(const Json& entry, std::size_t index,
                                                         std::string_view origin) {
  if (entry.is_string()) {
    const std::string_view text = entry.string();
    const std::size_t space = text.find(' ');
    if (space != std::string_view::npos && text.find(' ', space + 1) == std::string_view::npos) {
      return {text.substr(0, space), text.substr(space + 1)};
    }
  } else if (entry.is_array() && entry.array().size() == 2 && entry.array()[0].is_string() &&
             entry.array()[1].is_string()) {
    return {entry.array()[0].string(), entry.array()[1].string()};
  }
  fields::fail(origin, fmt::format("merges[{}]", index),
               "expected two tokens, \"a b\" or [\"a\", \"b\"], got " + dump_json(entry));
}

Merges read_merges(const Json& model, const Vocabulary& vocabulary, std::size_t prefix_length,
                   std::string_view origin) {
  const Json& value = fields::required(model, "merges", origin);
  if (!value.is_array()) fields::fail(origin, "merges", "expected an array");
  const Json::Array& entries = value.array();
  Merges merges(entries.size());
  const auto id_of = [&](std::string_view token, std::size_t index) {
    const std::uint32_t id = vocabulary.find(token);
    if (id == Vocabulary::none) {
      fields::fail(origin, fmt::format("merges[{}]", index),
                   "the token " + quote_json(token) + " is not in the vocabulary");
    }
    return id;
  };
  const bool as_strings = !entries.empty() && entries.front().is_string();
  std::string merged;
  std::uint32_t rank = 0;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].is_string() != as_strings) {
      fields::fail(origin, fmt::format("merges[{}]", i), "strings and pairs are mixed");
    }
    // Old files took their first line over from merges.txt.
    if (as_strings && entries[i].string().starts_with("#version")) continue;
    const auto [left, right] = read_merge(entries[i], i, origin);
    const std::uint32_t left_id = id_of(left, i);
    const std::uint32_t right_id = id_of(right, i);
    if (right.size() < prefix_length) {
      fields::fail(origin, fmt::format("merges[{}]", i),
                   quote_json(right) + " is shorter than continuing_subword_prefix, which it should begin with");
    }
    merged.assign(left).append(right.substr(prefix_length));
    merges.add(left_id, right_id, {rank++, id_of(merged, i)});
  }
  return merges;
}

}  // namespace

std::unique_ptr<Bpe> Bpe::from_json(const Json& model, std::string_view origin) {
  Settings settings;
  if (const Json* dropout = model.find("dropout"); dropout != nullptr && !dropout->is_null()) {
    if (!dropout->is_number() || dropout->number() != 0) {
      fields::fail(origin, "dropout",
                   dump_json(*dropout) + " makes tokens random, which only training wants; set it to null");
    }
    settings.has_dropout = true;
  }
  settings.unk_token = fields::optional_string(model, "unk_token", origin);
  settings.continuing_subword_prefix = fields::optional_string(model, "continuing_subword_prefix", origin);
  settings.end_of_word_suffix = fields::optional_string(model, "end_of_word_suffix", origin);
  settings.fuse_unk = fields::optional_boolean(model, "fuse_unk", origin);
  settings.byte_fallback = fields::optional_boolean(model, "byte_fallback", origin);
  settings.ignore_merges = fields::optional_boolean(model, "ignore_merges", origin);
  const std::size_t prefix_length = settings.continuing_subword_prefix ? settings.continuing_subword_prefix->size() : 0;
  Vocabulary vocabulary = fields::vocabulary(model, origin);
  Merges merges = read_merges(model, vocabulary, prefix_length, origin);
  return std::make_unique<Bpe>(std::move(vocabulary), std::move(merges), std::move(settings));
}

std::uint32_t Bpe::character_id(std::string_view character, bool is_first, bool is_last, std::string& buffer) const {
  if (decorates_characters_) {
    const bool prefixed = !is_first && settings_.continuing_subword_prefix;
    const bool suffixed = is_last && settings_.end_of_word_suffix;
    if (prefixed || suffixed) {
      buffer.clear();
      if (prefixed) buffer += *settings_.continuing_subword_prefix;
      buffer += character;
      if (suffixed) buffer += *settings_.end_of_word_suffix;
      return vocabulary_.find(buffer);
    }
  }
  if (character.size() <= 2) {
    const char32_t code_point = utf8_decode(character.data());
    if (code_point < table_end) return table_[code_point];
  }
  return vocabulary_.find(character);
}

std::uint32_t Bpe::unknown_id() const {
  if (unk_id_ == Vocabulary::none) {
    throw Error(ErrorKind::InvalidTokenizer, "BPE: a character has no token, and unk_token, " +
                                                 quote_json(*settings_.unk_token) + ", is not in the vocabulary");
  }
  return unk_id_;
}

void Bpe::add_characters(std::string_view piece, std::vector<Symbol>& symbols) const {
  symbols.reserve(piece.size());
  std::string buffer;
  // Bytes of unknown characters for which unk_token is still to be added.
  std::uint32_t unknown = 0;
  for (std::size_t begin = 0; begin < piece.size();) {
    const std::size_t end = begin + utf8_length(piece[begin]);
    const std::string_view character = piece.substr(begin, end - begin);
    const auto length = static_cast<std::uint32_t>(character.size());
    const bool is_first = begin == 0;
    const bool is_last = end == piece.size();
    begin = end;
    const std::uint32_t id = character_id(character, is_first, is_last, buffer);
    if (id != Vocabulary::none) {
      if (unknown > 0) symbols.push_back({unk_id_, unknown});
      unknown = 0;
      symbols.push_back({id, length});
      continue;
    }
    if (settings_.byte_fallback) {
      // Prefix and suffix fall back, too. What is unknown so far stays behind the bytes: so does the real library.
      std::string_view bytes = character;
      if (decorates_characters_ &&
          ((!is_first && settings_.continuing_subword_prefix) || (is_last && settings_.end_of_word_suffix))) {
        bytes = buffer;
      }
      const auto byte_id = [this](char byte) { return byte_ids_[static_cast<unsigned char>(byte)]; };
      if (std::all_of(bytes.begin(), bytes.end(), [&](char byte) { return byte_id(byte) != Vocabulary::none; })) {
        for (char byte : bytes) symbols.push_back({byte_id(byte), 1});
        continue;
      }
    }
    if (!settings_.unk_token) continue;
    if (unknown > 0 && !settings_.fuse_unk) {
      symbols.push_back({unk_id_, unknown});
      unknown = 0;
    }
    unknown_id();
    unknown += length;
  }
  if (unknown > 0) symbols.push_back({unk_id_, unknown});
}

void Bpe::tokenize(std::string_view piece, std::vector<Token>& tokens) const {
  std::vector<Symbol> symbols;
  tokenize(piece, tokens, symbols);
}

void Bpe::tokenize(std::string_view piece, std::vector<Token>& tokens, std::vector<Symbol>& symbols) const {
  if (piece.empty()) return;
  const auto size = static_cast<std::uint32_t>(piece.size());
  if (settings_.ignore_merges) {
    const std::uint32_t id = vocabulary_.find(piece);
    if (id != Vocabulary::none) {
      tokens.push_back({id, 0, size});
      return;
    }
  }
  symbols.clear();
  add_characters(piece, symbols);
  symbols.resize(merge_symbols(merges_, symbols));
  // Lengths are added up as the real library does: where characters were dropped or a suffix fell back to
  // bytes, tokens move away from the text they stand for; it even counts on beyond the end.
  std::uint32_t begin = 0;
  for (const Symbol& symbol : symbols) {
    const std::uint32_t end = std::min(begin + symbol.length, size);
    tokens.push_back({symbol.id, begin, end});
    begin = end;
  }
}

std::optional<std::uint32_t> Bpe::token_to_id(std::string_view token) const {
  const std::uint32_t id = vocabulary_.find(token);
  return id == Vocabulary::none ? std::nullopt : std::optional(id);
}

Json Bpe::to_json() const {
  Json json;
  json.set("type", "BPE");
  json.set("dropout", settings_.has_dropout ? Json(0.0) : Json());
  json.set("unk_token", fields::optional_json(settings_.unk_token));
  json.set("continuing_subword_prefix", fields::optional_json(settings_.continuing_subword_prefix));
  json.set("end_of_word_suffix", fields::optional_json(settings_.end_of_word_suffix));
  json.set("fuse_unk", settings_.fuse_unk);
  json.set("byte_fallback", settings_.byte_fallback);
  json.set("ignore_merges", settings_.ignore_merges);
  json.set("vocab", fields::vocabulary_json(vocabulary_));
  Json::Array merges;
  for (const auto& [left, right] : merges_.ordered()) {
    merges.push_back(Json(Json::Array{Json(*vocabulary_.word(left)), Json(*vocabulary_.word(right))}));
  }
  json.set("merges", Json(std::move(merges)));
  return json;
}

}  // namespace onnxport::tokenizers
