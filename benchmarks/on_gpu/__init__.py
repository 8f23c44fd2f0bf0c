"""What `gpu.py` measures, one file a kind of work."""
