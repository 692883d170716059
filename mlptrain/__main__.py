"""``python -m mlptrain``."""

import sys

from mlptrain.cli import main

if __name__ == "__main__":
    sys.exit(main())
