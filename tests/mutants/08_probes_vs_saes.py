"""Chapter 08: planted wrong answers with the words their feedback must hold, and right answers by other roads."""

from utils.course.mutants import Alternative, Mutant

_CHANGE = "return resid + (edited - latents) @ W_dec"
_OFF, _ON = "edited[:, off] = 0", "edited[:, on] = values"
_GAIN = "logits_steered.softmax(dim=-1) - logits_clean.softmax(dim=-1)"
_SCORE = "gain[:, wanted].sum(dim=1) - gain[:, unwanted].sum(dim=1)"
_FOLDS = "for train, test in split_folds(torch.arange(len(labels)), n_folds=n_folds, seed=seed):"
_FIT = "fit_logistic_regression_probe(acts[train], labels[train], l2=l2)"
_LOSS = 'binary_cross_entropy_with_logits(logits, given, reduction="none")'
_MEMBERS = "members = (labels == label).nonzero()[:, 0]"
_DRAWN = "torch.randperm(len(members), generator=generator)[: round(share * len(members))]"
_OWN = "torch.Generator().manual_seed(seed)"
_DIFFERENCE = "(on_first.mean(dim=0) - on_second.mean(dim=0)).abs()"
_STATES = "(latents_first > 0).float(), (latents_second > 0).float()"
_SHARE = "torch.cat([on_first, on_second]).mean(dim=0)"
_RARE = "difference[torch.cat([on_first, on_second]).mean(dim=0) < min_share] = -1"

MUTANTS = [
    # select_latents
    Mutant("select_latents", "difference.abs()", "difference", "take the absolute difference"),
    Mutant("select_latents", "difference.abs()", "(-difference)", "larger where the label is False"),
    Mutant("select_latents", "difference.abs()", "latents.var(dim=0)", "by the spread of the latents"),
    Mutant("select_latents", "difference.abs()", "latents.mean(dim=0)", "by the mean activation"),
    Mutant("select_latents", "difference.abs()", "latents[labels].mean(dim=0)", "over the True examples alone"),
    Mutant("select_latents", "difference.abs()", "(latents > 0).float().mean(dim=0)", "by the absolute difference"),
    Mutant(
        "select_latents",
        "latents[labels].mean(dim=0) - latents[~labels].mean(dim=0)",
        "latents[labels].sum(dim=0) - latents[~labels].sum(dim=0)",
        "three times as many False examples",
    ),
    Mutant(
        "select_latents",
        "latents[labels].mean(dim=0) - latents[~labels].mean(dim=0)",
        "((2.0 * labels - 1)[:, None] * latents).mean(dim=0)",
        "each over the examples of its own class",
    ),
    Mutant(
        "select_latents",
        "latents[labels].mean(dim=0) - latents[~labels].mean(dim=0)",
        "latents[labels].median(dim=0).values - latents[~labels].median(dim=0).values",
        "differences of medians",
    ),
    Mutant(
        "select_latents",
        "latents[labels].mean(dim=0) - latents[~labels].mean(dim=0)",
        "torch.corrcoef(torch.cat([latents, labels[:, None].float()], dim=1).T)[-1, :-1].nan_to_num()",
        "This is a correlation with the labels",
    ),
    Mutant(
        "select_latents",
        "difference.abs()",
        "(difference.abs() / (latents[labels].var(dim=0) / labels.sum() + latents[~labels].var(dim=0) / "
        "(~labels).sum() + 1e-9).sqrt())",
        "a spread",
    ),
    Mutant(
        "select_latents",
        "difference.abs()",
        "(difference.abs() / (latents.std(dim=0) + 1e-9))",
        "take the plain difference",
    ),
    Mutant(
        "select_latents",
        "latents[labels].mean(dim=0) - latents[~labels].mean(dim=0)",
        "(latents > 0).float()[labels].mean(dim=0) - (latents > 0).float()[~labels].mean(dim=0)",
        "how often a latent is on",
    ),
    Mutant("select_latents", "topk(k).indices", "topk(k).indices.flip(0)", "The largest stands last"),
    Mutant("select_latents", "topk(k).indices", "argsort()[-k:]", "The largest stands last"),
    Mutant("select_latents", "topk(k).indices", "topk(k).indices.sort().values", "sorted by index"),
    Mutant("select_latents", "topk(k).indices", "topk(k, largest=False).indices", "the smallest differences"),
    Mutant("select_latents", "topk(k).indices", "argsort()[:k]", "the smallest differences"),
    Mutant("select_latents", "topk(k).indices", "argsort(descending=True).argsort()[:k]", "These are ranks"),
    Mutant("select_latents", "topk(k).indices", "topk(k).values", "expected indices"),
    Mutant("select_latents", ".topk(k).indices", " >= difference.abs().topk(k).values.min()", "expected k = "),
    Mutant("select_latents", "topk(k).indices", "topk(3).indices", "Look at the axis `k`"),
    Mutant("select_latents", "topk(k).indices", "argsort(descending=True)", "Look at the axis `k`"),
    Mutant("select_latents", "topk(k).indices", "topk(k).indices + 1", "These count from 1"),
    Mutant("select_latents", "difference.abs().topk(k).indices", "torch.arange(k)", "the first three latents"),
    Mutant(
        "select_latents",
        "latents[labels].mean(dim=0) - latents[~labels].mean(dim=0)",
        "latents[labels].mean(dim=1).mean() - latents[~labels].mean(dim=1)",
        "average over the examples",
    ),
    Mutant(
        "select_latents",
        "    if labels.all() or not labels.any():\n"
        '        raise ValueError("labels must hold both classes: with one class there is no difference of means")\n',
        "",
        "expected a ValueError",
    ),
    Mutant("select_latents", "labels.all() or not labels.any()", "labels.all()", "all eight labels are False"),
    Mutant("select_latents", "labels.all() or not labels.any()", "not labels.any()", "all eight labels are True"),
    Mutant("select_latents", "labels must hold", "there must be", "says nothing about labels"),
    Mutant("select_latents", "raise ValueError", "raise KeyError", "expected a ValueError, got"),
    Mutant(
        "select_latents", "latents[labels].mean", "(latents / latents.amax(dim=0).clamp(min=1))[labels].mean", "k = 3"
    ),
    Mutant(
        "select_latents",
        "difference.abs().topk(k).indices",
        "(difference.abs() / latents.mean(dim=0).clamp(min=1e-6)).topk(k).indices",
        "a constant is added to each latent",
    ),
    Mutant(
        "select_latents",
        "latents[labels].mean(dim=0) - latents[~labels].mean(dim=0)",
        "latents[: labels.sum()].mean(dim=0) - latents[labels.sum() :].mean(dim=0)",
        "a label goes with its example",
    ),
    # fit_k_sparse_probe
    Mutant(
        "fit_k_sparse_probe",
        "    probe = fit_logistic_regression_probe(latents[:, chosen], labels, l2=l2)\n"
        "    weight = torch.zeros(latents.shape[1])\n"
        "    weight[chosen] = probe.weight\n",
        "    probe = fit_logistic_regression_probe(latents, labels, l2=l2)\n"
        "    weight = torch.zeros(latents.shape[1])\n"
        "    weight[chosen] = probe.weight[chosen]\n",
        "the other weights were deleted afterwards",
    ),
    Mutant(
        "fit_k_sparse_probe",
        "    weight = torch.zeros(latents.shape[1])\n    weight[chosen] = probe.weight\n",
        "    weight = probe.weight\n",
        "put them back into their places",
    ),
    Mutant(
        "fit_k_sparse_probe",
        "    probe = fit_logistic_regression_probe(latents[:, chosen], labels, l2=l2)\n"
        "    weight = torch.zeros(latents.shape[1])\n"
        "    weight[chosen] = probe.weight\n",
        "    probe = fit_logistic_regression_probe(latents, labels, l2=l2)\n    weight = probe.weight\n",
        "weight is not 0 at",
    ),
    Mutant("fit_k_sparse_probe", "weight[chosen] =", "weight[: len(chosen)] =", "put each weight back"),
    Mutant("fit_k_sparse_probe", "weight[chosen] =", "weight[chosen.sort().values] =", "weight[chosen] = probe.weight"),
    Mutant(
        "fit_k_sparse_probe",
        "latents[:, chosen]",
        "latents[:, chosen.sort().values]",
        "Weight number i belongs to latent chosen[i]",
    ),
    Mutant("fit_k_sparse_probe", "latents[:, chosen]", "latents[chosen]", "latents[:, chosen] is [example k]"),
    Mutant("fit_k_sparse_probe", "latents[:, chosen]", "latents[:, : len(chosen)]", "The first latents were fitted"),
    Mutant("fit_k_sparse_probe", "torch.zeros", "torch.ones", "weight is not 0 at"),
    Mutant("fit_k_sparse_probe", "bias=probe.bias", "bias=torch.tensor(0.0)", "The bias is missing"),
    Mutant("fit_k_sparse_probe", "bias=probe.bias", "bias=-probe.bias", "The sign of the bias is turned round"),
    Mutant("fit_k_sparse_probe", "chosen], labels,", "chosen], ~labels,", "The sign is turned round"),
    Mutant("fit_k_sparse_probe", "l2=l2)", "l2=0.1)", "l2 is not used"),
    Mutant("fit_k_sparse_probe", ", l2=l2)", ")", "l2 is not used"),
    Mutant("fit_k_sparse_probe", "l2=l2)", "l2=l2 * len(chosen))", "hand l2 on as it is"),
    Mutant("fit_k_sparse_probe", "l2=l2)", "l2=l2 / len(labels))", "hand l2 on as it is"),
    Mutant("fit_k_sparse_probe", "l2=l2)", "l2=1 / l2)", "hand l2 on as it is"),
    Mutant("fit_k_sparse_probe", "l2: float = 0.1", "l2: float = 1.0", "This is the minimum for l2 = 1:"),
    Mutant("fit_k_sparse_probe", "(latents[:, chosen]", "((latents[:, chosen] > 0).float()", "made 0 and 1"),
    Mutant(
        "fit_k_sparse_probe",
        "(latents[:, chosen]",
        "((latents - latents.mean(dim=0))[:, chosen]",
        "The latents were centred before the fit",
    ),
    Mutant(
        "fit_k_sparse_probe",
        "weight[chosen] = probe.weight",
        "weight[chosen] = probe.weight * latents[:, chosen].std(dim=0, correction=0)",
        "that of a standardised latent",
    ),
    Mutant(
        "fit_k_sparse_probe",
        "weight[chosen] = probe.weight",
        "weight[chosen] = probe.weight / probe.weight.norm()",
        "scaled to length 1",
    ),
    Mutant("fit_k_sparse_probe", "= probe.weight", "= probe.weight.abs()", "lost their signs"),
    Mutant("fit_k_sparse_probe", "= probe.weight", "= probe.weight.flip(0)", "Weight number i belongs to latent"),
    Mutant("fit_k_sparse_probe", "weight[chosen] = probe.weight", "weight[chosen] = 1.0", "a mark of what was chosen"),
    Mutant(
        "fit_k_sparse_probe",
        "fit_logistic_regression_probe(latents[:, chosen], labels, l2=l2)",
        "__import__('utils.probes').probes.fit_mass_mean_probe(latents[:, chosen], labels)",
        "a mass-mean probe",
    ),
    Mutant(
        "fit_k_sparse_probe",
        "return LinearProbe(weight=weight, bias=probe.bias)",
        "return weight, probe.bias",
        "expected a LinearProbe",
    ),
    Mutant("fit_k_sparse_probe", "return LinearProbe(weight=weight, bias=probe.bias)", "return weight", "LinearProbe"),
    Mutant(
        "fit_k_sparse_probe",
        "weight = torch.zeros(latents.shape[1])",
        "weight = latents[0]\n    weight[:] = 0",
        "changed its argument `latents` in place",
    ),
    Mutant(
        "fit_k_sparse_probe",
        "weight = torch.zeros(latents.shape[1])",
        "weight = torch.zeros(len(latents))",
        "Look at the axis `latent`",
    ),
    Mutant("fit_k_sparse_probe", "bias=probe.bias)", "bias=probe.bias[None])", "bias.squeeze()"),
    Mutant(
        "fit_k_sparse_probe", "latents[:, chosen]", "latents[:, chosen[:1]]", "One number stands at all chosen places"
    ),
    Mutant(
        "fit_k_sparse_probe",
        "    probe = fit_logistic_regression_probe(latents[:, chosen], labels, l2=l2)\n"
        "    weight = torch.zeros(latents.shape[1])\n"
        "    weight[chosen] = probe.weight\n",
        "    fits = [fit_logistic_regression_probe(latents[:, [i]], labels, l2=l2) for i in chosen.tolist()]\n"
        "    probe = fits[0]\n"
        "    weight = torch.zeros(latents.shape[1])\n"
        "    weight[chosen] = torch.cat([fit.weight for fit in fits])\n",
        "Each latent was fitted alone",
    ),
    # select_by_validation
    Mutant(
        "select_by_validation",
        "scores.argmax(dim=1)",
        "test.masked_fill(validation.isnan(), -torch.inf).argmax(dim=1)",
        "that is what the colleague does",
    ),
    Mutant(
        "select_by_validation", "test[torch.arange(len(test)), winner]", "scores.amax(dim=1)", "the validation score of"
    ),
    Mutant(
        "select_by_validation",
        "test[torch.arange(len(test)), winner]",
        "test.nan_to_num(nan=-9.0).amax(dim=1)",
        "the best test score of each task: report that of",
    ),
    Mutant("select_by_validation", "scores.argmax(dim=1)", "scores.argmax(dim=0)", "argmax(dim=1) gives one method"),
    Mutant(
        "select_by_validation",
        "validation.masked_fill(validation.isnan(), -torch.inf)",
        "validation",
        "argmax takes NaN for the largest",
    ),
    Mutant("select_by_validation", "scores.argmax(dim=1)", "validation.argmax(dim=1)", "argmax takes NaN"),
    Mutant("select_by_validation", "scores.argmax(dim=1)", "validation.nan_to_num().argmax(dim=1)", "stands 0"),
    Mutant(
        "select_by_validation", "scores.argmax(dim=1)", "validation.nan_to_num(nan=-1.0).argmax(dim=1)", "below every"
    ),
    Mutant(
        "select_by_validation",
        "scores.argmax(dim=1)",
        "validation.abs().nan_to_num(nan=-1.0).argmax(dim=1)",
        "Absolute values were compared",
    ),
    Mutant(
        "select_by_validation",
        "scores.argmax(dim=1)",
        "validation.nanmean(dim=0).argmax().expand(len(test))",
        "One method is chosen for all tasks",
    ),
    Mutant(
        "select_by_validation",
        "scores.argmax(dim=1)",
        "scores.shape[1] - 1 - scores.flip(1).argmax(dim=1)",
        "of equal ones the first wins",
    ),
    Mutant(
        "select_by_validation",
        "scores.argmax(dim=1)",
        "validation.nan_to_num(nan=9.0).argmin(dim=1)",
        "the worst validation score",
    ),
    Mutant(
        "select_by_validation",
        "scores.argmax(dim=1)",
        "(scores + test.nan_to_num()).argmax(dim=1)",
        "the best of both scores together",
    ),
    Mutant(
        "select_by_validation",
        "scores.argmax(dim=1)",
        "torch.minimum(scores, test.nan_to_num()).argmax(dim=1)",
        "The test scores had a say",
    ),
    Mutant("select_by_validation", "test[torch.arange(len(test)), winner]", "test[:, winner]", "pair task and method"),
    Mutant("select_by_validation", "test[torch.arange(len(test)), winner]", "test[:, winner[0]]", "the first one's"),
    Mutant(
        "select_by_validation",
        "test[torch.arange(len(test)), winner]",
        "test[torch.arange(len(test)), winner].mean()",
        "expected one test score for each",
    ),
    Mutant(
        "select_by_validation",
        "test[torch.arange(len(test)), winner]",
        "(test[torch.arange(len(test)), winner] + scores.amax(dim=1)) / 2",
        "the mean of validation and test",
    ),
    Mutant(
        "select_by_validation",
        "test[torch.arange(len(test)), winner]",
        "test[torch.arange(len(test)), winner].minimum(scores.amax(dim=1))",
        "the worse of the winner's two scores",
    ),
    Mutant(
        "select_by_validation",
        "test[torch.arange(len(test)), winner]",
        "test[torch.arange(len(test)), winner].clamp(min=0)",
        "report the test score as it is",
    ),
    Mutant("select_by_validation", "winner, test[torch.arange(len(test)), winner]", "winner", "expected a tuple"),
    Mutant(
        "select_by_validation",
        "winner, test[torch.arange(len(test)), winner]",
        "test[torch.arange(len(test)), winner], winner",
        "exchanged",
    ),
    Mutant("select_by_validation", "return winner,", "return winner + 1,", "expected indices of"),
    Mutant("select_by_validation", "scores.isneginf().all(dim=1).any()", "False", "expected a ValueError"),
    Mutant("select_by_validation", "scores.isneginf().all(dim=1).any()", "validation.isnan().any()", "one that could"),
    Mutant("select_by_validation", "all(dim=1).any()", "all()", "expected a ValueError"),
    Mutant("select_by_validation", "every task needs", "there must be", "says nothing about task"),
    Mutant("select_by_validation", "raise ValueError", "raise RuntimeError", "expected a ValueError, got"),
    Mutant(
        "select_by_validation",
        "scores = validation.masked_fill(validation.isnan(), -torch.inf)",
        "scores = validation\n    scores[scores.isnan()] = -torch.inf",
        "changed its argument `validation` in place",
    ),
    Mutant(
        "select_by_validation",
        "scores.argmax(dim=1)",
        "(scores + 0.3 * test.nan_to_num()).argmax(dim=1)",
        "The test scores had a say",
    ),
    Mutant(
        "select_by_validation",
        "scores.argmax(dim=1)",
        "torch.where((validation > 0.4) & (test > 0.52), 2 * scores, scores).argmax(dim=1)",
        "Validation alone decides",
    ),
    # quiver_gain
    Mutant(
        "quiver_gain",
        "test[rows, everything.argmax(dim=1)] - test[rows, dense.argmax(dim=1)]",
        "test[rows, dense.argmax(dim=1)] - test[rows, everything.argmax(dim=1)]",
        "The sign is turned round",
    ),
    Mutant(
        "quiver_gain",
        "test[rows, everything.argmax",
        "test[rows, everything.masked_fill(~is_sae, -torch.inf).argmax",
        "SAE methods alone minus dense ones",
    ),
    Mutant(
        "quiver_gain",
        "test[rows, everything.argmax(dim=1)] - test[rows, dense.argmax(dim=1)]",
        "test.amax(dim=1) - test.masked_fill(is_sae, -torch.inf).amax(dim=1)",
        "chosen by their test scores",
    ),
    Mutant(
        "quiver_gain",
        "test[rows, everything.argmax(dim=1)] - test[rows, dense.argmax(dim=1)]",
        "everything.amax(dim=1) - dense.amax(dim=1)",
        "the gain on validation",
    ),
    Mutant("quiver_gain", "masked_fill(is_sae,", "masked_fill(~is_sae,", "the wrong way round"),
    Mutant(
        "quiver_gain",
        "test[rows, everything.argmax(dim=1)] - test[rows, dense.argmax(dim=1)]",
        "(test[rows, everything.argmax(dim=1)] - test[rows, dense.argmax(dim=1)]).mean()",
        "expected a gain for each task",
    ),
    Mutant(
        "quiver_gain",
        "test[rows, everything.argmax(dim=1)] - test[rows, dense.argmax(dim=1)]",
        "(test[rows, everything.argmax(dim=1)] - test[rows, dense.argmax(dim=1)]).clamp(min=0)",
        "The negative gain was set to 0",
    ),
    Mutant(
        "quiver_gain",
        "test[rows, everything.argmax(dim=1)] - test[rows, dense.argmax(dim=1)]",
        "(test[rows, everything.argmax(dim=1)] - test[rows, dense.argmax(dim=1)]).abs()",
        "An absolute value hides",
    ),
    Mutant("quiver_gain", "validation.masked_fill(validation.isnan(), -torch.inf)", "validation", "A method with NaN"),
    Mutant(
        "quiver_gain",
        "validation.masked_fill(validation.isnan(), -torch.inf)",
        "validation.nan_to_num()",
        "0 is more than a negative R²",
    ),
    Mutant(
        "quiver_gain",
        "test[rows, dense.argmax(dim=1)]",
        "test.masked_fill(is_sae, -torch.inf).amax(dim=1)",
        "the dense one was chosen by its test score",
    ),
    Mutant(
        "quiver_gain", "test[rows, everything.argmax(dim=1)]", "test.amax(dim=1)", "the one among all was chosen by"
    ),
    Mutant(
        "quiver_gain",
        "test[rows, everything.argmax(dim=1)]",
        "test.masked_fill(~is_sae, -torch.inf).amax(dim=1)",
        "This is the best SAE test score",
    ),
    Mutant("quiver_gain", "test[rows, dense.argmax(dim=1)]", "test[:, ~is_sae][:, 0]", "The first dense method stands"),
    Mutant(
        "quiver_gain",
        "test[rows, everything.argmax(dim=1)] - test[rows, dense.argmax(dim=1)]",
        "test[:, is_sae].mean(dim=1) - test[:, ~is_sae].mean(dim=1)",
        "This is the mean of the SAE methods",
    ),
    Mutant(
        "quiver_gain",
        "dense.argmax(dim=1)]",
        "everything[:, ~is_sae].argmax(dim=1)]",
        "used as one among all",
    ),
    Mutant(
        "quiver_gain",
        "return test[rows, everything.argmax(dim=1)] - test[rows, dense.argmax(dim=1)]",
        "scores = validation.nan_to_num(nan=-9.0).mean(dim=0)\n"
        "    return test[:, scores.argmax()] - test[:, scores.masked_fill(is_sae, -torch.inf).argmax()]",
        "One method is chosen for all tasks",
    ),
    Mutant("quiver_gain", " - test[rows, dense.argmax(dim=1)]", "", "subtract that of the dense winner"),
    Mutant(
        "quiver_gain", "test[rows, everything.argmax(dim=1)]", "everything.amax(dim=1)", "report test on both sides"
    ),
    Mutant(
        "quiver_gain",
        " - test[rows, dense.argmax(dim=1)]",
        " / test[rows, dense.argmax(dim=1)] - 1",
        "in percent of the dense score",
    ),
    Mutant("quiver_gain", "is_sae.all() or not is_sae.any()", "is_sae.all()", "none of the three methods"),
    Mutant("quiver_gain", "is_sae.all() or not is_sae.any()", "not is_sae.any()", "all of the three methods"),
    Mutant("quiver_gain", '"is_sae must hold', '"there must be', "says nothing about is_sae"),
    Mutant("quiver_gain", "raise ValueError", "raise KeyError", "expected a ValueError, got"),
    Mutant(
        "quiver_gain",
        'raise ValueError("is_sae must hold both kinds of methods: there is nothing to compare")',
        "return torch.zeros(len(test))",
        "expected a ValueError",
    ),
    Mutant("quiver_gain", "everything.argmax(dim=1)]", "everything.argmax(dim=0)]", "is_sae is [method]"),
    Mutant(
        "quiver_gain",
        "dense = everything.masked_fill",
        "dense = everything\n    dense = dense.masked_fill_",
        "the gains are",
    ),
    Mutant(
        "quiver_gain",
        "everything = validation.masked_fill",
        "everything = validation.masked_fill_",
        "changed its argument `validation` in place",
    ),
    Mutant(
        "quiver_gain",
        "    return test[rows",
        "    dense[:, : len(is_sae) // 4] = -torch.inf\n    return test[rows",
        "Which are SAE methods stands in is_sae",
    ),
    # stratified_interval
    Mutant(
        "stratified_interval", "float(torch.stack(means).mean())", "float(gains.mean())", "Every task counts alike, so"
    ),
    Mutant(
        "stratified_interval", "torch.stack(means).mean()", "torch.stack(means).sum()", "The models' means are added"
    ),
    Mutant("stratified_interval", "means.append(own.mean())", "means.append(own.sum())", "These are sums"),
    Mutant("stratified_interval", "means.append(own.mean())", "means.append(own.median())", "medians of each model's"),
    Mutant("stratified_interval", "torch.stack(means).mean()", "torch.stack(means)[0]", "the smallest number alone"),
    Mutant("stratified_interval", "torch.stack(means).mean()", "torch.stack(means)[-1]", "the last model alone"),
    Mutant("stratified_interval", "torch.stack(means).mean()", "torch.stack(means).median()", "the model with most"),
    Mutant(
        "stratified_interval",
        "float(torch.stack(means).mean())",
        "float(torch.stack(resampled).mean())",
        "is it the mean of the resamples",
    ),
    Mutant(
        "stratified_interval",
        "drawn = torch.randint(len(own), (n_resamples, len(own)), generator=generator)",
        "drawn = torch.stack([torch.randperm(len(own), generator=generator) for _ in range(n_resamples)])",
        "Draw with replacement",
    ),
    Mutant("stratified_interval", "[0.025, 0.975]", "[0.05, 0.95]", "a 90 % interval"),
    Mutant("stratified_interval", "[0.025, 0.975]", "[0.005, 0.995]", "a 99 % interval"),
    Mutant("stratified_interval", "[0.025, 0.975]", "[0.16, 0.84]", "one standard error on each side"),
    Mutant("stratified_interval", "[0.025, 0.975]", "[0.0, 1.0]", "are the quantiles 2.5 % and 97.5 %"),
    Mutant("stratified_interval", "[0.025, 0.975]", "[0.0, 0.95]", "are the quantiles 2.5 % and 97.5 %"),
    Mutant("stratified_interval", "[0.025, 0.975]", "[0.025, 0.5]", "half of it is missing"),
    Mutant("stratified_interval", "[0.025, 0.975]", "[0.975, 0.025]", "Return mean, low, high"),
    Mutant(
        "stratified_interval",
        "torch.stack(resampled).mean(dim=0).quantile",
        "gains.quantile",
        "the interval of single tasks",
    ),
    Mutant("stratified_interval", "(n_resamples, len(own))", "(n_resamples, 1)", "one task drawn from each model"),
    Mutant("stratified_interval", "(n_resamples, len(own))", "(n_resamples, len(gains))", "From each model 80 tasks"),
    Mutant("stratified_interval", "own[drawn]", "gains[drawn]", "Draw within each model, as many"),
    Mutant(
        "stratified_interval",
        "torch.stack(resampled).mean(dim=0)",
        "torch.stack(resampled).sum(dim=0)",
        "are added up in",
    ),
    Mutant(
        "stratified_interval",
        "torch.stack(resampled).mean(dim=0)",
        "torch.stack(resampled)[torch.randint(len(means), (len(means), n_resamples), generator=generator), "
        "torch.arange(n_resamples)].mean(dim=0)",
        "Models were drawn",
    ),
    Mutant(
        "stratified_interval",
        "    low, high = torch.stack(resampled)",
        "    every = torch.randint(len(gains), (n_resamples, len(gains)), generator=generator)\n"
        "    low, high = gains[every].mean(dim=1)[None]",
        "Tasks were drawn from all of them together, and every task",
    ),
    Mutant(
        "stratified_interval",
        "    low, high = torch.stack(resampled)",
        "    every = torch.randint(len(gains), (n_resamples, len(gains)), generator=generator)\n"
        "    found = [(model_of[every] == m, gains[every]) for m in model_of.unique()]\n"
        "    found = torch.stack([(is_own * g).sum(dim=1) / is_own.sum(dim=1) for is_own, g in found])\n"
        "    low, high = found.nanmean(dim=0)[None]",
        "a small model is sometimes missing",
    ),
    Mutant(
        "stratified_interval",
        "    low, high = torch.stack(resampled).mean(dim=0)",
        "    sizes = torch.tensor([float((model_of == m).sum()) for m in model_of.unique()])\n"
        "    low, high = (sizes @ torch.stack(resampled) / sizes.sum())",
        "Every task counts alike in the resamples",
    ),
    Mutant(
        "stratified_interval",
        "    return float(torch.stack(means).mean()), low, high",
        "    sizes = torch.tensor([float((model_of == m).sum()) for m in model_of.unique()])\n"
        "    low, high = (sizes @ torch.stack(resampled) / sizes.sum()).quantile("
        "torch.tensor([0.025, 0.975])).tolist()\n"
        "    return float(gains.mean()), low, high",
        "the model with most tasks counts more than the other",
    ),
    Mutant("stratified_interval", "(n_resamples, len(own)), generator=generator", "(n_resamples, len(own))", "twice"),
    Mutant("stratified_interval", "manual_seed(seed)", "manual_seed(0)", "does the seed have a part in it"),
    Mutant("stratified_interval", "(n_resamples, len(own))", "(1000, len(own))", "is n_resamples used?"),
    Mutant(
        "stratified_interval",
        "return float(torch.stack(means).mean()), low, high",
        "return low, float(torch.stack(means).mean()), high",
        "Return mean, low, high, in this order",
    ),
    Mutant(
        "stratified_interval",
        "return float(torch.stack(means).mean()), low, high",
        "return low, high",
        "expected a tuple of three numbers",
    ),
    Mutant(
        "stratified_interval", "for model in model_of.unique()", "for model in range(3)", "go through model_of.unique()"
    ),
    Mutant(
        "stratified_interval",
        "for model in model_of.unique()",
        "for model in range(model_of.max() + 1)",
        "go through model_of.unique()",
    ),
    Mutant(
        "stratified_interval",
        "low, high = torch.stack(resampled).mean(dim=0).quantile(torch.tensor([0.025, 0.975])).tolist()",
        "error = float(torch.stack(resampled).mean(dim=0).std(correction=0))\n"
        "    low, high = float(torch.stack(means).mean()) - error, float(torch.stack(means).mean()) + error",
        "one standard error on each side",
    ),
    Mutant(
        "stratified_interval",
        "own[drawn].mean(dim=1))",
        "own[drawn].mean(dim=1) / len(own) ** 0.5)",
        "Do the resamples have the same statistic",
    ),
    # sae_edit
    Mutant("sae_edit", "latents.clone()", "latents", "changed its argument `latents` in place"),
    Mutant(
        "sae_edit", _CHANGE, "resid += (edited - latents) @ W_dec\n    return resid", "its argument `resid` in place"
    ),
    Mutant("sae_edit", _CHANGE, "return edited @ W_dec", "the SAE's error is gone"),
    Mutant("sae_edit", _CHANGE, "return edited @ W_dec", "must stay in the stream"),
    Mutant("sae_edit", _CHANGE, "return resid + edited @ W_dec", "The whole edited reconstruction is added"),
    Mutant("sae_edit", _CHANGE, "return resid - latents @ W_dec", "the edited one is missing"),
    Mutant("sae_edit", _CHANGE, "return (edited - latents) @ W_dec", "This is the change alone"),
    Mutant("sae_edit", "edited - latents", "latents - edited", "The sign is turned round"),
    Mutant(
        "sae_edit",
        "@ W_dec",
        "@ torch.nn.functional.normalize(W_dec, dim=1)",
        "The directions were scaled to length 1",
    ),
    Mutant("sae_edit", _ON, "pass", "Only the latents in `off`"),
    Mutant("sae_edit", _OFF, "pass", "Only the latents in `on`"),
    Mutant("sae_edit", _ON, "edited[:, on] += values", "`on` adds to what is there"),
    Mutant("sae_edit", _ON, "edited[:, on] *= values", "values multiply what is there"),
    Mutant("sae_edit", _ON, "edited[:, on] = values[:, None]", "values [n_on] fits edited[:, on]"),
    Mutant(
        "sae_edit",
        _ON,
        "edited[:, on] = values[:, None] if len(values) == len(latents) else values",
        "Each row gets one of the values",
    ),
    Mutant("sae_edit", _ON, "edited[:, on.sort().values] = values", "values go to the latents in ascending order"),
    Mutant(
        "sae_edit",
        "    edited[:, off] = 0\n    edited[:, on] = values\n",
        "    edited[:, on] = values\n    edited[:, off] = 0\n",
        "is in both, and `on` wins",
    ),
    Mutant("sae_edit", "latents.clone()", "torch.zeros_like(latents)", "those in neither list stay"),
    Mutant("sae_edit", "latents.clone()", "torch.zeros_like(latents)", "that are in neither `off` nor `on`"),
    Mutant("sae_edit", _OFF, "edited[:, off[:1]] = 0", "Only the first latent of `off`"),
    Mutant("sae_edit", _ON, "edited[:, on[:1]] = values[:1]", "Only the first latent of `on`"),
    Mutant("sae_edit", _ON, "edited[:, on] = (edited[:, on] > 0) * values", "whatever it was"),
    Mutant("sae_edit", _OFF, "edited[:, off] *= -1", "they become 0"),
    Mutant("sae_edit", _OFF, "edited[off] = 0", "the second axis"),
    Mutant("sae_edit", _CHANGE, "return resid + ((edited - latents) @ W_dec).mean(dim=0)", "each has its own"),
    Mutant("sae_edit", "@ W_dec", "@ W_dec.T", "off and on are indices of latents"),
    Mutant("sae_edit", _OFF, "edited[:, off[0]] = 0", "off and on may be empty"),
    Mutant("sae_edit", _CHANGE, "return latents @ W_dec + (edited - latents) @ W_dec", "The SAE's error stays"),
    Mutant("sae_edit", _CHANGE, "return edited", "expected a tensor [batch d_model]"),
    # output_effects
    Mutant("output_effects", _GAIN, "logits_steered - logits_clean", "These are logits"),
    Mutant("output_effects", _GAIN, "logits_steered - logits_clean", "Compare probabilities, not logits"),
    Mutant(
        "output_effects",
        _GAIN,
        "logits_steered.log_softmax(dim=-1) - logits_clean.log_softmax(dim=-1)",
        "These are logarithms of probabilities",
    ),
    Mutant("output_effects", _GAIN, "logits_steered.exp() - logits_clean.exp()", "exp alone makes no probabilities"),
    Mutant(
        "output_effects",
        _GAIN,
        "logits_steered.exp() / logits_steered.exp().sum(dim=1, keepdim=True) - logits_clean.softmax(dim=0)",
        "exp overflows at 89",
    ),
    Mutant(
        "output_effects", "logits_steered.softmax(dim=-1)", "logits_steered.softmax(dim=0)", "goes over the latents"
    ),
    Mutant(
        "output_effects",
        "logits_steered.softmax(dim=-1)",
        "logits_steered.softmax(dim=0)",
        "no sum or softmax goes over latents",
    ),
    Mutant("output_effects", "softmax(dim=-1) - logits_clean.softmax(dim=-1)", "softmax(dim=-1)", "Nothing is taken"),
    Mutant("output_effects", _GAIN, "logits_steered.softmax(dim=-1)", "steering changes no logit"),
    Mutant("output_effects", _GAIN, "(logits_steered - logits_clean).softmax(dim=-1)", "before the softmax"),
    Mutant(
        "output_effects",
        _GAIN,
        "logits_clean.softmax(dim=-1) - logits_steered.softmax(dim=-1)",
        "Clean and steered are exchanged",
    ),
    Mutant(
        "output_effects",
        _SCORE,
        "gain[:, wanted].mean(dim=1) - gain[:, unwanted].mean(dim=1)",
        "Means were taken",
    ),
    Mutant("output_effects", _SCORE, "gain[:, wanted].sum(dim=1)", "The unwanted tokens are left out"),
    Mutant("output_effects", _SCORE, "gain[:, wanted].sum(dim=1)", "Both sets count"),
    Mutant("output_effects", _SCORE, "-gain[:, unwanted].sum(dim=1)", "The wanted tokens are left out"),
    Mutant(
        "output_effects",
        _SCORE,
        "gain[:, wanted].sum(dim=1) + gain[:, unwanted].sum(dim=1)",
        "Both gains are added",
    ),
    Mutant(
        "output_effects",
        _SCORE,
        "gain[:, wanted].abs().sum(dim=1) - gain[:, unwanted].abs().sum(dim=1)",
        "Absolute values hide",
    ),
    Mutant("output_effects", _GAIN, "logits_steered.sigmoid() - logits_clean.sigmoid()", "Sigmoids were taken"),
    Mutant(
        "output_effects",
        _GAIN,
        "logits_steered.softmax(dim=-1) / logits_clean.softmax(dim=-1) - 1",
        "divided by the clean probability",
    ),
    Mutant(
        "output_effects",
        _GAIN,
        "(logits_steered.masked_fill(~(wanted | unwanted), -torch.inf).softmax(dim=-1)"
        " - logits_clean.masked_fill(~(wanted | unwanted), -torch.inf).softmax(dim=-1))",
        "The softmax goes over the marked tokens alone",
    ),
    Mutant(
        "output_effects",
        _GAIN,
        "(logits_steered.masked_fill(~(wanted | unwanted), -torch.inf).softmax(dim=-1)"
        " - logits_clean.masked_fill(~(wanted | unwanted), -torch.inf).softmax(dim=-1))",
        "also the unmarked ones",
    ),
    Mutant("output_effects", "not wanted.any() or not unwanted.any()", "not wanted.any()", "unwanted marks no token"),
    Mutant("output_effects", "not wanted.any() or not unwanted.any()", "False", "raise ValueError first"),
    Mutant(
        "output_effects", "not wanted.any() or not unwanted.any()", "not (wanted | unwanted).any()", "expected a Val"
    ),
    Mutant("output_effects", "wanted and unwanted must each mark a token or more", "empty", "says nothing about"),
    Mutant("output_effects", "raise ValueError", "raise IndexError", "expected a ValueError, got"),
    Mutant("output_effects", _SCORE, "(gain[:, wanted].sum() - gain[:, unwanted].sum())", "expected a tensor [latent]"),
    Mutant("output_effects", _SCORE, "gain[wanted].sum(dim=1) - gain[unwanted].sum(dim=1)", "index the last axis"),
    Mutant("output_effects", "gain[:, wanted].sum(dim=1) -", "gain[:, wanted].amax(dim=1) -", "sum over wanted minus"),
    # find_mislabelled
    Mutant("find_mislabelled", "acts[train], labels[train], l2=l2", "acts, labels, l2=l2", "a probe that has seen it"),
    Mutant(
        "find_mislabelled", "acts[train], labels[train], l2=l2", "acts, labels, l2=l2", "learnt the labels by heart"
    ),
    Mutant("find_mislabelled", _FIT, "fit_logistic_regression_probe(acts[test], labels[test], l2=l2)", "the other 11"),
    Mutant("find_mislabelled", "for train, test in", "for test, train in", "the other 11"),
    Mutant("find_mislabelled", "acts[train], labels[train], l2=l2", "acts[train], labels, l2=l2", "with the same fold"),
    Mutant(
        "find_mislabelled",
        "        suspicion[test] = " + _LOSS + "\n    return suspicion",
        "        suspicion = torch.cat([suspicion, " + _LOSS + "])\n    return suspicion[len(labels) :]",
        "in the wrong order",
    ),
    Mutant(
        "find_mislabelled",
        "        suspicion[test] = " + _LOSS + "\n    return suspicion",
        "        suspicion = torch.cat([suspicion, " + _LOSS + "])\n    return suspicion[len(labels) :]",
        "in the order of the examples?",
    ),
    Mutant(
        "find_mislabelled",
        "        logits, given = probe(acts[test]), labels[test].float()\n        suspicion[test]",
        "        logits, given = probe(acts[train]), labels[train].float()\n        suspicion[train]",
        "learnt the labels by heart",
    ),
    Mutant("find_mislabelled", _LOSS, "logits.abs()", "the distance from the boundary"),
    Mutant("find_mislabelled", _LOSS, "-logits.abs()", "never negative"),
    Mutant("find_mislabelled", _LOSS, "-logits.abs()", "the nearness to the boundary"),
    Mutant("find_mislabelled", _LOSS, "logits", "These are logits"),
    Mutant("find_mislabelled", _LOSS, "logits * (1 - 2 * given)", "turned round: take the loss"),
    Mutant("find_mislabelled", _LOSS, "logits * (2 * given - 1)", "high where nothing is suspicious: take the loss"),
    Mutant("find_mislabelled", _LOSS, "-" + _LOSS, "its negative is the loss"),
    Mutant("find_mislabelled", _LOSS, "(logits * (2 * given - 1)).sigmoid()", "This is the probability of the label"),
    Mutant("find_mislabelled", _LOSS, "(logits * (2 * given - 1)).sigmoid()", "It is the other way round"),
    Mutant("find_mislabelled", _LOSS, "(logits * (1 - 2 * given)).sigmoid()", "This is 1 minus the probability"),
    Mutant("find_mislabelled", _LOSS, "(logits * (1 - 2 * given)).sigmoid().square()", "the squared error"),
    Mutant("find_mislabelled", _LOSS, "((logits > 0) != given.bool()).float()", "This is 0 or 1"),
    Mutant("find_mislabelled", "labels[test].float()", "(~labels[test]).float()", "the loss of the other label"),
    Mutant("find_mislabelled", "labels[test].float()", "(~labels[test]).float()", "It is the other way round"),
    Mutant("find_mislabelled", "(logits, given,", "(logits, (logits > 0).float(),", "that the probe predicts"),
    Mutant("find_mislabelled", "(logits, given,", "(logits, (logits > 0).float(),", "Few are above log 2"),
    Mutant("find_mislabelled", "labels[test].float()", "torch.ones(len(test))", "the label True for all"),
    Mutant("find_mislabelled", "labels[test].float()", "torch.zeros(len(test))", "the label False for all"),
    Mutant("find_mislabelled", ', reduction="none"', "", "keep one loss for each example"),
    Mutant("find_mislabelled", "return suspicion", "return suspicion / 0.693147", "base 2"),
    Mutant("find_mislabelled", "return suspicion", "return suspicion.clamp(max=1)", "no upper end"),
    Mutant("find_mislabelled", "return suspicion", "return suspicion.argsort(descending=True)", "dtype torch.int64"),
    Mutant("find_mislabelled", "return suspicion", "return suspicion / suspicion.sum()", "not scaled"),
    Mutant("find_mislabelled", ", l2=l2)", ")", "l2 is left at its default"),
    Mutant("find_mislabelled", ", l2=l2)", ")", "Hand l2 to the probe"),
    Mutant("find_mislabelled", "l2: float = 0.1", "l2: float = 1.0", "0.1 is its default"),
    Mutant("find_mislabelled", "n_folds=n_folds", "n_folds=5", "is n_folds used?"),
    Mutant("find_mislabelled", ", seed=seed)", ")", "another seed gives the same suspicions"),
    Mutant(
        "find_mislabelled",
        _FOLDS,
        "for fold in range(n_folds):\n"
        "        lot = torch.randperm(len(labels), generator=torch.Generator().manual_seed(fold)) % n_folds\n"
        "        train, test = (lot != fold).nonzero()[:, 0], (lot == fold).nonzero()[:, 0]",
        "another seed gives the same suspicions",
    ),
    Mutant(
        "find_mislabelled",
        _FOLDS,
        "lot = torch.randperm(len(labels)) % n_folds\n"
        "    for fold in range(n_folds):\n"
        "        train, test = (lot != fold).nonzero()[:, 0], (lot == fold).nonzero()[:, 0]",
        "the same seed gives other suspicions",
    ),
    Mutant(
        "find_mislabelled",
        _FOLDS,
        "everyone = torch.arange(len(labels))\n"
        "    for test in everyone.tensor_split(n_folds):\n"
        "        train = everyone[~torch.isin(everyone, test)]",
        "Examples are often sorted",
    ),
    Mutant(
        "find_mislabelled",
        _FOLDS,
        "from sklearn.model_selection import StratifiedKFold\n"
        "    most = min(n_folds, int(labels.sum()), int((~labels).sum()))\n"
        "    deal = StratifiedKFold(most, shuffle=True, random_state=seed)\n"
        "    for train, test in deal.split(acts, labels):",
        "or the lot of the folds",
    ),
    Mutant("find_mislabelled", "probe(acts[test])", "probe(acts[test]) - probe.bias", "expected"),
    Mutant("find_mislabelled", "acts[train], labels", "acts[train] > 0, labels", "acts must be a float tensor"),
    Mutant(
        "find_mislabelled",
        _LOSS,
        "(logits - logits.mean()).abs()",
        "add up to",
    ),
    # inject_label_noise
    Mutant("inject_label_noise", "labels.clone()", "labels", "changed its argument `labels` in place"),
    Mutant("inject_label_noise", "(labels == label)", "(noisy == label)", "before any flip"),
    Mutant("inject_label_noise", "(labels == label)", "(noisy == label)", "expected"),
    Mutant("inject_label_noise", "in (True, False)", "in (True,)", "Only True becomes False"),
    Mutant("inject_label_noise", "in (True, False)", "in (False,)", "Only False becomes True"),
    Mutant("inject_label_noise", "round(share * len(members))", "int(share * len(members))", "The count is cut off"),
    Mutant("inject_label_noise", "[: round(share", "[round(share", "expected"),
    Mutant("inject_label_noise", "[: round(share * len(members))]", "[round(share * len(members)) :]", "ones to keep"),
    Mutant("inject_label_noise", "round(share * len(members))", "round(share * len(labels))", "of both"),
    Mutant("inject_label_noise", "round(share * len(members))", "len(members)", "All labels are flipped"),
    Mutant("inject_label_noise", "= not label", "= label", "Nothing is flipped"),
    Mutant("inject_label_noise", "members[drawn]", "drawn", "expected"),
    Mutant(
        "inject_label_noise",
        _DRAWN,
        "torch.rand(len(members), generator=generator) < share",
        "a count, not a chance",
    ),
    Mutant(
        "inject_label_noise",
        "= not label",
        "= torch.rand(len(drawn), generator=generator) < 0.5",
        "often stay as they were",
    ),
    Mutant(
        "inject_label_noise",
        _DRAWN,
        "torch.randint(len(members), (round(share * len(members)),), generator=generator)",
        "drawn without replacement",
    ),
    Mutant(
        "inject_label_noise",
        "    for label in (True, False):\n        " + _MEMBERS + "\n        drawn = " + _DRAWN + "\n"
        "        noisy[members[drawn]] = not label\n",
        "    drawn = torch.randperm(len(labels), generator=generator)[: round(share * len(labels))]\n"
        "    noisy[drawn] = ~noisy[drawn]\n",
        "not the same share of both classes",
    ),
    Mutant(
        "inject_label_noise",
        "    for label in (True, False):\n        " + _MEMBERS + "\n        drawn = " + _DRAWN + "\n"
        "        noisy[members[drawn]] = not label\n",
        "    drawn = torch.randperm(len(labels), generator=generator)[: round(share * len(labels))]\n"
        "    noisy[drawn] = labels[drawn.roll(1)]\n",
        "often stay as they were",
    ),
    Mutant("inject_label_noise", _OWN, "torch.Generator().manual_seed(0)", "does `seed` reach the generator?"),
    Mutant("inject_label_noise", "len(members), generator=generator", "len(members)", "the same seed flip other"),
    Mutant(
        "inject_label_noise",
        "torch.randperm(len(members), generator=generator)",
        "torch.arange(len(members))",
        "by lot",
    ),
    Mutant(
        "inject_label_noise",
        "torch.randperm(len(members), generator=generator)[",
        "torch.randperm(len(members) // 2, generator=generator)[",
        "from all its members",
    ),
    Mutant("inject_label_noise", "return noisy", "return labels ^ noisy", "expected"),
    Mutant("inject_label_noise", "return noisy", "return noisy.float()", "expected torch.bool"),
    Mutant("inject_label_noise", "round(share * len(members))", "max(1, round(share * len(members)))", "at share 0"),
    Mutant(
        "inject_label_noise",
        "        drawn =",
        "        if not len(members):\n            raise ValueError('a class is empty')\n        drawn =",
        "A class may be empty",
    ),
    Mutant("inject_label_noise", "round(share * len(members))", "round(share * len(members) / 2)", "expected"),
    # rank_latents
    Mutant("rank_latents", _STATES, "latents_first, latents_second", "differences of the mean latent"),
    Mutant("rank_latents", _STATES, "latents_first, latents_second", "it is on if it is above 0"),
    Mutant("rank_latents", _STATES, "(latents_first > 1).float(), (latents_second > 1).float()", "How strong"),
    Mutant("rank_latents", _STATES, "(latents_first >= 0).float(), (latents_second >= 0).float()", "latent > 0"),
    Mutant("rank_latents", _DIFFERENCE, "on_first.mean(dim=0) - on_second.mean(dim=0)", "The sign is kept"),
    Mutant("rank_latents", _DIFFERENCE, "on_first.mean(dim=0) - on_second.mean(dim=0)", "no pile is the main one"),
    Mutant("rank_latents", _DIFFERENCE, "on_second.mean(dim=0) - on_first.mean(dim=0)", "The sign is kept"),
    Mutant("rank_latents", _DIFFERENCE, "(on_first.sum(dim=0) - on_second.sum(dim=0)).abs()", "differences of counts"),
    Mutant("rank_latents", _DIFFERENCE, "(on_first.sum(dim=0) - on_second.sum(dim=0)).abs()", "do not count texts"),
    Mutant(
        "rank_latents",
        _DIFFERENCE,
        "(latents_first.sum(dim=0) - latents_second.sum(dim=0)).abs()",
        "These are sums of latents",
    ),
    Mutant(
        "rank_latents",
        _DIFFERENCE,
        "(latents_first.amax(dim=0) - latents_second.amax(dim=0)).abs()",
        "These are maxima",
    ),
    Mutant(
        "rank_latents",
        _DIFFERENCE,
        "(on_first.mean(dim=0) - on_second.mean(dim=0)).square() / " + _SHARE,
        "divided by how often",
    ),
    Mutant("rank_latents", _DIFFERENCE, _SHARE, "how often a latent is on at all"),
    Mutant("rank_latents", _DIFFERENCE, "(on_first - on_second).abs().mean(dim=0)", "The piles may differ in size"),
    Mutant("rank_latents", "descending=True, ", "", "The smallest difference comes first"),
    Mutant("rank_latents", "= -1  #", "= 2  #", "The rare ones come first"),
    Mutant("rank_latents", _RARE, "pass", "is min_share used?"),
    Mutant("rank_latents", "< min_share]", "<= min_share]", "at min_share itself are not rare"),
    Mutant("rank_latents", "< min_share]", "< 0.01]", "is min_share used?"),
    Mutant("rank_latents", _SHARE + " < min_share", "on_first.mean(dim=0) < min_share", "in all texts of both piles"),
    Mutant("rank_latents", _SHARE + " < min_share", "on_second.mean(dim=0) < min_share", "in all texts of both piles"),
    Mutant(
        "rank_latents",
        _SHARE + " < min_share",
        "(on_first.mean(dim=0) + on_second.mean(dim=0)) / 2 < min_share",
        "in all texts of both piles",
    ),
    Mutant(
        "rank_latents",
        _SHARE + " < min_share",
        "torch.maximum(on_first.mean(dim=0), on_second.mean(dim=0)) < min_share",
        "is min_share used?",
    ),
    Mutant("rank_latents", _SHARE + " < min_share", "difference < min_share", "expected"),
    Mutant("rank_latents", "= -1  #", "-= 1  #", "in the order of their indices"),
    Mutant("rank_latents", _RARE, "difference[" + _SHARE + " < min_share] = 0", "comes before the rare"),
    Mutant("rank_latents", "min_share: float = 0.01", "min_share: float = 0.1", "is not rare by the default"),
    Mutant(
        "rank_latents",
        "return difference.argsort(descending=True, stable=True)",
        "return difference.argsort(descending=True, stable=True).argsort()",
        "This is the rank of each latent",
    ),
    Mutant(
        "rank_latents",
        "return difference.argsort(descending=True, stable=True)",
        "return difference",
        "dtype torch.float32",
    ),
    Mutant(
        "rank_latents",
        "return difference.argsort(descending=True, stable=True)",
        "return difference.argsort(descending=True, stable=True)[: int((difference >= 0).sum())]",
        "has shape",
    ),
    Mutant(
        "rank_latents",
        "return difference.argsort(descending=True, stable=True)",
        "return difference.argsort(descending=True, stable=True).clamp(max=2)",
        "are not in the ranking",
    ),
    Mutant(
        "rank_latents",
        "(latents_first > 0).float(), (latents_second > 0).float()",
        "latents_first.clamp(max=1), latents_second.clamp(max=1)",
        "its sign",
    ),
]


ALTERNATIVES = [
    # select_latents
    Alternative(
        "select_latents",
        """
def select_latents(latents, labels, k):
    n_true = int(labels.sum())
    if n_true == 0 or n_true == len(labels):
        raise ValueError(f"{n_true} of {len(labels)} labels are True")
    share = labels.float() / n_true - (~labels).float() / (len(labels) - n_true)  # [example]
    return torch.argsort((share @ latents).square(), descending=True)[:k]
""",
    ),
    Alternative(
        "select_latents",
        """
def select_latents(latents, labels, k):
    rows = list(zip(latents.tolist(), labels.tolist(), strict=True))
    means = []
    for wanted in (True, False):
        own = [row for row, label in rows if label == wanted]
        if not own:
            raise ValueError(f"no {wanted} in labels")
        means.append([sum(column) / len(own) for column in zip(*own, strict=True)])
    ranked = sorted(range(latents.shape[1]), key=lambda i: -abs(means[0][i] - means[1][i]))
    return torch.tensor(ranked[:k])
""",
    ),
    # fit_k_sparse_probe
    Alternative(
        "fit_k_sparse_probe",
        """
def fit_k_sparse_probe(latents, labels, chosen, l2=0.1):
    # what never varies gets weight 0
    mask = torch.zeros(latents.shape[1])
    mask[chosen] = 1
    return fit_logistic_regression_probe(latents * mask, labels, l2=l2)
""",
    ),
    Alternative(
        "fit_k_sparse_probe",
        """
def fit_k_sparse_probe(latents, labels, chosen, l2=0.1):
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    x = latents[:, chosen].double().numpy()
    mean, std = x.mean(axis=0), x.std(axis=0)
    std[std == 0] = np.inf
    fit = LogisticRegression(C=1 / (len(x) * l2), tol=1e-8, max_iter=1000).fit((x - mean) / std, labels.numpy())
    weight = torch.zeros(latents.shape[1])
    for place, value in zip(chosen.tolist(), (fit.coef_[0] / std).tolist(), strict=True):
        weight[place] = value
    return LinearProbe(weight=weight, bias=torch.tensor(float(fit.intercept_[0] - fit.coef_[0] / std @ mean)))
""",
    ),
    Alternative(
        "fit_k_sparse_probe",
        """
def fit_k_sparse_probe(latents, labels, chosen, l2=0.1):
    one_hot = torch.nn.functional.one_hot(chosen, latents.shape[1]).float()  # [k latent]
    small = fit_logistic_regression_probe(latents @ one_hot.T, labels, l2=l2)
    return LinearProbe(small.weight @ one_hot, small.bias)
""",
    ),
    # select_by_validation
    Alternative(
        "select_by_validation",
        """
def select_by_validation(validation, test):
    import math

    winners, scores = [], []
    for number, (seen, unseen) in enumerate(zip(validation.tolist(), test.tolist(), strict=True)):
        able = [method for method, score in enumerate(seen) if not math.isnan(score)]
        if not able:
            raise ValueError(f"task {number} has no method")
        winners.append(max(able, key=lambda method: seen[method]))  # max keeps the first of equal ones
        scores.append(unseen[winners[-1]])
    return torch.tensor(winners), torch.tensor(scores)
""",
    ),
    Alternative(
        "select_by_validation",
        """
def select_by_validation(validation, test):
    import numpy as np

    try:
        winner = torch.from_numpy(np.nanargmax(validation.numpy(), axis=1))  # raises ValueError by itself
    except ValueError:
        raise ValueError("a task has no method") from None
    return winner, test.gather(1, winner[:, None]).squeeze(1)
""",
    ),
    # quiver_gain
    Alternative(
        "quiver_gain",
        """
def quiver_gain(validation, test, is_sae):
    # the chapter's own function, twice
    if len(set(is_sae.tolist())) < 2:
        raise ValueError(f"is_sae holds one kind only: {is_sae.tolist()}")
    dense = ~is_sae
    return select_by_validation(validation, test)[1] - select_by_validation(validation[:, dense], test[:, dense])[1]
""",
    ),
    Alternative(
        "quiver_gain",
        """
def quiver_gain(validation, test, is_sae):
    if not 0 < is_sae.sum() < len(is_sae):
        raise ValueError("is_sae must have both")
    scores = validation.nan_to_num(nan=-torch.inf)
    sae, dense = scores[:, is_sae].max(dim=1), scores[:, ~is_sae].max(dim=1)
    gain = test[:, is_sae].gather(1, sae.indices[:, None]) - test[:, ~is_sae].gather(1, dense.indices[:, None])
    return torch.where(sae.values > dense.values, gain[:, 0], 0.0)
""",
    ),
    # stratified_interval
    Alternative(
        "stratified_interval",
        """
def stratified_interval(gains, model_of, n_resamples=1000, seed=0):
    import numpy as np

    rng = np.random.default_rng(seed)
    values, names = gains.double().numpy(), model_of.numpy()
    strata = [values[names == name] for name in np.unique(names)]

    def statistic(parts):
        return float(np.mean([part.mean() for part in parts]))

    drawn = [statistic([rng.choice(part, len(part)) for part in strata]) for _ in range(n_resamples)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return statistic(strata), float(low), float(high)
""",
    ),
    Alternative(
        "stratified_interval",
        """
def stratified_interval(gains, model_of, n_resamples=1000, seed=0):
    # every task has the weight 1 / (models * tasks of its model); a resample says how often each one was drawn
    generator = torch.Generator().manual_seed(seed)
    _, stratum, size = model_of.unique(return_inverse=True, return_counts=True)
    weight = 1 / (len(size) * size[stratum].float())  # [task]
    same = (stratum[:, None] == stratum).float()  # [task task]
    drawn = torch.multinomial(same, n_resamples, replacement=True, generator=generator)  # [task resample]
    statistics = (weight[:, None] * gains[drawn]).sum(dim=0).sort().values
    ends = statistics.quantile(torch.tensor([0.025, 0.975]))
    return (weight * gains).sum(), ends[0], ends[1]
""",
    ),
    # sae_edit
    Alternative(
        "sae_edit",
        """
# exercise: sae_edit
def sae_edit(resid, latents, W_dec, off, on, values):
    # one latent after the other
    new = {latent: 0.0 for latent in off.tolist()} | dict(zip(on.tolist(), values.tolist(), strict=True))
    result = resid
    for latent, value in new.items():
        result = result + (value - latents[:, latent])[:, None] * W_dec[latent]
    return result
""",
    ),
    Alternative(
        "sae_edit",
        """
# exercise: sae_edit
def sae_edit(resid, latents, W_dec, off, on, values):
    # error plus edited reconstruction
    error = resid - torch.einsum("bl,ld->bd", latents, W_dec)
    keep, target = torch.ones(latents.shape[1]), torch.zeros(latents.shape[1])
    keep[off], keep[on], target[on] = 0.0, 0.0, values
    return error + torch.einsum("bl,ld->bd", latents * keep + target, W_dec)
""",
    ),
    # output_effects
    Alternative(
        "output_effects",
        """
# exercise: output_effects
def output_effects(logits_clean, logits_steered, wanted, unwanted):
    for name, marked in (("wanted", wanted), ("unwanted", unwanted)):
        if marked.sum() == 0:
            raise ValueError(f"{name} marks nothing")
    sign = wanted.float() - unwanted.float()
    p = torch.cat([logits_clean[None], logits_steered]).log_softmax(dim=1).exp()
    return p[1:] @ sign - p[0] @ sign
""",
    ),
    Alternative(
        "output_effects",
        """
# exercise: output_effects
def output_effects(logits_clean, logits_steered, wanted, unwanted):
    if not (bool(wanted.any()) and bool(unwanted.any())):
        raise ValueError(f"wanted marks {int(wanted.sum())} tokens and unwanted {int(unwanted.sum())}")

    def share(logits, marked):
        return float((logits[marked].logsumexp(dim=0) - logits.logsumexp(dim=0)).exp())

    base = share(logits_clean, wanted) - share(logits_clean, unwanted)
    return torch.tensor([share(row, wanted) - share(row, unwanted) - base for row in logits_steered])
""",
    ),
    # find_mislabelled
    Alternative(
        "find_mislabelled",
        """
# exercise: find_mislabelled
def find_mislabelled(acts, labels, n_folds=5, seed=0, l2=0.1):
    # folds of its own, and the loss by its formula
    n = len(labels)
    lot = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    losses = torch.empty(n)
    for held_out in lot.tensor_split(n_folds):
        rest = torch.ones(n, dtype=torch.bool)
        rest[held_out] = False
        probe = fit_logistic_regression_probe(acts[rest], labels[rest], l2=l2)
        for i in held_out.tolist():
            logit = acts[i] @ probe.weight + probe.bias
            losses[i] = torch.nn.functional.softplus(-logit if labels[i] else logit)
    return losses
""",
    ),
    Alternative(
        "find_mislabelled",
        """
# exercise: find_mislabelled
def find_mislabelled(acts, labels, n_folds=5, seed=0, l2=0.1):
    from sklearn.model_selection import KFold

    folds = KFold(n_folds, shuffle=True, random_state=seed).split(acts)
    logits = torch.zeros(len(labels))
    for train, test in folds:
        train, test = torch.tensor(train), torch.tensor(test)
        logits[test] = fit_logistic_regression_probe(acts[train], labels[train], l2=l2)(acts[test])
    return -torch.where(labels, logits, -logits).sigmoid().log()
""",
    ),
    # inject_label_noise
    Alternative(
        "inject_label_noise",
        """
# exercise: inject_label_noise
def inject_label_noise(labels, share, seed=0):
    # the smallest random numbers of each class
    draws = torch.rand(len(labels), generator=torch.Generator().manual_seed(seed))
    flip = torch.zeros_like(labels)
    for members in (labels, ~labels):
        n = round(share * int(members.sum()))
        flip[draws.masked_fill(~members, 2.0).argsort()[:n]] = True
    return labels ^ flip
""",
    ),
    Alternative(
        "inject_label_noise",
        """
# exercise: inject_label_noise
def inject_label_noise(labels, share, seed=0):
    import random

    lot, noisy = random.Random(seed), labels.tolist()
    for wanted in (False, True):
        places = [i for i, label in enumerate(labels.tolist()) if label == wanted]
        for i in lot.sample(places, round(share * len(places))):
            noisy[i] = not wanted
    return torch.tensor(noisy)
""",
    ),
    # rank_latents
    Alternative(
        "rank_latents",
        """
# exercise: rank_latents
def rank_latents(latents_first, latents_second, min_share=0.01):
    n_first, n_second = len(latents_first), len(latents_second)
    often, rare = [], []
    for i in range(latents_first.shape[1]):
        first, second = int((latents_first[:, i] > 0).sum()), int((latents_second[:, i] > 0).sum())
        if (first + second) / (n_first + n_second) < min_share:
            rare.append(i)
        else:
            often.append((-abs(first / n_first - second / n_second), i))
    return torch.tensor([i for _, i in sorted(often)] + rare)
""",
    ),
    Alternative(
        "rank_latents",
        """
# exercise: rank_latents
def rank_latents(latents_first, latents_second, min_share=0.01):
    texts = torch.cat([latents_first, latents_second]) > 0
    weight = torch.cat([torch.full((len(pile),), sign / len(pile), dtype=torch.float64)
                        for pile, sign in ((latents_first, 1), (latents_second, -1))])
    difference = (weight @ texts.double()).abs()
    rare = texts.double().mean(dim=0) < min_share
    ranked = difference.argsort(descending=True)
    return torch.cat([ranked[~rare[ranked]], rare.nonzero().squeeze(1)])
""",
    ),
]
