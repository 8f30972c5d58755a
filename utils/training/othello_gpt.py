"""Train Othello-GPT: a GPT-2 that reads the moves of an Othello game and predicts the next legal ones.

    python -m utils.training.othello_gpt --name othello_gpt --size 8 --layers 8 --d-model 192 --heads 6
    python -m utils.training.othello_gpt --name othello_gpt                       # go on with it (after a kill, say)
    python -m utils.training.othello_gpt --name othello_gpt --decay-tokens 40e6   # finish from where it stands, export

After Li et al. 2022, arXiv:2210.13382 (synthetic games, one token per move), with three deviations.
1. Games are drawn fresh for every step, so no game is seen twice and the training loss is a held-out loss.
2. Soft labels: the target is uniform over the legal moves, not the one move that was drawn. The expected gradient is
   the same, the noise is less. The loss is shown the *set of legal moves*, never the board, the player or any colour.
3. Muon (torch.optim.Muon, torch >= 2.9) moves the matrices of the blocks, AdamW the rest. GPT-2 stores query, key and
   value as one fused matrix; Muon gets the three parts, as views, because it makes every matrix it is given orthogonal.

The learning rate warms up, stays constant for as long as you let the run go on, and falls linearly to 0 over the last
`--decay-tokens`: nobody has to know beforehand how long a run will be. Most of the gain shows in the decay.

A run may be killed at any time and goes on from its last checkpoint (every five minutes, one file, replaced
atomically, outside the repository) to the same weights as if it had never been stopped (on CPU, same number of
threads): games are a function of seed and step, so that no generator has to be kept.

Measured on one core of a busy Intel Xeon with AMX: 19,000 tokens per CPU second for 6x6 (6 layers, d_model 128), 9,000
for 8x8 (8 layers, d_model 192). `--size 6 --layers 6 --d-model 128 --heads 4 --tokens 20e6 --decay-tokens 6e6` reached
99.2 % legal moves in 17 CPU minutes. 8x8 reached 98.8 % after 54 million tokens, and 99.6 % after 12 million more in
which the rate fell: 144 CPU minutes. The cards in utils/assets have the rest.
"""

import argparse
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from tqdm import tqdm
from transformers import GPT2Config, GPT2LMHeadModel

from utils import ASSETS
from utils.othello import token_squares
from utils.training.othello_cards import evaluate, export
from utils.training.othello_games import Settings, draw_batches, mean_excess_loss
from utils.training.trainer import CHECKPOINT_SECONDS, CHECKPOINTS, MuonTrainer

WARMUP_STEPS = 200
MUON_RATE, ADAMW_RATE = 0.02, 1e-3


@dataclass(frozen=True)
class Schedule:
    """Learning rate: constant after the warm-up, then linear to 0 from `decay_tokens` before `end`, if there is one."""

    end: float | None = None  # tokens
    decay_tokens: float = 0.0
    warmup_steps: int = WARMUP_STEPS

    def factor(self, step: int, tokens: int) -> float:
        decay = (self.end - tokens) / self.decay_tokens if self.end and self.decay_tokens else 1.0
        return max(0.0, min(1.0, (step + 1) / self.warmup_steps, decay))

    def is_over(self, tokens: int) -> bool:
        return self.end is not None and tokens >= self.end


def build_model(settings: Settings) -> GPT2LMHeadModel:
    """Return an untrained GPT-2: one token per move and padding; positions for all moves but the last."""
    n_moves = len(token_squares(settings.size))
    config = GPT2Config(
        vocab_size=n_moves + 1,
        n_positions=n_moves - 1,
        n_embd=settings.d_model,
        n_layer=settings.layers,
        n_head=settings.heads,
        activation_function="relu",  # 1.5 times the speed of GELU on a CPU
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,  # no game is seen twice: nothing to regularise
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
        use_cache=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)  # Hugging Face draws initial weights from the global generator
        return GPT2LMHeadModel._from_config(config, attn_implementation="eager")  # SDPA is slower on CPU in bf16


class Trainer(MuonTrainer):
    """Weights, optimisers and counters of one run, and their one file, if it has a folder."""

    def __init__(self, settings: Settings, folder: Path | None = None) -> None:
        file = folder and folder / "checkpoint.pt"
        rates = {"rates": (MUON_RATE, ADAMW_RATE), "betas": (0.9, 0.95), "weight_decay": 0.01}
        super().__init__(build_model(settings), settings, Schedule(), file, **rates)

    def train_step(
        self,
        tokens: Int[Tensor, "game pos"],
        legal: Bool[Tensor, "game pos token"],
        loss_function: Callable[[Tensor, Tensor], Tensor] = mean_excess_loss,
    ) -> float:
        """Take one step; return its loss, measured before the step on games never seen."""
        return super().train_step(tokens, legal, loss_function)


def train(
    settings: Settings,
    folder: Path,
    *,
    minutes: float = float("inf"),
    tokens: float | None = None,
    decay_tokens: float | None = None,
) -> Trainer:
    """Train, or go on training, to the schedule's end or for so many minutes; save every five minutes and at the end.

    Args:
        folder: Where checkpoint.pt and log.jsonl live (one line per checkpoint).
        minutes: Length of this sitting; the schedule does not depend on it.
        tokens: Where the schedule ends. Default: as in the checkpoint; at first, never.
        decay_tokens: Length of the final decay. Without `tokens`, if no end was set before, it starts here and now;
            the checkpoint it starts from is kept as before_decay.pt: rename that to checkpoint.pt to go on at a
            constant rate instead.
    """
    trainer = Trainer(settings, folder)
    counters = trainer.counters
    if decay_tokens and not tokens and not trainer.schedule.end:  # once begun, the same command goes on with the decay
        tokens = counters["tokens"] + decay_tokens
        if trainer.file.exists():
            shutil.copyfile(trainer.file, folder / "before_decay.pt")
    if tokens:
        trainer.schedule = Schedule(end=tokens, decay_tokens=decay_tokens or trainer.schedule.decay_tokens)
    losses, last_save = [], time.monotonic()
    last_minute = counters["minutes"] + minutes
    batches = draw_batches(settings, counters["step"])
    bar = {"total": trainer.schedule.end, "initial": counters["tokens"], "unit": " tokens", "unit_scale": True}
    with tqdm(desc=folder.name, mininterval=1.0, **bar) as bar:
        while not trainer.schedule.is_over(counters["tokens"]) and counters["minutes"] < last_minute:
            losses.append(trainer.train_step(*next(batches)))
            bar.update(counters["tokens"] - bar.n)
            bar.set_postfix_str(f"excess loss {sum(losses[-20:]) / len(losses[-20:]):.3f}", refresh=False)
            if time.monotonic() - last_save >= CHECKPOINT_SECONDS:
                _save_and_log(trainer, folder, losses)
                losses, last_save = [], time.monotonic()
        if losses:
            _save_and_log(trainer, folder, losses)
    return trainer


def _save_and_log(trainer: Trainer, folder: Path, losses: list[float]) -> None:
    trainer.save()
    counters = {name: round(count, 1) for name, count in trainer.counters.items()}
    factor = trainer.schedule.factor(trainer.counters["step"], trainer.counters["tokens"])
    line = counters | {"rate_factor": round(factor, 3), "train_excess_loss": round(sum(losses) / len(losses), 5)}
    line |= {name: interval["value"] for name, interval in evaluate(trainer.model, trainer.settings.size, 250).items()}
    with open(folder / "log.jsonl", "a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")


def _saved_settings(folder: Path) -> dict[str, int]:
    file = folder / "checkpoint.pt"
    return torch.load(file, weights_only=True)["settings"] if file.exists() else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="othello_gpt", help="of the checkpoint folder and of the exported folder")
    for name, default in asdict(Settings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help=f"default: the checkpoint's, or {default}")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="length of this sitting")
    parser.add_argument("--tokens", type=float, help="where the schedule ends (default: as in the checkpoint; never)")
    parser.add_argument("--decay-tokens", type=float, help="length of the final decay; without --tokens it starts now")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS)
    parser.add_argument("--assets", type=Path, default=ASSETS)
    parser.add_argument("--export", action="store_true", help="export also if the schedule has not come to its end")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    folder = options.checkpoints / options.name
    given = {name: getattr(options, name) for name in asdict(Settings()) if getattr(options, name) is not None}
    settings = Settings(**_saved_settings(folder) | given)
    schedule = {"tokens": options.tokens, "decay_tokens": options.decay_tokens}
    trainer = train(settings, folder, minutes=options.minutes, **schedule)
    if options.export or trainer.schedule.is_over(trainer.counters["tokens"]):
        print(f"exported to {export(trainer, options.assets / options.name)}")


if __name__ == "__main__":
    main()
