#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "architectures/registry.h"

namespace onnxport {

/// The task names of Optimum, without "-with-past".
std::span<const std::string_view> task_names();

/// The canonical name of a task or synonym ("masked-lm" is fill-mask, "causal-lm-with-past" is
/// text-generation-with-past). Throws Error(UnsupportedTask) with the nearest names for an unknown one.
std::string canonical_task(std::string_view name);

/// All synonyms of a canonical task, for messages.
std::vector<std::string> task_synonyms(std::string_view task);

/// The task that a checkpoint was trained for, by `architectures` of its config: the class' task, with its cache where
/// it has one; feature-extraction for a class without a known head.
std::string infer_task(const Architecture& architecture, const Config& config);

}  // namespace onnxport
