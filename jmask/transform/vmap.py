"""`jm.vmap`: `jax.vmap` for sequences of different lengths."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax

from .arguments import prefix, read_arguments, widen
from .evaluate import run
from .padded import Padded
from .results import assemble, forms, leave, move_axis
from .rows import enter, lend, merge_lengths, shelter
from .sizes import Sizes, holds
from .trace import make_symbols, trace


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
    closes over. It is traced once, with a symbolic length, so other lengths compile nothing anew; then the program is
    run on the padded rows, by a rule for each primitive that keeps padding out of the results.

    It composes with `jax.jit`, `jax.grad`, `jax.jvp`, `jax.checkpoint`, `jax.lax.scan`, `jax.vmap` and
    `jax.shard_map`, inside and outside. `jm.vmap(jm.vmap(fn))` runs `fn` on the inner sequences of a mask of rank 3: on
    the sentences, each of words, of documents. Between the two, a document is a `Masked` of as many sentences as it
    has, those with any real word.

    Args:
        fn: a function of one sequence, or of several, which returns a pytree of arrays. It may use lengths in shapes
            and in arithmetic (`x.shape[0]`, `jnp.mean(x, 0)`, `x[:-1]`), not in Python's `if`, `int` or `range`.
        in_axes: as for `jax.vmap`: which axis of each argument is the batch's. Of a `Masked` it is an axis of the mask.
        out_axes: as for `jax.vmap`.
        lengths: names for the lengths, one for all `Masked` arguments, or a prefix of the positional arguments, like
            `in_axes`. Arguments under one name have equal lengths, row by row. By default every `Masked` has a length
            of its own, which may differ from the others'.
        constraints: what the function needs of the lengths, e.g. `["t >= 3"]` for `jax.lax.top_k(x, 3)`; a single
            length without a name is called `t`. A row for which it does not hold counts as empty.

    Returns:
        A function of the batch. Where the shape of a result depends on a length, it returns a `Masked` with zeros in
        its padding: for a result of `t` steps the steps stand where those of the argument do, for one of `t - 1` or
        `2*t` at the front; its mask spans the axes up to the last one that depends on a length. Other results are
        arrays. For an empty row the function is not run: the result is zeros, without a real step, and its gradients
        are zeros.

        Random draws of the function are valid for each row, but equal those of the sequence alone only for arrays whose
        first axis alone depends on the length.

    Raises:
        SymbolicLengthError: the function asks for a length as a Python number; a `TypeError`.
        NotImplementedError: a primitive without a rule; see `jm.def_vmap_rule`.
        ValueError: packed rows, batches of different sizes, or no argument with a batch axis.

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
    constraints = (constraints,) if isinstance(constraints, str) else tuple(constraints)
    arguments = read_arguments(args, kwargs, in_axes, lengths)
    symbols = make_symbols(list(arguments.by_name), constraints)
    arguments = widen(arguments, constraints)
    parts = arguments.parts(symbols.own)
    program = trace(fn, arguments.structure, [part.spec for part in parts], symbols)
    out_forms = forms(program, symbols.own)

    padded = {str(symbols.own[name]): row.time for name, row in arguments.by_name.items()}
    counts, runs = merge_lengths(arguments.rows, arguments.size)
    counts = {str(symbols.own[name]): count for name, count in counts.items()}
    for rule in symbols.constraints:
        runs &= holds(rule, counts)
    counts, lent = lend(runs, counts, parts, padded)
    constants = shelter(program.jaxpr.consts, runs)
    shared = shelter([part.array for part in parts if not part.is_batched], runs)
    arrays = [part.array if part.is_batched else shared.pop(0) for part in parts]

    def row_function(counts: dict[str, Any], runs: Any, arrays: list[Any]) -> list[Any]:
        sizes = Sizes(padded, counts, symbols.outer, runs)
        rows = [Padded(array, part.spec.shape, sizes) for array, part in zip(arrays, parts, strict=True)]
        operands = [enter(row, other, runs) for row, other in zip(rows, lent, strict=True)]
        found = iter(run(program.jaxpr, sizes, operands, constants=constants))
        return [leave(form, [next(found) for _ in range(1 + form.has_mask)], runs) for form in out_forms]

    axes = (0, 0, [0 if part.is_batched else None for part in parts])
    results = jax.vmap(row_function, in_axes=axes, axis_size=arguments.size)(counts, runs, arrays)
    are_all_run = len(arguments.rows) == 1 and not symbols.constraints
    orders = {name: row.order for name, row in arguments.by_name.items()}
    outputs = [
        assemble(form, values, mask, orders, are_all_run)
        for form, (values, mask) in zip(out_forms, results, strict=True)
    ]
    places = prefix(out_axes, program.structure.unflatten(outputs), "out_axes")
    return program.structure.unflatten(map(move_axis, outputs, places))
