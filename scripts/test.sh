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
if [ $# -gt 0 ]; then
    .venv/bin/pytest -n 2 "$@"
    exit 0
fi
.venv/bin/pytest -n 2 --ignore tests/widgets
.venv/bin/pytest -n 2 tests/widgets

# The core needs neither napari nor Qt: in an environment without them, everything imports,
# the contracts of all open sets hold, and the commands do what they do.
environment .venv-core --constraints scripts/constraints.txt -e '.[test]'
.venv-core/bin/pytest -n 2 tests/contracts tests/commands tests/platforms tests/readers \
    tests/test_import.py tests/test_main.py tests/test_samples.py tests/widgets
