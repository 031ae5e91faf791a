#pragma once

#include <functional>
#include <optional>

#include "onnxport/json.h"
#include "onnxport/pipeline.h"

/// A task's pipeline with arguments and results as JSON. Each task's .cpp instantiates these.
namespace onnxport::pipelines {

template <typename Task>
Json call_json(const TaskPipeline<Task>& pipeline, const Json& inputs, const Json& options);

template <typename Task>
void stream_json(const TaskPipeline<Task>& pipeline, const std::function<std::optional<Pipeline::Item>()>& next,
                 const std::function<void(Json)>& emit);

}  // namespace onnxport::pipelines
