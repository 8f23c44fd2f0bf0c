"""jmask on this device against each sequence alone, without padding, with everything multiplied exactly."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jmask as jm

from .case import Case, Rival, in_jax

TOLERANCE = 2e-5  # float32
LENGTHS, TIME = (130, 0, 7, 256, 64), 256


def cases(implementations: list[str | None]) -> Iterator[Case]:
    """Attention and the recurrent layers: outputs, and gradients of the inputs, padded and packed, NaN in padding."""
    for packed in (False, True):
        for name, (features, functions) in _functions(implementations).items():
            sequences, first = _sequences(features), next(iter(functions.values()))
            where = "packed" if packed else "padded"
            yield Case(
                f"Exact: {name}, {where}",
                lambda f=first, s=sequences: _alone(f, s),
                TOLERANCE,
                {key: lambda k=key, f=f, s=sequences, p=packed: _batched(k, f, s, p) for key, f in functions.items()},
            )


def _functions(implementations: list[str | None]) -> Mapping[str, tuple[tuple[int, ...], dict[str, Callable]]]:
    """By name: the shape of a step, and functions of a batch, the first of which is run on each sequence alone."""
    rng = np.random.default_rng(0)
    kernels = [jnp.asarray(rng.normal(size=(32, 4 * 32)) / 6, jnp.float32) for _ in range(2)]
    lstm = jm.rnn.LSTMParams(*kernels, jnp.zeros(4 * 32))

    def attend(implementation: str | None, causal: bool) -> Callable[[Any], Any]:
        told = {} if implementation is None else {"implementation": implementation}
        return lambda x: jm.ops.attention(x, key=x, value=x, causal=causal, **told)

    found = {}
    for causal in (False, True):
        name = "causal attention" if causal else "attention"
        found[name] = (4, 32), {f"{name}, {i!r}": attend(i, causal) for i in (None, *implementations[1:])}
    found["LSTM"] = (
        (32,),
        {
            f"LSTM, {i!r}": lambda x, i=i: jm.rnn.lstm(lstm, x, return_state=False, implementation=i)
            for i in ("scan", "xla", "auto")
        },
    )
    return found


def _sequences(features: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(size=(length, *features)).astype(np.float32) for length in LENGTHS]


def _results(function: Callable[[Any], Any]) -> Callable[..., Any]:
    """The outputs, and the gradient of a sum that weights each entry differently."""

    def run(x: Any) -> Any:
        def loss(values: Any) -> Any:
            y = jm.as_masked(function(x.with_values(values) if isinstance(x, jm.Masked) else values))
            y = y.fill(0)
            return (y * jnp.sin(jnp.arange(y.shape[-1]))).sum(), y

        with jax.default_matmul_precision("highest"):
            (_, outputs), gradient = jax.value_and_grad(loss, has_aux=True)(jm.as_masked(x).values)
        return outputs, gradient

    return run


def _alone(function: Callable[[Any], Any], sequences: list[np.ndarray]) -> Mapping[str, np.ndarray]:
    run = _results(function)
    parts = [run(jnp.asarray(sequence)[None]) for sequence in sequences if len(sequence)]
    return {
        name: np.concatenate([np.asarray(part[i])[0] for part in parts]) for i, name in enumerate(("outputs", "inputs"))
    }


def _batched(name: str, function: Callable[[Any], Any], sequences: list[np.ndarray], packed: bool) -> Rival:
    batch = jm.pack(sequences, row_length=TIME) if packed else jm.pad_sequences(sequences, TIME)
    values = np.where(np.asarray(batch.mask).reshape(*batch.mask.shape, *(1,) * (batch.ndim - 2)), batch.values, np.nan)
    batch = jax.tree.map(jnp.asarray, batch.with_values(values))

    def read(results: Any) -> Mapping[str, np.ndarray]:
        found = zip(("outputs", "inputs"), results, strict=True)
        return {key: np.concatenate(_in_order(batch, np.asarray(array), packed)) for key, array in found}

    return in_jax(name, _results(function), (batch,), read)


def _in_order(batch: Any, array: np.ndarray, packed: bool) -> list[np.ndarray]:
    x = batch.with_values(array)
    return jm.unpack(x, num_sequences=len(LENGTHS)) if packed else jm.unpad(x)
