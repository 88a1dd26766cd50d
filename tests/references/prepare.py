"""Installs the reference packages and writes what they compute, for ``pytest tests/references``.

``python -m tests.references.prepare [--full-size]`` writes into ``.references/``, which git ignores. What is there and
current is left as it is. With ``--full-size``, ImageReward is run in its real size as well (random weights; about 2 GB
on disk and 4 GB of memory).
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from tests.references.image_reward_cases import CASES, FULL_SIZE
from tests.references.install import REFERENCES, REQUIREMENTS, environment, install

__all__ = ["FIXTURES", "image_reward_ready", "prepare_image_reward"]

FIXTURES = REFERENCES / "fixtures" / "image-reward"
_HERE = Path(__file__).parent
_SCRIPTS = (
    *(
        _HERE / f"{name}.py"
        for name in ("image_reward_cases", "image_reward_fixtures", "reference_package", "pictures")
    ),
    _HERE.parent / "rewards" / "image_reward" / "small.py",
)
_STAMP = "made-by.txt"


def image_reward_ready() -> bool:
    """Whether fixtures of the package image-reward are there, made by these scripts and versions."""
    stamp = FIXTURES / _STAMP
    return stamp.is_file() and stamp.read_text() == _made_by()


def prepare_image_reward(*, full_size: bool) -> None:
    """Write the fixtures of the package image-reward unless they are current.

    Raises:
        SystemExit: the package failed.
    """
    if image_reward_ready() and (not full_size or (FIXTURES / FULL_SIZE).is_dir()):
        print(f"image-reward: fixtures already in {FIXTURES}")
        return
    cases = [case for case in CASES if full_size or case != FULL_SIZE]
    print(f"image-reward: scoring with the package ({', '.join(cases)})", flush=True)
    shutil.rmtree(FIXTURES, ignore_errors=True)
    FIXTURES.mkdir(parents=True)
    command = [sys.executable, "-m", "tests.references.image_reward_fixtures", str(FIXTURES), *cases]
    if subprocess.run(command, env=environment("image-reward"), check=False).returncode:
        raise SystemExit("image-reward: the package failed, see above.")
    (FIXTURES / _STAMP).write_text(_made_by())
    print(f"image-reward: fixtures now in {FIXTURES}")


def _made_by() -> str:
    """What the fixtures depend on."""
    scripts = b"".join(script.read_bytes() for script in _SCRIPTS)
    return "\n".join([*REQUIREMENTS["image-reward"], hashlib.sha256(scripts).hexdigest(), ""])


def main() -> None:
    """Prepare all sets and fixtures."""
    parser = argparse.ArgumentParser(description="Install the reference packages and write what they compute.")
    parser.add_argument("--full-size", action="store_true", help="run ImageReward in its real size as well")
    full_size = parser.parse_args().full_size
    for name in REQUIREMENTS:
        install(name)
    prepare_image_reward(full_size=full_size)


if __name__ == "__main__":
    main()
