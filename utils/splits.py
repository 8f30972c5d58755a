"""Splits into training and test examples, and labels that mean nothing: what a score is compared on, and with.

    train, test = split_groups(word_stems(words), seed=0)       # indices; no stem on both sides
    train, test = split_by_vocabulary(words_of_each_name)       # no word on both sides; names that mix are left out
    control = control_labels(words, labels)                     # Hewitt & Liang's control task

What is shared between examples (words, entities, templates, games) belongs on one side: a probe remembers it.
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def word_stems(words: list[str], n_letters: int = 5) -> list[str]:
    """Shorten words to their first letters: a rough stem, to keep abandon and abandoned on one side of a split.

    Too coarse at times (intel: intelligent, intellect), never too fine for a common ending. Opposites by prefix
    (kind, unkind) get different stems; so a probe that reads the rest of the word gains nothing from them.

    Args:
        words: Any words; shorter ones stay whole.
        n_letters: Letters kept.

    Returns:
        One stem per word, the groups for `split_groups`.

    Raises:
        ValueError: If there are no words or n_letters is below 1.
    """
    if not words:
        raise ValueError("words must hold at least one word, got an empty list; check the filter before it")
    if n_letters < 1:
        raise ValueError(f"n_letters must be at least 1, got {n_letters}; 5 is a usual choice")
    return [word[:n_letters] for word in words]


def split_groups(
    groups: list[str] | Int[Tensor, " example"], *, test_fraction: float = 0.3, seed: int = 0
) -> tuple[Int[Tensor, " train"], Int[Tensor, " test"]]:
    """Split examples into train and test so that no group stands on both sides.

    The groups are shuffled and taken for test until their share of the examples is as near to test_fraction as whole
    groups allow; either side gets at least one group. Which groups are drawn depends on the seed and on the groups,
    not on the order of the examples. If every example is its own group (colour names), this is a random split.

    Args:
        groups: Group of each example: an entity, a stem, a country, a number.
        test_fraction: Share of examples to hold out, between 0 and 1.
        seed: Another seed draws other groups.

    Returns:
        train_index, test_index: ascending, together every example once.

    Raises:
        ValueError: If groups have more than one axis or fewer than two groups, or test_fraction is not inside (0, 1).
    """
    group_index = _number_groups(groups)
    n_groups = len(group_index.unique())
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction must lie between 0 and 1, got {test_fraction}; 0.3 holds out 30 %")
    if n_groups < 2:
        raise ValueError(
            f"groups must hold at least 2 different groups, got {n_groups} in {len(group_index)} examples; "
            "one group cannot stand on both sides: group by something finer"
        )
    shuffled = torch.randperm(n_groups, generator=torch.Generator().manual_seed(seed))
    n_held_out = group_index.bincount()[shuffled].cumsum(dim=0)[:-1]  # examples in test after 1, 2, … groups
    n_test_groups = 1 + int((n_held_out - test_fraction * len(group_index)).abs().argmin())
    is_test = torch.isin(group_index, shuffled[:n_test_groups])
    return (~is_test).nonzero().squeeze(1), is_test.nonzero().squeeze(1)


def split_folds(
    groups: list[str] | Int[Tensor, " example"], *, n_folds: int = 5, seed: int = 0
) -> list[tuple[Int[Tensor, " train"], Int[Tensor, " test"]]]:
    """Split n_folds times, so that every example is in one test fold, and no group on both sides.

    For groups of very different size (countries and their cities), where one split depends on which of them it holds
    out. The largest groups are dealt out first, each to the smallest fold; groups of equal size in random order.

    Args:
        groups: as for `split_groups`.
        n_folds: from 2 to the number of different groups.
        seed: another seed deals groups of equal size out differently.

    Returns:
        train_index, test_index for each fold, ascending.

    Raises:
        ValueError: If groups have more than one axis, or fewer different groups than folds, or n_folds is below 2.
    """
    group_index = _number_groups(groups)
    sizes = group_index.bincount()  # [group]
    if not 2 <= n_folds <= len(sizes):
        raise ValueError(
            f"n_folds must lie between 2 and the number of different groups, {len(sizes)}, got {n_folds}; 5 is usual"
        )
    shuffled = torch.randperm(len(sizes), generator=torch.Generator().manual_seed(seed))
    fold_of_group, n_examples = torch.zeros_like(sizes), torch.zeros(n_folds, dtype=torch.int64)
    for group in shuffled[sizes[shuffled].argsort(descending=True, stable=True)]:
        fold_of_group[group] = n_examples.argmin()
        n_examples[fold_of_group[group]] += sizes[group]
    is_test = fold_of_group[group_index] == torch.arange(n_folds)[:, None]  # [fold example]
    return [((~fold).nonzero().squeeze(1), fold.nonzero().squeeze(1)) for fold in is_test]


def split_by_vocabulary(
    words: list[set[str]], *, test_fraction: float = 0.3, seed: int = 0
) -> tuple[Int[Tensor, " train"], Int[Tensor, " test"]]:
    """Split words, and from them the examples: training ones hold no test word, test ones nothing else.

    For examples that hang together through shared parts, so that they cannot be split by groups. Those that hold words
    of both kinds are left out. Settings must be chosen inside the training examples by the same kind of split.

    Args:
        words: the words of each example, or any other parts that examples share.
        test_fraction: share of the different words to hold out, between 0 and 1.
        seed: another seed draws other words; the order of the examples does not matter.

    Returns:
        train_index, test_index: ascending.

    Raises:
        ValueError: If no example is left on one side, or test_fraction is not inside (0, 1).
    """
    if not 0 < test_fraction < 1:
        raise ValueError(
            f"test_fraction must lie between 0 and 1, got {test_fraction}; 0.3 holds out 30 % of the words"
        )
    vocabulary = sorted(set().union(*words))
    order = torch.randperm(len(vocabulary), generator=torch.Generator().manual_seed(seed))
    test_words = {vocabulary[i] for i in order[: round(test_fraction * len(vocabulary))]}
    train = [i for i, held in enumerate(words) if not held & test_words]
    test = [i for i, held in enumerate(words) if held <= test_words]
    if not train or not test:
        raise ValueError(
            f"words must leave examples on both sides, got {len(train)} for training and {len(test)} for test of "
            f"{len(words)}; try another test_fraction than {test_fraction} or another seed"
        )
    return torch.tensor(train), torch.tensor(test)


def control_labels(words: list[str], labels: Bool[Tensor, " example"], *, seed: int = 0) -> Bool[Tensor, " example"]:
    """Draw labels by lot for a control task: those of the words, shuffled among the words.

    Hewitt & Liang 2019, arXiv:1909.03368; they draw each label independently, here the share of True stays the same.
    All examples of a word get the same label, so a probe can learn it by heart and by nothing else.

    Args:
        words: the word of each example.
        labels: its label; the same for all examples of a word.

    Raises:
        ValueError: If there is not one label for each word.
    """
    if len(words) != len(labels):
        raise ValueError(f"words and labels must be as many, got {len(words)} and {len(labels)}")
    label_of = dict(zip(words, labels.tolist(), strict=True))
    for word, label in zip(words, labels.tolist(), strict=True):
        if label_of[word] != label:
            raise ValueError(f"labels must be the same for all examples of a word, got True and False for {word!r}")
    types = sorted(label_of)
    order = torch.randperm(len(types), generator=torch.Generator().manual_seed(seed)).tolist()
    lot = {word: label_of[types[other]] for word, other in zip(types, order, strict=True)}
    return torch.tensor([lot[word] for word in words])


def _number_groups(groups: list[str] | Int[Tensor, " example"]) -> Int[Tensor, " example"]:
    """Number the groups in order of their names, from 0."""
    if isinstance(groups, Tensor) and groups.ndim != 1:
        raise ValueError(f"groups must have one axis [example], got shape {list(groups.shape)}; flatten it")
    group_of = groups.tolist() if isinstance(groups, Tensor) else groups
    number = {name: index for index, name in enumerate(sorted(set(group_of)))}
    return torch.tensor([number[name] for name in group_of], dtype=torch.int64)
