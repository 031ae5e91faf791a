#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "core/parallel_for.h"
#include "onnxport/pipeline.h"
#include "pipelines/engine.h"
#include "runtime/model_directory.h"

/// The run of a pipeline, the same for all tasks. Each task's .cpp includes this, specializes Steps and instantiates
/// TaskPipeline.
namespace onnxport::pipelines {

/// What a task does around the model:
///
///     static ORTModel open_model(const std::filesystem::path&, const ORTModelOptions&);
///     Steps(const ORTModel&, const PreTrainedTokenizer&, const std::filesystem::path&);
///     std::vector<std::string> output_names() const;                           the model's outputs that it needs
///     static std::size_t size_of(const Input&);                                bytes of text
///     static constexpr std::size_t window_bytes;                               of the texts that are read ahead
///     std::vector<Encoding> preprocess(const Input&, const Options&) const;    the rows of an input
///     using RowResult = ...;                                                   what is kept of a row's outputs
///     RowResult reduce(const Input&, const Options&, const Encoding&, const RowOutput&) const;
///     Output postprocess(const Input&, const Options&, std::span<const Encoding>, std::span<RowResult>) const;
///
/// All of them may throw; they are called from several threads.
template <typename Task>
class Steps;

template <typename Task>
struct TaskState {
  TaskState(ORTModel model, const PreTrainedTokenizer& tokenizer, const std::filesystem::path& directory,
            const PipelineOptions& options)
      : steps(model, tokenizer, directory), engine(std::move(model), tokenizer, options, steps.output_names()) {}

  Steps<Task> steps;
  Engine engine;
};

/// An input on its way.
template <typename Task>
struct Work {
  typename Task::Input input;
  std::shared_ptr<const typename Task::Options> options;
  std::vector<Encoding> rows{};
  std::vector<typename Steps<Task>::RowResult> results{};
  std::optional<typename Task::Output> output{};
  std::exception_ptr error{};
};

/// Calls a function and keeps what it throws.
template <typename Function>
std::exception_ptr caught(const Function& function) {
  try {
    function();
    return nullptr;
  } catch (...) {
    return std::current_exception();
  }
}

template <typename Task>
void preprocess(const TaskState<Task>& state, std::span<Work<Task>> window) {
  parallel_for(static_cast<std::int64_t>(window.size()), 1, [&](std::int64_t begin, std::int64_t end) {
    for (Work<Task>& work : window.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)))
      work.error = caught([&] {
        work.rows = state.steps.preprocess(work.input, *work.options);
        work.results.resize(work.rows.size());
      });
  });
}

template <typename Task>
void forward(const TaskState<Task>& state, std::span<Work<Task>> window) {
  struct Place {
    Work<Task>* work;
    std::size_t row;
  };
  std::vector<Place> places;
  std::vector<const Encoding*> rows;
  for (Work<Task>& work : window) {
    if (work.error) continue;
    for (std::size_t row = 0; row < work.rows.size(); ++row) {
      places.push_back({&work, row});
      rows.push_back(&work.rows[row]);
    }
  }
  const auto errors = state.engine.run(rows, [&](std::size_t i, const RowOutput& output) {
    const auto [work, row] = places[i];
    work->results[row] = state.steps.reduce(work->input, *work->options, work->rows[row], output);
  });
  for (std::size_t i = errors.size(); i-- > 0;)  // an input's first row tells best
    if (errors[i]) places[i].work->error = errors[i];
}

template <typename Task>
void postprocess(const TaskState<Task>& state, std::span<Work<Task>> window) {
  parallel_for(static_cast<std::int64_t>(window.size()), 1, [&](std::int64_t begin, std::int64_t end) {
    for (Work<Task>& work : window.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin))) {
      if (work.error) continue;
      work.error = caught([&] {
        work.output = state.steps.postprocess(work.input, *work.options, work.rows, std::span(work.results));
      });
    }
  });
}

template <typename Task>
void run_window(const TaskState<Task>& state, std::span<Work<Task>> window) {
  preprocess(state, window);
  forward(state, window);
  postprocess(state, window);
}

constexpr std::size_t kLargestWindow = 4096;

/// TaskPipeline::stream with windows of `items` inputs, then of twice as many, up to kLargestWindow.
template <typename Task>
void run_windows(const TaskState<Task>& state, std::size_t items,
                 const std::function<std::optional<typename TaskPipeline<Task>::Item>()>& next,
                 const std::function<void(typename Task::Output)>& emit) {
  for (bool has_more = true; has_more; items = std::min(items * 2, kLargestWindow)) {
    std::vector<Work<Task>> window;
    const std::exception_ptr reading_error = caught([&] {
      for (std::size_t bytes = 0; window.size() < items && bytes < Steps<Task>::window_bytes;) {
        auto item = next();
        has_more = item.has_value();
        if (!has_more) break;
        bytes += Steps<Task>::size_of(item->input);
        window.push_back({.input = std::move(item->input), .options = std::move(item->options)});
      }
    });
    run_window<Task>(state, window);
    for (Work<Task>& work : window) {
      if (work.error) std::rethrow_exception(work.error);
      emit(std::move(*work.output));
    }
    if (reading_error) std::rethrow_exception(reading_error);
  }
}

}  // namespace onnxport::pipelines

namespace onnxport {

template <typename Task>
TaskPipeline<Task>::TaskPipeline(const std::filesystem::path& model, const PipelineOptions& options) {
  using Steps = pipelines::Steps<Task>;
  const auto [directory, is_checkpoint] = find_model(model, options.model_options);
  ORTModelOptions model_options = pipelines::model_options(options);
  model_options.export_ = is_checkpoint;
  // The tokenizer first: it is quick to say that it is missing.
  const PreTrainedTokenizer tokenizer = AutoTokenizer::from_pretrained(directory);
  state_ = std::make_shared<const pipelines::TaskState<Task>>(Steps::open_model(directory, model_options), tokenizer,
                                                              directory, options);
}

template <typename Task>
void TaskPipeline<Task>::stream(const std::function<std::optional<Item>()>& next,
                                const std::function<void(Output)>& emit) const {
  // The first outputs come soon; later many inputs at a time sort well.
  const std::size_t workers = static_cast<std::size_t>(state_->engine.workers());
  pipelines::run_windows<Task>(*state_, std::max<std::size_t>(32, workers), next, emit);
}

template <typename Task>
typename Task::Output TaskPipeline<Task>::operator()(const Input& input, const Options& options) const {
  return std::move((*this)(std::span(&input, 1), options).front());
}

template <typename Task>
std::vector<typename Task::Output> TaskPipeline<Task>::operator()(std::span<const Input> inputs,
                                                                  const Options& options) const {
  const auto shared_options = std::make_shared<const Options>(options);
  std::vector<Output> outputs;
  outputs.reserve(inputs.size());
  std::size_t next = 0;
  pipelines::run_windows<Task>(
      *state_, pipelines::kLargestWindow,
      [&]() -> std::optional<Item> {
        if (next == inputs.size()) return std::nullopt;
        return Item{inputs[next++], shared_options};
      },
      [&](Output output) { outputs.push_back(std::move(output)); });
  return outputs;
}

template <typename Task>
const PreTrainedTokenizer& TaskPipeline<Task>::tokenizer() const {
  return state_->engine.tokenizer();
}

template <typename Task>
const ORTModel& TaskPipeline<Task>::model() const {
  return state_->engine.model();
}

}  // namespace onnxport
