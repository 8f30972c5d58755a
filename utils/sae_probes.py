"""Probes on few SAE latents, and whether they add anything to probes on the stream.

    chosen = select_latents(latents_train, labels_train, k=16)            # training split only
    probe = fit_k_sparse_probe(latents_train, labels_train, chosen)       # weight [latent], 0 but for the chosen
    probe(latents_test)                                                   # [example]
    winner, score = select_by_validation(validation, test)                # [task method] each -> [task] each
    gains = quiver_gain(validation, test, is_sae)                         # [task]: with the SAE methods minus without
    mean, low, high = stratified_interval(gains, model_of)                # every model counts alike

Everything here raises a ValueError that says what does not fit.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.probes import LinearProbe, fit_logistic_regression_probe


def select_latents(
    latents: Float[Tensor, "example latent"], labels: Bool[Tensor, " example"], k: int
) -> Int[Tensor, " k"]:
    """Choose the k latents whose class means lie furthest apart, the furthest first.

    The absolute difference of the mean over True and over False examples, as Kantamneni et al. 2025, arXiv:2502.16681,
    and Gurnee et al. 2023, arXiv:2305.01610, among others of theirs. It is in the units of the latents: not divided by
    any spread, so a latent with large values comes before a small one that tells the classes apart more reliably.

    Args:
        latents: of an SAE; training split only, because choosing is fitting.
        labels: True for the positive class; both classes must occur.
        k: how many, from 1 to the number of latents.

    Raises:
        ValueError: If only one class occurs, k is out of range, or the shapes do not fit.
    """
    if latents.ndim != 2 or labels.shape != latents.shape[:1] or labels.dtype != torch.bool:
        raise ValueError(
            f"latents must be [example latent] and labels a bool for each example, got {tuple(latents.shape)} and "
            f"{labels.dtype} {tuple(labels.shape)}; index both with the same split"
        )
    n_true = int(labels.sum())
    if n_true in (0, len(labels)):
        raise ValueError(f"labels must hold both classes, got {n_true} True of {len(labels)}; check the split")
    if not 1 <= k <= latents.shape[1]:
        raise ValueError(f"k must be from 1 to the number of latents {latents.shape[1]}, got {k}; choose fewer")
    difference = latents[labels].mean(dim=0) - latents[~labels].mean(dim=0)  # [latent]
    return difference.abs().topk(k).indices


def fit_k_sparse_probe(
    latents: Float[Tensor, "example latent"],
    labels: Bool[Tensor, " example"],
    chosen: Int[Tensor, " k"],
    l2: float = 0.1,
) -> LinearProbe:
    """Fit logistic regression on the chosen latents only, and return it as a probe of all latents.

    Gurnee et al. 2023, arXiv:2305.01610: k-sparse probing. Not the same as a probe of all latents whose other weights
    are deleted: those were fitted to work together.

    Args:
        latents: of an SAE; training split only.
        labels: True for the positive class; both classes must occur.
        chosen: indices of latents in any order, each once, as from select_latents.
        l2: as for fit_logistic_regression_probe.

    Returns:
        Probe with weight [latent], 0 at all latents that are not chosen and at those that never vary.

    Raises:
        ValueError: If chosen names a latent twice or one that does not exist, or latents and labels do not fit.
    """
    n = latents.shape[-1]
    places = chosen.tolist() if chosen.ndim == 1 else []
    if not places or len(set(places)) < len(places) or min(places) < 0 or max(places) >= n:
        got = f"{len(places)} of which {len(set(places))} are different" if places else f"shape {tuple(chosen.shape)}"
        raise ValueError(
            f"chosen must be [k] different indices from 0 to {n - 1}, got {got}; take them from select_latents"
        )
    probe = fit_logistic_regression_probe(latents[:, chosen], labels, l2=l2)
    weight = probe.weight.new_zeros(n)
    weight[chosen] = probe.weight
    return LinearProbe(weight=weight, bias=probe.bias)


def select_by_validation(
    validation: Float[Tensor, "task method"], test: Float[Tensor, "task method"]
) -> tuple[Int[Tensor, " task"], Float[Tensor, " task"]]:
    """Choose the method that wins each task on validation, and report that method's test score.

    The best test score of many methods is a score of luck: of 50 that guess, each with a standard error of 0.05, the
    best is 0.11 above chance.

    Args:
        validation: higher is better; NaN where a method could not be run, which then never wins.
        test: scores on other examples, of the same methods.

    Returns:
        winner: of each task; of equal ones the first.
        score: its test score.

    Raises:
        ValueError: If no method could be run on a task, or the shapes differ.
    """
    _check_scores(validation, test)
    winner = _winner(validation, "task")
    return winner, test[torch.arange(len(test)), winner]


def quiver_gain(
    validation: Float[Tensor, "task method"], test: Float[Tensor, "task method"], is_sae: Bool[Tensor, " method"]
) -> Float[Tensor, " task"]:
    """What SAE methods add to a set of dense ones, for each task, if the method is chosen on validation.

    Kantamneni et al. 2025, arXiv:2502.16681: the test score of the winner among all methods minus that of the winner
    among the dense ones. 0 where a dense method wins; negative where an SAE method wins on validation by luck.

    Args:
        validation: higher is better; NaN where a method could not be run.
        test: scores on other examples, of the same methods.
        is_sae: which methods read SAE latents.

    Raises:
        ValueError: If the methods are all of one kind, no dense one could be run on a task, or the shapes differ.
    """
    _check_scores(validation, test)
    if is_sae.shape != validation.shape[1:] or is_sae.dtype != torch.bool or is_sae.all() or not is_sae.any():
        raise ValueError(
            f"is_sae must be a bool for each of the {validation.shape[1]} methods and hold both kinds, got "
            f"{is_sae.dtype} {tuple(is_sae.shape)}, {int(is_sae.sum())} True; with one kind there is nothing to compare"
        )
    rows = torch.arange(len(test))
    dense = _winner(validation.masked_fill(is_sae, torch.nan), "task's dense part")
    return test[rows, _winner(validation, "task")] - test[rows, dense]


def stratified_interval(
    gains: Float[Tensor, " task"], model_of: Int[Tensor, " task"], n_resamples: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean over models of the mean over their tasks, with a 95 % percentile interval from a stratified bootstrap.

    Tasks are drawn with replacement within each model, as many as it has, so that every model is always there and
    counts alike. The interval is about other tasks of these models, not about other models. With fewer than about 20
    tasks in a model it is too narrow, and a model with a single task adds no width at all.

    Args:
        gains: of each task, such as from quiver_gain.
        model_of: number of each task's model; any integers.

    Returns:
        mean, low, high.

    Raises:
        ValueError: If the shapes differ, there are no tasks, gains are not finite, or n_resamples is below 1.
    """
    if gains.ndim != 1 or not len(gains) or model_of.shape != gains.shape or not gains.isfinite().all():
        raise ValueError(
            f"gains must be [task], finite, and model_of a number for each, got {tuple(gains.shape)} with "
            f"{int((~gains.isfinite()).sum())} NaN or infinite, and {tuple(model_of.shape)}; drop tasks without one"
        )
    if n_resamples < 1:
        raise ValueError(f"n_resamples must be at least 1, got {n_resamples}; 1000 is usual")
    generator = torch.Generator().manual_seed(seed)
    means, resampled = [], []
    for model in model_of.unique():
        own = gains[model_of == model].double()
        drawn = torch.randint(len(own), (n_resamples, len(own)), generator=generator)  # [resample task]
        means.append(own.mean())
        resampled.append(own[drawn].mean(dim=1))
    quantiles = torch.tensor([0.025, 0.975], dtype=torch.float64)
    low, high = torch.stack(resampled).mean(dim=0).quantile(quantiles).tolist()
    return float(torch.stack(means).mean()), low, high


def _winner(validation: Float[Tensor, "task method"], what: str) -> Int[Tensor, " task"]:
    """The first of the largest numbers of each row that are no NaN."""
    unable = validation.isnan().all(dim=1)
    if unable.any():
        raise ValueError(
            f"every {what} must have a method that could be run, got NaN on validation for all of them in "
            f"{int(unable.sum())} of {len(unable)}, the first is task {int(unable.int().argmax())}; drop these tasks"
        )
    return validation.masked_fill(validation.isnan(), -torch.inf).argmax(dim=1)


def _check_scores(validation: Tensor, test: Tensor) -> None:
    if validation.ndim != 2 or test.shape != validation.shape:
        raise ValueError(
            f"validation and test must be [task method], got {tuple(validation.shape)} and {tuple(test.shape)}; "
            "score the same methods on both"
        )
