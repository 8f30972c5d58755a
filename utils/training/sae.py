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
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from utils.activations import cache_positions, cache_resid_post, tokenize
from utils.models import UNTRAINED, TransformerBridge, load_model
from utils.othello import random_games
from utils.saes import SAE, dead_latents, explained_variance, mean_l0, save_sae
from utils.training import english, facts_gpt
from utils.training.othello_gpt import TRAINING_SEEDS
from utils.training.trainer import CHECKPOINT_SECONDS, CHECKPOINTS, write_checkpoint

KINDS = ("standard", "topk", "batchtopk", "jumprelu")
RATE, BETAS, DECAY_SHARE = 1e-3, (0.9, 0.999), 0.2
RATES = {"log_threshold": 5.0}  # times RATE: a threshold starts at .1 and has to get to about 1
WARMUP_STEPS = 200  # of rate and of penalties
BATCH = 2048  # vectors of a step
DEAD_VECTORS = 100_000  # a latent that was 0 in so many vectors counts as dead
AUX_WEIGHT, AUX_SHARE = 1 / 32, 0.5  # of the loss of dead latents; how many of them, as a share of d_model
WINDOW = 0.2  # width of the window around a JumpReLU's threshold, in units of scaled activations
THRESHOLD_RATE = 0.01  # of the running mean
HELD_OUT_BATCHES, LOG_EVERY = 8, 250  # steps


@dataclass(frozen=True)
class Source:
    """Whose activations: a network, and one of its layers."""

    model: str
    layer: int


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


# Activations


def stream_acts(source: Source, first: int, *, held_out: bool = False) -> Iterator[Float[Tensor, "vector d_model"]]:
    """Yield batches of BATCH vectors: a function of source and number of the batch; held-out ones are others.

    Games and documents are written anew for every batch. Sentences for MiniLM are finitely many: a batch draws some of
    them, and a long run sees them several times; held-out batches draw others.

    Raises:
        ValueError: If there is no text for this network.
    """
    model, number = load_model(source.model), first
    while True:
        if source.model.startswith("othello_gpt"):
            size = 6 if "6x6" in source.model else 8
            acts = _game_acts(model, source.layer, size, 2 * number + held_out)
        elif source.model.startswith("facts_gpt"):
            acts = _document_acts(model, source.layer, 2 * number + held_out)
        elif source.model.removesuffix(UNTRAINED) == "minilm":
            acts = _sentence_acts(model, source.layer, number, held_out)
        else:
            raise ValueError(
                f"model must be an othello_gpt, a facts_gpt or minilm, got {source.model!r}; there is no text for it"
            )
        order = torch.randperm(len(acts), generator=torch.Generator().manual_seed(number))
        yield acts[order[:BATCH]]
        number += 1


def _game_acts(model: TransformerBridge, layer: int, size: int, seed: int) -> Float[Tensor, "vector d_model"]:
    n_moves = size**2 - 5  # the last move is only predicted
    games = random_games(BATCH // n_moves + 4, size, seed=TRAINING_SEEDS // 2 + seed)[:, :-1]
    real = games > 0
    return cache_positions(model, games, real, real, [layer])[0]


def _document_acts(model: TransformerBridge, layer: int, seed: int) -> Float[Tensor, "vector d_model"]:
    settings = facts_gpt.Settings(documents=BATCH // (facts_gpt.CONTEXT - 1) + 1, seed=10**6)  # no training run's seed
    tokens, _ = next(facts_gpt.draw_batches(settings, facts_gpt.RECIPES["two_stages"][1] + seed))
    return cache_resid_post(model, tokens, torch.ones_like(tokens), [layer])[0, :, 1:].flatten(0, 1)  # without <bos>


def _sentence_acts(
    model: TransformerBridge, layer: int, number: int, held_out: bool
) -> Float[Tensor, "vector d_model"]:
    """Word pieces of sentences, and of names alone, without [CLS] and [SEP]."""
    generator, texts, lengths = torch.Generator().manual_seed(2 * number + held_out), [], torch.zeros(0)
    while (lengths - 2).sum() < BATCH:  # one draw is enough, as good as always
        texts += english.draw_texts(BATCH // 8, generator, held_out=held_out)
        tokens, attention_mask = tokenize(model, texts)
        lengths = attention_mask.sum(dim=1)
    lengths = lengths[: 1 + int(((lengths - 2).cumsum(dim=0) < BATCH).sum())]  # texts that are needed
    acts = []
    for rows in lengths.argsort(stable=True).split(16):  # of similar lengths: little padding
        real = attention_mask[rows, : lengths[rows].max()].bool()
        pieces = real.clone()
        pieces[:, 0] = False
        pieces[torch.arange(len(rows)), lengths[rows] - 1] = False
        acts.append(cache_positions(model, tokens[rows, : real.shape[1]], real, pieces, [layer])[0])
    return torch.cat(acts)


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
        groups = [{"params": [weight], "scale": RATES.get(name, 1.0)} for name, weight in self.weights.items()]
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
        for group in self.optimiser.param_groups:
            group["lr"] = RATE * factor * group["scale"]
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
                self.threshold += THRESHOLD_RATE * (smallest - self.threshold) if self.threshold else smallest

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
        self.optimiser.load_state_dict(state["optimiser"])
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


@torch.no_grad()
def measure(sae: SAE, batches: list[Float[Tensor, "vector d_model"]]) -> dict[str, float]:
    """Explained variance, L0 and the share of dead latents on held-out vectors."""
    acts = torch.cat(batches)
    latents = sae.encode(acts)
    return {
        "explained_variance": round(float(explained_variance(acts, sae.decode(latents))), 4),
        "l0": round(float(mean_l0(latents)), 2),
        "dead": round(float(dead_latents(latents).float().mean()), 4),
    }


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
    file, step, steps, end = folder / "checkpoint.pt", 0, vectors // BATCH, time.monotonic() + 60 * minutes
    if file.exists():
        state = torch.load(file, map_location="cpu", weights_only=True)
        if state["settings"] != settings:
            raise ValueError(
                f"settings must be those of {file}, {state['settings']}, got {settings}; take another name"
            )
        step = state["step"]
        for name, trainer in trainers.items():
            trainer.load(state["saes"][name])
    folder.mkdir(parents=True, exist_ok=True)
    last_save, stream = time.monotonic(), stream_acts(source, step)
    with tqdm(desc=folder.name, total=steps, initial=step, unit=" steps", mininterval=5.0) as bar:
        while step < steps and time.monotonic() < end:
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
                _save(file, settings, step, trainers)
                last_save = time.monotonic()
        _save(file, settings, step, trainers)
    return trainers


def _save(file: Path, settings: dict, step: int, trainers: dict[str, SAETrainer]) -> None:
    state = {"settings": settings, "step": step, "saes": {name: t.state() for name, t in trainers.items()}}
    write_checkpoint(state, file)


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
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    source, folder = Source(options.model, options.layer), options.checkpoints / f"sae_{options.name}"
    trainers = train(source, options.saes, int(options.vectors), folder, minutes=options.minutes, seed=options.seed)
    for name, trainer in trainers.items() if options.out else ():
        print(save_sae(trainer.finish(), options.out / name))


if __name__ == "__main__":
    main()
