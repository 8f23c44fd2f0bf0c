"""State: running statistics and penalties, passed into a call of `apply_with_state` and returned from it."""

import contextlib
import dataclasses
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import jax
from jax.extend import core

from ..core.masked import is_masked
from . import path
from .initialize import abstract


@dataclasses.dataclass
class States:
    """The statistics of the layers that one call reaches.

    Attributes:
        known: nested dicts by the names on the path to a layer, like parameters; a layer's writes appear here at once,
            so that a shared layer continues from its last call.
        root: number of names on the path to the layer that was called.
        makes: whether layers get the initial statistics, which are recorded in `made`.
        made: by path, the layer and the shapes of its inputs.
        owners: by path, the layer.
        trace: the JAX trace that `known` belongs to; None if writes do not matter.
    """

    known: Any
    root: int
    makes: bool = False
    made: dict[tuple[str, ...], tuple[Any, tuple[Any, ...]]] = dataclasses.field(default_factory=dict)
    owners: dict[tuple[str, ...], Any] = dataclasses.field(default_factory=dict)
    trace: Any = None

    def read(self, layer: Any, inputs: tuple[Any, ...]) -> Any:
        """The statistics of the layer at the current path."""
        place = path.names()[self.root :]
        is_first = place not in self.owners
        if self.owners.setdefault(place, layer) is not layer:
            raise ValueError(
                f"{path.current()}: two layers share the statistics of this name; give each its own, "
                f"`{type(layer).__name__}(..., name='...')`."
            )
        if self.makes:
            _, specs = self.made.setdefault(place, (layer, abstract(inputs)))
            return layer.init_state(*specs)
        if layer.resets_state and is_first:
            return layer.init_state(*abstract(inputs))
        found = self.known
        for name in place:
            found = found.get(name) if isinstance(found, dict) else None
        if not found:
            raise ValueError(
                f"{path.current()}: the state has no statistics of this name; make it by `model.init_state(x)`. "
                f"Received {_names(self.known)}."
            )
        return found

    @property
    def statistics(self) -> list[Any]:
        """The initial running statistics of the layers in `made`, without state that belongs to a single call."""
        return [owner.init_state(*specs) for owner, specs in self.made.values() if not owner.resets_state]

    def write(self, statistics: Any) -> None:
        """Replaces the statistics of the layer at the current path."""
        if self.trace is not None and self.trace != _current_trace():
            layer = self.owners[path.names()[self.root :]]
            raise ValueError(
                f"{path.current()}: `{type(layer).__name__}` has a new state inside a transformation, such as "
                "`jax.checkpoint`, `jax.lax.scan` or `jax.vmap`, in the `call` of a layer, which the state cannot "
                "leave. Transform the call of the whole model, `jax.checkpoint(lambda params, state, x: "
                "model.apply_with_state(params, state, x, training=True))`; or hand the state through: a layer with "
                "`init_state`, whose `call` takes `state`, calls `self.norm.apply_with_state(params, state, x)` in the "
                "transformation, and returns what comes out."
            )
        if not self.makes:
            self.known = _replace(self.known, path.names()[self.root :], statistics)


# ContextVars: state and ranks must pass through the `call` of the user's own layers, which has no argument for them.
_states: ContextVar[States | None] = ContextVar("jmask_states", default=None)
_ranks: ContextVar[tuple[int, ...]] = ContextVar("jmask_ranks_of_masks_of_steps", default=())


@contextlib.contextmanager
def running(known: Any, *, makes: bool = False) -> Iterator[States]:
    """Inside this context, the layers below the current path read and write these statistics."""
    states = States(known, len(path.names()), makes, trace=None if makes else _current_trace())
    token = _states.set(states)
    try:
        yield states
    finally:
        _states.reset(token)


@contextlib.contextmanager
def shape_inference_scope(is_slot: bool) -> Iterator[None]:
    """Inside this context, statistics are the initial ones, if only the shapes of parameters are being found."""
    states = _states.get()
    if not is_slot or (states is not None and states.makes):
        yield
        return
    with running({}, makes=True):
        yield


@contextlib.contextmanager
def dry_run() -> Iterator[None]:
    """Discards state written inside this context, for a call that is only examined."""
    states = _states.get()
    token = _states.set(states and dataclasses.replace(states, trace=None))
    try:
        yield
    finally:
        _states.reset(token)


@contextlib.contextmanager
def padded_batch_scope(ranks: list[int]) -> Iterator[None]:
    """Inside, batch rows are steps; masks of these ranks mark padding, those of rank 3 also within the rows."""
    token = _ranks.set((*_ranks.get(), *ranks))
    try:
        yield
    finally:
        _ranks.reset(token)


def read_state(layer: Any, inputs: tuple[Any, ...], *, training: bool) -> Any:
    """The statistics of the layer being called; outside training, the initial ones if it needs no state."""
    states, ranks = _states.get(), _ranks.get()
    is_told = 2 not in ranks and any(map(is_masked, jax.tree.leaves(inputs, is_leaf=is_masked)))
    counts = states is not None and not states.makes and (training or layer.resets_state)
    if counts and ranks and not is_told:
        raise ValueError(
            f"{path.current()}: `{type(layer).__name__}` counts its batch, of which `TimeDistributed` makes a row out "
            "of every step, the padded ones too. Put it outside of `TimeDistributed`, where it sees the mask."
        )
    if states is not None:
        return states.read(layer, inputs)
    if layer.resets_state and not training:
        return layer.init_state(*abstract(inputs))
    has = "gives out a state in training, such as a penalty" if layer.resets_state else "has running statistics"
    raise TypeError(
        f"{path.current()}: `{type(layer).__name__}` {has}, which `apply` cannot return: make the state by "
        "`state = model.init_state(x)`, and call `outputs, state = model.apply_with_state(params, state, x)`."
    )


def write_state(statistics: Any) -> None:
    """Stores the new statistics of the layer being called."""
    states = _states.get()
    if states is not None:
        states.write(statistics)


def initial(made: dict[tuple[str, ...], tuple[Any, tuple[Any, ...]]]) -> Any:
    """The initial state of layers, as nested dicts by path; see `States.made`."""
    known: Any = {}
    for place, (owner, specs) in made.items():
        known = _replace(known, place, owner.init_state(*specs))
    return known


def _current_trace() -> Any:
    """The current JAX trace, for comparison."""
    ours = getattr(core, "get_opaque_trace_state", None)  # public in newer versions
    return jax.core.get_opaque_trace_state() if ours is None else ours()  # pyright: ignore[reportAttributeAccessIssue]


def _replace(known: Any, place: tuple[str, ...], statistics: Any) -> Any:
    if not place:
        return statistics
    return {**known, place[0]: _replace(known.get(place[0], {}), place[1:], statistics)}


def _names(known: Any, prefix: str = "") -> list[str]:
    if not isinstance(known, dict):
        return [prefix.rstrip("/")]
    return [name for key, value in known.items() for name in _names(value, f"{prefix}{key}/")]
