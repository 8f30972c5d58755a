"""Training SAEs: planted directions are found, rows keep their length, units are right, killed runs go on exactly."""

import json
from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize
from torch.testing import assert_close

from utils.saes import explained_variance, load_sae, mean_l0, save_sae
from utils.training import sae as training
from utils.training import streams
from utils.training.sae import SAETrainer, Shape, train
from utils.training.sae_cards import measure
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
    print(kind, best, control, explained_variance(acts, sae.decode(latents)), mean_l0(latents))
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
    trainer.silent[7] = training.DEAD_VECTORS + 1
    trainer._dead_loss(pre, error).backward()
    assert pre.grad[:, 7].abs().min() > 0
    assert pre.grad.count_nonzero() == len(pre)


def test_a_thresholds_gradient_comes_from_a_window_around_it():
    half = training.WINDOW / 2
    pre = torch.tensor([[0.2 - 0.9 * half], [0.2 + 0.9 * half], [0.2 + 1.1 * half]], requires_grad=True)
    threshold = torch.tensor([0.2], requires_grad=True)
    out = training._JumpReLU.apply(pre, threshold)
    assert_close(out, torch.tensor([[0.0], [1.0], [1.0]]) * pre)
    out.sum().backward()
    assert pre.grad.flatten().tolist() == [0, 1, 1]
    assert float(threshold.grad) == pytest.approx(-0.2 * 2 / training.WINDOW)
    threshold.grad = None
    training._count_above(pre, threshold).sum().backward()
    assert float(threshold.grad) == pytest.approx(-2 / training.WINDOW)


@pytest.mark.parametrize("source", [Source("othello_gpt_6x6", 1), Source("facts_gpt_match", 1)], ids=lambda s: s.model)
def test_the_stream_is_a_function_of_the_batch_and_held_out_ones_are_others(source: Source):
    stream = stream_acts(source, 0)
    first, second = next(stream), next(stream)
    assert first.shape == (streams.BATCH, first.shape[1]) and first.isfinite().all()
    assert torch.equal(second, next(stream_acts(source, 1))) and not torch.equal(first, second)
    assert not torch.equal(first, next(stream_acts(source, 0, held_out=True)))


def test_a_network_without_text_is_refused(monkeypatch):
    monkeypatch.setattr(streams, "load_model", lambda name: None)
    with pytest.raises(ValueError, match="must be an othello_gpt, a facts_gpt or minilm, got 'owner/model'"):
        next(stream_acts(Source("owner/model", 1), 0))


@pytest.mark.parametrize("text", ["topk:32", "gated:32:3", "topk:many:3", "topk:32:-1", "topk:32:x"])
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
