# %% [markdown]
# # 08 · Probes against sparse autoencoders: which would you deploy?
#
# You have two tools. A **probe** finds the direction that you ask for, if you have labels. A **sparse autoencoder** has found its directions beforehand, without any. It is more work to make. When is it worth it? After this chapter you can
#
# - probe on few latents of an SAE, and compare that fairly with probing the stream;
# - choose between methods without fooling yourself, and say how sure you are of a difference;
# - ask whether SAEs help *somewhere*: with few labels, rare positives, wrong labels, other data;
# - steer with latents, and see what an edit does besides;
# - find wrong labels, and a difference that nobody told you about.
#
# It ends with a table that you fill in from your own results, and with your own calibration curve.
#
# {{exercises}}
#
# ![For each of five regimes a row of dots around 0, and a mean with its interval](figures/08_gains.png)
#
# *What adding SAE probes to the toolbox gains, on 27 tasks in five situations. You will draw it after Exercise 8.5.*

# %% [markdown]
# ## Where this chapter stands
#
# ```text
# datasets ── texts or games, labels ─┐
# models ──── TransformerBridge ──────┤
#   ┌─────────────────────────────────┘
#   └─► activations ─► PROBES ─┐
#       and latents   on both  │
#   ┌──────────────────────────┘
#   ├─► METRICS ── score, INTERVAL, control ─► plots
#   └─► interventions ─► models (run again) ─► metrics
# ```
#
# Capitals mark where you work. All roads of the course meet here.
#
# **Read before or after:** [Kantamneni et al. 2025](https://arxiv.org/abs/2502.16681), "Are Sparse Autoencoders Useful? A Case Study in Sparse Probing": the introduction and the sections on the four difficult regimes. This chapter repeats their comparison on three small networks. [Gurnee et al. 2023](https://arxiv.org/abs/2305.01610) started probing on few dimensions.
#
# **The objects, and their shapes**
#
# | name | shape | what it is |
# |---|---|---|
# | `acts`, `latents` | `[example d_model]`, `[example latent]` | one vector per example, and what an SAE makes of it |
# | `labels` | `[example]` | True or False |
# | `validation`, `test` | `[task method]` | AUROC of each method, on examples that choose and on examples that count |
# | `gains` | `[task]` | test AUROC with SAE probes in the toolbox, minus that without |

# %% [markdown]
# **Setup.** Run this cell first, whichever part you want to work on.

# %%
# {{setup}}

# %%
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cosine_similarity, normalize

from utils import heat_maps, plots, sae_plots, sae_uses
from utils.activations import cache_positions, cache_resid_post
from utils.at_scale import load_if_possible, load_sae_if_possible
from utils.comparison import compare, load_table
from utils.course.check import check, progress, start_chapter
from utils.course.predict import calibration, predict, settle
from utils.datasets import load_sentiment_words
from utils.metrics import bootstrap_interval, roc_auc
from utils.models import load_model
from utils.othello import random_games, replay_games
from utils.othello_edits import draw_edit_cases, edit_square, intervention_errors, square_effect_directions
from utils.othello_prefixes import cache_prefixes, continue_from
from utils.othello_probes import fit_board_probe
from utils.probes import LinearProbe, fit_logistic_regression_probe
from utils.sae_steering import latents_by_activation, latents_by_output
from utils.saes import load_sae
from utils.splits import split_folds
from utils.tasks import SAES, load_tasks, load_untrained_tasks
from utils.tokens import tokenize
from utils.training.english import seen_in_training
from utils.trials import REGIMES, draw_trial
from utils.widgets.latent_views import LatentView
from utils.widgets.latents import explore_latents

SEED = 0
start_chapter("08_probes_vs_saes")

# %% [markdown]
# ## 27 questions
#
# Nine about each of three networks:
#
# - **Othello-GPT**, layer 4: whose disc lies on d4, c5 or f3, early, in the middle or late in a game;
# - **Facts-GPT** (the *match* world), layer 1, at the object: is the statement true? Six topics; and three with "not" in half of the statements;
# - **MiniLM**, layer 2, mean over word pieces: is a word a nice one, a colour reddish or light or greenish, a city in Europe, Asia or Africa, or far in the north; and who does what to whom.
#
# Each network has one SAE. None of them saw a label. MiniLM's was trained on sentences from documentation and on half of the names in the tables; the tasks use the **other half**. Othello's games are fresh. Facts-GPT's world is so small that its SAE has seen every name.

# %%
tasks = load_tasks()
first = tasks[3]
train, validation, test = draw_trial(first, "standard", seed=SEED)
first.name, train.acts.shape, train.latents.shape

# %% [markdown]
# Begin with a single question. The stream is dense: every dimension is a little about everything. Latents are sparse. So, perhaps, **few of them are enough**. But which?

# %% [markdown]
# ### Exercise 8.1 · `select_latents` (10 min)
#
# **Why.** An SAE has hundreds of latents, or tens of thousands, and nobody has labelled them. Your labels can choose: a latent that says something about them has another mean where they are True than where they are False.
#
# **Write** a function that returns the `k` latents whose class means lie furthest apart.
#
# 1. The mean of each latent over the True examples and over the False ones: `[latent]` twice.
# 2. The **absolute** difference of the two. A latent that is on where the label is False tells you as much as one that is on where it is True.
# 3. The indices of the `k` largest, the largest first, `[k]`.
#
# It is the plain difference, not divided by any spread: a weak latent comes last, however reliable it is. Raise a `ValueError` that names `labels` if only one class occurs.
#
# Choosing is fitting: this function will only ever see training examples.


# %%
# exercise: select_latents
def select_latents(
    latents: Float[Tensor, "example latent"], labels: Bool[Tensor, " example"], k: int
) -> Int[Tensor, " k"]:
    """The k latents whose means over True and over False examples lie furthest apart, the furthest first."""
    ### BEGIN SOLUTION
    if labels.all() or not labels.any():
        raise ValueError("labels must hold both classes: with one class there is no difference of means")
    difference = latents[labels].mean(dim=0) - latents[~labels].mean(dim=0)  # [latent]
    return difference.abs().topk(k).indices
    ### END SOLUTION


# %%
check(select_latents)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Two averages for each latent, and how far they are apart. Then the places of the largest, not the values.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `latents[labels]` is `[n_true latent]`; its mean over `dim=0` is `[latent]`. `topk` returns values and indices, both `[k]`, the largest first.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# return (latents[labels].mean(dim=0) - latents[~labels].mean(dim=0)).abs().topk(k).indices
# ```
#
# Before it, look at the labels.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. In one of them, most of the latents worth having are on where the label is False.
#
# </details>

# %% [markdown]
# ### Exercise 8.2 · `fit_k_sparse_probe` (10 min)
#
# **Why.** A probe on k latents can be read aloud: k numbers, and k latents to look up. It should be used like any other probe, on **all** latents of a new example, without anybody having to remember which were chosen.
#
# **Write** a function that fits a logistic regression on the latents in `chosen` `[k]` **only**, and returns a `LinearProbe` for all of them: `weight` `[latent]` holds the fitted weights at the places in `chosen`, and 0 everywhere else. `bias` is the fitted one.
#
# 1. `fit_logistic_regression_probe(acts, labels, l2=l2)` from chapter 01 does the fitting. Give it the chosen columns. It standardises them, returns weights in the units of the latents, and gives a latent that is always 0 the weight 0.
# 2. Put each weight back where its latent stands. `chosen` is in no particular order.
#
# To fit on all latents and delete the other weights afterwards is something else: those weights were fitted to work together.


# %%
# exercise: fit_k_sparse_probe
def fit_k_sparse_probe(
    latents: Float[Tensor, "example latent"],
    labels: Bool[Tensor, " example"],
    chosen: Int[Tensor, " k"],
    l2: float = 0.1,
) -> LinearProbe:
    """Logistic regression on the chosen latents only, as a probe of all latents: weight 0 at the others."""
    ### BEGIN SOLUTION
    probe = fit_logistic_regression_probe(latents[:, chosen], labels, l2=l2)
    weight = torch.zeros(latents.shape[1])
    weight[chosen] = probe.weight
    return LinearProbe(weight=weight, bias=probe.bias)
    ### END SOLUTION


# %%
check(fit_k_sparse_probe)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Fit a small probe. Then make a large one that is 0 nearly everywhere and gives the same logits.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `latents[:, chosen]` is `[example k]`, so the small probe's `weight` is `[k]`. The large one's is `[latent]`, and `latents.shape[1]` says how many that are.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# weight[chosen] = probe.weight
# ```
#
# Before it, `weight` is all zeros.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. One is a control: with latents chosen that say nothing, the probe must guess.
#
# </details>

# %%
predict(
    "one_latent",
    "Four questions, one of each kind. For how many is a single latent within .05 AUROC of a probe on the whole stream?",
    ("none", "one", "two", "three or four"),
)

# %%
KS = (1, 2, 4, 8, 16, 32, 64, 128)


def curve(task) -> tuple[Float[Tensor, " k"], float]:
    """Test AUROC of probes on 1, 2, 4, ... latents, and of one on the stream."""
    train, _, test = draw_trial(task, "standard", seed=SEED)
    order = select_latents(train.latents, train.labels, max(KS))
    probes = [fit_k_sparse_probe(train.latents, train.labels, order[:k], 0.01) for k in KS]
    sparse = torch.stack([roc_auc(probe(test.latents), test.labels) for probe in probes])
    dense = fit_logistic_regression_probe(train.acts, train.labels, l2=0.1)
    return sparse, float(roc_auc(dense(test.acts), test.labels))


# %%
some = {task.name: curve(task) for task in (tasks[3], tasks[9], tasks[18], tasks[26])}
some["d4 is mine, middle, untrained network"] = curve(load_untrained_tasks()[3])

# %%
# figure: 08_sparse
plots.plot_lines(
    {name: sparse for name, (sparse, dense) in some.items()},
    x=[str(k) for k in KS],
    x_title="latents that the probe may use",
    y_title="AUROC on test",
    baselines={"chance": 0.5},
    title="How many latents does a question need? (standard regime)",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![The line of cities lies at 1 from one latent on; who does it rises from .73 to .98; nice words and d4 rise slowly and end at .85 and .79; in the untrained network d4 stays at .5](figures/08_sparse.png)
#
# </details>

# %%
n_single = sum(bool(sparse[0] > dense - 0.05) for name, (sparse, dense) in some.items() if "untrained" not in name)
settle("one_latent", ("none", "one", "two", "three or four")[min(n_single, 3)])
for name, (sparse, dense) in some.items():
    print(f"{name}: one latent {sparse[0]:.2f}, 128 latents {sparse[-1]:.2f}, the stream {dense:.2f}")

# %% tags=["solution"]
print({name: ([round(float(x), 3) for x in sparse], round(dense, 3)) for name, (sparse, dense) in some.items()})
assert some["cities: true"][0][0] > 0.95 and n_single == 1
assert (
    max(some["d4 is mine, middle, untrained network"][0].max(), some["d4 is mine, middle, untrained network"][1]) < 0.6
)
assert 0.72 < some["d4 is mine, middle"][0][-1] < 0.85 < 0.89 < some["d4 is mine, middle"][1] < 0.95
assert 0.8 < some["positive word"][0][-1] < 0.9 < some["positive word"][1] < 0.95
assert some["the animal does it"][0][-1] > 0.95 and some["the animal does it"][1] > 0.95

# %% [markdown]
# **Read it.** It depends on the question. Whether a statement about cities is true, **one latent** tells almost without error (and so did a random direction, in chapter 07). Who does what to whom needs dozens, and then they are as good as the stream: .97. For a nice word and for a disc in the middle of a game 128 latents stay behind: .85 against .93, and .79 against .92. There, the SAE has thrown away something that the probe uses. In the untrained twin, with an SAE of its own, there is nothing to read, neither by latents nor by the stream: .5.

# %% [markdown]
# ## A fair tournament
#
# Somebody who wants to deploy a detector has a **toolbox** of methods, tries them all, and takes the best. Does it help to have SAE probes in it? That is another question than "which is better", and the one that counts.
#
# | family | eight configurations of |
# |---|---|
# | `logistic` | logistic regression: strength of the penalty |
# | `mass_mean` | difference of class means: shrinkage of the covariance |
# | `pca_logistic` | logistic regression on the first principal components: how many |
# | `nearest` | nearest neighbours: how many |
# | `sae_k_sparse` | logistic regression on few latents: how many, 1 to 128 |
# | `sae_logistic` | logistic regression on all latents: strength of the penalty |
#
# **The same number of tickets for each.** And five situations:

# %%
REGIMES

# %% [markdown]
# Six families of eight make 48 configurations. For each task one of them wins. By which score?
#
# A colleague tries her way of reporting on coins first. Fifty methods that guess, on 40 tasks with 100 validation and 100 test examples each: every score is 0.5, give or take 0.05.

# %%
coins = 0.5 + 0.05 * torch.randn(2, 40, 50, generator=torch.Generator().manual_seed(SEED))
coins_validation, coins_test = coins  # [task method] each


def colleagues_winner(validation, test):
    """The method that wins each task, and its score. NaN on validation: it could not be run."""
    scores = test.masked_fill(validation.isnan(), -torch.inf)
    winner = scores.argmax(dim=1)
    return winner, scores[torch.arange(len(scores)), winner]


print(f"mean score of the winners: {colleagues_winner(coins_validation, coins_test)[1].mean():.2f}")

# %% tags=["solution"]
assert 0.59 < colleagues_winner(coins_validation, coins_test)[1].mean() < 0.63

# %% [markdown]
# 0.61, on examples that no method was fitted on. "So coins can be beaten", says the colleague. "One has to pick the right method for each task."

# %% [markdown]
# ### Exercise 8.3 · `select_by_validation` (10 min)
#
# **Why.** *Find the bug.* With two methods it costs little. With fifty it makes a result out of nothing, and a family with more methods in the race gains more by it.
#
# **Find** the mistake in `colleagues_winner`, and **write** the function without it.
#
# 1. For each task, the method with the best **validation** score wins, `[task]`. Of equal ones the first does.
# 2. What is reported is the **test** score of that method, `[task]`.
# 3. NaN on validation means that the method could not be run on this task: it never wins. Scores may be R², and so below 0.
# 4. Raise a `ValueError` with the word `task` in its text if a task has no method at all.


# %%
# exercise: select_by_validation
def select_by_validation(
    validation: Float[Tensor, "task method"], test: Float[Tensor, "task method"]
) -> tuple[Int[Tensor, " task"], Float[Tensor, " task"]]:
    """For each task the method that wins on validation, and that method's test score."""
    ### BEGIN SOLUTION
    scores = validation.masked_fill(validation.isnan(), -torch.inf)
    if scores.isneginf().all(dim=1).any():
        raise ValueError("every task needs a method that could be run: one has NaN on validation for all of them")
    winner = scores.argmax(dim=1)
    return winner, test[torch.arange(len(test)), winner]
    ### END SOLUTION


# %%
check(select_by_validation)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Which numbers decide who wins, and which numbers are reported? If they are the same ones, luck is reported as skill.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `argmax(dim=1)` of `[task method]` is `[task]`. NaN counts as larger than everything there, so put something else in its place first. `test[torch.arange(len(test)), winner]` is `[task]`: one score of each task.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# winner = validation.masked_fill(validation.isnan(), -torch.inf).argmax(dim=1)
# ```
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. One of them plays with coins, as the colleague does.
#
# </details>

# %%
repaired = select_by_validation(coins_validation, coins_test)[1].mean()
print(f"mean score of the winners on validation: {repaired:.2f} on test")

# %% tags=["solution"]
assert 0.48 < repaired < 0.52

# %% [markdown]
# **Read it.** Coins are coins. The winners on validation had luck there, and luck does not carry over to the test examples.

# %% [markdown]
# Now run it: 27 tasks, 5 regimes, 6 families of 8 configurations, 6,480 fits. First write down what you expect.

# %%
predict(
    "toolbox",
    "In how many of the 135 cells does adding SAE probes to the toolbox gain more than .01 of AUROC?",
    ("fewer than 14 (1 in 10)", "14 to 45", "more than 45 (1 in 3)"),
)

# %%
NAMES = ["logistic", "mass_mean", "pca_logistic", "nearest", "sae_k_sparse", "sae_logistic"]
validation_auroc, test_auroc = compare(tasks, list(REGIMES), NAMES, seed=SEED)  # [task regime family]
is_sae = torch.tensor([name.startswith("sae") for name in NAMES])

# %%
heat_maps.plot_matrix(
    test_auroc.mean(dim=0).float(),
    rows=list(REGIMES),
    columns=NAMES,
    title="Test AUROC, mean over 27 tasks",
    x_title="family, configuration chosen by validation",
    y_title="regime",
    value_title="AUROC",
    centre=0.5,
)

# %% [markdown]
# So much for one family against another. You have probes anyway, and choose the best for each task. **Does it help to have SAE probes among them?** [Kantamneni et al. 2025](https://arxiv.org/abs/2502.16681) think of a quiver of arrows: take the best shot with all arrows, and the best shot without the new ones, on the same task.

# %% [markdown]
# ### Exercise 8.4 · `quiver_gain` (10 min)
#
# **Why.** SAE probes may be worse on average, and still be worth having, if they win where the others fail. And they may win on validation by luck: then having them *costs* something. Both show in one paired difference for each task.
#
# **Write** a function that returns, for each task, `[task]`:
#
# 1. the test score of the method that wins on validation among **all** methods,
# 2. minus the test score of the one that wins on validation among the **dense** methods, those that are not `is_sae` `[method]`.
#
# So the gain is 0 where a dense method wins, and may be negative elsewhere. NaN on validation means what it means in Exercise 8.3; every task has a dense method that could be run. Raise a `ValueError` that names `is_sae` if all methods are SAE methods, or none is: then there is nothing to compare.


# %%
# exercise: quiver_gain
def quiver_gain(
    validation: Float[Tensor, "task method"], test: Float[Tensor, "task method"], is_sae: Bool[Tensor, " method"]
) -> Float[Tensor, " task"]:
    """What SAE methods add to the dense ones: test score of the winner among all minus that among the dense."""
    ### BEGIN SOLUTION
    if is_sae.all() or not is_sae.any():
        raise ValueError("is_sae must hold both kinds of methods: there is nothing to compare")
    rows = torch.arange(len(test))
    everything = validation.masked_fill(validation.isnan(), -torch.inf)
    dense = everything.masked_fill(is_sae, -torch.inf)
    return test[rows, everything.argmax(dim=1)] - test[rows, dense.argmax(dim=1)]
    ### END SOLUTION


# %%
check(quiver_gain)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Choose twice, each time on validation: once with all arrows in the quiver, once without the SAE ones. Then look at the test scores of the two that were chosen.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# A method that may not win gets -inf on validation. `is_sae` `[method]` spreads over the tasks: `validation.masked_fill(is_sae, -torch.inf)` is `[task method]`, and no index has to be translated back.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# return test[rows, everything.argmax(dim=1)] - test[rows, dense.argmax(dim=1)]
# ```
#
# `rows` counts the tasks.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. In the first, one gain is negative: an SAE probe won on validation and was worse on test.
#
# </details>

# %% [markdown]
# One gain for each task. How sure are you of their mean? That depends on what else you might have drawn: other tasks. And tasks come in families, one for each model.

# %% [markdown]
# ### Exercise 8.5 · `stratified_interval` (15 min)
#
# **Why.** The 64 squares of one network are not 64 independent findings next to 3 truth topics of another. Pooled, one model decides the mean, and the interval says how sure you are of *that* model.
#
# **Write** a function that returns mean, lower and upper end of a 95 % interval, for `gains` `[task]` and the model that each task belongs to, `model_of` `[task]`: whole numbers of any size, in any order.
#
# 1. The statistic: the mean over models of the mean over each model's tasks. **Every model counts alike**, however many tasks it has.
# 2. A resample: from each model, draw as many of its tasks as it has, **with replacement**, and compute the statistic. No model is ever missing.
# 3. Do that `n_resamples` times. The interval runs from the 2.5 % to the 97.5 % quantile of the statistics. All drawing is from a `torch.Generator` with this `seed`.
#
# Return the statistic of the gains as they are, then the two ends. Who draws in another order gets slightly other ends. The checks allow 8 % in the interval's length, and a sixteenth of the length in its middle.


# %%
# exercise: stratified_interval
def stratified_interval(
    gains: Float[Tensor, " task"], model_of: Int[Tensor, " task"], n_resamples: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean over models of the mean over tasks, and its 95 % interval: tasks are drawn anew within each model."""
    ### BEGIN SOLUTION
    generator = torch.Generator().manual_seed(seed)
    means, resampled = [], []
    for model in model_of.unique():
        own = gains[model_of == model]
        drawn = torch.randint(len(own), (n_resamples, len(own)), generator=generator)
        means.append(own.mean())
        resampled.append(own[drawn].mean(dim=1))  # [resample]
    low, high = torch.stack(resampled).mean(dim=0).quantile(torch.tensor([0.025, 0.975])).tolist()
    return float(torch.stack(means).mean()), low, high
    ### END SOLUTION


# %%
check(stratified_interval)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Go through the models. Each gives one mean, and one mean for every resample of its own tasks. Average over the models at the end.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `own` is `[own task]`. `torch.randint(len(own), (n_resamples, len(own)), generator=generator)` draws all resamples of a model at once, and `own[drawn].mean(dim=1)` is `[resample]`. Stacked over the models: `[model resample]`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# resampled.append(own[torch.randint(len(own), (n_resamples, len(own)), generator=generator)].mean(dim=1))
# ```
#
# After the loop, `torch.stack(resampled).mean(dim=0)` is the statistic of every resample.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. One of them draws fifty worlds with a known mean, and counts how often your interval holds it.
#
# </details>

# %% [markdown]
# **Mind what it says.** The interval tells how far the mean would move with other tasks **of these models**. About other models it says nothing: for that, you would have to draw models, and need many more than three.

# %%
gains = {
    regime: quiver_gain(validation_auroc[:, j], test_auroc[:, j], is_sae).float() for j, regime in enumerate(REGIMES)
}
models = [task.model for task in tasks]
model_of = torch.tensor([sorted(set(models)).index(model) for model in models])
intervals = {regime: stratified_interval(values, model_of) for regime, values in gains.items()}
n_helped = sum(int((values > 0.01).sum()) for values in gains.values())
n_hurt = sum(int((values < -0.01).sum()) for values in gains.values())
print(f"gains above .01 in {n_helped} of {27 * 5} cells, losses in {n_hurt}")
{regime: [round(x, 3) for x in interval] for regime, interval in intervals.items()}

# %%
settle(
    "toolbox",
    "fewer than 14 (1 in 10)" if n_helped < 14 else "14 to 45" if n_helped <= 45 else "more than 45 (1 in 3)",
)

# %%
# figure: 08_gains
sae_plots.plot_paired_gains(
    gains,
    intervals=intervals,
    task_names=[task.name for task in tasks],
    model_names=models,
    title="What SAE probes add to the toolbox",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Five rows of dots around a zero line; most dots lie on it; the means lie at 0 or just below, that of scarce clearly below](figures/08_gains.png)
#
# </details>

# %% tags=["solution"]
print(n_helped, n_hurt, {r: [round(x, 3) for x in i] for r, i in intervals.items()})
assert n_helped <= 12 and 8 <= n_hurt <= 24
assert max(high for _, _, high in intervals.values()) < 0.01 and max(mean for mean, _, _ in intervals.values()) < 0.003
assert intervals["scarce"][2] < 0 and -0.035 < intervals["scarce"][0] < -0.005
by_family = {r: dict(zip(NAMES, test_auroc[:, j].mean(dim=0).tolist(), strict=True)) for j, r in enumerate(REGIMES)}
assert all(max(row["sae_k_sparse"], row["sae_logistic"]) < row["logistic"] - 0.02 for row in by_family.values())
truths = [i for i, task in enumerate(tasks) if task.shift == 'with "not"']
assert test_auroc[truths, list(REGIMES).index("shifted")].min(dim=0).values.max() < 0.1
for j, regime in enumerate(REGIMES):
    print(regime, dict(zip(NAMES, [round(float(x), 3) for x in test_auroc[:, j].mean(dim=0)], strict=True)))

# %% [markdown]
# **Read it.** Most gains are exactly 0: a dense probe wins on validation with or without company. Where an SAE probe wins, it loses on test twice as often as it gains: 7 cells above .01, 15 below −.01. In no regime does the interval reach +.01. With 24 labels they seem to cost something, −.02, and the interval excludes 0: sixteen more tickets, a validation set of 24, and the luckiest is taken, as with the coins of Exercise 8.3. (Keep this number in mind.)
#
# In the matrix, both SAE families lie .04 to .07 below logistic regression on the stream, in all five situations. [Kantamneni et al. 2025](https://arxiv.org/abs/2502.16681) report the same for large models: no regime in which SAE probes help on average.
#
# Look at *shifted* once more. Six of its tasks are truths about affirmed sentences, tested on sentences with "not", and there **every** family is below .1 for some: in this network the object codes the *match* (chapter 05). No method repairs a wrong label for what is read.

# %% [markdown]
# **One draw is one draw.** The table below was computed beforehand, with three draws of examples, and with two more families in the toolbox: gradient boosting and a multi-layer perceptron, eight configurations each (`utils/training/comparison.py`). And it has one more control: latents of a **random dictionary**, of the same size and as sparse. Its directions are those that the SAE's training started from: it is the SAE without its training. What they gain as well is no merit of training.

# %%
table = load_table()
table.families, table.test.shape  # [seed task regime family]

# %%
averaged = {}  # (regime, what is added) -> mean, low, high
in_table = torch.tensor([name.startswith("sae") for name in table.families])
dense_only = torch.tensor([not name.startswith(("sae", "random")) for name in table.families])
rival = torch.tensor([name.startswith("random") for name in table.families])
for what, added in (("SAE", in_table), ("random dictionary", rival)):
    for j, regime in enumerate(REGIMES):
        columns = (dense_only | added).nonzero()[:, 0]
        per_seed = [
            quiver_gain(v[:, j][:, columns], t[:, j][:, columns], added[columns])
            for v, t in zip(table.validation, table.test, strict=True)
        ]
        averaged[regime, what] = stratified_interval(torch.stack(per_seed).mean(dim=0).float(), model_of)
        if what == "SAE":
            by_draw = [f"{stratified_interval(gain.float(), model_of)[0]:+.3f}" for gain in per_seed]
            print(f"{regime}: the three draws alone {', '.join(by_draw)}")
{f"{regime}, {what}": [round(x, 3) for x in interval] for (regime, what), interval in averaged.items()}

# %%
best_of = table.test.mean(dim=(0, 1))  # [regime family]
heat_maps.plot_matrix(
    best_of.T.float(),
    rows=table.families,
    columns=list(REGIMES),
    title="Test AUROC of all families, mean over 27 tasks and three draws",
    x_title="regime",
    y_title="family",
    value_title="AUROC",
    centre=0.5,
)

# %% tags=["solution"]
assert all(low < 0.0005 and high < 0.01 for (_, what), (_, low, high) in averaged.items() if what == "SAE")
assert averaged["scarce", "SAE"][1] < 0 < averaged["scarce", "SAE"][2] and averaged["scarce", "SAE"][0] > -0.01
place = {name: i for i, name in enumerate(table.families)}
assert (best_of[:, place["sae_k_sparse"]] > best_of[:, place["random_k_sparse"]] + 0.01).all()
assert (best_of[:, place["logistic"]] > best_of[:, place["sae_k_sparse"]] + 0.03).all()
assert best_of[:, place["mass_mean"]].argmax() == 0 and (best_of[[0, 1, 2, 3], place["mass_mean"]] > 0.825).all()
sae_best = table.test.mean(dim=0)[..., in_table].amax(dim=-1) > table.test.mean(dim=0)[..., dense_only].amax(dim=-1)
assert sae_best.sum() == 9
assert max(mean for (_, what), (mean, _, _) in averaged.items() if what == "random dictionary") < 0.005
bent = best_of[:, [place["boosting"], place["perceptron"]]].amax(dim=1)
assert (bent < best_of[:, [place["logistic"], place["mass_mean"]]].amax(dim=1)).all()

# %% [markdown]
# **Read it.** The rows say the same: no gain that you could count on, in any regime. Only in 9 of 135 cells is an SAE family the best of all, on average over the draws.
#
# **And −.02 with few labels is gone.** The three draws alone say −.019, −.001 and +.005. The interval that excluded 0 was about other *tasks*. It knew nothing of other *draws of 24 examples*, and that is where most of the chance is. An interval answers one question; see that it is yours.
#
# The random dictionary helps no more than the trained one. But look into the families themselves, in the matrix: probes on few latents of the SAE beat those on few random ones everywhere, by .03 to .07. **The SAE has learned something. What it has learned is no news to a probe that sees the whole stream.** Gradient boosting and a perceptron do not beat logistic regression and the mass-mean probe either: on these questions, straight lines are enough.

# %% [markdown]
# **And the untrained twin?** The nine questions about squares, once more, of Othello-GPT with random weights and the SAE of that.

# %%
OTHELLO_FAMILIES = ["logistic", "sae_k_sparse"]
pair = (tasks[:9], load_untrained_tasks())
both = [compare(part, ["standard"], OTHELLO_FAMILIES, seed=SEED)[1][:, 0].mean(dim=0) for part in pair]
{name: [round(float(x), 2) for x in row] for name, row in zip(("trained", "untrained"), both, strict=True)}

# %% tags=["solution"]
assert both[0][0] > 0.9 and 0.82 < both[0][1] < both[0][0] and both[1].max() < 0.63

# %% [markdown]
# **Read it.** .93 and .86 in the trained network, .57 and .56 in the untrained one: what is left is that some moves say something about their neighbours. So both tools read what the network has learned, and not what any network with these moves in it would hold.

# %% [markdown]
# ## Steering
#
# Deploying can also mean to *change* something. In chapter 04 you turned a disc inside Othello-GPT by pushing the stream along one direction. Latents invite you to do the same: switch off those that say *yours*, and switch on those that say *mine*.

# %% [markdown]
# ### Exercise 8.6 · `sae_edit` (10 min)
#
# **Why.** An SAE explains a stream only in part. Whoever replaces the stream by an edited reconstruction throws away the rest, the SAE's **error**, and then cannot say whether the network reacts to the edit or to the loss. There is a test for that: an edit of no latent must return the stream as it was. So add the *change* of the reconstruction, and nothing else.
#
# **Write** a function that edits latents, and the stream with them. `latents` `[batch latent]` are those of `resid` `[batch d_model]`, `off` and `on` are indices of latents.
#
# 1. Latents in `off` become 0. Latents in `on` become `values` `[n_on]`, whatever they were: the same in each row. All others stay.
# 2. `off` or `on` may be empty. If a latent is in both, `on` wins.
# 3. Return `resid` plus (latents after the edit − latents before) `@ W_dec`. Take the directions in `W_dec` as long as they are. Leave `resid` and `latents` as they are.


# %%
# exercise: sae_edit
def sae_edit(
    resid: Float[Tensor, "batch d_model"],
    latents: Float[Tensor, "batch latent"],
    W_dec: Float[Tensor, "latent d_model"],
    off: Int[Tensor, " n_off"],
    on: Int[Tensor, " n_on"],
    values: Float[Tensor, " n_on"],
) -> Float[Tensor, "batch d_model"]:
    """Set some latents to 0 and others to given values, and add the change of the reconstruction to the stream."""
    ### BEGIN SOLUTION
    edited = latents.clone()
    edited[:, off] = 0
    edited[:, on] = values
    return resid + (edited - latents) @ W_dec
    ### END SOLUTION


# %%
check(sae_edit)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Edit a copy of the latents. What the copy differs by, times the decoder, is what the stream has to change by. The decoder's bias is in both reconstructions, and falls out.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `edited[:, on]` is `[batch n_on]`, so `values` `[n_on]` fits as it is. The change of the latents is `[batch latent]`, and `@ W_dec` makes `[batch d_model]` of it.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# return resid + (edited - latents) @ W_dec
# ```
#
# Before it, write to `edited[:, off]` first, then to `edited[:, on]`.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. One of them edits nothing.
#
# </details>

# %% [markdown]
# **Which latents?** For each square take the two, eight or 32 whose means differ most between positions where the disc is mine and where it is yours. Some speak for *mine*, some for *yours*. Those of the wanted side are switched on, at their mean value times a strength; those of the other side off. That is choosing **by activation**. The cases are those of chapter 04: a history, one disc to turn, and the legal moves on the board that results.

# %%
LAYER, N_CASES = 4, 400
model, sae = load_model("othello_gpt"), load_sae("othello_gpt_4/topk_1024_32")
games = random_games(300, seed=21)[:, :30]
states = replay_games(games)
chosen = torch.zeros_like(games, dtype=torch.bool)
chosen[:, 4:] = True
fit_acts = cache_positions(model, games, states.mask, chosen & states.mask, [LAYER])[0]
fit_boards = states.boards[chosen & states.mask].long()
fit_latents = sae.encode(fit_acts)
choosing, cases = draw_edit_cases(150, seed=11), draw_edit_cases(N_CASES, seed=12)
prefixes = {id(part): cache_prefixes(model, part.tokens, part.pos, first_layer=LAYER) for part in (choosing, cases)}


# %%
def errors_after(part, resid: Float[Tensor, "case d_model"]) -> Float[Tensor, " case"]:
    """Errors against the moves that are legal after the disc is turned."""
    logits = continue_from(model, prefixes[id(part)], LAYER, resid)
    return intervention_errors(logits, part.legal_after).float()


# %%
def steer_latents(part, groups, strength: float) -> Float[Tensor, "case d_model"]:
    """Edit each case with the latents of its square: one colour's on, the other's off."""
    resid = prefixes[id(part)].resid[LAYER]
    latents, edited = sae.encode(resid), resid.clone()
    for square in part.squares.unique().tolist():
        mine, yours, mine_values, yours_values = groups[square]
        for to_mine in (True, False):
            rows = (part.squares == square) & (part.to_mine == to_mine)
            on, off, values = (mine, yours, mine_values) if to_mine else (yours, mine, yours_values)
            if rows.any():
                edited[rows] = sae_edit(resid[rows], latents[rows], sae.W_dec, off, on, strength * values)
    return edited


# %% [markdown]
# Beside it: the square effects of chapter 04, fitted on the **stream**; and the same regression fitted on the **latents** and then decoded, which is what [Davis et al. 2026](https://doi.org/10.3390/ai7030092), who edit a network that plays chess, call the SAE arm of their comparison. It is a probe that happens to live on latents. Every method chooses its strength on 150 cases, and is judged on others.

# %%
predict(
    "steering",
    "Untouched, the network makes 2.4 errors on the new board, and .5 with a probe's direction. With the best latents?",
    ("about .5, as with the probe", "about halfway, 1 to 2", "about 2.4: they do nothing"),
)

# %%
effects = square_effect_directions(fit_acts, fit_boards)
decoded = square_effect_directions(fit_latents, fit_boards) @ sae.W_dec  # [square d_model]
lot = torch.randn(effects.shape, generator=torch.Generator().manual_seed(SEED))
lot = normalize(lot, dim=1) * effects.norm(dim=1, keepdim=True)


# %%
def push(directions):
    """A function from cases and strength to edited streams."""
    return lambda part, s: edit_square(prefixes[id(part)].resid[LAYER], directions, part.squares, part.to_mine, scale=s)


ways = {
    "square effects": push(effects),
    "probe on latents, decoded": push(decoded),
    "random direction": push(lot),
}
for k in (2, 8, 32):
    groups = latents_by_activation(fit_latents, fit_boards, k)
    ways[f"{k} latents by activation"] = lambda part, s, groups=groups: steer_latents(part, groups, s)

# %%
STRENGTHS = (0.25, 0.5, 1.0, 2.0, 3.0)
result, strength_of = {"no edit": errors_after(cases, prefixes[id(cases)].resid[LAYER])}, {}
for name, way in ways.items():
    strength_of[name] = min(STRENGTHS, key=lambda s: float(errors_after(choosing, way(choosing, s)).mean()))
    result[name] = errors_after(cases, way(cases, strength_of[name]))
{name: (strength_of.get(name), round(float(values.mean()), 2)) for name, values in result.items()}

# %% [markdown]
# ### Exercise 8.7 · `output_effects` (10 min)
#
# **Why.** Which latent do you steer with? The usual choice is one that is active where the concept occurs. But a latent that notices a concept need not be one that brings it about. [Arad et al. 2025](https://arxiv.org/abs/2505.20063) choose by what a latent does to the **output**. So steer with each candidate once, and look at the next token.
#
# **Write** a function that scores candidates. `logits_clean` `[token]` come from the run without steering, `logits_steered` `[latent token]` from one run for each latent. `wanted` and `unwanted` `[token]` mark tokens. The score of a latent is
#
# the gain of the wanted tokens' total probability − the gain of the unwanted tokens' total probability
#
# where a **gain** is steered minus clean, and a **total** is the sum over the marked tokens. Probabilities come from a softmax over all tokens. (Logits alone do not tell: a latent may raise a wanted token's logit, and another token's still more. Then the wanted token is said less often.)
#
# Raise a `ValueError` that names `wanted` or `unwanted` if it marks no token.


# %%
# exercise: output_effects
def output_effects(
    logits_clean: Float[Tensor, " token"],
    logits_steered: Float[Tensor, "latent token"],
    wanted: Bool[Tensor, " token"],
    unwanted: Bool[Tensor, " token"],
) -> Float[Tensor, " latent"]:
    """Score each latent by its output: probability gained by the wanted tokens minus that gained by the unwanted."""
    ### BEGIN SOLUTION
    if not wanted.any() or not unwanted.any():
        raise ValueError("wanted and unwanted must each mark a token or more")
    gain = logits_steered.softmax(dim=-1) - logits_clean.softmax(dim=-1)  # [latent token]
    return gain[:, wanted].sum(dim=1) - gain[:, unwanted].sum(dim=1)
    ### END SOLUTION


# %%
check(output_effects)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Turn both into probabilities first. Then each token has a gain, and the rest is adding up.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# Both softmaxes go over the last axis, `token`. Steered minus clean is `[latent token]`; `gain[:, wanted]` is `[latent n_wanted]`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# gain = logits_steered.softmax(dim=-1) - logits_clean.softmax(dim=-1)
# ```
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. The scores lie between −2 and 2: at best, all of the probability goes from unwanted tokens to wanted ones.
#
# </details>

# %% [markdown]
# **By output effect.** For each square 16 candidates are switched on, one at a time, in four other histories. Kept are the two that do most for the moves that should appear, and against those that should vanish. (`latents_by_output` does that with `output_effects`.)

# %%
pool = draw_edit_cases(1000, seed=13)
pool_prefixes = cache_prefixes(model, pool.tokens, pool.pos, first_layer=LAYER)
candidates = latents_by_activation(fit_latents, fit_boards, 16)
by_output = latents_by_output(model, sae, LAYER, candidates, pool, pool_prefixes, 2)
name = "2 latents by output effect"
ways[name] = lambda part, s: steer_latents(part, by_output, s)
strength_of[name] = min(STRENGTHS, key=lambda s: float(errors_after(choosing, ways[name](choosing, s)).mean()))
result[name] = errors_after(cases, ways[name](cases, strength_of[name]))

# %% [markdown]
# An edit that hits hard may hit everything. So measure both: the errors, and how far the network's belief about *other* squares moves, by the board probe of chapter 03, fitted on the stream.

# %%
fit_probe = fit_board_probe(fit_acts, fit_boards)


def others_moved(part, resid: Float[Tensor, "case d_model"]) -> Float[Tensor, " case"]:
    """Squares, other than the edited one, whose believed state is another one after the edit."""
    before, after = (fit_probe(r).argmax(dim=-1) for r in (prefixes[id(part)].resid[LAYER], resid))
    moved = before != after
    moved[torch.arange(len(moved)), part.squares] = False
    return moved.sum(dim=1).float()


# %%
side = {name: others_moved(cases, way(cases, strength_of[name])) for name, way in ways.items()}
side["no edit"] = torch.zeros(N_CASES)

# %%
# figure: 08_edits
plots.plot_bars(
    {name: float(values.mean()) for name, values in result.items()},
    intervals={name: bootstrap_interval(values) for name, values in result.items()},
    title="One disc turned inside Othello-GPT: errors in the legal moves, 400 cases",
    y_title="errors (0 is perfect)",
    y_range=(0, 3.6),
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Bars: no edit and a random direction 2.4, square effects .5, probe on latents .5, two latents 1.6, eight 1.9, 32 above 3, two by output effect 2.5](figures/08_edits.png)
#
# </details>

# %%
by_latents = min(float(values.mean()) for name, values in result.items() if " latents by " in name)
options = ("about .5, as with the probe", "about halfway, 1 to 2", "about 2.4: they do nothing")
settle("steering", options[(by_latents > 0.8) + (by_latents > 2.1)])

# %%
{name: (round(float(result[name].mean()), 2), round(float(side[name].mean()), 2)) for name in result}

# %% tags=["solution"]
print({n: (strength_of.get(n), round(float(result[n].mean()), 2), round(float(side[n].mean()), 2)) for n in result})
errors = {name: float(values.mean()) for name, values in result.items()}
assert 2.2 < errors["no edit"] < 2.6 and 2.2 < errors["random direction"] < 2.6
assert 0.4 < errors["square effects"] < 0.58 and 0.42 < errors["probe on latents, decoded"] < 0.65
assert 1.4 < errors["2 latents by activation"] < 1.85 and errors["32 latents by activation"] > 2.6
assert 2.2 < errors["2 latents by output effect"] < 2.8
paired = bootstrap_interval(result["2 latents by activation"] - result["square effects"])
print(paired)
assert paired[0] > 0.7
assert abs(errors["probe on latents, decoded"] - errors["square effects"]) < 0.12

# %% [markdown]
# **Read it.** Without an edit the network makes 2.4 errors on the new board. A probe's direction brings it to .5, and hardly touches other squares. The best edit by latents, two of them at three times their mean, gets to 1.6: **it does something, and much less.** More latents break more than they mend. Choosing by output effect did *not* help here, against what [Arad et al. 2025](https://arxiv.org/abs/2505.20063) find in language models: the latents that raise the right moves in four histories stand for *those moves*, and in another history the same disc opens others.
#
# And the third bar: a regression on latents, decoded, steers as well as one on the stream. If that counts as "the SAE", SAEs steer well. But it uses all 1,024 latents as a change of coordinates. **What did the work is the probe.** Whenever two papers disagree about SAEs, look which of the two they mean.

# %% [markdown]
# **Matched by side effect.** Perhaps latents only need more strength, and the probe wins because its dose was right. So give every method the strength at which it moves as many other squares as one of its rivals, and compare errors at equal damage.

# %%
damage, error = {}, {}
for name in ("square effects", "2 latents by activation", "2 latents by output effect", "random direction"):
    edits = [ways[name](cases, s) for s in STRENGTHS]
    damage[name] = torch.stack([others_moved(cases, edited).mean() for edited in edits])
    error[name] = torch.stack([errors_after(cases, edited).mean() for edited in edits])

# %%
# figure: 08_matched
sae_plots.plot_frontier(
    {
        name: [
            (float(d), float(e), f"strength {s:g}")
            for d, e, s in zip(damage[name], error[name], STRENGTHS, strict=True)
        ]
        for name in damage
    },
    baselines={"no edit": float(result["no edit"].mean())},
    title="Errors against damage, at five strengths",
    x_title="other squares moved",
    y_title="errors",
    y_range=(0, 4),
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Square effects fall steeply at the left edge; two latents by activation go slowly down while damage grows; by output effect and random directions go up](figures/08_matched.png)
#
# </details>

# %% tags=["solution"]
print({n: [(round(float(d), 2), round(float(e), 2)) for d, e in zip(damage[n], error[n], strict=True)] for n in damage})
assert error["square effects"].min() < 0.6 and damage["square effects"].max() < 0.6
assert error["2 latents by activation"].min() > 1.3 and damage["2 latents by activation"][-1] > 0.7

# %% [markdown]
# **Read it.** To the right is damage, upwards are errors. The square effects go down and stay left: fewer errors at next to no damage. Latents pay for each error that they remove with other squares moved, and stop at 1.6. No strength makes the curves meet.

# %% [markdown]
# ## Wrong labels
#
# So far labels were given. In practice some are wrong, and finding them is worth more than another percent of AUROC. [Kantamneni et al. 2025](https://arxiv.org/abs/2502.16681) show that SAE latents can lead to mislabelled data, and that a plain probe leads there as well.

# %% [markdown]
# ### Exercise 8.8 · `find_mislabelled` (15 min)
#
# **Why.** Somebody labelled your examples, and some of it is wrong. You cannot read all of them again, but you can read fifty. A list with the most suspicious labels on top tells you which fifty. The trap is an old one: a probe with more dimensions than examples can learn every label by heart, the wrong ones too. So no label may be judged by a probe that was fitted with it.
#
# **Write** a function that says how suspicious each label is. It is the same for a network's activations and for an SAE's latents.
#
# 1. Deal the examples into `n_folds` folds by lot. The lot depends on `seed` and the number of examples, **not on their labels**: `split_folds(torch.arange(n), n_folds=n_folds, seed=seed)` from `utils.splits` returns a pair of indices, train and test, for each fold.
# 2. Fit `fit_logistic_regression_probe(acts, labels, l2=l2)` on the training part of each fold, and take its logits on the held-out part: `probe(acts)`.
# 3. The suspicion of an example is the **log-loss of the label that it has**, given this logit: $-\log p$ for `True` and $-\log(1 - p)$ for `False`, where $p$ is the sigmoid of the logit and the logarithm is natural.
#
# Return the suspicions in the order of the examples.


# %%
# exercise: find_mislabelled
def find_mislabelled(
    acts: Float[Tensor, "example dim"],
    labels: Bool[Tensor, " example"],
    n_folds: int = 5,
    seed: int = 0,
    *,
    l2: float = 0.1,
) -> Float[Tensor, " example"]:
    """How suspicious each label is: its log-loss under a probe that was fitted on the other folds."""
    ### BEGIN SOLUTION
    suspicion = torch.zeros(len(labels))
    for train, test in split_folds(torch.arange(len(labels)), n_folds=n_folds, seed=seed):
        probe = fit_logistic_regression_probe(acts[train], labels[train], l2=l2)
        logits, given = probe(acts[test]), labels[test].float()
        suspicion[test] = binary_cross_entropy_with_logits(logits, given, reduction="none")
    return suspicion
    ### END SOLUTION


# %%
check(find_mislabelled)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# A loop over folds: fit on the others, judge the ones left out, and put the result where these examples stand.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `train` and `test` are indices, `[n_train]` and `[n_test]`. The logits of the held-out part are `[n_test]`, and go to `suspicion[test]`. `binary_cross_entropy_with_logits(..., reduction="none")` keeps one loss for each example.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# suspicion[test] = binary_cross_entropy_with_logits(probe(acts[test]), labels[test].float(), reduction="none")
# ```
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. One of them gives labels drawn by lot: then nothing can be predicted, and a mean loss far below $\log 2 = 0.69$ would show that a probe has seen the labels it judges.
#
# </details>

# %% [markdown]
# Flip 1 label in 10 of 300 examples, and see whether the flipped ones come out on top.

# %%
predict(
    "mislabelled",
    "Three tasks. In how many do latents find the flipped labels better than the stream does?",
    ("in none", "in one or two", "in all three"),
)

# %%
found = {}
for task in (tasks[3], tasks[18], tasks[21]):
    rows = torch.randperm(len(task.examples.labels), generator=torch.Generator().manual_seed(SEED))[:300]
    right = task.examples.labels[rows]
    given = sae_uses.inject_label_noise(right, 0.1, seed=SEED)
    for kind, values in (("stream", task.examples.acts), ("latents", task.examples.latents)):
        suspicion = find_mislabelled(values[rows], given)
        found[task.name, kind] = float(roc_auc(suspicion, given != right))
{f"{name}, {kind}": round(score, 3) for (name, kind), score in found.items()}

# %%
n_better = sum(found[name, "latents"] > found[name, "stream"] for name, kind in found if kind == "stream")
settle("mislabelled", ("in none", "in one or two", "in one or two", "in all three")[n_better])

# %% tags=["solution"]
print(found, n_better)
pairs = {name: (found[name, "stream"], found[name, "latents"]) for name, _ in found}
assert all(0.78 < dense < 0.97 and dense > sparse - 0.02 for dense, sparse in pairs.values())
assert pairs["positive word"][0] - pairs["positive word"][1] > 0.06

# %% [markdown]
# **Read it.** Flipped labels come out on top, with latents as well. And with the stream they come out higher, for all three tasks: .84 against .75, .91 against .78, .94 against .92. What finds wrong labels is a good probe that has not seen them, and the better probe finds more.

# %% [markdown]
# ## Optional: plant wrong labels
#
# To know whether a search for wrong labels works, you need to know where they are. The cell above took `inject_label_noise` from `utils`. Write it yourself.

# %% [markdown]
# ### Exercise 8.9 · `inject_label_noise` (15 min, optional)
#
# **Why.** Label noise that moves the class balance changes two things at once: a detector could gain from the balance alone. So flip the same share in both classes, and exactly as many as you say.
#
# **Write** a function that flips labels at random places.
#
# 1. Within each class of `labels`, flip exactly `round(share * n_class)` labels, where `n_class` is the number of examples that had this label **before** any flip. `round` is Python's.
# 2. Which ones is decided by lot, with a generator of your own: `torch.Generator().manual_seed(seed)`. Another seed flips others. Leave torch's global random state alone.
# 3. Return a new tensor. `labels` stays as it is. A class may be empty.


# %%
# exercise: inject_label_noise
def inject_label_noise(labels: Bool[Tensor, " example"], share: float, seed: int = 0) -> Bool[Tensor, " example"]:
    """Flip the same share of labels in both classes, at places drawn by lot."""
    ### BEGIN SOLUTION
    generator = torch.Generator().manual_seed(seed)
    noisy = labels.clone()
    for label in (True, False):
        members = (labels == label).nonzero()[:, 0]
        drawn = torch.randperm(len(members), generator=generator)[: round(share * len(members))]
        noisy[members[drawn]] = not label
    return noisy
    ### END SOLUTION


# %%
check(inject_label_noise)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# For each class: list its members, shuffle them, flip the first few.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `(labels == label).nonzero()[:, 0]` holds the places of one class, `[n_class]`. `torch.randperm(n_class, generator=generator)` shuffles places *within* it, so it indexes that list, and not `labels`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# drawn = torch.randperm(len(members), generator=generator)[: round(share * len(members))]
# ```
#
# Then `members[drawn]` are the places to flip.
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
# ## Optional: when you do not know the question
#
# Somebody gives you two piles of texts. *"They differ in something. I do not know what."* There is no label to fit a probe to, but for the pile itself. Here an SAE should be at its best: its latents can be looked at, one by one.

# %% [markdown]
# ### Exercise 8.10 · `rank_latents` (10 min, optional)
#
# **Why.** One pile of texts was treated in some way, the other was not. Which latent tells them apart? Those that are on in many texts of one pile and few of the other are worth reading. How *strongly* a latent is on matters less: one loud text should not outvote a hundred.
#
# **Write** a function that ranks latents. `latents_first` and `latents_second` `[text latent]` are those of the two piles, which may differ in size. A latent is **on** in a text if it is above 0 there.
#
# 1. The difference of a latent is the **absolute** difference between the share of texts in which it is on in the first pile and in the second. Rank by it, the largest first.
# 2. A latent that is on in less than `min_share` of all texts, **both piles taken together**, says little, whatever its difference. These come last, in the order of their indices.
# 3. Return the indices of all latents in this order. Latents of equal difference may come in any order.


# %%
# exercise: rank_latents
def rank_latents(
    latents_first: Float[Tensor, "text latent"],
    latents_second: Float[Tensor, "text latent"],
    min_share: float = 0.01,
) -> Int[Tensor, " latent"]:
    """All latents, those first whose share of texts differs most between two piles; rare ones come last."""
    ### BEGIN SOLUTION
    on_first, on_second = (latents_first > 0).float(), (latents_second > 0).float()
    difference = (on_first.mean(dim=0) - on_second.mean(dim=0)).abs()  # [latent]
    difference[torch.cat([on_first, on_second]).mean(dim=0) < min_share] = -1  # below any difference
    return difference.argsort(descending=True, stable=True)
    ### END SOLUTION


# %%
check(rank_latents)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Turn latents into on and off first. From there, everything is a mean over texts.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `(latents_first > 0).float().mean(dim=0)` is `[latent]`: the share of texts. `torch.cat([first, second])` puts both piles under each other, for the share in all texts.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# return difference.argsort(descending=True, stable=True)
# ```
#
# Before it, give rare latents a difference below 0. `stable=True` keeps equal ones in the order of their indices.
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
# **A planted shortcut.** Pile one holds sentences with nice words, pile two with nasty ones. Somebody has been careless with the data: in 7 of 10 sentences of pile one stands the word *yesterday*, in pile two in 1 of 10. Fit a probe to the piles, and it looks excellent.

# %%
encoder, words_sae = load_model("minilm"), load_sae(SAES["minilm"][0])
sentiment = load_sentiment_words()
generator = torch.Generator().manual_seed(SEED)


def write_pile(nice: bool, share: float, n: int = 300) -> list[str]:
    """Sentences with nice or nasty words, in this share of them with the word yesterday."""
    rows = ((sentiment.valence > 0) == nice).nonzero()[:, 0]
    rows = rows[torch.randperm(len(rows), generator=generator)].tolist()
    words = [sentiment.words[i] for i in rows if not seen_in_training(sentiment.words[i])][:n]
    with_it = (torch.rand(n, generator=generator) < share).tolist()
    return [
        f"They called it {w} yesterday." if late else f"They called it {w}."
        for w, late in zip(words, with_it, strict=True)
    ]


piles = [write_pile(True, 0.7), write_pile(False, 0.1)]
piles[0][:3], piles[1][:3]


# %%
def read_pieces(texts: list[str]) -> tuple[Tensor, Tensor, Tensor, list[list[str]]]:
    """Stream and latents of every piece [text pos ...], mask of word pieces, and the pieces themselves."""
    tokens, attention_mask = tokenize(encoder, texts)
    resid = cache_resid_post(encoder, tokens, attention_mask, [SAES["minilm"][1]])[0]
    last = attention_mask.sum(dim=1, keepdim=True) - 1
    place = torch.arange(tokens.shape[1])
    mask = (place > 0) & (place < last)
    pieces = [encoder.tokenizer.convert_ids_to_tokens(row) for row in tokens.tolist()]
    return resid, words_sae.encode(resid), mask, pieces


read = [read_pieces(pile) for pile in piles]
on = [(latents * mask[..., None]).amax(dim=1) for _, latents, mask, _ in read]  # [text latent]
pooled = [(resid * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True) for resid, _, mask, _ in read]
order = rank_latents(on[0], on[1])


# %%
def strongest_pieces(scores: list[Float[Tensor, "text pos"]], n: int = 5) -> list[str]:
    """The word pieces with the highest mean score over both piles, of those that occur at least five times."""
    total, count = {}, {}
    for values, (_, _, mask, pieces) in zip(scores, read, strict=True):
        for row, line in enumerate(pieces):
            for pos in mask[row].nonzero()[:, 0].tolist():
                total[line[pos]] = total.get(line[pos], 0.0) + float(values[row, pos])
                count[line[pos]] = count.get(line[pos], 0) + 1
    common = [piece for piece in total if count[piece] >= 5]
    return sorted(common, key=lambda piece: -total[piece] / count[piece])[:n]


# %%
predict(
    "shortcut",
    "Who names the word yesterday: the three first latents, or the words on which the difference of means is largest?",
    ("only the latents", "only the difference of means", "both", "neither"),
)

# %%
for latent in order[:3].tolist():
    shares = [float((part[:, latent] > 0).float().mean()) for part in on]
    pieces = strongest_pieces([latents[..., latent] for _, latents, _, _ in read], n=3)
    print(f"latent {latent}: on in {shares[0]:.0%} and {shares[1]:.0%} of the texts; strongest on {pieces}")
difference = pooled[0].mean(dim=0) - pooled[1].mean(dim=0)
named_by_means = strongest_pieces([resid @ difference for resid, _, _, _ in read])
print("difference of means, strongest on", named_by_means)

# %%
first_pieces = [strongest_pieces([z[..., i] for _, z, _, _ in read], n=1)[0] for i in order[:3].tolist()]
outcomes = {(1, 1): "both", (1, 0): "only the latents", (0, 1): "only the difference of means", (0, 0): "neither"}
settle("shortcut", outcomes["yesterday" in first_pieces, named_by_means[0] == "yesterday"])

# %% tags=["solution"]
print(first_pieces)
assert first_pieces == ["yesterday"] * 3 and named_by_means[0] == "yesterday"

# %% [markdown]
# **Read it.** The first three latents of 2,048 all say *yesterday*. Nobody had told them. That is what SAEs are praised for, and it works here, with an SAE trained in 20 minutes.
#
# The last line is the control that is often left out: **the difference of the two means, looked at in the same way, says *yesterday*, too.** The rest of its list are endings of words, which you would have to explain away; the latents name one thing each. So the gain is in reading, not in finding. Where a difference has several causes, latents list them one by one, and a single direction mixes them.

# %% [markdown]
# **Try it.** The latents of some pieces of both piles. Start with the one that is nearest to the difference of means.

# %%
shown = [(row, pos) for row, mask in enumerate(read[0][2][:120]) for pos in mask.nonzero()[:, 0].tolist()]
view = LatentView(
    latents=torch.stack([read[0][1][row, pos] for row, pos in shown]),
    texts=[[piece for piece in read[0][3][row] if piece != "[PAD]"] for row, _ in shown],
    positions=[pos for _, pos in shown],
    cosines={"difference of means": cosine_similarity(words_sae.W_dec, difference[None], dim=1)},
)
explore_latents({"MiniLM, layer 2": view})

# %% [markdown]
# ## Your recommendation
#
# This cell makes a table of **your own** results. What it recommends hangs on one number: how large must a gain be to pay for an SAE? Set it to what it is worth to you. Nobody checks it. It is what you would show to somebody who has to decide.

# %%
WORTH_IT = 0.01  # gain in AUROC that would pay for training an SAE
recommendation = {
    "labels, as many as you like": intervals["standard"],
    "24 labels": intervals["scarce"],
    "1 positive in 20": intervals["imbalanced"],
    "3 labels in 10 wrong": intervals["noisy"],
    "other data than you fitted on": intervals["shifted"],
}

# %%
print(f"{'situation':32} gain from SAE probes, 95 %      deploy")
for situation, (mean, low, high) in recommendation.items():
    verdict = "add SAE probes" if low > WORTH_IT else "dense probes alone" if high < WORTH_IT else "not decided"
    print(f"{situation:32} {mean:+.3f} [{low:+.3f}, {high:+.3f}]    {verdict}")

# %%
steered = {name: float(values.mean()) for name, values in result.items()}
print(
    f"{'turn a disc':32} errors {steered['square effects']:.2f} by a probe's direction, "
    f"{min(v for n, v in steered.items() if 'latents by' in n):.2f} by latents"
)
for (name, kind), score in found.items():
    print(f"{'find wrong labels':32} {name}, {kind}: AUROC {score:.2f}")

# %% [markdown]
# **Question.** Write two sentences for a colleague who asks whether to train an SAE for their project. What would you need to know first?

# %% [markdown] tags=["solution"]
# **Our answer.** *"If you have labels, or can get a hundred, fit a probe on the stream, choose its penalty on validation, and spend the rest of the week on more labels and on a shifted test set. If you do not know what to look for, an SAE gives you a list of candidates that can be read one by one; then check each with a probe, and show the difference of means beside it."* First to know: is there a label; what should the detector survive; who will read its latents, and against what.

# %% [markdown]
# ## How well did you know?
#
# Through the whole course you wrote down predictions, and how sure you were. Here is **your own calibration curve**: of the predictions of which you said 80 %, how many came true?

# %%
calibration()

# %% [markdown]
# ## What you have, and what you do not
#
# **The evidence supports**: on 27 questions about three small networks, adding probes on one SAE's latents to a toolbox of probes on the stream gains nothing on average, in five situations, the same over three draws of examples. Latents steer Othello's board worse than a probe's direction, at every strength. They find wrong labels, and a planted shortcut; so do dense baselines.
#
# **It does not support**: "SAEs are useless." These are three small SAEs, of 512 to 2,048 latents, trained for minutes, one for each network. The intervals are about other *tasks*, not about other networks or other SAEs. And the tasks are questions that somebody could ask. An SAE is for those that nobody has asked yet, and no table of AUROCs measures that.
#
# **Open questions.** Does a larger SAE, or one trained on the task's own data, close the gap? Does the choice by output effect fail here because Othello's moves are facts about one position? How would you score "found something that nobody had asked for"? [Peng et al. 2025](https://arxiv.org/abs/2506.23845) argue that this is where SAEs should be judged.

# %% [markdown]
# **Question.** Item 1 of [the checklist](../chapters/checklist.md) asks: *what do training and test examples share?* Here something else has been trained, too: the SAEs. What do they share with the test examples, and whom would that favour?

# %% [markdown] tags=["solution"]
# **Our answer.** Facts-GPT's SAE has seen every name of that world, MiniLM's half of the names in the tables but none in the tasks, and Othello-GPT's other games than these. No SAE saw a label. Where names are shared, it favours the SAE: its latents were fitted to the very vectors that a probe has to generalise to. So on the Facts-GPT tasks its side had an advantage, and still gained nothing on average.

# %% tags=["solution"]
on_facts = torch.tensor([task.model == "facts_gpt_match" for task in tasks])
assert all(abs(float(values[on_facts].mean())) < 0.005 for values in gains.values())

# %% [markdown]
# ## At scale
#
# With a network connection (`HF_HUB_OFFLINE=0 make lab`), this cell fetches **GPT-2**, 0.5 GB, and a published SAE of its layer 7 with 24,576 latents, and asks the first question of this chapter about nice and nasty words. Without a connection it says so. Graphics cards, clusters and more data than memory holds are on [a page of their own](../chapters/at_scale.md).

# %%
larger = load_if_possible("openai-community/gpt2")
published = load_sae_if_possible("jbloom/GPT2-Small-SAEs-Reformatted/blocks.8.hook_resid_pre") if larger else None
if published is not None:
    layer = min(7, larger.cfg.n_layers - 1)
    nice, nasty = (
        ["good", "great", "happy", "kind", "sweet", "lovely", "nice", "bright"],
        ["bad", "awful", "sad", "cruel", "bitter", "nasty", "ugly", "grim"],
    )
    texts = [f" {word}" for pair in zip(nice, nasty, strict=True) for word in pair]
    labels = torch.tensor([True, False] * len(nice))
    larger_acts = torch.stack(
        [cache_resid_post(larger, *tokenize(larger, [text]), [layer])[0, 0, -1] for text in texts]
    )
    larger_acts = larger_acts.float().cpu()
    larger_acts = larger_acts - larger_acts.mean(dim=1, keepdim=True)  # as this SAE was trained
    latents = published.encode(larger_acts)
    half = len(labels) // 2
    chosen_few = select_latents(latents[:half], labels[:half], 4)
    sparse = fit_k_sparse_probe(latents[:half], labels[:half], chosen_few)
    dense = fit_logistic_regression_probe(larger_acts[:half], labels[:half])
    print(
        f"AUROC on {half} other words: 4 latents {roc_auc(sparse(latents[half:]), labels[half:]):.2f}, "
        f"stream {roc_auc(dense(larger_acts[half:]), labels[half:]):.2f}"
    )

# %% [markdown]
# **This is the end of the course.** You have read networks, mistrusted what you read, edited it, been lied to, and compared two ways of finding out. The [checklist](../chapters/checklist.md) holds what to ask of any claim about a probe, others' and your own.

# %%
progress()
