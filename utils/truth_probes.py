"""Probes for truth: one token of many statements, its probability, and directions that transfer or do not.

    acts = statement_acts(model, statements.texts, [0, 1, 2, 3], position=-2)   # [layer statement d_model], the object
    components, shares = principal_components(acts[1], 2)
    verdicts = generalization_matrix(acts_of_sets, labels, folds)               # [train_set test_set statement]
    verdicts.float().mean(dim=-1)                                               # the matrix of accuracies
    t_general, t_polarity = truth_and_polarity_directions(acts, truth, negated)

Sets of statements lie in different places, whatever is true in them. So every set is centred by its own mean before a
direction of another set is applied. That takes no labels, and is right where both classes are equally frequent.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.activations import MAX_TOKENS, Layer, cache_positions
from utils.models import TransformerBridge
from utils.probes import fit_mass_mean_probe
from utils.tokens import tokenize


@torch.no_grad()
def statement_acts(
    model: TransformerBridge,
    texts: Sequence[str],
    layers: Sequence[Layer],
    position: int,
    *,
    max_tokens: int = MAX_TOKENS,
) -> Float[Tensor, "layer statement d_model"]:
    """Read the residual stream at one token of each statement.

    Args:
        texts: statements, of any lengths; tokenize adds what the model's tokenizer puts before and after a text.
        layers: as for cache_resid_post.
        position: counted from the end of each statement's own tokens, padding left out. In Facts-GPT -1 is the full
            stop and -2 the object; in other models look at what the tokenizer makes of your texts.
        max_tokens: per forward pass, padding included; the result does not depend on it.

    Returns:
        Activations in model units, statements in the order of texts.

    Raises:
        ValueError: If position is not negative, or a statement has fewer tokens than that; and as tokenize and
            cache_resid_post do.
    """
    tokens, attention_mask = tokenize(model, texts)
    where = _from_end(attention_mask, position)
    chosen = torch.arange(tokens.shape[1], device=tokens.device) == where[:, None]  # [statement pos], one True a row
    return cache_positions(model, tokens, attention_mask, chosen, layers, max_tokens=max_tokens)


@torch.no_grad()
def object_log_probs(
    model: TransformerBridge, texts: Sequence[str], *, batch_size: int = 32
) -> Float[Tensor, " statement"]:
    """Log-probability of each statement's last word, given the words before it: how likely, not how true.

    Marks & Tegmark 2023, arXiv:2310.06824, tell the two apart by texts whose last token is likely or not. Here it is
    the object's probability alone, because the words before it are neither true nor false yet.

    Args:
        texts: statements that end in an object of one token and a full stop of one token.
        batch_size: statements per forward pass, which holds logits [statement pos d_vocab].

    Returns:
        Natural logarithms, 0 or below.

    Raises:
        ValueError: If a statement has fewer than three tokens; and as tokenize does.
    """
    tokens, attention_mask = tokenize(model, texts)
    where = _from_end(attention_mask, -3)  # the logits after this token are about the object
    parts = []
    for rows in torch.arange(len(tokens), device=tokens.device).split(batch_size):
        logits = model(tokens[rows], attention_mask=attention_mask[rows], return_type="logits")
        here = torch.arange(len(rows), device=tokens.device), where[rows]
        log_probs = logits[here].float().log_softmax(dim=-1)  # [statement d_vocab]
        objects = tokens[rows].gather(1, where[rows, None] + 1)  # [statement 1]
        parts.append(log_probs.gather(1, objects)[:, 0])
    return torch.cat(parts)


@torch.no_grad()
def principal_components(
    acts: Float[Tensor, "statement d_model"], n: int
) -> tuple[Float[Tensor, "component d_model"], Float[Tensor, " component"]]:
    """Find the directions along which acts vary most (principal component analysis, no labels).

    Args:
        acts: of one layer and position, in model units; centred here, not scaled.
        n: how many, from 1 to the smaller of statements - 1 and d_model.

    Returns:
        components: of length 1 and at right angles, the largest variance first. Their signs mean nothing.
        shares: of each component in the total variance, so that all together they would add up to 1.

    Raises:
        ValueError: If acts or n do not fit, or acts do not vary.
    """
    _require_matrix(acts, "acts")
    most = min(len(acts) - 1, acts.shape[1])
    if not 1 <= n <= most:
        raise ValueError(f"n must be from 1 to {most} with acts {tuple(acts.shape)}, got {n}; centring takes one away")
    acts = acts.to(torch.promote_types(acts.dtype, torch.float32))
    _, singular, components = torch.linalg.svd(acts - acts.mean(dim=0), full_matrices=False)
    total = singular.square().sum()
    if total == 0:
        raise ValueError(f"acts must vary, got {len(acts)} statements with the same vector; is position that of <bos>?")
    return components[:n], singular[:n].square() / total


@torch.no_grad()
def transfer_accuracy(
    acts_train: Float[Tensor, "statement d_model"],
    labels_train: Bool[Tensor, " statement"],
    acts_test: Float[Tensor, "other d_model"],
    labels_test: Bool[Tensor, " other"],
) -> float:
    """Accuracy on one set of the mass-mean direction of another, each set centred by its own mean.

    Marks & Tegmark 2023, arXiv:2310.06824. True is what lies on the positive side of its own set's mean, so the
    threshold needs no labels, but equally many of both classes. Below 0.5 the direction is turned round on the test
    set: a finding, which is returned as it is.

    Raises:
        ValueError: If the sets have another d_model, or labels do not fit acts; and as fit_mass_mean_probe does.
    """
    _require_labels(acts_train, labels_train, "_train")
    _require_labels(acts_test, labels_test, "_test")
    if acts_train.shape[1] != acts_test.shape[1]:
        raise ValueError(
            f"acts_test must have the d_model of acts_train, {acts_train.shape[1]}, got {acts_test.shape[1]}; "
            "take both from one model"
        )
    direction = fit_mass_mean_probe(acts_train, labels_train).weight
    says_true = (acts_test - acts_test.mean(dim=0)).to(direction.dtype) @ direction > 0
    return float((says_true == labels_test).double().mean())


@torch.no_grad()
def generalization_matrix(
    acts: Float[Tensor, "set statement d_model"],
    labels: Bool[Tensor, "set statement"],
    folds: Int[Tensor, "set statement"],
) -> Bool[Tensor, "train_set test_set statement"]:
    """Judge every statement of every set with the mass-mean direction of every set, on held-out entities.

    Transfer between sets as in Marks & Tegmark 2023, arXiv:2310.06824; here cross-validated by entity. For each fold
    the directions and the means are those of statements outside it, and what is judged lies inside it.

    Args:
        acts: of one layer and position; sets are topics, or topics and polarities.
        folds: fold of each statement, the same for all statements about an entity, in whatever set.

    Returns:
        Whether statement j of test_set is judged rightly by the direction of train_set. The mean over statements is
        the matrix of accuracies; keep the statements for intervals over entities.

    Raises:
        ValueError: If labels or folds do not fit acts, or there is one fold only; and as fit_mass_mean_probe does, if
            a set has one class only outside a fold.
    """
    if acts.ndim != 3 or labels.shape != acts.shape[:2] or folds.shape != acts.shape[:2] or labels.dtype != torch.bool:
        raise ValueError(
            f"acts must be [set statement d_model], labels (bool) and folds [set statement], got {tuple(acts.shape)}, "
            f"{labels.dtype} {tuple(labels.shape)} and {tuple(folds.shape)}; stack sets of equally many statements"
        )
    numbers = folds.unique().tolist()
    if len(numbers) < 2:
        raise ValueError(f"folds must hold at least 2 different numbers, got {numbers}; splits.split_folds makes them")
    n_sets = len(acts)
    right = torch.zeros(n_sets, *labels.shape, dtype=torch.bool, device=acts.device)
    for fold in numbers:
        outside = folds != fold  # [set statement]
        probes = [fit_mass_mean_probe(x[rows], y[rows]) for x, y, rows in zip(acts, labels, outside, strict=True)]
        directions = torch.stack([probe.weight for probe in probes])  # [train_set d_model]
        for test, inside in enumerate(~outside):
            centred = acts[test, inside] - acts[test, ~inside].mean(dim=0)  # [inside d_model]
            right[:, test, inside] = (directions @ centred.T.to(directions.dtype) > 0) == labels[test, inside]
    return right


@torch.no_grad()
def truth_and_polarity_directions(
    acts: Float[Tensor, "statement d_model"], truth: Bool[Tensor, " statement"], negated: Bool[Tensor, " statement"]
) -> tuple[Float[Tensor, " d_model"], Float[Tensor, " d_model"]]:
    """Fit what truth adds to the stream in both polarities, and what it adds with the opposite sign in negated ones.

    Bürger et al. 2024, arXiv:2407.12831: acts - mean of their polarity = tau t_general + tau p t_polarity, with tau 1
    where true and -1 where false, p 1 where affirmed and -1 where negated; least squares. Deviation: tau and tau p are
    centred in each polarity like acts, so that the result is right where true and false are not equally many, too.

    Args:
        acts: of one layer and position, in model units; training entities only.
        truth: of the whole statement, "not" included.

    Returns:
        t_general, t_polarity: half of what the stream moves from false to true, in model units. Affirmed statements
        move by twice their sum, negated ones by twice their difference.

    Raises:
        ValueError: If shapes do not fit, or true or false statements of one polarity are missing.
    """
    _require_labels(acts, truth, "", "truth")
    _require_labels(acts, negated, "", "negated")
    for polarity, which in (("affirmed", ~negated), ("negated", negated)):
        n_true, n = int(truth[which].sum()), int(which.sum())
        if n_true in (0, n):
            raise ValueError(f"{polarity} statements must be of both classes, got {n_true} true of {n}; add statements")
    acts = acts.to(torch.promote_types(acts.dtype, torch.float32))
    tau, p = 2 * truth.to(acts.dtype) - 1, 1 - 2 * negated.to(acts.dtype)
    regressors = torch.stack([~negated, negated, tau, tau * p], dim=1)  # two means, two directions
    _, _, t_general, t_polarity = torch.linalg.lstsq(regressors, acts).solution  # [4 d_model]
    return t_general, t_polarity


def _from_end(attention_mask: Int[Tensor, "statement pos"], position: int) -> Int[Tensor, " statement"]:
    """Positions that lie so far from the end of each row's real tokens; padding is on the right."""
    lengths = attention_mask.sum(dim=1)
    if not -int(lengths.min()) <= position <= -1:
        raise ValueError(
            f"position must be from -{int(lengths.min())} (the shortest statement, index {int(lengths.argmin())}) to "
            f"-1, got {position}; count from the end, -1 is the last token"
        )
    return lengths + position


def _require_matrix(acts: Tensor, name: str) -> None:
    if acts.ndim != 2 or not acts.is_floating_point() or len(acts) < 2:
        raise ValueError(
            f"{name} must be a float tensor [statement d_model] of at least 2 statements, got {acts.dtype} of shape "
            f"{tuple(acts.shape)}; take one layer"
        )


def _require_labels(acts: Tensor, labels: Tensor, suffix: str, name: str = "labels") -> None:
    _require_matrix(acts, "acts" + suffix)
    if labels.dtype != torch.bool or labels.shape != acts.shape[:1]:
        raise ValueError(
            f"{name}{suffix} must be a bool tensor with one label for each of {len(acts)} statements, got "
            f"{labels.dtype} of shape {tuple(labels.shape)}; index both with the same split"
        )
