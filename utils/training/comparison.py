"""Compute the table of chapter 08: all tasks, regimes and families, with three draws of examples.

    python -m utils.training.comparison            # writes utils/assets/comparison.csv and its card

Beside the families of utils.comparison there are those of SAE latents once more, on a dictionary drawn by lot, and two
that take too long for a notebook, with eight configurations each of scikit-learn's: gradient boosting
(HistGradientBoostingClassifier) and a perceptron with one hidden layer (MLPClassifier). Rows that are done are kept in
a file in the folder for checkpoints, so a run that was stopped goes on.
"""

import argparse
import csv
import hashlib
import json
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from torch import Tensor

from utils import ASSETS
from utils.comparison import FAMILIES, Scores, compare, standardise
from utils.tasks import Task, load_tasks
from utils.training.trainer import CHECKPOINTS, describe_hardware
from utils.trials import REGIMES

SEEDS = (0, 1, 2)
TREES = (5, 10, 20, 40)  # boosting steps; each with shallow and with deeper trees
DEPTHS = (2, 4)
HIDDEN, ALPHAS = (16, 64), (0.01, 0.1, 1.0, 10.0)  # hidden units; weight decay
COLUMNS = ("seed", "task", "model", "regime", "family", "validation", "test")


def _boosting(x: Tensor, labels: Tensor, others: Sequence[Tensor]) -> Scores:
    """All numbers of steps from one fit: the score after each step is a by-product."""
    found: list[list[Tensor]] = [[] for _ in others]
    for depth in DEPTHS:
        model = HistGradientBoostingClassifier(
            max_iter=max(TREES), max_depth=depth, min_samples_leaf=5, early_stopping=False, random_state=0
        ).fit(x.numpy(), labels.numpy())
        for scores, other in zip(found, others, strict=True):
            stages = [torch.from_numpy(p[:, 1]) for p in model.staged_predict_proba(other.numpy())]
            scores += [stages[n - 1] for n in TREES]
    return [torch.stack(scores).float() for scores in found]


def _perceptron(x: Tensor, labels: Tensor, others: Sequence[Tensor]) -> Scores:
    x, *others = standardise(x, others)
    found: list[list[Tensor]] = [[] for _ in others]
    for hidden in HIDDEN:
        for alpha in ALPHAS:
            model = MLPClassifier((hidden,), alpha=alpha, max_iter=60, solver="lbfgs", random_state=0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # 60 steps are early stopping
                model.fit(x.numpy(), labels.numpy())
            for scores, other in zip(found, others, strict=True):
                scores.append(torch.from_numpy(model.predict_proba(other.numpy())[:, 1]))
    return [torch.stack(scores).float() for scores in found]


BY_LOT = {  # of tasks whose latents are those of a dictionary by lot
    "random_k_sparse": FAMILIES["sae_k_sparse"],
    "random_logistic": FAMILIES["sae_logistic"],
}
SLOW = {"boosting": (_boosting, "acts"), "perceptron": (_perceptron, "acts")}
ALL_FAMILIES = FAMILIES | BY_LOT | SLOW


def compare_all(task: Task, by_lot: Task, seed: int) -> dict[str, list]:
    """One task, in all regimes and families: validation and test AUROC, [regime family] each."""
    parts = [
        compare([one], list(REGIMES), list(families), families=families, seed=seed)
        for one, families in ((task, FAMILIES), (by_lot, BY_LOT), (task, SLOW))
    ]
    validation, test = (torch.cat(scores, dim=-1)[0].tolist() for scores in zip(*parts, strict=True))
    return {"validation": validation, "test": test}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ASSETS / "comparison.csv")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    tasks, tasks_by_lot, started = load_tasks(), load_tasks(by_lot=True), time.monotonic()
    kept = CHECKPOINTS / "comparison.jsonl"
    kept.parent.mkdir(parents=True, exist_ok=True)
    lines = kept.read_text(encoding="utf-8").splitlines() if kept.exists() else []
    done = {(row["seed"], row["task"]): row for row in map(json.loads, lines)}
    for seed in options.seeds:
        for task, by_lot in zip(tasks, tasks_by_lot, strict=True):
            if (seed, task.name) in done:
                continue
            row = {"seed": seed, "task": task.name} | compare_all(task, by_lot, seed)
            done[seed, task.name] = row
            with open(kept, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
    rows = [
        (seed, task.name, task.model, regime, family, *(f"{done[seed, task.name][k][j][i]:.4f}" for k in COLUMNS[-2:]))
        for seed in options.seeds
        for task in tasks
        for j, regime in enumerate(REGIMES)
        for i, family in enumerate(ALL_FAMILIES)
    ]
    with open(options.out, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    card = {
        "what": "Probes on activations against probes on SAE latents: AUROC of the configuration that validation chose",
        "rows": len(rows),
        "columns": {
            "seed": "of the draw of examples",
            "task": "as utils.tasks.load_tasks names it",
            "model": "whose activations",
            "regime": "; ".join(f"{name}: {text}" for name, text in REGIMES.items()),
            "family": "eight configurations each; sae_*: on latents, random_*: on latents of a dictionary by lot",
            "validation": "AUROC there of the configuration with the highest one",
            "test": "AUROC of the same configuration on test",
        },
        "source": "computed by the script from the models and SAEs in utils/assets, and MiniLM",
        "url": "https://arxiv.org/abs/2502.16681",
        "licence": "MIT",
        "attribution": "the design follows Kantamneni et al. 2025",
        "script": "utils/training/comparison.py",
        "hardware": describe_hardware(torch.device("cpu")),
        "minutes": round((time.monotonic() - started) / 60, 1),
        "sha256": hashlib.sha256(options.out.read_bytes()).hexdigest(),
    }
    options.out.with_suffix(".card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
