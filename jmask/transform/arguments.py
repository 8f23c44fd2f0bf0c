"""The arguments of one call of `jm.vmap`: which are ragged, which are batched, and what a row of them looks like."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..core.masked import Masked, is_masked
from .sizes import holds, names_in_rule
from .symbols import Symbols

_MOST_STEPS = 1000  # added to meet a constraint


@dataclasses.dataclass(frozen=True)
class Argument:
    """What is known of one argument without its values.

    Attributes:
        axis: the batch axis, None if all rows share the argument.
        name: the name of its length; None for an array, and for a `Masked` whose rows are single steps.
        shape: the shape of a row.
        mask_rank: the rank of a row's mask; None for an array.
        dtype: the dtype of its values.
        is_weak: whether the values are weakly typed.
    """

    axis: int | None
    name: str | None
    shape: tuple[Any, ...]
    mask_rank: int | None
    dtype: Any
    is_weak: bool

    def specs(self, symbols: Symbols) -> list[jax.ShapeDtypeStruct]:
        """The abstract values of a row, and the mask within its steps if there is one."""
        shape = self.shape if self.name is None else (symbols.own[self.name], *self.shape[1:])
        values = jax.ShapeDtypeStruct(shape, self.dtype, weak_type=self.is_weak)
        if (self.mask_rank or 0) < 2:
            return [values]
        return [values, jax.ShapeDtypeStruct(shape[: self.mask_rank], np.bool_)]


@dataclasses.dataclass(frozen=True)
class BatchArguments:
    """The arguments of one call, without their values.

    Attributes:
        each: `Argument`, in the order of the leaves.
        structure: the structure of `(args, kwargs)` inside the function, where a row of a document is a `Masked`.
        size: the batch size.
        times: the padded number of steps, by the name of the length.
    """

    each: tuple[Argument, ...]
    structure: Any
    size: Any
    times: dict[str, Any]

    def specs(self, symbols: Symbols) -> list[jax.ShapeDtypeStruct]:
        """An abstract row of every array in the arguments."""
        return [spec for argument in self.each for spec in argument.specs(symbols)]


def read_arguments(
    args: tuple[Any, ...], kwargs: dict[str, Any], in_axes: Any, lengths: Any
) -> tuple[list[Any], BatchArguments]:
    """The leaves of the arguments of one call, `Masked` and arrays, and what is known of them; checks both.

    Raises:
        ValueError: options do not fit them, batches have different sizes, or there is no batch axis.
    """
    leaves, structure = jax.tree.flatten((args, kwargs), is_leaf=is_masked)
    leaves = [leaf if is_masked(leaf) or isinstance(leaf, jax.Array) else jnp.asarray(leaf) for leaf in leaves]
    by_key = [0] * len(jax.tree.leaves(kwargs, is_leaf=is_masked))
    in_axes = tuple(in_axes) if isinstance(in_axes, list) else in_axes
    axes = prefix(in_axes, args, "in_axes") + by_key
    size = _batch_size(leaves, axes)
    names = _names(leaves, prefix(lengths, args, "lengths") + [None] * len(by_key))
    each = tuple(
        _masked(leaf, axis, name, f"argument {i}") if isinstance(leaf, Masked) else _array(leaf, axis)
        for i, (leaf, axis, name) in enumerate(zip(leaves, axes, names, strict=True))
    )
    inner = structure.unflatten([Masked(0, 0) if (argument.mask_rank or 0) > 1 else 0 for argument in each])
    return leaves, BatchArguments(each, jax.tree.structure(inner), size, _times(each))


def _times(each: Sequence[Argument]) -> dict[str, Any]:
    times: dict[str, Any] = {}
    for argument in each:
        if argument.name is None:
            continue
        time = argument.shape[0]
        if times.setdefault(argument.name, time) != time:
            raise ValueError(
                f"`jm.vmap`: arguments under the name {argument.name!r} have equal lengths, so they are padded to one "
                f"size; received {times[argument.name]} and {time} steps. Pad them alike, or give them two names."
            )
    return times


def widen(arguments: BatchArguments, constraints: Sequence[str]) -> tuple[BatchArguments, dict[str, int]]:
    """The same arguments, padded to the smallest size that these constraints on single lengths allow.

    Returns:
        The arguments, and by name the known sizes that the constraints allow.
    """
    times, most = dict(arguments.times), {}
    for name, time in times.items():
        rules = [rule for rule in constraints if names_in_rule(rule) == {name}]
        if isinstance(time, int):
            time = max(time, 1)  # the program has no empty sequences
            sizes = range(time, time + _MOST_STEPS)
            fit = next((n for n in sizes if all(holds(rule, {name: n}) for rule in rules)), None)
            times[name] = fit or time
            if fit or any(all(holds(rule, {name: n}) for rule in rules) for n in range(1, time)):
                most[name] = times[name]
    return dataclasses.replace(arguments, times=times), most


def prefix(option: Any, tree: Any, name: str) -> list[Any]:
    """An option for each leaf of a tree, from a pytree prefix; None is a value, not an empty tree."""
    leaves, structure = jax.tree.flatten(tree, is_leaf=is_masked)
    if option is None or isinstance(option, (int, str)):
        return [option] * len(leaves)
    try:
        spread = jax.tree.broadcast(option, structure.unflatten([0] * len(leaves)), is_leaf=_is_value)
    except ValueError as error:
        raise ValueError(f"`{name}` of `jm.vmap` must be a prefix of the tree that it is for. {error}") from None
    values = structure.flatten_up_to(spread)
    return [value.values if is_masked(value) else value for value in values]


def _is_value(leaf: Any) -> bool:
    return leaf is None or isinstance(leaf, Masked)


def _names(leaves: list[Any], asked: list[str | None]) -> list[str | None]:
    """The name of the length of each leaf that has one: the requested name, or a separate one."""
    pairs = list(zip(leaves, asked, strict=True))
    num_unnamed = sum(is_masked(leaf) and name is None for leaf, name in pairs)
    candidates = ["t"] if num_unnamed == 1 and "t" not in asked else [f"t{i}" for i in range(2 * len(leaves))]
    free = (name for name in candidates if name not in asked)
    return [(name or next(free)) if is_masked(leaf) else None for leaf, name in pairs]


def _batch_size(leaves: list[Any], axes: list[Any]) -> Any:
    """The size that all batch axes have."""
    sizes: dict[Any, int] = {}
    for i, (leaf, axis) in enumerate(zip(leaves, axes, strict=True)):
        if axis is None:
            continue
        if not isinstance(axis, int) or not -leaf.ndim <= axis < leaf.ndim:
            raise ValueError(
                f"`in_axes` of `jm.vmap`: argument {i} has shape {tuple(leaf.shape)}, and no axis {axis!r}."
            )
        sizes.setdefault(leaf.shape[axis], i)
    if len(sizes) != 1:
        found = ", ".join(f"{size} (argument {i})" for size, i in sizes.items()) or "none"
        raise ValueError(f"The batch axes of `jm.vmap` must have one size; received {found}.")
    return next(iter(sizes))


def _array(leaf: Any, axis: int | None) -> Argument:
    axis = None if axis is None else axis % leaf.ndim
    return Argument(axis, None, _without(leaf.shape, axis), None, leaf.dtype, jax.typeof(leaf).weak_type)


def _masked(leaf: Masked, axis: int | None, name: str | None, where: str) -> Argument:
    if axis is not None:
        axis = axis % leaf.ndim
        if not axis < leaf.mask.ndim:
            raise ValueError(
                f"`in_axes` of `jm.vmap` for a `Masked` is an axis of its mask too; {where} has the mask shape "
                f"{tuple(leaf.mask.shape)}, and `in_axes` says {axis}."
            )
    mask_rank = leaf.mask.ndim - (axis is not None)
    dtype = jax.dtypes.canonicalize_dtype(leaf.dtype) if isinstance(leaf.values, np.ndarray) else leaf.dtype
    return Argument(axis, name if mask_rank else None, _without(leaf.shape, axis), mask_rank, dtype, False)


def _without(shape: Any, axis: int | None) -> tuple[Any, ...]:
    return tuple(dim for i, dim in enumerate(shape) if i != axis)
