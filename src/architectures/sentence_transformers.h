#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "architectures/build.h"

namespace onnxport {

/// One entry of a sentence-transformers directory's modules.json.
struct SentenceModule {
  std::string type;            ///< the Python class: "sentence_transformers.models.Pooling"
  std::filesystem::path path;  ///< inside the directory: "1_Pooling"; empty for the directory itself

  /// The class without its Python module: "Pooling".
  std::string class_name() const { return type.substr(type.rfind('.') + 1); }
};

/// True for a directory of a SentenceTransformer, by the rule of Optimum: it has a config_sentence_transformers.json or
/// any file that begins with "sentence_"; modules.json likewise. False for one of a CrossEncoder, which is a
/// transformer with a head for text-classification.
bool is_sentence_transformer(const std::filesystem::path& directory);

/// The modules of modules.json; those of a directory without one are a transformer and mean pooling, as
/// SentenceTransformer has it. Throws Error(InvalidCheckpoint) if the file is not a list of modules inside the
/// directory.
std::vector<SentenceModule> sentence_modules(const std::filesystem::path& directory);

/// Where the transformer of such a directory lies: the directory itself, or a folder such as 0_Transformer.
/// Throws Error(UnsupportedArchitecture) if the first module is no transformer.
std::filesystem::path transformer_directory(const std::filesystem::path& directory);

/// The modules of modules.json as one graph over an encoder's feature-extraction: inputs input_ids and attention_mask
/// (batch_size, sequence_length); outputs token_embeddings (batch_size, sequence_length, hidden_size) and
/// sentence_embedding (batch_size, embedding size). `checkpoint` is that of transformer_directory().
/// Throws Error(UnsupportedArchitecture) naming a module or option that is not implemented, and as build_task().
BuiltTask build_sentence_transformer(const std::filesystem::path& directory, const Checkpoint& checkpoint,
                                     const Architecture& architecture, const DimBindings& sizes = {},
                                     const OutputRequest& outputs = {});

}  // namespace onnxport
