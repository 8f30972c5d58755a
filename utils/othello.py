"""The rules of Othello, for thousands of games at once.

Squares are counted in row order from a1 (top left): square = row * size + column, named column letter + row number.
Tokens follow Li et al. 2022, arXiv:2210.13382: 0 is padding and 1, 2, ... are the squares in the same order *without*
the four centre squares, which are taken before the first move: 60 moves on the 8x8 board, 32 on the 6x6 board.
Black begins. Whoever cannot move passes, which is no token; the game ends when nobody can move.

Inside, a set of squares is one uint64 per game (see utils.othello_bits), so that one line moves every game forward.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Bool, Int, Int8
from torch import Tensor

from utils.othello_bits import Rules, nth_bit, unpack

EMPTY, MINE, YOURS = 0, 1, 2  # as whoever moves next, after passes, sees them: the index order of the whole course
BLACK, WHITE = 1, 2  # as an onlooker sees them; EMPTY is 0 here too
PADDING = 0  # token after the end of a game
BLOCK = 4096  # games played together: enough that Python costs little, few enough for the cache of one core


@dataclass(frozen=True)
class GameStates:
    """What holds after every move of every game. Where mask is False, the last board stays and nothing is legal."""

    boards: Int8[Tensor, "game pos square"]  # EMPTY, MINE, YOURS for whoever moves next (game over: would have moved)
    legal: Bool[Tensor, "game pos square"]  # where whoever moves next may play; all False once the game is over
    black_to_move: Bool[Tensor, "game pos"]  # True if black moves next; twice the same in a row after a pass
    mask: Bool[Tensor, "game pos"]  # True where a move was made, False on padding

    @property
    def black_white_boards(self) -> Int8[Tensor, "game pos square"]:
        """The same boards as an onlooker sees them: EMPTY, BLACK, WHITE."""
        return to_mine_yours(self.boards, self.black_to_move)  # its own inverse


# Squares, tokens, names


@cache
def token_squares(size: int = 8) -> Int[Tensor, " move"]:
    """Return the square of every move token: token t plays on token_squares(size)[t - 1].

    So `legal[..., token_squares(size)]` lines up with `logits[..., 1:]`. Do not write into the result: it is shared.
    """
    if size not in (4, 6, 8):
        raise ValueError(f"size must be 4, 6 or 8 (an even board of at most 64 squares), got {size}")
    low, high = size // 2 - 1, size // 2
    centre = {row * size + column for row in (low, high) for column in (low, high)}
    return torch.tensor([square for square in range(size * size) if square not in centre])


def square_name(square: int, size: int = 8) -> str:
    """Return the name of a square: 0 is "a1" (top left), 19 on the 8x8 board is "d3"."""
    if not 0 <= square < size * size:
        raise ValueError(f"square must be 0 to {size * size - 1} on the {size}x{size} board, got {square}")
    row, column = divmod(int(square), size)
    return f"{'abcdefgh'[column]}{row + 1}"


def token_name(token: int, size: int = 8) -> str:
    """Return the name of the square that a move token plays on."""
    squares = token_squares(size)
    if not 1 <= token <= len(squares):
        raise ValueError(
            f"token must be 1 to {len(squares)} on the {size}x{size} board, got {token}; {PADDING} is padding, no move"
        )
    return square_name(squares[token - 1], size)


def to_tokens(squares: Bool[Tensor, "*batch square"], size: int = 8) -> Bool[Tensor, "*batch token"]:
    """Turn flags of squares, such as where a move is legal, into flags of tokens; padding is never set."""
    return torch.nn.functional.pad(squares[..., token_squares(size)], (1, 0))


# Boards


def start_board(size: int = 8) -> Int8[Tensor, " square"]:
    """Return the board before the first move, for black, who begins: e4 and d5 are MINE, d4 and e5 YOURS (8x8)."""
    mine, yours = (unpack(np.array(bits, dtype=np.uint64), size) for bits in _rules(size).start)
    return _states(mine, yours)


def to_mine_yours(
    boards: Int[Tensor, "*batch square"], black_to_move: Bool[Tensor, "*batch"]
) -> Int[Tensor, "*batch square"]:
    """Turn EMPTY, BLACK, WHITE into EMPTY, MINE, YOURS for whoever moves next. It is its own inverse."""
    exchanged = (3 - boards) % 3  # 0, 1, 2 -> 0, 2, 1
    return torch.where(black_to_move[..., None], boards, exchanged)


def legal_moves(boards: Int[Tensor, "*batch square"]) -> Bool[Tensor, "*batch square"]:
    """Return where MINE may play on any boards in EMPTY, MINE, YOURS: believed and edited ones too."""
    size, boards = round(boards.shape[-1] ** 0.5), boards.cpu()
    rules = _rules(size)
    if boards.shape[-1] != size * size or not torch.isin(boards, torch.tensor([EMPTY, MINE, YOURS])).all():
        raise ValueError(
            f"boards must be [... square] with 16, 36 or 64 squares and states {EMPTY, MINE, YOURS}, "
            f"got shape {tuple(boards.shape)}, states {boards.unique().tolist()}; take the argmax of probe logits first"
        )
    flat = boards.reshape(-1, size * size).numpy()
    mine, yours = ((flat == state).astype(np.uint64) @ rules.bit for state in (MINE, YOURS))  # [game] each
    return unpack(rules.legal(mine, yours), size).reshape(boards.shape)


# Games


def random_games(n_games: int, size: int = 8, *, seed: int = 0) -> Int[Tensor, "game pos"]:
    """Play games of uniformly random legal moves; equal arguments give equal games.

    Returns:
        Tokens [game, size**2 - 4]; games that end before the board is full are padded with 0: about 1 in 100 on the
        8x8 board, 1 in 25 on the 6x6 board.
    """
    rules, n_moves = _rules(size), len(token_squares(size))
    generator = torch.Generator().manual_seed(seed)
    tokens = np.zeros((n_games, n_moves), dtype=np.int64)
    for block in (tokens[first : first + BLOCK] for first in range(0, n_games, BLOCK)):
        mine, yours, legal = rules.begin(len(block))
        uniform = torch.rand(n_moves, len(block), generator=generator, dtype=torch.float64).numpy()
        for pos in range(n_moves):
            move = nth_bit(legal, np.floor(uniform[pos] * np.bitwise_count(legal)))
            block[:, pos] = rules.token_of_square[np.bitwise_count(move - 1)]  # no move: 0 - 1 has 64 bits
            mine, yours, legal, _ = rules.play(mine, yours, move)
    return torch.from_numpy(tokens)


def all_openings(n_moves: int, size: int = 8) -> Int[Tensor, "game pos"]:
    """Return every game of so many moves: 4, 12, 56, 244, 1,396, 8,200 for 1 to 6 moves on the 8x8 board.

    Raises:
        ValueError: If n_moves is not 1 to 7: there are 390,216 openings of 8 moves.
    """
    if not 1 <= n_moves <= 7:
        raise ValueError(f"n_moves must be 1 to 7, got {n_moves}; random_games draws longer games")
    legal = legal_moves(start_board(size))[None]
    games = torch.zeros(1, 0, dtype=torch.int64)
    for _ in range(n_moves):
        game, move = legal[:, token_squares(size)].nonzero().unbind(dim=1)
        games = torch.cat([games[game], move[:, None] + 1], dim=1)
        legal = replay_games(games, size).legal[:, -1]
    return games


def replay_games(tokens: Int[Tensor, "game pos"], size: int = 8) -> GameStates:
    """Return boards and legal moves after every move of every game, on the CPU.

    Args:
        tokens: Whole games or their beginnings; padding only after the last move.

    Raises:
        ValueError: If a shape, a token or a move is wrong; names the game (from 0), the move (from 1) and the square.
    """
    tokens = tokens.cpu()
    _check_tokens(tokens, size)
    rules = _rules(size)
    played = rules.bit_of_token[tokens.numpy()]  # [game pos], 0 on padding
    mine, yours, legal = np.zeros((3, *played.shape), dtype=np.uint64)
    same_player = np.zeros(played.shape, dtype=bool)  # the other one passed, or padding
    for block in (slice(first, first + BLOCK) for first in range(0, len(tokens), BLOCK)):
        now_mine, now_yours, now_legal = rules.begin(len(tokens[block]))
        for pos in range(tokens.shape[1]):
            move = played[block, pos]
            illegal = np.flatnonzero(move & ~now_legal)
            if len(illegal):
                _raise_illegal(tokens, block.start + int(illegal[0]), pos, now_legal[illegal[0]], size)
            now_mine, now_yours, now_legal, same_player[block, pos] = rules.play(now_mine, now_yours, move)
            mine[block, pos], yours[block, pos], legal[block, pos] = now_mine, now_yours, now_legal
    return GameStates(
        boards=_states(unpack(mine, size), unpack(yours, size)),
        legal=unpack(legal, size),
        black_to_move=torch.from_numpy(np.logical_xor.accumulate(~same_player, axis=1) ^ True),  # black begins
        mask=tokens != PADDING,
    )


def _check_tokens(tokens: Tensor, size: int) -> None:
    n_moves = len(token_squares(size))
    if tokens.ndim != 2 or tokens.shape[1] > n_moves or tokens.is_floating_point():
        raise ValueError(
            f"tokens must be integers [game pos] with at most {n_moves} moves on the {size}x{size} board, "
            f"got {tokens.dtype} {tuple(tokens.shape)}; one game is tokens[None], and size must be the board's"
        )
    unknown = ((tokens < 0) | (tokens > n_moves)).nonzero()
    if len(unknown):
        game, pos = unknown[0].tolist()
        raise ValueError(
            f"game {game}, move {pos + 1}: tokens must be 0 to {n_moves}, got {tokens[game, pos]}; "
            f"is it a game on a {size}x{size} board?"
        )
    gaps = ((tokens[:, :-1] == PADDING) & (tokens[:, 1:] != PADDING)).nonzero()
    if len(gaps):
        game, pos = gaps[0].tolist()
        name = token_name(int(tokens[game, pos + 1]), size)
        raise ValueError(
            f"game {game}, move {pos + 2}: expected only padding after padding, got {name}; "
            "passes are no tokens, leave them out"
        )


def _raise_illegal(tokens: Tensor, game: int, pos: int, legal: np.uint64, size: int) -> None:
    names = [square_name(square, size) for square in unpack(legal, size).nonzero().flatten().tolist()]
    cure = f"expected one of {' '.join(names)}; check the moves before it"
    if not names:
        cure = f"the game is over, expected padding ({PADDING})"
    raise ValueError(f"game {game}, move {pos + 1}: {token_name(int(tokens[game, pos]), size)} is not legal, {cure}")


@cache
def _rules(size: int) -> Rules:
    return Rules(size, token_squares(size).numpy())


def _states(mine: Bool[Tensor, "*batch square"], yours: Bool[Tensor, "*batch square"]) -> Int8[Tensor, "*batch square"]:
    return mine.view(torch.int8) * MINE + yours.view(torch.int8) * YOURS
