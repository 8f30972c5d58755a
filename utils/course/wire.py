"""The wire: values as JSON and raw tensors, so that checks and submitted code can live in two processes.

Nothing is ever pickled: a frame that a hostile submission writes can at worst be refused. The same encoding also
normalises what a function returns when it runs in process, so that both sides see the same values.

A frame is two big-endian 64-bit lengths, then that many bytes of JSON, then that many bytes of tensor data.
"""

import dataclasses
import json
import math
import struct
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from utils import models
from utils.probes import LinearProbe

DATACLASSES = {"LinearProbe": LinearProbe}  # the only classes that a frame can construct
MAX_FRAME_BYTES = 1 << 30
MAX_DEPTH = 32
_PREFIX = struct.Struct(">QQ")
_TORCH_DTYPES = {str(dtype): dtype for dtype in vars(torch).values() if isinstance(dtype, torch.dtype)}


class WireError(ValueError):
    """A frame that does not hold what the wire carries."""


@dataclasses.dataclass(frozen=True)
class Opaque:
    """Stands for a value of a type that does not cross the wire: a function, a module, a learner's own class."""

    type_name: str
    text: str

    def __repr__(self) -> str:
        return self.text


def encode(value: Any) -> tuple[Any, list[bytes]]:
    """Turn a value into JSON-able data and a list of raw buffers.

    Carried: None, bool, int, float, str, list, tuple, dict, torch dtypes, tensors (dense, on the CPU, detached), numpy
    arrays, models, the dataclasses in DATACLASSES. Anything else, cycles included, becomes an `Opaque`.
    """
    buffers: list[bytes] = []

    def add_array(kind: str, array: np.ndarray, dtype: str) -> dict:
        buffers.append(array.tobytes())
        return {"$": kind, "dtype": dtype, "shape": list(array.shape), "buffer": len(buffers) - 1}

    def walk(item: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            return {"$": "opaque", "type": type(item).__name__, "text": f"nested more than {MAX_DEPTH} deep"}
        if item is None or isinstance(item, (bool, str)) or type(item) is int:
            return item
        if isinstance(item, float):  # numpy.float64 as well
            return float(item) if math.isfinite(item) else {"$": "float", "text": str(float(item))}
        if isinstance(item, Tensor):
            dense = item.detach().to_dense() if item.layout != torch.strided else item.detach()
            plain = dense.cpu().resolve_conj().resolve_neg().contiguous().as_subclass(Tensor)
            raw = plain.reshape(-1).view(torch.uint8).numpy() if plain.numel() else np.empty(0, np.uint8)
            buffers.append(raw.tobytes())
            return {"$": "tensor", "dtype": str(plain.dtype), "shape": list(plain.shape), "buffer": len(buffers) - 1}
        if isinstance(item, np.ndarray) and item.dtype.kind in "biufc":
            return add_array("ndarray", item, item.dtype.str)
        if isinstance(item, (list, tuple)) and type(item) in (list, tuple, torch.Size):
            return {"$": "list" if type(item) is list else "tuple", "items": [walk(x, depth + 1) for x in item]}
        if type(item) is dict:
            return {"$": "dict", "items": [[walk(k, depth + 1), walk(v, depth + 1)] for k, v in item.items()]}
        if isinstance(item, torch.dtype):
            return {"$": "dtype", "name": str(item)}
        if dataclasses.is_dataclass(item) and DATACLASSES.get(type(item).__name__) is type(item):
            fields = {f.name: walk(getattr(item, f.name), depth + 1) for f in dataclasses.fields(item)}
            return {"$": "dataclass", "type": type(item).__name__, "fields": fields}
        if models.is_model(item):
            description = models.describe_model(item)
            tensors = {} if "name" in description else models.model_tensors(item)
            return {"$": "model", "description": description, "tensors": walk(tensors, depth + 1)}
        try:
            text = repr(item)[:200]
        except Exception as error:  # a learner's own __repr__ may raise
            text = f"<{type(item).__name__} whose repr raised {type(error).__name__}>"
        return {"$": "opaque", "type": type(item).__name__, "text": text}

    return walk(value, 0), buffers


def decode(data: Any, buffers: list[bytes]) -> Any:
    """The inverse of `encode`.

    Raises:
        WireError: If the data was not made by `encode`: unknown kinds, wrong lengths, missing buffers.
    """

    def array(item: dict, kind: np.dtype, n_bytes: int) -> np.ndarray:
        shape, raw = tuple(int(n) for n in item["shape"]), buffers[item["buffer"]]
        if any(n < 0 for n in shape) or math.prod(shape) * n_bytes != len(raw):
            raise WireError(f"a tensor of shape {list(shape)} came with {len(raw)} bytes")
        return np.frombuffer(bytearray(raw), dtype=kind)

    def walk(item: Any) -> Any:
        if item is None or isinstance(item, (bool, str, int, float)):
            return item
        match item["$"]:
            case "float":
                return float(item["text"])
            case "list":
                return [walk(x) for x in item["items"]]
            case "tuple":
                return tuple(walk(x) for x in item["items"])
            case "dict":
                return {walk(k): walk(v) for k, v in item["items"]}
            case "dtype":
                return _TORCH_DTYPES[item["name"]]
            case "tensor":
                dtype = _TORCH_DTYPES[item["dtype"]]
                flat = torch.from_numpy(array(item, np.dtype(np.uint8), dtype.itemsize))
                return flat.view(dtype).reshape(item["shape"])
            case "ndarray":
                dtype = np.dtype(item["dtype"])
                if dtype.kind not in "biufc":
                    raise WireError(f"numpy arrays of dtype {dtype} do not cross the wire")
                return array(item, dtype, dtype.itemsize).reshape(item["shape"])
            case "dataclass":
                return DATACLASSES[item["type"]](**{str(k): walk(v) for k, v in item["fields"].items()})
            case "model":
                return models.rebuild_model(item["description"], walk(item["tensors"]))
            case "opaque":
                return Opaque(str(item["type"]), str(item["text"]))
        raise WireError(f"unknown kind {item['$']!r}")

    try:
        return walk(data)
    except WireError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError, RecursionError) as error:
        raise WireError(f"a malformed value: {type(error).__name__}: {error}") from None


def write_frame(stream: BinaryIO, message: dict) -> None:
    """Write one message (a dict of encodable values) to a binary stream."""
    data, buffers = encode(message)
    text = json.dumps({"data": data, "lengths": [len(b) for b in buffers]}, allow_nan=False).encode()
    stream.write(_PREFIX.pack(len(text), sum(map(len, buffers))) + text)
    for buffer in buffers:
        stream.write(buffer)
    stream.flush()


def read_frame(stream: BinaryIO) -> dict:
    """Read one message from a binary stream.

    Raises:
        EOFError: If the stream ended.
        WireError: If the frame is too large or malformed.
    """
    n_text, n_raw = _PREFIX.unpack(_read_exactly(stream, _PREFIX.size))
    if n_text + n_raw > MAX_FRAME_BYTES:
        raise WireError(f"a frame of {n_text + n_raw:,} bytes; at most {MAX_FRAME_BYTES:,} are read")
    text, raw = _read_exactly(stream, n_text), _read_exactly(stream, n_raw)
    try:
        frame = json.loads(text)
        data, lengths = frame["data"], frame["lengths"]
        if any(type(n) is not int or n < 0 for n in lengths) or sum(lengths) != n_raw:
            raise WireError("the lengths of the tensors do not add up")
    except WireError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WireError(f"not a frame: {type(error).__name__}: {error}") from None
    buffers, start = [], 0
    for length in lengths:
        buffers.append(raw[start : start + length])
        start += length
    message = decode(data, buffers)
    if not isinstance(message, dict):
        raise WireError(f"expected a dict, got {type(message).__name__}")
    return message


def normalise(value: Any) -> Any:
    """What the other side of the wire would see of this value; models are passed on as they are."""
    if models.is_model(value):
        return value
    return decode(*encode(value))


def _read_exactly(stream: BinaryIO, n_bytes: int) -> bytes:
    chunks = []
    while n_bytes:
        chunk = stream.read(min(n_bytes, 1 << 20))
        if not chunk:
            raise EOFError("the other process closed the wire")
        chunks.append(chunk)
        n_bytes -= len(chunk)
    return b"".join(chunks)
