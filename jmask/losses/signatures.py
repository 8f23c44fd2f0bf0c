"""Types that tell an editor the options of losses, and how `divide` and `reduction` decide what is returned."""

from collections.abc import Callable
from typing import Any, Literal, Protocol, Required, TypedDict, Unpack, overload, runtime_checkable

from jaxtyping import Array

from ..core.masked import Masked
from ..ops.linear import AnyArray
from .accumulator import Mean

Input = Masked | AnyArray


class _Options(TypedDict, total=False):
    sample_weight: Input | None
    mask: Any


class Divided(_Options, total=False):
    """The options that give one number."""

    reduction: Literal["steps", "sequences", "weights", "sum"]
    divide: Literal[True]


class Undivided(_Options, total=False):
    """The options that give a sum and its count."""

    reduction: Literal["steps", "sequences", "weights"]
    divide: Required[Literal[False]]


class Unreduced(_Options, total=False):
    """The options that give a loss for each step."""

    reduction: Required[None]
    divide: Literal[True]


class DividedSequences(_Options, total=False):
    """The options of a loss of whole sequences that give one number."""

    reduction: Literal["sequences", "weights", "sum"]
    divide: Literal[True]


class UndividedSequences(_Options, total=False):
    """The options of a loss of whole sequences that give a sum and its count."""

    reduction: Literal["sequences", "weights"]
    divide: Required[Literal[False]]


@runtime_checkable
class Loss(Protocol):
    """A loss without further options."""

    @overload
    def __call__(self, predictions: Input, targets: Input, **options: Unpack[Divided]) -> Array: ...
    @overload
    def __call__(self, predictions: Input, targets: Input, **options: Unpack[Undivided]) -> Mean: ...
    @overload
    def __call__(self, predictions: Input, targets: Input, **options: Unpack[Unreduced]) -> Masked | Array: ...


@runtime_checkable
class AnyLoss(Protocol):
    """A loss that may have further options, which an editor does not know."""

    @overload
    def __call__(
        self,
        predictions: Input,
        targets: Input,
        *,
        reduction: Literal["steps", "sequences", "weights", "sum"] = "steps",
        divide: Literal[True] = True,
        **options: Any,
    ) -> Array: ...
    @overload
    def __call__(
        self,
        predictions: Input,
        targets: Input,
        *,
        reduction: Literal["steps", "sequences", "weights"] = "steps",
        divide: Literal[False],
        **options: Any,
    ) -> Mean: ...
    @overload
    def __call__(
        self, predictions: Input, targets: Input, *, reduction: None, divide: Literal[True] = True, **options: Any
    ) -> Masked | Array: ...


def plain(function: Callable[..., Any]) -> Loss:
    """Declares that a loss has no further options; it is unchanged."""
    return function
