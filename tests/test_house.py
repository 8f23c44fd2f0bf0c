"""The order of the house: rooms import from rooms below, no two files import each other, one name has one meaning."""

import ast
import pathlib
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator

import pytest

import jmask as jm

ROOT = pathlib.Path(jm.__file__).parent
SOURCES = (*ROOT.rglob("*.py"), ROOT / "__init__.pyi")
FILES = {file.relative_to(ROOT.parent).as_posix(): ast.parse(file.read_text("utf-8")) for file in SOURCES}

# From the top down: a room imports from those after it.
ROOMS = (
    "jmask",
    "demo",
    "train",
    "data",
    "sharding",
    "flax",
    "torch",
    "weights",
    "keras",
    "testing",
    "metrics",
    "losses",
    "drawing",
    "graph",
    "layers",
    "modules",
    "protocol",
    "rnn",
    "transform",
    "ops",
    "core",
    "sources",
)

# Imports inside functions, and why.
LATE = {
    ("jmask/core/display.py", "treescope"): "only its own renderer asks for it",
    ("jmask/data/batching.py", "jmask/data/grain_dataset.py"): "grain, which takes seconds to load",
    ("jmask/data/plan_plot.py", "matplotlib.figure"): "an extra that is not always installed",
    ("jmask/demo/cli.py", "jmask/demo/commands.py"): "rich and optax, which `jmask --help` does not need",
    ("jmask/demo/plot.py", "matplotlib.colors"): "an extra that is not always installed",
    ("jmask/demo/plot.py", "matplotlib.figure"): "an extra that is not always installed",
    ("jmask/demo/plot.py", "matplotlib.patches"): "an extra that is not always installed",
    ("jmask/demo/plot.py", "matplotlib"): "an extra that is not always installed",
    ("jmask/demo/text.py", "pydoc_data.topics"): "not in every distribution of Python",
    ("jmask/drawing/batch_picture.py", "matplotlib.colors"): "an extra that is not always installed",
    ("jmask/drawing/batch_picture.py", "matplotlib.figure"): "an extra that is not always installed",
    ("jmask/drawing/batch_picture.py", "matplotlib.ticker"): "an extra that is not always installed",
    ("jmask/flax/conversion.py", "jmask/flax/linen.py"): "flax, which takes seconds to load",
    ("jmask/flax/conversion.py", "jmask/flax/nnx.py"): "flax, which takes seconds to load",
    ("jmask/graph/summary.py", "jmask/graph/terminal_table.py"): "rich",
    ("jmask/train/curves.py", "matplotlib.figure"): "an extra that is not always installed",
}

# Names that two files define at their top level, and why.
SAME = {
    "batches": "`jm.data.batches` reads a corpus, `jm.sharding.batches` joins what processes read: both are public",
    "mean": "`jm.ops.mean` reduces axes, `jm.metrics.mean` counts as well: both are public",
}

HEAVY = (
    "equinox",
    "flax",
    "grain",
    "keras",
    "matplotlib",
    "optax",
    "orbax",
    "pyarrow",
    "rich",
    "tensorboardX",
    "treescope",
)


def imports_of(file: str, tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """The modules that a file imports: files of jmask, and the names of others."""
    package = pathlib.PurePosixPath(file).parent
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node, str(node.module)
        elif isinstance(node, ast.ImportFrom):
            base = [package, *package.parents][node.level - 1]
            base = base.joinpath(*(node.module or "").split("."))
            for alias in node.names:
                places = (base / f"{alias.name}.py", base / alias.name / "__init__.py", base.with_suffix(".py"))
                found = [path.as_posix() for path in (*places, base / "__init__.py") if path.as_posix() in FILES]
                yield node, found[0]


IMPORTS = {file: list(imports_of(file, tree)) for file, tree in FILES.items()}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of files in which each one leads to each other one."""
    reached = {start: reachable(graph, start) for start in graph}
    groups = {tuple(sorted(other for other in reached[start] if start in reached[other])) for start in graph}
    return sorted(list(group) for group in groups if group)


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    pending = [start]
    while pending:
        pending += (new := graph.get(pending.pop(), set()) - found)
        found |= new
    return found


def room(file: str) -> str:
    return file.split("/")[1] if file.count("/") > 1 else "jmask"


def late_imports() -> set[tuple[str, str]]:
    found = set()
    for file, tree in FILES.items():
        for function in ast.walk(tree):
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                found |= {(file, module) for _, module in imports_of(file, function)}
    return found


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"d"}, "e": set()}) == [["b", "c"], ["d"]]


def test_no_two_files_import_each_other():
    graph = {file: {module for _, module in found if module in FILES} for file, found in IMPORTS.items()}
    assert circles(graph) == []


def test_rooms_import_from_rooms_below():
    arrows = {(room(file), room(module)) for file, found in IMPORTS.items() for _, module in found if module in FILES}
    upwards = {(a, b) for a, b in arrows if a != b and ROOMS.index(a) > ROOMS.index(b)}
    assert upwards == set()


def test_imports_inside_functions_have_a_reason():
    assert late_imports() - set(LATE) == set()


def test_one_name_has_one_meaning():
    places = defaultdict(set)
    for file, tree in FILES.items():
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                places[node.name].add(file)
    same = {name: sorted(files) for name, files in places.items() if len(files) > 1}
    assert same.keys() == SAME.keys(), same


def modules_loaded_by(code: str) -> set[str]:
    code = f"import sys; {code}; print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return set(shown.split())


def test_heavy_packages_are_loaded_when_they_are_needed():
    loaded = modules_loaded_by("import jmask as jm; {name: getattr(jm, name) for name in dir(jm)}")
    assert {"jax", "jmask.layers.recurrent", "jmask.train.runs"} <= loaded
    assert {name.partition(".")[0] for name in loaded}.isdisjoint(HEAVY)


def test_jmask_is_imported_name_by_name():
    loaded = modules_loaded_by("import jmask as jm; jm.Masked")
    assert "jmask.core.masked" in loaded
    assert {name.partition(".")[2].partition(".")[0] for name in loaded if name.startswith("jmask.")} == {
        "core",
        "sources",
    }


def test_threads_may_be_the_first_to_name_what_they_use():
    """JAX itself cannot be imported by several threads at once."""
    code = (
        "import concurrent.futures as futures, threading, jmask as jm\n"
        "names = 'pad_sequences', 'vmap', 'layers', 'train', 'losses', 'data'\n"
        "together = threading.Barrier(len(names))\n"
        "with futures.ThreadPoolExecutor(len(names)) as pool:\n"
        "    print(len(list(pool.map(lambda name: (together.wait(), getattr(jm, name)), names))))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown == "6\n"


def test_a_misspelt_name_is_told_what_it_may_be():
    code = "import jmask as jm; jm.Maskd"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr
    assert "module 'jmask' has no attribute 'Maskd'. Did you mean: 'Masked'?" in shown


def test_a_config_finds_layers_that_nobody_has_named():
    config = {"class": "Dense", "config": {"units": 3}, "id": 0}
    code = f"import jmask as jm; assert jm.from_config({config}).units == 3"
    assert "jmask.layers.dense" in modules_loaded_by(code)


@pytest.mark.parametrize("order", ["import jmask as jm, flax.serialization", "import flax.serialization, jmask as jm"])
def test_flax_knows_masked_whichever_is_imported_first(order):
    code = f"{order}\nprint(sorted(flax.serialization.to_state_dict(jm.pad_sequences([[1], [2, 3]]))))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown == "['mask', 'values']\n"


def test_what_is_set_by_name_is_read_somewhere():
    """`object.__setattr__(self, "size", ...)` escapes a renaming of `size`, and then nobody reads what it sets."""
    nodes = [(file, node) for file, tree in FILES.items() for node in ast.walk(tree)]
    read = {node.attr for _, node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}
    for file, node in nodes:
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "object.__setattr__":
            name = node.args[1]
            where = f"{file}:{node.lineno}: {ast.unparse(node)}"
            assert not isinstance(name, ast.Constant) or name.value in read, where
