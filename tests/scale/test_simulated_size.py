"""Plans and agreement of 1,024 processes, computed in one: nothing grows with their number but what they say."""

import tracemalloc
from typing import Any

import jax
import numpy as np
import pytest

import jmask as jm
from jmask import data
from jmask.sharding.agreement import Limits, agreed_sizes
from jmask.sharding.offers import Offer, offer_of

PROCESSES = 1024
PLANS = {
    "padded": data.padded(rows=2 * PROCESSES, width=16),
    "packed": data.packed(row_length=32, rows=PROCESSES, max_segments=8),
}


@pytest.fixture(scope="module")
def corpus() -> Any:
    lengths = np.random.default_rng(0).integers(0, 17, 5003)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return data.Ragged(x=data.Column(np.arange(offsets[-1], dtype=np.int32), offsets))


def of_process(corpus: Any, name: str, index: int, count: int = PROCESSES) -> Any:
    return data.batches(corpus, PLANS[name], seed=0, epochs=1, shard=(index, count))


@pytest.mark.parametrize("name", PLANS)
def test_processes_plan_alike_and_make_each_row_once(corpus, name):
    some = [0, 1, 511, 1023]
    whole, parts = of_process(corpus, name, 0, 1), [of_process(corpus, name, i) for i in some]
    assert {part.num_steps(0) for part in parts} == {whole.num_steps(0)}
    assert {part.fingerprint() for part in parts} == {whole.fingerprint()}
    for batch, *own in zip(whole, *parts, strict=True):
        steps = batch["x"].fill(-1)
        rows = len(batch["x"].values) // PROCESSES
        for i, part in zip(some, own, strict=True):
            assert part["x"].shape[0] == rows
            np.testing.assert_array_equal(part["x"].fill(-1), steps[i * rows : (i + 1) * rows])


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_takes_the_memory_of_one_process(corpus, name):
    def most(index: int, count: int) -> int:
        tracemalloc.start()
        of_process(corpus, name, index, count).num_steps(0)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    most(0, 1)  # what is imported, and kept, stays
    alone = most(0, 1)
    assert abs(most(PROCESSES - 1, PROCESSES) - alone) < 0.05 * alone + len(corpus)


@pytest.mark.parametrize("name", PLANS)
def test_processes_that_read_their_own_part_plan_that_alone(corpus, name):
    bounds = np.linspace(0, len(corpus), PROCESSES + 1).astype(int)
    plan = {"padded": data.padded(rows=2, width=16), "packed": data.packed(row_length=32, rows=1, max_segments=8)}[name]
    found = 0
    for i in range(0, PROCESSES, 73):
        part = corpus[bounds[i] : bounds[i + 1]]
        batches = data.batches(part, plan, seed=i, epochs=1)
        seen = [x["x"] for x in batches]
        assert sum(int(x.mask.sum()) for x in seen) == part.lengths["x"].sum()
        found += len(part)
    assert found


def test_processes_of_any_number_agree(rng):
    offers = []
    for rows, width in zip(rng.integers(0, 9, PROCESSES), rng.integers(1, 100, PROCESSES), strict=True):
        x = jm.masked(np.zeros((rows, width), np.int32), np.ones((rows, width), bool))
        offers.append(offer_of({"x": jax.tree.map(np.asarray, x)}) if rows else Offer())
    sizes = agreed_sizes(offers, Limits(multiple=8))
    assert sizes is not None
    present = [offer.sizes for offer in offers if offer.structure]
    assert (sizes.rows, sizes.widths) == (8, (max(size.widths[0] for size in present),))
    other = offer_of({"y": np.zeros((2, 3), np.float32)})
    with pytest.raises(ValueError, match=r"and \d+ more.*process 7: ") as caught:
        agreed_sizes([*offers[:7], other, *offers[8:]], Limits(multiple=8))
    assert len(str(caught.value)) < 1000
