#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

/// Checkpoints with random weights at real dimensions: what an export costs does not depend on the values.
namespace onnxport::bench {

/// The shape of a model; all families that are measured have it.
struct ModelSize {
  std::int64_t hidden = 768;
  std::int64_t layers = 12;
  std::int64_t heads = 12;
  std::int64_t feed_forward = 3072;
  std::int64_t vocabulary = 30522;
};

enum class Family { Bert, DistilBert, Gpt2 };

struct CheckpointDescription {
  std::string name;  ///< of its directory, and in tables
  Family family = Family::Bert;
  std::string task;
  ModelSize size{};
};

/// distilbert-base with a question-answering head (265 MB), bert-base with a classifier (438 MB), and the latter at
/// 1.1 billion parameters (4.5 GB).
std::span<const CheckpointDescription> checkpoint_descriptions();
const CheckpointDescription& distilbert_base();
const CheckpointDescription& bert_base();
const CheckpointDescription& bert_1b();
/// Decoders, which are no part of the list: GPT-2 (500 MB), and the same at 1.1 billion parameters (4.4 GB).
const CheckpointDescription& gpt2();
const CheckpointDescription& gpt2_1b();

/// Those of `candidates` that the command line names, all if it names none. Throws Error(InvalidArgument) for a name
/// that is none of theirs.
std::vector<CheckpointDescription> chosen(std::span<const CheckpointDescription> candidates,
                                          std::span<const std::string> names);

/// Makes a checkpoint as save_pretrained would, unless an earlier run left it; its weights are never in memory as a
/// whole. Returns its directory.
std::filesystem::path make_checkpoint(const CheckpointDescription& description);

std::filesystem::path weights_file(const std::filesystem::path& checkpoint);

}  // namespace onnxport::bench
