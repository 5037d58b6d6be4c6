"""``python -m mfcourse`` is the command ``mfcourse``."""

import sys

from mfcourse.cli import main

if __name__ == "__main__":
    sys.exit(main())
