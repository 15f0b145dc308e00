"""Networks in TorchScript, traced, scripted and frozen answer as torch; none of them is run."""

from __future__ import annotations

import os
import time
import warnings
import zipfile
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import napari_segnet as sn
from napari_segnet.containers import open_tree
from napari_segnet.errors import SettingsError, UnsupportedWeightsError, WeightsError
from napari_segnet.recognition import identify

# torch's way of writing such files is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning",
                                        "ignore:.*torch.jit:DeprecationWarning")  # fmt: skip

WILD = Path(os.environ.get("SEGNET_WILD", Path(__file__).parents[3] / "shared" / "wild"))


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, norm: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = norm
        self.act = nn.LeakyReLU(0.2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.norm(self.conv(x)))


class UNet(nn.Module):
    """A skip connection that is brought to size, one that is padded, and one that is gated."""

    def __init__(self, padded: bool = False) -> None:
        super().__init__()
        self.padded = padded
        self.first = Block(2, 4, nn.BatchNorm2d(4))
        self.pool = nn.MaxPool2d(2)
        self.second = Block(4, 4, nn.GroupNorm(2, 4))
        self.squeeze = nn.AdaptiveAvgPool2d(1)
        self.gate = nn.Linear(4, 4)
        self.up = nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.drop = nn.Dropout2d(0.5)
        self.last = nn.Conv2d(8, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.dim() == 4
        skip = self.first(x)
        low = self.second(self.pool(skip))
        low = low * torch.sigmoid(self.gate(self.squeeze(low).flatten(1)))[:, :, None, None]
        if self.training:
            low = low * 0
        if self.padded:
            high = self.up(low)
            dy, dx = skip.shape[2] - high.shape[2], skip.shape[3] - high.shape[3]
            high = F.pad(high, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
        else:
            high = F.interpolate(low, size=skip.shape[2:], mode="bilinear", align_corners=True)
        return self.last(self.drop(torch.cat([skip, high], dim=1)))


def made(network: nn.Module) -> nn.Module:
    torch.manual_seed(3)
    for one in network.parameters():
        nn.init.normal_(one, 0, 0.5)
    for name, one in network.named_buffers():
        if name.endswith("running_var"):
            nn.init.uniform_(one, 0.5, 2)
    return network.eval()


def traced(network: nn.Module, image: torch.Tensor) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of conditions on sizes
        return torch.jit.trace(network, image)


def scripted(network: nn.Module, image: torch.Tensor) -> Any:
    return torch.jit.script(network)


def frozen(network: nn.Module, image: torch.Tensor) -> Any:
    return torch.jit.freeze(torch.jit.script(network))


WAYS: list[Callable[..., Any]] = [traced, scripted, frozen]


def saved(path: Path, network: nn.Module, way: Callable[..., Any] = scripted) -> Path:
    way(network, torch.rand(1, 2, 16, 20)).save(str(path))
    return path


def answer(path: Path, image: torch.Tensor) -> torch.Tensor:
    module = sn.load(identify(path), device="cpu").module
    with torch.no_grad():
        found: torch.Tensor = module(image)
    return found


@pytest.mark.sample(3)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("padded", [False, True])
def test_answers_as_torch_does(padded: bool, way: Callable[..., Any], tmp_path: Path) -> None:
    network = made(UNet(padded))
    path = saved(tmp_path / "a.pt", network, way)
    checkpoint = identify(path)
    assert (checkpoint.program, checkpoint.channels) == ("torchscript", 2)
    for size in ((16, 20), (13, 19)):
        if any(n % m for n, m in zip(size, checkpoint.size.multiple, strict=True)):
            continue
        image = torch.rand(2, 2, *size)
        with torch.no_grad():
            expected = network(image)
        assert torch.allclose(answer(path, image), expected, atol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_odd_images_are_taken_where_the_network_takes_them(
    way: Callable[..., Any], tmp_path: Path
) -> None:
    assert identify(saved(tmp_path / "a.pt", made(UNet()), way)).size.multiple == (1, 1)


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> list[torch.Tensor]:
        both = self.conv(torch.cat([a, b], 1))
        return [both[:, :1], both[:, 1:]]


def test_several_inputs_are_channels_of_one_image(tmp_path: Path) -> None:
    network, path = made(Two()), tmp_path / "a.pt"
    torch.jit.script(network).save(str(path))
    image = torch.rand(1, 2, 8, 8)
    with torch.no_grad():
        expected = torch.cat(network(image[:, :1], image[:, 1:]), 1)
    assert torch.allclose(answer(path, image), expected, atol=1e-6)
    checkpoint = identify(path)
    assert [output.role for output in checkpoint.outputs] == ["foreground", "other"]
    assert "2 inputs are the channels of one image: a, b" in checkpoint.notes[0]


class OnValues(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        if bool(x.amax((2, 3)).amax(1)[0] > 0):
            return x
        return x * 2


class OnSize(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        if x.shape[2] > 300:
            x = x * 2
        return x


class Training(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.dropout(self.conv(x), 0.5, training=True)


class Rounded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).to(torch.int64).float()


class Sorted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cumsum(self.conv(x), 1)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (OnValues, "a.pt is a TorchScript program, but .*(branches on values|picks something)"),
        (OnSize, "does something else with an image of [0-9]+ x [0-9]+ pixels"),
        (Training, "drops values while it is trained"),
        (Rounded, "rounds values of the image to whole numbers"),
        (Sorted, r"does torch\.cumsum, which is not read"),
    ],
)
def test_what_is_not_read_is_named(kind: type, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.jit.script(kind().eval()).save(str(path))
    with pytest.raises(UnsupportedWeightsError, match=message):
        identify(path)


class Word(nn.Module):
    """Layers that are called as words of Python that TorchScript has not."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 1, 1)]
        self.layers = nn.ModuleDict(dict(zip(("from", "lambda", "async"), layers, strict=True)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers.values():
            x = layer(x)
        return x


@pytest.mark.parametrize("way", [traced, scripted])
def test_layers_may_be_called_as_words_of_python(way: Callable[..., Any], tmp_path: Path) -> None:
    network, image = made(Word()), torch.rand(1, 1, 16, 16)
    path = saved(tmp_path / "a.pt", network, lambda *_: way(network, image))
    assert torch.allclose(answer(path, image), network(image).detach(), atol=1e-5)


class Kind(Enum):
    FINE = 1
    COARSE = 2


class Enumerated(nn.Module):
    """A field that is a value of an enumeration."""

    def __init__(self) -> None:
        super().__init__()
        self.kind, self.layer = Kind.FINE, nn.Conv2d(1, 1, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) if self.kind == Kind.FINE else x


def test_values_of_enumerations_are_read(tmp_path: Path) -> None:
    tree = open_tree(saved(tmp_path / "a.pt", made(Enumerated())))
    assert set(tree.root) == {"layer.weight", "layer.bias"}
    kind = tree.metadata["module"].fields()["kind"]
    assert kind.name.endswith("Kind")
    assert kind.args == (1,)


def test_nothing_can_be_told(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", made(UNet()))
    with pytest.raises(SettingsError, match="says itself what it is, so join cannot be told"):
        identify(path, {"join": "add"})


def changed(path: Path, new: Path, change: Callable[[str, str], str]) -> Path:
    """Write a copy in which code is changed: of each file by its name and text."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(new, "w") as archive:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith(".py"):
                data = change(name, data.decode()).encode()
            archive.writestr(name, data)
    return new


HOSTILE = (
    "open({trap!r}, 'w')",
    "__import__('os').system('touch {trap}')",
    "torch.ops.load_library({trap!r})",
    "eval('open({trap!r}, \"w\")')",
    "(lambda: open({trap!r}, 'w'))()",
    "[open({trap!r}, 'w') for _ in [1]]",
    "f\"{{open({trap!r}, 'w')}}\"",
    "torch.save(input, {trap!r})",
    "self.__class__.__init__.__globals__['open']({trap!r}, 'w')",
)


@pytest.mark.sample(12)
@pytest.mark.parametrize("line", HOSTILE)
@pytest.mark.parametrize("where", ["body", "module", "class", "default"])
def test_code_is_never_run(line: str, where: str, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    code = line.format(trap=str(trap))
    path = saved(tmp_path / "a.pt", made(UNet()))

    def change(name: str, text: str) -> str:
        if where == "module":
            return f"{code}\n{text}"
        if where == "class":
            return text.replace("  __buffers__ = []", f"  __buffers__ = {code}")
        if where == "default":
            return text.replace("Tensor) -> Tensor:", f"Tensor, extra: int={code}) -> Tensor:")
        return text.replace(") -> Tensor:\n", f") -> Tensor:\n    extra = {code}\n", 1)

    try:
        identify(changed(path, tmp_path / "b.pt", change))
    except WeightsError as error:
        assert "b.pt" in str(error)
    assert not trap.exists()


@pytest.mark.sample(4)
@pytest.mark.parametrize(
    "body",
    [
        "    while True:\n      pass\n",
        "    x = []\n    for i in range(1000000000):\n      y = 1\n",
        "    return self.forward(x)\n",
        "    x = " + "(" * 90 + "1" + ")" * 90 + "\n",
        "    x = " + "-" * 5000 + "1\n",
        "    x = 10 ** 10 ** 10\n",
        "    return torch.pow(10, torch.pow(10, 100))\n",
        "    for i in range(9999):\n      y = torch.relu(x)\n",
        "    return 0x" + "f" * 100000 + "\n",
        "    y = [1]\n    for i in range(60):\n      y = [y, y]\n    return torch.eq(y, y)\n",
        "    y = [1]\n    for i in range(9000):\n      y = torch.add(y, torch.mul(y, 2))\n",
        "    y = [1]\n    for i in range(9):\n      y = [y, y]\n    return torch.format('{}', y)\n",
    ],
)
def test_what_does_not_end_ends(body: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", made(UNet()))

    def change(name: str, text: str) -> str:
        return (
            text.replace(") -> Tensor:\n", f") -> Tensor:\n{body}", 1) if "UNet" in text else text
        )

    before = time.process_time()
    with pytest.raises(WeightsError, match=r"b\.pt"):
        identify(changed(path, tmp_path / "b.pt", change))
    assert time.process_time() - before < 5


@pytest.mark.sample(1)
@pytest.mark.parametrize("seed", range(4))
def test_changed_code_gives_no_other_error(seed: int, tmp_path: Path) -> None:
    source = np.random.default_rng(seed)
    path = saved(tmp_path / "a.pt", made(UNet()), WAYS[seed % 2])

    def change(name: str, text: str) -> str:
        words = text.split(" ")
        for _ in range(int(source.integers(1, 3))):
            a, b = source.integers(len(words), size=2)
            way = source.integers(3)
            if way == 0:
                words[a] = words[b]
            elif way == 1:
                words[a] = words[a].replace("1", "70").replace("(", "[", 1)
            else:
                del words[a]
        return " ".join(words)

    for number in range(40):
        new = changed(path, tmp_path / f"b{number}.pt", change)
        try:
            identify(new)
        except WeightsError as error:
            assert new.name in str(error)


REAL = {
    "bio_nucleibroad_ts": "checkpoints/bioimageio_unet2d_nuclei_broad/weights.pt",
    "bio_torchem_multitensor_ts": "",
}


@pytest.mark.parametrize("name", REAL)
def test_real_networks_answer_as_torch(name: str, data: Path) -> None:
    places = [WILD / f"{name}.pt", data / (REAL[name] or f"wild/{name}.pt")]
    found = [place for place in places if place.is_file()]
    if not found or not (WILD / f"{name}.npz").is_file():
        pytest.skip(f"no weights of {name}: put them into SEGNET_WILD")
    told = np.load(WILD / f"{name}.npz")
    made_ = answer(found[0], torch.from_numpy(told["x_b"]).float())
    assert np.abs(made_.numpy() - told["y_b"]).max() < max(1e-4, 1e-3 * told["y_b"].std())


class _Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.conv(x) / torch.norm(x)
        return y


def test_code_of_pytorch_that_writes_into_a_tensor_is_taken(tmp_path: Path) -> None:
    root = open_tree(saved(tmp_path / "net.pt", _Normed())).root
    assert "conv" in str(root)
