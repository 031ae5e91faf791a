#!/bin/bash
# What `make demo` runs: exports a model, shows the log, and compares sentences with what was exported.
#
#   make demo                                  all-MiniLM-L6-v2, which tools/fetch-demo-model.sh fetches
#   make demo MODEL=DIRECTORY                  another model
#   make demo MODEL=DIRECTORY TOKEN_IDS=FILE   ... on sentences of yours
#
# A directory of sentence-transformers is exported twice: as sentence embeddings, and its transformer alone. Any other
# is exported for its own task, and inspected.
#
# onnxport has no tokenizer yet. The demo's sentences stand as token ids in examples/demo/token_ids.txt; they serve
# every model that has the same vocab.txt, such as most uncased English BERT models. For a model with another
# vocabulary, TOKEN_IDS names a file with a line of token ids for each sentence, made by the model's own tokenizer.
# BUILD and OUTPUT name other directories than build and build/demo.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build=${BUILD:-build}
model=${MODEL:-.deps/all-MiniLM-L6-v2}
token_ids=${TOKEN_IDS:-}
sentences=
readonly demo_token_ids=examples/demo/token_ids.txt demo_sentences=examples/demo/sentences.txt

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

# The demo's token ids say by which vocab.txt they were made.
fits_demo_vocabulary() {
  local sha256
  [ -f "$1/vocab.txt" ] || return
  sha256=$(sha256sum <"$1/vocab.txt" | cut -d ' ' -f 1)
  grep -q "^# vocab.txt: sha256 $sha256\$" "$demo_token_ids"
}

# Finds token ids for the model whose tokenizer lies in directory $1.
choose_token_ids() {
  if [ -n "$token_ids" ]; then return; fi
  fits_demo_vocabulary "$1" || return 0
  token_ids=$demo_token_ids
  sentences=$demo_sentences
}

explain_token_ids() {
  say "The demo's sentences are not run: they are token ids of another vocabulary than this model's. To compare" \
    "sentences with it, give them as token ids, a line each, made by the model's own tokenizer:"
  printf '  make demo MODEL=%q TOKEN_IDS=FILE\n' "$model"
}

compare_sentences() {
  if [ -z "$token_ids" ]; then explain_token_ids; return; fi
  run "$build/examples/sentence_similarity" "$1/model.onnx" "$token_ids" ${sentences:+"$sentences"}
}

demonstrate_sentence_transformer() {
  local embeddings=$output/sentence_embedding features=$output/feature_extraction transformer=$model
  [ -f "$transformer/config.json" ] || transformer=$model/0_Transformer  # the layout of old checkpoints

  say "${bold}Sentence embeddings:${plain} the transformer, the pooling and what follows, as one model."
  onnxport export onnx --model "$model" "$embeddings"
  say "${bold}Features:${plain} the transformer alone."
  onnxport export onnx --model "$transformer" --library-name transformers --task feature-extraction "$features"
  choose_token_ids "$embeddings"
  say "${bold}Sentences compared${plain} by the cosine of their embeddings, through ONNX Runtime's C++ API."
  compare_sentences "$embeddings"
}

demonstrate_other_model() {
  local exported=$output/auto embeddings=$output/sentence_embedding file
  onnxport inspect "$model"
  onnxport export onnx --model "$model" "$exported"
  for file in "$exported"/*.onnx; do onnxport inspect "$file"; done
  if [ -f "$model/modules.json" ]; then return; fi  # a CrossEncoder scores pairs, it has no embeddings
  choose_token_ids "$exported"
  if [ -z "$token_ids" ]; then return; fi
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
if [ -n "$token_ids" ] && [ ! -r "$token_ids" ]; then
  printf 'demo: error: TOKEN_IDS=%s cannot be read\n' "$token_ids" >&2
  exit 1
fi
output=${OUTPUT:-$build/demo}/$(basename "$(realpath "$model")")
mkdir -p "$output"
if is_sentence_transformer; then demonstrate_sentence_transformer; else demonstrate_other_model; fi
