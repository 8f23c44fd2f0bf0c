"""Functions of one sequence that know nothing of masks, and what each takes."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

FEATURES = 3


@dataclasses.dataclass(frozen=True)
class Case:
    """A function of parameters and of one sequence `(time, *step)`.

    Attributes:
        fn: the function.
        step: shape of a step.
        dtype: of the sequence; integers are below 5, floats between 0.5 and 2 in size, and positive if `is_positive`.
        constraints: what it needs of the length.
        shortest: the smallest length that it takes; shorter rows count as empty.
        has_gradient: whether its gradient is compared; a sort or a floor has none worth it.
    """

    fn: Callable[..., Any]
    step: tuple[int, ...] = (FEATURES,)
    dtype: str = "float32"
    is_positive: bool = False
    constraints: tuple[str, ...] = ()
    shortest: int = 1
    has_gradient: bool = True

    @property
    def all_constraints(self) -> tuple[str, ...]:
        """What it needs of the length, the smallest one included."""
        return (*self.constraints, f"t >= {self.shortest}") if self.shortest > 1 else self.constraints


def params() -> dict[str, np.ndarray]:
    """What the functions close over."""
    rng = np.random.default_rng(0)
    shapes = {
        "w": (FEATURES, 4),
        "u": (FEATURES, FEATURES),
        "v": (FEATURES, FEATURES),
        "b": (FEATURES,),
        "k": (3, 3, 4),
    }
    return {name: 0.5 * rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def scalar(fn: Callable[..., Any], **options: Any) -> Case:
    """A function of a sequence of numbers, without parameters."""
    return Case(lambda w, x: fn(x), step=(), **options)


def vector(fn: Callable[..., Any], **options: Any) -> Case:
    """A function of a sequence of vectors, without parameters."""
    return Case(lambda w, x: fn(x), **options)


def attention(w: Any, x: Any, causal: bool = False) -> Any:
    q, k, v = x @ w["u"], x @ w["v"], x @ w["w"]
    logits = q @ k.T / np.sqrt(FEATURES)
    if causal:
        logits = jnp.where(jnp.tril(jnp.ones(logits.shape, bool)), logits, -jnp.inf)
    return jax.nn.softmax(logits, axis=-1) @ v


def rnn(w: Any, x: Any, reverse: bool = False) -> Any:
    def step(h: Any, inputs: Any) -> Any:
        h = jnp.tanh(inputs @ w["u"] + h @ w["v"] + w["b"])
        return h, h

    return lax.scan(step, jnp.zeros(FEATURES), x, reverse=reverse)


def conv(stride: int = 1, padding: Any = "SAME", dilation: int = 1, base: int = 1, groups: int = 1) -> Any:
    def fn(w: Any, x: Any) -> Any:
        kernel = w["k"] if groups == 1 else w["k"][:, :1, :3]
        return lax.conv_general_dilated(
            x[None],
            kernel,
            (stride,),
            padding,
            lhs_dilation=(base,),
            rhs_dilation=(dilation,),
            dimension_numbers=("NWC", "WIO", "NWC"),
            feature_group_count=groups,
        )[0]

    return fn


def pool(init: Any, operation: Any, window: int, stride: int, padding: str) -> Any:
    return lambda x: lax.reduce_window(x, init, operation, (window, 1), (stride, 1), padding)


def beyond(x: Any) -> Any:
    """The sequence, with NaN where the padded row goes on."""
    steps = jnp.arange(x.shape[0]).reshape(-1, *(1,) * (x.ndim - 1))
    return jnp.where(steps < x.shape[0], x, jnp.nan)


def fori(x: Any) -> Any:
    return lax.fori_loop(0, x.shape[0], lambda i, total: total + (i + 1) * x[i], jnp.zeros(FEATURES))


def halve(x: Any) -> Any:
    return lax.while_loop(lambda s: jnp.abs(s).sum() > 0.1, lambda s: s / 2, x).sum()


@jax.custom_jvp
def tripled(x: Any) -> Any:
    return x**2


tripled.defjvp(lambda primals, tangents: (tripled(*primals), 3 * tangents[0]))


@jax.custom_vjp
def clipped(x: Any) -> Any:
    return x * x.mean()


clipped.defvjp(lambda x: (clipped(x), x.sum()), lambda total, g: (g * total + g.sum(),))

_NUMERIC = """
    exp log log1p expm1 sqrt square cbrt sin cos tan tanh sinh arctan abs floor ceil rint sign reciprocal exp2 log2
    arcsinh
"""
_ACTIVATIONS = """
    relu relu6 sigmoid softplus silu gelu elu selu celu leaky_relu hard_tanh hard_sigmoid log_sigmoid soft_sign mish
    squareplus
"""
_REDUCTIONS = "sum mean max min prod var std median ptp argmax argmin nansum nanmean"
_CUMULATIVE = "cumsum cumprod cummax cummin cumlogsumexp"

ELEMENTWISE = {
    name: scalar(getattr(jnp, name), is_positive=True, has_gradient=name not in ("floor", "ceil", "rint", "sign"))
    for name in _NUMERIC.split()
} | {f"nn.{name}": scalar(getattr(jax.nn, name)) for name in _ACTIVATIONS.split()}
ELEMENTWISE |= {
    "x / (x + 1)": scalar(lambda x: x / (x + 1), is_positive=True),
    "x ** 3": scalar(lambda x: x**3),
    "x ** 0.5": scalar(lambda x: x**0.5, is_positive=True),
    "clip": scalar(lambda x: jnp.clip(x, 0.6, 1.1)),
    "where": scalar(lambda x: jnp.where(x > 1, x, -x)),
    "double where": scalar(lambda x: jnp.where(x > 1, jnp.log(jnp.where(x > 1, x, 1)), 0)),
    "one_hot": scalar(lambda x: jax.nn.one_hot(x, 5), dtype="int32"),
    "isnan": scalar(jnp.isnan, has_gradient=False),
    "erf": scalar(jax.scipy.special.erf),
    "gammaln": scalar(jax.scipy.special.gammaln, is_positive=True),
    "dense": Case(lambda w, x: jax.nn.relu(x @ w["w"])),
    "dense without positions": Case(lambda w, x: jnp.einsum("td,de->te", x, w["w"]).T),
}

REDUCTIONS = {
    name: vector(lambda x, name=name: getattr(jnp, name)(x, axis=0), has_gradient=name not in ("argmax", "argmin"))
    for name in _REDUCTIONS.split()
} | {
    "mean of all": vector(jnp.mean),
    "mean, keepdims": vector(lambda x: x - x.mean(0, keepdims=True)),
    "mean over features": vector(lambda x: x.mean(1)),
    "any": vector(lambda x: (x > 1.5).any(0), has_gradient=False),
    "all": vector(lambda x: (x > 0).all(0), has_gradient=False),
    "count": vector(lambda x: jnp.count_nonzero(x > 0, axis=0), has_gradient=False),
    "xor": scalar(lambda x: lax.reduce_xor(x, (0,)), dtype="int32", has_gradient=False),
    "bitwise and": scalar(lambda x: lax.reduce_and(x, (0,)), dtype="int32", has_gradient=False),
    "integer max": scalar(jnp.max, dtype="int32", has_gradient=False),
    "length": vector(lambda x: x.shape[0] + 0 * x[0, 0], has_gradient=False),
    "logsumexp": vector(lambda x: jax.nn.logsumexp(x, axis=0)),
    "softmax": vector(lambda x: jax.nn.softmax(x, axis=0)),
    "log_softmax": vector(lambda x: jax.nn.log_softmax(x, axis=0)),
    "standardize": vector(lambda x: jax.nn.standardize(x, axis=0, epsilon=1e-3)),
    "norm": vector(lambda x: jnp.linalg.norm(x, axis=0)),
    "norm of all": vector(jnp.linalg.norm),
    "geometric mean": vector(lambda x: jnp.exp(jnp.log(x).mean(0)), is_positive=True),
    "harmonic mean": vector(lambda x: 1 / (1 / x).mean(0), is_positive=True),
    "covariance": vector(lambda x: jnp.cov(x, rowvar=False), shortest=2),
    "trace": vector(lambda x: jnp.trace(x @ x.T)),
    "quantile": vector(lambda x: jnp.quantile(x, 0.3, axis=0)),
    "sem": vector(lambda x: jax.scipy.stats.sem(x, axis=0), shortest=2),
    "reduce by function": scalar(lambda x: lax.reduce(x, 0.0, lax.add, (0,))),
    "masked mean": vector(lambda x: jnp.mean(x, 0, where=x > 0)),
    "average": vector(lambda x: jnp.average(x, 0, weights=jnp.abs(x))),
    "dot": scalar(lambda x: jnp.dot(x, x)),
    "gram": vector(lambda x: x.T @ x),
    "pairs": vector(lambda x: x @ x.T),
    "pair distances": vector(lambda x: jnp.sqrt(((x[:, None] - x[None]) ** 2).sum(-1) + 1e-3)),
}

CUMULATIVE = {name: vector(lambda x, name=name: getattr(lax, name)(x, axis=0)) for name in _CUMULATIVE.split()} | {
    f"{name}, reverse": vector(lambda x, name=name: getattr(lax, name)(x, axis=0, reverse=True))
    for name in _CUMULATIVE.split()
}

MOVING = {
    "flip": vector(lambda x: jnp.flip(x, 0)),
    "roll": vector(lambda x: jnp.roll(x, 1, axis=0)),
    "diff": vector(lambda x: jnp.diff(x, axis=0)),
    "log returns": vector(lambda x: jnp.diff(jnp.log(x), axis=0), is_positive=True),
    "one over diff": scalar(lambda x: 1 / jnp.diff(jnp.cumsum(x)), is_positive=True),
    "first": vector(lambda x: x[0]),
    "last": vector(lambda x: x[-1]),
    "last of three": vector(lambda x: x[-3:], shortest=3),
    "from the second": vector(lambda x: x[1:]),
    "but the last": vector(lambda x: x[:-1]),
    "every other": vector(lambda x: x[::2]),
    "backwards by steps": vector(lambda x: x[::-2]),
    "first half": vector(lambda x: x[: x.shape[0] // 2]),
    "second half": vector(lambda x: x[x.shape[0] // 2 :]),
    "cls in front": Case(lambda w, x: jnp.concatenate([w["b"][None], x])),
    "eos behind": Case(lambda w, x: jnp.concatenate([x, w["b"][None]])),
    "twice": vector(lambda x: jnp.concatenate([x, -x])),
    "three parts": vector(lambda x: jnp.concatenate([x[:1], x, x[1:]])),
    "pad": vector(lambda x: jnp.pad(x, ((2, 1), (0, 0)), constant_values=1.5)),
    "pad and cut": vector(lambda x: lax.pad(x, 0.5, ((-1, 2, 0), (0, 0, 0)))),
    "pad between": vector(lambda x: lax.pad(x, 0.5, ((1, 1, 1), (0, 0, 0)))),
    "pad to ten": vector(lambda x: jnp.pad(x, ((0, 10 - x.shape[0]), (0, 0))), constraints=("t <= 10",)),
    "pad in front to ten": vector(lambda x: jnp.pad(x, ((10 - x.shape[0], 0), (0, 0))), constraints=("t <= 10",)),
    "tile": vector(lambda x: jnp.tile(x, (2, 1))),
    "repeat": vector(lambda x: jnp.repeat(x, 2, axis=0)),
    "stack": vector(lambda x: jnp.stack([x, 2 * x])),
    "split off": vector(lambda x: lax.split(x, [1, x.shape[0] - 1])[1]),
    "transpose": vector(lambda x: x.T),
    "flatten": vector(lambda x: x.reshape(-1)),
    "flatten features first": vector(lambda x: x.T.reshape(-1)),
    "fold": vector(lambda x: x.reshape(-1)[: 2 * x.shape[0]].reshape(x.shape[0], 2)),
    "pairs of steps": vector(lambda x: x[: 2 * (x.shape[0] // 2)].reshape(x.shape[0] // 2, 2 * FEATURES)),
    "two ragged axes in one": vector(lambda x: (x @ x.T).reshape(-1)),
    "expand": vector(lambda x: x[:, None, :, None]),
    "broadcast": vector(lambda x: jnp.broadcast_to(x[:1], x.shape)),
    "triangle": vector(lambda x: jnp.tril(x @ x.T)),
    "diagonal": vector(lambda x: jnp.diagonal(x @ x.T)),
    "positions": Case(lambda w, x: x * jnp.arange(x.shape[0])[:, None] / x.shape[0]),
    "one over what is left": vector(lambda x: x / (x.shape[0] - jnp.arange(x.shape[0]))[:, None]),
    "outer": scalar(lambda x: jnp.outer(x, x + 1)),
    "kron": scalar(lambda x: jnp.kron(x, jnp.ones(2))),
}

INDEXING = {
    "take": vector(lambda x: jnp.take(x, jnp.array([0, 1, -1]), axis=0, mode="clip")),
    "take or fill": vector(lambda x: jnp.take(x, jnp.array([0, 1, 4]), axis=0, mode="fill", fill_value=7.0)),
    "embedding": Case(lambda w, x: jnp.take(jnp.tile(w["u"], (2, 1)), x, axis=0), step=(), dtype="int32"),
    "one feature": vector(lambda x: x[:, 1]),
    "dynamic slice": vector(lambda x: lax.dynamic_slice_in_dim(x, x.shape[0] - 1, 1)),
    "dynamic slice, clamped": vector(lambda x: lax.dynamic_slice_in_dim(x, 100, 1)),
    "at set": vector(lambda x: x.at[0].set(2.0)),
    "at last set": vector(lambda x: x.at[-1].set(2.0)),
    "at last add": Case(lambda w, x: x.at[-1].add(w["b"])),
    "at set beyond": vector(lambda x: x.at[5].set(2.0)),
    "at slice": vector(lambda x: x.at[1:].set(0.0)),
    "at slice add": vector(lambda x: x.at[:-1].add(x[1:] ** 2)),
    "at slice max": vector(lambda x: x.at[1:, 0].max(x[:-1, 1])),
    "dynamic update": Case(lambda w, x: lax.dynamic_update_slice(x, w["b"][None], (x.shape[0] - 1, 0))),
    "dynamic update by a part": vector(lambda x: lax.dynamic_update_slice(jnp.zeros_like(x), x[1:], (1, 0))),
    "segment sum": Case(
        lambda w, x: jax.ops.segment_sum(jax.nn.one_hot(x, 3), x, num_segments=5), step=(), dtype="int32"
    ),
    "bincount": scalar(lambda x: jnp.bincount(x, length=5), dtype="int32", has_gradient=False),
    "scatter max": Case(lambda w, x: jnp.zeros(5).at[x].max(x + 0.5), step=(), dtype="int32", has_gradient=False),
    "argmax picks": vector(lambda x: x[jnp.argmax(x[:, 0])]),
    "take along": vector(lambda x: jnp.take_along_axis(x, jnp.argsort(x, axis=0), axis=0)),
    "sort": vector(lambda x: jnp.sort(x, axis=0)),
    "sort, descending": vector(lambda x: jnp.sort(x, axis=0, descending=True)),
    "argsort": vector(lambda x: jnp.argsort(x, axis=0), has_gradient=False),
    "sort by key": vector(lambda x: lax.sort((x[:, 0], x[:, 1], x[:, 2]), num_keys=2)),
    "sort of integers": scalar(jnp.sort, dtype="int32", has_gradient=False),
    "top_k": scalar(lambda x: lax.top_k(x, 2)[0], shortest=2),
    "top_k of features": vector(lambda x: lax.top_k(x, 2)[0]),
    "ranks": scalar(lambda x: jnp.argsort(jnp.argsort(x)), has_gradient=False),
}

WINDOWS = {
    "conv": Case(conv()),
    "conv, stride": Case(conv(stride=2)),
    "conv, stride 3": Case(conv(stride=3)),
    "conv, valid": Case(conv(padding="VALID"), shortest=3),
    "conv, valid, stride": Case(conv(padding="VALID", stride=2), shortest=3),
    "conv, causal": Case(conv(padding=[(2, 0)])),
    "conv, causal, dilated": Case(conv(padding=[(4, 0)], dilation=2)),
    "conv, dilated": Case(conv(dilation=2)),
    "conv, transposed": Case(conv(base=2, padding=[(2, 2)])),
    "conv, groups": Case(conv(groups=3)),
    "conv, narrow": Case(conv(padding=[(-1, 2)])),
    "max pool": vector(pool(-np.inf, lax.max, 3, 2, "SAME")),
    "max pool, valid": vector(pool(-np.inf, lax.max, 2, 2, "VALID"), shortest=2),
    "max pool, some steps in no window": vector(pool(-np.inf, lax.max, 4, 4, "VALID"), shortest=4),
    "max pool, windows apart": vector(pool(-np.inf, lax.max, 2, 4, "SAME")),
    "min pool": vector(pool(np.inf, lax.min, 2, 1, "SAME")),
    "sum pool": vector(pool(0.0, lax.add, 3, 1, "SAME")),
    "average pool": vector(
        lambda x: pool(0.0, lax.add, 3, 2, "SAME")(x) / pool(0.0, lax.add, 3, 2, "SAME")(jnp.ones_like(x))
    ),
}

CONTROL = {
    "scan": Case(rnn),
    "scan, reverse": Case(lambda w, x: rnn(w, x, reverse=True)),
    "scan over a part": Case(lambda w, x: rnn(w, x[1:])),
    "scan twice": Case(lambda w, x: rnn(w, rnn(w, x)[1], reverse=True)[1]),
    "scan, ragged carry": vector(lambda x: lax.scan(lambda c, _: (jnp.roll(c, 1, 0) * 1.1, c[0]), x, None, length=3)),
    "scan over features": vector(lambda x: lax.scan(lambda c, f: (c + f, c.sum()), jnp.zeros(x.shape[0]), x.T)),
    "map": vector(lambda x: lax.map(lambda step: step.sum() * step, x)),
    "vmap inside": Case(lambda w, x: jax.vmap(lambda step: jnp.tanh(step @ w["u"]))(x)),
    "fori_loop": vector(fori),
    "fori_loop over a part": vector(lambda x: lax.fori_loop(1, x.shape[0] - 1, lambda i, c: c * x[i + 1], x[0])),
    "fori_loop from the length": vector(
        lambda x: lax.fori_loop(x.shape[0], 8, lambda i, c: c + i, x.sum(0)), has_gradient=False
    ),
    "while_loop": vector(halve, has_gradient=False),
    "cond": vector(lambda x: lax.cond(x.sum() > 0, lambda x: x.mean(0), lambda x: x.max(0), x)),
    "cond, ragged": vector(
        lambda x: lax.cond(jnp.asarray(x.shape[0]) > 3, lambda x: jnp.flip(x, 0), lambda x: 2 * x, x)
    ),
    "switch": vector(lambda x: lax.switch(x.shape[0] % 3, [jnp.sin, jnp.cos, jnp.tanh], x)),
    "jit inside": Case(lambda w, x: jax.jit(attention)(w, x)),
    "checkpoint inside": Case(lambda w, x: jax.checkpoint(attention)(w, x)),
    "gradient inside": Case(lambda w, x: jax.grad(lambda x: attention(w, x).sum() ** 2)(x)),
    "gradient of max pool inside, some steps in no window": vector(
        jax.grad(lambda x: (pool(-np.inf, lax.max, 3, 3, "VALID")(x) ** 2).sum()), shortest=3, has_gradient=False
    ),
    "gradient of max pool inside": vector(
        jax.grad(lambda x: (pool(-np.inf, lax.max, 3, 1, "SAME")(x) ** 2).sum()), has_gradient=False
    ),
    "jvp inside": vector(lambda x: jax.jvp(jax.nn.softmax, (x,), (jnp.ones_like(x),))[1]),
    "hessian inside": vector(lambda x: jax.hessian(lambda x: (x**3).mean())(x).sum((0, 1))),
    "custom_jvp": vector(lambda x: tripled(x).sum(0)),
    "custom_vjp": vector(lambda x: clipped(x)),
    "cholesky": vector(lambda x: jnp.linalg.cholesky(x @ x.T + jnp.eye(x.shape[0]))),
    "solve": vector(
        lambda x: jax.scipy.linalg.solve_triangular(jnp.eye(x.shape[0]) * 2 + jnp.tril(x @ x.T), x, lower=True),
    ),
    "fft": vector(lambda x: jnp.abs(jnp.fft.fft(x, axis=0)) ** 2),
    "fft over time and features": vector(lambda x: jnp.fft.fft(jnp.fft.fft(x, axis=1), axis=0).real),
    "ifft": vector(lambda x: jnp.fft.ifft(x, axis=0).real),
    "rfft": scalar(lambda x: jnp.abs(jnp.fft.rfft(x)) ** 2),
    "irfft": scalar(lambda x: lax.fft(jnp.fft.rfft(x), "irfft", (x.shape[0],)) * x[0], shortest=2),
}

NETWORKS = {
    "attention": Case(attention),
    "attention, causal": Case(lambda w, x: attention(w, x, causal=True)),
    "dot_product_attention": Case(
        lambda w, x: jax.nn.dot_product_attention(*((x @ w[n])[:, None] for n in ("u", "v", "u")))[:, 0]
    ),
    "dot_product_attention, causal": Case(
        lambda w, x: jax.nn.dot_product_attention(*((x @ w[n])[:, None] for n in ("u", "v", "u")), is_causal=True)[:, 0]
    ),
    "block": Case(lambda w, x: jax.nn.standardize(x + attention(w, x) @ w["w"].T, epsilon=1e-3)),
    "positional encoding": Case(
        lambda w, x: x + jnp.sin(jnp.arange(x.shape[0])[:, None] / 10 ** jnp.arange(0, 1.5, 0.5)) @ w["u"]
    ),
    "cross entropy": Case(
        lambda w, x: optax.softmax_cross_entropy_with_integer_labels(jax.nn.one_hot(x, 5) @ jnp.eye(5) * 2, x).mean(),
        step=(),
        dtype="int32",
        has_gradient=False,
    ),
    "l2 loss": Case(lambda w, x: optax.l2_loss(x @ w["u"], x).mean()),
    "huber loss": Case(lambda w, x: optax.huber_loss(x @ w["u"], x).mean()),
    "cosine similarity": Case(lambda w, x: optax.cosine_similarity(x @ w["u"], x).mean()),
}

# Most padding holds finite numbers; here it does not.
NAN_BEYOND = {
    f"NaN beyond, {name}": case
    for name, case in {
        "sum": vector(lambda x: beyond(x).sum(0)),
        "max": vector(lambda x: beyond(x).max(0)),
        "argmin": Case(lambda w, x: x[jnp.argmin(beyond(x @ w["b"]))]),
        "product, left": Case(lambda w, x: beyond(x).T @ (x @ w["u"])),
        "product, right": Case(lambda w, x: (x @ w["u"]).T @ beyond(x)),
        "product, of a step": Case(lambda w, x: beyond(x) @ w["u"]),
        "cummax": vector(lambda x: lax.cummax(beyond(x))),
        "cumsum, reverse": vector(lambda x: lax.cumsum(beyond(x), reverse=True)),
        "cumlogsumexp": vector(lambda x: lax.cumlogsumexp(beyond(x))),
        "cumlogsumexp, reverse": vector(lambda x: lax.cumlogsumexp(beyond(x), reverse=True)),
        "softmax": vector(lambda x: jax.nn.softmax(beyond(x), axis=0)),
        "sort": vector(lambda x: jnp.sort(beyond(x), axis=0)),
        "conv": Case(lambda w, x: conv()(w, beyond(x))),
        "max pool": vector(lambda x: pool(-np.inf, lax.max, 2, 1, "SAME")(beyond(x))),
        "average pool": vector(lambda x: pool(0.0, lax.add, 2, 2, "VALID")(beyond(x)), shortest=2),
        "scan": Case(lambda w, x: rnn(w, beyond(x))),
        "scan, reverse": Case(lambda w, x: rnn(w, beyond(x), reverse=True)),
        "flip": Case(lambda w, x: jnp.flip(beyond(x), 0) @ w["u"]),
        "roll": vector(lambda x: jnp.roll(beyond(x), 1, axis=0) * x),
        "times": Case(lambda w, x: beyond(x) * w["b"] * jnp.roll(x, 1, axis=0)),
        "cos": Case(lambda w, x: jnp.cos(beyond(x) + w["b"] * jnp.flip(x, 0))),
        "maximum": Case(lambda w, x: jnp.maximum(beyond(x), w["b"]) + jnp.abs(jnp.clip(beyond(x) + w["b"], 0, 1))),
        "gather": Case(lambda w, x: beyond(x)[jnp.argsort(x @ w["b"])]),
        "indices": vector(lambda x: x[jnp.nan_to_num(beyond(x[:, 0]) > 1, nan=9).astype(int) * (x.shape[0] - 1)]),
        "custom derivative": vector(lambda x: clipped(beyond(x)) + tripled(beyond(x))),
        "norm": vector(lambda x: jnp.linalg.norm(beyond(x))),
    }.items()
}

TABLE = {
    **ELEMENTWISE,
    **REDUCTIONS,
    **CUMULATIVE,
    **MOVING,
    **INDEXING,
    **WINDOWS,
    **CONTROL,
    **NETWORKS,
    **NAN_BEYOND,
}
