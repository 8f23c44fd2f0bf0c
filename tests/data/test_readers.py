"""Files of other tools, read into a corpus, and what is wrong with a file."""

import gzip

import numpy as np
import pytest

from jmask import data

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
2\tnos\tnosotros\tPRON\t_\tCase=Acc\t1\tobj\t_\t_
2.1\tgo\tgo\tVERB\t_\t_\t_\t_\t_\t_

"""
SERIES = """\
# two dimensions
@problemName Toy
@timeStamps false
@univariate false
@classLabel true a b

@data
1,2,?:4,5,?:a
# a comment
7:-8.5e0:b
:: b
"""


def write(tmp_path, text):
    path = tmp_path / "file"
    path.write_bytes(text.encode())
    return path


def rows_of(corpus, name):
    return [row[name].tolist() for row in corpus]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_columns_of_conll_2003(tmp_path, end):
    corpus = data.read_conll(write(tmp_path, NEWS.replace("\n", end)))
    assert list(corpus.columns) == ["words", "pos", "chunks", "tags"]
    assert rows_of(corpus, "words") == [["EU", "rejects"], ["Peter"], ["BRUSSELS"]]
    assert rows_of(corpus, "tags") == [["B-ORG", "O"], ["B-PER"], ["B-LOC"]]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_columns_of_conll_u(tmp_path, end):
    corpus = data.read_conll(write(tmp_path, (UNIVERSAL + "1\tNew York" + "\t_" * 8).replace("\n", end)))
    assert list(corpus.columns) == ["id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc"]
    assert rows_of(corpus, "form") == [["vamos", "nos"], ["New York"]]
    assert rows_of(corpus, "feats") == [["_", "Case=Acc"], ["_"]]
    assert rows_of(corpus, "head") == [["0", "1"], ["_"]]


def test_any_number_of_columns_with_names_of_your_own(tmp_path):
    path = write(tmp_path, "a X O\nb Y P\n")
    assert list(data.read_conll(path).columns) == ["words", "column_2", "tags"]
    assert list(data.read_conll(path, columns=["form", "upos", "ner"]).columns) == ["form", "upos", "ner"]
    with pytest.raises(ValueError, match=r"a name for each of the 3 columns .* received \('form',\)"):
        data.read_conll(path, columns=["form"])


def test_json_lines(tmp_path):
    path = write(tmp_path, '{"ids": [3, 4], "text": "é", "x": 0.5, "a": null}\n\n{"x": 1, "ids": [], "text": "b"}\r\n')
    corpus = data.read_json_lines(path, columns=["ids", "text", "x"])
    assert rows_of(corpus, "ids") == [[3, 4], []]
    assert (corpus["text"].values.tolist(), corpus["x"].values.tolist()) == (["é", "b"], [0.5, 1])
    assert list(data.read_json_lines(write(tmp_path, '{"b": [[1, 2]], "a": ["x"]}')).columns) == ["b", "a"]


def test_compressed_files(tmp_path):
    path = tmp_path / "train.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"ids": [3, 4]}\n'))
    assert rows_of(data.read_json_lines(path), "ids") == [[3, 4]]


def test_time_series(tmp_path):
    corpus = data.read_ts(write(tmp_path, SERIES))
    assert corpus["label"].values.tolist() == ["a", "b", "b"]
    assert corpus["series"].lengths.tolist() == [3, 1, 0]
    assert corpus["series"].real.tolist() == [True, True, False, True]
    assert corpus["series"].values.tolist() == [[1, 4], [2, 5], [0, 0], [7, -8.5]]
    filled = data.read_ts(write(tmp_path, SERIES.replace("?:a", "9:a")), missing=np.nan)["series"]
    assert filled.real is None
    np.testing.assert_array_equal(filled[0], [[1, 4], [2, 5], [np.nan, 9]])


def test_time_series_of_one_dimension_with_numbers_as_targets_or_without(tmp_path):
    corpus = data.read_ts(write(tmp_path, "@targetLabel true\n@data\n1,2:0.5\n3:1e3\n"))
    assert corpus["target"].values.tolist() == [0.5, 1000]
    assert corpus["series"].values.tolist() == [[1], [2], [3]]
    assert list(data.read_ts(write(tmp_path, "@classLabel false\n@data\n1,2\n")).columns) == ["series"]


class Source:
    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i]


def test_random_access_sources():
    rows = [{"ids": np.arange(i), "label": i, "name": str(i)} for i in range(3)]
    corpus = data.from_grain(Source([rows[0], None, *rows[1:]]))
    assert rows_of(corpus, "ids") == [[], [0], [0, 1]]
    assert (corpus["label"].values.tolist(), corpus["name"].values.tolist()) == ([0, 1, 2], ["0", "1", "2"])
    assert list(data.from_grain(Source(rows), columns=["label"]).columns) == ["label"]


CONLL = [
    ("", "file: holds no sentence"),
    ("alone\n", "file:1: .* at least two columns, .* received 1: 'alone'"),
    ("a O\n\nb O\nalone\n", "file:4: .* 2 columns like the first, .* received 1: 'alone'"),
    (UNIVERSAL + "3\tb\n", "file:9: a line of CoNLL-U must have 10 columns, .* received 2"),
]
JSON = [
    ("\n", "file: holds no object"),
    ('{"a": 1}\n\n{"a": }\n', "file:3: a line must be a JSON object; Expecting value at character 6"),
    ('[{"a": 1},\n', r"file:1: .* `data.from_table\(json.load\(file\)\)`"),
    ("[1]\n", "file:1: a line must be a JSON object, with a name for each column; received '.1.'"),
    ('{"a": 1}\n{"b": 1}\n', "file:2: column 'a' is not there, only 'b'"),
    ('{"a": null}\n', "file:1: column 'a' is null. Each line needs all columns"),
]
TS = [
    ("1,2:a\n", "file:1: before `@data`, lines begin with # or @; received '1,2:a'"),
    ("@classLabel true a\n", "file: there is no line `@data`"),
    ("@data\n\n", "file: there is no line after `@data`"),
    ("@timestamps true\n@data\n", "file:1: series with time stamps are not read"),
    ("@data\n1,2:3,4\n1,2\n", "file:3: 1 dimensions, where the first line has 2"),
    ("@data\n1,2:3\n", "file:2: the dimensions of a series must have one length, .* received 1 and 2"),
    ("@data\n1,x\n", "file:2: 'x' is not a number; missing ones are `.`"),
    ("@data\n1,?:3,4\n", "file:2: step 1 is missing in some dimensions .* `missing=0.0`"),
    ("@classLabel true a b\n@data\n1,2:c\n", "file:3: the label 'c' is not one of the header's, a, b"),
]


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        *((data.read_conll, *case) for case in CONLL),
        *((data.read_json_lines, *case) for case in JSON),
        *((data.read_ts, *case) for case in TS),
    ],
)
def test_malformed_files_are_refused_by_line(tmp_path, read, content, message):
    with pytest.raises(ValueError, match=message):
        read(write(tmp_path, content))


@pytest.mark.parametrize("read", [data.read_conll, data.read_json_lines, data.read_ts])
def test_missing_files_and_what_is_not_text(tmp_path, read):
    with pytest.raises(FileNotFoundError, match="missing"):
        read(tmp_path / "missing")
    (tmp_path / "binary").write_bytes(b"a O\n\xff O\n")
    with pytest.raises(ValueError, match=r"binary: is not UTF-8 text \(byte 4\)"):
        read(tmp_path / "binary")


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ((i for i in [{}]), TypeError, r"must have `len\(source\)` and `source\[i\]`; received generator"),
        ({"a": [1]}, TypeError, "received dict"),
        (Source([[1]]), TypeError, "must be dicts, a name for each column; element 0 is of type list"),
        (Source([{"a": 1}, {"b": 1}]), ValueError, r"keys of the first, \['a'\]; element 1 has \['b'\]"),
        (Source([None]), ValueError, "is empty, or all its elements are None"),
    ],
)
def test_sources_that_are_refused(source, error, message):
    with pytest.raises(error, match=message):
        data.from_grain(source)
