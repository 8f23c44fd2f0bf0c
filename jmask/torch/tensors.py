"""The tensors of a PyTorch module by name: a `state_dict`, or a file in the safetensors format."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..core.array_file import read_arrays
from ..weights import Tensors

_PARTS = ("weight_g", "weight_v", "weight_orig")  # of weights that are computed from others
_COUNTERS = "num_batches_tracked"  # of batch normalization, which needs none


def read_tensors(tensors: Any) -> dict[str, np.ndarray]:
    """NumPy arrays by name, of what `from_torch` takes."""
    if isinstance(tensors, (str, os.PathLike)):
        found = _read_file(Path(tensors))
    elif isinstance(tensors, Mapping):
        found = {name: _array(name, tensor) for name, tensor in tensors.items()}
    else:
        raise TypeError(
            "`from_torch` takes the tensors by name, `module.state_dict()`, or the path of a safetensors file; "
            f"received {type(tensors).__name__}."
        )
    return {name: array for name, array in found.items() if name.rpartition(".")[2] != _COUNTERS}


def _read_file(path: Path) -> dict[str, np.ndarray]:
    try:
        return read_arrays(path)
    except ValueError as error:
        raise ValueError(
            f"`from_torch` reads files in the safetensors format: {error}. PyTorch reads what `torch.save` wrote, such "
            "as `.pt` and `.bin`: pass `torch.load(path, weights_only=True)`."
        ) from error


def _array(name: str, tensor: Any) -> np.ndarray:
    """A tensor on any device, also one of bfloat16, which NumPy has not."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        if str(tensor.dtype) == "torch.bfloat16":
            return np.asarray(jnp.asarray(tensor.float().numpy(), jnp.bfloat16))
        tensor = tensor.numpy()
    array = np.asarray(tensor)
    if array.dtype.kind in "OUS":
        raise TypeError(
            f"`from_torch` takes tensors by name; {name!r} is a {type(tensor).__name__}. Of a checkpoint that holds "
            "more than tensors, pass the part with them, such as `checkpoint['state_dict']`."
        )
    return array


def remedy(tensors: Tensors, wanted: str) -> str:
    """What helps where a tensor is missing, as the names that are there tell."""
    ends = next((name for name in tensors.arrays if name.endswith(f".{wanted}")), "")
    wrapper = ends.removesuffix(wanted)
    if wrapper:
        is_all = all(name.startswith(wrapper) for name in tensors.arrays)
        which = "" if is_all else f" if k.startswith({wrapper!r})"
        renamed = f"{{k.removeprefix({wrapper!r}): x for k, x in tensors.items(){which}}}"
        return f"{'All' if is_all else 'Some'} names begin with {wrapper!r}: pass `{renamed}`."
    if any(name.endswith(_PARTS) or ".parametrizations." in name for name in tensors.names):
        return (
            "A weight in parts, as of `weight_norm`, has to be put together in PyTorch before `state_dict()`, by "
            "`remove_parametrizations(module, 'weight')` of `torch.nn.utils.parametrize`, or by "
            "`torch.nn.utils.remove_weight_norm(module)`."
        )
    if tensors.names and wanted.endswith(".weight"):
        return f"A weight that is tied to another goes in twice: `tensors | {{{wanted!r}: tensors[torch_name]}}`."
    return ""
