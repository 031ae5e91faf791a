#pragma once

#include <cstddef>
#include <initializer_list>

#include "tokenizers/scanner_tables.h"

/// The scanners of scanners.h as inline functions. Each is a class with
///   static std::size_t next(const char* text, std::size_t begin, std::size_t size);
namespace onnxport::tokenizers::scanners {

inline bool is_letter(CharacterClass kind) { return kind >= CharacterClass::Letter && kind <= CharacterClass::Lower; }
/// Neither letter nor number nor space.
inline bool is_symbol(CharacterClass kind) { return kind == CharacterClass::Other || kind == CharacterClass::Mark; }
inline bool is_newline(char byte) { return byte == '\n' || byte == '\r'; }

/// Where characters for which is_in(class) is true end.
template <typename IsIn>
std::size_t end_of_run(const char* text, std::size_t position, std::size_t size, IsIn is_in) {
  while (position < size) {
    const ScannedCharacter character = scan_character(text, position, size);
    if (!is_in(character.kind)) break;
    position += character.length;
  }
  return position;
}

inline std::size_t end_of_letters(const char* text, std::size_t position, std::size_t size) {
  return end_of_run(text, position, size, is_letter);
}
inline std::size_t end_of_numbers(const char* text, std::size_t position, std::size_t size) {
  return end_of_run(text, position, size, [](CharacterClass kind) { return kind == CharacterClass::Number; });
}
inline std::size_t end_of_symbols(const char* text, std::size_t position, std::size_t size) {
  return end_of_run(text, position, size, is_symbol);
}
inline std::size_t end_of_spaces(const char* text, std::size_t position, std::size_t size) {
  return end_of_run(text, position, size, [](CharacterClass kind) { return kind == CharacterClass::Space; });
}

/// `\s+(?!\S)|\s+`: all spaces up to `end` but the last one, unless it is the only one or the text ends behind it.
inline std::size_t spaces_before_word(const char* text, std::size_t begin, std::size_t end, std::size_t size) {
  if (end == size) return end;
  std::size_t last = end - 1;
  while (is_utf8_continuation(text[last])) --last;
  return last == begin ? end : last;
}

/// `'s|'t|'re|'ve|'m|'ll|'d` at an apostrophe: its length, 0 for no match. Where case does not matter, U+017F, the
/// long s, is an s.
template <bool AnyCase>
std::size_t contraction_length(const char* text, std::size_t position, std::size_t size) {
  const auto at = [&](std::size_t offset) -> char {
    if (position + offset >= size) return 0;
    const char byte = text[position + offset];
    return AnyCase && byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte | 0x20) : byte;
  };
  switch (at(1)) {
    case 's':
    case 't':
    case 'm':
    case 'd':
      return 2;
    case 'r':
    case 'v':
      return at(2) == 'e' ? 3 : 0;
    case 'l':
      return at(2) == 'l' ? 3 : 0;
    case '\xc5':
      return AnyCase && at(2) == '\xbf' ? 3 : 0;
    default:
      return 0;
  }
}

/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
struct Gpt2 {
  static std::size_t next(const char* text, std::size_t begin, std::size_t size) {
    if (text[begin] == '\'') {
      if (const std::size_t length = contraction_length<false>(text, begin, size); length > 0) return begin + length;
    }
    ScannedCharacter character = scan_character(text, begin, size);
    std::size_t position = begin;
    if (text[begin] == ' ') {
      character = scan_character(text, begin + 1, size);
      position = begin + 1;
      if (character.length == 0) return size;
    }
    if (is_letter(character.kind)) return end_of_letters(text, position + character.length, size);
    if (character.kind == CharacterClass::Number) return end_of_numbers(text, position + character.length, size);
    if (is_symbol(character.kind)) return end_of_symbols(text, position + character.length, size);
    return spaces_before_word(text, begin, end_of_spaces(text, position + character.length, size), size);
  }
};

/// `\s*[\r\n]+|\s+(?!\S)|\s+` at a space.
inline std::size_t end_of_spaces_by_lines(const char* text, std::size_t begin, std::size_t size) {
  const std::size_t end = end_of_spaces(text, begin, size);
  for (std::size_t position = end; position > begin; --position) {
    if (is_newline(text[position - 1])) return position;
  }
  return spaces_before_word(text, begin, end, size);
}

/// `\p{N}{1,MostDigits}` at a number.
template <std::size_t MostDigits>
std::size_t end_of_few_numbers(const char* text, std::size_t position, std::size_t size) {
  for (std::size_t count = 0; count < MostDigits; ++count) {
    const ScannedCharacter character = scan_character(text, position, size);
    if (character.kind != CharacterClass::Number) break;
    position += character.length;
  }
  return position;
}

/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,n}|
/// ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
template <std::size_t MostDigits>
struct Cl100k {
  static std::size_t next(const char* text, std::size_t begin, std::size_t size) {
    if (text[begin] == '\'') {
      if (const std::size_t length = contraction_length<true>(text, begin, size); length > 0) return begin + length;
    }
    const ScannedCharacter first = scan_character(text, begin, size);
    if (is_letter(first.kind)) return end_of_letters(text, begin + first.length, size);
    if (first.kind == CharacterClass::Number) return end_of_few_numbers<MostDigits>(text, begin, size);
    const ScannedCharacter second = scan_character(text, begin + first.length, size);
    if (is_letter(second.kind) && !is_newline(text[begin])) {
      return end_of_letters(text, begin + first.length + second.length, size);
    }
    if (is_symbol(first.kind) || (text[begin] == ' ' && second.length > 0 && is_symbol(second.kind))) {
      std::size_t end = end_of_symbols(text, begin + first.length, size);
      while (end < size && is_newline(text[end])) ++end;
      return end;
    }
    return end_of_spaces_by_lines(text, begin, size);
  }
};

/// `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+C?|
/// [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*C?|\p{N}{1,n}|
/// ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+` with the contractions of cl100k for C, or without.
template <std::size_t MostDigits, bool Contractions>
struct O200k {
  static std::size_t next(const char* text, std::size_t begin, std::size_t size) {
    const ScannedCharacter first = scan_character(text, begin, size);
    // What may stand before a word is no letter, but a mark may be part of the word itself, too.
    Word with_leading;
    if (!is_letter(first.kind) && first.kind != CharacterClass::Number && !is_newline(text[begin])) {
      with_leading = scan_word(text, begin + first.length, size);
      if (with_leading.end_with_lower > 0) return with_contraction(text, with_leading.end_with_lower, size);
    }
    const Word word = scan_word(text, begin, size);
    for (const std::size_t end : {word.end_with_lower, with_leading.end_of_upper, word.end_of_upper}) {
      if (end > 0) return with_contraction(text, end, size);
    }
    if (first.kind == CharacterClass::Number) return end_of_few_numbers<MostDigits>(text, begin, size);
    const ScannedCharacter second = scan_character(text, begin + first.length, size);
    if (is_symbol(first.kind) || (text[begin] == ' ' && second.length > 0 && is_symbol(second.kind))) {
      std::size_t end = end_of_symbols(text, begin + first.length, size);
      while (end < size && (is_newline(text[end]) || text[end] == '/')) ++end;
      return end;
    }
    return end_of_spaces_by_lines(text, begin, size);
  }

 private:
  static bool is_upper(CharacterClass kind) {
    return kind == CharacterClass::Upper || kind == CharacterClass::Letter || kind == CharacterClass::Mark;
  }
  static bool is_lower(CharacterClass kind) {
    return kind == CharacterClass::Lower || kind == CharacterClass::Letter || kind == CharacterClass::Mark;
  }

  /// Where the word of the first alternative ends and, if there is none, that of the second; 0 for no match.
  struct Word {
    std::size_t end_with_lower = 0;
    std::size_t end_of_upper = 0;
  };

  static Word scan_word(const char* text, std::size_t begin, std::size_t size) {
    std::size_t position = begin;
    std::size_t behind_both = 0;  // behind the last character that is_upper() and is_lower() both take
    while (true) {
      const ScannedCharacter character = scan_character(text, position, size);
      if (character.length == 0 || !is_upper(character.kind)) break;
      position += character.length;
      if (is_lower(character.kind)) behind_both = position;
    }
    const std::size_t end = end_of_run(text, position, size, is_lower);
    if (end > position) return {end, 0};
    return {behind_both, position > begin ? position : 0};
  }

  static std::size_t with_contraction(const char* text, std::size_t end, std::size_t size) {
    if (!Contractions || end >= size || text[end] != '\'') return end;
    return end + contraction_length<true>(text, end, size);
  }
};

}  // namespace onnxport::tokenizers::scanners
