"""Live Keras beside jmask; a package, so that its files may have the names of others in `tests/`."""
