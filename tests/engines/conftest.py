"""Engines bring torchvision, whose wheel may be for another build of torch."""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("torchvision") is not None:
    from tests.references.torchvision_ops import declare_operators

    declare_operators()  # before anything imports torchvision
