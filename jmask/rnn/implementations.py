"""The two implementations of the standard networks, the fused engine and a plain scan, and the choice between them."""

import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from ..core.arithmetic import expand
from ..core.checks import check_one_of
from ..core.masked import like, values_of
from ..core.row_sharding import is_divisible, is_laid_out, on_each_device
from . import fused
from .cells import GRUParams, LSTMParams, LSTMState, SimpleRNNParams
from .kinds import check_weights, checked_state, function_name, split_step
from .masked_scan import arrays_of_state, checked_batch, over_rows, refuse_state_of_packed_rows, scan_rows

Implementation = Literal["auto", "xla", "scan"]
IMPLEMENTATIONS: tuple[Implementation, ...] = ("auto", "xla", "scan")
_FUSED_CELLS = {
    "simple_rnn": fused.FusedSimpleRNN(),
    "gru": fused.FusedGRU(),
    "gru_reset_before": fused.FusedGRUResetBefore(),
    "lstm": fused.FusedLSTM(),
}
_FEW_STATES = 2**16  # numbers in the states of all steps
_STANDARD_ACTIVATIONS = ({jnp.tanh, jax.nn.tanh, jax.lax.tanh}, {jax.nn.sigmoid, jax.lax.logistic})


def run_network(
    kind: str,
    params: Any,
    x: Any,
    initial_state: Any,
    *,
    activations: tuple[Callable, ...],
    reverse: bool,
    return_state: bool,
    implementation: Implementation,
    remat: bool | None,
) -> Any:
    """Checks the arguments of `jm.rnn.lstm` and the like, and runs the requested implementation.

    Args:
        kind: a key of `GATES`.
        params: its weights.
        x: a `Masked` or an array, `(batch, time, features)`.
        initial_state: as the caller gave it, or None.
        activations: of the candidate, and of the gates where there are any.
        reverse: whether to run from the last real step to the first.
        return_state: whether to return the final state as well.
        implementation: one of `IMPLEMENTATIONS`.
        remat: whether the backward pass recomputes the gates.

    Returns:
        The outputs, with the mask of `x`, and the final state if `return_state`.
    """
    values, mask, segment_ids = values_of(x), *checked_batch(x)[1:]
    if values.ndim != 3:
        raise ValueError(
            f"`{function_name(kind)}` takes values (batch, time, features); received {tuple(values.shape)}."
        )
    refuse_state_of_packed_rows(x, initial_state)
    check_weights(kind, params, values.shape[-1])
    if initial_state is not None:
        initial_state = arrays_of_state(initial_state)
        initial_state = checked_state(kind, initial_state, (values.shape[0], params.recurrent_kernel.shape[0]))
    check_one_of("implementation", implementation, IMPLEMENTATIONS)
    rows = fused.Rows(
        values, mask, segment_ids, None if initial_state is None else tuple(jax.tree.leaves(initial_state))
    )
    options = {"kind": kind, "reverse": reverse, "wants_state": return_state, "remat": remat}
    if _is_fused(rows, params, activations, implementation):
        outputs, state = _run_fused(rows, params, **options)
    else:
        outputs, state = _run_scan(rows, params, activations=activations, **options)
    outputs = jax.tree.map(functools.partial(like, x), outputs)
    if not return_state:
        return outputs
    return outputs, LSTMState(*state) if kind == "lstm" else state[0]


def _is_fused(rows: fused.Rows, params: Any, activations: tuple[Callable, ...], implementation: str) -> bool:
    """Whether the fused engine runs it: it must support this case, and be requested or the default there."""
    is_standard = all(own in standard for own, standard in zip(activations, _STANDARD_ACTIVATIONS, strict=False))
    has_sizes = all(isinstance(size, int) for size in rows.inputs.shape)  # not symbolic sizes, as in `jax.export`
    is_possible = is_standard and has_sizes and rows.inputs.size > 0 and is_laid_out(rows, params)
    if implementation == "auto":
        num_rows, time, _ = rows.inputs.shape
        return (
            is_possible and is_divisible(rows) and earns_its_compile(num_rows, time, params.recurrent_kernel.shape[0])
        )
    return is_possible and implementation == "xla"


def earns_its_compile(rows: int, time: int, units: int) -> bool:
    """Whether the engine, which takes about twice as long to compile as a scan, saves that within 1,000 steps.

    Measured on CPUs by `benchmarks/auto.py`; the plain scan is for them alone.
    """
    return jax.default_backend() != "cpu" or rows * time * units >= _FEW_STATES


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
    outputs, state = on_each_device(recur, rows)(rows, _weights(kind, params, dtype))
    if rows.mask is not None and wants_state:
        is_real = rows.mask.any(axis=1)
        initial = initial or (0,) * len(state)
        state = tuple(jnp.where(expand(is_real, 2), s, i) for s, i in zip(state, initial, strict=True))
    return outputs.astype(dtype), state


@functools.cache
def _options(kind: str, reverse: bool, wants_state: bool, remat: bool | None) -> fused.Options:
    """The options; equal ones are one object, so that what the engine caches by options is made only once."""

    def reference(rows: fused.Rows, weights: fused.Weights) -> tuple[Any, Any]:
        """`_run_scan` on the engine's arguments, with outputs as wide as the state."""
        params = _params(kind, weights)
        standard = (jnp.tanh, jax.nn.sigmoid)[: 1 if kind == "simple_rnn" else 2]
        options = {"reverse": reverse, "wants_state": True, "remat": remat}
        outputs, state = _run_scan(rows, params, kind=kind, activations=standard, **options)
        return outputs.astype(state[0].dtype), state

    return fused.Options(_FUSED_CELLS[kind], reference, reverse, wants_state, remat)


def _weights(kind: str, params: Any, dtype: Any) -> fused.Weights:
    """The parameters in the engine's form: kernels in the dtype of the products, biases in that of the sums."""
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
        reverse: whether to run from the last step to the first.
        wants_state: whether to return the final state.
        remat: whether the backward pass recomputes each step.
        activations: of the candidate, and of the gates where there are any.

    Returns:
        Outputs `(batch, time, units)` in the common dtype of inputs and kernel, and the final state, a tuple of arrays
        of at least float32, or None.
    """
    inputs = rows.inputs if rows.mask is None else jnp.where(rows.mask[..., None], rows.inputs, 0)
    projected, step = split_step(kind, params, inputs, activations)
    zeros = jnp.zeros(params.recurrent_kernel.shape[0], projected.dtype)
    state = LSTMState(zeros, zeros) if kind == "lstm" else zeros
    if rows.initial is None:
        state = over_rows(state, inputs)
    else:
        state = jax.tree.structure(state).unflatten([part.astype(projected.dtype) for part in rows.initial])
    step = jax.checkpoint(step) if remat else step
    outputs, state = scan_rows(step, projected, rows.mask, rows.segment_ids, state, reverse=reverse)
    return outputs, tuple(jax.tree.leaves(state)) if wants_state else None
