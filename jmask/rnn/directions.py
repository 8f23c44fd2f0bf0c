"""Both directions of a sequence, merged where the steps are."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ..core.checks import check_one_of
from ..core.masked import Masked, is_masked

MERGES: dict[str, Callable[[Any, Any], Any]] = {
    "concat": lambda x, y: jnp.concatenate([x, y], axis=-1),
    "sum": lambda x, y: x + y,
    "mul": lambda x, y: x * y,
    "ave": lambda x, y: (x + y) / 2,
}


def bidirectional(
    run: Callable[..., Any],
    params: tuple[Any, Any],
    x: Any,
    *,
    initial_state: tuple[Any, Any] | None = None,
    merge_mode: str | None = "concat",
    return_state: bool = True,
    **options: Any,
) -> Any:
    """A recurrent network from the first real step to the last, and another one back.

    Args:
        run: `jm.rnn.lstm`, `jm.rnn.gru`, `jm.rnn.simple_rnn`, or `functools.partial(jm.rnn.scan, cell)`.
        params: the parameters of the forward and of the backward direction.
        x: values `(batch, time, ...)` with a mask `(batch, time)`, or an array.
        initial_state: those of the forward and of the backward direction; each may be None.
        merge_mode: `"concat"` (of features), `"sum"`, `"mul"`, `"ave"`, or None for a pair.
        return_state: whether the final states are returned besides.
        **options: of `run`, for both directions.

    Returns:
        The merged outputs, masked as `x`, each of both at the step that it belongs to; and the pair of the forward
        state (after the last real step) and the backward state (after the first). Without `return_state`, the outputs
        alone. An empty row has outputs 0 and keeps its initial states.

    Raises:
        ValueError: an unknown `merge_mode`, or `params` or `initial_state` that are no pair.

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
