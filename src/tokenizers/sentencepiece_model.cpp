#include "tokenizers/sentencepiece_model.h"

#include <cmath>
#include <unordered_set>

#include <protozero/exception.hpp>

#include "core/protobuf_cases.h"
#include "onnxport/error.h"
#include "onnxport/json.h"
#include "tokenizers/pretrained_text.h"
#include "tokenizers/unicode.h"

namespace onnxport::tokenizers {
namespace {

// Fields of sentencepiece_model.proto that are read; others are skipped.
enum class ModelProto : std::uint32_t { pieces = 1, trainer_spec = 2, normalizer_spec = 3 };
enum class SentencePieceProto : std::uint32_t { piece = 1, score = 2, type = 3 };
enum class TrainerSpec : std::uint32_t {
  model_type = 3,
  treat_whitespace_as_suffix = 24,
  byte_fallback = 35,
  unk_id = 40,
  unk_surface = 44,
  unk_piece = 45
};
enum class NormalizerSpec : std::uint32_t {
  precompiled_charsmap = 2,
  add_dummy_prefix = 3,
  remove_extra_whitespaces = 4
};

using protobuf::as_bytes;
using protobuf::as_fixed32;
using protobuf::as_varint;
using protobuf::Message;

class Reader {
 public:
  explicit Reader(std::string_view origin) : origin_(origin) {}

  SentencePieceModel read(std::string_view bytes) {
    try {
      Message<ModelProto> message(bytes.data(), bytes.size());
      while (message.next()) {
        switch (message.tag_and_type()) {
          case as_bytes(ModelProto::pieces):
            model_.pieces.push_back(read_piece(message.get_message()));
            break;
          case as_bytes(ModelProto::trainer_spec):
            read_trainer_spec(message.get_message());
            break;
          case as_bytes(ModelProto::normalizer_spec):
            read_normalizer_spec(message.get_message());
            break;
          default:
            message.skip();
        }
      }
    } catch (const protozero::exception& exception) {
      fail(std::string("not a sentencepiece model, or damaged: ") + exception.what());
    }
    check();
    return std::move(model_);
  }

 private:
  [[noreturn]] void fail(const std::string& reason) const {
    throw Error(ErrorKind::InvalidTokenizer, origin_ + ": " + reason);
  }

  std::string text(const protozero::data_view& view, std::string_view field) const {
    if (!is_valid_utf8({view.data(), view.size()})) fail(std::string(field) + " is not valid UTF-8");
    return {view.data(), view.size()};
  }

  SentencePiece read_piece(Message<SentencePieceProto> message) const {
    SentencePiece result;
    while (message.next()) {
      switch (message.tag_and_type()) {
        case as_bytes(SentencePieceProto::piece):
          result.piece = text(message.get_view(), "piece " + std::to_string(model_.pieces.size()));
          break;
        case as_fixed32(SentencePieceProto::score):
          result.score = message.get_float();
          break;
        case as_varint(SentencePieceProto::type):
          result.type = piece_type(message.get_int32());
          break;
        default:
          message.skip();
      }
    }
    return result;
  }

  PieceType piece_type(std::int32_t value) const {
    if (value < 1 || value > 6) {
      fail("piece " + std::to_string(model_.pieces.size()) + " has the unknown type " + std::to_string(value));
    }
    return static_cast<PieceType>(value);
  }

  void read_trainer_spec(Message<TrainerSpec> message) {
    while (message.next()) {
      switch (message.tag_and_type()) {
        case as_varint(TrainerSpec::model_type): {
          const std::int32_t value = message.get_int32();
          if (value < 1 || value > 4) fail("trainer_spec.model_type is the unknown value " + std::to_string(value));
          model_.algorithm = static_cast<SentencePieceAlgorithm>(value);
          break;
        }
        case as_varint(TrainerSpec::byte_fallback):
          model_.byte_fallback = message.get_bool();
          break;
        case as_varint(TrainerSpec::unk_id):
          model_.unk_id = message.get_int32();
          break;
        case as_varint(TrainerSpec::treat_whitespace_as_suffix):
          model_.treat_whitespace_as_suffix = message.get_bool();
          break;
        case as_bytes(TrainerSpec::unk_surface):
          model_.unk_surface = text(message.get_view(), "trainer_spec.unk_surface");
          break;
        case as_bytes(TrainerSpec::unk_piece):
          model_.unk_piece = text(message.get_view(), "trainer_spec.unk_piece");
          break;
        default:
          message.skip();
      }
    }
  }

  void read_normalizer_spec(Message<NormalizerSpec> message) {
    while (message.next()) {
      switch (message.tag_and_type()) {
        case as_bytes(NormalizerSpec::precompiled_charsmap):
          model_.precompiled_charsmap = message.get_string();
          break;
        case as_varint(NormalizerSpec::add_dummy_prefix):
          model_.add_dummy_prefix = message.get_bool();
          break;
        case as_varint(NormalizerSpec::remove_extra_whitespaces):
          model_.remove_extra_whitespaces = message.get_bool();
          break;
        default:
          message.skip();
      }
    }
  }

  void check() const {
    if (model_.pieces.empty()) fail("holds no pieces: not a sentencepiece model");
    std::unordered_set<std::string_view> seen;
    seen.reserve(model_.pieces.size());
    std::size_t unknown_pieces = 0;
    for (std::size_t id = 0; id < model_.pieces.size(); ++id) {
      const SentencePiece& piece = model_.pieces[id];
      if (piece.piece.empty()) fail("piece " + std::to_string(id) + " is empty");
      if (!std::isfinite(piece.score)) fail("the score of piece " + std::to_string(id) + " is not a finite number");
      if (!seen.insert(piece.piece).second) fail("two pieces are " + quote_json(piece.piece));
      if (piece.type == PieceType::Unknown) ++unknown_pieces;
    }
    if (unknown_pieces != 1) {
      fail("must have one piece of the type UNKNOWN, has " + std::to_string(unknown_pieces));
    }
    if (model_.unk_id < 0 || static_cast<std::size_t>(model_.unk_id) >= model_.pieces.size()) {
      fail("trainer_spec.unk_id " + std::to_string(model_.unk_id) + " is no piece's");
    }
  }

  std::string origin_;
  SentencePieceModel model_;
};

}  // namespace

SentencePieceModel read_sentencepiece_model(std::string_view bytes, std::string_view origin) {
  return Reader(origin).read(bytes);
}

}  // namespace onnxport::tokenizers
