from __future__ import annotations

import subprocess
import sys

import storage


def test_the_exported_names_are_there() -> None:
    assert all(hasattr(storage, name) for name in storage.__all__)


def test_importing_storage_imports_neither_torch_nor_optuna() -> None:
    code = "import storage, sys; print(sorted({'torch', 'diffusers', 'optuna', 'sqlalchemy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
