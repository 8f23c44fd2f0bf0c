"""`jm.vmap`: `jax.vmap` for sequences of different lengths."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from .arguments import prefix, read_arguments, widen
from .compiled import run_compiled
from .plan import plan_batch
from .results import move_axis
from .rows import refuse_unequal
from .symbols import check_constraints, make_symbols


def vmap(
    fn: Callable[..., Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    *,
    lengths: Any = None,
    constraints: Sequence[str] = (),
) -> Callable[..., Any]:
    """`jax.vmap` for sequences of different lengths: a function of one sequence becomes a function of a padded batch.

    The function knows neither masks nor padding; it may come from anywhere, `jax.nn`, Flax or Equinox. Each row of a
    `Masked` argument reaches it as a plain array of the row's real steps, and the result for each row is that of the
    function on this sequence alone: values, lengths, and gradients with respect to arguments and to what the function
    closes over. It is traced with a symbolic length, so other lengths compile nothing anew; then the program is run on
    the padded rows, by a rule for each primitive that keeps padding out of the results. Outside `jax.jit` it is traced
    at each call, as by `jax.vmap`, and compiled once for each program and shape.

    It composes with `jax.jit`, `jax.grad`, `jax.jvp`, `jax.checkpoint`, `jax.lax.scan`, `jax.vmap` and
    `jax.shard_map`, inside and outside. `jm.vmap(jm.vmap(fn))` runs `fn` on the inner sequences of a mask of rank 3: on
    the sentences, each of words, of documents. Between the two, a document is a `Masked` of as many sentences as it
    has, those with any real word.

    Args:
        fn: a function of one sequence, or of several, which returns a pytree of arrays. It may use lengths in shapes
            and in arithmetic (`x.shape[0]`, `jnp.mean(x, 0)`, `x[:-1]`), not in Python's `if`, `int`, `range` or a
            dictionary. A comparison is answered if the answer is the same for all lengths from 1 to the padded size,
            and refused if not. The text of a length is its name: `f"{x.shape[0]}"` is `"t"` for all sequences, and
            `isinstance(x.shape[0], int)` is False.
        in_axes: as for `jax.vmap`: which axis of each argument is the batch's. Of a `Masked` it is an axis of the mask.
        out_axes: as for `jax.vmap`.
        lengths: names for the lengths, one for all `Masked` arguments, or a prefix of the positional arguments, like
            `in_axes`. Arguments under one name have equal lengths, row by row; where they differ under `jax.jit`, the
            results of the row are NaN, or of integers the smallest one. By default every `Masked` has a length of its
            own, which may differ from the others'.
        constraints: what the function needs of the lengths, e.g. `["t >= 3"]` for `jax.lax.top_k(x, 3)`, `["t == 4"]`,
            `["mod(t, 2) == 0"]`; a single length without a name is called `t`. A row for which it does not hold counts
            as empty.

    Returns:
        A function of the batch. Where the shape of a result depends on a length, it returns a `Masked` with zeros in
        its padding: for a result of `t` steps the steps stand where those of the argument do, for one of `t - 1` or
        `2*t` at the front; its mask spans the axes up to the last one that depends on a length. Other results are
        arrays, without a mask of rows (`jm.masked(result, x.mask.any(1))` gives them one). For an empty row the
        function is not run: the result is zeros, without a real step, and its gradients are zeros. A row counts as
        empty if all its sequences are. Where some are and others are not, the result is that of the function on these
        sequences, the empty ones without a step; if it has none for them (`jnp.max`), or results of another rank, the
        row counts as empty.

        Random draws of the function are valid for each row, but equal those of the sequence alone only for arrays whose
        first axis alone depends on the length.

    Raises:
        SymbolicLengthError: the function asks for a length as a Python number; a `TypeError`.
        NotImplementedError: a primitive without a rule; see `jm.def_vmap_rule`.
        ValueError: packed rows, batches of different sizes, no argument with a batch axis, a constraint that is none,
            or lengths of one name that are seen to differ.

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
    leaves, arguments = read_arguments(args, kwargs, in_axes, lengths)
    rules = check_constraints(constraints, list(arguments.times))
    arguments, most = widen(arguments, rules)
    refuse_unequal(
        [(a.name, a.axis, leaf.mask) for leaf, a in zip(leaves, arguments.each, strict=True) if a.name is not None]
    )
    symbols = make_symbols(list(arguments.times), rules, most)
    plan = plan_batch(fn, arguments, symbols)
    outputs = run_compiled(plan, leaves)
    structure = plan.main.program.structure
    places = prefix(out_axes, structure.unflatten(outputs), "out_axes")
    return structure.unflatten(map(move_axis, outputs, places))
