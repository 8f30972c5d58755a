"""Train sparse autoencoders on a stream of activations; several at once share one pass of the network.

    python -m utils.training.sae --name othello_4 --model othello_gpt --layer 4 --vectors 10e6 \\
        --saes topk:2048:16 topk:2048:64 batchtopk:2048:32 standard:2048:0.05 jumprelu:2048:0.002

An SAE is written ARCHITECTURE:D_SAE:SPARSITY; sparsity is k, or the weight of the penalty. Texts or games are fresh in
every step, so no activation is seen twice and memory stays bounded; the same command goes on where a run was stopped.

Activations are divided by one number, so that their mean square is 1 per dimension, and the finished SAE is given back
in model units. Decoder rows have length 1, always: otherwise an L1 penalty is lowered by small latents and long rows.
Adam, the rate falling to 0 over the last fifth.

- standard: squared error + weight * sum of latents (Bricken et al. 2023).
- topk: squared error; k latents in each vector; what is dead learns from the error that is left (Gao et al. 2024).
- batchtopk: the same with k per vector on average over a batch; the threshold for later is a running mean of the
  smallest latent that got through (Bussmann et al. 2024).
- jumprelu: squared error + weight * L0, whose gradient goes to the thresholds through a small window around them
  (Rajamanoharan et al. 2024).
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from utils.models import UNTRAINED
from utils.saes import SAE, save_sae
from utils.training import english
from utils.training.sae_cards import describe_text, export_sae, measure
from utils.training.streams import BATCH, Source, stream_acts
from utils.training.trainer import CHECKPOINT_SECONDS, CHECKPOINTS, describe_hardware, write_checkpoint

KINDS = ("standard", "topk", "batchtopk", "jumprelu")
RATE, BETAS, DECAY_SHARE = 1e-3, (0.9, 0.999), 0.2
THRESHOLD_RATE = 5e-3  # of a JumpReLU's log thresholds: they start at .1 and have to get to about 1
WARMUP_STEPS = 200  # of rate and of penalties
DEAD_VECTORS = 100_000  # a latent that was 0 in so many vectors counts as dead
AUX_WEIGHT, AUX_SHARE = 1 / 32, 0.5  # of the loss of dead latents; how many of them, as a share of d_model
WINDOW = 0.2  # width of the window around a JumpReLU's threshold, in units of scaled activations
MEAN_RATE = 0.01  # of the running mean that is a BatchTopK's threshold
HELD_OUT_BATCHES, LOG_EVERY = 8, 250  # steps; what the log says is measured on few batches


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
        return cls(parts[0], int(parts[1]), float(parts[2]))

    def __str__(self) -> str:
        return f"{self.kind}_{self.d_sae}_{self.sparsity:g}"


# Training


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
        error = acts - (latents @ w["W_dec"] + w["b_dec"])
        loss = error.square().sum(dim=1).mean() / acts.shape[1]
        if self.shape.kind == "standard":
            loss = loss + warm * self.shape.sparsity * latents.sum(dim=1).mean()
        elif self.shape.kind == "jumprelu":
            loss = loss + warm * self.shape.sparsity * _count_above(pre, w["log_threshold"].exp()).sum(dim=1).mean()
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
            return _keep_top(pre.relu(), int(self.shape.sparsity))
        if self.shape.kind == "batchtopk":
            flat = pre.relu().flatten()
            return _keep_top(flat, int(self.shape.sparsity * len(pre))).reshape(pre.shape)
        if self.shape.kind == "jumprelu":
            return _JumpReLU.apply(pre, self.weights["log_threshold"].exp())
        return pre.relu()

    def _dead_loss(self, pre: Tensor, error: Tensor) -> Float[Tensor, ""]:
        """Squared distance of what is left over from what the dead latents that are largest would make of it."""
        dead = self.silent > DEAD_VECTORS
        n = min(int(AUX_SHARE * error.shape[1]), int(dead.sum()))
        if not n:
            return torch.zeros(())
        latents = _keep_top(pre.relu() * dead, n)
        return (error - latents @ self.weights["W_dec"]).square().sum(dim=1).mean() / error.shape[1]


def _keep_top(values: Tensor, k: int) -> Tensor:
    top = values.topk(k, dim=-1)
    return torch.zeros_like(values).scatter(-1, top.indices, top.values)


class _JumpReLU(torch.autograd.Function):
    """pre where it is above the threshold; a threshold's gradient is -threshold where pre lies in the window."""

    @staticmethod
    def forward(ctx, pre: Tensor, threshold: Tensor) -> Tensor:
        ctx.save_for_backward(pre, threshold)
        return pre * (pre > threshold)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:
        pre, threshold = ctx.saved_tensors
        inside = ((pre - threshold).abs() < WINDOW / 2) / WINDOW
        return grad * (pre > threshold), (-threshold * inside * grad).sum(dim=0)


class _CountAbove(torch.autograd.Function):
    """1 where pre is above the threshold; gradient to the threshold alone, -1 / WINDOW where pre lies in the window."""

    @staticmethod
    def forward(ctx, pre: Tensor, threshold: Tensor) -> Tensor:
        ctx.save_for_backward(pre, threshold)
        return (pre > threshold).to(pre.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[None, Tensor]:
        pre, threshold = ctx.saved_tensors
        inside = ((pre - threshold).abs() < WINDOW / 2) / WINDOW
        return None, (-inside * grad).sum(dim=0)


def _count_above(pre: Tensor, threshold: Tensor) -> Tensor:
    return _CountAbove.apply(pre, threshold)


def train(
    source: Source, shapes: list[Shape], vectors: int, folder: Path, *, minutes: float = float("inf"), seed: int = 0
) -> dict[str, SAETrainer]:
    """Train, or go on training, until so many vectors were seen or for so many minutes.

    Args:
        folder: where checkpoint.pt and log.jsonl live; one line of the log every LOG_EVERY steps.

    Raises:
        ValueError: If the folder holds a run of another source, other SAEs, or another length.
    """
    settings = {"source": asdict(source), "saes": [str(shape) for shape in shapes], "vectors": vectors, "seed": seed}
    if source.model.removesuffix(UNTRAINED) == "minilm":
        settings["text"] = english.describe_text()  # of the packages that are installed: a run goes on with the same
    held_out = [acts for acts, _ in zip(stream_acts(source, 0, held_out=True), range(HELD_OUT_BATCHES), strict=False)]
    first = next(stream_acts(source, 0))  # the first batch of training: nothing is fitted on held-out vectors
    scale = float(first.square().mean().sqrt())
    trainers = {str(shape): SAETrainer(shape, first, scale, seed) for shape in shapes}
    file, step, spent, steps = folder / "checkpoint.pt", 0, 0.0, vectors // BATCH
    if file.exists():
        state = torch.load(file, map_location="cpu", weights_only=True)
        if state["settings"] != settings:
            raise ValueError(
                f"settings must be those of {file}, {state['settings']}, got {settings}; take another name"
            )
        step, spent = state["step"], state.get("minutes")  # None: of a run that did not count them
        for name, trainer in trainers.items():
            trainer.load(state["saes"][name])
    folder.mkdir(parents=True, exist_ok=True)
    stream, begin = stream_acts(source, step), time.monotonic()
    last_save = begin

    def save() -> None:
        minutes_spent = None if spent is None else spent + (time.monotonic() - begin) / 60
        saes = {name: trainer.state() for name, trainer in trainers.items()}
        state = {"settings": settings, "step": step, "minutes": minutes_spent, "hardware": describe_hardware()}
        write_checkpoint(state | {"saes": saes}, file)

    with tqdm(desc=folder.name, total=steps, initial=step, unit=" steps", mininterval=5.0) as bar:
        while step < steps and time.monotonic() < begin + 60 * minutes:
            acts = next(stream)
            factor = min(1.0, (step + 1) / WARMUP_STEPS, (steps - step) / (DECAY_SHARE * steps))
            for trainer in trainers.values():
                trainer.train_step(acts, factor, min(1.0, (step + 1) / WARMUP_STEPS))
            step += 1
            bar.update()
            if step % LOG_EVERY == 0 or step == steps:
                found = {name: measure(trainer.finish(), held_out) for name, trainer in trainers.items()}
                with open(folder / "log.jsonl", "a", encoding="utf-8") as log:
                    log.write(json.dumps({"step": step, "vectors": step * BATCH, "saes": found}) + "\n")
            if time.monotonic() - last_save > CHECKPOINT_SECONDS:
                save()
                last_save = time.monotonic()
        save()
    return trainers


def describe_run(folder: Path, *, minutes: float | None = None) -> dict:
    """What the cards of a run's SAEs say of it.

    Args:
        minutes: how long it took, if its checkpoint does not say.
    """
    state = torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)
    settings, seen = state["settings"], state["step"] * BATCH
    source, name = Source(**settings["source"]), folder.name.removeprefix("sae_")
    saes = " ".join(":".join(shape.split("_")) for shape in settings["saes"])
    spent = state.get("minutes") or minutes
    text = {"text": describe_text(settings["text"], seen)} if "text" in settings else {}
    return {
        "command": f"python -m utils.training.sae --name {name} --model {source.model} --layer {source.layer} "
        f"--vectors {settings['vectors']} --seed {settings['seed']} --saes {saes}",
        "seed": settings["seed"],
        "vectors": seen,
        "vectors_planned": settings["vectors"],
        "minutes": spent and round(spent, 1),  # of the run: of all its SAEs together
        "hardware": state.get("hardware") or describe_hardware(),
    } | text


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True, help="of the checkpoint folder, sae_NAME")
    parser.add_argument("--model", default="othello_gpt")
    parser.add_argument("--layer", type=int, required=True)
    parser.add_argument("--saes", type=Shape.parse, nargs="+", required=True, metavar="KIND:D_SAE:SPARSITY")
    parser.add_argument("--vectors", type=float, default=10e6, help="activation vectors of a whole run")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="length of this sitting")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS)
    parser.add_argument("--out", type=Path, help="write the SAEs as they stand into folders of this one")
    parser.add_argument(
        "--export", type=Shape.parse, nargs="*", metavar="KIND:D_SAE:SPARSITY",
        help="ship these SAEs, or all, in utils/assets/saes, each with its card",
    )  # fmt: skip
    parser.add_argument("--minutes-spent", type=float, help="for the card of a run that did not count its minutes")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    source, folder = Source(options.model, options.layer), options.checkpoints / f"sae_{options.name}"
    trainers = train(source, options.saes, int(options.vectors), folder, minutes=options.minutes, seed=options.seed)
    for name, trainer in trainers.items() if options.out else ():
        print(save_sae(trainer.finish(), options.out / name))
    if options.export is not None:
        for name in map(str, options.export or options.saes):
            run = describe_run(folder, minutes=options.minutes_spent)
            print(export_sae(trainers[name].finish(), source, name, run))


if __name__ == "__main__":
    main()
