"""At scale cells load what can be loaded, and say in one line what cannot, before any download."""

from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
import transformers
from huggingface_hub import constants as hub
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

from utils import at_scale
from utils.models import load_model

NAME = "owner/model"


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


def refused(error: type[Exception]) -> Exception:
    return error("no", response=httpx.Response(403, request=httpx.Request("GET", "https://hub")))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (OSError("no route"), "does not answer (OSError)"),
        (refused(GatedRepoError), "is gated"),
        (refused(RepositoryNotFoundError), "check the spelling"),
        (SimpleNamespace(safetensors=SimpleNamespace(total=10**12)), "needs about 6000 GB of memory"),
    ],
)
def test_one_line_says_why_a_model_is_not_loaded(answer: object, words: str, hub_answers, capsys):
    hub_answers(answer)
    assert at_scale.load_if_possible(NAME) is None
    printed = capsys.readouterr().out
    assert printed.startswith("At scale is skipped: ") and words in printed and printed.count("\n") == 1


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
