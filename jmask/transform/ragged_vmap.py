"""`jm.vmap`: `jax.vmap` for sequences of different lengths."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, Protocol, overload, runtime_checkable

from .arguments import prefix, read_arguments, widen
from .compiled import run_compiled
from .packed_arguments import packed_again, with_rows_of_sequences
from .plan import plan_batch
from .results import move_axis
from .rows import refuse_unequal
from .symbols import check_constraints, make_symbols

P = ParamSpec("P")


@runtime_checkable
class Vmapped(Protocol[P]):
    """A function of a batch: an editor shows the parameters of the function of one sequence."""

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any: ...

    @overload
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


def vmap(
    fn: Callable[P, Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    *,
    lengths: Any = None,
    constraints: Sequence[str] = (),
) -> Vmapped[P]:
    """`jax.vmap` for sequences of different lengths: a function of one sequence becomes a function of a padded batch.

    The function needs to know nothing of masks or padding; it can come from `jax.nn`, Flax, Equinox or anywhere else.
    Each row of a `Masked` argument reaches it as a plain array of the row's real steps. The result for each row is what
    the function gives for this sequence alone: values, lengths, and gradients with respect to the arguments and to
    everything that the function closes over.

    How it works: the function is traced once with a symbolic length, and the traced program runs on the padded rows,
    with a rule for each primitive that keeps padding out of the results. New lengths compile nothing new. Wrap it in
    `jax.jit`, as you would wrap `jax.vmap`: outside `jax.jit` every call traces the function again, although it is
    compiled only once for each program and shape.

    It composes with `jax.jit`, `jax.grad`, `jax.jvp`, `jax.checkpoint`, `jax.lax.scan`, `jax.vmap` and
    `jax.shard_map`, inside and outside. `jm.vmap(jm.vmap(fn))` is for masks of rank 3, such as documents of sentences
    of words: `fn` gets one sentence, and the inner `jm.vmap` gets a document as a `Masked` of the sentences that have a
    word.

    Args:
        fn: a function of one or more sequences that returns a pytree of arrays. It may use lengths in shapes and in
            arithmetic (`x.shape[0]`, `jnp.mean(x, 0)`, `x[:-1]`), but not in Python's `if`, `int`, `range` or as
            dictionary keys. A comparison works if its answer is the same for all lengths from 1 to the padded size, and
            raises otherwise. The text of a length is its name: `f"{x.shape[0]}"` is `"t"` for all sequences, and
            `isinstance(x.shape[0], int)` is False.
        in_axes: the batch axis of each argument, as for `jax.vmap`. For a `Masked` it is an axis of the mask as well.
        out_axes: the batch axis of each result, as for `jax.vmap`.
        lengths: names for the lengths: one name for all `Masked` arguments, or a prefix of the positional arguments,
            like `in_axes`. Arguments that share a name have equal lengths in every row. If they differ under `jax.jit`,
            the results of that row are NaN, or the smallest integer. By default each `Masked` has its own length.
        constraints: what the function requires of the lengths, such as `["t >= 3"]` for `jax.lax.top_k(x, 3)`,
            `["t == 4"]` or `["mod(t, 2) == 0"]`; a single unnamed length is called `t`. A row that does not meet them
            counts as empty.

    Returns:
        A function of the batch. A result whose shape depends on a length is a `Masked` with zeros in its padding: a
        result of `t` steps has its steps where the argument has them, one of `t - 1` or `2*t` steps has them at the
        start. Its mask spans the axes up to the last one that depends on a length. Other results are arrays, without a
        mask of the rows (`jm.masked(result, x.mask.any(1))` adds one).

        A row counts as empty if all its sequences are empty. The function does not run for it: the result is zeros,
        with no real step, and its gradients are zeros. If only some of its sequences are empty, the function gets them
        with 0 steps; if it has no result for that (`jnp.max`), or a result of another rank, the row counts as empty.

        Of packed rows whose `num_sequences` is known, the function sees one sequence at a time; other arguments have an
        entry for each sequence. A result of `t` steps is packed as the argument is, one of another length is a batch
        with a row for each sequence, and other results are a `Masked` `(num_sequences, ...)`, masked for ids without
        steps. Each sequence has a padded row of its own inside the program, as long as a packed row; where sequences
        are known to be much shorter, `jm.unpack_batch(x, num_sequences, length)` first makes shorter ones.

        Random numbers that the function draws are valid for each row, but equal those for the sequence alone only in
        arrays where the first axis alone depends on the length.

    Raises:
        SymbolicLengthError: if the function needs a length as a Python number; a `TypeError`.
        NotImplementedError: if a primitive has no rule; see `jm.def_vmap_rule`.
        ValueError: for packed rows whose number of sequences is not known, batches of different sizes, arguments
            without a batch axis, a constraint that cannot be parsed, or lengths that share a name but differ.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.pad_sequences([[3.0, 4.0, 5.0], [6.0], []])
    >>> jm.vmap(jnp.mean)(x).tolist()
    [4.0, 6.0, 0.0]
    >>> jm.vmap(lambda x: (x - x.mean()) / jnp.sqrt(x.var() + 1))(x).shape
    (3, 3)
    >>> jm.vmap(jnp.diff)(x)
    Masked(float32[3, 2], lengths=[2 0 0])
    [[1 1]
     [· ·]
     [· ·]]
    """

    @functools.wraps(fn, updated=())
    def mapped(*args: Any, **kwargs: Any) -> Any:
        return _call(fn, in_axes, out_axes, lengths, constraints, args, kwargs)

    return mapped


def _call(fn: Any, in_axes: Any, out_axes: Any, lengths: Any, constraints: Any, args: Any, kwargs: Any) -> Any:
    args, kwargs, packed = with_rows_of_sequences(args, kwargs, in_axes)
    leaves, arguments = read_arguments(args, kwargs, in_axes, lengths)
    rules = check_constraints(constraints, list(arguments.times))
    arguments, most = widen(arguments, rules)
    refuse_unequal(
        [(a.name, a.axis, leaf.mask) for leaf, a in zip(leaves, arguments.each, strict=True) if a.name is not None]
    )
    symbols = make_symbols(list(arguments.times), rules, most)
    plan = plan_batch(fn, arguments, symbols)
    outputs = packed_again(run_compiled(plan, leaves), plan, packed)
    structure = plan.main.program.structure
    places = prefix(out_axes, structure.unflatten(outputs), "out_axes")
    return structure.unflatten(map(move_axis, outputs, places))
