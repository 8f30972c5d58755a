"""A sweep is a table of what one would compute by hand, and the same on a cluster."""

import os
from pathlib import Path

import pytest
import torch
import transformers

from utils.activations import cache_pooled
from utils.datasets import load_sentiment_words
from utils.metrics import roc_auc
from utils.models import ModelError, load_model
from utils.probes import fit_logistic_regression_probe
from utils.splits import split_groups, word_stems
from utils.sweep import TextTask, sweep

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def tasks() -> list[TextTask]:
    words = load_sentiment_words()
    some = torch.arange(0, len(words.words), 20)
    texts = [words.words[i] for i in some]
    long = torch.tensor([len(text) > 7 for text in texts])
    return [
        TextTask("nice", texts, words.valence[some] > 0, word_stems(texts)),
        TextTask("long", texts[:100], long[:100], word_stems(texts[:100])),
    ]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """An encoder that ships, and a tiny decoder in a folder."""
    folder, tokenizer = tmp_path_factory.mktemp("decoder"), load_model("minilm").tokenizer
    config = transformers.GPT2Config(n_embd=8, n_layer=2, n_head=2, vocab_size=len(tokenizer))
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return ["minilm", str(folder)]


@pytest.fixture(scope="module")
def rows(models: list[str], tasks: list[TextTask], one_thread):
    return sweep(models, tasks)


def test_the_table_holds_every_model_task_and_layer_in_order(rows, models: list[str]):
    layers = {"minilm": ["embed", *range(6)], models[1]: ["embed", 0, 1]}
    expected = [(model, task, layer) for model in models for task in ("nice", "long") for layer in layers[model]]
    assert [row[:3] for row in rows] == expected


def test_a_score_is_that_of_a_probe_on_held_out_groups(rows, tasks: list[TextTask]):
    task, model = tasks[0], load_model("minilm")
    train, test = split_groups(task.groups, seed=0)
    acts = cache_pooled(model, task.texts, [2])[0]
    expected = roc_auc(fit_logistic_regression_probe(acts[train], task.labels[train])(acts[test]), task.labels[test])
    (found,) = [row.auroc for row in rows if row[:3] == ("minilm", "nice", 2)]
    assert found == pytest.approx(float(expected), abs=1e-6) and found > 0.7
    assert [row.auroc for row in sweep(["minilm"], [task], seed=1)] != [row.auroc for row in rows[:7]]


def test_a_cluster_gives_the_same_table(rows, models: list[str], tasks: list[TextTask], distributed, tmp_path: Path):
    options = {"n_workers": 2, "threads_per_worker": 2, "processes": True, "dashboard_address": None}
    with (
        distributed.LocalCluster(**options, local_directory=str(tmp_path)) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert len({client.submit(os.getpid, workers=[name], pure=False).result() for name in client.ncores()}) == 2
        found = sweep(models, tasks, client=client)
        with pytest.raises(ModelError, match="unknown model 'minilmm'; expected minilm"):
            sweep(["minilm", "minilmm"], tasks, client=client)
    assert [row[:3] for row in found] == [row[:3] for row in rows]
    assert [row.auroc for row in found] == pytest.approx([row.auroc for row in rows], abs=1e-6)
