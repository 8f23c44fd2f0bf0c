"""The recurrent networks and their gradients in NumPy: one sequence at a time, without padding, step after step.

The derivative of each step is the textbook's, gate by gate, with products of vectors. It shares nothing with jmask,
whose gradient of the weights is a large product over the steps of all sequences, with the gates side by side.

Goodfellow, Bengio, Courville: Deep Learning, 2016, section 10.2.2, back-propagation through time; Hochreiter and
Schmidhuber, 1997, and Gers et al., 2000, for the LSTM; Cho et al., 2014, for the GRU that resets before the product.
"""

from typing import Any, NamedTuple

import numpy as np

from tests.support.oracles import sigmoid

Params = dict[str, np.ndarray]
State = tuple[np.ndarray, ...]

GATES = {"simple_rnn": ["h"], "gru": ["z", "r", "n"], "gru_reset_before": ["z", "r", "n"], "lstm": ["i", "f", "g", "o"]}


class Gate:
    """The weights of one gate, views into all of them, so that what is added to the gate's gradient is added to all."""

    def __init__(self, params: Params, index: int) -> None:
        part = slice(index * len(params["recurrent_kernel"]), (index + 1) * len(params["recurrent_kernel"]))
        self.kernel, self.recurrent_kernel = params["kernel"][:, part], params["recurrent_kernel"][:, part]
        width = params["kernel"].shape[1]
        biases = params.get("bias", np.zeros(width)).reshape(-1, width)[:, part]
        self.bias, self.second_bias = biases[0], biases[1:]  # the second is none or one

    def of_inputs(self, x: np.ndarray) -> np.ndarray:
        return x @ self.kernel + self.bias

    def of_hidden(self, h: np.ndarray) -> np.ndarray:
        return h @ self.recurrent_kernel + self.second_bias.sum(0)

    def add_inputs(self, x: np.ndarray, da: np.ndarray) -> None:
        """As a gradient: adds what `of_inputs` contributes."""
        self.kernel += np.outer(x, da)
        self.bias += da

    def add_hidden(self, h: np.ndarray, da: np.ndarray) -> None:
        """As a gradient: adds what `of_hidden` contributes."""
        self.recurrent_kernel += np.outer(h, da)
        self.second_bias += da


def gates_of(name: str, params: Params) -> dict[str, Gate]:
    return {gate: Gate(params, index) for index, gate in enumerate(GATES[name])}


class SimpleRNN:
    """`h' = tanh(a)`."""

    num_states = 1

    def step(self, w: Any, x: np.ndarray, state: State) -> tuple[State, Any]:
        (h,) = state
        new = np.tanh(w["h"].of_inputs(x) + w["h"].of_hidden(h))
        return (new,), (x, h, new)

    def step_back(self, w: Any, dw: Any, tape: Any, dstate: State) -> tuple[np.ndarray, State]:
        x, h, new = tape
        da = dstate[0] * (1 - new**2)
        dw["h"].add_inputs(x, da)
        dw["h"].add_hidden(h, da)
        return da @ w["h"].kernel.T, (da @ w["h"].recurrent_kernel.T,)


class GRU:
    """`h' = z h + (1 - z) n`, with the reset gate after the recurrent product of `n`, or before it."""

    num_states = 1

    def __init__(self, *, reset_after: bool) -> None:
        self.reset_after = reset_after

    def step(self, w: Any, x: np.ndarray, state: State) -> tuple[State, Any]:
        (h,) = state
        z = sigmoid(w["z"].of_inputs(x) + w["z"].of_hidden(h))
        r = sigmoid(w["r"].of_inputs(x) + w["r"].of_hidden(h))
        inner = r * w["n"].of_hidden(h) if self.reset_after else w["n"].of_hidden(r * h)
        n = np.tanh(w["n"].of_inputs(x) + inner)
        return (z * h + (1 - z) * n,), (x, h, z, r, n)

    def step_back(self, w: Any, dw: Any, tape: Any, dstate: State) -> tuple[np.ndarray, State]:
        x, h, z, r, n = tape
        (dnew,) = dstate
        dn = dnew * (1 - z) * (1 - n**2)
        dh = dnew * z
        if self.reset_after:
            dr = dn * w["n"].of_hidden(h)
            dw["n"].add_hidden(h, dn * r)
            dh = dh + (dn * r) @ w["n"].recurrent_kernel.T
        else:
            dproduct = dn @ w["n"].recurrent_kernel.T
            dr = dproduct * h
            dw["n"].add_hidden(r * h, dn)
            dh = dh + dproduct * r
        da = {"z": dnew * (h - n) * z * (1 - z), "r": dr * r * (1 - r)}
        for gate, d in da.items():
            dw[gate].add_hidden(h, d)
            dh = dh + d @ w[gate].recurrent_kernel.T
        dx = np.zeros_like(x)
        for gate, d in {**da, "n": dn}.items():
            dw[gate].add_inputs(x, d)
            dx += d @ w[gate].kernel.T
        return dx, (dh,)


class LSTM:
    """`c' = f c + i g`, `h' = o tanh(c')`."""

    num_states = 2

    def step(self, w: Any, x: np.ndarray, state: State) -> tuple[State, Any]:
        h, c = state
        a = {gate: w[gate].of_inputs(x) + w[gate].of_hidden(h) for gate in "ifgo"}
        i, f, g, o = sigmoid(a["i"]), sigmoid(a["f"]), np.tanh(a["g"]), sigmoid(a["o"])
        new = f * c + i * g
        return (o * np.tanh(new), new), (x, h, c, i, f, g, o, new)

    def step_back(self, w: Any, dw: Any, tape: Any, dstate: State) -> tuple[np.ndarray, State]:
        x, h, c, i, f, g, o, new = tape
        dh, dc = dstate
        dc = dc + dh * o * (1 - np.tanh(new) ** 2)
        da = {
            "i": dc * g * i * (1 - i),
            "f": dc * c * f * (1 - f),
            "g": dc * i * (1 - g**2),
            "o": dh * np.tanh(new) * o * (1 - o),
        }
        dx, dh = np.zeros_like(x), np.zeros_like(h)
        for gate, d in da.items():
            dw[gate].add_inputs(x, d)
            dw[gate].add_hidden(h, d)
            dx += d @ w[gate].kernel.T
            dh += d @ w[gate].recurrent_kernel.T
        return dx, (dh, dc * f)


CELLS: dict[str, Any] = {
    "simple_rnn": SimpleRNN(),
    "gru": GRU(reset_after=True),
    "gru_reset_before": GRU(reset_after=False),
    "lstm": LSTM(),
}


class Outcome(NamedTuple):
    """What a run gives, and the gradients of the sum of its results times their cotangents."""

    outputs: Any
    state: Any
    by_params: Any
    by_inputs: Any
    by_initial: Any


def run_sequence(name: str, params: Params, x: np.ndarray, initial: State, douts: np.ndarray, dlast: State) -> Outcome:
    """One sequence `(steps, features)`, from its first step to its last and back."""
    cell, w = CELLS[name], gates_of(name, params)
    by_params = {key: np.zeros_like(value) for key, value in params.items()}
    dw = gates_of(name, by_params)
    state, tapes, outputs = initial, [], np.zeros_like(douts)
    for t, inputs in enumerate(x):
        state, tape = cell.step(w, inputs, state)
        outputs[t] = state[0]
        tapes.append(tape)
    dstate, by_inputs = dlast, np.zeros_like(x)
    for t in reversed(range(len(x))):
        dstate = (dstate[0] + douts[t], *dstate[1:])
        by_inputs[t], dstate = cell.step_back(w, dw, tapes[t], dstate)
    return Outcome(outputs, state, by_params, by_inputs, dstate)


def sequences_of(mask: np.ndarray, segment_ids: np.ndarray | None) -> list[np.ndarray]:
    """The steps of each sequence of a row, in order; without ids, the real steps are one sequence, or there is none."""
    steps = np.flatnonzero(mask)
    breaks = [] if segment_ids is None else np.flatnonzero(np.diff(segment_ids[steps])) + 1
    return [part for part in np.split(steps, breaks) if len(part)]


def run_batch(
    name: str,
    params: Params,
    values: np.ndarray,
    mask: np.ndarray,
    initial: State | None,
    cotangents: Any,
    *,
    reverse: bool = False,
    segment_ids: np.ndarray | None = None,
) -> Outcome:
    """Each sequence of each row alone.

    Args:
        name: a key of `CELLS`.
        params: kernels and bias, float64.
        values: `(rows, time, features)`, anything at padded steps.
        mask: bool `(rows, time)`.
        initial: arrays `(rows, units)`, or None: zeros, as for every sequence of packed rows.
        cotangents: `(outputs, state)`, in the shape of these.
        reverse: from the last real step to the first.
        segment_ids: ids `(rows, time)` of sequences that share a row.

    Returns:
        Outputs and gradients of inputs, 0 at padded steps; the last state of the sequence that comes last; gradients
        of the state before the sequence that comes first; gradients of params, the sums over all sequences.
    """
    rows, units = len(values), len(params["recurrent_kernel"])
    direction = -1 if reverse else 1
    zeros = (np.zeros((rows, units)),) * CELLS[name].num_states
    first, (douts, dstate) = zeros if initial is None else initial, cotangents
    state, by_initial = tuple(part.copy() for part in first), tuple(part.copy() for part in dstate)
    outputs, by_inputs = np.zeros((rows, values.shape[1], units)), np.zeros_like(values)
    by_params = {key: np.zeros_like(value) for key, value in params.items()}
    for row in range(rows):
        ids = None if segment_ids is None else segment_ids[row]
        sequences = sequences_of(mask[row], ids)[::direction]
        for index, steps in enumerate(sequences):
            steps = steps[::direction]
            is_last = index == len(sequences) - 1
            start = tuple(part[row] for part in (first if index == 0 else zeros))
            dlast = tuple(part[row] if is_last else np.zeros(units) for part in dstate)
            one = run_sequence(name, params, values[row, steps], start, douts[row, steps], dlast)
            outputs[row, steps], by_inputs[row, steps] = one.outputs, one.by_inputs
            for part, own in zip(state, one.state, strict=True):
                part[row] = own
            for part, own in zip(by_initial, one.by_initial if index == 0 else (), strict=False):
                part[row] = own
            for key, gradient in one.by_params.items():
                by_params[key] += gradient
    return Outcome(outputs, state, by_params, by_inputs, by_initial)
