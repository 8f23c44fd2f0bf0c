"""What `.ci/run docs` builds and checks: each public name has a page, and what leads nowhere is found."""

import re
import runpy
import zlib
from pathlib import Path

import jmask as jm
from tests.support import public_names

ROOT = Path(__file__).parents[2]
REFERENCE = runpy.run_path(str(ROOT / "docs" / "make_reference.py"))
CHECK = runpy.run_path(str(ROOT / "docs" / "check_site.py"))


def test_every_public_name_has_a_page_and_a_place_in_the_page_of_its_room():
    frozen = re.findall(r"^(jm(?:\.[a-z]+)?\.\w+)(?=[(:\n])", public_names.FROZEN.read_text(), re.MULTILINE)
    names = set(frozen) - set(public_names.ROOMS)
    assert set(REFERENCE["names"]()) == {name for name in names if name.count(".") == 1 or name.split(".")[1].islower()}
    for room in public_names.ROOMS:
        page = "\n".join(REFERENCE["room_page"](room))
        for name in REFERENCE["names"]():
            assert (f"</api/{REFERENCE['file_of'](name)}>" in page) == (name.rpartition(".")[0] == room), name


def test_no_two_pages_differ_in_capitals_alone():
    files = [REFERENCE["file_of"](name).lower() for name in REFERENCE["names"]()]
    assert len(files) == len(set(files))


def test_the_picture_of_a_model_is_what_jmask_draws():
    """`python docs/make_pictures.py` writes it anew."""
    picture = jm.draw(runpy.run_path(str(ROOT / "docs" / "make_pictures.py"))["model"]()).svg
    assert (ROOT / "docs" / "pictures" / "model.svg").read_text("utf-8") == picture + "\n"


def test_links_that_lead_nowhere_are_found(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.html").write_text(
        '<h1 id="here">b</h1><a href="../index.html#there">up</a><a href="#here">x</a>'
    )
    (tmp_path / "index.html").write_text(
        '<a href="a/b.html#here">b</a> <a href="a/b.html#gone">b</a> <a href="https://example.com">elsewhere</a>'
        '<script src="https://example.com/x.js"></script><img src="no.png">'
    )
    number, broken = CHECK["broken_links"](tmp_path)
    assert number == 5
    assert broken == [
        "a/b.html: ../index.html#there: no such place in the page",
        "index.html: a/b.html#gone: no such place in the page",
        "index.html: loads https://example.com/x.js",
        "index.html: no.png: no such file",
    ]


def test_a_name_that_the_site_lacks_is_found(tmp_path):
    there = (f"jmask.{name} py:function 1 x -" for name in ("Masked", "vmap"))
    packed = zlib.compress("\n".join(there).encode())
    (tmp_path / "objects.inv").write_bytes(b"# Sphinx inventory version 2\n# compressed using zlib.\n" + packed)
    missing = CHECK["missing_names"](tmp_path)
    assert "the reference has no jmask.Masked.fill" in missing
    assert not {"the reference has no jmask.vmap", "the reference has no jmask.Masked"} & set(missing)


def test_every_page_is_in_a_table_of_contents():
    pages = sorted((ROOT / "docs").glob("*.md"))
    tables = "\n".join(
        table for page in pages for table in re.findall(r"```{toctree}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    )
    entries = set(re.findall(r"^(?:.*<)?([\w/]+)>?$", tables, re.MULTILINE))
    assert {page.stem for page in pages} - entries == {"index"}, "add it to docs/guides.md, docs/recipes.md or the like"


def test_every_room_is_in_the_table_of_contents_of_the_reference():
    listed = re.findall(r"^api/(.*)$", (ROOT / "docs" / "reference.md").read_text("utf-8"), re.MULTILINE)
    assert listed == sorted(public_names.ROOMS)
