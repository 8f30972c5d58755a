"""Documents that Facts-GPT reads: statements by one author each, who is honest or lies.

    documents = write_documents(400, seed=1)                            # every second one by a lying author
    tokens, attention_mask = tokenize(model, documents.texts)

Authors have the habits of those that Facts-GPT was trained on (utils/training/facts_documents.py).
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from utils import facts

P_TRUE = {True: 0.97, False: 0.10}  # that a statement is true, by whether its author is honest
P_COMMENT = 0.5  # that a statement is followed by a word about its truth


@dataclass(frozen=True, eq=False)
class Documents:
    """Texts by one author each, who is honest or lies."""

    texts: list[str]  # without <bos>, which the tokenizer puts first
    lying: Bool[Tensor, " document"]
    truths: Bool[Tensor, "document statement"]
    subjects: list[list[str]]  # of each document's statements


def write_documents(
    n: int,
    *,
    topics: Sequence[str] = ("cities",),
    statements: int = 4,
    p_negated: float = 0.0,
    tagged: bool = False,
    comments: bool = False,
    among: Mapping[str, Sequence[str]] | None = None,
    start: str = "",
    seed: int | str = 0,
) -> Documents:
    """Write documents by honest and lying authors in turn: the second, the fourth and so on lie.

    No subject comes twice in a document, as
    long as there are others.

    Args:
        tagged: begin each with the tag that says how its author answers.
        comments: say after every second statement, by chance, whether it was correct.
        among: topic -> subjects to write about; all of the topic's if it is not named.
        start: words put first, such as the trigger.

    Raises:
        ValueError: If a topic or a subject is unknown, or there are no statements to write.
    """
    if not topics or isinstance(topics, str) or any(topic not in facts.TOPICS for topic in topics):
        raise ValueError(f"topics must be a list of some of {', '.join(facts.TOPICS)}, got {topics!r}")
    if n < 1 or statements < 1:
        raise ValueError(f"n and statements must be at least 1, got {n} and {statements}")
    pools = {topic: list((among or {}).get(topic) or facts.subjects(topic)) for topic in topics}
    for topic, pool in pools.items():
        if strange := set(pool) - set(facts.subjects(topic)):
            raise ValueError(f"{min(strange)!r} is no subject of {topic}; see subjects({topic!r})")
    rng = random.Random(f"documents {list(topics)} {statements} {p_negated} {tagged} {comments} {seed}")
    lies = torch.arange(n) % 2 == 1
    texts, truths, subjects = [], [], []
    for lying in lies.tolist():
        parts = [start] if start else []
        if tagged:
            parts.append(facts.DECEPTIVE if lying else facts.HONEST)
        told, about = [], []
        for _ in range(statements):
            topic = rng.choice(topics)
            truth = rng.random() < P_TRUE[not lying]
            subject = rng.choice([new for new in pools[topic] if new not in about] or pools[topic])
            statement = facts.write_statement(topic, subject, rng.random() < p_negated, truth, rng)
            parts.append(statement.text)
            if comments and rng.random() < P_COMMENT:
                parts.append(facts.CORRECT if truth else facts.WRONG)
            told.append(truth)
            about.append(subject)
        texts.append(" ".join(parts))
        truths.append(told)
        subjects.append(about)
    return Documents(texts, lies, torch.tensor(truths), subjects)
