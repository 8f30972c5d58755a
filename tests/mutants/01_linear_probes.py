"""Chapter 01: planted wrong answers with the words their feedback must hold, and right answers by other roads."""

from utils.course.mutants import Alternative, Mutant

MUTANTS = [
    # cache_resid_post
    Mutant("cache_resid_post", "hook_resid_post", "hook_resid_pre", "the stream before block"),
    Mutant("cache_resid_post", "blocks.{layer}.hook_resid_post", "blocks.{layer}.hook_mlp_out", "Is it another hook"),
    Mutant("cache_resid_post", "blocks.{layer}.hook_resid_post", "blocks.{layer}.hook_attn_out", "Is it another hook"),
    Mutant(
        "cache_resid_post",
        "blocks.0.hook_resid_pre",
        "blocks.0.hook_resid_post",
        '"embed" returned the stream after block 0',
    ),
    Mutant("cache_resid_post", "blocks.0.hook_resid_pre", "embed.hook_out", "hold less"),
    Mutant(
        "cache_resid_post",
        "for layer in layers]",
        "for layer in sorted(layers, key=str)[::-1]]",
        "is not what you return for layer",
    ),
    Mutant(
        "cache_resid_post",
        "names = [",
        "layers = sorted(layers, key=lambda layer: -1 if layer == 'embed' else layer)\n    names = [",
        "the order of the forward pass",
    ),
    Mutant("cache_resid_post", "attention_mask=attention_mask, ", "", "Does `attention_mask` reach the model?"),
    Mutant(
        "cache_resid_post", "attention_mask=attention_mask", "attention_mask=torch.ones_like(tokens)", "attention_mask"
    ),
    Mutant("cache_resid_post", "for name in names])", "for name in names], dim=1)", "The axes are in another order"),
    Mutant(
        "cache_resid_post",
        "torch.stack([cache[name] for name in names])",
        "[cache[name] for name in names]",
        "a list of",
    ),
    Mutant("cache_resid_post", "cache[name] for name", "cache[name].half() for name", "dtype"),
    Mutant("cache_resid_post", "cache[name] for name", "torch.randn_like(cache[name]) for name", "differs by up to"),
    Mutant(
        "cache_resid_post",
        "return torch.stack([cache[name] for name in names])",
        "print(cache)",
        "printed something but returned None",
    ),
    Mutant("cache_resid_post", "layer in layers) + 1", "layer in layers)", "raised"),
    Mutant(
        "cache_resid_post",
        "    names = [",
        "    tokens[attention_mask == 0] = 7\n    names = [",
        "changed its argument `tokens` in place",
    ),
    Mutant(
        "cache_resid_post",
        "    names = [",
        "    model.original_model.bert.embeddings.word_embeddings.weight.data += 1\n    names = [",
        "changed the weights of `model` in place",
    ),
    Mutant(
        "cache_resid_post",
        "    names = [",
        "    model.add_hook('blocks.0.hook_resid_post', lambda x, hook: x)\n    names = [",
        "left a hook on the model",
    ),
    Mutant("cache_resid_post", "+ 1\n", "+ OFFSET\n", "uses `OFFSET`, which is not defined"),
    Mutant("cache_resid_post", "stop_at_layer=stop", "stop_at_layer=min(stop, 3)", "raised"),
    Mutant("cache_resid_post", "stop_at_layer=stop", "stop_at_layer=stop - 1", "the first block that does not run"),
    # pool_mean
    Mutant("pool_mean", "is_piece[:, 0] = False", "pass", "averaged over [CLS] too"),
    Mutant("pool_mean", "is_piece[torch.arange(len(last)), last] = False", "pass", "averaged over [SEP] too"),
    Mutant(
        "pool_mean",
        "    total =",
        "    is_piece = attention_mask.bool()\n    total =",
        "averaged over [CLS] and [SEP] too",
    ),
    Mutant(
        "pool_mean",
        "    total =",
        "    is_piece = torch.ones_like(is_piece)\n    total =",
        "averaged over all positions",
    ),
    Mutant(
        "pool_mean",
        "attention_mask.sum(dim=1) - 1",
        "torch.full((len(acts[0]),), acts.shape[2] - 1)",
        "averaged over [SEP]",
    ),
    Mutant(
        "pool_mean",
        "is_piece[torch.arange(len(last)), last] = False",
        "is_piece[:, last] = False",
        "other texts have their [SEP]",
    ),
    Mutant("pool_mean", "attention_mask.sum(dim=1) - 1", "attention_mask.sum(dim=1) - 2", "and [SEP] is not"),
    Mutant(
        "pool_mean",
        '"lbpd,bp->lbd", acts, is_piece.to(acts.dtype)',
        '"lbpd->lbd", acts[:, :, 1:-1]',
        "the sum runs over",
    ),
    Mutant(
        "pool_mean",
        "    total =",
        "    is_piece[torch.arange(len(last)), last - 1] = False\n    total =",
        "left out the last word piece too",
    ),
    Mutant("pool_mean", " / is_piece.sum(dim=1)[:, None]", "", "this is the sum"),
    Mutant("pool_mean", "is_piece.sum(dim=1)[:, None]", "attention_mask.sum(dim=1)[:, None]", "divided by"),
    Mutant("pool_mean", "is_piece.sum(dim=1)[:, None]", "acts.shape[2]", "divided by 8"),
    Mutant("pool_mean", "return total / is_piece.sum(dim=1)[:, None]", "return acts[:, :, 0]", "[CLS] alone"),
    Mutant(
        "pool_mean", "return total / is_piece.sum(dim=1)[:, None]", "return acts[:, :, 1:-1].mean(dim=2)", "position"
    ),
    Mutant(
        "pool_mean", "attention_mask.bool().clone()", "attention_mask", "changed its argument `attention_mask` in place"
    ),
    Mutant("pool_mean", "return total / is_piece.sum(dim=1)[:, None]", "return acts.mean(dim=1)", "shape"),
    Mutant(
        "pool_mean",
        "return total / is_piece.sum(dim=1)[:, None]",
        "return (total / is_piece.sum(dim=1)[:, None]).numpy()",
        "numpy",
    ),
    # fit_mass_mean_probe
    Mutant("fit_mass_mean_probe", "weight = mu_pos - mu_neg", "weight = mu_neg - mu_pos", "points the wrong way"),
    Mutant("fit_mass_mean_probe", "weight = mu_pos - mu_neg", "weight = mu_pos", "close to a mean itself"),
    Mutant(
        "fit_mass_mean_probe",
        "acts[labels].mean(dim=0), acts[~labels].mean(dim=0)",
        "acts[labels].sum(dim=0) / len(acts), acts[~labels].sum(dim=0) / len(acts)",
        "the difference of the sums of the classes",
    ),
    Mutant(
        "fit_mass_mean_probe",
        "weight = mu_pos - mu_neg",
        "weight = torch.nn.functional.normalize(mu_pos - mu_neg, dim=0)",
        "do not normalise it",
    ),
    Mutant(
        "fit_mass_mean_probe", "-weight @ (mu_pos + mu_neg) / 2", "torch.tensor(0.0)", "the threshold at the origin"
    ),
    Mutant(
        "fit_mass_mean_probe",
        "-weight @ (mu_pos + mu_neg) / 2",
        "weight @ (mu_pos + mu_neg) / 2",
        "check the sign of the bias",
    ),
    Mutant("fit_mass_mean_probe", "(mu_pos + mu_neg) / 2", "(mu_pos + mu_neg)", "its factor 1/2"),
    Mutant("fit_mass_mean_probe", "(mu_pos + mu_neg) / 2", "acts.mean(dim=0)", "nearer to the larger class"),
    Mutant("fit_mass_mean_probe", "(mu_pos + mu_neg) / 2", "mu_pos", "at one of the two means"),
    Mutant("fit_mass_mean_probe", "acts[~labels].mean(dim=0)", "acts.mean(dim=0)", "length"),
    Mutant("fit_mass_mean_probe", "acts[labels].mean(dim=0)", "acts[labels].mean()", "cosine of your weight"),
    Mutant(
        "fit_mass_mean_probe",
        "weight = mu_pos - mu_neg",
        "weight = torch.linalg.svd(acts - acts.mean(dim=0), full_matrices=False).Vh[0] * (mu_pos - mu_neg).norm()",
        "the direction of largest variance",
    ),
    Mutant(
        "fit_mass_mean_probe",
        "weight = mu_pos - mu_neg",
        "weight = (mu_pos - mu_neg).abs()",
        "the same probe for swapped labels",
    ),
    Mutant(
        "fit_mass_mean_probe",
        "    mu_pos, mu_neg",
        "    labels = acts @ acts.mean(dim=0) > acts.mean(dim=0) @ acts.mean(dim=0)\n    mu_pos, mu_neg",
        "the labels do not enter it",
    ),
    Mutant("fit_mass_mean_probe", "return LinearProbe(", "return dict(", "a dict"),
    Mutant(
        "fit_mass_mean_probe", "if labels.all() or not labels.any():", "if False:", "says what is wrong with the labels"
    ),
    Mutant(
        "fit_mass_mean_probe",
        "if labels.all() or not labels.any():",
        "if not labels.any():",
        "says what is wrong with the labels",
    ),
    Mutant("fit_mass_mean_probe", "raise ValueError(", "raise TypeError(", "expected a ValueError"),
    Mutant(
        "fit_mass_mean_probe", "bias=-weight @ (mu_pos + mu_neg) / 2", "bias=0.0", "raised ValueError: bias must be"
    ),
    # fit_ridge_probe
    Mutant("fit_ridge_probe", "acts - mean_acts, targets - mean_targets", "acts, targets", "centred before the fit"),
    Mutant("fit_ridge_probe", "acts - mean_acts, ", "acts, ", "centred before the fit"),
    Mutant("fit_ridge_probe", "mean_targets - weight @ mean_acts", "torch.zeros(targets.shape[1])", "The bias is 0"),
    Mutant("fit_ridge_probe", "mean_targets - weight @ mean_acts", "mean_targets", "predictions are off"),
    Mutant(
        "fit_ridge_probe",
        "mean_targets - weight @ mean_acts",
        "mean_targets + weight @ mean_acts",
        "predictions are off",
    ),
    Mutant(
        "fit_ridge_probe", " + l2 * torch.eye(acts.shape[1])", " + 1e-4 * torch.eye(acts.shape[1])", "l2 has no effect"
    ),
    Mutant("fit_ridge_probe", "l2 * torch.eye", "len(acts) * l2 * torch.eye", "multiplied by the number of examples"),
    Mutant("fit_ridge_probe", "l2 * torch.eye", "l2 / 2 * torch.eye", "half of l2 arrived"),
    Mutant("fit_ridge_probe", "l2 * torch.eye", "2 * l2 * torch.eye", "twice l2 arrived"),
    Mutant("fit_ridge_probe", "l2 * torch.eye", "l2**2 * torch.eye", "l2 is squared"),
    Mutant("fit_ridge_probe", "acts_c.T @ acts_c +", "acts_c.T @ acts_c / len(acts) +", "weight is"),
    Mutant("fit_ridge_probe", "l2 * torch.eye(acts.shape[1])", "l2", "Is l2 on the diagonal only?"),
    Mutant("fit_ridge_probe", "acts_c.T @ targets_c).T", "acts_c.T @ targets_c)", "needs .T"),
    Mutant(
        "fit_ridge_probe",
        "acts_c.T @ targets_c).T",
        "acts_c.T @ targets_c.mean(dim=1, keepdim=True)).T.expand(targets.shape[1], -1)",
        "is off by up to",
    ),
    Mutant(
        "fit_ridge_probe",
        "torch.linalg.solve(gram, acts_c.T @ targets_c).T",
        "torch.linalg.lstsq(acts_c, targets_c).solution.T",
        "l2 has no effect",
    ),
    Mutant("fit_ridge_probe", "    gram =", "    acts_c = acts_c / acts_c.std(dim=0)\n    gram =", "is off by up to"),
    Mutant(
        "fit_ridge_probe",
        "    mean_acts, mean_targets",
        "    acts = torch.cat([acts, torch.ones(len(acts), 1)], dim=1)\n    weight = torch.linalg.solve(acts.T @ acts"
        " + l2 * torch.eye(acts.shape[1]), acts.T @ targets).T\n    return LinearProbe(weight=weight[:, :-1],"
        " bias=weight[:, -1])\n    mean_acts, mean_targets",
        "the penalty must not touch the bias",
    ),
    Mutant(
        "fit_ridge_probe",
        "return LinearProbe(weight=weight,",
        "weight = weight * (1 + 0.1 * (targets.shape[1] > 1))\n    return LinearProbe(weight=weight,",
        "is off by up to",
    ),
    # score_by_layer
    Mutant("score_by_layer", "acts_layer[train], targets[train]", "acts_layer, targets", "The probe has seen"),
    Mutant("score_by_layer", "acts_layer[train], targets[train]", "acts_layer[test], targets[test]", "has seen"),
    Mutant(
        "score_by_layer",
        "predicted = probe(acts_layer[test])[:, 0] > 0.5  # [test]\n        scores.append((predicted == labels[test])",
        "predicted = probe(acts_layer[train])[:, 0] > 0.5\n        scores.append((predicted == labels[train])",
        "The probe has seen",
    ),
    Mutant("score_by_layer", "> 0.5", "> 0", "is the threshold at 0.5"),
    Mutant(
        "score_by_layer",
        "(predicted == labels[test]).float().mean()",
        "(1 - (probe(acts_layer[test])[:, 0] - labels[test].float()).square().mean())",
        "no whole number",
    ),
    Mutant("score_by_layer", "[:, 0] > 0.5", " > 0.5", "labels of the same examples"),
    Mutant(
        "score_by_layer",
        "fit_ridge_probe(acts_layer[train]",
        "fit_ridge_probe(acts[0][train]",
        "is the threshold at 0.5",
    ),
    Mutant(
        "score_by_layer",
        "(predicted == labels[test])",
        "(predicted == labels[: len(test)])",
        "labels of the same examples",
    ),
    Mutant("score_by_layer", "targets[train], l2)", "targets[train], 1.0)", "does l2 reach fit_ridge_probe?"),
    Mutant("score_by_layer", "for acts_layer in acts:", "for acts_layer in acts.sort(dim=0).values:", "expected"),
    Mutant(
        "score_by_layer",
        "return torch.stack(scores)",
        "return torch.stack(scores).sort().values",
        "fit a probe of its own for each layer",
    ),
    Mutant("score_by_layer", "return torch.stack(scores)", "return torch.stack(scores).mean()", "axis is missing"),
    Mutant("score_by_layer", "return torch.stack(scores)", "return [float(score) for score in scores]", "a list of 3"),
    Mutant("score_by_layer", ".float().mean())", ".float().sum())", "accuracies lie between 0 and 1"),
    Mutant("score_by_layer", "labels.float()[:, None]", "labels.float()", "fit_ridge_probe wants targets [train 1]"),
    # choose_layer
    Mutant("choose_layer", "return layers[best_row], probe", "return best_row, probe", "the number of a row"),
    Mutant(
        "choose_layer", "acts[best_row][train]", "acts[layers[best_row]][train]", "Rows of `acts` are counted from 0"
    ),
    Mutant("choose_layer", "layers[best_row], probe", "layers[best_row - 1], probe", "in the same order"),
    Mutant("choose_layer", "layers[best_row], probe", "('embed', 0, 1)[best_row], probe", "in the same order"),
    Mutant("choose_layer", "layers[best_row], probe", "str(layers[best_row]), probe", "Take it from `layers`"),
    Mutant("choose_layer", "labels, train, validation, l2)", "labels, train, train, l2)", "score with `validation`"),
    Mutant("choose_layer", "scores.argmax()", "scores.argmin()", "choose the highest score"),
    Mutant("choose_layer", "acts[best_row][train]", "acts[best_row - 1][train]", "fit it to the row that you name"),
    Mutant(
        "choose_layer",
        "fit_ridge_probe(acts[best_row][train], labels[train].float()[:, None], l2)",
        "fit_ridge_probe(acts[best_row], labels.float()[:, None], l2)",
        "fit it to `train` alone",
    ),
    Mutant(
        "choose_layer",
        "fit_ridge_probe(acts[best_row][train], labels[train].float()[:, None], l2)",
        "fit_ridge_probe(acts[best_row][validation], labels[validation].float()[:, None], l2)",
        "fit it to `train` alone",
    ),
    Mutant("choose_layer", "[:, None], l2)", "[:, None], 1.0)", "does l2 reach the probe?"),
    Mutant("choose_layer", "return layers[best_row], probe", "return layers[best_row]", "expected two things"),
    Mutant(
        "choose_layer", "    scores = score", "    return 'layer 2'\n    scores = score", "a str, expected two things"
    ),
    Mutant("choose_layer", "return layers[best_row], probe", "return probe, layers[best_row]", "one of the names"),
    # roc_auc
    Mutant("roc_auc", " + (difference == 0).float().mean() / 2", "", "count as half a pair"),
    Mutant("roc_auc", "difference > 0", "difference >= 0", "count as half a pair"),
    Mutant(
        "roc_auc", "(difference == 0).float().mean() / 2", "(difference == 0).float().mean()", "count as half a pair"
    ),
    Mutant("roc_auc", "difference > 0", "difference < 0", "It is upside down"),
    Mutant(
        "roc_auc",
        "return float((difference > 0).float().mean() + (difference == 0).float().mean() / 2)",
        "return float(((scores > 0) == labels).float().mean())",
        "in the right order",
    ),
    Mutant(
        "roc_auc",
        "return float((difference > 0).float().mean() + (difference == 0).float().mean() / 2)",
        "return float(torch.sigmoid(difference).mean())",
        "in the right order",
    ),
    Mutant(
        "roc_auc",
        "difference = scores[labels][:, None]",
        "scores = torch.where(scores > scores.median(), 1.0, 0.0)\n    difference = scores[labels][:, None]",
        "in the right order",
    ),
    Mutant(
        "roc_auc",
        "difference = scores[labels][:, None]",
        "scores = scores.argsort().argsort().float()\n    difference = scores[labels][:, None]",
        "count as half a pair",
    ),
    Mutant(
        "roc_auc",
        "return float((difference > 0).float().mean() + (difference == 0).float().mean() / 2)",
        "order = scores.sigmoid()\n    return float(order[labels].mean() - order[~labels].mean()) / 2 + 0.5",
        "in the right order",
    ),
    Mutant(
        "roc_auc",
        "return float((difference > 0).float().mean() + (difference == 0).float().mean() / 2)",
        "return float((difference > 0).float().mean() + (difference.abs() < 0.05).float().mean() / 2)",
        "no threshold is involved",
    ),
    Mutant(
        "roc_auc",
        "return float((difference > 0).float().mean()",
        "return float((difference > 0).float().sum()",
        "between 0 and 1",
    ),
    Mutant(
        "roc_auc", "return float((difference > 0).float().mean()", "return str((difference > 0).float().mean()", "a str"
    ),
    Mutant("roc_auc", "if labels.all() or not labels.any():", "if False:", "there are no pairs"),
    # logistic_regression_loss
    Mutant("logistic_regression_loss", "losses.mean()", "losses.sum()", "This is the sum over the examples"),
    Mutant(
        "logistic_regression_loss",
        "torch.where(labels, -logits, logits)",
        "torch.where(labels, logits, -logits)",
        "The signs are swapped",
    ),
    Mutant(
        "logistic_regression_loss",
        "torch.where(labels, -logits, logits)",
        "-logits",
        "Every example was taken for True",
    ),
    Mutant(
        "logistic_regression_loss",
        "losses.mean()",
        "losses[labels].sum() / len(labels)",
        "Only the examples that are True count",
    ),
    Mutant("logistic_regression_loss", "acts @ weight + bias", "acts @ weight", "The bias is missing in the logits"),
    Mutant(
        "logistic_regression_loss",
        "acts @ weight + bias",
        "acts @ weight[:, None] + bias",
        "are your logits [batch 1]?",
    ),
    Mutant("logistic_regression_loss", "losses.mean()", "losses.mean() / 0.6931", "The logarithm is to base 2"),
    Mutant(
        "logistic_regression_loss",
        "torch.nn.functional.softplus(torch.where(labels, -logits, logits))",
        "(torch.sigmoid(logits) - labels.float()) ** 2",
        "the squared error of the probabilities",
    ),
    Mutant("logistic_regression_loss", "l2 / 2 *", "l2 *", "The factor 1/2 is missing"),
    Mutant("logistic_regression_loss", " + l2 / 2 * weight.square().sum()", "", "The penalty is missing"),
    Mutant("logistic_regression_loss", "+ l2 / 2", "- l2 / 2", "it is a price, add it"),
    Mutant(
        "logistic_regression_loss",
        "weight.square().sum()",
        "(weight.square().sum() + bias**2)",
        "The bias is in the penalty too",
    ),
    Mutant("logistic_regression_loss", "weight.square().sum()", "weight.norm()", "take its square"),
    Mutant(
        "logistic_regression_loss", "weight.square().sum()", "weight.abs().sum()", "the sizes of the weights added up"
    ),
    Mutant(
        "logistic_regression_loss", "weight.square().sum()", "weight.square().mean()", "the mean of the squared weights"
    ),
    Mutant(
        "logistic_regression_loss",
        "weight.square().sum()",
        "weight.square().sum() / len(acts)",
        "divided by the number of examples",
    ),
    Mutant(
        "logistic_regression_loss",
        "torch.nn.functional.softplus(torch.where(labels, -logits, logits))",
        "-torch.where(labels, torch.sigmoid(logits), 1 - torch.sigmoid(logits)).log()",
        "exp(200) is infinite in float32",
    ),
    Mutant(
        "logistic_regression_loss",
        "torch.nn.functional.softplus(torch.where(labels, -logits, logits))",
        "(1 + torch.where(labels, -logits, logits).exp()).log()",
        "exp(200) is infinite in float32",
    ),
    Mutant(
        "logistic_regression_loss",
        "torch.nn.functional.softplus(torch.where(labels, -logits, logits))",
        "-(torch.sigmoid(torch.where(labels, logits, -logits)) + 1e-8).log()",
        "or a small number added to it",
    ),
    Mutant(
        "logistic_regression_loss",
        "weight.square().sum()",
        "weight.detach().square().sum()",
        "The penalty has no part in it",
    ),
    Mutant(
        "logistic_regression_loss",
        "return losses.mean()",
        "return losses.mean().detach()",
        "The log-loss has no part in it",
    ),
    Mutant(
        "logistic_regression_loss",
        "return losses.mean() + l2 / 2 * weight.square().sum()",
        "return (losses.mean() + l2 / 2 * weight.square().sum()).detach().item()",
        "PyTorch has to differentiate it",
    ),
    Mutant(
        "logistic_regression_loss",
        "    logits =",
        "    weight, bias = weight.detach(), bias.detach()\n    logits =",
        "must return a scalar tensor with a gradient",
    ),
    Mutant("logistic_regression_loss", "losses.mean() +", "losses +", "shape"),
    Mutant(
        "logistic_regression_loss", "acts @ weight + bias", "weight @ acts + bias", "`acts @ weight + bias` is [batch]"
    ),
    # fit_logistic_regression_probe
    Mutant(
        "fit_logistic_regression_probe",
        "weight = weight_z.detach() / std",
        "weight = weight_z.detach()",
        "in standardised units: divide it",
    ),
    Mutant(
        "fit_logistic_regression_probe",
        "weight = weight_z.detach() / std",
        "weight = weight_z.detach() * std",
        "NaN or infinite",
    ),
    Mutant(
        "fit_logistic_regression_probe",
        "bias_z.detach() - weight @ mean",
        "bias_z.detach()",
        "The bias takes up the mean",
    ),
    Mutant(
        "fit_logistic_regression_probe",
        "bias_z.detach() - weight @ mean",
        "bias_z.detach() + weight @ mean",
        "the logit is 0 at",
    ),
    Mutant(
        "fit_logistic_regression_probe",
        "bias_z.detach() - weight @ mean",
        "-weight @ mean",
        "Does the bias take up the means",
    ),
    Mutant(
        "fit_logistic_regression_probe",
        "z = (acts - mean) / std",
        "std = torch.ones_like(std)\n    z = (acts - mean) / std",
        "acts were not standardised",
    ),
    Mutant(
        "fit_logistic_regression_probe",
        "z = (acts - mean) / std",
        "std = torch.ones_like(std)\n    z = (acts - mean) / std",
        "standardise each dimension by itself",
    ),
    Mutant(
        "fit_logistic_regression_probe",
        "acts.std(dim=0, correction=0)",
        "acts.std().expand(acts.shape[1]).clone()",
        "standardise each dimension by itself",
    ),
    Mutant(
        "fit_logistic_regression_probe",
        "    std[std < 1e-6 * std.max()] = torch.inf",
        "    pass",
        "do not divide by it",
    ),
    Mutant(
        "fit_logistic_regression_probe",
        "    std[std < 1e-6 * std.max()] = torch.inf",
        "    std[std == 0] = 1.0",
        "may be a rounding error",
    ),
    Mutant(
        "fit_logistic_regression_probe",
        "    std[std < 1e-6 * std.max()] = torch.inf",
        "    std = std + 1e-8",
        "may be a rounding error",
    ),
    Mutant("fit_logistic_regression_probe", "z, labels, l2)", "z, labels, 0.0)", "l2 has no effect"),
    Mutant("fit_logistic_regression_probe", "z, labels, l2)", "z, labels, 2 * l2)", "Twice l2 arrived"),
    Mutant(
        "fit_logistic_regression_probe",
        "z, labels, l2)",
        "z, labels, l2 / len(acts))",
        "l2 is divided by the number of examples",
    ),
    Mutant("fit_logistic_regression_probe", "z, labels, l2)", "z, labels, l2**2)", "does l2 reach your loss as it is?"),
    Mutant("fit_logistic_regression_probe", "z, labels, l2)", "z, ~labels, l2)", "It points the wrong way"),
    Mutant("fit_logistic_regression_probe", "max_iter=300", "max_iter=4", "take more steps"),
    Mutant("fit_logistic_regression_probe", "max_iter=300", "max_iter=2", "This is where the first step leads"),
    Mutant(
        "fit_logistic_regression_probe",
        'torch.optim.LBFGS([weight_z, bias_z], max_iter=300, line_search_fn="strong_wolfe")',
        "torch.optim.SGD([weight_z, bias_z], lr=0.5)",
        "take more steps",
    ),
    Mutant("fit_logistic_regression_probe", "    optimizer.step(closure)\n", "", "It is 0, as at the start"),
    Mutant(
        "fit_logistic_regression_probe",
        "    optimizer.step(closure)\n    weight = weight_z.detach() / std",
        "    weight = (z[labels].mean(dim=0) - z[~labels].mean(dim=0)) / std",
        "the difference of the class means",
    ),
    Mutant("fit_logistic_regression_probe", "        optimizer.zero_grad()\n", "", "with zero_grad()"),
    Mutant(
        "fit_logistic_regression_probe",
        "return LinearProbe(weight=weight, ",
        "return LinearProbe(weight=weight_z, ",
        "standardised units",
    ),
    Mutant(
        "fit_logistic_regression_probe",
        "return LinearProbe(weight=weight, bias=bias_z.detach() - weight @ mean)",
        "return weight, bias_z.detach() - weight @ mean",
        "a tuple of 2",
    ),
    Mutant(
        "fit_logistic_regression_probe",
        "if labels.all() or not labels.any():",
        "if False:",
        "there is nothing to tell apart",
    ),
    Mutant("fit_logistic_regression_probe", "raise ValueError(", "raise RuntimeError(", "expected a ValueError"),
]

ALTERNATIVES = [
    Alternative(
        "cache_resid_post",
        """
def cache_resid_post(model, tokens, attention_mask, layers):
    kept = {}

    def name_of(layer):
        return "blocks.0.hook_resid_pre" if layer == "embed" else f"blocks.{layer}.hook_resid_post"

    def keeper(layer):
        def keep(stream, hook):
            kept[layer] = stream.detach().clone()
        return keep

    hooks = [(name_of(layer), keeper(layer)) for layer in layers]
    model.run_with_hooks(tokens, attention_mask=attention_mask, fwd_hooks=hooks)
    return torch.stack([kept[layer] for layer in layers], dim=0)
""",
    ),
    Alternative(
        "cache_resid_post",
        """
def cache_resid_post(model, tokens, attention_mask, layers):
    _, cache = model.run_with_cache(tokens, attention_mask=attention_mask)  # everything, then pick
    out = torch.empty(len(layers), *tokens.shape, model.cfg.d_model)
    for row, layer in enumerate(layers):
        out[row] = cache["resid_pre", 0] if layer == "embed" else cache["resid_post", layer]
    return out
""",
    ),
    Alternative(
        "pool_mean",
        """
def pool_mean(acts, attention_mask):
    out = torch.zeros(acts.shape[0], acts.shape[1], acts.shape[3])
    for row, mask in enumerate(attention_mask.tolist()):
        out[:, row] = acts[:, row, 1 : sum(mask) - 1].mean(dim=1)
    return out
""",
    ),
    Alternative(
        "pool_mean",
        """
import numpy as np
from einops import rearrange


def pool_mean(acts, attention_mask):
    mask = attention_mask.numpy().copy()
    position = np.arange(mask.shape[1])[None]
    mask = mask * (position > 0) * (position < mask.sum(axis=1, keepdims=True) - 1)
    weights = rearrange(torch.from_numpy(mask / mask.sum(axis=1, keepdims=True)), "batch pos -> 1 batch pos 1")
    return (acts * weights).sum(dim=2).float()
""",
    ),
    Alternative(
        "fit_mass_mean_probe",
        """
def fit_mass_mean_probe(acts, labels):
    n_positive = labels.sum().item()
    n_negative = len(labels) - n_positive
    if min(n_positive, n_negative) == 0:
        raise ValueError("one class only")
    share = labels.float() / n_positive - (~labels).float() / n_negative
    weight = torch.einsum("b,bd->d", share, acts)
    halfway = (acts[labels].sum(dim=0) / n_positive + acts[~labels].sum(dim=0) / n_negative) / 2
    return LinearProbe(weight=weight, bias=-(weight * halfway).sum())
""",
    ),
    Alternative(
        "fit_mass_mean_probe",
        """
def fit_mass_mean_probe(acts, labels):
    sums, counts = {True: 0.0, False: 0.0}, {True: 0, False: 0}
    for vector, label in zip(acts, labels.tolist()):
        sums[label] = sums[label] + vector
        counts[label] += 1
    if not all(counts.values()):
        raise ValueError(f"only one class among {len(labels)} labels")
    high, low = sums[True] / counts[True], sums[False] / counts[False]
    # the same threshold from squared lengths: w.(a+b)/2 = (|a|^2 - |b|^2) / 2
    return LinearProbe(weight=high - low, bias=(low @ low - high @ high) / 2)
""",
    ),
    Alternative(
        "fit_ridge_probe",
        """
def fit_ridge_probe(acts, targets, l2):
    # rows of sqrt(l2) below the data, and plain least squares
    centre, height = acts.mean(0, keepdim=True), targets.mean(0, keepdim=True)
    n_dims = acts.shape[1]
    stacked = torch.cat([acts - centre, l2**0.5 * torch.eye(n_dims)])
    aim = torch.cat([targets - height, torch.zeros(n_dims, targets.shape[1])])
    weight = torch.linalg.lstsq(stacked, aim).solution.T
    return LinearProbe(weight=weight, bias=(height - centre @ weight.T)[0])
""",
    ),
    Alternative(
        "fit_ridge_probe",
        """
import numpy as np


def fit_ridge_probe(acts, targets, l2):
    x, y = acts.double().numpy(), targets.double().numpy()
    u, s, vt = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    weights = [vt.T @ (s / (s**2 + l2) * (u.T @ (column - column.mean()))) for column in y.T]
    weight = torch.tensor(np.stack(weights), dtype=torch.float32)
    bias = [column.mean() - row @ x.mean(axis=0) for row, column in zip(np.stack(weights), y.T)]
    return LinearProbe(weight=weight, bias=torch.tensor(bias, dtype=torch.float32))
""",
    ),
    Alternative(
        "score_by_layer",
        """
def score_by_layer(acts, labels, train, test, l2):
    signs = torch.where(labels, 1.0, -1.0).unsqueeze(-1)  # the same line, with the threshold at 0
    out = torch.zeros(acts.shape[0])
    for layer in range(acts.shape[0]):
        probe = fit_ridge_probe(acts[layer, train], signs[train], l2)
        margin = probe(acts[layer, test]) * signs[test]
        out[layer] = (margin > 0).float().mean()
    return out
""",
    ),
    Alternative(
        "score_by_layer",
        """
def score_by_layer(acts, labels, train, test, l2):
    out = []
    for x in acts.double():
        x_train, y = x[train], labels[train].double()
        mean, share = x_train.mean(dim=0), y.mean()
        gram = (x_train - mean).T @ (x_train - mean) + l2 * torch.eye(x.shape[1], dtype=x.dtype)
        weight = torch.linalg.solve(gram, (x_train - mean).T @ (y - share))
        right = [bool((row - mean) @ weight + share > 0.5) == bool(label) for row, label in zip(x[test], labels[test])]
        out.append(sum(right) / len(right))
    return torch.tensor(out)
""",
    ),
    Alternative(
        "choose_layer",
        """
def choose_layer(acts, labels, train, validation, layers, l2):
    best = (-1.0, None, None)
    for name, stream in zip(layers, acts):
        probe = fit_ridge_probe(stream[train], labels[train].float()[:, None], l2)
        right = int(((probe(stream[validation])[:, 0] > 0.5) == labels[validation]).sum())
        if right > best[0]:
            best = (right, name, probe)
    return best[1], best[2]
""",
    ),
    Alternative(
        "choose_layer",
        """
def choose_layer(acts, labels, train, validation, layers, l2):
    scores = dict(zip(layers, score_by_layer(acts, labels, train, validation, l2).tolist()))
    name = max(scores, key=scores.get)
    stream = acts[layers.index(name)].index_select(0, train)
    return name, fit_ridge_probe(stream, labels[train].unsqueeze(1).to(torch.float32), l2)
""",
    ),
    Alternative(
        "roc_auc",
        """
def roc_auc(scores, labels):
    n_positive, n_negative = int(labels.sum()), int((~labels).sum())
    if n_positive * n_negative == 0:
        raise ValueError("one class only")
    ordered = scores.sort().values  # the mean rank of equal scores, from both ends
    first, last = torch.searchsorted(ordered, scores), torch.searchsorted(ordered, scores, right=True)
    ranks = (first + last + 1).double() / 2
    return (ranks[labels].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)
""",
    ),
    Alternative(
        "roc_auc",
        """
def roc_auc(scores, labels):
    high = [s for s, label in zip(scores.tolist(), labels.tolist()) if label]
    low = [s for s, label in zip(scores.tolist(), labels.tolist()) if not label]
    if not high or not low:
        raise ValueError("no pairs")
    return sum((h > l) + (h == l) / 2 for h in high for l in low) / len(high) / len(low)
""",
    ),
    Alternative(
        "logistic_regression_loss",
        """
import torch.nn.functional as F


def logistic_regression_loss(weight, bias, acts, labels, l2):
    logits = torch.einsum("bd,d->b", acts, weight) + bias
    return F.binary_cross_entropy_with_logits(logits, labels.float()) + 0.5 * l2 * weight @ weight
""",
    ),
    Alternative(
        "logistic_regression_loss",
        """
def logistic_regression_loss(weight, bias, acts, labels, l2):
    signs = labels.to(acts.dtype) * 2 - 1
    total = torch.zeros(())
    for vector, sign in zip(acts, signs):
        margin = sign * ((vector * weight).sum() + bias)
        total = total + torch.logaddexp(torch.zeros(()), -margin)
    return total / len(acts) + l2 * sum(w**2 for w in weight) / 2
""",
    ),
    Alternative(
        "fit_logistic_regression_probe",
        """
def fit_logistic_regression_probe(acts, labels, l2):
    # Newton's method in float64, on the dimensions that vary
    x, y = acts.double(), labels.double()
    if y.mean() in (0.0, 1.0):
        raise ValueError("one class only")
    mean, std = x.mean(dim=0), x.std(dim=0, correction=0)
    varies = std > 1e-6 * std.max()
    z = torch.cat([(x - mean)[:, varies] / std[varies], torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
    price = torch.full((z.shape[1],), l2, dtype=x.dtype)
    price[-1] = 0.0
    theta = torch.zeros_like(price)
    for _ in range(30):
        p = torch.sigmoid(z @ theta)
        gradient = z.T @ (p - y) / len(y) + price * theta
        hessian = (z * (p * (1 - p))[:, None]).T @ z / len(y) + torch.diag(price)
        theta = theta - torch.linalg.solve(hessian, gradient)
    weight = torch.zeros_like(mean)
    weight[varies] = theta[:-1] / std[varies]
    return LinearProbe(weight=weight.float(), bias=(theta[-1] - weight @ mean).float())
""",
    ),
    Alternative(
        "fit_logistic_regression_probe",
        """
def fit_logistic_regression_probe(acts, labels, l2):
    # plain gradient descent with momentum, by autograd
    n_true = int(labels.sum())
    if n_true == 0 or n_true == len(labels):
        raise ValueError(f"{n_true} of {len(labels)} labels are True: one class only")
    mean, std = acts.mean(dim=0), acts.std(dim=0)
    scale = torch.where(std > 1e-6 * std.max(), 1 / std.clamp(min=1e-30), 0.0)
    z = (acts - mean) * scale
    theta = torch.zeros(acts.shape[1] + 1)
    step = 1 / (torch.linalg.matrix_norm(z, 2) ** 2 / 4 / len(z) + 0.25 + l2)
    velocity = torch.zeros_like(theta)
    for _ in range(400):
        ahead = (theta + 0.9 * velocity).requires_grad_()
        loss = logistic_regression_loss(ahead[:-1], ahead[-1], z, labels, l2)
        velocity = 0.9 * velocity - step * torch.autograd.grad(loss, ahead)[0]
        theta = theta + velocity
    weight = theta[:-1] * scale
    return LinearProbe(weight, theta[-1] - weight @ mean)
""",
    ),
]
