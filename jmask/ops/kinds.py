"""Types that tell an editor whether a function returns a `Masked` or an array, given its input."""

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
    """An array for an array; for a `Masked`, either one, depending on whether any masked axes remain."""

    @overload
    def __call__(self, x: A, /, *args: P.args, **kwargs: P.kwargs) -> Array: ...
    @overload
    def __call__(self, x: Masked | A, /, *args: P.args, **kwargs: P.kwargs) -> Masked | Array: ...


@runtime_checkable
class Reduction(Protocol):
    """An array if all axes are reduced or the input is an array, otherwise either one."""

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
    """Declares that a function returns a `Masked` for a `Masked` and an array for an array; it is unchanged."""
    return function


def array_for_array(function: Callable[Concatenate[Masked | A, P], Any]) -> ArrayForArray[A, P]:
    """Declares that a function returns an array for an array; it is unchanged."""
    return function


def reduction(function: Callable[..., Any]) -> Reduction:
    """Declares that a function returns an array if all axes are reduced; it is unchanged."""
    return function


def merged(function: Callable[Concatenate[Any, P], Any]) -> Merge[P]:
    """Declares that a function of several inputs returns a `Masked` if all inputs are; it is unchanged."""
    return function
