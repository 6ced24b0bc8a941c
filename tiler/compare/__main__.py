"""``python -m tiler.compare``."""

import sys

from tiler.compare.main import main

if __name__ == "__main__":
    sys.exit(main())
