"""The arguments of one call of `jm.vmap`: which are ragged, which are batched, and what a row of them looks like."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ..masked import Masked
from .rows import Ragged, read
from .sizes import holds, names_in_rule

_MOST_STEPS = 1000  # that are added for the sake of a constraint


@dataclasses.dataclass(frozen=True)
class Part:
    """One array of the arguments, the batch's axis first if it has one, and a row of it, abstractly."""

    array: Any
    is_batched: bool
    spec: jax.ShapeDtypeStruct


@dataclasses.dataclass(frozen=True)
class Arguments:
    """The arguments of one call.

    Attributes:
        leaves: `Ragged`, or a `Part`.
        structure: of `(args, kwargs)` within the function, where a row of a document is a `Masked`.
        size: of the batch.
    """

    leaves: list[Ragged | Part]
    structure: Any
    size: Any

    @property
    def rows(self) -> list[Ragged]:
        """The ragged arguments."""
        return [leaf for leaf in self.leaves if isinstance(leaf, Ragged)]

    @property
    def by_name(self) -> dict[str, Ragged]:
        """The first argument that has each length."""
        found: dict[str, Ragged] = {}
        for row in self.rows:
            if row.name is not None:
                found.setdefault(row.name, row)
        return found

    def parts(self, symbols: dict[str, Any]) -> list[Part]:
        """All arrays of the arguments, with symbolic sizes in their rows."""
        found = []
        for leaf in self.leaves:
            found += [leaf] if isinstance(leaf, Part) else _parts(leaf, symbols)
        return found


def read_arguments(args: tuple[Any, ...], kwargs: dict[str, Any], in_axes: Any, lengths: Any) -> Arguments:
    """The arguments of one call, checked.

    Raises:
        ValueError: options that do not fit them, batches of different sizes, or none.
    """
    leaves, structure = jax.tree.flatten((args, kwargs), is_leaf=_is_masked)
    by_key = [0] * len(jax.tree.leaves(kwargs, is_leaf=_is_masked))
    in_axes = tuple(in_axes) if isinstance(in_axes, list) else in_axes
    axes = prefix(in_axes, args, "in_axes") + by_key
    size = _batch_size(leaves, axes)
    names = _names(leaves, prefix(lengths, args, "lengths") + [None] * len(by_key))
    read_leaves = [
        read(leaf, axis, name, f"argument {i}") if _is_masked(leaf) else _part(leaf, axis)
        for i, (leaf, axis, name) in enumerate(zip(leaves, axes, names, strict=True))
    ]
    inner = [Masked(0, 0) if isinstance(leaf, Ragged) and leaf.mask is not None else 0 for leaf in read_leaves]
    arguments = Arguments(read_leaves, jax.tree.structure(structure.unflatten(inner)), size)
    for row in arguments.rows:
        first = arguments.by_name.get(row.name or "")
        if first is not None and row.time != first.time:
            raise ValueError(
                f"`jm.vmap`: arguments under the name {row.name!r} have equal lengths, so they are padded to one size; "
                f"received {first.time} and {row.time} steps. Pad them alike, or give them two names."
            )
    return arguments


def widen(arguments: Arguments, constraints: Sequence[str]) -> Arguments:
    """The same arguments, padded to the least size that the function can have by these constraints on one length."""
    least = {}
    for name, row in arguments.by_name.items():
        rules = [rule for rule in constraints if names_in_rule(rule) == {name}]
        if isinstance(row.time, int):
            sizes = range(row.time, row.time + _MOST_STEPS)
            least[name] = next((n for n in sizes if all(holds(rule, {name: n}) for rule in rules)), row.time)
    leaves = [
        leaf.widened(least[leaf.name]) if isinstance(leaf, Ragged) and leaf.name in least else leaf
        for leaf in arguments.leaves
    ]
    return dataclasses.replace(arguments, leaves=leaves)


def prefix(option: Any, tree: Any, name: str) -> list[Any]:
    """An option for each leaf of a tree, from a pytree prefix of it; None is a value, not an empty tree."""
    leaves, structure = jax.tree.flatten(tree, is_leaf=_is_masked)
    try:
        spread = jax.tree.broadcast(option, structure.unflatten([0] * len(leaves)), is_leaf=_is_value)
    except ValueError as error:
        raise ValueError(f"`{name}` of `jm.vmap` must be a prefix of the tree that it is for. {error}") from None
    values = structure.flatten_up_to(spread)
    return [value.values if _is_masked(value) else value for value in values]


def _is_masked(leaf: Any) -> bool:
    return isinstance(leaf, Masked)


def _is_value(leaf: Any) -> bool:
    return leaf is None or isinstance(leaf, Masked)


def _names(leaves: list[Any], asked: list[str | None]) -> list[str | None]:
    """The name of the length of each leaf that has one: the one asked for, or one of its own."""
    pairs = list(zip(leaves, asked, strict=True))
    num_unnamed = sum(_is_masked(leaf) and name is None for leaf, name in pairs)
    candidates = ["t"] if num_unnamed == 1 and "t" not in asked else [f"t{i}" for i in range(2 * len(leaves))]
    free = (name for name in candidates if name not in asked)
    return [(name or next(free)) if _is_masked(leaf) else None for leaf, name in pairs]


def _batch_size(leaves: list[Any], axes: list[Any]) -> Any:
    """The size that all batch axes have."""
    sizes: dict[Any, int] = {}
    for i, (leaf, axis) in enumerate(zip(leaves, axes, strict=True)):
        shape = jnp.shape(leaf) if not hasattr(leaf, "shape") else leaf.shape
        if axis is None:
            continue
        if not isinstance(axis, int) or not -len(shape) <= axis < len(shape):
            raise ValueError(f"`in_axes` of `jm.vmap`: argument {i} has shape {tuple(shape)}, and no axis {axis!r}.")
        sizes.setdefault(shape[axis], i)
    if len(sizes) != 1:
        found = ", ".join(f"{size} (argument {i})" for size, i in sizes.items()) or "none"
        raise ValueError(f"The batch axes of `jm.vmap` must have one size; received {found}.")
    return next(iter(sizes))


def _part(leaf: Any, axis: int | None) -> Part:
    """A plain array."""
    array = leaf if hasattr(leaf, "dtype") and isinstance(leaf, jax.Array) else jnp.asarray(leaf)
    if axis is not None:
        array = jnp.moveaxis(array, axis, 0)
    shape = tuple(array.shape[1:] if axis is not None else array.shape)
    return Part(
        array, axis is not None, jax.ShapeDtypeStruct(shape, array.dtype, weak_type=jax.typeof(array).weak_type)
    )


def _parts(row: Ragged, symbols: dict[str, Any]) -> list[Part]:
    """The values of a `Masked`, and the mask within its steps if there is one."""
    arrays = [row.values] if row.mask is None else [row.values, row.mask]
    found = []
    for array in arrays:
        shape = tuple(array.shape[int(row.is_batched) :])
        if row.name is not None:
            shape = (symbols[row.name], *shape[1:])
        found.append(Part(array, row.is_batched, jax.ShapeDtypeStruct(shape, array.dtype)))
    return found
