"""The step: sums divided once, whatever the batches are; keys, statistics, precision, averages, shapes."""

import inspect
import itertools
import re
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jmask as jm
from jmask import data, train

RATE = 0.5
LENGTHS = [7, 2, 0, 5, 1, 3, 11, 4]
PARAMS = {"w": np.array([0.3, -0.2, 0.5], np.float32), "b": np.float32(0.1)}


def loss(params, batch):
    outputs = jm.ops.dense(batch["x"], params["w"][:, None])[..., 0] + params["b"]
    return jm.losses.squared_error(outputs, batch["y"], divide=False)


@pytest.fixture
def batch(rng):
    """Eight rows of 0 to 11 real steps, with NaN in the padding."""
    x, y = rng.normal(size=(8, 11, 3)).astype("float32"), rng.normal(size=(8, 11)).astype("float32")
    for row, length in enumerate(LENGTHS):
        x[row, length:], y[row, length:] = np.nan, np.nan
    return {"x": jm.from_lengths(x, LENGTHS), "y": jm.from_lengths(y, LENGTHS)}


def parts(batch, number):
    rows = len(LENGTHS) // number
    return [first_rows(jax.tree.map(lambda leaf, i=i: leaf[i * rows :], batch), rows) for i in range(number)]


def first_rows(batch, rows):
    return jax.tree.map(lambda leaf: leaf[:rows], batch)


def gradient(batch):
    """NumPy, one sequence at a time."""
    total, count = {"w": np.zeros(3), "b": 0.0}, 0
    for x, y in zip(jm.unpad(batch["x"]), jm.unpad(batch["y"]), strict=True):
        slope = 2 * (np.asarray(x, np.float64).reshape(-1, 3) @ PARAMS["w"] + PARAMS["b"] - y)
        total["w"] += slope @ np.asarray(x, np.float64).reshape(-1, 3)
        total["b"] += slope.sum()
        count += len(slope)
    return jax.tree.map(lambda leaf: leaf / count, total)


def error(params, batch):
    """The relative error of the gradient that an update by SGD has used."""
    true = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradient(batch))])
    used = jax.tree.map(lambda before, after: (np.float64(before) - np.float64(after)) / RATE, PARAMS, params)
    found = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(used)])
    return np.linalg.norm(found - true) / np.linalg.norm(true)


@pytest.mark.parametrize(
    ("options", "calls"),
    [
        ({}, 1),
        ({"accumulate": 4}, 4),
        ({"split": 4}, 1),
        ({"accumulate": 2, "split": 2}, 2),
        ({"skip_padding": [0.5]}, 1),
        ({"skip_padding": True, "accumulate": 2}, 2),
        ({"skip_padding": [0.5], "split": 2}, 1),
    ],
    ids=str,
)
def test_an_update_is_that_of_the_whole_batch(batch, options, calls):
    step = train.step(loss, optax.sgd(RATE), **options)
    state = step.init(PARAMS)
    sums = []
    for number, part in enumerate(parts(batch, calls)):
        assert int(state.updates) == 0
        np.testing.assert_array_equal(state.params["w"], PARAMS["w"])
        state, new = step(state, part)
        sums.append(new["loss"])
        assert int(state.step) == number + 1
    assert int(state.updates) == 1
    assert error(state.params, batch) <= 1e-6
    total = sum(sums)
    assert float(total.count) == sum(LENGTHS)
    np.testing.assert_allclose(total.value, loss(PARAMS, batch).value, rtol=1e-6)


def test_means_of_means_are_what_this_avoids(batch):
    optimizer = optax.MultiSteps(optax.sgd(RATE), 4)
    params, state = PARAMS, optimizer.init(PARAMS)
    slope = jax.jit(jax.grad(lambda params, batch: loss(params, batch).value))
    for part in parts(batch, 4):
        changes, state = optimizer.update(slope(params, part), state, params)
        params = optax.apply_updates(params, changes)
    assert error(params, batch) > 0.05


def test_schedules_and_clipping_see_updates(batch):
    rates = optax.piecewise_constant_schedule(1.0, {1: 0.0})  # nothing after the first update
    step = train.step(loss, optax.chain(optax.clip_by_global_norm(1e-3), optax.sgd(rates)), accumulate=2)
    state, seen = step.init(PARAMS), [PARAMS["w"]]
    for part in parts(batch, 4):
        state, _ = step(state, part)
        seen.append(np.array(state.params["w"]))
    moved = [not np.array_equal(a, b) for a, b in itertools.pairwise(seen)]
    assert moved == [False, True, False, False]
    change = np.append(seen[2] - PARAMS["w"], state.params["b"] - PARAMS["b"])
    np.testing.assert_allclose(np.linalg.norm(change), 1e-3, rtol=1e-3)


def test_a_batch_without_real_steps_changes_nothing_but_the_step(batch):
    nothing = jax.tree.map(
        jnp.asarray, {name: jm.masked(x.values, np.zeros((8, 11), bool)) for name, x in batch.items()}
    )
    for options in ({"average": 0.5}, {"accumulate": 2}):
        step = train.step(loss, optax.adamw(0.1), **options)
        state, _ = step(step.init(PARAMS), batch)
        before = jax.tree.map(np.array, state)
        for _ in range(2):
            state, sums = step(state, nothing)
        assert float(sums["loss"].count) == 0
        if "average" in options:
            jax.tree.map(np.testing.assert_array_equal, state, before.replace(step=np.int32(3)))
        else:  # the update that became due
            assert int(state.updates) == 1
            assert float(state.pending["count"]) == 0


def test_an_average_is_that_of_optax(batch):
    step = train.step(loss, optax.sgd(RATE / 10), average=0.7)
    state = step.init(PARAMS)
    ema = optax.ema(0.7)
    oracle = ema.init(PARAMS)
    for _ in range(3):
        state, _ = step(state, batch)
        expected, oracle = ema.update(jax.tree.map(np.array, state.params), oracle)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), state.average, expected)


def test_each_step_has_a_key_of_its_own_and_statistics_go_on(batch):
    def noisy(params, batch, statistics, key):
        mean = loss(params, batch)
        number = jax.random.uniform(key, ())
        return mean, {"number": jm.losses.Mean(number, 1.0)}, {"seen": statistics["seen"] + mean.count}

    step = train.step(noisy, optax.sgd(0.0), split=2)
    numbers = []
    for _ in range(2):
        state = step.init(PARAMS, jax.random.key(5), statistics={"seen": 0.0})
        for _ in range(3):
            state, sums = step(state, batch)
            numbers.append(float(sums["number"].total))
    assert numbers[:3] == numbers[3:]
    assert len(set(numbers)) == 3
    assert float(state.statistics["seen"]) == 3 * sum(LENGTHS)


def test_penalties_in_the_state_of_a_model():
    model = jm.Sequential([jm.Input((None, 3)), jm.layers.Dense(2), jm.layers.ActivityRegularization(l2=1.0)])

    def penalised(params, batch, statistics):
        outputs, statistics = model.apply_with_state(params, statistics, batch, training=True)
        mean = jm.losses.squared_error(outputs, outputs * 0, divide=False)
        return jm.losses.Mean(mean.total + jm.losses.penalties(statistics) * mean.count, mean.count), statistics

    x = jm.from_lengths(np.ones((2, 4, 3), np.float32), [4, 1])
    step = train.step(penalised, optax.sgd(0.01))
    params = model.init(jax.random.key(0))
    state, sums = step(step.init(params, statistics=model.init_state()), x)
    penalty = state.statistics["activity_regularization"]["penalty"]
    outputs = np.ones(3) @ np.asarray(params["dense"]["kernel"])
    np.testing.assert_allclose(penalty, 5 * (outputs**2).sum() / 2, rtol=1e-5)
    assert float(sums["loss"].value) > float(penalty)


def test_parameters_stay_float32_where_the_computation_has_fewer_bits(batch):
    dtypes = []

    def record(params, batch):
        dtypes.append((params["w"].dtype, batch["x"].dtype, batch["y"].dtype, batch["x"].mask.dtype))
        return loss(params, {**batch, "x": batch["x"].astype("bfloat16")})

    step = train.step(record, optax.sgd(RATE), compute_dtype="bfloat16", accumulate=2)
    state = step.init(PARAMS)
    for part in parts(batch, 2):
        state, sums = step(state, part)
    assert dtypes == [(jnp.bfloat16, jnp.float32, jnp.float32, bool)]
    assert {leaf.dtype for leaf in jax.tree.leaves((state.params, state.pending, sums))} == {np.dtype("float32")}
    assert 1e-6 < error(state.params, batch) < 0.05


@pytest.mark.parametrize("options", [{}, {"split": 2}, {"skip_padding": (0.5,)}], ids=str)
def test_targets_and_weights_keep_their_digits_in_fewer_bits(options):
    targets = np.array([[256.5, 1024.25], [0.1, 0.0]], np.float32)  # which bfloat16 cannot hold
    weights = np.array([1.001, 0.999], np.float32)

    def off_target(params, batch):
        outputs = batch["x"] * params["w"]
        assert outputs.dtype == jnp.bfloat16
        return jm.losses.squared_error(outputs, batch["y"], sample_weight=batch["weight"], divide=False)

    step = train.step(off_target, optax.sgd(1), compute_dtype="bfloat16", **options)
    x, y = (jm.from_lengths(a, [2, 1]) for a in (np.zeros((2, 2), jnp.bfloat16), targets))
    _, sums = step(step.init({"w": np.float32(1)}), {"x": x, "y": y, "weight": weights})
    of_steps = (np.float64(targets) ** 2).sum(1)
    np.testing.assert_allclose(sums["loss"].total, of_steps @ weights.astype(float), rtol=1e-6)


def test_a_loss_scale_changes_nothing_but_the_range(batch):
    step = train.step(loss, optax.sgd(RATE), loss_scale=1024)
    state, sums = step(step.init(PARAMS), batch)
    assert error(state.params, batch) <= 1e-6
    assert float(sums["skipped"].value) == 0
    assert state.loss_scale is None


def test_a_dynamic_scale_skips_what_overflows_and_follows(batch):
    rule = train.DynamicScale(initial=4.0, interval=2, smallest=1.5)
    step = train.step(loss, optax.sgd(RATE), loss_scale=rule, accumulate=2)
    huge = {"x": batch["x"] * 1e30, "y": batch["y"]}
    state, scales, skipped = step.init(PARAMS), [], []
    for each in (*parts(batch, 2), huge, huge):
        state, sums = step(state, first_rows(each, 4))
        scales.append(float(state.loss_scale["scale"]))
        skipped.append(float(sums["skipped"].total))
        if len(scales) == 2:
            assert error(state.params, batch) <= 1e-6
    assert scales == [4, 8, 4, 2]
    assert skipped == [0, 0, 1, 1]
    assert int(state.updates) == 1
    assert error(state.params, batch) <= 1e-6


def test_the_third_call_compiles_nothing_and_new_shapes_warn_once(batch):
    step = train.step(loss, optax.adam(0.1), accumulate=2, average=0.9)
    params = {"w": jnp.asarray(PARAMS["w"]), "b": 0.1}  # a weakly typed number
    state = step.init(params)
    state, _ = step(state, batch)
    compiled = step._programs.size()
    for _ in range(2):
        state, _ = step(state, batch)
    assert step._programs.size() == compiled
    assert not params["w"].is_deleted()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        state, _ = step(state, parts(batch, 2)[0])
        state, _ = step(state, parts(batch, 4)[0])
    assert len(seen) == 1
    assert seen[0].category is train.CompiledShapesWarning
    assert seen[0].filename == __file__
    for text in ("compiled 2 shapes of batches; 1 announced", "`train.step(..., shapes=2)`"):
        assert text in str(seen[0].message)
    announced = train.step(loss, optax.sgd(0.1), shapes=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for part in (batch, parts(batch, 2)[0]):
            announced(announced.init(PARAMS), part)


MEAN = jm.losses.Mean(1.0, 2.0)
BAD = [
    (lambda params, batch: loss(params, batch).value, TypeError, r"float32\[\]. A loss of jmask .*`divide=False`"),
    (lambda params, batch: (MEAN, {"a": 0.5}), TypeError, r"metrics are sums.*float32\[\] for 'a'"),
    (lambda params, batch: (MEAN, [MEAN]), TypeError, "metrics are a dict by name.*received a list"),
    (lambda params, batch: (MEAN, {"loss": MEAN}), ValueError, r"itself gives the sums \['loss'\]"),
    (lambda params, batch: (MEAN, {}, {}), TypeError, r"received \(a Mean, a dict, a dict\)"),
    (lambda params, batch: jm.losses.Mean(jnp.ones(2), 2.0), ValueError, r"single numbers; received shapes \(2,\)"),
    (
        lambda params, batch: jm.metrics.perplexity(jnp.ones((1, 2, 3)), jnp.ones((1, 2), int)),
        TypeError,
        "PerplexitySums",
    ),
]


@pytest.mark.parametrize(("bad", "kind", "text"), BAD, ids=[text for *_, text in BAD])
def test_what_is_no_sum_is_refused(batch, bad, kind, text):
    step = train.step(bad, optax.sgd(0.1))
    with pytest.raises(kind, match=text):
        jax.eval_shape(step, step.init(PARAMS), batch)


def with_statistics(params, batch, statistics):
    return MEAN


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (lambda: train.step(loss, optax.sgd(1), accumulate=0), ValueError, "`accumulate` is a whole number from 1 on"),
        (lambda: train.step(loss, optax.sgd(1), split=True), ValueError, "`split` is a whole number from 1 on"),
        (lambda: train.step(loss, optax.sgd(1), average=1.0), ValueError, "`average` is the decay.*received 1.0"),
        (lambda: train.step(loss, optax.sgd(1), skip_padding=[2]), ValueError, r"`fractions` are.*Received \[2\]"),
        (lambda: train.step(loss, optax.sgd(1), skip_padding=0.5), ValueError, r"`fractions` are.*Received 0.5"),
        (lambda: train.step(loss, 0.1), TypeError, "gradient transformation of optax"),
        (lambda: train.step(0.1, optax.sgd(1)), TypeError, r"a function `loss\(params, batch\)`"),
        (lambda: train.step(lambda p, b, rng: 0, optax.sgd(1)), TypeError, r"received `loss\(p, b, rng\)`"),
        (
            lambda: train.step(loss, optax.sgd(1), compute_dtype="int8"),
            ValueError,
            "`compute_dtype` is a dtype of floats",
        ),
        (lambda: train.step(loss, optax.sgd(1), loss_scale=-1), ValueError, "`loss_scale` is a number above 0"),
        (lambda: train.DynamicScale(backoff=2.0), ValueError, "`backoff` between 0 and 1"),
        (
            lambda: train.step(lambda p, b, key: MEAN, optax.sgd(1)).init(PARAMS),
            ValueError,
            r"takes `key`.*`step.init\(params, jax.random.key\(0\)\)`",
        ),
        (lambda: train.step(loss, optax.sgd(1)).init(PARAMS, statistics={}), ValueError, "takes no `statistics`"),
        (
            lambda: train.step(loss, optax.sgd(1)).init({"w": np.ones(2), "count": np.uint32(0)}),
            TypeError,
            r"params\['count'\] is uint32.*nnx.split\(module, nnx.Param, ...\)",
        ),
        (lambda: train.step(with_statistics, optax.sgd(1)).init(PARAMS), ValueError, r"model.init_state\(x\)"),
    ],
)
def test_bad_options(make, kind, text):
    with pytest.raises(kind, match=text):
        make()


def test_new_statistics_are_of_the_kind_of_the_old(batch):
    step = train.step(lambda p, b, statistics: (MEAN, {"n": jnp.ones(2)}), optax.sgd(1))
    with pytest.raises(ValueError, match=r"statistics of the structure.*given \{'n': \(\)\}, and got \{'n': \(2,\)\}"):
        jax.eval_shape(step, step.init(PARAMS, statistics={"n": 0.0}), batch)


def test_rows_that_do_not_split(batch):
    step = train.step(loss, optax.sgd(1), split=3, shapes=2)
    for rows in (batch, batch | {"labels": np.zeros(64)}):
        with pytest.raises(ValueError, match=r"`split=3`.*received shapes \[.*\(8, 11, 3\)"):
            jax.eval_shape(step, step.init(PARAMS), rows)


def test_a_state_that_is_none_or_gone_is_refused(batch):
    step = train.step(loss, optax.sgd(1))
    state = step.init(PARAMS)
    for wrong in (PARAMS, batch):
        with pytest.raises(TypeError, match=r"takes the state first, .*received a dict"):
            step(wrong, batch)
    kept = jax.tree.map(jnp.copy, state)
    step(state, batch)
    with pytest.raises(ValueError, match=r"took its memory; go on with the one that it returned"):
        step(state, batch)
    step(kept, batch)
    packed = {name: jm.pack(jm.unpad(x)) for name, x in batch.items()}
    with pytest.raises(ValueError, match=r"packed already.*for `train.step`, leave out `skip_padding`"):
        train.step(loss, optax.sgd(1), skip_padding=True)(step.init(PARAMS), packed)


def test_docstring_says_every_option():
    for name in inspect.signature(train.step).parameters:
        assert f"    {name}: " in inspect.getdoc(train.step)


def test_strings_are_refused_and_the_remedy_works():
    corpus = data.Ragged(words=[["the", "cat"], ["sat"]])

    def first(corpus):
        return next(iter(data.batches(corpus, data.padded(rows=2), seed=0)))

    step = train.step(lambda params, batch: jm.metrics.mean(params["w"] * batch["words"]), optax.sgd(0.1))
    with pytest.raises(TypeError, match=r"batch\['words'\].* holds strings") as info:
        step(step.init({"w": np.float32(1)}), first(corpus))
    encode, leave_out = re.findall(r"`(\w+ = [^`]+|corpus\.replace[^`]+)`", str(info.value))[:2]
    names = {"data": data, "corpus": corpus}
    exec(f"{encode}\n{leave_out}", names)
    _, sums = step(step.init({"w": np.float32(1)}), first(names["corpus"]))
    assert float(sums["loss"].count) == 3
