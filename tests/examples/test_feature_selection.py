from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import optuna

ROOT = Path(__file__).parents[2]


def test_the_example_of_feature_selection_runs(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'digits.db'}"
    command = [sys.executable, str(ROOT / "examples" / "feature_selection.py"), "--storage", storage, "--trials", "34"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("pixels  accuracy\n")
    assert "Warning" not in done.stderr
    trials = optuna.load_study(study_name="digits", storage=storage).trials
    assert len(trials) == 34
    assert all(0.05 < trial.values[0] < 1.0 and 0 <= trial.values[1] <= 64 for trial in trials)
