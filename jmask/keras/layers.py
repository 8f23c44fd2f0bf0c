"""Layers of Keras, one by one: the class, its options, and where its weights go."""

import dataclasses
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import jax

from .. import layers
from .converted import Carried, Place, keras, read, weights_of
from .options import with_options

# Of one name and one set of options in both libraries, with their weights under the same names.
SAME = [
    "ActivityRegularization",
    "Add",
    "AdditiveAttention",
    "AlphaDropout",
    "Attention",
    "Average",
    "AveragePooling1D",
    "Concatenate",
    "Conv1D",
    "Conv1DTranspose",
    "Cropping1D",
    "Dense",
    "DepthwiseConv1D",
    "Dot",
    "Dropout",
    "ELU",
    "EinsumDense",
    "Embedding",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalMaxPooling1D",
    "Identity",
    "LeakyReLU",
    "Masking",
    "MaxPooling1D",
    "Maximum",
    "Minimum",
    "Multiply",
    "PReLU",
    "Permute",
    "ReLU",
    "RepeatVector",
    "Reshape",
    "SeparableConv1D",
    "SpatialDropout1D",
    "Subtract",
    "UnitNormalization",
    "UpSampling1D",
    "ZeroPadding1D",
    "GRUCell",
    "LSTMCell",
    "SimpleRNNCell",
]
RECURRENT = ("SimpleRNN", "GRU", "LSTM", "ConvLSTM1D")
HEADS = {"MultiHeadAttention": "MultiHeadAttention", "GroupedQueryAttention": "GroupQueryAttention"}
OVER_LAST_AXIS = ("LayerNormalization", "RMSNormalization", "GroupNormalization")
MOVING = ("moving_mean", "moving_variance")


def carry_layer(keras_layer: Any, place: Place, **call_options: Any) -> Carried:
    """A layer of Keras that is no model.

    Args:
        keras_layer: a built layer.
        place: where it stands.
        **call_options: options of the call that are fields in jmask, such as `use_causal_mask`.

    Returns:
        The layer, its parameters and its statistics.

    Raises:
        ValueError: a layer or an option that jmask does not have.
    """
    if type(keras_layer) in place.custom:
        if call_options:
            place.refuse(
                f"its call has the options {call_options}", "Make them fields of the layer that `custom` gives."
            )
        place.claim(keras_layer)
        layer, params = place.custom[type(keras_layer)](keras_layer)
        return Carried(layer if layer.name else dataclasses.replace(layer, name=keras_layer.name), params, {})
    if not keras_layer.built:
        place.refuse("it has not been built, and has no weights yet", "Call the model once, or `build` it.")
    if not keras_layer.trainable and keras_layer.weights:
        _mention_frozen(keras_layer, place)
    kind = type(keras_layer).__name__
    known = _carry_known.get(kind) if type(keras_layer).__module__.startswith("keras.") else None
    if known is None:
        place.refuse(
            f"jmask has no layer `{kind}`",
            "Write it as a `jm.Layer`, and say so: "
            f"`jm.from_keras(model, custom={{{kind}: lambda keras_layer: (my_layer, params)}})`.",
        )
    return known(keras_layer, place, **call_options)


def _same(keras_layer: Any, place: Place, **call_options: Any) -> Carried:
    cls = getattr(layers, type(keras_layer).__name__)
    return Carried(with_options(cls, keras_layer, place, **call_options), weights_of(keras_layer, place), {})


def _over_last_axis(keras_layer: Any, place: Place) -> Carried:
    """A normalisation along the last axis, which is where jmask has the features."""
    rank = len(keras_layer.get_build_config()["input_shape"])
    axes = keras_layer.axis if isinstance(keras_layer.axis, (list, tuple)) else [keras_layer.axis]
    if [axis % rank for axis in axes] != [rank - 1]:
        place.refuse(f"it normalises axis {list(axes)} of {rank}; jmask's layer the last one")
    layer = with_options(getattr(layers, type(keras_layer).__name__), keras_layer, place, without="axis")
    return Carried(layer, weights_of(keras_layer, place), {})


def _activation(keras_layer: Any, place: Place) -> Carried:
    if keras_layer.activation is keras().activations.softmax:
        return Carried(layers.Softmax(name=keras_layer.name), {}, {})
    return _same(keras_layer, place)


def _softmax(keras_layer: Any, place: Place) -> Carried:
    if not isinstance(keras_layer.axis, int):
        place.refuse(f"a softmax along several axes, {keras_layer.axis}")
    return _same(keras_layer, place)


def _batch_normalization(keras_layer: Any, place: Place) -> Carried:
    layer = with_options(layers.BatchNormalization, keras_layer, place)
    weights = weights_of(keras_layer, place)
    state = {name: weights.pop(name) for name in MOVING}
    return Carried(layer, weights, state)


def _recurrent(keras_layer: Any, place: Place) -> Carried:
    """A layer whose weights are those of its cell."""
    layer = with_options(getattr(layers, type(keras_layer).__name__), keras_layer, place)
    return Carried(layer, weights_of(keras_layer.cell, place), {})


def _rnn(keras_layer: Any, place: Place) -> Carried:
    cell, params, _ = carry_layer(keras_layer.cell, place.below(keras_layer.cell.name))
    return Carried(with_options(layers.RNN, keras_layer, place, cell=cell), params, {})


def _stacked_cells(keras_layer: Any, place: Place) -> Carried:
    carried = {id(cell): carry_layer(cell, place.below(cell.name)) for cell in keras_layer.cells}
    cells = [carried[id(cell)].model for cell in keras_layer.cells]
    params = {str(cell.model.name): cell.params for cell in carried.values()}
    return Carried(with_options(layers.StackedRNNCells, keras_layer, place, cells=cells), params, {})


def _bidirectional(keras_layer: Any, place: Place) -> Carried:
    directions, params = [], {}
    for name in ("forward", "backward"):
        keras_direction = getattr(keras_layer, f"{name}_layer")
        direction, params[name], _ = carry_layer(keras_direction, place.below(keras_direction.name))
        # In Keras the wrapper sets both: the order of the steps, and the outputs at padded steps.
        is_backwards = keras_direction.go_backwards and name == "forward"
        options = {"go_backwards": is_backwards, "zero_output_for_mask": True}
        directions.append(dataclasses.replace(direction, name=None, **options))
    forward, backward = directions
    given = {"layer": forward, "backward_layer": None if _equal(forward, backward) else backward}
    return Carried(with_options(layers.Bidirectional, keras_layer, place, **given), params, {})


def _equal(one: Any, other: Any) -> bool:
    """Whether two layers have the same class and options."""
    return type(one) is type(other) and repr(one) == repr(other)


def _time_distributed(keras_layer: Any, place: Place) -> Carried:
    from .graph import carry

    layer, params, state = carry(keras_layer.layer, place.below(keras_layer.layer.name))
    if jax.tree.leaves(state):
        warnings.warn(
            f"{place.path}: in training Keras takes the statistics of each time step alone, jmask those of all steps.",
            UserWarning,
            stacklevel=2,
        )
        state = {layer.name: state}
    return Carried(with_options(layers.TimeDistributed, keras_layer, place, layer=layer), params, state)


def _heads(keras_layer: Any, place: Place, **call_options: Any) -> Carried:
    """Attention with several heads, whose weights stand in a layer for each projection."""
    rank = len(keras_layer.get_build_config()["shapes_dict"]["query_shape"])
    axes = [axis % rank for axis in keras_layer.get_config().get("attention_axes", [1])]
    if axes != [rank - 2]:
        place.refuse(f"attention along axes {axes} of {rank}; jmask attends along the last one before the features")
    place.claim(keras_layer)
    params: dict[str, Any] = {}
    for variable in keras_layer.weights:
        projection, name = variable.path.split("/")[-2:]
        params.setdefault(projection, {})[name] = read(variable)
    cls = getattr(layers, HEADS[type(keras_layer).__name__])
    return Carried(with_options(cls, keras_layer, place, without="attention_axes", **call_options), params, {})


def _lambda(keras_layer: Any, place: Place) -> Carried:
    """A function, which keeps the mask where it can be proved to treat every step alone."""
    if keras().backend.backend() != "jax":
        place.refuse("its function computes with another backend than JAX", "Set `KERAS_BACKEND=jax`.")
    mask, arguments = keras_layer.mask, dict(keras_layer.arguments or {})
    if mask is not None and not callable(mask):
        place.refuse("a mask that is an array", "Give the layer a function `(inputs, mask) -> mask`.")
    function = keras_layer.function
    if "training" in inspect.getfullargspec(function).args:
        place.refuse("its function asks for `training`", "Write it as a `jm.Layer`, and give it to `custom`.")
    if arguments:
        function = jax.tree_util.Partial(function, **arguments)
    supports_masking = "auto" if mask is None else False
    return Carried(layers.Lambda(function, mask=mask, supports_masking=supports_masking, name=keras_layer.name), {}, {})


def _mention_frozen(keras_layer: Any, place: Place) -> None:
    if type(keras_layer).__name__ == "BatchNormalization":
        place.refuse(
            "it is frozen (`trainable=False`), and so uses its running statistics in training too",
            "Set `trainable=True`, and call the model with `training=False`.",
        )
    warnings.warn(
        f"{place.path}: is frozen in Keras (`trainable=False`); in jmask the optimiser decides what is trained: "
        "see `optax.transforms.freeze`.",
        UserWarning,
        stacklevel=2,
    )


_carry_known: dict[str, Callable[..., Carried]] = {
    **dict.fromkeys(SAME, _same),
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
