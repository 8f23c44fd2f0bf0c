"""Conversion from Keras: built models and their weights as jmask models."""

from .loading import from_keras as from_keras
