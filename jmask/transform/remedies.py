"""What to write instead of JAX functions that need the length of a sequence as a Python number."""

import re

# By the name of the function in the user's line, and a word in the error if the name alone is not enough.
_REMEDIES: tuple[tuple[str, str, str], ...] = (
    (
        "associative_scan",
        "",
        "`jm.ops.associative_scan(fn, x)` for `jax.lax.associative_scan(fn, x)`; `jm.ops.linear_recurrence(a, b)` for "
        "`h = a * h + b`.",
    ),
    (
        "scan",
        "requires a constant",
        "`jax.lax.scan(f, start, x)` takes the length from `x`; where there is none, scan over "
        "`jnp.arange(x.shape[0])`. A wrapper that asks for the length, such as `hk.dynamic_unroll(core, x, state)`, "
        "becomes `jax.lax.scan(lambda state, x: core.apply(params, x, state)[::-1], state, x)`, where `core` is "
        "transformed by itself.",
    ),
    (
        "interp",
        "",
        "`i = jnp.clip((xp[:, None] <= x).sum(0), 1, xp.shape[0] - 1)` and `fp[i - 1] + (jnp.clip(x, xp[0], xp[-1]) - "
        "xp[i - 1]) / (xp[i] - xp[i - 1]) * (fp[i] - fp[i - 1])` for `jnp.interp(x, xp, fp)`, of at least two points.",
    ),
    (
        "searchsorted",
        "",
        '`(a[:, None] < v).sum(0)` for `jnp.searchsorted(a, v)`; `<=` for `side="right"`.',
    ),
    (
        "convolve|fftconvolve|correlate",
        "",
        '`jax.lax.conv_general_dilated(jnp.pad(x, v.shape[0] - 1)[None, None], v[None, None, ::-1], (1,), "VALID")'
        '[0, 0]` for `jnp.convolve(x, v)`; `v[None, None]` for `jnp.correlate(x, v, "full")`; no `jnp.pad` for '
        '`mode="valid"`.',
    ),
    (
        "linspace",
        "",
        "`start + (stop - start) * jnp.arange(n) / jnp.maximum(n - 1, 1)` for `jnp.linspace(start, stop, n)`.",
    ),
    ("arange", "In arange", "`1.0 + jnp.arange(x.shape[0])` for `jnp.arange(1.0, x.shape[0] + 1)`."),
    (
        "permutation|shuffle",
        "",
        "`x[jnp.argsort(jax.random.uniform(key, (x.shape[0],)))]` for `jax.random.permutation(key, x)`.",
    ),
    (
        "choice",
        "",
        "`x[jnp.argsort(jax.random.uniform(key, (x.shape[0],)))[:n]]` for `jax.random.choice(key, x, (n,), "
        "replace=False)`.",
    ),
    ("pad", "mod(", '`x[jnp.arange(-n, x.shape[0] + n) % x.shape[0]]` for `jnp.pad(x, n, mode="wrap")`.'),
    ("take", "", '`x[i % x.shape[0]]` for `jnp.take(x, i, mode="wrap")`.'),
    ("irfft", "", '`jax.lax.fft(y, "irfft", (x.shape[0],))` for `jnp.fft.irfft(y, n=x.shape[0])`.'),
    (
        "dct",
        "",
        "`2 * jnp.cos(jnp.pi * k[:, None] * (2 * k + 1) / (2 * n)) @ x` for `jax.scipy.fft.dct(x)`, where `n = "
        "x.shape[0]` and `k = jnp.arange(n)`.",
    ),
    (
        "matrix_rank",
        "",
        "`(jnp.linalg.svd(x, compute_uv=False) > tolerance).sum()` for `jnp.linalg.matrix_rank(x)`.",
    ),
)


def remedy_for(line: str, message: str) -> str:
    """What to write instead of a line that raised an error; empty if unknown.

    Args:
        line: the user's line.
        message: the error message.
    """
    for names, word, remedy in _REMEDIES:
        if re.search(rf"\b(?:{names})\(", line) and word in message:
            return remedy
    return ""
