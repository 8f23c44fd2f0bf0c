"""A corpus in a folder: an array a file, memory-mapped when it is read."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..sources.conversion import convert_exactly
from .columns import Column, check_numbers

_CONTENTS = "columns.json"
_FORMAT = 1
_BLOCK = 2**20  # steps that are written at once


def write_columns(columns: Mapping[str, Column], directory: str | Path) -> None:
    """Writes columns of numbers into a new folder, which is there as a whole or not at all.

    Raises:
        FileExistsError: there is such a file or folder.
        TypeError: a column holds strings.
        OverflowError: a number does not fit the dtype of batches.
    """
    check_numbers(columns)
    folder = Path(directory)
    if folder.exists():
        raise FileExistsError(f"{folder} is there already; choose another name, or remove it.")
    partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
    partial.mkdir(parents=True)
    try:
        entries = [_write(partial, f"{i}", name, column) for i, (name, column) in enumerate(columns.items())]
        (partial / _CONTENTS).write_text(json.dumps({"format": _FORMAT, "columns": entries}, indent=1))
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def read_columns(directory: str | Path) -> dict[str, Column]:
    """The columns of such a folder, their values memory-mapped.

    Raises:
        FileNotFoundError: the folder or one of its files is not there.
        ValueError: the folder is from a later version.
    """
    folder = Path(directory)
    if not (folder / _CONTENTS).exists():
        raise FileNotFoundError(f"{folder} holds no corpus, which `corpus.save(folder)` writes.")
    contents = json.loads((folder / _CONTENTS).read_text())
    if contents["format"] != _FORMAT:
        raise ValueError(f"{folder} is of format {contents['format']}; this version of jmask reads format {_FORMAT}.")
    return {entry["name"]: _read(folder, entry) for entry in contents["columns"]}


def _write(folder: Path, stem: str, name: str, column: Column) -> dict[str, Any]:
    dtype = column.dtype
    stored = _stored(dtype)
    values = np.lib.format.open_memmap(folder / f"{stem}.values.npy", "w+", stored, column.values.shape)
    for start in range(0, len(values), _BLOCK):
        part = column.values[start : start + _BLOCK]
        values[start : start + _BLOCK] = np.ascontiguousarray(convert_exactly(part, dtype, "values")).view(stored)
    values.flush()
    for part, array in (("offsets", column.offsets), ("real", column.real)):
        if array is not None:
            np.save(folder / f"{stem}.{part}.npy", array)
    parts = {"offsets": column.offsets is not None, "real": column.real is not None}
    return {"name": name, "stem": stem, "dtype": dtype.name, **parts}


def _read(folder: Path, entry: Mapping[str, Any]) -> Column:
    values = np.load(folder / f"{entry['stem']}.values.npy", mmap_mode="r").view(jnp.dtype(entry["dtype"]))
    parts = [np.load(folder / f"{entry['stem']}.{part}.npy") if entry[part] else None for part in ("offsets", "real")]
    return Column(values, *parts)


def _stored(dtype: np.dtype) -> np.dtype:
    """The dtype in the file: that of the values, or integers of their size where NumPy does not know it by itself."""
    return np.dtype(f"u{dtype.itemsize}") if dtype.kind == "V" else dtype
