"""Keeping memory that was freed, on CPUs under glibc."""

from __future__ import annotations

import ctypes
import os

# <malloc.h>
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_NEVER = 2**31 - 1
_LARGEST = 32 * 2**20  # that glibc takes for the second


def keep_freed_memory() -> bool:
    """Have glibc keep freed memory for the next tensors, instead of handing it back to the system each time.

    A transformer frees and asks for the same sizes in every block. With cached outputs in between, glibc by default
    gives memory back at each free, and the system clears it anew for the next tensor: in the small PixArt of
    ``benchmarks/runtime/transformer_speed.py`` a computed step so takes a tenth longer. Allocators made for such loads,
    as jemalloc and tcmalloc, do not do that. The setting is one of the whole process, so it is for programs to make,
    not for libraries.

    Returns:
        Whether it was done: only under glibc, and where the user has set neither ``MALLOC_TRIM_THRESHOLD_`` nor
        ``MALLOC_MMAP_THRESHOLD_``.
    """
    if not {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"}.isdisjoint(os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # another C library, or none that can be asked
        return False
    # Either of them alone would have glibc map each large tensor anew, since it then stops to learn their sizes.
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST) and mallopt(_M_TRIM_THRESHOLD, _NEVER))
