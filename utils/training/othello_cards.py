"""What an Othello-GPT is worth on games that it never saw, and how it ships: weights, training curve, card."""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import GPT2LMHeadModel

from utils import ASSETS
from utils.othello import random_games
from utils.training.othello_games import TRAINING_SEEDS, inputs_and_legal, legal_move_losses
from utils.training.trainer import MuonTrainer, export_weights, write_card

HELD_OUT_SEED = TRAINING_SEEDS - 1
HELD_OUT_GAMES = 2000  # for the card
METRICS = {
    "excess_loss": "cross-entropy over its exact floor, the entropy of the legal moves (nats per move); 0 is perfect",
    "top_1_legal": "share of positions whose most likely token is a legal move",
    "top_n_legal": "share of the N most likely tokens that are legal, N = number of legal moves, mean over positions",
    "legal_mass": "probability given to legal moves",
}


@torch.no_grad()
def evaluate(model: GPT2LMHeadModel, size: int, n_games: int, seed: int = HELD_OUT_SEED) -> dict[str, dict[str, float]]:
    """Score a model on held-out games: every METRIC with its 95 % interval over games (not positions)."""
    device = next(model.parameters()).device
    sums, counts = [], []  # per game: [game metric] and [game]
    for games in random_games(n_games, size, seed=seed).split(250):
        tokens, legal = (part.to(device) for part in inputs_and_legal(games, size))
        logits = model(tokens).logits.float()
        n_legal = legal.sum(dim=-1)
        by_rank = legal.gather(-1, logits.argsort(dim=-1, descending=True))  # [game pos rank], most likely first
        in_top_n = by_rank & (torch.arange(legal.shape[-1], device=device) < n_legal[..., None])
        scores = [
            legal_move_losses(logits, legal),
            by_rank[..., 0].float(),
            in_top_n.sum(dim=-1) / n_legal.clamp(min=1),
            (logits.softmax(dim=-1) * legal).sum(dim=-1),
        ]
        sums.append(torch.stack([score.sum(dim=1) for score in scores], dim=1))  # positions without a legal move add 0
        counts.append((n_legal > 0).sum(dim=1))
    sums, counts = torch.cat(sums).double(), torch.cat(counts).double()
    means = sums.sum(dim=0) / counts.sum()
    residuals = sums - counts[:, None] * means  # of a ratio of two sums over games
    half = 1.96 * residuals.pow(2).sum(dim=0).sqrt() / counts.sum()
    return {
        name: {"value": round(mean, 5), "low": round(mean - error, 5), "high": round(mean + error, 5)}
        for name, mean, error in zip(METRICS, means.tolist(), half.tolist(), strict=True)
    }


def read_curve(name: str) -> dict[str, Float[Tensor, " checkpoint"]]:
    """Return how a model of utils/assets came to be: column -> one number per checkpoint, METRICS among the columns."""
    columns = json.loads((ASSETS / name / "curve.json").read_text(encoding="utf-8"))
    return {column: torch.tensor(values) for column, values in columns.items()}


def _write_curve(log: Path, file: Path) -> None:
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    rows = [json.dumps(column) + ": " + json.dumps([line[column] for line in lines]) for column in lines[0]]
    file.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")  # one column a line


def export(trainer: MuonTrainer, folder: Path) -> Path:
    """Write an ordinary Hugging Face folder (fp16) with a card and the training curve.

    The card's metrics are those of the rounded weights.
    """
    settings = trainer.settings
    model = export_weights(trainer, folder)
    metrics = evaluate(model, settings.size, HELD_OUT_GAMES)
    card = {
        "what": f"GPT-2 trained to predict the legal moves of random {settings.size}x{settings.size} Othello games.",
        "labels": "soft: uniform over the legal moves; the loss is shown the set of legal moves, never the board",
        "settings": asdict(settings),
        "n_ctx": model.config.n_positions,
        "d_vocab": model.config.vocab_size,
        "script": "utils/training/othello_gpt.py",
        "seed": settings.seed,
        "schedule": asdict(trainer.schedule),
        "metrics": {name: {"what": METRICS[name]} | interval for name, interval in metrics.items()},
        "metrics_on": f"{HELD_OUT_GAMES} random games, seed {HELD_OUT_SEED}; value and 95 % interval over games",
    }
    if trainer.file:
        _write_curve(trainer.file.with_name("log.jsonl"), folder / "curve.json")
    write_card(trainer, folder, card)
    return folder
