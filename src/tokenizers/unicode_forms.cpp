#include "tokenizers/unicode_forms.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace onnxport::tokenizers {
namespace {

/// A character on its way to a Transformation, with its change.
struct Character {
  char32_t code = 0;
  std::int64_t change = 0;
  std::uint8_t combining_class = 0;
};

/// Puts characters that follow a decomposed starter into canonical order and hands them on.
template <typename Emit>
class Decomposition {
 public:
  Decomposition(bool is_compatible, Emit emit) : is_compatible_(is_compatible), emit_(std::move(emit)) {}

  void push(char32_t character) {
    // Hangul syllables are not in the tables.
    constexpr char32_t kBase = 0xAC00;
    constexpr char32_t kCount = 11172;
    if (character - kBase < kCount) {
      const char32_t index = character - kBase;
      push_part(0x1100 + index / 588, 0);
      push_part(0x1161 + index % 588 / 28, 1);
      if (index % 28 != 0) push_part(0x11A7 + index % 28, 1);
      return;
    }
    bool is_first = true;
    for (const char32_t part :
         is_compatible_ ? compatibility_decomposition(character) : canonical_decomposition(character)) {
      push_part(part, is_first ? 0 : 1);
      is_first = false;
    }
  }

  void finish() {
    std::stable_sort(pending_.begin(), pending_.end(), [](const Character& left, const Character& right) {
      return left.combining_class < right.combining_class;
    });
    for (const Character& character : pending_) emit_(character);
    pending_.clear();
  }

 private:
  void push_part(char32_t code, std::int64_t change) {
    const std::uint8_t own_class = combining_class(code);
    if (own_class == 0) finish();
    pending_.push_back({code, change, own_class});
  }

  bool is_compatible_;
  Emit emit_;
  std::vector<Character> pending_;
};

/// Composes a starter with the marks that follow it.
class Composition {
 public:
  explicit Composition(Transformation& transformation) : transformation_(transformation) {}

  void push(const Character& character) {
    if (!starter_) {
      if (character.combining_class != 0) {
        emit(character);
      } else {
        starter_ = character;
      }
      return;
    }
    const bool is_blocked = last_class_ && *last_class_ >= character.combining_class;
    if (!is_blocked) {
      if (const char32_t composed = compose(starter_->code, character.code); composed != 0) {
        // What was composed vanishes, if it stood in the text by itself.
        starter_ = Character{composed, starter_->change + character.change - 1, 0};
        return;
      }
    }
    if (character.combining_class == 0) {
      finish();
      starter_ = character;
      return;
    }
    marks_.push_back(character);
    last_class_ = character.combining_class;
  }

  void finish() {
    if (starter_) emit(*starter_);
    for (const Character& mark : marks_) emit(mark);
    marks_.clear();
    starter_.reset();
    last_class_.reset();
  }

 private:
  void emit(const Character& character) { transformation_.push(character.code, character.change); }

  Transformation& transformation_;
  std::optional<Character> starter_;
  std::vector<Character> marks_;  ///< behind the starter, that were not composed with it
  std::optional<std::uint8_t> last_class_;
};

template <typename Emit>
void decompose(std::string_view text, bool is_compatible, Emit emit) {
  Decomposition<Emit> decomposition(is_compatible, std::move(emit));
  for (std::size_t position = 0; position < text.size();) decomposition.push(next_character(text, position));
  decomposition.finish();
}

}  // namespace

void normalize_unicode(NormalizedString& target, UnicodeForm form) {
  Transformation transformation(target);
  if (form.composes) {
    Composition composition(transformation);
    decompose(target.text, form.is_compatible, [&](const Character& character) { composition.push(character); });
    composition.finish();
  } else {
    decompose(target.text, form.is_compatible,
              [&](const Character& character) { transformation.push(character.code, character.change); });
  }
  transformation.finish();
}

}  // namespace onnxport::tokenizers
