"""Probes from sums: one pass over activations that are never held whole, on as many machines as you like.

    statistics = ProbeStatistics.zeros(n_layers=3, d_model=384)
    for rows, acts in stream_pooled(model, texts, layers):       # or read_acts(file, layers)
        statistics.add(acts, labels[rows])                       # [layer row d_model], [row *target]
    probe = statistics.mass_mean_probe()                         # as fit_mass_mean_probe of all of them at once

Count, means and sums of products say all about the data that mass-mean, ridge and LEACE ask for. Logistic regression
has no such sums: its minimum depends on every example. Fit it on a sample that memory holds.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from utils.interventions import LinearEraser, leace_from_moments
from utils.probes import LinearProbe


@dataclass(eq=False)
class ProbeStatistics:
    """Count, means, and sums of products around the means, of acts and of labels or targets; all in float64.

    Batches are put together by the formula of Chan, Golub & LeVeque 1983 (The American Statistician 37:242), which
    keeps the sums around the mean of what there is so far: a large common offset costs no digits, as it would in sums
    of squares. d_model² numbers of 8 bytes are held for each layer. Several targets share them.

    count: examples added.
    mean_acts, mean_targets: [layer d_model], [*target].
    products: [layer d_model d_model], the sum of (act - mean)(act - mean)ᵀ.
    cross: [layer *target d_model], the sum of (target - mean)(act - mean).
    labels: whether all targets so far were bools.
    """

    count: int
    mean_acts: Float[Tensor, "layer d_model"]
    mean_targets: Float[Tensor, " *target"]
    products: Float[Tensor, "layer d_model d_model"]
    cross: Float[Tensor, "layer *target d_model"]
    labels: bool = True

    @classmethod
    def zeros(
        cls, n_layers: int, d_model: int, target: tuple[int, ...] = (), *, device: str | torch.device = "cpu"
    ) -> "ProbeStatistics":
        """Begin with no example.

        Args:
            target: axes of the labels or targets behind the batch, such as (3,) for red, green, blue.
            device: where the sums are; "cuda" is worth it, mps has no float64.
        """
        shapes = (n_layers, d_model), target, (n_layers, d_model, d_model), (n_layers, *target, d_model)
        return cls(0, *(torch.zeros(shape, dtype=torch.float64, device=device) for shape in shapes))

    @torch.no_grad()
    def add(
        self,
        acts: Float[Tensor, "layer row d_model"],
        targets: Bool[Tensor, "row *target"] | Float[Tensor, "row *target"],
    ) -> None:
        """Add a batch of any size, also of no rows: what a split has left of it.

        Args:
            acts: in model units; training split only.
            targets: labels (bool) or numbers to predict.

        Raises:
            ValueError: If shapes or dtypes do not fit, or there are NaN.
        """
        (n_layers, d_model), target = self.mean_acts.shape, tuple(self.mean_targets.shape)
        n_rows = len(targets) if targets.ndim else 0
        numbers = acts.is_floating_point() and (targets.is_floating_point() or targets.dtype == torch.bool)
        if acts.shape != (n_layers, n_rows, d_model) or targets.shape != (n_rows, *target) or not numbers:
            raise ValueError(
                f"acts must be floats [layer row d_model] {(n_layers, 'row', d_model)} and targets bools or floats "
                f"{('row', *target)}, got {acts.dtype} {tuple(acts.shape)} and {targets.dtype} {tuple(targets.shape)}; "
                "index both with the same rows"
            )
        if not acts.isfinite().all() or not targets.isfinite().all():
            raise ValueError("acts and targets must be finite, got NaN or infinity; look for a wrong hook or padding")
        if not n_rows:
            return
        acts, is_bool = acts.to(self.products), targets.dtype == torch.bool
        targets = targets.to(self.products)
        mean_acts, mean_targets = acts.mean(dim=1), targets.mean(dim=0)
        acts = acts - mean_acts[:, None]
        cross = (targets - mean_targets).reshape(n_rows, -1).T @ acts  # [layer target d_model]
        products = acts.mT @ acts
        self.merge(ProbeStatistics(n_rows, mean_acts, mean_targets, products, cross.reshape_as(self.cross), is_bool))

    @torch.no_grad()
    def merge(self, other: "ProbeStatistics") -> None:
        """Add all that another one has seen, such as another worker's.

        Raises:
            ValueError: If the two are of other layers, targets or d_model.
        """
        if self.cross.shape != other.cross.shape:
            raise ValueError(
                f"other must be of the same layers, targets and d_model {tuple(self.cross.shape)}, "
                f"got {tuple(other.cross.shape)}; add the same layers everywhere"
            )
        share = other.count / max(1, self.count + other.count)
        acts = (other.mean_acts.to(self.products) - self.mean_acts)[:, None]  # [layer 1 d_model]
        targets = other.mean_targets.to(self.products) - self.mean_targets  # [*target]
        weight = self.count * share
        self.products.add_(other.products.to(self.products)).baddbmm_(acts.mT, acts, alpha=weight)
        moved = (weight * targets.reshape(-1, 1) * acts).reshape_as(self.cross)
        self.cross.add_(other.cross.to(self.products)).add_(moved)
        self.mean_acts.add_(share * acts[:, 0])
        self.mean_targets.add_(share * targets)
        self.count += other.count
        self.labels &= other.labels

    def mass_mean_probe(self) -> LinearProbe:
        """What fit_mass_mean_probe gives; see there.

        Raises:
            ValueError: If targets are no labels, or a target lacks one of the classes.
        """
        mu_pos, mu_neg = self._class_means()  # [layer *target d_model] each
        return _to_probe(mu_pos - mu_neg, (mu_pos + mu_neg) / 2, torch.zeros_like(self.mean_targets))

    def ridge_probe(self, *, l2: float = 1.0) -> LinearProbe:
        """What fit_ridge_probe gives; see there. Labels count as the numbers 0 and 1. Another l2 needs no other pass.

        Raises:
            ValueError: If nothing was added, or l2 is not above 0 or too small to determine the weight.
        """
        if not self.count or not 0 < l2 < math.inf:
            raise ValueError(f"there must be examples, and l2 above 0, got {self.count} and {l2!r}; 1.0 is usual")
        n_layers, d_model = self.mean_acts.shape
        penalty = l2 * torch.eye(d_model, dtype=torch.float64, device=self.products.device)
        factor, failed = torch.linalg.cholesky_ex(self.products + penalty)
        if failed.any():
            raise ValueError(f"l2 must be large enough to determine the weight, got {l2:g}; raise it")
        weight = torch.cholesky_solve(self.cross.reshape(n_layers, -1, d_model).mT, factor).mT
        return _to_probe(weight.reshape_as(self.cross), self._beside_targets(self.mean_acts), self.mean_targets)

    def leace_eraser(self, layer: int) -> LinearEraser:
        """What fit_leace_eraser gives for one layer, counted from 0 in acts, and a single label; see there.

        Raises:
            ValueError: If there is not one label, a class is missing, or acts do not vary.
        """
        if self.mean_targets.ndim:
            raise ValueError(f"targets must be one label, got axes {tuple(self.mean_targets.shape)}; add one at a time")
        mu_pos, mu_neg = self._class_means()
        return leace_from_moments(
            self.mean_acts[layer], self.products[layer] / self.count, (mu_pos - mu_neg)[layer], dtype=torch.float32
        )

    def _class_means(self) -> tuple[Float[Tensor, "layer *target d_model"], Float[Tensor, "layer *target d_model"]]:
        n_pos = (self.count * self.mean_targets).round()[..., None]  # [*target 1]
        if not self.labels or not ((n_pos > 0) & (n_pos < self.count)).all():
            got = "numbers" if not self.labels else f"{n_pos[..., 0].int().tolist()} True of {self.count}"
            raise ValueError(f"targets must be labels (bool) of both classes, got {got}; check what was added")
        mean = self._beside_targets(self.mean_acts)
        return mean + self.cross / n_pos, mean - self.cross / (self.count - n_pos)  # deviations of a class sum to cross

    def _beside_targets(self, acts: Float[Tensor, "layer d_model"]) -> Float[Tensor, "layer *target d_model"]:
        return acts.reshape(len(acts), *(1,) * self.mean_targets.ndim, -1)


def _to_probe(weight: Tensor, centre: Tensor, height: Tensor) -> LinearProbe:
    """A probe of weight · (acts - centre) + height, in float32."""
    return LinearProbe(weight=weight.float(), bias=(height - (weight * centre).sum(dim=-1)).float())
