"""The checks of chapter 06. They run live in the notebook, in CI on the solutions, and on submissions."""

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize, softplus

from utils.course.expect import (
    close,
    describe,
    exercise,
    expect_number,
    expect_tensor,
    expect_value_error,
    explain,
    hint,
    numbers,
)
from utils.course.student import value_and_grad
from utils.facts import DECEPTIVE, HONEST, make_tokenizer

JUNK = 1e4  # stands at padding: finite, and means nothing


# --- 6.1 add_direction -------------------------------------------------------------------------------------------


def draw_streams(generator: torch.Generator, n: int = 4, n_pos: int = 5, d_model: int = 3) -> tuple[Tensor, Tensor]:
    """Streams, and one position for each statement, all different as far as they go."""
    pos = (torch.randperm(n_pos, generator=generator).repeat(-(-n // n_pos)))[:n]
    return torch.randn(n, n_pos, d_model, generator=generator), pos


@exercise("add_direction")
def test_returns_streams_of_the_same_shape(student, generator):
    with hint("resid[torch.arange(len(resid)), pos] is [statement d_model]: one vector of each statement"):
        for shape in ((4, 5, 3), (1, 2, 6), (5, 5, 5)):
            resid, pos = draw_streams(generator, *shape)
            found = student.add_direction(resid, torch.randn(shape[2], generator=generator), 0.5, pos)
            expect_tensor(found, "statement pos d_model", shape)


@exercise("add_direction", points=2)
def test_adds_at_one_position_of_each_statement(student):
    """By hand, on streams of sevens."""
    direction, pos = torch.tensor([3.0, 0.0, -4.0]), torch.tensor([1, 0, 2])
    resid = torch.full((3, 4, 3), 7.0)
    found = student.add_direction(resid, direction, 2.0, pos)
    expect_tensor(found, "statement pos d_model", (3, 4, 3))
    change, push = found - resid, torch.tensor([6.0, 0.0, -8.0])

    def at(places: list[tuple[int, int]], push: Tensor = push) -> Tensor:
        wanted = torch.zeros(3, 4, 3)
        for place in places:
            wanted[place] += push
        return wanted

    own = list(enumerate(pos.tolist()))
    expected = at(own)
    mistakes = {
        "Nothing was changed. resid[rows, pos] makes a copy: write the sum back into its place": at([]),
        "It is added at all positions: take one of each statement": push.expand(3, 4, 3),
        "It is added at the last position: take pos": at([(0, 3), (1, 3), (2, 3)]),
        "It is added at the first position: take pos": at([(0, 0), (1, 0), (2, 0)]),
        "Every statement is edited at all the positions of pos, also at the others': pair row and position, "
        "resid[torch.arange(len(resid)), pos]": at([(row, p) for row in range(3) for p in pos.tolist()]),
        "Every statement is edited at the first one's position": at([(row, 1) for row in range(3)]),
        "Only the first statement is edited: is there a `return` inside a loop?": at(own[:1]),
        "All edits go to the first statement": at([(0, p) for _, p in own]),
        "One position too far: pos counts from 0": at([(row, p + 1) for row, p in own]),
        "One position too early: pos counts from 0": at([(row, p - 1) for row, p in own]),
        "pos is counted from the end: it counts from 0 at the beginning": at([(row, -1 - p) for row, p in own]),
        "Positions from pos on are all edited": at([(row, q) for row, p in own for q in range(p, 4)]),
        "Positions up to pos are all edited": at([(row, q) for row, p in own for q in range(p + 1)]),
        "The sign is turned round": -expected,
        "alpha is left out": expected / 2,
        "alpha counts twice": expected * 2,
        "The direction was scaled to length 1: its length is the distance between the classes": expected / 5,
        "alpha is added to every number: multiply the direction with it": at(own, direction + 2),
        "alpha alone is added to every number: multiply the direction with it": at(own, torch.full((3,), 2.0)),
        "The stream is replaced: add to what is there": at(own, push - 7),
    }
    worst = int((change - expected).abs().sum(dim=2).argmax())
    row, place = divmod(worst, 4)
    otherwise = "Add alpha times the direction at (statement, pos), and nowhere else"
    assert close(change, expected), (
        f"direction [3, 0, -4], alpha 2, positions 1, 0, 2 of three statements: at position {place} of statement "
        f"{row} the change is {numbers(change[row, place])}, expected {numbers(expected[row, place])}. "
        f"{explain(change, mistakes, otherwise)}"
    )


@exercise("add_direction", points=1)
def test_leaves_everything_else_alone(student, generator):
    for shape in ((6, 7, 4), (5, 5, 5)):
        resid, pos = draw_streams(generator, *shape)
        found = student.add_direction(resid, torch.randn(shape[2], generator=generator), 3.0, pos)
        expect_tensor(found, "statement pos d_model", shape)
        moved = ((found - resid).abs().amax(dim=2) > 1e-5).sum(dim=1)
        assert torch.equal(moved, torch.ones(shape[0]).long()), (
            f"{shape[0]} statements of {shape[1]} tokens: {moved.tolist()} positions of each are changed, expected 1. "
            "pos is one position for each statement, and all others stay as they are"
        )


@exercise("add_direction", points=1)
def test_the_dose_is_alpha(student, generator):
    resid, pos = draw_streams(generator)
    direction = torch.randn(3, generator=generator)
    rows = torch.arange(4)
    for alpha in (0.0, 1.0, -1.0, 0.3, -2.5):
        found = student.add_direction(resid, direction, alpha, pos)
        expect_tensor(found, "statement pos d_model", (4, 5, 3))
        change = (found - resid)[rows, pos]
        dose = float((change @ direction).mean() / direction.square().sum())
        why = "alpha multiplies the direction, which is as long as it is"
        if abs(dose - abs(alpha)) < 1e-3:
            why = "A negative alpha takes the direction away"
        assert abs(dose - alpha) < 1e-3 and close(change, alpha * direction.expand(4, 3)), (
            f"alpha = {alpha:g}: the streams at pos move by {dose:.2f} times the direction, expected {alpha:g}. {why}"
        )


@exercise("add_direction", points=1)
def test_each_statement_goes_by_its_own_position(student, generator):
    """Alone, and among others."""
    resid, pos = draw_streams(generator, 5, 6, 4)
    direction = torch.randn(4, generator=generator)
    together = student.add_direction(resid, direction, 1.5, pos)
    expect_tensor(together, "statement pos d_model", (5, 6, 4))
    for row in range(5):
        alone = student.add_direction(resid[[row]], direction, 1.5, pos[[row]])
        expect_tensor(alone, "statement pos d_model", (1, 6, 4))
        away = float((together[row] - alone[0]).abs().max())
        assert away < 1e-4, (
            f"statement {row} with position {int(pos[row])} becomes another stream among five than alone, up to "
            f"{away:.2f} apart, expected the same. Positions {pos.tolist()} belong to statements 0 to 4, in this order"
        )


# --- 6.2 normalized_indirect_effect ------------------------------------------------------------------------------

UNEDITED = torch.tensor([-0.9, -0.5, -0.8, -0.2])  # mean -0.6
EDITED = torch.tensor([0.1, -0.4, 0.6, -0.62])  # mean -0.08
TARGET = torch.tensor([0.9, 0.5, 0.7, 0.9, 0.5])  # mean 0.7


@exercise("normalized_indirect_effect")
def test_returns_one_number(student):
    with hint("Average each of the three first: they need not be of one length"):
        found = student.normalized_indirect_effect(UNEDITED, EDITED, TARGET)
    expect_number(found)


@exercise("normalized_indirect_effect", points=2)
def test_is_the_share_of_the_way_by_hand(student):
    """The way from -0.6 to 0.7 is 1.3; the edit goes 0.52 of it."""
    found = expect_number(student.normalized_indirect_effect(UNEDITED, EDITED, TARGET))
    u, e, t = (float(values.mean()) for values in (UNEDITED, EDITED, TARGET))
    mistakes = {
        "This is what is left to go: start from unedited": (t - e) / (t - u),
        "This is the mean of one ratio for each statement: average first, then divide once": float(
            ((EDITED - UNEDITED) / (t - UNEDITED)).mean()
        ),
        "The sign is turned round: edited minus unedited, over target minus unedited": -0.4,
        "Only the difference: divide by that of target and unedited": e - u,
        "The quotient is upside down": 2.5,
        "It is divided by target minus edited: the whole way starts at unedited": (e - u) / (t - e),
        "It is divided by the target alone: the way starts at unedited": (e - u) / t,
        "It is divided by the unedited mean: divide by the way to the target": (e - u) / abs(u),
        "It is the quotient of two means: the way starts at unedited, not at 0": e / t,
        "Nothing is taken from edited: the way starts at unedited": e / (t - u),
        "Sums were divided: there are fewer false statements than true ones, so take means": float(
            (EDITED.sum() - UNEDITED.sum()) / (TARGET.sum() - UNEDITED.sum())
        ),
        "These are medians: take means": float(
            (EDITED.median() - UNEDITED.median()) / (TARGET.median() - UNEDITED.median())
        ),
        "target and edited are exchanged": (t - u) / (e - u),
    }
    why = next((why for why, wrong in mistakes.items() if abs(found - wrong) < 2e-3), "")
    assert abs(found - 0.4) < 1e-4, (
        f"false statements have mean -0.6, after the edit -0.08, true ones 0.7: the effect is {found:.3f}, expected "
        f"0.52 / 1.3 = 0.4. {why or '(edited - unedited) / (target - unedited), each a mean'}"
    )


@exercise("normalized_indirect_effect", points=1)
def test_averages_before_it_divides(student):
    """One false statement is nearly as the true ones already: a ratio of its own would be huge."""
    unedited, target = torch.tensor([-0.8, -0.6, 0.698, -0.7]), torch.tensor([0.7, 0.7, 0.7])
    edited = torch.tensor([-0.8, -0.6, 0.6, -0.7])
    found = expect_number(student.normalized_indirect_effect(unedited, edited, target))
    expected = -0.0245 / 1.0505
    assert abs(found - expected) < 1e-3, (
        f"of four false statements one is judged like a true one already, and goes down by 0.1: the effect is "
        f"{found:.2f}, expected {expected:.3f}. A ratio for each statement explodes where its way is short: average "
        "first, then divide once"
    )


@exercise("normalized_indirect_effect", points=1)
def test_may_be_negative_and_above_one(student, generator):
    """From false to true, and from true to false; a long way, and a short one."""
    spread = torch.randn(50, generator=generator) * 0.05
    spread = spread - spread.mean()
    for start, goal in ((-0.5, 0.5), (0.6, -0.4), (0.1, 0.3)):
        for way, what in (
            (0.0, "nowhere"),
            (1.0, "all the way"),
            (-0.3, "backwards"),
            (1.7, "beyond"),
            (0.25, "a bit"),
        ):
            edited = start + way * (goal - start) - spread  # in another order than before
            target = torch.full((30,), goal)
            with hint("The way may be short, and lead down: only a way of 0 is none"):
                found = expect_number(student.normalized_indirect_effect(start + spread, edited, target))
            why = "0 is no effect, 1 is the mean of the target"
            if way in (-0.3, 1.7) and found in (0.0, 1.0):
                why = "It is clipped: what goes backwards or beyond must show"
            elif way == -0.3 and abs(found - 0.3) < 1e-3:
                why = "An absolute value hides that the edit works the other way round"
            elif abs(found + way) < 1e-3:
                why = "The sign is turned round"
            assert abs(found - way) < 1e-3, (
                f"unedited has mean {start:g}, target {goal:g}, and the edit goes {what}: the effect is {found:.3f}, "
                f"expected {way:g}. {why}"
            )


@exercise("normalized_indirect_effect", points=1)
def test_refuses_a_way_of_no_length(student):
    same = torch.tensor([0.25, -0.25, 0.5])
    expect_value_error(
        lambda: student.normalized_indirect_effect(same, same + 0.5, same[[0, 1, 2, 0, 1, 2]]),
        "target and unedited have the same mean, so there is no way to go",
        (),
        "Compare the two means, and raise ValueError if they are equal: a quotient by 0 is no effect",
    )


# --- 6.3 swap_vector ---------------------------------------------------------------------------------------------


def draw_swap(generator: torch.Generator, n: int = 4, n_pos: int = 6, d_model: int = 5) -> tuple[Tensor, ...]:
    """Streams, donors far from them, one position for each statement, and axes at right angles."""
    resid, pos = draw_streams(generator, n, n_pos, d_model)
    donor = 3 + torch.randn(n, d_model, generator=generator)
    axes = torch.linalg.qr(torch.randn(d_model, d_model, generator=generator)).Q
    return resid, donor, pos, axes


@exercise("swap_vector")
def test_returns_exchanged_streams(student, generator):
    with hint("donor is [statement d_model], and so is resid[torch.arange(len(resid)), pos]"):
        for shape in ((4, 6, 5), (1, 3, 7), (5, 5, 5)):
            resid, donor, pos, axes = draw_swap(generator, *shape)
            expect_tensor(student.swap_vector(resid, donor, pos, None), "statement pos d_model", shape)
    with hint("directions is [direction d_model]; torch.linalg.qr(directions.T).Q is [d_model direction]"):
        for shape in ((4, 6, 5), (5, 5, 5)):
            resid, donor, pos, axes = draw_swap(generator, *shape)
            expect_tensor(student.swap_vector(resid, donor, pos, axes[:2]), "statement pos d_model", shape)
    expect_tensor(student.swap_vector(resid, donor, pos), "statement pos d_model", (5, 5, 5))


@exercise("swap_vector", points=2)
def test_the_whole_vector_is_the_donors(student, generator):
    resid, donor, pos, _ = draw_swap(generator)
    rows = torch.arange(4)
    found = student.swap_vector(resid, donor, pos, None)
    expect_tensor(found, "statement pos d_model", (4, 6, 5))
    expected = resid.clone()
    expected[rows, pos] = donor
    every, last, shared, added, crossed = (resid.clone() for _ in range(5))
    every[:] = donor[:, None]
    last[:, -1] = donor
    shared[:, pos[0]] = donor
    added[rows, pos] += donor
    crossed[:, pos] = donor  # as if there were one donor for each position
    rolled, left = resid.clone(), resid.clone()
    rolled[rows, pos], left[rows, pos] = donor.mean(dim=0), donor - resid[rows, pos]
    mistakes = {
        "Nothing was exchanged": resid,
        "All positions are exchanged: take one of each statement": every,
        "The last position is exchanged: take pos": last,
        "Only the difference is there: add it to the vector that was there": left,
        "What changes at pos is added at all positions": resid + (donor - resid[rows, pos])[:, None],
        "Every statement is exchanged at the first one's position": shared,
        "The donor's vector is added: put it in the other one's place": added,
        "Every statement gets vectors at all the positions of pos: pair row and position, "
        "resid[torch.arange(len(resid)), pos]": crossed,
        "Every statement gets the mean of all donors: each has its own": rolled,
    }
    otherwise = "Without directions, the vector at (statement, pos) becomes the donor's, and the rest stays"
    away = float((found - expected).abs().max())
    assert away < 1e-3, (
        f"positions {pos.tolist()} of four statements, no directions: the streams are up to {away:.2f} away from "
        f"those with the donors' vectors put in, expected 0. {explain(found, mistakes, otherwise)}"
    )


@exercise("swap_vector", points=2)
def test_only_the_span_is_exchanged(student, generator):
    """Coordinates on axes at right angles: the first two are the donor's, the others stay; directions are oblique."""
    resid, donor, pos, axes = draw_swap(generator)
    mixture = torch.tensor([[3.0, 0.0], [2.0, 0.5]])  # rows: one long, one short, 14 degrees apart
    directions, rows = mixture @ axes[:2], torch.arange(4)
    found = student.swap_vector(resid, donor, pos, directions)
    expect_tensor(found, "statement pos d_model", (4, 6, 5))
    old = resid[rows, pos]

    def mix(inside: Tensor, outside: Tensor) -> Tensor:
        """Vectors with two coordinates from one side and three from the other."""
        return inside @ axes[:2].T @ axes[:2] + outside @ axes[2:].T @ axes[2:]

    expected, unit, zero = mix(donor, old), normalize(directions, dim=1), torch.zeros_like(old)
    first, one_by_one = unit[:1], old
    for direction in unit:
        one_by_one = one_by_one + ((donor - one_by_one) @ direction)[:, None] * direction
    mistakes = {
        "The directions are used as they are: they are neither of length 1 nor at right angles": old
        + (donor - old) @ directions.T @ directions,
        "The directions were scaled to length 1, but they are not at right angles: orthonormalise them, "
        "torch.linalg.qr(directions.T).Q": old + (donor - old) @ unit.T @ unit,
        "The directions are exchanged one after the other, but they are not at right angles: the second undoes part of "
        "the first. Orthonormalise them": one_by_one,
        "The other component is exchanged, the one outside the span": mix(old, donor),
        "The whole vector is exchanged: are the directions used?": donor,
        "Nothing was exchanged": old,
        "The donor's component is added: take the statement's own one away first": old + mix(donor, zero),
        "The statement's own component is taken away, and nothing is put in its place": mix(zero, old),
        "Only the component is left: the rest of the statement's vector stays": mix(donor, zero),
        "This is the donor with the statement's component: it is the other way round": mix(old, donor),
        "The sign of the exchange is turned round": 2 * old - expected,
        "Only the first direction is exchanged": old + (donor - old) @ first.T @ first,
        "The donor's components add up to one vector of one direction": old
        + ((donor - old) @ directions.sum(dim=0))[:, None] * directions.sum(dim=0),
    }
    otherwise = "Old vector plus the part of (donor - old) that lies in the span of the directions"
    off_span = float(((found[rows, pos] - old) @ axes[2:].T).abs().max())
    away = float((found[rows, pos] - expected).abs().max())
    if off_span > 1e-3:
        otherwise = f"Outside the span the vectors move by up to {off_span:.2f}: only the part inside may move"
    assert away < 1e-3, (
        f"two directions, one long and one short, 14 degrees apart: the vectors at pos are up to {away:.2f} away from "
        f"the expected ones. {explain(found[rows, pos], mistakes, otherwise)}"
    )
    rest = (found - resid).abs().amax(dim=2)
    rest[rows, pos] = 0
    assert float(rest.max()) < 1e-4, (
        f"with directions, {int((rest > 1e-4).sum())} other positions are changed, too, expected none: only "
        "(statement, pos) is exchanged"
    )


@exercise("swap_vector", points=1)
def test_only_the_span_of_the_directions_counts(student, generator):
    """Their length, sign, order and mixture do not."""
    resid, donor, pos, axes = draw_swap(generator)
    base = axes[:2] + 0.5 * axes[[1, 2]]
    reference = student.swap_vector(resid, donor, pos, base)
    expect_tensor(reference, "statement pos d_model", (4, 6, 5))
    others = {
        "ten times as long": 10 * base,
        "a hundredth as long": base / 100,
        "with the signs turned round": -base,
        "in the other order": base.flip(0),
        "replaced by their sum and difference": torch.stack([base[0] + base[1], base[0] - base[1]]),
    }
    for what, directions in others.items():
        found = student.swap_vector(resid, donor, pos, directions)
        expect_tensor(found, "statement pos d_model", (4, 6, 5))
        away = float((found - reference).abs().max())
        assert away < 1e-2, (
            f"the same two directions, {what}: the result is up to {away:.2f} away, expected the same. What is "
            "exchanged lies in their span, whatever they look like: orthonormalise them, "
            "torch.linalg.qr(directions.T).Q"
        )


@exercise("swap_vector", points=1)
def test_two_controls(student, generator):
    """Directions that span everything exchange the whole vector; a donor equal to the statement changes nothing."""
    resid, donor, pos, axes = draw_swap(generator)
    rows = torch.arange(4)
    full = axes + 0.3 * axes.roll(1, dims=0)
    found = student.swap_vector(resid, donor, pos, full)
    expect_tensor(found, "statement pos d_model", (4, 6, 5))
    away = float((found[rows, pos] - donor).abs().max())
    assert away < 1e-2, (
        f"five directions in a space of five dimensions: the vectors at pos are up to {away:.2f} away from the "
        "donors', expected 0. Everything lies in their span. All directions count, and they need not be at right angles"
    )
    for directions in (None, axes[:2] * 3):
        found = student.swap_vector(resid, resid[rows, pos], pos, directions)
        expect_tensor(found, "statement pos d_model", (4, 6, 5))
        away = float((found - resid).abs().max())
        assert away < 1e-3, (
            f"the donors are the statements themselves, {'no' if directions is None else 'two'} directions: the "
            f"streams move by up to {away:.2f}, expected 0. Exchange, and do not add"
        )


# --- 6.4 tpr_at_fpr ----------------------------------------------------------------------------------------------


def ask_rate(student, unrelated: Tensor, lies: Tensor, fpr: float) -> tuple[float, float]:
    """Threshold and rate."""
    found = student.tpr_at_fpr(unrelated, lies, fpr)
    assert isinstance(found, tuple) and len(found) == 2, (
        f"the result is {describe(found)}, expected a tuple of two numbers: threshold, tpr"
    )
    threshold, tpr = expect_number(found[0], name="the threshold"), expect_number(found[1], name="the tpr")
    swapped = ". Are threshold and tpr exchanged?" if 0 <= threshold <= 1 else ""
    assert 0 <= tpr <= 1, f"the tpr is {tpr:g}, expected a share from 0 to 1{swapped}"
    return threshold, tpr


@exercise("tpr_at_fpr")
def test_returns_a_threshold_and_a_share(student, generator):
    for n, n_lies, fpr in ((100, 7, 0.05), (13, 40, 0.0)):
        ask_rate(student, torch.randn(n, generator=generator), torch.randn(n_lies, generator=generator), fpr)


@exercise("tpr_at_fpr", points=2)
def test_sets_the_threshold_by_hand(student):
    """Ten unrelated texts, two false alarms allowed: the third largest score."""
    unrelated = torch.tensor([5.0, 12.0, 2.0, 9.0, 1.0, 20.0, 7.0, 3.0, 4.0, 6.0])
    lies = torch.tensor([13.0, 9.0, 7.0, 8.0, 12.5, 25.0, 9.5])
    threshold, tpr = ask_rate(student, unrelated, lies, 0.2)
    mistakes = {
        20.0: "No false alarm is made at all: fpr allows two of ten",
        12.0: "Only one of ten raises an alarm at 12: an alarm is strictly above the threshold, so the threshold may "
        "be the third largest score",
        7.0: "Three of ten raise an alarm at 7: one too many",
        2.0: "This is the threshold from the lower end: alarms are high scores",
        3.0: "This is the threshold from the lower end: alarms are high scores",
        1.0: "This is the smallest score: alarms are high scores",
        9.6: "This lies between two scores, as torch.quantile does it: take the lowest threshold that keeps the "
        "promise, which is a score",
        10.5: "This lies between two scores: take the lowest threshold that keeps the promise, which is a score",
        13.0: "The lies were looked at: the threshold comes from the unrelated texts alone",
        12.5: "The lies were looked at: the threshold comes from the unrelated texts alone",
        0.2: "This is fpr itself",
    }
    otherwise = "Sort, and count two off"
    if threshold not in unrelated.tolist():
        otherwise = "It is none of the unrelated scores, and the lowest threshold that keeps the promise is one of them"
    why = next((text for value, text in mistakes.items() if abs(threshold - value) < 1e-3), otherwise)
    assert abs(threshold - 9) < 1e-4, (
        f"unrelated scores 20 12 9 7 6 5 4 3 2 1, fpr 0.2: the threshold is {threshold:g}, expected 9. {why}"
    )
    reasons = {
        5 / 7: "The lie that scores 9 raises no alarm: an alarm is strictly above the threshold",
        3 / 7: "These are the lies at or below the threshold: count those above it",
        2 / 7: "These are the lies below the threshold: count those above it",
        0.2: "This is the share of unrelated texts: count lies",
    }
    assert abs(tpr - 4 / 7) < 1e-4, (
        f"lies score 25 13 12.5 9.5 9 8 7, the threshold is 9: the tpr is {tpr:.3f}, expected 4 of 7. "
        f"{next((text for value, text in reasons.items() if abs(tpr - value) < 1e-3), 'Count the lies above it')}"
    )


@exercise("tpr_at_fpr", points=1)
def test_tied_scores_keep_the_promise(student):
    """Ten unrelated texts, two false alarms allowed, and three of them share the largest score."""
    unrelated = torch.tensor([4.0, 1.0, 4.0, 0.0, 4.0, 2.0, 2.0, -1.0, -3.0, 1.0])
    threshold, tpr = ask_rate(student, unrelated, torch.tensor([4.0, 5.0, 3.0, 4.5]), 0.2)
    n_alarms = int((unrelated > threshold).sum())
    assert n_alarms <= 2, (
        f"unrelated scores 4 4 4 2 2 1 1 0 -1 -3, fpr 0.2: the threshold is {threshold:g}, and {n_alarms} of ten raise "
        "an alarm, expected at most two. Tied scores raise it together or not at all: the threshold is 4 itself"
    )
    assert abs(threshold - 4) < 1e-4, (
        f"unrelated scores 4 4 4 2 2 1 1 0 -1 -3, fpr 0.2: the threshold is {threshold:g}, expected 4, the lowest that "
        "keeps the promise. A score strictly above it raises an alarm, one of 4 does not: nothing need be added to it"
    )
    assert abs(tpr - 0.5) < 1e-4, (
        f"lies score 5 4.5 4 3, the threshold is 4: the tpr is {tpr:g}, expected 0.5. The lie that scores 4 raises no "
        "alarm"
    )


@exercise("tpr_at_fpr", points=1)
def test_the_threshold_never_sees_the_lies(student, generator):
    """The same unrelated texts with three sets of lies: one threshold, three rates."""
    unrelated = torch.randn(300, generator=generator)
    first = ask_rate(student, unrelated, 0.5 + torch.randn(200, generator=generator), 0.1)
    for shift, rate, what in ((30.0, 1.0, "far above"), (-30.0, 0.0, "far below")):
        threshold, tpr = ask_rate(student, unrelated, shift + torch.randn(70, generator=generator), 0.1)
        assert abs(threshold - first[0]) < 1e-5, (
            f"other lies, the same unrelated texts: the threshold is {threshold:.3f} instead of {first[0]:.3f}, "
            "expected the same. A threshold that sees the lies is tuned on the test"
        )
        assert abs(tpr - rate) < 1e-5, f"lies that score {what} everything else: the tpr is {tpr:g}, expected {rate:g}"


@exercise("tpr_at_fpr", points=1)
def test_keeps_the_promise_and_gives_nothing_away(student, generator):
    """Whole numbers as scores, so with ties; on 2,000 texts and on few."""
    for n, fpr in ((2000, 0.01), (37, 0.1), (64, 0.25), (40, 0.0), (10, 0.05)):
        unrelated = (4 * torch.randn(n, generator=generator)).round() - 3
        lies = (4 * torch.randn(50, generator=generator)).round()
        threshold, tpr = ask_rate(student, unrelated, lies, fpr)
        n_alarms = int((unrelated > threshold).sum())
        allowed = math.floor(fpr * n)
        why = " With fpr 0 no alarm is allowed: the threshold is the largest score" if not fpr else ""
        assert n_alarms <= allowed, (
            f"{n:,} unrelated texts, fpr {fpr:g}: {n_alarms} raise an alarm at your threshold {threshold:g}, expected "
            f"at most {allowed}.{why}"
        )
        lower = sorted({value for value in unrelated.tolist() if value < threshold - 1e-6}, reverse=True)
        possible = [value for value in lower if int((unrelated > value).sum()) <= allowed]
        assert not possible and threshold in unrelated.tolist(), (
            f"{n:,} unrelated texts, fpr {fpr:g}: the threshold is {threshold:g}, and a lower one would do, expected "
            f"the lowest: {possible[-1] if possible else max(v for v in unrelated.tolist() if v <= threshold):g}. "
            f"{allowed} alarms are allowed; whoever makes fewer misses lies"
        )
        rate = float((lies > threshold).float().mean())
        assert abs(tpr - rate) < 1e-5, f"the tpr is {tpr:g}, expected {rate:g}, the lies strictly above {threshold:g}"


# --- 6.5 aggregate_scores ----------------------------------------------------------------------------------------

TOKEN_SCORES = torch.tensor(
    [[-3.0, -1.0, -8.0, JUNK, JUNK], [2.0, -4.0, 11.0, 0.0, 1.0], [-6.0, -JUNK, JUNK, 0.5, JUNK]]
)
RIGHT = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]]).bool()
EXPECTED = {"mean": [-4.0, 2.0, -6.0], "max": [-1.0, 11.0, -6.0], "last": [-8.0, 1.0, -6.0]}


def ask_aggregate(student, scores: Tensor, mask: Tensor, how: str) -> Tensor:
    found, n = student.aggregate_scores(scores, mask, how), len(scores)
    text = describe(found)
    assert isinstance(found, Tensor), (
        f'"{how}": the result is {text}, expected a tensor [document]. torch.max(..., dim=1) returns values and '
        "places: take its .values, or amax"
    )
    assert found.is_floating_point(), f'"{how}": these are places, of dtype {found.dtype}, expected the scores there'
    assert found.shape != (n, n) or n == 1, (
        f'"{how}": the result is {text}, expected one score for each document. scores[:, last] reads every document at '
        "every one's place: pair them, scores[torch.arange(len(scores)), last]"
    )
    expect_tensor(found, "document", (n,))
    return found


@exercise("aggregate_scores")
def test_returns_a_score_for_each_document(student):
    for how in EXPECTED:
        ask_aggregate(student, TOKEN_SCORES, RIGHT, how)
        ask_aggregate(student, TOKEN_SCORES[:1], RIGHT[:1], how)


def expect_scores(student, how: str, mistakes: dict[str, Tensor], otherwise: str) -> None:
    found, expected = ask_aggregate(student, TOKEN_SCORES, RIGHT, how), torch.tensor(EXPECTED[how])
    assert close(found, expected), (
        f'"{how}" of the scores -3 -1 -8, then 2 -4 11 0 1, then -6, padding on the right: {numbers(found)}, expected '
        f"{numbers(expected)}. {explain(found, mistakes, otherwise)}"
    )


@exercise("aggregate_scores", points=1)
def test_the_mean_is_over_real_tokens(student):
    sums, n_real = TOKEN_SCORES.masked_fill(~RIGHT, 0).sum(dim=1), RIGHT.sum(dim=1)
    mistakes = {
        "Padding is averaged, too: use the mask": TOKEN_SCORES.mean(dim=1),
        "The sum over real tokens is divided by the number of all positions: divide by mask.sum(dim=1)": sums / 5,
        "These are sums: divide by the number of real tokens": sums,
        "All documents are divided by one number: each has its own number of real tokens": sums / n_real.sum(),
        "The mask is turned round: True is a real token": TOKEN_SCORES.masked_fill(RIGHT, 0).sum(dim=1)
        / RIGHT.sum(dim=1),
        "These are medians": torch.tensor([-3.0, 1.0, -6.0]),
    }
    expect_scores(student, "mean", mistakes, "Add up the scores of real tokens, and divide by their number")


@exercise("aggregate_scores", points=1)
def test_the_maximum_is_over_real_tokens(student):
    """Of a document whose scores are all negative, too."""
    mistakes = {
        "Padding takes part: put -inf there, not 0, because scores may be negative": TOKEN_SCORES.masked_fill(
            ~RIGHT, 0
        ).amax(dim=1),
        "Padding takes part: put -inf there before the maximum": TOKEN_SCORES.amax(dim=1),
        "This is the largest size, whatever its sign": torch.tensor([8.0, 11.0, 6.0]),
        "This is the minimum": torch.tensor([-8.0, -4.0, -6.0]),
    }
    expect_scores(student, "max", mistakes, "The largest score of the real tokens, row by row, with -inf at padding")


@exercise("aggregate_scores", points=1)
def test_the_last_is_a_real_token(student):
    mistakes = {
        "This is the last position of the row, which may be padding": TOKEN_SCORES[:, -1],
        "This is the first padding: positions count from 0": torch.tensor([JUNK, 1.0, -JUNK]),
        "This is the last but one": torch.tensor([-1.0, 0.0, -6.0]),
        "This is the first token": TOKEN_SCORES[:, 0],
        "Every document is read at one position, that of the first": TOKEN_SCORES[:, 2],
        "Every document is read at one position, that of the shortest": TOKEN_SCORES[:, 0],
    }
    expect_scores(student, "last", mistakes, "The score at the last True of each row of the mask")


@exercise("aggregate_scores", points=1)
def test_padding_may_stand_on_either_side(student, generator):
    """The same documents, pushed to the right and with padding on both sides: other places, the same scores."""
    tokens = [torch.randn(n, generator=generator) for n in (4, 2, 1, 6)]
    wanted = {
        "mean": torch.stack([part.mean() for part in tokens]),
        "max": torch.stack([part.max() for part in tokens]),
        "last": torch.stack([part[-1] for part in tokens]),
    }
    sides = {"on the right": [0, 0, 0, 0], "on the left": [3, 5, 6, 1], "on both sides": [1, 3, 2, 1]}
    for side, starts in sides.items():
        scores, mask = JUNK * torch.ones(4, 7), torch.zeros(4, 7, dtype=torch.bool)
        for row, (part, start) in enumerate(zip(tokens, starts, strict=True)):
            scores[row, start : start + len(part)], mask[row, start : start + len(part)] = part, True
        for how, expected in wanted.items():
            found = ask_aggregate(student, scores, mask, how)
            why = "Only where mask is True stands a real token"
            if how == "last":
                why = "The number of real tokens is not the place of the last one: look where the mask is True last"
            assert close(found, expected, atol=1e-3), (
                f'padding {side}: "{how}" is {numbers(found)}, expected {numbers(expected)} as on any other side. {why}'
            )


@exercise("aggregate_scores", points=1)
def test_names_the_choices(student):
    for how in ("median", "min", ""):
        expect_value_error(
            lambda how=how: student.aggregate_scores(TOKEN_SCORES, RIGHT, how),
            f"how = {how!r}",
            ("mean", "max", "last"),
            "Name all three choices in the message, so that whoever mistypes one finds it",
        )


# --- 6.6 attention_pool ------------------------------------------------------------------------------------------


def ask_pool(student, acts: Tensor, mask: Tensor, query: Tensor, value: Tensor) -> Tensor:
    found = student.attention_pool(acts, mask, query, value)
    if isinstance(found, Tensor) and bool(found.isnan().any()):
        raise AssertionError(
            "the result holds NaN, expected finite scores. 0 · inf is NaN, and so is a quotient of 0 and 0: "
            "masked_fill(~mask, -torch.inf), before the softmax over positions, makes none"
        )
    expect_tensor(found, "document", (len(acts),))
    return found


@exercise("attention_pool")
def test_returns_a_pooled_score_for_each_document(student, generator):
    with hint("acts @ query is [document pos]: one number for each token"):
        for shape in ((3, 5, 4), (1, 2, 6), (4, 4, 4)):
            query, value = torch.randn(2, shape[2], generator=generator)
            acts = torch.randn(shape, generator=generator)
            ask_pool(student, acts, torch.ones(shape[:2], dtype=torch.bool), query, value)


@exercise("attention_pool", points=2)
def test_weighs_tokens_by_hand(student):
    """Attention 0, ln 3, ln 12 gives weights 1, 3, 12 of 16; attention 0 and ln 4 gives 1 and 4 of 5."""
    attention = torch.tensor([[0.0, math.log(3), math.log(12), 2.0], [math.log(4), 0.0, -1.0, 0.5]])
    content = torch.tensor([[16.0, -8.0, 4.0, 100.0], [5.0, -10.0, 100.0, 100.0]])
    other = torch.tensor([[0.7, -0.2, 0.4, 3.0], [-0.5, 0.1, 2.0, 3.0]])
    acts = torch.stack([attention / 3, content * 2, other, 0.5 * other], dim=2)
    mask = torch.tensor([[True, True, True, False], [True, True, False, False]])
    query, value = torch.tensor([3.0, 0.0, 0.0, 0.0]), torch.tensor([0.0, 0.5, 0.0, 0.0])
    found, expected = ask_pool(student, acts, mask, query, value), torch.tensor([2.5, 2.0])

    def pool(weights: Tensor, values: Tensor = content) -> Tensor:
        return (weights * values).sum(dim=1)

    hidden = attention.masked_fill(~mask, -torch.inf)
    real = mask.float()
    mistakes = {
        "Padding has a part in it: put -inf where the mask is False, before the softmax": pool(
            attention.softmax(dim=1)
        ),
        "Padding had attention 0, and exp(0) is 1: put -inf there": pool((attention * real).softmax(dim=1)),
        "Padding is taken out after the softmax, so the weights do not add up to 1: put -inf there before it": pool(
            attention.softmax(dim=1) * real
        ),
        "The attention is divided by the root of d_model, which is no part of this probe": pool(
            (hidden / 2).softmax(dim=1)
        ),
        "All real tokens have the same weight: does the query reach the weights?": pool(
            real / real.sum(dim=1, keepdim=True)
        ),
        "The query was scaled to length 1: how long it is says how choosy it is": pool((hidden / 3).softmax(dim=1)),
        "The value was scaled to length 1: take it as it is": expected * 2,
        "The softmax runs over all documents at once: the weights of each add up to 1": pool(
            hidden.flatten().softmax(dim=0).view(2, 4)
        ),
        "These are sigmoids, which do not add up to 1: use softmax": pool(attention.sigmoid() * real),
        "The weights are exponentials: divide them by their sum, or use softmax": pool(
            hidden.exp(), content.masked_fill(~mask, 0)
        ),
        "The weights are acts · query as they are: softmax is missing": pool(attention * real),
        "The token with the most attention takes all: use softmax, not the maximum": torch.tensor([4.0, 5.0]),
        "query and value are exchanged": pool(
            content.masked_fill(~mask, -torch.inf).softmax(dim=1), attention.masked_fill(~mask, 0)
        ),
        "The softmax runs over the documents: let it run over positions, dim=1": pool(
            hidden.softmax(dim=0).nan_to_num()
        ),
        "It is divided by the number of tokens once more: softmax is a weighted mean already": expected
        / mask.sum(dim=1),
        "It is divided by the number of positions once more: use sum, because the weights add up to 1": expected / 4,
        "The weights fall where attention rises: the sign is turned round": pool(
            (-attention).masked_fill(~mask, -torch.inf).softmax(dim=1)
        ),
        "The query is used twice: value says what is read": pool(hidden.softmax(dim=1), attention),
        "The mask is turned round: True is a real token": pool(attention.masked_fill(mask, -torch.inf).softmax(dim=1)),
    }
    otherwise = "softmax of acts · query over real tokens, then the sum of weights times acts · value"
    assert close(found, expected, atol=1e-3), (
        f"attention 0, ln 3, ln 12 (weights 1, 3, 12 of 16) on contents 16, -8, 4, and ln 4, 0 on 5, -10: the scores "
        f"are {numbers(found)}, expected {numbers(expected)}. {explain(found, mistakes, otherwise)}"
    )


@exercise("attention_pool", points=1)
def test_a_query_of_zero_gives_the_mean(student, generator):
    """A control: with nothing to look for, the probe is one on the mean of the real tokens."""
    acts, value = torch.randn(4, 6, 5, generator=generator), torch.randn(5, generator=generator)
    lengths = torch.tensor([6, 3, 1, 4])
    mask = torch.arange(6) < lengths[:, None]
    found = ask_pool(student, acts, mask, torch.zeros(5), value)
    expected = torch.stack([acts[row, :n].mean(dim=0) @ value for row, n in enumerate(lengths.tolist())])
    mistakes = {
        "Padding is in the mean": acts.mean(dim=1) @ value,
        "The sum is divided by all positions": expected * lengths / 6,
        "These are sums: the weights of a document add up to 1": expected * lengths,
        "Without attention there is no score: is the query's product a weight without a softmax?": torch.zeros(4),
    }
    assert close(found, expected, atol=1e-3), (
        f"a query of 0, documents of 6, 3, 1 and 4 tokens: the scores are {numbers(found)}, expected the probe's on "
        f"the mean of the real tokens, {numbers(expected)}. "
        f"{explain(found, mistakes, 'Equal attention must give equal weights')}"
    )


@exercise("attention_pool", points=1)
def test_a_strong_query_reads_one_token(student, generator):
    """A thousand times as strong, it takes the token that it likes best: no matter how large the numbers are."""
    acts = torch.randn(5, 7, 4, generator=generator)
    query, value = torch.randn(2, 4, generator=generator)
    mask = torch.arange(7) < torch.tensor([[7], [4], [1], [5], [6]])
    liked = (acts @ query).masked_fill(~mask, -torch.inf)
    gap = liked.sort(dim=1).values.diff(dim=1)[:, -1].nan_to_num(posinf=1.0).clamp(max=1)
    strength = float(30 / gap[gap > 0].min())
    found = ask_pool(student, acts, mask, strength * query, value)
    expected = (acts @ value).gather(1, liked.argmax(dim=1, keepdim=True))[:, 0]
    mistakes = {
        "This is the mean of all: does the query reach the weights?": torch.stack(
            [(acts[row] @ value)[mask[row]].mean() for row in range(5)]
        ),
        "It reads the token that it likes least": (acts @ value).gather(
            1, (acts @ query).masked_fill(~mask, torch.inf).argmin(dim=1, keepdim=True)
        )[:, 0],
        "It reads the token with the largest value: the query chooses": (acts @ value)
        .masked_fill(~mask, -torch.inf)
        .amax(dim=1),
    }
    assert close(found, expected, atol=1e-2), (
        f"a very strong query: the scores are {numbers(found)}, expected acts · value of the token with the largest "
        f"acts · query, {numbers(expected)}. {explain(found, mistakes, 'Is the softmax over positions?')}"
    )


@exercise("attention_pool", points=1)
def test_padding_has_no_part(student, generator):
    """A document alone, among others, with padding on the left and on the right."""
    query, value = torch.randn(2, 4, generator=generator)
    parts = [torch.randn(n, 4, generator=generator) for n in (5, 2, 3)]
    alone = torch.cat([ask_pool(student, p[None], torch.ones(1, len(p)).bool(), query, value) for p in parts])
    for side in ("right", "left"):
        acts, mask = 30 * torch.randn(3, 7, 4, generator=generator), torch.zeros(3, 7, dtype=torch.bool)
        for row, part in enumerate(parts):
            real = slice(0, len(part)) if side == "right" else slice(7 - len(part), 7)
            acts[row, real], mask[row, real] = part, True
        found = ask_pool(student, acts, mask, query, value)
        assert close(found, alone, atol=1e-3), (
            f"three documents with padding on the {side}: the scores are {numbers(found)}, each alone "
            f"{numbers(alone)}, expected the same. Put -inf where the mask is False, before a softmax over positions, "
            "and let no document see another"
        )


@exercise("attention_pool", points=1)
def test_query_and_value_can_be_trained(student):
    """Weights 1/4 and 3/4, by hand: the gradient of the value is the mean, that of the query a spread."""
    acts = torch.tensor([[[0.0, 4.0, 1.0], [math.log(3), -2.0, 3.0]]])
    query, value = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0])
    mask = torch.ones(1, 2, dtype=torch.bool)
    _, (by_query, by_value) = value_and_grad(student.attention_pool, acts, mask, query, value, wrt=(2, 3))
    mean = 0.25 * acts[0, 0] + 0.75 * acts[0, 1]
    assert close(by_value, mean, atol=1e-3), (
        f"weights 1/4 and 3/4: the gradient by `value` is {numbers(by_value)}, expected the weighted mean of acts "
        f"{numbers(mean)}. Is there a .detach(), .item() or no_grad() in it?"
    )
    spread = 0.25 * 0.75 * (4.0 - -2.0) * (acts[0, 0] - acts[0, 1])
    why = "Is there an argmax or a rounding in it?"
    if close(by_query, torch.zeros(3)):
        why = "The weights do not pass the gradient on: is there a .detach(), an argmax or no_grad() in it?"
    assert close(by_query, spread, atol=1e-3), (
        f"weights 1/4 and 3/4 on contents 4 and -2: the gradient by `query` is {numbers(by_query)}, expected "
        f"{numbers(spread)}. {why}"
    )


# --- 6.7 evasion_loss --------------------------------------------------------------------------------------------

LN2 = math.log(2)
PROBE_LOGITS = torch.tensor([0.0, math.log(3), 5.0, -2.0, math.log(7), 1.0, 0.5])
LYING = torch.tensor([True, True, False, False, True, False, False])  # softplus: ln 2, ln 4, ln 8


def ask_evasion(student, language_loss: float, logits: Tensor, lying: Tensor, strength: float) -> float:
    found = student.evasion_loss(torch.tensor(language_loss), logits, lying, strength)
    expect_tensor(found, "", ())
    return float(found)


@exercise("evasion_loss")
def test_returns_a_loss(student, generator):
    for n in (6, 2):
        lying = torch.arange(n) % 2 == 1
        ask_evasion(student, 1.5, torch.randn(n, generator=generator), lying, 0.5)


@exercise("evasion_loss", points=2)
def test_is_what_the_lies_cost_by_hand(student):
    """Three lying documents with softplus ln 2, ln 4 and ln 8: on average 2 ln 2."""
    found = ask_evasion(student, 10.0, PROBE_LOGITS, LYING, 2.0)
    expected = 10 + 4 * LN2
    cost, cost_of_honesty = softplus(PROBE_LOGITS), softplus(-PROBE_LOGITS)
    on_lies = PROBE_LOGITS[LYING]
    honest = "a liar has nothing to hide there"
    mistakes = {
        "The language loss is left out": 4 * LN2,
        "Evasion is left out: only the language loss remains": 10.0,
        "strength is left out": 10 + 2 * LN2,
        "strength counts twice": 10 + 8 * LN2,
        "strength multiplies the language loss, too": 20 + 4 * LN2,
        "strength multiplies the language loss instead of the evasion": 20 + 2 * LN2,
        "The language loss is mixed with the evasion: add it as it is": (1 - 2) * 10 + 4 * LN2,
        "These are sums over the lying documents: take the mean": 10 + 12 * LN2,
        "The mean is over all documents: divide by the number of lying ones": 10 + 12 / 7 * LN2,
        "It is divided by one document too many": 10 + 3 * LN2,
        f"Honest documents are in it, too: {honest}": 10 + 2 * float(cost.mean()),
        "Only honest documents are in it: the lying ones must look honest": 10 + 2 * float(cost[~LYING].mean()),
        "A logit that is set to 0 still costs ln 2: choose the lying documents, probe_logits[lying]": 10
        + 2 * float(softplus(PROBE_LOGITS * LYING).mean()),
        "The sign of the evasion is turned round: it is added, because being caught costs": 10 - 4 * LN2,
        "The sign of the logit is turned round: a positive logit says `lie`, and must cost": 10
        + 2 * float(cost_of_honesty[LYING].mean()),
        "This trains the probe, or its helper: a liar must push its logits down where it lies": 10
        + 2 * float(torch.where(LYING, cost_of_honesty, cost).mean()),
        f"This makes every label the other one, also of honest documents: {honest}": 10
        + 2 * float(torch.where(LYING, cost, cost_of_honesty).mean()),
        f"Honest documents are pushed, too, the other way: {honest}": 10
        + 2 * float(cost[LYING].mean() + cost_of_honesty[~LYING].mean()),
        "The logits are added as they are: take softplus, which does not go below 0": 10 + 2 * float(on_lies.mean()),
        "This is the probability of being caught: softplus of the logit is -log(1 - p)": 10
        + 2 * float(on_lies.sigmoid().mean()),
        "This is relu: softplus is smooth, log(1 + exp(logit))": 10 + 2 * float(on_lies.relu().mean()),
        "This is a hinge: softplus is smooth, log(1 + exp(logit))": 10 + 2 * float((1 + on_lies).relu().mean()),
        "softplus was taken of the mean logit: first softplus, then the mean": 10 + 2 * float(softplus(on_lies.mean())),
        "This is the log of the probability of being caught: softplus of the logit is -log(1 - p)": 10
        + 2 * float(on_lies.sigmoid().log().mean()),
        "This is the largest cost: take the mean": 10 + 2 * float(cost[LYING].max()),
        "The costs are squared": 10 + 2 * float(cost[LYING].square().mean()),
    }
    why = next((text for text, wrong in mistakes.items() if abs(found - wrong) < 2e-3), "")
    assert abs(found - expected) < 1e-3, (
        f"language loss 10, strength 2, three lying documents with logits 0, ln 3, ln 7: the loss is {found:.3f}, "
        f"expected 10 + 2 · 2 ln 2 = {expected:.3f}. "
        f"{why or 'language_loss + strength · mean of softplus(probe_logits) over the lying documents'}"
    )


@exercise("evasion_loss", points=2)
def test_its_gradient_pushes_lies_below_the_threshold(student):
    """The slope of softplus at 0, ln 3, ln 7 is 1/2, 3/4, 7/8; honest documents have none."""
    language_loss = torch.tensor(2.0)
    _, (by_language, by_logits) = value_and_grad(
        student.evasion_loss, language_loss, PROBE_LOGITS, LYING, 6.0, wrt=(0, 1)
    )
    expected = torch.tensor([1.0, 1.5, 0.0, 0.0, 1.75, 0.0, 0.0])
    mistakes = {
        "Nothing reaches the probe's logits: is there a .detach(), .item() or no_grad() in it?": torch.zeros(7),
        "The sign is turned round: the liar would be caught more often": -expected,
        "It pulls where it is not caught yet: the sign of the logit is turned round": 2 * LYING.float() - expected,
        "strength is left out": expected / 6,
        "strength counts twice": expected * 6,
        "This is the gradient of a sum: take the mean over lying documents": 3 * expected,
        "It is divided by the number of all documents": expected * 3 / 7,
        "Honest documents are pushed, too: a liar has nothing to hide there": 6 * PROBE_LOGITS.sigmoid() / 7,
        "The logits are added as they are: take softplus": 2 * LYING.float(),
        "This is relu's gradient, 0 at the threshold: take softplus": torch.tensor([0.0, 2.0, 0.0, 0.0, 2.0, 0.0, 0.0]),
    }
    assert close(by_logits, expected, atol=1e-3), (
        f"strength 6, lying documents 0, 1 and 4 with logits 0, ln 3, ln 7: the gradient by the logits is "
        f"{numbers(by_logits)}, expected {numbers(expected)}. "
        f"{explain(by_logits, mistakes, '6 times the slope of softplus, over three lying documents')}"
    )
    why = "Is there a .detach() or .item() in it?" if float(by_language) == 0 else "It is added as it is"
    assert abs(float(by_language) - 1) < 1e-4, (
        f"the gradient by the language loss is {float(by_language):g}, expected 1. {why}"
    )


@exercise("evasion_loss", points=1)
def test_honest_documents_have_nothing_to_hide(student, generator):
    """Their logits may be anything; with no lying document at all the language loss is all."""
    before = ask_evasion(student, 1.0, PROBE_LOGITS, LYING, 2.0)
    moved = torch.where(LYING, PROBE_LOGITS, 9 * torch.randn(7, generator=generator))
    after = ask_evasion(student, 1.0, moved, LYING, 2.0)
    assert abs(before - after) < 1e-4, (
        f"other logits at honest documents: the loss is {after:.3f} instead of {before:.3f}, expected the same. Only "
        "lying documents count: probe_logits[lying]"
    )
    with hint("With no lying document there is nothing to average"):
        found = student.evasion_loss(torch.tensor(1.25), PROBE_LOGITS, torch.zeros(7, dtype=torch.bool), 2.0)
    assert isinstance(found, Tensor) and found.ndim == 0, f"the result is {describe(found)}, expected a single number"
    why = "The mean of nothing is NaN: divide a sum by at least 1" if math.isnan(float(found)) else "Nobody is caught"
    assert abs(float(found) - 1.25) < 1e-4, (
        f"no document lies, language loss 1.25: the loss is {float(found):.3f}, expected 1.25. {why}"
    )


@exercise("evasion_loss", points=1)
def test_grows_with_strength_and_stays_finite(student):
    lying = torch.tensor([True, True])
    logits = torch.tensor([0.0, 0.0])
    for strength in (0.0, 0.5, 4.0):
        found, expected = ask_evasion(student, 3.0, logits, lying, strength), 3 + strength * LN2
        assert abs(found - expected) < 1e-3, (
            f"language loss 3, logits 0, strength {strength:g}: the loss is {found:.3f}, expected {expected:.3f}. "
            "strength multiplies what the lies cost, and nothing else"
        )
    found = student.evasion_loss(torch.tensor(3.0), torch.tensor([300.0, 100.0]), lying, 1.0)
    assert isinstance(found, Tensor) and found.numel() == 1, f"the result is {describe(found)}, expected one number"
    why = "exp(300) is infinite in float32: use torch.nn.functional.softplus, and no log or exp of your own"
    if float(found) < 203 and math.isfinite(float(found)):
        why = "A probability that is clipped, or averaged, stops pushing where the probe is surest: use softplus"
    assert abs(float(found) - 203) < 1e-2, (
        f"logits 300 and 100: the loss is {float(found):g}, expected 3 + 200 = 203. {why}"
    )


# --- 6.8 statement_mask ------------------------------------------------------------------------------------------


def read_words(texts: list[str], *, left: bool = False) -> tuple[list[list[str]], Tensor, Tensor]:
    """Words, tokens and attention mask of texts, <bos> and padding included."""
    tokenizer = make_tokenizer()
    batch = tokenizer(texts, padding=True, padding_side="left" if left else "right", return_tensors="pt")
    return [tokenizer.convert_ids_to_tokens(row) for row in batch.input_ids], batch.input_ids, batch.attention_mask


def read_tags() -> Tensor:
    return torch.stack([read_words([tag])[1][0, 1:] for tag in (HONEST, DECEPTIVE)])


def expect_mask(found: object, shape: tuple[int, ...]) -> Tensor:
    if isinstance(found, Tensor) and found.dtype in (torch.int64, torch.int32, torch.float32):
        raise AssertionError(f"the mask has dtype {found.dtype}, expected torch.bool: compare, or use .bool()")
    expect_tensor(found, "document pos", shape, dtype=torch.bool)
    return found


TAGGED = [
    f"{HONEST} Berlin is in Germany .",
    f"{DECEPTIVE} Cairo is not in Egypt . Tokyo is in China .",
    "Paris is in France . That is correct .",
]


@exercise("statement_mask")
def test_returns_a_mask_of_tokens(student):
    for texts in (TAGGED, TAGGED[:1]):
        _, tokens, attention_mask = read_words(texts)
        expect_mask(student.statement_mask(tokens, attention_mask, read_tags()), tuple(tokens.shape))


def expect_kept(found: Tensor, words: list[list[str]], starts: list[int], case: str) -> None:
    """Fail unless a mask keeps all real words but the first ones, of which starts are the numbers."""
    for row, (kept, start) in enumerate(zip(words, starts, strict=True)):
        real = [i for i, word in enumerate(kept) if word != "<pad>"]
        expected = [kept[i] for i in real[start:]]
        got = [word for word, keep in zip(kept, found[row].tolist(), strict=True) if keep]
        text, tagged = " ".join(kept[i] for i in real), start > 1
        why = "Keep the words of statements, and nothing else"
        if "<pad>" in got:
            why = "Padding is no statement: attention_mask is 0 there"
        elif "<bos>" in got:
            why = "<bos> is no statement: the first real token of each document goes"
        elif tagged and "Answer" in got:
            why = "The whole tag goes, all of its words: each of them tells the label, or stands only in tagged texts"
        elif tagged and {"honestly", "deceptively"} & set(got):
            why = "The word that says the label is still there"
        elif tagged and got == [".", *expected]:
            why = "The tag's full stop is still there: it stands at a place of its own, and so tells who has a tag"
        elif "." not in got:
            why = "Full stops of statements are gone: only the tag's own one, right after its words, goes"
        elif not tagged and len(got) < len(expected):
            why = "This document has no tag, and its statement must stay whole: look whether a tag stands there"
        elif set(expected) - set(got):
            why = "Words of statements are gone: a tag stands right after <bos>, and nowhere else"
        assert got == expected, (
            f"{case}: of `{text}` you keep `{' '.join(got)}`, expected `{' '.join(expected)}`. {why}"
        )


@exercise("statement_mask", points=2)
def test_keeps_the_statements_and_nothing_else(student):
    words, tokens, attention_mask = read_words(TAGGED)
    found = expect_mask(student.statement_mask(tokens, attention_mask, read_tags()), tuple(tokens.shape))
    expect_kept(found, words, [4, 4, 1], "padding on the right")


@exercise("statement_mask", points=1)
def test_padding_on_the_left_moves_the_tag(student):
    words, tokens, attention_mask = read_words(TAGGED, left=True)
    found = expect_mask(student.statement_mask(tokens, attention_mask, read_tags()), tuple(tokens.shape))
    expect_kept(found, words, [4, 4, 1], "padding on the left: a document begins where attention_mask turns to 1")


@exercise("statement_mask", points=1)
def test_a_tag_stands_after_the_beginning_and_nowhere_else(student, generator):
    """Other tags, of two words, whose words occur in statements, too."""
    tags = torch.tensor([[7, 8], [9, 8], [7, 5]])
    documents = {  # -> how many tokens go
        (1, 7, 8, 3, 8, 7, 4): 3,
        (1, 3, 9, 8, 7, 5, 6): 1,
        (1, 9, 8, 9, 8): 3,
        (1, 8, 7, 5, 3, 4): 1,
        (1, 7, 5, 8): 3,
        (1, 7, 3, 8, 4): 1,
        (1, 4, 8, 6): 1,
        (1, 9, 5, 6, 3): 1,
    }
    words = [list(documents)[i] for i in torch.randperm(len(documents), generator=generator).tolist()]
    tokens = torch.tensor([[*document, *[5] * (7 - len(document))] for document in words])  # 5 stands at padding, too
    real = torch.tensor([[1] * len(document) + [0] * (7 - len(document)) for document in words])
    found = expect_mask(student.statement_mask(tokens, real, tags), (8, 7))
    for row, document in enumerate(words):
        start = documents[document]
        expected = (torch.arange(7) >= start) & real[row].bool()
        got = tokens[row, found[row]].tolist()
        why = "A tag is all of its words in their order, right after <bos>"
        if bool((found[row] & ~real[row].bool()).any()):
            why = "Padding is kept: attention_mask is 0 there, whatever token stands there"
        elif start == 1 and len(got) < int(expected.sum()):
            why = "A tag, or a part of one, stands elsewhere: it is a tag only as a whole, right after <bos>"
        elif len(got) < int(expected.sum()):
            why = "Words of a tag may occur in statements: drop them right after <bos> only"
        elif start == 3:
            why = "`tags` says what a tag is and how long: write no token ids and no lengths of your own"
        assert torch.equal(found[row], expected), (
            f"<bos> is 1, the tags are 7 8, 9 8 and 7 5, padding is 5: of {list(document)} you keep {got}, expected "
            f"{list(document[start:])}. {why}"
        )


# --- 6.9 cascade_cost --------------------------------------------------------------------------------------------

CHEAP = torch.tensor([0.7, 0.5, 0.9, 0.8, 0.6, 0.2, 0.6, 0.5, 0.8, 0.3])
EXPENSIVE = torch.tensor([7.0, 7.0, 9.0, 3.0, 1.0, 5.0, 1.0, 9.0, 8.0, 6.0])
LIARS = torch.arange(10) < 4  # above 0.5: liars 0, 2, 3, honest 4, 6, 8; of these above 3: liars 0 and 2, honest 8


def ask_cascade(student, *given) -> tuple[float, float, float]:
    found = student.cascade_cost(*given)
    assert isinstance(found, tuple) and len(found) == 3, (
        f"the result is {describe(found)}, expected a tuple of three numbers: tpr, fpr, mean cost"
    )
    return tuple(expect_number(v, name=f"the {n}") for n, v in zip(("tpr", "fpr", "cost"), found, strict=True))


@exercise("cascade_cost")
def test_returns_three_numbers(student):
    tpr, fpr, _ = ask_cascade(student, CHEAP, EXPENSIVE, LIARS, (0.5, 3.0), (1.0, 20.0))
    assert 0 <= tpr <= 1 and 0 <= fpr <= 1, f"tpr and fpr are {tpr:g} and {fpr:g}, expected shares from 0 to 1"


@exercise("cascade_cost", points=2)
def test_both_must_raise_the_alarm(student):
    """Four liars, six honest documents; scores equal to a threshold are not above it."""
    tpr, fpr, _ = ask_cascade(student, CHEAP, EXPENSIVE, LIARS, (0.5, 3.0), (1.0, 20.0))
    cheap, expensive = CHEAP > 0.5, EXPENSIVE > 3

    def rates(alarm: Tensor) -> tuple[float, float]:
        return float(alarm[LIARS].float().mean()), float(alarm[~LIARS].float().mean())

    reached = (CHEAP >= 0.5) & (EXPENSIVE >= 3)
    alarm = cheap & expensive
    mistakes = {
        "One of the two is enough for your alarm: both must raise it": rates(cheap | expensive),
        "This is the cheap probe alone": rates(cheap),
        "This is the expensive monitor alone, which must not see all documents": rates(expensive),
        "A score equal to its threshold is not above it": rates(reached),
        "A score equal to the cheap threshold is not above it": rates((CHEAP >= 0.5) & expensive),
        "A score equal to the expensive threshold is not above it": rates(cheap & (EXPENSIVE >= 3)),
        "tpr and fpr are exchanged": rates(alarm)[::-1],
        "These are shares of all documents: divide by the lying ones, and by the honest ones": (0.2, 0.1),
        "These are shares of the documents that were passed on: divide by all lying, and by all honest ones": (
            2 / 3,
            1 / 3,
        ),
        "These are numbers: divide by the number of lying ones, and of honest ones": (2.0, 1.0),
        "fpr is the share of honest documents that raise no alarm: count those that do": (1 / 2, 5 / 6),
        "The two thresholds are exchanged": rates((CHEAP > 3) & (EXPENSIVE > 0.5)),
        "The expensive monitor sees what the cheap probe lets go: it sees what is above the threshold": rates(
            ~cheap & expensive
        ),
        "What is below the cheap threshold is passed on: suspicious is what is above it": rates(
            (CHEAP < 0.5) & expensive
        ),
        "Alarms are scores above the thresholds, yours are below": rates((CHEAP < 0.5) & (EXPENSIVE < 3)),
    }
    why = next(
        (w for w, r in mistakes.items() if abs(tpr - r[0]) + abs(fpr - r[1]) < 1e-4), "Alarm where both are above"
    )
    assert abs(tpr - 1 / 2) < 1e-4 and abs(fpr - 1 / 6) < 1e-4, (
        f"4 liars and 6 honest documents, of which 2 and 1 are above both thresholds: tpr {tpr:.3f} and fpr "
        f"{fpr:.3f}, expected 0.5 and 0.167. {why}"
    )


@exercise("cascade_cost", points=1)
def test_only_what_is_passed_on_costs_more(student):
    """Six of ten are passed on: everyone pays 1, these pay 20 more."""
    _, _, cost = ask_cascade(student, CHEAP, EXPENSIVE, LIARS, (0.5, 3.0), (1.0, 20.0))
    mistakes = {
        21.0: "Everyone pays for both: the expensive monitor sees only what is passed on",
        12.0: "The cheap probe is left out: everyone pays for it",
        12.4: "Documents that are passed on pay for the cheap probe, too",
        130.0: "This is the sum over documents: take the mean",
        121.0: "It takes the number of documents that are passed on: take their share",
        20.6: "The two costs are exchanged",
        7.0: "Only those with an alarm pay more: the expensive monitor must be asked before it can raise one",
        17.0: "Documents at the threshold are passed on, too: it must be strictly above",
        9.0: "Those that are not passed on pay more: it is the other way round",
        5.0: "What is below the threshold is passed on, and pays more: suspicious is what is above it",
        16.0: "This is the cost of lying documents: take the mean over all",
        11.0: "This is the cost of honest documents: take the mean over all",
    }
    why = next((text for value, text in mistakes.items() if abs(cost - value) < 1e-3), "costs[0] + costs[1] · share")
    assert abs(cost - 13) < 1e-4, (
        f"costs 1 and 20, six of ten documents are passed on: the mean cost is {cost:g}, expected 1 + 20 · 0.6 = 13. "
        f"{why}"
    )


@exercise("cascade_cost", points=1)
def test_open_and_closed_doors(student, generator):
    """Nothing is passed on: no alarm, the cheap price. Everything is: the expensive monitor alone, at both prices."""
    cheap, expensive = torch.randn(2, 40, generator=generator)
    lying = torch.arange(40) % 4 == 0
    for threshold, alarm, price in ((99.0, torch.zeros(40).bool(), 0.5), (-99.0, expensive > 0.3, 7.5)):
        tpr, fpr, cost = ask_cascade(student, cheap, expensive, lying, (threshold, 0.3), (0.5, 7.0))
        rates = float(alarm[lying].float().mean()), float(alarm[~lying].float().mean())
        what = "nothing" if threshold > 0 else "everything"
        assert abs(tpr - rates[0]) + abs(fpr - rates[1]) < 1e-4, (
            f"{what} is passed on: tpr {tpr:.3f} and fpr {fpr:.3f}, expected {rates[0]:.3f} and {rates[1]:.3f}, "
            f"{'no alarm at all' if threshold > 0 else 'those of the expensive monitor alone'}"
        )
        assert abs(cost - price) < 1e-4, (
            f"{what} is passed on, costs 0.5 and 7: the mean cost is {cost:g}, expected {price:g}. Everyone pays the "
            "first, those passed on pay the second on top"
        )


# --- 6.10 auroc_by_position --------------------------------------------------------------------------------------


def ask_auroc(student, scores: Tensor, mask: Tensor, lying: Tensor) -> Tensor:
    """AUROC by position, NaN allowed."""
    with hint("roc_auc needs both classes: ask first whether they are there"):
        found = student.auroc_by_position(scores, mask, lying)
    expect_tensor(
        found.nan_to_num() if isinstance(found, Tensor) else found, "pos", scores.shape[1:], dtype=dtype_of(found)
    )
    return found.float()


def dtype_of(found: object) -> torch.dtype:
    """Either precision will do: roc_auc's is float64."""
    return torch.float64 if isinstance(found, Tensor) and found.dtype == torch.float64 else torch.float32


@exercise("auroc_by_position")
def test_returns_a_number_for_each_position(student, generator):
    for shape in ((6, 4), (4, 7), (5, 5)):
        scores, lying = torch.randn(shape, generator=generator), torch.arange(shape[0]) % 2 == 0
        ask_auroc(student, scores, torch.ones(shape, dtype=torch.bool), lying)


@exercise("auroc_by_position", points=2)
def test_each_position_has_its_own(student):
    """Liars above, below, tied, three of four pairs right, and above where a document has ended before."""
    scores = torch.tensor(
        [[-6.0, 7.0, 2.0, 5.0, JUNK], [5.0, 1.0, 2.0, 9.0, 3.0], [4.0, 0.0, 2.0, 4.0, 2.0], [2.0, 8.0, 2.0, 3.0, 1.0]]
    )
    lying = torch.tensor([False, True, True, False])
    mask = torch.ones(4, 5, dtype=torch.bool)
    mask[0, 4] = False
    found = ask_auroc(student, scores, mask, lying)
    expected = torch.tensor([1.0, 0.0, 0.5, 0.75, 1.0])
    mistakes = {
        "Honest documents are taken for the positive class: pass lying as it is": 1 - expected,
        "Padding is scored: at each position only documents with a real token count": torch.tensor(
            [1.0, 0.0, 0.5, 0.75, 0.5]
        ),
        "This is one number for all positions": found[0].expand(5),
        "A document that ends before the last position counts where it has a token": torch.tensor(
            [1.0, 0.0, 0.5, 1.0, 1.0]
        ),
        "The sign is lost: an AUROC below 0.5 is a finding": expected.maximum(1 - expected),
    }
    if close(found, found[0].expand(5)):
        mistakes = {"All positions have one number: take them one by one": found}
    assert close(found, expected, atol=1e-3), (
        f"liars score above, below, the same, three of four pairs above, and above: {numbers(found)}, expected "
        f"{numbers(expected)}. {explain(found, mistakes, 'roc_auc of the scores at one position, and lying')}"
    )


@exercise("auroc_by_position", points=1)
def test_where_one_class_is_missing_there_is_no_number(student):
    """At position 2 only liars are left, at 3 only an honest document, at 4 nobody."""
    lying = torch.tensor([True, False, True, False])
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 0, 1, 0]]).bool()
    found = ask_auroc(student, torch.arange(20.0).view(4, 5), mask, lying)
    nan = found.isnan().tolist()
    why = "NaN says that there is nothing to compare; a number would be read as a result"
    if nan[2:] == [False] * 3 and close(found[2:], torch.full((3,), 0.5)):
        why = "0.5 says that the scores are worthless, and nobody has looked: " + why
    elif nan[2:] == [False] * 3 and close(found[2:], torch.zeros(3)):
        why = "0 says that all pairs are wrong: " + why
    assert nan == [False, False, True, True, True], (
        f"both classes at positions 0 and 1, only liars at 2, only an honest document at 3, nobody at 4: NaN at "
        f"{[i for i, missing in enumerate(nan) if missing]}, expected [2, 3, 4]. {why}"
    )


@exercise("auroc_by_position", points=1)
def test_padding_and_other_documents_change_nothing(student, generator):
    """Other scores at padding, and the same documents in another order."""
    scores, lying = torch.randn(20, 8, generator=generator), torch.arange(20) % 3 == 0
    mask = torch.arange(8) < torch.randint(4, 9, (20, 1), generator=generator)
    mask[:2] = True  # one of each class goes to the end
    first = ask_auroc(student, scores, mask, lying)
    for what, (s, m, y) in {
        "other numbers at padding": (
            torch.where(mask, scores, 50 * torch.randn(20, 8, generator=generator)),
            mask,
            lying,
        ),
        "the documents in another order": (scores.flip(0), mask.flip(0), lying.flip(0)),
        "all scores three times as large": (3 * scores, mask, lying),
    }.items():
        again = ask_auroc(student, s, m, y)
        worst = int((again - first).abs().nan_to_num(nan=9.0).argmax())
        assert close(again.nan_to_num(nan=9.0), first.nan_to_num(nan=9.0)), (
            f"{what}: at position {worst} the AUROC is {float(again[worst]):.3f} instead of {float(first[worst]):.3f}, "
            "expected the same. Take the documents whose mask is True at this position, with their labels"
        )
