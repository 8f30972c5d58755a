"""Real models for the optional end of a chapter: loaded where that is possible, or one line that says why not.

    larger = load_if_possible("google-bert/bert-base-uncased")
    if larger is not None:
        ...

Nothing is downloaded before it is clear that the hub answers, that access is granted and that the memory suffices.
"""

from pathlib import Path

import psutil
import torch
from huggingface_hub import HfApi
from huggingface_hub import constants as hub
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

from utils.models import TransformerBridge, load_model

BYTES_PER_WEIGHT = 4  # float32
HEADROOM = 1.5  # the weights, and what a forward pass and the rest of the notebook need beside them
TIMEOUT = 5.0  # seconds for the hub's answer


def load_if_possible(name: str, *, device: str | torch.device = "cpu") -> TransformerBridge | None:
    """Load a hub model, or a local folder, for an "At scale" cell; print one line and return None where it cannot be.

    Args:
        name: owner/model on the Hugging Face hub, or the path of a folder with config.json.
    """
    reason = None if (Path(name) / "config.json").is_file() else _reason_against(name)
    if reason is None:
        try:
            return load_model(name, device=device)
        except Exception as error:  # damaged files, an architecture that nobody supports, a network that breaks off
            reason = f"{name} cannot be loaded ({type(error).__name__}: {str(error).splitlines()[0]})"
    print(f"At scale is skipped: {reason}")
    return None


def _reason_against(name: str) -> str | None:
    """Why a hub model cannot be had here, asked before any download; None if nothing speaks against it."""
    if hub.HF_HUB_OFFLINE:
        return f"{name} needs a network, and HF_HUB_OFFLINE=1 is set; start Jupyter with HF_HUB_OFFLINE=0 to allow it"
    try:
        info = HfApi().model_info(name, timeout=TIMEOUT, securityStatus=False)
    except GatedRepoError:
        return f"{name} is gated; accept its terms on huggingface.co and run `hf auth login`"
    except RepositoryNotFoundError:
        return f"there is no {name} on the hub, or it is private; check the spelling"
    except Exception as error:  # no network, a proxy that refuses: each version of the client raises something else
        return f"the Hugging Face hub does not answer ({type(error).__name__}); connect to a network and run this again"
    n_weights = info.safetensors.total if info.safetensors else 0
    needed, free = HEADROOM * BYTES_PER_WEIGHT * n_weights / 1e9, psutil.virtual_memory().available / 1e9
    if needed > free:
        return f"{name} needs about {needed:.0f} GB of memory, {free:.0f} GB are free; choose a smaller model"
    return None
