"""The C structures of Arrow's PyCapsule interface: columns of pyarrow, polars, pandas and others, without a copy.

References:
    The Arrow C data interface and C stream interface, and their PyCapsule interface, arrow.apache.org/docs/format.
"""

import ctypes
from collections.abc import Iterator
from ctypes import POINTER, c_char_p, c_int, c_int64, c_void_p, py_object
from typing import Any

import numpy as np


class Schema(ctypes.Structure):
    """The type of a column."""


class Array(ctypes.Structure):
    """The data of a column."""


class _Stream(ctypes.Structure):
    """The chunks of a column."""


Schema._fields_ = [
    ("format", c_char_p),
    ("name", c_char_p),
    ("metadata", c_void_p),
    ("flags", c_int64),
    ("n_children", c_int64),
    ("children", POINTER(POINTER(Schema))),
    ("dictionary", POINTER(Schema)),
    ("release", ctypes.CFUNCTYPE(None, POINTER(Schema))),
    ("private_data", c_void_p),
]
Array._fields_ = [
    ("length", c_int64),
    ("null_count", c_int64),
    ("offset", c_int64),
    ("n_buffers", c_int64),
    ("n_children", c_int64),
    ("buffers", POINTER(c_void_p)),
    ("children", POINTER(POINTER(Array))),
    ("dictionary", POINTER(Array)),
    ("release", ctypes.CFUNCTYPE(None, POINTER(Array))),
    ("private_data", c_void_p),
]
_Stream._fields_ = [
    ("get_schema", ctypes.CFUNCTYPE(c_int, POINTER(_Stream), POINTER(Schema))),
    ("get_next", ctypes.CFUNCTYPE(c_int, POINTER(_Stream), POINTER(Array))),
    ("get_last_error", ctypes.CFUNCTYPE(c_char_p, POINTER(_Stream))),
    ("release", ctypes.CFUNCTYPE(None, POINTER(_Stream))),
    ("private_data", c_void_p),
]

_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype, _pointer_of.argtypes = c_void_p, [py_object, c_char_p]


class Owned:
    """A structure that we own, released together with the last array that views it."""

    def __init__(self, structure: Any):
        self.structure = structure

    def __del__(self) -> None:
        if self.structure.release:
            self.structure.release(ctypes.byref(self.structure))


def is_exporter(x: Any) -> bool:
    """Whether `x` offers its data as Arrow's PyCapsules."""
    return hasattr(x, "__arrow_c_array__") or hasattr(x, "__arrow_c_stream__")


def chunks(column: Any) -> Iterator[tuple[Schema, Array | None, Any]]:
    """Type, data and owner of each chunk of a column; a column without chunks gives one item without data.

    The owner must stay alive as long as anything views the data.
    """
    if hasattr(column, "__arrow_c_array__"):
        capsules = column.__arrow_c_array__()
        schema = ctypes.cast(_pointer_of(capsules[0], b"arrow_schema"), POINTER(Schema)).contents
        array = ctypes.cast(_pointer_of(capsules[1], b"arrow_array"), POINTER(Array)).contents
        yield schema, array, capsules
        return
    capsule = column.__arrow_c_stream__()
    stream = ctypes.cast(_pointer_of(capsule, b"arrow_array_stream"), POINTER(_Stream)).contents
    schema = Owned(Schema())
    _check(stream, stream.get_schema(ctypes.byref(stream), ctypes.byref(schema.structure)))
    count = 0
    while True:
        array = Owned(Array())
        _check(stream, stream.get_next(ctypes.byref(stream), ctypes.byref(array.structure)))
        if not array.structure.release:
            break
        count += 1
        yield schema.structure, array.structure, (schema, array)
    if count == 0:
        yield schema.structure, None, schema


def view(address: int | None, dtype: Any, start: int, stop: int, owner: Any) -> np.ndarray:
    """The numbers from `start` to `stop` of a buffer, without a copy; the result keeps the owner alive."""
    dtype = np.dtype(dtype)
    if stop <= start or not address:
        return np.empty(max(stop - start, 0), dtype)
    return np.asarray(_Window(address + start * dtype.itemsize, dtype, stop - start, owner))


def bits(address: int, start: int, stop: int, owner: Any) -> np.ndarray:
    """The bits from `start` to `stop` of a bitmap, as bool."""
    packed = view(address, np.uint8, start // 8, -(-stop // 8), owner)
    return np.unpackbits(packed, bitorder="little")[start % 8 :][: stop - start].view(bool)


class _Window:
    """Gives NumPy the address of an array; the array keeps it alive, and it keeps the owner alive."""

    def __init__(self, address: int, dtype: np.dtype, size: int, owner: Any):
        self.__array_interface__ = {"data": (address, True), "shape": (size,), "typestr": dtype.str, "version": 3}
        self.owner = owner


def _check(stream: _Stream, code: int) -> None:
    if code:
        message = stream.get_last_error(ctypes.byref(stream)) or b""
        raise OSError(code, f"Arrow: the column cannot be read. {message.decode(errors='replace')}")
