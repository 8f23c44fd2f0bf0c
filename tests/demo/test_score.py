"""F1 against a computation by hand, and the lookup baseline."""

import numpy as np
import pytest

from jmask.demo.lookup import confusions_of_baselines, look_up, majority_tag_of_words
from jmask.demo.score import count_confusions, macro_f1, micro_score, scores
from jmask.demo.text import Sentence
from jmask.demo.vocabulary import Vocabulary


def test_f1_of_two_tags_by_hand():
    # true:      0 1 1 0 1 | 1 0      predicted 1 is right twice (of 4), and 1 is there 4 times
    # predicted: 1 1 0 0 1 | 0 1
    counts = count_confusions([[0, 1, 1, 0, 1], [1, 0]], [[1, 1, 0, 0, 1], [0, 1]], 2)
    assert counts.tolist() == [[1, 2], [2, 2]]
    assert micro_score(counts) == scores(counts)[1] == pytest.approx((50.0, 50.0, 50.0))


def test_micro_and_macro_f1_of_three_tags_by_hand():
    counts = np.array([[50, 1, 0], [2, 8, 0], [3, 0, 1]])
    f1_of_1 = 2 * 8 / (9 + 10)
    f1_of_2 = 2 * 1 / (1 + 4)
    assert macro_f1(counts) == pytest.approx(100 * (f1_of_1 + f1_of_2) / 2)
    assert micro_score(counts) == pytest.approx((100 * 9 / 10, 100 * 9 / 14, 100 * 2 * 9 / (10 + 14)))


def test_f1_of_nothing_is_0():
    assert micro_score(np.zeros((2, 2), int)) == (0.0, 0.0, 0.0)
    assert macro_f1(np.diag([5, 0, 0])) == 0.0


def test_macro_f1_leaves_out_tags_that_do_not_occur():
    assert macro_f1(np.diag([5, 3, 0])) == pytest.approx(100)


def test_the_lookup_gives_each_word_its_most_frequent_tag():
    sentences = [Sentence(("if", "if", "only"), ("X", "O", "O")), Sentence(("if",), ("X",))]
    table = majority_tag_of_words(sentences)
    assert table == {"if": "X", "only": "O"}
    assert look_up(table, ["only", "if", "new"], "O") == ["O", "X", "O"]


def test_the_majority_class_scores_0_and_the_lookup_what_it_gets_right():
    vocabulary = Vocabulary(("if",), ("O", "X"))
    held_out = [Sentence(("if", "or", "if"), ("X", "X", "O"))]
    counts = confusions_of_baselines({"if": "X", "or": "O"}, held_out, vocabulary)
    assert micro_score(counts["always O"]).f1 == 0
    assert micro_score(counts["lookup of each word"]).f1 == pytest.approx(50)
