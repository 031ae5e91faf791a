#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "onnxport/json.h"
#include "onnxport/pipeline.h"
#include "pipelines/json_calls.h"
#include "pipelines/option_reader.h"

namespace onnxport::pipelines {

/// Arguments and results of a task as JSON, in the shapes of Python:
///
///     static constexpr std::string_view task;
///     static Options options(OptionReader&);
///     static Input input(const Json&, const Options&, const Json& options);   one input
///     static Json output(const Output&, const Json& options);                 one output, as in a list of them
///     static Json call(const TaskPipeline<Task>&, const Json& inputs, const Json& options);   Pipeline::operator()
template <typename Task>
struct JsonForm;

template <typename Task>
typename Task::Options read_options(const Json& options) {
  OptionReader reader(options);
  typename Task::Options result = JsonForm<Task>::options(reader);
  reader.finish(JsonForm<Task>::task);
  return result;
}

/// The outputs of a list of inputs.
template <typename Task>
Json::Array call_list(const TaskPipeline<Task>& pipeline, const Json::Array& inputs, const Json& options) {
  const typename Task::Options typed_options = read_options<Task>(options);
  std::vector<typename Task::Input> typed_inputs;
  typed_inputs.reserve(inputs.size());
  for (const Json& input : inputs) typed_inputs.push_back(JsonForm<Task>::input(input, typed_options, options));
  Json::Array result;
  result.reserve(inputs.size());
  for (const auto& output : pipeline(std::span<const typename Task::Input>(typed_inputs), typed_options))
    result.push_back(JsonForm<Task>::output(output, options));
  return result;
}

/// A list gives a list, anything else one output.
template <typename Task>
Json call_one_or_list(const TaskPipeline<Task>& pipeline, const Json& inputs, const Json& options) {
  if (inputs.is_array()) return call_list(pipeline, inputs.array(), options);
  return std::move(call_list(pipeline, {inputs}, options).front());
}

template <typename Task>
Json call_json(const TaskPipeline<Task>& pipeline, const Json& inputs, const Json& options) {
  return JsonForm<Task>::call(pipeline, inputs, options);
}

template <typename Task>
void stream_json(const TaskPipeline<Task>& pipeline, const std::function<std::optional<Pipeline::Item>()>& next,
                 const std::function<void(Json)>& emit) {
  using Options = typename Task::Options;
  std::shared_ptr<const Json> json_options;
  std::shared_ptr<const Options> options;
  std::deque<std::shared_ptr<const Json>> options_of_inputs;  // of those that have not been emitted
  pipeline.stream(
      [&]() -> std::optional<typename TaskPipeline<Task>::Item> {
        std::optional<Pipeline::Item> item = next();
        if (!item) return std::nullopt;
        // Most inputs have the options of the one before.
        if (!options || *json_options != item->second) {
          options = std::make_shared<const Options>(read_options<Task>(item->second));
          json_options = std::make_shared<const Json>(std::move(item->second));
        }
        auto input = JsonForm<Task>::input(item->first, *options, *json_options);
        options_of_inputs.push_back(json_options);
        return typename TaskPipeline<Task>::Item{std::move(input), options};
      },
      [&](typename Task::Output output) {
        const std::shared_ptr<const Json> given = std::move(options_of_inputs.front());
        options_of_inputs.pop_front();
        emit(JsonForm<Task>::output(output, *given));
      });
}

/// A text, or an object whose only member is a text of that name ("inputs", "text", "sequence").
/// Throws Error(InvalidArgument) that says what the task takes.
std::string text_input(const Json& input, std::string_view task);
/// A member of an input. Throws Error(InvalidArgument) if it is missing or no text.
std::string text_member(const Json& input, std::string_view name, std::string_view task);

[[noreturn]] void refuse_input(const Json& input, std::string_view task, std::string_view wanted);

}  // namespace onnxport::pipelines
