"""From Keras: built models and their weights as models of jmask."""

from .loading import from_keras as from_keras
