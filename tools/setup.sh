#!/bin/bash
# Installs what building onnxport needs and this machine lacks. Quick when nothing does, so every make target runs it.
#
#   tools/setup.sh [--offline] [PACKAGE...]
#
# --offline    fetch nothing; fail, naming what is missing
# PACKAGE...   further Debian packages that the caller needs (make format asks for clang-format)
#
# Two things are installed:
# - Debian packages: the compiler, CMake, and the libraries that onnxport links. Needs root or sudo if one is missing.
# - ONNX Runtime in .deps/onnxruntime/{include,lib}, which CMake finds there. The library is the one of the Python wheel,
#   the build that its users run; nothing of Python stays in use. A wheel has no headers: these come from the machine's
#   libonnxruntime-dev, or, as Debian 12 has none, from Debian 13's package of that name. The headers are older than
#   the library on purpose: ONNX Runtime's C API only ever grows, so a program runs with any library from its headers'
#   version on. All downloads are pinned by version and SHA-256.
# ONNXRUNTIME_ROOT=DIRECTORY uses DIRECTORY/{include,lib} instead and fetches nothing of ONNX Runtime.
set -euo pipefail

readonly onnxruntime_version=1.32.0
readonly onnxruntime_wheel_sha256=(
  99e1074c4b2197accd5073052a465361be17b89c093b8ffb6e6bd8f986c52df8  # x86_64
  e36c187006e7a7c8b8d6d57f1a209dd63f52430dca6c282b177718ad6b841054  # aarch64
)
readonly headers_suite=trixie
readonly headers_version=1.21.0+dfsg-1
declare -rA headers_sha256=(
  [amd64]=14f7d959d5deacbcf1504830d4189f91fc67382b399ed9ae9d3aa9c4050ced08
  [arm64]=d4b1967893865756c0fa8536be165259a8eb0e9068e60d322ba707ef4527e44e
)

packages=(
  build-essential ca-certificates ccache cmake ninja-build
  libbenchmark-dev libblis-pthread-dev libcli11-dev libcurl4-openssl-dev libfmt-dev libgtest-dev libonig-dev libprotozero-dev libssl-dev libutf8proc-dev nlohmann-json3-dev
)

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
script=$root/tools/setup.sh
dependencies=$root/.deps
stamp=$dependencies/onnxruntime/.stamp  # SHA-256 of the script that filled the directory
offline=false

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

is_installed() { [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# Installs those of the given Debian packages that are missing.
require_packages() {
  if ! command -v dpkg-query >/dev/null; then
    say "not a Debian system: make sure that these are installed (names as in Debian): $*"
    return
  fi
  # One query for all of them; a package is asked for alone only once it is known that some are missing.
  local installed
  installed=$(dpkg-query --show --showformat='${db:Status-Status}\n' "$@" 2>/dev/null | grep -cx installed || true)
  if [ "$installed" -ge $# ]; then return; fi
  local missing=() package
  for package in "$@"; do
    is_installed "$package" || missing+=("$package")
  done
  if [ ${#missing[@]} = 0 ]; then return; fi
  if $offline; then fail "--offline, and these Debian packages are missing: ${missing[*]}"; fi
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    fail "packages are missing, and there is no sudo. As root, run: apt-get install ${missing[*]}"
  fi
  say "installing ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# The machine's own sources of Debian's main archive, turned to another suite, so that mirrors and keys are those that
# the machine's owner chose. One function for each of apt's two formats, stanzas (*.sources) and lines (*.list);
# $1 is the machine's suite, $2 the one wanted.
turned_stanzas() {
  find /etc/apt/sources.list.d -name '*.sources' -exec cat {} + | sed '/^#/d' |
    awk -v codename="$1" -v suite="$2" '
      function flush() {
        if (fields != "" && enabled && has_deb && has_codename && has_main)
          printf "Types: deb\nSuites: %s\nComponents: main\nTargets: Packages\n%s\n", suite, fields
        fields = ""; enabled = 1; has_deb = has_codename = has_main = 0
      }
      BEGIN { flush() }
      /^[ \t]*$/ { flush(); next }
      /^[ \t]/ { if (kept) fields = fields $0 "\n"; next }  # continues the field above: a key that is written out
      {
        field = tolower($1); kept = 0
        words = " " $0 " "; gsub(/[ \t]+/, " ", words)
        if (field == "types:") has_deb = words ~ / deb /
        else if (field == "suites:") has_codename = index(words, " " codename " ")
        else if (field == "components:") has_main = words ~ / main /
        else if (field == "enabled:") enabled = tolower($2) != "no"
        else if (field != "targets:") { kept = 1; fields = fields $0 "\n" }
      }
      END { flush() }'
}

turned_lines() {
  find /etc/apt -path '/etc/apt/sources.list*' -name '*.list' -exec cat {} + |
    sed -nE "s#^deb[[:space:]]+((\[[^]]*\][[:space:]]+)?[^[:space:]]+)[[:space:]]+$1[[:space:]](.*[[:space:]])?main([[:space:]].*)?\$#deb \1 $2 main#p"
}

# Puts ONNX Runtime's headers into directory $1; $2 is a directory to work in.
fetch_headers() {
  local include=$1 work=$2
  if [ -f /usr/include/onnxruntime/onnxruntime_cxx_api.h ]; then
    cp /usr/include/onnxruntime/*.h "$include/"
    return
  fi
  command -v apt-get >/dev/null || fail "cannot fetch ONNX Runtime's headers without apt; set ONNXRUNTIME_ROOT"
  local architecture sha256 codename
  architecture=$(dpkg --print-architecture)
  sha256=${headers_sha256[$architecture]:-}
  [ -n "$sha256" ] || fail "no ONNX Runtime for the architecture $architecture is known here; set ONNXRUNTIME_ROOT"

  # A configuration of apt's own below $work: the machine's package lists never hear of the other suite.
  local apt=$work/apt
  mkdir -p "$apt"/{state/lists/partial,cache/archives/partial,sources,preferences}
  codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
  turned_stanzas "$codename" "$headers_suite" >"$apt/sources/debian.sources"
  turned_lines "$codename" "$headers_suite" >"$apt/sources/debian.list"
  [ -s "$apt/sources/debian.sources" ] || [ -s "$apt/sources/debian.list" ] ||
    fail "no source of Debian's main archive in /etc/apt; set ONNXRUNTIME_ROOT to a directory with ONNX Runtime"
  local options=(
    -qq
    -o "Dir::State=$apt/state" -o Dir::State::status=/dev/null -o "Dir::Cache=$apt/cache"
    -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$apt/sources"
    -o Dir::Etc::preferences=/dev/null -o "Dir::Etc::preferencesparts=$apt/preferences"
    -o Acquire::Languages=none -o "APT::Architectures=$architecture" -o APT::Sandbox::User=
  )
  say "downloading ONNX Runtime's headers ($headers_version)"
  apt-get "${options[@]}" update
  (cd "$work" && apt-get "${options[@]}" download "libonnxruntime-dev=$headers_version")
  local package=("$work"/libonnxruntime-dev_*.deb)
  printf '%s  %s\n' "$sha256" "${package[0]}" | sha256sum --check --quiet ||
    fail "the package libonnxruntime-dev is not the one that was pinned"
  dpkg --extract "${package[0]}" "$work/package"
  cp "$work"/package/usr/include/onnxruntime/*.h "$include/"
}

# Puts libonnxruntime.so and its licences into directory $1; $2 is a directory to work in.
fetch_library() {
  local destination=$1 work=$2 machine sha256
  machine=$(uname -m)
  python3 -m pip --version >/dev/null 2>&1 || require_packages python3-pip
  {
    printf 'onnxruntime==%s' "$onnxruntime_version"
    for sha256 in "${onnxruntime_wheel_sha256[@]}"; do printf ' --hash=sha256:%s' "$sha256"; done
    printf '\n'
  } >"$work/requirements.txt"
  say "downloading ONNX Runtime $onnxruntime_version"
  # The wheel's Python version is fixed as the library in it is the same in all of them, the hash is not.
  python3 -m pip --disable-pip-version-check --quiet --no-cache-dir download --no-deps --only-binary=:all: \
    --implementation cp --python-version 3.12 --abi cp312 --platform "manylinux_2_28_$machine" \
    --require-hashes --requirement "$work/requirements.txt" --dest "$work/wheel" ||
    fail "ONNX Runtime $onnxruntime_version could not be downloaded for $machine (see above)"
  python3 -m zipfile --extract "$work"/wheel/onnxruntime-*.whl "$work/wheel"
  local name=libonnxruntime.so.$onnxruntime_version
  install -m 644 "$work/wheel/onnxruntime/capi/$name" "$destination/lib/$name"
  ln -s "$name" "$destination/lib/libonnxruntime.so.${onnxruntime_version%%.*}"
  ln -s "$name" "$destination/lib/libonnxruntime.so"
  install -m 644 "$work/wheel/onnxruntime/"{LICENSE,ThirdPartyNotices.txt} "$destination/"
}

require_onnxruntime() {
  if [ -n "${ONNXRUNTIME_ROOT:-}" ]; then
    [ -d "$ONNXRUNTIME_ROOT/include" ] && [ -d "$ONNXRUNTIME_ROOT/lib" ] ||
      fail "ONNXRUNTIME_ROOT=$ONNXRUNTIME_ROOT has no include and lib directories"
    return
  fi
  local wanted
  wanted=$(sha256sum <"$script")
  if [ -f "$stamp" ] && [ "$(<"$stamp")" = "$wanted" ]; then return; fi
  if $offline; then fail "--offline, and ONNX Runtime is missing or outdated: run tools/setup.sh online, or set ONNXRUNTIME_ROOT"; fi

  # Two makes at once (build and build-sanitize, say) fetch once: the second waits, and finds the work done.
  mkdir -p "$dependencies"
  exec 9>"$dependencies/.lock"
  flock 9
  if [ -f "$stamp" ] && [ "$(<"$stamp")" = "$wanted" ]; then return; fi

  # Filled beside its place and moved there when complete, so that an interruption leaves nothing that looks ready.
  staging=$(mktemp -d "$dependencies/staging.XXXXXX")
  trap 'rm -rf "$staging"' EXIT
  mkdir -p "$staging"/onnxruntime/{include,lib} "$staging"/{headers,library}
  fetch_headers "$staging/onnxruntime/include" "$staging/headers"
  fetch_library "$staging/onnxruntime" "$staging/library"
  printf '%s\n' "$wanted" >"$staging/onnxruntime/.stamp"
  rm -rf "$dependencies/onnxruntime"
  mv "$staging/onnxruntime" "$dependencies/onnxruntime"
}

for argument in "$@"; do
  case $argument in
    --offline) offline=true ;;
    -h | --help) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$script"; exit ;;
    -*) fail "unknown option $argument (tools/setup.sh --help)" ;;
    *) packages+=("$argument") ;;
  esac
done
require_packages "${packages[@]}"
require_onnxruntime
