"""Every function of the table on padded batches, against the loop over the sequences alone."""

import itertools

import pytest

from tests.support.one_sequence.functions import TABLE, params
from tests.support.one_sequence.row_by_row import check, groups, together

GROUPS = groups(TABLE, 8)
ROWS = [pytest.param(names, marks=[pytest.mark.slow] if i % 3 else []) for i, names in enumerate(GROUPS)]


@pytest.mark.parametrize("names", ROWS, ids=lambda names: f"{names[0]} to {names[-1]}")
def test_it_is_the_loop_over_sequences_alone(names):
    check(f"{names[0]} to {names[-1]}", together(TABLE, names), params())


def test_each_function_has_its_turn():
    assert sorted(itertools.chain.from_iterable(GROUPS)) == sorted(TABLE)
