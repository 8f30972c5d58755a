"""Linear probes: logit = weight · acts + bias, for all layers and all targets at once.

    probe = fit_logistic_regression_probe(acts_train, labels_train)  # acts [layer batch d_model], labels [batch target]
    logits = probe(acts_test)                                        # [layer batch target]; True where logits > 0

Every fitter takes acts [*layer batch d_model] and labels or targets [batch *target]: any number of layer axes before
the batch (also none) and of target axes behind it (also none). The targets of a layer share one factorisation.
float16 and bfloat16 acts are computed in float32, one layer at a time; float32 and float64 acts stay what they are.
Everything here raises a ValueError that says what does not fit: shapes, dtypes, devices, NaN, labels of one class.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from utils.log_loss import minimise_log_loss

MIN_STD = 1e-6  # of the largest: MiniLM's layer 5 has dimensions that vary by 1e-32 and 5e-9
TOLERANCE = 1e-5  # of the gradient, see fit_logistic_regression_probe


@dataclass(frozen=True, eq=False)
class LinearProbe:
    """A direction and a threshold per layer and target: logit = weight · acts + bias.

    weight: [*layer *target d_model]. The last axis is d_model; before it stand layers, then targets, if there are any.
    bias: [*layer *target], a tensor with a single number if there is neither.
    """

    weight: Float[Tensor, "*layer_target d_model"]
    bias: Float[Tensor, "*layer_target"]

    def __post_init__(self) -> None:
        weight, bias = self.weight, self.bias
        for name, value, cure in (("weight", weight, "weight.float()"), ("bias", bias, "torch.tensor(0.0)")):
            _require(_is_float(value), name, "a tensor of floats", value, f"use for example {cure}")
            _check_finite(value, name)
        fits = weight.ndim > 0 and bias.shape == weight.shape[:-1]
        shapes = f"weight {tuple(weight.shape)} and bias {tuple(bias.shape)}"
        cure = "one probe has weight [d_model] and a bias without axes, such as bias.squeeze()"
        _require(fits, "bias", "of the shape of weight without its last axis, d_model", shapes, cure)
        _require(bias.dtype == weight.dtype, "bias", f"{weight.dtype} like weight", bias, "use bias.to(weight.dtype)")

    def __call__(self, acts: Float[Tensor, "*layer batch d_model"]) -> Float[Tensor, "..."]:
        """Compute the logits [*layer batch *target]: positive where the probe says True.

        Args:
            acts: in model units. Of n axes the first n - 2 are layers, and weight must begin with the same ones.
        """
        weight, bias = self.weight, self.bias
        _check_acts(acts)
        *layer, batch, d_model = acts.shape
        fits = weight.shape[-1] == d_model and list(weight.shape[:-1][: len(layer)]) == layer
        expected = f"[*layer batch d_model] to fit weight [*layer *target d_model] {tuple(weight.shape)}"
        _require(fits, "acts", expected, tuple(acts.shape), "apply a probe to the model and layers it was fitted on")
        rows = weight.reshape(*layer, -1, d_model)  # [*layer target d_model], one target if weight has none
        logits = acts.to(weight.dtype) @ rows.mT + bias.reshape(*layer, 1, -1)  # [*layer batch target]
        return logits.reshape(*layer, batch, *weight.shape[len(layer) : -1])


@torch.no_grad()
def fit_mass_mean_probe(
    acts: Float[Tensor, "*layer batch d_model"], labels: Bool[Tensor, "batch *target"]
) -> LinearProbe:
    """Fit a mass-mean probe: the direction from the negative to the positive class mean.

    Marks & Tegmark 2023, arXiv:2310.06824. The bias puts the threshold halfway between the means. High accuracy
    shows that the label is decodable, not that the model uses this direction.

    Args:
        acts: resid_post of one position, in model units (neither centred nor scaled); training split only.
        labels: True for the positive class; both classes must occur in every target.

    Returns:
        Probe whose weight keeps the length of the mean difference: the step size of an intervention.
    """
    layers, y = _check(acts, labels, "labels")
    n_pos = y.sum(dim=0)[:, None]  # [target 1]
    parts = []
    for x in layers:  # [batch d_model]
        mean = x.mean(dim=0)
        sum_pos = y.T.to(x.dtype) @ (x - mean)  # [target d_model]; around the mean, where sum_neg = -sum_pos
        mu_pos, mu_neg = sum_pos / n_pos, -sum_pos / (len(y) - n_pos)
        parts.append((mu_pos - mu_neg, mean + (mu_pos + mu_neg) / 2, x.new_zeros(y.shape[1])))
    return _to_probe(acts, labels, parts)


@torch.no_grad()
def fit_ridge_probe(
    acts: Float[Tensor, "*layer batch d_model"], targets: Float[Tensor, "batch *target"], *, l2: float = 1.0
) -> LinearProbe:
    """Fit ridge regression: the weight that minimises ‖targets - acts · weight - bias‖² + l2 ‖weight‖².

    The bias is not penalised. The same as scikit-learn's Ridge(alpha=l2). Acts are centred first, so a common offset
    is harmless; they are not scaled, so l2 is in squared units of acts, summed over the batch.

    Args:
        acts: resid_post of one position, in model units; training split only. Products of float32 acts are summed in
            float32 and solved in float64. Pass acts.double() where l2 is below a millionth of the largest variance
            times the batch, and the directions with the least variance matter.
        targets: numbers to predict, such as [batch 3] for red, green, blue.
        l2: strength of the penalty, > 0.

    Returns:
        Probe whose logits are predictions in the units of the targets.
    """
    layers, y = _check(acts, targets, "targets", l2)
    height, parts = y.mean(dim=0), []
    y_centred = (y - height).to(torch.promote_types(acts.dtype, torch.float32))
    for x in layers:  # [batch d_model]
        mean = x.mean(dim=0)
        x = x - mean
        if len(x) >= x.shape[1]:  # noqa: SIM108 (two cases, two lines)
            weight = _solve(x.T @ x, x.T @ y_centred, l2)  # [d_model target]
        else:  # the weight is a sum of examples: with fewer of them than dimensions, solve for their shares
            weight = x.T @ _solve(x @ x.T, y_centred, l2)
        parts.append((weight.T, mean[None], height))
    return _to_probe(acts, targets, parts)


@torch.no_grad()
def fit_logistic_regression_probe(
    acts: Float[Tensor, "*layer batch d_model"],
    labels: Bool[Tensor, "batch *target"],
    *,
    l2: float = 0.1,
    tolerance: float = TOLERANCE,
) -> LinearProbe:
    """Fit logistic regression: the weight that minimises mean log-loss + l2/2 ‖weight‖² on standardised acts.

    The bias is not penalised. The same as scikit-learn's LogisticRegression(C=1 / (batch * l2)) after StandardScaler.
    Dimensions that hardly vary get weight 0. Several targets are independent probes, each one against the rest.

    Args:
        acts, labels: as for fit_mass_mean_probe; acts are standardised here.
        l2: strength of the penalty, > 0. The default suits 300 to 5,000 examples of sentiment in MiniLM; choose it on
            a validation split, never on test.
        tolerance: stop where the gradient is this short, relative to its length at weight 0. The default is for
            weights; for the accuracy of many targets at once 0.1 is enough, and many times faster.

    Returns:
        Probe in model units: apply it to acts as they are.

    Warns:
        RuntimeWarning: If targets have not converged after MAX_STEPS steps.
    """
    layers, y = _check(acts, labels, "labels", l2)
    parts = []
    for x in layers:  # [batch d_model]
        mean = x.mean(dim=0)
        ones = x.new_ones(len(x), x.shape[1] + 1)  # [batch d_model+1]: the weight of the last column is the bias
        x = torch.sub(x, mean, out=ones[:, :-1])  # [batch d_model], a view of it
        std = (sum(rows.square().sum(dim=0) for rows in x.split(1024)) / len(x)).sqrt()  # rows that fit into the cache
        rounding = 10 * torch.finfo(x.dtype).eps * mean.abs()
        std[(std <= rounding) | (std <= MIN_STD * std.max())] = math.inf  # constant, or as good as: weight 0
        x.div_(std)
        theta = minimise_log_loss(ones, y.T.to(x.dtype).contiguous(), l2, tolerance)  # [target d_model+1]
        parts.append((theta[:, :-1] / std, mean[None], theta[:, -1]))
    return _to_probe(acts, labels, parts)


def _solve(gram: Float[Tensor, "dim dim"], y: Float[Tensor, "dim target"], l2: float) -> Float[Tensor, "dim target"]:
    """Solve (gram + l2) w = y by Cholesky, in float64."""
    factor, failed = torch.linalg.cholesky_ex(gram.double() + l2 * torch.eye(len(gram), device=gram.device))
    got = f"{l2:g} beside {float(gram.diagonal().max()):.3g}, the largest sum of squares of one dimension or example"
    _require(not failed, "l2", "large enough to determine the weight", got, "raise l2 or pass acts.double()")
    return torch.cholesky_solve(y.double(), factor).to(y.dtype)


def _to_probe(acts: Tensor, y: Tensor, parts: list[tuple[Tensor, Tensor, Tensor]]) -> LinearProbe:
    """Make a probe of weight · (acts - centre) + height, given for each layer: [target d_model], the same, [target]."""
    weight, centre, height = map(torch.stack, zip(*parts, strict=True))
    bias = height - (weight.double() * centre.double()).sum(dim=-1)  # float64: a large offset cancels
    axes = (*acts.shape[:-2], *y.shape[1:])
    return LinearProbe(weight=weight.reshape(*axes, -1), bias=bias.to(weight.dtype).reshape(axes))


def _check(acts: Tensor, y: Tensor, name: str, l2: float = 1.0) -> tuple[Iterator[Tensor], Tensor]:
    """Refuse what cannot be fitted; return the layers [batch d_model], one at a time, and y [batch target]."""
    _check_acts(acts)
    _check_finite(acts, "acts")
    if name == "labels":
        is_bool = isinstance(y, Tensor) and y.dtype == torch.bool
        _require(is_bool, name, "a bool tensor [batch *target]", y, "use labels > 0 or labels.bool()")
    else:
        _require(_is_float(y), name, "a float tensor [batch *target]", y, "use targets.float()")
    _require(y.device == acts.device, name, f"on {acts.device} like acts", y.device, f"use {name}.to(acts.device)")
    fits = y.numel() > 0 and y.shape[:1] == acts.shape[-2:-1]
    expected = f"[batch *target] with a row for each of the {acts.shape[-2]} examples in acts {tuple(acts.shape)}"
    _require(fits, name, expected, tuple(y.shape), "index both with the same split")
    _require(0 < l2 < math.inf, "l2", "a number > 0", repr(l2), "1e-6 is next to no penalty")
    if name == "labels":
        n_pos = y.sum(dim=0)
        for target in ((n_pos == 0) | (n_pos == len(y))).nonzero()[:1].tolist():
            where = f" in target {str(target)[1:-1]}" if target else ""
            got = f"{int(n_pos[tuple(target)])} True of {len(y)}{where}"
            _require(False, name, "of both classes", got, "check the split")
    else:
        _check_finite(y, name)
    dtype = torch.promote_types(acts.dtype, torch.float32)
    return (layer.to(dtype) for layer in acts.reshape(-1, *acts.shape[-2:])), y.reshape(len(y), -1)


def _check_acts(acts: Tensor) -> None:
    fits = _is_float(acts) and acts.ndim >= 2 and acts.numel() > 0
    cure = "use acts[None] for a single example, and check the mask or split that chose the examples"
    _require(fits, "acts", "a float tensor [*layer batch d_model] with at least one example", acts, cure)


def _check_finite(values: Tensor, name: str) -> None:
    if not values.sum().isfinite():  # one pass; no NaN or infinity escapes it, but huge numbers may overflow
        wrong = (~values.isfinite()).nonzero().tolist()
        got = f"{len(wrong)} NaN or infinite of {values.numel()}, the first at index {str(wrong[:1])[1:-1]}"
        _require(not wrong, name, "finite", got, "look for a wrong hook, padding or a division by zero")


def _is_float(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _require(holds: bool, name: str, expected: str, got: object, cure: str) -> None:
    if not holds:
        got = f"{got.dtype} of shape {tuple(got.shape)}" if isinstance(got, Tensor) else got
        got = got if isinstance(got, (str, tuple, torch.device)) else f"a {type(got).__name__}"
        raise ValueError(f"{name} must be {expected}, got {got}; {cure}")
