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
]
