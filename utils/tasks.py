"""27 binary questions about three networks.

    tasks = load_tasks()                                               # acts, latents and labels, computed once
    train, validation, test = draw_trial(tasks[0], "scarce", seed=0)   # see utils.trials

MiniLM's words, colours and places are those that its SAE has not seen alone in training; Othello's games are fresh; of
Facts-GPT, whose world is small, the SAE has seen every name, and no label.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize

from utils.activations import cache_positions, cache_resid_post, pool_mean
from utils.datasets import load_agent_sentences, load_colours, load_places, load_sentiment_words
from utils.facts import write_statements
from utils.models import load_model
from utils.othello import EMPTY, MINE, random_games, replay_games
from utils.saes import SAE, load_sae
from utils.splits import word_stems
from utils.tokens import tokenize
from utils.training.english import seen_in_training
from utils.truth_probes import statement_acts

N_GAMES, STAGES = 1300, {"early": (8, 18), "middle": (24, 34), "late": (40, 50)}  # moves played, the second excluded
SQUARES = {"d4": 27, "c5": 34, "f3": 21}
CONTINENTS = ("Europe", "Asia", "Africa")
N_STATEMENTS = 1200  # of each topic
SAES = {  # model -> its SAE, and the layer that it is of
    "othello_gpt_untrained": ("othello_gpt_untrained_4/topk_1024_32", 4),
    "othello_gpt": ("othello_gpt_4/topk_1024_32", 4),
    "facts_gpt_match": ("facts_gpt_match_1/topk_512_16", 1),
    "minilm": ("minilm_2/topk_2048_32", 2),
}


class Examples(NamedTuple):
    """Rows that a probe may see: activations, latents of the same, labels, and what must not be split."""

    acts: Float[Tensor, "example d_model"]
    latents: Float[Tensor, "example latent"]
    labels: Bool[Tensor, " example"]
    groups: list[str]


@dataclass(frozen=True, eq=False)
class Task:
    """One binary question about one network, and the same question in another situation.

    shifted: examples of the other situation, of the same groups or of others. shift: what is other there.
    """

    name: str
    model: str
    examples: Examples
    shifted: Examples
    shift: str


@cache
def load_tasks(*, by_lot: bool = False) -> tuple[Task, ...]:
    """All tasks, computed once per process: 9 squares of Othello-GPT, 9 topics of Facts-GPT, 9 of MiniLM.

    Args:
        by_lot: latents are those of draw_dictionary in place of the SAE. What they gain as well is no merit of
            training an SAE.
    """
    questions = {"othello_gpt": _othello_tasks, "facts_gpt_match": _facts_tasks, "minilm": _minilm_tasks}
    return tuple(task for of, ask in questions.items() for task in ask(of, _load_dictionary(of, by_lot)))


@cache
def load_untrained_tasks() -> tuple[Task, ...]:
    """The nine questions about squares once more, about the untrained twin of Othello-GPT and the SAE of that twin."""
    of = "othello_gpt_untrained"
    return tuple(_othello_tasks(of, _load_dictionary(of, by_lot=False)))


def draw_dictionary(sae: SAE) -> SAE:
    """A dictionary drawn by lot: as many directions as the SAE has, as many of them on, the same b_dec.

    They are the directions that training starts from with seed 0: what is left of an SAE without its training.
    """
    rows = normalize(torch.randn(sae.d_sae, sae.d_model, generator=torch.Generator().manual_seed(0)), dim=1)
    return replace(sae, W_enc=rows.T, b_enc=torch.zeros(sae.d_sae), W_dec=rows)


def _load_dictionary(of: str, by_lot: bool) -> SAE:
    sae = load_sae(SAES[of][0])
    return draw_dictionary(sae) if by_lot else sae


def _othello_tasks(of: str, sae: SAE) -> list[Task]:
    """Whose disc lies on a square, mine or yours, where there is one; one position of each game and stage."""
    model, layer = load_model(of), SAES[of][1]
    games = random_games(N_GAMES, seed=88)[:, : STAGES["late"][1]]
    games = games[(games > 0).all(dim=1)]  # few games end before that
    boards = replay_games(games).boards
    generator, kept = torch.Generator().manual_seed(0), {}
    chosen = torch.zeros_like(games, dtype=torch.bool)
    for stage, (low, high) in STAGES.items():
        pos = torch.randint(low - 1, high - 1, (len(games),), generator=generator)
        kept[stage] = pos
        chosen[torch.arange(len(games)), pos] = True
    acts = cache_positions(model, games, torch.ones_like(games), chosen, [layer])[0]
    acts = acts.reshape(len(games), len(STAGES), -1)  # the stages are in order of position
    names = [f"game {i}" for i in range(len(games))]

    def examples(stage: str, square: int) -> Examples:
        states = boards[torch.arange(len(games)), kept[stage]][:, square]
        rows = (states != EMPTY).nonzero()[:, 0]
        here = acts[rows, list(STAGES).index(stage)]
        return Examples(here, sae.encode(here), states[rows] == MINE, [names[i] for i in rows.tolist()])

    tasks, order = [], list(STAGES)
    for i, stage in enumerate(order):
        other = order[(i + 1) % len(order)]
        for name, square in SQUARES.items():
            both = examples(stage, square), examples(other, square)
            tasks.append(Task(f"{name} is mine, {stage}", of, *both, f"{other} in the game"))
    return tasks


def _facts_tasks(of: str, sae: SAE) -> list[Task]:
    """Is it true? At the object's token. Six topics without "not"; three with and without it in turn."""
    model, layer = load_model(of), SAES[of][1]

    def examples(topic: str, polarities: tuple[bool, ...], seed: int) -> Examples:
        parts = [write_statements(topic, N_STATEMENTS // len(polarities), negated=n, seed=seed) for n in polarities]
        acts = statement_acts(model, [text for part in parts for text in part.texts], [layer], -2)[0]
        labels = torch.cat([part.labels for part in parts])
        return Examples(acts, sae.encode(acts), labels, [s for part in parts for s in part.subjects])

    plain, mixed = (False,), (False, True)
    tasks = [
        Task(f"{t}: true", of, examples(t, plain, 1), examples(t, (True,), 2), 'with "not"')
        for t in ("cities", "capitals", "continents", "currencies", "larger", "smaller")
    ]
    for topic, other in (("cities", "capitals"), ("continents", "currencies"), ("larger", "smaller")):
        both = examples(topic, mixed, 3), examples(other, mixed, 4)
        tasks.append(Task(f'{topic}, with and without "not": true', of, *both, f"about {other}"))
    return tasks


def _minilm_tasks(of: str, sae: SAE) -> list[Task]:
    """Words, colours and places that the SAE never saw, and who does what to whom; mean over word pieces."""
    words, colours, places, agents = load_sentiment_words(), load_colours(), load_places(), load_agent_sentences()
    unseen = [i for i, word in enumerate(words.words) if not seen_in_training(word)]
    some = torch.tensor(unseen)[torch.randperm(len(unseen), generator=torch.Generator().manual_seed(0))[:1500]]
    texts, labels = [words.words[i] for i in some], words.valence[some] > 0
    tasks = _text_tasks(of, sae, texts, {"positive word": labels}, word_stems(texts), "They called it {}.")

    rows = [i for i, colour in enumerate(colours.names) if not seen_in_training(colour)]
    red, green, blue = colours.rgb[rows].unbind(dim=1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    labels = {"reddish": red > blue, "light": luma > luma.median(), "greenish": (green > red) & (green > blue)}
    texts = [colours.names[i] for i in rows]
    tasks += _text_tasks(of, sae, texts, labels, texts, "She painted the door {}.")

    rows = [i for i, place in enumerate(places.names) if not seen_in_training(place)]
    labels = {f"in {c}": torch.tensor([places.continents[i] == c for i in rows]) for c in CONTINENTS}
    labels["in the north"] = places.latitude[rows] > 23.4
    texts = [places.names[i] for i in rows]
    tasks += _text_tasks(of, sae, texts, labels, texts, "He moved to {} last year.")

    active = [i for i, voice in enumerate(agents.voices) if voice == "active"]
    passive = [i for i, voice in enumerate(agents.voices) if voice == "passive"]
    both = [
        _encode_texts(
            of, sae, [agents.sentences[i] for i in rows], agents.labels[rows], [f"{agents.groups[i]}" for i in rows]
        )
        for rows in (active, passive)
    ]
    return [*tasks, Task("the animal does it", of, *both, "passive sentences")]


def _text_tasks(
    of: str, sae: SAE, texts: list[str], labels: Mapping[str, Tensor], groups: list[str], carrier: str
) -> list[Task]:
    plain = _encode_texts(of, sae, texts, next(iter(labels.values())), groups)
    carried = _encode_texts(of, sae, [carrier.format(text) for text in texts], plain.labels, groups)
    shift = f"in a sentence: {carrier.format('…')}"
    return [
        Task(name, of, plain._replace(labels=truth), carried._replace(labels=truth), shift)
        for name, truth in labels.items()
    ]


def _encode_texts(of: str, sae: SAE, texts: list[str], labels: Bool[Tensor, " text"], groups: list[str]) -> Examples:
    """Means over word pieces, of activations and of latents: a latent of one piece is not lost in the mean of all."""
    model, layer = load_model(of), SAES[of][1]
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    acts, latents = (torch.empty(len(texts), width) for width in (model.cfg.d_model, sae.d_sae))
    for rows in torch.tensor(order).split(128):
        tokens, attention_mask = tokenize(model, [texts[i] for i in rows])
        resid = cache_resid_post(model, tokens, attention_mask, [layer])[0]
        acts[rows], latents[rows] = pool_mean(resid, attention_mask), pool_mean(sae.encode(resid), attention_mask)
    return Examples(acts, latents, labels, groups)
