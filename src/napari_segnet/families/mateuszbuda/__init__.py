"""The U-Net of mateuszbuda/brain-segmentation-pytorch."""

from napari_segnet.families.mateuszbuda.family import MateuszbudaUNet

__all__ = ["MateuszbudaUNet"]
