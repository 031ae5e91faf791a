#!/bin/bash
# What `make demo` runs: exports a model, shows the log, and compares sentences with what was exported.
#
#   make demo                             all-MiniLM-L6-v2, which tools/fetch-demo-model.sh fetches
#   make demo MODEL=DIRECTORY             another model
#   make demo [MODEL=...] TEXT=FILE       ... on sentences of yours, a line each
#
# A directory of sentence-transformers is exported twice: as sentence embeddings, and its transformer alone. Any other
# is exported for its own task, and inspected. BUILD and OUTPUT name other directories than build and build/demo.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build=${BUILD:-build}
model=${MODEL:-.deps/all-MiniLM-L6-v2}
text=${TEXT:-examples/demo/sentences.txt}

bold= plain=
if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; fi

say() { printf '\n%s\n' "$*"; }

# Runs a command as a user would type it, and says how long it took.
run() {
  printf '\n%s$%s%s\n' "$bold" "$(printf ' %q' "$@")" "$plain"
  local begin=$EPOCHREALTIME end
  "$@"
  end=$EPOCHREALTIME
  printf '(%d ms)\n' $(((${end/[.,]/} - ${begin/[.,]/}) / 1000))
}

onnxport() { run "$build/onnxport" "$@"; }

# A directory whose modules make sentence embeddings; one of a CrossEncoder has modules too, but no pooling.
is_sentence_transformer() { grep -q '\.Pooling"' "$model/modules.json" 2>/dev/null; }

# Whether a directory holds a tokenizer, in any of the forms that AutoTokenizer reads.
has_tokenizer() {
  local file
  for file in "$1"/{tokenizer.json,vocab.txt,vocab.json,*.model,*.spm}; do
    if [ -f "$file" ]; then return; fi
  done
  return 1
}

compare_sentences() {
  if has_tokenizer "$1"; then
    run "$build/examples/sentence_similarity" "$1" "$text"
  else
    say "No sentences are compared: $model has no tokenizer (tokenizer.json, vocab.txt, ...)."
  fi
}

demonstrate_sentence_transformer() {
  local embeddings=$output/sentence_embedding features=$output/feature_extraction transformer=$model
  [ -f "$transformer/config.json" ] || transformer=$model/0_Transformer  # the layout of old checkpoints

  say "${bold}Sentence embeddings:${plain} the transformer, the pooling and what follows, as one model."
  onnxport export onnx --model "$model" "$embeddings"
  say "${bold}Features:${plain} the transformer alone."
  onnxport export onnx --model "$transformer" --library-name transformers --task feature-extraction "$features"
  say "${bold}Sentences compared${plain} by the cosine of their embeddings (examples/sentence_similarity.cpp)."
  compare_sentences "$embeddings"
}

demonstrate_other_model() {
  local exported=$output/auto embeddings=$output/sentence_embedding file
  onnxport inspect "$model"
  onnxport export onnx --model "$model" "$exported"
  for file in "$exported"/*.onnx; do onnxport inspect "$file"; done
  if [ -f "$model/modules.json" ]; then return; fi  # a CrossEncoder scores pairs, it has no embeddings
  # Without a text of the user's, models of English words only: others may have no padding, or no words at all.
  if [ -z "${TEXT:-}" ] && [ ! -f "$exported/vocab.txt" ]; then return; fi
  say "${bold}Sentences compared${plain} by the mean of their last hidden states, which is what sentence-transformers" \
    "makes of a model that is not its own. Models that were not trained for this find most sentences alike."
  onnxport export onnx --model "$model" --library-name sentence_transformers "$embeddings"
  compare_sentences "$embeddings"
}

if [ -z "${MODEL:-}" ]; then tools/fetch-demo-model.sh; fi
if [ ! -d "$model" ]; then
  printf 'demo: error: MODEL=%s is not a directory\n' "$model" >&2
  exit 1
fi
if [ ! -f "$text" ] || [ ! -r "$text" ]; then
  printf 'demo: error: TEXT=%s cannot be read\n' "$text" >&2
  exit 1
fi
output=${OUTPUT:-$build/demo}/$(basename "$(realpath "$model")")
mkdir -p "$output"
if is_sentence_transformer; then demonstrate_sentence_transformer; else demonstrate_other_model; fi
