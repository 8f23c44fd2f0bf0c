"""Keeps Python from choosing one branch for all rows by a length that tracing does not know.

JAX's symbolic sizes answer `==` with False and `if` with True where they cannot know, since JAX itself keeps them in
caches. For the lengths of `jm.vmap` that would pick one branch for rows of all lengths, so code outside JAX gets an
error instead. Symbolic sizes of other scopes, such as those of `jax.export`, are left alone.
"""

import contextlib
import dis
import math
import numbers
import operator
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

import jax
import numpy as np
from jax import export

from .errors import refuse_question

_Dimension: Any = type(export.symbolic_shape("a")[0])
_MAY_ASK = ("jax", "jaxlib", "jmask")
_COUNTS = ("flax.core.lift",)  # it makes a set of sizes to check that they are equal, and raises if not
_BRANCHES = ("_cofactor_solve",)  # in JAX: the gradient of `det` checks for size 1, and is wrong if it is unknown
_MOST_FRAMES = 8  # between the comparison of two JAX objects and that of their sizes
_CALLS_BACK = ("tree_map", "tree_reduce", "<genexpr>")  # in `jax.tree`: they call functions of the user
_FOR_OTHERS = ("beartype", "jaxtyping", "numpy")
_STANDARD = os.path.dirname(os.__file__) + os.sep
_PACKAGES = (os.sep + "site-packages" + os.sep, os.sep + "dist-packages" + os.sep)
# Names of functions that look up a key and do not report it if it is missing.
_LOOKUPS = frozenset(
    (
        "Counter",
        "contains",
        "count",
        "dict",
        "difference",
        "discard",
        "frozenset",
        "fromkeys",
        "get",
        "getitem",
        "hash",
        "intersection",
        "intersection_update",
        "isdisjoint",
        "issubset",
        "issuperset",
        "itemgetter",
        "pop",
        "remove",
        "set",
        "setdefault",
        "symmetric_difference",
        "union",
        "update",
        "__contains__",
        "__getitem__",
        "__hash__",
    )
)


class Scope(export.SymbolicScope):
    """The scope that the lengths of `jm.vmap` belong to.

    Outside a trace, JAX finds them in its caches, next to known sizes, and may compare them freely.
    """

    def __init__(self, rules: Sequence[str] = ()) -> None:
        self._lock, self._num_traces = threading.Lock(), 0
        super().__init__(rules)

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Context in which a function is traced, in this thread or in one that it starts."""
        with self._lock:
            self._num_traces += 1
        try:
            yield
        finally:
            with self._lock:
                self._num_traces -= 1

    @property
    def is_guarded(self) -> bool:
        """Whether a function is being traced."""
        return self._num_traces > 0


def install() -> None:
    """Makes lengths of `jm.vmap` raise for questions that have no single answer for all rows."""
    if "__bool__" not in vars(_Dimension):
        for name, method in _make_methods().items():
            setattr(_Dimension, name, method)


def _make_methods() -> dict[str, Any]:
    equals, differs, hashes, raises = (getattr(_Dimension, f"__{name}__") for name in ("eq", "ne", "hash", "pow"))

    def eq(self: Any, other: Any) -> Any:
        if not _is_guarded(self) or _is_of_jax(sys._getframe(1)):
            return equals(self, other)
        return _compare(self, other, "==")

    def ne(self: Any, other: Any) -> Any:
        if not _is_guarded(self) or _is_of_jax(sys._getframe(1)):
            return differs(self, other)
        return _compare(self, other, "!=")

    def truth(self: Any) -> bool:
        if not _is_guarded(self) or _is_of_jax(sys._getframe(1)):
            return True
        return _compare(self, 0, "!=", f"the truth of `{self}`")

    def hashed(self: Any) -> int:
        if _is_guarded(self) and _looks_up(_asker(sys._getframe(1))):
            raise refuse_question(f"whether a set or a dictionary holds `{self}`")
        return hashes(self)

    def power(self: Any, exponent: Any, modulo: Any = None) -> Any:
        if _is_guarded(self) and isinstance(exponent, (int, float)) and not _is_whole(exponent):
            return jax.numpy.power(self.__jax_array__() * 1.0, exponent)
        return raises(self, exponent, modulo)

    return {"__eq__": eq, "__ne__": ne, "__bool__": truth, "__hash__": hashed, "__pow__": power}


def _is_guarded(dim: Any) -> bool:
    return type(dim.scope) is Scope and dim.scope.is_guarded


def _is_whole(exponent: int | float) -> bool:
    return exponent >= 0 and exponent == int(exponent)


def _compare(dim: Any, other: Any, sign: str, question: str | None = None) -> Any:
    """Whether the two are equal, or not equal, for all lengths.

    Raises:
        SymbolicLengthError: they are for some lengths and not for others.
    """
    if isinstance(other, jax.Array):
        return getattr(operator, {"==": "eq", "!=": "ne"}[sign])(dim.__jax_array__(), other)
    if isinstance(other, np.ndarray) and other.ndim:
        return np.array([_compare(dim, entry, sign) for entry in other.flat], bool).reshape(other.shape)
    number = _as_size(other)
    if number is None:
        return sign == "!="
    answer = _are_equal(dim, number)
    if answer is None:
        raise refuse_question(question or f"`{dim} {sign} {other}`")
    return answer == (sign == "==")


def _as_size(other: Any) -> Any:
    """The object as a number that a length could equal; None if it is none."""
    if isinstance(other, _Dimension):
        return other
    if isinstance(other, np.ndarray):
        other = other.item()
    if isinstance(other, (complex, np.complexfloating)):
        other = float(other.real) if other.imag == 0 else math.nan
    if isinstance(other, numbers.Real) and not isinstance(other, numbers.Integral):
        number = float(other)
        return int(number) if number.is_integer() and abs(number) < 2**53 else None
    try:
        return operator.index(other)
    except Exception:  # whatever an object that is not an integer raises
        return None


def _are_equal(dim: Any, other: Any) -> bool | None:
    if isinstance(other, _Dimension) and other.scope is not dim.scope:
        return None
    if dim == other:
        return True
    if _is_known(operator.gt, dim, other) or _is_known(operator.lt, dim, other):
        return False
    if _is_known(operator.ge, dim, other) and _is_known(operator.le, dim, other):
        return True
    return None


def _is_known(compare: Any, dim: Any, other: Any) -> bool:
    try:
        return compare(dim, other)
    except Exception:  # JAX's error for an inconclusive comparison, whose class is private
        return False


def _is_of_jax(frame: FrameType) -> bool:
    """Whether JAX or jmask asks; they know that False may mean "unknown"."""
    frame = _asker(frame)
    name = frame.f_globals.get("__name__", "")
    if frame.f_code.co_name in _BRANCHES or (name.endswith(".tree_util") and frame.f_code.co_name in _CALLS_BACK):
        return False
    return name.partition(".")[0] in _MAY_ASK and not _is_for_user(frame)


def _is_for_user(frame: FrameType) -> bool:
    """Whether the user compares two JAX objects, which compare sizes: `jax.typeof(x) == jax.typeof(y)`."""
    found: FrameType | None = frame
    for _ in range(_MOST_FRAMES):
        if found is None or found.f_globals.get("__name__", "").partition(".")[0] not in _MAY_ASK:
            return False
        if found.f_code.co_name in ("__eq__", "__ne__"):
            outer = _asker(found.f_back) if found.f_back else found
            return outer.f_globals.get("__name__", "").partition(".")[0] not in _MAY_ASK
        found = found.f_back
    return False


def _asker(frame: FrameType) -> FrameType:
    """The frame that asks, past the standard library, NumPy and type checkers, which ask on behalf of others."""
    found: FrameType | None = frame
    while found is not None and _asks_for_others(found):
        found = found.f_back
    return found or frame


def _asks_for_others(frame: FrameType) -> bool:
    name = frame.f_globals.get("__name__", "").partition(".")[0]
    if name in _MAY_ASK:
        return False
    file = frame.f_code.co_filename
    return (
        name in _FOR_OTHERS
        or file.startswith("<@beartype")
        or (file.startswith((_STANDARD, "<frozen ")) and not any(p in file for p in _PACKAGES))
    )


def _looks_up(frame: FrameType) -> bool:
    """Whether code outside JAX hashes a length in order to look it up, as far as can be seen.

    A call may also be to a jitted function or a cache, which give the same result with a hash as without.
    """
    code = frame.f_code
    if _is_of_jax(frame) or frame.f_globals.get("__name__") in _COUNTS:
        return False
    if not dis.opname[code.co_code[frame.f_lasti]].startswith("CALL"):
        return True
    values = [(frame.f_locals | frame.f_globals).get(name) for name in (*code.co_names, *frame.f_locals)]
    names = {
        getattr(value, "__name__", "") for value in values if callable(value) and not hasattr(value, "__wrapped__")
    }
    return not _LOOKUPS.isdisjoint({*code.co_names, *filter(lambda name: isinstance(name, str), names)})
