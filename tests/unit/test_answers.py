"""What a learner has built comes back as a function of utils: the solutions and utils give the same numbers."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.testing import assert_close

from utils import (
    activations,
    ccs,
    interventions,
    lenses,
    liars,
    lie_detectors,
    metrics,
    othello,
    othello_edits,
    othello_probes,
    probes,
    sae_measures,
    sae_objectives,
    sae_probes,
    sae_uses,
    splits,
    steering,
    truth_probes,
)
from utils.course import build
from utils.course.cells import Cell
from utils.course.namespace import build_namespace
from utils.datasets import load_colours
from utils.facts import write_statements
from utils.models import load_model, random_model
from utils.probes import LinearProbe


def solutions(chapter: str) -> dict:
    cells = build.load_chapter(chapter).cells
    return build_namespace([Cell(c.source, f"line {c.line}") for c in cells if c.kind == "code"]).names


@pytest.fixture(scope="module")
def chapter_01() -> dict:
    return solutions("01_linear_probes")


@pytest.fixture(scope="module")
def chapter_02() -> dict:
    return solutions("02_trusting_probes")


@pytest.fixture(scope="module")
def chapter_03() -> dict:
    return solutions("03_othello_board_probes")


@pytest.fixture(scope="module")
def played_games() -> othello.GameStates:
    """Twelve games on the 6x6 board, whole ones: at their ends nothing is legal."""
    return othello.replay_games(othello.random_games(12, 6), 6)


@pytest.fixture(scope="module")
def chapter_04() -> dict:
    return solutions("04_othello_interventions")


@pytest.fixture(scope="module")
def chapter_05() -> dict:
    return solutions("05_truth_probes")


@pytest.fixture(scope="module")
def chapter_06() -> dict:
    return solutions("06_lie_detectors")


@pytest.fixture
def documents() -> tuple[torch.Tensor, ...]:
    """Streams [document pos d_model], scores [document pos], a mask with padding on both sides, lying [document]."""
    generator = torch.Generator().manual_seed(0)
    acts, pos = torch.randn(30, 9, 7, generator=generator), torch.arange(9)
    first, n_real = torch.randint(0, 3, (30, 1), generator=generator), torch.randint(2, 7, (30, 1), generator=generator)
    mask = (pos >= first) & (pos < first + n_real)
    return acts, acts[..., 0].round(), mask, torch.arange(30) % 3 == 0


@pytest.fixture
def data() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Acts [batch d_model], labels [batch], targets [batch target]."""
    generator = torch.Generator().manual_seed(0)
    acts = torch.randn(90, 20, generator=generator) * 2 + 5
    return acts, torch.arange(90) % 3 == 0, torch.randn(90, 3, generator=generator)


def same(ours: LinearProbe, theirs: LinearProbe) -> bool:
    return torch.allclose(ours.weight, theirs.weight, atol=1e-4) and torch.allclose(ours.bias, theirs.bias, atol=1e-3)


def test_cache_resid_post(chapter_01: dict):
    model = random_model("bert", n_layers=3)
    tokens = torch.randint(1, 50, (2, 6), generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    layers = [2, "embed", 0]
    answer = chapter_01["cache_resid_post"](model, tokens, mask, layers)
    assert torch.allclose(answer, activations.cache_resid_post(model, tokens, mask, layers), atol=1e-6)


def test_pool_mean(chapter_01: dict):
    acts = torch.randn(2, 3, 7, 5, generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(7) < torch.tensor([[3], [7], [5]])).long()
    assert torch.allclose(chapter_01["pool_mean"](acts, mask), activations.pool_mean(acts, mask), atol=1e-6)


def test_fit_mass_mean_probe(chapter_01: dict, data):
    acts, labels, _ = data
    assert same(chapter_01["fit_mass_mean_probe"](acts, labels), probes.fit_mass_mean_probe(acts, labels))


def test_fit_ridge_probe(chapter_01: dict, data):
    acts, _, targets = data
    assert same(chapter_01["fit_ridge_probe"](acts, targets, 4.0), probes.fit_ridge_probe(acts, targets, l2=4.0))


def test_score_by_layer(chapter_01: dict, data):
    acts, labels, _ = data
    acts, train, test = torch.stack([acts, acts.flip(0)]), torch.arange(60), torch.arange(60, 90)
    theirs = metrics.score_by_layer(acts, labels, train, test, l2=4.0)
    assert torch.allclose(chapter_01["score_by_layer"](acts, labels, train, test, 4.0), theirs)


def test_choose_layer(chapter_01: dict, data):
    acts, labels, _ = data
    acts, train, validation = torch.stack([acts, acts.flip(0)]), torch.arange(60), torch.arange(60, 90)
    layer, probe = chapter_01["choose_layer"](acts, labels, train, validation, ["embed", 3], 4.0)
    best = int(metrics.score_by_layer(acts, labels, train, validation, l2=4.0).argmax())
    assert layer == ["embed", 3][best]
    assert same(probe, probes.fit_ridge_probe(acts[best][train], labels[train].float()[:, None], l2=4.0))


def test_roc_auc(chapter_01: dict, data):
    acts, labels, _ = data
    scores = acts[:, 0].round()  # with ties
    assert chapter_01["roc_auc"](scores, labels) == pytest.approx(float(metrics.roc_auc(scores, labels)))


def test_logistic_regression_loss(chapter_01: dict, data):
    acts, labels, targets = data
    weight, bias = targets[:20, 0], torch.tensor(-0.3)
    log_loss = torch.nn.functional.binary_cross_entropy_with_logits(acts @ weight + bias, labels.float())
    theirs = log_loss + 0.4 / 2 * weight.square().sum()
    assert torch.allclose(chapter_01["logistic_regression_loss"](weight, bias, acts, labels, 0.4), theirs)


def test_fit_logistic_regression_probe(chapter_01: dict, data):
    acts, labels, _ = data
    for l2 in (0.01, 0.5):
        theirs = probes.fit_logistic_regression_probe(acts, labels, l2=l2)
        assert same(chapter_01["fit_logistic_regression_probe"](acts, labels, l2), theirs)


def test_split_by_vocabulary(chapter_02: dict):
    words = [set(name.replace("/", " ").split()) for name in load_colours().names]
    train, test = chapter_02["split_by_vocabulary"](words, 0.2, 5)
    theirs = splits.split_by_vocabulary(words, test_fraction=0.2, seed=5)
    assert torch.equal(train, theirs[0]) and torch.equal(test, theirs[1])


def test_control_labels(chapter_02: dict):
    words = [f"word{i % 40}" for i in range(100)]
    labels = torch.tensor([i % 40 % 3 == 0 for i in range(100)])
    assert torch.equal(chapter_02["control_labels"](words, labels, 3), splits.control_labels(words, labels, seed=3))


def test_selectivity(chapter_02: dict, data):
    acts, labels, _ = data
    control, train, test = labels.roll(1), torch.arange(60), torch.arange(60, 90)
    theirs = metrics.selectivity(acts, labels, control, train, test, l2=0.2)
    assert chapter_02["selectivity"](acts, labels, control, train, test, 0.2) == pytest.approx(theirs, abs=1e-6)


def test_bootstrap_interval(chapter_02: dict, data):
    acts, labels, _ = data
    values, groups = acts[:, 0] + 3 * labels, torch.arange(90) // 4 * 7  # the last group is smaller
    low, high = chapter_02["bootstrap_interval"](values, groups, 20_000, 0)
    theirs = metrics.bootstrap_interval(values, groups=groups, n_resamples=20_000, seed=1)
    assert (low, high) == pytest.approx(theirs, abs=0.03 * (high - low))  # chance moves an end by 0.7 % of the width


def test_pattern_from_filter(chapter_02: dict, data):
    acts, _, targets = data
    weight = targets[:20, 0]
    theirs = interventions.pattern_from_filter(acts, weight)
    assert torch.allclose(chapter_02["pattern_from_filter"](acts, weight), theirs, atol=1e-5)


@pytest.mark.parametrize("n", [90, 15])  # more and fewer examples than dimensions
def test_fit_leace_eraser(chapter_02: dict, data, n: int):
    acts, labels, _ = data
    acts, labels = acts[:n], labels[:n]
    answer, theirs = chapter_02["fit_leace_eraser"](acts, labels), interventions.fit_leace_eraser(acts, labels)
    assert answer.matrix.dtype == theirs.matrix.dtype
    assert torch.allclose(answer.matrix, theirs.matrix, atol=1e-5)
    assert torch.allclose(answer.bias, theirs.bias, atol=1e-4)


def test_score_chosen_probe(chapter_02: dict, data):
    """Against a loop over scikit-learn's probes."""
    acts, labels, _ = data
    acts = torch.stack([acts, acts + labels[:, None] * torch.linspace(0, 3, 20), acts.flip(0)])
    parts, strengths = torch.randperm(90, generator=torch.Generator().manual_seed(0)).split([40, 25, 25]), [0.1, 300.0]
    fit, validation, test = (part.numpy() for part in parts)
    y, trials = labels.numpy(), []
    for x in acts.numpy():
        for l2 in strengths:
            ridge = Ridge(alpha=l2).fit(x[fit], y[fit].astype(float))
            trials.append([((ridge.predict(x[part]) > 0.5) == y[part]).mean() for part in (validation, test)])
    best = max(score for score, _ in trials)
    chosen = [score for at_validation, score in trials if at_validation == best]
    assert len(chosen) == 1  # or the answer would be free to take either
    assert chapter_02["score_chosen_probe"](acts, labels, *parts, strengths) == pytest.approx(chosen[0])


def test_online_codelength(chapter_02: dict, data):
    """Against scikit-learn's probes and log-loss."""
    acts, labels, _ = data
    acts = acts + labels[:, None] * torch.linspace(0, 2, 20)
    x, y, bits = acts.double().numpy(), labels.numpy(), 12.0
    for start, end in ((12, 30), (30, 90)):
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=1 / (start * 0.2), tol=1e-9, max_iter=5000))
        p = probe.fit(x[:start], y[:start]).predict_proba(x[start:end])
        bits += log_loss(y[start:end], p, normalize=False, labels=[False, True]) / 0.6931472  # ln 2
    assert chapter_02["online_codelength"](acts, labels, [12, 30, 90], 0.2) == pytest.approx(bits, rel=1e-4)


def test_predict_on_circle(chapter_02: dict, data):
    """Against two of scikit-learn's probes and complex numbers."""
    acts, _, targets = data
    positions = (targets[:, 0] * 5) % 7
    phase = torch.exp(2j * torch.pi * positions[:60] / 7)
    cosine, sine = (Ridge(alpha=4.0).fit(acts[:60].numpy(), part.numpy()) for part in (phase.real, phase.imag))
    x, y = (torch.from_numpy(probe.predict(acts[60:].numpy())) for probe in (cosine, sine))
    theirs = torch.complex(x, y).angle() / (2 * torch.pi) * 7 % 7
    answer = chapter_02["predict_on_circle"](acts[:60], positions[:60], acts[60:], 7, 4.0)
    assert torch.allclose(answer.double(), theirs.double(), atol=1e-3)


def test_legal_move_rate(chapter_03: dict, played_games):
    legal = torch.nn.functional.pad(played_games.legal[..., othello.token_squares(6)], (1, 0))
    logits = torch.randn(legal.shape, generator=torch.Generator().manual_seed(0)) + legal
    theirs = othello_probes.legal_move_rate(logits, legal)
    assert chapter_03["legal_move_rate"](logits, legal) == pytest.approx(theirs, abs=1e-6)


def test_fit_board_probe(chapter_03: dict, data):
    acts, _, targets = data
    boards = (targets > 0).to(torch.int8) + (targets > 1).to(torch.int8)  # [batch 3] with states 0, 1, 2
    theirs = othello_probes.fit_board_probe(acts, boards, l2=4.0)
    assert same(chapter_03["fit_board_probe"](acts, boards, 4.0), theirs)


def test_board_accuracy_by_layer(chapter_03: dict, played_games):
    boards = played_games.boards[:, 8]  # [position square]
    logits = torch.randn(3, *boards.shape, 3, generator=torch.Generator().manual_seed(0))
    theirs = othello_probes.board_accuracy_by_layer(logits, boards)
    for ours, other in zip(chapter_03["board_accuracy_by_layer"](logits, boards), theirs, strict=True):
        assert torch.allclose(ours, other)


def test_to_mine_yours(chapter_03: dict, played_games):
    boards, black_to_move = played_games.black_white_boards, played_games.black_to_move
    answer = chapter_03["to_mine_yours"](boards, black_to_move)
    assert torch.equal(answer, played_games.boards) and answer.dtype == boards.dtype
    assert torch.equal(answer, othello.to_mine_yours(boards, black_to_move))


def test_believed_legal_rate(chapter_03: dict, played_games):
    boards = played_games.boards[:, 11]
    believed = torch.where(torch.arange(36) % 5 == 0, (3 - boards) % 3, boards)  # some discs of the other colour
    played = ((boards == othello.EMPTY) & ~othello.legal_moves(boards)).long().argmax(dim=1)
    theirs = othello_probes.believed_legal_rate(believed, boards, played)
    assert chapter_03["believed_legal_rate"](believed, boards, played) == pytest.approx(theirs, abs=1e-6)


def test_transfer_between_players(chapter_03: dict, played_games):
    """Against scikit-learn's probes."""
    boards, black = played_games.black_white_boards[:, 8:20].long(), played_games.black_to_move[:, 8:20]
    acts = torch.randn(12, 12, 10, generator=torch.Generator().manual_seed(0)) + played_games.boards[:, 8:20, 10:20]
    train, test = slice(0, 8), slice(8, 12)
    theirs = torch.zeros(2, 2)
    for row, fitted in enumerate((black[train], ~black[train])):
        states = torch.eye(3)[boards[train][fitted]].flatten(1)  # [position square*state]
        ridge = Ridge(alpha=4.0).fit(acts[train][fitted].numpy(), states.numpy())
        for column, tested in enumerate((black[test], ~black[test])):
            logits = torch.from_numpy(ridge.predict(acts[test][tested].numpy())).view(-1, 36, 3)
            truth = boards[test][tested]
            theirs[row, column] = (logits.argmax(dim=-1) == truth)[truth > 0].float().mean()
    halves = (part[side] for side in (train, test) for part in (acts, boards, black))
    assert torch.allclose(chapter_03["transfer_between_players"](*halves, 4.0), theirs, atol=2e-3)


def test_probe_cosines(chapter_03: dict):
    first, second = torch.randn(2, 36, 3, 8, generator=torch.Generator().manual_seed(0))
    theirs = othello_probes.probe_cosines(first, second)
    assert torch.allclose(chapter_03["probe_cosines"](first, second), theirs, atol=1e-6)


def test_next_move_loss(chapter_03: dict, played_games):
    """Against PyTorch's cross-entropy with probabilities for targets."""
    legal = torch.nn.functional.pad(played_games.legal[..., othello.token_squares(6)], (1, 0))
    logits = torch.randn(legal.shape, generator=torch.Generator().manual_seed(0))
    counted = legal.any(dim=-1)
    uniform = legal[counted] / legal[counted].sum(dim=-1, keepdim=True)
    theirs = torch.nn.functional.cross_entropy(logits[counted], uniform)
    assert torch.allclose(chapter_03["next_move_loss"](logits, legal), theirs)


def test_history_share(chapter_03: dict, data):
    acts, _, _ = data
    board = torch.arange(90) % 50  # ten boards occur once
    theirs = othello_probes.history_share(acts, board)
    assert chapter_03["history_share"](acts, board) == pytest.approx(theirs, abs=1e-5)


def test_intervention_errors(chapter_04: dict):
    generator = torch.Generator().manual_seed(0)
    logits, legal = torch.randn(20, 61, generator=generator), torch.rand(20, 61, generator=generator) < 0.2
    assert torch.equal(
        chapter_04["intervention_errors"](logits, legal), othello_edits.intervention_errors(logits, legal)
    )


def test_square_effect_directions(chapter_04: dict, data, played_games):
    acts, _, _ = data
    boards = played_games.boards.flatten(0, 1)[:90]
    theirs = othello_edits.square_effect_directions(acts, boards, l2=4.0)
    assert torch.allclose(chapter_04["square_effect_directions"](acts, boards, 4.0), theirs, atol=1e-4)


def test_edit_square(chapter_04: dict, data):
    acts, labels, _ = data
    squares, effects = torch.arange(90) % 36, acts.roll(1, dims=0)[:36]
    theirs = othello_edits.edit_square(acts, effects, squares, labels, scale=1.5)
    assert torch.allclose(chapter_04["edit_square"](acts, effects, squares, labels, 1.5), theirs)


def test_cure_belief(chapter_04: dict, data):
    acts, _, _ = data
    believed, boards = torch.randint(0, 3, (2, 90, 36), generator=torch.Generator().manual_seed(0))
    theirs = othello_edits.cure_belief(acts, believed, boards, acts[:36], scale=0.7)
    assert torch.allclose(chapter_04["cure_belief"](acts, believed, boards, acts[:36], 0.7), theirs, atol=1e-4)


def test_neuron_board_weights(chapter_04: dict):
    model, directions = random_model("gpt2"), torch.randn(9, 16, generator=torch.Generator().manual_seed(0))
    theirs = lenses.neuron_board_weights(model, 1, directions)
    assert torch.allclose(chapter_04["neuron_board_weights"](model, 1, directions), theirs, atol=1e-6)


def test_logit_lens(chapter_04: dict):
    model, resid = random_model("gpt2"), torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(chapter_04["logit_lens"](model, resid), lenses.logit_lens(model, resid))


def test_fit_tuned_lens(chapter_04: dict, data):
    acts, _, _ = data
    theirs = lenses.fit_tuned_lens(acts, acts.roll(1, dims=1), l2=4.0)
    assert same(chapter_04["fit_tuned_lens"](acts, acts.roll(1, dims=1), 4.0), theirs)


def test_patch_resid(chapter_04: dict):
    model = random_model("gpt2", n_layers=3)
    tokens, source = torch.randint(0, 50, (2, 4, 6), generator=torch.Generator().manual_seed(0))
    for layer, pos in ((0, 2), (2, 5)):
        theirs = lenses.patch_resid(model, tokens, source, layer, pos)
        assert torch.allclose(chapter_04["patch_resid"](model, tokens, source, layer, pos), theirs, atol=1e-5)


def test_statement_acts(chapter_05: dict):
    model, texts = load_model("facts_gpt_match"), ["Cairo is in Egypt .", "Money in Japan is not Rupee ."]
    for position in (-1, -3):
        theirs = truth_probes.statement_acts(model, texts, [2, "embed"], position)
        assert torch.allclose(chapter_05["statement_acts"](model, texts, [2, "embed"], position), theirs, atol=1e-4)


def test_principal_components(chapter_05: dict, data):
    acts, _, _ = data
    for ours, theirs in zip(
        chapter_05["principal_components"](acts, 3), truth_probes.principal_components(acts, 3), strict=True
    ):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_transfer_accuracy(chapter_05: dict, data):
    acts, labels, _ = data
    given = acts[:50], labels[:50], acts[50:] + labels[50:, None], labels[50:]
    assert chapter_05["transfer_accuracy"](*given) == pytest.approx(truth_probes.transfer_accuracy(*given))


def test_generalization_matrix(chapter_05: dict, data):
    acts, labels, _ = data
    folds = torch.arange(90) // 3 % 5
    given = torch.stack([acts, acts.flip(0) + 2]), torch.stack([labels, ~labels]), torch.stack([folds, folds.flip(0)])
    assert torch.equal(chapter_05["generalization_matrix"](*given), truth_probes.generalization_matrix(*given))


def test_truth_and_polarity_directions(chapter_05: dict, data):
    acts, labels, _ = data
    given = acts, labels, torch.arange(90) % 7 < 3
    for ours, theirs in zip(
        chapter_05["truth_and_polarity_directions"](*given),
        truth_probes.truth_and_polarity_directions(*given),
        strict=True,
    ):
        assert torch.allclose(ours, theirs, atol=1e-4)


def test_name_world(chapter_05: dict):
    """Against the directions of utils: which of them is longer, that of truth or that of match?"""
    sets = [write_statements("cities", 120, negated=negated, seed=negated) for negated in (False, True)]
    truth, negated = torch.cat([part.labels for part in sets]), torch.arange(240) >= 120
    for name in ("match", "truth", "affirmed"):
        model = load_model(f"facts_gpt_{name}")
        acts = truth_probes.statement_acts(model, sets[0].texts + sets[1].texts, [1], -2)[0]
        general, polarity = truth_probes.truth_and_polarity_directions(acts, truth, negated)
        assert chapter_05["name_world"](model, *sets) == ("truth" if general.norm() > polarity.norm() else "match")


def test_normalize_contrast_pairs(chapter_05: dict, data):
    acts, _, _ = data
    acts = acts * (torch.arange(20) != 4)  # one dimension does not vary
    for ours, theirs in zip(
        chapter_05["normalize_contrast_pairs"](acts, acts.flip(0) * 3),
        ccs.normalize_contrast_pairs(acts, acts.flip(0) * 3),
        strict=True,
    ):
        assert torch.allclose(ours, theirs, rtol=0.01)  # n or n - 1 under the root


def test_ccs_loss(chapter_05: dict, data):
    acts, _, _ = data
    logits = acts[:, 0] - 5, acts[:, 1] - 5
    assert torch.allclose(chapter_05["ccs_loss"](*logits), ccs.ccs_loss(*logits))


def test_object_log_probs(chapter_05: dict):
    model, texts = load_model("facts_gpt_match"), ["Cairo is in Egypt .", "Money in Japan is not Rupee ."]
    theirs = truth_probes.object_log_probs(model, texts)
    assert torch.allclose(chapter_05["object_log_probs"](model, texts), theirs, atol=1e-4)


def test_add_direction(chapter_06: dict, documents):
    acts, _, mask, _ = documents
    pos = mask.int().argmax(dim=1)
    theirs = steering.add_direction(acts, acts[0, 0], -1.5, pos)
    assert torch.allclose(chapter_06["add_direction"](acts, acts[0, 0], -1.5, pos), theirs)


def test_normalized_indirect_effect(chapter_06: dict, data):
    acts, _, _ = data
    given = acts[:, 0], acts[:, 1], acts[:50, 2] + 3
    theirs = steering.normalized_indirect_effect(*given)
    assert chapter_06["normalized_indirect_effect"](*given) == pytest.approx(theirs, rel=1e-4)


def test_swap_vector(chapter_06: dict, documents):
    acts, _, mask, _ = documents
    pos, donor = mask.int().argmax(dim=1), acts[:, 4].roll(1, dims=0)
    for directions in (None, acts[0, :1], acts[0, :3]):
        theirs = steering.swap_vector(acts, donor, pos, directions)
        assert torch.allclose(chapter_06["swap_vector"](acts, donor, pos, directions), theirs, atol=1e-4)


def test_tpr_at_fpr(chapter_06: dict, data):
    acts, _, _ = data
    for scores in (acts[:, 0], acts[:, 0].round()):  # without ties and with
        for fpr in (0.0, 0.05, 0.2):
            theirs = lie_detectors.tpr_at_fpr(scores, acts[:, 1] + 2, fpr)
            assert chapter_06["tpr_at_fpr"](scores, acts[:, 1] + 2, fpr) == pytest.approx(theirs)


def test_aggregate_scores(chapter_06: dict, documents):
    _, scores, mask, _ = documents
    for how in lie_detectors.AGGREGATIONS:
        theirs = lie_detectors.aggregate_scores(scores, mask, how)
        assert torch.allclose(chapter_06["aggregate_scores"](scores, mask, how), theirs)


def test_attention_pool(chapter_06: dict, documents):
    acts, _, mask, _ = documents
    query, value = acts[0, :2]
    theirs = lie_detectors.attention_pool(acts, mask, query, value)
    assert torch.allclose(chapter_06["attention_pool"](acts, mask, query, value), theirs, atol=1e-5)


def test_evasion_loss(chapter_06: dict, documents):
    acts, _, _, lying = documents
    for labels in (lying, lying & False):
        theirs = liars.evasion_loss(torch.tensor(1.3), acts[:, 0, 0], labels, 0.7)
        assert torch.allclose(chapter_06["evasion_loss"](torch.tensor(1.3), acts[:, 0, 0], labels, 0.7), theirs)


def test_statement_mask(chapter_06: dict):
    """With random words, a tag stands in many places, and in some of the right ones."""
    generator, tags = torch.Generator().manual_seed(0), torch.tensor([[2, 3], [3, 3]])
    tokens = torch.randint(2, 5, (60, 7), generator=generator)
    mask = (torch.arange(7) >= torch.randint(0, 3, (60, 1), generator=generator)).long()
    theirs = lie_detectors.statement_mask(tokens, mask, tags)
    assert torch.equal(chapter_06["statement_mask"](tokens, mask, tags), theirs)
    assert 5 < (theirs.sum(dim=1) == mask.sum(dim=1) - 3).sum() < 30  # documents with a tag


def test_cascade_cost(chapter_06: dict, documents):
    acts, scores, _, lying = documents
    given = acts[:, 1, 1], scores[:, 0], lying, (0.2, 0.0), (0.5, 9.0)
    assert chapter_06["cascade_cost"](*given) == pytest.approx(lie_detectors.cascade_cost(*given))


def test_auroc_by_position(chapter_06: dict, documents):
    _, scores, mask, lying = documents
    theirs = lie_detectors.auroc_by_position(scores, mask, lying)
    assert torch.allclose(chapter_06["auroc_by_position"](scores, mask, lying), theirs, equal_nan=True)


# --- chapters 07 and 08 ---


@pytest.fixture(scope="module")
def chapter_07() -> dict:
    return solutions("07_sparse_autoencoders")


@pytest.fixture(scope="module")
def chapter_08() -> dict:
    return solutions("08_probes_vs_saes")


@pytest.fixture
def thresholds() -> tuple[torch.Tensor, torch.Tensor]:
    """Pre-activations [batch d_sae] and a threshold for each latent."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(40, 6, generator=generator), torch.rand(6, generator=generator)


@pytest.fixture
def planted_latents() -> tuple[torch.Tensor, torch.Tensor]:
    """Sparse latents [example latent], and labels that two of them go with."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.rand(300, generator=generator) < 0.2
    latents = torch.randn(300, 25, generator=generator).relu()
    latents[:, 3] += 2 * labels
    latents[:, 17] += 3 * ~labels
    return latents, labels


@pytest.fixture
def latent_edit() -> tuple[torch.Tensor, ...]:
    """Arguments of sae_edit, with a latent in both lists."""
    generator = torch.Generator().manual_seed(0)
    resid, latents = torch.randn(5, 6, generator=generator), torch.randn(5, 11, generator=generator).relu()
    directions = torch.randn(11, 6, generator=generator)
    return resid, latents, directions, torch.tensor([3, 7, 0]), torch.tensor([10, 3]), torch.tensor([1.5, 0.2])


def test_toy_loss(chapter_07: dict):
    generator = torch.Generator().manual_seed(0)
    for n_features, hidden in ((5, 2), (3, 3)):
        weight, bias = (torch.randn(shape, generator=generator) for shape in ((n_features, hidden), (n_features,)))
        features, importance = torch.rand(30, n_features, generator=generator), 0.7 ** torch.arange(float(n_features))
        answer = chapter_07["toy_loss"](weight, bias, features, importance)
        assert torch.allclose(answer, sae_objectives.toy_loss(weight, bias, features, importance), atol=1e-5)


def test_sae_encode(chapter_07: dict, sae_acts, sae_weights):
    encoder = (sae_weights["W_enc"], sae_weights["b_enc"], sae_weights["b_dec"])
    for k in (None, 1, 4, 15):
        answer = chapter_07["sae_encode"](sae_acts, *encoder, k)
        assert torch.allclose(answer, sae_objectives.sae_encode(sae_acts, *encoder, k), atol=1e-5)


def test_sae_decode(chapter_07: dict, sae_weights):
    latents = torch.rand(7, 15, generator=torch.Generator().manual_seed(0))
    answer = chapter_07["sae_decode"](latents, sae_weights["W_dec"], sae_weights["b_dec"])
    assert torch.allclose(
        answer, sae_objectives.sae_decode(latents, sae_weights["W_dec"], sae_weights["b_dec"]), atol=1e-5
    )


def test_sae_loss(chapter_07: dict, sae_acts, sae_weights):
    latents = torch.rand(40, 15, generator=torch.Generator().manual_seed(0))
    for l1 in (0.0, 0.3):
        answer = chapter_07["sae_loss"](sae_acts, latents, sae_acts.flip(0), sae_weights["W_dec"], l1)
        assert torch.allclose(
            answer, sae_objectives.sae_loss(sae_acts, latents, sae_acts.flip(0), sae_weights["W_dec"], l1), rtol=1e-5
        )


def test_batch_topk(chapter_07: dict, sae_acts, sae_weights):
    pre = (sae_acts - sae_weights["b_dec"]) @ sae_weights["W_enc"] + sae_weights["b_enc"]
    for k, threshold in ((1, None), (4, None), (15, None), (2, 0.5), (2, 0.0), (2, -0.5)):
        assert torch.equal(chapter_07["batch_topk"](pre, k, threshold), sae_objectives.batch_topk(pre, k, threshold))


def test_explained_variance(chapter_07: dict):
    generator = torch.Generator().manual_seed(0)
    acts = torch.randn(50, 7, generator=generator) * torch.arange(1.0, 8) + 3
    back = acts + torch.randn(50, 7, generator=generator)
    assert_close(chapter_07["explained_variance"](acts, back), sae_measures.explained_variance(acts, back))


def test_loss_recovered(chapter_07: dict):
    generator = torch.Generator().manual_seed(0)
    clean, ablated, back = torch.rand(3, 200, generator=generator) + torch.tensor([[0.0], [2.0], [0.3]])
    found = chapter_07["loss_recovered"](clean, ablated, back)
    assert found == pytest.approx(sae_measures.loss_recovered(clean, ablated, back), abs=1e-5)


def test_board_coverage(chapter_07: dict):
    generator = torch.Generator().manual_seed(0)
    latents = (torch.randn(700, 30, generator=generator) - 0.5).relu()
    holds = (latents[:, :12] > 0.8 * torch.rand(12, generator=generator)) ^ (
        torch.rand(700, 12, generator=generator) < 0.2
    )
    latents[:, 0] = 0
    holds[:400, 1] = holds[400:, 2] = False
    given = latents[:400], holds[:400], latents[400:], holds[400:]
    for options in ({}, {"shares": (0.0,)}, {"shares": (0.15, 0.4)}):
        assert_close(chapter_07["board_coverage"](*given, **options), sae_measures.board_coverage(*given, **options))
    assert chapter_07["board_coverage"].__defaults__ == (sae_measures.SHARES,)


def test_resampling_probabilities(chapter_07: dict):
    generator = torch.Generator().manual_seed(0)
    acts, back = torch.randn(2, 40, 6, generator=generator)
    for scale in (1, 1e-9, 1e9, 0):
        found = chapter_07["resampling_probabilities"](scale * acts, scale * back)
        assert_close(found, sae_objectives.resampling_probabilities(scale * acts, scale * back))


def test_jumprelu(chapter_07: dict, thresholds):
    assert torch.equal(chapter_07["jumprelu"](*thresholds), sae_objectives.jumprelu(*thresholds))


def test_l0_threshold_gradient(chapter_07: dict, thresholds):
    found = chapter_07["l0_threshold_gradient"](*thresholds, 0.7)
    assert_close(found, sae_objectives.l0_threshold_gradient(*thresholds, 0.7))


def test_select_by_validation(chapter_08: dict, method_scores):
    answer = chapter_08["select_by_validation"](*method_scores[:2])
    theirs = sae_probes.select_by_validation(*method_scores[:2])
    assert torch.equal(answer[0], theirs[0]) and torch.equal(answer[1], theirs[1])


def test_quiver_gain(chapter_08: dict, method_scores):
    assert torch.equal(chapter_08["quiver_gain"](*method_scores), sae_probes.quiver_gain(*method_scores))


def test_stratified_interval(chapter_08: dict, method_scores):
    gains, model_of = method_scores[1][:, 0], torch.arange(500) % 7 % 3
    answer = chapter_08["stratified_interval"](gains, model_of, 500, 3)
    assert answer == pytest.approx(sae_probes.stratified_interval(gains, model_of, 500, 3), abs=1e-6)


def test_select_latents(chapter_08: dict, planted_latents):
    for k in (1, 4, 25):
        answer = chapter_08["select_latents"](*planted_latents, k)
        assert torch.equal(answer, sae_probes.select_latents(*planted_latents, k))


def test_fit_k_sparse_probe(chapter_08: dict, planted_latents):
    for chosen, l2 in ((torch.tensor([17, 0, 3]), 0.1), (torch.tensor([9]), 0.5)):
        answer = chapter_08["fit_k_sparse_probe"](*planted_latents, chosen, l2)
        theirs = sae_probes.fit_k_sparse_probe(*planted_latents, chosen, l2)
        assert torch.equal(answer.weight, theirs.weight) and torch.equal(answer.bias, theirs.bias)


def test_sae_edit(chapter_08: dict, latent_edit):
    assert torch.allclose(chapter_08["sae_edit"](*latent_edit), sae_uses.sae_edit(*latent_edit), atol=1e-5)


def test_output_effects(chapter_08: dict):
    generator = torch.Generator().manual_seed(0)
    clean, steered = torch.randn(9, generator=generator), torch.randn(5, 9, generator=generator)
    wanted, unwanted = torch.arange(9) < 3, torch.arange(9) > 4
    theirs = sae_uses.output_effects(clean, steered, wanted, unwanted)
    assert torch.allclose(chapter_08["output_effects"](clean, steered, wanted, unwanted), theirs, atol=1e-6)


def test_find_mislabelled(chapter_08: dict):
    generator = torch.Generator().manual_seed(0)
    acts, labels = torch.randn(70, 8, generator=generator), torch.arange(70) % 3 == 0
    for n_folds, seed, l2 in ((5, 0, 0.1), (3, 2, 1.0)):
        theirs = sae_uses.find_mislabelled(acts, labels, n_folds, seed, l2=l2)
        assert torch.allclose(chapter_08["find_mislabelled"](acts, labels, n_folds, seed, l2=l2), theirs, atol=1e-5)


def test_inject_label_noise(chapter_08: dict):
    labels = torch.arange(50) % 3 == 0
    for share, seed in ((0.1, 0), (0.33, 5), (1.0, 1)):
        theirs = sae_uses.inject_label_noise(labels, share, seed)
        assert torch.equal(chapter_08["inject_label_noise"](labels, share, seed), theirs)


def test_rank_latents(chapter_08: dict):
    """Piles of 32 and 64 texts, whose shares are exact, so that ties are ties."""
    generator = torch.Generator().manual_seed(0)
    shares = torch.rand(40, generator=generator) ** 3
    first, second = ((torch.rand(n, 40, generator=generator) < shares).float() for n in (32, 64))
    for min_share in (0.0, 0.01, 0.2):
        theirs = sae_uses.rank_latents(first, second, min_share)
        assert torch.equal(chapter_08["rank_latents"](first, second, min_share), theirs)


@pytest.mark.parametrize("chapter", build.chapter_names())
def test_every_exercise_is_compared(chapter: str):
    exercises = build.load_chapter(chapter).exercises
    assert {f"test_{name}" for name in exercises} <= set(globals())
