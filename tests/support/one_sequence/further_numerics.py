"""Further functions of one sequence: statistics, signals, series of prices and of times, and plain numerics."""

import jax
import jax.numpy as jnp
import jax.scipy as jsp
import numpy as np
from jax import lax

from tests.support.one_sequence.functions import Case, scalar, vector


def skewness(x):
    centred = x - x.mean(0)
    return (centred**3).mean(0) / ((centred**2).mean(0) + 1e-3) ** 1.5


def spearman(x):
    a, b = (jnp.argsort(jnp.argsort(x[:, i])) for i in (0, 1))
    return jnp.corrcoef(a, b)[0, 1]


def kendall(x):
    a, b = (jnp.sign(x[:, i][:, None] - x[:, i]) for i in (0, 1))
    return (a * b).sum() / (x.shape[0] * (x.shape[0] - 1))


def gini(x):
    ordered = jnp.sort(x)
    return 2 * (jnp.arange(1, x.shape[0] + 1) * ordered).sum() / (x.shape[0] * x.sum()) - (x.shape[0] + 1) / x.shape[0]


def trimmed_mean(x):
    ranks, n = jnp.argsort(jnp.argsort(x)), x.shape[0]
    keep = (ranks >= n // 4) & (ranks < n - n // 4)
    return jnp.where(keep, x, 0).sum() / keep.sum()


def kernel_density(x):
    grid = jnp.linspace(-2, 2, 5)
    return jnp.exp(-0.5 * ((grid[:, None] - x) / 0.5) ** 2).mean(1)


def gradient_descent(w, x):
    """Three steps of a linear regression on the sequence."""

    def loss(beta):
        return ((x[:, :2] @ beta - x[:, 2]) ** 2).mean()

    return lax.fori_loop(0, 3, lambda _, beta: beta - 0.1 * jax.grad(loss)(beta), jnp.zeros(2))


def logistic_newton(x):
    labels = x[:, 0] > 0

    def step(beta, _):
        p = jax.nn.sigmoid(x[:, 1:] @ beta)
        hessian = (x[:, 1:].T * (p * (1 - p))) @ x[:, 1:] + jnp.eye(2)
        return beta + jnp.linalg.solve(hessian, x[:, 1:].T @ (labels - p) - beta), None

    return lax.scan(step, jnp.zeros(2), None, length=3)[0]


def frames(x, size=3, hop=1):
    starts = jnp.arange((x.shape[0] - size) // hop + 1) * hop
    return x[starts[:, None] + jnp.arange(size)]


def stft(x):
    return jnp.abs(jnp.fft.rfft(frames(x) * jnp.hanning(3), axis=-1)) ** 2


def mel(x):
    bank = jnp.array([[1.0, 0.5], [0.2, 1.0]])
    return jnp.log(stft(x) @ bank + 1e-3)


def autocorrelation(x):
    """By the transform of the sequence with as many zeros behind it."""
    centred = x - x.mean()
    spectrum = jnp.fft.fft(jnp.concatenate([centred, jnp.zeros_like(x)]))
    return jnp.fft.ifft(jnp.abs(spectrum) ** 2).real[: x.shape[0]]


def exponential_average(x):
    return lax.scan(lambda m, v: (0.9 * m + 0.1 * v, 0.9 * m + 0.1 * v), x[0], x)[1]


def garch(x):
    def step(variance, r):
        likelihood = -0.5 * (jnp.log(variance) + r**2 / variance)
        return 0.1 + 0.2 * r**2 + 0.7 * variance, likelihood

    return lax.scan(step, x.var() + 0.1, x)[1].sum()


def arma(x):
    def step(carry, y):
        last, error = carry
        residual = y - 0.5 * last - 0.3 * error
        return (y, residual), residual**2

    return lax.scan(step, (0.0, 0.0), x)[1].sum()


def hawkes(x):
    times = jnp.cumsum(x)
    lags = times[:, None] - times
    excitation = jnp.where(lags > 0, jnp.exp(-jnp.where(lags > 0, lags, 0)), 0).sum(1)
    compensator = 0.5 * times[-1] + 0.3 * (1 - jnp.exp(-(times[-1] - times))).sum()
    return jnp.log(0.5 + 0.3 * excitation).sum() - compensator


def holt(x):
    def step(carry, y):
        level, trend = carry
        new = 0.5 * y + 0.5 * (level + trend)
        return (new, 0.3 * (new - level) + 0.7 * trend), new

    return lax.scan(step, (x[0], 0.0), x)


def drawdown(x):
    wealth = jnp.cumprod(1 + 0.1 * x)
    return (1 - wealth / lax.cummax(wealth)).max()


def rolling_mean(x, window=3):
    total = jnp.concatenate([jnp.zeros(1), jnp.cumsum(x)])
    last = jnp.arange(1, x.shape[0] + 1)
    first = jnp.maximum(last - window, 0)
    return (total[last] - total[first]) / (last - first)


def euler(w, x):
    """An equation of motion, driven by the sequence."""
    return lax.scan(lambda y, u: (y + 0.1 * jnp.tanh(y @ w["u"] + u), y), w["b"], x)


def runge_kutta(w, x):
    def field(y, u):
        return jnp.tanh(y @ w["u"] + u)

    def step(y, u):
        k1 = field(y, u)
        k2 = field(y + 0.05 * k1, u)
        return y + 0.1 * k2, y

    return lax.scan(step, w["b"], x)


def run_lengths(ids):
    begins = jnp.concatenate([jnp.ones(1, bool), ids[1:] != ids[:-1]])
    group = jnp.cumsum(begins) - 1
    return jax.ops.segment_sum(jnp.ones_like(ids), group, num_segments=6)


def first_occurrences(ids):
    same = ids[:, None] == ids
    return ~(same & jnp.tril(jnp.ones(same.shape, bool), -1)).any(1)


STATISTICS = {
    "median": vector(lambda x: jnp.median(x, axis=0)),
    "quantile, all methods": scalar(
        lambda x: [jnp.quantile(x, 0.3, method=m) for m in ("lower", "higher", "nearest", "midpoint")]
    ),
    "percentiles": scalar(lambda x: jnp.percentile(x, jnp.array([10.0, 50.0, 95.0]))),
    "nanmedian": scalar(jnp.nanmedian),
    "histogram": scalar(lambda x: jnp.histogram(x, bins=jnp.linspace(-2, 2, 5))[0], has_gradient=False),
    "histogram of a range": scalar(lambda x: jnp.histogram(x, bins=4, range=(-2, 2))[0], has_gradient=False),
    "histogram of bins from the data": scalar(lambda x: jnp.histogram(x, bins=4)[0], has_gradient=False),
    "digitize": scalar(lambda x: jnp.digitize(x, jnp.array([-1.0, 0.0, 1.0])), has_gradient=False),
    "corrcoef": vector(lambda x: jnp.corrcoef(x, rowvar=False), shortest=3),
    "cov, weights": vector(lambda x: jnp.cov(x, rowvar=False, bias=True)),
    "skewness": vector(skewness),
    "kurtosis": vector(lambda x: ((x - x.mean(0)) ** 4).mean(0) / (x.var(0) + 1e-3) ** 2),
    "Spearman": vector(spearman, shortest=2, has_gradient=False),
    "Kendall": vector(kendall, shortest=2, has_gradient=False),
    "Gini": scalar(gini, is_positive=True),
    "trimmed mean": scalar(trimmed_mean),
    "median absolute deviation": scalar(lambda x: jnp.median(jnp.abs(x - jnp.median(x))), has_gradient=False),
    "kernel density": scalar(kernel_density),
    "entropy": scalar(lambda x: -(x / x.sum() * jnp.log(x / x.sum())).sum(), is_positive=True),
    "Wasserstein": vector(lambda x: jnp.abs(jnp.sort(x[:, 0]) - jnp.sort(x[:, 1])).mean()),
    "rankdata": scalar(jsp.stats.rankdata, has_gradient=False),
    "mode": scalar(lambda x: jnp.bincount(x, length=5).argmax(), dtype="int32", has_gradient=False),
    "principal components": vector(lambda x: jnp.linalg.eigvalsh(jnp.cov(x, rowvar=False)), shortest=5),
    "ridge": vector(lambda x: jnp.linalg.solve(x.T @ x + jnp.eye(3), x.T @ x[:, 0])),
    "gradient descent": Case(gradient_descent),
    "logistic regression": vector(logistic_newton),
    "log-likelihood": scalar(lambda x: jsp.stats.norm.logpdf(x, x.mean(), 1.0).sum()),
    "z-score": scalar(lambda x: (x - x.mean()) / (x.std() + 0.1)),
}
SIGNALS = {
    "frames": scalar(frames, shortest=3),
    "STFT": scalar(stft, shortest=3),
    "mel": scalar(mel, shortest=3),
    "periodogram": scalar(lambda x: jnp.abs(jnp.fft.rfft(x - x.mean())) ** 2 / x.shape[0]),
    "autocorrelation": scalar(autocorrelation),
    "detrend": scalar(lambda x: jsp.signal.detrend(x, type="constant")),
    "fftfreq": scalar(lambda x: jnp.abs(jnp.fft.fft(x)) * jnp.abs(jnp.fft.fftfreq(x.shape[0]))),
    "fftshift": scalar(lambda x: jnp.fft.fftshift(x)),
    "irfft, default": scalar(lambda x: jnp.fft.irfft(x), shortest=2),
    "fft of n": scalar(lambda x: jnp.abs(jnp.fft.fft(x, n=8)) ** 2),
    "hfft": scalar(lambda x: jnp.fft.hfft(x), shortest=2),
    "fft2 of pairs": scalar(lambda x: jnp.abs(jnp.fft.fft2(x[:, None] * x)) ** 2),
    "fft2 of time and features": vector(lambda x: jnp.abs(jnp.fft.fft2(x)) ** 2),
    "zero crossings": scalar(lambda x: (x[1:] * x[:-1] < 0).sum(), has_gradient=False),
    "energy operator": scalar(lambda x: x[1:-1] ** 2 - x[2:] * x[:-2], shortest=3),
    "pre-emphasis": scalar(lambda x: jnp.append(x[:1], x[1:] - 0.97 * x[:-1])),
    "unwrap": scalar(lambda x: jnp.unwrap(4 * x), has_gradient=False),
    "pad, reflect": scalar(lambda x: jnp.pad(x, 2, mode="reflect"), shortest=3),
    "pad, symmetric": scalar(lambda x: jnp.pad(x, 2, mode="symmetric"), shortest=2),
    "pad, edge": scalar(lambda x: jnp.pad(x, 2, mode="edge")),
    "pad, mean": scalar(lambda x: jnp.pad(x, 2, mode="mean")),
    "pad, maximum": scalar(lambda x: jnp.pad(x, 2, mode="maximum")),
    "pad, linear_ramp": scalar(lambda x: jnp.pad(x, 2, mode="linear_ramp")),
    "roll by a number of the data": scalar(lambda x: jnp.roll(x, x.argmax())),
    "roll by minus five": scalar(lambda x: jnp.roll(x, -5)),
}
SERIES = {
    "exponential average": scalar(exponential_average),
    "GARCH": scalar(garch),
    "ARMA": scalar(arma),
    "Hawkes": scalar(hawkes, is_positive=True),
    "Holt": scalar(holt),
    "drawdown": scalar(drawdown),
    "rolling mean": scalar(rolling_mean),
    "log returns": scalar(lambda x: jnp.diff(jnp.log(x)), is_positive=True),
    "CUSUM": scalar(lambda x: lax.scan(lambda s, v: (jnp.maximum(0, s + v - 0.1),) * 2, 0.0, x)[1]),
    "Durbin-Watson": scalar(lambda x: (jnp.diff(x) ** 2).sum() / (x**2).sum()),
    "autoregression": scalar(lambda x: (x[1:] @ x[:-1]) / (x[:-1] @ x[:-1] + 0.1)),
    "lags": scalar(lambda x: jnp.stack([jnp.roll(x, i) for i in range(3)], -1)),
    "Sharpe": scalar(lambda x: x.mean() / (x.std() + 0.1) * jnp.sqrt(x.shape[0])),
    "time since": scalar(
        lambda x: jnp.arange(x.shape[0]) - lax.cummax(jnp.where(x > 0, jnp.arange(x.shape[0]), 0)), has_gradient=False
    ),
    "discounted return": scalar(lambda x: lax.scan(lambda g, r: (r + 0.9 * g,) * 2, 0.0, x, reverse=True)[1]),
    "generalised advantage": scalar(
        lambda x: lax.scan(lambda a, d: (d + 0.9 * a,) * 2, 0.0, x[:-1] + 0.9 * x[1:] - x[:-1], reverse=True)[1]
    ),
}
NUMERICS = {
    "trapezoid": scalar(jnp.trapezoid),
    "trapezoid over times": scalar(lambda x: jnp.trapezoid(x**2, jnp.cumsum(x)), is_positive=True),
    "gradient": scalar(jnp.gradient, shortest=2),
    "gradient of two axes": vector(lambda x: jnp.gradient(x, axis=0), shortest=2),
    "interp of the sequence": scalar(lambda x: jnp.interp(x, jnp.array([-1.0, 0.0, 1.0]), jnp.array([2.0, 5.0, 3.0]))),
    "polyval": scalar(lambda x: jnp.polyval(x, 0.5)),
    "second differences": scalar(lambda x: jnp.diff(x, n=2), shortest=3),
    "ediff1d": scalar(jnp.ediff1d),
    "meshgrid": scalar(lambda x: jnp.meshgrid(x, x)[0]),
    "vander": scalar(lambda x: jnp.vander(x, 3)),
    "cross": vector(lambda x: jnp.cross(x[1:], x[:-1])),
    "norms": vector(lambda x: jnp.linalg.norm(x, axis=1)),
    "log-determinant": vector(lambda x: jnp.linalg.slogdet(x @ x.T + jnp.eye(x.shape[0]))[1]),
    "inverse": vector(lambda x: jnp.linalg.inv(x @ x.T + jnp.eye(x.shape[0]))),
    "solve": vector(lambda x: jnp.linalg.solve(x @ x.T + jnp.eye(x.shape[0]), x)),
    "cho_solve": vector(lambda x: jsp.linalg.cho_solve(jsp.linalg.cho_factor(x @ x.T + jnp.eye(x.shape[0])), x)),
    "eigenvalues": vector(lambda x: jnp.linalg.eigvalsh(x @ x.T + jnp.diag(jnp.arange(x.shape[0]) + 1.0))),
    "eigh": vector(
        lambda x: (lambda w, v: (v * w**2) @ v.T)(*jnp.linalg.eigh(x @ x.T + jnp.diag(jnp.arange(x.shape[0]) + 1.0)))
    ),
    "singular values": vector(
        lambda x: jnp.linalg.svd(x @ x.T + jnp.diag(jnp.arange(x.shape[0]) + 1.0), compute_uv=False)
    ),
    "svd": vector(lambda x: jnp.linalg.svd(x, full_matrices=False)[1], shortest=3),
    "svd, vectors": vector(
        lambda x: (lambda u, s, v: (u * s**2) @ v)(*jnp.linalg.svd(x, full_matrices=False)), shortest=3
    ),
    "qr": vector(lambda x: jnp.linalg.qr(x)[1] ** 2, shortest=3),
    "qr, both": vector(lambda x: [jnp.abs(y) for y in jnp.linalg.qr(x)], shortest=3),
    "qr of a square": vector(lambda x: jnp.abs(jnp.linalg.qr(x @ x.T + jnp.diag(jnp.arange(x.shape[0]) + 1.0))[1])),
    "lstsq": vector(lambda x: jnp.linalg.lstsq(x[:, :2], x[:, 2])[0], shortest=3),
    "pinv": vector(lambda x: jnp.linalg.pinv(x), shortest=3),
    "matrix_power": vector(lambda x: jnp.linalg.matrix_power(x @ x.T / 9, 3)),
    "expm": vector(lambda x: jsp.linalg.expm(x @ x.T / 20), has_gradient=False),
    "lu": vector(lambda x: jsp.linalg.lu_factor(x @ x.T + jnp.diag(jnp.arange(x.shape[0]) + 1.0))[0]),
    "cg": vector(lambda x: jsp.sparse.linalg.cg(lambda v: x @ (x.T @ v) + 9 * v, x[:, 0], maxiter=20)[0]),
    "Euler": Case(euler),
    "Runge-Kutta": Case(runge_kutta),
    "run lengths": scalar(run_lengths, dtype="int32", has_gradient=False),
    "first occurrences": scalar(first_occurrences, dtype="int32", has_gradient=False),
    "nonzero, size": scalar(lambda x: jnp.nonzero(x > 0, size=4, fill_value=9)[0], has_gradient=False),
    "unique, size": scalar(lambda x: jnp.unique(x, size=4, fill_value=9), dtype="int32", has_gradient=False),
    "choice": scalar(lambda x: jax.random.choice(jax.random.key(0), x, (3,)), has_gradient=False),
    "one past": scalar(lambda x: x[jnp.arange(x.shape[0]) + 1]),
    "three": scalar(lambda x: x[jnp.array([3])]),
    "split": scalar(lambda x: jnp.split(x, [1])[1]),
    "array_split": scalar(lambda x: jnp.array_split(x, [1, 2])[1], shortest=3),
    "insert": scalar(lambda x: jnp.insert(x, 1, 7.0)),
    "delete": scalar(lambda x: jnp.delete(x, 0)),
    "compress": scalar(lambda x: jnp.where(x > 0, size=3, fill_value=0)[0], has_gradient=False),
    "rot90": vector(jnp.rot90),
    "triu_indices": vector(lambda x: (x @ x.T)[np.triu_indices(2)], shortest=2),
}
