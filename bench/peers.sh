#!/bin/bash
# Makes what the benchmarks compare with: Optimum in a Python environment of its own, and its exports of the benchmarks'
# encoders: plain, optimized with -O2 and -O3, and quantized with --avx2.
#
#   bench/peers.sh [BUILD]      BUILD is the build tree, build by default; `make bench` must have built it
#
# Everything goes to BUILD/peers (3 GB, and the environment's 6 GB); what is there already is kept.
# PEERS_VENV=DIRECTORY uses an existing environment instead; set it for `make bench`, too.
set -euo pipefail

readonly requirements=(torch==2.15.0 transformers==4.57.6 'optimum-onnx[onnxruntime]==0.1.0' sentence-transformers==5.7.0
  tokenizers==0.22.2 onnx_ir tiktoken rs-bpe blingfire numpy)

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${1:-$root/build}
peers=$build/peers
venv=${PEERS_VENV:-$peers/venv}
export HF_HUB_OFFLINE=1  # the checkpoints are local; nothing is to be looked up

say() { printf 'peers: %s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }

make_environment() {
  if [ -x "$venv/bin/optimum-cli" ]; then return; fi
  [ -z "${PEERS_VENV:-}" ] || fail "$PEERS_VENV has no bin/optimum-cli"
  say "installing ${requirements[*]}"
  python3 -m venv "$venv" || fail "Python's venv is missing: install python3-venv"
  "$venv/bin/pip" --disable-pip-version-check --quiet install "${requirements[@]}"
}

# Runs a command that makes directory $1, under another name until it is complete.
make_directory() {
  local directory=$1
  shift
  if [ -d "$directory" ]; then return; fi
  say "making ${directory#"$peers/"}"
  rm -rf "$directory.part"
  "$@" "$directory.part" >"$directory.log" 2>&1 || fail "$* failed, see $directory.log"
  mv "$directory.part" "$directory"
}

export_plain() { "$venv/bin/optimum-cli" export onnx --model "$1" --task "$2" "$3"; }
optimize() { "$venv/bin/optimum-cli" onnxruntime optimize "$1" --onnx_model "$2" --output "$3"; }
quantize() { "$venv/bin/optimum-cli" onnxruntime quantize --avx2 --onnx_model "$1" --output "$2"; }

make_exports() {
  local name=$1 task=$2
  local directory=$peers/$name
  mkdir -p "$directory"
  make_directory "$directory/plain" export_plain "$build/bench-data/$name" "$task"
  local level
  for level in O2 O3; do
    make_directory "$directory/$level" optimize "-$level" "$directory/plain"
  done
  make_directory "$directory/int8" quantize "$directory/plain"
}

[ -x "$build/bench/export" ] || fail "$build/bench/export is missing: run make bench BENCH=startup first"
mkdir -p "$peers"
"$build/bench/export" --checkpoints >/dev/null
make_environment
make_exports distilbert-base question-answering
make_exports bert-base text-classification
