"""Board probes on all layers of othello_gpt at once, against the ways they are usually made.

All sides read the same positions of the same random games and are judged on other games: the share of squares whose
most likely state is the true one, mean over layers. rows() raises an AssertionError where a peer that solves the same
problem finds something else; the AdamW loop is timed until it first comes within MARGIN of ours.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from einops import einsum
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from tests.bench.common import Row, time_pairs
from utils.activations import cache_positions
from utils.models import TransformerBridge, load_model
from utils.othello import EMPTY, MINE, PADDING, YOURS, random_games, replay_games, start_board, token_squares
from utils.othello_probes import N_STATES, board_accuracy_by_layer, fit_board_probe
from utils.probes import LinearProbe, fit_logistic_regression_probe

N_TRAIN, N_TEST = 400, 100  # games
FIRST = 8  # positions before this move are left out: all games begin alike
MARGIN = 0.005  # of accuracy
RIDGE_L2 = 1.0
L2 = 1e-3  # logistic regression
TOLERANCE = 0.1  # of ours: held-out accuracy .002 below that of 1e-5
LR, WEIGHT_DECAY = 1e-3, 0.01  # AdamW
BATCH_GAMES = 10  # about 500 positions
PATIENCE, EVERY = 60.0, 50  # seconds after which the loop is stopped; steps between looks at its accuracy
PEER_SQUARES = [0, 9, 18, 27]  # timed with scikit-learn, on the middle layer: from the corner to the centre
PEER_STEPS = 5  # timed of the notebook


@dataclass(frozen=True)
class Positions:
    """Every position from FIRST on, of some games."""

    acts: Float[Tensor, "layer position d_model"]
    boards: Int[Tensor, "position square"]  # EMPTY, MINE, YOURS


def rows() -> list[Row]:
    """Run every comparison; one to three minutes."""
    model = load_model("othello_gpt")
    test, _ = timed(lambda: positions(model, random_games(N_TEST, seed=2)))
    train, caching = timed(lambda: positions(model, random_games(N_TRAIN, seed=1)))
    return [ridge_against_its_floor(train), *logistic_regression_against_loops(model, train, test, caching)]


def ridge_against_its_floor(train: Positions) -> Row:
    """The least that any direct solver does: X'X, X'Y, one Cholesky factorisation, of what is centred already."""
    targets = one_hot(train.boards, N_STATES).flatten(1).float()  # [position target]
    targets, centred = targets - targets.mean(dim=0), train.acts - train.acts.mean(dim=1, keepdim=True)

    def floor() -> Float[Tensor, "layer target d_model"]:
        weights = []
        for x in centred:  # [position d_model]
            gram, moment = x.T @ x, x.T @ targets
            gram.diagonal().add_(RIDGE_L2)
            weights.append(torch.cholesky_solve(moment, torch.linalg.cholesky(gram)).T)
        return torch.stack(weights)

    def ours() -> LinearProbe:
        return fit_board_probe(train.acts, train.boards, l2=RIDGE_L2)

    weight, oracle = ours().weight.flatten(1, 2), floor()
    assert (weight - oracle).abs().max() < 1e-2 * oracle.abs().max()  # the floor solves in float32
    what = f"board probes, ridge, {size(train)}, against X'X, X'Y, Cholesky"
    return time_pairs(what, ours, floor, target=1.5, n_pairs=7)


def logistic_regression_against_loops(
    model: TransformerBridge, train: Positions, test: Positions, caching: float
) -> list[Row]:
    """One fit of ours, against each of three peers. The notebook takes as many steps as the loop on cached acts."""
    probe, ours = timed(lambda: fit_logistic_board_probe(train))
    one_by_one = scikit_learn(train, test, probe)
    loop = AdamWLoop(train)
    n_steps, adamw, arrived = loop.train(train, test, goal=accuracy(probe(test.acts), test.boards) - MARGIN)
    notebook = n_steps * notebook_step(model, loop)
    name, steps = f"board probes, logistic, {size(train)}", f"{n_steps:,} steps" + ", not there yet" * (not arrived)
    peers = [
        (f"{name}, against AdamW on cached acts, {steps}", ours, adamw, 10),
        (f"{name}, against scikit-learn per square", ours, one_by_one, 100),
        (f"{name}, from games to probes, against a notebook, {steps}", caching + ours, notebook, 50),
    ]
    return [Row(what, a, target, b, b / a, at_least=True) for what, a, b, target in peers]


def fit_logistic_board_probe(train: Positions) -> LinearProbe:
    """Each state of each square against the rest; a state that never occurs (the centre is never empty) never wins."""
    labels = one_hot(train.boards, N_STATES).bool()  # [position square state]
    varies = labels.any(dim=0) & ~labels.all(dim=0)  # [square state]
    found = fit_logistic_regression_probe(train.acts, labels[:, varies], l2=L2, tolerance=TOLERANCE)
    axes = (len(train.acts), *varies.shape)
    weight, bias = torch.zeros(*axes, train.acts.shape[-1]), torch.full(axes, -1e3)
    weight[:, varies], bias[:, varies] = found.weight, found.bias
    return LinearProbe(weight=weight, bias=bias)


def scikit_learn(train: Positions, test: Positions, probe: LinearProbe) -> float:
    """Seconds of one LogisticRegression per layer and square, from PEER_SQUARES of the middle layer."""
    layer = len(train.acts) // 2
    mean, std = train.acts[layer].mean(dim=0), train.acts[layer].std(dim=0)
    x, x_test = (((part.acts[layer] - mean) / std).numpy() for part in (train, test))
    y, y_test = train.boards.numpy(), test.boards.numpy()

    def loop() -> list[LogisticRegression]:
        peer = dict(C=1 / (len(x) * L2), tol=1e-4, max_iter=10_000)
        return [LogisticRegression(**peer).fit(x, y[:, square]) for square in PEER_SQUARES]

    peers, seconds = timed(loop)
    believed = probe(test.acts)[layer].argmax(dim=-1).numpy()[:, PEER_SQUARES]  # [position square]
    guesses = believed, np.stack([peer.predict(x_test) for peer in peers], axis=1)
    scores = [(guess == y_test[:, PEER_SQUARES]).mean() for guess in guesses]
    assert scores[0] > scores[1] - MARGIN, f"layer {layer - 1}, held-out accuracy of ours and scikit-learn: {scores}"
    return seconds * len(train.acts) * y.shape[1] / len(PEER_SQUARES)


class AdamWLoop:
    """The usual loop, all layers in one parameter. Its acts are standardised: with raw ones it ends below ours."""

    def __init__(self, train: Positions) -> None:
        self.mean, self.std = train.acts.mean(dim=1, keepdim=True), train.acts.std(dim=1, keepdim=True)
        n_layers, _, d_model = train.acts.shape
        self.weight = torch.zeros(n_layers, d_model, train.boards.shape[1], N_STATES, requires_grad=True)
        self.bias = torch.zeros(n_layers, 1, train.boards.shape[1], N_STATES, requires_grad=True)
        self.optimiser = torch.optim.AdamW([self.weight, self.bias], lr=LR, weight_decay=WEIGHT_DECAY)

    def standardise(self, acts: Float[Tensor, "layer batch d_model"]) -> Float[Tensor, "layer batch d_model"]:
        return (acts - self.mean) / self.std

    def logits(self, x: Float[Tensor, "layer batch d_model"]) -> Float[Tensor, "layer batch square state"]:
        pattern = "layer batch d_model, layer d_model square state -> layer batch square state"
        return einsum(x, self.weight, pattern) + self.bias

    def step(self, x: Float[Tensor, "layer batch d_model"], boards: Int[Tensor, "batch square"]) -> None:
        logits = self.logits(x).movedim(-1, 1)  # [layer state batch square]: twice as fast as with the states last
        loss = cross_entropy(logits, boards.expand(len(x), -1, -1), reduction="sum") / len(boards)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()

    def train(self, train: Positions, test: Positions, goal: float) -> tuple[int, float, bool]:
        """Steps and seconds to the goal, looking not counted, and whether it was reached before PATIENCE was over."""
        x, x_test = self.standardise(train.acts), self.standardise(test.acts)
        batch = BATCH_GAMES * len(train.boards) // N_TRAIN
        generator = torch.Generator().manual_seed(0)
        n_steps, seconds = 0, 0.0
        while seconds < PATIENCE:
            for rows in torch.randperm(len(train.boards), generator=generator).split(batch):
                _, step_seconds = timed(lambda rows=rows: self.step(x[:, rows], train.boards[rows]))
                n_steps, seconds = n_steps + 1, seconds + step_seconds
                if n_steps % EVERY == 0:
                    with torch.no_grad():
                        if accuracy(self.logits(x_test), test.boards) >= goal:
                            return n_steps, seconds, True
        return n_steps, seconds, False


def notebook_step(model: TransformerBridge, loop: AdamWLoop) -> float:
    """Seconds of one step that begins with games: boards in plain Python, a forward pass, then the step of the loop.

    Public notebooks take 100 games and more in a step; with BATCH_GAMES it does the same as a step on cached acts.
    """
    n_layers = model.cfg.n_layers
    names = ["blocks.0.hook_resid_pre", *[f"blocks.{layer}.hook_resid_post" for layer in range(n_layers)]]
    games = random_games(PEER_STEPS * BATCH_GAMES, seed=1)

    def step(batch: Int[Tensor, "game pos"]) -> Int[Tensor, "position square"]:
        boards = [board for game in batch.tolist() for board in python_boards(game)[FIRST : batch.shape[1] - 1]]
        boards, mask = torch.tensor(boards), batch[:, :-1] != PADDING
        with torch.no_grad():
            _, cache = model.run_with_cache(batch[:, :-1], attention_mask=mask, names_filter=lambda n: n in names)
        chosen = mask & (torch.arange(mask.shape[1]) >= FIRST)  # [game pos]
        loop.step(loop.standardise(torch.stack([cache[name][chosen] for name in names])), boards)
        return boards

    boards, seconds = timed(lambda: [step(batch) for batch in games.split(BATCH_GAMES)])
    assert torch.equal(torch.cat(boards), positions(model, games).boards.long())
    return seconds / PEER_STEPS


def python_boards(game: list[int]) -> list[list[int]]:
    """Boards after every move of one game, as whoever moves next sees them; 1 is black, -1 white."""
    squares, board, player = token_squares().tolist(), [(0, 1, -1)[state] for state in start_board().tolist()], 1
    boards = []
    for token in game:
        if token == PADDING:
            break
        square = squares[token - 1]
        if not (flipped := python_flips(board, square, player)):  # had to pass
            player = -player
            flipped = python_flips(board, square, player)
        boards.append([EMPTY if disc == 0 else MINE if disc == player else YOURS for disc in board])  # before the move
        for turned in [square, *flipped]:
            board[turned] = player
        player = -player
    boards.append([EMPTY if disc == 0 else MINE if disc == player else YOURS for disc in board])
    return boards[1:]


def python_flips(board: list[int], square: int, player: int) -> list[int]:
    """The squares that a move turns; none if it is not legal."""
    flipped = []
    for down, right in [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]:
        row, column = square // 8 + down, square % 8 + right
        line = []
        while 0 <= row < 8 and 0 <= column < 8 and board[8 * row + column] == -player:
            line.append(8 * row + column)
            row, column = row + down, column + right
        if 0 <= row < 8 and 0 <= column < 8 and board[8 * row + column] == player:
            flipped += line
    return flipped


def positions(model: TransformerBridge, games: Int[Tensor, "game pos"]) -> Positions:
    """Boards and activations of all layers, 100 games at a time."""
    states, layers = replay_games(games[:, :-1]), ["embed", *range(model.cfg.n_layers)]
    chosen = states.mask & (torch.arange(states.mask.shape[1]) >= FIRST)  # [game pos]
    acts = cache_positions(model, games[:, :-1], states.mask, chosen, layers)
    return Positions(acts, states.boards[chosen].long())


def accuracy(logits: Float[Tensor, "layer position square state"], boards: Int[Tensor, "position square"]) -> float:
    return float(board_accuracy_by_layer(logits, boards)[0].mean())


def size(part: Positions) -> str:
    n_layers, n_positions, _ = part.acts.shape
    return f"{n_layers} layers x {part.boards.shape[1]} squares x {N_STATES} states, {n_positions:,} positions"


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What the work returns, and its seconds."""
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start
