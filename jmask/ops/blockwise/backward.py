"""The backward pass: weights are computed again, block by block, and each block adds its share of the gradients.

Here scores are transposed, keys before queries: of the three products that follow them two have keys as their rows.
"""

from typing import Any

import jax
import jax.numpy as jnp

from .rows import AttentionOptions, AttentionRows, sees
from .tiles import Block, Tiles


def backward(
    options: AttentionOptions, rows: AttentionRows, out: Any, log_sums: Any, dout: Any
) -> tuple[Any, Any, Any]:
    """Gradients of a loss with respect to queries, keys and values.

    Args:
        options: what is known when the program is traced.
        rows: the batch.
        out: of the forward pass.
        log_sums: of the forward pass.
        dout: the gradient with respect to `out`; at padded steps it may be anything.

    Returns:
        Arrays in the shapes and dtypes of query, key and value, 0 at padded steps.
    """
    tiles = Tiles(options, rows)
    of_queries, of_keys = tiles.sides

    def run(queries: Block, for_each_key: Any, carry: Any) -> Any:
        dquery, *rest = carry
        q, y, dy = (tiles.load(of_queries, x, queries) for x in (rows.query, out, dout))
        q, inner = options.scale * q, jnp.sum(y * dy, axis=-1)[:, None]
        log_sum = tiles.at(log_sums, queries)[:, None]

        def visit(keys: Block, carry: Any) -> Any:
            dq, dkey, dvalue = carry
            k, v = (tiles.load(of_keys, x, keys) for x in (rows.key, rows.value))
            weights = hide_weights(options, jnp.exp(jnp.einsum("gkf,gqf->gkq", k, q) - log_sum), queries, keys)
            dscores = weights * (jnp.einsum("gkf,gqf->gkq", v, dy) - inner)
            dkey = tiles.add(of_keys, dkey, jnp.einsum("gkq,gqf->gkf", dscores, q), keys)
            dvalue = tiles.add(of_keys, dvalue, jnp.einsum("gkq,gqf->gkf", weights, dy), keys)
            return dq + jnp.einsum("gkq,gkf->gqf", dscores, k), dkey, dvalue

        dq, *rest = for_each_key(visit, (tiles.zeros(*q.shape), *rest))
        return tiles.add(of_queries, dquery, options.scale * dq, queries), *rest

    gradients = tiles.for_each_block(run, tuple(tiles.zeros(*x.shape) for x in rows[:3]))
    dquery, dkey, dvalue = (dx.astype(x.dtype) for dx, x in zip(gradients, rows, strict=False))
    return dquery, dkey, dvalue


def hide_weights(options: AttentionOptions, weights: Any, queries: Block, keys: Block) -> Any:
    """Weights `(groups, keys, heads in a group * queries)`, 0 where a query does not see a key."""
    row, column = jax.tree.map(lambda x: x[None], queries.steps), jax.tree.map(lambda x: x[:, None], keys.steps)
    seen = sees(options, row, column)
    by_head = weights.reshape(*weights.shape[:2], -1, seen.shape[1])
    return jnp.where(seen[None, :, None], by_head, 0).reshape(weights.shape)
