"""A submission as the checks see it: `student.pool_mean(acts, mask)` calls the submitted `pool_mean`.

Behind a `Student` stands a namespace in this process (the live `check`, quick tests) or a process that holds the
namespace (grading). Both give the same outcome and the same words: see `calls.run_call`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor


class StudentError(AssertionError):
    """The submitted function did not return a value: `kind` says why, `type_name` which exception it raised."""

    def __init__(self, kind: str, message: str, type_name: str = "", line: str = ""):
        super().__init__(message)
        self.kind, self.type_name, self.line = kind, type_name, line


@dataclass(frozen=True)
class Outcome:
    """What one call did. `kind` is 'value' or the reason why there is none; `line` is the source line of an error."""

    kind: str
    message: str = ""
    value: Any = None
    type_name: str = ""
    line: str = ""

    def result(self) -> Any:
        """The value.

        Raises:
            StudentError: If there is none.
        """
        if self.kind != "value":
            raise StudentError(self.kind, self.message, self.type_name, self.line)
        return self.value


class Student:
    """Exercises as attributes: `student.pool_mean(acts, mask)` calls the submitted `pool_mean`."""

    def __init__(self, call):
        self._call = call

    def __getattr__(self, name: str) -> "Function":
        if name.startswith("_"):
            raise AttributeError(name)
        return Function(name, self._call)


@dataclass(frozen=True)
class Function:
    """One submitted function, wherever it lives."""

    name: str
    call: Any

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.call(self.name, args, kwargs, ()).result()


def value_and_grad(function: Function, *args: Any, wrt: int | Sequence[int]) -> tuple[Any, tuple[Tensor, ...]]:
    """Value of a submitted scalar function, and its gradients with respect to the arguments at the positions `wrt`.

    The gradient is taken where the function lives, since graphs do not cross processes.
    """
    positions = (wrt,) if isinstance(wrt, int) else tuple(wrt)
    return function.call(function.name, args, {}, positions).result()
