"""Training Othello-GPT on a small board: killed runs go on exactly, exports load in Hugging Face."""

import hashlib
import json
import math
import os
from functools import partial
from itertools import islice

import pytest
import torch
from transformers import GPT2LMHeadModel

from utils.othello import random_games, replay_games, token_squares
from utils.training import othello_cards, othello_gpt
from utils.training.othello_cards import METRICS, evaluate, export, read_curve
from utils.training.othello_games import Settings, draw_batches, inputs_and_legal, legal_move_losses
from utils.training.othello_gpt import Schedule, Trainer, build_model, train

TINY = Settings(size=6, layers=2, d_model=16, heads=2, games=8)
STEP_TOKENS = 8 * 31  # at most, per step of TINY


pytestmark = pytest.mark.usefixtures("one_thread")  # sums in one order: equal weights mean bit for bit


def weights(trainer):
    return {name: weight.clone() for name, weight in trainer.model.state_dict().items()}


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    """The kill comes while the fifth checkpoint is being written: the fourth must still be whole."""
    schedule = {"tokens": 10 * STEP_TOKENS, "decay_tokens": 4 * STEP_TOKENS}
    uninterrupted = train(TINY, tmp_path / "whole", **schedule)

    monkeypatch.setattr(othello_gpt, "CHECKPOINT_SECONDS", 0)  # after every step
    replace, saves = os.replace, []

    def replace_or_die(source, target):
        saves.append(source)
        if len(saves) == 5:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace_or_die)
    with pytest.raises(KeyboardInterrupt):
        train(TINY, tmp_path / "killed", **schedule)
    assert Trainer(TINY, tmp_path / "killed").counters["step"] == 4
    resumed = train(TINY, tmp_path / "killed")  # the schedule comes from the checkpoint

    for count in ("step", "tokens"):
        assert resumed.counters[count] == uninterrupted.counters[count]
    assert resumed.counters["tokens"] >= schedule["tokens"]
    for name, weight in weights(uninterrupted).items():
        assert torch.equal(weight, resumed.model.state_dict()[name]), name
    log = [json.loads(line) for line in (tmp_path / "killed" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == list(range(1, resumed.counters["step"] + 1))


def test_a_decay_starts_once_at_any_checkpoint_and_can_be_undone(tmp_path):
    constant = train(TINY, tmp_path, minutes=1e-9)  # one sitting of one step
    assert constant.counters["step"] == 1 and constant.schedule == Schedule()
    decayed = train(TINY, tmp_path, decay_tokens=3 * STEP_TOKENS)
    assert decayed.counters["tokens"] >= constant.counters["tokens"] + 3 * STEP_TOKENS
    more = train(TINY, tmp_path, decay_tokens=3 * STEP_TOKENS)  # the same command again adds nothing
    assert more.counters == decayed.counters and more.schedule == decayed.schedule
    os.replace(tmp_path / "before_decay.pt", tmp_path / "checkpoint.pt")
    again = Trainer(TINY, tmp_path)
    assert again.counters["step"] == 1 and again.schedule == Schedule()
    assert all(torch.equal(weight, again.model.state_dict()[name]) for name, weight in weights(constant).items())


def test_the_schedule_warms_up_stays_and_falls_to_zero():
    schedule = Schedule(end=1000.0, decay_tokens=400.0)
    assert schedule.factor(0, 0) == pytest.approx(1 / othello_gpt.WARMUP_STEPS)
    assert [schedule.factor(10_000, tokens) for tokens in (0, 600, 800, 1000, 1200)] == [1, 1, 0.5, 0, 0]
    assert Schedule().factor(10_000, 10**12) == 1 and not Schedule().is_over(10**12)


def test_other_settings_do_not_go_on_with_a_checkpoint(tmp_path):
    train(TINY, tmp_path, minutes=1e-9)
    with pytest.raises(ValueError, match=r"'layers': 2.*got.*'layers': 3.*another --name"):
        Trainer(Settings(size=6, layers=3, d_model=16, heads=2, games=8), tmp_path)


def test_every_weight_learns_and_muon_moves_the_parts_of_the_fused_matrix(tmp_path):
    before = build_model(TINY).state_dict()
    trainer = train(TINY, tmp_path, minutes=1e-9)
    for name, weight in weights(trainer).items():
        assert weight.isfinite().all() and not torch.equal(weight, before[name]), name
    fused = trainer.model.transformer.h[0].attn.c_attn.weight
    rate = othello_gpt.MUON_RATE / othello_gpt.WARMUP_STEPS
    for part, first in zip(trainer.views[:3], (0, 16, 32), strict=True):
        assert part.data_ptr() == fused[:, first:].data_ptr() and part.shape == (16, 16)
    change = (fused - before["transformer.h.0.attn.c_attn.weight"])[:, 32:] / rate  # of the values
    singular = torch.linalg.svdvals(change)  # nearly orthogonal: all directions of some gradient move alike
    assert singular[:8].min() > 0.4 and singular.max() < 1.4


def test_games_of_training_are_fresh_seeded_and_start_anywhere():
    batches = list(islice(draw_batches(TINY, 30), 4))  # a new draw of games begins at step 32
    later = next(draw_batches(TINY, 33))
    assert torch.equal(batches[3][0], later[0]) and torch.equal(batches[3][1], later[1])
    games = torch.cat([tokens for tokens, _ in batches])
    assert len(games.unique(dim=0)) == len(games)
    tokens, legal = batches[0]
    assert tokens.shape == (8, 31) and legal.shape == (8, 31, 33) and not legal[..., 0].any()
    assert torch.equal(legal[..., 1:], replay_games(tokens, 6).legal[..., token_squares(6)])


def test_excess_loss_is_zero_for_a_perfect_player_and_known_for_a_uniform_one():
    _, legal = inputs_and_legal(random_games(20, 6), 6)
    perfect = torch.where(legal, 0.0, -1e4)
    assert legal_move_losses(perfect, legal).abs().max() < 1e-5
    n_legal = legal.sum(dim=-1)
    expected = torch.where(n_legal > 0, math.log(33) - n_legal.clamp(min=1).log(), 0.0)
    torch.testing.assert_close(legal_move_losses(torch.zeros(legal.shape), legal), expected)


def test_metrics_agree_with_a_count_by_hand():
    model = build_model(TINY).eval()
    metrics = evaluate(model, 6, 300, seed=3)
    tokens, legal = inputs_and_legal(random_games(300, 6, seed=3), 6)
    logits = model(tokens).logits
    played = legal.any(dim=-1)
    top_1 = legal.gather(-1, logits.argmax(dim=-1, keepdim=True))[played].float().mean().item()
    assert metrics["top_1_legal"]["value"] == pytest.approx(top_1, abs=1e-4)
    top_n = [
        legal[game, pos, logits[game, pos].topk(int(legal[game, pos].sum())).indices].float().mean().item()
        for game, pos in played.nonzero().tolist()
    ]
    assert metrics["top_n_legal"]["value"] == pytest.approx(sum(top_n) / len(top_n), abs=1e-4)
    assert metrics["top_n_legal"]["low"] < metrics["top_n_legal"]["value"] < metrics["top_n_legal"]["high"]
    mass = (logits.softmax(dim=-1) * legal).sum(dim=-1)[played].mean().item()
    assert metrics["legal_mass"]["value"] == pytest.approx(mass, abs=1e-4)


def test_training_learns_in_seconds_and_the_export_is_an_ordinary_gpt2(tmp_path, monkeypatch):
    monkeypatch.setattr(othello_cards, "HELD_OUT_GAMES", 100)
    monkeypatch.setattr(othello_gpt, "Schedule", partial(Schedule, warmup_steps=20))
    settings = Settings(size=6, layers=2, d_model=32, heads=2, games=16)
    trainer = train(settings, tmp_path, tokens=120 * 16 * 31, decay_tokens=40 * 16 * 31)
    folder = export(trainer, tmp_path / "export")

    model = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokens = random_games(50, 6, seed=1)[:, :-1]
    with torch.no_grad():
        difference = (model(tokens).logits - trainer.model(tokens).logits).abs().max()
    assert difference < 0.02  # logits of size 5, weights rounded to 11 bits

    card = json.loads((folder / "card.json").read_text())
    assert card["sha256"] == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert {"config.json", "model.safetensors", "card.json", "curve.json"} == {file.name for file in folder.iterdir()}
    monkeypatch.setattr(othello_cards, "ASSETS", tmp_path)
    curve = read_curve("export")
    assert curve["tokens"][-1] == card["tokens_seen"] and set(METRICS) <= set(curve)
    untrained = evaluate(build_model(settings), 6, 100)
    assert untrained["excess_loss"]["value"] > 1.9 > 1.7 > card["metrics"]["excess_loss"]["value"]  # 1.97 and 1.51
    assert card["metrics"]["top_1_legal"]["low"] > untrained["top_1_legal"]["high"]


def test_a_notebook_trains_with_a_loss_of_its_own_and_without_a_folder():
    trainer = Trainer(TINY)
    tokens, legal = next(draw_batches(TINY, step=0))
    before = weights(trainer)
    loss = trainer.train_step(tokens, legal, lambda logits, legal: 0 * logits.sum() + 3.0)
    assert loss == 3.0 and trainer.counters["step"] == 1
    weight = "transformer.wpe.weight"  # no gradient, so only the weight decay moves it
    assert torch.allclose(trainer.model.state_dict()[weight], before[weight], rtol=1e-4)
