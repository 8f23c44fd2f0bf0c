"""A rival written in JAX, as a compiled program: its outputs, or a training step."""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .task import Rival, Task, Weights


@dataclasses.dataclass(frozen=True)
class Batch:
    """The layout in which a rival takes a task.

    Attributes:
        x: `(rows, time, features)`.
        marks: a bool mask, or int segment ids with 0 for padding, `(rows, time)`; None if there is no padding.
        targets: `(rows, time, units)`.
        restore: brings an array `(rows, time, ...)` back to the `(batch, time, ...)` of the task, zero in the padding.
    """

    x: Any
    marks: Any
    targets: Any
    restore: Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class JaxRival:
    """A recurrent layer.

    Attributes:
        name: in the tables.
        convert: from jmask's weights to the layer's own parameters, a pytree. Gradients come back through its VJP.
        outputs: of parameters, inputs `(rows, time, features)` and marks as in `Batch`: `(rows, time, units)`, zero in
            the padding.
        lacks: names of `Weights` that the layer has only in part, so that their gradients cannot be compared.
    """

    name: str
    convert: Callable[[Weights], Any]
    outputs: Callable[[Any, Any, Any], Any]
    lacks: tuple[str, ...] = ()


def plain_batch(task: Task, *, with_mask: bool | None = None) -> Batch:
    """The padded batch; a mask goes with it where there is padding, or as `with_mask` says."""
    with_mask = not task.is_full if with_mask is None else with_mask
    marks = jnp.asarray(task.mask) if with_mask else None
    real = task.mask[..., None]
    return Batch(jnp.asarray(task.x), marks, jnp.asarray(task.targets), lambda rows: np.where(real, rows, 0))


def zero_padding(outputs: Any, marks: Any) -> Any:
    """For layers that leave anything in the padding."""
    return outputs if marks is None else jnp.where(marks[..., None], outputs, 0)


def compiled_rival(rival: JaxRival, task: Task, batch: Batch | None = None) -> Rival:
    batch = plain_batch(task) if batch is None else batch
    params, to_weights = jax.vjp(rival.convert, Weights(*map(jnp.asarray, task.weights)))
    if task.mode == "inference":
        program, args = rival.outputs, (params, batch.x, batch.marks)
    else:
        program = jax.value_and_grad(functools.partial(_loss, rival.outputs), argnums=(0, 1))
        args = (params, batch.x, batch.marks, batch.targets)

    def read(result: Any) -> dict[str, np.ndarray]:
        if task.mode == "inference":
            return {"outputs": batch.restore(np.asarray(result))}
        loss, (gradient, inputs) = result
        weights = to_weights(gradient)[0]._asdict()
        arrays = {"loss": loss, **{name: array for name, array in weights.items() if name not in rival.lacks}}
        return {"inputs": batch.restore(np.asarray(inputs))} | {k: np.asarray(v) for k, v in arrays.items()}

    compiled = _compiled((rival.name, task.cell, task.mode, task.unroll), program, args)
    return Rival(
        rival.name,
        functools.partial(compiled.program, *args),
        compiled.trace,
        compiled.compile,
        read=read,
        memory=compiled.program.memory_analysis().temp_size_in_bytes,
    )


def _loss(outputs: Callable, params: Any, x: Any, marks: Any, targets: Any) -> Any:
    """Mean squared error over the real steps."""
    error = outputs(params, x, marks) - targets
    if marks is None:
        return jnp.mean(jnp.square(error))
    real = marks > 0
    return jnp.sum(jnp.square(jnp.where(real[..., None], error, 0))) / (real.sum() * error.shape[-1])


@dataclasses.dataclass(frozen=True)
class _Compiled:
    program: Any
    trace: float
    compile: float


_programs: dict[Any, _Compiled] = {}


def _compiled(key: tuple[Any, ...], function: Callable, args: Any) -> _Compiled:
    """Each program is traced and compiled once, from empty caches: other lengths of the same shapes use it again."""
    leaves, structure = jax.tree.flatten(args)
    signature = (*key, structure, *((leaf.shape, leaf.dtype) for leaf in leaves))
    if signature not in _programs:
        jax.clear_caches()
        start = time.perf_counter()
        lowered = jax.jit(lambda *args: function(*args)).lower(*args)  # a new function, unknown to any cache
        traced = time.perf_counter()
        program = lowered.compile()
        _programs[signature] = _Compiled(program, traced - start, time.perf_counter() - traced)
    return _programs[signature]
