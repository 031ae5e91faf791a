// token-classification, after transformers/pipelines/token_classification.py.
#include <algorithm>
#include <limits>

#include "onnxport/error.h"
#include "pipelines/code_points.h"
#include "pipelines/json_form.h"
#include "pipelines/labels.h"
#include "pipelines/model_head.h"
#include "pipelines/task_pipeline.h"

namespace onnxport {
namespace pipelines {
namespace {

/// A token with the probability of each label.
struct PreEntity {
  std::string word;
  std::span<const float> scores;
  std::size_t start = 0;
  std::size_t end = 0;
  std::size_t index = 0;
  bool is_subword = false;
};

/// "B-PER" is the beginning of a "PER". What has no such prefix continues.
struct Tag {
  bool is_beginning;
  std::string_view name;
};

Tag tag_of(std::string_view label) {
  if (label.starts_with("B-")) return {true, label.substr(2)};
  if (label.starts_with("I-")) return {false, label.substr(2)};
  return {false, label};
}

/// The label without what stands before its first dash.
std::string group_name(const std::string& label) {
  const std::size_t dash = label.find('-');
  return dash == std::string::npos ? label : label.substr(dash + 1);
}

/// The first of the windows' entities that lie on each other, or a longer one, or an equally long one of a better
/// score.
std::vector<Entity> merge_overlapping(std::vector<Entity> entities) {
  if (entities.empty()) return entities;
  std::stable_sort(entities.begin(), entities.end(), [](const auto& a, const auto& b) { return a.start < b.start; });
  std::vector<Entity> merged;
  Entity previous = entities.front();
  for (const Entity& entity : entities) {
    if (previous.start <= entity.start && entity.start < previous.end) {
      const std::size_t length = entity.end - entity.start, previous_length = previous.end - previous.start;
      if (length > previous_length || (length == previous_length && entity.score > previous.score)) previous = entity;
    } else {
      merged.push_back(std::exchange(previous, entity));
    }
  }
  merged.push_back(std::move(previous));
  return merged;
}

/// The text of an input, and where its words begin in it.
struct Sentence {
  explicit Sentence(const TokenClassificationInput& input, std::string_view delimiter) : text(join(input, delimiter)) {
    if (!input.words) return;
    std::size_t begin = 0;
    for (const std::string& word : *input.words) {
      word_begins.push_back(begin);
      begin += count_code_points(word) + count_code_points(delimiter);
    }
  }

  static std::string join(const TokenClassificationInput& input, std::string_view delimiter) {
    if (!input.words) return input.text;
    std::string joined;
    for (const std::string& word : *input.words)
      joined.append(&word == &input.words->front() ? "" : delimiter).append(word);
    return joined;
  }

  CodePoints text;
  std::vector<std::size_t> word_begins{};
};

}  // namespace

template <>
class Steps<TokenClassification> {
 public:
  using Input = TokenClassificationInput;
  using Options = TokenClassificationOptions;
  /// Probabilities, label by label for each token.
  using RowResult = std::vector<float>;
  static constexpr std::size_t window_bytes = 1 << 20;

  static ORTModel open_model(const std::filesystem::path& model, const ORTModelOptions& options) {
    ORTModel opened = ORTModelForTokenClassification::from_pretrained(model, options);
    require_head(opened, "ForTokenClassification", 3, "token-classification");
    return opened;
  }
  Steps(const ORTModel& model, const PreTrainedTokenizer& tokenizer, const std::filesystem::path&)
      : tokenizer_(tokenizer),
        labels_(id2label(model.config())),
        unknown_id_(tokenizer.special_token_id("unk_token")),
        has_subword_prefix_(!tokenizer.backend_tokenizer().continuing_subword_prefix().empty()) {}

  std::vector<std::string> output_names() const { return {"logits"}; }
  static std::size_t size_of(const Input& input) {
    std::size_t size = input.text.size();
    for (const std::string& word : input.words.value_or(std::vector<std::string>{})) size += word.size();
    return size;
  }

  std::vector<Encoding> preprocess(const Input& input, const Options& options) const {
    check(options);
    TokenizerCallOptions call{.truncation = TruncationStrategy::LongestFirst,
                              .stride = options.stride.value_or(0),
                              .return_overflowing_tokens = options.stride.has_value(),
                              .fields = EncodingFields::Offsets,
                              .threads = 1};
    // A tokenizer that knows of no maximum does not truncate; nor does Python's.
    if (tokenizer_.model_max_length() == std::numeric_limits<std::size_t>::max()) call.truncation.reset();
    if (!input.words) return tokenizer_(input.text, call).encodings();
    const WordsInput words{.words = *input.words};
    return tokenizer_(std::span(&words, 1), call).encodings();
  }

  RowResult reduce(const Input&, const Options&, const Encoding&, const RowOutput& output) const {
    const std::span<const float> logits = output.per_token("logits");
    RowResult scores(logits.begin(), logits.end());
    const std::size_t count = scores.size() / output.length();
    for (std::size_t token = 0; token < output.length(); ++token)
      apply_softmax(std::span(scores).subspan(token * count, count));
    return scores;
  }

  std::vector<Entity> postprocess(const Input& input, const Options& options, std::span<const Encoding> rows,
                                  std::span<RowResult> scores) const {
    const Sentence sentence(input, options.delimiter);
    std::vector<Entity> all;
    for (std::size_t row = 0; row < rows.size(); ++row) {
      const std::vector<PreEntity> tokens = gather(sentence, rows[row], scores[row]);
      for (Entity& entity : aggregate(tokens, options.aggregation_strategy))
        if (std::find(options.ignore_labels.begin(), options.ignore_labels.end(), entity.entity) ==
            options.ignore_labels.end())
          all.push_back(std::move(entity));
    }
    return rows.size() > 1 ? merge_overlapping(std::move(all)) : all;
  }

 private:
  void check(const Options& options) const {
    if (!options.stride) return;
    if (*options.stride >= tokenizer_.model_max_length())
      throw Error(ErrorKind::InvalidArgument, "stride is " + std::to_string(*options.stride) +
                                                  "; it must be less than the tokenizer's " + "model_max_length, " +
                                                  std::to_string(tokenizer_.model_max_length()));
    if (options.aggregation_strategy == AggregationStrategy::None)
      throw Error(ErrorKind::InvalidArgument,
                  "stride needs an aggregation_strategy other than none: choose simple, first, average or max");
  }

  std::vector<PreEntity> gather(const Sentence& sentence, const Encoding& row, std::span<const float> scores) const {
    const std::size_t label_count = scores.size() / row.size();
    std::vector<PreEntity> tokens;
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (row.special_tokens_mask[i] != 0) continue;
      PreEntity token{.word = tokenizer_.convert_ids_to_tokens(row.ids[i]).value_or(""),
                      .scores = scores.subspan(i * label_count, label_count),
                      .start = row.offsets[i].begin,
                      .end = row.offsets[i].end,
                      .index = i};
      if (const std::int32_t word = row.word_ids[i]; !sentence.word_begins.empty() && word != no_index) {
        token.start += sentence.word_begins.at(static_cast<std::size_t>(word));
        token.end += sentence.word_begins.at(static_cast<std::size_t>(word));
      }
      const std::string_view text = sentence.text.slice(token.start, token.end);
      // A model without a prefix for the middle of words does not tell: a word then begins where a space is near.
      if (has_subword_prefix_)
        token.is_subword = count_code_points(token.word) != count_code_points(text);
      else
        token.is_subword = token.start > 0 &&
                           sentence.text.slice(token.start - 1, token.start + 1).find(' ') == std::string_view::npos;
      if (row.ids[i] == unknown_id_) {
        token.word = text;
        token.is_subword = false;
      }
      tokens.push_back(std::move(token));
    }
    return tokens;
  }

  std::vector<Entity> aggregate(std::span<const PreEntity> tokens, AggregationStrategy strategy) const {
    std::vector<Entity> entities;
    if (strategy == AggregationStrategy::None || strategy == AggregationStrategy::Simple) {
      for (const PreEntity& token : tokens) entities.push_back(entity_of(token, token.scores));
    } else {
      for (std::size_t begin = 0, end = 0; begin < tokens.size(); begin = end) {
        for (end = begin + 1; end < tokens.size() && tokens[end].is_subword;) ++end;
        entities.push_back(aggregate_word(tokens.subspan(begin, end - begin), strategy));
      }
    }
    return strategy == AggregationStrategy::None ? entities : group(entities);
  }

  Entity entity_of(const PreEntity& token, std::span<const float> scores) const {
    const std::size_t best = arg_max(scores);
    return {.entity = label_of(labels_, best),
            .score = scores[best],
            .index = token.index,
            .word = token.word,
            .start = token.start,
            .end = token.end};
  }

  /// The tokens of one word as one entity.
  Entity aggregate_word(std::span<const PreEntity> tokens, AggregationStrategy strategy) const {
    std::vector<float> mean;
    std::span<const float> scores = tokens.front().scores;
    if (strategy == AggregationStrategy::Max) {
      const auto best_of = [](const PreEntity& token) { return token.scores[arg_max(token.scores)]; };
      scores = std::max_element(tokens.begin(), tokens.end(), [&](const auto& a, const auto& b) {
                 return best_of(a) < best_of(b);
               })->scores;
    } else if (strategy == AggregationStrategy::Average) {
      mean.assign(scores.size(), 0);
      for (const PreEntity& token : tokens)
        for (std::size_t i = 0; i < mean.size(); ++i) mean[i] += token.scores[i];
      for (float& value : mean) value /= static_cast<float>(tokens.size());
      scores = mean;
    }
    Entity entity = entity_of(tokens.front(), scores);
    std::vector<std::string> words;
    for (const PreEntity& token : tokens) words.push_back(token.word);
    entity.word = tokenizer_.backend_tokenizer().decode_tokens(words);
    entity.end = tokens.back().end;
    return entity;
  }

  /// Neighbours of one kind become one entity.
  std::vector<Entity> group(std::span<const Entity> entities) const {
    std::vector<Entity> groups;
    for (std::size_t begin = 0, end = 0; begin < entities.size(); begin = end) {
      for (end = begin + 1; end < entities.size(); ++end) {
        const Tag tag = tag_of(entities[end].entity);
        if (tag.is_beginning || tag.name != tag_of(entities[end - 1].entity).name) break;
      }
      groups.push_back(group_of(entities.subspan(begin, end - begin)));
    }
    return groups;
  }

  Entity group_of(std::span<const Entity> entities) const {
    std::vector<std::string> words;
    double sum = 0;
    for (const Entity& entity : entities) {
      words.push_back(entity.word);
      sum += entity.score;
    }
    return {.entity = group_name(entities.front().entity),
            .score = sum / static_cast<double>(entities.size()),
            .word = tokenizer_.backend_tokenizer().decode_tokens(words),
            .start = entities.front().start,
            .end = entities.back().end};
  }

  PreTrainedTokenizer tokenizer_;
  std::map<std::int64_t, std::string> labels_;
  std::optional<std::uint32_t> unknown_id_;
  bool has_subword_prefix_;
};

template <>
struct JsonForm<TokenClassification> {
  static constexpr std::string_view task = "token-classification";

  static TokenClassificationOptions options(OptionReader& reader) {
    TokenClassificationOptions options;
    options.aggregation_strategy = strategy(reader.text("aggregation_strategy").value_or("none"));
    if (auto labels = reader.texts("ignore_labels")) options.ignore_labels = std::move(*labels);
    options.stride = reader.size("stride");
    options.delimiter = reader.text("delimiter").value_or(" ");
    reader.boolean("is_split_into_words", false);
    return options;
  }

  static TokenClassificationInput input(const Json& json, const TokenClassificationOptions&, const Json& options) {
    const Json* list = json.find("inputs");
    const Json& given = list == nullptr ? json : *list;
    if (!is_split(options)) return {.text = text_input(given, task)};
    TokenClassificationInput input{.text = {}, .words = std::vector<std::string>{}};
    if (!given.is_array()) refuse_input(given, task, "lists of words where is_split_into_words is true");
    for (const Json& word : given.array()) {
      if (!word.is_string()) refuse_input(given, task, "lists of words where is_split_into_words is true");
      input.words->push_back(word.string());
    }
    return input;
  }

  static Json output(const std::vector<Entity>& entities, const Json&) {
    Json::Array list;
    for (const Entity& entity : entities) {
      Json object;
      object.set(entity.index ? "entity" : "entity_group", entity.entity);
      object.set("score", entity.score);
      if (entity.index) object.set("index", static_cast<std::int64_t>(*entity.index));
      object.set("word", entity.word);
      object.set("start", static_cast<std::int64_t>(entity.start));
      object.set("end", static_cast<std::int64_t>(entity.end));
      list.push_back(std::move(object));
    }
    return list;
  }

  static Json call(const TokenClassificationPipeline& pipeline, const Json& inputs, const Json& options) {
    if (inputs.is_array() && inputs.array().empty())
      throw Error(ErrorKind::InvalidArgument, "token-classification: at least one input is required");
    // One list of words is one input, and gives a list of one nevertheless.
    const auto is_list = [](const Json& input) { return input.is_array(); };
    if (is_split(options) && inputs.is_array() && !std::all_of(inputs.array().begin(), inputs.array().end(), is_list))
      return call_list(pipeline, {inputs}, options);
    return call_one_or_list(pipeline, inputs, options);
  }

 private:
  static bool is_split(const Json& options) {
    const Json* flag = options.find("is_split_into_words");
    return flag != nullptr && flag->is_boolean() && flag->boolean();
  }

  static AggregationStrategy strategy(const std::string& name) {
    if (name == "none") return AggregationStrategy::None;
    if (name == "simple") return AggregationStrategy::Simple;
    if (name == "first") return AggregationStrategy::First;
    if (name == "average") return AggregationStrategy::Average;
    if (name == "max") return AggregationStrategy::Max;
    throw Error(ErrorKind::InvalidArgument,
                "aggregation_strategy is none, simple, first, average or max, not " + quote_json(name));
  }
};

template Json call_json(const TaskPipeline<TokenClassification>&, const Json&, const Json&);
template void stream_json(const TaskPipeline<TokenClassification>&,
                          const std::function<std::optional<Pipeline::Item>()>&, const std::function<void(Json)>&);

}  // namespace pipelines

template class TaskPipeline<TokenClassification>;

}  // namespace onnxport
