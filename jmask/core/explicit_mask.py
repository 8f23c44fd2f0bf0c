"""Explicit masks, which override the mask attached to a `Masked`."""

from typing import Any

from .checks import check_mask
from .masked import Masked, values_of
from .segment_ids import check_not_packed


class _NoMask:
    """The explicit absence of a mask."""

    def __repr__(self) -> str:
        return "jm.NO_MASK"

    def __reduce__(self) -> str:
        return "NO_MASK"  # a singleton: copies and pickles are the same object


NO_MASK = _NoMask()


def override_mask(x: Any, mask: Any, caller: str, name: str) -> Any:
    """`x` under an explicit mask, which replaces the attached one.

    Args:
        x: a `Masked` or an array.
        mask: bool, its shape a prefix of the values' shape; `NO_MASK` removes the attached mask, None leaves it.
        caller: where the mask was passed, for errors: a layer's path or a function.
        name: what the mask belongs to, for errors.

    Returns:
        `x` itself, its values without a mask, or a `Masked`.

    Raises:
        TypeError: the mask is not bool.
        ValueError: the mask does not fit the values, or the rows are packed and the mask differs from theirs.
    """
    if mask is None:
        return x
    if mask is NO_MASK:
        return values_of(x)
    if getattr(x, "segment_ids", None) is not None and mask is x.mask:
        return x
    remedy = "Set the segment ids instead, `x.with_segment_ids(ids)`; `mask=jm.NO_MASK` removes mask and segment ids."
    check_not_packed(x, f"{caller}: another mask for {name}", remedy)
    values = values_of(x)
    try:
        check_mask(values, mask)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{caller}: the mask of {name} does not fit it. {error}") from None
    return Masked(values, mask)
