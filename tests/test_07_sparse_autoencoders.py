"""The checks of chapter 07. They run live in the notebook, in CI on the solutions, and on submissions."""

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

from utils.course.expect import (
    close,
    describe,
    exercise,
    expect_number,
    expect_tensor,
    expect_value_error,
    explain,
    hint,
    likely,
    numbers,
)
from utils.course.student import value_and_grad


def orthonormal(generator: torch.Generator, n: int) -> Tensor:
    """Rows of length 1 at right angles, in random directions."""
    return torch.linalg.qr(torch.randn(n, n, generator=generator)).Q


# --- 7.1 toy_loss ------------------------------------------------------------------------------------------------

TOY_WEIGHT = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -2.0]])
TOY_BIAS = torch.tensor([0.5, -1.0, -0.25])
TOY_FEATURES = torch.tensor([[2.0, 0.5, 1.0], [0.0, 1.0, 0.0]])
TOY_IMPORTANCE = torch.tensor([2.0, 0.7, 5.0])
TOY_UP = torch.tensor([[1.0, -1.5, 2.0], [0.0, 1.0, -2.0]])  # by hand: down to [[1, -1.5], [0, 1]], and up again


def ask_toy(student, weight: Tensor, bias: Tensor, features: Tensor, importance: Tensor) -> float:
    found = student.toy_loss(weight, bias, features, importance)
    if isinstance(found, Tensor) and found.shape == (len(features),) and len(features) > 1:
        raise AssertionError(
            f"the loss is {describe(found)}, one number for each example, expected a tensor with a single number: "
            "take the mean over the batch"
        )
    expect_tensor(found, "", (), name="the loss")
    return float(found)


@exercise("toy_loss")
def test_the_toy_loss_is_one_number(student, generator):
    with hint("weight is [feature hidden]: features @ weight is [batch hidden], and times weight.T it is back"):
        for n_features, n_hidden, n_batch in ((5, 2, 7), (3, 3, 4), (2, 4, 1)):
            weight = torch.randn(n_features, n_hidden, generator=generator)
            features = torch.rand(n_batch, n_features, generator=generator)
            ask_toy(student, weight, torch.full((n_features,), 0.1), features, torch.ones(n_features))


@exercise("toy_loss", points=2)
def test_the_toy_loss_by_hand(student):
    """Two examples of three features, through two dimensions."""
    found = ask_toy(student, TOY_WEIGHT, TOY_BIAS, TOY_FEATURES, TOY_IMPORTANCE)

    def costs(reconstruction: Tensor, goal: Tensor = TOY_FEATURES, weights: Tensor = TOY_IMPORTANCE) -> Tensor:
        """[batch feature]"""
        return torch.einsum("bf,bf,f->bf", goal - reconstruction, goal - reconstruction, weights)

    def through(features: Tensor, rectify: bool = False) -> Tensor:
        """Reconstruction of other features."""
        hidden = features @ TOY_WEIGHT
        return ((hidden.relu() if rectify else hidden) @ TOY_WEIGHT.T + TOY_BIAS).relu()

    right = (TOY_UP + TOY_BIAS).relu()
    cost, plain = costs(right), costs(right, weights=torch.ones(3))
    weighed = TOY_FEATURES * TOY_IMPORTANCE
    mistakes = {
        "The relu is left out: it comes last": costs(TOY_UP + TOY_BIAS),
        "The bias is left out": costs(TOY_UP.relu()),
        "The bias is added after the relu: first the bias, then the relu": costs(TOY_UP.relu() + TOY_BIAS),
        "The bias is subtracted": costs((TOY_UP - TOY_BIAS).relu()),
        "Relu and bias are left out": costs(TOY_UP),
        "There is a relu on the hidden vector, too: only the reconstruction has one": costs(
            through(TOY_FEATURES, True)
        ),
        "The relu is on the hidden vector: it belongs to the reconstruction": costs(
            (TOY_FEATURES @ TOY_WEIGHT).relu() @ TOY_WEIGHT.T + TOY_BIAS
        ),
        "The reconstruction is cut at 1: relu has no upper end": costs(right.clamp(max=1)),
        "This is an absolute value instead of relu": costs((TOY_UP + TOY_BIAS).abs()),
        "This is a sigmoid instead of relu": costs((TOY_UP + TOY_BIAS).sigmoid()),
        "importance is left out": plain,
        "importance is squared: it weighs the squared error once": costs(right, weights=TOY_IMPORTANCE.square()),
        "importance multiplies the input: it weighs the errors": costs(through(weighed), TOY_FEATURES, torch.ones(3)),
        "importance multiplies the input: it weighs the errors alone": costs(through(weighed), weighed, torch.ones(3)),
        "importance multiplies the input, and the errors as well": costs(through(weighed)),
        "It is divided by the sum of importance: nothing is normalised": cost / TOY_IMPORTANCE.sum(),
        "Only the errors of active features count: what comes back without having gone in costs, too": cost
        * (TOY_FEATURES > 0),
        "importance is cubed: it weighs the squared error once": costs(right, weights=TOY_IMPORTANCE**3),
        "The errors are not squared": (TOY_IMPORTANCE * (TOY_FEATURES - right).abs()),
        "The errors are added with their signs: square them": (TOY_IMPORTANCE * (TOY_FEATURES - right)),
    }
    by_mean = {why: float(values.sum() / 2) for why, values in mistakes.items()}
    by_mean |= {
        "This is the mean over features, too: sum over them": float(cost.mean()),
        "This is the sum over the batch: take the mean": float(cost.sum()),
        "This is the mean over features and the sum over the batch: it is the other way round": float(cost.sum() / 3),
        "There is a root in it": float(cost.sum(dim=1).sqrt().mean()),
        "There is a root in it, at the end": float((cost.sum() / 2).sqrt()),
        "It is halved": float(cost.sum() / 4),
        "Only the largest error counts: sum over features": float(cost.amax(dim=1).mean()),
        "Only the first example counts: take the mean over the batch": float(cost[0].sum()),
        "The sum is squared, after importance: square each error, then weigh it": float(
            (TOY_IMPORTANCE * (TOY_FEATURES - right)).sum(dim=1).square().mean()
        ),
    }
    why = next((text for text, wrong in by_mean.items() if abs(found - wrong) < 2e-3), "")
    assert abs(found - 2.34375) < 1e-3, (
        f"two examples, three features, two dimensions: the loss is {found:.3f}, expected 2.344. The reconstructions "
        f"are [1.5, 0, 1.75] and [0.5, 0, 0], the costs 3.488 and 1.2. "
        f"{why or 'x W, then times Wᵀ, plus bias, relu; importance times the squared errors, summed; mean over batch'}"
    )


@exercise("toy_loss", points=1)
def test_what_fits_comes_back_and_what_does_not_interferes(student, generator):
    """At right angles nothing is lost. Two opposite features share one dimension as long as one is silent."""
    for n_features, n_hidden in ((4, 4), (3, 5)):
        weight = orthonormal(generator, n_hidden)[:n_features]
        features = torch.rand(20, n_features, generator=generator)
        found = ask_toy(student, weight, torch.zeros(n_features), features, torch.ones(n_features))
        turned = " Where weight is square, a forgotten .T raises no error" if n_features == n_hidden else ""
        assert found < 1e-6, (  # rounding is 1e-13
            f"{n_features} features at right angles in {n_hidden} dimensions, bias 0: the loss is {found:.4f}, "
            f"expected 0. Up is the transpose of down, weight.T.{turned}"
        )
    opposite, zero, importance = torch.tensor([[1.0], [-1.0]]), torch.zeros(2), torch.tensor([1.0, 0.5])
    one_at_a_time = torch.tensor([[0.7, 0.0], [0.0, 0.4], [0.0, 0.0], [0.0, 2.0]])
    found = ask_toy(student, opposite, zero, one_at_a_time, importance)
    assert found < 1e-6, (
        f"two features in opposite directions of one dimension, one active at a time: the loss is {found:.4f}, "
        "expected 0. The silent one would come back negative: relu makes it 0, if it is the last step"
    )
    found = ask_toy(student, opposite, zero, torch.tensor([[1.0, 1.0], [1.0, 1.0]]), importance)
    assert abs(found - 1.5) < 1e-4, (
        f"the same two, both active: the loss is {found:.4f}, expected 1.5. They cancel, nothing is left in the hidden "
        "dimension, and both are lost"
    )
    same = torch.tensor([[1.0], [1.0]])
    found = ask_toy(student, same, zero, torch.tensor([[1.0, 1.0], [0.0, 1.0]]), torch.tensor([2.0, 0.0]))
    why = "A feature of importance 0 still goes in, and disturbs the other one: importance weighs errors, not inputs"
    assert abs(found - 2) < 1e-4, (
        f"two features in the same direction, importance 2 and 0: the loss is {found:.4f}, expected 2. {why}"
    )


@exercise("toy_loss", points=1)
def test_a_bias_alone_can_only_guess(student, generator):
    """With weight 0, a bias at the mean leaves the variance; a bias below 0 leaves everything."""
    features, importance = torch.rand(50, 4, generator=generator), torch.tensor([1.0, 3.0, 0.5, 2.0])
    weight = torch.zeros(4, 2)
    found = ask_toy(student, weight, features.mean(dim=0), features, importance)
    expected = float(importance @ features.var(dim=0, correction=0))
    assert abs(found - expected) < 1e-3, (
        f"weight 0, and a bias that is the mean of the features: the loss is {found:.3f}, expected their variance, "
        f"weighed and summed, {expected:.3f}. relu(bias) is what comes back"
    )
    found = ask_toy(student, weight, torch.full((4,), -0.5), features, importance)
    expected = float(importance @ (features.var(dim=0, correction=0) + features.mean(dim=0).square()))
    assert abs(found - expected) < 1e-3, (
        f"weight 0 and a bias of -0.5: the loss is {found:.3f}, expected {expected:.3f}. relu(-0.5) is 0, so nothing "
        "comes back: relu is the last step, after the bias"
    )


@exercise("toy_loss", points=1)
def test_the_toy_loss_can_train_weight_and_bias(student):
    """By hand: one feature active at a time, the others silent behind the relu."""
    weight, bias = torch.tensor([[0.5, 0.0, 0.0], [0.0, 2.0, 0.0]]), torch.tensor([-0.25, -0.5])
    features, importance = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([3.0, 0.5])
    _, (by_weight, by_bias) = value_and_grad(student.toy_loss, weight, bias, features, importance, wrt=(0, 1))
    expected_w = torch.tensor([[-10.5, 0.0, 0.0], [0.0, 5.0, 0.0]])  # reconstructions 0.25 and 3.5
    expected_b = torch.tensor([-5.25, 1.25])
    mistakes = {
        "Nothing reaches the weight: is there a .detach() or no_grad() in it?": 0 * expected_w,
        "Half of it is missing: weight is used twice, down and up, and both pass the gradient on": expected_w / 2,
        "The sign is turned round": -expected_w,
        "This is the gradient of a sum: take the mean over the batch": 2 * expected_w,
        "This is the gradient of a mean over features: sum over them": expected_w / 2,
    }
    otherwise = "A silent feature, below 0 before the relu, passes nothing on"
    assert close(by_weight, expected_w, atol=1e-3), (
        f"two features with an axis of their own, in three dimensions: the gradient by weight is {numbers(by_weight)}, "
        f"expected {numbers(expected_w)}. {explain(by_weight, mistakes, otherwise)}"
    )
    mistakes = {
        "Nothing reaches the bias: is it added, and is there a .detach() in it?": 0 * expected_b,
        "The sign is turned round": -expected_b,
    }
    assert close(by_bias, expected_b, atol=1e-3), (
        f"the same: the gradient by bias is {numbers(by_bias)}, expected {numbers(expected_b)}. "
        f"{explain(by_bias, mistakes, otherwise)}"
    )


TRAINED = "Training sends a gradient back through this function: keep to tensors, and change none of them in place"


# --- 7.2 sae_encode ----------------------------------------------------------------------------------------------


def ask_encode(student, acts: Tensor, sae: tuple[Tensor, Tensor, Tensor], *k: int | None) -> Tensor:
    """Latents of some acts; sae is W_enc, b_enc, b_dec."""
    found, shape = student.sae_encode(acts, *sae, *k), (len(acts), sae[0].shape[1])
    if isinstance(found, Tensor) and k and k[0] is not None:
        assert found.is_floating_point(), (
            f"k {k[0]}: the latents have dtype {found.dtype}. These are indices, or a mask: put the values there"
        )
        assert found.shape != (len(acts), k[0]) or k[0] == shape[1], (
            f"k {k[0]}: the latents have shape {tuple(found.shape)}, expected {shape}. Only what was kept is left: put "
            "each value back at the place that it came from, among zeros"
        )
    expect_tensor(found, "batch d_sae", shape, name="the latents" + (f" for k {k[0]}" if k else ""))
    return found


def plant_pre(generator: torch.Generator, pre: Tensor, d_model: int) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """Acts and an encoder whose pre-activations are these: axis i of the stream holds vector i; d_model > batch."""
    b_enc = torch.randn(pre.shape[1], generator=generator)
    b_dec = 1 + torch.rand(d_model, generator=generator)
    turn = orthonormal(generator, d_model)
    acts = b_dec + 2 * turn[: len(pre)]
    W_enc = turn[: len(pre)].T @ (pre - b_enc) / 2
    W_enc = W_enc + turn[len(pre) :].T @ torch.randn(d_model - len(pre), pre.shape[1], generator=generator)
    return acts, (W_enc, b_enc, b_dec)


def draw_pre(generator: torch.Generator, batch: int, d_sae: int) -> Tensor:
    """Numbers of both signs at least 0.1 apart in the whole batch, in random order: no ties, none near 0."""
    n = batch * d_sae
    values = (torch.arange(n) - n // 2 + 0.5) / 5
    return values[torch.randperm(n, generator=generator)].view(batch, d_sae)


def keep_by_hand(pre: Tensor, k: int) -> Tensor:
    """Vector by vector: the k largest, where they are above 0."""
    latents = torch.zeros_like(pre)
    for row, values in enumerate(pre.tolist()):
        for column in sorted(range(len(values)), key=lambda c, v=values: v[c])[-k:]:
            latents[row, column] = max(values[column], 0.0)
    return latents


@exercise("sae_encode")
def test_returns_latents(student, generator):
    for batch, d_model, d_sae in ((5, 3, 7), (2, 6, 4), (1, 4, 4)):
        acts = torch.randn(batch, d_model, generator=generator)
        sae = tuple(torch.randn(shape, generator=generator) for shape in ((d_model, d_sae), (d_sae,), (d_model,)))
        with hint("(acts - b_dec) is [batch d_model], times W_enc it is [batch d_sae], and there b_enc is added"):
            ask_encode(student, acts, sae)
        with hint("pre.topk(k, dim=-1) gives values and indices, both [batch k]: scatter them into zeros"):
            for k in (2, 1, d_sae):
                ask_encode(student, acts, sae, k)


@exercise("sae_encode", points=1)
def test_encodes_by_hand(student):
    """Two vectors, three latents, no k."""
    acts, b_dec = torch.tensor([[3.0, 1.0], [0.0, 2.0]]), torch.tensor([1.0, -1.0])
    W_enc, b_enc = torch.tensor([[1.0, -1.0, 2.0], [0.5, 1.0, -3.0]]), torch.tensor([0.5, -1.0, 4.0])
    pre = torch.tensor([[3.5, -1.0, 2.0], [1.0, 3.0, -7.0]])  # acts - b_dec is [[2, 2], [-1, 3]]
    expected = torch.tensor([[3.5, 0.0, 2.0], [1.0, 3.0, 0.0]])
    moved = torch.einsum("m,mf->f", b_dec, W_enc)
    mistakes = {
        "b_dec is left out: take it from acts first": (pre + moved).relu(),
        "b_dec is added: it is taken away here, and added by the decoder": (pre + 2 * moved).relu(),
        "b_enc is left out": (pre - b_enc).relu(),
        "b_enc is subtracted": (pre - 2 * b_enc).relu(),
        "Both biases are left out": (pre + moved - b_enc).relu(),
        "relu comes before b_enc: add first": (pre - b_enc).relu() + b_enc,
        "relu comes before b_enc, too: add first": ((pre - b_enc).relu() + b_enc).relu(),
        "relu is left out: latents are 0 or above": pre,
        "These are absolute values: what is negative becomes 0": pre.abs(),
        "This is a sigmoid instead of relu": pre.sigmoid(),
        "The sign is turned round": (-pre).relu(),
        "The latents are 0 or 1: they say how much, too": (pre > 0).float(),
        "The columns of W_enc were scaled to length 1": ((pre - b_enc) / W_enc.norm(dim=0) + b_enc).relu(),
        "The differences acts - b_dec went through a relu": torch.tensor([[3.5, -1.0, 2.0], [2.0, 2.0, -5.0]]).relu(),
    }
    for k, case in (((), "no k given"), ((None,), "k None"), ((3,), "k 3 of 3 latents")):
        found = ask_encode(student, acts, (W_enc, b_enc, b_dec), *k)
        assert close(found, expected), (
            f"two vectors, {case}: the latents are {numbers(found)}, expected {numbers(expected)}. "
            f"{explain(found, mistakes, 'Pre-activations are (acts - b_dec) @ W_enc + b_enc; then relu')}"
        )


@exercise("sae_encode", points=1)
def test_each_latent_reads_along_its_own_column(student, generator):
    """Also where d_model equals d_sae, and a transposed W_enc raises no error."""
    for d_model, d_sae in ((5, 5), (4, 9)):
        pre = draw_pre(generator, 3, d_sae)
        acts, sae = plant_pre(generator, pre, d_model)
        found, expected = ask_encode(student, acts, sae), pre * (pre > 0)
        why = "Column j of W_enc belongs to latent j"
        if d_model == d_sae:
            turned = torch.einsum("bm,fm->bf", acts - sae[2], sae[0]) + sae[1]
            why = explain(found, {"W_enc is transposed": turned.relu()}, why)
        worst = float((found - expected).abs().max())
        assert close(found, expected, atol=1e-3), (  # rounding is 1e-6
            f"d_model {d_model}, d_sae {d_sae}, pre-activations planted: a latent is {worst:.2f} away from its own, "
            f"expected 0. {why}"
        )


@exercise("sae_encode", points=1)
def test_keeps_the_k_largest_of_each_vector(student, generator):
    """The first vector has larger numbers than the second, and the third many far below 0."""
    pre = torch.tensor(
        [
            [4.0, 9.0, 5.0, -2.0, 7.0, 6.0],
            [1.0, -0.5, 0.5, 2.0, 1.5, -3.0],
            [0.25, -8.0, 3.0, -9.0, 0.75, -6.0],
        ]
    )
    acts, sae = plant_pre(generator, pre, 5)
    k, places = 2, [(0, 1), (0, 4), (1, 3), (1, 4), (2, 2), (2, 4)]
    expected = torch.zeros(3, 6)
    for place in places:
        expected[place] = pre[place]
    found, pos = ask_encode(student, acts, sae, k), pre.relu()
    packed = torch.zeros(3, 6)
    packed[:, :2] = torch.tensor([[9.0, 7.0], [2.0, 1.5], [3.0, 0.75]])
    line = torch.zeros(18).index_fill(0, pre.flatten().topk(6).indices, 1.0).view(3, 6)
    column = torch.zeros(3, 6).scatter(0, pre.topk(2, dim=0).indices, 1.0)
    far = torch.zeros(3, 6).scatter(1, pre.abs().topk(2, dim=1).indices, 1.0)
    low = torch.zeros(3, 6).scatter(1, (-pre).topk(2, dim=1).indices, 1.0)
    low_positive = torch.zeros(3, 6)
    for place in [(0, 0), (0, 2), (1, 0), (1, 2), (2, 0), (2, 4)]:
        low_positive[place] = pre[place]
    early = pre - sae[1]
    mistakes = {
        "k is ignored: everything above 0 was kept": pos,
        "The k · batch largest of the whole batch were kept: here each vector keeps its own k": pos * line,
        "k of each column were kept, over the vectors: dim=-1 is the axis of the latents": pos * column,
        "The k farthest from 0 were kept: largest means largest, do not take absolute values": pos * far,
        "The k farthest from 0 were kept, without a relu: largest means largest": pre * far,
        "The absolute values were kept: largest means largest": pre.abs() * far,
        "The k smallest were kept": pos * low,
        "The k smallest were kept, without a relu": pre * low,
        "The k smallest positive ones were kept": low_positive,
        "k - 1 of each vector were kept": keep_by_hand(pre, 1),
        "k + 1 of each vector were kept": keep_by_hand(pre, 3),
        "The values stand at the front, sorted: put each back at its own place": packed,
        "The kept latents are 1: keep their values": (expected > 0).float(),
        "The others were kept, and the k largest dropped": pos - expected,
        "What is dropped became b_enc: topk comes after all of the sum": (
            early * torch.zeros(3, 6).scatter(1, early.topk(2, dim=1).indices, 1.0) + sae[1]
        ).relu(),
        "topk was taken before b_enc was added: it is part of the pre-activation": pos
        * torch.zeros(3, 6).scatter(1, early.topk(2, dim=1).indices, 1.0),
        "The kept latents are divided by their sum": expected / expected.sum(dim=1, keepdim=True),
        "The smallest number that the first vector keeps is the limit for all: each vector has its own": pos
        * (pre >= 7),
        "Only the first vector's places were kept in all of them": pos
        * torch.zeros(3, 6).index_fill(1, torch.tensor([1, 4]), 1.0),
    }
    worst = int((found - expected).abs().amax(dim=1).argmax())
    assert close(found, expected, atol=1e-3), (
        f"k 2, pre-activations {numbers(pre[worst])} in vector {worst} of three: the latents are "
        f"{numbers(found[worst])}, expected {numbers(expected[worst])}. "
        f"{explain(found, mistakes, 'The two largest stay where they are, the others become 0')}"
    )


@exercise("sae_encode", points=1)
def test_fewer_than_k_where_fewer_are_above_zero(student, generator):
    pre = torch.tensor([[-4.0, 2.5, -0.5, -1.0, -3.0], [-1.0, -2.0, -0.25, -5.0, -6.0], [1.0, 2.0, 3.0, -0.5, 4.0]])
    acts, sae = plant_pre(generator, pre, 4)
    for k in (3, 5):
        found = ask_encode(student, acts, sae, k)
        lowest = float(found.min())
        assert lowest > -1e-5, (
            f"k {k}, and one or none of five pre-activations above 0: a latent is {lowest:.2f}, expected 0 or above. "
            "relu after topk, too: a vector has fewer than k latents where there are no more"
        )
        active = (found > 1e-4).sum(dim=1).tolist()
        wanted = [1, 0, min(k, 4)]
        why = " These are absolute values" if close(found, keep_by_hand(pre.abs(), k), atol=1e-3) else ""
        if close(found, pre.abs() * (found != 0), atol=1e-3) and active[1]:
            why = " These are absolute values: what is negative becomes 0"
        elif active[1]:
            why = " A vector with nothing above 0 has no latents"
        expected = keep_by_hand(pre, k)
        worst = int((found - expected).abs().amax(dim=1).argmax())
        assert close(found, expected, atol=1e-3), (
            f"k {k}, and 1, 0 and 4 of five pre-activations above 0: {active} latents are active, expected {wanted}; "
            f"vector {worst} has {numbers(found[worst])}, expected {numbers(expected[worst])}.{why}"
        )


@exercise("sae_encode", points=1)
def test_a_vector_is_encoded_alike_alone_and_among_others(student, generator):
    """With and without k, on several shapes."""
    for batch, d_model, d_sae in ((4, 6, 11), (7, 8, 7)):
        pre = draw_pre(generator, batch, d_sae)
        acts, sae = plant_pre(generator, pre, d_model)
        for k in (None, 1, 3, d_sae):
            together = ask_encode(student, acts, sae, k)
            for row in range(batch):
                alone = ask_encode(student, acts[[row]], sae, k)
                away = float((alone[0] - together[row]).abs().max())
                assert away < 1e-3, (  # sums in another order
                    f"k {k}: vector {row} of {batch} has latents up to {away:.2f} away from those that it has alone, "
                    "expected the same. Each vector is encoded for itself: dim=-1, and nothing over the batch"
                )
            expected = pre.relu() if k is None else keep_by_hand(pre, k)
            n_right = int((together - expected).abs().lt(1e-3).all(dim=1).sum())
            active, wanted = ((latents > 0).sum(dim=1).tolist() for latents in (together, expected))
            why = f"{active} latents are active, expected {wanted}"
            if active == wanted:
                why = "As many latents are active as should be, but not the same ones, or not with their own values"
            elif k is not None and active == (pre > 0).sum(dim=1).tolist():
                why = f"Everything above 0 was kept, {active} latents: k is ignored"
            assert n_right == batch, (
                f"k {k}, d_sae {d_sae}: {n_right} of {batch} vectors have the right latents, expected all. {why}"
            )


@exercise("sae_encode", points=1)
def test_the_encoder_can_be_trained(student):
    """One vector and one latent, which is above 0: gradients by hand."""
    acts, b_dec = torch.tensor([[2.0, -1.0, 0.5]]), torch.tensor([0.5, 0.5, -1.0])
    W_enc, b_enc = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([0.25])
    expected = {"W_enc": torch.tensor([[1.5], [-1.5], [1.5]]), "b_enc": torch.ones(1), "b_dec": -W_enc[:, 0]}
    for k in (None, 1):
        with hint(TRAINED):
            _, gradients = value_and_grad(student.sae_encode, acts, W_enc, b_enc, b_dec, k, wrt=(1, 2, 3))
        for (name, wanted), found in zip(expected.items(), gradients, strict=True):
            mistakes = {
                f"Nothing reaches {name}: is there a .detach(), .data or no_grad() in it?": 0 * wanted,
                "The sign is turned round": -wanted,
            }
            assert close(found, wanted), (
                f"one vector and one latent, k {k}: the gradient by {name} is {numbers(found)}, expected "
                f"{numbers(wanted)}. {explain(found, mistakes, 'A latent above 0 is (acts - b_dec) @ W_enc + b_enc')}"
            )


# --- 7.3 sae_decode ----------------------------------------------------------------------------------------------


def ask_decode(student, latents: Tensor, W_dec: Tensor, b_dec: Tensor) -> Tensor:
    found = student.sae_decode(latents, W_dec, b_dec)
    expect_tensor(found, "batch d_model", (len(latents), len(b_dec)), name="the reconstruction")
    return found


@exercise("sae_decode")
def test_returns_a_reconstruction(student, generator):
    with hint("latents is [batch d_sae] and W_dec [d_sae d_model]: no transpose, and a sum over d_sae"):
        for batch, d_sae, d_model in ((3, 7, 4), (2, 5, 5), (1, 2, 6)):
            W_dec, b_dec = torch.randn(d_sae, d_model, generator=generator), torch.ones(d_model)
            ask_decode(student, torch.rand(batch, d_sae, generator=generator), W_dec, b_dec)


@exercise("sae_decode", points=1)
def test_decodes_by_hand(student):
    """Two vectors of three latents in three dimensions, so that a transposed W_dec raises no error."""
    W_dec = torch.tensor([[1.0, 0.0, -2.0], [0.0, 3.0, 1.0], [0.5, -1.0, 4.0]])
    latents, b_dec = torch.tensor([[2.0, 0.0, 0.5], [0.0, 1.5, 0.0]]), torch.tensor([1.0, -4.0, 0.5])
    total = torch.tensor([[2.25, -0.5, -2.0], [0.0, 4.5, 1.5]])  # 2 · row 0 + 0.5 · row 2; 1.5 · row 1
    expected = torch.tensor([[3.25, -4.5, -1.5], [1.0, 0.5, 2.0]])
    unit = normalize(W_dec, dim=1)
    active = (latents > 0).float()
    mistakes = {
        "b_dec is left out": total,
        "b_dec is subtracted: the encoder takes it away, the decoder adds it": total - b_dec,
        "b_dec counts twice": total + 2 * b_dec,
        "b_dec is added for each active latent: once is enough": total + active.sum(dim=1, keepdim=True) * b_dec,
        "b_dec is multiplied with the latents: add it at the end": total + latents.sum(dim=1, keepdim=True) * b_dec,
        "W_dec is transposed: row i belongs to latent i": torch.einsum("bs,ms->bm", latents, W_dec) + b_dec,
        "The rows were scaled to length 1: take them as long as they are": torch.einsum("bs,sm->bm", latents, unit)
        + b_dec,
        "The latents are cut at 1: there is no upper end": torch.einsum("bs,sm->bm", latents.clamp(max=1), W_dec)
        + b_dec,
        "The latents are taken as 0 or 1: they say how much": torch.einsum("bs,sm->bm", active, W_dec) + b_dec,
        "There is a relu at the end: a reconstruction may be negative": expected.relu(),
        "This is a mean over latents: sum them": total / 3 + b_dec,
        "This is a mean over active latents: sum them": total / active.sum(dim=1, keepdim=True) + b_dec,
        "The latents were made to sum to 1": total / latents.sum(dim=1, keepdim=True) + b_dec,
        "Only the largest latent is decoded": torch.tensor([[2.0, 0.0, -4.0], [0.0, 4.5, 1.5]]) + b_dec,
        "All vectors are added up: one reconstruction for each": total.sum(dim=0).expand(2, 3) + b_dec,
    }
    found = ask_decode(student, latents, W_dec, b_dec)
    worst = int((found - expected).abs().amax(dim=1).argmax())
    assert close(found, expected), (
        f"latents {numbers(latents[worst])}: the reconstruction is {numbers(found[worst])}, expected "
        f"{numbers(expected[worst])}. "
        f"{explain(found, mistakes, 'Each latent times its row of W_dec, summed, plus b_dec once')}"
    )


@exercise("sae_decode", points=1)
def test_a_planted_sum_of_directions_comes_back(student, generator):
    """Vectors are built from directions at right angles; read along each of them, they return what was put in."""
    for d_sae, d_model in ((6, 6), (3, 8)):
        directions, b_dec = orthonormal(generator, d_model)[:d_sae], 2 + torch.randn(d_model, generator=generator)
        latents = torch.rand(5, d_sae, generator=generator) * (torch.rand(5, d_sae, generator=generator) > 0.5)
        found = ask_decode(student, latents, directions, b_dec)
        read = torch.stack([(found - b_dec) @ direction for direction in directions], dim=1)
        why = "Row i of W_dec is latent i's direction, and b_dec is where all of them start"
        if d_sae == d_model:
            why += ". Where W_dec is square, a transpose raises no error"
        away = float((read - latents).abs().max())
        assert away < 1e-3, (  # rounding is 1e-6
            f"{d_sae} directions at right angles in {d_model} dimensions: read along them, the reconstruction gives "
            f"latents up to {away:.2f} away from those that went in, expected 0. {why}"
        )


@exercise("sae_decode", points=1)
def test_a_latent_more_is_its_row_more(student, generator):
    """Affine: no latents give b_dec, and raising one of them moves the reconstruction along its own row."""
    W_dec, b_dec = 3 * torch.randn(5, 4, generator=generator), 1 + torch.rand(4, generator=generator)
    found = ask_decode(student, torch.zeros(2, 5), W_dec, b_dec)
    assert close(found, b_dec.expand(2, 4)), (
        f"all latents 0: the reconstruction is {numbers(found[0])}, expected b_dec {numbers(b_dec)}"
    )
    latents = torch.rand(2, 5, generator=generator)
    before = ask_decode(student, latents, W_dec, b_dec)
    for latent in range(5):
        more = latents.clone()
        more[1, latent] += 2.5
        change = ask_decode(student, more, W_dec, b_dec) - before
        push = 2.5 * W_dec[latent]
        mistakes = {
            "Its row was scaled to length 1": push / W_dec[latent].norm(),
            "Nothing moves: how much of a latent there is counts": torch.zeros(4),
        }
        assert close(change[1], push, atol=1e-3) and float(change[0].abs().max()) < 1e-4, (
            f"latent {latent} of vector 1 is raised by 2.5: its reconstruction moves by {numbers(change[1])}, expected "
            f"2.5 times row {latent} of W_dec, {numbers(push)}, and vector 0 by {numbers(change[0])}, expected not at "
            f"all. {explain(change[1], mistakes, 'The decoder is a sum, and nothing else')}"
        )


@exercise("sae_decode", points=1)
def test_the_decoder_can_be_trained(student):
    """One vector of one dimension, two latents: gradients by hand."""
    latents, W_dec, b_dec = torch.tensor([[2.0, 0.5]]), torch.tensor([[3.0], [-1.0]]), torch.tensor([4.0])
    with hint(TRAINED):
        _, gradients = value_and_grad(student.sae_decode, latents, W_dec, b_dec, wrt=(0, 1, 2))
    expected = {"latents": torch.tensor([[3.0, -1.0]]), "W_dec": torch.tensor([[2.0], [0.5]]), "b_dec": torch.ones(1)}
    for (name, wanted), found in zip(expected.items(), gradients, strict=True):
        mistakes = {f"Nothing reaches {name}: is there a .detach(), .data or no_grad() in it?": 0 * wanted}
        assert close(found, wanted), (
            f"one vector of one dimension, two latents: the gradient by {name} is {numbers(found)}, expected "
            f"{numbers(wanted)}. {explain(found, mistakes, 'Latents times rows, summed, plus b_dec once')}"
        )


# --- 7.4 sae_loss ------------------------------------------------------------------------------------------------

LOSS_ACTS = torch.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]])
LOSS_RECONSTRUCTION = torch.tensor([[0.0, 2.5, 1.5], [2.0, -1.5, 5.0]])
LOSS_LATENTS = torch.tensor([[2.0, 0.0, 1.0], [0.5, 3.0, 0.0]])
LOSS_ROWS = torch.tensor([[2.0, -1.0, 2.0], [0.0, -0.5, 0.0], [1.2, 0.0, 0.5]])  # of length 3, 0.5 and 1.3


def ask_sae_loss(student, *given: Tensor | float) -> float:
    """The loss of acts, latents, reconstruction, W_dec and l1."""
    found = student.sae_loss(*given)
    if isinstance(found, Tensor) and found.shape == (len(given[0]),) and len(given[0]) > 1:
        raise AssertionError(
            f"the loss is {describe(found)}, one number for each vector, expected a tensor with a single number: take "
            "the mean over the batch"
        )
    expect_tensor(found, "", (), name="the loss")
    return float(found)


def draw_loss(generator: torch.Generator, batch: int, d_model: int, d_sae: int) -> tuple[Tensor, ...]:
    """Acts, latents of which half are 0, their reconstruction, rows of many lengths, and a bias."""
    W_dec = torch.randn(d_sae, d_model, generator=generator) * torch.linspace(0.3, 3, d_sae)[:, None]
    b_dec = torch.randn(d_model, generator=generator)
    latents = (torch.rand(batch, d_sae, generator=generator) - 0.4).relu()
    acts = torch.randn(batch, d_model, generator=generator)
    return acts, latents, torch.einsum("bs,sm->bm", latents, W_dec) + b_dec, W_dec, b_dec


@exercise("sae_loss")
def test_the_sae_loss_is_one_number(student, generator):
    with hint("W_dec.norm(dim=1) is [d_sae], one length for each latent; acts and reconstruction are [batch d_model]"):
        for batch, d_model, d_sae in ((4, 3, 7), (2, 6, 5), (3, 4, 4), (1, 2, 3)):
            acts, latents, reconstruction, W_dec, _ = draw_loss(generator, batch, d_model, d_sae)
            ask_sae_loss(student, acts, latents, reconstruction, W_dec, 0.1)


@exercise("sae_loss", points=2)
def test_the_sae_loss_by_hand(student):
    """Squared errors 2.25 and 8.25; latents by length 2 · 3 + 1.3 and 0.5 · 3 + 3 · 0.5."""
    found = ask_sae_loss(student, LOSS_ACTS, LOSS_LATENTS, LOSS_RECONSTRUCTION, LOSS_ROWS, 0.4)
    error, penalty, l1 = 5.25, 5.15, 0.4
    lengths = torch.tensor([3.0, 0.5, 1.3])
    weigh = lambda latents, weights: float(torch.einsum("bs,s->b", latents, weights).mean())  # noqa: E731
    active = (LOSS_LATENTS > 0).float()
    off = LOSS_ACTS - LOSS_RECONSTRUCTION
    penalties = {
        "The penalty is left out: is l1 used?": 0.0,
        "l1 is left out": penalty / l1,
        "l1 is squared": penalty * l1,
        "The penalty is subtracted: it costs": -penalty,
        "The latents are not weighed by the length of their rows": weigh(LOSS_LATENTS, torch.ones(3)),
        "These are the lengths of the columns of W_dec: latent i has row i, norm(dim=1)": weigh(
            LOSS_LATENTS, LOSS_ROWS.norm(dim=0)
        ),
        "The length is squared": weigh(LOSS_LATENTS, lengths.square()),
        "The length is that of the whole W_dec: one for each row, norm(dim=1)": weigh(
            LOSS_LATENTS, LOSS_ROWS.norm().expand(3)
        ),
        "The mean length of all rows weighs the latents: each has its own": weigh(
            LOSS_LATENTS, lengths.mean().expand(3)
        ),
        "The length is a sum of absolute values: take the Euclidean one": weigh(
            LOSS_LATENTS, LOSS_ROWS.abs().sum(dim=1)
        ),
        "The length is the largest entry: take the Euclidean one": weigh(LOSS_LATENTS, LOSS_ROWS.abs().amax(dim=1)),
        "The latents are divided by the length of their rows: multiply": weigh(LOSS_LATENTS, 1 / lengths),
        "This is a mean over latents: sum them": penalty / 3,
        "The penalty is a sum over the batch: take the mean": 2 * penalty,
        "Active latents are counted (L0): add up how large they are": float(active.sum(dim=1).mean()),
        "Active latents are counted (L0), by length: add up how large they are": weigh(active, lengths),
        "The latents are squared": weigh(LOSS_LATENTS.square(), lengths),
        "The penalty is the Euclidean length of the latents (L2): sum them": float(
            (LOSS_LATENTS * lengths).norm(dim=1).mean()
        ),
        "The penalty is squared": float(torch.einsum("bs,s->b", LOSS_LATENTS, lengths).square().mean()),
        "This is a mean over active latents: sum them": float(
            (torch.einsum("bs,s->b", LOSS_LATENTS, lengths) / active.sum(dim=1)).mean()
        ),
        "Only the largest latent costs: sum them": float((LOSS_LATENTS * lengths).amax(dim=1).mean()),
        "This is the length of the sum of rows: sum their lengths": float(
            torch.einsum("bs,sm->bm", LOSS_LATENTS, LOSS_ROWS).norm(dim=1).mean()
        ),
        "The lengths of all rows are in the penalty, whatever the latents": float(lengths.sum()),
    }
    errors = {
        "The squared error is a mean over d_model: sum it": float(off.square().mean()),
        "The squared error is a sum over the batch: take the mean": float(off.square().sum()),
        "The error is not squared: it is an absolute value": float(off.abs().sum(dim=1).mean()),
        "The error is a length: leave the root out": float(off.norm(dim=1).mean()),
        "There is a root of the whole error": 5.25**0.5,
        "The error is squared twice": float(off.square().sum(dim=1).square().mean()),
        "Each error is squared twice": float(off.pow(4).sum(dim=1).mean()),
        "The error keeps its sign: square it": float(off.sum(dim=1).mean()),
        "The error is summed before it is squared": float(off.sum(dim=1).square().mean()),
        "The error is halved": 2.625,
        "The error is left out": 0.0,
        "The error is divided by the size of acts: nothing is normalised": 10.5 / 15.25,
        "The largest error counts: sum over d_model": float(off.square().amax(dim=1).mean()),
    }
    values = {why: error + l1 * value for why, value in penalties.items()}
    values |= {why: value + l1 * penalty for why, value in errors.items()}
    values |= {
        "Everything is summed over the batch: take the mean": 2 * (error + l1 * penalty),
        "Both terms are means over their dimensions: sum them, and take the mean over the batch": error / 3
        + l1 * penalty / 3,
        "l1 multiplies the error: it is the price of the penalty": l1 * error + penalty,
        "l1 multiplies the error, too": l1 * (error + penalty),
        "The two are mixed with 1 - l1: the error counts in full": (1 - l1) * error + l1 * penalty,
    }
    why = next((text for text, wrong in values.items() if abs(found - wrong) < 2e-3), "")
    assert abs(found - 7.31) < 1e-3, (
        f"squared errors 2.25 and 8.25, latents [2, 0, 1] and [0.5, 3, 0], rows of length 3, 0.5 and 1.3, l1 0.4: the "
        f"loss is {found:.3f}, expected 5.25 + 0.4 · 5.15 = 7.31. "
        f"{why or 'Squared error summed over d_model, plus l1 times latents by length summed; means over the batch'}"
    )


@exercise("sae_loss", points=1)
def test_small_latents_with_long_rows_are_no_bargain(student, generator):
    """Latents divided by c and rows times c: the same reconstruction, the same loss. Longer rows alone: dearer."""
    for d_model, d_sae in ((4, 9), (6, 6)):
        acts, latents, reconstruction, W_dec, _ = draw_loss(generator, 5, d_model, d_sae)
        before = ask_sae_loss(student, acts, latents, reconstruction, W_dec, 0.5)
        scales = {
            "all latents divided by 10, all rows 10 times as long": torch.full((d_sae,), 10.0),
            "all latents doubled, all rows half as long": torch.full((d_sae,), 0.5),
            "each latent divided by a number of its own, and its row multiplied by it": 0.2
            + 4 * torch.rand(d_sae, generator=generator),
        }
        for case, c in scales.items():
            after = ask_sae_loss(student, acts, latents / c, reconstruction, W_dec * c[:, None], 0.5)
            square = ". Where W_dec is square, lengths of its columns raise no error" if d_model == d_sae else ""
            why = f"Weigh each latent by the length of its own row, W_dec.norm(dim=1){square}"
            assert abs(after - before) < 1e-3 * max(1, abs(before)), (  # float32 sums
                f"{case}: the loss goes from {before:.3f} to {after:.3f}, expected no change, since the reconstruction "
                f"is the same. {why}"
            )
        longer = ask_sae_loss(student, acts, latents, reconstruction, 2 * W_dec, 0.5)
        assert longer > before + 0.1, (
            f"rows twice as long, everything else as before: the loss goes from {before:.3f} to {longer:.3f}, expected "
            "more. Latents cost as much as their rows are long: do not scale the rows to length 1"
        )


@exercise("sae_loss", points=1)
def test_a_direction_costs_nothing_but_its_error(student, generator):
    """Turned rows of the same length: as dear as before, if the reconstruction stays; what is wrong then costs."""
    acts, latents, reconstruction, W_dec, b_dec = draw_loss(generator, 6, 5, 8)
    turned = W_dec @ orthonormal(generator, 5)
    before = ask_sae_loss(student, acts, latents, reconstruction, W_dec, 0.3)
    same = ask_sae_loss(student, acts, latents, reconstruction, turned, 0.3)
    assert abs(same - before) < 1e-3 * max(1, abs(before)), (
        f"all rows turned, their lengths kept, the reconstruction as given: the loss goes from {before:.3f} to "
        f"{same:.3f}, expected no change. Only the Euclidean length of a row counts, and the reconstruction is the one "
        "that is given"
    )
    moved = torch.einsum("bs,sm->bm", latents, turned) + b_dec
    after = ask_sae_loss(student, acts, latents, moved, turned, 0.3)
    gap = sum(
        float((a - m).norm() ** 2 - (a - r).norm() ** 2) for a, m, r in zip(acts, moved, reconstruction, strict=True)
    )
    assert abs(after - before - gap / 6) < 1e-2, (  # squares of up to 100, in float32
        f"the reconstruction turned with them: the loss changes by {after - before:.3f}, expected {gap / 6:.3f}, which "
        "is the change of the mean squared distance from acts"
    )


@exercise("sae_loss", points=1)
def test_the_price_is_l1(student, generator):
    """Linear in l1, and without a penalty only the error is left; the error does not depend on l1."""
    acts, latents, reconstruction, W_dec, _ = draw_loss(generator, 4, 3, 6)
    lengths = torch.tensor([sum(x * x for x in row) ** 0.5 for row in W_dec.tolist()])
    price = float((latents @ lengths).sum()) / 4
    free = ask_sae_loss(student, acts, latents, reconstruction, W_dec, 0.0)
    error = sum(float((a - r).norm() ** 2) for a, r in zip(acts, reconstruction, strict=True)) / 4
    assert abs(free - error) < 1e-3 * max(1, error), (
        f"l1 0: the loss is {free:.3f}, expected the mean squared distance of acts and reconstruction, {error:.3f}. "
        "Summed over d_model, not squared again, no root"
    )
    for l1 in (1.0, 0.01, 3.0):
        found = ask_sae_loss(student, acts, latents, reconstruction, W_dec, l1)
        assert abs(found - free - l1 * price) < 1e-3 * max(1, error + l1 * price), (
            f"l1 {l1:g}: the loss is {found - free:.4f} above that without a penalty, expected {l1:g} times "
            f"{price:.3f}, {l1 * price:.4f}. l1 multiplies the penalty once, and the error not at all"
        )


@exercise("sae_loss", points=1)
def test_the_sae_loss_can_train(student):
    """All latents above 0; gradients by hand, from the lengths 3, 0.5 and 1.3."""
    latents, l1 = torch.tensor([[2.0, 0.25, 1.0], [0.5, 3.0, 2.0]]), 0.4
    given = (LOSS_ACTS, latents, LOSS_RECONSTRUCTION, LOSS_ROWS, l1)
    _, (by_latents, by_reconstruction, by_rows) = value_and_grad(student.sae_loss, *given, wrt=(1, 2, 3))
    expected = torch.tensor([[0.6, 0.1, 0.26]] * 2)  # l1 · length / 2 vectors
    mistakes = {
        "Nothing reaches the latents: is there a .detach() in it?": 0 * expected,
        "The lengths of the rows are missing": torch.full((2, 3), 0.2),
        "This is the gradient of a sum over the batch: take the mean": 2 * expected,
        "This is the gradient of a mean over latents: sum them": expected / 3,
    }
    assert close(by_latents, expected, atol=1e-3), (
        f"l1 0.4, rows of length 3, 0.5 and 1.3, two vectors: the gradient by latents is {numbers(by_latents)}, "
        f"expected {numbers(expected)}. {explain(by_latents, mistakes, 'l1 times the length of the row, over 2')}"
    )
    expected = torch.tensor([[-1.0, 0.5, 1.0], [2.0, -0.5, 2.0]])  # 2 · (reconstruction - acts) / 2 vectors
    mistakes = {
        "Nothing reaches the reconstruction: is there a .detach() in it?": 0 * expected,
        "The sign is turned round": -expected,
        "This is the gradient of a sum over the batch: take the mean": 2 * expected,
        "This is the gradient of a mean over d_model, too: sum over it": expected / 3,
    }
    assert close(by_reconstruction, expected, atol=1e-3), (
        f"the gradient by the reconstruction is {numbers(by_reconstruction)}, expected {numbers(expected)}. "
        f"{explain(by_reconstruction, mistakes, 'Twice (reconstruction - acts), over 2 vectors')}"
    )
    # l1 · mean latent · row / its length
    expected = torch.tensor([[1 / 3, -1 / 6, 1 / 3], [0.0, -0.65, 0.0], [0.6 * 12 / 13, 0.0, 0.6 * 5 / 13]])
    mistakes = {
        "Nothing reaches W_dec: then only latents shrink, and rows grow. Is there a .detach() in it?": 0 * expected,
        "The length is squared": 2 * expected * LOSS_ROWS.norm(dim=1, keepdim=True),
        "This is the gradient of a sum over the batch: take the mean": 2 * expected,
    }
    assert close(by_rows, expected, atol=1e-3), (
        f"the gradient by W_dec is {numbers(by_rows)}, expected {numbers(expected)}. "
        f"{explain(by_rows, mistakes, 'l1 times the mean latent, along its row scaled to length 1')}"
    )


# --- 7.5 batch_topk ----------------------------------------------------------------------------------------------


def ask_batch(student, pre: Tensor, k: int, *threshold: float | None) -> Tensor:
    found = student.batch_topk(pre, k, *threshold)
    case = f"k {k}" + (f", threshold {threshold[0]}" if threshold else "")
    if isinstance(found, Tensor):
        assert found.is_floating_point(), (
            f"{case}: the latents have dtype {found.dtype}. These are indices, or a mask: put the values there"
        )
        assert found.shape != (len(pre) * k,), (
            f"{case}: the latents have shape {tuple(found.shape)}. Only what was kept is left: each value goes back to "
            "the place that it came from, among zeros, and view_as(pre) makes vectors of them"
        )
        assert found.shape != (pre.numel(),) or pre.ndim == 1, (
            f"{case}: the latents have shape {tuple(found.shape)}, one line of all vectors: view_as(pre) makes "
            f"{tuple(pre.shape)} of it"
        )
    expect_tensor(found, "batch d_sae", tuple(pre.shape), name=f"the result for {case}")
    return found


@exercise("batch_topk")
def test_returns_latents_in_training_and_in_use(student, generator):
    with hint("pre.flatten() is [batch * d_sae], and view_as(pre) leads back"):
        for batch, d_sae in ((3, 7), (5, 4), (2, 2), (1, 6)):
            pre = draw_pre(generator, batch, d_sae)
            for threshold in ((), (None,), (0.5,)):
                for k in (1, 2):
                    ask_batch(student, pre, k, *threshold)


@exercise("batch_topk", points=1)
def test_the_whole_batch_competes(student):
    """Three vectors, k 2: the six largest are four of the first, two of the third, and none of the second."""
    pre = torch.tensor(
        [
            [4.0, 9.0, 5.0, -2.0, 7.0],
            [1.0, -0.5, 0.5, 2.0, 1.5],
            [0.25, -8.0, 3.0, 6.0, -6.0],
        ]
    )
    expected = torch.tensor([[4.0, 9.0, 5.0, 0.0, 7.0], [0.0] * 5, [0.0, 0.0, 3.0, 6.0, 0.0]])
    pos = pre.relu()
    packed = torch.zeros(15)
    packed[:6] = torch.tensor([9.0, 7.0, 6.0, 5.0, 4.0, 3.0])

    def mask(indices: Tensor) -> Tensor:
        return torch.zeros(15).index_fill(0, indices, 1.0).view(3, 5)

    def largest(n: int) -> Tensor:
        return pos * mask(pre.flatten().topk(n).indices)

    mistakes = {
        "This is the top k of each vector: take the batch * k largest of the whole batch": keep_by_hand(pre, 2),
        "This is the top k of each latent over the vectors: take the batch * k largest of all numbers": pos
        * torch.zeros(3, 5).scatter(0, pre.topk(2, dim=0).indices, 1.0),
        "Only k of the whole batch were kept: batch * k": largest(2),
        "Everything above 0 was kept: k is ignored": pos,
        "d_sae * k were kept: batch * k, len(pre) * k": largest(10),
        "One too few was kept, batch * k - 1: is the smallest one that gets through compared with > ?": largest(5),
        "One too many was kept, batch * k + 1": largest(7),
        "k is divided by the batch: multiply": largest(1),
        "The farthest from 0 were kept: largest means largest, do not take absolute values": pos
        * mask(pre.abs().flatten().topk(6).indices),
        "The farthest from 0 were kept, without a relu: largest means largest": pre
        * mask(pre.abs().flatten().topk(6).indices),
        "The smallest were kept": pos * mask((-pre).flatten().topk(6).indices),
        "The smallest were kept, without a relu": pre * mask((-pre).flatten().topk(6).indices),
        "The values stand at the front, sorted: put each back at its own place": packed.view(3, 5),
        "The kept latents are 1: keep their values": (expected > 0).float(),
        "The others were kept, and the largest dropped": pos - expected,
        "The threshold was taken off the kept values: keep them as they are": (expected - 3).relu(),
        "The vectors are transposed: view_as(pre) must follow the order of flatten": pos
        * mask(pre.T.flatten().topk(6).indices),
    }
    for threshold in ((), (None,)):
        found = ask_batch(student, pre, 2, *threshold)
        active = (found > 0).sum(dim=1).tolist()
        assert close(found, expected), (
            f"three vectors, k 2: {active} latents of them are active, expected [4, 0, 2], {numbers(expected)}; got "
            f"{numbers(found)}. "
            f"{explain(found, mistakes, 'The six largest numbers of the batch stay where they are, the rest is 0')}"
        )


@exercise("batch_topk", points=1)
def test_k_is_kept_on_average(student, generator):
    """Several shapes; enough numbers are above 0."""
    for batch, d_sae, k in ((6, 9, 2), (4, 12, 5), (9, 4, 1), (1, 7, 3)):
        pre = draw_pre(generator, batch, d_sae) + torch.linspace(-1, 1, batch)[:, None] * batch
        pre = pre + 1e-3 * torch.rand(batch, d_sae, generator=generator)  # no ties
        n_above = int((pre > 0).sum())
        found = ask_batch(student, pre, k)
        active, wanted = int((found > 0).sum()), min(batch * k, n_above)
        assert active == wanted, (
            f"{batch} vectors of {d_sae}, k {k}, {n_above} numbers above 0: {active} latents are active, expected "
            f"{wanted}. k per vector on average: {batch} * {k} of the whole batch"
        )
        line = sorted(pre.flatten().tolist(), reverse=True)
        best = torch.tensor(line[:wanted]).sum()
        assert abs(float(found.sum() - best)) < 1e-2, (  # sums of up to 100 in float32
            f"{batch} vectors of {d_sae}, k {k}: the latents add up to {float(found.sum()):.2f}, expected "
            f"{float(best):.2f}, the {wanted} largest pre-activations, as large as they are"
        )
        n_moved = int(((found > 0) & ((found - pre).abs() > 1e-4)).sum())
        assert n_moved == 0, (
            f"{batch} vectors of {d_sae}, k {k}: {n_moved} latents stand at places where another pre-activation was, "
            "expected none. Everything stays where it is: view_as(pre) is the way back from flatten"
        )


@exercise("batch_topk", points=1)
def test_latents_are_never_negative(student):
    """Two of ten are above 0, and k asks for more; a threshold below 0."""
    pre = torch.tensor([[-4.0, 2.5, -0.5, -1.0, -3.0], [-1.5, -2.0, 0.75, -5.0, -6.0]])
    expected = pre.clamp(min=0)
    for k, threshold, case in (
        (3, (), "in training, k 3"),
        (5, (), "in training, k 5"),
        (2, (-1.2,), "threshold -1.2"),
        (1, (-10.0,), "threshold -10"),
    ):
        found = ask_batch(student, pre, k, *threshold)
        lowest = float(found.min())
        cure = "a threshold below 0 keeps no negative latents: relu" if threshold else "relu after topk"
        assert lowest >= 0, (
            f"{case}, two of ten pre-activations above 0: a latent is {lowest:g}, expected 0 or above. There are fewer "
            f"latents where there are no more: {cure}"
        )
        assert close(found, expected), (
            f"{case}, two of ten pre-activations above 0: the latents are {numbers(found)}, expected "
            f"{numbers(expected)}: these two, as large as they are"
        )


@exercise("batch_topk", points=1)
def test_for_use_a_threshold_decides(student):
    """What is strictly above it stays as it is, whatever k says; 0.0 is a threshold like any other."""
    pre = torch.tensor([[4.0, 1.5, 5.0, -2.0], [1.0, -0.5, 1.25, 2.0], [0.5, -8.0, 3.0, 0.25]])
    for threshold, rows in (
        (1.5, [[4.0, 0.0, 5.0, 0.0], [0.0, 0.0, 0.0, 2.0], [0.0, 0.0, 3.0, 0.0]]),
        (0.0, [[4.0, 1.5, 5.0, 0.0], [1.0, 0.0, 1.25, 2.0], [0.5, 0.0, 3.0, 0.25]]),
        (10.0, [[0.0] * 4] * 3),
    ):
        expected, active = torch.tensor(rows), (pre > threshold).float()
        for k in (2, 1, 4):
            found = ask_batch(student, pre, k, threshold)
            trained = pre.relu() * torch.zeros(12).index_fill(0, pre.flatten().topk(3 * k).indices, 1.0).view(3, 4)
            cut = pre.relu() * active
            ignored = "The threshold is ignored, and k decides"
            if threshold == 0:
                ignored = "k decides: 0.0 is a threshold like any other, ask `threshold is not None`"
            elif bool((trained <= cut).all()):
                ignored = "k limits how many are kept: with a threshold it plays no part"
            mistakes = {
                ignored: trained,
                "k plays a part in each vector: with a threshold it must not": keep_by_hand(cut, k),
                "What equals the threshold was kept: strictly above it": pre.relu() * (pre >= threshold),
                "What lies below the threshold was kept": pre.relu() * (pre < threshold),
                "What is not above the threshold was kept": pre.relu() * (1 - active),
                "The threshold was taken off the kept values: keep them as they are": (pre - threshold).relu(),
                "The kept latents are 1: keep their values": active,
                "What lies below became the threshold: put 0 there": pre.clamp(min=threshold),
                "Everything above 0 was kept: the threshold is ignored": pre.relu(),
            }
            otherwise = "Keep what is strictly above the threshold as it is, and put 0 for the rest"
            assert close(found, expected), (
                f"threshold {threshold:g}, k {k}: the latents are {numbers(found)}, expected {numbers(expected)}. "
                f"{explain(found, mistakes, otherwise)}"
            )


@exercise("batch_topk", points=1)
def test_with_a_threshold_a_vector_is_encoded_alike_in_any_batch(student, generator):
    """And in training it is not, which is why there is a threshold."""
    pre = draw_pre(generator, 6, 8)
    for threshold in (0.75, 0.0, -0.4):
        together = ask_batch(student, pre, 2, threshold)
        for rows in ([0], [3], [5, 1], [2, 4, 0, 1]):
            some = ask_batch(student, pre[rows], 2, threshold)
            away = float((some - together[rows]).abs().max())
            assert away < 1e-5, (
                f"threshold {threshold:g}: vectors {rows} of six have latents up to {away:.2f} away from those that "
                "they have in the whole batch, expected the same. With a threshold nothing but the number itself "
                "decides: no topk, no mean, and k plays no part"
            )
    bright = torch.tensor([[3.0, 2.0, 1.0, -1.0], [30.0, 20.0, 10.0, 5.0]])
    alone, beside = ask_batch(student, bright[:1], 2), ask_batch(student, bright, 2)
    alone, beside = int((alone > 0).sum()), int((beside[0] > 0).sum())
    assert (alone, beside) == (2, 0), (
        f"in training, k 2: a dim vector has {alone} latents alone and {beside} beside a bright one, expected 2 and 0. "
        "There all vectors of the batch compete, and this is not a top k of each vector"
    )


@exercise("batch_topk", points=1)
def test_what_is_kept_passes_the_gradient_on(student):
    for threshold in ((), (0.5,)):
        with hint(TRAINED):
            _, (found,) = value_and_grad(student.batch_topk, torch.tensor([[2.0]]), 1, *threshold, wrt=0)
        why = "What is kept is pre as it is"
        if float(found) == 0:
            why = "Nothing reaches pre: is there a .detach(), .data or no_grad() in it?"
        assert abs(float(found) - 1) < 1e-4, (
            f"one vector and one latent, 2, which is kept{' by a threshold of 0.5' if threshold else ''}: its gradient "
            f"is {float(found):g}, expected 1. {why}"
        )


# --- 7.6 explained_variance --------------------------------------------------------------------------------------

ACTS = torch.tensor([[1.0, 6.0, 5.0], [3.0, -2.0, 5.0], [1.0, 6.0, 5.0], [3.0, -2.0, 9.0]])  # mean (2, 2, 6)
ERRORS = torch.tensor([[1.0, 2.0, 0.0], [1.0, 0.0, 2.0], [1.0, 0.0, 0.0], [1.0, 2.0, 0.0]])  # squares: 4, 8, 4


@exercise("explained_variance")
def test_explained_variance_is_one_number(student, generator):
    with hint("Sum over both axes: acts.mean(dim=0) is [d_model], and what is left at the end is a single number"):
        for shape in ((4, 3), (2, 5), (7, 1), (6, 6)):
            acts = torch.randn(shape, generator=generator)
            expect_number(student.explained_variance(acts, 0.9 * acts))


@exercise("explained_variance", points=2)
def test_explained_variance_by_hand(student):
    """Squared errors 16, squared distances from the mean 4 + 64 + 12 = 80."""
    back = ACTS - ERRORS
    found = expect_number(student.explained_variance(ACTS, back))
    errors, spreads = torch.tensor([4.0, 8.0, 4.0]), torch.tensor([4.0, 64.0, 12.0])
    centred, own = ACTS - ACTS.mean(dim=0), back - back.mean(dim=0)
    rows = 1 - ERRORS.square().sum(dim=1) / centred.square().sum(dim=1)
    mistakes = {
        "This is the share that is not explained: take it from 1": 0.2,
        "The quotient is upside down: the error over the spread": 1 - 80 / 16,
        "This is a mean of one share for each dimension: sum over all dimensions first, then divide once": float(
            (1 - errors / spreads).mean()
        ),
        "This is a mean of one share for each vector: sum over the batch first, then divide once": float(rows.mean()),
        "Nothing is subtracted from acts: the second sum is about distances from their mean": 1
        - 16 / float(ACTS.square().sum()),
        "One mean of all numbers is subtracted: each dimension has its own, acts.mean(dim=0)": 1
        - 16 / float((ACTS - ACTS.mean()).square().sum()),
        "Each vector's own mean is subtracted: take the mean over the batch, acts.mean(dim=0)": 1
        - 16 / float((ACTS - ACTS.mean(dim=1, keepdim=True)).square().sum()),
        "acts are compared with the reconstruction's mean: take their own": 1
        - 16 / float((ACTS - back.mean(dim=0)).square().sum()),
        "The denominator is the variance of the reconstruction: take that of acts": 1 - 16 / float(own.square().sum()),
        "This is the variance of the residual: a constant error counts as well, so do not subtract its mean": 1
        - float((ERRORS - ERRORS.mean(dim=0)).square().sum()) / 80,
        "These are lengths, not squares: do not take roots": 1 - (16 / 80) ** 0.5,
        "These are sizes, not squares: square the differences": 1 - float(ERRORS.abs().sum() / centred.abs().sum()),
        "This is the variance of the reconstruction over that of acts: a wrong one varies as well": float(
            own.square().sum() / 80
        ),
        "This is a squared correlation, which sees neither size nor offset: compare number by number": float(
            (centred * own).sum().square() / (80 * own.square().sum())
        ),
        "This is the squared correlation of all numbers, which sees neither size nor offset: compare number by "
        "number": float(torch.corrcoef(torch.stack([ACTS.flatten(), back.flatten()]))[0, 1].square()),
        "This is the correlation of all numbers, which sees neither size nor offset: compare number by number": float(
            torch.corrcoef(torch.stack([ACTS.flatten(), back.flatten()]))[0, 1]
        ),
        "One of the two is a sum and the other a mean: take sums in both places": 1 - (16 / 12) / 80,
        "The error is averaged over the batch, the spread is not: take sums in both places": 1 - 4 / 80,
        "The spread is averaged over the batch, the error is not: take sums in both places": 1 - 16 / 20,
        "The error is a mean over all numbers, and the spread one over the batch: take sums in both places": 1
        - (16 / 12) / 20,
        "The spread is divided by batch - 1, the error by batch: take sums in both places": 1 - (16 / 4) / (80 / 3),
        "This is a percentage: 1 is perfect": 80.0,
        "The sum of the errors is squared: square each of them first": 1 - float(ERRORS.sum().square()) / 80,
    }
    otherwise = "1 minus the sum of squared errors over the sum of squared distances from acts.mean(dim=0)"
    assert abs(found - 0.8) < 1e-4, (
        "four vectors whose squared distances from their mean sum to 80, and squared errors that sum to 16: the "
        f"explained variance is {found:.3f}, expected 1 - 16 / 80 = 0.8. {likely(found, mistakes, otherwise)}"
    )


@exercise("explained_variance", points=1)
def test_size_and_offset_of_a_reconstruction_count(student, generator):
    """Nearer to the mean, twice as far, turned round, shifted: closed forms, all with correlation 1 or -1."""
    for shape in ((30, 4), (5, 9)):
        acts = 3 + torch.randn(shape, generator=generator)
        mean = acts.mean(dim=0)
        for size, expected in ((0.6, 0.84), (2.0, 0.0), (-1.0, -3.0), (1.0, 1.0)):
            found = expect_number(student.explained_variance(acts, mean + size * (acts - mean)))
            otherwise = "Square the difference of acts and reconstruction"
            mistakes = {
                "This is a squared correlation: it does not see the size of what comes back": 1.0,
                "This is the share that is not explained: take it from 1": (1 - size) ** 2,
                "It is cut off at 0: worse than the mean must show": 0.0,
                "This compares the two variances: an error is a difference of vectors": size**2,
                "This is about lengths, and not about squares": 1 - abs(1 - size),
            }
            assert abs(found - expected) < 1e-3, (
                f"a reconstruction {size:g} times as far from the mean as acts: {found:.3f}, expected 1 - (1 - "
                f"{size:g})² = {expected:g}. {likely(found, mistakes, otherwise)}"
            )
        shift = 0.5 + torch.rand(shape[1], generator=generator)
        expected = 1 - float(shift.square().sum()) / float(acts.var(dim=0, correction=0).sum())
        found = expect_number(student.explained_variance(acts, acts + shift))
        mistakes = {
            "The constant goes unseen: this is the variance of the residual, or a correlation. Square the error "
            "itself": 1.0,
            "It is cut off at 0: worse than the mean must show": 0.0,
        }
        assert abs(found - expected) < 1e-3, (
            f"a reconstruction that is perfect but for a constant vector: {found:.3f}, expected {expected:.3f}. "
            f"{likely(found, mistakes, 'Every vector is off by the same, and that is an error like any other')}"
        )


@exercise("explained_variance", points=1)
def test_the_mean_explains_nothing(student, generator):
    """Controls that must score 0 or less: the mean itself, vectors in the wrong order, zeros far from the data."""
    acts = torch.randn(400, 6, generator=generator) * torch.tensor([3.0, 1.0, 1.0, 0.5, 0.2, 2.0]) + 5
    found = expect_number(student.explained_variance(acts, acts.mean(dim=0).expand(400, 6)))
    why = "What the mean cannot say is the whole variance"
    if abs(found - 1 + float(acts.var(dim=0, correction=0).sum() / acts.square().sum(dim=1).mean())) < 1e-3:
        why = "acts are not centred in your second sum: their mean alone explains much of their size, but no variance"
    assert abs(found) < 1e-3, f"the reconstruction is the mean for every vector: {found:.3f}, expected 0. {why}"
    # another vector's reconstruction is off by twice the variance: -1, ± .35 for 400 vectors
    found = expect_number(student.explained_variance(acts, acts.roll(1, dims=0)))
    why = "Compare each vector with its own reconstruction"
    if abs(found) < 1e-6:
        why = "It is cut off at 0: worse than the mean must show"
    assert -1.4 < found < -0.6, (
        f"every vector gets the reconstruction of another one: {found:.3f}, expected about -1. {why}"
    )
    zeros, n = torch.zeros(400, 6), float(acts.mean(dim=0).square().sum())
    expected = -n / float(acts.var(dim=0, correction=0).sum())
    found = expect_number(student.explained_variance(acts, zeros))
    assert abs(found - expected) < 1e-2, (
        f"a reconstruction of zeros, far from acts with mean 5: {found:.3f}, expected {expected:.2f}. It is worse than "
        "the mean, and by how much must show"
    )


@exercise("explained_variance", points=1)
def test_the_axes_do_not_matter_for_explained_variance(student, generator):
    """Shifted, stretched or turned together, or in another order: the same share."""
    acts = torch.randn(9, 4, generator=generator) * torch.tensor([5.0, 1.0, 0.3, 2.0]) + 2
    back = acts + torch.randn(9, 4, generator=generator) * torch.tensor([0.3, 0.9, 0.3, 1.0])
    turn = torch.linalg.qr(torch.randn(4, 4, generator=generator)).Q
    reference = expect_number(student.explained_variance(acts, back))
    order = torch.randperm(9, generator=generator)
    shift = torch.tensor([10.0, -20.0, 5.0, 0.0])
    others = {
        "both shifted by the same vector": (acts + shift, back + shift, "Take distances from acts.mean(dim=0)"),
        "both ten times as large": (10 * acts, 10 * back, "Square both, or neither"),
        "both turned in space": (acts @ turn, back @ turn, "Sum over all dimensions before you divide"),
        "both in another order": (acts[order], back[order], "Vectors stand in no order"),
        "every vector twice": (acts.repeat(2, 1), back.repeat(2, 1), "Take sums in both places, or means in both"),
    }
    for what, (a, b, why) in others.items():
        found = expect_number(student.explained_variance(a, b))
        assert abs(found - reference) < 1e-3, (
            f"the same vectors and reconstructions, {what}: {found:.3f} instead of {reference:.3f}, expected the same. "
            f"{why}"
        )


# --- 7.7 loss_recovered ------------------------------------------------------------------------------------------

CLEAN = torch.tensor([0.25, 1.5, 4.0, 0.25])  # mean 1.5
ABLATED = torch.tensor([1.5, 6.0, 4.5, 2.0])  # mean 3.5
RECONSTRUCTED = torch.tensor([0.75, 2.75, 4.75, 0.75])  # mean 2.25


@exercise("loss_recovered")
def test_the_recovered_share_is_one_number(student):
    for n in (4, 3, 2):
        found = student.loss_recovered(CLEAN[:n], ABLATED[:n], RECONSTRUCTED[:n])
        text = describe(found)
        assert not isinstance(found, Tensor) or found.numel() == 1, (
            f"the result is {text}, expected one number for all tokens: average each of the three first"
        )
        expect_number(found)


@exercise("loss_recovered", points=2)
def test_the_recovered_share_by_hand(student):
    """From 3.5 down to 1.5 the way is 2; the reconstruction goes 1.25 of it."""
    found = expect_number(student.loss_recovered(CLEAN, ABLATED, RECONSTRUCTED))
    c, a, r = 1.5, 3.5, 2.25
    medians = [float(values.median()) for values in (CLEAN, ABLATED, RECONSTRUCTED)]
    ratios = (ABLATED - RECONSTRUCTED) / (ABLATED - CLEAN)
    mistakes = {
        "This is what is still lost: 0 is the mean's loss, 1 the network's own": (r - c) / (a - c),
        "This is the mean of one ratio for each token: average first, then divide once": float(ratios.mean()),
        "This is the median of one ratio for each token: average first, then divide once": float(ratios.median()),
        "The sign is turned round: ablated minus reconstructed, over ablated minus clean": -0.625,
        "Only the difference: divide by ablated minus clean": a - r,
        "The quotient is upside down": (a - c) / (a - r),
        "It is divided by reconstructed minus clean: the whole way is from ablated to clean": (a - r) / (r - c),
        "It is divided by ablated alone: the whole way ends at clean, and not at 0": (a - r) / a,
        "It is divided by clean alone: the whole way is from ablated to clean": (a - r) / c,
        "This is the quotient of two losses: without the mean's loss it has no zero point": c / r,
        "This is a quotient of two losses, upside down: without the mean's loss it has no zero point": r / c,
        "This is 1 minus a quotient of two losses: the scale ends at clean, and not at 0": 1 - r / a,
        "ablated and reconstructed are exchanged": (r - a) / (r - c),
        "These are medians: take means": (medians[1] - medians[2]) / (medians[1] - medians[0]),
        "This is a percentage: 1 is all of the loss": 62.5,
        "The losses are exponentiated: take them as they are": float(
            (ABLATED.exp().mean() - RECONSTRUCTED.exp().mean()) / (ABLATED.exp().mean() - CLEAN.exp().mean())
        ),
        "The mean losses are exponentiated: take them as they are": float(
            (torch.tensor(a).exp() - torch.tensor(r).exp()) / (torch.tensor(a).exp() - torch.tensor(c).exp())
        ),
        "This compares sizes of differences: take means first, then differences": float(
            1 - (RECONSTRUCTED - CLEAN).square().sum() / (ABLATED - CLEAN).square().sum()
        ),
    }
    otherwise = "(ablated - reconstructed) / (ablated - clean), each a mean"
    assert abs(found - 0.625) < 1e-4, (
        "mean losses: clean 1.5, ablated 3.5, reconstructed 2.25: the share is "
        f"{found:.3f}, expected 1.25 / 2 = 0.625. {likely(found, mistakes, otherwise)}"
    )


@exercise("loss_recovered", points=1)
def test_losses_are_averaged_before_they_are_divided(student):
    """One token is as easy without the layer as with it: a ratio of its own would be huge, or NaN."""
    clean, ablated = torch.tensor([1.0, 0.5, 2.0, 1.5]), torch.tensor([3.0, 2.5, 2.001, 3.5])
    for last, expected in ((0.2, (6.001 - 0.2) / 6.001), (-0.4, (6.001 + 0.4) / 6.001)):
        reconstructed = clean + torch.tensor([0.0, 0.0, last, 0.0])
        found = expect_number(student.loss_recovered(clean, ablated, reconstructed))
        why = "Average first, then divide once"
        if abs(found - float(((ablated - reconstructed) / (ablated - clean)).mean())) < 1e-3:
            why = f"A ratio for each token explodes where there is nothing to recover. {why}"
        assert abs(found - expected) < 1e-3, (
            f"the mean costs three tokens 2 each, and the fourth next to nothing; on it the reconstruction is off by "
            f"{last:g}: the share is {found:.2f}, expected {expected:.3f}. {why}"
        )
    equal = torch.tensor([3.0, 2.5, 2.0, 3.5])  # the third token has nothing to recover at all
    with hint("One token with nothing to recover is no reason to refuse: only the means are compared"):
        found = student.loss_recovered(clean, equal, clean + torch.tensor([1.0, 0.0, 0.0, 0.5]))
    why = "A ratio for each token has a NaN where there is nothing to recover: average first, then divide once"
    value = float(found) if isinstance(found, (float, int, Tensor)) else float("nan")
    assert abs(value - 0.75) < 1e-3, f"ablation costs 2, 2, 0, 2: the share is {value:.3f}, expected 0.75. {why}"


@exercise("loss_recovered", points=1)
def test_the_recovered_share_may_lie_outside_0_and_1(student, generator):
    """Between the ends and beyond them; the ablation may even help. Losses are spread, and in another order."""
    spread = torch.randn(60, generator=generator)
    spread = spread - spread.mean()
    for low, high in ((1.0, 3.0), (0.4, 0.5), (2.5, 2.0)):
        for share, what in ((0.0, "as bad as the mean"), (1.0, "as good as the network"), (0.9, "good"),
                            (-0.5, "worse than the mean"), (1.1, "better than the network")):  # fmt: skip
            middle = high - share * (high - low)
            with hint("The way may be short, and lead up: only a way of 0 is none"):
                found = student.loss_recovered(
                    low + 0.02 * spread, high - 0.02 * spread, middle + 0.01 * spread.flip(0)
                )
            found = expect_number(found)
            mistakes = {
                "The sign is turned round, or an absolute value is taken": -share,
                "This is what is still lost": 1 - share,
            }
            why = likely(found, mistakes, "0 is the mean's loss, 1 the network's own")
            if share in (-0.5, 1.1) and abs(found - round(found)) < 1e-6:
                why = "It is cut off: what lies below 0 or above 1 must show"
            assert abs(found - share) < 3e-3, (
                f"mean losses: clean {low:g}, ablated {high:g}, and a reconstruction {what}, {middle:.3f}: the share "
                f"is {found:.3f}, expected {share:g}. {why}"
            )


@exercise("loss_recovered", points=1)
def test_nothing_to_recover_is_refused(student):
    clean = torch.tensor([0.25, 1.5, 0.5, 0.75])
    expect_value_error(
        lambda: student.loss_recovered(clean, clean[[1, 0, 3, 2]], clean + 0.5),
        "ablated and clean have the same mean, so there is nothing to recover",
        (),
        "Compare the two means, and raise ValueError if they are equal: a quotient by 0 is no share",
    )


# --- 7.8 board_coverage ------------------------------------------------------------------------------------------

# four latents at eight positions, the last one dead; three properties
LATENTS_TRAIN = torch.tensor(
    [[8, 1, 0, 6, 1, 4, 4, 1], [0.8, 0.7, 0, 0.2, 0.7, 0.8, 0.4, 0.2], [80, 20, 0, 0, 20, 40, 50, 70], [0] * 8]
).T
PROPERTIES_TRAIN = torch.tensor([[1, 1, 0, 0, 1, 1, 0, 1], [1, 0, 0, 1, 0, 0, 1, 0], [1, 1, 0, 1, 1, 0, 0, 0]]).bool().T
LATENTS_TEST = torch.tensor(
    [[11, 6, 4, 1, 0, 0, 1, 40], [0, 0, 0.4, 0.1, 0.5, 0.1, 0.6, 3], [0, 200, 40, 0, 20, 0, 0, 0], [0] * 8]
).T
PROPERTIES_TEST = torch.tensor([[0, 0, 1, 0, 1, 1, 0, 0], [1, 1, 0, 0, 0, 1, 0, 1], [1, 1, 0, 0, 0, 1, 1, 1]]).bool().T
SMALL_SHARES = (0.0, 0.25, 0.5)
COVERAGE = torch.tensor([4 / 6, 6 / 8, 4 / 8])  # of latent 2 above 0, latent 0 above 2, latent 1 above 0.4
TENTHS = tuple(i / 10 for i in range(10))


def f1_of(on: set, true: set, n: int = 0) -> float:
    return 2 * len(on & true) / (len(on) + len(true)) if on or true else 0.0


def accuracy_of(on: set, true: set, n: int) -> float:
    return 1 - len(on ^ true) / n


def slow_coverage(shares=None, *, select=f1_of, score=f1_of, choose="train", report="test", top="own") -> Tensor:
    """Coverage of the small case above, in sets of positions, or what a mistake makes of it."""
    sides = {"train": (LATENTS_TRAIN, PROPERTIES_TRAIN), "test": (LATENTS_TEST, PROPERTIES_TEST)}

    def fires(side: str, latent: int, share: float) -> set:
        values, train = sides[side][0], LATENTS_TRAIN
        most = {
            "own": train[:, latent].max(),
            "test": values[:, latent].max(),
            "all": train.max(),
            "absolute": torch.tensor(1.0),
            "mean": train[:, latent].mean(),
            "weak": train[:, latent].max(),
            "below": train[:, latent].max(),
        }[top]
        above = values[:, latent] > share * most
        if top == "weak":
            above = values[:, latent] >= share * most
        return set((~above if top == "below" else above).nonzero().flatten().tolist())

    def rate(measure, side: str, latent: int, share: float, which: int) -> float:
        true = set(sides[side][1][:, which].nonzero().flatten().tolist())
        return measure(fires(side, latent, share), true, len(sides[side][0]))

    shares = SMALL_SHARES if shares is None else shares
    result, pairs = [], [(latent, share) for share in shares for latent in range(4)]
    for which in range(3):

        def on(side: str, pair: tuple, which: int = which) -> float:
            return rate(select, side, *pair, which)

        if choose in ("train", "test"):
            best = max(pairs, key=lambda pair: on(choose, pair))
        elif choose == "latent on test":
            own = [max(((latent, s) for s in shares), key=lambda pair: on("train", pair)) for latent in range(4)]
            best = max(own, key=lambda pair: on("test", pair))
        elif choose == "threshold on test":
            latent = max(pairs, key=lambda pair: on("train", pair))[0]
            best = max(((latent, share) for share in shares), key=lambda pair: on("test", pair))
        else:  # on both
            best = max(pairs, key=lambda pair: on("train", pair) + on("test", pair))
        result.append(rate(score, report, *best, which))
    return torch.tensor(result)


def ask_coverage(student, *given, n: int, **options) -> Tensor:
    found = student.board_coverage(*given, **options)
    if isinstance(found, Tensor) and found.is_floating_point():
        assert not found.isnan().any(), (
            f"{int(found.isnan().sum())} of {found.numel()} numbers are NaN. 0 / 0 comes from a latent that never "
            "fires, or a property that never holds: such an F1 is 0"
        )
    shape = found.shape if isinstance(found, Tensor) else ()
    assert shape == (n,) or shape != given[0].shape[1:], (
        f"the result has one number for each of {len(found)} latents, expected one for each of {n} properties: take "
        "the best over latents"
    )
    number = isinstance(found, (float, int)) or (isinstance(found, Tensor) and found.ndim == 0)
    assert not number, f"the result is {describe(found)}, expected one number for each of {n} properties: no average"
    expect_tensor(found, "property", (n,))
    low, high = float(found.min()), float(found.max())
    assert low >= 0 and high <= 1 + 1e-5, f"the numbers go from {low:.2f} to {high:.2f}, expected F1, from 0 to 1"
    return found


@exercise("board_coverage")
def test_coverage_has_one_number_for_each_property(student, generator):
    with hint("(latents > thresholds).float() is [position latent], properties.float() is [position property]"):
        for n_train, n_test, n_latent, n_property in ((30, 20, 6, 4), (7, 9, 3, 8), (5, 5, 5, 5)):
            latents = [torch.randn(n, n_latent, generator=generator).relu() for n in (n_train, n_test)]
            properties = [torch.rand(n, n_property, generator=generator) < 0.4 for n in (n_train, n_test)]
            given = latents[0], properties[0], latents[1], properties[1]
            ask_coverage(student, *given, n=n_property)
            ask_coverage(student, *given, n=n_property, shares=(0.2, 0.5))


@exercise("board_coverage", points=2)
def test_coverage_by_hand(student):
    """Two hits, a false alarm and a miss; three, one and one; two, one and three. No two choices are equally good."""
    given = LATENTS_TRAIN, PROPERTIES_TRAIN, LATENTS_TEST, PROPERTIES_TEST
    found = ask_coverage(student, *given, n=3, shares=SMALL_SHARES)
    expected = COVERAGE
    if close(found, expected):
        return

    def precision(on: set, true: set, n: int) -> float:
        return len(on & true) / max(1, len(on))

    def recall(on: set, true: set, n: int) -> float:
        return len(on & true) / max(1, len(true))

    def jaccard(on: set, true: set, n: int) -> float:
        return len(on & true) / max(1, len(on | true))

    def half(on: set, true: set, n: int) -> float:
        return f1_of(on, true) / 2

    chosen = "choose latent and threshold on train, and score on test"
    mistakes = {
        f"Latent and threshold are chosen on test: {chosen}": slow_coverage(choose="test"),
        f"Thresholds are shares of the latent's mean, not of its maximum; or the latent is chosen on test: {chosen}": (
            slow_coverage(choose="latent on test")
        ),
        f"The threshold is chosen on test: {chosen}": slow_coverage(choose="threshold on test"),
        f"Latent and threshold are chosen on train and test together: {chosen}": slow_coverage(choose="both"),
        "This is the F1 on train: return that of the chosen ones on test": slow_coverage(report="train"),
        "This is accuracy: it counts the many positions where neither fires nor holds. Take F1": slow_coverage(
            select=accuracy_of, score=accuracy_of
        ),
        "The choice is made by accuracy: make it by F1": slow_coverage(select=accuracy_of),
        "The score on test is accuracy: take F1": slow_coverage(score=accuracy_of),
        "This is precision: F1 counts misses, too": slow_coverage(select=precision, score=precision),
        "The score on test is precision: take F1": slow_coverage(score=precision),
        "This is recall: F1 counts false alarms, too": slow_coverage(select=recall, score=recall),
        "The score on test is recall: take F1": slow_coverage(score=recall),
        "The choice is made by recall: make it by F1": slow_coverage(select=recall),
        "The choice is made by precision: make it by F1": slow_coverage(select=precision),
        "Hits count once, or errors twice: F1 = 2 TP / (2 TP + FP + FN)": slow_coverage(score=jaccard),
        "The factor 2 above is missing: F1 = 2 TP / (2 TP + FP + FN)": slow_coverage(score=half),
        "Thresholds are shares of the maximum over test positions: take it over train": slow_coverage(top="test"),
        "Thresholds are shares of the largest of all latents: each has its own maximum": slow_coverage(top="all"),
        "Thresholds are the shares themselves: multiply each with the latent's maximum": slow_coverage(top="absolute"),
        "A latent at its threshold fires: it must be above": slow_coverage(top="weak"),
        "This is the best classifier 'below the threshold': take 'above'": slow_coverage(top="below"),
        "Only the first share is tried; or the maximum is that of the test positions, where one is huge: take it over "
        "train": slow_coverage((0.0,)),
        "Only the last share is tried": slow_coverage((0.5,)),
        "All properties have one number, their mean: no average": expected.mean().expand(3),
    }
    otherwise = "For each property: the latent and share of the best F1 on train, and their F1 on test"
    assert close(found, expected), (
        f"four latents, three properties, shares 0, 0.25 and 0.5: {numbers(found)}, expected 4/6, 6/8, 4/8 = "
        f"{numbers(expected)}. {explain(found, mistakes, otherwise)}"
    )


@exercise("board_coverage", points=1)
def test_noise_covers_nothing(student, generator):
    """300 latents of noise: the best on 50 positions looks good there, and is at chance on others. One is planted."""
    n, n_latent, n_property = 50, 300, 12
    latents = [(torch.randn(n, n_latent, generator=generator) - 0.7).relu() for _ in range(2)]
    properties = [torch.rand(n, n_property, generator=generator) < 0.25 for _ in range(2)]
    for values, holds in zip(latents, properties, strict=True):
        values[:, 17] = holds[:, 0] * (1 + torch.rand(n, generator=generator))
    found = ask_coverage(student, latents[0], properties[0], latents[1], properties[1], n=n_property)
    planted, noise = float(found[0]), float(found[1:].mean())
    assert planted > 0.999, (
        f"one latent fires exactly where property 0 holds, in train and test: F1 {planted:.2f}, expected 1. It is the "
        "best on train, so it must be chosen"
    )
    # over 300 seeds: honest .13 to .33; chosen on test, or scored on train, .55 to .64
    assert noise < 0.45, (
        f"300 latents of noise, 50 positions, properties at random: mean F1 {noise:.2f}, expected about 0.25, chance. "
        "Among 300 latents and 10 thresholds one always fits the positions it was chosen on. Choose on train alone, "
        "and return the F1 on test"
    )


@exercise("board_coverage", points=1)
def test_a_rare_property_needs_f1(student, generator):
    """It holds at 8 of 200 positions. One latent finds all, with ten false alarms; two find one, and never err."""
    latents, properties = [], []
    for _ in range(2):
        order = torch.randperm(200, generator=generator)
        values, holds = torch.zeros(200, 5), torch.zeros(200, 2, dtype=torch.bool)
        holds[order[:8], 0] = True
        holds[order[8:100], 1] = True
        values[order[:18], 2] = 3 + torch.rand(18, generator=generator)  # 8 hits, 10 false alarms
        values[order[0], [0, 1]] = 2.0  # 1 hit
        values[order[8:90], 4] = 0.1  # 82 of 92
        latents.append(values)
        properties.append(holds)
    found = ask_coverage(student, latents[0], properties[0], latents[1], properties[1], n=2, shares=(0.0,))
    expected = torch.tensor([16 / 26, 164 / 174])
    mistakes = {
        "This is accuracy: a classifier that never fires is right at 96 % of the positions": torch.tensor(
            [1 - 7 / 200, 1 - 10 / 200]
        ),
        "This is the accuracy of the latent with the best F1: return its F1": torch.tensor(
            [1 - 10 / 200, 1 - 10 / 200]
        ),
        "The choice is made by accuracy: there, a latent that is nearly always silent wins": torch.tensor(
            [2 / 9, 164 / 174]
        ),
        "This is precision, which is 1 for a latent that fires once, at the right position": torch.tensor([1.0, 1.0]),
        "The choice is made by precision, which is 1 for a latent that fires once": torch.tensor([2 / 9, 164 / 174]),
        "This is recall, and sees no false alarm": torch.tensor([1.0, 82 / 92]),
    }
    otherwise = "F1 = 2 TP / (2 TP + FP + FN), in the choice and in the score"
    assert close(found, expected), (
        f"a rare property with 8 hits and 10 false alarms, a frequent one with 82 hits and 10 misses: "
        f"{numbers(found)}, expected 16/26, 164/174 = {numbers(expected)}. {explain(found, mistakes, otherwise)}"
    )


@exercise("board_coverage", points=1)
def test_every_share_of_a_latents_own_maximum_is_tried(student, generator):
    """Latent j is above j tenths of its maximum where property j holds; the latents have very different sizes."""
    sizes = torch.tensor([1.0, 100.0, 0.01, 5.0, 1.0, 1000.0, 0.1, 20.0, 1.0, 3.0])
    latents, properties = [], []
    for n in (300, 200):
        values = 0.001 + 0.998 * torch.rand(n, 10, generator=generator)
        values *= torch.rand(n, 10, generator=generator) < 0.8
        tenths = torch.arange(10) / 10
        values += 0.002 * (values > tenths) - 0.0015 * (values > 0.003) * (values <= tenths)  # none at a threshold
        properties.append(values > tenths)
        latents.append(values)
    latents[0][0], properties[0][0] = 1.0, True
    latents[1][0], properties[1][0] = 4.0, True  # test goes higher than train
    given = latents[0] * sizes, properties[0], latents[1] * sizes, properties[1]
    found = ask_coverage(student, *given, n=10)
    worst = int(found.argmin())
    assert float(found.min()) > 0.999, (
        f"property {worst} holds exactly where latent {worst} is above {worst / 10:g} of its train maximum, "
        f"{float(sizes[worst]):g}: F1 {float(found[worst]):.3f}, expected 1. Try all ten shares, each of the latent's "
        "own maximum over the train positions"
    )
    for share in (0.3, 0.7):
        one = ask_coverage(student, *given, n=10, shares=(share,))
        exact = [j for j, value in enumerate(one.tolist()) if value > 0.999]
        assert exact == [round(10 * share)], (
            f"shares = ({share},): the properties found without error are {exact}, expected only "
            f"{round(10 * share)}. Use the shares that are given, tenths are only the default"
        )


@exercise("board_coverage", points=1)
def test_what_never_happens_covers_nothing(student, generator):
    """Dead latents, and properties that hold nowhere: 0, and no NaN."""
    latents = [torch.rand(40, 6, generator=generator) * (torch.rand(40, 6, generator=generator) < 0.5) for _ in "ab"]
    properties = [torch.rand(40, 5, generator=generator) < 0.5 for _ in "ab"]
    for values in latents:
        values[:, [0, 3]] = 0  # dead
    properties[0][:, 0] = False  # never in train; in test, latents 0 and 1 fire exactly there
    latents[1][:, 0] = latents[1][:, 1] = properties[1][:, 0].float()
    properties[1][:, 1] = False  # never in test
    properties[0][:, 2] = properties[1][:, 2] = False  # never at all
    latents[0][:, 5], latents[1][:, 5] = properties[0][:, 3].float(), 0  # the best on train, dead in test
    properties[1][:, 3] = False
    for values, holds in zip(latents, properties, strict=True):
        values[:, 4] = holds[:, 4].float()
    found = ask_coverage(student, latents[0], properties[0], latents[1], properties[1], n=5)
    reasons = (
        "is never seen in train, so no latent can be chosen for it: where the best F1 on train is 0, nothing is found",
        "never holds in test: there is nothing to find",
        "never holds at all: 0 / 0 counts as 0",
        "never holds in test, and its latent never fires there: 0 / 0 counts as 0",
    )
    for i, why in enumerate(reasons):
        assert float(found[i]) == 0, f"property {i}: {float(found[i]):.3f}, expected 0. It {why}"
    assert float(found[4]) > 0.999, (
        f"one latent fires exactly where the last property holds: {float(found[4]):.3f}, expected 1. Three others are "
        "dead in train or in test, and must not win"
    )
    dead = torch.zeros_like(latents[0])
    found = ask_coverage(student, dead, properties[0], latents[1], properties[1], n=5)
    assert float(found.max()) == 0, (
        f"all latents are dead in train: {numbers(found)}, expected zeros. Nothing fires, so nothing is found there"
    )


# --- 7.9 resampling_probabilities --------------------------------------------------------------------------------

OFFSETS = torch.tensor([[0.6, 0.8, 0.0], [0.0, 0.0, 0.0], [0.4, -1.2, 0.6], [0.0, 0.0, -0.2]])  # lengths 1, 0, 1.4, 0.2
FOURTH_POWERS = torch.tensor([625.0, 0.0, 2401.0, 1.0])


def ask_probabilities(student, acts: Tensor, reconstruction: Tensor, case: str) -> Tensor:
    found = student.resampling_probabilities(acts, reconstruction)
    if isinstance(found, Tensor) and found.is_floating_point():
        n_bad = int((~found.isfinite()).sum())
        assert not n_bad, f"{case}: {n_bad} of {found.numel()} numbers are NaN or infinite, expected probabilities"
        assert found.shape != acts.shape, (
            f"{case}: there is one number for each number of acts, expected one for each vector: a loss is summed over "
            "d_model"
        )
    expect_tensor(found, "batch", (len(acts),))
    return found


def share(weights: Tensor) -> Tensor:
    return weights.double().div(weights.double().sum()).float()


@exercise("resampling_probabilities")
def test_each_input_has_a_resampling_probability(student, generator):
    for shape in ((7, 4), (3, 8), (5, 5), (1, 6)):
        acts, back = torch.randn(2, *shape, generator=generator)
        with hint("Sum the squares over d_model, .sum(dim=-1): one loss for each vector"):
            found = ask_probabilities(student, acts, back, f"acts {shape}")
        total = float(found.sum())
        assert abs(total - 1) < 1e-4 and float(found.min()) >= 0, (
            f"acts {shape}: the probabilities sum to {total:.3f}, the smallest is {float(found.min()):.3f}, expected 0 "
            "or above with sum 1: divide by their sum"
        )


@exercise("resampling_probabilities", points=2)
def test_resampling_probabilities_by_hand(student):
    """Losses 1, 0, 1.96, 0.04, which are 25 : 0 : 49 : 1, so 625 : 0 : 2401 : 1. And distances 1, 2: as 1 : 16."""
    distances, sizes = OFFSETS.norm(dim=1), OFFSETS.abs().sum(dim=1)
    acts = torch.tensor([[1.0, 2.0, 3.0], [-5.0, 0.0, 2.0], [7.0, 7.0, 1.0], [0.5, 0.0, -2.0]])
    pairs = (
        (acts, acts - OFFSETS, distances, FOURTH_POWERS, "distances 1, 0, 1.4, 0.2"),
        (torch.zeros(2, 2), torch.tensor([[0.0, 1.0], [2.0, 0.0]]), torch.tensor([1.0, 2.0]), None, "distances 1, 2"),
    )
    for a, back, lengths, powers, case in pairs:
        found = ask_probabilities(student, a, back, case)
        powers = torch.tensor([1.0, 16.0]) if powers is None else powers
        expected = share(powers)
        sums = sizes if len(a) == 4 else lengths
        mistakes = {
            "The loss is squared twice: this goes with its fourth power, and the distance's eighth": lengths**8,
            "This is proportional to the loss: square it": lengths**2,
            "This is proportional to the distance: the loss is its square, and the loss is squared again": lengths,
            "The loss is cubed: square it": lengths**6,
            "This goes with the third power of the distance: square the squared error": lengths**3,
            "The loss is the sum of absolute errors here: take squared ones": sums**2,
            "Sizes of errors are added up: square them before you sum": sums**4,
            "The errors are squared twice before the sum: sum over d_model, then square": (a - back).pow(4).sum(dim=1),
            "Errors cancel in the sum: square them before you sum": (a - back).sum(dim=1).pow(4),
            "Errors cancel in the sum, which then is squared: square them before you sum": (a - back).sum(dim=1).pow(2),
            "This is the size of the inputs: take their distance from the reconstruction": a.norm(dim=1) ** 4,
            "This is the size of the reconstructions: take their distance from the inputs": back.norm(dim=1) ** 4,
            "Small losses are preferred: dead latents start where the error is large": (powers + 1e-12).reciprocal(),
            "All are equally likely: weigh by the loss squared": torch.ones(len(a)),
            "The input with the largest loss takes all: give each a share": (powers == powers.max()).float(),
        }
        tables = {why: share(weights) for why, weights in mistakes.items()}
        tables |= {
            "This is a softmax: divide by the sum instead": (lengths**2).softmax(dim=0),
            "This is a softmax of squared losses: divide by the sum instead": (lengths**4).softmax(dim=0),
            "These are the weights: divide by their sum": lengths**4,
            "They are divided by the largest: divide by the sum": powers / powers.max(),
            "They are divided by the length of their vector, so that their squares sum to 1: divide by the sum": powers
            / powers.norm(),
            "The loss is squared after it was divided by the sum: divide at the end": share(lengths**2) ** 2,
            "The loss is squared, but divided by the sum of losses: divide by the sum of squares": lengths**4
            / (lengths**2).sum(),
        }
        ratio = " : ".join(f"{value:g}" for value in powers.tolist())
        otherwise = "Probability goes with loss², and the loss is the squared error, summed over d_model"
        assert close(found, expected, atol=2e-5), (
            f"{case}: {numbers(found)}, expected {ratio}, which is {numbers(expected)}. "
            f"{explain(found, tables, otherwise, atol=2e-5)}"
        )


@exercise("resampling_probabilities", points=1)
def test_an_outlier_does_not_take_all(student, generator):
    """The control: 99 inputs at distance 1 and one at 3 should keep most of the draws for the 99: 99 to 81."""
    directions = torch.randn(100, 6, generator=generator)
    directions = directions / directions.norm(dim=1, keepdim=True)
    order = torch.randperm(100, generator=generator)
    lengths = torch.ones(100)
    lengths[order[0]] = 3.0
    acts = 2 * torch.randn(100, 6, generator=generator)
    found = ask_probabilities(student, acts, acts + directions * lengths[:, None], "one outlier")
    taken, equal = float(found[order[0]]), found[order[1:]]
    mistakes = {
        "The loss is squared once too often: the colleague's mistake is still there": 3**8 / (3**8 + 99),
        "This is proportional to the loss: square it": 9 / 108,
        "This is proportional to the distance": 3 / 102,
        "It does not depend on the loss": 0.01,
        "The loss is cubed": 3**6 / (3**6 + 99),
    }
    otherwise = "Probability goes with the fourth power of the distance, 3⁴ = 81"
    assert abs(taken - 81 / 180) < 1e-3, (
        f"99 inputs at distance 1, one at 3: the outlier gets {taken:.3f}, expected 81 / 180 = 0.45. "
        f"{likely(taken, mistakes, otherwise)}"
    )
    spread = float(equal.max() - equal.min())
    assert spread < 1e-4, (
        f"99 inputs at the same distance get from {float(equal.min()):.4f} to {float(equal.max()):.4f}, expected all "
        "the same. Only the distance counts, and not its direction"
    )


@exercise("resampling_probabilities", points=1)
def test_the_scale_of_errors_does_not_matter(student):
    """Distances 1 : 2 : 3 at any scale: float32 ends at 3e38, and what is below 1e-45 is 0."""
    expected = share(torch.tensor([1.0, 16.0, 81.0]))
    directions = torch.tensor([[0.0, 1.0], [-2.0, 0.0], [0.0, 3.0]])
    for scale in (1.0, 1e-3, 1e3, 1e-13, 1e12):
        case = f"distances {scale:g}, {2 * scale:g}, {3 * scale:g}"
        cure = "Only the ratios of the distances count"
        if not 1e-6 < scale < 1e6:
            what = "overflows" if scale > 1 else "underflows to 0"
            cure = f"A squared loss {what} in float32: divide the losses by the largest before you square them"
        found = student.resampling_probabilities(scale * directions, torch.zeros(3, 2))
        bad = not isinstance(found, Tensor) or not found.isfinite().all()
        assert not bad, f"{case}: NaN or infinite numbers, expected 1 : 16 : 81. {cure}"
        expect_tensor(found, "batch", (3,))
        if close(found, torch.ones(3) / 3):
            cure = f"{cure}. Only if all are really 0, all are equally likely"
        assert close(found, expected, atol=1e-3), (
            f"{case}: {numbers(found)}, expected 1 : 16 : 81, which is {numbers(expected)}. {cure}"
        )


@exercise("resampling_probabilities", points=1)
def test_a_perfect_input_is_never_drawn(student, generator):
    """Zero where the loss is zero, in the order of the batch; uniform where every loss is zero."""
    acts = torch.randn(6, 4, generator=generator)
    lengths = torch.tensor([0.0, 1.0, 0.0, 2.0, 1.0, 0.0])[torch.randperm(6, generator=generator)]
    offsets = torch.eye(4)[torch.arange(6) % 4] * lengths[:, None]
    found = ask_probabilities(student, acts + offsets, acts, "three perfect inputs of six")
    drawn = float(found[lengths == 0].max())
    assert drawn < 1e-6, (
        f"three of six reconstructions are perfect, and one of them gets {drawn:.4f}, expected 0. Where nothing is "
        "missing, nothing is to be learnt: add no constant, and keep the order of the batch"
    )
    assert close(found, share(lengths**4), atol=1e-3), (
        f"distances {numbers(lengths)}: {numbers(found)}, expected {numbers(share(lengths**4))}. Each input's "
        "probability stands at its own place"
    )
    for n in (3, 5):
        perfect = ask_probabilities(student, acts[:n], acts[:n].clone(), "every reconstruction is perfect")
        assert close(perfect, torch.full((n,), 1 / n)), (
            f"{n} reconstructions, all perfect: {numbers(perfect)}, expected {1 / n:.3f} for each. 0 / 0 is no "
            "probability: where every loss is 0, all inputs are equally likely"
        )


# --- 7.10 jumprelu -----------------------------------------------------------------------------------------------

PRE = torch.tensor([[0.5, 3.0, -2.0], [1.5, -0.5, 0.625], [0.75, 2.0, 4.0], [-3.0, 1.0, 0.125]])
THRESHOLDS = torch.tensor([0.5, 1.5, 0.125])


@exercise("jumprelu")
def test_jumprelu_keeps_the_shape(student, generator):
    with hint("threshold is [d_sae], one for each column of pre [batch d_sae]"):
        for shape in ((4, 7), (6, 2), (5, 5), (1, 3)):
            pre, threshold = torch.randn(shape, generator=generator), torch.rand(shape[1], generator=generator)
            expect_tensor(student.jumprelu(pre, threshold), "batch d_sae", shape)


@exercise("jumprelu", points=2)
def test_jumprelu_by_hand(student):
    found = student.jumprelu(PRE, THRESHOLDS)
    expect_tensor(found, "batch d_sae", (4, 3))
    expected = torch.tensor([[0.0, 3.0, 0.0], [1.5, 0.0, 0.625], [0.75, 2.0, 4.0], [0.0, 0.0, 0.0]])
    pre, above = PRE, PRE > THRESHOLDS
    mistakes = {
        "The threshold is subtracted from what it lets through: pre stays as it is": (PRE - THRESHOLDS).relu(),
        "The threshold is added to what it lets through": torch.where(above, PRE + THRESHOLDS, 0),
        "This is relu: nothing is compared with the threshold": PRE.relu(),
        "A latent at its threshold fires: it must be above": PRE * (PRE >= THRESHOLDS),
        "Sizes are compared with the threshold: far below 0 is below the threshold, too": PRE
        * (PRE.abs() > THRESHOLDS),
        "This is soft thresholding, on both sides: pre stays as it is, and what is below 0 becomes 0": PRE.sign()
        * (PRE.abs() - THRESHOLDS).relu(),
        "All latents have one threshold, the mean: each has its own": pre * (pre > THRESHOLDS.mean()),
        "All latents have one threshold, the first one's: each has its own": pre * (pre > THRESHOLDS[0]),
        "All latents have one threshold, the largest: each has its own": pre * (pre > THRESHOLDS.max()),
        "All latents have one threshold, the smallest: each has its own": pre * (pre > THRESHOLDS.min()),
        "This says whether it fires: keep how much": above.float(),
        "What lies below the threshold is kept, and the rest is 0": PRE * ~above,
        "Below the threshold stands the threshold: it must be 0": torch.maximum(PRE, THRESHOLDS),
        "What fires has the size of its threshold: pre stays as it is": above * THRESHOLDS,
        "Nothing is cut: what is not above its threshold becomes 0": PRE,
        "What lies between 0 and the threshold is cut, but what is below 0 passes": torch.where(
            (PRE > 0) & ~above, 0, PRE
        ),
        "The threshold's sign is turned round": torch.where(PRE > -THRESHOLDS, PRE, 0),
        "The thresholds are exponentiated: take them as they are": torch.where(pre > THRESHOLDS.exp(), pre, 0),
        "The step is smooth: it is a jump": PRE * (PRE - THRESHOLDS).sigmoid(),
        "pre is squared": torch.where(above, PRE * PRE, 0),
    }
    if not close(found, expected):
        row, column = divmod(int((found - expected).abs().argmax()), 3)
        raise AssertionError(
            f"latent {column} with threshold {THRESHOLDS[column]:g} and pre {PRE[row, column]:g} becomes "
            f"{found[row, column]:g}, expected {expected[row, column]:g}. "
            f"{explain(found, mistakes, 'pre where pre > threshold, and 0 elsewhere')}"
        )


@exercise("jumprelu", points=1)
def test_each_latent_has_its_own_jumprelu_threshold(student, generator):
    """As many latents as vectors, so that a threshold on the wrong axis goes unnoticed by the shapes."""
    for n in (6, 3):
        pre = 0.2 + 2 * torch.rand(n, n, generator=generator)
        threshold = torch.where(torch.arange(n) % 2 == 1, 5.0, 0.1)
        found = student.jumprelu(pre, threshold)
        expect_tensor(found, "batch d_sae", (n, n))
        silent, open_ = (found == 0), (found == pre)
        by_row = bool(silent[1::2].all() and open_[0::2].all())
        why = "Each column of pre has its own threshold"
        if by_row:
            why = "The thresholds run along the batch: each belongs to a latent, which is a column"
        assert bool(silent[:, 1::2].all() and open_[:, 0::2].all()), (
            f"{n} vectors of {n} latents; every second latent has a threshold above everything, the others one below: "
            f"latents that fire at least once: {found.any(dim=0).nonzero().flatten().tolist()}, expected "
            f"{list(range(0, n, 2))}, each with pre as it is. {why}"
        )


@exercise("jumprelu", points=1)
def test_jumprelu_jumps(student):
    """Just above a threshold stands the threshold's size, at it and below stands 0."""
    for size in (0.5, 2.0, 16.0):
        threshold = torch.tensor([size, size / 2])
        steps = torch.tensor([0.75, 1.0, 1.25, 4.0])
        found = student.jumprelu(steps[:, None] * threshold, threshold)
        expect_tensor(found, "batch d_sae", (4, 2))
        expected = torch.tensor([0.0, 0.0, 1.25, 4.0])[:, None] * threshold
        why = "pre where pre is strictly above the threshold, and 0 elsewhere"
        if float(found[1].abs().max()) > 0:
            why = "At the threshold itself it does not fire yet"
        elif close(found[2:], (steps[2:, None] - 1) * threshold):
            why = "What fires is not shrunk: that is what a threshold has over an L1 penalty"
        elif close(found[0], 0.75 * threshold):
            why = "Compare with the threshold, and not with 0"
        worst = int((found - expected).abs().amax(dim=0).argmax())
        assert close(found, expected), (
            f"latent {worst} of two, threshold {float(threshold[worst]):g}, pre at 0.75, 1, 1.25 and 4 times of it: "
            f"{numbers(found[:, worst])}, expected {numbers(expected[:, worst])}. {why}"
        )


# --- 7.11 l0_threshold_gradient ----------------------------------------------------------------------------------


def bell(x: float) -> float:
    """Density of a standard normal variable."""
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def ask_gradient(student, pre: Tensor, threshold: Tensor, window: float) -> Tensor:
    with hint("pre is [batch d_sae], threshold [d_sae]; average over the batch, .mean(dim=0)"):
        found = student.l0_threshold_gradient(pre, threshold, window)
    shape = tuple(found.shape) if isinstance(found, Tensor) else ()
    assert shape != tuple(pre.shape), (
        "the result has one number for each number of pre: it is the gradient by the thresholds, so average over the "
        "batch"
    )
    expect_tensor(found, "d_sae", (pre.shape[1],))
    return found


@exercise("l0_threshold_gradient")
def test_each_threshold_has_a_gradient(student, generator):
    for shape in ((9, 4), (3, 6), (5, 5)):
        threshold = torch.rand(shape[1], generator=generator)
        ask_gradient(student, torch.randn(shape, generator=generator), threshold, 0.5)


@exercise("l0_threshold_gradient", points=2)
def test_counts_what_lies_in_the_window(student):
    """Five vectors, thresholds 1 and 3, a window from 0.2 below to 0.2 above: three of five, and one."""
    pre = torch.tensor([[1.1, 2.7], [0.9, 3.3], [1.15, 3.1], [-1.0, 5.0], [0.7, -3.0]])
    threshold, window = torch.tensor([1.0, 3.0]), 0.4
    found = ask_gradient(student, pre, threshold, window)
    expected = torch.tensor([-1.5, -0.5])  # -(1 / 0.4) · 3/5 and 1/5
    shares = {
        "in": [3 / 5, 1 / 5], "wide": [4 / 5, 3 / 5], "above": [2 / 5, 1 / 5], "below": [1 / 5, 0.0],
        "fires": [2 / 5, 3 / 5], "out": [2 / 5, 4 / 5], "sizes": [4 / 5, 2 / 5],
    }  # fmt: skip
    s = {name: torch.tensor(values) for name, values in shares.items()}
    mistakes = {
        "The sign is turned round: a higher threshold lets fewer latents through": -expected,
        "The factor 1 / window is missing: it is a share per unit of window": -s["in"],
        "It is multiplied with the window: divide by it": -s["in"] * window,
        "It is divided by half the window: the window is as wide as it is": -s["in"] / 0.2,
        "The window is too wide: its half lies on each side of the threshold": -s["wide"] / window,
        "The window is twice as wide as it should be, and the factor as well: half of it lies on each side": -s["wide"]
        / (2 * window),
        "These are sums over the batch: take the mean": -s["in"] * 5 / window,
        "Only what lies above the threshold is counted: the window has two sides": -s["above"] / window,
        "Only what lies below the threshold is counted: the window has two sides": -s["below"] / window,
        "These are the shares that fire: count what lies near the threshold": -s["fires"] / window,
        "What lies outside the window is counted": -s["out"] / window,
        "It is averaged over the latents as well: each threshold has its own": (-s["in"] / window).mean().expand(2),
        "It is divided by the number of all entries: each threshold has its own mean over the batch": -s["in"]
        / (2 * window),
        "These are shares that fire, not a gradient": s["fires"],
        "The sign is turned round, and the factor 1 / window is missing": s["in"],
        "The true gradient is 0 almost everywhere, and teaches nothing: estimate it with the window": torch.zeros(2),
        "It is divided by the window's square": -s["in"] / window**2,
        "The thresholds are multiplied in: that is another gradient, of what is reconstructed": -s["in"]
        / window
        * threshold,
    }
    otherwise = "-(1 / window) · share of the batch with |pre - threshold| < window / 2"
    assert close(found, expected), (
        f"five vectors, thresholds 1 and 3, window 0.4: {numbers(found)}, expected -(1 / 0.4) · 3/5 and 1/5, "
        f"{numbers(expected)}. {explain(found, mistakes, otherwise)}"
    )
    wide = ask_gradient(student, pre, threshold, 3.0)
    expected = torch.tensor([-4 / 15, -3 / 15])  # 1.5 to either side: four of five, three of five
    mistakes = {
        "The numbers within 0.2 are counted for any window: use its width": -s["in"] / 3,
    }
    assert close(wide, expected), (
        f"the same with window 3: {numbers(wide)}, expected -(1 / 3) · 4/5 and 3/5, {numbers(expected)}. "
        f"{explain(wide, mistakes, otherwise)}"
    )


@exercise("l0_threshold_gradient", points=1)
def test_it_estimates_the_density_at_the_threshold(student, generator):
    """Of 200,000 standard normal numbers, P(pre > θ) falls by φ(θ) for each unit of θ."""
    threshold = torch.tensor([0.5, 1.0, 2.0])
    pre = torch.randn(200_000, 3, generator=generator)
    expected = torch.tensor([-bell(0.5), -bell(1.0), -bell(2.0)])
    for window, n in ((0.2, 200_000), (0.5, 50_000)):
        found = ask_gradient(student, pre[:n], threshold, window)
        # five standard errors of a share in a window are .015 at most, the curvature in the wider window .004
        away = float((found - expected).abs().max())
        mistakes = {
            "The sign is turned round": -expected,
            "The factor 1 / window is missing": expected * window,
            "It is divided by half the window, or the window lies twice": 2 * expected,
            "Half of the window is missing, or the factor is too small": expected / 2,
            "This is a sum over the batch: take the mean": expected * n,
        }
        otherwise = "A share in the window, per unit of window, is the density at the threshold"
        assert away < 0.02, (
            f"{n:,} standard normal numbers, thresholds 0.5, 1, 2, window {window:g}: {numbers(found)}, expected "
            f"about -φ(θ), {numbers(expected)}. {explain(found, mistakes, otherwise, atol=0.02)}"
        )


@exercise("l0_threshold_gradient", points=1)
def test_it_is_what_moving_the_threshold_would_do(student, generator):
    """Count at both edges of the window: the slope between them is the same number, latent by latent."""
    for shape, window in (((300, 5), 0.3), ((40, 40), 1.0), ((25, 3), 2.0)):
        pre = torch.randn(shape, generator=generator)
        threshold = 0.1 + torch.rand(shape[1], generator=generator)  # the window reaches below 0, too
        found = ask_gradient(student, pre, threshold, window)
        slope = []
        for latent in range(shape[1]):
            column = pre[:, latent].tolist()
            edges = [float(threshold[latent]) + side * window / 2 for side in (-1, 1)]
            low, high = (sum(value > edge for value in column) / len(column) for edge in edges)
            slope.append((high - low) / window)
        expected = torch.tensor(slope)
        worst = int((found - expected).abs().argmax())
        why = "Each threshold is compared with its own column of pre, whatever the sign of pre"
        if close(found, -expected):
            why = "The sign is turned round: a higher threshold lets fewer latents through"
        assert close(found, expected, atol=1e-3), (
            f"pre {shape}, window {window:g}: the gradient of latent {worst} is {float(found[worst]):.3f}, expected "
            f"{slope[worst]:.3f}, the mean L0 at the upper edge of the window minus that at the lower, per unit. {why}"
        )
