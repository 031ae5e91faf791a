#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "onnxport/json.h"

namespace onnxport {

/// Names of a derived model and what an architecture calls the same: {"wte.weight": "embeddings.weight"}. The order of
/// the file is kept.
struct NameMap {
  Json::Object rules;
  std::string origin;  ///< the option or the file, for messages
};

/// A map from a JSON file, or from JSON text that begins with a brace. `option` is what messages call the text.
/// Throws Error(InvalidArgument) naming file and rule: a file that cannot be read, no JSON, no object, an empty name, a
/// value that is not a string (or, with `may_drop`, null).
NameMap read_name_map(std::string_view text_or_file, std::string_view option, bool may_drop);

/// Renames members of a config.json. Dots lead into sections: {"decoder.width": "hidden_size"}. All old members are
/// taken out before the new ones are put in, so that two may swap their names.
/// Throws Error(InvalidArgument) naming the rule: no such member, a new name that is taken, a section that is none.
void rename_members(Json& config, const NameMap& map);

/// Renames the tensors of a checkpoint. The first rule that fits a name decides; names that none fits stay. A rule is a
/// name, or a pattern in which each `*` stands for one or more characters, as few as possible, dots among them; what
/// the first `*` stood for goes to the first `*` of the new name, and so on. null drops a tensor.
/// Returns the new names with those that the checkpoint has for them.
/// Throws Error(InvalidArgument) naming the rule: one that fits no tensor (or none that an earlier rule has left),
/// another number of stars in the new name, two tensors that get one name.
std::map<std::string, std::string> rename_tensors(Checkpoint& checkpoint, const NameMap& map);

}  // namespace onnxport
