"""Each public name has a page on the site, which `.ci/run docs` builds, and the citation names this version."""

import re
import runpy
from pathlib import Path

import jmask as jm
from tests.support import public_names

ROOT = Path(__file__).parents[2]
REFERENCE = runpy.run_path(str(ROOT / "docs" / "make_reference.py"))


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


def test_the_citation_names_this_version():
    assert f"\nversion: {jm.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
