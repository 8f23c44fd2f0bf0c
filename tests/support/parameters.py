"""What tests look at in parameters."""

from typing import Any

import jax


def shapes(params: Any) -> Any:
    """The shape of every leaf."""
    return jax.tree.map(lambda p: p.shape, params)
