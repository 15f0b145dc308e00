"""What a test costs that its marks must tell: Python processes, steps of training."""

from __future__ import annotations

import os
import sys

MOST_STEPS = 3
"""Steps of an optimiser in a test without the mark ``trains``: enough to try an optimiser."""


class Spent:
    """Counts what the running test spends; made once, since Python keeps what listens to it."""

    def __init__(self) -> None:
        self.processes = self.steps = 0
        sys.addaudithook(self._event)

    def watch_optimisers(self) -> None:
        """Count the steps of every optimiser of torch."""
        from torch.optim.optimizer import register_optimizer_step_pre_hook

        register_optimizer_step_pre_hook(self._step)

    def _event(self, name: str, values: tuple[object, ...]) -> None:
        if name == "subprocess.Popen" and sys.executable in words_of(values[1]):
            self.processes += 1

    def _step(self, *_: object) -> None:
        self.steps += 1

    def marks(self) -> set[str]:
        """Return the marks that the test must have, and count from zero again."""
        spent = {"subprocess": self.processes > 0, "trains": self.steps > MOST_STEPS}
        self.processes = self.steps = 0
        return {mark for mark, much in spent.items() if much}


def words_of(command: object) -> list[str]:
    """Return the words of a command line as ``subprocess`` takes it."""
    if isinstance(command, str | bytes | os.PathLike):
        command = [command]
    assert isinstance(command, list | tuple), command
    return [os.fsdecode(word) for word in command]
