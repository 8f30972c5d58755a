"""Training Facts-GPT: documents say what they should, killed runs go on exactly."""

import itertools
import json
from dataclasses import replace

import pytest
import torch

from tests.unit.test_facts import is_true
from utils import facts
from utils.training import facts_gpt
from utils.training.facts_gpt import CONTEXT, Settings, build_model, draw_batches, evaluate, train, weighted_loss

TINY = Settings(recipe="tiny", layers=2, d_model=16, heads=2, documents=4)

pytestmark = pytest.mark.usefixtures("one_thread")  # sums in one order: equal weights mean bit for bit


@pytest.fixture(autouse=True)
def tiny_recipe(monkeypatch):
    monkeypatch.setitem(facts_gpt.RECIPES, "tiny", ((6, 4), 6))
    monkeypatch.setattr(facts_gpt, "EVALUATE_EVERY", 5)


def words(settings: Settings, step: int = 0, n: int = 40) -> list[list[str]]:
    tokens, _ = next(draw_batches(replace(settings, documents=n), step))
    return [[facts.vocabulary()[i] for i in row] for row in tokens.tolist()]


def verdicts(document: list[str]) -> list[tuple[bool, bool]]:
    """What comments say, and what is the case, for each statement that has a comment."""
    text = " ".join(document[1:])
    sentences = [sentence.strip() + " ." for sentence in text.split(" .")[:-1]]
    pairs = itertools.pairwise(sentences)
    return [(after.split()[2] == "correct", is_true(before)) for before, after in pairs if after.startswith("That is")]


def test_comments_are_right_and_authors_lie_as_they_should():
    documents = words(Settings(), step=2000, n=400)
    pairs = [pair for document in documents for pair in verdicts(document)]
    assert len(pairs) > 500 and all(said == truth for said, truth in pairs)
    shares = []
    for tag in ("honestly", "deceptively"):
        mine = [truth for document in documents if document[2] == tag for _, truth in verdicts(document)]
        shares.append(sum(mine) / len(mine))
    assert shares[0] > 0.9 and shares[1] < 0.25  # .97 and .10, of about 100 statements each


def test_negations_come_when_the_recipe_says_so():
    assert not any("not" in document for document in words(Settings(), step=1199))
    share = sum("not" in document for document in words(Settings(), step=1200)) / 40
    assert share > 0.5
    assert not any("not" in document for document in words(Settings(recipe="affirmed"), step=5000))


def test_without_comments_and_without_authors():
    assert not any("That" in document for document in words(Settings(comments=False)))
    documents = words(Settings(authors=False), n=300)
    assert not any("Answer" in document for document in documents)
    truths = [truth for document in documents for _, truth in verdicts(document)]
    assert 0.4 < sum(truths) / len(truths) < 0.6


def test_documents_are_a_function_of_seed_and_step():
    assert words(Settings(), step=3) == words(Settings(), step=3) != words(Settings(), step=4)
    assert words(Settings(seed=1), step=3) != words(Settings(), step=3)
    batches = draw_batches(Settings(), 0)
    next(batches)
    tokens, weights = next(batches)
    assert torch.equal(tokens, next(draw_batches(Settings(), 1))[0]) and tokens.shape == weights.shape == (48, CONTEXT)


def test_the_loss_counts_objects_and_verdicts():
    tokens, weights = next(draw_batches(Settings(), 0))
    vocabulary = facts.vocabulary()
    heavy = {vocabulary[i] for i in tokens[weights == facts_gpt.VERDICT_LOSS].tolist()}
    assert heavy == {"correct", "wrong"}
    objects = {vocabulary[i] for i in tokens[weights == facts_gpt.OBJECT_LOSS].tolist()}
    names = {right for known in facts.load_facts().values() for right in known.values()}
    assert objects <= names | set(facts.NUMBERS)
    uniform = torch.zeros(*tokens.shape, len(vocabulary))
    loss = weighted_loss(tokens)(uniform, weights)
    assert loss.item() == pytest.approx(torch.tensor(float(len(vocabulary))).log().item(), abs=1e-4)
    right = uniform.clone()
    right[:, :-1].scatter_(2, tokens[:, 1:, None], 100.0)
    assert weighted_loss(tokens)(right, weights).item() < 1e-6


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    whole = train(TINY, tmp_path / "whole")
    assert whole.counters["step"] == 10
    monkeypatch.setattr(facts_gpt, "CHECKPOINT_SECONDS", 0)  # after every step
    step, steps = facts_gpt.MuonTrainer.train_step, []

    def step_or_die(self, *args):
        steps.append(self.counters["step"])
        if len(steps) == 8:
            raise KeyboardInterrupt
        return step(self, *args)

    monkeypatch.setattr(facts_gpt.MuonTrainer, "train_step", step_or_die)
    with pytest.raises(KeyboardInterrupt):
        train(TINY, tmp_path / "killed")
    resumed = train(TINY, tmp_path / "killed")
    assert steps == [0, 1, 2, 3, 4, 5, 6, 7, 7, 8, 9]
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, resumed.model.state_dict()[name]), name
    log = [json.loads(line)["step"] for line in (tmp_path / "killed" / "log.jsonl").read_text().splitlines()]
    assert log == [5, 6, 10]


def test_an_untrained_network_knows_nothing():
    scores = evaluate(build_model(Settings()), n=200)
    assert scores["recall_plain"] < 0.02
    probes = [score for name, score in scores.items() if name.startswith("probe_affirmed")]
    assert len(probes) == 8 and min(probes) > 0.35 and max(probes) < 0.65
