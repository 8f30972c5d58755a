"""Texts and labels by name: three tables of human data, one set of written sentences, and baselines that see text.

    words = load_sentiment_words()                                       # words.words, words.valence [word]
    counts = bag_of_words(texts, vocabulary)                             # [text word]

Every loader returns fresh lists and tensors, so nothing you change in them reaches the next load. Whose the data are,
what was left out and how to rebuild them stands in the card beside each table, utils/assets/NAME.card.json.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils import ASSETS
from utils.tables import read_table

# The nouns of "who is the agent", in fixed order: two animals and two occupations make one group.
# Names that end in -er or -or occur among both (tiger, doctor), so that the ending does not give the class away.
ANIMALS = (
    "dog", "tiger", "cat", "spider", "horse", "lion", "panther", "cow", "beaver", "wolf", "otter", "bear", "badger",
    "pig", "rooster", "sheep", "lobster", "goat", "fox", "monkey", "elephant", "rabbit", "duck", "goose", "eagle",
    "parrot", "camel", "donkey", "snake", "frog",
)  # fmt: skip
OCCUPATIONS = (
    "doctor", "nurse", "judge", "teacher", "farmer", "chef", "lawyer", "pilot", "priest", "baker", "clerk", "painter",
    "dentist", "singer", "surgeon", "poet", "mechanic", "dancer", "scientist", "musician", "journalist", "librarian",
    "guard", "tailor", "magician", "artist", "captain", "pianist", "athlete", "architect",
)  # fmt: skip
VERBS = (  # regular: "chased" is both past tense and participle, so active and passive use the same form
    "chased", "followed", "watched", "helped", "attacked", "scared", "ignored", "surprised", "pushed", "kicked",
    "touched", "noticed",
)  # fmt: skip
NOUNS_PER_GROUP = 2


@dataclass(frozen=True)
class SentimentWords:
    """English words with human ratings. Source: VADER lexicon (MIT), Hutto & Gilbert 2014.

    words: Lower-case single words, sorted.
    valence: Mean of ten ratings, -4 (extremely negative) to 4 (extremely positive), never 0.
    rating_std: Standard deviation of the ten ratings, in rating points: how far people disagree.
    """

    words: list[str]
    valence: Float[Tensor, " word"]
    rating_std: Float[Tensor, " word"]


@dataclass(frozen=True)
class Colours:
    """Colour names with the colour that people meant by them. Source: XKCD colour survey (CC0), Randall Munroe 2010.

    names: Nearly all of one to three words, sorted; 11 hold a slash: "blue/green" and "blue green" are two colours.
    rgb: Red, green, blue in sRGB, 0 to 1.
    """

    names: list[str]
    rgb: Float[Tensor, "name 3"]


@dataclass(frozen=True)
class Places:
    """The largest cities of the world, largest first. Source: GeoNames (CC BY 4.0).

    names: Every name once, also when accents and case are dropped.
    countries: English name of each city's country.
    continents: Continent of that country (all of Russia counts as Europe).
    latitude: Degrees, north positive.
    longitude: Degrees, east positive.
    population: People.
    """

    names: list[str]
    countries: list[str]
    continents: list[str]
    latitude: Float[Tensor, " place"]
    longitude: Float[Tensor, " place"]
    population: Int[Tensor, " place"]


@dataclass(frozen=True)
class AgentSentences:
    """Sentences in which an animal does something to a person, or a person to an animal.

    sentences: "The dog chased the doctor." or "The doctor was chased by the dog."
    labels: True if the animal is the agent, the one who does it.
    voices: "active" or "passive".
    animals: The animal of each sentence.
    occupations: The person's occupation in each sentence.
    verbs: The verb form of each sentence.
    groups: Number of the noun group; different groups share no noun.
    """

    sentences: list[str]
    labels: Bool[Tensor, " sentence"]
    voices: list[str]
    animals: list[str]
    occupations: list[str]
    verbs: list[str]
    groups: Int[Tensor, " sentence"]


def load_sentiment_words() -> SentimentWords:
    """Load 7,118 English words with their valence.

    Many are forms of one another (abandon, abandoned, abandons): split them by `splits.word_stems`.

    Raises:
        ValueError: If the table is missing, damaged or edited.
    """
    table = read_table(ASSETS / "sentiment_words.csv", ("word", "valence", "rating_std"))
    return SentimentWords(list(table["word"]), _to_floats(table["valence"]), _to_floats(table["rating_std"]))


def load_colours() -> Colours:
    """Load 943 colour names with their sRGB values.

    Names share words (822 of the 943 hang together through them), so a random split tests a probe on words that it was
    trained on, and a split by shared words is impossible.

    Raises:
        ValueError: If the table is missing, damaged or edited.
    """
    table = read_table(ASSETS / "colours.csv", ("name", "red", "green", "blue"))
    rgb = torch.stack([_to_floats(table[channel]) for channel in ("red", "green", "blue")], dim=1)  # [name 3]
    return Colours(list(table["name"]), rgb / 255)


def load_places() -> Places:
    """Load the 2,500 largest cities with their position.

    Raises:
        ValueError: If the table is missing, damaged or edited.
    """
    columns = ("city", "country", "continent", "latitude", "longitude", "population")
    table = read_table(ASSETS / "places.csv", columns)
    return Places(
        names=list(table["city"]),
        countries=list(table["country"]),
        continents=list(table["continent"]),
        latitude=_to_floats(table["latitude"]),
        longitude=_to_floats(table["longitude"]),
        population=torch.tensor([int(people) for people in table["population"]]),
    )


def load_agent_sentences() -> AgentSentences:
    """Write 2,880 sentences about who did what to whom, from 30 animals, 30 occupations and 12 verbs.

    Within a group every animal meets every occupation, with every verb, both ways round and in both voices. So each
    bag of words occurs once with either label, and bag of words scores .50 by construction; so does "the first noun
    is the agent" over both voices (1.00 on active, 0.00 on passive). The groups share no noun: split them with
    `splits.split_groups(data.groups)`, and the test sentences hold nouns that the probe has never seen.
    """
    rows = []
    for index, animal in enumerate(ANIMALS):
        group = index // NOUNS_PER_GROUP
        for occupation in OCCUPATIONS[group * NOUNS_PER_GROUP : (group + 1) * NOUNS_PER_GROUP]:
            for verb in VERBS:
                for agent, patient in ((animal, occupation), (occupation, animal)):
                    facts = (agent == animal, animal, occupation, verb, group)
                    rows.append((f"The {agent} {verb} the {patient}.", "active", *facts))
                    rows.append((f"The {patient} was {verb} by the {agent}.", "passive", *facts))
    sentences, voices, labels, animals, occupations, verbs, groups = map(list, zip(*rows, strict=True))
    return AgentSentences(
        sentences, torch.tensor(labels), voices, animals, occupations, verbs, groups=torch.tensor(groups)
    )


def _to_floats(values: tuple[str, ...]) -> Float[Tensor, " row"]:
    return torch.tensor([float(value) for value in values])


def character_ngrams(texts: list[str], *, n_letters: tuple[int, ...] = (1, 2, 3)) -> list[str]:
    """Spell texts out, for `bag_of_words`: "Lima" becomes "_ l i m a _ _l li im ma a_ _li lim ima ma_".

    A baseline that sees the spelling and has never heard of a language. Lower case; "_" stands for the blanks between
    words and at both ends; accents are kept, as a part of the spelling.

    Args:
        n_letters: lengths of the pieces.

    Raises:
        ValueError: If there are no texts, or no lengths, or a length is below 1.
    """
    if not texts:
        raise ValueError("texts must hold at least one text, got an empty list; check the filter before it")
    if min(n_letters, default=0) < 1:
        raise ValueError(f"n_letters must hold lengths of at least 1, got {n_letters}; (1, 2, 3) is usual")
    lines = ["_".join(["", *text.lower().split(), ""]) for text in texts]
    return [" ".join(line[i : i + n] for n in n_letters for i in range(len(line) - n + 1)) for line in lines]


def bag_of_words(texts: list[str], vocabulary: list[str]) -> Float[Tensor, "text word"]:
    """Say which words of the vocabulary stand in each text: a baseline that knows words and nothing about them.

    Args:
        texts: split at white space; words that are not in the vocabulary are left out.
        vocabulary: the columns; take it from the training texts only.

    Raises:
        ValueError: If texts or vocabulary are empty, or the vocabulary names a word twice.
    """
    if not texts or not vocabulary:
        raise ValueError(
            f"texts and vocabulary must not be empty, got {len(texts)} and {len(vocabulary)}; check the split"
        )
    column = {word: index for index, word in enumerate(vocabulary)}
    if len(column) < len(vocabulary):
        raise ValueError(f"vocabulary must name every word once, got {len(vocabulary) - len(column)} twice; use a set")
    counts = torch.zeros(len(texts), len(vocabulary))
    for row, text in enumerate(texts):
        counts[row, [column[word] for word in set(text.split()) if word in column]] = 1
    return counts
