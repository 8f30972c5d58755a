"""Chapter 05: planted wrong answers with the words their feedback must hold, and right answers by other roads."""

from utils.course.mutants import Alternative, Mutant

MUTANTS = [
    # statement_acts
    Mutant(
        "statement_acts",
        "attention_mask.sum(dim=1) + position",
        "torch.tensor([len(text.split()) for text in texts]) + position",
        "and <bos> counts",
    ),
    Mutant(
        "statement_acts",
        "acts[:, torch.arange(len(texts)), where]",
        "torch.stack([acts[:, i, : w + 1].mean(dim=1) for i, w in enumerate(where)], dim=1)",
        "up to this one: take it alone",
    ),
    Mutant(
        "statement_acts",
        "acts[:, torch.arange(len(texts)), where]",
        "acts[:, torch.arange(len(texts)), where] - acts[:, torch.arange(len(texts)), where].mean(dim=1, keepdim=True)",
        "The mean of the statements is missing",
    ),
    Mutant(
        "statement_acts",
        "acts[:, torch.arange(len(texts)), where]",
        "torch.nn.functional.normalize(acts[:, torch.arange(len(texts)), where], dim=-1)",
        "The vectors are scaled to length 1",
    ),
    Mutant(
        "statement_acts",
        "acts[:, torch.arange(len(texts)), where]",
        "torch.stack([acts[0, torch.arange(len(texts)), where]] * len(layers))",
        "but this is layer 3",
    ),
    Mutant(
        "statement_acts",
        "attention_mask.sum(dim=1) + position",
        "attention_mask.sum(dim=0) + position",
        "Two index tensors of one length",
    ),
    Mutant(
        "statement_acts",
        "acts[:, torch.arange(len(texts)), where]",
        "acts[:, :, position]",
        "The rows are padded on the right",
    ),
    Mutant(
        "statement_acts",
        "attention_mask.sum(dim=1) + position",
        "attention_mask[0].sum().expand(len(texts)) + position",
        "the position in the first statement",
    ),
    Mutant(
        "statement_acts",
        "attention_mask.sum(dim=1) + position",
        "torch.full((len(texts),), -position)",
        "counted from the start",
    ),
    Mutant(
        "statement_acts",
        "attention_mask.sum(dim=1) + position",
        "torch.full((len(texts),), -position - 1)",
        "counted from the start",
    ),
    Mutant(
        "statement_acts",
        "attention_mask.sum(dim=1) + position",
        "attention_mask.sum(dim=1) + position - 1",
        "one token too early",
    ),
    Mutant(
        "statement_acts",
        "attention_mask.sum(dim=1) + position",
        "(attention_mask.sum(dim=1) + position + 1) % tokens.shape[1]",
        "one token too late",
    ),
    Mutant(
        "statement_acts",
        "attention_mask.sum(dim=1) + position",
        "attention_mask.sum(dim=1) - 1",
        "the full stop, whatever",
    ),
    Mutant(
        "statement_acts",
        "attention_mask.sum(dim=1) + position",
        "attention_mask.sum(dim=1) - 2",
        "the object, whatever",
    ),
    Mutant(
        "statement_acts", "acts[:, torch.arange(len(texts)), where]", "acts.mean(dim=2)", "padding too: take one token"
    ),
    Mutant(
        "statement_acts",
        "acts[:, torch.arange(len(texts)), where]",
        "(acts * attention_mask[..., None]).sum(dim=2) / attention_mask.sum(dim=1)[:, None]",
        "This is a mean over the tokens",
    ),
    Mutant("statement_acts", "acts[:, torch.arange(len(texts)), where]", "acts[:, :, 0]", "the first token, <bos>"),
    Mutant("statement_acts", "acts[:, torch.arange(len(texts)), where]", "acts", "choose one token of each statement"),
    Mutant(
        "statement_acts",
        "tokenize(model, texts)",
        "(part[:, 1:] for part in tokenize(model, texts))",
        "<bos> is missing",
    ),
    Mutant(
        "statement_acts", "attention_mask, layers)", "attention_mask, sorted(layers, key=str))", "it keeps their order"
    ),
    Mutant("statement_acts", "attention_mask, layers)", "attention_mask, list(range(4)))", "Look at the axis `layer`"),
    Mutant(
        "statement_acts",
        "attention_mask, layers)",
        "attention_mask, ['embed' if layer in ('embed', 0) else layer - 1 for layer in layers])",
        "layer L is the stream after block L",
    ),
    Mutant("statement_acts", "tokenize(model, texts)", "tokenize(model, sorted(texts, key=len))", "do not sort them"),
    Mutant(
        "statement_acts",
        "acts[:, torch.arange(len(texts)), where]",
        "acts[:, torch.arange(len(texts)), where].transpose(0, 1)",
        "The axes are in another order",
    ),
    Mutant(
        "statement_acts", "acts[:, torch.arange(len(texts)), where]", "acts[:, :, where]", "choose one token of each"
    ),
    Mutant(
        "statement_acts",
        "attention_mask.sum(dim=1) + position",
        "torch.where(attention_mask.sum(dim=1) > 6, attention_mask.sum(dim=1) + position, 3)",
        "statements are wrong",
    ),
    Mutant(
        "statement_acts",
        "    return acts[:, torch.arange(len(texts)), where]",
        "    return torch.randn(len(layers), len(texts), acts.shape[-1])",
        "not the vectors of statements that are run one by one",
    ),
    # principal_components
    Mutant(
        "principal_components",
        "_, singular_values, directions = torch.linalg.svd(centred, full_matrices=False)",
        "singular_values, directions = torch.linalg.eigh(centred.T @ centred)\n    directions = directions[:, -n:].T",
        "and their order is not",
    ),
    Mutant(
        "principal_components",
        "_, singular_values, directions = torch.linalg.svd(centred, full_matrices=False)",
        "singular_values, directions = torch.linalg.eigh(centred.T @ centred)\n"
        "    singular_values, directions = singular_values.flip(0), directions.T.flip(0)",
        "shares are [0.794",
    ),
    Mutant(
        "principal_components",
        "_, singular_values, directions = torch.linalg.svd(centred, full_matrices=False)",
        "variances, order = centred.var(dim=0).sort(descending=True)\n"
        "    singular_values, directions = variances.sqrt(), torch.eye(acts.shape[1])[order]",
        "taking dimensions one by one, depends on the axes",
    ),
    Mutant(
        "principal_components",
        "_, singular_values, directions = torch.linalg.svd(centred, full_matrices=False)",
        "singular_values, directions = torch.linalg.svd(centred)[1:]\n    directions = (centred @ directions.T).T",
        "Look at the axis `d_model`",
    ),
    Mutant(
        "principal_components",
        "variances[:n] / variances.sum()",
        "variances / variances.sum()",
        "Look at the axis `component`",
    ),
    Mutant(
        "principal_components",
        "centred = acts - acts.mean(dim=0)",
        "centred = acts",
        "subtract the mean of the statements before the SVD",
    ),
    Mutant(
        "principal_components",
        "variances = singular_values.square()",
        "variances = singular_values",
        "The singular values are not squared",
    ),
    Mutant("principal_components", "variances.sum()", "variances[:n].sum()", "divide by the sum over all of them"),
    Mutant(
        "principal_components",
        "variances[:n] / variances.sum()",
        "singular_values[:n] / singular_values[:n].sum()",
        "square them, and divide by the sum over all",
    ),
    Mutant("principal_components", "variances[:n] / variances.sum()", "variances[:n]", "divide by their sum"),
    Mutant(
        "principal_components",
        "variances[:n] / variances.sum()",
        "variances[:n] / len(acts)",
        "These are variances: divide them by the total",
    ),
    Mutant(
        "principal_components",
        "variances[:n] / variances.sum()",
        "variances[:n] / (len(acts) - 1)",
        "These are variances: divide them by the total",
    ),
    Mutant(
        "principal_components", "variances[:n] / variances.sum()", "singular_values[:n]", "These are singular values"
    ),
    Mutant(
        "principal_components",
        "variances[:n] / variances.sum()",
        "(variances / variances.sum()).cumsum(dim=0)[:n]",
        "give each its own share",
    ),
    Mutant(
        "principal_components",
        "variances[:n] / variances.sum()",
        "variances[:n] / variances[0]",
        "shares of the largest",
    ),
    Mutant(
        "principal_components",
        "variances[:n] / variances.sum()",
        "(singular_values / singular_values.sum())[:n] ** 2",
        "after they had been divided",
    ),
    Mutant(
        "principal_components", "variances[:n] / variances.sum()", "variances[:n] / variances.mean()", "expected [0.562"
    ),
    Mutant(
        "principal_components", "variances[:n] / variances.sum()", "variances[:n] / acts.square().sum()", "shares are"
    ),
    Mutant("principal_components", "directions[:n], variances", "directions[:, :n].T, variances", "columns of Vh"),
    Mutant("principal_components", "directions[:n], variances", "directions[:, :n], variances", "another order"),
    Mutant(
        "principal_components",
        "directions[:n], variances",
        "directions.flip(0)[:n], variances",
        "the largest variance comes first",
    ),
    Mutant(
        "principal_components",
        "directions[:n], variances",
        "directions[:n].flip(0), variances",
        "and their order is not",
    ),
    Mutant(
        "principal_components",
        "variances[:n] / variances.sum()",
        "variances.flip(0)[:n] / variances.sum()",
        "shares are",
    ),
    Mutant(
        "principal_components",
        "directions[:n], variances",
        "directions[:n] * singular_values[:n, None], variances",
        "have length 1 as they are",
    ),
    Mutant(
        "principal_components",
        "_, singular_values, directions = torch.linalg.svd(centred, full_matrices=False)",
        "directions, singular_values, _ = torch.linalg.svd(centred, full_matrices=False)",
        "Look at the axis `d_model`",
    ),
    Mutant(
        "principal_components",
        "centred = acts - acts.mean(dim=0)",
        "centred = (acts - acts.mean(dim=0)) / acts.std(dim=0)",
        "Each dimension was divided by its spread",
    ),
    Mutant(
        "principal_components",
        "centred = acts - acts.mean(dim=0)",
        "centred = acts - acts.mean(dim=1, keepdim=True)",
        "subtract the mean of the statements",
    ),
    Mutant(
        "principal_components",
        "centred = acts - acts.mean(dim=0)",
        "centred = acts - acts.mean()",
        "subtract the mean of the statements",
    ),
    Mutant("principal_components", "centred = acts - acts.mean(dim=0)", "centred = acts - acts[0]", "shares are"),
    Mutant(
        "principal_components",
        "return directions[:n], variances[:n] / variances.sum()",
        "return variances[:n] / variances.sum(), directions[:n]",
        "the two results are exchanged",
    ),
    Mutant(
        "principal_components",
        "return directions[:n], variances[:n] / variances.sum()",
        "return directions[:n]",
        "expected two values",
    ),
    Mutant(
        "principal_components",
        "return directions[:n], variances[:n] / variances.sum()",
        "return directions[0], variances[0] / variances.sum()",
        "1 axis is missing",
    ),
    Mutant(
        "principal_components",
        "centred = acts - acts.mean(dim=0)",
        "centred = acts\n    centred -= acts.mean(dim=0)",
        "changed its argument `acts` in place",
    ),
    # transfer_accuracy
    Mutant(
        "transfer_accuracy",
        "return float((says_true == labels_test).float().mean())",
        "return float((says_true & labels_test).float().mean())",
        "Only true statements are counted",
    ),
    Mutant(
        "transfer_accuracy",
        "return float((says_true == labels_test).float().mean())",
        "return float(roc_auc((acts_test - acts_test.mean(dim=0)) @ direction, labels_test))",
        "This is an area under a curve",
    ),
    Mutant(
        "transfer_accuracy",
        "acts_test - acts_test.mean(dim=0)",
        "acts_test - acts_test.median(dim=0).values",
        "the accuracy is",
    ),
    Mutant(
        "transfer_accuracy",
        "fit_mass_mean_probe(acts_train, labels_train).weight",
        "acts_train[labels_train].mean(dim=0)",
        "the accuracy is",
    ),
    Mutant(
        "transfer_accuracy",
        "    direction = fit_mass_mean_probe(acts_train, labels_train).weight\n"
        "    says_true = (acts_test - acts_test.mean(dim=0)) @ direction > 0",
        "    says_true = fit_mass_mean_probe(acts_train, labels_train)(acts_test) > 0",
        "centre it by its own mean, not by that",
    ),
    Mutant(
        "transfer_accuracy",
        "acts_test - acts_test.mean(dim=0)",
        "acts_test - acts_train.mean(dim=0)",
        "centre it by its own mean, not by that",
    ),
    Mutant("transfer_accuracy", "acts_test - acts_test.mean(dim=0)", "acts_test", "the accuracy is"),
    Mutant(
        "transfer_accuracy",
        "    says_true = (acts_test - acts_test.mean(dim=0)) @ direction > 0",
        "    says_true = fit_mass_mean_probe(acts_train, labels_train)(acts_test - acts_test.mean(dim=0)) > 0",
        "leave out the bias",
    ),
    Mutant(
        "transfer_accuracy",
        "acts_test - acts_test.mean(dim=0)",
        "acts_test - torch.cat([acts_train, acts_test]).mean(dim=0)",
        "of the training set or of all",
    ),
    Mutant(
        "transfer_accuracy",
        "acts_test - acts_test.mean(dim=0)",
        "acts_test - (acts_test[labels_test].mean(dim=0) + acts_test[~labels_test].mean(dim=0)) / 2",
        "takes the mean of all test statements, and no labels",
    ),
    Mutant(
        "transfer_accuracy",
        "return float((says_true == labels_test).float().mean())",
        "heights = acts_test @ direction\n"
        "    return max(float(((heights >= t) == labels_test).float().mean()) for t in heights)",
        "takes the mean of all test statements, and no labels",
    ),
    Mutant(
        "transfer_accuracy",
        "return float((says_true == labels_test).float().mean())",
        "share = float((says_true == labels_test).float().mean())\n    return max(share, 1 - share)",
        "The better of two signs",
    ),
    Mutant(
        "transfer_accuracy",
        "return float((says_true == labels_test).float().mean())",
        "share = float((says_true == labels_test).float().mean())\n    return abs(share - 0.5) * 2",
        "expected 0.85",
    ),
    Mutant(
        "transfer_accuracy",
        "fit_mass_mean_probe(acts_train, labels_train)",
        "fit_mass_mean_probe(acts_test, labels_test)",
        "It was fitted on the test set",
    ),
    Mutant(
        "transfer_accuracy",
        "fit_mass_mean_probe(acts_train, labels_train)",
        "fit_mass_mean_probe(torch.cat([acts_train, acts_test]), torch.cat([labels_train, labels_test]))",
        "fit on acts_train, labels_train alone",
    ),
    Mutant(
        "transfer_accuracy",
        "fit_mass_mean_probe(acts_train, labels_train)",
        "fit_logistic_regression_probe(acts_train, labels_train)",
        "The difference of the class means",
    ),
    Mutant(
        "transfer_accuracy",
        "return float((says_true == labels_test).float().mean())",
        "says_true = (acts_train - acts_train.mean(dim=0)) @ direction > 0\n"
        "    return float((says_true == labels_train).float().mean())",
        "accuracy on the training set",
    ),
    Mutant("transfer_accuracy", "@ direction > 0", "@ direction < 0", "The direction is turned round"),
    Mutant(
        "transfer_accuracy",
        "return float((says_true == labels_test).float().mean())",
        "return 100 * float((says_true == labels_test).float().mean())",
        "no percentage",
    ),
    Mutant(
        "transfer_accuracy",
        "return float((says_true == labels_test).float().mean())",
        "return float((says_true == labels_test).sum())",
        "no count",
    ),
    Mutant(
        "transfer_accuracy",
        "return float((says_true == labels_test).float().mean())",
        "return says_true == labels_test",
        "expected a single number",
    ),
    Mutant(
        "transfer_accuracy",
        "return float((says_true == labels_test).float().mean())",
        "return float(says_true.float().mean())",
        "the accuracy is 0.500, expected 0.85",
    ),
    Mutant(
        "transfer_accuracy",
        "    direction = fit_mass_mean_probe(acts_train, labels_train).weight\n"
        "    says_true = (acts_test - acts_test.mean(dim=0)) @ direction > 0",
        "    direction = fit_mass_mean_probe(acts_train / acts_train.std(dim=0), labels_train).weight\n"
        "    says_true = (acts_test - acts_test.mean(dim=0)) / acts_test.std(dim=0) @ direction > 0",
        "Each dimension was divided by its spread",
    ),
    Mutant(
        "transfer_accuracy",
        "acts_test - acts_test.mean(dim=0)",
        "acts_test - acts_test[labels_test].mean(dim=0)",
        "takes the mean of all test statements, and no labels",
    ),
    Mutant("transfer_accuracy", "acts_test - acts_test.mean(dim=0)", "acts_test - acts_test.mean()", "the accuracy is"),
    Mutant(
        "transfer_accuracy",
        "acts_test - acts_test.mean(dim=0)",
        "acts_test - acts_test.mean(dim=1, keepdim=True)",
        "the accuracy is",
    ),
    Mutant(
        "transfer_accuracy",
        "    says_true =",
        "    acts_test -= acts_test.mean(dim=0)\n    says_true =",
        "changed its argument `acts_test` in place",
    ),
    # generalization_matrix
    Mutant("generalization_matrix", "labels[s][~inside[s]]", "labels[0][~inside[s]]", "verdicts are wrong"),
    Mutant("generalization_matrix", "== labels[test_set][here]", "== labels[0][here]", "verdicts are wrong"),
    Mutant(
        "generalization_matrix", "    return right", "    return right | right.transpose(0, 1)", "verdicts are wrong"
    ),
    Mutant(
        "generalization_matrix",
        "acts[test_set][~here].mean(dim=0)",
        "acts[test_set][~here & labels[test_set]].mean(dim=0)",
        "verdicts are wrong",
    ),
    Mutant(
        "generalization_matrix",
        "fit_mass_mean_probe(acts[s][~inside[s]]",
        "fit_logistic_regression_probe(acts[s][~inside[s]]",
        "verdicts are wrong",
    ),
    Mutant(
        "generalization_matrix",
        "right[:, test_set, here]",
        "right.transpose(0, 1)[:, test_set, here]",
        "Rows and columns are exchanged",
    ),
    Mutant(
        "generalization_matrix",
        "fit_mass_mean_probe(acts[s][~inside[s]], labels[s][~inside[s]]).weight",
        "fit_mass_mean_probe(acts[s], labels[s]).weight",
        "The fit has seen the statements",
    ),
    Mutant(
        "generalization_matrix",
        "fit_mass_mean_probe(acts[s][~inside[s]], labels[s][~inside[s]]).weight",
        "fit_mass_mean_probe(acts[s][inside[s]], labels[s][inside[s]]).weight",
        "The fit has seen the statements",
    ),
    Mutant(
        "generalization_matrix",
        "acts[test_set][here] - acts[test_set][~here].mean(dim=0)",
        "acts[test_set][here]",
        "all statements are called alike",
    ),
    Mutant(
        "generalization_matrix",
        "acts[test_set][here] - acts[test_set][~here].mean(dim=0)",
        "acts[test_set][here] - acts[test_set].mean(dim=0)",
        "or of those in the fold",
    ),
    Mutant(
        "generalization_matrix",
        "acts[test_set][here] - acts[test_set][~here].mean(dim=0)",
        "acts[test_set][here] - acts[test_set][here].mean(dim=0)",
        "or of those in the fold",
    ),
    Mutant(
        "generalization_matrix",
        "acts[test_set][here] - acts[test_set][~here].mean(dim=0)",
        "acts[test_set][here] - acts[0][~inside[0]].mean(dim=0)",
        "all statements are called alike",
    ),
    Mutant(
        "generalization_matrix",
        "acts[test_set][here] - acts[test_set][~here].mean(dim=0)",
        "acts[test_set][here] - acts.mean(dim=(0, 1))",
        "all statements are called alike",
    ),
    Mutant(
        "generalization_matrix",
        "right[:, test_set, here] = (directions @ centred.T > 0) == labels[test_set][here]",
        "right[:, test_set, here] = directions @ centred.T > 0",
        "compare them with its label",
    ),
    Mutant(
        "generalization_matrix",
        "(directions @ centred.T > 0) ==",
        "(directions @ centred.T > 0) !=",
        "All verdicts are turned round",
    ),
    Mutant(
        "generalization_matrix", "    return right", "    return right.float().mean(dim=-1)", "these are accuracies"
    ),
    Mutant("generalization_matrix", "    return right", "    return right.float()", "expected bools"),
    Mutant(
        "generalization_matrix",
        "    return right",
        "    return right[torch.arange(n_sets), torch.arange(n_sets)]",
        "1 axis is missing",
    ),
    Mutant(
        "generalization_matrix",
        "inside = folds == fold",
        "inside = (folds[0] == fold).expand(n_sets, -1)",
        "does every set have its own row of folds",
    ),
    Mutant(
        "generalization_matrix",
        "fit_mass_mean_probe(acts[s][~inside[s]], labels[s][~inside[s]]).weight",
        "fit_mass_mean_probe(acts[s][~inside[0]], labels[s][~inside[0]]).weight",
        "does every set have its own row of folds",
    ),
    Mutant(
        "generalization_matrix",
        "here = inside[test_set]",
        "here = inside[0]",
        "does every set have its own row of folds",
    ),
    Mutant("generalization_matrix", "for fold in folds.unique():", "for fold in range(3):", "The last fold is missing"),
    Mutant(
        "generalization_matrix",
        "for fold in folds.unique():",
        "for fold in range(int(folds.max())):",
        "The last fold is missing",
    ),
    Mutant(
        "generalization_matrix",
        "for fold in folds.unique():",
        "for fold in range(1, int(folds.max()) + 1):",
        "Fold 0 is missing",
    ),
    Mutant(
        "generalization_matrix",
        "for fold in folds.unique():",
        "for fold in range(len(folds.unique())):",
        "Go over folds.unique()",
    ),
    Mutant("generalization_matrix", "for fold in folds.unique():", "for fold in [0]:", "Only the first fold is judged"),
    Mutant(
        "generalization_matrix",
        "right[:, test_set, here] = (directions @ centred.T > 0) == labels[test_set][here]",
        "right[test_set, test_set, here] = (centred @ directions[test_set] > 0) == labels[test_set][here]",
        "Only sets judged by their own direction",
    ),
    Mutant(
        "generalization_matrix",
        "fit_mass_mean_probe(acts[s][~inside[s]], labels[s][~inside[s]]).weight",
        "fit_mass_mean_probe(acts[0][~inside[0]], labels[0][~inside[0]]).weight",
        "Every row is the same",
    ),
    Mutant(
        "generalization_matrix",
        "        for test_set in range(n_sets):\n",
        "        whole = torch.stack([fit_mass_mean_probe(acts[s], labels[s]).weight for s in range(n_sets)])\n"
        "        own = directions\n"
        "        for test_set in range(n_sets):\n"
        "            directions = whole.clone()\n"
        "            directions[test_set] = own[test_set]\n",
        "leave the fold out of the train set there, too",
    ),
    Mutant(
        "generalization_matrix",
        "        for test_set in range(n_sets):\n",
        "        own = directions\n"
        "        for test_set in range(n_sets):\n"
        "            directions = own.clone()\n"
        "            directions[test_set] = fit_mass_mean_probe(acts[test_set], labels[test_set]).weight\n",
        "A set's own statements are judged by a fit that has seen them",
    ),
    Mutant(
        "generalization_matrix",
        "fit_mass_mean_probe(acts[s][~inside[s]], labels[s][~inside[s]]).weight",
        "fit_mass_mean_probe(acts[~inside], labels[~inside]).weight",
        "verdicts are wrong",
    ),
    Mutant(
        "generalization_matrix", "    return right", "    return right.transpose(1, 2)", "The axes are in another order"
    ),
    Mutant(
        "generalization_matrix",
        "    return right",
        "    return right.sort(dim=-1).values",
        "verdicts stand at other statements",
    ),
    Mutant("generalization_matrix", "inside = folds == fold", "inside = folds != fold", "inside its own fold"),
    # truth_and_polarity_directions
    Mutant(
        "truth_and_polarity_directions",
        "return solution[2], solution[3]",
        "return solution[2], solution[2] + solution[3]",
        "what affirmed statements move by",
    ),
    Mutant(
        "truth_and_polarity_directions",
        "return solution[2], solution[3]",
        "return solution[2], (solution[0] - solution[1]) / 2",
        "that is a place",
    ),
    Mutant(
        "truth_and_polarity_directions",
        "return solution[2], solution[3]",
        "return solution[2], -solution[3]",
        "The sign of p is turned round",
    ),
    Mutant(
        "truth_and_polarity_directions",
        "return solution[2], solution[3]",
        "return solution[:, 2], solution[:, 3]",
        "Look at the axis `d_model`",
    ),
    Mutant(
        "truth_and_polarity_directions",
        "torch.linalg.lstsq(regressors, acts).solution",
        "torch.linalg.solve(regressors.T @ regressors + torch.eye(4), regressors.T @ acts)",
        "so that their sum is 2 and their difference -1",
    ),
    Mutant(
        "truth_and_polarity_directions",
        "return solution[2], solution[3]",
        "return solution[3], solution[2]",
        "The two are exchanged",
    ),
    Mutant(
        "truth_and_polarity_directions",
        "return solution[2], solution[3]",
        "return solution[0], solution[1]",
        "the places of the polarities",
    ),
    Mutant(
        "truth_and_polarity_directions",
        "return solution[2], solution[3]",
        "return solution[-3], solution[-2]",
        "away from the planted ones",
    ),
    Mutant(
        "truth_and_polarity_directions",
        "polarity = torch.where(negated, -1.0, 1.0)",
        "polarity = torch.where(negated, 1.0, -1.0)",
        "The sign of p is turned round",
    ),
    Mutant(
        "truth_and_polarity_directions",
        "tau = torch.where(truth, 1.0, -1.0)",
        "tau = torch.where(truth, -1.0, 1.0)",
        "The sign of tau is turned round",
    ),
    Mutant(
        "truth_and_polarity_directions",
        "    solution = torch.linalg.lstsq(regressors, acts).solution  # [4 d_model]\n",
        "    y = acts.clone()\n"
        "    solution = torch.linalg.lstsq(torch.stack([tau, tau * polarity], dim=1), y).solution\n"
        "    return solution[0], solution[1]\n"
        "    solution = torch.linalg.lstsq(regressors, acts).solution  # [4 d_model]\n",
        "Nothing is centred",
    ),
    Mutant(
        "truth_and_polarity_directions",
        "    solution = torch.linalg.lstsq(regressors, acts).solution  # [4 d_model]\n",
        "    y = acts.clone()\n"
        "    y -= y.mean(dim=0)\n"
        "    solution = torch.linalg.lstsq(torch.stack([tau, tau * polarity], dim=1), y).solution\n"
        "    return solution[0], solution[1]\n"
        "    solution = torch.linalg.lstsq(regressors, acts).solution  # [4 d_model]\n",
        "Both polarities were centred by one mean",
    ),
    Mutant(
        "truth_and_polarity_directions",
        "    solution = torch.linalg.lstsq(regressors, acts).solution  # [4 d_model]\n",
        "    y = acts.clone()\n"
        "    for part in (negated, ~negated):\n"
        "        y[part] -= y[part].mean(dim=0)\n"
        "    solution = torch.linalg.lstsq(torch.stack([tau, tau * polarity], dim=1), y).solution\n"
        "    return solution[0], solution[1]\n"
        "    solution = torch.linalg.lstsq(regressors, acts).solution  # [4 d_model]\n",
        "once true and false are not equally many",
    ),
    Mutant(
        "truth_and_polarity_directions",
        "    solution = torch.linalg.lstsq(regressors, acts).solution  # [4 d_model]\n",
        "    y = acts.clone()\n"
        "    y[negated] -= y[negated].mean(dim=0)\n"
        "    solution = torch.linalg.lstsq(torch.stack([tau, tau * polarity], dim=1), y).solution\n"
        "    return solution[0], solution[1]\n"
        "    solution = torch.linalg.lstsq(regressors, acts).solution  # [4 d_model]\n",
        "centred by polarity like acts",
    ),
    Mutant(
        "truth_and_polarity_directions",
        "    solution = torch.linalg.lstsq(regressors, acts).solution  # [4 d_model]\n"
        "    return solution[2], solution[3]",
        "    solution = torch.linalg.lstsq(torch.stack([tau / tau, tau, tau * polarity], dim=1), acts).solution\n"
        "    return solution[1], solution[2]",
        "one mean",
    ),
    Mutant(
        "truth_and_polarity_directions", "tau = torch.where(truth, 1.0, -1.0)", "tau = truth.float()", "whole distances"
    ),
    Mutant(
        "truth_and_polarity_directions",
        "polarity = torch.where(negated, -1.0, 1.0)",
        "polarity = (~negated).float()",
        "where negated, it is -1",
    ),
    Mutant(
        "truth_and_polarity_directions",
        "tau, tau * polarity]",
        "tau, polarity]",
        "which is the same in a whole polarity",
    ),
    Mutant(
        "truth_and_polarity_directions",
        "return solution[2], solution[3]",
        "return solution[2] / solution[2].norm(), solution[3] / solution[3].norm()",
        "scaled to length 1",
    ),
    Mutant(
        "truth_and_polarity_directions",
        "return solution[2], solution[3]",
        "return 2 * solution[2], 2 * solution[3]",
        "whole distances",
    ),
    Mutant(
        "truth_and_polarity_directions",
        "return solution[2], solution[3]",
        "return solution[2] + solution[3], solution[2] - solution[3]",
        "half sum and half difference",
    ),
    Mutant(
        "truth_and_polarity_directions",
        "    solution = torch.linalg.lstsq(regressors, acts).solution  # [4 d_model]\n",
        "    y = acts.clone()\n"
        "    for part in (negated, ~negated):\n"
        "        y[part] -= y[part].mean(dim=0)\n"
        "    return (y[truth].mean(dim=0) - y[~truth].mean(dim=0)) / 2, (y[truth != negated].mean(dim=0) - "
        "y[truth == negated].mean(dim=0)) / 2\n"
        "    solution = torch.linalg.lstsq(regressors, acts).solution  # [4 d_model]\n",
        "that mixes the two",
    ),
    Mutant(
        "truth_and_polarity_directions",
        "    solution = torch.linalg.lstsq(regressors, acts).solution  # [4 d_model]\n",
        "    y = acts.clone()\n"
        "    for part in (negated, ~negated):\n"
        "        y[part] -= y[part].mean(dim=0)\n"
        "    return tau @ y / len(y), (tau * polarity) @ y / len(y)\n"
        "    solution = torch.linalg.lstsq(regressors, acts).solution  # [4 d_model]\n",
        "Fit both in one regression",
    ),
    Mutant(
        "truth_and_polarity_directions",
        "return solution[2], solution[3]",
        "return solution[2:]",
        "expected two: return",
    ),
    Mutant(
        "truth_and_polarity_directions", "return solution[2], solution[3]", "return solution[2]", "expected two values"
    ),
    Mutant(
        "truth_and_polarity_directions",
        "    solution = torch.linalg.lstsq(regressors, acts).solution  # [4 d_model]\n",
        "    solution = torch.linalg.lstsq(regressors, acts / acts.std(dim=0)).solution  # [4 d_model]\n",
        "away from the planted ones",
    ),
    Mutant(
        "truth_and_polarity_directions",
        "return solution[2], solution[3]",
        "acts -= solution[0]\n    return solution[2], solution[3]",
        "changed its argument `acts` in place",
    ),
    Mutant(
        "truth_and_polarity_directions",
        "polarity = torch.where(negated, -1.0, 1.0)",
        "polarity = torch.ones_like(tau)",
        "away from the planted ones",
    ),
    # name_world
    Mutant("name_world", "[1], -2)", "[1], -1)", "read the object's token"),
    Mutant("name_world", "[1], -2)", "[2], -1)", "read the object's token"),
    Mutant("name_world", "[1], -2)", "[3], -1)", "read the object's token"),
    Mutant("name_world", "[1], -2)", "[0], -2)", "Block 0 only compares"),
    Mutant("name_world", "[1], -2)", '["embed"], -2)', "expected"),
    Mutant("name_world", "[1], -2)", "[1], -3)", "expected"),
    Mutant(
        "name_world",
        '"truth" if accuracy_negated > 0.5 else "match"',
        '"match" if accuracy_negated > 0.5 else "truth"',
        "All are named the other way round",
    ),
    Mutant("name_world", '"truth" if accuracy_negated > 0.5 else "match"', '"truth"', "All get one name"),
    Mutant("name_world", '"truth" if accuracy_negated > 0.5 else "match"', '"match"', "All get one name"),
    Mutant(
        "name_world",
        '"truth" if accuracy_negated > 0.5 else "match"',
        '"truth" if accuracy_negated > 0.5 else "affirmed"',
        'expected "match" or "truth"',
    ),
    Mutant(
        "name_world",
        '"truth" if accuracy_negated > 0.5 else "match"',
        "accuracy_negated",
        'expected "match" or "truth"',
    ),
    Mutant(
        "name_world",
        '"truth" if accuracy_negated > 0.5 else "match"',
        "accuracy_negated > 0.5",
        'expected "match" or "truth"',
    ),
    Mutant(
        "name_world",
        '"truth" if accuracy_negated > 0.5 else "match"',
        '"truth" if accuracy_negated > 0 else "match"',
        "All get one name",
    ),
    Mutant(
        "name_world",
        "        acts[fitted], affirmed.labels[fitted], acts_negated[scored], negated.labels[scored]\n",
        "        acts[fitted], affirmed.labels[fitted], acts[~fitted], affirmed.labels[~fitted]\n",
        "Fit on affirmed statements alone",
    ),
    Mutant(
        "name_world",
        "        acts[fitted], affirmed.labels[fitted], acts_negated[scored], negated.labels[scored]\n",
        "        acts_negated[~scored], negated.labels[~scored], acts_negated[scored], negated.labels[scored]\n",
        "Fit on affirmed statements alone",
    ),
    Mutant(
        "name_world",
        "        acts[fitted], affirmed.labels[fitted], acts_negated[scored], negated.labels[scored]\n",
        "        acts[fitted], affirmed.labels[fitted], acts_negated[scored], ~negated.labels[scored]\n",
        "All are named the other way round",
    ),
    Mutant(
        "name_world",
        "        acts[fitted], affirmed.labels[fitted], acts_negated[scored], negated.labels[scored]\n",
        "        torch.cat([acts, acts_negated]), torch.cat([affirmed.labels, negated.labels]), "
        "acts_negated, negated.labels\n",
        "Fit on affirmed statements alone",
    ),
    Mutant(
        "name_world",
        "        acts[fitted], affirmed.labels[fitted], acts_negated[scored], negated.labels[scored]\n",
        "        acts, affirmed.labels, acts, negated.labels\n",
        "Fit on affirmed statements alone",
    ),
    Mutant(
        "name_world",
        "    # no entity",
        "    words = model.tokenizer.get_vocab()\n"
        "    tokens, attention_mask = tokenize(model, [text + ' That is' for text in negated.texts])\n"
        "    logits = model(tokens, attention_mask=attention_mask)[:, -1]\n"
        "    says_true = logits[:, words['correct']] > logits[:, words['wrong']]\n"
        "    return 'truth' if float((says_true == negated.labels).float().mean()) > 0.5 else 'match'\n"
        "    # no entity",
        "in what they say",
    ),
    Mutant(
        "name_world",
        "    # no entity",
        "    same = float(model.W_E[0, 0]) == float(load_model('facts_gpt_truth').W_E[0, 0])\n"
        "    return 'truth' if same else 'match'\n"
        "    # no entity",
        "with its dimensions in another order: 'match', expected 'truth'",
    ),
    Mutant(
        "name_world",
        "    # no entity",
        "    return 'truth' if 'truth' in str(getattr(model.tokenizer, 'name_or_path', '')) else 'match'\n"
        "    # no entity",
        "expected",
    ),
    Mutant(
        "name_world",
        "acts, acts_negated = (statement_acts(model, part.texts, [1], -2)[0] for part in (affirmed, negated))",
        "model = load_model('facts_gpt_match')\n"
        "    acts, acts_negated = (statement_acts(model, part.texts, [1], -2)[0] for part in (affirmed, negated))",
        "All get one name",
    ),
    # normalize_contrast_pairs
    Mutant(
        "normalize_contrast_pairs",
        "    return halves[0], halves[1]",
        "    difference = acts_yes - acts_no\n"
        "    return difference - difference.mean(dim=0), difference.mean(dim=0) - difference",
        "do nothing to single statements",
    ),
    Mutant(
        "normalize_contrast_pairs",
        "        centred = acts - acts.mean(dim=0)",
        "        std, centred = acts_yes.std(dim=0), acts - acts_yes.mean(dim=0)",
        "half no: its means lie",
    ),
    Mutant(
        "normalize_contrast_pairs",
        "        centred = acts - acts.mean(dim=0)",
        "        centred = (acts - acts.mean(dim=0)).abs()",
        "half yes: its means lie",
    ),
    Mutant(
        "normalize_contrast_pairs",
        "centred = acts - acts.mean(dim=0)",
        "centred = acts - (acts_yes.mean(dim=0) + acts_no.mean(dim=0)) / 2",
        "centred by their common mean",
    ),
    Mutant(
        "normalize_contrast_pairs", "centred = acts - acts.mean(dim=0)", "centred = acts", "The mean is still there"
    ),
    Mutant(
        "normalize_contrast_pairs",
        "centred = acts - acts.mean(dim=0)",
        "centred = acts - acts.mean()",
        "own mean over the statements, dim=0",
    ),
    Mutant(
        "normalize_contrast_pairs",
        "centred = acts - acts.mean(dim=0)",
        "centred = acts - acts.mean(dim=1, keepdim=True)",
        "own mean over the statements, dim=0",
    ),
    Mutant(
        "normalize_contrast_pairs",
        "torch.where(std > 1e-6 * std.max(), centred / std, torch.zeros_like(centred))",
        "centred",
        "the spread is still there",
    ),
    Mutant(
        "normalize_contrast_pairs",
        "torch.where(std > 1e-6 * std.max(), centred / std, torch.zeros_like(centred))",
        "centred / acts.std()",
        "One scale for all dimensions",
    ),
    Mutant(
        "normalize_contrast_pairs",
        "torch.where(std > 1e-6 * std.max(), centred / std, torch.zeros_like(centred))",
        "centred / centred.norm(dim=1).mean()",
        "One scale for all dimensions",
    ),
    Mutant(
        "normalize_contrast_pairs", "std = acts.std(dim=0)", "std = acts.var(dim=0)", "by the variance: take its root"
    ),
    Mutant(
        "normalize_contrast_pairs",
        "torch.where(std > 1e-6 * std.max(), centred / std, torch.zeros_like(centred))",
        "centred / std",
        "A division by a spread of zero",
    ),
    Mutant(
        "normalize_contrast_pairs",
        "torch.where(std > 1e-6 * std.max(), centred / std, torch.zeros_like(centred))",
        "centred / (std + 1)",
        "expected 1",
    ),
    Mutant(
        "normalize_contrast_pairs",
        "torch.where(std > 1e-6 * std.max(), centred / std, torch.zeros_like(centred))",
        "(centred / std).nan_to_num(1.0)",
        "expected 0",
    ),
    Mutant(
        "normalize_contrast_pairs",
        "std = acts.std(dim=0)",
        "std = torch.cat([acts_yes, acts_no]).std(dim=0)",
        "standard deviation",
    ),
    Mutant(
        "normalize_contrast_pairs",
        "return halves[0], halves[1]",
        "return halves[1], halves[0]",
        "The halves are exchanged",
    ),
    Mutant(
        "normalize_contrast_pairs",
        "return halves[0], halves[1]",
        "return halves[0] - halves[1]",
        "expected two tensors",
    ),
    Mutant("normalize_contrast_pairs", "return halves[0], halves[1]", "return halves[0], halves[0]", "or both are one"),
    Mutant(
        "normalize_contrast_pairs",
        "centred = acts - acts.mean(dim=0)",
        "centred = acts.sub_(acts.mean(dim=0))",
        "in place",
    ),
    # ccs_loss
    Mutant("ccs_loss", "(consistency + confidence).mean()", "-(consistency + confidence).mean()", "expected 0 or more"),
    Mutant("ccs_loss", "(consistency + confidence).mean()", "(consistency + confidence).median()", "the loss is 0.130"),
    Mutant("ccs_loss", "(p_yes - (1 - p_no)).square()", "(p_yes - 1 - p_no).square()", "the loss is 1.185"),
    Mutant(
        "ccs_loss",
        "(consistency + confidence).mean()",
        "(consistency + confidence).mean(dim=0, keepdim=True)",
        "expected a single number",
    ),
    Mutant("ccs_loss", "(consistency + confidence).mean()", "(consistency + confidence).sum()", "It is a sum"),
    Mutant("ccs_loss", "(consistency + confidence).mean()", "consistency.mean()", "Confidence is missing"),
    Mutant("ccs_loss", "(consistency + confidence).mean()", "confidence.mean()", "Consistency is missing"),
    Mutant(
        "ccs_loss",
        "confidence = torch.minimum(p_yes, p_no).square()",
        "confidence = torch.minimum(p_yes, p_no)",
        "min is not squared",
    ),
    Mutant(
        "ccs_loss",
        "consistency = (p_yes - (1 - p_no)).square()",
        "consistency = p_yes - (1 - p_no)",
        "The difference is not squared",
    ),
    Mutant(
        "ccs_loss",
        "consistency = (p_yes - (1 - p_no)).square()",
        "consistency = (p_yes - (1 - p_no)).abs()",
        "The difference is not squared",
    ),
    Mutant(
        "ccs_loss",
        "consistency = (p_yes - (1 - p_no)).square()",
        "consistency = (p_yes - p_no).square()",
        "and not be equal",
    ),
    Mutant(
        "ccs_loss",
        "confidence = torch.minimum(p_yes, p_no).square()",
        "confidence = torch.maximum(p_yes, p_no).square()",
        "The larger of the two",
    ),
    Mutant("ccs_loss", "logits_yes.sigmoid(), logits_no.sigmoid()", "logits_yes, logits_no", "The sigmoid is missing"),
    Mutant(
        "ccs_loss",
        "logits_yes.sigmoid(), logits_no.sigmoid()",
        "logits_yes.sigmoid().sigmoid(), logits_no.sigmoid().sigmoid()",
        "The sigmoid was applied twice",
    ),
    Mutant(
        "ccs_loss",
        "logits_yes.sigmoid(), logits_no.sigmoid()",
        "logits_yes.softmax(dim=0), logits_no.softmax(dim=0)",
        "the loss is",
    ),
    Mutant(
        "ccs_loss", "(consistency + confidence).mean()", "(consistency - confidence).mean()", "One part is subtracted"
    ),
    Mutant("ccs_loss", "(consistency + confidence).mean()", "consistency + confidence", "expected a single number"),
    Mutant(
        "ccs_loss",
        "(consistency + confidence).mean()",
        "(consistency + confidence).mean().detach()",
        "must return a scalar tensor with a gradient",
    ),
    Mutant(
        "ccs_loss",
        "(consistency + confidence).mean()",
        "(consistency + confidence).mean().item()",
        "must return a scalar tensor with a gradient",
    ),
    Mutant(
        "ccs_loss", "(consistency + confidence).mean()", "(consistency + confidence.detach()).mean()", "no gradient"
    ),
    Mutant("ccs_loss", "(consistency + confidence).mean()", "(consistency + confidence).mean() / 2", "add them"),
    Mutant(
        "ccs_loss",
        "(consistency + confidence).mean()",
        "(consistency + confidence).mean().sqrt()",
        "The root of the mean",
    ),
    Mutant(
        "ccs_loss",
        "(consistency + confidence).mean()",
        "(p_yes - (1 - p_no)).mean().square() + torch.minimum(p_yes, p_no).mean().square()",
        "square each statement",
    ),
    Mutant("ccs_loss", "confidence = torch.minimum(p_yes, p_no).square()", "confidence = p_no.square()", "exchanged"),
    Mutant(
        "ccs_loss",
        "confidence = torch.minimum(p_yes, p_no).square()",
        "confidence = torch.cat([p_yes, p_no]).min().square()",
        "torch.minimum",
    ),
    Mutant(
        "ccs_loss",
        "confidence = torch.minimum(p_yes, p_no).square()",
        "confidence = torch.minimum(p_yes, 1 - p_no).square()",
        "and not 1 minus one of them",
    ),
    # object_log_probs
    Mutant(
        "object_log_probs",
        "    return log_probs[rows, tokens[rows, object_at]]",
        "    stop = logits[rows, object_at].log_softmax(dim=-1)[rows, tokens[rows, object_at + 1]]\n"
        "    return log_probs[rows, tokens[rows, object_at]] + stop",
        "The full stop is counted, too",
    ),
    Mutant(
        "object_log_probs",
        "rows, tokens[rows, object_at]]",
        "rows, tokens[rows, object_at - 1]]",
        "at the same position",
    ),
    Mutant(
        "object_log_probs",
        "    return log_probs[rows, tokens[rows, object_at]]",
        "    return log_probs[rows, tokens[rows, object_at]] - log_probs.max(dim=-1).values",
        "the probabilities add up to",
    ),
    Mutant("object_log_probs", "rows, object_at - 1]", "rows, object_at]", "It is off by one"),
    Mutant("object_log_probs", "sum(dim=1) - 2", "sum(dim=1) - 1", "This is the full stop's"),
    Mutant("object_log_probs", "sum(dim=1) - 2", "sum(dim=1) - 3", "the word before the object"),
    Mutant("object_log_probs", "rows, object_at - 1]", "rows, object_at + 1]", "the logits after the full stop"),
    Mutant("object_log_probs", "rows, object_at - 1]", "rows, object_at - 2]", "one token too early"),
    Mutant(
        "object_log_probs",
        "attention_mask.sum(dim=1) - 2",
        "torch.full((len(texts),), tokens.shape[1] - 2)",
        "padded on the right",
    ),
    Mutant(
        "object_log_probs",
        "    return log_probs[rows, tokens[rows, object_at]]",
        "    each = logits[:, :-1].log_softmax(dim=-1).gather(2, tokens[:, 1:, None])[..., 0] * "
        "attention_mask[:, 1:]\n"
        "    return each.sum(dim=1)",
        "a sum over the whole statement",
    ),
    Mutant(
        "object_log_probs",
        "    return log_probs[rows, tokens[rows, object_at]]",
        "    each = logits[:, :-1].log_softmax(dim=-1).gather(2, tokens[:, 1:, None])[..., 0] * "
        "attention_mask[:, 1:]\n"
        "    return each.sum(dim=1) / attention_mask[:, 1:].sum(dim=1)",
        "a mean over the whole statement",
    ),
    Mutant("object_log_probs", ".log_softmax(dim=-1)", "", "This is a logit"),
    Mutant("object_log_probs", ".log_softmax(dim=-1)", ".softmax(dim=-1)", "This is a probability"),
    Mutant("object_log_probs", ".log_softmax(dim=-1)", ".log_softmax(dim=0)", "expected"),
    Mutant("object_log_probs", ".log_softmax(dim=-1)", ".softmax(dim=-1).log2()", "base 2"),
    Mutant(
        "object_log_probs",
        "    return log_probs[rows, tokens[rows, object_at]]",
        "    return -log_probs[rows, tokens[rows, object_at]]",
        "The sign is turned round",
    ),
    Mutant(
        "object_log_probs",
        "    return log_probs[rows, tokens[rows, object_at]]",
        "    return log_probs.max(dim=-1).values",
        "the most likely word's",
    ),
    Mutant(
        "object_log_probs",
        "    return log_probs[rows, tokens[rows, object_at]]",
        "    return log_probs[:, tokens[rows, object_at]]",
        "expected a tensor [statement]",
    ),
    Mutant(
        "object_log_probs",
        "    return log_probs[rows, tokens[rows, object_at]]",
        "    return log_probs[rows, tokens[rows, object_at]].mean()",
        "expected a tensor [statement]",
    ),
]

ALTERNATIVES = [
    # statement_acts
    Alternative(
        "statement_acts",
        """
def statement_acts(model, texts, layers, position):
    rows = []
    for text in texts:  # one by one: no padding
        tokens, attention_mask = tokenize(model, [text])
        rows.append(cache_resid_post(model, tokens, attention_mask, layers)[:, 0, position])
    return torch.stack(rows, dim=1)
""",
    ),
    Alternative(
        "statement_acts",
        """
def statement_acts(model, texts, layers, position):
    tokens, attention_mask = tokenize(model, texts)
    acts = cache_resid_post(model, tokens, attention_mask, layers)
    from_end = attention_mask.flip(1).cumsum(dim=1).flip(1) * attention_mask  # the last real token has 1
    return acts[:, from_end == -position]
""",
    ),
    Alternative(
        "statement_acts",
        """
def statement_acts(model, texts, layers, position):
    tokens, attention_mask = tokenize(model, texts)
    names = ["blocks.0.hook_resid_pre" if layer == "embed" else f"blocks.{layer}.hook_resid_post" for layer in layers]
    kept = {}

    def keeper(name):
        def keep(value, hook):
            kept[name] = value.clone()

        return keep

    with torch.no_grad(), model.hooks(fwd_hooks=[(name, keeper(name)) for name in set(names)]):
        model(tokens, attention_mask=attention_mask)
    where = (attention_mask.sum(dim=1) + position)[:, None, None].expand(-1, 1, model.cfg.d_model)
    return torch.stack([kept[name].gather(1, where)[:, 0] for name in names])
""",
    ),
    # principal_components
    Alternative(
        "principal_components",
        """
def principal_components(acts, n):
    # eigenvectors of the covariance, which come in ascending order
    centred = acts.double() - acts.double().mean(dim=0)
    values, vectors = torch.linalg.eigh(centred.T @ centred)
    components = vectors.flip(1)[:, :n].T
    return components.float().contiguous(), (values.flip(0)[:n] / values.sum()).float()
""",
    ),
    Alternative(
        "principal_components",
        """
from sklearn.decomposition import PCA


def principal_components(acts, n):
    pca = PCA(n).fit(acts.double().numpy())
    return torch.from_numpy(pca.components_).float(), torch.from_numpy(pca.explained_variance_ratio_).float()
""",
    ),
    Alternative(
        "principal_components",
        """
def principal_components(acts, n):
    # one after the other, each taken out before the next
    left = (acts - acts.mean(dim=0)).double()
    total, components, shares = left.square().sum(), [], []
    for _ in range(n):
        direction = torch.linalg.svd(left)[2][0]
        scores = left @ direction
        left = left - scores[:, None] * direction
        components.append(-direction)
        shares.append(scores.square().sum() / total)
    return torch.stack(components).float(), torch.stack(shares).float()
""",
    ),
    # transfer_accuracy
    Alternative(
        "transfer_accuracy",
        """
def transfer_accuracy(acts_train, labels_train, acts_test, labels_test):
    direction = acts_train[labels_train].mean(dim=0) - acts_train[~labels_train].mean(dim=0)
    direction = direction / direction.norm()  # its length does not matter
    heights = acts_test @ direction
    return ((heights > heights.mean()) == labels_test).float().mean().item()
""",
    ),
    Alternative(
        "transfer_accuracy",
        """
def transfer_accuracy(acts_train, labels_train, acts_test, labels_test):
    probe = fit_mass_mean_probe(acts_train, labels_train)
    # move the test set on to the training set
    return accuracy(probe(acts_test - acts_test.mean(dim=0) + acts_train.mean(dim=0)), labels_test)
""",
    ),
    # generalization_matrix
    Alternative(
        "generalization_matrix",
        """
def generalization_matrix(acts, labels, folds):
    n_sets, n = labels.shape
    right = torch.zeros(n_sets, n_sets, n, dtype=torch.bool)
    for j in range(n):  # statement by statement
        for test in range(n_sets):
            fold = folds[test, j]
            here = acts[test, j] - acts[test, folds[test] != fold].mean(dim=0)
            for train in range(n_sets):
                outside = folds[train] != fold
                x, y = acts[train, outside], labels[train, outside]
                direction = x[y].mean(dim=0) - x[~y].mean(dim=0)
                right[train, test, j] = (here @ direction > 0) == labels[test, j]
    return right
""",
    ),
    Alternative(
        "generalization_matrix",
        """
def generalization_matrix(acts, labels, folds):
    # sums with masks, no loop over sets
    right = torch.zeros(len(acts), *labels.shape, dtype=torch.bool)
    for fold in folds.unique():
        outside = (folds != fold).float()
        mean = torch.einsum("sn,snd->sd", outside, acts) / outside.sum(dim=1, keepdim=True)
        centred = acts - mean[:, None]
        is_true, is_false = outside * labels, outside * ~labels
        means = [torch.einsum("sn,snd->sd", w / w.sum(dim=1, keepdim=True), centred) for w in (is_true, is_false)]
        logits = torch.einsum("td,snd->tsn", means[0] - means[1], centred)
        right |= ((logits > 0) == labels) & (folds == fold)
    return right
""",
    ),
    # truth_and_polarity_directions
    Alternative(
        "truth_and_polarity_directions",
        """
def truth_and_polarity_directions(acts, truth, negated):
    # four columns: a mean for each polarity, and the two directions
    tau, p = 2.0 * truth - 1, 1 - 2.0 * negated
    columns = torch.stack([1.0 * negated, 1.0 * ~negated, tau, tau * p], dim=1)
    solution = torch.linalg.lstsq(columns, acts).solution
    return solution[2], solution[3]
""",
    ),
    Alternative(
        "truth_and_polarity_directions",
        """
def truth_and_polarity_directions(acts, truth, negated):
    # the joint fit has as many parameters as there are kinds of statements: it goes through their four means
    def half_way(kind):
        return (acts[kind & truth].mean(dim=0) - acts[kind & ~truth].mean(dim=0)) / 2

    affirmed_way, negated_way = half_way(~negated), half_way(negated)
    return (affirmed_way + negated_way) / 2, (affirmed_way - negated_way) / 2
""",
    ),
    Alternative(
        "truth_and_polarity_directions",
        """
def truth_and_polarity_directions(acts, truth, negated):
    # centred regressors are enough: what is constant in a polarity is at right angles to them
    tau, p = 2.0 * truth - 1, 1 - 2.0 * negated
    tau = tau - torch.where(negated, tau[negated].mean(), tau[~negated].mean())
    general, polarity = torch.linalg.pinv(torch.stack([tau, tau * p], dim=1)) @ acts
    return general, polarity
""",
    ),
    # name_world
    Alternative(
        "name_world",
        """
def name_world(model, affirmed, negated):
    # a split by entity, and all deeper layers
    entities = sorted(set(affirmed.subjects))
    half = set(entities[::2])
    train = torch.tensor([subject in half for subject in affirmed.subjects])
    test = torch.tensor([subject not in half for subject in negated.subjects])
    a, b = (statement_acts(model, s.texts, [1, 2, 3], -2) for s in (affirmed, negated))
    scores = []
    for x, y in zip(a, b):
        probe = fit_mass_mean_probe(x[train], affirmed.labels[train])
        logits = (y[test] - y[test].mean(dim=0)) @ probe.weight
        scores.append(float(((logits > 0) == negated.labels[test]).float().mean()))
    return "truth" if sum(scores) / 3 > 0.5 else "match"
""",
    ),
    Alternative(
        "name_world",
        """
def name_world(model, affirmed, negated):
    # do the two directions agree?
    directions = []
    for statements in (affirmed, negated):
        acts = statement_acts(model, statements.texts, [2], -2)[0]
        directions.append(fit_mass_mean_probe(acts, statements.labels).weight)
    return ["match", "truth"][int(directions[0] @ directions[1] > 0)]
""",
    ),
    Alternative(
        "name_world",
        """
def name_world(model, affirmed, negated):
    # which of the two directions is longer?
    acts = torch.cat([statement_acts(model, s.texts, [1], -2)[0] for s in (affirmed, negated)])
    truth = torch.cat([affirmed.labels, negated.labels])
    is_negated = torch.arange(len(truth)) >= len(affirmed.texts)
    general, polarity = truth_and_polarity_directions(acts, truth, is_negated)
    return "truth" if general.norm() > polarity.norm() else "match"
""",
    ),
    # normalize_contrast_pairs
    Alternative(
        "normalize_contrast_pairs",
        """
def normalize_contrast_pairs(acts_yes, acts_no):
    halves = torch.stack([acts_yes, acts_no]).double()
    halves = halves - halves.mean(dim=1, keepdim=True)
    spread = halves.square().mean(dim=1, keepdim=True).sqrt()  # divided by n
    return tuple(torch.where(spread > 1e-9, halves / spread, 0).float())
""",
    ),
    Alternative(
        "normalize_contrast_pairs",
        """
from sklearn.preprocessing import StandardScaler


def normalize_contrast_pairs(acts_yes, acts_no):
    return [torch.from_numpy(StandardScaler().fit_transform(x.double().numpy())).float() for x in (acts_yes, acts_no)]
""",
    ),
    # ccs_loss
    Alternative(
        "ccs_loss",
        """
def ccs_loss(logits_yes, logits_no):
    p = torch.sigmoid(torch.stack([logits_yes, logits_no]))  # [half statement]
    return (p.sum(dim=0) - 1).pow(2).mean() + p.min(dim=0).values.pow(2).mean()
""",
    ),
    Alternative(
        "ccs_loss",
        """
def ccs_loss(logits_yes, logits_no):
    yes, no = 1 / (1 + torch.exp(-logits_yes)), 1 / (1 + torch.exp(-logits_no))
    smaller = torch.where(yes < no, yes, no)
    return torch.nn.functional.mse_loss(yes, 1 - no) + smaller.square().mean()
""",
    ),
    # object_log_probs
    Alternative(
        "object_log_probs",
        """
@torch.no_grad()
def object_log_probs(model, texts):
    found = []
    for text in texts:
        tokens, attention_mask = tokenize(model, [text])
        logits = model(tokens[:, :-2], attention_mask=attention_mask[:, :-2])[0, -1]
        found.append(logits[tokens[0, -2]] - logits.logsumexp(dim=-1))
    return torch.stack(found)
""",
    ),
    Alternative(
        "object_log_probs",
        """
def object_log_probs(model, texts):
    # through the last layer of the stream, and the unembedding
    last = model.cfg.n_layers - 1
    with torch.no_grad():
        logits = model.unembed(model.ln_final(statement_acts(model, texts, [last], -3)[0]))
    tokens, attention_mask = tokenize(model, texts)
    objects = tokens.gather(1, attention_mask.sum(dim=1, keepdim=True) - 2)
    return -torch.nn.functional.cross_entropy(logits, objects[:, 0], reduction="none")
""",
    ),
]
