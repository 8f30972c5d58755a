"""Legal moves, board probes and beliefs against planted truths and counts by hand, and everything they must refuse."""

import pytest
import torch
from torch import Tensor

from utils.othello import EMPTY, MINE, YOURS, legal_moves, random_games, replay_games, token_squares
from utils.othello_probes import (
    believed_legal_rate,
    board_accuracy_by_layer,
    fit_board_probe,
    history_share,
    legal_move_rate,
    probe_cosines,
)
from utils.training.othello_cards import evaluate
from utils.training.othello_games import Settings, inputs_and_legal
from utils.training.othello_gpt import build_model

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def boards() -> Tensor:
    """Real boards [position square] from moves 8 to 24 of 40 games."""
    return replay_games(random_games(40)).boards[:, 8:24].flatten(0, 1)


# legal_move_rate


def test_the_rates_of_a_player_who_knows_all_none_or_half(generator):
    states = replay_games(random_games(20))
    legal = torch.nn.functional.pad(states.legal[:, :, token_squares()], (1, 0))  # the last position has none
    noise = torch.rand(legal.shape, generator=generator)
    assert legal_move_rate(noise + 2 * legal, legal) == (1, 1)
    assert legal_move_rate(noise - 2 * legal, legal) == (0, 0)
    one = torch.zeros_like(legal)
    one.scatter_(-1, legal.long().argmax(dim=-1, keepdim=True), True)  # the first legal token above all others
    top_1, top_n = legal_move_rate(noise * ~legal + 3 * (one & legal), legal)
    n_legal = legal.sum(dim=-1)
    assert top_1 == 1 and top_n == pytest.approx(float((1 / n_legal[n_legal > 0]).mean()))


def test_rates_agree_with_those_of_the_training_script():
    model = build_model(Settings(size=6, layers=1, d_model=16, heads=2)).eval()
    tokens, legal = inputs_and_legal(random_games(20, 6, seed=3), 6)
    with torch.no_grad():
        rates = legal_move_rate(model(tokens).logits, legal)
    theirs = evaluate(model, 6, 20, seed=3)
    assert rates == pytest.approx([theirs[f"top_{n}_legal"]["value"] for n in "1n"], abs=1e-4)


@pytest.mark.parametrize(
    ("logits", "legal", "message"),
    [
        (torch.zeros(2, 3, 61), torch.ones(2, 3, 60).bool(), "put a column of False before it"),
        (torch.zeros(2, 3, 61), torch.ones(2, 3, 61), "legal must be a bool tensor"),
        (torch.zeros(2, 3, 61), torch.zeros(2, 3, 61).bool(), "legal must be True somewhere"),
    ],
)
def test_rates_refuse_what_has_no_answer(logits, legal, message):
    with pytest.raises(ValueError, match=message):
        legal_move_rate(logits, legal)


# fit_board_probe, board_accuracy_by_layer


def test_boards_are_read_at_the_layer_that_holds_them(boards, generator):
    vectors = torch.randn(64, 3, 200, generator=generator)
    held = vectors[torch.arange(64), boards.long()].sum(dim=1)
    acts = torch.stack([torch.randn(held.shape, generator=generator), held]) + 4  # [layer position d_model]
    train, test = slice(0, 480), slice(480, 640)  # other games
    probe = fit_board_probe(acts[:, train], boards[train], l2=0.1)
    assert probe.weight.shape == (2, 64, 3, 200) and probe.bias.shape == (2, 64, 3)
    logits = probe(acts[:, test])
    assert torch.allclose(logits.sum(dim=-1), torch.ones(()), atol=1e-3)  # of three states exactly one holds
    of_all, of_occupied = board_accuracy_by_layer(logits, boards[test])
    assert of_all[1] > 0.99 and of_occupied[1] > 0.99 and of_occupied[0] < 0.6
    single = fit_board_probe(acts[1, train], boards[train], l2=0.1)
    assert torch.allclose(single.weight, probe.weight[1], atol=1e-5)
    assert board_accuracy_by_layer(single(acts[1, test]), boards[test])[1] == of_occupied[1]


def test_a_state_that_never_occurs_gets_no_weight(boards, generator):
    acts = torch.randn(len(boards), 8, generator=generator)
    centre = 27  # d4 is taken before the first move
    probe = fit_board_probe(acts, boards)
    assert not probe.weight[centre, EMPTY].any() and probe.bias[centre, EMPTY] == 0


def test_occupied_squares_are_those_of_the_true_board():
    boards = torch.tensor([[EMPTY, EMPTY, MINE], [EMPTY, YOURS, MINE]])
    believed = torch.tensor([[EMPTY, MINE, MINE], [EMPTY, EMPTY, YOURS]])
    of_all, of_occupied = board_accuracy_by_layer(torch.nn.functional.one_hot(believed, 3).float(), boards)
    assert of_all == pytest.approx(3 / 6) and of_occupied == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("acts", "boards", "message"),
    [
        (torch.zeros(5, 4), torch.zeros(6, 64).long(), "a row for each of the 5 positions"),
        (torch.zeros(5, 4), torch.zeros(5, 64), "must be integers"),
        (torch.zeros(5, 4), torch.full((5, 64), 3), r"states 0, 1, 2, got torch.int64 .* states \[3\]"),
        (torch.zeros(5, 4), torch.full((5, 64), -1), "states 0, 1, 2"),
        (torch.zeros(5, 4), torch.zeros(5, 3, 64).long(), "flattens games"),
    ],
)
def test_board_probes_refuse_boards_that_do_not_fit(acts, boards, message):
    with pytest.raises(ValueError, match=message):
        fit_board_probe(acts, boards)


def test_accuracy_refuses_what_has_no_answer():
    boards = torch.zeros(2, 64).long()
    with pytest.raises(ValueError, match="before any argmax"):
        board_accuracy_by_layer(torch.zeros(2, 64), boards)
    with pytest.raises(ValueError, match="must have an occupied square"):
        board_accuracy_by_layer(torch.zeros(2, 64, 3), boards)


# believed_legal_rate


def test_moves_are_counted_on_the_believed_board(boards):
    """One disc of every board is believed to be of the other colour."""
    believed = boards.long()
    disc = (boards != EMPTY).long().argmax(dim=1, keepdim=True)
    believed.scatter_(1, disc, 3 - believed.gather(1, disc))
    true, thought = legal_moves(boards), legal_moves(believed)
    wrong = thought & ~true & (boards == EMPTY)
    rows = wrong.any(dim=1).nonzero()[:, 0]
    played = wrong[rows].long().argmax(dim=1)
    of_played, of_others = believed_legal_rate(believed[rows], boards[rows], played)
    others = [
        bool(thought[row, square])
        for row, move in zip(rows.tolist(), played.tolist(), strict=True)
        for square in range(64)
        if boards[row, square] == EMPTY and not true[row, square] and square != move
    ]
    assert len(rows) > 20 and of_played == 1
    assert of_others == pytest.approx(sum(others) / len(others))
    assert believed_legal_rate(boards[rows], boards[rows], played) == (0, 0)


def test_beliefs_refuse_what_is_no_illegal_move(boards):
    legal = legal_moves(boards)
    illegal = (~legal & (boards == EMPTY)).long().argmax(dim=1)
    for believed, played, message in (
        (boards[1:], illegal, "index all three with the same positions"),
        (boards, illegal[1:], "index all three with the same positions"),
        (boards, legal.long().argmax(dim=1), "played must be illegal on boards"),
        (boards, illegal + 64, "from 0 to 63"),
    ):
        with pytest.raises(ValueError, match=message):
            believed_legal_rate(believed, boards, played)
    full = torch.full((1, 16), MINE)
    with pytest.raises(ValueError, match="other illegal empty squares"):
        believed_legal_rate(full, full, torch.tensor([3]))


# probe_cosines


def test_cosines_of_probes_in_exchanged_words(generator):
    first = torch.randn(2, 64, 3, 30, generator=generator)  # two layers
    assert torch.allclose(probe_cosines(first, 3 * first), torch.ones(2, 64, 2), atol=1e-5)
    turned = probe_cosines(first, first[:, :, [0, 2, 1]] + 5)
    assert torch.allclose(turned, torch.tensor([1.0, -1]).expand(2, 64, 2), atol=1e-4)
    other = torch.randn(2, 64, 3, 30, generator=generator)
    assert probe_cosines(first, other).mean().abs() < 0.1


@pytest.mark.parametrize("shape", [(64, 30, 3), (64, 30)])
def test_cosines_refuse_what_has_no_three_states(shape):
    with pytest.raises(ValueError, match="with three states"):
        probe_cosines(torch.zeros(shape), torch.zeros(shape))


# history_share


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_of_history_is_found_whatever_the_size_of_groups(share, generator):
    board = torch.arange(900) % 400 * 7 - 50  # two or three positions each, and numbers with gaps
    of_board = torch.randn(400, 50, generator=generator)[torch.arange(900) % 400]
    acts = (1 - share) ** 0.5 * of_board + share**0.5 * torch.randn(900, 50, generator=generator) + 100
    assert history_share(acts, board) == pytest.approx(share, abs=0.03)
    alone = torch.cat([board, torch.arange(10_000, 10_300)])  # 300 boards that occur once
    more = torch.randn(300, 50, generator=generator) + 100
    assert history_share(torch.cat([acts, more]), alone) == pytest.approx(share, abs=0.04)


@pytest.mark.parametrize(
    ("acts", "board", "message"),
    [
        (torch.randn(4, 3), torch.tensor([0, 0, 1]), "number the boards with"),
        (torch.randn(2, 4, 3), torch.tensor([0, 0]), "take one layer"),
        (torch.randn(4, 3), torch.arange(4), "board must repeat"),
        (torch.ones(4, 3), torch.tensor([0, 0, 1, 1]), "acts must vary"),
    ],
)
def test_history_refuses_what_has_no_answer(acts, board, message):
    with pytest.raises(ValueError, match=message):
        history_share(acts, board)
