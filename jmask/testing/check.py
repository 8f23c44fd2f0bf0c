"""Checks that a layer or a function obeys the laws."""

from collections.abc import Callable, Collection
from typing import Any

import jax
import jax.numpy as jnp

from ..core.masked import is_masked
from ..protocol.initialize import init_layer
from ..protocol.layer import Layer
from .checks import CHECKS
from .examples import Example
from .inputs import read_specs
from .laws import LAWS, LawBroken
from .subject import Subject


def check_layer(
    layer: Layer, *specs: Any, key: Any = None, maximum: int | None = None, laws: Collection[str] | None = None
) -> None:
    """Asserts that a layer obeys the laws, at inference.

    The expected result is that of the layer itself on each sequence alone, without padding, so errors that also occur
    there are not found. A little noise is added to the parameters from `init`, so that no bias is 0.

    Args:
        layer: the layer, or a model.
        *specs: the inputs of its `call`, nests of `jm.Input`, or examples: `jm.Input((None, 8))` is a sequence of
            vectors, `jm.Input((4,))` a vector for each sequence.
        key: a PRNG key for parameters and inputs; by default always the same one.
        maximum: for integer inputs, one more than the largest; not needed if examples are given.
        laws: the names of the laws to check, all by default (see `jm.testing.LAWS`).

    Raises:
        LawBroken: a law is broken; the message shows the smallest example that was found.
        ValueError: integer inputs have no `maximum`, no input has a time axis, or the name of a law is unknown.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.testing.check_layer(jm.layers.Dense(3), jm.Input((None, 2)))
    >>> class Mean(jm.Layer):
    ...     raw_inputs = True
    ...     def call(self, params, x):
    ...         return x.fill(0).mean(axis=1)
    >>> jm.testing.check_layer(Mean(), jm.Input((None, 2)))
    Traceback (most recent call last):
    jmask.testing.laws.LawBroken: `mean` breaks the law 'exact': beside the sequence alone, output 0, row 0: ...
    """
    read = read_specs(specs, maximum)
    key = jax.random.key(0) if key is None else key
    name = layer.name or layer.default_name

    def function(params: Any, inputs: tuple[Any, ...]) -> Any:
        return layer.apply_with_state(params, _with_noise(layer.init_state(*inputs), key), *inputs)[0]

    example = Subject(name, function, {}, read, key).inputs(Example((2, 1), 3))
    _check(name, function, _with_noise(init_layer(layer, key, example), key), read, key, laws)


def check_function(
    function: Callable[..., Any],
    *specs: Any,
    params: Any = None,
    key: Any = None,
    maximum: int | None = None,
    laws: Collection[str] | None = None,
) -> None:
    """Asserts that a function of `Masked` obeys the laws.

    The expected result is that of the function itself on each sequence alone, without padding. A result that is one
    number for the batch, such as a loss, is compared with that of an unpadded batch.

    Args:
        function: takes the inputs, preceded by the parameters if there are any.
        *specs: the inputs, nests of `jm.Input`, or examples: `jm.Input((None, 8))` is a sequence of vectors.
        params: a nest of arrays; gradients with respect to them are checked as well.
        key: a PRNG key for inputs; by default always the same one.
        maximum: for integer inputs, one more than the largest; not needed if examples are given.
        laws: the names of the laws to check, all by default (see `jm.testing.LAWS`).

    Raises:
        LawBroken: a law is broken; the message shows the smallest example that was found.
        ValueError: integer inputs have no `maximum`, no input has a time axis, or the name of a law is unknown.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.testing.check_function(lambda x: jm.ops.mean(x, axis=1), jm.Input((None, 2)))
    >>> jm.testing.check_function(lambda x: x.values * 2, jm.Input((None, 2)))
    Traceback (most recent call last):
    jmask.testing.laws.LawBroken: `<lambda>` breaks the law 'not silent': output 0 has lost its mask: ...
    """

    def call(params: Any, inputs: tuple[Any, ...]) -> Any:
        return function(*inputs) if params is None else function(params, *inputs)

    key = jax.random.key(0) if key is None else key
    _check(getattr(function, "__name__", repr(function)), call, params, read_specs(specs, maximum), key, laws)


def _check(name: str, function: Callable, params: Any, specs: Any, key: Any, laws: Collection[str] | None) -> None:
    chosen = set(LAWS if laws is None else laws)
    if not chosen <= LAWS.keys():
        raise ValueError(f"`laws` must be names in `jm.testing.LAWS`, {list(LAWS)}; received {sorted(chosen)}.")
    subject = Subject(name, function, params, specs, key)
    for law, check, examples in CHECKS:
        if law in chosen:
            _check_law(subject, check, examples)


def _check_law(subject: Subject, check: Callable[[Subject, Example], None], examples: list[Example]) -> None:
    """Tries the last example; if it fails, reports the smallest one that does."""
    try:
        check(subject, examples[-1])
    except LawBroken as broken:
        found, example = _smallest(subject, check, examples) or (broken, examples[-1])
        raise LawBroken(found.law, found.reason, subject.name, _describe(subject, example)) from found.__cause__


def _smallest(
    subject: Subject, check: Callable[[Subject, Example], None], examples: list[Example]
) -> tuple[LawBroken, Example] | None:
    for example in examples:
        try:
            check(subject, example)
        except LawBroken as broken:
            return broken, example
    return None


def _describe(subject: Subject, example: Example) -> str:
    lines = [f"Smallest example: {example}", f"  mask: {example.mask.astype(int).tolist()}"]
    for i, x in enumerate(jax.tree.leaves(subject.inputs(example), is_leaf=is_masked)):
        text = repr(x).replace("\n", "\n    ")
        lines.append(f"  input {i}: {text}")
    return "\n".join(lines)


def _with_noise(params: Any, key: Any) -> Any:
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    noisy = [
        leaf + 0.1 * jax.random.normal(k, leaf.shape, leaf.dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
        for leaf, k in zip(leaves, keys, strict=True)
    ]
    return structure.unflatten(noisy)
