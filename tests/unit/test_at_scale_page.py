"""The Python of chapters/at_scale.md runs as it stands there, with a tiny model and a cluster of one process."""

import re
from types import SimpleNamespace

import pytest
import torch
import transformers

from utils import ROOT, datasets
from utils.models import load_model

pytestmark = pytest.mark.usefixtures("one_thread")
PAGE = (ROOT / "chapters" / "at_scale.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
HUB, SCHEDULER = '"Qwen/Qwen2.5-7B"', '"tcp://host:8786"'


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What the blocks before the cluster's leave, run in order in an empty folder."""
    folder, tokenizer = tmp_path_factory.mktemp("page"), load_model("minilm").tokenizer
    shape = {"hidden_size": 8, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.Qwen2Config(
        num_key_value_heads=1, vocab_size=len(tokenizer) + 1, **shape
    )  # one more for an end of text
    transformers.Qwen2ForCausalLM(config).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    words, found = datasets.load_sentiment_words(), {}
    fewer = SimpleNamespace(words=words.words[::10], valence=words.valence[::10])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(datasets, "load_sentiment_words", lambda: fewer)
        for block in BLOCKS[:-1]:
            exec(block.replace(HUB, repr(str(folder / "model"))), found)
    return found


def test_every_block_before_the_clusters_runs(names: dict):
    assert len(BLOCKS) == 6 and HUB in BLOCKS[0] and SCHEDULER in BLOCKS[-1]
    assert names["model"].cfg.n_layers == 4 and next(names["model"].parameters()).dtype == torch.bfloat16
    assert names["statistics"].count == len(names["train"]) and names["logits"].shape == (3, len(names["texts"]))


def test_what_the_page_says_of_the_probes_is_so(names: dict):
    from utils.activations import cache_pooled
    from utils.probes import fit_ridge_probe

    acts = cache_pooled(names["model"], names["texts"], names["layers"]).cpu()[:, names["train"]]
    expected = fit_ridge_probe(acts.double(), names["labels"][names["train"]].double(), l2=100.0)
    assert torch.allclose(names["probes"][100.0].weight.double(), expected.weight, rtol=1e-4, atol=1e-6)


def test_the_clusters_table_is_the_same(names: dict, distributed):
    options = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster:
        exec(BLOCKS[-1].replace(SCHEDULER, repr(cluster.scheduler_address)), names)
    here = names["sweep"](["minilm", "minilm_untrained"], names["tasks"])
    assert [row[:3] for row in names["rows"]] == [row[:3] for row in here]
    assert [row.auroc for row in names["rows"]] == pytest.approx([row.auroc for row in here], abs=1e-6)
