"""The moves of Othello on sets of squares: one uint64 per game, bit s for square s.

    rules = Rules(8, squares)                                           # squares: where each move token plays
    mine, yours, legal = rules.begin(n_games)                           # [game] each
    mine, yours, legal, same_player = rules.play(mine, yours, move)     # one line of numpy for all games

utils.othello is made of it, and speaks of boards and tokens instead.
"""

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor


class Rules:
    """The board's geometry as bits. Methods take and return uint64 arrays [game], or as they say.

    Args:
        squares: the square of every move token, from the first.
    """

    def __init__(self, size: int, squares: NDArray) -> None:
        self.size = size
        self.bit = np.uint64(1) << np.arange(size * size, dtype=np.uint64)  # [square]
        self.bit_of_token = np.concatenate([[np.uint64(0)], self.bit[squares]])  # padding plays nowhere
        self.token_of_square = np.zeros(65, dtype=np.int64)  # entry 64: no move, padding
        self.token_of_square[squares] = np.arange(1, len(squares) + 1)
        low, high = size // 2 - 1, size // 2
        black, white = [low * size + high, high * size + low], [low * size + low, high * size + high]
        self.start = self.bit[black].sum(), self.bit[white].sum()
        directions = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right]
        steps = np.array([down * size + right for down, right in directions])[:, None]  # [direction 1]
        self.left, self.right = np.maximum(steps, 0).astype(np.uint64), np.maximum(-steps, 0).astype(np.uint64)
        rows, columns = np.divmod(np.arange(size * size), size)
        came_from = [(rows - down, columns - right) for down, right in directions]
        inside = [(row >= 0) & (row < size) & (column >= 0) & (column < size) for row, column in came_from]
        self.inside = np.where(inside, self.bit, np.uint64(0)).sum(axis=1)[:, None]  # [direction 1]

    def step(self, squares: NDArray) -> NDArray:
        """Move squares one step in each of the eight directions; what leaves the board is gone. [direction game]"""
        return (squares << self.left >> self.right) & self.inside

    def lines(self, origin: NDArray, through: NDArray) -> NDArray:
        """Return the unbroken lines of `through` that begin beside the origin. [direction game]"""
        line = self.step(origin) & through
        for _ in range(self.size - 3):  # size - 2 discs at most between a disc and the move that encloses them
            line |= self.step(line) & through
        return line

    def legal(self, mine: NDArray, yours: NDArray) -> NDArray:
        """Return the empty squares from which a line of yours ends at one of mine."""
        ends = np.bitwise_or.reduce(self.step(self.lines(mine, yours)))
        return ends & ~(mine | yours)

    def begin(self, n_games: int) -> tuple[NDArray, NDArray, NDArray]:
        """Return mine, yours, legal before the first move."""
        mine, yours = (np.full(n_games, bits, dtype=np.uint64) for bits in self.start)
        return mine, yours, self.legal(mine, yours)

    def play(self, mine: NDArray, yours: NDArray, move: NDArray) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """Play one move in every game; 0 is none and leaves the board as it is.

        Returns mine, yours, legal for whoever moves next, and whether that is the same player again.
        """
        lines = self.lines(move, yours)
        enclosed = (self.step(lines) & mine) != 0  # [direction game]
        flipped = np.bitwise_or.reduce(np.where(enclosed, lines, np.uint64(0)))
        mover, other = mine | move | flipped, yours ^ flipped
        legal = self.legal(other, mover)
        stuck = np.flatnonzero(legal == 0)
        legal[stuck] = self.legal(mover[stuck], other[stuck])
        same_player = move == 0
        same_player[stuck] |= legal[stuck] != 0  # the other one passes
        legal[move == 0] = 0
        return np.where(same_player, mover, other), np.where(same_player, other, mover), legal, same_player


def nth_bit(bits: NDArray, n: NDArray) -> NDArray:
    """Return the n-th lowest set bit (n from 0); 0 where no bit is set."""
    for cleared in range(int(n.max(initial=0))):
        bits = np.where(n > cleared, bits & (bits - 1), bits)
    return bits & (~bits + 1)


def unpack(bits: NDArray, size: int) -> Bool[Tensor, "*batch square"]:
    """Turn sets of squares into flags of squares."""
    as_bytes = np.array(bits)[..., None].view(np.uint8)  # little-endian: byte 0 holds squares 0 to 7
    unpacked = np.unpackbits(as_bytes, axis=-1, count=size * size, bitorder="little")
    return torch.from_numpy(unpacked.view(bool))
