"""Installs the reference packages and writes what they compute, for ``pytest tests/references``.

``python -m tests.references.prepare [--full-size]`` writes into ``.references/``, which git ignores. What is there and
current is left as it is. With ``--full-size``, ImageReward is run in its real size as well (random weights; about 2 GB
on disk and 4 GB of memory).
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from tests.references.image_reward_cases import CASES, FULL_SIZE
from tests.references.install import REFERENCES, REQUIREMENTS, environment, install

__all__ = ["FIXTURES", "prepare_image_reward"]

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


def prepare_image_reward(*, full_size: bool) -> None:
    """Write the fixtures of the package image-reward unless they are current.

    Raises:
        SystemExit: the package failed.
    """
    cases = [case for case in CASES if full_size or case != FULL_SIZE]
    made_by = _made_by(cases)
    stamp = FIXTURES / _STAMP
    if stamp.is_file() and stamp.read_text() == made_by:
        print(f"image-reward: fixtures already in {FIXTURES}")
        return
    print(f"image-reward: scoring with the package ({', '.join(cases)})", flush=True)
    shutil.rmtree(FIXTURES, ignore_errors=True)
    FIXTURES.mkdir(parents=True)
    command = [sys.executable, "-m", "tests.references.image_reward_fixtures", str(FIXTURES), *cases]
    if subprocess.run(command, env=environment("image-reward"), check=False).returncode:
        raise SystemExit("image-reward: the package failed, see above.")
    stamp.write_text(made_by)
    print(f"image-reward: fixtures now in {FIXTURES}")


def _made_by(cases: list[str]) -> str:
    """What the fixtures depend on."""
    scripts = b"".join(script.read_bytes() for script in _SCRIPTS)
    return "\n".join([*REQUIREMENTS["image-reward"], *cases, hashlib.sha256(scripts).hexdigest(), ""])


if __name__ == "__main__":
    for name in REQUIREMENTS:
        install(name)
    prepare_image_reward(full_size="--full-size" in sys.argv[1:])
