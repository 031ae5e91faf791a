#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "onnxport/tokenizer.h"
#include "tokenizers/tokenizer_file.h"

namespace onnxport::tokenizers {

struct FastScratch;
class FastScratchPool;

/// A part of a text, which is valid UTF-8, and where it begins there.
struct TextPart {
  std::string_view text;
  std::size_t begin_byte = 0;
  std::uint32_t begin_character = 0;
};

/// Tokenizes without keeping track of every byte: for the tokenizers in wide use text falls into chunks (about words)
/// whose tokens do not depend on what stands around them, so they are computed once and remembered. Gives what the
/// general way gives, or leaves the text to it. Any number of threads may use one.
class FastPath {
 public:
  /// Null where these components are not covered.
  static std::shared_ptr<const FastPath> make(std::shared_ptr<const Components> components);

  FastPath(const FastPath&) = delete;
  FastPath& operator=(const FastPath&) = delete;
  virtual ~FastPath();

  /// Whether the normalizer surely leaves this text as it is.
  virtual bool leaves_unchanged(std::string_view text) const = 0;

 protected:
  FastPath();

 private:
  friend class FastSession;

  /// Adds the tokens of a part without added tokens, or returns false.
  virtual bool add(const TextPart& part, bool with_offsets, FastScratch& scratch) const = 0;

  std::unique_ptr<FastScratchPool> pool_;
};

/// The tokens of one text, as they are collected. Its room is used again for other texts.
class FastSession {
 public:
  FastSession(const FastPath& path, bool with_offsets);
  FastSession(const FastSession&) = delete;
  FastSession& operator=(const FastSession&) = delete;
  ~FastSession();

  /// Adds the tokens of a part without added tokens. False where that is left to the general way, as is the whole text
  /// then.
  bool add_text(const TextPart& part);
  /// Adds an added token that stands for a part.
  void add_token(std::uint32_t id, const TextPart& part);
  /// Appends ids and, if wanted, offsets and word_ids to those of an encoding.
  void append_to(Encoding& encoding) const;

 private:
  const FastPath& path_;
  bool with_offsets_;
  std::unique_ptr<FastScratch> scratch_;
};

}  // namespace onnxport::tokenizers
