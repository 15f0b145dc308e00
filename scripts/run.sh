#!/bin/sh
# Set everything up and segment: the images given, or sample images made here.
#
#   sh scripts/run.sh                       # sample images -> runs/demo
#   sh scripts/run.sh cells.tif -o results  # anything that `napari-segnet segment` takes
set -eu
cd "$(dirname "$0")/.."
. scripts/environment.sh

environment .venv -e .
if [ $# -gt 0 ]; then
    exec .venv/bin/napari-segnet segment "$@"
fi
.venv/bin/python scripts/sample_images.py runs/demo/images runs/demo/truth
.venv/bin/napari-segnet segment runs/demo/images/*.tif -o runs/demo/labels --overwrite
.venv/bin/napari-segnet evaluate runs/demo/labels runs/demo/truth
say "labels and their origin are in $(pwd)/runs/demo/labels"
