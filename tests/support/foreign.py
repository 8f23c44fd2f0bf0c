"""Stand-ins for ragged data of other libraries, with what is read of them, and a column in Arrow's C structures."""

import ctypes
from types import SimpleNamespace

import ml_dtypes
import numpy as np

from jmask.sources.capsules import Array, Schema

_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


class Column:
    """A column that speaks Arrow's C interface, made from NumPy arrays.

    Args:
        kind: the format string of its type.
        length: number of its items.
        buffers: NumPy arrays; None for one that is missing, as that of the validity where nothing is null.
        child: the items of a column of lists.
        offset: where the column begins in its buffers.
        dictionary: the column of words that the numbers of this one stand for.
    """

    def __init__(self, kind, length, buffers, child=None, *, offset=0, dictionary=None):
        self.kept = [kind.encode(), buffers, child, dictionary]
        self.schema, self.array = Schema(), Array()
        self.schema.format = self.kept[0]
        self.array.length, self.array.null_count, self.array.offset = length, -1, offset
        self.addresses = (ctypes.c_void_p * len(buffers))(*(None if b is None else b.ctypes.data for b in buffers))
        self.array.n_buffers, self.array.buffers = len(buffers), self.addresses
        if child is not None:
            self.children = (
                (ctypes.POINTER(Schema) * 1)(ctypes.pointer(child.schema)),
                (ctypes.POINTER(Array) * 1)(ctypes.pointer(child.array)),
            )
            self.schema.n_children = self.array.n_children = 1
            self.schema.children, self.array.children = self.children
        if dictionary is not None:
            self.schema.dictionary = ctypes.pointer(dictionary.schema)
            self.array.dictionary = ctypes.pointer(dictionary.array)

    def __arrow_c_array__(self, requested_schema=None):
        return (
            _new_capsule(ctypes.addressof(self.schema), b"arrow_schema", None),
            _new_capsule(ctypes.addressof(self.array), b"arrow_array", None),
        )


def validity(*items):
    """A bitmap, True for what is not null."""
    return np.packbits(np.array(items, bool), bitorder="little")


def lists_of_numbers(rows, dtype=np.int64, kind="l", real=None, offset=0):
    """Rows as a list column, of which the first `offset` are left out."""
    flat = np.array([step for row in rows for step in row], dtype)
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int32)
    items = Column(kind, len(flat), [None if real is None else validity(*real), flat])
    return Column("+l", len(rows) - offset, [None, offsets], items, offset=offset)


class Tensor:
    """A tensor of torch on the CPU, as far as it turns into NumPy arrays."""

    def __init__(self, values, dtype="torch.int64"):
        self.values, self.dtype = np.asarray(values), dtype

    def __array__(self, dtype=None, copy=None):
        if self.dtype == "torch.bfloat16":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.values

    def __len__(self):
        return len(self.values)

    def __iter__(self):
        return iter(self.values)

    def float(self):
        return Tensor(self.values.astype(np.float32), "torch.float32")

    def unbind(self):
        return list(map(Tensor, self.values))


def bfloat16_tensor(values):
    return Tensor(np.asarray(values, ml_dtypes.bfloat16), "torch.bfloat16")


def jagged_tensor(values, offsets, lengths=None):
    return SimpleNamespace(
        is_nested=True,
        layout="torch.jagged",
        values=lambda: Tensor(values),
        offsets=lambda: Tensor(offsets),
        lengths=lambda: None if lengths is None else Tensor(lengths),
    )


def strided_tensor(rows):
    return SimpleNamespace(is_nested=True, layout="torch.strided", unbind=lambda: list(map(Tensor, rows)))


def packed_sequence(rows):
    """What `torch.nn.utils.rnn.pack_sequence(rows, enforce_sorted=False)` gives."""
    order = np.argsort([-len(row) for row in rows], kind="stable")
    by_length = [rows[i] for i in order]
    by_time = [[row[t] for row in by_length if len(row) > t] for t in range(len(by_length[0]))]
    return SimpleNamespace(
        data=Tensor(np.array([step for steps in by_time for step in steps])),
        batch_sizes=Tensor([len(steps) for steps in by_time]),
        sorted_indices=Tensor(order),
        unsorted_indices=Tensor(np.argsort(order)),
    )


def ragged_tensor(values, *splits):
    """A `RaggedTensor` of TensorFlow."""
    return SimpleNamespace(flat_values=np.asarray(values), nested_row_splits=tuple(map(np.asarray, splits)))


class MaskedTensor:
    """A masked tensor of torch, whose mask is True at what is real."""

    def __init__(self, values, mask):
        self.values, self.mask, self.shape = np.asarray(values), np.asarray(mask), np.shape(values)

    def get_data(self):
        return Tensor(self.values)

    def get_mask(self):
        return Tensor(self.mask)

    def __len__(self):
        return len(self.values)

    def __iter__(self):
        return iter(self.values)
