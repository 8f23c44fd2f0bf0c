"""Kill -9 at any step: the run that goes on ends with the bytes of the run that nobody killed."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import killed_job as job

ROOT = Path(__file__).parents[2]

KILLS = {
    "padded": [(4, "save"), (9, "step")],
    "buckets": [(5, "step"), (14, "save")],
    "packed": [(14, "save")],  # in a step below
}


def run(folder, cache, plan, *kill):
    """What a process printed; None if it was killed."""
    variables = os.environ | {
        "PYTHONPATH": str(ROOT),
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PLATFORMS": "cpu",
    }
    command = [sys.executable, job.__file__, str(folder), plan, *map(str, kill)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    if kill:
        assert done.returncode == -signal.SIGKILL, done.stderr
        return None
    assert done.returncode == 0, done.stderr
    start, steps, digest = done.stdout.split()
    return int(start), int(steps), digest


def training_rows(folder):
    with (folder / "log.csv").open() as file:
        return [(row["epoch"], row["step"], row["train_loss"]) for row in csv.DictReader(file)]


def check(tmp_path, plan, kills):
    _, steps, digest = job.main(str(tmp_path / "whole"), plan).split()
    for number, (kill_at, where) in enumerate(kills):
        folder = tmp_path / f"cut{number}"
        run(folder, tmp_path / "cache", plan, kill_at, where)
        start, again, resumed = run(folder, tmp_path / "cache", plan)
        assert start <= kill_at
        assert start > 0 or kill_at <= 2 * job.EVERY  # the second save waits for the first
        assert (again, resumed) == (int(steps), digest), f"killed at step {kill_at}, in {where}"
        assert training_rows(folder) == training_rows(tmp_path / "whole")


def test_packed_killed_in_the_middle_of_an_accumulation(tmp_path):
    check(tmp_path, "packed", [(job.ACCUMULATE + 2, "step")])


@pytest.mark.slow
@pytest.mark.parametrize("plan", job.PLANS)
def test_every_plan_killed_in_a_step_or_in_a_save(tmp_path, plan):
    check(tmp_path, plan, KILLS[plan])
