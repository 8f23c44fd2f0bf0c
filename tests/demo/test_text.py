"""Paragraphs and CoNLL files as tagged sentences, and what is wrong with a file."""

import sys

import pytest

from jmask.demo.errors import DemoError
from jmask.demo.text import LENGTHS, Sentence, read_conll, sentences_of_topics, split_gaps, tag_paragraph, tokenise


def test_the_documentation_of_this_python_has_enough_paragraphs_and_both_tags():
    sentences = set(sentences_of_topics())
    assert len(sentences) > 300
    assert {tag for sentence in sentences for tag in sentence.tags} == {"literal", "prose"}
    assert all(len(sentence.words) == len(sentence.tags) and len(sentence.words) in LENGTHS for sentence in sentences)
    assert not any('"' in word for sentence in sentences for word in sentence.words)


def test_words_between_quotes_are_literal_and_the_quotes_are_gone():
    sentence = tag_paragraph('The "obj.x" form\n"calls" it')
    assert sentence == Sentence(
        ("The", "obj", ".", "x", "form", "calls", "it"),
        ("prose", "literal", "literal", "literal", "prose", "literal", "prose"),
    )


@pytest.mark.parametrize(
    "paragraph",
    [
        "no quotes in here, only prose",
        'an odd "number" of " quotes cannot be paired',
        'assert_stmt ::= "assert" expression',
        '>>> print("an interpreter session")',
        '"too" short',
        '"too" ' + "long " * 400,
    ],
)
def test_paragraphs_that_teach_nothing_are_skipped(paragraph):
    assert tag_paragraph(paragraph) is None


def test_topics_are_split_at_blank_lines():
    topics = {"one": 'The "if" statement.\n\nonly prose here, nothing else\n \nThe "for" statement.', "two": ""}
    assert [sentence.words[1] for sentence in sentences_of_topics(topics)] == ["if", "for"]


def test_a_python_without_the_documentation_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(DemoError, match="--data FILE"):
        sentences_of_topics()


def test_tokens_and_gaps_make_up_the_text():
    text = "  obj.__len__()  is **not**\tmagic..."
    tokens, gaps = split_gaps(text)
    assert "".join(gap + token for gap, token in zip(gaps, tokens, strict=True)) == text
    assert tokens == tokenise(text)
    assert split_gaps("") == ([], [])


def test_conll_files_in_all_their_ways_of_writing(tmp_path):
    path = tmp_path / "a.conll"
    path.write_bytes("\ufeffThe\tO\r\nNew York\tLOC\r\n \r\n\r\n\r\nso  O".encode())
    assert read_conll(path) == [Sentence(("The", "New York"), ("O", "LOC")), Sentence(("so",), ("O",))]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"a\.conll: holds no sentence"),
        (" \n\t\n\n", r"a\.conll: holds no sentence"),
        ("a O\n\nb O\nalone\n", r"a\.conll:4: .* two columns, .* received 1: 'alone'"),
        ("a O\nb NN O\n", r"a\.conll:2: .* received 3: 'b NN O'"),
        ("a\t\tO\n", r"a\.conll:1: .* received 3"),
        ("\tO\n", r"a\.conll:1: .* received 1"),
    ],
)
def test_a_malformed_conll_file_is_refused_by_line(tmp_path, content, message):
    path = tmp_path / "a.conll"
    path.write_text(content)
    with pytest.raises(DemoError, match=message):
        read_conll(path)


def test_a_missing_file_a_folder_and_what_is_not_text_are_refused(tmp_path):
    with pytest.raises(DemoError, match="there is no such file"):
        read_conll(tmp_path / "missing")
    with pytest.raises(DemoError, match="cannot be read"):
        read_conll(tmp_path)
    (tmp_path / "binary").write_bytes(b"a O\n\xff O\n")
    with pytest.raises(DemoError, match=r"not UTF-8 text \(byte 4\)"):
        read_conll(tmp_path / "binary")
