"""The checks of chapter 03. They run live in the notebook, in CI on the solutions, and on submissions."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from utils.course.expect import close, describe, exercise, expect_number, expect_tensor, hint
from utils.course.student import value_and_grad
from utils.othello import (
    BLACK,
    EMPTY,
    MINE,
    WHITE,
    YOURS,
    GameStates,
    legal_moves,
    random_games,
    replay_games,
    square_name,
    to_tokens,
)
from utils.probes import LinearProbe

STATES = {EMPTY: "EMPTY", MINE: "MINE", YOURS: "YOURS"}


@cache
def games_with_passes(size: int, n_games: int, seed: int) -> GameStates:
    """Of 300 random games those whose moves stay longest out of turn, after one pass or after three."""
    states = replay_games(random_games(300, size, seed=seed), size)
    n_late = (after_passes(states.black_to_move) & states.mask).sum(dim=1)
    chosen = n_late.argsort(descending=True, stable=True)[:n_games]
    return GameStates(*(part[chosen] for part in vars(states).values()))


def after_passes(black_to_move: Tensor) -> Tensor:
    """Where the number of the move does not tell who moves next [game pos]; without passes it is white after one."""
    return black_to_move != (torch.arange(black_to_move.shape[1]) % 2 == 1)


def likely(got: float, mistakes: dict[float, str], otherwise: str, atol: float = 1e-3) -> str:
    """The mistake that gives the number that was returned, or otherwise what is true of the right one."""
    near = [(abs(got - wrong), why) for wrong, why in mistakes.items() if abs(got - wrong) < atol]
    return min(near)[1] if near else otherwise


def worst(difference: Tensor) -> list[int]:
    """Where two tensors differ most."""
    return [int(i) for i in torch.unravel_index(difference.abs().argmax(), difference.shape)]


def expect_rates(result: object, names: tuple[str, str], if_nan: str) -> tuple[float, float]:
    """Fail unless a result is two plain numbers from 0 to 1; return them."""
    assert isinstance(result, (tuple, list)) and len(result) == 2, (
        f"the result is {describe(result)}, expected two numbers: {names[0]}, {names[1]}"
    )
    for rate, name in zip(result, names, strict=True):
        assert not isinstance(rate, Tensor), f"{name} is {describe(rate)}, expected a plain number: float(...)"
        is_nan = isinstance(rate, float) and math.isnan(rate)
        assert not is_nan, f"{name} is NaN, expected a number. {if_nan}"
        number = expect_number(rate, name=name)
        assert -1e-6 <= number <= 1 + 1e-6, f"{name} is {number:.3f}, expected a share, from 0 to 1: take a mean"
    return float(result[0]), float(result[1])


# --- 3.1 legal_move_rate -----------------------------------------------------------------------------------------

RATES = ("top-1", "top-N")
NO_MOVES = "At some positions nothing is legal (the game is over), and 0 / 0 is NaN: leave them out of both means"


def ask_legal_rate(student, logits: Tensor, legal: Tensor) -> tuple[float, float]:
    with hint("`legal.sum(dim=-1)` is N [game pos], and it differs; compare ranks [token] with N[..., None]"):
        return expect_rates(student.legal_move_rate(logits, legal), RATES, NO_MOVES)


def legal_tokens(states: GameStates, size: int) -> Tensor:
    """Which tokens are legal next [game pos token], padding never."""
    return to_tokens(states.legal, size)


@exercise("legal_move_rate")
def test_returns_two_shares(student, generator):
    for shape in ((2, 5, 61), (3, 4, 33)):  # the 8x8 and the 6x6 board
        legal = torch.rand(shape, generator=generator) < 0.2
        legal[..., 0], legal[:, -1] = False, False
        ask_legal_rate(student, torch.randn(shape, generator=generator), legal)


@exercise("legal_move_rate", points=2)
def test_counts_the_legal_ones_among_the_most_likely(student):
    """Six positions with their tokens in order, the most likely first, and the set of legal ones."""
    ranked = [
        ([1, 3, 5, 6, 0, 2, 4], {1, 4}),
        ([1, 2, 0, 6, 4, 5, 3], {1, 2, 3}),
        ([4, 2, 5, 6, 3, 1, 0], {4}),
        ([0, 5, 4, 6, 1, 2, 3], {5}),
        ([5, 6, 3, 1, 2, 0, 4], {1, 2, 4, 5}),
        ([5, 3, 2, 6, 1, 4, 0], {2, 3}),
    ]
    logits, legal = torch.zeros(6, 7), torch.zeros(6, 7, dtype=torch.bool)
    for row, (order, moves) in enumerate(ranked):
        logits[row, order] = torch.tensor([4.0, 3, 1.5, 1, 0, -2, -3]) - row  # another level at every position
        legal[row, list(moves)] = True
    got = ask_legal_rate(student, logits.view(2, 3, 7), legal.view(2, 3, 7))

    def mean(score: Callable[[list[int], set[int]], float], drop: int = 0, shift: int = 0) -> float:
        """Over positions; `drop` leaves padding out, `shift` takes each token for another one."""
        orders = [([t - shift for t in order if t or not drop], moves) for order, moves in ranked]
        return sum(score(order, moves) for order, moves in orders) / len(orders)

    def of_first(order: list[int], moves: set[int]) -> float:
        return float(order[0] in moves)

    def of_top(order: list[int], moves: set[int], n: int = 0) -> float:
        n = n or len(moves)
        return len(moves & set(order[:n])) / n

    mass = float((logits.softmax(dim=-1) * legal).sum(dim=-1).mean())
    by_shape = {
        "Padding is left out: where it is the most likely token, the favourite is not legal": {"drop": 1},
        "Padding is left out of the logits alone, and every token is taken for its neighbour": {"drop": 1, "shift": 1},
    }
    first = {mean(of_first, **shape): why for why, shape in by_shape.items()}
    first |= {
        mean(lambda order, moves: of_first(order[::-1], moves)): "The least likely token was taken: sort descending",
        mean(of_top): "This is top-N: the first of the two numbers is top-1",
        mass: "This is the probability of the legal moves together: look at the one most likely token",
        1 - mean(of_first): "This is the share of illegal ones",
    }
    top = {mean(of_top, **shape): why for why, shape in by_shape.items()}
    for n in (2, 3, 4):
        why = f"N is always {n}: it is the number of legal moves at each position"
        top |= {mean(lambda o, m, n=n: of_top(o, m, n)): why}
        top |= {mean(lambda o, m, n=n: len(m & set(o[:n])) / len(m)): why}
    top |= {
        mean(of_first): "This is top-1: look at as many tokens as moves are legal",
        mean(lambda order, moves: of_top(order[::-1], moves)): "The least likely tokens were taken: sort descending",
        mean(lambda order, moves: of_top(order, moves) == 1): "Only positions with all N legal count: take the share",
        mean(lambda order, moves: of_top(order, moves) > 0): "One legal token among N was enough: take the share",
        mean(lambda o, m: len(m & set(o[: len(m)]))): "This is a number of tokens: divide by N at each position",
        sum(len(m & set(o[: len(m)])) for o, m in ranked) / sum(len(m) for _, m in ranked): (
            "All tokens are pooled, so that positions with many legal moves weigh more: take the share at each "
            "position, then the mean"
        ),
        mean(lambda o, m: of_top(o, m, len(m) + 1)): "One token too many was looked at: ranks below N",
        mean(lambda o, m: len(m & set(o[: len(m) + 1])) / len(m)): "One token too many was looked at: ranks below N",
        mean(lambda o, m: len(m & set(o[: len(m) - 1])) / len(m)): "One token too few was looked at: ranks below N",
        mass: "This is the probability of the legal moves together: look at the N most likely tokens",
        1 - mean(of_top): "This is the share of illegal ones",
        mean(lambda o, m: len(m & set(range(len(m)))) / len(m)): "Numbers of tokens were compared with N: after gather "
        "the place is the rank, so compare torch.arange(n_tokens) with N",
    }
    otherwise = (
        "Sort the tokens of each position (the last axis) by their logits, and see which of them are legal at this "
        "position: legal.gather(-1, order)",
        "At each position, N is the number of legal moves; how many of the N most likely tokens are legal?",
    )
    expected = mean(of_first), mean(of_top)  # 4 of 6, and (1/2 + 2/3 + 1 + 0 + 1/2 + 1/2) / 6
    for name, rate, right, mistakes, other in zip(RATES, got, expected, (first, top), otherwise, strict=True):
        mistakes.pop(right, None)
        assert abs(rate - right) < 1e-4, (
            f"six positions with 1 to 4 legal moves: {name} is {rate:.3f}, expected {right:.3f}. "
            f"{likely(rate, mistakes, other, 1e-4)}"
        )


@exercise("legal_move_rate", points=1)
def test_every_position_of_real_games_counts_once(student, generator, seed):
    """Games cut off after 3 to 32 moves, with known numbers of legal tokens among the N most likely."""
    legal = legal_tokens(games_with_passes(6, 8, seed), 6)
    last = torch.tensor([3, 6, 9, 12, 32, 32, 32, 32])
    legal &= (torch.arange(32) < last[:, None])[:, :, None]  # the rest of the game is not there
    n_legal, logits = legal.sum(dim=-1), torch.rand(legal.shape, generator=generator)
    favourite, n_right = torch.zeros(8, 32), torch.zeros(8, 32)
    for game, pos in n_legal.nonzero().tolist():
        right, wrong = legal[game, pos].nonzero()[:, 0], (~legal[game, pos]).nonzero()[:, 0]
        n, n_wrong = len(right), len(wrong)
        r = n if game < 4 else int(torch.randint(n + 1, (), generator=generator))  # short games are played well
        order = torch.randperm(n_wrong, generator=generator)
        chosen = torch.cat([right[torch.randperm(n, generator=generator)[:r]], wrong[order[: n - r]]])
        first = chosen[torch.randint(n, (), generator=generator)]
        logits[game, pos, chosen] += 1
        logits[game, pos, first] += 1
        favourite[game, pos], n_right[game, pos] = float(legal[game, pos, first]), r
    got = ask_legal_rate(student, logits, legal)
    counted, share = n_legal > 0, n_right / n_legal.clamp(min=1)
    n = int(counted.sum())
    for name, rate, score in zip(RATES, got, (favourite, share), strict=True):
        expected = float(score.sum()) / n
        mistakes = {
            float(score.mean()): "Positions where the game is over are counted as wrong: leave them out",
            float((score.sum() + (~counted).sum()) / counted.numel()): (
                "Positions where the game is over are counted as right: leave them out"
            ),
            float((score.sum(dim=1) / counted.sum(dim=1)).mean()): (
                "This is the mean of a mean for each game: every position counts the same, in short games too"
            ),
            float((score.sum(dim=0) / counted.sum(dim=0).clamp(min=1)).mean()): (
                "This is the mean of a mean for each move: every position counts the same"
            ),
            float(n_right.sum() / n_legal.sum()): (
                "All tokens are pooled: take the share at each position, then the mean over positions"
            ),
        }
        what = "is the most likely token legal?" if name == "top-1" else "how many of the N most likely tokens are?"
        otherwise = f"At each position where something is legal, {what} Then the mean over all of them, of all games"
        why = likely(rate, mistakes, otherwise)
        assert abs(rate - expected) < 1e-4, (
            f"eight games of 3 to 32 moves, {n} positions that go on: {name} is {rate:.3f}, expected {expected:.3f}. "
            f"{why}"
        )


@exercise("legal_move_rate", points=1)
def test_what_comes_after_the_end_does_not_matter(student, generator, seed):
    legal = legal_tokens(games_with_passes(6, 8, seed), 6)[:, :20]
    logits = torch.randn(legal.shape, generator=generator) + 2 * legal
    got = ask_legal_rate(student, logits, legal)
    longer = torch.cat([logits, 9 * torch.randn(8, 10, 33, generator=generator)], dim=1)
    over = torch.cat([legal, torch.zeros(8, 10, 33, dtype=torch.bool)], dim=1)
    padded = ask_legal_rate(student, longer, over)
    for name, before, after in zip(RATES, got, padded, strict=True):
        why = "Leave positions out where nothing is legal"
        if abs(after - before * 2 / 3) < 1e-4:
            why = f"They are counted as wrong: {why[0].lower()}{why[1:]}"
        assert abs(before - after) < 1e-5, (
            f"ten positions are added to every game in which it is over: {name} goes from {before:.3f} to {after:.3f}, "
            f"expected no change. {why}"
        )


@exercise("legal_move_rate", points=1)
def test_knowing_the_rules_makes_the_difference(student, generator, seed):
    """A control that must not succeed: logits that know nothing. And a perfect player, with logits of any size."""
    legal = legal_tokens(games_with_passes(8, 40, seed), 8)
    noise = torch.randn(legal.shape, generator=generator)
    perfect = ask_legal_rate(student, noise * 0.01 + 0.2 * legal, legal)
    for name, rate in zip(RATES, perfect, strict=True):
        assert abs(rate - 1) < 1e-5, (
            f"every legal move is more likely than every illegal one: {name} is {rate:.3f}, expected 1. Only the order "
            "of the logits matters, not how far apart they are; and positions where nothing is legal do not count"
        )
    n_legal = legal.sum(dim=-1)
    chance = float(n_legal[n_legal > 0].float().mean()) / 61
    blind = ask_legal_rate(student, noise, legal)
    for name, rate in zip(RATES, blind, strict=True):
        assert abs(rate - chance) < 0.05, (  # standard deviation 0.007 with 2,300 positions
            f"logits drawn by lot: {name} is {rate:.3f}, expected about {chance:.2f}, the share of legal tokens. Rank "
            "all tokens by their logits, before you look at `legal`"
        )


# --- 3.2 fit_board_probe -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Boards:
    """Acts that are the sum of a vector for each square and state, far from the origin, with a little noise."""

    acts: Tensor  # [position d_model]
    boards: Tensor  # [position square], int8 as from replay_games


def draw_boards(generator, n: int = 300, n_squares: int = 9, d_model: int = 30) -> Boards:
    """Square 0 is seldom EMPTY, the last one seldom anything else."""
    shares = torch.linspace(0.1, 0.8, n_squares)
    drawn = torch.rand(n, n_squares, generator=generator)
    boards = torch.where(drawn < shares, EMPTY, torch.where(drawn < (1 + 2 * shares) / 3, MINE, YOURS)).to(torch.int8)
    vectors = torch.randn(n_squares, 3, d_model, generator=generator)  # of every square and state
    acts = vectors[torch.arange(n_squares), boards.long()].sum(dim=1)
    offset = 4 * torch.randn(d_model, generator=generator)
    return Boards(acts + 0.1 * torch.randn(n, d_model, generator=generator) + offset, boards)


def ask_board_probe(student, acts: Tensor, boards: Tensor, l2: float) -> LinearProbe:
    """The probe, of the right shape."""
    with hint("one_hot(boards.long(), 3) is [position square 3]; flatten(1) makes all squares targets of one solve"):
        probe = student.fit_board_probe(acts, boards, l2)
    assert isinstance(probe, LinearProbe), (
        f"the result is {describe(probe)}, expected LinearProbe(weight=..., bias=...)"
    )
    n_squares, d_model = boards.shape[1], acts.shape[1]
    wanted, got = (n_squares, 3, d_model), tuple(probe.weight.shape)
    wrong = {
        (n_squares, d_model): "There is one number for each square: is it a regression on 0, 1, 2? Each state has a "
        "target of its own, 1 where the square is in this state and 0 elsewhere",
        (n_squares * 3, d_model): "Squares and states are still one axis: weight.unflatten(0, (-1, 3))",
        (n_squares, 2, d_model): "There are two states: the largest one does not occur here. Say that there are three: "
        "one_hot(..., 3)",
        (3, n_squares, d_model): "The axes are in another order: squares first, then states",
        (n_squares, d_model, 3): "The axes are in another order: the weight's last one is d_model",
        (d_model, n_squares, 3): "The axes are in another order: transpose the solution before unflatten",
    }
    if probe.weight.numel() == n_squares * 2 * d_model and got[-1:] == (d_model,):
        wrong[got] = wrong[n_squares, 2, d_model]
    why = f". {wrong[got]}" if got != wanted and got in wrong else ""
    assert not why, f"weight has shape {got}, expected [square state d_model] {wanted}{why}"
    expect_tensor(probe.weight, "square state d_model", wanted, name="weight")
    expect_tensor(probe.bias, "square state", (n_squares, 3), name="bias")
    return probe


@exercise("fit_board_probe")
def test_returns_a_direction_for_every_square_and_state(student, generator):
    first, second = draw_boards(generator), draw_boards(generator, 20, 16, 40)  # fewer positions than dimensions, too
    ask_board_probe(student, first.acts, first.boards, 1.0)
    ask_board_probe(student, second.acts, second.boards.long(), 1.0)


@exercise("fit_board_probe", points=2)
def test_reads_boards_that_it_has_not_seen(student, generator):
    planted = draw_boards(generator, n=500)
    probe = ask_board_probe(student, planted.acts[:300], planted.boards[:300], 0.1)
    believed, truth = probe(planted.acts[300:]).argmax(dim=-1), planted.boards[300:]
    accuracy = float((believed == truth).float().mean())
    why = "Is the target 1 where a square is in a state, and 0 elsewhere? Does the bias carry the means?"
    for order in itertools.permutations(range(3)):
        if float((torch.tensor(order)[believed] == truth).float().mean()) > 0.99:
            why = f"The states are in another order: expected {', '.join(f'{n} {s}' for s, n in STATES.items())}"
    targets = torch.arange(27)
    for order in (targets.view(9, 3).T.flatten().argsort(), targets.view(3, 9).T.flatten().argsort()):
        unmixed = (planted.acts[300:] @ probe.weight.flatten(0, 1).T + probe.bias.flatten())[:, order]
        if float((unmixed.unflatten(1, (9, 3)).argmax(dim=-1) == truth).float().mean()) > 0.99:
            why = "Squares and states are mixed up: before unflatten, the three states of a square stand side by side"
    turned = planted.acts[300:] @ probe.weight.reshape(30, 27) + probe.bias.flatten()
    if float((turned.unflatten(1, (9, 3)).argmax(dim=-1) == truth).float().mean()) > 0.99:
        why = "The solution is [d_model square*state], and was only reshaped: transpose it first, with .T"
    assert accuracy > 0.98, (  # 1.00 with seeds 0 to 19
        "planted boards, with a vector for every square and state: the most likely state is right for "
        f"{accuracy:.2f} of the squares of new positions, expected > 0.98. {why}"
    )


@exercise("fit_board_probe", points=2)
def test_the_penalty_shrinks_by_the_right_amount(student):
    """Two squares, MINE or YOURS, and a unit of -2 or 2 for each: the weights are 40 / (160 + l2), or minus that."""
    signs = torch.tensor([[-2.0, -2], [-2, 2], [2, -2], [2, 2]]).repeat(10, 1)  # [position square], n = 40
    boards = torch.where(signs < 0, MINE, YOURS).to(torch.int8)
    for l2 in (10.0, 120.0):
        weight = ask_board_probe(student, signs, boards, l2).weight
        mistakes = {
            40 / 160: "l2 has no effect",
            1 / (4 + l2): "Sums of squares are divided by the number of positions: l2 stands beside the sums",
            40 / (4 + l2): "The sum of squares is divided by the number of positions: l2 stands beside the sum",
            40 / (160 + l2) / 20: "The targets are divided by how often a state occurs: they are 0 and 1",
            2 * 40 / (160 + l2): "The targets are -1 and 1: expected 0 and 1",
            20 / (40 + l2) / 2: "The acts are scaled to a spread of 1: they are only centred",
            9.75 / (39 + l2): "The acts are scaled to a spread of 1: they are only centred",
            40 / (160 + l2 - l2**2 / (160 + l2)): "l2 was added to all entries: it belongs on the diagonal only, as "
            "l2 * torch.eye(d_model)",
            40 / (160 + 40 * l2): "l2 is multiplied by the number of positions: it is added as it is",
            40 / (160 + l2 / 40): "l2 is divided by the number of positions: it is added as it is",
            40 / (160 + l2 / 2): "Half of l2 arrived",
            40 / (160 + 2 * l2): "Twice l2 arrived",
            40 / (160 + l2**2): "l2 is squared",
            40 / (160 + l2**0.5): "The root of l2 arrived",
            40 / (160 + 6 * l2): "l2 is multiplied by the number of targets",
            40 / (160 + 3 * l2): "Three times l2 arrived",
            40 / (160 + 1): "l2 is always 1",
        }
        got, expected = float(weight[0, YOURS, 0]), 40 / (160 + l2)
        case = f"40 positions in which unit 0 is -2 where square 0 is MINE and 2 where it is YOURS, and l2 = {l2:g}"
        why = "Solve (acts' @ acts + l2 * identity) weight = acts' @ targets, with centred acts and targets"
        if abs(got + expected) < 1e-3:
            why = "The sign is turned round: are MINE and YOURS swapped?"
        assert abs(got - expected) < 1e-4, (
            f"{case}: the weight of YOURS is {got:.3f}, expected {expected:.3f}. {likely(got, mistakes, why, 1e-4)}"
        )
        planted = torch.zeros(2, 3, 2)
        for square in (0, 1):
            planted[square, MINE, square], planted[square, YOURS, square] = -expected, expected
        square, state, unit = worst(weight - planted)
        assert close(weight, planted, atol=1e-4), (
            f"{case}: the weight of square {square}, {STATES[state]}, unit {unit} is "
            f"{float(weight[square, state, unit]):.3f}, expected {float(planted[square, state, unit]):.3f}. Do all "
            "squares and states get the same l2? Is l2 on the diagonal only?"
        )


@exercise("fit_board_probe", points=1)
def test_the_bias_is_free(student, generator):
    """An offset of the acts changes no logit; with an enormous penalty every logit is how often its state occurs."""
    planted = draw_boards(generator)
    offset = torch.linspace(-20, 20, 30)
    near, far = (ask_board_probe(student, acts, planted.boards, 30.0) for acts in (planted.acts, planted.acts + offset))
    moved = float((near(planted.acts) - far(planted.acts + offset)).abs().max())
    assert moved < 5e-3, (  # float32: 1e-5
        f"the same vector is added to all acts, in the fit as afterwards: logits change by up to {moved:.2g}, expected "
        "no change. Centre the acts (each dimension) and the targets, and let the bias carry the means, without a "
        "penalty: mean(targets) - weight @ mean(acts)"
    )
    probe = ask_board_probe(student, planted.acts, planted.boards, 1e9)
    shares = torch.stack([(planted.boards == state).float().mean(dim=0) for state in STATES], dim=1)
    logits = probe(planted.acts).mean(dim=0)  # [square state]
    square, state = worst(logits - shares)
    got, expected = float(logits[square, state]), float(shares[square, state])
    why = "The penalty must not touch the bias" if abs(got) < 0.02 else "Does l2 reach the weight, and only the weight?"
    assert close(logits, shares, atol=2e-3), (
        f"with l2 = 1e9 the weight is 0 and only the bias is left: square {square} is {STATES[state]} in "
        f"{expected:.2f} of the positions, and its logit is {got:.2f}, expected the same. {why}"
    )


@exercise("fit_board_probe", points=1)
def test_a_state_that_never_occurs_keeps_its_place(student, generator):
    """Square 0 is never EMPTY, as in the centre; square 1 never MINE; no square is ever YOURS in the second board."""
    planted = draw_boards(generator)
    boards = planted.boards.clone()
    boards[:, 0] = torch.where(boards[:, 0] == EMPTY, MINE, boards[:, 0])
    boards[:, 1] = torch.where(boards[:, 1] == MINE, EMPTY, boards[:, 1])
    without = torch.where(boards == YOURS, EMPTY, boards)
    cases = ((boards, 0, EMPTY), (boards, 1, MINE), (without, 4, YOURS))
    for given, square, state in cases:
        probe = ask_board_probe(student, planted.acts, given.to(torch.int8), 1.0)
        largest = float(probe(planted.acts)[:, square, state].abs().max())
        assert largest < 0.01, (
            f"square {square} is never {STATES[state]}, so that its target is 0 everywhere: the logit is up to "
            f"{largest:.2f}, expected 0. Has every square the three states 0, 1, 2, in this order, whatever occurs?"
        )


@exercise("fit_board_probe", points=1)
def test_every_square_is_fitted_on_its_own(student, generator):
    """Alone or together with others, in this order or another one."""
    planted = draw_boards(generator)
    together = ask_board_probe(student, planted.acts, planted.boards, 30.0)
    for squares in ([4], [8, 0, 5]):
        alone = ask_board_probe(student, planted.acts, planted.boards[:, squares], 30.0)
        difference = float((together.weight[squares] - alone.weight).abs().max())
        assert difference < 1e-3, (
            f"square {squares[0]} has another weight with all others than {'alone' if squares == [4] else 'with two'}: "
            f"up to {difference:.2g} apart, expected no difference. Each square has three targets of its own"
        )


# --- 3.3 board_accuracy_by_layer ---------------------------------------------------------------------------------


def logits_for(believed: Tensor, generator) -> Tensor:
    """Logits [... square state] whose most likely state is the believed one, by 0.05 at least, around any level."""
    level = torch.randn(believed.shape, generator=generator)[..., None]
    return (
        torch.nn.functional.one_hot(believed, 3) * 0.15
        + 0.1 * torch.rand((*believed.shape, 3), generator=generator)
        + level
    )


def ask_accuracy(student, logits: Tensor, boards: Tensor) -> tuple[Tensor, Tensor]:
    """Of all squares, of occupied ones: [layer] each."""
    with hint("logits.argmax(dim=-1) == boards is [layer position square]; boards != EMPTY is [position square]"):
        result = student.board_accuracy_by_layer(logits, boards)
    assert isinstance(result, (tuple, list)) and len(result) == 2, (
        f"the result is {describe(result)}, expected two tensors [layer]: of all squares, of occupied ones"
    )
    for part, name in zip(result, ("the accuracy on all squares", "the accuracy on occupied squares"), strict=True):
        if isinstance(part, Tensor) and part.isnan().any():
            raise AssertionError(
                f"{name} holds NaN: is a mean taken over no squares? Squares are occupied on the true board, whatever "
                "is believed"
            )
        expect_tensor(part, "layer", (len(logits),), name=name)
    return result[0], result[1]


@exercise("board_accuracy_by_layer")
def test_returns_two_numbers_for_each_layer(student, generator):
    for n_layers, n, n_squares, dtype in ((3, 7, 64, torch.int8), (1, 2, 36, torch.int64)):
        boards = torch.randint(3, (n, n_squares), generator=generator).to(dtype)
        ask_accuracy(student, torch.randn(n_layers, n, n_squares, 3, generator=generator), boards)


@exercise("board_accuracy_by_layer", points=2)
def test_counts_squares_with_the_right_state(student, generator, seed):
    """Real boards, early and late, and three layers with known mistakes, most of them on late boards."""
    boards = games_with_passes(6, 6, seed).boards[:, 3:32:4].flatten(0, 1)  # [position square]
    occupied = boards != EMPTY
    n_discs = occupied.sum(dim=1)
    believed = boards.long().repeat(3, 1, 1)
    chance = torch.rand(believed.shape, generator=generator)
    by_disc = torch.tensor([0.1, 0.5, 0.9])[:, None, None] * (n_discs / 36)[:, None]  # [layer position square]
    by_empty = torch.tensor([0.3, 0.2, 0.1])[:, None, None]
    wrong = chance < torch.where(occupied, by_disc, by_empty)
    believed[wrong] = (believed[wrong] + torch.randint(1, 3, believed.shape, generator=generator)[wrong]) % 3
    logits = logits_for(believed, generator)
    of_all, of_occupied = ask_accuracy(student, logits, boards)
    for layer in range(3):
        right = ~wrong[layer]
        all_of_them, discs = float(right.float().mean()), float(right[occupied].float().mean())
        empty = float(right[~occupied].float().mean())
        mistakes = {
            discs: "This is the accuracy on occupied squares: the first result is that on all",
            empty: "This is the accuracy on empty squares: take all",
            1 - all_of_them: "This is the share of wrong squares",
            float(right.all(dim=1).float().mean()): "Only boards with all squares right count: count squares",
        }
        got = float(of_all[layer])
        why = likely(got, mistakes, "Compare the argmax over the last axis with the board, square by square")
        assert abs(got - all_of_them) < 1e-4, (
            f"layer {layer}, all squares: {got:.3f}, expected {all_of_them:.3f}. {why}"
        )
        thought, forced = believed[layer] != EMPTY, logits[layer, ..., 1:].argmax(dim=-1) + 1
        mistakes = {
            all_of_them: "This is the accuracy on all squares: leave the empty ones out",
            empty: "This is the accuracy on empty squares: take the occupied ones",
            float(right[thought].float().mean()): "These are squares that are believed to be occupied: go by the true "
            "board, or a disc that is overlooked does not count",
            float(right[thought & occupied].float().mean()): "Discs that are believed to be EMPTY are left out: they "
            "are mistakes",
            float((right & occupied).float().mean()): "Divided by all squares: divide by the occupied ones",
            float(((right & occupied).sum(dim=1) / n_discs).mean()): "This is the mean of a mean for each board, in "
            "which early boards with their few discs weigh more: take the mean over all occupied squares at once",
            float((thought == occupied)[occupied].float().mean()): "MINE taken for YOURS counts as right: compare the "
            "states, not whether there is a disc",
            1 - discs: "This is the share of wrong squares",
            float(right[boards == MINE].float().mean()): "Only MINE counts as occupied: YOURS is occupied too",
            float(right[boards == YOURS].float().mean()): "Only YOURS counts as occupied: MINE is occupied too",
            float(((right & occupied).sum(dim=0) / occupied.sum(dim=0)).nanmean()): "This is the mean of a mean for "
            "each square: take the mean over all occupied squares at once",
            float(
                (forced == boards)[occupied].float().mean()
            ): "Only MINE and YOURS were compared: a disc that is believed to be EMPTY is a mistake",
        }
        mistakes.pop(discs, None)
        got = float(of_occupied[layer])
        why = likely(got, mistakes, "Of all squares where the board is not EMPTY, how many are right?")
        assert abs(got - discs) < 1e-4, (
            f"layer {layer}, occupied squares of early and late boards: {got:.3f}, expected {discs:.3f}. {why}"
        )


@exercise("board_accuracy_by_layer", points=1)
def test_only_the_most_likely_state_matters(student, generator):
    """The same beliefs, with logits of any size and sign."""
    boards = torch.randint(3, (20, 16), generator=generator).to(torch.int8)
    believed = torch.where(torch.rand(2, 20, 16, generator=generator) < 0.3, 1, boards.long())
    plain = torch.nn.functional.one_hot(believed, 3).float()
    expected = ask_accuracy(student, plain, boards)
    for change, words in ((plain * 0.1 + 0.2, "all below 0.5"), (plain + 3, "all above 0.5"), (plain - 9, "negative")):
        got = ask_accuracy(student, change, boards)
        for part, before, name in zip(got, expected, ("all", "occupied"), strict=True):
            assert close(part, before), (
                f"the same most likely states, but logits that are {words}: accuracies on {name} squares go from "
                f"{listed(before)} to {listed(part)}, expected no change. Take the argmax, no threshold"
            )


def listed(values: Tensor) -> list[float]:
    return [round(value, 3) + 0.0 for value in values.tolist()]


@exercise("board_accuracy_by_layer", points=1)
def test_saying_empty_everywhere_knows_no_disc(student, generator, seed):
    """A control that must not succeed: it is right on every empty square. The other layer is right on discs alone."""
    boards = games_with_passes(6, 6, seed).boards[:, 8]  # [6 36]
    empty = float((boards == EMPTY).float().mean())
    opposite = torch.where(boards == EMPTY, torch.randint(1, 3, boards.shape, generator=generator), boards.long())
    believed = torch.stack([torch.zeros_like(opposite), opposite])
    of_all, of_occupied = ask_accuracy(student, logits_for(believed, generator), boards)
    for layer, who, expected in ((0, "says EMPTY everywhere", (empty, 0)), (1, "never says EMPTY", (1 - empty, 1))):
        for got, right, name in zip((of_all, of_occupied), expected, ("all", "occupied"), strict=True):
            why = "Is every square counted, whatever is believed there?"
            if name == "occupied":
                why = "A square is occupied if it is so on the true board, whatever is believed"
            assert abs(float(got[layer]) - right) < 1e-4, (
                f"a probe that {who} is right for {float(got[layer]):.3f} of {name} squares, expected {right:.3f}. "
                f"{why}"
            )


@exercise("board_accuracy_by_layer", points=1)
def test_every_layer_is_scored_on_its_own(student, generator):
    """As many layers as positions and squares: no axis can be taken for another by its length."""
    boards = torch.tensor([[0, 1, 2], [1, 1, 0], [2, 0, 2]])
    logits = torch.randn(3, 3, 3, 3, generator=generator)
    logits[1] += 9 * torch.nn.functional.one_hot(boards, 3)
    of_all, of_occupied = ask_accuracy(student, logits, boards)
    assert abs(float(of_all[1]) - 1) < 1e-5 and abs(float(of_occupied[1]) - 1) < 1e-5, (
        f"layer 1 of three is right everywhere: got {listed(of_all)} on all squares and {listed(of_occupied)} on "
        "occupied ones, expected 1 at the second place of both. The argmax is over states, the last axis; the means "
        "are over positions and squares"
    )
    for layer in range(3):
        alone = ask_accuracy(student, logits[[layer]], boards)
        for part, one, name in zip((of_all, of_occupied), alone, ("all", "occupied"), strict=True):
            assert abs(float(part[layer] - one[0])) < 1e-5, (
                f"layer {layer} is right for {float(one[0]):.3f} of {name} squares alone, and for "
                f"{float(part[layer]):.3f} together with two other layers, expected the same. Which axes are averaged?"
            )


# --- 3.4 to_mine_yours -------------------------------------------------------------------------------------------


def seen_by_an_onlooker(states: GameStates) -> Tensor:
    """Boards in EMPTY, BLACK, WHITE [game pos square]."""
    is_black = (states.boards == MINE) == states.black_to_move[..., None]  # where there is a disc
    colours = torch.where(is_black, BLACK, WHITE)
    return torch.where(states.boards == EMPTY, EMPTY, colours).to(torch.int8)


def ask_mine_yours(student, boards: Tensor, black_to_move: Tensor) -> Tensor:
    with hint("black_to_move[..., None] is [game pos 1] and goes with boards [game pos square]"):
        result = student.to_mine_yours(boards, black_to_move)
    if isinstance(result, Tensor) and result.dtype != boards.dtype and result.shape == boards.shape:
        raise AssertionError(
            f"the result has dtype {result.dtype}, expected {boards.dtype} as the boards: end with .to(boards.dtype)"
        )
    expect_tensor(result, "game pos square", boards.shape, dtype=boards.dtype)
    strange = sorted({int(state) for state in result.unique()} - set(STATES))
    assert not strange, (
        f"the result holds {strange[:3]}, expected the states EMPTY, MINE, YOURS: 0, 1, 2. EMPTY "
        "stays 0 whoever moves next, and 1 and 2 change places"
    )
    return result


@exercise("to_mine_yours")
def test_returns_states_in_the_type_of_the_boards(student, generator):
    for shape, dtype in (((3, 5, 64), torch.int8), ((2, 4, 36), torch.int64)):
        boards = torch.randint(3, shape, generator=generator).to(dtype)
        ask_mine_yours(student, boards, torch.rand(shape[:2], generator=generator) < 0.5)


@exercise("to_mine_yours", points=2)
def test_the_colour_that_moves_next_is_mine(student):
    boards = torch.tensor([
        [[0, 1, 2, 1, 0], [1, 1, 2, 0, 2], [1, 2, 2, 0, 1]],
        [[2, 2, 0, 1, 1], [0, 0, 1, 2, 2], [0, 1, 1, 2, 1]],
        [[1, 0, 2, 2, 0], [2, 1, 0, 1, 1], [0, 2, 1, 0, 2]],
    ])  # fmt: skip
    black = torch.tensor([[True, False, False], [False, True, True], [False, False, True]])
    expected = torch.tensor([
        [[0, 1, 2, 1, 0], [2, 2, 1, 0, 1], [2, 1, 1, 0, 2]],
        [[1, 1, 0, 2, 2], [0, 0, 1, 2, 2], [0, 1, 1, 2, 1]],
        [[2, 0, 1, 1, 0], [1, 2, 0, 2, 2], [0, 2, 1, 0, 2]],
    ])  # fmt: skip
    got = ask_mine_yours(student, boards.to(torch.int8), black).long()
    exchanged = torch.tensor([0, 2, 1])

    def by(turn: Tensor) -> Tensor:
        return torch.where(turn[..., None], boards, exchanged[boards])

    odd, white = torch.arange(3) % 2 == 1, ~black[..., None]
    slices = "Go by `black_to_move`, not by a slice such as [::2]"
    mistakes = [
        (by(odd.expand_as(black)), f"It is decided by the number of the move. {slices}"),
        (by(~odd.expand_as(black)), f"It is decided by the number of the move. {slices}"),
        (by(odd[:, None].expand_as(black)), f"It is decided by the number of the game. {slices}"),
        (by(~odd[:, None].expand_as(black)), f"It is decided by the number of the game. {slices}"),
        (torch.where(white & (boards == 2), 1, boards), "The second exchange undid the first: do both at once"),
        (torch.where(white & (boards == 1), 2, boards), "The second exchange undid the first: do both at once"),
        (by(black[:, :1].expand_as(black)), "All boards of a game go by its first entry in `black_to_move`"),
        (
            by(black.roll(1, dims=1)),
            "Each board goes by the entry before its own: by who has moved, not by who moves next",
        ),
        (by(black.roll(-1, dims=1)), "Each board goes by the entry after its own"),
        (exchanged[expected], "MINE and YOURS are the wrong way round: the discs of whoever moves next are MINE"),
        (boards, "Nothing is exchanged: where white moves next, WHITE is MINE and BLACK is YOURS"),
        (exchanged[boards], "Every board is exchanged: where black moves next, BLACK is MINE already"),
    ]
    why = next((why for wrong, why in mistakes if torch.equal(got, wrong)), "")
    for game, pos in itertools.product(range(3), repeat=2):
        mine, right, colours = (part[game, pos].tolist() for part in (got, expected, boards))
        moved = sum(g != r for g, r in zip(mine, right, strict=True) if r == EMPTY)
        other = "EMPTY stays EMPTY" if moved else "MINE is 1 and YOURS is 2, as BLACK and WHITE are"
        assert mine == right, (
            f"{'black' if black[game, pos] else 'white'} moves next, and the squares are {colours} (BLACK 1, WHITE 2): "
            f"got {mine}, expected {right} (MINE 1, YOURS 2). {why or other}"
        )


@exercise("to_mine_yours", points=2)
def test_goes_on_after_a_pass(student, seed):
    """Real games in which somebody has to pass, and moves are out of turn until the next pass."""
    for size in (8, 6):
        states = games_with_passes(size, 6, seed)
        got = ask_mine_yours(student, seen_by_an_onlooker(states), states.black_to_move)
        wrong = (got != states.boards).any(dim=-1) & states.mask  # [game pos]
        late = after_passes(states.black_to_move) & states.mask
        if not wrong.any():
            continue
        game, pos = (int(i) for i in wrong.nonzero()[0])
        square = int((got[game, pos] != states.boards[game, pos]).nonzero()[0])
        who = "black" if states.black_to_move[game, pos] else "white"
        why = f"`black_to_move` says {states.black_to_move[game, pos]} there"
        for shift, whose in ((1, "before its own: by who has moved, not by who moves next"), (-1, "after its own")):
            differs = states.black_to_move.roll(shift, dims=1) != states.black_to_move
            if torch.equal(wrong[:, 1:-1], (differs & states.mask)[:, 1:-1]):
                why = f"Each board goes by the entry of `black_to_move` {whose}"
        if torch.equal(wrong, late):
            why = (
                "All of these come after a pass, and all others are right: is it decided by the number of the move? "
                "Go by `black_to_move`"
            )
        elif torch.equal(wrong, ~late & states.mask):
            why = "Only moves after a pass are right: go by `black_to_move`, and MINE is whoever moves next"
        elif torch.equal(wrong, states.black_to_move & states.mask):
            why = "All boards where black moves next are wrong: BLACK is MINE there"
        elif torch.equal(wrong, ~states.black_to_move & states.mask):
            why = "All boards where white moves next are wrong: WHITE is MINE there"
        elif torch.equal(wrong, states.mask):
            why = "All boards are wrong: the discs of whoever moves next are MINE"
        names = STATES[int(got[game, pos, square])], STATES[int(states.boards[game, pos, square])]
        raise AssertionError(
            f"{int(wrong.sum())} of {int(states.mask.sum())} boards of real games are wrong: in game {game}, after "
            f"move {pos + 1}, {who} moves next, and {square_name(square, size)} is {names[0]}, expected {names[1]}. "
            f"{why}"
        )


@exercise("to_mine_yours", points=1)
def test_every_position_stands_for_itself(student, generator):
    """Positions in any order: a board is rewritten by its own entry in black_to_move, and by nothing else."""
    boards = torch.randint(3, (4, 6, 16), generator=generator).to(torch.int8)
    black = torch.rand(4, 6, generator=generator) < 0.5
    black[0], black[1] = True, False  # with games in which one player moves all the time
    got = ask_mine_yours(student, boards, black)
    for game, pos in itertools.product(range(4), range(6)):
        alone = ask_mine_yours(student, boards[game, [pos]][None], black[game, [pos]][None])
        assert torch.equal(alone[0, 0], got[game, pos]), (
            f"the board of game {game}, position {pos} comes out differently alone than among others, expected the "
            "same. Only its own entry in `black_to_move` matters, not its place"
        )
    turned = ask_mine_yours(student, boards, ~black)
    same = (turned == got) == (boards == EMPTY)
    assert same.all(), (
        f"with `black_to_move` turned round, {int((~same).sum())} of {same.numel()} squares are wrong: EMPTY has to "
        "stay, and MINE and YOURS have to change places"
    )


# --- 3.5 believed_legal_rate -------------------------------------------------------------------------------------

OF_MOVES = ("the share of played squares", "the share of other squares")
NO_SQUARES = (
    "Is a mean taken over no squares? On some boards no other square is empty and illegal: pool the squares of all "
    "positions"
)


def ask_believed(student, believed: Tensor, boards: Tensor, played: Tensor) -> tuple[float, float]:
    with hint(
        "legal_moves(believed) is [position square]; `played` are squares: pick one a row, [torch.arange(n), played]"
    ):
        return expect_rates(student.believed_legal_rate(believed, boards, played), OF_MOVES, NO_SQUARES)


@dataclass(frozen=True)
class Case:
    """Positions with their played squares; everything as sets of squares, by which the shares can be counted."""

    believed: Tensor  # [position square]
    boards: Tensor  # [position square]
    played: Tensor  # [position]

    def pooled(self, squares: list[set[int]]) -> float:
        """Of these squares of each position the share that is legal on the believed board."""
        hits = [len(chosen & moves) for chosen, moves in zip(squares, as_sets(legal_moves(self.believed)), strict=True)]
        return sum(hits) / max(sum(map(len, squares)), 1)

    def by_position(self, squares: list[set[int]]) -> float:
        shares = [
            len(chosen & moves) / len(chosen)
            for chosen, moves in zip(squares, as_sets(legal_moves(self.believed)), strict=True)
            if chosen
        ]
        return sum(shares) / max(len(shares), 1)

    def expect(self, student, case: str, by_hand: tuple[float, float] | None = None) -> None:
        """Fail unless both shares are right, counted here or by hand; name the likely mistake."""
        moves = [{square} for square in self.played.tolist()]
        empty, legal = as_sets(self.boards == EMPTY), as_sets(legal_moves(self.boards))
        thought = as_sets(self.believed == EMPTY)
        every = [set(range(self.boards.shape[1]))] * len(moves)
        others = [e - true - own for e, true, own in zip(empty, legal, moves, strict=True)]
        got = ask_believed(student, self.believed, self.boards, self.played)
        played, control = by_hand or (self.pooled(moves), self.pooled(others))
        turned = Case(torch.tensor([EMPTY, YOURS, MINE])[self.believed], self.boards, self.played)
        at_once = [set(self.played.tolist())] * len(moves)
        n_others = sum(map(len, others))

        def less(*parts: list[set[int]]) -> list[set[int]]:
            return [first.difference(*rest) for first, *rest in zip(*parts, strict=True)]

        mistakes = {
            control: "This is the control: the played squares come first",
            float(sum(m <= t for m, t in zip(moves, thought, strict=True)) / len(moves)): "These are squares that are "
            "believed to be EMPTY: a move has to enclose discs as well, ask legal_moves",
            turned.pooled(moves): "These are moves of YOURS on the believed board: it is MINE who moves",
            self.pooled(at_once): "Every position met the played squares of all: pick one square a row, with "
            "[torch.arange(n), played]",
            0.0: "Were legal moves of the true board looked up? Of these squares none is legal there. Ask "
            "legal_moves(believed)",
        }
        if abs(got[0] - (1 - played)) < 1e-4 and abs(got[1] - (1 - control)) < 1e-4:
            mistakes[got[0]] = "These are the shares of illegal ones"
        for wrong in [value for value in mistakes if abs(value - played) < 1e-4]:
            del mistakes[wrong]
        otherwise = "Of the squares in `played`, how many are legal on the board that is believed?"
        assert abs(got[0] - played) < 1e-4, (
            f"{case}: {got[0]:.3f} of the played squares are legal on the believed board, expected {played:.3f}. "
            f"{likely(got[0], mistakes, otherwise, 1e-4)}"
        )
        mistakes = {
            played: "This is the share of the played squares: the control has none of them",
            self.pooled(less(empty, legal)): "The played squares are in the control: leave them out",
            self.pooled(less(empty, legal, at_once)): "The played squares of all positions are left out everywhere: "
            "control[torch.arange(n), played] is one square a row",
            self.pooled(less(empty, moves)): "Squares that are legal on the true board are in the control: leave them "
            "out, a belief that is nearly right makes them legal",
            self.pooled(empty): "These are all empty squares: leave out the played ones, and those that are legal on "
            "the true board",
            self.pooled(less(every, moves)): "These are all squares: leave out those that are occupied, and those that "
            "are legal on the true board",
            self.pooled(less(every, legal, moves)): "Occupied squares are in the control: they are hardly ever legal, "
            "whatever is believed. Take squares that are EMPTY on the true board",
            self.pooled(less(every, legal)): "Occupied squares and the played ones are in the control: leave them out",
            self.pooled(every): "These are all squares: leave out occupied ones, legal ones and the played ones",
            self.pooled(less(thought, legal, moves)): "These are squares that are believed to be EMPTY: take those "
            "that are EMPTY on the true board",
            self.pooled(less(thought, legal)): "These are squares that are believed to be EMPTY: take those that are "
            "EMPTY on the true board, and leave the played ones out",
            self.pooled([e & true for e, true in zip(empty, legal, strict=True)]): "These are the squares that are "
            "legal on the true board: take those that are not",
            turned.pooled(others): "These are moves of YOURS on the believed board: it is MINE who moves",
            self.by_position(others): "This is the mean of a mean for each position: pool all squares",
            1 - control: "This is the share of illegal ones",
            0.0: "Were legal moves of the true board looked up? Of these squares none is legal there. Ask "
            "legal_moves(believed)",
            control * n_others / self.boards.numel(): "Divided by all squares: divide by the number of "
            "squares in the control",
            control * n_others / sum(map(len, less(empty, moves))): "Squares that are legal on the true board are in "
            "the number that you divide by: leave them out of both",
            sum(bool(o & m) for o, m in zip(others, as_sets(legal_moves(self.believed)), strict=True)) / len(moves): (
                "Positions with any such square are counted: count squares"
            ),
        }
        for wrong in [value for value in mistakes if abs(value - control) < 1e-4]:
            del mistakes[wrong]
        otherwise = (
            "The control is all squares that are EMPTY and not legal on the true board, without the played one; how "
            "many of them are legal on the believed board?"
        )
        assert abs(got[1] - control) < 1e-4, (
            f"{case}: {got[1]:.3f} of the other squares are legal on the believed board, expected {control:.3f}. "
            f"{likely(got[1], mistakes, otherwise, 1e-4)}"
        )


def as_sets(flags: Tensor) -> list[set[int]]:
    """The squares that are True, for each position."""
    return [set(row.nonzero()[:, 0].tolist()) for row in flags]


def draw_case(generator, size: int, seed: int, n: int = 40) -> Case:
    """Real positions of every stage, and beliefs with mistakes of all kinds; one square in two is legal there."""
    states = games_with_passes(size, 40, seed)
    boards = states.boards[states.mask & states.legal.any(dim=-1)]
    boards = boards[torch.randperm(len(boards), generator=generator)[: 3 * n]]
    chance = torch.rand(boards.shape, generator=generator)
    other = torch.randint(1, 3, boards.shape, generator=generator)
    wrong = chance < torch.where(boards == EMPTY, 0.08, 0.15)
    believed = torch.where(wrong, (boards + other) % 3, boards.long())
    illegal = (boards == EMPTY) & ~legal_moves(boards)
    chosen: list[tuple[int, int]] = []
    for row, (candidates, moves) in enumerate(zip(as_sets(illegal), as_sets(legal_moves(believed)), strict=True)):
        wanted = sorted(candidates & moves if len(chosen) % 2 else candidates - moves)
        if wanted and len(chosen) < n:
            chosen.append((row, wanted[int(torch.randint(len(wanted), (), generator=generator))]))
    rows, played = torch.tensor(chosen).T
    return Case(believed[rows], boards[rows], played)


def from_drawing(*lines: str) -> Tensor:
    """Boards side by side: . is EMPTY, m MINE, y YOURS."""
    rows = [line.split() for line in lines]
    return torch.tensor([[".my".index(s) for line in rows for s in line[board]] for board in range(len(rows[0]))])


@exercise("believed_legal_rate")
def test_returns_two_shares_of_squares(student, generator, seed):
    for size in (8, 6):
        case = draw_case(generator, size, seed, n=8)
        ask_believed(student, case.believed, case.boards, case.played)


@exercise("believed_legal_rate", points=2)
def test_three_small_boards_by_hand(student):
    """Belief 1 makes d2, b4 and the played d4 legal, belief 2 a3, a4 and b4, belief 3 the played a1.

    The true boards 1 and 2 have d2, b4, c1 and a3 as legal moves, so that 7 other squares are left on each; board 3
    has none.
    """
    boards = from_drawing(
        ".... .... .mmm",
        ".my. .my. mmyy",
        ".ym. .ym. mymy",
        ".... .... myym",
    )
    believed = from_drawing(
        ".... .... .ymm",
        ".my. .mm. mmyy",
        ".yy. .ym. mymy",
        ".... .... myym",
    )
    played = torch.tensor([15, 3, 0])  # d4, d1, a1
    case = Case(believed, boards.to(torch.int8), played)
    case.expect(student, "three 4x4 boards (2 of 3 played squares and 1 of 14 others, by hand)", (2 / 3, 1 / 14))


@exercise("believed_legal_rate", points=2)
def test_counts_moves_by_the_rules_on_believed_boards(student, generator, seed):
    for size in (8, 6):
        case = draw_case(generator, size, seed)
        case.expect(
            student, f"{len(case.played)} positions of {size}x{size} games, with beliefs that are wrong in part"
        )


@exercise("believed_legal_rate", points=1)
def test_a_true_belief_makes_no_illegal_move_legal(student, generator, seed):
    case = draw_case(generator, 8, seed)
    got = ask_believed(student, case.boards.long(), case.boards, case.played)
    for rate, name in zip(got, OF_MOVES, strict=True):
        assert rate == 0, (
            f"the believed boards are the true ones, and {name} that is legal there is {rate:.3f}, expected 0: both "
            "are about squares that are not legal on the true board. `played` holds squares, and no tokens"
        )


@exercise("believed_legal_rate", points=1)
def test_a_square_drawn_by_lot_is_like_the_others(student, generator, seed):
    """A control that must not succeed: nobody played these squares because of a belief."""
    boards = games_with_passes(8, 300, seed).boards[:, 24]
    chance = torch.rand(boards.shape, generator=generator)
    believed = torch.where((chance < 0.3) & (boards != EMPTY), 3 - boards, boards).long()
    illegal = (boards == EMPTY) & ~legal_moves(boards)
    played = torch.multinomial(illegal.float(), 1, generator=generator)[:, 0]
    of_played, of_others = ask_believed(student, believed, boards, played)
    why = "Are both shares taken of squares that are EMPTY and not legal on the true board?"
    if of_played - of_others > 0.1:
        why = "The control is low: does it hold occupied squares, which can hardly be legal, or too few squares?"
    elif of_others - of_played > 0.1:
        why = "The control is high: does it hold squares that are legal on the true board, or leave too many out?"
    assert abs(of_played - of_others) < 0.1, (  # standard deviation 0.03
        "300 played squares are drawn by lot from the empty and illegal ones, so that they are like all others: "
        f"{of_played:.3f} of them and {of_others:.3f} of the others are legal on the believed boards, expected about "
        f"the same. {why}"
    )


# --- 3.6 transfer_between_players --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Games:
    """Games of a network that holds each square as black or white, or as mine or yours."""

    acts: Tensor  # [game pos d_model]
    boards: Tensor  # [game pos square], EMPTY, BLACK, WHITE
    black: Tensor  # [game pos], True where black moves next

    def occupied(self, tested: Tensor) -> Tensor:
        return self.boards[tested] != EMPTY


N_SQUARES, D_MODEL = 6, 20


def draw_players(n_games: int, generator, n_pos: int = 24, often: bool = False) -> Tensor:
    """Who moves next [game pos]: white after the first move, then in turn; in every second game somebody passes.

    If often, after three moves in ten, and then the number of a move says nothing about who moves next.
    """
    passes = torch.zeros(n_games, n_pos, dtype=torch.bool)
    where = torch.randint(n_pos // 2, n_pos - 3, (n_games,), generator=generator)
    passes[torch.arange(0, n_games, 2), where[::2]] = True
    if often:
        passes = torch.rand(n_games, n_pos, generator=generator) < 0.3
    return (~passes).cumsum(dim=1) % 2 == 0


def draw_colours(shares: Tensor, generator) -> Tensor:
    """Boards [game pos square] in EMPTY, BLACK, WHITE with these shares [game pos square 3]."""
    return torch.multinomial(shares.flatten(0, 2), 1, generator=generator).view(shares.shape[:3])


def draw_network(generator, is_own: Tensor) -> Callable[[Tensor, Tensor], Games]:
    """A network that turns boards and players into acts; squares in is_own are held as mine or yours."""
    vectors = torch.randn(N_SQUARES, 3, D_MODEL, generator=generator)

    def play(boards: Tensor, black: Tensor) -> Games:
        turned = torch.tensor([EMPTY, WHITE, BLACK])[boards]
        held = torch.where(is_own & ~black[..., None], turned, boards)  # [game pos square]
        acts = vectors[torch.arange(N_SQUARES), held].sum(dim=2)
        return Games(acts + 0.1 * torch.randn(acts.shape, generator=generator) + 2, boards, black)

    return play


def ask_transfer(student, train: Games, test: Games, l2: float = 0.1) -> Tensor:
    with hint("acts_train[black_train] is [position d_model], and boards_train[black_train] is [position square]"):
        table = student.transfer_between_players(*vars(train).values(), *vars(test).values(), l2)
    expect_tensor(table, "fitted tested", (2, 2))
    assert float(table.min()) >= 0 and float(table.max()) <= 1, f"accuracies lie between 0 and 1, got {rows(table)}"
    return table


def rows(table: Tensor) -> list[list[float]]:
    return [listed(row) for row in table]


def expect_table(got: Tensor, expected: Tensor, mistakes: list[tuple[Tensor, str]], otherwise: str, case: str) -> None:
    near = [(float((got - wrong).abs().max()), n) for n, (wrong, _) in enumerate(mistakes)]
    why = mistakes[min(near)[1]][1] if near and min(near)[0] < 0.03 else otherwise
    assert close(got, expected, atol=0.02), (  # 0.00 with seeds 0 to 19; the smallest mistake below makes 0.05
        f"{case}: got {rows(got)}, expected {rows(expected)} (rows: fitted where black moves next, where white does; "
        f"columns: tested there). {why}"
    )


EVEN = torch.tensor([0.4, 0.3, 0.3])  # EMPTY, BLACK, WHITE


@exercise("transfer_between_players")
def test_returns_a_table_of_four_accuracies(student, generator):
    play = draw_network(generator, torch.arange(N_SQUARES) % 2 == 0)
    train, test = (
        play(draw_colours(EVEN.expand(n, n_pos, N_SQUARES, 3), generator), draw_players(n, generator, n_pos))
        for n, n_pos in ((9, 24), (5, 17))
    )
    ask_transfer(student, train, test)


@exercise("transfer_between_players", points=2)
def test_mine_and_yours_do_not_transfer(student, generator):
    """The network holds its board as mine and yours: what is black for one player is white for the other."""
    play = draw_network(generator, torch.ones(N_SQUARES, dtype=torch.bool))
    train, test = (
        play(draw_colours(EVEN.expand(n, 24, N_SQUARES, 3), generator), draw_players(n, generator)) for n in (24, 12)
    )
    got = ask_transfer(student, train, test)
    empty = [float((~test.occupied(tested)).float().mean()) for tested in (test.black, ~test.black)]
    mistakes = [
        (1 - torch.eye(2), "Rows or columns are the wrong way round: black comes first in both"),
        (torch.tensor([[1.0, 0], [1, 0]]), "Both rows are the same probe: fit one for each player"),
        (torch.tensor([[0.0, 1], [0, 1]]), "Both rows are the same probe: fit one for each player"),
        (torch.tensor([[1.0, 1], [0, 0]]), "Both columns were tested on the same positions"),
        (torch.tensor([[0.0, 0], [1, 1]]), "Both columns were tested on the same positions"),
        (torch.ones(2, 2), "Everything is read: are the boards rewritten as mine and yours? The probe has to tell "
        "BLACK from WHITE"),
        (torch.tensor([[1, empty[1]], [empty[0], 1]]), "Empty squares count: take the occupied ones"),
        (torch.tensor([[1, 1 - empty[1]], [1 - empty[0], 1]]), "Whether there is a disc is counted, not whose it is"),
    ]  # fmt: skip
    otherwise = "Choose positions by black_train and black_test, and compare colours on occupied squares"
    spread = float(got.max() - got.min())
    if spread < 0.25 and 0.3 < float(got.mean()) < 0.7:
        otherwise = (
            "All four are about the same: every probe has seen positions of both players. Does a slice run over games, "
            "the first axis?"
        )
    elif float(got.diagonal().min()) > 0.7 and float((1 - got).diagonal().max()) < 0.3 and spread < 0.98:
        otherwise = (
            "That is nearly right. After a pass the number of the move does not tell who moves next: go by black_train "
            "and black_test, in the fit and in the test"
        )
    case = "a network that holds every square as mine or yours"
    expect_table(got, torch.eye(2), mistakes, otherwise, case)


@exercise("transfer_between_players", points=1)
def test_black_and_white_do_transfer(student, generator):
    """The control: another network holds its board as black and white, so that it does not matter who moves."""
    play = draw_network(generator, torch.zeros(N_SQUARES, dtype=torch.bool))
    train, test = (
        play(draw_colours(EVEN.expand(n, 24, N_SQUARES, 3), generator), draw_players(n, generator)) for n in (24, 12)
    )
    got = ask_transfer(student, train, test)
    mistakes = [
        (torch.eye(2), "Are the boards rewritten as mine and yours? Leave them in black and white"),
        (torch.zeros(2, 2), "Black and white are confused between the fit and the test"),
    ]
    otherwise = "Squares and states have to be the same in the fit and in the test; take the argmax over states"
    case = "a network that holds every square as black or white"
    expect_table(got, torch.ones(2, 2), mistakes, otherwise, case)


@exercise("transfer_between_players", points=1)
def test_tells_who_was_fitted_and_who_was_tested(student, generator):
    """Three squares are held as mine or yours, three as black or white; who moves decides which of them have discs."""
    is_own = torch.arange(N_SQUARES) < 3
    play = draw_network(generator, is_own)
    black_train, black_test = draw_players(24, generator), draw_players(12, generator)
    empty_train = torch.where(is_own, 0.2, 0.5).expand(24, 24, N_SQUARES)
    empty_test = torch.where(black_test[..., None] == is_own, 0.1, 0.7)  # [game pos square]
    train, test = (
        play(draw_colours(torch.stack([empty, (1 - empty) / 2, (1 - empty) / 2], dim=-1), generator), black)
        for empty, black in ((empty_train, black_train), (empty_test, black_test))
    )
    got = ask_transfer(student, train, test)
    expected, of_training = torch.eye(2), torch.eye(2)
    by_square, by_position = torch.eye(2), torch.eye(2)
    everywhere = torch.ones(2, 2)
    for column, (fitted, tested) in enumerate(((black_train, black_test), (~black_train, ~black_test))):
        discs = train.occupied(fitted)  # [position square]
        of_training[1 - column, column] = (discs & ~is_own).sum() / discs.sum()
        discs = test.occupied(tested)
        transfers = discs & ~is_own
        expected[1 - column, column] = transfers.sum() / discs.sum()
        by_square[1 - column, column] = 0.5
        by_position[1 - column, column] = (transfers.sum(dim=1) / discs.sum(dim=1).clamp(min=1)).mean()
        everywhere[1 - column, column] = 1 - (discs & is_own).float().mean()
    mistakes = [
        (expected.T, "Rows and columns are exchanged: a row is one fitted probe"),
        (expected.flip(0).flip(1), "White comes first: row 0 is fitted, and column 0 tested, where black moves next"),
        (expected.flip(0), "The rows are the wrong way round: row 0 is fitted where black moves next"),
        (of_training, "Tested on training games: test on *_test"),
        (everywhere, "Empty squares count: take the occupied ones"),
        (by_square, "This is the mean of a mean for each square: take the mean over all occupied squares"),
        (by_position, "This is the mean of a mean for each position: take the mean over all occupied squares"),
    ]
    otherwise = (
        "Row 0 is fitted where black moves next, column 0 is tested there: choose positions by `black_train` and "
        "`black_test`"
    )
    case = "three squares held as mine or yours and three as black or white"
    expect_table(got, expected, mistakes, otherwise, case)


@exercise("transfer_between_players", points=1)
def test_fits_on_training_games_and_tests_on_the_others(student, generator):
    """In the test games the network has black and white the wrong way round, so that no disc can be right."""
    play = draw_network(generator, torch.zeros(N_SQUARES, dtype=torch.bool))
    shares = EVEN.expand(20, 24, N_SQUARES, 3)
    train, other = (play(draw_colours(shares, generator), draw_players(20, generator)) for _ in range(2))
    test = Games(other.acts, torch.tensor([EMPTY, WHITE, BLACK])[other.boards], other.black)
    got = ask_transfer(student, train, test)
    empty = [float((~test.occupied(tested)).float().mean()) for tested in (test.black, ~test.black)]
    mistakes = [
        (torch.ones(2, 2), "Fit and test were on the same games: fit on *_train, test on *_test"),
        (torch.tensor([empty, empty]), "Empty squares count: take the occupied ones"),
        (torch.eye(2), "A probe was tested on the positions that it was fitted on"),
        (1 - torch.eye(2), "A probe was tested on the positions that it was fitted on"),
    ]
    otherwise = "A probe has seen test games: fit on *_train alone, and test on *_test alone"
    case = (
        "in the training games a network tells black from white, and in the test games it has them the wrong way round"
    )
    expect_table(got, torch.zeros(2, 2), mistakes, otherwise, case)


@exercise("transfer_between_players", points=1)
def test_l2_reaches_both_probes(student, generator):
    """With an enormous penalty only the bias is left: each probe says which state it saw most often.

    That is EMPTY on two squares. On the others it is the colour of whoever moves next.
    """
    play = draw_network(generator, torch.ones(N_SQUARES, dtype=torch.bool))

    def draw(n: int, *shares: float) -> Games:
        """`shares` of EMPTY, of discs of whoever moves next, and of the other player's."""
        black, of_black = draw_players(n, generator, often=True), torch.tensor(shares)
        shares = torch.where(black[..., None, None], of_black, of_black[[0, 2, 1]]).expand(n, 24, N_SQUARES, 3).clone()
        few = torch.tensor([0.6, 0.25, 0.15])
        shares[:, :, :2] = torch.where(black[..., None, None], few, few[[0, 2, 1]])
        return play(draw_colours(shares, generator), black)

    train, test = draw(40, 0.2, 0.55, 0.25), draw(16, 0.5, 0.4, 0.1)
    got = ask_transfer(student, train, test, 1e8)
    expected, forced, believed = torch.zeros(3, 2, 2)
    for row, colour in enumerate((BLACK, WHITE)):
        for column, tested in enumerate((test.black, ~test.black)):
            discs, right = test.occupied(tested), test.boards[tested] == colour
            expected[row, column] = right[:, 2:].sum() / discs.sum()
            forced[row, column] = right.sum() / discs.sum()
            believed[row, column] = right[:, 2:].float().mean()
    mistakes = [
        (torch.eye(2), "Does l2 reach the fit?"),
        (expected.T, "Rows and columns are exchanged"),
        (forced, "Only BLACK and WHITE were compared: a disc that is read as EMPTY is a mistake"),
        (believed, "These are squares that are read as occupied: go by the true board"),
    ]
    otherwise = (
        "Does l2 reach the fit? Is each probe fitted on the positions of one player alone, by `black_train`? After a "
        "pass the number of the move does not tell who moves next"
    )
    case = (
        "with l2 = 1e8 a probe says what it saw most often: EMPTY on two squares, and elsewhere BLACK if it was fitted "
        "where black moves next, WHITE if where white does"
    )
    expect_table(got, expected, mistakes, otherwise, case)


# --- 3.7 probe_cosines -------------------------------------------------------------------------------------------


def weight_of(occupied: Tensor, colour: Tensor, level: Tensor) -> Tensor:
    """Weight [square 3 d_model] with these directions [square d_model], around any level [square d_model]."""
    middle = level + occupied
    return torch.stack([level, middle + colour / 2, middle - colour / 2], dim=1)


def ask_cosines(student, first: Tensor, second: Tensor) -> Tensor:
    with hint("weight.unbind(dim=1) gives EMPTY, state 1 and state 2, [square d_model] each"):
        cosines = student.probe_cosines(first, second)
    expect_tensor(cosines, "square 2", (len(first), 2))
    return cosines


@exercise("probe_cosines")
def test_returns_two_cosines_for_each_square(student, generator):
    for shape in ((64, 3, 10), (2, 3, 5)):
        ask_cosines(student, torch.randn(shape, generator=generator), torch.randn(shape, generator=generator))


@exercise("probe_cosines", points=2)
def test_two_squares_with_known_angles(student):
    """Directions with 3, 4 and 5 as the sides of a triangle, so that the cosines are known."""
    level = torch.tensor([[2.0, 1.0, -1.0], [-1.0, 0.5, 2.0]])
    occupied = torch.tensor([[3.0, 0, 0], [1, 1, 0]]), torch.tensor([[6.0, 8, 0], [1, -1, 0]])
    colour = torch.tensor([[0, 1.0, 0], [0, 0, 2]]), torch.tensor([[0, -4.0, 3], [0, 0, 5]])
    expected = torch.tensor([[0.6, -0.8], [0, 1]])
    first, second = weight_of(occupied[0], colour[0], level), weight_of(occupied[1], colour[1], level.flip(0))
    got = ask_cosines(student, first, second)
    dots = torch.stack([(a * b).sum(dim=1) for a, b in (occupied, colour)], dim=1)

    def mean_minus_empty(w: Tensor) -> Tensor:
        return (w[:, 1] + w[:, 2]) / 2 - w[:, 0]

    def one_minus_two(w: Tensor) -> Tensor:
        return w[:, 1] - w[:, 2]

    def cosines(*pairs: Callable[[Tensor], Tensor]) -> Tensor:
        """Of what each function makes of both weights [square state d_model]."""
        ab = [(pick(first), pick(second)) for pick in pairs]
        return torch.stack([(a * b).sum(-1) / a.norm(dim=-1) / b.norm(dim=-1) for a, b in ab], dim=1)

    mistakes = [
        (expected.flip(1), "The columns are exchanged: occupied against empty comes first"),
        (expected.T, "Squares and columns are exchanged: the result is [square 2]"),
        (expected * torch.tensor([1.0, -1]), "One sign is turned round: subtract in the same order in both probes"),
        (expected * torch.tensor([-1.0, 1]), "One sign is turned round: subtract in the same order in both probes"),
        (-expected, "The signs are turned round: subtract in the same order in both probes"),
        (
            cosines(lambda w: w[:, 0] - w.mean(dim=1), lambda w: w[:, 1] - w.mean(dim=1)),
            "State 1 minus the mean of all three is not state 1 against state 2: subtract state 2",
        ),
        (dots, "These are dot products: divide by both lengths"),
        (
            dots / torch.stack([a.norm() * b.norm() for a, b in (occupied, colour)]),
            "The lengths are those of all squares together: one direction for each square",
        ),
        (
            dots / math.prod(torch.stack(pair, dim=1).norm() for pair in zip(occupied, colour, strict=True)),
            "The lengths are those of all squares together: one direction for each square",
        ),
        (
            cosines(lambda w: (w[:, 0] + w[:, 1]) / 2 - w[:, 2], lambda w: w[:, 1] - w[:, 0]),
            "The states are the other way round: EMPTY is 0",
        ),
        (
            cosines(*(lambda w, d=d: d(w) - d(w).mean(dim=1, keepdim=True) for d in (mean_minus_empty, one_minus_two))),
            "This is a correlation: nothing is subtracted from a direction before the cosine",
        ),
        (1 - expected, "These are distances: return the cosines"),
        (expected.abs(), "A cosine may be negative"),
        (expected.acos(), "These are angles: return the cosines"),
        (expected.square(), "These are squared cosines"),
        (
            cosines(lambda w: w[:, 0], lambda w: w[:, 1]),
            "These are cosines of the weights of EMPTY and of state 1 as they are: take differences of states",
        ),
        (
            cosines(lambda w: w[:, 1] - w[:, 0], one_minus_two),
            "State 1 alone stands for occupied: take the mean of states 1 and 2, minus EMPTY",
        ),
        (
            cosines(lambda w: w[:, 2] - w[:, 0], one_minus_two),
            "State 2 alone stands for occupied: take the mean of states 1 and 2, minus EMPTY",
        ),
        (
            cosines(lambda w: w[:, 1] + w[:, 2] - w[:, 0], one_minus_two),
            "Occupied is the mean of states 1 and 2, not their sum",
        ),
        (
            cosines(lambda w: (w[:, 1] + w[:, 2]) / 2, one_minus_two),
            "EMPTY is missing: occupied against empty is a difference",
        ),
        (
            cosines(lambda w: w[:, 0], one_minus_two),
            "Occupied against empty is a difference: the mean of states 1 and 2, minus EMPTY",
        ),
        (
            cosines(mean_minus_empty, lambda w: w[:, 1]),
            "Subtract state 2 from state 1 in the second column",
        ),
    ]
    near = [why for wrong, why in mistakes if close(got, wrong, atol=1e-3)]
    columns = (
        "occupied against empty (the mean of states 1 and 2, minus EMPTY)",
        "state 1 against state 2 (the one minus the other)",
    )
    wrong = [text for n, text in enumerate(columns) if not close(got[:, n], expected[:, n], atol=1e-3)]
    why = near[0] if near else f"Look at {' and at '.join(wrong)}. Differences first, then the cosine over d_model"
    assert not wrong, f"two squares with planted angles: got {rows(got)}, expected {rows(expected)}. {why}"


@exercise("probe_cosines", points=1)
def test_what_all_three_states_share_does_not_matter(student, generator):
    """An argmax over states does not see it either."""
    first, second = (torch.randn(5, 3, 8, generator=generator) for _ in range(2))
    shared = 10 * torch.randn(5, 1, 8, generator=generator)
    before, after = ask_cosines(student, first, second), ask_cosines(student, first + shared, second)
    for column, name in enumerate(("occupied against empty", "state 1 against state 2")):
        moved = float((before - after)[:, column].abs().max())
        assert moved < 1e-3, (
            f"the same vector is added to all three states of the first probe: the cosines of {name} change by up to "
            f"{moved:.2f}, expected no change. The shares of the three states in a direction have to add up to 0"
        )
    scaled = ask_cosines(student, first * torch.tensor([0.1, 3, 1, 7, 0.5])[:, None, None], second)
    assert close(before, scaled, atol=1e-3), (
        f"the first probe is scaled, each square by another number: cosines change by up to "
        f"{float((before - scaled).abs().max()):.2f}, expected no change. Are both lengths those of one square?"
    )


@exercise("probe_cosines", points=1)
def test_exchanging_the_colours_turns_one_sign(student, generator):
    """Black and white against mine and yours, seen by white."""
    first, second = (torch.randn(6, 3, 8, generator=generator) for _ in range(2))
    before, after = ask_cosines(student, first, second), ask_cosines(student, first, second[:, [0, 2, 1]])
    expected = before * torch.tensor([1.0, -1])
    column = int((after - expected).abs().amax(dim=0).argmax())
    wanted = ("occupied against empty should stay", "state 1 against state 2 should change its sign")[column]
    assert close(after, expected, atol=1e-3), (
        f"states 1 and 2 of the second probe are exchanged: {wanted}; at square 0 it goes from "
        f"{float(before[0, column]):.2f} to {float(after[0, column]):.2f}. Do both states count the same in the first "
        "column? May the second be negative?"
    )


@exercise("probe_cosines", points=1)
def test_unrelated_probes_are_at_right_angles(student, generator):
    """A control that must not succeed, and a probe with itself. Every square has its own length."""
    lengths = torch.logspace(-2, 2, 20)[:, None, None]
    first, second = (torch.randn(20, 3, 400, generator=generator) * lengths for _ in range(2))
    far, same = ask_cosines(student, first, second), ask_cosines(student, first, first)
    assert float(far.abs().max()) < 0.3, (  # standard deviation 0.05
        f"two probes drawn by lot in 400 dimensions have a cosine of {float(far.abs().max()):.2f} at a square, "
        "expected about 0"
    )
    assert close(same, torch.ones(20, 2), atol=1e-3), (
        f"a probe with itself has cosines of {float(same.min()):.2f} to {float(same.max()):.2f}, expected 1 at every "
        "square and in both columns"
    )


# --- 3.8 next_move_loss ------------------------------------------------------------------------------------------


ONLY_COUNTED = (
    "Where nothing is legal (the game is over) 0 / 0 is NaN, and NaN times 0 is NaN too: leave these positions out, or "
    "divide by n.clamp(min=1)"
)


def expect_loss(value: object, if_nan: str) -> float:
    assert isinstance(value, Tensor), (
        f"the result is {describe(value)}, expected a tensor with a single number. No float() and no .item(): PyTorch "
        "has to differentiate it"
    )
    assert value.ndim == 0, f"the result has shape {tuple(value.shape)}, expected a single number: the mean"
    assert not value.isnan(), f"the loss is NaN. {if_nan}"
    assert not value.isinf(), (
        "the loss is infinite. exp() of a large logit is, and so is the logarithm of a probability that is 0 in "
        "float32: use log_softmax"
    )
    expect_tensor(value, "", ())
    return float(value)


def ask_loss(student, logits: Tensor, legal: Tensor, if_nan: str = ONLY_COUNTED) -> float:
    with hint("`logits.log_softmax(dim=-1)` and `legal` are [game pos token]; the number of legal moves is [game pos]"):
        return expect_loss(student.next_move_loss(logits, legal), if_nan)


@exercise("next_move_loss")
def test_returns_one_number_that_can_be_differentiated(student, generator):
    for shape in ((2, 5, 61), (3, 4, 33)):
        legal = torch.rand(shape, generator=generator) < 0.2
        legal[..., 0], legal[..., 1], legal[:, -1] = False, True, False
        logits = torch.randn(shape, generator=generator)
        ask_loss(student, logits, legal)
        value_and_grad(student.next_move_loss, logits, legal, wrt=0)


@exercise("next_move_loss", points=2)
def test_is_the_mean_surprise_at_a_legal_move(student):
    """Four positions with known probabilities; at the last one the game is over."""
    p = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1], [0.05, 0.15, 0.1, 0.7], [0.1, 0.2, 0.3, 0.4]])
    moves: list[list[int]] = [[1, 3], [2], [1, 2, 3], []]
    level = torch.tensor([1.0, -3, 0.7, 2])[:, None]  # logits are probabilities up to a constant
    legal = torch.zeros(4, 4, dtype=torch.bool)
    for row, chosen in enumerate(moves):
        legal[row, chosen] = True
    got = ask_loss(student, (p.log() + level).view(2, 2, 4), legal.view(2, 2, 4))
    of_each = [[-math.log(row[t]) for t in chosen] for row, chosen in zip(p.tolist(), moves, strict=True)]
    mean = [sum(s) / len(s) for s in of_each if s]
    mass = [sum(row[t] for t in chosen) for row, chosen in zip(p.tolist(), moves, strict=True) if chosen]
    expected = sum(mean) / 3
    floor = sum(math.log(len(chosen)) for chosen in moves if chosen) / 3
    raw = [[-float((p.log() + level)[row, t]) for t in chosen] for row, chosen in enumerate(moves) if chosen]
    mistakes = {
        sum(mean) / 4: "Divided by all positions: only those count where something is legal",
        sum(mean): "This is the sum over positions: take the mean",
        sum(map(sum, of_each)) / 3: "The surprises at a position are added up: divide by its number of legal moves",
        sum(map(sum, of_each)) / 6: "All legal moves are pooled, so that positions with many weigh more: take the mean "
        "at each position first",
        sum(map(sum, of_each)) / 4: "The surprises at a position are added up: divide by its number of legal moves. "
        "And only positions count where something is legal",
        sum(mean) / 16: "Divided by all tokens: the mean is over positions where something is legal",
        sum(map(sum, of_each)) / 16: "Divided by all tokens: divide by the number of legal ones at each position",
        ((mean[0] + mean[1]) / 2 + mean[2]) / 2: "This is the mean of a mean for each game: every position counts once",
        sum(-math.log(m) for m in mass) / 3: "This is the surprise at any legal move: the target is uniform over them, "
        "so take the mean of their surprises",
        sum(-math.log(m / len(s)) for m, s in zip(mass, of_each, strict=False)) / 3: "The logarithm comes after the "
        "mean: take the logarithm of each probability first",
        expected - floor: "The entropy of the target, log N, is subtracted: the loss is the cross-entropy itself",
        expected / math.log(2): "These are bits: take the natural logarithm",
        -expected: "The sign is turned round: a loss is positive",
        sum(sum(s) / len(s) for s in raw) / 3: "The logits were taken for logarithms of probabilities: log_softmax "
        "first",
        1 - sum(mass) / 3: "This is the probability of illegal moves",
        sum(mass) / 3: "This is the probability of legal moves",
    }
    going, cross_entropy = legal[:3], torch.nn.functional.cross_entropy
    uniform, scores = going / going.sum(dim=-1, keepdim=True), (p.log() + level)[:3]
    mistakes |= {
        float(
            cross_entropy(scores, going.float().softmax(dim=-1))
        ): "A softmax of `legal` leaves something for illegal moves: the target is 1/N at legal ones and 0 elsewhere",
        float(cross_entropy(p[:3], uniform)): "The softmax was taken twice: cross_entropy and log_softmax take logits",
        float(cross_entropy(scores, going.long().argmax(dim=-1))): "Only the first legal move of a position counts",
        float(cross_entropy(scores.masked_fill(~going, -30), uniform)): "The softmax runs over legal moves alone: then "
        "illegal ones cost nothing, and nothing teaches the rules",
        float(torch.nn.functional.binary_cross_entropy_with_logits(scores, going.float())): "Every token is a question "
        "of its own here: the moves share one softmax",
    }
    for dim, axis in enumerate(("games", "positions")):
        shares = -(p.log() + level).view(2, 2, 4).log_softmax(dim=dim) * legal.view(2, 2, 4)
        mistakes[float((shares.sum(dim=-1).flatten()[:3] / legal.sum(dim=-1)[:3]).mean())] = (
            f"The softmax runs over {axis}: it has to run over tokens, the last axis"
        )
    mistakes.pop(expected, None)
    otherwise = "At each position: the mean of -log p over its legal moves. Then the mean over positions"
    assert abs(got - expected) < 1e-3, (
        "positions with legal moves of probability (0.2, 0.4), (0.2) and (0.15, 0.1, 0.7), and one where the game is "
        f"over: the loss is {got:.3f}, expected {expected:.3f}. {likely(got, mistakes, otherwise)}"
    )


@exercise("next_move_loss", points=1)
def test_a_perfect_player_pays_log_n(student, generator, seed):
    """All legal moves alike, all others next to impossible; and a sure player who is wrong."""
    legal = legal_tokens(games_with_passes(6, 8, seed), 6)
    n_legal = legal.sum(dim=-1)
    expected = float(n_legal[n_legal > 0].float().log().mean())
    for size in (20.0, 300.0):
        if_nan = (
            f"With logits up to {size:g} a probability is 0 in float32, and its logarithm infinite: use log_softmax"
        )
        got = ask_loss(student, size * legal.float(), legal, if_nan)
        why = "At each position: the mean of -log p over legal moves, with a softmax over all tokens"
        if size > 100:
            why = "Take log_softmax of the logits, no logarithm of a probability that may be 0"
        if abs(got) < 1e-3:
            why = "Nobody can know which of N legal moves comes next, so each costs log N: nothing is subtracted"
        assert abs(got - expected) < 1e-2, (
            f"logits of {size:g} for legal moves and 0 for others: the loss is {got:.3f}, expected the mean of log N, "
            f"{expected:.3f}. {why}"
        )
    two = torch.tensor([[[0.0, 300, 0], [0, 0, 300]]])
    got = ask_loss(student, two, torch.tensor([[[False, False, True], [False, False, True]]]))
    assert abs(got - 150) < 0.1, (
        f"the only legal move has a logit of 0 beside one of 300, and at a second position it is the other way round: "
        f"the loss is {got:.4g}, expected 150. A probability of exp(-300) is 0 in float32: use log_softmax"
    )


@exercise("next_move_loss", points=1)
def test_its_gradient_is_what_is_said_minus_what_is_legal(student):
    """Logits 0, so that every probability is 1/4: the gradient can be computed by hand."""
    legal = torch.tensor([[[False, True, True, False]], [[False, False, False, True]]])
    _, (gradient,) = value_and_grad(student.next_move_loss, torch.zeros(2, 1, 4), legal, wrt=0)
    by_hand = torch.tensor([[0.25, -0.25, -0.25, 0.25], [0.25, 0.25, 0.25, -0.75]]) / 2  # a mean over two positions
    mistakes = [
        (2 * by_hand, "The losses of the positions are added up: take their mean"),
        (-by_hand, "The sign is turned round: the loss grows where legal moves become more likely"),
        (
            torch.zeros(2, 4),
            "Does the softmax run over all tokens, and over nothing else? And is there a .detach() or no_grad() in it?",
        ),
        (
            torch.tensor([[0.5, -0.5, -0.5, 0.5], [0.25, 0.25, 0.25, -0.75]]) / 2,
            "A position with two legal moves counts twice: divide by its number of legal moves",
        ),
        (
            torch.tensor([[0.5, -0.5, -0.5, 0.5], [0.25, 0.25, 0.25, -0.75]]) / 3,
            "All legal moves are pooled: take the mean at each position first",
        ),
    ]
    got = gradient[:, 0]
    why = next(
        (why for wrong, why in mistakes if close(got, wrong)), "Is the target 1/N at legal moves and 0 elsewhere?"
    )
    assert close(got, by_hand), (
        f"two positions with two legal moves and one, and logits of 0: the gradient is {rows(got)}, expected "
        f"{rows(by_hand)}, which is probability minus target, over 2 positions. {why}"
    )


@exercise("next_move_loss", points=1)
def test_positions_after_the_end_have_no_part_in_it(student, generator, seed):
    """Neither in the loss nor in its gradient, which is where NaN hides."""
    legal = legal_tokens(games_with_passes(6, 8, seed), 6)[:, :20]
    logits = torch.randn(legal.shape, generator=generator)
    longer = torch.cat([logits, torch.randn(8, 10, 33, generator=generator)], dim=1)
    over = torch.cat([legal, torch.zeros(8, 10, 33, dtype=torch.bool)], dim=1)
    before, after = ask_loss(student, logits, legal), ask_loss(student, longer, over)
    why = "Only positions count where something is legal"
    if abs(after - before * 2 / 3) < 1e-3:
        why = f"They are in the number that the sum is divided by. {why}"
    assert abs(before - after) < 1e-4, (
        f"ten positions are added to every game in which it is over: the loss goes from {before:.3f} to {after:.3f}, "
        f"expected no change. {why}"
    )
    _, (gradient,) = value_and_grad(student.next_move_loss, longer, over, wrt=0)
    n_bad = int((~gradient.isfinite()).sum())
    assert n_bad == 0, (
        f"the gradient holds {n_bad} NaN or infinite numbers of {gradient.numel()}: 0 / 0 at positions where nothing "
        "is legal. Masking afterwards does not help the gradient: divide by n.clamp(min=1), or choose positions first"
    )
    largest = float(gradient[:, 20:].abs().max())
    assert largest < 1e-7, f"the gradient after the end of a game is up to {largest:.2g}, expected 0"


# --- 3.9 history_share -------------------------------------------------------------------------------------------


def ask_history(student, acts: Tensor, board: Tensor) -> float:
    with hint("board.unique(return_inverse=True, return_counts=True) numbers the groups from 0 and counts them"):
        result = student.history_share(acts, board)
    assert not isinstance(result, Tensor), f"the result is {describe(result)}, expected a plain number: float(...)"
    is_nan = isinstance(result, float) and math.isnan(result)
    assert not is_nan, (
        "the result is NaN: 0 / 0. A board that occurs once has no variance of its own, and adds nothing to the sum of "
        "squares; divide once, by positions minus boards. And are equal numbers one board, wherever they stand?"
    )
    share = expect_number(result)
    assert share > -1e-6, f"the share is {share:.3f}, expected a positive number: variances are not negative"
    return share


BY_HAND = torch.tensor([[0.0, 0], [2, 0], [5, 0], [5, 3], [5, 6]])  # two positions of board 0, three of board 1
PARTS = (
    "the squared distances from the board's mean add up to 2 + 18 = 20, those from the mean of all to 50, in five "
    "positions with two boards"
)


@exercise("history_share")
def test_returns_one_share(student, generator):
    for n, d_model, n_boards in ((60, 8, 20), (30, 3, 4)):
        ask_history(student, torch.randn(n, d_model, generator=generator), torch.arange(n) % n_boards)


@exercise("history_share", points=2)
def test_two_boards_by_hand(student):
    board, expected = torch.tensor([0, 0, 1, 1, 1]), (20 / 3) / (50 / 4)
    got = ask_history(student, BY_HAND, board)
    of_units = (BY_HAND - BY_HAND.mean(dim=0)).square().sum(dim=0)  # [d_model], 21.2 and 28.8
    mistakes = {
        20 / 50: "Both sums of squares are divided by n, or by nothing: divide the inner one by n minus the number of "
        "boards, since every board's mean was fitted to its own positions",
        (20 / 5) / (50 / 4): "The inner sum of squares is divided by n: divide by n minus the number of boards",
        (20 / 4) / (50 / 5): "The inner sum of squares is divided by n - 1: divide by n minus the number of boards",
        (20 / 3) / (50 / 5): "The outer sum of squares is divided by n: divide by n - 1",
        (20 / 3) / 50: "The outer sum of squares is not divided by n - 1",
        20 / (50 / 4): "The inner sum of squares is not divided by n minus the number of boards",
        (20 / 2) / (50 / 4): "The inner sum of squares is divided by the number of boards: by n minus that number",
        (2 / 1 + 18 / 2) / 2 / (50 / 4): "This is the mean of a variance for each board, whatever its size: add up "
        "squares over all positions, and divide once",
        (2 / 2 + 18 / 3) / 2 / (50 / 4): "This is the mean of a variance for each board, over n: add up squares over "
        "all positions, and divide once by n minus the number of boards",
        (2 / 2 + 18 / 3) / 2 / (50 / 5): "This is the mean of a variance for each board: add up squares over all "
        "positions, and divide once by n minus the number of boards",
        (2 / 1 + 18 / 2) / (50 / 4): "The variances of the boards are added up: add up squares over all positions, "
        "and divide once",
        1 - (20 / 3) / (50 / 4): "This is the share of the board: return that of the rest",
        1 - 20 / 50: "This is the share of the board, without degrees of freedom: return that of the rest",
        (30 / 1) / (50 / 4): "This is the variance between boards: return that within them",
        math.sqrt((20 / 3) / (50 / 4)): "This is a ratio of standard deviations: take variances",
        float((torch.tensor([2.0, 18]) / 3 / (of_units / 4)).mean()): "This is the mean of a share for each unit: add "
        "up the squares over all units first",
        (20 / 3) / (30 / 1): "Divided by the variance between boards: divide by that of all positions",
        30 / 20: "These are squares between boards over squares within: return the variance within over that of all",
        12.5 / (50 / 4): "This is the variance of the boards' means: take distances from them",
        (430 / 3) / (50 / 4): "Distances are taken from the sum of a board's positions: divide it by their number",
        (20 / 3) / float(BY_HAND.var()): "The variance of all numbers together is another one: subtract the mean of "
        "each unit, and add up squares over all units",
        (4 / 3) / (50 / 4): "Distances are taken from the first position of a board, not from its mean?",
    }
    mistakes.pop(expected, None)
    otherwise = "Subtract from each position the mean of its board, add up all squares, divide by n - n_boards"
    assert abs(got - expected) < 1e-4, (
        f"{PARTS}: the share is {got:.3f}, expected (20 / 3) / (50 / 4) = {expected:.3f}. "
        f"{likely(got, mistakes, otherwise, 1e-4)}"
    )


@exercise("history_share", points=1)
def test_a_board_that_occurs_once_is_not_certain(student):
    """Two more boards with one position each, both at the mean of all positions: they add no squares at all."""
    acts = torch.cat([BY_HAND, BY_HAND.mean(dim=0).expand(2, 2)])
    got, expected = ask_history(student, acts, torch.tensor([0, 0, 1, 1, 1, 2, 3])), (20 / 3) / (50 / 6)
    mistakes = {
        (20 / 3) / (50 / 4): "They are left out everywhere: they are positions too, in the variance of all",
        (20 / 5) / (50 / 6): "They count as positions but not as boards: divide by n minus the number of all boards",
        (20 / 7) / (50 / 6): "They count as if there were no difference: divide by n minus the number of boards",
        20 / 50: "They count as if there were no difference: divide by n minus the number of boards",
        (2 / 1 + 18 / 2) / 4 / (50 / 6): "They count as boards with variance 0: add up squares, and divide once",
        (2 / 2 + 18 / 3) / 4 / (50 / 7): "They count as boards with variance 0: add up squares, and divide once",
        (2 / 2 + 18 / 3) / 4 / (50 / 6): "They count as boards with variance 0: add up squares, and divide once",
        (2 / 1 + 18 / 2) / 2 / (50 / 6): "This is the mean of a variance for each board: add up squares, divide once",
    }
    otherwise = "They add nothing to the inner squares, and one each to n and to the number of boards"
    assert abs(got - expected) < 1e-4, (
        f"{PARTS}, and then two more boards with one position each, at the mean of all: the share is {got:.3f}, "
        f"expected (20 / 3) / (50 / 6) = {expected:.3f}. {likely(got, mistakes, otherwise, 1e-4)}"
    )


@exercise("history_share", points=1)
def test_acts_that_know_no_board_are_all_history(student, generator):
    """Most boards have two positions, and the means of pairs follow their noise."""
    board = torch.arange(300) % 140  # 20 boards occur three times
    got = ask_history(student, torch.randn(300, 40, generator=generator), board)
    why = "Half of the squares are lost to the means of pairs: divide by n minus the number of boards"
    if got > 0.7:
        why = "Divide the squares within by n minus the number of boards, those of all by n - 1"
    assert abs(got - 1) < 0.08, (  # standard deviation 0.013
        f"acts drawn by lot, 300 positions with 140 boards: the share is {got:.2f}, expected about 1. {why}"
    )


@exercise("history_share", points=1)
def test_a_planted_share_is_found(student, generator):
    """A vector for each board, and the rest by lot: one quarter of the variance, then none. Far from the origin."""
    board = torch.arange(600) % 250
    of_board = torch.randn(250, 40, generator=generator)[board] + 50
    rest = torch.randn(600, 40, generator=generator)
    for size, expected, tolerance in ((3**-0.5, 0.25, 0.03), (0.0, 0.0, 1e-4)):  # standard deviation 0.006
        got = ask_history(student, of_board + size * rest, board)
        why = "Variances are about means: subtract the mean of all positions" if got < 0.01 < expected else ""
        why = why or "The squares within a board are about its own mean, and divided by n minus the number of boards"
        assert abs(got - expected) < tolerance, (
            f"a vector for each of 250 boards, with a variance of 1, and {size**2:.2f} of noise: the share is "
            f"{got:.3g}, expected about {expected:.2f}. {why}"
        )


@exercise("history_share", points=1)
def test_numbers_of_boards_are_only_names(student, generator):
    """Boards numbered with gaps, from a negative number on, and positions in any order."""
    board = torch.arange(90) // 3
    acts = torch.randn(90, 6, generator=generator) + torch.randn(30, 6, generator=generator)[board]
    names = (torch.randperm(30, generator=generator) - 9) * 1000 + 7
    order = torch.randperm(90, generator=generator)
    before, after = ask_history(student, acts, board), ask_history(student, acts[order], names[board][order])
    assert abs(before - after) < 1e-3, (
        f"the same positions in another order, with other numbers for their boards: the share goes from {before:.3f} "
        f"to {after:.3f}, expected no change. Equal numbers are the same board, wherever they stand"
    )
