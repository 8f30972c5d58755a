"""One table of models × layers × tasks: held-out scores of probes, computed here or on a Dask cluster.

    tasks = [TextTask("sentiment", words.words, words.valence > 0, tuple(word_stems(words.words)))]
    rows = sweep(["minilm", "minilm_untrained"], tasks)                       # here, one after the other
    rows = sweep([...], tasks, client=Client("tcp://host:8786"))              # the same on the cluster's workers

A job is one model on one task at all layers. A worker loads a model by its name, and keeps it for its other jobs.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

from utils.activations import Layer, cache_pooled
from utils.at_scale import pick_device
from utils.metrics import roc_auc
from utils.models import load_model
from utils.probes import fit_logistic_regression_probe
from utils.splits import split_groups

if TYPE_CHECKING:
    from distributed import Client

_one_at_a_time = threading.Lock()  # hooks are on the model, which a worker's threads share


@dataclass(frozen=True, eq=False)
class TextTask:
    """Texts, a label for each, and groups (entity, stem, template) that must not stand on both sides of the split."""

    name: str
    texts: Sequence[str]
    labels: Bool[Tensor, " text"]
    groups: Sequence[str]


class Row(NamedTuple):
    """AUROC on held-out groups, of a logistic regression probe of the mean over word pieces."""

    model: str
    task: str
    layer: Layer
    auroc: float


def sweep(
    models: Sequence[str],
    tasks: Sequence[TextTask],
    *,
    client: "Client | None" = None,
    dtype: torch.dtype = torch.float32,
    l2: float = 0.1,
    seed: int = 0,
) -> list[Row]:
    """Score every model on every task, at "embed" and all of its layers.

    The layers of a model are all scored on the same test examples: to report the best of them, choose it on others.

    Args:
        models: names for load_model; on a cluster, folders must be there on every worker.
        client: of a Dask cluster whose workers were started in the course's folder; None computes here.
        dtype: of the models.
        l2: as for fit_logistic_regression_probe.
        seed: of the split, which is the same for all models.

    Returns:
        Rows in the order of models, tasks and layers.

    Raises:
        ValueError: As load_model, cache_pooled, split_groups and fit_logistic_regression_probe do, wherever they ran.
    """
    jobs = [(name, task, dtype, l2, seed) for name in models for task in tasks]
    if client is None:
        scored = [_score_job(*job) for job in jobs]
    else:
        scored = client.gather([client.submit(_score_job, *job, pure=False) for job in jobs])
    return [row for rows in scored for row in rows]


def _score_job(name: str, task: TextTask, dtype: torch.dtype, l2: float, seed: int) -> list[Row]:
    """One model on one task, here or on another machine."""
    train, test = split_groups(list(task.groups), seed=seed)
    with _one_at_a_time:
        model = load_model(name, device=pick_device(), dtype=dtype)
        layers = ["embed", *range(model.cfg.n_layers)]
        acts = cache_pooled(model, task.texts, layers, progress=False).cpu()  # [layer text d_model]
    probe = fit_logistic_regression_probe(acts[:, train], task.labels[train], l2=l2)
    scores = roc_auc(probe(acts[:, test]), task.labels[test])  # [layer]
    return [Row(name, task.name, layer, score) for layer, score in zip(layers, scores.tolist(), strict=True)]
