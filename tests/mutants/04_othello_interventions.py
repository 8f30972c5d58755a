"""Chapter 04: planted wrong answers with the words their feedback must hold, and right answers by other roads."""

from utils.course.mutants import Alternative, Mutant

MUTANTS = [
    # intervention_errors
    Mutant("intervention_errors", "!= legal_after).sum(dim=1)", "& ~legal_after).sum(dim=1)", "one kind of errors"),
    Mutant(
        "intervention_errors",
        "((rank < n_legal) != legal_after)",
        "(~(rank < n_legal) & legal_after)",
        "one kind of errors",
    ),
    Mutant("intervention_errors", "!= legal_after)", "& legal_after)", "These are the hits"),
    Mutant("intervention_errors", "descending=True).argsort(dim=1)", "descending=True)", "argsort twice"),
    Mutant("intervention_errors", ", descending=True", "", "the N least likely tokens"),
    Mutant("intervention_errors", "rank < n_legal", "rank <= n_legal", "One token too many"),
    Mutant("intervention_errors", "rank < n_legal", "rank < n_legal - 1", "One token too few"),
    Mutant("intervention_errors", "rank < n_legal", "rank < n_legal[0]", "that of the first case"),
    Mutant("intervention_errors", "rank < n_legal", "rank < n_legal.max()", "the same for all, the largest"),
    Mutant("intervention_errors", "(rank < n_legal)", "(logits > 0)", "do not depend on a threshold"),
    Mutant("intervention_errors", "legal_after).sum(dim=1)", "legal_after).sum()", "one for each case"),
    Mutant(
        "intervention_errors",
        "legal_after).sum(dim=1)",
        "legal_after).sum(dim=1) / n_legal[:, 0]",
        "take no mean and no share",
    ),
    Mutant("intervention_errors", "(rank < n_legal)", "(rank < 1)", "expected [2, 4, 2, 2]"),
    # square_effect_directions
    Mutant("square_effect_directions", "return 2 * coefficients", "return coefficients", "changes by two"),
    Mutant("square_effect_directions", "return 2 * coefficients", "return -2 * coefficients", "The sign is turned"),
    Mutant(
        "square_effect_directions",
        "coefficients[: boards.shape[1]]",
        "coefficients[boards.shape[1] :]",
        "the rows of what is taken",
    ),
    Mutant(
        "square_effect_directions",
        "torch.cat([colour, (boards != EMPTY).float()], dim=1)",
        "colour",
        "features of its own",
    ),
    Mutant(
        "square_effect_directions",
        "    return 2",
        "    return torch.stack([resid[boards[:, s] == MINE].mean(dim=0) - resid[boards[:, s] == YOURS].mean(dim=0)\n"
        "                        for s in range(boards.shape[1])])\n"
        "    return 2",
        "differences of means",
    ),
    Mutant(
        "square_effect_directions",
        "torch.linalg.solve(gram, features.T @ (resid - resid.mean(dim=0)))",
        "features.T @ (resid - resid.mean(dim=0)) / gram.diagonal()[:, None]",
        "holds the others",
    ),
    Mutant(
        "square_effect_directions",
        "    features = features - features.mean(dim=0)\n",
        "",
        "Centre the features",
    ),
    Mutant("square_effect_directions", "l2 * torch.eye", "torch.eye", "whatever is passed"),
    Mutant("square_effect_directions", "l2 * torch.eye", "1e-6 * torch.eye", "Does l2 reach"),
    Mutant(
        "square_effect_directions", "l2 * torch.eye", "len(boards) * l2 * torch.eye", "was multiplied by the number"
    ),
    Mutant(
        "square_effect_directions",
        "features.T @ features + l2",
        "features.T @ features / len(boards) + l2",
        "divide neither",
    ),
    Mutant(
        "square_effect_directions",
        "(boards == MINE).float() - (boards == YOURS).float()",
        "boards.float()",
        "away from the planted ones",
    ),
    Mutant(
        "square_effect_directions",
        "return 2 * coefficients[: boards.shape[1]]",
        "return 2 * coefficients[: boards.shape[1]].T",
        "The axes are in another order",
    ),
    Mutant(
        "square_effect_directions",
        "    features = features - features.mean(dim=0)",
        "    resid -= resid.mean(dim=0)\n    features = features - features.mean(dim=0)",
        "changed its argument `resid` in place",
    ),
    # edit_square
    Mutant("edit_square", "1.0, -1.0)", "-1.0, 1.0)", "The sign is turned round"),
    Mutant("edit_square", "1.0, -1.0)", "1.0, 1.0)", "All are pushed forwards"),
    Mutant("edit_square", "1.0, -1.0)", "1.0, 0.0)", "True and False are not 1 and -1"),
    Mutant("edit_square", "scale * sign", "sign", "The scale is left out"),
    Mutant("edit_square", "scale * sign", "scale * scale * sign", "The scale counts twice"),
    Mutant(
        "edit_square",
        "effects[squares]",
        "torch.nn.functional.normalize(effects[squares], dim=1)",
        "their length is the natural size",
    ),
    Mutant("edit_square", "effects[squares]", "effects[: len(squares)]", "The first effects are taken"),
    Mutant("edit_square", "return resid + scale", "return scale", "The streams are gone"),
    Mutant("edit_square", "effects[squares]", "effects[squares].sum(dim=0)", "one for each"),
    Mutant(
        "edit_square",
        "return resid + scale * sign[:, None] * effects[squares]",
        "resid += scale * sign[:, None] * effects[squares]\n    return resid",
        "changed its argument `resid` in place",
    ),
    Mutant("edit_square", "sign[:, None]", "sign[0]", "All are pushed forwards"),
    # cure_belief
    Mutant("cure_belief", "1.0, -1.0)", "-1.0, 1.0)", "further from the truth"),
    Mutant("cure_belief", " & (believed != EMPTY) & (boards != EMPTY)", "", "empty ones too"),
    Mutant("cure_belief", " & (boards != EMPTY)", "", "Squares that are empty on the true board"),
    Mutant("cure_belief", " & (believed != EMPTY)", "", "Squares that are believed to be empty"),
    Mutant("cure_belief", "(believed != boards) & ", "", "believed rightly are pushed, too"),
    Mutant("cure_belief", "(believed != boards)", "(believed == boards)", "and wrong ones are not"),
    Mutant("cure_belief", "1.0, -1.0)", "1.0, 1.0)", "all pushed towards mine"),
    Mutant("cure_belief", "(wrong * sign)", "(boards - believed).float()", "The numbers of the states"),
    Mutant(
        "cure_belief",
        "(wrong * sign)",
        "(wrong * sign) / wrong.sum(dim=1, keepdim=True).clamp(min=1)",
        "a mean over the wrong squares",
    ),
    Mutant("cure_belief", "(wrong * sign)", "(wrong * sign).sum(dim=0)", "gets the pushes of all"),
    Mutant("cure_belief", "scale * (wrong", "(wrong", "The scale multiplies the push"),
    Mutant("cure_belief", "resid + scale * (wrong", "scale * (wrong", "change"),
    Mutant("cure_belief", "torch.where(boards == MINE", "torch.where(believed == MINE", "further from the truth"),
    Mutant("cure_belief", "(wrong * sign)", "2 * (wrong * sign)", "the double push"),
    Mutant(
        "cure_belief",
        "return resid + scale * (wrong * sign) @ effects",
        "return (resid + scale * (wrong * sign) @ effects).T",
        "The axes are in another order",
    ),
    # neuron_board_weights
    Mutant(
        "neuron_board_weights",
        "unit = w_out / w_out.norm(dim=1, keepdim=True)",
        "w_out /= w_out.norm(dim=1, keepdim=True)\n    unit = w_out",
        "changed the weights of `model` in place",
    ),
    Mutant(
        "neuron_board_weights",
        "normalize(directions, dim=1)",
        "directions.div_(directions.norm(dim=1, keepdim=True))",
        "changed its argument `directions` in place",
    ),
    Mutant("neuron_board_weights", "normalize(directions, dim=1)", "directions", "The directions are not scaled"),
    Mutant("neuron_board_weights", "w_out / w_out.norm(dim=1, keepdim=True)", "w_out", "rows are not scaled"),
    Mutant("neuron_board_weights", "w_out.norm(dim=1, keepdim=True)", "w_out.norm()", "by its own length"),
    Mutant("neuron_board_weights", "dim=1, keepdim=True", "dim=0, keepdim=True", "by its own length"),
    Mutant("neuron_board_weights", "blocks[layer]", "blocks[-1]", "take `layer`"),
    Mutant("neuron_board_weights", "mlp.W_out", "mlp.W_in.T", "what the neurons read"),
    Mutant(
        "neuron_board_weights",
        "unit @ normalize(directions, dim=1).T",
        "(unit @ normalize(directions, dim=1).T).abs()",
        "The sign is lost",
    ),
    Mutant(
        "neuron_board_weights",
        "return unit @ normalize(directions, dim=1).T",
        "return normalize(directions, dim=1) @ unit.T",
        "The axes are in another order",
    ),
    Mutant(
        "neuron_board_weights",
        "unit @ normalize(directions, dim=1).T",
        "torch.rand(len(unit), len(directions)) * 2 - 1",
        "two calls give two tables",
    ),
    # logit_lens
    Mutant("logit_lens", "model.ln_final(resid)", "resid", "The final LayerNorm is left out"),
    Mutant(
        "logit_lens",
        "model.ln_final(resid)",
        "torch.nn.functional.layer_norm(resid, resid.shape[-1:])",
        "own weight and bias are left out",
    ),
    Mutant("logit_lens", "model.ln_final(resid)", "model.ln_final(model.ln_final(resid))", "applied twice"),
    Mutant(
        "logit_lens",
        "model.ln_final(resid))",
        "model.ln_final(resid)).softmax(dim=-1)",
        "return logits, no probabilities",
    ),
    Mutant(
        "logit_lens",
        "model.ln_final(resid))",
        "model.ln_final(resid)).log_softmax(dim=-1)",
        "logarithms of probabilities",
    ),
    Mutant("logit_lens", "model.ln_final(resid)", "model.ln_final(resid.cumsum(dim=0))", "among others than alone"),
    Mutant("logit_lens", "model.ln_final(resid))", "model.ln_final(resid[-1]))", "1 axis is missing"),
    Mutant(
        "logit_lens",
        "model.ln_final(resid)",
        "torch.cat([resid[:-1], model.ln_final(resid[-1:])])",
        "at every layer",
    ),
    # fit_tuned_lens
    Mutant("fit_tuned_lens", "update.weight + torch.eye(resid.shape[1])", "update.weight", "add the identity"),
    Mutant("fit_tuned_lens", "final - resid", "final", "fit it to final - resid"),
    Mutant(
        "fit_tuned_lens",
        "return LinearProbe(weight=update.weight + torch.eye(resid.shape[1]), bias=update.bias)",
        "return fit_ridge_probe(resid, final, l2=l2)",
        "The penalty pulls the whole weight to 0",
    ),
    Mutant("fit_tuned_lens", "final - resid", "resid - final", "away from it"),
    Mutant("fit_tuned_lens", "update.weight +", "update.weight.T +", "The weight is transposed"),
    Mutant(
        "fit_tuned_lens",
        "fit_ridge_probe(resid, final - resid, l2=l2)",
        "fit_ridge_probe(resid, final - resid, l2=1.0)",
        "Does l2 reach",
    ),
    Mutant("fit_tuned_lens", "bias=update.bias", "bias=torch.zeros_like(update.bias)", "The bias is left out"),
    Mutant(
        "fit_tuned_lens", "torch.eye(resid.shape[1])", "torch.ones(resid.shape[1], resid.shape[1])", "torch.eye has"
    ),
    Mutant("fit_tuned_lens", "torch.eye(resid.shape[1])", "2 * torch.eye(resid.shape[1])", "identity is added twice"),
    Mutant(
        "fit_tuned_lens",
        "return LinearProbe(weight=update.weight + torch.eye(resid.shape[1]), bias=update.bias)",
        "return update.weight + torch.eye(resid.shape[1])",
        "expected LinearProbe",
    ),
    Mutant(
        "fit_tuned_lens", "fit_ridge_probe(resid, final - resid", "fit_ridge_probe(final, resid - final", "the way back"
    ),
    # patch_resid
    Mutant("patch_resid", "resid[:, pos] = given", "resid[:, pos] += given", "The source's vector was added"),
    Mutant("patch_resid", "resid[:, pos] = given", "pass", "Nothing was patched"),
    Mutant("patch_resid", "[layer])[0, :, pos]", "[layer])[0, :, pos - 1]", "one position before"),
    Mutant("patch_resid", "(model, source, mask", "(model, tokens, mask", "Nothing was patched"),
    Mutant(
        "patch_resid",
        "model.run_with_hooks(tokens,",
        "model.run_with_hooks(source,",
        "These are the logits of source",
    ),
    Mutant("patch_resid", 'hook_resid_post", put)', 'hook_resid_pre", put)', "before the block"),
    Mutant("patch_resid", "blocks.{layer}.hook", "blocks.{max(layer - 1, 0)}.hook", "before the block"),
    Mutant(
        "patch_resid",
        'f"blocks.{layer}.hook_resid_post"',
        'f"blocks.{layer - 1}.hook_resid_post" if layer else "blocks.0.hook_resid_pre"',
        "before the block",
    ),
    Mutant("patch_resid", "[0, :, pos]  #", "[0, :, pos].mean(dim=0)  #", "mean of all sources"),
    Mutant("patch_resid", "resid[:, pos] = given", "resid[:, -1] = given", "put at the last position"),
    Mutant(
        "patch_resid",
        "[0, :, pos]  # [game d_model]\n\n"
        '    def put(resid: Float[Tensor, "game pos d_model"], hook: object) -> Tensor:\n'
        "        resid = resid.clone()\n"
        "        resid[:, pos] = given",
        "[0]\n\n    def put(resid, hook):\n        resid = resid.clone()\n"
        "        resid[:, : pos + 1] = given[:, : pos + 1]",
        "up to pos were patched",
    ),
    Mutant(
        "patch_resid",
        "[0, :, pos]  # [game d_model]\n\n"
        '    def put(resid: Float[Tensor, "game pos d_model"], hook: object) -> Tensor:\n'
        "        resid = resid.clone()\n"
        "        resid[:, pos] = given",
        "[0]\n\n    def put(resid, hook):\n        resid = resid.clone()\n        resid[:, pos:] = given[:, pos:]",
        "from pos on were patched",
    ),
    Mutant(
        "patch_resid",
        "[0, :, pos]  # [game d_model]\n\n"
        '    def put(resid: Float[Tensor, "game pos d_model"], hook: object) -> Tensor:\n'
        "        resid = resid.clone()\n"
        "        resid[:, pos] = given",
        "[0]\n\n    def put(resid, hook):\n        resid = resid.clone()\n        resid[:, :] = given[:, :]",
        "These are the logits of source",
    ),
    Mutant("patch_resid", 'return_type="logits")[:, -1]', 'return_type="logits")[:, pos]', "the logits at pos"),
    Mutant("patch_resid", 'return_type="logits")[:, -1]', 'return_type="logits")', "has shape"),
    Mutant(
        "patch_resid",
        'return model.run_with_hooks(tokens, attention_mask=mask, fwd_hooks=hooks, return_type="logits")[:, -1]',
        'model.add_hook(*hooks[0])\n        return model(tokens, attention_mask=mask, return_type="logits")[:, -1]',
        "left a hook on the model",
    ),
    Mutant(
        "patch_resid",
        "resid[:, pos] = given\n        return resid",
        "resid[:, pos] = given",
        "Nothing was patched",
    ),
    Mutant("patch_resid", "[layer])[0", "[max(layer - 1, 0)])[0", "from the layer before"),
]

ALTERNATIVES = [
    # intervention_errors
    Alternative(
        "intervention_errors",
        """
def intervention_errors(logits, legal_after):
    counts = []
    for row, legal in zip(logits, legal_after, strict=True):
        playable = set(row.topk(int(legal.sum())).indices.tolist())
        counts.append(len(playable ^ set(legal.nonzero().flatten().tolist())))
    return torch.tensor(counts)
""",
    ),
    Alternative(
        "intervention_errors",
        """
def intervention_errors(logits, legal_after):
    # the threshold of each case is its N-th largest logit
    n_legal = legal_after.sum(dim=1, keepdim=True)
    threshold = logits.sort(dim=1, descending=True).values.gather(1, n_legal - 1)
    hits = ((logits >= threshold) & legal_after).sum(dim=1)
    return 2 * (n_legal[:, 0] - hits)
""",
    ),
    # square_effect_directions
    Alternative(
        "square_effect_directions",
        """
from sklearn.linear_model import Ridge


def square_effect_directions(resid, boards, l2):
    n_squares = boards.shape[1]
    features = torch.cat([1.0 * (boards == MINE) - 1.0 * (boards == YOURS), 1.0 * (boards > 0)], dim=1)
    ridge = Ridge(alpha=l2, solver="svd").fit(features.double().numpy(), resid.double().numpy())
    return torch.from_numpy(2 * ridge.coef_[:, :n_squares].T).float()
""",
    ),
    Alternative(
        "square_effect_directions",
        """
def square_effect_directions(resid, boards, l2):
    # lstsq on stacked rows: the penalty is 2 * n_squares more observations of zero
    boards = boards.long()
    table = torch.tensor([[0.0, 0.0], [1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64)  # EMPTY, MINE, YOURS
    features = table[boards].transpose(1, 2).flatten(1)
    features = features - features.mean(dim=0)
    n = features.shape[1]
    rows = torch.cat([features, l2**0.5 * torch.eye(n, dtype=torch.float64)])
    targets = torch.cat([resid.double() - resid.double().mean(dim=0), torch.zeros(n, resid.shape[1]).double()])
    solution = torch.linalg.lstsq(rows, targets, driver="gelsd").solution.float()
    return solution[: boards.shape[1]] * 2
""",
    ),
    Alternative(
        "square_effect_directions",
        """
def square_effect_directions(resid, boards, l2):
    # the probe fitter of chapter 01, with the two sides exchanged
    mine, yours = (boards == MINE).float(), (boards == YOURS).float()
    probe = fit_ridge_probe(torch.cat([mine - yours, mine + yours], dim=1), resid, l2=l2)
    return 2 * probe.weight.T[: boards.shape[1]]
""",
    ),
    # edit_square
    Alternative(
        "edit_square",
        """
def edit_square(resid, effects, squares, to_mine, scale):
    edited = resid.clone()
    for case, (square, mine) in enumerate(zip(squares.tolist(), to_mine.tolist(), strict=True)):
        edited[case] += scale * effects[square] if mine else -scale * effects[square]
    return edited
""",
    ),
    Alternative(
        "edit_square",
        """
def edit_square(resid, effects, squares, to_mine, scale):
    one_hot = torch.nn.functional.one_hot(squares.long(), len(effects)).float()  # [case square]
    sign = 2 * to_mine.float() - 1
    return torch.addmm(resid, one_hot * sign.unsqueeze(1), effects, alpha=scale)
""",
    ),
    # cure_belief
    Alternative(
        "cure_belief",
        """
def cure_belief(resid, believed, boards, effects, scale):
    towards_mine = (believed == YOURS) & (boards == MINE)
    towards_yours = (believed == MINE) & (boards == YOURS)
    return resid + scale * (towards_mine.float() @ effects - towards_yours.float() @ effects)
""",
    ),
    Alternative(
        "cure_belief",
        """
def cure_belief(resid, believed, boards, effects, scale):
    cured = resid.clone()
    for position, square in ((believed * boards) == 2).nonzero().tolist():  # 1 and 2, or 2 and 1
        cured[position] += scale * (effects[square] if boards[position, square] == MINE else -effects[square])
    return cured
""",
    ),
    # neuron_board_weights
    Alternative(
        "neuron_board_weights",
        """
def neuron_board_weights(model, layer, directions):
    rows = model.blocks[layer].mlp.W_out.clone()
    rows /= rows.norm(dim=-1, keepdim=True)  # of a copy
    columns = directions.T / directions.norm(dim=1)
    return rows @ columns
""",
    ),
    Alternative(
        "neuron_board_weights",
        """
def neuron_board_weights(model, layer, directions):
    rows = model.blocks[layer].mlp.W_out
    tables = [torch.nn.functional.cosine_similarity(rows, direction[None], dim=1) for direction in directions]
    return torch.stack(tables, dim=1)
""",
    ),
    # logit_lens
    Alternative(
        "logit_lens",
        """
def logit_lens(model, resid):
    logits = []
    for layer in resid:
        centred = layer - layer.mean(dim=-1, keepdim=True)
        normed = centred / (centred.square().mean(dim=-1, keepdim=True) + model.cfg.eps).sqrt()
        normed = normed * model.ln_final.weight + model.ln_final.bias
        logits.append(normed @ model.W_U)
    return torch.stack(logits)
""",
    ),
    Alternative(
        "logit_lens",
        """
def logit_lens(model, resid):
    flat = resid.reshape(-1, resid.shape[-1])
    return model.unembed(model.ln_final(flat[:, None]))[:, 0].reshape(*resid.shape[:-1], -1)
""",
    ),
    # fit_tuned_lens
    Alternative(
        "fit_tuned_lens",
        """
def fit_tuned_lens(resid, final, l2):
    # the closed form, with the penalty pulling towards the identity
    x, y = (part.double() - part.double().mean(dim=0) for part in (resid, final))
    eye = torch.eye(resid.shape[1], dtype=torch.float64)
    weight = torch.linalg.solve(x.T @ x + l2 * eye, x.T @ y + l2 * eye).T.float()
    return LinearProbe(weight=weight, bias=final.mean(dim=0) - weight @ resid.mean(dim=0))
""",
    ),
    Alternative(
        "fit_tuned_lens",
        """
from sklearn.linear_model import Ridge


def fit_tuned_lens(resid, final, l2):
    ridge = Ridge(alpha=l2).fit(resid.double().numpy(), (final - resid).double().numpy())
    weight = torch.from_numpy(ridge.coef_).float().reshape(resid.shape[1], -1)
    bias = torch.from_numpy(ridge.intercept_).float().reshape(-1)
    return LinearProbe(weight=weight + torch.eye(len(weight)), bias=bias)
""",
    ),
    # patch_resid
    Alternative(
        "patch_resid",
        """
def patch_resid(model, tokens, source, layer, pos):
    # no hook of its own: start in the middle, from a stream that is put together
    mask = torch.ones_like(tokens)
    streams = cache_resid_post(model, torch.cat([tokens, source]), torch.cat([mask, mask]), [layer])[0]
    own, other = streams.chunk(2)
    own[:, pos] = other[:, pos]
    with torch.no_grad():
        if layer == model.cfg.n_layers - 1:
            return model.unembed(model.ln_final(own))[:, -1]
        return model(own, start_at_layer=layer + 1, return_type="logits")[:, -1]
""",
    ),
    Alternative(
        "patch_resid",
        """
def patch_resid(model, tokens, source, layer, pos):
    name, kept = f"blocks.{layer}.hook_resid_post", {}

    def keep(resid, hook):
        kept["source"] = resid.clone()

    def put(resid, hook):
        here = torch.arange(resid.shape[1]) == pos
        return torch.where(here[None, :, None], kept["source"], resid)

    with torch.no_grad():
        mask = torch.ones_like(source)
        with model.hooks(fwd_hooks=[(name, keep)]):
            model(source, attention_mask=mask, return_type=None)
        with model.hooks(fwd_hooks=[(name, put)]):
            logits = model(tokens, attention_mask=mask, return_type="logits")
    return logits[:, -1, :]
""",
    ),
]
