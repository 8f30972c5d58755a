"""The checks of chapter 05. They run live in the notebook, in CI on the solutions, and on submissions."""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from utils import facts
from utils.activations import cache_resid_post
from utils.course.expect import close, describe, exercise, expect_number, expect_tensor, explain, hint, likely, off
from utils.course.student import value_and_grad
from utils.metrics import roc_auc
from utils.models import TransformerBridge, load_model, model_config, model_tensors, rebuild_model
from utils.tokens import tokenize

MODEL = "facts_gpt_match"  # where any network of the chapter would do


def expect_pair(result: object, names: tuple[str, str]) -> tuple[object, object]:
    """Fail unless a result is two values in a tuple or list."""
    assert isinstance(result, (tuple, list)) and len(result) == 2, (
        f"the result is {describe(result)}, expected two values: return {names[0]}, {names[1]}"
    )
    return tuple(result)


def at_right_angles(n: int, d_model: int, generator: torch.Generator) -> Tensor:
    """Random directions of length 1 at right angles to each other [n d_model]."""
    return torch.linalg.qr(torch.randn(d_model, n, generator=generator))[0].T


# --- 5.1 statement_acts ------------------------------------------------------------------------------------------


def write_texts(seed: int, n: int = 12) -> list[str]:
    """Statements of all topics, of 6 to 8 tokens with <bos>, in random order; the first is the shortest."""
    rng = random.Random(seed)
    texts = []
    for i in range(n):
        topic = facts.TOPICS[(i + seed) % len(facts.TOPICS)]
        subject = rng.choice(facts.subjects(topic))
        texts.append(facts.write_statement(topic, subject, rng.random() < 0.5, rng.random() < 0.5, rng).text)
    rng.shuffle(texts)
    shortest = min(range(n), key=lambda i: len(texts[i].split()))
    texts[0], texts[shortest] = texts[shortest], texts[0]
    return texts


def streams_alone(model: TransformerBridge, texts: Sequence[str], layers: Sequence[int | str]) -> list[Tensor]:
    """The stream of each statement, run by itself and so without padding: [layer pos d_model]."""
    each = [tokenize(model, [text])[0] for text in texts]
    return [cache_resid_post(model, tokens, torch.ones_like(tokens), layers)[:, 0] for tokens in each]


def ask_acts(student, model: TransformerBridge, texts: list[str], layers: list[int | str], position: int) -> Tensor:
    with hint("Two index tensors of one length, as in acts[:, rows, where], take one position of each row"):
        found = student.statement_acts(model, texts, layers, position)
    if isinstance(found, Tensor) and found.ndim == 4:
        raise AssertionError(
            f"the result has shape {tuple(found.shape)}, expected [layer statement d_model]: choose one token of each "
            "statement"
        )
    expect_tensor(found, "layer statement d_model", (len(layers), len(texts), model.cfg.d_model))
    return found


@exercise("statement_acts")
def test_returns_one_vector_for_each_statement(student, seed):
    model, texts = load_model(MODEL), write_texts(seed)
    for layers, n, position in (([0, 1, 2, 3], 12, -2), ([2], 5, -1), ([3, 0], 1, -3)):
        ask_acts(student, model, texts[:n], layers, position)


@exercise("statement_acts", points=2)
def test_counts_from_the_end_of_each_statement(student, seed):
    """Against statements that are run one by one, without padding."""
    model, texts, layers = load_model(MODEL), write_texts(seed), [1, 3]
    streams = streams_alone(model, texts, layers)
    lengths = [stream.shape[1] for stream in streams]
    tokens, mask = tokenize(model, texts)
    padded = cache_resid_post(model, tokens, mask, layers)
    without_bos = cache_resid_post(model, tokens[:, 1:], mask[:, 1:], layers)
    rows, n_pos = torch.arange(len(texts)), tokens.shape[1]

    def at(where: Iterable[int]) -> Tensor:
        return padded[:, rows, torch.tensor([w % n_pos for w in where])]

    for position, place in ((-5, "three words before the object"), (-1, "the full stop"), (-2, "the object")):
        found = ask_acts(student, model, texts, layers, position)
        expected = torch.stack([stream[:, position] for stream in streams], dim=1)
        lengths_first = [lengths[0] + position] * len(texts)
        mistakes = {
            "The rows are padded on the right: count from the end of each statement's own tokens, which "
            "attention_mask.sum(dim=1) gives": padded[:, :, position],
            "That is the position in the first statement for all: every statement has its own length": at(
                lengths_first
            ),
            "It is counted from the start: a negative position counts from the end": padded[:, :, -position],
            "It is counted from the start: count from the end of each statement": padded[:, :, -position - 1],
            "That is one token too early: -1 is the last token, at index length - 1, and <bos> counts": at(
                n + position - 1 for n in lengths
            ),
            "That is one token too late: -1 is the last token, at index length - 1": at(
                n + position + 1 for n in lengths
            ),
            "This is the full stop, whatever `position` is": at(n - 1 for n in lengths),
            "This is the object, whatever `position` is": at(n - 2 for n in lengths),
            "This is a mean over the tokens up to this one: take it alone": torch.stack(
                [stream[:, : position + 1 or None].mean(dim=1) for stream in streams], dim=1
            ),
            "The mean of the statements is missing: return the stream as it is, in model units": expected
            - expected.mean(dim=1, keepdim=True),
            "The vectors are scaled to length 1: return the stream as it is, in model units": normalize(
                expected, dim=-1
            ),
            "This is a mean over the tokens: take one of them": torch.stack(
                [stream.mean(dim=1) for stream in streams], dim=1
            ),
            "This is a mean over the tokens, padding too: take one token": padded.mean(dim=2),
            "This is the first token, <bos>": padded[:, :, 0],
            "<bos> is missing: keep what tokenize puts before each statement": without_bos[
                :, rows, torch.tensor([n + position - 1 for n in lengths])
            ],
        }
        shortest, longest = min(lengths), max(lengths)
        wrong = (found - expected).abs().amax(dim=(0, 2)) > 1e-3
        some = "" if wrong.all() else f" {int(wrong.sum())} of {len(texts)} statements are wrong."
        otherwise = "index is length + position, the length counted without padding"
        assert close(found, expected, atol=1e-3), (
            f"{len(texts)} statements of {shortest} to {longest} tokens, position {position}, {place}: these are not "
            f"the vectors of statements that are run one by one.{some} {explain(found, mistakes, otherwise)}"
        )


@exercise("statement_acts", points=1)
def test_layers_come_as_they_are_asked_for(student, seed):
    model, texts = load_model(MODEL), write_texts(seed, 6)
    layers = [3, "embed", 1, 3]
    found = ask_acts(student, model, texts, layers, -2)
    names = ["embed", 0, 1, 2, 3]
    by_name = {
        name: torch.stack(vectors)
        for name, *vectors in zip(names, *(s[:, -2] for s in streams_alone(model, texts, names)), strict=True)
    }
    for row, layer in enumerate(layers):
        if close(found[row], by_name[layer], atol=1e-3):
            continue
        looks = [f"layer {name!r}" for name, acts in by_name.items() if close(found[row], acts, atol=1e-3)]
        got = f"this is {looks[0]}" if looks else "this is none of the layers at the object"
        raise AssertionError(
            f"layers {layers}: row {row} should be layer {layer!r}, but {got}. Hand `layers` to cache_resid_post as it "
            "is: it keeps their order, and layer L is the stream after block L"
        )


@exercise("statement_acts", points=1)
def test_a_statement_has_the_same_vector_in_any_company(student, seed):
    model, texts = load_model(MODEL), write_texts(seed)
    together = ask_acts(student, model, texts, [2], -2)
    order = random.Random(seed).sample(range(len(texts)), len(texts))
    shuffled = ask_acts(student, model, [texts[i] for i in order], [2], -2)
    alone = torch.cat([ask_acts(student, model, [text], [2], -2) for text in texts], dim=1)
    away = float((shuffled - together[:, order]).abs().max())
    assert away < 1e-3, (
        f"the same statements in another order get other vectors, up to {away:.2f} apart. Row i belongs to texts[i]: "
        "do not sort them, and choose each one's own token"
    )
    away = float((alone - together).abs().max())
    assert away < 1e-3, (
        f"a statement gets another vector alone than among longer ones, up to {away:.2f} apart, expected the same. "
        "Padding must not move the position"
    )


@exercise("statement_acts", points=1)
def test_what_comes_later_does_not_reach_an_earlier_token(student, seed):
    """The network reads from left to right: another object changes the vectors from the object on."""
    model, rng = load_model(MODEL), random.Random(seed)
    cities = rng.sample(facts.subjects("cities"), 8)
    right = facts.load_facts()["cities"]
    here = [f"{city} is in {right[city]} ." for city in cities]
    there = [f"{city} is in {rng.choice(facts.objects('cities', city, match=False))} ." for city in cities]
    for position, differs in ((-3, False), (-4, False), (-2, True), (-1, True)):
        first, second = (ask_acts(student, model, texts, [3], position)[0] for texts in (here, there))
        moved = (first - second).abs().amax(dim=1)  # [statement]
        if differs:
            assert float(moved.min()) > 1e-3, (
                f"position {position}: with another object the vector of a statement stays the same, expected a change "
                "from the object on. Is it read before the object?"
            )
        else:
            assert float(moved.max()) < 1e-3, (
                f"position {position}, before the object: with another object the vector moves by up to "
                f"{float(moved.max()):.2f}, expected not at all. Is the object's token, or the full stop, mixed in?"
            )


@exercise("statement_acts", points=1)
def test_the_embedding_is_that_of_the_word(student, seed):
    """A closed form: what enters the first block is the word's embedding plus that of its place."""
    model, texts = load_model(MODEL), write_texts(seed)
    vocabulary = model.tokenizer.get_vocab()
    gpt2 = model.original_model.transformer
    for position in (-2, -1):
        found = ask_acts(student, model, texts, ["embed"], position)[0]
        words = [text.split() for text in texts]
        ids = torch.tensor([vocabulary[w[position]] for w in words])
        places = torch.tensor([len(w) + 1 + position for w in words])  # <bos> stands before the words
        expected = gpt2.wte.weight[ids] + gpt2.wpe.weight[places]
        mistakes = {
            "The word is right and its place is not: <bos> comes first": gpt2.wte.weight[ids]
            + gpt2.wpe.weight[places - 1],
            'This is layer 0, after the first block: "embed" is what enters it': ask_layer_0(model, texts, position),
        }
        otherwise = 'Is "embed" handed on, and the position that of the word?'
        assert close(found, expected, atol=1e-3), (
            f'layer "embed", position {position}: the vectors are not the embeddings of the words '
            f"{', '.join(w[position] for w in words[:3])} … and their places. {explain(found, mistakes, otherwise)}"
        )


def ask_layer_0(model: TransformerBridge, texts: list[str], position: int) -> Tensor:
    return torch.stack([stream[0, position] for stream in streams_alone(model, texts, [0])])


# --- 5.2 principal_components ------------------------------------------------------------------------------------


def ask_components(student, acts: Tensor, n: int) -> tuple[Tensor, Tensor]:
    with hint("torch.linalg.svd(..., full_matrices=False) gives U, S, Vh: the rows of Vh are the directions"):
        result = student.principal_components(acts, n)
    components, shares = expect_pair(result, ("components", "shares"))
    if isinstance(components, Tensor) and isinstance(shares, Tensor) and (components.ndim, shares.ndim) == (1, 2):
        raise AssertionError("the two results are exchanged: return components [component d_model], then shares")
    expect_tensor(components, "component d_model", (n, acts.shape[1]), name="components")
    expect_tensor(shares, "component", (n,), name="shares")
    return components, shares


def plant_variances(variances: Sequence[float], n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Acts whose variances along some directions, all others being empty, are exactly these; a large offset.

    Returns acts [statement d_model] and the directions [component d_model].
    """
    k, d_model = len(variances), len(variances) + 3
    scores = torch.randn(n, k, generator=generator)
    scores = torch.linalg.qr(scores - scores.mean(dim=0))[0] * n**0.5  # variance 1, no correlation
    directions = at_right_angles(k, d_model, generator)
    offset = 20 * torch.randn(d_model, generator=generator)
    return (scores * torch.tensor(variances).sqrt()) @ directions + offset, directions


@exercise("principal_components")
def test_returns_directions_and_shares(student, generator):
    for n_statements, d_model, n in ((40, 6, 2), (7, 20, 3), (30, 5, 5)):
        ask_components(student, torch.randn(n_statements, d_model, generator=generator) + 3, n)


@exercise("principal_components", points=2)
def test_finds_planted_directions(student, generator):
    """Four directions at right angles with variances 9, 4, 2 and 1, far away from 0; their signs are free."""
    acts, directions = plant_variances([9.0, 4.0, 2.0, 1.0], 60, generator)
    components, _ = ask_components(student, acts, 3)
    found = cosine_similarity(components[:, None], directions[None], dim=-1).abs()  # [found planted]
    if float(found.diagonal().min()) > 0.999:
        return
    away = normalize(acts.mean(dim=0), dim=0)
    units = torch.linalg.svd((acts - acts.mean(dim=0)) / acts.std(dim=0), full_matrices=False)[2]
    scores = torch.linalg.svd(acts - acts.mean(dim=0), full_matrices=False)[2][:, :3].T
    why = "Centre the acts, take the SVD, and keep the first rows of Vh"
    if float((components[0] @ away).abs() / components[0].norm()) > 0.95:
        why = "The first one points from 0 to the mean: subtract the mean of the statements before the SVD"
    elif float(found.amax(dim=1).min()) > 0.999 and sorted(found.argmax(dim=1).tolist()) == [0, 1, 2]:
        why = "The directions are right, and their order is not: the largest variance comes first"
    elif float(found[:, 0].max()) < 0.1:
        why = "The order is ascending, or the largest is missing: the largest variance comes first"
    elif close(components.abs(), units[:3].abs(), atol=1e-3):
        why = "Each dimension was divided by its spread: keep the model's units, what varies more counts more"
    elif close(components.abs(), scores.abs(), atol=1e-3):
        why = "These are columns of Vh: the directions are its rows"
    rounded = [[round(x, 2) for x in row] for row in found.tolist()]
    raise AssertionError(
        "planted directions with variances 9, 4, 2, 1: the cosines of your three with them are, signs left out, "
        f"{rounded}, expected 1 for the first with the first, and so on. {why}"
    )


@exercise("principal_components", points=2)
def test_shares_are_of_the_whole_variance(student, generator):
    variances = [9.0, 4.0, 2.0, 1.0]
    acts, _ = plant_variances(variances, 50, generator)
    exact, roots = torch.tensor(variances), torch.tensor(variances).sqrt()
    raw = torch.linalg.svdvals(acts)
    for n in (2, 1, 4):
        _, shares = ask_components(student, acts, n)
        expected = exact[:n] / 16
        mistakes = {
            "The singular values are not squared: variance is their square": roots[:n] / roots.sum(),
            "The singular values were squared after they had been divided by their sum": (roots[:n] / roots.sum()) ** 2,
            "These are shares of the components that you keep: divide by the sum over all of them": exact[:n]
            / exact[:n].sum(),
            "These are shares of the kept singular values: square them, and divide by the sum over all": roots[:n]
            / roots[:n].sum(),
            "The acts are not centred: the first direction explains where the mean is": raw[:n].square()
            / raw.square().sum(),
            "These are variances: divide them by the total": exact[:n],
            "These are variances: divide them by the total (n - 1 or n does not matter)": exact[:n] * 50 / 49,
            "These are singular values: square them, and divide by the total": roots[:n] * 50**0.5,
            "These are squares of singular values: divide by their sum": exact[:n] * 50,
            "These are sums up to each component: give each its own share": expected.cumsum(dim=0),
            "The order is ascending: the largest comes first": exact.flip(0)[:n] / 16,
            "These are shares of the largest: divide by the sum": exact[:n] / 9,
            "The total is divided by the number of dimensions: add the variances of all of them": exact[:n] / 16 * 7,
        }
        otherwise = "Squares of the first n singular values, divided by the sum of the squares of all"
        assert close(shares, expected, atol=2e-4), (
            f"variances 9, 4, 2, 1, n = {n}: shares are {[round(x, 3) for x in shares.tolist()]}, expected "
            f"{[round(x, 3) for x in expected.tolist()]}. {explain(shares, mistakes, otherwise, atol=2e-3)}"
        )


@exercise("principal_components", points=1)
def test_directions_have_length_one_and_right_angles(student, generator):
    """Also where there are fewer statements than dimensions."""
    for n_statements, d_model in ((50, 8), (6, 30)):
        components, _ = ask_components(student, 5 * torch.randn(n_statements, d_model, generator=generator), 4)
        lengths = components.norm(dim=1)
        assert close(lengths, torch.ones(4), atol=1e-3), (
            f"the directions have lengths {[round(x, 2) for x in lengths.tolist()]}, expected 1. Their size says "
            "nothing: it is in the shares. The rows of Vh have length 1 as they are"
        )
        angles = (components @ components.T - torch.eye(4)).abs().max()
        assert float(angles) < 1e-3, (
            f"two of your directions have cosine {float(angles):.2f}, expected 0: they stand at right angles"
        )


@exercise("principal_components", points=1)
def test_where_the_cloud_lies_and_how_it_is_turned_do_not_matter(student, generator):
    acts, _ = plant_variances([6.0, 3.0, 1.0], 40, generator)
    components, shares = ask_components(student, acts, 2)
    shift = 50 * torch.randn(acts.shape[1], generator=generator)
    moved, moved_shares = ask_components(student, acts + shift, 2)
    apart = 1 - float((moved * components).sum(dim=1).abs().min())
    assert apart < 1e-2 and close(moved_shares, shares, atol=1e-2), (
        "the same vector was added to all acts, and directions or shares change, expected not at all. Subtract the "
        "mean of the statements, dim=0"
    )
    turn = at_right_angles(acts.shape[1], acts.shape[1], generator)
    rotated, rotated_shares = ask_components(student, acts @ turn.T, 2)
    apart = 1 - float((rotated * (components @ turn.T)).sum(dim=1).abs().min())
    assert apart < 1e-2 and close(rotated_shares, shares, atol=1e-2), (
        "the cloud was turned as a whole, and your directions do not turn with it. Subtract only the mean: dividing "
        "each dimension by its spread, or taking dimensions one by one, depends on the axes"
    )


# --- 5.3 transfer_accuracy ---------------------------------------------------------------------------------------


def ask_transfer(student, train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> float:
    result = student.transfer_accuracy(*train, *test)
    if isinstance(result, Tensor) and result.numel() > 1:
        raise AssertionError(
            f"the result is {describe(result)}, expected a single number: the share that is judged rightly"
        )
    got = expect_number(result)
    assert 0 <= got <= 1, f"the accuracy is {got:.3g}, expected a number from 0 to 1: a share, no percentage, no count"
    return got


@dataclass(frozen=True)
class TwoSets:
    """Two sets whose truth lies along one direction, in different places of the space."""

    train: tuple[Tensor, Tensor]  # acts [statement d_model], labels
    test: tuple[Tensor, Tensor]
    direction: Tensor  # [d_model]


def draw_two_sets(heights: Tensor, labels: Tensor, generator: torch.Generator, n: int = 60) -> TwoSets:
    """A balanced training set, and a test set with these heights along the direction.

    In the test set noise is at right angles to the direction, ten times as strong. In the training set it is not, but
    comes in pairs, one of each class, so that it cancels in the difference of the means: whoever takes the spread into
    account, by standardising or by another probe, gets another direction.
    """
    d_model = 8
    direction = torch.zeros(d_model)
    direction[:2] = torch.tensor([1.0, 2.0]) / 5**0.5
    across = torch.zeros(d_model)
    across[:2] = torch.tensor([2.0, -1.0]) / 5**0.5
    basis = torch.cat([across[None], torch.eye(d_model)[2:]])  # [d_model-1 d_model]

    def noise(n_rows: int, along: float) -> Tensor:
        size = torch.tensor([10.0] + [1.0] * (d_model - 2))
        drawn = size * torch.randn(n_rows, d_model - 1, generator=generator)
        drawn = drawn - drawn.mean(dim=0)
        return drawn @ basis + along * drawn[:, :1] * direction

    labels_train = torch.arange(2 * n) % 2 == 0
    sign = torch.where(labels_train, 1.0, -1.0)[:, None]
    train = sign * 1.5 * direction + noise(n, 1.0).repeat_interleave(2, dim=0)
    test = heights[:, None] * direction + noise(len(heights), 0.0)
    places = 12 * torch.randn(2, d_model, generator=generator)
    places = places - (places @ direction)[:, None] * direction + torch.tensor([[-9.0], [9.0]]) * direction
    order = torch.randperm(2 * n, generator=generator)
    return TwoSets((train[order] + places[0], labels_train[order]), (test + places[1], labels), direction)


def side_by_side(n: int, n_wrong: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Heights of n true and n false statements around 0, n_wrong of each on the wrong side; and labels."""
    height = 1 + torch.rand(n, generator=generator)
    height[:n_wrong] *= -1
    heights, labels = torch.cat([height, -height]), torch.arange(2 * n) < n
    order = torch.randperm(2 * n, generator=generator)
    return heights[order], labels[order]


@exercise("transfer_accuracy")
def test_returns_a_share(student, generator):
    for n, n_wrong in ((20, 3), (5, 1)):
        sets = draw_two_sets(*side_by_side(n, n_wrong, generator), generator)
        ask_transfer(student, sets.train, sets.test)


@exercise("transfer_accuracy", points=2)
def test_every_set_has_its_own_centre(student, generator):
    """The sets lie 18 apart along the direction; their statements lie 1 to 2 on either side of their centres."""
    sets = draw_two_sets(*side_by_side(40, 6, generator), generator)
    (acts_train, labels_train), (acts, labels) = sets.train, sets.test
    got, expected = ask_transfer(student, sets.train, sets.test), 0.85

    def score(logits: Tensor) -> float:
        return float(((logits > 0) == labels).float().mean())

    def fitted_on(x: Tensor, y: Tensor) -> float:
        return score(centred @ (x[y].mean(dim=0) - x[~y].mean(dim=0)))

    centred, spread = acts - acts.mean(dim=0), acts_train.std(dim=0)
    mistakes = {
        "The test set lies on one side of the threshold as a whole: centre it by its own mean, not by that of the "
        "training set or of all, and leave out the bias of a probe that was fitted on acts as they are": score(
            (acts - acts_train.mean(dim=0)) @ sets.direction
        ),
        "The direction is turned round: from the false mean to the true one": 1 - expected,
        "Only true statements are counted: false ones that are called false are right, too": expected / 2,
        "This is an area under a curve, which knows no threshold: return the share that is judged rightly": float(
            roc_auc(centred @ sets.direction, labels)
        ),
        "The threshold is the mean of one class of the test set: it takes the mean of all test statements, and no "
        "labels": score((acts - acts[labels].mean(dim=0)) @ sets.direction),
        "Each dimension was divided by its spread: keep the model's units": score(
            centred / acts.std(dim=0) @ (sets.direction / spread)
        ),
        "It was fitted on the test set: fit on acts_train, labels_train": fitted_on(acts, labels),
        "This is the accuracy on the training set": float(
            (((acts_train - acts_train.mean(dim=0)) @ sets.direction > 0) == labels_train).float().mean()
        ),
        "It was fitted on both sets: fit on acts_train, labels_train alone": fitted_on(
            torch.cat([acts_train, acts]), torch.cat([labels_train, labels])
        ),
    }
    otherwise = (
        "The difference of the class means is the direction; True where acts_test, minus its own mean, lies along it"
    )
    assert abs(got - expected) < 1e-3, (
        f"80 statements, six of each class on the wrong side of their centre: the accuracy is {got:.3f}, expected "
        f"{expected}. {likely(got, mistakes, otherwise, atol=0.006)}"
    )


@exercise("transfer_accuracy", points=1)
def test_a_direction_that_is_turned_round_stays_so(student, generator):
    """A control: on a set where true and false are exchanged, nine of ten are judged wrongly. That is a finding."""
    for n_wrong, expected in ((36, 0.1), (20, 0.5), (4, 0.9)):
        sets = draw_two_sets(*side_by_side(40, n_wrong, generator), generator)
        got = ask_transfer(student, sets.train, sets.test)
        why = "Which side is True was learned on the training set, and is not asked again"
        if expected < 0.5 and abs(got - (1 - expected)) < 1e-3:
            why = "The better of two signs was taken: that is fitting on test labels. Report it as it is"
        elif abs(got - 1) < 1e-3:
            why = "Test labels took part in the fit, or this is the training set's accuracy"
        assert abs(got - expected) < 1e-3, (
            f"a set of which {1 - expected:.0%} lie on the wrong side: the accuracy is {got:.2f}, expected "
            f"{expected:.2f}. {why}"
        )


@exercise("transfer_accuracy", points=1)
def test_test_labels_are_for_scoring_only(student, generator):
    """By hand: three true statements and one false, so that the centre is not halfway, and two are judged wrongly."""
    labels = torch.tensor([True, True, True, False])
    sets = draw_two_sets(torch.tensor([4.0, 0.5, 0.5, -1.0]), labels, generator)
    got = ask_transfer(student, sets.train, sets.test)
    mistakes = {
        "The threshold was set with the test labels: halfway between the classes, or where it does best. It takes the "
        "mean of all test statements, and no labels": 1.0,
        "The set lies on one side of the threshold as a whole, or a median was taken: centre it by its own mean": 0.75,
        "The set lies on one side of the threshold as a whole: centre acts_test by its own mean": 0.25,
    }
    assert abs(got - 0.5) < 1e-3, (
        "heights 4, 0.5, 0.5 (true) and -1 (false), so that their mean is 1: the accuracy is "
        f"{got:.2f}, expected 0.50. {likely(got, mistakes, 'True is what lies above the mean of its set')}"
    )


@exercise("transfer_accuracy", points=1)
def test_where_the_sets_lie_does_not_matter(student, generator):
    sets = draw_two_sets(*side_by_side(30, 5, generator), generator)
    before = ask_transfer(student, sets.train, sets.test)
    for which in ("train", "test"):
        shift = 40 * torch.randn(8, generator=generator) + 30 * sets.direction
        train, test = (
            (acts + shift if name == which else acts, labels)
            for name, (acts, labels) in (("train", sets.train), ("test", sets.test))
        )
        got = ask_transfer(student, train, test)
        assert abs(got - before) < 1e-3, (
            f"one vector was added to all acts of the {which} set, and the accuracy goes from {before:.2f} to "
            f"{got:.2f}, expected no change. Centre each set by its own mean"
        )


# --- 5.4 generalization_matrix -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sets:
    """Sets of statements about the same entities, in another order in each set."""

    acts: Tensor  # [set statement d_model]
    labels: Tensor  # [set statement]
    folds: Tensor  # [set statement]
    entities: Tensor  # [set statement]


def ask_matrix(student, sets: Sets) -> Tensor:
    n_sets, n = sets.labels.shape
    with hint("acts[s][mask] are the statements of set s where a mask [statement] is True; each set has its own mask"):
        found = student.generalization_matrix(sets.acts, sets.labels, sets.folds)
    if isinstance(found, Tensor) and found.shape == (n_sets, n_sets):
        raise AssertionError(
            f"the result has shape {tuple(found.shape)}: these are accuracies. Return whether each statement is judged "
            "rightly, [train_set test_set statement]; the caller takes the mean"
        )
    if isinstance(found, Tensor) and found.is_floating_point() and found.shape == (n_sets, n_sets, n):
        raise AssertionError(
            f"the result has dtype {found.dtype}, expected bools: was the statement judged rightly? No logits"
        )
    expect_tensor(found, "train_set test_set statement", (n_sets, n_sets, n), dtype=torch.bool)
    return found


def deal(parts: Sequence[Tensor], generator: torch.Generator) -> list[Tensor]:
    """The same statements of every set [set statement ...], each set in an order of its own."""
    n_sets, n = parts[0].shape[:2]
    order = torch.stack([torch.randperm(n, generator=generator) for _ in range(n_sets)])
    rows = torch.arange(n_sets)[:, None]
    return [part[rows, order] for part in parts]


def in_quartets(n_entities: int, n_folds: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Two true and two false statements about each entity, one of each with noise and one with its opposite.

    Then means and class means are the same in every fold. Returns entities, folds, tau, sign of the noise [statement].
    """
    entities = torch.arange(n_entities).repeat_interleave(4)
    tau, sign = torch.tensor([1.0, 1, -1, -1]).repeat(n_entities), torch.tensor([1.0, -1, 1, -1]).repeat(n_entities)
    return entities, entities % n_folds, tau, sign


@dataclass(frozen=True)
class Planted:
    sets: Sets
    expected: Tensor  # [train_set test_set statement]
    truths: Tensor  # [set d_model]: half of the way from false to true


def plant_sets(generator: torch.Generator, n_folds: int = 3) -> Planted:
    """Three sets in different places, of which some directions transfer and others do not, and not both ways.

    Truth lies along u in the first set, along u + v in the second, along -u in the third. The first has strong noise
    along v: the second set's direction fails on it, its own does not.
    """
    d_model, n_entities = 6, 24
    u, v, *_ = at_right_angles(d_model, d_model, generator)
    truths = torch.stack([u, u + v, -u])
    entities, folds, tau, sign = in_quartets(n_entities, n_folds)
    strength = torch.tensor([[4.0], [0.3], [0.3]])  # of the noise along v, for each set
    noise = strength * (0.5 + torch.rand(3, n_entities, generator=generator))[:, entities] * sign  # [set statement]
    acts = tau[:, None] * truths[:, None] + noise[..., None] * v  # [set statement d_model]
    logits = torch.einsum("td,snd->tsn", truths, acts)
    labels = (tau > 0).expand(3, -1)
    right = ((logits > 0) == labels).movedim(0, -1)  # [test_set statement train_set]
    acts = acts + 15 * torch.randn(3, 1, d_model, generator=generator)
    parts = deal([acts, labels, folds.expand(3, -1), entities.expand(3, -1), right], generator)
    return Planted(Sets(*parts[:4]), parts[4].movedim(-1, 0), truths)


def accuracies(verdicts: Tensor) -> list[list[float]]:
    return [[round(x, 2) for x in row] for row in verdicts.float().mean(dim=-1).tolist()]


@exercise("generalization_matrix")
def test_returns_a_verdict_for_each_statement(student, generator):
    for n_sets, n_entities, n_folds, d_model in ((3, 12, 3, 5), (2, 10, 5, 4)):
        entities, folds, tau, _ = in_quartets(n_entities, n_folds)
        acts = torch.randn(n_sets, len(tau), d_model, generator=generator)
        labels, folds, entities = (part.expand(n_sets, -1) for part in (tau > 0, folds, entities))
        ask_matrix(student, Sets(*deal([acts, labels, folds, entities], generator)))


@exercise("generalization_matrix", points=3)
def test_rows_are_fitted_and_columns_are_tested(student, generator):
    """Planted: every verdict is known beforehand."""
    for n_folds in (3, 4, 2):
        planted = plant_sets(generator, n_folds)
        sets, expected = planted.sets, planted.expected
        found = ask_matrix(student, sets)
        logits = torch.einsum("td,snd->tsn", planted.truths, sets.acts)
        thresholds = torch.einsum("td,td->t", planted.truths, sets.acts.mean(dim=1))
        uncentred = (logits > thresholds[:, None, None]) == sets.labels
        mistakes = {
            "Rows and columns are exchanged: train_set is the first axis": expected.transpose(0, 1),
            "Nothing is centred, or test sets by the mean of the training set: centre each set by its own": uncentred,
            "All verdicts are turned round: True where a statement is judged rightly": ~expected,
            "These are judgements, True where a statement is called true: compare them with its label": expected
            == sets.labels,
            "Every row is the same: fit a direction for each train set": expected[:1].expand_as(expected),
            "Every column is the same: judge each test set": expected[:, :1].expand_as(expected),
            "Only sets judged by their own direction are filled in": expected
            & torch.eye(3, dtype=torch.bool)[..., None],
            "Only the first fold is judged: every statement lies in one of the folds": expected & (sets.folds == 0),
            "The last fold is missing: every statement lies in one of the folds": expected & (sets.folds < n_folds - 1),
            "Fold 0 is missing: every statement lies in one of the folds": expected & (sets.folds > 0),
        }
        why = "Fit on each set outside the fold, judge each set inside it"
        called = found == sets.labels
        alike = int((called.all(dim=-1) | ~called.any(dim=-1)).sum())  # pairs of sets
        if not torch.equal(found, expected):
            same = [text for text, wrong in mistakes.items() if torch.equal(found, wrong)]
            if same:
                why = same[0]
            elif alike:
                why = (
                    f"In {alike} of 9 pairs of sets all statements are called alike: centre each set by its own mean, "
                    "before you fit and before you judge"
                )
            elif found.float().mean(dim=-1).sub(expected.float().mean(dim=-1)).abs().max() < 0.02:
                why = "The accuracies are right, and verdicts stand at other statements: keep the statements' order"
        wrong = int((found != expected).sum())
        assert torch.equal(found, expected), (
            f"three sets, {n_folds} folds: {wrong} of {expected.numel()} verdicts are wrong; accuracies are "
            f"{accuracies(found)}, expected {accuracies(expected)} (rows: fitted on, columns: tested on). {why}"
        )


@exercise("generalization_matrix", points=2)
def test_nothing_is_learned_by_heart(student, generator):
    """A control: every entity has a direction of its own. Whoever has not seen an entity knows nothing about it."""
    n_entities = 80
    entities, folds, tau, _ = in_quartets(n_entities, 3)
    own = at_right_angles(n_entities, n_entities, generator)
    signs = torch.where(torch.rand(n_entities, generator=generator) < 0.5, 1.0, -1.0)  # the same in both sets
    acts = (tau * signs[entities])[:, None] * own[entities] + 5 * torch.randn(2, 1, n_entities, generator=generator)
    acts = acts + 0.02 * torch.randn(acts.shape, generator=generator)
    parts = [acts, (tau > 0).expand(2, -1), folds.expand(2, -1), entities.expand(2, -1)]
    got = ask_matrix(student, Sets(*deal(parts, generator))).float().mean(dim=-1)
    learned = got > 0.7  # 0.31 to 0.62 over 200 seeds; by heart 0.78 and more
    why = (
        "The fit has seen the statements that it judges, or others about the same entities: fit outside the fold, "
        "judge inside it, and take each set's own row of folds"
    )
    if torch.equal(learned, torch.eye(2, dtype=torch.bool)):
        why = "A set's own statements are judged by a fit that has seen them: fit outside the fold"
    elif torch.equal(learned, ~torch.eye(2, dtype=torch.bool)):
        why = (
            "Statements of another set are judged by a fit on the same entities: leave the fold out of the train set "
            "there, too"
        )
    elif not learned[0, 0] and learned.any():
        why = "In the first set it is right: does every set have its own row of folds, folds[s]?"
    assert not learned.any(), (
        "statements that can only be learned by heart: accuracies are "
        f"{[[round(x, 2) for x in row] for row in got.tolist()]}, expected about 0.5 everywhere. {why}"
    )


@exercise("generalization_matrix", points=1)
def test_every_set_has_folds_of_its_own(student, generator):
    """The sets are in different orders: the folds of the first one are not those of the others."""
    planted = plant_sets(generator)
    sets = planted.sets
    away = sets.acts.clone()
    away[sets.folds == 1] += 30 * planted.truths[0]  # far away along the first set's direction
    found = ask_matrix(student, Sets(away, sets.labels, sets.folds, sets.entities))
    above = (sets.folds == 1) == torch.tensor([True, True, False])[:, None, None]  # the third direction is turned round
    called = found == sets.labels  # [train_set test_set statement]: called true
    why = "A set is centred by the mean of its own statements outside the fold: what is judged takes no part"
    if torch.equal(called[0, 0], above[0, 0]):
        why = "In the first set it is right: does every set have its own row of folds, folds[s]?"
    assert torch.equal(called, above), (
        "all statements of fold 1 were moved far along one direction, so that they lie on one side of the mean of the "
        f"others, and the others on the other side: {float((called == above).float().mean()):.0%} are called so, "
        f"expected 100 %. {why}"
    )


@exercise("generalization_matrix", points=1)
def test_what_is_judged_takes_no_part_in_the_centre(student, generator):
    """By hand: heights 1 and -1, and in the second set one of two folds moved by 1.5. Centred by the other fold, half
    of its statements are wrong; those of the first set are right."""
    entities, folds, tau, _ = in_quartets(8, 2)
    u = at_right_angles(1, 5, generator)[0]
    heights = tau + torch.tensor([[0.0], [1.5]]) * (folds == 1)  # [set statement]
    acts = heights[..., None] * u + torch.randn(2, 1, 5, generator=generator)
    parts = [acts, (tau > 0).expand(2, -1), folds.expand(2, -1), entities.expand(2, -1)]
    sets = Sets(*deal(parts, generator))
    found = ask_matrix(student, sets)
    called_true = sets.folds == 1  # in the second set: above the mean of fold 0, and the others below that of fold 1
    expected = torch.stack([torch.ones_like(called_true[0]), sets.labels[1] == called_true[1]]).expand(2, -1, -1)
    why = "Centre each set by the mean of its own statements outside the fold"
    if bool(found[0].all()):
        why = (
            "Sets are centred by the mean of all their statements, or of those in the fold: take those outside it, as "
            "if the others were not known yet"
        )
    assert torch.equal(found, expected), (
        "two folds, truth at 1 and -1, and in the second set one fold moved by 1.5: accuracies are "
        f"{accuracies(found)}, expected {accuracies(expected)}, in the second column the true ones of one fold and the "
        f"false ones of the other. {why}"
    )


@exercise("generalization_matrix", points=1)
def test_verdicts_stay_with_their_statements(student, generator):
    """Statements in another order, and folds with other numbers: the same verdicts in that order."""
    sets = plant_sets(generator).sets
    noisy = sets.acts + torch.randn(sets.acts.shape, generator=generator)
    found = ask_matrix(student, Sets(noisy, sets.labels, sets.folds, sets.entities))
    order = torch.randperm(sets.labels.shape[1], generator=generator)
    other = Sets(noisy[:, order], sets.labels[:, order], sets.folds[:, order], sets.entities[:, order])
    again = ask_matrix(student, other)
    differ = int((again != found[..., order]).sum())
    assert differ <= 2, (  # float32 sums in another order: none with seeds 0 to 199
        f"with the statements in another order {differ} of {found.numel()} verdicts change, expected none. Write "
        "verdicts where their statements stand: right[train, test, inside] = ..."
    )
    numbers = torch.tensor([7, 2, 4])
    renamed = ask_matrix(student, Sets(noisy, sets.labels, numbers[sets.folds], sets.entities))
    differ = int((renamed != found).sum())
    assert differ == 0, (
        f"with the folds numbered 7, 2, 4 instead of 0, 1, 2 {differ} of {found.numel()} verdicts change, expected "
        "none. Go over folds.unique(), and judge every statement once, inside its own fold"
    )


# --- 5.5 truth_and_polarity_directions ---------------------------------------------------------------------------


def ask_directions(student, acts: Tensor, truth: Tensor, negated: Tensor) -> tuple[Tensor, Tensor]:
    with hint("tau and tau * p are floats [statement]; torch.linalg.lstsq takes [statement 2] and [statement d_model]"):
        result = student.truth_and_polarity_directions(acts, truth, negated)
    if isinstance(result, Tensor) and result.shape == (2, acts.shape[1]):
        raise AssertionError("the result is one tensor with two rows, expected two: return t_general, t_polarity")
    pair = expect_pair(result, ("t_general", "t_polarity"))
    for direction, name in zip(pair, ("t_general", "t_polarity"), strict=True):
        expect_tensor(direction, "d_model", (acts.shape[1],), name=name)
    return pair


@dataclass(frozen=True)
class Polarities:
    """Affirmed and negated statements: a place for each polarity, and two directions."""

    acts: Tensor  # [statement d_model]
    truth: Tensor
    negated: Tensor
    t_general: Tensor
    t_polarity: Tensor


def plant_polarities(
    counts: Sequence[int], generator: torch.Generator, *, noise: float = 0.05, sizes: tuple[float, float] = (1.5, 0.7)
) -> Polarities:
    """counts: affirmed true, affirmed false, negated true, negated false. The directions are at no right angle."""
    truth = torch.tensor([True, False, True, False]).repeat_interleave(torch.tensor(counts))
    negated = torch.tensor([False, False, True, True]).repeat_interleave(torch.tensor(counts))
    order = torch.randperm(len(truth), generator=generator)
    truth, negated = truth[order], negated[order]
    d_model = 10
    t_general, t_polarity = torch.randn(2, d_model, generator=generator) * torch.tensor(sizes)[:, None]
    tau, p = 2.0 * truth - 1, 1 - 2.0 * negated
    places = 8 * torch.randn(2, d_model, generator=generator)
    acts = tau[:, None] * t_general + (tau * p)[:, None] * t_polarity + places[negated.long()]
    acts = acts + noise * torch.randn(acts.shape, generator=generator)
    return Polarities(acts, truth, negated, t_general, t_polarity)


def blame(data: Polarities, found: tuple[Tensor, Tensor], otherwise: str) -> str:
    """The mistake that gives these two directions."""
    acts, truth, negated = data.acts, data.truth, data.negated
    tau, p = 2.0 * truth - 1, 1 - 2.0 * negated

    def solve(target: Tensor, *regressors: Tensor) -> Tensor:
        return torch.linalg.lstsq(torch.stack([part.float() for part in regressors], dim=1), target).solution

    each = acts.clone()
    for polarity in (negated, ~negated):
        each[polarity] -= acts[polarity].mean(dim=0)
    together = acts - acts.mean(dim=0)
    general, polarity = data.t_general, data.t_polarity

    places, mixed = (solve(acts, ~negated, negated, tau, last) for last in (tau * p, p))

    def half_way(which: Tensor) -> Tensor:
        return (acts[truth & which].mean(dim=0) - acts[~truth & which].mean(dim=0)) / 2

    mistakes = {
        "The two are exchanged: return t_general, t_polarity": (polarity, general),
        "The sign of p is turned round: 1 where affirmed, -1 where negated": (general, -polarity),
        "The sign of tau is turned round: 1 where true, -1 where false": (-general, -polarity),
        "Nothing is centred: subtract from each polarity its own mean": solve(acts, tau, tau * p),
        "Both polarities were centred by one mean: each has its own": solve(together, tau, tau * p),
        "Both polarities were centred by one mean, acts and regressors: each has its own": solve(
            together, tau - tau.mean(), tau * p - (tau * p).mean()
        ),
        "These are the places of the polarities: the directions are the rows of tau and tau * p": (
            places[0],
            places[1],
        ),
        "The rows of the solution are shifted by one: tau and tau * p are the last two": (places[1], places[2]),
        "The last regressor is p, which is the same in a whole polarity: it is tau * p": mixed[2:],
        "p is 1 and 0: where negated, it is -1": solve(each, tau, tau * ~negated),
        "The regressors are 0 and 1: tau is 1 and -1": solve(each, truth.float(), truth * p),
        "These are whole distances between false and true: half of them is what tau = 1 and -1 give": (
            2 * general,
            2 * polarity,
        ),
        "The directions are scaled to length 1: their length is half of the distance between false and true": (
            normalize(general, dim=0),
            normalize(polarity, dim=0),
        ),
        "These are differences of means over all statements, or each direction was fitted by itself: where one "
        "polarity is more frequent, that mixes the two. Fit both in one regression": (
            (each[truth].mean(dim=0) - each[~truth].mean(dim=0)) / 2,
            (each[truth != negated].mean(dim=0) - each[truth == negated].mean(dim=0)) / 2,
        ),
        "The first is the direction of affirmed statements, the second that of negated ones: their half sum and half "
        "difference are general and polarity": (half_way(~negated), half_way(negated)),
        "The first is what affirmed statements move by, the second what negated ones do: fit general and polarity": (
            general + polarity,
            general - polarity,
        ),
        "tau and tau * p are centred no more, once true and false are not equally many: centre them by polarity like "
        "acts, or add a column for each polarity": solve(each, tau, tau * p),
    }
    if off(found[1], general + polarity) < 0.06:
        return "The second is what affirmed statements move by, both directions together: fit the two in one regression"
    if any(off(found[1], sign * (places[1] - places[0]) / scale) < 0.06 for sign in (1, -1) for scale in (1, 2)):
        return "The second leads from one polarity to the other: that is a place. It belongs to tau * p, not to p"
    if off(found[0], general) < 0.06 and float(found[1].norm()) < 0.05 * float(polarity.norm()):
        return "The second is next to nothing: its regressor is tau * p. p alone is the same in a whole polarity"
    for why, pair in mistakes.items():
        if all(off(f, wrong) < 0.06 for f, wrong in zip(found, pair, strict=True)):
            return why
    return otherwise


def expect_directions(student, data: Polarities, case: str, otherwise: str) -> None:
    found = ask_directions(student, data.acts, data.truth, data.negated)
    away = [off(f, planted) for f, planted in zip(found, (data.t_general, data.t_polarity), strict=True)]
    assert max(away) < 0.05, (  # noise moves them by 0.01
        f"{case}: t_general is {away[0]:.0%} and t_polarity {away[1]:.0%} away from the planted ones, expected less "
        f"than 5 %. {blame(data, found, otherwise)}"
    )


@exercise("truth_and_polarity_directions")
def test_returns_two_directions(student, generator):
    for counts in ((10, 10, 10, 10), (3, 3, 7, 7)):
        data = plant_polarities(counts, generator)
        ask_directions(student, data.acts, data.truth, data.negated)


@exercise("truth_and_polarity_directions", points=2)
def test_recovers_two_planted_directions(student, generator):
    """Equally many of all four kinds, then three times as many affirmed as negated ones."""
    otherwise = "Each polarity minus its own mean, then least squares on tau and tau * p, both 1 or -1"
    expect_directions(student, plant_polarities((50, 50, 50, 50), generator), "four kinds, 50 of each", otherwise)
    case = "120 affirmed statements and 40 negated ones"
    expect_directions(student, plant_polarities((60, 60, 20, 20), generator), case, otherwise)


@exercise("truth_and_polarity_directions", points=1)
def test_the_unit_is_half_the_way_from_false_to_true(student):
    """By hand, without noise: affirmed 5 and 1, negated 7 and 9 along one axis; so 2 and -1, half the ways."""
    acts = torch.tensor([[5.0, 3], [1, 3], [7, 3], [9, 3], [5, 4], [1, 4], [7, 4], [9, 4]])
    truth, negated = (torch.tensor(flags).repeat(2) for flags in ([True, False] * 2, [False, False, True, True]))
    general, polarity = ask_directions(student, acts, truth, negated)
    got = [round(float(general[0]), 2), round(float(polarity[0]), 2)]
    mistakes = {
        "The two are exchanged: return t_general, t_polarity": [1.5, 0.5],
        "The sign of p is turned round: 1 where affirmed, -1 where negated": [0.5, -1.5],
        "These are whole distances: tau is 1 and -1": [1.0, 3.0],
        "They are scaled to length 1": [1.0, 1.0],
        "These are the half ways of affirmed and of negated statements: take half their sum, half their difference": [
            2.0,
            -1.0,
        ],
        "Both signs are turned round: tau is 1 where true": [-0.5, -1.5],
        "These are quarters of the ways": [0.25, 0.75],
    }  # fmt: skip
    why = next((text for text, pair in mistakes.items() if pair == got), "Affirmed ones move by both together, 2")
    assert got == [0.5, 1.5], (
        "true affirmed statements lie at 5 and false ones at 1, true negated ones at 7 and false ones at 9: t_general "
        f"is {got[0]} and t_polarity {got[1]}, expected 0.5 and 1.5, so that their sum is 2 and their difference -1. "
        f"{why}"
    )
    away = max(float(general[1].abs()), float(polarity[1].abs()))
    assert away < 1e-3, f"along the axis on which nothing differs a direction has {away:.2f}, expected 0"


@exercise("truth_and_polarity_directions", points=1)
def test_true_and_false_may_be_unequally_many(student, generator):
    data = plant_polarities((90, 30, 20, 60), generator)
    otherwise = (
        "Least squares holds everything else still only if tau and tau * p are centred by polarity like acts, or if "
        "each polarity has a column of its own"
    )
    expect_directions(
        student, data, "90 true and 30 false affirmed, 20 true and 60 false negated statements", otherwise
    )


@exercise("truth_and_polarity_directions", points=2)
def test_tells_match_from_truth(student, generator):
    """In a world of match alone there is no general direction; in a world of truth alone no polarity direction."""
    for sizes, zero, name, world in (
        ((0.0, 1.5), 0, "t_general", "the object matches, and nothing else"),
        ((1.5, 0.0), 1, "t_polarity", "the whole statement is true, and nothing else"),
    ):
        data = plant_polarities((40, 40, 40, 40), generator, sizes=sizes)
        pair = ask_directions(student, data.acts, data.truth, data.negated)
        lengths = [float(direction.norm()) for direction in pair]
        assert lengths[zero] < 0.2 * lengths[1 - zero], (  # 0.01
            f"a network that holds whether {world}: {name} is {lengths[zero] / max(lengths[1 - zero], 1e-6):.2f} times "
            f"as long as the other one, expected next to nothing. {blame(data, pair, 'Do tau and tau * p differ?')}"
        )


@exercise("truth_and_polarity_directions", points=1)
def test_places_do_not_matter_and_units_do(student, generator):
    data = plant_polarities((30, 30, 20, 20), generator)
    before = torch.stack(ask_directions(student, data.acts, data.truth, data.negated))
    places = 40 * torch.randn(2, 10, generator=generator)
    moved = torch.stack(ask_directions(student, data.acts + places[data.negated.long()], data.truth, data.negated))
    assert off(moved, before) < 0.01, (
        f"affirmed statements were moved by one vector and negated ones by another: your directions change by "
        f"{off(moved, before):.0%}, expected not at all. Each polarity is centred by its own mean"
    )
    larger = torch.stack(ask_directions(student, 3 * data.acts, data.truth, data.negated))
    assert off(larger, 3 * before) < 0.01, (
        "acts three times as large give directions "
        f"{float(larger.norm() / before.norm()):.2f} times as long, expected 3 times. They are in model units: no "
        "division by a length or a spread"
    )


# --- 5.6 name_world ----------------------------------------------------------------------------------------------


@cache
def permuted(name: str, seed: int) -> TransformerBridge:
    """The same network with the dimensions of its stream in another order: it does the same with other numbers."""
    model = load_model(name)
    order = torch.randperm(model.cfg.d_model, generator=torch.Generator().manual_seed(seed))
    tensors = model_tensors(model)
    for key, tensor in tensors.items():
        in_heads = key.endswith("bias") and any(part in key for part in (".q.", ".k.", ".v."))
        if key.endswith("weight") and any(part in key for part in (".qkv.", ".c_fc.")):  # [d_model ...]
            tensors[key] = tensor[order]
        elif tensor.shape[-1:] == order.shape and not in_heads:  # [... d_model]
            tensors[key] = tensor[..., order]
    description = {"config": model_config(model), "tokenizer_of": "facts_gpt_affirmed"}  # its words are the same
    return rebuild_model(description, tensors)


def ask_world(student, model: TransformerBridge, seed: int, topic: str = "cities", n: int = 120) -> str:
    affirmed = facts.write_statements(topic, n, seed=seed)
    negated = facts.write_statements(topic, n, negated=True, seed=seed + 1000)
    with hint("statement_acts takes statements.texts, a list of layers and a position"):
        verdict = student.name_world(model, affirmed, negated)
    assert isinstance(verdict, str), f'the result is {describe(verdict)}, expected "match" or "truth"'
    assert verdict in ("match", "truth"), f'the result is {verdict[:40]!r}, expected "match" or "truth"'
    return verdict


ALL_THE_SAME = {
    "truth": (
        "All get one name. At the full stop, and in what they say, either network may have the truth of the whole: "
        "read the object's token. Fit on affirmed statements alone, and score on negated ones"
    ),
    "match": (
        "All get one name. Block 0 only compares: read after block 1 or later. And centre negated statements by their "
        "own mean: as a whole they lie elsewhere"
    ),
}


def expect_worlds(
    student, worlds: Sequence[tuple[str, str, TransformerBridge]], seed: int, topic: str = "cities", n: int = 120
) -> None:
    """Fail unless every one of these networks, each with its name and its world, is named rightly."""
    verdicts = [ask_world(student, model, seed, topic, n) for _, _, model in worlds]
    expected = [world for _, world, _ in worlds]
    if len(set(verdicts)) == 1:
        why = ALL_THE_SAME[verdicts[0]]
    elif not any(verdict == world for verdict, world in zip(verdicts, expected, strict=True)):
        why = "All are named the other way round: a direction that flips on negated statements has read *match*"
    else:
        why = (
            "Fit on affirmed statements alone, score on negated ones at the object's token, each centred by its own "
            "mean: far below 0.5, the direction has read whether the object matches"
        )
    rows = zip(worlds, verdicts, strict=True)
    named = "; ".join(f"{name}: {verdict!r}, expected {world!r}" for (name, world, _), verdict in rows)
    assert verdicts == expected, f"{n} affirmed and {n} negated statements about {topic}: {named}. {why}"


@exercise("name_world")
def test_returns_one_of_two_names(student, seed):
    ask_world(student, load_model("facts_gpt_match"), seed)


@exercise("name_world", points=3)
def test_names_the_two_worlds(student, seed):
    worlds = [(f"the {world} network", world, load_model(f"facts_gpt_{world}")) for world in ("match", "truth")]
    expect_worlds(student, worlds, seed)


@exercise("name_world", points=2)
def test_goes_by_what_the_network_computes(student, seed):
    """Networks that do the same with other numbers: neither weights nor a remembered direction tell."""
    worlds = [
        (f"the {world} network with its dimensions in another order", world, permuted(f"facts_gpt_{world}", seed))
        for world in ("truth", "match")
    ]
    expect_worlds(student, worlds, seed)


@exercise("name_world", points=1)
def test_a_network_that_never_saw_a_negation_holds_match(student, seed):
    """Its direction flips everywhere; what it comments on negated statements is wrong, too."""
    worlds = [
        ("a network that was stopped before it saw a negation", "match", load_model("facts_gpt_affirmed")),
        ("the truth network", "truth", load_model("facts_gpt_truth")),
    ]
    expect_worlds(student, worlds, seed)


@exercise("name_world", points=2)
def test_other_statements_lead_to_the_same_verdict(student, seed):
    """Fewer of them, other ones, and about capitals."""
    worlds = [(f"the {world} network", world, load_model(f"facts_gpt_{world}")) for world in ("truth", "match")]
    expect_worlds(student, worlds, seed + 50, n=60)
    expect_worlds(student, worlds, seed, topic="capitals")


# --- 5.7 normalize_contrast_pairs --------------------------------------------------------------------------------


def draw_halves(generator: torch.Generator, n: int = 200, d_model: int = 6) -> tuple[Tensor, Tensor]:
    """Two halves with places and spreads of their own in every dimension."""
    shared = torch.randn(n, d_model, generator=generator)
    halves = []
    for _ in range(2):
        spread = 0.2 + 5 * torch.rand(d_model, generator=generator)
        own = shared + 0.5 * torch.randn(n, d_model, generator=generator)
        halves.append(own * spread + 10 * torch.randn(d_model, generator=generator))
    return halves[0], halves[1]


def ask_halves(student, yes: Tensor, no: Tensor) -> tuple[Tensor, Tensor]:
    result = student.normalize_contrast_pairs(yes, no)
    if isinstance(result, Tensor):
        raise AssertionError(f"the result is {describe(result)}, expected two tensors: return yes, no")
    pair = expect_pair(result, ("yes", "no"))
    for half, given, name in zip(pair, (yes, no), ("the first half", "the second half"), strict=True):
        expect_tensor(half, "statement d_model", tuple(given.shape), name=name)
    return pair


@exercise("normalize_contrast_pairs")
def test_returns_two_halves(student, generator):
    for n, d_model in ((50, 6), (9, 20)):
        ask_halves(student, *draw_halves(generator, n, d_model))


@exercise("normalize_contrast_pairs", points=1)
def test_every_dimension_of_each_half_has_mean_0_and_spread_1(student, generator):
    yes, no = draw_halves(generator)
    for half, given, name in zip(ask_halves(student, yes, no), (yes, no), ("yes", "no"), strict=True):
        mean, spread = half.mean(dim=0), half.std(dim=0)
        why = "Subtract the half's own mean over the statements, dim=0"
        joint = torch.cat([yes, no])
        if close(mean, (given.mean(dim=0) - joint.mean(dim=0)) / given.std(dim=0), atol=0.05) or close(
            mean, (given.mean(dim=0) - joint.mean(dim=0)) / joint.std(dim=0), atol=0.05
        ):
            why = "Both halves were centred by their common mean: that leaves in what tells yes from no"
        elif float(half.mean(dim=1).abs().max()) < 1e-3:
            why = "Every statement was centred by itself: take the mean over the statements, dim=0"
        elif close(half, given / given.std(dim=0), atol=0.05):
            why = "The mean is still there: subtract it before you divide"
        assert float(mean.abs().max()) < 1e-3, (
            f"half {name}: its means lie up to {float(mean.abs().max()):.2f} from 0, expected 0 everywhere. {why}"
        )
        why = "Divide each dimension by its own standard deviation over the statements"
        if close(half, given - given.mean(dim=0), atol=0.01):
            why = "The mean is gone, and the spread is still there: divide by the standard deviation of each dimension"
        elif close(spread, 1 / given.std(dim=0), atol=0.01):
            why = "It was divided by the variance: take its root"
        elif float(spread.max() / spread.min()) > 1.5:
            why = "One scale for all dimensions leaves those that vary most the largest: take std(dim=0)"
        assert float((spread - 1).abs().max()) < 0.02, (  # n - 1 or n: 0.003
            f"half {name}: its dimensions have standard deviations from {float(spread.min()):.2f} to "
            f"{float(spread.max()):.2f}, expected 1. {why}"
        )


@exercise("normalize_contrast_pairs", points=1)
def test_what_tells_yes_from_no_is_gone(student, generator):
    """And what tells statements apart stays: in each dimension their order is the same."""
    yes, no = draw_halves(generator)
    far = yes + 25 * torch.randn(yes.shape[1], generator=generator)
    first, second = ask_halves(student, far, no)
    gap = float((first.mean(dim=0) - second.mean(dim=0)).norm())
    assert gap < 1e-2, (
        f"one half was moved as a whole: the means of the two lie {gap:.2f} apart, expected 0. Each half is centred by "
        "its own mean, and not both by one"
    )
    for half, given, other, name in ((first, far, no, "yes"), (second, no, far, "no")):
        same = cosine_similarity(half - half.mean(dim=0), given - given.mean(dim=0), dim=0)
        swapped = cosine_similarity(half - half.mean(dim=0), other - other.mean(dim=0), dim=0)
        why = "Shift and stretch dimensions, and do nothing to single statements"
        if float(swapped.min()) > 0.999:
            why = "The halves are exchanged, or both are one: return yes first, then no"
        assert float(same.min()) > 0.999, (
            f"half {name}: in a dimension the statements' correlation with what came in is {float(same.min()):.2f}, "
            f"expected 1. {why}"
        )


@exercise("normalize_contrast_pairs", points=1)
def test_a_dimension_without_spread_does_no_harm(student, generator):
    yes, no = draw_halves(generator, 64)
    yes[:, 2], no[:, 2], no[:, 4] = 3.0, -1.0, 0.5
    result = student.normalize_contrast_pairs(yes, no)
    for half, dims, name in zip(expect_pair(result, ("yes", "no")), ([2], [2, 4]), ("yes", "no"), strict=True):
        assert isinstance(half, Tensor) and half.shape == yes.shape, f"half {name} is {describe(half)}"
        bad = int((~half.isfinite()).sum())
        assert bad == 0, (
            f"a dimension is the same in all statements: half {name} holds {bad} NaN or infinite numbers, expected 0 "
            "there. A division by a spread of zero: keep it from 0, with clamp(min=...) or where(...)"
        )
        there = float(half[:, dims].abs().max())
        assert there < 1e-3, (
            f"a dimension is the same in all statements: half {name} holds up to {there:.2f} there, expected 0. "
            "Subtract the mean first"
        )
        spread = half[:, [i for i in range(6) if i not in dims]].std(dim=0)
        assert float((spread - 1).abs().max()) < 0.03, (
            f"half {name}: beside a constant dimension the others have standard deviations from "
            f"{float(spread.min()):.2f} to {float(spread.max()):.2f}, expected 1. Keep the divisor from 0, and add "
            "nothing of size to it"
        )


# --- 5.8 ccs_loss ------------------------------------------------------------------------------------------------


def logit(p: Sequence[float]) -> Tensor:
    return torch.logit(torch.tensor(p))


def ask_ccs(student, yes: Tensor, no: Tensor) -> float:
    value = student.ccs_loss(yes, no)
    if isinstance(value, Tensor) and value.ndim:
        raise AssertionError(f"the result is {describe(value)}, expected a single number: the mean over the statements")
    return expect_number(value)


@exercise("ccs_loss")
def test_returns_one_number(student, generator):
    for n in (7, 1):
        yes, no = torch.randn(2, n, generator=generator)
        found = ask_ccs(student, yes, no)
        assert found >= 0, f"the loss is {found:.3f}, expected 0 or more: it is a sum of squares"


@exercise("ccs_loss", points=1)
def test_two_statements_by_hand(student):
    """p_yes .9 and .4, p_no .3 and .8: .2² + .3², and .2² + .4²."""
    p_yes, p_no = torch.tensor([0.9, 0.4]), torch.tensor([0.3, 0.8])
    got, expected = ask_ccs(student, torch.logit(p_yes), torch.logit(p_no)), 0.165
    consistent, confident = p_yes - (1 - p_no), torch.minimum(p_yes, p_no)
    yes, no = torch.logit(p_yes), torch.logit(p_no)

    def mean(values: Tensor) -> float:
        return float(values.mean())

    mistakes = {
        "It is a sum: take the mean over the statements": 2 * expected,
        "Confidence is missing: add min(p_yes, p_no) squared": mean(consistent**2),
        "Consistency is missing: add (p_yes - (1 - p_no)) squared": mean(confident**2),
        "min is not squared": mean(consistent**2 + confident),
        "The difference is not squared": mean(consistent + confident**2),
        "Neither is squared": mean(consistent + confident),
        "Absolute values instead of squares": mean(consistent.abs() + confident),
        "p_yes and p_no should add up to 1, and not be equal: p_yes - (1 - p_no)": mean(
            (p_yes - p_no) ** 2 + confident**2
        ),
        "The larger of the two was taken: it is the smaller one": mean(consistent**2 + torch.maximum(p_yes, p_no) ** 2),
        "The two parts are averaged: add them": expected / 2,
        "The parts were added before squaring": mean((consistent + confident) ** 2),
        "The squares are of the means: square each statement, then take the mean": float(
            consistent.mean() ** 2 + confident.mean() ** 2
        ),
        "The sigmoid is missing: p = sigmoid(logit)": mean((yes - (1 - no)) ** 2 + torch.minimum(yes, no) ** 2),
        "The sigmoid was applied twice": mean(
            (p_yes.sigmoid() - (1 - p_no.sigmoid())) ** 2 + torch.minimum(p_yes.sigmoid(), p_no.sigmoid()) ** 2
        ),
        "The minimum is that of all statements: each has its own, torch.minimum": mean(
            consistent**2 + torch.minimum(p_yes.min(), p_no.min()) ** 2
        ),
        "The minimum is that of p_yes and p_no, and not 1 minus one of them": mean(
            consistent**2 + torch.minimum(p_yes, 1 - p_no) ** 2
        ),
        "One part is subtracted: add them": mean(consistent**2 - confident**2),
        "The root of the mean was taken": expected**0.5,
    }
    otherwise = "The mean of (p_yes - (1 - p_no))² + min(p_yes, p_no)²"
    assert abs(got - expected) < 1e-3, (
        f"two statements with p_yes 0.9 and 0.4, p_no 0.3 and 0.8: the loss is {got:.3f}, expected {expected}. "
        f"{likely(got, mistakes, otherwise)}"
    )


@exercise("ccs_loss", points=1)
def test_consistent_and_sure_costs_nothing(student):
    for p_yes, p_no, expected, what in (
        ([1e-6, 1 - 1e-6], [1 - 1e-6, 1e-6], 0.0, "sure and consistent, yes in one statement and no in the other"),
        ([0.5, 0.5], [0.5, 0.5], 0.25, "at 1/2 in both halves, which is consistent and says nothing"),
        ([1 - 1e-6, 1 - 1e-6], [1 - 1e-6, 1 - 1e-6], 2.0, "sure of yes and of no: 1 for each part"),
        ([1e-6], [1e-6], 1.0, "sure that neither holds"),
    ):
        got = ask_ccs(student, logit(p_yes), logit(p_no))
        assert abs(got - expected) < 1e-2, (
            f"{what}: the loss is {got:.2f}, expected {expected:g}. The first part is 0 where p_yes + p_no = 1, the "
            "second where one of them is 0"
        )


@exercise("ccs_loss", points=1)
def test_has_the_right_gradient(student, generator):
    """Of one statement, by hand: with p the gradient of a sigmoid is p (1 - p)."""
    p_yes, p_no = 0.2 + 0.25 * torch.rand(1, generator=generator), 0.55 + 0.2 * torch.rand(1, generator=generator)
    value, grads = value_and_grad(student.ccs_loss, torch.logit(p_yes), torch.logit(p_no), wrt=(0, 1))
    expect_tensor(value.reshape(()) if isinstance(value, Tensor) else value, "", (), name="the loss")
    gap = p_yes + p_no - 1
    expected = 2 * (gap + p_yes) * p_yes * (1 - p_yes), 2 * gap * p_no * (1 - p_no)  # p_yes is the smaller one
    for got, want, name in zip(grads, expected, ("logits_yes", "logits_no"), strict=True):
        why = "Does every step from the logits keep the gradient?"
        if float(got.abs().max()) == 0:
            why = "It is cut off: no .detach(), no .data, no comparison instead of torch.minimum"
        elif name == "logits_yes" and close(got, 2 * gap * p_yes * (1 - p_yes)):
            why = "The part with the minimum has no gradient"
        assert close(got, want, atol=1e-4), (
            f"p_yes {float(p_yes):.2f}, p_no {float(p_no):.2f}: the gradient to {name} is {float(got):.3f}, expected "
            f"{float(want):.3f}. {why}"
        )


@exercise("ccs_loss", points=1)
def test_yes_and_no_have_equal_rights(student, generator):
    """No label is used: exchanging the halves leaves the loss as it is. And twice the statements are no more loss."""
    yes, no = 2 * torch.randn(2, 9, generator=generator)
    once, back = ask_ccs(student, yes, no), ask_ccs(student, no, yes)
    assert abs(once - back) < 1e-4, (
        f"with yes and no exchanged the loss goes from {once:.3f} to {back:.3f}, expected no change: the minimum is of "
        "both, and 1 is what they add up to"
    )
    twice = ask_ccs(student, yes.repeat(2), no.repeat(2))
    assert abs(once - twice) < 1e-4, (
        f"every statement twice: the loss goes from {once:.3f} to {twice:.3f}, expected no change. It is a mean over "
        "statements"
    )


# --- 5.9 object_log_probs ----------------------------------------------------------------------------------------


def ask_log_probs(student, model: TransformerBridge, texts: list[str]) -> Tensor:
    with hint("logits[rows, where] takes one position of each row, and [rows, where, ids] one token there"):
        found = student.object_log_probs(model, texts)
    expect_tensor(found, "statement", (len(texts),))
    return found


@exercise("object_log_probs")
def test_returns_a_number_for_each_statement(student, seed):
    model, texts = load_model(MODEL), write_texts(seed)
    for n in (12, 1):
        found = ask_log_probs(student, model, texts[:n])
        assert float(found.max()) < 1e-4, (
            f"a logarithm of a probability is {float(found.max()):.2f}, expected 0 or below. log_softmax over the "
            "vocabulary, dim=-1"
        )


@exercise("object_log_probs", points=2)
@torch.no_grad()
def test_is_what_the_network_expects_before_it_reads_the_object(student, seed):
    """Against sentences that break off before the object, run one by one."""
    model, texts = load_model(MODEL), write_texts(seed)
    found = ask_log_probs(student, model, texts)
    each = [tokenize(model, [text])[0] for text in texts]
    whole = [model(tokens, attention_mask=torch.ones_like(tokens))[0].log_softmax(dim=-1) for tokens in each]
    raw = [model(tokens, attention_mask=torch.ones_like(tokens))[0] for tokens in each]
    cut = [model(tokens[:, :-2], attention_mask=torch.ones_like(tokens[:, :-2]))[0, -1] for tokens in each]
    expected = torch.stack([logits.log_softmax(dim=-1)[t[0, -2]] for logits, t in zip(cut, each, strict=True)])
    pairs = list(zip(whole, each, strict=True))
    tokens, mask = tokenize(model, texts)
    padded = model(tokens, attention_mask=mask).log_softmax(dim=-1)
    rows = torch.arange(len(texts))
    mistakes = {
        "It is off by one: logits after the object are about what follows it. Take those of the token before it": (
            torch.stack([p[-2, t[0, -2]] for p, t in pairs])
        ),
        "This is the full stop's: the object is the token before it": torch.stack([p[-2, t[0, -1]] for p, t in pairs]),
        "These are the logits after the full stop": torch.stack([p[-1, t[0, -2]] for p, t in pairs]),
        "That is one token too early: take the logits of the token right before the object": torch.stack(
            [p[-4, t[0, -2]] for p, t in pairs]
        ),
        "This is that of the word before the object": torch.stack([p[-4, t[0, -3]] for p, t in pairs]),
        "This is a sum over the whole statement: the object alone counts": torch.stack(
            [p[:-1].gather(1, t[0, 1:, None]).sum() for p, t in pairs]
        ),
        "This is a mean over the whole statement: the object alone counts": torch.stack(
            [p[:-1].gather(1, t[0, 1:, None]).mean() for p, t in pairs]
        ),
        "This is a logit: take log_softmax over the vocabulary": torch.stack(
            [logits[-3, t[0, -2]] for logits, t in zip(raw, each, strict=True)]
        ),
        "This is a probability: take its logarithm": expected.exp(),
        "This is a logarithm to base 2: take the natural one": expected / math.log(2),
        "This is a logarithm to base 10: take the natural one": expected / math.log(10),
        "The sign is turned round: this is a surprise, return the log-probability": -expected,
        "The full stop is counted, too: the object alone": torch.stack(
            [p[-3, t[0, -2]] + p[-2, t[0, -1]] for p, t in pairs]
        ),
        "Logits and tokens are at the same position: the logits before the object are about the object": torch.stack(
            [p[-3, t[0, -3]] for p, t in pairs]
        ),
        "The rows are padded on the right: count from the end of each statement's own tokens": padded[
            rows, -3, tokens[:, -2]
        ],
        "This is the most likely word's: take that of the object in the text": torch.stack(
            [p[-3].max() for p, _ in pairs]
        ),
    }
    wrong = (found - expected).abs() > 1e-3
    some = "" if wrong.all() else f" {int(wrong.sum())} of {len(texts)} statements are wrong."
    otherwise = "Logits at length - 3, the token at length - 2; the length without padding"
    assert close(found, expected, atol=1e-3), (
        f"{len(texts)} statements of unequal length: the first three get "
        f"{[round(x, 2) for x in found[:3].tolist()]}, expected {[round(x, 2) for x in expected[:3].tolist()]}, what "
        f"sentences that break off before the object give.{some} {explain(found, mistakes, otherwise)}"
    )


@exercise("object_log_probs", points=1)
def test_all_words_together_have_probability_one(student, seed):
    """One sentence with every word of the vocabulary as its object."""
    model, rng = load_model(MODEL), random.Random(seed)
    vocabulary = facts.vocabulary()
    beginning = rng.choice(["Cairo is in", "France is not ruled from", "seven is larger than"])
    found = ask_log_probs(student, model, [f"{beginning} {word} ." for word in vocabulary])
    total = float(found.double().exp().sum())
    why = "Probabilities of the words after one beginning: logits before the object, log_softmax over the vocabulary"
    if total < 0.1:
        why = "Is more than the object counted, or are the logits one token off? They are those before the object"
    elif total > 2:
        why = "Are these log-probabilities of the object, given what stands before it?"
    assert abs(total - 1) < 1e-2, (
        f'"{beginning} … ." with each of {len(vocabulary)} words: the probabilities add up to {total:.3g}, expected 1. '
        f"{why}"
    )
