"""Rules of one's own, and what rules promise."""

import jax
import jax.numpy as jnp
import pytest
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

import jmask as jm
from jmask.testing import assert_close
from jmask.transform.rules import registry


def make_primitive(name, fn):
    """A primitive that jmask cannot know: `fn` along the first axis."""
    primitive = Primitive(name)
    primitive.def_impl(fn)
    primitive.def_abstract_eval(lambda x, *xs: jax.core.ShapedArray(jax.eval_shape(fn, x, *xs).shape, x.dtype))
    mlir.register_lowering(primitive, mlir.lower_fun(fn, multiple_results=False))

    def batch(args, axes):
        return jax.vmap(fn, in_axes=tuple(axes))(*args), 0

    batching.primitive_batchers[primitive] = batch
    return primitive


@pytest.fixture
def total(monkeypatch):
    monkeypatch.setattr(registry, "_rules", dict(registry._rules))
    monkeypatch.setattr(registry, "_effects", dict(registry._effects))
    return make_primitive("total_of_steps", lambda x: x.sum(0))


def test_a_rule_of_ones_own(total):
    x = jm.pad_sequences([[1.0, 2.0, 3.0], [4.0]])
    with pytest.raises(NotImplementedError, match="`total_of_steps`"):
        jm.vmap(total.bind)(x)
    jm.def_vmap_rule(total, lambda equation, x: equation.bind(x.fill(0)))
    assert_close(jax.jit(jm.vmap(lambda x: total.bind(x) / x.shape[0]))(x), [2, 4])
    jm.def_vmap_rule("total_of_steps", lambda equation, x: jnp.asarray(x.size(0), x.dtype))
    assert_close(jm.vmap(total.bind)(x), [3, 1])
    assert not jm.is_pointwise(total.bind, jm.Input((None,)))


def test_a_rule_must_return_the_padded_shape(total):
    jm.def_vmap_rule(total, lambda equation, x: x.array)
    with pytest.raises(ValueError, match=r"`total_of_steps` must return the padded shape \(\); it returned \(3,\)"):
        jm.vmap(total.bind)(jm.pad_sequences([[1.0, 2.0, 3.0], [4.0]]))


def test_an_operand_without_a_ragged_axis_has_no_padding(total):
    """So it needs no guard, and all its entries are valid."""
    seen = []

    def rule(equation, x, weights):
        seen.append((weights.is_ragged, weights.has_safe_padding))
        return equation.bind(x.fill(0), jnp.where(weights.valid(), weights.array, 0))

    weigh = make_primitive("weighted_sum_of_steps", lambda x, weights: x.sum(0) * weights.sum())
    jm.def_vmap_rule(weigh, rule)
    x = jm.pad_sequences([[1.0, 2.0, 3.0], [4.0]])
    assert_close(jm.vmap(weigh.bind, in_axes=(0, None))(x, jnp.ones(2)), [12, 8])
    assert set(seen) == {(False, True)}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda equation, x: None, "`total_of_steps` must return an array; it returned None. The equation is at"),
        (lambda equation, x: [x.array, x.array], "must return an array; it returned 2 of them"),
        (
            lambda equation, x: equation.bind(x),
            r"`equation.bind` of `total_of_steps` takes arrays: .* `x.fill\(value\)`",
        ),
    ],
)
def test_a_rule_takes_and_returns_arrays(total, rule, message):
    jm.def_vmap_rule(total, rule)
    with pytest.raises(TypeError, match=message):
        jm.vmap(total.bind)(jm.pad_sequences([[1.0, 2.0, 3.0], [4.0]]))


def test_a_rule_is_a_function_and_belongs_to_a_primitive(total):
    with pytest.raises(TypeError, match=r"takes a `jax.extend.core.Primitive` or the name of one \(not its `bind`\)"):
        jm.def_vmap_rule(total.bind, lambda equation, x: x.array)
    with pytest.raises(TypeError, match=r"`total_of_steps` must be a function `rule\(equation, \*operands\)`"):
        jm.def_vmap_rule(total, None)


def test_a_new_elementwise_primitive_needs_no_rule():
    doubled = Primitive("doubled_entries")
    doubled.def_impl(lambda x: 2 * x)
    doubled.def_abstract_eval(lambda x: jax.core.ShapedArray(x.shape, x.dtype))
    mlir.register_lowering(doubled, mlir.lower_fun(lambda x: 2 * x, multiple_results=False))
    batching.primitive_batchers[doubled] = lambda args, axes: (doubled.bind(args[0]), axes[0])
    x = jm.pad_sequences([[1.0, 2.0, 3.0], [4.0]])
    assert_close(jax.jit(jm.vmap(lambda x: doubled.bind(x).mean()))(x), [4, 8])
    assert jm.is_pointwise(doubled.bind, jm.Input((None,)))
