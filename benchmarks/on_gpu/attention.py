"""Self-attention over padded and over packed rows: jmask, `jax.nn`, and PyTorch's SDPA, FlexAttention and varlen."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rivals.task import lognormal_lengths

import jmask as jm

from .case import Case, Rival, in_jax, in_torch

TOLERANCES = {"float32": 2e-2, "bfloat16": 5e-2}  # float32 is multiplied as TF32 by default


@dataclasses.dataclass(frozen=True)
class Work:
    """A batch of queries, keys and values `(batch, time, heads, features)`; 35% real, or whatever `fill` says."""

    batch: int
    time: int
    heads: int
    features: int
    dtype: str
    fill: float = 0.35
    sequences: int = 1  # in a row; several fill the row
    causal: bool = False
    training: bool = True

    @property
    def title(self) -> str:
        """For the report."""
        rows = f"{self.sequences} packed sequences a row" if self.sequences > 1 else f"padded, {self.fill:.0%} real"
        kind = "forward and backward" if self.training else "forward"
        size = f"batch {self.batch}, {self.time} steps, {self.heads} heads of {self.features}, {self.dtype}"
        return f"Attention, {size}, {rows}{', causal' if self.causal else ''}, {kind}"

    def segment_ids(self) -> np.ndarray:
        """`(batch, time)`, 0 at padding."""
        if self.sequences > 1:
            return np.broadcast_to(np.arange(self.time) * self.sequences // self.time + 1, (self.batch, self.time))
        lengths = lognormal_lengths(np.random.default_rng(0), self.batch, self.time, self.fill)
        return (np.arange(self.time) < lengths[:, None]).astype(np.int32)

    def arrays(self) -> list[np.ndarray]:
        """Queries, keys, values, and the gradient of the result; float32, 0 at padding."""
        rng, shape = np.random.default_rng(1), (self.batch, self.time, self.heads, self.features)
        real = (self.segment_ids() > 0)[..., None, None]
        return [np.where(real, rng.normal(size=shape), 0).astype(np.float32) for _ in range(4)]


SMALL = [Work(2, 32, 2, 8, "float32"), Work(2, 32, 2, 8, "float32", sequences=4, causal=True, training=False)]
WORKS = [
    Work(8, 2048, 16, 64, "bfloat16"),
    Work(8, 2048, 16, 64, "bfloat16", fill=0.1),
    Work(8, 2048, 16, 64, "bfloat16", fill=1.0),
    Work(8, 2048, 16, 64, "bfloat16", sequences=4),
    Work(8, 2048, 16, 64, "bfloat16", causal=True),
    Work(32, 512, 8, 64, "bfloat16"),
    Work(8, 2048, 16, 64, "float32"),
    Work(8, 2048, 16, 64, "bfloat16", training=False),
    Work(2, 8192, 16, 64, "bfloat16", sequences=8),
]


def cases(works: list[Work], implementations: list[str | None]) -> Iterator[Case]:
    """One case for each piece of work."""
    for work in works:
        yield Case(work.title, lambda w=work: _expected(w), TOLERANCES[work.dtype], _makers(work, implementations))


def _makers(work: Work, implementations: list[str | None]) -> Mapping[str, Callable[[], Rival]]:
    def jmask(implementation: str | None) -> Callable[..., Any]:
        return lambda q, k, v, ids: _jmask(work, implementation, q, k, v, ids)

    named = {f"jmask, {name!r}" if name else "jmask": jmask(name) for name in implementations}
    named |= {
        "jax.nn, a mask": lambda *args: _jax_nn(work, "xla", *args),
        "jax.nn, a mask, cuDNN": lambda *args: _jax_nn(work, "cudnn", *args),
        "jax.nn, lengths, cuDNN": lambda *args: _by_lengths(work, *args),
    }
    makers = {name: lambda n=name, f=function: _in_jax(work, n, f) for name, function in named.items()}
    torch = {"PyTorch SDPA, a mask": _sdpa, "PyTorch FlexAttention": _flex, "PyTorch varlen": _varlen}
    return makers | {name: lambda n=name, f=make: _in_torch(work, n, f) for name, make in torch.items()}


def _expected(work: Work) -> Mapping[str, np.ndarray]:
    """In float32, exactly multiplied, and row by row for the sake of memory."""
    *qkv, gradient = work.arrays()
    dtype = jnp.dtype(work.dtype)
    qkv = [np.asarray(jnp.asarray(x).astype(dtype).astype(jnp.float32)) for x in qkv]
    function = jax.jit(_results(work, lambda *args: _jax_nn(work, "xla", *args)))
    rows = []
    with jax.default_matmul_precision("highest"):
        for row in range(work.batch):
            of = slice(row, row + 1)
            arrays = [jnp.asarray(x[of]) for x in (*qkv, gradient)]
            rows.append([np.asarray(x) for x in function(*arrays, jnp.asarray(work.segment_ids()[of]))])
    return _read(work, [np.concatenate(parts) for parts in zip(*rows, strict=True)])


def _read(work: Work, results: Any) -> Mapping[str, np.ndarray]:
    names, real = ("outputs", "query", "key", "value"), work.segment_ids() > 0
    return {name: np.asarray(x, np.float32)[real] for name, x in zip(names, results, strict=False)}


def _results(work: Work, attention: Callable[..., Any]) -> Callable[..., Any]:
    """Outputs, and for training the gradients by queries, keys and values."""

    def run(q: Any, k: Any, v: Any, gradient: Any, ids: Any) -> Any:
        if not work.training:
            return (attention(q, k, v, ids),)
        outputs, backward = jax.vjp(lambda q, k, v: attention(q, k, v, ids), q, k, v)
        return (outputs, *backward(gradient.astype(outputs.dtype)))

    return run


def _in_jax(work: Work, name: str, attention: Callable[..., Any]) -> Rival:
    arrays = [jnp.asarray(x).astype(work.dtype) for x in work.arrays()]
    ids = jnp.asarray(work.segment_ids(), jnp.int32)
    return in_jax(name, _results(work, attention), (*arrays, ids), lambda results: _read(work, results))


def _jmask(work: Work, implementation: str | None, q: Any, k: Any, v: Any, ids: Any) -> Any:
    first = jm.from_segment_ids(q, ids) if work.sequences > 1 else jm.masked(q, ids > 0)
    key, value = (first.with_values(x) for x in (k, v))
    told = {} if implementation is None else {"implementation": implementation}
    return jm.ops.attention(first, key=key, value=value, causal=work.causal, **told).values


def _jax_nn(work: Work, implementation: Any, q: Any, k: Any, v: Any, ids: Any) -> Any:
    mask = ids[:, None, :, None] == ids[:, None, None, :]  # padding sees padding, so that no row is empty
    return jax.nn.dot_product_attention(q, k, v, mask=mask, is_causal=work.causal, implementation=implementation)


def _by_lengths(work: Work, q: Any, k: Any, v: Any, ids: Any) -> Any:
    if work.sequences > 1:
        raise ValueError("takes one sequence a row")
    told = dict.fromkeys(("query_seq_lengths", "key_value_seq_lengths"), (ids > 0).sum(1, dtype=jnp.int32))
    return jax.nn.dot_product_attention(q, k, v, is_causal=work.causal, implementation="cudnn", **told)


def _in_torch(work: Work, name: str, make: Callable[..., Any]) -> Rival:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = getattr(torch, work.dtype)
    q, k, v, gradient = (torch.tensor(x).to(device, dtype).transpose(1, 2).contiguous() for x in work.arrays())
    ids = torch.tensor(np.array(work.segment_ids())).to(device)
    attention, (q, k, v, gradient), back = make(work, ids, q, k, v, gradient)
    leaves = [x.requires_grad_(work.training) for x in (q, k, v)]

    def run() -> Any:
        outputs = attention(*leaves)
        return (outputs, *(torch.autograd.grad(outputs, leaves, gradient) if work.training else ()))

    def read(results: Any) -> Any:
        return _read(work, [back(x.detach()).float().cpu().numpy() for x in results])

    return in_torch(name, run, read)


def _time_first(x: Any) -> Any:
    return x.transpose(1, 2)


def _sdpa(work: Work, ids: Any, *arrays: Any) -> Any:
    import torch

    mask = ids[:, None, :, None] == ids[:, None, None, :]
    mask = mask.tril() if work.causal else mask
    return lambda q, k, v: torch.nn.functional.scaled_dot_product_attention(q, k, v, mask), arrays, _time_first


def _flex(work: Work, ids: Any, *arrays: Any) -> Any:
    """The block mask is made beforehand, outside of the time."""
    import torch
    from torch.nn.attention import flex_attention as flex

    def sees(row: Any, head: Any, q: Any, k: Any) -> Any:
        seen = (ids[row, q] == ids[row, k]) & (ids[row, q] > 0)
        return seen & (q >= k) if work.causal else seen

    blocks = flex.create_block_mask(sees, work.batch, None, work.time, work.time, device=str(ids.device))
    run = torch.compile(flex.flex_attention, dynamic=False) if ids.is_cuda else flex.flex_attention
    return lambda q, k, v: run(q, k, v, block_mask=blocks), arrays, _time_first


def _varlen(work: Work, ids: Any, *arrays: Any) -> Any:
    """The real steps alone, one after the other, made beforehand."""
    import torch
    from torch.nn.attention.varlen import varlen_attn

    real = ids > 0
    numbers = torch.arange(work.batch, device=ids.device)[:, None] * (work.sequences + 1) + ids
    counts = torch.unique_consecutive(numbers[real], return_counts=True)[1]
    ends = torch.nn.functional.pad(counts.cumsum(0), (1, 0)).to(torch.int32)
    longest = int(counts.max())
    flat = [x.transpose(1, 2)[real].contiguous() for x in arrays]

    def attention(q: Any, k: Any, v: Any) -> Any:
        told = {"window_size": (-1, 0)} if work.causal else {}
        return varlen_attn(q, k, v, ends, ends, longest, longest, **told)

    def back(x: Any) -> Any:
        out = x.new_zeros(*ids.shape, *x.shape[1:])
        out[real] = x
        return out

    return attention, flat, back
