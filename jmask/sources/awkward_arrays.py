"""Awkward arrays, read through the methods of their layouts."""

from typing import Any

import numpy as np

from .nested import Leaf, Lists


def is_awkward(x: Any) -> bool:
    """Whether `x` is an `ak.Array`."""
    return type(x).__module__.partition(".")[0] == "awkward" and hasattr(x, "layout")


def read_awkward(x: Any) -> Leaf | Lists:
    """The data of an `ak.Array`, with its lists concatenated in order."""
    return _read(x.layout.to_packed())


def _read(layout: Any) -> Leaf | Lists:
    if layout.is_record or layout.is_union:
        raise TypeError(
            '`sequences` is an awkward array of records or unions; take one field of it, e.g. `array["words"]`.'
        )
    if layout.is_unknown:
        return Leaf(np.zeros(0, np.int32), typeless=True)
    if layout.parameter("__array__") in ("string", "bytestring"):
        texts = np.empty(len(layout), object)
        texts[:] = layout.to_list()
        return Leaf(texts)
    if layout.is_option:
        return _read_option(layout)
    if layout.is_indexed:
        return _read(layout.project())
    if layout.is_regular:
        return Lists(np.full(len(layout), layout.size), _read(layout.content[: len(layout) * layout.size]), layout.size)
    if layout.is_list:
        packed = layout.to_ListOffsetArray64(True)
        offsets = np.asarray(packed.offsets.data)
        return Lists(np.diff(offsets), _read(packed.content[: offsets[-1]]))
    return Leaf(np.asarray(layout.to_backend_array(backend="cpu")))


def _read_option(layout: Any) -> Leaf | Lists:
    real = np.asarray(layout.mask_as_bool(valid_when=True))[: len(layout)]
    items = _read(layout.project())
    if real.all():
        return items
    if isinstance(items, Lists):
        raise ValueError(
            f"`sequences`: list {int(real.argmin())} is None, and {(~real).sum()} of {len(real)} are. Make them empty, "
            "`ak.fill_none(array, [], axis=0)`, or leave them out, here and wherever the same rows appear."
        )
    index = np.where(real, np.cumsum(real) - 1, 0)
    values = items.values[index] if len(items) else np.zeros((len(real), *items.values.shape[1:]), items.values.dtype)
    return Leaf(values, real)
