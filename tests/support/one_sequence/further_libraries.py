"""Further functions of one sequence: layers, distributions, losses and solvers of other libraries."""

import functools
import importlib
import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from tests.support.one_sequence.functions import FEATURES, Case

KEY = jax.random.key(0)


def module(name: str) -> Any:
    """A library, without the warnings of its import."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


def is_there(name: str) -> bool:
    """Whether a library is installed."""
    return importlib.util.find_spec(name) is not None


def scaled(make: Callable[[], Callable[..., Any]], **options: Any) -> Case:
    """A function with parameters of its own, made once, and a factor before it that has a gradient."""
    made = functools.cache(make)

    def fn(w: Any, x: Any) -> Any:
        return jax.tree.map(lambda y: y * w["b"][0] if jnp.issubdtype(y.dtype, jnp.inexact) else y, made()(x))

    return Case(fn, **options)


def haiku(build: Callable[[Any, Any], Any], shape: tuple[int, ...] = (5, FEATURES)) -> Callable[[], Callable[..., Any]]:
    """A function of a sequence by modules of Haiku."""

    def make() -> Callable[..., Any]:
        hk = module("haiku")
        transformed = hk.without_apply_rng(hk.transform(lambda x: build(hk, x)))
        with jax.ensure_compile_time_eval():
            params = transformed.init(KEY, jnp.ones(shape))
        return lambda x: transformed.apply(params, x)

    return make


def haiku_cell(build: Callable[[Any], Any]) -> Callable[[], Callable[..., Any]]:
    """A core of Haiku in a scan of JAX, which needs no length."""

    def make() -> Callable[..., Any]:
        hk = module("haiku")
        step = hk.without_apply_rng(hk.transform(lambda x, state: build(hk)(x, state)))
        start = hk.without_apply_rng(hk.transform(lambda: build(hk).initial_state(None)))
        with jax.ensure_compile_time_eval():
            state = start.apply({})
            params = step.init(KEY, jnp.ones(FEATURES), state)
        return lambda x: lax.scan(lambda state, x: step.apply(params, x, state)[::-1], state, x)

    return make


def equinox(build: Callable[[Any], Callable[..., Any]]) -> Callable[[], Callable[..., Any]]:
    """A function of a sequence by modules of Equinox."""

    def make() -> Callable[..., Any]:
        with jax.ensure_compile_time_eval():
            return build(module("equinox"))

    return make


def channels_first(layer: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x: layer(x.T).T


def scanned(cell: Callable[..., Any], state: Any) -> Callable[..., Any]:
    return lambda x: lax.scan(lambda state, x: (cell(x, state), None), state, x)[0]


def distrax(fn: Callable[[Any, Any, Any], Any], **options: Any) -> Case:
    return Case(lambda w, x: fn(module("distrax"), w, x), **options)


def connectionist(w: Any, x: Any) -> Any:
    labels = jnp.array([[1, 2]])
    return optax.ctc_loss(x[None], jnp.zeros((1, x.shape[0])), labels, jnp.zeros((1, 2)))[0]


HAIKU = {
    "Linear": scaled(haiku(lambda hk, x: hk.Linear(4)(x))),
    "MLP": scaled(haiku(lambda hk, x: hk.nets.MLP([4, 2])(x))),
    "LayerNorm": scaled(haiku(lambda hk, x: hk.LayerNorm(-1, True, True)(x))),
    "RMSNorm": scaled(haiku(lambda hk, x: hk.RMSNorm(-1)(x))),
    "GroupNorm": scaled(haiku(lambda hk, x: hk.GroupNorm(1)(x[None])[0])),
    "InstanceNorm": scaled(haiku(lambda hk, x: hk.InstanceNorm(True, True)(x[None])[0])),
    "Conv1D": scaled(haiku(lambda hk, x: hk.Conv1D(4, 3)(x))),
    "Conv1D, stride": scaled(haiku(lambda hk, x: hk.Conv1D(4, 3, stride=2)(x))),
    "Conv1D, causal": scaled(haiku(lambda hk, x: hk.Conv1D(4, 3, rate=2, padding=hk.pad.causal)(x))),
    "DepthwiseConv1D": scaled(haiku(lambda hk, x: hk.DepthwiseConv1D(1, 3)(x[None])[0])),
    "MaxPool": scaled(haiku(lambda hk, x: hk.MaxPool((2, 1), (2, 1), "SAME")(x))),
    "AvgPool": scaled(haiku(lambda hk, x: hk.AvgPool((3, 1), (1, 1), "SAME")(x))),
    "MultiHeadAttention": scaled(
        haiku(lambda hk, x: hk.MultiHeadAttention(2, 3, w_init=hk.initializers.VarianceScaling())(x, x, x))
    ),
    "Embed": scaled(haiku(lambda hk, x: hk.Embed(5, 3)(jnp.abs(x[:, 0]).astype(int)))),
    "LSTM in a scan": scaled(haiku_cell(lambda hk: hk.LSTM(4))),
    "GRU in a scan": scaled(haiku_cell(lambda hk: hk.GRU(4))),
    "VanillaRNN in a scan": scaled(haiku_cell(lambda hk: hk.VanillaRNN(4))),
    "DeepRNN in a scan": scaled(haiku_cell(lambda hk: hk.DeepRNN([hk.LSTM(4), jnp.tanh, hk.GRU(2)]))),
}
EQUINOX = {
    "Linear": scaled(equinox(lambda eqx: jax.vmap(eqx.nn.Linear(FEATURES, 4, key=KEY)))),
    "GRUCell": scaled(equinox(lambda eqx: scanned(eqx.nn.GRUCell(FEATURES, 4, key=KEY), jnp.zeros(4)))),
    "LSTMCell": scaled(equinox(lambda eqx: scanned(eqx.nn.LSTMCell(FEATURES, 4, key=KEY), (jnp.zeros(4),) * 2))),
    "MultiheadAttention": scaled(
        equinox(lambda eqx: (lambda m: lambda x: m(x, x, x))(eqx.nn.MultiheadAttention(3, FEATURES, key=KEY)))
    ),
    "MultiheadAttention, causal": scaled(
        equinox(
            lambda eqx: (lambda m: lambda x: m(x, x, x, jnp.tri(x.shape[0], dtype=bool)))(
                eqx.nn.MultiheadAttention(1, FEATURES, key=KEY)
            )
        )
    ),
    "Conv1d": scaled(equinox(lambda eqx: channels_first(eqx.nn.Conv1d(FEATURES, 4, 3, padding=1, key=KEY)))),
    "Conv1d, stride": scaled(
        equinox(lambda eqx: channels_first(eqx.nn.Conv1d(FEATURES, 4, 3, stride=2, padding="SAME", key=KEY)))
    ),
    "ConvTranspose1d": scaled(
        equinox(lambda eqx: channels_first(eqx.nn.ConvTranspose1d(FEATURES, 4, 3, stride=2, padding=1, key=KEY)))
    ),
    "MaxPool1d": scaled(equinox(lambda eqx: channels_first(eqx.nn.MaxPool1d(2, 2))), shortest=2),
    "AvgPool1d": scaled(equinox(lambda eqx: channels_first(eqx.nn.AvgPool1d(2, 1))), shortest=2),
    "LayerNorm": scaled(equinox(lambda eqx: jax.vmap(eqx.nn.LayerNorm(FEATURES)))),
    "RMSNorm": scaled(equinox(lambda eqx: jax.vmap(eqx.nn.RMSNorm(FEATURES)))),
    "GroupNorm": scaled(equinox(lambda eqx: channels_first(eqx.nn.GroupNorm(1, FEATURES)))),
    "Embedding": scaled(
        equinox(lambda eqx: jax.vmap(eqx.nn.Embedding(5, 4, key=KEY))), step=(), dtype="int32", has_gradient=False
    ),
    "MLP": scaled(equinox(lambda eqx: jax.vmap(eqx.nn.MLP(FEATURES, 2, 4, 1, key=KEY)))),
    "PReLU": scaled(equinox(lambda eqx: eqx.nn.PReLU())),
    "Dropout": scaled(equinox(lambda eqx: eqx.nn.Dropout(0.5, inference=True))),
    "Sequential": scaled(
        equinox(
            lambda eqx: channels_first(
                eqx.nn.Sequential([eqx.nn.Conv1d(FEATURES, 4, 3, padding=1, key=KEY), eqx.nn.Lambda(jax.nn.gelu)])
            )
        )
    ),
    "checkpointed": scaled(equinox(lambda eqx: eqx.filter_checkpoint(lambda x: jnp.cumsum(jnp.sin(x), 0)))),
}
DISTRAX = {
    "Normal": distrax(lambda dx, w, x: dx.Normal(w["b"], 1.0).log_prob(x).sum()),
    "Independent over time": distrax(lambda dx, w, x: dx.Independent(dx.Normal(jnp.zeros_like(x), 1.0), 2).log_prob(x)),
    "MultivariateNormalDiag": distrax(lambda dx, w, x: dx.MultivariateNormalDiag(w["b"]).log_prob(x)),
    "MultivariateNormalTri": distrax(
        lambda dx, w, x: dx.MultivariateNormalTri(w["b"], jnp.eye(3) + jnp.tril(w["u"], -1)).log_prob(x)
    ),
    "Categorical": distrax(lambda dx, w, x: dx.Categorical(logits=x).log_prob(x.argmax(-1))),
    "Categorical, entropy": distrax(lambda dx, w, x: dx.Categorical(logits=x).entropy().mean()),
    "Bernoulli": distrax(lambda dx, w, x: dx.Bernoulli(logits=x).log_prob(x > 0)),
    "Gamma": distrax(lambda dx, w, x: dx.Gamma(2.0, 1.5).log_prob(x), is_positive=True),
    "Beta": distrax(lambda dx, w, x: dx.Beta(2.0, 1.5).log_prob(x / 3), is_positive=True),
    "Laplace": distrax(lambda dx, w, x: dx.Laplace(w["b"], 1.0).log_prob(x)),
    "Gumbel": distrax(lambda dx, w, x: dx.Gumbel(w["b"], 1.0).log_prob(x)),
    "Dirichlet": distrax(lambda dx, w, x: dx.Dirichlet(jnp.full(3, 2.0)).log_prob(jax.nn.softmax(x))),
    "LogNormal": distrax(
        lambda dx, w, x: dx.Transformed(dx.Normal(0.0, 1.0), dx.Lambda(jnp.exp)).log_prob(x), is_positive=True
    ),
    "mixture": distrax(
        lambda dx, w, x: dx.MixtureSameFamily(dx.Categorical(logits=w["b"]), dx.Normal(w["b"], 1.0)).log_prob(x[:, 0])
    ),
    "kl_divergence": distrax(lambda dx, w, x: dx.Normal(x, 1.0).kl_divergence(dx.Normal(0.0, 2.0)).mean(0)),
}
# Older optax has but the former name, which is deprecated in newer.
generalized_kl_divergence = getattr(optax, "generalized_kl_divergence", None) or optax.convex_kl_divergence
OPTAX = {
    "ctc_loss": Case(connectionist, shortest=2),
    "sigmoid_binary_cross_entropy": Case(lambda w, x: optax.sigmoid_binary_cross_entropy(x @ w["u"], x > 0).mean()),
    "generalized_kl_divergence": Case(
        lambda w, x: generalized_kl_divergence(jax.nn.log_softmax(x), jax.nn.softmax(x @ w["u"])).sum()
    ),
    "hinge_loss": Case(lambda w, x: optax.hinge_loss(x @ w["b"], jnp.sign(x[:, 0])).mean()),
    "log_cosh": Case(lambda w, x: optax.log_cosh(x @ w["u"], x).mean()),
    "ntxent": Case(lambda w, x: optax.losses.ntxent(x, jnp.arange(x.shape[0]) // 2), has_gradient=False),
    "smooth_labels": Case(lambda w, x: optax.smooth_labels(jax.nn.softmax(x), 0.1)),
    "sigmoid_focal_loss": Case(lambda w, x: optax.sigmoid_focal_loss(x @ w["u"], 1.0 * (x > 0)).mean()),
}
