"""What a release changes in files, and what it checks: CONTRIBUTING.md, "A release", says when.

python .ci/release.py prepare 0.2.0                             writes the version, and dates the changelog
python .ci/release.py notes v0.2.0                              checks that all agree, and prints the changelog of it
python .ci/release.py address https://github.com/OWNER/jmask    writes the address of the repository, once
python .ci/release.py links https://.../blob/v0.2.0             makes links of the README absolute, for the page on PyPI
"""

import argparse
import datetime
import itertools
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
UNRELEASED = "## [Unreleased]\n"
COLAB = "https://colab.research.google.com"


class ReleaseError(Exception):
    """What does not fit, in words."""


def replace(file: str, pattern: str, text: str) -> None:
    """Replaces the one place in a file that matches."""
    path = ROOT / file
    found, number = re.subn(pattern, lambda _: text, path.read_text("utf-8"), flags=re.MULTILINE)
    if number != 1:
        raise ReleaseError(f"{file}: {number} places match {pattern!r}, not one")
    path.write_text(found, "utf-8")


def version() -> str:
    """Of the package, from which its metadata and the site take it."""
    return re.search(r'^__version__ = "(.+)"$', (ROOT / "jmask" / "__init__.py").read_text("utf-8"), re.MULTILINE)[1]


def prepare(new: str) -> None:
    """Writes the version into the package and the citation, and what is unreleased under its own heading."""
    if not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", new):
        raise ReleaseError(f"a version is like 0.2.0 or 0.2.0rc1; received {new!r}")
    today = datetime.date.today().isoformat()
    if not section("Unreleased"):
        raise ReleaseError("CHANGELOG.md has nothing under [Unreleased]")
    if re.search(rf"^## \[{re.escape(new)}\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE):
        raise ReleaseError(f"CHANGELOG.md has a section of {new} already")
    replace("CHANGELOG.md", re.escape(UNRELEASED), f"{UNRELEASED}\n## [{new}] - {today}\n")
    replace("jmask/__init__.py", r'^__version__ = ".+"$', f'__version__ = "{new}"')
    replace("CITATION.cff", r"^version: .+\n(date-released: .+\n)?", f"version: {new}\ndate-released: {today}\n")


def section(name: str) -> str:
    """What the changelog has under a heading."""
    pattern = rf"^## \[{re.escape(name)}\].*\n((?:(?!## ).*\n)*)"
    found = re.search(pattern, (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    return found[1].strip() if found else ""


def notes(tag: str) -> str:
    """The changelog of a version, if tag, package, citation and changelog agree."""
    here = version()
    if tag != f"v{here}":
        raise ReleaseError(f"the tag is {tag!r}, and the version in jmask/__init__.py {here!r}")
    if f"\nversion: {here}\n" not in (ROOT / "CITATION.cff").read_text("utf-8"):
        raise ReleaseError(f"CITATION.cff has another version than {here}")
    dated = rf"^## \[{re.escape(here)}\] - \d{{4}}-\d\d-\d\d$"
    if not re.search(dated, (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE):
        raise ReleaseError(f"CHANGELOG.md has no section of {here} with a date")
    return section(here)


def address(url: str) -> None:
    """Writes the address into the metadata, the citation, and the notebooks, which get a badge."""
    match = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)/?", url)
    if not match:
        raise ReleaseError(f"an address is like https://github.com/OWNER/jmask; received {url!r}")
    url = f"https://github.com/{match[1]}"
    owner, _, name = match[1].partition("/")
    urls = {
        "Documentation": f"https://{owner.lower()}.github.io/{name}/",
        "Source": url,
        "Issues": f"{url}/issues",
        "Changelog": f"{url}/blob/main/CHANGELOG.md",
    }
    lines = "".join(f'{key} = "{value}"\n' for key, value in urls.items())
    pattern = r"^# \[project\.urls\](.*\n)(#.*\n)*|^\[project\.urls\]\n(\w+ = .+\n)+"
    replace("pyproject.toml", pattern, f"[project.urls]\n{lines}")
    citation = f"license: Apache-2.0\nrepository-code: {url}\n"
    replace("CITATION.cff", r"^license: Apache-2\.0\n(repository-code: .+\n)?", citation)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = json.loads(path.read_text("utf-8"))
        target = f"{COLAB}/github/{match[1]}/blob/main/notebooks/{path.name}"
        badge = f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({target})"
        title, *lines = notebook["cells"][0]["source"]
        text = list(itertools.dropwhile(lambda line: line == "\n" or COLAB in line, lines))
        notebook["cells"][0]["source"] = [title, "\n", f"{badge}\n", "\n", *text]
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf-8")


def links(base: str) -> None:
    """Leads links of the README from file to file to where a browser finds the files."""
    path = ROOT / "README.md"
    text, number = re.subn(r"\]\((?!https?://|#)", f"]({base}/", path.read_text("utf-8"))
    if not number:
        raise ReleaseError("README.md has no links to files")
    path.write_text(text, "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["prepare", "notes", "address", "links"])
    parser.add_argument("value")
    options = parser.parse_args()
    try:
        text = globals()[options.task](options.value)
    except ReleaseError as error:
        print(f"release.py: {error}", file=sys.stderr)
        return 1
    print(text or f"done: look at `git diff`, then commit ({options.task} {options.value})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
