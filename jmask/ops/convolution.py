"""Convolutions over time: each row gives the same result, and as many steps, as its sequence alone."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import max_dim
from jaxtyping import Array, Float, Num

from ..core.arithmetic import in_front
from ..core.checks import checked_size
from ..core.masked import Masked
from .kinds import same_kind
from .linear import AnyArray
from .packed_windows import Taps
from .sliding import check_steps, slide
from .windows import Padding, Pads, TransposedWindows, Windows


@same_kind
def conv(
    x: Masked | Num[AnyArray, "... features"],
    kernel: Float[AnyArray, "width channels filters"],
    bias: Float[AnyArray, " filters"] | None = None,
    *,
    strides: int = 1,
    padding: Padding = "valid",
    dilation_rate: int = 1,
    groups: int = 1,
) -> Masked | Float[Array, "... filters"]:
    """Convolution over the steps of each sequence, `y[i] = bias + sum_j x[i * strides - before + j * dilation] @ w[j]`.

    Args:
        x: values `(batch, time, features)`, mask `(batch, time)`; axis -2 of an array is time.
        kernel: w, `(width, features / groups, filters)`; it is not flipped, as usual in neural networks.
        bias: `(filters,)`, or None.
        strides: steps from one window to the next.
        padding: `"valid"`: windows lie within the sequence, and one spans `(width - 1) * dilation_rate + 1` steps;
            `"same"`: there are `ceil(steps / strides)` windows, with zeros on both sides (one more on the right if the
            number of zeros is odd); `"causal"`: the same number, with zeros before the first step, so that no output
            sees a later step.
        dilation_rate: steps between neighbouring entries of a window.
        groups: the number of groups into which features and filters are split; a filter sees only the features of its
            own group.

    Returns:
        `(batch, new_time, filters)`, with a mask if `x` has one, and zeros in the padding. If there are as many results
        as steps, each is where its step is; otherwise the results come at the start of the row. An empty row, or a
        sequence that is too short for any window, gives an empty row and passes no gradient.

    Raises:
        ValueError: shapes or options do not fit.

    References:
        van den Oord et al. 2016, "WaveNet: A generative model for raw audio", section 2.1, for `"causal"`.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.array([[1.0, 2, 3, 9], [4, 9, 9, 9]]), [3, 1])[..., None]
    >>> jm.ops.conv(x, jnp.ones((2, 1, 1)))[..., 0]
    Masked(float32[2, 3], lengths=[2 0])
    [[3 5 ·]
     [· · ·]]
    """
    checked_size("groups", groups, 1)
    _check("conv", x, kernel, "(width, features / groups, filters)", axis=1, groups=groups)
    convolve = functools.partial(_convolve, kernel=kernel, bias=bias, window_strides=(strides,))
    convolve = functools.partial(convolve, rhs_dilation=(dilation_rate,), feature_group_count=groups)
    of_packed = functools.partial(_convolve_packed, kernel=kernel, bias=bias, groups=groups)
    return slide(x, Windows(kernel.shape[0], strides, padding, dilation_rate), convolve, of_packed)


@same_kind
def conv_transpose(
    x: Masked | Num[AnyArray, "... features"],
    kernel: Float[AnyArray, "width filters features"],
    bias: Float[AnyArray, " filters"] | None = None,
    *,
    strides: int = 1,
    padding: Padding = "valid",
    output_padding: int | None = None,
    dilation_rate: int = 1,
) -> Masked | Float[Array, "... filters"]:
    """Transposed convolution: each step x[i] adds `w[j] @ x[i]` to step `i * strides + j * dilation_rate - cut`.

    It is the gradient of a convolution with these strides with respect to its input. The numbers of steps are those of
    Keras.

    Args:
        x: values `(batch, time, features)`, mask `(batch, time)`; axis -2 of an array is time.
        kernel: w, `(width, filters, features)`.
        bias: `(filters,)`, or None.
        strides: steps of the result for each step of the sequence.
        padding: with `span = (width - 1) * dilation_rate + 1`, a sequence of n > 0 steps yields `(n - 1) * strides +
            max(span, strides)` steps for `"valid"` and `n * strides` for `"same"`. If the windows cover more, half of
            the excess, rounded down, is cut off at the start.
        output_padding: less than `strides`; the number of steps is then `(n - 1) * strides + span + output_padding` for
            `"valid"`, and for `"same"` the same with `span % 2` instead of `span`.
        dilation_rate: steps between neighbouring entries of a window.

    Returns:
        `(batch, steps, filters)`, with a mask if `x` has one, and zeros in the padding; results are placed as by
        `jm.ops.conv`. An empty row gives an empty row and passes no gradient.

    Raises:
        ValueError: shapes or options do not fit; or rows are packed and the last step of a sequence adds more than
            `strides` steps, for which there may be no room.

    References:
        Dumoulin and Visin 2016, "A guide to convolution arithmetic for deep learning", chapter 4.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.array([[1.0, 2, 9], [3, 9, 9]]), [2, 1])[..., None]
    >>> jm.ops.conv_transpose(x, jnp.ones((3, 1, 1)), strides=2)[..., 0]
    Masked(float32[2, 7], lengths=[5 3])
    [[1 1 3 2 2 · ·]
     [3 3 3 · · · ·]]
    """
    _check("conv_transpose", x, kernel, "(width, filters, features)", axis=2)
    windows = TransposedWindows(kernel.shape[0], strides, padding, dilation_rate, output_padding)

    def convolve(values: Array, pads: Pads, _: Any) -> Array:
        dtype = jnp.result_type(values, kernel)
        y = _overlap_add(values.astype(dtype), jnp.asarray(kernel, dtype), pads, windows)
        return y if bias is None else y + in_front(bias, y.ndim)

    def of_packed(values: Array, taps: Taps, pads: Pads) -> Array:
        dtype = jnp.result_type(values, kernel)
        y = _overlap_add(values.astype(dtype), jnp.asarray(kernel, dtype), pads, windows, taps)
        return y if bias is None else y + in_front(bias, y.ndim)

    return slide(x, windows, convolve, of_packed)


@same_kind
def depthwise_conv(
    x: Masked | Num[AnyArray, "... features"],
    kernel: Float[AnyArray, "width features multiplier"],
    bias: Float[AnyArray, " filters"] | None = None,
    *,
    strides: int = 1,
    padding: Padding = "valid",
    dilation_rate: int = 1,
) -> Masked | Float[Array, "... filters"]:
    """Convolution of each feature separately, with its own filters.

    Args:
        x: values `(batch, time, features)`, mask `(batch, time)`; axis -2 of an array is time.
        kernel: `(width, features, multiplier)`; the filters of feature f start at index `f * multiplier`.
        bias: `(features * multiplier,)`, or None.
        strides: as for `jm.ops.conv`.
        padding: as for `jm.ops.conv`.
        dilation_rate: as for `jm.ops.conv`.

    Returns:
        `(batch, new_time, features * multiplier)`, as `jm.ops.conv` with as many groups as features. An empty row, or a
        sequence that is too short for any window, gives an empty row and passes no gradient.

    Raises:
        ValueError: shapes or options do not fit.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.array([[[1.0, 10], [2, 20], [3, 30], [9, 90]]]), [3])
    >>> jm.ops.depthwise_conv(x, jnp.ones((2, 2, 1)), padding="causal").values.tolist()
    [[[1.0, 10.0], [3.0, 30.0], [5.0, 50.0], [0.0, 0.0]]]
    """
    _check("depthwise_conv", x, kernel, "(width, features, multiplier)", axis=1)
    windows = Windows(kernel.shape[0], strides, padding, dilation_rate)

    def convolve(values: Array, pads: Pads, _: Any) -> Array:
        dtype = jnp.result_type(values, kernel)
        taps = functools.partial(_sum_of_taps, pads=pads, windows=windows)
        taps = jax.checkpoint(taps, prevent_cse=False)  # otherwise what each entry of a window sees is kept for nothing
        y = taps(values.astype(dtype), jnp.asarray(kernel, dtype))
        return y if bias is None else y + in_front(bias, y.ndim)

    def of_packed(values: Array, taps: Taps) -> Array:
        dtype = jnp.result_type(values, kernel)
        of_taps = jax.checkpoint(functools.partial(_sum_of_packed_taps, taps), prevent_cse=False)
        y = of_taps(values.astype(dtype), jnp.asarray(kernel, dtype))
        return y if bias is None else y + in_front(bias, y.ndim)

    return slide(x, windows, convolve, of_packed)


@same_kind
def separable_conv(
    x: Masked | Num[AnyArray, "... features"],
    depthwise_kernel: Float[AnyArray, "width features multiplier"],
    pointwise_kernel: Float[AnyArray, "1 channels filters"],
    bias: Float[AnyArray, " filters"] | None = None,
    *,
    strides: int = 1,
    padding: Padding = "valid",
    dilation_rate: int = 1,
) -> Masked | Float[Array, "... filters"]:
    """A convolution of each feature separately, then one that mixes the features of each step.

    Args:
        x: values `(batch, time, features)`, mask `(batch, time)`; axis -2 of an array is time.
        depthwise_kernel: `(width, features, multiplier)`, as for `jm.ops.depthwise_conv`.
        pointwise_kernel: `(1, features * multiplier, filters)`, as for `jm.ops.conv`.
        bias: `(filters,)`, or None.
        strides: for the first convolution, as for `jm.ops.conv`.
        padding: for the first convolution, as for `jm.ops.conv`.
        dilation_rate: for the first convolution, as for `jm.ops.conv`.

    Returns:
        `(batch, new_time, filters)`, as from `jm.ops.conv`. An empty row, or a sequence that is too short for any
        window, gives an empty row and passes no gradient.

    Raises:
        ValueError: shapes or options do not fit.

    References:
        Chollet 2017, "Xception: Deep learning with depthwise separable convolutions".

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.array([[[1.0, 10], [2, 20], [9, 90]]]), [2])
    >>> jm.ops.separable_conv(x, jnp.ones((2, 2, 1)), jnp.ones((1, 2, 1))).values.tolist()
    [[[33.0], [0.0]]]
    """
    options: dict[str, Any] = {"strides": strides, "padding": padding, "dilation_rate": dilation_rate}
    return conv(depthwise_conv(x, depthwise_kernel, **options), pointwise_kernel, bias)


def _check(name: str, x: Any, kernel: Any, layout: str, *, axis: int, groups: int = 1) -> None:
    """Raises unless the kernel has the features of one group along this axis."""
    check_steps(x, name)
    if kernel.ndim != 3 or kernel.shape[axis] * groups != x.shape[-1] or kernel.shape[2] % groups:
        in_groups = f" and {groups} groups, of which filters are a multiple" if groups > 1 else ""
        raise ValueError(
            f"`{name}` takes a kernel {layout}; received {tuple(kernel.shape)} for {x.shape[-1]} features{in_groups}."
        )


def _convolve(values: Array, pads: Pads, _: Any, *, kernel: Any, bias: Any, **options: Any) -> Array:
    """`lax.conv_general_dilated` of values `(..., time, features)`, in a dtype that holds values and kernel."""
    dtype = jnp.result_type(values, kernel)
    batch = values.astype(dtype) if values.ndim == 3 else values.astype(dtype).reshape(-1, *values.shape[-2:])
    if not all(isinstance(size, int) for size in pads):  # from a symbolic number of steps; it takes ints only
        batch, pads = lax.pad(batch, jnp.zeros((), dtype), [(0, 0, 0), (*pads, 0), (0, 0, 0)]), (0, 0)
    options |= {"padding": [pads], "dimension_numbers": ("NWC", "WIO", "NWC")}
    y = lax.conv_general_dilated(batch, jnp.asarray(kernel, dtype), **options)
    y = y if values.ndim == 3 else y.reshape(*values.shape[:-2], *y.shape[-2:])
    return y if bias is None else y + in_front(bias, y.ndim)


def _convolve_packed(values: Array, taps: Taps, *, kernel: Any, bias: Any, groups: int) -> Array:
    """One matrix product for what every entry of a window makes of each step, then the sum of what each window sees."""
    width, channels, filters = kernel.shape
    dtype = jnp.result_type(values, kernel)
    wide = jnp.promote_types(dtype, jnp.float32)
    kernel = jnp.asarray(kernel, dtype).reshape(width, channels, groups, filters // groups)
    split = values.astype(dtype).reshape(*values.shape[:-1], groups, channels)
    made = jnp.einsum("...gc,wcgf->...wgf", split, kernel, preferred_element_type=wide)
    made = made.reshape(*values.shape[:-1], width, filters)
    y = jnp.asarray(sum(taps.of(made[..., entry, :], entry) for entry in range(width)), dtype)
    return y if bias is None else y + in_front(bias, y.ndim)


def _overlap_add(
    values: Array, kernel: Array, pads: Pads, windows: TransposedWindows, taps: Taps | None = None
) -> Array:
    """One matrix product for what all steps write, then the sum where they overlap.

    On a CPU, the gradients of the equivalent convolution, with zeros between the steps, take many times as long.
    """
    width, filters, features = kernel.shape
    written = values @ kernel.reshape(width * filters, features).T
    wide, total = jnp.promote_types(values.dtype, jnp.float32), 0
    for j in range(width):
        first = j * windows.dilation_rate
        steps = lax.slice_in_dim(written, j * filters, (j + 1) * filters, axis=-1).astype(wide)
        if taps is not None:
            steps = jnp.where(taps.sees(j)[..., None], steps, 0)
        spread = (pads[0] + first, pads[1] + windows.span - 1 - first, windows.strides - 1)
        total += lax.pad(steps, jnp.zeros((), wide), [*[(0, 0, 0)] * (values.ndim - 2), spread, (0, 0, 0)])
    return jnp.asarray(total, values.dtype)


def _sum_of_taps(values: Array, kernel: Array, pads: Pads, windows: Windows) -> Array:
    """The sum, over the entries of a window, of the steps that they see times their weights.

    XLA fuses this into one loop; on a CPU its depthwise convolution takes many times as long.
    """
    width, _, multiplier = kernel.shape
    reach = pads[0] + values.shape[-2] + pads[1]
    places = max_dim((reach - windows.span) // windows.strides + 1, 0)
    seen = places * windows.strides  # by each entry, from its place in the first window
    pads = (pads[0], pads[1] + seen + windows.span - 1 - reach)
    values = lax.pad(values, jnp.zeros((), values.dtype), [*[(0, 0, 0)] * (values.ndim - 2), (*pads, 0), (0, 0, 0)])
    values = jnp.repeat(values, multiplier, axis=-1) if multiplier > 1 else values
    wide = jnp.promote_types(values.dtype, jnp.float32)
    weights, total = kernel.astype(wide).reshape(width, -1), 0
    for weight, first in zip(weights, range(0, windows.span, windows.dilation_rate), strict=True):
        steps = lax.slice_in_dim(values, first, first + seen, windows.strides, axis=-2)
        total += steps.astype(wide) * in_front(weight, steps.ndim)
    return jnp.asarray(total, values.dtype)


def _sum_of_packed_taps(taps: Taps, values: Array, kernel: Array) -> Array:
    """The same on packed rows, for a window at every step."""
    width, _, multiplier = kernel.shape
    values = jnp.repeat(values, multiplier, axis=-1) if multiplier > 1 else values
    wide = jnp.promote_types(values.dtype, jnp.float32)
    weights = kernel.astype(wide).reshape(width, -1)
    seen = (taps.of(values, entry).astype(wide) for entry in range(width))
    total = sum(x * in_front(weight, x.ndim) for x, weight in zip(seen, weights, strict=True))
    return jnp.asarray(total, values.dtype)
