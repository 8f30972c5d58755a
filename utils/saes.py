"""Sparse autoencoders: a vector as a sum of few directions, out of many. Read and saved; measured in
utils/sae_measures.py, trained by utils/training/sae.py.

    sae = load_sae("othello_gpt_4/topk_1024_32")               # one of embedded_saes(), or a folder of SAELens' format
    latents = sae.encode(acts)                                 # [batch d_sae], 0 or above, nearly all 0
    reconstruction = sae.decode(latents)                       # [batch d_model]

Three architectures, which differ in how they decide what is 0 (pre: (acts - b_dec) W_enc + b_enc):

    standard   relu(pre)                                       trained with an L1 penalty; Bricken et al. 2023
    topk       relu of the k largest of each vector            Gao et al. 2024, arXiv:2406.04093
    jumprelu   relu(pre) where pre is above a threshold        Rajamanoharan et al. 2024, arXiv:2407.14435

A BatchTopK SAE (Bussmann et al. 2024, arXiv:2412.06410) is a jumprelu with one threshold for all latents once it is
trained: so a vector is encoded alike alone and in any batch. Everything here is in model units, float32.
"""

import difflib
import hashlib
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from utils import ASSETS
from utils.sae_objectives import topk

Architecture = Literal["standard", "topk", "jumprelu"]
ARCHITECTURES = get_args(Architecture)
CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"  # SAELens' names
EMBEDDED = ASSETS / "saes"
OLD_METADATA = ("model_name", "hook_name", "hook_point", "hook_layer", "hook_point_layer")  # before SAELens 6


@dataclass(frozen=True, eq=False)
class SAE:
    """A sparse autoencoder of one layer's stream.

    W_enc: [d_model d_sae]. b_enc: [d_sae].
    W_dec: [d_sae d_model], a direction for each latent; of unit length where training kept it so. b_dec: [d_model].
    k: of topk: how many latents are kept. threshold: of jumprelu, [d_sae].
    apply_b_dec_to_input: subtract b_dec before encoding.
    metadata: what its maker noted, such as the model and the layer.
    """

    architecture: Architecture
    W_enc: Float[Tensor, "d_model d_sae"]
    b_enc: Float[Tensor, " d_sae"]
    W_dec: Float[Tensor, "d_sae d_model"]
    b_dec: Float[Tensor, " d_model"]
    k: int | None = None
    threshold: Float[Tensor, " d_sae"] | None = None
    apply_b_dec_to_input: bool = True
    metadata: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise ValueError(f"architecture must be one of {', '.join(ARCHITECTURES)}, got {self.architecture!r}")
        if self.W_enc.ndim != 2:
            raise ValueError(f"W_enc must be [d_model d_sae], got {tuple(self.W_enc.shape)}")
        d_model, d_sae = self.W_enc.shape
        wanted = {"b_enc": (d_sae,), "W_dec": (d_sae, d_model), "b_dec": (d_model,)}
        wanted |= {"threshold": (d_sae,)} if self.architecture == "jumprelu" else {}
        for name, shape in wanted.items():
            value = getattr(self, name)
            if not isinstance(value, Tensor) or value.shape != shape:
                got = tuple(value.shape) if isinstance(value, Tensor) else value
                raise ValueError(f"{name} must be {list(shape)}, as W_enc {[d_model, d_sae]} says, got {got}")
        if self.architecture == "topk" and not 1 <= (self.k or 0) <= d_sae:
            raise ValueError(f"k must be from 1 to d_sae {d_sae} in a topk SAE, got {self.k}")

    @property
    def d_model(self) -> int:
        return self.W_enc.shape[0]

    @property
    def d_sae(self) -> int:
        return self.W_enc.shape[1]

    def encode(self, acts: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_sae"]:
        """Latents of activations: 0 or above.

        Raises:
            ValueError: If acts have another d_model.
        """
        if acts.shape[-1] != self.d_model:
            raise ValueError(
                f"acts must be [*batch d_model] with d_model {self.d_model}, got {tuple(acts.shape)}; "
                "use the SAE on the model and layer that it was trained on"
            )
        pre = (acts - self.b_dec * self.apply_b_dec_to_input) @ self.W_enc + self.b_enc  # [*batch d_sae]
        if self.architecture == "topk":
            return topk(pre, self.k)
        if self.architecture == "jumprelu":
            return pre.relu() * (pre > self.threshold)
        return pre.relu()

    def decode(self, latents: Float[Tensor, "*batch d_sae"]) -> Float[Tensor, "*batch d_model"]:
        """The sum of the latents' directions, each as often as its latent says, and b_dec."""
        return latents @ self.W_dec + self.b_dec


# Files


def save_sae(sae: SAE, folder: Path | str) -> Path:
    """Write cfg.json and sae_weights.safetensors as SAELens 6 reads them, weights in half precision."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {"W_enc": sae.W_enc, "b_enc": sae.b_enc, "W_dec": sae.W_dec, "b_dec": sae.b_dec}
    if sae.architecture == "jumprelu":
        weights["threshold"] = sae.threshold
    save_file({name: weight.half().contiguous().cpu() for name, weight in weights.items()}, folder / WEIGHTS)
    config = {
        "architecture": sae.architecture, "d_in": sae.d_model, "d_sae": sae.d_sae, "dtype": "float16", "device": "cpu",
        "apply_b_dec_to_input": sae.apply_b_dec_to_input, "normalize_activations": "none",
        "reshape_activations": "none", "metadata": sae.metadata,
    }  # fmt: skip
    if sae.architecture == "topk":
        config |= {"k": sae.k, "rescale_acts_by_decoder_norm": False}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return folder


def embedded_saes() -> list[str]:
    """Names that load without a network, MODEL_LAYER/KIND_D_SAE_SPARSITY: kinds as in utils.training.sae."""
    return sorted("/".join(config.parts[-3:-1]) for config in EMBEDDED.glob(f"*/*/{CONFIG}"))


def load_sae(name: Path | str) -> SAE:
    """Read an SAE, in float32.

    Args:
        name: one of embedded_saes(), which is the same object every time within a process: never write to its weights.
            Or a folder that save_sae or SAELens wrote, also one of SAELens before version 4.

    Raises:
        ValueError: If the name is unknown, files are missing or damaged, or the SAE does something before or after that
            is not done here.
    """
    if str(name) in embedded_saes():
        return _load_embedded(str(name))
    if isinstance(name, str) and not Path(name).is_dir():
        near = difflib.get_close_matches(name, embedded_saes(), n=3, cutoff=0.4)
        guess = f"did you mean {' or '.join(map(repr, near))}?" if near else f"there are: {', '.join(embedded_saes())}"
        raise ValueError(f"name must be one of embedded_saes(), or a folder with {CONFIG}, got {name!r}; {guess}")
    return _read_sae(Path(name))


@cache
def _load_embedded(name: str) -> SAE:
    """Read an SAE of utils/assets, after comparing its weights with its card."""
    folder = EMBEDDED / name
    try:
        expected = json.loads((folder / "card.json").read_text(encoding="utf-8"))["sha256"]
        found = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    except (OSError, ValueError, KeyError) as error:
        expected, found = "its card's", f"{type(error).__name__}: {error}"
    if found != expected:
        cure = f"git checkout -- utils/assets/saes/{name}"
        raise ValueError(f"damaged SAE: the weights of {name} must have sha256 {expected}, got {found}; run: {cure}")
    return _read_sae(folder)


def _read_sae(folder: Path) -> SAE:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        weights = {name: weight.float() for name, weight in load_file(folder / WEIGHTS).items()}
    except Exception as error:  # safetensors raises an exception of its own for a damaged file
        raise ValueError(f"{folder} must hold {CONFIG} and {WEIGHTS}, got {type(error).__name__}: {error}") from error
    plain = {
        "normalize_activations": "none", "reshape_activations": "none", "rescale_acts_by_decoder_norm": False,
        "finetuning_scaling_factor": False,
    }  # fmt: skip
    for name, value in plain.items():
        if config.get(name, value) not in (value, None):
            raise ValueError(
                f"{folder / CONFIG}: {name} must be {value!r}, got {config[name]!r}, which is not done here"
            )
    missing = {"W_enc", "b_enc", "W_dec", "b_dec"} - weights.keys()
    if missing:
        raise ValueError(
            f"{folder / WEIGHTS} must hold W_enc, b_enc, W_dec and b_dec, got no {', '.join(sorted(missing))}"
        )
    architecture, k = config.get("architecture", "standard"), config.get("k")  # before SAELens 4 there was no other
    activation = config.get("activation_fn_str") or config.get("activation_fn") or "relu"  # before SAELens 6
    if architecture == "standard" and activation == "topk":
        architecture, k = "topk", (config.get("activation_fn_kwargs") or {}).get("k")
    elif architecture == "standard" and activation != "relu":
        raise ValueError(f"{folder / CONFIG}: activation_fn must be relu or topk, got {activation!r}")
    return SAE(
        architecture=architecture,
        **{name: weights.get(name) for name in ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")},
        k=k,
        apply_b_dec_to_input=config.get("apply_b_dec_to_input", True),
        metadata=config.get("metadata") or {key: config[key] for key in OLD_METADATA if key in config},
    )
