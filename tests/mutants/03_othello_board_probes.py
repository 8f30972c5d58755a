"""Chapter 03: planted wrong answers with the words their feedback must hold, and right answers by other roads."""

from utils.course.mutants import Alternative, Mutant

MUTANTS = [
    # legal_move_rate
    Mutant("legal_move_rate", "counted = n_legal > 0", "counted = n_legal >= 0", "0 / 0 is NaN"),
    Mutant(
        "legal_move_rate",
        "    return float(by_rank[..., 0][counted].float().mean()), float(top_n[counted].mean())",
        "    return float(by_rank[..., 0].float().mean()), float(top_n.nan_to_num().mean())",
        "are counted as wrong",
    ),
    Mutant(
        "legal_move_rate",
        "    return float(by_rank[..., 0][counted].float().mean()), float(top_n[counted].mean())",
        "    return float(by_rank[..., 0][counted].float().mean()), float(top_n.nan_to_num(1).mean())",
        "are counted as right",
    ),
    Mutant("legal_move_rate", ", descending=True", "", "The least likely token was taken"),
    Mutant(
        "legal_move_rate",
        "    return float(by_rank[..., 0][counted].float().mean()), float(top_n[counted].mean())",
        "    return float(top_n[counted].mean()), float(by_rank[..., 0][counted].float().mean())",
        "the first of the two numbers is top-1",
    ),
    Mutant(
        "legal_move_rate",
        "top_n = (by_rank & in_top_n).sum(dim=-1) / n_legal",
        "top_n = (logits.softmax(dim=-1) * legal).sum(dim=-1)",
        "This is the probability of the legal moves",
    ),
    Mutant(
        "legal_move_rate",
        "top_n = (by_rank & in_top_n).sum(dim=-1) / n_legal",
        "top_n = ((by_rank & in_top_n).sum(dim=-1) == n_legal).float()",
        "Only positions with all N legal count",
    ),
    Mutant(
        "legal_move_rate",
        "float(top_n[counted].mean())",
        "float((by_rank & in_top_n).sum() / n_legal.sum())",
        "All tokens are pooled",
    ),
    Mutant(
        "legal_move_rate",
        "float(top_n[counted].mean())",
        "float(top_n.nanmean(dim=1).mean())",
        "a mean for each game",
    ),
    Mutant("legal_move_rate", "< n_legal[..., None]", "<= n_legal[..., None]", "One token too many was looked at"),
    Mutant(
        "legal_move_rate",
        "logits.argsort(dim=-1, descending=True)",
        "logits[..., 1:].argsort(dim=-1, descending=True)",
        "legal_move_rate` raised",
    ),
    Mutant(
        "legal_move_rate",
        "    n_legal =",
        "    legal, logits = legal[..., 1:], logits[..., 1:]\n    n_legal =",
        "Padding is left out",
    ),
    Mutant(
        "legal_move_rate",
        "    n_legal =",
        "    order = logits[..., 1:].argsort(dim=-1, descending=True)\n"
        "    first = legal.gather(-1, order[..., :1])[..., 0]\n"
        "    going = legal.any(dim=-1)\n"
        "    by_rank, n = legal.gather(-1, order), legal.sum(dim=-1)\n"
        "    share = (by_rank & (torch.arange(order.shape[-1]) < n[..., None])).sum(dim=-1) / n\n"
        "    return float(first[going].float().mean()), float(share[going].mean())\n"
        "    n_legal =",
        "every token is taken for its neighbour",
    ),
    Mutant(
        "legal_move_rate",
        "    n_legal =",
        "    logits = logits.masked_fill(~legal, -torch.inf)\n    n_legal =",
        "Rank all tokens by their logits",
    ),
    Mutant("legal_move_rate", "< n_legal[..., None]", "< 3", "N is always 3"),
    Mutant("legal_move_rate", "float(top_n[counted].mean())", "top_n[counted].mean()", "expected a plain number"),
    Mutant("legal_move_rate", "top_n[counted].mean()", "(top_n * n_legal)[counted].mean()", "take a mean"),
    # fit_board_probe
    Mutant(
        "fit_board_probe",
        "    states =",
        "    return fit_ridge_probe(acts, boards.float(), l2=l2)\n    states =",
        "is it a regression on 0, 1, 2?",
    ),
    Mutant("fit_board_probe", "boards.long(), 3)", "boards.long())", "There are two states"),
    Mutant("fit_board_probe", "centred = acts - mean", "centred = acts", "Centre the acts"),
    Mutant("fit_board_probe", "bias = height - weight @ mean", "bias = torch.zeros_like(height)", "the bias carry"),
    Mutant("fit_board_probe", "bias = height - weight @ mean", "bias = height", "weight @ mean(acts)"),
    Mutant("fit_board_probe", "+ l2 * torch.eye(acts.shape[1])", "+ 1e-4 * torch.eye(acts.shape[1])", "no effect"),
    Mutant(
        "fit_board_probe", "+ l2 * torch.eye", "+ len(acts) * l2 * torch.eye", "multiplied by the number of positions"
    ),
    Mutant(
        "fit_board_probe",
        "gram = centred.T @ centred + l2",
        "gram = centred.T @ centred / len(acts) + l2",
        "The sum of squares is divided",
    ),
    Mutant("fit_board_probe", "+ l2 * torch.eye", "+ l2 / 2 * torch.eye", "Half of l2 arrived"),
    Mutant("fit_board_probe", "l2 * torch.eye(acts.shape[1])", "l2", "it belongs on the diagonal only"),
    Mutant(
        "fit_board_probe",
        "weight=weight.unflatten(0, (-1, 3)), bias=bias.unflatten(0, (-1, 3))",
        "weight=weight.unflatten(0, (3, -1)).transpose(0, 1), bias=bias.unflatten(0, (3, -1)).T",
        "Squares and states are mixed up",
    ),
    Mutant(
        "fit_board_probe",
        "weight=weight.unflatten(0, (-1, 3)), bias=bias.unflatten(0, (-1, 3))",
        "weight=weight.unflatten(0, (-1, 3)).transpose(0, 1), bias=bias.unflatten(0, (-1, 3)).T",
        "squares first, then states",
    ),
    Mutant(
        "fit_board_probe",
        "weight=weight.unflatten(0, (-1, 3)), bias=bias.unflatten(0, (-1, 3))",
        "weight=weight, bias=bias",
        "still one axis",
    ),
    Mutant(
        "fit_board_probe",
        "weight=weight.unflatten(0, (-1, 3)), bias=bias.unflatten(0, (-1, 3))",
        "weight=weight.unflatten(0, (-1, 3)).flip(1), bias=bias.unflatten(0, (-1, 3)).flip(1)",
        "The states are in another order",
    ),
    Mutant(
        "fit_board_probe",
        ".float().flatten(1)",
        ".float().flatten(1)\n    states = states / states.sum(dim=0).clamp(min=1)",
        "divided by how often a state occurs",
    ),
    Mutant(
        "fit_board_probe",
        "    states =",
        "    states = torch.zeros(*boards.shape, 3)\n"
        "    for n, s in enumerate(boards.unique().tolist()):\n"
        "        states[..., n] = boards == s\n"
        "    for square in range(boards.shape[1]):\n"
        "        seen = boards[:, square].unique().tolist()\n"
        "        states[:, square] = 0\n"
        "        for n, s in enumerate(seen):\n"
        "            states[:, square, n] = (boards[:, square] == s).float()\n"
        "    probe = fit_ridge_probe(acts, states, l2=l2)\n"
        "    return LinearProbe(weight=probe.weight, bias=probe.bias)\n"
        "    states =",
        "in this order, whatever occurs?",
    ),
    Mutant(
        "fit_board_probe",
        "    states = ",
        "    states = torch.nn.functional.one_hot(boards.long(), 3).float().flatten(1)\n"
        "    design = torch.cat([acts, torch.ones(len(acts), 1)], dim=1)\n"
        "    both = torch.linalg.solve(design.T @ design + l2 * torch.eye(design.shape[1]), design.T @ states).T\n"
        "    return LinearProbe(weight=both[:, :-1].unflatten(0, (-1, 3)), bias=both[:, -1].unflatten(0, (-1, 3)))\n"
        "    states = ",
        "without a penalty",
    ),
    Mutant(
        "fit_board_probe",
        "mean, height = acts.mean(dim=0)",
        "mean, height = acts.mean().expand(acts.shape[1])",
        "(each",
    ),
    Mutant("fit_board_probe", ".float().flatten(1)", ".float().flatten(1) * 2 - 1", "The targets are -1 and 1"),
    Mutant(
        "fit_board_probe",
        "weight=weight.unflatten(0, (-1, 3))",
        "weight=weight.T.reshape(boards.shape[1], 3, -1)",
        "transpose it first",
    ),
    # board_accuracy_by_layer
    Mutant(
        "board_accuracy_by_layer",
        "right[:, occupied].float().mean(dim=1)",
        "(logits[..., 1:].argmax(dim=-1) + 1 == boards)[:, occupied].float().mean(dim=1)",
        "Only MINE and YOURS were compared",
    ),
    Mutant("board_accuracy_by_layer", "boards != EMPTY", "boards == MINE", "Only MINE counts as occupied"),
    Mutant(
        "board_accuracy_by_layer",
        "    occupied = boards != EMPTY  # [position square]\n",
        "    occupied = logits.argmax(dim=-1) != EMPTY\n"
        "    return right.float().mean(dim=(1, 2)), (right & occupied).sum(dim=(1, 2)) / occupied.sum(dim=(1, 2))\n",
        "whatever is believed",
    ),
    Mutant(
        "board_accuracy_by_layer",
        "right[:, occupied].float().mean(dim=1)",
        "((right & occupied).sum(dim=2) / occupied.sum(dim=1)).mean(dim=1)",
        "This is the mean of a mean for each board",
    ),
    Mutant(
        "board_accuracy_by_layer",
        "right[:, occupied].float().mean(dim=1)",
        "(right & occupied).float().mean(dim=(1, 2))",
        "Divided by all squares",
    ),
    Mutant("board_accuracy_by_layer", "boards != EMPTY", "boards == EMPTY", "the accuracy on empty squares"),
    Mutant("board_accuracy_by_layer", "boards != EMPTY", "boards >= EMPTY", "the accuracy on all squares"),
    Mutant(
        "board_accuracy_by_layer",
        "right = logits.argmax(dim=-1) == boards",
        "right = (logits > 0.5).int().argmax(dim=-1) == boards",
        "Take the argmax, no threshold",
    ),
    Mutant(
        "board_accuracy_by_layer",
        "right.float().mean(dim=(1, 2))",
        "right[:, ~occupied].float().mean(dim=1)",
        "This is the accuracy on empty squares: take all",
    ),
    Mutant(
        "board_accuracy_by_layer",
        "return right.float().mean(dim=(1, 2)), right[:, occupied].float().mean(dim=1)",
        "return right[:, occupied].float().mean(dim=1), right.float().mean(dim=(1, 2))",
        "the first result is that on all",
    ),
    Mutant("board_accuracy_by_layer", "mean(dim=(1, 2))", "mean(dim=(0, 2))", "Look at the axis"),
    Mutant("board_accuracy_by_layer", "mean(dim=(1, 2))", "mean(dim=(0, 1))", "Look at the axis"),
    Mutant(
        "board_accuracy_by_layer",
        "right.float().mean(dim=(1, 2))",
        "right.all(dim=2).float().mean(dim=1)",
        "Only boards with all squares right count",
    ),
    Mutant(
        "board_accuracy_by_layer",
        "right[:, occupied].float().mean(dim=1)",
        "((logits.argmax(dim=-1) != EMPTY) == occupied)[:, occupied].float().mean(dim=1)",
        "MINE taken for YOURS counts as right",
    ),
    Mutant(
        "board_accuracy_by_layer", "right[:, occupied].float().mean(dim=1)", "right[:, occupied].sum(dim=1)", "dtype"
    ),
    # to_mine_yours
    Mutant(
        "to_mine_yours",
        "    exchanged =",
        "    boards, white = boards.clone(), ~black_to_move[..., None]\n"
        "    boards[white & (boards == 1)] = 2\n"
        "    boards[white & (boards == 2)] = 1\n"
        "    return boards\n"
        "    exchanged =",
        "The second exchange undid the first",
    ),
    Mutant(
        "to_mine_yours",
        "    exchanged =",
        "    boards = boards.clone()\n    boards[::2] = (3 - boards[::2]) % 3\n    return boards\n    exchanged =",
        "decided by the number of the game",
    ),
    Mutant("to_mine_yours", "exchanged.to(boards.dtype))", "3 - boards)", "EMPTY stays 0"),
    Mutant("to_mine_yours", "torch.where(black_to_move", "torch.where(~black_to_move", "the wrong way round"),
    Mutant(
        "to_mine_yours",
        "    exchanged =",
        "    black_to_move = (torch.arange(boards.shape[1]) % 2 == 1).expand(boards.shape[:2])\n    exchanged =",
        "is it decided by the number of the move?",
    ),
    Mutant(
        "to_mine_yours",
        "    exchanged =",
        "    black_to_move = black_to_move.roll(1, dims=1)\n    exchanged =",
        "by who has moved, not by who moves next",
    ),
    Mutant("to_mine_yours", "[EMPTY, YOURS, MINE]", "[YOURS, MINE, EMPTY]", "EMPTY stays EMPTY"),
    Mutant("to_mine_yours", "[EMPTY, YOURS, MINE]", "[EMPTY, -1, MINE]", "expected the states"),
    Mutant("to_mine_yours", "boards, exchanged.to(boards.dtype))", "boards.long(), exchanged)", "end with .to("),
    Mutant(
        "to_mine_yours", "return torch.where(black_to_move[..., None], boards, ", "return (", "Every board is exchanged"
    ),
    Mutant(
        "to_mine_yours",
        "    exchanged =",
        "    boards[~black_to_move] = ((3 - boards) % 3)[~black_to_move]\n    return boards\n    exchanged =",
        "changed its argument `boards`",
    ),
    Mutant(
        "to_mine_yours",
        "    exchanged =",
        "    boards[boards == 1], boards[boards == 2] = 2, 1\n    exchanged =",
        "changed its argument `boards`",
    ),
    Mutant("to_mine_yours", "[..., None], boards, ", "[:, :1, None], boards, ", "go by its first entry"),
    Mutant(
        "to_mine_yours",
        "    exchanged =",
        "    from utils.othello import to_mine_yours as theirs\n\n"
        "    return theirs(boards, black_to_move)\n    exchanged =",
        "is the answer of an exercise",
    ),
    Mutant(
        "to_mine_yours",
        "return torch.where(black_to_move[..., None], boards, exchanged.to(boards.dtype))",
        "return boards.clone()",
        "Nothing is exchanged",
    ),
    # believed_legal_rate
    Mutant(
        "believed_legal_rate",
        "possible = legal_moves(believed)",
        "possible = legal_moves(torch.tensor([0, 2, 1])[believed])",
        "These are moves of YOURS",
    ),
    Mutant(
        "believed_legal_rate",
        "float(possible[control].float().mean())",
        "float((possible & control).float().mean())",
        "Divided by all squares",
    ),
    Mutant("believed_legal_rate", "    control[rows, played] = False\n", "", "The played squares are in the control"),
    Mutant("believed_legal_rate", " & ~legal_moves(boards)", "", "legal on the true board are in the control"),
    Mutant("believed_legal_rate", "(boards == EMPTY) & ~legal", "~legal", "Occupied squares are in the control"),
    Mutant("believed_legal_rate", "(boards == EMPTY) & ~", "(believed == EMPTY) & ~", "believed to be EMPTY"),
    Mutant(
        "believed_legal_rate",
        "(boards == EMPTY) & ~legal_moves(boards)",
        "torch.ones_like(boards, dtype=torch.bool)",
        "These are all squares",
    ),
    Mutant(
        "believed_legal_rate", "possible = legal_moves(believed)", "possible = legal_moves(boards)", "the true board"
    ),
    Mutant(
        "believed_legal_rate",
        "possible = legal_moves(believed)",
        "possible = believed == EMPTY",
        "has to enclose discs",
    ),
    Mutant(
        "believed_legal_rate",
        "float(possible[control].float().mean())",
        "float(((possible & control).sum(dim=1) / control.sum(dim=1)).nanmean())",
        "mean of a mean for each position",
    ),
    Mutant(
        "believed_legal_rate",
        "float(possible[control].float().mean())",
        "float(((possible & control).sum(dim=1) / control.sum(dim=1)).mean())",
        "pool the squares of all positions",
    ),
    Mutant(
        "believed_legal_rate",
        "    control[rows, played] = False\n",
        "    played = token_squares()[played.clamp(1, 60) - 1]\n    control[rows, played] = False\n",
        "and no tokens",
    ),
    Mutant("believed_legal_rate", "control[rows, played] = False", "control[:, played] = False", "left out everywhere"),
    Mutant(
        "believed_legal_rate",
        "return float(possible[rows, played].float().mean()), float(possible[control].float().mean())",
        "return float(possible[control].float().mean()), float(possible[rows, played].float().mean())",
        "the played squares come first",
    ),
    Mutant(
        "believed_legal_rate",
        "(boards == EMPTY) & ~legal_moves(boards)",
        "(boards == EMPTY) & legal_moves(boards)",
        "legal on the true board: take those that are not",
    ),
    Mutant("believed_legal_rate", "possible[rows, played]", "possible[:, played]", "pick one square a row"),
    # transfer_between_players
    Mutant(
        "transfer_between_players",
        "probe(acts_test[tested]).argmax(dim=-1)",
        "probe(acts_test[tested])[..., 1:].argmax(dim=-1) + 1",
        "Only BLACK and WHITE were compared",
    ),
    Mutant(
        "transfer_between_players",
        "right[boards_test[tested] != EMPTY]",
        "right[probe(acts_test[tested]).argmax(dim=-1) != EMPTY]",
        "go by the true board",
    ),
    Mutant(
        "transfer_between_players",
        "    rows = []\n",
        "    rows = []\n    black_train = torch.zeros_like(black_train)\n    black_train[::2] = True\n",
        "Does a slice run over games",
    ),
    Mutant(
        "transfer_between_players",
        "    rows = []\n",
        "    rows = []\n    black_train, black_test = (\n"
        "        (torch.arange(b.shape[1]) % 2 == 1).expand(b.shape) for b in (black_train, black_test)\n    )\n",
        "the number of the move does not tell who moves next",
    ),
    Mutant(
        "transfer_between_players",
        "    rows = []\n",
        "    rows = []\n    black_train = (torch.arange(black_train.shape[1]) % 2 == 1).expand(black_train.shape)\n",
        "does not tell who moves next",
    ),
    Mutant(
        "transfer_between_players",
        "in (black_train, ~black_train)",
        "in (~black_train, black_train)",
        "black comes first",
    ),
    Mutant("transfer_between_players", ".view(2, 2)", "", "is missing"),
    Mutant("transfer_between_players", ".view(2, 2)", ".view(2, 2).T", "Rows and columns are exchanged"),
    Mutant("transfer_between_players", "right[boards_test[tested] != EMPTY]", "right", "Empty squares count"),
    Mutant(
        "transfer_between_players",
        "probe = fit_states(acts_train[fitted], boards_train[fitted], l2)",
        "probe = fit_states(acts_test[black_test], boards_test[black_test], l2)",
        "Both rows are the same probe",
    ),
    Mutant(
        "transfer_between_players",
        "    rows = []\n",
        "    rows = []\n    acts_train, boards_train, black_train = acts_test, boards_test, black_test\n",
        "Fit and test were on the same games",
    ),
    Mutant(
        "transfer_between_players",
        "    rows = []\n",
        "    rows = []\n    acts_test, boards_test, black_test = acts_train, boards_train, black_train\n",
        "Fit and test were on the same games",
    ),
    Mutant(
        "transfer_between_players",
        "    rows = []\n",
        "    rows = []\n"
        "    boards_train = torch.where(black_train[..., None], boards_train, (3 - boards_train) % 3)\n"
        "    boards_test = torch.where(black_test[..., None], boards_test, (3 - boards_test) % 3)\n",
        "rewritten as mine and yours",
    ),
    Mutant("transfer_between_players", "boards_train[fitted], l2)", "boards_train[fitted], 1.0)", "Does l2 reach"),
    Mutant(
        "transfer_between_players",
        "        probe = fit_states(acts_train[fitted], boards_train[fitted], l2)",
        "        probe = fit_states(acts_train.flatten(0, 1), boards_train.flatten(0, 1), l2)",
        "every probe has seen positions of both players",
    ),
    Mutant(
        "transfer_between_players",
        "            rows.append(right[boards_test[tested] != EMPTY].float().mean())",
        "            discs = boards_test[tested] != EMPTY\n"
        "            rows.append(((right & discs).sum(0) / discs.sum(0)).mean())",
        "a mean for each square",
    ),
    Mutant(
        "transfer_between_players",
        "in (black_test, ~black_test)",
        "in (black_test, black_test)",
        "Both columns were tested on the same positions",
    ),
    # probe_cosines
    Mutant("probe_cosines", "(one + two) / 2 - empty", "one + two - empty", "not their sum"),
    Mutant("probe_cosines", "(one + two) / 2 - empty", "one - empty", "State 1 alone stands for occupied"),
    Mutant("probe_cosines", "(one + two) / 2 - empty", "(one + two) / 2", "EMPTY is missing"),
    Mutant("probe_cosines", "(one + two) / 2 - empty", "empty", "Occupied against empty is a difference"),
    Mutant(
        "probe_cosines",
        "[(one + two) / 2 - empty, one - two]",
        "[one - two, (one + two) / 2 - empty]",
        "columns are exchanged",
    ),
    Mutant("probe_cosines", "one - two], dim=1)", "one], dim=1)", "Subtract state 2 from state 1"),
    Mutant("probe_cosines", "unbind(dim=1)", "unbind(dim=1)[::-1]", "The states are the other way round"),
    Mutant(
        "probe_cosines",
        "torch.nn.functional.cosine_similarity(directions(first), directions(second), dim=-1)",
        "(directions(first) * directions(second)).sum(dim=-1)",
        "These are dot products",
    ),
    Mutant(
        "probe_cosines",
        "torch.nn.functional.cosine_similarity(directions(first), directions(second), dim=-1)",
        "torch.nn.functional.cosine_similarity(directions(first), directions(second), dim=-1).abs()",
        "A cosine may be negative",
    ),
    Mutant(
        "probe_cosines",
        "torch.nn.functional.cosine_similarity(directions(first), directions(second), dim=-1)",
        "torch.nn.functional.cosine_similarity(directions(first), directions(second), dim=1)",
        "shape",
    ),
    Mutant(
        "probe_cosines",
        "torch.nn.functional.cosine_similarity(directions(first), directions(second), dim=-1)",
        "(directions(first) * directions(second)).sum(-1) / directions(first).norm() / directions(second).norm()",
        "of all squares together",
    ),
    # next_move_loss
    Mutant("next_move_loss", "n_legal.clamp(min=1)", "n_legal", "gradient holds"),
    Mutant("next_move_loss", "losses[n_legal > 0].mean()", "losses.mean()", "Divided by all positions"),
    Mutant("next_move_loss", "losses[n_legal > 0].mean()", "losses.sum()", "This is the sum over positions"),
    Mutant("next_move_loss", " / n_legal.clamp(min=1)", "", "divide by its number of legal moves"),
    Mutant(
        "next_move_loss",
        "losses[n_legal > 0].mean()",
        "(surprise * legal).sum() / legal.sum()",
        "legal moves are pooled",
    ),
    Mutant(
        "next_move_loss",
        "losses[n_legal > 0].mean()",
        "(losses - n_legal.clamp(min=1).log())[n_legal > 0].mean()",
        "The entropy of the target, log N, is subtracted",
    ),
    Mutant(
        "next_move_loss",
        "    return",
        "    return -(logits.softmax(dim=-1) * legal).sum(dim=-1)[n_legal > 0].log().mean()\n    return",
        "the surprise at any legal move",
    ),
    Mutant("next_move_loss", "-logits.log_softmax(dim=-1)", "-logits.softmax(dim=-1).log()", "use log_softmax"),
    Mutant("next_move_loss", "-logits.log_softmax(dim=-1)", "-logits", "log_softmax first"),
    Mutant("next_move_loss", "-logits.log_softmax(dim=-1)", "logits.log_softmax(dim=-1)", "The sign is turned round"),
    Mutant(
        "next_move_loss", "-logits.log_softmax(dim=-1)", "-logits.log_softmax(dim=1)", "The softmax runs over positions"
    ),
    Mutant("next_move_loss", "-logits.log_softmax(dim=-1)", "-logits.detach().log_softmax(dim=-1)", "with a gradient"),
    Mutant(
        "next_move_loss",
        "return losses[n_legal > 0].mean()",
        "return losses[n_legal > 0].mean().item()",
        "No float() and no .item()",
    ),
    Mutant(
        "next_move_loss", "-logits.log_softmax(dim=-1)", "-(logits.softmax(dim=-1) + 1e-9).log()", "use log_softmax"
    ),
    Mutant(
        "next_move_loss",
        "losses[n_legal > 0].mean()",
        "(losses.sum(dim=1) / (n_legal > 0).sum(dim=1)).mean()",
        "a mean for each game",
    ),
    # history_share
    Mutant("history_share", "(len(acts) - len(count))", "len(acts)", "The inner sum of squares is divided by n:"),
    Mutant(
        "history_share",
        "    return",
        "    return float((acts - mean[group]).square().sum() / (acts - acts.mean(dim=0)).square().sum())\n    return",
        "Both sums of squares are divided by n",
    ),
    Mutant("history_share", "float(within / total)", "1 - float(within / total)", "This is the share of the board"),
    Mutant("history_share", "float(within / total)", "float((within / total).sqrt())", "standard deviations"),
    Mutant(
        "history_share",
        "    total =",
        "    within = torch.stack([acts[group == g].var(dim=0).sum() for g in (count > 1).nonzero()[:, 0]]).mean()\n"
        "    total =",
        "This is the mean of a variance for each board",
    ),
    Mutant(
        "history_share",
        "    total =",
        "    squares = torch.zeros(len(count)).index_add_(0, group, (acts - mean[group]).square().sum(dim=1))\n"
        "    within = (squares / (count - 1)).mean()\n"
        "    total =",
        "has no variance of its own",
    ),
    Mutant(
        "history_share",
        "    _, group",
        "    often = (board[:, None] == board).sum(dim=1) > 1\n"
        "    acts, board = acts[often], board[often]\n"
        "    _, group",
        "They are left out everywhere",
    ),
    Mutant("history_share", "acts - acts.mean(dim=0)", "acts", "subtract the mean of all positions"),
    Mutant(
        "history_share",
        "_, group, count = board.unique(return_inverse=True, return_counts=True)",
        "group, count = board, board.bincount()",
        "numbers the groups from 0",
    ),
    Mutant(
        "history_share",
        "board.unique(return_inverse=True, return_counts=True)",
        "board.unique_consecutive(return_inverse=True, return_counts=True)",
        "wherever they stand",
    ),
    Mutant("history_share", "return float(within / total)", "return within / total", "expected a plain number"),
    Mutant(
        "history_share",
        "float(within / total)",
        "float(((acts - mean[group]).square().sum(0) / (len(acts) - len(count)) / acts.var(dim=0)).mean())",
        "the mean of a share for each unit",
    ),
]

ALTERNATIVES = [
    # legal_move_rate
    Alternative(
        "legal_move_rate",
        """
def legal_move_rate(logits, legal):
    first, shares = [], []
    for scores, allowed in zip(logits.flatten(0, 1), legal.flatten(0, 1)):
        n = int(allowed.sum())
        if n > 0:
            likely = scores.topk(n).indices
            first.append(bool(allowed[likely[0]]))
            shares.append(int(allowed[likely].sum()) / n)
    return sum(first) / len(first), sum(shares) / len(shares)
""",
    ),
    Alternative(
        "legal_move_rate",
        """
import numpy as np


def legal_move_rate(logits, legal):
    x, ok = logits.numpy(), legal.numpy()
    x, ok = x[ok.any(axis=-1)], ok[ok.any(axis=-1)]
    rank = (-x).argsort(axis=-1).argsort(axis=-1)
    n = ok.sum(axis=-1, keepdims=True)
    hits = (ok & (rank < n)).sum(axis=-1) / n[:, 0]
    return float(np.take_along_axis(ok, x.argmax(axis=-1)[:, None], -1).mean()), float(hits.mean())
""",
    ),
    # fit_board_probe
    Alternative(
        "fit_board_probe",
        """
def fit_board_probe(acts, boards, l2):
    states = torch.stack([boards == state for state in range(3)], dim=-1).float()
    return fit_ridge_probe(acts, states, l2=l2)
""",
    ),
    Alternative(
        "fit_board_probe",
        """
def fit_board_probe(acts, boards, l2):
    n, d_model = acts.shape
    design = torch.cat([acts, torch.ones(n, 1)], dim=1).double()
    penalty = torch.eye(d_model + 1, dtype=torch.float64) * l2
    penalty[-1, -1] = 0
    weight, bias = torch.zeros(boards.shape[1], 3, d_model), torch.zeros(boards.shape[1], 3)
    for square in range(boards.shape[1]):
        for state in range(3):
            target = (boards[:, square] == state).double()
            solution = torch.linalg.solve(design.T @ design + penalty, design.T @ target)
            weight[square, state], bias[square, state] = solution[:-1].float(), solution[-1].float()
    return LinearProbe(weight=weight, bias=bias)
""",
    ),
    Alternative(
        "fit_board_probe",
        """
def fit_board_probe(acts, boards, l2):
    targets = torch.eye(3)[boards.long()].reshape(len(boards), -1)
    mean = acts.mean(dim=0, keepdim=True)
    u, s, vh = torch.linalg.svd(acts - mean, full_matrices=False)
    weight = vh.T @ ((s / (s**2 + l2))[:, None] * (u.T @ (targets - targets.mean(dim=0))))
    bias = targets.mean(dim=0) - (mean @ weight)[0]
    return LinearProbe(weight=weight.T.reshape(-1, 3, acts.shape[1]), bias=bias.reshape(-1, 3))
""",
    ),
    # board_accuracy_by_layer
    Alternative(
        "board_accuracy_by_layer",
        """
def board_accuracy_by_layer(logits, boards):
    of_all, of_occupied = [], []
    for layer in logits:
        right = total = discs = right_discs = 0
        for said, board in zip(layer.max(dim=-1).indices, boards):
            right, total = right + int((said == board).sum()), total + len(board)
            here = board > 0
            discs, right_discs = discs + int(here.sum()), right_discs + int((said[here] == board[here]).sum())
        of_all.append(right / total)
        of_occupied.append(right_discs / discs)
    return torch.tensor(of_all), torch.tensor(of_occupied)
""",
    ),
    Alternative(
        "board_accuracy_by_layer",
        """
def board_accuracy_by_layer(logits, boards):
    best = logits.topk(1, dim=-1).indices.squeeze(-1).flatten(1)
    truth = boards.flatten().to(best.dtype)
    right = torch.eq(best, truth).float()
    weight = (truth != 0).float()
    return right.mean(dim=1), right @ weight / weight.sum()
""",
    ),
    # to_mine_yours
    Alternative(
        "to_mine_yours",
        """
def to_mine_yours(boards, black_to_move):
    result = boards.clone()
    white = ~black_to_move
    turned = result[white]
    result[white] = torch.where(turned == 0, turned, 3 - turned)
    return result
""",
    ),
    Alternative(
        "to_mine_yours",
        """
def to_mine_yours(boards, black_to_move):
    mine = torch.where(black_to_move, 1, 2)[:, :, None]
    own, other = boards == mine, boards == 3 - mine
    return (own * MINE + other * YOURS).to(boards.dtype)
""",
    ),
    # believed_legal_rate
    Alternative(
        "believed_legal_rate",
        """
def believed_legal_rate(believed, boards, played):
    hits, others, n_others = 0, 0, 0
    for thought, board, square in zip(believed, boards, played.tolist()):
        could, may = legal_moves(thought), legal_moves(board)
        hits += bool(could[square])
        for s in range(len(board)):
            if s != square and board[s] == EMPTY and not may[s]:
                others, n_others = others + bool(could[s]), n_others + 1
    return hits / len(played), others / n_others
""",
    ),
    Alternative(
        "believed_legal_rate",
        """
def believed_legal_rate(believed, boards, played):
    possible = legal_moves(believed).double()
    move = torch.nn.functional.one_hot(played, boards.shape[1])
    other = boards.eq(0).double() * (1 - legal_moves(boards).double()) * (1 - move)
    return ((possible * move).sum() / move.sum()).item(), ((possible * other).sum() / other.sum()).item()
""",
    ),
    # transfer_between_players
    Alternative(
        "transfer_between_players",
        """
def transfer_between_players(acts_train, boards_train, black_train, acts_test, boards_test, black_test, l2):
    table = torch.zeros(2, 2)
    for row in (0, 1):
        chosen = (black_train.flatten() == (row == 0)).nonzero()[:, 0]
        x, y = acts_train.flatten(0, 1)[chosen], boards_train.flatten(0, 1)[chosen]
        probe = fit_ridge_probe(x, torch.nn.functional.one_hot(y.long(), 3).float(), l2=l2)
        said = probe(acts_test.flatten(0, 1)).argmax(dim=-1).view(boards_test.shape)
        for column in (0, 1):
            counts = (boards_test > 0) & (black_test == (column == 0))[..., None]
            table[row, column] = (said[counts] == boards_test[counts]).float().mean()
    return table
""",
    ),
    Alternative(
        "transfer_between_players",
        """
def transfer_between_players(acts_train, boards_train, black_train, acts_test, boards_test, black_test, l2):
    probes = [fit_board_probe(acts_train[f], boards_train[f], l2) for f in (black_train, black_train.logical_not())]
    found = []
    for probe in probes:
        for black in (True, False):
            logits = probe(acts_test[black_test == black])
            found.append(board_accuracy_by_layer(logits[None], boards_test[black_test == black])[1])
    return torch.cat(found).reshape(2, 2)
""",
    ),
    # probe_cosines
    Alternative(
        "probe_cosines",
        """
import einops


def probe_cosines(first, second):
    contrast = torch.tensor([[-1.0, 0.5, 0.5], [0, 1, -1]])
    a, b = (einops.einsum(contrast, w, "pair state, square state d -> square pair d") for w in (first, second))
    a, b = a / a.norm(dim=-1, keepdim=True), b / b.norm(dim=-1, keepdim=True)
    return (a * b).sum(dim=-1)
""",
    ),
    Alternative(
        "probe_cosines",
        """
def probe_cosines(first, second):
    rows = []
    for a, b in zip(first.double(), second.double()):
        pairs = [(a[0] - a[1:].mean(dim=0), b[0] - b[1:].mean(dim=0)), (a[1] - a[2], b[1] - b[2])]
        rows.append([float(x @ y / (x @ x).sqrt() / (y @ y).sqrt()) for x, y in pairs])
    return torch.tensor(rows)
""",
    ),
    # next_move_loss
    Alternative(
        "next_move_loss",
        """
def next_move_loss(logits, legal):
    going = legal.any(dim=-1)
    target = legal[going].float()
    return torch.nn.functional.cross_entropy(logits[going], target / target.sum(dim=-1, keepdim=True))
""",
    ),
    Alternative(
        "next_move_loss",
        """
def next_move_loss(logits, legal):
    losses = []
    for scores, allowed in zip(logits.flatten(0, 1), legal.flatten(0, 1)):
        if allowed.any():
            losses.append(torch.logsumexp(scores, dim=0) - scores[allowed].mean())
    return torch.stack(losses).mean()
""",
    ),
    # history_share
    Alternative(
        "history_share",
        """
def history_share(acts, board):
    squares = n_boards = 0
    for name in set(board.tolist()):
        rows = acts[board == name].double()
        squares, n_boards = squares + ((rows - rows.mean(dim=0)) ** 2).sum(), n_boards + 1
    return (squares / (len(acts) - n_boards) / acts.double().var(dim=0).sum()).item()
""",
    ),
    Alternative(
        "history_share",
        """
import numpy as np


def history_share(acts, board):
    x = acts.double().numpy() - acts.double().numpy().mean(axis=0)
    names, group, count = np.unique(board.numpy(), return_inverse=True, return_counts=True)
    sums = np.zeros((len(names), x.shape[1]))
    np.add.at(sums, group, x)
    between = (sums**2 / count[:, None]).sum()  # squares within are all squares minus those between
    return float((np.square(x).sum() - between) / (len(x) - len(names)) / (np.square(x).sum() / (len(x) - 1)))
""",
    ),
]
