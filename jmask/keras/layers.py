"""Keras layers, one by one: the class, its options, and where its weights go."""

import dataclasses
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import jax

from .. import layers
from .converted import Context, Converted, is_function, keras, read_variable, weights_of
from .options import layer_with_options

RECURRENT = ("SimpleRNN", "GRU", "LSTM", "ConvLSTM1D")
HEADS = {"MultiHeadAttention": "MultiHeadAttention", "GroupedQueryAttention": "GroupQueryAttention"}
OVER_LAST_AXIS = ("LayerNormalization", "RMSNormalization", "GroupNormalization")
MOVING = ("moving_mean", "moving_variance")


def convert_layer(keras_layer: Any, context: Context, **call_options: Any) -> Converted:
    """Converts a Keras layer that is not a model.

    Args:
        keras_layer: a built layer.
        context: where it is in the model.
        **call_options: options of the call that are fields in jmask, such as `use_causal_mask`.

    Returns:
        The layer, its parameters and its statistics.

    Raises:
        ValueError: a layer or an option that jmask does not have.
    """
    if type(keras_layer) in context.custom:
        if call_options:
            context.refuse(
                f"its call has the options {call_options}", "Make them fields of the layer that `custom` gives."
            )
        context.claim_weights(keras_layer)
        layer, params = context.custom[type(keras_layer)](keras_layer)
        return Converted(layer if layer.name else dataclasses.replace(layer, name=keras_layer.name), params, {})
    if not keras_layer.built:
        context.refuse("it has not been built, and has no weights yet", "Call the model once, or `build` it.")
    if not keras_layer.trainable and keras_layer.weights:
        _mention_frozen(keras_layer, context)
    kind = type(keras_layer).__name__
    known = _CONVERTERS.get(kind) if type(keras_layer).__module__.startswith("keras.") else None
    if known is None:
        context.refuse(
            f"jmask has no layer `{kind}`",
            "Write it as a `jm.Layer`, and say so: "
            f"`jm.from_keras(model, custom={{{kind}: lambda keras_layer: (my_layer, params)}})`.",
        )
    return known(keras_layer, context, **call_options)


def _same(keras_layer: Any, context: Context, **call_options: Any) -> Converted:
    cls = getattr(layers, type(keras_layer).__name__)
    return Converted(
        layer_with_options(cls, keras_layer, context, **call_options), weights_of(keras_layer, context), {}
    )


def _over_last_axis(keras_layer: Any, context: Context) -> Converted:
    """A normalisation along the last axis, where jmask has the features."""
    rank = len(keras_layer.get_build_config()["input_shape"])
    axes = keras_layer.axis if isinstance(keras_layer.axis, (list, tuple)) else [keras_layer.axis]
    if [axis % rank for axis in axes] != [rank - 1]:
        context.refuse(f"it normalises axis {list(axes)} of {rank}; jmask's layer the last one")
    layer = layer_with_options(getattr(layers, type(keras_layer).__name__), keras_layer, context, without="axis")
    return Converted(layer, weights_of(keras_layer, context), {})


def _activation(keras_layer: Any, context: Context) -> Converted:
    if is_function(keras_layer.activation, "softmax"):
        return Converted(layers.Softmax(name=keras_layer.name), {}, {})
    return _same(keras_layer, context)


def _softmax(keras_layer: Any, context: Context) -> Converted:
    if not isinstance(keras_layer.axis, int):
        context.refuse(f"a softmax along several axes, {keras_layer.axis}")
    return _same(keras_layer, context)


def _batch_normalization(keras_layer: Any, context: Context) -> Converted:
    layer = layer_with_options(layers.BatchNormalization, keras_layer, context)
    weights = weights_of(keras_layer, context)
    state = {name: weights.pop(name) for name in MOVING}
    return Converted(layer, weights, state)


def _recurrent(keras_layer: Any, context: Context) -> Converted:
    """A layer whose weights are those of its cell."""
    layer = layer_with_options(getattr(layers, type(keras_layer).__name__), keras_layer, context)
    return Converted(layer, weights_of(keras_layer.cell, context), {})


def _rnn(keras_layer: Any, context: Context) -> Converted:
    cell, params, _ = convert_layer(keras_layer.cell, context.below(keras_layer.cell.name))
    return Converted(layer_with_options(layers.RNN, keras_layer, context, cell=cell), params, {})


def _stacked_cells(keras_layer: Any, context: Context) -> Converted:
    converted = {id(cell): convert_layer(cell, context.below(cell.name)) for cell in keras_layer.cells}
    cells = [converted[id(cell)].model for cell in keras_layer.cells]
    params = {str(cell.model.name): cell.params for cell in converted.values()}
    return Converted(layer_with_options(layers.StackedRNNCells, keras_layer, context, cells=cells), params, {})


def _bidirectional(keras_layer: Any, context: Context) -> Converted:
    directions, params = [], {}
    for name in ("forward", "backward"):
        keras_direction = getattr(keras_layer, f"{name}_layer")
        direction, params[name], _ = convert_layer(keras_direction, context.below(keras_direction.name))
        # In Keras the wrapper sets both: the order of the steps, and the outputs at padded steps.
        is_backwards = keras_direction.go_backwards and name == "forward"
        options = {"go_backwards": is_backwards, "zero_output_for_mask": True}
        directions.append(dataclasses.replace(direction, name=None, **options))
    forward, backward = directions
    given = {"layer": forward, "backward_layer": None if _equal(forward, backward) else backward}
    return Converted(layer_with_options(layers.Bidirectional, keras_layer, context, **given), params, {})


def _equal(one: Any, other: Any) -> bool:
    """Whether two layers have the same class and options."""
    return type(one) is type(other) and repr(one) == repr(other)


def _time_distributed(keras_layer: Any, context: Context) -> Converted:
    layer, params, state = context.convert_inner(keras_layer.layer)
    if jax.tree.leaves(state):
        warnings.warn(
            f"{context.path}: in training Keras takes the statistics of each time step by itself, jmask those of all "
            "steps.",
            UserWarning,
            stacklevel=2,
        )
        state = {layer.name: state}
    return Converted(layer_with_options(layers.TimeDistributed, keras_layer, context, layer=layer), params, state)


def _heads(keras_layer: Any, context: Context, **call_options: Any) -> Converted:
    """Attention with several heads, whose weights are in one layer per projection."""
    rank = len(keras_layer.get_build_config()["shapes_dict"]["query_shape"])
    axes = [axis % rank for axis in keras_layer.get_config().get("attention_axes", [1])]
    if axes != [rank - 2]:
        context.refuse(f"attention along axes {axes} of {rank}; jmask attends along the last one before the features")
    context.claim_weights(keras_layer)
    params: dict[str, Any] = {}
    for variable in keras_layer.weights:
        projection, name = variable.path.split("/")[-2:]
        params.setdefault(projection, {})[name] = read_variable(variable)
    cls = getattr(layers, HEADS[type(keras_layer).__name__])
    return Converted(
        layer_with_options(cls, keras_layer, context, without="attention_axes", **call_options), params, {}
    )


def _lambda(keras_layer: Any, context: Context) -> Converted:
    """A function, which keeps the mask if it provably treats every step alone."""
    if keras().backend.backend() != "jax":
        context.refuse("its function computes with another backend than JAX", "Set `KERAS_BACKEND=jax`.")
    mask, arguments = keras_layer.mask, dict(keras_layer.arguments or {})
    if mask is not None and not callable(mask):
        context.refuse("a mask that is an array", "Give the layer a function `(inputs, mask) -> mask`.")
    function = keras_layer.function
    if "training" in inspect.getfullargspec(function).args:
        context.refuse("its function asks for `training`", "Write it as a `jm.Layer`, and give it to `custom`.")
    if arguments:
        function = jax.tree_util.Partial(function, **arguments)
    supports_masking = "auto" if mask is None else False
    return Converted(
        layers.Lambda(function, mask=mask, supports_masking=supports_masking, name=keras_layer.name), {}, {}
    )


def _mention_frozen(keras_layer: Any, context: Context) -> None:
    if type(keras_layer).__name__ == "BatchNormalization":
        context.refuse(
            "it is frozen (`trainable=False`), and so uses its running statistics in training too",
            "Set `trainable=True`, and call the model with `training=False`.",
        )
    warnings.warn(
        f"{context.path}: is frozen in Keras (`trainable=False`); in jmask the optimiser decides what is trained: "
        "see `optax.transforms.freeze`.",
        UserWarning,
        stacklevel=2,
    )


_CONVERTERS: dict[str, Callable[..., Converted]] = {
    **dict.fromkeys({*dir(layers)} - {"Layer"}, _same),  # same name, options and weights in both, except for these:
    **dict.fromkeys(OVER_LAST_AXIS, _over_last_axis),
    **dict.fromkeys(RECURRENT, _recurrent),
    **dict.fromkeys(HEADS, _heads),
    "Activation": _activation,
    "BatchNormalization": _batch_normalization,
    "Bidirectional": _bidirectional,
    "Lambda": _lambda,
    "RNN": _rnn,
    "Softmax": _softmax,
    "StackedRNNCells": _stacked_cells,
    "TimeDistributed": _time_distributed,
}
