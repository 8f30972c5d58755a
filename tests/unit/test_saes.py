"""SAEs compute what SAELens computes, and the measures are what they say."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from utils import ROOT, saes
from utils.models import leftover_hooks, random_model
from utils.sae_measures import dead_latents, explained_variance, loss_recovered, mean_l0, replaced_losses
from utils.saes import SAE, embedded_saes, load_sae, save_sae

GOLDEN = sorted(path.parent for path in (ROOT / "tests" / "golden").glob("*/cfg.json"))

pytestmark = pytest.mark.usefixtures("one_thread")


def draw(architecture: str = "standard", d_model: int = 6, d_sae: int = 10, seed: int = 0) -> SAE:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"W_enc": (d_model, d_sae), "b_enc": (d_sae,), "W_dec": (d_sae, d_model), "b_dec": (d_model,)}
    weights = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    extra = {"topk": {"k": 3}, "jumprelu": {"threshold": torch.rand(d_sae, generator=generator)}}
    return SAE(architecture, **weights, **extra.get(architecture, {}))


@pytest.mark.parametrize("folder", GOLDEN, ids=lambda path: path.name)
def test_what_saelens_wrote_is_read_and_computed_alike(folder: Path):
    expected, sae = load_file(folder / "expected.safetensors"), load_sae(folder)
    latents = sae.encode(expected["acts"])
    assert_close(latents, expected["latents"])
    assert_close(sae.decode(latents), expected["reconstruction"])
    assert 0 < mean_l0(latents) < sae.d_sae


@pytest.mark.parametrize("architecture", ["standard", "topk", "jumprelu"])
def test_a_saved_sae_comes_back_in_half_precision(tmp_path: Path, architecture: str):
    sae = draw(architecture)
    back = load_sae(save_sae(sae, tmp_path / "sae"))
    assert (back.architecture, back.k, back.d_model, back.d_sae) == (architecture, sae.k, 6, 10)
    for name in ("W_enc", "b_enc", "W_dec", "b_dec", "threshold"):
        if (weight := getattr(sae, name)) is not None:
            assert torch.equal(getattr(back, name), weight.half().float())


@pytest.mark.parametrize("architecture", ["standard", "topk", "jumprelu"])
def test_a_vector_is_encoded_alike_alone_and_in_any_batch(architecture: str):
    sae, acts = draw(architecture), torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(1))
    latents = sae.encode(acts)
    assert latents.shape == (3, 5, 10) and (latents >= 0).all()
    alone = torch.stack([sae.encode(row) for row in acts.flatten(0, 1)]).reshape(latents.shape)
    assert_close(alone, latents)
    if architecture == "topk":
        assert ((latents > 0).sum(dim=-1) <= 3).all()


def test_the_measures_by_hand():
    acts = torch.tensor([[1.0, 0.0], [3.0, 0.0], [2.0, 6.0]])  # squared distances from (2, 2): 5, 5, 16
    assert float(explained_variance(acts, acts)) == 1
    assert_close(explained_variance(acts, acts.mean(dim=0).expand(3, 2)), torch.tensor(0.0))
    assert_close(explained_variance(acts, acts + torch.tensor([1.0, 0.0])), torch.tensor(1 - 3 / 26))
    latents = torch.tensor([[0.0, 2.0, 0.0], [0.0, 1.0, 0.5]])
    assert float(mean_l0(latents)) == 1.5 and dead_latents(latents).tolist() == [True, False, False]


def test_loss_recovered_is_one_for_a_perfect_sae_and_zero_for_the_mean():
    model = random_model("gpt2", n_layers=2, d_model=16)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, 50, (8, 12), generator=generator)
    mask = torch.ones_like(tokens)
    mask[:3, 9:] = 0
    eye, zero = torch.eye(16), torch.zeros(16)
    both = torch.cat([eye, -eye], dim=1)  # relu(x) - relu(-x) is x
    perfect = SAE("standard", both, torch.zeros(32), both.T, zero)

    def recovered(network, *sae_and_rest, **ablation) -> float:
        return loss_recovered(*replaced_losses(network, *sae_and_rest, **ablation))

    for ablation in ("mean", "zero"):
        assert recovered(model, perfect, tokens, mask, 0, ablation=ablation) == pytest.approx(1, abs=1e-4)
    mean = model.run_with_cache(tokens, attention_mask=mask)[1]["blocks.0.hook_resid_post"][mask.bool()].mean(dim=0)
    constant = SAE("standard", 0 * both, torch.zeros(32), 0 * both.T, mean)
    assert recovered(model, constant, tokens, mask, 0) == pytest.approx(0, abs=1e-4)
    assert abs(recovered(model, constant, tokens, mask, 0, ablation="zero")) > 0.01
    nothing = SAE("standard", 0 * both, torch.zeros(32), 0 * both.T, zero)
    assert recovered(model, nothing, tokens, mask, 0, ablation="zero") == pytest.approx(0, abs=1e-4)
    with pytest.raises(ValueError, match='ablation must be "mean" or "zero", got \'resample\''):
        recovered(model, perfect, tokens, mask, 0, ablation="resample")
    with pytest.raises(ValueError, match="ablated must have another mean than clean"):
        still = random_model("gpt2", n_layers=2, d_model=16)
        for parameter in (still.original_model.transformer.ln_f.weight, still.original_model.transformer.ln_f.bias):
            parameter.zero_()
        recovered(still, perfect, tokens, mask, 1)
    assert not leftover_hooks(model)


def test_what_does_not_fit_is_named(tmp_path: Path):
    sae = draw()
    with pytest.raises(ValueError, match=r"d_model 6, got \(2, 5\)"):
        sae.encode(torch.zeros(2, 5))
    with pytest.raises(ValueError, match="architecture must be one of standard, topk, jumprelu, got 'gated'"):
        SAE("gated", sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec)
    with pytest.raises(ValueError, match=r"W_dec must be \[10, 6\].*got \(6, 10\)"):
        SAE("standard", sae.W_enc, sae.b_enc, sae.W_dec.T, sae.b_dec)
    with pytest.raises(ValueError, match="k must be from 1 to d_sae 10 in a topk SAE, got None"):
        SAE("topk", sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec)
    with pytest.raises(ValueError, match=r"threshold must be \[10\].*got None"):
        SAE("jumprelu", sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec)
    with pytest.raises(ValueError, match=r"must hold cfg\.json and sae_weights.safetensors, got FileNotFoundError"):
        load_sae(tmp_path / "nothing")


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda folder: (folder / "sae_weights.safetensors").write_bytes(b"x" * 99), "must hold cfg.json and sae_weig"),
        (lambda folder: (folder / "cfg.json").write_text("{"), "JSONDecodeError"),
        (lambda folder: _change(folder, normalize_activations="layer_norm"), "normalize_activations must be 'none'"),
        (
            lambda folder: _change(folder, rescale_acts_by_decoder_norm=True),
            "rescale_acts_by_decoder_norm must be False",
        ),
        (lambda folder: _change(folder, architecture="gated"), "architecture must be one of"),
        (
            lambda folder: _change(folder, normalize_activations="expected_average_only_in"),
            "got 'expected_average_only",
        ),
        (lambda folder: _change(folder, finetuning_scaling_factor=True), "finetuning_scaling_factor must be False"),
        (
            lambda folder: _change(folder, architecture="standard", activation_fn_str="tanh-relu"),
            "activation_fn must be relu or topk, got 'tanh-relu'",
        ),
        (
            lambda folder: save_file({"W_enc": torch.zeros(2, 3)}, folder / "sae_weights.safetensors"),
            "got no W_dec, b_d",
        ),
    ],
)
def test_a_damaged_or_foreign_folder_is_refused(tmp_path: Path, spoil, message: str):
    folder = shutil.copytree(ROOT / "tests" / "golden" / "topk", tmp_path / "sae")
    spoil(folder)
    with pytest.raises(ValueError, match=message):
        load_sae(folder)


def _change(folder: Path, **fields) -> None:
    config = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps(config | fields))


def test_a_folder_of_saelens_3_is_read_as_what_it_was(tmp_path: Path):
    sae = draw()
    folder = save_sae(sae, tmp_path / "old")
    old = {"hook_point": "blocks.8.hook_resid_pre", "model_name": "gpt2-small", "d_in": 6, "d_sae": 10, "l1": 8e-5}
    (folder / "cfg.json").write_text(json.dumps(old))
    back, acts = load_sae(folder), torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    assert (back.architecture, back.apply_b_dec_to_input) == ("standard", True)
    assert back.metadata == {"model_name": "gpt2-small", "hook_point": "blocks.8.hook_resid_pre"}
    assert_close(back.encode(acts), sae.encode(acts), atol=0.01, rtol=0.01)
    _change(folder, activation_fn_str="topk", activation_fn_kwargs={"k": 2})
    assert (load_sae(folder).architecture, load_sae(folder).k) == ("topk", 2)


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two SAEs where shipped ones live, with cards."""
    monkeypatch.setattr(saes, "EMBEDDED", tmp_path)
    for shape in ("topk_10_3", "topk_10_4"):
        folder = save_sae(draw("topk"), tmp_path / "toy_gpt_2" / shape)
        sha256 = hashlib.sha256((folder / "sae_weights.safetensors").read_bytes()).hexdigest()
        (folder / "card.json").write_text(json.dumps({"sha256": sha256}))
    yield tmp_path
    saes._load_embedded.cache_clear()


def test_a_shipped_sae_is_had_by_name_once_in_a_process(shipped: Path):
    assert embedded_saes() == ["toy_gpt_2/topk_10_3", "toy_gpt_2/topk_10_4"]
    sae = load_sae("toy_gpt_2/topk_10_3")
    assert (sae.architecture, sae.d_sae) == ("topk", 10) and load_sae("toy_gpt_2/topk_10_3") is sae
    with pytest.raises(ValueError, match=r"got 'toy_gpt_2/topk_10_5'; did you mean 'toy_gpt_2/topk_10_[34]'"):
        load_sae("toy_gpt_2/topk_10_5")
    with pytest.raises(ValueError, match="got 'zzz'; there are: toy_gpt_2/topk_10_3, toy_gpt_2/topk_10_4"):
        load_sae("zzz")


@pytest.mark.parametrize("file", ["sae_weights.safetensors", "card.json"])
@pytest.mark.parametrize("spoil", [lambda file: file.write_bytes(b"{}"), lambda file: file.unlink()])
def test_a_shipped_sae_that_was_changed_is_refused(file: str, spoil, shipped: Path):
    spoil(shipped / "toy_gpt_2" / "topk_10_3" / file)
    with pytest.raises(ValueError, match=r"damaged SAE: .*run: git checkout -- utils/assets/saes/toy_gpt_2/topk_10_3"):
        load_sae("toy_gpt_2/topk_10_3")
