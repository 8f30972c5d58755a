# %% [markdown]
# # 07 · Sparse autoencoders: an unsupervised basis
#
# A probe answers the question that you ask. You need labels, and an idea of what to look for. A **sparse autoencoder** needs neither: it looks at activations alone, and offers a list of directions of its own. Are they the ones that you would have asked for? On a board game you can find out. After this chapter you can
#
# - explain why a network would store more features than it has dimensions, and watch one do it;
# - build each part of a sparse autoencoder: encoder, decoder, four ways to be sparse;
# - judge one by what it reconstructs, by what the network loses, and by what its latents stand for;
# - say which of these three tells you about the others. (You will be asked first.)
#
# {{exercises}}
#
# ![Coverage of the board over L0: all sparse autoencoders lie between .4 and .57, the neurons at .66, a linear probe at .86; those of an untrained network far below](figures/07_frontiers.png)
#
# *Ten sparse autoencoders of one layer, and how much of the board their latents find. You will draw it after Exercise 7.8.*

# %% [markdown]
# ## Where this chapter stands
#
# ```text
# datasets ── texts or games, labels ─┐
# models ──── TransformerBridge ──────┤
#   ┌─────────────────────────────────┘
#   └─► ACTIVATIONS ─► probes ─┐
#       + A NEW BASIS          │
#   ┌──────────────────────────┘
#   ├─► METRICS ── score, interval, control ─► plots
#   └─► interventions ─► models (run again) ─► metrics
# ```
#
# Capitals mark where you work: between the activations and whatever reads them.
#
# **Read before or after:** [Elhage et al. 2022, Toy Models of Superposition](https://transformer-circuits.pub/2022/toy_model/index.html), the introduction, for the first part. [Karvonen et al. 2024](https://arxiv.org/abs/2408.00113), sections 1 to 3, for the last: they had the idea of using a board game. Skip the proofs and the training details; you will have built them.
#
# **The objects, and their shapes**
#
# | name | shape | what it is |
# |---|---|---|
# | `acts` | `[batch d_model]` | the stream of one layer, any positions |
# | `W_enc`, `b_enc` | `[d_model d_sae]`, `[d_sae]` | encoder: how strongly a vector speaks for each latent |
# | `W_dec`, `b_dec` | `[d_sae d_model]`, `[d_model]` | decoder: a direction for each latent, and where they start from |
# | `latents` | `[batch d_sae]` | 0 or above, nearly all of them 0 |
# | L0 | a number | how many latents are above 0 in a vector, on average |
#
# A dimension of `latents` is called a **latent**. Whether it stands for a *feature* of the world is what has to be found out.

# %% [markdown]
# **Setup.** Run this cell first, whichever part you want to work on.

# %%
# {{setup}}

# %%
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from utils import heat_maps, sae_plots
from utils.activations import cache_positions, cache_resid_post
from utils.at_scale import load_if_possible, load_sae_if_possible
from utils.course.check import check, progress, start_chapter
from utils.course.predict import predict, settle
from utils.facts import subjects, write_statements
from utils.metrics import bootstrap_interval, roc_auc
from utils.models import load_model
from utils.othello import EMPTY, MINE, YOURS, random_games, replay_games, token_squares
from utils.othello_edits import square_effect_directions
from utils.othello_probes import fit_board_probe
from utils.probes import fit_mass_mean_probe, fit_ridge_probe
from utils.sae_measures import dead_latents, mean_l0
from utils.saes import load_sae
from utils.splits import split_groups
from utils.steering import run_with_edit
from utils.tokens import tokenize
from utils.truth_probes import statement_acts
from utils.widgets.latent_views import LatentView
from utils.widgets.latents import explore_latents

SEED = 0
LAYER = 4  # of Othello-GPT: where chapter 03 read the board best
start_chapter("07_sparse_autoencoders")

# %% [markdown]
# ## More features than dimensions
#
# Othello-GPT's stream has 192 dimensions. A board has 64 squares, each with three states; there are 60 moves to be ranked; and what was just played matters, too. Does that fit? If every feature needs a dimension at right angles to all others, no.
#
# [Elhage et al. 2022](https://transformer-circuits.pub/2022/toy_model/index.html) made the question small enough to look at. **Five features, two dimensions.** A model squeezes five numbers into two, and has to get them back.

# %% [markdown]
# ### Exercise 7.1 · `toy_loss` (10 min)
#
# **Why.** In this toy you know the features, which you never do in a real network. So you can see what a network does with more of them than it has dimensions.
#
# **Write** the loss of the toy model. It squeezes `features` `[batch feature]`, all 0 or above, through few dimensions with `weight` `[feature hidden]`, and reads them back with the **same** weight and a `bias` `[feature]`:
#
# $$h = x W \qquad x' = \text{relu}(h W^\top + b) \qquad \text{loss} = \underset{\text{batch}}{\text{mean}} \sum_{\text{feature}} I \, (x - x')^2$$
#
# 1. The relu comes last, after the bias. The hidden vector has none.
# 2. `importance` `[feature]`, $I$ in the formula, weighs the squared errors, once. What goes into the network is not weighed.
# 3. Sum over the features, then take the mean over the batch.
#
# Return a tensor with one number, and a gradient: it trains `weight` and `bias`.


# %%
# exercise: toy_loss
def toy_loss(
    weight: Float[Tensor, "feature hidden"],
    bias: Float[Tensor, " feature"],
    features: Float[Tensor, "batch feature"],
    importance: Float[Tensor, " feature"],
) -> Float[Tensor, ""]:
    """How badly features come back through few dimensions: squared errors by importance, summed; mean over batch."""
    ### BEGIN SOLUTION
    hidden = features @ weight  # [batch hidden]
    reconstruction = (hidden @ weight.T + bias).relu()  # [batch feature]
    errors = (features - reconstruction).square()
    return (importance * errors).sum(dim=1).mean()
    ### END SOLUTION


# %%
check(toy_loss)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Down, up, bias, relu. Then compare with what went in.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `features @ weight` is `[batch hidden]`, and times `weight.T` it is `[batch feature]` again. `importance` `[feature]` multiplies the last axis of the squared errors.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# reconstruction = (features @ weight @ weight.T + bias).relu()
# ```
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. One of them puts two features on one dimension, in opposite directions: as long as only one is active, nothing is lost.
#
# </details>

# %% [markdown]
# Each feature is absent most of the time: it is there with probability `p`, and then a number between 0 and 1. Feature 0 is the most important one, feature 4 the least. `p` is the only thing that you will change.

# %%
N_FEATURES, N_HIDDEN, STEPS = 5, 2, 1500
IMPORTANCE = 0.9 ** torch.arange(N_FEATURES)


def draw_features(n: int, p: float, generator: torch.Generator) -> Float[Tensor, "n feature"]:
    """Numbers from 0 to 1, each there with probability p, else 0."""
    there = torch.rand(n, N_FEATURES, generator=generator) < p
    return there * torch.rand(n, N_FEATURES, generator=generator)


# %%
def train_toy(p: float) -> list[tuple[str, Float[Tensor, "feature hidden"]]]:
    """Train a toy model; its weights on the way, by name of the step."""
    generator = torch.Generator().manual_seed(SEED)
    weight = (0.3 * torch.randn(N_FEATURES, N_HIDDEN, generator=generator)).requires_grad_()
    bias = torch.zeros(N_FEATURES, requires_grad=True)
    optimiser, kept = torch.optim.Adam([weight, bias], lr=0.01), []
    for step in range(STEPS + 1):
        if step % 50 == 0:
            kept.append((f"step {step}", weight.detach().clone()))
        optimiser.zero_grad()
        toy_loss(weight, bias, draw_features(512, p, generator), IMPORTANCE).backward()
        optimiser.step()
    return kept


# %%
predict(
    "superposition",
    "Each feature is there in 1 of 20 cases. How many of the five will the two dimensions hold?",
    ("two: the most important ones", "four: two pairs of opposites", "all five"),
)

# %%
runs = {p: train_toy(p) for p in (1.0, 0.3, 0.05)}
toy = runs[0.05][-1][1]  # [feature hidden]
sae_plots.plot_superposition(runs[0.05], title="Five features in two dimensions, each there in 1 of 20 cases")

# %%
held = {p: int((steps[-1][1].norm(dim=1) > 0.5).sum()) for p, steps in runs.items()}
print("features that are held:", held)
options = {2: "two: the most important ones", 4: "four: two pairs of opposites", 5: "all five"}
settle("superposition", options[held[0.05]])

# %% tags=["solution"]
assert held == {1.0: 2, 0.3: 4, 0.05: 5}
order = torch.atan2(toy[:, 1], toy[:, 0]).sort().values
gaps = torch.cat([order.diff(), order[:1] + 2 * torch.pi - order[-1:]]).rad2deg()
assert (gaps - 72).abs().max() < 10, gaps

# %%
# figure: 07_superposition
sae_plots.plot_superposition(
    [(f"p = {p:g}", steps[-1][1]) for p, steps in runs.items()],
    title="The same two dimensions, for features that are always, often, seldom there",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Five arrows from the centre of a circle, 72 degrees apart: five features in two dimensions](figures/07_superposition.png)
#
# </details>

# %% [markdown]
# **Read it.** Drag the slider. Features that are always there get a dimension each: the two most important ones are held, and three are given up. At p = .3 there are four, in two pairs of opposites. **At p = .05 all five are there, 72 degrees apart.** They disturb each other, but seldom two of them at once, and the relu cuts off what is negative. This is called **superposition**.
#
# It is bad news for whoever reads single dimensions of the stream, and good news for whoever looks for *directions*: there may be many more of them than dimensions. Only, which? Nobody has labels for them. So look for directions from which each vector can be put together **with few at a time**.

# %% [markdown]
# ## Encoder, decoder, and the price of being on

# %% [markdown]
# ### Exercise 7.2 · `sae_encode` (10 min)
#
# **Why.** The encoder decides what is exactly 0. Without that, an SAE would be one more dense matrix.
#
# **Write** the encoder. `acts` `[batch d_model]` become `latents` `[batch d_sae]`:
#
# 1. Take `b_dec` away, the decoder's bias, multiply with `W_enc` `[d_model d_sae]`, add `b_enc`. These are the **pre-activations**.
# 2. `k` is `None`: relu, and that is all ([Bricken et al. 2023](https://transformer-circuits.pub/2023/monosemantic-features/index.html)).
# 3. `k` is a number from 1 to `d_sae`: in each vector only the `k` largest pre-activations stay, at their places, and all others become 0 ([Gao et al. 2024](https://arxiv.org/abs/2406.04093)). Relu here, too: where fewer than `k` are above 0, fewer than `k` latents are active. Largest means largest, not farthest from 0.
#
# Training goes back through your encoder: do not cut its gradient off (`.detach()`, `torch.no_grad()`). No two pre-activations of the checks are equal, so you need not think about ties.


# %%
# exercise: sae_encode
def sae_encode(
    acts: Float[Tensor, "batch d_model"],
    W_enc: Float[Tensor, "d_model d_sae"],
    b_enc: Float[Tensor, " d_sae"],
    b_dec: Float[Tensor, " d_model"],
    k: int | None = None,
) -> Float[Tensor, "batch d_sae"]:
    """Latents of activations, 0 or above; with k, at most the k largest of each vector."""
    ### BEGIN SOLUTION
    pre = (acts - b_dec) @ W_enc + b_enc  # [batch d_sae]
    if k is not None:
        values, indices = pre.topk(k, dim=-1)  # [batch k] each
        pre = torch.zeros_like(pre).scatter(-1, indices, values)
    return pre.relu()
    ### END SOLUTION


# %%
check(sae_encode)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Compute the pre-activations once, for both cases. With `k`, put the largest ones into a tensor of zeros. Relu comes at the end of both roads.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `pre.topk(k, dim=-1)` gives values and indices, both `[batch k]`. `torch.zeros_like(pre).scatter(-1, indices, values)` is `[batch d_sae]` again.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# pre = (acts - b_dec) @ W_enc + b_enc
# ```
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. One of them has fewer pre-activations above 0 than `k`.
#
# </details>

# %% [markdown]
# ### Exercise 7.3 · `sae_decode` (5 min)
#
# **Why.** A row of `W_dec` is a direction in the stream, as a probe's weight is. The decoder is what lets you say: this vector is so much of this, and so much of that.
#
# **Write** the decoder: each latent times its own row of `W_dec` `[d_sae d_model]`, summed, plus `b_dec` once. Take the rows as long as they are. Training goes back through this, too.


# %%
# exercise: sae_decode
def sae_decode(
    latents: Float[Tensor, "batch d_sae"],
    W_dec: Float[Tensor, "d_sae d_model"],
    b_dec: Float[Tensor, " d_model"],
) -> Float[Tensor, "batch d_model"]:
    """The sum of the latents' directions, each as often as its latent says, and the bias."""
    ### BEGIN SOLUTION
    return latents @ W_dec + b_dec
    ### END SOLUTION


# %%
check(sae_decode)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# A sum of rows, each as often as its latent says, is a matrix product.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `[batch d_sae]` times `[d_sae d_model]` is `[batch d_model]`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# return latents @ W_dec + b_dec
# ```
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. Where `d_sae` equals `d_model`, a transposed `W_dec` raises no error, so one check looks for it.
#
# </details>

# %% [markdown]
# **Look at it.** The toy's hidden vectors are sums of few of five directions, and you know which. An SAE with eight latents sees the hidden vectors only. Trained with one latent at a time, and with two: does it find the five?


# %%
def draw_hidden(n: int, generator: torch.Generator) -> Float[Tensor, "vector hidden"]:
    """Hidden vectors of the toy model in which something is there."""
    features = draw_features(n, 0.05, generator)
    return features[(features > 0).any(dim=1)] @ toy


# %%
def train_on_toy(loss, k: int | None, d_sae: int = 8, steps: int = 1200) -> dict[str, Tensor]:
    """Train an SAE on the toy's hidden vectors: loss(acts, latents, reconstruction, W_dec)."""
    generator = torch.Generator().manual_seed(SEED)
    W_dec = normalize(torch.randn(d_sae, N_HIDDEN, generator=generator), dim=1)
    w = {"W_enc": W_dec.T.clone(), "b_enc": torch.zeros(d_sae), "W_dec": W_dec, "b_dec": torch.zeros(N_HIDDEN)}
    optimiser = torch.optim.Adam([weight.requires_grad_() for weight in w.values()], lr=5e-3)
    for _ in range(steps):
        acts = draw_hidden(2000, generator)
        latents = sae_encode(acts, w["W_enc"], w["b_enc"], w["b_dec"], k)
        optimiser.zero_grad()
        loss(acts, latents, sae_decode(latents, w["W_dec"], w["b_dec"]), w["W_dec"]).backward()
        optimiser.step()
    return {name: weight.detach() for name, weight in w.items()}


def squared_error(acts: Tensor, latents: Tensor, reconstruction: Tensor, W_dec: Tensor) -> Tensor:
    """Mean over vectors; no penalty, because the k largest latents are sparse as they are."""
    return (acts - reconstruction).square().sum(dim=1).mean()


# %%
def best_cosines(w: dict[str, Tensor]) -> Float[Tensor, " feature"]:
    """For each of the five true directions the cosine with the nearest decoder row."""
    return cosine_similarity(toy[:, None], w["W_dec"][None], dim=-1).amax(dim=1)


# %%
with_k = {k: train_on_toy(squared_error, k) for k in (1, 2)}
fresh = draw_hidden(20_000, torch.Generator().manual_seed(99))
for k, w in with_k.items():
    back = sae_decode(sae_encode(fresh, w["W_enc"], w["b_enc"], w["b_dec"], k), w["W_dec"], w["b_dec"])
    explained = 1 - (fresh - back).square().sum() / (fresh - fresh.mean(dim=0)).square().sum()
    print(f"k = {k}: {explained:.3f} of the variance; cosines {[round(float(c), 2) for c in best_cosines(w)]}")

# %% tags=["solution"]
assert best_cosines(with_k[1]).min() > 0.99 and best_cosines(with_k[2]).min() < 0.95

# %% [markdown]
# **Read it.** One latent at a time finds **all five directions, without a single label**. It explains a little less of the variance, because now and then two features meet. Two at a time explain all of it: any two directions span a plane. And they are the *wrong* ones. Keep this in mind for later: *a better reconstruction, by worse directions.*

# %% [markdown]
# ### Exercise 7.4 · `sae_loss` (10 min)
#
# **Why.** A penalty on the sum of latents (L1) makes them sparse. But an optimiser can lower it for free: make every latent half as large and every decoder row twice as long. The reconstruction is the same, the penalty is halved, and nothing became sparser. [Bricken et al. 2023](https://transformer-circuits.pub/2023/monosemantic-features/index.html) keep the rows at length 1 for that reason. [Conerly et al. 2024](https://transformer-circuits.pub/2024/april-update/index.html) let them be, and weigh each latent by the length of its row. You do the second.
#
# **Write** the loss of a whole batch:
#
# $$\underset{\text{batch}}{\text{mean}} \sum_{d_\text{model}} (\text{acts} - \text{reconstruction})^2 \;+\; \text{l1} \cdot \underset{\text{batch}}{\text{mean}} \sum_{\text{latent}} \text{latent} \cdot \lVert \text{its row of } W_\text{dec} \rVert$$
#
# 1. Both terms are **sums** over one vector's dimensions or latents, and means over the batch.
# 2. The length is the Euclidean one, not squared. Row $i$ of `W_dec` `[d_sae d_model]` belongs to latent $i$.
# 3. Latents are 0 or above, so they are their own absolute values.
#
# Return a tensor with one number, and a gradient: by `latents`, `reconstruction` and `W_dec`.


# %%
# exercise: sae_loss
def sae_loss(
    acts: Float[Tensor, "batch d_model"],
    latents: Float[Tensor, "batch d_sae"],
    reconstruction: Float[Tensor, "batch d_model"],
    W_dec: Float[Tensor, "d_sae d_model"],
    l1: float,
) -> Float[Tensor, ""]:
    """Squared error plus l1 times the latents, each weighed by the length of its decoder row; mean over batch."""
    ### BEGIN SOLUTION
    error = (acts - reconstruction).square().sum(dim=1)  # [batch]
    penalty = (latents * W_dec.norm(dim=1)).sum(dim=1)  # [batch]
    return error.mean() + l1 * penalty.mean()
    ### END SOLUTION


# %%
check(sae_loss)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Two numbers for each vector: its squared error, and what its latents cost. Average each over the batch.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `W_dec.norm(dim=1)` is `[d_sae]`, one length for each latent. It multiplies `latents` `[batch d_sae]` along the last axis.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# penalty = (latents * W_dec.norm(dim=1)).sum(dim=1)
# ```
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. One of them makes latents smaller and their rows longer, and finds the loss where it was.
#
# </details>

# %% [markdown]
# **See it happen.** The same SAE with a relu and a penalty, once with the lengths of the rows in it, and once without.


# %%
def plain_l1(acts: Tensor, latents: Tensor, reconstruction: Tensor, W_dec: Tensor) -> Tensor:
    """The penalty without the rows' lengths."""
    return squared_error(acts, latents, reconstruction, W_dec) + 0.05 * latents.sum(dim=1).mean()


# %%
sizes, lengths = [], []
for name, loss in {
    "with lengths": lambda acts, latents, back, W_dec: sae_loss(acts, latents, back, W_dec, 0.05),
    "without": plain_l1,
}.items():
    w = train_on_toy(loss, None)
    sizes.append(float(sae_encode(fresh, w["W_enc"], w["b_enc"], w["b_dec"]).mean()))
    lengths.append(float(w["W_dec"].norm(dim=1).max()))
    print(f"{name}: mean latent {sizes[-1]:.3f}, longest row {lengths[-1]:.2f}")

# %% tags=["solution"]
print(sizes, lengths)
assert lengths[0] < 1.3 < 2 < lengths[1] and sizes[1] < 0.6 * sizes[0]

# %% [markdown]
# **Read it.** Without the lengths the latents got small and the rows long. The penalty fell, and nothing became sparser. (In a plane, eight latents have an easy time, and L1 does not find the five either. In more dimensions it does better.)
#
# A penalty has a second flaw: it pulls on every latent that is on, also on the right ones, so the reconstruction comes out too small. Keeping the `k` largest has no such pull. But why should every vector need the same number?

# %% [markdown]
# ### Exercise 7.5 · `batch_topk` (10 min)
#
# **Why.** BatchTopK ([Bussmann et al. 2024](https://arxiv.org/abs/2412.06410)) fixes how many latents a vector has *on average*. In training the whole batch competes. But then what a vector is encoded to depends on its neighbours, which you cannot want when you use the SAE. So for use there is one fixed threshold, found in training: about the smallest latent that got through.
#
# **Write** both, for pre-activations `pre` `[batch d_sae]`:
#
# 1. `threshold` is `None`, in training: keep the `batch * k` largest pre-activations **of the whole batch**, at their places, and put 0 for all others. One vector may keep more than `k`, another none.
# 2. A `threshold` is given, for use: keep what lies **strictly above** it, and put 0 for all others. `k` plays no part. A threshold of 0.0 is a threshold.
# 3. Latents are never negative, in either case: not where fewer than `batch * k` are above 0, and not where the threshold is below 0.
#
# `k` is at most `d_sae`. In training the gradient goes back through what is kept. No two pre-activations of a check are equal there, so you need not think about ties.


# %%
# exercise: batch_topk
def batch_topk(
    pre: Float[Tensor, "batch d_sae"], k: int, threshold: float | None = None
) -> Float[Tensor, "batch d_sae"]:
    """Latents, 0 or above: the batch * k largest of the whole batch, or with a threshold, what lies above it."""
    ### BEGIN SOLUTION
    if threshold is not None:
        return (pre * (pre > threshold)).relu()
    values, indices = pre.flatten().topk(len(pre) * k)
    kept = torch.zeros(pre.numel()).scatter(0, indices, values)
    return kept.view_as(pre).relu()
    ### END SOLUTION


# %%
check(batch_topk)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# In training, forget for a moment which vector a number belongs to: all of them stand in one line. With a threshold, compare each number with it and with nothing else.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `pre.flatten()` is `[batch * d_sae]`, its `topk(len(pre) * k)` are values and indices, and `view_as(pre)` makes `[batch d_sae]` of a line again.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# values, indices = pre.flatten().topk(len(pre) * k)
# ```
#
# And with a threshold: `(pre * (pre > threshold)).relu()`.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green.
#
# </details>

# %% [markdown]
# ## A real one
#
# Now to Othello-GPT. Training takes longer than you want to wait, about 40 minutes of one busy CPU core for six at once. So they come with the course: trained on 3 or 4 million activation vectors of fresh random games, never the same twice (`utils/training/sae.py`; a card beside each says how). Each is a folder in the form that [SAELens](https://github.com/jbloomAus/SAELens) uses, so `load_sae` also reads what others publish. There are four kinds:
#
# | kind | a latent is on if | trained with |
# |---|---|---|
# | `standard` | its pre-activation is above 0 | L1, decoder rows of length 1 ([Bricken et al. 2023](https://transformer-circuits.pub/2023/monosemantic-features/index.html)) |
# | `topk` | it is one of the k largest | no penalty ([Gao et al. 2024](https://arxiv.org/abs/2406.04093)) |
# | `batchtopk` | above one threshold for all | the batch's largest ([Bussmann et al. 2024](https://arxiv.org/abs/2412.06410)) |
# | `jumprelu` | above its own threshold | L0 itself ([Rajamanoharan et al. 2024](https://arxiv.org/abs/2407.14435)) |
#
# The name says the number of latents, and k or the weight of the penalty. **And there are three of an untrained network**: same architecture, random weights. Whatever they find, nobody has learned.

# %%
OTHELLO = {
    "topk": ("topk_1024_16", "topk_1024_32", "topk_1024_64", "topk_1024_128", "topk_2048_32"),
    "batchtopk": ("batchtopk_1024_32",),
    "standard": ("standard_1024_0.004", "standard_1024_0.008"),
    "jumprelu": ("jumprelu_1024_0.001", "jumprelu_1024_0.003"),
}
UNTRAINED = ("topk_1024_16", "topk_1024_32", "topk_1024_64")
saes = {name: load_sae(f"othello_gpt_{LAYER}/{name}") for names in OTHELLO.values() for name in names}
untrained_saes = {name: load_sae(f"othello_gpt_untrained_{LAYER}/{name}") for name in UNTRAINED}
sae = saes["topk_1024_32"]
sae.W_enc.shape, sae.k

# %%
model, twin = load_model("othello_gpt"), load_model("othello_gpt_untrained")
games = random_games(120, seed=707)[:, :-1]  # the last move is only predicted
states = replay_games(games)
chosen = states.mask & (torch.arange(games.shape[1]) >= 8)  # from move 9 on: openings are alike
acts = cache_positions(model, games, states.mask, chosen, [LAYER])[0]  # [position d_model]
twin_acts = cache_positions(twin, games, states.mask, chosen, [LAYER])[0]
boards = states.boards[chosen].long()  # [position square]
game = torch.arange(len(games))[:, None].expand(chosen.shape)[chosen]
train, test = split_groups(game, test_fraction=0.5, seed=SEED)  # by games, as always
acts.shape, sae.encode(acts).shape

# %% [markdown]
# How much of the stream comes back?

# %% [markdown]
# ### Exercise 7.6 · `explained_variance` (10 min)
#
# **Why.** A mean squared error of 0.3 is excellent in one layer and useless in another: it depends on how large the stream is, and how far its vectors lie apart. So the error is compared with the simplest reconstruction there is, one vector for everything: the mean.
#
# **Write** the share of the variance that a reconstruction explains. `acts` and `reconstruction` are `[batch d_model]`, and the mean of `acts` is taken over the batch, `[d_model]`.
#
# $$1 - \frac{\sum_i \lVert \text{acts}_i - \text{reconstruction}_i \rVert^2}{\sum_i \lVert \text{acts}_i - \overline{\text{acts}} \rVert^2}$$
#
# Both sums run over all vectors **and** all dimensions, and then there is one division. So a dimension counts as much as it varies. 1 is perfect. 0 is no better than the mean. Worse than the mean is below 0, and must show: do not cut anything off. Return one number, as a tensor or a float.


# %%
# exercise: explained_variance
def explained_variance(
    acts: Float[Tensor, "batch d_model"], reconstruction: Float[Tensor, "batch d_model"]
) -> Float[Tensor, ""]:
    """1 minus the squared error, as a share of the squared distance of acts from their mean."""
    ### BEGIN SOLUTION
    error = (acts - reconstruction).square().sum()
    spread = (acts - acts.mean(dim=0)).square().sum()
    return 1 - error / spread
    ### END SOLUTION


# %%
check(explained_variance)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Two sums of squares, each a single number: how far the reconstruction is from `acts`, and how far the mean is.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `acts.mean(dim=0)` is `[d_model]`, and is subtracted from every vector of the batch. Both differences are `[batch d_model]`; square them, and sum over both axes.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# error = (acts - reconstruction).square().sum()
# ```
#
# The other sum has `acts.mean(dim=0)` in place of the reconstruction.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. One of them shifts a perfect reconstruction by a constant vector, and another makes one smaller: both must cost something.
#
# </details>

# %% [markdown]
# **Question.** The squared correlation of `acts` and `reconstruction` is often reported under the same name. What does it not see?

# %% [markdown] tags=["solution"]
# **Our answer.** A wrong size and a wrong offset. A reconstruction of half the size has a correlation of 1, and so has one that is shifted. The blocks that come after the layer get the vectors as they are, half as large or shifted. Shrinking is what an L1 penalty does to latents, so this is a mistake that matters here.

# %%
predict(
    "untrained",
    "Which SAEs explain more of their stream, with 16 latents: those of the trained network, or of the untrained one?",
    ("the trained network's", "the untrained network's", "about the same"),
)

# %%
l0, explained = {}, {}
for name, one in saes.items():
    latents = one.encode(acts[test])
    l0[name], explained[name] = float(mean_l0(latents)), float(explained_variance(acts[test], one.decode(latents)))
for name, one in untrained_saes.items():
    latents = one.encode(twin_acts[test])
    l0[f"untrained {name}"] = float(mean_l0(latents))
    explained[f"untrained {name}"] = float(explained_variance(twin_acts[test], one.decode(latents)))
{name: round(share, 2) for name, share in explained.items()}

# %%
ahead = explained["topk_1024_16"] - explained["untrained topk_1024_16"]
outcomes = ("the untrained network's", "about the same", "the trained network's")
settle("untrained", outcomes[1 + (ahead > 0.02) - (ahead < -0.02)])

# %%
# figure: 07_explained
series = {**OTHELLO, "untrained network": [f"untrained {name}" for name in UNTRAINED]}
sae_plots.plot_frontier(
    {kind: [(l0[n], explained[n], n) for n in names] for kind, names in series.items()},
    title=f"Othello-GPT, layer {LAYER}: what is explained, and with how many latents",
    x_title="L0: latents that are on in a position",
    y_title="explained variance on held-out games",
    x_log=True,
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Explained variance rises with L0; topk and batchtopk lie highest of the trained network's, standard lowest; those of the untrained network lie above them at .92 to .94, where as many latents are on](figures/07_explained.png)
#
# </details>

# %% tags=["solution"]
print({name: (round(l0[name], 1), round(explained[name], 3)) for name in explained})
assert 0.72 < explained["topk_1024_16"] < 0.78 and 0.83 < explained["topk_1024_32"] < 0.87
assert 0.88 < explained["topk_1024_64"] < 0.92 and 0.94 < explained["topk_1024_128"] < 0.97
assert explained["standard_1024_0.008"] < 0.62 and 0.6 < explained["jumprelu_1024_0.003"] < 0.7
assert 0.75 < explained["standard_1024_0.004"] < 0.82 and l0["standard_1024_0.004"] > 120
assert min(v for n, v in explained.items() if n.startswith("untrained")) > 0.91

# %% [markdown]
# **Read it.** More latents explain more: .75 with 16, .95 with 128. The L1 penalty of `standard` pays for its sparsity: with more than 130 latents on, it explains as much as `topk` with 16 to 32. That is the shrinking of Exercise 7.4. JumpReLU lies between; ours had little time to learn its thresholds.
#
# And look at the dashed line. With as many latents on, **the SAEs of an untrained network explain more than any other**: .92 with 16 latents. Nobody has learned anything there. [Heap et al. 2025](https://arxiv.org/abs/2501.17727) found the same in language models: SAEs of random networks look fine. A stream that holds little more than *which move was just played* is easy to take apart.

# %% [markdown]
# Explained variance weighs every direction by how much the stream varies along it. The network need not do so. It may read from a direction in which hardly anything moves, and ignore one in which much does. The second measure asks the network.

# %% [markdown]
# ### Exercise 7.7 · `loss_recovered` (10 min)
#
# **Why.** Put the reconstruction in the place of the stream, let the network go on from there, and look at its loss on the next token. That number needs a scale, like the effect of an edit in Exercise 6.2. There, 0 was "judged as before" and 1 "judged like a true statement". Here, **1 is the loss of the network as it is, and 0 the loss without the layer's information.**
#
# "Without" is a choice. The usual one, a stream of zeros, is a weak opponent. No stream ever looks like that; where the network falls apart on it, its loss is enormous, and next to it any reconstruction looks good. The **mean** of the stream says nothing about the token either, and it lies where the network is at home. It is most often the harder baseline, and always the fairer one.
#
# **Write** the share of the loss that a reconstruction recovers. All three arguments are losses of the same tokens, `[token]`: of the network as it is (`clean`), with the stream replaced by its mean (`ablated`), and with the reconstruction put in (`reconstructed`).
#
# $$\frac{\overline{\text{ablated}} - \overline{\text{reconstructed}}}{\overline{\text{ablated}} - \overline{\text{clean}}}$$
#
# Average first, then divide once, and return a float. Cut nothing off: a reconstruction can be worse than the mean, and now and then it is a little better than the original. Raise a `ValueError` if `ablated` and `clean` have the same mean: then there is nothing to recover.


# %%
# exercise: loss_recovered
def loss_recovered(
    clean: Float[Tensor, " token"], ablated: Float[Tensor, " token"], reconstructed: Float[Tensor, " token"]
) -> float:
    """The share of the way from the mean's loss to the network's own that a reconstruction goes."""
    ### BEGIN SOLUTION
    lost = ablated.mean() - clean.mean()
    if lost == 0:
        raise ValueError("ablated must have another mean than clean: there is nothing to recover")
    return float((ablated.mean() - reconstructed.mean()) / lost)
    ### END SOLUTION


# %%
check(loss_recovered)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# The way leads from `ablated` down to `clean`. How far down does `reconstructed` get?
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# Three means, each a single number. One division, of two differences.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# return float((ablated.mean() - reconstructed.mean()) / (ablated.mean() - clean.mean()))
# ```
#
# Before it, compare the two means.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green.
#
# </details>


# %%
def token_losses(edit) -> Float[Tensor, " token"]:
    """Loss on every next move, with the stream after block LAYER replaced by edit(stream)."""
    logits = run_with_edit(model, games, states.mask, LAYER, edit)[:, :-1]
    losses = -logits.log_softmax(dim=-1).gather(-1, games[:, 1:, None])[..., 0]
    return losses[states.mask[:, 1:]]


# %%
mean = acts[train].mean(dim=0)
clean = token_losses(lambda resid: resid)
ablated = {"mean": token_losses(lambda resid: mean.expand_as(resid)), "zeros": token_losses(torch.zeros_like)}
recovered = {}  # (name, baseline) -> share
for name, one in saes.items():
    through = token_losses(lambda resid, one=one: one.decode(one.encode(resid)))
    for baseline, losses in ablated.items():
        recovered[name, baseline] = loss_recovered(clean, losses, through)
print(f"loss {clean.mean():.3f}; with the mean {ablated['mean'].mean():.3f}, with zeros {ablated['zeros'].mean():.3f}")
{name: [round(recovered[name, baseline], 3) for baseline in ablated] for name in saes}

# %% tags=["solution"]
print(float(clean.mean()), {k: float(v.mean()) for k, v in ablated.items()}, recovered)
assert 2.0 < clean.mean() < 2.3 and 8 < ablated["mean"].mean() < 9.5 and 11 < ablated["zeros"].mean() < 13
assert 0.9 < recovered["topk_1024_16", "mean"] < 0.94 and 0.935 < recovered["topk_1024_16", "zeros"] < 0.96
assert 0.965 < recovered["topk_1024_32", "mean"] < 0.985 and recovered["topk_1024_128", "mean"] > 0.995
assert 0.72 < recovered["standard_1024_0.008", "mean"] < 0.8 < recovered["standard_1024_0.008", "zeros"] < 0.87
assert 0.9 < recovered["standard_1024_0.004", "mean"] < 0.95

# %% [markdown]
# **Read it.** With the mean in place of layer 4, the loss is 8.7, with zeros 11.8, as it is 2.1. So zeros flatter: the weakest SAE recovers .76 of the loss, or .84, depending on whom you compare it with. Beside that, the order is that of explained variance. `topk` with 128 latents loses next to nothing.
#
# These are decent autoencoders. Now for what they were made for.

# %% [markdown]
# ## Does it find the board?
#
# An autoencoder can reconstruct well with latents that mean nothing. Whether they mean something is hard to say of a language model, because nobody has the list of what there is to find. On a board somebody has: the rules give it.

# %%
predict(
    "coverage",
    "One SAE explains 90 % of the stream (k = 64), another 95 % (k = 128). Whose latents find more of the board?",
    ("the one that explains more", "the one that explains less", "about the same"),
)

# %% [markdown]
# ### Exercise 7.8 · `board_coverage` (20 min)
#
# **Why.** [Karvonen et al. 2024](https://arxiv.org/abs/2408.00113) ask of each property of the board, such as *"d3 holds one of mine"*: is there **one** latent that fires when it holds, and only then? That is the promise of a sparse autoencoder, in a number. It is also a trap. Among a thousand latents there is always one that fits by luck, so whatever is chosen must be scored on positions that had no part in the choice.
#
# **Write** the coverage of each property. Latents are `[position latent]`, 0 or above; properties `[position property]`, True where they hold; both for train and for test positions.
#
# 1. A classifier says *"the property holds where this latent is above this threshold"*, strictly above. Thresholds are the `shares` of the latent's own maximum over the **train** positions. Share 0 means "fires at all".
# 2. For each property choose the pair of latent and share with the best F1 on train. Of equally good pairs, any will do.
# 3. Return the F1 of this pair on test, one number for each property.
#
# $$F_1 = \frac{2\,TP}{2\,TP + FP + FN}$$
#
# F1 does not count the positions where nothing fires and nothing holds. Most properties are rare, and by accuracy a dead latent would be right at nearly all positions.
#
# Where F1 is 0 / 0, it is 0. Where the best F1 on train is 0, nothing was found, and the result is 0 as well. So a property that never holds in train gets 0, and one that never holds in test, too.
#
# Later you call it with 3,000 positions, 1,024 latents and 128 properties. A loop over latents and properties takes minutes. One over shares takes a second or two: for each threshold, one matrix product counts all TP at once.


# %%
# exercise: board_coverage
def board_coverage(
    latents_train: Float[Tensor, "position latent"],
    properties_train: Bool[Tensor, "position property"],
    latents_test: Float[Tensor, "other latent"],
    properties_test: Bool[Tensor, "other property"],
    shares: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
) -> Float[Tensor, " property"]:
    """F1 on test of the latent and threshold with the best F1 on train, for each property."""
    ### BEGIN SOLUTION
    top = latents_train.amax(dim=0)  # [latent]

    def f1(latents: Tensor, properties: Tensor, share: float) -> Tensor:
        on, holds = (latents > share * top).float(), properties.float()
        hits = on.T @ holds  # TP [latent property]
        return 2 * hits / (on.sum(dim=0)[:, None] + holds.sum(dim=0)).clamp(min=1)  # TP + FP and TP + FN

    train = torch.cat([f1(latents_train, properties_train, share) for share in shares])  # [share·latent property]
    test = torch.cat([f1(latents_test, properties_test, share) for share in shares])
    best = train.max(dim=0)
    return torch.where(best.values > 0, test.gather(0, best.indices[None])[0], 0)
    ### END SOLUTION


# %%
check(board_coverage)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Write a function that gives the F1 of all latents and all properties at one share. Use it on train and on test, for each share. Then choose on the one table, and read off the other.
#
# 2 TP + FP + FN is how often the latent fires plus how often the property holds.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `on = (latents > share * top).float()` is `[position latent]`, with `top` `[latent]` from train. `on.T @ properties.float()` is TP, `[latent property]`. Counts are whole numbers, and float32 holds them exactly up to 16 million; a product of integers would be far slower.
#
# All shares together are a table `[share·latent property]`: `torch.cat` of one table for each. `train.max(dim=0)` has the best `values` and their `indices`, both `[property]`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# f1 = 2 * hits / (on.sum(dim=0)[:, None] + holds.sum(dim=0)).clamp(min=1)
# ```
#
# And at the end `test.gather(0, best.indices[None])[0]`, with 0 where `best.values` is 0.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. One of them hands you 300 latents of pure noise. Chosen on test, they would seem to find half of the board.
#
# </details>

# %% [markdown]
# Two properties for each square: *one of mine lies here*, and *one of yours*. Beside the SAEs, the same procedure gets other lists of directions:
#
# - the **neurons** of the layer's own MLP;
# - the **principal components** of the stream, both ways;
# - a **random dictionary**: 1,024 directions drawn by lot, and a relu;
# - the SAEs of the **untrained** network.
#
# Above them stands the linear probe of chapter 03, which had labels. And below, whoever says *"yes"* at every position: the F1 of that is not 0.

# %%
properties = torch.cat([boards == MINE, boards == YOURS], dim=1)  # [position property]
kept = {}


def keep(acts: Float[Tensor, "batch pos d_mlp"], hook: object) -> None:
    kept["neurons"] = acts


with torch.no_grad():
    model.run_with_hooks(games, attention_mask=states.mask, fwd_hooks=[(f"blocks.{LAYER}.mlp.hook_post", keep)])

# %%
axes = torch.linalg.svd(acts[train] - mean, full_matrices=False).Vh  # [component d_model]
lot = normalize(torch.randn(1024, len(mean), generator=torch.Generator().manual_seed(SEED)), dim=1)
lists = {name: one.encode(acts) for name, one in saes.items()}
lists |= {f"untrained {name}": one.encode(twin_acts) for name, one in untrained_saes.items()}
lists["neurons"] = kept["neurons"][chosen].relu()
lists["principal components"] = torch.cat([(acts - mean) @ axes.T, (mean - acts) @ axes.T], dim=1).relu()
lists["random dictionary"] = ((acts - mean) @ lot.T).relu()
coverage = {n: board_coverage(z[train], properties[train], z[test], properties[test]) for n, z in lists.items()}

# %%
probe = fit_board_probe(acts[train], boards[train])
believed = probe(acts[test]).argmax(dim=-1)  # [position square]
truth, says = properties[test], torch.cat([believed == MINE, believed == YOURS], dim=1)
coverage["probe"] = 2 * (says & truth).sum(dim=0) / (says.sum(dim=0) + truth.sum(dim=0)).clamp(min=1)
coverage["always yes"] = 2 * truth.sum(dim=0) / (len(truth) + truth.sum(dim=0))
{name: round(float(values.mean()), 3) for name, values in coverage.items()}

# %%
difference = coverage["topk_1024_128"] - coverage["topk_1024_64"]  # [property], paired
low, high = bootstrap_interval(difference)
print(f"k = 128 minus k = 64: {difference.mean():+.3f} [{low:+.3f}, {high:+.3f}]")
outcomes = ("the one that explains less", "about the same", "the one that explains more")
settle("coverage", outcomes[1 + (low > 0) - (high < 0)])

# %% tags=["solution"]
print({name: round(float(values.mean()), 3) for name, values in coverage.items()})
means = {name: float(values.mean()) for name, values in coverage.items()}
assert high < 0 and -0.07 < difference.mean() < -0.02
assert (
    0.36 < means["topk_1024_16"] < 0.45 and 0.53 < means["topk_1024_64"] < 0.6 and 0.49 < means["topk_1024_128"] < 0.56
)
assert max(means[name] for name in saes) < 0.6 < means["neurons"] < 0.7 and 0.83 < means["probe"] < 0.89
well_found = {name: int((coverage[name] > 0.8).sum()) for name in saes}
print(well_found, float(coverage["topk_1024_64"].max()))
assert (
    8 <= well_found["topk_1024_64"] <= 16 and well_found["topk_1024_128"] == 0 and coverage["topk_1024_64"].max() > 0.9
)
assert 0.42 < means["always yes"] < 0.47 and 0.48 < means["random dictionary"] < 0.54
assert abs(means["principal components"] - means["random dictionary"]) < 0.03
assert max(v for n, v in means.items() if n.startswith("untrained")) < 0.32

# %%
# figure: 07_frontiers
found = {kind: [(l0[n], float(coverage[n].mean()), n) for n in names] for kind, names in series.items()}
sae_plots.plot_frontier(
    found,
    intervals={kind: [bootstrap_interval(coverage[n]) for n in names] for kind, names in series.items()},
    baselines={n: float(coverage[n].mean()) for n in ("probe", "random dictionary", "neurons", "always yes")},
    title="How much of the board single latents find (intervals over 128 properties)",
    x_title="L0: latents that are on in a position",
    y_title="mean F1 on held-out games",
    x_log=True,
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![topk rises from .41 to .57 at 64 latents and falls to .52 at 128; the others lie between .44 and .56, the untrained network's below .3; dashed lines: probe .86, neurons .66, random dictionary .51, always yes .45](figures/07_frontiers.png)
#
# </details>

# %% [markdown]
# **Read it.** Three things.
#
# 1. **More explained variance is not more board.** From 64 to 128 latents the SAE explains .05 more of the stream's variance and finds *less* of the board: −.04, and the interval excludes 0. With more latents on, each may say less.
# 2. **None of them finds the board.** The best reaches .57. Whoever always says *yes* has .45, a random dictionary .51, **the layer's own neurons .66**, and the probe .86. It is not nothing: with k = 64, a dozen of the 128 properties have a latent with an F1 above .8, up to .93. With k = 128, not one. [Karvonen et al. 2024](https://arxiv.org/abs/2408.00113) trained hundreds of SAEs on an Othello network, and theirs stayed far below a linear probe, too.
# 3. **A floor is not 0.** An F1 of .52 sounds like half of the board. It is .07 above *yes*, which knows nothing. And the untrained network's SAEs, which explain so much, lie *below* that: their latents are on too seldom.
#
# Without the floor, the neurons and the untrained twin, this figure would tell another story. Look for them in every paper.

# %% [markdown]
# ## What are they, then?
#
# Perhaps the latents stand for something else that the game has. Ask the same question about other properties: a square is *empty*, a move there is *legal*, it was *played last*, or *one move before*, its disc was *turned over* by the last move.

# %%
before = torch.roll(states.boards.long(), 1, dims=1)  # the board one move earlier; position 0 is never chosen
turned = torch.where(before == EMPTY, EMPTY, MINE + YOURS - before)  # the same discs, seen by whoever moves now
moves = torch.nn.functional.one_hot(games, 61)[..., 1:].bool()  # [game pos move]
kinds = {
    "mine": boards == MINE,
    "yours": boards == YOURS,
    "empty": boards == EMPTY,
    "legal": states.legal[chosen],
    "played last": moves[chosen],
    "one before": torch.roll(moves, 1, dims=1)[chosen],
    "turned over": ((states.boards != turned) & (before != EMPTY))[chosen],
}

# %%
compared = {"always yes": torch.ones(len(acts), 1), "random dictionary": lists["random dictionary"]}
compared |= {name: lists[name] for name in ("topk_1024_32", "topk_1024_128", "untrained topk_1024_32")}


def mean_coverage(latents: Float[Tensor, "position latent"], holds: Bool[Tensor, "position square"]) -> float:
    """Coverage, averaged over the squares on which it happens at all."""
    often = holds[train].sum(dim=0).minimum(holds[test].sum(dim=0)) >= 20
    return float(board_coverage(latents[train], holds[train][:, often], latents[test], holds[test][:, often]).mean())


# %%
rates = torch.tensor([[mean_coverage(latents, holds) for holds in kinds.values()] for latents in compared.values()])

# %%
# figure: 07_kinds
heat_maps.plot_matrix(
    rates,
    rows=list(compared),
    columns=list(kinds),
    title="What single latents find: mean F1 over squares, held-out games",
    x_title="property of a square",
    y_title="list of directions",
    value_title="mean F1",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![A table: the SAE with k 32 has .55 at legal, .36 at played last, .27 at turned over; the untrained one 1.00 at played last and below .25 elsewhere](figures/07_kinds.png)
#
# </details>

# %% tags=["solution"]
print({n: [round(float(x), 2) for x in row] for n, row in zip(compared, rates, strict=True)})
at = {n: dict(zip(kinds, row.tolist(), strict=True)) for n, row in zip(compared, rates, strict=True)}
assert at["untrained topk_1024_32"]["played last"] > 0.98 > 0.3 > at["untrained topk_1024_32"]["mine"]
assert 0.5 < at["topk_1024_32"]["legal"] < 0.6 and 0.2 < at["always yes"]["legal"] < 0.3
assert 0.3 < at["random dictionary"]["legal"] < 0.38 and 0.3 < at["topk_1024_32"]["played last"] < 0.42
assert 0.22 < at["topk_1024_32"]["turned over"] < 0.32 and at["random dictionary"]["turned over"] < 0.2
assert 0.33 < at["topk_1024_128"]["legal"] < 0.43

# %% [markdown]
# **Read it.** Compare each column with its first row. Latents of `topk_1024_32` say little about whose disc lies where, and more about **where one may move** (.55; *yes* gives .26, random directions .34), **what was played last** (.36 against .03), and **which discs it turned over** (.27 against .09). These things are rare, and change with every move. With 128 latents most of it is lost again.
#
# And the untrained twin has a latent for every last move (1.00): it is what its stream consists of. It knows nothing else.

# %% [markdown]
# **Another layer.** Two more SAEs were trained on layer 6, where the network is nearer to its answer.

# %%
late_acts = cache_positions(model, games, states.mask, chosen, [6])[0]
late = {name: load_sae(f"othello_gpt_6/{name}").encode(late_acts) for name in ("topk_1024_32", "topk_1024_64")}
late["random dictionary"] = ((late_acts - late_acts[train].mean(dim=0)) @ lot.T).relu()
late_rates = {n: {k: mean_coverage(z, kinds[k]) for k in ("mine", "yours", "legal")} for n, z in late.items()}
{name: {kind: round(rate, 2) for kind, rate in row.items()} for name, row in late_rates.items()}

# %% tags=["solution"]
legal_probe = fit_ridge_probe(late_acts[train], states.legal[chosen][train].float())
scores = [
    legal_probe(late_acts[part]) for part in (train, test)
]  # from about 0 to 1: as latents, cut at 0 and by shares
by_probe = board_coverage(scores[0].relu(), kinds["legal"][train], scores[1].relu(), kinds["legal"][test])
print(late_rates, by_probe[by_probe > 0].mean())
assert late_rates["topk_1024_32"]["legal"] > 0.92 and late_rates["random dictionary"]["legal"] < 0.46
assert (
    late_rates["topk_1024_32"]["mine"] < 0.55
    and late_rates["topk_1024_64"]["legal"] < late_rates["topk_1024_32"]["legal"]
)
assert by_probe[by_probe > 0].mean() - late_rates["topk_1024_32"]["legal"] < 0.03

# %% [markdown]
# **Read it.** This is what an SAE looks like where it works. **For every square there is a latent that says "one may move here"**, with an F1 of .95, as good as a linear probe that had the labels; random directions have .41. The network's output is a list of some ten moves out of 60: sparse, like the toy's features. So the dictionary finds it, and nobody asked. *Whose disc lies where* it does not find at layer 6 either.

# %% [markdown]
# **Try it.** Choose an SAE and a latent. The small boards are positions in which it is strongest, and, beside them, positions from the middle of its values: *the strongest examples alone mislead* ([Bolukbasi et al. 2021](https://arxiv.org/abs/2104.07143)). The map shows the cosine of its decoder direction with the direction that turns a disc of each square from yours to mine (chapter 04).

# %%
effects = square_effect_directions(acts[train], boards[train])  # [square d_model]
some = test[torch.randperm(len(test), generator=torch.Generator().manual_seed(SEED))[:2000]]
views = {
    name: LatentView(
        latents=lists[name][some],
        boards=boards[some],
        last_moves=token_squares()[games[chosen][some] - 1],
        cosines={"yours → mine": cosine_similarity(saes[name].W_dec[:, None], effects[None], dim=-1)},
    )
    for name in ("topk_1024_32", "topk_1024_128", "batchtopk_1024_32")
}
explore_latents(views)

# %% tags=["solution"]
nearest = {n: view.cosines["yours → mine"].abs().amax(dim=0) for n, view in views.items()}  # [square] each
by_lot = cosine_similarity(lot[:, None], effects[None], dim=-1).abs().amax(dim=0)
print({n: round(float(c.mean()), 2) for n, c in nearest.items()}, by_lot.mean())
assert 0.5 < nearest["topk_1024_32"].mean() < 0.65 and nearest["topk_1024_128"].mean() < 0.4 and by_lot.mean() < 0.3
assert nearest["topk_1024_32"].max() > 0.8

# %% [markdown]
# **Question.** Choose *most often on first*, and look at the first few latents. Then go by *rarest first*. For which would you write a name on a label, after seeing the strongest examples alone? Do the examples from the middle agree?

# %% [markdown] tags=["solution"]
# **Our answer.** It depends on what you see in them, so there is no number to compare with. Three things are common. The latents *nearest to a probe* are the ones that you hoped for: g6 is yours, and the middle examples agree. There are about ten of them. Latents that are on most often have no name: the four strongest boards share something, and those at the 20 % quantile do not. And rare latents look excellent, because their few examples are often the same kind of position, such as one last move on one square. A label that fits the strongest examples is a hypothesis. What it predicts is tested on the others.

# %% [markdown]
# ## In Facts-GPT
#
# The network of chapter 05 is smaller, and what it holds is known, too: at the object's token, after block 1, whether the object *matches* the subject. Three SAEs with 512 latents were trained on all tokens of its documents. Has each of them one latent for it? Choose it on some cities, and test it on others.

# %%
facts = load_model("facts_gpt_match")
names = subjects("cities")
fit_rows, test_rows = split_groups(names, test_fraction=0.4, seed=SEED)
fitting = write_statements("cities", 400, among=[names[i] for i in fit_rows], seed=1)
testing = write_statements("cities", 400, among=[names[i] for i in test_rows], seed=2)
fit_acts, test_acts = (statement_acts(facts, part.texts, [1], -2)[0] for part in (fitting, testing))

# %%
single = {}
for name in ("topk_512_8", "topk_512_16", "batchtopk_512_16"):
    one = load_sae(f"facts_gpt_match_1/{name}")
    z_fit, z_test = one.encode(fit_acts), one.encode(test_acts)
    scores = roc_auc(z_fit, fitting.labels[:, None].expand(-1, one.d_sae))  # [latent]
    best = int((scores - 0.5).abs().argmax())
    score = float(roc_auc(z_test[:, best], testing.labels))
    single[name] = (max(score, 1 - score), float(explained_variance(test_acts, one.decode(z_test))))
{name: f"AUROC {auroc:.3f}, explains {share:.2f}" for name, (auroc, share) in single.items()}

# %%
probe = fit_mass_mean_probe(fit_acts, fitting.labels)
direction = normalize(torch.randn(512, 128, generator=torch.Generator().manual_seed(SEED)), dim=1)
by_lot = roc_auc(fit_acts @ direction.T, fitting.labels[:, None].expand(-1, 512))
score = float(roc_auc(test_acts @ direction[int((by_lot - 0.5).abs().argmax())], testing.labels))
print(f"probe {float(roc_auc(probe(test_acts), testing.labels)):.3f}, best of 512 by lot {max(score, 1 - score):.3f}")

# %% tags=["solution"]
print(single, score)
assert min(auroc for auroc, _ in single.values()) > 0.97 and max(score, 1 - score) > 0.97
assert min(share for _, share in single.values()) > 0.7 and max(share for _, share in single.values()) < 0.88

# %% [markdown]
# **Read it.** Each of the three has a latent that tells true from false, as well as the probe does. A success? The **best of 512 directions by lot** does it, too: at this token the match is most of what varies (chapter 05), so one of hundreds of directions is always near it. A latent for something that stands out is no merit of the SAE. And the three explain .95 to .96 of the variance on documents (their cards say so), and about .8 here: at the token that matters, they are worse than on average.

# %% [markdown]
# ## Find the bug
#
# In training some latents **die**: they fire on no input any more, and a latent at 0 gets no gradient that could wake it. Ours were woken in one way: dead latents had to explain the error that was left over ([Gao et al. 2024](https://arxiv.org/abs/2406.04093)). Here is how many of each SAE are 0 in all of these positions. Some of them are only rare.

# %%
{name: int(dead_latents(lists[name]).sum()) for name in saes}

# %% [markdown]
# [Bricken et al. 2023](https://transformer-circuits.pub/2023/monosemantic-features/index.html) wake them in another way. Each dead latent takes the direction of an input that the autoencoder reconstructs badly, drawn at random. A colleague has written the odds.


# %%
def colleagues_probabilities(
    acts: Float[Tensor, "batch d_model"], reconstruction: Float[Tensor, "batch d_model"]
) -> Float[Tensor, " batch"]:
    """The odds of each input, proportional to the square of the loss."""
    errors = (acts - reconstruction).square().sum(dim=-1).square()
    return errors.square() / errors.square().sum()


# %% [markdown]
# She tries it on 100 inputs: 99 are reconstructed with an error of length 1, one with an error of length 3.

# %%
distances = torch.ones(100, 1)
distances[0] = 3.0
colleagues_odds = colleagues_probabilities(distances, torch.zeros(100, 1))
print(f"the one outlier gets {colleagues_odds[0]:.3f} of all draws, the 99 others {colleagues_odds[1:].sum():.3f}")

# %% tags=["solution"]
assert 0.984 < colleagues_odds[0] < 0.986

# %% [markdown]
# Of a hundred dead latents, nearly all would wake up as copies of one strange input. "Hard inputs are what we want", says the colleague.

# %% [markdown]
# ### Exercise 7.9 · `resampling_probabilities` (10 min)
#
# **Why.** It runs, it sums to 1, the hardest input has the highest odds, and the docstring is right. Nothing tells you that a square stands where one has been taken already.
#
# **Write** the odds as they were meant. The **loss** of an input is its squared error, summed over `d_model`. Its probability is proportional to **loss², the loss squared once**. So it goes with the fourth power of the distance: distances 1 and 2 have the odds 1 : 16. They sum to 1.
#
# 1. If all losses are 0, all inputs are equally likely.
# 2. Squares of squares leave float32 soon: errors of 10¹² have losses of 10²⁴, whose squares are infinite, and errors of 10⁻¹³ have squared losses of 0. Divide the losses by the largest **before** you square them.


# %%
# exercise: resampling_probabilities
def resampling_probabilities(
    acts: Float[Tensor, "batch d_model"], reconstruction: Float[Tensor, "batch d_model"]
) -> Float[Tensor, " batch"]:
    """The odds of each input, proportional to the square of its squared error."""
    ### BEGIN SOLUTION
    losses = (acts - reconstruction).square().sum(dim=-1)  # [batch]
    if losses.max() == 0:
        return torch.full_like(losses, 1 / len(losses))
    weights = (losses / losses.max()).square()
    return weights / weights.sum()
    ### END SOLUTION


# %%
check(resampling_probabilities)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Count the squares in the colleague's function, from the difference to the quotient. Two are wanted.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `(acts - reconstruction).square().sum(dim=-1)` is the loss, `[batch]`. Everything after that is about `[batch]`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# weights = (losses / losses.max()).square()
# ```
#
# Before it, the case that all losses are 0.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green.
#
# </details>

# %%
odds = resampling_probabilities(distances, torch.zeros(100, 1))
print(f"the one outlier gets {odds[0]:.3f} of all draws, the 99 others {odds[1:].sum():.3f}")

# %% tags=["solution"]
assert abs(odds[0] - 0.45) < 1e-3

# %% [markdown]
# The outlier is still the likeliest by far, at 0.45. But more than half of the latents now wake up elsewhere.

# %% [markdown]
# ## Optional: a threshold that is learned
#
# An L1 penalty makes latents sparse by making them small, and the small ones are too small. JumpReLU ([Rajamanoharan et al. 2024](https://arxiv.org/abs/2407.14435)) separates the two questions: *whether* a latent fires is decided by a threshold, *how much* by the encoder alone. The price is a step, and a step has no useful gradient. The next two exercises are the step, and the way round it.

# %% [markdown]
# ### Exercise 7.10 · `jumprelu` (5 min, optional)
#
# **Why.** With a ReLU, whatever cuts small noise away also shrinks large values. A jump does not.
#
# **Write** the activation. `pre` is `[batch d_sae]`, before any nonlinearity; `threshold` is `[d_sae]`, positive, one for each latent. Where `pre` is **strictly above** its latent's threshold, it stays as it is. Elsewhere the result is 0.


# %%
# exercise: jumprelu
def jumprelu(pre: Float[Tensor, "batch d_sae"], threshold: Float[Tensor, " d_sae"]) -> Float[Tensor, "batch d_sae"]:
    """Keep what is above its latent's threshold, as it is, and make the rest 0."""
    ### BEGIN SOLUTION
    return torch.where(pre > threshold, pre, 0)
    ### END SOLUTION


# %%
check(jumprelu)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Two choices for each number: itself, or 0. Nothing is subtracted.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `pre > threshold` is `[batch d_sae]`: the last axes line up, so that each column meets its own threshold.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# return torch.where(pre > threshold, pre, 0)
# ```
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green.
#
# </details>

# %% [markdown]
# To train a threshold, you need to know how L0, the number of latents that fire, changes with it. Ask autograd:

# %%
draws = torch.randn(200_000, 1, generator=torch.Generator().manual_seed(SEED))
theta = torch.tensor([0.5], requires_grad=True)
fires = (draws > theta).float()
print(f"mean L0 {fires.mean():.3f}, has a gradient: {fires.requires_grad}")
print(f"mean L0 with the threshold 0.1 higher: {(draws > theta + 0.1).float().mean():.3f}")

# %% tags=["solution"]
assert not fires.requires_grad and 0.305 < fires.mean() < 0.312
assert 0.270 < (draws > theta + 0.1).float().mean() < 0.278

# %% [markdown]
# L0 falls, by about 0.03, and autograd knows nothing of it. For a single number, a comparison is 0 or 1 and flat everywhere but at the jump. Only the **mean over many** changes smoothly: P(pre > θ) falls by the density of `pre` at θ, so its derivative is −φ(θ), if `pre` is standard normal.

# %% [markdown]
# ### Exercise 7.11 · `l0_threshold_gradient` (5 min, optional)
#
# **Why.** A density can be estimated: count what lies nearby. Used in place of the true gradient in the backward pass, this is a **straight-through estimate**, and it is how JumpReLU's thresholds are trained.
#
# **Write** the estimate of the gradient of the mean L0 per vector, with respect to each latent's threshold. `pre` is `[batch d_sae]`, `threshold` `[d_sae]`, and `window` is the width of a window with the threshold in its middle.
#
# $$-\frac{1}{\text{window}} \cdot \text{share of the batch with } \lvert \text{pre} - \text{threshold} \rvert < \frac{\text{window}}{2}$$
#
# The result is `[d_sae]`. Count whatever sign `pre` has: a wide window around a low threshold reaches below 0. Numbers exactly at an edge of the window may count or not.


# %%
# exercise: l0_threshold_gradient
def l0_threshold_gradient(
    pre: Float[Tensor, "batch d_sae"], threshold: Float[Tensor, " d_sae"], window: float
) -> Float[Tensor, " d_sae"]:
    """Estimate how the mean L0 changes with each threshold: minus the share within a window, per unit of window."""
    ### BEGIN SOLUTION
    near = (pre - threshold).abs() < window / 2  # [batch d_sae]
    return -near.float().mean(dim=0) / window
    ### END SOLUTION


# %%
check(l0_threshold_gradient)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# If the threshold moves up through the window, the numbers in the window stop firing, one after the other. How many are there, and over what distance?
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# Whether a number lies in its window is `[batch d_sae]`. The mean over the batch is `[d_sae]`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# near = (pre - threshold).abs() < window / 2
# ```
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. One of them draws 200,000 normal numbers, and compares you with −φ(θ).
#
# </details>

# %%
estimate = l0_threshold_gradient(draws, theta.detach(), 0.2)
density = torch.distributions.Normal(0, 1).log_prob(theta).exp()
print(f"estimate {estimate.item():.3f}, minus the density is {-density.item():.3f}")

# %% tags=["solution"]
assert -0.37 < estimate.item() < -0.335

# %% [markdown]
# ## What you have, and what you do not
#
# | claim | evidence | supported? |
# |---|---|---|
# | "More features than dimensions can be stored." | five in two, when they are rare (7.1) | yes, in a model made for it |
# | "An SAE finds the true directions." | all five of the toy's with one latent at a time; wrong ones with two | where sparsity is that of the data |
# | "It explains 95 % of the stream, so it has found what is there." | it finds less of the board than one with 90 % (7.8); the untrained network's explain as much | **no** |
# | "Its latents mean something." | at layer 6 one latent for each legal move, as good as a probe | yes, where the network's own variables are rare |
# | "SAEs cannot find a board." | one network, small SAEs, one measure | **no**: this is about these |
#
# The board is in this stream: a linear probe reads it with an F1 of .86, and in chapter 04 pushing along it changed the moves. It is stored as 64 directions, all of them in use at once. The SAE's rows lean towards them (the nearest row to a square's direction has a cosine of .58 on average with k = 32; among random rows it is .24), and for some ten squares they hit. **An SAE looks for what is sparse.** A disc is there in every position, mine or yours. Nothing about it is rare.
#
# **Open questions.** Would an SAE a hundred times as large split the board into pieces that are rare? (Karvonen et al. report coverages of the same kind for SAEs of an Othello network, below their probe, too.) Is one latent the right unit, or are several together? Chapter 08 asks that, and lets both sides compete.

# %% [markdown]
# ## At scale
#
# The same code reads published SAEs ([Bloom 2024](https://www.lesswrong.com/posts/f9EgfLSurAiqRJySD/open-source-sparse-autoencoders-for-all-residual-stream)). With a network connection (`HF_HUB_OFFLINE=0 make lab`), this cell fetches **GPT-2**, 0.5 GB, and an SAE of what goes into its block 8, with 24,576 latents for 768 dimensions. Without a connection it says so. `load_sae_if_possible("google/gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_82")` reads Gemma Scope.

# %%
larger = load_if_possible("openai-community/gpt2")
published = load_sae_if_possible("jbloom/GPT2-Small-SAEs-Reformatted/blocks.8.hook_resid_pre") if larger else None
if published is not None:
    text = "When Mary and John went to the store, John gave a drink to Mary. The capital of France is Paris, and"
    layer = min(7, larger.cfg.n_layers - 1)  # what goes into block 8
    stream = cache_resid_post(larger, *tokenize(larger, [text]), [layer])[0, 0, 1:].float().cpu()
    stream = stream - stream.mean(dim=1, keepdim=True)  # these SAEs were trained on a stream centred in this way
    latents = published.encode(stream)
    print(f"L0 {mean_l0(latents):.0f}, explains {float(explained_variance(stream, published.decode(latents))):.2f}")

# %%
progress()
