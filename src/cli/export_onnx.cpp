// onnxport export onnx: a checkpoint becomes validated ONNX.
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <fmt/core.h>

#include "cli/architecture_options.h"
#include "cli/commands.h"
#include "cli/hub_options.h"
#include "cli/terminal.h"
#include "onnxport/error.h"
#include "onnxport/exporter.h"
#include "onnxport/json.h"
#include "onnxport/transformers_js.h"

namespace onnxport::cli {
namespace {

namespace fs = std::filesystem;

struct Request {
  ExportOptions options;
  std::string layout = "optimum";
  bool quiet = false;
  bool json = false;
  std::vector<std::string> notes;  ///< answers to options that change nothing here
};

// ---- The options ----------------------------------------------------------------------------------------------------

/// Maps the words of an option to the values of an enumeration.
template <typename Value>
Apply store_choice(Value& target, std::map<std::string, Value> values) {
  return [&target, values = std::move(values)](const std::string& word) { target = values.at(word); };
}

/// An option of Optimum without a meaning here: it is accepted, so that scripts keep working, and answered.
Apply answer(Request& request, std::string line) {
  return [&request, line = std::move(line)](const std::string&) { request.notes.push_back(line); };
}

OptionGroup required_arguments(Request& request) {
  return {
      "Required arguments",
      {{.names = "-m,--model",
        .value = "MODEL",
        .help = "Directory of the checkpoint: config.json and files of weights. Or the id of a model on the Hugging "
                "Face Hub, name or organization/name.",
        .apply = store(request.options.model),
        .required = true},
       {.names = "output",
        .value = "OUTPUT",
        .help = "Directory to write the model to; it is created. What it holds is replaced when all is complete.",
        .apply = store(request.options.output),
        .required = true}}};
}

OptionGroup model_options(Request& request) {
  ExportOptions& options = request.options;
  return {
      "What to export",
      {{"--task", "TASK",
        "The task to export the model for, or a synonym of it. auto takes the one that the checkpoint was trained for, "
        "by the architectures of its config.json. With the suffix -with-past, a text generator is exported with its "
        "key/value cache. `onnxport list` prints the tasks of every architecture.",
        "auto", store(options.task)},
       {"--opset", "N", "ONNX opset version of the model, 13 to 24.", "18", store_integer(options.opset)},
       {"--dtype", "TYPE", "Floating-point type of the model.", "fp32", store(options.dtype), {"fp32", "fp16", "bf16"}},
       {"--monolith", "", "Export the model as a single ONNX file, also where encoder and decoder are usual.", "",
        store_flag(options.monolith)},
       {"--no-post-process", "", "Leave out decoder_model_merged.onnx, the decoders of an encoder-decoder in one file.",
        "", store_flag(options.post_process, false)},
       {"--layout",
        "LAYOUT",
        "Where the files go and which there are: optimum, or transformers.js, which has the models in onnx/ in several "
        "dtypes (model and its _fp16, _int8, _uint8, _quantized, _q4, _q4f16, _bnb4), as that library loads them.",
        "optimum",
        store(request.layout),
        {"optimum", "transformers.js"}},
       {"--variant", "VARIANT",
        "Variant of the weights, as from_pretrained has it: fp16 takes model.fp16.safetensors or "
        "pytorch_model.fp16.bin, "
        "also sharded. Names of Optimum's export variants (default, monolith, split, ...) keep that meaning; of them "
        "there "
        "is default.",
        "default", store(options.variant)},
       {"--framework",
        "FRAMEWORK",
        "Whose weights to read where a checkpoint has both: pt takes safetensors or pytorch_model.bin, tf takes "
        "tf_model.h5.",
        "safetensors, then pytorch_model.bin, then tf_model.h5",
        store(options.framework),
        {"pt", "tf"}},
       {"--library-name",
        "LIBRARY",
        "Library that the checkpoint was made with.",
        "by the files in the directory",
        store(options.library_name),
        {"transformers", "diffusers", "timm", "sentence_transformers"}},
       {"--model-kwargs", "JSON", "JSON object whose members replace those of config.json.", "",
        store(options.model_kwargs)},
       {"--outputs", "NAMES",
        "Outputs of the model, separated by commas, as transformers names them: last_hidden_state, pooler_output, "
        "hidden_states, attentions, logits, ... A name such as hidden_states stands for the outputs of all layers, "
        "hidden_states.0 for one. `onnxport inspect --outputs` prints those that a model has.",
        "those of the task", store_list(options.outputs)},
       {"--pad_token_id", "ID", "Token that pads sequences, if config.json does not say.", "",
        store_integer(options.pad_token_id)},
       {"--no-dynamic-axes", "", "Fix all axes at the sizes given as input shapes.", "",
        store_flag(options.dynamic_axes, false)},
       {"-O,--optimize",
        "LEVEL",
        "Build the model from ONNX Runtime's own fused operators, which no other runtime has: O2 attention and "
        "normalizations, O3 also GELU by its approximation, O4 (with --device cuda) in float16 with float32 inputs and "
        "outputs. O1 is what every export is.",
        "",
        store(options.optimize),
        {"O1", "O2", "O3", "O4"}},
       {"--device", "DEVICE", "Device that the model is for. The export itself runs on the processor.", "cpu",
        store(options.device)}}};
}

OptionGroup hub_group(ExportOptions& options) {
  std::vector<Option> list = hub_options(options.hub);
  list.insert(list.begin() + 1, {"--subfolder", "DIR", "Folder of the model that holds the checkpoint.", "",
                                 store(options.hub.subfolder)});
  list.push_back(
      {"--stream", "",
       "Convert the weights while they are downloaded: the disk holds the output alone, and nothing of them is "
       "left in the cache. The reference reads them back from the model. Needs safetensors files.",
       "", store_flag(options.stream)});
  return {"Models of the Hub", std::move(list)};
}

OptionGroup weight_options(ExportOptions& options) {
  return {"Weights",
          {{"--weights",
            "MODE",
            "copy writes the weights with the model. reference leaves them in the checkpoint's file, which is "
            "hard-linked or cloned beside the model; both must be on one file system.",
            "copy",
            store_choice<WeightsMode>(options.weights,
                                      {{"copy", WeightsMode::Copy}, {"reference", WeightsMode::Reference}}),
            {"copy", "reference"}},
           {"--external-data",
            "WHEN",
            "auto writes the weights into model.onnx if it stays below 2 GB, else into model.onnx_data; always writes "
            "them there.",
            "auto",
            store_choice<ExternalData>(options.external_data,
                                       {{"auto", ExternalData::Auto}, {"always", ExternalData::Always}}),
            {"auto", "always"}}}};
}

OptionGroup validation_options(ExportOptions& options) {
  return {"Validation",
          {{"--atol", "X", "Largest absolute difference from the reference that passes.",
            "1e-4; fp16 and O3 1e-2, bf16 1e-1", store_number(options.atol)},
           {"--reference", "FILE",
            "Safetensors file of inputs and outputs to validate against, instead of onnxport's own evaluation.", "",
            store(options.reference)},
           {"--no-validate", "", "Write the model without running it.", "", store_flag(options.validate, false)},
           {"--allow-mismatch", "", "Keep the model and succeed although its values differ from the reference.", "",
            store_flag(options.allow_mismatch)}}};
}

OptionGroup report_options(Request& request) {
  return {"Report",
          {{"--quiet", "", "Print warnings and errors only.", "", store_flag(request.quiet)},
           {"--json", "",
            "Print one JSON object instead of the log: files, shapes, differences, times, peak memory, or the error.",
            "", store_flag(request.json)}}};
}

OptionGroup input_shapes(InputShapes& shapes) {
  const auto size = [](const char* name, const char* help, std::int64_t& target) {
    return Option{name, "N", help, std::to_string(target), store_integer(target, 1)};
  };
  return {"Input shapes, of the inputs to validate with and for --no-dynamic-axes",
          {size("--batch_size", "Batch size.", shapes.batch_size),
           size("--sequence_length", "Text: tokens of a sequence.", shapes.sequence_length),
           size("--num_choices", "Text: choices of multiple-choice.", shapes.num_choices),
           size("--width", "Images: width.", shapes.width), size("--height", "Images: height.", shapes.height),
           size("--num_channels", "Images: number of channels.", shapes.num_channels),
           size("--feature_size", "Audio: size of a feature vector.", shapes.feature_size),
           size("--nb_max_frames", "Audio: number of frames.", shapes.nb_max_frames),
           size("--audio_sequence_length", "Audio: samples of a sequence.", shapes.audio_sequence_length),
           size("--point_batch_size", "Segment Anything: masks to predict for each point.", shapes.point_batch_size),
           size("--nb_points_per_image", "Segment Anything: points of each mask.", shapes.nb_points_per_image),
           size("--visual_seq_length", "Text with images: visual tokens of a sequence.", shapes.visual_seq_length)}};
}

OptionGroup compatibility_options(Request& request) {
  const auto ignored = [&](const char* names, const char* value, const std::string& reason) {
    const std::string option = names;
    return Option{names, value, "Changes nothing: " + reason + ".", "",
                  answer(request, option + " changes nothing: " + reason)};
  };
  return {"Accepted so that scripts for optimum-cli keep working",
          {{"--fp16", "", "Old spelling of --dtype fp16.", "",
            [&request](const std::string&) {
              request.options.dtype = "fp16";
              request.notes.emplace_back("--fp16 is deprecated: use --dtype fp16");
            }},
           ignored("--trust-remote-code", "", "no code of a checkpoint is ever run"),
           ignored("--no-constant-folding", "", "there is no pass that folds constants"),
           ignored("--slim", "", "the graph is built without anything to slim"),
           ignored("--dynamo", "", "the graph is built, not traced by PyTorch"),
           ignored("--legacy", "", "only the current layout of files is written")}};
}

// ---- The report -----------------------------------------------------------------------------------------------------

Json describe_shape(const std::vector<std::int64_t>& shape) { return Json::Array(shape.begin(), shape.end()); }

Json describe_strings(const std::vector<std::string>& strings) { return Json::Array(strings.begin(), strings.end()); }

/// JSON knows no infinity and no NaN.
Json finite_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(); }

Json describe_files(const std::vector<fs::path>& files) {
  Json::Array result;
  for (const fs::path& file : files) {
    std::error_code error;
    const std::uintmax_t size = fs::file_size(file, error);
    Json entry;
    entry.set("path", file.string());
    entry.set("bytes", error ? Json() : Json(static_cast<std::int64_t>(size)));
    result.push_back(std::move(entry));
  }
  return result;
}

Json describe_validations(const std::vector<OutputValidation>& validations) {
  Json::Array result;
  for (const OutputValidation& validation : validations) {
    Json entry;
    entry.set("file", validation.file);
    entry.set("inputs", validation.inputs);
    entry.set("output", validation.output);
    entry.set("shape", describe_shape(validation.shape));
    entry.set("reference_shape", describe_shape(validation.reference_shape));
    entry.set("max_difference", finite_or_null(validation.max_difference));
    entry.set("matches", validation.matches);
    result.push_back(std::move(entry));
  }
  return result;
}

Json describe(const ExportResult& result) {
  Json::Object seconds;
  for (const auto& [stage, duration] : result.seconds) seconds.emplace_back(stage, duration);
  Json report;
  report.set("model_type", result.model_type);
  report.set("task", result.task);
  report.set("opset", result.opset);
  report.set("files", describe_files(result.files));
  report.set("validated", result.validated);
  report.set("atol", result.atol);
  report.set("validations", describe_validations(result.validations));
  report.set("unused_tensors", describe_strings(result.unused_tensors));
  report.set("warnings", describe_strings(result.warnings));
  report.set("seconds", std::move(seconds));
  report.set("weight_bytes", static_cast<std::int64_t>(result.weight_bytes));
  report.set("peak_memory_bytes", static_cast<std::int64_t>(result.peak_memory_bytes));
  return report;
}

int run_export(Request& request) {
  Terminal terminal({.log = !request.quiet && !request.json, .progress = !request.quiet});
  for (const std::string& note : request.notes) terminal.note(note);
  request.options.log = [&](std::string_view line) { terminal.log(line); };
  request.options.warn = [&](std::string_view line) { terminal.warn(line); };
  request.options.progress = [&](const ExportProgress& progress) { terminal.show(progress); };
  try {
    const ExportResult result =
        request.layout == "optimum" ? export_onnx(request.options) : export_transformers_js(request.options);
    if (request.json) fmt::print("{}\n", dump_json(describe(result), 2));
    return 0;
  } catch (const ValidationError& error) {
    if (!request.json) throw;
    throw ReportedError(error, describe(error.result()));
  }
}

}  // namespace

Command export_onnx_command() {
  const auto request = std::make_shared<Request>();
  Command command{.name = "onnx", .summary = "Turns a Hugging Face checkpoint into ONNX and validates the result"};
  command.details =
      "The model is compared with a reference under ONNX Runtime, on inputs of two shapes. If a value differs by more "
      "than the tolerance the export fails and the output directory stays as it was.";
  command.examples = {
      {"onnxport export onnx --model distilbert-base-uncased/ distilbert_onnx/",
       "Export a checkpoint for the task it was trained for"},
      {"onnxport export onnx -m bert/ --task masked-lm --dtype fp16 bert_fp16/", "Choose the task and the precision"},
      {"onnxport export onnx -m bert/ --weights reference --no-validate bert_onnx/",
       "Write the graph alone, in milliseconds, and leave the weights where they are"},
      {"onnxport export onnx -m bert/ --no-dynamic-axes --batch_size 1 --sequence_length 128 bert_npu/",
       "Fix all shapes"},
  };
  command.groups = {required_arguments(*request),
                    model_options(*request),
                    architecture_options(request->options.architecture),
                    hub_group(request->options),
                    weight_options(request->options),
                    validation_options(request->options),
                    report_options(*request),
                    input_shapes(request->options.shapes),
                    compatibility_options(*request)};
  command.run = [request] { return run_export(*request); };
  return command;
}

}  // namespace onnxport::cli
