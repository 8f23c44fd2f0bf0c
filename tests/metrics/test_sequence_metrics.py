"""Entities, matches and edit distances beside Python, one sequence at a time; layouts, packed rows, what is refused."""

import functools

import jax
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from jmask.testing.counting import num_compiles
from tests.support import sequence_oracles as oracles

BIO = ("B-PER", "O", "I-PER", "I-LOC", "B-LOC")
BIOES = ("O", "B-x", "I-x", "E-x", "S-x", "B-y", "I-y", "E-y", "S-y")
BILOU = ("O", "B-x", "I-x", "L-x", "U-x", "B-y", "I-y", "L-y", "U-y")
LENGTHS = (5, 0, 11, 1, 7, 11, 11, 3)


def draw(rng, num_tags, lengths=LENGTHS):
    """Predictions that are often right, and targets."""
    true = [rng.integers(0, num_tags, n) for n in lengths]
    return [np.where(rng.random(len(row)) < 0.7, row, rng.integers(0, num_tags, len(row))) for row in true], true


def layouts(rows, rng):
    """The rows padded on the right, on the left, and with holes, with ids that are none in the padding."""
    order = rng.permuted(np.broadcast_to(np.arange(13), (len(rows), 13)), axis=1)
    for side in ("post", "pre"):
        x = jm.pad_sequences(rows, padding=side, maxlen=13)
        yield jm.masked(x.fill(-7), x.mask)
    values, mask = np.full(order.shape, 99), np.zeros(order.shape, bool)
    for i, row in enumerate(rows):
        places = np.sort(order[i, : len(row)])
        values[i, places], mask[i, places] = row, True
    yield jm.masked(values, mask)


# Entities


@pytest.mark.parametrize("mode", ["lenient", "strict"])
@pytest.mark.parametrize("tags", [BIO, BIOES, BILOU], ids=["BIO", "BIOES", "BILOU"])
def test_entities_are_those_of_each_row(tags, mode, rng):
    predictions, targets = draw(rng, len(tags))
    names = [tag.translate(str.maketrans("LU", "ES")) if tags is BILOU else tag for tag in tags]
    rows = [[[names[i] for i in row] for row in pair] for pair in zip(predictions, targets, strict=True)]
    types = ("PER", "LOC") if tags is BIO else ("x", "y")
    expected = oracles.entity_counts(rows, types, mode, tags is not BIO)
    run = jax.jit(functools.partial(jm.metrics.entity_f1, tags=tags, mode=mode))
    seed = int(rng.integers(100))
    for x, y in zip(*(layouts(rows, np.random.default_rng(seed)) for rows in (predictions, targets)), strict=True):
        found = run(x, y)
        assert_close(np.stack([found.hits, found.predicted, found.actual]), expected)
    assert expected[0].all()


def test_entities_by_hand():
    tags = ["O", "B-a", "I-a", "B-b", "I-b", "E-a", "S-a"]
    score = functools.partial(jm.metrics.entity_f1, tags=tags)

    def numbers(found):
        return [int(x.sum()) for x in (found.hits, found.predicted, found.actual)]

    assert numbers(score(np.array([[0, 2, 2, 0]]), np.array([[0, 1, 2, 0]]))) == [1, 1, 1]  # an I after O begins
    assert numbers(score(np.array([[0, 2, 2, 0]]), np.array([[0, 1, 5, 0]]), mode="strict")) == [0, 0, 1]
    assert numbers(score(np.array([[1, 2]]), np.array([[1, 2]]), mode="strict")) == [0, 0, 0]  # without an E
    assert numbers(score(np.array([[1, 4]]), np.array([[1, 2]]))) == [0, 2, 1]  # another type begins
    assert numbers(score(np.array([[1, 2]]), np.array([[1, 1]]))) == [0, 1, 2]
    assert numbers(score(np.array([[6, 2]]), np.array([[6, 6]]))) == [2, 2, 2]
    bio = functools.partial(jm.metrics.entity_f1, tags=tags[:5])
    assert numbers(bio(np.array([[1, 2]]), np.array([[1, 2]]), mode="strict")) == [1, 1, 1]
    assert numbers(bio(np.array([[2, 1]]), np.array([[1, 1]]), mode="strict")) == [1, 1, 2]
    without_types = jm.metrics.entity_f1(np.array([[1, 2, 0]]), np.array([[1, 2, 1]]), tags=["O", "B", "I"])
    assert (float(without_types.precision), float(without_types.recall)) == (1.0, 0.5)


def test_averages_over_types_and_scores_that_decide(rng):
    predictions, targets = draw(rng, len(BIO))
    x, y = jm.pad_sequences(predictions), jm.pad_sequences(targets)
    counts = jm.metrics.entity_f1(x, y, tags=BIO)
    hits, predicted, actual = (np.asarray(c) for c in (counts.hits, counts.predicted, counts.actual))
    each = 2 * hits / (predicted + actual)
    scores = x.map(lambda ids: jax.nn.one_hot(ids, len(BIO)))
    for average, expected in (
        ("micro", 2 * hits.sum() / (predicted + actual).sum()),
        ("macro", each.mean()),
        ("weighted", (each * actual).sum() / actual.sum()),
        (None, each),
    ):
        assert_close(jm.metrics.entity_f1(scores, y, tags=BIO, average=average).value, expected)
    halves = [jm.metrics.entity_f1(x[s], y[s], tags=BIO) for s in (slice(0, 3), slice(3, 8))]
    assert_close(sum(halves).value, counts.value)
    assert_close(counts.precision, hits.sum() / predicted.sum())


def test_entities_of_packed_rows_end_with_their_sequence(rng):
    predictions, targets = draw(rng, len(BIO))
    expected = jm.metrics.entity_f1(jm.pad_sequences(predictions), jm.pad_sequences(targets), tags=BIO)
    packed = [jm.pack(rows, row_length=17) for rows in (predictions, targets)]
    found = jm.metrics.entity_f1(*packed, tags=BIO)
    jax.tree.map(assert_close, found, expected)
    two = jm.from_segment_ids(np.array([[0, 2, 2, 2]]), [[1, 1, 2, 2]])
    assert int(jm.metrics.entity_f1(two, two, tags=BIO).predicted.sum()) == 2


def test_tags_that_do_not_count_are_left_out_of_their_entity():
    found, true = np.array([[0, 4, 2, 1]]), np.array([[0, -100, 2, 1]])  # the second half of a word
    with pytest.raises(ValueError, match=r"there is -100.*`ignore_index=-100`"):
        jm.metrics.entity_f1(found, true, tags=BIO)
    assert float(jm.metrics.entity_f1(found, true, tags=BIO, ignore_index=-100).value) == 1.0
    assert np.isnan(jax.jit(lambda x, y: jm.metrics.entity_f1(x, y, tags=BIO).value)(found, true))


# Matches and distances


def pairs(rng):
    """Sequences of few ids, alike and not; empty ones on each side and on both."""
    x = [[], [], [1], [1, 2, 3], [1, 2], [3, 1, 2, 2], *(rng.integers(0, 3, n).tolist() for n in (9, 4, 7))]
    y = [[], [2, 2], [], [1, 2, 3], [1, 2, 0], [1, 2, 2], *(rng.integers(0, 3, n).tolist() for n in (7, 4, 11))]
    return [np.array(row, int) for row in x], [np.array(row, int) for row in y]


def test_matches_and_distances_are_those_of_each_row(rng):
    x, y = pairs(rng)
    distances = [oracles.edit_distance(*row) for row in zip(x, y, strict=True)]
    same = [np.array_equal(*row) for row in zip(x, y, strict=True)]
    both = *layouts(x, rng), jm.pad_sequences(x)
    for found, true in zip(both, (*layouts(y, rng), jm.pad_sequences(y)), strict=True):
        assert_close(jm.metrics.edit_distance(found, true).value, sum(distances) / 8)  # the empty pair counts nowhere
        assert_close(jm.metrics.word_error_rate(found, true).value, sum(distances) / sum(map(len, y)))
        match = jm.metrics.exact_match(found, true)
        assert (float(match.total), float(match.count)) == (sum(same) - 1, 8)
    weights = rng.random(9).astype(np.float32)
    found = jm.metrics.edit_distance(both[0], jm.pad_sequences(y), sample_weight=weights).value
    assert_close(found, np.dot(weights, distances) / weights[1:].sum())
    found = jm.metrics.word_error_rate(both[0], jm.pad_sequences(y), sample_weight=weights).value
    assert_close(found, np.dot(weights, distances) / np.dot(weights, [*map(len, y)]))


@pytest.mark.slow
def test_batches_ranks_and_arrays(rng):
    x, y = (jm.pad_sequences(rows) for rows in pairs(rng))
    for metric in (jm.metrics.edit_distance, jm.metrics.word_error_rate, jm.metrics.exact_match):
        expected = metric(x, y)
        parts = [metric(x[s], y[s]) for s in (slice(0, 2), slice(2, 9))]
        jax.tree.map(assert_close, sum(parts), expected)
        documents = [jax.tree.map(lambda leaf: leaf.reshape(3, 3, -1), z) for z in (x, y)]
        jax.tree.map(assert_close, metric(*documents), expected)
        assert_close(metric(x[3], y[3]).total, metric(x[3:4], y[3:4]).total)
        empty = metric(np.zeros((2, 0), int), np.array([[1], [2]]))
        assert float(empty.total) == (0 if metric is jm.metrics.exact_match else 2)
    assert float(jm.metrics.word_error_rate(np.array([[1]]), jm.from_lengths(np.array([[1]]), [0])).value) == np.inf
    true = jm.from_lengths(np.array([[1, 9], [1, 3]]), [1, 2])
    assert float(jm.metrics.exact_match(np.array([[1, 2], [1, 3]]), true).value) == 1.0  # as long as the targets
    labels, scores = np.array([[1, -100], [0, 1]]), np.eye(2)[np.array([[1, 0], [0, 0]])].astype(np.float32)
    assert float(jm.metrics.exact_match(scores, labels, ignore_index=-100).value) == 0.5
    padded = np.array([[1, 2, -100]])
    assert float(jm.metrics.edit_distance(np.array([[1, -100]]), padded, ignore_index=-100).value) == 1.0


def test_a_second_eager_call_compiles_nothing(rng):
    x = jm.pad_sequences(pairs(rng)[0])
    for metric in (
        jm.metrics.edit_distance,
        jm.metrics.word_error_rate,
        jm.metrics.exact_match,
        functools.partial(jm.metrics.entity_f1, mask=jm.NO_MASK, ignore_index=0, tags=BIO),
    ):
        jax.block_until_ready([metric(x, x).value for _ in range(2)])
        with num_compiles() as compiles:
            metric(x, x).value  # noqa: B018 - a property
        assert compiles.count == 0


IDS, PACKED = np.zeros((2, 3), int), jm.from_segment_ids(np.zeros((2, 3), int), np.ones((2, 3), int))
REFUSED = {
    "packed rows": (lambda: jm.metrics.edit_distance(PACKED, IDS), "gives one result for each sequence"),
    "packed rows that match": (lambda: jm.metrics.exact_match(IDS, PACKED), "gives one result for each sequence"),
    "scores": (lambda: jm.metrics.edit_distance(IDS * 1.0, IDS), "compares ids.*predictions of dtype float.*argmax"),
    "other batches": (lambda: jm.metrics.edit_distance(IDS, IDS[:1]), r"received \(2, 3\) and \(1, 3\)"),
    "a mask of rows": (lambda: jm.metrics.exact_match(jm.masked(IDS, np.ones(2, bool)), IDS), r"masks of ranks \[1\]"),
    "other time axes": (
        lambda: jm.metrics.exact_match(IDS[:, :2], IDS, ignore_index=5),
        r"`jm.masked\(targets, .* != 5",
    ),
    "a word": (lambda: jm.metrics.entity_f1(IDS, IDS, tags="BIO"), "names of all tags, in the order .*'BIO'"),
    "no tag": (lambda: jm.metrics.entity_f1(IDS, IDS, tags=["<pad>", "O"]), "received '<pad>'.*`ignore_index=0`"),
    "few tags": (lambda: jm.metrics.entity_f1(IDS + 2, IDS, tags=["O", "B"]), "predictions must be from 0 to 1.* is 2"),
    "scores of few tags": (
        lambda: jm.metrics.entity_f1(np.zeros((2, 3, 4), "f"), IDS, tags=["O", "B"]),
        "each of the 2 t",
    ),
    "decisions": (lambda: jm.metrics.entity_f1(np.zeros((2, 3), "f"), IDS, tags=["O", "B"]), r"each of the 2 tags"),
    "mode": (lambda: jm.metrics.entity_f1(IDS, IDS, tags=BIO, mode="exact"), "`mode` must be .*'exact'"),
    "average": (lambda: jm.metrics.entity_f1(IDS, IDS, tags=BIO, average="binary"), "`average` must be '"),
}


@pytest.mark.parametrize("call", REFUSED)
def test_refused(call):
    function, message = REFUSED[call]
    with pytest.raises((TypeError, ValueError), match=message):
        function()
