"""Arrow columns: pyarrow, polars, pandas, Hugging Face `datasets`, and whatever else supports Arrow's C interface."""

from typing import Any

import numpy as np

from .capsules import Array, Schema, bits, chunks, view
from .nested import Leaf, Lists, joined, ranges

_NUMBERS = dict(zip("cCsSiIlLefg", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"], strict=True))
_OFFSETS = {"+l": np.int32, "+L": np.int64, "u": np.int32, "U": np.int64, "z": np.int32, "Z": np.int64}
_VIEWS = {"+vl": np.int32, "+vL": np.int64}
_EXTENSION = b"ARROW:extension:name"


def read_column(column: Any) -> Leaf | Lists:
    """The data of an Arrow array, without a copy if it is a single chunk.

    Args:
        column: an object with `__arrow_c_array__` or `__arrow_c_stream__`.

    Returns:
        A `Leaf` of numbers, strings or bytes, or `Lists` of them.

    Raises:
        ValueError: a list is null.
        TypeError: JAX has no matching dtype, or the data is a table.
    """
    parts = [_read(schema, array, 0, array.length if array else 0, owner) for schema, array, owner in chunks(column)]
    return joined(parts)


def _read(schema: Schema, array: Array | None, start: int, stop: int, owner: Any) -> Any:
    """The items from `start` to `stop`; without data, only the type."""
    kind = schema.format.decode()
    if kind == "+s":
        raise TypeError(
            'A table or a column of records is no column of lists; take one by its name, e.g. `table["words"]`.'
        )
    if _is_extension(schema):
        raise TypeError(f"Columns of Arrow's extension types are not read ({kind}); {_AS_LISTS}")
    if array is None:
        return _nothing(schema, kind)
    if kind.startswith("+"):
        return _read_lists(schema, array, kind, start, stop, owner)
    if schema.dictionary:
        indices = _numbers(array, kind, start, stop, owner)
        words = array.dictionary.contents
        items = _read(schema.dictionary.contents, words, 0, words.length, owner)
        if not len(items):
            items = Leaf(np.zeros(1, items.values.dtype))  # all indices are null
        real = _real(array, start, stop, owner)
        taken = items.taken(indices if real is None else np.where(real, indices, 0))
        return Leaf(taken.values, _both(taken.real, real))
    if kind == "n":
        return Leaf(np.zeros(stop - start, np.int32), np.zeros(stop - start, bool), typeless=stop == start)
    return Leaf(_values(array, kind, start, stop, owner), _real(array, start, stop, owner))


def _read_lists(schema: Schema, array: Array, kind: str, start: int, stop: int, owner: Any) -> Lists:
    real = _real(array, start, stop, owner)
    if real is not None:
        raise ValueError(
            f"`sequences`: list {start + int(real.argmin())} is null, and {(~real).sum()} of {len(real)} are. Make "
            "them empty, `column.fill_null([])`, or leave them out, here and wherever the same rows appear."
        )
    if schema.n_children != 1:
        raise TypeError(f"Columns of Arrow's type {kind!r} are not read; {_AS_LISTS}")
    child_schema, child = schema.children[0].contents, array.children[0].contents
    first, count = array.offset + start, stop - start
    if kind.startswith("+w:"):
        size = int(kind[3:])
        items = _read(child_schema, child, first * size, (first + count) * size, owner)
        return Lists(np.full(count, size), items, size)
    if kind in _VIEWS:
        offsets, lengths = (
            view(array.buffers[i], _VIEWS[kind], first, first + count, owner).astype(np.int64) for i in (1, 2)
        )
        return Lists(lengths, _read(child_schema, child, 0, child.length, owner).taken(ranges(offsets, lengths)))
    if kind not in _OFFSETS:
        raise TypeError(f"Columns of Arrow's type {kind!r} are not read; {_AS_LISTS}")
    offsets = _offsets(array, kind, start, stop, owner)
    items = _read(child_schema, child, int(offsets[0]), int(offsets[-1]), owner)
    return Lists(np.diff(offsets), items)


def _offsets(array: Array, kind: str, start: int, stop: int, owner: Any) -> np.ndarray:
    if stop == start:
        return np.zeros(1, np.int64)  # the buffer may be missing
    begin = array.offset + start
    return view(array.buffers[1], _OFFSETS[kind], begin, array.offset + stop + 1, owner).astype(np.int64)


def _real(array: Array, start: int, stop: int, owner: Any) -> np.ndarray | None:
    """Which items are not null; None if there are no nulls."""
    if array.null_count == 0 or stop == start or not array.n_buffers or not array.buffers[0]:
        return None
    real = bits(array.buffers[0], array.offset + start, array.offset + stop, owner)
    return None if real.all() else real


def _both(first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
    return first if second is None else second if first is None else first & second


def _values(array: Array, kind: str, start: int, stop: int, owner: Any) -> np.ndarray:
    if kind in ("u", "U", "z", "Z"):
        offsets = _offsets(array, kind, start, stop, owner)
        text = view(array.buffers[2], np.uint8, 0, int(offsets[-1]), owner).tobytes()
        pieces = [text[begin:end] for begin, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)]
        return _texts(pieces, kind in "uU")
    if kind in ("vu", "vz"):
        return _texts(_pieces_of_views(array, start, stop, owner), kind == "vu")
    return _numbers(array, kind, start, stop, owner)


def _numbers(array: Array, kind: str, start: int, stop: int, owner: Any) -> np.ndarray:
    begin, end = array.offset + start, array.offset + stop
    if kind == "b":
        return bits(array.buffers[1], begin, end, owner) if end > begin else np.empty(0, bool)
    if kind not in _NUMBERS:
        raise TypeError(f"JAX has no numbers for Arrow's type {kind!r}; {_AS_LISTS}")
    return view(array.buffers[1], _NUMBERS[kind], begin, end, owner)


def _pieces_of_views(array: Array, start: int, stop: int, owner: Any) -> list[bytes]:
    """The strings of a view type: up to 12 bytes are stored in the view itself, longer ones in one of its buffers."""
    begin, end = array.offset + start, array.offset + stop
    words = view(array.buffers[1], np.int32, 4 * begin, 4 * end, owner).reshape(-1, 4)
    inline, views = words.tobytes(), words[:, [0, 2, 3]]  # length, number of the buffer, offset into it
    ends: dict[int, int] = {}
    for length, buffer, offset in views[views[:, 0] > 12].tolist():
        ends[buffer] = max(ends.get(buffer, 0), offset + length)
    texts = {k: view(array.buffers[2 + k], np.uint8, 0, size, owner).tobytes() for k, size in ends.items()}
    return [
        inline[16 * i + 4 : 16 * i + 4 + length] if length <= 12 else texts[buffer][offset : offset + length]
        for i, (length, buffer, offset) in enumerate(views.tolist())
    ]


def _texts(pieces: list[bytes], decode: bool) -> np.ndarray:
    texts = np.empty(len(pieces), object)
    texts[:] = [piece.decode() for piece in pieces] if decode else pieces
    return texts


def _nothing(schema: Schema, kind: str) -> Leaf | Lists:
    """A column without chunks."""
    none = np.zeros(0, np.int64)
    if kind.startswith("+"):
        child = schema.children[0].contents
        size = int(kind[3:]) if kind.startswith("+w:") else None
        return Lists(none, _nothing(child, child.format.decode()), size)
    dtype = object if kind in ("u", "U", "z", "Z", "vu", "vz") else bool if kind == "b" else _NUMBERS.get(kind)
    return Leaf(np.zeros(0, dtype or np.int32), typeless=dtype is None)


def _is_extension(schema: Schema) -> bool:
    """Whether it is an extension type, whose storage may mean anything."""
    if not schema.metadata:
        return False
    place = schema.metadata
    numbers = view(place, np.int32, 0, 1, None)
    place += 4
    for _ in range(int(numbers[0])):
        texts = []
        for _ in range(2):
            size = int(view(place, np.int32, 0, 1, None)[0])
            texts.append(view(place + 4, np.uint8, 0, size, None).tobytes())
            place += 4 + size
        if texts[0] == _EXTENSION:
            return True
    return False


_AS_LISTS = "make lists of Python numbers of it, e.g. by `column.to_pylist()` or `column.to_list()`."
