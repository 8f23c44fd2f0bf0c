"""PyTorch's modules as their documentation has them, in NumPy, for one sequence without padding; and random tensors.

https://docs.pytorch.org/docs/stable/nn.html
"""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_step(gates_of_inputs, gates_of_hidden, hidden, cell):
    i, f, g, o = np.split(gates_of_inputs + gates_of_hidden, 4)
    cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(cell), cell


def gru_step(gates_of_inputs, gates_of_hidden, hidden, cell):
    (ri, zi, ni), (rh, zh, nh) = np.split(gates_of_inputs, 3), np.split(gates_of_hidden, 3)
    r, z = sigmoid(ri + rh), sigmoid(zi + zh)
    return (1 - z) * np.tanh(ni + r * nh) + z * hidden, cell


def rnn_step(gates_of_inputs, gates_of_hidden, hidden, cell):
    return np.tanh(gates_of_inputs + gates_of_hidden), cell


STEPS = {"LSTM": (lstm_step, 4), "GRU": (gru_step, 3), "RNN": (rnn_step, 1)}


def draw_recurrent(rng, kind, features, units, num_layers, directions, bias=True):
    """Tensors by name."""
    found, gates = {}, STEPS[kind][1] * units
    for layer in range(num_layers):
        for end in ("", "_reverse")[:directions]:
            inputs = features if layer == 0 else units * directions
            found[f"weight_ih_l{layer}{end}"] = rng.normal(size=(gates, inputs))
            found[f"weight_hh_l{layer}{end}"] = rng.normal(size=(gates, units))
            if bias:
                found |= {f"bias_{of}_l{layer}{end}": rng.normal(size=gates) for of in ("ih", "hh")}
    return {name: x.astype(np.float32) for name, x in found.items()}


def run_recurrent(kind, tensors, x, num_layers, directions):
    """`(time, features)` -> `(time, directions * units)`."""
    for layer in range(num_layers):
        outputs = [_one_way(kind, tensors, x, f"_l{layer}{end}") for end in ("", "_reverse")[:directions]]
        x = np.concatenate(outputs, axis=-1)
    return x


def _one_way(kind, tensors, x, end):
    w_ih, w_hh = tensors[f"weight_ih{end}"], tensors[f"weight_hh{end}"]
    b_ih, b_hh = (tensors.get(f"bias_{of}{end}", np.zeros(len(w_ih))) for of in ("ih", "hh"))
    hidden, cell = np.zeros(w_hh.shape[1]), np.zeros(w_hh.shape[1])
    outputs = np.zeros((len(x), len(hidden)))
    order = range(len(x))
    for t in reversed(order) if end.endswith("_reverse") else order:
        hidden, cell = STEPS[kind][0](w_ih @ x[t] + b_ih, w_hh @ hidden + b_hh, hidden, cell)
        outputs[t] = hidden
    return outputs


def linear(tensors, x):
    return x @ tensors["weight"].T + tensors.get("bias", 0)


def conv1d(tensors, x):
    """With zeros around, so that there are as many steps as before."""
    weight = tensors["weight"]  # (out, in, width)
    width = weight.shape[-1]
    padded = np.pad(x, ((width // 2, width // 2), (0, 0)))
    windows = [np.einsum("wi,oiw->o", padded[t : t + width], weight) for t in range(len(x))]
    return np.array(windows).reshape(len(x), len(weight)) + tensors["bias"]


def layer_norm(tensors, x, epsilon=1e-5):
    centered = x - x.mean(-1, keepdims=True)
    return centered / np.sqrt(x.var(-1, keepdims=True) + epsilon) * tensors["weight"] + tensors["bias"]


def rms_norm(tensors, x, epsilon=1e-6):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * tensors["weight"]


def group_norm(tensors, x, groups, epsilon=1e-5):
    """Over the steps and the features of a group."""
    if not len(x):
        return x
    split = x.reshape(len(x), groups, -1)
    mean, variance = split.mean((0, 2), keepdims=True), split.var((0, 2), keepdims=True)
    return ((split - mean) / np.sqrt(variance + epsilon)).reshape(x.shape) * tensors["weight"] + tensors["bias"]


def batch_norm(tensors, x, epsilon=1e-5):
    scaled = (x - tensors["running_mean"]) / np.sqrt(tensors["running_var"] + epsilon)
    return scaled * tensors["weight"] + tensors["bias"]


def self_attention(tensors, x, heads):
    features = x.shape[-1]
    if "in_proj_weight" in tensors:
        weights = np.split(tensors["in_proj_weight"], 3)
    else:
        weights = [tensors[f"{name}_proj_weight"] for name in "qkv"]
    biases = np.split(tensors["in_proj_bias"], 3)
    q, k, v = ((x @ w.T + b).reshape(len(x), heads, features // heads) for w, b in zip(weights, biases, strict=True))
    scores = np.einsum("thd,shd->hts", q, k) / np.sqrt(features // heads)
    scores = np.exp(scores - scores.max(-1, keepdims=True, initial=-np.inf))
    mixed = np.einsum("hts,shd->thd", scores / scores.sum(-1, keepdims=True), v)
    return mixed.reshape(len(x), features) @ tensors["out_proj.weight"].T + tensors["out_proj.bias"]
