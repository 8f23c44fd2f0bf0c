"""The layer protocol: the base class, calls by name, the flow of masks, parameters, state, names and configs."""
