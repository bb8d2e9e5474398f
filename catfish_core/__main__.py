"""`python -m catfish_core …`: CatFish without a browser."""

import sys

from catfish_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
