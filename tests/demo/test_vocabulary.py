"""Numbers for words and tags, and the split."""

import pytest

from jmask.demo.errors import DemoError
from jmask.demo.text import Sentence
from jmask.demo.vocabulary import make_vocabulary, shape, split


def sentence(text, tags):
    return Sentence(tuple(text.split()), tuple(tags.split()))


def test_repetitions_are_removed_before_the_split():
    rows = [sentence(f"word{number}", "O" if number % 2 else "X") for number in range(23)]
    sides = split(rows * 3, seed=5)
    assert sorted([*sides.train, *sides.test]) == sorted(rows)
    assert len(sides.test) == 5
    assert not set(sides.train) & set(sides.test)


def test_the_seed_decides_the_split():
    rows = [sentence(f"word{number}", "O" if number % 2 else "X") for number in range(23)]
    assert split(rows, seed=1) == split(rows, seed=1)
    assert split(rows, seed=1) != split(rows, seed=2)


def test_too_little_to_learn_from_is_refused():
    with pytest.raises(DemoError, match="two different sentences; received 1"):
        split([sentence("a b", "O X")] * 4, seed=0)
    with pytest.raises(DemoError, match="every word has the tag 'O'"):
        split([sentence("a", "O"), sentence("b", "O")], seed=0)


def test_words_seen_once_are_known_by_their_shape():
    rows = [sentence("the the Abc", "O O X")]
    vocabulary = make_vocabulary(rows, ["O", "O", "X"])
    assert vocabulary.words == ("the", "<Xx>")
    assert vocabulary.encode(["the", "Abc", "Never", "never", "NE"]) == [1, 2, 2, 0, 0]
    assert len(vocabulary) == 3


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["B", "B", "O", "A"], ("O", "A", "B")),
        (["prose", "literal", "prose"], ("prose", "literal")),
    ],
)
def test_tag_number_0_is_the_tag_outside(tags, expected):
    vocabulary = make_vocabulary([sentence("a a", "O O")], tags)
    assert vocabulary.tags == expected
    numbers = vocabulary.encode_tags(tags)
    assert vocabulary.decode_tags(numbers) == tags


@pytest.mark.parametrize(
    ("word", "expected"), [("str", "<x>"), ("Ärger", "<Xx>"), ("x86_64", "<x0_0>"), ("日本", "<日本>"), ("--", "<-->")]
)
def test_shapes(word, expected):
    assert shape(word) == expected
