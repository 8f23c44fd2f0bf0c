"""Batches: each sequence as it is in the corpus, the same batches after a restart, and shards that add up."""

import itertools
import json
import logging
import threading

import grain
import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

import jmask as jm
from jmask import data
from jmask.data import copying

PLANS = {
    "padded": data.padded(rows=6),
    "buckets": data.buckets(3, tokens=64, rows_multiple_of=2),
    "packed": data.packed(row_length=30, rows=4),
    "packed, few segments": data.packed(row_length=30, rows=4, max_segments=3),
    "packed, split": data.packed(row_length=13, rows=4, split=True),
    "padded, truncated": data.padded(rows=4, width=9, truncate=True),
    "in order": data.padded(rows=6, shuffle=False),
}


@pytest.fixture
def corpus(rng):
    """Sequences of one and of several columns, with holes and empty ones, and values a row; `index` says which row."""
    lengths = rng.integers(0, 23, 61)
    return data.Ragged(
        index=np.arange(61),
        words=[rng.integers(1, 99, n) for n in lengths],
        tags=[np.ma.array(rng.normal(size=n), mask=rng.random(n) < 0.2) for n in lengths],
        frames=[rng.normal(size=(n, 3)).astype("float32") for n in lengths // 2],
        names=[["w" * (i + 1) for i in range(n)] for n in lengths],
        weight=rng.normal(size=61),
    )


def rows_of(batch, name):
    """The real steps of each sequence of a batch, by the index of its row in the corpus."""
    x, index = batch[name], batch["index"]
    if x.segment_ids is None:
        sequences = jm.unpad(x)
    else:
        ids, steps = np.asarray(x.segment_ids), np.asarray(x.values)
        sequences = [steps[ids == k] for k in range(1, len(index) + 1)]
    return [(int(i), found) for i, found, real in zip(index.values, sequences, index.mask, strict=True) if real]


def real(steps):
    return steps.compressed() if isinstance(steps, np.ma.MaskedArray) else steps


@pytest.mark.parametrize("name", PLANS)
def test_each_sequence_is_as_in_the_corpus(name, corpus):
    plan = PLANS[name]
    rows = corpus if name != "packed, split" else corpus[["index", "words", "tags", "names", "weight"]]
    batches = data.batches(rows, plan, seed=0, epochs=1)
    found = list(batches)
    assert len(found) == batches.num_steps(0) == len(batches.epoch(0))
    limit = 9 if plan.truncate else 99
    for column in set(rows.columns) - {"index", "weight"}:
        steps = {}
        for i, sequence in itertools.chain(*(rows_of(batch, column) for batch in found)):
            steps.setdefault(i, []).append(sequence)
        assert sorted(steps) == list(range(61))
        for i, parts in steps.items():
            assert plan.split or len(parts) == 1
            # Parts of a split sequence may come in any order, in any batch.
            parts = sorted(map(np.ndarray.tolist, parts))
            whole = rows[i][column]
            cuts = [whole[a : a + 13] for a in range(0, max(len(whole), 1), 13)] if plan.split else [whole[:limit]]
            expected = [real(cut) for cut in cuts]
            expected = [cut.astype(found[0][column].dtype) for cut in expected]
            assert parts == sorted(map(np.ndarray.tolist, expected))
    shapes = {tuple((k, x.shape, x.dtype, x.mask.shape) for k, x in batch.items()) for batch in found}
    assert len(shapes) <= (3 if plan == PLANS["buckets"] else 1)
    for batch in found:
        assert {type(x.values) for x in batch.values()} == {np.ndarray}
        weight, index = batch["weight"], batch["index"]
        np.testing.assert_array_equal(weight.mask, index.mask)
        np.testing.assert_array_equal(
            weight.values[weight.mask], corpus["weight"].values[index.values[index.mask]].astype("float32")
        )


def test_missing_steps_are_holes(corpus):
    batch = data.batches(corpus, PLANS["packed"], seed=0).epoch(0)
    tags, words = (next(iter(batch))[name] for name in ("tags", "words"))
    assert (~tags.mask & words.mask).any()
    assert not (tags.mask & ~words.mask).any()
    np.testing.assert_array_equal(tags.segment_ids, np.where(tags.mask, words.segment_ids, 0))


def test_ids_count_the_sequences_of_a_batch(corpus):
    for batch in data.batches(corpus, PLANS["packed"], seed=0, epochs=1):
        count = int(batch["index"].mask.sum())
        assert batch["index"].mask[:count].all()
        assert set(np.unique(batch["words"].segment_ids)) <= set(range(count + 1))
        firsts = [np.flatnonzero(batch["words"].segment_ids.ravel() == k)[:1] for k in range(1, count + 1)]
        assert (np.diff(np.concatenate(firsts)) > 0).all()


@pytest.mark.parametrize("name", ["packed", "packed, few segments"])
def test_entry_k_belongs_to_the_sequence_of_that_id(name, corpus):
    for batch in data.batches(corpus, PLANS[name], seed=0, epochs=1):
        words, index = batch["words"], batch["index"]
        assert index.shape == (words.num_sequences,)
        assert words.num_sequences == batch["frames"].num_sequences
        sequences = jm.unpack(words, num_sequences=words.num_sequences)
        for i, is_real, steps in zip(index.values, index.mask, sequences, strict=True):
            np.testing.assert_array_equal(steps, corpus[i]["words"] if is_real else [])


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("name", ["padded", "buckets", "packed"])
def test_a_restart_at_any_step_gives_the_same_batches(name, prefetch, corpus):
    batches = data.batches(corpus, PLANS[name], seed=0, epochs=2, prefetch=prefetch).map(_sums)
    batches = batches.random_map(lambda sums, rng: (*sums, rng.random()))
    whole, iterator, states = [], iter(batches), []
    for _ in range(batches.num_steps(0) + batches.num_steps(1)):
        states.append(json.loads(json.dumps(iterator.get_state())))
        whole.append(next(iterator))
    with pytest.raises(StopIteration):
        next(iterator)
    assert iterator.get_state() == {"epoch": 2, "step": 0}
    assert states[batches.num_steps(0)] == {"epoch": 1, "step": 0}
    assert len(set(whole)) == len(whole)
    for at, state in enumerate(states):
        if at % 3 == 0:
            other = iter(batches)
            next(other)
            other.set_state(state)
            assert other.get_state() == state
            assert list(other) == whole[at:]
    assert list(batches.epoch(1, start=2)) == whole[batches.num_steps(0) + 2 :]


@pytest.mark.parametrize("name", ["padded", "buckets", "packed"])
def test_batches_do_not_depend_on_the_block_they_are_made_in(name, corpus, monkeypatch):
    batches = data.batches(corpus, PLANS[name], seed=0, epochs=1, prefetch=0)
    blocks, few = {}, 3 * int(batches._copier.bytes.max())
    for size in (1, few, 1 << 20):  # one batch, a few, all
        monkeypatch.setattr(copying, "_BLOCK_BYTES", size)
        blocks[size] = len(batches._block(0, 0))
        for start in (0, 1, batches.num_steps(0) - 1):
            for step, batch in enumerate(batches.epoch(0, start), start):
                monkeypatch.setattr(copying, "_BLOCK_BYTES", 1)
                alone = next(iter(batches.epoch(0, step)))
                monkeypatch.setattr(copying, "_BLOCK_BYTES", size)
                jax.tree.map(np.testing.assert_array_equal, batch, alone)
    assert blocks[1] == 1 < blocks[few] < blocks[1 << 20] == batches.num_steps(0)


@pytest.mark.parametrize("name", ["padded", "buckets", "packed"])
def test_changing_a_batch_changes_no_other(name, corpus):
    batches = data.batches(corpus, PLANS[name], seed=0, epochs=1, prefetch=0)
    assert len(batches._block(0, 0)) > 1
    arrays = [[(x.values, x.mask, x.segment_ids) for x in batch.values()] for batch in batches]
    for parts in itertools.chain(*arrays):
        assert all(part.flags.c_contiguous and part.flags.writeable for part in parts if part is not None)
    expected, iterator = list(batches), iter(batches)
    for step, batch in enumerate(expected):
        found = next(iterator)
        jax.tree.map(np.testing.assert_array_equal, found, batch)
        for leaf in jax.tree.leaves(found):
            leaf[...] = leaf.flat[0]
        iterator.set_state({"epoch": 0, "step": step})  # the batch is made anew, not the one that was changed
        jax.tree.map(np.testing.assert_array_equal, next(iterator), batch)
        if step % 2 == 0 and step + 1 < len(expected):
            iterator.set_state({"epoch": 0, "step": step + 1})


def test_a_function_that_raised_gets_the_same_batch_again(corpus):
    calls = []

    def fail_once(batch):
        calls.append(batch["index"].values.tolist())
        batch["index"].values[:] = -1
        if len(calls) == 2:
            raise KeyError("once")
        return batch

    iterator = iter(data.batches(corpus, PLANS["padded"], seed=0, epochs=1, prefetch=0).map(fail_once))
    next(iterator)
    with pytest.raises(KeyError, match="once"):
        next(iterator)
    next(iterator)
    assert calls[0] != calls[1] == calls[2]


def _sums(batch):
    return tuple(float(batch[name].values[batch[name].mask].sum()) for name in ("index", "words", "frames"))


def test_grain_and_orbax_save_the_position(corpus, tmp_path):
    batches = data.batches(corpus, PLANS["packed"], seed=0, epochs=1).map(_sums)
    iterator, other = iter(batches), iter(batches)
    whole = list(batches)
    next(iterator)
    manager = ocp.CheckpointManager(tmp_path)
    manager.save(1, args=grain.checkpoint.CheckpointSave(iterator))
    manager.wait_until_finished()
    manager.restore(1, args=grain.checkpoint.CheckpointRestore(other))
    manager.close()
    assert list(other) == whole[1:]


def test_the_state_of_other_data_is_refused(corpus):
    iterator = iter(data.batches(corpus, PLANS["packed"], seed=0))
    with pytest.raises(ValueError, match=r"epoch 3 has \d+ steps: it is of other data"):
        iterator.set_state({"epoch": 3, "step": 999})
    with pytest.raises(TypeError, match=r"`state\['step'\]` must be an integer; received None"):
        iterator.set_state({"epoch": 3})


@pytest.mark.parametrize("name", ["padded", "buckets", "packed", "packed, few segments"])
def test_shards_add_up_to_the_batch(name, corpus):
    plan = PLANS[name]
    shards = [data.batches(corpus, plan, seed=0, epochs=1, shard=(i, 2)) for i in range(2)]
    whole = data.batches(corpus, plan, seed=0, epochs=1)
    assert {shard.num_steps(0) for shard in shards} == {whole.num_steps(0)}
    assert {shard.fingerprint() for shard in shards} == {whole.fingerprint()}
    for batch, *parts in zip(whole, *shards, strict=True):
        for column in ("words", "tags", "frames"):
            np.testing.assert_array_equal(np.concatenate([p[column].values for p in parts]), batch[column].values)
            np.testing.assert_array_equal(np.concatenate([p[column].mask for p in parts]), batch[column].mask)
        values = [p["index"].values[p["index"].mask] for p in parts]
        np.testing.assert_array_equal(np.concatenate(values), batch["index"].values[batch["index"].mask])
        if batch["words"].segment_ids is not None:
            for part in parts:
                assert len(jm.unpack(part["words"])) <= part["index"].mask.sum()
                for i, steps in rows_of(part, "words"):
                    np.testing.assert_array_equal(steps, corpus[i]["words"])


def test_epochs_differ_and_evaluation_keeps_the_order(corpus):
    batches = data.batches(corpus, PLANS["padded"], seed=0)
    first, second = ([next(iter(batches.epoch(k)))["index"].values.tolist()] for k in (0, 1))
    assert first != second
    in_order = data.batches(corpus, PLANS["in order"], seed=0, epochs=1)
    found = np.concatenate([batch["index"].values[batch["index"].mask] for batch in in_order])
    assert found.tolist() == list(range(61))


@pytest.mark.parametrize("name", PLANS)
def test_small_corpora(name, corpus):
    small = corpus[["index", "words"]]
    for count in (0, 1, 2):
        batches = data.batches(small[:count], PLANS[name], seed=0, epochs=None if count == 0 else 1)
        found = list(batches)
        rows = list(itertools.chain(*(rows_of(batch, "words") for batch in found)))
        assert {i for i, _ in rows} == set(range(count))
        assert sum(len(steps) for _, steps in rows) == sum(
            min(n, 9) if PLANS[name].truncate else n for n in small.lengths["words"][:count]
        )


def test_a_corpus_of_values_alone():
    batches = data.batches(data.Ragged(x=np.arange(5), y=list("abcde")), data.padded(rows=3), seed=0, epochs=1)
    found = list(batches)
    assert [batch["x"].mask.tolist() for batch in found] == [[True] * 3, [True, True, False]]
    assert found[1]["y"].values.tolist()[2] == ""


def test_abstract_batches_have_the_shapes_of_the_batches(corpus):
    numbers = corpus[["words", "tags", "weight"]]
    for plan in (PLANS["buckets"], PLANS["packed"]):
        batches = data.batches(numbers, plan, seed=0, epochs=1).map(lambda batch: {**batch, "more": batch["words"] + 1})
        shapes = {str(jax.tree.map(lambda x: (x.shape, x.dtype), batch)) for batch in batches.shapes}
        assert {str(jax.tree.map(lambda x: (x.shape, x.dtype), batch)) for batch in batches} == shapes
        assert len(shapes) == len(batches.shapes)


def test_fingerprints_tell_data_plans_and_seeds_apart(corpus):
    plan = PLANS["packed"]
    base = data.batches(corpus, plan, seed=0)
    assert base.fingerprint() == data.batches(corpus, plan, seed=0, epochs=3, prefetch=0).map(_sums).fingerprint()
    others = [
        data.batches(corpus, plan, seed=1),
        data.batches(corpus[:60], plan, seed=0),
        data.batches(corpus[np.r_[1:61, 0]], plan, seed=0),
        data.batches(corpus.replace(weight=None), plan, seed=0),
        data.batches(corpus, PLANS["padded"], seed=0),
        *(data.batches(data.Ragged(a=[[word], ["z"]]), plan, seed=0) for word in "xy"),
        *(data.batches(data.Ragged(a=[[5, n], [6]]), plan, seed=0) for n in (7, 8)),
    ]
    assert len({batches.fingerprint() for batches in (base, *others)}) == 10


def test_what_is_left_out_is_logged_once(corpus, caplog):
    with caplog.at_level(logging.WARNING):
        batches = data.batches(corpus, data.padded(rows=4, width=20, drop=True), seed=0)
        next(iter(batches.map(_sums)))
    assert [record.getMessage() for record in caplog.records] == [f"data.batches: {batches.note}"]
    assert "sequences are dropped, too long" in repr(batches)


def test_columns_that_nearly_agree_in_length_are_told(caplog):
    """One tag too few is a mistake, which a loss under `jax.jit` cannot see; source and target differ in most rows."""
    words, tags = [[1, 2, 3], [4], [5, 6], []], [[1, 2, 3], [4], [5], []]
    for of_column in (tags, [[1], [2, 3], [4, 5, 6], []]):
        data.batches(data.Ragged(words=words, tags=of_column), data.padded(rows=2), seed=0)
    assert [record.getMessage() for record in caplog.records] == [
        "data.batches: lengths differ, `tags`: other than `words` in 1 of 4 rows: a mistake? Labels without a step "
        "count nowhere"
    ]
    described = str(data.packed(row_length=5, rows=1).describe(data.Ragged(words=words, tags=tags)))
    assert "lengths          `tags`: other than `words` in 1 of 4 rows" in described
    assert "empty            1 sequences, which count in no loss and no metric" in described


def test_a_function_of_the_user_may_raise(corpus):
    def fail(batch):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        next(iter(data.batches(corpus, PLANS["padded"], seed=0).map(fail)))


def test_no_thread_outlives_an_epoch(corpus):
    before = threading.active_count()
    for _ in data.batches(corpus, PLANS["padded"], seed=0).epoch(0):
        pass
    assert threading.active_count() == before


def test_grains_own_methods_follow(corpus):
    batches = data.batches(corpus, PLANS["padded"], seed=0, epochs=1)
    assert isinstance(batches, grain.IterDataset)
    kept = batches.map(_sums).filter(lambda sums: sums[0] > 0)
    assert list(kept) == [sums for sums in map(_sums, batches) if sums[0] > 0]


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda c: data.batches([[1]], PLANS["padded"], seed=0), TypeError, "takes a corpus, `data.Ragged"),
    (lambda c: data.batches(c, 32, seed=0), TypeError, r"takes a plan, for example `data.padded\(rows=32\)`"),
    (lambda c: data.batches(c, PLANS["padded"], seed=-1), ValueError, "`seed` must be at least 0"),
    (lambda c: data.batches(c, PLANS["padded"], seed=0, epochs=1.0), TypeError, "`epochs` must be an integer or None"),
    (lambda c: data.batches(c, PLANS["padded"], seed=0, shard=2), TypeError, r"`shard` must be a pair"),
    (lambda c: data.batches(c, PLANS["padded"], seed=0, shard=(2, 2)), ValueError, "index from 0 to 1"),
    (lambda c: data.batches(c, PLANS["padded"], seed=0, shard=(0, 4)), ValueError, "Pass a multiple of 4 as `rows=`"),
    (lambda c: data.batches(c, data.packed(row_length=9, rows=2), seed=0), ValueError, "have more than 9 steps"),
    (lambda c: data.batches(c, PLANS["padded"], seed=0).epoch(-1), ValueError, "`epoch` must be at least 0"),
    (lambda c: data.batches(c, PLANS["padded"], seed=0).epoch(0, 12), ValueError, "epoch 0 has 11 steps; received 12"),
])  # fmt: skip
def test_bad_input(make, error, message, corpus):
    with pytest.raises(error, match=message):
        make(corpus)


@pytest.mark.parametrize("name", ["padded", "packed, few segments"])
def test_batches_on_a_mesh_are_those_of_the_host(corpus, name):
    mesh = jax.make_mesh((2,), ("data",), devices=jax.devices()[:2])
    rows = jax.NamedSharding(mesh, jax.P("data"))
    numbers = data.Ragged(**{name: corpus[name] for name in corpus.columns if name != "names"})
    host = data.batches(numbers, PLANS[name], seed=3, epochs=1)
    found = data.batches(numbers, PLANS[name], seed=3, epochs=1, sharding=rows)
    assert found.fingerprint() == host.fingerprint()
    for batch, expected, shapes in zip(found, host, itertools.cycle(found.shapes), strict=False):
        for leaf, array, shape in zip(*map(jax.tree.leaves, (batch, expected, shapes)), strict=True):
            assert leaf.sharding == shape.sharding == rows
            assert (leaf.shape, leaf.dtype) == (shape.shape, shape.dtype)
            np.testing.assert_array_equal(leaf, array)
    iterator = iter(found)
    next(iterator)
    assert iterator.get_state()["step"] == 1
    assert (
        found.map(lambda batch: {"rows": np.ones(len(batch["words"].values))}).shapes[0]["rows"].values.sharding == rows
    )


def test_a_mesh_that_does_not_fit_is_refused(corpus):
    rows = jax.NamedSharding(jax.make_mesh((4,), ("data",), devices=jax.devices()[:4]), jax.P("data"))
    with pytest.raises(ValueError, match=r"Each of 4 shards takes an equal share .* Pass a multiple of 4"):
        data.batches(corpus, data.padded(rows=6), seed=0, sharding=rows)
    with pytest.raises(ValueError, match="`shard` must be None"):
        data.batches(corpus, data.padded(rows=8), seed=0, sharding=rows, shard=(0, 1))
    with pytest.raises(TypeError, match=r"`NamedSharding\(mesh, PartitionSpec\('data'\)\)`"):
        data.batches(corpus, data.padded(rows=8), seed=0, sharding=jax.devices()[0])


def test_shapes_of_batches_with_a_number(corpus):
    batches = data.batches(corpus[["index"]], data.padded(rows=6), seed=0)
    (shapes,) = batches.map(lambda batch: {**batch, "weight": 3.0}).shapes
    assert (shapes["weight"], shapes["index"].shape) == (3.0, (6,))


def test_batches_have_no_length_and_say_what_has(corpus):
    batches = data.batches(corpus, data.padded(rows=6), seed=0, epochs=1)
    with pytest.raises(TypeError, match=r"Batches have no length, since epochs differ. `len\(batches.epoch\(0\)\)`"):
        len(batches)
    assert batches  # is asked for no length
    assert len(list(batches)) == len(batches.epoch(0)) == sum(batches.num_steps(epoch) for epoch in range(1))


@pytest.mark.parametrize(
    ("function", "kind", "text"),
    [
        (lambda batch: {"key": jax.random.split(jax.random.key(0), 8)}, TypeError, "'key'.* is of dtype key"),
        (
            lambda batch: {"x": jm.masked(np.ones(7), np.ones(7, bool))},
            ValueError,
            "into 8 equal parts; received 7 rows",
        ),
    ],
)
def test_what_map_returns_can_be_divided(corpus, function, kind, text):
    rows = jax.NamedSharding(jax.make_mesh((8,), ("data",), devices=jax.devices()[:8]), jax.P("data"))
    batches = data.batches(corpus[["index"]], data.padded(rows=8), seed=0, sharding=rows, prefetch=0)
    with pytest.raises(kind, match=text):
        next(iter(batches.map(function)))
