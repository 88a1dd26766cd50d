"""The lowest versions that ``pyproject.toml`` allows, as requirements for pip: ``python scripts/lowest.py``.

Of what the project and its extras for users ask for: exactly the lowest version. Of what tests are run with: any. A
bound that cannot be installed beside the others is so found by pip. Needs nothing but Python.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

_PROJECT = Path(__file__).parents[1] / "pyproject.toml"
#: Extras that need another machine or the network, or pin what is older than our own bounds.
_LEFT_OUT = ("dev", "docs", "fuzz", "image-reward", "metrics")
#: Checks of code, which are not tests; import-linter asks for a later rich than the project does.
_CHECKS = ("import-linter", "mypy")


def lowest(text: str) -> list[str]:
    """Requirements, sorted.

    Args:
        text: of a ``pyproject.toml``.

    Raises:
        ValueError: a dependency has no lowest version.
    """
    project = tomllib.loads(text)["project"]
    extras = project["optional-dependencies"]
    bounded = [*project["dependencies"], *(each for name in extras if name not in _LEFT_OUT for each in extras[name])]
    pinned = set()
    for requirement in bounded:
        if re.fullmatch(r"[\w.-]+(\[[\w,-]+\])?>=[\d.]+", requirement) is None:
            raise ValueError(f"{requirement!r} has no lowest version; write it as name>=version.")
        pinned.add(requirement.replace(">=", "=="))
    tools = {each for each in extras["dev"] if not each.startswith((project["name"], *_CHECKS))}
    return sorted(pinned | tools)


if __name__ == "__main__":
    print("\n".join(lowest(_PROJECT.read_text(encoding="utf-8"))))
