// The page of a quantization's report. All of it is text, with a style of its own, so that it can be mailed and opened
// anywhere.
#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/core.h>

#include "quantization/report.h"

namespace onnxport::quantization {
namespace {

constexpr std::string_view kStyle = R"(
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5d6a7c;--line:#d9dfe7;--page:#fff;--panel:#f5f7fa}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa7b8;--line:#333c49;--page:#14181e;--panel:#1d232b}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:76rem;padding:2rem 1.5rem 4rem;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,"Segoe UI",Roboto,"Liberation Sans",sans-serif}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2.2rem 0 .6rem}
p{margin:.3rem 0;color:var(--soft)}
code,td.name,th.name{font-family:ui-monospace,"DejaVu Sans Mono",monospace;font-size:.85em}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:8px}
table{border-collapse:collapse;width:100%}
th,td{padding:.35rem .7rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
tr:last-child td,tr:last-child th{border-bottom:0}
th{font-weight:600;color:var(--soft);background:var(--panel)}
td.name,th.name{text-align:left}
.better{color:#15803d;font-weight:600}.worse{color:#c2410c;font-weight:600}
.map td{padding:0;text-align:center;border:1px solid var(--page);min-width:4.6rem}
.map td span{display:none;padding:.4rem .5rem;color:#10151c;font-variant-numeric:tabular-nums}
.map th.module{writing-mode:vertical-rl;transform:rotate(180deg);text-align:left;padding:.6rem .3rem;font-size:.8em}
input[type=radio]{position:absolute;opacity:0}
label{display:inline-block;padding:.25rem .8rem;margin:0 .3rem .6rem 0;border:1px solid var(--line);border-radius:99px;
cursor:pointer;color:var(--soft)}
input:checked+label{background:var(--ink);color:var(--page)}
input:focus-visible+label{outline:2px solid #3b82f6}
input.sqnr:checked~.scroll .s,input.max:checked~.scroll .m,input.cosine:checked~.scroll .c{display:block}
@media print{body{max-width:none}}
)";

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

std::string megabytes(std::uint64_t bytes) {
  const double value = static_cast<double>(bytes);
  if (value < 1e6) return fmt::format("{:.1f} kB", value / 1e3);
  return value < 1e9 ? fmt::format("{:.1f} MB", value / 1e6) : fmt::format("{:.2f} GB", value / 1e9);
}

std::string milliseconds(double seconds) { return fmt::format("{:.3g} ms", seconds * 1e3); }

std::string decibels(double value) { return std::isinf(value) ? "exact" : fmt::format("{:.1f}", value); }

std::string cosine_text(double value) { return fmt::format("{:.6f}", value); }

/// From green at 0 to red at 1, as light as text needs it.
std::string color(double badness) {
  badness = std::isnan(badness) ? 1 : std::clamp(badness, 0.0, 1.0);
  return fmt::format("hsl({:.0f} 70% {:.0f}%)", 140 * (1 - badness), 76 - 8 * badness);
}

/// Where each metric of a model's layers begins and ends.
struct Scale {
  double low = INFINITY;
  double high = -INFINITY;
  void add(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  /// 0 at the low end, 1 at the high one; in the middle if all are the same.
  double place(double value) const {
    if (std::isinf(value)) return value > 0 ? 1 : 0;
    return high > low ? (value - low) / (high - low) : 0.5;
  }
};

/// Errors spread over powers of ten.
double logarithm(double error) { return error > 0 ? std::log10(error) : -INFINITY; }

class Page {
 public:
  explicit Page(const QuantizationReport& report) : report_(report) {}

  std::string render() {
    text_ =
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Quantization of " +
        escaped(report_.model) + "</title>\n<style>" + std::string(kStyle) + "</style>\n</head>\n<body>\n";
    line("<h1>Quantization of " + escaped(report_.model) + "</h1>");
    if (!report_.settings.empty()) line("<p>" + escaped(report_.settings) + "</p>");
    sizes();
    outputs();
    accuracy();
    exclusions();
    for (const std::string& file : files()) heat_map(file);
    layers();
    return std::move(text_) + "</body>\n</html>\n";
  }

 private:
  void line(const std::string& text) { text_ += text + "\n"; }

  void begin_table(const std::string& title, const std::vector<std::string>& columns) {
    line("<h2>" + title + "</h2>\n<div class=\"scroll\"><table><tr>");
    for (std::size_t i = 0; i < columns.size(); ++i)
      line((i == 0 ? "<th class=\"name\">" : "<th>") + columns[i] + "</th>");
    line("</tr>");
  }
  void row(const std::vector<std::string>& cells) {
    text_ += "<tr>";
    for (std::size_t i = 0; i < cells.size(); ++i)
      text_ += (i == 0 ? "<td class=\"name\">" : "<td>") + cells[i] + "</td>";
    text_ += "</tr>\n";
  }
  void end_table() { line("</table></div>"); }

  static std::string ratio(double after, double before) {
    if (before <= 0) return "–";
    const double value = after / before;
    return fmt::format("<span class=\"{}\">{:.2f} ×</span>", value <= 1 ? "better" : "worse", value);
  }

  void sizes() {
    if (report_.models.empty()) return;
    begin_table("Size and latency", {"model", "size before", "after", "", "one run before", "after", ""});
    for (const ModelMeasurement& model : report_.models) {
      const bool timed = model.seconds_before > 0;
      row({escaped(model.file), megabytes(model.bytes_before), megabytes(model.bytes_after),
           ratio(static_cast<double>(model.bytes_after), static_cast<double>(model.bytes_before)),
           timed ? milliseconds(model.seconds_before) : "–", timed ? milliseconds(model.seconds_after) : "–",
           ratio(model.seconds_after, model.seconds_before)});
    }
    end_table();
  }

  void outputs() {
    if (std::ranges::all_of(report_.models, [](const auto& model) { return model.outputs.empty(); })) return;
    begin_table("Outputs", {"model", "output", "samples", "relative error", "largest error", "cosine"});
    for (const ModelMeasurement& model : report_.models)
      for (const OutputError& output : model.outputs)
        row({escaped(model.file), "<code>" + escaped(output.name) + "</code>", std::to_string(model.samples),
             fmt::format("{:.3g}", output.relative), fmt::format("{:.3g}", output.max_error),
             cosine_text(output.cosine)});
    end_table();
  }

  void accuracy() {
    if (!report_.accuracy) return;
    const TaskAccuracy& accuracy = *report_.accuracy;
    begin_table("Task set",
                {"samples", "same prediction", "mean difference of logits", "labelled", "accuracy before", "after"});
    const auto percent = [](double share) { return fmt::format("{:.1f} %", share * 100); };
    const bool labelled = accuracy.labelled > 0;
    row({std::to_string(accuracy.samples), percent(accuracy.agreement), fmt::format("{:.3g}", accuracy.mean_difference),
         std::to_string(accuracy.labelled), labelled ? percent(accuracy.accuracy_before) : "–",
         labelled ? percent(accuracy.accuracy_after) : "–"});
    end_table();
  }

  void list(const std::vector<std::string>& nodes) {
    line("<div class=\"scroll\"><table>");
    for (const std::string& node : nodes) row({escaped(node)});
    end_table();
  }

  void exclusions() {
    if (report_.tolerance) {
      line(fmt::format("<h2>Left as they were</h2>\n<p>{} of the layers, for a tolerance of {:g}.</p>",
                       report_.excluded.size(), *report_.tolerance));
      if (!report_.excluded.empty()) list(report_.excluded);
    }
    const std::vector<std::string> worst = layers_to_exclude(report_.layers);
    line("<h2>Layers to exclude</h2>");
    if (worst.empty()) return line("<p>No layer lies more than 6 dB below the median.</p>");
    line(
        "<p>More than 6 dB, that is one bit, below the median. Quantize again without these nodes, or give a "
        "tolerance.</p>");
    list(worst);
  }

  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const LayerError& layer : report_.layers)
      if (std::find(names.begin(), names.end(), layer.file) == names.end()) names.push_back(layer.file);
    return names;
  }

  void heat_map(const std::string& file) {
    std::vector<std::string> rows;
    std::vector<std::string> columns;
    std::map<std::pair<std::string, std::string>, const LayerError*> cells;
    Scale sqnr;
    Scale max;
    Scale cosine;
    const auto note = [](std::vector<std::string>& names, const std::string& name) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    };
    for (const LayerError& layer : report_.layers) {
      const LayerName name = split_layer_name(layer.weight);
      if (layer.file != file) continue;
      note(rows, name.layer);
      note(columns, name.module);
      cells[{name.layer, name.module}] = &layer;
      sqnr.add(layer.sqnr);
      max.add(logarithm(layer.max_error));
      cosine.add(logarithm(1 - layer.cosine));
    }
    const std::string set = "m" + std::to_string(maps_++);
    line("<h2>Weights of " + escaped(file) + "</h2>\n<p>Layers by modules; green lost least, red most.</p>\n<div>");
    radio("sqnr", "SQNR in dB", true, set);
    radio("max", "largest error", false, set);
    radio("cosine", "cosine", false, set);
    line("<div class=\"scroll\"><table class=\"map\"><tr><th class=\"name\"></th>");
    for (const std::string& column : columns) line("<th class=\"module\">" + escaped(column) + "</th>");
    line("</tr>");
    for (const std::string& name : rows) {
      text_ += "<tr><th class=\"name\">" + (name.empty() ? "–" : escaped(name)) + "</th>";
      for (const std::string& column : columns) {
        const auto cell = cells.find({name, column});
        if (cell == cells.end()) {
          text_ += "<td></td>";
          continue;
        }
        const LayerError& layer = *cell->second;
        text_ += "<td title=\"" + escaped(layer.weight) + "\">" +
                 value("s", 1 - sqnr.place(layer.sqnr), decibels(layer.sqnr)) +
                 value("m", max.place(logarithm(layer.max_error)), fmt::format("{:.2g}", layer.max_error)) +
                 value("c", cosine.place(logarithm(1 - layer.cosine)), cosine_text(layer.cosine)) + "</td>";
      }
      line("</tr>");
    }
    line("</table></div></div>");
  }

  /// Each map has its own choice; the style knows the three by class.
  void radio(const std::string& metric, const std::string& label, bool checked, const std::string& set) {
    line(
        fmt::format("<input type=\"radio\" class=\"{0}\" name=\"{1}\" id=\"{1}-{0}\"{2}><label for=\"{1}-{0}\" "
                    "class=\"{0}\">{3}</label>",
                    metric, set, checked ? " checked" : "", label));
  }

  static std::string value(const char* metric, double badness, const std::string& text) {
    return fmt::format("<span class=\"{}\" style=\"background:{}\">{}</span>", metric, color(badness), text);
  }

  void layers() {
    if (report_.layers.empty()) return;
    begin_table("All weights, worst first",
                {"weight", "model", "shape", "bits", "SQNR, dB", "largest error", "cosine"});
    for (const LayerError& layer : worst_first(report_.layers)) {
      std::string shape;
      for (const std::int64_t size : layer.shape) shape += (shape.empty() ? "" : " × ") + std::to_string(size);
      row({escaped(layer.weight), escaped(layer.file), shape, fmt::format("{:g}", layer.bits), decibels(layer.sqnr),
           fmt::format("{:.3g}", layer.max_error), cosine_text(layer.cosine)});
    }
    end_table();
  }

  const QuantizationReport& report_;
  std::string text_;
  int maps_ = 0;
};

}  // namespace

std::string to_html(const QuantizationReport& report) { return Page(report).render(); }

}  // namespace onnxport::quantization
