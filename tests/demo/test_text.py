"""Paragraphs of the documentation as tagged sentences."""

import sys

import pytest

from jmask.demo.errors import DemoError
from jmask.demo.text import LENGTHS, Sentence, read_topics, split_gaps, tag_paragraph


def test_the_documentation_of_this_python_has_enough_paragraphs_and_both_tags():
    corpus = read_topics()
    assert len({tuple(row["words"]) for row in corpus}) > 300
    assert set(corpus["tags"].values) == {"literal", "prose"}
    assert set(corpus.lengths["words"]) <= set(LENGTHS)
    assert not any('"' in word for word in corpus["words"].values)


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
    assert [row["words"][1] for row in read_topics(topics)] == ["if", "for"]


def test_a_python_without_the_documentation_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(DemoError, match="--data FILE"):
        read_topics()


def test_tokens_and_gaps_make_up_the_text():
    text = "  obj.__len__()  is **not**\tmagic..."
    tokens, gaps = split_gaps(text)
    assert "".join(gap + token for gap, token in zip(gaps, tokens, strict=True)) == text
    assert "".join(tokens) == "".join(text.split())
    assert split_gaps("") == ([], [])
