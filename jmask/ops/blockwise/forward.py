"""The forward pass: a softmax that is corrected block by block, so that no row of scores is ever whole."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .blocks import corner
from .rows import AttentionOptions, AttentionRows, sees
from .tiles import Block, Tiles


def forward(options: AttentionOptions, rows: AttentionRows) -> tuple[Any, Any]:
    """Attention of all rows.

    Args:
        options: what is known when the program is traced.
        rows: the batch.

    Returns:
        The means of the values, `(rows, queries, heads, value_features)`, float32 at least, 0 for a query that sees no
        key; and for the backward pass the logarithms of the sums of the exponentials of the scores, `(rows, blocks,
        groups, heads in a group * steps)`.
    """
    tiles = Tiles(options, rows)
    of_queries, of_keys = tiles.sides
    size = (tiles.groups, tiles.height)
    lowest = jnp.finfo(tiles.dtype).min

    def run(queries: Block, for_each_key: Any, carry: Any) -> Any:
        out, log_sums = carry
        q = options.scale * tiles.load(of_queries, rows.query, queries)

        def visit(keys: Block, carry: Any) -> Any:
            mean, highest, total = carry
            k, v = (tiles.load(of_keys, x, keys) for x in (rows.key, rows.value))
            scores = hide_scores(options, jnp.einsum("gqf,gkf->gqk", q, k), queries, keys)
            new = jnp.maximum(highest, scores.max(axis=-1))
            weights, factor = jnp.exp(scores - new[..., None]), jnp.exp(highest - new)
            mean = mean * factor[..., None] + jnp.einsum("gqk,gkf->gqf", weights, v)
            return mean, new, total * factor + weights.sum(axis=-1)

        start = (tiles.zeros(*size, out.shape[-1]), tiles.zeros(*size) + lowest, tiles.zeros(*size))
        mean, highest, total = for_each_key(visit, start)
        divisor = jnp.where(total > 0, total, 1)
        out = tiles.add(of_queries, out, mean / divisor[..., None], queries)
        log_sum = jnp.where(total > 0, highest + jnp.log(divisor), 0)
        return out, lax.dynamic_update_slice(log_sums, log_sum[None, None], corner(queries.row, queries.index, 4))

    num_rows, num_queries, heads, _ = rows.query.shape
    out = tiles.zeros(num_rows, num_queries, heads, rows.value.shape[-1])
    return tiles.for_each_block(run, (out, tiles.zeros(num_rows, of_queries.num, *size)))


def hide_scores(options: AttentionOptions, scores: Any, queries: Block, keys: Block) -> Any:
    """Scores `(groups, heads in a group * queries, keys)`, -inf where a query does not see a key."""
    column, row = jax.tree.map(lambda x: x[:, None], queries.steps), jax.tree.map(lambda x: x[None], keys.steps)
    seen = sees(options, column, row)
    by_head = scores.reshape(scores.shape[0], -1, *seen.shape)
    return jnp.where(seen[None, None], by_head, -jnp.inf).reshape(scores.shape)
