"""What the checks are written with: the exercise mark, and expectations whose messages name the likely mistake."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import Tensor

from utils.course.encoding import Opaque
from utils.course.student import StudentError

exercise = pytest.mark.exercise  # @exercise("pool_mean", points=1); 0 points, or none given, for a pure contract


def expect_tensor(
    value: object, axes: str, shape: Sequence[int], *, dtype: torch.dtype = torch.float32, name: str = "the result"
) -> None:
    """Fail unless a value is a finite dense tensor of this shape and dtype; say which of these it is not.

    Args:
        axes: names of the axes, such as "layer batch d_model"; "" for a scalar.
        shape: their lengths.
    """
    wanted = f"a tensor [{axes}] of shape {tuple(shape)}" if axes else "a tensor with a single number"
    assert isinstance(value, Tensor), f"{name} is {describe(value)}, expected {wanted}"
    got, want = tuple(value.shape), tuple(shape)
    if got != want:
        hint = ""
        if sorted(got) == sorted(want):
            hint = ". The axes are in another order"
        elif len(got) == len(want) + 1 and sorted(got) == sorted((*want, 1)):
            hint = ". There is one axis of length 1 too many: squeeze it"
        elif len(got) < len(want):
            hint = f". {len(want) - len(got)} axis is missing" if len(want) - len(got) == 1 else ". Axes are missing"
        elif len(got) == len(want):
            wrong = [name for name, g, w in zip(axes.split(), got, want, strict=True) if g != w]
            hint = f". Look at the axis `{wrong[0]}`"
        raise AssertionError(f"{name} has shape {got}, expected {wanted}{hint}")
    assert value.dtype == dtype, f"{name} has dtype {value.dtype}, expected {dtype}"
    if value.is_floating_point():
        n_bad = int((~torch.isfinite(value)).sum())
        assert n_bad == 0, f"{name} holds {n_bad} NaN or infinite numbers of {value.numel()}. A division by zero?"


def expect_number(value: object, *, name: str = "the result") -> float:
    """Fail unless a value is one finite number, as a Python number or a tensor that holds a single one; return it."""
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    assert is_number, f"{name} is {describe(value)}, expected a single number"
    assert np.isfinite(value), f"{name} is {value}, expected a finite number. A division by zero?"
    return float(value)


def expect_value_error(call: Callable[[], object], case: str, words: tuple[str, ...], cure: str) -> None:
    """Fail unless a call raises a ValueError whose text holds all of these words."""
    with pytest.raises(StudentError) as caught:
        value = call()
        raise AssertionError(f"{case}: you returned {describe(value)}, expected a ValueError. {cure}")
    text = str(caught.value).split("  (line")[0]  # without the quoted source line
    if caught.value.type_name != "ValueError":
        raise AssertionError(f"{case}: expected a ValueError, got: {text}. {cure}")
    missing = [word for word in words if word not in text]
    assert not missing, f"{case}: the ValueError says nothing about {', '.join(missing)}: {text}. {cure}"


def describe(value: object) -> str:
    """A value in a few words: 'a numpy array of shape (2, 3)', 'a list of 4', 'a function'."""
    if isinstance(value, Opaque):
        return _with_article(value.type_name)
    if isinstance(value, np.ndarray):
        return f"a numpy array of shape {value.shape}"
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, (list, tuple, dict)):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, (bool, int, float)):
        return f"the {type(value).__name__} {value}"
    return _with_article(type(value).__name__)


def _with_article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


@contextmanager
def hint(text: str) -> Iterator[None]:
    """Add a likely mistake to the message if the submitted function raises in here."""
    try:
        yield
    except StudentError as error:
        if error.kind != "exception":
            raise
        raise StudentError(error.kind, f"{error}. {text}", error.type_name, error.line) from None


def explain(found: Tensor, mistakes: Mapping[str, Tensor | float], otherwise: str, *, atol: float = 1e-3) -> str:
    """What led to a wrong result: the first of these that it equals."""
    return next((why for why, wrong in mistakes.items() if close(found, torch.as_tensor(wrong), atol=atol)), otherwise)


def likely(got: float, mistakes: Mapping[str, float], otherwise: str, atol: float = 1e-3) -> str:
    """What led to a wrong number: the nearest of these, if it is near."""
    near = [(abs(got - wrong), why) for why, wrong in mistakes.items() if abs(got - wrong) < atol]
    return min(near)[1] if near else otherwise


def numbers(values: Tensor) -> str:
    """A short tensor in a message."""
    return str([round(value, 3) + 0 for value in values.flatten().tolist()])  # + 0: no -0.0


def close(a: Tensor, b: Tensor, *, atol: float = 1e-4) -> bool:
    """Whether two tensors of one shape agree within atol everywhere (1e-4: float32 sums in another order)."""
    return a.shape == b.shape and bool(torch.allclose(a.float(), b.float(), rtol=1e-4, atol=atol))


def off(found: Tensor, expected: Tensor) -> float:
    """Distance of two tensors, as a share of the expected one's length."""
    return float((found - expected).norm() / expected.norm())
