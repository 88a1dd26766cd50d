"""Installs packages that tests need and the project does not, each set into a folder of its own.

``python -m tests.references.install [NAME ...]`` installs the named sets, or all, into ``.references/NAME``. Nothing is
installed into the environment that runs it: a set comes without its dependencies and is put in front of the path of a
process (see :func:`environment`), so that this one's torch serves all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["REFERENCES", "REQUIREMENTS", "environment", "folder", "install", "installed"]

ROOT = Path(__file__).parents[2]
REFERENCES = ROOT / ".references"
"""Where sets and fixtures lie; it tells git to ignore it."""

REQUIREMENTS: Mapping[str, tuple[str, ...]] = {
    "image-reward": (
        "image-reward==1.5",
        "timm==0.6.13",
        "fairscale==0.4.13",
        "transformers==4.40.0",
        "tokenizers==0.19.1",
        "huggingface_hub==0.29.3",
        "torchvision==0.28.0",
    ),
    "hpsv2": ("hpsv2==1.2.0", "open_clip_torch==3.3.0", "ftfy==6.3.1", "wcwidth==0.9.4", "torchvision==0.28.0"),
    # What schedules are combined with and timed beside; torchao writes warnings at each import of diffusers.
    "optional": ("torchao==0.18.0", "bitsandbytes==0.50.2", "cache-dit==1.5.3"),
    # What reads exports to other engines, and what the core of ComfyUI imports.
    "engines": (
        "sglang==0.5.23",
        "vllm-omni==0.30.0",
        "einops==0.8.2",
        "torchsde==0.2.6",
        "trampoline==0.1.2",
        "torchvision==0.28.0",
    ),
    # What diffusers' own tests are written with, beside what there is.
    "diffusers": ("parameterized==0.9.0", "requests-mock==1.12.1", "ftfy==6.3.1", "wcwidth==0.9.4"),
    "torchvision": ("torchvision==0.28.0", "torch-fidelity==0.4.0", "lpips==0.1.4"),
}
"""Sets by name. Those that name torchvision need :mod:`tests.references.torchvision_ops` where torch is a CPU build."""

_STAMP = "requirements.txt"
_STRAYS = ("tests", "benchmarks")
"""Some wheels bring folders of these names, which would hide this project's."""


def folder(name: str) -> Path:
    """Where a set is, or would be."""
    return REFERENCES / name


def installed(name: str) -> bool:
    """Whether a set is there as it is listed now, for this version of Python."""
    stamp = folder(name) / _STAMP
    return stamp.is_file() and stamp.read_text() == _stamp(name)


def environment(name: str) -> dict[str, str]:
    """Variables for a process that imports the set's packages before those of this environment, and this project."""
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder(name)), str(ROOT), *others])}


def install(name: str) -> Path:
    """Install a set unless it is there; an interrupted installation leaves nothing that would pass for one.

    Returns:
        Its folder.

    Raises:
        SystemExit: there is no such set, or pip failed.
    """
    if name not in REQUIREMENTS:
        raise SystemExit(f"There is no set of packages {name!r}; choose from {', '.join(REQUIREMENTS)}.")
    place = folder(name)
    if installed(name):
        print(f"{name}: already in {place}")
        return place
    print(f"{name}: installing {', '.join(REQUIREMENTS[name])}", flush=True)
    REFERENCES.mkdir(exist_ok=True)
    (REFERENCES / ".gitignore").write_text("*\n")
    partial = place.with_name(f"{name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(partial)]
    if subprocess.run([*command, *REQUIREMENTS[name]], check=False).returncode:
        raise SystemExit(f"{name}: pip failed, see above; the packages come from your package index.")
    for stray in _STRAYS:
        shutil.rmtree(partial / stray, ignore_errors=True)
    (partial / _STAMP).write_text(_stamp(name))
    shutil.rmtree(place, ignore_errors=True)
    partial.rename(place)
    print(f"{name}: now in {place}")
    return place


def _stamp(name: str) -> str:
    return "\n".join([f"# python {sys.version_info.major}.{sys.version_info.minor}", *REQUIREMENTS[name], ""])


if __name__ == "__main__":
    for chosen in sys.argv[1:] or REQUIREMENTS:
        install(chosen)
