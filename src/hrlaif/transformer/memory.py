"""What does a process that computes on a CPU keep? Memory it freed, kernels it built; no files.

glibc gives blocks above 32 MB back to the system when they are freed, and every step of training or
decoding asks for the same ones again, page by page: an eighth of the time in a profile.

oneDNN builds a kernel for each shape of a product and keeps the last 1024. Texts come in more
lengths than that, and then every kernel is built again each time: four times the time of a step's
products, and memory that grows.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_LARGEST = 2**30
_KERNELS = "4096"  # about 170 kB each
_MOST_FREE = 0.2  # of all memory


class _Counts(ctypes.Structure):
    """What mallinfo2(3) gives."""

    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]


def keep_on(device: torch.device) -> None:
    """Both, where a model computes on a CPU; before it does."""
    if device.type == "cpu":
        keep_freed()
        keep_kernels()


def keep_kernels() -> None:
    """Before a process's first product; a number that the user has set stays."""
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", _KERNELS)


@cache
def keep_freed() -> bool:
    """Asks the C library once; False where it is not glibc, and nothing changes."""
    mallopt = _of_glibc("mallopt")
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST) and mallopt(_TRIM_THRESHOLD, 2**31 - 1))


def give_back() -> None:
    """What was freed and kept goes back to the system; for the moment between two uses.

    A stage that trains and then asks a judge would else hold the memory of both.
    """
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def bound() -> None:
    """What was freed and kept goes back where it is more than a fifth of all memory.

    Caches whose rows come and go are copied at ever other sizes, and fit into nothing that is kept.
    """
    info = _of_glibc("mallinfo2")  # from glibc 2.33
    if info is None:
        return
    info.restype = _Counts
    if info().fordblks > _MOST_FREE * total():
        give_back()


def total() -> int:
    """Bytes of memory that the machine has; 0 where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 0


def unmap(weight: torch.Tensor) -> None:
    """Lets go of the pages of a weight that lies in a mapped file and was copied to another form.

    They stay the file's: were the weight ever read again, they would be too.
    """
    begin, end = weight.data_ptr(), weight.data_ptr() + weight.nbytes
    begin, end = -(-begin // mmap.PAGESIZE) * mmap.PAGESIZE, end // mmap.PAGESIZE * mmap.PAGESIZE
    madvise = _of_glibc("madvise")
    if madvise is not None and begin < end and _is_in_a_file(begin, end):
        madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), mmap.MADV_DONTNEED)


def _is_in_a_file(begin: int, end: int) -> bool:
    """Whether these addresses are one mapping of a file, by Linux's list of them."""
    with open("/proc/self/maps", encoding="utf-8") as lines:
        for line in lines:
            area, _, _, _, inode, *_ = line.split()
            first, last = (int(address, 16) for address in area.split("-"))
            if first <= begin < last:
                return inode != "0" and end <= last
    return False


def _of_glibc(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
