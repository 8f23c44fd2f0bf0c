"""Functions on packed rows, held to what they give for each sequence in a row of its own."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jmask as jm
from jmask.core.masked import is_masked
from jmask.testing import assert_close

# Sequence 5 is empty, and so is a row. The second layout has no padding among or between sequences.
LAYOUTS = (
    ((1, 1, 0, 1, 1, 1, 3, 3, 3, 0, 2), (0, 4, 4, 4, 4, 4, 4, 4, 6, 6, 0), (0,) * 11),
    ((4, 4, 4, 4, 4, 4, 4, 1, 1, 1, 1), (2, 6, 6, 3, 3, 3, 0, 0, 0, 0, 0), (0,) * 11),
)
LENGTHS = ((5, 1, 3, 7, 0, 2), (4, 1, 3, 7, 0, 2))
NUMBER, LONGEST = 6, 7


def rows(rng: np.random.Generator, layout: int, features: int | None = 3, dtype: str = "float32") -> Any:
    """The sequences of a layout, one a row and packed; NaN in the padding of both."""
    ids, lengths = np.array(LAYOUTS[layout], np.int32), np.array(LENGTHS[layout])
    shape = () if features is None else (features,)
    mask = np.arange(LONGEST) < lengths[:, None]
    bad = np.nan if dtype == "float32" else 99
    padded = np.full((NUMBER, LONGEST, *shape), bad, dtype)
    padded[mask] = rng.normal(size=(lengths.sum(), *shape)).astype(dtype) if dtype == "float32" else 3
    packed = np.full((*ids.shape, *shape), bad, dtype)
    for k in range(NUMBER):
        packed[ids == k + 1] = padded[k, : lengths[k]]
    return jm.masked(padded, mask), jm.from_segment_ids(packed, ids, num_sequences=NUMBER)


def check_packed(functions: Mapping[str, Callable[[Any, Any], Any]], params: Any, rng: np.random.Generator) -> None:
    """Raises unless all functions, in one compiled program, treat packed sequences as if each were alone.

    Args:
        functions: by name, of parameters and a `Masked` with 3 features; their results are pytrees of `Masked`, with
            one entry a sequence, `(sequences, ...)`, or a step, `(sequences, time, ...)` or packed.
        params: by name; other functions get an empty dict.
        rng: for the values.

    Raises:
        AssertionError: values, masks or gradients differ, or padding has a gradient.
    """

    def results(params: Any, values: Any, x: Any) -> Any:
        found = {}
        for name, function in functions.items():
            leaves = jax.tree.leaves(function(params.get(name, {}), x.with_values(values[name])), is_leaf=is_masked)
            for i, y in enumerate(leaves):
                y = y if y.segment_ids is None else jm.unpack_batch(y, NUMBER, shapes[name, i][1])
                found[name, i] = y.with_values(y.fill(0))
        return found

    def loss(params: Any, values: Any, x: Any) -> Any:
        found, total = results(params, values, x), 0.0
        for y in found.values():
            if jnp.issubdtype(y.dtype, jnp.floating):
                total += (y.values * jnp.cos(1.0 + jnp.arange(y.values.size)).reshape(y.shape)).sum()
        return total, found

    first, _ = rows(rng, 0)
    shapes = jax.eval_shape(results, params, dict.fromkeys(functions, first.values), first)
    shapes = {key: y.shape for key, y in shapes.items()}
    run = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))
    for layout in range(len(LAYOUTS)):
        padded, packed = rows(rng, layout)
        (_, alone), (of_params, of_padded) = run(params, dict.fromkeys(functions, padded.values), padded)
        (_, found), (of_params_too, of_packed) = run(params, dict.fromkeys(functions, packed.values), packed)
        for key, y in alone.items():
            np.testing.assert_array_equal(found[key].mask, y.mask, err_msg=str(key))
            _check(key, found[key].values, y.values)
        jax.tree.map(assert_close, of_params_too, of_params)
        for name in functions:
            gradient = np.asarray(of_packed[name])
            rows_of = [gradient[np.asarray(packed.segment_ids) == k + 1] for k in range(NUMBER)]
            expected = np.asarray(of_padded[name])
            _check(name, np.concatenate(rows_of), expected[np.asarray(padded.mask)])
            np.testing.assert_array_equal(gradient[~np.asarray(packed.mask)], 0)


def _check(name: Any, found: Any, expected: Any) -> None:
    try:
        assert_close(found, expected)
    except AssertionError as error:
        error.add_note(f"in {name}")
        raise
