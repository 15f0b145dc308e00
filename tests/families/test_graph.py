"""Networks that are stored with their graph: one file, no code, whatever they were before."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support.graph_networks import conv, gated, header, residual
from support.graphs import run_graph
from support.networks import calibrate, pictures
from support.random_graphs import random_graph
from support.teaching import QUICK, objects, photograph, write

from napari_segnet.checkpoint import Output, PrepareStep, Store
from napari_segnet.dataset import Dataset, Sample
from napari_segnet.engines.torch import identify, load
from napari_segnet.errors import (
    BrokenWeightsError,
    SettingsError,
    UnknownNetworkError,
    WeightsError,
)
from napari_segnet.families.graph import StoredGraph, describe_graph
from napari_segnet.graph import (
    Activation,
    Arithmetic,
    GlobalPooling,
    Graph,
    GraphBuilder,
    Identity,
    Node,
    Pooling,
    Reshape,
    Resize,
    Softmax,
    graph_to_json,
    receptive_field,
    sizes,
    tensors,
)
from napari_segnet.graph.build import build
from napari_segnet.image import Image
from napari_segnet.inference import PredictSettings, predict
from napari_segnet.progress import run
from napari_segnet.train import train

FAMILY = StoredGraph()
CHANNELS = {"2D": 2, "3D": 1}
GRAPHS = {"2D": gated, "3D": residual}
every = pytest.mark.parametrize("name", GRAPHS)


def stored(graph, path, seed=0, **how):
    """Write a calibrated network into a file; return module and checkpoint."""
    size = sizes(graph)
    shape = size.next_allowed((12, 48, 48)[-graph.ndim :])
    images = pictures(2, graph.image.operation.count, shape, seed)
    module = calibrate(build(graph), seed=seed, images=images).eval()
    store = Store(container="safetensors", keys={name: name for name in tensors(graph)})
    checkpoint = describe_graph(path=path, graph=graph, store=store, **how)
    return module, FAMILY.save(module, checkpoint, path)


@every
@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_a_file_is_opened_as_it_was_written(name, ending, tmp_path):
    how = {
        "prepare": (PrepareStep(name="normalize", options={"how": "none", "over": "volume"}),),
        "card": {"data": "made up"},
        "pixel_size_um": {"x": 0.5, "y": 0.5},
    }
    module, saved = stored(GRAPHS[name](), tmp_path / f"a{ending}", **how)
    found = identify(saved.path)
    for field in ("family", "hparams", "ndim", "channels", "classes", "outputs", "size", "store"):
        assert getattr(found, field) == getattr(saved, field), field
    for field in ("prepare", "card", "pixel_size_um", "parameters"):
        assert getattr(found, field) == getattr(saved, field), field
    assert FAMILY.graph(found) == GRAPHS[name]()
    assert found.exact
    engine = load(found, "cpu")
    lengths = found.size.next_allowed((7, 33, 40)[-found.ndim :])
    batch = pictures(1, found.channels, lengths)
    with torch.inference_mode():
        raw = module(batch)
    role = {1: torch.sigmoid, 3: lambda x: x.softmax(1)}[raw.shape[1]]
    assert np.abs(engine.maps(batch.numpy()) - role(raw).numpy()).max() < 1e-5
    assert engine.peak_bytes(1, lengths) > 4 * batch.numel()


def test_it_cannot_be_told_what_stands_in_it(tmp_path):
    _, saved = stored(gated(), tmp_path / "a.safetensors")
    with pytest.raises(SettingsError, match="completely, so bilinear, depth cannot be told"):
        identify(saved.path, {"depth": 3, "bilinear": True})


@pytest.mark.sample(2)
@pytest.mark.parametrize("seed", [3, 7, 11, 14, 15])
def test_tiles_equal_the_whole_of_a_random_network(seed, tmp_path):
    graph = random_graph(seed)
    module, saved = stored(graph, tmp_path / "a.safetensors", seed)
    checkpoint = replace(
        identify(saved.path),
        outputs=tuple(replace(output, activation="none") for output in saved.outputs),
    )
    lengths = checkpoint.size.next_allowed((11, 101, 90)[-graph.ndim :])
    image = pictures(1, checkpoint.channels, lengths, seed=5)
    settings = PredictSettings(
        normalize="none", device="cpu", tile_px=(48, 48), batch_size=1, seams="exact"
    )
    axes = "c" + "zyx"[-graph.ndim :]
    with torch.inference_mode():
        expected = module(image)[0]
        exact = run_graph(graph, image.double(), module.double().state_dict())[0]
    prediction = run(predict(checkpoint, Image(data=image[0].numpy(), axes=axes), settings))
    apart = np.abs(prediction.answer.data - expected.numpy()).max()
    single = float((exact - expected).abs().max())
    assert apart <= max(1e-4, 3 * single, 1e-3 * float(expected.std()))
    assert prediction.origin.engine["exact"]


def squeezed():
    draw = GraphBuilder(1, 2)
    x = draw.add("enter", conv(4, 3), draw.image)
    y = draw.add("pool", GlobalPooling(kind="average"), x)
    y = draw.add("gate", Activation(function="sigmoid"), draw.add("inner", conv(4, 1), y))
    x = draw.add("excite", Arithmetic(kind="multiply"), x, y)
    return draw.graph(draw.add("head", conv(1, 1), x))


def test_what_looks_at_the_whole_image_is_blended_and_says_so(tmp_path):
    _, saved = stored(squeezed(), tmp_path / "a.safetensors")
    checkpoint = identify(saved.path)
    assert (checkpoint.exact, checkpoint.halo_px) == (False, None)
    assert "depends on the whole image" in checkpoint.known["exact"].why
    image = Image(data=pictures(1, 1, (90, 90))[0, 0].numpy(), axes="yx")
    settings = PredictSettings(normalize="none", device="cpu", tile_px=(48, 48))
    assert not run(predict(checkpoint, image, settings)).origin.engine["exact"]


def dataset(root, graph, classes=None):
    shape = (12, 48, 48)[-graph.ndim :]
    labels = objects(shape, seed=1, classes=classes)
    axes, count = "zyx"[-graph.ndim :], graph.image.operation.count
    pixels = photograph(labels, channels=count if count > 1 else None)
    image = write(root / "images" / "0.tif", pixels, ("c" if count > 1 else "") + axes)
    sample = Sample(image=image, labels=write(root / "labels" / "0.tif", labels, axes))
    return Dataset(root=root, samples=(sample,))


@pytest.mark.trains
@every
@pytest.mark.parametrize("head", ["keep", "objects", "4"])
def test_it_is_taught_and_written_back(name, head, tmp_path):
    graph = GRAPHS[name]()
    module, saved = stored(graph, tmp_path / "old.safetensors")
    settings = replace(QUICK, head=head, freeze_stages=1, crop_z_px=4)
    classes = None if head == "objects" or (head == "keep" and name == "2D") else 2
    data = dataset(tmp_path / "d", graph, classes)
    out = tmp_path / "new.safetensors"
    taught = run(train(identify(saved.path), data, out, settings))
    found = identify(out)
    assert taught.outputs == found.outputs
    expected = {"keep": saved.outputs[0].channels, "objects": 3, "4": 4}[head]
    assert sum(output.channels for output in found.outputs) == expected
    state = load(found, "cpu").module.state_dict()
    same = {k for k, v in module.state_dict().items() if torch.equal(v, state[k])}
    first = "enter" if name == "2D" else "stem"
    assert f"{first}.weight" in same, "the level of the full size was frozen"
    assert "head.weight" not in same
    deeper = "deep.weight" if name == "2D" else "inner.weight"
    assert deeper not in same, "all else has learned"


def test_levels_of_the_encoder_end_where_it_comes_back_up():
    def names(graph):
        module = build(graph)
        by_layer = {id(layer): name for name, layer in module.named_modules()}
        return [[by_layer[id(layer)] for layer in stage] for stage in FAMILY.stages(module)]

    assert names(gated()) == [["enter"], ["depth", "point", "norm", "deep"]]
    assert names(residual()) == [["stem", "norm", "slope"], ["down", "inner"]]


def ended(*operations):
    draw = GraphBuilder(1, 2)
    x = draw.add("head", conv(1, 1), draw.image)
    for number, operation in enumerate(operations):
        x = draw.add(str(number), operation, x)
    return draw.graph(x)


@pytest.mark.parametrize(
    ("operations", "activation", "source", "why"),
    [
        ([], "sigmoid", "assumed", "ends without an activation; sigmoid is usual"),
        ([Activation(function="sigmoid")], "none", "read", "the network ends with sigmoid"),
        ([Softmax(), Identity(dropout=0.1)], "none", "read", "the network ends with softmax"),
        ([Activation(function="tanh")], "none", "read", "the network ends with tanh"),
    ],
)
def test_an_activation_at_the_end_is_a_fact(operations, activation, source, why, tmp_path):
    store = Store(container="safetensors")
    found = describe_graph(path=tmp_path, graph=ended(*operations), store=store)
    assert found.outputs == (Output(role="foreground", channels=1, activation=activation),)
    assert found.known["outputs"].source == source
    assert why in found.known["outputs"].why


def test_other_outputs_take_the_place_of_the_activation_inside(tmp_path):
    store = Store(container="safetensors")
    found = describe_graph(path=tmp_path, graph=ended(Activation(function="sigmoid")), store=store)
    classes = (Output(role="class", channels=3, activation="softmax"),)
    graph = FAMILY.graph(FAMILY.with_outputs(found, classes))
    assert [node.name for node in graph.nodes] == ["image", "head"]
    assert tensors(graph)["head.weight"].shape == (3, 1, 1, 1)


def test_a_network_whose_end_is_no_convolution_keeps_its_outputs(tmp_path):
    store = Store(container="safetensors")
    up = Resize(factor=(2, 2), mode="nearest")
    pool = {"stride": (2, 2), "padding": (0, 0), "dilation": (1, 1)}
    graph = ended(Pooling(kind="max", kernel=(2, 2), **pool), up)
    found = describe_graph(path=tmp_path, graph=graph, store=store)
    with pytest.raises(SettingsError, match="does not end with one convolution whose channels"):
        FAMILY.with_outputs(found, found.outputs)


# ---- Files that lie ----


def forged(path, change, graph=None):
    """Write a file whose header somebody has changed."""
    graph = graph or gated()
    text = json.loads(header(graph))
    change(text)
    state = {name: torch.zeros(t.shape) for name, t in tensors(graph).items()}
    save_file(state, path, metadata={"napari_segnet": json.dumps(text)})
    return path


def nodes(text):
    return text["hparams"]["graph"]["nodes"]


def huge(count):
    def change(text):
        row = {"operation": "identity", "numbers": {}, "inputs": ["image"], "tensors": {}}
        nodes(text).extend({**row, "name": f"n{i}"} for i in range(count))

    return change


def chained(text):
    """Each node takes the one before it twice: 2 to the 5,000 ways through."""
    row = {"operation": "arithmetic", "numbers": {"kind": "add"}, "tensors": {}}
    last = "head"
    for i in range(5000):
        nodes(text).append({**row, "name": f"n{i}", "inputs": [last, last]})
        last = f"n{i}"
    text["hparams"]["graph"]["outputs"] = [last]


LIES = {
    "no graph": (lambda t: t["hparams"].clear(), "cannot be understood"),
    "a million nodes": (huge(60_000), r"60\d\d\d nodes; no more than 20000 are taken"),
    "a cycle": (lambda t: nodes(t)[1].update(inputs=["head"]), "no node before 'enter' is called"),
    "a giant kernel": (
        lambda t: nodes(t)[1]["numbers"].update(kernel=[10**9, 3]),
        "kernel of 'convolution' is larger than 100000",
    ),
    "giant numbers": (
        lambda t: nodes(t)[1]["numbers"].update(outputs=10**300),
        "a number has 301 digits",
    ),
    "no number": (
        lambda t: nodes(t)[2]["numbers"].update(slope=float("nan")),
        "NaN is no number of JSON",
    ),
    "a stride for which no image is large enough": (
        lambda t: nodes(t)[1]["numbers"].update(stride=[90_000, 90_000]),
        "cannot be built",
    ),
    "a name of code": (lambda t: nodes(t)[1].update(operation="lambda"), "no operation 'lambda'"),
    "a list for a name": (lambda t: nodes(t)[1].update(operation=[]), "cannot be understood"),
    "other channels": (lambda t: t["outputs"][0].update(channels=7), "do not share 1 channels"),
    "tensors of other names": (
        lambda t: nodes(t)[1].update(tensors={"weight": "enter.bias", "bias": "enter.weight"}),
        "the tensor 'enter.bias' is the weight of 'enter'",
    ),
    "one layer inside another": (
        lambda t: nodes(t)[1].update(tensors={"weight": "head.a.weight", "bias": "head.a.bias"}),
        "'head.a' lies inside another layer",
    ),
    "too few inputs": (lambda t: nodes(t)[1].update(inputs=[]), "takes 1 inputs, not 0"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_graph_that_lies_is_refused_in_a_sentence_and_in_time(lie, tmp_path):
    change, says = LIES[lie]
    path = forged(tmp_path / "a.safetensors", change)
    begun = time.process_time()
    with pytest.raises((BrokenWeightsError, UnknownNetworkError), match=says):
        identify(path)
    assert time.process_time() - begun < 5


def test_a_graph_of_many_ways_takes_no_time(tmp_path):
    begun = time.process_time()
    found = identify(forged(tmp_path / "a.safetensors", chained))
    assert found.halo_px == receptive_field(gated())
    assert time.process_time() - begun < 10


def test_a_shape_that_no_image_has_is_refused(tmp_path):
    """Lengths are parsed, never run, and not computed beyond any image."""
    for text in ("9**9**9", "__import__('os')", "y" * 300, "((((y", "9999999999*9999999999*99"):
        graph = ended(Reshape(lengths=(1, "y", "x")))
        row = graph_to_json(graph)
        row["nodes"][-1]["numbers"]["lengths"] = [1, text, "x"]

        def change(said, row=row):
            said["hparams"]["graph"] = row

        with pytest.raises(WeightsError, match=r"cannot be (understood|built)"):
            identify(forged(tmp_path / "a.safetensors", change, ended()))


def test_what_torch_cannot_build_is_said_when_it_is_loaded(tmp_path):
    draw = GraphBuilder(1, 2)
    x = draw.add("head", conv(1, 1), draw.image)
    pair = {"kernel": (3, 3), "stride": (1, 1), "padding": (0, 0), "dilation": (2, 2)}
    graph = draw.graph(draw.add("pool", Pooling(kind="average", **pair), x))
    path = forged(tmp_path / "a.safetensors", lambda text: None, graph)
    with pytest.raises(UnknownNetworkError, match="cannot be built: 'pool' is an average pooling"):
        load(identify(path), "cpu")


def test_many_changed_headers_end_in_a_sentence(tmp_path):
    """Any value anywhere in the graph may be another one."""
    rng = np.random.default_rng(0)
    odd = [None, True, -1, 0, 10**12, 1e308, "x", "", [], [1], [[]], {}, {"a": 1}, "image"]
    refused = 0
    for number in range(120):

        def change(text):
            place = text["hparams"]
            while True:
                keys = list(place) if isinstance(place, dict) else list(range(len(place)))
                key = keys[int(rng.integers(len(keys)))]
                inner = place[key]
                if isinstance(inner, dict | list) and inner and rng.integers(6):
                    place = inner
                    continue
                place[key] = odd[int(rng.integers(len(odd)))]
                return

        path = forged(tmp_path / f"{number}.safetensors", change)
        try:
            load(identify(path), "cpu")
        except WeightsError as error:
            refused += 1
            assert str(error)
        path.unlink()
    assert refused > 96


def test_several_outputs_cannot_be_replaced_by_others(tmp_path):
    graph = ended(Activation(function="sigmoid"))
    graph = Graph(
        nodes=(*graph.nodes, Node(name="again", operation=Identity(), inputs=("head",))),
        outputs=("0", "again"),
    )
    found = describe_graph(path=tmp_path, graph=graph, store=Store(container="safetensors"))
    assert found.outputs[0].channels == 2
    with pytest.raises(SettingsError, match="does not end with one convolution"):
        FAMILY.with_outputs(found, found.outputs)
