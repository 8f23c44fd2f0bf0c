"""Gives outputs their masks by the layer's rule, or reports that it has none."""

from typing import Any

import jax

from ..core.masked import is_masked
from . import masks
from .arguments import Arguments, inject, is_array, signature_of


def with_masks(
    layer: Any,
    arguments: Arguments,
    zero_filled: Arguments,
    outputs: Any,
    options: dict[str, Any],
    *,
    passes: bool,
) -> Any:
    """The outputs with the masks that the layer gives them.

    Args:
        layer: the layer.
        arguments: the inputs of the call.
        zero_filled: the same as arrays, with zeros at padding.
        outputs: what `call` returned.
        options: the other arguments that `compute_mask` may take.
        passes: whether the masks of the inputs are passed on.

    Returns:
        The outputs, masked where there is a mask. A mask that is lost is reported.
    """
    if layer.changes_mask:
        out_masks, asked = _computed_masks(layer, arguments, zero_filled, options)
        lost = [name for name in arguments.masked if name not in asked]
        masks.report_loss(lost, f"neither `call` nor `compute_mask` of `{type(layer).__name__}` asks for it")
        return masks.attach(outputs, out_masks, arguments)
    if passes:
        found = [leaf for group in arguments.masked.values() for leaf in group]
        if len(found) == 1 and is_array(outputs) and outputs.shape[: found[0].mask.ndim] == found[0].mask.shape:
            return found[0].with_values(outputs)  # the same as below, without the handling of nests
        return masks.attach(outputs, masks.pass_masks(arguments, outputs), arguments)
    if not any(map(is_masked, jax.tree.leaves(outputs, is_leaf=is_masked))):
        does = "uses it, but does not say what becomes of it" if uses_mask(layer) else "does not say what becomes of it"
        unit = "row" if masks.are_of_rows(arguments) else "step"
        if layer.supports_masking == "auto":
            does = f"cannot be proved to treat every {unit} alone (`jm.explain` shows where it mixes them)"
        elif unit == "row" and not uses_mask(layer):
            does = "does not say what becomes of it, and cannot be proved to treat every row alone"
        reason = f"`{type(layer).__name__}` {does}"
        masks.report_loss(list(arguments.masked), reason, unit=unit, is_composite=layer._is_composite)
    return outputs


def _computed_masks(
    layer: Any, arguments: Arguments, zero_filled: Arguments, options: dict[str, Any]
) -> tuple[Any, set[str]]:
    """The result of `compute_mask`, and the arguments whose masks it or `call` takes."""
    signature = signature_of(type(layer).compute_mask, type(layer).call)
    bound = zero_filled.bound_to(signature)
    injected = inject(signature, arguments, options)
    asked = {
        name
        for name in arguments.masked
        for s in (signature, arguments.signature)
        if s.asks_for_mask_of(name, first=name == arguments.first)
    }
    return layer.compute_mask(*bound.args, **bound.kwargs, **injected), asked


def uses_mask(layer: Any, *inputs: Any) -> bool:
    """Whether the layer's outputs at real steps depend on the mask, for the summary; with inputs if they are known."""
    found = layer._uses_mask
    if found is not None:
        return bool(found(*inputs) if callable(found) else found)
    signature = signature_of(type(layer).call)
    if "mask" in signature.injected or signature.masks:
        return True
    return layer.raw_inputs and layer.supports_masking is not True
