"""Planted wrong answers and differently written right ones: tests/mutants/NN_name.py, one table for each chapter."""

import importlib.util
from dataclasses import dataclass

from utils import ROOT


@dataclass(frozen=True)
class Mutant:
    """A wrong answer: a small patch of the solution, and the words that its feedback must hold."""

    exercise: str
    old: str  # occurs exactly once in the solution's cell
    new: str
    feedback: str

    def apply(self, source: str) -> str:
        """The solution's cell with the mistake in it.

        Raises:
            ValueError: If `old` does not occur exactly once.
        """
        if source.count(self.old) != 1:
            raise ValueError(
                f"{self.exercise}: {self.old!r} occurs {source.count(self.old)} times in the solution, expected 1"
            )
        return source.replace(self.old, self.new)


@dataclass(frozen=True)
class Alternative:
    """A right answer by another road, which must get full points: a whole cell."""

    exercise: str
    source: str


def read_mutants(chapter: str) -> tuple[list[Mutant], list[Alternative]]:
    """The planted answers of one chapter."""
    path = ROOT / "tests" / "mutants" / f"{chapter}.py"
    spec = importlib.util.spec_from_file_location(f"mutants_{chapter}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.MUTANTS, module.ALTERNATIVES
