"""`examples/train_many.py`: one run for two processes, which are killed, asked to stop, and started again."""

import signal
from pathlib import Path

import pytest

from tests.support.processes import outputs_of, start

PROGRAM = Path(__file__).parents[1] / "support" / "training_of_many.py"
KILL, TERMINATE = int(signal.SIGKILL), int(signal.SIGTERM)


def launch(tmp_path, name, *stop):
    """Two processes of two devices; the second one may get a signal. Returns what both print."""
    folder = str(tmp_path / name)
    arguments = [(folder, *map(str, stop))] * 2
    variables = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    job = start(PROGRAM, 2, 2, arguments, **variables)
    if stop and stop[0] == KILL:
        job[1].wait(timeout=240)
        job[0].kill()  # as a launcher does: it would wait for the other one
        outputs_of(job)
        assert job[1].returncode == -KILL
        return None
    outputs = outputs_of(job)
    assert [process.returncode for process in job] == [0, 0], outputs
    lines = [output.splitlines()[-1].split() for output in outputs]
    assert lines[0] == lines[1]
    first, last, digest = lines[0]
    return int(first), int(last), digest


@pytest.mark.slow
def test_two_processes_go_on_to_the_bytes_of_a_run_that_nobody_stopped(tmp_path):
    _, steps, digest = launch(tmp_path, "whole")
    assert launch(tmp_path, "cut", KILL, 7, "before") is None  # in the middle of an epoch
    assert launch(tmp_path, "cut", KILL, 9, "after") is None  # in the middle of a save
    first, stopped, _ = launch(tmp_path, "cut", TERMINATE, 11, "before")
    assert 0 < first <= 9
    assert 11 <= stopped < steps  # both have stopped after the same step, and saved it
    first, last, found = launch(tmp_path, "cut")
    assert (first, last, found) == (stopped, steps, digest)
