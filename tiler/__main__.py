"""``python -m tiler``."""

from tiler.entry import main

if __name__ == "__main__":
    main()
