"""Every function of the table on padded batches, against the loop over the sequences alone."""

import dataclasses
import itertools
from collections import defaultdict

import pytest

from tests.support.one_sequence.functions import TABLE, Case, params
from tests.support.one_sequence.row_by_row import check

TOGETHER = 8  # functions in one program, which compiles in a third of the time of eight


def groups():
    """The names of functions that take the same sequences, a few at a time."""
    alike = defaultdict(list)
    for name, case in TABLE.items():
        alike[dataclasses.replace(case, fn=None)].append(name)
    return [names[i : i + TOGETHER] for names in alike.values() for i in range(0, len(names), TOGETHER)]


def together(names):
    """One function with all results."""

    def fn(params, x):
        return {name: TABLE[name].fn(params, x) for name in names}

    return Case(**{**vars(TABLE[names[0]]), "fn": fn})


@pytest.mark.parametrize("names", groups(), ids=lambda names: f"{names[0]} to {names[-1]}")
def test_it_is_the_loop_over_sequences_alone(names):
    check(f"{names[0]} to {names[-1]}", together(names), params())


def test_each_function_has_its_turn():
    assert sorted(itertools.chain.from_iterable(groups())) == sorted(TABLE)
