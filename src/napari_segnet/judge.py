"""Is a network that is known by its names really the published one? Its statistics are asked.

People copy a network and change its forward: another activation, another pooling, the join the
other way round. The names and shapes of its tensors stay the same. Where the network has batch
normalisation, the file remembers what came to it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from napari_segnet.checkpoint import Checkpoint, Known
from napari_segnet.evidence import Decision, Variants, Verdict, decide, known, load_tensors
from napari_segnet.families import GraphFamily
from napari_segnet.families.graph import describe_graph
from napari_segnet.graph import Graph, graph_to_json
from napari_segnet.image import Image
from napari_segnet.programs import is_published
from napari_segnet.progress import Progress, job
from napari_segnet.recognition import family_of, with_halo

__all__ = ["Judgement", "judge", "leaves_open"]

WORDS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "activation": (
        "nonlinearity",
        {
            **{word: word for word in ("relu", "elu:1", "gelu", "silu", "none")},
            "elu": "elu:1",
            "leaky-0.01": "leaky_relu:0.01",
            "leaky-0.1": "leaky_relu:0.1",
            "leaky-0.2": "leaky_relu:0.2",
        },
    ),
    "pooling": ("pooling", {"max": "max", "average": "average", "max-3": "max-3x3"}),
    "resize": (
        "upsampling",
        {"nearest": "nearest", "bilinear": "linear", "bilinear-aligned": "linear-aligned"},
    ),
    "join": ("join", {"up-skip": "skip-last", "skip-up": "skip-first"}),
    "padding": (
        "padding_mode",
        {"same": "zeros", "reflect": "reflect", "replicate": "replicate", "valid": "zeros"},
    ),
    "dilation": ("dilation", {"1": 1, "2": 2}),
    "epsilon": ("norm_eps", {"1e-05": 1e-5, "0.001": 1e-3}),
}
"""Choice of a graph -> the hyper-parameter of the U-Net families that says the same, and its
values."""
HINTS: dict[str, float] = {
    "activation": 0.4,
    "join": 0.1,
    "resize": 0.1,
    "padding": 0.13,
    "epsilon": 0.16,
    "up_activation": 0.2,
    "pooling": 0.3,
    "dilation": 0.35,
}
"""How much better a value fits that is worth naming though it proves nothing: a little more than
any wrong value led by in the networks of ``evidence._margins``. Only activations lead wrongly by
more: of 96 networks six by 0.4."""
HINT = 0.4
"""Of other choices."""
MOST_NAMED = 3
"""Layers whose names are said."""
MOST_OFFERED = 2
"""Networks that are offered beside the published one."""
UNKNOWN = ("up_activation", "residual")
"""Choices for which these families have no word: a network with them is stored as its graph."""
OF_GRAPHS = ("outputs", "prepare", "class_names", "pixel_size_um")
"""Facts that hold of a network whether it is stored in a family's words or as its graph."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the statistics of a file say of the network that it was taken for.

    Attributes
    ----------
    checkpoint : Checkpoint
        The network that fits best. Facts that are proven are marked *decided*; where nothing
        is, it is the one that was given.
    forks : mapping of str to str
        What is otherwise than was assumed: name -> value. Empty: nothing.
    verdicts : mapping of str to Verdict
        On everything that was tried; empty without statistics.
    says : str
        All of it in a sentence or two, for people.
    inputs : mapping of str to float
        Value of the setting ``normalize`` -> divergence in nats at the first norms, best first.
    offered : tuple of (str, str, Checkpoint)
        Choice, value and network of what fits better without being proven, the clearest first.
    remarkable : bool
        Whether something is or may be otherwise than was assumed.
    """

    checkpoint: Checkpoint
    says: str
    remarkable: bool = False
    forks: Mapping[str, str] = field(default_factory=dict)
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    inputs: Mapping[str, float] = field(default_factory=dict)
    offered: tuple[tuple[str, str, Checkpoint], ...] = ()


@job
def judge(
    checkpoint: Checkpoint, image: Image | None = None
) -> Generator[Progress, None, Judgement]:
    """Ask the statistics of a file whether its network is what it was taken for.

    Parameters
    ----------
    checkpoint : Checkpoint
        What ``identify`` returned. Facts that were read or told are not questioned.
    image : Image, optional
        Such as the network is meant for: better evidence than the pictures of this package.

    Yields
    ------
    Progress
        ``network``: how many were tried.

    Returns
    -------
    Judgement
        With the better network, if there is one.

    Raises
    ------
    WeightsError
        If the file cannot be read any more.
    """
    yield Progress(what="network")
    family = family_of(checkpoint)
    if not isinstance(family, GraphFamily):
        return Judgement(checkpoint=checkpoint, says="Its layers are all named in the file.")
    graph = family.graph(checkpoint)
    space = Variants(graph, _open(checkpoint))
    is_open = any(len(values) > 1 for values in space.open.values())
    if not is_open and not is_published(checkpoint):
        return Judgement(
            checkpoint=checkpoint, says="No fact is assumed that statistics could decide."
        )
    decision = yield from decide(space, load_tensors(checkpoint, graph), image)
    if decision.fit is None:
        says = "The file has no statistics of its layers' inputs, so no assumption is decided."
        return Judgement(checkpoint=checkpoint, says=says)
    return _judged(family, checkpoint, space, decision)


def leaves_open(checkpoint: Checkpoint) -> bool:
    """Tell if something is assumed of a network that statistics could decide."""
    return bool(_open(checkpoint))


def _open(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return the choices of which nobody has said anything."""
    left = {
        name for name, fact in checkpoint.known.items() if fact.source in ("assumed", "decided")
    }
    found = [
        choice
        for choice, (name, _) in WORDS.items()
        if name in left or (choice == "padding" and "padding" in left)
    ]
    # A network that stands in the file layer by layer has nothing of the kind left open.
    return (*found, *UNKNOWN) if found or is_published(checkpoint) else ()


def _judged(
    family: GraphFamily, checkpoint: Checkpoint, space: Variants, decision: Decision
) -> Judgement:
    best, verdicts = decision.best, decision.verdicts
    forks = {n: v for n, v in best.choices.items() if n in space.usual and v != space.usual[n]}
    if decision.misfits:
        # What fits best of what does not fit is made up: nothing is offered for it.
        verdicts = {name: one for name, one in verdicts.items() if name not in forks}
        forks = {}
    better = checkpoint
    if forks:
        better = _changed(family, checkpoint, best.graph, forks)
    facts: dict[str, Known] = {}
    for choice, verdict in verdicts.items():
        name = WORDS[choice][0] if choice in WORDS else choice
        before = checkpoint.known.get(name)
        if before is not None and before.source in ("assumed", "decided"):
            facts[name] = known(verdict, before.why, decision.shown)
        elif choice in forks:
            facts[name] = known(verdict, "", decision.shown)
    if better.family != checkpoint.family or is_published(checkpoint):
        facts["graph"] = Known(source="assumed", why=_of_graph(forks, decision))
    better = with_halo(family_of(better), replace(better, known={**better.known, **facts}))
    return Judgement(
        checkpoint=better,
        forks=forks,
        verdicts=verdicts,
        says=_sentence(forks, verdicts, decision),
        remarkable=bool(forks)
        or decision.misfits
        or any(_hints(name, verdict) for name, verdict in verdicts.items()),
        inputs=decision.inputs,
        # A fork that is stored as its graph has no words for more.
        offered=()
        if decision.misfits or better.family != checkpoint.family
        else tuple(_offered(family, better, space, decision)),
    )


def _of_graph(forks: Mapping[str, str], decision: Decision) -> str:
    """Say what the statistics tell of the whole way through a network, which they never prove."""
    words = " and ".join(f"{name.replace('_', ' ')} {value}" for name, value in forks.items())
    network = f"the published network with {words}" if forks else "the published network"
    if decision.misfits:
        at = f" at {', '.join(decision.odd[:MOST_NAMED])}" if decision.odd else ""
        return f"the BatchNorm statistics do not fit {network}{at}"
    return (
        f"{network}, whose norms all get what the file's statistics say on {decision.shown}; a "
        "step behind the last norm, or one that changes little, leaves no trace in them"
    )


def _misfit(decision: Decision) -> str:
    """Say that nothing fits, at which layers, and what to do."""
    assert decision.fit is not None
    at = f", most at {', '.join(decision.odd[:MOST_NAMED])}" if decision.odd else ""
    return (
        "None of the networks that were tried fits the statistics of the file (they differ by "
        f"{decision.fit.typical:.2g} on {decision.shown}{at}): ask whoever trained it for its "
        "code, and keep that beside the file."
    )


def _hints(name: str, verdict: Verdict) -> bool:
    """Tell if another value fits so much better that it is worth naming."""
    return verdict.margin < -HINTS.get(name, HINT)


def _offered(
    family: GraphFamily, checkpoint: Checkpoint, space: Variants, decision: Decision
) -> Iterator[tuple[str, str, Checkpoint]]:
    """Yield the networks that fit better than the one that is taken, though it is not proven."""
    hinted = {name: one for name, one in decision.verdicts.items() if _hints(name, one)}
    taken = {name: value for name, value in decision.best.choices.items() if name != "layout"}
    for name in sorted(hinted, key=lambda one: hinted[one].margin)[:MOST_OFFERED]:
        value = hinted[name].against
        graph = space.candidate(decision.best.layout, {**taken, name: value}).graph
        other = _changed(family, checkpoint, graph, {name: value})
        if name in WORDS and WORDS[name][0] in other.known:
            why = "fits the statistics of the file better, which does not prove it"
            fact = Known(source="assumed", why=why)
            other = replace(other, known={**other.known, WORDS[name][0]: fact})
        yield name, value, other


def _changed(
    family: GraphFamily, checkpoint: Checkpoint, graph: Graph, forks: Mapping[str, str]
) -> Checkpoint:
    """Return the same file as another network: in the family's words, or as a graph."""
    # Without paddings an image of another size is taken, which the graph tells.
    padded = "padding" in forks and not checkpoint.hparams.get("padding", True)
    sayable = all(WORDS.get(choice, ("",))[0] in checkpoint.hparams for choice in forks)
    if sayable and not padded:
        said = {WORDS[choice][0]: WORDS[choice][1][value] for choice, value in forks.items()}
        hparams = {**checkpoint.hparams, **said}
        if "bilinear" in hparams and "upsampling" in said:
            hparams["bilinear"] = said["upsampling"] != "nearest"
        if "graph" in hparams:
            hparams["graph"] = graph_to_json(graph)
        better = replace(checkpoint, hparams=hparams)
        return with_halo(family, better)
    # What is assumed of the family's network is assumed of its fork as well.
    changed = {WORDS[choice][0] for choice in forks if choice in WORDS}
    kept = [
        name
        for name, fact in checkpoint.known.items()
        if fact.source != "read" and name in checkpoint.hparams and name not in (*changed, "graph")
    ]
    better = describe_graph(
        path=checkpoint.path,
        graph=graph,
        outputs=checkpoint.outputs,
        prepare=checkpoint.prepare,
        pixel_size_um=checkpoint.pixel_size_um,
        class_names=checkpoint.class_names,
        card=checkpoint.card,
        store=checkpoint.store,
        known={
            name: fact
            for name, fact in checkpoint.known.items()
            if name in OF_GRAPHS or name in kept
        },
    )
    better = replace(
        better,
        hparams={**better.hparams, **{name: checkpoint.hparams[name] for name in kept}},
        stamp=checkpoint.stamp,
        notes=checkpoint.notes,
    )
    return with_halo(family_of(better), better)


def _sentence(forks: Mapping[str, str], verdicts: Mapping[str, Verdict], decision: Decision) -> str:
    if decision.misfits:
        return _misfit(decision)
    sure = ", ".join(n.replace("_", " ") for n, verdict in verdicts.items() if verdict.decided)
    perhaps = "".join(
        f" Not proven, but {name.replace('_', ' ')} {verdict.against} fits better "
        f"({verdict.other:.2g} against {verdict.divergence:.2g} of {verdict.value})."
        for name, verdict in verdicts.items()
        if _hints(name, verdict)
    )
    if not forks:
        words = f"Decided, as assumed: {sure}." if sure else "The statistics decide nothing."
        return words + perhaps
    words = "; ".join(
        f"{name.replace('_', ' ')} {value} ({verdicts[name].divergence:.2g} against "
        f"{verdicts[name].other:.2g} of {verdicts[name].against})"
        for name, value in forks.items()
        if name in verdicts
    )
    return f"A fork of the published network: the statistics fit better {words}.{perhaps}"
