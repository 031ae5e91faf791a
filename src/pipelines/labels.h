#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "onnxport/json.h"

namespace onnxport::pipelines {

/// id2label of config.json; where it is missing, "LABEL_0" and so on for num_labels, which is 2 by default.
/// Throws Error(InvalidCheckpoint) if it is no object from numbers to texts.
std::map<std::int64_t, std::string> id2label(const Json& config);

/// label2id of config.json in its order; where it is missing, the inverse of id2label.
std::vector<std::pair<std::string, std::int64_t>> label2id(const Json& config);

/// The label of an index of the model's outputs. Throws Error(InvalidCheckpoint) for one that id2label lacks.
const std::string& label_of(const std::map<std::int64_t, std::string>& labels, std::size_t index);

void apply_softmax(std::span<float> values);
void apply_sigmoid(std::span<float> values);

/// Index of the first of the largest values.
std::size_t arg_max(std::span<const float> values);

}  // namespace onnxport::pipelines
