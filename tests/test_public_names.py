"""What users may name, and what it takes: nothing comes, goes or changes by accident."""

import importlib
import inspect
import pkgutil

import pytest

import jmask as jm
from tests.support import public_names


def test_names_and_signatures_are_those_that_are_written_down():
    frozen = public_names.FROZEN.read_text().splitlines()
    assert list(public_names.lines()) == frozen, "if this is on purpose: `python -m tests.support.public_names`"


@pytest.mark.parametrize("room", public_names.ROOMS)
def test_dir_shows_public_names_alone(room):
    module = public_names.ROOMS[room]
    for name in dir(module):
        assert not name.startswith("_")
        assert room == "jm" or not inspect.ismodule(getattr(module, name))


def test_no_file_is_hidden_by_a_function_of_its_name():
    packages = [
        jm.__name__,
        *(name for _, name, is_package in pkgutil.walk_packages(jm.__path__, "jmask.") if is_package),
    ]
    for package in map(importlib.import_module, packages):
        for file in pkgutil.iter_modules(package.__path__):
            assert inspect.ismodule(getattr(package, file.name, package)), f"{package.__name__}.{file.name}"
