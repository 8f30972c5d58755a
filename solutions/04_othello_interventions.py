# %% [markdown]
# # 04 · Othello interventions: does the model use its board?
#
# Chapter 03 read a board inside a network that had only ever seen moves. Where this board was wrong, the network's moves were wrong in just the same way. But one objection stayed: a probe may read the network's *plan to move there*, and call it a board.
#
# There is one way to settle that. **Change the belief by hand, and see whether the moves follow.** After this chapter you can
#
# - edit one fact inside a network, and count how far its behaviour follows;
# - tell the direction that *reads* a fact from the direction that *writes* it, by what else it moves;
# - choose layer, direction and dose on one set of cases, report on another, and put a placebo beside every dose;
# - cure a wrong belief, and watch an illegal move become a legal one;
# - look into a network without changing it by accident.
#
# {{exercises}}
#
# ![Two boards: before the edit and after it, with the network's moves, which follow the edit](figures/04_edit_boards.png)
#
# *The network's moves before and after one vector was added to one layer. Nothing else was changed, least of all the moves it has read. You will draw it after Exercise 4.3.*

# %% [markdown]
# ## Where this chapter stands
#
# ```text
# datasets ── games, labels ──────────┐
# models ──── TransformerBridge ──────┤
#   ┌─────────────────────────────────┘
#   └─► activations ─► probes ─┐
#       resid_post     probe   │
#   ┌──────────────────────────┘
#   ├─► METRICS ── score, interval, control ─► plots
#   └─► INTERVENTIONS ─► MODELS (RUN AGAIN) ─► metrics
# ```
#
# Capitals mark where you work: on the lower road, which runs the model again.
#
# **Read before or after:** [Li et al. 2022](https://arxiv.org/abs/2210.13382), section 4, the first edits of such a board. [Nanda, Lee & Wattenberg 2023](https://arxiv.org/abs/2309.00941), section 4: one added vector is enough. For the optional part, [Zhang & Nanda 2023](https://arxiv.org/abs/2309.16042), sections 1 and 2.
#
# **The objects, and their shapes**
#
# | name | shape | what it is |
# |---|---|---|
# | `cases.tokens`, `cases.pos` | `[case pos]`, `[case]` | a history of moves, and the position of its last move |
# | `cases.squares`, `cases.to_mine` | `[case]` | the disc that is turned, and whether it becomes *mine* |
# | `cases.legal`, `cases.legal_after` | `[case token]` | legal next moves, on the true board and on the edited one |
# | `effects` | `[square d_model]` | for each square, the direction from *yours* to *mine* |
# | `resid` | `[case d_model]` | the stream at the last position, after one block |

# %% [markdown]
# **Setup.** Run this cell first, whichever part you want to work on.

# %%
# {{setup}}

# %%
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from utils import boards as pictures
from utils import heat_maps, plots
from utils.activations import cache_positions, cache_resid_post
from utils.course.check import check, progress, start_chapter
from utils.course.predict import predict, settle
from utils.interventions import pattern_from_filter
from utils.metrics import bootstrap_interval
from utils.models import TransformerBridge, load_model, restore_model
from utils.othello import (
    EMPTY,
    MINE,
    YOURS,
    legal_moves,
    random_games,
    replay_games,
    square_name,
    to_tokens,
    token_squares,
)
from utils.othello_edits import draw_edit_cases, draw_move_pairs
from utils.othello_prefixes import cache_prefixes, continue_from
from utils.othello_probes import board_accuracy_by_layer, fit_board_probe, legal_move_rate
from utils.probes import LinearProbe, fit_logistic_regression_probe, fit_mass_mean_probe, fit_ridge_probe
from utils.widgets.edits import EditExample, EditResult, edit_board

SEED = 0
LAYERS = list(range(8))
MOVES = (5, 30)  # histories of so many moves: the same in training, validation and test cases
L2 = 1.0  # of ridge regression, as in chapter 03
start_chapter("04_othello_interventions")

# %%
model = load_model("othello_gpt")

# %% [markdown]
# ## One disc
#
# Here is a position after nine moves. Suppose that the disc on **e6**, which is mine, were yours. Nothing else changes. Which moves would be legal then?

# %%
validation = draw_edit_cases(200, moves=MOVES, seed=11)  # 200 histories, with a disc to turn in each
shown = 180
board, square = validation.boards[shown], int(validation.squares[shown])
drawing = pictures.draw_board(board, legal=legal_moves(board), marks={square: "the disc that is turned"})
pictures.plot_boards([drawing], title=f"After {int(validation.pos[shown]) + 1} moves")

# %%
predict(
    "one_disc",
    "e6 becomes yours. Which moves appear, and which vanish?",
    ("f7 appears, nothing vanishes", "f7 appears, e2 and g4 vanish", "e7 appears, f2 and f3 vanish", "nothing changes"),
)

# %%
before, after = validation.legal[shown, 1:], validation.legal_after[shown, 1:]  # without padding
names = [square_name(int(move)) for move in token_squares()]
appear = [name for name, was, becomes in zip(names, before, after, strict=True) if becomes and not was]
vanish = [name for name, was, becomes in zip(names, before, after, strict=True) if was and not becomes]
settle("one_disc", f"{' and '.join(appear)} appears, {' and '.join(vanish)} vanish")

# %% tags=["solution"]
assert appear == ["f7"] and vanish == ["e2", "g4"] and square_name(square) == "e6"

# %% [markdown]
# That is what the *rules* say about the edited board. The network has read the same nine moves as before. If it really thinks with a board, and if you can reach into that board and turn e6, then **f7 must rise, e2 and g4 must fall, and all other moves must stay where they are**.
#
# This is a sharp test. A probe can be right for many reasons. An edit has to make the right moves appear, out of sixty, that nobody mentioned to it.

# %% [markdown]
# ### Exercise 4.1 · `intervention_errors` (10 min)
#
# **Why.** "The edit works" needs a number. The one of Li et al. is strict: it punishes every move that should be there and is not, and every one that is there and should not be.
#
# **Write** a function that takes `logits` and `legal_after`, both `[case token]`, and returns the number of errors of each case, `[case]`.
#
# 1. N is the number of legal tokens of the case, **after** the edit. It differs from case to case.
# 2. The N most likely tokens are what the network would play.
# 3. Errors are those among the N that are not legal (false positives), plus legal ones that are not among the N (false negatives).


# %%
# exercise: intervention_errors
def intervention_errors(
    logits: Float[Tensor, "case token"], legal_after: Bool[Tensor, "case token"]
) -> Int[Tensor, " case"]:
    """False positives plus false negatives of the N most likely tokens, N being the number of legal ones."""
    ### BEGIN SOLUTION
    n_legal = legal_after.sum(dim=1, keepdim=True)  # [case 1]
    rank = logits.argsort(dim=1, descending=True).argsort(dim=1)  # [case token], 0 is the most likely
    return ((rank < n_legal) != legal_after).sum(dim=1)
    ### END SOLUTION


# %%
check(intervention_errors)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Make a mask of the N most likely tokens. Wherever it differs from `legal_after`, there is an error, of one kind or the other.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `logits.argsort(dim=1, descending=True)` lists tokens by rank, `[case rank]`. Sorting *that* gives the rank of each token, `[case token]`. Compare it with N, `[case 1]`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# rank = logits.argsort(dim=1, descending=True).argsort(dim=1)
# ```
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. In one of them a network that knows the edited board makes no error, and the same network upside down as many as there can be.
#
# </details>

# %% [markdown]
# **Question.** The number of errors is always even. Why?

# %% [markdown] tags=["solution"]
# **Our answer.** The two sets have the same size, N. Whatever is in the one and not in the other takes a place that one of the other's is missing from: each false positive comes with one false negative.

# %% [markdown]
# **Before any edit.** 1,000 new histories, each from a game of its own, after 5 to 30 moves. In each, any disc on the board is turned. Three numbers belong beside every edit:
#
# - the **null**: the untouched network, judged by the *edited* board. If an edit does nothing, this is what you get;
# - the same for a **perfect player**, who knows the true board and all rules, and has never heard of the edit;
# - the **floor**: the untouched network, judged by its own, *true* board. No edit can be expected to do better.

# %%
test = draw_edit_cases(1000, moves=MOVES, seed=12)
prefixes = cache_prefixes(model, test.tokens, test.pos)  # what the network computes of each history
untouched = continue_from(model, prefixes, LAYERS[-1], prefixes.resid[-1])  # [case token]
ties = torch.rand(test.legal.shape, generator=torch.Generator().manual_seed(SEED))  # a perfect player has no favourite
errors = {
    "null": intervention_errors(untouched, test.legal_after).float(),
    "perfect player": intervention_errors(test.legal + 0.1 * ties, test.legal_after).float(),
}
floor = float(intervention_errors(untouched, test.legal).float().mean())
print({name: round(float(values.mean()), 2) for name, values in errors.items()}, f"floor {floor:.2f}")

# %% tags=["solution"]
assert 2.1 < errors["null"].mean() < 2.8 and 2.2 < errors["perfect player"].mean() < 2.8
assert 0.1 < floor < 0.6 and (errors["null"] - errors["perfect player"]).mean().abs() < 0.4

# %% [markdown]
# **Read it.** Turning one disc costs two or three errors, on average. Knowing the rules does not help against that: the perfect player makes about as many as the network. The floor is well below. So there is room for an edit to show something.

# %% [markdown]
# ## Which way to push?
#
# You want to add a vector to the stream so that the network believes that e6 is yours. Chapter 03 has a direction at hand: the probe's weights for e6. But a weight is a **filter**, fitted to *read* (Exercise 2.5). It may point anywhere, as long as other squares cancel out.
#
# So turn the question round. Do not predict the board from the stream. Predict **the stream from the board**:
#
# ```text
#   probe            stream  ─►  board
#                    "which direction tells me what e6 is?"
#
#   forward model    board   ─►  stream
#                    "what changes if e6 turns, and all else stays?"
# ```
#
# "And all else stays" is the point. Discs turn in rows: where e6 is mine, e5 and e7 are more often mine, too. The difference of two class means holds them all. A regression on **all squares jointly** takes them apart.

# %% [markdown]
# ### Exercise 4.2 · `square_effect_directions` (15 min)
#
# **Why.** An intervention should change what you name, and nothing else. This is the place where that is decided.
#
# **Write** a function that fits a forward model by ridge regression, and returns for each square the change from `YOURS` to `MINE`, `[square d_model]`.
#
# 1. Describe each board by two numbers for each square: its colour (1 where `MINE`, −1 where `YOURS`, 0 where `EMPTY`), and whether it is taken (1 or 0). Together `[position 2·square]`.
# 2. Centre these features, and `resid` too.
# 3. Solve for all dimensions of the stream at once: $C = (F^\top F + \lambda I)^{-1} F^\top R$, which is `[2·square d_model]`. The penalty $\lambda$ is `l2`.
# 4. From −1 to 1 the colour changes by **two**. So the effect of a square is twice its colour coefficient.
#
# The penalty is needed: how many squares are taken also follows from other features, for example from the move number.


# %%
# exercise: square_effect_directions
def square_effect_directions(
    resid: Float[Tensor, "position d_model"], boards: Int[Tensor, "position square"], l2: float
) -> Float[Tensor, "square d_model"]:
    """The change of the stream when one square turns from YOURS to MINE and all others stay: ridge, jointly."""
    ### BEGIN SOLUTION
    colour = (boards == MINE).float() - (boards == YOURS).float()  # [position square]
    features = torch.cat([colour, (boards != EMPTY).float()], dim=1)  # [position 2*square]
    features = features - features.mean(dim=0)
    gram = features.T @ features + l2 * torch.eye(features.shape[1])
    coefficients = torch.linalg.solve(gram, features.T @ (resid - resid.mean(dim=0)))  # [2*square d_model]
    return 2 * coefficients[: boards.shape[1]]
    ### END SOLUTION


# %%
check(square_effect_directions)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# It is the ridge regression of Exercises 1.4 and 3.2 with the two sides exchanged: the board stands where the activations stood, and the stream is the target.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `(boards == MINE).float() - (boards == YOURS).float()` is `[position square]`. Put `(boards != EMPTY).float()` beside it with `torch.cat(..., dim=1)`. The solution of the linear system is `[2*square d_model]`, and its first rows are the colours.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# coefficients = torch.linalg.solve(gram, features.T @ (resid - resid.mean(dim=0)))
# ```
#
# `gram` is `features.T @ features + l2 * torch.eye(2 * n_squares)`, with centred features.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. One of them plants squares that turn together, and your directions must keep them apart.
#
# </details>

# %% [markdown]
# **The data.** 400 games for fitting, after the same numbers of moves as in the cases. No game stands on two sides: fitting, validation and test use different seeds.

# %%
games_train = random_games(400, seed=1)[:, :-1]
states_train = replay_games(games_train)
keep = states_train.mask.clone()
keep[:, : MOVES[0] - 1] = keep[:, MOVES[1] :] = False
boards_train = states_train.boards[keep].long()  # [position square], EMPTY, MINE, YOURS


early = slice(MOVES[1])  # later positions need not be run
acts_train = cache_positions(model, games_train[:, early], states_train.mask[:, early], keep[:, early], LAYERS)
effects = torch.stack([square_effect_directions(acts, boards_train, L2) for acts in acts_train])
effects.shape  # [layer square d_model]

# %% [markdown]
# ### Exercise 4.3 · `edit_square` (10 min)
#
# **Why.** The edit itself is one addition. It should be a small function with its sign and its size in plain sight.
#
# **Write** a function that pushes each stream along the effect of its own square: by `scale` times the effect if the disc is to become mine, by `-scale` times the effect if it is to become yours. `scale` 1 is the **natural size**: as large as the difference that the disc's colour makes in real games.
#
# Leave `resid` as it is: return a new tensor.


# %%
# exercise: edit_square
def edit_square(
    resid: Float[Tensor, "case d_model"],
    effects: Float[Tensor, "square d_model"],
    squares: Int[Tensor, " case"],
    to_mine: Bool[Tensor, " case"],
    scale: float,
) -> Float[Tensor, "case d_model"]:
    """Push each stream along the effect of one square: forwards to make it MINE, backwards to make it YOURS."""
    ### BEGIN SOLUTION
    sign = torch.where(to_mine, 1.0, -1.0)  # [case]
    return resid + scale * sign[:, None] * effects[squares]
    ### END SOLUTION


# %%
check(edit_square)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# For each case: which vector, with which sign, how long? Then add.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `effects[squares]` is `[case d_model]`. `torch.where(to_mine, 1.0, -1.0)` is `[case]`; give it a second axis with `[:, None]`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# return resid + scale * sign[:, None] * effects[squares]
# ```
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. In one of them a disc becomes mine and then yours again, and the stream is where it was.
#
# </details>

# %% [markdown]
# **Into the network.** A *hook* is a function that the model calls with an activation, and whose result it uses instead. This one edits the stream after one block, at the last position of each history. Layer 4 and twice the natural size will do for a start:


# %%
@torch.no_grad()
def run_edited(
    cases, layer: int, effects: Float[Tensor, "square d_model"], scale: float
) -> Float[Tensor, "case token"]:
    """Logits after each history, with the stream edited after one block at its last position."""
    rows = torch.arange(len(cases.pos))

    def push(resid: Float[Tensor, "case pos d_model"], hook: object) -> Tensor:
        resid = resid.clone()
        at = (rows, cases.pos)
        resid[at] = edit_square(resid[at], effects, cases.squares, cases.to_mine, scale)
        return resid

    hooks = [(f"blocks.{layer}.hook_resid_post", push)]
    mask = torch.ones_like(cases.tokens)
    logits = model.run_with_hooks(cases.tokens, attention_mask=mask, fwd_hooks=hooks, return_type="logits")
    return logits[rows, cases.pos]


edited = run_edited(validation, 4, effects[4], 2.0)

# %% [markdown]
# An edit at the last position changes nothing at earlier ones, because the network never looks ahead. So there is a shorter way: run each history once, keep what does not change, and run only the last position again, from the edited layer upwards. `continue_from` does that. Same logits, at a fraction of the time:

# %%
prefixes_validation = cache_prefixes(model, validation.tokens, validation.pos)


def logits_after(cases, prefixes, layer: int, effects: Float[Tensor, "square d_model"], scale: float, added=None):
    """The same as run_edited; `added` says what is added at further layers."""
    resid = edit_square(prefixes.resid[layer], effects, cases.squares, cases.to_mine, scale)
    return continue_from(model, prefixes, layer, resid, added=added)


shortcut = logits_after(validation, prefixes_validation, 4, effects[4], 2.0)
assert torch.allclose(shortcut, edited, atol=1e-3)

# %% [markdown]
# **The position from above**, with e6 turned. The dots are the moves that are legal on the *edited* board.


# %%
def to_squares(logits: Float[Tensor, " token"]) -> Float[Tensor, " square"]:
    """Probabilities of the next move, on the board."""
    probabilities = torch.zeros(64)
    probabilities[token_squares()] = logits.softmax(dim=-1)[1:]
    return probabilities


untouched_validation = continue_from(model, prefixes_validation, LAYERS[-1], prefixes_validation.resid[-1])
drawings = {}
for name, state, logits in (
    ("before the edit", validation.boards[shown], untouched_validation[shown]),
    ("after it", validation.boards_after[shown], edited[shown]),
):
    legal = legal_moves(validation.boards_after[shown])
    drawings[name] = pictures.draw_board(
        state, legal=legal, probabilities=to_squares(logits), marks={square: "the disc that is turned"}
    )

# %%
# figure: 04_edit_boards
pictures.plot_boards(drawings, title="The network's next move, and what is legal after the edit")

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Two boards with the probabilities of moves: after the edit they stand where the dots are](figures/04_edit_boards.png)
#
# </details>

# %% tags=["solution"]
both = [to_squares(logits) for logits in (untouched_validation[shown], edited[shown])]
f7, e2, g4 = (8 * row + column for row, column in ((6, 5), (1, 4), (3, 6)))
assert both[0][f7] < 0.01 and both[1][f7] > 0.05
assert all(both[0][s] > 0.05 and both[1][s] < 0.02 for s in (e2, g4))

# %% [markdown]
# **Read it.** One vector was added at one layer, at one position. f7 has appeared, e2 and g4 are gone, and the other moves are where they were. Nobody told the network what follows from a disc on e6. **It worked that out**, in the blocks above the edit.

# %% [markdown]
# ## Which layer, how far?
#
# One position proves nothing. There are two settings to choose, layer and dose. Choose them on the 200 validation cases, and report on the others (Exercise 2.7). *Predict first:* in which layer is the edit best, and at the natural size, below it or above?

# %%
DOSES = [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0]  # in natural sizes


def errors_after(layer: int, effects: Float[Tensor, "square d_model"], scale: float) -> Float[Tensor, " case"]:
    """Errors of the edited network in each validation case."""
    logits = logits_after(validation, prefixes_validation, layer, effects, scale)
    return intervention_errors(logits, validation.legal_after).float()


by_case = torch.stack(
    [torch.stack([errors_after(layer, effects[layer], dose) for dose in DOSES]) for layer in LAYERS]
)  # [layer dose case]
scan = by_case.mean(dim=2)
edit_layer = LAYERS[int(scan.amin(dim=1).argmin())]
null_validation = float(intervention_errors(untouched_validation, validation.legal_after).float().mean())
floor_validation = float(intervention_errors(untouched_validation, validation.legal).float().mean())

# %%
# figure: 04_layers
shown_doses = {f"dose {DOSES[i]:g}": by_case[:, i] for i in (1, 3, 6)}  # [layer case]
plots.plot_lines_by_layer(
    {name: errors.mean(dim=1) for name, errors in shown_doses.items()},
    intervals={name: torch.tensor([bootstrap_interval(row) for row in errors]) for name, errors in shown_doses.items()},
    layers=LAYERS,
    baselines={"null": null_validation, "floor": floor_validation},
    title="One edit of one disc, 200 validation cases, 95 % interval over games",
    y_title="errors per position",
    y_range=(0, 5),
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Three lines over the layers, lowest in the middle; dose 2 comes near the floor there](figures/04_layers.png)
#
# </details>

# %% tags=["solution"]
print(edit_layer, [[round(x, 2) for x in row] for row in scan.tolist()], round(null_validation, 2), floor_validation)
assert edit_layer in (3, 4, 5) and DOSES[int(scan[edit_layer].argmin())] in (1.5, 2.0, 2.5, 3.0)
assert scan[edit_layer].min() < floor_validation + 0.35 * (null_validation - floor_validation)
assert scan[0].min() > scan[edit_layer].min() + 0.3 and scan[-1].min() > scan[edit_layer].min() + 0.3

# %% [markdown]
# **Read it.** The middle layers, where chapter 03 reads the board best. Too early, and the board is not there yet. Too late, and the moves have been worked out already. And the natural size is not enough: the best dose is about twice as large. Remember that, it needs an explanation.

# %% [markdown]
# ## Which direction?
#
# Now the contest. Every direction gets **the same length** at each square, the natural size, and every dose is tried for each. Otherwise you would compare lengths.
#
# | direction | where it comes from |
# |---|---|
# | square effects | your forward model, all squares jointly |
# | difference of means | mean stream where the square is mine, minus where it is yours (Exercise 1.3) |
# | board probe's weights | ridge, *mine* minus *yours* (Exercise 3.2) |
# | logistic probe's weights | the same with logistic regression |
# | their pattern | the way back from weights to what goes with them (Exercise 2.5) |
# | black/white effects | the forward model in the wrong words (Exercise 3.4) |
# | a random direction | the placebo |

# %%
predict(
    "direction",
    "Which direction gives the fewest errors, each at its best dose?",
    (
        "square effects",
        "difference of means",
        "board probe's weights",
        "logistic probe's weights",
        "black/white effects",
    ),
)

# %%
acts = acts_train[edit_layer]
natural = effects[edit_layer].norm(dim=1, keepdim=True)  # [square 1]
board_probe = fit_board_probe(acts, boards_train, l2=L2)
mine_or_yours = torch.cat([boards_train == MINE, boards_train == YOURS], dim=1)  # [position 2*square]
logistic = fit_logistic_regression_probe(acts, mine_or_yours, l2=0.01).weight
logistic = logistic[:64] - logistic[64:]  # [square d_model], mine minus yours
colours_train = states_train.black_white_boards[keep].long()
taken = boards_train != EMPTY
placebo = torch.randn(effects[edit_layer].shape, generator=torch.Generator().manual_seed(SEED))

# %%
directions = {
    "square effects": effects[edit_layer],
    "difference of means": torch.stack(
        [fit_mass_mean_probe(acts[taken[:, s]], boards_train[taken[:, s], s] == MINE).weight for s in range(64)]
    ),
    "board probe's weights": board_probe.weight[:, MINE] - board_probe.weight[:, YOURS],
    "logistic probe's weights": logistic,
    "logistic probe's pattern": torch.stack([pattern_from_filter(acts, w) for w in logistic]),
    "black/white effects": square_effect_directions(acts, colours_train, L2),  # BLACK is 1 as MINE is
    "random direction": placebo,
}
directions = {name: normalize(rows, dim=1) * natural for name, rows in directions.items()}

# %% [markdown]
# To make a disc *mine* with the black/white direction, push towards black where black moves next, and towards white elsewhere: a fair chance for it.

# %%
validation_black = replace(validation, to_mine=validation.to_mine == validation.black_to_move)
test_black = replace(test, to_mine=test.to_mine == test.black_to_move)


def errors_with(name: str, dose: float, *, on_test: bool = False) -> Float[Tensor, " case"]:
    """Errors of each case, edited at edit_layer along a direction."""
    cases, prefix = (test, prefixes) if on_test else (validation, prefixes_validation)
    if name == "black/white effects":
        cases = test_black if on_test else validation_black
    logits = logits_after(cases, prefix, edit_layer, directions[name], dose)
    return intervention_errors(logits, cases.legal_after).float()


by_dose = {name: torch.stack([errors_with(name, dose) for dose in DOSES]) for name in directions}  # [dose case]

# %%
# figure: 04_dose
drawn = [name for name in by_dose if name != "logistic probe's pattern"]  # six can be told apart
intervals = {
    name: torch.tensor([bootstrap_interval(row) for row in by_dose[name]])
    for name in ("square effects", "random direction")
}
plots.plot_lines(
    {name: by_dose[name].mean(dim=1) for name in drawn},
    x=DOSES,
    x_title="dose (natural sizes)",
    intervals=intervals,
    baselines={"null": null_validation, "floor": floor_validation},
    title=f"Errors after the edit, layer {edit_layer}, 200 validation cases",
    y_title="errors per position",
    y_range=(0, 5),
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Four lines fall towards the floor and rise again; black/white and random directions only rise](figures/04_dose.png)
#
# </details>

# %% [markdown]
# **Read it.** Four ways to find a direction, and all of them come far down: the board is *used*. The placebo of the same length never helps. It does harm, the more the larger the dose. Neither does black and white help: the words of chapter 03 matter here, too.
#
# **The benchmark.** Each direction at its best validation dose, on the 1,000 test cases. Two more rows come from Nanda, Lee & Wattenberg: the probe's weights added **at several layers**, and a disc **erased**, to empty, instead of turned.

# %%
best_dose = {name: DOSES[int(rows.mean(dim=1).argmin())] for name, rows in by_dose.items()}
for name in directions:
    errors[name] = errors_with(name, best_dose[name], on_test=True)

# %%
span = range(edit_layer - 2, edit_layer + 2)  # four layers
probes = fit_board_probe(acts_train, boards_train, l2=L2)  # all layers at once
weights = probes.weight[:, :, MINE] - probes.weight[:, :, YOURS]  # [layer square d_model]
weights = normalize(weights, dim=2) * effects.norm(dim=2, keepdim=True)


def errors_at_several(cases, prefix, dose: float) -> Float[Tensor, " case"]:
    """Errors when the probe's weights are added at every layer of span."""
    zero = torch.zeros_like(prefix.resid[0])
    added = {layer: edit_square(zero, weights[layer], cases.squares, cases.to_mine, dose) for layer in span[1:]}
    logits = logits_after(cases, prefix, span[0], weights[span[0]], dose, added)
    return intervention_errors(logits, cases.legal_after).float()


dose = min(DOSES, key=lambda dose: float(errors_at_several(validation, prefixes_validation, dose).mean()))
errors["probe's weights, four layers"] = errors_at_several(test, prefixes, dose)

# %%
# figure: 04_benchmark
ticks = {name: name.replace(" ", "<br>") for name in errors}  # below one another
plots.plot_bars(
    {ticks[name]: float(values.mean()) for name, values in errors.items()},
    intervals={ticks[name]: bootstrap_interval(values) for name, values in errors.items()},
    baselines={"floor": floor},
    title=f"1,000 test cases, layer {edit_layer}, 95 % interval over games",
    y_title="errors per position",
    y_range=(0, 3.2),
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Bars: null, perfect player, black/white and random are high, all others near the floor](figures/04_benchmark.png)
#
# </details>

# %%
asked = (
    "square effects",
    "difference of means",
    "board probe's weights",
    "logistic probe's weights",
    "black/white effects",
)
settle("direction", min(asked, key=lambda name: float(errors[name].mean())))
for name in asked[1:4]:
    gain = errors["square effects"] - errors[name]  # paired: the same cases
    print(f"square effects minus {name}: {gain.mean():+.2f}, {[round(end, 2) for end in bootstrap_interval(gain)]}")

# %% tags=["solution"]
print({name: [round(x, 2) for x in (float(v.mean()), *bootstrap_interval(v))] for name, v in errors.items()}, best_dose)
means = {name: float(values.mean()) for name, values in errors.items()}
covered = (means["null"] - means["square effects"]) / (means["null"] - floor)
assert covered > 0.85 and all(means["null"] - means[name] > 1 for name in asked[:4])
assert abs(means["random direction"] - means["null"]) < 0.15 and abs(means["black/white effects"] - means["null"]) < 0.2
assert all(bootstrap_interval(errors["square effects"] - errors[name])[0] < 0 for name in asked[1:4])
assert means["square effects"] < means["board probe's weights"]

# %% [markdown]
# **Read it.** With one vector at one layer, the network plays the edited board almost as well as it plays its own: nine tenths of the way from the null to the floor. The forward model is in front, by little. *How* you find the direction matters less than *that it is about mine and yours*, and that the dose is right.
#
# **What does not come out here**: in the large network of Li et al., Nanda, Lee & Wattenberg report 0.10 errors for a turned disc. Our network has fewer weights and less training, and its own floor is higher than that.

# %% [markdown]
# **Erase it.** From a disc to an empty square there is no colour effect. So push from the probe's weights of the state that it has to those of `EMPTY`.


# %%
def errors_after_erasing(cases, prefix, dose: float) -> Float[Tensor, " case"]:
    """Errors when a disc is pushed to EMPTY, judged by the board without it."""
    rows = torch.arange(len(cases.pos))
    boards = cases.boards.clone()
    boards[rows, cases.squares] = EMPTY
    legal = to_tokens(legal_moves(boards))
    probe = board_probe.weight[cases.squares]  # [case state d_model]
    push = normalize(probe[:, EMPTY] - probe[rows, cases.boards[rows, cases.squares]], dim=1) * natural[cases.squares]
    logits = continue_from(model, prefix, edit_layer, prefix.resid[edit_layer] + dose * push)
    return intervention_errors(logits, legal).float()[legal.any(dim=1)]


dose = min(DOSES, key=lambda dose: float(errors_after_erasing(validation, prefixes_validation, dose).mean()))
erased = {name: errors_after_erasing(test, prefixes, d) for name, d in (("null", 0.0), (f"dose {dose:g}", dose))}
{name: round(float(values.mean()), 2) for name, values in erased.items()}

# %% tags=["solution"]
before, after = (float(values.mean()) for values in erased.values())
assert 1.8 < before < 2.8 and means["square effects"] + 0.1 < after < before - 0.8

# %% [markdown]
# **Read it.** Erasing works less well than turning. A square that has been played is in the list of moves itself, and the network can see it there. In the large network, erasing works better than turning: 0.02 errors. In ours it does not.

# %% [markdown]
# ## What else did it move?
#
# Errors look at the moves alone. Look at the board inside as well: after the edit, let the probes of chapter 03 read all squares again. The edited square should have changed. **The others should not.**

# %%
predict(
    "side_effects",
    "At dose 2, which direction changes the most beliefs about *other* squares, at the same layer?",
    ("square effects", "difference of means", "board probe's weights", "random direction"),
)


# %%
def believed_after(name: str, dose: float) -> Int[Tensor, "layer case square"]:
    """The boards that the probes read in the test cases, at edit_layer and above, after an edit there."""
    resid = edit_square(prefixes.resid[edit_layer], directions[name], test.squares, test.to_mine, dose)
    streams = continue_from(model, prefixes, edit_layer, resid, return_streams=True)
    return LinearProbe(weight=probes.weight[edit_layer:], bias=probes.bias[edit_layer:])(streams).argmax(dim=-1)


rows = torch.arange(len(test.pos))
is_other = torch.ones_like(test.boards, dtype=torch.bool)  # [case square]
is_other[rows, test.squares] = False
believed = believed_after("square effects", 0.0)
others = {
    name: ((believed_after(name, 2.0)[0] != believed[0]) & is_other).sum(dim=1).float()  # [case]
    for name in (
        "square effects",
        "difference of means",
        "logistic probe's weights",
        "board probe's weights",
        "random direction",
    )
}

# %%
# figure: 04_side_effects
plots.plot_bars(
    {name: float(counts.mean()) for name, counts in others.items()},
    intervals={name: bootstrap_interval(counts) for name, counts in others.items()},
    title=f"Other squares whose belief changes, layer {edit_layer}, dose 2",
    y_title="squares per position",
    y_range=(0, 10),
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Bars: the board probe's weights change by far the most other squares, the square effects the fewest](figures/04_side_effects.png)
#
# </details>

# %%
offered = ("square effects", "difference of means", "board probe's weights", "random direction")
settle("side_effects", max(offered, key=lambda name: float(others[name].mean())))

# %% tags=["solution"]
print({name: round(float(counts.mean()), 2) for name, counts in others.items()})
counts = {name: float(values.mean()) for name, values in others.items()}
assert counts["square effects"] < 0.5 and counts["square effects"] < counts["difference of means"] - 0.2
assert counts["board probe's weights"] > 3 * counts["random direction"]

# %% [markdown]
# **Read it.** The board probe's own weights blur the board most, far more than a random direction. That is Exercise 2.5 in a network that plays: a filter leans on other squares to cancel noise, and whoever pushes along it pushes them all. The difference of means moves what goes along with the square in real games. The forward model moves next to nothing else.
#
# A word of care: these probes and the forward model were fitted to the same activations, so this comparison flatters the forward model. The errors above do not depend on any probe.

# %% [markdown]
# ## Does it hold?
#
# Why does it take twice the natural size? Follow the belief about the edited square **upwards**, through the blocks after the edit.

# %%
predict(
    "hold",
    "An edit of natural size turns nearly every belief at its own layer. How many are still turned two layers above?",
    ("nearly all", "about half", "nearly none"),
)

# %%
follows = {}  # dose -> [layer case], 1 where the board is believed as edited
for name, dose in (("no edit", 0.0), ("dose 1", 1.0), ("dose 2", 2.0), ("dose 3", 3.0)):
    state = believed_after("square effects", dose)[:, rows, test.squares]  # [layer case]
    follows[name] = (state == test.boards_after[rows, test.squares]).float()

# %%
# figure: 04_hold
plots.plot_lines_by_layer(
    {name: values.mean(dim=1) for name, values in follows.items()},
    intervals={name: torch.tensor([bootstrap_interval(row) for row in values]) for name, values in follows.items()},
    layers=LAYERS[edit_layer:],
    title=f"Belief in the edited square after an edit at layer {edit_layer}, 95 % interval over games",
    y_title="share that is believed as edited",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Dose 1 starts near 1 and falls to 0.4; doses 2 and 3 stay above 0.7; without an edit the line is near 0](figures/04_hold.png)
#
# </details>

# %%
share = float(follows["dose 1"][2].mean())
settle("hold", "nearly all" if share > 0.75 else "about half" if share > 0.25 else "nearly none")

# %% tags=["solution"]
held = {name: values.mean(dim=1) for name, values in follows.items()}  # [layer] each
print({name: [round(x, 2) for x in values.tolist()] for name, values in held.items()})
assert held["dose 1"][0] > 0.85 and held["dose 1"][2] < 0.75 and held["no edit"].max() < 0.2
assert held["dose 2"][2] > held["dose 1"][2] + 0.15

# %% [markdown]
# **Read it.** At its own layer the edit of natural size turns almost every belief. One block later many have turned back, and nobody undid the edit. The likeliest reading: **the network repairs its board**. The blocks above read the moves again, at all earlier positions, which you did not touch, and the moves say that the disc was never turned. A larger dose outweighs them.
#
# So an edit that fails need not mean "not used". It may mean "used, and put right again". (If that is so, an edit that agrees with the moves should need no larger dose. The next section has such edits.)

# %% [markdown]
# **Try it.** Click on a square of the second board: it becomes what it is not. Watch which moves come and go, and count the errors. Push the strength to 4, and to 0.5. Edit an early position and a late one.

# %%
matters = (errors["null"] >= 4).nonzero()[:, 0]  # cases in which the disc decides about several moves
matters = matters[test.pos[matters].argsort(stable=True)]  # early positions first
examples, prefix_of = {}, {}
for i in matters[:: len(matters) // 8].tolist():
    name, disc = f"case {i}, after {int(test.pos[i]) + 1} moves", int(test.squares[i])
    examples[name] = EditExample(test.boards[i], disc, int(test.boards_after[i, disc]))
    prefix_of[name] = cache_prefixes(model, test.tokens[[i]], test.pos[[i]])


def try_edit(name: str, square: int, state: int, strength: float) -> EditResult:
    """Edit one square: along its effect if a disc is turned, otherwise along the board probe's weights."""
    prefix, board = prefix_of[name], examples[name].board.clone()
    was, board[square] = int(board[square]), state
    push = effects[edit_layer][square] * (1 if state == MINE else -1)
    if EMPTY in (was, state):
        push = normalize(board_probe.weight[square, state] - board_probe.weight[square, was], dim=0) * natural[square]
    streams = prefix.resid[edit_layer] + torch.tensor([[0.0], [strength]]) * push  # without and with the edit
    logits = torch.cat([continue_from(model, prefix, edit_layer, resid[None]) for resid in streams])
    legal = legal_moves(board)
    n_errors = intervention_errors(logits, to_tokens(legal).expand_as(logits)).tolist()
    return EditResult(to_squares(logits[0]), to_squares(logits[1]), board, legal, *n_errors)


edit_board(examples, try_edit, strengths=[0.0, *DOSES], strength=2.0)

# %% [markdown]
# ## The cure
#
# Back to chapter 03. When the network's favourite move is illegal, it is nearly always legal on the board that the probe reads at that moment. Was the wrong board the **cause**?
#
# You can now ask. Take the squares whose colour is believed wrongly, and turn them: all at once, in the stream, at natural size. Say nothing about moves. If the wrong board was the cause, the illegal favourite must give way to a legal one.

# %% [markdown]
# ### Exercise 4.4 · `cure_belief` (15 min)
#
# **Why.** An intervention that *repairs* is stronger evidence than one that disturbs. There are many ways to break a move, and few to put it right.
#
# **Write** a function that pushes each stream towards the true board.
#
# 1. Compare `believed` and `boards`, both `[position square]`. Only squares count that are **taken on both**, in different colours.
# 2. Each of them adds its effect, times `scale`, if it is truly `MINE`, or takes it away if it is truly `YOURS`. Add up over squares.
#
# Return new streams `[position d_model]`. `effects` is `[square d_model]`, from *yours* to *mine*, as before.


# %%
# exercise: cure_belief
def cure_belief(
    resid: Float[Tensor, "position d_model"],
    believed: Int[Tensor, "position square"],
    boards: Int[Tensor, "position square"],
    effects: Float[Tensor, "square d_model"],
    scale: float,
) -> Float[Tensor, "position d_model"]:
    """Push each stream along the effects of all squares whose disc is believed to have the wrong colour."""
    ### BEGIN SOLUTION
    wrong = (believed != boards) & (believed != EMPTY) & (boards != EMPTY)  # [position square]
    sign = torch.where(boards == MINE, 1.0, -1.0)  # [position square], towards the truth
    return resid + scale * (wrong * sign) @ effects
    ### END SOLUTION


# %%
check(cure_belief)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Make a table of 1, −1 and 0: which way each square has to be pushed. Then the sum over squares is a matrix product.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# A mask `[position square]` times a sign `[position square]`, and `@ effects`, which is `[square d_model]`, gives `[position d_model]`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# wrong = (believed != boards) & (believed != EMPTY) & (boards != EMPTY)
# ```
#
# The sign is 1 where `boards == MINE`, else −1.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. In one of them a stream is a sum of effects: the cured stream of the believed board is that of the true one.
#
# </details>

# %% [markdown]
# **The data.** Illegal favourites in 1,000 new games, at any stage of the game. So probe and effects are fitted once more, on positions of all stages.

# %%
games_new = random_games(1000, seed=3)[:, :-1]
states_new = replay_games(games_new)
legal_new = to_tokens(states_new.legal)
with torch.no_grad():
    parts = [model(part, attention_mask=torch.ones_like(part), return_type="logits") for part in games_new.split(100)]
favourite = torch.cat(parts).argmax(dim=-1)  # [game pos]
illegal = legal_new.any(dim=-1) & ~legal_new.gather(-1, favourite[..., None])[..., 0]
game_of, pos_of = illegal.nonzero().unbind(dim=1)  # [position] each
print(f"{len(game_of)} illegal favourites in {int(legal_new.any(dim=-1).sum())} positions")

# %%
keep_all = states_train.mask.clone()
keep_all[:, : MOVES[0] - 1] = False
acts_all = cache_positions(model, games_train, states_train.mask, keep_all, [edit_layer])[0]
boards_all = states_train.boards[keep_all].long()
probe_all, effects_all = (
    fit_board_probe(acts_all, boards_all, l2=L2),
    square_effect_directions(acts_all, boards_all, L2),
)

# %%
sick = cache_prefixes(model, games_new[game_of], pos_of, first_layer=edit_layer)
resid_sick, boards_sick = sick.resid[edit_layer], states_new.boards[illegal].long()
believed_sick = probe_all(resid_sick).argmax(dim=-1)  # [position square]
legal_sick = legal_new[illegal]  # [position token]
wrong_colour = (believed_sick != boards_sick) & (believed_sick != EMPTY) & (boards_sick != EMPTY)
print(f"{wrong_colour.sum(dim=1).float().mean():.1f} discs are believed in the wrong colour, on average")

# %%
predict(
    "cure",
    "You turn the wrongly believed discs. In how many positions is the network's favourite legal then?",
    ("about 10 %", "about 30 %", "about 60 %", "about 90 %"),
)

# %% [markdown]
# **Three controls.** Any push shakes a close decision, and may make the favourite legal by luck. So push just as hard in ways that should not help: turn **as many discs that are believed rightly**; go in a **random direction** of the same length; push **the wrong way**, further from the truth.

# %%
generator = torch.Generator().manual_seed(SEED)
right = (believed_sick == boards_sick) & (boards_sick != EMPTY)
lot = torch.rand(right.shape, generator=generator).masked_fill(~right, 2.0).argsort(dim=1).argsort(dim=1)  # rank
chosen = (lot < wrong_colour.sum(dim=1, keepdim=True)) & right  # as many as are wrong
turned = torch.where(chosen, MINE + YOURS - believed_sick, believed_sick)  # MINE <-> YOURS

cured = cure_belief(resid_sick, believed_sick, boards_sick, effects_all, 1.0)
length = (cured - resid_sick).norm(dim=1, keepdim=True)
noise = normalize(torch.randn(resid_sick.shape, generator=generator), dim=1) * length
treated = {
    "wrong discs put right": cured,
    "as many right discs turned": cure_belief(resid_sick, believed_sick, turned, effects_all, 1.0),
    "random direction": resid_sick + noise,
    "the wrong way": cure_belief(resid_sick, believed_sick, boards_sick, effects_all, -1.0),
}

# %%
logits_treated = {name: continue_from(model, sick, edit_layer, resid) for name, resid in treated.items()}
is_legal = {
    name: legal_sick.gather(1, logits.argmax(dim=1, keepdim=True))[:, 0].float()
    for name, logits in logits_treated.items()
}

# %%
# figure: 04_cure
plots.plot_bars(
    {name: float(values.mean()) for name, values in is_legal.items()},
    intervals={name: bootstrap_interval(values, groups=game_of) for name, values in is_legal.items()},
    title=f"Illegal favourites that become legal, layer {edit_layer}, 95 % interval over games",
    y_title="share that becomes legal",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Four bars: putting the wrong discs right is far above the three controls](figures/04_cure.png)
#
# </details>

# %%
options = {0.1: "about 10 %", 0.3: "about 30 %", 0.6: "about 60 %", 0.9: "about 90 %"}
share = float(is_legal["wrong discs put right"].mean())
settle("cure", options[min(options, key=lambda value: abs(value - share))])

# %% tags=["solution"]
print(
    {
        name: [round(x, 2) for x in (float(v.mean()), *bootstrap_interval(v, groups=game_of))]
        for name, v in is_legal.items()
    }
)
shares = {name: float(values.mean()) for name, values in is_legal.items()}
assert 0.8 < shares["wrong discs put right"] < 0.97 and shares["the wrong way"] < 0.35
assert shares["as many right discs turned"] < shares["wrong discs put right"] - 0.3
assert shares["wrong discs put right"] > 1.6 * max(value for name, value in shares.items() if "put" not in name)

# %% [markdown]
# One of the cured positions. Look at the wrong disc first: with it turned, the illegal move *would be* legal.

# %%
played = token_squares()[favourite[illegal] - 1]  # [position]: the square of the illegal favourite
explained = legal_moves(believed_sick)[torch.arange(len(played)), played]  # legal on the believed board
shown_cases = explained & (is_legal["wrong discs put right"] > 0) & (pos_of < 35)
case = int(torch.where(shown_cases, wrong_colour.sum(dim=1), 64).argmin())  # few discs wrong
logits_sick = continue_from(model, sick, edit_layer, resid_sick)[case]
marks = {
    int(played[case]): "the illegal favourite",
    **{int(s): "believed wrongly" for s in wrong_colour[case].nonzero()[:, 0]},
}
drawings = {}
for name, logits in (("before", logits_sick), ("after the cure", logits_treated["wrong discs put right"][case])):
    true = {"board": boards_sick[case], "legal": legal_moves(boards_sick[case])}
    drawings[name] = pictures.draw_board(**true, probabilities=to_squares(logits), marks=marks)

# %%
# figure: 04_cured_board
pictures.plot_boards(
    drawings,
    title=f"Game {int(game_of[case])} after {int(pos_of[case]) + 1} moves: the network's next move, on the true board",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![The same true board twice: before the cure the favourite is on an illegal square, after it on a legal one](figures/04_cured_board.png)
#
# </details>

# %% [markdown]
# **Read it.** Put the board right, and the moves come right: in most positions, and about twice as often as with any control of the same size. Nothing was said about moves. The wrong board **was** the cause.
#
# The controls are needed. Many illegal favourites are close decisions, with a legal move right behind, and give way to *any* push. Without the bar of the random direction you would count all of these as cured.
#
# Here the objection of chapter 03 ends. If the probe had read a plan and not a board, then correcting what it says about *discs* would not tell the network *where to move*.

# %% [markdown]
# **Question.** Natural size is enough here. In the benchmark it took twice as much. What is different?

# %% [markdown] tags=["solution"]
# **Our answer.** In the benchmark the edit goes against the truth: the moves at all earlier positions say that the disc was never turned, and the blocks above repair it. Here the edit goes *with* the truth. The earlier positions support it, and nothing pulls back. Another difference: the bar is lower. The cure needs one legal favourite, the benchmark counts all moves.

# %% [markdown]
# ## Find the bug
#
# Which part of the network writes the board? In each block, every neuron of the MLP adds its own vector to the stream, a row of `W_out`. A colleague compares these rows with the square effects. Cosines need vectors of length 1, so he divides by the length.


# %%
def colleagues_weights(
    model, layer: int, directions: Float[Tensor, "square d_model"]
) -> Float[Tensor, "neuron square"]:
    """Cosines of what each neuron writes with each direction."""
    w_out = model.blocks[layer].mlp.W_out  # [neuron d_model]
    w_out /= w_out.norm(dim=1, keepdim=True)
    return w_out @ normalize(directions, dim=1).T


colleagues = [colleagues_weights(model, layer, effects[layer]) for layer in LAYERS]
print("largest cosine in each layer:", [round(float(table.abs().max()), 2) for table in colleagues])

# %% [markdown]
# The numbers are right. You can check them with any other formula. And still something has happened. Play with the network once more.

# %%
predict(
    "bug",
    "Before, the network's N most likely moves had few errors on its own board. And now?",
    ("as before", "about twice as many", "more than three times as many"),
)


# %%
@torch.no_grad()
def floor_now() -> float:
    """Errors of the network on its own board, in the validation cases."""
    logits = model(validation.tokens, attention_mask=torch.ones_like(validation.tokens), return_type="logits")
    logits = logits[torch.arange(len(logits)), validation.pos]
    return float(intervention_errors(logits, validation.legal).float().mean())


broken = floor_now()
print(f"errors on its own board: {floor_validation:.2f} before, {broken:.2f} now")
ratio = broken / floor_validation
settle("bug", "more than three times as many" if ratio > 3 else "about twice as many" if ratio > 1.4 else "as before")

# %% tags=["solution"]
assert broken > 3 * floor_validation

# %% [markdown]
# The network plays worse, in every cell from here on, and in every notebook of this kernel: `load_model` gives everyone the same object. No error was raised. Undo it before you go on:

# %%
restore_model(model)  # the weights from the file
print(f"errors on its own board: {floor_now():.2f}")

# %% tags=["solution"]
assert abs(floor_now() - floor_validation) < 1e-6

# %% [markdown]
# ### Exercise 4.5 · `neuron_board_weights` (10 min)
#
# **Why.** `w_out /= ...` changes the tensor that it is given, and that tensor **is** the model. Results before that line and after it come from two different networks. A restart of the kernel hides the mistake, a rerun of the notebook from top to bottom does, too.
#
# **Find** the line, and **write** the function without it. Return the cosine between each row of the layer's `W_out` and each direction, `[neuron square]`. Leave model and `directions` as they are.


# %%
# exercise: neuron_board_weights
def neuron_board_weights(
    model: TransformerBridge, layer: int, directions: Float[Tensor, "square d_model"]
) -> Float[Tensor, "neuron square"]:
    """Cosine between what each neuron of a layer writes and each direction."""
    ### BEGIN SOLUTION
    w_out = model.blocks[layer].mlp.W_out  # [neuron d_model], the model's own tensor
    unit = w_out / w_out.norm(dim=1, keepdim=True)  # a new one
    return unit @ normalize(directions, dim=1).T
    ### END SOLUTION


# %%
check(neuron_board_weights)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# `a /= b` writes into `a`. `a = a / b` makes a new tensor and gives it the old name.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `model.blocks[layer].mlp.W_out` is `[neuron d_model]`, `directions` `[square d_model]`. Lengths are over the last axis of both.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# unit = w_out / w_out.norm(dim=1, keepdim=True)
# ```
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. They compare the model's weights before and after.
#
# </details>

# %% [markdown]
# **Look at it.** The largest cosine of any neuron with any square's effect, in each layer. As a control, the same with random directions: the largest of so many cosines is not small, even if nothing is there.

# %%
table = torch.stack([neuron_board_weights(model, layer, effects[layer]) for layer in LAYERS])  # [layer neuron square]
control = torch.stack([neuron_board_weights(model, layer, placebo) for layer in LAYERS])
plots.plot_lines_by_layer(
    {"square effects": table.abs().amax(dim=(1, 2)), "random directions": control.abs().amax(dim=(1, 2))},
    layers=LAYERS,
    title="Do single neurons write single squares?",
    y_title="largest cosine",
)

# %%
# figure: 04_neuron
layer, neuron = divmod(int(table.abs().amax(dim=2).argmax()), table.shape[1])
heat_maps.plot_square_values(
    table[layer, neuron],
    title=f"What neuron {neuron} of layer {layer} writes",
    value_title="cosine with the square's effect",
    value_range=(-1, 1),
    centre=0,
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![A board on which one square is dark and all others are pale](figures/04_neuron.png)
#
# </details>

# %% tags=["solution"]
print(
    [round(float(x), 2) for x in table.abs().amax(dim=(1, 2))],
    [round(float(x), 2) for x in control.abs().amax(dim=(1, 2))],
)
assert table.abs().max() > 0.7 and control.abs().max() < 0.45
second = table[layer, neuron].abs().sort(descending=True).values
assert second[0] > 1.5 * second[1]

# %% [markdown]
# **Read it.** Some neurons write one square, and hardly anything else. The square effects were fitted to activations and know nothing of neurons. That the two agree so well is good news for the directions: they are the network's own.

# %% [markdown]
# ## Optional: when does it know where to move?
#
# The stream has the same shape after every block. So you may ask at each layer: *if the network had to move now, what would it play?* Take the stream there, skip all blocks above, and go straight to the output. This is the **logit lens** ([nostalgebraist 2020](https://www.lesswrong.com/posts/AcKRB8wDpdaN6v6ru/interpreting-gpt-the-logit-lens)).

# %% [markdown]
# ### Exercise 4.6 · `logit_lens` (5 min, optional)
#
# **Why.** It shows *when* an answer is there, in the output's own language.
#
# **Write** a function that reads `resid` as if it came from the last block: final LayerNorm, `model.ln_final`, then the unembedding, `model.unembed`. `resid` is `[layer position d_model]`, the result `[layer position token]`.


# %%
# exercise: logit_lens
def logit_lens(
    model: TransformerBridge, resid: Float[Tensor, "layer position d_model"]
) -> Float[Tensor, "layer position token"]:
    """Logits of every layer, read as if it were the last one."""
    ### BEGIN SOLUTION
    return model.unembed(model.ln_final(resid))
    ### END SOLUTION


# %%
check(logit_lens)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# What happens between the last block and the logits? The same, on every layer.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# Both parts of the model work on the last axis, whatever stands before it.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# return model.unembed(model.ln_final(resid))
# ```
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. At the last layer the lens gives the network's own logits.
#
# </details>

# %% [markdown]
# The lens assumes that all layers speak the language of the last one. They need not. The **tuned lens** ([Belrose et al. 2023](https://arxiv.org/abs/2303.08112)) first translates: an affine map for each layer, fitted to what comes out at the end. They train it on the logits, by gradient descent. The closed form below fits the last *stream* instead.

# %% [markdown]
# ### Exercise 4.7 · `fit_tuned_lens` (10 min, optional)
#
# **Why.** A penalty pulls towards zero. For a translator, zero is a bad guess: without any data, the best guess is "change nothing". Where a penalty pulls to is a choice.
#
# **Write** a function that fits a translator from the stream of one layer, `resid`, to that of the last one, `final`, both `[position d_model]`: **the identity plus an update**. Ridge regression (`fit_ridge_probe(acts, targets, l2=...)`) gives the update, and only the update is penalised.
#
# Return a `LinearProbe` with `weight` `[d_model d_model]` and `bias` `[d_model]`, so that `lens(resid)` predicts `final`.


# %%
# exercise: fit_tuned_lens
def fit_tuned_lens(
    resid: Float[Tensor, "position d_model"], final: Float[Tensor, "position d_model"], l2: float
) -> LinearProbe:
    """Translate the stream of a layer to that of the last one: the identity plus a ridge update."""
    ### BEGIN SOLUTION
    update = fit_ridge_probe(resid, final - resid, l2=l2)
    return LinearProbe(weight=update.weight + torch.eye(resid.shape[1]), bias=update.bias)
    ### END SOLUTION


# %%
check(fit_tuned_lens)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# What is left for the update to predict, if the identity has done its part?
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# The update's weight is `[d_model d_model]`, and so is `torch.eye(d_model)`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# update = fit_ridge_probe(resid, final - resid, l2=l2)
# ```
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. With an enormous penalty, the lens shifts the stream and does nothing else.
#
# </details>

# %% [markdown]
# **Look at it.** Board and moves, layer by layer, in the test cases: top-N of both lenses, and the share of occupied squares that the board probe reads. *Predict first:* in which layers do the moves appear, and where does the board stand then?

# %%
lenses = [fit_tuned_lens(acts, acts_train[-1], L2) for acts in acts_train]
translated = torch.stack([lens(resid) for lens, resid in zip(lenses, prefixes.resid, strict=True)])
top_n = {
    name: torch.tensor([legal_move_rate(logits, test.legal)[1] for logits in logit_lens(model, streams)])
    for name, streams in (("moves, logit lens", prefixes.resid), ("moves, tuned lens", translated))
}
on_board = board_accuracy_by_layer(probes(prefixes.resid), test.boards)[1]

# %%
# figure: 04_lens
plots.plot_lines_by_layer(
    {**top_n, "board, occupied squares": on_board},
    layers=LAYERS,
    title="First the board, then the moves",
    y_title="share that is right",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![The board is best in the middle and fades; the moves of the logit lens rise late and steeply; the tuned lens lies between](figures/04_lens.png)
#
# </details>

# %% tags=["solution"]
print({name: [round(x, 2) for x in values.tolist()] for name, values in (*top_n.items(), ("board", on_board))})
assert on_board[2] > top_n["moves, logit lens"][2] + 0.3 and top_n["moves, logit lens"][-2] > 0.85
assert (top_n["moves, tuned lens"][:6] > top_n["moves, logit lens"][:6]).all() and on_board.argmax() < 6

# %% [markdown]
# **Read it.** The board is there first. The moves appear where the board begins to fade. The tuned lens finds much of the moves earlier: something about them is there, in other words than the output's. Keep in mind that the translator was *fitted*: like every probe it may add some work of its own.

# %% [markdown]
# ## Optional: where does it come from?
#
# An edit adds something made up. **Patching** uses only real activations: run the network on one game, and at one layer and one position take the stream from a run on *another* game ([Vig et al. 2020](https://arxiv.org/abs/2004.12265); [Meng et al. 2022](https://arxiv.org/abs/2202.05262)). If the moves change over, then what makes the difference went through that place.
#
# ```text
#   source     d3 c5 d6 E3 c4 f4 ...   ─►  its legal moves
#   tokens     d3 c5 d6 F5 c4 f4 ...   ─►  other legal moves
#                       │
#              one earlier move differs
#
#   patched    the run on tokens, with the stream of one place,
#              (layer, pos), from the run on source
# ```

# %% [markdown]
# ### Exercise 4.8 · `patch_resid` (15 min, optional)
#
# **Why.** It is among the most used interventions, and this time you write the hook.
#
# **Write** a function that runs the network on `tokens`, with the stream of one place, after block `layer` and at position `pos`, taken from the run on `source`. Return the logits after the last move, `[game token]`.
#
# 1. `cache_resid_post(model, source, torch.ones_like(source), [layer])` is `[1 game pos d_model]`.
# 2. A hook at `blocks.{layer}.hook_resid_post` gets `resid` `[game pos d_model]` and returns a changed copy.
# 3. `model.run_with_hooks(tokens, attention_mask=..., fwd_hooks=[(name, hook)], return_type="logits")`, and of that the last position.


# %%
# exercise: patch_resid
def patch_resid(
    model: TransformerBridge, tokens: Int[Tensor, "game pos"], source: Int[Tensor, "game pos"], layer: int, pos: int
) -> Float[Tensor, "game token"]:
    """Logits after the last token, with the stream after one block and at one position taken from a run on source."""
    ### BEGIN SOLUTION
    mask = torch.ones_like(tokens)
    given = cache_resid_post(model, source, mask, [layer])[0, :, pos]  # [game d_model]

    def put(resid: Float[Tensor, "game pos d_model"], hook: object) -> Tensor:
        resid = resid.clone()
        resid[:, pos] = given
        return resid

    hooks = [(f"blocks.{layer}.hook_resid_post", put)]
    with torch.no_grad():
        return model.run_with_hooks(tokens, attention_mask=mask, fwd_hooks=hooks, return_type="logits")[:, -1]
    ### END SOLUTION


# %%
check(patch_resid)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Two runs. From the first you keep one vector per game. In the second a hook puts it in.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `given = cache_resid_post(...)[0, :, pos]` is `[game d_model]`, and fits into `resid[:, pos]`. The logits are `[game pos token]`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# resid[:, pos] = given
# ```
#
# Inside the hook, after `resid = resid.clone()`, and before `return resid`.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. In one of them the source is `tokens` itself: then nothing changes.
#
# </details>

# %% [markdown]
# **Look at it.** Pairs of games that differ in the fifth of twelve moves. The measure is a difference of logits: moves that are legal only after the source, minus those that are legal only after `tokens`. **Normalised**: 0 is the run on `tokens`, 1 the run on the source. *Predict first:* after which block does the last move hold most of the difference?

# %%
sources, games = draw_move_pairs(20, n_moves=12, exchanged=4, seed=5)
ends = [to_tokens(replay_games(part).legal[:, -1]) for part in (sources, games)]
only = [ends[0] & ~ends[1], ends[1] & ~ends[0]]  # legal after the source only, after tokens only


def difference(logits: Float[Tensor, "pair token"]) -> Float[Tensor, " pair"]:
    """Mean logit of the source's own moves minus that of the other's own moves."""
    means = [(logits * mask).sum(dim=1) / mask.sum(dim=1) for mask in only]
    return means[0] - means[1]


def ratio_of_means(parts: Float[Tensor, "pair 2"]) -> float:
    """The first column as a share of the second: averages first, then one division."""
    return float(parts[:, 0].mean() / parts[:, 1].mean())


# %%
last = games.shape[1] - 1
high, low = (difference(patch_resid(model, run, run, 0, last)) for run in (sources, games))  # [pair] each


def recover(layer: int, places: list[int]) -> tuple[float, ...]:
    """The share of the difference that patches bring back, added up over places, and its 95 % interval over pairs."""
    gain = sum(difference(patch_resid(model, games, sources, layer, pos)) - low for pos in places)
    parts = torch.stack([gain, high - low], dim=1)  # [pair 2]
    return ratio_of_means(parts), *bootstrap_interval(parts, statistic=ratio_of_means)


patched_at = {"the exchanged move": [4], "moves between, added up": [5, 6, 7, 8, 9, 10], "the last move": [11]}
recovered = {
    name: torch.tensor([recover(layer, places) for layer in LAYERS])  # [layer 3]
    for name, places in patched_at.items()
}

# %%
# figure: 04_patch
plots.plot_lines_by_layer(
    {name: values[:, 0] for name, values in recovered.items()},
    intervals={name: values[:, 1:] for name, values in recovered.items()},
    layers=LAYERS,
    title="Where is the difference of one move? 20 pairs of games, 95 % interval over pairs",
    y_title="normalised difference of logits",
    y_range=(-0.1, 1),
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![The exchanged move's line falls to 0, the last move's rises to 1; the moves between add up to a third at first](figures/04_patch.png)
#
# </details>

# %% tags=["solution"]
print({name: [[round(x, 2) for x in row] for row in values.tolist()] for name, values in recovered.items()})
shares = {name: values[:, 0] for name, values in recovered.items()}
assert shares["the last move"][-1] > 0.99 and shares["the last move"][5] > 0.85
assert shares["the exchanged move"][0] < 0.5 and shares["the exchanged move"][5:].abs().max() < 0.05

# %% [markdown]
# **Read it.** Before block 0 the difference is one token, at the place of the exchanged move. Each block carries more of it to the last position, and after the sixth nearly all of it is there. That is why an edit in layer 0 or 1 does not hold: most of what the network will know at the last position is still on its way.

# %% [markdown]
# ## What you have, and what you do not
#
# **The evidence supports**: the network *uses* a board, in the words *mine* and *yours*. Turn a disc inside it, and the right moves appear and vanish. Put a wrong board right, and illegal moves become legal. Placebos of the same length do neither. And beliefs are kept up: an edit against the moves fades in the blocks above it, an edit that agrees with them works at natural size.
#
# **It does not support**: that these directions are the only ones, that the board is *all* the network uses, or that an edit at one place changes "the belief" everywhere: at all earlier positions it is still the old one.
#
# **What did not reproduce here**: errors of 0.10 after one turned disc and 0.02 after an erased one, in the large network of Li et al. The lead of the forward model over simpler directions is real on this network, and small.
#
# **Open questions.** [Hazineh et al. 2023](https://arxiv.org/abs/2310.07582) find that depth decides whether such edits work. How would the curves of this chapter look in a network of two blocks? How does the repair work: which heads read the board again?

# %% [markdown]
# **Question.** Item 8 of [the checklist](../chapters/checklist.md) asks: *does anything happen downstream when it is pushed or erased, and when a random direction is?* Which of this chapter's numbers would you report, if you had room for three?

# %% [markdown] tags=["solution"]
# **Our answer.** Errors on the edited board for the best direction, with the null and the floor beside it; the placebo at the same layer and length; and the cure with its control. The first says that the edit works, the second that not every push does, and the third that a natural mistake, which nobody planted, has the cause you claim.

# %% [markdown]
# ## At scale
#
# Does a push with a placebo beside it work in a language model? With a network connection (`HF_HUB_OFFLINE=0 make lab`), this cell fetches **GPT-2**, 0.5 GB, and takes the difference of means between nice and nasty words in the middle layer. It pushes the end of neutral sentences along it, with your `edit_square`. Without a connection it says so.

# %%
from utils.at_scale import load_if_possible
from utils.tokens import next_token, tokenize

larger = load_if_possible("openai-community/gpt2")  # 12 blocks, d_model 768, 124 million weights
if larger is not None:
    middle = larger.cfg.n_layers // 2
    nice, nasty = ["great", "wonderful", "lovely", "excellent"], ["awful", "terrible", "horrible", "bad"]
    start = ["The weather today is", "My new neighbour is", "The soup of the day was", "This book is"]

    def read_last(texts: list[str], hooks: list = ()) -> tuple[Tensor, Tensor]:
        """Stream of the middle layer and logits, at the last token of each text."""
        streams, logits = [], []
        for text in texts:
            tokens, mask = tokenize(larger, [text])
            streams.append(cache_resid_post(larger, tokens, mask, [middle])[0, 0, -1].cpu())
            with torch.no_grad():
                run = larger.run_with_hooks(tokens, attention_mask=mask, fwd_hooks=list(hooks), return_type="logits")
            logits.append(run[0, -1].cpu())
        return torch.stack(streams), torch.stack(logits)

    means = [
        read_last([f"{text} {word}" for text in start for word in words])[0].mean(dim=0) for words in (nice, nasty)
    ]
    pushes = torch.stack(
        [means[0] - means[1], torch.randn(larger.cfg.d_model, generator=torch.Generator().manual_seed(0))]
    )
    pushes = normalize(pushes, dim=1) * (means[0] - means[1]).norm()
    ids = [[next_token(larger.tokenizer, start[0], f" {word}") for word in words] for words in (nice, nasty)]
    for scale in (0.0, 1.0, 2.0, 4.0):
        found = []
        for which in (0, 1):

            def push(resid: Tensor, hook: object, which: int = which, scale: float = scale) -> Tensor:
                resid = resid.clone()
                end = resid[:, -1].cpu()
                resid[:, -1] = edit_square(end, pushes, torch.tensor([which]), torch.tensor([True]), scale).to(resid)
                return resid

            logits = read_last(start, [(f"blocks.{middle}.hook_resid_post", push)])[1]
            found.append(float(logits[:, ids[0]].mean() - logits[:, ids[1]].mean()))
        print(f"dose {scale:g}: nice minus nasty, logits {found[0]:+.2f}; placebo {found[1]:+.2f}")

# %%
progress()
