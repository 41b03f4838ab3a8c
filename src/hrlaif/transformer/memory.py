"""Why clear the same pages at every step? A process that computes keeps the memory it has freed.

glibc gives blocks above 32 MB back to the system when they are freed, and every step of training or
decoding asks for the same ones again, page by page: an eighth of the time in a profile.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_LARGEST = 2**30


@cache
def keep_freed() -> bool:
    """Asks the C library once; False where it is not glibc, and nothing changes."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST) and mallopt(_TRIM_THRESHOLD, 2**31 - 1))
