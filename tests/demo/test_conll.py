"""Files of tagged sentences in all their ways of writing, and what is wrong with a file."""

import pytest

from jmask.demo.conll import read_sentences
from jmask.demo.errors import DemoError
from jmask.demo.text import Sentence

NEWS = """\
-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

Peter NNP B-NP B-PER
-DOCSTART- -X- -X- O
BRUSSELS NNP B-NP B-LOC
"""
UNIVERSAL = """\
# sent_id = 1
# text = vámonos al mar

1-2\tvámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tvamos\tir\tVERB\t_\t_\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\t_\t_\t1\tobj\t_\t_
2.1\tgo\tgo\tVERB\t_\t_\t_\t_\t_\t_

"""


def test_conll_files_in_all_their_ways_of_writing(tmp_path):
    path = tmp_path / "a.conll"
    path.write_bytes("\ufeffThe\tO\r\nNew York\tLOC\r\n \r\n\r\n\r\nso  O".encode())
    assert read_sentences(path) == [Sentence(("The", "New York"), ("O", "LOC")), Sentence(("so",), ("O",))]


def test_the_columns_of_conll_2003(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text(NEWS)
    assert read_sentences(path) == [
        Sentence(("EU", "rejects"), ("B-ORG", "O")),
        Sentence(("Peter",), ("B-PER",)),
        Sentence(("BRUSSELS",), ("B-LOC",)),
    ]
    path.write_text("a NN O\nb VB B-X\n")  # three columns, as in CoNLL-2002
    assert read_sentences(path) == [Sentence(("a", "b"), ("O", "B-X"))]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_conll_u(tmp_path, end):
    path = tmp_path / "a.conllu"
    path.write_bytes((UNIVERSAL + "1\tNew York\t_\tPROPN" + "\t_" * 6 + "\n").replace("\n", end).encode())
    assert read_sentences(path) == [Sentence(("vamos", "nos"), ("VERB", "PRON")), Sentence(("New York",), ("PROPN",))]


def test_a_token_that_is_a_number_sign(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text("#\tO\n1\tX\n")
    assert read_sentences(path) == [Sentence(("#", "1"), ("O", "X"))]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"a\.conll: holds no sentence"),
        (" \n\t\n\n", r"a\.conll: holds no sentence"),
        ("alone\n", r"a\.conll:1: .* at least two columns, .* received 1: 'alone'"),
        ("a O\n\nb O\nalone\n", r"a\.conll:4: .* 2 columns like the first, .* received 1: 'alone'"),
        ("a O\nb NN O\n", r"a\.conll:2: .* received 3: 'b NN O'"),
        ("a NN I-NP O\nb O\n", r"a\.conll:2: .* 4 columns like the first, .* received 2: 'b O'"),
        ("-DOCSTART- -X- -X- O\n\n", r"a\.conll: holds no sentence"),
        (UNIVERSAL + "3\tb\n", r"a\.conll:9: a line of CoNLL-U must have 10 columns, .* received 2"),
        ("a\t\tO\n", r"a\.conll:1: .* received 3"),
        ("\tO\n", r"a\.conll:1: .* received 1"),
    ],
)
def test_a_malformed_conll_file_is_refused_by_line(tmp_path, content, message):
    path = tmp_path / "a.conll"
    path.write_text(content)
    with pytest.raises(DemoError, match=message):
        read_sentences(path)


def test_a_missing_file_a_folder_and_what_is_not_text_are_refused(tmp_path):
    with pytest.raises(DemoError, match="there is no such file"):
        read_sentences(tmp_path / "missing")
    with pytest.raises(DemoError, match="cannot be read"):
        read_sentences(tmp_path)
    (tmp_path / "binary").write_bytes(b"a O\n\xff O\n")
    with pytest.raises(DemoError, match=r"not UTF-8 text \(byte 4\)"):
        read_sentences(tmp_path / "binary")
