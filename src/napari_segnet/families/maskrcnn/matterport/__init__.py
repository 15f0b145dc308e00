"""Mask R-CNN of matterport/Mask_RCNN, the ``.h5`` that its Keras program writes.

Recognised by the names of its layers, in ``model.save_weights`` and whole models alike. The shared
graph does what ``mrcnn/model.py`` (MIT, https://github.com/matterport/Mask_RCNN) does between them:
one point for each pixel of what is cut out (``crop_and_resize``), boxes that end with their last
pixel, proposals of all levels in one competition, one class for each box, black around a picture.
What no tensor shows stands in the program's ``Config``: it is assumed as in that, and can be told.
"""

from napari_segnet.families.maskrcnn.matterport.family import MatterportMaskRCNN

__all__ = ["MatterportMaskRCNN"]
