"""``python -m mlptrain``."""

from mlptrain.cli import entry

if __name__ == "__main__":
    entry()
