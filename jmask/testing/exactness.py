"""Assertions about a function and a batch at hand: it is exact, and one program is enough."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..core.masked import Masked, is_masked
from .counting import Counted
from .examples import garbage
from .laws import LawBroken
from .subject import output_leaves
from .tolerance import assert_close

# What JAX raises where a number is asked for that only the running program knows.
_NOT_KNOWN = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)


def assert_exact(function: Callable[..., Any], *inputs: Any, precision: str | None = None) -> None:
    """Asserts that a function gives each sequence what it gives the sequence alone, whatever padding holds.

    Unlike `check_function`, it tries your own batch, of any lengths, padded anywhere or packed. Gradients are tested by
    a function that returns them. A sequence without steps, which has no such result, is held to the second law alone.

    Args:
        function: of the inputs; parameters are bound: `functools.partial(layer.apply, params)`.
        *inputs: the batch: nests of `Masked` and of arrays `(rows, ...)`; beside packed rows, `(num_sequences, ...)`.
            At least one is a `Masked` with a time axis.
        precision: a name in `jm.testing.TOLERANCES`, by default the dtype of each output.

    Raises:
        LawBroken: an output differs; the message names the law, the first sequence and step, and shows both. Outputs of
            one number for the batch must not depend on the padding.
        TypeError: there is no function, or it returns something else than numbers.
        ValueError: no input has a time axis, or an input or output has not one row for each sequence.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.arange(6.0).reshape(2, 3), [3, 1])
    >>> jm.testing.assert_exact(lambda x: jm.ops.cumsum(x), x)
    >>> jm.testing.assert_exact(lambda x: x - x.values.max(axis=1, keepdims=True), x)
    Traceback (most recent call last):
    jmask.testing.laws.LawBroken: `<lambda>` breaks the law 'exact': output 0, sequence 1, step 0 of 1: ...
    """
    if not callable(function):
        raise TypeError(f"`assert_exact` takes the function first, then its inputs; received {function!r:.80}.")
    is_packed, number = _kind(inputs)
    _check_rows("an input", output_leaves(inputs), number, is_packed, _BIND)
    outputs = _outputs(function, inputs)
    _check_rows("an output", [leaf for leaf in outputs if leaf.ndim], number, is_packed, _LEAVE_OUT)
    with _naming(function):
        for k in range(number):
            if not _length(inputs, k, is_packed):  # there is nothing to compare with
                continue
            alone = _outputs(function, _map(lambda x, k=k: _alone(x, k, is_packed), inputs))
            if len(alone) != len(outputs):
                raise LawBroken("exact", f"{len(outputs)} outputs for the batch, {len(alone)} for sequence {k} alone")
            for i, (leaf, expected) in enumerate(zip(outputs, alone, strict=True)):
                if leaf.ndim:
                    where = f"output {i}, sequence {k}"
                    _compare("exact", where, _steps(leaf, k, is_packed), _steps(expected, 0, is_packed), precision)
        for poisoned in poisonings(inputs):
            for i, (leaf, changed) in enumerate(zip(outputs, _outputs(function, poisoned), strict=True)):
                for k in range(number if leaf.ndim else 1):
                    where = f"with other padding, output {i}, sequence {k}"
                    found, expected = (_steps(x, k, is_packed) if leaf.ndim else x for x in (changed, leaf))
                    _compare("invisible padding", where, found, expected, precision)


def assert_one_compile(function: Callable[..., Any], *inputs: Any) -> None:
    """Asserts that one program serves a batch and others of its shape, whatever their lengths.

    Args:
        function: of the inputs.
        *inputs: the batch.

    Raises:
        LawBroken: the function asks for lengths while it is traced, or is traced again.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.ones((2, 3)), [3, 1])
    >>> jm.testing.assert_one_compile(lambda x: jm.ops.mean(x, axis=1), x)
    >>> jm.testing.assert_one_compile(lambda x: x[:, : int(x.lengths.max())], x)
    Traceback (most recent call last):
    jmask.testing.laws.LawBroken: `<lambda>` breaks the law 'one compile': it asks for a number that...
    """
    counted = Counted(function)
    compiled = jax.jit(counted)
    with _naming(function):
        for batch in (inputs, _map(_reversed, inputs)):
            try:
                compiled(*batch)
            except _NOT_KNOWN as error:
                first = str(error).partition("\n")[0]
                raise LawBroken(
                    "one compile", f"it asks for a number that is known only when the program runs: {first}"
                ) from error
        if counted.num_traces > 1:
            raise LawBroken("one compile", f"other lengths are traced again, {counted.num_traces} times in all")


def poisonings(inputs: Any) -> Iterator[Any]:
    """The same batch with other contents of its padding: NaN, infinities, the largest and smallest numbers.

    Args:
        inputs: a nest of `Masked` and arrays.

    Raises:
        ValueError: there is no `Masked`, so nothing to change.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.array([[1.0, 2.0]]), [1])
    >>> [y.values.tolist() for y in jm.testing.poisonings(x)][:2]
    [[[1.0, nan]], [[1.0, inf]]]
    """
    kinds = [len(garbage(x.dtype, 0)) for x in jax.tree.leaves(inputs, is_leaf=is_masked) if is_masked(x)]
    if not kinds:
        raise ValueError(
            "Only the padding of a `Masked` can be poisoned, and there is none. Was its mask lost? Make one: "
            "`jm.masked(array, mask)`."
        )
    for kind in range(max(kinds) - 1):  # the last one is harmless
        yield _map(lambda x, kind=kind: _poisoned(x, kind) if is_masked(x) else x, inputs)


def _poisoned(x: Masked, kind: int) -> Masked:
    kinds = garbage(x.dtype, 0)
    value = jnp.asarray(kinds[min(kind, len(kinds) - 1)], x.dtype)
    mask = x.mask.reshape(*x.mask.shape, *[1] * (x.ndim - x.mask.ndim))
    return x.with_values(jnp.where(mask, x.values, value))


def _kind(inputs: Any) -> tuple[bool, int]:
    """Whether rows are packed, and the number of sequences."""
    for x in jax.tree.leaves(inputs, is_leaf=is_masked):
        if is_masked(x) and x.segment_ids is not None:
            ids = int(np.max(x.segment_ids, initial=0))
            return True, ids if x.num_sequences is None else x.num_sequences
        if is_masked(x) and x.mask.ndim > 1:
            return False, len(x)
    raise ValueError("`assert_exact`: no input has a time axis. Pass a batch such as `jm.pad_sequences(sequences)`.")


_BIND = "Bind what is the same for all of them, such as parameters or a key: `functools.partial(function, params)`."
_LEAVE_OUT = "Leave it out, or make it one number: `lambda *inputs: jnp.sum(function(*inputs))`."


def _check_rows(what: str, leaves: list[Any], number: int, is_packed: bool, remedy: str) -> None:
    """Raises unless each leaf has a row, or a segment id, for each sequence."""
    for leaf in leaves:
        if is_packed and is_masked(leaf) and leaf.segment_ids is not None:
            continue
        shape = np.shape(leaf.values if is_masked(leaf) else leaf)
        if shape[:1] != (number,):
            raise ValueError(
                f"`assert_exact`: {what} has shape {shape}; the batch has {number} sequences, and each has a row of "
                f"its own. {remedy}"
            )


def _outputs(function: Callable[..., Any], inputs: Any) -> list[Any]:
    """The leaves of the outputs: arrays and `Masked`."""
    leaves = [leaf if is_masked(leaf) else np.asarray(leaf) for leaf in output_leaves(function(*inputs))]
    for leaf in leaves:
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "OUS":
            raise TypeError(f"`assert_exact` compares numbers; the function returned {leaf.tolist()!r:.80}.")
    return leaves


def _length(inputs: Any, k: int, is_packed: bool) -> int:
    """Real steps of sequence `k` in any input."""
    leaves = [x for x in jax.tree.leaves(inputs, is_leaf=is_masked) if is_masked(x) and x.mask.ndim > 1]
    return sum(len(_steps(x, k, is_packed)) for x in leaves)


def _alone(x: Any, k: int, is_packed: bool) -> Any:
    """Sequence `k` as a batch of one, without padding."""
    if not is_masked(x):
        return x[k : k + 1]
    if x.mask.ndim == 1 or (x.mask.ndim > 2 and not is_packed):  # a document keeps the padding of its sentences
        return x[k : k + 1]
    steps = jnp.asarray(_steps(x, k, is_packed))[None]
    return Masked(steps, jnp.ones(steps.shape[: x.mask.ndim], bool))


def _steps(x: Any, k: int, is_packed: bool) -> np.ndarray:
    """The real steps of sequence `k`, or what there is for it."""
    if not is_masked(x) or x.mask.ndim == 1:
        return np.asarray(np.asarray(x.values if is_masked(x) else x)[k])
    if is_packed and x.segment_ids is not None:
        return np.asarray(x.values)[np.asarray(x.segment_ids) == k + 1]
    return np.asarray(x.values)[k][np.asarray(x.mask)[k]]


def _reversed(x: Any) -> Any:
    """The rows in the other order."""
    return jax.tree.map(lambda leaf: leaf[::-1] if np.ndim(leaf) else leaf, x)


def _map(function: Callable[[Any], Any], inputs: Any) -> Any:
    return jax.tree.map(function, inputs, is_leaf=is_masked)


def _compare(law: str, where: str, actual: Any, expected: Any, precision: str | None) -> None:
    """Raises with the first step that differs."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    try:
        assert_close(actual, expected, precision=precision)
    except AssertionError as error:
        if actual.ndim == 0 or actual.shape != expected.shape:
            raise LawBroken(law, f"{where}: {error}") from None
        for step in range(len(actual)):
            try:
                assert_close(actual[step], expected[step], precision=precision)
            except AssertionError as found:
                raise LawBroken(law, f"{where}, step {step} of {len(actual)}: {found}") from None
        raise LawBroken(law, f"{where}: {error}") from None


@contextlib.contextmanager
def _naming(function: Callable[..., Any]) -> Iterator[None]:
    """Puts the name of the function into the message."""
    try:
        yield
    except LawBroken as broken:
        name = getattr(function, "__name__", repr(function))
        raise LawBroken(broken.law, broken.reason, broken.subject or name, broken.example) from broken.__cause__
