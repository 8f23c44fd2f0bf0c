"""What every function and layer should give, in NumPy, for one sequence at a time and without padding.

An oracle takes parameters and the rows of its inputs, `(steps, ...)`, and gives the row of its output. For a row
without steps it gives the documented value. Inputs that need not be real at the same steps share a timeline, on which
NaN marks the steps that an input does not have.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

Params = Any
Row = np.ndarray


def over_time(reduction: Callable, empty: Any) -> Callable[[Params, Row], np.ndarray]:
    """The reduction of the steps, `empty` without any."""
    return lambda params, x: reduction(x, axis=0) if len(x) else np.full(x.shape[1:], empty)


def over_time_and_features(reduction: Callable, empty: Any) -> Callable[[Params, Row], Any]:
    """One number for a row."""
    return lambda params, x: reduction(x) if len(x) else empty


def over_features(reduction: Callable, empty: Any) -> Callable[[Params, Row], np.ndarray]:
    """One number for a step."""
    return lambda params, x: reduction(x, axis=-1)


def over_everything(reduction: Callable, empty: Any) -> Callable[[Params, list[Row]], Any]:
    """One number for a batch, from all its rows at once."""
    return lambda params, rows: reduction(np.concatenate(rows)) if any(map(len, rows)) else empty


mean_pool = over_time(np.mean, 0.0)


def stepwise(function: Callable[[np.ndarray], np.ndarray]) -> Callable[..., np.ndarray]:
    """A function of one input's steps that has no parameters."""
    return lambda params, *rows: function(*rows)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def away_from_zero(params: Params, x: Row) -> np.ndarray:
    return x + np.sign(x)


def softmax(axis: int) -> Callable[[Params, Row], np.ndarray]:
    """Axis 0 is time; without steps there is nothing to weigh."""

    def weights(params: Params, x: Row) -> np.ndarray:
        exponentials = np.exp(x - x.max(axis=axis, keepdims=True, initial=-np.inf))
        return exponentials / exponentials.sum(axis=axis, keepdims=True)

    return weights


def layer_norm(params: Params, x: Row, epsilon: float = 1e-3) -> np.ndarray:
    centred = x - x.mean(axis=-1, keepdims=True)
    normal = centred / np.sqrt(x.var(axis=-1, keepdims=True) + epsilon)
    return normal * params.get("gamma", 1.0) + params.get("beta", 0.0)


def dense(params: Params, x: Row) -> np.ndarray:
    return x @ params["kernel"] + params.get("bias", 0.0)


def embed(params: Params, ids: Row) -> np.ndarray:
    return params["embeddings"][ids]


def embed_without_zeros(params: Params, ids: Row) -> np.ndarray:
    return params["embeddings"][ids[ids != 0]]


def without_steps_of(value: float) -> Callable[[Params, Row], np.ndarray]:
    """The steps that have a feature other than `value`."""
    return lambda params, x: x[(x != value).any(axis=-1)]


def is_there(x: Row) -> np.ndarray:
    """The steps of a common timeline that an input has."""
    return ~np.isnan(x).any(axis=tuple(range(1, x.ndim)))


def intersection(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """The function at the steps that all inputs have."""

    def at_common_steps(params: Params, *rows: Row) -> np.ndarray:
        common = np.logical_and.reduce([is_there(x) for x in rows])
        return function(*(x[common] for x in rows))

    return at_common_steps


def union_sum(params: Params, *rows: Row) -> np.ndarray:
    """The sum at the steps that any input has; an input adds nothing where it has none."""
    known = np.logical_or.reduce([is_there(x) for x in rows])
    return sum(np.nan_to_num(x[known]) for x in rows)


def concatenate_features(*rows: Row) -> np.ndarray:
    return np.concatenate(rows, axis=-1)


def concatenate_time(params: Params, *rows: Row) -> np.ndarray:
    return np.concatenate([x[is_there(x)] for x in rows])


def reverse(params: Params, x: Row) -> np.ndarray:
    return x[::-1]


def scan(step: Callable, state: Any, inputs: Row, output_like: Row) -> tuple[np.ndarray, Any]:
    """Outputs of all steps and the last state, of a `step(state, inputs) -> (state, output)`."""
    outputs = []
    for step_inputs in inputs:
        state, output = step(state, step_inputs)
        outputs.append(output)
    return np.stack(outputs) if outputs else np.zeros((0, *output_like.shape)), state


def lstm(params: Params, x: Row, *state: Row) -> tuple[np.ndarray, Row, Row]:
    """All hidden states, and the last hidden and cell state; zeros before the first step unless a state is given."""
    units = len(params["recurrent_kernel"])
    hidden, cell = state or (np.zeros(units), np.zeros(units))

    def step(state: tuple[Row, Row], inputs: Row) -> tuple[tuple[Row, Row], Row]:
        hidden, cell = state
        z = inputs @ params["kernel"] + hidden @ params["recurrent_kernel"] + params.get("bias", 0.0)
        hidden, cell = lstm_gates(z, cell)
        return (hidden, cell), hidden

    outputs, (hidden, cell) = scan(step, (hidden, cell), x, hidden)
    return outputs, hidden, cell


def lstm_gates(z: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The next hidden and cell state."""
    i, f, g, o = np.split(z, 4, axis=-1)
    cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(cell), cell


def simple_rnn(params: Params, x: Row, *state: Row) -> tuple[np.ndarray, Row]:
    """All hidden states, and the last; zeros before the first step unless a state is given."""
    recurrent_kernel, bias = params["recurrent_kernel"], params.get("bias", 0.0)
    hidden = state[0] if state else np.zeros(len(recurrent_kernel))

    def step(hidden: Row, inputs: Row) -> tuple[Row, Row]:
        hidden = np.tanh(inputs @ params["kernel"] + hidden @ recurrent_kernel + bias)
        return hidden, hidden

    return scan(step, hidden, x, hidden)


def gru(params: Params, x: Row, *state: Row, reset_after: bool = True) -> tuple[np.ndarray, Row]:
    """All hidden states, and the last; the reset gate after the recurrent product, or before it."""
    kernel, recurrent_kernel = params["kernel"], params["recurrent_kernel"]
    units = len(recurrent_kernel)
    bias = np.broadcast_to(params.get("bias", 0.0), (2, 3 * units) if reset_after else 3 * units)
    input_bias, recurrent_bias = bias if reset_after else (bias, np.zeros(3 * units))
    hidden = state[0] if state else np.zeros(units)
    z, r, g = (slice(i * units, (i + 1) * units) for i in range(3))

    def step(hidden: Row, inputs: Row) -> tuple[Row, Row]:
        x_part, h_part = inputs @ kernel + input_bias, hidden @ recurrent_kernel + recurrent_bias
        update, reset = sigmoid(x_part[z] + h_part[z]), sigmoid(x_part[r] + h_part[r])
        inner = reset * h_part[g] if reset_after else (reset * hidden) @ recurrent_kernel[:, g]
        hidden = update * hidden + (1 - update) * np.tanh(x_part[g] + inner)
        return hidden, hidden

    return scan(step, hidden, x, hidden)


def gru_reset_before(params: Params, x: Row, *state: Row) -> tuple[np.ndarray, Row]:
    return gru(params, x, *state, reset_after=False)


def stacked(**recurrences: Callable) -> Callable:
    """One oracle on the outputs of the other, each with the parameters of its name; then the parts of all states."""

    def all_layers(params: Params, x: Row) -> tuple[np.ndarray, ...]:
        states: list[Row] = []
        for name, recurrence in recurrences.items():
            x, *state = recurrence(params[name], x)
            states += state
        return x, *states

    return all_layers


def leaky(params: Params, x: Row, *state: Row) -> tuple[np.ndarray, Row, Row]:
    """The cell `Leaky` of `tests.laws.cases.rnn`: all outputs, and the parts of the last state, `count` and `level`."""
    count, level = state or (np.zeros(()), np.full(params["kernel"].shape[1], 0.25))

    def step(state: tuple[Row, Row], inputs: Row) -> tuple[tuple[Row, Row], Row]:
        count, level = state
        level = 0.5 * level + np.tanh(inputs @ params["kernel"])
        return (count + 1, level), level * (count + 1)

    outputs, (count, level) = scan(step, (count, level), x, level)
    return outputs, count, level


def backward(recurrent: Callable) -> Callable:
    """A recurrent oracle from the last step to the first; outputs stay at the steps they belong to."""

    def reversed_scan(params: Params, x: Row, *state: Row) -> tuple[np.ndarray, ...]:
        outputs, *state = recurrent(params, x[::-1], *state)
        return outputs[::-1], *state

    return reversed_scan


def last(outputs: np.ndarray) -> np.ndarray:
    """The output of the last step, zeros if there is none."""
    return outputs[-1] if len(outputs) else np.zeros(outputs.shape[1:])


def bidirectional(
    recurrent: Callable, merge: Callable, *, sequences: bool = True, with_state: bool = False
) -> Callable[..., Any]:
    """Both directions merged; then the parts of the forward and of the backward state."""

    def both(params: Params, x: Row, *state: Row) -> Any:
        half = len(state) // 2
        forward, *forward_state = recurrent(params["forward"], x, *state[:half])
        backwards, *backward_state = recurrent(params["backward"], x[::-1], *state[half:])
        pair = (forward, backwards[::-1]) if sequences else (last(forward), last(backwards))
        merged = merge(*pair)
        return (merged, *forward_state, *backward_state) if with_state else merged

    return both
