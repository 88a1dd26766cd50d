from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

COUNT_FAULTS = """
import resource
from ecad_automl.allocator import keep_freed_memory
import torch
print(keep_freed_memory())
torch.set_num_threads(1)
def use():
    held = [torch.ones(200_000) for _ in range(50)]
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")


def run(**more: str) -> tuple[bool, int]:
    """Whether the setting was made, and how many pages were mapped in a loop that frees and asks for memory."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", COUNT_FAULTS]
    done, faults = subprocess.run(command, env=plain | more, capture_output=True, text=True, check=True).stdout.split()
    return done == "True", int(faults)


def test_freed_memory_is_kept_for_the_next_tensors() -> None:
    done, faults = run()
    assert done
    assert faults < 2000  # of some 200,000 pages


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"])
def test_what_the_user_has_set_stays(name: str) -> None:
    done, faults = run(**{name: "131072"})
    assert not done
    assert faults > 100_000
