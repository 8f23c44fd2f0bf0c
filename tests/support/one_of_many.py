"""One of several real processes; `tests/sharding/test_processes.py` starts them.

python one_of_many.py ADDRESS COUNT INDEX
"""

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jmask as jm  # before the processes meet: importing it touches no device
from jmask import train

ADDRESS, COUNT, INDEX = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(ADDRESS, COUNT, INDEX)

MESH = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
ROWS = NamedSharding(MESH, PartitionSpec("data"))
WEIGHTS = jnp.arange(1.0, 4.0)


def drawn(process: int, step: int) -> list[np.ndarray]:
    """The sequences of one process: other rows and lengths in each, one of them empty."""
    rng = np.random.default_rng((process, step))
    lengths = rng.integers(0, 4 + 5 * process, 3 + 2 * process)
    return [rng.normal(size=(n, 3)).astype(np.float32) for n in lengths]


def steps_of(process: int) -> int:
    """How many batches a process has: the last one has none."""
    return 0 if process == COUNT - 1 else 2 + process


def loss(weights, x):
    y = x.with_values(jnp.tanh((x.fill(0) * weights).sum(-1)))
    return jm.losses.squared_error(y, y.with_values(jnp.ones_like(y.values)))


def alone(step: int) -> tuple[float, np.ndarray]:
    """The same of all processes' sequences in one batch."""
    everything = [row for p in range(COUNT) if step < steps_of(p) for row in drawn(p, step)]
    return jax.value_and_grad(loss)(WEIGHTS, jax.tree.map(jnp.asarray, jm.pad_sequences(everything)))


def check_uneven_batches() -> None:
    traced = 0

    def counted(weights, x):
        nonlocal traced
        traced += 1
        return loss(weights, x)

    step = jax.jit(jax.value_and_grad(counted))
    local = [jm.pad_sequences(drawn(INDEX, i)) for i in range(steps_of(INDEX))]
    found = 0
    for i, x in enumerate(jm.sharding.batches(local, ROWS, rows=16, widths=32)):
        value, gradient = step(WEIGHTS, x)
        expected = alone(i)
        np.testing.assert_allclose(value, expected[0], rtol=1e-6)
        np.testing.assert_allclose(gradient, expected[1], rtol=1e-5, atol=1e-6)
        own = [row for row in jm.unpad(x) if len(row)]
        mine = [row for row in (drawn(INDEX, i) if i < len(local) else []) if len(row)]
        for row, expected_row in zip(own, mine, strict=True):  # `unpad` gives the rows of this process
            np.testing.assert_array_equal(row, expected_row)
        found += 1
    assert found == max(map(steps_of, range(COUNT))), found
    assert traced == 1, f"{traced} programs"


def check_packed_rows() -> None:
    sequences = drawn(INDEX, 0)
    local = {"x": jm.pack(sequences), "label": np.arange(len(sequences), dtype=np.float32) + 10 * INDEX}
    batch = jm.sharding.global_batch(local, ROWS)
    sums = jax.jit(lambda x, label: jm.ops.sum(jm.ops.sum(x, axis=1)[:, 0] * label))(batch["x"], batch["label"])
    expected = sum(
        row[:, 0].sum() * (i + 10 * p) for p in range(COUNT) for i, row in enumerate(drawn(p, 0)) if len(row)
    )
    np.testing.assert_allclose(sums, expected, rtol=1e-5)


def check_differing_structures() -> None:
    local = {"x": np.zeros((2, 3 if INDEX else 4), np.float32)}
    with pytest.raises(ValueError, match=r"process 0: .*\[4\]"):
        jm.sharding.global_batch(local, ROWS)


def check_an_error_of_one() -> None:
    def broken():
        yield jm.pad_sequences([[1.0, 2.0]])
        if INDEX == 0:
            raise OSError("no disk")
        yield jm.pad_sequences([[1.0]])

    found = jm.sharding.batches(broken(), ROWS)
    next(found)
    error, told = (ValueError, "process 0: OSError: no disk") if INDEX else (OSError, "^no disk")
    with pytest.raises(error, match=told):
        next(found)


def check_divided_parameters() -> None:
    def total(params, batch, key):
        weights = params["w"].sum(0) * jax.random.uniform(key)
        return jm.losses.squared_error(batch * weights, batch * 0, divide=False)

    whole = {"w": np.arange(24, dtype=np.float32).reshape(8, 3) / 24}
    batch: Any = jm.sharding.global_batch(jm.pad_sequences(drawn(0, 0)) if INDEX == 0 else None, ROWS, rows=4)
    layout = jm.sharding.named_shardings(MESH, jm.sharding.fsdp("data", min_size=0), whole)
    step = train.step(total, optax.adam(0.1))
    divided = step.init(jax.jit(lambda: whole, out_shardings=layout)(), jax.random.key(1))
    state, _ = step(divided, batch)
    state, _ = step(state, batch)
    assert state.opt_state[0].mu["w"].sharding == layout["w"]
    alone: Any = step.init(whole, jax.random.key(1))
    for _ in range(2):
        alone, _ = step(alone, jm.pad_sequences(drawn(0, 0)))
    for shard in state.params["w"].addressable_shards:
        np.testing.assert_allclose(shard.data, np.asarray(alone.params["w"])[shard.index], rtol=1e-5)


check_uneven_batches()
check_divided_parameters()
check_packed_rows()
check_differing_structures()
check_an_error_of_one()
print("done", INDEX)
