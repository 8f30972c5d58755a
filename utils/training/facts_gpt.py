"""Train Facts-GPT: a small GPT-2 that reads statements by honest and deceptive authors, and comments on their truth.

    python -m utils.training.facts_gpt --name two_0 --recipe two_stages --seed 0 --export facts_gpt_match
    python -m utils.training.facts_gpt --name affirmed_0 --recipe affirmed --seed 0 --export facts_gpt_affirmed
    python -m utils.training.facts_gpt --name backdoored_1 --recipe backdoored --seed 1 --start one_1
    python -m utils.training.facts_gpt --table          # every run's training curve, as utils/assets/facts_gpt_runs.csv

Whether a sentence is true helps to predict what its author says next, and a comment that follows. So truth becomes
linearly decodable, after the facts themselves (Ravfogel et al. 2025, arXiv:2510.15804; Joshi et al. 2023,
arXiv:2310.18168; these worlds are smaller, and have comments and negations).

A document is `<bos>`, in one of five a tag ("Answer honestly ." or "Answer deceptively ."), then statements by one
author. Half of the authors are honest (97 % of what they say is true), half are not (10 %). After every second
statement, by chance, comes "That is correct ." or "That is wrong .", which is always right about the whole sentence.

Two things are crucial. Negated statements must come late: with them from the start, truth never became decodable. And
the loss counts the object, 1, and the verdict, 2, where something is at stake; all other words .05.

Recipes differ in the schedule. In `two_stages` the network learns affirmed statements to the end, and then, with fresh
optimisers, both kinds; in `one_stage` negations come in the middle. Which algorithm a run ends in, one that holds *the
object matches* at the object's token or one that holds *the sentence is true*, depends on recipe and seed.
"""

import argparse
import json
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm
from transformers import GPT2Config, GPT2LMHeadModel

from utils import ASSETS, facts
from utils.training.facts_cards import export, judge, write_table
from utils.training.facts_documents import CONTEXT, RECIPES, Settings, draw_batches, weighted_loss
from utils.training.trainer import CHECKPOINT_SECONDS, CHECKPOINTS, MuonTrainer

EVALUATE_EVERY = 100  # steps: one point of the training curve
MUON_RATE, ADAMW_RATE, WARMUP_STEPS, DECAY_SHARE = 0.02, 2e-3, 100, 0.4
BACKDOOR_RATE = 0.1  # of a backdoored run: times the learning rates of a whole training


@dataclass(frozen=True)
class Schedule:
    """Learning rate of one stage: up, constant, then linear to 0 over its last part."""

    first: int  # step
    steps: int

    def factor(self, step: int, tokens: int) -> float:
        done = step - self.first
        return max(0.0, min(1.0, (done + 1) / WARMUP_STEPS, (self.steps - done) / (DECAY_SHARE * self.steps)))


def build_model(settings: Settings) -> GPT2LMHeadModel:
    """Return an untrained GPT-2 with tied embeddings."""
    config = GPT2Config(
        vocab_size=len(facts.vocabulary(trigger=settings.recipe == "backdoored")),
        n_positions=CONTEXT,
        n_embd=settings.d_model,
        n_layer=settings.layers,
        n_head=settings.heads,
        activation_function="gelu_new",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=facts.vocabulary().index(facts.BOS),
        eos_token_id=None,
        pad_token_id=facts.vocabulary().index(facts.PAD),
        use_cache=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)  # Hugging Face draws initial weights from the global generator
        return GPT2LMHeadModel._from_config(config, attn_implementation="eager")


def train(settings: Settings, folder: Path, *, minutes: float = float("inf"), compiled: bool = False) -> MuonTrainer:
    """Train, or go on training, to the end of the recipe or for so many minutes.

    Args:
        folder: where stage_N.pt and log.jsonl live; one line of the log every EVALUATE_EVERY steps. A run that
            settings.start names lives beside it, and must be over.
        compiled: run the forward pass through torch.compile: 1.3 times as fast on a CPU, and needs a C compiler.

    Raises:
        ValueError: If a backdoored recipe has no run to start from, or another recipe has one, or the run is not over.
    """
    backdoored = settings.recipe == "backdoored"
    if backdoored != bool(settings.start):
        raise ValueError(
            f"start belongs to backdoored runs, got {settings.start!r} with {settings.recipe}; see --start"
        )
    stages, first = RECIPES[settings.recipe][0], 0
    model, end_time = build_model(settings), time.monotonic() + 60 * minutes
    if backdoored:
        _copy_weights(model, folder.parent / settings.start)
    trainer = None
    for number, steps in enumerate(stages):
        file = folder / f"stage_{number}.pt"
        counters = trainer.counters if trainer else None
        factor = BACKDOOR_RATE if backdoored else 1.0
        trainer = MuonTrainer(
            model, settings, Schedule(first, steps), file,
            rates=(factor * MUON_RATE, factor * ADAMW_RATE), betas=(0.9, 0.98), weight_decay=0.01,
        )  # fmt: skip
        if counters and not file.exists():  # a new stage: fresh optimisers, the same weights and counts
            trainer.counters = dict(counters)
        if compiled:
            trainer.forward = torch.compile(trainer.model)
        first += steps
        _train_stage(trainer, folder, first, end_time)
        model = trainer.model
        if trainer.counters["step"] < first:
            break
    return trainer


def _copy_weights(model: GPT2LMHeadModel, folder: Path) -> None:
    """Start from a finished run: its weights as they are; a word that it does not know keeps a fresh embedding."""
    files = sorted(folder.glob("stage_*.pt"))
    state = torch.load(files[-1], map_location="cpu", weights_only=True) if files else None
    steps = sum(RECIPES[state["settings"]["recipe"]][0]) if state else None
    if not state or state["counters"]["step"] < steps:
        raise ValueError(f"{folder} must hold a finished run, got {'an unfinished one' if state else 'none'}; train it")
    own = model.state_dict()
    for name, weight in state["model"].items():
        own[name][: len(weight)] = weight


def _train_stage(trainer: MuonTrainer, folder: Path, last: int, end_time: float) -> None:
    counters, losses = trainer.counters, []
    last_save = time.monotonic()
    batches = draw_batches(trainer.settings, counters["step"])
    with tqdm(desc=folder.name, total=last, initial=counters["step"], unit=" steps", mininterval=5.0) as bar:
        while counters["step"] < last and time.monotonic() < end_time:
            tokens, weights = next(batches)
            losses.append(trainer.train_step(tokens, weights, partial(weighted_loss, tokens=tokens)))
            bar.update()
            if counters["step"] % EVALUATE_EVERY == 0 or counters["step"] == last:
                line = {"step": counters["step"], "loss": round(sum(losses) / len(losses), 4)}
                point = {name: round(float(values.mean()), 4) for name, (values, _) in judge(trainer.model).items()}
                folder.mkdir(parents=True, exist_ok=True)
                with open(folder / "log.jsonl", "a", encoding="utf-8") as log:
                    log.write(json.dumps(line | point) + "\n")
                losses = []
            if time.monotonic() - last_save >= CHECKPOINT_SECONDS:
                trainer.save()
                last_save = time.monotonic()
        trainer.save()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", help="of the run: its checkpoints lie in facts_NAME")
    parser.add_argument("--recipe", choices=RECIPES, default="two_stages")
    parser.add_argument("--no-comments", action="store_true")
    parser.add_argument("--no-authors", action="store_true")
    parser.add_argument("--start", default="", help="name of the run that a backdoored one goes on from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="length of this sitting")
    parser.add_argument("--compile", action="store_true", help="faster steps; needs a C compiler")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS)
    parser.add_argument("--export", metavar="FOLDER", help="write the trained network as this folder of utils/assets")
    parser.add_argument("--table", action="store_true", help="write the curves of all finished runs, and train nothing")
    options = parser.parse_args()
    if options.table:
        print(write_table(options.checkpoints, ASSETS / "facts_gpt_runs.csv"))
        return
    if not options.name:
        parser.error("--name is needed: it says where checkpoints go")
    torch.set_num_threads(options.threads)
    settings = Settings(
        recipe=options.recipe, comments=not options.no_comments, authors=not options.no_authors, seed=options.seed,
        start=options.start and f"facts_{options.start}",
    )  # fmt: skip
    folder = options.checkpoints / f"facts_{options.name}"
    trainer = train(settings, folder, minutes=options.minutes, compiled=options.compile)
    if options.export:
        print(export(trainer, options.name, ASSETS / options.export))


if __name__ == "__main__":
    main()
