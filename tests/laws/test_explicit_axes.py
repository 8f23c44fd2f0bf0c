"""Every row of the table is traced with rows that explicit axes of a mesh divide; tests/core/ compares numbers."""

from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jmask as jm
from tests.laws.cases import CASES
from tests.support.batches import BATCH, LENGTHS, PACKED, TIME, Steps, Vector, draw_rows, place_all, place_packed, right

DIVIDES_ROWS = {"ops.concatenate(batches)": "it cuts rows off, fewer than there are devices"}


def traced(case: Any, rng: np.random.Generator, *, packed: bool) -> None:
    """Traces a case on as many devices as there are rows."""
    devices = len(PACKED) if packed else BATCH
    mesh = jax.make_mesh((devices,), ("data",), axis_types=(AxisType.Explicit,), devices=jax.devices()[:devices])
    rows = draw_rows(rng, case.inputs, LENGTHS, case.overlapping)
    values = place_packed(case.inputs, rows) if packed else place_all(case.inputs, rows, right(LENGTHS, TIME))

    def typed(array: Any, *spec: Any) -> Any:
        dtype = np.float32 if array.dtype == np.float64 else array.dtype
        return jax.ShapeDtypeStruct(array.shape, dtype, sharding=NamedSharding(mesh, PartitionSpec(*spec)))

    def placed(spec: Any, value: Any) -> Any:
        if packed and isinstance(spec, Vector):
            return typed(value)
        return jax.tree.map(lambda leaf: typed(leaf, "data"), value)

    def run(params: Any, ids: Any, inputs: Any) -> Any:
        def made(spec: Any, x: Any) -> Any:
            is_steps = packed and isinstance(spec, Steps)
            return jm.from_segment_ids(x, ids, num_sequences=BATCH) if is_steps else x

        return case.run(params, *(made(spec, x) for spec, x in zip(case.inputs, inputs, strict=True)))

    params = jax.tree.map(typed, case.params())
    with jax.set_mesh(mesh):
        inputs = [placed(spec, value) for spec, value in zip(case.inputs, values, strict=True)]
        jax.jit(run).trace(params, typed(PACKED, "data") if packed else None, inputs)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
def test_rows_may_be_divided(rng, packed):
    failed = {}
    for case in CASES:
        if case.name in DIVIDES_ROWS or (packed and case.refuses_packed):
            continue
        try:
            traced(case, rng, packed=packed)
        except Exception as error:  # all that fail are told together
            failed[case.name] = f"{type(error).__name__}: {error}"[:200]
    assert not failed
