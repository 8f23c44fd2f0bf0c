"""Bidirectional networks: both directions of a sequence, merged step by step."""

from collections.abc import Callable
from typing import Any, Literal, TypeVar, overload

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

from ..core.checks import check_one_of
from ..core.masked import Masked, is_masked

Merge = Literal["concat", "sum", "mul", "ave"]
State = TypeVar("State")

MERGES: dict[str, Callable[[Any, Any], Any]] = {
    "concat": lambda x, y: jnp.concatenate([x, y], axis=-1),
    "sum": lambda x, y: x + y,
    "mul": lambda x, y: x * y,
    "ave": lambda x, y: (x + y) / 2,
}


@overload
def bidirectional(
    run: Callable[..., tuple[Masked, State]],
    params: tuple[Any, Any],
    x: Masked,
    *,
    merge_mode: Merge = "concat",
    return_state: Literal[True] = True,
    **options: Any,
) -> tuple[Masked, tuple[State, State]]: ...
@overload
def bidirectional(
    run: Callable[..., tuple[Array, State]],
    params: tuple[Any, Any],
    x: ArrayLike,
    *,
    merge_mode: Merge = "concat",
    return_state: Literal[True] = True,
    **options: Any,
) -> tuple[Array, tuple[State, State]]: ...
@overload
def bidirectional(
    run: Callable[..., tuple[Masked, State]],
    params: tuple[Any, Any],
    x: Masked,
    *,
    merge_mode: None,
    return_state: Literal[True] = True,
    **options: Any,
) -> tuple[tuple[Masked, Masked], tuple[State, State]]: ...
@overload
def bidirectional(
    run: Callable[..., tuple[Array, State]],
    params: tuple[Any, Any],
    x: ArrayLike,
    *,
    merge_mode: None,
    return_state: Literal[True] = True,
    **options: Any,
) -> tuple[tuple[Array, Array], tuple[State, State]]: ...
@overload
def bidirectional(
    run: Callable[..., Any],
    params: tuple[Any, Any],
    x: Masked,
    *,
    merge_mode: Merge = "concat",
    return_state: Literal[False],
    **options: Any,
) -> Masked: ...
@overload
def bidirectional(
    run: Callable[..., Any],
    params: tuple[Any, Any],
    x: ArrayLike,
    *,
    merge_mode: Merge = "concat",
    return_state: Literal[False],
    **options: Any,
) -> Array: ...
@overload
def bidirectional(
    run: Callable[..., Any],
    params: tuple[Any, Any],
    x: Masked,
    *,
    merge_mode: None,
    return_state: Literal[False],
    **options: Any,
) -> tuple[Masked, Masked]: ...
@overload
def bidirectional(
    run: Callable[..., Any],
    params: tuple[Any, Any],
    x: ArrayLike,
    *,
    merge_mode: None,
    return_state: Literal[False],
    **options: Any,
) -> tuple[Array, Array]: ...
def bidirectional(
    run: Callable[..., Any],
    params: tuple[Any, Any],
    x: Masked | ArrayLike,
    *,
    initial_state: tuple[Any, Any] | None = None,
    merge_mode: Merge | None = "concat",
    return_state: bool = True,
    **options: Any,
) -> Any:
    """Runs one recurrent network forwards and another backwards over every sequence, and merges their outputs.

    Args:
        run: the network, called as `run(params, x, *, initial_state, reverse, **options)`: `jm.rnn.lstm`, `jm.rnn.gru`,
            `jm.rnn.simple_rnn`, or `functools.partial(jm.rnn.scan, cell)`.
        params: a pair, the parameters of the forward and of the backward direction.
        x: values `(batch, time, ...)` with a mask `(batch, time)`, or an array, which has no padding.
        initial_state: a pair, the initial states of the forward and of the backward direction, each as `run` takes it
            or None; None: both are None.
        merge_mode: how the outputs of a step are merged: `"concat"` (along the last axis), `"sum"`, `"mul"`, `"ave"`,
            or None for the pair of both.
        return_state: whether to return the final states as well.
        **options: further options of `run`, for both directions.

    Returns:
        `(outputs, (forward_state, backward_state))`, or without `return_state` only the outputs. The outputs have the
        mask of `x`; those of both directions are merged at the step they belong to. The forward state is the one after
        the last real step of each row, the backward state the one after the first. An empty row has outputs 0 and keeps
        its initial states; it passes a gradient only to them.

    Raises:
        ValueError: `merge_mode` is unknown, or `params` or `initial_state` is not a pair.

    References:
        Schuster and Paliwal: Bidirectional Recurrent Neural Networks, IEEE Transactions on Signal Processing 45 (1997).

    >>> import jax.numpy as jnp, jmask as jm
    >>> params = jm.rnn.LSTMParams(jnp.ones((3, 8)), jnp.ones((2, 8)), jnp.zeros(8))
    >>> x = jm.from_lengths(jnp.ones((4, 5, 3)), [5, 2, 0, 1])
    >>> outputs, (forward, backward) = jm.rnn.bidirectional(jm.rnn.lstm, (params, params), x)
    >>> outputs.shape, backward.hidden.shape
    ((4, 5, 4), (4, 2))
    """
    check_one_of("merge_mode", merge_mode, (*MERGES, None))
    states = (None, None) if initial_state is None else initial_state
    for name, pair in (("params", params), ("initial_state", states)):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2 or hasattr(pair, "_fields"):
            raise ValueError(
                f"`{name}` of `bidirectional` is a pair, for the forward and the backward direction; received "
                f"{type(pair).__name__}."
            )
    (forward, forward_state), (backward, backward_state) = (
        run(params[i], x, initial_state=states[i], reverse=reverse, **options)
        for i, reverse in enumerate((False, True))
    )
    merged = merge(forward, backward, merge_mode)
    return (merged, (forward_state, backward_state)) if return_state else merged


def merge(forward: Any, backward: Any, mode: str | None) -> Any:
    """The outputs of both directions as one, leaf by leaf, or as a pair."""
    if mode is None:
        return forward, backward

    def merged(x: Any, y: Any) -> Any:
        return x.with_values(MERGES[mode](x.values, y.values)) if isinstance(x, Masked) else MERGES[mode](x, y)

    return jax.tree.map(merged, forward, backward, is_leaf=is_masked)
