#include "cli/run_output.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

namespace onnxport::cli {
namespace {

std::string text_of(const Json& object, std::string_view name) {
  const Json* member = object.find(name);
  return member != nullptr && member->is_string() ? member->string() : "";
}

double number_of(const Json& object, std::string_view name) {
  const Json* member = object.find(name);
  return member != nullptr && member->is_number() ? member->number() : 0;
}

std::string score_of(const Json& object) { return fmt::format("{:.4f}", number_of(object, "score")); }

std::string place_of(const Json& object) {
  return fmt::format("{:.0f}-{:.0f}", number_of(object, "start"), number_of(object, "end"));
}

/// Every element of a list, or the one that stands alone.
std::vector<Json> elements(const Json& output) {
  return output.is_array() ? output.array() : std::vector<Json>{output};
}

std::string format_labels(const Json& output) {
  std::string text;
  for (const Json& label : elements(output)) text += fmt::format("{}  {}\n", score_of(label), text_of(label, "label"));
  return text;
}

std::string format_entities(const Json& output) {
  std::string text;
  for (const Json& entity : elements(output))
    text += fmt::format("{}  {:<8}  {:<9}  {}\n", score_of(entity),
                        text_of(entity, "entity") + text_of(entity, "entity_group"), place_of(entity),
                        text_of(entity, "word"));
  return text;
}

std::string format_answers(const Json& output) {
  std::string text;
  for (const Json& answer : elements(output))
    text += fmt::format("{}  {:<9}  {}\n", score_of(answer), place_of(answer), text_of(answer, "answer"));
  return text.empty() ? "no answer\n" : text;
}

std::string format_fills(const Json& output) {
  std::string text;
  for (const Json& element : elements(output)) {
    if (element.is_array()) {  // several masks: one list for each
      text += (text.empty() ? "" : "\n") + format_fills(element);
      continue;
    }
    text +=
        fmt::format("{}  {:<12}  {}\n", score_of(element), text_of(element, "token_str"), text_of(element, "sequence"));
  }
  return text;
}

std::string format_zero_shot(const Json& output) {
  std::string text;
  const Json::Array& labels = output.find("labels")->array();
  const Json::Array& scores = output.find("scores")->array();
  for (std::size_t i = 0; i < labels.size(); ++i)
    text += fmt::format("{:.4f}  {}\n", scores[i].number(), labels[i].string());
  return text;
}

std::string format_similarities(const Json& input, const Json& output) {
  std::string text;
  const Json::Array& sentences = input.find("sentences")->array();
  for (std::size_t i = 0; i < output.array().size(); ++i)
    text += fmt::format("{:7.4f}  {}\n", output.array()[i].number(), sentences[i].string());
  return text;
}

/// The first values of a list of numbers.
std::string format_numbers(const Json& numbers) {
  constexpr std::size_t shown = 8;
  std::string text;
  const Json::Array& values = numbers.array();
  for (std::size_t i = 0; i < std::min(shown, values.size()); ++i) text += fmt::format(" {:8.4f}", values[i].number());
  return text + (values.size() > shown ? " ..." : "");
}

std::string format_embedding(const Json& output) {
  return fmt::format("({}){}\n", output.array().size(), format_numbers(output));
}

/// A line for each token.
std::string format_features(const Json& output) {
  const Json::Array& tokens = output.array().front().array();
  std::string text = fmt::format("(1, {}, {})\n", tokens.size(), tokens.empty() ? 0 : tokens.front().array().size());
  for (const Json& token : tokens) text += format_numbers(token) + "\n";
  return text;
}

}  // namespace

std::string format_output(std::string_view task, const Json& input, const Json& output) {
  if (task == "text-classification") return format_labels(output);
  if (task == "token-classification") return format_entities(output);
  if (task == "question-answering") return format_answers(output);
  if (task == "fill-mask") return format_fills(output);
  if (task == "zero-shot-classification") return format_zero_shot(output);
  if (task == "sentence-similarity") return format_similarities(input, output);
  if (task == "embeddings") return format_embedding(output);
  return format_features(output);
}

}  // namespace onnxport::cli
