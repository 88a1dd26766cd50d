"""Cross references of docstrings, written as Sphinx has them, become links of the site where there is a page."""

from __future__ import annotations

import re
from typing import Any

import griffe

__all__ = ["Roles"]

_ROLE = re.compile(r":(?:func|class|meth|attr|mod|data|exc):`(?P<short>~?)(?P<name>[\w.]+)`")


class Roles(griffe.Extension):
    """Rewrites ``:func:`~package.module.name``` into a reference that may lead nowhere."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of a loaded object."""
        if obj.docstring is not None:
            obj.docstring.value = _ROLE.sub(lambda match: _reference(match, obj), obj.docstring.value)


def _reference(match: re.Match[str], obj: griffe.Object) -> str:
    name = match["name"]
    shown = name.rpartition(".")[2] if match["short"] else name
    # Names without a package are those of the class or of the module.
    home = obj.parent if obj.parent is not None and not obj.is_class else obj
    known = name.split(".")[0] in {"ecad_automl", "surrogate", "studies", "storage"}
    if not known:
        owner = home if name.split(".")[0] in home.members else home.module
        name = f"{owner.path}.{name}"
    return f'<autoref identifier="{name}" optional><code>{shown}</code></autoref>'
