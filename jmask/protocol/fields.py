"""Hyperparameters, validated at construction: the annotation of a field says what values it accepts.

`units: Size` is a positive integer, `rate: Rate` a probability, `use_bias: bool` a bool. The checks cover `name` and
the fields that jmask's own classes declare, in subclasses too; fields declared by a user's layer are not checked.
"""

import dataclasses
import functools
import math
import operator
import types
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jax.core import Tracer

_OURS = __name__.partition(".")[0]


@dataclasses.dataclass(frozen=True)
class Interval:
    """Marks a number that must lie in an interval."""

    low: float | int = -math.inf
    high: float | int = math.inf
    includes_low: bool = True
    includes_high: bool = True

    def __contains__(self, value: Any) -> bool:
        above = value >= self.low if self.includes_low else value > self.low
        return bool(above and (value <= self.high if self.includes_high else value < self.high))

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"from {self.low:g} on" if self.includes_low else f"above {self.low:g}"
        left, right = "[" if self.includes_low else "(", "]" if self.includes_high else ")"
        return f"in {left}{self.low:g}, {self.high:g}{right}"


@dataclasses.dataclass(frozen=True)
class Known:
    """Marks an option that is looked up by a function, which raises `ValueError` for an unknown one."""

    look_up: Callable[[Any], Any]


class AnyFloat:
    """Marks a number that may be infinite or NaN."""


class IsDtype:
    """Marks a dtype that must be floating-point or complex."""


Size = Annotated[int, Interval(1)]
Count = Annotated[int, Interval(0)]
Number = Annotated[float, AnyFloat()]
NotNegative = Annotated[float, Interval(0)]
Positive = Annotated[float, Interval(0, includes_low=False)]
Rate = Annotated[float, Interval(0, 1)]
RateBelowOne = Annotated[float, Interval(0, 1, includes_high=False)]
Dtype = Annotated[Any, IsDtype()]


class _WrongTypeError(TypeError):
    """The value has another type than the annotation."""


class _WrongValueError(ValueError):
    """The type is right, the value is not."""


def fields_in_order(cls: type) -> list[dataclasses.Field]:
    """The fields of a layer as its signature shows them: options of the class itself before inherited ones."""
    owners: dict[str, tuple[int, int]] = {}
    for depth, owner in reversed(list(enumerate(cls.__mro__))):
        owners |= {name: (depth, i) for i, name in enumerate(vars(owner).get("__annotations__", {}))}
    fields = dataclasses.fields(cls)
    options = sorted((field for field in fields if field.kw_only), key=lambda field: owners[field.name])
    return [*(field for field in fields if not field.kw_only), *options]


def without_marks(annotation: Any) -> Any:
    """An annotation for readers, `units: int`, without the marks for further checks."""
    if get_origin(annotation) is Annotated:
        return get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        return functools.reduce(operator.or_, map(without_marks, get_args(annotation)))
    return annotation


def checked_fields(cls: type) -> tuple[tuple[str, Any], ...]:
    """The fields of a layer that jmask itself annotates, with their annotations."""
    found = {}
    for owner in reversed(cls.__mro__):
        for name in vars(owner).get("__annotations__", {}):
            found[name] = owner
    fields = {field.name: field for field in dataclasses.fields(cls)}
    return tuple(
        (name, fields[name].type)
        for name, owner in found.items()
        if name in fields and owner.__module__.partition(".")[0] == _OURS
    )


def check_fields(layer: Any, fields: Sequence[tuple[str, Any]]) -> None:
    """Raises if a hyperparameter does not match its annotation; NumPy scalars become Python's.

    Raises:
        TypeError: a value has the wrong type.
        ValueError: a value has the right type, but is out of bounds or unknown.
    """
    for name, annotation in fields:
        value = getattr(layer, name)
        try:
            clean = _read(annotation, value)
        except (_WrongTypeError, _WrongValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            said = f": {error}" if str(error) else f" is {_text(annotation)}"
            raise kind(f"`{name}` of `{type(layer).__name__}`{said}; received {value!r}.") from None
        if clean is not value:
            object.__setattr__(layer, name, clean)


def _read(annotation: Any, value: Any) -> Any:
    """The value in the type of its annotation, with NumPy scalars as Python's."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _marked(args[0], args[1:], value)
    if origin in (Union, types.UnionType):
        return _of_union(args, value)
    if origin is Literal:
        return _literal(args, value)
    if origin is Sequence:
        return _sequence(args[0], value)
    if origin is Callable or annotation is Callable:
        if not callable(value):
            raise _WrongTypeError
        return value
    return _simple(annotation, value)


def _simple(annotation: Any, value: Any) -> Any:
    if annotation in (None, type(None)):
        is_right = value is None
    elif annotation is bool:
        is_right = isinstance(value, (bool, np.bool_))
    elif annotation is int:
        is_right = _is_integer(value)
    elif annotation is float:
        value = _float(value)
        if isinstance(value, (int, float)) and not math.isfinite(value):
            raise _WrongValueError
        return value
    elif annotation is str:
        is_right = isinstance(value, str)
    else:  # layers check such fields themselves
        return value
    if not is_right:
        raise _WrongTypeError
    return value.item() if isinstance(value, np.generic) else value


def _is_integer(value: Any) -> bool:
    is_number = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    size: Any = value
    return is_number or export.is_symbolic_dim(size)


def _float(value: Any) -> Any:
    is_array = isinstance(value, (jax.Array, np.ndarray))
    is_scalar = is_array and value.ndim == 0 and jnp.issubdtype(value.dtype, np.floating)
    if is_scalar and isinstance(value, Tracer):
        return value
    is_number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not (is_scalar or is_number):
        raise _WrongTypeError
    number: Any = value
    return number.item() if is_scalar or isinstance(value, np.generic) else value


def _marked(annotation: Any, marks: tuple[Any, ...], value: Any) -> Any:
    for mark in marks:
        if isinstance(mark, IsDtype):
            return _dtype(value)
        if isinstance(mark, Known):
            return _known(mark, annotation, value)
    value = _float(value) if AnyFloat in map(type, marks) else _read(annotation, value)
    is_number = isinstance(value, (int, float))
    for mark in marks:
        if isinstance(mark, Interval):
            if isinstance(value, Tracer):
                raise _WrongTypeError("it is a number that is known while the program is traced")
            if is_number and value not in mark:
                raise _WrongValueError
    return value


def _dtype(value: Any) -> Any:
    try:
        is_right = value is not None and jnp.issubdtype(jnp.dtype(value), jnp.inexact)
    except TypeError:
        is_right = False
    if not is_right:
        raise _WrongTypeError
    return value


def _known(mark: Known, annotation: Any, value: Any) -> Any:
    _read(annotation, value)
    if isinstance(value, type):
        raise _WrongTypeError("it is a function, not a class of them")
    try:
        mark.look_up(value)
    except ValueError as error:
        raise _WrongValueError(str(error).rstrip(".")) from None
    return value


def _of_union(options: tuple[Any, ...], value: Any) -> Any:
    wrong = _WrongTypeError()
    for option in options:
        try:
            return _read(option, value)
        except _WrongTypeError:
            continue
        except _WrongValueError as error:
            wrong = error
    raise wrong


def _literal(options: tuple[Any, ...], value: Any) -> Any:
    if any(type(value) is type(option) and value == option for option in options):
        return value
    raise _WrongValueError if type(value) in map(type, options) else _WrongTypeError


def _sequence(item: Any, value: Any) -> Any:
    if item is Any:
        return value
    is_array = isinstance(value, np.ndarray) and value.ndim == 1
    if not is_array and not isinstance(value, (list, tuple, range)):
        raise _WrongTypeError
    items = [_read(item, part) for part in value]
    is_changed = is_array or any(a is not b for a, b in zip(items, value, strict=True))
    return tuple(items) if is_changed else value


def _text(annotation: Any) -> str:
    """An annotation in words."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        if any(isinstance(mark, IsDtype) for mark in args):
            return "a dtype of floating-point numbers"
        if args == get_args(Size):
            return "a positive integer"
        if args == get_args(Rate) or args == get_args(RateBelowOne):
            return f"a probability {args[1]}"
        intervals = [mark for mark in args[1:] if isinstance(mark, Interval)]
        kind = "a number" if args[0] is float and AnyFloat in map(type, args) else _text(args[0])
        return " ".join([kind, *map(str, intervals)])
    if origin in (Union, types.UnionType):
        return " or ".join(_text(option) for option in args)
    if origin is Literal:
        return " or ".join(map(repr, args))
    if origin is Sequence:
        return f"a tuple or list, of which each item is {_text(args[0])}"
    if origin is Callable or annotation is Callable:
        return "a function"
    words = {bool: "True or False", int: "an integer", float: "a finite number", str: "a string", type(None): "None"}
    return words.get(annotation, getattr(annotation, "__name__", str(annotation)))
