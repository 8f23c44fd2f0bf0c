"""The one exception of the demo."""


class DemoError(Exception):
    """Something the person at the keyboard can put right; shown as one line, without a traceback."""
