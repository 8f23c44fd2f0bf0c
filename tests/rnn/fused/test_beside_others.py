"""The fused engine beside Flax, and beside PyTorch where that is installed; for Keras see `conformance/`."""

import warnings
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.support.fused_oracle import Outcome
from tests.support.fused_runs import (
    FEATURES,
    QUICKLY,
    UNITS,
    assert_same,
    draw_cotangents,
    draw_params,
    draw_values,
    run,
)

BATCH, TIME = 11, 13
LENGTHS = np.array([4, 1, 13, 1, 7, 2, 3, 5, 2, 1, 6])  # no empty row, of which the others make something else


@pytest.fixture
def x(rng, x64):
    mask = np.arange(TIME) < LENGTHS[:, None]
    return jm.from_lengths(jnp.asarray(draw_values(rng, mask)), LENGTHS)


def own(name, params, x, cotangents):
    def function(params, values):
        outputs, state = run(name, params, x.with_values(values))
        return outputs.values, state

    differentiate = jax.jit(lambda *args: jax.vjp(function, *args), compiler_options=QUICKLY)
    (outputs, state), pull_back = differentiate(params, x.values)
    by_params, by_inputs = pull_back(cotangents)
    return Outcome(outputs, state, by_params, by_inputs, None)


def flax_lstm(params):
    """Gate by gate, with one bias, beside the recurrent kernel."""
    cell = {}
    for i, gate in enumerate("ifgo"):
        part = slice(i * UNITS, (i + 1) * UNITS)
        cell[f"i{gate}"] = {"kernel": params["kernel"][:, part]}
        cell[f"h{gate}"] = {"kernel": params["recurrent_kernel"][:, part], "bias": params["bias"][part]}
    return cell


def flax_gru(params):
    """With one bias for update and reset gate, and two for the candidate."""
    cell, (bias, recurrent_bias) = {}, params["bias"]
    for i, gate in enumerate("zrn"):
        part = slice(i * UNITS, (i + 1) * UNITS)
        cell[f"i{gate}"] = {"kernel": params["kernel"][:, part], "bias": bias[part]}
        cell[f"h{gate}"] = {"kernel": params["recurrent_kernel"][:, part]}
    cell["hn"]["bias"] = recurrent_bias[2 * UNITS :]
    return cell


FLAX = {"lstm": (nn.LSTMCell, flax_lstm), "gru": (nn.GRUCell, flax_gru)}


@pytest.mark.parametrize("reverse", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["gru", pytest.param("lstm", marks=pytest.mark.slow)])
def test_it_is_that_of_flax(name, reverse, rng, x):
    cell, convert = FLAX[name]
    model = nn.RNN(cell(UNITS, param_dtype=jnp.float64), return_carry=True, reverse=reverse, keep_order=True)
    params, (douts, dlast) = draw_params(rng, name), draw_cotangents(rng, name, BATCH, TIME)
    if name == "gru":
        params["bias"][1, : 2 * UNITS] = 0

    def weigh(outputs, state):
        return jnp.where(x.mask[..., None], outputs * douts, 0).sum() + sum(map(jnp.vdot, state, dlast)), state

    def flax_loss(params, values):
        carry, outputs = model.apply({"params": {"cell": convert(params)}}, values, seq_lengths=LENGTHS)
        return weigh(outputs, carry[::-1] if name == "lstm" else (carry,))  # theirs is (cell, hidden)

    def own_loss(params, values):
        outputs, state = run(name, params, x.with_values(values), reverse=reverse)
        return weigh(outputs.values, state)

    actual, expected = (
        jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True), compiler_options=QUICKLY)(params, x.fill(0))
        for loss in (own_loss, flax_loss)
    )
    if name == "gru":  # theirs has no such weights
        gradient = actual[1][0]["bias"]
        actual[1][0]["bias"] = gradient.at[1, : 2 * UNITS].set(0)
    assert_same(actual, expected)


def torch_order(name, array):
    """Gates from our order to that of PyTorch, which has the reset gate of a GRU before the update gate."""
    gates = np.split(np.asarray(array), {"lstm": 4, "gru": 3}[name], axis=-1)
    return np.concatenate(gates if name == "lstm" else [gates[1], gates[0], gates[2]], -1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_it_is_that_of_pytorch_on_a_packed_sequence(name, rng, x):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch: Any = pytest.importorskip("torch")
    params, (douts, dlast) = draw_params(rng, name), draw_cotangents(rng, name, BATCH, TIME)
    model = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[name](FEATURES, UNITS, batch_first=True, dtype=torch.float64)
    biases = params["bias"] if name == "gru" else (params["bias"], 0 * params["bias"])
    given = params["kernel"], params["recurrent_kernel"], *biases
    for weight, ours in zip(model.parameters(), given, strict=True):
        weight.data = torch.tensor(torch_order(name, ours).T.copy())
    values = torch.tensor(np.array(x.fill(0)), requires_grad=True)
    sequences = torch.nn.utils.rnn.pack_padded_sequence(
        values, torch.tensor(LENGTHS), batch_first=True, enforce_sorted=False
    )
    outputs, state = model(sequences)
    outputs, _ = torch.nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True)
    state = [part[0] for part in (state if name == "lstm" else (state,))]
    products = zip([outputs, *state], [douts, *dlast], strict=True)
    torch.stack([(one * torch.tensor(other)).sum() for one, other in products]).sum().backward()

    actual = own(name, params, x, (jnp.asarray(douts), jax.tree.map(jnp.asarray, dlast)))
    assert_close(actual.outputs, outputs.detach().numpy())
    for one, other in zip(actual.state, state, strict=True):
        assert_close(one, other.detach().numpy())
    gradients = [weight.grad.numpy().T for weight in model.parameters()]
    by_bias = actual.by_params["bias"]
    ours = (
        actual.by_params["kernel"],
        actual.by_params["recurrent_kernel"],
        *(by_bias if name == "gru" else [by_bias] * 2),
    )
    for one, other in zip(ours, gradients, strict=True):
        assert_close(torch_order(name, one), other)
    assert_close(actual.by_inputs, values.grad.numpy())
