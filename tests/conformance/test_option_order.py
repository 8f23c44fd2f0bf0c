"""Options of a layer stand in the order of Keras, and Keras' own layers have converters by their names."""

import inspect

import keras
import pytest

import jmask as jm

BOTH = [name for name in dir(jm.layers) if hasattr(keras.layers, name) and name != "Layer"]


def test_many_layers_are_in_both():
    assert len(BOTH) > 55


@pytest.mark.parametrize("name", BOTH)
def test_options_stand_in_the_order_of_keras(name):
    in_keras = list(inspect.signature(getattr(keras.layers, name).__init__).parameters)
    ours = [option for option in inspect.signature(getattr(jm.layers, name)).parameters if option in in_keras]
    assert ours == [option for option in in_keras if option in ours]
