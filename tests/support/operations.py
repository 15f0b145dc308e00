"""Operations drawn at random, with Hypothesis, and graphs of one of them."""

from __future__ import annotations

from typing import get_args, get_type_hints

from hypothesis import strategies as st

from napari_segnet.graph import (
    Activation,
    AdaptivePooling,
    Arithmetic,
    BatchNorm,
    ChannelPooling,
    Channels,
    Concatenate,
    Convolution,
    Crop,
    GlobalPooling,
    GraphBuilder,
    GroupNorm,
    Identity,
    InstanceNorm,
    LayerNorm,
    MatchSize,
    Pad,
    Permute,
    PixelShuffle,
    PixelUnshuffle,
    Pooling,
    Rescale,
    Reshape,
    Resize,
    ResizeLike,
    Softmax,
    TransposedConvolution,
    Unpooling,
    WindowAttention,
)  # fmt: skip


def alone(operation, channels=2, inputs=1):
    """Return a graph of nothing else."""
    draw = GraphBuilder(channels, 2)
    return draw.graph(draw.add("layer", operation, *[draw.image] * inputs))


def pairs(low, high):
    return st.tuples(st.integers(low, high), st.integers(low, high))


CONVOLUTIONS = st.builds(
    Convolution,
    outputs=st.just(4),
    kernel=pairs(1, 4),
    stride=pairs(1, 3),
    before=pairs(0, 3),
    after=pairs(0, 3),
    dilation=pairs(1, 3),
    groups=st.sampled_from([1, 2]),
    bias=st.booleans(),
    fill=st.sampled_from(["zeros", "reflect", "replicate"]),
)
SAME = st.builds(
    Convolution,
    outputs=st.just(4),
    kernel=pairs(1, 5),
    stride=pairs(1, 3),
    before=st.just((0, 0)),
    after=st.just((0, 0)),
    dilation=pairs(1, 2),
    groups=st.sampled_from([1, 2]),
    fill=st.sampled_from(["zeros", "replicate"]),
    same=st.just(True),
)
TRANSPOSED = st.builds(
    TransposedConvolution,
    outputs=st.just(4),
    kernel=pairs(1, 4),
    stride=pairs(1, 3),
    before=pairs(0, 2),
    after=pairs(0, 2),
    extra=pairs(0, 2),
    dilation=pairs(1, 3),
    groups=st.sampled_from([1, 2]),
    bias=st.booleans(),
)
RESIZES = st.builds(
    Resize,
    factor=pairs(1, 4),
    mode=st.sampled_from(["nearest", "linear"]),
    grid=st.sampled_from(["half-pixel", "corners", "asymmetric"]),
)
MARGINS = {"before": pairs(0, 3), "after": pairs(0, 3)}
CUTS = st.one_of(
    st.builds(Pad, **MARGINS, fill=st.sampled_from(["zeros", "reflect", "replicate"])),
    st.builds(Crop, **MARGINS),
)


@st.composite
def poolings(draw, kinds=("max", "average")):
    kernel = draw(pairs(1, 4))
    kind = draw(st.sampled_from(kinds))
    same = draw(st.booleans())
    return Pooling(
        kind=kind,
        kernel=kernel,
        stride=draw(pairs(1, 4)),
        # torch: at most half a window
        padding=tuple(0 if same else draw(st.integers(0, k // 2)) for k in kernel),
        dilation=draw(pairs(1, 2)) if kind == "max" else (1, 1),
        ceil=draw(st.booleans()),
        count_padding=draw(st.booleans()),
        same=same,
    )


ACTIVATIONS = st.builds(
    Activation,
    function=st.sampled_from(get_args(get_type_hints(Activation)["function"])),
    slope=st.sampled_from([0.01, 0.2, 1.0]),
    slopes=st.sampled_from([1, 2]),
    threshold=st.sampled_from([0.0, 0.5, -0.3]),
    low=st.sampled_from([-1.0, 0.0]),
    high=st.sampled_from([0.5, 6.0]),
)
FLAGS = {"weight": st.booleans(), "bias": st.booleans(), "epsilon": st.sampled_from([1e-5, 1e-3])}
NORMS = st.one_of(
    st.builds(BatchNorm, frozen=st.booleans(), counted=st.booleans(), **FLAGS),
    st.builds(GroupNorm, groups=st.sampled_from([1, 2]), **FLAGS),
    st.builds(LayerNorm, **FLAGS),
    st.builds(InstanceNorm, learnt=st.booleans(), epsilon=FLAGS["epsilon"]),
)
GRIDS = st.sampled_from(["half-pixel", "corners", "asymmetric"])
LIKES = st.builds(
    ResizeLike, mode=st.just("linear"), grid=GRIDS, size=st.sampled_from([(), ("y//2", "x+3")])
) | st.builds(
    ResizeLike, mode=st.just("nearest"), grid=st.sampled_from(["half-pixel", "asymmetric"])
)
OTHERS = st.one_of(
    st.builds(Softmax, along=st.integers(0, 2), log=st.booleans()),
    st.builds(Rescale, scales=st.sampled_from([(0.5,), (2.0, -1.0)]), offsets=st.just((0.25,))),
    st.just(Identity(dropout=0.5)),
    st.builds(Channels, first=st.integers(0, 1), count=st.just(1)),
    st.builds(ChannelPooling, kind=st.sampled_from(["max", "average", "sum"])),
    st.builds(GlobalPooling, kind=st.sampled_from(["max", "average"])),
    st.builds(AdaptivePooling, kind=st.sampled_from(["max", "average"]), size=pairs(1, 3)),
    st.just(Permute(order=(1, 2, 0))),
    st.sampled_from([Reshape(lengths=(2, "y*x")), Reshape(lengths=("rest", "x"))]),
)
JOINS = st.one_of(
    st.builds(Concatenate, along=st.integers(0, 2)),
    st.builds(Arithmetic, kind=st.sampled_from(get_args(get_type_hints(Arithmetic)["kind"]))),
    st.builds(MatchSize, keep=st.sampled_from(["middle", "begin"])),
    st.builds(Unpooling, kernel=pairs(1, 2), stride=pairs(2, 3)),
    LIKES,
)
SHUFFLES = st.builds(
    PixelShuffle,
    factor=st.sampled_from([(1, 2), (2, 1)]),
    order=st.sampled_from(["channels-first", "block-first"]),
) | st.builds(PixelUnshuffle, factor=st.sampled_from([(1, 2), (2, 1), (4, 2)]))
WINDOWS = st.builds(
    WindowAttention,
    heads=st.sampled_from([1, 2]),
    window=pairs(2, 4),
    shift=pairs(0, 1),
    bias=st.booleans(),
)
