// fill-mask, after transformers/pipelines/fill_mask.py.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "onnxport/error.h"
#include "pipelines/json_form.h"
#include "pipelines/model_head.h"
#include "pipelines/task_pipeline.h"

namespace onnxport {
namespace pipelines {
namespace {

struct ScoredToken {
  std::uint32_t token;
  float score;
};

/// The `count` tokens of the best probabilities among the candidates, best first; all tokens are candidates if there
/// are none.
std::vector<ScoredToken> best_tokens(std::span<const float> logits, std::span<const std::uint32_t> candidates,
                                     std::size_t count) {
  const float largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  std::vector<std::uint32_t> tokens(candidates.begin(), candidates.end());
  if (tokens.empty()) {
    tokens.resize(logits.size());
    std::iota(tokens.begin(), tokens.end(), std::uint32_t{0});
  }
  count = std::min(count, tokens.size());
  std::partial_sort(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(count), tokens.end(),
                    [&](auto a, auto b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
  std::vector<ScoredToken> best;
  for (std::size_t i = 0; i < count; ++i)
    best.push_back({tokens[i], static_cast<float>(std::exp(logits[tokens[i]] - largest) / sum)});
  return best;
}

}  // namespace

template <>
class Steps<FillMask> {
 public:
  using Input = FillMaskInput;
  using Options = FillMaskOptions;
  using RowResult = std::vector<std::vector<ScoredToken>>;
  static constexpr std::size_t window_bytes = 1 << 20;

  static ORTModel open_model(const std::filesystem::path& model, const ORTModelOptions& options) {
    ORTModel opened = ORTModelForMaskedLM::from_pretrained(model, options);
    require_head(opened, "ForMaskedLM", 3, "fill-mask");
    return opened;
  }
  Steps(const ORTModel&, const PreTrainedTokenizer& tokenizer, const std::filesystem::path&) : tokenizer_(tokenizer) {
    const auto id = tokenizer.mask_token_id();
    if (!id) throw Error(ErrorKind::InvalidTokenizer, "fill-mask: the tokenizer does not define a mask_token");
    mask_id_ = *id;
  }

  std::vector<std::string> output_names() const { return {"logits"}; }
  static std::size_t size_of(const Input& input) { return input.text.size(); }

  std::vector<Encoding> preprocess(const Input& input, const Options& options) const {
    std::vector<Encoding> rows =
        tokenizer_(input.text, {.truncation = options.truncation, .max_length = options.max_length, .threads = 1})
            .encodings();
    const std::vector<std::uint32_t>& ids = rows.front().ids;
    if (std::find(ids.begin(), ids.end(), mask_id_) == ids.end())
      throw Error(
          ErrorKind::InvalidArgument,
          "fill-mask: no mask_token (" + tokenizer_.special_token("mask_token").value_or("") + ") found on the input");
    return rows;
  }

  RowResult reduce(const Input&, const Options& options, const Encoding& row, const RowOutput& output) const {
    const std::span<const float> logits = output.per_token("logits");
    const std::size_t vocabulary = logits.size() / output.length();
    const std::vector<std::uint32_t> candidates = target_ids(options, vocabulary);
    if (candidates.empty() && options.top_k > vocabulary)
      throw Error(ErrorKind::InvalidArgument, "top_k is " + std::to_string(options.top_k) + ", and the model knows " +
                                                  std::to_string(vocabulary) + " tokens");
    RowResult result;
    for (std::size_t i = 0; i < row.size(); ++i)
      if (row.ids[i] == mask_id_)
        result.push_back(best_tokens(logits.subspan(i * vocabulary, vocabulary), candidates, options.top_k));
    return result;
  }

  std::vector<std::vector<MaskFill>> postprocess(const Input&, const Options&, std::span<const Encoding> rows,
                                                 std::span<RowResult> results) const {
    const std::vector<std::uint32_t>& ids = rows.front().ids;
    const bool is_single = results.front().size() == 1;
    std::vector<std::vector<MaskFill>> masks;
    auto mask = ids.begin();
    for (const std::vector<ScoredToken>& best : results.front()) {
      mask = std::find(mask, ids.end(), mask_id_);
      const auto position = static_cast<std::size_t>(mask++ - ids.begin());
      std::vector<MaskFill>& fills = masks.emplace_back();
      for (const auto& [token, score] : best)
        fills.push_back({.score = score,
                         .token = token,
                         .token_str = tokenizer_.decode(std::span(&token, 1)),
                         .sequence = filled(ids, position, token, is_single)});
    }
    return masks;
  }

 private:
  std::string filled(std::vector<std::uint32_t> ids, std::size_t position, std::uint32_t token, bool is_single) const {
    ids[position] = token;
    if (const auto padding = tokenizer_.pad_token_id()) std::erase(ids, *padding);
    // Of several masks the others must stay visible.
    return tokenizer_.decode(ids, is_single);
  }

  std::vector<std::uint32_t> target_ids(const Options& options, std::size_t vocabulary) const {
    if (!options.targets) return {};
    std::set<std::uint32_t> ids;
    for (const std::string& target : *options.targets)
      if (const auto id = target_id(target)) ids.insert(*id);
    std::erase_if(ids, [&](std::uint32_t id) { return id >= vocabulary; });
    if (ids.empty())
      throw Error(ErrorKind::InvalidArgument, "fill-mask: at least one target that the model knows must be provided");
    return {ids.begin(), ids.end()};
  }

  /// The token, or the first one of a word that is none.
  std::optional<std::uint32_t> target_id(const std::string& target) const {
    if (const auto id = tokenizer_.backend_tokenizer().token_to_id(target)) return id;
    const BatchEncoding tokens = tokenizer_(
        target,
        {.add_special_tokens = false, .truncation = TruncationStrategy::LongestFirst, .max_length = 1, .threads = 1});
    const std::vector<std::uint32_t>& ids = tokens.encodings().front().ids;
    return ids.empty() ? std::nullopt : std::optional(ids.front());
  }

  PreTrainedTokenizer tokenizer_;
  std::uint32_t mask_id_ = 0;
};

template <>
struct JsonForm<FillMask> {
  static constexpr std::string_view task = "fill-mask";

  static FillMaskOptions options(OptionReader& reader) {
    FillMaskOptions options;
    options.top_k = reader.size("top_k").value_or(options.top_k);
    options.targets = reader.texts("targets");
    const Json* given = reader.find("tokenizer_kwargs");
    const Json tokenizer_kwargs = given == nullptr ? Json{} : *given;
    OptionReader tokenizer_reader(tokenizer_kwargs);
    options.truncation = tokenizer_reader.truncation();
    options.max_length = tokenizer_reader.size("max_length", 1);
    tokenizer_reader.finish("fill-mask's tokenizer_kwargs");
    return options;
  }

  static FillMaskInput input(const Json& json, const FillMaskOptions&, const Json&) {
    return {.text = text_input(json, task)};
  }

  static Json output(const std::vector<std::vector<MaskFill>>& masks, const Json&) {
    Json::Array list;
    for (const std::vector<MaskFill>& fills : masks) {
      Json::Array best;
      for (const MaskFill& fill : fills)
        best.push_back(Json::Object{{"score", fill.score},
                                    {"token", std::int64_t{fill.token}},
                                    {"token_str", fill.token_str},
                                    {"sequence", fill.sequence}});
      list.push_back(std::move(best));
    }
    if (list.size() == 1) return list.front();
    return list;
  }

  static Json call(const FillMaskPipeline& pipeline, const Json& inputs, const Json& options) {
    Json result = call_one_or_list(pipeline, inputs, options);
    // A list of one text gives what the text alone does.
    if (inputs.is_array() && inputs.array().size() == 1) return result.array().front();
    return result;
  }
};

template Json call_json(const TaskPipeline<FillMask>&, const Json&, const Json&);
template void stream_json(const TaskPipeline<FillMask>&, const std::function<std::optional<Pipeline::Item>()>&,
                          const std::function<void(Json)>&);

}  // namespace pipelines

template class TaskPipeline<FillMask>;

}  // namespace onnxport
