"""What a function gives for a padded batch, and its results for packed rows put back into that form."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxpr_as_fun
from jax.tree_util import keystr

from ..core.arithmetic import is_host_only
from ..core.masked import Masked, fill, is_masked, mask_of
from .batch_slots import BatchSlots
from .skipping_errors import check_result, check_structure
from .versions import axes_of, vary_over

Parts = list[tuple[Any, Any]]


class _Result(NamedTuple):
    """A result of the function for the padded batch.

    Attributes:
        path: where it is among the results.
        spec: a `Masked` of shapes, or the shape of an array.
        number: of its first array among all arrays of the results.
        given_mask: the mask among the arguments that it has, or None.
    """

    path: str
    spec: Any
    number: int
    given_mask: Any


class PaddedProgram:
    """A function traced for a padded batch: its program, and the form of its results.

    A branch of `jax.lax.switch` returns the parts of results: the values of each, 0 at padding, and its mask.

    Args:
        fn: the function.
        args: its arguments, a padded batch among them.
        kwargs: those by name.
        masks: of the batch.
    """

    def __init__(self, fn: Callable[..., Any], args: Any, kwargs: Any, masks: list[Any]) -> None:
        leaves, structure = jax.tree.flatten((args, kwargs))
        is_traced = [isinstance(leaf, (jax.Array, np.ndarray)) and not is_host_only(leaf) for leaf in leaves]
        self._arrays = [leaf for leaf, own in zip(leaves, is_traced, strict=True) if own]
        self._axes = frozenset().union(*map(axes_of, masks))

        def run(*arrays: Any) -> Any:
            given = iter(arrays)
            filled = [next(given) if own else leaf for leaf, own in zip(leaves, is_traced, strict=True)]
            args, kwargs = structure.unflatten(filled)
            return fn(*args, **kwargs)

        self._program, specs = jax.make_jaxpr(run, return_shape=True)(*self._arrays)
        self._structure = jax.tree.structure(specs, is_leaf=is_masked)
        self._results: list[_Result] = []
        number = 0
        for path, spec in jax.tree.leaves_with_path(specs, is_leaf=is_masked):
            self._results.append(_Result(keystr(path), spec, number, self._given_mask(spec, number + 1)))
            number += 1 + is_masked(spec)

    def run(self) -> Parts:
        """The parts of the results for the padded batch."""
        arrays = jaxpr_as_fun(self._program)(*self._arrays)
        parts = []
        for result in self._results:
            values = arrays[result.number]
            if is_masked(result.spec):
                parts.append(_parts(Masked(values, arrays[result.number + 1])))
            else:
                parts.append((values, None))
        return self._alike(parts)

    def put_back(self, results: Any, slots: BatchSlots) -> Parts:
        """The parts of the results that the function gave for packed rows.

        Raises:
            ValueError: they do not have the form of those for the padded batch.
        """
        values, structure = jax.tree.flatten(results, is_leaf=is_masked)
        check_structure(self._structure, structure)
        arrays = None
        parts = []
        for result, value in zip(self._results, values, strict=True):
            check_result(result.path, result.spec, value)
            if not _has_time(result.spec):
                parts.append(_parts(value) if is_masked(result.spec) else (jnp.asarray(fill(value)), None))
            elif result.given_mask is not None and value.segment_ids is not None:
                parts.append((slots.in_place(value.values, result.given_mask), result.given_mask))
            else:  # of the program for the padded batch, XLA keeps what the mask needs
                arrays = jaxpr_as_fun(self._program)(*self._arrays) if arrays is None else arrays
                mask = jnp.asarray(arrays[result.number + 1])
                parts.append((slots.in_order(value, mask), mask))
        return self._alike(parts)

    def assembled(self, parts: Parts) -> Any:
        """The results from their parts."""
        return self._structure.unflatten(
            Masked(values, mask if result.given_mask is None else result.given_mask)
            if is_masked(result.spec)
            else values
            for result, (values, mask) in zip(self._results, parts, strict=True)
        )

    def _given_mask(self, spec: Any, number: int) -> Any:
        """The argument that is the mask of a result, array `number` of all; or None."""
        if not _has_time(spec):
            return None
        variable = self._program.jaxpr.outvars[number]
        arguments = zip(self._program.jaxpr.invars, self._arrays, strict=True)
        return next((array for given, array in arguments if given is variable), None)

    def _alike(self, parts: Parts) -> Parts:
        """The parts, those of all branches varying over the same axes of a mesh, as `jax.lax.switch` asks."""
        alike = []
        for result, pair in zip(self._results, parts, strict=True):
            given = result.given_mask is not None
            specs = self._program.out_avals[result.number : result.number + 2]
            axes = [axes_of(spec) for spec in specs]
            values, mask = (
                part if part is None or not own else vary_over(part, tuple(own | self._axes))
                for part, own in zip(pair, (*axes, frozenset()), strict=False)
            )
            alike.append((values, None if given else mask))
        return alike


def zero_filled(results: Any) -> Any:
    """The results, with zeros in the padding of each `Masked`."""
    return jax.tree.map(lambda x: x.with_values(x.fill(0)) if is_masked(x) else x, results, is_leaf=is_masked)


def _parts(x: Any) -> tuple[Any, Any]:
    return jnp.asarray(fill(x)), mask_of(x)


def _has_time(spec: Any) -> bool:
    """Whether it is a `Masked` with a mask (rows, time)."""
    return is_masked(spec) and spec.mask.ndim == 2
