#!/usr/bin/env sh
# Resolves the dependencies again and writes the lock files: names, versions and hashes, and no download addresses.
set -eu
cd "$(dirname "$0")/../.."
lock() { .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header "$@"; }
lock ${1:-} pyproject.toml --extra aws --extra hsm --extra postgres --group dev requirements/tools.in -o requirements/dev.txt
lock requirements/node.in -o requirements/node.txt
lock requirements/halmos.in -o requirements/halmos.txt
lock requirements/vyper.in -o requirements/vyper.txt
