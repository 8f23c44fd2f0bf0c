"""Differences between the versions of jax that jmask supports, in traced programs."""

from collections.abc import Sequence
from typing import Any

import jax
from jax import lax
from jax.core import ShapedArray


def body_of(program: Any) -> Any:
    """The jaxpr with the equations, from one that may hold constants."""
    return program.jaxpr if hasattr(program, "jaxpr") else program


def constants_of(program: Any) -> list[Any]:
    """The constants of a jaxpr that may hold some."""
    return list(getattr(program, "consts", ()))


def scan_parts(params: dict[str, Any]) -> tuple[int, int]:
    """The numbers of constants and of carried values of a scan."""
    if "num_consts" in params:
        return params["num_consts"], params["num_carry"]
    constants, carry, _ = params["ft_in"].unpack()
    return len(constants), len(carry)


def vary_alike(arrays: Sequence[Any], like: Sequence[Any] = ()) -> list[Any]:
    """The arrays, varying over the same mesh axes, as operands of a primitive must under `jax.shard_map`.

    Args:
        arrays: the arrays to make alike.
        like: more arrays, whose axes count too.
    """
    if not jax.sharding.get_abstract_mesh().manual_axes:
        return list(arrays)
    found = [axes_of(array) for array in (*arrays, *like)]
    axes = frozenset().union(*found)
    return [_vary(array, tuple(axes - own)) for array, own in zip(arrays, found, strict=False)]


def vary_over(array: Any, axes: Sequence[str]) -> Any:
    """The array, varying over these axes of the mesh too."""
    found = axes_of(array)
    return _vary(array, tuple(axis for axis in axes if axis not in found))


def may_vary_over(arrays: Sequence[Any], axes: Sequence[Any]) -> bool:
    """Whether arrays may differ between the members of these axes, as far as JAX knows.

    It can rule that out for mesh axes where it keeps track of them, under `jax.shard_map(check_vma=True)`.
    """
    if not axes or not set(axes) <= set(jax.sharding.get_abstract_mesh().manual_axes):
        return True
    keeps_account = axes[0] in axes_of(lax.axis_index(axes[0]))
    return not keeps_account or any(axes_of(array) & set(axes) for array in arrays)


def axes_of(array: Any) -> frozenset[str]:
    """The axes of the mesh that an array, or an array type, varies over."""
    aval: Any = array if isinstance(array, ShapedArray) else jax.typeof(array)
    return aval.vma if hasattr(aval, "vma") else aval.manual_axis_type.varying


def _vary(array: Any, axes: tuple[str, ...]) -> Any:
    if not axes:
        return array
    if hasattr(lax, "pcast"):
        return lax.pcast(array, axes, to="varying")
    return lax.pvary(array, axes)  # pyright: ignore[reportAttributeAccessIssue] - of jax before 0.8.2


def bind_as_is(eqn: Any, operands: list[Any]) -> list[Any]:
    """Runs an equation unchanged."""
    operands = vary_alike(operands)
    bound = eqn.primitive.get_bind_params(eqn.params)
    functions, params = bound if isinstance(bound, tuple) else ([], bound)
    results = eqn.primitive.bind(*functions, *operands, **params)
    return list(results) if eqn.primitive.multiple_results else [results]
