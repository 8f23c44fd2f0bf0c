"""Further functions of one sequence: models of sequences as their papers write them, without a mask anywhere."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import jmask as jm
from tests.support.one_sequence.functions import FEATURES, Case, attention, scalar, vector


def hmm_forward(w, x):
    """Log-likelihood of emissions `x` (time, states)."""
    transitions = jax.nn.log_softmax(w["u"])

    def step(alpha, emission):
        alpha = jax.nn.logsumexp(alpha[:, None] + transitions, axis=0) + emission
        return alpha, alpha

    return lax.scan(step, x[0], x[1:])


def hmm_backward(w, x):
    transitions = jax.nn.log_softmax(w["u"])

    def step(beta, emission):
        beta = jax.nn.logsumexp(transitions + emission + beta, axis=1)
        return beta, beta

    last = jnp.zeros(FEATURES)
    _, betas = lax.scan(step, last, x[1:], reverse=True)
    return jnp.concatenate([betas, last[None]])


def forward_backward(w, x):
    alphas = jnp.concatenate([x[:1], hmm_forward(w, x)[1]])
    return jax.nn.softmax(alphas + hmm_backward(w, x), axis=-1)


def viterbi(w, x):
    def step(score, emission):
        paths = score[:, None] + w["u"]
        return paths.max(0) + emission, paths.argmax(0)

    score, back = lax.scan(step, x[0], x[1:])
    last = score.argmax()
    _, path = lax.scan(lambda state, pointers: (pointers[state], pointers[state]), last, back, reverse=True)
    return score.max(), jnp.append(path, last)


def crf(w, x):
    """Negative log-likelihood of the tags that `argmax` gives."""
    tags = x.argmax(-1)
    score = jnp.take_along_axis(x, tags[:, None], -1).sum() + w["u"][tags[:-1], tags[1:]].sum()
    alpha = lax.scan(lambda a, e: (jax.nn.logsumexp(a[:, None] + w["u"], axis=0) + e, None), x[0], x[1:])[0]
    return jax.nn.logsumexp(alpha) - score


def semi_markov(w, x):
    """Log-partition of segments of one or two steps."""

    def step(carry, e):
        before, last, previous = carry
        now = jnp.logaddexp(last + e, before + e + previous + w["b"][0])
        return (last, now, e), now

    return lax.scan(step, (-1e9, 0.0, 0.0), x[:, 0])[1]


def particle_filter(w, x):
    def step(particles, y):
        particles = jnp.tanh(particles * w["b"][0]) + jnp.linspace(-1, 1, 8)
        weights = jax.nn.softmax(-((y - particles) ** 2))
        return jnp.interp((jnp.arange(8) + 0.5) / 8, jnp.cumsum(weights), particles), weights @ particles

    return lax.scan(step, jnp.zeros(8), x[:, 0])[1]


def edit_distance(a, b):
    def row(costs, token):
        def cell(left, above):
            up, corner, other = above
            best = jnp.minimum(jnp.minimum(up + 1, left + 1), corner + (token != other))
            return best, best

        first = costs[0] + 1
        _, rest = lax.scan(cell, first, (costs[1:], costs[:-1], b))
        return jnp.concatenate([first[None], rest]), None

    return lax.scan(row, 1.0 * jnp.arange(b.shape[0] + 1), a)[0][-1]


def dtw(a, b, soft=None):
    """Dynamic time warping; with `soft`, its smooth kin."""

    def least(*costs):
        costs = jnp.stack(costs)
        return costs.min() if soft is None else -soft * jax.nn.logsumexp(-costs / soft)

    distances = ((a[:, None] - b[None]) ** 2).sum(-1)

    def row(costs, line):
        def cell(left, above):
            up, corner, d = above
            best = d + least(up, left, corner)
            return best, best

        _, rest = lax.scan(cell, 1e6, (costs[1:], costs[:-1], line))
        return jnp.concatenate([jnp.full(1, 1e6), rest]), None

    start = jnp.full(b.shape[0] + 1, 1e6).at[0].set(0)
    return lax.scan(row, start, distances)[0][-1]


def needleman_wunsch(a, b):
    def row(scores, token):
        def cell(left, above):
            up, corner, other = above
            best = jnp.maximum(jnp.maximum(up, left) - 0.7, corner + jnp.where(token == other, 1.0, -0.4))
            return best, best

        _, rest = lax.scan(cell, scores[0] - 0.7, (scores[1:], scores[:-1], b))
        return jnp.concatenate([scores[:1] - 0.7, rest]), None

    return lax.scan(row, -0.7 * jnp.arange(b.shape[0] + 1), a)[0][-1]


def longest_common_subsequence(a, b):
    def row(counts, token):
        matched = jnp.where(b == token, counts[:-1] + 1, counts[1:])
        return jnp.concatenate([counts[:1], lax.cummax(jnp.maximum(matched, counts[1:]))]), None

    return lax.scan(row, jnp.zeros(b.shape[0] + 1, int), a)[0][-1]


def kalman(w, x):
    """Filtered means and covariances, and the log-likelihood of the observations."""
    transition, noise = 0.5 * w["u"], jnp.eye(FEATURES)

    def step(carry, y):
        mean, cov = carry
        mean, cov = transition @ mean, transition @ cov @ transition.T + 0.1 * noise
        innovation = y - mean
        total = cov + noise
        gain = jnp.linalg.solve(total, cov).T
        likelihood = -0.5 * (innovation @ jnp.linalg.solve(total, innovation) + jnp.linalg.slogdet(total)[1])
        mean, after = mean + gain @ innovation, cov - gain @ cov
        return (mean, after), (mean, after, likelihood)

    return lax.scan(step, (jnp.zeros(FEATURES), noise), x)[1]


def kalman_smoother(w, x):
    means, covs, _ = kalman(w, x)
    transition = 0.5 * w["u"]

    def step(carry, filtered):
        mean, cov = filtered
        ahead = transition @ cov @ transition.T + 0.1 * jnp.eye(FEATURES)
        gain = jnp.linalg.solve(ahead, transition @ cov).T
        mean = mean + gain @ (carry - transition @ mean)
        return mean, mean

    _, smooth = lax.scan(step, means[-1], (means[:-1], covs[:-1]), reverse=True)
    return jnp.concatenate([smooth, means[-1:]])


def greedy(w, x):
    """Five tokens decoded one by one, each attending to the source."""

    def step(state, _):
        context = jax.nn.softmax(x @ state) @ x
        state = jnp.tanh(context @ w["u"] + state @ w["v"])
        return state, (state @ w["w"]).argmax()

    return lax.scan(step, w["b"], None, length=5)


def beam_search(w, x):
    """Two beams of four steps."""

    def step(carry, _):
        states, scores = carry
        contexts = jax.nn.softmax(states @ x.T) @ x
        states = jnp.tanh(contexts @ w["u"] + states @ w["v"])
        total = (scores[:, None] + jax.nn.log_softmax(states @ w["w"])).reshape(-1)
        scores, chosen = lax.top_k(total, 2)
        return (states[chosen // 4], scores), chosen

    start = (jnp.stack([w["b"], -w["b"]]), jnp.zeros(2))
    return lax.scan(step, start, None, length=4)


def mamba(w, x):
    step = jax.nn.softplus(x @ w["u"] + w["b"])
    decay = jnp.exp(-step[..., None] * jnp.exp(w["w"]))
    inputs = (step * x)[..., None] * (x @ w["w"])[:, None]
    h = jm.ops.linear_recurrence(decay, inputs)
    return (h * (x @ w["w"])[:, None]).sum(-1) + x * w["b"]


def lru(w, x):
    magnitude, angle = jnp.exp(-jnp.exp(w["b"])), w["b"] * 2
    decay = magnitude * jnp.exp(1j * angle)
    h = jm.ops.linear_recurrence(jnp.broadcast_to(decay, x.shape), (x @ w["u"]).astype(decay.dtype))
    return (h @ w["w"].astype(decay.dtype)).real


def s5(w, x):
    def combine(left, right):
        (a, b), (c, d) = left, right
        return a * c, c * b + d

    decay = jnp.broadcast_to(jax.nn.sigmoid(w["b"]), x.shape)
    forward = jm.ops.associative_scan(combine, (decay, x @ w["u"]))[1]
    backward = jm.ops.associative_scan(combine, (decay, x @ w["v"]), reverse=True)[1]
    return jnp.concatenate([forward, backward], -1)


def min_gru(w, x):
    gate = jax.nn.sigmoid(x @ w["u"])
    return jm.ops.linear_recurrence(1 - gate, gate * (x @ w["v"]), initial_state=w["b"])


def matrix_scan(w, x):
    """Products of matrices: not diagonal."""
    steps = jnp.eye(FEATURES) + 0.1 * x[:, :, None] * w["u"]
    return jm.ops.associative_scan(lambda a, b: b @ a, steps)


def rwkv(w, x):
    k, v = x @ w["u"], x @ w["v"]

    def step(carry, inputs):
        a, b, p = carry
        k, v = inputs
        q = jnp.maximum(p, k + w["b"])
        e1, e2 = jnp.exp(p - q), jnp.exp(k + w["b"] - q)
        out = (e1 * a + e2 * v) / (e1 * b + e2)
        q = jnp.maximum(p - 0.1, k)
        e1, e2 = jnp.exp(p - 0.1 - q), jnp.exp(k - q)
        return (e1 * a + e2 * v, e1 * b + e2, q), out

    zeros = jnp.zeros(FEATURES)
    return lax.scan(step, (zeros, zeros, zeros - 1e9), (k, v))[1]


def linear_attention(w, x):
    q, k, v = jax.nn.elu(x @ w["u"]) + 1, jax.nn.elu(x @ w["v"]) + 1, x @ w["w"]
    sums, totals = jnp.cumsum(k[:, :, None] * v[:, None], 0), jnp.cumsum(k, 0)
    return jnp.einsum("td,tde->te", q, sums) / (q * totals).sum(-1, keepdims=True)


def relative_attention(w, x):
    steps = jnp.arange(x.shape[0])
    bias = jnp.take(w["w"][0], jnp.clip(steps[:, None] - steps[None] + 2, 0, 3))
    return jax.nn.softmax(x @ w["u"] @ x.T + bias, axis=-1) @ x


def alibi(w, x):
    steps = jnp.arange(x.shape[0])
    logits = x @ w["u"] @ x.T - 0.3 * jnp.abs(steps[:, None] - steps)
    return jax.nn.softmax(jnp.where(steps[:, None] >= steps, logits, -jnp.inf), axis=-1) @ x


def sliding_window(w, x):
    steps = jnp.arange(x.shape[0])
    near = jnp.abs(steps[:, None] - steps) <= 1
    return jax.nn.softmax(jnp.where(near, x @ w["u"] @ x.T, -jnp.inf), axis=-1) @ x


def rotary(w, x):
    angles = jnp.arange(x.shape[0])[:, None] * 0.5
    pair, rest = x[:, :2], x[:, 2:]
    a, b = pair[:, :1], pair[:, 1:]
    turned = jnp.concatenate([a * jnp.cos(angles) - b * jnp.sin(angles), a * jnp.sin(angles) + b * jnp.cos(angles)], 1)
    return jnp.concatenate([turned, rest], 1) @ w["u"]


def retention(w, x):
    steps = jnp.arange(x.shape[0])
    lag = steps[:, None] - steps
    decay = jnp.where(lag >= 0, 0.8 ** jnp.maximum(lag, 0), 0)
    return (x @ w["u"] @ (x @ w["v"]).T * decay) @ x


def slot_attention(w, x):
    def step(slots, _):
        weights = jax.nn.softmax(x @ slots.T, axis=-1) + 1e-6
        return jnp.tanh((weights / weights.sum(0)).T @ x @ w["u"]), None

    return lax.scan(step, w["v"][:2], None, length=3)[0]


def sinkhorn(w, x):
    cost = ((x[:, None] - w["v"]) ** 2).sum(-1)

    def step(potentials, _):
        f, g = potentials
        f = -jnp.log(x.shape[0]) - jax.nn.logsumexp(g - cost, axis=1)
        return (f, -np.log(3) - jax.nn.logsumexp(f[:, None] - cost, axis=0)), None

    f, g = lax.scan(step, (jnp.zeros(x.shape[0]), jnp.zeros(3)), None, length=5)[0]
    return (jnp.exp(f[:, None] + g - cost) * cost).sum()


def k_means(w, x):
    def step(_, centres):
        chosen = jax.nn.one_hot(((x[:, None] - centres) ** 2).sum(-1).argmin(-1), 2)
        return (chosen.T @ x) / jnp.maximum(chosen.sum(0), 1)[:, None]

    return lax.fori_loop(0, 4, step, w["u"][:2])


def mixture_em(w, x):
    def step(means, _):
        weights = jax.nn.softmax(-((x[:, None] - means) ** 2).sum(-1), axis=-1)
        return (weights.T @ x) / (weights.sum(0)[:, None] + 0.1), None

    return lax.scan(step, w["u"][:2], None, length=3)[0]


def gaussian_process(w, x):
    distances = ((x[:, None] - x[None]) ** 2).sum(-1)
    factor = jnp.linalg.cholesky(jnp.exp(-distances) + 0.5 * jnp.eye(x.shape[0]))
    y = x @ w["b"]
    whitened = jax.scipy.linalg.solve_triangular(factor, y, lower=True)
    return -0.5 * whitened @ whitened - jnp.log(jnp.diagonal(factor)).sum()


def farthest_points(x):
    def step(distances, _):
        index = distances.argmax()
        return jnp.minimum(distances, ((x - x[index]) ** 2).sum(-1)), index

    return lax.scan(step, ((x - x[0]) ** 2).sum(-1), None, length=3)[1]


def highway(w, x):
    gate = jax.nn.sigmoid(x @ w["u"])

    def step(c, inputs):
        x, gate = inputs
        c = gate * c + (1 - gate) * x
        return c, jnp.tanh(c)

    return lax.scan(step, jnp.zeros(FEATURES), (x, gate))[1]


def copy_mechanism(w, ids):
    scores = jnp.cos(ids * w["b"][0] + jnp.arange(ids.shape[0]))
    return jnp.zeros(6).at[ids].add(jax.nn.softmax(scores))


def teacher_forcing(w, ids):
    inputs = jnp.concatenate([jnp.zeros(1, ids.dtype), ids[:-1]])
    table = jnp.tile(w["u"], (2, 1))
    logits = jnp.tanh(jnp.cumsum(table[inputs], 0)) @ w["w"]
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), ids[:, None] % 4, -1).mean()


def ctc_collapse(ids):
    """Whether each step begins a new token, and how many there are."""
    begins = jnp.concatenate([jnp.ones(1, bool), ids[1:] != ids[:-1]]) & (ids != 0)
    return begins, begins.sum()


MARKOV = {
    "HMM forward": Case(hmm_forward),
    "HMM backward": Case(hmm_backward),
    "HMM forward-backward": Case(forward_backward),
    "HMM Viterbi": Case(viterbi, has_gradient=False),
    "CRF": Case(crf),
    "semi-Markov CRF": Case(semi_markov),
    "particle filter": Case(particle_filter, has_gradient=False),
    "Kalman filter": Case(kalman),
    "Kalman smoother": Case(kalman_smoother),
}
ALIGNMENT = {
    "edit distance": scalar(lambda x: edit_distance(x, x[::2]), dtype="int32", has_gradient=False),
    "edit distance to a reference": scalar(
        lambda x: edit_distance(x, jnp.array([1, 4, 2])), dtype="int32", has_gradient=False
    ),
    "Needleman-Wunsch": scalar(lambda x: needleman_wunsch(x, jnp.flip(x)), dtype="int32", has_gradient=False),
    "longest common subsequence": scalar(
        lambda x: longest_common_subsequence(x, jnp.flip(x)), dtype="int32", has_gradient=False
    ),
    "DTW": Case(lambda w, x: dtw(x, x[::2] + w["b"])),
    "DTW to a reference": Case(lambda w, x: dtw(x, w["u"])),
    "soft-DTW": Case(lambda w, x: dtw(x, x[::2] + w["b"], soft=0.5)),
    "CTC collapse": scalar(ctc_collapse, dtype="int32", has_gradient=False),
}
STATE_SPACE = {
    "S5": Case(s5),
    "Mamba": Case(mamba),
    "LRU": Case(lru),
    "minGRU": Case(min_gru),
    "scan of matrices": Case(matrix_scan),
    "RWKV": Case(rwkv),
    "SRU": Case(highway),
    "linear attention": Case(linear_attention),
    "retention": Case(retention),
}
ATTENTION = {
    "relative positions": Case(relative_attention),
    "ALiBi": Case(alibi),
    "sliding window": Case(sliding_window),
    "rotary": Case(rotary),
    "slots": Case(slot_attention),
    "pooling by a query": Case(lambda w, x: jax.nn.softmax(x @ w["b"]) @ x),
    "two layers": Case(lambda w, x: attention(w, jnp.tanh(attention(w, x)[:, :FEATURES]), causal=True)),
    "talking heads": Case(lambda w, x: jnp.einsum("hqk,hg->gqk", jnp.einsum("qd,hd,kd->hqk", x, w["u"], x), w["v"])),
    "greedy decoding": Case(greedy),
    "beam search": Case(beam_search),
    "copy mechanism": Case(copy_mechanism, step=(), dtype="int32"),
    "teacher forcing": Case(teacher_forcing, step=(), dtype="int32"),
}
SETS = {
    "Deep Sets": Case(lambda w, x: jnp.tanh(jnp.tanh(x @ w["u"]).sum(0) @ w["w"])),
    "PointNet": Case(lambda w, x: jax.nn.relu(x @ w["u"]).max(0) @ w["w"]),
    "Sinkhorn": Case(sinkhorn),
    "Chamfer distance": Case(lambda w, x: ((x[:, None] - w["u"]) ** 2).sum(-1).min(0).sum()),
    "k-means": Case(k_means, has_gradient=False),
    "mixture by EM": Case(mixture_em),
    "Gaussian process": Case(gaussian_process),
    "farthest points": vector(farthest_points, has_gradient=False),
    "nearest neighbour": vector(
        lambda x: x[(((x[:, None] - x) ** 2).sum(-1) + 1e3 * jnp.eye(x.shape[0])).argmin(-1)], shortest=2
    ),
    "graph convolution": Case(
        lambda w, x: (lambda a: a / a.sum(1, keepdims=True))(jax.nn.relu(x @ x.T) + jnp.eye(x.shape[0])) @ x @ w["w"]
    ),
    "MMD": Case(
        lambda w, x: (
            jnp.exp(-((x[:, None] - x) ** 2).sum(-1)).mean() - 2 * jnp.exp(-((x[:, None] - w["u"]) ** 2).sum(-1)).mean()
        )
    ),
}
