"""The layout of a whole training state, by rules on the names of its parameters."""

import math
import re
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from .rules import FullyDivided, check_mesh_axes, check_spec

_EVERYTHING = ""  # the pattern that every path matches
_SHOWN = 6  # paths in an error

Rules = FullyDivided | Sequence[tuple[str, PartitionSpec | FullyDivided]]
Path = tuple[Any, ...]


def named_shardings(mesh: Mesh, rules: Rules, tree: Any) -> Any:
    """How a training state, or any tree of parameters, is divided over a mesh, by rules on the names of parameters.

    The first rule whose pattern is found in the path of a parameter decides. A parameter without a rule is whole on
    every device.

    Args:
        mesh: the devices.
        rules: pairs of a pattern and a layout. The pattern is a regular expression, searched for in paths such as
            `"dense/kernel"` (`^` and `$` stand for their ends; `""` is found in every path). The layout is a
            `PartitionSpec`, or `jm.sharding.fsdp(axis)`, which may also be given alone, for all parameters.
        tree: arrays, or their shapes, as `jax.eval_shape` gives them. Where it has a part `params`, as a `train.State`
            has, rules are for this part, in whose paths its name is left out. What mirrors a parameter, such as
            averages and the slots of an optimizer, is divided like it: its path ends with that of the parameter, and
            its shape is the same. All else is whole on every device.

    Returns:
        A tree of `NamedSharding`, for `jax.jit(..., out_shardings=)` and `jax.device_put`.

    Raises:
        TypeError: `rules` are no such pairs, or the tree has a leaf without a shape.
        ValueError: a rule decides for no parameter, its pattern is no regular expression, the mesh has no axis of a
            name, or a size cannot be divided.

    >>> import jax, jmask as jm
    >>> axis_types = (jax.sharding.AxisType.Auto,) * 2  # XLA divides the work
    >>> mesh = jax.make_mesh((1, jax.device_count()), ("data", "model"), axis_types=axis_types)
    >>> rules = [("embeddings", jax.P("model")), ("dense.*/kernel", jax.P(None, "model"))]
    >>> model = jm.Sequential([jm.Input((None,), "int32"), jm.layers.Embedding(16, 4), jm.layers.Dense(8)])
    >>> layout = jm.sharding.named_shardings(mesh, rules, jax.eval_shape(model.init, jax.random.key(0)))
    >>> params = jax.jit(model.init, out_shardings=layout)(jax.random.key(0))
    >>> params["embedding"]["embeddings"].sharding.spec == jax.P("model")
    True
    """
    pairs = _checked_rules(rules, mesh)
    leaves = jax.tree.leaves_with_path(tree)
    shapes = {path: _shape(path, leaf) for path, leaf in leaves}
    inside = {path: shape for path, shape in shapes.items() if path and _name(path[:1]) == "params"}
    params = {path[1:]: shape for path, shape in inside.items()} or shapes
    specs = _specs(mesh, pairs, params)

    def spec(path: Path) -> PartitionSpec:
        if not inside:
            return specs[path]
        # The longest path that this one ends with: "layer/kernel", where there is a parameter "kernel" as well.
        ends = [path[i:] for i in range(len(path) + 1)]
        mirrored = next((end for end in ends if end in params), None)
        is_alike = mirrored is not None and params[mirrored] == shapes[path]
        return specs[mirrored] if mirrored is not None and is_alike else PartitionSpec()

    return jax.tree.structure(tree).unflatten(NamedSharding(mesh, spec(path)) for path, _ in leaves)


def _specs(mesh: Mesh, pairs: list[tuple[re.Pattern[str], Any]], params: dict[Path, Any]) -> dict[Path, PartitionSpec]:
    """The layout of each parameter; raises if a rule decides for none."""
    specs, decided = {}, [0] * len(pairs)
    for path, shape in params.items():
        name = _name(path)
        chosen = next((i for i, (pattern, _) in enumerate(pairs) if pattern.search(name)), None)
        if chosen is None:
            specs[path] = PartitionSpec()
            continue
        rule = pairs[chosen][1]
        specs[path] = rule if isinstance(rule, PartitionSpec) else rule.spec(name, shape, mesh)
        check_spec(specs[path], name, shape, mesh)
        decided[chosen] += isinstance(rule, PartitionSpec) or specs[path] != PartitionSpec()
    for (pattern, rule), number in zip(pairs, decided, strict=True):
        if not number:
            raise ValueError(_why_unused(pattern, rule, params))
    return specs


def _why_unused(pattern: re.Pattern[str], rule: Any, params: dict[Path, Any]) -> str:
    names = [_name(path) for path in params]
    found = [name for name in names if pattern.search(name)]
    shown = ", ".join(map(repr, (found or names)[:_SHOWN])) + (", ..." if len(found or names) > _SHOWN else "")
    if not found:
        return (
            f"The rule {pattern.pattern!r} is found in no path of a parameter, so it would do nothing. Paths are "
            f"{shown}. Correct the pattern, or leave the rule out."
        )
    if isinstance(rule, FullyDivided):
        largest = max(math.prod(shape) for path, shape in params.items() if pattern.search(_name(path)))
        return (
            f"`fsdp({rule.axis!r}, min_size={rule.min_size})` would divide nothing: what is left for it has fewer "
            f"numbers than `min_size`. Pass a smaller one, or leave the rule out. Its pattern {pattern.pattern!r} is "
            f"found in {shown}; the largest has {largest} numbers."
        )
    return (
        f"The rule {pattern.pattern!r} decides for no parameter: rules before it decide for all paths in which it is "
        f"found, {shown}. Put it before them, or leave it out."
    )


def _checked_rules(rules: Any, mesh: Any) -> list[tuple[re.Pattern[str], Any]]:
    if not isinstance(mesh, Mesh):
        raise TypeError(
            "`named_shardings(mesh, rules, tree)` takes the mesh first, as `jax.make_mesh` makes it; received "
            f"{type(mesh).__name__}."
        )
    pairs = [(_EVERYTHING, rules)] if isinstance(rules, FullyDivided) else rules
    if isinstance(pairs, (str, PartitionSpec)) or not isinstance(pairs, Sequence):
        pairs = [pairs]  # which the next line refuses
    checked = []
    for pair in pairs:
        if not isinstance(pair, tuple) or isinstance(pair, PartitionSpec) or len(pair) != 2:
            raise TypeError(
                "`rules` are pairs of a pattern and a layout, `[('embeddings', PartitionSpec('model')), ('', "
                f"jm.sharding.fsdp('data'))]`, or `jm.sharding.fsdp('data')` alone; received {pair!r:.80}."
            )
        pattern, rule = pair
        check_mesh_axes(rule, mesh)
        try:
            checked.append((re.compile(pattern), rule))
        except (re.error, TypeError) as error:
            raise ValueError(
                f"The pattern of a rule is a regular expression, such as 'dense.*/kernel'; received {pattern!r} "
                f"({error}). `re.escape(name)` stands for a name as it is written."
            ) from None
    return checked


def _shape(path: Path, leaf: Any) -> tuple[int, ...]:
    if not hasattr(leaf, "shape"):
        raise TypeError(
            f"`named_shardings` takes a tree of arrays, or of their shapes; {_name(path) or 'the tree'!r} is a "
            f"{type(leaf).__name__}. Pass what `jax.eval_shape(make_state, key)` gives."
        )
    return tuple(leaf.shape)


def _name(path: Path) -> str:
    """A path such as "dense/kernel"."""
    return jax.tree_util.keystr(path, simple=True, separator="/")
