"""`jm.skip_padding`: a function of padded batches runs on packed rows inside the program."""

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
from jax import lax

from ..core.display import is_concrete
from ..core.masked import is_masked
from .batch_slots import place_batch
from .packed_results import PaddedProgram, zero_filled
from .skipping_errors import checked_axes, checked_batches, checked_fractions, noted
from .versions import vary_over

P = ParamSpec("P")
R = TypeVar("R")

FRACTIONS = (1 / 8, 3 / 8)


def skip_padding(fn: Callable[P, R], *, fractions: Iterable[float] = FRACTIONS) -> Callable[P, R]:
    """A function of a padded batch that runs on packed rows inside the program: its time follows the real steps.

    The rows of the batch are sequences. Inside the program, first-fit decreasing puts several of them into one row. The
    function is compiled for a few numbers of packed rows, as branches of a `jax.lax.switch`, and a call runs the branch
    with just enough rows, or the function of the padded batch where there is little padding. New lengths compile
    nothing new. The results are those of the function itself.

    Give it as much as belongs together: a whole training step, or the gradient of a loss. Then only small results leave
    the branch::

        step = jax.jit(jm.skip_padding(step))  # fast
        gradient = jm.skip_padding(jax.value_and_grad(loss))  # fast
        gradient = jax.value_and_grad(jm.skip_padding(loss))  # exact, but slow

    In the last line JAX differentiates the switch from outside, and what the backward pass needs of every branch is
    handed over. `train.step(..., skip_padding=True)` is of the fast kind.

    **What the function sees.** Each `Masked` with a mask `(batch, time)`, wherever it is in the arguments, arrives as
    packed rows of `time` steps. Row `k` of the batch has the id `k + 1`, and `num_sequences` is the number of rows.
    Inputs and labels land in the same slots; widths may differ, such as those of a source and its translation. All else
    arrives as it is: parameters, keys, statistics; and what has an entry for each row of the batch, such as labels of
    sequences or a `Masked` with a mask `(batch,)`, is just what packed rows take, an entry for each id. An array with
    an entry for each step, `(batch, time)`, needs the mask: `x.with_values(labels)`.

    **What it returns.** A pytree of arrays and `Masked`, of the same form for packed rows as for the padded batch:
    sums, gradients, new parameters; results of sequences, `(batch, ...)`, in the order of the rows; and `Masked` of
    steps, which come back under the mask that they have for the padded batch, with zeros in the padding.

    **What may be in it.** Layers, losses, metrics and functions of jmask, which keep the sequences of a row apart, and
    arithmetic. Code of your own that takes `x.values` or `x.fill(0)` may treat each step alone; what brings steps
    together goes through `jm.vmap` or a `jm.Layer`. A sum over a row of several sequences looks like any other sum, so
    not all mistakes raise: `jm.testing.check_function(jm.skip_padding(fn), ...)` finds them. Random numbers, as of
    dropout, are drawn for the packed rows, and are others than those for the padded batch. What `jm.vmap` gives for a
    row without steps counts nowhere, as always in packed rows.

    It works inside `jax.jit`, `jax.grad`, `jax.lax.scan` and `jax.vmap` (where all branches run). Outside of `jax.jit`
    only the branch that is needed runs. Inside `jax.shard_map`, and where explicit axes of a mesh divide the rows, each
    device packs its own rows, and all take the branch of the one that needs most. On a mesh with Auto axes nobody knows
    where the rows are; the sequences of all devices are packed together, and XLA moves them between the devices: exact,
    but slow, so use one of the former.

    Args:
        fn: a function that takes at least one padded batch. Without any, among arrays alone, it is just called.
        fractions: the parts of the rows of the batch to compile for, between 0 and 1. More of them follow the number of
            real steps more closely, and each takes as long to compile as the function itself.

    Returns:
        A function of the same arguments.

    Raises:
        TypeError: a batch holds strings or other objects (at the call).
        ValueError: a fraction is not between 0 and 1; or, at the call, the rows are packed already, batches differ in
            their number of rows, the masks are those of documents, or a result for packed rows does not have the form
            of that for the padded batch; or explicit axes of a mesh divide more than the rows. Errors that the
            function raises on packed rows have a note.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> x = jm.pad_sequences([[3.0, 4.0, 5.0, 7.0], [6.0], [], [1.0, 2.0]])
    >>> def program(scale, x):
    ...     loss, gradient = jax.value_and_grad(lambda scale: jm.ops.mean(jnp.square(scale) * x))(scale)
    ...     return loss, gradient, jm.ops.cumsum(x), jm.ops.max(x, 1)
    >>> loss, gradient, sums, largest = jax.jit(jm.skip_padding(program, fractions=[0.5]))(2.0, x)
    >>> float(loss), float(gradient)
    (16.0, 16.0)
    >>> sums
    Masked(float32[4, 4], lengths=[4 1 0 2])
    [[ 3  7 12 19]
     [ 6  ·  ·  ·]
     [ ·  ·  ·  ·]
     [ 1  3  ·  ·]]
    >>> largest
    Masked(float32[4], real=3)
    [7 6 · 2]
    """
    checked = checked_fractions(fractions)

    @functools.wraps(fn, updated=())
    def skipping(*args: P.args, **kwargs: P.kwargs) -> R:
        return _call(fn, checked, args, kwargs)

    return skipping


def _call(fn: Callable[..., Any], fractions: tuple[float, ...], args: Any, kwargs: Any) -> Any:
    leaves, structure = jax.tree.flatten((args, kwargs), is_leaf=is_masked)
    batches = checked_batches(leaves)
    if not batches or any(x.mask.size == 0 for x in batches):
        return zero_filled(fn(*args, **kwargs))
    slots = place_batch([x.mask for x in batches], checked_axes(batches))
    counts = _row_counts(slots.rows_of_device, fractions)
    if not counts:
        return zero_filled(fn(*args, **kwargs))
    padded = PaddedProgram(fn, args, kwargs, [x.mask for x in batches])

    def run_packed(num_packed: int) -> Any:
        packed = [slots.packed(x, num_packed) if any(x is batch for batch in batches) else x for x in leaves]
        args, kwargs = structure.unflatten(packed)
        with noted(num_packed, leaves, batches):
            results = fn(*args, **kwargs)
        return padded.put_back(results, slots)

    if is_concrete(slots.num_used):
        found = [count for count in counts if count >= int(slots.num_used)]
        return padded.assembled(run_packed(found[0])) if found else zero_filled(fn(*args, **kwargs))
    branches = [functools.partial(run_packed, count) for count in counts]
    index = jnp.searchsorted(jnp.asarray(counts, jnp.int32), _agreed(slots.num_used))
    return padded.assembled(lax.switch(index, [*branches, padded.run]))


def _row_counts(num_rows: int, fractions: tuple[float, ...]) -> list[int]:
    """The numbers of packed rows to compile for, all smaller than that of the batch.

    They are rounded up to multiples of a power of two, about an eighth of the rows. None is 1: an array for the whole
    batch could then be broadcast against packed rows, instead of raising.
    """
    unit = 2 ** max(0, (num_rows // 8).bit_length() - 1)
    counts = {max(2, unit * math.ceil(fraction * num_rows / unit)) for fraction in fractions}
    return sorted(count for count in counts if count < num_rows)


def _agreed(num_used: Any) -> Any:
    """The largest number among the devices of a `jax.shard_map`.

    They take the same branch, since a collective in the function would otherwise wait for ever.
    """
    axes = tuple(jax.sharding.get_abstract_mesh().manual_axes)
    return lax.pmax(vary_over(num_used, axes), axes) if axes else num_used
