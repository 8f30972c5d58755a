"""What Othello-GPT is trained on: games drawn fresh for every step, and a loss that is shown which moves are legal.

    tokens, legal = next(draw_batches(Settings(size=6), step=0))        # [game pos], [game pos token]
    loss = mean_excess_loss(logits, legal)                              # nats over the lowest possible loss

Games are a function of seed and step.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.othello import random_games, replay_games, to_tokens

Batch = tuple[Int[Tensor, "game pos"], Bool[Tensor, "game pos token"]]  # tokens; which tokens are legal next

STEPS_PER_DRAW = 32  # games are drawn for so many steps at once: one step's games are too few to be fast
TRAINING_SEEDS = 2**31  # seeds of training games start here; a seed below gives games that no model here was trained on


@dataclass(frozen=True)
class Settings:
    """What a run is; a checkpoint goes on only under equal settings."""

    size: int = 8  # of the board
    layers: int = 8
    d_model: int = 192
    heads: int = 6
    games: int = 128  # per step
    seed: int = 0


def inputs_and_legal(games: Int[Tensor, "game pos"], size: int) -> Batch:
    """Return the tokens a model reads, all but the last, and after each which tokens are legal next (padding never)."""
    return games[:, :-1], to_tokens(replay_games(games, size).legal[:, :-1], size)


def draw_batches(settings: Settings, step: int) -> Iterator[Batch]:
    """Yield fresh games for this step, the next, and so on without end."""
    while True:
        draw, first = divmod(step, STEPS_PER_DRAW)
        seed = TRAINING_SEEDS + 10_000_000 * settings.seed + draw
        games = random_games(STEPS_PER_DRAW * settings.games, settings.size, seed=seed)
        for batch in games.split(settings.games)[first:]:
            yield inputs_and_legal(batch, settings.size)
            step += 1


def legal_move_losses(
    logits: Float[Tensor, "game pos token"], legal: Bool[Tensor, "game pos token"]
) -> Float[Tensor, "game pos"]:
    """Return the cross-entropy to the uniform distribution over legal moves, less that distribution's entropy, log N.

    The entropy is the lowest possible loss, also for a player who knows the rules. 0 where nothing is legal.
    """
    n_legal = legal.sum(dim=-1)
    surprise = -logits.float().log_softmax(dim=-1)
    excess = (surprise * legal).sum(dim=-1) / n_legal.clamp(min=1) - n_legal.clamp(min=1).log()
    return excess * (n_legal > 0)


def mean_excess_loss(
    logits: Float[Tensor, "game pos token"], legal: Bool[Tensor, "game pos token"]
) -> Float[Tensor, ""]:
    """Return the mean of legal_move_losses over the positions where anything is legal: what is trained on."""
    return legal_move_losses(logits, legal).sum() / legal.any(dim=-1).sum()
