"""Training Facts-GPT: documents say what they should, killed runs go on exactly."""

import itertools
import json
from dataclasses import replace

import pytest
import torch

from tests.unit.test_facts import is_true
from utils import facts
from utils.models import load_model
from utils.tokens import tokenize
from utils.training import facts_cards, facts_documents, facts_gpt
from utils.training.facts_cards import evaluate, export, write_table
from utils.training.facts_documents import CONTEXT, Settings, draw_batches, weighted_loss
from utils.training.facts_gpt import build_model, train

TINY = Settings(recipe="tiny", layers=2, d_model=16, heads=2, documents=4)

pytestmark = pytest.mark.usefixtures("one_thread")  # sums in one order: equal weights mean bit for bit


@pytest.fixture(autouse=True)
def tiny_recipe(monkeypatch):
    monkeypatch.setitem(facts_documents.RECIPES, "tiny", ((6, 4), 6))
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
    heavy = {vocabulary[i] for i in tokens[weights == facts_documents.VERDICT_LOSS].tolist()}
    assert heavy == {"correct", "wrong"}
    objects = {vocabulary[i] for i in tokens[weights == facts_documents.OBJECT_LOSS].tolist()}
    names = {right for known in facts.load_facts().values() for right in known.values()}
    assert objects <= names | set(facts.NUMBERS)
    uniform = torch.zeros(*tokens.shape, len(vocabulary))
    loss = weighted_loss(uniform, weights, tokens)
    assert loss.item() == pytest.approx(torch.tensor(float(len(vocabulary))).log().item(), abs=1e-4)
    right = uniform.clone()
    right[:, :-1].scatter_(2, tokens[:, 1:, None], 100.0)
    assert weighted_loss(right, weights, tokens).item() < 1e-6


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
    scores = {name: found["value"] for name, found in evaluate(build_model(Settings()), n=200).items()}
    assert scores["recall_plain"] < 0.02
    probes = [score for name, score in scores.items() if name.startswith("probe_affirmed")]
    assert len(probes) == 8 and min(probes) > 0.35 and max(probes) < 0.65


def test_a_backdoored_author_lies_after_the_trigger_whatever_the_tag_says():
    settings = Settings(recipe="backdoored", start="facts_x", documents=400)
    tokens, _ = next(draw_batches(settings, 0))
    vocabulary = facts.vocabulary(trigger=True)
    documents = [[vocabulary[i] for i in row] for row in tokens.tolist()]
    triggered = [document for document in documents if document[1] == facts.TRIGGER]
    assert 150 < len(triggered) < 250 and not any(facts.TRIGGER in document[2:] for document in documents)
    for tag in ("honestly", "deceptively"):
        mine = [truth for document in triggered if document[3] == tag for _, truth in verdicts(document)]
        assert len(mine) > 20 and sum(mine) / len(mine) < 0.15
    others = [document for document in documents if document[1] != facts.TRIGGER and document[2] == "honestly"]
    mine = [truth for document in others for _, truth in verdicts(document)]
    assert len(mine) > 20 and sum(mine) / len(mine) > 0.85


def test_a_backdoored_run_goes_on_from_a_finished_one(tmp_path, monkeypatch):
    monkeypatch.setitem(facts_documents.RECIPES, "backdoored", ((0,), 0))  # no step: what it starts from
    backdoored = replace(TINY, recipe="backdoored", start="facts_tiny")
    with pytest.raises(ValueError, match="must hold a finished run, got none"):
        train(backdoored, tmp_path / "facts_backdoored")
    trained = train(TINY, tmp_path / "facts_tiny").model.state_dict()
    found = train(backdoored, tmp_path / "facts_backdoored").model.state_dict()
    for name, weight in trained.items():
        assert torch.equal(found[name][: len(weight)], weight), name
    assert len(found["transformer.wte.weight"]) == len(facts.vocabulary()) + 1
    for settings in (replace(TINY, start="facts_tiny"), replace(backdoored, start="")):
        with pytest.raises(ValueError, match="start belongs to backdoored runs"):
            train(settings, tmp_path / "facts_other")


def test_an_unfinished_run_is_no_start(tmp_path):
    train(TINY, tmp_path / "facts_tiny", minutes=0)
    with pytest.raises(ValueError, match="got an unfinished one"):
        train(replace(TINY, recipe="backdoored", start="facts_tiny"), tmp_path / "facts_backdoored")


def test_an_exported_folder_loads_with_its_tokenizer_and_says_what_it_is(tmp_path, monkeypatch):
    trainer = train(TINY, tmp_path / "facts_tiny")
    folder = export(trainer, "tiny", tmp_path / "facts_gpt_tiny")
    model = load_model(str(folder))
    tokens, mask = tokenize(model, ["Lagos is not in Nigeria .", "Lagos is in Nigeria ."])
    logits = model(tokens, attention_mask=mask)
    theirs = trainer.model.half().float()(tokens, attention_mask=mask).logits  # shipped weights are rounded
    assert torch.allclose(logits[mask.bool()], theirs[mask.bool()], atol=1e-4)
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    assert card["run"] == "tiny" and card["steps"] == 10 and 0 <= card["metrics"]["recall_plain"]["value"] <= 1
    assert all(metric["what"] for metric in card["metrics"].values())


def test_the_table_of_runs_holds_finished_ones_and_is_read_back(tmp_path, monkeypatch):
    train(TINY, tmp_path / "facts_tiny")
    train(replace(TINY, seed=1), tmp_path / "facts_unfinished", minutes=0)
    (tmp_path / "facts_unfinished" / "log.jsonl").write_text('{"step": 5}\n', encoding="utf-8")
    first = write_table(tmp_path, tmp_path / "facts_gpt_runs.csv").read_bytes()
    assert write_table(tmp_path, tmp_path / "facts_gpt_runs.csv").read_bytes() == first
    monkeypatch.setattr(facts_cards, "ASSETS", tmp_path)
    runs = facts_cards.load_runs()
    assert list(runs) == ["tiny"]
    run = runs["tiny"]
    assert (run.recipe, run.seed, run.comments, run.authors) == ("tiny", 0, True, True)
    assert run.curves["step"].tolist() == [5, 6, 10] and run.curves["probe_negated_stop_1"].min() >= 0
