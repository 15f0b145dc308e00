"""Published networks that are copied into many repositories: U²-Net, U-Net++, and the 3D U-Net.

* xuebinqin/U-2-Net (Apache-2.0), ``U2NET`` and ``U2NETP`` (Qin et al. 2020)
* 4uiiurz1/pytorch-nested-unet (MIT), ``NestedUNet`` (Zhou et al. 2018)
* wolny/pytorch-3dunet (MIT), ``UNet3D`` and ``UNet2D`` (Çiçek et al. 2016), also of PlantSeg
"""

from __future__ import annotations

from napari_segnet.programs.library._pen import Miss, Pen

__all__ = ["nested_unet", "u2net", "unet3d"]


# ---- U²-Net


def u2net(pen: Pen) -> str:
    """Draw a U²-Net, whose every level is a U-Net; its answer is the one of all levels together.

    Its code resizes to the size of the skip connection: by 2, where 32 divides the image.
    """
    x, kept = pen.image, list[str]()
    for level in range(1, 7):
        x = _u_block(pen, f"stage{level}", x, flat=level > 4)
        kept.append(x)
        x = pen.pool(x) if level < 6 else x
    levels = [x := kept.pop()]
    for level in range(5, 0, -1):
        skip = kept.pop()
        x = pen.cat(pen.resize(x, 2, "linear"), skip)
        x = _u_block(pen, f"stage{level}d", x, flat=level == 5)
        levels.append(x)
    sides = [pen.conv(f"side{n}", one) for n, one in enumerate(reversed(levels), 1)]
    sides = [pen.resize(one, 2 ** min(n, 5), "linear") for n, one in enumerate(sides)]
    return pen.act(pen.conv("outconv", pen.cat(*sides)), "sigmoid")


def _u_block(pen: Pen, name: str, x: str, flat: bool) -> str:
    """Draw a small U-Net and a sum around it; a flat one widens its kernels instead of pooling."""
    depth = 1
    while pen.has(f"{name}.rebnconv{depth + 1}"):
        depth += 1
    if depth < 3:
        raise Miss(f"no tensors begin with {name}.rebnconv2")
    start = x = _u_conv(pen, f"{name}.rebnconvin", x)
    kept = []
    for n in range(1, depth):
        x = _u_conv(pen, f"{name}.rebnconv{n}", x, 2 ** (n - 1) if flat else 1)
        kept.append(x)
        x = pen.pool(x) if n < depth - 1 and not flat else x
    x = _u_conv(pen, f"{name}.rebnconv{depth}", x, 2 ** (depth - 1) if flat else 2)
    for n in range(depth - 1, 0, -1):
        skip = kept.pop()
        if n < depth - 1 and not flat:
            x = pen.resize(x, 2, "linear")
        x = _u_conv(pen, f"{name}.rebnconv{n}d", pen.cat(x, skip), 2 ** (n - 1) if flat else 1)
    return pen.add(x, start)


def _u_conv(pen: Pen, name: str, x: str, rate: int = 1) -> str:
    return pen.act(pen.norm(f"{name}.bn_s1", pen.conv(f"{name}.conv_s1", x, dilation=rate)))


# ---- U-Net++


def nested_unet(pen: Pen) -> str:
    """Draw a U-Net++; of several heads the last one answers."""
    depth = _rows(pen)
    nodes: dict[tuple[int, int], str] = {}
    for row in range(depth):
        below = pen.pool(nodes[row - 1, 0]) if row else pen.image
        nodes[row, 0] = _double(pen, f"conv{row}_0", below)
        for column in range(1, row + 1):
            at = row - column
            left = [nodes[at, one] for one in range(column)]
            up = pen.resize(nodes[at + 1, column - 1], 2, pen.overrides["upsampling"])
            nodes[at, column] = _double(pen, f"conv{at}_{column}", pen.cat(*left, up))
    head = "final" if pen.has("final") else f"final{depth - 1}"
    return pen.conv(head, nodes[0, depth - 1])


def _rows(pen: Pen) -> int:
    """Return how many levels there are."""
    rows = 0
    while pen.has(f"conv{rows}_0"):
        rows += 1
    return rows


def _double(pen: Pen, name: str, x: str) -> str:
    for n in (1, 2):
        x = pen.act(pen.norm(f"{name}.bn{n}", pen.conv(f"{name}.conv{n}", x)))
    return x


# ---- The U-Net of pytorch-3dunet


def unet3d(pen: Pen) -> str:
    """Draw a UNet3D or UNet2D of double convolutions; flat kernels leave an axis as it is."""
    count, x, kept = pen.count("encoders"), pen.image, list[str]()
    edges = pen.kernel("encoders.0.basic_module.SingleConv1.conv")
    factor = tuple(1 if edge == 1 else 2 for edge in edges)
    if pen.count("decoders") != count - 1:
        raise Miss(f"it has {count} encoders and {pen.count('decoders')} decoders")
    for n in range(count):
        x = _singles(pen, f"encoders.{n}.basic_module", pen.pool(x, factor, factor) if n else x)
        kept.append(x)
    kept.pop()
    for n in range(count - 1):
        if pen.has(f"decoders.{n}.upsampling"):
            raise Miss(f"decoders.{n} steps up by a transposed convolution")
        x = pen.cat(kept.pop(), pen.resize(x, factor, "nearest"))
        x = _singles(pen, f"decoders.{n}.basic_module", x)
    return pen.conv("final_conv", x)


def _singles(pen: Pen, name: str, x: str) -> str:
    for n in (1, 2):
        own = f"{name}.SingleConv{n}"
        norm = next((one for one in ("groupnorm", "batchnorm") if pen.has(f"{own}.{one}")), "")
        first = bool(norm) and pen.overrides["layer_order"] == "norm-conv"
        x = _grouped(pen, f"{own}.{norm}", x) if first else x
        x = pen.conv(f"{own}.conv", x)
        late = pen.overrides["layer_order"] == "conv-act-norm"
        x = _grouped(pen, f"{own}.{norm}", x) if norm and not first and not late else x
        x = pen.act(x)
        x = _grouped(pen, f"{own}.{norm}", x) if norm and late else x
    return x


def _grouped(pen: Pen, name: str, x: str) -> str:
    groups = int(pen.overrides["groups"])
    return pen.norm(name, x, groups=groups if groups <= pen.draw.channels(x) else 1)
