"""The wire between two processes: messages as frames, over any binary stream.

A frame is two big-endian 64-bit lengths, then that many bytes of JSON, then that many bytes of tensor data.
"""

import json
import struct
from typing import BinaryIO

from utils.course.encoding import MAX_RAW_BYTES, MAX_TEXT_BYTES, WireError, decode, encode

_PREFIX = struct.Struct(">QQ")


def write_frame(stream: BinaryIO, message: dict) -> None:
    """Write one message (a dict of encodable values) to a binary stream.

    Raises:
        WireError: If the message is too large; then nothing has been written.
    """
    data, buffers = encode(message)
    text = json.dumps({"data": data, "lengths": [len(b) for b in buffers]}, allow_nan=False).encode()
    stream.write(_PREFIX.pack(len(text), sum(map(len, buffers))) + text)
    for buffer in buffers:
        stream.write(buffer)
    stream.flush()


def read_frame(stream: BinaryIO, *, with_models: bool = False) -> dict:
    """Read one message from a binary stream.

    Raises:
        EOFError: If the stream ended.
        WireError: If the frame is too large or malformed.
    """
    n_text, n_raw = _PREFIX.unpack(_read_exactly(stream, _PREFIX.size))
    if n_text > MAX_TEXT_BYTES or n_raw > MAX_RAW_BYTES:
        raise WireError(
            f"a frame of {n_text:,} + {n_raw:,} bytes; at most {MAX_TEXT_BYTES:,} + {MAX_RAW_BYTES:,} are read"
        )
    text, raw = _read_exactly(stream, n_text), memoryview(_read_exactly(stream, n_raw))
    try:
        frame = json.loads(text)
        data, lengths = frame["data"], frame["lengths"]
        if type(lengths) is not list or any(type(n) is not int or n < 0 for n in lengths) or sum(lengths) != n_raw:
            raise WireError("the lengths of the tensors do not add up")
    except WireError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WireError(f"not a frame: {type(error).__name__}: {str(error)[:200]}") from None
    buffers, start = [], 0
    for length in lengths:
        buffers.append(raw[start : start + length])
        start += length
    message = decode(data, buffers, with_models=with_models)
    if not isinstance(message, dict):
        raise WireError(f"expected a dict, got {type(message).__name__}")
    return message


def _read_exactly(stream: BinaryIO, n_bytes: int) -> bytes:
    chunks = []
    while n_bytes:
        chunk = stream.read(min(n_bytes, 1 << 20))
        if not chunk:
            raise EOFError("the other process closed the wire")
        chunks.append(chunk)
        n_bytes -= len(chunk)
    return b"".join(chunks)
