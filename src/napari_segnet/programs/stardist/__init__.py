"""Networks of StarDist: weights of Keras beside ``config.json``, which says what their layers are.

The network is drawn as StarDist and CSBDeep build it; neither they nor TensorFlow are needed.
"""

from napari_segnet.programs.stardist.program import StarDist

__all__ = ["StarDist"]
