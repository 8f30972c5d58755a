"""The vectorised rules of Othello against a slow implementation that walks from square to square."""

import pytest
import torch

from utils.othello import (
    BLACK,
    EMPTY,
    MINE,
    PADDING,
    WHITE,
    YOURS,
    all_openings,
    legal_moves,
    random_games,
    replay_games,
    square_name,
    start_board,
    to_mine_yours,
    token_name,
    token_squares,
)

DIRECTIONS = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]


class SlowGame:
    """One game on a dictionary from (row, column) to colour, rules as a child learns them."""

    def __init__(self, size):
        self.size, self.to_move = size, BLACK
        self.colours = {(row, column): EMPTY for row in range(size) for column in range(size)}
        low, high = size // 2 - 1, size // 2
        self.colours |= {(low, low): WHITE, (high, high): WHITE, (low, high): BLACK, (high, low): BLACK}

    def flipped(self, square, player):
        """All discs that `player` turns over by playing on an empty square."""
        discs = []
        for down, right in DIRECTIONS:
            line, here = [], (square[0] + down, square[1] + right)
            while self.colours.get(here) == 3 - player:
                line.append(here)
                here = (here[0] + down, here[1] + right)
            if self.colours.get(here) == player:
                discs += line
        return discs

    def legal(self, player):
        return [square for square in self.colours if self.colours[square] == EMPTY and self.flipped(square, player)]

    def play(self, square):
        for disc in [square, *self.flipped(square, self.to_move)]:
            self.colours[disc] = self.to_move
        if self.legal(3 - self.to_move) or not self.legal(self.to_move):  # a pass only if the mover can go on
            self.to_move = 3 - self.to_move

    def board(self):
        return torch.tensor([self.colours[row, column] for row in range(self.size) for column in range(self.size)])

    def legal_board(self):
        legal = set(self.legal(self.to_move))
        return torch.tensor([square in legal for square in self.colours])


def replay_names(names, size=8):
    token_of = {token_name(token, size): token for token in range(1, size**2 - 3)}
    return replay_games(torch.tensor([[token_of[name] for name in names]]), size)


@pytest.mark.parametrize("size", [4, 6, 8])
@pytest.mark.parametrize("seed", range(10))
def test_boards_players_and_legal_moves_equal_the_slow_rules(size, seed):
    tokens = random_games(8, size, seed=seed)
    states = replay_games(tokens, size)
    for game, moves in enumerate(tokens):
        slow = SlowGame(size)
        for pos, token in enumerate(moves):
            if token == PADDING:
                assert not slow.legal(BLACK) and not slow.legal(WHITE)  # padded only when nobody can move
                assert not states.mask[game, pos] and not states.legal[game, pos].any()
                assert torch.equal(states.boards[game, pos], states.boards[game, pos - 1])
                continue
            square = divmod(int(token_squares(size)[token - 1]), size)
            assert square in slow.legal(slow.to_move)
            slow.play(square)
            assert states.mask[game, pos] and states.black_to_move[game, pos] == (slow.to_move == BLACK)
            colours = to_mine_yours(states.boards[game, pos], states.black_to_move[game, pos])
            assert torch.equal(colours.long(), slow.board())
            assert torch.equal(states.legal[game, pos], slow.legal_board())
        assert not slow.legal(BLACK) and not slow.legal(WHITE)  # the game was played to its end


@pytest.mark.parametrize("size", [6, 8])
def test_legal_moves_of_any_board_equal_the_slow_rules(size):
    """Noise instead of games: boards that no game reaches, as interventions make them."""
    boards = torch.randint(0, 3, (5, 20, size * size), generator=torch.Generator().manual_seed(0), dtype=torch.int8)
    legal = legal_moves(boards)
    slow = SlowGame(size)
    for board, expected in zip(boards.flatten(0, 1), legal.flatten(0, 1), strict=True):
        slow.colours = dict(zip(slow.colours, board.tolist(), strict=True))  # MINE plays BLACK's part
        assert torch.equal(expected, slow.legal_board())


def test_numbers_of_move_sequences_are_the_known_ones():
    """Perft of Othello: 4, 12, 56, ... sequences of 1, 2, 3, ... moves; 390,216 of 8 moves was left out for time."""
    counts = [len(all_openings(n_moves)) for n_moves in range(1, 8)]
    assert counts == [4, 12, 56, 244, 1396, 8200, 55092]


def test_openings_are_all_different_and_not_too_long():
    openings = all_openings(5)
    assert len(openings.unique(dim=0)) == len(openings)
    with pytest.raises(ValueError, match="n_moves must be 1 to 7, got 8; random_games"):
        all_openings(8)


def test_the_first_moves_of_black_are_the_textbook_ones():
    legal = legal_moves(start_board()).nonzero().flatten().tolist()
    assert [square_name(square) for square in legal] == ["d3", "c4", "f5", "e6"]
    board = replay_names(["f5"]).boards[0, 0]  # white moves next: black's discs are YOURS
    states = {square_name(square): int(board[square]) for square in board.nonzero().flatten()}
    assert states == {"d4": MINE, "e4": YOURS, "d5": YOURS, "e5": YOURS, "f5": YOURS}


def test_the_shortest_game_ends_after_nine_moves():
    """Black wipes white out: nobody can move, nothing is legal, and a tenth move is an error."""
    names = ["e6", "f4", "e3", "f6", "g5", "d6", "e7", "f5", "c5"]
    states = replay_names(names)
    assert not states.legal[0, -1].any() and states.mask.all()
    colours = to_mine_yours(states.boards[0, -1], states.black_to_move[0, -1])
    assert (colours == BLACK).sum() == 13 and (colours == WHITE).sum() == 0
    with pytest.raises(ValueError, match=r"game 0, move 10: a1 is not legal, the game is over, expected padding"):
        replay_names([*names, "a1"])


def test_a_pass_leaves_the_same_player_to_move_and_makes_no_token():
    tokens = random_games(200, seed=1)
    states = replay_games(tokens)
    before = torch.cat([torch.ones(200, 1, dtype=torch.bool), states.black_to_move[:, :-1]], dim=1)
    passed = states.mask & (states.black_to_move == before)
    assert 0.3 < passed.any(dim=1).float().mean() < 0.9  # so passes were among the games compared above
    assert states.legal[passed].any(dim=1).all()
    discs = (states.boards != EMPTY).sum(dim=-1)
    assert torch.equal(discs, 4 + states.mask.cumsum(dim=1))  # one disc per token, passes included


def test_random_games_are_seeded_and_uniform_over_the_legal_moves():
    tokens = random_games(6000, 6, seed=3)
    assert torch.equal(tokens, random_games(6000, 6, seed=3)) and not torch.equal(tokens, random_games(6000, 6, seed=4))
    first, count = tokens[:, 0].unique(return_counts=True)
    assert [token_name(token, 6) for token in first.tolist()] == ["c2", "b3", "e4", "d5"]
    assert ((count / 6000 - 0.25).abs() < 0.025).all()  # standard error 0.0056
    state = torch.random.get_rng_state()
    random_games(3, seed=5)
    assert torch.equal(state, torch.random.get_rng_state())  # the global generator is left alone


@pytest.mark.parametrize("size", [6, 8])
def test_every_token_has_a_name_of_its_own(size):
    squares = token_squares(size).tolist()
    assert len(squares) == size**2 - 4 and squares == sorted(squares)
    assert not (start_board(size)[squares] != EMPTY).any()  # the centre has no token
    assert len({token_name(token, size) for token in range(1, len(squares) + 1)}) == len(squares)
    assert token_name(1, size) == "a1" and token_name(len(squares), size) == {6: "f6", 8: "h8"}[size]


def test_a_beginning_gives_the_beginning_of_the_states():
    tokens = random_games(50, seed=2)
    whole, part = replay_games(tokens), replay_games(tokens[:, :20])
    assert torch.equal(whole.boards[:, :20], part.boards) and torch.equal(whole.legal[:, :20], part.legal)
    tokens[:, 20:] = PADDING  # broken off by padding instead
    padded = replay_games(tokens)
    assert torch.equal(padded.boards[:, 19:], whole.boards[:, 19:20].expand(-1, 41, -1))
    assert not padded.legal[:, 20:].any() and torch.equal(padded.legal[:, :20], part.legal)


def test_mine_and_yours_change_places_for_white_only():
    boards = torch.tensor([[EMPTY, BLACK, WHITE], [EMPTY, BLACK, WHITE]])
    mine_yours = to_mine_yours(boards, torch.tensor([True, False]))
    assert mine_yours.tolist() == [[EMPTY, MINE, YOURS], [EMPTY, YOURS, MINE]]


def test_black_and_white_are_mine_and_yours_of_black():
    states = replay_games(random_games(20, seed=4))
    black_white = states.black_white_boards
    assert torch.equal(black_white[states.black_to_move], states.boards[states.black_to_move])
    assert torch.equal(to_mine_yours(black_white, states.black_to_move), states.boards)
    black_disc = (black_white[:, 0] == BLACK).sum(dim=1)
    assert (black_disc == 4).all()  # black has moved once: two, the new one, the flipped one


def test_no_games_and_no_moves_are_allowed():
    assert random_games(0).shape == (0, 60)
    assert replay_games(random_games(0)).boards.shape == (0, 60, 64)
    assert replay_games(random_games(2)[:, :0]).legal.shape == (2, 0, 64)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: replay_games(torch.tensor([[20, 20]])), r"game 0, move 2: d3 is not legal, expected one of c3 e3 c5"),
        (lambda: replay_games(torch.tensor([[20, 19], [20, 1]])), r"game 1, move 2: a1 is not legal"),
        (lambda: replay_games(torch.tensor([[20, 61]])), r"game 0, move 2: tokens must be 0 to 60, got 61"),
        (lambda: replay_games(torch.tensor([[20, 0, 19]])), r"game 0, move 3: .* only padding after padding, got c3"),
        (lambda: replay_games(torch.tensor([20, 19])), r"got torch.int64 \(2,\); one game is tokens\[None\]"),
        (lambda: replay_games(torch.zeros(1, 60, dtype=torch.long), 6), r"at most 32 moves on the 6x6 board"),
        (lambda: random_games(1, 7), r"size must be 4, 6 or 8 .* got 7"),
        (lambda: legal_moves(torch.full((64,), 3)), r"states \[3\]"),
        (lambda: legal_moves(torch.zeros(60, dtype=torch.int8)), r"16, 36 or 64 squares"),
        (lambda: token_name(0), r"1 to 60 on the 8x8 board, got 0; 0 is padding"),
        (lambda: square_name(36, 6), r"0 to 35 on the 6x6 board, got 36"),
    ],
)
def test_errors_name_what_was_expected_and_what_came(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
