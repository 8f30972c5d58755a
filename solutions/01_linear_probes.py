# %% [markdown]
# # 01 · Linear probes: reading a network
#
# A network turns a sentence into lists of numbers, layer after layer. Somewhere in those numbers is what it makes of the sentence. Nobody labelled them for us. A **probe** is the plainest way to read them: fit one straight line through the numbers, and see whether it tells apart what you ask for.
#
# After this chapter you can
#
# - take the activations of any layer out of a transformer, without the two mistakes that most often spoil them;
# - turn a text of any length into one vector;
# - fit two linear probes by hand, one that says yes or no and one that answers with numbers;
# - draw layer curves, and say what a probe's score means, what it does not mean, and which baselines it has to beat.
#
# {{exercises}}
#
# ![Held-out words on a number line: where the probe places negative and positive words](figures/01_two_clouds.png)
#
# *Words that the probe never saw, placed on the line that you will fit in Exercise 1.3.*

# %% [markdown]
# ## Where this chapter stands
#
# ```text
# datasets ── texts, labels ──┐                           ┌─► metrics ── score, interval, control ──► plots
#                             ├─►  ACTIVATIONS ─► PROBES ─┤
# models ── TransformerBridge ┘     resid_post    probe   └─► interventions ─► models (run again) ──► metrics
# ```
#
# Capitals mark what you build here. Everything comes back later as a function in `utils`.
#
# **Read before or after:** [Alain & Bengio 2016](https://arxiv.org/abs/1610.01644), sections 1 to 3: they put a linear classifier on every layer and watch the score. Skip the part on training dynamics.
#
# **The objects, and their shapes**
#
# | name | shape | what it is |
# |---|---|---|
# | `tokens` | `[batch pos]` | numbers of word pieces, one row for each text |
# | `attention_mask` | `[batch pos]` | 1 for a real token, 0 for padding |
# | `acts` | `[layer batch pos d_model]` | activations: one vector for each layer, text and position |
# | `labels` | `[batch]` | `True` for the positive class |
# | `probe.weight`, `probe.bias` | `[d_model]`, a number | the line you fit: `acts @ weight + bias` |

# %% [markdown]
# **Setup.** Run this cell first, whichever part you want to work on.

# %%
# setup: finds the course's folder, from wherever Jupyter was started
import sys
from pathlib import Path

HERE = Path.cwd()
PLACES = [HERE, *HERE.parents, *HERE.glob("*/")]
FOUND = [place for place in PLACES if (place / "utils" / "course" / "check.py").is_file()]
if not FOUND:
    raise FileNotFoundError(f"no course around {HERE}; run `%cd PATH/TO/THE/COURSE`, then this cell")
sys.path.insert(0, str(FOUND[0]))
import utils

if not Path(getattr(utils, "__file__", None) or "").is_relative_to(FOUND[0]):
    raise ImportError(f"another package is loaded as utils ({utils}); restart the kernel, run this cell first")
utils.require_packages()

# %%
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils import plots
from utils.course.check import check, progress, start_chapter
from utils.datasets import load_sentiment_words, split_groups, word_stems
from utils.models import load_model
from utils.probes import LinearProbe

SEED = 0  # for the split into training and test words
start_chapter("01_linear_probes")

# %% [markdown]
# ## The network
#
# Our network is **all-MiniLM-L6-v2**, a small English sentence encoder: 6 blocks, `d_model` 384, 22 million weights. It was trained to give sentences of similar meaning similar vectors. It is no chatbot and it cannot write. It reads.

# %%
model = load_model("minilm")
print(f"{model.cfg.n_layers} blocks, d_model {model.cfg.d_model}")

# %% [markdown]
# It does not read words but **word pieces**. Each text starts with the piece `[CLS]` and ends with `[SEP]`. A batch is a rectangle, so shorter texts are filled up with `[PAD]`. The **attention mask** says which positions are real.

# %%
texts = ["A harmless joke.", "The prankster apologised wholeheartedly."]
encoded = model.tokenizer(texts, padding=True, return_tensors="pt")
tokens, attention_mask = encoded["input_ids"], encoded["attention_mask"]
for row in tokens:
    print(model.tokenizer.convert_ids_to_tokens(row.tolist()))
print(attention_mask)

# %% [markdown]
# Remember the `[PAD]`s. They are vectors like all others, and the model computes something at those positions too. What stands there means nothing.

# %% [markdown]
# ## Taking activations out
#
# Each position has one vector of 384 numbers, the **residual stream**. Every block reads it and writes a new one.
#
# ```text
#            "embed"          layer 0            layer 1                    layer 5
# tokens ──►  stream ─[block 0]─► stream ─[block 1]─► stream ─ ... ─[block 5]─► stream
#                │                  │                  │                          │
#         blocks.0.           blocks.0.          blocks.1.                  blocks.5.
#         hook_resid_pre      hook_resid_post    hook_resid_post            hook_resid_post
# ```
#
# In this course **layer L always means the stream after block L**. In front of layer 0 stands `"embed"`: the stream before any block has run. It knows which pieces there are, and where, and nothing else.
#
# TransformerLens puts a **hook point** at each of these places, with the name written below it. `run_with_cache` runs the model and hands you what passed the hook points you name:
#
# ```python
# logits, cache = model.run_with_cache(
#     tokens, attention_mask=..., names_filter=["blocks.3.hook_resid_post"], stop_at_layer=4
# )
# cache["blocks.3.hook_resid_post"]  # [batch pos d_model]
# ```
#
# `stop_at_layer=4` means that blocks 0, 1, 2 and 3 run: it names the first block that does *not* run.

# %% [markdown]
# ### Exercise 1.1 · `cache_resid_post` (15 min)
#
# **Why.** Each probe in this course starts here. If the stream comes from one layer off, or if the padding leaks into it, every later number is a little wrong, and nothing crashes. No error message will tell you.
#
# **Write** a function that runs the model once and returns the streams of the layers asked for.
#
# 1. Turn each layer into the name of its hook point. `"embed"` has a name of its own.
# 2. Run the model on `tokens` with its `attention_mask`, and keep those names only.
# 3. Stack the streams **in the order of `layers`**: `[layer batch pos d_model]`.
#
# Stopping early with `stop_at_layer` is optional: it saves time and changes no number.


# %%
# exercise: cache_resid_post
def cache_resid_post(
    model,
    tokens: Int[Tensor, "batch pos"],
    attention_mask: Int[Tensor, "batch pos"],
    layers: list[int | str],
) -> Float[Tensor, "layer batch pos d_model"]:
    """Residual stream of the chosen layers: an int L for after block L, "embed" for before block 0."""
    ### BEGIN SOLUTION
    hooks = {"embed": "blocks.0.hook_resid_pre"}
    names = [hooks.get(layer, f"blocks.{layer}.hook_resid_post") for layer in layers]
    stop = max(0 if layer == "embed" else layer for layer in layers) + 1
    _, cache = model.run_with_cache(tokens, attention_mask=attention_mask, names_filter=names, stop_at_layer=stop)
    return torch.stack([cache[name] for name in names])
    ### END SOLUTION


# %%
check(cache_resid_post)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# The cache works like a dictionary from names to tensors. Make the list of names first, in the order of `layers`. Then look each one up.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# Each entry of the cache is `[batch pos d_model]`. `torch.stack` on a list of them puts a new axis in front: `[layer batch pos d_model]`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# _, cache = model.run_with_cache(tokens, attention_mask=attention_mask, names_filter=names)
# ```
#
# Then stack `cache[name]` for each name in `names`.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# Six green checks in a few tenths of a second. The streams agree with the model's own hidden states within 0.001.
#
# </details>

# %% [markdown]
# **Look at it.** The word *spring* stands in three sentences below: twice it is a season, once it is made of metal. Your function can say how similar its three vectors are, layer by layer.
#
# *Predict first:* how similar are season and metal at `"embed"`: 0, 0.5 or nearly 1? And at layer 5?

# %%
sentences = [
    "In early spring the flowers bloom.",
    "In late spring the birds return.",
    "The metal spring in the mattress broke.",
]
encoded = model.tokenizer(sentences, padding=True, return_tensors="pt")
layers = ["embed", 0, 1, 2, 3, 4, 5]
acts = cache_resid_post(model, encoded["input_ids"], encoded["attention_mask"], layers)
is_spring = encoded["input_ids"] == model.tokenizer.convert_tokens_to_ids("spring")  # [batch pos]
early, late, metal = acts[:, is_spring].unbind(dim=1)  # [layer d_model] each

# %%
same_sense = torch.cosine_similarity(early, late, dim=-1)  # [layer]
other_sense = torch.cosine_similarity(early, metal, dim=-1)
# figure: 01_spring
plots.plot_lines_by_layer(
    {"season and season": same_sense, "season and metal": other_sense},
    layers=layers,
    title="Two vectors of the word spring",
    y_title="cosine similarity",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Two lines over the layers: season and season stays high, season and metal falls](figures/01_spring.png)
#
# </details>

# %% tags=["solution"]
assert same_sense[0] > 0.99 and other_sense[0] > 0.99  # at embed, a word is a word
assert 0.83 < same_sense[-1] < 0.93 and 0.59 < other_sense[-1] < 0.69  # after block 5

# %% [markdown]
# **Read it.** At `"embed"` all three vectors are the same up to a rounding error: the same word, at the same position, and nothing else has been looked at. Each block then mixes in what stands around it. At layer 5 the two seasons still have a cosine of about 0.88, while season and metal are down to 0.64.
#
# So a vector *at* a word is not a vector *of* that word alone. That is why we look at layers at all.
#
# Three sentences are a picture, not a measurement. (Try *mouse*, with two animals and one that is wireless. It comes out less clearly.) Measurements follow.

# %% [markdown]
# ## One vector for a text
#
# A probe wants one vector for each example. Texts have different numbers of word pieces. The plainest answer is their mean.
#
# ```text
#              [CLS]    prank    ##ster   [SEP]   [PAD]   [PAD]
# mask           1        1        1        1       0       0
# averaged?      no      YES      YES       no      no      no
# ```

# %% [markdown]
# ### Exercise 1.2 · `pool_mean` (15 min)
#
# **Why.** With padding in the mean, a text's vector depends on the longest text in its batch. Then your score depends on the batch size. `[CLS]` and `[SEP]` stand in every text, so they say little about this one; MiniLM's later blocks use them as a place to rest attention.
#
# **Write** a function that averages over word pieces: no padding, no `[CLS]`, no `[SEP]`.
#
# 1. Start from the attention mask and strike out the first real position and the last real one of **each text**.
# 2. Add up the activations at the positions that are left.
# 3. Divide by how many there are, for each text by its own number.
#
# All texts are padded on the right, and each has at least one word piece.


# %%
# exercise: pool_mean
def pool_mean(
    acts: Float[Tensor, "layer batch pos d_model"],
    attention_mask: Int[Tensor, "batch pos"],
) -> Float[Tensor, "layer batch d_model"]:
    """Mean over the word pieces of each text: no padding, no [CLS], no [SEP]."""
    ### BEGIN SOLUTION
    is_piece = attention_mask.bool().clone()
    is_piece[:, 0] = False  # [CLS]
    last = attention_mask.sum(dim=1) - 1  # [batch]
    is_piece[torch.arange(len(last)), last] = False  # [SEP]
    total = torch.einsum("lbpd,bp->lbd", acts, is_piece.to(acts.dtype))
    return total / is_piece.sum(dim=1)[:, None]  # the number of pieces is [batch 1]
    ### END SOLUTION


# %%
check(pool_mean)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# A sum over chosen positions is a product with a mask of zeros and ones. Make a copy of `attention_mask` before you strike positions out, so that the caller's mask stays as it was.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `attention_mask.sum(dim=1)` is `[batch]`: the number of real positions of each text. `[SEP]` stands at that number minus one. To multiply `[layer batch pos d_model]` by a mask, give the mask a last axis: `mask[:, :, None]`, which is `[batch pos 1]`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# keep[torch.arange(len(keep)), attention_mask.sum(dim=1) - 1] = 0
# ```
#
# Here `keep` is your copy of the mask, and this line strikes out `[SEP]`.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# Four green checks. One of them puts large garbage into the padding: a right answer does not move by more than 0.001.
#
# </details>

# %% [markdown]
# **Look at it.** The same text, alone and in the company of a long one. If your pooling is right, company does not matter.

# %%
alone = model.tokenizer(texts[:1], padding=True, return_tensors="pt")
acts_alone = cache_resid_post(model, alone["input_ids"], alone["attention_mask"], [5])
acts_together = cache_resid_post(model, tokens, attention_mask, [5])
pooled_alone = pool_mean(acts_alone, alone["attention_mask"])[0, 0]  # [d_model]
pooled_together = pool_mean(acts_together, attention_mask)[0, 0]
difference = (pooled_alone - pooled_together).abs().max()
print(f"{texts[0]!r} alone and in a batch: largest difference {difference:.1e}")

# %% tags=["solution"]
assert difference < 1e-4

# %% [markdown]
# ## A question to ask: good or bad?
#
# People rated some seven thousand English words from -4, *extremely negative*, to 4, *extremely positive* (the [VADER lexicon](https://github.com/cjhutto/vaderSentiment), Hutto & Gilbert 2014). Nobody showed these ratings to MiniLM. Can we read them from its activations?

# %%
words = load_sentiment_words()
labels = words.valence > 0  # [word], True = positive
for i in range(0, len(words.words), 1400):
    print(f"{words.words[i]:<14} {words.valence[i]:+.1f}")

# %% [markdown]
# **Split first.** *Abandon*, *abandoned* and *abandons* are nearly one word. If one of them is in the training half and another in the test half, the probe is tested on what it has seen. So all words with the same first five letters go to the same side.

# %%
train, test = split_groups(word_stems(words.words), test_fraction=0.3, seed=SEED)
majority = max(labels[test].float().mean(), 1 - labels[test].float().mean())
print(f"{len(train)} training words, {len(test)} test words")
print(f"always saying the larger class is right for {majority:.1%} of the test words")

# %% tags=["solution"]
stems = word_stems(words.words)
assert not {stems[i] for i in train} & {stems[i] for i in test}

# %% [markdown]
# Keep that last number in mind. A probe that does not beat it has found nothing.
#
# Now the activations of all words, at all layers. That is what your two functions do, in batches and with a progress bar. The course has this ready as `cache_pooled`.

# %%
from utils.activations import cache_pooled

layers = ["embed", 0, 1, 2, 3, 4, 5]
acts = cache_pooled(model, words.words, layers)  # [layer word d_model]
acts.shape

# %% [markdown]
# ## The first probe
#
# Each word is now a point in 384 dimensions. Here is the idea, drawn in two:
#
# ```text
#            o  o                         o  negative words        x  positive words
#          o  o   o                       m  mean of the class
#         o  m  o  o ─ ─ ─ ─ ─┼─ ─ ─ ─►x  x
#           o   o             │       x  m  x x
#                             │         x  x x
#                         threshold
# ```
#
# The arrow runs from one class mean to the other: that is the probe's **weight**. The threshold crosses it halfway. A new word is called positive if it lies on the far side. In formulas, with the means $\mu_+$ and $\mu_-$ of the two classes:
#
# $$w = \mu_+ - \mu_- \qquad \mathrm{logit}(x) = w \cdot x + b, \quad b = -\tfrac12\, w \cdot (\mu_+ + \mu_-)$$
#
# Put $x = \tfrac12(\mu_+ + \mu_-)$ into the second formula: the logit is 0, so the threshold is where we wanted it.

# %% [markdown]
# ### Exercise 1.3 · `fit_mass_mean_probe` (10 min)
#
# **Why.** This is the **mass-mean probe** of [Marks & Tegmark 2023](https://arxiv.org/abs/2310.06824). There is nothing to tune and nothing to train, and in later chapters its direction turns out to be a good one to *push* along.
#
# **Write** it.
#
# 1. Take the mean of the positive examples, and the mean of the negative ones: `[d_model]` each.
# 2. The weight is their difference. Keep its length.
# 3. The bias puts the threshold halfway between the two means.
# 4. If `labels` holds one class only, one of the means does not exist: raise a `ValueError` that says so.


# %%
# exercise: fit_mass_mean_probe
def fit_mass_mean_probe(acts: Float[Tensor, "batch d_model"], labels: Bool[Tensor, " batch"]) -> LinearProbe:
    """The direction from the negative to the positive class mean, with the threshold halfway."""
    ### BEGIN SOLUTION
    if labels.all() or not labels.any():
        raise ValueError(f"labels must hold both classes, got only {bool(labels[0])}")
    mu_pos, mu_neg = acts[labels].mean(dim=0), acts[~labels].mean(dim=0)  # [d_model] each
    weight = mu_pos - mu_neg
    return LinearProbe(weight=weight, bias=-weight @ (mu_pos + mu_neg) / 2)
    ### END SOLUTION


# %%
check(fit_mass_mean_probe)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# A tensor of booleans picks rows: `acts[labels]` are the positive examples. What does `~labels` pick?
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `acts[labels]` is `[n_positive d_model]`. Its mean over `dim=0` is `[d_model]`. The bias is a single number: a product of two `[d_model]` vectors.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# bias = -weight @ (mu_pos + mu_neg) / 2
# ```
#
# Hand both to `LinearProbe(weight=weight, bias=bias)`.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# Six green checks. In one of them the two classes lie along a known direction, under noise: your weight has a cosine above 0.95 with it.
#
# </details>

# %% [markdown]
# ## What the probe reads
#
# Fit on the training words, look at the test words. *Predict first:* which share of words that it never saw will the probe at layer 2 call right? Always saying *negative* gives you the floor.

# %%
layer = 2
acts_layer = acts[layers.index(layer)]  # [word d_model]
probe = fit_mass_mean_probe(acts_layer[train], labels[train])
logits = probe(acts_layer[test])  # [test word]

# %%
# figure: 01_two_clouds
plots.plot_logit_histogram(
    logits,
    labels[test],
    title=f"Unseen words on the line of the probe, layer {layer}",
    class_names=("rated negative", "rated positive"),
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Two hills of logits, negative words left and positive words right of the threshold](figures/01_two_clouds.png)
#
# </details>

# %% tags=["solution"]
right = (logits > 0) == labels[test]  # [test word]
assert 0.82 < right.float().mean() < 0.86
assert 0.55 < majority < 0.58

# %% [markdown]
# **Read it.** Each word is one number now: how far it lies along your direction. The two classes make two hills, and the threshold between them calls about 84 % of unseen words right. Always saying *negative* would be right for 57 %.
#
# Numbers hide what they are made of. Look at the words the probe is surest of, and at those it gets most wrong.

# %%
order = logits.argsort()
test_words = [words.words[i] for i in test]
surely_wrong = [i for i in order.tolist() if (logits[i] > 0) != labels[test][i]]
print("most negative:", ", ".join(test_words[i] for i in order[:8]))
print("most positive:", ", ".join(test_words[i] for i in order[-8:]))
print("called negative, rated positive:", ", ".join(test_words[i] for i in surely_wrong[:6]))
print("called positive, rated negative:", ", ".join(test_words[i] for i in surely_wrong[-6:]))

# %% tags=["solution"]
assert {"faultless", "troubleshoot"} <= {test_words[i] for i in surely_wrong[:6]}

# %% [markdown]
# **Question.** The probe is sure that *faultless* and *troubleshoot* are bad words. What does that tell you about what it reads?
#
# Think of an answer before you go on. The solution notebook has ours.

# %% [markdown] tags=["solution"]
# **Our answer.** It reads what the word is made of. *Faultless* is made of the pieces *fault* and *less*, *troubleshoot* starts with *trouble*, and those are found in plenty of negative words. The suffix that turns the meaning around counts for little in the mean of the pieces. So part of what we decode is vocabulary, not judgement. The next figure says how large that part is.

# %% [markdown]
# ## Whose work is it?
#
# 84 % of what? Before you credit the network, ask what it would take to get there without it. Two baselines:
#
# - **`"embed"`**: the same trained network, before any block has run. It has word vectors and nothing more.
# - **The untrained twin**: the same architecture and the same tokenizer, with random weights. It has learned nothing at all.
#
# *Predict first:* put the untrained twin, `"embed"` and layer 2 in order. How far apart are they?

# %%
untrained = load_model("minilm_untrained")
acts_untrained = cache_pooled(untrained, words.words, [2])

# %%
from utils.metrics import bootstrap_interval

test_stems = [word_stems(words.words)[i] for i in test]


def is_right(acts: Float[Tensor, "word d_model"]) -> Bool[Tensor, " test_word"]:
    """Fit on the training words; for each test word, whether the probe calls it right."""
    probe = fit_mass_mean_probe(acts[train], labels[train])
    return (probe(acts[test]) > 0) == labels[test]


# %%
rights = {"untrained twin, 2": is_right(acts_untrained[0])}
for name in ("embed", 2, 5):
    rights[f"trained, {name}"] = is_right(acts[layers.index(name)])
# figure: 01_whose_work
plots.plot_bars(
    {name: float(right.float().mean()) for name, right in rights.items()},
    intervals={name: bootstrap_interval(right, groups=test_stems) for name, right in rights.items()},
    baselines={"majority class": float(majority)},
    title="Unseen words, 95 % intervals over stems",
    y_title="accuracy",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Bars: untrained twin below the majority class, embed and layers 2 and 5 above 0.8](figures/01_whose_work.png)
#
# </details>

# %% tags=["solution"]
scores = {name: float(right.float().mean()) for name, right in rights.items()}
assert 0.50 < scores["untrained twin, 2"] < majority
assert 0.80 < scores["trained, embed"] < 0.84
assert 0.81 < scores["trained, 5"] < 0.85
gain = rights["trained, 2"].float() - rights["trained, embed"].float()  # paired: the same test words
low, high = bootstrap_interval(gain, groups=test_stems)
assert 0.01 < gain.mean() < 0.035 and 0 <= low < 0.015 and 0.03 < high < 0.05
print(f"layer 2 minus embed: {gain.mean():.3f} [{low:.3f}, {high:.3f}]")

# %% [markdown]
# **Read it.** The untrained twin does not beat the majority class: random weights do not know good from bad. The trained network's *word vectors* already give 82 %. At layer 2 it is about two points more, and a 95 % interval for that difference, taken over word stems, runs from 0.4 to 4 points.
#
# So most of what you read was there **before any layer did anything**. A probe on layer 2 that is reported alone, with its 84 %, would have let you believe that layer 2 works it out.

# %% [markdown]
# ## A probe that answers with numbers
#
# *Good or bad* wants a yes or a no. A colour wants three numbers: how much red, green and blue. In 2010, the web comic [XKCD](https://blog.xkcd.com/2010/05/03/color-survey-results/) asked its readers to name the colours on their screens. Here are 943 of the names, with the colour that people meant.
#
# MiniLM has never seen a colour. It has only read.

# %%
from utils.datasets import load_colours

colours = load_colours()
rgb = colours.rgb  # [name 3], 0 to 1
acts_colours = cache_pooled(model, colours.names, layers)  # [layer name d_model]
", ".join(colours.names[::60])

# %% [markdown]
# Three splits this time. You will have a setting to choose, and it must not be chosen on the test names: the best of many looks good by chance. So a part of the training names serves for the choice, the **validation** names.

# %%
train_names, test_names = split_groups(colours.names, test_fraction=0.3, seed=SEED)
fit, validation = split_groups([colours.names[i] for i in train_names], test_fraction=0.3, seed=SEED)
fit_names, validation_names = train_names[fit], train_names[validation]
print(len(fit_names), "to fit,", len(validation_names), "to choose,", len(test_names), "to test")

# %% [markdown]
# Least squares would put a plane through the training names as closely as it can. With 384 dimensions and 660 names it can get very close, and much of what it fits is noise. **Ridge regression** puts a price on large weights:
#
# $$\min_{W, b}\; \lVert X W^\top + b - Y \rVert^2 + \lambda \lVert W \rVert^2$$
#
# `X` holds the activations, `Y` the colours, and $\lambda$ is called `l2` in the code. The **bias has no price**: nothing about a colour says that its mean is near zero. That is why you centre both sides first. Around their means the problem has no bias, and the answer is
#
# $$W^\top = (X_c^\top X_c + \lambda I)^{-1} X_c^\top Y_c$$

# %% [markdown]
# ### Exercise 1.4 · `fit_ridge_probe` (15 min)
#
# **Why.** This is the workhorse of probing: one solve, no training loop, any number of targets at once. Its classic mistake is silent. Forget to centre, and the penalty shrinks the bias too: on activations, which stand far from zero, every prediction is then a little off.
#
# **Write** it.
#
# 1. Take the mean of `acts` and of `targets` over the batch, and subtract them.
# 2. Build `acts_c.T @ acts_c` `[d_model d_model]` and add `l2` to its diagonal.
# 3. Solve for all targets at once with `torch.linalg.solve`. That is faster and safer than an inverse.
# 4. `LinearProbe` wants the weight as `[target d_model]`. The bias carries the means: at the mean of the acts, the probe predicts the mean of the targets.


# %%
# exercise: fit_ridge_probe
def fit_ridge_probe(
    acts: Float[Tensor, "batch d_model"],
    targets: Float[Tensor, "batch target"],
    l2: float,
) -> LinearProbe:
    """The weight that minimises the squared error plus l2 times its own square; the bias is free."""
    ### BEGIN SOLUTION
    mean_acts, mean_targets = acts.mean(dim=0), targets.mean(dim=0)  # [d_model], [target]
    acts_c, targets_c = acts - mean_acts, targets - mean_targets
    gram = acts_c.T @ acts_c + l2 * torch.eye(acts.shape[1])  # [d_model d_model]
    weight = torch.linalg.solve(gram, acts_c.T @ targets_c).T  # [target d_model]
    return LinearProbe(weight=weight, bias=mean_targets - weight @ mean_acts)
    ### END SOLUTION


# %%
check(fit_ridge_probe)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Centre, solve, put the means back. The bias is whatever makes the prediction at `acts.mean(dim=0)` equal to `targets.mean(dim=0)`.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `torch.linalg.solve(A, B)` with `A` `[d_model d_model]` and `B` `[d_model target]` gives `[d_model target]`. Transpose it. `weight @ mean_acts` is `[target]`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# weight = torch.linalg.solve(acts_c.T @ acts_c + l2 * torch.eye(acts.shape[1]), acts_c.T @ targets_c).T
# ```
#
# And the bias is `mean_targets - weight @ mean_acts`.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# Six green checks. One of them has a closed answer: with one dimension and 20 examples at -1 and 1, `l2 = 5` shrinks a slope of 4 to 3.2, within 0.001.
#
# </details>

# %% [markdown]
# **Look at it.** Choose `l2` on the validation names, fit again on all training names, and predict the test names. *Predict first:* will you recognise the colours?

# %%
from utils.metrics import r2

L2_GRID = [0.1, 1.0, 10.0, 30.0, 100.0]


def predict_colours(acts: Float[Tensor, "name d_model"]) -> Float[Tensor, "test_name 3"]:
    """Predictions for the test names; l2 is chosen on the validation names."""
    scores = []
    for l2 in L2_GRID:
        predictions = fit_ridge_probe(acts[fit_names], rgb[fit_names], l2)(acts[validation_names])
        scores.append(float(r2(predictions, rgb[validation_names]).mean()))
    best_l2 = L2_GRID[scores.index(max(scores))]
    return fit_ridge_probe(acts[train_names], rgb[train_names], best_l2)(acts[test_names])


# %%
predictions = predict_colours(acts_colours[layers.index(layer)])
shown = list(range(3, len(test_names), 8))
# figure: 01_swatches
plots.plot_swatches(
    [colours.names[test_names[i]] for i in shown],
    true=rgb[test_names][shown],
    predicted=predictions[shown],
    title=f"Unseen colour names: meant (left) and predicted (right), layer {layer}",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Pairs of squares: the colour that was meant and the predicted one](figures/01_swatches.png)
#
# </details>

# %% [markdown]
# **Read it.** You did not fit these names, and most are in the right part of the rainbow. The predictions are paler than the truth: ridge regression shrinks towards the mean colour, and the mean of all colours is a greyish beige.
#
# How good is that in numbers? **R²** is the share of the variance that the predictions explain: 1 is perfect, 0 is as good as always saying the mean colour, and it can be negative.

# %% [markdown]
# ## Who knows colours?
#
# The same question as before: what would it take to get there *without* the network? This time the ladder gets one more rung:
#
# - **Bag of words.** One column for each word of the training names, 1 if the word is in the name. It has never heard of a language. It can only remember that names with *green* were green.
# - **The untrained twin**, layer 2.
# - **`"embed"`**, layer 2 and layer 5 of the trained network.
#
# *Predict first:* put the five in order.

# %%
from utils.datasets import bag_of_words

vocabulary = sorted({word for i in train_names for word in colours.names[i].split()})
counts = bag_of_words(colours.names, vocabulary)  # [name word]
candidates = {"bag of words": counts, "untrained twin, 2": cache_pooled(untrained, colours.names, [2])[0]}
candidates |= {f"trained, {name}": acts_colours[layers.index(name)] for name in ("embed", 2, 5)}
colour_predictions = {name: predict_colours(candidate) for name, candidate in candidates.items()}


# %%
def mean_r2(pairs: Float[Tensor, "name 2 3"]) -> float:
    """R² of pairs (prediction, truth), the mean of red, green and blue."""
    return float(r2(pairs[:, 0], pairs[:, 1]).mean())


pairs = {name: torch.stack([p, rgb[test_names]], dim=1) for name, p in colour_predictions.items()}
# figure: 01_who_knows_colours
plots.plot_bars(
    {name: mean_r2(pair) for name, pair in pairs.items()},
    intervals={name: bootstrap_interval(pair, statistic=mean_r2) for name, pair in pairs.items()},
    title="Colours of unseen names, 95 % intervals over names",
    y_title="R²",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Bars of R²: bag of words, untrained, embed, layer 2, layer 5](figures/01_who_knows_colours.png)
#
# </details>

# %% tags=["solution"]
colour_scores = {name: mean_r2(pair) for name, pair in pairs.items()}
assert len(colours.names) == 943 and abs(len(train_names) - 660) < 5
print({name: round(score, 3) for name, score in colour_scores.items()})
assert 0.60 < colour_scores["bag of words"] < 0.64
assert 0.54 < colour_scores["untrained twin, 2"] < 0.58
assert 0.61 < colour_scores["trained, embed"] < 0.65
assert 0.57 < colour_scores["trained, 2"] < 0.61 and 0.57 < colour_scores["trained, 5"] < 0.61
assert torch.allclose(rgb.mean(dim=0), torch.tensor([0.55, 0.49, 0.42]), atol=0.05)  # a greyish beige
assert predictions.std(dim=0).mean() < 0.9 * rgb[test_names].std(dim=0).mean()  # paler than the truth

# %% [markdown]
# **Read it.** A list of words, with no network at all, explains 0.62 of the variance. MiniLM explains 0.59 to 0.63. And the twin, whose weights are **random**, explains 0.56. The intervals are wide, but they are nowhere near 0.
#
# **The riddle.** A network that has learned nothing "knows" colours. How can that be? The split was random, the test names were unseen, the setting was chosen on validation names, and nothing leaked. Or did it? Look at the names in the swatches above, write down your guess, and keep it for chapter 02.

# %% [markdown]
# **Question.** On sentiment the untrained twin was at chance, on colours it is not. What differs between the two splits?

# %% [markdown] tags=["solution"]
# **Our answer.** The words of the sentiment task were split by *stem*: no test word resembles a training word. The colour names were split at random, and they share their words: *dark green*, *pale green* and *leaf green* stand on both sides. A random network maps the same word to the same random vector each time, and a probe can remember that this vector was green. That is what the bag of words does as well. Chapter 02 splits by vocabulary, and then the picture changes.

# %% [markdown]
# ## What is in no single word
#
# *The dog chased the doctor. The doctor chased the dog.* The same words, two different events. Who is the **agent**, the one who does it: the animal or the person?
#
# Here are 2,880 sentences with an animal and a person, in the active and in the passive voice, and every pair both ways round. So no word says anything about the answer: a bag of words is right half of the time, *by construction*.

# %%
from utils.datasets import load_agent_sentences

agents = load_agent_sentences()
for i in (0, 1, 2, 3):
    print(f"{agents.sentences[i]:<48} agent is the animal: {bool(agents.labels[i])}")

# %% [markdown]
# The nouns of the test sentences are new to the probe, the animals as well as the people. It cannot learn that *wolf* is an agent. It has to learn what being an agent looks like.
#
# **Predict first, on paper.** Draw two curves over `"embed"`, 0, 1, ..., 5: the accuracy for sentiment, of which you have seen three points, and the accuracy for the agent. Where does each start, where is it highest, where does it end?

# %% [markdown]
# ### Exercise 1.5 · `score_by_layer` (15 min)
#
# **Why.** The **layer curve** is the standard picture of probing ([Alain & Bengio 2016](https://arxiv.org/abs/1610.01644)). It is also where results leak most easily: one index too few, and the probe is tested on what it was fitted on. Then every layer looks wonderful.
#
# **Write** a function that fits one probe to each layer and scores it on the test examples. Use your `fit_ridge_probe`: take the labels as the numbers 0 and 1, and let a prediction above one half mean `True`.
#
# 1. For each layer, fit on the examples `train` only. The targets are `labels` as floats, with an axis for the one target: `[example 1]`.
# 2. Predict the examples `test`, and compare with the labels.
# 3. Return the share that is right, one number for each layer.


# %%
# exercise: score_by_layer
def score_by_layer(
    acts: Float[Tensor, "layer example d_model"],
    labels: Bool[Tensor, " example"],
    train: Int[Tensor, " train"],
    test: Int[Tensor, " test"],
    l2: float,
) -> Float[Tensor, " layer"]:
    """Accuracy on the test examples of a ridge probe for each layer, fitted on the training examples."""
    ### BEGIN SOLUTION
    targets = labels.float()[:, None]  # [example 1]
    scores = []
    for acts_layer in acts:  # [example d_model]
        probe = fit_ridge_probe(acts_layer[train], targets[train], l2)
        predicted = probe(acts_layer[test])[:, 0] > 0.5  # [test]
        scores.append((predicted == labels[test]).float().mean())
    return torch.stack(scores)
    ### END SOLUTION


# %%
check(score_by_layer)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# A loop over the first axis of `acts`, and in it three lines: fit, predict, compare. Ask of each index: is it `train` or `test`?
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `acts[layer][train]` is `[train d_model]`, the targets are `[train 1]`, and the predictions for the test examples `[test 1]`. Take column 0 before you compare with `labels[test]`, which is `[test]`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# probe = fit_ridge_probe(acts_layer[train], labels[train].float()[:, None], l2)
# ```
#
# Predictions above 0.5 count as `True`.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# Five green checks. In one of them the labels are random, and the score has to stay within 0.15 of one half.
#
# </details>

# %% [markdown]
# **Look at it.** Ten splits of the nouns, so that you see how much the choice of nouns matters. The `l2` is not tuned here. (Try 1 or 300: the curve keeps its shape.)

# %%
L2 = 30.0
acts_agents = cache_pooled(model, agents.sentences, layers)
acts_agents_untrained = cache_pooled(untrained, agents.sentences, layers)


def ten_curves(acts, labels, groups, l2=L2) -> Float[Tensor, "split layer"]:
    """Layer curves on ten splits of the groups."""
    splits = [split_groups(groups, seed=seed) for seed in range(10)]
    return torch.stack([score_by_layer(acts, labels, train, test, l2) for train, test in splits])


# %%
curves = {
    "sentiment": ten_curves(acts, labels, word_stems(words.words)),
    "who is the agent": ten_curves(acts_agents, agents.labels, agents.groups),
    "who is the agent, untrained twin": ten_curves(acts_agents_untrained, agents.labels, agents.groups),
}
# figure: 01_layer_curves
plots.plot_lines_by_layer(
    {name: curve.mean(dim=0) for name, curve in curves.items()},
    intervals={name: torch.stack([c.amin(dim=0), c.amax(dim=0)], dim=1) for name, c in curves.items()},
    baselines={"majority, sentiment": float((~labels).float().mean()), "words, agent": 0.5},
    layers=layers,
    title="Layer curves, mean and range of 10 splits",
    y_title="accuracy",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Sentiment is flat above 0.8, agent rises from 0.5 to nearly 0.8 at layers 2 and 3 and falls again](figures/01_layer_curves.png)
#
# </details>

# %% tags=["solution"]
assert len(agents.sentences) == 2880 and 6500 < len(words.words) < 7500
means = {name: curve.mean(dim=0) for name, curve in curves.items()}
print({name: [round(x, 3) for x in mean.tolist()] for name, mean in means.items()})
assert means["sentiment"].min() > 0.82 and means["sentiment"].max() < 0.90
agent_means, twin_means = means["who is the agent"], means["who is the agent, untrained twin"]
expected = torch.tensor([0.53, 0.59, 0.73, 0.78, 0.77, 0.68, 0.57])
assert (agent_means - expected).abs().max() < 0.02
assert int(agent_means.argmax()) in (3, 4)  # layers 2 and 3
assert twin_means.min() > 0.46 and twin_means.max() < 0.54
for l2 in (1.0, 300.0):
    assert int(ten_curves(acts_agents, agents.labels, agents.groups, l2).mean(dim=0).argmax()) in (2, 3, 4)

# %% [markdown]
# **Read it.** Sentiment starts high and stays there: the blocks have little to add. The agent starts at a coin toss, as it must. It climbs to about 0.78 at layers 2 and 3, and then it *falls* to 0.57: the last blocks prepare one vector for the meaning of the whole text, and who did what to whom gets lost on the way. The untrained twin stays at 0.5 all along.
#
# So **most of what you read in this chapter was there before the layers did anything. Who did what to whom was not.** A layer curve tells the two apart, and a single number does not.

# %% [markdown]
# **Question.** Does the probe at layer 2 know who the agent is? Think of something simpler that would be right in most of these sentences. How could you find out?

# %% [markdown] tags=["solution"]
# **Our answer.** In an active sentence the agent is the first noun, in a passive one the second. A probe that reads "the animal comes first" would be right in all active sentences and wrong in all passive ones. Fit it on active sentences only, and test it on passive ones: that is the first thing chapter 02 does.

# %% [markdown]
# ## Optional: a score without a threshold
#
# Accuracy asks two questions at once: do the logits put the examples in the right *order*, and is the threshold at the right *place*? The **area under the ROC curve** asks only the first. It has a plain meaning: the probability that a random positive example scores higher than a random negative one.
#
# ```text
# scores          0.1    0.4    0.4    0.8
# labels           -      -      +      +        pairs (+, -): 4
#                                                3 in the right order, 1 tie: (3 + 1/2) / 4 = 0.875
# ```
#
# 1 is a perfect order, 0.5 is a coin toss, and 0 is a perfect order upside down. The share of positive examples does not matter.

# %% [markdown]
# ### Exercise 1.6 · `roc_auc` (10 min, optional)
#
# **Why.** When one class is rare, accuracy flatters whoever always says *no*. Later chapters look for rare things, such as lies. Ties are where home-made versions go wrong: a probe that gives everyone the same score must get 0.5, and not 0 or 1.
#
# **Write** it, and count each tie as one half. With labels of one class only there are no pairs: raise a `ValueError`.


# %%
# exercise: roc_auc
def roc_auc(scores: Float[Tensor, " batch"], labels: Bool[Tensor, " batch"]) -> float:
    """Probability that a positive example scores higher than a negative one; ties count one half."""
    ### BEGIN SOLUTION
    if labels.all() or not labels.any():
        raise ValueError(f"labels must hold both classes, got only {bool(labels[0])}")
    difference = scores[labels][:, None] - scores[~labels][None, :]  # [positive negative]
    return float((difference > 0).float().mean() + (difference == 0).float().mean() / 2)
    ### END SOLUTION


# %%
check(roc_auc)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Compare every positive score with every negative one. The mean of "is higher" over all pairs is the answer, as long as there are no ties.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `scores[labels]` is `[positive]`. With `[:, None]` it is `[positive 1]`, and minus `[1 negative]` that gives all pairs: `[positive negative]`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# difference = scores[labels][:, None] - scores[~labels][None, :]
# ```
#
# The share of differences above 0, plus half the share of those that are exactly 0.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# Five green checks. The example above gives 0.875 exactly.
#
# </details>

# %% [markdown]
# **Look at it.** Here are both scores for the sentiment probe of Exercise 1.3, with its threshold where you put it and one unit too high.

# %%
for shift in (0.0, 1.0):
    share = float(((logits - shift > 0) == labels[test]).float().mean())
    print(f"threshold at {shift:.0f}: accuracy {share:.3f}, ROC AUC {roc_auc(logits - shift, labels[test]):.3f}")

# %% tags=["solution"]
auc = roc_auc(logits, labels[test])
assert 0.90 < auc < 0.94 and abs(auc - roc_auc(logits - 1, labels[test])) < 1e-3

# %% [markdown]
# **Read it.** A threshold in the wrong place costs accuracy. The order is the same, and so is the area, about 0.92.

# %% [markdown]
# ## What you have, and what you do not
#
# **The evidence supports**: sentiment of single words is *decodable* from MiniLM by one direction, on word stems that the probe never saw, far above the majority class; and nearly all of it is in the word vectors. Colours are decodable too, but no better than from a list of words. Who is the agent is decodable from the middle layers, on nouns that the probe never saw, and not from the word vectors.
#
# **It does not support**: that MiniLM *uses* any of this. Nor that it knows colours. Nor that the sentiment probe understands sentences. Look:

# %%
phrases = ["happy", "not happy", "sad", "not sad"]
phrase_logits = probe(cache_pooled(model, phrases, [layer])[0])  # [phrase]
for phrase, logit in zip(phrases, phrase_logits.tolist(), strict=True):
    print(f"{phrase:<12} {logit:+.1f}")

# %% tags=["solution"]
happy, not_happy, sad, not_sad = phrase_logits.tolist()
assert happy > 4 and not_happy < 0 and sad < 0  # right
assert not_sad < 0  # wrong

# %% [markdown]
# *Not sad* is still bad: to this probe, *not* is one more bad word. It was fitted on single words, and a sum of word vectors is what it reads.
#
# **Open questions.** Where does the untrained network's knowledge of colours come from? Is it the agent that the probe reads, or the first noun? Both are questions about the *probe*, and no better score can answer them. That is where the course goes next.

# %%
progress()
