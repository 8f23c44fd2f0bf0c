"""`Masked` in Flax's state dicts, and so in its serialized bytes: `flax.serialization.to_bytes({"x": x})`."""

from typing import Any

from .lazy import LazyModule, after_import
from .pytree import flatten_masked, names_of, unflatten_masked

_serialization: Any = LazyModule("flax.serialization")


def register_state_dict(cls: Any) -> None:
    """Registers the class of `Masked` with `flax.serialization`, as soon as that is imported."""
    after_import(
        "flax.serialization",
        lambda: _serialization.register_serialization_state(cls, _to_state_dict, _from_state_dict),
    )


def _to_state_dict(x: Any) -> dict[str, Any]:
    leaves, kind = flatten_masked(x)
    return dict(zip(names_of(kind), map(_serialization.to_state_dict, leaves), strict=True))


def _from_state_dict(target: Any, state: dict[str, Any]) -> Any:
    leaves, kind = flatten_masked(target)
    names = names_of(kind)
    if set(state) != set(names):
        raise ValueError(
            f"What was saved has {sorted(state)}, and the target, a `Masked` of {kind}, has {sorted(names)}: packed "
            "rows are restored into packed rows, and others into others. Pass a target like what was saved, or read it "
            "without one, `flax.serialization.msgpack_restore(data)`."
        )
    restore = _serialization.from_state_dict
    return unflatten_masked(
        type(target), [restore(leaf, state[name], name) for leaf, name in zip(leaves, names, strict=True)], kind
    )
