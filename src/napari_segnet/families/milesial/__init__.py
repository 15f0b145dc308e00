"""The U-Net of milesial/Pytorch-UNet."""

from napari_segnet.families.milesial.family import MilesialUNet

__all__ = ["MilesialUNet"]
