"""`assert_exact` and `assert_one_compile` pass what is right and name what is wrong; and the fixtures of the plugin."""

import functools
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

import jmask as jm
from jmask.testing import LawBroken, assert_exact, assert_one_compile
from jmask.testing.strategies import masked_batches

pytest_plugins = ["pytester"]


@pytest.mark.slow
def test_what_is_exact_passes(masked_batch):
    x, labels = masked_batch(4), jnp.arange(4)
    dense = jm.layers.Dense(2)
    assert_exact(functools.partial(dense.apply, dense.init(jax.random.key(0), x)), x)
    assert_exact(lambda x, label: {"total": jm.ops.sum(x, axis=1), "label": label * 2}, x, labels)
    assert_exact(lambda x: jm.ops.mean(x), x)  # one number for the batch
    assert_exact(lambda x: jm.ops.cumsum(x), masked_batch(padding="holes"))


def test_packed_rows_are_sequences_by_id():
    x, label = jm.pack([[1.0, 2.0], [3.0], [4.0, 5.0, 6.0]], row_length=4), jnp.arange(3.0)
    assert_exact(lambda x, y: (jm.ops.cumsum(x), y), x, label)
    with pytest.raises(LawBroken, match=r"'exact': output 0, sequence 1, step 0 of 1"):
        assert_exact(lambda x: x.with_values(jnp.cumsum(x.fill(0), axis=1)), x)


@pytest.mark.parametrize(
    ("wrong", "law", "text"),
    [
        (lambda x: x * x.shape[1], "exact", "output 0, sequence 0, step 0 of 3: entries differ"),
        (lambda x: x.with_values(jnp.cumsum(x.values[:, ::-1], 1)[:, ::-1]), "exact", "sequence 0, step 0 of 3"),
        (lambda x: (x, jnp.sum(x.mask)), None, ""),
        (lambda x: x.values.sum(), "invisible padding", "with other padding, output 0, sequence 0: entries"),
        (lambda x: x.mask.shape[1] * jnp.ones(4), "exact", "output 0, sequence 0: entries differ by up to"),
    ],
)
def test_what_is_wrong_is_named(wrong, law, text, masked_batch):
    x = masked_batch(padding_value=0.5)
    if law is None:
        assert_exact(wrong, x)
        return
    with pytest.raises(LawBroken) as found:
        assert_exact(wrong, x)
    assert found.value.law == law
    assert text in str(found.value)


X = jm.from_lengths(jnp.arange(6.0).reshape(2, 3), [3, 1])


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ((lambda x: x, jnp.ones(3)), ValueError, "no input has a time axis"),
        ((X, lambda x: x), TypeError, "takes the function first, then its inputs; received Masked"),
        (
            (lambda x, w: x * w, X, jnp.ones(3)),
            ValueError,
            r"an input has shape \(3,\); the batch has 2 .*functools.partial",
        ),
        ((lambda x, key: x, X, jax.random.key(0)), ValueError, r"an input has shape \(\)"),
        ((lambda x, y: x, X, jm.pad_sequences([[1.0]])), ValueError, r"an input has shape \(1, 1\)"),
        ((lambda x: x[:1], X), ValueError, r"an output has shape \(1, 3\); .* `lambda \*inputs: jnp.sum\(function"),
        ((lambda x: "mean", X), TypeError, "compares numbers; the function returned 'mean'"),
    ],
)
def test_what_is_no_batch_is_refused(arguments, kind, text):
    with pytest.raises(kind, match=text):
        assert_exact(*arguments)


def test_numbers_of_python_are_outputs():
    assert_exact(lambda x: (3, float(jm.ops.sum(x)), None), X)
    with pytest.raises(LawBroken, match="'invisible padding': with other padding, output 0"):
        assert_exact(lambda x: float(x.values.sum()), X)


def test_there_is_a_list_of_precisions():
    with pytest.raises(ValueError, match=r"`precision` is one of 'float64', .*received 'float31'"):
        assert_exact(lambda x: x, X, precision="float31")


def test_one_compile(masked_batch):
    x = masked_batch(2)
    assert_one_compile(lambda x: jm.ops.mean(x, axis=1), x)
    assert_one_compile(lambda x, key, scale: x * scale, x, jax.random.key(0), 2.0)
    for asks in (
        lambda x: x[:, : int(x.lengths.max())],
        lambda x: x if x.mask.all() else -x,
        lambda x: np.asarray(x.values),
        lambda x: x.values[x.mask],
        lambda x: range(x.lengths[0]),
    ):
        with pytest.raises(LawBroken, match="known only when the program runs"):
            assert_one_compile(asks, x)


def test_a_random_batch_may_have_no_rows_and_names_what_is_wrong(masked_batch):
    key = jax.random.key(0)
    assert jm.testing.random_masked(key, [], 3).shape == (0, 1, 3)
    for lengths in ([-1, 2], 3, [2.5]):
        with pytest.raises(
            ValueError, match=rf"integers from 0 on, such as \[3, 0, 5\]; received {re.escape(str(lengths))}"
        ):
            jm.testing.random_masked(key, lengths)
    with pytest.raises(TypeError, match=r"`features` is the shape .* received \[3, 1\]. Lengths go in by name"):
        masked_batch([3, 1])
    with pytest.raises(TypeError, match=r"a PRNG key, such as `jax.random.key\(0\)`; received 0"):
        jm.testing.random_masked(0, [2])


def test_poisoned_batches_have_the_same_steps(masked_batch, poisoned):
    x, ids = masked_batch(), masked_batch(dtype="int32", maximum=5)
    batches = list(poisoned({"x": x, "ids": ids, "label": np.arange(4)}))
    assert len(batches) == 4
    for batch in batches:
        for found, expected in ((batch["x"], x), (batch["ids"], ids)):
            np.testing.assert_array_equal(found.values[found.mask], expected.values[expected.mask])
    assert len({str(batch["ids"].values) for batch in batches}) > 1
    with pytest.raises(ValueError, match="Was its mask lost"):  # or a loop over them would test nothing
        next(poisoned(x.values))


@pytest.mark.slow
@settings(max_examples=10)
@given(masked_batches(3, max_rows=3, max_time=4), masked_batches(dtype="int32", maximum=2, paddings=["right"]))
def test_strategies_draw_legal_batches(x, ids):
    assert x.values.shape == (*x.mask.shape, 3)
    assert np.isnan(x.values[~x.mask]).all()
    assert np.isfinite(x.values[x.mask]).all()
    assert set(np.unique(ids.values[ids.mask])) <= {0, 1}
    assert (np.diff(ids.mask.astype(int), axis=1) <= 0).all()


def test_the_plugin_is_found_and_imports_jmask_only_when_it_is_used(pytester):
    page = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    unused = 'import sys\n\ndef test_unused():\n    assert "jmask" not in sys.modules\n'
    pytester.makepyfile(test_a=unused, test_b=block)
    pytester.runpytest_subprocess("-p", "no:cacheprovider", "test_a.py").assert_outcomes(passed=1)
    pytester.runpytest_subprocess("-p", "no:cacheprovider", "test_b.py").assert_outcomes(passed=4)
