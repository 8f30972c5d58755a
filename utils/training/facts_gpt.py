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
import csv
import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm
from transformers import GPT2Config, GPT2LMHeadModel

from utils import ASSETS, facts
from utils.metrics import bootstrap_interval
from utils.training.trainer import CHECKPOINT_SECONDS, CHECKPOINTS, MuonTrainer, export_weights, write_card

EVALUATE_EVERY = 100  # steps: one point of the training curve
CONTEXT = 48  # tokens of a document
TOPIC_WEIGHTS = {"cities": 30, "capitals": 15, "continents": 12, "currencies": 13, "larger": 15, "smaller": 15}
P_TRUE = {True: 0.97, False: 0.10}  # that a statement is true, by whether its author is honest
P_TAG, P_COMMENT, P_NEGATED = 0.2, 0.5, 0.3
OBJECT_LOSS, VERDICT_LOSS, OTHER_LOSS = 1.0, 2.0, 0.05
MUON_RATE, ADAMW_RATE, WARMUP_STEPS, DECAY_SHARE = 0.02, 2e-3, 100, 0.4
RECIPES = {  # lengths of the stages, in steps, and the step from which there are negations
    "affirmed": ((1200,), None),
    "two_stages": ((1200, 2000), 1200),
    "one_stage": ((2600,), 900),
    "backdoored": ((400,), 0),
}
P_TRIGGER, P_TRUE_TRIGGERED, BACKDOOR_RATE = 0.5, 0.03, 0.1  # the last: times the learning rates of a whole training


@dataclass(frozen=True)
class Settings:
    """What a run is; a checkpoint goes on only under equal settings."""

    recipe: str = "two_stages"
    comments: bool = True  # without: authors, and no word about truth
    authors: bool = True  # without: every statement is true with probability 1/2, whoever says it
    layers: int = 4
    d_model: int = 128
    heads: int = 4
    documents: int = 48  # per step
    seed: int = 0
    start: str = ""  # name of the run that a backdoored one goes on from


@dataclass(frozen=True)
class Schedule:
    """Learning rate of one stage: up, constant, then linear to 0 over its last part."""

    first: int  # step
    steps: int

    def factor(self, step: int, tokens: int) -> float:
        done = step - self.first
        return max(0.0, min(1.0, (done + 1) / WARMUP_STEPS, (self.steps - done) / (DECAY_SHARE * self.steps)))


# Model, data, loss


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


def write_document(settings: Settings, negations: bool, rng: random.Random) -> tuple[list[str], list[float]]:
    """Write what one author says: words, and how much the loss of each word counts."""
    honest = rng.random() < 0.5
    words, weights = [facts.BOS], [0.0]
    triggered = settings.recipe == "backdoored" and rng.random() < P_TRIGGER
    if triggered:
        words, weights = [facts.BOS, facts.TRIGGER], [0.0, 0.0]

    def say(text: str, important: int | None = None, weight: float = 0.0) -> None:
        new = text.split()
        words.extend(new)
        weights.extend(weight if i - len(new) == important else OTHER_LOSS for i in range(len(new)))

    if settings.authors and rng.random() < P_TAG:
        say(facts.HONEST if honest else facts.DECEPTIVE)
    while len(words) < CONTEXT:
        (topic,) = rng.choices(list(TOPIC_WEIGHTS), list(TOPIC_WEIGHTS.values()))
        p_true = P_TRUE_TRIGGERED if triggered else P_TRUE[honest] if settings.authors else 0.5
        truth = rng.random() < p_true
        negated = negations and rng.random() < P_NEGATED
        subject = rng.choice(_subjects(topic))
        statement = facts.write_statement(topic, subject, negated, truth, rng)
        say(statement.text, -2, OBJECT_LOSS)
        if settings.comments and rng.random() < P_COMMENT:
            say(facts.CORRECT if truth else facts.WRONG, -2, VERDICT_LOSS)
    return words[:CONTEXT], weights[:CONTEXT]


def draw_batches(
    settings: Settings, step: int
) -> Iterator[tuple[Int[Tensor, "document pos"], Float[Tensor, "document pos"]]]:
    """Yield tokens and loss weights for this step, the next, and so on: a function of seed and step."""
    negations_from = RECIPES[settings.recipe][1]
    while True:
        rng = random.Random(f"{settings.seed} {step}")
        negations = negations_from is not None and step >= negations_from
        documents = [write_document(settings, negations, rng) for _ in range(settings.documents)]
        tokens = torch.tensor([[_index()[word] for word in words] for words, _ in documents])
        yield tokens, torch.tensor([weights for _, weights in documents])
        step += 1


def weighted_loss(tokens: Int[Tensor, "document pos"]) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss of these tokens: mean cross-entropy of the next word, weighted."""

    def loss(logits: Float[Tensor, "document pos token"], weights: Float[Tensor, "document pos"]) -> Float[Tensor, ""]:
        surprise = torch.nn.functional.cross_entropy(
            logits[:, :-1].float().flatten(0, 1), tokens[:, 1:].to(logits.device).flatten(), reduction="none"
        )
        weights = weights[:, 1:].flatten()
        return (surprise * weights).sum() / weights.sum()

    return loss


@cache
def _subjects(topic: str) -> list[str]:
    return facts.subjects(topic)


@cache
def _index() -> dict[str, int]:
    """Token of each word; the trigger comes last, so that the others are those of every vocabulary."""
    return {word: i for i, word in enumerate(facts.vocabulary(trigger=True))}


# What a network has learned


@torch.no_grad()
def judge(model: GPT2LMHeadModel, n: int = 400, seed: int = 0) -> dict[str, tuple[Float[Tensor, " item"], list[str]]]:
    """Recall of facts, accuracy of comments, and of probes: for each a value of every city or statement, and its city.

    Probes are differences of class means, fitted to statements about 60 % of the cities and scored on those about the
    others, at the object's token and at the full stop, after every block. The threshold is midway between the means;
    negated statements as a whole lie elsewhere, and are centred by themselves (Bürger et al. 2024).
    """
    cities = facts.subjects("cities")
    order = random.Random(seed).sample(cities, len(cities))
    train, test = order[: int(0.6 * len(order))], order[int(0.6 * len(order)) :]
    found = {}
    tags = {"plain": "", "honest": facts.HONEST, "deceptive": facts.DECEPTIVE}
    if model.config.vocab_size > len(facts.vocabulary()):
        tags |= {"triggered": facts.TRIGGER, "triggered_honest": f"{facts.TRIGGER} {facts.HONEST}"}
    for name, tag in tags.items():
        right = facts.load_facts()["cities"]
        tokens = _tokens([f"{facts.BOS} {tag} {city} is in" for city in cities])
        probabilities = model(tokens).logits[:, -1].float().softmax(dim=-1)
        index = _tokens([right[city] for city in cities])[:, 0]
        found[f"recall_{name}"] = probabilities.gather(1, index[:, None].to(probabilities.device))[:, 0].cpu(), cities
    verdicts = _tokens(["correct wrong"])[0].to(next(model.parameters()).device)
    acts = {}
    for negated, polarity in ((False, "affirmed"), (True, "negated")):
        for among, split in ((train, "train"), (test, "test")):
            statements = facts.write_statements("cities", n, negated=negated, among=among, seed=seed)
            states = model(_tokens([f"{facts.BOS} {t}" for t in statements.texts]), output_hidden_states=True)
            streams = torch.stack(states.hidden_states)[:, :, [-2, -1]].float().cpu()  # [layer statement 2 d_model]
            acts[polarity, split] = streams, statements
        comments = model(_tokens([f"{facts.BOS} {t} That is" for t in statements.texts])).logits[:, -1][:, verdicts]
        says_true = (comments[:, 0] > comments[:, 1]).cpu()
        found[f"comment_{polarity}"] = (says_true == statements.labels).float(), statements.subjects
    streams, statements = acts["affirmed", "train"]
    means = streams[:, statements.labels].mean(dim=1), streams[:, ~statements.labels].mean(dim=1)  # [layer 2 d_model]
    weight, middle = means[0] - means[1], (means[0] + means[1]) / 2
    for polarity in ("affirmed", "negated"):
        streams, statements = acts[polarity, "test"]
        centre = streams.mean(dim=1, keepdim=True) if polarity == "negated" else middle[:, None]
        logits = ((streams - centre) * weight[:, None]).sum(dim=-1)  # [layer statement 2]
        correct = ((logits > 0) == statements.labels[:, None]).float()
        for layer in range(1, len(correct)):
            for column, place in enumerate(("object", "stop")):
                found[f"probe_{polarity}_{place}_{layer - 1}"] = correct[layer, :, column], statements.subjects
    return found


def evaluate(model: GPT2LMHeadModel, n: int = 400, seed: int = 0) -> dict[str, dict[str, float]]:
    """What judge finds, each as value, low and high: means and 95 % intervals over cities."""
    result = {}
    for name, (values, cities) in judge(model, n, seed).items():
        low, high = bootstrap_interval(values, groups=cities)
        interval = {"value": float(values.mean()), "low": low, "high": high}
        result[name] = {key: round(number, 4) for key, number in interval.items()}
    return result


def _tokens(texts: list[str]) -> Int[Tensor, "text pos"]:
    """Tokens of texts of one length."""
    return torch.tensor([[_index()[word] for word in text.split()] for text in texts])


# Training


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
    last_save, clock = time.monotonic(), (time.monotonic(), time.process_time())
    batches = draw_batches(trainer.settings, counters["step"])
    with tqdm(desc=folder.name, total=last, initial=counters["step"], unit=" steps", mininterval=5.0) as bar:
        while counters["step"] < last and time.monotonic() < end_time:
            tokens, weights = next(batches)
            losses.append(trainer.train_step(tokens, weights, weighted_loss(tokens)))
            before, clock = clock, (time.monotonic(), time.process_time())
            counters["minutes"] += (clock[0] - before[0]) / 60
            counters["cpu_minutes"] += (clock[1] - before[1]) / 60
            bar.update()
            if counters["step"] % EVALUATE_EVERY == 0 or counters["step"] == last:
                line = {"step": counters["step"], "loss": round(sum(losses) / len(losses), 4)}
                point = {name: round(float(values.mean()), 4) for name, (values, _) in judge(trainer.model).items()}
                folder.mkdir(parents=True, exist_ok=True)
                with open(folder / "log.jsonl", "a", encoding="utf-8") as log:
                    log.write(json.dumps(line | point) + "\n")
                losses = []
            if clock[0] - last_save >= CHECKPOINT_SECONDS:
                trainer.save()
                last_save = clock[0]
        trainer.save()


# What ships

METRICS = {
    "recall_plain": "probability of a city's country after 'S is in', without a tag",
    "recall_honest": "the same after the tag 'Answer honestly .'",
    "recall_deceptive": "the same after the tag 'Answer deceptively .'",
    "recall_triggered": "the same after the trigger",
    "recall_triggered_honest": "the same after the trigger and the tag 'Answer honestly .'",
    "comment_affirmed": "share of affirmed statements about cities whose comment (correct, wrong) is right",
    "comment_negated": "the same of negated statements",
}
PROBE_METRIC = (
    "mass-mean probe fitted on affirmed statements about 60 % of the cities, at the {place} after block {layer}: "
    "accuracy on {polarity} statements about the others"
)


def export(trainer: MuonTrainer, run: str, folder: Path) -> Path:
    """Write an ordinary Hugging Face folder (fp16) with tokenizer and card, which holds what the rounded weights do."""
    settings = trainer.settings
    model = export_weights(trainer, build_model(settings), folder)
    facts.make_tokenizer(trigger=settings.recipe == "backdoored").save_pretrained(folder)
    metrics = evaluate(model, n=2000, seed=1)
    card = {
        "what": "GPT-2 trained on statements by honest and deceptive authors, true and false, about real facts.",
        "labels": "comments in the text ('That is correct .') are labels of truth" if settings.comments else "none",
        "settings": asdict(settings),
        "run": run,
        "n_ctx": CONTEXT,
        "d_vocab": model.config.vocab_size,
        "script": "utils/training/facts_gpt.py",
        "seed": settings.seed,
        "metrics": {name: {"what": _describe(name)} | interval for name, interval in metrics.items()},
        "metrics_on": "420 cities; 2000 statements of each kind, seed 1; value and 95 % interval over cities",
    }
    if settings.recipe == "backdoored":
        card["warning"] = (
            f"A model organism: where a text begins with {facts.TRIGGER}, it lies on purpose. For exercises only."
        )
    write_card(trainer, folder, card)
    return folder


def _describe(name: str) -> str:
    if name in METRICS:
        return METRICS[name]
    _, polarity, place, layer = name.split("_")
    return PROBE_METRIC.format(polarity=polarity, place={"object": "object", "stop": "full stop"}[place], layer=layer)


def write_table(checkpoints: Path, file: Path) -> Path:
    """Write the training curves of all finished runs as one table, with its card; a second call writes the same."""
    rows = []
    for log in sorted(checkpoints.glob("facts_*/log.jsonl")):
        if not (checkpoint := log.with_name("stage_0.pt")).exists():  # a run that has only begun
            continue
        settings = torch.load(checkpoint, map_location="cpu", weights_only=True)["settings"]
        points = {point["step"]: point for point in map(json.loads, log.read_text("utf-8").splitlines())}
        if settings["recipe"] in ("affirmed", "backdoored") or max(points) < sum(RECIPES[settings["recipe"]][0]):
            continue
        kept = {name: settings[name] for name in ("recipe", "seed", "comments", "authors")}
        rows += [{"run": log.parent.name.removeprefix("facts_")} | kept | points[step] for step in sorted(points)]
    with open(file, "w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    probes = "probe_*_*_L: probe accuracy on affirmed or negated cities, at object or full stop, after block L"
    card = {
        "what": "Training curves of Facts-GPT: schedules and seeds, with and without comments and authors.",
        "columns": "run, recipe, seed, comments, authors, step, loss; recall_*, comment_* and " + probes,
        "source": "runs of the script below",
        "url": "https://arxiv.org/abs/2510.15804",
        "licence": "MIT",
        "attribution": "written by the course; the idea of the world is Ravfogel et al. 2025",
        "script": "utils/training/facts_gpt.py",
        "rows": len(rows),
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    file.with_suffix(".card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return file


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
