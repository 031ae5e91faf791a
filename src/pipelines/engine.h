#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/array.h"
#include "onnxport/auto_tokenizer.h"
#include "onnxport/model.h"
#include "onnxport/pipeline.h"

/// Where all pipelines meet: rows of tokens in, a row of the model's outputs out.
namespace onnxport::pipelines {

/// One row of a batch's outputs. The spans live as long as the call that got them.
class RowOutput {
 public:
  RowOutput(const NamedArrays& outputs, std::size_t row, std::size_t length)
      : outputs_(outputs), row_(row), length_(length) {}

  /// Values of an output (batch_size, sequence_length, ...), those of padding left out.
  std::span<const float> per_token(std::string_view name) const;
  /// Values of an output (batch_size, ...).
  std::span<const float> per_row(std::string_view name) const;
  /// Tokens of the row.
  std::size_t length() const { return length_; }

 private:
  const Array& find(std::string_view name) const;

  const NamedArrays& outputs_;
  std::size_t row_;
  std::size_t length_;
};

/// Model and tokenizer, and the workers that run batches.
class Engine {
 public:
  Engine(ORTModel model, PreTrainedTokenizer tokenizer, const PipelineOptions& options,
         std::vector<std::string> output_names);

  const ORTModel& model() const { return model_; }
  const PreTrainedTokenizer& tokenizer() const { return tokenizer_; }
  int workers() const { return workers_; }

  /// Gives every row's outputs to `consume`, on the workers' threads, several at a time and in any order. What fails
  /// for a row, also in `consume`, is put at its place in the result and stops no other.
  std::vector<std::exception_ptr> run(std::span<const Encoding* const> rows,
                                      const std::function<void(std::size_t row, const RowOutput&)>& consume) const;

 private:
  NamedArrays run_batch(std::span<const Encoding* const> rows) const;
  Array global_attention_mask(std::span<const Encoding* const> rows, std::size_t length) const;

  ORTModel model_;
  PreTrainedTokenizer tokenizer_;
  std::vector<std::string> output_names_;
  int workers_;
  std::size_t batch_size_;
  bool has_global_attention_;  ///< of Longformer
  std::string architecture_;
  bool has_token_type_ids_;
  bool can_pad_;
};

/// The model's options with what a pipeline wants where the user has not said otherwise.
ORTModelOptions model_options(const PipelineOptions& options);

}  // namespace onnxport::pipelines
