"""Values as JSON and raw buffers, so that checks and submitted code can live in two processes.

Nothing is ever pickled: what a hostile submission writes can at worst be refused. The same encoding also normalises
what a function gets and returns when it runs in process, so that both sides see the same values.
"""

import dataclasses
import math
import re
from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from torch import Tensor

from utils import models
from utils.facts import Statements
from utils.interventions import LinearEraser
from utils.probes import LinearProbe

# all that a frame can construct
DATACLASSES = {kind.__name__: kind for kind in (LinearEraser, LinearProbe, Statements)}
MAX_RAW_BYTES = 1 << 28  # of the tensors in a frame; MiniLM's weights have 90 MB
MAX_TEXT_BYTES = 1 << 24  # of its JSON, which takes up to thirty times as much memory once it is parsed
MAX_DEPTH = 32
MAX_AXES = 64  # numpy's own limit
MAX_KEYS = 2_000  # where they are not all strings: hashes of numbers can be made to collide, and then a dict is slow
_ITEM_BYTES, _CHARACTER_BYTES = 100, 12  # what one value, and one character, take in JSON at most
_DTYPES = {str(dtype): dtype for dtype in vars(torch).values() if isinstance(dtype, torch.dtype)}
_CARRIED = re.compile(r"torch\.(bool|u?int(8|16|32|64)|b?float\w+|complex\w+)")  # of tensors; not the quantised ones
_NUMPY_CARRIED = re.compile(r"[<>|][biufc]\d{1,2}")


class WireError(ValueError):
    """A frame that does not hold what the wire carries, or a value that is too large for one."""


@dataclasses.dataclass(frozen=True)
class Opaque:
    """Stands for a value of a type that does not cross the wire: a function, a module, a learner's own class."""

    type_name: str
    text: str

    def __repr__(self) -> str:
        return self.text


def encode(value: Any, *, with_models: bool = True) -> tuple[Any, list[bytes]]:
    """Turn a value into JSON-able data and a list of raw buffers, in the order in which the data need them.

    Carried: None, bool, int, float, complex, str, list, tuple, set, frozenset, dict, slice, range, torch dtypes,
    tensors (dense, on the CPU, detached), numpy arrays and scalars, the dataclasses in DATACLASSES, and models if
    with_models. Anything else becomes an `Opaque`, whatever its class, its repr or its attributes do.

    Raises:
        WireError: If the value is too large for a frame.
    """
    buffers: list[bytes] = []
    text_left, raw_left = MAX_TEXT_BYTES, MAX_RAW_BYTES

    def spend(n_text: int, n_raw: int = 0) -> None:
        nonlocal text_left, raw_left
        text_left, raw_left = text_left - n_text, raw_left - n_raw
        if text_left < 0 or raw_left < 0:
            raise WireError(
                f"too large: at most {MAX_TEXT_BYTES:,} bytes of JSON and {MAX_RAW_BYTES:,} of tensors cross"
            )

    def add_tensor(item: Tensor) -> dict:
        with torch._C.DisableTorchFunctionSubclass():  # a subclass may have its own idea of every operation
            plain = Tensor.detach(item)
            spend(_ITEM_BYTES, math.prod(plain.shape) * plain.element_size())
            plain = (plain if plain.layout == torch.strided else plain.to_dense()).cpu()
            plain = plain.resolve_conj().resolve_neg().contiguous()
            if type(plain) is not Tensor or not _CARRIED.fullmatch(str(plain.dtype)):
                raise TypeError(plain.dtype)
            flat = plain.as_strided((plain.numel(),), (1,))  # one number may have any stride, which no view accepts
            raw = flat.view(torch.uint8).numpy() if plain.numel() else np.empty(0, np.uint8)
        buffers.append(raw.tobytes())
        return {"$": "tensor", "dtype": str(plain.dtype), "shape": list(plain.shape)}

    def add_array(item: np.ndarray | np.generic, kind: str) -> dict:
        array = np.asarray(item)
        spend(_ITEM_BYTES, array.nbytes)
        if not _NUMPY_CARRIED.fullmatch(array.dtype.str):
            raise TypeError(array.dtype)
        buffers.append(array.tobytes())
        return {"$": kind, "dtype": array.dtype.str, "shape": list(array.shape)}

    def walk(item: Any, depth: int) -> Any:
        kind = type(item)  # not isinstance, which believes what an object says of its __class__
        spend(_ITEM_BYTES)
        if item is None or kind is bool:
            return item
        if issubclass(kind, str):
            spend(_CHARACTER_BYTES * str.__len__(item))
            return str.__str__(item)
        if kind is int:
            spend(item.bit_length() // 4)
            return item if item.bit_length() < 64 else {"$": "int", "text": hex(item)}  # JSON stops at 4300 digits
        if kind is float:
            return item if math.isfinite(item) else {"$": "float", "text": str(item)}
        if depth > MAX_DEPTH:  # cycles, too
            return _opaque(item, f"nested more than {MAX_DEPTH} deep")
        n_buffers = len(buffers)
        try:
            if kind in (list, tuple, torch.Size, set, frozenset):
                name = "tuple" if kind is torch.Size else kind.__name__
                if kind in (set, frozenset):
                    _check_keys(item)
                return {"$": name, "items": [walk(x, depth + 1) for x in item]}
            if kind is dict:
                _check_keys(item)
                return {"$": "dict", "items": [[walk(k, depth + 1), walk(v, depth + 1)] for k, v in item.items()]}
            if kind in (slice, range):
                return {"$": kind.__name__, "items": [walk(x, depth + 1) for x in (item.start, item.stop, item.step)]}
            if kind is complex:
                return {"$": "complex", "items": [walk(item.real, depth + 1), walk(item.imag, depth + 1)]}
            if kind is torch.dtype:
                return {"$": "dtype", "name": str(item)}
            if issubclass(kind, Tensor):
                return add_tensor(item)
            if issubclass(kind, np.ndarray | np.generic):
                return add_array(item, "ndarray" if issubclass(kind, np.ndarray) else "scalar")
            if kind in DATACLASSES.values():
                fields = {f.name: walk(getattr(item, f.name), depth + 1) for f in dataclasses.fields(item)}
                return {"$": "dataclass", "type": kind.__name__, "fields": fields}
            if with_models and models.is_model(item):
                description = models.describe_model(item)
                tensors = {} if "name" in description else models.model_tensors(item)
                return {"$": "model", "description": description, "tensors": walk(tensors, depth + 1)}
        except WireError:
            raise
        except Exception:  # tensors without data, quantised, nested, of hostile classes; arrays of objects
            del buffers[n_buffers:]
        return _opaque(item)

    return walk(value, 0), buffers


def _opaque(item: Any, text: str | None = None) -> dict:
    try:
        name = str(type(item).__name__)[:100]
        text = repr(item)[:200] if text is None else text
    except (Exception, SystemExit) as error:  # a learner's own __repr__ may raise
        name, text = type.__repr__(type(item))[:100], f"an object whose repr raised {type(error).__name__}"
    return {"$": "opaque", "type": name, "text": text}


def _check_keys(keys: Collection) -> None:
    if len(keys) > MAX_KEYS and not all(type(key) is str for key in keys):
        raise WireError(f"too large: at most {MAX_KEYS:,} keys that are not strings, got {len(keys):,}")


def decode(data: Any, buffers: list[bytes], *, with_models: bool = False) -> Any:
    """The inverse of `encode`.

    Args:
        with_models: whether models may come. They are built, which takes files, time and memory that the frame names:
            so never from a process that runs submitted code.

    Raises:
        WireError: If the data was not made by `encode`: unknown kinds, wrong lengths, missing buffers.
    """
    remaining = iter(buffers)  # every buffer is used once, so that no frame takes more memory than its length

    def raw_array(item: dict, n_bytes: int) -> np.ndarray:
        shape, raw = item["shape"], next(remaining)
        if len(shape) > MAX_AXES or any(type(n) is not int or n < 0 for n in shape):
            raise WireError("the shape of a tensor is no list of lengths")
        if math.prod(shape) * n_bytes != len(raw) or math.prod(n or 1 for n in shape) > MAX_RAW_BYTES:
            raise WireError(f"a tensor of shape {shape} came with {len(raw)} bytes"[:200])
        return np.frombuffer(bytearray(raw), np.uint8)

    def walk(item: Any, depth: int) -> Any:
        if item is None or isinstance(item, (bool, str, int, float)):
            return item
        if depth > MAX_DEPTH + 8:  # a message adds a few levels to the value that it holds
            raise WireError(f"nested more than {MAX_DEPTH} deep")
        match item["$"]:
            case "int":
                return int(item["text"], 16)
            case "float":
                return float(item["text"])
            case "list" | "tuple" | "set" | "frozenset" | "slice" | "range" | "complex" as kind:
                if type(item["items"]) is not list:
                    raise WireError(f"the items of a {kind} are no list")
                items = [walk(x, depth + 1) for x in item["items"]]
                if kind in ("set", "frozenset"):
                    _check_keys(items)
                if kind in ("list", "tuple", "set", "frozenset"):
                    return {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind](items)
                return {"slice": slice, "range": range, "complex": complex}[kind](*items)
            case "dict":
                items = [(walk(k, depth + 1), walk(v, depth + 1)) for k, v in item["items"]]
                _check_keys([key for key, _ in items])
                return dict(items)
            case "dtype":
                return _DTYPES[item["name"]]
            case "tensor" if _CARRIED.fullmatch(item["dtype"]):
                dtype = _DTYPES[item["dtype"]]
                flat = torch.from_numpy(raw_array(item, dtype.itemsize))
                return (flat != 0 if dtype == torch.bool else flat.view(dtype)).reshape(item["shape"])
            case "ndarray" | "scalar" as kind if _NUMPY_CARRIED.fullmatch(item["dtype"]):
                dtype = np.dtype(item["dtype"])
                flat = raw_array(item, dtype.itemsize)
                array = (flat != 0 if dtype == np.bool_ else flat.view(dtype)).reshape(item["shape"])
                return array[()] if kind == "scalar" else array
            case "dataclass":
                return DATACLASSES[item["type"]](**{str(k): walk(v, depth + 1) for k, v in item["fields"].items()})
            case "model" if with_models:
                return models.rebuild_model(item["description"], walk(item["tensors"], depth + 1))
            case "opaque":
                return Opaque(str(item["type"])[:100], str(item["text"])[:200])
        raise WireError(f"unknown kind {str(item['$'])[:100]!r}")

    try:
        return walk(data, 0)
    except WireError:
        raise
    except Exception as error:  # whatever a frame can be wrong in
        raise WireError(f"a malformed value: {type(error).__name__}: {str(error)[:200]}") from None


def normalise(value: Any) -> Any:
    """What the other side of the wire would see of a value that a submitted function returned: models are opaque."""
    try:
        return decode(*encode(value, with_models=False))
    except WireError as error:
        data = _opaque(value, str(error))
        return Opaque(data["type"], data["text"])
