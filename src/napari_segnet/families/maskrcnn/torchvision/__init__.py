"""Mask R-CNN of torchvision."""

from napari_segnet.families.maskrcnn.torchvision.family import TorchvisionMaskRCNN

__all__ = ["TorchvisionMaskRCNN"]
