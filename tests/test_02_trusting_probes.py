"""The checks of chapter 02. They run live in the notebook, in CI on the solutions, and on submissions."""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from utils.course.expect import close, describe, exercise, expect_number, expect_tensor, hint
from utils.interventions import LinearEraser
from utils.probes import fit_logistic_regression_probe

# --- 2.1 split_by_vocabulary -------------------------------------------------------------------------------------

N_WORDS = 143  # a share of 0.3 is 42.9 words and one of 0.35 is 50.05: rounding is neither cutting off nor rounding up


@pytest.fixture
def names(generator) -> list[set[str]]:
    """Every word as a name of its own, which shows on which side it is, and 110 names of two or three words.

    Half of the words stand in another one, as "red" stands in "reddish".
    """
    syllables = ["ba", "do", "fe", "gu", "ka", "li", "mo", "nu", "pe", "ri", "sa", "ti"]
    stems = [a + b for a in syllables for b in syllables if a != b]
    stems = [stems[i] for i in torch.randperm(len(stems), generator=generator)[: N_WORDS // 2 + 1]]
    words = [*stems, *(stem + "dish" for stem in stems)][:N_WORDS]
    chosen = [torch.randperm(N_WORDS, generator=generator)[: 2 + n % 2].tolist() for n in range(110)]
    names = [{word} for word in words] + [{words[i] for i in numbers} for numbers in chosen]
    return [names[i] for i in torch.randperm(len(names), generator=generator)]


def expect_sides(result: object, n_names: int) -> tuple[list[int], list[int]]:
    """Fail unless a result is two tensors of ascending indices, train and test; return them as lists."""
    assert isinstance(result, (tuple, list)) and len(result) == 2, (
        f"the result is {describe(result)}, expected two tensors: train, test"
    )
    for side, name in zip(result, ("train", "test"), strict=True):
        assert isinstance(side, Tensor), f"{name} is {describe(side)}, expected a tensor [{name}] of integers"
        assert side.dtype != torch.bool, (
            f"{name} is a mask of True and False, expected the numbers of the names: enumerate() gives them"
        )
        assert side.numel() > 0, (
            f"{name} is empty, and there were {n_names} names to split. Do all words go to one side, or are names "
            "compared with a set of tensors instead of strings?"
        )
        assert side.dtype in (torch.int64, torch.int32) and side.ndim == 1, (
            f"{name} has dtype {side.dtype} and shape {tuple(side.shape)}, expected integers [{name}]"
        )
        numbers = side.tolist()
        assert min(numbers) >= 0 and max(numbers) < n_names, (
            f"{name} holds {min(numbers)} to {max(numbers)}, expected numbers of names, 0 to {n_names - 1}"
        )
        assert len(set(numbers)) == len(numbers), f"{name} holds the same name more than once"
        assert numbers == sorted(numbers), f"{name} starts with {numbers[:4]}, expected ascending numbers"
    return result[0].tolist(), result[1].tolist()


def sides_of_words(words: list[set[str]], train: list[int], test: list[int]) -> dict[str, set[str]]:
    """Each word -> the sides on which it stands as a name of its own."""
    sides: dict[str, set[str]] = {word: set() for name in words if len(name) == 1 for word in name}
    for side, indices in (("train", train), ("test", test)):
        for i in indices:
            if len(words[i]) == 1:
                sides[next(iter(words[i]))].add(side)
    return sides


@exercise("split_by_vocabulary")
def test_returns_the_numbers_of_the_names(student, names, seed):
    train, test = expect_sides(student.split_by_vocabulary(names, 0.3, seed), len(names))
    assert set(train + test) != set(range(N_WORDS)), (
        f"train and test hold 0 to {N_WORDS - 1}, which are as many as there are words, expected numbers of names"
    )
    expect_sides(student.split_by_vocabulary([{"dark", "red"}, {"red"}, {"dark"}, {"red"}], 0.5, seed), 4)


@exercise("split_by_vocabulary", points=2)
def test_no_word_stands_on_both_sides(student, names, seed):
    """What a probe remembers of a word can then be of no use; and nothing is left out that need not be."""
    train, test = expect_sides(student.split_by_vocabulary(names, 0.3, seed), len(names))
    both = set().union(*(names[i] for i in train)) & set().union(*(names[i] for i in test))
    sides = sides_of_words(names, train, test)
    n_mixed = {side: 0 for side in ("train", "test")}
    for indices, side, other in ((train, "train", "test"), (test, "test", "train")):
        n_mixed[side] = sum(any(sides[word] == {other} for word in names[i]) for i in indices)
    why = "Names that mix belong to neither side"
    if all(n_mixed.values()):
        why = "Names that mix are on both sides: split the words. A name goes by all of them, not by one or by a lot"
    elif any(n_mixed.values()):
        where, other = ("training", "test") if n_mixed["train"] else ("the test set", "training")
        why = f"Names that mix are in {where}: leave names with a {other} word out of it"
    assert not both, f"{len(both)} of {N_WORDS} words stand on both sides, such as {min(both)!r}, expected none. {why}"
    lost = [word for word, found in sides.items() if not found]
    why = "Every word is a training word or a test word"
    if len(lost) > 2 and all(word.endswith("dish") for word in lost):
        why = f"{lost[0].removesuffix('dish')!r} is another word: are words compared as parts of strings?"
    assert not lost, f"{len(lost)} names of a single word are on neither side, such as {lost[:1]}. {why}"
    of_training = {word for word, found in sides.items() if found == {"train"}}
    for indices, kind, whose in ((train, "training", of_training), (test, "test", sides.keys() - of_training)):
        pure = [i for i, name in enumerate(names) if name <= whose]
        left_out = sorted(set(pure) - set(indices))
        assert not left_out, (
            f"{len(left_out)} of {len(pure)} names have {kind} words only and are not on that side, such as "
            f"{sorted(names[left_out[0]])}: leave out nothing but names that mix"
        )


@exercise("split_by_vocabulary", points=1)
def test_the_share_is_one_of_words_and_rounded(student, names, seed):
    """Every word is a name of its own, so the test words can be counted."""
    for share, expected in ((0.3, 43), (0.35, 50)):
        train, test = expect_sides(student.split_by_vocabulary(names, share, seed), len(names))
        got = sum("test" in found for found in sides_of_words(names, train, test).values())
        exact = share * N_WORDS
        mistakes = {
            int(exact): "You cut the decimals off: use round()",
            int(exact) + 1: "You rounded up: use round()",
            N_WORDS - expected: "That is what should be left for training: are the two sides swapped?",
            round(share * len(names)): "That is the share of the names: multiply by the number of different words",
        }
        mistakes.pop(expected, None)
        why = "Take the first round(test_fraction * n) of the n shuffled words: no tosses, no draws with replacement"
        if got > 1.5 * expected:
            why = "Draw from the different words, each of them there once, and not from the names"
        why = mistakes.get(got, why)
        assert got == expected, (
            f"{got} of {N_WORDS} different words are test words, expected round({share} * {N_WORDS}) = {expected}. "
            f"{why}"
        )


@exercise("split_by_vocabulary", points=1)
def test_the_order_of_the_names_does_not_matter(student, names, generator, seed):
    """Another order of the names also fills the sets of words in another order."""
    n = len(names)
    first, again = (expect_sides(student.split_by_vocabulary(names, 0.3, seed), n) for _ in range(2))
    assert first == again, "two calls with the same names and the same seed give two splits, expected the same one"
    tests = {frozenset(names[i]) for i in first[1]}
    orders = [torch.arange(n).flip(0), *(torch.randperm(n, generator=generator) for _ in range(3))]
    for order in orders:
        other = [names[i] for i in order]
        _, test = expect_sides(student.split_by_vocabulary(other, 0.3, seed), n)
        moved = len(tests ^ {frozenset(other[i]) for i in test})
        assert moved == 0, (
            f"the same names in another order, with the same seed: {moved} of them come into the test set or leave it, "
            "expected none. Sort the words before you shuffle them: a `set` has an order of its own, another at each "
            "start of Python"
        )


@exercise("split_by_vocabulary", points=1)
def test_the_seed_decides(student, names, seed):
    seeds = (seed, *range(seed, seed + 9))
    splits = [expect_sides(student.split_by_vocabulary(names, 0.3, s), len(names)) for s in seeds]
    assert splits[0] == splits[1], (
        "two calls with the same seed give two splits, expected the same one: shuffle with a generator that is seeded "
        "with `seed`"
    )
    n_different = len({tuple(test) for _, test in splits[1:]})
    assert n_different == 9, (
        f"nine seeds give {n_different} different splits, expected nine. Does `seed` reach the generator?"
    )


# --- 2.2 bootstrap_interval --------------------------------------------------------------------------------------

QUANTILES = 3.92  # from the 2.5 % to the 97.5 % quantile of a normal distribution, in standard deviations
SAME = "Every resample is the same: draw with replacement, and make the generator once, before all resamples"


def expect_interval(result: object) -> tuple[float, float]:
    """Fail unless a result is two plain numbers in ascending order; return them."""
    assert isinstance(result, (tuple, list)) and len(result) == 2, (
        f"the result is {describe(result)}, expected two numbers: low, high"
    )
    for end, name in zip(result, ("low", "high"), strict=True):
        assert not isinstance(end, Tensor), (
            f"{name} is {describe(end)}, expected a plain number: float(...), or .tolist() of both"
        )
    low, high = (expect_number(float(end), name=name) for end, name in zip(result, ("low", "high"), strict=True))
    assert low <= high, f"low is {low:.3f} and high is {high:.3f}: the lower end comes first"
    return low, high


def expect_width(got: float, std: float, mistakes: dict[float, str], case: str) -> None:
    """Fail unless an interval is as wide as theory says; `mistakes` maps wrong widths to what leads to them.

    12 %: two quantiles of 2,000 resamples are off by 2 %, and theory's normal distribution by another 1 to 3 %.
    """
    expected = QUANTILES * std
    mistakes = {
        0.0: SAME,
        expected * 0.763: "A group that is drawn twice has to count twice",  # the root of (1 - 0.632) / 0.632
        expected * 3.29 / 3.92: "It looks like a 90 % interval: take the quantiles 0.025 and 0.975",
        expected * 5.15 / 3.92: "It looks like a 99 % interval: take the quantiles 0.025 and 0.975",
        expected * 2 / 3.92: "The ends are one standard deviation from the middle: take the quantiles 0.025 and 0.975",
        expected * 6.87 / 3.92: "These are the smallest and the largest mean: take the quantiles 0.025 and 0.975",
        **mistakes,
    }
    near = [(abs(got - wrong), why) for wrong, why in mistakes.items() if abs(got - wrong) <= 0.12 * wrong + 1e-4]
    why = f" {min(near)[1]}" if near else ""
    assert abs(got - expected) < 0.12 * expected, (
        f"{case}: the interval is {got:.3f} wide, expected {expected:.3f}, give or take 12 %.{why}"
    )


@exercise("bootstrap_interval")
def test_returns_the_lower_and_the_upper_end(student, generator, seed):
    for n, n_groups in ((40, 8), (30, 30)):
        values, groups = torch.rand(n, generator=generator), torch.arange(n) % n_groups
        low, high = expect_interval(student.bootstrap_interval(values, groups, 200, seed))
        assert low < high, f"low and high are both {low:.3f}. {SAME}"
        mean = float(values.mean())
        assert low - 1e-6 <= mean <= high + 1e-6, (
            f"the mean is {mean:.3f} and lies outside of your interval, {low:.3f} to {high:.3f}"
        )


@exercise("bootstrap_interval", points=1)
def test_three_groups_by_hand(student, seed):
    """27 resamples are possible: 8 of them have a mean of 0, 12 of 1/3, 6 of 2/3, and one, which is 3.7 %, of 1."""
    values, groups = torch.tensor([0.0, 0.0, 1.0]), torch.arange(3)
    low, high = expect_interval(student.bootstrap_interval(values, groups, 10_000, seed))
    mistakes = {
        (1 / 3, 1 / 3): "All three were drawn every time: draw with replacement",
        (0.0, 2 / 3): "It looks like a 90 % interval: take the quantiles 0.025 and 0.975",
        (0.0, 1 / 3): "These are the middle half of the resamples: take the quantiles 0.025 and 0.975",
        (0.0, 0.0): "Is the last group ever drawn, and are the quantiles 0.025 and 0.975?",
    }
    otherwise = "Draw three of the three groups, with replacement, and take the quantiles of the means"
    if low == high:
        otherwise = SAME
    if low < -1e-6 or high > 1 + 1e-6:
        otherwise = "No mean can be there: take quantiles of the means, and not their standard deviation times 1.96"
    ends = torch.tensor([low, high])
    why = next((text for wrong, text in mistakes.items() if close(torch.tensor(wrong), ends)), otherwise)
    # the frequency of a mean of 1 among 10,000 resamples is 3.7 %, give or take 0.2 %
    assert abs(low) < 1e-3 and abs(high - 1) < 1e-3, (
        f"values 0, 0, 1, each a group of its own: the interval is {low:.3f} to {high:.3f}, expected 0 to 1. {why}"
    )


@exercise("bootstrap_interval", points=1)
def test_is_as_wide_as_that_of_independent_groups(student, generator, seed):
    """First 100 groups of one example, then 40 of ten examples that are all alike: only the groups are independent."""
    for n_groups, size in ((100, 1), (40, 10)):
        of_groups = 5 + 2 * torch.randn(n_groups, generator=generator)
        values, groups = of_groups.repeat_interleave(size), torch.arange(n_groups).repeat_interleave(size)
        low, high = expect_interval(student.bootstrap_interval(values, groups, 2000, seed))
        std = float(of_groups.std(correction=0)) / n_groups**0.5
        spread = float(torch.quantile(of_groups, 0.975) - torch.quantile(of_groups, 0.025))
        mistakes = {
            QUANTILES * std * (n_groups / 2000) ** 0.5: "Each of your means is over 2,000 draws, which is n_resamples",
            QUANTILES * std * n_groups**0.5: "Is one group drawn for each resample? Draw as many as there are",
            spread: "It is the spread of the values, not of the means of resamples",
        }
        if size > 1:
            mistakes[QUANTILES * std / size**0.5] = (
                "Examples were drawn one by one, or too many groups: draw whole groups, as many as there are"
            )
        case = f"{n_groups} groups of {size} alike examples each" if size > 1 else f"{n_groups} groups of one example"
        expect_width(high - low, std, mistakes, case)
        middle = (low + high) / 2
        assert abs(middle - float(of_groups.mean())) < 0.6 * std, (  # two quantiles are off by 0.05, skewness adds 0.1
            f"{case}: the interval's middle is {middle:.2f}, expected about the mean, {float(of_groups.mean()):.2f}"
        )


@exercise("bootstrap_interval", points=1)
def test_draws_whole_groups(student, generator, seed):
    """Every group holds as many 1 as 0, so whichever groups are drawn, the mean is 1/2."""
    sizes = torch.tensor([2, 4, 6, 2, 8, 4, 2, 6])
    groups = torch.arange(len(sizes)).repeat_interleave(sizes)
    values = (torch.arange(len(groups)) % 2).float()  # all sizes are even, so 0 and 1 take turns in every group
    low, high = expect_interval(student.bootstrap_interval(values, groups, 500, seed))
    why = "Draw whole groups: all examples of a group, or none"
    if high > 1.001 or low < -0.001:
        why = "That is outside of all values: divide the sum by the number of examples"
    else:
        flat = expect_interval(student.bootstrap_interval(torch.ones_like(values), groups, 500, seed))
        if max(abs(end - 1) for end in flat) > 1e-3:
            why = (
                f"And if all values are 1, it is {flat[0]:.3f} to {flat[1]:.3f}. Divide the sum of a resample by the "
                "number of its own examples: groups differ in size"
            )
    assert max(abs(low - 0.5), abs(high - 0.5)) < 1e-3, (
        f"every group has as many 1 as 0, so each resample has a mean of 0.5; the interval is {low:.3f} to {high:.3f}, "
        f"expected 0.500 to 0.500. {why}"
    )


@exercise("bootstrap_interval", points=1)
def test_every_example_counts_the_same(student, seed):
    """60 groups with one example of value 1, and 60 with nine examples of value 0: a tenth of the examples is 1."""
    sizes = torch.tensor([1, 9]).repeat(60)
    groups, values = torch.arange(120).repeat_interleave(sizes), torch.tensor([1.0, 0.0]).repeat(60)
    values = values.repeat_interleave(sizes)
    low, high = expect_interval(student.bootstrap_interval(values, groups, 2000, seed))
    why = "Small groups count as much as large ones: divide sums by numbers of examples" if low < 0.5 < high else ""
    assert low - 1e-4 < 0.1 < high + 1e-4, (
        f"60 of 600 examples are 1, so the mean is 0.1; your interval is {low:.3f} to {high:.3f}. {why}"
    )
    # a ratio of sums: small groups stand out by 0.9 above what a mean of 0.1 gives them, large ones by 0.9 below it
    std = 120**0.5 * 0.9 / 600
    mistakes = {
        QUANTILES * 120**0.5 * 0.5 / 600: "Every resample was divided by the same number: divide by its own examples",
        QUANTILES * (0.09 / 600) ** 0.5: "Examples were drawn one by one: draw whole groups",
    }
    expect_width(high - low, std, mistakes, "groups of one and of nine examples")


@exercise("bootstrap_interval", points=1)
def test_the_numbers_of_the_groups_are_only_names(student, generator, seed):
    """The examples in any order, the groups numbered with gaps, from a negative number on."""
    n_groups, size = 40, 6
    of_groups = torch.randn(n_groups, generator=generator)
    numbers = (torch.randperm(n_groups, generator=generator) - 7) * 17 + 3
    order = torch.randperm(n_groups * size, generator=generator)
    values, groups = of_groups.repeat_interleave(size)[order], numbers.repeat_interleave(size)[order]
    with hint("Groups have any numbers, such as 3, 17, 40: `groups.unique(return_inverse=True)` counts them from 0"):
        result = student.bootstrap_interval(values, groups, 2000, seed)
    ends = [float(end) for end in result] if isinstance(result, (tuple, list)) else []
    assert not any(end != end for end in ends), (
        "groups numbered 3, 20, 37, ... make the ends of the interval NaN: numbers in between have no examples"
    )
    low, high = expect_interval(result)
    std = float(of_groups.std(correction=0)) / n_groups**0.5
    narrow = min(high - low, 0.6 * QUANTILES * std)  # whatever is as narrow as that
    case = "40 groups of six alike examples, in any order and numbered with gaps"
    expect_width(high - low, std, {narrow: "Do the examples of a group have to stand next to each other?"}, case)


@exercise("bootstrap_interval", points=1)
def test_the_seed_and_the_number_of_resamples_matter(student, generator, seed):
    values, groups = torch.randn(60, generator=generator), torch.arange(60) // 2
    first, again, other = (
        expect_interval(student.bootstrap_interval(values, groups, 300, s)) for s in (seed, seed, seed + 1)
    )
    assert first == again, (
        "two calls with the same seed give two intervals, expected the same one: draw with a generator that is seeded "
        "with `seed`"
    )
    assert first != other, "another seed gives the same interval to the last digit: does `seed` reach the generator?"
    few = [expect_interval(student.bootstrap_interval(values, groups, 3, s)) for s in range(12)]
    width, full = sum(high - low for low, high in few) / len(few), first[1] - first[0]
    assert width < 0.75 * full, (  # three normal draws span 0.43 of it, the mean of twelve such spans 0.07 more or less
        f"with 3 resamples the interval is {width / full:.2f} times as wide as with 300, on average, expected about "
        "0.4: three means span less than three hundred. Does `n_resamples` reach the draw?"
    )


# --- 2.3 control_labels ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Vocabulary:
    """Words with a true label each, in many examples: the first 30 % of the alphabet are True, and occur more often."""

    types: list[str]  # in alphabetical order
    truth: Tensor  # [type]
    words: list[str]  # [example], in no order
    labels: Tensor  # [example]


@pytest.fixture
def vocabulary(generator) -> Vocabulary:
    n_types = 1000
    types, truth = [f"word{i:04d}" for i in range(n_types)], torch.arange(n_types) < 300
    times = torch.where(truth, 4, 1) + torch.randint(2, (n_types,), generator=generator)
    number = torch.arange(n_types).repeat_interleave(times)
    number = number[torch.randperm(len(number), generator=generator)]  # [example]
    return Vocabulary(types, truth, [types[i] for i in number.tolist()], truth[number])


def expect_lot(control: object, vocabulary: Vocabulary) -> Tensor:
    """Fail unless there is a bool for each example and one label for each word; return the labels of the types."""
    expect_tensor(control, "example", (len(vocabulary.words),), dtype=torch.bool)
    drawn: dict[str, set[bool]] = {}
    for word, label in zip(vocabulary.words, control.tolist(), strict=True):
        drawn.setdefault(word, set()).add(label)
    torn = [word for word, found in drawn.items() if len(found) > 1]
    assert not torn, (
        f"{len(torn)} of {len(drawn)} words have both labels, such as {torn[0]!r}: draw one label for each word, and "
        "give it to all of its examples"
    )
    return torch.tensor([drawn[word].pop() for word in vocabulary.types])


@exercise("control_labels")
def test_returns_a_bool_for_each_example(student, vocabulary, seed):
    words, labels = vocabulary.words, vocabulary.labels
    expect_tensor(student.control_labels(words, labels, seed), "example", (len(words),), dtype=torch.bool)
    few = student.control_labels(["red", "blue", "red"], torch.tensor([True, False, True]), seed)
    expect_tensor(few, "example", (3,), dtype=torch.bool, name="for three examples, the result")


@exercise("control_labels", points=1)
def test_a_word_has_one_label_wherever_it_stands(student, vocabulary, seed):
    expect_lot(student.control_labels(vocabulary.words, vocabulary.labels, seed), vocabulary)


@exercise("control_labels", points=1)
def test_as_many_words_are_true_as_before(student, vocabulary, seed):
    """Different words are counted, not examples."""
    for s in (seed, seed + 1):
        control = student.control_labels(vocabulary.words, vocabulary.labels, s)
        expect_tensor(control, "example", (len(vocabulary.words),), dtype=torch.bool)
        true = {word for word, label in zip(vocabulary.words, control.tolist(), strict=True) if label}
        got, n_types, expected = len(true), len(vocabulary.types), int(vocabulary.truth.sum())
        share = float(vocabulary.labels.float().mean())  # of the examples, about 0.56
        why = "Shuffle the labels of the words: a shuffle keeps their number"
        if got == n_types - expected:
            why = "That is the number of words that were False: shuffle the labels, do not turn them round"
        elif abs(got - share * n_types) < 48:  # three standard deviations of 1,000 coins
            why = "That is about the share of the examples: words that occur often count once, like all others"
        elif abs(got - n_types / 2) < 50:
            why = "Half of the words, as by tossing coins: shuffle the labels that the words have"
        elif abs(got - expected) < 50:
            why = "A toss for each word gives their number only on average: shuffle the labels that the words have"
        assert got == expected, f"{got} of {n_types} words have a True label, expected {expected} as before. {why}"


@exercise("control_labels", points=2)
def test_the_labels_mean_nothing(student, vocabulary, seed):
    """A control that must not succeed: whoever knows the true label of a word, or its place in the alphabet."""
    control = student.control_labels(vocabulary.words, vocabulary.labels, seed)
    expect_tensor(control, "example", (len(vocabulary.words),), dtype=torch.bool)
    of_word = dict(zip(vocabulary.words, control.tolist(), strict=True))
    lot = torch.tensor([of_word[word] for word in vocabulary.types])
    same = {
        "your labels are the true ones: shuffle them": vocabulary.truth,
        "your labels are the true ones turned round, and a probe that knows the one knows the other": ~vocabulary.truth,
        "your labels are sorted along the alphabet: shuffle them": vocabulary.truth.flip(0),
    }
    for text, wrong in same.items():
        assert not torch.equal(lot, wrong), f"a label must not say anything about its word, and {text}"
    for what, guess in (
        ("the true label", vocabulary.truth),
        ("the alphabet, the last 300 words taken for True,", vocabulary.truth.flip(0)),
        ("the alphabet, every other word taken for True,", torch.arange(1000) % 2 == 0),
    ):
        got = float((lot == guess).float().mean())
        share, guessed = float(lot.float().mean()), float(guess.float().mean())
        expected = share * guessed + (1 - share) * (1 - guessed)  # of two lots that know nothing of each other
        assert abs(got - expected) < 0.08, (  # standard deviation 0.013
            f"{what} is the new label of {got:.3f} of the words, expected about {expected:.2f}, which is chance. Are "
            "the labels of all words shuffled?"
        )


@exercise("control_labels", points=1)
def test_the_lot_depends_on_the_seed_and_not_on_the_order(student, vocabulary, generator, seed):
    words, labels = vocabulary.words, vocabulary.labels
    seeds = (seed, *range(seed, seed + 5))
    lots = [expect_lot(student.control_labels(words, labels, s), vocabulary) for s in seeds]
    assert torch.equal(lots[0], lots[1]), (
        "two calls with the same seed give two lots, expected the same one: shuffle with a generator that is seeded "
        "with `seed`"
    )
    n_different = len({tuple(lot.tolist()) for lot in lots[1:]})
    assert n_different == 5, f"five seeds give {n_different} different lots: does `seed` reach the generator?"
    orders = [torch.arange(len(words)).flip(0), torch.randperm(len(words), generator=generator)]
    for order in orders:
        turned = Vocabulary(vocabulary.types, vocabulary.truth, [words[i] for i in order], labels[order])
        lot = expect_lot(student.control_labels(turned.words, turned.labels, seed), turned)
        n_moved = int((lot != lots[0]).sum())
        assert n_moved == 0, (
            f"the same examples in another order, with the same seed: {n_moved} words get another label, expected "
            "none. Sort the words before you shuffle: neither a `set` nor the order of the examples stays the same"
        )


# --- 2.4 selectivity ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """What selectivity is asked for."""

    acts: Tensor  # [example d_model]
    labels: Tensor  # [example]
    control: Tensor  # [example]
    train: Tensor  # [train], in no order
    test: Tensor  # [test], in no order

    def ask(self, student, l2: float) -> float:
        return expect_number(student.selectivity(self.acts, self.labels, self.control, self.train, self.test, l2))


def draw_two_units(generator, both: Tensor, shown: Tensor) -> Task:
    """Unit 0 shows the label and unit 1 the control, ten standard deviations away from its noise.

    Args:
        both: labels and control [2 300], of which the first 200 are for training.
        shown: the same, as the units show them.
    """
    acts = 0.3 * torch.randn(300, 6, generator=generator) + 5  # far from the origin: the bias matters
    acts[:, :2] += torch.where(shown.T, 3.0, -3.0)
    order = torch.randperm(300, generator=generator)
    place = order.argsort()  # of each example
    return Task(acts[order], both[0, order], both[1, order], place[:200], place[200:])


def draw_words(generator, n_types: int, d_model: int, strength: float) -> Task:
    """Words in four sentences, the last one for the test; labels and control are tossed for each word.

    A word has a vector of its own, and next to no noise. With a strength its label moves it along a direction.
    """
    labels, control = torch.rand(2, n_types, generator=generator) < 0.5
    identity, direction = torch.randn(n_types, d_model, generator=generator), torch.randn(d_model, generator=generator)
    identity += strength * torch.where(labels, 1.0, -1.0)[:, None] * direction / direction.norm()
    acts = identity.repeat(4, 1) + 0.05 * torch.randn(4 * n_types, d_model, generator=generator)
    train, test = torch.arange(4 * n_types).tensor_split([3 * n_types])
    return Task(acts, labels.repeat(4), control.repeat(4), train, test)


@exercise("selectivity")
def test_returns_one_difference(student, generator):
    with hint("The labels are bool; fit_logistic_regression_probe takes acts[train], labels[train] and l2=l2"):
        for n_types, d_model in ((40, 6), (25, 9)):
            got = draw_words(generator, n_types, d_model, 1.0).ask(student, 0.1)
            assert -1 <= got <= 1, f"the difference of two accuracies lies between -1 and 1, got {got:.3f}"


@exercise("selectivity", points=2)
def test_is_the_difference_of_two_test_accuracies(student, generator):
    """On training examples both are perfect; of 100 test examples 80 are right for the task and 55 for the control."""
    i = torch.arange(100)
    labels, wrong = i < 50, torch.stack([i % 5 == 0, i % 20 < 9])  # where a unit shows the opposite
    control = (labels ^ wrong[0]) ^ (i % 10 >= 3)  # unit 0 is right about 30 of them
    train, test = torch.stack([torch.arange(200) % 2 == 0, torch.arange(200) % 4 < 2]), torch.stack([labels, control])
    both, shown = torch.cat([train, test], dim=1), torch.cat([train, test ^ wrong], dim=1)
    got = draw_two_units(generator, both, shown).ask(student, 0.01)
    crossed = float(((control ^ wrong[1]) == labels).float().mean())  # unit 1 about the labels
    mistakes = {
        0.8: "This is the accuracy on the task alone: subtract that on the control task",
        0.55: "This is the accuracy on the control task alone",
        -0.25: "The sign is turned round: task minus control",
        1.35: "This is their sum: take the difference",
        0.8 / 0.55: "This is their ratio: take the difference",
        0.3: "This is the task's accuracy minus one half: subtract the accuracy on the control task",
        0.0: "Both are perfect on the training examples: fit on `train`, measure accuracy on `test`",
        25 / 300: "It is measured on all examples: measure accuracy on `test`",
        0.8 - 0.3: "The probe that was fitted to the task was also scored on the control: fit one for each",
        crossed - 0.55: "The probe that was fitted to the control was also scored on the task: fit one for each",
        0.8 - crossed: "What the control's probe says was compared with `labels`: compare it with `control`",
        0.8 - 1: "The accuracy on the control is that on the training examples: measure both on `test`",
        1 - 0.55: "The accuracy on the task is that on the training examples: measure both on `test`",
        25.0: "This is a number of examples: divide by how many there are",
    }
    why = next((text for number, text in mistakes.items() if abs(got - number) < 1e-3), "")
    why = why or "Fit on `train`, and compare what the probe says of acts[test] with labels[test]"
    assert abs(got - 0.25) < 1e-3, (
        "80 of 100 test examples are right for the task and 55 for the control: the selectivity is "
        f"{got:.3f}, expected 0.250. {why}"
    )


@exercise("selectivity", points=1)
def test_what_is_learned_by_heart_does_not_count(student, generator):
    """Fewer words than dimensions: every lie can be learned. Thirty words to a dimension: next to none can."""
    few = draw_words(generator, 20, 60, 0.0).ask(student, 1e-3)
    why = "Is the control's accuracy subtracted?" if few > 0.9 else "Are both accuracies measured the same way?"
    assert abs(few) < 0.03, (  # both probes are right for all 20 words
        "20 words in 60 dimensions: task and control are both learned by heart, so the selectivity is 0; got "
        f"{few:.3f}. {why}"
    )
    many = draw_words(generator, 240, 8, 3.0).ask(student, 1e-3)
    why = "Is the control's accuracy subtracted?" if many > 0.6 else "Has each its own probe?"
    assert 0.25 < many < 0.6, (  # the task is perfect, lies come to 0.5 to 0.65
        "240 words in 8 dimensions, with labels along a direction: the selectivity is "
        f"{many:.3f}, expected about 0.42. {why}"
    )


@exercise("selectivity", points=1)
def test_tossed_labels_are_not_selective(student, generator):
    """A control that must not succeed: the labels of the task are drawn by lot as well."""
    tasks = [draw_words(generator, 300, 40, 0.0) for _ in range(6)]
    got = sum(task.ask(student, 1e-2) for task in tasks) / len(tasks)
    assert abs(got) < 0.1, (  # standard deviation 0.02
        f"labels that are tossed themselves have a selectivity of {got:.3f}, the mean of six draws, expected 0, give "
        "or take 0.1. Treat task and control alike: same examples, same settings"
    )


@exercise("selectivity", points=1)
def test_the_probes_have_not_seen_the_test_examples(student, generator):
    """Labels that are tossed for every single example: with more dimensions than examples they are learned by heart."""
    acts = torch.randn(300, 320, generator=generator)
    labels, control = torch.rand(2, 300, generator=generator) < 0.5
    acts[:, :80] += torch.where(control, 1.0, -1.0)[:, None]  # together they set the control 18 noises apart
    order = torch.randperm(300, generator=generator)
    got = Task(acts, labels, control, order[:120], order[120:]).ask(student, 1e-2)
    why = "A probe knows labels that nobody can know: fit on `train` alone, and score on `test` alone"
    if got > 0.3:
        why = "Task minus control may be negative"
    assert abs(got + 0.5) < 0.2, (  # standard deviation 0.04
        "labels that are tossed for every example, and a control that can be read: the selectivity is "
        f"{got:.3f}, expected about 0.5 - 1 = -0.5. {why}"
    )


@exercise("selectivity", points=1)
def test_l2_reaches_both_probes(student, generator):
    """With a large penalty the weight is next to 0, and the bias says True, as 55 % of the training labels are."""
    i = torch.arange(200)
    train, test = torch.stack([i < 110, i * 7 % 200 < 110]), torch.stack([i[:100] < 80, i[:100] * 3 % 100 < 55])
    both = torch.cat([train, test], dim=1)
    got = draw_two_units(generator, both, both).ask(student, 20.0)
    mistakes = {
        0.0: "Neither probe knows of l2 (is it fit_logistic_regression_probe, with l2=l2?), or both are scored on "
        "training examples",
        -0.2: "Only the task's probe gets l2: both need the same",
        0.45: "Only the control's probe gets l2: both need the same",
        -0.25: "Your probes say False although their logit is above 0, or control and task are swapped: a logit is no "
        "probability, True begins at 0",
    }
    otherwise = "Pass l2 on as it is, by its name"
    why = next((text for number, text in mistakes.items() if abs(got - number) < 1e-3), otherwise)
    assert abs(got - 0.25) < 1e-3, (
        "with l2 = 20 both probes say True for every example, which is right for 0.80 of the labels and 0.55 of the "
        f"control; the selectivity is {got:.3f}, expected 0.250. {why}"
    )


# --- 2.5 pattern_from_filter -------------------------------------------------------------------------------------


def draw_sources(n: int, stds: list[float], generator: torch.Generator) -> Tensor:
    """Sources [example source] of mean 0, with these standard deviations, and without any correlation in the sample."""
    drawn = torch.randn(n, len(stds), generator=generator, dtype=torch.float64)
    round_cloud = torch.linalg.qr(drawn - drawn.mean(dim=0)).Q * n**0.5
    return (round_cloud * torch.tensor(stds)).float()


def listed(values: Tensor) -> list[float]:
    return [round(value, 2) + 0.0 for value in values.tolist()]


@exercise("pattern_from_filter")
def test_returns_a_number_for_each_unit(student, generator):
    for n, d_model in ((40, 6), (5, 9)):  # with fewer examples than units, too: nothing has to be inverted
        acts, weight = torch.randn(n, d_model, generator=generator), torch.randn(d_model, generator=generator)
        with hint("centred.T @ centred is [d_model d_model]. Nothing has to be inverted"):
            pattern = student.pattern_from_filter(acts, weight)
        expect_tensor(pattern, "d_model", (d_model,), name=f"for {n} examples and {d_model} units, the result")


@exercise("pattern_from_filter", points=2)
def test_a_unit_of_noise_has_a_weight_and_no_pattern(student, generator):
    """The weight reads the signal and cancels the noise; the pattern says where the signal was put."""
    signal, hum, other, last = draw_sources(60, [3.0, 4.0, 1.0, 2.0], generator).T
    acts = torch.stack([signal + hum, hum, other - signal / 2, last], dim=1)
    weight, expected = torch.tensor([1.0, -1, 0, 0]), torch.tensor([1.0, 0, -0.5, 0])
    pattern = student.pattern_from_filter(acts, weight)
    expect_tensor(pattern, "d_model", (4,))
    spread = acts.std(dim=0, correction=0)
    directions = {
        "This is the filter itself, up to its length: multiply the covariance by it": weight,
        "This is the inverse of the covariance times the weight: take the covariance": torch.linalg.solve(
            acts.T @ acts, weight
        ),
        "Each unit is divided by its own variance, which predicts the logit from the unit: divide all of them by the "
        "variance of the logit": expected / spread**2,
        "Each unit is divided by its own spread, as in a correlation: divide all by the variance of the logit": (
            expected / spread
        ),
        "Each unit was scaled to spread 1 first: take the acts as they are": (acts / spread).T
        @ (acts / spread @ weight),
        "Only the variances of the units are in it: multiply the whole covariance by the weight": weight * spread**2,
    }
    lengths = {
        9.0: "the division by weight @ covariance @ weight is missing",
        540.0: "the division by weight @ covariance @ weight is missing",
        3.0: "it is divided by the spread of the logit, and not by its variance",
        4.5: "it is divided by weight @ weight, and not by weight @ covariance @ weight",
        1.25**-0.5: "it was scaled to length 1, and not divided by weight @ covariance @ weight",
        60.0: "the covariance is a sum above and a mean below",
        1 / 60: "the covariance is a mean above and a sum below",
        60 / 59: "the covariance is over n - 1 above and over n below: take the same",
        59 / 60: "the covariance is over n above and over n - 1 below: take the same",
        -1.0: "it points the wrong way",
    }
    along = float(pattern @ expected / expected.square().sum())  # how often the right pattern is in it
    why = "Is it covariance @ weight, over weight @ covariance @ weight?"
    if float(cosine_similarity(pattern, expected, dim=0).abs()) > 0.9999:
        found = (text for length, text in lengths.items() if abs(along / length - 1) < 1e-3)
        why = f"The direction is right, and the length is not: {next(found, f'it is {along:.3g} times the right one')}"
    for text, direction in directions.items():
        if float(cosine_similarity(pattern, direction, dim=0).abs()) > 0.9999:
            why = text
    assert close(pattern, expected, atol=2e-3), (  # exact but for float32: nothing is correlated by chance
        "four units hold signal + hum, hum, noise - signal / 2, and noise; the weight [1, -1, 0, 0] reads the signal. "
        f"Your pattern is {listed(pattern)}, expected {listed(expected)}. {why}"
    )


@exercise("pattern_from_filter", points=1)
def test_nothing_is_left_that_goes_with_the_logit(student, generator):
    """The property that makes it the slope of each unit on the logit, for any weight."""
    acts = torch.randn(200, 7, generator=generator) @ torch.randn(7, 7, generator=generator)
    weight = torch.randn(7, generator=generator)
    pattern = student.pattern_from_filter(acts, weight)
    expect_tensor(pattern, "d_model", (7,))
    logit = acts @ weight
    slopes = torch.stack([slope(logit, unit) for unit in acts.T])  # what is there at first
    rest = acts - logit[:, None] * pattern
    worst = max(range(7), key=lambda i: abs(float(slope(logit, rest[:, i]))))
    got, size = float(slope(logit, rest[:, worst])), float(slopes.abs().max())
    assert abs(got) < 2e-3 * size, (  # float32 gives 1e-6
        f"take logit * pattern away from the acts, and unit {worst} still rises by {got:.3g} when the logit rises by "
        f"one, expected 0. Your pattern has {float(pattern[worst]):.3g} there, and the slope of the unit on the logit "
        f"is {float(slopes[worst]):.3g}"
    )


def slope(x: Tensor, y: Tensor) -> Tensor:
    """By how much y rises, on average, when x rises by one."""
    return torch.linalg.lstsq(torch.stack([x, torch.ones_like(x)], dim=1), y[:, None]).solution[0, 0]


@exercise("pattern_from_filter", points=1)
def test_moving_all_examples_changes_nothing(student, generator):
    acts = torch.randn(80, 5, generator=generator) @ torch.randn(5, 5, generator=generator)
    weight, offset = torch.randn(5, generator=generator), torch.tensor([10.0, -20, 0, 5, 30])
    acts = acts - acts.mean(dim=0)
    near, far = student.pattern_from_filter(acts, weight), student.pattern_from_filter(acts + offset, weight)
    expect_tensor(near, "d_model", (5,))
    expect_tensor(far, "d_model", (5,))
    size, difference = float(near.norm()), float((near - far).norm())
    why = "Centre the acts: the covariance is about the mean of each unit"
    if abs(float(cosine_similarity(far, offset, dim=0))) > 0.98:
        why = f"Far from the origin you return the direction of the mean. {why}"
    assert difference < 1e-2 * size, (  # float32 gives 1e-5
        f"with the same offset added to every example the pattern changes by {difference / size:.2g} of its length, "
        f"expected no change. {why}"
    )


@exercise("pattern_from_filter", points=1)
def test_a_least_squares_probe_has_the_class_means_for_its_pattern(student, generator):
    """Haufe's theorem for one target, with noise that turns the filter far away from the means."""
    labels = torch.arange(300) % 4 == 0
    noise = draw_sources(300, [0.2, 0.5, 1.0, 3.0, 6.0], generator)
    acts = noise + torch.where(labels, 1.0, 0.0)[:, None] * torch.tensor([0.3, 0.3, 0.6, 1.0, 1.0]) + 2
    design = torch.cat([acts, torch.ones(300, 1)], dim=1)
    weight = torch.linalg.lstsq(design, labels.float()[:, None]).solution[:5, 0]
    means = acts[labels].mean(dim=0) - acts[~labels].mean(dim=0)
    pattern = student.pattern_from_filter(acts, weight)
    expect_tensor(pattern, "d_model", (5,))
    cosine = float(cosine_similarity(pattern, means, dim=0))
    own = float(cosine_similarity(means, weight, dim=0))
    why = "It is the covariance of the units, about their means, that leads from the filter back to the class means"
    if abs(cosine - own) < 1e-3:
        why = "You returned the filter"
    elif abs(cosine) > 0.999:
        why = "It points the wrong way"
    assert cosine > 0.999, (  # a theorem: float32 gives 0.99999
        "the pattern of a least-squares probe points from the negative to the positive class mean, a cosine of 1; "
        f"yours has {cosine:.3f}, and the filter {own:.3f}. {why}"
    )


# --- 2.6 fit_leace_eraser ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Features:
    """Two features in noise that is loud in some directions and quiet in others, far from the origin."""

    acts: Tensor  # [example d_model]
    labels: Tensor  # [example], one in three is True: the feature to erase
    other: Tensor  # [example], True for half of each class: the feature that has to stay


@pytest.fixture
def features(generator) -> Features:
    labels, other = torch.arange(300) % 3 == 0, torch.arange(300) // 3 % 2 == 0
    spread = torch.logspace(-0.5, 0.5, 12)  # from 0.3 to 3
    directions = 4 * torch.nn.functional.normalize(torch.randn(2, 12, generator=generator), dim=1)
    centre = torch.randn(12, generator=generator) * 5
    read = directions[0] / spread**2  # the best direction to read the labels
    centre = centre + (5 - centre @ read / (directions[0] @ read)) * directions[0]  # what A takes from it is not small
    acts = centre + torch.stack([labels, other], dim=1).float() @ directions
    acts = acts + torch.randn(300, 12, generator=generator) * spread
    turn = torch.linalg.qr(torch.randn(12, 12, generator=generator)).Q
    return Features(acts @ turn, labels, other)


def expect_eraser(eraser: object, acts: Tensor) -> LinearEraser:
    assert isinstance(eraser, LinearEraser), (
        f"the result is {describe(eraser)}, expected LinearEraser(matrix=..., bias=...)"
    )
    d_model = acts.shape[1]
    assert eraser.matrix.dtype == acts.dtype, (
        f"the eraser has dtype {eraser.matrix.dtype}, expected that of acts, {acts.dtype}: end with .to(acts.dtype)"
    )
    expect_tensor(eraser.matrix, "d_model d_model", (d_model, d_model), dtype=acts.dtype, name="matrix")
    expect_tensor(eraser.bias, "d_model", (d_model,), dtype=acts.dtype, name="bias")
    return eraser


def mean_difference(acts: Tensor, labels: Tensor) -> Tensor:
    return acts[labels].mean(dim=0) - acts[~labels].mean(dim=0)


@exercise("fit_leace_eraser")
def test_returns_an_eraser_for_the_dimensions_of_acts(student, features):
    acts, labels, _ = vars(features).values()
    with hint("matrix is [d_model d_model] and bias [d_model]; eigenvectors stand in the columns of axes"):
        for some in (acts, acts[:50, :7]):
            expect_eraser(student.fit_leace_eraser(some, labels[: len(some)]), some)


@exercise("fit_leace_eraser", points=1)
def test_both_classes_have_the_same_mean_afterwards(student, features):
    acts, labels, _ = vars(features).values()
    eraser = expect_eraser(student.fit_leace_eraser(acts, labels), acts)
    before, after = mean_difference(acts, labels), mean_difference(eraser(acts), labels)
    size = float(before.norm())
    got = float(after.norm()) / size
    turned = float((eraser.matrix @ before).norm()), float((eraser.matrix.T @ before).norm())
    part = float(after @ before) / size**2  # how much of the difference is left, if it points the same way
    rank = int(torch.linalg.matrix_rank(eraser.matrix.double(), rtol=1e-4))
    why = (
        "The line has to be whitened: u = W (mu_pos - mu_neg), of length 1, and A = W⁺ u uᵀ W, where W and W⁺ are "
        "built from the columns of axes"
    )
    if rank == 1:
        why = "Your matrix is A, what goes: the eraser is I - A"
    elif turned[1] < 1e-3 * size < turned[0]:
        why = "It would work transposed: torch.outer(a, b) is a bᵀ, and A = W⁺ u uᵀ W has W⁺ u on the left"
    elif abs(part - 2) < 0.01 and abs(got - 2) < 0.01:
        why = "The difference is doubled: I - A, and not I + A"
    elif abs(part - 1) < 1e-4:
        why = "Nothing was erased"
    elif abs(got - abs(part)) < 1e-3:
        why = f"The direction is right, and {part:.3g} times the difference is left: u has to be of length 1"
    assert got < 1e-3, (  # float32 gives 1e-6
        f"after erasing, the class means are {got:.3g} times as far apart as before, expected 0. {why}"
    )


@exercise("fit_leace_eraser", points=1)
def test_a_new_probe_finds_another_feature_and_not_this_one(student, features):
    """Erasing everything would be easy: what must go is at the majority class, and what must stay is as before."""
    acts, labels, other = vars(features).values()
    erased = expect_eraser(student.fit_leace_eraser(acts, labels), acts)(acts)
    found, majority = probe_anew(erased, labels), float((~labels).float().mean())
    assert found < majority + 0.02, (  # a theorem: the best weight is 0
        f"a new probe, fitted on the erased acts, is right for {found:.2f} of the labels, expected {majority:.2f}, the "
        "majority class. It can still tell the class means apart: A = W⁺ u uᵀ W, and the eraser is I - A"
    )
    before, after = probe_anew(acts, other), probe_anew(erased, other)
    assert after > before - 0.05, (  # 0.93 to 1.00 before; the two features are independent
        f"another feature, independent of the labels, was found with {before:.2f} before and {after:.2f} after "
        "erasing, expected no change. More than the one line through the class means went"
    )


def probe_anew(acts: Tensor, labels: Tensor) -> float:
    """Accuracy of a probe on the examples it was fitted on."""
    return float(((fit_logistic_regression_probe(acts, labels, l2=1e-2)(acts) > 0) == labels).float().mean())


@exercise("fit_leace_eraser", points=2)
def test_no_other_eraser_changes_the_acts_less(student, features, generator):
    """Against erasers that move examples along the mean difference too, by as much as some other direction reads."""
    acts, labels, _ = vars(features).values()
    eraser = expect_eraser(student.fit_leace_eraser(acts, labels), acts)
    line, centred = mean_difference(acts, labels), acts - acts.mean(dim=0)
    left = float(mean_difference(eraser(acts), labels).norm() / line.norm())
    assert left < 1e-2, (
        f"the class means are still {left:.2g} times as far apart as before, expected 0: to change little is easy as "
        "long as nothing is erased"
    )
    least_squares = torch.linalg.lstsq(centred, labels.float()[:, None] - labels.float().mean()).solution[:, 0]

    def change(read: Tensor) -> float:
        amount = centred @ read / (read @ line)  # [example]
        return float(amount.square().mean() * line.square().sum())

    mine = float((centred @ eraser.matrix.T - centred).square().sum(dim=1).mean())  # the bias has a check of its own
    orthogonal, best = change(line), change(least_squares)
    others = [change(read) for read in torch.randn(20, 12, generator=generator)]
    smallest = min(orthogonal, best, *others)
    why = (
        "Whiten with W = V diag(λ^-1/2) Vᵀ, where λ and V are of the covariance about the mean, take the line there, "
        "and go back with W⁺"
    )
    if close(eraser.matrix, eraser.matrix.T) and abs(mine - orthogonal) < 0.01 * orthogonal:
        why = "This is the orthogonal projection along the mean difference: whiten first"
    assert mine < 1.01 * smallest, (  # a theorem: nothing is smaller; float32 gives 1e-5
        f"your eraser changes an example by {mine:.2f} (squared distance, mean), and another one that makes the means "
        f"equal by {smallest:.2f}; the orthogonal projection takes {orthogonal:.2f}. Expected the smallest. {why}"
    )


@exercise("fit_leace_eraser", points=1)
def test_the_mean_of_all_examples_stays(student, features):
    acts, labels, _ = vars(features).values()
    eraser = expect_eraser(student.fit_leace_eraser(acts, labels), acts)
    mean, erased = acts.mean(dim=0), eraser(acts).mean(dim=0)
    moved = float((erased - mean).norm())
    why = "Is it A @ mean, with the mean of all examples?"
    if not eraser.bias.any():
        why = "It is 0: without it, the eraser turns about the origin"
    elif close(eraser.matrix @ mean - eraser.bias, mean, atol=1e-2):
        why = "Its sign is turned round"
    elif close(eraser.bias, mean, atol=1e-2):
        why = "It is the mean itself: only what A takes from the mean comes back"
    elif close(eraser.bias, eraser.matrix @ mean, atol=1e-2):
        why = "It is (I - A) @ mean: what A took has to come back"
    assert moved < 1e-2, (  # float32 gives 1e-5
        f"the examples lie far from the origin, and erasing moves their mean by {moved:.2f}, expected 0. The bias "
        f"brings back what the matrix took from the mean. {why}"
    )


@exercise("fit_leace_eraser", points=1)
def test_one_direction_goes_and_it_goes_once(student, features):
    acts, labels, _ = vars(features).values()
    eraser = expect_eraser(student.fit_leace_eraser(acts, labels), acts)
    sizes = torch.linalg.svdvals(torch.eye(12) - eraser.matrix)
    n = int((sizes > 1e-3 * sizes[0]).sum()) if sizes[0] > 1e-6 else 0
    why = {
        0: "Nothing is erased",
        11: "Only the line is left: what goes is A, so the matrix is I - A",
    }.get(n, "For one label A is a product of two vectors, torch.outer(..., ...), and the matrix is I - A")
    assert n == 1, f"{n} of 12 directions go, expected 1. {why}"
    gone = torch.eye(12) - eraser.matrix
    again = float((eraser.matrix @ gone).norm() / gone.norm())
    assert again < 1e-2, (  # float32 gives 1e-6
        f"erasing twice changes acts again, by {again:.2g} of the first change, expected 0: what is gone is gone. "
        "u has to be of length 1, and A = W⁺ u uᵀ W with W on one side and W⁺ on the other"
    )


@exercise("fit_leace_eraser", points=1)
def test_directions_that_do_not_vary_are_left_alone(student, generator):
    """24 examples cannot vary in more than 23 of the 40 directions, and two units never vary at all."""
    labels = torch.arange(24) % 2 == 0
    acts = torch.cat([torch.randn(24, 38, generator=generator) * 2 + 1, torch.full((24, 2), 3.0)], dim=1)
    cure = "Keep only eigenvalues above 1e-6 times the largest, with their columns, axes[:, kept], and work in float64"
    with hint(cure):
        eraser = student.fit_leace_eraser(acts, labels)
    if isinstance(eraser, LinearEraser):
        n_bad = int((~eraser.matrix.isfinite()).sum())
        assert n_bad == 0, f"24 examples in 40 dimensions: matrix holds {n_bad} NaN or infinite numbers. {cure}"
    expect_eraser(eraser, acts)
    before, after = mean_difference(acts, labels), mean_difference(eraser(acts), labels)
    left = float(after.norm() / before.norm())
    assert left < 1e-3, (  # float32 gives 1e-6
        f"24 examples in 40 dimensions: the class means are {left:.2g} times as far apart as before, expected 0. {cure}"
    )
    centred = (acts - acts.mean(dim=0)).double()
    unseen = torch.linalg.svd(centred).Vh[23:].T.float()  # [d_model 17]: no example varies along these columns
    moved = float((eraser.matrix @ unseen - unseen).abs().max())
    if float((eraser.matrix @ unseen).norm()) < 0.1:
        cure = "They vanish: W⁺ and W hold only the directions that vary. Take A away from the whole identity, I - A"
    assert moved < 1e-2, (  # float32 gives 1e-6
        f"along directions in which no example varies, new acts are changed by up to {moved:.2g} per unit, expected "
        f"0. {cure}"
    )


# --- 2.7 score_chosen_probe --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trial:
    """Layers, and the three parts of the examples, in no order."""

    acts: Tensor  # [layer example d_model]
    labels: Tensor  # [example]
    fit: Tensor  # [fit]
    validation: Tensor  # [validation]
    test: Tensor  # [test]


def draw_trial(
    wrong: list[tuple[int, int, int]], generator: torch.Generator, sizes: tuple[int, int, int] = (80, 40, 40)
) -> Trial:
    """Layers with a direction that tells the label, but for known numbers of wrong examples in each part."""
    n = sum(sizes)
    fit, validation, test = parts = torch.randperm(n, generator=generator).split(sizes)
    labels = torch.zeros(n, dtype=torch.bool)
    for part in parts:
        labels[part[: len(part) * 3 // 5]] = True  # three in five
    said = torch.where(labels, 1.0, -1.0).repeat(len(wrong), 1)  # [layer example]
    for layer, counts in enumerate(wrong):
        for part, count in zip(parts, counts, strict=True):
            said[layer, part[torch.linspace(0, len(part) - 1, count).long()]] *= -1  # of both classes
    directions = torch.nn.functional.normalize(torch.randn(len(wrong), 1, 8, generator=generator), dim=-1)
    noise = 0.05 * torch.randn(len(wrong), n, 8, generator=generator)
    return Trial(said[:, :, None] * directions + noise + 2, labels, fit, validation, test)


@exercise("score_chosen_probe")
def test_returns_one_accuracy(student, generator):
    with hint("fit_ridge_probe(acts[:, fit], labels[fit].float(), l2=...) fits all layers; it returns [layer example]"):
        for n_layers, strengths in ((1, [1.0]), (3, [0.1, 10.0])):
            trial = draw_trial([(10, 8, 6)] * n_layers, generator)
            score = expect_number(student.score_chosen_probe(*vars(trial).values(), strengths))
            assert 0 <= score <= 1, f"an accuracy lies between 0 and 1, got {score:.3f}"


@exercise("score_chosen_probe", points=2)
def test_coin_tosses_stay_coin_tosses(student, generator):
    """A control that must not succeed: nothing is known about the labels, and 8 layers and 3 strengths are tried."""
    scores = []
    for _ in range(20):
        acts, labels = torch.randn(8, 120, 12, generator=generator), torch.rand(120, generator=generator) < 0.5
        parts = torch.randperm(120, generator=generator).split((60, 30, 30))
        scores.append(expect_number(student.score_chosen_probe(acts, labels, *parts, [1.0, 30.0, 300.0])))
    mean = sum(scores) / len(scores)
    assert abs(mean - 0.5) < 0.08, (  # standard error 0.02; the best of 24 on the test examples has 0.64
        f"labels are coin tosses, and over 20 draws your score has a mean of {mean:.2f}, expected about 0.50. Either "
        "the probe was fitted on test examples, or this is the best of the test scores: choose by the accuracy on "
        "`validation`, and look at `test` once"
    )


@exercise("score_chosen_probe", points=1)
def test_chooses_by_the_validation_accuracy(student, generator):
    """Five layers with known accuracies on each part; another one is best on each."""
    wrong = [(8, 10, 8), (8, 14, 0), (10, 4, 30), (0, 6, 2), (10, 16, 16)]
    trial = draw_trial(wrong, generator)
    got = expect_number(student.score_chosen_probe(*vars(trial).values(), [0.1, 1.0]))
    mistakes = {
        1.0: "This is the best test accuracy, of layer 1: choose by `validation`",
        0.95: "This is the layer that is best on `fit`, or on several parts together: choose by `validation` alone",
        0.9: "This is the validation accuracy of the right layer: it chooses, and the test accuracy is returned",
        0.8: "This is layer 0: take the layer with the highest validation accuracy",
        0.6: "This is the last layer, or the one that is worst on `validation`: take the highest",
        (0.8 + 1 + 0.25 + 0.95 + 0.6) / 5: "This is the mean over all layers: return the score of the chosen one",
        (70 + 36 + 10) / 160: "This is the accuracy on all examples: return the one on `test`",
        0.75: "This is the share of wrong predictions",
    }
    why = next((text for value, text in mistakes.items() if abs(got - value) < 1e-3), "Which probe is it?")
    assert abs(got - 0.25) < 1e-3, (
        "five layers, with accuracies of [0.75, 0.65, 0.9, 0.85, 0.6] on `validation` and [0.8, 1.0, 0.25, 0.95, 0.6] "
        f"on `test`: got {got:.2f}, expected 0.25. {why}"
    )


@exercise("score_chosen_probe", points=1)
def test_the_probe_is_fitted_on_fit_alone(student, generator):
    """One layer and one strength, so there is no choice; more validation examples than others, and all are wrong."""
    trial = draw_trial([(0, 100, 0)], generator, sizes=(40, 100, 40))
    got = expect_number(student.score_chosen_probe(*vars(trial).values(), [0.1]))
    why = "The validation examples have a part in the fit: they may only choose"
    if got > 0.2:
        why = "Is it fitted on acts[:, fit] and labels[fit], and is the threshold at 0.5, between the targets 0 and 1?"
    assert abs(got - 1) < 1e-3, (
        "`fit` and `test` agree, and `validation` says the opposite: with one layer and one strength the test "
        f"accuracy is {got:.2f}, expected 1.00. {why}"
    )


@exercise("score_chosen_probe", points=1)
def test_tries_every_layer_with_every_strength(student, generator):
    """Layer 1 is best with the small strength; on layer 0 the large one looks better, and on the test examples, too."""
    trial = draw_trial([(0, 40, 40), (4, 2, 24), (40, 20, 20)], generator)
    for strengths, expected in (([1e7, 0.1], 0.4), ([0.1, 1e7], 0.4), ([1e7, 1e8], 0.6)):
        got = expect_number(student.score_chosen_probe(*vars(trial).values(), strengths))
        why = (
            "Try all pairs of a layer and a strength, choose both by `validation`, and look up the test accuracy of "
            "the pair that won"
        )
        if 0.1 not in strengths:
            why = "Does l2 reach the probe?"
        assert abs(got - expected) < 1e-3, (
            f"strengths {strengths}: got {got:.2f}, expected {expected:.2f}. With l2 = 0.1, layer 1 is right for 0.95 "
            "of `validation` and 0.40 of `test`, and no other layer comes near on `validation`; with 1e7 and more, "
            f"every probe says True, which is right for 0.60. {why}"
        )


# --- 2.8 online_codelength ---------------------------------------------------------------------------------------


def draw_apart(n: int, d_model: int, distance: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Acts [n d_model] with noise 1, and labels whose class means lie this far apart."""
    labels = torch.arange(n) % 2 == 0
    direction = torch.nn.functional.normalize(torch.randn(d_model, generator=generator), dim=0)
    acts = torch.randn(n, d_model, generator=generator) + distance * labels[:, None] * direction + 1
    return acts, labels


@exercise("online_codelength")
def test_returns_one_number_of_bits(student, generator):
    acts, labels = draw_apart(40, 6, 2.0, generator)
    with hint("zip(ends, ends[1:]) gives start and end of each block; labels are numbers as labels.float()"):
        for ends in ([10, 40], [8, 16, 24, 40]):
            bits = expect_number(student.online_codelength(acts, labels, ends, 0.1))
            assert bits > 0, f"a number of bits is positive, got {bits:.2f}. The sign of log2 p is turned round"


@exercise("online_codelength", points=1)
def test_the_first_block_costs_one_bit_a_label(student, generator):
    acts, labels = draw_apart(37, 6, 8.0, generator)
    for n in (37, 12):
        with hint("With a single block nothing is fitted"):
            bits = expect_number(student.online_codelength(acts[:n], labels[:n], [n], 0.1))
        why = "The first block is not counted"
        if bits > 1e-3:
            why = "Nothing is known before the first block, not even the share of True"
        assert abs(bits - n) < 1e-3, (
            f"{n} labels in a single block cost {bits:.2f} bits, expected {n}, one for each. {why}"
        )


@exercise("online_codelength", points=2)
def test_an_uninformed_probe_pays_by_the_shares_so_far(student, generator):
    """l2 is so large that only the bias is left: each p is the share of True among all labels before the block."""
    shares = torch.tensor([1] * 2 + [0] * 8 + [1] * 6 + [0] * 4 + [1] * 20 + [0] * 10).bool()  # 10, then 10, then 30
    acts = torch.randn(50, 4, generator=generator) + 3 * shares[:, None]  # the label could be read, at a lower price
    bits = expect_number(student.online_codelength(acts, shares, [10, 20, 50], 1e4))
    by_hand = [10.0, paid(6, 4, 2 / 10), paid(20, 10, 8 / 20)]
    expected, ln2 = sum(by_hand), math.log(2)
    surprise = [
        paid(2, 8, 2 / 10),
        10 * paid(0.2, 0.8, 0.2),
        30 * paid(0.4, 0.6, 0.4),
    ]  # what each probe expects to pay
    mistakes = {
        by_hand[1] + by_hand[2]: "The first block is missing: one bit for each of its labels",
        by_hand[0] + (by_hand[1] + by_hand[2]) * ln2: "These are nats: divide by ln 2",
        expected * ln2: "These are nats: divide by ln 2",
        by_hand[0] + (by_hand[1] + by_hand[2]) / ln2: "Divided by ln 2 twice: the logarithm was to base 2 already",
        by_hand[0] + (by_hand[1] + by_hand[2]) * ln2**2: "Multiplied by ln 2: divide by it",
        by_hand[0] + by_hand[1] / 10 + by_hand[2] / 30: "Each block is a mean: take the sum over its labels",
        by_hand[0] + (by_hand[1] / 10 + by_hand[2] / 30) * ln2: "Each block is a mean, in nats: take the sum, in bits",
        1 + by_hand[1] / 10 + by_hand[2] / 30: "Each block is a mean: take the sum over its labels",
        by_hand[0] + by_hand[1]: "The last block is missing",
        by_hand[0] + by_hand[2]: "The second block is missing",
        by_hand[0] + by_hand[1] + paid(20, 10, 6 / 10): "The probe saw the block before only: fit it on all examples "
        "before",
        by_hand[0] + paid(6, 4, 2 / 10) + paid(20, 10, 2 / 10): "The probe of the first block paid for all others: fit "
        "a new one before each block",
        by_hand[0] + paid(6, 4, 8 / 20) + paid(20, 10, 28 / 50): "The probe has seen the labels of the block that it "
        "pays for: fit it on the examples before",
        by_hand[0] + paid(6, 4, 28 / 50) + paid(20, 10, 28 / 50): "The probe has seen all labels, the future too: fit "
        "it on the examples before",
        by_hand[0] + paid(6, 4, 6 / 10) + paid(20, 10, 20 / 30): "The probe was fitted on the block that it pays for: "
        "fit it on the examples before",
        by_hand[0] + paid(4, 6, 2 / 10) + paid(10, 20, 8 / 20): "This is the price of the wrong labels: a logit speaks "
        "for True",
        by_hand[0] + paid(26, 14, 2 / 10) + paid(20, 10, 8 / 20): "Every probe paid for all labels after it: each pays "
        "for one block",
        by_hand[0]
        + paid(8, 12, 2 / 10)
        + paid(28, 22, 8 / 20): "Every probe paid for the labels that it was fitted on, too: each pays for one block",
        by_hand[0] + paid(6, 0, 2 / 10) + paid(20, 0, 8 / 20): "Only the labels that are True were paid",
        by_hand[0] + paid(0, 4, 2 / 10) + paid(0, 10, 8 / 20): "Only the labels that are False were paid",
        by_hand[0] + surprise[1] + surprise[2]: "This is what the probes expect to pay, their entropy: the labels that "
        "are there set the price",
        surprise[0] + by_hand[1] + by_hand[2]: "The first block was paid by its own share of True: nothing is known "
        "yet, so it is one bit for each label",
        by_hand[0] + 6 + 20: "Wrong predictions were counted: a label costs -log2 of its probability",
        50.0: "This is one bit for every label, whatever the probe says",
        50 / expected: "This is labels by bits: return the bits",
        expected / 50: "These are bits for each label: return all bits",
    }
    otherwise = (
        "Each label of a block costs -log2 of the probability that the probe gave it, and the probe is fitted on all "
        "examples before the block. Does l2 reach it? With a smaller one it reads the acts, and pays less"
    )
    why = next((text for value, text in mistakes.items() if abs(bits - value) < 0.02), otherwise)
    assert abs(bits - expected) < 0.02, (  # the weight still moves it by 0.006
        "blocks of 10, 10 and 30 labels with 2, 6 and 20 True, and l2 = 1e4, so that only the bias is left: got "
        f"{bits:.2f} bits, expected 10 + {by_hand[1]:.2f} + {by_hand[2]:.2f} = {expected:.2f}. {why}"
    )


def paid(n_true: float, n_false: float, p: float) -> float:
    """Bits for a block if every label in it is True with probability p."""
    return -n_true * math.log2(p) - n_false * math.log2(1 - p)


@exercise("online_codelength", points=1)
def test_coin_tosses_never_get_cheaper(student, generator):
    """A control that must not succeed; with 40 dimensions most of the labels can be learned by heart."""
    acts, labels = torch.randn(128, 40, generator=generator), torch.rand(128, generator=generator) < 0.5
    bits = expect_number(student.online_codelength(acts, labels, [16, 32, 64, 128], 0.1))
    assert bits > 128, (  # 150 to 200: what was learned by heart is wrong, and sure of itself
        f"128 coin tosses were sent with {bits:.0f} bits, expected more than 128. Has a probe seen labels that it pays "
        "for? Fit on acts[:start] and labels[:start], and pay -log2 of the probability of each label from start to end"
    )


@exercise("online_codelength", points=1)
def test_a_feature_that_is_easy_to_read_is_cheap(student, generator):
    acts, labels = draw_apart(256, 8, 8.0, generator)
    bits = expect_number(student.online_codelength(acts, labels, [16, 32, 64, 128, 256], 1e-2))
    why = "Do the probe's logits speak for True, and does every block have a probe fitted on all examples before it?"
    assert bits < 64, (
        f"256 labels, with the classes 8 standard deviations apart, cost {bits:.0f} bits, expected fewer than 64: 16 "
        f"for the first block and next to nothing for the rest. {why}"
    )
    assert bits > 15, f"256 labels cost {bits:.1f} bits, expected more than 16, for the first block alone"


@exercise("online_codelength", points=1)
def test_a_block_costs_what_the_examples_before_it_say(student, generator):
    """Whatever comes later, and wherever the earlier blocks ended."""
    acts, labels = draw_apart(120, 6, 2.0, generator)
    acts[60:] += 3  # later examples lie elsewhere
    whole = expect_number(student.online_codelength(acts, labels, [20, 60, 120], 0.05))
    second = expect_number(student.online_codelength(acts[:60], labels[:60], [20, 60], 0.05)) - 20
    third = expect_number(student.online_codelength(acts, labels, [60, 120], 0.05)) - 60
    assert abs(whole - (20 + second + third)) < 0.1, (  # bits; the same probes are fitted, up to rounding
        f"three blocks of 20, 40 and 60 labels cost {whole:.2f} bits together. Alone, the second costs {second:.2f} "
        f"and the third {third:.2f}, so expected 20 + {second:.2f} + {third:.2f} = {20 + second + third:.2f}. The "
        "probe of a block is fitted on all examples before it, and on no others"
    )


# --- 2.9 predict_on_circle ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ring:
    """A circle in a plane of its own, far from the origin, with a little noise."""

    centre: Tensor  # [d_model]
    plane: Tensor  # [2 d_model], two directions of length 1, at right angles
    period: int

    def place(self, positions: Tensor, generator: torch.Generator, radius: float = 3.0) -> Tensor:
        """Acts [position d_model]."""
        angle = positions / self.period * 2 * math.pi
        rim = radius * torch.stack([angle.cos(), angle.sin()], dim=1) @ self.plane
        return self.centre + rim + 0.001 * torch.randn(rim.shape, generator=generator)


def draw_ring(period: int, generator: torch.Generator) -> Ring:
    plane = torch.linalg.qr(torch.randn(9, 2, generator=generator)).Q.T
    return Ring(torch.randn(9, generator=generator) * 10, plane, period)


def expect_positions(found: object, n: int) -> None:
    if isinstance(found, Tensor) and found.is_floating_point():
        n_bad = int((~found.isfinite()).sum())
        assert n_bad == 0, (
            f"{n_bad} of {n} positions are NaN or infinite. A predicted cosine may be above 1, where acos has no "
            "angle: use both numbers, with torch.atan2(y, x)"
        )
    expect_tensor(found, "test", (n,))


def apart(a: Tensor, b: Tensor, period: int) -> Tensor:
    """Distance on the circle, the shorter way round."""
    return (a - b + period / 2).remainder(period).sub(period / 2).abs()


@exercise("predict_on_circle")
def test_returns_a_position_for_each_test_example(student, generator):
    with hint("torch.stack([angle.cos(), angle.sin()], dim=1) is [train 2], and probe(acts_test) is [test 2]"):
        for period, n_test in ((12, 30), (7, 1)):
            ring = draw_ring(period, generator)
            positions = torch.rand(25, generator=generator) * period
            acts_test = ring.place(torch.rand(n_test, generator=generator) * period, generator)
            found = student.predict_on_circle(ring.place(positions, generator), positions, acts_test, period, 0.1)
            expect_positions(found, n_test)


@exercise("predict_on_circle", points=2)
def test_every_position_of_a_planted_circle_comes_back(student, generator):
    """One position of each period is in no training example: a circle knows the place of what is missing."""
    for period in (12, 7):
        ring = draw_ring(period, generator)
        positions = torch.arange(1.0, period).repeat(4)  # 0 is left out
        truth = torch.arange(0, period, 0.25)
        found = student.predict_on_circle(
            ring.place(positions, generator), positions, ring.place(truth, generator), period, 0.01
        )
        expect_positions(found, len(truth))
        expect_on_circle(found, truth, period, "in a planted circle")


def expect_on_circle(found: Tensor, truth: Tensor, period: int, where: str) -> None:
    """Fail unless all positions are right within 0.1, the shorter way round; name the likely mistake."""
    mistakes = {
        "Cosine and sine are swapped on the way back: torch.atan2(y, x), the sine first": period / 4 - truth,
        "The circle runs the other way round: is the sine first in torch.atan2(y, x)?": -truth,
        "These are angles: multiply by period / 2π": truth / period * 2 * math.pi,
        "These are degrees: torch.atan2 gives radians": truth * 360 / period,
        "Everything is half a circle off: atan2 gives angles from -π to π, and `% period` moves the negative ones": (
            truth + period / 2
        ),
        "These are parts of a circle, from 0 to 1: multiply by the period": truth / period,
        "Every position is found as if the period were 12": truth * 12 / period,
        "Every position is doubled: one turn is 2π, on the way there and on the way back": 2 * truth,
    }
    distance = apart(found, truth, period)
    worst = int(distance.argmax())
    why = next((text for text, wrong in mistakes.items() if float(apart(found, wrong, period).max()) < 0.1), "")
    off_range = (found < -1e-3) | (found > period + 1e-3)
    if not why and bool((found == found.round()).all()):
        why = "These are whole numbers: a position may lie between two of them"
    elif not why and float(distance.max()) < 0.5:
        why = "That is close: are the acts passed to the probe as they are, the training and the test ones?"
    elif not why and 0.4 < float((distance < 0.1).float().mean()) < 0.65:
        why = (
            "Half of the circle is right: atan, acos and asin cannot tell it from the other half, torch.atan2(y, x) can"
        )
    why = why or (
        "Encode (a period is one turn, 2π; cosine and sine), fit, decode (atan2, % period): does the decoding undo the "
        "encoding?"
    )
    assert float(distance.max()) < 0.1, (  # the noise moves it by 0.01
        f"{where} with period {period}, position {float(truth[worst]):g} is predicted as {float(found[worst]):.2f}, "
        f"{float(distance[worst]):.2f} off, expected < 0.1. {why}"
    )
    assert not off_range.any(), (
        f"{where} with period {period}, position {float(truth[off_range][0]):g} is predicted as "
        f"{float(found[off_range][0]):.2f}, expected a number from 0 to {period}: use `% period`"
    )


@exercise("predict_on_circle", points=1)
def test_there_is_no_gap_where_the_circle_closes(student, generator):
    """All examples lie within two steps of the place where the numbers jump from 24 to 0."""
    ring = draw_ring(24, generator)
    positions, truth = torch.arange(-16, 17) / 8 % 24, torch.arange(-15, 16) / 10 % 24
    found = student.predict_on_circle(
        ring.place(positions, generator), positions, ring.place(truth, generator), 24, 1e-3
    )
    expect_positions(found, len(truth))
    expect_on_circle(found, truth, 24, "near the place where a circle closes,")


@exercise("predict_on_circle", points=1)
def test_only_the_direction_of_a_prediction_matters(student, generator):
    """Test examples twice as far from the centre, and half as far: the same positions."""
    ring = draw_ring(7, generator)
    positions, truth = torch.rand(60, generator=generator) * 7, torch.arange(0.05, 7, 0.3)
    acts_train = ring.place(positions, generator)
    for radius in (6.0, 1.5):
        acts_test = ring.place(truth, generator, radius)
        found = student.predict_on_circle(acts_train, positions, acts_test, 7, 0.01)
        expect_positions(found, len(truth))
        expect_on_circle(found, truth, 7, f"on a circle of {radius / 3:g} times the radius")


@exercise("predict_on_circle", points=1)
def test_with_an_enormous_penalty_all_examples_land_in_the_middle_of_the_training_ones(student, generator):
    """The weight is 0 then, and only the bias is left: the mean of the cosines and of the sines."""
    ring = draw_ring(12, generator)
    positions = torch.tensor([10.5, 11.5, 0.5] * 8)  # the middle is 11.5, across the end
    acts_test = ring.place(torch.rand(20, generator=generator) * 12, generator)
    found = student.predict_on_circle(ring.place(positions, generator), positions, acts_test, 12, 1e9)
    expect_positions(found, 20)
    far = float(apart(found, torch.tensor(11.5), 12).max())
    why = "Does l2 reach fit_ridge_probe?"
    if float(found.std()) < 0.05:
        why = f"All land at {float(found[0]):.2f}: does the decoding undo the encoding?"
        if abs(float(found[0]) - 7.5) < 0.05:
            why = "All land at 7.5, the mean of the numbers: the targets are the cosine and the sine"
    assert far < 0.01, (
        "training positions 10.5, 11.5 and 0.5 of 12, and l2 = 1e9, so that only the bias is left: predictions are up "
        f"to {far:.2f} away from 11.5, expected 0. {why}"
    )
