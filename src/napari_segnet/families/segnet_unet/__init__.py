"""The U-Net of this package."""

from napari_segnet.families.segnet_unet.family import SegnetUNet, describe_new

__all__ = ["SegnetUNet", "describe_new"]
