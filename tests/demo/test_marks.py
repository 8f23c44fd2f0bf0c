"""Marks around tagged words."""

from jmask.demo.marks import mark
from jmask.demo.text import split_gaps


def test_neighbours_with_one_tag_share_their_marks():
    text = mark(["use", "x", ".", "y", "now"], ["O", "X", "X", "X", "O"], "O")
    assert text.plain == "use `x . y` now"


def test_right_wrong_and_missed_words():
    text = mark(list("abcd"), ["X", "O", "X", "Y"], "O", truth=["X", "X", "O", "X"], show_tags=True)
    assert text.plain == "`a`/X ?b?/X !c!/X !d!/Y"


def test_gaps_bring_back_the_text():
    words, gaps = split_gaps("call f(x)  [now]")
    assert mark(words, ["O", "X", "X", "X", "X", "O", "O", "O"], "O", gaps=gaps).plain == "call `f(x)`  [now]"


def test_an_empty_sentence():
    assert mark([], [], "O").plain == ""
