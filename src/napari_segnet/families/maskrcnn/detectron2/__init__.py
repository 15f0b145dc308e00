"""Mask R-CNN of Detectron2."""

from napari_segnet.families.maskrcnn.detectron2.family import Detectron2MaskRCNN

__all__ = ["Detectron2MaskRCNN"]
