"""The README keeps its word: its examples run, and its links lead somewhere."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
TEXT = README.read_text(encoding="utf-8")


def test_examples_run_in_order_as_one_program(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where they save
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE))
    assert blocks
    namespace = {"__name__": "readme"}
    for block in blocks:
        lines_before = TEXT.count("\n", 0, block.start(1))  # so that a traceback shows the line of the README
        code = compile("\n" * lines_before + block.group(1), str(README), "exec")
        exec(code, namespace)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!https?://)([^)#]+)", TEXT))))
def test_links_lead_to_files(target):
    assert (README.parent / target).exists()
