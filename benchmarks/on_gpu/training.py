"""Whole training steps of the models of `layers.py`: jmask padded and packed, and Flax by hand."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
import optax
from models import rivals_at
from models.task import WorkloadName, make_task

from .case import Case, Rival, in_jax

TOLERANCE = 1e-2  # of losses, with products of TF32
OPTIMISER = optax.adam(1e-3)
SMALL: list[tuple[WorkloadName, float]] = [("tagger", 0.35)]
WORKS: list[tuple[WorkloadName, float]] = [("encoder", 0.35), ("tagger", 0.35), ("convolutions", 0.35)]


def cases(works: list[tuple[WorkloadName, float]]) -> Iterator[Case]:
    """One case for each model and fill."""
    for name, fill in works:
        models = {rival.name: rival for rival in rivals_at(make_task(name, fill))}
        makers = {key: lambda model=model: _rival(model) for key, model in models.items()}
        first = models["jmask"]
        yield Case(f"Training step of {name}, {fill:.0%} real", lambda m=first: _expected(m), TOLERANCE, makers)


def _step(model: Any) -> Callable[..., Any]:
    def step(params: Any, state: Any, batch: Any) -> Any:
        loss, gradients = jax.value_and_grad(model.loss)(params, batch)
        updates, state = OPTIMISER.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, loss

    return step


def _arguments(model: Any) -> tuple[Any, ...]:
    return model.params, OPTIMISER.init(model.params), model.batch


def _rival(model: Any) -> Rival:
    return in_jax(model.name, _step(model), _arguments(model), _read)


def _expected(model: Any) -> Mapping[str, np.ndarray]:
    """The first loss, exactly multiplied."""
    with jax.default_matmul_precision("highest"):
        return _read(jax.jit(_step(model))(*_arguments(model)))


def _read(results: Any) -> Mapping[str, np.ndarray]:
    return {"loss": np.asarray(results[2], np.float64)[None]}
