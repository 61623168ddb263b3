"""How this process keeps its memory on the CPU."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # names of malloc.h
_NEVER = 2**30


def keep_freed_memory() -> bool:
    """Let malloc keep large blocks that are freed, for the next step wants them again.

    glibc hands a block of more than 32 MiB straight back to the system, which clears it page by
    page when it is asked for once more: a tenth of a step of ViT-S in bfloat16. Other C libraries
    are left alone.

    Returns:
        Whether this is glibc.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    # Not M_MMAP_THRESHOLD: glibc accepts values above 32 MiB and ignores them.
    return bool(libc.mallopt(_MMAP_MAX, 0) and libc.mallopt(_TRIM_THRESHOLD, _NEVER))
