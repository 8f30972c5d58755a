# %% [markdown]
# # 02 · Trusting probes: is it the model or the probe?
#
# Chapter 01 ended with a riddle and a suspicion. A network that had learned nothing "knew" colours. And a probe for *who is the agent* may have read something much simpler. No better score can settle such questions, because they are not about the score. They are about what else could have produced it.
#
# This chapter is about that *else*. After it you can
#
# - split data so that a probe cannot win by remembering words;
# - put an honest interval around a score, and around a difference of scores;
# - measure how much of an accuracy the probe has learned by heart;
# - erase a feature, and say how far to trust the erasure;
# - tell the direction that *reads* a feature from the direction that *writes* it;
# - say what "decodable" leaves open: whether the network uses it.
#
# {{exercises}}
#
# ![Four lines fall from a random split to a split without shared words; two of them fall to zero](figures/02_slopes.png)
#
# *R² on unseen colour names. Left: a random split. Right: no test word occurs in training. You will draw it after Exercise 2.1.*

# %% [markdown]
# ## Where this chapter stands
#
# ```text
# DATASETS ── texts, labels ──────────┐
# models ──── TransformerBridge ──────┤
#   ┌─────────────────────────────────┘
#   └─► activations ─► probes ─┐
#       resid_post     probe   │
#   ┌──────────────────────────┘
#   ├─► METRICS ── score, interval, control ─► plots
#   └─► interventions ─► models (run again) ─► metrics
# ```
#
# Capitals mark where you work: at the two ends, where the data are split and where the score is judged. The functions of chapter 01 now come from `utils`.
#
# **Read before or after:** [Hewitt & Liang 2019](https://arxiv.org/abs/1909.03368), sections 1 to 3, on control tasks. Then [Ravichander et al. 2021](https://arxiv.org/abs/2005.00719), the introduction: networks hold properties that they do not use.
#
# **The objects, and their shapes**
#
# | name | shape | what it is |
# |---|---|---|
# | `acts` | `[layer example d_model]` or `[example d_model]` | activations, one vector for each layer and example |
# | `labels` | `[example]` | `True` for the positive class |
# | `control` | `[example]` | labels that mean nothing, with the same share of `True` |
# | `groups` | `[example]` | examples with the same number belong together |
# | `eraser.matrix`, `eraser.bias` | `[d_model d_model]`, `[d_model]` | erased acts are `acts @ matrix.T + bias` |

# %% [markdown]
# **Setup.** Run this cell first, whichever part you want to work on.

# %%
# {{setup}}

# %%
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils import plots
from utils.activations import cache_pooled, cache_resid_post
from utils.course.check import check, progress, start_chapter
from utils.course.predict import predict, settle
from utils.datasets import bag_of_words, load_agent_sentences, load_colours, load_sentiment_words
from utils.interventions import LinearEraser
from utils.metrics import accuracy, r2
from utils.models import load_model
from utils.probes import fit_logistic_regression_probe, fit_mass_mean_probe, fit_ridge_probe
from utils.splits import split_groups, word_stems
from utils.tokens import tokenize

SEED = 0
LAYERS = ["embed", 0, 1, 2, 3, 4, 5]
start_chapter("02_trusting_probes")

# %%
model, untrained = load_model("minilm"), load_model("minilm_untrained")

# %% [markdown]
# ## The suspicion: who, or what comes first?
#
# In chapter 01 a probe at layer 2 told the agent of a sentence from the one it happens to, for nouns it had never seen. In *the dog chased the doctor* the agent is also **the first noun**. In *the doctor was chased by the dog* it is the second.
#
# So fit a probe on active sentences alone. On other active sentences both readings are right. On passive ones they disagree.

# %%
agents = load_agent_sentences()
acts_agents = cache_pooled(model, agents.sentences, LAYERS)  # [layer sentence d_model]
is_active = torch.tensor([voice == "active" for voice in agents.voices])

# %%
predict(
    "passive",
    "The probe is fitted on active sentences and right for 95 % of other active ones. On passive sentences?",
    ("95 %", "75 %", "50 %", "20 %"),
)


# %%
def active_and_passive(layer_acts: Float[Tensor, "sentence d_model"], seed: int) -> tuple[float, float]:
    """Fit on active sentences; accuracy on active and on passive ones, both with new nouns."""
    train, test = split_groups(agents.groups, seed=seed)
    train = train[is_active[train]]
    probe = fit_ridge_probe(layer_acts[train], agents.labels[train].float(), l2=30.0)
    right = ((probe(layer_acts) > 0.5) == agents.labels)[test].float()
    return float(right[is_active[test]].mean()), float(right[~is_active[test]].mean())


by_voice = torch.tensor([[active_and_passive(acts, seed) for acts in acts_agents] for seed in range(10)])
by_voice = by_voice.permute(2, 0, 1)  # [voice split layer]

# %%
# figure: 02_first_noun
plots.plot_lines_by_layer(
    {"active, like the training sentences": by_voice[0].mean(dim=0), "passive": by_voice[1].mean(dim=0)},
    intervals={
        name: torch.stack([curves.amin(dim=0), curves.amax(dim=0)], dim=1)
        for name, curves in zip(("active, like the training sentences", "passive"), by_voice, strict=True)
    },
    baselines={"a coin toss": 0.5},
    layers=LAYERS,
    title="Who is the agent? Fitted on active sentences, mean and range of 10 splits",
    y_title="accuracy",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Two lines: active rises to 0.95 at layer 2, passive falls to 0.2 at the same layer](figures/02_first_noun.png)
#
# </details>

# %%
layer_2 = by_voice.mean(dim=1)[:, LAYERS.index(2)]  # [voice]
settle("passive", min(("95 %", "75 %", "50 %", "20 %"), key=lambda text: abs(int(text[:2]) / 100 - layer_2[1])))

# %% tags=["solution"]
assert 0.93 < layer_2[0] < 0.97 and 0.16 < layer_2[1] < 0.23
assert abs(by_voice[:, :, 0].mean() - 0.5) < 0.05  # embed: no order, no answer
_, test = split_groups(agents.groups, seed=SEED)
assert len(test) == 768 and len(agents.groups[test].unique()) == 4

# %% [markdown]
# **Read it.** 0.95 on active sentences, 0.19 on passive ones. That is not "no idea", which would be one half. It is a clear idea of the wrong thing: *the first noun*. Where the two questions disagree, the probe answers the other one, four times out of five.
#
# All the care of chapter 01 was in place: new nouns, a split by groups, a baseline at 0.50 by construction. It did not help, because in the training sentences two properties always went together, and **a score cannot tell which of the two was read**. Only data in which they come apart can.

# %% [markdown]
# **Question.** The probe of chapter 01 was fitted on both voices together and reached 0.78. Did it read the first noun as well?

# %% [markdown] tags=["solution"]
# **Our answer.** No. With both voices in the data, "first noun" is right for all active and wrong for all passive sentences: one half. 0.78 needs something that goes with the agent in both voices. It may still be something simpler than *agent*: for example a mark on the noun that follows *by*, together with one on the noun before an active verb. To tell these apart, you need sentences in which they come apart.

# %% [markdown]
# ## The riddle: colours without knowledge
#
# Names of colours share words: *dark green*, *pale green*, *leaf green*. In a random split, most words of the test names have been seen. The obvious cure is to keep names that share a word on the same side. Try it:

# %%
colours = load_colours()
words = [set(name.replace("/", " ").split()) for name in colours.names]  # [name]
group = set(words[colours.names.index("green")])
while grown := {word for name in words if name & group for word in name} - group:
    group |= grown
print(sum(bool(name & group) for name in words), "of", len(words), "names hang together with green")

# %% tags=["solution"]
assert sum(bool(name & group) for name in words) == 822 and len(words) == 943

# %% [markdown]
# *Green* leads to *dark green*, that leads to *dark red*, and so on: 822 of 943 names form **one** group. They cannot be split between two sides. So split the *words* instead, and pay with names:
#
# ```text
#   training words   dark  leaf  red  rose ...
#   test words       green  mint ...
#
#   leaf red    all words in training     ─►  training name
#   mint green  all words in test         ─►  test name
#   dark green  one of each               ─►  left out
# ```

# %% [markdown]
# ### Exercise 2.1 · `split_by_vocabulary` (15 min)
#
# **Why.** A probe that has seen a word during training can remember it, in a random network too. If you want to know what the *network* knows about a word, the probe must not have met it. This holds wherever examples are made of shared parts: words, entities, templates, people.
#
# **Write** a function that splits the words, and from them the names.
#
# 1. Collect all different words, **sorted**. (The order of a Python `set` of strings changes from one start of Python to the next. Without sorting, the same seed gives another split tomorrow.)
# 2. Shuffle them with a generator of your own: `torch.randperm(n, generator=torch.Generator().manual_seed(seed))`. The first `round(test_fraction * n)` of the shuffled words are the test words.
# 3. Return the numbers of the names without any test word, and of the names with test words only, both ascending.


# %%
# exercise: split_by_vocabulary
def split_by_vocabulary(
    words: list[set[str]], test_fraction: float, seed: int
) -> tuple[Int[Tensor, " train"], Int[Tensor, " test"]]:
    """Indices of names without any test word, and of names with test words only; names that mix are left out."""
    ### BEGIN SOLUTION
    vocabulary = sorted(set().union(*words))
    order = torch.randperm(len(vocabulary), generator=torch.Generator().manual_seed(seed))
    test_words = {vocabulary[i] for i in order[: round(test_fraction * len(vocabulary))]}
    train = [i for i, name in enumerate(words) if not name & test_words]
    test = [i for i, name in enumerate(words) if name <= test_words]
    return torch.tensor(train), torch.tensor(test)
    ### END SOLUTION


# %%
check(split_by_vocabulary)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Sets know the two questions: `name & test_words` are the shared words, and `name <= test_words` asks whether all words of the name are test words.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `set().union(*words)` is the set of all words. From the shuffled numbers you need a `set` of strings. The results are tensors of integers, `[train]` and `[test]`, and together they are shorter than `words`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# test = [i for i, name in enumerate(words) if name <= test_words]
# ```
#
# Turn it into a tensor at the end: `torch.tensor(test)`.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. With the colours, 3 words in 10 and seed 0 you get 522 training names and 112 test names.
#
# </details>

# %% [markdown]
# **Look at it.** The same comparison as in chapter 01, on ten splits of either kind. The setting `l2` is chosen inside the training names, **with the same kind of split**: a validation set that shares words would vote for the probe that remembers best.

# %%
acts_colours = cache_pooled(model, colours.names, LAYERS)
knowledge = {
    "untrained twin, layer 2": cache_pooled(untrained, colours.names, [2])[0],
    "trained, embed": acts_colours[0],
    "trained, layer 5": acts_colours[-1],
}
L2_GRID = [1.0, 10.0, 100.0]


def random_split(words, test_fraction, seed) -> tuple[Tensor, Tensor]:
    return split_groups([" ".join(sorted(name)) for name in words], test_fraction=test_fraction, seed=seed)


def score_colours(acts: Float[Tensor, "name d_model"], split, seed: int) -> float:
    """R² on test names, with l2 chosen inside the training names by the same kind of split."""
    train, test = split(words, 0.3, seed)
    fit, validation = (train[part] for part in split([words[i] for i in train], 0.2, seed))

    def score(fit, test, l2) -> float:
        return float(r2(fit_ridge_probe(acts[fit], colours.rgb[fit], l2=l2)(acts[test]), colours.rgb[test]).mean())

    return score(train, test, max(L2_GRID, key=lambda l2: score(fit, validation, l2)))


# %%
def bag_for(split, seed: int) -> Float[Tensor, "name word"]:
    """The bag of words; its columns are the words of the training names."""
    vocabulary = sorted(set().union(*(words[i] for i in split(words, 0.3, seed)[0])))
    return bag_of_words([name.replace("/", " ") for name in colours.names], vocabulary)


# %%
predict(
    "unseen_words",
    "On one random split: bag of words .62, untrained twin .56, embed .63. Which are at zero when no word is shared?",
    ("none", "bag of words only", "bag of words and untrained twin", "all three"),
)

# %%
splits = {"random split": random_split, "no shared word": split_by_vocabulary}
slopes = {"bag of words": [[score_colours(bag_for(f, s), f, s) for s in range(10)] for f in splits.values()]}
for name, acts in knowledge.items():
    slopes[name] = [[score_colours(acts, f, seed) for seed in range(10)] for f in splits.values()]
slopes = {name: torch.tensor(rows) for name, rows in slopes.items()}  # [kind split] each

# %%
# figure: 02_slopes
plots.plot_slopes(
    {name: rows.mean(dim=1) for name, rows in slopes.items()},
    intervals={name: torch.stack([rows.amin(dim=1), rows.amax(dim=1)], dim=1) for name, rows in slopes.items()},
    steps=tuple(splits),
    title="Colours of unseen names, mean and range of 10 splits",
    y_title="R²",
    y_range=(-0.3, 0.8),
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Four lines fall from a random split to a split without shared words; two of them fall to zero](figures/02_slopes.png)
#
# </details>

# %%
no_shared = {name: float(rows[1].mean()) for name, rows in slopes.items()}
at_zero = [name for name in ("bag of words", "untrained twin, layer 2", "trained, embed") if no_shared[name] < 0.05]
outcomes = {0: "none", 1: "bag of words only", 2: "bag of words and untrained twin", 3: "all three"}
settle("unseen_words", outcomes[len(at_zero)])

# %% tags=["solution"]
print({name: [round(x, 3) for x in rows.mean(dim=1).tolist()] for name, rows in slopes.items()})
assert all(
    (slopes[name][1] > slopes["untrained twin, layer 2"][1]).all() for name in ("trained, embed", "trained, layer 5")
)
assert -0.10 < no_shared["bag of words"] < 0 and -0.10 < no_shared["untrained twin, layer 2"] < 0
assert min(float(rows[1].min()) for rows in slopes.values()) > -0.25
assert 0.15 < no_shared["trained, embed"] < 0.21 and 0.20 < no_shared["trained, layer 5"] < 0.26
assert 0.60 < slopes["bag of words"][0].mean() < 0.66 and 0.52 < slopes["untrained twin, layer 2"][0].mean() < 0.58
assert 0.60 < slopes["trained, embed"][0].mean() < 0.66
train, test = split_by_vocabulary(words, 0.3, 0)
assert (len(train), len(test)) == (522, 112)

# %% [markdown]
# **Read it.** The riddle is solved. The bag of words and the untrained twin fall to nothing: all they had was memory of words. The trained network keeps about 0.2, more than the twin in each of the ten splits. That part is knowledge about words that the *probe* has never met: MiniLM has learned, from text alone, that *mint* and *green* are alike.
#
# 0.62 on the random split was a true number. It answered the question "can colours be predicted from MiniLM's activations?" It did not answer "does MiniLM know colours?" **A split is part of the question.**

# %% [markdown]
# ## How sure are you?
#
# Layer 5 stands at 0.22 and `embed` at 0.18. Is layer 5 better? Scores move when other test examples are drawn. The **bootstrap** asks how much, without drawing new ones: it draws from the test examples you have, with replacement, again and again, and watches the score.
#
# ```text
#   test examples   a a a  b b b  c c c    three groups
#   one resample    b b b  b b b  a a a    whole groups are drawn,
#   another         c c c  a a a  c c c    with replacement
# ```
#
# Its trap is called **dependence**. The agent sentences have 768 test examples, but only four groups of nouns. If the probe fails on *otter*, it fails on all of its sentences together. Whoever draws single sentences believes in 768 independent witnesses.

# %% [markdown]
# ### Exercise 2.2 · `bootstrap_interval` (15 min)
#
# **Why.** Two curves, one above the other, are no result until you know how far they move by chance. And the interval is the easiest thing in the world to get too narrow.
#
# **Write** a function that draws whole groups. `values` holds one number for each example: whether a prediction was right, or a difference of two probes on that example.
#
# 1. For each resample, draw as many groups as there are, with replacement.
# 2. The mean of a resample is the sum of the values of all drawn groups, divided by the number of their examples. Groups may differ in size.
# 3. Do that `n_resamples` times, and return the 2.5 % and the 97.5 % quantile.
#
# Draw with a generator of your own, seeded with `seed`.


# %%
# exercise: bootstrap_interval
def bootstrap_interval(
    values: Float[Tensor, " example"], groups: Int[Tensor, " example"], n_resamples: int, seed: int
) -> tuple[float, float]:
    """95 % interval of the mean, when whole groups are drawn with replacement."""
    ### BEGIN SOLUTION
    _, group_of = groups.unique(return_inverse=True)  # 0, 1, ... without gaps
    n_groups = int(group_of.max()) + 1
    total = torch.zeros(n_groups).index_add_(0, group_of, values)  # [group]
    count = torch.bincount(group_of).float()
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(n_groups, (n_resamples, n_groups), generator=generator)
    means = total[drawn].sum(dim=1) / count[drawn].sum(dim=1)  # [resample]
    low, high = torch.quantile(means, torch.tensor([0.025, 0.975])).tolist()
    return low, high
    ### END SOLUTION


# %%
check(bootstrap_interval)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# You need two numbers for each group: the sum of its values, and how many they are. A resample is a list of group numbers. Look up both numbers for each, add up, divide.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `torch.randint(n_groups, (n_resamples, n_groups), generator=generator)` is `[resample group]`. If `total` is `[group]`, then `total[drawn]` is `[resample group]`, and its sum over `dim=1` is `[resample]`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# means = total[drawn].sum(dim=1) / count[drawn].sum(dim=1)
# ```
#
# `groups.unique(return_inverse=True)[1]` numbers the groups 0, 1, 2, ...
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. In one of them all examples of a group are alike, and the interval must be as wide as that of the groups.
#
# </details>

# %% [markdown]
# **Look at it.** How often does a 95 % interval hold the truth? Here the truth is known: each group of 40 examples has its own chance of success, around 0.7. If the interval is honest, about 95 of 100 repetitions hold 0.7. *Predict first:* how many do if single examples are drawn?

# %%
generator = torch.Generator().manual_seed(SEED)
groups = torch.arange(30).repeat_interleave(40)  # 30 groups of 40 examples
single = torch.arange(len(groups))  # every example a group of its own
held = {"examples drawn one by one": 0, "whole groups drawn": 0}
for repetition in range(100):
    chance = (0.7 + 0.1 * torch.randn(30, generator=generator)).clamp(0, 1)  # [group]
    values = (torch.rand(len(groups), generator=generator) < chance[groups]).float()
    for name, by in zip(held, (single, groups), strict=True):
        low, high = bootstrap_interval(values, by, 300, repetition)
        held[name] += low <= 0.7 <= high
{name: f"{count / 100:.0%} of the intervals hold the truth" for name, count in held.items()}

# %% tags=["solution"]
assert 0.6 < held["examples drawn one by one"] / 100 < 0.85 and 0.88 <= held["whole groups drawn"] / 100 <= 0.99

# %% [markdown]
# **Pairs.** Two probes on the same test examples fail on the same hard ones. So do not compare two intervals: take the difference **on each example**, and put one interval around its mean. Is layer 2 better than `embed` for sentiment?

# %%
sentiment = load_sentiment_words()
is_positive = sentiment.valence > 0
acts_sentiment = cache_pooled(model, sentiment.words, ["embed", 2])
stems = word_stems(sentiment.words)
train, test = split_groups(stems, seed=SEED)
stem_numbers = {stem: number for number, stem in enumerate(sorted(set(stems)))}
test_stems = torch.tensor([stem_numbers[stems[i]] for i in test])

# %%
right = {}  # name -> [test word]
for name, acts in zip(("embed", "layer 2"), acts_sentiment, strict=True):
    probe = fit_mass_mean_probe(acts[train], is_positive[train])
    right[name] = ((probe(acts[test]) > 0) == is_positive[test]).float()
    print(name, [round(end, 3) for end in bootstrap_interval(right[name], test_stems, 1000, SEED)])
gain = right["layer 2"] - right["embed"]  # 1, 0 or -1 for each test word
print("difference", [round(end, 3) for end in bootstrap_interval(gain, test_stems, 1000, SEED)])

# %% tags=["solution"]
low, high = bootstrap_interval(gain, test_stems, 1000, SEED)
ends = {name: bootstrap_interval(values, test_stems, 1000, SEED) for name, values in right.items()}
assert ends["embed"][1] > ends["layer 2"][0]  # the two intervals overlap
assert 0 < low < 0.015 and 0.03 < high < 0.05

# %% [markdown]
# **Read it.** The two intervals overlap, and yet the difference is above zero: between half a point and four points. Both are true. The intervals of the scores contain how hard these test words are, which is the same for both probes. In the difference it cancels.
#
# One more thing that no bootstrap covers: this is **one** split and one training of the model. Another split gives other numbers. Where that matters, draw several splits, as in the figures above.

# %% [markdown]
# ## How many lies can a linear probe learn?
#
# A probe in 384 dimensions is flexible. How flexible? Give it labels that mean nothing, tossed with a coin, and see how many of them it gets right *on the examples it was fitted to*.
#
# In 1965 [Cover](https://doi.org/10.1109/PGEC.1965.264137) counted: `n` points in general position in `d` dimensions can be cut apart by a plane, for **almost every** labelling, as long as `n` is well below `2d`. Beyond, for almost none.

# %%
predict(
    "lies",
    "384 random labels for 384 random points in 384 dimensions: how many does a linear probe get right?",
    ("about 50 %", "about 75 %", "all of them"),
)

# %%
D_COVER = 100
generator = torch.Generator().manual_seed(SEED)
ratios = torch.tensor([0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0])
learned = []  # accuracy on the coin tosses: [ratio repetition]
for n in (ratios * D_COVER).int().tolist():
    points = torch.randn(n, D_COVER, generator=generator)
    coin = torch.rand(n, 20, generator=generator) < 0.5  # 20 repetitions at once
    probe = fit_logistic_regression_probe(points, coin, l2=1e-4)
    learned.append(accuracy(probe(points), coin))
learned = torch.stack(learned)

# %%
# figure: 02_cover
plots.plot_lines(
    {"coin tosses that a linear probe learns by heart": learned.mean(dim=1)},
    intervals={"coin tosses that a linear probe learns by heart": torch.stack(torch.aminmax(learned, dim=1), dim=1)},
    x=ratios,
    x_title="examples / dimensions",
    y_title="accuracy in training",
    baselines={"a coin toss": 0.5},
    marks={"Cover's limit, n = 2d": 2.0},
    title=f"How many lies can a linear probe learn? d = {D_COVER}, mean and range of 20 draws",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![A line that stays at 1 up to about two examples per dimension and then falls slowly](figures/02_cover.png)
#
# </details>

# %%
at_1 = float(learned[1].mean())  # one example for each dimension
settle("lies", "all of them" if at_1 > 0.99 else "about 75 %" if at_1 > 0.6 else "about 50 %")

# %% tags=["solution"]
by_ratio = learned.mean(dim=1).tolist()
print([round(share, 3) for share in by_ratio])
assert by_ratio[0] > 0.999 and by_ratio[1] > 0.999 and by_ratio[2] > 0.97
assert 0.88 < by_ratio[3] < 0.96 and 0.60 < by_ratio[-1] < 0.67

# %% [markdown]
# **Read it.** Up to nearly two examples for each dimension, a linear probe learns *every* lie. With ten it still gets well over half of them, 0.63. So accuracy on training examples says nothing, and you knew that.
#
# But in many probing tasks the test set shares something with training. Words recur: *green* in a thousand sentences. Then **learning by heart carries over to the test set**, and a held-out split does not notice. For these tasks [Hewitt & Liang 2019](https://arxiv.org/abs/1909.03368) invented the **control task**: the same words, the same split, but each word has a label drawn by lot. Whatever accuracy a probe reaches there, it has learned by heart. What the real task has on top is called **selectivity**.

# %% [markdown]
# ### Exercise 2.3 · `control_labels` (10 min)
#
# **Why.** A control must differ from the task in one thing only: its labels mean nothing. If the same word gets different labels at different places, nothing could learn it, and every probe would look wonderfully selective. If the classes have another size, the two accuracies cannot be compared.
#
# **Write** a function that gives each **word** a label by lot.
#
# 1. Each different word has one true label. Collect the words, **sorted**, and their labels.
# 2. Shuffle the labels among the words, with a generator of your own. So the number of `True` words stays the same.
# 3. Give each example the new label of its word.


# %%
# exercise: control_labels
def control_labels(words: list[str], labels: Bool[Tensor, " example"], seed: int) -> Bool[Tensor, " example"]:
    """Labels that mean nothing: those of the words, shuffled among the words; the same for all examples of a word."""
    ### BEGIN SOLUTION
    label_of = dict(zip(words, labels.tolist(), strict=True))
    types = sorted(label_of)
    order = torch.randperm(len(types), generator=torch.Generator().manual_seed(seed)).tolist()
    lot = {word: label_of[types[other]] for word, other in zip(types, order, strict=True)}
    return torch.tensor([lot[word] for word in words])
    ### END SOLUTION


# %%
check(control_labels)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# A dictionary from word to label, a shuffled one, and a look-up for each example.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `dict(zip(words, labels.tolist()))` keeps one label for each word. If there are `n` different words, `torch.randperm(n, generator=...)` says whose label each one gets. The result is `[example]`, of dtype `bool`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# lot = {word: label_of[types[other]] for word, other in zip(types, order)}
# ```
#
# Here `types` are the sorted words and `order` the shuffled numbers.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. One counts: as many words are `True` as before, exactly.
#
# </details>

# %% [markdown]
# ### Exercise 2.4 · `selectivity` (10 min)
#
# **Why.** One number that says how much of an accuracy is the task, and how much is the probe's memory.
#
# **Write** a function that fits two logistic regression probes, one to the task and one to the control, with the same `l2`, both on the examples `train`. Return the accuracy on the task minus that on the control, both on the examples `test`. `fit_logistic_regression_probe(acts, labels, l2=...)` is there; it takes one target or several.


# %%
# exercise: selectivity
def selectivity(
    acts: Float[Tensor, "example d_model"],
    labels: Bool[Tensor, " example"],
    control: Bool[Tensor, " example"],
    train: Int[Tensor, " train"],
    test: Int[Tensor, " test"],
    l2: float,
) -> float:
    """Accuracy on the task minus accuracy on the control task, both on the test examples."""
    ### BEGIN SOLUTION
    both = torch.stack([labels, control], dim=1)  # [example 2]
    probe = fit_logistic_regression_probe(acts[train], both[train], l2=l2)
    right = ((probe(acts[test]) > 0) == both[test]).float().mean(dim=0)  # [2]
    return float(right[0] - right[1])
    ### END SOLUTION


# %%
check(selectivity)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Twice the same three lines: fit on `train`, predict `test`, compare. Once with `labels`, once with `control`.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `probe(acts[test])` is `[test]` for one target. A logit above 0 means `True`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# right = ((probe(acts[test]) > 0) == labels[test]).float().mean()
# ```
#
# The same for `control`, and then the difference.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. In one of them the labels themselves are tossed, six times over: the mean selectivity has to stay within 0.1 of zero.
#
# </details>

# %% [markdown]
# **Look at it.** Take the words of the sentiment list that are a single word piece, put each into four sentences, and read the stream at the word's **own token**. Three sentences are for training, the fourth for the test: every test word has been seen, in other sentences.

# %%
CARRIERS = ["She said {} and left.", "I wrote {} on the board.", "The last word was {}, I think.", "What does {} mean?"]


def single_pieces(words: list[str]) -> list[str]:
    """Those words that are one word piece."""
    pieces = model.tokenizer(words, add_special_tokens=False)["input_ids"]
    return [word for word, ids in zip(words, pieces, strict=True) if len(ids) == 1]


def cache_at_words(model, words: list[str], carrier: str, layers: list) -> Float[Tensor, "layer word d_model"]:
    """The stream at each word's own token, in one carrier sentence."""
    streams = []
    for start in range(0, len(words), 256):
        batch = words[start : start + 256]
        tokens, attention_mask = tokenize(model, [carrier.format(word) for word in batch])
        own = torch.tensor(model.tokenizer.convert_tokens_to_ids(batch))  # [word]
        streams.append(cache_resid_post(model, tokens, attention_mask, layers)[:, tokens == own[:, None]])
    return torch.cat(streams, dim=1)


# %%
types = single_pieces(sentiment.words)
positive_type = torch.tensor([bool(sentiment.valence[sentiment.words.index(word)] > 0) for word in types])
acts_types = torch.cat([cache_at_words(model, types, carrier, ["embed", 2]) for carrier in CARRIERS], dim=1)
labels = positive_type.repeat(len(CARRIERS))  # [example]: all words in the first sentence, then in the second, ...
control = control_labels(types * len(CARRIERS), labels, SEED)
train, test = torch.arange(len(labels)).tensor_split([3 * len(types)])
print(f"{len(types)} words, {len(train)} training and {len(test)} test examples")

# %%
tasks, found = [], []  # accuracy and selectivity, at embed and at layer 2
for name, acts in zip(("embed", "layer 2"), acts_types, strict=True):
    probe = fit_logistic_regression_probe(acts[train], labels[train], l2=1e-3)
    tasks.append(float(accuracy(probe(acts[test]), labels[test])))
    found.append(selectivity(acts, labels, control, train, test, 1e-3))
    print(f"{name}: task {tasks[-1]:.2f}, control task {tasks[-1] - found[-1]:.2f}, selectivity {found[-1]:.2f}")

# %% tags=["solution"]
assert len(types) == 2222
assert all(0.93 < task <= 1 and 0.29 < gain < 0.39 for task, gain in zip(tasks, found, strict=True))

# %% [markdown]
# **Read it.** The task is nearly perfect, because every word was seen. The control says how little that means: with labels drawn by lot, the same probe is right for about two thirds of the test examples. What is left, about a third, is sentiment.
#
# Now let the probe grow. Fewer directions (the first principal components, fitted on training acts) make it weaker. A hidden layer makes it stronger.

# %%
predict(
    "capacity",
    "A probe with a hidden layer of 512 is more accurate on the task. And its selectivity?",
    ("higher than the linear probe's", "the same", "almost zero"),
)


# %%
def mlp_logits(acts, labels, train, width: int, seed: int = SEED) -> Float[Tensor, "example target"]:
    """Logits of a probe with one hidden layer, fitted on the training examples."""
    torch.manual_seed(seed)
    mean, std = acts[train].mean(dim=0), acts[train].std(dim=0)
    x, y = (acts - mean) / std, labels.float()
    net = torch.nn.Sequential(
        torch.nn.Linear(acts.shape[1], width), torch.nn.ReLU(), torch.nn.Linear(width, labels.shape[1])
    )
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(30):
        for rows in train[torch.randperm(len(train))].split(512):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(net(x[rows]), y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return net(x).detach()


# %%
def linear_logits(acts, labels, train, n_directions: int) -> Float[Tensor, "example target"]:
    """Logits of a linear probe that sees the first principal components only."""
    centred = acts - acts[train].mean(dim=0)
    directions = torch.linalg.eigh(centred[train].T @ centred[train]).eigenvectors[:, -n_directions:]
    reduced = centred @ directions
    return fit_logistic_regression_probe(reduced[train], labels[train], l2=1e-4)(reduced)


# %%
acts, both = acts_types[1], torch.stack([labels, control], dim=1)  # layer 2; [example 2]
logits = {f"{n} directions": linear_logits(acts, both, train, n) for n in (2, 8, 32, 128, 384)}
logits |= {f"hidden {width}": mlp_logits(acts, both, train, width) for width in (8, 32, 128, 512)}
capacity = list(logits)  # the probes, from weak to strong
right = torch.stack([((logits[name] > 0) == both)[test].float() for name in capacity])  # [probe word 2]
task, by_lot = right.mean(dim=1).T  # [probe] each


def intervals_over_words(values: Float[Tensor, "probe word"]) -> Float[Tensor, "probe 2"]:
    """95 % interval of the mean for each probe; every test word is there once."""
    return torch.tensor([bootstrap_interval(row, torch.arange(len(row)), 300, SEED) for row in values])


# %%
# figure: 02_capacity
plots.plot_lines(
    {"task": task, "control task": by_lot, "selectivity": task - by_lot},
    intervals={
        "task": intervals_over_words(right[..., 0]),
        "control task": intervals_over_words(right[..., 1]),
        "selectivity": intervals_over_words(right[..., 0] - right[..., 1]),
    },
    x=capacity,
    x_title="probe, from weak to strong",
    y_title="accuracy, or difference",
    title="Stronger probes know the answer, and every other answer, layer 2, 95 % over words",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Task accuracy rises a little with capacity, control accuracy rises to nearly 1, selectivity falls to 0](figures/02_capacity.png)
#
# </details>

# %%
change = float(task[-1] - by_lot[-1]), float(task[4] - by_lot[4])  # the widest MLP, the full linear probe
options = ("higher than the linear probe's", "the same", "almost zero")
settle("capacity", options[2] if change[0] < 0.1 else options[1] if change[0] < change[1] + 0.02 else options[0])

# %% tags=["solution"]
print([round(x, 2) for x in task.tolist()], [round(x, 2) for x in by_lot.tolist()])
assert task[-1] > 0.98 and by_lot[-1] > 0.93 and change[0] < 0.06 and 0.25 < change[1] < 0.40
assert (task - by_lot).argmax() in (1, 2, 3) and 0.35 < (task - by_lot).max() < 0.46
over_all = right[1:3, :, 0] - right[1:3, :, 1] - (right[4, :, 0] - right[4, :, 1])  # 8 and 32 against 384 directions
ends = intervals_over_words(over_all)
print(ends)
assert ends[:, 0].min() > 0.02 and ends[:, 1].max() < 0.11

# %% [markdown]
# **Read it.** From left to right the probe gets better at the task, and much better at a task without any meaning. With 512 hidden units it knows nearly every label that was drawn by lot, and its near-perfect score on sentiment is no evidence at all. The probe that tells most about the network is a weak one: 8 or 32 directions have more selectivity than all 384, by 3 to 10 points (95 % over words, paired).
#
# That does not mean that linear probes are right by nature. It means: **report the control next to the score.** Move the slider, and read the three numbers for each probe.

# %%
from utils.widgets.layers import explore_capacity

explore_capacity(capacity, task=task, control=by_lot)

# %% [markdown]
# ## Which direction is *the* direction?
#
# A probe's weight is a **filter**: it says how to *read* a feature. People often take it for the **pattern**: how the feature is *written* into the activations. In an intervention you push along the second. They are the same only if nothing else varies.
#
# ```text
#   unit 0   =  signal + noise
#   unit 1   =           noise
#
#   filter   =  unit 0 - unit 1           (1, -1)
#   pattern  =  signal sits in unit 0     (1,  0)
# ```
#
# Unit 1 knows **nothing** about the signal. Yet the best filter gives it a large weight, because it says what the noise is, and the noise can then be subtracted. Read as a picture of where the feature lives, the filter points to the wrong place.
#
# [Haufe et al. 2014](https://doi.org/10.1016/j.neuroimage.2013.10.067) give the way back. With the covariance $\Sigma$ of the activations:
#
# $$\mathrm{pattern} = \frac{\Sigma\, w}{w^\top \Sigma\, w}$$
#
# This is the slope of each unit on the logit: how much it changes, on average, when the logit rises by one.

# %% [markdown]
# ### Exercise 2.5 · `pattern_from_filter` (10 min)
#
# **Why.** Whoever edits a network along the weights of a probe, or ranks neurons by them, uses a filter as a pattern. Chapter 04 edits a network with both, and compares.
#
# **Write** the formula.
#
# 1. Centre the activations, and build their covariance `[d_model d_model]`.
# 2. Multiply it by the weight. Divide by the variance of the logit, $w^\top \Sigma w$.


# %%
# exercise: pattern_from_filter
def pattern_from_filter(
    acts: Float[Tensor, "example d_model"], weight: Float[Tensor, " d_model"]
) -> Float[Tensor, " d_model"]:
    """How the activations change, on average, when the logit rises by one: covariance · weight / variance of the logit."""
    ### BEGIN SOLUTION
    centred = acts - acts.mean(dim=0)
    covariance = centred.T @ centred / len(acts)  # [d_model d_model]
    return covariance @ weight / (weight @ covariance @ weight)
    ### END SOLUTION


# %%
check(pattern_from_filter)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# It is a regression turned round. The probe predicts the logit from the units; the pattern predicts each unit from the logit.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `centred.T @ centred` is `[d_model d_model]`. Times `weight` it is `[d_model]`. `weight @ covariance @ weight` is a single number.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# return covariance @ weight / (weight @ covariance @ weight)
# ```
#
# Whether the covariance is divided by `n` or `n - 1` makes no difference: it stands above and below.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. In one of them a unit that holds nothing but noise has a filter weight of -1, and a pattern of 0.
#
# </details>

# %% [markdown]
# **Look at it.** Three directions for sentiment at layer 2: the mass-mean direction, the weight of a least-squares probe, and that probe's pattern. *Predict first:* which two are alike?

# %%
acts = acts_sentiment[1]
train, _ = split_groups(stems, seed=SEED)
mass_mean = fit_mass_mean_probe(acts[train], is_positive[train]).weight
least_squares = fit_ridge_probe(acts[train], is_positive[train].float(), l2=1e-3).weight
pattern = pattern_from_filter(acts[train], least_squares)
for name, direction in (("filter", least_squares), ("pattern", pattern)):
    print(
        f"cosine of the mass-mean direction with the {name}: {torch.cosine_similarity(mass_mean, direction, dim=0):.2f}"
    )

# %% tags=["solution"]
assert 0.25 < torch.cosine_similarity(mass_mean, least_squares, dim=0) < 0.33
assert torch.cosine_similarity(mass_mean, pattern, dim=0) > 0.999

# %% [markdown]
# **Read it.** The filter and the mass-mean direction are far apart, with a cosine of 0.29. The pattern **is** the mass-mean direction, up to its length. That is no accident: for one target and least squares, $w = \Sigma^{-1}(\mu_+ - \mu_-)$ up to a factor, so $\Sigma w$ gives the difference of the means back. The plainest probe of chapter 01 was a pattern all along.

# %% [markdown]
# ## Take it away
#
# If a feature matters, then removing it should hurt. To remove it you need an **eraser**: a map after which no linear probe finds the feature. [Belrose et al. 2023](https://arxiv.org/abs/2306.03819) show when that is so: exactly when **both classes have the same mean**. And they give the map that reaches it with the smallest change, LEACE:
#
# $$r(x) = x - W^{-1} P\, W (x - \mu) \qquad W = \Sigma^{-1/2}$$
#
# ```text
#   acts          ──[ W: whiten ]─────────────────►  a round cloud
#   round cloud   ──[ P: keep only the line ]─────►  a line
#   line          ──[ W⁻¹: back ]─────────────────►  what goes
# ```
#
# Whitening makes the cloud round. Then the line through the two class means is the cheapest thing to lose.

# %% [markdown]
# ### Exercise 2.6 · `fit_leace_eraser` (20 min)
#
# **Why.** Erasure is the control that a probe cannot give: what happens *without* the feature. And its limits teach more than its success.
#
# **Write** it for one label.
#
# 1. Centre the acts, build the covariance, and take its eigenvalues and eigenvectors with `torch.linalg.eigh`. Use `float64`: `acts.double()`.
# 2. Directions that do not vary have no inverse. Keep eigenvalues above `1e-6` times the largest. From the kept ones build $W = V \,\mathrm{diag}(\lambda^{-1/2})\, V^\top$ and $W^{+} = V \,\mathrm{diag}(\lambda^{1/2})\, V^\top$.
# 3. The line through the class means, whitened: $u = W(\mu_+ - \mu_-)$, scaled to length 1. Then $A = W^{+} u u^\top W$ is what goes.
# 4. $r(x) = (I - A)\,x + A\mu$. Return `LinearEraser(matrix=I - A, bias=A @ mean)` in the dtype of `acts`.


# %%
# exercise: fit_leace_eraser
def fit_leace_eraser(acts: Float[Tensor, "example d_model"], labels: Bool[Tensor, " example"]) -> LinearEraser:
    """The smallest change after which both classes have the same mean: x -> matrix @ x + bias."""
    ### BEGIN SOLUTION
    x = acts.double()
    mean = x.mean(dim=0)
    covariance = (x - mean).T @ (x - mean) / len(x)
    variance, axes = torch.linalg.eigh(covariance)
    kept = variance > 1e-6 * variance.max()
    variance, axes = variance[kept], axes[:, kept]
    whiten = axes / variance.sqrt() @ axes.T  # [d_model d_model]
    unwhiten = axes * variance.sqrt() @ axes.T
    line = torch.nn.functional.normalize(whiten @ (x[labels].mean(dim=0) - x[~labels].mean(dim=0)), dim=0)
    gone = torch.outer(unwhiten @ line, whiten @ line)  # whiten is symmetric
    matrix = torch.eye(len(mean), dtype=x.dtype) - gone
    return LinearEraser(matrix=matrix.to(acts.dtype), bias=(gone @ mean).to(acts.dtype))
    ### END SOLUTION


# %%
check(fit_leace_eraser)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Only one direction goes in the end: `matrix` is the identity minus a product of two vectors. Everything before finds these two vectors.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `variance, axes = torch.linalg.eigh(covariance)` are `[d_model]` and `[d_model d_model]`, with the eigenvectors in **columns**. `axes / variance.sqrt() @ axes.T` scales the columns and multiplies: that is $W$, `[d_model d_model]`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# gone = torch.outer(unwhiten @ line, whiten @ line)
# ```
#
# Here `line` is `[d_model]` of length 1, and `whiten` is symmetric, so `line @ whiten` and `whiten @ line` are the same.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. One compares your eraser with others that also make the means equal: yours changes the activations least.
#
# </details>

# %% [markdown]
# **Look at it.** Erase sentiment at layer 2, fit a **new** probe on the erased acts, and see what it finds. On three kinds of words: those the eraser was fitted on, and fresh ones on which the new probe is fitted and tested.

# %%
predict(
    "erased",
    "An eraser fitted on 1,500 words. A new probe is fitted on other erased words, and tested on yet others. Accuracy?",
    ("at the majority class", "about 65 %", "about 87 %, as before"),
)


# %%
def probe_after_erasing(n: int, seed: int) -> tuple[float, float]:
    """Accuracy of a new probe on the eraser's own words, and of one fitted and tested on fresh words."""
    rest, test = split_groups(stems, test_fraction=0.2, seed=0)
    rest = rest[torch.randperm(len(rest), generator=torch.Generator().manual_seed(seed))]
    own, fresh = rest[:n], rest[n:]
    eraser = fit_leace_eraser(acts[own], is_positive[own])
    erased = eraser(acts)
    scores = []
    for fit, score in ((own, own), (fresh, test)):
        probe = fit_logistic_regression_probe(erased[fit], is_positive[fit], l2=1e-2)
        scores.append(float(accuracy(probe(erased[score]), is_positive[score])))
    return scores[0], scores[1]


SIZES, KINDS = [400, 800, 1500, 3000], ("on the eraser's own words", "on fresh words")
after = torch.tensor([[probe_after_erasing(n, seed) for seed in range(3)] for n in SIZES])  # [size seed kind]
majority = 1 - float(is_positive.float().mean())
whole, held_out = split_groups(stems, test_fraction=0.2, seed=0)
not_erased = fit_logistic_regression_probe(acts[whole], is_positive[whole], l2=1e-2)
before = float(accuracy(not_erased(acts[held_out]), is_positive[held_out]))

# %%
# figure: 02_erasure
plots.plot_lines(
    {name: after[..., kind].mean(dim=1) for kind, name in enumerate(KINDS)},
    intervals={name: torch.stack(torch.aminmax(after[..., kind], dim=1), dim=1) for kind, name in enumerate(KINDS)},
    x=[f"{n:,}" for n in SIZES],
    x_title="words that the eraser was fitted on",
    y_title="accuracy of a new probe",
    baselines={"majority class": majority, "before erasing": before},
    title="Is it gone? Sentiment after LEACE, layer 2, mean and range of 3 draws",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![On the eraser's own words a flat line at the majority class, on fresh words a line that falls from 0.76 to 0.6](figures/02_erasure.png)
#
# </details>

# %%
at_1500 = float(after[SIZES.index(1500), :, 1].mean())
outcomes = ("at the majority class", "about 65 %", "about 87 %, as before")
settle("erased", outcomes[0] if at_1500 < majority + 0.03 else outcomes[1] if at_1500 < 0.75 else outcomes[2])

# %% tags=["solution"]
print([round(x, 3) for x in after.mean(dim=1)[:, 1].tolist()], round(majority, 3))
own, fresh = after.mean(dim=1).T
assert (own - majority).abs().max() < 0.03
assert 0.73 < fresh[0] < 0.79 and 0.67 < fresh[1] < 0.73 and 0.61 < fresh[2] < 0.68 and 0.57 < fresh[3] < 0.63
assert 0.85 < before < 0.89

# %% [markdown]
# **Read it.** On its own words the erasure is perfect, as the theorem says. On fresh words a new probe still finds sentiment: 0.76 after 400 words, 0.70 after 800, 0.64 after 1,500. The eraser has 384 dimensions to estimate, and what it missed is still there.
#
# So two sentences look alike and are not: *"no linear probe finds it"* and *"no probe fitted on the eraser's own data finds it"*. It is easy to test the second and to claim the first. **Three splits**: one to erase, one to fit the new probe, one to test.

# %% [markdown]
# ## Decodable, and not used
#
# Now the question behind all others. Here is a network that we planted: its residual stream holds the *size* and the *colour* of a thing, each along a direction of its own, with noise. Its output unit says whether the thing is large. The weights after the stream do not see the colour direction at all.

# %%
D_PLANTED, N_THINGS = 32, 4000
generator = torch.Generator().manual_seed(SEED)
basis = torch.linalg.qr(torch.randn(D_PLANTED, D_PLANTED, generator=generator)).Q  # columns at right angles
size_axis, colour_axis = basis[:, 0], basis[:, 1]
hidden = torch.randn(D_PLANTED, 64, generator=generator)
hidden = hidden - torch.outer(colour_axis, colour_axis @ hidden)  # no hidden unit reads colour
readout = size_axis @ hidden  # [64]


def planted_output(stream: Float[Tensor, "thing d_model"]) -> Bool[Tensor, " thing"]:
    """What the network says: is it large?"""
    return torch.tanh(stream @ hidden) @ readout > 0


# %%
def draw_things(colour_given_size: float) -> tuple[Tensor, Tensor, Tensor]:
    """Streams, and whether each thing is large and red; a large thing is red with the chance given, a small one not."""
    large = torch.rand(N_THINGS, generator=generator) < 0.5
    same = torch.rand(N_THINGS, generator=generator) < colour_given_size
    red = torch.where(same, large, ~large)
    signs = torch.stack([large, red], dim=1).float() * 2 - 1  # [thing 2]
    return torch.randn(N_THINGS, D_PLANTED, generator=generator) + 2.5 * signs @ basis[:, :2].T, large, red


# %% [markdown]
# **Probe it.** Size and colour, independent of each other:

# %%
stream, large, red = draw_things(0.5)
fit, held_out = torch.arange(N_THINGS).tensor_split(2)
probes = {"size": fit_mass_mean_probe(stream[fit], large[fit]), "colour": fit_mass_mean_probe(stream[fit], red[fit])}
for (name, probe), truth in zip(probes.items(), (large, red), strict=True):
    print(f"{name}: decodable with {float(accuracy(probe(stream[held_out]), truth[held_out])):.3f}")
print(f"the network's own answer is right for {float((planted_output(stream) == large).float().mean()):.3f}")

# %%
predict(
    "planted",
    "Both features are read equally well. You push every stream against the probe's class, along its direction. What flips?",
    ("both flip the answer", "only size flips it", "neither"),
)


# %%
def share_flipped(direction: Float[Tensor, " d_model"], truth: Bool[Tensor, " thing"]) -> float:
    """Share of answers that change when every stream is moved to the other class, along a direction."""
    away = torch.where(truth, -1.0, 1.0)[:, None] * direction
    return float((planted_output(stream + away) != planted_output(stream)).float().mean())


def share_changed_by_erasing(labels: Bool[Tensor, " thing"]) -> float:
    """Share of answers that change when a feature is erased from every stream."""
    erased = fit_leace_eraser(stream[fit], labels[fit])(stream)
    return float((planted_output(erased) != planted_output(stream)).float().mean())


# %%
noise = torch.randn(D_PLANTED, generator=generator)
noise *= probes["colour"].weight.norm() / noise.norm()  # a random direction of the same length
flipped = {
    "push size": share_flipped(probes["size"].weight, large),
    "push colour": share_flipped(probes["colour"].weight, red),
    "push a random direction": share_flipped(noise, red),
    "erase size": share_changed_by_erasing(large),
    "erase colour": share_changed_by_erasing(red),
}
for name, share in flipped.items():
    print(f"{name:<24} {share:.3f} of the answers change")

# %%
only_size = flipped["push size"] > 0.5 and flipped["push colour"] < 0.05
settle(
    "planted",
    "only size flips it" if only_size else "both flip the answer" if flipped["push size"] > 0.5 else "neither",
)

# %% tags=["solution"]
assert all(
    accuracy(p(stream[held_out]), t[held_out]) > 0.98 for p, t in zip(probes.values(), (large, red), strict=True)
)
print({name: round(share, 3) for name, share in flipped.items()})
assert flipped["push size"] > 0.9 and flipped["push colour"] < 0.03 and flipped["push a random direction"] < 0.1
assert 0.4 < flipped["erase size"] < 0.55 and flipped["erase colour"] < 0.03

# %% [markdown]
# **Read it.** The two probes cannot be told apart by their accuracy. The two *directions* can: pushing along size turns nine answers in ten around, and erasing it changes nearly half of them: a coin toss is left. With colour, next to nothing happens. Colour is **decodable, and not used**. [Ravichander et al. 2021](https://arxiv.org/abs/2005.00719) show trained networks that hold properties which their task does not need.
#
# One more step. In the world, properties go together. Let large things be red, nine times out of ten, and fit the colour probe again:

# %%
stream, large, red = draw_things(0.9)
correlated = fit_mass_mean_probe(stream[fit], red[fit])
flipped_correlated = share_flipped(correlated.weight, red)
print(f"push colour, fitted where colour goes with size: {flipped_correlated:.2f} of the answers change")

# %% tags=["solution"]
assert flipped_correlated > 0.5

# %% [markdown]
# **Question.** The network is the same, and it still does not see colour. Why does the push work now?

# %% [markdown] tags=["solution"]
# **Our answer.** The direction is no longer the colour direction. Where colour goes with size, the difference of the class means holds both, and the push moves size as well. An intervention shows that a *direction* has an effect. Whether the direction is the feature you named is a separate question, and its answer needs data in which the features come apart: the same lesson as with the first noun.

# %% [markdown]
# ## Find the bug
#
# A colleague reports that MiniLM knows something odd: which of 360 words were picked by a coin toss last Tuesday. Accuracy 0.62, with 60 test words that the probe never saw. He has tried every layer and 20 strengths of `l2`, and he kept his splits apart.

# %%
STRENGTHS = [10 ** (exponent / 4) for exponent in range(-8, 12)]
acts_words = torch.stack([*cache_at_words(model, types, CARRIERS[0], LAYERS)])  # [layer word d_model]


def colleagues_score(acts, labels, fit, validation, test, strengths) -> float:
    """Accuracy on test words that no probe has seen."""
    train = torch.cat([fit, validation])
    scores = []
    for l2 in strengths:
        probes = fit_ridge_probe(acts[:, train], labels[train].float(), l2=l2)  # one for each layer
        right = (probes(acts[:, test]) > 0.5) == labels[test]  # [layer test]
        scores.append(right.float().mean(dim=1))
    return float(torch.stack(scores).max())


def draw_coin_tosses(seed: int) -> tuple[Tensor, Tensor]:
    """360 words and a coin toss for each."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(types), generator=generator)[:360]
    return acts_words[:, chosen], torch.rand(360, generator=generator) < 0.5


# %%
parts = torch.arange(360).tensor_split([240, 300])  # to fit, to choose, to test
colleagues = [colleagues_score(*draw_coin_tosses(seed), *parts, STRENGTHS) for seed in range(10)]
print("ten Tuesdays:", [round(score, 2) for score in colleagues], f"mean {sum(colleagues) / 10:.2f}")

# %% tags=["solution"]
assert round(colleagues[0], 2) == 0.62 and 0.62 < sum(colleagues) / 10 < 0.66 and min(colleagues) > 0.5

# %% [markdown]
# ### Exercise 2.7 · `score_chosen_probe` (15 min)
#
# **Why.** Coin tosses cannot be known. All training and test words are different, and still the score is above one half, on every Tuesday. Wherever you read "the best layer", ask on which examples it was the best.
#
# **Find** the mistake, and **write** the function without it: fit on `fit`, choose the layer and the strength on `validation`, and only then look at `test`, **once**.
#
# For the test, use the chosen probe as it is, fitted on `fit`.


# %%
# exercise: score_chosen_probe
def score_chosen_probe(
    acts: Float[Tensor, "layer example d_model"],
    labels: Bool[Tensor, " example"],
    fit: Int[Tensor, " fit"],
    validation: Int[Tensor, " validation"],
    test: Int[Tensor, " test"],
    strengths: list[float],
) -> float:
    """Test accuracy of the one probe that is best on the validation examples, over all layers and strengths."""
    ### BEGIN SOLUTION
    to_choose, to_report = [], []
    for l2 in strengths:
        probes = fit_ridge_probe(acts[:, fit], labels[fit].float(), l2=l2)  # one for each layer
        right = ((probes(acts) > 0.5) == labels).float()  # [layer example]
        to_choose.append(right[:, validation].mean(dim=1))
        to_report.append(right[:, test].mean(dim=1))
    best = torch.stack(to_choose).argmax()  # of all layers and strengths
    return float(torch.stack(to_report).flatten()[best])
    ### END SOLUTION


# %%
check(score_chosen_probe)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# How many numbers does `.max()` choose from, and on which words were they measured? The largest of many fair coins is not a fair coin.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# Keep two numbers for each pair of layer and strength: its validation accuracy, and its test accuracy. The first decides, the second is returned. `fit_ridge_probe(acts[:, fit], ...)` fits all layers at once; `[layer example]` is what comes out.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# best = torch.stack(to_choose).argmax()
# ```
#
# `to_choose` holds the validation accuracies. The test accuracies, stacked and flattened the same way, have the answer at `best`.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. In one of them the labels are coin tosses, twenty times over, and the mean score has to stay within 0.08 of one half.
#
# </details>

# %%
honest = [score_chosen_probe(*draw_coin_tosses(seed), *parts, STRENGTHS) for seed in range(10)]
print("ten Tuesdays:", [round(score, 2) for score in honest], f"mean {sum(honest) / 10:.2f}")

# %% tags=["solution"]
assert 0.45 < sum(honest) / 10 < 0.56

# %% [markdown]
# **Read it.** One half, give or take. The colleague's words were held out from the *fitting*, but not from the *choosing*: the best of 140 scores on 60 words is 0.64, on average, out of nothing. Choose on one set, report on another.

# %% [markdown]
# ## Optional: how many bits does it take?
#
# Accuracy on a test set asks how good a probe is at the end. [Voita & Titov 2020](https://arxiv.org/abs/2003.12298) ask how much **effort** it takes to get there: how many bits you need to send all labels to a friend who has the activations.
#
# ```text
#   labels       sent                               cost in bits
#   1 … 64       as they are                        64
#   65 … 128     with a probe fitted on 1 … 64      - Σ log2 p
#   129 … 256    with a probe fitted on 1 … 128     - Σ log2 p
#   ...
# ```
#
# A feature that is easy to read is learned from few labels, so the later blocks cost little. A lie never gets cheaper.

# %% [markdown]
# ### Exercise 2.8 · `online_codelength` (15 min, optional)
#
# **Why.** The codelength counts a probe's memory against it. A big probe that learns by heart pays for every new label. No control task is needed.
#
# **Write** it. `ends` are the ends of the blocks, such as `[64, 128, 256]`; the last is the number of examples.
#
# 1. The first `ends[0]` labels cost one bit each.
# 2. For each further block: fit a logistic regression probe (`fit_logistic_regression_probe`) on **all examples before it**, and add up $-\log_2 p$ of the true labels in the block.
#
# The logit of a probe is $\log \frac{p}{1-p}$. `torch.nn.functional.binary_cross_entropy_with_logits` gives natural logarithms; divide by $\ln 2$.


# %%
# exercise: online_codelength
def online_codelength(
    acts: Float[Tensor, "example d_model"], labels: Bool[Tensor, " example"], ends: list[int], l2: float
) -> float:
    """Bits to send the labels block by block, each block with the probe fitted on all blocks before it."""
    ### BEGIN SOLUTION
    bits = float(ends[0])  # one bit for each label: nothing is known yet
    for start, end in zip(ends, ends[1:], strict=False):
        probe = fit_logistic_regression_probe(acts[:start], labels[:start], l2=l2)
        nats = torch.nn.functional.binary_cross_entropy_with_logits(
            probe(acts[start:end]), labels[start:end].float(), reduction="sum"
        )
        bits += float(nats) / torch.log(torch.tensor(2.0)).item()
    return bits
    ### END SOLUTION


# %%
check(online_codelength)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# A loop over pairs of neighbouring ends: fit on everything before the first, pay for everything between them.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `acts[:start]` and `labels[:start]` are what the friend already has. `probe(acts[start:end])` is `[block]`. Sum over the block, not mean.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# nats = binary_cross_entropy_with_logits(probe(acts[start:end]), labels[start:end].float(), reduction="sum")
# ```
#
# Divide by `math.log(2)`, and start from `ends[0]` bits.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. In one of them the labels are coin tosses: sending them costs more bits than there are labels.
#
# </details>

# %% [markdown]
# **Look at it.** Sentiment and its control, at layer 2, over the single-piece words in one sentence. With one bit for each label, 2,222 bits. *Predict first:* will the control cost as much, less or more?

# %%
ENDS = [64, 128, 256, 512, 1024, 2222]
order = torch.randperm(len(types), generator=torch.Generator().manual_seed(SEED))
acts_one = acts_words[LAYERS.index(2)][order]  # one sentence, so every word once
bits = {
    "sentiment": online_codelength(acts_one, positive_type[order], ENDS, 0.1),
    "control": online_codelength(acts_one, control_labels(types, positive_type, SEED)[order], ENDS, 0.1),
}
for name, count in bits.items():
    print(f"{name:<10} {count:5.0f} bits, {count / len(types):.2f} for each label")

# %% tags=["solution"]
print(bits)
assert bits["sentiment"] < 0.75 * 2222 and bits["control"] > 1.0 * 2222

# %% [markdown]
# **Read it.** Sentiment can be sent for well under one bit a label, although no word is ever seen twice. The lie costs *more* than one bit a label: the probe believes what it has learned by heart, and pays for it.

# %% [markdown]
# ## Optional: features that are round
#
# Not every feature is a line. Months and weekdays come round again: after December comes January. [Engels et al. 2024](https://arxiv.org/abs/2405.14860) found circles for them in language models. Is there one in MiniLM?
#
# A circle is read with **two** linear probes: one for the cosine of the angle, one for the sine.
#
# ```text
#          march
#     april      february
#   may             january
#     ...         december
#
#   position 2 of 12  ─►  angle 2π · 2/12  ─►  (cos, sin)
#                                                  │ ridge probe
#   position          ◄─  angle            ◄─   (x, y)
# ```

# %% [markdown]
# ### Exercise 2.9 · `predict_on_circle` (10 min, optional)
#
# **Why.** Give the months the numbers 0 to 11 and fit an ordinary ridge probe: December and January are as far apart as can be, and the probe must put everything in between into the gap. Round things need round targets.
#
# **Write** a function that fits on training positions and returns predicted positions for the test acts.
#
# 1. Position to angle: $2\pi \cdot$ position / period. Targets are its cosine and sine: `[train 2]`.
# 2. Fit with `fit_ridge_probe(acts, targets, l2=...)`, and predict the test acts: `[test 2]`.
# 3. Back to an angle with `torch.atan2(y, x)`, and to a position in $[0, \text{period})$.


# %%
# exercise: predict_on_circle
def predict_on_circle(
    acts_train: Float[Tensor, "train d_model"],
    positions: Float[Tensor, " train"],
    acts_test: Float[Tensor, "test d_model"],
    period: int,
    l2: float,
) -> Float[Tensor, " test"]:
    """Positions on a circle, from 0 to period, read by two ridge probes: one for the cosine, one for the sine."""
    ### BEGIN SOLUTION
    angle = 2 * torch.pi * positions / period
    probe = fit_ridge_probe(acts_train, torch.stack([angle.cos(), angle.sin()], dim=1), l2=l2)
    x, y = probe(acts_test).unbind(dim=1)
    return torch.atan2(y, x) / (2 * torch.pi) * period % period
    ### END SOLUTION


# %%
check(predict_on_circle)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Encode, fit, decode. The decoding undoes the encoding.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `torch.stack([angle.cos(), angle.sin()], dim=1)` is `[train 2]`, and the predictions are `[test 2]`. Their length does not matter, only where they point.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# return torch.atan2(y, x) / (2 * torch.pi) * period % period
# ```
#
# `atan2` gives angles from -π to π; `% period` moves the negative ones.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. One plants a circle far away from the origin, and expects every position back within 0.1.
#
# </details>

# %% [markdown]
# **Look at it.** Leave one month out, in all its sentences, and fit on the other eleven. Where on the circle does the missing one land? As a null, the same with the months in a shuffled order.

# %%
MONTHS = ["january", "february", "march", "april", "may", "june",
          "july", "august", "september", "october", "november", "december"]  # fmt: skip
DATES = ["It happened in {}.", "We met last {}.", "They will arrive next {}.", "I remember that {} well."]


def circle_error(acts: Float[Tensor, "carrier word d_model"], order: list[int]) -> float:
    """Mean distance in steps between true and predicted position, leaving out one word at a time."""
    period, errors = len(order), []
    for left_out, position in enumerate(order):
        others = [i for i in range(period) if i != left_out]
        positions = torch.tensor([float(order[i]) for i in others]).repeat(len(acts))
        found = predict_on_circle(acts[:, others].flatten(0, 1), positions, acts[:, left_out], period, 1.0)
        distance = (found - position).abs()
        errors.append(float(torch.minimum(distance, period - distance).mean()))
    return sum(errors) / period


# %%
in_order = list(range(12))
months = {
    name: torch.stack([cache_at_words(network, MONTHS, date, [0])[0] for date in DATES])
    for name, network in (("trained", model), ("untrained", untrained))
}
shuffles = [torch.randperm(12, generator=torch.Generator().manual_seed(seed)).tolist() for seed in range(20)]
null = torch.tensor([circle_error(months["trained"], shuffle) for shuffle in shuffles])
print(f"layer 0: {circle_error(months['trained'], in_order):.2f} steps of twelve")
print(f"untrained twin: {circle_error(months['untrained'], in_order):.2f}")
print(f"shuffled months: {null.mean():.2f}, the best of {len(null)} shuffles {null.min():.2f}")

# %% tags=["solution"]
assert circle_error(months["trained"], in_order) < 0.5 and circle_error(months["untrained"], in_order) > 2.0
assert 2.5 < null.mean() < 4.0 and null.min() > 1.0

# %% [markdown]
# **Read it.** The missing month lands a third of a step from its place, in a circle that it had no part in drawing. Shuffled months miss by three to four steps. Pointing anywhere would miss by three.

# %% [markdown]
# ## What you have, and what you do not
#
# Eight questions to ask of a probing result, yours or another's. They are also on [a page of their own](../chapters/checklist.md), and chapters 03, 04, 05 and 08 use them again.
#
# | | ask | because |
# |---|---|---|
# | 1 | What do training and test examples share? | a probe remembers words, entities, templates (Exercise 2.1) |
# | 2 | What always goes together with the label? | a score cannot tell the two apart (the first noun) |
# | 3 | What do the majority, the text alone, `embed` and an untrained twin reach? | "decodable" needs something to be compared with (chapter 01) |
# | 4 | Over what is the interval, and is it paired? | alike examples are not independent witnesses (Exercise 2.2) |
# | 5 | What does the same probe reach on labels drawn by lot? | capacity (Exercises 2.3 and 2.4) |
# | 6 | Who saw the test set while layer and settings were chosen? | the best of many is lucky (Exercise 2.7) |
# | 7 | Is the direction a filter or a pattern? | weights are no picture (Exercise 2.5) |
# | 8 | Does anything happen downstream when it is pushed or erased, and when a random direction is? | decodable is not used (the planted network) |
#
# **The evidence supports**: MiniLM's activations hold something about the colours of words that the probe never met, and the untrained twin's do not. At its middle layers there is something that goes with the agent in both voices.
#
# **It does not support**: that this something *is* the agent, that MiniLM uses it, or that the numbers hold for other networks.
#
# **Open questions.** What would it take to show that MiniLM *uses* colour or agent? It was never trained to answer questions, so there is no answer to watch. The next chapters take a network that plays a game: there, every belief about the board has a consequence, a legal or an illegal move.

# %% [markdown]
# ## At scale
#
# Does a network that was trained to guess words know more about the colours of unseen ones? With a network connection (`HF_HUB_OFFLINE=0 make lab`), this cell fetches **BERT**, 0.4 GB, and puts it through the two splits of Exercise 2.1. Without one it says so.

# %%
from utils.at_scale import load_if_possible

larger = load_if_possible("google-bert/bert-base-uncased")  # 12 blocks, d_model 768, 110 million weights
if larger is not None:
    some_layers = ["embed", larger.cfg.n_layers // 2, larger.cfg.n_layers - 1]
    for name, acts in zip(some_layers, cache_pooled(larger, colours.names, some_layers).cpu(), strict=True):
        found = [sum(score_colours(acts, split, seed) for seed in range(10)) / 10 for split in splits.values()]
        print(f"BERT, {name}: random split {found[0]:.2f}, no shared word {found[1]:.2f}")

# %%
progress()
