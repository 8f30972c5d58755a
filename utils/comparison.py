"""Probes on activations against probes on SAE latents: families of methods on equal terms.

    validation, test = score_family(trial, "logistic")                 # AUROC of its 8 configurations, [configuration]
    validation, test = compare(load_tasks(), list(REGIMES), ["logistic", "sae_k_sparse"])  # [task regime family]
    table = load_table()                                               # a larger comparison, computed beforehand

After Kantamneni et al. 2025, arXiv:2502.16681. A family is a way of fitting with eight configurations of its one
setting; which one is reported is decided by validation AUROC. So no family wins by having more tickets in the lottery.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from utils import ASSETS
from utils.log_loss import minimise_log_loss
from utils.metrics import roc_auc
from utils.sae_probes import select_latents
from utils.tables import read_table
from utils.tasks import Task
from utils.trials import REGIMES, Trial, draw_trial

TOLERANCE = 0.005  # of the gradient, relative to its start: ranks hardly move beyond it

# Families: eight configurations of one setting each. Ranks are all that counts, so nothing here has a bias.

L2S = tuple(10 ** (i / 2) for i in range(-6, 2))  # of logistic regression: .001 to 3.2
SHRINKAGES = (1.0, 0.9, 0.7, 0.5, 0.3, 0.1, 0.03, 0.01)  # of the covariance; 1 is the plain mass-mean probe
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)  # principal components, or latents
NEIGHBOURS = (1, 3, 5, 9, 15, 25, 41, 65)
L2_FEW = 0.01  # of logistic regression on few columns

Scores = list[Float[Tensor, "configuration row"]]  # for each of the sets of rows that are to be scored
Families = Mapping[str, tuple[Callable[[Tensor, Tensor, Sequence[Tensor]], Scores], str]]


def _logistic(x: Tensor, labels: Tensor, others: Sequence[Tensor]) -> Scores:
    x, *others = standardise(x, others)
    if len(x) < x.shape[1]:  # a ridge solution lies in the span of the rows: rotated into it, the problem is the same
        basis = torch.linalg.qr(x.T).Q  # [dim row]
        x, others = x @ basis, [other @ basis for other in others]
    weights = torch.stack([_fit(x, labels, l2) for l2 in L2S])
    return [weights @ other.T for other in others]


def _mass_mean(x: Tensor, labels: Tensor, others: Sequence[Tensor]) -> Scores:
    """Difference of the class means, through the inverse of the covariance within classes, shrunk to a sphere."""
    difference = x[labels].mean(dim=0) - x[~labels].mean(dim=0)
    within = torch.cat([x[labels] - x[labels].mean(dim=0), x[~labels] - x[~labels].mean(dim=0)]).double()
    variance, axes = torch.linalg.eigh(within.T @ within / len(x))
    along = axes.T @ difference.double()
    weights = torch.stack([axes @ (along / ((1 - s) * variance + s * variance.mean())) for s in SHRINKAGES])
    return [weights.to(x.dtype) @ other.T for other in others]


def _pca_logistic(x: Tensor, labels: Tensor, others: Sequence[Tensor]) -> Scores:
    mean = x.mean(dim=0)
    axes = torch.linalg.svd(x - mean, full_matrices=False).Vh.T  # [dim component]
    return _on_few((x - mean) @ axes, labels, [(other - mean) @ axes for other in others], torch.arange(axes.shape[1]))


def _nearest(x: Tensor, labels: Tensor, others: Sequence[Tensor]) -> Scores:
    """Share of True among the nearest training examples, weighted by 1 / distance."""
    x, *others = standardise(x, others)
    found = []
    for other in others:
        distance, index = torch.cdist(other, x).topk(min(max(NEIGHBOURS), len(x)), dim=1, largest=False)
        near = 1 / distance.clamp(min=1e-6)  # [row neighbour]
        yes = near * labels[index]
        found.append(torch.stack([yes[:, :k].sum(dim=1) / near[:, :k].sum(dim=1) for k in NEIGHBOURS]))
    return found


def _k_sparse(x: Tensor, labels: Tensor, others: Sequence[Tensor]) -> Scores:
    return _on_few(x, labels, others, select_latents(x, labels, min(max(SIZES), x.shape[1])))


def _on_few(x: Tensor, labels: Tensor, others: Sequence[Tensor], order: Int[Tensor, " column"]) -> Scores:
    """Logistic regression on the first 1, 2, 4, ... columns of an order."""
    found = []
    for size in SIZES:
        few, *rest = standardise(x[:, order[:size]], [other[:, order[:size]] for other in others])
        weight = _fit(few, labels, L2_FEW)
        found.append([other @ weight for other in rest])
    return [torch.stack(scores) for scores in zip(*found, strict=True)]


def standardise(x: Tensor, others: Sequence[Tensor]) -> list[Tensor]:
    """By mean and spread of the training rows; columns that are constant there become 0."""
    mean, std = x.mean(dim=0), x.std(dim=0, correction=0)
    kept = std > 1e-6 * std.max()
    return [(rows[:, kept] - mean[kept]) / std[kept] for rows in (x, *others)]


def _fit(x: Float[Tensor, "row dim"], labels: Bool[Tensor, " row"], l2: float) -> Float[Tensor, " dim"]:
    ones = torch.cat([x, torch.ones(len(x), 1)], dim=1)
    return minimise_log_loss(ones, labels[None].to(x.dtype), l2, TOLERANCE)[0, :-1]


FAMILIES = {  # name -> how it is fitted, and on which of the examples' tensors
    "logistic": (_logistic, "acts"),
    "mass_mean": (_mass_mean, "acts"),
    "pca_logistic": (_pca_logistic, "acts"),
    "nearest": (_nearest, "acts"),
    "sae_k_sparse": (_k_sparse, "latents"),
    "sae_logistic": (_logistic, "latents"),
}


def score_family(
    trial: Trial, family: str, families: Families = FAMILIES
) -> tuple[Float[Tensor, " configuration"], Float[Tensor, " configuration"]]:
    """Fit a family's configurations on the training examples; AUROC of each on validation, and on test.

    Raises:
        ValueError: If the family is not one of the families.
    """
    if family not in families:
        raise ValueError(f"family must be one of {', '.join(families)}, got {family!r}")
    fit, source = families[family]
    train, *others = (getattr(part, source) for part in trial)
    labels = (trial.validation.labels, trial.test.labels)
    scores = fit(train, trial.train.labels, others)
    validation, test = (roc_auc(s.T, y[:, None].expand(-1, len(s))) for s, y in zip(scores, labels, strict=True))
    return validation, test


def compare(
    tasks: Sequence[Task],
    regimes: Sequence[str],
    names: Sequence[str],
    *,
    families: Families = FAMILIES,
    seed: int = 0,
) -> tuple[Float[Tensor, "task regime family"], Float[Tensor, "task regime family"]]:
    """Validation and test AUROC of each family's configuration that validation chooses, for each task and regime.

    Args:
        names: of the families to compare.
        families: FAMILIES, or more of the same form.
        seed: of the draw of examples.
    """
    validation = torch.zeros(len(tasks), len(regimes), len(names), dtype=torch.float64)
    test = torch.zeros_like(validation)
    for i, task in enumerate(tqdm(tasks, desc="comparing", unit="task", leave=False)):
        for j, regime in enumerate(regimes):
            trial = draw_trial(task, regime, seed=seed)
            for k, name in enumerate(names):
                on_validation, on_test = score_family(trial, name, families)
                best = int(on_validation.argmax())
                validation[i, j, k], test[i, j, k] = on_validation[best], on_test[best]
    return validation, test


# The table that was computed beforehand


@dataclass(frozen=True, eq=False)
class Table:
    """Validation and test AUROC of a larger comparison, by utils/training/comparison.py: [seed task regime family]."""

    families: list[str]
    validation: Float[Tensor, "seed task regime family"]
    test: Float[Tensor, "seed task regime family"]


def load_table() -> Table:
    """Read the table; tasks and regimes are in the order of load_tasks and REGIMES.

    Raises:
        ValueError: If the table is missing, damaged or edited.
    """
    columns = read_table(ASSETS / "comparison.csv")
    families = list(dict.fromkeys(columns["family"]))
    shape = (len(set(columns["seed"])), len(set(columns["task"])), len(REGIMES), len(families))
    validation, test = (
        torch.tensor([float(x) for x in columns[name]], dtype=torch.float64).reshape(shape)
        for name in ("validation", "test")
    )
    return Table(families, validation, test)
