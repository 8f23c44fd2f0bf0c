"""Parameters of modules that bring their own."""

from typing import Any

import jax
import jax.numpy as jnp

from ..protocol import path


def check_like(own: Any, params: Any) -> None:
    """Raises unless the parameters have the names and shapes of the module's own."""
    expected, given = ({name: jnp.shape(leaf) for name, leaf in _by_name(tree)} for tree in (own, params))
    if expected != given:
        wrong = sorted(name for name in {*expected, *given} if expected.get(name) != given.get(name))
        raise ValueError(
            f"{path.current()}: these are not the parameters that the module brought along: "
            + "; ".join(f"{name} is {given.get(name, 'missing')}, not {expected.get(name, 'there')}" for name in wrong)
            + ". Make them by `params = model.init(key, x)`."
        )


def _by_name(tree: Any) -> list[tuple[str, Any]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [("/".join(str(getattr(part, "key", part)) for part in place), leaf) for place, leaf in leaves]
