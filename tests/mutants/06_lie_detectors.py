"""Chapter 06: planted wrong answers with the words their feedback must hold, and right answers by other roads."""

from utils.course.mutants import Alternative, Mutant

_PLACE = "edited[torch.arange(len(resid)), pos] += alpha * direction"
_COST = "softplus(probe_logits[lying]).sum() / lying.sum().clamp(min=1)"
_HIDDEN = "(acts @ query).masked_fill(~mask, -torch.inf)"

MUTANTS = [
    # add_direction
    Mutant("add_direction", "resid.clone()", "resid", "changed its argument `resid` in place"),
    Mutant("add_direction", _PLACE, "edited += alpha * direction", "added at all positions"),
    Mutant("add_direction", _PLACE, "edited[:, -1] += alpha * direction", "added at the last position"),
    Mutant("add_direction", _PLACE, "edited[:, 0] += alpha * direction", "added at the first position"),
    Mutant("add_direction", _PLACE, "edited[:, pos] += alpha * direction", "pair row and position"),
    Mutant("add_direction", _PLACE, "edited[:, pos[0]] += alpha * direction", "at the first one's position"),
    Mutant("add_direction", "len(resid)), pos]", "len(resid)), pos + 1]", "One position too far"),
    Mutant("add_direction", "len(resid)), pos]", "len(resid)), pos - 1]", "One position too early"),
    Mutant("add_direction", "len(resid)), pos]", "len(resid)), -1 - pos]", "counted from the end"),
    Mutant("add_direction", "+= alpha * direction", "-= alpha * direction", "The sign is turned round"),
    Mutant("add_direction", "+= alpha * direction", "+= direction", "alpha is left out"),
    Mutant("add_direction", "+= alpha * direction", "+= alpha * alpha * direction", "alpha counts twice"),
    Mutant("add_direction", "+= alpha * direction", "+= abs(alpha) * direction", "A negative alpha"),
    Mutant("add_direction", "+= alpha * direction", "+= alpha + direction", "alpha is added to every number"),
    Mutant("add_direction", "+= alpha * direction", "= alpha * direction", "The stream is replaced"),
    Mutant(
        "add_direction",
        "alpha * direction",
        "alpha * direction / direction.norm()",
        "The direction was scaled to length 1",
    ),
    Mutant(
        "add_direction",
        _PLACE,
        "for row, place in enumerate(pos.tolist()):\n        edited[row, place:] += alpha * direction",
        "Positions from pos on",
    ),
    Mutant("add_direction", "len(resid)), pos]", "len(resid)), pos.sort().values]", "in this order"),
    Mutant("add_direction", "return edited", "return edited[torch.arange(len(resid)), pos]", "1 axis is missing"),
    Mutant(
        "add_direction",
        "edited[torch.arange(len(resid)), pos] += alpha * direction",
        "edited[pos] += alpha * direction",
        "one vector of each statement",
    ),
    Mutant(
        "add_direction",
        "edited[torch.arange(len(resid)), pos] += alpha * direction",
        "for row, place in enumerate(pos.tolist()):\n        edited[row, place] += alpha * direction\n"
        "        return edited",
        "Only the first statement",
    ),
    Mutant(
        "add_direction",
        "edited[torch.arange(len(resid)), pos] += alpha * direction",
        "for place in pos:\n        edited[0, place] += alpha * direction",
        "All edits go to the first",
    ),
    Mutant("add_direction", "pos] += alpha * direction", "pos].add_(alpha * direction)", "makes a copy"),
    Mutant("add_direction", "+= alpha * direction", "+= alpha", "alpha alone is added"),
    Mutant("add_direction", "+= alpha * direction", "+= int(alpha) * direction", "alpha = 0.3"),
    Mutant(
        "add_direction",
        "edited[torch.arange(len(resid)), pos] += alpha * direction",
        "for row, place in enumerate(pos.tolist()):\n        edited[row, : place + 1] += alpha * direction",
        "Positions up to pos",
    ),
    Mutant("add_direction", "pos] +=", "pos.max()] +=", "in this order"),
    # normalized_indirect_effect
    Mutant(
        "normalized_indirect_effect",
        "float((edited.mean() - unedited.mean()) / way)",
        "float(((edited - unedited) / (target.mean() - unedited)).mean())",
        "average first, then divide once",
    ),
    Mutant(
        "normalized_indirect_effect",
        "(edited.mean() - unedited.mean())",
        "(target.mean() - edited.mean())",
        "what is left to go",
    ),
    Mutant(
        "normalized_indirect_effect",
        "(edited.mean() - unedited.mean()) / way",
        "way / (edited.mean() - unedited.mean())",
        "upside down",
    ),
    Mutant("normalized_indirect_effect", "- unedited.mean()) / way", "- unedited.mean())", "Only the difference"),
    Mutant(
        "normalized_indirect_effect",
        "float((edited.mean() - unedited.mean()) / way)",
        "float(((edited.mean() - unedited.mean()) / way).clamp(0, 1))",
        "It is clipped",
    ),
    Mutant(
        "normalized_indirect_effect",
        "float((edited.mean() - unedited.mean()) / way)",
        "float(((edited.mean() - unedited.mean()) / way).abs())",
        "An absolute value hides",
    ),
    Mutant(
        "normalized_indirect_effect",
        "(edited.mean() - unedited.mean()) / way",
        "(unedited.mean() - edited.mean()) / way",
        "The sign is turned round",
    ),
    Mutant(
        "normalized_indirect_effect", "/ way)", "/ (target.mean() - edited.mean()))", "divided by target minus edited"
    ),
    Mutant("normalized_indirect_effect", "/ way)", "/ target.mean())", "divided by the target alone"),
    Mutant("normalized_indirect_effect", "/ way)", "/ unedited.mean().abs())", "divided by the unedited mean"),
    Mutant("normalized_indirect_effect", "(edited.mean() - unedited.mean())", "edited.mean()", "Nothing is taken from"),
    Mutant(
        "normalized_indirect_effect",
        "(edited.mean() - unedited.mean()) / way",
        "(edited.sum() - unedited.sum()) / (target.sum() - unedited.sum())",
        "Sums were divided",
    ),
    Mutant(
        "normalized_indirect_effect",
        "(edited.mean() - unedited.mean()) / way",
        "(edited.median() - unedited.median()) / (target.median() - unedited.median())",
        "These are medians",
    ),
    Mutant(
        "normalized_indirect_effect",
        "    if way == 0:\n"
        '        raise ValueError("target must have another mean than unedited: there is no way to go")\n',
        "",
        "expected a ValueError",
    ),
    Mutant(
        "normalized_indirect_effect",
        'raise ValueError("target must have another mean than unedited: there is no way to go")',
        "return 0.0",
        "a quotient by 0 is no effect",
    ),
    Mutant(
        "normalized_indirect_effect",
        "float((edited.mean() - unedited.mean()) / way)",
        "(edited - unedited) / way",
        "expected a single number",
    ),
    Mutant(
        "normalized_indirect_effect",
        "(edited.mean() - unedited.mean()) / way",
        "(edited - unedited).abs().mean() / way",
        "goes nowhere",
    ),
    Mutant("normalized_indirect_effect", "/ way)", "/ (target - unedited).mean())", "they need not be of one length"),
    Mutant("normalized_indirect_effect", "/ way)", "/ (way + 0.1))", "expected 0.52 / 1.3"),
    Mutant(
        "normalized_indirect_effect",
        "edited.mean() - unedited.mean()",
        "(edited > 0).float().mean() - (unedited > 0).float().mean()",
        "expected 0.52 / 1.3",
    ),
    Mutant("normalized_indirect_effect", "if way == 0", "if way <= 0.5", "only a way of 0 is none"),
    Mutant("normalized_indirect_effect", "/ way)", "/ way.abs())", "The sign is turned round"),
    Mutant("normalized_indirect_effect", "raise ValueError", "raise ZeroDivisionError", "expected a ValueError, got"),
    Mutant("normalized_indirect_effect", "return float(", "return 100 * float(", "the effect is 40"),
    Mutant(
        "normalized_indirect_effect",
        "return float((edited.mean() - unedited.mean()) / way)",
        "return round(float((edited.mean() - unedited.mean()) / way), 1)",
        "expected 0.25",
    ),
    # swap_vector
    Mutant("swap_vector", "resid.clone()", "resid", "changed its argument `resid` in place"),
    Mutant("swap_vector", "edited[rows, pos] += change", "edited[rows, pos] += donor", "The donor's vector is added"),
    Mutant("swap_vector", "torch.linalg.qr(directions.T).Q", "directions.T", "used as they are"),
    Mutant(
        "swap_vector",
        "torch.linalg.qr(directions.T).Q",
        "torch.nn.functional.normalize(directions, dim=1).T",
        "they are not at right angles",
    ),
    Mutant("swap_vector", "change = change @ basis", "change = change - change @ basis", "The other component"),
    Mutant("swap_vector", "if directions is not None", "if False", "are the directions used?"),
    Mutant(
        "swap_vector", "change = change @ basis", "change = donor @ basis", "take the statement's own one away first"
    ),
    Mutant(
        "swap_vector", "change = change @ basis", "change = -resid[rows, pos] @ basis", "nothing is put in its place"
    ),
    Mutant("swap_vector", "donor - resid[rows, pos]", "resid[rows, pos] - donor", "The sign of the exchange"),
    Mutant("swap_vector", "torch.linalg.qr(directions.T).Q", "torch.linalg.qr(directions[:1].T).Q", "Only the first"),
    Mutant("swap_vector", "edited[rows, pos] += change", "edited += change[:, None]", "added at all positions"),
    Mutant("swap_vector", "edited[rows, pos] += change", "edited[:, -1] += change", "expected 0"),
    Mutant("swap_vector", "edited[rows, pos] += change", "edited[:, pos] = donor", "pair row and position"),
    Mutant("swap_vector", "edited[rows, pos] += change", "edited[:] = donor[:, None]", "All positions are exchanged"),
    Mutant("swap_vector", "edited[rows, pos] += change", "edited[:, -1] = donor", "The last position is exchanged"),
    Mutant(
        "swap_vector",
        "torch.linalg.qr(directions.T).Q",
        "torch.linalg.qr(directions).Q.T",
        "torch.linalg.qr(directions.T).Q",
    ),
    Mutant(
        "swap_vector",
        "        change = change @ basis @ basis.T",
        "        before, now = resid[rows, pos], resid[rows, pos]\n"
        "        for unit in torch.nn.functional.normalize(directions, dim=1):\n"
        "            now = now + ((donor - now) @ unit)[:, None] * unit\n"
        "        change = now - before",
        "one after the other",
    ),
    Mutant("swap_vector", "qr(directions.T).Q", 'qr(directions.T, mode="complete").Q', "are the directions used?"),
    Mutant("swap_vector", "return edited", "return edited[rows, pos]", "1 axis is missing"),
    Mutant("swap_vector", "edited[rows, pos] += change", "edited[:, pos] += change", "other positions are changed"),
    Mutant("swap_vector", "edited[rows, pos] += change", "edited[rows, pos] = change", "Only the difference is there"),
    Mutant(
        "swap_vector",
        "torch.linalg.qr(directions.T).Q",
        "torch.nn.functional.normalize(directions.mean(dim=0), dim=0)[:, None]",
        "All directions count",
    ),
    Mutant("swap_vector", "donor - resid", "donor.mean(dim=0) - resid", "the mean of all donors"),
    Mutant("swap_vector", "return edited", "return donor", "1 axis is missing"),
    Mutant(
        "swap_vector",
        "torch.linalg.qr(directions.T).Q",
        "torch.linalg.svd(directions).U",
        "torch.linalg.qr(directions.T).Q is",
    ),
    Mutant("swap_vector", "edited[rows, pos] +=", "edited[rows, 0] +=", "and the rest stays"),
    # tpr_at_fpr
    Mutant("tpr_at_fpr", "values[allowed]", "values[allowed - 1]", "strictly above the threshold"),
    Mutant("tpr_at_fpr", "values[allowed]", "values[allowed + 1]", "one too many"),
    Mutant("tpr_at_fpr", "(descending=True)", "()", "from the lower end"),
    Mutant("tpr_at_fpr", "scores_lies > threshold", "scores_lies >= threshold", "strictly above the threshold"),
    Mutant("tpr_at_fpr", "scores_lies > threshold", "scores_lies < threshold", "count those above it"),
    Mutant("tpr_at_fpr", "(scores_lies > threshold)", "(scores_unrelated > threshold)", "count lies"),
    Mutant(
        "tpr_at_fpr",
        "scores_unrelated.sort(descending=True).values[allowed]",
        "torch.quantile(scores_unrelated, 1 - fpr)",
        "as torch.quantile does it",
    ),
    Mutant(
        "tpr_at_fpr",
        "scores_unrelated.sort(descending=True).values[allowed]",
        "scores_lies.sort(descending=True).values[int(fpr * len(scores_lies))]",
        "The lies were looked at",
    ),
    Mutant(
        "tpr_at_fpr",
        "scores_unrelated.sort(descending=True).values[allowed]",
        "torch.cat([scores_unrelated, scores_lies]).sort(descending=True).values[allowed + 1]",
        "The lies were looked at",
    ),
    Mutant(
        "tpr_at_fpr",
        "scores_unrelated.sort(descending=True).values[allowed]",
        "scores_unrelated.unique().flip(0)[allowed]",
        "Tied scores raise it together",
    ),
    Mutant("tpr_at_fpr", "values[allowed]", "values[allowed] + 1e-3", "nothing need be added"),
    Mutant("tpr_at_fpr", "int(fpr * len(scores_unrelated))", "max(1, round(fpr * len(scores_unrelated)))", "at most 0"),
    Mutant("tpr_at_fpr", "int(fpr * len(scores_unrelated))", "round(fpr * len(scores_unrelated) + 0.5)", "at most"),
    Mutant("tpr_at_fpr", ".float().mean())", ".float().sum())", "expected a share from 0 to 1"),
    Mutant(
        "tpr_at_fpr",
        "return float(threshold), float((scores_lies > threshold).float().mean())",
        "return float((scores_lies > threshold).float().mean()), float(threshold)",
        "exchanged",
    ),
    Mutant(
        "tpr_at_fpr",
        "scores_unrelated.sort(descending=True).values[allowed]",
        "scores_unrelated.mean() + 2 * scores_unrelated.std()",
        "It is none of the unrelated scores",
    ),
    Mutant(
        "tpr_at_fpr",
        "scores_unrelated.sort(descending=True).values[allowed]",
        "scores_unrelated.sort().values[-allowed]",
        "the threshold is the largest score",
    ),
    Mutant("tpr_at_fpr", "fpr * len(scores_unrelated)", "fpr * len(scores_lies)", "A threshold that sees the lies"),
    Mutant(
        "tpr_at_fpr",
        "scores_unrelated.sort(descending=True).values[allowed]",
        "(scores_unrelated.mean() + scores_lies.mean()) / 2",
        "A threshold that sees the lies",
    ),
    Mutant(
        "tpr_at_fpr",
        "scores_unrelated.sort(descending=True).values[allowed]",
        'torch.quantile(scores_unrelated, 1 - fpr, interpolation="lower")',
        "at most 0",
    ),
    Mutant("tpr_at_fpr", "scores_lies > threshold", "scores_lies.sigmoid() > threshold", "far above everything else"),
    Mutant(
        "tpr_at_fpr",
        "scores_unrelated.sort(descending=True).values[allowed]",
        "scores_unrelated.max()",
        "No false alarm is made at all",
    ),
    Mutant(
        "tpr_at_fpr",
        "(scores_lies > threshold)",
        "(torch.cat([scores_lies, scores_unrelated]) > threshold)",
        "Count the lies above it",
    ),
    Mutant(
        "tpr_at_fpr",
        "scores_unrelated.sort(descending=True).values[allowed]",
        "scores_unrelated.kthvalue(int((1 - fpr) * len(scores_unrelated))).values",
        "at most 0",
    ),
    # aggregate_scores
    Mutant(
        "aggregate_scores",
        "scores.masked_fill(~mask, 0).sum(dim=1) / mask.sum(dim=1)",
        "scores.mean(dim=1)",
        "averaged, too",
    ),
    Mutant("aggregate_scores", "/ mask.sum(dim=1)", "/ mask.shape[1]", "divided by the number of all positions"),
    Mutant("aggregate_scores", " / mask.sum(dim=1)", "", "These are sums"),
    Mutant("aggregate_scores", "/ mask.sum(dim=1)", "/ mask.sum()", "All documents are divided by one number"),
    Mutant("aggregate_scores", "masked_fill(~mask, 0)", "masked_fill(mask, 0)", "The mask is turned round"),
    Mutant(
        "aggregate_scores", "masked_fill(~mask, -torch.inf).amax", "masked_fill(~mask, 0).amax", "put -inf there, not 0"
    ),
    Mutant("aggregate_scores", "scores.masked_fill(~mask, -torch.inf).amax", "scores.amax", "before the maximum"),
    Mutant(
        "aggregate_scores", "masked_fill(~mask, -torch.inf).amax", "masked_fill(~mask, torch.inf).amin", "the minimum"
    ),
    Mutant(
        "aggregate_scores",
        "scores.masked_fill(~mask, -torch.inf).amax(dim=1)",
        "scores.masked_fill(~mask, -torch.inf).amax()",
        "1 axis is missing",
    ),
    Mutant(
        "aggregate_scores",
        "return scores[torch.arange(len(scores)), last]",
        "return scores[:, -1]",
        "the last position of",
    ),
    Mutant(
        "aggregate_scores",
        "(mask * torch.arange(mask.shape[1])).argmax(dim=1)",
        "mask.sum(dim=1) - 1",
        "is not the place of the last one",
    ),
    Mutant(
        "aggregate_scores",
        "(mask * torch.arange(mask.shape[1])).argmax(dim=1)",
        "mask.sum(dim=1).clamp(max=mask.shape[1] - 1)",
        "This is the first padding",
    ),
    Mutant(
        "aggregate_scores",
        "(mask * torch.arange(mask.shape[1])).argmax(dim=1)",
        "mask.int().argmax(dim=1)",
        "first token",
    ),
    Mutant(
        "aggregate_scores",
        'raise ValueError(f"how must be mean, max or last, got {how!r}")',
        "return scores.masked_fill(~mask, 0).sum(dim=1) / mask.sum(dim=1)",
        "expected a ValueError",
    ),
    Mutant("aggregate_scores", 'f"how must be mean, max or last, got {how!r}"', 'f"got {how!r}"', "says nothing about"),
    Mutant("aggregate_scores", "raise ValueError", "raise KeyError", "expected a ValueError"),
    Mutant("aggregate_scores", "amax(dim=1)", "max(dim=1)", "take its .values"),
    Mutant("aggregate_scores", "amax(dim=1)", "amax(dim=0)", "Look at the axis"),
    Mutant("aggregate_scores", "amax(dim=1)", "argmax(dim=1)", "these are places"),
    Mutant(
        "aggregate_scores",
        "scores.masked_fill(~mask, 0).sum(dim=1) / mask.sum(dim=1)",
        "scores[mask].mean()",
        "1 axis is missing",
    ),
    Mutant("aggregate_scores", "return scores[torch.arange(len(scores)), last]", "return scores[:, last]", "pair them"),
    Mutant("aggregate_scores", "-torch.inf).amax", "-1).amax", "with -inf at padding"),
    Mutant(
        "aggregate_scores",
        "scores.masked_fill(~mask, 0).sum(dim=1) / mask.sum(dim=1)",
        "torch.stack([row[real].median() for row, real in zip(scores, mask, strict=True)])",
        "These are medians",
    ),
    Mutant("aggregate_scores", "raise ValueError(", "print(", "printed something"),
    Mutant("aggregate_scores", 'if how == "max"', 'if how != "last"', "expected a ValueError"),
    Mutant("aggregate_scores", "amax(dim=1)", "logsumexp(dim=1)", "The largest score of the real tokens"),
    # attention_pool
    Mutant("attention_pool", _HIDDEN, "acts @ query", "Padding has a part in it"),
    Mutant("attention_pool", _HIDDEN, "(acts @ query) * mask", "exp(0) is 1"),
    Mutant("attention_pool", _HIDDEN, "(acts @ query).masked_fill(~mask, 0)", "exp(0) is 1"),
    Mutant(
        "attention_pool",
        "attention.softmax(dim=1)",
        "(acts @ query).softmax(dim=1) * mask",
        "taken out after the softmax",
    ),
    Mutant("attention_pool", "softmax(dim=1)", "softmax(dim=0).nan_to_num()", "runs over the documents"),
    Mutant("attention_pool", "attention.softmax", "(attention / acts.shape[2] ** 0.5).softmax", "the root of d_model"),
    Mutant(
        "attention_pool",
        "attention.softmax",
        "(0 * acts @ query).masked_fill(~mask, -torch.inf).softmax",
        "same weight",
    ),
    Mutant("attention_pool", "attention.softmax(dim=1)", "attention.exp()", "The weights are exponentials"),
    Mutant("attention_pool", "attention.softmax(dim=1)", "(acts @ query) * mask", "softmax is missing"),
    Mutant(
        "attention_pool",
        "attention.softmax(dim=1)",
        "torch.nn.functional.one_hot(attention.argmax(dim=1), mask.shape[1]).float()",
        "use softmax, not the maximum",
    ),
    Mutant(
        "attention_pool",
        "attention = (acts @ query)",
        "query, value = value, query\n    attention = (acts @ query)",
        "exchanged",
    ),
    Mutant("attention_pool", "(acts @ value)).sum(dim=1)", "(acts @ value)).mean(dim=1)", "by the number of positions"),
    Mutant(
        "attention_pool",
        "attention.softmax",
        "(-(acts @ query)).masked_fill(~mask, -torch.inf).softmax",
        "weights fall",
    ),
    Mutant("attention_pool", "(acts @ value)", "(acts @ query)", "The query is used twice"),
    Mutant("attention_pool", "masked_fill(~mask", "masked_fill(mask", "The mask is turned round"),
    Mutant("attention_pool", "attention.softmax", "attention.detach().softmax", "do not pass the gradient on"),
    Mutant("attention_pool", "(acts @ value)).sum(dim=1)", "(acts @ value)).sum()", "1 axis is missing"),
    Mutant(
        "attention_pool",
        "(acts @ query).masked_fill(~mask, -torch.inf)",
        "(acts @ query) + ~mask * -torch.inf",
        "0 · inf is NaN",
    ),
    Mutant(
        "attention_pool",
        "(acts @ query).masked_fill(~mask, -torch.inf)",
        "(acts @ query) - 1.0 * ~mask",
        "Put -inf where",
    ),
    Mutant("attention_pool", "return (weights * (acts @ value)).sum(dim=1)", "return weights", "has shape"),
    Mutant(
        "attention_pool",
        "attention.softmax(dim=1)",
        "attention.flatten().softmax(dim=0).view_as(attention)",
        "over all documents at once",
    ),
    Mutant("attention_pool", "acts @ query", "acts @ query / query.norm()", "The query was scaled"),
    Mutant("attention_pool", "acts @ value", "acts @ value / value.norm()", "The value was scaled"),
    Mutant(
        "attention_pool",
        "(acts @ query).masked_fill(~mask, -torch.inf)",
        "(acts * mask[..., None]) @ query",
        "exp(0) is 1",
    ),
    Mutant("attention_pool", "softmax(dim=1)", "sigmoid()", "These are sigmoids"),
    Mutant("attention_pool", "acts @ query", "2 * acts @ query", "then the sum of weights"),
    Mutant(
        "attention_pool",
        "(acts @ query).masked_fill(~mask, -torch.inf)",
        "(acts.softmax(dim=2) @ query).masked_fill(~mask, -torch.inf)",
        "then the sum of weights",
    ),
    Mutant("attention_pool", "(acts @ value)", "(acts @ value).sigmoid()", "then the sum of weights"),
    # evasion_loss
    Mutant("evasion_loss", "return language_loss + ", "return ", "The language loss is left out"),
    Mutant("evasion_loss", "+ strength * cost", "+ cost", "strength is left out"),
    Mutant("evasion_loss", "+ strength * cost", "- strength * cost", "The sign of the evasion is turned round"),
    Mutant(
        "evasion_loss", "language_loss + strength * cost", "strength * (language_loss + cost)", "language loss, too"
    ),
    Mutant(
        "evasion_loss", "softplus(probe_logits[lying])", "softplus(-probe_logits[lying])", "sign of the logit is turned"
    ),
    Mutant("evasion_loss", _COST, "softplus(probe_logits).mean()", "Honest documents are in it, too"),
    Mutant("evasion_loss", _COST, "softplus(probe_logits[~lying]).mean()", "Only honest documents"),
    Mutant("evasion_loss", " / lying.sum().clamp(min=1)", "", "These are sums"),
    Mutant("evasion_loss", "/ lying.sum().clamp(min=1)", "/ len(lying)", "The mean is over all documents"),
    Mutant("evasion_loss", _COST, "softplus(probe_logits[lying]).mean()", "The mean of nothing is NaN"),
    Mutant("evasion_loss", "softplus(probe_logits[lying])", "probe_logits[lying]", "take softplus"),
    Mutant(
        "evasion_loss", "softplus(probe_logits[lying])", "probe_logits[lying].sigmoid()", "the probability of being"
    ),
    Mutant("evasion_loss", "softplus(probe_logits[lying])", "probe_logits[lying].relu()", "This is relu"),
    Mutant(
        "evasion_loss", "softplus(probe_logits[lying])", "(1 + probe_logits[lying].exp()).log()", "infinite in float32"
    ),
    Mutant(
        "evasion_loss",
        "softplus(probe_logits[lying])",
        "-(1 - probe_logits[lying].sigmoid()).clamp(min=1e-6).log()",
        "stops pushing",
    ),
    Mutant(
        "evasion_loss",
        _COST,
        "torch.nn.functional.binary_cross_entropy_with_logits(probe_logits, lying.float())",
        "This trains the probe",
    ),
    Mutant(
        "evasion_loss",
        _COST,
        "torch.nn.functional.binary_cross_entropy_with_logits(probe_logits, (~lying).float())",
        "the other one",
    ),
    Mutant("evasion_loss", "probe_logits[lying]", "probe_logits.detach()[lying]", "Nothing reaches the probe's logits"),
    Mutant("evasion_loss", "return language_loss", "return language_loss.detach()", "gradient by the language loss"),
    Mutant("evasion_loss", _COST, "softplus(probe_logits[lying].mean())", "first softplus, then the mean"),
    Mutant(
        "evasion_loss",
        "return language_loss + strength * cost",
        "return (language_loss + strength * cost).item()",
        "expected",
    ),
    Mutant(
        "evasion_loss", "return language_loss +", "return (1 - strength) * language_loss +", "mixed with the evasion"
    ),
    Mutant(
        "evasion_loss",
        "softplus(probe_logits[lying]).sum() / lying.sum().clamp(min=1)",
        "(softplus(probe_logits[lying]).mean() + softplus(-probe_logits[~lying]).mean())",
        "the other way",
    ),
    Mutant("evasion_loss", "softplus(probe_logits[lying])", "(1 + probe_logits[lying]).relu()", "This is a hinge"),
    Mutant(
        "evasion_loss",
        "softplus(probe_logits[lying])",
        "probe_logits[lying].sigmoid().log()",
        "the log of the probability of being",
    ),
    Mutant(
        "evasion_loss",
        "softplus(probe_logits[lying]).sum() / lying.sum().clamp(min=1)",
        "softplus(probe_logits * lying).mean()",
        "still costs ln 2",
    ),
    Mutant(
        "evasion_loss",
        "softplus(probe_logits[lying]).sum() / lying.sum().clamp(min=1)",
        "softplus(probe_logits[lying]).max()",
        "This is the largest cost",
    ),
    Mutant("evasion_loss", "lying.sum().clamp(min=1)", "(lying.sum() + 1)", "one document too many"),
    Mutant("evasion_loss", "strength * cost", "strength * strength * cost", "strength counts twice"),
    Mutant(
        "evasion_loss",
        "softplus(probe_logits[lying])",
        "softplus(probe_logits[lying]).square()",
        "The costs are squared",
    ),
    Mutant("evasion_loss", "return language_loss +", "return language_loss,", "a tuple of 2"),
    Mutant(
        "evasion_loss",
        "return language_loss + strength * cost",
        "return torch.maximum(language_loss, strength * cost)",
        "gradient by the language loss",
    ),
    Mutant("evasion_loss", "softplus(probe_logits[lying])", "probe_logits[lying].square()", "the slope of softplus"),
    # statement_mask
    Mutant("statement_mask", "+ n_words * tagged]", "+ n_words]", "This document has no tag"),
    Mutant("statement_mask", "begin : begin + 1 +", "begin + 1 : begin + 1 +", "<bos> is no statement"),
    Mutant("statement_mask", "attention_mask.bool()", "torch.ones_like(tokens).bool()", "Padding is no statement"),
    Mutant("statement_mask", "begin = int(real.nonzero()[0])", "begin = 0", "padding on the left"),
    Mutant("statement_mask", "+ n_words * tagged] = False", "] = False", "The whole tag goes"),
    Mutant(
        "statement_mask",
        "1 + n_words * tagged]",
        "n_words * tagged + (not tagged)]",
        "The tag's full stop is still there",
    ),
    Mutant(
        "statement_mask",
        "    return keep",
        "    return keep & ~torch.isin(tokens, tags)",
        "Full stops of statements are gone",
    ),
    Mutant(
        "statement_mask",
        "        keep[row, begin : begin + 1 + n_words * tagged] = False",
        "        keep[row, begin] = False\n        keep[row, begin + 2] &= not tagged",
        "The whole tag goes",
    ),
    Mutant(
        "statement_mask",
        "any(torch.equal(words, tag) for tag in tags)",
        "bool((words[:1] == tags[:, 0]).any())",
        "only as a whole",
    ),
    Mutant("statement_mask", "n_words = tags.shape[1]", "n_words = 3", "no lengths of your own"),
    Mutant("statement_mask", "for tag in tags)", "for tag in tags[:1])", "The whole tag goes"),
    Mutant("statement_mask", "return keep", "return keep.long()", "expected torch.bool"),
    Mutant(
        "statement_mask",
        "    return keep",
        "    stops = (tokens == tags[0, -1]).cumsum(dim=1)\n    return attention_mask.bool() & (stops >= 1)",
        "The tag's full stop is still there",
    ),
    Mutant(
        "statement_mask",
        "any(torch.equal(words, tag) for tag in tags)",
        "bool(tokens[row, 1] == tags[0, 0])",
        "padding on the left",
    ),
    Mutant(
        "statement_mask",
        "any(torch.equal(words, tag) for tag in tags)",
        "bool(torch.isin(words, tags).all())",
        "only as a whole",
    ),
    Mutant(
        "statement_mask",
        "any(torch.equal(words, tag) for tag in tags)",
        "bool(torch.isin(tokens[row], tags[:, 1]).any())",
        "only as a whole",
    ),
    Mutant(
        "statement_mask",
        "begin = int(real.nonzero()[0])",
        "begin = int(real.nonzero()[0]) - 1",
        "<bos> is no statement",
    ),
    Mutant("statement_mask", "attention_mask.bool()", "tokens != 0", "whatever token stands there"),
    Mutant(
        "statement_mask",
        "any(torch.equal(words, tag) for tag in tags)",
        "bool((words == tags[0]).all() | (words == tags[1]).all())",
        "no lengths of your own",
    ),
    Mutant("statement_mask", "return keep", "return keep & (tokens != tags[0, 0])", "may occur in statements"),
    Mutant(
        "statement_mask",
        "any(torch.equal(words, tag) for tag in tags)",
        "bool((words == tags).any())",
        "only as a whole",
    ),
    # cascade_cost
    Mutant("cascade_cost", "passed_on & (expensive", "passed_on | (expensive", "One of the two is enough"),
    Mutant("cascade_cost", "(passed_on & (expensive > thresholds[1]))", "passed_on", "This is the cheap probe alone"),
    Mutant("cascade_cost", "passed_on & (expensive", "(expensive", "the expensive monitor alone"),
    Mutant("cascade_cost", "cheap > thresholds[0]", "cheap >= thresholds[0]", "at the threshold are passed on"),
    Mutant(
        "cascade_cost", "expensive > thresholds[1]", "expensive >= thresholds[1]", "equal to the expensive threshold"
    ),
    Mutant("cascade_cost", "* passed_on.float().mean()", "", "Everyone pays for both"),
    Mutant("cascade_cost", "costs[0] + costs[1]", "costs[1]", "The cheap probe is left out"),
    Mutant(
        "cascade_cost", "costs[0] + costs[1] * passed", "costs[1] + costs[0] * passed", "The two costs are exchanged"
    ),
    Mutant("cascade_cost", "costs[1] * passed_on.float()", "costs[1] * alarm", "Only those with an alarm pay more"),
    Mutant(
        "cascade_cost",
        "float(alarm[lying].mean()), float(alarm[~lying].mean())",
        "float(alarm[~lying].mean()), float(alarm[lying].mean())",
        "tpr and fpr are exchanged",
    ),
    Mutant(
        "cascade_cost",
        "float(alarm[lying].mean()), float(alarm[~lying].mean())",
        "float((alarm * lying).mean()), float((alarm * ~lying).mean())",
        "shares of all documents",
    ),
    Mutant("cascade_cost", "float(cost)", "float(cost * len(cheap))", "the sum over documents"),
    Mutant("cascade_cost", ", float(cost)", "", "expected a tuple of three numbers"),
    Mutant("cascade_cost", "passed_on.float().mean()", "passed_on.float().sum()", "take their share"),
    Mutant("cascade_cost", "cheap > thresholds[0]", "cheap < thresholds[0]", "suspicious is what is above it"),
    Mutant(
        "cascade_cost",
        "costs[0] + costs[1]",
        "costs[0] * (1 - passed_on.float().mean()) + costs[1]",
        "pay for the cheap probe, too",
    ),
    Mutant(
        "cascade_cost",
        "(passed_on & (expensive > thresholds[1]))",
        "(cheap + expensive > sum(thresholds))",
        "Alarm where both are above",
    ),
    Mutant("cascade_cost", "float(alarm[~lying].mean())", "float(1 - alarm[~lying].mean())", "raise no alarm"),
    Mutant(
        "cascade_cost", "passed_on.float().mean()", "passed_on[lying].float().mean()", "the cost of lying documents"
    ),
    Mutant("cascade_cost", "cheap > thresholds[0]", "cheap > cheap.median()", "no alarm at all"),
    Mutant(
        "cascade_cost", "passed_on.float()", "(expensive > thresholds[1]).float()", "those passed on pay the second"
    ),
    # auroc_by_position
    Mutant("auroc_by_position", "return result", "return result[None]", "one axis of length 1 too many"),
    Mutant("auroc_by_position", "real = mask[:, pos]", "real = torch.ones_like(lying)", "Padding is scored"),
    Mutant("auroc_by_position", "lying[real])\n    return", "~lying[real])\n    return", "Honest documents are taken"),
    Mutant("auroc_by_position", "torch.nan)", "0.5)", "0.5 says that"),
    Mutant("auroc_by_position", "torch.nan)", "0.0)", "0 says that"),
    Mutant("auroc_by_position", "scores[real, pos]", "scores[real, 0]", "All positions have one number"),
    Mutant("auroc_by_position", "    return result", "    return result.maximum(1 - result)", "The sign is lost"),
    Mutant(
        "auroc_by_position", "        if lying[real].any() and not lying[real].all():\n    ", "", "ask first whether"
    ),
    Mutant("auroc_by_position", "return result", "return result[~result.isnan()]", "Look at the axis"),
    Mutant(
        "auroc_by_position",
        "result[pos] = roc_auc(scores[real, pos], lying[real])",
        "result[pos] = roc_auc(scores[real, pos], lying[: int(real.sum())])",
        "expected [1.0, 0.0, 0.5, 0.75, 1.0]",
    ),
    Mutant("auroc_by_position", "mask[:, pos]", "mask.all(dim=1)", "counts where it has a token"),
    Mutant(
        "auroc_by_position",
        "result[pos] = roc_auc(scores[real, pos], lying[real])",
        "result[pos] = roc_auc(scores[mask], lying[:, None].expand_as(mask)[mask])",
        "All positions have one number",
    ),
    Mutant(
        "auroc_by_position",
        "result[pos] = roc_auc(scores[real, pos], lying[real])",
        "result[pos] = ((scores[real, pos] > 0) == lying[real]).float().mean()",
        "roc_auc of the scores",
    ),
    Mutant("auroc_by_position", "return result", "return result.nanmean()", "1 axis is missing"),
    Mutant("auroc_by_position", "scores[real, pos]", "scores[real, pos].abs()", "roc_auc of the scores"),
    Mutant("auroc_by_position", "scores[real, pos]", "scores[real, -1]", "roc_auc of the scores"),
    Mutant("auroc_by_position", "scores[real, pos]", "(scores[real, pos] > 0).float()", "roc_auc of the scores"),
]

ALTERNATIVES = [
    # add_direction
    Alternative(
        "add_direction",
        """
def add_direction(resid, direction, alpha, pos):
    here = torch.nn.functional.one_hot(pos, resid.shape[1]).to(resid.dtype)  # [statement pos]
    return resid + alpha * here[:, :, None] * direction
""",
    ),
    Alternative(
        "add_direction",
        """
def add_direction(resid, direction, alpha, pos):
    statements = []
    for statement, place in zip(resid, pos.tolist(), strict=True):
        before, at, after = statement[:place], statement[place : place + 1], statement[place + 1 :]
        statements.append(torch.cat([before, at + alpha * direction, after]))
    return torch.stack(statements)
""",
    ),
    # normalized_indirect_effect
    Alternative(
        "normalized_indirect_effect",
        """
def normalized_indirect_effect(unedited, edited, target):
    start, end, goal = (sum(values.tolist()) / len(values) for values in (unedited, edited, target))
    if abs(goal - start) < 1e-9:
        raise ValueError("no way")
    return (end - start) / (goal - start)
""",
    ),
    Alternative(
        "normalized_indirect_effect",
        """
def normalized_indirect_effect(unedited, edited, target):
    if unedited.mean() == target.mean():
        raise ValueError(f"target and unedited have the same mean, {float(target.mean())}")
    return (edited - unedited).mean() / (target.mean() - unedited.mean())  # a tensor with one number
""",
    ),
    # swap_vector
    Alternative(
        "swap_vector",
        """
def swap_vector(resid, donor, pos, directions=None):
    # least squares: which mixture of the directions comes nearest?
    edited = resid.clone()
    for row, place in enumerate(pos.tolist()):
        change = donor[row] - resid[row, place]
        if directions is not None:
            shares = torch.linalg.lstsq(directions.T, change[:, None]).solution[:, 0]
            change = shares @ directions
        edited[row, place] = resid[row, place] + change
    return edited
""",
    ),
    Alternative(
        "swap_vector",
        """
def swap_vector(resid, donor, pos, directions=None):
    n, d_model = len(resid), resid.shape[2]
    if directions is None:
        projector = torch.eye(d_model)
    else:
        right = torch.linalg.svd(directions, full_matrices=False).Vh
        projector = right.T @ right
    own = resid[torch.arange(n), pos]
    swapped = own - own @ projector + donor @ projector
    here = (torch.arange(resid.shape[1]) == pos[:, None])[:, :, None]
    return torch.where(here, swapped[:, None], resid)
""",
    ),
    Alternative(
        "swap_vector",
        """
def swap_vector(resid, donor, pos, directions=None):
    # Gram-Schmidt by hand
    edited, rows = resid.clone(), torch.arange(len(resid))
    if directions is None:
        edited[rows, pos] = donor
        return edited
    basis = []
    for direction in directions:
        for axis in basis:
            direction = direction - (direction @ axis) * axis
        basis.append(direction / direction.norm())
    for axis in basis:
        edited[rows, pos] += ((donor - resid[rows, pos]) @ axis)[:, None] * axis
    return edited
""",
    ),
    # tpr_at_fpr
    Alternative(
        "tpr_at_fpr",
        """
def tpr_at_fpr(scores_unrelated, scores_lies, fpr):
    for threshold in sorted(scores_unrelated.tolist()):
        if (scores_unrelated > threshold).float().mean() <= fpr:
            return threshold, (scores_lies > threshold).float().mean().item()
""",
    ),
    Alternative(
        "tpr_at_fpr",
        """
def tpr_at_fpr(scores_unrelated, scores_lies, fpr):
    allowed = int(fpr * len(scores_unrelated))
    threshold = scores_unrelated.topk(allowed + 1).values[-1]
    caught = sum(score > threshold for score in scores_lies)
    return threshold, caught / len(scores_lies)  # tensors with one number
""",
    ),
    # aggregate_scores
    Alternative(
        "aggregate_scores",
        """
def aggregate_scores(scores, mask, how):
    choices = {"mean": torch.mean, "max": torch.max, "last": lambda real: real[-1]}
    if how not in choices:
        raise ValueError(f"{how} is none of {list(choices)}")
    return torch.stack([choices[how](row[keep]) for row, keep in zip(scores, mask, strict=True)])
""",
    ),
    Alternative(
        "aggregate_scores",
        """
def aggregate_scores(scores, mask, how):
    if how == "mean":
        return (scores * mask).sum(1) / mask.float().sum(1)
    if how == "max":
        return torch.where(mask, scores, torch.tensor(float("-inf"))).max(dim=1).values
    if how == "last":
        last = mask.shape[1] - 1 - mask.flip(1).int().argmax(dim=1, keepdim=True)
        return scores.gather(1, last).squeeze(1)
    raise ValueError("choose mean, max or last")
""",
    ),
    # attention_pool
    Alternative(
        "attention_pool",
        """
def attention_pool(acts, mask, query, value):
    scores = []
    for document, real in zip(acts, mask, strict=True):
        tokens = document[real]
        scores.append(torch.softmax(tokens @ query, dim=0) @ (tokens @ value))
    return torch.stack(scores)
""",
    ),
    Alternative(
        "attention_pool",
        """
def attention_pool(acts, mask, query, value):
    attention = torch.einsum("npd,d->np", acts, query)
    attention = attention.masked_fill(~mask, -1e30)
    weights = (attention - attention.amax(dim=1, keepdim=True)).exp() * mask
    weights = weights / weights.sum(dim=1, keepdim=True)
    pooled = torch.einsum("np,npd->nd", weights, acts)
    return pooled @ value
""",
    ),
    # evasion_loss
    Alternative(
        "evasion_loss",
        """
def evasion_loss(language_loss, probe_logits, lying, strength):
    costs = -torch.nn.functional.logsigmoid(-probe_logits)
    weights = lying.float() / max(1, int(lying.sum()))
    return language_loss + strength * (costs * weights).sum()
""",
    ),
    Alternative(
        "evasion_loss",
        """
def evasion_loss(language_loss, probe_logits, lying, strength):
    # cross-entropy with the label that the liar would like to have
    if not lying.any():
        return language_loss
    on_lies = probe_logits[lying]
    honest = torch.zeros_like(on_lies)
    return language_loss + strength * torch.nn.functional.binary_cross_entropy_with_logits(on_lies, honest)
""",
    ),
    # statement_mask
    Alternative(
        "statement_mask",
        """
def statement_mask(tokens, attention_mask, tags):
    n_words = tags.shape[1]
    real = attention_mask.bool()
    rank = real.long().cumsum(dim=1)  # 1 at <bos>
    first = rank.eq(1).long().argmax(dim=1, keepdim=True)
    places = (first + 1 + torch.arange(n_words)).clamp(max=tokens.shape[1] - 1)
    words = tokens.gather(1, places)
    tagged = (words[:, None, :] == tags[None]).all(dim=2).any(dim=1)
    return real & (rank > 1 + n_words * tagged.long()[:, None])
""",
    ),
    Alternative(
        "statement_mask",
        """
def statement_mask(tokens, attention_mask, tags):
    rows, known = [], {tuple(tag) for tag in tags.tolist()}
    for document, real in zip(tokens.tolist(), attention_mask.tolist(), strict=True):
        places = [i for i, one in enumerate(real) if one == 1][1:]
        if tuple(document[i] for i in places[: tags.shape[1]]) in known:
            places = places[tags.shape[1] :]
        rows.append([i in places for i in range(len(document))])
    return torch.tensor(rows)
""",
    ),
    # cascade_cost
    Alternative(
        "cascade_cost",
        """
def cascade_cost(cheap, expensive, lying, thresholds, costs):
    caught = false_alarms = 0
    total = 0.0
    for first, second, lies in zip(cheap.tolist(), expensive.tolist(), lying.tolist(), strict=True):
        total += costs[0]
        if first > thresholds[0]:
            total += costs[1]
            if second > thresholds[1]:
                caught += lies
                false_alarms += not lies
    n_lying = sum(lying.tolist())
    return caught / n_lying, false_alarms / (len(lying) - n_lying), total / len(lying)
""",
    ),
    Alternative(
        "cascade_cost",
        """
def cascade_cost(cheap, expensive, lying, thresholds, costs):
    asked = torch.where(cheap > thresholds[0], expensive, torch.tensor(-torch.inf))
    alarm = asked > thresholds[1]
    tpr, fpr = (alarm & lying).sum() / lying.sum(), (alarm & ~lying).sum() / (~lying).sum()
    return tpr, fpr, (costs[0] + costs[1] * asked.isfinite()).mean()  # tensors with one number
""",
    ),
    # auroc_by_position
    Alternative(
        "auroc_by_position",
        """
def auroc_by_position(scores, mask, lying):
    # the share of pairs in which the liar scores higher
    liars, honest = scores[lying], scores[~lying]
    pairs = (liars[:, None] > honest).double() + 0.5 * (liars[:, None] == honest)
    counted = (mask[lying][:, None] & mask[~lying]).double()
    return (pairs * counted).sum(dim=(0, 1)) / counted.sum(dim=(0, 1))  # 0 / 0 is NaN
""",
    ),
    Alternative(
        "auroc_by_position",
        """
def auroc_by_position(scores, mask, lying):
    def at(pos):
        kept, labels = scores[:, pos][mask[:, pos]], lying[mask[:, pos]]
        try:
            return float(roc_auc(kept, labels))
        except ValueError:
            return float("nan")

    return torch.tensor([at(pos) for pos in range(scores.shape[1])])
""",
    ),
]
