"""Whether diffusers has the hooks by which the benchmarks measure its caches."""

from __future__ import annotations

import diffusers
import pytest
from diffusers.hooks import hooks

needs_caches = pytest.mark.skipif(
    not hasattr(hooks, "CacheContext"),
    reason=f"the caches of diffusers {diffusers.__version__} are not those that the benchmarks measure",
)
