"""Arrays by name in one file of the safetensors format: a header in JSON, then bytes. Nothing in it is ever run.

The format is that of https://github.com/huggingface/safetensors, which reads these files too.
"""

import json
import os
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

_CODES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "uint16": "U16",
    "int16": "I16",
    "float16": "F16",
    "bfloat16": "BF16",
    "uint32": "U32",
    "int32": "I32",
    "float32": "F32",
    "uint64": "U64",
    "int64": "I64",
    "float64": "F64",
    "complex64": "C64",
}
_NAMES = {code: name for name, code in _CODES.items()}
_LARGEST_HEADER = 100_000_000  # the limit of the format


def check_file_dtype(name: str, dtype: Any) -> None:
    """Raises if the format has no code for a dtype."""
    if np.dtype(dtype).name not in _CODES:
        raise TypeError(
            f"`jm.save`: {name!r} has dtype {np.dtype(dtype).name}, which the file cannot hold; it holds "
            f"{', '.join(_CODES)}. Convert it, such as by `x.astype('float32')`."
        )


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes arrays, and waits until they are on the disk."""
    ordered = dict(sorted(arrays.items(), key=lambda item: -item[1].dtype.itemsize))  # so that each starts aligned
    header, end = {}, 0
    for name, array in ordered.items():
        start, end = end, end + array.nbytes
        header[name] = {"dtype": _CODES[array.dtype.name], "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in ordered.values():
            little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
            file.write(np.ascontiguousarray(little).tobytes())
        file.flush()
        os.fsync(file.fileno())


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Reads arrays.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not of this format, or cut off.
    """
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > min(_LARGEST_HEADER, len(data) - 8):
        raise ValueError(f"{path.name} is truncated, or is not a file of arrays")
    try:
        header = json.loads(data[8 : 8 + size])
    except ValueError:
        header = None
    if not isinstance(header, dict):
        raise ValueError(f"{path.name} is not a file of arrays")
    body = memoryview(data)[8 + size :]
    return {name: _read_array(name, entry, body) for name, entry in header.items() if name != "__metadata__"}


def _read_array(name: str, entry: dict[str, Any], body: memoryview) -> np.ndarray:
    if entry["dtype"] not in _NAMES:
        raise ValueError(f"{name!r} has dtype {entry['dtype']!r}, which is not one of {', '.join(_NAMES)}")
    start, end = entry["data_offsets"]
    dtype, shape = jnp.dtype(_NAMES[entry["dtype"]]), tuple(map(int, entry["shape"]))
    if not 0 <= start <= end <= len(body) or end - start != dtype.itemsize * int(np.prod(shape, dtype=object)):
        raise ValueError(f"the file of arrays is truncated at {name!r}")
    return np.frombuffer(body[start:end], dtype).reshape(shape).copy()
