#!/bin/sh
# Set everything up and pass the tests; arguments go to pytest (sh scripts/test.sh --quick, -m long).
set -eu
cd "$(dirname "$0")/.."
. scripts/environment.sh

environment .venv --constraints scripts/constraints.txt -e '.[test,test-window]'
window_libraries .venv
screen_tools

.venv/bin/ruff check
.venv/bin/ruff format --check
.venv/bin/lint-imports
.venv/bin/mypy
.venv/bin/pytest -n 2 "$@"
[ $# -eq 0 ] || exit 0

# The core needs neither napari nor Qt: in an environment without them, everything imports,
# the contracts of all open sets hold, and the commands do what they do.
environment .venv-core --constraints scripts/constraints.txt -e '.[test]'
.venv-core/bin/pytest -n 2 tests/contracts tests/commands tests/platforms tests/readers \
    tests/test_import.py tests/test_main.py tests/test_samples.py tests/widgets
