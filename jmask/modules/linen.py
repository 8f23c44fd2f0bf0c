"""`flax.linen` modules."""

import dataclasses
import sys
from typing import Any

import jax

from ..protocol import path
from .function import Function, modes, options


class LinenModule(Function):
    """Runs a `flax.linen` module with the layer's parameters; its random numbers come from the layer's key."""

    @property
    def draws(self) -> bool:
        """Always true: a module may draw from a stream of any name."""
        return True

    def init(self, key: Any, rows: tuple[Any, ...]) -> Any:
        """The parameters of the module; raises if it has other collections."""
        module = self._in_mode(training=False)
        variables = dict(module.init(key, *rows, **_call_options(module, rows, training=False)))
        params = variables.pop("params", {})
        if variables:
            raise ValueError(
                f"{path.current()}: `{type(self.function).__name__}` has the collections {sorted(variables)} beside "
                f"its parameters. {STATISTICS} A module whose statistics are not to change is a function: "
                "`PerSequence(lambda row: module.apply(variables, row))`."
            )
        return params

    def run(self, params: Any, rows: tuple[Any, ...], *, training: bool, key: Any) -> Any:
        """The module's output for one sequence."""
        module = self._in_mode(training=training)
        rngs = None
        if key is not None:
            params_key, dropout_key = jax.random.split(key)
            rngs = {"params": params_key, "dropout": dropout_key}  # the first serves streams of other names
        return module.apply({"params": params}, *rows, rngs=rngs, **_call_options(module, rows, training=training))

    def _in_mode(self, *, training: bool) -> Any:
        return _with_modes(self.function, modes(training), {})


STATISTICS = (
    "These are mostly statistics over a batch, which are no function of one sequence: use "
    "`jm.layers.BatchNormalization` beside this layer, which counts the real steps of the batch."
)


def _call_options(module: Any, rows: tuple[Any, ...], *, training: bool) -> dict[str, Any]:
    """The options of the call, without those that are fields of the module: Flax raises if it gets both."""
    asked = options(module, len(rows), training)
    return {name: value for name, value in asked.items() if getattr(module, name, None) is None}


def _with_modes(value: Any, flags: dict[str, bool], known: dict[int, Any]) -> Any:
    """A copy of a module and its submodules, with the fields that have the names of training options set.

    Statistics fixed by `use_running_average=True` stay fixed. A module that occurs twice is still one module.
    """
    if type(value) in (list, tuple):
        return type(value)(_with_modes(item, flags, known) for item in value)
    if not isinstance(value, sys.modules["flax.linen"].Module):
        return value
    if id(value) not in known:
        changed = {}
        for field in dataclasses.fields(value):
            old = getattr(value, field.name, None)
            if field.name in ("parent", "name"):
                continue
            if field.name in flags and isinstance(old, bool):
                new = flags[field.name] or (old and field.name == "use_running_average")
            else:
                new = _with_modes(old, flags, known)
            if not _is_same(old, new):
                changed[field.name] = new
        known[id(value)] = value.clone(**changed) if changed else value
    return known[id(value)]


def _is_same(old: Any, new: Any) -> bool:
    """Whether nothing has changed, including inside lists."""
    if isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)):
        return len(old) == len(new) and all(map(_is_same, old, new))
    return old is new
