"""Masked arrays for tests: with garbage at padded positions, and a look at what each promises."""

import jax.numpy as jnp
import numpy as np

import jmask as jm

GARBAGE = np.array([np.nan, np.inf, -np.inf, 1e30, 0.0, -7.0], np.float32)


def broadcast_mask(x):
    """The mask of `x`, one flag for each value."""
    mask = np.asarray(x.mask)
    return np.broadcast_to(mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim)), x.shape)


def checked(x):
    """`x`, after a look at what every `Masked` promises: a bool mask, a prefix of the shape."""
    assert isinstance(x, jm.Masked)
    assert x.mask.dtype == bool
    assert tuple(x.mask.shape) == tuple(x.shape[: x.mask.ndim])
    return x


def garbage_at(mask, values):
    """The values with NaN, inf, 0 and huge numbers, in turn, where the mask, which broadcasts, is False."""
    values, padded = values.copy(), ~np.broadcast_to(mask, values.shape)
    values[padded] = np.resize(GARBAGE, padded.sum())
    return values


def ragged(rng, lengths=(3, 0, 5), time=5, features=2, side="right"):
    """A `Masked` of random numbers, `(batch, time, features)`, with garbage at padded positions."""
    steps = np.arange(time) if side == "right" else np.arange(time)[::-1]
    mask = steps < np.array(lengths)[:, None]
    values = rng.uniform(0.5, 2.0, (len(lengths), time, features)).astype(np.float32)
    return jm.masked(jnp.asarray(garbage_at(mask[..., None], values)), jnp.asarray(mask))
