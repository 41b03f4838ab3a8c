"""Is freed memory kept?"""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, torch
from hrlaif.transformer.memory import keep_freed
{0}
class Info(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]
mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Info
tensor = torch.ones(2**24)  # 64 MB
print(mallinfo2().hblkhd)
"""


def _mapped(line):
    """Bytes in blocks that the system gets back, and clears again, when they are freed."""
    command = [sys.executable, "-c", PROGRAM.format(line)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked")
def test_large_blocks_stay_with_the_process_once_asked():
    assert _mapped("") > 2**26
    assert _mapped("assert keep_freed()") < 2**26
