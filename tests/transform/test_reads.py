"""When `jm.vmap` may keep a trace: the description of all that a function reads."""

import functools
import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from jmask.transform import trace as trace_module
from jmask.transform.reads import reads
from jmask.transform.trace import _trace

SCALE = 2.0
SHIFTS = (0, 1.5)
LENGTHS = [3, 0, 5, 1]


def batch(time=5):
    return jm.from_lengths(jnp.linspace(1, 2, 4 * time * 2).reshape(4, time, 2), LENGTHS)


def helper(x):
    return jnp.tanh(x)


def plain(x, power=2):
    return (helper(SCALE * x) ** power + SHIFTS[1]).sum()


def recursive(x):
    return recursive(x.sum(0)) if x.ndim > 1 else plain(x)


def make_scaled(scale):
    def scaled(x):
        return jax.vmap(lambda row: scale * row)(x).sum()

    return scaled


@pytest.fixture
def traced(monkeypatch):
    """The functions that have been traced, in this test."""
    found = []
    monkeypatch.setattr(trace_module, "_trace", lambda fn, *args: (found.append(fn), _trace(fn, *args))[1])
    monkeypatch.setattr(trace_module, "_programs", type(trace_module._programs)())
    return found


def test_a_trace_is_kept_where_nothing_can_have_changed(traced):
    functions = (plain, recursive, make_scaled(3.0))
    for fn in functions:
        for x in (batch(), batch(), batch(9), batch().astype("float16")):
            jm.vmap(fn)(x)
    assert traced == [fn for fn in functions for _ in range(2)], "one for each dtype, one for all padded sizes"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SCALE", 0.5),
        ("SCALE", 2),
        ("SCALE", np.ones(2)),
        ("SHIFTS", (0, 2.5)),
        ("helper", lambda x: jnp.tanh(x) * 3),
        ("helper", jnp.sin),
        ("helper", functools.partial(jnp.sum, axis=0)),
        ("jnp", np),
    ],
)
def test_a_change_of_a_global_variable_is_seen(monkeypatch, name, value):
    jm.vmap(plain)(batch())
    monkeypatch.setitem(globals(), name, value)
    if name == "jnp":
        with pytest.raises(jax.errors.TracerArrayConversionError):  # as NumPy does with what JAX traces
            jm.vmap(plain)(batch())
    else:
        alone = [plain(batch().values[row, :n]) if n else 0.0 for row, n in enumerate(LENGTHS)]
        assert_close(jm.vmap(plain)(batch()), alone)


def test_a_change_within_a_function_is_seen():
    def fn(x):
        return scale * x.sum()

    def other(x, power=1):
        return (x**power).sum()

    scale = 1.0
    before = jm.vmap(fn)(batch())
    scale = 2.0
    assert_close(jm.vmap(fn)(batch()), 2 * before)
    assert_close(jm.vmap(other)(batch()), before)
    other.__defaults__ = (2,)
    assert_close(jm.vmap(other)(batch()), jm.vmap(lambda x: (x**2).sum())(batch()))
    other.__code__ = (lambda x, power: 5 * x.sum()).__code__
    assert_close(jm.vmap(other)(batch()), 5 * before)


def _with_attribute(x):
    return x


_with_attribute.scale = 3.0


def _imports(x):
    import math

    return x * math.pi


@pytest.mark.parametrize(
    "fn",
    [
        make_scaled(np.ones(2)),
        make_scaled([1.0]),
        make_scaled(jax.jit(jnp.tanh)),
        make_scaled(functools.partial(jnp.sum, axis=0)),
        make_scaled({}.get),
        make_scaled(jm.layers.Dense(3)),
        make_scaled(pytest),
        _with_attribute,
        _imports,
        jnp.tanh,
        functools.partial(plain, power=3),
    ],
)
def test_what_may_change_unseen_is_not_described(fn):
    assert reads(fn) is None


def test_descriptions_tell_constants_apart():
    constants = (1, 1.0, True, "1", -0.0, 0.0, 0, None, (), (1,), (1.0,), ((1,),))
    described = [reads(make_scaled(value)) for value in constants]
    assert len(set(described)) == len(constants)
    assert reads(make_scaled(1)) == reads(make_scaled(1))


def test_a_description_does_not_keep_the_function(traced):
    def fn(x, inner=helper):
        return inner(x).sum()

    fn.__kwdefaults__ = {}
    found = weakref.ref(fn)
    jm.vmap(fn)(batch())
    assert len(trace_module._programs) == 1
    del fn
    traced.clear()
    gc.collect()
    assert found() is None
    assert len(trace_module._programs) == 0
