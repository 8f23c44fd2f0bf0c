"""How masks pass through a layer: the default rule, attaching masks to outputs, and reports of lost masks."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax

from ..core.arithmetic import Marks, intersect_masks, join, marks_of
from ..core.errors import report_dropped_mask
from ..core.masked import Masked, check_mask, is_masked, mask_of
from ..transform.pointwise import keeps_mask
from . import path
from .arguments import Arguments, as_kind_of, is_array, is_masked_or_none, is_none


def pass_masks(arguments: Arguments, outputs: Any) -> Any:
    """The masks of the outputs of a layer that works step by step (`supports_masking = True`).

    Outputs in the structure of the first input take its masks leaf by leaf. Otherwise every output takes the AND of
    all masks, where an input without a mask counts as all real.

    Args:
        arguments: the inputs of the call.
        outputs: what `call` returned.

    Returns:
        Masks and Nones in the structure of `outputs`.

    Raises:
        ValueError: the masks differ in shape, so they have no AND.
    """
    structure = jax.tree.structure(outputs, is_leaf=is_masked)
    first = as_kind_of(outputs, arguments.bound.arguments.get(arguments.first or ""))
    if structure == jax.tree.structure(first, is_leaf=is_masked) and set(arguments.masked) <= {arguments.first}:
        return arguments.masks().get(arguments.first or "")
    found = [leaf.mask for group in arguments.masked.values() for leaf in group]
    if len({tuple(mask.shape) for mask in found}) > 1:
        raise ValueError(
            f"{path.current()}: inputs with masks of different shapes {[tuple(m.shape) for m in found]} have no "
            "common mask; give the layer a `compute_mask` that says which mask its output has."
        )
    merged = functools.reduce(intersect_masks, found, None)
    return jax.tree.map(lambda _: merged, outputs, is_leaf=is_masked)


def are_kept(call: Callable[..., Any], arguments: Arguments, injected: dict[str, Any]) -> bool:
    """Whether a layer provably treats every entry under the masks of its inputs independently.

    Args:
        call: the layer's `call`, with its parameters.
        arguments: the inputs of the call.
        injected: the other arguments of the call.
    """
    leaves, structure = jax.tree.flatten((arguments.bound.args, arguments.bound.kwargs), is_leaf=is_masked)
    places = [i for i, leaf in enumerate(leaves) if is_array(leaf)]

    def function(*arrays: Any) -> Any:
        mixed = list(leaves)
        for i, array in zip(places, arrays, strict=True):
            mixed[i] = array
        args, kwargs = structure.unflatten(mixed)
        return call(*args, **kwargs, **injected)

    return keeps_mask(function, [leaves[i] for i in places])


def are_of_rows(arguments: Arguments) -> bool:
    """Whether the inputs have masks, all of rank 1: masks of rows, as pooling returns them."""
    found = [leaf.mask.ndim for group in arguments.masked.values() for leaf in group]
    return set(found) == {1}


def reaches(axes: int | Sequence[int], inputs: Any = None) -> bool:
    """Whether one of the axes is masked; if inputs are unknown or have no mask yet, all axes except -1 count."""
    axes, mask = (axes,) if isinstance(axes, int) else axes, mask_of(inputs)
    return any(axis != -1 if mask is None else axis % inputs.ndim < mask.ndim for axis in axes)


def attach(outputs: Any, masks: Any, arguments: Arguments) -> Any:
    """Pairs outputs with their masks; an output that is already a `Masked` keeps its own.

    Args:
        outputs: arrays and `Masked`, nested.
        masks: masks and Nones in the same structure, or None for no mask at all.
        arguments: the inputs: a mask that belongs to one of them keeps its segment ids, and any other mask has the
            segment ids that they have in common, where it is real.

    Returns:
        The outputs, masked where there is a mask.

    Raises:
        ValueError: the masks have another structure, or a shape that does not fit their output or its segment ids.
    """
    if masks is None:
        return outputs
    leaves, structure = jax.tree.flatten(outputs, is_leaf=is_masked_or_none)
    flat_masks, mask_structure = jax.tree.flatten(as_kind_of(outputs, masks), is_leaf=is_none)
    if structure != mask_structure:
        raise ValueError(
            f"{path.current()}: `compute_mask` must return one mask or None for each output, in their structure "
            f"{structure}; received {mask_structure}."
        )
    return structure.unflatten(_attach(leaf, mask, arguments) for leaf, mask in zip(leaves, flat_masks, strict=True))


def report_loss(lost: list[str], reason: str, *, unit: str = "step", is_composite: bool = False) -> None:
    """Warns (or raises under `jm.strict()`) that the masks of these arguments are lost here.

    Args:
        lost: names of the arguments.
        reason: why they are lost.
        unit: what the masks mark.
        is_composite: whether the layer is made of layers, which could have used the mask.
    """
    if lost:
        names = ", ".join(f"`{name}`" for name in lost)
        remedy = "Set `raw_inputs = True` to hand the masks on to its layers, " if is_composite else "Set "
        report_dropped_mask(
            f"{path.current()}: the mask of {names} is dropped here, so what follows takes padding for data, because "
            f"{reason}. {remedy}`supports_masking = True` if the layer treats every {unit} alone, define "
            f"`compute_mask` if it changes the {unit}s (return None to end the mask on purpose), or pass "
            "`mask=jm.NO_MASK`."
        )


def _attach(output: Any, mask: Any, arguments: Arguments) -> Any:
    if mask is None or is_masked(output):
        return output
    if not is_array(output):
        raise TypeError(f"{path.current()}: a mask belongs to an array; the output is a {type(output).__name__}.")
    try:
        check_mask(output, mask)
    except ValueError as error:
        raise ValueError(
            f"{path.current()}: the mask does not fit the layer's output. {error} If the layer changes the time axis, "
            "give it a `compute_mask` that changes the mask alike, or returns None."
        ) from None
    except TypeError as error:
        raise TypeError(f"{path.current()}: `compute_mask` must return masks. {error}") from None
    inputs = [leaf for group in arguments.masked.values() for leaf in group]
    inputs.sort(key=lambda leaf: leaf.segment_ids is None)  # packed ones first
    same = next((leaf for leaf in inputs if leaf.mask is mask), None)
    if same is not None:
        return same.with_values(output)
    return Masked(output, *functools.reduce(join, _marks_of_packed(inputs, mask), Marks(mask)))


def _marks_of_packed(inputs: list[Masked], mask: Any) -> list[Marks]:
    packed = [leaf for leaf in inputs if leaf.segment_ids is not None]
    for leaf in packed:
        if tuple(leaf.mask.shape) != tuple(mask.shape):
            raise ValueError(
                f"{path.current()}: on packed rows `compute_mask` may take steps away, so the mask of an output has "
                f"the shape of the segment ids, {tuple(leaf.mask.shape)}; received {tuple(mask.shape)}. A layer that "
                "moves steps takes `Masked` itself (`raw_inputs = True`) and returns one with segment ids."
            )
    return [marks_of(leaf) for leaf in packed]
