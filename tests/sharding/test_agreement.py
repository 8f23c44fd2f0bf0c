"""What processes conclude from their offers, without any process."""

import json
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jmask as jm
from jmask.sharding.agreement import Limits, agreed_sizes
from jmask.sharding.offers import BatchSizes, Offer, empty_batch, leaves_of, offer_of


class Pair(NamedTuple):
    first: Any
    second: Any


def batch(lengths, features=2):
    words = jm.pad_sequences([np.ones((n, features), np.float32) for n in lengths])
    return {"words": words, "label": np.zeros(len(lengths), np.int32)}


@given(
    held=st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=9) | st.none(), min_size=1, max_size=8),
    multiple=st.integers(1, 4),
    choices=st.none() | st.just((8, 16, 40)),
)
def test_sizes_hold_what_every_process_has(held, multiple, choices):
    """Any rows and lengths, and processes without a batch."""
    offers = [Offer() if lengths is None else offer_of(batch(lengths)) for lengths in held]
    sizes = agreed_sizes(offers, Limits(None, choices, multiple))
    present = [lengths for lengths in held if lengths is not None]
    if not present:
        assert sizes is None
        return
    longest = max(map(max, present))
    assert sizes.rows % multiple == 0
    assert 0 <= sizes.rows - max(map(len, present)) < multiple
    assert sizes.widths == ((longest,) if choices is None else (min(c for c in choices if c >= longest),))


def test_an_empty_batch_has_the_structure_of_the_others():
    rows = [{"x": (batch([2, 3])["words"], [np.zeros((2, 5))]), "none": None}, jm.pack([[1, 2], [3]])]
    for local in rows:
        structure = offer_of(local).structure
        assert offer_of(empty_batch(structure)).structure == structure
    packed = empty_batch(offer_of(rows[1]).structure)
    assert packed.segment_ids.shape == (0, 0)


def test_who_holds_what_is_told():
    offers = [offer_of(batch([1])), Offer(), offer_of(batch([1], features=3)), offer_of(batch([2], features=3))]
    with pytest.raises(ValueError, match=r"process 0: .*\[2\].*; processes 2, 3: .*\[3\]"):
        agreed_sizes(offers, Limits())


def test_limits_are_kept_or_told():
    offers = [offer_of(batch([1, 1, 1])), offer_of(batch([9]))]
    assert agreed_sizes(offers, Limits(rows=4, widths=16)) == BatchSizes(4, 0, (16,))
    with pytest.raises(ValueError, match=r"by process: \{0: 3\}. Pass `rows=3`"):
        agreed_sizes(offers, Limits(rows=2))
    with pytest.raises(ValueError, match="Process 1 has rows of 9 steps"):
        agreed_sizes(offers, Limits(widths=(4, 8)))
    documents = jm.pad_sequences([[[1, 2], [3]]], ragged_rank=2)
    with pytest.raises(ValueError, match="two sizes"):
        agreed_sizes([offer_of(documents)], Limits(widths=8))
    assert agreed_sizes([offer_of(documents)], Limits()).widths == (2, 2)


def test_a_process_that_cannot_read_stops_all():
    with pytest.raises(ValueError, match="process 1: OSError: no disk"):
        agreed_sizes([offer_of(batch([1])), Offer(error="OSError: no disk")], Limits())


def test_packed_rows_know_their_sequences_everywhere_or_nowhere():
    known, unknown = jm.pack([[1], [2, 3]]), jm.pack([[1], [2, 3]], num_rows=2)
    assert agreed_sizes([offer_of(known), Offer()], Limits(multiple=4)).num_sequences == 4
    assert agreed_sizes([offer_of(unknown)], Limits()).num_sequences == -1
    with pytest.raises(ValueError, match=r"\{0: 2, 1: None\}"):
        agreed_sizes([offer_of(known), offer_of(unknown)], Limits())


@pytest.mark.parametrize(
    ("local", "error", "told"),
    [
        ({"a": np.array(["x"])}, TypeError, r"\['a'\] is of dtype <U1"),
        ({"a": np.float32(1)}, ValueError, "has shape ()"),
        ([np.zeros(2), np.zeros(3)], ValueError, r"same rows; received \[2, 3\]"),
        ([jm.pack([[1], [2]]), np.zeros(3)], ValueError, r"\[3\] entries for 2 sequences"),
        ([jm.pack([[1]], num_rows=1), np.zeros(1)], ValueError, "an unknown number of sequences"),
        ([jm.pack([[1]]), jm.pack([[1], [2]])], ValueError, "the same sequences"),
        (jm.from_segment_ids(np.zeros((1, 2)), np.array([[7, 7]])), ValueError, "number of steps, 2.*received 7"),
    ],
)
def test_what_cannot_be_a_global_batch_is_refused(local, error, told):
    with pytest.raises(error, match=told):
        offer_of(local)


def test_containers_that_only_their_process_can_build():
    structure = offer_of({"pair": Pair(np.zeros((2, 3)), batch([1, 2]))}).structure
    assert json.loads(structure)[0] == "dict"
    assert [leaf.features for leaf in leaves_of(structure)] == [(3,), (), (2,)]
    with pytest.raises(LookupError, match="Pair"):
        empty_batch(structure)
