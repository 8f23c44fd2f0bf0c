"""Compiled programs, cached by what they compute, so that an eager call that is traced again is not compiled again."""

import collections
import enum
import functools
import threading
import weakref
from collections.abc import Callable, Hashable
from types import FunctionType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Trace, Tracer
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, jaxpr_as_fun

_MOST_PROGRAMS = 512
_SMALL = 256  # entries of an array
_BOOKKEEPING = ("Store", "EqualStore")  # JAX creates these at each trace; a rule records its results there


def run_kept(function: Callable[..., Any], *args: Any) -> Any:
    """`function(*args)`, compiled once for all functions that trace to the same program.

    JAX's own eager loops and branches compile again at each call, because their body is a new function each time.
    Here the function is traced at each call, so nothing that it reads is stale, and the compiled form of the resulting
    program is looked up. Inside `jax.jit` and other traces the function is just called.

    Args:
        function: takes and returns pytrees of arrays. It may close over arrays, including those of a gradient.
        *args: pytrees of arrays.

    Returns:
        What the function returns.
    """
    leaves, structure = jax.tree.flatten(args)
    if is_within_program():
        return function(*args)
    found: dict[str, Any] = {}

    def flat(*leaves: Any) -> list[Any]:
        results, found["structure"] = jax.tree.flatten(function(*structure.unflatten(leaves)))
        return results

    program = jax.make_jaxpr(flat)(*leaves)
    run = kept_programs.get(key_of(program), lambda: _compiled(program))
    return found["structure"].unflatten(run(program.consts, leaves))


def is_within_program() -> bool:
    """Whether a larger program is being traced, which will be compiled as a whole."""
    return isinstance(jnp.zeros(()), Tracer)


def _compiled(program: ClosedJaxpr) -> Callable[..., Any]:
    body = program.jaxpr
    return jax.jit(lambda constants, leaves: jaxpr_as_fun(ClosedJaxpr(body, constants))(*leaves))


class Kept:
    """A cache of programs by key, which discards the least recently used one.

    Args:
        most: the maximum number of programs.
    """

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, threading.Lock()
        self._programs: collections.OrderedDict[Hashable, Any] = collections.OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The program under this key, made if there is none."""
        with self._lock:
            if key in self._programs:
                self._programs.move_to_end(key)
                return self._programs[key]
        made = make()
        with self._lock:
            made = self._programs.setdefault(key, made)
            while len(self._programs) > self._most:
                self._programs.popitem(last=False)
            return made

    def __len__(self) -> int:
        return len(self._programs)


kept_programs = Kept(_MOST_PROGRAMS)


class Key:
    """A description of something, whose hash is computed once."""

    __slots__ = ("__weakref__", "_hash", "parts")

    def __init__(self, parts: Hashable) -> None:
        self.parts, self._hash = parts, hash(parts)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Key) and self._hash == other._hash and self.parts == other.parts)


class _Itself:
    """An object that is equal only to itself."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value  # keeps it alive, so that its id is not reused

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self.value is other.value


def key_of(program: Any) -> Key:
    """A key of a traced program: two programs with equal keys are interchangeable.

    It records which primitives are applied to what, with which parameters, and the shapes and dtypes of the arguments.
    Constants of the whole program are compared by shape and dtype, since they can be passed in as arguments; those of
    an inner program by their entries if they are few, else by identity. A derivative rule is compared by its code and
    by what it closes over.
    """
    return Key((_describe(program.jaxpr), tuple(map(_aval, program.jaxpr.constvars))))


_described: weakref.WeakKeyDictionary[Any, Key] = weakref.WeakKeyDictionary()


def _describe_jaxpr(jaxpr: Any) -> Key:
    """The same `jax.jit` function gives the same jaxpr object again, which is described only once."""
    key = _described.get(jaxpr)
    if key is None:
        key = _described[jaxpr] = Key(_parts(jaxpr))
    return key


def _parts(jaxpr: Any) -> Hashable:
    numbers: dict[Any, int] = {}

    def atom(x: Any) -> Hashable:
        if isinstance(x, Literal):
            return _literal(x)
        return numbers.setdefault(x, len(numbers))

    def binder(var: Any) -> Hashable:
        return numbers.setdefault(var, len(numbers)), _aval(var)

    inputs = tuple(map(binder, (*jaxpr.constvars, *jaxpr.invars)))
    equations = tuple(
        (
            eqn.primitive,
            tuple(map(atom, eqn.invars)),
            tuple((name, _describe(value)) for name, value in eqn.params.items()),
            tuple(map(binder, eqn.outvars)),
        )
        for eqn in jaxpr.eqns
    )
    return inputs, equations, tuple(map(atom, jaxpr.outvars))


def _literal(x: Any) -> Hashable:
    value = np.asarray(x.val)
    return "literal", _aval(x), value.tobytes() if value.dtype != object else repr(x.val)


def _aval(var: Any) -> Hashable:
    return var.aval


def _describe_array(array: Any) -> Hashable:
    """A small array by its contents, such as the tables of a solver; a larger one by identity."""
    is_small = not isinstance(array, Tracer) and array.size <= _SMALL and array.dtype != object
    if not is_small or jax.dtypes.issubdtype(array.dtype, jax.dtypes.extended):
        return _Itself(array)
    return type(array), array.shape, array.dtype, np.asarray(array).tobytes()


@functools.singledispatch
def _describe(value: Any) -> Hashable:
    """A hashable description of a parameter, for comparison."""
    if isinstance(value, Jaxpr):
        return _describe_jaxpr(value)
    if isinstance(value, ClosedJaxpr):
        return _describe_jaxpr(value.jaxpr), tuple(map(_describe, value.consts))
    if isinstance(value, (np.ndarray, np.generic, jax.Array)):
        return _describe_array(value)
    if type(value) is object or isinstance(value, Trace) or type(value).__name__ in _BOOKKEEPING:
        return type(value)
    if type(value).__name__ == "Unhashable":
        return _describe(value.val)
    if type(value).__name__ == "WrappedFun":
        return "wrapped", _describe(value.f), _describe(value.transforms), _describe(value.in_type)
    has_equality = type(value).__eq__ is not object.__eq__ and type(value).__hash__ is not None
    if has_equality or isinstance(value, (type, enum.Enum)):
        try:
            hash(value)
        except TypeError:
            return _Itself(value)
        return type(value), value
    return _Itself(value)


@_describe.register(type(None))
@_describe.register(bool)
@_describe.register(int)
@_describe.register(float)
@_describe.register(complex)
@_describe.register(str)
@_describe.register(bytes)
def _(value: Any) -> Hashable:
    return type(value), repr(value)  # by `repr`: 1, 1.0 and True are equal, 0.0 and -0.0 too, NaN to nothing


@_describe.register(tuple)
@_describe.register(list)
def _(value: Any) -> Hashable:
    return type(value), tuple(map(_describe, value))


@_describe.register
def _(value: dict) -> Hashable:
    return dict, tuple((_describe(key), _describe(item)) for key, item in value.items())


@_describe.register
def _(value: functools.partial) -> Hashable:
    return functools.partial, _describe(value.func), _describe(value.args), _describe(value.keywords)


@_describe.register
def _(value: FunctionType) -> Hashable:
    """A derivative rule, or JAX's wrapper around one: two functions with the same code may be the same rule."""
    cells = []
    for cell in value.__closure__ or ():
        try:
            cells.append(cell.cell_contents)
        except ValueError:  # not yet assigned
            return _Itself(value)
    if any(cell is value for cell in cells):
        return _Itself(value)
    own = (value.__defaults__, value.__kwdefaults__, cells)
    return FunctionType, value.__code__, _Itself(value.__globals__), tuple(map(_describe, own))
