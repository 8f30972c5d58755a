"""Models by name, ready to be read and edited: the only file that names TransformerLens classes.

    model = load_model("minilm")                 # a TransformerBridge: eval, float32, no gradients, one per process
    model.hook_dict["blocks.3.hook_resid_post"]  # layer 3; "blocks.0.hook_resid_pre" is what we call "embed"

Three habits of TransformerBridge 4.3 to know: pass attention_mask with every batch (without it, padding is read as
text); on BERT models forward(stop_at_layer=...) is ignored (run_with_cache does stop); and
reset_hooks(including_permanent=True) also removes wiring that BERT models need.
"""

import difflib
import json
from functools import cache
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
import transformers
import xxhash
from torch import Tensor
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.sources import build_bridge_from_module

from utils import ASSETS
from utils.weights import ModelError, embedded_folder, loading_weights

UNTRAINED = "_untrained"
MODEL_CLASSES = {"bert": "BertForMaskedLM", "gpt2": "GPT2LMHeadModel"}

_loaded: WeakKeyDictionary[TransformerBridge, tuple[str, str]] = WeakKeyDictionary()  # model -> name, fingerprint
_rebuilt: tuple[tuple[str, str], TransformerBridge] | None = None  # what rebuild_model was given last, and its model


def load_model(
    name: str, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> TransformerBridge:
    """Load a model by name; the same object every time within a process, so never write to its weights.

    Args:
        name: One of embedded_models(): "minilm" (all-MiniLM-L6-v2, a sentence encoder), a folder of utils/assets, or
            either with "_untrained" added: same configuration and tokenizer, weights drawn by Hugging Face's own
            initialisation from seed 0. Or the path of a local folder, or a hub name (owner/model).
        dtype: of weights and activations; torch.bfloat16 halves the memory, and rounds to three digits.

    Returns:
        Model in eval mode without gradients. model.tokenizer is None where the model has none. MiniLM was
        trained without an output head; the one it gets here is random (from a fixed seed): its logits mean nothing.
        ModelError if the name is unknown, weights are damaged or missing, or network or device are not there.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: PyTorch was built without CUDA
        raise ModelError(f"device must be one that PyTorch can use here, got {str(device)!r}; try 'cpu'") from error
    is_folder = name not in embedded_models() and (Path(name) / "config.json").is_file()
    return _load(str(Path(name).resolve()) if is_folder else name, str(device), dtype)


def embedded_models() -> list[str]:
    """Names that load without a network: MiniLM, the models in utils/assets, and an untrained twin of each."""
    names = ["minilm", *sorted(config.parent.name for config in ASSETS.glob("*/config.json"))]
    return [twin for name in names for twin in (name, name + UNTRAINED)]


def forget_models() -> None:
    """Let load_model read from disk again: for when something rewrote weights or left a permanent hook."""
    _load.cache_clear()


def random_model(
    architecture: str, *, n_layers: int = 2, d_model: int = 16, n_heads: int = 2, d_vocab: int = 50, n_ctx: int = 32,
    seed: int = 0,
) -> TransformerBridge:  # fmt: skip
    """Make a tiny "bert" or "gpt2" without tokenizer, every parameter random, so that a forgotten bias shows."""
    if architecture == "gpt2":
        shape = dict(n_embd=d_model, n_layer=n_layers, n_head=n_heads, n_positions=n_ctx, eos_token_id=None)
    elif architecture == "bert":
        shape = dict(hidden_size=d_model, num_hidden_layers=n_layers, num_attention_heads=n_heads)
        shape |= dict(intermediate_size=4 * d_model, max_position_embeddings=n_ctx)
    else:
        raise ModelError(f"architecture must be one of {list(MODEL_CLASSES)}, got {architecture!r}")
    hf_model = _new_hf_model(transformers.AutoConfig.for_model(architecture, vocab_size=d_vocab, **shape))
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in hf_model.named_parameters():
        mean = float(parameter.ndim == 1 and name.endswith("weight"))  # LayerNorm scales: the vectors named weight
        parameter.data.normal_(mean, 0.3 if parameter.ndim == 1 else d_model**-0.5, generator=generator)
    return _without_tokenizer(hf_model)


def is_model(value: object) -> bool:
    """Whether a value is a model as load_model and random_model make them."""
    return isinstance(value, TransformerBridge)


def restore_model(model: TransformerBridge) -> bool:
    """Undo writes to the weights of a model that load_model made; False if the model did not come from there."""
    if model not in _loaded:
        return False
    fresh = model_tensors(_load.__wrapped__(_loaded[model][0], str(model.cfg.device), torch.float32))  # past the cache
    for key, tensor in model_tensors(model).items():
        tensor.copy_(fresh[key])
    return True


def describe_model(model: TransformerBridge) -> dict:
    """Say in JSON how another process can rebuild the model: {"name": ...} if load_model made it and nobody changed it.

    Otherwise {"config": ..., "tokenizer_of": ...}, the architecture, and the name of the loaded model whose tokenizer
    it has, or None; the weights go separately (model_tensors).
    """
    if model in _loaded and _loaded[model][1] == fingerprint(model):
        return {"name": _loaded[model][0]}
    lenders = [name for other, (name, _) in _loaded.items() if other.tokenizer is model.tokenizer is not None]
    return {"config": model_config(model), "tokenizer_of": lenders[0] if lenders else None}


def model_config(model: TransformerBridge) -> dict:
    """Its architecture as Hugging Face writes it down, complete, for rebuild_model."""
    return json.loads(model.original_model.config.to_json_string(use_diff=False))


def model_tensors(model: TransformerBridge) -> dict[str, Tensor]:
    """All parameters and buffers by name, not copied. GPT-2's query, key and value are views of its joint matrix."""
    hf_model = model.original_model
    return {name: tensor.detach() for name, tensor in (*hf_model.named_parameters(), *hf_model.named_buffers())}


def rebuild_model(description: dict, tensors: dict[str, Tensor]) -> TransformerBridge:
    """Rebuild a model from describe_model and model_tensors, on the CPU: same activations and logits to the bit.

    Where the description is a name, tensors are not used. ModelError if tensors and config do not belong together.
    The model that was rebuilt last is kept (a new one takes 60 ms), and handed out again if it is still as it was.
    """
    global _rebuilt
    if "name" in description:
        return load_model(description["name"])
    key = json.dumps(description, sort_keys=True), _digest(tensors)
    if _rebuilt is not None and _rebuilt[0] == key:
        model = _rebuilt[1]
        if fingerprint(model) == key[1] and not leftover_hooks(model) and not model.training:
            return model
    model = _without_tokenizer(_new_hf_model(transformers.AutoConfig.for_model(**description["config"])))
    own = model_tensors(model)
    expected, got = ({name: tuple(t.shape) for name, t in group.items()} for group in (own, tensors))
    for name in sorted(expected.keys() | got.keys()):
        if expected.get(name) != got.get(name):
            wrong = f"at {name}: expected shape {expected.get(name)}, got {got.get(name)}"
            raise ModelError(f"tensors do not fit the config {wrong}; pass both from the same model")
        own[name].copy_(tensors[name])
    if lender := description.get("tokenizer_of"):
        model.tokenizer = load_model(lender).tokenizer
    _rebuilt = key, model
    return model


def fingerprint(model: TransformerBridge) -> str:
    """Hash names, shapes and all bytes of the weights (XXH3, 10 ms for MiniLM): any write shows, also through .data."""
    return _digest(model_tensors(model))


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = xxhash.xxh3_64()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} ".encode())
        digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def leftover_hooks(model: TransformerBridge) -> list[str]:
    """Names of the places where somebody left a hook; [] for a clean model.

    model.reset_hooks() removes what add_hook left; permanent and PyTorch's own hooks need forget_models().
    """

    def is_internal(hook: object) -> bool:  # the libraries need a few themselves; a functools.partial has no __module__
        return (getattr(hook, "__module__", None) or "").startswith(("transformer_lens.", "transformers."))

    aliases = {point: name for name, point in model.hook_dict.items()}  # the last alias: hook_resid_post, not hook_out
    modules = {module: name for part in (model.original_model, model) for name, module in part.named_modules()}
    found = []
    for module, name in modules.items():
        kinds = (module._forward_pre_hooks, module._forward_hooks, module._backward_pre_hooks, module._backward_hooks)
        handles = [*module.fwd_hooks, *module.bwd_hooks] if isinstance(module, HookPoint) else []
        clean = all(is_internal(hook) for kind in kinds for hook in kind.values())
        if not clean or not all(handle.is_permanent and is_internal(handle.user_hook) for handle in handles):
            found.append(aliases.get(module, name or type(module).__name__))
    return found


@cache
def _load(name: str, device: str, dtype: torch.dtype) -> TransformerBridge:
    embedded = name in embedded_models()
    folder = embedded_folder(name.removesuffix(UNTRAINED)) if embedded else Path(name)
    is_folder = (folder / "config.json").is_file()
    if not is_folder and ("/" not in name or name.startswith((".", "/", "~"))):
        guess = "".join(f"; did you mean {n!r}?" for n in difflib.get_close_matches(name, embedded_models(), n=1))
        known = f"{', '.join(embedded_models())}, a folder with config.json, or a hub name written owner/model"
        raise ModelError(f"unknown model {name!r}; expected {known}{guess}")
    source, hf_model = str(folder) if is_folder else name, None
    if embedded and name.endswith(UNTRAINED):
        hf_model = _new_hf_model(transformers.AutoConfig.from_pretrained(source)).to(device, dtype)
    try:
        with loading_weights(from_hub=not is_folder):
            model = TransformerBridge.boot_transformers(source, device=device, dtype=dtype, hf_model=hf_model)
    except OSError as error:
        tried = f"tried the folder {folder.resolve()} and the Hugging Face hub: {str(error).splitlines()[0]}"
        cure = "check spelling, connection and, for gated models, `hf auth login`; without a network there are"
        raise ModelError(f"cannot load {name!r}: {tried} Cure: {cure} {', '.join(embedded_models())}") from error
    if is_folder and not [*folder.glob("tokenizer*"), *folder.glob("vocab*")]:
        model.tokenizer = None  # boot_transformers invents an empty one
    model.original_model.config.output_attentions = False  # hooks see patterns anyway; True keeps all to the end
    # another process finds these by name, in float32; of what came from a folder or was rounded it gets the weights
    if (embedded or not is_folder) and dtype == torch.float32:
        _loaded[model] = (name, fingerprint(model))
    return model.eval().requires_grad_(False)


def _new_hf_model(config: transformers.PretrainedConfig) -> transformers.PreTrainedModel:
    if config.model_type not in MODEL_CLASSES:
        raise ModelError(f"architecture must be one of {list(MODEL_CLASSES)}, got {config.model_type!r}")
    with loading_weights():
        return getattr(transformers, MODEL_CLASSES[config.model_type])(config).eval()


def _without_tokenizer(hf_model: transformers.PreTrainedModel) -> TransformerBridge:
    name = type(hf_model).__name__
    hf_model.set_attn_implementation("eager")  # as boot_transformers does; the default never fires hook_pattern
    with loading_weights():
        model = build_bridge_from_module(hf_model, name, hf_config=hf_model.config, model_name=name)
    return model.eval().requires_grad_(False)
