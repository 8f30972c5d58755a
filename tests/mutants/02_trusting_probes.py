"""Chapter 02: planted wrong answers with the words their feedback must hold, and right answers by other roads."""

from utils.course.mutants import Alternative, Mutant

MUTANTS = [
    # split_by_vocabulary
    Mutant("split_by_vocabulary", "if not name & test_words", "if not name <= test_words", "are in training"),
    Mutant("split_by_vocabulary", "if name <= test_words", "if name & test_words", "are in the test set"),
    Mutant(
        "split_by_vocabulary",
        "    return",
        "    order = torch.randperm(len(words), generator=torch.Generator().manual_seed(seed)).tolist()\n"
        "    n_test = round(test_fraction * len(words))\n"
        "    train, test = sorted(order[n_test:]), sorted(order[:n_test])\n"
        "    return",
        "A name goes by all of them",
    ),
    Mutant(
        "split_by_vocabulary",
        "not name & test_words",
        "not any(word in ' '.join(name) for word in test_words)",
        "compared as parts of strings?",
    ),
    Mutant(
        "split_by_vocabulary", "name <= test_words", "len(name) == 1 and name <= test_words", "have test words only"
    ),
    Mutant("split_by_vocabulary", "sorted(set().union(*words))", "list(set().union(*words))", "Sort the words before"),
    Mutant(
        "split_by_vocabulary",
        "sorted(set().union(*words))",
        "sorted(word for name in words for word in name)",
        "Draw from the different words",
    ),
    Mutant("split_by_vocabulary", "order[: round(", "order[: int(", "You cut the decimals off"),
    Mutant(
        "split_by_vocabulary", "test_fraction * len(vocabulary)", "test_fraction * len(words)", "share of the names"
    ),
    Mutant(
        "split_by_vocabulary",
        "return torch.tensor(train), torch.tensor(test)",
        "return torch.tensor(test), torch.tensor(train)",
        "are the two sides swapped?",
    ),
    Mutant("split_by_vocabulary", "manual_seed(seed)", "manual_seed(0)", "Does `seed` reach the generator"),
    Mutant(
        "split_by_vocabulary", ", generator=torch.Generator().manual_seed(seed)", "", "two calls with the same seed"
    ),
    Mutant(
        "split_by_vocabulary",
        "torch.tensor(test)",
        "torch.tensor([name <= test_words for name in words])",
        "a mask of True and False",
    ),
    Mutant(
        "split_by_vocabulary", "    train =", "    words.sort(key=sorted)\n    train =", "changed its argument `words`"
    ),
    # bootstrap_interval
    Mutant(
        "bootstrap_interval",
        "torch.randint(n_groups, (n_resamples, n_groups), generator=generator)",
        "torch.stack([torch.randperm(n_groups, generator=generator) for _ in range(n_resamples)])",
        "All three were drawn every time",
    ),
    Mutant(
        "bootstrap_interval",
        "_, group_of = groups.unique(return_inverse=True)",
        "group_of = torch.arange(len(values))",
        "Examples were drawn one by one",
    ),
    Mutant("bootstrap_interval", "(n_resamples, n_groups)", "(n_resamples, len(values))", "or too many groups"),
    Mutant("bootstrap_interval", "[0.025, 0.975]", "[0.05, 0.95]", "It looks like a 90 % interval"),
    Mutant("bootstrap_interval", "[0.025, 0.975]", "[0.975, 0.025]", "the lower end comes first"),
    Mutant(
        "bootstrap_interval",
        "torch.quantile(means, torch.tensor([0.025, 0.975])).tolist()",
        "float(means.mean() - 1.96 * means.std()), float(means.mean() + 1.96 * means.std())",
        "take quantiles of the means",
    ),
    Mutant("bootstrap_interval", "count[drawn].sum(dim=1)", "len(values)", "groups differ in size"),
    Mutant(
        "bootstrap_interval",
        "total[drawn].sum(dim=1) / count[drawn].sum(dim=1)",
        "(total / count)[drawn].mean(dim=1)",
        "Small groups count as much as large ones",
    ),
    Mutant(
        "bootstrap_interval",
        "_, group_of = groups.unique(return_inverse=True)",
        "group_of = groups",
        "Groups have any numbers",
    ),
    Mutant(
        "bootstrap_interval",
        "_, group_of = groups.unique(return_inverse=True)",
        "_, group_of = groups.unique_consecutive(return_inverse=True)",
        "Do the examples of a group have to stand next to each other?",
    ),
    Mutant("bootstrap_interval", "(n_resamples, n_groups)", "(1000, n_groups)", "Does `n_resamples` reach the draw?"),
    Mutant("bootstrap_interval", "manual_seed(seed)", "manual_seed(0)", "does `seed` reach the generator?"),
    Mutant("bootstrap_interval", ", generator=generator)", ")", "two calls with the same seed"),
    Mutant(
        "bootstrap_interval",
        "low, high = torch.quantile(means, torch.tensor([0.025, 0.975])).tolist()",
        "low, high = torch.quantile(means, torch.tensor([0.025, 0.975]))",
        "expected a plain number",
    ),
    # control_labels
    Mutant(
        "control_labels",
        "    return",
        "    return labels[torch.randperm(len(words), generator=torch.Generator().manual_seed(seed))]\n    return",
        "draw one label for each word",
    ),
    Mutant(
        "control_labels",
        "    lot =",
        "    generator = torch.Generator().manual_seed(seed)\n"
        "    toss = (torch.rand(len(types), generator=generator) < 0.5).tolist()\n"
        "    return torch.tensor([dict(zip(types, toss))[word] for word in words])\n"
        "    lot =",
        "as by tossing coins",
    ),
    Mutant(
        "control_labels",
        "    lot =",
        "    share, generator = sum(label_of.values()) / len(types), torch.Generator().manual_seed(seed)\n"
        "    toss = dict(zip(types, (torch.rand(len(types), generator=generator) < share).tolist()))\n"
        "    return torch.tensor([toss[word] for word in words])\n"
        "    lot =",
        "only on average",
    ),
    Mutant(
        "control_labels",
        "dict(zip(words, labels.tolist(), strict=True))",
        "dict(zip(words, labels[torch.randperm(len(words), generator=torch.Generator().manual_seed(seed))].tolist()))",
        "share of the examples",
    ),
    Mutant("control_labels", "lot[word] for word", "not label_of[word] for word", "the true ones turned round"),
    Mutant("control_labels", "lot[word] for word", "label_of[word] for word", "your labels are the true ones:"),
    Mutant(
        "control_labels",
        "label_of[types[other]] for word, other in zip(types, order, strict=True)",
        "label for word, label in zip(types, sorted(label_of.values()))",
        "sorted along the alphabet",
    ),
    Mutant(
        "control_labels",
        "torch.randperm(len(types), generator=torch.Generator().manual_seed(seed)).tolist()",
        "torch.randperm(len(types) // 2, generator=torch.Generator().manual_seed(seed)).tolist()\n"
        "    order += range(len(types) // 2, len(types))",
        "Are the labels of all words shuffled?",
    ),
    Mutant(
        "control_labels",
        "zip(types, order, strict=True)",
        "zip(types, [*range(seed + 1, len(types)), *range(seed + 1)])",
        "Are the labels of all words shuffled?",
    ),
    Mutant("control_labels", "sorted(label_of)", "list(label_of)", "Sort the words before you shuffle"),
    Mutant("control_labels", "sorted(label_of)", "list(set(words))", "Sort the words before you shuffle"),
    Mutant("control_labels", "manual_seed(seed)", "manual_seed(0)", "does `seed` reach the generator?"),
    Mutant("control_labels", ", generator=torch.Generator().manual_seed(seed)", "", "two calls with the same seed"),
    Mutant("control_labels", "lot[word] for word", "int(lot[word]) for word", "expected torch.bool"),
    # selectivity
    Mutant("selectivity", "right[0] - right[1]", "right[1] - right[0]", "The sign is turned round"),
    Mutant("selectivity", "right[0] - right[1]", "right[0]", "the accuracy on the task alone"),
    Mutant("selectivity", "right[0] - right[1]", "right[0] - 0.5", "minus one half"),
    Mutant("selectivity", "right[0] - right[1]", "(right[0] - right[1]).abs()", "may be negative"),
    Mutant(
        "selectivity",
        "((probe(acts[test]) > 0) == both[test])",
        "((probe(acts[train]) > 0) == both[train])",
        "perfect on the training examples",
    ),
    Mutant("selectivity", "((probe(acts[test]) > 0) == both[test])", "((probe(acts) > 0) == both)", "on all examples"),
    Mutant("selectivity", "(acts[train], both[train], l2=l2)", "(acts, both, l2=l2)", "fit on `train` alone"),
    Mutant(
        "selectivity", "(acts[train], both[train], l2=l2)", "(acts[test], both[test], l2=l2)", "fit on `train` alone"
    ),
    Mutant(
        "selectivity",
        "(probe(acts[test]) > 0)",
        "(probe(acts[test])[:, :1] > 0)",
        "The probe that was fitted to the task was also scored on the control",
    ),
    Mutant("selectivity", "both[train], l2=l2)", "both[train])", "Neither probe knows of l2"),
    Mutant(
        "selectivity",
        "    right =",
        "    control_probe = fit_logistic_regression_probe(acts[train], control[train])\n"
        "    task = ((probe(acts[test])[:, 0] > 0) == labels[test]).float().mean()\n"
        "    return float(task - ((control_probe(acts[test]) > 0) == control[test]).float().mean())\n"
        "    right =",
        "Only the task's probe gets l2",
    ),
    Mutant("selectivity", "probe(acts[test]) > 0)", "probe(acts[test]) > 0.5)", "a logit is no probability"),
    Mutant("selectivity", ".mean(dim=0)", ".sum(dim=0)", "between -1 and 1"),
    Mutant(
        "selectivity",
        "fit_logistic_regression_probe(acts[train], both[train], l2=l2)",
        "fit_mass_mean_probe(acts[train], both[train])",
        "Neither probe knows of l2",
    ),
    # pattern_from_filter
    Mutant(
        "pattern_from_filter",
        " / (weight @ covariance @ weight)",
        "",
        "the division by weight @ covariance @ weight is missing",
    ),
    Mutant(
        "pattern_from_filter",
        "(weight @ covariance @ weight)",
        "(weight @ covariance @ weight).sqrt()",
        "divided by the spread of the logit",
    ),
    Mutant("pattern_from_filter", "(weight @ covariance @ weight)", "(weight @ weight)", "divided by weight @ weight"),
    Mutant(
        "pattern_from_filter",
        "covariance @ weight / (weight @ covariance @ weight)",
        "torch.nn.functional.normalize(covariance @ weight, dim=0)",
        "scaled to length 1",
    ),
    Mutant(
        "pattern_from_filter",
        "(weight @ covariance @ weight)",
        "(weight @ torch.cov(acts.T) @ weight)",
        "take the same",
    ),
    Mutant(
        "pattern_from_filter",
        "return covariance @ weight / (weight @ covariance @ weight)",
        "return weight",
        "You returned the filter",
    ),
    Mutant(
        "pattern_from_filter",
        "return covariance @ weight",
        "return torch.linalg.pinv(covariance) @ weight",
        "the inverse of the covariance",
    ),
    Mutant("pattern_from_filter", "acts - acts.mean(dim=0)", "acts", "Centre the acts"),
    Mutant("pattern_from_filter", "centred.T @ centred", "centred @ centred.T", "[d_model d_model]"),
    Mutant(
        "pattern_from_filter",
        "return covariance @ weight / (weight @ covariance @ weight)",
        "return covariance @ weight / (weight @ covariance @ weight) / covariance.diagonal()",
        "predicts the logit from the unit",
    ),
    Mutant(
        "pattern_from_filter",
        "return covariance",
        "covariance = torch.diag(covariance.diagonal())\n    return covariance",
        "Only the variances of the units",
    ),
    Mutant("pattern_from_filter", "return covariance", "return -covariance", "points the wrong way"),
    Mutant(
        "pattern_from_filter", "centred = acts - acts.mean(dim=0)", "centred = acts.sub_(acts.mean(dim=0))", "in place"
    ),
    Mutant(
        "pattern_from_filter",
        "return covariance @ weight / (weight @ covariance @ weight)",
        "return torch.ones_like(weight)",
        "still rises by",
    ),
    # fit_leace_eraser
    Mutant("fit_leace_eraser", "= torch.eye(len(mean), dtype=x.dtype) - gone", "= gone", "Your matrix is A, what goes"),
    Mutant("fit_leace_eraser", "dtype=x.dtype) - gone", "dtype=x.dtype) + gone", "and not I + A"),
    Mutant(
        "fit_leace_eraser",
        "torch.outer(unwhiten @ line, whiten @ line)",
        "torch.outer(whiten @ line, unwhiten @ line)",
        "It would work transposed",
    ),
    Mutant(
        "fit_leace_eraser",
        "torch.nn.functional.normalize(whiten @ (x[labels].mean(dim=0) - x[~labels].mean(dim=0)), dim=0)",
        "whiten @ (x[labels].mean(dim=0) - x[~labels].mean(dim=0))",
        "u has to be of length 1",
    ),
    Mutant(
        "fit_leace_eraser",
        "    gone = ",
        "    whiten = unwhiten = torch.eye(len(mean), dtype=x.dtype)\n"
        "    line = torch.nn.functional.normalize(x[labels].mean(dim=0) - x[~labels].mean(dim=0), dim=0)\n"
        "    gone = ",
        "This is the orthogonal projection",
    ),
    Mutant("fit_leace_eraser", "(gone @ mean)", "torch.zeros_like(mean)", "turns about the origin"),
    Mutant("fit_leace_eraser", "(gone @ mean)", "(-gone @ mean)", "Its sign is turned round"),
    Mutant("fit_leace_eraser", "variance > 1e-6 * variance.max()", "variance > 0", "Keep only eigenvalues"),
    Mutant("fit_leace_eraser", "variance > 1e-6 * variance.max()", "variance > -1", "Keep only eigenvalues"),
    Mutant(
        "fit_leace_eraser",
        "matrix=matrix.to(acts.dtype), bias=(gone @ mean).to(acts.dtype)",
        "matrix=matrix, bias=gone @ mean",
        "end with .to(acts.dtype)",
    ),
    Mutant(
        "fit_leace_eraser",
        "return LinearEraser(matrix=matrix.to(acts.dtype), bias=(gone @ mean).to(acts.dtype))",
        "return (acts - mean.float()) @ matrix.float().T + mean.float()",
        "expected LinearEraser",
    ),
    Mutant(
        "fit_leace_eraser", "x = acts.double()", "x = acts.double() * 1.0\n    acts -= acts.mean(dim=0)", "in place"
    ),
    Mutant(
        "fit_leace_eraser",
        "dtype=x.dtype) - gone",
        "dtype=x.dtype) * 0 + torch.outer(torch.ones(len(mean)), torch.zeros(len(mean)))",
        "More than the one line",
    ),
    Mutant("fit_leace_eraser", "axes / variance.sqrt() @ axes.T", "axes / variance @ axes.T", "W⁺ u uᵀ W"),
    Mutant(
        "fit_leace_eraser",
        "matrix = torch.eye(len(mean), dtype=x.dtype) - gone",
        "matrix = unwhiten @ whiten - gone",
        "They vanish",
    ),
    Mutant(
        "fit_leace_eraser",
        "matrix = torch.eye(len(mean), dtype=x.dtype) - gone",
        "matrix = torch.eye(len(mean), dtype=x.dtype)",
        "Nothing was erased",
    ),
    # score_chosen_probe
    Mutant(
        "score_chosen_probe",
        "    best = torch.stack(to_choose).argmax()  # of all layers and strengths\n"
        "    return float(torch.stack(to_report).flatten()[best])",
        "    layer = torch.stack(to_choose).max(dim=0).values.argmax()\n"
        "    return float(torch.stack(to_report)[:, layer].max())",
        "choose both by `validation`",
    ),
    Mutant(
        "score_chosen_probe",
        "right[:, validation]",
        "right[:, torch.cat([fit, validation])]",
        "or on several parts together",
    ),
    Mutant(
        "score_chosen_probe",
        "best = torch.stack(to_choose).argmax()",
        "best = torch.stack(to_report).argmax()",
        "This is the best test accuracy",
    ),
    Mutant(
        "score_chosen_probe",
        "float(torch.stack(to_report).flatten()[best])",
        "float(torch.stack(to_choose).max())",
        "This is the validation accuracy",
    ),
    Mutant("score_chosen_probe", ".argmax()", ".argmin()", "take the highest"),
    Mutant("score_chosen_probe", "right[:, validation]", "right[:, fit]", "the layer that is best on `fit`"),
    Mutant(
        "score_chosen_probe",
        "acts[:, fit], labels[fit].float()",
        "acts[:, torch.cat([fit, validation])], labels[torch.cat([fit, validation])].float()",
        "they may only choose",
    ),
    Mutant(
        "score_chosen_probe",
        "acts[:, fit], labels[fit].float()",
        "acts, labels.float()",
        "the probe was fitted on test examples",
    ),
    Mutant(
        "score_chosen_probe",
        "    best =",
        "    to_choose, to_report = to_choose[-1:], to_report[-1:]\n    best =",
        "Try all pairs",
    ),
    Mutant(
        "score_chosen_probe",
        "torch.stack(to_report).flatten()",
        "torch.stack(to_report, dim=1).flatten()",
        "Try all pairs",
    ),
    Mutant(
        "score_chosen_probe",
        "torch.stack(to_choose).argmax()",
        "torch.stack(to_choose).max(dim=0).values.argmax()",
        "Try all pairs",
    ),
    Mutant("score_chosen_probe", ", l2=l2)", ")", "Does l2 reach the probe?"),
    Mutant("score_chosen_probe", "probes(acts) > 0.5", "probes(acts) > 0", "is the threshold at 0.5"),
    Mutant(
        "score_chosen_probe",
        "float(torch.stack(to_report).flatten()[best])",
        "torch.stack(to_report)[best % len(strengths)]",
        "expected a single number",
    ),
    Mutant("score_chosen_probe", "    best =", "    labels[test] = labels[test].flip(0)\n    best =", "in place"),
    Mutant("score_chosen_probe", "float(torch.stack(to_report).flatten()[best])", "0.5", "expected 0.25"),
    # online_codelength
    Mutant("online_codelength", "float(ends[0])", "0.0", "The first block is missing"),
    Mutant("online_codelength", " / torch.log(torch.tensor(2.0)).item()", "", "These are nats"),
    Mutant("online_codelength", 'reduction="sum"', 'reduction="mean"', "Each block is a mean"),
    Mutant("online_codelength", "acts[:start], labels[:start]", "acts, labels", "the future too"),
    Mutant(
        "online_codelength",
        "acts[:start], labels[:start]",
        "acts[:end], labels[:end]",
        "has seen the labels of the block",
    ),
    Mutant(
        "online_codelength",
        "acts[:start], labels[:start]",
        "acts[start:end], labels[start:end]",
        "was fitted on the block that it pays for",
    ),
    Mutant(
        "online_codelength",
        "acts[:start], labels[:start]",
        "acts[: ends[0]], labels[: ends[0]]",
        "The probe of the first block paid for all others",
    ),
    Mutant(
        "online_codelength",
        "probe = fit_logistic_regression_probe(acts[:start], labels[:start], l2=l2)",
        "before = max([0, *[e for e in ends if e < start]])\n"
        "        probe = fit_logistic_regression_probe(acts[before:start], labels[before:start], l2=l2)",
        "The probe saw the block before only",
    ),
    Mutant(
        "online_codelength",
        "zip(ends, ends[1:], strict=False)",
        "zip(ends, ends[1:-1], strict=False)",
        "The last block is missing",
    ),
    Mutant("online_codelength", ", l2=l2)", ")", "Does l2 reach it?"),
    Mutant(
        "online_codelength",
        "labels[start:end].float()",
        "1 - labels[start:end].float()",
        "the price of the wrong labels",
    ),
    Mutant("online_codelength", "probe(acts[start:end])", "-probe(acts[start:end])", "expected fewer than 64"),
    Mutant("online_codelength", "bits += float(nats)", "bits -= float(nats)", "a number of bits is positive"),
    Mutant("online_codelength", "    return bits", "    return bits / len(labels)", "bits for each label"),
    Mutant("online_codelength", "    return bits", "    return float(ends[-1])", "one bit for every label"),
    Mutant("online_codelength", "bits = float(ends[0])", "bits = float(ends.pop(0))", "in place"),
    # predict_on_circle
    Mutant("predict_on_circle", "torch.atan2(y, x)", "torch.atan2(x, y)", "Cosine and sine are swapped"),
    Mutant("predict_on_circle", "torch.atan2(y, x)", "torch.atan2(-y, x)", "runs the other way round"),
    Mutant("predict_on_circle", "torch.atan2(y, x)", "torch.atan(y / x)", "Half of the circle is right"),
    Mutant("predict_on_circle", "torch.atan2(y, x)", "torch.acos(x)", "A predicted cosine may be above 1"),
    Mutant("predict_on_circle", " % period", "", "use `% period`"),
    Mutant(
        "predict_on_circle",
        "torch.atan2(y, x) / (2 * torch.pi) * period % period",
        "torch.atan2(y, x) / (2 * torch.pi) * period + period / 2",
        "half a circle off",
    ),
    Mutant("predict_on_circle", " / (2 * torch.pi) * period % period", " % (2 * torch.pi)", "These are angles"),
    Mutant("predict_on_circle", "2 * torch.pi * positions / period", "torch.pi * positions / period", "Encode"),
    Mutant("predict_on_circle", ", l2=l2)", ")", "Does l2 reach fit_ridge_probe?"),
    Mutant("predict_on_circle", "probe(acts_test)", "probe(acts_train)", "shape"),
    Mutant(
        "predict_on_circle",
        "torch.atan2(y, x) / (2 * torch.pi) * period % period",
        "fit_ridge_probe(acts_train, positions, l2=l2)(acts_test) % period",
        "the targets are the cosine and the sine",
    ),
    Mutant(
        "predict_on_circle",
        "torch.stack([angle.cos(), angle.sin()], dim=1)",
        "torch.stack([angle.cos(), angle.sin()])",
        "is [train 2]",
    ),
    Mutant(
        "predict_on_circle",
        "return torch.atan2(y, x) / (2 * torch.pi) * period % period",
        "return (torch.atan2(y, x) / (2 * torch.pi) * period % period).round()",
        "expected < 0.1",
    ),
    Mutant(
        "predict_on_circle",
        "return torch.atan2(y, x) / (2 * torch.pi) * period % period",
        "return torch.zeros(len(acts_test))",
        "expected < 0.1",
    ),
    Mutant(
        "predict_on_circle", "    angle =", "    positions %= period\n    positions += 0.5\n    angle =", "in place"
    ),
]

ALTERNATIVES = [
    # split_by_vocabulary
    Alternative(
        "split_by_vocabulary",
        """
import random


def split_by_vocabulary(words, test_fraction, seed):
    different = sorted({word for name in words for word in name})
    random.Random(seed).shuffle(different)
    n_test = round(test_fraction * len(different))
    held_out, kept = different[:n_test], different[n_test:]
    train = [i for i, name in enumerate(words) if set(name).issubset(kept)]
    test = [i for i, name in enumerate(words) if set(name).issubset(held_out)]
    return torch.tensor(train), torch.tensor(test)
""",
    ),
    Alternative(
        "split_by_vocabulary",
        """
import numpy as np


def split_by_vocabulary(words, test_fraction, seed):
    vocabulary = np.unique([word for name in words for word in name])
    column = {word: n for n, word in enumerate(vocabulary)}
    bag = np.zeros((len(words), len(vocabulary)), dtype=bool)
    for row, name in enumerate(words):
        bag[row, [column[word] for word in name]] = True
    is_test = np.zeros(len(vocabulary), dtype=bool)
    order = np.random.default_rng(seed).permutation(len(vocabulary))
    is_test[order[: int(np.rint(test_fraction * len(vocabulary)))]] = True
    n_test = (bag & is_test).sum(axis=1)
    return torch.from_numpy(np.flatnonzero(n_test == 0)), torch.from_numpy(np.flatnonzero(n_test == bag.sum(axis=1)))
""",
    ),
    Alternative(
        "split_by_vocabulary",
        """
def split_by_vocabulary(words, test_fraction, seed):
    torch.manual_seed(seed)
    vocabulary = []
    for name in words:
        for word in name:
            if word not in vocabulary:
                vocabulary.append(word)
    vocabulary.sort()
    rank = torch.rand(len(vocabulary)).argsort().argsort()  # of each word, in a lottery
    side = {word: bool(r < round(test_fraction * len(vocabulary))) for word, r in zip(vocabulary, rank)}
    shares = torch.tensor([sum(side[word] for word in name) / len(name) for name in words])
    return (shares == 0).nonzero()[:, 0], (shares == 1).nonzero().squeeze(1)
""",
    ),
    # bootstrap_interval
    Alternative(
        "bootstrap_interval",
        """
def bootstrap_interval(values, groups, n_resamples, seed):
    generator = torch.Generator().manual_seed(seed)
    members = [values[groups == group] for group in groups.unique()]
    means = []
    for _ in range(n_resamples):
        drawn = torch.randint(len(members), (len(members),), generator=generator)
        means.append(torch.cat([members[i] for i in drawn.tolist()]).mean())
    means = torch.stack(means)
    return means.quantile(0.025).item(), means.quantile(0.975).item()
""",
    ),
    Alternative(
        "bootstrap_interval",
        """
import numpy as np


def bootstrap_interval(values, groups, n_resamples, seed):
    rng = np.random.default_rng(seed)
    names, inverse, sizes = np.unique(groups.numpy(), return_inverse=True, return_counts=True)
    sums = np.bincount(inverse, weights=values.numpy())
    times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=n_resamples)  # a row: how often each
    means = np.sort(times @ sums / (times @ sizes))
    return float(means[int(0.025 * n_resamples)]), float(means[int(0.975 * n_resamples)])
""",
    ),
    Alternative(
        "bootstrap_interval",
        """
import random


def bootstrap_interval(values, groups, n_resamples, seed):
    chance = random.Random(seed)
    rows = {}
    for value, group in zip(values.tolist(), groups.tolist()):
        rows.setdefault(group, []).append(value)
    sums = [(sum(row), len(row)) for row in rows.values()]
    means = []
    for _ in range(n_resamples):
        drawn = chance.choices(sums, k=len(sums))
        means.append(sum(total for total, _ in drawn) / sum(count for _, count in drawn))
    low, high = torch.tensor(means).quantile(torch.tensor([0.025, 0.975]))
    return float(low), float(high)
""",
    ),
    # control_labels
    Alternative(
        "control_labels",
        """
import numpy as np


def control_labels(words, labels, seed):
    types, first, inverse = np.unique(words, return_index=True, return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(labels.numpy()[first])
    return torch.from_numpy(shuffled[inverse])
""",
    ),
    Alternative(
        "control_labels",
        """
import random


def control_labels(words, labels, seed):
    true_words = {word for word, label in zip(words, labels) if label}
    chosen = set(random.Random(seed).sample(sorted(set(words)), len(true_words)))  # as many, drawn without replacement
    out = torch.zeros(len(words), dtype=torch.bool)
    for i, word in enumerate(words):
        out[i] = word in chosen
    return out
""",
    ),
    Alternative(
        "control_labels",
        """
def control_labels(words, labels, seed):
    torch.manual_seed(seed)
    types = sorted(set(words))
    number = {word: n for n, word in enumerate(types)}
    type_of = torch.tensor([number[word] for word in words])  # [example]
    of_type = torch.zeros(len(types), dtype=torch.bool)
    of_type[type_of] = labels
    return of_type[torch.rand(len(types)).argsort()][type_of]
""",
    ),
    # selectivity
    Alternative(
        "selectivity",
        """
def selectivity(acts, labels, control, train, test, l2):
    scores = []
    for target in (labels, control):
        probe = fit_logistic_regression_probe(acts[train], target[train], l2=l2)
        scores.append(accuracy(probe(acts[test]), target[test]).item())
    return scores[0] - scores[1]
""",
    ),
    Alternative(
        "selectivity",
        """
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def selectivity(acts, labels, control, train, test, l2):
    x = acts.numpy()

    def score(y):
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=1 / (len(train) * l2), max_iter=1000))
        return probe.fit(x[train], y[train].numpy()).score(x[test], y[test].numpy())

    return float(score(labels) - score(control))
""",
    ),
    Alternative(
        "selectivity",
        """
import math


def selectivity(acts, labels, control, train, test, l2):
    targets = torch.stack([control, labels], dim=1)[train].double()
    mean, std = acts[train].double().mean(dim=0), acts[train].double().std(dim=0, correction=0)
    z = (acts.double() - mean) / std
    x, x_test = torch.cat([z, torch.ones(len(z), 1)], dim=1)[train], torch.cat([z, torch.ones(len(z), 1)], dim=1)[test]
    price = torch.full((x.shape[1],), l2, dtype=torch.float64)
    price[-1] = 0
    correct = []
    for y, truth in zip(targets.T, (control[test], labels[test])):
        w = torch.zeros(x.shape[1], dtype=torch.float64)
        for _ in range(30):  # Newton's method
            p = torch.sigmoid(x @ w)
            hessian = (x.T * (p * (1 - p))) @ x / len(x) + torch.diag(price + 1e-9)
            w = w - torch.linalg.solve(hessian, x.T @ (p - y) / len(x) + price * w)
        correct.append(torch.count_nonzero((x_test @ w > 0) == truth).item() / len(test))
    return correct[1] - correct[0]
""",
    ),
    # pattern_from_filter
    Alternative(
        "pattern_from_filter",
        """
def pattern_from_filter(acts, weight):
    # the slope of each unit on the logit, by least squares with an intercept
    logits = acts @ weight
    design = torch.stack([logits, torch.ones_like(logits)], dim=1)
    return torch.linalg.lstsq(design, acts).solution[0]
""",
    ),
    Alternative(
        "pattern_from_filter",
        """
import numpy as np


def pattern_from_filter(acts, weight):
    x, w = acts.double().numpy(), weight.double().numpy()
    covariance = np.cov(x, rowvar=False)
    return torch.tensor(covariance @ w / np.var(x @ w, ddof=1), dtype=torch.float32)
""",
    ),
    Alternative(
        "pattern_from_filter",
        """
def pattern_from_filter(acts, weight):
    mean = sum(acts) / len(acts)
    together, alone = torch.zeros_like(weight), 0.0
    for example in acts:
        logit = sum(w * a for w, a in zip(weight, example - mean))
        together, alone = together + logit * (example - mean), alone + logit**2
    return together / alone
""",
    ),
    # fit_leace_eraser
    Alternative(
        "fit_leace_eraser",
        """
def fit_leace_eraser(acts, labels):
    # without whitening: the least-squares weight reads the label, the mean difference writes it
    x = acts.double()
    mean = x.mean(dim=0)
    line = x[labels].mean(dim=0) - x[~labels].mean(dim=0)
    read = torch.linalg.pinv(x - mean, rtol=1e-6) @ (labels.double() - labels.double().mean())
    gone = torch.outer(line, read) / (read @ line)
    return LinearEraser((torch.eye(len(mean)) - gone).to(acts.dtype), (gone @ mean).to(acts.dtype))
""",
    ),
    Alternative(
        "fit_leace_eraser",
        """
import numpy as np


def fit_leace_eraser(acts, labels):
    # by the singular values of the examples
    x, y = acts.numpy().astype(np.float64), labels.numpy()
    mean = x.mean(axis=0)
    _, s, v = np.linalg.svd(x - mean, full_matrices=False)
    kept = s > 1e-3 * s[0]
    s, v = s[kept] / np.sqrt(len(x)), v[kept]
    u = v @ (x[y].mean(axis=0) - x[~y].mean(axis=0)) / s
    projection = np.outer(u, u) / (u @ u)
    gone = v.T @ np.diag(s) @ projection @ np.diag(1 / s) @ v
    return LinearEraser(
        matrix=torch.tensor(np.eye(len(mean)) - gone, dtype=acts.dtype),
        bias=torch.tensor(gone @ mean, dtype=acts.dtype),
    )
""",
    ),
    Alternative(
        "fit_leace_eraser",
        """
def fit_leace_eraser(acts, labels):
    # whitens with the covariance within the classes: the same line, by Sherman and Morrison
    x = acts.double()
    mean, high, low = x.mean(dim=0), x[labels].mean(dim=0), x[~labels].mean(dim=0)
    within = x - torch.where(labels[:, None], high, low)
    between = (x - mean).T @ (x - mean) / len(x)
    read = torch.linalg.pinv(between, hermitian=True, rtol=1e-6) @ (high - low)
    if torch.linalg.matrix_rank(within) == x.shape[1]:
        read = torch.linalg.solve(within.T @ within / len(x), high - low)
    gone = torch.einsum("i,j->ij", high - low, read) / torch.dot(read, high - low)
    return LinearEraser(torch.eye(x.shape[1]).sub(gone).to(acts.dtype), (gone @ mean).to(acts.dtype))
""",
    ),
    # score_chosen_probe
    Alternative(
        "score_chosen_probe",
        """
def score_chosen_probe(acts, labels, fit, validation, test, strengths):
    best, probe_of_best, layer_of_best = -1.0, None, None
    for layer in range(len(acts)):
        for l2 in strengths:
            probe = fit_ridge_probe(acts[layer, fit], labels[fit].float(), l2=l2)
            right = ((probe(acts[layer, validation]) > 0.5) == labels[validation]).float().mean().item()
            if right > best:
                best, probe_of_best, layer_of_best = right, probe, layer
    return ((probe_of_best(acts[layer_of_best, test]) > 0.5) == labels[test]).float().mean().item()
""",
    ),
    Alternative(
        "score_chosen_probe",
        """
from sklearn.linear_model import Ridge


def score_chosen_probe(acts, labels, fit, validation, test, strengths):
    x, y = acts.numpy(), labels.numpy()
    trials = []
    for stream in x:
        for l2 in strengths:
            ridge = Ridge(alpha=l2).fit(stream[fit.numpy()], 2.0 * y[fit.numpy()] - 1)
            scores = [((ridge.predict(stream[p.numpy()]) > 0) == y[p.numpy()]).mean() for p in (validation, test)]
            trials.append(tuple(scores))
    return float(max(trials, key=lambda scores: scores[0])[1])
""",
    ),
    # online_codelength
    Alternative(
        "online_codelength",
        """
import math


def online_codelength(acts, labels, ends, l2):
    bits = ends[0]
    for number in range(1, len(ends)):
        start, end = ends[number - 1], ends[number]
        probe = fit_logistic_regression_probe(acts[:start], labels[:start], l2=l2)
        for logit, label in zip(probe(acts[start:end]).tolist(), labels[start:end].tolist()):
            odds_against = math.exp(-logit if label else logit)
            bits += math.log2(1 + odds_against)
    return bits
""",
    ),
    Alternative(
        "online_codelength",
        """
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def online_codelength(acts, labels, ends, l2):
    x, y, total = acts.double().numpy(), labels.numpy(), float(ends[0])
    for start, end in zip(ends[:-1], ends[1:]):
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=1 / (start * l2), tol=1e-8, max_iter=5000))
        p = probe.fit(x[:start], y[:start]).predict_proba(x[start:end])
        total -= np.log2(p[np.arange(end - start), y[start:end].astype(int)]).sum()
    return float(total)
""",
    ),
    # predict_on_circle
    Alternative(
        "predict_on_circle",
        """
import math


def predict_on_circle(acts_train, positions, acts_test, period, l2):
    # two probes, one after the other, and angles by complex numbers
    turns = positions / period * 2 * math.pi
    real, imaginary = (fit_ridge_probe(acts_train, target, l2=l2)(acts_test) for target in (turns.cos(), turns.sin()))
    angle = torch.angle(torch.complex(real, imaginary))
    return torch.where(angle < 0, angle + 2 * math.pi, angle) * period / (2 * math.pi)
""",
    ),
    Alternative(
        "predict_on_circle",
        """
import numpy as np
from sklearn.linear_model import Ridge


def predict_on_circle(acts_train, positions, acts_test, period, l2):
    phase = 2j * np.pi * positions.double().numpy() / period
    targets = np.stack([np.exp(phase).real, np.exp(phase).imag], axis=1)
    found = Ridge(alpha=l2).fit(acts_train.numpy(), targets).predict(acts_test.numpy())
    angles = [np.arctan2(y, x) for x, y in found]
    return torch.tensor([np.mod(angle * period / (2 * np.pi), period) for angle in angles], dtype=torch.float32)
""",
    ),
]
