#include "onnxport/transformers_js.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <system_error>

#include "export/companion_files.h"
#include "export/rewrite.h"
#include "onnx/staged_directory.h"
#include "onnxport/error.h"
#include "onnxport/json.h"
#include "quantization/bnb4.h"
#include "quantization/config.h"
#include "quantization/graph_quantizer.h"
#include "quantization/weight_only/weight_graph.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kModelFolder = "onnx";

bool is_model_file(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.ends_with(".onnx") || name.ends_with(".onnx_data");
}

/// What transformers.js does not load: the decoders that decoder_model_merged holds.
bool is_part_of_merged(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.starts_with("decoder_model.onnx") || name.starts_with("decoder_with_past_model.onnx");
}

/// Operators whose models get unsigned weights as the dtype "q8": ONNX Runtime Web has no convolution of signed
/// weights, and the fused attentions are faster with unsigned ones.
bool wants_unsigned_weights(const onnx::Model& model) {
  constexpr std::array<std::string_view, 3> operators = {"Conv", "GroupQueryAttention", "MultiHeadAttention"};
  bool found = false;
  onnx::for_each_graph(model.graph, [&](const onnx::Graph& graph) {
    for (const onnx::Node& node : graph.nodes)
      found = found || std::find(operators.begin(), operators.end(), node.op_type) != operators.end();
  });
  return found;
}

void quantize_to_8_bits(onnx::Model& model, QuantType weights) {
  QuantizationConfig config;
  config.weights_dtype = weights;
  config.weights_symmetric = weights == QuantType::QInt8;
  quantization::quantize_operators(model, quantization::checked(config), nullptr);
}

/// A file of each model beside the exported one, with the settings of the library's own conversion script
/// (scripts/quantize.py), of which float16 is the other export. A model without a weight to quantize stays what it was.
struct Variant {
  std::string source;  ///< folder of the export that it is made from
  std::string suffix;
  void (*edit)(onnx::Model& model);
};

const std::array<Variant, 7>& variants() {
  static const std::array<Variant, 7> all{{
      // A model knows the name of its external data, so that a copy under another name is written anew.
      {"fp16", "fp16", [](onnx::Model&) {}},
      {"fp32", "int8", [](onnx::Model& model) { quantize_to_8_bits(model, QuantType::QInt8); }},
      {"fp32", "uint8", [](onnx::Model& model) { quantize_to_8_bits(model, QuantType::QUInt8); }},
      {"fp32", "quantized",
       [](onnx::Model& model) {
         quantize_to_8_bits(model, wants_unsigned_weights(model) ? QuantType::QUInt8 : QuantType::QInt8);
       }},
      {"fp32", "q4", [](onnx::Model& model) { quantization::quantize_graph(model, {}); }},
      {"fp16", "q4f16", [](onnx::Model& model) { quantization::quantize_graph(model, {}); }},
      {"fp32", "bnb4", [](onnx::Model& model) { quantization::quantize_graph_bnb4(model, {}); }},
  }};
  return all;
}

void move_file(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::create_directories(to.parent_path(), error);
  fs::rename(from, to, error);
  if (error) throw Error(ErrorKind::OutputFailed, "cannot write " + to.string() + ": " + error.message());
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

class TransformersJsExport {
 public:
  explicit TransformersJsExport(const ExportOptions& options)
      : options_(options), staged_(checked(options).output), root_(staged_.path()) {}

  ExportResult run() {
    ExportResult result = export_to("fp32", options_);
    find_models();
    ExportOptions half = options_;
    half.dtype = "fp16";
    half.keep_io_types = true;
    half.atol.reset();
    half.allow_mismatch = true;
    append(result, export_to("fp16", half));
    for (const Variant& variant : variants()) make_variant(variant);
    publish("fp32");
    std::error_code error;
    for (const char* folder : {"fp32", "fp16"}) fs::remove_all(root_ / folder, error);
    write_config();
    staged_.commit();
    result.files.clear();
    for (const fs::path& file : files_) result.files.push_back(options_.output / file);
    log("The ONNX export succeeded and the exported model was saved at: " +
        options_.output.lexically_normal().string());
    return result;
  }

 private:
  static const ExportOptions& checked(const ExportOptions& options) {
    if (options.output.empty()) throw Error(ErrorKind::InvalidArgument, "no output directory is given");
    if (options.dtype != "fp32")
      throw Error(ErrorKind::InvalidArgument,
                  "--layout transformers.js makes the float16 variant beside the others: "
                  "leave --dtype " +
                      options.dtype + " out");
    if (!options.optimize.empty())
      throw Error(ErrorKind::InvalidArgument,
                  "--layout transformers.js and --optimize exclude each other: the operators "
                  "that levels fuse are not in ONNX Runtime Web");
    if (options.weights == WeightsMode::Reference)
      throw Error(
          ErrorKind::InvalidArgument,
          "--layout transformers.js and --weights reference exclude each other: a page loads what lies in onnx/");
    return options;
  }

  void log(const std::string& line) const {
    if (options_.log) options_.log(line);
  }

  /// An export into a folder of the staged directory; its log speaks of the folder that its models end up in.
  ExportResult export_to(const std::string& dtype, ExportOptions options) const {
    options.output = root_ / dtype;
    const std::string staged = options.output.string();
    const std::string shown = (options_.output / kModelFolder).string();
    const auto translated = [staged, shown](const std::function<void(std::string_view)>& target) {
      return [=](std::string_view line) {
        if (target && line.find("exported model was saved at") == std::string_view::npos)
          target(replaced(std::string(line), staged, shown));
      };
    };
    options.log = translated(options_.log);
    if (dtype != "fp32") options.log = nullptr;
    options.warn = translated(options_.warn);
    return export_onnx(options);
  }

  static void append(ExportResult& result, ExportResult half) {
    for (OutputValidation& validation : half.validations) {
      validation.file = replaced(validation.file, ".onnx", "_fp16.onnx");
      result.validations.push_back(std::move(validation));
    }
    result.warnings.insert(result.warnings.end(), half.warnings.begin(), half.warnings.end());
    result.validated = result.validated && half.validated;
  }

  void find_models() {
    for (const fs::path& file : find_onnx_files(root_ / "fp32"))
      if (!is_part_of_merged(file)) models_.push_back(file.filename().string());
    const bool has_encoder = std::find(models_.begin(), models_.end(), "encoder_model.onnx") != models_.end();
    if (has_encoder && models_.size() == 1)
      throw Error(ErrorKind::UnsupportedTask,
                  "transformers.js loads an encoder-decoder as encoder_model and decoder_model_merged: export a task "
                  "-with-past, with dynamic axes, and without --no-post-process");
  }

  /// Writes the models of an export with another ending into onnx/.
  void make_variant(const Variant& variant) {
    const fs::path made = root_ / (variant.suffix + "-variant");
    RewriteOptions options{
        .model = root_ / variant.source, .output = made, .suffix = variant.suffix, .file_names = models_};
    options.external_data = options_.external_data == ExternalData::Always;
    if (options_.progress)
      options.progress = [this](std::string_view stage, std::uint64_t done, std::uint64_t total) {
        options_.progress({stage, done, total});
      };
    rewrite_models(options, [&](onnx::Model& model, const fs::path&) { variant.edit(model); });
    publish(made.filename().string());
    std::error_code error;
    fs::remove_all(made, error);
  }

  /// Moves a folder's models into onnx/, and the files beside the exported model to the root.
  void publish(const std::string& folder) {
    std::vector<fs::path> found;
    for (const auto& entry : fs::recursive_directory_iterator(root_ / folder))
      if (entry.is_regular_file()) found.push_back(entry.path());
    std::sort(found.begin(), found.end());
    for (const fs::path& file : found) {
      if (!is_model_file(file)) {
        if (folder == "fp32") place(file, file.lexically_relative(root_ / folder));
      } else if (!is_part_of_merged(file)) {
        place(file, fs::path(kModelFolder) / file.filename());
      }
    }
  }

  void place(const fs::path& from, const fs::path& to) {
    move_file(from, root_ / to);
    files_.push_back(to);
  }

  /// The library asks config.json whether a file has external data.
  void write_config() const {
    Json external = Json::Object{};
    for (const fs::path& file : files_)
      if (const std::string name = file.filename().string(); name.ends_with(".onnx_data"))
        external.set(name.substr(0, name.size() - std::string_view("_data").size()), true);
    if (external.object().empty()) return;
    const fs::path path = root_ / "config.json";
    std::ifstream in(path, std::ios::binary);
    Json config = parse_json(std::string{std::istreambuf_iterator<char>(in), {}}, path.string());
    in.close();
    const Json* present = config.find("transformers.js_config");
    Json section = present != nullptr && present->is_object() ? *present : Json(Json::Object{});
    section.set("use_external_data_format", std::move(external));
    config.set("transformers.js_config", std::move(section));
    write_json_file(config, path);
  }

  const ExportOptions& options_;
  onnx::StagedDirectory staged_;
  fs::path root_;
  std::vector<std::string> models_;
  std::vector<fs::path> files_;  ///< relative to the output
};

}  // namespace

ExportResult export_transformers_js(const ExportOptions& options) { return TransformersJsExport(options).run(); }

}  // namespace onnxport
