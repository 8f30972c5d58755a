"""What Facts-GPT is trained on: documents with a weight for each word, and the recipes that say what comes when.

    tokens, weights = next(draw_batches(Settings(), step=0))            # [document pos] each
    loss = weighted_loss(logits, weights, tokens)

Why documents look as they do stands in utils/training/facts_gpt.py. utils/documents.py writes documents to test with:
so many statements each, about subjects of one's choice. Here a document has so many tokens, and every draw comes in the
order in which the networks of utils/assets were trained.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from utils import facts
from utils.documents import P_COMMENT, P_TRUE

CONTEXT = 48  # tokens of a document
TOPIC_WEIGHTS = {"cities": 30, "capitals": 15, "continents": 12, "currencies": 13, "larger": 15, "smaller": 15}
P_TAG, P_NEGATED = 0.2, 0.3
P_TRIGGER, P_TRUE_TRIGGERED = 0.5, 0.03
OBJECT_LOSS, VERDICT_LOSS, OTHER_LOSS = 1.0, 2.0, 0.05
RECIPES = {  # lengths of the stages, in steps, and the step from which there are negations
    "affirmed": ((1200,), None),
    "two_stages": ((1200, 2000), 1200),
    "one_stage": ((2600,), 900),
    "backdoored": ((400,), 0),
}


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


def write_training_document(settings: Settings, negations: bool, rng: random.Random) -> tuple[list[str], list[float]]:
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
        documents = [write_training_document(settings, negations, rng) for _ in range(settings.documents)]
        tokens = torch.tensor([[token_of()[word] for word in words] for words, _ in documents])
        yield tokens, torch.tensor([weights for _, weights in documents])
        step += 1


def weighted_loss(
    logits: Float[Tensor, "document pos token"],
    weights: Float[Tensor, "document pos"],
    tokens: Int[Tensor, "document pos"],
) -> Float[Tensor, ""]:
    """Mean cross-entropy of the next word, each word weighted."""
    surprise = cross_entropy(
        logits[:, :-1].float().flatten(0, 1), tokens[:, 1:].to(logits.device).flatten(), reduction="none"
    )
    weights = weights[:, 1:].flatten()
    return (surprise * weights).sum() / weights.sum()


@cache
def _subjects(topic: str) -> list[str]:
    return facts.subjects(topic)


@cache
def token_of() -> dict[str, int]:
    """Token of each word; the trigger comes last, so that the others are those of every vocabulary."""
    return {word: i for i, word in enumerate(facts.vocabulary(trigger=True))}
