"""How this process keeps its memory on the CPU."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of malloc.h
_LARGE = 32 << 20  # glibc ignores anything above, without a word


def keep_freed_memory() -> bool:
    """Let malloc keep freed blocks up to 32 MiB, for the next step wants them again.

    glibc hands what is free at the end of its heap back to the system, which clears it page by
    page when it is asked for once more: a tenth of a step of ViT-S in bfloat16. Larger blocks go
    back at once: kept, they cost a sixth more memory. Other C libraries are left alone.

    Returns:
        Whether this is glibc.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    return bool(libc.mallopt(_MMAP_THRESHOLD, _LARGE) and libc.mallopt(_TRIM_THRESHOLD, 2**30))
