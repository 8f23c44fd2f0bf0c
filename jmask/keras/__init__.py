"""From Keras: built models and their weights as models of jmask."""

from .from_keras import from_keras as from_keras
