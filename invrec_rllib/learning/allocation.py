"""How the C library hands out memory: small networks spend much of a gradient step on getting theirs."""

from __future__ import annotations

import ctypes
import platform

# Names in glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory(num_bytes: int = 2**29) -> bool:
    """Ask glibc to keep freed memory for the next gradient step instead of returning it to the system.

    A gradient step allocates and frees the same tensors of a few megabytes each time. By default glibc returns
    them, and every first touch of a new page is then a fault, which costs most on virtual machines: a third
    of a step and more. The process holds up to `num_bytes` that it does not use. Call it once per process that
    learns, before the first step; `MALLOC_TRIM_THRESHOLD_` and `MALLOC_MMAP_THRESHOLD_` do the same from outside.

    Args:
        num_bytes: free memory that is kept, and size from which a block is mapped apart all the same.

    Returns:
        Whether it was done: only glibc knows how, and other systems and allocators are left alone.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    return all(library.mallopt(option, num_bytes) == 1 for option in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD))
