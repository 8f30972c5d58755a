"""The checks of chapter 01. They run live in the notebook, in CI on the solutions, and on submissions."""

from dataclasses import dataclass
from functools import lru_cache

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from utils import models
from utils.course.expect import close, describe, exercise, expect_number, expect_tensor, hint
from utils.course.student import StudentError
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
        ]:
            expected, got = padded.mean(row, 1, n + 1), padded.mean(row, start, stop)
            if not close(expected, got):
                assert not close(mine, got), f"{text}: {mistake}"
        total = padded.acts[:, row, 1 : n + 1].sum(dim=1)
        assert not close(mine, total), (
            f"{text}: this is the sum, expected the mean: divide by the number of word pieces"
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
    if abs(cosine) <= 0.5 and float(cosine_similarity(probe.weight, planted.centre, dim=0)) > 0.8:
        hint = ". The weight is close to a mean itself: take the difference of the two means"
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
        "targets centred before the fit, or is there a column of ones?"
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
    """Three layers: labels planted weakly, not at all, and strongly; one label in four is True."""

    acts: Tensor  # [layer example d_model]
    labels: Tensor  # [example]
    train: Tensor  # [train], in no order
    test: Tensor  # [test]


@pytest.fixture
def planted_layers(generator) -> Layers:
    labels = torch.arange(400) % 4 == 0
    strength = torch.tensor([1.0, 0.0, 8.0])[:, None, None]
    direction = torch.nn.functional.normalize(torch.randn(3, 1, 24, generator=generator), dim=-1)
    acts = torch.randn(3, 400, 24, generator=generator) + strength * direction * (labels.float()[:, None] - 0.5) + 3
    order = torch.randperm(400, generator=generator)
    return Layers(acts, labels, order[:280], order[280:])


@exercise("score_by_layer")
def test_returns_one_score_for_each_layer(student, planted_layers):
    with hint("fit_ridge_probe wants targets [train 1]: labels[train].float()[:, None]"):
        scores = student.score_by_layer(*vars(planted_layers).values(), 1.0)
    expect_tensor(scores, "layer", (3,))
    assert float(scores.min()) >= 0 and float(scores.max()) <= 1, (
        f"accuracies lie between 0 and 1, got {scores.tolist()}"
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


# --- 1.6 roc_auc -------------------------------------------------------------------------------------------------


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
