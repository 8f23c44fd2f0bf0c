"""Weights of PyTorch: each sequence has the outputs that PyTorch's formulas give for it alone, and the way back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.core.array_file import write_arrays
from jmask.testing import assert_close
from tests.support import torch_modules as oracle

L = jm.layers
RECURRENT = {"LSTM": L.LSTM, "GRU": L.GRU, "RNN": L.SimpleRNN}


def check_rows(model, found, x, module):
    params, state = found
    outputs = jm.unpad(model.apply_with_state(params, state, x)[0])
    for row, sequence in zip(outputs, jm.unpad(x), strict=True):
        assert_close(np.asarray(row), module(np.asarray(sequence, float)), precision="float32")


def check_back(model, found, tensors, modules=None):
    """What comes back is what was given; PyTorch adds up two biases, of which one comes back as 0."""
    back = jm.to_torch(model, *found, modules)
    assert back.keys() == tensors.keys()
    for name, x in tensors.items():
        other = name.replace("bias_hh", "bias_ih")
        if "bias_ih" in name or "bias_hh" in name:
            other = name.replace("bias_ih", "bias_hh") if "bias_ih" in name else other
            assert_close(back[name] + back[other], x + tensors[other])
        else:
            np.testing.assert_array_equal(back[name], x)


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("kind", RECURRENT)
def test_recurrent_layers(kind, directions, rng, x):
    def layer(name):
        options = {"return_sequences": True, "implementation": "scan"}
        if directions == 1:
            return RECURRENT[kind](3, name=name, **options)
        return L.Bidirectional(RECURRENT[kind](3, **options), name=name)

    model = jm.Sequential([jm.Input((None, 4)), layer("lower"), layer("upper")])
    tensors = oracle.draw_recurrent(rng, kind, 4, 3, 2, directions)
    modules = {"": ["lower", "upper"]}
    found = jm.from_torch(model, tensors, modules)
    check_rows(model, found, x, lambda row: oracle.run_recurrent(kind, tensors, row, 2, directions))
    check_back(model, found, tensors, modules)


@pytest.mark.parametrize("kind", RECURRENT)
def test_recurrent_layers_without_a_bias(kind, rng):
    layer = RECURRENT[kind](3, use_bias=False)
    tensors = oracle.draw_recurrent(rng, kind, 4, 3, 1, 1, bias=False)
    found = jm.from_torch(layer, tensors)
    assert found[0].keys() == {"kernel", "recurrent_kernel"}
    check_back(layer, found, tensors)


@pytest.mark.slow
def test_a_network(rng, x, tmp_path):
    def draw(*shape):
        return rng.normal(size=shape).astype(np.float32)

    tensors = {
        "conv.weight": draw(6, 4, 3),
        "conv.bias": draw(6),
        "bn.weight": draw(6),
        "bn.bias": draw(6),
        "bn.running_mean": draw(6),
        "bn.running_var": draw(6) ** 2,
        "ln.weight": draw(6),
        "ln.bias": draw(6),
        "rms.weight": draw(6),
        "groups.weight": draw(6),
        "groups.bias": draw(6),
        "head.out.weight": draw(2, 6),
    }
    model = jm.Sequential(
        [
            jm.Input((None, 4)),
            L.Conv1D(6, 3, padding="same", name="conv"),
            L.BatchNormalization(epsilon=1e-5, name="bn"),
            L.LayerNormalization(epsilon=1e-5, name="ln"),
            L.RMSNormalization(name="rms"),
            L.GroupNormalization(2, epsilon=1e-5, name="groups"),
            jm.Sequential([L.Dense(2, use_bias=False, name="out")], name="head"),
        ]
    )

    def network(row):
        of = {
            name: {key.rpartition(".")[2]: t for key, t in tensors.items() if key.startswith(f"{name}.")}
            for name in ("conv", "bn", "ln", "rms", "groups", "head")
        }
        row = oracle.layer_norm(of["ln"], oracle.batch_norm(of["bn"], oracle.conv1d(of["conv"], row)))
        return oracle.linear(of["head"], oracle.group_norm(of["groups"], oracle.rms_norm(of["rms"], row), 2))

    counted = {**tensors, "bn.num_batches_tracked": np.int64(7)}
    found = jm.from_torch(model, counted)
    check_rows(model, found, x, network)
    check_back(model, found, tensors)
    write_arrays(tmp_path / "network.safetensors", tensors)
    again = jm.from_torch(model, tmp_path / "network.safetensors")
    jax.tree.map(np.testing.assert_array_equal, again, found)


@pytest.mark.parametrize("split", [False, True])
def test_attention(split, rng, x):
    tensors = {
        "in_proj_weight": rng.normal(size=(12, 4)).astype(np.float32),
        "in_proj_bias": rng.normal(size=12).astype(np.float32),
        "out_proj.weight": rng.normal(size=(4, 4)).astype(np.float32),
        "out_proj.bias": rng.normal(size=4).astype(np.float32),
    }
    whole = dict(tensors)
    if split:  # as PyTorch does where keys or values have other features
        parts = np.split(tensors.pop("in_proj_weight"), 3)
        tensors |= {f"{name}_proj_weight": part for name, part in zip("qkv", parts, strict=True)}
    i = jm.Input((None, 4))
    model = jm.Model(i, L.MultiHeadAttention(2, 2, name="attention")(i, i))
    found = jm.from_torch(model, tensors, {"": "attention"})
    check_rows(model, found, x, lambda row: oracle.self_attention(tensors, row, 2))
    check_back(model, found, whole, {"": "attention"})


def test_embedding_and_dtypes(rng):
    table = rng.normal(size=(7, 3))
    params, state = jm.from_torch(L.Embedding(7, 3), {"weight": table})
    assert (params["embeddings"].dtype, state) == (jnp.float32, {})
    assert_close(params["embeddings"], table)
    half = jm.from_torch(L.Embedding(7, 3), {"weight": table.astype(jnp.bfloat16)})[0]
    assert half["embeddings"].dtype == jnp.bfloat16


DENSE = jm.Sequential([jm.Input((None, 4)), L.Dense(3, name="head")])
UNKNOWN = jm.Sequential([jm.Input((None, 4)), L.PReLU(shared_axes=1, name="a")])
HEADER = b'{"a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}'
UNKNOWN_DTYPE = len(HEADER).to_bytes(8, "little") + HEADER + b"0"
OTHER = jm.Sequential([jm.Input((None, 4)), type("Other", (L.Dense,), {})(3, name="head")])
TIED = jm.Sequential(
    [jm.Input((None,), "int32"), L.Embedding(7, 4, name="emb"), L.Dense(7, use_bias=False, name="out")]
)
WEIGHT, BIAS = np.ones((3, 4), np.float32), np.ones(3, np.float32)


UNITS = L.SimpleRNN(3, use_bias=False)
RECURRENT_OF = {"weight_ih_l0": WEIGHT, "weight_hh_l0": WEIGHT}


@pytest.mark.parametrize(
    ("model", "tensors", "modules", "text"),
    [
        (DENSE, {"fc.weight": WEIGHT, "fc.bias": BIAS}, None, r"needs 'head\.weight'; there is nothing .* `modules="),
        (DENSE, {"fc.weight": WEIGHT, "fc.bias": BIAS}, {"fc": "tail"}, "there is no layer 'tail' .* there are 'head'"),
        (DENSE, {"fc.weight": WEIGHT}, {"fc": "head"}, "needs 'fc.bias'; .* a layer with `use_bias=False`"),
        (DENSE, {"head.weight": WEIGHT, "head.bias": BIAS, "tail.bias": BIAS}, None, r"no layer takes tail\.bias"),
        (DENSE, {"head.weight": WEIGHT.T, "head.bias": BIAS}, None, r"has shape \(4, 3\) in the model, and \(3, 4\)"),
        (
            UNITS,
            RECURRENT_OF | {"weight_hh_l0_reverse": WEIGHT},
            None,
            r"second direction, `jm\.layers\.Bidirec",
        ),
        (UNITS, RECURRENT_OF | {"weight_hh_l1": WEIGHT}, None, r"`_l1` are of a second layer: `modules={'lstm': \["),
        (L.LSTM(2), {"weight_hr_l0": BIAS}, None, "a projection, `proj_size`, which jmask does not have"),
        (L.MultiHeadAttention(2, 2), {"bias_k": BIAS}, None, "a key and a value that are learned"),
        (L.GRU(2, reset_after=False), {}, None, "reset_after=True"),
        (L.LSTM(2, recurrent_activation="hard_sigmoid"), {}, None, "are sigmoids; received LSTM"),
        (L.LSTM(2, activation="relu"), {}, None, "PyTorch has tanh in a LSTM; received LSTM"),
        (L.SimpleRNN(2, activation="gelu"), {}, None, "PyTorch has tanh or relu in a SimpleRNN; received SimpleRNN"),
        (DENSE, {}, None, r"needs 'head\.weight'; there is nothing that begins with 'head\.'\. Say which"),
        (DENSE, {"head.weight_g": BIAS, "head.weight_v": WEIGHT}, None, "of `weight_norm`, .* put together in PyTorch"),
        (DENSE, {"head.parametrizations.weight.original0": BIAS}, None, "remove_parametrizations"),
        (OTHER, {"head.weight": WEIGHT}, None, r"takes head\.weight\. `from_torch` cannot fill head \(Other\): set"),
        (L.PReLU(), {"weight": BIAS}, None, r"cannot fill the layer \(PReLU\)"),
        (
            jm.Sequential([jm.Input((None, 4)), L.PReLU(shared_axes=1, name="a")]),
            {},
            None,
            "a/alpha is of a layer that PyTorch",
        ),
    ],
)
def test_what_does_not_fit_is_refused(model, tensors, modules, text):
    with pytest.raises(ValueError, match=text):
        jm.from_torch(model, tensors, modules)


@pytest.mark.parametrize(("others", "text"), [({}, "All"), ({"criterion.weight": BIAS}, "Some")])
def test_what_wrappers_add_to_names_can_be_removed(others, text):
    tensors = {"module.head.weight": WEIGHT, "module.head.bias": BIAS} | others
    with pytest.raises(ValueError, match=rf"{text} names begin with 'module\.'") as error:
        jm.from_torch(DENSE, tensors)
    remedy = str(error.value).split("`")[-2]
    assert jm.from_torch(DENSE, eval(remedy, {"tensors": tensors}))[0]["head"].keys() == {"kernel", "bias"}


def test_tied_weights_go_in_twice(rng):
    table = {"emb.weight": rng.normal(size=(7, 4)).astype("float32")}
    with pytest.raises(ValueError, match=r"only a recurrent module .* out \(Dense\) was named as layer 1") as error:
        jm.from_torch(TIED, table, {"emb": ["emb", "out"]})
    with pytest.raises(ValueError, match=r"there is head\.bias\. A weight that is tied to another goes in twice"):
        jm.from_torch(DENSE, {"head.bias": BIAS})
    params, _ = jm.from_torch(TIED, eval(str(error.value).split("`")[-2], {"tensors": table}))
    np.testing.assert_array_equal(params["emb"]["embeddings"].T, params["out"]["kernel"])


@pytest.mark.parametrize(
    ("model", "tensors", "modules", "text"),
    [
        (DENSE, [WEIGHT], None, r"`module\.state_dict\(\)`"),
        (DENSE, {"state_dict": {"head.weight": WEIGHT}, "epoch": 3}, None, r"'state_dict' is a dict\. Of a checkpoint"),
        (DENSE, {"head.weight": WEIGHT}, ["head"], r"`modules` are names of layers .* received \['head'\]"),
        (len, {}, None, "take a layer or a model of jmask first; received <built-in function len>"),
    ],
)
def test_arguments_of_another_kind_are_refused(model, tensors, modules, text):
    with pytest.raises(TypeError, match=text):
        jm.from_torch(model, tensors, modules)


@pytest.mark.parametrize(
    "data",
    [b"hi", b"PK" * 40, (9).to_bytes(8, "little") + b"\xff" * 40, (2).to_bytes(8, "little") + b"[]", UNKNOWN_DTYPE],
)
def test_files_of_another_format_are_refused(data, tmp_path):
    (tmp_path / "model.pt").write_bytes(data)
    with pytest.raises(
        ValueError, match=r"files in the safetensors format: .*`torch\.load\(path, weights_only=True\)`"
    ):
        jm.from_torch(DENSE, tmp_path / "model.pt")


NORM = jm.Sequential([jm.Input((None, 4)), L.BatchNormalization(name="bn")])


@pytest.mark.parametrize(
    ("model", "params", "kind", "text"),
    [
        (UNKNOWN, {"a": {"alpha": BIAS}}, ValueError, "a/alpha is of a layer that PyTorch has no module for"),
        (DENSE, {}, ValueError, r"no parameters of head \(Dense\) in `params`"),
        (DENSE, ({"head": {}}, {}), TypeError, r"received a tuple.*`jm\.to_torch\(model, params, state\)`"),
        (NORM, {"bn": {"gamma": BIAS, "beta": BIAS}}, ValueError, "bn .* has running statistics; pass them as `state`"),
    ],
)
def test_nothing_is_left_out_on_the_way_back(model, params, kind, text):
    with pytest.raises(kind, match=text):
        jm.to_torch(model, params)


def test_another_epsilon_is_told():
    with pytest.warns(UserWarning, match=r"adds epsilon=0\.001 .* PyTorch adds 1e-05"):
        jm.from_torch(L.LayerNormalization(), {"weight": BIAS, "bias": BIAS})
