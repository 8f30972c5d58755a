"""Five situations in which a question has to be answered, and what one fit may see in each of them.

    train, validation, test = draw_trial(tasks[0], "scarce", seed=0)   # what is fitted, what chooses, what counts

Examples of one game, one subject, one stem of a word stand on one side of the split.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from utils.splits import split_groups
from utils.tasks import Examples, Task

REGIMES = {
    "standard": "up to 400 training and 200 validation examples",
    "scarce": "24 training and 24 validation examples",
    "imbalanced": "1 in 20 of the training and validation examples is True",
    "noisy": "3 in 10 of the training and validation labels are turned round",
    "shifted": "the test examples are of another kind",
}
N_TRAIN, N_VALIDATION, N_SCARCE, N_TEST = 400, 200, 24, 600
RARE, NOISE = 0.05, 0.3


class Trial(NamedTuple):
    """What one fit may see of a task in a regime: examples and labels, noise included; test labels are clean."""

    train: Examples
    validation: Examples
    test: Examples


def draw_trial(task: Task, regime: str, *, seed: int = 0) -> Trial:
    """Draw the examples and labels of one trial.

    Raises:
        ValueError: If the regime is not one of REGIMES.
    """
    if regime not in REGIMES:
        raise ValueError(f"regime must be one of {', '.join(REGIMES)}, got {regime!r}")
    generator = torch.Generator().manual_seed(seed)
    groups = task.examples.groups
    rest, test = split_groups(groups, test_fraction=0.4, seed=seed)
    fit, check = (rest[i] for i in split_groups([groups[i] for i in rest], test_fraction=1 / 3, seed=seed + 1))
    tested, known = {groups[i] for i in test}, set(groups)
    scarce = regime == "scarce"
    parts = []
    for rows, n in ((fit, N_SCARCE if scarce else N_TRAIN), (check, N_SCARCE if scarce else N_VALIDATION)):
        rows = _draw(rows, task.examples.labels[rows], n, RARE if regime == "imbalanced" else None, generator)
        part = _take(task.examples, rows)
        if regime == "noisy":
            flipped = torch.rand(len(rows), generator=generator) < NOISE
            part = part._replace(labels=part.labels ^ flipped)
        parts.append(part)
    source = task.shifted if regime == "shifted" else task.examples
    rows = torch.tensor([i for i, group in enumerate(source.groups) if group in tested or group not in known])
    rows = rows[torch.randperm(len(rows), generator=generator)[:N_TEST]]
    return Trial(*parts, _take(source, rows))


def _draw(rows: Tensor, labels: Tensor, n: int, share: float | None, generator: torch.Generator) -> Tensor:
    """Up to n of these rows; with `share`, so many of them True, and all that there are of the others."""
    rows_true, rows_false = (
        side[torch.randperm(len(side), generator=generator)] for side in (rows[labels], rows[~labels])
    )
    if share is None:  # as they come, and at least two of each class
        order = rows[torch.randperm(len(rows), generator=generator)]
        drawn = order[: n - 4] if len(order) > n else order
        more = [side[~torch.isin(side, drawn)][:2] for side in (rows_true, rows_false)]
        return torch.cat([drawn, *more])
    n_false = min(len(rows_false), round(n * (1 - share)))
    return torch.cat([rows_true[: max(2, round(n_false * share / (1 - share)))], rows_false[:n_false]])


def _take(examples: Examples, rows: Tensor) -> Examples:
    *tensors, groups = examples
    return Examples(*(values[rows] for values in tensors), [groups[i] for i in rows.tolist()])
