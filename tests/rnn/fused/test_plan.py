"""The plan of the lanes, by its contract: every real step has one slot, and a lane runs the steps of a row in order."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jmask.rnn.fused import plan as plans
from jmask.testing.counting import Counted
from tests.support.fused_oracle import sequences_of
from tests.support.fused_runs import LAYOUTS

SHAPES = [(1, 7), (3, 1), (7, 13), (13, 11), (37, 23), (70, 40)]


def draw_mask(rng, rows, time):
    """As lengths go in text: many short, few long; now and then all the same, or none."""
    most = rng.integers(0, time + 1)
    drawn = rng.lognormal(rng.uniform(-1, np.log(time + 1)), rng.uniform(0, 1.2), rows)
    lengths = np.minimum(drawn.astype(int), most)
    lengths[rng.random(rows) < 0.1] = time
    layout = LAYOUTS[sorted(LAYOUTS)[rng.integers(len(LAYOUTS))]]
    return layout(lengths, time)


def naive_first_fit(count):
    """One row after another, the longest first, into the first lane that has room."""
    capacity, used = max(count), []
    lane, start = [0] * len(count), [0] * len(count)
    for row in sorted(range(len(count)), key=lambda row: -count[row]):
        found = next((i for i, n in enumerate(used) if n + count[row] <= capacity), len(used))
        used += [0] * (found == len(used))
        lane[row], start[row] = found, used[found]
        used[found] += count[row]
    return lane, start, sum(n > 0 for n in used)


@pytest.mark.parametrize("rows", [1, 2, 17, 61])
def test_first_fit_is_that_of_a_loop(rows, rng):
    first_fit = jax.jit(plans.first_fit)
    draws = [draw_mask(rng, rows, 31).sum(1) for _ in range(40)]
    for count in (*draws, np.zeros(rows, int), np.full(rows, 5)):
        lane, start, num_lanes = first_fit(jnp.asarray(count, jnp.int32))
        expected_lane, expected_start, expected_num = naive_first_fit(count.tolist())
        some = count > 0  # a row without steps runs nowhere
        np.testing.assert_array_equal(np.asarray(lane)[some], np.asarray(expected_lane)[some])
        np.testing.assert_array_equal(np.asarray(start)[some], np.asarray(expected_start)[some])
        assert num_lanes == expected_num


def draw_segments(rng, mask):
    """Ids, 0 at padding, that need not rise; an id may come again as another sequence."""
    ids = np.cumsum(rng.random(mask.shape) < 0.3, axis=1) % 3 + 1
    return np.where(mask, ids, 0).astype(np.int32)


def lanes_of(plan, rows, time, are_packed):
    """`(group, lane) -> steps in order`, each with whether a sequence begins; None where a slot is idle."""
    width = plans.widths(rows, are_packed=are_packed)[int(plan.choice)]
    code, stride = np.asarray(plan.slot_step), int(plan.stride)
    lanes, slots = {}, set()
    for group in range(int(plan.num_groups)):
        for t in range(int(plan.length[group])):
            for lane in range(width):
                slot = rows + (group * stride + t) * width + lane
                found = None if code[slot] == plans.IDLE else (int(code[slot]) // 2, bool(code[slot] % 2))
                lanes.setdefault((group, lane), []).append(found)
                slots.add(slot)
    assert set(np.flatnonzero(code != plans.IDLE)) <= slots  # nothing stands where no group runs
    return lanes


def expected_rows(mask, segment_ids, reverse):
    """For each row, its real steps in the order in which they run, each with whether a sequence begins."""
    rows = []
    for row, own in enumerate(mask):
        sequences = sequences_of(own, None if segment_ids is None else segment_ids[row])
        sequences = [steps[::-1] for steps in sequences[::-1]] if reverse else sequences
        rows.append([(int(row * mask.shape[1] + t), t == steps[0]) for steps in sequences for t in steps])
    return rows


def assert_plan_holds(plan, mask, segment_ids, reverse):
    rows, time = mask.shape
    assert plan.slot_step.shape == (rows + plans.num_slots(rows, time, rows),)
    assert (np.asarray(plan.slot_step)[:rows] == plans.IDLE).all()
    longest = mask.sum(1).max()
    expected = expected_rows(mask, segment_ids, reverse)
    missing = {row for row in range(rows) if expected[row]}
    for steps in lanes_of(plan, rows, time, segment_ids is not None).values():
        assert len(steps) <= longest  # no lane runs longer than the longest row
        place = 0
        while place < len(steps):
            if steps[place] is None:
                place += 1
                continue
            row = steps[place][0] // time
            missing.remove(row)  # that is, each row runs once
            assert steps[place : place + len(expected[row])] == expected[row]
            place += len(expected[row])
    assert not missing
    for row, steps in enumerate(expected):
        assert plan.last[row] == (steps[-1][0] if steps else 0)


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize(("rows", "time"), SHAPES)
def test_each_step_runs_once_and_in_order(rows, time, is_packed, reverse, rng):
    widths = plans.widths(rows, are_packed=is_packed)
    counted = Counted(functools.partial(plans.make_plan, reverse=reverse, choices=widths))
    make_plan: Any = jax.jit(counted)
    choices = set()
    masks = [draw_mask(rng, rows, time) for _ in range(25)]
    for mask in (*masks, np.zeros((rows, time), bool), np.ones((rows, time), bool)):
        segment_ids = draw_segments(rng, mask) if is_packed else None
        plan = make_plan(jnp.asarray(mask), None if segment_ids is None else jnp.asarray(segment_ids))
        assert_plan_holds(plan, mask, segment_ids, reverse)
        choices.add(int(plan.choice))
    assert counted.num_traces == 1
    assert choices == set(range(len(widths))) or time == 1  # different fills, different widths


def test_numbers_of_lanes_to_choose_from():
    for rows in range(1, 80):
        widths = plans.widths(rows)
        assert widths[-1] == rows  # every row a lane, which always fits
        assert list(widths) == sorted(set(widths))
        assert plans.widths(rows, are_packed=True) == (rows,)
        (narrow,) = plans.widths(rows, units=64)
        assert narrow == rows if rows < 8 else 4 <= narrow <= max(4, rows / 4)
        assert plans.num_slots(rows, 31, narrow) >= rows * 31
        for time in (1, 2, 31, 1000):
            steps = [plans.block_steps(width, time) for width in widths]
            assert all(1 <= s <= time and s.bit_count() == 1 for s in steps)
            assert plans.num_slots(rows, time, rows) >= rows * time
