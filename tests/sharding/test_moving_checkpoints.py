"""A run is saved on eight devices, and goes on there, on four, or on one."""

import shutil

import jax
import numpy as np
import pytest

from tests.support.training_of_many import example


@pytest.mark.slow
def test_a_run_goes_on_with_other_devices(tmp_path):
    train_many, sizes = example(), {"every": 3, "sequences": 240}
    whole = train_many.main(str(tmp_path / "whole"), 3, devices=8, **sizes)
    begun = train_many.main(str(tmp_path / "begun"), 1, devices=8, **sizes)
    assert 0 < int(begun.step) < int(whole.step)
    for devices in (8, 4, 1):
        folder = shutil.copytree(tmp_path / "begun", tmp_path / str(devices))
        found = train_many.main(str(folder), 3, devices=devices, **sizes)
        assert int(found.step) == int(whole.step)
        assert {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(found.params)} == {devices}
        for leaf, expected in zip(jax.tree.leaves(found.params), jax.tree.leaves(whole.params), strict=True):
            assert devices != 8 or np.array_equal(leaf, expected)
            np.testing.assert_allclose(leaf, expected, rtol=1e-4, atol=1e-5)
