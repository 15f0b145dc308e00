#!/bin/sh
# Set everything up and pass the tests; arguments go to pytest (sh scripts/test.sh --quick, -m long).
set -eu
cd "$(dirname "$0")/.."
. scripts/environment.sh

environment .venv --constraints scripts/constraints.txt -e '.[test,test-window]'
window_libraries .venv
screen_tools

# The tests start hundreds of processes, each of which would compile the package anew where Python
# keeps nothing; and none of them keeps a module while a test plays a full disk.
.venv/bin/python -m compileall -q src
export PYTHONDONTWRITEBYTECODE=1

.venv/bin/ruff check
.venv/bin/ruff format --check
.venv/bin/lint-imports
.venv/bin/mypy
if [ $# -gt 0 ]; then
    .venv/bin/pytest -n 2 "$@"
    exit 0
fi

# The core needs neither napari nor Qt: all its tests pass in an environment without them. Where
# they are, the window is tried, and that nothing else asks for them.
environment .venv-core --constraints scripts/constraints.txt -e '.[test]'
.venv-core/bin/pytest -n 2
.venv/bin/pytest -n 2 tests/widgets tests/test_import.py \
    tests/test_contributing.py::test_the_dock_is_found_by_napari_and_works
