"""One call of a layer: binds the inputs, fills in what its `call` asks for, and gives masks to its outputs."""

import functools
from typing import Any

import jax
from jax.core import Tracer

from ..core.errors import muted
from ..core.masked import is_masked, mask_of
from . import layer_state, masks, path
from .arguments import Arguments, bind, inject
from .by_sequence import is_packed, rows_of_arguments
from .errors import explain_error
from .initialize import ParamsRef, eval_shape, inputs_of_init
from .output_masks import with_masks


def apply_named(
    layer: Any,
    name: str,
    params: Any,
    inputs: tuple[Any, ...],
    named: dict[str, Any],
    mask: Any = None,
    training: bool = False,
    key: Any = None,
) -> Any:
    """`layer.apply` under a name given by a model.

    Args:
        layer: the layer.
        name: its name in `params` and in messages.
        params: its parameters, or a `ParamsRef` while these are being found.
        inputs: the inputs of its `call`.
        named: inputs and masks by name.
        mask: the mask of the first input, as for `Layer.apply`.
        training: filled in if `call` asks.
        key: filled in if `call` asks.

    Returns:
        The outputs, masked where there is a mask.
    """
    with path.scope(name, layer), layer_state.shape_inference_scope(isinstance(params, ParamsRef)):
        if isinstance(training, Tracer):
            raise TypeError(
                f"{path.current()}: `training` must be known while the program is traced; make it static, "
                "`jax.jit(model.apply, static_argnames='training')`."
            )
        if is_masked(params):
            raise TypeError(
                f"{path.current()}: `apply` takes the parameters first: `model.apply(params, x)`; received a `Masked` "
                f"of shape {params.shape} in their place."
            )
        arguments = bind(type(layer).call, inputs, dict(named), mask)
        pack = None
        if not layer._keeps_sequences_apart and is_packed(arguments):
            arguments, pack = rows_of_arguments(arguments, layer)
        if isinstance(params, ParamsRef):
            params = params.fill(layer, inputs_of_init(layer, arguments.bound))
        options = {"training": training, "key": key}
        if "state" in arguments.signature.injected:
            options["state"] = layer_state.read_state(layer, arguments.bound.args, training=training)
        outputs = _call(layer, params, arguments, options)
        return outputs if pack is None else pack(outputs)


def _call(layer: Any, params: Any, arguments: Arguments, options: dict[str, Any]) -> Any:
    """The outputs of the layer's `call`, with their masks; a new state is stored."""
    passed = arguments if layer.raw_inputs else arguments.zero_filled()
    injected = inject(arguments.signature, arguments, options)
    try:
        outputs = layer.call(params, *passed.bound.args, **passed.bound.kwargs, **injected)
    except Exception as error:
        explained = explain_error(layer, params, arguments, error)
        if explained is error:
            raise
        raise explained from error
    if "state" in options:
        outputs, new_state = outputs
        layer_state.write_state(new_state)
    if layer.raw_inputs:
        return outputs
    passes = layer.supports_masking
    if passes == "auto" or (not passes and masks.are_of_rows(arguments)):
        with layer_state.dry_run():
            passes = not layer.changes_mask and masks.are_kept(
                functools.partial(layer.call, params), arguments, injected
            )
    return with_masks(layer, arguments, passed, outputs, options, passes=passes)


def init_state(layer: Any, inputs: tuple[Any, ...]) -> Any:
    """The initial state of all layers that a call reaches; nothing else is computed.

    Args:
        layer: the layer that is called.
        inputs: arrays, `Masked` or `jax.ShapeDtypeStruct`, nested.

    Returns:
        Nested dicts by name, `{}` if no layer has any.
    """
    name, found = layer.name or layer.default_name, {}

    def trace(key: Any, *inputs: Any) -> None:
        with muted(), path.scope(name, layer), layer_state.running({}, makes=True) as states:
            apply_named(layer, name, ParamsRef(name, key), inputs, {}, None, False, key)
        found.update(states.made)

    eval_shape(trace, jax.random.key(0), *inputs)
    return layer_state.initial(found)


def masks_of_outputs(layer: Any, inputs: Any, mask: Any) -> Any:
    """The masks that `apply` would give the outputs; compilation removes the rest of the program."""
    name = layer.name or layer.default_name

    @jax.jit
    def masks_of(key: Any, inputs: Any, mask: Any) -> Any:
        outputs = apply_named(layer, name, ParamsRef(name, key), (inputs,), {}, mask)
        return jax.tree.map(mask_of, outputs, is_leaf=is_masked)

    return masks_of(jax.random.key(0), inputs, mask)
