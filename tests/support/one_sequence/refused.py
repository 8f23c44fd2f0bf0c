"""Functions that `jm.vmap` refuses, what it says of each, and the same function written as it says."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy as jsp
import numpy as np
from jax import lax

import jmask as jm
from tests.support.one_sequence.further_libraries import module

KEY = jax.random.key(0)
FILTER = np.float32([1.0, 2.0, 0.5])
POINTS = np.float32([0.4, 1.1, 9.0])


@dataclasses.dataclass(frozen=True)
class Refused:
    """A function of one sequence of positive numbers.

    Attributes:
        fn: the function.
        says: a part of the error.
        remedy: the function as the error says; None where there is no other way.
        is_random: the remedy draws other numbers.
        shortest: the smallest length that the functions take.
        library: that they need.
        of_gradient: it is the gradient of the function that is refused.
    """

    fn: Callable[[Any], Any]
    says: str
    remedy: Callable[[Any], Any] | None
    is_random: bool = False
    shortest: int = 1
    library: str | None = None
    of_gradient: bool = False


def convolve(x: Any, v: Any, *, is_full: bool = True) -> Any:
    x = jnp.pad(x, v.shape[0] - 1) if is_full else x
    return lax.conv_general_dilated(x[None, None], v[None, None, ::-1], (1,), "VALID")[0, 0]


def interp(x: Any, xp: Any, fp: Any) -> Any:
    i = jnp.clip((xp[:, None] <= x).sum(0), 1, xp.shape[0] - 1)
    return fp[i - 1] + (jnp.clip(x, xp[0], xp[-1]) - xp[i - 1]) / (xp[i] - xp[i - 1]) * (fp[i] - fp[i - 1])


def linspace(start: float, stop: float, n: Any) -> Any:
    return start + (stop - start) * jnp.arange(n) / jnp.maximum(n - 1, 1)


def dct(x: Any) -> Any:
    n = x.shape[0]
    k = jnp.arange(n)
    return 2 * jnp.cos(jnp.pi * k[:, None] * (2 * k + 1) / (2 * n)) @ x


def gram(x: Any) -> Any:
    return jnp.outer(x, x) + jnp.eye(x.shape[0])


def slogdet(x: Any) -> Any:
    sign, log = jnp.linalg.slogdet(gram(x))
    return sign * jnp.exp(log)


def haiku_unroll(x: Any) -> Any:
    hk = module("haiku")

    def build(x: Any) -> Any:
        core = hk.VanillaRNN(2)
        return hk.dynamic_unroll(core, x[:, None], core.initial_state(None))[0]

    return hk.without_apply_rng(hk.transform(build)).apply(_haiku_params(), x)


def haiku_scan(x: Any) -> Any:
    hk = module("haiku")
    core = hk.without_apply_rng(hk.transform(lambda x, state: hk.VanillaRNN(2)(x, state)))
    params = _haiku_params()
    return lax.scan(lambda state, x: core.apply(params, x, state)[::-1], jnp.zeros(2), x[:, None])[1]


def _haiku_params() -> Any:
    weights = np.linspace(-1, 1, 4, dtype=np.float32).reshape(2, 2)
    return {
        "vanilla_rnn/linear": {"w": weights[:1], "b": weights[0]},
        "vanilla_rnn/linear_1": {"w": weights, "b": weights[1]},
    }


REFUSED = {
    "jax.lax.associative_scan": Refused(
        lambda x: lax.associative_scan(jnp.multiply, x),
        "`jm.ops.associative_scan(fn, x)`",
        lambda x: jm.ops.associative_scan(jnp.multiply, x),
    ),
    "jax.lax.scan(length=x.shape[0])": Refused(
        lambda x: lax.scan(lambda c, _: (1.1 * c + x[0], c), 0.0, None, length=x.shape[0])[1],
        "scan over `jnp.arange(x.shape[0])`",
        lambda x: lax.scan(lambda c, _: (1.1 * c + x[0], c), 0.0, jnp.arange(x.shape[0]))[1],
    ),
    "hk.dynamic_unroll": Refused(
        haiku_unroll,
        "`jax.lax.scan(lambda state, x: core.apply(params, x, state)[::-1], state, x)`",
        haiku_scan,
        library="haiku",
    ),
    "jnp.searchsorted in the sequence": Refused(
        lambda x: jnp.searchsorted(jnp.cumsum(x), POINTS),
        "`(a[:, None] < v).sum(0)`",
        lambda x: (jnp.cumsum(x)[:, None] < POINTS).sum(0),
    ),
    "jnp.interp over points of the sequence": Refused(
        lambda x: jnp.interp(POINTS, jnp.cumsum(x), x),
        "`i = jnp.clip((xp[:, None] <= x).sum(0), 1, xp.shape[0] - 1)`",
        lambda x: interp(POINTS, jnp.cumsum(x), x),
        shortest=2,
    ),
    "jnp.convolve": Refused(
        lambda x: jnp.convolve(x, FILTER), "`jax.lax.conv_general_dilated(jnp.pad(x", lambda x: convolve(x, FILTER)
    ),
    "jnp.convolve of two sequences": Refused(
        lambda x: jnp.convolve(x, jnp.sin(x)), "v[None, None, ::-1]", lambda x: convolve(x, jnp.sin(x))
    ),
    'jnp.convolve(mode="valid")': Refused(
        lambda x: jnp.convolve(x, FILTER, "valid"),
        'no `jnp.pad` for `mode="valid"`',
        lambda x: convolve(x, FILTER, is_full=False),
        shortest=3,
    ),
    "jnp.correlate": Refused(
        lambda x: jnp.correlate(x, FILTER, "full"), "`v[None, None]` for", lambda x: convolve(x, FILTER[::-1])
    ),
    "jax.scipy.signal.fftconvolve": Refused(
        lambda x: jsp.signal.fftconvolve(x, FILTER), "`jax.lax.conv_general_dilated", lambda x: convolve(x, FILTER)
    ),
    "jnp.linspace": Refused(
        lambda x: x * jnp.linspace(1, 3, x.shape[0]),
        "`start + (stop - start) * jnp.arange(n)",
        lambda x: x * linspace(1, 3, x.shape[0]),
    ),
    "jnp.arange of floats": Refused(
        lambda x: x * jnp.arange(1.0, x.shape[0] + 1),
        "`1.0 + jnp.arange(x.shape[0])`",
        lambda x: x * (1.0 + jnp.arange(x.shape[0])),
    ),
    'jnp.pad(mode="wrap")': Refused(
        lambda x: jnp.pad(x, 2, mode="wrap"),
        "`x[jnp.arange(-n, x.shape[0] + n) % x.shape[0]]`",
        lambda x: x[jnp.arange(-2, x.shape[0] + 2) % x.shape[0]],
    ),
    'jnp.take(mode="wrap")': Refused(
        lambda x: jnp.take(x, jnp.array([3, -7]), mode="wrap"),
        "`x[i % x.shape[0]]`",
        lambda x: x[jnp.array([3, -7]) % x.shape[0]],
    ),
    "jax.random.permutation": Refused(
        lambda x: jax.random.permutation(KEY, x),
        "`x[jnp.argsort(jax.random.uniform(key, (x.shape[0],)))]`",
        lambda x: x[jnp.argsort(jax.random.uniform(KEY, (x.shape[0],)))],
        is_random=True,
    ),
    "jax.random.choice(replace=False)": Refused(
        lambda x: jax.random.choice(KEY, x, (2,), replace=False),
        "`x[jnp.argsort(jax.random.uniform(key, (x.shape[0],)))[:n]]`",
        lambda x: x[jnp.argsort(jax.random.uniform(KEY, (x.shape[0],)))[:2]],
        is_random=True,
        shortest=2,
    ),
    "jnp.fft.irfft(n=x.shape[0])": Refused(
        lambda x: jnp.fft.irfft(jnp.fft.rfft(x), n=x.shape[0]),
        '`jax.lax.fft(y, "irfft", (x.shape[0],))`',
        lambda x: lax.fft(jnp.fft.rfft(x), "irfft", (x.shape[0],)),
    ),
    "jax.scipy.fft.dct": Refused(lambda x: jsp.fft.dct(x), "`2 * jnp.cos(jnp.pi * k[:, None]", dct),
    "jnp.linalg.matrix_rank": Refused(
        lambda x: jnp.linalg.matrix_rank(gram(x)),
        "`(jnp.linalg.svd(x, compute_uv=False) > tolerance).sum()`",
        lambda x: (jnp.linalg.svd(gram(x), compute_uv=False) > 1e-4).sum(),
    ),
    "jax.debug.print": Refused(
        lambda x: (jax.debug.print("{}", x), 2 * x)[1], "Return the array beside the result", lambda x: 2 * x
    ),
    "the gradient of jnp.linalg.det": Refused(
        lambda x: jnp.linalg.det(gram(x)),
        "`sign, log = jnp.linalg.slogdet(a)`",
        slogdet,
        of_gradient=True,
    ),
    "jnp.linalg.svd with the whole basis": Refused(
        lambda x: jnp.linalg.svd(x[:, None])[1],
        "`full_matrices=False`",
        lambda x: jnp.linalg.svd(x[:, None], full_matrices=False)[1],
    ),
    "jnp.linalg.eig": Refused(
        lambda x: jnp.linalg.eigvals(gram(x)).real.sum(),
        "`jm.def_vmap_rule('eig', rule)`",
        lambda x: jnp.linalg.eigvalsh(gram(x)).sum(),
    ),
}
