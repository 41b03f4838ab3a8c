"""Is freed memory kept?"""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hrlaif.transformer.memory import keep_kernels, unmap

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


RESIDENT = """
import torch
from hrlaif.transformer.memory import give_back, keep_freed
keep_freed()
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
blocks = [torch.ones(2**22) for _ in range(16)]  # 16 MB each
last = torch.ones(1)  # the heap's end stays in use
del blocks
before = resident()
give_back()
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked")
def test_what_was_kept_goes_back_when_asked():
    done = subprocess.run(
        [sys.executable, "-c", RESIDENT], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) > 2**27


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked")
def test_pages_of_a_file_are_let_go_and_can_be_read_again(tmp_path):
    def of_files():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssFile")) * 1024

    torch.arange(2**22).numpy().tofile(tmp_path / "weights")  # 32 MB
    weight = torch.from_file(str(tmp_path / "weights"), size=2**22, dtype=torch.int64)
    total, before = int(weight.sum()), of_files()
    unmap(weight)
    assert before - of_files() > 2**24
    assert int(weight.sum()) == total


def test_what_lies_in_no_file_is_left_alone():
    weight = torch.ones(2**22)
    unmap(weight)
    assert float(weight.sum()) == 2**22


def test_kernels_of_many_shapes_are_kept_unless_the_user_says_how_many(monkeypatch):
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    monkeypatch.delenv(name, raising=False)
    keep_kernels()
    assert int(os.environ[name]) > 1024  # oneDNN's own
    monkeypatch.setenv(name, "7")
    keep_kernels()
    assert os.environ[name] == "7"


KEPT = """
import torch
from hrlaif.transformer import memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

memory.keep_freed()
kept = []
for size in range(8):  # freed blocks between others that stay
    torch.ones(2**24)
    kept.append(torch.ones(2**10))
large = torch.ones(2**26)  # 256 MB
last = torch.ones(2**10)
del large
before = resident()
memory.total = lambda: {0}
memory.bound()
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked")
@pytest.mark.parametrize(("total", "gone"), [(2**30, True), (2**33, False)])
def test_freed_memory_goes_back_where_it_is_more_than_a_fifth_of_all(total, gone):
    command = [sys.executable, "-c", KEPT.format(total)]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert (int(found) > 2**27) == gone
