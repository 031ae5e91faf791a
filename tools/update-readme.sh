#!/bin/bash
# Renews the generated part of the README: what stands between the coverage marks is what `onnxport list --markdown` prints.
set -euo pipefail
cd "$(dirname "$0")/.."

table=$(mktemp)
trap 'rm -f "$table"' EXIT
build/onnxport list --markdown >"$table"
sed -i -e '/^<!-- coverage:/,/^<!-- \/coverage -->/{//!d}' -e "/^<!-- coverage:/r $table" README.md
build/onnxport help-markdown >docs/options.md
