"""The convolutional LSTM: an LSTM whose steps, states and outputs are lines of pixels, and whose products convolve."""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ..masked import Masked
from ..ops.windows import Padding, Windows, check_padding
from ..padding import checked_size
from .cells import LSTMState, lstm_gates
from .scan import masked_as, over_rows, refuse_state_of_packed_rows, scan_rows, split


class ConvLSTMParams(NamedTuple):
    """Weights of a convolutional LSTM with the gates in the order input, forget, cell, output, as in Keras."""

    kernel: Float[Array, "width channels four_filters"]
    recurrent_kernel: Float[Array, "width filters four_filters"]
    bias: Float[Array, " four_filters"] | None


def conv_lstm(
    params: ConvLSTMParams,
    x: Any,
    *,
    initial_state: tuple[Any, Any] | None = None,
    reverse: bool = False,
    return_state: bool = True,
    strides: int = 1,
    padding: Literal["valid", "same"] = "valid",
    dilation_rate: int = 1,
    activation: Callable = jnp.tanh,
    recurrent_activation: Callable = jax.nn.sigmoid,
    scale: Any = None,
    unroll: int = 1,
) -> Any:
    """A convolutional LSTM over every sequence of a batch (see `jm.rnn.conv_lstm_step`).

    Masks, packed rows, empty rows and dtypes are as in `jm.rnn.lstm`; the inputs of all steps are convolved at once.

    Args:
        params: kernel `(width, channels, 4 filters)`, recurrent kernel `(width, filters, 4 filters)`, bias
            `(4 filters,)` or None.
        x: values `(batch, time, pixels, channels)` with a mask `(batch, time)`, or an array.
        initial_state: hidden and cell state, `(batch, new_pixels, filters)` each; zeros if None. Not for packed rows.
        reverse: from the last real step to the first; outputs stay at the steps they belong to.
        return_state: whether the final state is returned besides.
        strides: pixels of the inputs from one window to the next; those of the state are always neighbours.
        padding: of the inputs. `"valid"`: windows lie within the line; `"same"`: there are `ceil(pixels / strides)`,
            with zeros on both sides, on the right one more if they are odd.
        dilation_rate: pixels of the inputs from one entry of a window to the next.
        activation: in the place of tanh.
        recurrent_activation: in the place of sigmoid.
        scale: `(batch, new_pixels, filters)`, a factor on the hidden state before its convolution, for recurrent
            dropout.
        unroll: how many steps of the loop are written out in the program; it changes no result.

    Returns:
        The hidden states `(batch, time, new_pixels, filters)`, masked as `x` and zero at padded steps, and the final
        `LSTMState`, after the last real step of each row; of packed rows, that of the sequence that comes last in the
        direction of the scan. Without `return_state`, the hidden states alone.

    Raises:
        ValueError: values, masks or weights of other shapes, a line that is shorter than a window of `"valid"`, an
            initial state that does not fit, or one of packed rows; options that are none.

    >>> import jax.numpy as jnp, jmask as jm
    >>> params = jm.rnn.ConvLSTMParams(jnp.ones((3, 2, 8)), jnp.ones((3, 2, 8)), jnp.zeros(8))
    >>> x = jm.from_lengths(jnp.ones((4, 5, 7, 2)), [5, 2, 0, 1])
    >>> outputs, state = jm.rnn.conv_lstm(params, x)
    >>> outputs.shape, state.cell.shape
    ((4, 5, 5, 2), (4, 5, 2))
    """
    _check_steps(x)
    refuse_state_of_packed_rows(x, initial_state)
    values, mask, segments = split(x)
    windows = line_windows(params.kernel.shape[0], strides, padding, dilation_rate)
    projected, step = prepare(params, values, windows, (activation, recurrent_activation))
    shape = (*projected.shape[2:-1], params.recurrent_kernel.shape[-2])
    if initial_state is None:
        state = over_rows(LSTMState(*[jnp.zeros(shape, projected.dtype)] * 2), values)
    else:
        state = _checked_state(initial_state, (values.shape[0], *shape), projected.dtype)
    outputs, state = scan_rows(step, projected, mask, segments, state, scale, reverse=reverse, unroll=unroll)
    outputs = masked_as(x, outputs)
    return (outputs, state) if return_state else outputs


def conv_lstm_step(
    recurrent_kernel: Float[Array, "width filters four_filters"],
    state: LSTMState,
    projected: Float[Array, "pixels four_filters"],
    activation: Any = jnp.tanh,
    recurrent_activation: Any = jax.nn.sigmoid,
    *,
    scale: Float[Array, "pixels filters"] | None = None,
) -> LSTMState:
    """One step of a convolutional LSTM, from inputs that have been projected already.

    With `(x * W)[p] = sum_j x[p + j - before] W[j]`, a convolution over pixels whose kernel is not flipped, as usual in
    neural networks, and `z = x * W + h * U + b` in four parts `i, f, g, o`:

        c' = sigmoid(f) c + sigmoid(i) tanh(g)
        h' = sigmoid(o) tanh(c')

    `h * U` has the pixels of `h`, with zeros on both sides of the line, on the right one more if they are odd.

    Args:
        recurrent_kernel: `U`, `(width, filters, 4 filters)`.
        state: `h` and `c`, `(pixels, filters)` each.
        projected: `x * W + b`, `(pixels, 4 filters)`.
        activation: in the place of tanh.
        recurrent_activation: in the place of sigmoid.
        scale: a factor on `h` before its convolution with `U`, for recurrent dropout.

    Returns:
        `h'` and `c'`.

    References:
        Shi et al.: Convolutional LSTM Network: A Machine Learning Approach for Precipitation Nowcasting, NIPS 2015,
        equation 3, without the products of `c` that its gates see, as in Keras.

    >>> import jax.numpy as jnp, jmask as jm
    >>> state = jm.rnn.LSTMState(jnp.zeros((2, 1)), jnp.ones((2, 1)))
    >>> jm.rnn.conv_lstm_step(jnp.zeros((3, 1, 4)), state, jnp.zeros((2, 4))).cell.tolist()  # half of it is forgotten
    [[0.5], [0.5]]
    """
    hidden = state.hidden if scale is None else state.hidden * scale
    windows = Windows(recurrent_kernel.shape[0], padding="same")
    z = projected + convolve(hidden, recurrent_kernel, windows)
    return lstm_gates(z, state.cell, activation, recurrent_activation)


def line_windows(kernel_size: int, strides: int, padding: Padding, dilation_rate: int) -> Windows:
    """Where the windows stand in a line of pixels, which has no direction: there is no `"causal"`."""
    check_padding(padding, "valid", "same")
    return Windows(checked_size("kernel_size", kernel_size, 1), strides, padding, dilation_rate)


def prepare(
    params: ConvLSTMParams, inputs: Any, windows: Windows, activations: tuple[Callable, ...]
) -> tuple[Any, Callable]:
    """The inputs `(..., pixels, channels)` projected, and what remains of a step.

    Returns:
        `x * W + b`, and `(scale, state, projected) -> (state, hidden)`.
    """
    _check_weights(params, inputs.shape[-1])
    dtype = jnp.result_type(inputs.dtype, params.kernel.dtype)
    kernel, recurrent_kernel = params.kernel.astype(dtype), params.recurrent_kernel.astype(dtype)
    projected = convolve(inputs, kernel, windows)
    projected = projected if params.bias is None else projected + params.bias.astype(projected.dtype)

    def step(scale: Any, state: Any, projected: Any) -> tuple[Any, Any]:
        new_state = conv_lstm_step(recurrent_kernel, state, projected, *activations, scale=scale)
        new_state = jax.tree.map(lambda new, old: new.astype(old.dtype), new_state, state)
        return new_state, new_state.hidden.astype(dtype)

    return projected, step


def convolve(values: Any, kernel: Any, windows: Windows) -> Any:
    """The convolution of `(..., pixels, channels)`: multiplied in the dtype of the kernel, summed in float32 at least.

    One matrix product with what the windows read. On a CPU the gradient of XLA's convolution takes many times as long.
    """
    if windows.padding == "valid" and values.shape[-2] < windows.span:
        raise ValueError(
            f"`padding='valid'` takes lines of at least {windows.span} pixels, which a window spans; received "
            f"{values.shape[-2]}. Use `padding='same'`, or a smaller kernel."
        )
    wide = jnp.promote_types(jnp.result_type(values, kernel), jnp.float32)

    @functools.partial(jax.checkpoint, prevent_cse=False)  # else a pixel is kept for each window that reads it
    def product(values: Any, kernel: Any) -> Any:
        matrix = kernel.reshape(kernel.shape[0] * kernel.shape[1], kernel.shape[2])
        return jnp.matmul(_read(values, windows), matrix, preferred_element_type=wide)

    return product(values.astype(kernel.dtype), kernel)


def _read(values: Any, windows: Windows) -> Any:
    """What each window reads, `(..., new_pixels, width * channels)`."""
    border = windows.border(values.shape[-2])
    values = jnp.pad(values, [*[(0, 0)] * (values.ndim - 2), border, (0, 0)])
    last = values.shape[-2] - windows.span
    entries = range(0, windows.span, windows.dilation_rate)
    read = [lax.slice_in_dim(values, first, first + last + 1, windows.strides, axis=-2) for first in entries]
    return jnp.concatenate(read, axis=-1)


def _check_steps(x: Any) -> None:
    """Refuses steps that are no lines of pixels, and lines of which a part is padding."""
    mask_ndim = x.mask.ndim if isinstance(x, Masked) else 2
    if (x.ndim, mask_ndim) != (4, 2):
        mask = f" with mask {tuple(x.mask.shape)}" if isinstance(x, Masked) else ""
        remedy = " A step is real or padding as a whole: give padded pixels a value and mask the steps, "
        remedy += "`jm.masked(x.fill(0), x.mask.any(-1))`."
        raise ValueError(
            "`conv_lstm` takes values (batch, time, pixels, channels) with a mask (batch, time); received values "
            f"{tuple(x.shape)}{mask}.{remedy if (x.ndim, mask_ndim) == (4, 3) else ''}"
        )


def _check_weights(params: ConvLSTMParams, channels: int) -> None:
    """Refuses weights whose shapes fit neither each other nor the inputs."""
    width, filters = params.kernel.shape[0], params.recurrent_kernel.shape[-1] // 4
    expected = {
        "kernel": (width, channels, 4 * filters),
        "recurrent_kernel": (width, filters, 4 * filters),
        "bias": (4 * filters,),
    }
    for name, own in params._asdict().items():
        if own is not None and tuple(own.shape) != expected[name]:
            raise ValueError(
                f"`conv_lstm` over {channels} channels takes for {filters} filters a {name} of shape {expected[name]}; "
                f"received {tuple(own.shape)}."
            )


def _checked_state(state: Any, shape: tuple[int, ...], dtype: Any) -> LSTMState:
    """The initial state in its structure and dtype."""
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(state)]
    if [leaf.shape for leaf in leaves] != [shape] * 2:
        raise ValueError(
            f"`initial_state` of `conv_lstm` is two arrays, hidden and cell, of shape {shape}; received "
            f"{[tuple(leaf.shape) for leaf in leaves]}."
        )
    return LSTMState(*(leaf.astype(dtype) for leaf in leaves))
