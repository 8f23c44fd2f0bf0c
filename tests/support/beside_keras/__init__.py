"""Layers and models of jmask beside the same ones of Keras."""
