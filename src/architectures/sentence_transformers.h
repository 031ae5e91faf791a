#pragma once

#include <filesystem>

#include "architectures/build.h"

namespace onnxport {

/// True for a directory that sentence-transformers wrote, by the rule of Optimum: a config_sentence_transformers.json
/// or any file that begins with "sentence_"; modules.json likewise.
bool is_sentence_transformer(const std::filesystem::path& directory);

/// Where the transformer of such a directory lies: the directory itself, or a folder such as 0_Transformer.
std::filesystem::path transformer_directory(const std::filesystem::path& directory);

/// The modules of modules.json as one graph over an encoder's feature-extraction: inputs input_ids and attention_mask
/// (batch_size, sequence_length); outputs token_embeddings (batch_size, sequence_length, hidden_size) and
/// sentence_embedding (batch_size, embedding size). `checkpoint` is that of transformer_directory().
/// Throws Error(UnsupportedArchitecture) naming a module or pooling mode that is not implemented, and as build_task().
BuiltTask build_sentence_transformer(const std::filesystem::path& directory, const Checkpoint& checkpoint,
                                     const Architecture& architecture, const DimBindings& sizes = {});

}  // namespace onnxport
