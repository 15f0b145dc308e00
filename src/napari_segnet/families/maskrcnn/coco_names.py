"""The 80 classes of COCO, and the 90 numbers that they have there.

Lin et al. 2014 (https://cocodataset.org); torchvision counts all 90 numbers, Detectron2 and
MMDetection count the classes. Ten numbers were never given.
"""

from __future__ import annotations

__all__ = ["BY_NUMBER", "CLASSES"]

NEVER = "N/A"

_NAMES = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire
hydrant, N/A, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant,
bear, zebra, giraffe, N/A, backpack, umbrella, N/A, N/A, handbag, tie, suitcase, frisbee,
skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard,
tennis racket, bottle, N/A, wine glass, cup, fork, knife, spoon, bowl, banana, apple,
sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant,
bed, N/A, dining table, N/A, N/A, toilet, N/A, tv, laptop, mouse, remote, keyboard, cell
phone, microwave, oven, toaster, sink, refrigerator, N/A, book, clock, vase, scissors, teddy
bear, hair drier, toothbrush
"""

BY_NUMBER: tuple[str, ...] = tuple(_NAMES.replace("\n", " ").strip().split(", "))
"""Names of the numbers 1 to 90."""
CLASSES: tuple[str, ...] = tuple(name for name in BY_NUMBER if name != NEVER)
"""Names of the 80 classes, in their order."""
