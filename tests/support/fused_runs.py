"""What the tests of the fused engine share: weights, masks, cotangents, and one compiled run with all its gradients."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jmask as jm
from jmask.core.masked import values_of
from jmask.testing import assert_close
from tests.support import fused_oracle
from tests.support.batches import holes, left, right
from tests.support.fused_oracle import CELLS, GATES, Outcome

FEATURES, UNITS = 3, 5
NAMES = list(CELLS)
LAYOUTS = {"right": right, "left": left, "holes": holes}
QUICKLY = {"xla_backend_optimization_level": 0}  # programs that run only a few times


def draw_params(rng, name, *, features=FEATURES, units=UNITS, bias=True, dtype=None):
    width = len(GATES[name]) * units
    shapes: dict[str, tuple[int, ...]] = {"kernel": (features, width), "recurrent_kernel": (units, width)}
    if bias:
        shapes["bias"] = (2, width) if name == "gru" else (width,)
    params = {key: rng.normal(scale=0.5, size=shape) for key, shape in shapes.items()}
    return params if dtype is None else jax.tree.map(lambda p: jnp.asarray(p, dtype), params)


def draw_state(rng, name, rows, units=UNITS):
    return tuple(rng.normal(size=(rows, units)) for _ in range(CELLS[name].num_states))


def draw_cotangents(rng, name, rows, time, units=UNITS):
    """Of outputs and final state; not 0 at padded steps, from which nothing may come."""
    return rng.normal(size=(rows, time, units)), draw_state(rng, name, rows, units)


def draw_values(rng, mask, features=FEATURES):
    """NaN in the padding."""
    return np.where(mask[..., None], rng.normal(size=(*mask.shape, features)), np.nan)


def run(name, params, x, initial=None, *, implementation="xla", **options):
    """Outputs, and the parts of the final state, by the fused engine unless another implementation is named."""
    kind = {"simple_rnn": jm.rnn.SimpleRNNParams, "lstm": jm.rnn.LSTMParams}.get(name, jm.rnn.GRUParams)
    function: Any = getattr(jm.rnn, name.removesuffix("_reset_before"))
    if name == "gru_reset_before":
        options["reset_after"] = False
    weights = kind(params["kernel"], params["recurrent_kernel"], params.get("bias"))
    if initial is not None:
        initial = jm.rnn.LSTMState(*initial) if name == "lstm" else initial[0]
    outputs, state = function(weights, x, initial_state=initial, implementation=implementation, **options)
    return outputs, tuple(jax.tree.leaves(state))


def differentiate(name, params, x, initial, cotangents, **options):
    """Results of a run, and the gradients of their sum weighted by the cotangents; `x` is `Masked` or an array."""

    def function(params, values, initial):
        batch = x.with_values(values) if isinstance(x, jm.Masked) else values
        outputs, state = run(name, params, batch, initial, **options)
        return values_of(outputs), state

    (outputs, state), pull_back = jax.vjp(function, params, values_of(x), initial)
    return Outcome(outputs, state, *pull_back(cotangents))


@functools.cache
def compiled(name, quickly=True, **options):
    """`differentiate`, compiled once for each shape."""
    return jax.jit(functools.partial(differentiate, name, **options), compiler_options=QUICKLY if quickly else None)


def assert_is_the_oracle(actual, name, params, x, initial, cotangents, *, reverse=False):
    """Values and all gradients are those of each sequence alone; at padded steps they are 0."""
    mask = np.asarray(x.mask)
    given = params, np.asarray(x.values), mask, initial, cotangents
    segment_ids = None if x.segment_ids is None else np.asarray(x.segment_ids)
    expected = fused_oracle.run_batch(name, *given, reverse=reverse, segment_ids=segment_ids)
    assert_same(actual, expected._replace(by_initial=None if initial is None else expected.by_initial))
    assert not np.asarray(actual.outputs)[~mask].any()
    assert not np.asarray(actual.by_inputs)[~mask].any()


def assert_same(actual, expected, precision=None):
    """Two trees of arrays, near to each other, leaf by leaf."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert_close(a, b, precision=precision)
