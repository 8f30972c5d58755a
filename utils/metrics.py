"""Scores of probes, one per layer and target, and intervals that say how far to trust them.

    accuracy(probe(acts_test), labels_test)              # [layer target]
    r2(probe(acts_test), rgb_test).mean(dim=-1)          # [layer]: the mean over red, green, blue
    low, high = bootstrap_interval(correct, groups=test_words)
    score_by_layer(acts, labels, train, test)            # [layer]: fitted and scored at once
    selectivity(acts[3], labels, control, train, test)   # accuracy on the task minus that on a control task

Every score takes predictions [*layer batch *target] and labels or targets [batch *target] and returns [*layer *target]:
there may be any number of layer axes before the batch and of target axes behind it, also none. Scores are float64.
Everything here raises a ValueError that says what does not fit: shapes, dtypes, devices, NaN, labels of one class.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from utils.probes import fit_logistic_regression_probe, fit_ridge_probe

CHUNK = 4_000_000  # numbers drawn at once in a bootstrap: 32 MB


def accuracy(
    logits: Float[Tensor, "*layer_batch_target"], labels: Bool[Tensor, "batch *target"]
) -> Float[Tensor, "*layer_target"]:
    """Share of examples on the right side of 0. Compare it with the share of the majority class.

    Args:
        logits: [*layer batch *target]; above 0 means True. For probabilities pass probabilities - 0.5.
        labels: True for the positive class.
    """
    batch_axis = _check(logits, labels, "logits", "labels")
    return ((logits > 0) == labels).double().mean(dim=batch_axis)


def r2(
    predictions: Float[Tensor, "*layer_batch_target"], targets: Float[Tensor, "batch *target"]
) -> Float[Tensor, "*layer_target"]:
    """R², the share of variance explained: 1 is perfect, 0 is always predicting the mean, negative is worse than that.

    The mean is that of the targets passed here, usually the test split. One number per target; their plain average,
    scikit-learn's r2_score, is r2(...).mean(dim=-1).

    Args:
        predictions: [*layer batch *target], in the units of the targets.
        targets: true values; no target may be constant.
    """
    batch_axis = _check(predictions, targets, "predictions", "targets")
    targets = targets.double()
    variance = targets.var(dim=0, correction=0)  # [*target]
    spread = targets.amax(dim=0) - targets.amin(dim=0)
    _require_all(spread > 0, "targets", "vary, or R² is undefined", "the same value in all examples", "drop it")
    return 1 - (predictions.double() - targets).square().mean(dim=batch_axis) / variance


def roc_auc(
    scores: Float[Tensor, "*layer_batch_target"], labels: Bool[Tensor, "batch *target"]
) -> Float[Tensor, "*layer_target"]:
    """Area under the ROC curve: the chance that a positive example scores higher than a negative one; ties count half.

    Computed from ranks (the Mann-Whitney statistic). No threshold is involved: 0.5 is chance whatever the bias.

    Args:
        scores: [*layer batch *target]; higher means more likely True.
        labels: True for the positive class; both classes must occur in every target.
    """
    batch_axis = _check(scores, labels, "scores", "labels")
    n_pos = labels.sum(dim=0)  # [*target]
    n_neg = len(labels) - n_pos
    both = (n_pos > 0) & (n_neg > 0)
    _require_all(both, "labels", "contain both classes, or there is no pair to compare", "one class", "check the split")
    rows = scores.movedim(batch_axis, -1).contiguous()  # [*layer *target batch]
    ordered = rows.sort(dim=-1).values
    below = torch.searchsorted(ordered, rows)  # examples with a lower score
    up_to = torch.searchsorted(ordered, rows, right=True)  # and those with the same one
    rank = (below + up_to + 1).double() / 2  # from 1; tied examples share the mean of their ranks
    rank_sum = (rank * labels.movedim(0, -1)).sum(dim=-1)  # [*layer *target], over the positive examples
    return (rank_sum - n_pos * (n_pos + 1) / 2) / (n_pos * n_neg)


def bootstrap_interval(
    values: Shaped[Tensor, " batch *axes"],
    *,
    groups: Sequence[str | int] | Int[Tensor, " batch"] | None = None,
    statistic: Callable[[Tensor], Tensor | float] = torch.mean,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic: how far it moves when other examples, or groups, are drawn.

    Efron & Tibshirani 1993, chapter 13. It covers chance in drawing this split, not in the training of probe or model.
    With fewer than about 20 groups it is too narrow. For the difference of two probes, pass paired differences.

    Args:
        values: one row per example, such as whether each prediction is correct, or errors of one probe minus another's.
        groups: group of each example (entity, stem, game). Whole groups are drawn with replacement, because examples of
            one group are alike: drawing them one by one makes the interval too narrow.
        statistic: function of resampled values, any number of rows, that returns one number. The mean is fast.
        n_resamples: how often to draw; at least 1000 for a 95 % interval.
        level: probability that the interval is meant to cover, between 0 and 1.

    Returns:
        low, high.
    """
    _require(isinstance(values, Tensor) and values.ndim > 0 and len(values) > 1, "values", "be a tensor [batch ...] of "
             "at least 2 examples", _describe(values), "one example has no spread")  # fmt: skip
    _require_finite(values, "values")
    _require(0 < level < 1, "level", "lie between 0 and 1", level, "0.95 is usual")
    _require(n_resamples >= 1, "n_resamples", "be at least 1", n_resamples, "1000 is usual")
    if groups is None:
        group_of = torch.arange(len(values))
    else:
        names = groups.cpu().numpy() if isinstance(groups, Tensor) else np.asarray(groups)
        expected = f"hold one group for each of the {len(values)} values"
        _require(names.shape == (len(values),), "groups", expected, names.shape, "index both with the same split")
        group_of = torch.from_numpy(np.unique(names, return_inverse=True)[1])  # [batch], 0 to n_groups - 1
    n_groups = int(group_of.max()) + 1
    _require(n_groups > 1, "groups", "hold at least 2 groups", n_groups, "group by something finer")

    generator = torch.Generator().manual_seed(seed)
    values = values.detach().cpu()
    values = values if values.is_floating_point() else values.double()  # counts, or bools: a share of True
    draw = max(1, CHUNK // n_groups)
    sizes = [min(draw, n_resamples - start) for start in range(0, n_resamples, draw)]
    chunks = (torch.randint(n_groups, (size, n_groups), generator=generator) for size in sizes)  # [resample group]
    if statistic is torch.mean:
        rows = values.double().reshape(len(values), -1).mean(dim=1)
        total = torch.zeros(n_groups, dtype=torch.float64).index_add_(0, group_of, rows)
        count = torch.bincount(group_of, minlength=n_groups).double()
        results = torch.cat([total[drawn].sum(dim=1) / count[drawn].sum(dim=1) for drawn in chunks])
    else:
        order = torch.argsort(group_of, stable=True)
        members = order.split(torch.bincount(group_of).tolist())
        one_each = n_groups == len(values)  # then there is nothing to gather group by group, which is slow
        rows = (row for drawn in chunks for row in drawn)
        indices = (order[row] if one_each else torch.cat([members[group] for group in row.tolist()]) for row in rows)
        results = torch.tensor([float(statistic(values[index])) for index in indices], dtype=torch.float64)
    low, high = torch.quantile(results, torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)).tolist()
    return low, high


def score_by_layer(
    acts: Float[Tensor, "layer example d_model"],
    labels: Bool[Tensor, " example"],
    train: Int[Tensor, " train"],
    test: Int[Tensor, " test"],
    *,
    l2: float = 1.0,
) -> Float[Tensor, " layer"]:
    """Score a ridge probe for each layer: fitted on the training examples, accuracy on the test examples.

    Args:
        labels: taken as the numbers 0 and 1; a prediction above one half counts as True.
        train, test: indices of examples; no group (entity, stem, game) should stand in both.
        l2: as for fit_ridge_probe.
    """
    probe = fit_ridge_probe(acts[:, train], labels[train].to(acts.dtype), l2=l2)
    return accuracy(probe(acts[:, test]) - 0.5, labels[test]).to(acts.dtype)


def selectivity(
    acts: Float[Tensor, "example d_model"],
    labels: Bool[Tensor, " example"],
    control: Bool[Tensor, " example"],
    train: Int[Tensor, " train"],
    test: Int[Tensor, " test"],
    *,
    l2: float = 0.1,
) -> float:
    """Accuracy of a logistic regression probe on the task minus that on the control task, on the test examples.

    Hewitt & Liang 2019, arXiv:1909.03368. Near 0 the probe can learn any labels of these words, and its accuracy says
    nothing about the network.

    Args:
        control: labels drawn by lot, see splits.control_labels.
        train, test: indices; the words of the test examples occur in training, or the control cannot be learned.
        l2: as for fit_logistic_regression_probe, the same for both.
    """
    both = torch.stack([labels, control], dim=1)  # [example 2]
    probe = fit_logistic_regression_probe(acts[train], both[train], l2=l2)
    task, lot = accuracy(probe(acts[test]), both[test]).tolist()
    return task - lot


def _check(predictions: Tensor, truth: Tensor, name: str, truth_name: str) -> int:
    """Refuse what cannot be compared; return the batch axis of predictions."""
    floats = isinstance(predictions, Tensor) and predictions.is_floating_point()
    _require(floats, name, "be a float tensor", _describe(predictions), "pass what the probe returns, before any > 0")
    if truth_name == "labels":
        is_bool = isinstance(truth, Tensor) and truth.dtype == torch.bool
        _require(is_bool, "labels", "be a bool tensor", _describe(truth), "use labels > 0 or labels.bool()")
    else:
        floats = isinstance(truth, Tensor) and truth.is_floating_point()
        _require(floats, truth_name, "be a float tensor", _describe(truth), f"use {truth_name}.float()")
    batch_axis = predictions.ndim - truth.ndim
    fits = truth.numel() > 0 and batch_axis >= 0 and predictions.shape[batch_axis:] == truth.shape
    expected = f"have the axes [*layer batch *target], where [batch *target] is {tuple(truth.shape)} as in {truth_name}"
    _require(fits, name, expected, tuple(predictions.shape), "score the split that was predicted, with its targets")
    _require(predictions.device == truth.device, name, f"be on {truth.device} like {truth_name}", predictions.device,
             f"use {name}.to({truth_name}.device)")  # fmt: skip
    _require_finite(predictions, name)
    _require_finite(truth, truth_name)
    return batch_axis


def _require(holds: bool, name: str, expected: str, got: object, cure: str) -> None:
    if not holds:
        raise ValueError(f"{name} must {expected}, got {got}; {cure}")


def _require_all(holds: Tensor, name: str, expected: str, got: str, cure: str) -> None:
    """Name the first target of which it does not hold."""
    for target in (~holds).nonzero()[:1].tolist():
        where = f" in target {str(target)[1:-1]}" if target else ""
        _require(False, name, expected, got + where, cure)


def _require_finite(values: Tensor, name: str) -> None:
    wrong = int((~values.isfinite()).sum()) if values.is_floating_point() else 0
    _require(wrong == 0, name, "be finite", f"{wrong} NaN or infinite of {values.numel()}", "look where they come from")


def _describe(value: object) -> str:
    return f"{value.dtype} of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
