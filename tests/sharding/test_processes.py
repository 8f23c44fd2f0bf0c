"""Real processes on this machine, which hold other rows and lengths, or nothing, and run out at other times."""

from pathlib import Path

import pytest

from tests.support.processes import outputs_of, start

PROGRAM = Path(__file__).parents[1] / "support" / "one_of_many.py"


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_processes_agree(count):
    job = start(PROGRAM, count, 4 // count, [()] * count)
    for i, output in enumerate(outputs_of(job)):
        assert job[i].returncode == 0, output
        assert f"done {i}" in output
