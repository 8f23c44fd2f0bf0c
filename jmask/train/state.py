"""The state of a training: everything a step changes, as one pytree."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

FIELDS = (
    "step",
    "updates",
    "params",
    "opt_state",
    "statistics",
    "key",
    "average",
    "pending",
    "loss_scale",
)


@functools.partial(jax.tree_util.register_dataclass, data_fields=FIELDS, meta_fields=())
@dataclasses.dataclass(frozen=True)
class State:
    """All that a training step changes: a frozen dataclass and pytree, whose leaves are arrays.

    `train.step(...).init` makes one. `jax.tree.map`, `jax.device_put` with shardings, pickle, orbax and
    `jax.eval_shape` work on it as on any pytree. A step donates the state it is given, so that the new one takes the
    same memory: go on with the new one, and copy what has to stay (`jax.tree.map(jnp.copy, state)`).

    What is not used is None: an absent part, without leaves.

    Attributes:
        step: how many batches were seen, `()`, int32. It numbers the keys of dropout.
        updates: how often the optimizer changed the parameters, `()`, int32.
        params: the parameters.
        opt_state: the state of the optimizer.
        statistics: the running statistics of the model (`model.init_state`), or None.
        key: the PRNG key that the key of each step is made from, or None.
        average: the averaged parameters, or None.
        pending: the sums over the batches since the last update, or None if each batch gives an update.
        loss_scale: the factor of the loss and the steps since it last changed, or None unless it is dynamic.

    >>> import jax, optax, jmask as jm
    >>> from jmask import train
    >>> model = jm.Sequential([jm.Input((None, 3)), jm.layers.Dense(2)])
    >>> step = train.step(lambda params, batch: jm.losses.Mean(0.0, 0.0), optax.sgd(0.1))
    >>> state = step.init(model.init(jax.random.key(0)), jax.random.key(1))
    >>> int(state.step), jax.tree.map(jax.numpy.shape, state.params)
    (0, {'dense': {'bias': (2,), 'kernel': (3, 2)}})
    >>> int(state.replace(step=state.step + 5).step)
    5
    """

    step: Any
    updates: Any
    params: Any
    opt_state: Any
    statistics: Any = None
    key: Any = None
    average: Any = None
    pending: Any = None
    loss_scale: Any = None

    def replace(self, **changes: Any) -> "State":
        """The state with other parts.

        Args:
            **changes: the new parts by name.

        Returns:
            A new state; this one stays as it is.

        Raises:
            TypeError: there is no part of a name.
        """
        unknown = sorted(set(changes) - set(FIELDS))
        if unknown:
            raise TypeError(f"`State.replace`: the parts of a state are {', '.join(FIELDS)}; received {unknown}.")
        return dataclasses.replace(self, **changes)


def owned(tree: Any) -> Any:
    """A copy of a tree in arrays that nobody else holds, so that a step may take their memory; none weakly typed."""
    return jax.tree.map(_owned, tree)


def _owned(leaf: Any) -> jax.Array:
    if not isinstance(leaf, jax.Array):
        leaf = np.asarray(leaf)
        return jax.device_put(leaf.astype(jax.dtypes.canonicalize_dtype(leaf.dtype)), may_alias=False)
    if getattr(leaf, "weak_type", False):
        leaf = jax.lax.convert_element_type(leaf, leaf.dtype)
    if not isinstance(leaf, Tracer) and not leaf.is_fully_addressable:  # all processes copy their parts
        return jax.jit(jnp.copy, out_shardings=leaf.sharding)(leaf)
    return jax.device_put(leaf, may_alias=False)


def shape_of_leaf(leaf: Any) -> Any:
    """What `best` needs to know of a leaf, whose memory a step may take: its shape, or a copy of a key."""
    if jnp.issubdtype(getattr(leaf, "dtype", None) or np.asarray(leaf).dtype, jax.dtypes.prng_key):
        return owned(leaf)
    sharding = getattr(leaf, "sharding", None)
    dtype = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
    return jax.ShapeDtypeStruct(np.shape(leaf), dtype, sharding=sharding)
