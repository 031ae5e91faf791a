#include "tokenizers/decoders.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "onnxport/error.h"
#include "tokenizers/unicode.h"

namespace onnxport::tokenizers {
namespace {

using Tokens = std::vector<std::string>;

// ---- Steps ----------------------------------------------------------------------------------------------------------

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  if (from.empty()) {
    // Between all characters, and at both ends.
    for (std::size_t position = 0; position < text.size();) {
      const std::size_t begin = position;
      next_character(text, position);
      result += to;
      result += text.substr(begin, position - begin);
    }
    return result += to;
  }
  std::size_t position = 0;
  for (std::size_t found; (found = text.find(from, position)) != std::string_view::npos;
       position = found + from.size()) {
    result += text.substr(position, found - position);
    result += to;
  }
  return result += text.substr(position);
}

/// What tokenization of English leaves behind.
std::string clean_up(std::string text) {
  constexpr std::pair<std::string_view, std::string_view> kReplacements[] = {
      {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},    {" n't", "n't"},
      {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
  };
  for (const auto& [from, to] : kReplacements) {
    if (text.find(from) != std::string::npos) text = replace_all(text, from, to);
  }
  return text;
}

Tokens apply(const BpeDecoder& step, Tokens tokens) {
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = replace_all(tokens[i], step.suffix, i + 1 == tokens.size() ? "" : " ");
  }
  return tokens;
}

Tokens apply(const ByteLevelPreTokenizer&, Tokens tokens) {
  std::string bytes;
  for (const std::string& token : tokens) {
    const std::size_t begin = bytes.size();
    for (std::size_t position = 0; position < token.size();) {
      const int byte = byte_of_character(next_character(token, position));
      if (byte < 0) {  // no token of bytes: text as it is
        bytes.resize(begin);
        bytes += token;
        break;
      }
      bytes += static_cast<char>(static_cast<unsigned char>(byte));
    }
  }
  return {to_valid_utf8(bytes)};
}

Tokens apply(const WordPieceDecoder& step, Tokens tokens) {
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    std::string& token = tokens[i];
    if (i > 0) {
      if (token.starts_with(step.prefix)) {
        token.erase(0, step.prefix.size());
      } else {
        token.insert(token.begin(), ' ');
      }
    }
    if (step.cleanup) token = clean_up(std::move(token));
  }
  return tokens;
}

Tokens apply(const Metaspace& step, Tokens tokens) {
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const bool drops_spaces = i == 0 && step.prepend_scheme != Metaspace::PrependScheme::Never;
    std::string text;
    for (std::size_t position = 0; position < tokens[i].size();) {
      const char32_t character = next_character(tokens[i], position);
      if (character != step.replacement) {
        append_utf8(text, character);
      } else if (!drops_spaces) {
        text += ' ';
      }
    }
    tokens[i] = std::move(text);
  }
  return tokens;
}

Tokens apply(const CtcDecoder& step, Tokens tokens) {
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  for (std::string& token : tokens) {
    token = replace_all(token, step.pad_token, "");
    if (step.cleanup) token = replace_all(clean_up(std::move(token)), step.word_delimiter_token, " ");
  }
  std::erase(tokens, "");
  return tokens;
}

/// Many of these may make a text grow without end: `limit` is its largest size in bytes.
Tokens apply_within(const ReplaceNormalizer& step, Tokens tokens, std::size_t limit) {
  std::size_t size = 0;
  for (std::string& token : tokens) {
    if (token.empty()) continue;
    std::string text;
    std::size_t copied = 0;
    const std::vector<Range> matches = find_all(step.pattern, token);
    size += token.size() + matches.size() * step.content.size();
    if (size > limit) {
      throw Error(ErrorKind::InvalidTokenizer, "decoder: the steps \"Replace\" make the text grow too much");
    }
    for (const Range& match : matches) {
      text += std::string_view(token).substr(copied, match.begin - copied);
      text += step.content;
      copied = match.end;
    }
    text += std::string_view(token).substr(copied);
    token = std::move(text);
  }
  return tokens;
}

Tokens apply(const BytesDecoder&, Tokens tokens) {
  std::string bytes;
  for (const std::string& token : tokens) {
    std::size_t size = 0;
    const char32_t character = token.empty() ? 0x100 : next_character(token, size);
    if (character < 0x100 && size == token.size()) {
      bytes += static_cast<char>(static_cast<unsigned char>(character));
    } else {
      bytes += token;  // one that was added
    }
  }
  std::string text;
  std::string_view rest = bytes;
  for (std::size_t end = 0; !is_valid_utf8(rest, end); end = 0) {
    text += rest.substr(0, end);
    rest.remove_prefix(end + 1);
  }
  return {text.append(rest)};
}

Tokens apply(const FuseDecoder&, Tokens tokens) {
  std::string text;
  for (const std::string& token : tokens) text += token;
  return {std::move(text)};
}

Tokens apply(const StripDecoder& step, Tokens tokens) {
  std::string content;
  append_utf8(content, step.content);
  for (std::string& token : tokens) {
    std::string_view text = token;
    for (std::size_t i = 0; i < step.start && text.starts_with(content); ++i) text.remove_prefix(content.size());
    for (std::size_t i = 0; i < step.stop && text.ends_with(content); ++i) text.remove_suffix(content.size());
    token = std::string(text);
  }
  return tokens;
}

/// The byte of a token such as <0x0A>.
std::optional<unsigned char> fallback_byte(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || !token.ends_with('>')) return std::nullopt;
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  // Rust's parser of integers, which the library uses, takes a plus sign.
  const int high = token[3] == '+' ? 0 : digit(token[3]);
  const int low = digit(token[4]);
  if (high < 0 || low < 0) return std::nullopt;
  return static_cast<unsigned char>(high * 16 + low);
}

Tokens apply(const ByteFallbackDecoder&, Tokens tokens) {
  Tokens result;
  std::string bytes;
  const auto flush = [&] {
    if (bytes.empty()) return;
    if (is_valid_utf8(bytes)) {
      result.push_back(bytes);
    } else {
      result.insert(result.end(), bytes.size(), "\xEF\xBF\xBD");
    }
    bytes.clear();
  };
  for (std::string& token : tokens) {
    if (const auto byte = fallback_byte(token)) {
      bytes += static_cast<char>(*byte);
    } else {
      flush();
      result.push_back(std::move(token));
    }
  }
  flush();
  return result;
}

template <typename Step>
Tokens apply_within(const Step& step, Tokens tokens, std::size_t) {
  return apply(step, std::move(tokens));
}

Tokens apply_step(const Decoder& decoder, Tokens tokens, std::size_t limit);

Tokens apply_within(const DecoderSequence& step, Tokens tokens, std::size_t limit) {
  for (const Decoder& decoder : step.decoders) tokens = apply_step(decoder, std::move(tokens), limit);
  return tokens;
}

Tokens apply_step(const Decoder& decoder, Tokens tokens, std::size_t limit) {
  return std::visit([&](const auto& step) { return apply_within(step, std::move(tokens), limit); }, decoder.step);
}

// ---- JSON -----------------------------------------------------------------------------------------------------------

Json json_of(const BpeDecoder& step) { return Json::Object{{"type", "BPEDecoder"}, {"suffix", step.suffix}}; }
Json json_of(const ByteLevelPreTokenizer& step) { return to_json(step); }

Json json_of(const WordPieceDecoder& step) {
  return Json::Object{{"type", "WordPiece"}, {"prefix", step.prefix}, {"cleanup", step.cleanup}};
}

Json json_of(const Metaspace& step) { return to_json(step); }

Json json_of(const CtcDecoder& step) {
  return Json::Object{{"type", "CTC"},
                      {"pad_token", step.pad_token},
                      {"word_delimiter_token", step.word_delimiter_token},
                      {"cleanup", step.cleanup}};
}

Json json_of(const ReplaceNormalizer& step) {
  return Json::Object{{"type", "Replace"}, {"pattern", to_json(step.pattern)}, {"content", step.content}};
}

Json json_of(const BytesDecoder&) { return Json::Object{{"type", "Bytes"}}; }
Json json_of(const FuseDecoder&) { return Json::Object{{"type", "Fuse"}}; }

Json json_of(const StripDecoder& step) {
  std::string content;
  append_utf8(content, step.content);
  return Json::Object{{"type", "Strip"},
                      {"content", content},
                      {"start", static_cast<std::int64_t>(step.start)},
                      {"stop", static_cast<std::int64_t>(step.stop)}};
}

Json json_of(const ByteFallbackDecoder&) { return Json::Object{{"type", "ByteFallback"}}; }

Json json_of(const DecoderSequence& step) {
  Json::Array decoders;
  for (const Decoder& decoder : step.decoders) decoders.push_back(to_json(decoder));
  return Json::Object{{"type", "Sequence"}, {"decoders", std::move(decoders)}};
}

/// The type of a step that a very old file does not name.
std::string_view guess_type(const JsonField& field) {
  if (field.has("suffix")) return "BPEDecoder";
  if (field.has("prefix")) return "WordPiece";
  if (field.has("pad_token")) return "CTC";
  if (field.has("pattern")) return "Replace";
  if (field.has("start")) return "Strip";
  return field.at("type").string();
}

}  // namespace

Decoder read_decoder(const JsonField& field) {
  const std::string_view type = field.has("type") ? field.at("type").string() : guess_type(field);
  if (type == "BPEDecoder") return {BpeDecoder{.suffix = field.at("suffix").string()}};
  if (type == "ByteLevel") return {read_byte_level(field)};
  if (type == "WordPiece") {
    return {WordPieceDecoder{.prefix = field.at("prefix").string(), .cleanup = field.at("cleanup").boolean()}};
  }
  if (type == "Metaspace") return {read_metaspace(field)};
  if (type == "CTC") {
    return {CtcDecoder{.pad_token = field.at("pad_token").string(),
                       .word_delimiter_token = field.at("word_delimiter_token").string(),
                       .cleanup = field.at("cleanup").boolean()}};
  }
  if (type == "Replace") {
    return {ReplaceNormalizer{.pattern = read_pattern(field.at("pattern")), .content = field.at("content").string()}};
  }
  if (type == "Bytes") return {BytesDecoder{}};
  if (type == "Fuse") return {FuseDecoder{}};
  if (type == "Strip") {
    return {StripDecoder{.content = field.at("content").character(),
                         .start = field.at("start").size(),
                         .stop = field.at("stop").size()}};
  }
  if (type == "ByteFallback") return {ByteFallbackDecoder{}};
  if (type == "Sequence") {
    DecoderSequence sequence;
    for (const JsonField& element : field.at("decoders").elements()) sequence.decoders.push_back(read_decoder(element));
    return {std::move(sequence)};
  }
  field.at("type").fail(
      "unknown decoder " + quote_json(type) +
      "; known ones: BPEDecoder, ByteFallback, ByteLevel, Bytes, CTC, Fuse, Metaspace, Replace, Sequence, "
      "Strip, WordPiece");
}

Json to_json(const Decoder& decoder) {
  return std::visit([](const auto& step) { return json_of(step); }, decoder.step);
}

std::vector<std::string> decode(const Decoder& decoder, std::vector<std::string> tokens) {
  constexpr std::size_t kAlwaysAllowed = std::size_t{1} << 22;
  constexpr std::size_t kMaximumGrowth = 64;
  std::size_t size = 0;
  for (const std::string& token : tokens) size += token.size();
  return apply_step(decoder, std::move(tokens), kAlwaysAllowed + kMaximumGrowth * size);
}

}  // namespace onnxport::tokenizers
