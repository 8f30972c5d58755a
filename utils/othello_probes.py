"""What an Othello model knows: whether its moves are legal, which board it believes in, what else its stream holds.

    top_1, top_n = legal_move_rate(logits, legal)                      # behaviour, before any probe
    probe = fit_board_probe(acts_train, boards_train, l2=1.0)          # acts [layer position d_model]
    of_all, of_occupied = board_accuracy_by_layer(probe(acts_test), boards_test)
    of_played, of_others = believed_legal_rate(believed, boards, played)

Boards are [... square] in the states EMPTY, MINE, YOURS of utils.othello (or EMPTY, BLACK, WHITE, for a probe that
is to tell colours). A position is one game after one move. Split by games before you fit: the positions of one game
are nearly the same board.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import cosine_similarity, one_hot

from utils.othello import EMPTY, legal_moves
from utils.probes import LinearProbe, fit_ridge_probe

N_STATES = 3  # EMPTY, MINE, YOURS


def legal_move_rate(
    logits: Float[Tensor, "*batch pos token"], legal: Bool[Tensor, "*batch pos token"]
) -> tuple[float, float]:
    """Return how often a model's favourite moves are legal: the most likely one, and the N most likely ones.

    Li et al. 2022, arXiv:2210.13382, count errors of the favourite; the N most likely of N legal moves say more once
    the favourite is nearly always legal. Only positions with legal moves count, all of them the same.

    Args:
        logits: what the model says, for every token, padding too.
        legal: which tokens are legal next, from replay_games; padding never is.

    Returns:
        top_1, the share of positions whose most likely token is legal, and top_n, the mean over positions of the
        share of the N most likely tokens that are legal, N being the number of legal ones.

    Raises:
        ValueError: If the shapes differ, or nothing is legal anywhere.
    """
    if logits.shape != legal.shape or legal.dtype != torch.bool:
        raise ValueError(
            f"legal must be a bool tensor of the shape of logits, {tuple(logits.shape)}, got {legal.dtype} of shape "
            f"{tuple(legal.shape)}; legal[..., token_squares(size)] lacks padding, put a column of False before it"
        )
    n_legal = legal.sum(dim=-1)  # [*batch pos]
    counted = n_legal > 0
    if not counted.any():
        raise ValueError("legal must be True somewhere, got False everywhere; after its last move a game has no next")
    by_rank = legal.gather(-1, logits.argsort(dim=-1, descending=True))[counted]  # [position token], most likely first
    n_legal = n_legal[counted]
    in_top_n = torch.arange(legal.shape[-1], device=legal.device) < n_legal[:, None]  # [position token]
    return float(by_rank[:, 0].double().mean()), float(((by_rank & in_top_n).sum(dim=-1) / n_legal).double().mean())


def fit_board_probe(
    acts: Float[Tensor, "*layer position d_model"], boards: Int[Tensor, "position square"], *, l2: float = 1.0
) -> LinearProbe:
    """Fit ridge regression on the three states of every square, for all layers and squares at once.

    Nanda, Lee & Wattenberg 2023, arXiv:2309.00941, found the board linear in the words mine and yours. They fit
    logistic regression by gradient descent; ridge regression on 0 and 1 has a closed form and reads as well.

    Args:
        acts: activations in model units; training games only.
        boards: states 0, 1, 2. A state that a square never takes gets a weight of 0.
        l2: as for fit_ridge_probe.

    Returns:
        Probe with weight [*layer square state d_model]. Its logits [*layer position square state] are about 0 to 1;
        the believed board is their argmax over states.

    Raises:
        ValueError: If boards do not fit acts or hold other states; as fit_ridge_probe does.
    """
    _check_boards(boards)
    if boards.shape[0] != acts.shape[-2]:
        raise ValueError(
            f"boards must be [position square] with a row for each of the {acts.shape[-2]} positions in acts, "
            f"got shape {tuple(boards.shape)}; index both with the same games and positions"
        )
    return fit_ridge_probe(acts, one_hot(boards.long(), N_STATES).to(acts.device, torch.float32), l2=l2)


def board_accuracy_by_layer(
    logits: Float[Tensor, "*layer position square state"], boards: Int[Tensor, "position square"]
) -> tuple[Float[Tensor, " *layer"], Float[Tensor, " *layer"]]:
    """Return the share of squares whose most likely state is the true one: of all, and of the truly occupied ones.

    Empty squares are easy, also for whoever only remembers the moves; occupied ones tell a board from that.

    Raises:
        ValueError: If logits do not fit boards, or no square is occupied.
    """
    _check_boards(boards)
    if logits.shape[-3:] != (*boards.shape, N_STATES):
        raise ValueError(
            f"logits must be [*layer position square state] to fit boards {tuple(boards.shape)}, "
            f"got {tuple(logits.shape)}; pass what the board probe returns, before any argmax"
        )
    boards = boards.to(logits.device)
    occupied = boards != EMPTY  # [position square]
    if not occupied.any():
        raise ValueError("boards must have an occupied square, got EMPTY everywhere; four are taken before a game")
    right = (logits.argmax(dim=-1) == boards).float()  # [*layer position square]
    return right.mean(dim=(-2, -1)), right[..., occupied].mean(dim=-1)


def believed_legal_rate(
    believed: Int[Tensor, "position square"],
    boards: Int[Tensor, "position square"],
    played: Int[Tensor, " position"],
) -> tuple[float, float]:
    """Return how many illegal moves are legal on the board that is believed, and how many other illegal squares are.

    The second number is the control: a wrong board makes some moves legal by chance.

    Args:
        believed: the argmax of a board probe's logits; EMPTY, MINE, YOURS.
        boards: the true ones.
        played: squares (not tokens) of moves that are not legal on the true boards.

    Returns:
        Of the played squares the share that is legal on the believed board; of all other squares that are empty and
        not legal on the true board, the same.

    Raises:
        ValueError: If shapes or states do not fit, a played square is off the board or legal on the true one, or no
            square is left for the control.
    """
    _check_boards(boards)
    if believed.shape != boards.shape or played.shape != boards.shape[:1]:
        raise ValueError(
            f"believed must be [position square] and played [position] to fit boards {tuple(boards.shape)}, "
            f"got {tuple(believed.shape)} and {tuple(played.shape)}; index all three with the same positions"
        )
    legal, rows, played = legal_moves(boards), torch.arange(len(played)), played.long()
    if int(played.min()) < 0 or int(played.max()) >= boards.shape[1]:
        raise ValueError(
            f"played must be squares from 0 to {boards.shape[1] - 1}, got {int(played.min())} to {int(played.max())}; "
            "token_squares(size)[tokens - 1] are the squares of tokens"
        )
    if (n_legal := int(legal[rows, played].sum())) > 0:
        raise ValueError(
            f"played must be illegal on boards, got {n_legal} legal of {len(played)}; choose those that are not, and "
            "see that they are squares, not tokens"
        )
    possible = legal_moves(believed)  # [position square]
    control = (boards == EMPTY) & ~legal
    control[rows, played] = False
    if not control.any():
        raise ValueError("boards must leave other illegal empty squares for the control, got none; take more positions")
    return float(possible[rows, played].double().mean()), float(possible[control].double().mean())


def probe_cosines(
    first: Float[Tensor, "*layer square state d_model"], second: Float[Tensor, "*layer square state d_model"]
) -> Float[Tensor, "*layer square 2"]:
    """Return for each square the cosine of two board probes' directions.

    The first is occupied against empty, the mean of both colours minus EMPTY; the second is state 1 against state 2.
    Differences of states are what an argmax depends on: the same vector added to all three changes nothing.

    Args:
        first, second: weights of two probes.

    Raises:
        ValueError: If the shapes differ or there are not three states.
    """
    if first.shape != second.shape or first.ndim < 3 or first.shape[-2] != N_STATES:
        raise ValueError(
            "first and second must both be weights [*layer square state d_model] with three states, "
            f"got {tuple(first.shape)} and {tuple(second.shape)}; pass probe.weight of two board probes"
        )
    return cosine_similarity(_directions(first), _directions(second), dim=-1)


def history_share(acts: Float[Tensor, "position d_model"], board: Int[Tensor, " position"]) -> float:
    """Return the variance among positions with the same board, as a share of all variance.

    0 if the board says everything about the acts, 1 if it says nothing: the rest is how the game got there. Both
    variances are unbiased (analysis of variance: one degree of freedom lost to each group's mean), so that pairs do
    as well as large groups. A board that occurs once adds to the total alone.

    Args:
        acts: of one layer, at positions with one number of moves, in which many boards were reached in several ways.
        board: a number for each position; the same number is the same board, with the same player to move.

    Raises:
        ValueError: If the shapes do not fit, no two positions share a board, or the acts do not vary.
    """
    if acts.ndim != 2 or board.shape != acts.shape[:1]:
        raise ValueError(
            f"board must be [position] and acts [position d_model], got {tuple(board.shape)} and {tuple(acts.shape)}; "
            "take one layer, and number the boards with .unique(dim=0, return_inverse=True)"
        )
    _, group, count = board.unique(return_inverse=True, return_counts=True)
    if len(count) == len(board):
        raise ValueError(f"board must repeat, got {len(count)} different numbers in {len(board)} positions; take more")
    centred = acts.double() - acts.double().mean(dim=0)
    mean = centred.new_zeros(len(count), acts.shape[1]).index_add_(0, group, centred) / count[:, None]
    within = (centred - mean[group]).square().sum() / (len(acts) - len(count))
    total = centred.square().sum() / (len(acts) - 1)
    if not total > 0:
        raise ValueError("acts must vary, got the same vector at all positions; check layer and position")
    return float(within / total)


def _directions(weight: Float[Tensor, "*layer square state d_model"]) -> Float[Tensor, "*layer square 2 d_model"]:
    empty, one, two = weight.unbind(dim=-2)
    return torch.stack([(one + two) / 2 - empty, one - two], dim=-2)


def _check_boards(boards: Tensor) -> None:
    whole = not boards.is_floating_point() and boards.ndim == 2 and boards.numel() > 0
    if not whole or int(boards.min()) < 0 or int(boards.max()) >= N_STATES:
        states = boards.unique().tolist()[:6] if boards.numel() else []
        raise ValueError(
            f"boards must be integers [position square] with states 0, 1, 2, got {boards.dtype} of shape "
            f"{tuple(boards.shape)}, states {states}; boards[games, positions] flattens games"
        )
