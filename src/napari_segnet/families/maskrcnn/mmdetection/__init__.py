"""Mask R-CNN of MMDetection."""

from napari_segnet.families.maskrcnn.mmdetection.family import MMDetectionMaskRCNN

__all__ = ["MMDetectionMaskRCNN"]
