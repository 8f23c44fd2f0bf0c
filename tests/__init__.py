"""The tests mirror `jmask/`; what they share is in `tests.support`."""
