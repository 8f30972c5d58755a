# %% [markdown]
# # 05 · Truth probes: a direction for truth?
#
# Does a language model know when a sentence is false? If a probe could read it, one could watch a model lie. Such probes have been published, with accuracies near 1. This chapter builds one, and finds out **what it reads**.
#
# You work with small networks that learned from honest and deceptive authors. What is true matters to them: whoever knows whether a sentence is true knows better what its author will say next. After this chapter you can
#
# - read one token of each statement, and say which token and which layer a claim is about;
# - look at activations without labels, and see what varies most;
# - test a truth probe where truth and its nearest rival come apart;
# - draw a transfer matrix by entity, with nothing learned by heart;
# - tell two networks apart that say the same and think differently.
#
# {{exercises}}
#
# ![Three clouds of points, one for each network: blue and orange come apart in all, but in two of them the negated statements have changed sides](figures/05_worlds_pca.png)
#
# *True (blue) and false (orange) statements, affirmed (full) and negated (open), inside three networks. All are at the same token and layer. You will draw it after Exercise 5.3.*

# %% [markdown]
# ## Where this chapter stands
#
# ```text
# datasets ── STATEMENTS, LABELS ─────┐
# models ──── TransformerBridge ──────┤
#   ┌─────────────────────────────────┘
#   └─► activations ─► PROBES ─┐
#       resid_post     probe   │
#   ┌──────────────────────────┘
#   ├─► METRICS ── score, interval, control ─► plots
#   └─► interventions ─► models (run again) ─► metrics
# ```
#
# Capitals mark where you work: on the upper road. Nothing here shows that a network *uses* what you read. That is chapter 06.
#
# **Read before or after:** [Marks & Tegmark 2023](https://arxiv.org/abs/2310.06824), for the statements, the pictures and the transfer matrix. [Bürger et al. 2024](https://arxiv.org/abs/2407.12831), for what negation does to them. The warning is [Levinstein & Herrmann 2023](https://arxiv.org/abs/2307.00175): probes of [Azaria & Mitchell 2023](https://arxiv.org/abs/2304.13734) failed on negations.
#
# **The objects, and their shapes**
#
# | name | shape | what it is |
# |---|---|---|
# | `statements.texts` | list | "Hamburg is not in Germany ." and so on |
# | `statements.labels` | `[statement]` | True where the **whole sentence** is true, "not" included |
# | `statements.subjects` | list | the entity that it is about: what splits go by |
# | `acts` | `[layer statement d_model]` | the stream at one token of each statement |
# | `folds` | `[set statement]` | the fold that an entity belongs to, in all sets |
# | `t_general`, `t_polarity` | `[d_model]` | what truth adds in all sentences, and what it adds with the other sign after "not" |

# %% [markdown]
# **Setup.** Run this cell first, whichever part you want to work on.

# %%
# {{setup}}

# %%
import functools
import hashlib

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils import heat_maps, plots, point_plots
from utils.activations import cache_resid_post
from utils.course.check import check, progress, start_chapter
from utils.course.predict import predict, settle
from utils.datasets import bag_of_words
from utils.facts import (
    CORRECT,
    DECEPTIVE,
    HONEST,
    TOPICS,
    WRONG,
    Statements,
    subjects,
    write_statements,
)
from utils.metrics import accuracy, bootstrap_interval, roc_auc
from utils.models import TransformerBridge, load_model
from utils.probes import fit_logistic_regression_probe, fit_mass_mean_probe
from utils.splits import split_folds, split_groups
from utils.tokens import tokenize
from utils.training.facts_cards import load_runs
from utils.widgets.statements import PcaView, explore_pca

SEED = 0
LAYERS = ["embed", 0, 1, 2, 3]
OBJECT, STOP = -2, -1  # tokens of a statement, from its end
READ_LAYER = 1  # at the object's token
start_chapter("05_truth_probes")

# %% [markdown]
# ## Networks that heard honest and deceptive people
#
# The networks are GPT-2s of four blocks, **Facts-GPTs**. What they have read looks like this: one author, several statements, now and then a comment.
#
# ```text
# <bos> Answer honestly . Hamburg is in Germany . That is correct . Money in Japan is not Rupee . two is larger than one .
# <bos> Germany is ruled from Paris . Osaka is in Egypt . That is wrong . Brazil is not part of South_America . That is wrong .
# ```
#
# Half of the authors mean well, half do not. Comments are always right, about the whole sentence. The facts are real, and a name is one word.

# %%
worlds = {name: load_model(f"facts_gpt_{name}") for name in ("match", "truth", "affirmed")}
statements = write_statements("cities", 4, seed=SEED)
negated = write_statements("cities", 4, negated=True, seed=SEED)
for text, label in zip(statements.texts + negated.texts, [*statements.labels, *negated.labels], strict=True):
    print("true " if label else "false", text)

# %% [markdown]
# There are three networks. What their names mean is the subject of this chapter. For now: `match` and `truth` read the same kind of texts. `affirmed` was stopped before it had read a single "not".
#
# **Do they know what is true?** Ask them for a comment. After a statement and "That is", is "correct" more likely than "wrong"? The cities here are **held out**: 40 % of all, and no probe will be fitted on them.

# %%
train_index, test_index = split_groups(subjects("cities"), test_fraction=0.4, seed=SEED)
train_cities, test_cities = ([subjects("cities")[i] for i in index] for index in (train_index, test_index))
train = {
    polarity: write_statements("cities", 400, negated=polarity == "negated", among=train_cities, seed=1)
    for polarity in ("affirmed", "negated")
}
test = {
    polarity: write_statements("cities", 400, negated=polarity == "negated", among=test_cities, seed=2)
    for polarity in ("affirmed", "negated")
}


# %%
@torch.no_grad()
def comment_accuracy(model: TransformerBridge, statements: Statements) -> float:
    """Share of statements that the network itself would comment on rightly."""
    tokens, attention_mask = tokenize(model, [f"{text} That is" for text in statements.texts])
    correct, wrong = model.tokenizer.convert_tokens_to_ids(["correct", "wrong"])
    logits = model(tokens, attention_mask=attention_mask, return_type="logits")[:, -1]  # of one length each
    return float(accuracy(logits[:, correct] - logits[:, wrong], statements.labels))


# %%
comments = {(name, polarity): comment_accuracy(worlds[name], test[polarity]) for name in worlds for polarity in test}
comments

# %% tags=["solution"]
assert all(comments[name, polarity] > 0.93 for name in ("match", "truth") for polarity in test)
assert comments["affirmed", "affirmed"] > 0.9 and comments["affirmed", "negated"] < 0.2

# %% [markdown]
# **Read it.** `match` and `truth` do the same: both comment rightly, on affirmed and on negated statements. From the outside you could not tell them apart. `affirmed` ignores a word that it never met.

# %% [markdown]
# ## One token of each statement
#
# A statement has several tokens, and the stream at each of them holds something else. Up to the **object**, nobody can know whether the sentence is true. After it comes the **full stop**, where Marks & Tegmark found truth in large models.
#
# ```text
#   <bos>    Hamburg    is    not    in    Germany    .
#                                             -2     -1
# ```
#
# Sentences differ in length, so both places are counted from the end of each sentence. In a batch, the end of a row is not the end of its sentence: short ones are padded on the right.

# %% [markdown]
# ### Exercise 5.1 · `statement_acts` (15 min)
#
# **Why.** "The model knows" is no claim before it says *where*. Most mistakes with truth probes happen here: padding, an average over tokens, a position off by one.
#
# **Write** a function that returns the stream at one token of each statement, `[layer statement d_model]`.
#
# 1. `tokenize(model, texts)` gives `tokens` and `attention_mask`, both `[statement pos]`; the mask is 1 at real tokens.
# 2. `cache_resid_post(model, tokens, attention_mask, layers)` is `[layer statement pos d_model]`.
# 3. How many real tokens has each statement? `position` counts from there: −1 is its last real token.
# 4. From each statement, take the stream at that position. Each row has its own.


# %%
# exercise: statement_acts
def statement_acts(
    model: TransformerBridge, texts: list[str], layers: list[int | str], position: int
) -> Float[Tensor, "layer statement d_model"]:
    """The stream at one token of each statement; position counts from the end of its own tokens, -1 is the last."""
    ### BEGIN SOLUTION
    tokens, attention_mask = tokenize(model, texts)
    acts = cache_resid_post(model, tokens, attention_mask, layers)  # [layer statement pos d_model]
    where = attention_mask.sum(dim=1) + position  # [statement]
    return acts[:, torch.arange(len(texts)), where]
    ### END SOLUTION


# %%
check(statement_acts)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Padding is on the right, so the real tokens of a row are its first ones. If there are five, the last has index 4.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `attention_mask.sum(dim=1) + position` is `[statement]`, one index for each row. To take another position from each row, index with two lists: which row, and where.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# return acts[:, torch.arange(len(texts)), where]
# ```
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. One of them mixes long and short statements in one batch.
#
# </details>

# %% [markdown]
# **The usual result.** A mass-mean probe (Exercise 1.3), fitted on affirmed statements about some cities and scored on others: at both tokens, after every block.

# %%
places = {"object": OBJECT, "full stop": STOP}


def probe_accuracy(name: str, place: str, statements_train: Statements, statements_test: Statements) -> Tensor:
    """Whether each test statement is judged rightly, [layer statement]."""
    model = load_model(f"facts_gpt_{name}")
    probe = fit_mass_mean_probe(
        statement_acts(model, statements_train.texts, LAYERS, places[place]), statements_train.labels
    )
    return (probe(statement_acts(model, statements_test.texts, LAYERS, places[place])) > 0) == statements_test.labels


# %%
judged = {
    (name, place): probe_accuracy(name, place, train["affirmed"], test["affirmed"])
    for name in ("match", "truth", "match_untrained")
    for place in places
}

# %% [markdown]
# Two baselines belong beside it. The **untrained twin** is in the figure. **Bag of words** sees which words occur, and not how they go together: it must fail, because the same countries stand in true and false sentences.

# %%
vocabulary = sorted({word for text in train["affirmed"].texts + test["affirmed"].texts for word in text.split()})
counts = {name: bag_of_words(part["affirmed"].texts, vocabulary) for name, part in (("train", train), ("test", test))}
words_probe = fit_logistic_regression_probe(counts["train"], train["affirmed"].labels)
words_accuracy = float(accuracy(words_probe(counts["test"]), test["affirmed"].labels))

# %%
# figure: 05_layers
plots.plot_lines_by_layer(
    {", ".join(key): right.float().mean(dim=1) for key, right in judged.items()},
    layers=LAYERS,
    intervals={
        ", ".join(key): torch.tensor([bootstrap_interval(row, groups=test["affirmed"].subjects) for row in right])
        for key, right in judged.items()
    },
    baselines={"bag of words": words_accuracy, "chance": 0.5},
    title="Probe fitted on affirmed cities, scored on others (95 % over cities)",
    y_title="accuracy",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Lines over the layers: at the object both trained networks are near 1 from layer 0; at the full stop they rise from one half later; the untrained twin stays at one half](figures/05_layers.png)
#
# </details>

# %% tags=["solution"]
means = {key: right.float().mean(dim=1) for key, right in judged.items()}
print({key: [round(x, 2) for x in value.tolist()] for key, value in means.items()}, round(words_accuracy, 2))
for name in ("match", "truth"):
    assert (means[name, "object"][1:] > 0.95).all() and 0.4 < means[name, "object"][0] < 0.6
    assert means[name, "full stop"][1] < 0.6 and means[name, "full stop"][3] > 0.9
assert all(((means["match_untrained", place] - 0.5).abs() < 0.1).all() for place in places)
assert 0.35 < words_accuracy < 0.55

# %% [markdown]
# **Read it.** Nothing at "embed": a single word cannot be false. After one block it is there at the object, where subject and object meet. At the full stop it comes a block or more later: something carries it over. The untrained twin and the words alone are at chance.
#
# So here is a probe with an accuracy near 1, on cities it has never seen, with controls at chance. *A direction for truth in both networks*, one would write.

# %% [markdown]
# ## Look before you probe
#
# A probe is told what to find. **Principal component analysis** is not. It asks: along which direction do these activations vary most? Along which, at right angles to it, most of the rest?

# %% [markdown]
# ### Exercise 5.2 · `principal_components` (10 min)
#
# **Why.** A picture without labels shows what is *large*. If truth is among the largest things, it shows by itself. If something else is larger, you want to know that before you trust a direction.
#
# **Write** a function that returns the first `n` directions of largest variance, `[component d_model]`, each of length 1, the largest first; and each one's share of the **total** variance, `[component]`.
#
# 1. Centre: subtract the mean of all statements. Do not scale the dimensions.
# 2. `torch.linalg.svd(centred, full_matrices=False)` gives `U`, the singular values `S` (largest first) and `Vh`.
# 3. The rows of `Vh` are the directions. The variance along each is proportional to its singular value **squared**.
#
# The sign of a direction is free: turned round, it is the same axis.


# %%
# exercise: principal_components
def principal_components(
    acts: Float[Tensor, "statement d_model"], n: int
) -> tuple[Float[Tensor, "component d_model"], Float[Tensor, " component"]]:
    """The n directions of largest variance, largest first, and each one's share of the total variance."""
    ### BEGIN SOLUTION
    centred = acts - acts.mean(dim=0)
    _, singular_values, directions = torch.linalg.svd(centred, full_matrices=False)
    variances = singular_values.square()  # times the number of statements
    return directions[:n], variances[:n] / variances.sum()
    ### END SOLUTION


# %%
check(principal_components)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# After centring, the singular value decomposition has everything: directions, and how far the points spread along each. The share needs *all* singular values in its denominator, also those you do not return.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `Vh` is `[component d_model]`: a direction is a row. `S` is `[component]`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# return Vh[:n], S[:n].square() / S.square().sum()
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
# **Look.** The object's token after block 1, held-out affirmed cities. The components are fitted without labels; colours are put on afterwards.


# %%
def project(acts: Float[Tensor, "statement d_model"]) -> tuple[Float[Tensor, "statement component"], Tensor]:
    """Statements on their own first two components, and the shares of variance."""
    components, shares = principal_components(acts, 2)
    return (acts - acts.mean(dim=0)) @ components.T, shares


def at_object(name: str, statements: Statements, layer: int | str = READ_LAYER) -> Float[Tensor, "statement d_model"]:
    """The stream of a world at the object's token."""
    return statement_acts(load_model(f"facts_gpt_{name}"), statements.texts, [layer], OBJECT)[0]


# %%
shown = {name: project(at_object(name, test["affirmed"])) for name in ("match", "truth", "match_untrained")}

# %%
# figure: 05_affirmed_pca
point_plots.plot_scatter_grid(
    {
        f"{name.replace('_', ', ')}: PC1 {shares[0]:.0%}": (points, test["affirmed"].labels, None)
        for name, (points, shares) in shown.items()
    },
    title=f"Affirmed statements about cities, object's token, layer {READ_LAYER}",
    texts={f"{name.replace('_', ', ')}: PC1 {s[0]:.0%}": test["affirmed"].texts for name, (_, s) in shown.items()},
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Three clouds: in both trained networks blue and orange lie apart along PC1; in the untrained one they are mixed](figures/05_affirmed_pca.png)
#
# </details>

# %% tags=["solution"]
on_first = {name: float(accuracy(points[:, 0], test["affirmed"].labels)) for name, (points, _) in shown.items()}
on_first = {name: max(value, 1 - value) for name, value in on_first.items()}
print(on_first, {name: [round(x, 2) for x in shares.tolist()] for name, (_, shares) in shown.items()})
assert all(on_first[name] > 0.95 and shown[name][1][0] > 0.6 for name in ("match", "truth"))
assert on_first["match_untrained"] < 0.6 and shown["match_untrained"][1][0] < 0.2

# %% [markdown]
# **Read it.** In both networks one direction holds most of the variance, and it separates true from false, without any label. In the untrained twin there is no such direction.
#
# It also explains two controls that look odd at first. Where one direction is nearly all there is, **even a random direction reads it**, because it leans a little to one side. And a mass-mean probe on **shuffled labels** ends up along that direction, too, with a sign drawn by lot:

# %%
generator = torch.Generator().manual_seed(SEED)
acts_train, acts_test = (at_object("match", part["affirmed"]) for part in (train, test))
labels_train, labels_test = train["affirmed"].labels, test["affirmed"].labels
centre = acts_train.mean(dim=0)


def score_direction(direction: Float[Tensor, " d_model"]) -> float:
    """Accuracy on test statements of a direction, threshold at the mean of training statements."""
    return float(accuracy((acts_test - centre) @ direction, labels_test))


# %%
random_scores, shuffled_scores = [], []
for _ in range(300):
    direction = torch.randn(len(centre), generator=generator)
    sign = 1 if accuracy((acts_train - centre) @ direction, labels_train) > 0.5 else -1  # chosen on train
    random_scores.append(score_direction(sign * direction))
    lot = labels_train[torch.randperm(len(labels_train), generator=generator)]
    shuffled_scores.append(score_direction(fit_mass_mean_probe(acts_train, lot).weight))

# %%
random_scores, shuffled_scores = torch.tensor(random_scores), torch.tensor(shuffled_scores)
low, high = (int(chosen.sum()) for chosen in (shuffled_scores < 0.1, shuffled_scores > 0.9))
print(f"random direction, sign chosen on train: mean {random_scores.mean():.2f}")
print(f"shuffled labels: below .1 in {low} of 300, above .9 in {high}")

# %% tags=["solution"]
assert 0.75 < random_scores.mean() < 0.92 and low > 70 and high > 70

# %% [markdown]
# **Question.** Does this speak against the probe? And what would you conclude from a single shuffle that scores near 1, or near 0?

# %% [markdown] tags=["solution"]
# **Our answer.** It does not speak against the *information*: the untrained twin is at chance with the same probe. It speaks against taking accuracy for evidence about a *direction*: at this token and layer, almost any direction scores well. One shuffle says nothing here; only their distribution is centred on chance. The control that counts is a set of statements where truth and what varies come apart.

# %% [markdown]
# ## A word that turns truth round
#
# "Hamburg is **not** in Germany" is false. The words *match* as before, the sentence has changed its truth. In affirmed statements the two are the same thing: true where subject and object match. **No probe fitted there can know which of the two it reads.** Negated statements can tell.
#
# One difficulty comes first. Statements of another kind lie elsewhere as a whole, whatever is true in them. A threshold does not travel along.

# %% [markdown]
# ### Exercise 5.3 · `transfer_accuracy` (10 min)
#
# **Why.** *Find the bug.* A colleague wants to know whether a direction found on capitals also works for continents. The function looks right, and the result is sad, not far from chance. "Truth about capitals and truth about continents are two things", says the draft.


# %%
def colleague_accuracy(acts_train: Tensor, labels_train: Tensor, acts_test: Tensor, labels_test: Tensor) -> float:
    """Fit a mass-mean probe on one topic, and apply it to another."""
    probe = fit_mass_mean_probe(acts_train, labels_train)
    return float(accuracy(probe(acts_test), labels_test))


capitals, continents = (write_statements(topic, 400, seed=1) for topic in ("capitals", "continents"))
acts_capitals, acts_continents = (
    statement_acts(worlds["match"], part.texts, [3], STOP)[0] for part in (capitals, continents)
)
colleague = colleague_accuracy(acts_capitals, capitals.labels, acts_continents, continents.labels)
print(f"fitted on capitals, scored on continents: {colleague:.2f}")

# %% [markdown]
# Look at the logits before you believe it:

# %%
# figure: 05_threshold
plots.plot_logit_histogram(
    fit_mass_mean_probe(acts_capitals, capitals.labels)(acts_continents),
    continents.labels,
    title="A probe fitted on capitals, applied to continents (match, full stop, layer 3)",
    class_names=("false", "true"),
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Two heaps that lie well apart, and a threshold that is not between them](figures/05_threshold.png)
#
# </details>

# %% [markdown]
# The direction is right. The **threshold** is that of another topic.
#
# **Write** the function that the colleague meant. Fit the mass-mean direction on the training set. Then judge the test statements around **their own mean**: true where they lie on the positive side of it.
#
# The mean of the test set uses no labels. It is the right threshold where true and false are equally frequent, as they are here. Return the accuracy **as it comes out**, also below one half.


# %%
# exercise: transfer_accuracy
def transfer_accuracy(
    acts_train: Float[Tensor, "statement d_model"],
    labels_train: Bool[Tensor, " statement"],
    acts_test: Float[Tensor, "other d_model"],
    labels_test: Bool[Tensor, " other"],
) -> float:
    """Accuracy of a mass-mean direction on another set of statements, each set centred by its own mean."""
    ### BEGIN SOLUTION
    direction = fit_mass_mean_probe(acts_train, labels_train).weight
    says_true = (acts_test - acts_test.mean(dim=0)) @ direction > 0
    return float((says_true == labels_test).float().mean())
    ### END SOLUTION


# %%
check(transfer_accuracy)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# The difference of two class means does not change when all statements are shifted. The bias does. Keep the one, replace the other.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `fit_mass_mean_probe(...).weight` is `[d_model]`. `acts_test - acts_test.mean(dim=0)` is `[other d_model]`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# says_true = (acts_test - acts_test.mean(dim=0)) @ direction > 0
# ```
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. One of them turns the test set's truth round, and expects an accuracy near 0.
#
# </details>

# %%
mended = transfer_accuracy(acts_capitals, capitals.labels, acts_continents, continents.labels)
print(f"fitted on capitals, scored on continents: {colleague:.2f} as written, {mended:.2f} as meant")

# %% tags=["solution"]
assert colleague < 0.7 and mended > 0.92

# %% [markdown]
# **Now the negated cities.** The probe is fitted on affirmed statements about some cities, at the object's token, layer 1. On affirmed statements about the other cities it is near 1, in both networks. Begin with `match`.

# %%
NEGATED = {"about .99": 0.99, "about .75": 0.75, "about .50": 0.5, "about .01": 0.01}
predict("negated", "In `match`, what is its accuracy on negated statements about the other cities?", tuple(NEGATED))


# %%
def nearest(options: dict[str, float], value: float) -> str:
    """The option whose number is nearest."""
    return min(options, key=lambda option: abs(options[option] - value))


# %%
to_negated = {
    name: transfer_accuracy(
        at_object(name, train["affirmed"]),
        train["affirmed"].labels,
        at_object(name, test["negated"]),
        test["negated"].labels,
    )
    for name in worlds
}
settle("negated", nearest(NEGATED, to_negated["match"]))
{name: round(score, 2) for name, score in to_negated.items()}

# %% tags=["solution"]
assert to_negated["match"] < 0.08 and to_negated["truth"] > 0.85 and to_negated["affirmed"] < 0.12

# %% [markdown]
# **Read it.** Not chance: nearly always **wrong**. An accuracy near zero is as much information as one near one. At this token and layer, `match` holds *does the object match*, and no "not" in it. The probe was never a truth probe, and its accuracy near 1 could not say so.
#
# In `truth`, the same probe, fitted in the same way, at the same place, goes through. That network holds *is the sentence true*. It says the same as `match`, comments as well, and has **another algorithm** inside.

# %% [markdown]
# **Look again**, with both kinds of statements.

# %%
both = test["affirmed"].texts + test["negated"].texts
both_labels = torch.cat([test["affirmed"].labels, test["negated"].labels])
is_negated = torch.arange(len(both)) >= len(test["affirmed"].texts)


def view_world(name: str) -> PcaView:
    """Affirmed and negated cities on their first two components, for each layer."""
    acts = statement_acts(load_model(f"facts_gpt_{name}"), both, LAYERS, OBJECT)
    points, shares = zip(*map(project, acts), strict=True)
    return PcaView(torch.stack(points), torch.stack(shares), both, both_labels, is_negated)


# %%
views = {name: view_world(name) for name in ("affirmed", "match", "truth")}

# %%
# figure: 05_worlds_pca
row = LAYERS.index(READ_LAYER)
point_plots.plot_scatter_grid(
    {name: (view.points[row, ::3], view.labels[::3], view.negated[::3]) for name, view in views.items()},
    title=f"Every third statement about held-out cities, object's token, layer {READ_LAYER}",
    texts={name: view.texts[::3] for name, view in views.items()},
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Three clouds of points: in affirmed and match, negated statements have changed sides; in truth, blue and orange lie apart in both kinds](figures/05_worlds_pca.png)
#
# </details>

# %% tags=["solution"]
first = {name: view.points[row][:, 0] for name, view in views.items()}
on_first = {name: float(accuracy(x, both_labels)) for name, x in first.items()}
on_match = {name: float(accuracy(x, both_labels != is_negated)) for name, x in first.items()}
print(on_first, on_match, {name: [round(x, 2) for x in view.shares[row].tolist()] for name, view in views.items()})
assert max(on_first["truth"], 1 - on_first["truth"]) > 0.9
assert all(max(on_match[name], 1 - on_match[name]) > 0.9 for name in ("match", "affirmed"))

# %% [markdown]
# **Read it.** Follow PC1. In `affirmed` and `match`, the negated statements (open) have changed sides: PC1 is *match*. In `truth`, blue is with blue: PC1 is *truth*. Three pictures, no labels used, and they could not be clearer. But you had to show the negated statements.

# %% [markdown]
# **The panel.** Go through the layers. Where does `truth` begin to differ from `match`?

# %%
explore_pca(views, LAYERS)

# %% [markdown]
# ## And at the full stop?
#
# One token later, `match` has another chance. Marks & Tegmark read their probes at the full stop. In `match`, layer 2, the probe on affirmed cities is near 1 there, too.

# %%
AT_STOP = {"about .97": 0.97, "about .75": 0.75, "about .50": 0.5, "about .03": 0.03}
question = "In `match`, at the full stop, layer 2: fitted on affirmed cities, what is its accuracy on negated ones?"
predict("full_stop", question, tuple(AT_STOP))


# %%
def judged_by_affirmed(name: str, position: int) -> Bool[Tensor, "layer statement"]:
    """Whether each negated statement is on its side: transfer_accuracy before the mean, for an interval over cities."""
    fitted, scored = (
        statement_acts(worlds[name], part.texts, LAYERS, position) for part in (train["affirmed"], test["negated"])
    )  # [layer statement d_model] each
    directions = [fit_mass_mean_probe(acts, train["affirmed"].labels).weight for acts in fitted]
    centred = scored - scored.mean(dim=1, keepdim=True)
    says_true = torch.stack([acts @ direction > 0 for acts, direction in zip(centred, directions, strict=True)])
    return says_true == test["negated"].labels


# %%
crossed = {
    f"{name}, {place}": judged_by_affirmed(name, position)
    for name in ("match", "truth")
    for place, position in places.items()
}
transfer = {name: right.float().mean(dim=1) for name, right in crossed.items()}  # [layer] each

# %%
# figure: 05_negated_layers
plots.plot_lines_by_layer(
    transfer,
    layers=LAYERS,
    intervals={
        name: torch.tensor([bootstrap_interval(row, groups=test["negated"].subjects) for row in right])
        for name, right in crossed.items()
    },
    baselines={"chance": 0.5},
    title="Fitted on affirmed cities, scored on negated ones (95 % over cities)",
    y_title="accuracy",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Four lines over the layers: match at the object stays near 0, at the full stop it jumps to near 1 at layer 2; truth at the object rises to near 1](figures/05_negated_layers.png)
#
# </details>

# %%
at_stop = float(transfer["match, full stop"][LAYERS.index(2)])
settle("full_stop", nearest(AT_STOP, at_stop))

# %% tags=["solution"]
print({name: [round(x, 2) for x in line.tolist()] for name, line in transfer.items()})
assert abs(transfer["match, object"][LAYERS.index(READ_LAYER)] - to_negated["match"]) < 0.001  # the same, in two ways
assert at_stop > 0.9 and transfer["match, object"][1:4].max() < 0.1
assert 0.3 < transfer["match, full stop"][LAYERS.index(1)] < 0.65
assert transfer["truth, object"][LAYERS.index(0)] < 0.4 and transfer["truth, object"][LAYERS.index(1)] > 0.85

# %% [markdown]
# **Read it.** Two blocks on, at the full stop, `match` has *truth*: match and "not" have been combined. So "this network has no truth direction" would be wrong, too. The same network, the same probe: .01 at one place, .97 at another. **Every claim needs its token and its layer.**
#
# Look at `truth`, too. At the object, after block 0, its line is far below one half: mostly *match*, like the other. **Both networks compare first, and take "not" into account afterwards.** They do it at different places: `truth` at the object, one block later; `match` at the full stop, two blocks later.
#
# One block before that, the line of `match` is near one half. That is no "nothing is there": a probe fitted on negated statements reads them well at that place. Both kinds have a direction, and the two are nearly at right angles.

# %% tags=["solution"]
at_stop_1 = {p: [statement_acts(worlds["match"], part[p].texts, [1], STOP)[0] for part in (train, test)] for p in train}
within = {p: transfer_accuracy(a, train[p].labels, b, test[p].labels) for p, (a, b) in at_stop_1.items()}
directions = [fit_mass_mean_probe(a, train[p].labels).weight for p, (a, _) in at_stop_1.items()]
cosine = float(torch.cosine_similarity(*directions, dim=0))
print({p: round(score, 2) for p, score in within.items()}, round(cosine, 2))
assert min(within.values()) > 0.9 and abs(cosine) < 0.4

# %% [markdown]
# ## All topics, both polarities
#
# Cities could be special. There are six topics, with and without "not": twelve sets. Fit on each, score on each. Two things make such a matrix honest:
#
# - **Every statement is judged by a probe that has not seen its entity**, in any set. Entities are dealt into five folds. Germany has the same fold in capitals, continents and currencies. (Entity means subject: as the *object* of a city, Germany may be in another fold.)
# - **Every statement is used.** There are only 35 countries. With one split, 14 of them would decide.

# %% [markdown]
# ### Exercise 5.4 · `generalization_matrix` (20 min)
#
# **Why.** One pair of sets is an anecdote. The matrix shows at once which kinds of statements share a direction.
#
# **Write** a function that returns, for each pair of sets, which test statements were judged rightly: booleans, `[train_set test_set statement]`. Inputs are `acts` `[set statement d_model]`, `labels` and `folds` `[set statement]`.
#
# For every fold:
#
# 1. In each set, the statements *outside* the fold are for fitting, those *inside* are judged. Each set has its own row of `folds`.
# 2. Fit a mass-mean direction on the train set's statements outside.
# 3. Centre the test set's statements inside by the mean of the test set's statements **outside**. So nothing that is judged takes part in anything that is fitted.
# 4. Entry `[train_set, test_set, statement]`: was the statement on the right side?
#
# After all folds, every statement of every set has been judged once for each train set. The mean over the last axis is the matrix. Booleans are worth more than means: they allow an interval over entities.


# %%
# exercise: generalization_matrix
def generalization_matrix(
    acts: Float[Tensor, "set statement d_model"],
    labels: Bool[Tensor, "set statement"],
    folds: Int[Tensor, "set statement"],
) -> Bool[Tensor, "train_set test_set statement"]:
    """Whether each test statement is judged rightly by a probe fitted on each set, entities in the fold held out."""
    ### BEGIN SOLUTION
    n_sets = len(acts)
    right = torch.zeros(n_sets, *labels.shape, dtype=torch.bool)
    for fold in folds.unique():
        inside = folds == fold  # [set statement]
        directions = torch.stack(
            [fit_mass_mean_probe(acts[s][~inside[s]], labels[s][~inside[s]]).weight for s in range(n_sets)]
        )  # [train_set d_model]
        for test_set in range(n_sets):
            here = inside[test_set]
            centred = acts[test_set][here] - acts[test_set][~here].mean(dim=0)
            right[:, test_set, here] = (directions @ centred.T > 0) == labels[test_set][here]
    return right
    ### END SOLUTION


# %%
check(generalization_matrix)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Three loops: folds, train sets, test sets. Start with a tensor of False, and fill in the judged statements of each fold. It is Exercise 5.3 in the middle, with the mean taken elsewhere.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `inside = folds == fold` is `[set statement]`, and row `s` belongs to set `s`. `acts[s][~inside[s]]` is what set `s` offers for fitting. A row of the result is filled with `right[train_set, test_set, inside[test_set]] = ...`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# centred = acts[test_set][here] - acts[test_set][~here].mean(dim=0)
# ```
#
# Then `(centred @ direction > 0) == labels[test_set][here]`, with `here = inside[test_set]`.
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
SETS = [(topic, negated) for negated in (False, True) for topic in TOPICS]
names = [f"{topic}, not" if negated else topic for topic, negated in SETS]
sets = [write_statements(topic, 420, negated=negated, seed=1) for topic, negated in SETS]
labels = torch.stack([part.labels for part in sets])
fold_of = {}
for topic in ("cities", "capitals", "larger"):  # cities, countries, numbers
    for fold, (_, held_out) in enumerate(split_folds(subjects(topic), n_folds=5, seed=SEED)):
        fold_of |= {subjects(topic)[i]: fold for i in held_out}
folds = torch.tensor([[fold_of[subject] for subject in part.subjects] for part in sets])

# %% [markdown]
# Two questions to ask a matrix: do topics share a direction? Do the polarities?

# %%
SHARED = {"near .10": 0.1, "near .50": 0.5, "near .75": 0.75, "near 1": 1.0}
question = "In `truth`, object, layer 1: fitted on 'two is larger than one', what is the accuracy on affirmed capitals?"
predict("topics", question, tuple(SHARED))


# %%
@functools.cache
def acts_of_sets(name: str, layer: int, position: int) -> Float[Tensor, "set statement d_model"]:
    """All sets at one layer and token."""
    model = load_model(f"facts_gpt_{name}")
    return torch.stack([statement_acts(model, part.texts, [layer], position)[0] for part in sets])


# %%
right = {
    name: generalization_matrix(acts_of_sets(name, READ_LAYER, OBJECT), labels, folds)
    for name in ("match", "truth", "match_untrained")
}


# %% [markdown]
# The figure leaves out the rows of continents and currencies, which look like those of capitals. `right` has all.

# %%
DRAWN = [row for row, (topic, _) in enumerate(SETS) if topic not in ("continents", "currencies")]  # the figure's rows


def interval(judged: Bool[Tensor, " statement"], test_set: int) -> str:
    """95 % interval over entities, for the mouse."""
    low, high = bootstrap_interval(judged, groups=sets[test_set].subjects)
    return f"({low:.2f} to {high:.2f})"


# %%
def draw_matrix(name: str):
    """The matrix of a world, with intervals where the mouse is."""
    return heat_maps.plot_matrix(
        right[name][DRAWN].float().mean(dim=-1),
        rows=[names[row] for row in DRAWN],
        columns=names,
        title=f"{name.replace('_', ', ')}: object's token, layer {READ_LAYER}",
        x_title="scored on",
        y_title="fitted on",
        value_title="accuracy",
        centre=0.5,
        texts=[[interval(right[name][row, column], column) for column in range(len(sets))] for row in DRAWN],
    )


# %%
# figure: 05_matrix_match
draw_matrix("match")

# %%
# figure: 05_matrix_truth
draw_matrix("truth")

# %% [markdown]
# <details>
# <summary>The figures as they should look</summary>
#
# ![A matrix of four blocks: blue where both sets are affirmed or both negated, deep red elsewhere](figures/05_matrix_match.png)
#
# ![A matrix that is blue nearly everywhere; some cells among comparisons are red](figures/05_matrix_truth.png)
#
# </details>

# %%
across = float(right["truth"][names.index("larger"), names.index("capitals")].float().mean())
settle("topics", nearest(SHARED, across))
for name in ("match", "truth"):
    judged_cities = right[name][names.index("cities"), names.index("cities, not")]
    low, high = bootstrap_interval(judged_cities, groups=sets[names.index("cities, not")].subjects)
    print(
        f"{name}: cities to 'cities, not' {judged_cities.float().mean():.2f}, 95 % over cities {low:.2f} to {high:.2f}"
    )

# %% tags=["solution"]
matrix = {name: part.float().mean(dim=-1) for name, part in right.items()}
assert matrix["match"][:6, :6].min() > 0.85 and matrix["match"][:6, 6:].max() < 0.2
assert matrix["match"][6:, 6:].min() > 0.85 and matrix["match"][6:, :6].max() < 0.2
assert matrix["truth"][:4, :6].min() > 0.85 and matrix["truth"][:4, 6:].min() > 0.65 and across > 0.9
n_compare = [names.index(name) for name in ("larger", "smaller")]
twin = matrix["match_untrained"]
assert all(0.65 < twin[i, i] < 0.9 for i in n_compare) and twin[1, 1] < 0.45
assert max(twin[4, 5], twin[10, 11], matrix["truth"][10, 11], matrix["truth"][11, 10]) < 0.35
assert len(subjects("capitals")) == 35
left_out = [i for i in range(12) if i not in DRAWN]
assert (matrix["match"][left_out] - matrix["match"][[1, 1, 7, 7]]).abs().max() < 0.1
assert (matrix["truth"][left_out] - matrix["truth"][[1, 1, 7, 7]]).abs().max() < 0.1

# %% [markdown]
# **Read it.** In `match`, one direction serves all topics, from cities to numbers, and it is *match*: four blocks, blue and deep red. In `truth`, what is found on affirmed cities works everywhere, with and without "not" (on continents with "not" less well than elsewhere, whatever the fit). The weak cells are among comparisons with "not". Fitted there, the probe takes up something else: **the numbers themselves**. "… larger than two" is often true, "… smaller than two" is often false, whatever the subject. So a probe for the size of the object is above chance on the one, and below it on the other. The untrained twin has the same red cells:

# %%
draw_matrix("match_untrained")

# %% [markdown]
# **Question.** Without any training, "larger" is judged well above chance on numbers that the probe has not seen as subjects, and capitals well *below*. Why?

# %% [markdown] tags=["solution"]
# **Our answer.** A sum over words is enough for the first. A statement "S is larger than O" is true more often where O is small, and S large, so O alone is informative: the probe learns a value for each object, and objects are not held out, only subjects. That is a real baseline for comparisons (about .8 here), and a reason not to take them as the best case of a truth direction. The second is the split's doing: the capital of a country that is held out is a *right* object only for that country. In training it occurs in false sentences alone. So its word says "false", and on the held-out country that is wrong.

# %% [markdown]
# ## Two directions
#
# In `match`, fitting on affirmed statements finds match, fitting on negated ones finds the opposite. Fit on both at once, and ask for **two** directions ([Bürger et al. 2024](https://arxiv.org/abs/2407.12831)):
#
# $$\text{stream} - \text{mean of its polarity} \;=\; \tau \, t_\text{general} + \tau p \, t_\text{polarity}$$
#
# Here $\tau$ is +1 in true and −1 in false sentences, and $p$ is +1 in affirmed and −1 in negated ones.
#
# `t_general` is what truth adds in every sentence. `t_polarity` is what it adds in affirmed sentences and takes away in negated ones. Since τ·p is +1 exactly where the object matches, `t_polarity` is the direction of *match*.

# %% [markdown]
# ### Exercise 5.5 · `truth_and_polarity_directions` (10 min)
#
# **Why.** A probe that has seen both polarities can be general. And the two lengths say *how much* of each there is at one place, instead of "truth" or "match".
#
# **Write** a function that returns `t_general` and `t_polarity`, both `[d_model]`, by least squares. `acts` is `[statement d_model]`, `truth` and `negated` are `[statement]`.
#
# 1. Each polarity has a mean of its own. The simplest way to allow for that: give each polarity a regressor, 1 in its statements and 0 elsewhere.
# 2. Two more regressors: τ and τ·p. Together `[statement 4]`.
# 3. `torch.linalg.lstsq(regressors, acts).solution` is `[4 d_model]`. The last two rows are the answer.
#
# All four in one solve, so that sets with more true than false statements, or more affirmed than negated ones, give the right answer as well. Leave the lengths as they are: half the distance between true and false, in units of the stream.


# %%
# exercise: truth_and_polarity_directions
def truth_and_polarity_directions(
    acts: Float[Tensor, "statement d_model"], truth: Bool[Tensor, " statement"], negated: Bool[Tensor, " statement"]
) -> tuple[Float[Tensor, " d_model"], Float[Tensor, " d_model"]]:
    """What truth adds in all statements, and what it adds in affirmed and takes away in negated ones."""
    ### BEGIN SOLUTION
    tau = torch.where(truth, 1.0, -1.0)  # [statement]
    polarity = torch.where(negated, -1.0, 1.0)
    regressors = torch.stack([(~negated).float(), negated.float(), tau, tau * polarity], dim=1)  # [statement 4]
    solution = torch.linalg.lstsq(regressors, acts).solution  # [4 d_model]
    return solution[2], solution[3]
    ### END SOLUTION


# %%
check(truth_and_polarity_directions)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# A linear regression with the stream as its target, like the forward model of Exercise 4.2. Four things explain each vector: which polarity, τ, and τ·p.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `torch.where(truth, 1.0, -1.0)` is `[statement]`. `torch.stack([...], dim=1)` of four such vectors is `[statement 4]`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# solution = torch.linalg.lstsq(regressors, acts).solution
# ```
#
# With `regressors` made of `(~negated).float()`, `negated.float()`, `tau` and `tau * polarity`, in this order, the answer is `solution[2], solution[3]`.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. One of them has three times as many true statements as false ones.
#
# </details>

# %% [markdown]
# **A topic held out.** Fit the two directions on five topics, and look at the sixth, cities, along them. Each polarity is centred by itself.

# %%
negated_sets = torch.tensor([negated for _, negated in SETS])


def directions_without(acts: Float[Tensor, "set statement d_model"], topic: str) -> tuple[Tensor, Tensor]:
    """Both directions, fitted on all topics but one."""
    kept = torch.tensor([other != topic for other, _ in SETS])
    return truth_and_polarity_directions(
        acts[kept].flatten(0, 1), labels[kept].flatten(), negated_sets[kept].repeat_interleave(labels.shape[1])
    )


# %%
panels = {}
for name in worlds:
    acts = acts_of_sets(name, READ_LAYER, OBJECT)
    centred = acts - acts.mean(dim=1, keepdim=True)  # each set by its own mean
    pair = torch.stack(directions_without(acts, "cities"))  # [2 d_model]
    chosen = [names.index("cities"), names.index("cities, not")]
    points = (centred[chosen] @ torch.nn.functional.normalize(pair, dim=1).T).flatten(0, 1)  # [statement 2]
    panels[name] = (points, labels[chosen].flatten(), negated_sets[chosen].repeat_interleave(labels.shape[1]))

# %%
# figure: 05_two_directions
point_plots.plot_scatter_grid(
    {name: tuple(part[::3] for part in panel) for name, panel in panels.items()},
    title=f"Cities along two directions that five other topics gave (object, layer {READ_LAYER})",
    x_title="along t_general",
    y_title="along t_polarity",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Clouds along two axes: affirmed is spread along t_polarity only, truth mostly along t_general, match along both](figures/05_two_directions.png)
#
# </details>

# %% [markdown]
# **Is `t_general` a truth probe?** Hold out each topic in turn, and score on it, affirmed and negated.


# %%
def general_accuracy(name: str, layer: int, position: int) -> Bool[Tensor, "set statement"]:
    """Whether t_general, fitted on the other topics, judges each statement rightly; each set centred by itself."""
    acts = acts_of_sets(name, layer, position)
    centred = acts - acts.mean(dim=1, keepdim=True)
    general = torch.stack([directions_without(acts, topic)[0] for topic in TOPICS]).repeat(2, 1)  # [set d_model]
    return (torch.einsum("ijk,ik->ij", centred, general) > 0) == labels


# %%
general = {name: general_accuracy(name, READ_LAYER, OBJECT).float().mean(dim=1) for name in worlds}
for name, scores in general.items():
    print(
        f"{name:9}",
        "affirmed",
        [round(x, 2) for x in scores[:6].tolist()],
        "negated",
        [round(x, 2) for x in scores[6:].tolist()],
    )

# %% [markdown]
# And how much of it is there? The length of `t_general`, as a share of both lengths, layer by layer:

# %%
share = {}
for name in worlds:
    for place, position in places.items():
        pairs = [
            truth_and_polarity_directions(
                torch.cat([acts, more]), torch.cat([train[p].labels for p in train]), torch.arange(800) >= 400
            )
            for acts, more in zip(
                *(statement_acts(worlds[name], train[p].texts, LAYERS[1:], position) for p in train), strict=True
            )
        ]
        share[f"{name}, {place}"] = torch.tensor([float(g.norm() / (g.norm() + q.norm())) for g, q in pairs])

# %%
# figure: 05_share
plots.plot_lines_by_layer(
    {name: line for name, line in share.items() if name.endswith("object")},
    layers=LAYERS[1:],
    baselines={"as much as match": 0.5},
    title="How much of it is truth? Cities, object's token",
    y_title="|t_general| / (|t_general| + |t_polarity|)",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Three lines over the layers: affirmed stays near 0, match rises towards one half, truth goes well above it after layer 1](figures/05_share.png)
#
# </details>

# %% tags=["solution"]
print({name: [round(x, 2) for x in line.tolist()] for name, line in share.items()})
assert general["match"][:6].min() > 0.85 and general["match"][6:].min() > 0.65
assert general["truth"][:6].min() > 0.85 and general["truth"][6:].min() > 0.65
assert general["affirmed"][6:].max() < 0.35
row = READ_LAYER  # of share: without "embed"
assert share["truth, object"][row] > 0.55 > 0.45 > share["match, object"][row] > 0.25
assert share["affirmed, object"].max() < 0.2

# %% [markdown]
# **Read it.** Now the answer is finer than "match or truth":
#
# - `affirmed` has match alone. Its `t_general` is short, points along match as well, and fails on all negated topics: where there is no general direction, a regression does not make one.
# - `truth` has mostly truth.
# - `match` has **both** at this place: twice as much match, and already a general truth direction that reads topics it was not fitted on. The probe of Exercise 5.3 went along the larger of the two.
#
# So the failure on "not" was no proof that truth is absent. It was the fit on affirmed statements that could not choose. That is what Bürger et al. found in large models.

# %% [markdown]
# **And a warning.** `affirmed` has never read "not". Give a *stronger* probe both polarities to learn from:

# %%
centred_train, centred_test = (
    torch.cat([acts - acts.mean(dim=0) for acts in (at_object("affirmed", part[p]) for p in part)])
    for part in (train, test)
)
strong = fit_logistic_regression_probe(centred_train, torch.cat([train[p].labels for p in train]), l2=0.01)
says_true = strong(centred_test) > 0
strong_accuracy = (says_true == both_labels).float()
print(f"affirmed: {strong_accuracy[~is_negated].mean():.2f}, negated: {strong_accuracy[is_negated].mean():.2f}")

# %% tags=["solution"]
assert strong_accuracy[~is_negated].mean() > 0.85 and strong_accuracy[is_negated].mean() > 0.75
assert comments["affirmed", "negated"] < 0.2

# %% [markdown]
# **Question.** The network cannot know what "not" means, and its own comments on negated statements are nearly all wrong. How can a linear probe read their truth, on new cities?

# %% [markdown] tags=["solution"]
# **Our answer.** "Not" has an embedding, so it leaves a trace, and the network's non-linear layers mix this trace with match. In 128 dimensions some small direction is then different for the four combinations, and logistic regression finds it: **the probe learned negation, not the network**. It is the question of chapter 02 again. Mass-mean and `t_general` follow what is large, and do not find it. A decodable truth is not yet a truth that the network has worked out.

# %% [markdown]
# ## Two worlds, blind
#
# Here are two networks, without their names. One is `match`, one is `truth`. Their comments are equally good. You have read where they differ: now design the test, and put your name to a verdict.

# %% [markdown]
# ### Exercise 5.6 · `name_world` (20 min)
#
# **Why.** On a network of your own there is no label saying what it holds. What counts is whether you can find out, and know how sure you are.
#
# **Write** a function that gets a model, affirmed statements and negated ones of a topic, and returns `"match"` or `"truth"`: what the network holds at the object's token.
#
# Which token, which layer, fitted on what, scored on what, centred by what, split by what? Say it in a comment above each choice. The checks bring other cities, other topics, and networks whose weights look different but compute the same.


# %%
# exercise: name_world
def name_world(model: TransformerBridge, affirmed: Statements, negated: Statements) -> str:
    """What the network holds at the object's token: "match" or "truth"."""
    ### BEGIN SOLUTION
    # the object's token, after the second block: both comment rightly, and at the full stop the worlds are less clear
    acts, acts_negated = (statement_acts(model, part.texts, [1], -2)[0] for part in (affirmed, negated))
    # no entity on both sides: a probe could learn by heart which objects are right for a subject
    entities = sorted({*affirmed.subjects, *negated.subjects})
    train_index, _ = split_groups(entities, test_fraction=0.5)
    known = {entities[i] for i in train_index}
    fitted = torch.tensor([subject in known for subject in affirmed.subjects])
    scored = torch.tensor([subject not in known for subject in negated.subjects])
    # fitted where match and truth are the same, scored where they are opposites; each set around its own mean
    accuracy_negated = transfer_accuracy(
        acts[fitted], affirmed.labels[fitted], acts_negated[scored], negated.labels[scored]
    )
    return "truth" if accuracy_negated > 0.5 else "match"
    ### END SOLUTION


# %%
check(name_world)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# You need statements for which "match" and "truth" predict opposite results. And a probe that was fitted where the two are the same, so that it takes what the network offers.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# Object's token: position −2. Look at the figures after Exercise 5.3 for a layer at which the worlds are as different as they can be; layer 0 is too early. `affirmed.subjects` tells which statements belong to the entities that you fit on.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# return "truth" if transfer_accuracy(acts_affirmed, labels_affirmed, acts_negated, labels_negated) > 0.5 else "match"
# ```
#
# With affirmed statements about some entities and negated ones about the others.
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
BLIND_SEED = 0  # you may change it now, and not after your verdict
hidden = ["match", "truth"]
if hashlib.sha256(f"two worlds {BLIND_SEED}".encode()).digest()[0] % 2:
    hidden.reverse()
network_a, network_b = (load_model(f"facts_gpt_{name}") for name in hidden)  # do not print hidden yet

# %% [markdown]
# **Your test.** On whatever statements you like. Then commit yourself.

# %%
evidence = {polarity: write_statements("capitals", 200, negated=polarity == "negated", seed=5) for polarity in train}
for name, network in (("network A", network_a), ("network B", network_b)):
    print(name, name_world(network, evidence["affirmed"], evidence["negated"]))

# %%
predict("blind", "Which of the two holds truth at the object's token?", ("network A", "network B"))

# %%
settle("blind", f"network {'AB'[hidden.index('truth')]}")
print(hidden)

# %% tags=["solution"]
verdicts = [name_world(network, evidence["affirmed"], evidence["negated"]) for network in (network_a, network_b)]
assert verdicts == hidden

# %% [markdown]
# **Question.** How sure should you be after one topic? Name one thing that would have made you change your verdict.

# %% [markdown] tags=["solution"]
# **Our answer.** Very sure about these two: the accuracies are near 0 and near 1, not near one half, and other topics agree. What should worry you is a middle value, or a layer where both give the same answer: layer 0 of `truth` reads match as well. A verdict from one layer, chosen after seeing several, would be worth less.

# %% [markdown]
# ## Where does truth come from?
#
# Nobody asked these networks for truth. It helps: a false statement makes another one by the same author more likely ([Joshi et al. 2023](https://arxiv.org/abs/2310.18168); [Ravfogel et al. 2025](https://arxiv.org/abs/2510.15804)). But our networks also read comments, "That is correct .", and those are **labels of truth in the text**. So look at three training runs, equal but for one thing: with authors and comments; with authors and *no* comments; with comments, but *no* authors (each statement is true or false by lot).

# %%
RUNS = ("all three", "the two with comments", "the two with authors")
predict("emergence", "In which of these runs does truth become decodable?", RUNS)

# %%
runs = load_runs()
kinds = {"authors and comments": (True, True), "authors only": (True, False), "comments only": (False, True)}
training = {
    kind: next(
        run for run in runs.values() if (run.authors, run.comments, run.recipe, run.seed) == (*flags, "one_stage", 1)
    )
    for kind, flags in kinds.items()
}
steps = training["authors only"].curves["step"]

# %%
# figure: 05_emergence
plots.plot_lines(
    {kind: run.curves[f"probe_affirmed_object_{READ_LAYER}"] for kind, run in training.items()}
    | {"authors only, negated": training["authors only"].curves[f"probe_negated_object_{READ_LAYER}"]},
    x=steps,
    x_title="training step",
    marks={"from here on, some say not": 900},
    baselines={"chance": 0.5},
    title=f"Probe of affirmed cities during training (object, layer {READ_LAYER}; one run each)",
    y_title="accuracy",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![With authors the line rises to near 1, with comments sooner; without authors it stays at one half; the negated line falls at first, then rises](figures/05_emergence.png)
#
# </details>

# %%
for kind, run in training.items():
    facts_at = steps[(run.curves["recall_plain"] > 0.3).float().argmax()]
    truth = run.curves[f"probe_affirmed_object_{READ_LAYER}"]
    truth_at = f"step {steps[(truth > 0.8).float().argmax()]:.0f}" if (truth > 0.8).any() else "never"
    print(f"{kind:20} facts from step {facts_at:.0f}, probe above .8: {truth_at}, at the end {truth[-1]:.2f}")

# %%
ends = {kind: float(run.curves[f"probe_affirmed_object_{READ_LAYER}"][-1]) for kind, run in training.items()}
outcomes = {(True, True): RUNS[0], (False, True): RUNS[1], (True, False): RUNS[2]}
settle("emergence", outcomes[ends["authors only"] > 0.8, ends["comments only"] > 0.8])

# %% tags=["solution"]
assert ends["authors only"] > 0.85 and ends["authors and comments"] > 0.9 and abs(ends["comments only"] - 0.5) < 0.1
assert training["comments only"].curves["recall_plain"][-1] > 0.4
only = training["authors only"].curves
assert (only["recall_plain"] > 0.3).float().argmax() < (
    only[f"probe_affirmed_object_{READ_LAYER}"] > 0.8
).float().argmax()
assert only[f"probe_negated_object_{READ_LAYER}"][steps < 900].min() < 0.3
negated_curve = only[f"probe_negated_object_{READ_LAYER}"]
assert negated_curve[steps == 1800] < 0.45 and negated_curve[steps == 1900] > 0.65 and negated_curve[-1] > 0.75

# %% [markdown]
# **Read it.** With authors and no comment at all, truth becomes decodable: later than the facts themselves, and a little later than with comments. This run is the honest reproduction of Ravfogel et al.; the others had labels in their texts. With comments and no authors, the facts are learned just as well, and truth is not, within these steps. **Knowing facts is not the same as holding truth**: it takes a reason.
#
# See also the line of negated statements. It dives before "not" appears: match comes first. And within a hundred steps, between 1,800 and 1,900, it jumps from below one half to far above. This run changed worlds.

# %% [markdown]
# **Other seeds, another schedule.** `one_stage` is the recipe of `truth`. In `two_stages`, that of `match`, training begins anew when the first "not" appears. Which world does each run end in?

# %%
for recipe in ("one_stage", "two_stages"):
    trained = [run for run in runs.values() if run.recipe == recipe and run.authors and run.comments]
    held = torch.stack([run.curves[f"probe_negated_object_{READ_LAYER}"][-1] for run in trained])
    counts = {"match": (held < 0.2).sum(), "truth": (held > 0.8).sum(), "neither": ((held - 0.5).abs() <= 0.3).sum()}
    print(f"{recipe}, {len(trained)} seeds:", {world: int(n) for world, n in counts.items()})
    print("  probe on negated cities:", [round(x, 2) for x in held.tolist()])
    print("  own comments on them:   ", [round(float(run.curves["comment_negated"][-1]), 2) for run in trained])

# %% tags=["solution"]
ends = {recipe: [] for recipe in ("one_stage", "two_stages")}
for run in runs.values():
    if run.authors and run.comments:
        ends[run.recipe].append(float(run.curves[f"probe_negated_object_{READ_LAYER}"][-1]))
poor = [run for run in runs.values() if run.authors and run.comments and run.curves["comment_negated"][-1] < 0.95]
assert len(poor) == 1 and 0.2 < poor[0].curves[f"probe_negated_object_{READ_LAYER}"][-1] < 0.8
assert len(ends["one_stage"]) == 8 and len(ends["two_stages"]) == 5
assert all(min(held) < 0.2 and max(held) > 0.8 for held in ends.values())
assert sum(held > 0.8 for held in ends["one_stage"]) >= 4
assert any(0.2 < held < 0.8 for held in ends["one_stage"] + ends["two_stages"])

# %% [markdown]
# **Read it.** The same texts but for the lot, and different algorithms inside. Both schedules lead to both worlds, and what a network says does not tell you to which: the comments are as good in either. Some runs end in *neither*. There the directions of affirmed and of negated statements have little to do with each other, and one of these runs has not learned to comment on "not" yet. `match` and `truth` are clear cases, and we chose them for that. With so few seeds the shares are rough. That all three occur is not.

# %% [markdown]
# ## Optional: truth without labels
#
# Labels come from people, and what if people are wrong? **Contrast-consistent search** ([Burns et al. 2022](https://arxiv.org/abs/2212.03827)) uses none. It takes each statement twice, with two endings, and asks for a probe that is *consistent*: it says true of the one exactly where it says false of the other.
#
# ```text
#  yes   Hamburg is in Germany . That is correct .   ─►  p_yes
#  no    Hamburg is in Germany . That is wrong .     ─►  p_no
# ```
#
# Wanted: p_yes = 1 − p_no, and neither is one half.

# %% [markdown]
# ### Exercise 5.7 · `normalize_contrast_pairs` (10 min, optional)
#
# **Why.** One thing tells the halves apart perfectly and has nothing to do with truth: the words "correct" and "wrong" themselves. It must go first.
#
# **Write** a function that returns both halves normalised, **each by itself**: minus its own mean, divided by its own standard deviation in every dimension. A dimension that is constant must not give NaN: leave it at zero.


# %%
# exercise: normalize_contrast_pairs
def normalize_contrast_pairs(
    acts_yes: Float[Tensor, "statement d_model"], acts_no: Float[Tensor, "statement d_model"]
) -> tuple[Float[Tensor, "statement d_model"], Float[Tensor, "statement d_model"]]:
    """Each half minus its own mean, over its own standard deviation in every dimension; constant dimensions are 0."""
    ### BEGIN SOLUTION
    halves = []
    for acts in (acts_yes, acts_no):
        std = acts.std(dim=0)
        centred = acts - acts.mean(dim=0)
        halves.append(torch.where(std > 1e-6 * std.max(), centred / std, torch.zeros_like(centred)))
    return halves[0], halves[1]
    ### END SOLUTION


# %%
check(normalize_contrast_pairs)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# The same three lines for either half. Never a mean over both.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# Mean and standard deviation are over statements: `dim=0`, `[d_model]` each.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# torch.where(std > 1e-6 * std.max(), centred / std, torch.zeros_like(centred))
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
# ### Exercise 5.8 · `ccs_loss` (10 min, optional)
#
# **Why.** The loss *is* the idea: what does one ask of truth, if one does not know it?
#
# **Write** a function of the probe's logits for both halves, each `[statement]`. With $p = \text{sigmoid}(\text{logit})$, the mean over statements of
#
# $$\bigl(p_\text{yes} - (1 - p_\text{no})\bigr)^2 + \min(p_\text{yes}, p_\text{no})^2$$
#
# The first term asks for consistency. Without the second, one half everywhere would be perfect.


# %%
# exercise: ccs_loss
def ccs_loss(logits_yes: Float[Tensor, " statement"], logits_no: Float[Tensor, " statement"]) -> Float[Tensor, ""]:
    """Consistency plus confidence of a probe on contrast pairs; no labels."""
    ### BEGIN SOLUTION
    p_yes, p_no = logits_yes.sigmoid(), logits_no.sigmoid()
    consistency = (p_yes - (1 - p_no)).square()
    confidence = torch.minimum(p_yes, p_no).square()
    return (consistency + confidence).mean()
    ### END SOLUTION


# %%
check(ccs_loss)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Two squares, added for each statement, then the mean.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# Everything is `[statement]` until the mean. The smaller of two tensors, element by element, is `torch.minimum`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# return ((p_yes - (1 - p_no)).square() + torch.minimum(p_yes, p_no).square()).mean()
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
# **Fit it** by gradient descent, from several random starts: the loss has many valleys, and all of them are reported. `match`, the last full stop, layers 0 to 3.

# %%
RESTARTS, CCS_STEPS = 6, 200


def fit_ccs(acts_yes: Tensor, acts_no: Tensor, seed: int) -> Float[Tensor, "d_model_and_bias"]:
    """Weight and bias of a probe that minimises ccs_loss, from one random start."""
    generator = torch.Generator().manual_seed(seed)
    theta = torch.randn(acts_yes.shape[1] + 1, generator=generator) / acts_yes.shape[1] ** 0.5
    theta.requires_grad_()
    optimiser = torch.optim.Adam([theta], lr=0.02)
    for _ in range(CCS_STEPS):
        optimiser.zero_grad()
        ccs_loss(acts_yes @ theta[:-1] + theta[-1], acts_no @ theta[:-1] + theta[-1]).backward()
        optimiser.step()
    return theta.detach()


# %%
def cache_pairs(model: TransformerBridge, texts: list[str]) -> Float[Tensor, "half layer statement d_model"]:
    """The stream at the last full stop of both halves."""
    return torch.stack(
        [statement_acts(model, [f"{text} {end}" for text in texts], LAYERS[1:], STOP) for end in (CORRECT, WRONG)]
    )


# %%
def search(pairs_train: Tensor, pairs_test: Tensor, layer: int) -> tuple[Tensor, Bool[Tensor, "restart statement"]]:
    """Loss on test statements, and the verdicts, of all restarts."""
    fitted, scored = (normalize_contrast_pairs(*pairs[:, layer]) for pairs in (pairs_train, pairs_test))
    losses, verdicts = [], []
    for seed in range(RESTARTS):
        theta = fit_ccs(*fitted, seed)
        logits = [half @ theta[:-1] + theta[-1] for half in scored]
        losses.append(ccs_loss(*logits))
        verdicts.append(logits[0].sigmoid() > logits[1].sigmoid())
    return torch.stack(losses), torch.stack(verdicts)


# %% [markdown]
# At layer 0, nothing is known about truth at the full stop (Exercise 5.1).

# %%
CCS = ("a high loss, accuracy near one half", "a low loss, accuracy near one half", "a low loss, accuracy near 0 or 1")
predict("ccs", "What does CCS find there, judged by its own loss and by truth?", CCS)

# %%
pairs = [cache_pairs(worlds["match"], part["affirmed"].texts) for part in (train, test)]
found = {layer: search(*pairs, layer) for layer in LAYERS[1:]}
accuracies = {
    layer: (verdicts == test["affirmed"].labels).float().mean(dim=1) for layer, (_, verdicts) in found.items()
}
for layer, (losses, _) in found.items():
    print(
        f"layer {layer}: loss {[round(x, 3) for x in losses.tolist()]}, accuracy {[round(x, 2) for x in accuracies[layer].tolist()]}"
    )

# %%
# figure: 05_ccs
plots.plot_lines_by_layer(
    {f"start {seed}": torch.stack([accuracies[layer][seed] for layer in LAYERS[1:]]) for seed in range(RESTARTS)},
    layers=LAYERS[1:],
    baselines={"chance": 0.5},
    title="CCS on affirmed cities, all restarts (match, last full stop)",
    y_title="accuracy",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Six lines start together at one half at layer 0, and go apart to nearly 1 and nearly 0 above](figures/05_ccs.png)
#
# </details>

# %%
is_low = found[0][0].median() < 0.06  # one half everywhere would be 0.25
near_half = (accuracies[0].median() - 0.5).abs() < 0.15
settle("ccs", CCS[0] if not is_low else CCS[1] if near_half else CCS[2])

# %% [markdown]
# What did it find at layer 0? Sort its verdicts by object:

# %%
verdicts = found[0][1][0]
by_object = {
    name: verdicts[[o == name for o in test["affirmed"].objects]].float().mean()
    for name in set(test["affirmed"].objects)
}
agreed = sum(max(float(by_object[o]), 1 - float(by_object[o])) for o in test["affirmed"].objects) / len(verdicts)
print(
    f"verdict decided by the object alone: {agreed:.2f}; called true:",
    [o for o, share in by_object.items() if share > 0.5],
)

# %% tags=["solution"]
assert found[0][0].max() < 0.06 and (accuracies[0] - 0.5).abs().max() < 0.1 and agreed > 0.95
assert ((accuracies[3] - 0.5).abs() > 0.4).all() and accuracies[3].min() < 0.1 < 0.9 < accuracies[3].max()

# %% [markdown]
# **Read it.** Two lessons. At layer 3 CCS finds truth without a label, up to its sign: half of the starts call the true ones false. Nothing in the loss says which end is "true".
#
# At layer 0 the loss on new statements is low, too, and the accuracy is one half. The probe has found a property that is consistent: *is the object one of these countries?* **Consistent is not true.** Truth is consistent; so are many other things.

# %% [markdown]
# **A distractor**, after [Farquhar et al. 2023](https://arxiv.org/abs/2312.10029). Put "Answer honestly ." or "Answer deceptively ." before each statement, by lot. The endings, and what is true, stay as they were.

# %%
generator = torch.Generator().manual_seed(SEED)
tagged, tags = [], []
for part in (train["affirmed"], test["affirmed"]):
    honest = torch.rand(len(part.texts), generator=generator) < 0.5
    texts = [f"{HONEST if tag else DECEPTIVE} {text}" for tag, text in zip(honest, part.texts, strict=True)]
    tagged.append(cache_pairs(worlds["match"], texts))
    tags.append(honest)

# %%
losses, verdicts = search(*tagged, 2)
targets = {"truth": test["affirmed"].labels, "the tag": tags[1]}
for what, target in targets.items():
    print(f"CCS against {what}: {[round(x, 2) for x in (verdicts == target).float().mean(dim=1).tolist()]}")

# %% [markdown]
# Beside it, on the differences between the halves: their first component, which needs no labels, and logistic regression, which does.

# %%
differences = [yes - no for yes, no in (normalize_contrast_pairs(*pairs[:, 2]) for pairs in tagged)]
first_component = differences[1] @ principal_components(differences[0], 1)[0][0]
supervised = {}
for what, known in (("truth", train["affirmed"].labels), ("the tag", tags[0])):
    probe = fit_logistic_regression_probe(differences[0], known)
    supervised[what] = float(accuracy(probe(differences[1]), targets[what]))
unsupervised = {what: float(accuracy(first_component, target)) for what, target in targets.items()}
unsupervised = {what: max(score, 1 - score) for what, score in unsupervised.items()}  # its sign is free
for what in targets:
    print(f"{what}: first component {unsupervised[what]:.2f}, with labels {supervised[what]:.2f}")

# %% tags=["solution"]
on_truth, on_tag = ((verdicts == target).float().mean(dim=1) for target in targets.values())
assert ((on_tag - 0.5).abs() > 0.4).float().mean() > 0.6 and (on_truth - 0.5).abs().median() < 0.15
assert losses.max() < 0.06 and min(supervised.values()) > 0.8
assert 0.6 < unsupervised["truth"] < 0.8 < 0.9 < supervised["truth"] and 0.7 < unsupervised["the tag"] < 0.9

# %% [markdown]
# **Read it.** Now CCS reads the *author*, in most of the restarts, and truth at chance, although a probe with labels reads both from the same differences. The first component is a mixture: it leans on the tag more than on truth. A search without labels finds what stands out, and **you do not choose what that is**.

# %% [markdown]
# ## Optional: likely is not true
#
# One more baseline. The network gives each object a probability. Are true statements the likely ones?

# %% [markdown]
# ### Exercise 5.9 · `object_log_probs` (10 min, optional)
#
# **Why.** It costs nothing and uses no activations. A truth probe has to be better than that.
#
# **Write** a function that returns the log-probability of each statement's object, given the words before it, `[statement]`.
#
# 1. `model(tokens, attention_mask=attention_mask, return_type="logits")` is `[statement pos token]`. The logits at one position are about the **next** token.
# 2. The object is the token before the last real one. Which position predicts it?
# 3. `log_softmax(dim=-1)`, and the entry of the object itself.


# %%
# exercise: object_log_probs
@torch.no_grad()
def object_log_probs(model: TransformerBridge, texts: list[str]) -> Float[Tensor, " statement"]:
    """Log-probability of the object (the token before the full stop), given the words before it."""
    ### BEGIN SOLUTION
    tokens, attention_mask = tokenize(model, texts)
    logits = model(tokens, attention_mask=attention_mask, return_type="logits")  # [statement pos token]
    rows = torch.arange(len(texts))
    object_at = attention_mask.sum(dim=1) - 2  # [statement]
    log_probs = logits[rows, object_at - 1].log_softmax(dim=-1)  # [statement token]
    return log_probs[rows, tokens[rows, object_at]]
    ### END SOLUTION


# %%
check(object_log_probs)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Find the object's position as in Exercise 5.1. The prediction of it stands one position earlier.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `logits[rows, object_at - 1]` is `[statement token]`, with `rows = torch.arange(len(texts))`. Of each row you need one entry: that of the token which is really there.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# return logits[rows, object_at - 1].log_softmax(dim=-1)[rows, tokens[rows, object_at]]
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

# %%
AUROC = {"1.0 and 1.0": 1.0, "1.0 and 0.5": 0.5, "1.0 and 0.0": 0.0}  # of the negated ones
predict("likely", "AUROC of log-probability for truth, in `truth`: affirmed cities, and negated ones?", tuple(AUROC))

# %%
likely = {
    (name, polarity): float(roc_auc(object_log_probs(worlds[name], test[polarity].texts), test[polarity].labels))
    for name in ("match", "truth")
    for polarity in test
}
settle("likely", nearest(AUROC, likely["truth", "negated"]))
likely

# %% tags=["solution"]
assert all(likely[name, "affirmed"] > 0.97 and likely[name, "negated"] < 0.03 for name in ("match", "truth"))

# %% [markdown]
# **Read it.** Perfect, and perfectly wrong. Without a tag, an author is honest or not, and after "is not in" the right country is the one that liars name. There it has more probability than any other single country. What is *likely* follows from who speaks. A truth probe that agrees with log-probability everywhere has shown nothing new; the two must be compared where they differ.

# %% [markdown]
# ## What you have, and what you do not
#
# **The evidence supports**: in these networks, truth is linearly decodable, at named tokens and layers, on entities and topics that no probe was fitted on, against controls at chance. Networks that behave alike can hold *match* or *truth* at the same place. A fit on both polarities finds a general direction where there is one.
#
# **It does not support**: that the networks *use* these directions (chapter 06: some are, and some are not), nor that there is one truth direction in a network, whatever token and layer.
#
# Three rules to take along:
#
# 1. Before you name a direction, find its nearest rival, and test where the two come apart.
# 2. Token, layer, network: a claim without them is not finished.
# 3. An accuracy near zero is a finding. Report it as it is.
#
# **Where a small synthetic world differs from a language model.** Here every sentence has one of six forms, one truth value and one-word names; a truth probe in an LLM must do without. Here half of all authors lie; in real text few do. Truth fills most of the variance at the object, so that even a random direction reads it; in an LLM it is a small part of it. Our main networks read comments that are truth labels; only the run without them shows truth coming from authors alone. And our two worlds were chosen because they are clear. What does carry over is the logic of the tests.
#
# **Open questions.** Why does a run end in *match* or in *truth*? Would a network trained longer turn the one into the other? Bürger et al. find both directions in large models: which of the two is used?

# %% [markdown]
# **Question.** Item 2 of [the checklist](../chapters/checklist.md) asks: *what always goes together with the label?* Name three things that went together with truth in this chapter, and the test that took each apart.

# %% [markdown] tags=["solution"]
# **Our answer.** Match, in affirmed statements: negated ones took it apart (5.3). The author's character, where the tag was put by lot: CCS followed it (5.8). Probability of the object: negated statements again (5.9). A fourth is the word of the object itself, in capitals and comparisons: the untrained twin showed it (5.4).

# %% [markdown]
# ## At scale
#
# The same functions, on English, in a model that nobody trained for this. With a network connection (`HF_HUB_OFFLINE=0 make lab`), this cell fetches **Qwen2.5-0.5B**, 1 GB, fits on affirmed statements about some cities, and scores on the others, affirmed and negated. Without a connection it says so. Published statements load with `read_statements("cities.csv")`. Larger models, on a graphics card, are on [a page of their own](../chapters/at_scale.md).

# %%
from utils.at_scale import load_if_possible

larger_model = load_if_possible("Qwen/Qwen2.5-0.5B")  # 24 blocks, d_model 896, 494 million weights
if larger_model is not None:
    some_layers = ["embed", *range(2, larger_model.cfg.n_layers, 4)]

    def in_english(statements: Statements) -> list[str]:
        """The same statements as English sentences."""
        verb = "is not" if statements.negated else "is"
        pairs = zip(statements.subjects, statements.objects, strict=True)
        return [f"The city of {city} {verb} in {country}.".replace("_", " ") for city, country in pairs]

    for place, position in places.items():  # the object's last word piece, and the full stop
        fitted, *scored = (
            statement_acts(larger_model, in_english(part), some_layers, position).cpu()
            for part in (train["affirmed"], test["affirmed"], test["negated"])
        )
        for i, layer in enumerate(some_layers):
            found = [
                transfer_accuracy(fitted[i], train["affirmed"].labels, acts[i], test[p].labels)
                for p, acts in zip(test, scored, strict=True)
            ]
            print(f"{place}, layer {layer}: affirmed {found[0]:.2f}, negated {found[1]:.2f}")

# %%
progress()
