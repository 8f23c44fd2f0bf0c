"""jmask: a plain batch under its mask, rows packed beforehand, and a batch known to have no padding."""

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

import jmask as jm

from .in_jax import Batch, JaxRival, compiled_rival, plain_batch
from .task import Rival, Task, Weights


def rivals_at(task: Task) -> Iterator[Rival]:
    run, params = (jm.rnn.lstm, jm.rnn.LSTMParams) if task.cell == "lstm" else (jm.rnn.gru, jm.rnn.GRUParams)

    def convert(weights: Weights) -> Any:
        return params(*weights)

    def masked(params: Any, x: Any, marks: Any) -> Any:
        return run(params, jm.masked(x, marks), return_state=False).values

    def packed(params: Any, x: Any, marks: Any) -> Any:
        return run(params, jm.from_segment_ids(x, marks), return_state=False).values

    def plain(params: Any, x: Any, marks: Any) -> Any:
        return run(params, x, return_state=False)

    yield compiled_rival(JaxRival("jmask", convert, masked), task, plain_batch(task, with_mask=True))
    if hasattr(jm, "pack"):
        yield compiled_rival(JaxRival("jmask packed", convert, packed), task, _packed_batch(task))
    if task.is_full:
        yield compiled_rival(JaxRival("jmask, no mask", convert, plain), task)


def _packed_batch(task: Task) -> Batch:
    """Inputs and targets packed on the host; the same lengths put both into the same places."""
    time = task.workload.time
    x, targets = (
        jm.pack([row[:length] for row, length in zip(rows, task.lengths, strict=True)], row_length=time)
        for rows in (task.x, task.targets)
    )
    segment_ids = np.asarray(x.segment_ids)
    np.testing.assert_array_equal(segment_ids, targets.segment_ids)

    def restore(rows: np.ndarray) -> np.ndarray:
        batch = np.zeros((len(task.lengths), time, *rows.shape[2:]), rows.dtype)
        for row, length in enumerate(task.lengths):
            batch[row, :length] = rows[segment_ids == 1 + row]
        return batch

    return Batch(jnp.asarray(x.values), jnp.asarray(segment_ids), jnp.asarray(targets.fill(0)), restore)
