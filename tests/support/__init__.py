"""What tests share: oracles, batches, counters, and harnesses."""
