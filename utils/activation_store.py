"""Activations on disk: written as they are computed, read back in parts, so that there may be more than memory holds.

    texts, layers = [...], ["embed", 6, 11]
    write_acts("acts.safetensors", stream_pooled(model, texts, layers), layers=layers, n_rows=len(texts))
    for rows, acts in read_acts("acts.safetensors", layers): ...          # [row], [layer row d_model]

The file is an ordinary safetensors file with one tensor [row d_model] for each layer, named after the hook that it was
read at, such as blocks.6.hook_resid_post. It appears under its name when it is complete, and not before.
"""

import contextlib
import itertools
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from torch import Tensor

from utils.activations import Layer, hook_name

DTYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}  # as safetensors writes them
ROWS = 4096  # read at once

Batch = tuple[Int[Tensor, " row"], Float[Tensor, "layer row d_model"]]


def write_acts(
    file: Path | str,
    batches: Iterable[Batch],
    *,
    layers: Sequence[Layer],
    n_rows: int,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write activations to a new file, batch by batch; one batch is held, whatever the number of rows.

    Until the last row is there, the file has another name in the same folder, which ends in .unfinished; a run that
    fails removes it, one that is killed leaves it for you to delete.

    Args:
        batches: numbers of rows and their activations, in any order, such as stream_pooled yields.
        layers: names of the layers, in the order of the batches.
        n_rows: of all batches together; every row from 0 on must come exactly once.
        dtype: on disk; torch.bfloat16 halves the file, and rounds to three digits.

    Raises:
        ValueError: If the disk has no room, which is asked before anything is written; or batches do not fit.
    """
    if dtype not in DTYPES:
        raise ValueError(
            f"dtype must be one of {', '.join(map(str, DTYPES))}, got {dtype}; the last two halve the file"
        )
    file, batches = Path(file), iter(batches)
    first = next(batches, None)
    if first is None:
        raise ValueError("batches must hold at least one, got none; a generator that was run through is empty")
    d_model = first[1].shape[-1]
    header, starts = _header(layers, n_rows, d_model, dtype)
    _check_room(file, len(layers) * n_rows * d_model * dtype.itemsize)
    unfinished, written = file.with_name(f"{file.name}.{os.getpid()}.unfinished"), torch.zeros(n_rows, dtype=torch.bool)
    try:
        with open(unfinished, "wb") as out:
            out.write(header)
            for rows, acts in itertools.chain([first], batches):
                rows = rows.cpu()
                _check_batch(rows, acts, (len(layers), d_model), written)
                written[rows] = True
                data = acts.detach().cpu().to(dtype).contiguous().view(torch.uint8).numpy()  # [layer row byte]
                for start, layer in zip(starts, data, strict=True):
                    for row, vector in zip(rows.tolist(), layer, strict=True):
                        out.seek(start + row * len(vector))  # no memory map: a full disk would be a crash there
                        out.write(vector)
        if not written.all():
            raise ValueError(f"batches must hold every row, got {int(written.sum())} of {n_rows}; check n_rows")
        os.replace(unfinished, file)
    finally:
        unfinished.unlink(missing_ok=True)


def read_acts(file: Path | str, layers: Sequence[Layer], *, n_rows: int = ROWS) -> Iterator[Batch]:
    """Yield the rows of a file in order, with the activations of chosen layers; nothing else is read from disk.

    Args:
        file: as write_acts writes it.
        layers: some of those that were written, in any order.
        n_rows: of a batch; the last one may have fewer.

    Raises:
        ValueError: If the file is missing or damaged, or lacks a layer.
    """
    names, start, total = [hook_name(layer) for layer in layers], 0, 1
    while start < total:
        # opened for each batch: what a memory map has read counts as memory until it is closed
        with _open(file) as tensors:
            if missing := [name for name in names if name not in tensors.keys()]:  # noqa: SIM118
                raise ValueError(f"{file} must hold {', '.join(missing)}, got only {', '.join(tensors.keys())}")
            slices = [tensors.get_slice(name) for name in names]
            total = slices[0].get_shape()[0]
            stop = min(start + n_rows, total)
            acts = torch.stack([part[start:stop] for part in slices])
        yield torch.arange(start, stop), acts
        start = stop


@contextlib.contextmanager
def _open(file: Path | str) -> Iterator[safe_open]:
    try:
        opened = safe_open(file, "pt")
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{file} must be a file that write_acts has written, got {error}") from error
    with opened as tensors:
        yield tensors


def _header(layers: Sequence[Layer], n_rows: int, d_model: int, dtype: torch.dtype) -> tuple[bytes, list[int]]:
    """Of a safetensors file: its length in 8 bytes, then JSON. And where in the file each layer begins."""
    size = n_rows * d_model * dtype.itemsize
    tensors = {
        hook_name(layer): {
            "dtype": DTYPES[dtype],
            "shape": [n_rows, d_model],
            "data_offsets": [i * size, (i + 1) * size],
        }
        for i, layer in enumerate(layers)
    }
    if len(tensors) != len(layers):
        raise ValueError(f"layers must be different, got {list(layers)}; write each once")
    text = json.dumps(tensors).encode()
    text += b" " * (-len(text) % 8)  # numbers begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text, [8 + len(text) + i * size for i in range(len(layers))]


def _check_room(file: Path, n_bytes: int) -> None:
    free = shutil.disk_usage(file.parent).free
    if n_bytes > free:
        sizes = f"{n_bytes / 1e9:.1f} GB of disk, {free / 1e9:.1f} GB are free in {file.parent.resolve()}"
        raise ValueError(f"{file.name} needs {sizes}; take fewer layers, dtype=torch.bfloat16, or another disk")


def _check_batch(rows: Tensor, acts: Tensor, expected: tuple[int, int], written: Tensor) -> None:
    if acts.ndim != 3 or (acts.shape[0], acts.shape[2]) != expected or rows.shape != acts.shape[1:2]:
        raise ValueError(
            f"every batch must be [row] and [layer row d_model] with {expected[0]} layers and d_model {expected[1]}, "
            f"got {tuple(rows.shape)} and {tuple(acts.shape)}; layers and batches must belong together"
        )
    low, high = (int(bound) for bound in rows.aminmax())
    if low < 0 or high >= len(written) or written[rows].any() or len(rows.unique()) < len(rows):
        raise ValueError(
            f"rows must lie in 0..{len(written) - 1} and come once, got {low}..{high} in a batch; "
            "check n_rows, and whether batches overlap"
        )
