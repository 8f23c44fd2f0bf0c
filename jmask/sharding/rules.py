"""How one parameter is divided over the axes of a mesh: what a rule may say, and whether it fits."""

import dataclasses
import math
from typing import Any, SupportsIndex

from jax.sharding import Mesh, PartitionSpec

from ..core.checks import checked_size

AxisNames = str | tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class FullyDivided:
    """What `fsdp` returns: it divides the largest axis that it can."""

    axis: AxisNames
    min_size: int

    def spec(self, path: str, shape: tuple[int, ...], mesh: Mesh) -> PartitionSpec:
        """How a parameter is divided.

        Args:
            path: its path, for errors.
            shape: its shape.
            mesh: the mesh, which has the axes.

        Raises:
            ValueError: it is large, and none of its axes can be divided.
        """
        if math.prod(shape) < max(self.min_size, 1) or not shape:
            return PartitionSpec()
        parts = num_parts(mesh, self.axis)
        sizes = [size if size % parts == 0 else 0 for size in shape]
        if not any(sizes):
            raise ValueError(
                f"`fsdp({self.axis!r})` divides one axis of a parameter into {parts} equal parts; no axis of "
                f"{path!r}, of shape {shape}, can be. Choose a size that is a multiple of {parts}, or keep it whole "
                f"on every device, by a rule before this one, `({path!r}, PartitionSpec())`, or by a larger "
                f"`min_size`: this one has {math.prod(shape)} numbers."
            )
        largest = sizes.index(max(sizes))
        return PartitionSpec(*(self.axis if i == largest else None for i in range(largest + 1)))


def fsdp(axis: AxisNames, *, min_size: SupportsIndex = 2**16) -> FullyDivided:
    """Divides each large parameter over the devices along its largest axis, as fully sharded data parallelism does.

    Each device keeps a part of the parameters and of what mirrors them in the optimizer. XLA gathers a parameter where
    a layer needs it whole; that costs messages, and saves memory.

    Args:
        axis: the name of an axis of the mesh, the one that divides the rows of batches, or several names, which divide
            into the product of their sizes.
        min_size: numbers in a parameter from which on it is divided. Smaller ones are whole on every device, because
            to gather many small ones takes longer than the memory is worth.

    Returns:
        A rule for `jm.sharding.named_shardings`: of the axes that the devices divide evenly it takes the largest, and
        the first of several as large.

    Raises:
        TypeError: `axis` is no name and no tuple of names, or `min_size` no integer.
        ValueError: `min_size` is negative.

    >>> import jax, jmask as jm
    >>> mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    >>> params = {"kernel": jax.ShapeDtypeStruct((8, 64), "float32"), "bias": jax.ShapeDtypeStruct((64,), "float32")}
    >>> found = jm.sharding.named_shardings(mesh, jm.sharding.fsdp("data", min_size=100), params)
    >>> found["kernel"].spec == jax.P(None, "data"), found["bias"].spec == jax.P()
    (True, True)
    """
    names = axis if isinstance(axis, tuple) else (axis,)
    if not names or not all(isinstance(name, str) for name in names):
        raise TypeError(
            f"`fsdp`: `axis` is the name of an axis of the mesh, or a tuple of names; received {axis!r}. "
            "For example `fsdp('data')`."
        )
    return FullyDivided(axis, checked_size("min_size", min_size, 0))


def check_spec(spec: PartitionSpec, path: str, shape: tuple[int, ...], mesh: Mesh) -> None:
    """Raises unless a parameter can be divided so.

    Args:
        spec: how it is to be divided.
        path: of the parameter, for errors.
        shape: of the parameter.
        mesh: the mesh, which has the axes.

    Raises:
        ValueError: it has fewer axes than that, or one of a size that cannot be divided.
    """
    if len(spec) > len(shape):
        raise ValueError(
            f"{spec} speaks of {len(spec)} axes, and the parameter {path!r} has {len(shape)}: its shape is {shape}. "
            f"Leave out what is too much, or name this parameter in a rule of its own before, `({path!r}, ...)`."
        )
    for i, (part, size) in enumerate(zip(spec, shape, strict=False)):
        if part is not None and size % (parts := num_parts(mesh, part)):
            raise ValueError(
                f"{spec} divides axis {i} of the parameter {path!r}, of shape {shape}, into {parts} equal parts, and "
                f"{size} is no multiple of {parts}. Choose such a size, divide another axis, or keep it whole on every "
                f"device by a rule before, `({path!r}, PartitionSpec())`."
            )


def check_mesh_axes(rule: Any, mesh: Mesh) -> None:
    """Raises unless the mesh has the axes that a rule names.

    Raises:
        TypeError: the rule is no `PartitionSpec` of names, and not made by `fsdp`.
        ValueError: the mesh has no axis of a name.
    """
    if not isinstance(rule, (PartitionSpec, FullyDivided)):
        raise TypeError(
            "A rule says how a parameter is divided by a `PartitionSpec` of names of mesh axes, "
            f"`PartitionSpec(None, 'model')`, or by `jm.sharding.fsdp('data')`; received {rule!r:.80}."
        )
    parts = rule if isinstance(rule, PartitionSpec) else (rule.axis,)
    for part in parts:
        names = part if isinstance(part, tuple) else () if part is None else (part,)
        for name in names:
            if name not in mesh.shape:
                shown = rule if isinstance(rule, PartitionSpec) else f"fsdp({rule.axis!r})"
                raise ValueError(
                    f"{shown} divides over the mesh axis {name!r}, and the mesh has {dict(mesh.shape)}. Name one of "
                    f"these, or make the mesh with it, `jax.make_mesh((...), ({name!r}, ...))`."
                )


def num_parts(mesh: Mesh, part: AxisNames) -> int:
    """Into how many parts an entry of a `PartitionSpec` divides an axis."""
    return math.prod(mesh.shape[name] for name in (part if isinstance(part, tuple) else (part,)))
