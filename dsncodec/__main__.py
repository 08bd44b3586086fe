"""``python -m dsncodec`` is the command ``dsncodec``."""

from __future__ import annotations

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
