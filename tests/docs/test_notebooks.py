"""Every notebook runs from its first cell to its last."""

import os
from pathlib import Path

import nbclient
import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
PATHS = [
    pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if "training" in path.stem else [])
    for path in sorted(NOTEBOOKS.glob("*.ipynb"))
]


@pytest.mark.parametrize("path", PATHS)
def test_notebook_runs(path, monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # an install cell must find that everything is there already
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(NOTEBOOKS)}})
    client.execute(env=dict(os.environ))
    for cell in notebook.cells:
        if cell.source.endswith("model.summary()"):
            assert ["<table" in output.data["text/html"] for output in cell.outputs if "data" in output] == [True]
