"""A function on a padded batch, beside the same function on each sequence alone."""

import dataclasses
import functools
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jmask as jm
from jmask.testing import assert_close
from tests.support.one_sequence.functions import Case

LENGTHS = (3, 1, 6, 0)
TIME = 6
QUICKLY = {"xla_backend_optimization_level": 0}  # programs that run once


def sequences(case: Case, rng: np.random.Generator) -> list[np.ndarray]:
    """Sequences of `LENGTHS`."""
    if case.dtype.startswith("int"):
        return [rng.integers(0, 5, (n, *case.step)).astype(case.dtype) for n in LENGTHS]
    signs = [1] if case.is_positive else [-1, 1]
    shapes = [(n, *case.step) for n in LENGTHS]
    return [(rng.uniform(0.5, 2, shape) * rng.choice(signs, shape)).astype(case.dtype) for shape in shapes]


def masks(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Where the real steps of each row stand."""
    right = np.arange(TIME) < np.array(LENGTHS)[:, None]
    return {"right": right, "left": right[:, ::-1], "holes": np.stack([rng.permutation(row) for row in right])}


def padded(rows: list[np.ndarray], mask: np.ndarray) -> jm.Masked:
    """The sequences in a batch, with NaN or a large integer in its padding."""
    poison = np.nan if rows[0].dtype.kind == "f" else 10**6
    values = np.full((*mask.shape, *rows[0].shape[1:]), poison, rows[0].dtype)
    for value, real, row in zip(values, mask, rows, strict=True):
        value[real] = row
    return jm.masked(values, mask)


def total(results: Any) -> Any:
    """A number in which every entry of one sequence's results has a weight of its own."""
    return sum((jnp.real(x) * _weights(x.shape)).sum() for x in jax.tree.leaves(results) if _is_inexact(x))


def total_of_batch(results: Any) -> Any:
    """The same for a batch: of a `Masked` the real entries count."""
    leaves = jax.tree.leaves(results, is_leaf=_is_masked)
    arrays = [jm.left_align(x)[0].fill(0) if _is_masked(x) else x for x in leaves]
    return sum((jnp.real(x) * _weights(x.shape[1:])).sum() for x in arrays if _is_inexact(x))


def groups(table: Mapping[str, Case], size: int) -> list[list[str]]:
    """The names of functions that take the same sequences, a few at a time.

    Eight in one program compile in a third of the time of eight programs.
    """
    alike = defaultdict(list)
    for name, case in table.items():
        alike[dataclasses.replace(case, fn=len)].append(name)
    return [names[i : i + size] for names in alike.values() for i in range(0, len(names), size)]


def together(table: Mapping[str, Case], names: Sequence[str]) -> Case:
    """One function with the results of several, by name."""

    def fn(params: Any, x: Any) -> dict[str, Any]:
        return {name: table[name].fn(params, x) for name in names}

    return dataclasses.replace(table[names[0]], fn=fn)


def check(name: str, case: Case, params: Any) -> None:
    """Values, lengths and gradients of `jm.vmap` under each mask, against the loop over sequences alone."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    rows = sequences(case, rng)
    alone = _alone(case, params, rows)
    run = jax.jit(functools.partial(_run, case), compiler_options=QUICKLY)
    for mask in masks(rng).values():
        x = padded(rows, mask)
        results, gradients = run(params, x.values, x.mask)
        for i, (path, result) in enumerate(jax.tree.leaves_with_path(results, is_leaf=_is_masked)):
            for row, (outputs, _) in enumerate(alone):
                try:
                    _check_row(result, row, None if outputs is None else outputs[i])
                except AssertionError as error:
                    raise AssertionError(f"{name}, result {jax.tree_util.keystr(path)}, row {row}: {error}") from None
        if gradients is not None:
            _check_gradients(gradients, mask, [found for _, found in alone])


def _run(case: Case, params: Any, values: Any, mask: Any) -> tuple[Any, Any]:
    """The results of the batch, and the gradients with respect to parameters and values."""

    def loss(params: Any, values: Any) -> tuple[Any, Any]:
        results = jm.vmap(lambda row: case.fn(params, row), constraints=case.all_constraints)(jm.Masked(values, mask))
        return total_of_batch(results), results

    if not case.has_gradient:
        return loss(params, values)[1], None
    argnums = (0, 1) if _is_inexact(values) else (0,)
    gradients, results = jax.grad(loss, argnums, has_aux=True)(params, values)
    return results, gradients


def _alone(case: Case, params: Any, rows: list[np.ndarray]) -> list[tuple[Any, Any]]:
    """The results of each sequence alone and their gradients, None where it is too short for the function."""

    def loss(params: Any, x: Any) -> tuple[Any, Any]:
        results = case.fn(params, x)
        return total(results), jax.tree.leaves(results)

    def one(params: Any, x: Any) -> tuple[Any, Any]:
        if len(x) < case.shortest:
            return None, None
        if not case.has_gradient:
            return loss(params, x)[1], None
        argnums = (0, 1) if _is_inexact(x) else (0,)
        gradients, outputs = jax.grad(loss, argnums, has_aux=True)(params, x)
        return outputs, gradients

    return jax.jit(lambda params, rows: [one(params, x) for x in rows], compiler_options=QUICKLY)(params, rows)


def _check_row(result: Any, row: int, expected: Any) -> None:
    if not _is_masked(result):
        assert_close(result[row], np.zeros_like(result[row]) if expected is None else expected)
        return
    values, mask = np.asarray(result.values)[row], np.asarray(result.mask)[row]
    assert not values[~mask].any(), "the padding of a result holds zeros"
    if expected is None:
        assert not mask.any(), "an empty row has no real step"
    else:
        found = values[mask]
        assert found.shape[0] == np.prod(expected.shape[: mask.ndim]), "the lengths of a result"
        assert_close(found.reshape(expected.shape), expected)


def _check_gradients(gradients: Any, mask: np.ndarray, alone: list[Any]) -> None:
    ran = [found for found in alone if found is not None]
    for name in gradients[0]:
        assert_close(gradients[0][name], sum(np.asarray(found[0][name]) for found in ran))
    if len(gradients) == 1:
        return
    values = np.asarray(gradients[1])
    assert not values[~mask].any(), "the gradient at padding is 0"
    for row, found in enumerate(alone):
        real = values[row][mask[row]]
        assert_close(real, np.zeros_like(real) if found is None else found[1])


def _weights(shape: tuple[int, ...]) -> np.ndarray:
    """Numbers that depend on the place of an entry, not on the size of the array."""
    places = np.indices(shape, sparse=True)
    return np.cos(0.3 + sum((axis + 1) * place for axis, place in enumerate(places))) * np.ones(shape, np.float32)


def _is_masked(x: Any) -> bool:
    return isinstance(x, jm.Masked)


def _is_inexact(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jnp.inexact)
