"""Penalties that layers have stored in the state of a model."""

import functools
import operator
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def penalties(state: Any) -> Float[Array, ""]:
    """The sum of all penalties of a model, to be added to the loss.

    Args:
        state: the state that `apply_with_state` returns. A penalty is a number under the name `"penalty"` in it, such
            as that of `jm.layers.ActivityRegularization`, or of your own layer with `resets_state = True`.

    Returns:
        One number, 0 if there is no penalty. It carries the gradients of the activities, so call this inside the
        function that is differentiated.

    >>> import jax.numpy as jnp, jmask as jm
    >>> model = jm.Sequential([jm.layers.ActivityRegularization(l1=0.5), jm.layers.ActivityRegularization(l2=1.0)])
    >>> x = jm.from_lengths(jnp.array([[2.0, -4.0, 9.0]]), [2])
    >>> _, state = model.apply_with_state({}, model.init_state(x), x, training=True)
    >>> float(jm.losses.penalties(state))
    23.0
    """
    leaves = jax.tree_util.tree_leaves_with_path(state)
    found = [leaf for path, leaf in leaves if path and getattr(path[-1], "key", None) == "penalty"]
    return functools.reduce(operator.add, found) if found else jnp.zeros(())
