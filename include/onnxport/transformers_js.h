#pragma once

#include "onnxport/exporter.h"

namespace onnxport {

/// Exports a checkpoint as the JavaScript library transformers.js (@huggingface/transformers) loads it: the files
/// beside the model at the root of `options.output`, and in its folder onnx/ each model (model; of an encoder-decoder
/// encoder_model and decoder_model_merged) once for each of the library's dtypes that is made here:
///
/// | dtype | file | what it is |
/// | --- | --- | --- |
/// | fp32 | model.onnx | validated as always |
/// | fp16 | model_fp16.onnx | float16 inside, float32 inputs and outputs; validated, differences are warnings |
/// | bnb4 | model_bnb4.onnx | weights in NF4, blocks of 64 |
///
/// config.json says in transformers.js_config which files have external data. `dtype` of the options must be fp32.
/// Throws what export_onnx throws; Error(InvalidArgument) for options that contradict the layout;
/// Error(UnsupportedTask) for an encoder-decoder without a cache, which the library does not load.
ExportResult export_transformers_js(const ExportOptions& options);

}  // namespace onnxport
