#include "pipelines/engine.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <numeric>
#include <thread>

#include "core/parallel_for.h"
#include "core/tensor_source.h"
#include "onnxport/error.h"
#include "pipelines/batches.h"
#include "pipelines/model_head.h"

namespace onnxport::pipelines {
namespace {

/// Families in which padding reaches what is not padding, mask or no mask: convolutions over the sequence, embeddings
/// of neighbours, landmarks and blocks that are cut by its length. Python's pipelines run row by row, so theirs is the
/// result without padding.
constexpr std::array<std::string_view, 4> kPaddingSensitive{"big_bird", "convbert", "mobilebert", "nystromformer"};

bool is_padding_sensitive(const Json& config) {
  const Json* model_type = config.find("model_type");
  return model_type != nullptr && model_type->is_string() &&
         std::find(kPaddingSensitive.begin(), kPaddingSensitive.end(), model_type->string()) != kPaddingSensitive.end();
}

bool has_input(const ORTModel& model, std::string_view name) {
  return std::any_of(model.inputs().begin(), model.inputs().end(),
                     [&](const auto& input) { return input.name == name; });
}

int worker_count(const PipelineOptions& options) {
  if (options.num_workers < 0)
    throw Error(ErrorKind::InvalidArgument, "num_workers is " + std::to_string(options.num_workers) +
                                                "; it must be positive, or 0 for one for each core");
  if (options.num_workers > 0) return options.num_workers;
  return std::max(1, thread_count() / std::max(1, options.model_options.session_options.intra_op_num_threads));
}

/// int64 (rows, length), filled with `padding` behind the values of each row.
Array padded(std::span<const Encoding* const> rows, std::size_t length, std::int64_t padding,
             std::vector<std::uint32_t> Encoding::*member) {
  Array array(DataType::Int64, {static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(length)});
  auto* out = array.mutable_data<std::int64_t>();
  for (const Encoding* row : rows) {
    const std::vector<std::uint32_t>& values = row->*member;
    std::fill(std::copy(values.begin(), values.end(), out), out + length, padding);
    out += length;
  }
  return array;
}

/// How many of a row's first tokens attend to all others in Longformer, whose classes say it when they are not told:
/// the first one of a classifier, the question of a reader.
std::size_t global_tokens(const Encoding& row, std::string_view architecture, std::optional<std::uint32_t> separator) {
  if (architecture.ends_with("ForSequenceClassification")) return 1;
  if (!architecture.ends_with("ForQuestionAnswering") || !separator) return 0;
  return static_cast<std::size_t>(std::find(row.ids.begin(), row.ids.end(), *separator) - row.ids.begin());
}

NamedArrays as_float32(NamedArrays outputs) {
  for (auto& [name, array] : outputs)
    if (array.data_type() != DataType::Float32) array = materialize(cast(from_array(array), DataType::Float32));
  return outputs;
}

/// Calls work(worker's turn) until no turn is left, on the workers' threads, this one among them.
void on_workers(std::size_t turns, int workers, const std::function<void(std::size_t)>& work) {
  std::atomic<std::size_t> next = 0;
  const auto take_turns = [&] {
    for (std::size_t turn = next.fetch_add(1); turn < turns; turn = next.fetch_add(1)) work(turn);
  };
  std::vector<std::jthread> threads;
  const std::size_t wanted = std::min(turns, static_cast<std::size_t>(workers));
  for (std::size_t i = 1; i < wanted; ++i) threads.emplace_back(take_turns);
  take_turns();
}

}  // namespace

// ---- RowOutput ------------------------------------------------------------------------------------------------------

const Array& RowOutput::find(std::string_view name) const {
  for (const auto& [output, array] : outputs_)
    if (output == name) return array;
  throw Error(ErrorKind::InvalidModel, "the model has no output " + quote_json(name));
}

std::span<const float> RowOutput::per_row(std::string_view name) const {
  const Array& array = find(name);
  const auto size = static_cast<std::size_t>(array.element_count() / array.shape().at(0));
  return {array.data<float>() + row_ * size, size};
}

std::span<const float> RowOutput::per_token(std::string_view name) const {
  const Array& array = find(name);
  const std::span<const float> values = per_row(name);
  const auto padded_length = array.rank() < 2 ? 0 : static_cast<std::size_t>(array.shape()[1]);
  if (padded_length < length_)
    throw Error(ErrorKind::InvalidModel, "the model's output " + quote_json(name) + " has the shape " +
                                             shape_to_string(array.shape()) + " and not one entry for each token");
  return values.first(values.size() / padded_length * length_);
}

// ---- Engine ---------------------------------------------------------------------------------------------------------

Engine::Engine(ORTModel model, PreTrainedTokenizer tokenizer, const PipelineOptions& options,
               std::vector<std::string> output_names)
    : model_(std::move(model)),
      tokenizer_(std::move(tokenizer)),
      output_names_(std::move(output_names)),
      workers_(worker_count(options)),
      batch_size_(options.batch_size),
      has_global_attention_(has_input(model_, "global_attention_mask")),
      architecture_(architecture_of(model_.config())) {
  const std::vector<std::string>& names = tokenizer_.model_input_names();
  has_token_type_ids_ = std::find(names.begin(), names.end(), "token_type_ids") != names.end();
  can_pad_ = tokenizer_.pad_token_id() && has_input(model_, "attention_mask") && !is_padding_sensitive(model_.config());
}

NamedArrays Engine::run_batch(std::span<const Encoding* const> rows) const {
  std::size_t length = 0;
  for (const Encoding* row : rows) length = std::max(length, row->size());
  // Padding stands on the right whatever the tokenizer's side: positions are then those of the row alone.
  NamedArrays inputs{{"input_ids", padded(rows, length, tokenizer_.pad_token_id().value_or(0), &Encoding::ids)},
                     {"attention_mask", padded(rows, length, 0, &Encoding::attention_mask)}};
  if (has_token_type_ids_) inputs.emplace_back("token_type_ids", padded(rows, length, 0, &Encoding::type_ids));
  if (has_global_attention_) inputs.emplace_back("global_attention_mask", global_attention_mask(rows, length));
  return as_float32(model_.run(inputs, output_names_));
}

Array Engine::global_attention_mask(std::span<const Encoding* const> rows, std::size_t length) const {
  Array mask(DataType::Int64, {static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(length)});
  auto* out = mask.mutable_data<std::int64_t>();
  for (const Encoding* row : rows) {
    const std::size_t count = global_tokens(*row, architecture_, tokenizer_.special_token_id("sep_token"));
    std::fill(std::fill_n(out, count, 1), out + length, 0);
    out += length;
  }
  return mask;
}

std::vector<std::exception_ptr> Engine::run(
    std::span<const Encoding* const> rows,
    const std::function<void(std::size_t row, const RowOutput&)>& consume) const {
  std::vector<std::size_t> order(rows.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return rows[a]->size() > rows[b]->size(); });
  std::vector<const Encoding*> sorted;
  std::vector<std::size_t> lengths;
  for (const std::size_t row : order) {
    sorted.push_back(rows[row]);
    lengths.push_back(rows[row]->size());
  }

  std::vector<std::exception_ptr> errors(rows.size());
  const auto run_rows = [&](Batch batch) {
    const NamedArrays outputs = run_batch(std::span(sorted).subspan(batch.begin, batch.end - batch.begin));
    for (std::size_t i = batch.begin; i < batch.end; ++i) {
      try {
        consume(order[i], RowOutput(outputs, i - batch.begin, lengths[i]));
      } catch (...) {
        errors[order[i]] = std::current_exception();
      }
    }
  };
  // A row that the model refuses must not take the others of its batch along.
  const auto run_alone = [&](std::size_t row) {
    try {
      run_rows({row, row + 1});
    } catch (...) {
      errors[order[row]] = std::current_exception();
    }
  };
  const std::vector<Batch> batches = make_batches(
      lengths, {.batch_size = batch_size_, .can_pad = can_pad_, .workers = static_cast<std::size_t>(workers_)});
  on_workers(batches.size(), workers_, [&](std::size_t turn) {
    const Batch batch = batches[turn];
    try {
      run_rows(batch);
    } catch (...) {
      for (std::size_t row = batch.begin; row < batch.end; ++row) run_alone(row);
    }
  });
  return errors;
}

ORTModelOptions model_options(const PipelineOptions& options) {
  ORTModelOptions result = options.model_options;
  if (result.session_options.intra_op_num_threads == 0) result.session_options.intra_op_num_threads = 1;
  return result;
}

}  // namespace onnxport::pipelines
