"""One word to the C library: large blocks go back to the system when they are freed.

Each password check needs 16 MiB for a quarter of a second. glibc keeps such blocks after the first one was freed, some
in each thread's own arena: a backend that once saw a few logins at a time held 50 MiB and more as long as it lived.
"""

import ctypes

_M_MMAP_THRESHOLD = -3  # malloc.h of glibc
_LARGE_BYTES = 4 * 1024 * 1024


def give_back_large_blocks() -> bool:
    """Blocks of 4 MiB and more are mapped and unmapped one by one; False where the C library isn't glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES))
