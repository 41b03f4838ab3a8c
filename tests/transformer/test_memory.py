"""Is freed memory kept?"""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, torch
from hrlaif.transformer.memory import keep_freed
{0}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.ones(2**24)
begun = faults()
for _ in range(5):
    torch.ones(2**24)  # 64 MB
print(faults() - begun)
"""


def _faults(line):
    command = [sys.executable, "-c", PROGRAM.format(line)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked")
def test_pages_of_freed_blocks_are_not_cleared_again():
    assert 10 * _faults("assert keep_freed()") < _faults("")
