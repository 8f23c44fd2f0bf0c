"""Plans of an epoch: every sequence once, rows that fit, the fewest padded steps, and a uniform order."""

import itertools

import numpy as np
import pytest

from jmask import data
from jmask.data.best_fit import most_segments, pack_in_order
from jmask.data.bucket_widths import cut_lengths
from jmask.data.description import excess_icc, partner_repeat

PLANS = {
    "padded": data.padded(rows=7),
    "padded, wide": data.padded(rows=7, width=50, pad_to_multiple_of=8),
    "buckets": data.buckets(3, tokens=101),
    "buckets, multiples": data.buckets(3, tokens=101, rows_multiple_of=2, pad_to_multiple_of=8),
    "packed": data.packed(row_length=53, rows=3),
    "packed, few segments": data.packed(row_length=53, rows=3, max_segments=4),
    "in order": data.packed(row_length=53, rows=3, shuffle=False),
}


def lengths_only(**lengths):
    """What a plan reads of a corpus."""
    arrays = {name: np.asarray(of, np.int64) for name, of in lengths.items()}
    return _Lengths(arrays)


class _Lengths:
    def __init__(self, lengths):
        self.lengths = lengths

    def __len__(self):
        return len(next(iter(self.lengths.values())))


def text_lengths(rng, count, mean=16.3, longest=159):
    return np.clip(rng.lognormal(np.log(mean) - 0.3, 0.8, count).astype(int), 1, longest)


def used_steps(prepared, epoch, step, group=0):
    """The steps of each row of a batch, by a loop."""
    items = epoch.items[epoch.begins[step] : epoch.ends[step]]
    rows = range(len(items)) if epoch.rows is None else epoch.rows[epoch.begins[step] : epoch.ends[step]]
    shape = prepared.shapes[epoch.shapes[step]]
    used, segments = [0] * shape.rows, [0] * shape.rows
    for item, row in zip(items.tolist(), rows, strict=True):
        used[row] += prepared.pieces.lengths[group][item]
        segments[row] += 1
    return used, segments, shape


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("count", [0, 1, 2, 6, 7, 8, 211])
def test_each_sequence_is_in_one_row_that_has_room(name, count, rng):
    lengths = rng.integers(0, 48, count)
    prepared = PLANS[name].prepare(lengths_only(words=lengths))
    for epoch in (prepared.epoch(0, 0), prepared.epoch(0, 1)):
        found = [epoch.items[a:b] for a, b in zip(epoch.begins, epoch.ends, strict=True)]
        assert sorted(itertools.chain(*found)) == list(range(count))
        assert all(len(items) for items in found)
        for step in range(len(epoch)):
            used, segments, shape = used_steps(prepared, epoch, step)
            assert max(used) <= shape.widths[0]
            if not prepared.is_packed:
                assert len(found[step]) <= shape.rows
            elif prepared.max_segments:
                assert max(segments) <= prepared.max_segments
            assert prepared.num_sequences() is None or len(found[step]) <= prepared.num_sequences()
            if epoch.rows is not None:
                assert (np.diff(epoch.rows[epoch.begins[step] : epoch.ends[step]]) >= 0).all()
        assert (epoch.batch_of_item[epoch.items] >= 0).all()
        for step, items in enumerate(found):
            assert (epoch.batch_of_item[items] == step).all()


@pytest.mark.parametrize("name", PLANS)
def test_an_epoch_is_a_function_of_lengths_seed_and_number(name, rng):
    corpus = lengths_only(words=rng.integers(0, 48, 97))
    one, other = PLANS[name].prepare(corpus), PLANS[name].prepare(corpus)
    np.testing.assert_array_equal(one.epoch(3, 5).items, other.epoch(3, 5).items)
    differs = [not np.array_equal(one.epoch(3, 5).items, one.epoch(*at).items) for at in ((3, 6), (4, 5))]
    assert differs == [PLANS[name].shuffle] * 2


@pytest.mark.parametrize("multiple", [1, 4])
@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_buckets_have_the_least_padding_of_all(number, multiple, rng):
    for _ in range(20):
        lengths = rng.integers(0, 12, rng.integers(1, 30))
        bucket, widths = cut_lengths([lengths], number, multiple)
        assert len(widths) <= number
        assert (lengths <= widths[bucket, 0]).all()
        assert (widths % multiple == 0).all()
        rounded = np.maximum(-(-lengths // multiple), 1) * multiple
        distinct = np.unique(rounded)
        cuts = itertools.combinations(distinct[:-1], min(number, len(distinct)) - 1)
        best = min(sum(min(w for w in (*cut, distinct[-1]) if w >= n) for n in rounded) for cut in cuts)
        assert widths[bucket, 0].sum() == best


def test_buckets_of_two_columns_have_the_least_padding_in_their_order(rng):
    for _ in range(10):
        source, target = rng.integers(1, 9, (2, 12))
        bucket, widths = cut_lengths([source, target], 2, 1)
        assert (source <= widths[bucket, 0]).all()
        assert (target <= widths[bucket, 1]).all()
        totals = source + target
        best = min(
            sum(part.sum() * (source[part].max() + target[part].max()) for part in (totals <= cut, totals > cut))
            for cut in np.unique(totals)[:-1]
        )
        assert widths[bucket].sum() == best


def test_many_distinct_lengths_are_joined(rng):
    lengths = np.unique(rng.integers(0, 10**7, 5_000))
    bucket, widths = cut_lengths([lengths], 3, 1)
    assert len(widths) == 3
    assert (lengths <= widths[bucket, 0]).all()


def test_rows_of_buckets_have_equal_tokens(rng):
    prepared = PLANS["buckets, multiples"].prepare(lengths_only(words=rng.integers(0, 48, 97)))
    for shape in prepared.shapes:
        assert shape.rows % 2 == 0
        assert 101 - 2 * shape.widths[0] < shape.rows * shape.widths[0] <= 101


@pytest.mark.parametrize("max_segments", [None, 1, 2])
@pytest.mark.parametrize("widths", [[40], [40, 56]])
def test_best_fit_beside_a_loop(widths, max_segments, rng):
    """With two open rows: the tightest row that has room, else a new one. Long sequences, so that none are run in."""
    lengths = [rng.integers(width * 9 // 20, width * 3 // 4, 50) for width in widths]
    rows, num_rows = pack_in_order(lengths, widths, open_rows=2, max_segments=max_segments)
    by_load = np.argsort([-of.sum() / width for of, width in zip(lengths, widths, strict=True)], kind="stable")
    open_rows, expected, opened = {}, [], 0
    for steps in zip(*lengths, strict=True):
        fitting = [
            (tuple(room[i] for i in by_load)[:1], row)
            for row, (room, count) in open_rows.items()
            if all(n <= left for n, left in zip(steps, room, strict=True)) and count < (max_segments or 99)
        ]
        if fitting:
            row = min(fitting)[1]
        else:
            usable = {r: room for r, (room, count) in open_rows.items() if count < (max_segments or 99)}
            if len(usable) >= 2:
                del open_rows[min(usable, key=lambda r: (sum(np.divide(usable[r], widths)), r))]
            row, opened = opened, opened + 1
            open_rows[row] = (widths, 0)
        room, count = open_rows[row]
        open_rows[row] = ([left - n for n, left in zip(steps, room, strict=True)], count + 1)
        expected.append(row)
    assert rows.tolist() == expected
    assert num_rows == opened


def test_columns_that_differ_in_length_share_rows(rng):
    source, target = rng.integers(0, 20, 200), rng.integers(0, 30, 200)
    plan = data.packed(row_length={"source": 40, "target": 60}, rows=2)
    prepared = plan.prepare(lengths_only(source=source, tags=source, target=target))
    assert prepared.shapes[0].widths == [40, 60]
    epoch = prepared.epoch(0, 0)
    for step, (group, width) in itertools.product(range(len(epoch)), enumerate([40, 60])):
        assert max(used_steps(prepared, epoch, step, group)[0]) <= width
    assert data.padded(rows=4).prepare(lengths_only(source=source, target=target)).shapes[0].widths == [19, 29]


def test_the_bound_of_sequences_is_reached_by_the_shortest():
    assert most_segments([np.array([5, 1, 2, 0, 3])], [4]) == 3  # 0, which takes a step, 1 and 2
    assert most_segments([np.array([5, 5])], [4]) == 1
    assert most_segments([np.array([3, 3, 3]), np.array([0, 1, 0])], [6, 100]) == 2


@pytest.mark.parametrize(("mean", "longest", "row_length", "rows"), [(16.3, 159, 256, 4), (46, 359, 512, 4)])
def test_packed_epochs_of_text_are_uniform_and_full(mean, longest, row_length, rows, rng):
    corpus = lengths_only(words=text_lengths(rng, 6_000, mean, longest))
    plan = data.packed(row_length=row_length, rows=rows)
    found = [plan.describe(corpus, seed=seed) for seed in range(3)]
    assert max(description.padding for description in found) <= 0.015
    assert abs(np.mean([description.excess_icc for description in found])) <= 0.03
    assert 0.9 <= np.mean([description.partner_repeat for description in found]) <= 1.1
    assert found[0].shapes == (f"{rows} x {row_length}",)


def test_measures_of_order(rng):
    lengths = rng.integers(1, 50, 2_000)
    uniform = [rng.permutation(2_000) // 20 for _ in range(2)]
    by_length = np.argsort(np.argsort(lengths, kind="stable")) // 20
    assert abs(excess_icc(uniform[0], lengths)) < 0.02
    assert excess_icc(by_length, lengths) > 0.99
    assert abs(partner_repeat(*uniform) - 1) < 0.1
    assert partner_repeat(by_length, by_length) == pytest.approx(1999 / 19)
    assert excess_icc(np.zeros(3, int), lengths[:3]) == 0
    assert partner_repeat(np.arange(3), np.arange(3)) == 1


def test_description_and_plot(rng):
    corpus = lengths_only(words=[3] * 10, label=[1] * 10)
    description = data.padded(rows=4).describe(corpus)
    assert str(description).splitlines()[:4] == [
        "10 sequences of 4 to 4 steps, 40 steps in all",
        "padding          16.7%",
        "shapes           1: 4 x 3 + 1",
        "steps an epoch   3",
    ]
    assert "that of the corpus" in str(data.padded(rows=4, shuffle=False).describe(corpus))
    figure = data.buckets(2, tokens=64).plot(lengths_only(words=rng.integers(0, 30, 50)))
    assert len(figure.axes) == 2
    data.packed(row_length=5, rows=2).plot(lengths_only(words=[]))
    assert data.packed(row_length=5, rows=2).describe(lengths_only(words=[])).padding == 0


LONG = lengths_only(words=[3, 9, 0, 10])


@pytest.mark.parametrize("plan", [
    lambda **o: data.padded(rows=2, width=4, **o),
    lambda **o: data.buckets(2, tokens=8, rows_multiple_of=2, **o),
    lambda **o: data.packed(row_length=4, rows=2, **o),
])  # fmt: skip
def test_too_long_sequences(plan):
    with pytest.raises(ValueError, match=r"2 of 4 sequences of `words` have more than 4 steps, the longest 10 \(row 3"):
        plan().prepare(LONG)
    cases = {
        "truncate": ([0, 1, 2, 3], [3, 4, 0, 4], "2 of 4 sequences are truncated, by 11 steps in all"),
        "drop": ([0, 2], [3, 0], "2 of 4 sequences are dropped, too long"),
        "split": ([0, 1, 1, 1, 2, 3, 3, 3], [3, 4, 4, 1, 0, 4, 4, 2], "2 of 4 sequences are split into 6 parts"),
    }
    for option, (rows, lengths, note) in cases.items():
        pieces = plan(**{option: True}).prepare(LONG).pieces
        assert (pieces.rows.tolist(), pieces.lengths[0].tolist(), pieces.note) == (rows, lengths, note)
    assert f"too long         {cases['split'][2]}" in str(plan(split=True).describe(LONG))


def test_a_remedy_of_the_error_works():
    with pytest.raises(ValueError, match=r"Pass `tokens=2 \* 10`, or `truncate=True` \(which cuts 11 of 22 steps"):
        data.buckets(2, tokens=8, rows_multiple_of=2).prepare(LONG)
    data.buckets(2, tokens=2 * 10, rows_multiple_of=2).prepare(LONG)


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: data.padded(rows=0), ValueError, "`rows` must be at least 1; received 0"),
    (lambda: data.padded(rows=2.0), TypeError, "`rows` must be an integer; received 2.0"),
    (lambda: data.padded(rows=2, shuffle="no"), TypeError, "`data.padded`: `shuffle` is True or False; received 'no'"),
    (lambda: data.packed(row_length=4, rows=1, drop=1), TypeError, "`drop` is True or False; received 1"),
    (lambda: data.packed(row_length=0, rows=1), ValueError, "`row_length` must be at least 1"),
    (lambda: data.packed(row_length={"words": 0}, rows=1), ValueError, r"`row_length\['words'\]` must be at least 1"),
    (lambda: data.packed(row_length=4, rows=1, max_segments=0), ValueError, "`max_segments` must be at least 1"),
    (lambda: data.packed(row_length=4, rows=1, open_rows=0), ValueError, "`open_rows` must be at least 1"),
    (lambda: data.buckets(0, tokens=9), ValueError, "`number` must be at least 1"),
    (lambda: data.padded(rows=2, width=3, drop=True, split=True), ValueError, "received drop=True, split=True"),
    (lambda: data.padded(rows=2, drop=True).prepare(LONG), ValueError, "pass `width=` as well"),
    (lambda: data.buckets(2, tokens=3, rows_multiple_of=4).prepare(LONG), ValueError, "at least `tokens=4`"),
    (
        lambda: data.packed(row_length={"word": 9}, rows=1).prepare(LONG),
        ValueError,
        "`row_length` needs a number for each column of sequences, 'words' .*; received one for 'word'",
    ),
    (
        lambda: data.packed(row_length=4, rows=2, split=True).prepare(lengths_only(a=[5], b=[6])),
        ValueError,
        "`a` and `b` differ in length",
    ),
    (
        lambda: data.packed(row_length=4, rows=2).prepare(data.Ragged(label=[1, 2])),
        ValueError,
        "`packed` needs a column of sequences",
    ),
])  # fmt: skip
def test_bad_plans(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_plans_are_values():
    plan = data.packed(row_length={"b": 3, "a": 4}, rows=2, drop=True)
    assert plan == data.packed(row_length={"a": 4, "b": 3}, rows=2, drop=True)
    assert len({plan, data.packed(row_length=4, rows=2)}) == 2
    assert repr(data.buckets(4, tokens=64, shuffle=False)) == "data.buckets(number=4, tokens=64, shuffle=False)"
