"""The tensors of a PyTorch module by name: a `state_dict`, or a file in the safetensors format."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..core.array_file import read_arrays

_COUNTERS = "num_batches_tracked"  # of batch normalization, which needs none


def read_tensors(tensors: Any) -> dict[str, np.ndarray]:
    """NumPy arrays by name, of what `from_torch` takes."""
    if isinstance(tensors, (str, os.PathLike)):
        found = read_arrays(Path(tensors))
    elif isinstance(tensors, Mapping):
        found = {name: _array(tensor) for name, tensor in tensors.items()}
    else:
        raise TypeError(
            "`from_torch` takes the tensors by name, `module.state_dict()`, or the path of a safetensors file; "
            f"received {type(tensors).__name__}."
        )
    return {name: array for name, array in found.items() if name.rpartition(".")[2] != _COUNTERS}


def _array(tensor: Any) -> np.ndarray:
    """A tensor on any device, also one of bfloat16, which NumPy has not."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        if str(tensor.dtype) == "torch.bfloat16":
            return np.asarray(jnp.asarray(tensor.float().numpy(), jnp.bfloat16))
        tensor = tensor.numpy()
    return np.asarray(tensor)


class Tensors:
    """The tensors of one module, which are taken one by one.

    Args:
        tensors: of all modules, by name; those that are taken leave it.
        names: the full name of a tensor by that within the module.
        prefix: of the names of this module.
        layer: which layer takes them, for errors.
    """

    def __init__(self, tensors: dict[str, np.ndarray], names: Callable[[str], str], prefix: str, layer: str) -> None:
        self._tensors, self._full, self._prefix, self._layer = tensors, names, prefix, layer
        self._names = sorted(name for name in tensors if name.startswith(self._prefix))

    def has(self, name: str) -> bool:
        """Whether there is one."""
        return self._full(name) in self._tensors

    def take(self, name: str, remedy: str = "") -> np.ndarray:
        """One of them.

        Raises:
            ValueError: there is none.
        """
        if not self.has(name):
            there = ", ".join(self._names[:8]) or f"nothing that begins with {self._prefix!r}"
            raise ValueError(
                f"`from_torch`: {self._layer} needs {self._full(name)!r}; there is {there}"
                f"{', ...' if self._names[8:] else ''}. "
                f"{remedy or 'Say which module it is: `modules={torch_name: layer_name}`.'}"
            )
        return self._tensors.pop(self._full(name))

    def refuse(self, name: str, what: str) -> None:
        """Raises if there is a tensor that a layer of jmask has no place for."""
        if self.has(name):
            raise ValueError(f"`from_torch`: {self._layer}: {self._full(name)!r} is of {what}, which jmask has not.")
