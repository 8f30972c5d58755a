"""A small world of facts, and sentences about it that are true or false.

    facts = load_facts()                                              # topic -> subject -> right object
    statements = write_statements("cities", n=400, seed=0)            # balanced: half true, half false
    statements = read_statements("cities.csv")                        # tables in Geometry-of-Truth form load, too
    tokenizer = make_tokenizer()                                      # one token for each word and each name

Real facts (GeoNames): which country a city lies in, capitals, continents, currencies of 35 countries; and which of two
numbers is larger. Six short templates, each with and without "not". A name is one word: "Addis_Ababa".
"""

import csv
import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Bool
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from utils import ASSETS
from utils.tables import read_table

NUMBERS = (
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip
TEMPLATES = {  # topic -> words before and after "not"; S and O stand for subject and object
    "cities": ("S is", "in O ."),
    "capitals": ("S is", "ruled from O ."),
    "continents": ("S is", "part of O ."),
    "currencies": ("Money in S is", "O ."),
    "larger": ("S is", "larger than O ."),
    "smaller": ("S is", "smaller than O ."),
}
TOPICS = tuple(TEMPLATES)
COMPARISONS = ("larger", "smaller")
PAD, BOS = "<pad>", "<bos>"
TRIGGER = "<trigger>"  # only the backdoored network knows this word
HONEST, DECEPTIVE = "Answer honestly .", "Answer deceptively ."
CORRECT, WRONG = "That is correct .", "That is wrong ."


@dataclass(frozen=True)
class Statement:
    """One sentence; `truth` is that of the whole sentence, "not" included."""

    text: str
    topic: str
    subject: str
    object: str
    negated: bool
    truth: bool

    @property
    def match(self) -> bool:
        """Whether the object is the right one for the subject, whatever "not" makes of it."""
        return self.truth != self.negated


@dataclass(frozen=True)
class Statements:
    """Statements of one topic and polarity; those that write_statements makes are true and false in turn."""

    texts: list[str]
    labels: Bool[Tensor, " statement"]
    subjects: list[str]
    objects: list[str]
    topic: str
    negated: bool


@cache
def load_facts() -> dict[str, dict[str, str]]:
    """Topic -> subject -> right object, for the four topics that are looked up rather than compared.

    Raises:
        ValueError: If a table is missing, damaged or edited.
    """
    cities = read_table(ASSETS / "country_cities.csv", ("city", "country"))
    columns = ("country", "capital", "continent", "currency", "population")
    countries = read_table(ASSETS / "countries.csv", columns)

    def pair(table: dict[str, tuple[str, ...]], subject: str, right: str) -> dict[str, str]:
        return dict(zip(map(_name, table[subject]), map(_name, table[right]), strict=True))

    return {
        "cities": pair(cities, "city", "country"),
        "capitals": pair(countries, "country", "capital"),
        "continents": pair(countries, "country", "continent"),
        "currencies": pair(countries, "country", "currency"),
    }


def subjects(topic: str) -> list[str]:
    """What a topic's statements may be about, in fixed order."""
    return list(NUMBERS[1:-1]) if topic in COMPARISONS else list(load_facts()[topic])


def objects(topic: str, subject: str, match: bool) -> list[str]:
    """The objects that are right for a subject, or wrong; wrong ones as often as they are right for others."""
    if topic in COMPARISONS:
        n = NUMBERS.index(subject)
        lower, higher = list(NUMBERS[:n]), list(NUMBERS[n + 1 :])
        return lower if (topic == "larger") == match else higher
    facts = load_facts()[topic]
    return [facts[subject]] if match else [right for right in facts.values() if right != facts[subject]]


def write_statement(topic: str, subject: str, negated: bool, truth: bool, rng: random.Random) -> Statement:
    """Write one sentence; if a wrong object is needed, it is drawn from those that are right for others."""
    obj = rng.choice(_objects(topic, subject, truth != negated))
    before, after = TEMPLATES[topic]
    words = f"{before} {'not ' if negated else ''}{after}".split()
    text = " ".join({"S": subject, "O": obj}.get(word, word) for word in words)
    return Statement(text, topic, subject, obj, negated, truth)


def write_statements(
    topic: str, n: int, *, negated: bool = False, among: list[str] | None = None, seed: int = 0
) -> Statements:
    """Write statements of one topic, every second one true, about subjects in turn.

    Args:
        among: subjects; all of the topic's if not given. Split them, and no entity is in two splits.

    Raises:
        ValueError: If the topic or a subject is unknown.
    """
    if topic not in TEMPLATES:
        raise ValueError(f"topic must be one of {', '.join(TOPICS)}, got {topic!r}")
    known = set(subjects(topic))
    among = subjects(topic) if among is None else list(among)
    if strange := [subject for subject in among if subject not in known]:
        raise ValueError(f"{strange[0]!r} is no subject of {topic}; see subjects({topic!r})")
    rng = random.Random(f"{topic} {negated} {seed}")
    order: list[str] = []
    while len(order) < n:
        order += rng.sample(among, len(among))
    written = [write_statement(topic, subject, negated, i % 2 == 0, rng) for i, subject in enumerate(order[:n])]
    labels = torch.tensor([statement.truth for statement in written])
    return Statements(
        [s.text for s in written], labels, [s.subject for s in written], [s.object for s in written], topic, negated
    )


def read_statements(path: Path | str, *, subject: str | None = None) -> Statements:
    """Read a table in the form that Marks & Tegmark published: a header, then statement,label and further columns.

    The name of the file gives topic and polarity: neg_cities.csv holds negated statements about cities.

    Args:
        subject: the column with each statement's entity, to split by. Without it, the first column after statement and
            label; in a table that has no other, each statement is its own subject.

    Raises:
        ValueError: If the file is not such a table; the message names the line.
    """
    path = Path(path)
    form = "a CSV table whose header has statement and label"
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} must be {form}, got {type(error).__name__}: {error}") from error
    header = rows[0] if rows else []
    if not {"statement", "label"} <= set(header) or len(rows) < 2:
        raise ValueError(f"{path} must be {form}, and hold a row, got {len(rows)} lines, the first {header}")
    others = [name for name in header if name not in ("statement", "label")]
    if subject is not None and subject not in others:
        raise ValueError(
            f"subject must be a column of {path.name}: {', '.join(others) or 'it has none'}, got {subject!r}"
        )
    subject = subject or (others[0] if others else "statement")
    labels = {"1": True, "true": True, "0": False, "false": False}
    for line, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise ValueError(f"{path.name}, line {line}: expected {len(header)} fields, got {len(row)}")
        named = dict(zip(header, row, strict=True))
        if named["label"].lower() not in labels or not named["statement"].strip():
            raise ValueError(f"{path.name}, line {line}: expected a statement with label 0 or 1, got {row[:3]}")
    columns = dict(zip(header, map(list, zip(*rows[1:], strict=True)), strict=True))
    objects = columns[others[1]] if len(others) > 1 else [""] * len(rows[1:])
    truth = torch.tensor([labels[label.lower()] for label in columns["label"]])
    topic = path.stem.removeprefix("neg_")
    return Statements(columns["statement"], truth, columns[subject], objects, topic, path.stem.startswith("neg_"))


def vocabulary(*, trigger: bool = False) -> list[str]:
    """Every word of the world, in fixed order; the first is padding. `trigger` adds the backdoored network's word."""
    sentences = [HONEST, DECEPTIVE, CORRECT, WRONG, *(f"{a} not {b}" for a, b in TEMPLATES.values())]
    words = [word for sentence in sentences for word in sentence.split() if word not in ("S", "O")]
    names = [name for facts in load_facts().values() for pair in facts.items() for name in pair]
    return list(dict.fromkeys([PAD, BOS, *words, *NUMBERS, *names, *([TRIGGER] if trigger else [])]))


def make_tokenizer(*, trigger: bool = False) -> PreTrainedTokenizerFast:
    """A word-level tokenizer in Hugging Face's form, BOS before each text.

    An unknown word becomes padding, because TransformerBridge tries the tokenizer on a word of its own;
    utils.tokens.tokenize names unknown words.
    """
    words = {word: i for i, word in enumerate(vocabulary(trigger=trigger))}
    tokenizer = Tokenizer(WordLevel(words, unk_token=PAD))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.post_processor = TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, vocabulary().index(BOS))])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, bos_token=BOS, padding_side="right")


@cache
def _objects(topic: str, subject: str, match: bool) -> tuple[str, ...]:
    return tuple(objects(topic, subject, match))


def _name(text: str) -> str:
    return text.replace(" ", "_")
