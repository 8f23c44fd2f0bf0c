"""A release: versions agree, and what `.ci/release.py` writes and refuses."""

import importlib.util
import json
import re
import shutil
import tomllib
from pathlib import Path

import pytest

import jmask as jm

ROOT = Path(__file__).parents[1]
FILES = ("CHANGELOG.md", "CITATION.cff", "README.md", "pyproject.toml", "jmask/__init__.py", "notebooks")


def script():
    spec = importlib.util.spec_from_file_location("release", ROOT / ".ci" / "release.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def release(tmp_path, monkeypatch):
    """The script, for a copy of the files that it writes."""
    for name in FILES:
        target = tmp_path / name
        target.parent.mkdir(exist_ok=True)
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, target)
    module = script()
    monkeypatch.setattr(module, "ROOT", tmp_path)
    module.replace("CHANGELOG.md", r"^## \[Unreleased\]\n", "## [Unreleased]\n\n### Added\n\n- Something.\n")
    return module


def test_package_citation_and_changelog_have_one_version():
    release = script()
    assert release.version() == jm.__version__
    assert f"\nversion: {jm.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
    assert release.section(jm.__version__)


def test_a_release_is_prepared_and_checked(release):
    unreleased = release.section("Unreleased")
    assert unreleased.startswith("### Added\n\n- Something.")
    with pytest.raises(release.ReleaseError, match=r"the tag is 'v9\.8\.7', and the version in jmask/__init__\.py '\d"):
        release.notes("v9.8.7")
    release.prepare("9.8.7")
    assert release.version() == "9.8.7"
    assert release.notes("v9.8.7") == unreleased
    assert not release.section("Unreleased")
    with pytest.raises(release.ReleaseError, match=r"nothing under \[Unreleased\]"):
        release.prepare("9.8.8")


@pytest.mark.parametrize(
    ("file", "old", "new", "text"),
    [
        ("CITATION.cff", "version: 9.8.7", "version: 9.8.6", "CITATION.cff has another version than 9.8.7"),
        ("CHANGELOG.md", "## [9.8.7] - 2", "## [9.8.7] - unreleased 2", "no section of 9.8.7 with a date"),
    ],
)
def test_what_does_not_agree_is_not_released(release, file, old, new, text):
    release.prepare("9.8.7")
    path = release.ROOT / file
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(release.ReleaseError, match=text):
        release.notes("v9.8.7")


@pytest.mark.parametrize(("version", "text"), [("2.0", "a version is like 0.2.0"), ("0.1.0", "a section of 0.1.0")])
def test_versions_that_are_refused(release, version, text):
    with pytest.raises(release.ReleaseError, match=text):
        release.prepare(version)


def test_the_address_is_written_once(release):
    release.address("https://github.com/someone/jmask")
    release.address("https://github.com/Another/jmask/")
    source = "https://github.com/Another/jmask"
    urls = tomllib.loads((release.ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
    assert urls["Source"] == source
    assert urls["Documentation"] == "https://another.github.io/jmask/"
    assert f"\nrepository-code: {source}\n" in (release.ROOT / "CITATION.cff").read_text("utf-8")
    for path in (release.ROOT / "notebooks").glob("*.ipynb"):
        lines = json.loads(path.read_text("utf-8"))["cells"][0]["source"]
        assert [line for line in lines if "colab" in line] == [lines[2]]
        assert f"/github/Another/jmask/blob/main/notebooks/{path.name})" in lines[2]
        before = json.loads((ROOT / "notebooks" / path.name).read_text("utf-8"))["cells"][0]["source"]
        assert lines[4:] == before[-len(lines[4:]) :]
        assert lines[1] == lines[3] == "\n" != lines[4]
    with pytest.raises(release.ReleaseError, match="an address is like"):
        release.address("https://example.org/jmask")


def test_links_of_the_readme_lead_somewhere_from_anywhere(release):
    before = re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text("utf-8"))
    release.links("https://example.org/blob/v1")
    after = re.findall(r"\]\(([^)]+)\)", (release.ROOT / "README.md").read_text("utf-8"))
    assert after == [link if link.startswith("http") else f"https://example.org/blob/v1/{link}" for link in before]
    assert "https://example.org/blob/v1/docs/layers.md" in after
