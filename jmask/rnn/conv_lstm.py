"""The convolutional LSTM: its inputs, states and outputs are rows of pixels, and its products are convolutions."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ..core.arithmetic import in_front
from ..core.checks import check_one_of, checked_size
from ..ops.windows import Padding, Windows
from .cells import LSTMState, lstm_gates


def conv_lstm_step(
    recurrent_kernel: Float[Array, "width filters four_filters"],
    state: LSTMState,
    projected: Float[Array, "pixels four_filters"],
    activation: Callable[[Any], Any] = jnp.tanh,
    recurrent_activation: Callable[[Any], Any] = jax.nn.sigmoid,
    *,
    scale: Float[Array, "pixels filters"] | None = None,
) -> LSTMState:
    """One step of a convolutional LSTM, from projected inputs.

    With `(x * W)[p] = sum_j x[p + j - pad_left] W[j]`, a convolution over pixels whose kernel is not flipped, as usual
    in neural networks, and `z = x * W + h * U + b` in four parts `i, f, g, o`:

        c' = sigmoid(f) c + sigmoid(i) tanh(g)
        h' = sigmoid(o) tanh(c')

    `h * U` has as many pixels as `h`, which is padded with zeros on both sides; if their number is odd, with one more
    on the right.

    Args:
        recurrent_kernel: `U`, `(width, filters, 4 filters)`.
        state: the hidden state `h` and the cell state `c`, `(pixels, filters)` each.
        projected: `x * W + b`, `(pixels, 4 filters)`.
        activation: used instead of tanh.
        recurrent_activation: used instead of sigmoid.
        scale: a factor on `h` before its convolution with `U`, `(pixels, filters)`, for recurrent dropout; None: 1.

    Returns:
        `h'` and `c'`.

    References:
        Shi et al.: Convolutional LSTM Network: A Machine Learning Approach for Precipitation Nowcasting, NIPS 2015,
        equation 3, without the peephole connections (the products with `c` in its gates), as in Keras.

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
    """The windows over a row of pixels; pixels have no direction, so there is no `"causal"` padding."""
    check_one_of("padding", padding, ("valid", "same"))
    return Windows(checked_size("kernel_size", kernel_size, 1), strides, padding, dilation_rate)


def split_conv_lstm_step(
    weights: tuple[Any, Any, Any], inputs: Any, windows: Windows, activations: tuple[Callable, ...]
) -> tuple[Any, Callable]:
    """A convolutional LSTM's step in two parts: the projection of the inputs, and the rest.

    Both run at each step: projecting all steps at once would be no faster, since each is a large product, and would
    take more memory.

    Args:
        weights: kernel, recurrent kernel, and bias or None.
        inputs: inputs of one step, `(pixels, channels)`.
        windows: the windows over the inputs.
        activations: of the candidate and the cell, and of the gates.

    Returns:
        `x * W + b`, and `(scale, state, projected) -> (state, output)`.
    """
    _check_weights(weights, inputs.shape[-1])
    kernel, recurrent_kernel, bias = weights
    dtype = jnp.result_type(inputs.dtype, kernel.dtype)
    kernel, recurrent_kernel = kernel.astype(dtype), recurrent_kernel.astype(dtype)
    projected = convolve(inputs, kernel, windows)
    projected = projected if bias is None else projected + in_front(bias, projected.ndim).astype(projected.dtype)

    def step(scale: Any, state: Any, projected: Any) -> tuple[Any, Any]:
        new_state = conv_lstm_step(recurrent_kernel, state, projected, *activations, scale=scale)
        new_state = jax.tree.map(lambda new, old: new.astype(old.dtype), new_state, state)
        return new_state, new_state.hidden.astype(dtype)

    return projected, step


def convolve(values: Any, kernel: Any, windows: Windows) -> Any:
    """The convolution of `(..., pixels, channels)`: multiplied in the dtype of the kernel, summed in at least float32.

    It is one matrix product with the contents of the windows: on a CPU the gradient of XLA's convolution takes many
    times as long.
    """
    if windows.padding == "valid" and values.shape[-2] < windows.span:
        raise ValueError(
            f"`padding='valid'` takes lines of at least {windows.span} pixels, which a window spans; received "
            f"{values.shape[-2]}. Use `padding='same'`, or a smaller kernel."
        )
    wide = jnp.promote_types(jnp.result_type(values, kernel), jnp.float32)

    @functools.partial(jax.checkpoint, prevent_cse=False)  # otherwise a pixel is saved for each window that reads it
    def product(values: Any, kernel: Any) -> Any:
        matrix = kernel.reshape(kernel.shape[0] * kernel.shape[1], kernel.shape[2])
        return jnp.matmul(_read(values, windows), matrix, preferred_element_type=wide)

    return product(values.astype(kernel.dtype), kernel)


def _read(values: Any, windows: Windows) -> Any:
    """The contents of each window, `(..., new_pixels, width * channels)`."""
    pads = windows.pads(values.shape[-2])
    values = jnp.pad(values, [*[(0, 0)] * (values.ndim - 2), pads, (0, 0)])
    last = values.shape[-2] - windows.span
    entries = range(0, windows.span, windows.dilation_rate)
    read = [lax.slice_in_dim(values, first, first + last + 1, windows.strides, axis=-2) for first in entries]
    return jnp.concatenate(read, axis=-1)


def _check_weights(weights: tuple[Any, Any, Any], channels: int) -> None:
    """Raises unless the shapes of the weights fit each other and the inputs."""
    kernel, recurrent_kernel, _ = weights
    width, filters = kernel.shape[0], recurrent_kernel.shape[-1] // 4
    expected = {
        "kernel": (width, channels, 4 * filters),
        "recurrent kernel": (width, filters, 4 * filters),
        "bias": (4 * filters,),
    }
    for (name, shape), own in zip(expected.items(), weights, strict=True):
        if own is not None and tuple(own.shape) != shape:
            raise ValueError(
                f"A convolutional LSTM over {channels} channels takes for {filters} filters a {name} of shape {shape}; "
                f"received {tuple(own.shape)}."
            )
