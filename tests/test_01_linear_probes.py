"""The checks of chapter 01. They run live in the notebook, in CI on the solutions, and on submissions."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from utils import models
from utils.course.expect import close, describe, exercise, expect_number, expect_tensor, hint
from utils.course.student import StudentError, value_and_grad
from utils.probes import LinearProbe

# --- 1.1 cache_resid_post ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """A small random model and a padded batch for it, with what each stream should hold."""

    model: object
    tokens: Tensor  # [batch pos]
    attention_mask: Tensor  # [batch pos]
    streams: dict  # "embed", 0, 1, ... -> [batch pos d_model]


@pytest.fixture
def batch(seed) -> Batch:
    """Three texts of 9, 5 and 7 tokens for a BERT of three blocks; made anew if a wrong answer damaged its weights."""
    batch, fingerprint = make_batch(seed)
    if models.fingerprint(batch.model) != fingerprint:
        make_batch.cache_clear()
        batch, _ = make_batch(seed)
    return batch


@lru_cache(maxsize=1)
def make_batch(seed: int) -> tuple[Batch, str]:
    """The batch and the fingerprint of its model, every weight and bias of which is random."""
    model = models.random_model("bert", n_layers=3, d_model=12, n_heads=2, d_vocab=40, seed=seed)
    attention_mask = (torch.arange(9) < torch.tensor([[9], [5], [7]])).long()
    tokens = torch.randint(1, 40, (3, 9), generator=torch.Generator().manual_seed(seed)) * attention_mask
    batch = Batch(model, tokens, attention_mask, hidden_states(model, tokens, attention_mask))
    return batch, models.fingerprint(model)


def hidden_states(model, tokens: Tensor, attention_mask: Tensor) -> dict:
    """What goes into the first block and comes out of each, caught by PyTorch's own hooks: no hook name is involved."""
    streams = {}

    def keep(layer):
        def hook(block, inputs, output):
            if layer == 0:
                streams["embed"] = inputs[0]
            streams[layer] = output[0] if isinstance(output, tuple) else output

        return hook

    handles = [block.register_forward_hook(keep(layer)) for layer, block in enumerate(model.blocks)]
    try:
        model(tokens, attention_mask=attention_mask, return_type=None)
    finally:
        for handle in handles:
            handle.remove()
    return streams


def expect_stream(got: Tensor, truth: dict, layer: int | str, model_name: str = "the model") -> None:
    """Fail unless one layer's result [batch pos d_model] is the right stream; say which other one it is."""
    if close(got, truth[layer]):  # 1e-4: float32 through a few blocks
        return
    if layer == "embed":
        assert not close(got, truth[0]), (
            '"embed" returned the stream after block 0, expected the one before it: `blocks.0.hook_resid_pre`'
        )
        why = "Expected `blocks.0.hook_resid_pre`; `hook_embed` and `embed.hook_out` hold less"
    else:
        assert not close(got, truth[layer - 1 if layer else "embed"]), (
            f"for layer {layer} you returned the stream before block {layer}, expected the one after it: "
            "`hook_resid_post`, not `hook_resid_pre`"
        )
        why = f"Expected `blocks.{layer}.hook_resid_post`. Is it another hook, or the stream of another layer?"
    error = float((got - truth[layer]).abs().max())
    raise AssertionError(f"layer {layer!r} differs by up to {error:.2g} from the stream of {model_name}. {why}")


@exercise("cache_resid_post")
def test_returns_a_vector_for_every_layer_and_position(student, batch):
    with hint("If it is stop_at_layer: it names the first block that does not run"):
        acts = student.cache_resid_post(batch.model, batch.tokens, batch.attention_mask, [0, 2])
    expect_tensor(acts, "layer batch pos d_model", (2, 3, 9, 12))
    acts = student.cache_resid_post(batch.model, batch.tokens[:2, :4], batch.attention_mask[:2, :4], [1])
    expect_tensor(acts, "layer batch pos d_model", (1, 2, 4, 12), name="for one layer and two texts, the result")


@exercise("cache_resid_post", points=2)
def test_holds_the_stream_after_each_block(student, batch):
    """One full-length text, so that only the choice of the hook matters."""
    tokens, mask = batch.tokens[:1], batch.attention_mask[:1]
    acts = student.cache_resid_post(batch.model, tokens, mask, [0, 1, 2])
    expect_tensor(acts, "layer batch pos d_model", (3, 1, 9, 12))
    for layer in (0, 1, 2):
        expect_stream(acts[layer], hidden_states(batch.model, tokens, mask), layer)


@exercise("cache_resid_post", points=1)
def test_reads_embed_before_block_0(student, batch):
    tokens, mask = batch.tokens[:1], batch.attention_mask[:1]
    with hint('"embed" has a hook point of its own, `blocks.0.hook_resid_pre`'):
        acts = student.cache_resid_post(batch.model, tokens, mask, ["embed"])
    expect_tensor(acts, "layer batch pos d_model", (1, 1, 9, 12))
    expect_stream(acts[0], hidden_states(batch.model, tokens, mask), "embed")


@exercise("cache_resid_post", points=1)
def test_keeps_the_order_that_was_asked_for(student, batch):
    """Against the function's own answers for one layer at a time, so that another mistake is not counted twice."""
    tokens, mask, layers = batch.tokens[:1], batch.attention_mask[:1], [2, "embed", 1]
    acts = student.cache_resid_post(batch.model, tokens, mask, layers)
    expect_tensor(acts, "layer batch pos d_model", (3, 1, 9, 12))
    alone = {layer: student.cache_resid_post(batch.model, tokens, mask, [layer])[0] for layer in layers}
    assert not (close(acts[0], alone["embed"]) and close(acts[2], alone[2])), (
        'layers=[2, "embed", 1] came back as "embed", 1, 2, the order of the forward pass. Keep the order of `layers`'
    )
    for row, layer in enumerate(layers):
        assert close(acts[row], alone[layer]), (
            f'with layers=[2, "embed", 1], row {row} is not what you return for layer {layer!r} alone'
        )


@exercise("cache_resid_post", points=1)
def test_padding_does_not_change_the_text(student, batch):
    """The same text in a padded batch and alone, both by the submitted function."""
    acts = student.cache_resid_post(batch.model, batch.tokens, batch.attention_mask, [0, 1, 2])
    expect_tensor(acts, "layer batch pos d_model", (3, 3, 9, 12))
    for row, length in ((1, 5), (2, 7)):
        tokens, mask = batch.tokens[[row], :length], batch.attention_mask[[row], :length]
        alone = student.cache_resid_post(batch.model, tokens, mask, [0, 1, 2])
        expect_tensor(alone, "layer batch pos d_model", (3, 1, length, 12))
        difference = float((acts[:, row, :length] - alone[:, 0]).abs().max())
        assert difference < 1e-3, (  # without a mask the streams of these models differ by 0.1 to 3
            f"a text of {length} tokens differs by up to {difference:.2g} between a padded batch and alone, expected "
            "no difference at its real tokens. Does `attention_mask` reach the model?"
        )


@exercise("cache_resid_post", points=1)
def test_reads_a_real_encoder(student):
    """MiniLM itself: six blocks, and sentences of different lengths."""
    model = models.load_model("minilm")
    texts = ["A dog barked.", "The small boat left the harbour at dawn."]
    encoded = model.tokenizer(texts, padding=True, return_tensors="pt")
    tokens, mask = encoded["input_ids"], encoded["attention_mask"]
    acts = student.cache_resid_post(model, tokens, mask, ["embed", 3, 5])
    expect_tensor(acts, "layer batch pos d_model", (3, *tokens.shape, 384))
    real = mask.bool()
    truth = {layer: stream[real] for layer, stream in hidden_states(model, tokens, mask).items()}
    for row, layer in enumerate(["embed", 3, 5]):
        expect_stream(acts[row][real], truth, layer, model_name="MiniLM")


# --- 1.2 pool_mean -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Padded:
    """Activations of texts of 2, 5 and 3 word pieces between [CLS] and [SEP], with padding that holds garbage."""

    acts: Tensor  # [layer batch pos d_model]
    attention_mask: Tensor  # [batch pos]
    n_pieces: tuple[int, ...] = (2, 5, 3)

    def mean(self, row: int, start: int, stop: int) -> Tensor:
        """Mean of one text over positions start to stop, [layer d_model]."""
        return self.acts[:, row, start:stop].mean(dim=1)


@pytest.fixture
def padded(generator) -> Padded:
    acts = torch.randn(2, 3, 8, 6, generator=generator) + torch.arange(8).reshape(8, 1)  # every position is different
    mask = (torch.arange(8) < torch.tensor([[4], [7], [5]])).long()
    acts[:, mask == 0] = 50.0
    return Padded(acts, mask)


def sum_over(padded: Padded, row: int, positions: Iterable[int]) -> Tensor:
    """Sum of one text over some positions, [layer d_model]."""
    return padded.acts[:, row, list(positions)].sum(dim=1)


@exercise("pool_mean")
def test_returns_a_vector_for_every_layer_and_text(student, padded):
    expect_tensor(student.pool_mean(padded.acts, padded.attention_mask), "layer batch d_model", (2, 3, 6))
    pooled = student.pool_mean(padded.acts[:1, :2], padded.attention_mask[:2])
    expect_tensor(pooled, "layer batch d_model", (1, 2, 6), name="for one layer and two texts, the result")


@exercise("pool_mean", points=2)
def test_averages_the_word_pieces_only(student, padded):
    pooled = student.pool_mean(padded.acts, padded.attention_mask)
    expect_tensor(pooled, "layer batch d_model", (2, 3, 6))
    for row, n in enumerate(padded.n_pieces):
        mine, text = pooled[:, row], f"text {row} of {n} word pieces"
        for start, stop, mistake in [
            (0, 8, "averaged over all positions, padding too: use attention_mask"),
            (1, 8, "averaged over padding too: use attention_mask"),
            (0, n + 2, "averaged over [CLS] and [SEP] too: leave out the first and the last real position"),
            (0, n + 1, "averaged over [CLS] too: leave out the first position"),
            (1, n + 2, "averaged over [SEP] too: leave out the last real position, which padding may follow"),
            (0, 1, "the activation of [CLS] alone: take the mean over the word pieces"),
            (1, 7, "averaged over positions 1 to 6 of every text: the last real position is another one in each text"),
            (1, n, "left out the last word piece too: [SEP] alone is the last real position"),
            (2, n + 1, "left out the first word piece too: [CLS] alone is the first position"),
        ]:
            expected, got = padded.mean(row, 1, n + 1), padded.mean(row, start, stop)
            if not close(expected, got):
                assert not close(mine, got), f"{text}: {mistake}"
        total = padded.acts[:, row, 1 : n + 1].sum(dim=1)
        assert not close(mine, total), (
            f"{text}: this is the sum, expected the mean: divide by the number of word pieces"
        )
        others = [p for p in range(1, n + 1) if p not in {m + 1 for m in padded.n_pieces}]  # no position of any [SEP]
        struck = sum_over(padded, row, others)
        assert len(others) == n or not any(close(mine * count, struck, atol=1e-3) for count in (n, len(others))), (
            f"{text}: positions are missing at which other texts have their [SEP]. `mask[:, last] = 0` strikes them "
            "out in every text: give each row its own, `mask[torch.arange(len(mask)), last] = 0`"
        )
        assert not close(mine * n, sum_over(padded, row, [*range(1, n), n + 1]), atol=1e-3), (
            f"{text}: the last word piece is left out, and [SEP] is not: it stands at the number of real positions - 1"
        )
        for stop in (n + 2, 7, 8):
            assert not close(mine * n, sum_over(padded, row, range(1, stop)), atol=1e-3), (
                f"{text}: divided by {n}, which is right, but the sum runs over positions 1 to {stop - 1}, expected 1 "
                f"to {n}: multiply by a mask that is 0 at [SEP] and at padding"
            )
        lengths = {count: total / count for count in (n + 2, n + 1, 8, 6, 5) if count != n}
        for count, wrong in lengths.items():
            assert not close(mine, wrong), (
                f"{text}: divided by {count}, expected {n}, the number of its own word pieces"
            )
        expected = padded.mean(row, 1, n + 1)
        error = float((mine - expected).abs().max())
        assert close(mine, expected), f"{text}: differs by up to {error:.2g} from the mean of its word pieces"


@exercise("pool_mean", points=1)
def test_more_padding_changes_nothing(student, padded):
    """The same texts in a batch with a longer one: five more positions of garbage."""
    wider = torch.cat([padded.acts, torch.full((2, 3, 5, 6), -90.0)], dim=2)
    mask = torch.cat([padded.attention_mask, torch.zeros(3, 5, dtype=torch.long)], dim=1)
    narrow, wide = student.pool_mean(padded.acts, padded.attention_mask), student.pool_mean(wider, mask)
    expect_tensor(wide, "layer batch d_model", (2, 3, 6))
    difference = float((narrow - wide).abs().max())
    assert difference < 1e-3, (
        f"five more padding positions change the result by up to {difference:.2g}, expected no change: a text's vector "
        "must not depend on the batch it happens to be in"
    )


@exercise("pool_mean", points=1)
def test_one_word_keeps_its_own_vector(student, generator):
    """With a single word piece there is nothing to average."""
    acts = torch.randn(3, 2, 3, 4, generator=generator) * 5
    pooled = student.pool_mean(acts, torch.ones(2, 3, dtype=torch.long))
    expect_tensor(pooled, "layer batch d_model", (3, 2, 4))
    assert close(pooled, acts[:, :, 1]), "[CLS] word [SEP]: the result is not the word's own activation, at position 1"


# --- 1.3 fit_mass_mean_probe -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Planted:
    """Noise plus or minus half of a known direction, far away from zero, with more negative than positive examples."""

    acts: Tensor  # [batch d_model]
    labels: Tensor  # [batch]
    direction: Tensor  # [d_model], length 3
    centre: Tensor  # [d_model], the point halfway between the classes


@pytest.fixture
def planted(generator) -> Planted:
    unit = torch.nn.functional.normalize(torch.randn(32, generator=generator), dim=0)
    direction = 3 * unit
    centre = torch.randn(32, generator=generator) * 4
    centre = centre + (6 - centre @ unit) * unit  # the classes stand at 4.5 and 7.5 along it: a bias of 0 is far off
    labels = torch.arange(600) % 3 == 0  # one in three is positive
    sign = torch.where(labels, 0.5, -0.5)
    acts = centre + sign[:, None] * direction + torch.randn(600, 32, generator=generator)
    return Planted(acts, labels, direction, centre)


def expect_probe(probe: object, d_model: int) -> None:
    assert isinstance(probe, LinearProbe), (
        f"the result is {describe(probe)}, expected LinearProbe(weight=..., bias=...)"
    )
    expect_tensor(probe.weight, "d_model", (d_model,), name="weight")
    expect_tensor(probe.bias, "", (), name="bias")


@exercise("fit_mass_mean_probe")
def test_returns_a_probe_with_weight_and_bias(student, planted):
    expect_probe(student.fit_mass_mean_probe(planted.acts, planted.labels), 32)
    expect_probe(student.fit_mass_mean_probe(planted.acts[:40, :7], planted.labels[:40]), 7)


@exercise("fit_mass_mean_probe", points=2)
def test_recovers_a_planted_direction(student, planted):
    """Acts are noise plus or minus a known vector, so no reference solution is needed."""
    probe = student.fit_mass_mean_probe(planted.acts, planted.labels)
    expect_probe(probe, 32)
    cosine = float(cosine_similarity(probe.weight, planted.direction, dim=0))
    hint = ". It points the wrong way: subtract the negative mean from the positive one" if cosine < -0.5 else ""
    sums = (torch.where(planted.labels[:, None], 1.0, -1.0) * planted.acts).sum(dim=0)
    if abs(cosine) <= 0.5 and float(cosine_similarity(probe.weight, planted.centre, dim=0)) > 0.8:
        hint = ". The weight is close to a mean itself: take the difference of the two means"
    if float(cosine_similarity(probe.weight, sums, dim=0)) > 0.999:
        hint = ". This is the difference of the sums of the classes: divide each by the number of its own examples"
    assert cosine > 0.95, (  # 600 examples, 32 dimensions, noise 1, length 3
        f"cosine of your weight with the planted direction is {cosine:.2f}, expected > 0.95{hint}"
    )


@exercise("fit_mass_mean_probe", points=1)
def test_weight_keeps_the_length_of_the_difference(student, generator):
    """Two examples, so the means are the examples themselves."""
    positive, negative = torch.randn(2, 6, generator=generator) * 2
    probe = student.fit_mass_mean_probe(torch.stack([negative, positive]), torch.tensor([False, True]))
    expect_probe(probe, 6)
    length, expected = float(probe.weight.norm()), float((positive - negative).norm())
    hint = ": do not normalise it, the length is the step of a later intervention" if abs(length - 1) < 1e-3 else ""
    assert abs(length - expected) < 1e-3 * expected, (
        f"the weight has length {length:.3f}, expected {expected:.3f}{hint}"
    )


@exercise("fit_mass_mean_probe", points=2)
def test_threshold_stands_halfway_between_the_means(student, planted):
    """A third of the examples is positive, and the cloud is far from zero: the bias matters."""
    probe = student.fit_mass_mean_probe(planted.acts, planted.labels)
    expect_probe(probe, 32)
    mu_pos, mu_neg = planted.acts[planted.labels].mean(dim=0), planted.acts[~planted.labels].mean(dim=0)
    high, low, scale = float(probe(mu_pos[None])), float(probe(mu_neg[None])), float(probe.weight.norm() ** 2)
    at_zero, at_mean = float(probe.bias), float(probe(planted.acts.mean(dim=0)[None]))
    hint = ""
    if abs(at_zero) < 1e-6:
        hint = ". The bias is 0, which puts the threshold at the origin"
    elif abs(at_mean) < 1e-3 * scale:
        hint = ". Your threshold is at the mean of all examples, which lies nearer to the larger class"
    elif abs(high) < 1e-3 * scale or abs(low) < 1e-3 * scale:
        hint = ". Your threshold is at one of the two means"
    elif (high > 0) == (low > 0):
        hint = ". Both means are on one side: check the sign of the bias, and its factor 1/2"
    assert abs(high + low) < 1e-3 * scale, (
        f"the logit is {high:.2f} at the positive mean and {low:.2f} at the negative one, expected the same size with "
        f"opposite signs{hint}"
    )


@exercise("fit_mass_mean_probe", points=1)
def test_swapping_the_classes_flips_the_probe(student, planted):
    probe = student.fit_mass_mean_probe(planted.acts, planted.labels)
    flipped = student.fit_mass_mean_probe(planted.acts, ~planted.labels)
    expect_probe(probe, 32)
    expect_probe(flipped, 32)
    logits, opposite = probe(planted.acts), flipped(planted.acts)
    assert not close(logits, opposite, atol=1e-2), "the same probe for swapped labels: the labels do not enter it"
    difference = float((logits + opposite).abs().max())
    assert close(logits, -opposite, atol=1e-2), (
        f"with swapped classes every logit should change its sign, nothing else; they differ by {difference:.2g}"
    )


@exercise("fit_mass_mean_probe", points=1)
def test_a_louder_direction_without_labels_does_not_win(student, planted, generator):
    """A control that must not succeed: most of the variance lies along something that is not the label."""
    loud = torch.nn.functional.normalize(torch.randn(32, generator=generator), dim=0)
    loudness = torch.randn(600, generator=generator)
    for labels in (planted.labels, ~planted.labels):  # the same loudness in both classes
        loudness[labels] -= loudness[labels].mean()
    probe = student.fit_mass_mean_probe(planted.acts + 20 * loudness[:, None] * loud, planted.labels)
    expect_probe(probe, 32)
    cosine = abs(float(cosine_similarity(probe.weight, loud, dim=0)))
    assert cosine < 0.8, (
        f"the weight has a cosine of {cosine:.2f} with the direction of largest variance, which is not the label: "
        "only the difference between the classes may count"
    )


@exercise("fit_mass_mean_probe", points=1)
def test_refuses_labels_of_one_class(student, planted):
    for labels in (torch.zeros(600, dtype=torch.bool), torch.ones(600, dtype=torch.bool)):
        word = "True" if labels[0] else "False"
        with pytest.raises(StudentError) as caught:
            probe = student.fit_mass_mean_probe(planted.acts, labels)
            raise AssertionError(
                f"all labels are {word}, so one mean does not exist, and yet you returned {describe(probe)}"
            )
        text = str(caught.value).split("  (line")[0]  # without the quoted source line
        assert caught.value.type_name == "ValueError" and ("label" in text or "class" in text), (
            f"all labels are {word}: expected a ValueError that says what is wrong with the labels, got: {text}"
        )


# --- 1.4 fit_ridge_probe -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Regression:
    """Targets that are a known linear map of the acts; both stand far away from zero, the acts have unequal scales."""

    acts: Tensor  # [batch d_model]
    targets: Tensor  # [batch target], without noise
    weight: Tensor  # [target d_model]


@pytest.fixture
def regression(generator) -> Regression:
    scales = torch.linspace(0.5, 3, 10)
    acts = torch.randn(80, 10, generator=generator) * scales + torch.randn(10, generator=generator) * 6
    weight = torch.randn(3, 10, generator=generator)
    return Regression(acts, acts @ weight.T + torch.tensor([5.0, -20.0, 0.5]), weight)


def expect_ridge(probe: object, n_targets: int, d_model: int) -> None:
    assert isinstance(probe, LinearProbe), (
        f"the result is {describe(probe)}, expected LinearProbe(weight=..., bias=...)"
    )
    expect_tensor(probe.weight, "target d_model", (n_targets, d_model), name="weight")
    expect_tensor(probe.bias, "target", (n_targets,), name="bias")


@exercise("fit_ridge_probe")
def test_returns_a_row_of_weights_for_each_target(student, regression):
    with hint("LinearProbe wants weight [target d_model]: a solution [d_model target] needs .T"):
        expect_ridge(student.fit_ridge_probe(regression.acts, regression.targets, 1.0), 3, 10)
        expect_ridge(student.fit_ridge_probe(regression.acts[:, :7], regression.targets[:, :1], 1.0), 1, 7)


@exercise("fit_ridge_probe", points=2)
def test_recovers_a_planted_map(student, regression):
    """Without noise and next to no penalty there is one answer."""
    probe = student.fit_ridge_probe(regression.acts, regression.targets, 1e-3)
    expect_ridge(probe, 3, 10)
    error = float((probe.weight - regression.weight).abs().max())
    assert error < 0.02, (  # the penalty moves it by about 1e-5, float32 by about 1e-4
        f"the weight is off by up to {error:.2g} from the map that made the targets, expected < 0.02. Are acts and "
        "targets centred before the fit, each dimension by its own mean?"
    )
    residual = float((probe(regression.acts) - regression.targets).abs().max())
    hint_text = ""
    if float(probe.bias.abs().max()) < 1e-6:
        hint_text = ". The bias is 0: it has to carry the means, mean(targets) - weight @ mean(acts)"
    assert residual < 0.1, f"predictions are off by up to {residual:.2g}, expected < 0.1{hint_text}"


@exercise("fit_ridge_probe", points=1)
def test_an_offset_of_acts_or_targets_changes_the_bias_only(student, regression):
    probe = student.fit_ridge_probe(regression.acts, regression.targets, 50.0)
    moved = student.fit_ridge_probe(regression.acts + 3.0, regression.targets + 7.0, 50.0)
    expect_ridge(probe, 3, 10)
    expect_ridge(moved, 3, 10)
    difference = float((probe.weight - moved.weight).abs().max())
    assert difference < 1e-3, (
        f"acts + 3 and targets + 7 change the weight by up to {difference:.2g}, expected no change: "
        "the penalty must not touch the bias"
    )
    shift = float((moved(regression.acts + 3.0) - probe(regression.acts) - 7.0).abs().max())
    assert shift < 1e-2, f"acts + 3 and targets + 7 should add 7 to every prediction; they are off by up to {shift:.2g}"


@exercise("fit_ridge_probe", points=2)
def test_the_penalty_shrinks_by_the_right_amount(student):
    """One dimension, acts -1 and 1: the weight is slope * n / (n + l2)."""
    acts, slope = torch.tensor([-1.0, 1.0]).repeat(10)[:, None], 4.0
    for l2 in (5.0, 60.0):
        probe = student.fit_ridge_probe(acts, slope * acts, l2)
        expect_ridge(probe, 1, 1)
        got, expected = float(probe.weight), slope * 20 / (20 + l2)
        mistakes = {
            slope: "l2 has no effect",
            slope / (1 + l2): "the sum of squares is divided by the number of examples: l2 stands beside the sum",
            slope * 20 / (20 + l2 / 2): "half of l2 arrived",
            slope * 20 / (20 + 2 * l2): "twice l2 arrived",
            slope * 20 / (20 + l2**2): "l2 is squared",
            slope * 20 / (20 + 20 * l2): "l2 is multiplied by the number of examples",
        }
        why = next((f". It looks as if {text}" for value, text in mistakes.items() if abs(got - value) < 1e-3), "")
        assert abs(got - expected) < 1e-3, (
            f"with 20 examples and l2 = {l2:g} the weight is {got:.3f}, expected {expected:.3f}{why}"
        )


@exercise("fit_ridge_probe", points=1)
def test_more_dimensions_than_examples(student, generator):
    """The Gram matrix has no inverse then; with the penalty, the answer is unique all the same."""
    acts = torch.randn(12, 30, generator=generator) + 2
    targets = torch.randn(12, 2, generator=generator)
    with hint("with fewer examples than dimensions acts.T @ acts has no inverse; add l2 to its diagonal first"):
        probe = student.fit_ridge_probe(acts, targets, 3.0)
    expect_ridge(probe, 2, 30)
    # at the minimum the gradient is zero: X'(prediction - target) + l2 w = 0, and the residuals add up to zero
    residual = probe(acts) - targets
    gradient = float((acts.T @ residual + 3.0 * probe.weight.T).abs().max())
    assert float(residual.sum(dim=0).abs().max()) < 1e-2, (
        "the residuals do not add up to zero: the bias is not at its best"
    )
    assert gradient < 1e-2, (
        f"the gradient of the objective is {gradient:.2g} at your weight, expected 0. Is l2 on the diagonal only?"
    )


@exercise("fit_ridge_probe", points=1)
def test_every_target_is_fitted_on_its_own(student, regression):
    together = student.fit_ridge_probe(regression.acts, regression.targets, 30.0)
    expect_ridge(together, 3, 10)
    for target in range(3):
        alone = student.fit_ridge_probe(regression.acts, regression.targets[:, [target]], 30.0)
        expect_ridge(alone, 1, 10)
        assert close(together.weight[target], alone.weight[0], atol=1e-3), (
            f"target {target} gets another weight alone than together with the others: targets must not mix"
        )


# --- 1.5 score_by_layer ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layers:
    """Layers that hold the label in different strength, and the examples in two parts."""

    acts: Tensor  # [layer example d_model]
    labels: Tensor  # [example]
    train: Tensor  # [train], in no order
    test: Tensor  # [test]


def draw_layers(generator, strengths: list[float], *, n: int, d_model: int, one_in: int) -> Layers:
    """Layers of n examples, one label in so many True; strength 8 sets the classes far apart, 0 says nothing."""
    labels, strength = torch.arange(n) % one_in == 0, torch.tensor(strengths)[:, None, None]
    direction = torch.nn.functional.normalize(torch.randn(len(strengths), 1, d_model, generator=generator), dim=-1)
    noise = torch.randn(len(strengths), n, d_model, generator=generator)
    acts = noise + strength * direction * (labels.float()[:, None] - 0.5) + 3
    order = torch.randperm(n, generator=generator)
    return Layers(acts, labels, order[: n * 7 // 10], order[n * 7 // 10 :])


@pytest.fixture
def planted_layers(generator) -> Layers:
    """Labels planted weakly, not at all, and strongly; one in four is True."""
    return draw_layers(generator, [1, 0, 8], n=400, d_model=24, one_in=4)


@exercise("score_by_layer")
def test_returns_one_score_for_each_layer(student, planted_layers):
    reminder = "fit_ridge_probe wants targets [train 1]: labels[train].float()[:, None]. Comparisons want brackets"
    with hint(f"{reminder}: (predicted > 0.5) == labels[test]"):
        scores = student.score_by_layer(*vars(planted_layers).values(), 1.0)
    expect_tensor(scores, "layer", (3,))
    assert float(scores.min()) >= 0 and float(scores.max()) <= 1, (
        f"accuracies lie between 0 and 1, got {scores.tolist()}"
    )
    n_right = scores * len(planted_layers.test)
    assert close(n_right, n_right.round(), atol=1e-2), (
        f"an accuracy is a share of the {len(planted_layers.test)} test examples, and {float(scores[0]):.4f} of them "
        "is no whole number. Compare `predicted > 0.5` with the labels, and take the mean of what is equal"
    )


@exercise("score_by_layer", points=2)
def test_finds_the_layer_that_holds_the_label(student, planted_layers):
    scores = student.score_by_layer(*vars(planted_layers).values(), 1.0)
    expect_tensor(scores, "layer", (3,))
    weak, none, strong = scores.tolist()
    share = float((~planted_layers.labels[planted_layers.test]).float().mean())
    assert strong > 0.97, (  # the classes are 8 standard deviations apart
        f"on a layer where the classes are far apart the accuracy is {strong:.2f}, expected > 0.97. One label in four "
        "is True: is the threshold at 0.5, and are predictions compared with the labels of the same examples?"
    )
    assert strong > weak - 1e-6 and abs(none - share) < 0.15, (
        f"on a layer without the label the accuracy is {none:.2f}, expected about {share:.2f}, the larger class's share"
    )


@exercise("score_by_layer", points=2)
def test_scores_examples_that_the_probe_has_not_seen(student, generator):
    """A control that must not succeed: random labels, and more dimensions than examples, so that they fit by heart."""
    acts = torch.randn(2, 240, 150, generator=generator)
    labels = torch.rand(240, generator=generator) < 0.5
    order = torch.randperm(240, generator=generator)
    train, test = order[:120], order[120:]
    scores = student.score_by_layer(acts, labels, train, test, 0.1)
    expect_tensor(scores, "layer", (2,))
    got = float(scores.mean())
    assert abs(got - 0.5) < 0.15, (  # standard error 0.03
        f"random labels are predicted with an accuracy of {got:.2f}, expected about 0.5. The probe has seen the "
        "examples it is scored on: fit with `train`, score with `test`"
    )


@exercise("score_by_layer", points=1)
def test_every_layer_has_its_own_probe(student, planted_layers):
    """Another order of the layers gives the same scores in that order."""
    acts, labels, train, test = vars(planted_layers).values()
    scores = student.score_by_layer(acts, labels, train, test, 1.0)
    turned = student.score_by_layer(acts[[2, 0, 1]], labels, train, test, 1.0)
    expect_tensor(scores, "layer", (3,))
    expect_tensor(turned, "layer", (3,))
    assert close(turned, scores[[2, 0, 1]]), (
        f"with the layers in another order the scores are {[round(x, 2) for x in turned.tolist()]}, expected "
        f"{[round(x, 2) for x in scores[[2, 0, 1]].tolist()]}: fit a probe of its own for each layer"
    )


@exercise("score_by_layer", points=1)
def test_the_penalty_reaches_the_probe(student, planted_layers):
    """With an enormous penalty the weight is zero, and every prediction is the share of True: nothing is above 0.5."""
    acts, labels, train, test = vars(planted_layers).values()
    scores = student.score_by_layer(acts, labels, train, test, 1e7)
    expect_tensor(scores, "layer", (3,))
    share = float((~labels[test]).float().mean())
    assert abs(float(scores[2]) - share) < 1e-3, (
        f"with l2 = 1e7 the best layer scores {float(scores[2]):.2f}, expected the share of False, {share:.2f}: "
        "does l2 reach fit_ridge_probe?"
    )


# --- 1.6 choose_layer --------------------------------------------------------------------------------------------


NAMES = [4, "embed", 1]  # of the three rows: no name is the number of its row


def draw_choice(generator, strengths: list[float]) -> Layers:
    return draw_layers(generator, strengths, n=300, d_model=16, one_in=2)


def expect_choice(result: object) -> tuple[int | str, LinearProbe]:
    assert isinstance(result, tuple) and len(result) == 2, (
        f"the result is {describe(result)}, expected two things: the layer's name and the probe"
    )
    layer, probe = result
    assert isinstance(layer, (int, str)), f"the layer is {describe(layer)}, expected one of the names in `layers`"
    assert isinstance(probe, LinearProbe), f"the second result is {describe(probe)}, expected a LinearProbe"
    expect_tensor(probe.weight, "target d_model", (1, 16), name="weight")
    return layer, probe


@exercise("choose_layer")
def test_returns_a_layer_and_a_probe(student, generator):
    data = draw_choice(generator, [8, 0, 2])
    with hint("Rows of `acts` are counted from 0, whatever their names"):
        result = student.choose_layer(*vars(data).values(), NAMES, 1.0)
    expect_choice(result)


@exercise("choose_layer", points=2)
def test_names_the_layer_instead_of_counting_rows(student, generator):
    for best, name in enumerate(NAMES):
        data = draw_choice(generator, [8.0 if row == best else 1.0 for row in range(3)])
        layer, _ = expect_choice(student.choose_layer(*vars(data).values(), NAMES, 1.0))
        why = "You returned the number of a row: the row's name is layers[row]" if layer == best else ""
        why = why or ("Are rows and names still in the same order?" if layer in NAMES else "Take it from `layers`")
        assert layer == name, f"row {best} of {NAMES} is the best, so layer {name!r}; you returned {layer!r}. {why}"


@exercise("choose_layer", points=1)
def test_chooses_by_the_validation_score(student, generator):
    """The first layer gives the training labels away, and says nothing about new examples."""
    data = draw_choice(generator, [0, 3, 0])
    data.acts[0, data.train] += 8 * (data.labels[data.train].float()[:, None] - 0.5)
    layer, _ = expect_choice(student.choose_layer(*vars(data).values(), NAMES, 1.0))
    assert layer == "embed", (
        f'you chose layer {layer!r}, expected "embed". Layer 4 is perfect on the training examples and a coin toss on '
        "the validation examples: choose the highest score, and score with `validation`"
    )


@exercise("choose_layer", points=1)
def test_the_probe_is_fitted_to_the_training_examples_of_that_layer(student, generator):
    data = draw_choice(generator, [1, 1, 8])
    acts, labels, train, validation = vars(data).values()
    _, probe = expect_choice(student.choose_layer(acts, labels, train, validation, NAMES, 1.0))
    right = (((acts[2, validation] @ probe.weight[0] + probe.bias) > 0.5) == labels[validation]).float().mean()
    assert right > 0.95, (  # the classes are 8 standard deviations apart
        f"row 2 is the best, and on it your probe is right for {float(right):.2f} of the validation examples, expected "
        "> 0.95: fit it to the row that you name"
    )
    turned = labels.clone()
    turned[validation[::5]] ^= True  # one validation label in five is wrong: row 2 is still the best
    _, other = expect_choice(student.choose_layer(acts, turned, train, validation, NAMES, 1.0))
    assert close(probe.weight, other.weight), (
        "with other validation labels the probe changes, expected the same one: fit it to `train` alone"
    )
    _, flat = expect_choice(student.choose_layer(acts, labels, train, validation, NAMES, 1e7))
    assert float(flat.weight.norm()) < 1e-3, (
        f"with l2 = 1e7 the weight has length {float(flat.weight.norm()):.2g}, expected almost 0: "
        "does l2 reach the probe?"
    )


# --- 1.7 roc_auc -------------------------------------------------------------------------------------------------


@exercise("roc_auc")
def test_returns_one_number(student, generator):
    scores = torch.randn(30, generator=generator)
    for share in (2, 5):
        value = expect_number(student.roc_auc(scores, torch.arange(30) % share == 0))
        assert 0 <= value <= 1, f"an area under the ROC curve lies between 0 and 1, got {value:.3f}"


@exercise("roc_auc", points=1)
def test_counts_the_pairs_in_the_right_order(student):
    """Small enough to count by hand."""
    labels = torch.tensor([False, True, False, True, True])
    for scores, expected in (([1, 2, 3, 4, 5], 5 / 6), ([1, 5, 2, 4, 3], 1.0), ([5, 1, 4, 2, 3], 0.0)):
        got = expect_number(student.roc_auc(torch.tensor(scores).float(), labels))
        why = ". It is upside down: higher scores speak for True" if abs(got - (1 - expected)) < 1e-6 else ""
        assert abs(got - expected) < 1e-6, (
            f"scores {scores} for negative, positive, negative, positive, positive: got {got:.3f}, expected "
            f"{expected:.3f}, the share of the six pairs (positive, negative) in the right order{why}"
        )


@exercise("roc_auc", points=1)
def test_a_tie_counts_one_half(student):
    cases = (([0.4, 0.1, 0.8, 0.4], [1, 0, 1, 0], 0.875), ([2.0] * 6, [0, 1, 0, 1, 1, 0], 0.5))
    for scores, labels, expected in cases:
        values, truth = torch.tensor(scores), torch.tensor(labels).bool()
        for turned in (False, True):  # the order of the examples must not matter
            if turned:
                values, truth = values.flip(0), truth.flip(0)
            got = expect_number(student.roc_auc(values, truth))
            assert abs(got - expected) < 1e-6, (
                f"scores {values.tolist()} with labels {truth.int().tolist()} give {got:.3f}, expected {expected}: "
                "a positive and a negative example with the same score count as half a pair"
            )


@exercise("roc_auc", points=1)
def test_only_the_order_of_the_scores_matters(student, generator):
    labels = torch.arange(80) % 5 == 0
    scores = torch.randn(80, generator=generator) + labels
    area = expect_number(student.roc_auc(scores, labels))
    for text, changed in (("plus 100", scores + 100), ("times 3", scores * 3), ("cubed", scores**3)):
        other = expect_number(student.roc_auc(changed, labels))
        assert abs(area - other) < 1e-6, (
            f"the same scores {text} give {other:.3f}, not {area:.3f}, expected no change: no threshold is involved"
        )
    flipped = expect_number(student.roc_auc(-scores, labels))
    assert abs(area + flipped - 1) < 1e-6, f"with the signs of all scores changed, {area:.3f} becomes {flipped:.3f}"


@exercise("roc_auc", points=1)
def test_refuses_one_class_without_pairs(student):
    for labels in (torch.zeros(5, dtype=torch.bool), torch.ones(5, dtype=torch.bool)):
        word = "True" if labels[0] else "False"
        with pytest.raises(StudentError) as caught:
            value = student.roc_auc(torch.arange(5.0), labels)
            raise AssertionError(
                f"all labels are {word}, so there are no pairs, and yet you returned {describe(value)}"
            )
        text = str(caught.value).split("  (line")[0]  # without the quoted source line
        assert caught.value.type_name == "ValueError", f"all labels are {word}: expected a ValueError, got: {text}"


# --- 1.8 logistic_regression_loss --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """A weight and a bias that are no minimum, with acts and labels."""

    weight: Tensor  # [d_model]
    bias: Tensor  # a single number
    acts: Tensor  # [batch d_model]
    labels: Tensor  # [batch], one in three is True


@pytest.fixture
def point(generator) -> Point:
    acts = torch.randn(30, 6, generator=generator) + 0.5
    weight = torch.randn(6, generator=generator)
    return Point(weight, torch.tensor(0.7), acts, torch.arange(30) % 3 == 0)


def expect_loss(value: object) -> float:
    assert isinstance(value, Tensor), (
        f"the result is {describe(value)}, expected a tensor with a single number. No float() and no .item(): "
        "PyTorch has to differentiate it"
    )
    assert value.ndim == 0, (
        f"the result has shape {tuple(value.shape)}, expected a tensor with a single number: the mean over the "
        "examples plus a sum over the weights"
    )
    expect_tensor(value, "", ())
    return float(value)


def like(got: float, mistakes: dict[float, str], otherwise: str) -> str:
    """The mistake that gives the number that was returned, or otherwise what is true of the right one."""
    return next((text for wrong, text in mistakes.items() if abs(got - wrong) < 1e-3), otherwise)


@exercise("logistic_regression_loss")
def test_returns_one_number_that_can_be_differentiated(student, point):
    with hint("`acts @ weight + bias` is [batch], and so are the labels; as numbers 0 and 1 they are labels.float()"):
        expect_loss(student.logistic_regression_loss(*vars(point).values(), 0.5))
        expect_loss(
            student.logistic_regression_loss(point.weight[:4], point.bias, point.acts[:9, :4], point.labels[:9], 1.0)
        )


@exercise("logistic_regression_loss", points=2)
def test_is_the_mean_log_loss_of_the_right_answers(student):
    """Logits chosen so that the probabilities are known: 1/2, 3/4, 4/5 and 1/10 for True; no penalty."""
    odds, labels = torch.tensor([1, 3, 4, 1 / 9]), torch.tensor([True, False, True, True])
    weight, bias = torch.tensor([1.0, 2.0]), torch.tensor(1.0)
    acts = (odds.log() - 1)[:, None] / 2 / weight  # [4 2]; acts @ weight + bias is the logarithm of the odds
    given = torch.tensor([1 / 2, 1 / 4, 4 / 5, 1 / 10])  # the probability of the label that is there
    expected = float(-given.log().mean())  # (log 2 + log 4 + log 1.25 + log 10) / 4 = log(100) / 4 = 1.151
    got = expect_loss(student.logistic_regression_loss(weight, bias, acts, labels, 0.0))
    no_bias, all_pairs = odds.log() - 1, odds.log()[:, None]
    mistakes = {
        4 * expected: "This is the sum over the examples: take the mean",
        float(-(1 - given).log().mean()): "The signs are swapped: a positive logit speaks for True",
        float(torch.where(labels, -no_bias, no_bias).exp().log1p().mean()): "The bias is missing in the logits",
        float(torch.where(labels, given, 0.5).log().neg().mean()): "Every False label gives log 2, whatever the logit: "
        "turn the labels into signs 1 and -1, not 0 and 1",
        float(-given[labels].log().mean() - given[~labels].log().mean()): "This is a mean for each class, added up: "
        "take one mean over all examples",
        float(-given[labels].log().mean() - given[~labels].log().mean()) / 2: "This is the mean of a mean for each "
        "class: take one mean over all examples",
        float(torch.where(labels, -all_pairs, all_pairs).exp().log1p().mean()): "Every logit met every label: are your "
        "logits [batch 1]? Use acts @ weight, which is [batch]",
        float((-odds.log()).exp().log1p().mean()): "Every example was taken for True: what is the loss if it is False?",
        float(
            -(given.log() * labels).mean()
        ): "Only the examples that are True count: what is the loss if it is False?",
        float(
            -(given.log() * ~labels).mean()
        ): "Only the examples that are False count: what is the loss if it is True?",
        expected / float(torch.tensor(2.0).log()): "The logarithm is to base 2: take the natural one",
        float(1 - given.mean()): "The logarithm is missing",
        float((1 - given).square().mean()): "This is the squared error of the probabilities",
        -expected: "The sign is turned round: a loss is positive",
    }
    otherwise = "A True label gives log(1 + e^-logit), a False one log(1 + e^logit), and the bias is part of the logit"
    assert abs(got - expected) < 1e-3, (
        "four examples, whose labels have the probabilities 1/2, 1/4, 4/5 and 1/10, have a mean log-loss of "
        f"{expected:.3f} without a penalty; got {got:.3f}. {like(got, mistakes, otherwise)}"
    )


@exercise("logistic_regression_loss", points=1)
def test_the_price_is_half_of_l2_times_the_squared_length(student, point):
    """The difference that l2 makes, so that a mistake in the log-loss is not counted twice."""
    weight, bias = torch.tensor([3.0, -1.0, 0.0, 2.0, 0.0, 0.0]), torch.tensor(5.0)  # the squared length is 14
    free = expect_loss(student.logistic_regression_loss(weight, bias, point.acts, point.labels, 0.0))
    for l2 in (0.2, 3.0):
        got = expect_loss(student.logistic_regression_loss(weight, bias, point.acts, point.labels, l2)) - free
        expected = l2 / 2 * 14
        mistakes = {
            0.0: "The penalty is missing",
            l2 * 14: "The factor 1/2 is missing",
            l2 / 2 * (14 + 25): "The bias is in the penalty too: it has no price",
            l2 * (14 + 25): "The bias is in the penalty too: it has no price. And the factor 1/2 is missing",
            l2 / 2 * 14**0.5: "This is the length of the weight: take its square",
            l2 * 14**0.5: "This is the length of the weight: take its square, and half of it",
            l2 / 2 * 16: "This is the square of the sum of the weights: square each one, then take the sum",
            l2 / 2 * 6: "These are the sizes of the weights added up: take their squares",
            l2 * 6: "These are the sizes of the weights added up: take their squares, and half of it",
            l2 / 2 * 14 / 6: "This is the mean of the squared weights: take their sum",
            l2 * 14 / 6: "This is the mean of the squared weights: take their sum, and half of it",
            l2 / 2 * 14 / 30: "The penalty is divided by the number of examples: only the losses are averaged",
            l2 * 14 / 30: "The penalty is divided by the number of examples: only the losses are averaged",
            l2 / 2 * 14 * 30: "The penalty is there once for each example: add it once, after the mean",
            l2**2 / 2 * 14: "l2 is squared: only the weight is",
            -expected: "The penalty is subtracted: it is a price, add it",
        }
        assert abs(got - expected) < 1e-3 * expected, (
            f"with a weight of squared length 14, l2 = {l2:g} adds {got:.3f} to the loss, expected {expected:.3f} = "
            f"l2 / 2 * 14. {like(got, mistakes, 'Is the penalty l2 / 2 times the sum of the squared weights?')}"
        )


@exercise("logistic_regression_loss", points=1)
def test_stays_right_where_the_probe_is_very_sure(student):
    """One example with a logit of 200 or -200: a probability computed first is 1 or 0 in float32."""
    for logit, label, expected in ((200.0, True, 0), (-200.0, False, 0), (-200.0, True, 200), (200.0, False, 200)):
        given = (torch.ones(2), torch.tensor(0.0), torch.tensor([[logit - 3, 3]]), torch.tensor([label]), 0.0)
        value, gradients = value_and_grad(student.logistic_regression_loss, *given, wrt=(0, 1))
        got, case = float(value), f"one example that is {label}, with a logit of {logit:g}"
        finite = all(bool(gradient.isfinite().all()) for gradient in gradients)
        assert math.isfinite(got) and finite, (
            f"{case}: the loss is {got:g}{'' if finite else ' and its gradient is not finite'}, expected {expected}. "
            "exp(200) is infinite in float32, and so is log(0): compute neither, use softplus of the logit"
        )
        why = "Are the signs right?"
        if got < expected:
            why = "A clipped probability, or a small number added to it, keeps the loss low: use softplus of the logit"
        assert abs(got - expected) < 1e-2, f"{case}: the loss is {got:.4g}, expected {expected}. {why}"


@exercise("logistic_regression_loss", points=1)
def test_its_gradient_leads_downhill(student):
    """All logits are 0, so every probability is 1/2, and the gradient can be computed by hand; the weight is not 0."""
    weight, bias, l2 = torch.tensor([2.0, -1.0]), torch.tensor(0.0), 0.3
    acts = torch.tensor([[1.0, 2.0], [2.0, 4.0], [-3.0, -6.0], [5.0, 10.0]])  # at right angles to the weight
    labels = torch.tensor([True, False, False, False])
    given = (weight, bias, acts, labels, l2)
    _, (by_weight, by_bias) = value_and_grad(student.logistic_regression_loss, *given, wrt=(0, 1))
    # the mean of (1/2 - label) x is (-1 + 2 - 3 + 5) / 2 / 4 = 3/8 times [1, 2]
    data, price = torch.tensor([0.375, 0.75]), l2 * weight
    mistakes = [
        (data, "The penalty has no part in it: is there a .detach(), .item(), .data or no_grad() in it?"),
        (price, "The log-loss has no part in it: is there a .detach(), .item(), .data or no_grad() in it?"),
        (torch.zeros(2), "Nothing depends on the weight"),
        (data + 2 * price, "The factor 1/2 of the penalty is missing"),
        (4 * data + price, "The losses are added up: take their mean"),
        (-data + price, "The signs of the log-loss are swapped"),
    ]
    why = next((f". {text}" for wrong, text in mistakes if close(by_weight, wrong)), "")
    assert close(by_weight, data + price), (
        f"where all logits are 0, the gradient by the weight is {numbers(by_weight)}, expected "
        f"{numbers(data + price)}{why}"
    )
    assert close(by_bias, torch.tensor(0.25)), (  # the mean of 1/2 - label
        f"where all logits are 0 and one label of four is True, the gradient by the bias is {float(by_bias):.3f}, "
        "expected 0.25 = 1/2 - 1/4. Is the bias in the logits, and not in the penalty?"
    )


def numbers(values: Tensor) -> list[float]:
    return [round(x, 3) for x in values.tolist()]


# --- 1.9 fit_logistic_regression_probe ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Disturbed:
    """Two classes whose noise is correlated and has unequal scales: the best direction is not that of the means."""

    acts: Tensor  # [batch d_model]
    labels: Tensor  # [batch]
    direction: Tensor  # [d_model], the best one: the inverse covariance of the noise times the difference of the means


@pytest.fixture
def disturbed(generator) -> Disturbed:
    scales = torch.tensor([0.5, 3.0]).repeat(4)
    shared = 2 * scales * torch.tensor([-1.0, -1, 0, 0, 1, 1, 1, 1])  # one disturbance moves six dimensions
    labels = torch.arange(2000) % 3 == 0
    noise = torch.randn(2000, 8, generator=generator) * scales + torch.randn(2000, 1, generator=generator) * shared
    covariance = torch.diag(scales**2) + torch.outer(shared, shared)
    acts = noise + torch.where(labels, 0.5, -0.5)[:, None] * scales + torch.randn(8, generator=generator) * 5
    return Disturbed(acts, labels, torch.linalg.solve(covariance, scales))


@exercise("fit_logistic_regression_probe")
def test_returns_a_probe_with_weight_and_bias_for_new_acts(student, disturbed):
    with hint("mean and std are [d_model]: over dim=0. The closure calls loss.backward() and returns the loss"):
        probe = student.fit_logistic_regression_probe(disturbed.acts, disturbed.labels, 0.1)
    expect_probe(probe, 8)
    expect_probe(student.fit_logistic_regression_probe(disturbed.acts[:40, :5], disturbed.labels[:40], 1.0), 5)


@exercise("fit_logistic_regression_probe", points=1)
def test_finds_the_direction_that_the_means_miss(student, disturbed):
    probe = student.fit_logistic_regression_probe(disturbed.acts, disturbed.labels, 1e-3)
    expect_probe(probe, 8)
    acts, labels, truth = vars(disturbed).values()
    std, means = acts.std(dim=0), acts[labels].mean(dim=0) - acts[~labels].mean(dim=0)
    mistakes = {
        "It points the wrong way: a positive logit speaks for True": -truth,
        "This is the difference of the class means: minimise the loss": means,
        "This is where the first step leads, the difference of the class means: take more steps, and hand "
        "on l2 as it is": means / std**2,
        "Your weight is in standardised units: divide it by the standard deviation": truth * std,
    }
    cosines = {text: float(cosine_similarity(probe.weight, wrong, dim=0)) for text, wrong in mistakes.items()}
    cosine = float(cosine_similarity(probe.weight, truth, dim=0))
    why = next((f". {text}" for text, value in cosines.items() if value > 0.95), "")
    if not probe.weight.any():
        why = (
            ". It is 0, as at the start. Do weight and bias have requires_grad=True, does the closure call "
            "loss.backward(), and does optimizer.step(closure) run?"
        )
    assert cosine > 0.95, (  # 2000 examples: 0.98 to 0.99; the wrong ones come to 0.85 at most
        f"cosine of your weight with the best direction is {cosine:.2f}, expected > 0.95{why}"
    )


@exercise("fit_logistic_regression_probe", points=1)
def test_the_price_of_the_weight_is_right(student):
    """Two places, and l2 chosen for a known weight: at the minimum sigmoid(w) - 3/4 + l2 w = 0 on standardised acts."""
    acts = torch.tensor([8.0] * 20 + [12.0] * 20)[:, None]  # mean 10, standard deviation 2
    labels = torch.tensor([True] * 5 + [False] * 15 + [True] * 15 + [False] * 5)
    for weight_z in (0.6, 1.0):
        l2 = (0.75 - 1 / (1 + math.exp(-weight_z))) / weight_z
        probe = student.fit_logistic_regression_probe(acts, labels, l2)
        expect_probe(probe, 1)
        got, expected = float(probe.weight), weight_z / 2
        mistakes = {
            math.log(3) / 2: "l2 has no effect: does it reach your loss?",
            shrunk(2 * l2) / 2: "Twice l2 arrived: is the factor 1/2 in your loss?",
            shrunk(l2 / 40) / 2: "l2 is divided by the number of examples: is your loss the mean over them?",
            shrunk(4 * l2) / 2: "It looks as if acts were divided by the variance: take its root",
            shrunk(l2 / 4) / 2: "It looks as if acts were not standardised: subtract the mean, divide by the "
            "standard deviation",
            weight_z: "The weight is in standardised units: divide it by the standard deviation",
            weight_z * 2: "The weight is multiplied by the standard deviation: divide it",
            -expected: "It points the wrong way: a positive logit speaks for True",
        }
        fits = (0.75 - 1 / (1 + math.exp(-2 * got))) / (2 * got or math.nan)  # the l2 for which this weight is right
        otherwise = (
            f"It would be right for l2 = {fits:.4f}: are there enough steps, and does l2 reach your loss as it is?"
        )
        if not fits > 0:
            otherwise = (
                "No l2 gives that: minimise the loss on standardised acts, then divide by the standard deviation"
            )
        assert abs(got - expected) < 5e-3, (  # the other standard deviation, of n - 1, gives 0.003 less
            f"acts of 8 and 12, l2 = {l2:.4f}: the weight is {got:.3f}, expected {expected:.3f}. "
            f"{like(got, mistakes, otherwise)}"
        )
        threshold = -float(probe.bias) / got
        assert abs(threshold - 10) < 0.01, (
            f"acts of 8 and 12, 5 and 15 of 20 True: the logit is 0 at {threshold:.2f}, expected at 10, halfway. The "
            "bias takes up the mean, by the weight in activation units"
        )


def shrunk(l2: float) -> float:
    """The root of sigmoid(w) - 3/4 + l2 w, by halving."""
    low, high = 0.0, math.log(3)
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 / (1 + math.exp(-middle)) + l2 * middle < 0.75 else (low, middle)
    return low


@exercise("fit_logistic_regression_probe", points=1)
def test_stands_where_the_loss_cannot_fall_any_further(student, disturbed, generator):
    """A property of the minimum, not a second solution: the pull of the examples balances the price of the weight."""
    small = torch.randn(100, 150, generator=generator) + 2  # more dimensions than examples: a line has them all right
    for acts, labels, l2 in ((disturbed.acts, disturbed.labels, 0.05), (small, small[:, 0] > 2.5, 0.5)):
        probe = student.fit_logistic_regression_probe(acts, labels, l2)
        expect_probe(probe, acts.shape[1])
        mean, std, y = acts.mean(dim=0), acts.std(dim=0, correction=0), labels.float()
        z, weight_z, p = (acts - mean) / std, probe.weight * std, torch.sigmoid(probe(acts))
        assert abs(float(p.mean() - y.mean())) < 5e-3, (
            f"the probabilities of your probe have a mean of {float(p.mean()):.3f}, and a share of "
            f"{float(y.mean()):.3f} of the labels is True. At the minimum the two are equal. Does the bias take "
            "up the means, and has it no price? Are there enough steps, and does each begin with zero_grad()?"
        )
        pull, start = z.T @ (y - p) / len(z), z.T @ (y - y.mean()) / len(z)  # [d_model] each
        rest = float((pull - l2 * weight_z).norm() / start.norm())
        found = float(pull @ weight_z / weight_z.square().sum())  # the l2 for which this weight would be right
        why = "take more steps, on all examples, until the loss does not fall any more, and begin each with zero_grad()"
        if float((pull - found * weight_z).norm()) < 0.05 * float(pull.norm()):
            why = f"it is the minimum for l2 = {found:.2g}, and not for {l2:g}: look at the penalty in your loss"
        assert rest < 0.03, (  # float32 gives 1e-5; the other standard deviation, of n - 1, 0.02
            f"with {len(acts)} examples and l2 = {l2:g}, the gradient at your weight is {rest:.3f} of what it is at "
            f"weight 0, expected 0. You are not at the minimum: {why}"
        )


@exercise("fit_logistic_regression_probe", points=1)
def test_no_unit_and_no_offset_changes_the_logits(student, disturbed):
    """Each dimension in another unit, on another offset, with a strong penalty."""
    acts, labels, _ = vars(disturbed).values()
    units, offsets = torch.tensor([0.01, 1, 30, 0.2, 5, 1, 100, 0.5]), torch.arange(8.0) * 3 - 10
    unseen = acts[:50] + 1
    probe = student.fit_logistic_regression_probe(acts[200:], labels[200:], 0.5)
    other = student.fit_logistic_regression_probe(acts[200:] * units + offsets, labels[200:], 0.5)
    expect_probe(probe, 8)
    expect_probe(other, 8)
    logits, moved = probe(unseen), other(unseen * units + offsets)
    difference = float((logits - moved).abs().max())
    assert difference < 0.02, (  # float32 gives 1e-3
        f"with the dimensions of acts in other units and on other offsets, logits change by up to {difference:.2g}, "
        "expected no change: standardise each dimension by itself, and map weight and bias back"
    )


@exercise("fit_logistic_regression_probe", points=1)
def test_a_dimension_that_does_not_vary_gets_weight_0(student, disturbed, generator):
    """Always 0, always 0.1 (its float32 mean is not), and a noise of 1e-9, as in layer 5 of MiniLM."""
    acts, labels = disturbed.acts[:300], disturbed.labels[:300]
    dead = torch.tensor([0.0, 0.1, 0.0]) + torch.tensor([0, 0, 1e-9]) * torch.randn(300, 1, generator=generator)
    alone = student.fit_logistic_regression_probe(acts, labels, 0.1)
    names = ("is always 0", "is always 0.1", "varies by 1e-9")
    with hint("Some dimensions do not vary here, and the standard deviation of one is 0: do not divide by it"):
        probe = student.fit_logistic_regression_probe(torch.cat([acts, dead], dim=1), labels, 0.1)
    expect_probe(alone, 8)
    expect_probe(probe, 11)
    for name, value in zip(names, probe.weight[8:].tolist(), strict=True):
        assert abs(value) < 1e-3, (
            f"a dimension that {name} gets the weight {value:.3g}, expected 0. Its standard deviation may be a "
            "rounding error and not exactly 0: compare it with 1e-6 times the largest one"
        )
    assert close(probe.weight[:8], alone.weight, atol=1e-2), (
        "dimensions that do not vary change the weights of the others, expected no change"
    )


@exercise("fit_logistic_regression_probe", points=1)
def test_refuses_to_tell_one_class_apart(student, disturbed):
    for labels in (torch.zeros(60, dtype=torch.bool), torch.ones(60, dtype=torch.bool)):
        word = "True" if labels[0] else "False"
        with pytest.raises(StudentError) as caught:
            probe = student.fit_logistic_regression_probe(disturbed.acts[:60], labels, 0.1)
            raise AssertionError(
                f"all labels are {word}, so there is nothing to tell apart, and yet you returned {describe(probe)}"
            )
        text = str(caught.value).split("  (line")[0]  # without the quoted source line
        assert caught.value.type_name == "ValueError", f"all labels are {word}: expected a ValueError, got: {text}"
