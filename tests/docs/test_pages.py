"""The pages in `docs/`, and CONTRIBUTING.md, keep their word: their examples run, and their links lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMPILES_MUCH = {
    *(
        "attending.md",
        "coming_from_flax.md",
        "debugging.md",
        "decoding.md",
        "documents.md",
        "flax.md",
        "labels.md",
        "models.md",
    ),
    *("own_layers.md", "packed.md", "seq2seq.md", "time_and_frequency.md"),
}
ELSEWHERE = {"keras_fit.md", "journey.md"}  # which tests/conformance and test_journey.py run
RIVALS = [pytest.mark.extras, pytest.mark.filterwarnings("ignore")]  # Keras warns of masks that it loses
MARKS = {"sources.md": pytest.mark.extras, "why.md": RIVALS} | dict.fromkeys(COMPILES_MUCH, pytest.mark.slow)
PROGRAMS = [
    pytest.param(page, marks=MARKS.get(page.name, ()), id=page.name) for page in PAGES if page.name not in ELSEWHERE
]
LINKS = [
    pytest.param(page, target, id=f"{page.name}-{target}")
    for page in PAGES
    for target in sorted(set(re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text(encoding="utf-8"))))
]


def test_there_are_pages():
    assert PAGES


@pytest.mark.slow
@pytest.mark.parametrize("page", PROGRAMS)
def test_examples_run_in_order_as_one_program(page, monkeypatch):
    if page.name == "why.md":
        monkeypatch.setenv("KERAS_BACKEND", "jax")  # which Keras reads when it is first imported
        pytest.importorskip("keras", exc_type=ImportError)
    text = page.read_text(encoding="utf-8")
    namespace = {"__name__": page.stem}
    for block in BLOCK.finditer(text):
        lines_before = text.count("\n", 0, block.start(1))  # so that a traceback shows the line of the page
        exec(compile("\n" * lines_before + block.group(1), str(page), "exec"), namespace)
    if page.name.startswith("coming_from_"):  # their line, our line: ours runs too
        for code in re.findall(r"^\|[^|]*\|[^|]*?`([^`|]+)`[^|]*\|$", text, re.MULTILINE):
            exec(compile(code, f"{page}, a table", "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_mathematics_is_balanced(page):
    text = page.read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert all(paragraph.count("$") % 2 == 0 for paragraph in prose.split("\n\n"))
    for formula in re.findall(r"^```math\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        assert formula.count("{") == formula.count("}")
        assert re.findall(r"\\begin{(\w+)}", formula) == re.findall(r"\\end{(\w+)}", formula)


@pytest.mark.parametrize(("page", "target"), LINKS)
def test_links_lead_to_files(page, target):
    assert (page.parent / target).exists()
