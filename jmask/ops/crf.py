"""Linear-chain conditional random fields: the probability of tag sequences, and the most probable one."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from ..core.explicit_axes import divided_by_row, sum_over_steps
from ..core.masked import Masked, like, mask_of, segment_ids_of, values_of
from ..core.segment_ids import sequence_starts
from .kinds import same_kind
from .linear import AnyArray, check_float
from .log_space import log_sum_exp

Logits = Masked | Float[AnyArray, "*batch time tags"]
Transitions = Float[AnyArray, "tags tags"]
Ends = Float[AnyArray, " tags"] | None


@same_kind
def crf_decode(
    logits: Logits, transitions: Transitions, start_transitions: Ends = None, end_transitions: Ends = None
) -> Masked | Int[Array, "*batch time"]:
    """The most probable tag sequence of a linear-chain conditional random field, by the Viterbi algorithm.

    The score of a tag sequence is the sum of the logits of its tags, of the transitions from each tag to the next
    and of those into the first and out of the last; its probability is proportional to the exponential of the score.
    Train the weights with `jm.losses.crf_negative_log_likelihood`.

    Args:
        logits: `(batch, time, tags)`, with a mask `(batch, time)`. Steps separated by padding count as neighbours;
            in packed rows each sequence is decoded on its own.
        transitions: `(tags, tags)`, from the row's tag to the column's tag. -inf forbids one.
        start_transitions: `(tags,)`, into the first tag; None: zeros.
        end_transitions: `(tags,)`, out of the last tag; None: zeros.

    Returns:
        Ids, int32 `(batch, time)`, with the mask of the logits and 0 at padded steps. Ties go to the sequence with the
        lower ids, compared from the last step backwards. An empty row holds no real step; nothing passes a gradient.

    Raises:
        TypeError: the logits are not floats.
        ValueError: shapes do not fit.

    References:
        Viterbi: Error Bounds for Convolutional Codes, IEEE Trans. Inf. Theory 13 (1967).

    >>> import jax.numpy as jnp, jmask as jm
    >>> stay = jnp.array([[0.0, -9.0], [-9.0, 0.0]])
    >>> jm.ops.crf_decode(jnp.array([[[0.0, 2.0], [1.0, 0.0], [0.0, 2.0]]]), stay).tolist()
    [[1, 1, 1]]
    """
    weights = check_crf("crf_decode", logits, transitions, start_transitions, end_transitions)
    tags = _decode(values_of(logits), mask_of(logits), segment_ids_of(logits), *weights)
    return like(logits, tags)


@same_kind
def crf_marginals(
    logits: Logits, transitions: Transitions, start_transitions: Ends = None, end_transitions: Ends = None
) -> Masked | Float[Array, "*batch time tags"]:
    """The marginal probability of each tag at each step, in a linear-chain conditional random field.

    Args:
        logits: `(batch, time, tags)`, with a mask `(batch, time)`. Steps separated by padding count as neighbours;
            in packed rows each sequence is handled on its own.
        transitions: `(tags, tags)`, from the row's tag to the column's tag. -inf forbids one.
        start_transitions: `(tags,)`, into the first tag; None: zeros.
        end_transitions: `(tags,)`, out of the last tag; None: zeros.

    Returns:
        `(batch, time, tags)`, with the mask of the logits and 0 at padded steps. An empty row holds no real step and
        passes no gradient.

    Raises:
        TypeError: the logits are not floats.
        ValueError: shapes do not fit.

    >>> import jax.numpy as jnp, jmask as jm
    >>> stay = jnp.array([[0.0, -jnp.inf], [-jnp.inf, 0.0]])
    >>> jm.ops.crf_marginals(jnp.array([[[0.0, jnp.log(3.0)], [0.0, 0.0]]]), stay).round(2).tolist()
    [[[0.25, 0.75], [0.25, 0.75]]]
    """
    weights = check_crf("crf_marginals", logits, transitions, start_transitions, end_transitions)
    marginals = _marginals(values_of(logits), mask_of(logits), segment_ids_of(logits), *weights)
    return like(logits, marginals)


def check_crf(name: str, logits: Any, transitions: Any, start: Any, end: Any) -> tuple[Any, Any, Any]:
    """The weights, by default zeros, in float32 at least; raises if they do not fit the logits."""
    check_float(logits, name)
    mask = mask_of(logits)
    if logits.ndim < 2 or (mask is not None and mask.ndim != logits.ndim - 1):
        raise ValueError(
            f"`{name}` takes logits (batch, time, tags) with a mask (batch, time); received {tuple(logits.shape)}"
            f"{'' if mask is None else f' with a mask {tuple(mask.shape)}'}."
        )
    tags = logits.shape[-1]
    shapes = [(tags, tags) if transitions is None else tuple(transitions.shape)]
    shapes += [(tags,) if weight is None else tuple(weight.shape) for weight in (start, end)]
    if shapes != [(tags, tags), (tags,), (tags,)]:
        raise ValueError(
            f"`{name}`: logits of {tags} tags need transitions ({tags}, {tags}), start and end transitions ({tags},); "
            f"received {', '.join(map(str, shapes))}. Make them of such logits, "
            "`jm.layers.CRF().init(jax.random.key(0), logits)`."
        )
    wide = jnp.promote_types(logits.dtype, jnp.float32)
    start, end = (jnp.zeros(tags, wide) if weight is None else jnp.asarray(weight, wide) for weight in (start, end))
    return jnp.asarray(transitions, wide), start, end


@jax.jit  # a second eager call compiles nothing
def log_likelihood_of_rows(
    logits: Array, tags: Array, mask: Any, segment_ids: Any, transitions: Array, start: Array, end: Array
) -> tuple[Array, Array]:
    """For each row, the sum over its sequences and their number."""
    terms, begins = divided_by_row(_log_likelihood_terms, logits, tags, mask, segment_ids, transitions, start, end)
    return terms.sum(-1), begins.sum(-1, dtype=jnp.int32)


@functools.partial(jax.jit, static_argnames=("num_sequences",))
def log_likelihood_of_sequences(
    logits: Array,
    tags: Array,
    mask: Any,
    segment_ids: Array,
    transitions: Array,
    start: Array,
    end: Array,
    *,
    num_sequences: int,
) -> Array:
    """For each sequence of packed rows, 0 for those without steps."""
    terms, _ = divided_by_row(_log_likelihood_terms, logits, tags, mask, segment_ids, transitions, start, end)
    return sums_of_sequences(terms, segment_ids, num_sequences)


def sums_of_sequences(terms: Array, segment_ids: Array, num_sequences: int) -> Array:
    """The sum over the steps of each sequence of packed rows, `(num_sequences,)`; padding does not count."""
    owners = jnp.where(segment_ids > 0, segment_ids - 1, num_sequences)

    def sums(terms: Array, owners: Array) -> Array:
        return jax.ops.segment_sum(terms.ravel(), owners.ravel(), num_sequences + 1)[:num_sequences]

    return sum_over_steps(sums, terms, owners)


def _log_likelihood_terms(
    logits: Array, tags: Array, mask: Any, segment_ids: Any, transitions: Array, start: Array, end: Array
) -> tuple[Array, Array]:
    """Terms at each step that add up to the log-likelihood of its sequence, and where sequences begin."""
    mask, begins, ends = _marks(logits, mask, segment_ids)
    wide, tags = _wide(logits, mask), jnp.where(mask, tags, 0)
    partition = _over_rows(_log_partitions, mask.ndim - 1)(wide, mask, begins, ends, transitions, start, end)
    steps = jnp.arange(mask.shape[-1], dtype=jnp.int32)
    seen = lax.cummax(jnp.where(mask, steps, 0), mask.ndim - 1)
    before = jnp.pad(seen, [(0, 0)] * (mask.ndim - 1) + [(1, 0)])[..., :-1]
    previous = jnp.take_along_axis(tags, before, -1, mode="promise_in_bounds")
    own = jnp.take_along_axis(wide, tags[..., None], -1)[..., 0]
    into = jnp.where(begins, start[tags], transitions[previous, tags])
    score = jnp.where(mask, own + into, 0) + jnp.where(ends, end[tags], 0)
    return score - partition, begins


@jax.jit
def _decode(logits: Array, mask: Any, segment_ids: Any, transitions: Array, start: Array, end: Array) -> Array:
    mask, begins, _ = _marks(logits, mask, segment_ids)
    tags = _over_rows(_best_path, mask.ndim - 1)(_wide(logits, mask), mask, begins, transitions, start, end)
    return jnp.where(mask, tags, 0)


@jax.jit
def _marginals(logits: Array, mask: Any, segment_ids: Any, transitions: Array, start: Array, end: Array) -> Array:
    mask, begins, ends = _marks(logits, mask, segment_ids)
    rows = _over_rows(_log_partitions, mask.ndim - 1)
    # The derivative of the log-partition with respect to a logit is the probability of its tag.
    found = jax.grad(lambda x: rows(x, mask, begins, ends, transitions, start, end).sum())(_wide(logits, mask))
    return jnp.where(mask[..., None], found, 0).astype(logits.dtype)


def _marks(logits: Array, mask: Any, segment_ids: Any) -> tuple[Array, Array, Array]:
    """The mask, and where sequences begin and end."""
    mask = jnp.ones(logits.shape[:-1], bool) if mask is None else jnp.asarray(mask)
    ids = mask.astype(jnp.int32) if segment_ids is None else jnp.asarray(segment_ids)
    return mask, sequence_starts(mask, ids), sequence_starts(mask, ids, reverse=True)


def _wide(logits: Array, mask: Array) -> Array:
    return jnp.where(mask[..., None], logits.astype(jnp.promote_types(logits.dtype, jnp.float32)), 0)


def _over_rows(function: Callable, num_axes: int) -> Callable:
    """Maps a function of one row and three weights over the axes before time."""
    for _ in range(num_axes):
        rows = function
        function = lambda *args, rows=rows: jax.vmap(rows, (0,) * (len(args) - 3) + (None,) * 3)(*args)  # noqa: E731
    return function


def _log_partitions(
    logits: Array, mask: Array, begins: Array, ends: Array, transitions: Array, start: Array, end: Array
) -> Array:
    """For one row, at the last step of each sequence the log-sum over all its tag sequences, and 0 elsewhere."""

    def step(paths: Array, inputs: tuple[Array, ...]) -> tuple[Array, Array]:
        own, is_real, is_first, is_last = inputs
        into = jnp.where(is_first, start, log_sum_exp(paths[:, None] + transitions, 0))
        new = jnp.where(is_real, into + own, paths)
        return new, jnp.where(is_last, log_sum_exp(new + end), 0)

    return lax.scan(step, jnp.zeros_like(logits.sum(0)), (logits, mask, begins, ends))[1]


def _best_path(logits: Array, mask: Array, begins: Array, transitions: Array, start: Array, end: Array) -> Array:
    """The tags of one row. Pointers lead from a tag to the best one before it, even across packed sequences."""
    same = jnp.arange(logits.shape[-1], dtype=jnp.int32)

    def step(scores: Array, inputs: tuple[Array, ...]) -> tuple[Array, Array]:
        own, is_real, is_first = inputs
        ways = scores[:, None] + transitions
        new = jnp.where(is_first, start, ways.max(0)) + own
        pointers = jnp.where(is_first, jnp.argmax(scores + end), jnp.argmax(ways, 0)).astype(jnp.int32)
        return jnp.where(is_real, new, scores), jnp.where(is_real, pointers, same)

    scores, pointers = lax.scan(step, jnp.zeros_like(logits.sum(0)), (logits, mask, begins))
    last = jnp.argmax(scores + end).astype(jnp.int32)
    _, tags = lax.scan(lambda tag, pointers: (pointers[tag], tag), last, pointers, reverse=True)
    return tags
