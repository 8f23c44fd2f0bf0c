"""Sphinx: the pages of this folder, a reference of all public names, benchmarks and changelog: see CONTRIBUTING.md."""

import re
import sys
import tomllib
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx import addnodes
from sphinx.pycode import ModuleAnalyzer

import jmask

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(DOCS))

import make_reference  # noqa: E402 - from this folder

about = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SOURCE = about.get("urls", {}).get("Source")  # links to files that are not on the site go there

project = "jmask"
author = about["authors"][0]["name"]
copyright = author
release = version = jmask.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
show_warning_types = True

myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]  # as GitHub writes it
myst_heading_anchors = 3

autodoc_typehints = "description"
python_display_short_literal_types = True
autodoc_typehints_description_target = "documented_params"
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_custom_sections = [("Arguments of the result", "params_style")]
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

default_role = "literal"
highlight_language = "none"
html_math_renderer = "mathml"  # by the browser itself, without scripts or fonts from elsewhere
html_theme = "pydata_sphinx_theme"
html_title = "jmask"
html_favicon = "_static/favicon.svg"
html_context = {"default_mode": "auto"}
html_static_path = ["_static"]
html_css_files = ["jmask.css"]
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {"index": [], "start": [], "why": []}  # which have no pages below them
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 8,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": [],
    "use_edit_page_button": False,
} | ({"icon_links": [{"name": "Source", "url": SOURCE, "icon": "fa-solid fa-code"}]} if SOURCE else {})

# What is shown on the site and lies outside of this folder, as links name it.
ELSEWHERE = {
    "../CHANGELOG.md": "changelog.md",
    "../CONTRIBUTING.md": "contributing.md",
} | {
    f"../benchmarks/results/{file.name}": f"benchmarks/{file.name}"
    for file in (ROOT / "benchmarks" / "results").glob("*.md")
}
NUMBERS = r"\S*bool\S* \| \S*number\S* \| bool \| int \| float \| complex"
ARRAY_LIKE = re.compile(rf"(?:\S*Array \| )?\S*ndarray(?:\[[^|]*\])? \| {NUMBERS}")
TWICE = re.compile(r"(\w+)\[jaxlib\._jax\.Array, ('[^']*')\] \| \1\[ndarray, \2\]")
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((\.\./[^)#]+)(#[^)]*)?\)")


def lead_to_the_site(app, docname, source):
    """Links that leave this folder lead to their page, else to the repository, if its address is known."""

    def lead(match):
        text, target, anchor = match.group(1), match.group(2), match.group(3) or ""
        up = "../" * docname.count("/")
        if target in ELSEWHERE:
            return f"[{text}]({up}{ELSEWHERE[target]}{anchor})"
        return f"[{text}]({SOURCE}/blob/main/{target.removeprefix('../')})" if SOURCE else f"`{text}`"

    source[0] = LINK.sub(lead, source[0])


def link_names(app, doctree):
    """The name of a public object, `jm.vmap` or `train.step(...)`, leads to its page wherever it is code in a text."""
    in_table = "jm.layers." if app.env.current_document.docname == "layers" else ""
    for text in list(doctree.findall(lambda node: isinstance(node, (nodes.paragraph, nodes.entry)))):
        for place, code in enumerate(text.children):
            name = re.match(r"[\w.]*", code.astext())[0] if isinstance(code, nodes.literal) else ""
            paths = [path for path in (name, f"jm.{name}", f"{in_table}{name}") if path in make_reference.names()]
            if paths and ("." in name or in_table):
                target = paths[0].replace("jm.", "jmask.", 1)
                text[place] = addnodes.pending_xref("", code, refdomain="py", reftype="obj", reftarget=target)


def show_mathematics(self, node):
    block = isinstance(node, nodes.math_block)
    mathml = tex2mathml(node.astext().replace(r"\mathrel", ""), as_block=block)  # which docutils does not know
    self.body.append(f'<div class="formula">{mathml}</div>' if block else mathml)
    raise nodes.SkipNode


def name_types(app, domain, objtype, content):
    """An array is `Array`, whoever made it, and what else may become one is `ArrayLike`."""
    for types in app.env.current_document.autodoc_annotations.values():
        for name, text in types.items():
            text = ARRAY_LIKE.sub("ArrayLike", text)
            types[name] = TWICE.sub(r"\1[Array, \2]", text).replace("jaxlib._jax.Array", "Array")


def without_overloads(analyze):
    """Overloads are for type checkers; the reference shows one signature, which `make_reference.py` writes."""

    def analyze_and_forget(self):
        analyze(self)
        self.overloads = {}

    return analyze_and_forget


def setup(app):
    ModuleAnalyzer.analyze = without_overloads(ModuleAnalyzer.analyze)
    app.add_html_math_renderer("mathml", (show_mathematics, None), (show_mathematics, None))
    app.connect("object-description-transform", name_types, priority=100)  # before autodoc shows them
    app.connect("doctree-read", link_names)
    app.connect("source-read", lead_to_the_site)
    make_reference.write(DOCS)
