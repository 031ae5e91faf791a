// The functions that templates find among their variables.
#include <algorithm>

#include <fmt/format.h>

#include "tokenizers/chat_template/builtins.h"
#include "tokenizers/chat_template/value.h"

namespace onnxport::jinja {
namespace {

using std::string_view;

Value range(Runtime& runtime, const Value&, Arguments& arguments) {
  const Parameters parameters(runtime, "range", arguments, {"", "", ""});
  const bool has_start = parameters.find(1) != nullptr;
  const std::int64_t start = has_start ? parameters.required_integer(0) : 0;
  const std::int64_t stop = parameters.required_integer(has_start ? 1 : 0);
  const std::int64_t step = parameters.integer(2, 1);
  if (step == 0) runtime.fail("range() arg 3 must not be zero");
  return runtime.range(start, stop, step);
}

/// What dict(...) and namespace(...) take: a dict or pairs, and keywords.
Dict to_dict(Runtime& runtime, string_view function, Arguments& arguments) {
  if (arguments.positional.size() > 1)
    runtime.fail(fmt::format("{} expected at most 1 argument, got {}", function, arguments.positional.size()));
  Dict result;
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional.front();
    if (source.is(Kind::Dict)) {
      for (const auto& [key, value] : source.as<DictObject>().dict.items()) result.set(runtime, key, value);
    } else {
      for (const Value& pair : to_vector(runtime, source)) {
        const std::vector<Value> parts = to_vector(runtime, pair);
        if (parts.size() != 2) runtime.fail(fmt::format("{} needs pairs of keys and values", function));
        result.set(runtime, parts[0], parts[1]);
      }
    }
  }
  for (auto& [key, value] : arguments.keywords) result.set(runtime, runtime.string(key), value);
  return result;
}

Value dict(Runtime& runtime, const Value&, Arguments& arguments) {
  return runtime.dict(to_dict(runtime, "dict", arguments));
}

Value make_namespace(Runtime& runtime, const Value&, Arguments& arguments) {
  auto object = std::make_unique<NamespaceObject>();
  object->attributes = to_dict(runtime, "namespace", arguments);
  object->charge.add(runtime, object->attributes.size() * sizeof(Dict::Item));
  return runtime.keep(Kind::Namespace, std::move(object));
}

Value cycler(Runtime& runtime, const Value&, Arguments& arguments) {
  if (!arguments.keywords.empty()) runtime.fail("cycler() takes no keyword arguments");
  if (arguments.positional.empty()) runtime.fail("at least one item has to be provided");
  auto object = std::make_unique<CyclerObject>();
  object->charge.add(runtime, arguments.positional.size() * sizeof(Value));
  object->items = arguments.positional;
  return runtime.keep(Kind::Cycler, std::move(object));
}

Value joiner(Runtime& runtime, const Value&, Arguments& arguments) {
  const Parameters parameters(runtime, "joiner", arguments, {"sep"});
  auto object = std::make_unique<JoinerObject>();
  object->separator = parameters.find(0) != nullptr ? *parameters.find(0) : runtime.string(", ");
  return runtime.keep(Kind::Joiner, std::move(object));
}

Value raise_exception(Runtime& runtime, const Value&, Arguments& arguments) {
  const Parameters parameters(runtime, "raise_exception", arguments, {"message"});
  runtime.fail(to_text(runtime, parameters.required(0)));
}

Value strftime_now(Runtime& runtime, const Value&, Arguments& arguments) {
  const Parameters parameters(runtime, "strftime_now", arguments, {"format"});
  return format_now(runtime, parameters.text(0));
}

constexpr NamedFunction kGlobals[] = {
    {"cycler", cycler},
    {"dict", dict},
    {"joiner", joiner},
    {"namespace", make_namespace},
    {"raise_exception", raise_exception},
    {"range", range},
    {"strftime_now", strftime_now},
};

}  // namespace

const NamedFunction* find_global(string_view name) {
  for (const NamedFunction& known : kGlobals)
    if (known.name == name) return &known;
  return nullptr;
}

}  // namespace onnxport::jinja
