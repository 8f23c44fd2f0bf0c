"""Sentences from files, their numbers, and the split."""

import pytest

from jmask.data import Ragged
from jmask.demo.corpus import make_vocabularies, read_sentences, shape, train_test_split
from jmask.demo.errors import DemoError


def corpus_of(*rows):
    words, tags = ([side.split() for side in sides] for sides in zip(*rows, strict=True))
    return Ragged(words=words, tags=tags)


def rows_of(corpus):
    return [(*row["words"], "|", *row["tags"]) for row in corpus]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("EU NNP B-NP B-ORG\nis VBZ B-VP O\n\nPeter NNP B-NP B-PER\n", [("EU is", "B-ORG O"), ("Peter", "B-PER")]),
        ("a NN O\nb VB B-X\n", [("a b", "O B-X")]),
        ("1\tvamos\tir\tVERB" + "\t_" * 6 + "\n2\tnos\ttu\tPRON" + "\t_" * 6 + "\n", [("vamos nos", "VERB PRON")]),
    ],
)
def test_the_words_and_tags_of_a_file(tmp_path, content, expected):
    path = tmp_path / "a.conll"
    path.write_text(content)
    assert rows_of(read_sentences(path)) == rows_of(corpus_of(*expected))


def test_files_that_cannot_be_used_are_refused(tmp_path):
    with pytest.raises(DemoError, match="there is no such file"):
        read_sentences(tmp_path / "missing")
    with pytest.raises(DemoError, match="cannot be read"):
        read_sentences(tmp_path)
    for content, message in {
        b"": r"a\.conll: holds no sentence",
        b"a O\n\nb O\nalone\n": r"a\.conll:4: .* 2 columns like the first, .* received 1: 'alone'",
        b"a O\n\xff O\n": r"not UTF-8 text \(byte 4\)",
    }.items():
        (tmp_path / "a.conll").write_bytes(content)
        with pytest.raises(DemoError, match=message):
            read_sentences(tmp_path / "a.conll")


def test_repetitions_are_removed_before_the_split():
    rows = [(f"word{number}", "O" if number % 2 else "X") for number in range(23)]
    sides = train_test_split(corpus_of(*rows, *rows), seed=5)
    train, test = map(rows_of, sides)
    assert sorted([*train, *test]) == sorted(rows_of(corpus_of(*rows)))
    assert len(test) == 5
    assert not set(train) & set(test)


def test_the_seed_decides_the_split():
    corpus = corpus_of(*((f"word{number}", "O" if number % 2 else "X") for number in range(23)))
    assert rows_of(train_test_split(corpus, seed=1).test) == rows_of(train_test_split(corpus, seed=1).test)
    assert rows_of(train_test_split(corpus, seed=1).test) != rows_of(train_test_split(corpus, seed=2).test)


def test_too_little_to_learn_from_is_refused():
    with pytest.raises(DemoError, match="two different sentences; received 1"):
        train_test_split(corpus_of(*[("a b", "O X")] * 4), seed=0)
    with pytest.raises(DemoError, match="two different sentences; received 0"):
        train_test_split(Ragged(words=[], tags=[]), seed=0)
    with pytest.raises(DemoError, match="every word has the tag 'O'"):
        train_test_split(corpus_of(("a", "O"), ("b", "O")), seed=0)


def test_words_seen_once_are_known_by_their_shape():
    train = corpus_of(("the the Abc", "O O X"))
    words = make_vocabularies(train, train).words
    assert words.tokens == ("<unk>", "the", "<Xx>")
    assert words.encode(["the", "Abc", "Never", "never", "NE"], fallback=shape).tolist() == [1, 2, 2, 0, 0]


@pytest.mark.parametrize(
    ("tags", "expected"), [("B B O A A A", {"O", "A", "B"}), ("prose literal prose", {"prose", "literal"})]
)
def test_tag_number_0_is_the_tag_outside(tags, expected):
    corpus = corpus_of((" ".join("a" for _ in tags.split()), tags))
    vocabularies = make_vocabularies(corpus[:0], corpus)
    assert vocabularies.tags.tokens[0] in ("O", "prose")
    assert set(vocabularies.tags.tokens) == expected
    assert vocabularies.tags.decode(vocabularies.encode(corpus)["tags"]).values.tolist() == tags.split()


@pytest.mark.parametrize(
    ("word", "expected"), [("str", "<x>"), ("Ärger", "<Xx>"), ("x86_64", "<x0_0>"), ("日本", "<日本>"), ("--", "<-->")]
)
def test_shapes(word, expected):
    assert shape(word) == expected
