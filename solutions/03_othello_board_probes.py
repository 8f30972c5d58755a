# %% [markdown]
# # 03 · Othello board probes: a board inside a move predictor
#
# A small GPT-2 has read lists of moves, `d3 c5 d6 e3 ...`, from random games of Othello. Its one task: say which moves are legal next. It never saw a board, a colour or a rule. It plays a legal move almost every time.
#
# Perhaps it has learned thousands of tricks about lists of moves. Or it keeps a board in its head. This chapter looks inside. After it you can
#
# - probe 64 squares at every layer in one solve, and score the result without fooling yourself;
# - see how the *words for the labels* decide whether a probe finds anything;
# - tell what a network computes from what its input says anyway;
# - test a belief against behaviour: what does the network do where its board is wrong?
#
# {{exercises}}
#
# ![Two boards side by side: the true one, where the move in red is illegal, and the one that the probe reads, where it is legal](figures/03_believed_board.png)
#
# *Left: the board, and the illegal move that the network wants to play. Right: the board that a probe reads inside the network at that moment. You will draw it after Exercise 3.5.*

# %% [markdown]
# ## Where this chapter stands
#
# ```text
# datasets ── GAMES, LABELS ──────────┐
# models ──── TransformerBridge ──────┤
#   ┌─────────────────────────────────┘
#   └─► activations ─► PROBES ─┐
#       resid_post     probe   │
#   ┌──────────────────────────┘
#   ├─► METRICS ── score, interval, control ─► plots
#   └─► interventions ─► models (run again) ─► metrics
# ```
#
# Capitals mark where you work: at the labels, the probes and the scores. Chapter 04 takes the lower road.
#
# **Read before or after:** [Li et al. 2022](https://arxiv.org/abs/2210.13382), the introduction and what they say about probes: the first to ask this question, with a network seven times as large. They found the board with two-layer probes, hardly with linear ones. [Nanda, Lee & Wattenberg 2023](https://arxiv.org/abs/2309.00941) answered them; read it after Exercise 3.4.
#
# **The objects, and their shapes**
#
# | name | shape | what it is |
# |---|---|---|
# | `games` | `[game pos]` | moves as tokens, 1 to 60; 0 is padding after the end |
# | `boards` | `[game pos square]` | 0, 1 or 2 for each of the 64 squares, after each move |
# | `legal` | `[game pos square]` | where whoever moves next may play |
# | `acts` | `[layer position d_model]` | activations; a *position* is one game after one move |
# | `probe.weight`, `probe.bias` | `[square state d_model]`, `[square state]` | a direction for each state of each square |

# %% [markdown]
# **Setup.** Run this cell first, whichever part you want to work on.

# %%
# {{setup}}

# %%
from itertools import islice

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from utils import boards as pictures
from utils import heat_maps, plots
from utils.activations import cache_positions, cache_resid_post
from utils.course.check import check, progress, start_chapter
from utils.course.predict import predict, settle
from utils.metrics import bootstrap_interval
from utils.models import load_model
from utils.othello import (
    EMPTY,
    MINE,
    YOURS,
    all_openings,
    legal_moves,
    random_games,
    replay_games,
    square_name,
    start_board,
    to_tokens,
    token_name,
    token_squares,
)
from utils.probes import LinearProbe, fit_ridge_probe
from utils.tokens import tokenize
from utils.widgets.games import GameView, explore_games

SEED = 0
LAYERS = ["embed", *range(8)]
FIRST = 8  # positions before this move are left out: all games begin alike
L2 = 1.0  # of the probes: with 20,000 positions, 0.1 and 10,000 give the same accuracy
start_chapter("03_othello_board_probes")

# %%
model, untrained = load_model("othello_gpt"), load_model("othello_gpt_untrained")

# %% [markdown]
# ## The game
#
# Two players put discs on a board of 8 × 8 squares. A move must enclose a straight line of the other player's discs between the new disc and another one of your own. Enclosed discs **change sides**. That is all you need: one move changes many squares, also far away ones.
#
# Black begins. From now on a board is drawn for whoever moves next: blue discs are *mine*, orange ones *yours*, small dots are legal moves.

# %%
games = random_games(3, seed=SEED)  # uniformly random legal moves
states = replay_games(games)
start = start_board()
drawings = {"before the first move": pictures.draw_board(start, legal=legal_moves(start))}
for n_moves in (1, 20):
    board, legal = states.boards[0, n_moves - 1], states.legal[0, n_moves - 1]
    drawings[f"after {n_moves} move{'s' * (n_moves > 1)}"] = pictures.draw_board(board, legal=legal)
pictures.plot_boards(drawings, title="One random game")

# %% [markdown]
# The network sees none of this. It reads `games[0]`, a list of numbers from 1 to 60, one for each square outside the centre. In training it was told after each move *which moves are legal next*, and nothing else: no board, no colour, not even whose turn it is. (Li et al. used the one move that was played next. The expected gradient is the same, the noise is smaller.)
#
# What does it say after 20 moves?

# %%
with torch.no_grad():
    logits = model(games[:, :-1], attention_mask=states.mask[:, :-1], return_type="logits")  # [game pos token]
probabilities = torch.zeros(64)
probabilities[token_squares()] = logits[0, 19].softmax(dim=-1)[1:]  # token 0 is padding
drawing = pictures.draw_board(states.boards[0, 19], legal=states.legal[0, 19], probabilities=probabilities)
pictures.plot_boards({"what the network would play": drawing}, title="After 20 moves")

# %% [markdown]
# ## Does it know the rules?
#
# One position proves nothing. Before you look for a board inside, measure how well the network plays. Two numbers are usual:
#
# - **top-1**: is the most likely token a legal move?
# - **top-N**: if N moves are legal, how many of the N most likely tokens are among them?
#
# ```text
#   legal next      d3  c4  f6                N = 3
#   most likely     f6  c4  a1  d3  e2 …
#
#   top-1           f6 is legal                              1
#   top-N           f6 and c4 are legal, a1 is not           2/3
# ```

# %% [markdown]
# ### Exercise 3.1 · `legal_move_rate` (15 min)
#
# **Why.** All that follows rests on "the network knows which moves are legal". A number for that must not be flattered by positions where nothing can go wrong, or spoiled by positions where nothing can go right.
#
# **Write** a function that takes `logits` and `legal`, both `[game pos token]`, and returns two Python floats, top-1 and top-N.
#
# 1. Count the legal tokens N at each position. Where N is 0 the game is over: leave these positions out of both means.
# 2. Top-1 is the share of the other positions whose most likely token is legal.
# 3. Top-N is the share of legal ones among the N most likely, averaged over positions. N is another one at each position.
#
# Token 0, the padding, takes part: it is never legal.


# %%
# exercise: legal_move_rate
def legal_move_rate(
    logits: Float[Tensor, "game pos token"], legal: Bool[Tensor, "game pos token"]
) -> tuple[float, float]:
    """Top-1: share of positions whose most likely token is legal. Top-N: mean share of the N likeliest that are."""
    ### BEGIN SOLUTION
    n_legal = legal.sum(dim=-1)  # [game pos]
    counted = n_legal > 0  # the game goes on
    by_rank = legal.gather(-1, logits.argsort(dim=-1, descending=True))  # [game pos token], the most likely first
    in_top_n = torch.arange(legal.shape[-1]) < n_legal[..., None]  # [game pos token]
    top_n = (by_rank & in_top_n).sum(dim=-1) / n_legal  # not a number where nothing is legal
    return float(by_rank[..., 0][counted].float().mean()), float(top_n[counted].mean())
    ### END SOLUTION


# %%
check(legal_move_rate)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Sort the tokens of each position from the most to the least likely, and carry `legal` along. Then top-1 asks for the first entry, top-N for the first N.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `logits.argsort(dim=-1, descending=True)` is `[game pos token]`, and `legal.gather(-1, order)` has the same shape: whether the token of each rank is legal. A rank counts if it is below N: compare `torch.arange(n_tokens)` with `n_legal[..., None]`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# top_n = (by_rank & in_top_n).sum(dim=-1) / n_legal
# ```
#
# Index both results with `n_legal > 0` before you average.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. On 400 new games both numbers are above 0.9.
#
# </details>

# %% [markdown]
# **Look at it.** Games from a seed that training never used. The network reads 59 moves of each; the sixtieth has no successor.

# %%
games_test = random_games(400, seed=2)[:, :-1]
states_test = replay_games(games_test)


@torch.no_grad()
def play(network, games: Int[Tensor, "game pos"], mask: Bool[Tensor, "game pos"]) -> Float[Tensor, "game pos token"]:
    """Logits after every move."""
    batches = zip(games.split(100), mask.split(100), strict=True)
    return torch.cat([network(part, attention_mask=m, return_type="logits") for part, m in batches])


# %%
legal_test = to_tokens(states_test.legal)
logits_test = play(model, games_test, states_test.mask)
empty_test = to_tokens(states_test.boards == EMPTY)
by_lot = torch.rand(empty_test.shape, generator=torch.Generator().manual_seed(SEED))
rates = {
    "the network": legal_move_rate(logits_test, legal_test),
    "its untrained twin": legal_move_rate(play(untrained, games_test[:100], states_test.mask[:100]), legal_test[:100]),
    "any empty square": legal_move_rate(empty_test + by_lot, legal_test),
}
{name: f"top-1 {top_1:.3f}, top-N {top_n:.3f}" for name, (top_1, top_n) in rates.items()}

# %% tags=["solution"]
assert 0.99 < rates["the network"][0] < 0.999 and 0.97 < rates["the network"][1] < 0.985
assert rates["its untrained twin"][0] < 0.10 and 0.38 < rates["any empty square"][0] < 0.44

# %% [markdown]
# **Read it.** The network plays by the rules. A player who only knows which squares are empty would be right two times in five. So the network knows more than what has been played: it knows what the played moves *did*.

# %% [markdown]
# ## The first probe: black, white or empty?
#
# If there is a board inside, a probe should be able to read each square. A square has three states, so one threshold is not enough. The usual way: **three numbers for each square**, one per state, and the largest one wins.
#
# ```text
#   acts [position d_model]  ─►  64 squares × 3 states
#
#   d3    empty 0.02   black 0.11   white 0.87   ─►  white
#   d4    empty 0.01   black 0.75   white 0.24   ─►  black
#   ...
# ```
#
# These are 192 probes on the same activations. Ridge regression needs one factorisation for all of them (Exercise 1.4).

# %% [markdown]
# ### Exercise 3.2 · `fit_board_probe` (15 min)
#
# **Why.** The usual notebook trains a board probe with AdamW, over minutes. The closed form is exact, needs no learning rate, and takes a fraction of a second. That is what lets you probe every layer, and every way to label a board.
#
# **Write** a function that fits ridge regression to the states of all squares. `boards` holds 0, 1 or 2.
#
# 1. Turn each square into three numbers, 1 for its state and 0 for the others: `[position square state]`. Keep three also where a state never occurs.
# 2. Centre: subtract the mean activation from `acts`, and each target's mean from the targets. So the bias is not penalised.
# 3. Solve once for all targets: $W = (X^\top X + \lambda I)^{-1} X^\top Y$, with $X$ and $Y$ centred. The penalty $\lambda$ is `l2`.
# 4. The bias makes up for the centring: mean target minus weight · mean activation.
#
# Return a `LinearProbe` with `weight` `[square state d_model]` and `bias` `[square state]`. Then `probe(acts)` is `[position square state]`.


# %%
# exercise: fit_board_probe
def fit_board_probe(
    acts: Float[Tensor, "position d_model"], boards: Int[Tensor, "position square"], l2: float
) -> LinearProbe:
    """Ridge regression on the three states of every square, in one solve; weight [square state d_model]."""
    ### BEGIN SOLUTION
    states = torch.nn.functional.one_hot(boards.long(), 3).float().flatten(1)  # [position square*state]
    mean, height = acts.mean(dim=0), states.mean(dim=0)
    centred = acts - mean
    gram = centred.T @ centred + l2 * torch.eye(acts.shape[1])
    weight = torch.linalg.solve(gram, centred.T @ (states - height)).T  # [square*state d_model]
    bias = height - weight @ mean
    return LinearProbe(weight=weight.unflatten(0, (-1, 3)), bias=bias.unflatten(0, (-1, 3)))
    ### END SOLUTION


# %%
check(fit_board_probe)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# It is the ridge probe of Exercise 1.4 with 192 targets. What is new is only how a board becomes 192 numbers, and how 192 weights become 64 × 3.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `torch.nn.functional.one_hot(boards.long(), 3)` is `[position square state]`; `.float().flatten(1)` makes it `[position square*state]`. The solution of the linear system is `[d_model square*state]`. Transposed, `.unflatten(0, (-1, 3))` gives `[square state d_model]`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# weight = torch.linalg.solve(gram, centred.T @ (states - height)).T
# ```
#
# `gram` is `centred.T @ centred + l2 * torch.eye(d_model)`, and the bias `height - weight @ mean`.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. One of them plants a board in random activations, and your probe must read it back.
#
# </details>

# %% [markdown]
# **How to score it.** "Share of squares that are right" sounds harmless. But most squares are empty for most of the game, and empty is easy: a list of the moves says which squares are taken. Discs that change sides are the hard part. So report two numbers: over **all** squares, and over those that are **occupied**.

# %% [markdown]
# ### Exercise 3.3 · `board_accuracy_by_layer` (10 min)
#
# **Why.** The same probe can have 0.72 or 0.52, depending on which squares are counted. Papers differ here, and it decides whether a result looks like knowledge or like chance.
#
# **Write** a function that takes `logits` `[layer position square state]` and the true `boards` `[position square]`, and returns two tensors `[layer]`:
#
# 1. the share of all squares whose most likely state is the true one;
# 2. the same, counting only squares that are occupied on the **true** board.
#
# Count squares, over all positions together. (A mean of the means of positions would give the few discs of an early position as much weight as the many of a late one.)


# %%
# exercise: board_accuracy_by_layer
def board_accuracy_by_layer(
    logits: Float[Tensor, "layer position square state"], boards: Int[Tensor, "position square"]
) -> tuple[Float[Tensor, " layer"], Float[Tensor, " layer"]]:
    """Share of squares whose most likely state is the true one: of all squares, and of the truly occupied ones."""
    ### BEGIN SOLUTION
    right = logits.argmax(dim=-1) == boards  # [layer position square]
    occupied = boards != EMPTY  # [position square]
    return right.float().mean(dim=(1, 2)), right[:, occupied].float().mean(dim=1)
    ### END SOLUTION


# %%
check(board_accuracy_by_layer)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# First a table of right and wrong, for every layer, position and square. Both results are means over parts of it.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `logits.argmax(dim=-1)` is `[layer position square]`, and comparing it with `boards` keeps that shape. A mask `[position square]` picks from the last two axes: `right[:, occupied]` is `[layer n_occupied]`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# right[:, boards != EMPTY].float().mean(dim=1)
# ```
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. In one of them a layer says *empty* everywhere: it is right about every empty square, and about no disc.
#
# </details>

# %% [markdown]
# **The data.** The probe is fitted on 400 games and tested on the 400 others from above. All positions of a game are on one side: two positions of one game are nearly the same board. Positions before move 8 are left out, because openings are the same in many games.

# %%
games_train = random_games(400, seed=1)[:, :-1]
states_train = replay_games(games_train)
keep_train, keep_test = states_train.mask.clone(), states_test.mask.clone()
keep_train[:, :FIRST] = keep_test[:, :FIRST] = False
game_test = torch.arange(400)[:, None].expand_as(keep_test)[keep_test]  # [position]: the game that each is from


# %%
acts_train = cache_positions(model, games_train, states_train.mask, keep_train, LAYERS)
acts_test = cache_positions(model, games_test, states_test.mask, keep_test, LAYERS)
acts_train.shape, acts_test.shape

# %% [markdown]
# **Something to compare with.** What could a probe read if there were no board inside? It could read *the list of moves*: which squares have been played, and by whom. That fixes which squares are empty, and the colour of each disc when it was placed, but not what was flipped since. The same probe on this list is the baseline to beat. The other one is the untrained twin.


# %%
def bag_of_moves(games: Int[Tensor, "game pos"], states, by_black: bool) -> Float[Tensor, "game pos feature"]:
    """120 numbers: for each square outside the centre, whether it was played by one side, and by the other.

    The sides are black and white if by_black is True, otherwise whoever moves next and the other one.
    """
    moves = torch.nn.functional.one_hot(games, 61)[..., 1:].float()  # [game pos move]
    next_black = states.black_to_move[..., None]
    black_moved = torch.cat([torch.ones_like(next_black[:, :1]), next_black[:, :-1]], dim=1)  # black begins
    black, white = (moves * black_moved).cumsum(dim=1), (moves * ~black_moved).cumsum(dim=1)
    sides = (
        (black, white)
        if by_black
        else (next_black * black + ~next_black * white, next_black * white + ~next_black * black)
    )
    return torch.cat(sides, dim=-1)


# %%
def read_boards(acts_train, boards_train, acts_test) -> Float[Tensor, "layer position square state"]:
    """What board probes, one for each layer, say on the test positions."""
    pairs = zip(acts_train, acts_test, strict=True)
    return torch.stack([fit_board_probe(train, boards_train, L2)(test) for train, test in pairs])


def interval_over_games(right: Bool[Tensor, "position square"], boards: Int[Tensor, "position square"], game) -> Tensor:
    """95 % interval of the share of occupied squares that are right; whole games are drawn."""
    occupied = boards != EMPTY
    games = game[:, None].expand_as(occupied)[occupied]  # of each occupied square
    return torch.tensor(bootstrap_interval(right[occupied], groups=games, n_resamples=300))


def score(acts_train, boards_train, acts_test, boards_test) -> tuple[Tensor, Tensor, Tensor]:
    """By layer: accuracy over all squares, over occupied ones, and the interval of the latter."""
    logits = read_boards(acts_train, boards_train, acts_test)
    right = logits.argmax(dim=-1) == boards_test  # [layer position square]
    intervals = torch.stack([interval_over_games(layer, boards_test, game_test) for layer in right])
    return *board_accuracy_by_layer(logits, boards_test), intervals


# %%
predict(
    "black_white",
    "Probes for black, white, empty: how many of the occupied squares are right, at the best layer?",
    ("about 50 %", "about 70 %", "about 85 %", "above 95 %"),
)

# %%
colours_train = states_train.black_white_boards[keep_train]  # [position square]: EMPTY, BLACK, WHITE
colours_test = states_test.black_white_boards[keep_test]
bag_train = bag_of_moves(games_train, states_train, by_black=True)[keep_train][None]  # [1 position feature]
bag_test = bag_of_moves(games_test, states_test, by_black=True)[keep_test][None]
black_white = score(acts_train, colours_train, acts_test, colours_test)
bag_black_white = score(bag_train, colours_train, bag_test, colours_test)

# %%
# figure: 03_black_white
plots.plot_lines_by_layer(
    {"all squares": black_white[0], "occupied squares": black_white[1]},
    intervals={"occupied squares": black_white[2]},
    baselines={"list of moves, all squares": float(bag_black_white[0]), "list, occupied": float(bag_black_white[1])},
    layers=LAYERS,
    title="Black, white or empty? 400 unseen games, 95 % interval over games",
    y_title="accuracy",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Two flat lines, all squares near 0.7 and occupied squares near 0.5, each below the dashed line of the list of moves](figures/03_black_white.png)
#
# </details>

# %%
TEXTS = {0.5: "about 50 %", 0.7: "about 70 %", 0.85: "about 85 %", 0.97: "above 95 %"}


def nearest_text(share: float) -> str:
    return TEXTS[min(TEXTS, key=lambda value: abs(value - share))]


settle("black_white", nearest_text(float(black_white[1].max())))

# %% tags=["solution"]
print([[round(x, 3) for x in curve.tolist()] for curve in (*black_white[:2], *bag_black_white[:2])])
assert 0.70 < black_white[0].max() < 0.73 and 0.50 < black_white[1].max() < 0.53
assert (bag_black_white[1] > black_white[1].max() + 0.1).all()

# %% [markdown]
# **Read it.** Over all squares the curve looks respectable. Over occupied squares, where only black or white is possible, it is next to a coin toss, and at every layer *worse than the list of moves*. This is what Li et al. found with linear probes, and why they turned to probes with a hidden layer, which got nearly all squares right.
#
# So the board is in there, but not in a straight line? Before you reach for a bigger probe, look at the question you asked.

# %% [markdown]
# ## The same board in other words
#
# Whose discs can I flip? For the rules it does not matter who is black. It matters which discs are **mine** and which are **yours**. And this changes with every move:
#
# ```text
#   after move 20, black to move    ● = mine     ○ = yours
#   after move 21, white to move    ● = yours    ○ = mine
#
#   ● black    ○ white
# ```
#
# A network that keeps *mine* and *yours* has the same information as one that keeps *black* and *white*. But to get from one to the other you must know whose turn it is, and exchange two states on every second move. A linear probe cannot do that.

# %% [markdown]
# ### Exercise 3.4 · `to_mine_yours` (10 min)
#
# **Why.** A probe answers the question that its labels ask. Other words for the same facts are another question.
#
# **Write** a function that rewrites boards of 0 empty, 1 black, 2 white as boards of `EMPTY` 0, `MINE` 1, `YOURS` 2, **as whoever moves next sees them**. `black_to_move` `[game pos]` says whether black moves next. Do not count moves instead: in one game of three, somebody has to pass.
#
# Leave the input as it is, and keep its dtype.


# %%
# exercise: to_mine_yours
def to_mine_yours(
    boards: Int[Tensor, "game pos square"], black_to_move: Bool[Tensor, "game pos"]
) -> Int[Tensor, "game pos square"]:
    """Rewrite EMPTY, BLACK, WHITE as EMPTY, MINE, YOURS, as whoever moves next sees them."""
    ### BEGIN SOLUTION
    exchanged = torch.tensor([EMPTY, YOURS, MINE])[boards.long()]  # what white sees
    return torch.where(black_to_move[..., None], boards, exchanged.to(boards.dtype))
    ### END SOLUTION


# %%
check(to_mine_yours)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# If black moves next, black is mine and nothing changes. If white moves next, 1 and 2 change places, and 0 stays.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `black_to_move[..., None]` is `[game pos 1]` and stretches over the squares. A small table does the exchange: `torch.tensor([0, 2, 1])[boards.long()]` has the shape of `boards`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# torch.where(black_to_move[..., None], boards, exchanged.to(boards.dtype))
# ```
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. Applied twice, your function gives back what it was given.
#
# </details>

# %%
predict(
    "mine_yours",
    "The same activations, the same probe, labelled mine, yours, empty. Occupied squares, best layer?",
    ("about 50 %", "about 70 %", "about 85 %", "above 95 %"),
)

# %%
boards_train = to_mine_yours(states_train.black_white_boards, states_train.black_to_move)[keep_train]
boards_test = to_mine_yours(states_test.black_white_boards, states_test.black_to_move)[keep_test]
bag_train = bag_of_moves(games_train, states_train, by_black=False)[keep_train][None]
bag_test = bag_of_moves(games_test, states_test, by_black=False)[keep_test][None]
mine_yours = score(acts_train, boards_train, acts_test, boards_test)
bag = score(bag_train, boards_train, bag_test, boards_test)

# %%
twin_train = cache_positions(untrained, games_train, states_train.mask, keep_train, LAYERS)
twin_test = cache_positions(untrained, games_test, states_test.mask, keep_test, LAYERS)
twin = score(twin_train, boards_train, twin_test, boards_test)
del twin_train, twin_test  # 0.3 GB

# %% [markdown]
# One more line to compare with, this time from above: somebody who knows the **true board before the last move**, and not what that move did.

# %%
turn_now = states_test.black_to_move[:, 1:]  # [game pos-1]
before_last = to_mine_yours(states_test.black_white_boards[:, :-1], turn_now)  # in the words of whoever moves now
one_hot = torch.nn.functional.one_hot(before_last[keep_test[:, 1:]].long(), 3)[None]  # [1 position square state]
previous = float(board_accuracy_by_layer(one_hot.float(), boards_test)[1])

# %%
# figure: 03_mine_yours
curves = {"mine, yours, empty": mine_yours, "black, white, empty": black_white, "mine, yours; untrained twin": twin}
plots.plot_lines_by_layer(
    {name: curve[1] for name, curve in curves.items()},
    intervals={name: curve[2] for name, curve in curves.items()},
    baselines={"mine, yours from the list of moves": float(bag[1]), "true board before the last move": previous},
    layers=LAYERS,
    title="Occupied squares, 95 % interval over games: one kind of probe, two ways to label",
    y_title="accuracy on occupied squares",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![The line for mine and yours rises far above the list of moves, comes near the line of the board before the last move, and falls at the end; black and white stays at one half](figures/03_mine_yours.png)
#
# </details>

# %%
settle("mine_yours", nearest_text(float(mine_yours[1].max())))

# %% tags=["solution"]
print([[round(x, 3) for x in curve.tolist()] for curve in (*mine_yours[:2], *bag[:2], twin[1])])
assert 0.875 < mine_yours[1].max() < 0.895 and 0.925 < mine_yours[0].max() < 0.935
assert 0.90 < previous < 0.92 and 0.72 < bag[1] < 0.735 and (mine_yours[1][3:7] > bag[1] + 0.04).all()
assert (twin[1] < 0.445).all() and (twin[1] > 0.425).all() and LAYERS[int(mine_yours[1].argmax())] in (3, 4, 5)

# %% [markdown]
# **Read it.** Same activations, same probe, same games. Only the words for the labels changed, and the board is there: built up over the first layers, best in the middle, and fading where the network turns it into moves. The untrained twin has nothing.
#
# Nobody ever shows it a board, and yet it comes near to somebody who was shown the true one a move ago.
#
# This was the discovery of Nanda, Lee & Wattenberg. In the large network of Li et al., with 25 million weights and much longer training, such probes reach 99.6 % of all squares. Ours has 3.6 million weights, and reaches 93 %. Whatever follows has to live with a blurred board, and it will.

# %% [markdown]
# **Question.** In the network of Li et al., a probe with a hidden layer reads black and white nearly perfectly. What must its hidden layer have done?

# %% [markdown] tags=["solution"]
# **Our answer.** It must have combined "mine or yours" with "whose turn is it": black is *mine and black to move, or yours and white to move*. That is an exclusive or, which one line cannot draw and a hidden layer can. The knowledge about the board is the network's, the exclusive or was the probe's own work. A stronger probe would have hidden how the network says it.

# %% [markdown]
# **Where does it fail?** A disc may be turned again and again, more often the longer it lies there. So look at the accuracy in the course of the game.

# %%
logits_train = read_boards(acts_train, boards_train, acts_train)
best = int(board_accuracy_by_layer(logits_train, boards_train)[1].argmax())  # chosen on the training games
del logits_train
probe = fit_board_probe(acts_train[best], boards_train, L2)
believed_test = probe(acts_test[best]).argmax(dim=-1)  # [position square]
pos_test = torch.arange(games_test.shape[1]).expand_as(keep_test)[keep_test]  # [position], 0 is the first move
LAYERS[best]


# %%
def share_right(right: Bool[Tensor, "position square"], start: int, end: int) -> list[float]:
    """Share of occupied squares that are right from one move to another, and the ends of its interval over games."""
    here = (pos_test >= start) & (pos_test < end)
    share = right[here][boards_test[here] != EMPTY].double().mean()
    return [float(share), *interval_over_games(right[here], boards_test[here], game_test[here]).tolist()]


believed_by_list = fit_board_probe(bag_train[0], boards_train, L2)(bag_test[0]).argmax(dim=-1)
stages = [(start, min(start + 10, 59)) for start in range(8, 58, 10)]
by_stage = {
    name: torch.tensor([share_right(board == boards_test, *stage) for stage in stages])  # [stage 3]
    for name, board in (("the network", believed_test), ("the list of moves", believed_by_list))
}

# %%
# figure: 03_by_stage
plots.plot_lines(
    {name: values[:, 0] for name, values in by_stage.items()},
    intervals={name: values[:, 1:] for name, values in by_stage.items()},
    x=[f"{start + 1}–{end}" for start, end in stages],
    x_title="number of moves",
    title=f"Occupied squares in the course of the game, layer {LAYERS[best]}, 95 % interval over games",
    y_title="accuracy on occupied squares",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Two lines that fall in the course of the game; the network's stays above that of the list of moves](figures/03_by_stage.png)
#
# </details>

# %% tags=["solution"]
print({name: [round(x, 3) for x in values[:, 0].tolist()] for name, values in by_stage.items()})
assert by_stage["the network"][0, 0] > 0.97 and 0.83 < by_stage["the network"][-1, 0] < 0.87  # one in seven: 0.857
assert (by_stage["the network"][:, 1] > by_stage["the list of moves"][:, 2]).all()

# %% [markdown]
# **Read it.** In the beginning nearly every disc is right, at the end one in seven is wrong. Every move turns discs, so errors pile up, in the network as in the list of moves.

# %% [markdown]
# ## When it is wrong
#
# "Decodable" is not "used": that was the last lesson of chapter 02. Here is a first look at use. The network is right about 99 moves in 100. Look at **the rest**. Is an illegal move a slip, noise in the last layer? Or does the network do the right thing, on a wrong board?
#
# Collect illegal favourites: positions in new games where the most likely move is illegal.

# %%
games_new = random_games(1000, seed=3)[:, :-1]
states_new = replay_games(games_new)
logits_new = play(model, games_new, states_new.mask)
legal_new = to_tokens(states_new.legal)
favourite = logits_new.argmax(dim=-1)  # [game pos]: a token
illegal = legal_new.any(dim=-1) & ~legal_new.gather(-1, favourite[..., None])[..., 0]  # [game pos]
print(f"{int(illegal.sum())} illegal favourites in {int(legal_new.any(dim=-1).sum())} positions")

# %%
with_illegal = illegal.any(dim=1)  # [game]
hits = (games_new[with_illegal], states_new.mask[with_illegal], illegal[with_illegal])
acts_illegal = cache_positions(model, *hits, [LAYERS[best]])[0]  # [position d_model]
boards_illegal = states_new.boards[illegal].long()  # [position square], EMPTY, MINE, YOURS
played = token_squares()[favourite[illegal] - 1]  # [position]: a square
game_of = illegal.nonzero()[:, 0]  # [position]
believed = probe(acts_illegal).argmax(dim=-1)  # [position square]
assert (boards_illegal[torch.arange(len(played)), played] == EMPTY).float().mean() > 0.99

# %% [markdown]
# **Look around first.** The panel steps through three of these games. Go to an illegal favourite. Look at the true board, and say to yourself why anyone would play there. Only then tick the box.


# %%
def view(game: int) -> GameView:
    """One game as the panel shows it: the true boards, the believed ones, and what the network would play."""
    resid = cache_resid_post(model, games_new[game : game + 1], states_new.mask[game : game + 1], LAYERS)[:, 0]
    probabilities = torch.zeros(games_new.shape[1], 64)
    probabilities[:, token_squares()] = logits_new[game].softmax(dim=-1)[:, 1:]
    believed = [p(acts).argmax(dim=-1) for p, acts in zip(probes, resid, strict=True)]
    return GameView(
        moves=games_new[game],
        boards=states_new.boards[game],
        legal=states_new.legal[game],
        believed=torch.stack(believed),  # [layer pos square]
        probabilities=probabilities,
    )


probes = [fit_board_probe(acts, boards_train, L2) for acts in acts_train]  # one for each layer
explore_games({f"game {game}": view(int(game)) for game in with_illegal.nonzero()[:3, 0]}, LAYERS, layer=LAYERS[best])

# %%
predict(
    "illegal",
    "How many of the illegal favourites are legal on the board that the probe reads at that moment?",
    ("about 10 %", "about 30 %", "about 60 %", "about 90 %"),
)

# %% [markdown]
# ### Exercise 3.5 · `believed_legal_rate` (15 min)
#
# **Why.** "It is legal on the board it believes in" is a claim that a wrong board could make true by accident: a blurred board may allow many moves. So the number needs a **control**: other moves that are just as illegal, on the same believed board.
#
# **Write** a function that returns two shares.
#
# 1. Of the moves in `played` (squares, 0 to 63, none of them legal on the true board): the share that is legal on the believed board of its position. `legal_moves(believed)` from `utils.othello` gives `[position square]`, by the rules.
# 2. The control: of all **other** squares that are empty and not legal on the **true** board, over all positions together: the share that is legal on the believed board.


# %%
# exercise: believed_legal_rate
def believed_legal_rate(
    believed: Int[Tensor, "position square"], boards: Int[Tensor, "position square"], played: Int[Tensor, " position"]
) -> tuple[float, float]:
    """Share of played squares that are legal on the believed board; the same for the other illegal empty squares."""
    ### BEGIN SOLUTION
    possible = legal_moves(believed)  # [position square], by the rules, on the board that is believed
    control = (boards == EMPTY) & ~legal_moves(boards)  # [position square]
    rows = torch.arange(len(played))
    control[rows, played] = False
    return float(possible[rows, played].float().mean()), float(possible[control].float().mean())
    ### END SOLUTION


# %%
check(believed_legal_rate)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Two tables of the same shape: what is legal on the believed board, and which squares belong to the control. The first result reads the first table at one square of each position, the second reads it wherever the other table is `True`.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `possible[torch.arange(n), played]` picks one square from each row: `[position]`. `possible[control]`, with a mask `[position square]`, is a flat list of all control squares.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# control = (boards == EMPTY) & ~legal_moves(boards)
# ```
#
# Then take the played square of each position out of it.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. With the network's illegal moves, the two shares are far apart.
#
# </details>

# %% [markdown]
# **Look at it.** One more control, to see that it is *this* board that matters: the same illegal moves, on the board believed in **another game** after the same number of moves.

# %%
pos_illegal = illegal.nonzero()[:, 1]
order = pos_illegal.argsort(stable=True)
other = torch.empty_like(order)
other[order] = order.roll(1)  # a neighbour in the order of moves: nearly always after as many moves


def rate_with_interval(believed, part: int) -> tuple[float, tuple[float, float]]:
    """One of the two shares, with a 95 % interval over games."""
    rows = torch.arange(len(played)).double()  # resampled by game

    def statistic(rows: Tensor) -> float:
        rows = rows.long()
        return believed_legal_rate(believed[rows], boards_illegal[rows], played[rows])[part]

    return statistic(rows), bootstrap_interval(rows, groups=game_of, statistic=statistic, n_resamples=200)


rates = {
    "the illegal favourite": rate_with_interval(believed, 0),
    "the same, board of another game": rate_with_interval(believed[other], 0),
    "other illegal empty squares": rate_with_interval(believed, 1),
}

# %%
# figure: 03_believed_bars
plots.plot_bars(
    {name: rate for name, (rate, _) in rates.items()},
    intervals={name: interval for name, (_, interval) in rates.items()},
    title=f"Illegal moves: how many are legal on the believed board? Layer {LAYERS[best]}",
    y_title="share that is legal",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Three bars: the illegal favourites are far above the two controls](figures/03_believed_bars.png)
#
# </details>

# %%
near = {0.1: "about 10 %", 0.3: "about 30 %", 0.6: "about 60 %", 0.9: "about 90 %"}
settle("illegal", near[min(near, key=lambda value: abs(value - rates["the illegal favourite"][0]))])

# %% tags=["solution"]
print({name: [round(x, 3) for x in (rate, *ends)] for name, (rate, ends) in rates.items()})
assert 0.88 < rates["the illegal favourite"][0] < 0.95
assert 0.07 < rates["other illegal empty squares"][0] < 0.10 < rates["the same, board of another game"][0] < 0.14

# %% [markdown]
# One of the illegal favourites, with few squares believed wrongly:

# %%
n_wrong = (believed != boards_illegal).sum(dim=1)  # [position]
explained = legal_moves(believed)[torch.arange(len(played)), played] & (pos_illegal < 30)
shown = int(torch.where(explained & (n_wrong > 0), n_wrong, 64).argmin())
square = int(played[shown])
print("believed wrongly:", [square_name(int(s)) for s in (believed[shown] != boards_illegal[shown]).nonzero()])

# %%
# figure: 03_believed_board
true_board = pictures.draw_board(
    boards_illegal[shown], legal=legal_moves(boards_illegal[shown]), marks={square: "the favourite, not legal"}
)
believed_board = pictures.draw_board(
    believed[shown],
    legal=legal_moves(believed[shown]),
    truth=boards_illegal[shown],
    marks={square: "the favourite, legal"},
)
pictures.plot_boards(
    {"the true board": true_board, f"the board read at layer {LAYERS[best]}": believed_board},
    title=f"Game {int(game_of[shown])} after {int(pos_illegal[shown]) + 1} moves, and the network's favourite",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Two boards: the true one, where the move in red is illegal, and the believed one, where it is legal](figures/03_believed_board.png)
#
# </details>

# %% tags=["solution"]
assert n_wrong[shown] == 1

# %% [markdown]
# **Read it.** One disc has the wrong colour. With it, a diagonal of *yours* ends at one of *mine*, and the move is legal.
#
# And the bars: nine in ten illegal moves are legal on the board that the probe reads. On the board of another game it is one in nine, and of the other illegal squares one in twelve. The network does not slip. It **plays by the rules, on a wrong board**, and the probe shows you which.
#
# Nobody told the probe about the moves the network would make. It was fitted to true boards, and yet where it is "wrong" it is right about the network.

# %% [markdown]
# **Question.** Someone objects: "In a difficult position both go wrong, the probe and the network. That is all." Which of the two controls answers this, and what remains open?

# %% [markdown] tags=["solution"]
# **Our answer.** The control on the same position: the board there is just as difficult, and still only one in twelve of the other illegal squares becomes legal. The board is wrong in just the squares that make *this* move legal. What remains open is the direction of cause. The probe may read the network's *plan to move there* and call it a board. To settle that, the belief has to be changed by hand, to see whether the move follows. That is chapter 04.

# %% [markdown]
# ## Find the bug
#
# Why did black and white fail? A colleague wants to know whether the network writes *black* the same way on black's and on white's turns. He fits one probe where black moves next, another where white does, and tests both on both. His result: every probe works equally well everywhere, so black is black, whoever moves.

# %%
whole_train, whole_test = states_train.mask.all(dim=1), states_test.mask.all(dim=1)  # games without padding
mid_train = acts_train[best][whole_train[:, None].expand_as(keep_train)[keep_train]]  # [position d_model]
mid_test = acts_test[best][whole_test[:, None].expand_as(keep_test)[keep_test]]
n_pos = games_train.shape[1] - FIRST
mid_train, mid_test = mid_train.unflatten(0, (-1, n_pos)), mid_test.unflatten(0, (-1, n_pos))  # [game pos d_model]
black_train = states_train.black_to_move[whole_train, FIRST:]  # [game pos]
black_test = states_test.black_to_move[whole_test, FIRST:]
colour_train = states_train.black_white_boards[whole_train, FIRST:].long()  # [game pos square]
colour_test = states_test.black_white_boards[whole_test, FIRST:].long()


# %%
def fit_states(
    acts: Float[Tensor, "position d_model"], boards: Int[Tensor, "position square"], l2: float
) -> LinearProbe:
    """The board probe once more, from the parts of chapter 01; probe(acts) is [position square state]."""
    return fit_ridge_probe(acts, torch.nn.functional.one_hot(boards.long(), 3).to(acts.dtype), l2=l2)


def colleagues_transfer(acts_train, boards_train, acts_test, boards_test, l2) -> Tensor:
    """Black moves next after moves 8, 10, 12, ..., white after 9, 11, 13, ... (he says)."""
    rows = []
    for fitted in (0, 1):
        probe = fit_states(acts_train[fitted::2].flatten(0, 1), boards_train[fitted::2].flatten(0, 1), l2)
        for tested in (0, 1):
            acts, boards = acts_test[tested::2].flatten(0, 1), boards_test[tested::2].flatten(0, 1)
            rows.append((probe(acts).argmax(dim=-1) == boards)[boards != EMPTY].float().mean())
    return torch.stack(rows).view(2, 2)  # [fitted tested]


colleagues = colleagues_transfer(mid_train, colour_train, mid_test, colour_test, L2)
colleagues

# %% tags=["solution"]
assert colleagues.amax() - colleagues.amin() < 0.03 and 0.48 < colleagues.mean() < 0.56

# %% [markdown]
# ### Exercise 3.6 · `transfer_between_players` (15 min)
#
# **Why.** A slice on the wrong axis raises no error. The table it gives is even plausible: four numbers that agree. Whoever hopes for "it generalises" will not look twice. *Four numbers that agree are a reason to look.*
#
# **Find** the mistake, and **write** the function without it. Choose positions by `black_train` and `black_test` `[game pos]`, which say whether black moves next there. (Counting moves would be right until somebody passes.)
#
# Return `[fitted tested]`: row 0 is the probe fitted where black moves next, row 1 where white does; the columns are where it is tested. Accuracy is over occupied squares. `fit_states` is there to be used.


# %%
# exercise: transfer_between_players
def transfer_between_players(
    acts_train: Float[Tensor, "game pos d_model"],
    boards_train: Int[Tensor, "game pos square"],
    black_train: Bool[Tensor, "game pos"],
    acts_test: Float[Tensor, "test_game pos d_model"],
    boards_test: Int[Tensor, "test_game pos square"],
    black_test: Bool[Tensor, "test_game pos"],
    l2: float,
) -> Float[Tensor, "fitted tested"]:
    """Accuracy on occupied squares: fitted and tested where black (0) or white (1) moves next."""
    ### BEGIN SOLUTION
    rows = []
    for fitted in (black_train, ~black_train):
        probe = fit_states(acts_train[fitted], boards_train[fitted], l2)
        for tested in (black_test, ~black_test):
            right = probe(acts_test[tested]).argmax(dim=-1) == boards_test[tested]  # [position square]
            rows.append(right[boards_test[tested] != EMPTY].float().mean())
    return torch.stack(rows).view(2, 2)
    ### END SOLUTION


# %%
check(transfer_between_players)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# What is the first axis of `acts_train`? Which positions does `[0::2]` take?
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# A mask over the first two axes picks positions: `acts_train[black_train]` is `[position d_model]`, and `boards_train[black_train]` is `[position square]`. No flattening is needed.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# probe = fit_states(acts_train[fitted], boards_train[fitted], l2)
# ```
#
# with `fitted` being `black_train`, then `~black_train`; and the same with the test masks.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. On the network, the numbers of the table no longer agree at all.
#
# </details>

# %%
predict(
    "transfer",
    "Black/white probe, fitted where black moves next. Occupied squares where white moves next?",
    ("as good as where black moves", "about 50 %", "about 15 %"),
)

# %%
data = (mid_train, colour_train, black_train, mid_test, colour_test, black_test)
transfer = transfer_between_players(*data, L2)
transfer

# %%
share = float(transfer[0, 1])
settle("transfer", "about 15 %" if share < 0.3 else "about 50 %" if share < 0.65 else "as good as where black moves")

# %% tags=["solution"]
assert transfer.diagonal().min() > 0.86 and max(transfer[0, 1], transfer[1, 0]) < 0.16

# %% [markdown]
# **Read it.** Where it was fitted, the probe for black and white is as good as the one for mine and yours. On the other player's turn it is not at chance, it is **the wrong way round**. Of course: where black moves next, *black* and *mine* are the same word. A probe that mixes both kinds of positions must say both at once, and ends at one half.
#
# So nothing was wrong with straight lines. The network says *mine*, we had asked for *black*.

# %% [markdown]
# ## Optional: the same direction?
#
# If *black* on black's turn is *white* on white's turn, the two probes should point in opposite directions for colour, and in the same direction for empty.

# %% [markdown]
# ### Exercise 3.7 · `probe_cosines` (10 min, optional)
#
# **Why.** A table of accuracies says that two probes differ. Cosines say how: same direction, opposite, or unrelated.
#
# **Write** a function that takes the weights of two board probes, `[square state d_model]`, and returns `[square 2]`. For each square compare two directions of the first probe with the same two of the second, by their cosine:
#
# 1. occupied against empty: the mean of the weights of states 1 and 2, minus that of state 0;
# 2. colour: the weight of state 1 minus that of state 2.


# %%
# exercise: probe_cosines
def probe_cosines(
    first: Float[Tensor, "square state d_model"], second: Float[Tensor, "square state d_model"]
) -> Float[Tensor, "square 2"]:
    """For each square, the cosine between two probes: of occupied against empty, and of state 1 against state 2."""
    ### BEGIN SOLUTION

    def directions(weight: Tensor) -> Tensor:  # [square 2 d_model]
        empty, one, two = weight.unbind(dim=1)
        return torch.stack([(one + two) / 2 - empty, one - two], dim=1)

    return torch.nn.functional.cosine_similarity(directions(first), directions(second), dim=-1)
    ### END SOLUTION


# %%
check(probe_cosines)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Make both directions for one probe, in a small function, and call it twice.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `weight.unbind(dim=1)` gives three tensors `[square d_model]`. Stack the two directions to `[square 2 d_model]`, and take the cosine over the last axis.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# torch.nn.functional.cosine_similarity(directions(first), directions(second), dim=-1)
# ```
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. One of them exchanges the colours of one probe: the cosine of colour changes its sign, the other one stays.
#
# </details>

# %% [markdown]
# **Look at it.** One probe for black's turns, one for white's, at the layer from above. The penalty is much larger than before. You will see why.


# %%
def compare_turns(l2: float) -> Float[Tensor, "square 2"]:
    """Cosines between the probes of black's and of white's turns."""
    first, second = (fit_states(mid_train[turn], colour_train[turn], l2) for turn in (black_train, ~black_train))
    return probe_cosines(first.weight, second.weight)


cosines = compare_turns(l2=10_000.0)
outside = token_squares()  # the four centre squares are never empty: no direction there
{"occupied": cosines[outside, 0].mean(), "black against white": cosines[:, 1].mean()}

# %%
# figure: 03_cosines
heat_maps.plot_square_values(
    cosines[:, 1],
    title="Black against white: the probes of black's and of white's turns",
    value_title="cosine",
    value_range=(-1, 1),
    centre=0,
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![A board of 64 squares, nearly all close to minus one](figures/03_cosines.png)
#
# </details>

# %% tags=["solution"]
assert cosines[outside, 0].mean() > 0.9 and cosines[:, 1].mean() < -0.7

# %% [markdown]
# **Read it.** Empty is written the same way on both turns. Colour is turned around.
#
# One more look, at the strength of the penalty. With `l2=1` every accuracy of this chapter is the same. The directions are not:

# %%
loose = compare_turns(l2=1.0)[:, 1]
print(
    f"l2 = 10,000: {cosines[:, 1].min():.2f} to {cosines[:, 1].max():.2f}    l2 = 1: {loose.min():.2f} to {loose.max():.2f}"
)

# %% tags=["solution"]
assert cosines[:, 1].max() < -0.65 and loose.max() > -0.4 and cosines[:, 1].mean() < loose.mean() - 0.03

# %% [markdown]
# With the loose penalty, the two directions of some squares are far from opposite. In directions where the activations hardly vary, a weight is left to chance, and the accuracy does not notice. If you care about a *direction*, as chapter 04 will, ask how steady it is.

# %% [markdown]
# ## Optional: watch one learn
#
# How does such a network come to be? On a board of 6 × 6 squares you can watch the beginning. You write the loss; games, network and optimiser come from the script that trained the course's own models, `utils/training/othello_gpt.py`.

# %% [markdown]
# ### Exercise 3.8 · `next_move_loss` (10 min, optional)
#
# **Why.** The loss is all that the network is ever told. Look at what is in it, and at what is not: no board, no colour, no turn.
#
# **Write** the cross-entropy between two distributions: **uniform over the legal moves**, and the network's. For one position with N legal moves:
#
# $$ -\frac{1}{N} \sum_{t \text{ legal}} \log p_t, \qquad p = \mathrm{softmax}(\text{logits}) $$
#
# Return the mean over all positions with N > 0, as a tensor with a single number, so that a gradient can flow.


# %%
# exercise: next_move_loss
def next_move_loss(logits: Float[Tensor, "game pos token"], legal: Bool[Tensor, "game pos token"]) -> Float[Tensor, ""]:
    """Cross-entropy to the uniform distribution over legal moves, mean over the positions that have any, in nats."""
    ### BEGIN SOLUTION
    n_legal = legal.sum(dim=-1)  # [game pos]
    surprise = -logits.log_softmax(dim=-1)  # [game pos token]
    losses = (surprise * legal).sum(dim=-1) / n_legal.clamp(min=1)
    return losses[n_legal > 0].mean()
    ### END SOLUTION


# %%
check(next_move_loss)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# `log_softmax` gives all $\log p_t$. Multiplying by `legal` leaves only the legal ones to be summed.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# The sum over tokens is `[game pos]`. Divide by N there, then take the mean over the positions with N > 0. Where N is 0, do not divide by it: its gradient would be no number, even if you drop the position later.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# losses = -(logits.log_softmax(dim=-1) * legal).sum(dim=-1) / n_legal.clamp(min=1)
# ```
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. One of them looks at the gradient.
#
# </details>

# %% [markdown]
# **Look at it.** A new network, with random weights, and your loss. *Predict first:* after 300 steps, how many of ten favourite moves are legal?

# %%
from utils.training.othello_cards import read_curve
from utils.training.othello_games import Settings, draw_batches, inputs_and_legal
from utils.training.othello_gpt import Schedule, Trainer

STEPS = 300  # of 32 games: some twenty seconds; ten times as many bring it among those who know the rules

# %%
settings = Settings(size=6, layers=4, d_model=64, heads=4, games=32)
trainer = Trainer(settings)
trainer.schedule = Schedule(warmup_steps=20)
losses, moves_read = [], []
for tokens, legal in tqdm(islice(draw_batches(settings, step=0), STEPS), total=STEPS, desc="training", leave=False):
    losses.append(trainer.train_step(tokens, legal, next_move_loss))
    moves_read.append(trainer.counters["tokens"])

# %%
# figure: 03_learning
means = torch.tensor(losses).unflatten(0, (-1, 10)).mean(dim=1)  # of ten steps each
floor = float(legal.sum(dim=-1)[legal.any(dim=-1)].float().log().mean())  # of a player who knows the rules
plots.plot_lines(
    {"your network, 6 × 6": means},
    x=[n / 1000 for n in moves_read[::10]],
    x_title="thousand moves read",
    baselines={"knows the rules": floor},
    title=f"{STEPS} steps of training",
    y_title="loss (nats per move)",
    y_range=(0, 4),
)

# %%
games_6x6 = random_games(200, 6, seed=4)
legal_6x6 = inputs_and_legal(games_6x6, 6)[1]
with torch.no_grad():
    top_1, top_n = legal_move_rate(trainer.model(games_6x6[:, :-1]).logits, legal_6x6)
print(f"top-1 {top_1:.2f}, top-N {top_n:.2f}")

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![A line falls fast at first, then slowly, and stays above a dashed line](figures/03_learning.png)
#
# </details>

# %% tags=["solution"]
print(moves_read[-1], [round(x, 2) for x in means.tolist()], floor)
assert means[0] > 3.2 and floor < means[-1] < 2.4 and top_1 > 0.80

# %% [markdown]
# **Read it.** It starts with guessing. After 300 steps, some 300,000 moves, nearly nine in ten of its favourites are legal. The rest is slow: the network of this chapter has read two hundred times as many. Its own curve is kept beside its weights:

# %%
curve = read_curve("othello_gpt")  # measured on games it had never seen
plots.plot_lines(
    {
        "top-1 legal": curve["top_1_legal"],
        "top-N legal": curve["top_n_legal"],
        "probability of legal moves": curve["legal_mass"],
    },
    x=curve["tokens"] / 1e6,
    x_title="million moves read",
    title="The network of this chapter in training",
    y_title="share",
)

# %% [markdown]
# ## Optional: does it forget how it got there?
#
# Many roads lead to the same board: in openings the order of the moves often does not matter. A network that only keeps a list of moves would look different after each road. One that keeps **the board** may forget the road. After six moves there are 8,200 different openings, and 7,092 different boards.

# %% [markdown]
# ### Exercise 3.9 · `history_share` (10 min, optional)
#
# **Why.** Probes show what *is* in the stream. This shows what is *not*: it compares activations with each other, without any labels, and asks how much of them the board leaves unexplained.
#
# **Write** a function that takes `acts` `[position d_model]` and `board` `[position]`, where positions with the same number have the same board. It returns a ratio of two variances:
#
# 1. **within**: the squared distances of all positions from the mean of their board, added up over positions and dimensions, divided by *positions − boards*;
# 2. **total**: the squared distances from the mean of all, divided by *positions − 1*.
#
# Why subtract? With two positions for each board, their mean lies in the middle between them, and the squared distances come out half as large as they should. The *− boards* puts that right.


# %%
# exercise: history_share
def history_share(acts: Float[Tensor, "position d_model"], board: Int[Tensor, " position"]) -> float:
    """Variance among positions with the same board, as a share of all variance; 0 if the board says everything."""
    ### BEGIN SOLUTION
    _, group, count = board.unique(return_inverse=True, return_counts=True)
    mean = torch.zeros(len(count), acts.shape[1]).index_add_(0, group, acts) / count[:, None]  # [board d_model]
    within = (acts - mean[group]).square().sum() / (len(acts) - len(count))
    total = (acts - acts.mean(dim=0)).square().sum() / (len(acts) - 1)
    return float(within / total)
    ### END SOLUTION


# %%
check(history_share)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# You need the mean activation of each board, and then, for each position, the mean that belongs to it.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `board.unique(return_inverse=True, return_counts=True)` numbers the boards from 0 and counts them: `group` is `[position]`, `count` is `[board]`. The means are `[board d_model]`, and `mean[group]` is `[position d_model]`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# mean = torch.zeros(len(count), acts.shape[1]).index_add_(0, group, acts) / count[:, None]
# ```
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. In one of them acts know nothing of the board: then the share is 1, within the noise.
#
# </details>

# %% [markdown]
# **Look at it.** All openings whose board another opening reaches, too. *Predict first:* after the last block, which share of the variance is history, in the network and in its untrained twin?

# %%
openings = all_openings(6)  # [game pos]: every way to play six moves
after = replay_games(openings)
rows = torch.cat([after.boards[:, -1].long(), after.black_to_move[:, -1:].long()], dim=1)
board = rows.unique(dim=0, return_inverse=True)[1]  # [game]
met = torch.bincount(board)[board] > 1  # boards with more than one road
print(f"{len(openings)} openings, {int(board.max()) + 1} boards; {int(met.sum())} openings meet another one")

# %%
shares = {}
for name, network in (("the network", model), ("its untrained twin", untrained)):
    ends = cache_resid_post(network, openings, torch.ones_like(openings), LAYERS)[:, met, -1]  # [layer game d_model]
    shares[name] = torch.tensor([history_share(acts, board[met]) for acts in ends])

# %%
# figure: 03_history
plots.plot_lines_by_layer(
    shares,
    layers=LAYERS,
    title="Same board, other road: how much of the stream is history?",
    y_title="share of variance",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Two lines that start at 0.4: the network's falls to almost nothing, the untrained twin's stays](figures/03_history.png)
#
# </details>

# %% tags=["solution"]
print({name: [round(x, 3) for x in values.tolist()] for name, values in shares.items()})
assert len(openings) == 8200 and int(board.max()) + 1 == 7092
assert 0.01 < shares["the network"][-1] < 0.03 and 0.34 < shares["its untrained twin"][-1] < 0.40

# %% [markdown]
# **Read it.** In the twin the road stays in the stream. In the trained network it fades from layer to layer: at the end it makes up 2 % of the variance, in the twin 37 %. Two openings that lead to one board have become nearly the same vector. No probe was needed to see that.

# %% [markdown]
# ## What you have, and what you do not
#
# **The evidence supports**: from moves alone the network has built a board, in the words *mine* and *yours*, and a straight line reads it. Neither the list of moves nor the untrained twin explains that. Where this board is wrong, the network's moves follow the wrong board.
#
# **It does not support**: that the network *uses* these directions (chapter 04 pushes along them), or that the board is all it uses. Nor that a network trained on something less strict than Othello would build such a model of its world.
#
# **What did not reproduce here**: 99.6 % of all squares, in the large network of Li et al. In ours it is 93 %, and most errors come late in the game.
#
# **Open questions.** Is the board computed move by move, or all at once from the list? Why does it fade in the last layers? What would a network do that had seen *good* games instead of random ones?

# %% [markdown]
# **Question.** Answer items 1 to 3 of [the checklist](../chapters/checklist.md) for this chapter: *What do training and test examples share? What always goes together with the label? What do the text alone and an untrained twin reach?*

# %% [markdown] tags=["solution"]
# **Our answer.** Training and test positions are from different games, and the first eight moves, which games share, are left out. What goes together with *yours*: a disc that the other player has just flipped, or placed. So the last move and its surroundings say a lot, and a network that only follows those would do well early in the game. The list of moves reaches 0.73 of the occupied squares, the untrained twin 0.43, the network 0.89.

# %% [markdown]
# ## At scale
#
# Does a language model keep a board when it *reads* Othello, a game it was never trained for? With a network connection (`HF_HUB_OFFLINE=0 make lab`), this cell fetches **GPT-2**, 0.5 GB, writes beginnings of games as text, `d3 c5 d6 ...`, and probes the last word piece. The list of moves is the one to beat. Without a connection it says so.

# %%
from utils.at_scale import load_if_possible

larger = load_if_possible("openai-community/gpt2")  # 12 blocks, d_model 768, 124 million weights
if larger is not None:
    n_moves = 20
    long = states_new.mask[:, n_moves - 1]  # nearly all games
    texts = [" ".join(token_name(int(move)) for move in game[:n_moves]) for game in games_new[long]]
    some_layers = [0, larger.cfg.n_layers // 2, larger.cfg.n_layers - 1]
    tokens, mask = tokenize(larger, texts)
    last = mask.cumsum(dim=1) * mask == mask.sum(dim=1, keepdim=True)  # [game pos], one True a row
    acts_text = cache_positions(larger, tokens, mask, last, some_layers).cpu()  # [layer game d_model]
    boards_text = states_new.boards[long, n_moves - 1].long()
    moves_text = bag_of_moves(games_new, states_new, by_black=False)[long, n_moves - 1]
    for name, acts in (*zip(some_layers, acts_text, strict=True), ("list of moves", moves_text)):
        logits_text = fit_board_probe(acts[:700], boards_text[:700], 100.0)(acts[700:])
        print(
            name, f"{float(board_accuracy_by_layer(logits_text[None], boards_text[700:])[1]):.2f} of occupied squares"
        )

# %%
progress()
