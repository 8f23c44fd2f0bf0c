"""Calls by name: what a layer receives as values, as masks, and as injected options (`training`, ...)."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax

from ..core.explicit_mask import NO_MASK, override_mask
from ..core.masked import Masked, fill, is_masked, mask_of, values_of
from ..core.pytree import flatten_masked, put
from . import path

INJECTED = ("mask", "training", "key", "state")


def is_array(leaf: Any) -> bool:
    """Whether a leaf is an array, a tracer or an abstract array."""
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")


def is_none(leaf: Any) -> bool:
    """Whether a leaf is None, for use as `is_leaf`."""
    return leaf is None


def is_masked_or_none(leaf: Any) -> bool:
    """Whether a leaf is a `Masked` or None, for use as `is_leaf`."""
    return leaf is None or isinstance(leaf, Masked)


def as_kind_of(other: Any, tree: Any) -> Any:
    """`tree` as the same kind of sequence as `other`: lists, tuples and named tuples are interchangeable."""
    sequences = isinstance(other, (list, tuple)) and isinstance(tree, (list, tuple)) and len(other) == len(tree)
    if not sequences or type(other) is type(tree):
        return tree
    return jax.tree.structure(other, is_leaf=lambda leaf: leaf is not other).unflatten(tree)


@dataclasses.dataclass(frozen=True)
class Signature:
    """What a layer's method takes: its inputs, the masks of inputs by name, and injected options."""

    inputs: inspect.Signature
    masks: tuple[str, ...]
    injected: tuple[str, ...]

    @functools.cached_property
    def mask_names(self) -> dict[str, str]:
        """Keyword -> the input whose mask it is: `context_mask` for `context`, `key_mask` for `key_`."""
        of_inputs = {f"{name.rstrip('_')}_mask": name for name in self.inputs.parameters}
        return {name: of for name, of in of_inputs.items() if name not in self.inputs.parameters}

    def asks_for_mask_of(self, argument: str, *, first: bool) -> bool:
        """Whether the method has a parameter for the mask of this input."""
        return f"{argument}_mask" in self.masks or (first and "mask" in self.injected)


@functools.cache
def signature_of(function: Callable, call: Callable | None = None) -> Signature:
    """Splits the parameters of a layer's method by name, without `self` and `params`.

    Args:
        function: the unbound method, `call` or `compute_mask`.
        call: for `compute_mask`, the `call` whose inputs' masks it may ask for.

    Returns:
        The parts.
    """
    parameters = dict(inspect.signature(function).parameters)
    parameters.pop("self", None)
    parameters.pop("params", None)
    inputs = {*parameters, *(inspect.signature(call).parameters if call else ())}
    masks = tuple(name for name in parameters if name.endswith("_mask") and name[:-5] in inputs)
    injected = tuple(name for name in INJECTED if name in parameters)
    inputs = [p for name, p in parameters.items() if name not in (*masks, *INJECTED)]
    return Signature(inspect.Signature(inputs), masks, injected)


@dataclasses.dataclass(frozen=True)
class Arguments:
    """The inputs of one call of a layer, by argument name; `Masked` leaves carry their masks."""

    signature: Signature
    bound: inspect.BoundArguments

    @property
    def first(self) -> str | None:
        """Name of the argument whose mask is called `mask`: the first of the signature."""
        return next(iter(self.signature.inputs.parameters), None)

    @functools.cached_property
    def masked(self) -> dict[str, list[Masked]]:
        """The `Masked` leaves of every argument that has any."""
        leaves = {
            name: [value] if is_masked(value) else jax.tree.leaves(value, is_leaf=is_masked)
            for name, value in self.bound.arguments.items()
        }
        found = {name: [leaf for leaf in group if is_masked(leaf)] for name, group in leaves.items()}
        return {name: group for name, group in found.items() if group}

    def with_leaves(self, function: Callable[[Any], Any]) -> "Arguments":
        """The same call with `function` applied to every leaf."""
        arguments = {k: _map_leaves(function, v) for k, v in self.bound.arguments.items()}
        return Arguments(self.signature, _rebind(self.bound, arguments))

    def masks(self) -> dict[str, Any]:
        """The masks of every argument, None where a leaf has none, in the argument's structure."""
        return {name: _map_leaves(mask_of, value) for name, value in self.bound.arguments.items()}

    def bound_to(self, signature: Signature) -> inspect.BoundArguments:
        """The same inputs, bound to the signature of another method: by name, and the remaining ones in order."""
        bound = _rebind(self.bound, dict(self.bound.arguments))
        bound.apply_defaults()
        wanted = signature.inputs.parameters
        rest = [name for name in bound.arguments if name not in wanted]
        given: dict[str, Any] = {}
        for name, parameter in wanted.items():
            if name in bound.arguments:
                given[name] = bound.arguments[name]
            elif parameter.kind is parameter.VAR_POSITIONAL:
                given[name] = tuple(bound.arguments[other] for other in rest)
                rest = []
            elif rest and parameter.kind is not parameter.VAR_KEYWORD:
                given[name] = bound.arguments[rest.pop(0)]
        return inspect.BoundArguments(signature.inputs, given)

    def zero_filled(self) -> "Arguments":
        """Plain arrays for every input, with zeros at padded positions."""
        return self.with_leaves(fill)

    def unmasked(self) -> "Arguments":
        """Plain arrays for every input."""
        return self.with_leaves(values_of)


def bind(function: Callable, args: tuple[Any, ...], kwargs: dict[str, Any], mask: Any) -> Arguments:
    """Binds a call to the signature of `function`; explicit masks replace attached ones.

    Args:
        function: the unbound `call` of a layer.
        args: its positional inputs: arrays, `Masked`, nests of them, or static values.
        kwargs: inputs by name, and masks by name (`context_mask=`).
        mask: the explicit mask of the first input: None leaves the attached one, `NO_MASK` removes it, and for a nest
            of inputs it is a nest of these.

    Returns:
        The arguments, every masked leaf a `Masked`.

    Raises:
        TypeError: arguments that the signature does not have.
        ValueError: a mask that does not fit its input.
    """
    signature = signature_of(function)
    inputs = signature.inputs.parameters
    explicit = {of: kwargs.pop(name) for name, of in signature.mask_names.items() if name in kwargs}
    try:
        bound = signature.inputs.bind(*args, **kwargs)
    except TypeError as error:
        params = "" if args or kwargs else " `apply` takes the parameters first: `model.apply(params, x)`."
        raise TypeError(
            f"{path.current()}: `{function.__qualname__}` {error}; its inputs are `{signature.inputs}`.{params}"
        ) from None
    arguments = Arguments(signature, bound)
    if mask is not None and arguments.first is not None:
        if explicit.get(arguments.first) is not None:
            raise TypeError(
                f"{path.current()}: `mask` and `{arguments.first}_mask` are both the mask of `{arguments.first}`; "
                "pass one of them."
            )
        alone = inputs[arguments.first].kind is inspect.Parameter.VAR_POSITIONAL and len(args) == 1
        for_tuple = alone and isinstance(mask, (list, tuple)) and not isinstance(args[0], (list, tuple))
        explicit[arguments.first] = (mask,) if alone and not for_tuple else mask
    for name, given in explicit.items():
        if given is not None and name not in bound.arguments:
            raise TypeError(f"{path.current()}: there is a mask for `{name}`, but no `{name}`.")
    if any(leaf.segment_ids is not None for group in arguments.masked.values() for leaf in group):
        bound = arguments.with_leaves(functools.partial(_with_shared_mask, {})).bound
    overridden = {k: _override(k, v, explicit.get(k)) for k, v in bound.arguments.items()}
    return Arguments(signature, _rebind(bound, overridden))


def inject(signature: Signature, arguments: Arguments, options: dict[str, Any]) -> dict[str, Any]:
    """Values for the parameters `mask`, `<input>_mask`, `training`, `key` and `state` that a method has asked for."""
    masks = arguments.masks() if signature.masks or "mask" in signature.injected else {}
    injected = {name: options.get(name) for name in signature.injected if name != "mask"}
    if "mask" in signature.injected:
        injected["mask"] = masks.get(arguments.first or "")
    return injected | {name: masks.get(name[:-5]) for name in signature.masks}


def _map_leaves(function: Callable[[Any], Any], value: Any) -> Any:
    """`function` applied to every leaf of an argument, which usually is a leaf itself."""
    return function(value) if is_masked(value) else jax.tree.map(function, value, is_leaf=is_masked)


def _rebind(bound: inspect.BoundArguments, arguments: dict[str, Any]) -> inspect.BoundArguments:
    return inspect.BoundArguments(bound.signature, arguments)


def _with_shared_mask(masks: dict[int, Any], leaf: Any) -> Any:
    """A leaf of packed rows with the mask object shared by all leaves with its segment ids, so layers recognise it.

    Otherwise packed rows that come out of a transform would compute their mask again at every access.
    """
    if not is_masked(leaf) or leaf.segment_ids is None:
        return leaf
    mask, (leaves, kind) = masks.setdefault(id(leaf.segment_ids), leaf.mask), flatten_masked(leaf)
    return put(object.__new__(Masked), leaves[0], mask, leaves[1], kind)


def _override(name: str, value: Any, masks: Any) -> Any:
    """An input with explicit masks instead of the attached ones, leaf by leaf."""
    if masks is None:
        return value
    leaves, structure = jax.tree.flatten(value, is_leaf=is_masked_or_none)
    given, given_structure = jax.tree.flatten(as_kind_of(value, masks), is_leaf=is_none)
    if structure != given_structure:
        raise ValueError(
            f"{path.current()}: the mask of `{name}` must have the structure of `{name}`, with one mask, None or "
            f"jm.NO_MASK for each array; received {given_structure} for {structure}."
        )
    return structure.unflatten(_override_leaf(name, leaf, mask) for leaf, mask in zip(leaves, given, strict=True))


def _override_leaf(name: str, leaf: Any, mask: Any) -> Any:
    if mask is not None and mask is not NO_MASK and not is_array(mask):
        raise TypeError(
            f"{path.current()}: the mask of `{name}` must be a bool array, None or jm.NO_MASK; received {mask!r}."
        )
    if is_array(mask) and not is_array(leaf):
        raise TypeError(
            f"{path.current()}: a mask belongs to an array; there is one for the {type(leaf).__name__} in `{name}`."
        )
    return override_mask(leaf, mask, path.current(), f"`{name}`")
