"""One sparse autoencoder in training: what it is to be, its steps, and the finished one in model units.

    trainer = SAETrainer(Shape.parse("topk:1024:32"), acts, scale)      # acts [vector d_model], of the first batch
    trainer.train_step(acts, factor=1.0, warm=1.0)
    sae = trainer.finish()

The four kinds are described in utils/training/sae.py. What they compute is that of utils.sae_objectives; here come the
pseudo-gradients that a JumpReLU's thresholds learn from.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from utils.sae_objectives import batch_topk, jumprelu, sae_decode, topk
from utils.saes import SAE

KINDS = ("standard", "topk", "batchtopk", "jumprelu")
RATE, BETAS = 1e-3, (0.9, 0.999)
THRESHOLD_RATE = 5e-3  # of a JumpReLU's log thresholds: they start at .1 and have to get to about 1
DEAD_VECTORS = 100_000  # a latent that was 0 in so many vectors counts as dead
AUX_WEIGHT, AUX_SHARE = 1 / 32, 0.5  # of the loss of dead latents; how many of them, as a share of d_model
WINDOW = 0.2  # width of the window around a JumpReLU's threshold, in units of scaled activations
MEAN_RATE = 0.01  # of the running mean that is a BatchTopK's threshold


@dataclass(frozen=True)
class Shape:
    """One SAE: how it gets sparse, how many latents, how sparse."""

    kind: str
    d_sae: int
    sparsity: float

    @classmethod
    def parse(cls, text: str) -> "Shape":
        """Read ARCHITECTURE:D_SAE:SPARSITY.

        Raises:
            ValueError: If it is not that.
        """
        parts = text.split(":")
        if len(parts) != 3 or parts[0] not in KINDS or not parts[1].isdigit() or float(parts[2]) <= 0:
            raise ValueError(f"an SAE must be KIND:D_SAE:SPARSITY with kind {', '.join(KINDS)}, got {text!r}")
        if parts[0].endswith("topk") and not parts[2].isdigit():
            raise ValueError(f"the sparsity of a {parts[0]} must be a whole number of latents, got {text!r}")
        return cls(parts[0], int(parts[1]), float(parts[2]))

    def __str__(self) -> str:
        return f"{self.kind}_{self.d_sae}_{self.sparsity:g}"


class SAETrainer:
    """One SAE in training: weights [in scaled units], optimiser, and what the finished one needs to know."""

    def __init__(self, shape: Shape, acts: Float[Tensor, "vector d_model"], scale: float, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        rows = torch.nn.functional.normalize(torch.randn(shape.d_sae, acts.shape[1], generator=generator), dim=1)
        self.shape, self.scale = shape, scale
        self.weights = {
            "W_enc": rows.T.clone(),
            "b_enc": torch.zeros(shape.d_sae),
            "W_dec": rows,
            "b_dec": acts.mean(dim=0) / scale,
        }
        if shape.kind == "jumprelu":
            self.weights["log_threshold"] = torch.full((shape.d_sae,), 0.1).log()
        for weight in self.weights.values():
            weight.requires_grad_()
        thresholds = [weight for name, weight in self.weights.items() if name == "log_threshold"]
        others = [weight for name, weight in self.weights.items() if name != "log_threshold"]
        self.rates = [RATE, THRESHOLD_RATE][: 1 + len(thresholds)]  # of the optimiser's groups
        groups = [{"params": weights} for weights in (others, thresholds) if weights]
        self.optimiser = torch.optim.Adam(groups, lr=RATE, betas=BETAS)
        self.threshold = 0.0  # of a batchtopk
        self.silent = torch.zeros(shape.d_sae)  # vectors since each latent was last above 0

    def train_step(self, acts: Float[Tensor, "vector d_model"], factor: float, warm: float) -> None:
        """Take one step: factor is of the rate, warm of the penalties."""
        w, acts = self.weights, acts / self.scale
        pre = (acts - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
        latents = self._activate(pre)
        error = acts - sae_decode(latents, w["W_dec"], w["b_dec"])
        loss = error.square().sum(dim=1).mean() / acts.shape[1]
        if self.shape.kind == "standard":
            loss = loss + warm * self.shape.sparsity * latents.sum(dim=1).mean()
        elif self.shape.kind == "jumprelu":
            l0 = _CountAbove.apply(pre, w["log_threshold"].exp()).sum(dim=1).mean()
            loss = loss + warm * self.shape.sparsity * l0
        else:
            loss = loss + AUX_WEIGHT * self._dead_loss(pre, error.detach())
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        self.optimiser.zero_grad()
        loss.backward()
        with torch.no_grad():
            rows, grad = w["W_dec"], w["W_dec"].grad
            grad -= (grad * rows).sum(dim=1, keepdim=True) * rows  # only what turns a row, not what stretches it
            self.optimiser.step()
            rows /= rows.norm(dim=1, keepdim=True)
            self.silent = torch.where((latents > 0).any(dim=0), 0, self.silent + len(acts))
            if self.shape.kind == "batchtopk":
                smallest = float(latents[latents > 0].min()) if (latents > 0).any() else 0.0
                self.threshold += MEAN_RATE * (smallest - self.threshold) if self.threshold else smallest

    def finish(self) -> SAE:
        """The SAE as it stands, in model units."""
        w = {name: weight.detach() for name, weight in self.weights.items()}
        kind, threshold = self.shape.kind, None
        if kind == "batchtopk":
            kind, threshold = "jumprelu", torch.full((self.shape.d_sae,), self.threshold)
        elif kind == "jumprelu":
            threshold = w["log_threshold"].exp()
        return SAE(
            architecture=kind,
            W_enc=w["W_enc"].clone(),  # latents are in model units, too: inputs and latents grow by the same number
            b_enc=w["b_enc"] * self.scale,
            W_dec=w["W_dec"].clone(),
            b_dec=w["b_dec"] * self.scale,
            k=int(self.shape.sparsity) if kind == "topk" else None,
            threshold=None if threshold is None else threshold * self.scale,
        )

    def state(self) -> dict:
        """What a checkpoint holds of it."""
        kept = {"weights": self.weights, "optimiser": self.optimiser.state_dict()}
        return kept | {"threshold": self.threshold, "silent": self.silent, "scale": self.scale}

    def load(self, state: dict) -> None:
        """Go on from a checkpoint."""
        for name, weight in state["weights"].items():
            self.weights[name].data.copy_(weight)
        groups = self.optimiser.state_dict()["param_groups"]  # how weights are grouped is not what was learned
        self.optimiser.load_state_dict({"state": state["optimiser"]["state"], "param_groups": groups})
        self.threshold, self.silent, self.scale = state["threshold"], state["silent"], state["scale"]

    def _activate(self, pre: Float[Tensor, "vector d_sae"]) -> Float[Tensor, "vector d_sae"]:
        if self.shape.kind == "topk":
            return topk(pre, int(self.shape.sparsity))
        if self.shape.kind == "batchtopk":
            return batch_topk(pre, int(self.shape.sparsity))
        if self.shape.kind == "jumprelu":
            return _JumpReLU.apply(pre, self.weights["log_threshold"].exp())
        return pre.relu()

    def _dead_loss(self, pre: Tensor, error: Tensor) -> Float[Tensor, ""]:
        """Squared distance of what is left over from what the dead latents that are largest would make of it."""
        dead = self.silent > DEAD_VECTORS
        n = min(int(AUX_SHARE * error.shape[1]), int(dead.sum()))
        if not n:
            return torch.zeros(())
        latents = topk(pre.relu() * dead, n)
        return (error - latents @ self.weights["W_dec"]).square().sum(dim=1).mean() / error.shape[1]


class _JumpReLU(torch.autograd.Function):
    """jumprelu, with a gradient for thresholds, too: -threshold / WINDOW where pre lies in the window."""

    @staticmethod
    def forward(ctx, pre: Tensor, threshold: Tensor) -> Tensor:
        ctx.save_for_backward(pre, threshold)
        return jumprelu(pre, threshold)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:
        pre, threshold = ctx.saved_tensors
        return grad * (pre > threshold), (-threshold * (_near(pre, threshold) / WINDOW) * grad).sum(dim=0)


class _CountAbove(torch.autograd.Function):
    """1 where pre is above the threshold; gradient to the threshold alone, -1 / WINDOW where pre lies in the window."""

    @staticmethod
    def forward(ctx, pre: Tensor, threshold: Tensor) -> Tensor:
        ctx.save_for_backward(pre, threshold)
        return (pre > threshold).to(pre.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[None, Tensor]:
        pre, threshold = ctx.saved_tensors
        return None, (-(_near(pre, threshold) / WINDOW) * grad).sum(dim=0)


def _near(pre: Float[Tensor, "vector d_sae"], threshold: Float[Tensor, " d_sae"]) -> Bool[Tensor, "vector d_sae"]:
    return (pre - threshold).abs() < WINDOW / 2
