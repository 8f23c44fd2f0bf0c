"""Types of functions whose result is a `Masked` or an array as their input is, for editors and type checkers."""

from collections.abc import Callable, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, SupportsIndex, TypeVar, overload, runtime_checkable

from jaxtyping import Array, ArrayLike

from ..core.masked import Masked

Axis = SupportsIndex | Sequence[SupportsIndex] | None
AnyInput = Masked | ArrayLike

A = TypeVar("A", contravariant=True)
P = ParamSpec("P")


@runtime_checkable
class SameKind(Protocol[A, P]):
    """A `Masked` for a `Masked`, an array for an array."""

    @overload
    def __call__(self, x: Masked, /, *args: P.args, **kwargs: P.kwargs) -> Masked: ...
    @overload
    def __call__(self, x: A, /, *args: P.args, **kwargs: P.kwargs) -> Array: ...


@runtime_checkable
class ArrayForArray(Protocol[A, P]):
    """An array for an array; for a `Masked` either, as its mask has axes left or not."""

    @overload
    def __call__(self, x: A, /, *args: P.args, **kwargs: P.kwargs) -> Array: ...
    @overload
    def __call__(self, x: Masked | A, /, *args: P.args, **kwargs: P.kwargs) -> Masked | Array: ...


@runtime_checkable
class Reduction(Protocol):
    """An array over all axes and for an array, else either."""

    @overload
    def __call__(self, x: AnyInput, axis: None = None, *, keepdims: bool = False) -> Array: ...
    @overload
    def __call__(self, x: ArrayLike, axis: Axis = None, *, keepdims: bool = False) -> Array: ...
    @overload
    def __call__(self, x: AnyInput, axis: Axis = None, *, keepdims: bool = False) -> Masked | Array: ...


@runtime_checkable
class Merge(Protocol[P]):
    """A `Masked` if all inputs are, an array if all inputs are."""

    @overload
    def __call__(self, xs: Sequence[Masked], /, *args: P.args, **kwargs: P.kwargs) -> Masked: ...
    @overload
    def __call__(self, xs: Sequence[ArrayLike], /, *args: P.args, **kwargs: P.kwargs) -> Array: ...
    @overload
    def __call__(self, xs: Sequence[AnyInput], /, *args: P.args, **kwargs: P.kwargs) -> Masked | Array: ...


def same_kind(function: Callable[Concatenate[Masked | A, P], Any]) -> SameKind[A, P]:
    """Says that a function returns a `Masked` for a `Masked` and an array for an array; it stays as it is."""
    return function


def array_for_array(function: Callable[Concatenate[Masked | A, P], Any]) -> ArrayForArray[A, P]:
    """Says that a function returns an array for an array; it stays as it is."""
    return function


def reduction(function: Callable[..., Any]) -> Reduction:
    """Says that a function returns an array over all axes; it stays as it is."""
    return function


def merged(function: Callable[Concatenate[Any, P], Any]) -> Merge[P]:
    """Says that a function of several inputs returns a `Masked` if all inputs are one; it stays as it is."""
    return function
