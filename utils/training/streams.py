"""Activations to train and to measure SAEs on: as many as one likes, drawn anew for every batch.

stream = stream_acts(Source("othello_gpt", 4), 0)       # from batch 0 on
acts = next(stream)                                     # [BATCH d_model]
tokens, attention_mask = held_out_tokens(Source("facts_gpt_match", 2), 0, 8)   # what a loss is measured on
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.activations import cache_positions, cache_resid_post
from utils.models import UNTRAINED, TransformerBridge, load_model
from utils.othello import random_games
from utils.tokens import tokenize
from utils.training import english, facts_documents
from utils.training.othello_games import TRAINING_SEEDS

BATCH = 2048  # vectors of a step


@dataclass(frozen=True)
class Source:
    """Whose activations: a network, and one of its layers."""

    model: str
    layer: int


def stream_acts(source: Source, first: int, *, held_out: bool = False) -> Iterator[Float[Tensor, "vector d_model"]]:
    """Yield batches of BATCH vectors: a function of source and number of the batch; held-out ones are others.

    Games and documents are written anew for every batch. Sentences for MiniLM are finitely many: a batch draws some of
    them, and a long run sees them several times; held-out batches draw others.

    Raises:
        ValueError: If there is no text for this network.
    """
    model, number = load_model(source.model), first
    while True:
        if source.model.startswith("othello_gpt"):
            games = _draw_games(source, 2 * number + held_out)
            acts = cache_positions(model, games, games > 0, games > 0, [source.layer])[0]
        elif source.model.startswith("facts_gpt"):
            tokens = _draw_documents(2 * number + held_out)
            acts = cache_resid_post(model, tokens, torch.ones_like(tokens), [source.layer])[0]
            acts = acts[:, 1:].flatten(0, 1)  # without <bos>
        elif source.model.removesuffix(UNTRAINED) == "minilm":
            acts = _sentence_acts(model, source.layer, number, held_out)
        else:
            raise ValueError(
                f"model must be an othello_gpt, a facts_gpt or minilm, got {source.model!r}; there is no text for it"
            )
        order = torch.randperm(len(acts), generator=torch.Generator().manual_seed(number))
        yield acts[order[:BATCH]]
        number += 1


def held_out_tokens(
    source: Source, first: int, n_batches: int
) -> tuple[Int[Tensor, "text pos"], Int[Tensor, "text pos"]]:
    """Tokens and attention_mask of the games or documents of held-out batches, from a first one on.

    Raises:
        ValueError: If the network predicts no next token of either.
    """
    seeds = [2 * number + 1 for number in range(first, first + n_batches)]
    if source.model.startswith("othello_gpt"):
        games = torch.cat([_draw_games(source, seed) for seed in seeds])
        return games, (games > 0).long()
    if source.model.startswith("facts_gpt"):
        tokens = torch.cat([_draw_documents(seed) for seed in seeds])
        return tokens, torch.ones_like(tokens)
    raise ValueError(f"model must be an othello_gpt or a facts_gpt, got {source.model!r}, which predicts no next token")


def _draw_games(source: Source, seed: int) -> Int[Tensor, "game pos"]:
    size = 6 if "6x6" in source.model else 8
    n_moves = size**2 - 5  # the last move is only predicted
    return random_games(BATCH // n_moves + 4, size, seed=TRAINING_SEEDS // 2 + seed)[:, :-1]


def _draw_documents(seed: int) -> Int[Tensor, "document pos"]:
    n = BATCH // (facts_documents.CONTEXT - 1) + 1
    settings = facts_documents.Settings(documents=n, seed=10**6)  # no training run's seed
    first = facts_documents.RECIPES["two_stages"][1]  # step; from here on some statements are negated
    return next(facts_documents.draw_batches(settings, first + seed))[0]


def _sentence_acts(
    model: TransformerBridge, layer: int, number: int, held_out: bool
) -> Float[Tensor, "vector d_model"]:
    """Word pieces of sentences, and of names alone, without [CLS] and [SEP]."""
    generator, texts, lengths = torch.Generator().manual_seed(2 * number + held_out), [], torch.zeros(0)
    while (lengths - 2).sum() < BATCH:  # one draw is enough, as good as always
        texts += english.draw_texts(BATCH // 8, generator, held_out=held_out)
        tokens, attention_mask = tokenize(model, texts)
        lengths = attention_mask.sum(dim=1)
    lengths = lengths[: 1 + int(((lengths - 2).cumsum(dim=0) < BATCH).sum())]  # texts that are needed
    acts = []
    for rows in lengths.argsort(stable=True).split(16):  # of similar lengths: little padding
        real = attention_mask[rows, : lengths[rows].max()].bool()
        pieces = real.clone()
        pieces[:, 0] = False
        pieces[torch.arange(len(rows)), lengths[rows] - 1] = False
        acts.append(cache_positions(model, tokens[rows, : real.shape[1]], real, pieces, [layer])[0])
    return torch.cat(acts)
