"""What is made of files of U-Nets that nobody described: random ones, forks, foreign and real ones.

::

    python benchmarks/structure.py [DATA] [--count 500] [--seed 0] [--kinds WORD ...] [--held-out]
                                   [--wild FOLDER] [--part random|forks|foreign|wild ...]
                                   [--prior] [--failures] [--minutes 60] [--lines FILE]

Random networks are drawn over the grammar of U-Nets (``tests/support/unets``), given the statistics
of real pictures, written in the wrappers that people use, and opened as a user opens them. DATA
(default: the environment variable SEGNET_DATA) holds the images of ``nuclei/``; without it, all
statistics come from photographs of scikit-image. FOLDER (default: SEGNET_WILD) holds real weights
with their reference answers beside them: ``NAME.pth``, ``NAME.json``, ``NAME.npz``.

The columns: *tried* networks; *first*: the first candidate is equal; *in three*: one of the first
three is; *asked* or *refused* with the reason; *wrong*: opened, not equal, and nothing to blame is
marked as assumed. ``tests/support/unets/judge.py`` says exactly what equal and marked mean.
``--prior`` leaves the statistics out; ``--failures`` lists every network whose first is not equal;
``--minutes`` ends each part early. With ``--lines`` each random network is written to FILE as it is
tried, and those that stand there are not tried again: so a run goes on where it ended, and several
at once (``--seed 0 --count 100``, ``--seed 100 --count 100``, with files of their own) are counted
together at the end, by their files one behind the other.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

PARTS = ("random", "forks", "foreign", "wild")
COLUMNS = ("tried", "first", "in three", "asked", "refused", "wrong")


@dataclass
class Row:
    """What was counted of one kind."""

    kind: str
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COLUMNS, 0))

    def add(self, verdict: Any) -> None:
        """Count one verdict."""
        self.counts["tried"] += 1
        self.counts["first"] += verdict.place == 0
        self.counts["in three"] += verdict.place is not None
        self.counts["asked"] += verdict.asked
        self.counts["refused"] += verdict.refused
        self.counts["wrong"] += verdict.silently_wrong

    def __add__(self, other: Row) -> Row:
        both = {name: self.counts[name] + other.counts[name] for name in COLUMNS}
        return Row(self.kind, both)


@dataclass(frozen=True)
class Tried:
    """One network that was opened: the kind of its row, and what to print of it."""

    kind: str
    name: str
    told: str
    verdict: Any
    held_out: bool = False
    normed: bool = False
    right_if_refused: bool = False
    asks: bool = False

    @property
    def failed(self) -> bool:
        """Whether it is worth a line."""
        return self.verdict.silently_wrong if self.right_if_refused else self.verdict.place != 0


def random_ones(args: argparse.Namespace, folder: Path) -> Iterator[Tried]:
    """Open ``--count`` networks over the grammar."""
    from support.unets.draw import KINDS, draw, write
    from support.unets.judge import judge, opened

    kinds = tuple(
        kind
        for kind in KINDS
        if (not args.kinds or any(word in kind.name for word in args.kinds))
        and (not args.held_out or kind.held_out)
    )
    done = {one.name for one in read_lines(args.lines)}
    for seed in range(args.seed, args.seed + args.count):
        if f"seed {seed}" in done:
            continue
        case = draw(seed, kinds, args.data)
        ending = "safetensors" if case.wrapper == "safetensors" else "pth"
        path = write(case, folder / f"network.{ending}")
        found = opened(path, statistics=not args.prior)
        verdict = judge(found, case.batch, case.raw, case.apart, case.facts)
        told = f"{case.style} | {case.wrapper} | {case.seen} | {_words(case.facts)}"
        yield Tried(
            case.kind.name, f"seed {seed}", told, verdict, case.kind.held_out, case.normed,
            asks=case.kind.asks,
        )  # fmt: skip


PLACES = ("join", "norm_place", "up_activation")
"""Facts that the statistics of batch norms can decide on foreign pictures."""
UNTRACED = "untraced"
"""How such a fact is known that changes the input of no norm in the network that is opened."""


def sources(opened: Any) -> dict[str, str]:
    """Return how each of these facts is known."""
    known = {name: opened.known[name] for name in PLACES if name in opened.known}
    return known | {
        name: UNTRACED for name in getattr(opened, "untraced", ()) if known.get(name) == "assumed"
    }


def write_line(path: Path, one: Tried) -> None:
    """Append a network to a file, as one line of JSON."""
    verdict, opened = one.verdict, one.verdict.opened
    counted = {name: getattr(verdict, name) for name in COUNTED}
    known = sources(opened)
    fields = {name: getattr(one, name) for name in NAMED}
    with path.open("a") as file:
        file.write(json.dumps({**fields, "counted": counted, "known": known}) + "\n")


def read_lines(path: Path | None) -> list[Tried]:
    """Return the networks of such a file."""
    found = []
    for line in path.read_text().splitlines() if path and path.exists() else ():
        held = json.loads(line)
        verdict = SimpleNamespace(**held["counted"], opened=SimpleNamespace(known=held["known"]))
        found.append(Tried(verdict=verdict, **{name: held[name] for name in NAMED}))
    return found


COUNTED = ("place", "asked", "refused", "silently_wrong", "false_claims")
NAMED = ("kind", "name", "told", "held_out", "normed", "asks")


def left_assumed(tried: list[Tried]) -> str:
    """Return a sentence: how often a fact that statistics can decide is left assumed."""
    known = Counter(
        source
        for one in tried
        if one.normed and one.name.startswith("seed ")
        for name, source in sources(one.verdict.opened).items()
        if source in ("decided", "assumed", UNTRACED)
    )
    able = known["decided"] + known["assumed"]
    return (
        f"of {able} facts that statistics can decide {known['assumed']} are assumed, and "
        f"{known[UNTRACED]} that change the input of no norm ({', '.join(PLACES)}; networks with "
        "BatchNorm)"
    )


def forks(args: argparse.Namespace, folder: Path) -> Iterator[Tried]:
    """Open forks of the families that are known by name: their names, another forward."""
    from support.unets.forked import FORKED, fork
    from support.unets.judge import judge, opened

    for number in range(len(FORKED)):
        case = fork(number, args.data, folder / "fork.pth")
        found = opened(case.path, statistics=not args.prior)
        verdict = judge(found, case.batch, case.raw, case.apart, case.facts)
        told = _words(case.facts)
        yield Tried(f"forks of {case.family}", case.name, told, verdict, normed=case.normed)


def foreign(args: argparse.Namespace, folder: Path) -> Iterator[Tried]:
    """Open what is no U-Net."""
    from support.unets.foreign import FOREIGN, refusal_of, write_foreign
    from support.unets.more_foreign import MORE_FOREIGN

    for one in (*FOREIGN, *MORE_FOREIGN):
        path = write_foreign(one, folder / "foreign.pth")
        yield Tried(f"foreign: {one.group}", one.name, one.title, refusal_of(one, path),
                    right_if_refused=True)  # fmt: skip


def wild(args: argparse.Namespace, folder: Path) -> Iterator[Tried]:
    """Open real files beside their reference answers."""
    from support.unets.judge import judge, opened
    from support.unets.real import real_ones

    for one in real_ones(args.wild):
        if one.path is None:
            print(f"{one.name}: no weights in {args.wild}, left out", file=sys.stderr)
            continue
        found = opened(one.path, statistics=not args.prior)
        verdict = judge(found, one.batch, one.raw, 0.0, {})
        yield Tried("real files", one.name, one.told, verdict)


def _words(facts: Any) -> str:
    return ", ".join(f"{name}={value}" for name, value in facts.items())


def failure(one: Tried) -> str:
    """Return one line: the network, its truth, what it was opened as."""
    verdict, found = one.verdict, one.verdict.opened
    blamed = ", ".join(
        f"{name}={found.choices[name]} ({found.known.get(name, '?')})" for name in verdict.blamed
    )
    place = "refused" if found.refused else f"place {verdict.place}"
    marks = "WRONG AND NOT MARKED " if verdict.silently_wrong else ""
    false = f" FALSE CLAIM {', '.join(verdict.false_claims)}" if verdict.false_claims else ""
    layout = found.choices.get("layout", found.family)
    return (
        f"- {one.kind} | {one.name} | {marks}{place} | {one.told} | opened: {layout}; differs: "
        f"{blamed or '-'} | {verdict.why[:230]}{false}"
    )


def table(rows: list[Row]) -> str:
    """Return the table as Markdown."""
    lines = [f"| kind | {' | '.join(COLUMNS)} |", "| --- " * (len(COLUMNS) + 1) + "|"]
    for row in rows:
        cells = [
            "" if "foreign" in row.kind and name in ("first", "in three") else str(row.counts[name])
            for name in COLUMNS
        ]
        lines.append(f"| {row.kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def summed(tried: list[Tried], title: str) -> Row:
    """Return the sum over networks."""
    row = Row(title)
    for one in tried:
        row.add(one.verdict)
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", default=os.environ.get("SEGNET_DATA"))
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", default=[], metavar="WORD")
    parser.add_argument("--held-out", action="store_true", help="only kinds that are held out")
    parser.add_argument("--wild", type=Path, default=os.environ.get("SEGNET_WILD"))
    parser.add_argument("--part", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--prior", action="store_true", help="without the statistics of norms")
    parser.add_argument("--failures", action="store_true")
    parser.add_argument("--lines", type=Path, help="one line of JSON for each random network")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="then count what was tried"
    )
    args = parser.parse_args()
    args.data = None if args.data is None else Path(args.data)
    args.wild = None if args.wild is None else Path(args.wild)
    import torch

    torch.set_num_threads(1)
    parts = {"random": random_ones, "forks": forks, "foreign": foreign, "wild": wild}
    tried: list[Tried] = []
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for part in args.part:
            if part == "wild" and args.wild is None:
                print("no folder of real files: --wild FOLDER, or SEGNET_WILD", file=sys.stderr)
                continue
            mine = read_lines(args.lines) if part == "random" else []
            since = time.perf_counter()
            for one in parts[part](args, Path(folder)):
                mine.append(one)
                if args.lines and part == "random":
                    write_line(args.lines, one)
                if args.failures and one.failed:
                    print(failure(one), flush=True)
                if time.perf_counter() - since > 60 * args.minutes:
                    break
            tried += mine
    rows = [
        summed([one for one in tried if one.kind == kind], kind)
        for kind in dict.fromkeys(sorted(one.kind for one in tried))
    ]
    drawn = [one for one in tried if one.name.startswith("seed ")]
    sums = [
        ("all random", drawn),
        ("random, held out", [t for t in drawn if t.held_out]),
        ("random, their files can tell", [t for t in drawn if not t.asks]),
        ("random, no BatchNorm", [t for t in drawn if not t.normed]),
        ("all forks", [t for t in tried if t.kind.startswith("forks")]),
        ("all foreign", [t for t in tried if t.right_if_refused]),
        ("random, BatchNorm", [t for t in drawn if t.normed]),
        ("random, BatchNorm, can tell", [t for t in drawn if t.normed and not t.asks]),
    ]
    print(table(rows + [summed(some, f"**{title}**") for title, some in sums if some]))
    false = sum(bool(one.verdict.false_claims) for one in tried)
    print(f"\n{false} with a fact that is called read or decided and is not true")
    print(left_assumed(tried))
    print(f"{time.perf_counter() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
