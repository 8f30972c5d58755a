"""At scale cells load what can be loaded, and say in one line what cannot, before any download."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
import torch
import transformers
from huggingface_hub import constants as hub
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from torch.testing import assert_close

from utils import ROOT, at_scale
from utils.models import load_model

NAME = "owner/model"
GOLDEN = ROOT / "tests" / "golden"


@pytest.fixture
def hub_answers(monkeypatch: pytest.MonkeyPatch):
    """Make the hub answer a question about a model with a value or an exception, and forbid every download."""

    def set_answer(answer: object) -> None:
        def model_info(self, name, **options):
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(at_scale.HfApi, "model_info", model_info)
        monkeypatch.setattr(at_scale, "load_model", lambda *a, **k: pytest.fail("the download was started"))

    return set_answer


def says(n_weights: int, **n_bytes: int) -> SimpleNamespace:
    """What the hub says of a model, and of the sizes of its files."""
    files = [SimpleNamespace(rfilename=f"{name}.safetensors", size=size) for name, size in n_bytes.items()]
    return SimpleNamespace(safetensors=SimpleNamespace(total=n_weights), siblings=files)


def refused(error: type[Exception]) -> Exception:
    return error("no", response=httpx.Response(403, request=httpx.Request("GET", "https://hub")))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (OSError("no route"), "does not answer (OSError)"),
        (refused(GatedRepoError), "is gated"),
        (refused(RepositoryNotFoundError), "check the spelling"),
        (says(10**12), "needs about 6000 GB of memory"),
    ],
)
def test_one_line_says_why_a_model_is_not_loaded(answer: object, words: str, hub_answers, capsys):
    hub_answers(answer)
    assert at_scale.load_if_possible(NAME) is None
    printed = capsys.readouterr().out
    assert printed.startswith("At scale is skipped: ") and words in printed and printed.count("\n") == 1


def test_half_the_bytes_need_half_the_memory(hub_answers, capsys, monkeypatch: pytest.MonkeyPatch):
    hub_answers(says(10**9))
    free = SimpleNamespace(available=4 * 10**9)
    monkeypatch.setattr(at_scale.psutil, "virtual_memory", lambda: free)
    assert at_scale.load_if_possible(NAME, device="cpu") is None
    assert "needs about 6 GB of memory, 4 GB are free; choose a smaller one, or dtype=" in capsys.readouterr().out
    loaded = []
    monkeypatch.setattr(at_scale, "load_model", lambda name, **options: loaded.append(options) or name)
    assert at_scale.load_if_possible(NAME, device="cpu", dtype=torch.bfloat16) == NAME
    assert loaded == [{"device": torch.device("cpu"), "dtype": torch.bfloat16}]


@pytest.mark.parametrize(("on_card", "in_computer", "words"), [(5, 64, "GB on cuda, 5 GB are free"), (64, 3, "memory")])
def test_a_graphics_card_is_asked_for_its_own_memory(on_card, in_computer, words, hub_answers, capsys, monkeypatch):
    hub_answers(says(10**9))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (on_card * 10**9, 0))
    monkeypatch.setattr(at_scale.psutil, "virtual_memory", lambda: SimpleNamespace(available=in_computer * 10**9))
    assert at_scale.load_if_possible(NAME, device="cuda") is None
    assert words in (printed := capsys.readouterr().out) and printed.count("\n") == 1


def test_a_download_that_the_disk_has_no_room_for_is_not_started(hub_answers, capsys, monkeypatch, tmp_path: Path):
    hub_answers(says(10, model=3 * 10**9, **{"original/consolidated": 10**15}))
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "not" / "there" / "yet"))
    monkeypatch.setattr(at_scale.shutil, "disk_usage", lambda folder: SimpleNamespace(free=2 * 10**9))
    assert at_scale.load_if_possible(NAME, device="cpu") is None
    assert "a download of 3.0 GB, and 2.0 GB of disk are free in" in (printed := capsys.readouterr().out)
    assert "HF_HOME" in printed and printed.count("\n") == 1
    monkeypatch.setattr(at_scale, "try_to_load_from_cache", lambda repository, file: f"/cache/{file}")
    monkeypatch.setattr(at_scale, "load_model", lambda name, **options: name)
    assert at_scale.load_if_possible(NAME, device="cpu") == NAME, "it is there already"


def test_a_folder_is_measured_before_it_is_loaded(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch):
    config = transformers.BertConfig(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, vocab_size=20)
    transformers.BertForMaskedLM(config).half().save_pretrained(tmp_path)
    with_head = transformers.BertForMaskedLM(config).num_parameters()
    needed = at_scale.HEADROOM * 4 * with_head  # read as float32, whatever they are on disk
    monkeypatch.setattr(at_scale.psutil, "virtual_memory", lambda: SimpleNamespace(available=needed - 1))
    assert at_scale.load_if_possible(str(tmp_path), device="cpu") is None
    assert "GB of memory" in capsys.readouterr().out
    assert at_scale.load_if_possible(str(tmp_path), device="cpu", dtype=torch.bfloat16) is not None


def test_a_device_that_is_not_there_is_one_line(tmp_path: Path, capsys):
    if at_scale.pick_device().type != "cpu":
        pytest.skip("there is a graphics card")
    (tmp_path / "config.json").write_text("{}")
    assert at_scale.load_if_possible(str(tmp_path), device="cuda") is None
    printed = capsys.readouterr().out
    assert printed.startswith("At scale is skipped: ") and printed.count("\n") == 1


def test_without_a_network_the_hub_is_not_asked(hub_answers, capsys, monkeypatch: pytest.MonkeyPatch):
    hub_answers(AssertionError("the hub was asked"))
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    assert at_scale.load_if_possible(NAME) is None
    assert "HF_HUB_OFFLINE=0" in capsys.readouterr().out


def test_a_local_folder_is_loaded_without_asking(tmp_path: Path, hub_answers, monkeypatch: pytest.MonkeyPatch):
    hub_answers(AssertionError("the hub was asked"))
    monkeypatch.setattr(at_scale, "load_model", load_model)
    config = transformers.BertConfig(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, vocab_size=20)
    transformers.BertForMaskedLM(config).save_pretrained(tmp_path)
    model = at_scale.load_if_possible(str(tmp_path))
    assert model is not None and model.cfg.n_layers == 2


def test_a_damaged_folder_is_one_line_too(tmp_path: Path, capsys):
    (tmp_path / "config.json").write_text("{}")
    assert at_scale.load_if_possible(str(tmp_path)) is None
    printed = capsys.readouterr().out
    assert printed.startswith("At scale is skipped: ") and printed.count("\n") == 1


# SAEs


@pytest.fixture
def hub_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A hub that holds a folder of SAELens', one of Gemma Scope's, and a huge one; what was downloaded from it."""
    root, downloaded = tmp_path / "hub", []
    shutil.copytree(GOLDEN / "topk", root / "blocks.8.hook_resid_pre")
    write_gemma_scope(root / "layer_12" / "width_16k" / "average_l0_82")
    sizes = {str(file.relative_to(root)): file.stat().st_size for file in root.rglob("*") if file.is_file()}
    sizes |= {"huge/cfg.json": 1, "huge/sae_weights.safetensors": 10**12, "half/cfg.json": 1, "README.md": 1}

    def model_info(self, name, *, files_metadata=False, **options):
        assert name == NAME and files_metadata
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=file, size=size) for file, size in sizes.items()])

    def download(name, file):
        assert name == NAME
        downloaded.append(file)
        return str(root / file)

    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(at_scale.HfApi, "model_info", model_info)
    monkeypatch.setattr(at_scale, "hf_hub_download", download)
    return downloaded


def write_gemma_scope(folder: Path, d_model: int = 5, d_sae: int = 9, **changes) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    shapes = {"W_enc": (d_model, d_sae), "W_dec": (d_sae, d_model), "b_enc": (d_sae,), "b_dec": (d_model,)}
    arrays = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    arrays["threshold"] = random.uniform(0.2, 1.5, size=d_sae).astype(np.float32)
    arrays = {name: array for name, array in (arrays | changes).items() if array is not None}
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "params.npz", **arrays)
    return arrays


def test_an_sae_of_saelens_comes_from_the_hub(hub_holds: list[str], capsys):
    sae = at_scale.load_sae_if_possible(f"{NAME}/blocks.8.hook_resid_pre")
    assert sae.architecture == "topk" and not capsys.readouterr().out
    assert hub_holds == [f"blocks.8.hook_resid_pre/{file}" for file in ("cfg.json", "sae_weights.safetensors")]


def test_an_sae_of_gemma_scope_is_computed_as_its_makers_do(hub_holds: list[str], tmp_path: Path):
    sae = at_scale.load_sae_if_possible(f"{NAME}/layer_12/width_16k/average_l0_82")
    assert hub_holds == ["layer_12/width_16k/average_l0_82/params.npz"]
    arrays = write_gemma_scope(tmp_path / "again")
    acts = 2 * np.random.default_rng(1).normal(size=(7, 5)).astype(np.float32)
    pre = acts @ arrays["W_enc"] + arrays["b_enc"]
    latents = np.where(pre > arrays["threshold"], np.maximum(pre, 0), 0)
    assert ((pre > 0) & (latents == 0)).any() and (latents > 0).any()
    assert_close(sae.encode(torch.tensor(acts)), torch.tensor(latents))
    assert_close(sae.decode(torch.tensor(latents)), torch.tensor(latents @ arrays["W_dec"] + arrays["b_dec"]))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (NAME, "neither a folder with an SAE nor written owner/repository/folder"),
        (f"{NAME}/", "neither a folder with an SAE"),
        (
            f"{NAME}/blocks.7.hook_resid_pre",
            "of owner/model; there is one in blocks.8.hook_resid_pre",
        ),
        (f"{NAME}/half", "there is no SAE in half of owner/model"),
        (f"{NAME}/huge", "needs about 1500 GB of memory"),
    ],
)
def test_one_line_says_why_an_sae_is_not_downloaded(name: str, words: str, hub_holds: list[str], capsys):
    assert at_scale.load_sae_if_possible(name) is None
    printed = capsys.readouterr().out
    assert printed.startswith("At scale is skipped: ") and words in printed and printed.count("\n") == 1
    assert hub_holds == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (OSError("no route"), "does not answer (OSError)"),
        (refused(GatedRepoError), "owner/model is gated; accept its terms"),
        (refused(RepositoryNotFoundError), "check the spelling"),
        (SimpleNamespace(siblings=None), "there is no SAE in folder of owner/model; and none in any other folder"),
    ],
)
def test_what_the_hub_says_no_to_is_one_line_for_saes_too(answer: object, words: str, hub_answers, capsys):
    hub_answers(answer)
    assert at_scale.load_sae_if_possible(f"{NAME}/folder") is None
    printed = capsys.readouterr().out
    assert words in printed and printed.count("\n") == 1


def test_a_download_that_breaks_off_is_one_line(hub_holds: list[str], capsys, monkeypatch: pytest.MonkeyPatch):
    def download(name, file):
        raise ConnectionError("reset\nby peer")

    monkeypatch.setattr(at_scale, "hf_hub_download", download)
    assert at_scale.load_sae_if_possible(f"{NAME}/blocks.8.hook_resid_pre") is None
    printed = capsys.readouterr().out
    assert "cannot be loaded (ConnectionError: reset)" in printed and printed.count("\n") == 1


def test_without_a_network_only_folders_give_saes(tmp_path: Path, hub_answers, capsys, monkeypatch: pytest.MonkeyPatch):
    hub_answers(AssertionError("the hub was asked"))
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    assert at_scale.load_sae_if_possible(f"{NAME}/folder") is None
    assert "HF_HUB_OFFLINE=0" in capsys.readouterr().out
    assert at_scale.load_sae_if_possible(str(GOLDEN / "jumprelu")).architecture == "jumprelu"
    write_gemma_scope(tmp_path)
    assert at_scale.load_sae_if_possible(str(tmp_path)).d_sae == 9


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"threshold": None}, "got no threshold"),
        ({"W_dec": np.zeros((5, 9), np.float32)}, "W_dec must be [9, 5]"),
        ({"b_enc": np.array([print], dtype=object)}, "ValueError: Object arrays cannot be loaded"),  # nothing is run
    ],
)
def test_arrays_that_are_no_sae_are_named(changes: dict, words: str, tmp_path: Path, capsys):
    write_gemma_scope(tmp_path, **changes)
    assert at_scale.load_sae_if_possible(str(tmp_path)) is None
    printed = capsys.readouterr().out
    assert words in printed and printed.count("\n") == 1


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"\x80\x04K\x01."])
def test_a_damaged_npz_is_one_line(content: bytes, tmp_path: Path, capsys):
    (tmp_path / "params.npz").write_bytes(content)
    assert at_scale.load_sae_if_possible(str(tmp_path)) is None
    printed = capsys.readouterr().out
    assert "must be a file of arrays as Gemma Scope has them" in printed and printed.count("\n") == 1
