"""What a trained SAE is worth on vectors that it never saw, and how it ships: weights, configuration, card."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from utils.metrics import bootstrap_interval
from utils.models import UNTRAINED, fingerprint, load_model
from utils.sae_measures import dead_latents, explained_variance, loss_recovered, mean_l0, replaced_losses
from utils.saes import EMBEDDED, SAE, WEIGHTS, load_sae, save_sae
from utils.training import english
from utils.training.streams import BATCH, Source, held_out_tokens, stream_acts

CARD_BATCHES, LOSS_BATCHES = 32, 8  # of BATCH vectors each; losses are measured on the texts of the first few
METRICS = {
    "explained_variance": "1 - squared error / squared distance from the mean, over all dimensions",
    "l0": "latents above 0 in a vector, on average",
    "dead": "share of the latents that are 0 in all of these vectors",
    "loss_recovered_mean": "(loss with the layer's mean - loss reconstructed) / (loss with the mean - loss as it is)",
    "loss_recovered_zero": "the same with zeros in place of the mean",
}


@torch.no_grad()
def measure(sae: SAE, batches: Sequence[Float[Tensor, "vector d_model"]]) -> dict[str, float]:
    """Explained variance, L0 and the share of dead latents on held-out vectors."""
    acts = torch.cat(tuple(batches))
    latents = sae.encode(acts)
    return {
        "explained_variance": round(float(explained_variance(acts, sae.decode(latents))), 4),
        "l0": round(float(mean_l0(latents)), 2),
        "dead": round(float(dead_latents(latents).float().mean()), 4),
    }


@lru_cache(1)  # SAEs of one run are measured on the same vectors
def draw_held_out(source: Source, first: int, n_batches: int) -> tuple[Float[Tensor, "vector d_model"], ...]:
    """Held-out batches from number first on."""
    return tuple(islice(stream_acts(source, first, held_out=True), n_batches))


@torch.no_grad()
def evaluate(
    sae: SAE, source: Source, *, first: int = 0, n_batches: int | None = None, n_loss_batches: int | None = None
) -> dict[str, dict[str, str | float]]:
    """Say what an SAE does on held-out batches, with 95 % intervals over batches, or over texts for losses.

    Losses only where the network predicts something: not for MiniLM, whose output head is random, nor for an
    untrained network.
    """
    batches = draw_held_out(source, first, n_batches or CARD_BATCHES)
    mean = torch.cat(batches).mean(dim=0)
    squares, n_above, alive = [], [], []
    for acts in batches:
        latents = sae.encode(acts)
        squares.append(torch.stack([(acts - sae.decode(latents)).square().sum(), (acts - mean).square().sum()]))
        n_above.append(mean_l0(latents))
        alive.append(~dead_latents(latents))
    found = {
        "explained_variance": _interval(torch.stack(squares), lambda rows: 1 - rows[:, 0].sum() / rows[:, 1].sum()),
        "l0": _interval(torch.stack(n_above), torch.mean),
        "dead": _interval(torch.stack(alive), lambda rows: (~rows.any(dim=0)).float().mean()),
    }
    if not source.model.endswith(UNTRAINED) and source.model != "minilm":
        model, (tokens, mask) = load_model(source.model), held_out_tokens(source, first, n_loss_batches or LOSS_BATCHES)
        for ablation in ("mean", "zero"):
            losses = replaced_losses(model, sae, tokens, mask, source.layer, ablation=ablation).T  # [text 3]
            found[f"loss_recovered_{ablation}"] = _interval(losses, lambda rows: loss_recovered(*rows.T))
    return {name: {"what": METRICS[name]} | interval for name, interval in found.items()}


def export_sae(sae: SAE, source: Source, shape: str, run: dict, root: Path = EMBEDDED) -> Path:
    """Write an SAE as MODEL_LAYER/SHAPE, with a card that says what the rounded weights do.

    Args:
        run: how it was trained: command, seed, vectors, vectors_planned, minutes, hardware, and the text of MiniLM's.
    """
    untrained = source.model.endswith(UNTRAINED)
    metadata = {"model_name": source.model, "hook_name": f"blocks.{source.layer}.hook_resid_post"}
    folder = save_sae(replace(sae, metadata=metadata), root / f"{source.model}_{source.layer}" / shape)
    sae = load_sae(folder.resolve())
    of = f"{source.model.removesuffix(UNTRAINED)} with random weights" if untrained else source.model
    card = {
        "name": f"{folder.parent.name}/{shape}",
        "what": f"Sparse autoencoder of the stream after block {source.layer} of {of}.",
        **asdict(source),
        "untrained": untrained,
        "model_fingerprint": fingerprint(load_model(source.model)),
        "architecture": sae.architecture,
        "d_model": sae.d_model,
        "d_sae": sae.d_sae,
        "script": "utils/training/sae.py",
        **run,
        "metrics": (metrics := evaluate(sae, source)),
        "metrics_on": f"{CARD_BATCHES} held-out batches of {BATCH} vectors; value and 95 % interval over batches"
        + f"; losses on the texts of {LOSS_BATCHES} batches, over texts" * ("loss_recovered_mean" in metrics),
        "licence": "MIT",
        "sha256": hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest(),
    }
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return folder


def describe_text(text: dict, vectors: int) -> dict:
    """What a card says of the text of MiniLM's SAEs: how much there was, and how often a run passed over it."""
    drawn = english.draw_texts(2000, torch.Generator().manual_seed(0))
    tokenizer = load_model("minilm").tokenizer
    pieces = sum(map(len, tokenizer(drawn, add_special_tokens=False)["input_ids"])) / len(drawn)
    texts, share = vectors / pieces, english.NAME_SHARE
    return {
        "what": "documentation of Python and of installed packages, and names alone; see utils/training/english.py",
        **text,
        "passes_over_passages": round(texts * (1 - share) / text["passages"], 2),
        "passes_over_names": round(texts * share / text["names"], 2),
    }


def _interval(values: Tensor, statistic: Callable[[Tensor], Tensor | float]) -> dict[str, float]:
    """Value, and half the width of its bootstrap interval below and above.

    The percentiles themselves lie too high for dead latents: some batches come twice, so that there are fewer of them.
    """
    low, high = bootstrap_interval(values, statistic=statistic)
    value = float(statistic(values))
    half = (high - low) / 2
    return {"value": round(value, 4), "low": round(value - half, 4), "high": round(value + half, 4)}
