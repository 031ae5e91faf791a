#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "onnxport/json.h"
#include "tokenizers/draft.h"
#include "tokenizers/json_field.h"
#include "tokenizers/pre_tokenizers.h"

/// "post_processor" of tokenizer.json. The names are those of its "type".
namespace onnxport::tokenizers {

struct PostProcessor;

struct BertProcessing {
  SpecialToken sep;
  SpecialToken cls;
};

struct RobertaProcessing {
  SpecialToken sep;
  SpecialToken cls;
  bool trim_offsets = true;
  bool add_prefix_space = true;
};

struct TemplateProcessing {
  /// A text, or a special token by its name in special_tokens.
  struct Piece {
    bool is_sequence = false;
    std::size_t sequence = 0;  ///< 0 for A, 1 for B
    std::string special_token{};
    std::uint32_t type_id = 0;
  };
  std::vector<Piece> single;
  std::vector<Piece> pair;
  std::map<std::string, std::vector<SpecialToken>> special_tokens;
};

struct PostProcessorSequence {
  std::vector<PostProcessor> processors;
};

struct PostProcessor {
  std::variant<BertProcessing, RobertaProcessing, TemplateProcessing, ByteLevelPreTokenizer, PostProcessorSequence>
      step;
};

/// Throws Error(InvalidTokenizer) that names the field.
PostProcessor read_post_processor(const JsonField& field);
Json to_json(const PostProcessor& post_processor);

std::size_t added_token_count(const PostProcessor& post_processor, bool is_pair);
/// Whether the drafts must have tokens for offsets to be right.
bool trims_offsets(const PostProcessor& post_processor);

/// A text, or a text and its pair, as one draft. `post_processor` may be null.
Draft post_process(const PostProcessor* post_processor, Draft draft, std::optional<Draft> pair, bool add_special_tokens,
                   DraftFields fields);

}  // namespace onnxport::tokenizers
