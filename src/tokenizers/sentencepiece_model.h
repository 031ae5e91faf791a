#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// sentencepiece's model files (sentencepiece_model.proto), as far as conversion needs them.
namespace onnxport::tokenizers {

/// ModelProto.SentencePiece.Type
enum class PieceType { Normal = 1, Unknown = 2, Control = 3, UserDefined = 4, Unused = 5, Byte = 6 };

/// TrainerSpec.ModelType
enum class SentencePieceAlgorithm { Unigram = 1, Bpe = 2, Word = 3, Char = 4 };

struct SentencePiece {
  std::string piece;
  float score = 0;
  PieceType type = PieceType::Normal;
};

struct SentencePieceModel {
  std::vector<SentencePiece> pieces;
  SentencePieceAlgorithm algorithm = SentencePieceAlgorithm::Unigram;
  bool byte_fallback = false;
  std::int32_t unk_id = 0;
  std::string unk_piece = "<unk>";
  std::string unk_surface = " \u2047 ";  ///< what the unknown piece reads as
  std::string precompiled_charsmap;      ///< raw bytes; empty if the model normalizes nothing
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool treat_whitespace_as_suffix = false;
};

/// Reads a model from its bytes. Throws Error(InvalidTokenizer) that begins with `origin`: what is no such message, has
/// no pieces, or what sentencepiece itself would not load (empty or duplicate pieces, not exactly one unknown piece).
SentencePieceModel read_sentencepiece_model(std::string_view bytes, std::string_view origin);

}  // namespace onnxport::tokenizers
