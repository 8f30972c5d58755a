"""The checks of chapter 04. They run live in the notebook, in CI on the solutions, and on submissions."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, layer_norm, normalize

from utils.activations import cache_resid_post
from utils.course.expect import close, describe, exercise, expect_tensor, explain, hint, off
from utils.models import random_model
from utils.othello import EMPTY, MINE, YOURS
from utils.probes import LinearProbe, fit_ridge_probe

STATES = {EMPTY: "empty", MINE: "mine", YOURS: "yours"}


# --- 4.1 intervention_errors -------------------------------------------------------------------------------------


def expect_counts(found: object, n_cases: int) -> Tensor:
    """Fail unless a result is a whole number for each case; return the numbers as int64."""
    if isinstance(found, Tensor) and found.ndim == 0:
        raise AssertionError("the result is a single number, expected one for each case: sum over the tokens only")
    if isinstance(found, Tensor) and found.is_floating_point():
        assert bool((found == found.round()).all()), (
            f"the result holds {float(found[found != found.round()][0]):.3g}, expected whole numbers: count errors, "
            "and take no mean and no share"
        )
        found = found.long()
    dtype = found.dtype if isinstance(found, Tensor) and found.dtype in (torch.int32, torch.int16) else torch.int64
    expect_tensor(found, "case", (n_cases,), dtype=dtype)
    return found.long()


def draw_moves(n_cases: int, n_tokens: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Logits without ties, and legal tokens: from one to two thirds of all, never padding."""
    logits = torch.stack([torch.randperm(n_tokens, generator=generator) for _ in range(n_cases)]).float() - 7.5
    share = torch.linspace(0.05, 0.65, n_cases)[:, None]
    legal = torch.rand(n_cases, n_tokens, generator=generator) < share
    legal[:, 0], legal[:, -1] = False, True
    return logits, legal


@exercise("intervention_errors")
def test_returns_a_number_for_each_case(student, generator):
    for n_cases, n_tokens in ((5, 12), (1, 61), (7, 7)):
        logits, legal = draw_moves(n_cases, n_tokens, generator)
        found = expect_counts(student.intervention_errors(logits, legal), n_cases)
        assert int(found.min()) >= 0, f"a case has {int(found.min())} errors, expected 0 or more"


@exercise("intervention_errors", points=2)
def test_counts_both_kinds_of_errors_by_hand(student):
    """Tokens by rank: 4 1 5 0 3 2. N is 2, 3, 1 and 4."""
    logits = torch.tensor([0.5, 4.0, -3.0, -1.0, 9.0, 2.0]).repeat(4, 1)
    legal = torch.tensor([[4, 2, -1, -1], [1, 2, 3, -1], [2, -1, -1, -1], [4, 1, 5, 2]])
    legal = torch.stack([torch.isin(torch.arange(6), row) for row in legal])
    expected = torch.tensor([2, 4, 2, 2])
    found = expect_counts(student.intervention_errors(logits, legal), 4)
    n_legal = legal.sum(dim=1, keepdim=True)
    order = logits.argsort(dim=1, descending=True)

    def errors_of(playable: Tensor) -> Tensor:
        return (playable != legal).sum(dim=1)

    rank = order.argsort(dim=1)
    mistakes = {
        "This is one kind of errors: add what is legal and not among the N, and what is among the N and not legal": (
            expected // 2
        ),
        "These are the hits: count what differs": n_legal[:, 0] - expected // 2,
        "The tokens of each rank were taken for the rank of each token: argsort twice": errors_of(order < n_legal),
        "These are the N least likely tokens: sort in descending order": errors_of(
            logits.argsort(dim=1).argsort(dim=1) < n_legal
        ),
        "One token too many is taken: ranks count from 0": errors_of(rank <= n_legal),
        "One token too few is taken: ranks count from 0": errors_of(rank < n_legal - 1),
        "N differs from case to case; yours is the same for all, that of the first case": errors_of(rank < n_legal[:1]),
        "N differs from case to case; yours is the same for all, the largest": errors_of(rank < n_legal.max()),
        "The tokens with a logit above 0 are not the N most likely ones": errors_of(logits > 0),
        "Only the most likely token was looked at: take the N most likely ones": 1 - legal[:, 4].long(),
        "This is one kind of errors minus the other: add them": torch.zeros(4),
    }
    otherwise = "Compare the N most likely tokens with the N legal ones"
    assert torch.equal(found, expected), (
        "six tokens, from the most to the least likely 4 1 5 0 3 2; legal are 2 4, then 1 2 3, then 2, then 1 2 4 5: "
        f"errors are {found.tolist()}, expected {expected.tolist()}. {explain(found, mistakes, otherwise)}"
    )


@exercise("intervention_errors", points=1)
def test_a_perfect_network_makes_none_and_a_reversed_one_all(student, generator):
    _, legal = draw_moves(8, 20, generator)
    knows = legal * 3.0 + torch.rand(legal.shape, generator=generator)
    n_legal = legal.sum(dim=1)
    found = expect_counts(student.intervention_errors(knows, legal), 8)
    assert int(found.max()) == 0, (
        f"a network that puts all legal tokens first makes {found.tolist()} errors, expected none. With N legal tokens "
        "the N most likely ones are all that counts"
    )
    found = expect_counts(student.intervention_errors(-knows, legal), 8)
    expected = 2 * torch.minimum(n_legal, 20 - n_legal)
    why = "Where N is more than half of all tokens, some legal ones are among the N most likely even then"
    if torch.equal(found * 2, expected):
        why = "That is half of it: both kinds of errors count"
    assert torch.equal(found, expected), (
        f"a network that puts all legal tokens last, with {n_legal.tolist()} legal of 20: errors are {found.tolist()}, "
        f"expected {expected.tolist()}. {why}"
    )


@exercise("intervention_errors", points=1)
def test_only_the_order_of_the_logits_counts(student, generator):
    """Whatever is added to the logits of a case, and however they are stretched."""
    logits, legal = draw_moves(6, 15, generator)
    found = expect_counts(student.intervention_errors(logits, legal), 6)
    for other, what in (
        (logits - 40, "less 40"),
        (logits + 40, "plus 40"),
        ((logits / 9).exp(), "after an exponential"),
        (logits.log_softmax(dim=1), "as logarithms of probabilities"),
    ):
        again = expect_counts(student.intervention_errors(other, legal), 6)
        assert torch.equal(found, again), (
            f"the same logits {what} have {again.tolist()} errors instead of {found.tolist()}, expected the same. The "
            "N most likely tokens do not depend on a threshold: use their order"
        )


@exercise("intervention_errors", points=1)
def test_every_case_goes_by_its_own_legal_moves(student, generator):
    logits, legal = draw_moves(6, 15, generator)
    together = expect_counts(student.intervention_errors(logits, legal), 6)
    alone = torch.cat([expect_counts(student.intervention_errors(logits[[i]], legal[[i]]), 1) for i in range(6)])
    n_legal = legal.sum(dim=1).tolist()
    assert torch.equal(together, alone), (
        f"six cases with {n_legal} legal tokens have {together.tolist()} errors together and {alone.tolist()} one by "
        "one, expected the same. N is the number of legal tokens of each case: keep its axis, [case 1]"
    )
    order = torch.randperm(15, generator=generator)
    renamed = expect_counts(student.intervention_errors(logits[:, order], legal[:, order]), 6)
    assert torch.equal(together, renamed), (
        f"with the tokens in another order there are {renamed.tolist()} errors instead of {together.tolist()}, "
        "expected the same: no token has a part of its own, padding neither"
    )


# --- 4.2 square_effect_directions --------------------------------------------------------------------------------


@dataclass(frozen=True)
class PlantedBoards:
    """Streams that are a sum over squares: of a colour's direction and of one for being taken, and a large offset."""

    boards: Tensor  # [position square]
    colour: Tensor  # [square d_model], from YOURS to MINE
    taken: Tensor  # [square d_model]
    resid: Tensor  # [position d_model]


def signed(boards: Tensor) -> Tensor:
    return (boards == MINE).float() - (boards == YOURS).float()


def plant_boards(
    boards: Tensor, d_model: int, generator: torch.Generator, *, noise: float = 0.02, offset: float = 3.0
) -> PlantedBoards:
    colour, taken = torch.randn(2, boards.shape[1], d_model, generator=generator)
    resid = signed(boards) @ colour / 2 + (boards != EMPTY).float() @ taken
    resid = resid + offset * torch.randn(d_model, generator=generator)
    return PlantedBoards(boards, colour, taken, resid + noise * torch.randn(resid.shape, generator=generator))


def draw_boards(n: int, n_squares: int, generator: torch.Generator, together: float = 0.5) -> Tensor:
    """Boards on which neighbours tend to have one colour, and MINE is more frequent than YOURS."""
    boards = torch.rand(n, n_squares, generator=generator)
    boards = torch.where(boards < 0.3, EMPTY, torch.where(boards < 0.75, MINE, YOURS))
    for square in range(1, n_squares):
        copied = torch.rand(n, generator=generator) < together
        boards[:, square] = torch.where(copied, boards[:, square - 1], boards[:, square])
    return boards


@exercise("square_effect_directions")
def test_returns_a_direction_for_each_square(student, generator):
    with hint("Boards may come as int8: (boards == MINE).float() is a float whatever they are"):
        for n_squares, d_model, dtype in ((5, 7, torch.int64), (6, 6, torch.int8)):
            planted = plant_boards(draw_boards(60, n_squares, generator), d_model, generator)
            found = student.square_effect_directions(planted.resid, planted.boards.to(dtype), 1.0)
            expect_tensor(found, "square d_model", (n_squares, d_model))


@exercise("square_effect_directions", points=2)
def test_recovers_planted_effects(student, generator):
    """Neighbours go together in half of the positions, and squares are empty, mine and yours unequally often."""
    planted = plant_boards(draw_boards(3000, 9, generator), 12, generator)
    found = student.square_effect_directions(planted.resid, planted.boards, 1e-2)
    expect_tensor(found, "square d_model", (9, 12))
    one_by_one = torch.stack(
        [
            planted.resid[planted.boards[:, s] == MINE].mean(dim=0)
            - planted.resid[planted.boards[:, s] == YOURS].mean(dim=0)
            for s in range(9)
        ]
    )
    no_taken = torch.linalg.lstsq(
        signed(planted.boards) - signed(planted.boards).mean(dim=0), planted.resid - planted.resid.mean(dim=0)
    ).solution
    mistakes = {
        "This is half of it: from YOURS to MINE the colour changes by two": planted.colour / 2,
        "This is twice as much: from YOURS to MINE the colour changes by two": planted.colour * 2,
        "The sign is turned round: the effect goes from YOURS to MINE": -planted.colour,
        "This is half of it, and the sign is turned round: 1 where MINE, -1 where YOURS": -planted.colour / 2,
        "These are the rows of what is taken: the colours come first, if you put them first": planted.taken * 2,
        "These are the coefficients of what is taken: return those of the colours": planted.taken,
        "These are differences of means, square by square: squares that turn together are mixed": one_by_one,
        "What is taken is missing from the features: where squares are empty, it goes to the colours": 2 * no_taken,
        "FᵀF is divided by the number of positions, and FᵀR is not: divide neither": 3000 * planted.colour,
        "The features were divided by their spread: the effect is that of a colour as it is": planted.colour
        * signed(planted.boards).std(dim=0)[:, None],
    }
    otherwise = (
        "The board gives the features, the stream is the target: twice the rows of colours of (FᵀF + l2 I)⁻¹ Fᵀ R"
    )
    near = [(off(found, wrong), why) for why, wrong in mistakes.items() if off(found, wrong) < 0.08]
    states = torch.nn.functional.one_hot(planted.boards, 3).float()
    read = fit_ridge_probe(planted.resid, states, l2=1e-2).weight  # [square state d_model]
    if float(cosine_similarity(found, read[:, MINE] - read[:, YOURS], dim=1).min()) > 0.95:
        near = [(0.0, "These are the weights of a probe, which predicts the board: here the stream is the target")]
    assert off(found, planted.colour) < 0.03, (  # noise moves it by 0.002
        f"3,000 planted boards: your directions are {off(found, planted.colour):.0%} away from the planted ones, "
        f"expected less than 3 %. {min(near)[1] if near else otherwise}"
    )


@exercise("square_effect_directions", points=1)
def test_holds_the_other_squares(student, generator):
    """Square 1 has no effect at all, but nearly always the colour of square 0, which has one."""
    planted = plant_boards(draw_boards(4000, 4, generator, together=0.9), 10, generator)
    resid = planted.resid - signed(planted.boards[:, 1:2]) @ planted.colour[1:2] / 2
    found = student.square_effect_directions(resid, planted.boards, 1e-2)
    expect_tensor(found, "square d_model", (4, 10))
    share = float(found[1].norm() / planted.colour[0].norm())
    assert share < 0.1, (  # 0.01
        f"a square without any effect, whose colour goes with that of another square: your direction for it is "
        f"{share:.2f} times as long as the other one's, expected 0. One regression on all squares jointly holds the "
        "others; a regression, or a difference of means, for each square alone does not"
    )


@exercise("square_effect_directions", points=1)
def test_what_is_taken_is_not_a_colour(student, generator):
    """A square on which nearly all discs are mine: that it is taken goes with its colour."""
    boards = draw_boards(4000, 3, generator, together=0.0)
    boards[:, 0] = torch.where(
        (boards[:, 0] == YOURS) & (torch.rand(4000, generator=generator) < 0.8), MINE, boards[:, 0]
    )
    planted = plant_boards(boards, 10, generator)
    large = planted.resid + 5 * (boards != EMPTY).float() @ planted.taken
    found = student.square_effect_directions(large, boards, 1e-2)
    expect_tensor(found, "square d_model", (3, 10))
    both = torch.cat([signed(boards), (boards != EMPTY).float()], dim=1)
    target, wrong = large - large.mean(dim=0), off(found[:1], planted.colour[:1])
    mistakes = {
        "Centre the features: without that, what all boards have in common gets into every coefficient": both,
        "Whether a square is taken needs features of its own, beside the colours": signed(boards)
        - signed(boards).mean(dim=0),
    }
    why = "Are there two features for each square, its colour and whether it is taken, in one regression?"
    for text, features in mistakes.items():
        if off(found[:1], 2 * torch.linalg.lstsq(features, target).solution[:1]) < 0.02:
            why = text
    assert wrong < 0.1, (  # 0.01
        "a square that is mostly mine when it is taken, and whose being taken changes the stream a lot: your direction "
        f"is {wrong:.0%} away from the effect of its colour, expected less than 10 %. {why}"
    )


@exercise("square_effect_directions", points=1)
def test_a_common_offset_does_not_matter(student, generator):
    planted = plant_boards(draw_boards(800, 5, generator), 6, generator)
    found, moved = (
        student.square_effect_directions(planted.resid + shift, planted.boards, 1.0)
        for shift in (0.0, 30 * torch.randn(6, generator=generator))
    )
    for result in (found, moved):
        expect_tensor(result, "square d_model", (5, 6))
    change = off(moved, found)
    assert change < 0.01, (
        f"the same vector was added to all streams, and your directions move by {change:.0%}, expected not at all. "
        "Centre the features, and resid too, before you solve"
    )


@exercise("square_effect_directions", points=2)
def test_the_penalty_has_its_closed_form(student, generator):
    """Squares that are always taken and never go together: then the ridge shrinks each effect to n / (n + l2)."""
    n = 512
    bits = torch.arange(n)[:, None] >> torch.arange(4) & 1  # [position square], all combinations equally often
    boards = torch.where(bits == 1, MINE, YOURS)[torch.randperm(n, generator=generator)]
    planted = plant_boards(boards, 6, generator, noise=0.0)
    for l2 in (1.0, float(n), 3.0 * n):
        found = student.square_effect_directions(planted.resid, boards, l2)
        expect_tensor(found, "square d_model", (4, 6))
        got, expected = float((found * planted.colour).sum() / planted.colour.square().sum()), n / (n + l2)
        mistakes = {
            1.0: "Does l2 reach the solution?",
            n / (n + l2) / 2: "This is half of it: from YOURS to MINE the colour changes by two",
            n / (n + 2 * l2): "The penalty is that of two columns, mine and yours: take one for the colour, 1 and -1",
            n / (1 + l2): "FᵀF is divided by the number of positions, and FᵀR is not: divide neither",
            1 / (1 + l2): "FᵀF is a sum over positions, not a mean: do not divide it by their number",
            n / (n + 1): "It looks like l2 = 1, whatever is passed",
            n / (n + l2**2): "It looks like the square of l2",
            n / (n + n * l2): "l2 was multiplied by the number of positions",
        }
        near = [
            (abs(got - value), why) for value, why in mistakes.items() if abs(got - value) < 0.01 * max(value, 0.05)
        ]
        why = min(near)[1] if near else "Add l2 to each number on the diagonal of FᵀF, whatever the feature"
        assert abs(got - expected) < 0.01 * expected, (
            f"{n} positions, four squares that are always taken and never go together, l2 = {l2:g}: your effects are "
            f"{got:.3f} times the planted ones, expected n / (n + l2) = {expected:.3f}. {why}"
        )


# --- 4.3 edit_square ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Edits:
    """Streams and what is to be turned in them; a square occurs twice, in both directions."""

    resid: Tensor  # [case d_model]
    effects: Tensor  # [square d_model]
    squares: Tensor  # [case]
    to_mine: Tensor  # [case]


def draw_edits(generator: torch.Generator, n_cases: int = 6, n_squares: int = 9, d_model: int = 5) -> Edits:
    squares = torch.randperm(n_squares, generator=generator)[torch.arange(n_cases) % (n_cases - 1)]
    to_mine = torch.arange(n_cases) % 2 == 0  # the first case and the last one have the same square
    resid = 10 + torch.randn(n_cases, d_model, generator=generator)
    return Edits(resid, torch.randn(n_squares, d_model, generator=generator), squares, to_mine)


def ask_edit(student, edits: Edits, scale: float, cases: Tensor | slice = slice(None)) -> Tensor:
    resid = edits.resid[cases]
    found = student.edit_square(resid, edits.effects, edits.squares[cases], edits.to_mine[cases], scale)
    expect_tensor(found, "case d_model", tuple(resid.shape))
    return found


@exercise("edit_square")
def test_returns_a_stream_for_each_case(student, generator):
    with hint("effects[squares] is [case d_model], and a sign for each case needs a second axis: sign[:, None]"):
        for n_cases, n_squares, d_model in ((6, 9, 5), (4, 4, 4), (3, 64, 8)):
            ask_edit(student, draw_edits(generator, n_cases, n_squares, d_model), 1.0)


@exercise("edit_square", points=2)
def test_adds_the_effect_of_each_cases_square(student):
    """By hand: four squares whose effects are unit vectors times 1, 2, 3 and 4."""
    effects = torch.diag(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    resid = torch.tensor([[10.0, 10, 10, 10], [20, 20, 20, 20], [30, 30, 30, 30]])
    squares, to_mine, scale = torch.tensor([2, 0, 2]), torch.tensor([True, False, False]), 1.5
    found = student.edit_square(resid, effects, squares, to_mine, scale)
    expect_tensor(found, "case d_model", (3, 4))
    sign = torch.tensor([1.0, -1.0, -1.0])[:, None]
    push = effects[squares]
    mistakes = {
        "The sign is turned round: forwards to make a disc mine": resid - scale * sign * push,
        "All are pushed forwards: where the disc becomes yours, take the effect away": resid + scale * push,
        "Discs that become yours are not pushed: True and False are not 1 and -1": resid
        + scale * to_mine[:, None] * push,
        "The scale is left out": resid + sign * push,
        "The scale counts twice": resid + scale**2 * sign * push,
        "It is added twice": resid + 2 * scale * sign * push,
        "The effects are scaled to length 1: their length is the natural size": resid
        + scale * sign * normalize(push, dim=1),
        "The first effects are taken: those of each case's square are effects[squares]": resid
        + scale * sign * effects[:3],
        "The streams are gone: add the push to resid": scale * sign * push,
        "All effects were added to every case: effects[squares] has one for each": resid
        + scale * sign * push.sum(dim=0),
        "The scale multiplies the stream, too": scale * (resid + sign * push),
        "This is half of the push: scale 1 is the whole effect": resid + scale * sign * push / 2,
        "What the stream has along the effect was taken out: leave it in": resid * (push == 0) + scale * sign * push,
    }
    otherwise = "resid + scale * sign * effects[squares], with a sign of 1 or -1 for each case"
    assert close(found, resid + scale * sign * push), (
        f"streams 10, 20, 30 everywhere, squares 2, 0, 2, to mine, to yours, to yours, scale 1.5: the change is "
        f"{(found - resid).tolist()}, expected {(scale * sign * push + 0).tolist()}. "
        f"{explain(found, mistakes, otherwise)}"
    )


@exercise("edit_square", points=1)
def test_the_change_grows_with_the_scale(student, generator):
    """Scale 0 changes nothing, and a negative one pushes back."""
    edits = draw_edits(generator)
    still = ask_edit(student, edits, 0.0)
    assert close(still, edits.resid), (
        f"with scale 0 the streams change by up to {float((still - edits.resid).abs().max()):.2f}, expected not at all"
    )
    once = ask_edit(student, edits, 1.0) - edits.resid
    for scale in (0.25, 3.0, -2.0):
        change = ask_edit(student, edits, scale) - edits.resid
        ratio = float((change * once).sum() / once.square().sum())
        assert close(change, scale * once, atol=1e-3), (
            f"with scale {scale:g} the change is {ratio:.2f} times that of scale 1, expected {scale:g} times"
        )


@exercise("edit_square", points=1)
def test_there_and_back_again(student, generator):
    """A disc that is turned to mine, and then to yours."""
    edits = draw_edits(generator)
    there = student.edit_square(edits.resid, edits.effects, edits.squares, edits.to_mine, 2.0)
    expect_tensor(there, "case d_model", tuple(edits.resid.shape))
    moved = float((there - edits.resid).norm(dim=1).min())
    assert moved > 1e-3, "a case is not changed at all, expected a push in every case"
    back = student.edit_square(there, edits.effects, edits.squares, ~edits.to_mine, 2.0)
    away = float((back - edits.resid).abs().max())
    assert away < 1e-3, (
        f"turned and turned back, the streams are up to {away:.2f} away from where they were, expected 0. To mine and "
        "to yours are the same push with opposite signs"
    )


@exercise("edit_square", points=1)
def test_every_case_is_edited_by_itself(student, generator):
    edits = draw_edits(generator)
    together = ask_edit(student, edits, 1.5)
    for case in range(len(edits.squares)):
        alone = ask_edit(student, edits, 1.5, torch.tensor([case]))
        assert close(together[case], alone[0]), (
            f"case {case} gets another push among six than alone, up to "
            f"{float((together[case] - alone[0]).abs().max()):.2f} apart. Each case has its own square and sign, and "
            "two cases may have the same square"
        )


# --- 4.4 cure_belief ---------------------------------------------------------------------------------------------


@exercise("cure_belief")
def test_returns_a_stream_for_each_position(student, generator):
    with hint("A bool times a float is a float, and (wrong * sign) @ effects is [position d_model]"):
        for n, n_squares, d_model in ((5, 9, 4), (1, 64, 6), (4, 4, 4)):
            believed, boards = torch.randint(0, 3, (2, n, n_squares), generator=generator)
            resid, effects = (torch.randn(rows, d_model, generator=generator) for rows in (n, n_squares))
            found = student.cure_belief(resid, believed, boards, effects, 1.0)
            expect_tensor(found, "position d_model", (n, d_model))


@exercise("cure_belief", points=2)
def test_turns_discs_of_the_wrong_colour_and_nothing_else(student):
    """All nine pairs of a believed and a true state; square k pushes dimension k alone."""
    pairs = [(b, t) for b in STATES for t in STATES]
    believed, boards = torch.tensor(pairs).T[:, None]  # [1 square] each
    resid, effects = torch.full((1, 9), 7.0), torch.eye(9)
    found = student.cure_belief(resid, believed, boards, effects, 1.0)
    expect_tensor(found, "position d_model", (1, 9))
    push = (found - resid)[0]
    expected = torch.tensor([float((b, t) == (YOURS, MINE)) - float((b, t) == (MINE, YOURS)) for b, t in pairs])
    wrong, both = believed != boards, (believed != EMPTY) & (boards != EMPTY)
    truth = torch.where(boards == MINE, 1.0, -1.0)
    difference = signed(boards) - signed(believed)
    mistakes = {
        "The push goes further from the truth: add the effect where the disc is truly mine": -expected,
        "Every wrong square is pushed, empty ones too: count those that are taken on both boards": (wrong * truth)[0],
        "Squares that are empty on the true board are pushed": (wrong & (believed != EMPTY)).float()[0] * truth[0],
        "Squares that are believed to be empty are pushed": (wrong & (boards != EMPTY)).float()[0] * truth[0],
        "Squares that are believed rightly are pushed, too": (both * truth)[0],
        "Squares that are believed rightly are pushed, and wrong ones are not": ((~wrong & both) * truth)[0],
        "Wrong squares are all pushed towards mine: where the disc is truly yours, take the effect away": (
            wrong & both
        ).float()[0],
        "The difference of two colours is 2 or -2, and the effect is the whole way already: halve it": difference[0],
        "Squares that are empty on one of the boards get half a push: count those that are taken on both": (
            difference / 2
        )[0],
        "The numbers of the states were subtracted: MINE is 1 and YOURS is 2": (boards - believed).float()[0],
        "The numbers of the states were subtracted, empty squares too": (believed - boards).float()[0],
        "It is the double push": 2 * expected,
    }
    otherwise = "1 where YOURS is believed and MINE is true, -1 where it is the other way round, else 0"
    worst = int((push - expected).abs().argmax())
    b, t = (STATES[state] for state in pairs[worst])
    assert close(push, expected), (
        f"a square that is believed {b} and truly {t} is pushed by {float(push[worst]):g} times its effect, expected "
        f"{float(expected[worst]):g}. {explain(push, mistakes, otherwise)}"
    )


@exercise("cure_belief", points=1)
def test_adds_up_over_squares(student, generator):
    """One position has three wrong squares, one has a single one, one has none."""
    boards = torch.full((3, 6), MINE)
    believed = boards.clone()
    believed[0, [1, 3, 4]], believed[1, 5] = YOURS, YOURS
    effects, resid = torch.randn(6, 4, generator=generator), torch.randn(3, 4, generator=generator)
    found = student.cure_belief(resid, believed, boards, effects, 1.0)
    expect_tensor(found, "position d_model", (3, 4))
    expected = torch.stack([effects[[1, 3, 4]].sum(dim=0), effects[5], torch.zeros(4)])
    mistakes = {
        "This is a mean over the wrong squares: add their effects up": expected / torch.tensor([[3.0], [1.0], [1.0]]),
        "This is a mean over all squares: add the effects up": expected / 6,
        "The push is scaled to length 1": normalize(expected, dim=1),
        "The effects are scaled to length 1: their length is the natural size": torch.stack(
            [normalize(effects[[1, 3, 4]], dim=1).sum(dim=0), normalize(effects[5], dim=0), torch.zeros(4)]
        ),
        "Every position gets the pushes of all": expected.sum(dim=0).expand(3, 4),
        "The push goes further from the truth": -expected,
    }
    change = found - resid
    otherwise = "Each position is pushed by the sum of the effects of its own wrong squares"
    assert close(change, expected, atol=1e-3), (
        f"positions with three, one and no wrong squares are pushed by lengths "
        f"{[round(x, 2) for x in change.norm(dim=1).tolist()]}, expected "
        f"{[round(x, 2) for x in expected.norm(dim=1).tolist()]}. {explain(change, mistakes, otherwise)}"
    )


@exercise("cure_belief", points=1)
def test_a_cured_stream_is_that_of_the_true_board(student, generator):
    """Streams that are a sum of effects: of the believed board before, of the true one after; both taken everywhere."""
    believed, boards = torch.randint(1, 3, (2, 30, 12), generator=generator)
    effects = torch.randn(12, 20, generator=generator)
    offset = torch.randn(20, generator=generator)
    before, after = (signed(side) @ effects / 2 + offset for side in (believed, boards))
    found = student.cure_belief(before, believed, boards, effects, 1.0)
    expect_tensor(found, "position d_model", (30, 20))
    left = float((found - after).norm() / (before - after).norm())
    assert left < 1e-3, (
        "streams of boards that are all discs, believed and true: after the cure they are still "
        f"{left:.0%} of the way from the stream of the true board, expected 0 %. One effect is the whole way from "
        "YOURS to MINE"
    )


@exercise("cure_belief", points=1)
def test_where_nothing_is_wrong_nothing_changes(student, generator):
    """A control: with the belief right, any scale leaves the streams alone."""
    boards = torch.randint(0, 3, (8, 12), generator=generator)
    resid, effects = torch.randn(8, 5, generator=generator), torch.randn(12, 5, generator=generator)
    found = student.cure_belief(resid, boards, boards, effects, 4.0)
    expect_tensor(found, "position d_model", (8, 5))
    change = float((found - resid).abs().max())
    assert change < 1e-5, (
        f"believed and true boards are the same, and the streams change by up to {change:.2f}, expected not at all. "
        "Push wrong squares only"
    )


@exercise("cure_belief", points=1)
def test_the_scale_stretches_the_push(student, generator):
    believed, boards = torch.randint(0, 3, (2, 10, 12), generator=generator)
    resid, effects = torch.randn(10, 5, generator=generator) + 4, torch.randn(12, 5, generator=generator)
    once = student.cure_belief(resid, believed, boards, effects, 1.0) - resid
    for scale in (0.0, 0.5, 3.0, -1.0):
        found = student.cure_belief(resid, believed, boards, effects, scale)
        expect_tensor(found, "position d_model", (10, 5))
        assert close(found - resid, scale * once, atol=1e-3), (
            f"with scale {scale:g} the push is {float(((found - resid) * once).sum() / once.square().sum()):.2f} times "
            f"that of scale 1, expected {scale:g} times. The scale multiplies the push, not the stream"
        )


# --- 4.5 neuron_board_weights ------------------------------------------------------------------------------------


@pytest.fixture
def network(seed):
    """A GPT-2 of two blocks, with no weight at zero and rows of every length."""
    return random_model("gpt2", d_model=12, n_heads=3, d_vocab=20, n_ctx=10, seed=seed)


@exercise("neuron_board_weights")
def test_returns_a_table_of_neurons_and_squares(student, network, generator):
    for layer, n_squares in ((0, 5), (1, 48)):
        directions = torch.randn(n_squares, 12, generator=generator)
        expect_tensor(student.neuron_board_weights(network, layer, directions), "neuron square", (48, n_squares))


@exercise("neuron_board_weights", points=2)
def test_neurons_that_write_a_square_are_found(student, network, generator):
    """Planted: neuron 7 writes square 2, neuron 9 writes its opposite, neuron 11 writes at a right angle to it."""
    directions = 2 * torch.randn(4, 12, generator=generator)
    axis = normalize(directions[2], dim=0)
    rows = network.blocks[1].mlp.W_out
    rows[7], rows[9] = 0.3 * axis, -5 * axis
    rows[11] -= (rows[11] @ axis) * axis
    found = student.neuron_board_weights(network, 1, directions)
    expect_tensor(found, "neuron square", (48, 4))
    got, expected = found[[7, 9, 11], 2], torch.tensor([1.0, -1.0, 0.0])
    raw = rows[[7, 9, 11]] @ directions[2]
    mistakes = {
        "Neither is scaled to length 1: a cosine is a product of unit vectors": raw,
        "The directions are not scaled to length 1": expected * directions[2].norm(),
        "The neurons' rows are not scaled to length 1": rows[[7, 9, 11]] @ axis,
        "The sign is lost: a neuron may write the opposite": expected.abs(),
        "This is the square of the cosine": expected.square(),
        "These are distances": (2 - 2 * expected).sqrt(),
        "The sign is turned round": -expected,
    }
    otherwise = "The cosine of row n of this layer's W_out with directions[s]"
    assert close(got, expected, atol=1e-3), (
        "three planted neurons write a square's direction, its opposite, and something at a right angle: cosines are "
        f"{[round(x, 2) for x in got.tolist()]}, expected [1, -1, 0]. {explain(got, mistakes, otherwise)}"
    )


@exercise("neuron_board_weights", points=1)
def test_lengths_do_not_matter(student, network, generator):
    directions = torch.randn(4, 12, generator=generator)
    found = student.neuron_board_weights(network, 0, directions)
    expect_tensor(found, "neuron square", (48, 4))
    assert float(found.abs().max()) < 1 + 1e-4, (
        f"the largest number is {float(found.abs().max()):.2f}, expected cosines, from -1 to 1"
    )
    longer = student.neuron_board_weights(network, 0, directions * torch.tensor([[0.1], [3.0], [7.0], [40.0]]))
    network.blocks[0].mlp.W_out[5] *= 9
    heavier = student.neuron_board_weights(network, 0, directions)
    for other, what in ((longer, "directions are stretched"), (heavier, "a neuron's row is stretched")):
        expect_tensor(other, "neuron square", (48, 4))
        assert close(found, other), (
            f"where {what}, the table changes by up to {float((found - other).abs().max()):.2f}, expected not at all. "
            "Divide each vector by its own length, over the last axis"
        )


@exercise("neuron_board_weights", points=2)
def test_reads_what_this_layer_writes(student, network, generator):
    """Not what it reads, and not what the other layer writes."""
    directions = torch.randn(4, 12, generator=generator)
    tables = {}
    for layer in (0, 1):
        weights = network.blocks[layer].mlp
        for name, rows in (("writes", weights.W_out), ("reads", weights.W_in.T)):
            tables[layer, name] = cosine_similarity(rows[:, None], directions[None], dim=-1)
    for layer in (0, 1):
        found = student.neuron_board_weights(network, layer, directions)
        expect_tensor(found, "neuron square", (48, 4))
        mistakes = {
            f"This is what layer {1 - layer} writes: take `layer`": tables[1 - layer, "writes"],
            "This is what the neurons read: they write W_out": tables[layer, "reads"],
        }
        assert close(found, tables[layer, "writes"], atol=1e-3), (
            f"in layer {layer}, cosines with the rows of W_out are up to "
            f"{float((found - tables[layer, 'writes']).abs().max()):.2f} off, expected 0. "
            f"{explain(found, mistakes, 'One row of W_out for each neuron, [neuron d_model]')}"
        )


@exercise("neuron_board_weights", points=1)
def test_a_second_look_sees_the_same(student, network, generator):
    """Whoever changes what he looks at gets other logits afterwards."""
    tokens = torch.randint(0, 20, (2, 6), generator=generator)
    directions = torch.randn(4, 12, generator=generator)
    with torch.no_grad():
        before = network(tokens, attention_mask=torch.ones_like(tokens), return_type="logits")
        first, second = (student.neuron_board_weights(network, 1, directions) for _ in range(2))
        after = network(tokens, attention_mask=torch.ones_like(tokens), return_type="logits")
    expect_tensor(first, "neuron square", (48, 4))
    assert close(first, second), "two calls give two tables, expected the same one"
    assert close(before, after), "the network says something else afterwards: its weights were changed"


# --- 4.6 logit_lens ----------------------------------------------------------------------------------------------


def run_to_logits(network, tokens: Tensor) -> Tensor:
    with torch.no_grad():
        return network(tokens, attention_mask=torch.ones_like(tokens), return_type="logits")


@exercise("logit_lens")
def test_returns_logits_of_every_layer(student, network, generator):
    for n_layers, n in ((3, 5), (1, 1)):
        resid = torch.randn(n_layers, n, 12, generator=generator)
        expect_tensor(student.logit_lens(network, resid), "layer position token", (n_layers, n, 20))


@exercise("logit_lens", points=2)
def test_at_the_last_layer_it_is_the_networks_own_output(student, network, generator):
    tokens = torch.randint(0, 20, (4, 7), generator=generator)
    streams = cache_resid_post(network, tokens, torch.ones_like(tokens), [0, 1]).flatten(1, 2)
    expected = run_to_logits(network, tokens).flatten(0, 1)  # [position token]
    found = student.logit_lens(network, streams)
    expect_tensor(found, "layer position token", (2, 28, 20))
    final = network.ln_final
    with torch.no_grad():
        plain, bare, no_bias, twice = (
            network.unembed(stream)
            for stream in (
                streams[1],
                layer_norm(streams[1], (12,)),
                layer_norm(streams[1], (12,)) * final.weight,
                final(final(streams[1])),
            )
        )
    mistakes = {
        "The final LayerNorm is left out: model.ln_final comes first": plain,
        "The LayerNorm's own weight and bias are left out: use model.ln_final": bare,
        "The LayerNorm's own bias is left out: use model.ln_final": no_bias,
        "These are probabilities: return logits": expected.softmax(dim=-1),
        "These are logarithms of probabilities: return logits": expected.log_softmax(dim=-1),
        "The layers are in the wrong order": student.logit_lens(network, streams[:1])[0],
        "The LayerNorm is applied twice": twice,
    }
    otherwise = "What the model does after its last block: model.ln_final, then model.unembed"
    away = float((found[1] - expected).abs().max())
    assert away < 1e-3, (
        f"at the last layer the lens is up to {away:.2f} away from the network's own logits, expected 0. "
        f"{explain(found[1], mistakes, otherwise)}"
    )


@exercise("logit_lens", points=1)
def test_every_layer_and_position_is_read_by_itself(student, network, generator):
    resid = 3 * torch.randn(3, 5, 12, generator=generator)
    together = student.logit_lens(network, resid)
    expect_tensor(together, "layer position token", (3, 5, 20))
    for layer, position in ((0, 4), (2, 1)):
        alone = student.logit_lens(network, resid[[layer]][:, [position]])
        expect_tensor(alone, "layer position token", (1, 1, 20))
        assert close(together[layer, position], alone[0, 0], atol=1e-3), (
            f"layer {layer}, position {position} has other logits among others than alone, up to "
            f"{float((together[layer, position] - alone[0, 0]).abs().max()):.2f} apart, expected the same"
        )


@exercise("logit_lens", points=1)
def test_every_layer_goes_through_the_layernorm(student, network, generator):
    """It makes every stream equally long: early layers with short streams are read as well as late ones."""
    resid = 5 * torch.randn(2, 4, 12, generator=generator)
    found, longer, shifted = (student.logit_lens(network, other) for other in (resid, 4 * resid, resid + 3))
    for other, what in ((longer, "four times as long"), (shifted, "shifted by 3 in every dimension")):
        expect_tensor(other, "layer position token", (2, 4, 20))
        assert close(found, other, atol=1e-2), (
            f"a stream {what} has logits up to {float((found - other).abs().max()):.2f} away, expected the same: the "
            "final LayerNorm takes mean and length out, at every layer"
        )


@exercise("logit_lens", points=1)
def test_returns_logits_and_no_probabilities(student, network, generator):
    found = student.logit_lens(network, torch.randn(2, 6, 12, generator=generator))
    expect_tensor(found, "layer position token", (2, 6, 20))
    sums = found.exp().sum(dim=-1)
    assert float((found.sum(dim=-1) - 1).abs().max()) > 0.01, "the numbers add up to 1: return logits, no probabilities"
    assert float((sums - 1).abs().max()) > 0.01, (
        "the exponentials add up to 1: these are logarithms of probabilities, return logits"
    )


# --- 4.7 fit_tuned_lens ------------------------------------------------------------------------------------------


def expect_lens(lens: object, d_model: int) -> LinearProbe:
    assert isinstance(lens, LinearProbe), f"the result is {describe(lens)}, expected LinearProbe(weight=..., bias=...)"
    expect_tensor(lens.weight, "d_model d_model", (d_model, d_model), name="weight")
    expect_tensor(lens.bias, "d_model", (d_model,), name="bias")
    return lens


@dataclass(frozen=True)
class Translation:
    """Streams, and what they become at the end: an affine map, with next to no noise."""

    resid: Tensor  # [position d_model]
    final: Tensor  # [position d_model]
    matrix: Tensor  # [d_model d_model]


def draw_translation(n: int, d_model: int, generator: torch.Generator) -> Translation:
    matrix = torch.eye(d_model) + 0.2 * torch.randn(d_model, d_model, generator=generator)
    resid = 2 + torch.randn(n, d_model, generator=generator)
    final = resid @ matrix.T + 3 * torch.randn(d_model, generator=generator)
    return Translation(resid, final + 0.01 * torch.randn(n, d_model, generator=generator), matrix)


@exercise("fit_tuned_lens")
def test_returns_a_lens(student, generator):
    for n, d_model in ((40, 5), (9, 12)):
        data = draw_translation(n, d_model, generator)
        expect_lens(student.fit_tuned_lens(data.resid, data.final, 1.0), d_model)


@exercise("fit_tuned_lens", points=2)
def test_recovers_a_planted_translation(student, generator):
    """Judged on new streams."""
    data, fresh = draw_translation(600, 8, generator), 2 + torch.randn(50, 8, generator=generator)
    lens = expect_lens(student.fit_tuned_lens(data.resid, data.final, 1e-3), 8)
    offset = (data.final - data.resid @ data.matrix.T).mean(dim=0)
    expected, found = fresh @ data.matrix.T + offset, lens(fresh)
    mistakes = {
        "This is the update alone: add the identity to its weight": expected - fresh,
        "The identity is added twice, or the update was fitted to final: fit it to final - resid": expected + fresh,
        "The weight is transposed": fresh @ data.matrix + lens.bias,
        "This is the way back, from final to resid: the lens translates resid": (fresh - offset)
        @ torch.linalg.inv(data.matrix).T,
        "The bias is left out": fresh @ data.matrix.T,
        "The update is subtracted": fresh - (expected - fresh),
    }
    near = [why for why, wrong in mistakes.items() if off(found, wrong) < 0.02]
    if not near and float((lens.weight - data.matrix).abs().max()) < 0.05:
        near = ["The weight is right, and the bias is not: take that of the update, fitted on resid as it is"]
    away = float((found - expected).abs().max())
    assert away < 0.1, (  # 0.005
        f"an affine map of 8 dimensions: on new streams the lens is up to {away:.2f} away from it, expected < 0.1. "
        f"{near[0] if near else 'weight = identity + weight of the update, bias = bias of the update'}"
    )


@exercise("fit_tuned_lens", points=2)
def test_a_large_penalty_leaves_the_identity(student, generator):
    """And a shift that makes the means agree: what the logit lens needs least."""
    data = draw_translation(200, 6, generator)
    lens = expect_lens(student.fit_tuned_lens(data.resid, data.final, 1e9), 6)
    mistakes = {
        "The penalty pulls the whole weight to 0: fit the update, final - resid, and add the identity": torch.zeros(
            6, 6
        ),
        "Does l2 reach the update?": data.matrix,
        "The identity is added twice": 2 * torch.eye(6),
        "The sign of the identity is turned round": -torch.eye(6),
        "All entries are 1: torch.eye has ones on the diagonal only": torch.ones(6, 6),
    }
    near = [why for why, wrong in mistakes.items() if close(lens.weight, wrong, atol=0.05)]
    away = float((lens.weight - torch.eye(6)).abs().max())
    assert away < 0.01, (
        f"with l2 = 1e9 the weight is up to {away:.2f} away from the identity, expected 0. "
        f"{near[0] if near else 'Only the update is penalised'}"
    )
    shift = (data.final - data.resid).mean(dim=0)
    away = float((lens.bias - shift).abs().max())
    assert away < 0.01, (
        f"with l2 = 1e9 the bias is up to {away:.2f} away from the mean of final - resid, expected 0: the bias is that "
        "of the update"
    )


@exercise("fit_tuned_lens", points=1)
def test_only_the_update_is_penalised(student, generator):
    """One dimension: the update is its least-squares slope times n variance / (n variance + l2)."""
    resid = torch.randn(100, 1, generator=generator)
    resid = (resid - resid.mean()) / resid.std(correction=0) + 4
    for l2 in (25.0, 100.0, 300.0):
        lens = expect_lens(student.fit_tuned_lens(resid, 3 * resid + 1, l2), 1)
        got, expected = float(lens.weight), 1 + 2 * 100 / (100 + l2)
        mistakes = {
            3.0: "Does l2 reach the update?",
            3 * 100 / (100 + l2): "The whole weight is penalised: fit the update, and add the identity",
            1 + 3 * 100 / (100 + l2): "The update was fitted to final: fit it to final - resid",
            2 * 100 / (100 + l2): "This is the update alone: add the identity",
            1 + 2 * 100 / 101: "It looks like l2 = 1, whatever is passed",
        }
        why = next(
            (text for value, text in mistakes.items() if abs(got - value) < 0.01), "Only the update is penalised"
        )
        assert abs(got - expected) < 0.01, (
            f"final = 3 resid + 1, 100 positions with variance 1, l2 = {l2:g}: the weight is {got:.2f}, expected "
            f"1 + 2 · 100 / (100 + l2) = {expected:.2f}. {why}"
        )


# --- 4.8 patch_resid ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Runs:
    """Two batches of tokens, all different from position 1 on, and what the network makes of them."""

    tokens: Tensor  # [game pos]
    source: Tensor  # [game pos]
    streams: dict[str, Tensor]  # of both: [layer game pos d_model]


@pytest.fixture
def deep(seed):
    """A GPT-2 of three blocks."""
    return random_model("gpt2", n_layers=3, d_model=12, n_heads=3, d_vocab=20, n_ctx=10, seed=seed)


def draw_runs(network, generator: torch.Generator, n_games: int = 3, n_pos: int = 6) -> Runs:
    tokens = torch.randint(0, 10, (n_games, n_pos), generator=generator)
    source = tokens + 10  # other tokens everywhere
    mask = torch.ones_like(tokens)
    kept = {
        name: cache_resid_post(network, run, mask, [0, 1, 2]) for name, run in (("tokens", tokens), ("source", source))
    }
    return Runs(tokens, source, kept)


def finish(network, resid: Tensor, layer: int) -> Tensor:
    """Logits at the last position [game token], of streams [game pos d_model] that leave this layer."""
    with torch.no_grad():
        if layer + 1 == network.cfg.n_layers:
            return network.unembed(network.ln_final(resid[:, -1]))
        return network(resid, start_at_layer=layer + 1, return_type="logits")[:, -1]


@exercise("patch_resid")
def test_returns_logits_after_the_last_move(student, deep, generator):
    with hint("given is [game d_model], and so is resid[:, pos]; the hook returns resid"):
        for n_games, n_pos in ((3, 6), (1, 4)):
            runs = draw_runs(deep, generator, n_games, n_pos)
            found = student.patch_resid(deep, runs.tokens, runs.source, 1, 2)
            expect_tensor(found, "game token", (n_games, 20))


@exercise("patch_resid", points=2)
def test_one_place_comes_from_the_source(student, deep, generator):
    """Against a run that starts in the middle, from a stream put together by hand."""
    runs = draw_runs(deep, generator)
    own, other = runs.streams["tokens"], runs.streams["source"]

    def put_together(into: Tensor, given: Tensor, layer: int, where, out_of=None) -> Tensor:
        mixed = into[layer].clone()
        mixed[:, where] = given[layer if out_of is None else out_of][:, where]
        return finish(deep, mixed, layer)

    for layer, pos in ((1, 4), (0, 2), (1, 5)):
        found = student.patch_resid(deep, runs.tokens, runs.source, layer, pos)
        expect_tensor(found, "game token", (3, 20))
        expected = put_together(own, other, layer, pos)
        mean = own[layer].clone()
        mean[:, pos] = other[layer][:, pos].mean(dim=0)
        added = own[layer].clone()
        added[:, pos] += other[layer][:, pos]
        before, last = own[layer].clone(), own[layer].clone()
        before[:, pos] = other[layer][:, pos - 1]
        last[:, -1] = other[layer][:, pos]
        swapped = runs.tokens.clone()
        swapped[:, pos] = runs.source[:, pos]
        mistakes = {
            "These are probabilities: return logits": expected.softmax(dim=-1),
            "A token was exchanged: exchange the stream after the block": run_to_logits(deep, swapped)[:, -1],
            "Nothing was patched: does the hook return the changed stream?": finish(deep, own[layer], layer),
            "These are the logits of source: run tokens, and patch resid[:, pos] only": finish(
                deep, other[layer], layer
            ),
            "The two runs are exchanged: run tokens, and take one vector from source": put_together(
                other, own, layer, pos
            ),
            "The layer after it was patched: `layer` is blocks.{layer}.hook_resid_post": put_together(
                own, other, layer + 1, pos
            ),
            "The positions up to pos were patched, too": put_together(own, other, layer, slice(0, pos + 1)),
            "The positions from pos on were patched, too": put_together(own, other, layer, slice(pos, None)),
            "The position before it was patched: positions count from 0": put_together(own, other, layer, pos - 1),
            "Every game got the mean of all sources": finish(deep, mean, layer),
            "The source's vector was added: put it in the other one's place": finish(deep, added, layer),
            "The last position was patched, whatever pos is": put_together(own, other, layer, -1),
            "The vector was put at the last position, whatever pos is": finish(deep, last, layer),
            "The source was read one position before: positions count from 0": finish(deep, before, layer),
            "The stream was taken from the layer before": put_together(own, other, layer, pos, max(layer - 1, 0)),
            "The stream was taken from the layer after": put_together(own, other, layer, pos, layer + 1),
        }
        if layer > 0:
            entering = own[layer - 1].clone()
            entering[:, pos] = other[layer - 1][:, pos]
            mistakes["The layer before it was patched: `layer` is blocks.{layer}.hook_resid_post"] = finish(
                deep, entering, layer - 1
            )
            entering = own[layer - 1].clone()
            entering[:, pos] = other[layer][:, pos]
            mistakes["The vector was put in before the block: hook_resid_post is after it"] = finish(
                deep, entering, layer - 1
            )
        away = float((found - expected).abs().max())
        otherwise = "The stream after block `layer` is that of tokens, at `pos` that of source; logits of the last move"
        assert away < 1e-3, (
            f"layer {layer}, position {pos} of 6: the logits are up to {away:.2f} away from those of a stream that was "
            f"put together by hand, expected 0. {explain(found, mistakes, otherwise)}"
        )


@exercise("patch_resid", points=1)
def test_patched_with_itself_nothing_changes(student, deep, generator):
    runs = draw_runs(deep, generator)
    expected = run_to_logits(deep, runs.tokens)
    for layer, pos in ((0, 3), (2, 5)):
        found = student.patch_resid(deep, runs.tokens, runs.tokens, layer, pos)
        expect_tensor(found, "game token", (3, 20))
        away = float((found - expected[:, -1]).abs().max())
        why = "Is anything but the stream at (layer, pos) changed?"
        if close(found, expected[:, pos], atol=1e-3) and pos != 5:
            why = "These are the logits at pos: return those after the last move"
        elif close(found, expected[:, 0], atol=1e-3):
            why = "These are the logits after the first move: return those after the last one"
        assert away < 1e-3, (
            f"tokens and source are the same: the logits are up to {away:.2f} away from the untouched run, expected 0. "
            f"{why}"
        )


@exercise("patch_resid", points=2)
def test_after_the_last_block_only_the_last_position_matters(student, deep, generator):
    """There is no attention any more: an earlier position has no say, the last one has all of it."""
    runs = draw_runs(deep, generator)
    plain, of_source = run_to_logits(deep, runs.tokens)[:, -1], run_to_logits(deep, runs.source)[:, -1]
    for pos, expected, whose in ((5, of_source, "the source"), (2, plain, "the untouched run")):
        found = student.patch_resid(deep, runs.tokens, runs.source, 2, pos)
        expect_tensor(found, "game token", (3, 20))
        away = float((found - expected).abs().max())
        why = "Is the stream patched after the block, at this position alone?"
        if pos == 5 and close(found, plain, atol=1e-3):
            why = "Nothing was patched: does the hook return the changed stream, and is it at blocks.2.hook_resid_post?"
        elif pos == 2 and close(found, of_source, atol=1e-3):
            why = "More than position 2 was patched"
        assert away < 1e-3, (
            f"layer 2 of three blocks, position {pos} of 0 to 5: the logits are up to {away:.2f} away from those of "
            f"{whose}, expected 0. {why}"
        )


@exercise("patch_resid", points=1)
def test_every_game_has_its_own_source(student, deep, generator):
    runs = draw_runs(deep, generator)
    together = student.patch_resid(deep, runs.tokens, runs.source, 1, 3)
    expect_tensor(together, "game token", (3, 20))
    for game in range(3):
        alone = student.patch_resid(deep, runs.tokens[[game]], runs.source[[game]], 1, 3)
        expect_tensor(alone, "game token", (1, 20))
        away = float((together[game] - alone[0]).abs().max())
        assert away < 1e-3, (
            f"game {game} has other logits among three than alone, up to {away:.2f} apart, expected the same. Each "
            "game is patched from the source in the same row"
        )
