from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.runtime import step_kinds


@pytest.mark.parametrize("model", ["pixart-tiny", "flux-tiny"])
def test_each_kind_of_step_is_timed_and_its_memory_told(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_kinds, "RESULTS", tmp_path)
    step_kinds.main(model=model, device="cpu", images=1, rounds=1, threads=1, compile=None)
    rows = {row["kind"]: row for row in json.loads((tmp_path / f"step_kinds-{model}-cpu.json").read_text())["rows"]}
    one_branch = ["computed, one guidance branch"] if model == "pixart-tiny" else []  # FLUX has one alone
    assert list(rows) == ["computed", *one_branch, "reused", "forecast", "skipped, reused", "skipped, forecast"]
    cached = {kind: row["MiB cached"] for kind, row in rows.items()}
    assert cached["computed"] == 0
    assert cached["forecast"] == pytest.approx(2 * cached["reused"])
    assert cached["skipped, forecast"] == pytest.approx(2 * cached["skipped, reused"])
    assert 0 < cached["skipped, reused"] < cached["reused"]
