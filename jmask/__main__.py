"""`python -m jmask`: trains a masked tagger on real text and proves that its padding is invisible."""

import sys

from .demo.cli import main

if __name__ == "__main__":
    sys.exit(main())
