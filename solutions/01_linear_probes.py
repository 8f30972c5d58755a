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
# datasets ── texts, labels ──────────┐
# models ──── TransformerBridge ──────┤
#   ┌─────────────────────────────────┘
#   └─► ACTIVATIONS ─► PROBES ─┐
#       resid_post     probe   │
#   ┌──────────────────────────┘
#   ├─► metrics ── score, interval, control ─► plots
#   └─► interventions ─► models (run again) ─► metrics
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
# {{setup}}

# %%
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils import plots, point_plots
from utils.course.check import check, progress, start_chapter
from utils.course.predict import predict, settle
from utils.datasets import load_sentiment_words
from utils.models import load_model
from utils.probes import LinearProbe
from utils.splits import split_groups, word_stems

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
#   tokens
#     │ look-up
#     ▼
#   stream     "embed"     blocks.0.hook_resid_pre
#     │ block 0
#     ▼
#   stream     layer 0     blocks.0.hook_resid_post
#     │ block 1
#     ▼
#   stream     layer 1     blocks.1.hook_resid_post
#     ┆
#     │ block 5
#     ▼
#   stream     layer 5     blocks.5.hook_resid_post
# ```
#
# In this course **layer L always means the stream after block L**. In front of layer 0 stands `"embed"`: the stream before any block has run. It knows which pieces there are, and where, and nothing else.
#
# TransformerLens puts a **hook point** at each of these places, with the name written beside it. `run_with_cache` runs the model and hands you what passed the hook points you name:
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
# All checks green, in a few tenths of a second. One of them compares the streams with the model's own hidden states: they agree within 0.001.
#
# </details>

# %% [markdown]
# **Look at it.** The word *spring* stands in three sentences below: twice it is a season, once it is made of metal. Your function can say how similar its three vectors are, layer by layer.
#
# **Predict first.** This course asks you often what will come out, and how sure you are, *before* you run the cell. Whoever has guessed reads a figure differently. Your answers are kept with your progress. In the last chapter they show you how well you know what you know.

# %%
predict(
    "spring",
    'How similar (cosine) are season and metal at "embed", before any block has run?',
    ("about 0", "about 0.5", "about 1"),
)

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

# %%
settle("spring", min(("about 0", "about 0.5", "about 1"), key=lambda text: abs(float(text[6:]) - other_sense[0])))

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
# ### Exercise 1.2 · `pool_mean` (10 min)
#
# **Why.** With padding in the mean, a text's vector depends on the longest text in its batch. Then your score depends on the batch size. `[CLS]` and `[SEP]` are no words of the text, and in a text of one word they would make up two thirds of the mean.
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
# All checks green. One of them puts large garbage into the padding: a right answer does not move by more than 0.001.
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
stems = word_stems(words.words)
train, test = split_groups(stems, test_fraction=0.3, seed=SEED)
majority = max(labels[test].float().mean(), 1 - labels[test].float().mean())
print(f"{len(train)} training words, {len(test)} test words")
print(f"always saying the larger class is right for {majority:.1%} of the test words")

# %% tags=["solution"]
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
#            o  o
#          o  o   o
#         o  m  o  o ─ ─ ─ ─ ─┼─ ─ ─ ─►x  x
#           o   o             │       x  m  x x
#                             │         x  x x
#                         threshold
#
#   o negative words    x positive words    m mean of a class
# ```
#
# The arrow runs from one class mean to the other: that is the probe's **weight**. The threshold crosses it halfway. A new word is called positive if it lies on the far side. In formulas, with the means $\mu_+$ and $\mu_-$ of the two classes:
#
# $$w = \mu_+ - \mu_- \qquad \mathrm{logit}(x) = w \cdot x + b, \quad b = -\tfrac12\, w \cdot (\mu_+ + \mu_-)$$
#
# Put $x = \tfrac12(\mu_+ + \mu_-)$ into the second formula: the logit is 0, so the threshold is where we wanted it.

# %% [markdown]
# ### Exercise 1.3 · `fit_mass_mean_probe` (15 min)
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
# All checks green. In one of them the two classes lie along a known direction, under noise: your weight has a cosine above 0.95 with it.
#
# </details>

# %% [markdown]
# ## What the probe reads
#
# Fit on the training words, look at the test words. Always saying *negative* gives you the floor.

# %%
predict(
    "unseen_words",
    "Which share of words that it never saw does the mass-mean probe at layer 2 call right?",
    ("57 %", "70 %", "84 %", "95 %"),
)

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

# %%
right = (logits > 0) == labels[test]  # [test word]
shares = ("57 %", "70 %", "84 %", "95 %")
settle("unseen_words", min(shares, key=lambda share: abs(int(share[:2]) / 100 - right.float().mean())))

# %% tags=["solution"]
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

# %%
WORK = ("embed is at the majority class", "embed is about half way", "embed is nearly there")
predict("whose_work", 'Layer 2 is right for 84 %, always saying negative for 57 %. And a probe at "embed"?', WORK)

# %%
untrained = load_model("minilm_untrained")
acts_untrained = cache_pooled(untrained, words.words, [2])

# %%
from utils.metrics import bootstrap_interval

test_stems = [stems[i] for i in test]


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

# %%
scores = {name: float(right.float().mean()) for name, right in rights.items()}
way = (scores["trained, embed"] - float(majority)) / (scores["trained, 2"] - float(majority))  # 0 to 1
settle("whose_work", WORK[0] if way < 0.25 else WORK[1] if way < 0.75 else WORK[2])

# %% tags=["solution"]
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
# All checks green. One of them has a closed answer: with one dimension and 20 examples at -1 and 1, `l2 = 5` shrinks a slope of 4 to 3.2, within 0.001.
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
point_plots.plot_swatches(
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

# %%
TWIN = ("about 0", "about 0.25", "about 0.55")
predict("colours_twin", "Layer 2 reaches an R² of 0.59. And its untrained twin, whose weights are random?", TWIN)

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
# ![Five bars of R², all near 0.6: a bag of words, the untrained twin, and three layers of the trained network](figures/01_who_knows_colours.png)
#
# </details>

# %%
colour_scores = {name: mean_r2(pair) for name, pair in pairs.items()}
settle("colours_twin", min(TWIN, key=lambda text: abs(float(text[6:]) - colour_scores["untrained twin, 2"])))

# %% tags=["solution"]
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
# ## Where on earth?
#
# Another question with numbers for an answer. [Gurnee & Tegmark 2023](https://arxiv.org/abs/2310.02207) read the latitude and longitude of places from Llama-2. Here are 2,500 of the largest cities ([GeoNames](https://www.geonames.org/)), MiniLM, and your ridge probe.
#
# **What should it predict?** Longitude jumps from 180° to -180° in the middle of the Pacific, and a line cannot jump. So the targets are points on a sphere of radius 1, three numbers each, and the answer is the point of the sphere in the direction of the prediction. (With degrees as targets, the median error at layer 2 is a fifth larger.)
#
# Every city is tested once: five rounds, another fifth held out in each, `l2` chosen on validation cities.
#
# *Predict first:* of a city that it never saw, does the probe find the country, the continent, or nothing?

# %%
from utils.datasets import load_places
from utils.globe import great_circle_km, unit_vectors
from utils.splits import split_folds

places = load_places()
points = unit_vectors(places.latitude, places.longitude)  # [city 3]
acts_places = cache_pooled(model, places.names, layers)  # [layer city d_model]
", ".join(places.names[::100])

# %%
L2_PLACES = [30.0, 100.0, 300.0, 1000.0]


def predict_places(inputs, groups, targets) -> Float[Tensor, "city target"]:
    """Predict each city by a probe that saw none of its group; inputs holds one [city column] for each round."""
    predicted = torch.empty_like(targets)
    for x, (known, unseen) in zip(inputs, split_folds(groups, seed=SEED), strict=True):
        fit, choose = (known[part] for part in split_groups([groups[i] for i in known], seed=SEED))
        tried = torch.stack([fit_ridge_probe(x[fit], targets[fit], l2)(x[choose]) for l2 in L2_PLACES])
        best = int((tried - targets[choose]).square().mean(dim=(1, 2)).argmin())
        predicted[unseen] = fit_ridge_probe(x[known], targets[known], L2_PLACES[best])(x[unseen])
    return predicted


# %%
predicted_points = predict_places([acts_places[layers.index(layer)]] * 5, places.names, points)
# figure: 01_world_map
point_plots.plot_world_map(
    places,
    predicted_points,
    shown=range(20, 2500, 85),
    title=f"Unseen cities, layer {layer}: true (dots) and predicted (circles)",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![World map: lines from the true places of thirty cities to the predicted ones, most of them towards the middle of Asia](figures/01_world_map.png)
#
# </details>
#
# **Read it.** These are thirty of the cities. (Point at a circle to see whose it is.) Oakland lands beside San Francisco and Tokyo near Korea, but Paris off Canada and Durban in Oman. Three circles in four are nearer than their dots to the middle of all cities, which is in Kazakhstan: ridge regression shrinks. The city nearest to the circle is on the right continent for 61 %. That sounds like a map of the world, until you hear that 54 % of the cities are in Asia.
#
# **Who knows the map?** The ladder has a new rung, **spelling**: which one, two and three letters in a row a name holds. It can learn that most names in *-pur* are Indian, and it has never heard of India. And there are two ways to hold out: cities at random, or **whole countries**, so that no other name from the country helps.

# %% tags=["solution"]
assert len(range(20, 2500, 85)) == 30
assert 3200 < great_circle_km(predicted_points, points).median() < 3400
degrees = torch.stack([places.latitude, places.longitude], dim=1)
from_degrees = unit_vectors(*predict_places([acts_places[layers.index(layer)]] * 5, places.names, degrees).T)
assert 1.13 < great_circle_km(from_degrees, points).median() / great_circle_km(predicted_points, points).median() < 1.25
nearest = (torch.nn.functional.normalize(predicted_points, dim=1) @ points.T).argmax(dim=1).tolist()  # [city]
same_continent = [places.continents[i] == places.continents[j] for i, j in enumerate(nearest)]
assert 0.58 < sum(same_continent) / 2500 < 0.64 and 0.53 < places.continents.count("Asia") / 2500 < 0.55
middle = points.mean(dim=0).expand(2500, 3)
assert places.countries[int((points @ middle[0]).argmax())] == "Kazakhstan"
pulled_in = great_circle_km(predicted_points, middle) < great_circle_km(points, middle)
assert 0.71 < pulled_in.float().mean() < 0.77
indian = [places.countries[i] == "India" for i, name in enumerate(places.names) if name.endswith("pur")]
assert sum(indian) > 0.75 * len(indian) and len(indian) > 25
next_to = {name: places.countries[nearest[places.names.index(name)]] for name in ("Tokyo", "Paris", "Durban")}
assert next_to == {"Tokyo": "South Korea", "Paris": "Canada", "Durban": "Oman"}
assert places.names[nearest[places.names.index("Oakland")]] == "San Francisco"

# %%
SPELLING = ("about 3,000 km", "about 4,000 km", "about 5,000 km")
predict(
    "places_spelling",
    "Layer 2 misses half of the cities, held out at random, by 3,300 km or more. "
    "Always saying the middle, that is 5,200 km. And spelling?",
    SPELLING,
)

# %%
from collections import Counter

from utils.datasets import character_ngrams

spelled = character_ngrams(places.names)  # "_ l i m a _ _l li im ma a_ _li lim ima ma_"


def count_ngrams(known: Int[Tensor, " known"]) -> Float[Tensor, "city ngram"]:
    """Which n-grams stand in each name, of those that stand in five or more of the known names."""
    counts = Counter(ngram for i in known.tolist() for ngram in set(spelled[i].split()))
    return bag_of_words(spelled, [ngram for ngram, count in counts.items() if count >= 5])


# %%
rungs = {"untrained twin, 2": cache_pooled(untrained, places.names, [2])[0]}
rungs |= {f"trained, {name}": acts_places[layers.index(name)] for name in ("embed", 2, 5)}
splits = {"random cities": places.names, "whole countries": places.countries}
found = {}  # split -> rung -> [city 3]
for split, groups in splits.items():
    n_grams = [count_ngrams(known) for known, _ in split_folds(groups, seed=SEED)]
    inputs = {"always the middle": [torch.zeros(2500, 1)] * 5, "spelling": n_grams}
    inputs |= {name: [rung] * 5 for name, rung in rungs.items()}
    found[split] = {name: predict_places(x, groups, points) for name, x in inputs.items()}

# %%
km = {split: {name: great_circle_km(f, points) for name, f in found[split].items()} for split in splits}
# figure: 01_who_knows_the_map
plots.plot_grouped_bars(
    {split: {name: float(errors.median()) for name, errors in km[split].items()} for split in splits},
    intervals={
        split: {name: bootstrap_interval(e, groups=groups, statistic=torch.median) for name, e in km[split].items()}
        for split, groups in splits.items()
    },
    title="Unseen cities, 95 % intervals over cities and over countries",
    y_title="median error, km (less is better)",
    y_range=(0, 7000),
    number_format=",.0f",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Bars of the median error: spelling and MiniLM are alike for random cities, MiniLM is ahead for whole countries](figures/01_who_knows_the_map.png)
#
# </details>


# %%
def r2_points(pairs: Float[Tensor, "city 2 3"]) -> float:
    """R² of pairs (prediction, truth), all three coordinates together."""
    found, true = pairs[:, 0], pairs[:, 1]
    return 1 - float((found - true).square().sum() / (true - true.mean(dim=0)).square().sum())


for split, groups in splits.items():
    for name, f in found[split].items():
        pair = torch.stack([f, points], dim=1)
        low, high = bootstrap_interval(pair, groups=groups, statistic=r2_points)
        print(f"{split:<16} {name:<18} R² {r2_points(pair):5.2f} [{low:5.2f}, {high:5.2f}]")

# %%
medians = {split: {name: float(errors.median()) for name, errors in km[split].items()} for split in splits}
distance = {text: abs(int(text[6] + "000") - medians["random cities"]["spelling"]) for text in SPELLING}
settle("places_spelling", min(SPELLING, key=distance.get))

# %% tags=["solution"]
print(medians)


def median_gap(errors: Float[Tensor, "city 2"]) -> float:
    """Median error of the first column minus that of the second."""
    return float(errors[:, 0].median() - errors[:, 1].median())


gaps = {}
for split, groups in splits.items():
    for name, other in [("embed", "spelling"), ("2", "trained, embed"), ("5", "trained, embed")]:
        both = torch.stack([km[split][f"trained, {name}"], km[split][other]], dim=1)  # paired: the same cities
        interval = bootstrap_interval(both, groups=groups, statistic=median_gap)
        gaps[split, name] = (median_gap(both), *interval)
        print(f"{split}, {name} minus {other}: {median_gap(both):.0f} km", [round(end) for end in interval])
random, whole = medians["random cities"], medians["whole countries"]
assert 5000 < random["always the middle"] < 5300 and 5600 < whole["always the middle"] < 6200
assert 4400 < random["untrained twin, 2"] < 4750 and 5100 < whole["untrained twin, 2"] < 5800
assert 3050 < random["spelling"] < 3300 and 4500 < whole["spelling"] < 5000
assert 3050 < random["trained, embed"] < 3300 and 4150 < whole["trained, embed"] < 4500
for name in ("trained, 2", "trained, 5"):
    assert 3150 < random[name] < 3450 and 4050 < whole[name] < 4550
gap, low, high = gaps["whole countries", "embed"]
assert -500 < gap < -300 and -750 < low < -550 and -180 < high < 0
gap, low, high = gaps["random cities", "embed"]
assert abs(gap) < 100 and low < 0 < high
assert gaps["random cities", "2"][1] > 0  # layer 2 is worse than embed
for split, name in (("random cities", "5"), ("whole countries", "2"), ("whole countries", "5")):
    assert gaps[split, name][1] < 0 < gaps[split, name][2]
assert 0.23 < (places.countries.count("China") + places.countries.count("India")) / 2500 < 0.26

# %% [markdown]
# **Read it.** Hold cities out at random, and a probe that knows nothing but letters misses half of them by 3,200 km or more. With `"embed"` it is 3,200 km as well, with layers 2 and 5 it is 3,300 km. **Most of the map is in the spelling**, and the colours should have warned you.
#
# With whole countries held out, all get worse. Spelling misses by 4,700 km, always saying the middle by 5,900 km, and `"embed"` by 4,300 km: 400 km better than spelling, with a 95 % interval over countries from 90 to 640. So the word vectors do know something about places. And the layers? Neither layer 2 nor layer 5 is better than `"embed"` in either split, as far as the intervals can tell; on random cities, layer 2 is even a little worse. **They add nothing.** (The intervals over countries are wide, because China and India alone hold a quarter of the cities.)
#
# This is a small encoder that reads bare names. Llama-2 in the paper may be another matter, and the ladder is how you would find out.

# %% [markdown]
# **Question.** With whole countries held out, `"embed"` still beats spelling. At that point the network has looked at nothing but one name, piece by piece. Where does it have its geography from?

# %% [markdown] tags=["solution"]
# **Our answer.** From training. `"embed"` looks each word piece up in a table, and the table was learned: names that occur in similar sentences were given similar vectors. *Lyon* lies near *Marseille* and *Bordeaux*, but also near *Rotterdam*, and a probe that has never seen a French city can use its Dutch ones. The random vectors of the untrained twin hold nothing of the kind. That the blocks add nothing is no wonder either: they are there to mix in context, and a bare name has none.

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
    print(f"{agents.sentences[i]:<40} agent: {'animal' if agents.labels[i] else 'person'}")

# %% [markdown]
# The nouns of the test sentences are new to the probe, the animals as well as the people. It cannot learn that *wolf* is an agent. It has to learn what being an agent looks like.
#
# **Predict first.** Draw a curve for the agent: its accuracy at `"embed"`, 0, 1, ..., 5. Where does it start, where is it highest, where does it end? Write seven numbers into the list. The figure below will show them in grey.

# %%
MY_CURVE = []  # seven numbers between 0 and 1, such as [0.6, 0.6, 0.7, 0.7, 0.8, 0.8, 0.9]

# %%
PEAKS = ("embed", "layer 0 or 1", "layer 2 or 3", "layer 4 or 5")
predict("agent_peak", "Where can the agent be read best?", PEAKS)

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
# All checks green. In one of them the labels are random, and the score has to stay within 0.15 of one half.
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
    "sentiment": ten_curves(acts, labels, stems),
    "who is the agent": ten_curves(acts_agents, agents.labels, agents.groups),
    "who is the agent, untrained twin": ten_curves(acts_agents_untrained, agents.labels, agents.groups),
}
# figure: 01_layer_curves
plots.plot_lines_by_layer(
    {name: curve.mean(dim=0) for name, curve in curves.items()},
    intervals={name: torch.stack([c.amin(dim=0), c.amax(dim=0)], dim=1) for name, c in curves.items()},
    baselines={"majority, sentiment": float((~labels).float().mean()), "words, agent": 0.5},
    guess=MY_CURVE,
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

# %%
peak = int(curves["who is the agent"].mean(dim=0).argmax())  # 0 is embed, 1 is layer 0
settle("agent_peak", PEAKS[(peak + 1) // 2])

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
# **Read it.** Sentiment starts high and stays there: the blocks have little to add. The agent starts at a coin toss, as it must. It climbs to about 0.78 at layers 2 and 3, and then it *falls* to 0.57. The untrained twin stays at 0.5 all along.
#
# Why does it fall? The figure does not say. A guess: MiniLM is trained to end in one vector for the meaning of a whole text, and who did what to whom gets lost on the way.
#
# So **most of what you read in this chapter was there before the layers did anything. Who did what to whom was not.** A layer curve tells the two apart, and a single number does not.

# %% [markdown]
# **Question.** Does the probe at layer 2 know who the agent is? Think of something simpler that would be right in most of these sentences. How could you find out?

# %% [markdown] tags=["solution"]
# **Our answer.** In an active sentence the agent is the first noun, in a passive one the second. A probe that reads "the animal comes first" would be right in all active sentences and wrong in all passive ones. Fit it on active sentences only, and test it on passive ones: that is the first thing chapter 02 does.

# %% [markdown]
# ## Find the bug
#
# A colleague goes on from here. She wants the best layer, chosen on validation sentences, and a probe from it that can be used on new sentences.

# %%
new = split_groups(agents.groups, seed=SEED)[1]  # sentences that stand for next week's
known = split_groups(agents.groups, seed=SEED)[0]
fit, choose = (known[part] for part in split_groups(agents.groups[known], seed=SEED))


def colleagues_choice(acts, labels, train, validation, layers, l2):
    """The layer with the best validation accuracy, and the probe fitted there."""
    scores = score_by_layer(acts, labels, train, validation, l2)
    best_layer = int(scores.argmax())
    probe = fit_ridge_probe(acts[best_layer][train], labels[train].float()[:, None], l2)
    return best_layer, probe


# %%
best_layer, colleagues_probe = colleagues_choice(acts_agents, agents.labels, fit, choose, layers, L2)
new_acts = cache_pooled(model, [agents.sentences[i] for i in new], [best_layer])[0]  # [sentence d_model]
validation_score = score_by_layer(acts_agents, agents.labels, fit, choose, L2).max()
new_score = ((colleagues_probe(new_acts)[:, 0] > 0.5) == agents.labels[new]).float().mean()
print(f"layer {best_layer}: {validation_score:.2f} on validation, {new_score:.2f} on new sentences")

# %% [markdown]
# 0.85 on validation, 0.57 on new sentences. "Overfitted", says the colleague. "Seven layers tried, the luckiest one picked, and the new nouns are harder. I need more data."
#
# Is she right? Your layer curves above show about 0.78 at the best layer, on nouns that were new as well.

# %%
CAUSES = ("yes: the choice of the layer overfitted", "no: something else is wrong")
predict("colleague", "Does choosing among seven layers explain a fall from 0.85 to 0.57?", CAUSES)

# %% tags=["solution"]
assert best_layer == 3 and 0.83 < validation_score < 0.87 and 0.54 < new_score < 0.60

# %% [markdown]
# ### Exercise 1.6 · `choose_layer` (10 min)
#
# **Why.** Nothing crashes here. Every number is a real accuracy, and the story about it is plausible. More data would have been collected, and the result would have been the same. Mistakes of this kind get published, because a low score looks like an honest finding.
#
# **Find** the mistake in `colleagues_choice`, and **write** the function without it. Nothing else in it is wrong.
#
# It returns the **name** of the chosen layer, which is what `cache_pooled` and `cache_resid_post` ask for, and the probe.


# %%
# exercise: choose_layer
def choose_layer(
    acts: Float[Tensor, "layer example d_model"],
    labels: Bool[Tensor, " example"],
    train: Int[Tensor, " train"],
    validation: Int[Tensor, " validation"],
    layers: list[int | str],
    l2: float,
) -> tuple[int | str, LinearProbe]:
    """The layer with the best validation accuracy, and the probe fitted there."""
    ### BEGIN SOLUTION
    scores = score_by_layer(acts, labels, train, validation, l2)
    best_row = int(scores.argmax())
    probe = fit_ridge_probe(acts[best_row][train], labels[train].float()[:, None], l2)
    return layers[best_row], probe
    ### END SOLUTION


# %%
check(choose_layer)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# From which layer did the probe's training activations come? From which layer did the new ones come? Count the rows of `acts_agents` aloud.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `acts` is `[layer example d_model]`, and its first axis has **seven rows** for six blocks. Row 0 is `"embed"`, row 1 is layer 0.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# return layers[best_row], probe
# ```
#
# Here `best_row` is `int(scores.argmax())`.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. In one of them the rows stand for the layers 4, "embed" and 1, in that order.
#
# </details>

# %%
chosen_layer, chosen_probe = choose_layer(acts_agents, agents.labels, fit, choose, layers, L2)
new_acts = cache_pooled(model, [agents.sentences[i] for i in new], [chosen_layer])[0]
repaired_score = ((chosen_probe(new_acts)[:, 0] > 0.5) == agents.labels[new]).float().mean()
print(f"layer {chosen_layer}: {validation_score:.2f} on validation, {repaired_score:.2f} on new sentences")

# %%
settle("colleague", CAUSES[int(repaired_score - new_score > 0.1)])

# %% tags=["solution"]
assert chosen_layer == 2 and 0.75 < repaired_score < 0.82

# %% [markdown]
# **Read it.** Same data, same probe, 0.78. The probe was fitted to row 3, which is layer **2**. Then it was shown layer 3. It read the right book one page too far.
#
# A part of the fall from 0.85 is real: the best of seven validation scores is a little lucky. The rest was a counting mistake, and the two look alike from outside. Libraries for probing have had this one: [EleutherAI's elk](https://github.com/EleutherAI/elk/pull/284) listed the embeddings among the layers. Hugging Face's `hidden_states` counts the same way: `hidden_states[0]` is `"embed"`, and `hidden_states[3]` is our layer 2. So write down which convention you use, and carry **names**, not row numbers.

# %% [markdown]
# ## Optional: a score without a threshold
#
# Accuracy asks two questions at once: do the logits put the examples in the right *order*, and is the threshold at the right *place*? The **area under the ROC curve** asks only the first. It has a plain meaning: the probability that a random positive example scores higher than a random negative one.
#
# ```text
#   scores    0.1   0.4   0.4   0.8
#   labels     -     -     +     +
#
#   4 pairs (+, -): 3 in the right order, 1 tie
#   (3 + 1/2) / 4 = 0.875
# ```
#
# 1 is a perfect order, 0.5 is a coin toss, and 0 is a perfect order upside down. The share of positive examples does not matter.

# %% [markdown]
# ### Exercise 1.7 · `roc_auc` (10 min, optional)
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
# All checks green. The example above gives 0.875 exactly.
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
# ## Optional: a probe that cancels noise
#
# The mass-mean probe knows two points: the means of the classes. How the examples scatter *around* their means does not enter. Here are 300 made-up examples in two dimensions where that is a loss. The label moves dimension 0 only. A disturbance, one number for each example, moves both dimensions alike.

# %%
generator = torch.Generator().manual_seed(SEED)
flat_labels = torch.arange(300) % 2 == 0
disturbance = torch.randn(300, 1, generator=generator)
flat = disturbance + 0.33 * torch.randn(300, 2, generator=generator)  # [batch 2]
flat[:, 0] += torch.where(flat_labels, 0.8, -0.8)

# %%
mass_mean = fit_mass_mean_probe(flat, flat_labels)
point_plots.plot_classes(flat, flat_labels, probes={"mass-mean": mass_mean}, title="Two classes, one disturbance")

# %% tags=["solution"]
assert 0.76 < ((mass_mean(flat) > 0) == flat_labels).float().mean() < 0.82
means = torch.stack([flat[flat_labels].mean(dim=0), flat[~flat_labels].mean(dim=0)])  # [class dimension]
assert (means[0] - means[1])[0] > 1.4 and (means[0] - means[1])[1].abs() < 0.1

# %% [markdown]
# The line is the threshold, the arrow your weight. About four in five are on the right side.
#
# *Predict first:* draw a better line, on paper. Which way does its arrow point? And what does it make of dimension 1, in which both classes have the same mean?

# %% [markdown]
# ### From a logit to a loss
#
# **Logistic regression** finds that line. It reads a logit as a probability, and asks how much of it the right answer got:
#
# $$p = \frac{1}{1 + e^{-\mathrm{logit}}} \qquad \mathrm{loss} = \begin{cases} -\log p & \text{if the label is True} \\ -\log (1 - p) & \text{if it is False} \end{cases}$$
#
# ```text
# an example that is True
# logit             -4       -2        0       +2       +4
# probability p    0.02     0.12     0.50     0.88     0.98
# log-loss         4.02     2.13     0.69     0.13     0.02
# ```
#
# Far on the right side, the loss is next to nothing. Far on the wrong side, it grows like the logit itself. So the examples near the line and beyond it decide, and the mean of a class has no special part.
#
# The probe minimises the **mean** of these losses plus a price for large weights:
#
# $$L(w, b) = \frac{1}{n} \sum_{i=1}^{n} \mathrm{loss}_i + \frac{\lambda}{2} \lVert w \rVert^2$$
#
# $\lambda$ is `l2` in the code, and the bias has no price. Without the price there may be no minimum: where a line puts every training example on its right side, a longer weight is always a little better.

# %% tags=["solution"]
table = torch.tensor([-4.0, -2.0, 0.0, 2.0, 4.0])
assert torch.allclose(table.sigmoid(), torch.tensor([0.02, 0.12, 0.50, 0.88, 0.98]), atol=0.005)
assert torch.allclose(-table.sigmoid().log(), torch.tensor([4.02, 2.13, 0.69, 0.13, 0.02]), atol=0.005)

# %% [markdown]
# ### Exercise 1.8 · `logistic_regression_loss` (10 min, optional)
#
# **Why.** The usual probe in the literature is trained with this loss. Typed in as it stands above, it breaks: at a logit of -200 the probability is 0 in float32, its logarithm is minus infinity, and one such example ruins the training.
#
# **Write** it.
#
# 1. Compute one logit for each example: `[batch]`.
# 2. Turn each into a log-loss that stays right for logits of 200 and more. Never compute `log(p)`: put `p` into the formula and simplify. You get $\log(1 + e^{-\mathrm{logit}})$ if the label is True, and the same with the other sign if it is False. `torch.nn.functional.softplus` is $\log(1 + e^x)$ for `x` of any size.
# 3. Return the mean of the losses plus the price, as a tensor with a single number, so that PyTorch can differentiate it.


# %%
# exercise: logistic_regression_loss
def logistic_regression_loss(
    weight: Float[Tensor, " d_model"],
    bias: Float[Tensor, ""],
    acts: Float[Tensor, "batch d_model"],
    labels: Bool[Tensor, " batch"],
    l2: float,
) -> Float[Tensor, ""]:
    """Mean log-loss plus half of l2 times the squared length of the weight; the bias is free."""
    ### BEGIN SOLUTION
    logits = acts @ weight + bias  # [batch]
    losses = torch.nn.functional.softplus(torch.where(labels, -logits, logits))  # [batch]
    return losses.mean() + l2 / 2 * weight.square().sum()
    ### END SOLUTION


# %%
check(logistic_regression_loss)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# An example is wrong by as much as its logit points to the other class. For a label of True that is `-logit`, for False it is `logit`. `softplus` of that is the loss.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `acts @ weight + bias` is `[batch]`. `torch.where(labels, a, b)` takes `a` where the label is True and `b` elsewhere: `[batch]`, too. The mean and the price are single numbers. Leave them tensors: no `float()`, no `.item()`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# losses = torch.nn.functional.softplus(torch.where(labels, -logits, logits))
# ```
#
# The price is `l2 / 2 * weight.square().sum()`.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. In one of them a probe is sure of the wrong class, with a logit of 200: the loss is 200, and not infinite.
#
# </details>

# %% [markdown]
# ### From a loss to a probe
#
# No formula gives the minimum: it takes steps downhill. `torch.optim.LBFGS` chooses good ones. It wants a function that computes the loss and its gradient, as often as it asks. Here it finds the minimum of $(x - 3)^2$:


# %%
def find_minimum() -> Float[Tensor, ""]:
    """The x where (x - 3)² is least."""
    x = torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([x], max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()  # the gradient of the step before
        loss = (x - 3) ** 2
        loss.backward()
        return loss

    optimizer.step(closure)  # changes x in place
    return x.detach()


find_minimum()

# %% tags=["solution"]
assert abs(find_minimum() - 3) < 1e-3
std_5 = acts[layers.index(5), train].std(dim=0)
assert int((std_5 < 1e-6 * std_5.max()).sum()) == 3  # the dimensions of layer 5 that do not vary

# %% [markdown]
# A price on the weight is fair only if all dimensions have the same scale: a dimension of small numbers needs a large weight to have any effect, and would pay more. So you **standardise** first. Subtract the mean of each dimension, and divide by its standard deviation, both from the training examples.
#
# ```text
#   acts ──(x - mean) / std──► z ──minimise──► weight_z, bias_z
#                                                   │ map back
#                                                   ▼
#                        for acts as they are: weight, bias
# ```
#
# The last arrow matters. Whoever gets your probe has activations, and knows nothing of your means. So the probe must give the same logits on `acts` as you have found on `z`:
#
# $$w_z \cdot \frac{x - \mathrm{mean}}{\mathrm{std}} + b_z = w \cdot x + b$$

# %% [markdown]
# ### Exercise 1.9 · `fit_logistic_regression_probe` (25 min, optional)
#
# **Why.** It is the usual probe, and so the one that others have to beat. Two mistakes are common: weights that are left in standardised units, and a division by the standard deviation of a dimension that does not vary, which is 0 up to a rounding error. Layer 5 of MiniLM has three of those.
#
# **Write** it, with your `logistic_regression_loss`.
#
# 1. Standardise each dimension (standard deviation with `correction=0`: divided by the number of examples). A dimension whose standard deviation is below a millionth of the largest one does not vary: it gets weight 0.
# 2. Start from a weight and a bias of 0, and minimise your loss until it stops falling: LBFGS as above, with at most a few hundred steps.
# 3. Map weight and bias back to activation units, and return a `LinearProbe` without gradients.
# 4. With labels of one class there is nothing to tell apart: raise a `ValueError`.


# %%
# exercise: fit_logistic_regression_probe
def fit_logistic_regression_probe(
    acts: Float[Tensor, "batch d_model"],
    labels: Bool[Tensor, " batch"],
    l2: float,
) -> LinearProbe:
    """The probe with the least logistic_regression_loss on standardised acts, in activation units."""
    ### BEGIN SOLUTION
    if labels.all() or not labels.any():
        raise ValueError(f"labels must hold both classes, got only {bool(labels[0])}")
    mean, std = acts.mean(dim=0), acts.std(dim=0, correction=0)  # [d_model] each
    std[std < 1e-6 * std.max()] = torch.inf  # anything divided by infinity is 0
    z = (acts - mean) / std  # [batch d_model]
    weight_z, bias_z = torch.zeros(acts.shape[1], requires_grad=True), torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([weight_z, bias_z], max_iter=300, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = logistic_regression_loss(weight_z, bias_z, z, labels, l2)
        loss.backward()
        return loss

    optimizer.step(closure)
    weight = weight_z.detach() / std
    return LinearProbe(weight=weight, bias=bias_z.detach() - weight @ mean)
    ### END SOLUTION


# %%
check(fit_logistic_regression_probe)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
#
# Standardise, minimise, map back. For the last step, multiply out the equation above this exercise: what stands before $x$ is the weight, and all the rest is the bias.
#
# </details>
#
# <details>
# <summary>Hint 2 · the shapes</summary>
#
# `mean`, `std` and both weights are `[d_model]`, and both biases have no axes. A weight that LBFGS has changed still has `requires_grad`: take `.detach()` of it. With `std` set to infinity where a dimension does not vary, `z` is 0 there, and so is `weight_z / std`.
#
# </details>
#
# <details>
# <summary>Hint 3 · the line</summary>
#
# ```python
# weight = weight_z.detach() / std
# ```
#
# The bias takes up the means: `bias_z.detach() - weight @ mean`.
#
# </details>
#
# <details>
# <summary>What you should see</summary>
#
# All checks green. In one of them acts are 8 or 12, and `l2` is chosen so that the answer is known: weights of 0.3 and 0.5, within 0.005.
#
# </details>

# %% [markdown]
# **Look at it.** The two dimensions again, with both probes.

# %%
logistic = fit_logistic_regression_probe(flat, flat_labels, l2=0.01)
# figure: 01_two_directions
point_plots.plot_classes(
    flat,
    flat_labels,
    probes={"mass-mean": mass_mean, "logistic regression": logistic},
    title="Two classes, one disturbance, two directions",
)

# %% [markdown]
# <details>
# <summary>The figure as it should look</summary>
#
# ![Two long slanting clouds side by side: the mass-mean line cuts through both, the logistic line runs between them](figures/01_two_directions.png)
#
# </details>

# %% tags=["solution"]
assert 0.94 < ((logistic(flat) > 0) == flat_labels).float().mean() < 0.98
assert -0.95 < logistic.weight[1] / logistic.weight[0] < -0.65

# %% [markdown]
# **Read it.** Logistic regression calls 96 % right, the mass-mean probe 79 %. Its arrow points down as well as right: the weight of dimension 1 is about -0.8 times that of dimension 0. Dimension 1 knows nothing about the label. It knows the *disturbance*, and subtracting it makes the label readable.
#
# So a large weight does not mean that a dimension carries the label. Keep that for chapter 02.

# %% [markdown]
# ### Does it help on real activations?
#
# Sentiment again: mass-mean against logistic regression, at `"embed"` and at layer 2, on the same unseen words. The `l2` is chosen on validation words: a part of the training stems.
#
# *Predict first:* how many percentage points does logistic regression gain at layer 2: 0, 1, 5 or 10? And the cosine between the two directions: about 0.1, 0.5 or 0.8?

# %%
L2_STEPS = [0.001, 0.01, 0.1, 1.0, 10.0]
part, rest = split_groups([stems[i] for i in train], test_fraction=0.3, seed=SEED)
fit_words, validation_words = train[part], train[rest]


def choose_logistic_probe(acts: Float[Tensor, "word d_model"]) -> LinearProbe:
    """The l2 that calls most validation words right, then a fit on all training words."""
    scores = []
    for l2 in L2_STEPS:
        tried = fit_logistic_regression_probe(acts[fit_words], labels[fit_words], l2)
        scores.append(float(((tried(acts[validation_words]) > 0) == labels[validation_words]).float().mean()))
    return fit_logistic_regression_probe(acts[train], labels[train], L2_STEPS[scores.index(max(scores))])


# %%
logistic_rights, cosines = {}, {}
for name in ("embed", 2):
    acts_layer = acts[layers.index(name)]
    chosen = choose_logistic_probe(acts_layer)
    logistic_rights[name] = (chosen(acts_layer[test]) > 0) == labels[test]
    mean_weight = fit_mass_mean_probe(acts_layer[train], labels[train]).weight
    cosines[name] = float(torch.cosine_similarity(chosen.weight, mean_weight, dim=0))


# %%
def compare(text: str, mine: Bool[Tensor, " test_word"], other: Bool[Tensor, " test_word"]) -> tuple[float, ...]:
    """The gain in accuracy and its interval over stems, paired: the same test words."""
    gain = mine.float() - other.float()
    low, high = bootstrap_interval(gain, groups=test_stems)
    print(f"{text:<24} {mine.float().mean():.3f}  gain {gain.mean():+.3f} [{low:+.3f}, {high:+.3f}]")
    return float(gain.mean()), low, high


print("logistic regression: accuracy, gain [95 % over stems]")
gains = {
    name: compare(f"over mass-mean, {name}", right, rights[f"trained, {name}"])
    for name, right in logistic_rights.items()
}
gains["layers"] = compare("layer 2 over embed", logistic_rights[2], logistic_rights["embed"])
print("cosine with the mass-mean direction:", {name: round(cosine, 2) for name, cosine in cosines.items()})

# %% tags=["solution"]
assert 0.83 < logistic_rights["embed"].float().mean() < 0.855 and 0.84 < logistic_rights[2].float().mean() < 0.865
gain, low, high = gains["embed"]
assert 0.015 < gain < 0.035 and 0.005 < low < 0.016 and 0.03 < high < 0.05
gain, low, high = gains[2]
assert 0.006 < gain < 0.018 and -0.002 < low < 0.006 and 0.018 < high < 0.032
gain, low, high = gains["layers"]
assert 0.002 < gain < 0.017 and low < 0 and 0.02 < high < 0.04
assert 0.8 < cosines["embed"] < 0.95 and 0.8 < cosines[2] < 0.9
assert 0.04 < acts.shape[-1] ** -0.5 < 0.06  # the typical cosine of two random directions

# %% [markdown]
# **Read it.** At layer 2 logistic regression is right about one percentage point more often, with an interval from 0.1 to 2.5. At `"embed"` it gains 2.5 points, from 1 to 4. The cosines are above 0.8, where two random directions in 384 dimensions have about 0.05: both probes found much the same direction. There is noise to cancel, and not much of it.
#
# Now look at the layers. With mass-mean probes, layer 2 was two points ahead of `"embed"`. With logistic regression it is one point, and the interval includes 0. Whether layer 2 adds anything to the word vectors is open again: the answer hangs on the probe. So with every comparison ask whether another probe would have turned it round.
#
# One more question stays open. A direction that reads better need not be the better one to *push* along. Later chapters push.

# %% [markdown]
# ## Look around
#
# Everything you have read, in one panel. Choose a set and an item: clear the field, then type a name or take one from the list. Then move through the layers. You see what your probe says, and the five items whose vectors have the largest cosine with this one. All that you can choose was **held out**: the probe had not seen it. The neighbours come from the training items too.
#
# - *San Antonio*. At `"embed"` its neighbours are San Francisco, San Pedro and San Diego, which share a piece with it. At layer 5 Houston comes first, and Austin third: cities of Texas.
# - *faultless*. Its neighbours change little, and it is a bad word at every layer.
# - *rust red* and *emerald*. One is found and the other is not. Which of them could a list of words have known? (This is a hint for the riddle.)
#
# One city is an anecdote. Over all cities, 79 % of the five nearest share a word piece with the city at `"embed"`, and 55 % at layer 3. From the same *country* are 31 % and 30 %. So the company changes, and the map does not.

# %%
word_logits = torch.stack([fit_mass_mean_probe(a[train], labels[train])(a) for a in acts])  # [layer word]
named_colours = torch.stack([predict_colours(a) for a in acts_colours])  # [layer test_name 3]
named_points = torch.stack([predict_places([a] * 5, places.names, points) for a in acts_places])  # [layer city 3]
row_of = {name: row for row, name in enumerate(test_names.tolist())}


def show_word(layer, word):
    logit = float(word_logits[layer, word])
    return f"{'positive' if logit > 0 else 'negative'}, logit {logit:+.1f}", f"rated {words.valence[word]:+.1f}"


def show_colour(layer, name):
    return named_colours[layer, row_of[name]], rgb[name]


def show_city(layer, city):
    point = named_points[layer, city]
    near, km_off = int((points @ point).argmax()), great_circle_km(point, points[city])
    return f"near {places.names[near]}, {places.countries[near]}: {km_off:,.0f} km off", places.countries[city]


# %%
from utils.widgets.layers import ItemSet, explore_layers

explore_layers(
    {
        "city": ItemSet(places.names, acts_places, torch.arange(2500), show_city, example="San Antonio"),
        "sentiment word": ItemSet(words.words, acts, test, show_word, example="faultless"),
        "colour": ItemSet(colours.names, acts_colours, test_names, show_colour, example="rust red"),
    },
    layers,
)

# %% tags=["solution"]
nearest_cities, same_piece, same_country = {}, {}, {}
pieces = [set(row) for row in model.tokenizer(places.names, add_special_tokens=False)["input_ids"]]
for name in ("embed", 3, 5):
    vectors = torch.nn.functional.normalize(acts_places[layers.index(name)], dim=1)
    near = (vectors @ vectors.T - 2 * torch.eye(2500)).topk(5).indices.tolist()  # [city 5], without the city itself
    nearest_cities[name] = [places.names[j] for j in near[places.names.index("San Antonio")]]
    near_lyon = {places.names[j] for j in near[places.names.index("Lyon")]}
    assert name != "embed" or {"Marseille", "Bordeaux", "Rotterdam"} <= near_lyon
    same_piece[name] = sum(bool(pieces[i] & pieces[j]) for i in range(2500) for j in near[i]) / 12500
    same_country[name] = sum(places.countries[i] == places.countries[j] for i in range(2500) for j in near[i]) / 12500
assert nearest_cities["embed"][:3] == ["San Francisco", "San Pedro", "San Diego"]
assert nearest_cities[5][0] == "Houston" and nearest_cities[5][2] == "Austin"
assert 0.76 < same_piece["embed"] < 0.82 and 0.52 < same_piece[3] < 0.58
assert 0.29 < same_country["embed"] < 0.33 and 0.28 < same_country[3] < 0.32
assert (word_logits[:, words.words.index("faultless")] < 0).all()
colour_errors = {
    name: (named_colours[:, row_of[colours.names.index(name)]] - rgb[colours.names.index(name)]).norm(dim=1)
    for name in ("rust red", "emerald")
}
assert colour_errors["rust red"].max() < 0.2 and colour_errors["emerald"].min() > 0.3
assert any(w == "red" for i in train_names for w in colours.names[i].split())
assert not any(w == "emerald" for i in train_names for w in colours.names[i].split())

# %% [markdown]
# ## What you have, and what you do not
#
# **The evidence supports**: sentiment of single words is *decodable* from MiniLM by one direction, on word stems that the probe never saw, far above the majority class. Nearly all of it is in the word vectors. Colours are decodable too, but no better than from a list of words. Who is the agent is decodable from the middle layers, on nouns that the probe never saw, and not from the word vectors.
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

# %% [markdown]
# ## At scale
#
# MiniLM was trained to sum up a sentence in one vector. **BERT** was trained to guess missing words, and has twice as many blocks. Is the agent found in its middle, too, and does it fall at the end?
#
# Your functions work on any network that TransformerLens knows. With a network connection (`HF_HUB_OFFLINE=0 make lab`), this cell fetches 0.4 GB and runs for some minutes. Without one it says so. How to use a graphics card, a cluster, or more activations than memory holds, is on [a page of its own](../chapters/at_scale.md).

# %%
from utils.at_scale import load_if_possible

larger = load_if_possible("google-bert/bert-base-uncased")  # 12 blocks, d_model 768, 110 million weights
if larger is not None:
    its_layers = ["embed", *range(larger.cfg.n_layers)]
    its_acts = cache_pooled(larger, agents.sentences, its_layers).cpu()  # from the graphics card, where there is one
    its_curves = ten_curves(its_acts, agents.labels, agents.groups)
    figure = plots.plot_lines_by_layer(
        {"who is the agent": its_curves.mean(dim=0)},
        intervals={"who is the agent": torch.stack([its_curves.amin(dim=0), its_curves.amax(dim=0)], dim=1)},
        baselines={"words": 0.5},
        layers=its_layers,
        title="BERT: mean and range of 10 splits",
        y_title="accuracy",
    )
    display(figure)

# %%
progress()
