#!/bin/sh
# Set everything up and segment: the images given, or a sample image.
#
#   sh scripts/run.sh                       # the demo: in napari, or as files where there is no display
#   sh scripts/run.sh cells.tif -o results  # anything that `napari-segnet segment` takes
set -eu
cd "$(dirname "$0")/.."
. scripts/environment.sh

if [ $# -gt 0 ]; then
    environment .venv -e .
    exec .venv/bin/napari-segnet segment "$@"
elif has_display; then
    environment .venv -e '.[all]'
    window_libraries .venv
    exec .venv/bin/napari-segnet demo
else
    environment .venv -e .
    exec .venv/bin/napari-segnet demo -o runs/demo --headless
fi
