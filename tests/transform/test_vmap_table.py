"""Every function of the table on padded batches, against the loop over the sequences alone."""

import pytest

from tests.support.one_sequence.functions import TABLE, params
from tests.support.one_sequence.row_by_row import check


@pytest.mark.parametrize("name", TABLE)
def test_it_is_the_loop_over_sequences_alone(name):
    check(name, TABLE[name], params())
