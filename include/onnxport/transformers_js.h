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
/// | int8, uint8 | model_int8.onnx, model_uint8.onnx | dynamic quantization, weights signed or unsigned |
/// | q8 | model_quantized.onnx | as int8; as uint8 if there are convolutions, which ONNX Runtime Web has only so |
/// | q4 | model_q4.onnx | weights of 4 bits, blocks of 32, symmetric |
/// | q4f16 | model_q4f16.onnx | the same of the float16 model |
/// | bnb4 | model_bnb4.onnx | weights in NF4, blocks of 64 |
///
/// A quantized file whose model has no weight of the kind that its dtype quantizes equals the one that it is made from.
/// config.json says in transformers.js_config which files have external data. `dtype` of the options must be fp32.
/// Throws what export_onnx throws; Error(InvalidArgument) for options that contradict the layout;
/// Error(UnsupportedTask) for an encoder-decoder without a cache, which the library does not load.
ExportResult export_transformers_js(const ExportOptions& options);

}  // namespace onnxport
