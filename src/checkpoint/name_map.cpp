#include "checkpoint/name_map.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/nearest.h"
#include "onnxport/error.h"

namespace onnxport {
namespace {

[[noreturn]] void fail(const NameMap& map, std::string_view rule, const std::string& problem) {
  throw Error(ErrorKind::InvalidArgument, map.origin + ": " + quote_json(rule) + " " + problem);
}

void check_rules(const NameMap& map, bool may_drop) {
  for (const auto& [name, target] : map.rules) {
    if (name.empty()) fail(map, name, "is no name");
    if (target.is_null() && may_drop) continue;
    if (!target.is_string())
      fail(map, name, std::string("must be a string") + (may_drop ? " or null" : "") + ", is " + dump_json(target));
    if (target.string().empty()) fail(map, name, "has an empty new name");
  }
}

// ---- Members of config.json -----------------------------------------------------------------------------------------

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> steps;
  while (true) {
    const std::size_t dot = path.find('.');
    steps.emplace_back(path.substr(0, dot));
    if (dot == std::string_view::npos) return steps;
    path.remove_prefix(dot + 1);
  }
}

Json* find_member(Json& object, std::string_view name) {
  if (!object.is_object()) return nullptr;
  for (auto& [key, value] : object.object())
    if (key == name) return &value;
  return nullptr;
}

Json take_member(Json& config, const NameMap& map, const std::string& rule) {
  const std::vector<std::string> steps = split_path(rule);
  Json* section = &config;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    Json* member = find_member(*section, steps[i]);
    if (member == nullptr) {
      std::vector<std::string> known;
      if (section->is_object())
        for (const auto& [key, value] : section->object()) known.push_back(key);
      fail(map, rule, "is no member of config.json" + describe_nearest(steps[i], known));
    }
    if (i + 1 == steps.size()) {
      Json value = std::move(*member);
      section->erase(steps[i]);
      return value;
    }
    section = member;
  }
  return {};  // never reached: a path has one step at least
}

void put_member(Json& config, const NameMap& map, const std::string& rule, const std::string& target, Json value) {
  const std::vector<std::string> steps = split_path(target);
  Json* section = &config;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].empty()) fail(map, rule, "has the new name " + quote_json(target) + ", which has an empty part");
    if (!section->is_object())
      fail(map, rule, "cannot become " + quote_json(target) + ": config.json has no section there");
    Json* member = find_member(*section, steps[i]);
    const bool is_last = i + 1 == steps.size();
    if (is_last && member != nullptr)
      fail(map, rule, "cannot become " + quote_json(target) + ": config.json has such a member already");
    section = member != nullptr ? member : &section->set(steps[i], is_last ? std::move(value) : Json(Json::Object{}));
  }
}

// ---- Names of tensors -----------------------------------------------------------------------------------------------

/// What the stars of a pattern stand for in a name; nullopt if it does not fit.
std::optional<std::vector<std::string_view>> match(std::string_view pattern, std::string_view name) {
  std::vector<std::string_view> stars;
  std::size_t star = pattern.find('*');
  const std::string_view beginning = pattern.substr(0, star);
  if (!name.starts_with(beginning)) return std::nullopt;
  name.remove_prefix(beginning.size());
  while (star != std::string_view::npos) {
    pattern.remove_prefix(star + 1);
    star = pattern.find('*');
    const std::string_view literal = pattern.substr(0, star);
    // The earliest place leaves most to what follows; the end of the pattern stands at the end of the name.
    std::size_t at = std::string_view::npos;
    if (star != std::string_view::npos) {
      at = name.find(literal, 1);
    } else if (name.size() > literal.size() && name.ends_with(literal)) {
      at = name.size() - literal.size();
    }
    if (at == std::string_view::npos) return std::nullopt;
    stars.push_back(name.substr(0, at));
    name.remove_prefix(at + literal.size());
  }
  return name.empty() ? std::optional(stars) : std::nullopt;
}

std::string fill_stars(std::string_view pattern, const std::vector<std::string_view>& stars) {
  std::string name;
  std::size_t next = 0;
  for (const char c : pattern) {
    if (c == '*') {
      name += stars[next++];
    } else {
      name += c;
    }
  }
  return name;
}

void check_stars(const NameMap& map) {
  const auto stars = [](std::string_view text) { return std::count(text.begin(), text.end(), '*'); };
  for (const auto& [pattern, target] : map.rules)
    if (target.is_string() && stars(pattern) != stars(target.string()))
      fail(map, pattern, "and its new name " + quote_json(target.string()) + " have different numbers of *");
}

/// What becomes of each tensor, and which rules had an effect.
class Renaming {
 public:
  explicit Renaming(const NameMap& map) : map_(map), used_(map.rules.size()) {}

  /// nullopt for a tensor that is dropped.
  std::optional<std::string> apply(const std::string& name) {
    for (std::size_t i = 0; i < map_.rules.size(); ++i) {
      const auto& [pattern, target] = map_.rules[i];
      const auto stars = match(pattern, name);
      if (!stars) continue;
      used_[i] = true;
      return target.is_null() ? std::nullopt : std::optional(fill_stars(target.string(), *stars));
    }
    return name;
  }

  void check_all_used(const Checkpoint& checkpoint) const {
    for (std::size_t i = 0; i < map_.rules.size(); ++i)
      if (!used_[i]) refuse_unused(map_.rules[i].first, checkpoint);
  }

 private:
  [[noreturn]] void refuse_unused(const std::string& pattern, const Checkpoint& checkpoint) const {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : checkpoint.tensors) {
      if (match(pattern, name)) fail(map_, pattern, "comes too late: an earlier rule decides about " + name);
      names.push_back(name);
    }
    fail(map_, pattern, "fits no tensor of the checkpoint" + describe_nearest(pattern, names));
  }

  const NameMap& map_;
  std::vector<bool> used_;
};

}  // namespace

NameMap read_name_map(std::string_view text_or_file, std::string_view option, bool may_drop) {
  const std::size_t first = text_or_file.find_first_not_of(" \t\r\n");
  const bool is_text = first != std::string_view::npos && text_or_file[first] == '{';
  NameMap map{{}, std::string(is_text ? option : text_or_file)};
  Json json;
  try {
    json = parse_json(is_text ? std::string(text_or_file) : read_text_file(text_or_file), map.origin);
  } catch (const Error& error) {
    throw Error(ErrorKind::InvalidArgument, is_text ? error.what() : std::string(option) + ": " + error.what());
  }
  if (!json.is_object())
    throw Error(ErrorKind::InvalidArgument,
                map.origin + ": must be a JSON object of names and their new names, is " + dump_json(json));
  map.rules = std::move(json.object());
  check_rules(map, may_drop);
  return map;
}

void rename_members(Json& config, const NameMap& map) {
  std::vector<Json> values;
  for (const auto& [name, target] : map.rules) values.push_back(take_member(config, map, name));
  for (std::size_t i = 0; i < values.size(); ++i)
    put_member(config, map, map.rules[i].first, map.rules[i].second.string(), std::move(values[i]));
}

std::map<std::string, std::string> rename_tensors(Checkpoint& checkpoint, const NameMap& map) {
  check_stars(map);
  Renaming renaming(map);
  std::map<std::string, std::string> old_names;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    const std::optional<std::string> renamed = renaming.apply(name);
    if (!renamed) continue;
    const auto [other, is_new] = old_names.emplace(*renamed, name);
    if (!is_new)
      throw Error(ErrorKind::InvalidArgument, map.origin + ": the tensors " + quote_json(other->second) + " and " +
                                                  quote_json(name) + " would both be called " + quote_json(*renamed));
  }
  renaming.check_all_used(checkpoint);
  std::map<std::string, TensorSource, std::less<>> renamed;
  for (const auto& [name, old_name] : old_names) renamed.emplace(name, std::move(checkpoint.tensors.at(old_name)));
  checkpoint.tensors = std::move(renamed);
  return old_names;
}

}  // namespace onnxport
