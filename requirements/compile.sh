#!/bin/sh
# Pins what pyproject.toml allows, with hashes and for every Python that we support. Run by `make lock`.
set -eu
cd "$(dirname "$0")/.."
uv="${UV:-.venv/bin/uv}"
lock() {
    out="$1"; shift
    "$uv" pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --no-annotate \
        --python-version 3.11 "$@" --output-file "$out" pyproject.toml
}
lock requirements/base.txt
lock requirements/dev.txt --extra postgres --group dev
printf "uv\nhatchling\neditables\n" | "$uv" pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --no-annotate \
    --python-version 3.11 --output-file requirements/tools.txt -
