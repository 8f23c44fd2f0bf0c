"""Each layer beside Keras': on each row alone, and on a padded batch wherever Keras honours the mask."""

import jax
import numpy as np
import pytest

from jmask.testing import assert_close
from tests.support.beside_keras.calls import is_none
from tests.support.beside_keras.pair import BATCH
from tests.support.beside_keras.pairs import PAIRS
from tests.support.beside_keras.twins import Twins


@pytest.fixture(params=PAIRS, ids=str)
def twins(request, keras, rng):
    return Twins(request.param, keras, rng)


def test_a_layer(twins):
    """Outputs, masks and gradients of a batch are those of Keras for each row alone, and for a masked batch."""
    ours = twins.of_jmask()
    check_rows(twins, ours)
    if twins.pair.masked:
        check_batch(twins, ours)


def check_rows(twins, ours):
    gradients = []
    for row in range(BATCH):
        weights = [real(y, mask, row) for y, mask in zip(twins.cotangents, ours.masks, strict=True)]
        alone = twins.of_keras_alone(row, weights)
        for y, mask, expected in zip(ours.outputs, ours.masks, alone.outputs, strict=True):
            assert_close(real(y, mask, row).reshape(expected[0].shape), expected[0])
        for x, mask, expected in zip(ours.inputs, twins.masks, alone.inputs, strict=True):
            if x is not None:
                assert_close(real(x, mask, row), expected[0])
                assert mask is None or not np.asarray(x)[row][~mask[row]].any()
        gradients.append(alone.params)
    assert_params_close(ours.params, jax.tree.map(lambda *parts: sum(map(np.asarray, parts)), *gradients))


def check_batch(twins, ours):
    weights = [only_real(w, mask) for w, mask in zip(twins.cotangents, ours.masks, strict=True)]
    theirs = twins.of_keras(weights)
    for y, mask, expected, their_mask in zip(ours.outputs, ours.masks, theirs.outputs, theirs.masks, strict=True):
        assert_close(y, only_real(expected, mask))
        if twins.pair.masked is True:
            assert is_none(mask) == is_none(their_mask)
            np.testing.assert_array_equal(mask, their_mask)
    for x, mask, expected in zip(ours.inputs, twins.masks, theirs.inputs, strict=True):
        if x is not None:
            assert_close(x, only_real(expected, mask))
    assert_params_close(ours.params, theirs.params)


def real(x, mask, row):
    """A row of a batch without its padding."""
    return np.asarray(x)[row] if mask is None else np.asarray(x)[row][np.asarray(mask)[row]]


def only_real(x, mask):
    """A batch with zeros in the padding."""
    x = np.asarray(x)
    return x if mask is None else np.where(np.reshape(mask, (*np.shape(mask), *(1,) * (x.ndim - np.ndim(mask)))), x, 0)


def assert_params_close(actual, expected):
    for (path, leaf), other in zip(jax.tree_util.tree_leaves_with_path(actual), jax.tree.leaves(expected), strict=True):
        try:
            assert_close(leaf, other)
        except AssertionError as error:
            raise AssertionError(f"the gradient of {jax.tree_util.keystr(path)}: {error}") from None
