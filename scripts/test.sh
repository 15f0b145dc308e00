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

# The core needs neither napari nor Qt: all its tests pass in an environment without them. What
# touches napari runs where it is, with the tests that look at what an installation brings.
environment .venv-core --constraints scripts/constraints.txt -e '.[test]'
.venv-core/bin/pytest -n 2
.venv/bin/pytest -n 2 tests/widgets tests/platforms tests/test_contributing.py tests/test_docs.py \
    tests/test_import.py tests/test_main.py
