"""The U-Net of jvanvugt/pytorch-unet."""

from napari_segnet.families.jvanvugt.family import JvanvugtUNet, valid_size

__all__ = ["JvanvugtUNet", "valid_size"]
