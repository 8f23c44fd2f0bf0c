"""The three recurrent networks of the field over masked batches: SimpleRNN, GRU and LSTM."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ..core.arithmetic import expand, in_front
from ..core.masked import values_of
from . import fused
from .cells import GRUParams, LSTMParams, LSTMState, SimpleRNNParams, gru_step, lstm_step, simple_rnn_step
from .masked_scan import arrays_of_state, masked_as, over_rows, refuse_state_of_packed_rows, scan_rows, split

IMPLEMENTATIONS = ("auto", "xla", "scan")
GATES = {"simple_rnn": 1, "gru": 3, "gru_reset_before": 3, "lstm": 4}
_FUSED_CELLS = {
    "simple_rnn": fused.SimpleRNN(),
    "gru": fused.GRU(),
    "gru_reset_before": fused.GRUResetBefore(),
    "lstm": fused.LSTM(),
}
_STANDARD = ({jnp.tanh, jax.nn.tanh, jax.lax.tanh}, {jax.nn.sigmoid, jax.lax.logistic})


def simple_rnn(
    params: SimpleRNNParams,
    x: Any,
    *,
    initial_state: Any = None,
    reverse: bool = False,
    return_state: bool = True,
    activation: Callable = jnp.tanh,
    implementation: str = "auto",
    remat: bool | None = None,
) -> Any:
    """A simple recurrent network over every sequence of a batch (see `jm.rnn.simple_rnn_step`).

    Masks, packed rows, empty rows and dtypes are as in `jm.rnn.lstm`.

    Args:
        params: kernel `(features, units)`, recurrent kernel `(units, units)`, bias `(units,)` or None.
        x: values `(batch, time, features)` with a mask `(batch, time)`, or an array.
        initial_state: `(batch, units)`, an array or a `Masked`; zeros if None.
        reverse: from the last real step to the first.
        return_state: whether the final state is returned besides.
        activation: in the place of tanh.
        implementation: as in `jm.rnn.lstm`.
        remat: as in `jm.rnn.lstm`.

    Returns:
        The hidden states `(batch, time, units)`, masked as `x`, and the final state `(batch, units)`.

    Raises:
        ValueError: as in `jm.rnn.lstm`.

    >>> import jax.numpy as jnp, jmask as jm
    >>> params = jm.rnn.SimpleRNNParams(jnp.ones((3, 2)), jnp.ones((2, 2)), None)
    >>> outputs, state = jm.rnn.simple_rnn(params, jm.from_lengths(jnp.ones((4, 5, 3)), [5, 2, 0, 1]))
    >>> outputs.shape, state.shape
    ((4, 5, 2), (4, 2))
    """
    activations = (activation,)
    return _recur("simple_rnn", params, x, initial_state, reverse, return_state, activations, implementation, remat)


def gru(
    params: GRUParams,
    x: Any,
    *,
    initial_state: Any = None,
    reverse: bool = False,
    return_state: bool = True,
    activation: Callable = jnp.tanh,
    recurrent_activation: Callable = jax.nn.sigmoid,
    reset_after: bool = True,
    implementation: str = "auto",
    remat: bool | None = None,
) -> Any:
    """A gated recurrent unit over every sequence of a batch (see `jm.rnn.gru_step`).

    Masks, packed rows, empty rows and dtypes are as in `jm.rnn.lstm`.

    Args:
        params: kernel `(features, 3 units)`, recurrent kernel `(units, 3 units)`, and a bias `(2, 3 units)`, without
            `reset_after` `(3 units,)`, or None.
        x: values `(batch, time, features)` with a mask `(batch, time)`, or an array.
        initial_state: `(batch, units)`, an array or a `Masked`; zeros if None.
        reverse: from the last real step to the first.
        return_state: whether the final state is returned besides.
        activation: in the place of tanh.
        recurrent_activation: in the place of sigmoid.
        reset_after: whether the reset gate comes after the recurrent product or before it.
        implementation: as in `jm.rnn.lstm`.
        remat: as in `jm.rnn.lstm`.

    Returns:
        The hidden states `(batch, time, units)`, masked as `x`, and the final state `(batch, units)`.

    Raises:
        ValueError: as in `jm.rnn.lstm`; a bias that does not fit `reset_after`.

    >>> import jax.numpy as jnp, jmask as jm
    >>> params = jm.rnn.GRUParams(jnp.ones((3, 6)), jnp.ones((2, 6)), jnp.zeros((2, 6)))
    >>> outputs, state = jm.rnn.gru(params, jm.from_lengths(jnp.ones((4, 5, 3)), [5, 2, 0, 1]))
    >>> outputs.shape, state.shape
    ((4, 5, 2), (4, 2))
    """
    activations = (activation, recurrent_activation)
    kind = "gru" if reset_after else "gru_reset_before"
    return _recur(kind, params, x, initial_state, reverse, return_state, activations, implementation, remat)


def lstm(
    params: LSTMParams,
    x: Any,
    *,
    initial_state: tuple[Any, Any] | None = None,
    reverse: bool = False,
    return_state: bool = True,
    activation: Callable = jnp.tanh,
    recurrent_activation: Callable = jax.nn.sigmoid,
    implementation: str = "auto",
    remat: bool | None = None,
) -> Any:
    """An LSTM over every sequence of a batch (see `jm.rnn.lstm_step`); masks and empty rows as in `jm.rnn.scan`.

    The inputs of all steps are projected in one matrix product. Products are taken in the common dtype of inputs and
    kernel, and summed in float32 at least; the state is float32 at least, the outputs have the common dtype.

    Args:
        params: kernel `(features, 4 units)`, recurrent kernel `(units, 4 units)`, bias `(4 units,)` or None.
        x: values `(batch, time, features)` with a mask `(batch, time)`, or an array.
        initial_state: hidden and cell state, `(batch, units)` each, arrays or `Masked`; zeros if None. Not for packed
            rows.
        reverse: from the last real step to the first; outputs stay at the steps they belong to.
        return_state: whether the final state is returned besides.
        activation: in the place of tanh.
        recurrent_activation: in the place of sigmoid.
        implementation: `"xla"` takes time for the real steps only: it packs the rows into lanes inside the program, and
            has a gradient of its own. `"scan"` is a plain `jax.lax.scan` over all steps, for forward-mode derivatives
            (`jax.jvp`, `jax.jacfwd`, `jax.hessian`), which the other one refuses; it also serves other activations,
            and weights that are spread over explicit mesh axes. `"auto"` is `"xla"`, or `"scan"` where there are
            several devices and the batch may be spread over them unseen, on automatic mesh axes: inside
            `jax.shard_map` and on explicit axes it is not.
        remat: whether the gates are computed again in the backward pass, instead of being saved; None: if they take
            more than 16 MiB.

    Returns:
        The hidden states `(batch, time, units)`, masked as `x` and zero at padded steps, and the final `LSTMState`,
        after the last real step of each row; of packed rows, that of the sequence that comes last in the direction of
        the scan. The states are arrays without a mask. Without `return_state`, the hidden states alone.

    Raises:
        ValueError: values or weights of other shapes, an initial state that does not fit, or one of packed rows; an
            implementation that there is not.

    >>> import jax.numpy as jnp, jmask as jm
    >>> params = jm.rnn.LSTMParams(jnp.ones((3, 8)), jnp.ones((2, 8)), jnp.zeros(8))
    >>> outputs, state = jm.rnn.lstm(params, jm.from_lengths(jnp.ones((4, 5, 3)), [5, 2, 0, 1]))
    >>> outputs.shape, state.cell.shape
    ((4, 5, 2), (4, 2))
    """
    activations = (activation, recurrent_activation)
    return _recur("lstm", params, x, initial_state, reverse, return_state, activations, implementation, remat)


def prepare(kind: str, params: Any, inputs: Any, activations: tuple[Callable, ...]) -> tuple[Any, Callable]:
    """The inputs `(..., features)` projected, and what remains of a step: `(scale, state, projected) -> (state, h)`."""
    check_weights(kind, params, inputs.shape[-1])
    dtype = jnp.result_type(inputs.dtype, params.kernel.dtype)
    wide = jnp.promote_types(dtype, jnp.float32)
    input_bias, recurrent_bias = params.bias, None
    if kind == "gru" and params.bias is not None:
        input_bias, recurrent_bias = params.bias[0], params.bias[1].astype(wide)
    kernel, recurrent_kernel = params.kernel.astype(dtype), params.recurrent_kernel.astype(dtype)
    projected = jnp.matmul(inputs.astype(dtype), kernel, preferred_element_type=wide)
    projected = projected if input_bias is None else projected + in_front(input_bias, projected.ndim).astype(wide)
    advance = {
        "simple_rnn": simple_rnn_step,
        "gru": functools.partial(gru_step, recurrent_bias=recurrent_bias),
        "gru_reset_before": functools.partial(gru_step, reset_after=False),
        "lstm": lstm_step,
    }[kind]

    def step(scale: Any, state: Any, projected: Any) -> tuple[Any, Any]:
        new_state = advance(recurrent_kernel, state, projected, *activations, scale=scale)
        new_state = jax.tree.map(lambda new, old: new.astype(old.dtype), new_state, state)
        return new_state, jax.tree.leaves(new_state)[0].astype(dtype)  # the hidden state comes first

    return projected, step


def check_implementation(implementation: str) -> None:
    """Refuses the name of an implementation that there is not."""
    if implementation not in IMPLEMENTATIONS:
        there_is = ", ".join(map(repr, IMPLEMENTATIONS))
        raise ValueError(f"`implementation` is one of {there_is} in this version; received {implementation!r}.")


def check_weights(kind: str, params: Any, features: int) -> None:
    """Refuses weights whose shapes fit neither each other nor the inputs."""
    units, gates = params.recurrent_kernel.shape[0], GATES[kind]
    expected = {"kernel": (features, gates * units), "recurrent_kernel": (units, gates * units)}
    if params.bias is not None:
        expected["bias"] = (2, gates * units) if kind == "gru" else (gates * units,)
    for name, shape in expected.items():
        received = tuple(getattr(params, name).shape)
        if received != shape:
            given = {"gru": " with `reset_after`", "gru_reset_before": " without `reset_after`"}.get(kind, "")
            raise ValueError(
                f"`{_name(kind)}`{given} over {features} features takes for {units} units a {name} of shape {shape}; "
                f"received {received}."
            )


def _recur(
    kind: str,
    params: Any,
    x: Any,
    initial_state: Any,
    reverse: bool,
    return_state: bool,
    activations: tuple[Callable, ...],
    implementation: str,
    remat: bool | None,
) -> Any:
    values, mask, segment_ids = values_of(x), *split(x)[1:]
    if values.ndim != 3:
        raise ValueError(f"`{_name(kind)}` takes values (batch, time, features); received {tuple(values.shape)}.")
    refuse_state_of_packed_rows(x, initial_state)
    check_weights(kind, params, values.shape[-1])
    if initial_state is not None:
        initial_state = arrays_of_state(initial_state)
        initial_state = _checked_state(kind, initial_state, (values.shape[0], params.recurrent_kernel.shape[0]))
    check_implementation(implementation)
    rows = fused.Rows(
        values, mask, segment_ids, None if initial_state is None else tuple(jax.tree.leaves(initial_state))
    )
    how = {"kind": kind, "reverse": reverse, "wants_state": return_state, "remat": remat}
    if _is_fused(rows, params, activations, implementation):
        outputs, state = _run_fused(rows, params, **how)
    else:
        outputs, state = _run_scan(rows, params, activations=activations, **how)
    outputs = masked_as(x, outputs)
    if not return_state:
        return outputs
    return outputs, LSTMState(*state) if kind == "lstm" else state[0]


def _is_fused(rows: fused.Rows, params: Any, activations: tuple[Callable, ...], implementation: str) -> bool:
    """The seam between what is computed and how: whether the fused engine runs it, or a plain scan."""
    is_standard = all(own in standard for own, standard in zip(activations, _STANDARD, strict=False))
    has_sizes = all(isinstance(size, int) for size in rows.inputs.shape)  # not symbolic ones, of `jax.export`
    is_possible = is_standard and has_sizes and rows.inputs.size > 0 and fused.is_laid_out(rows, params)
    return is_possible and (implementation == "xla" or (implementation == "auto" and fused.is_known(rows)))


@functools.partial(jax.jit, static_argnames=("kind", "reverse", "wants_state", "remat"), inline=True)
def _run_fused(
    rows: fused.Rows, params: Any, *, kind: str, reverse: bool, wants_state: bool, remat: bool | None
) -> tuple[Any, Any]:
    """Outputs, zero at padded steps, and the final state, by the fused engine; the same as `_run_scan`."""
    dtype = jnp.result_type(rows.inputs.dtype, params.kernel.dtype)
    wide = jnp.promote_types(dtype, jnp.float32)
    initial = None if rows.initial is None else tuple(part.astype(wide) for part in rows.initial)
    rows = rows._replace(inputs=rows.inputs.astype(dtype), initial=initial)
    recur = functools.partial(fused.recur, _options(kind, reverse, wants_state, remat))
    outputs, state = fused.over_devices(recur, rows, _weights(kind, params, dtype))
    if rows.mask is not None and wants_state:
        is_real = rows.mask.any(axis=1)
        initial = initial or (0,) * len(state)
        state = tuple(jnp.where(expand(is_real, 2), s, i) for s, i in zip(state, initial, strict=True))
    return outputs.astype(dtype), state


@functools.cache
def _options(kind: str, reverse: bool, wants_state: bool, remat: bool | None) -> fused.Options:
    """Equal options are one object, so that what the engine makes of them is made once."""

    def reference(rows: fused.Rows, weights: fused.Weights) -> tuple[Any, Any]:
        """`_run_scan` on the engine's arguments, with outputs as wide as the state."""
        params = _params(kind, weights)
        standard = (jnp.tanh, jax.nn.sigmoid)[: 1 if kind == "simple_rnn" else 2]
        how = {"reverse": reverse, "wants_state": True, "remat": remat}
        outputs, state = _run_scan(rows, params, kind=kind, activations=standard, **how)
        return outputs.astype(state[0].dtype), state

    return fused.Options(_FUSED_CELLS[kind], reference, reverse, wants_state, remat)


def _weights(kind: str, params: Any, dtype: Any) -> fused.Weights:
    """Parameters as the engine takes them: kernels in the dtype of the products, biases in that of the sums."""
    wide = jnp.promote_types(dtype, jnp.float32)
    bias = None if params.bias is None else params.bias.astype(wide)
    biases = (bias[0], bias[1]) if kind == "gru" and bias is not None else (bias, None)
    kernel, recurrent_kernel = params.kernel.astype(dtype), params.recurrent_kernel.astype(dtype)
    return fused.Weights(kernel, biases[0], recurrent_kernel, biases[1])


def _params(kind: str, weights: fused.Weights) -> Any:
    """The inverse of `_weights`."""
    bias = weights.bias
    if kind == "gru" and bias is not None:
        bias = jnp.stack([bias, weights.recurrent_bias])
    structure = {"lstm": LSTMParams, "simple_rnn": SimpleRNNParams}.get(kind, GRUParams)
    return structure(weights.kernel, weights.recurrent_kernel, bias)


@functools.partial(jax.jit, static_argnames=("kind", "reverse", "wants_state", "remat", "activations"), inline=True)
def _run_scan(
    rows: fused.Rows,
    params: Any,
    *,
    kind: str,
    reverse: bool,
    wants_state: bool,
    remat: bool | None,
    activations: tuple[Callable, ...],
) -> tuple[Any, Any]:
    """Outputs, zero at padded steps, and the final state, by `jax.lax.scan`.

    Args:
        rows: inputs, masks and the initial state, of any dtype.
        params: weights of the kind.
        kind: a key of `GATES`.
        reverse: the direction.
        wants_state: whether the final state is asked for.
        remat: whether the backward pass computes each step again.
        activations: of the candidate, and of the gates where there are any.

    Returns:
        `(batch, time, units)` in the common dtype of inputs and kernel, and the parts of the state, in float32 at
        least, or None.
    """
    inputs = rows.inputs if rows.mask is None else jnp.where(rows.mask[..., None], rows.inputs, 0)
    projected, step = prepare(kind, params, inputs, activations)
    zeros = jnp.zeros(params.recurrent_kernel.shape[0], projected.dtype)
    state = LSTMState(zeros, zeros) if kind == "lstm" else zeros
    if rows.initial is None:
        state = over_rows(state, inputs)
    else:
        state = jax.tree.structure(state).unflatten([part.astype(projected.dtype) for part in rows.initial])
    step = jax.checkpoint(step) if remat else step
    outputs, state = scan_rows(step, projected, rows.mask, rows.segment_ids, state, reverse=reverse)
    return outputs, tuple(jax.tree.leaves(state)) if wants_state else None


def _checked_state(kind: str, state: Any, shape: tuple[int, int]) -> Any:
    """The initial state in the structure of the kind's own."""
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(state)]
    num_parts = 2 if kind == "lstm" else 1
    if [leaf.shape for leaf in leaves] != [shape] * num_parts:
        rule = f"two arrays, hidden and cell, of shape {shape}" if kind == "lstm" else f"an array of shape {shape}"
        raise ValueError(
            f"`initial_state` of `{_name(kind)}` is {rule}; received {[tuple(leaf.shape) for leaf in leaves]}."
        )
    return LSTMState(*leaves) if kind == "lstm" else leaves[0]


def _name(kind: str) -> str:
    """What the user calls it."""
    return kind.removesuffix("_reset_before")
