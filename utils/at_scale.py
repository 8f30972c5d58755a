"""Real models and SAEs for the optional end of a chapter: loaded where possible, or one line that says why not.

    larger = load_if_possible("google-bert/bert-base-uncased")
    if larger is not None:
        ...
    sae = load_sae_if_possible("google/gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_82")

Nothing is downloaded before it is clear that the hub answers, that access is granted, and that memory and disk suffice.
"""

import difflib
import math
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import psutil
import torch
from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache
from huggingface_hub import constants as hub
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from huggingface_hub.hf_api import ModelInfo
from safetensors import safe_open

from utils.models import TransformerBridge, load_model
from utils.saes import CONFIG, SAE, WEIGHTS, load_sae

HEADROOM = 1.5  # the weights, and what a forward pass and the rest of the notebook need beside them
TIMEOUT = 5.0  # seconds for the hub's answer
GEMMA_SCOPE = "params.npz"  # the one file of such an SAE
FORMATS = ((CONFIG, WEIGHTS), (GEMMA_SCOPE,))  # files of SAELens' format, and of Gemma Scope's


def pick_device() -> torch.device:
    """The graphics card, if PyTorch can use one here: cuda, else mps (Apple), else cpu."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def load_if_possible(
    name: str, *, device: str | torch.device | None = None, dtype: torch.dtype = torch.float32
) -> TransformerBridge | None:
    """Load a hub model, or a local folder, for an "At scale" cell; print one line and return None where it cannot be.

    Args:
        name: owner/model on the Hugging Face hub, or the path of a folder with config.json.
        device: pick_device() if not given. Activations come back on it: fit probes on acts.cpu(), which is fast enough,
            and solves in float64, which mps lacks.
        dtype: torch.bfloat16 halves the memory of what is larger than about a billion weights.
    """
    device = torch.device(device) if device else pick_device()
    try:
        reason = _reason_against(name, device, dtype)
        if reason is None:
            return load_model(name, device=device, dtype=dtype)
    except Exception as error:  # damaged files, an architecture that nobody supports, a network that breaks off
        reason = f"{name} cannot be loaded ({type(error).__name__}: {str(error).splitlines()[0]})"
    print(f"At scale is skipped: {reason}")
    return None


def load_sae_if_possible(name: str) -> SAE | None:
    """Load an SAE from the hub, or a local folder; print one line and return None where it cannot be.

    Use it on the model and layer that it was trained on; "blocks.8.hook_resid_pre" is what enters block 8, our layer 7.
    TransformerLens used to centre what GPT-2 writes, and SAEs of that time expect it: subtract from each vector of the
    stream its mean over d_model.

    Args:
        name: owner/repository/folder on the Hugging Face hub, such as
            "jbloom/GPT2-Small-SAEs-Reformatted/blocks.8.hook_resid_pre", or the path of a folder. The folder holds
            cfg.json and sae_weights.safetensors (SAELens), or params.npz (Gemma Scope).
    """
    try:
        found = _find_sae(name)
        if isinstance(found, SAE):
            return found
    except Exception as error:  # damaged files, shapes that do not fit, a network that breaks off
        found = f"{name} cannot be loaded ({type(error).__name__}: {str(error).splitlines()[0]})"
    print(f"At scale is skipped: {found}")
    return None


def read_gemma_scope(file: Path | str) -> SAE:
    """Read an SAE of Gemma Scope, params.npz: a JumpReLU that does not subtract b_dec. Lieberum et al. 2024.

    arXiv:2408.05147. Nothing in the file is run: it may hold arrays of numbers only.

    Raises:
        ValueError: If the file is missing or damaged, or arrays are missing or do not fit each other.
    """
    names = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
    try:
        with np.load(file, allow_pickle=False) as arrays:
            weights = {name: torch.from_numpy(arrays[name]).float() for name in names if name in arrays.files}
    except Exception as error:  # zipfile, zlib and numpy each raise their own
        raise ValueError(
            f"{file} must be a file of arrays as Gemma Scope has them, got {type(error).__name__}: {error}"
        ) from error
    if missing := [name for name in names if name not in weights]:
        raise ValueError(f"{file} must hold {', '.join(names)}, got no {', '.join(missing)}")
    return SAE("jumprelu", **weights, apply_b_dec_to_input=False)


def _find_sae(name: str) -> SAE | str:
    """The SAE, or why it cannot be had."""
    for files in FORMATS:
        if all((Path(name) / file).is_file() for file in files):
            return _read_sae(Path(name))
    owner, _, rest = name.partition("/")
    model, _, folder = rest.partition("/")
    if not (owner and model and folder.strip("/")):
        return f"{name} is neither a folder with an SAE nor written owner/repository/folder"
    repository, folder = f"{owner}/{model}", folder.strip("/")
    info = _ask_hub(repository, files_metadata=True)
    if isinstance(info, str):
        return info
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    choices = [[f"{folder}/{file}" for file in files] for files in FORMATS]
    paths = next((paths for paths in choices if sizes.keys() >= set(paths)), None)
    if paths is None:
        return f"there is no SAE in {folder} of {repository}; {_near_folders(folder, sizes)}"
    wanted = {path: sizes[path] for path in paths}
    if reason := _too_large(name, sum(wanted.values()), torch.device("cpu")) or _disk_full(repository, wanted):
        return reason
    local = [hf_hub_download(repository, path) for path in paths]
    return _read_sae(Path(local[0]).parent)


def _read_sae(folder: Path) -> SAE:
    return read_gemma_scope(folder / GEMMA_SCOPE) if (folder / GEMMA_SCOPE).is_file() else load_sae(folder)


def _near_folders(folder: str, files: dict[str, int]) -> str:
    ends = tuple(f"/{names[-1]}" for names in FORMATS)
    folders = sorted({file.rpartition("/")[0] for file in files if file.endswith(ends)})
    near = difflib.get_close_matches(folder, folders, n=3, cutoff=0.4) or folders[:3]
    return f"there is one in {', '.join(near)}" if near else "and none in any other folder"


def _reason_against(name: str, device: torch.device, dtype: torch.dtype) -> str | None:
    """Why a model cannot be had here, asked before any download; None if nothing speaks against it."""
    if (Path(name) / "config.json").is_file():
        return _too_large(name, dtype.itemsize * _count_weights(Path(name)), device)
    info = _ask_hub(name, files_metadata=True)
    if isinstance(info, str):
        return info
    n_bytes = dtype.itemsize * (info.safetensors.total if info.safetensors else 0)
    files = {file.rfilename: file.size or 0 for file in info.siblings or () if "/" not in file.rfilename}
    weights = {file: size for file, size in files.items() if file.endswith(".safetensors")}
    return _too_large(name, n_bytes, device) or _disk_full(name, weights)


def _count_weights(folder: Path) -> int:
    """Read from the headers of the files, which are small."""
    n_weights = 0
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as tensors:
            n_weights += sum(math.prod(tensors.get_slice(key).get_shape()) for key in tensors.keys())  # noqa: SIM118
    return n_weights


def _ask_hub(name: str, **options: bool) -> ModelInfo | str:
    """What the hub says of a repository, or why it says nothing."""
    if hub.HF_HUB_OFFLINE:
        return f"{name} needs a network, and HF_HUB_OFFLINE=1 is set; start Jupyter with HF_HUB_OFFLINE=0 to allow it"
    try:
        return HfApi().model_info(name, timeout=TIMEOUT, securityStatus=False, **options)
    except GatedRepoError:
        return f"{name} is gated; accept its terms on huggingface.co and run `hf auth login`"
    except RepositoryNotFoundError:
        return f"there is no {name} on the hub, or it is private; check the spelling"
    except Exception as error:  # no network, a proxy that refuses: each version of the client raises something else
        return f"the Hugging Face hub does not answer ({type(error).__name__}); connect to a network and run this again"


def _too_large(name: str, n_bytes: float, device: torch.device) -> str | None:
    """Why weights of that many bytes do not fit; on their way to a graphics card they pass the computer's memory."""
    places = {"of memory": (HEADROOM if device.type == "cpu" else 1, psutil.virtual_memory().available)}
    if device.type == "cuda":
        places[f"on {device}"] = HEADROOM, torch.cuda.mem_get_info(device)[0]
    for place, (headroom, free) in places.items():
        if headroom * n_bytes > free:
            needs = f"{name} needs about {headroom * n_bytes / 1e9:.0f} GB {place}, {free / 1e9:.0f} GB are free"
            return f"{needs}; choose a smaller one, or dtype=torch.bfloat16"
    return None


def _disk_full(repository: str, files: Mapping[str, int]) -> str | None:
    """Why files, name -> bytes, do not fit beside what was downloaded before."""
    missing = sum(size for file, size in files.items() if not isinstance(try_to_load_from_cache(repository, file), str))
    cache = Path(hub.HF_HUB_CACHE)
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if missing > free:
        sizes = f"a download of {missing / 1e9:.1f} GB, and {free / 1e9:.1f} GB of disk are free in {cache}"
        return f"{repository} is {sizes}; make room, or set HF_HOME to a folder on another disk"
    return None
