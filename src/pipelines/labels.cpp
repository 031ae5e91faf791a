#include "pipelines/labels.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "onnxport/error.h"

namespace onnxport::pipelines {
namespace {

[[noreturn]] void fail(const std::string& what) { throw Error(ErrorKind::InvalidCheckpoint, "config.json: " + what); }

std::int64_t parse_label_id(const std::string& text) {
  std::int64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc{} || end != text.data() + text.size())
    fail("id2label has the key " + quote_json(text) + "; keys are numbers");
  return id;
}

std::map<std::int64_t, std::string> default_labels(const Json& config) {
  constexpr std::int64_t usual = 2, most = 1'000'000;
  const Json* count = config.find("num_labels");
  if (count != nullptr && (!count->is_integer() || count->integer() < 0 || count->integer() > most))
    fail("num_labels is " + dump_json(*count) + "; it is the number of labels");
  std::map<std::int64_t, std::string> labels;
  for (std::int64_t id = 0; id < (count == nullptr ? usual : count->integer()); ++id)
    labels.emplace(id, "LABEL_" + std::to_string(id));
  return labels;
}

}  // namespace

std::map<std::int64_t, std::string> id2label(const Json& config) {
  const Json* stated = config.find("id2label");
  if (stated == nullptr || stated->is_null()) return default_labels(config);
  if (!stated->is_object()) fail("id2label is no object");
  std::map<std::int64_t, std::string> labels;
  for (const auto& [id, label] : stated->object()) {
    if (!label.is_string()) fail("id2label: the label of " + quote_json(id) + " is no text");
    labels.emplace(parse_label_id(id), label.string());
  }
  return labels;
}

std::vector<std::pair<std::string, std::int64_t>> label2id(const Json& config) {
  std::vector<std::pair<std::string, std::int64_t>> labels;
  if (const Json* stated = config.find("label2id"); stated != nullptr && stated->is_object()) {
    for (const auto& [label, id] : stated->object()) {
      if (!id.is_integer()) fail("label2id: the id of " + quote_json(label) + " is no integer");
      labels.emplace_back(label, id.integer());
    }
    return labels;
  }
  for (const auto& [id, label] : id2label(config)) labels.emplace_back(label, id);
  return labels;
}

const std::string& label_of(const std::map<std::int64_t, std::string>& labels, std::size_t index) {
  const auto found = labels.find(static_cast<std::int64_t>(index));
  if (found == labels.end())
    fail("id2label has no label for output " + std::to_string(index) + " of the model, which has more labels");
  return found->second;
}

void apply_softmax(std::span<float> values) {
  if (values.empty()) return;
  const float largest = *std::max_element(values.begin(), values.end());
  float sum = 0;
  for (float& value : values) sum += value = std::exp(value - largest);
  for (float& value : values) value /= sum;
}

void apply_sigmoid(std::span<float> values) {
  for (float& value : values) value = 1.0F / (1.0F + std::exp(-value));
}

std::size_t arg_max(std::span<const float> values) {
  return static_cast<std::size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

}  // namespace onnxport::pipelines
