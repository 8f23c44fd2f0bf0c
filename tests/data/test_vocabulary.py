"""Numbers for the strings of a corpus, and back."""

import dataclasses
import json
from collections import Counter

import numpy as np
import pytest

import jmask as jm
from jmask import data

WORDS = [["the", "cat", "saw", "the", "dog"], [], ["the", "dog"], ["a"]]
CORPUS = data.Ragged(words=WORDS, label=["x", "y", "x", "x"])


def test_numbers_go_by_frequency_then_by_the_alphabet():
    vocabulary = data.Vocabulary.of(CORPUS["words"])
    counts = Counter(word for row in WORDS for word in row)
    assert vocabulary.tokens == ("<unk>", *sorted(counts, key=lambda word: (-counts[word], word)))
    assert vocabulary == data.Vocabulary.of(WORDS[::-1])
    assert data.Vocabulary.of(CORPUS["words"], minimum=2).tokens == ("<unk>", "the", "dog")
    assert data.Vocabulary.of(CORPUS["words"], size=2).tokens == ("<unk>", "the")
    assert data.Vocabulary.of(CORPUS["label"], unknown=None, first=["y", "z"]).tokens == ("y", "z", "x")
    assert data.Vocabulary.of([]).tokens == ("<unk>",)


def test_a_column_of_strings_becomes_one_of_numbers_and_back():
    vocabulary = data.Vocabulary.of(CORPUS["words"], minimum=2)
    column = CORPUS.replace(words=vocabulary.encode(CORPUS["words"]))["words"]
    assert [column[i].tolist() for i in range(4)] == [[1, 0, 0, 1, 2], [], [1, 2], [0]]
    assert column.dtype == column.values.dtype == np.int32
    assert vocabulary.encode(["dog", "emu"]).tolist() == [2, 0]
    assert vocabulary.encode([]).shape == (0,)
    assert vocabulary.decode(np.array([[2, 1]])).tolist() == [["dog", "the"]]
    back = vocabulary.decode(column)
    assert back[0].tolist() == ["the", "<unk>", "<unk>", "the", "dog"]
    assert ("dog" in vocabulary, "emu" in vocabulary, len(vocabulary)) == (True, False, 3)
    assert vocabulary.encode(CORPUS["label"]).offsets is None


def test_a_fallback_for_strings_without_a_number():
    vocabulary = data.Vocabulary.of(CORPUS["words"], minimum=2, fallback=lambda word: f"<{len(word)}>")
    assert vocabulary.tokens == ("<unk>", "the", "<3>", "dog", "<1>")
    assert vocabulary.encode(["the", "emu", "ab"], fallback=lambda word: f"<{len(word)}>").tolist() == [1, 2, 0]


def test_missing_steps_stay_missing():
    strings = [np.ma.array(["a", "b", "a"], object, mask=[0, 1, 0]), np.ma.array(["c"], object)]
    column = data.Ragged(x=strings)["x"]
    vocabulary = data.Vocabulary.of(column, unknown=None)
    assert vocabulary.tokens == ("a", "c")
    encoded = vocabulary.encode(column)
    assert (encoded.values.tolist(), encoded.real.tolist()) == ([0, 0, 0, 1], [True, False, True, True])


def test_json_holds_all_of_it():
    vocabulary = data.Vocabulary.of(CORPUS["words"])
    assert data.Vocabulary(**json.loads(json.dumps(dataclasses.asdict(vocabulary)))) == vocabulary
    assert hash(vocabulary) == hash(data.Vocabulary.of(CORPUS["words"]))


KNOWN = data.Vocabulary(("O", "B"))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: data.Vocabulary(("a", "b", "a")), ValueError, "'a' occurs 2 times"),
        (lambda: data.Vocabulary([("a", "b")]), TypeError, "A vocabulary is of strings; received .'a', 'b'."),
        (lambda: data.Vocabulary(("a",), "<unk>"), ValueError, "'<unk>' is not. Put it first"),
        (lambda: data.Vocabulary.of([[1, 2]]), TypeError, "holds numbers already, int32"),
        (lambda: data.Vocabulary.of([["a", 2]]), TypeError, "received 2 of type int"),
        (lambda: data.Vocabulary.of([[["a", "b"]]]), TypeError, "one for each step"),
        (lambda: data.Vocabulary.of(["a"], minimum=0), ValueError, "`minimum` must be at least 1"),
        (lambda: KNOWN.encode(["I"]), ValueError, "'I' has no number, and this vocabulary has no `unknown`"),
        (lambda: KNOWN.encode("B"), TypeError, r"received the string 'B'. Pass `\['B'\]`"),
        (lambda: KNOWN.encode([3]), TypeError, "received 3 of type int"),
        (lambda: KNOWN.decode([2]), IndexError, "go from 0 to 1; received 2"),
        (lambda: KNOWN.decode([-1]), IndexError, "received -1"),
        (lambda: KNOWN.decode([0.5]), TypeError, r"received dtype float64. Of logits take `.argmax\(-1\)`"),
    ],
)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_numbers_of_a_padded_batch_come_back_as_strings():
    x = jm.pad_sequences([[0, 1], [1]])
    assert KNOWN.decode(x.values)[np.asarray(x.mask)].tolist() == ["O", "B", "B"]
