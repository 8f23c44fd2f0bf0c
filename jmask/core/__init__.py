"""The core: `Masked`, its operators and indexing, segment ids, the order of steps, display, and errors."""
