"""Rules on the names of parameters: which one decides, what follows a parameter, and what is refused."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from jmask import train
from jmask.losses import Mean
from jmask.sharding import fsdp, named_shardings

MESH = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
SHAPES = {"embedding": {"embeddings": (30, 8)}, "dense": {"kernel": (8, 12), "bias": (12,)}, "kernel": (8, 12)}
PARAMS = jax.tree.map(lambda s: jax.ShapeDtypeStruct(s, jnp.float32), SHAPES, is_leaf=lambda s: type(s) is tuple)


def specs(rules, tree=PARAMS):
    shardings = named_shardings(MESH, rules, tree)
    assert {type(leaf) for leaf in jax.tree.leaves(shardings)} == {NamedSharding}
    named = jax.tree.leaves_with_path(shardings)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): sharding.spec for path, sharding in named}


def test_the_first_rule_that_is_found_decides():
    found = specs([("^kernel", P("data")), ("kernel$", P(None, "data")), ("emb", P(None, ("data", "model")))])
    assert found == {
        "dense/bias": P(),
        "dense/kernel": P(None, "data"),
        "embedding/embeddings": P(None, ("data", "model")),
        "kernel": P("data"),
    }


def test_fsdp_divides_the_largest_axis_of_large_parameters():
    found = specs(fsdp("data", min_size=13))
    assert found.pop("dense/bias") == P()
    assert found == dict.fromkeys(["dense/kernel", "embedding/embeddings", "kernel"], P(None, "data"))
    assert specs(fsdp(("data", "model"), min_size=13))["kernel"] == P(("data", "model"))


@pytest.mark.parametrize("optimizer", [optax.adamw(0.1), optax.chain(optax.clip(1.0), optax.sgd(0.1, 0.9))])
def test_what_mirrors_a_parameter_is_divided_like_it(optimizer):
    params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), PARAMS)
    step = train.step(lambda params, batch: Mean(jnp.zeros(()), jnp.zeros(())), optimizer, average=0.9, accumulate=2)
    found = specs([("^kernel", P("data")), ("dense/kernel", P(None, "model"))], jax.eval_shape(step.init, params))
    counts = {"dense/kernel": 0, "kernel": 0, "bias": 0}
    for path, spec in found.items():
        expected = P(None, "model") if path.endswith("dense/kernel") else P("data") if path.endswith("kernel") else P()
        assert spec == expected
        for end in counts:
            counts[end] += path.endswith(end)
    assert counts == {"dense/kernel": counts["bias"], "kernel": 2 * counts["bias"], "bias": counts["bias"]}
    assert counts["bias"] > 3


def test_slots_of_another_shape_are_whole():
    params = {"kernel": jnp.zeros((256, 128))}
    state = {"params": params, "opt_state": jax.eval_shape(optax.adafactor(0.1).init, params), "statistics": params}
    found = specs([("kernel", P("data"))], state)
    assert found.pop("params/kernel") == found.pop("statistics/kernel") == P("data")
    assert set(found.values()) == {P()}


REFUSED = {
    "no path": ([("knel", P("data"))], ValueError, r"'knel' is found in no path .* 'dense/bias', 'dense/kernel'"),
    "shadowed": ([("", P()), ("bias", P("data"))], ValueError, "'bias' decides for no parameter: rules before it"),
    "too small": (fsdp("data"), ValueError, "would divide nothing.* the largest has 240 numbers"),
    "no such axis": ([("", P("rows"))], ValueError, r"over the mesh axis 'rows', and the mesh has {'data': 4, 'model'"),
    "no such axis of fsdp": (fsdp("rows"), ValueError, r"fsdp\('rows'\) divides over the mesh axis 'rows'"),
    "too many axes": ([("bias", P(None, "data"))], ValueError, "2 axes, and the parameter 'dense/bias' has 1"),
    "odd": ([("embed", P("data"))], ValueError, r"divides axis 0 of the parameter .*into 4 equal parts, and 30 is no"),
    "odd fsdp": (fsdp(("data", "model"), min_size=2), ValueError, "no axis of 'dense/bias', of shape .12,., can be"),
    "no pairs": (P("data"), TypeError, "`rules` are pairs of a pattern and a layout"),
    "a string": ("data", TypeError, "`rules` are pairs of a pattern and a layout"),
    "a dict": ({"kernel": P("data")}, TypeError, "`rules` are pairs of a pattern and a layout"),
    "no layout": ([("kernel", "data")], TypeError, "by a `PartitionSpec` of names of mesh axes"),
    "no pattern": ([("(", P("data"))], ValueError, r"is a regular expression, .*received '\('"),
    "no string": ([(1, P("data"))], ValueError, "is a regular expression, .*received 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    rules, error, text = REFUSED[case]
    with pytest.raises(error, match=text):
        named_shardings(MESH, rules, PARAMS)


def test_what_is_no_mesh_or_has_no_shape_is_refused():
    rules: Any = [("", P("data"))]
    with pytest.raises(TypeError, match="takes the mesh first"):
        named_shardings(rules, MESH, PARAMS)  # pyright: ignore[reportArgumentType]  # which is what is refused
    with pytest.raises(TypeError, match="'a' is a str"):
        named_shardings(MESH, rules, {"a": "b"})
    with pytest.raises(TypeError, match="`axis` is the name of an axis"):
        fsdp(None)  # pyright: ignore[reportArgumentType]  # which is what is refused
    with pytest.raises(ValueError, match="`min_size` must be at least 0"):
        fsdp("data", min_size=-1)
