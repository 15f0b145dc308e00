#!/bin/sh
# Set everything up and pass the tests; arguments go to pytest (sh scripts/test.sh -m long).
set -eu
cd "$(dirname "$0")/.."
. scripts/environment.sh

# The headless core needs nothing of the system beside Python itself. When the window
# comes: its own environment and the libraries of Qt, by a second call of the same function.
environment .venv --constraints scripts/constraints.txt -e '.[test]'

.venv/bin/ruff check
.venv/bin/ruff format --check
.venv/bin/lint-imports
.venv/bin/mypy
.venv/bin/pytest -n 2 "$@"
