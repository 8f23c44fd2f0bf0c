"""Options of a layer stand in the order of Keras, and Keras' own layers have converters by their names."""

import inspect

import jmask as jm


def test_options_stand_in_the_order_of_keras(keras):
    both = [name for name in dir(jm.layers) if hasattr(keras.layers, name) and name != "Layer"]
    assert len(both) > 55
    for name in both:
        in_keras = list(inspect.signature(getattr(keras.layers, name).__init__).parameters)
        ours = [option for option in inspect.signature(getattr(jm.layers, name)).parameters if option in in_keras]
        assert ours == [option for option in in_keras if option in ours], name
