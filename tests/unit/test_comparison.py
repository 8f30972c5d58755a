"""Families of methods: scikit-learn agrees, each finds what is planted, and validation alone chooses."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from utils import comparison
from utils.comparison import FAMILIES, L2S, NEIGHBOURS, SHRINKAGES, SIZES, compare, load_table, score_family
from utils.tasks import Examples, Task, load_tasks
from utils.training.comparison import ALL_FAMILIES
from utils.trials import REGIMES, Trial

pytestmark = pytest.mark.usefixtures("one_thread")
DENSE = [name for name, (_, source) in FAMILIES.items() if source == "acts"]


def plant(n: int, dim: int = 30, *, seed: int) -> Examples:
    """One of 30 dimensions tells the classes apart."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.rand(n, generator=generator) < 0.5
    acts = torch.randn(n, dim, generator=generator)
    acts[:, 3] += 2.5 * labels
    latents = torch.cat([acts.relu(), torch.zeros(n, 5)], dim=1)  # and five dead ones
    return Examples(acts, latents, labels, [f"{seed} {i}" for i in range(n)])


@pytest.fixture(scope="module")
def trial() -> Trial:
    return Trial(plant(200, seed=1), plant(150, seed=2), plant(400, seed=3))


@pytest.mark.parametrize("name", ALL_FAMILIES)
def test_every_family_has_eight_configurations_and_finds_what_is_planted(trial: Trial, name: str):
    validation, test = score_family(trial, name, ALL_FAMILIES)
    assert validation.shape == test.shape == (8,)
    best = float(test[validation.argmax()])
    assert best > 0.85, best
    flipped = trial.train._replace(labels=~trial.train.labels)
    again = score_family(trial._replace(train=flipped), name, ALL_FAMILIES)[1]
    assert float(again.max()) < 0.5, "labels turned round must turn the scores"


def test_logistic_regression_is_scikit_learns_also_with_fewer_rows_than_columns(trial: Trial):
    for n in (200, 20):
        part = trial.train
        small = Examples(*(values[:n] for values in part))
        scaler = StandardScaler().fit(small.acts)
        test, expected = scaler.transform(trial.test.acts), []
        for l2 in L2S:
            model = LogisticRegression(C=1 / (n * l2), max_iter=5000, tol=1e-8)
            scores = model.fit(scaler.transform(small.acts), small.labels).decision_function(test)
            expected.append(roc_auc_score(trial.test.labels, scores))
        found = score_family(trial._replace(train=small), "logistic")[1]
        assert (found - torch.tensor(expected)).abs().max() < 0.015  # the weakest penalty converges last


def test_neighbours_are_scikit_learns(trial: Trial):
    scaler = StandardScaler().fit(trial.train.acts)
    found = score_family(trial, "nearest")[1]
    for k, score in zip(NEIGHBOURS, found.tolist(), strict=True):
        model = KNeighborsClassifier(k, weights="distance").fit(scaler.transform(trial.train.acts), trial.train.labels)
        chance = model.predict_proba(scaler.transform(trial.test.acts))[:, 1]
        assert score == pytest.approx(roc_auc_score(trial.test.labels, chance), abs=2e-3)


def test_whole_shrinkage_is_the_difference_of_means(trial: Trial):
    part = trial.train
    direction = part.acts[part.labels].mean(dim=0) - part.acts[~part.labels].mean(dim=0)
    expected = roc_auc_score(trial.test.labels, trial.test.acts @ direction)
    assert SHRINKAGES[0] == 1 and score_family(trial, "mass_mean")[1][0] == pytest.approx(expected, abs=1e-4)


def test_families_are_on_equal_terms():
    assert len(L2S) == len(SHRINKAGES) == len(SIZES) == len(NEIGHBOURS) == 8
    assert FAMILIES["sae_logistic"][0] is FAMILIES["logistic"][0] is ALL_FAMILIES["random_logistic"][0]


def test_an_unknown_family_is_refused(trial: Trial):
    with pytest.raises(ValueError, match="family must be one of logistic, mass_mean"):
        score_family(trial, "oracle")


def test_the_configuration_is_chosen_on_validation(monkeypatch):
    task = Task("planted", "none", plant(900, seed=4), plant(300, seed=5), "other")
    given = {"logistic": ([0.5, 0.9, 0.7], [0.99, 0.6, 0.8]), "nearest": ([0.4, 0.4, 0.4], [0.1, 0.2, 0.3])}
    monkeypatch.setattr(comparison, "score_family", lambda trial, name, _: map(torch.tensor, given[name]))
    validation, test = compare([task], ["standard", "scarce"], list(given))
    assert validation.shape == test.shape == (1, 2, 2)
    assert validation[0, 0].tolist() == pytest.approx([0.9, 0.4]) and test[0, 0].tolist() == pytest.approx([0.6, 0.1])


def test_the_table_fits_the_tasks():
    table = load_table()
    assert table.families == list(ALL_FAMILIES)
    assert table.test.shape == table.validation.shape == (3, len(load_tasks()), len(REGIMES), len(ALL_FAMILIES))
    assert table.test.min() >= 0 and table.test.max() <= 1


def test_the_table_says_what_a_run_gives():
    """One task of each network, families of the notebook, seed 0: the same numbers, but for rounding and hardware."""
    table, tasks = load_table(), load_tasks()
    for i in (4, 11, 20):
        found = compare([tasks[i]], ["standard"], DENSE)[1][0, 0]
        said = table.test[0, i, 0, [table.families.index(name) for name in DENSE]]
        assert (found - said).abs().max() < 0.02, tasks[i].name
