"""Flax and Equinox modules in `PerSequence`: dropout, keys, modes and statistics, in training and at inference."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jmask as jm
from jmask.testing import assert_close

L = jm.layers
LENGTHS = [3, 0, 5]


@pytest.fixture
def x(rng):
    return jm.from_lengths(jnp.asarray(rng.normal(size=(3, 5, 4)), "float32"), LENGTHS)


@pytest.fixture
def ones():
    return jm.from_lengths(jnp.ones((2, 40, 3)), [40, 40])


class NnxNet(nnx.Module):
    def __init__(self, rngs, norm=False, sown=False):
        self.linear = nnx.Linear(4, 3, rngs=rngs)
        self.norm = nnx.BatchNorm(3, rngs=rngs) if norm else None
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.sown = sown

    def __call__(self, x):
        x = self.linear(x)
        x = x if self.norm is None else self.norm(x)
        if self.sown:
            self.sow(nnx.Intermediate, "seen", x)
        return self.dropout(x)


class LinenNet(nn.Module):
    option: str = "train"
    stream: str = "dropout"

    def setup(self):
        self.dense = nn.Dense(3)
        self.dropout = nn.Dropout(0.5, rng_collection=self.stream)

    def run(self, x, deterministic):
        return self.dropout(self.dense(x), deterministic=deterministic)


class Train(LinenNet):
    def __call__(self, x, train=False):
        return self.run(x, not train)


class Training(LinenNet):
    def __call__(self, x, *, training):
        return self.run(x, not training)


class Deterministic(LinenNet):
    def __call__(self, x, deterministic=True):
        return self.run(x, deterministic)


class OfField(LinenNet):
    is_training: bool = False

    def __call__(self, x):
        return self.run(x, not self.is_training)


class EqxNet(eqx.Module):
    linear: eqx.nn.Linear
    dropout: eqx.nn.Dropout

    def __init__(self, key):
        self.linear = eqx.nn.Linear(4, 3, key=key)
        self.dropout = eqx.nn.Dropout(0.5)

    def __call__(self, x, *, key=None):
        return self.dropout(jax.vmap(self.linear)(x), key=key)


MODULES = {
    "nnx": lambda: NnxNet(nnx.Rngs(0)),
    "linen train": Train,
    "linen training": Training,
    "linen deterministic": Deterministic,
    "linen field": OfField,
    "linen other stream": lambda: Train(stream="noise"),
    "linen fields of submodules": lambda: nn.Sequential([nn.Dense(3), nn.Dropout(0.5, deterministic=False)]),
    "equinox": lambda: EqxNet(jax.random.key(1)),
}
EVERY_MODULE = pytest.mark.parametrize("make", MODULES.values(), ids=MODULES)


def affine(params):
    """The kernel and bias of the one affine map in the parameters."""
    kernel = next(leaf for leaf in jax.tree.leaves(params) if leaf.ndim == 2)
    bias = next(leaf for leaf in jax.tree.leaves(params) if leaf.ndim == 1)
    return (kernel.T if kernel.shape == (3, 4) else kernel), bias


@EVERY_MODULE
def test_dropout_follows_training_and_draws_for_each_row_by_the_key(make, getkey):
    x = jm.from_lengths(jnp.broadcast_to(jnp.arange(1.0, 5), (3, 5, 4)), LENGTHS)
    layer = L.PerSequence(make())
    params = layer.init(getkey(), x)
    kernel, bias = affine(params)
    plain = x.values @ kernel + bias
    for options in ({}, {"key": getkey()}):
        found = layer.apply(params, x, **options)
        assert found.lengths.tolist() == LENGTHS
        assert_close(found.fill(0), jnp.where(x.mask[..., None], plain, 0))

    apply = jax.jit(layer.apply, static_argnames="training")
    first, second = (apply(params, x, training=True, key=jax.random.key(i)) for i in (0, 1))
    for found in (first, second):
        values = np.asarray(found.fill(0))
        kept = values != 0
        assert_close(values[kept], 2 * np.asarray(plain)[kept])
        assert not kept[0, :3].all()
        assert not kept[2].all()
        assert (kept[0, :3] != kept[2, :3]).any()
    assert (first.values != second.values).any()
    assert_close(apply(params, x, training=True, key=jax.random.key(0)).values, first.values)
    more = jm.from_lengths(jnp.concatenate([x.values, x.values]), LENGTHS * 2)
    assert_close(apply(params, more, training=True, key=jax.random.key(0)).values[:3], first.values)


@EVERY_MODULE
def test_a_module_that_draws_needs_a_key(make, x, getkey):
    layer = L.PerSequence(make(), name="net")
    params = layer.init(getkey(), x)
    with jm.strict(), pytest.raises(ValueError, match=r"net: .*draws at random; pass a key.*training=True, key=key"):
        layer.apply(params, x, training=True)


@EVERY_MODULE
def test_parameters_of_modules_learn(make, x, getkey):
    layer = L.PerSequence(make())
    params = layer.init(getkey(), x)
    gradient = jax.grad(lambda p: (layer.apply(p, x).fill(0) ** 2).sum())(params)
    assert all(jnp.any(leaf != 0) for leaf in jax.tree.leaves(gradient))
    doubled = jax.tree.map(lambda leaf: 2 * leaf, params)
    assert_close(layer.apply(doubled, x).fill(0), 2 * layer.apply(params, x).fill(0))


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_an_nnx_module_is_left_as_it_is_and_its_mode_does_not_count(mode, ones, getkey):
    module = nnx.Sequential(nnx.Dropout(0.5, rngs=nnx.Rngs(dropout=7)))
    getattr(module, mode)()
    layer = L.PerSequence(module)
    assert_close(layer.apply({}, ones).values, ones.values)
    assert set(np.unique(layer.apply({}, ones, training=True, key=getkey()).values)) == {0, 2}
    assert module.layers[0].deterministic is (mode == "eval")
    assert int(nnx.to_pure_dict(nnx.state(module, nnx.RngCount))["layers"][0]["rngs"]["count"]) == 0


def test_streams_of_an_nnx_module_draw_apart(ones, getkey):
    rngs = nnx.Rngs(0)
    module = nnx.Sequential(nnx.Dropout(0.5, rngs=rngs), nnx.Dropout(0.5, rngs=rngs))
    values = L.PerSequence(module).apply({}, ones, training=True, key=getkey()).values
    assert 0.15 < float((values > 0).mean()) < 0.35  # one mask twice would keep a half


def test_statistics_of_an_nnx_module_at_inference_and_in_training(x, getkey):
    module = NnxNet(nnx.Rngs(0), norm=True)
    module.norm.mean = nnx.BatchStat(jnp.array([1.0, 2, 3]))
    layer = L.PerSequence(module)
    params = layer.init(getkey(), x)
    kernel, bias = affine({"linear": params["linear"]})
    expected = (x.values @ kernel + bias - jnp.array([1.0, 2, 3])) / jnp.sqrt(1 + 1e-5)
    assert_close(layer.apply(params, x).fill(0), jnp.where(x.mask[..., None], expected, 0))
    with pytest.raises(
        ValueError, match=r"nnx_net: .*`NnxNet` changes its variables \['norm.mean', 'norm.var'\] in tr"
    ):
        layer.apply(params, x, training=True, key=getkey())


def test_a_module_that_counts_is_refused(x):
    class Counter(nnx.Module):
        def __init__(self):
            self.seen = nnx.Variable(jnp.zeros(()))

        def __call__(self, x):
            self.seen[...] = self.seen[...] + 1
            return x

    with pytest.raises(ValueError, match=r"changes its variables \['seen'\] at inference"):
        L.PerSequence(Counter()).apply({}, x)


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")  # of Flax, about its own `sow`
def test_what_a_module_sows_is_for_a_look_only(x, getkey):
    layer = L.PerSequence(NnxNet(nnx.Rngs(0), sown=True))
    assert layer.apply(layer.init(getkey(), x), x).lengths.tolist() == LENGTHS


@pytest.mark.parametrize("fixed", [None, False])
def test_statistics_of_a_linen_module_are_refused_with_a_remedy(fixed, x, getkey):
    class Norm(nn.Module):
        @nn.compact
        def __call__(self, x, train=True):
            return nn.BatchNorm(use_running_average=fixed if fixed is not None else not train)(x)

    module = Norm()
    with pytest.raises(ValueError, match=r"norm: `Norm` has the collections \['batch_stats'\].*jm.layers.BatchNormal"):
        L.PerSequence(module).init(getkey(), x)
    if fixed is None:  # the remedies as they are printed, the second with statistics that do not change
        variables = module.init(getkey(), x.values[0])
        frozen = L.PerSequence(lambda row: module.apply(variables, row, train=False))
        assert_close(frozen.apply({}, x).fill(0), x.fill(0) / np.sqrt(1 + 1e-5))
    with pytest.raises(ValueError, match=r"variables beside its parameters.*jm.layers.BatchNormalization"):
        L.PerSequence(module).apply({"BatchNorm_0": {"scale": jnp.ones(4), "bias": jnp.zeros(4)}}, x, training=True)


def test_a_linen_module_in_two_places_stays_one(x, getkey):
    shared = nn.Dropout(0.0, deterministic=False)
    dense = nn.Dense(4)
    layer = L.PerSequence(nn.Sequential([dense, shared, dense, shared]))
    assert len(jax.tree.leaves(layer.init(getkey(), x))) == 2


def test_a_state_of_equinox_is_refused(x, getkey):
    module, _ = eqx.nn.make_with_state(eqx.nn.BatchNorm)(4, "batch", mode="ema")
    with pytest.raises(ValueError, match=r"`BatchNorm` keeps a state.*jm.layers.BatchNormalization"):
        L.PerSequence(module).init(getkey(), x)


def test_functions_get_the_options_they_ask_for(x, getkey):
    seen = {}

    def function(row, other=None, *, train, is_training=None, deterministic=None, inference=None, key=None):
        flags = (train, is_training, deterministic, inference)
        seen.update(flags=flags, has_key=key is not None)
        return row

    L.PerSequence(function).apply({}, x, training=True, key=getkey())
    assert seen == {"flags": (True, True, False, False), "has_key": True}
    L.PerSequence(function).apply({}, x)
    assert seen == {"flags": (False, False, True, True), "has_key": False}


def test_an_input_by_the_name_of_an_option_stays_an_input(x):
    def attend(query, value=None, key=None):
        assert key is None
        return query

    assert_close(L.PerSequence(attend).apply({}, x, training=True, key=jax.random.key(0)).fill(0), x.fill(0))
    by_hand = L.PerSequence(jax.tree_util.Partial(lambda row, train: row * train, train=3.0))
    assert_close(by_hand.apply({}, x).fill(0), 3 * x.fill(0))


def test_several_inputs_with_a_key(x, getkey):
    def function(a, b, *, key=None):
        return a * b[-1] + (0 if key is None else jax.random.uniform(key))

    layer = L.PerSequence(function, lengths=("t", "t"))
    first, _, last = (layer.apply({}, x, x, key=getkey()) - layer.apply({}, x, x)).fill(0)
    assert_close(first[:3], jnp.full((3, 4), first[0, 0]))
    assert 0 < first[0, 0] < 1
    assert first[0, 0] != last[0, 0]


def test_parameters_that_are_not_the_module_s(x, getkey):
    layer = L.PerSequence(nnx.Linear(4, 3, rngs=nnx.Rngs(0)))
    params = layer.init(getkey(), x)
    with pytest.raises(ValueError, match=r"linear: .*bias is missing, not \(3,\).*kernel is \(4, 2\), not \(4, 3\)"):
        layer.apply({"kernel": params["kernel"][:, :2]}, x)


def test_refusals(x, getkey):
    with pytest.raises(TypeError, match="takes a module, not its class"):
        L.PerSequence(nn.Dense)


def test_an_nnx_module_that_a_function_closes_over(ones, getkey):
    module = nnx.Dropout(0.5, rngs=nnx.Rngs(0))
    for run in (
        lambda: jm.vmap(module)(ones),
        lambda: jm.vmap(lambda row: module(row))(ones),
        lambda: L.PerSequence(lambda row: module(row)).apply({}, ones),
    ):
        with pytest.raises(ValueError, match=r"Flax module.*layer, `jm.layers.PerSequence\(module\).apply\({}, x, tr"):
            run()
    draws = jm.layers.PerSequence(module).apply({}, ones, training=True, key=getkey())  # the remedies
    assert set(np.unique(draws.values)) == {0, 2}
    module.eval()
    assert_close(jm.vmap(module)(ones).values, ones.values)


def test_the_options_reach_a_module_through_a_model(ones, getkey):
    model = jm.Sequential([L.PerSequence(nnx.Dropout(0.5, rngs=nnx.Rngs(0))), L.GlobalAveragePooling1D()])
    assert_close(model.apply({}, ones), jnp.ones((2, 3)))
    assert not np.allclose(model.apply({}, ones, training=True, key=getkey()).values, 1)
