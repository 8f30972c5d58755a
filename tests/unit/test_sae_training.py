"""Training SAEs: planted directions are found, rows keep their length, units are right, killed runs go on exactly."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize
from torch.testing import assert_close

from utils.activations import cache_resid_post
from utils.datasets import load_sentiment_words
from utils.models import load_model
from utils.sae_measures import explained_variance, loss_recovered, mean_l0, replaced_losses
from utils.sae_objectives import l0_threshold_gradient
from utils.saes import load_sae, save_sae
from utils.splits import word_stems
from utils.tokens import tokenize
from utils.training import english, sae_cards, sae_trainer, streams
from utils.training import sae as training
from utils.training.sae import describe_run, train
from utils.training.sae_cards import measure
from utils.training.sae_trainer import WINDOW, SAETrainer, Shape
from utils.training.streams import Source, stream_acts

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPES = {"standard": 0.03, "topk": 3, "batchtopk": 3, "jumprelu": 0.03}
D_MODEL, D_SAE, N_FEATURES = 24, 48, 32


def planted(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Vectors that are sums of about two of 32 directions, far from the origin; and the directions."""
    directions = normalize(torch.randn(N_FEATURES, D_MODEL, generator=torch.Generator().manual_seed(99)), dim=1)
    generator = torch.Generator().manual_seed(seed)
    on = torch.rand(n, N_FEATURES, generator=generator) < 2 / N_FEATURES
    sizes = 5 + torch.rand(n, N_FEATURES, generator=generator)
    return (on * sizes) @ directions + 4.0, directions


def fit(kind: str, steps: int = 1500) -> SAETrainer:
    trainer = SAETrainer(Shape(kind, D_SAE, SHAPES[kind]), planted(2048)[0], scale=3.0)
    for step in range(steps):
        trainer.train_step(planted(512, seed=step)[0], min(1.0, (steps - step) / 300), min(1.0, (step + 1) / 100))
    return trainer


@pytest.mark.parametrize("kind", SHAPES)
def test_planted_directions_are_found(kind: str):
    sae = fit(kind).finish()
    acts, directions = planted(2000, seed=10**6)
    latents = sae.encode(acts)
    assert explained_variance(acts, sae.decode(latents)) > 0.85
    assert 1.5 < mean_l0(latents) < 6
    best = (directions @ sae.W_dec.T).amax(dim=1).mean()  # of each planted direction
    lot = normalize(torch.randn(D_SAE, D_MODEL, generator=torch.Generator().manual_seed(1)), dim=1)
    control = (directions @ lot.T).amax(dim=1).mean()
    assert best > 0.93 and control < 0.55


@pytest.mark.parametrize("kind", SHAPES)
def test_rows_keep_length_one_and_the_finished_sae_is_in_model_units(kind: str):
    trainer = fit(kind, steps=20)
    sae, acts = trainer.finish(), planted(300, seed=5)[0]
    assert_close(sae.W_dec.norm(dim=1), torch.ones(D_SAE))
    pre = (acts / 3 - trainer.weights["b_dec"]) @ trainer.weights["W_enc"] + trainer.weights["b_enc"]
    if kind != "batchtopk":  # in training that one looks at the whole batch
        assert_close(sae.encode(acts), trainer._activate(pre).detach() * 3, rtol=1e-4, atol=1e-4)
    else:
        assert sae.architecture == "jumprelu" and len(sae.threshold.unique()) == 1
        assert (trainer._activate(pre) > 0).sum() <= 3 * len(acts)
        assert 1.5 < mean_l0(sae.encode(acts)) < 6  # the threshold is a running mean


def test_only_dead_latents_learn_from_what_is_left():
    trainer = SAETrainer(Shape("topk", D_SAE, 3), planted(2048)[0], scale=3.0)
    pre = torch.rand(10, D_SAE, requires_grad=True)
    error = torch.randn(10, D_MODEL)
    assert float(trainer._dead_loss(pre, error)) == 0
    trainer.silent[7] = sae_trainer.DEAD_VECTORS + 1
    trainer._dead_loss(pre, error).backward()
    assert pre.grad[:, 7].abs().min() > 0
    assert pre.grad.count_nonzero() == len(pre)


def test_a_thresholds_gradient_comes_from_a_window_around_it():
    half = WINDOW / 2
    pre = torch.tensor([[0.2 - 0.9 * half], [0.2 + 0.9 * half], [0.2 + 1.1 * half]], requires_grad=True)
    threshold = torch.tensor([0.2], requires_grad=True)
    out = sae_trainer._JumpReLU.apply(pre, threshold)
    assert_close(out, torch.tensor([[0.0], [1.0], [1.0]]) * pre)
    out.sum().backward()
    assert pre.grad.flatten().tolist() == [0, 1, 1]
    assert float(threshold.grad) == pytest.approx(-0.2 * 2 / WINDOW)
    threshold.grad = None
    sae_trainer._CountAbove.apply(pre, threshold).sum(dim=1).mean().backward()
    assert_close(threshold.grad, l0_threshold_gradient(pre.detach(), threshold.detach(), WINDOW))


@pytest.mark.parametrize("source", [Source("othello_gpt_6x6", 1), Source("facts_gpt_match", 1)], ids=lambda s: s.model)
def test_the_stream_is_a_function_of_the_batch_and_held_out_ones_are_others(source: Source):
    stream = stream_acts(source, 0)
    first, second = next(stream), next(stream)
    assert first.shape == (streams.BATCH, first.shape[1]) and first.isfinite().all()
    assert torch.equal(second, next(stream_acts(source, 1))) and not torch.equal(first, second)
    assert not torch.equal(first, next(stream_acts(source, 0, held_out=True)))


@pytest.fixture
def some_english(monkeypatch: pytest.MonkeyPatch):
    """Let MiniLM's sentences come from one small package."""
    english._parts.cache_clear()
    passages = english.collect_passages(("joblib",), standard_library=False)
    monkeypatch.setattr(english, "collect_passages", lambda: passages)
    yield
    english._parts.cache_clear()


@pytest.mark.parametrize("twin", ["", "_untrained"])
def test_minilms_stream_holds_word_pieces_of_texts_of_its_own(twin: str, some_english, monkeypatch):
    monkeypatch.setattr(streams, "BATCH", 128)
    source = Source(f"minilm{twin}", 2)
    acts = next(stream_acts(source, 3))
    assert acts.shape == (128, 384) and acts.isfinite().all()
    assert torch.equal(acts, next(stream_acts(source, 3))) and not torch.equal(acts, next(stream_acts(source, 4)))
    generator = torch.Generator().manual_seed(2 * 3)
    model, texts = load_model(source.model), english.draw_texts(16, generator)
    rows = []  # one text at a time, the slow way
    while sum(map(len, rows)) < 128:
        rows = [cache_resid_post(model, *tokenize(model, [text]), [2])[0, 0, 1:-1] for text in texts]
        texts += english.draw_texts(16, generator)
    possible = torch.cat(rows)
    distances = torch.cdist(acts, possible, compute_mode="donot_use_mm_for_euclid_dist")
    assert distances.amin(dim=1).max() < 1e-3
    assert not torch.equal(acts, next(stream_acts(source, 3, held_out=True)))


def test_what_is_held_out_and_what_the_tasks_use_is_not_trained_on(some_english):
    (passages, names), (other_passages, other_names) = english._parts(False), english._parts(True)
    assert not set(passages) & set(other_passages) and not set(names) & set(other_names)
    assert 0.05 < len(other_passages) / len(passages) < 0.2 and 0.05 < len(other_names) / len(names) < 0.2
    assert all(map(english.seen_in_training, names + other_names))
    texts = english.draw_texts(4000, torch.Generator().manual_seed(0))
    assert 0.22 < sum(text in set(names) for text in texts) / 4000 < 0.28
    assert set(texts) <= set(passages + names)
    assert english.describe_text() == {
        "passages": len(passages), "names": len(names), "sha256": english.hash_texts(passages + names)
    }  # fmt: skip


def test_half_of_the_names_are_kept_for_tasks_and_forms_of_a_word_stay_together():
    words = load_sentiment_words().words
    seen = [english.seen_in_training(word) for word in words]
    assert 0.45 < sum(seen) / len(seen) < 0.55
    stems = {}
    for word, flag in zip(words, seen, strict=True):
        assert stems.setdefault(word_stems([word])[0], flag) == flag, word
    assert english.seen_in_training("Navy Blue") == english.seen_in_training("navy blue")
    assert not english.seen_in_training("navy blue") and english.seen_in_training("sky blue")  # the same everywhere


def test_sentences_are_read_without_running_a_package_and_without_code(tmp_path: Path, monkeypatch):
    (tmp_path / "loud").mkdir()
    text = """Compute the :class:`~loud.Noise` of a *very* loud ``room``. It is also a
    room in which nobody sleeps.

    >>> compute(This is not a sentence of the kind.)

    Args:
        x: The room that is loud.
        y: an array of the form a_b = 3.

    - A list holds items, such as this one.
    | a | table of the rows. |
    Call f(x) to see the result. Go on. It is a lie that `this one <https://x.org/a>`_ is short.
    """
    (tmp_path / "loud" / "__init__.py").write_text(f'"""{text}"""\nraise SystemExit("it was run")\n')
    (tmp_path / "loud" / "broken.py").write_text("def (")
    (tmp_path / "loud" / "again.py").write_text('def f():\n    "A list holds items, such as this one."')
    monkeypatch.syspath_prepend(tmp_path)
    found = english.collect_passages(("loud", "not_installed_at_all"), standard_library=False)
    assert set(found) == {
        "Compute the loud.Noise of a very loud room.",
        "It is also a room in which nobody sleeps.",
        "A list holds items, such as this one.",
        "It is a lie that this one is short.",
    }
    assert list(found) == sorted(found, key=lambda text: hashlib.sha256(text.encode()).digest())


def test_a_network_without_text_is_refused(monkeypatch):
    monkeypatch.setattr(streams, "load_model", lambda name: None)
    with pytest.raises(ValueError, match="must be an othello_gpt, a facts_gpt or minilm, got 'owner/model'"):
        next(stream_acts(Source("owner/model", 1), 0))


@pytest.mark.parametrize(
    "text", ["topk:32", "gated:32:3", "topk:many:3", "topk:32:-1", "topk:32:x", "batchtopk:32:2.5"]
)
def test_an_sae_that_is_not_one_is_refused(text: str):
    with pytest.raises(ValueError):
        Shape.parse(text)
    assert str(Shape.parse("standard:64:0.03")) == "standard_64_0.03"


def test_a_run_that_was_stopped_goes_on_exactly(tmp_path: Path, monkeypatch):
    for module in (training, streams):
        monkeypatch.setattr(module, "BATCH", 64)
    monkeypatch.setattr(training, "HELD_OUT_BATCHES", 2)
    monkeypatch.setattr(training, "LOG_EVERY", 4)
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0)  # after every step
    source, shapes = Source("othello_gpt_6x6", 0), [Shape("topk", 40, 3), Shape("batchtopk", 40, 3)]
    whole = train(source, shapes, 64 * 8, tmp_path / "whole")

    step = SAETrainer.train_step
    calls = []

    def step_or_die(self, *args):
        calls.append(self)
        if len(calls) == 12:  # in the sixth step of eight
            raise KeyboardInterrupt
        step(self, *args)

    monkeypatch.setattr(SAETrainer, "train_step", step_or_die)
    with pytest.raises(KeyboardInterrupt):
        train(source, shapes, 64 * 8, tmp_path / "killed")
    monkeypatch.setattr(SAETrainer, "train_step", step)
    killed = train(source, shapes, 64 * 8, tmp_path / "killed")
    for name, trainer in whole.items():
        for key, weight in trainer.weights.items():
            assert torch.equal(weight, killed[name].weights[key]), (name, key)
    lines = [json.loads(line) for line in (tmp_path / "killed" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [4, 8] and set(lines[0]["saes"]) == set(whole)
    with pytest.raises(ValueError, match="take another name"):
        train(source, shapes[:1], 64 * 8, tmp_path / "killed")


def test_a_finished_sae_is_saved_and_measured_alike(tmp_path: Path):
    sae = fit("topk", steps=100).finish()
    acts = planted(500, seed=3)[0]
    there, back = measure(sae, [acts]), measure(load_sae(save_sae(sae, tmp_path / "sae")), [acts])
    assert there["l0"] == back["l0"] == 3 and abs(there["explained_variance"] - back["explained_variance"]) < 0.005


def test_an_exported_sae_has_a_card_of_what_it_does(tmp_path: Path, monkeypatch):
    for module in (training, streams, sae_cards):
        monkeypatch.setattr(module, "BATCH", 256)
    for name, number in (("CARD_BATCHES", 6), ("LOSS_BATCHES", 2)):
        monkeypatch.setattr(sae_cards, name, number)
    monkeypatch.setattr(training, "HELD_OUT_BATCHES", 1)
    source, folder, shapes = Source("othello_gpt_6x6", 3), tmp_path / "sae_small", [Shape("batchtopk", 64, 8)]
    trainers = train(source, shapes, 256 * 40, folder)
    run = describe_run(folder)
    out = sae_cards.export_sae(trainers["batchtopk_64_8"].finish(), source, "batchtopk_64_8", run, tmp_path / "saes")
    card, sae = json.loads((out / "card.json").read_text()), load_sae(out)
    assert out == tmp_path / "saes" / "othello_gpt_6x6_3" / "batchtopk_64_8" and not card["untrained"]
    assert card["sha256"] == hashlib.sha256((out / "sae_weights.safetensors").read_bytes()).hexdigest()
    assert card["vectors"] == card["vectors_planned"] == 256 * 40 and card["minutes"] >= 0
    assert card["command"].endswith("--layer 3 --vectors 10240 --seed 0 --saes batchtopk:64:8")
    assert sae.metadata == {"model_name": "othello_gpt_6x6", "hook_name": "blocks.3.hook_resid_post"}
    found, batches = card["metrics"], sae_cards.draw_held_out(source, 0, 6)
    direct = measure(sae, batches)
    tokens, mask = streams.held_out_tokens(source, 0, 2)
    for ablation in ("mean", "zero"):
        losses = replaced_losses(load_model(source.model), sae, tokens, mask, 3, ablation=ablation)
        direct[f"loss_recovered_{ablation}"] = loss_recovered(*losses)
    assert found.keys() == direct.keys()
    for name, value in direct.items():
        assert found[name]["value"] == pytest.approx(value, abs=0.01), name
        assert found[name]["low"] <= found[name]["value"] <= found[name]["high"]
    sae_cards.draw_held_out.cache_clear()


def test_networks_that_predict_nothing_have_no_losses(some_english, monkeypatch):
    monkeypatch.setattr(streams, "BATCH", 64)
    for model, d_model in (("facts_gpt_match_untrained", 128), ("minilm", 384)):
        sae = SAETrainer(Shape("topk", 8, 2), torch.randn(9, d_model), 1.0).finish()
        found = sae_cards.evaluate(sae, Source(model, 0), n_batches=2)
        assert found.keys() == {"explained_variance", "l0", "dead"}
    with pytest.raises(ValueError, match="got 'minilm', which predicts no next token"):
        streams.held_out_tokens(Source("minilm", 0), 0, 1)
    assert sae_cards.describe_text({"passages": 1000, "names": 100, "sha256": "0"}, 10**6)["passes_over_names"] > 1
    sae_cards.draw_held_out.cache_clear()


def test_a_checkpoint_of_other_groups_is_read_and_minutes_that_nobody_counted_stay_unknown(tmp_path: Path, monkeypatch):
    for module in (training, streams):
        monkeypatch.setattr(module, "BATCH", 64)
    monkeypatch.setattr(training, "HELD_OUT_BATCHES", 1)
    args = Source("othello_gpt_6x6", 0), [Shape("jumprelu", 16, 0.01)], 64 * 4, tmp_path / "sae_x"
    train(*args)
    file = tmp_path / "sae_x" / "checkpoint.pt"
    state = torch.load(file, weights_only=True)
    groups = state["saes"]["jumprelu_16_0.01"]["optimiser"]["param_groups"]
    groups[:] = [groups[0] | {"params": [0, 1, 2, 3, 4]}]
    del state["minutes"], state["hardware"]
    torch.save(state, file)
    train(*args)
    assert describe_run(file.parent)["minutes"] is None and describe_run(file.parent, minutes=3)["minutes"] == 3
    assert describe_run(file.parent)["command"].endswith("--saes jumprelu:16:0.01")
