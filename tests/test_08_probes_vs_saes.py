"""The checks of chapter 08. They run live in the notebook, in CI on the solutions, and on submissions."""

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
    numbers,
)
from utils.probes import LinearProbe, fit_logistic_regression_probe, fit_mass_mean_probe

# --- 8.1 select_latents ------------------------------------------------------------------------------------------


def draw_latents(generator: torch.Generator, n: int, n_latents: int, share: float = 0.3) -> tuple[Tensor, Tensor]:
    """Latents that are 0 for two examples of three, and labels with this share of True, in mixed order."""
    latents = torch.randn(n, n_latents, generator=generator).abs()
    latents = latents * (torch.rand(n, n_latents, generator=generator) < 1 / 3)
    labels = torch.arange(n) < max(1, round(share * n))
    return latents, labels[torch.randperm(n, generator=generator)]


def ask_latents(student, latents: Tensor, labels: Tensor, k: int) -> Tensor:
    """Indices, of the right kind."""
    with hint("latents[labels] is [n_true latent]; topk returns values and indices, both [k]"):
        found = student.select_latents(latents, labels, k)
    if isinstance(found, Tensor) and found.dtype == torch.bool:
        raise AssertionError(f"the result is a mask of shape {tuple(found.shape)}, expected k = {k} indices")
    if isinstance(found, Tensor) and found.is_floating_point():
        raise AssertionError("the result holds floats, expected indices: topk gives both, .values and .indices")
    n = latents.shape[1]
    expect_tensor(found, "k", (k,), dtype=torch.int64)
    assert int(found.min()) >= 0 and int(found.max()) < n and len(set(found.tolist())) == k, (
        f"{latents.shape[0]} examples, {n} latents, k = {k}: the result is {found.tolist()}, expected {k} different "
        f"numbers from 0 to {n - 1}. Indices are those of latents: average over the examples, dim=0"
    )
    return found


@exercise("select_latents")
def test_returns_k_indices_of_latents(student, generator):
    for n, n_latents, k in ((40, 12, 3), (12, 40, 1), (9, 9, 9), (30, 50, 33)):
        ask_latents(student, *draw_latents(generator, n, n_latents), k)


@exercise("select_latents", points=2)
def test_takes_the_largest_differences_by_hand(student):
    """Two True and six False examples; latent 2 is on for False, and the loudest latents say nothing."""
    labels = torch.tensor([True, False, False, True, False, False, False, False])
    columns = [
        [8, 8, 8, 8, 8, 8, 8, 8],  # always on: difference 0
        [7, 2, 3, 5, 1, 2, 2, 2],  # 6 - 2 = 4
        [0, 5, 6, 0, 7, 6, 7, 5],  # 0 - 6 = -6
        [1, 4, 0, 9, 0, 8, 0, 0],  # 5 - 2 = 3, with a large spread
        [1, 0, 0, 1, 0, 0, 0, 0],  # 1 - 0 = 1, without any spread
        [0, 3, 2, 1, 3, 3, 2, 2],  # 0.5 - 2.5 = -2
        [19, 0, 15, 2, 15, 0, 15, 15],  # 10.5 - 10 = 0.5, with a huge spread
    ]
    latents = torch.tensor(columns).float().T  # [example latent]
    found = ask_latents(student, latents, labels, 3)
    on, off = latents[labels], latents[~labels]
    difference = on.mean(dim=0) - off.mean(dim=0)
    every = latents - latents.mean(dim=0)

    def largest(score: Tensor) -> Tensor:
        return score.nan_to_num().topk(3).indices

    correlation = every.T @ (labels.float() - 0.25) / (every.square().sum(dim=0) + 1e-9).sqrt()
    noise = (on.var(dim=0) / 2 + off.var(dim=0) / 6 + 1e-9).sqrt()
    spread = (on.var(dim=0) + off.var(dim=0) + 1e-9).sqrt()
    mistakes = {
        "Latent 2 is on where the label is False, and you missed it: take the absolute difference": largest(difference),
        "These are the latents that are larger where the label is False: take the absolute difference": largest(
            -difference
        ),
        "This goes by the spread of the latents: take the difference of the class means": largest(latents.var(dim=0)),
        "This goes by the mean activation, and the labels have no part in it: latents 0 and 6 are loud, and alike "
        "in both classes": largest(latents.mean(dim=0)),
        "This goes by the mean over the True examples alone: subtract that over the False ones": largest(
            on.mean(dim=0)
        ),
        "This goes by the mean over the False examples alone": largest(off.mean(dim=0)),
        "These are differences of sums, and there are three times as many False examples: take means, each over the "
        "examples of its own class": largest((on.sum(dim=0) - off.sum(dim=0)).abs()),
        "The first examples are taken for the True ones: a label goes with its example": largest(
            (latents[:2].mean(dim=0) - latents[2:].mean(dim=0)).abs()
        ),
        "These are differences of medians: take means": largest(
            (on.median(dim=0).values - off.median(dim=0).values).abs()
        ),
        "This is a correlation with the labels, or the difference over a spread: take the plain difference": largest(
            correlation.abs()
        ),
        "The difference is divided by the spread of each class: take the plain difference": largest(
            difference.abs() / noise
        ),
        "The difference is divided by the spread: take the plain difference": largest(difference.abs() / spread),
        "This is how often a latent is on: take the values": largest(
            ((on > 0).float().mean(dim=0) - (off > 0).float().mean(dim=0)).abs()
        ),
        "The largest stands last: sort in descending order": torch.tensor([3, 1, 2]),
        "These are the right ones, but sorted by index: the largest difference comes first": torch.tensor([1, 2, 3]),
        "These are the smallest differences": difference.abs().argsort()[:3],
        "These are the first three latents": torch.arange(3),
        "These are ranks: argsort, or topk, says which latent stands where": difference.abs()
        .argsort(descending=True)
        .argsort()[:3],
        "These count from 1: the first latent is 0": torch.tensor([3, 2, 4]),
    }
    expected = torch.tensor([2, 1, 3])
    assert torch.equal(found, expected), (
        "means where True minus means where False are [0, 4, -6, 3, 1, -2, 0.5], k = 3: you chose "
        f"{found.tolist()}, expected [2, 1, 3]. {explain(found, mistakes, 'Rank by the absolute difference', atol=0)}"
    )


@exercise("select_latents", points=1)
def test_finds_planted_latents_among_loud_ones(student, generator):
    """One example of ten is True. Two planted latents are on where True, three where False, at known strength."""
    n, n_latents = 400, 30
    latents, labels = draw_latents(generator, n, n_latents, 0.1)
    places = torch.randperm(n_latents, generator=generator)
    planted, loud = places[:5], places[5:9]
    gaps = torch.tensor([-5.0, 4.0, -3.0, 2.5, -2.0])  # where True minus where False
    latents[:, planted] = 0.3 * latents[:, planted] + torch.where(
        labels[:, None] == (gaps > 0), gaps.abs(), torch.zeros(5)
    )  # the noise moves a difference by 0.03, a sixteenth of the smallest gap between two
    latents[:, loud] = 20 + latents[:, loud]  # always on; moves by 0.1
    for k in (1, 2, 5):
        found = ask_latents(student, latents, labels, k)
        found, expected = found.tolist(), planted[:k].tolist()
        why = "Rank by the absolute difference of two means"
        if found == planted[gaps > 0].tolist()[:k] or (k == 5 and not set(planted[gaps < 0].tolist()) & set(found)):
            why = "Those that are on where the label is False are missing: take the absolute difference"
        elif set(found) & set(loud.tolist()):
            why = "Some of yours are loud, and equally so in both classes: compare the means of the two classes"
        elif set(found) == set(expected):
            why = "These are the right ones in another order: the largest difference comes first"
        assert found == expected, (
            f"40 of 400 examples are True, latents {planted.tolist()} have planted differences {gaps.tolist()}, "
            f"k = {k}: you chose {found}, expected {expected}. {why}"
        )


@exercise("select_latents", points=1)
def test_what_does_not_matter(student, generator):
    """Which class is called True, the order of the examples, a constant added to a latent, the unit of all of them."""
    latents, labels = draw_latents(generator, 60, 20)
    latents = latents + labels[:, None] * torch.linspace(-2, 2.5, 20)  # differences far enough apart for rounding
    reference = ask_latents(student, latents, labels, 6).tolist()
    shuffled = torch.randperm(60, generator=generator)
    others = {
        "True and False are exchanged": (latents, ~labels, "The absolute difference is the same both ways round"),
        "the examples stand in another order": (latents[shuffled], labels[shuffled], "A label goes with its example"),
        "a constant is added to each latent": (
            latents + 8 * torch.rand(20, generator=generator),
            labels,
            "Both means move by it, so their difference does not",
        ),
        "all latents are three times as large": (3 * latents, labels, "All differences are three times as large"),
    }
    for what, (changed, flags, why) in others.items():
        found = ask_latents(student, changed, flags, 6).tolist()
        assert found == reference, (
            f"60 examples, k = 6: {what}, and the choice becomes {found} instead of {reference}, expected the same. "
            f"{why}"
        )


@exercise("select_latents", points=1)
def test_refuses_labels_of_one_class(student, generator):
    latents, _ = draw_latents(generator, 8, 5)
    for labels, what in ((torch.ones(8).bool(), "True"), (torch.zeros(8).bool(), "False")):
        expect_value_error(
            lambda labels=labels: student.select_latents(latents, labels, 2),
            f"all eight labels are {what}",
            ("labels",),
            "Without examples of both classes there is no difference: raise ValueError, and name labels in its text",
        )


# --- 8.2 fit_k_sparse_probe --------------------------------------------------------------------------------------


def ask_sparse(student, latents: Tensor, labels: Tensor, chosen: Tensor, *l2: float) -> LinearProbe:
    """A probe of all latents that is 0 where nothing was chosen."""
    with hint("latents[:, chosen] is [example k]; the returned weight is [latent], zeros with k numbers put in"):
        probe = student.fit_k_sparse_probe(latents, labels, chosen, *l2)
    assert isinstance(probe, LinearProbe), f"the result is {describe(probe)}, expected a LinearProbe"
    n, k = latents.shape[1], len(chosen)
    if probe.weight.shape == (k,) != (n,):
        raise AssertionError(
            f"weight has shape ({k},), one number for each chosen latent, expected ({n},): put them back into their "
            "places, and 0 everywhere else"
        )
    expect_tensor(probe.weight, "latent", (n,), name="weight")
    expect_tensor(probe.bias, "", (), name="bias")
    other = torch.ones(n).bool()
    other[chosen] = False
    strays = other & (probe.weight != 0)
    assert not strays.any(), (
        f"{n} latents, chosen {chosen.tolist()}: weight is not 0 at {int(strays.sum())} others, such as latent "
        f"{int(strays.int().argmax())}. Fit on the chosen columns only, and put each weight back to its own place"
    )
    return probe


@exercise("fit_k_sparse_probe")
def test_returns_a_probe_of_all_latents(student, generator):
    for n, n_latents, k in ((60, 9, 3), (40, 50, 1), (30, 5, 5), (24, 24, 6)):
        latents, labels = draw_latents(generator, n, n_latents)
        chosen = torch.randperm(n_latents, generator=generator)[:k]
        ask_sparse(student, latents, labels, chosen)
        ask_sparse(student, latents, labels, chosen, 0.5)


@exercise("fit_k_sparse_probe", points=2)
def test_one_latent_by_hand(student):
    """On for 20 examples (15 True) and off for 20 (4 True): next to no penalty, so logits are log odds."""
    value = 3.0
    on, labels = torch.arange(40) < 20, torch.zeros(40).bool()
    labels[:15], labels[20:24] = True, True
    latents = torch.zeros(40, 6)
    latents[:, 4] = value * on
    latents[:, 1] = labels * 2.0  # the label itself: a probe that sees it needs nothing else
    latents[:, 0] = (torch.arange(40) % 3).float()
    chosen = torch.tensor([4])
    probe = ask_sparse(student, latents, labels, chosen, 1e-5)
    slope, bias = (math.log(15 / 5) + math.log(16 / 4)) / value, -math.log(16 / 4)
    found = torch.tensor([float(probe.weight[4]), float(probe.bias)])
    every = fit_logistic_regression_probe(latents, labels, l2=1e-5)
    mass_mean = fit_mass_mean_probe(latents[:, chosen], labels)
    mistakes = {
        "The bias is missing: take the fitted probe's": torch.tensor([slope, 0.0]),
        "The sign is turned round": torch.tensor([-slope, -bias]),
        "The sign of the bias is turned round": torch.tensor([slope, -bias]),
        "The weight is that of a standardised latent: the probe is applied to latents as they are": torch.tensor(
            [slope * value / 2, bias]
        ),
        "The latents were made 0 and 1 before the fit: take their values": torch.tensor([slope * value, bias]),
        "The latents were centred before the fit, so the bias is that of other numbers": torch.tensor(
            [slope, bias + slope * value / 2]
        ),
        "It was fitted on all latents, and the other weights were deleted afterwards: fit on the chosen ones": (
            torch.stack([every.weight[4], every.bias])
        ),
        "The weight is 1: it is neither scaled to length 1, nor a mark of what was chosen": torch.tensor([1.0, bias]),
        "This is a mass-mean probe, the difference of the class means: fit a logistic regression": torch.stack(
            [mass_mean.weight[0], mass_mean.bias]
        ),
        "The first latents were fitted: take the columns in chosen, latents[:, chosen]": torch.tensor(
            [float(value) for value in _fit_one(latents[:, :1], labels, 1e-5)]
        ),
        "l2 is not used: hand it on, l2=l2": torch.tensor(
            [float(value) for value in _fit_one(latents[:, chosen], labels, 0.1)]
        ),
    }
    otherwise = "fit_logistic_regression_probe on latents[:, chosen], with this l2"
    # l2 1e-5 shrinks a standardised weight by about 1e-5 / 0.2; the fitter stops within 1e-4
    assert close(found, torch.tensor([slope, bias]), atol=0.01), (
        f"one latent, 3 for 20 examples of which 15 are True, 0 for 20 of which 4 are True: weight {found[0]:.3f} and "
        f"bias {found[1]:.3f}, expected {slope:.3f} and {bias:.3f}, so that the logits are log(15/5) and log(4/16). "
        f"{explain(found, mistakes, otherwise, atol=0.01)}"
    )


def _fit_one(latents: Tensor, labels: Tensor, l2: float) -> tuple[Tensor, Tensor]:
    probe = fit_logistic_regression_probe(latents, labels, l2=l2)
    return probe.weight[0], probe.bias


@exercise("fit_k_sparse_probe", points=1)
def test_nothing_is_left_to_gain(student, generator):
    """At the minimum of mean log-loss + l2/2 ‖weight‖² on the standardised chosen latents the gradient is 0."""
    latents, labels = draw_latents(generator, 120, 10)
    chosen = torch.tensor([7, 2, 5])
    latents[:, 7] = latents[:, 7] + 2 * labels
    latents[:, 2] = 4 * latents[:, 2] + ~labels
    latents[:, 0] = latents[:, 7] - latents[:, 2] + latents[:, 0]  # not chosen, and tells as much
    std = latents.std(dim=0, correction=0)
    z = (latents - latents.mean(dim=0)) / std
    for l2 in ((), (0.02,), (1.0,)):
        probe = ask_sparse(student, latents, labels, chosen, *l2)
        wanted = l2[0] if l2 else 0.1
        slope = (probe(latents).sigmoid() - labels.float()) / len(labels)  # [example]
        scaled = (probe.weight * std)[chosen]
        by_weight, by_bias = slope @ z[:, chosen], float(slope.sum())
        right = fit_logistic_regression_probe(latents[:, chosen], labels, l2=wanted).weight  # for the message alone
        singles = torch.cat([_fit_one(latents[:, [i]], labels, wanted)[0][None] for i in chosen.tolist()])
        mistakes = {
            "The bias is not the fitted one: on average, the probability must be the share of True examples": right,
            "The weights stand at each other's places: weight[chosen] = probe.weight": right[[2, 1, 0]],
            "The weights lost their signs: one that speaks for False is negative": right.abs(),
            "The weights are those of standardised latents": right * std[chosen],
            "Each latent was fitted alone: fit the chosen ones together": singles,
            "One number stands at all chosen places: give latents[:, chosen] all of them": singles[:1].expand(3),
            "It was fitted on all latents, and the other weights were deleted afterwards": (
                fit_logistic_regression_probe(latents, labels, l2=wanted).weight[chosen]
            ),
        }
        otherwise = "Fit on the chosen latents as they are, with the given l2 (0.1 if none is given)"
        why = explain(probe.weight[chosen], mistakes, otherwise, atol=0.01)
        used = float(-(by_weight @ scaled) / scaled.square().sum().clamp(min=1e-9))
        if float((by_weight + used * scaled).norm()) < 1e-3 and abs(used - wanted) > 0.1 * wanted:
            why = f"This is the minimum for l2 = {used:.3g}: hand l2 on as it is"
        gradient = float((by_weight + wanted * scaled).norm())
        # the fitter stops at 1e-5 of the gradient at 0, which is below 1
        assert gradient < 1e-3 and abs(by_bias) < 1e-3, (
            f"l2 = {wanted:g}, three chosen latents of ten: the gradient at your probe is {gradient:.4f} for the "
            f"weights and {by_bias:.4f} for the bias, expected 0: another probe on these latents is better. {why}"
        )


@exercise("fit_k_sparse_probe", points=1)
def test_each_weight_stands_at_its_latent(student, generator):
    """In whatever order they are chosen; a latent that is always 0 gets weight 0."""
    latents, labels = draw_latents(generator, 80, 12)
    chosen = torch.tensor([9, 1, 6, 3])
    for place, gap in zip(chosen.tolist(), (3.0, 2.0, 1.0, 0.5), strict=True):
        latents[:, place] = 0.5 * latents[:, place] + gap * torch.where(labels, 1.0, 0.4)
    latents[:, 3] = 0
    probe = ask_sparse(student, latents, labels, chosen)
    assert float(probe.weight[3]) == 0, (
        f"latent 3 is chosen and always 0: its weight is {float(probe.weight[3]):.3f}, expected 0, and numbers at the "
        "other three. Weight number i belongs to latent chosen[i]: weight[chosen] = probe.weight"
    )
    for order in ([3, 6, 1, 9], [1, 3, 6, 9], [6, 9, 3, 1]):
        other = ask_sparse(student, latents, labels, torch.tensor(order))
        away = float((other.weight - probe.weight).abs().max())
        assert away < 1e-2, (  # float32 sums in another order; weights are about 1
            f"chosen {order} instead of {chosen.tolist()}: the weights differ by up to {away:.2f}, expected the same "
            f"probe. In yours {numbers(other.weight[chosen])} stand at {chosen.tolist()}, before "
            f"{numbers(probe.weight[chosen])}. Weight number i belongs to latent chosen[i]"
        )
    moved = ask_sparse(student, latents.roll(2, dims=1), labels, (chosen + 2) % 12)
    assert close(moved.weight.roll(-2), probe.weight, atol=1e-2) and close(moved.bias, probe.bias, atol=1e-2), (
        "all latents move two places up, and chosen with them: the weights do not, expected the same ones, two places "
        "up. Take the columns from latents[:, chosen]"
    )


@exercise("fit_k_sparse_probe", points=1)
def test_reads_new_examples_only_with_the_right_latents(student, generator):
    """Two planted latents read unseen examples; as a control, three that say nothing do not."""
    latents, labels = draw_latents(generator, 400, 15, 0.5)
    right, wrong = torch.tensor([11, 4]), torch.tensor([0, 8, 13])
    latents[:, 11] += 2.0 * labels
    latents[:, 4] += 2.0 * ~labels
    train, test = slice(0, 200), slice(200, 400)
    for chosen, low, high, what in ((right, 0.9, 1.0, "planted"), (wrong, 0.35, 0.65, "of noise")):
        probe = ask_sparse(student, latents[train], labels[train], chosen)
        score = float(((probe(latents[test]) > 0) == labels[test]).float().mean())
        why = "Are rows and labels those that were given, and is the weight at the right place?"
        if high < 1 and score > high:
            why = "It uses latents that were not chosen"
        elif low > 0.5 and score < 0.1:
            why = "The sign is turned round"
        # 0.35 and 0.65 are 4 standard errors of 200 tosses from 0.5; the planted ones reach 0.97 or more
        assert low <= score <= high, (
            f"200 unseen examples, chosen latents {what}: accuracy {score:.2f}, expected {low:g} to {high:g}. {why}"
        )


# --- 8.3 select_by_validation ------------------------------------------------------------------------------------

NAN = float("nan")


def draw_scores(generator: torch.Generator, n_tasks: int, n_methods: int) -> tuple[Tensor, Tensor]:
    """Validation and test scores of methods that guess: 0.5, give or take 0.05."""
    validation, test = 0.5 + 0.05 * torch.randn(2, n_tasks, n_methods, generator=generator)
    return validation, test


def ask_winners(student, validation: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    """Winners and their scores, of the right kind."""
    n_tasks, n_methods = validation.shape
    with hint("validation and test are [task method]: argmax(dim=1) gives one method for each task"):
        found = student.select_by_validation(validation, test)
    assert isinstance(found, tuple) and len(found) == 2, (
        f"the result is {describe(found)}, expected a tuple of two tensors: winner [task], score [task]"
    )
    winner, score = found
    if isinstance(winner, Tensor) and winner.is_floating_point():
        raise AssertionError("winner holds floats, expected indices of methods. Are winner and score exchanged?")
    if isinstance(winner, Tensor) and winner.shape == (n_methods,) != (n_tasks,):
        raise AssertionError(
            f"winner has shape ({n_methods},), expected one method for each of the {n_tasks} tasks: you ran over the "
            "tasks, so take argmax(dim=1)"
        )
    expect_tensor(winner, "task", (n_tasks,), dtype=torch.int64, name="winner")
    assert isinstance(score, Tensor) and score.shape == (n_tasks,), (
        f"score is {describe(score)}, expected one test score for each of the {n_tasks} tasks: pair task and method, "
        "test[torch.arange(len(test)), winner]"
    )
    assert int(winner.min()) >= 0 and int(winner.max()) < n_methods, (
        f"winner runs from {int(winner.min())} to {int(winner.max())}, expected indices of {n_methods} methods"
    )
    return winner, score


@exercise("select_by_validation")
def test_returns_a_winner_and_a_score_for_each_task(student, generator):
    for n_tasks, n_methods in ((5, 3), (3, 3), (2, 8)):
        _, score = ask_winners(student, *draw_scores(generator, n_tasks, n_methods))
        expect_tensor(score, "task", (n_tasks,), name="score")


@exercise("select_by_validation", points=2)
def test_chooses_on_validation_and_reports_test_by_hand(student):
    """Five tasks, four methods; the best test score always belongs to another method."""
    validation = torch.tensor(
        [
            [0.70, 0.90, 0.60, 0.80],
            [0.95, 0.50, 0.72, 0.61],
            [0.66, 0.81, 0.64, 0.92],
            [0.55, 0.88, 0.88, 0.54],  # a tie
            [0.71, 0.80, 0.93, 0.60],
        ]
    )
    test = torch.tensor(
        [
            [0.95, 0.92, 0.58, 0.91],
            [0.83, 0.99, 0.78, 0.65],
            [0.97, 0.63, 0.68, 0.84],
            [0.57, 0.79, 0.85, 0.96],
            [0.73, 0.99, 0.85, 0.69],
        ]
    )
    winner, score = ask_winners(student, validation, test)
    expected, expected_score = torch.tensor([1, 0, 3, 1, 2]), torch.tensor([0.92, 0.83, 0.84, 0.79, 0.85])
    one = int(validation.mean(dim=0).argmax())
    mistakes = {
        "This is the method with the best test score: that is what the colleague does. Choose on validation": (
            test.argmax(dim=1)
        ),
        "Task 3 has two equal validation scores: of equal ones the first wins": torch.tensor([1, 0, 3, 2, 2]),
        "This is the method with the worst validation score": validation.argmin(dim=1),
        "One method is chosen for all tasks: each task has its own winner": torch.full((5,), one),
        "This is the best of both scores together: test has no say": (validation + test).argmax(dim=1),
        "The largest gap between validation and test was taken": (validation - test).argmax(dim=1),
        "These count from 1": expected + 1,
    }
    assert torch.equal(winner, expected), (
        f"five tasks, four methods: winners {winner.tolist()}, expected [1, 0, 3, 1, 2], those with the best "
        f"validation score. {explain(winner, mistakes, 'One argmax over the methods of each task')}"
    )
    reasons = {
        "This is the validation score of the winner, which won because it is high: report test": validation.amax(dim=1),
        "This is the best test score of each task: report that of the method which won on validation": test.amax(dim=1),
        "This is the mean of validation and test: report test": (validation.amax(dim=1) + expected_score) / 2,
        "This is the mean test score of all methods: report that of the winner": test.mean(dim=1),
        "Every task reports the first one's winner": test[:, 1],
        "This is the worse of the winner's two scores: report test": torch.minimum(
            validation.amax(dim=1), expected_score
        ),
        "The scores of other tasks are reported: pair task and method": test[torch.arange(5).flip(0), expected],
    }
    assert close(score, expected_score), (
        f"the winners are right, and their scores {numbers(score)}, expected {numbers(expected_score)}. "
        f"{explain(score, reasons, 'Take the test score of the winner, test[task, winner]')}"
    )


@exercise("select_by_validation", points=1)
def test_what_could_not_be_run_never_wins(student):
    """NaN on validation; scores are R², most of them below 0."""
    validation = torch.tensor([[NAN, -0.3, -0.1], [-0.5, NAN, NAN], [0.2, 0.4, NAN], [-2.0, NAN, -1.5]])
    test = torch.tensor([[NAN, -0.2, -0.4], [-0.6, 0.9, NAN], [0.1, 0.3, NAN], [-1.0, -2.0, -1.2]])
    winner, score = ask_winners(student, validation, test)
    mistakes = {
        "A method with NaN won: argmax takes NaN for the largest. Put -inf in its place": torch.tensor([0, 1, 2, 1]),
        "A method with NaN won: in place of NaN stands 0, which is more than a negative R². Put -inf there": (
            torch.tensor([0, 1, 1, 1])
        ),
        "A method with NaN won: what stands in its place must be below every score, so put -inf there": (
            validation.nan_to_num(nan=-1.0).argmax(dim=1)
        ),
        "Absolute values were compared: -0.3 is less than -0.1": validation.abs().nan_to_num(nan=-1.0).argmax(dim=1),
    }
    otherwise = "The largest number that is no NaN wins, however far below 0"
    expected = torch.tensor([2, 0, 1, 2])
    assert torch.equal(winner, expected), (
        "validation scores [NaN, -0.3, -0.1], [-0.5, NaN, NaN], [0.2, 0.4, NaN], [-2, NaN, -1.5]: the winners are "
        f"{winner.tolist()}, expected [2, 0, 1, 2]. {explain(winner, mistakes, otherwise)}"
    )
    assert close(score, torch.tensor([-0.4, -0.6, 0.3, -1.2])), (
        f"the winners are right, and their scores {numbers(score)}, expected [-0.4, -0.6, 0.3, -1.2]: report the test "
        "score as it is. NaN on test is of no account where the method did not win"
    )


@exercise("select_by_validation", points=1)
def test_coins_stay_coins(student, generator):
    """Fifty methods that guess: the score of the winner is 0.5 on average, and not that of the luckiest."""
    validation, test = draw_scores(generator, 400, 50)
    _, score = ask_winners(student, validation, test)
    found = float(score.mean())
    why = "Choose by validation, report test"
    if close(score, test.amax(dim=1)):
        why = "That is the best test score of each task: whoever chooses on test reports luck"
    elif close(score, validation.amax(dim=1)):
        why = "That is the best validation score of each task: report the test score of the winner"
    elif found > 0.51:
        why = "The test scores had a say in who wins, or validation scores in what is reported"
    # 0.05 over the root of 400 is 0.0025; the tolerance is four of these
    assert abs(found - 0.5) < 0.01, (
        f"400 tasks, 50 methods that guess: the winners score {found:.3f} on average, expected 0.5, give or take "
        f"0.01. {why}"
    )


@exercise("select_by_validation", points=1)
def test_test_scores_have_no_say(student, generator):
    """Other test scores, the same winners; methods in another order, the same scores."""
    validation, test = draw_scores(generator, 12, 7)
    first, score = ask_winners(student, validation, test)
    for what, changed in (("turned round", 1 - test), ("ten times as large", 10 * test), ("all 0", 0 * test)):
        second, other = ask_winners(student, validation, changed)
        n_moved = int((first != second).sum())
        assert n_moved == 0, (
            f"12 tasks, the test scores are {what}: the winners of {n_moved} tasks are others, expected the same. "
            "Validation alone decides"
        )
        assert close(other, changed[torch.arange(12), first]), (
            f"12 tasks, the test scores are {what}: the reported scores are not the winners' test scores any more"
        )
    order = torch.randperm(7, generator=generator)
    second, other = ask_winners(student, validation[:, order], test[:, order])
    assert torch.equal(order[second], first) and close(other, score), (
        f"12 tasks, the methods in another order: {int((order[second] != first).sum())} winners are others, expected "
        "the same methods, at their new places. Each task has its own winner"
    )


@exercise("select_by_validation", points=1)
def test_refuses_a_task_without_a_method(student):
    validation = torch.tensor([[0.5, 0.6], [NAN, NAN], [NAN, 0.7]])
    expect_value_error(
        lambda: student.select_by_validation(validation, torch.full((3, 2), 0.5)),
        "the second of three tasks has NaN on validation for both methods",
        ("task",),
        "No method can win there: raise ValueError, with the word task in its text",
    )
    with hint("Only a task without any method is refused: one that could be run is enough"):
        ask_winners(student, validation[[0, 2]], torch.full((2, 2), 0.5))


# --- 8.4 quiver_gain ---------------------------------------------------------------------------------------------


def ask_gains(student, validation: Tensor, test: Tensor, is_sae: Tensor) -> Tensor:
    """One gain for each task."""
    with hint("validation and test are [task method], is_sae is [method], and the result is [task]"):
        gains = student.quiver_gain(validation, test, is_sae)
    if isinstance(gains, Tensor) and gains.numel() == 1 < len(test):
        raise AssertionError(f"the result is the single number {float(gains):.3f}, expected a gain for each task")
    expect_tensor(gains, "task", (len(test),))
    return gains


@exercise("quiver_gain")
def test_returns_a_gain_for_each_task(student, generator):
    for n_tasks, n_methods in ((5, 3), (3, 3), (2, 8)):
        is_sae = torch.arange(n_methods) % 2 == 1
        ask_gains(student, *draw_scores(generator, n_tasks, n_methods), is_sae)


@exercise("quiver_gain", points=2)
def test_five_tasks_by_hand(student):
    """An SAE method wins and helps, wins and harms, loses but would have been better, could not be run, wins again."""
    is_sae = torch.tensor([False, True, False, True])
    validation = torch.tensor(
        [
            [0.80, 0.85, 0.70, 0.60],
            [0.80, 0.82, 0.75, 0.90],
            [0.60, 0.70, 0.88, 0.80],
            [0.70, NAN, 0.65, 0.66],
            [0.70, 0.60, 0.91, 0.95],
        ]
    )
    test = torch.tensor(
        [
            [0.78, 0.84, 0.72, 0.90],
            [0.81, 0.70, 0.79, 0.74],
            [0.65, 0.95, 0.80, 0.97],
            [0.72, 0.99, 0.60, 0.80],
            [0.87, 0.75, 0.85, 0.88],
        ]
    )
    gains = ask_gains(student, validation, test, is_sae)
    expected = torch.tensor([0.06, -0.07, 0.0, 0.0, 0.03])
    rows, filled = torch.arange(5), validation.nan_to_num(nan=-1)

    def best(scores: Tensor, among: Tensor | bool = True) -> Tensor:
        """Test scores of the winners by these scores, among these methods."""
        return test[rows, torch.where(torch.as_tensor(among), scores, -9.0).argmax(dim=1)]

    raw_dense = torch.where(is_sae, -9.0, validation)
    overall = int(filled.mean(dim=0).argmax())
    dense_overall = int(torch.where(is_sae, -9.0, filled.mean(dim=0)).argmax())
    mistakes = {
        "The sign is turned round: all methods minus the dense ones": -expected,
        "These are SAE methods alone minus dense ones: among *all* methods the dense ones can win, and then the gain "
        "is 0": best(filled, is_sae) - best(filled, ~is_sae),
        "The methods were chosen by their test scores, so the gain is never negative: choose on validation": (
            test.amax(dim=1) - torch.where(is_sae, -9.0, test).amax(dim=1)
        ),
        "This is the gain on validation, which is never negative: report test": (
            filled.amax(dim=1) - torch.where(is_sae, -9.0, filled).amax(dim=1)
        ),
        "is_sae is used the wrong way round: it is the SAE methods that are left out the second time": (
            best(filled) - best(filled, is_sae)
        ),
        "The negative gain was set to 0: an SAE method that wins on validation and fails on test costs something": (
            expected.clamp(min=0)
        ),
        "An absolute value hides that an SAE method did harm": expected.abs(),
        "A method with NaN on validation won: put -inf in its place": (
            test[rows, validation.argmax(dim=1)] - test[rows, raw_dense.argmax(dim=1)]
        ),
        "The winner among all is right, but the dense one was chosen by its test score: choose on validation": (
            best(filled) - torch.where(is_sae, -9.0, test).amax(dim=1)
        ),
        "The winner among the dense is right, but the one among all was chosen by its test score: choose on "
        "validation": test.amax(dim=1) - best(filled, ~is_sae),
        "This is the best SAE test score minus the dense winner's": (
            torch.where(is_sae, test, -9.0).amax(dim=1) - best(filled, ~is_sae)
        ),
        "The first dense method stands for all of them: the best of them on validation does": best(filled) - test[:, 0],
        "This is the mean of the SAE methods minus the mean of the dense ones": (
            test[:, is_sae].mean(dim=1) - test[:, ~is_sae].mean(dim=1)
        ),
        "One method is chosen for all tasks: each task has its own winner": test[:, overall] - test[:, dense_overall],
        "The winner's index among the dense methods is used as one among all: keep the columns, and put -inf at the "
        "SAE methods": best(filled) - test[rows, filled[:, ~is_sae].argmax(dim=1)],
        "This is the winner's test score: subtract that of the dense winner": best(filled),
        "The mean gain stands at every task: one gain for each": expected.mean().expand(5),
        "The winner's validation score is in it: report test on both sides": filled.amax(dim=1) - best(filled, ~is_sae),
        "This is in percent of the dense score: take the plain difference": expected / best(filled, ~is_sae),
    }
    otherwise = "Test score of the winner among all, minus that of the winner among the dense"
    assert close(gains, expected), (
        f"five tasks, methods 1 and 3 are SAE methods: the gains are {numbers(gains)}, expected "
        f"{numbers(expected)}. {explain(gains, mistakes, otherwise)}"
    )


@exercise("quiver_gain", points=1)
def test_nothing_is_gained_where_a_dense_method_wins(student, generator):
    """Whatever the SAE methods score on test; scores are R², all below 0, and some methods could not be run."""
    validation, test = draw_scores(generator, 60, 6)
    validation, test = validation - 3, test - 3
    is_sae = torch.tensor([True, False, True, False, False, True])
    validation[:, is_sae] -= 2  # far below every dense method
    test[:, is_sae] += 2
    validation[::3, 0] = NAN
    validation[1::3, 3] = NAN
    gains = ask_gains(student, validation, test, is_sae)
    n_wrong = int((gains.abs() > 1e-6).sum())
    why = "The winner among all methods is then the winner among the dense: the same score twice"
    if close(gains, test[:, is_sae].amax(dim=1) - test[:, ~is_sae].amax(dim=1), atol=0.5) and n_wrong == 60:
        why = "The winners by test score, or the SAE methods alone, were compared with the dense ones"
    elif n_wrong and not (gains[2::3].abs() > 1e-6).any():
        why = "They are tasks with a NaN: put -inf there, since 0 is more than a negative R²"
    assert n_wrong == 0, (
        f"60 tasks in which no SAE method wins on validation: {n_wrong} gains are not 0, such as "
        f"{float(gains[gains.abs().argmax()]):.3f}, expected none. {why}"
    )


@exercise("quiver_gain", points=1)
def test_coins_gain_nothing_on_average(student, generator):
    """Methods that guess: as often better as worse, and 0 wherever a dense one wins."""
    validation, test = draw_scores(generator, 600, 10)
    is_sae = torch.arange(10) < 5
    gains = ask_gains(student, validation, test, is_sae)
    mean, worse = float(gains.mean()), float((gains < 0).float().mean())
    zero = float((gains == 0).float().mean())
    why = "Choose both winners by validation, and report their test scores"
    if worse == 0 and mean > 0.005:
        why = "No gain is negative: test scores had a say in the choice, or validation scores are reported"
    # half of the gains are differences of two scores: 0.05 over the root of 600 is 0.002, tolerance four of these
    assert abs(mean) < 0.009, (
        f"600 tasks, ten methods that guess, five of them SAE: the mean gain is {mean:.3f}, expected 0, give or take "
        f"0.009. {why}"
    )
    # a share of one half of 600 has a standard error of 0.02, of one quarter 0.018
    assert 0.4 < zero < 0.6 and 0.17 < worse < 0.33, (
        f"600 tasks, ten methods that guess, five of them SAE: {zero:.0%} of the gains are 0 and {worse:.0%} negative, "
        f"expected about 50 % and 25 %. A dense method wins every second task, and then nothing is gained. {why}"
    )


@exercise("quiver_gain", points=1)
def test_methods_may_stand_in_any_order(student, generator):
    validation, test = draw_scores(generator, 20, 9)
    is_sae = torch.arange(9) >= 5
    reference = ask_gains(student, validation, test, is_sae)
    for order in (torch.arange(9).flip(0), torch.randperm(9, generator=generator)):
        gains = ask_gains(student, validation[:, order], test[:, order], is_sae[order])
        n_other = int(((gains - reference).abs() > 1e-6).sum())
        assert n_other == 0, (
            f"20 tasks, nine methods in the order {order.tolist()}: {n_other} gains are others, expected the same. "
            "Which are SAE methods stands in is_sae, and the index of a winner must be one among all methods"
        )


@exercise("quiver_gain", points=1)
def test_refuses_a_quiver_of_one_kind(student, generator):
    validation, test = draw_scores(generator, 4, 3)
    for is_sae, what in ((torch.ones(3).bool(), "all"), (torch.zeros(3).bool(), "none")):
        expect_value_error(
            lambda is_sae=is_sae: student.quiver_gain(validation, test, is_sae),
            f"{what} of the three methods are SAE methods",
            ("is_sae",),
            "There is nothing to compare: raise ValueError, and name is_sae in its text",
        )


# --- 8.5 stratified_interval -------------------------------------------------------------------------------------


def draw_gains(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Gains of 60, 12 and 8 tasks of models 7, 3 and -1, in mixed order, with other means and spreads."""
    parts = [
        mean + spread * torch.randn(n, generator=generator)
        for n, mean, spread in ((60, 0.3, 0.02), (12, -0.2, 0.06), (8, 0.2, 0.03))
    ]
    order = torch.randperm(80, generator=generator)
    return torch.cat(parts)[order], torch.tensor([7] * 60 + [3] * 12 + [-1] * 8)[order]


def ask_interval(student, *given) -> tuple[float, float, float]:
    """Mean, low, high."""
    with hint("Models are named by any whole numbers: go through model_of.unique(), and gains[model_of == model]"):
        found = student.stratified_interval(*given)
    assert isinstance(found, tuple) and len(found) == 3, (
        f"the result is {describe(found)}, expected a tuple of three numbers: mean, low, high"
    )
    mean, low, high = (
        expect_number(value, name=name)
        for value, name in zip(found, ("the mean", "the lower end", "the upper end"), strict=True)
    )
    assert low <= high, f"the lower end {low:.4f} is above the upper end {high:.4f}. Return mean, low, high"
    return mean, low, high


@exercise("stratified_interval")
def test_returns_three_numbers(student, generator):
    gains, model_of = draw_gains(generator)
    mean, low, high = ask_interval(student, gains, model_of)
    assert low <= mean <= high, (
        f"the mean {mean:.4f} lies outside its interval, {low:.4f} to {high:.4f}. Return mean, low, high, in this "
        "order. If they are: the resamples need the same statistic as the gains"
    )
    ask_interval(student, gains[:2], torch.tensor([5, 5]), 50)
    ask_interval(student, gains[:3], torch.tensor([0, 1, 0]), 50, 3)


@exercise("stratified_interval", points=1)
def test_every_model_counts_alike_by_hand(student):
    """Six, two and three tasks with the means 0.1, -0.2 and 0.4."""
    gains = torch.tensor([0.1, -0.3, 0.0, 0.2, 0.7, 0.3, -0.1, 0.0, 0.4, -0.1, 0.1])
    model_of = torch.tensor([4, 9, 4, 4, 2, 4, 9, 4, 2, 2, 4])
    means = {4: 0.7 / 6, 9: -0.2, 2: 1.0 / 3}
    mean, _, _ = ask_interval(student, gains, model_of)
    expected = sum(means.values()) / 3
    mistakes = {
        "Every task counts alike, so the model with most tasks decides: average over each model's tasks first": 1.3
        / 11,
        "These are sums over each model's tasks: take means": (0.7 - 0.4 + 1.0) / 3,
        "The models' means are added up: average them": sum(means.values()),
        "This is the model with the smallest number alone": means[2],
        "This is the model with most tasks alone": means[4],
        "This is the last model alone: is there a `return` inside a loop?": means[9],
        "This is the median of the models' means: average them": means[4],
        "These are medians of each model's tasks: take means": (0.1 - 0.3 + 0.4) / 3,
        "These are medians of the tasks of each model: take means": (0.1 - 0.2 + 0.4) / 3,
        "The models count by their numbers": sum(name * value for name, value in means.items()) / 15,
    }
    why = next((text for text, wrong in mistakes.items() if abs(mean - wrong) < 1e-3), "")
    # the mean of the resamples is near it, but not the same
    if not why and abs(mean - expected) < 0.02:
        why = "This is near it: is it the mean of the resamples?"
    assert abs(mean - expected) < 1e-5, (
        f"three models with 6, 2 and 3 tasks have mean gains 0.117, -0.2 and 0.333: the mean is {mean:.4f}, expected "
        f"{expected:.4f}. {why or 'Average over the tasks of each model, then over models'}"
    )


@exercise("stratified_interval", points=1)
def test_without_spread_inside_the_models_there_is_no_interval(student):
    """Sixty tasks with gain 0, three with 0.3, one with -0.1: whatever is drawn within a model, nothing moves."""
    gains = torch.tensor([0.0] * 30 + [0.3] * 3 + [0.0] * 30 + [-0.1])
    model_of = torch.tensor([1] * 30 + [0] * 3 + [1] * 30 + [2])
    mean, low, high = ask_interval(student, gains, model_of)
    expected = 0.2 / 3
    why = "Draw within each model, as many tasks as it has"
    if abs(low) < 0.06 and high > 0.12:
        why = "Tasks were drawn from all of them together, so that a small model is sometimes missing"
    if abs(low) < 1e-6 and abs(high - 0.3) < 1e-6:
        why = "This is the interval of single tasks, not of their mean: quantiles of the statistics"
    elif low < -0.05 and high > 0.25:
        why = "Models were drawn: each one is always there, and only its tasks are drawn"
    elif abs(mean - 0.8 / 64) < 1e-3:
        why = "Every task counts alike, and so does drawing: average over each model's tasks first, and draw there"
    assert abs(low - expected) < 1e-5 and abs(high - expected) < 1e-5, (
        f"all tasks of a model have the same gain, 0, 0.3 or -0.1: the interval runs from {low:.4f} to {high:.4f}, "
        f"expected {expected:.4f} at both ends. {why}"
    )


@exercise("stratified_interval", points=2)
def test_the_interval_has_the_right_length(student, generator, seed):
    """Means of n draws have the variance of the tasks over n: 1.96 standard errors on each side."""
    gains, model_of = draw_gains(generator)
    _, low, high = ask_interval(student, gains, model_of, 4000, seed)
    owns = [gains[model_of == name] for name in (7, 3, -1)]
    variances, sizes = [float(own.var(correction=0)) for own in owns], [len(own) for own in owns]
    error = math.sqrt(sum(v / n for v, n in zip(variances, sizes, strict=True))) / 3
    sides = 1.96 * 2 * error
    middle, whole = (low + high) / 2, sum(float(own.mean()) for own in owns) / 3
    spread = gains.quantile(torch.tensor([0.025, 0.975])).tolist()
    means = torch.tensor([float(own.mean()) for own in owns])
    mistakes = {
        "It has no length. Draw with replacement: a permutation of the tasks has the same mean": 0.0,
        "These are the quantiles of a 90 % interval: take 2.5 % and 97.5 %": 1.645 / 1.96 * sides,
        "These are the quantiles of a 99 % interval: take 2.5 % and 97.5 %": 2.576 / 1.96 * sides,
        "This is one standard error on each side: take quantiles": sides / 1.96,
        "This is the interval of one task drawn from each model: draw as many as it has": math.sqrt(sum(variances))
        / 3
        * 3.92,
        "Models were drawn: all of them are always there": float(means.std(correction=0)) / math.sqrt(3) * 3.92,
        "From each model 80 tasks are drawn: as many as it has": math.sqrt(sum(variances) / 80) / 3 * 3.92,
        "The largest and the smallest resample are its ends: take quantiles": 3.6 / 1.96 * sides,
    }
    ratio = (high - low) / sides
    pooled, why = float(gains.mean()), "Do the resamples have the same statistic as the gains?"
    if min(abs(low - whole), abs(high - whole)) < sides / 16 < high - low:
        why = "One end is the mean itself, so half of it is missing: 2.5 % stay outside on each side"
    elif abs(middle - pooled) < sides / 16:
        why = "Every task counts alike in the resamples: average over each model's tasks first"
    elif abs(middle - whole) < sides / 2:
        why = "More is left out on one side than on the other, or nothing at all: are the quantiles 2.5 % and 97.5 %?"
    elif abs(middle - 3 * whole) < sides:
        why = "The models' means are added up in the resamples: average them"
    # the middle of an interval from 4000 resamples has a standard error of a hundredth of its length
    added, wide = abs(middle - 3 * whole) < sides, high - low > 2 * sides  # wide: then the length says more
    assert abs(middle - whole) < sides / 16 or (wide and not added), (
        f"60, 12 and 8 tasks: the interval's middle is {middle:.4f}, expected {whole:.4f}, the mean, give or take "
        f"{sides / 16:.4f}. {why}"
    )
    why = next((text for text, wrong in mistakes.items() if abs(high - low - wrong) < 0.08 * max(sides, wrong)), "")
    if abs(middle - pooled) < abs(middle - whole):
        why = "Tasks were drawn from all of them together, and every task counts alike: draw within each model"
    if abs(low - spread[0]) + abs(high - spread[1]) < 1e-4:
        why = "This is the interval of single tasks, not of their mean: quantiles of the statistics"
    # the length of an interval from 4000 resamples has a standard error of 1.5 %; three models give nearly a Gauss
    assert abs(ratio - 1) < 0.08, (
        f"60, 12 and 8 tasks: the interval has the length {high - low:.4f}, {ratio:.2f} times the expected "
        f"{sides:.4f}, which is 1.96 standard errors on each side. "
        f"{why or 'Draw as many tasks as each model has, with replacement'}"
    )


@exercise("stratified_interval", points=1)
def test_one_seed_gives_one_interval(student, generator):
    gains, model_of = draw_gains(generator)
    first = ask_interval(student, gains, model_of, 100, 5)
    again = ask_interval(student, gains, model_of, 100, 5)
    assert first == again, (
        f"seed 5, twice: the ends are {first[1]:.5f}, {first[2]:.5f} and {again[1]:.5f}, {again[2]:.5f}, expected the "
        "same. Draw from torch.Generator().manual_seed(seed), generator=generator"
    )
    other = ask_interval(student, gains, model_of, 100, 6)
    assert first[1:] != other[1:], (
        "seeds 5 and 6 give the same interval, to the last digit, expected others: is it drawn, and does the seed "
        "have a part in it?"
    )
    _, low, high = ask_interval(student, gains, model_of, 1, 5)
    assert high - low < 1e-6, (
        f"n_resamples = 1: the interval runs from {low:.4f} to {high:.4f}, expected the same number twice. There is "
        "one resample, and its statistic is both quantiles: is n_resamples used?"
    )


@exercise("stratified_interval", points=1)
def test_the_interval_holds_what_was_planted(student, generator):
    """Fifty worlds: 40 tasks of a model with mean gain 0.05 and 15 of one with -0.03, so 0.01 in all."""
    model_of = torch.tensor([0] * 40 + [1] * 15)
    held, above, below = 0, 0, 0
    for world in range(50):
        gains = torch.where(model_of == 0, 0.05, -0.03) + 0.04 * torch.randn(55, generator=generator)
        _, low, high = ask_interval(student, gains, model_of, 200, world)
        held += low <= 0.01 <= high
        above, below = above + (low > 0.01), below + (high < 0.01)
    why = "It is too short"
    if above > 5 > 2 >= below:
        why = "It lies too high: the model with most tasks counts more than the other"
    # with 55 tasks a percentile interval holds it in 93 % of the worlds, 46 of 50, with a standard deviation of 2
    assert held >= 38, (
        f"50 worlds, two models with planted mean gains 0.05 and -0.03: {held} of 50 intervals hold 0.01, expected "
        f"about 46, and at least 38. {why}"
    )


# --- 8.6 sae_edit ------------------------------------------------------------------------------------------------

NO_LATENT, NO_VALUE = torch.tensor([], dtype=torch.int64), torch.tensor([])


def draw_edit(generator: torch.Generator, batch: int, latent: int, d_model: int) -> tuple[Tensor, Tensor, Tensor]:
    """A stream, sparse latents that explain a part of it only, and directions of any length."""
    decoder = torch.randn(latent, d_model, generator=generator) * (0.5 + torch.arange(latent)[:, None] / latent)
    latents = torch.rand(batch, latent, generator=generator) * (torch.rand(batch, latent, generator=generator) < 0.5)
    return latents @ decoder + 2 * torch.randn(batch, d_model, generator=generator), latents, decoder


@exercise("sae_edit")
def test_returns_edited_streams_of_the_same_shape(student, generator):
    with hint("off and on are indices of latents, the second axis: edited[:, off]. values [n_on] fits edited[:, on]"):
        for batch, latent, d_model, n_off, n_on in ((4, 9, 3, 2, 3), (1, 6, 8, 1, 2), (5, 5, 5, 2, 2), (2, 7, 4, 1, 1)):
            resid, latents, decoder = draw_edit(generator, batch, latent, d_model)
            order = torch.randperm(latent, generator=generator)
            off, on = order[:n_off], order[n_off : n_off + n_on]
            values = torch.rand(n_on, generator=generator)
            found = student.sae_edit(resid, latents, decoder, off, on, values)
            expect_tensor(found, "batch d_model", (batch, d_model))
    with hint("off and on may be empty"):
        expect_tensor(
            student.sae_edit(resid, latents, decoder, NO_LATENT, on, values), "batch d_model", (batch, d_model)
        )
        found = student.sae_edit(resid, latents, decoder, off, NO_LATENT, NO_VALUE)
        expect_tensor(found, "batch d_model", (batch, d_model))


@exercise("sae_edit", points=2)
def test_adds_the_change_of_the_reconstruction_by_hand(student):
    """Two rows, five latents: 0 and 4 go off, 3 and 1 go on with values 4 and 1.5, latent 2 stays."""
    decoder = torch.tensor([[3.0, 0, 4], [0, 2, 0], [1, 1, 0], [0, 0, -5], [2, 0, 1]])
    latents = torch.tensor([[1.0, 0, 2, 0, 0.5], [2.0, 3, 0, 1, 0]])
    off, on, values = torch.tensor([0, 4]), torch.tensor([3, 1]), torch.tensor([4.0, 1.5])
    resid = torch.tensor([[10.0, -20, 30], [-7, 50, 11]])
    found = student.sae_edit(resid, latents, decoder, off, on, values)
    expect_tensor(found, "batch d_model", (2, 3))
    change = torch.tensor([[-4.0, 3, -24.5], [-6, -3, -23]])
    edited = torch.tensor([[0.0, 1.5, 2, 4, 0], [0, 1.5, 0, 4, 0]])

    def with_latents(rows: list[list[float]]) -> Tensor:
        return resid + (torch.tensor(rows) - latents) @ decoder

    mistakes = {
        "Nothing changes. Is the change taken after the latents were overwritten? Edit a copy": resid,
        "This is the edited reconstruction, and the SAE's error is gone: add the change to resid": edited @ decoder,
        "The whole edited reconstruction is added: add its change, edited minus latents": resid + edited @ decoder,
        "The old reconstruction is taken away, and the edited one is missing": resid - latents @ decoder,
        "This is the change alone: add it to resid": change,
        "The sign is turned round: latents after the edit minus latents before": resid - change,
        "The directions were scaled to length 1: take W_dec as it is": resid
        + (edited - latents) @ normalize(decoder, dim=1),
        "Only the latents in `off` are edited": with_latents([[0, 0, 2, 0, 0], [0, 3, 0, 1, 0]]),
        "Only the latents in `on` are edited": with_latents([[1, 1.5, 2, 4, 0.5], [2, 1.5, 0, 4, 0]]),
        "`on` adds to what is there: latents in `on` become values": with_latents(
            [[0, 1.5, 2, 4, 0], [0, 4.5, 0, 5, 0]]
        ),
        "values go to the latents in ascending order: the first value is that of on[0], latent 3": with_latents(
            [[0, 4, 2, 1.5, 0], [0, 4, 0, 1.5, 0]]
        ),
        "Each row gets one of the values: values belong to the latents in `on`, and are the same in each row": (
            with_latents([[0, 4, 2, 4, 0], [0, 1.5, 0, 1.5, 0]])
        ),
        "All latents outside `on` are 0: those in neither list stay": with_latents(
            [[0, 1.5, 0, 4, 0], [0, 1.5, 0, 4, 0]]
        ),
        "Only the first latent of `off` is edited": with_latents([[0, 1.5, 2, 4, 0.5], [0, 1.5, 0, 4, 0]]),
        "Only the first latent of `on` is edited": with_latents([[0, 0, 2, 4, 0], [0, 3, 0, 4, 0]]),
        "`on` is left out where a latent was 0: it becomes the value, whatever it was": with_latents(
            [[0, 0, 2, 0, 0], [0, 1.5, 0, 4, 0]]
        ),
        "values multiply what is there: latents in `on` become values": with_latents(
            [[0, 0, 2, 0, 0], [0, 4.5, 0, 4, 0]]
        ),
        "`off` turns the sign of latents round: they become 0": with_latents(
            [[-1, 1.5, 2, 4, -0.5], [-2, 1.5, 0, 4, 0]]
        ),
        "off and on are exchanged": with_latents([[4, 0, 2, 0, 1.5], [4, 0, 0, 0, 1.5]]),
        "Every row gets the mean change of all rows: each has its own": resid + change.mean(dim=0),
    }
    otherwise = "Edit a copy of the latents; resid + (copy - latents) @ W_dec"
    worst = int((found - resid - change).abs().sum(dim=1).argmax())
    assert close(found, resid + change), (
        f"row {worst} has latents {numbers(latents[worst])}; off 0 and 4, on 3 and 1 with values 4 and 1.5: the "
        f"stream changes by {numbers(found[worst] - resid[worst])}, expected {numbers(change[worst])}. "
        f"{explain(found, mistakes, otherwise)}"
    )


@exercise("sae_edit", points=1)
def test_an_edit_of_no_latent_returns_the_stream(student, generator):
    """The control: what the SAE does not explain stays. Streams here are explained by half."""
    for shape in ((5, 8, 4), (3, 3, 3)):
        resid, latents, decoder = draw_edit(generator, *shape)
        latents[:, 0], latents[:, 1], latents[:, 2] = 0.0, 0.7, 0.4
        cases = {
            "off and on are empty": (NO_LATENT, NO_LATENT, NO_VALUE),
            "off is a latent that is 0 already": (torch.tensor([0]), NO_LATENT, NO_VALUE),
            "on are latents that have these values already": (
                NO_LATENT,
                torch.tensor([2, 0, 1]),
                torch.tensor([0.4, 0.0, 0.7]),
            ),
        }
        for what, edit in cases.items():
            found = student.sae_edit(resid, latents, decoder, *edit)
            expect_tensor(found, "batch d_model", (shape[0], shape[2]))
            reconstruction = latents @ decoder
            mistakes = {
                "This is the reconstruction: the SAE's error must stay in the stream": reconstruction,
                "The reconstruction is added to the stream: add what changes of it": resid + reconstruction,
                "The reconstruction is taken away": resid - reconstruction,
                "This is the change alone, 0: add it to resid": torch.zeros_like(resid),
            }
            away = float((found - resid).abs().max())
            assert away < 1e-4, (  # two products of eight terms, one taken from the other: rounding is 1e-6
                f"{what}, so that no latent changes: the stream moves by up to {away:.2f}, expected 0. "
                f"{explain(found, mistakes, 'Return resid plus the change of the reconstruction')}"
            )


@exercise("sae_edit", points=1)
def test_what_is_not_edited_has_no_part(student, generator):
    """Other latents, and what is added to the stream, which is error to the SAE."""
    resid, latents, decoder = draw_edit(generator, 4, 9, 5)
    off, on, values = torch.tensor([7, 2]), torch.tensor([5, 0, 3]), torch.tensor([1.5, 0.3, 2.0])
    reference = student.sae_edit(resid, latents, decoder, off, on, values)
    expect_tensor(reference, "batch d_model", (4, 5))
    push = 5 * torch.randn(4, 5, generator=generator)
    found = student.sae_edit(resid + push, latents, decoder, off, on, values)
    expect_tensor(found, "batch d_model", (4, 5))
    away = float((found - reference - push).abs().max())
    assert away < 1e-3, (
        f"the same latents, and a stream with something added that they do not explain: of it, up to {away:.2f} is "
        "missing in the result, expected all of it. The SAE's error stays in the stream: start from resid"
    )
    other = latents.clone()
    other[:, [1, 4, 6, 8]] = torch.rand(4, 4, generator=generator)
    found = student.sae_edit(resid, other, decoder, off, on, values)
    expect_tensor(found, "batch d_model", (4, 5))
    away = float((found - reference).abs().max())
    assert away < 1e-4, (
        f"the same stream, with other values in latents that are in neither `off` nor `on`: the result is up to "
        f"{away:.2f} away, expected the same. They stay as they are, so the change of the reconstruction is the same"
    )


@exercise("sae_edit", points=1)
def test_on_wins_and_keeps_its_order(student, generator):
    """Alone, together, for a latent in both lists; as many latents on as there are rows."""
    resid, latents, decoder = draw_edit(generator, 3, 6, 4)
    latents[:, 4] = torch.tensor([0.5, 1.0, 0.0])

    def pushed(values: dict[int, float]) -> Tensor:
        """One latent after the other."""
        return resid + sum((value - latents[:, i])[:, None] * decoder[i] for i, value in values.items())

    tensor, nothing = torch.tensor, (NO_LATENT, NO_VALUE)
    cases = [
        ("off [4, 1], on []", tensor([4, 1]), *nothing, {4: 0, 1: 0}, "Latents in `off` become 0"),
        ("off [], on [4]", NO_LATENT, tensor([4]), tensor([2.0]), {4: 2}, "Latents in `on` become values"),
        (
            "off [], on [5, 0, 4], values [1, 2, 3], three rows",
            NO_LATENT,
            tensor([5, 0, 4]),
            tensor([1.0, 2.0, 3.0]),
            {5: 1, 0: 2, 4: 3},
            "values[i] belongs to latent on[i], in every row: edited[:, on] = values",
        ),
        (
            "off [1, 4], on [4], values [2]",
            tensor([1, 4]),
            tensor([4]),
            tensor([2.0]),
            {1: 0, 4: 2},
            "Latent 4 is in both, and `on` wins: switch off first, then on",
        ),
        (
            "off [3, 2, 0], on [2, 5, 3], values [1, 3, 2]",
            tensor([3, 2, 0]),
            tensor([2, 5, 3]),
            tensor([1.0, 3.0, 2.0]),
            {0: 0, 2: 1, 5: 3, 3: 2},
            "Latents 2 and 3 are in both, and `on` wins: switch off first, then on",
        ),
    ]
    for what, off, on, values, after, why in cases:
        found = student.sae_edit(resid, latents, decoder, off, on, values)
        expect_tensor(found, "batch d_model", (3, 4))
        away = float((found - pushed(after)).abs().max())
        assert away < 1e-3, f"{what}: the streams are up to {away:.2f} away from the expected ones. {why}"


# --- 8.7 output_effects ------------------------------------------------------------------------------------------


def draw_logits(
    generator: torch.Generator, latent: int, token: int, n_wanted: int, n_unwanted: int
) -> tuple[Tensor, ...]:
    """Logits without and with steering; tokens that are wanted, unwanted, or neither."""
    order = torch.randperm(token, generator=generator)
    wanted, unwanted = (torch.zeros(token, dtype=torch.bool) for _ in range(2))
    wanted[order[:n_wanted]], unwanted[order[n_wanted : n_wanted + n_unwanted]] = True, True
    clean = 2 * torch.randn(token, generator=generator)
    return clean, clean + 2 * torch.randn(latent, token, generator=generator), wanted, unwanted


@exercise("output_effects")
def test_returns_one_score_of_each_latent(student, generator):
    with hint("logits_clean is [token] and logits_steered [latent token]; wanted is [token]: index the last axis"):
        for latent, token, n_wanted, n_unwanted in ((4, 7, 2, 3), (1, 3, 1, 1), (6, 6, 3, 1), (9, 5, 1, 2)):
            found = student.output_effects(*draw_logits(generator, latent, token, n_wanted, n_unwanted))
            expect_tensor(found, "latent", (latent,))


@exercise("output_effects", points=2)
def test_scores_three_latents_by_hand(student):
    """Probabilities of five tokens; 0 and 3 are wanted, 1 is unwanted. Each run's logits have an offset."""
    p_clean = torch.tensor([0.4, 0.2, 0.2, 0.1, 0.1])
    p = torch.tensor([[0.5, 0.1, 0.1, 0.2, 0.1], [0.1, 0.5, 0.2, 0.1, 0.1], [0.4, 0.1, 0.35, 0.05, 0.1]])
    wanted, unwanted = (torch.tensor(marked).bool() for marked in ([1, 0, 0, 1, 0], [0, 1, 0, 0, 0]))
    clean, steered = p_clean.log() + 1, p.log() + torch.tensor([[-2.0], [3.0], [0.5]])
    found = student.output_effects(clean, steered, wanted, unwanted)
    expect_tensor(found, "latent", (3,))
    expected = torch.tensor([0.3, -0.6, 0.05])  # .2 + .1, -.3 - .3, -.05 + .1

    def score(change: Tensor, how: str = "sum") -> Tensor:
        return getattr(change[:, wanted], how)(dim=1) - getattr(change[:, unwanted], how)(dim=1)

    marked = wanted | unwanted
    small_clean, small = clean.masked_fill(~marked, -torch.inf), steered.masked_fill(~marked, -torch.inf)
    mistakes = {
        "Means were taken: the total is a sum over the marked tokens": score(p - p_clean, "mean"),
        "These are logits: take probabilities, a softmax over tokens": score(steered - clean),
        "These are mean logits: take probabilities, a softmax over tokens": score(steered - clean, "mean"),
        "These are logarithms of probabilities: take probabilities, softmax and not log_softmax": score(
            p.log() - p_clean.log()
        ),
        "These are mean log-probabilities: take sums of probabilities": score(p.log() - p_clean.log(), "mean"),
        "exp alone makes no probabilities: divide by the sum over tokens, as softmax does": score(
            steered.exp() - clean.exp()
        ),
        "The softmax of logits_steered goes over the latents: it goes over tokens, the last axis": score(
            steered.softmax(dim=0) - p_clean
        ),
        "The softmax goes over the marked tokens alone: it goes over all tokens": score(
            small.softmax(dim=1) - small_clean.softmax(dim=0)
        ),
        "Sigmoids were taken: one softmax over all tokens": score(steered.sigmoid() - clean.sigmoid()),
        "Nothing is taken from the steered probabilities: a gain is steered minus clean": score(p),
        "logits_clean is subtracted before the softmax: a gain is the difference of two probabilities": score(
            (steered - clean).softmax(dim=1)
        ),
        "Clean and steered are exchanged: a gain is steered minus clean": -expected,
        "The unwanted tokens are left out: subtract their gain": torch.tensor([0.2, -0.3, -0.05]),
        "The wanted tokens are left out": torch.tensor([0.1, -0.3, 0.1]),
        "The wanted tokens are left out, and the sign is turned round": torch.tensor([-0.1, 0.3, -0.1]),
        "Both gains are added: subtract that of the unwanted tokens": torch.tensor([0.1, 0.0, -0.15]),
        "Absolute values hide whether a token gains or loses": score((p - p_clean).abs()),
        "The change was divided by the clean probability: a gain is a difference": score(p / p_clean - 1),
    }
    worst = int((found - expected).abs().argmax())
    otherwise = "Softmax over tokens, steered minus clean, sum over wanted minus sum over unwanted"
    assert close(found, expected), (
        f"wanted tokens 0 and 3, unwanted 1, probabilities {numbers(p_clean)} without steering and "
        f"{numbers(p[worst])} with latent {worst}: its score is {float(found[worst]):.3f}, expected "
        f"{float(expected[worst]):.2f}. {explain(found, mistakes, otherwise)}"
    )


@exercise("output_effects", points=1)
def test_offsets_of_logits_do_not_matter(student, generator):
    """A number added to all logits of a run changes no probability; large ones must not overflow."""
    for latent, token, n_wanted, n_unwanted in ((4, 7, 2, 3), (5, 5, 3, 1)):
        clean, steered, wanted, unwanted = draw_logits(generator, latent, token, n_wanted, n_unwanted)
        reference = student.output_effects(clean, steered, wanted, unwanted)
        expect_tensor(reference, "latent", (latent,))
        alone = student.output_effects(clean, steered[1:2], wanted, unwanted)
        expect_tensor(alone, "latent", (1,))
        assert abs(float(alone[0] - reference[1])) < 1e-4, (
            f"latent 1 scores {float(reference[1]):.3f} among {latent} and {float(alone[0]):.3f} alone, expected the "
            "same: no sum or softmax goes over latents"
        )
        offsets = torch.randn(latent, 1, generator=generator) * 5
        for what, moved in {
            "3 is added to all logits without steering": (clean + 3, steered),
            "a number of its own is added to all logits of each latent": (clean, steered + offsets),
            "200 is added to all logits": (clean + 200, steered + 200),
        }.items():
            found = student.output_effects(*moved, wanted, unwanted)
            assert not isinstance(found, Tensor) or found.isfinite().all(), (
                f"{what}: {int((~found.isfinite()).sum())} of the scores are NaN or infinite, expected them as before. "
                "exp overflows at 89: softmax subtracts the largest logit first"
            )
            expect_tensor(found, "latent", (latent,))
            away = float((found - reference).abs().max())
            assert away < 1e-3, (  # logits near 200 are exact to 1e-5
                f"{what}: the scores move by up to {away:.2f}, expected 0. Logits say nothing but what stands above "
                "what: take the softmax of each run over its tokens"
            )


@exercise("output_effects", points=1)
def test_no_steering_has_no_effect(student, generator):
    """And exchanging the two sets turns the sign round."""
    clean, steered, wanted, unwanted = draw_logits(generator, 6, 8, 3, 2)
    found = student.output_effects(clean, clean.expand(4, 8).clone(), wanted, unwanted)
    expect_tensor(found, "latent", (4,))
    largest = float(found.abs().max())
    assert largest < 1e-5, (
        f"steering changes no logit: the scores go up to {largest:.2f}, expected 0. A gain is the probability with "
        "steering minus that without"
    )
    there = student.output_effects(clean, steered, wanted, unwanted)
    back = student.output_effects(clean, steered, unwanted, wanted)
    expect_tensor(there, "latent", (6,))
    expect_tensor(back, "latent", (6,))
    away = float((there + back).abs().max())
    assert away < 1e-4, (
        f"wanted and unwanted exchanged: scores {numbers(there)} become {numbers(back)}, expected the same with the "
        "other sign. Both sets count, one with plus and one with minus"
    )


@exercise("output_effects", points=1)
def test_a_rising_logit_may_lose(student):
    """Token 0 is wanted, token 1 unwanted, token 2 neither; all are as probable without steering."""
    clean, wanted, unwanted = torch.zeros(3), torch.tensor([True, False, False]), torch.tensor([False, True, False])
    steered = torch.tensor([[2.0, 1.0, 8.0], [0.0, 0.0, 5.0], [0.0, -6.0, 0.0], [0.0, -6.0, 6.0]])
    found = student.output_effects(clean, steered, wanted, unwanted)
    expect_tensor(found, "latent", (4,))
    assert abs(float(found[0])) < 0.01, (
        "a latent raises the wanted token's logit by 2, the unwanted one's by 1, and a third token's by 8. Of the "
        f"wanted one's probability of 1/3 less than .01 is left, as of the unwanted one's: the score is "
        f"{float(found[0]):.2f}, expected .00. Compare probabilities, not logits, and over all tokens, also the "
        "unmarked ones"
    )
    assert abs(float(found[1])) < 1e-4, (
        f"a latent raises a third token alone, so wanted and unwanted lose alike: the score is {float(found[1]):.2f}, "
        "expected 0. Take the unwanted tokens' gain from the wanted ones'"
    )
    assert abs(float(found[2]) - 0.498) < 0.005, (  # 1/2.0025 - e⁻⁶/2.0025
        "a latent lowers the unwanted token's logit by 6, and the wanted one goes from 1/3 to 1/2: the score is "
        f"{float(found[2]):.2f}, expected 1/6 + 1/3 = .50. Both gains count"
    )
    assert abs(float(found[3]) - 0.0025) < 0.005, (
        "a latent lowers the unwanted token's logit by 6 and raises a third token's by 6, so neither is left: the "
        f"score is {float(found[3]):.2f}, expected .00. Compare probabilities over all tokens, also the unmarked ones"
    )


@exercise("output_effects", points=1)
def test_refuses_sets_that_mark_nothing(student, generator):
    clean, steered, wanted, _ = draw_logits(generator, 3, 6, 2, 2)
    nothing = torch.zeros(6, dtype=torch.bool)
    cure = "The sum over nothing is 0, and the score looks fine: raise ValueError first"
    expect_value_error(
        lambda: student.output_effects(clean, steered, nothing, wanted), "wanted marks no token", ("wanted",), cure
    )
    expect_value_error(
        lambda: student.output_effects(clean, steered, wanted, nothing), "unwanted marks no token", ("unwanted",), cure
    )


# --- 8.8 find_mislabelled ----------------------------------------------------------------------------------------

LOG_2 = 0.6931  # what a guess costs


def draw_clouds(generator: torch.Generator, n: int, dim: int, distance: float) -> tuple[Tensor, Tensor]:
    """Two clouds around plus and minus one direction, their examples mixed; labels are right."""
    labels = torch.arange(n)[torch.randperm(n, generator=generator)] % 2 == 0
    direction = normalize(torch.randn(dim, generator=generator), dim=0) * distance / 2
    acts = torch.randn(n, dim, generator=generator) + torch.where(labels[:, None], direction, -direction)
    return acts + torch.randn(dim, generator=generator), labels


def flip_some(generator: torch.Generator, labels: Tensor, n_flipped: int) -> tuple[Tensor, Tensor]:
    """Labels with as many wrong ones, and which these are."""
    flipped = torch.zeros_like(labels)
    flipped[torch.randperm(len(labels), generator=generator)[:n_flipped]] = True
    return labels ^ flipped, flipped


def share_above(scores: Tensor, positive: Tensor) -> float:
    """AUROC: how often a positive example scores higher than another one."""
    difference = scores[positive][:, None] - scores[~positive]
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def fit_left_out(acts: Tensor, labels: Tensor, l2: float) -> Tensor:
    """Logit of each example under a probe that was fitted on all others."""
    everyone = torch.arange(len(labels))
    fits = [fit_logistic_regression_probe(acts[everyone != i], labels[everyone != i], l2=l2) for i in everyone]
    return torch.cat([probe(acts[i : i + 1]) for i, probe in enumerate(fits)])


@exercise("find_mislabelled")
def test_returns_one_suspicion_of_each_example(student, generator):
    """Activations, and sparse latents of which some are never on; folds of unequal size; more dimensions than n."""
    with hint("Index acts and labels with the same fold, and fit on its training part, which has both classes"):
        for n, dim, n_folds in ((43, 3, 5), (40, 60, 4), (50, 50, 3)):
            acts, labels = draw_clouds(generator, n, dim, 2.0)
            expect_tensor(student.find_mislabelled(acts, labels, n_folds, 1), "example", (n,))
        latents = acts.relu() * (torch.rand(50, 50, generator=generator) < 0.3)
        latents[:, 7] = 0
        found = student.find_mislabelled(latents, labels)
    expect_tensor(found, "example", (50,))
    assert (found >= 0).all(), (
        f"{int((found < 0).sum())} of 50 suspicions are below 0: a log-loss is -log of a probability, so never negative"
    )


@exercise("find_mislabelled", points=2)
def test_is_the_loss_of_the_label_when_one_is_left_out(student, generator):
    """As many folds as examples: then the lot does not matter, and there is one right answer."""
    acts, labels = draw_clouds(generator, 12, 3, 2.0)
    labels, _ = flip_some(generator, labels, 2)
    if min(int(labels.sum()), int((~labels).sum())) < 3:  # too few of a class to leave one out
        labels = torch.arange(12) % 2 == 0
    with hint("A fold's held-out part may be a single example: the probe is fitted on the other 11"):
        found = student.find_mislabelled(acts, labels, 12, 0, l2=0.3)
    expect_tensor(found, "example", (12,))
    logits = fit_left_out(acts, labels, 0.3)
    sign = torch.where(labels, 1.0, -1.0)
    p = (logits * sign).sigmoid()  # of the label that is given
    expected = -p.log()
    in_sample = fit_logistic_regression_probe(acts, labels, l2=0.3)(acts)
    mistakes = {
        "Each label is judged by a probe that has seen it: fit on the other folds alone": -(in_sample * sign)
        .sigmoid()
        .log(),
        "This is the loss of the other label: high must mean that the probe contradicts the given one": -(1 - p).log(),
        "This is the log-probability: its negative is the loss": -expected,
        "This is the probability of the label, which is high where nothing is suspicious: take -log of it": p,
        "This is 1 minus the probability of the label: take -log of the probability": 1 - p,
        "This is the distance from the boundary: it knows nothing of the given label": logits.abs(),
        "This is the nearness to the boundary: it knows nothing of the given label": -logits.abs(),
        "These are logits: take the loss of the label": logits,
        "These are logits with the label's sign, turned round: take the loss": -logits * sign,
        "These are logits with the label's sign, which are high where nothing is suspicious: take the loss": logits
        * sign,
        "This is the loss of the label that the probe predicts: take the given one": -torch.maximum(p, 1 - p).log(),
        "This is 0 or 1, right or wrong, and ranks nothing among the wrong ones: take the log-loss": (p < 0.5).float(),
        "The loss is that of the label True for all: take the given one": -logits.sigmoid().log(),
        "The loss is that of the label False for all: take the given one": -(-logits).sigmoid().log(),
        "l2 is left at its default: hand it to the probe": -(fit_left_out(acts, labels, 0.1) * sign).sigmoid().log(),
        "The logarithm is one to base 2: take the natural one": expected / 0.693147,
        "This is the squared error: take -log of the probability": (1 - p).square(),
    }
    otherwise = "-log of the probability that a probe fitted on all other examples gives to the label"
    if close(found.sort().values, expected.sort().values, atol=5e-3) and not close(found, expected, atol=5e-3):
        otherwise = "The values are right, and in the wrong order: put each fold's losses where its examples stand"
    worst = int((found - expected).abs().argmax())
    assert close(found, expected, atol=5e-3), (  # the fit stops at a tolerance
        f"12 examples, 12 folds, l2 0.3: example {worst} is {bool(labels[worst])}, and a probe fitted on the other 11 "
        f"gives it the logit {float(logits[worst]):.2f}: its suspicion is {float(found[worst]):.3f}, expected "
        f"{float(expected[worst]):.3f}. {explain(found, mistakes, otherwise, atol=5e-3)}"
    )


@exercise("find_mislabelled", points=1)
def test_wrong_labels_come_first(student, generator, seed):
    """The planted truth: two clouds far apart, one label in ten is wrong. And the control: no label is wrong."""
    for n, dim in ((200, 10), (150, 30)):
        acts, right = draw_clouds(generator, n, dim, 7.0)
        labels, flipped = flip_some(generator, right, n // 10)
        found = student.find_mislabelled(acts, labels, 5, seed)
        expect_tensor(found, "example", (n,))
        rate = share_above(found, flipped)
        why = "Log-loss of the given label, fitted on the other folds, in the order of the examples"
        if len(found.unique()) <= 10:
            why = "There are hardly any different values: keep one loss for each example, reduction='none'"
        elif rate < 0.2:
            why = "It is the other way round: high must mean that the probe contradicts the given label"
        elif found.sort().values[-(n // 10) :].min() < LOG_2:
            why = "Few are above log 2, what a guess costs: is it the loss of the given label?"
        elif rate < 0.8:
            why = "Is it about the given label, and in the order of the examples?"
        assert rate > 0.95, (  # 7 apart in noise 1 means one error in 4,000; above .99 in 200 draws
            f"two clouds far apart, {n // 10} of {n} labels are wrong: a wrong one is more suspicious than a right one "
            f"in {rate:.2f} of all pairs, expected above .95. {why}"
        )
        clean = student.find_mislabelled(acts, right, 5, seed)
        expect_tensor(clean, "example", (n,))
        n_suspicious = int((clean > LOG_2).sum())
        assert n_suspicious <= n // 40, (
            f"the same clouds, and no label is wrong: {n_suspicious} of {n} suspicions are above log 2, what a guess "
            f"costs, expected none or next to none. Nothing is suspicious here, also not what lies far out"
        )


@exercise("find_mislabelled", points=1)
def test_no_label_is_judged_by_a_probe_that_saw_it(student, generator, seed):
    """Labels by lot, as many dimensions as examples: whoever predicts them has seen them. And each one, flipped."""
    n, dim = 60, 60
    acts, labels = torch.randn(n, dim, generator=generator), torch.arange(n) % 2 == 0
    found = student.find_mislabelled(acts, labels, 3, seed, l2=0.001)
    expect_tensor(found, "example", (n,))
    mean = float(found.mean())
    why = "The probe learnt the labels by heart: fit on the training part of each fold"
    if abs(float(found.sum()) - 1) < 1e-3:
        why = "They add up to 1: a log-loss is not scaled"
    elif float(found.min()) < 0:
        why = "Some are negative, and a log-loss never is"
    elif abs(float(found.max()) - 1) < 0.02:
        why = "They end at 1: a log-loss has no upper end"
    assert mean > 0.8, (  # above 1 in 80 draws: a guess costs .69, and confidence without a reason more
        f"labels drawn by lot, {dim} dimensions, {n} examples: the mean loss is {mean:.2f}, expected above log 2 = "
        f".69, since nothing can be predicted. {why}"
    )
    for i in (17, n - 1):
        other = labels.clone()
        other[i] = ~other[i]
        again = student.find_mislabelled(acts, other, 3, seed, l2=0.001)
        expect_tensor(again, "example", (n,))
        total = float((-found[i]).exp() + (-again[i]).exp())
        assert abs(total - 1) < 0.02, (
            f"example {i} has suspicion {float(found[i]):.2f}, and {float(again[i]):.2f} after its label alone was "
            f"flipped: the probabilities of its two labels, exp(-suspicion), add up to {total:.2f}, expected 1. "
            "Either the label has reached the probe that judges it, or the lot of the folds; or this is no -log of its "
            "probability"
        )


@exercise("find_mislabelled", points=2)
def test_folds_seed_and_penalty_are_used(student, generator, seed):
    acts, labels = draw_clouds(generator, 60, 20, 1.5)
    first, again, other = (student.find_mislabelled(acts, labels, 5, s) for s in (seed, seed, seed + 1))
    for found in (first, again, other):
        expect_tensor(found, "example", (60,))
    assert close(first, again), "the same seed gives other suspicions: deal the folds with `seed`"
    assert not close(first, other), (
        "another seed gives the same suspicions: deal the folds by lot, with `seed`. Examples are often sorted"
    )
    few = student.find_mislabelled(acts, labels, 2, seed)
    expect_tensor(few, "example", (60,))
    assert not close(first, few), "2 folds and 5 give the same suspicions: is n_folds used?"
    stiff = student.find_mislabelled(acts, labels, 5, seed, l2=1000.0)
    expect_tensor(stiff, "example", (60,))
    away = float((stiff - LOG_2).abs().max())
    assert away < 0.3, (  # the bias is free: a fold may hold 17 of 24
        f"l2 = 1000 leaves next to no weight, so each label has about probability 1/2: suspicions are up to {away:.2f} "
        "away from log 2, expected next to none. Hand l2 to the probe, and take the log-loss"
    )
    default = student.find_mislabelled(acts, labels, 5, seed, l2=0.1)
    expect_tensor(default, "example", (60,))
    assert close(first, default), "l2 = 0.1 gives other suspicions than no l2: 0.1 is its default"
    # sorted by label: folds that are not drawn by lot hold out a class
    acts, labels = draw_clouds(generator, 60, 4, 7.0)
    order = labels.int().argsort(descending=True, stable=True)
    with hint("The examples may be sorted by label: deal the folds by lot, or one of them holds a whole class"):
        found = student.find_mislabelled(acts[order], labels[order], 2, seed)
    expect_tensor(found, "example", (60,))
    assert float(found.mean()) < LOG_2, (
        f"two clouds far apart, sorted by label: the mean loss is {float(found.mean()):.2f}, expected next to 0. Deal "
        "the folds by lot, or one of them holds a whole class"
    )


# --- 8.9 inject_label_noise --------------------------------------------------------------------------------------


def draw_labels(generator: torch.Generator, n_true: int, n_false: int) -> Tensor:
    """As many labels of each class, mixed."""
    labels = torch.arange(n_true + n_false) < n_true
    return labels[torch.randperm(len(labels), generator=generator)]


@exercise("inject_label_noise")
def test_returns_a_label_of_each_example(student, generator, seed):
    for n_true, n_false in ((5, 9), (1, 1), (20, 3)):
        labels = draw_labels(generator, n_true, n_false)
        expect_tensor(student.inject_label_noise(labels, 0.3, seed), "example", (n_true + n_false,), dtype=torch.bool)


@exercise("inject_label_noise", points=2)
def test_flips_the_same_share_of_both_classes(student, generator, seed):
    """Counts, not chances."""
    for n_true, n_false, share in ((36, 74, 0.1), (50, 20, 0.3), (40, 40, 0.2), (120, 10, 0.42), (33, 64, 0.25)):
        labels = draw_labels(generator, n_true, n_false)
        found = student.inject_label_noise(labels, share, seed)
        expect_tensor(found, "example", (n_true + n_false,), dtype=torch.bool)
        flips = int((labels & ~found).sum()), int((~labels & found).sum())
        expected = round(share * n_true), round(share * n_false)
        total = round(share * (n_true + n_false))
        mistakes = {
            (expected[0], 0): "Only True becomes False: flip within both classes",
            (0, expected[1]): "Only False becomes True: flip within both classes",
            (total, 0): "All flips are in one class: flip within each",
            (0, total): "All flips are in one class: flip within each",
            (0, 0): "Nothing is flipped",
            (int(share * n_true), int(share * n_false)): "The count is cut off: round(share * n_class)",
            (n_true - expected[0], n_false - expected[1]): "These are the ones to keep: all others are flipped",
            (n_true, n_false): "All labels are flipped",
            (total, total): "Each class has the flips of both: the count is a share of its own examples",
            (min(expected), min(expected)): "Both classes have as many flips: each has its own share",
            (max(expected), max(expected)): "Both classes have as many flips: each has its own share",
            (expected[1], expected[0]): "The counts of the classes are exchanged",
        }
        otherwise = (
            "round(share * n_class) in each class: a count, not a chance for each example, and different ones, so "
            "drawn without replacement"
        )
        if sum(flips) == total:
            otherwise = "The number is right, and it is not the same share of both classes: flip within each class"
        elif sum(flips) < 0.75 * total:
            otherwise = "Labels that are drawn anew, or flipped twice, often stay as they were: flip them, once"
        assert flips == expected, (
            f"{n_true} True and {n_false} False, share {share}: {flips[0]} True and {flips[1]} False are flipped, "
            f"expected {expected[0]} and {expected[1]}. {mistakes.get(flips, otherwise)}"
        )


@exercise("inject_label_noise", points=1)
def test_nothing_and_everything(student, generator, seed):
    """And a class that is empty."""
    labels = draw_labels(generator, 13, 8)
    for share, expected, what in ((0.0, labels, "as they are"), (1.0, ~labels, "all turned round")):
        found = student.inject_label_noise(labels, share, seed)
        expect_tensor(found, "example", (21,), dtype=torch.bool)
        n_wrong = int((found ^ expected).sum())
        why = "Each is flipped once: draw without replacement, and go by the labels before any flip, or some flip back"
        if n_wrong == 0:
            continue
        if share == 0:
            why = "No label is flipped at share 0"
        raise AssertionError(f"share {share:g}: {n_wrong} of 21 labels are not {what}. {why}")
    with hint("A class may be empty: nothing is flipped in it"):
        found = [student.inject_label_noise(torch.full((10,), label), 0.3, seed) for label in (True, False)]
    for label, noisy in zip((True, False), found, strict=True):
        expect_tensor(noisy, "example", (10,), dtype=torch.bool)
        n_flipped = int((noisy != label).sum())
        assert n_flipped == 3, (
            f"ten examples, all {label}, share 0.3: {n_flipped} are flipped, expected 3. The other class is empty, and "
            "has no part"
        )


@exercise("inject_label_noise", points=1)
def test_the_places_are_drawn_by_lot(student, generator, seed):
    """Over many seeds, each example is flipped at times, and not much more often than others."""
    labels = draw_labels(generator, 8, 12)
    times = torch.zeros(20)
    for s in range(seed, seed + 50):
        found = student.inject_label_noise(labels, 0.25, s)
        expect_tensor(found, "example", (20,), dtype=torch.bool)
        times += found ^ labels
    # 50 draws at .25: 12.5, give or take 3; none at all, or more than 35, has a chance below 1e-6
    never, often = int((times == 0).sum()), int((times > 35).sum())
    assert never == 0 and often == 0, (
        f"20 labels, share 0.25, 50 seeds: {never} of them are never flipped and {often} more than 35 times, expected "
        "none, since each should be about 12 times. Draw the places within a class by lot, from all its members, with "
        "`seed`"
    )


@exercise("inject_label_noise", points=1)
def test_the_seed_alone_decides(student, generator, seed):
    labels = draw_labels(generator, 40, 50)
    before = torch.get_rng_state()
    draws = [student.inject_label_noise(labels, 0.2, s) for s in (seed, seed, *range(seed + 1, seed + 6))]
    touched = not torch.equal(before, torch.get_rng_state())  # in the grader's other process there is nothing to see
    torch.set_rng_state(before)
    for found in draws:
        expect_tensor(found, "example", (90,), dtype=torch.bool)
    assert torch.equal(draws[0], draws[1]), (
        "two calls with the same seed flip other labels, expected the same: draw with a generator that is seeded with "
        "`seed`"
    )
    n_different = len({tuple(found.tolist()) for found in draws})
    assert n_different == 6, f"six seeds give {n_different} different results: does `seed` reach the generator?"
    assert not touched, (
        "torch's global random state has moved: whoever draws from it next gets other numbers. Use a generator of your "
        "own, torch.Generator().manual_seed(seed)"
    )


# --- 8.10 rank_latents -------------------------------------------------------------------------------------------


def draw_on(generator: torch.Generator, n: int, shares: list[float]) -> Tensor:
    """Latents that are 1 in exactly these shares of n texts, drawn by lot, and 0 in the others."""
    on = [torch.randperm(n, generator=generator) < round(share * n) for share in shares]
    return torch.stack(on, dim=1).float()


def expect_ranking(found: object, n_latents: int) -> list[int]:
    """Fail unless this is a permutation of all latents; return it."""
    expect_tensor(found, "latent", (n_latents,), dtype=torch.int64)
    ranking = found.tolist()
    missing = sorted(set(range(n_latents)) - set(ranking))
    assert not missing, (
        f"of {n_latents} latents, {missing[:5]} are not in the ranking {ranking[:12]}, expected each of them once: "
        "return indices of all latents, argsort of the differences"
    )
    return ranking


@exercise("rank_latents")
def test_returns_every_latent_once(student, generator):
    with hint("The piles may differ in size: average over the texts of each, dim=0, then compare"):
        for n_first, n_second, n_latents in ((6, 9, 5), (7, 3, 20), (4, 4, 4), (1, 2, 3)):
            piles = [torch.rand(n, n_latents, generator=generator) - 0.5 for n in (n_first, n_second)]
            expect_ranking(student.rank_latents(piles[0].relu(), piles[1].relu()), n_latents)


@exercise("rank_latents", points=2)
def test_ranks_by_the_difference_of_shares_by_hand(student):
    """Four texts and ten: counts and strengths say something else than shares."""
    first, second = torch.zeros(4, 6), torch.zeros(10, 6)
    n_first, n_second = [4, 1, 3, 0, 2, 3], [9, 6, 1, 8, 4, 6]  # of 4, of 10
    strong_first, strong_second = [0.1, 9.0, 0.2, 1.0, 0.3, 8.0], [0.2, 0.1, 0.4, 0.1, 5.0, 0.3]
    for i in range(6):
        first[: n_first[i], i], second[: n_second[i], i] = strong_first[i], strong_second[i]
    ranking = expect_ranking(student.rank_latents(first, second), 6)
    share = torch.tensor(n_first) / 4 - torch.tensor(n_second) / 10  # .1, -.35, .65, -.8, .1, .15
    count = (torch.tensor(n_first) - torch.tensor(n_second)).float()
    mean = first.mean(dim=0) - second.mean(dim=0)
    both = (torch.tensor(n_first) + torch.tensor(n_second)).float()

    def order(difference: Tensor) -> list[int]:
        return difference.argsort(descending=True, stable=True).tolist()

    expected = [3, 2, 1, 5]  # then 0 and 4, which both differ by .1
    without_3 = share.abs()
    without_3[3] = -1
    signed = "The sign is kept: a latent that is on in one pile alone tells them apart, whichever pile that is"
    ranks = share.abs().argsort(descending=True, stable=True).argsort().tolist()
    mistakes = [
        (order(share), signed),
        (order(-share), signed),
        (order(-share.abs()), "The smallest difference comes first: rank in descending order"),
        (order(count.abs()), "These are differences of counts: the piles differ in size, so compare shares"),
        (order(mean.abs()), "These are differences of the mean latent: count the texts in which it is on, above 0"),
        (
            order((first.sum(dim=0) - second.sum(dim=0)).abs()),
            "These are sums of latents: take shares of texts above 0",
        ),
        (order((first.amax(dim=0) - second.amax(dim=0)).abs()), "These are maxima: take shares of texts above 0"),
        (order(share.square() / both), "The difference is divided by how often the latent is on"),
        (order(both), "This ranks by how often a latent is on at all: take the difference between the piles"),
        (
            order(without_3),
            "Latent 3 is on in the second pile alone, and is not rare: min_share is about both together",
        ),
        (ranks, "This is the rank of each latent: return the latents themselves, in the order of their rank"),
    ]
    why = next(
        (text for wrong, text in mistakes if wrong[:4] == ranking[:4]), "Mean over texts of (latent > 0) in each pile"
    )
    assert ranking[:4] == expected, (
        f"latents 0 to 5 are on in {n_first} of 4 texts and {n_second} of 10, so their shares differ by "
        f"{numbers(share)}: the ranking starts with {ranking[:4]}, expected {expected}. {why}"
    )


@exercise("rank_latents", points=1)
def test_how_strong_and_which_pile_do_not_matter(student, generator):
    """Latents ten times as strong, the piles exchanged, a pile twice."""
    shares_first = [0.5, 0.9, 0.1, 0.3, 0.7, 0.2, 0.6]
    shares_second = [0.6, 0.4, 0.8, 0.1, 0.7, 0.5, 0.2]  # differences .1 .5 .7 .2 0 .3 .4
    first, second = (2.0 * draw_on(generator, n, shares) for n, shares in ((20, shares_first), (30, shares_second)))
    expected = [2, 1, 6, 5, 3, 0, 4]
    strength = torch.tensor([0.01, 10.0, 0.1, 5.0, 0.5, 1.0, 0.05])[torch.randperm(7, generator=generator)]
    plain = "Mean over texts of (latent > 0) in each pile, the difference without its sign, the largest first"
    found = student.rank_latents(first, second)
    counts = ((first > 0).sum(dim=0) - (second > 0).sum(dim=0)).abs()[expect_ranking(found, 7)]
    if found.tolist() in ([1, 6, 3, 4, 0, 5, 2], [2, 5, 0, 4, 3, 6, 1]):
        plain = "The difference is absolute: no pile is the main one"
    elif (counts.diff() <= 0).all():
        plain = "The piles differ in size: do not count texts, average over them"
    cases = {
        "as they are": ((first, second), plain),
        "in the other order": ((second, first), "The difference is absolute: no pile is the main one"),
        "each latent with a strength of its own": (
            (first * strength, second * strength),
            "How strong a latent is plays no part: it is on if it is above 0",
        ),
        "the first of them three times over": (
            (first.repeat(3, 1), second),
            "Shares do not change if each text stands there three times: average over the texts of each pile",
        ),
    }
    for what, (piles, why) in cases.items():
        ranking = expect_ranking(student.rank_latents(*piles), 7)
        assert ranking == expected, (
            f"two piles, {what}: the shares differ by .1, .5, .7, .2, 0, .3, .4, and the ranking is {ranking}, "
            f"expected {expected}. {why}"
        )


@exercise("rank_latents", points=1)
def test_rare_latents_come_last(student, generator):
    """32 texts and 96: what counts is the share of all 128."""
    n_on = [(0, 8), (5, 0), (0, 0), (0, 9), (32, 24), (5, 2), (8, 0), (16, 48)]  # of 32 and of 96
    first, second = torch.zeros(32, 8), torch.zeros(96, 8)
    for i, (a, b) in enumerate(n_on):
        first[torch.randperm(32, generator=generator)[:a], i] = 1.0 + i
        second[torch.randperm(96, generator=generator)[:b], i] = 0.5
    # differences: .08, .16, 0, .09, .75, .14, .25, 0; of all 128: 8, 5, 0, 9, 56, 7, 8, 64
    cases = [
        (1 / 16, [4, 6, 3, 0, 7], [1, 2, 5]),  # 8 of 128 is 1/16, and not less
        (9 / 128, [4, 3, 7], [0, 1, 2, 5, 6]),
        (0.0, [4, 6, 1, 5, 3, 0], []),
    ]
    for min_share, often, rare in cases:
        expected = often + rare
        got = expect_ranking(student.rank_latents(first, second, min_share), 8)[: len(expected)]
        mistakes = [
            (min_share == 0, "Nothing is rarer than 0: is min_share used?"),
            (got[:6] == [4, 6, 1, 5, 3, 0], "Rare latents come last, by their share of all texts: is min_share used?"),
            (got[: len(often)] == often, "The rare ones stand in the order of their indices"),
            (set(got[: len(rare)]) == set(rare), "The rare ones come first: they belong to the end"),
            (
                set(got[-len(rare) - 1 :]) == {7, *rare},
                "Latent 7 is on often, and alike in both piles: it has no difference, and comes before the rare ones",
            ),
        ]
        why = (
            "First the others, by their difference. The share is that in all texts of both piles, and those at "
            "min_share itself are not rare"
        )
        why = next((text for holds, text in mistakes if holds), why)
        assert got == expected, (
            f"32 texts and 96, latents 0 to 7 are on in {[a + b for a, b in n_on]} of all 128, min_share "
            f"{min_share:.4f}, so rare are {rare}: the ranking is {got}, expected {expected}. {why}"
        )
    ranking = expect_ranking(student.rank_latents(first, second), 8)
    assert ranking[:6] == [4, 6, 1, 5, 3, 0] and ranking[-1] == 2, (
        f"no min_share given, 0.01 of all texts: the ranking is {ranking}, expected [4, 6, 1, 5, 3, 0, 7, 2]. Latent 1 "
        "is on in 4 % of all texts, and is not rare by the default"
    )


@exercise("rank_latents", points=1)
def test_finds_a_planted_shortcut(student, generator):
    """200 latents, one of them on in 60 % of the first pile and 20 % of the second, and never strongly."""
    n_latents, place = 200, int(torch.randint(200, (1,), generator=generator))
    shares = torch.rand(n_latents, generator=generator) * 0.5
    piles = []
    for n, planted in ((150, 0.6), (250, 0.2)):
        on = torch.rand(n, n_latents, generator=generator) < shares
        latents = on * torch.randn(n, n_latents, generator=generator).exp() * 5
        latents[:, place] = 0.05 * (torch.randperm(n, generator=generator) < planted * n)
        piles.append(latents)
    for what, (first, second) in {"first": piles, "second": piles[::-1]}.items():
        ranking = expect_ranking(student.rank_latents(first, second), n_latents)
        rank = ranking.index(place)
        assert rank == 0, (  # by chance shares differ by .05, give or take; .4 is 8 times that
            f"one of 200 latents is on in 60 % of the {what} pile's texts and in 20 % of the other's, weakly; all "
            f"others are alike in both: it comes at place {rank + 1}, expected 1. Shares of texts, their difference "
            "without its sign"
        )
