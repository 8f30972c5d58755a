"""What crosses the wire arrives equal; what does not is opaque; a frame that is wrong in any way is refused."""

import io
import json
import math
import random
import struct
import time

import numpy as np
import pytest
import torch

from utils import models
from utils.course import encoding
from utils.course.encoding import Opaque, WireError, decode, encode, normalise
from utils.course.wire import read_frame, write_frame
from utils.probes import LinearProbe

SEED = 0


def across(value, *, with_models=False):
    """The value after a whole frame."""
    stream = io.BytesIO()
    write_frame(stream, {"value": value})
    stream.seek(0)
    message = read_frame(stream, with_models=with_models)
    assert stream.read() == b""
    return message["value"]


def frame(data, lengths=(), raw=b"", **extra) -> bytes:
    """A frame with any content, true or not."""
    text = json.dumps({"data": data, "lengths": list(lengths), **extra}).encode()
    return struct.pack(">QQ", len(text), len(raw)) + text + raw


def in_message(item: dict) -> dict:
    return {"$": "dict", "items": [["value", item]]}


# --- what is carried ---------------------------------------------------------------------------------------------

TORCH_DTYPES = [d for name, d in sorted(encoding._DTYPES.items()) if encoding._CARRIED.fullmatch(name)]


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4), (0,), (2, 0, 3)], ids=str)
@pytest.mark.parametrize("dtype", TORCH_DTYPES, ids=str)
def test_tensors_of_every_dtype_and_shape_arrive_bit_for_bit(dtype, shape):
    n_bytes = math.prod(shape) * dtype.itemsize
    generator = torch.Generator().manual_seed(SEED)
    raw = torch.randint(0, 2 if dtype == torch.bool else 256, (n_bytes,), generator=generator, dtype=torch.uint8)
    tensor = raw.view(dtype).reshape(shape)
    back = across(tensor)
    assert type(back) is torch.Tensor and back.dtype == dtype and back.shape == tensor.shape
    assert torch.equal(back.reshape(-1).view(torch.uint8), tensor.reshape(-1).view(torch.uint8))


def test_the_usual_dtypes_are_among_those_carried():
    usual = {
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
        torch.complex64,
        torch.bool,
        torch.int64,
        torch.uint8,
    }
    assert usual <= set(TORCH_DTYPES)


def test_views_gradients_conjugates_subclasses_and_sparse_tensors_arrive_as_plain_dense_ones():
    base = torch.arange(12.0).reshape(3, 4)
    z = torch.complex(base, base)
    values = [
        (base.T, base.T),
        (base[:, ::2], base[:, ::2]),
        (base[:1].expand(5, 4), base[:1].expand(5, 4)),
        (base.clone().requires_grad_() * 2, base * 2),
        (torch.nn.Parameter(base), base),
        (z.conj(), torch.complex(base, -base)),
        (z.conj().imag, -base),
        (base.to_sparse(), base),
        (base.to_sparse_csr(), base),
    ]
    for value, expected in values:
        for back in (across(value), normalise(value)):
            assert type(back) is torch.Tensor and back.layout == torch.strided and not back.requires_grad
            assert torch.equal(back.resolve_conj(), expected)


def test_a_single_number_with_a_stride_arrives():
    table = torch.tensor([[1.0, 2.0, 3.0]])
    for one in (table[:, 1], table[:, 1:2], torch.tensor([2.0]).expand(1), torch.arange(6.0)[2::5].long()):
        assert torch.equal(across(one), one.clone())


def test_what_arrives_can_be_written_to_without_changing_what_was_sent():
    tensor, array = torch.zeros(3), np.zeros(3)
    back, back_array = normalise((tensor, array))
    back += 1
    back_array += 1
    assert tensor.sum() == 0 and array.sum() == 0


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.arange(6, dtype=np.float64).reshape(2, 3).T,
        np.array(3.5),
        np.zeros((2, 0), np.int8),
        np.arange(4, dtype=">f4"),
        np.arange(4, dtype=">i8"),
        np.array([True, False]),
        np.array([1 + 2j]),
        np.array([np.nan, np.inf]),
        np.arange(4, dtype=np.float16)[::-1],
    ],
    ids=lambda a: f"{a.dtype.str} {a.shape}",
)
def test_numpy_arrays_arrive_with_their_dtype_and_byte_order(array):
    back = across(array)
    assert type(back) is np.ndarray and back.dtype.str == array.dtype.str and back.shape == array.shape
    assert np.array_equal(back, array, equal_nan=array.dtype.kind in "fc")


@pytest.mark.parametrize(
    "scalar",
    [np.float64(0.1), np.float32(0.1), np.float16(2), np.int64(-3), np.uint8(200), np.bool_(True), np.complex64(1j)],
)
def test_numpy_scalars_keep_their_type(scalar):
    back = across(scalar)
    assert type(back) is type(scalar) and back == scalar


PLAIN = [
    None,
    True,
    0,
    -1,
    2**63,
    -(2**64),
    10**4000,
    0.1,
    -0.0,
    1e-320,
    math.inf,
    -math.inf,
    1 - 2j,
    "",
    "Grüße \x00 \u2028 🎲",
    "\ud800",
    [],
    (),
    {},
    set(),
    frozenset({1}),
    {1, "a", (2, 3)},
    [1, [2, (3, [4, ()])]],
    (1, [2], {"a": (None,)}),
    {1: "a", (2, "b"): [3], None: 4, False: 5, 0.5: 6},
    {"$": "tensor", "items": [1]},
    slice(None, 3, -1),
    range(2, 20, 3),
    torch.float32,
    torch.bfloat16,
    {"deep": [{"er": ({"still": [torch.int64]},)}]},
]


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: ascii(value)[:40])
def test_plain_values_and_containers_arrive_equal_and_of_the_same_type(value):
    for back in (across(value), normalise(value)):
        assert back == value and type(back) is type(value) and repr(back) == repr(value)


def test_integers_longer_than_json_reads_arrive():
    assert across(-(10**5000)) == normalise(-(10**5000)) == -(10**5000)


def test_nan_arrives_as_nan():
    assert math.isnan(across(math.nan)) and math.isnan(across([math.nan])[0])


def test_sizes_and_strings_of_subclasses_arrive_as_tuples_and_strings():
    class Loud(str):
        def __str__(self):
            raise RuntimeError

    assert across(torch.zeros(2, 3).shape) == (2, 3) and type(across(torch.zeros(2, 3).shape)) is tuple
    for text in (Loud("a"), np.str_("a")):
        assert across(text) == "a" and type(normalise(text)) is str


def test_probes_arrive_as_probes():
    probe = LinearProbe(weight=torch.arange(6.0).reshape(2, 3), bias=torch.tensor([1.0, 2.0]))
    back = across({"probe": probe})["probe"]
    assert type(back) is LinearProbe
    assert torch.equal(back.weight, probe.weight) and torch.equal(back.bias, probe.bias)


@pytest.mark.parametrize("make", [lambda: models.load_model("minilm"), lambda: models.random_model("gpt2", seed=3)])
def test_models_arrive_by_name_or_by_configuration_with_the_same_residual_stream(make):
    model = make()
    back = across([model], with_models=True)[0]
    tokens = torch.tensor([[5, 6, 7]])
    names = ["blocks.1.hook_resid_post"]
    streams = [
        m.run_with_cache(tokens, attention_mask=torch.ones_like(tokens), names_filter=names)[1] for m in (model, back)
    ]
    assert torch.equal(*(cache[names[0]] for cache in streams))


# --- what is not -------------------------------------------------------------------------------------------------


class Spoofed:
    """Says that it is something else."""

    def __init__(self, kind):
        self.kind = kind

    @property
    def __class__(self):
        return self.kind


class Loud:
    """Answers every question with an exception."""

    @property
    def __class__(self):
        raise RuntimeError("no class")

    def __repr__(self):
        raise SystemExit("no repr")

    def __getattr__(self, name):
        raise RuntimeError(f"no {name}")


class EqualToAll(type):
    """A metaclass whose classes equal every other class and have no name."""

    def __eq__(cls, other):
        return True

    __hash__ = type.__hash__

    @property
    def __name__(cls):
        raise RuntimeError("no name")


class Chameleon(metaclass=EqualToAll):
    pass


class LoudTensor(torch.Tensor):
    @classmethod
    def __torch_function__(cls, *args, **kwargs):
        raise RuntimeError("no function")

    def detach(self):
        raise RuntimeError("no detach")

    shape = property(lambda self: (10**9,))


OPAQUE = [
    lambda: 1,
    len,
    torch,
    int,
    Spoofed(str),
    Spoofed(float),
    Spoofed(torch.Tensor),
    Spoofed(np.ndarray),
    Spoofed(LinearProbe),
    Spoofed(type(None)),
    Loud(),
    Chameleon(),
    object(),
    iter([1]),
    b"bytes",
    np.array([object()]),
    np.array(["text"]),
    np.zeros(2, dtype=[("a", "f4")]),
    torch.zeros(2, device="meta"),
    torch.zeros(2, dtype=torch.uint8).view(torch.bits8),
    torch.zeros(3, 2).max(dim=0),
    torch.Generator(),
    torch.nn.Linear(1, 1),
]


@pytest.mark.parametrize("index", range(len(OPAQUE)))
def test_anything_else_becomes_opaque_and_its_neighbours_arrive(index):
    value = OPAQUE[index]
    for back in (across([torch.ones(2), value, torch.zeros(3)]), normalise([torch.ones(2), value, torch.zeros(3)])):
        assert type(back[1]) is Opaque, back[1]
        assert torch.equal(back[0], torch.ones(2)) and torch.equal(back[2], torch.zeros(3))
        assert len(repr(back[1])) < 500


def test_a_tensor_with_an_opinion_arrives_as_the_numbers_it_holds():
    tensor = torch.arange(3.0).as_subclass(LoudTensor)
    assert torch.equal(normalise(tensor), torch.arange(3.0))


def test_a_probe_that_was_tampered_with_does_not_shift_the_tensors_behind_it():
    probe = LinearProbe(weight=torch.ones(3), bias=torch.tensor(0.0))
    object.__delattr__(probe, "bias")
    back = normalise([probe, torch.zeros(2)])
    assert type(back[0]) is Opaque and torch.equal(back[1], torch.zeros(2))
    probe = LinearProbe(weight=torch.ones(3), bias=torch.tensor(0.0))
    object.__setattr__(probe, "bias", lambda: 1)
    assert type(normalise(probe)) is Opaque


def test_models_are_opaque_in_what_a_function_returns():
    model = models.random_model("bert")
    assert type(normalise(model)) is Opaque and type(normalise([model])[0]) is Opaque
    with pytest.raises(WireError, match="unknown kind 'model'"):
        across(model)


def test_cycles_and_deep_nesting_end():
    cycle = []
    cycle.append(cycle)
    assert "nested" in repr(normalise(cycle))
    mapping = {}
    mapping["self"] = (mapping,)
    assert "nested" in repr(normalise(mapping))
    deep = [1]
    for _ in range(100_000):
        deep = [deep]
    assert "nested" in repr(across(deep))


def bush():
    value = [1]
    for _ in range(30):
        value = [value, value]  # 2^30 leaves
    return value


@pytest.mark.parametrize(
    "make",
    [
        bush,
        lambda: torch.zeros(1).expand(10**12),
        lambda: torch.sparse_coo_tensor(torch.zeros(2, 0, dtype=torch.long), torch.zeros(0), (10**6, 10**6)),
        lambda: np.broadcast_to(np.zeros(1), (10**12,)),
        lambda: [torch.zeros(1 << 24)] * 1000,
        lambda: "x" * (1 << 24),
        lambda: list(range(1_000_000)),
        lambda: {i: 0 for i in range(10_000)},
        lambda: set(range(10_000)),
    ],
)
def test_what_is_too_large_is_opaque_says_so_and_takes_no_memory(make):
    value, start = make(), time.perf_counter()
    back = normalise(value)
    assert type(back) is Opaque and "too large" in back.text and back.type_name == type(value).__name__
    stream = io.BytesIO()
    with pytest.raises(WireError, match="too large"):
        write_frame(stream, {"value": value})
    assert stream.getvalue() == b""  # nothing half-written
    assert time.perf_counter() - start < 20


def test_many_words_and_long_lists_are_not_too_large():
    words = [f"word {i}" for i in range(20_000)]
    assert across(words) == words
    assert across({word: i for i, word in enumerate(words)})["word 7"] == 7


# --- frames that are wrong ---------------------------------------------------------------------------------------

TENSOR = {"$": "tensor", "dtype": "torch.float32", "shape": [2]}
PROBE = {"$": "dataclass", "type": "LinearProbe", "fields": {"weight": {"$": "list", "items": []}, "bias": 0}}
BAD_ITEMS = [
    {},
    [],
    {"$": "pickle", "data": "gASVAA=="},
    {"$": ["list"]},
    {"$": {"$": "list"}},
    {"$": "list"},
    {"$": "list", "items": 5},
    {"$": "list", "items": {"a": [1]}},
    {"$": "dict", "items": [[1]]},
    {"$": "dict", "items": [[{"$": "list", "items": []}, 1]]},
    {"$": "set", "items": [{"$": "list", "items": []}]},
    {"$": "set", "items": [i * (2**61 - 1) for i in range(50_000)]},
    {"$": "dict", "items": [[i * (2**61 - 1), 0] for i in range(50_000)]},
    {"$": "float", "text": "three"},
    {"$": "float", "text": None},
    {"$": "int", "text": "zz"},
    {"$": "int", "text": 5},
    {"$": "range", "items": [1, 2, 0]},
    {"$": "range", "items": [1.5]},
    {"$": "slice", "items": []},
    {"$": "complex", "items": ["1", "2"]},
    {"$": "dtype", "name": "torch.Tensor"},
    {"$": "dtype", "name": ["a"]},
    {**TENSOR, "dtype": "torch.qint8"},
    {**TENSOR, "dtype": "torch.bits8"},
    {**TENSOR, "dtype": "torch.float99"},
    {**TENSOR, "dtype": 5},
    {**TENSOR, "shape": [3]},
    {**TENSOR, "shape": [-1]},
    {**TENSOR, "shape": [-2, -1]},
    {**TENSOR, "shape": [2.0]},
    {**TENSOR, "shape": ["2"]},
    {**TENSOR, "shape": [True, 2]},
    {**TENSOR, "shape": "2"},
    {**TENSOR, "shape": 2},
    {**TENSOR, "shape": None},
    {**TENSOR, "shape": [math.inf]},
    {**TENSOR, "shape": [2] + [1] * 100},
    {**TENSOR, "shape": [2**62, 4]},
    {**TENSOR, "shape": [2**63 + 2]},
    {**TENSOR, "shape": [10**4000] * 10},
    {"$": "ndarray", "dtype": "|O", "shape": [1]},
    {"$": "ndarray", "dtype": "f4,f4", "shape": [1]},
    {"$": "ndarray", "dtype": "(1000000000,)f4", "shape": [1]},
    {"$": "ndarray", "dtype": [["a", "<f4"]], "shape": [2]},
    {"$": "ndarray", "dtype": "<f3", "shape": [2]},
    {"$": "ndarray", "dtype": None, "shape": [1]},
    {"$": "ndarray", "dtype": "<f4", "shape": [-2]},
    {"$": "scalar", "dtype": "<M8", "shape": []},
    {"$": "dataclass", "type": "Popen", "fields": {"args": "true"}},
    {"$": "dataclass", "type": "LinearProbe", "fields": {"weight": 1}},
    {"$": "dataclass", "type": "LinearProbe", "fields": []},
    PROBE,
    {"$": "model", "description": {"name": "minilm"}, "tensors": {"$": "dict", "items": []}},
    {"$": "model", "description": {"name": "/etc"}, "tensors": {"$": "dict", "items": []}},
    {"$": "opaque", "type": "x"},
]


@pytest.mark.parametrize("item", BAD_ITEMS, ids=lambda item: str(item)[:60])
def test_a_value_that_nobody_encoded_is_refused(item):
    for stream in (
        frame(in_message(item), [8], b"\0" * 8),
        frame(in_message({"$": "list", "items": [item]}), [8], b"\0" * 8),
    ):
        with pytest.raises(WireError):
            read_frame(io.BytesIO(stream))


def test_a_buffer_is_used_once_so_that_a_small_frame_cannot_fill_the_memory():
    raw = b"\0" * 8
    twice = {"$": "list", "items": [TENSOR, TENSOR]}
    with pytest.raises(WireError):
        read_frame(io.BytesIO(frame(in_message(twice), [8], raw)))
    with pytest.raises(WireError):
        read_frame(io.BytesIO(frame(in_message({**TENSOR, "shape": [0, 2**62, 2**62]}), [0], b"")))


def test_booleans_hold_zero_or_one_whatever_the_bytes_say():
    for kind, dtype in (("tensor", "torch.bool"), ("ndarray", "|b1")):
        item = {"$": kind, "dtype": dtype, "shape": [3]}
        value = read_frame(io.BytesIO(frame(in_message(item), [3], b"\0\7\xff")))["value"]
        assert int(value.sum()) == 2


GOOD = frame(in_message(TENSOR), [8], b"\0" * 8)
HUGE = 2**64 - 1


@pytest.mark.parametrize(
    "stream",
    [
        struct.pack(">QQ", HUGE, 0),
        struct.pack(">QQ", 0, HUGE),
        struct.pack(">QQ", HUGE, HUGE),
        struct.pack(">QQ", encoding.MAX_TEXT_BYTES + 1, 0) + b" " * 100,
        struct.pack(">QQ", 0, 0),
        struct.pack(">QQ", 4, 0) + b"nope",
        struct.pack(">QQ", 4, 0) + b"null",
        struct.pack(">QQ", 4, 0) + b"\xff\xfe\xff\xff",
        struct.pack(">QQ", 200_000, 0) + b"[" * 200_000,
        struct.pack(">QQ", 10_000, 0) + b"9" * 10_000,
        frame(1),
        frame("text"),
        frame({"$": "list", "items": []}),
        frame(in_message(TENSOR), [7], b"\0" * 8),
        frame(in_message(TENSOR), [-8, 16], b"\0" * 8),
        frame(in_message(TENSOR), [True] * 8, b"\0" * 8),
        frame(in_message(TENSOR), [8.0], b"\0" * 8),
        frame(in_message(TENSOR), ["8"], b"\0" * 8),
        frame(in_message(TENSOR), [0, 8], b"\0" * 8),
        frame(in_message(TENSOR)),
        frame(in_message(1), lengths=[])[:-1] + b" ",
    ],
    ids=lambda stream: ascii(stream[:40]),
)
def test_a_frame_that_is_wrong_is_refused(stream):
    with pytest.raises(WireError):
        read_frame(io.BytesIO(stream))


def test_a_frame_that_lies_about_its_lengths_is_refused():
    for lengths in ({"a": 1}, "8", 8, None, {}):
        text = json.dumps({"data": in_message(TENSOR), "lengths": lengths}).encode()
        with pytest.raises(WireError):
            read_frame(io.BytesIO(struct.pack(">QQ", len(text), 8) + text + b"\0" * 8))


def test_json_within_the_depth_that_python_parses_is_refused_as_well():
    data = 1
    for _ in range(200):
        data = {"$": "list", "items": [data]}
    with pytest.raises(WireError, match="nested"):
        read_frame(io.BytesIO(frame(in_message(data))))


def test_a_frame_that_ends_early_raises_eof_wherever_it_ends():
    assert read_frame(io.BytesIO(GOOD))["value"].shape == (2,)
    for length in range(len(GOOD)):
        with pytest.raises(EOFError):
            read_frame(io.BytesIO(GOOD[:length]))


def test_mutated_frames_are_refused_or_read_but_nothing_else_happens():
    """Bytes flipped, cut, doubled and swapped for JSON's own tokens, 6000 times."""
    rng = random.Random(SEED)
    stream = io.BytesIO()
    probe = LinearProbe(weight=torch.ones(3), bias=torch.tensor(0.0))
    values = [
        torch.ones(2, 3),
        np.arange(3),
        {"a": (1, 2.5, math.nan)},
        probe,
        {1, 2},
        torch.float32,
        10**30,
        np.float32(1),
        len,
    ]
    write_frame(stream, {"kind": "value", "value": values})
    whole = stream.getvalue()
    n_text = struct.unpack(">QQ", whole[:16])[0]
    tokens = [
        b"-1",
        b"0",
        b"1e999",
        b"null",
        b"true",
        b'"$"',
        b"[]",
        b"{}",
        b"99999999999999999999",
        b'"list"',
        b'"tensor"',
        b"NaN",
    ]
    outcomes = {"read": 0, "refused": 0}
    start = time.perf_counter()
    for _ in range(6000):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 1, 2, 8))):
            at = rng.randrange(len(data))
            match rng.randrange(4):
                case 0:
                    data[at] ^= 1 << rng.randrange(8)
                case 1:
                    del data[at : at + rng.randrange(1, 20)]
                case 2:
                    data[at:at] = data[at : at + rng.randrange(1, 20)]
                case 3:
                    data[at : at + rng.randrange(4)] = rng.choice(tokens)
            data = data or bytearray(1)
        if rng.random() < 0.7:  # let the text have its right length again, so that more gets past the prefix
            data[:16] = struct.pack(">QQ", max(0, n_text + len(data) - len(whole)), len(whole) - n_text - 16)
        try:
            read_frame(io.BytesIO(bytes(data)))
            outcomes["read"] += 1
        except (WireError, EOFError):
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 100, outcomes
    assert time.perf_counter() - start < 30


def test_encoding_is_json_and_bytes_only():
    data, buffers = encode([torch.ones(2), {"a": np.ones(2)}, (1, {2})])
    json.dumps(data, allow_nan=False)
    assert all(type(buffer) is bytes for buffer in buffers)
    assert type(decode(data, buffers)) is list
