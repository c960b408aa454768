"""`python -m engine`: the command line. Worker processes import this module too, so nothing runs without the guard."""

import sys

from engine.cli import main

if __name__ == "__main__":
    sys.exit(main())
