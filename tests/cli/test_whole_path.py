"""Search, look, export, describe, convert, plot, generate, apply: the path that a user walks."""

from __future__ import annotations

import json
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ecad_automl import apply_schedule, load_model, load_schedule
from ecad_automl.hub import schedule_paths
from ecad_automl.schedules.ecad_format import write_ecad
from ecad_automl.schedules.ecad_macs import ecad_layout
from ecad_automl.schedules.heuristics import fora
from ecad_automl.schedules.schedule_file import Measured, ScheduleMetadata, save_schedule
from ecad_automl.schedules.skips import with_skips
from storage import Store
from tests.commands import search_arguments, start
from tests.forked import Forked

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def searched(tiny_pixart_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the database of a finished search."""
    folder = tmp_path_factory.mktemp("searched")
    process = start([*search_arguments(folder, tiny_pixart_folder, 26), "--heuristics", "fora"])
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert "Done: 28 schedules" in out  # two of them are runs of fewer steps, which the calibration makes anyway
    assert "Traceback" not in err
    return folder


@pytest.mark.slow
def test_front_lists_schedules_heuristics_and_fewer_steps(searched: Path, run_cli: Cli) -> None:
    code, out, _ = run_cli("front", "--storage", searched / "study.db")
    assert code == 0
    assert "28 schedules evaluated" in out
    assert "uncached" in out
    assert "2 steps" in out
    assert "fora" in out


@pytest.mark.slow
def test_exported_schedules_apply_to_the_pipeline_in_one_line(
    searched: Path, tiny_pixart_folder: Path, tmp_path: Path, run_cli: Cli
) -> None:
    code, out, _ = run_cli("export", "--storage", searched / "study.db", "--front", "--out", tmp_path)
    assert code == 0
    files = schedule_paths(tmp_path)
    assert all(out.count(f"{path}: ") == 1 for path in files)
    model: Any = load_model(str(tiny_pixart_folder), device="cpu").with_settings(steps=4, height=16, width=16)
    for path in files:
        file = load_schedule(path)
        assert file.metadata.objectives["gmacs"].value == pytest.approx(file.schedule.gmacs)
        with apply_schedule(model.pipe, path) as handle:
            assert handle.schedule == file.schedule
            model.pipe("a cross", **{**model.settings.call_arguments(), **handle.arguments})


@pytest.mark.slow
@pytest.mark.parametrize("choice", [("--speedup", "1.5"), ("--max-drop", "10"), ("--knee",), ("--trial", "5")])
def test_export_by_a_choice_writes_one_schedule(
    searched: Path, tmp_path: Path, run_cli: Cli, choice: tuple[str, ...]
) -> None:
    code, _, _ = run_cli("export", "--storage", searched / "study.db", "--out", tmp_path, *choice)
    assert code == 0
    (path,) = tmp_path.glob("*.json")
    file = load_schedule(path)
    if choice[0] == "--speedup":
        assert file.schedule.mac_speedup >= 1.5
    if choice[0] == "--trial":
        assert file.metadata.trial == 5


@pytest.mark.slow
def test_pictures_are_written(searched: Path, tmp_path: Path, run_cli: Cli) -> None:
    assert run_cli("plot", "--storage", searched / "study.db", "--out", tmp_path)[0] == 0
    run_cli("export", "--storage", searched / "study.db", "--knee", "--out", tmp_path)
    (path,) = tmp_path.glob("*.json")
    code, out, _ = run_cli("describe", path, "--png", tmp_path / "heat.png")
    assert code == 0
    assert "attn2" in out
    assert "with text once" in out
    assert "MiB per image" in out
    assert "█" in out
    for name in ("tiny-front.png", "tiny-hypervolume.png", "heat.png"):
        with Image.open(tmp_path / name) as image:
            assert image.width > 300


@pytest.mark.slow
def test_generate_writes_images_side_by_side(
    searched: Path, tiny_pixart_folder: Path, tmp_path: Path, run_cli: Cli
) -> None:
    run_cli("export", "--storage", searched / "study.db", "--knee", "--out", tmp_path)
    (path,) = tmp_path.glob("*.json")
    code, out, err = run_cli(
        "generate", path, "--model", tiny_pixart_folder, "--prompt", "a red cross", "--out", tmp_path / "images"
    )
    assert code == 0, err
    assert "x as fast" in out
    for name in ("uncached/000.png", f"{path.stem}/000.png"):
        with Image.open(tmp_path / "images" / name) as image:
            assert image.size == (16, 16)
    assert (tmp_path / "images" / "side-by-side.png").exists()


@pytest.mark.slow
def test_the_dashboard_serves_the_study_with_named_objectives_and_readable_parameters(
    searched: Path, start_cli: Callable[..., Forked]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = start_cli(["dashboard", "--storage", str(searched / "study.db"), "--port", str(port)])
    try:
        address = f"http://127.0.0.1:{port}"
        (summary,) = wait_for_json(f"{address}/api/studies", process)["study_summaries"]
        assert summary["study_name"] == "tiny"
        assert summary["directions"] == ["maximize", "minimize"]
        detail = wait_for_json(f"{address}/api/studies/{summary['study_id']}?after=0", process)
        assert detail["objective_names"] == ["reward", "gmacs"]
        complete = [trial for trial in detail["trials"] if trial["state"] == "Complete"]
        assert len(complete) == 28
        assert "attn1 early" in {parameter["name"] for parameter in complete[0]["params"]}
        with urllib.request.urlopen(f"{address}/dashboard/", timeout=10) as page:
            assert b"<html" in page.read().lower()
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert "Traceback" not in out + err


def wait_for_json(url: str, process: Forked) -> Any:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return json.load(response)
        except urllib.error.URLError:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.2)


@pytest.mark.slow
def test_convert_there_and_back_keeps_the_schedule(searched: Path, tmp_path: Path, run_cli: Cli) -> None:
    with Store.open(searched / "study.db", read_only=True) as store:
        trial = next(run.trial for run in store.evaluations("tiny") if run.origin == "fora-2")
    run_cli("export", "--storage", searched / "study.db", "--trial", trial, "--out", tmp_path)
    (path,) = tmp_path.glob("*.json")
    theirs, back = tmp_path / "theirs.ecad", tmp_path / "back.ours"
    code, _, err = run_cli("convert", path, theirs)
    assert (code, theirs.exists()) == (2, False) and "fitted" in err
    save_schedule(path, load_schedule(path).schedule.with_fitted(None))
    assert run_cli("convert", path, theirs)[0] == 0
    assert "cache_schedule" in json.loads(theirs.read_text())
    assert run_cli("convert", theirs, back)[0] == 0
    assert load_schedule(back).schedule == load_schedule(path).schedule


def test_steps_that_reuse_everything_are_named_and_skipped_on_purpose(tmp_path: Path, run_cli: Cli) -> None:
    ours, theirs, target = tmp_path / "ours.json", tmp_path / "theirs.json", tmp_path / "skips.json"
    schedule = fora(ecad_layout(4, 0), 10, 2)
    measured = {"reward": Measured(value=0.5)}
    save_schedule(ours, schedule, ScheduleMetadata(name="mine", guidance_scale=4.5, objectives=measured))
    write_ecad(theirs, schedule, name="mine")
    code, out, _ = run_cli("describe", ours)
    assert code == 0
    assert "5 of 10 steps; skipped, they would save" in " ".join(out.split())
    for source in (ours, theirs):
        code, out, err = run_cli("convert", source, target, "--skips")
        assert code == 0, err
        assert "5 of 10 steps" in " ".join(out.split())
        file = load_schedule(target)
        assert file.schedule == with_skips(schedule)
        assert (file.metadata.name, file.metadata.objectives) == ("mine", {})
    assert run_cli("convert", target, target, "--skips")[0] == 0  # nothing is left to skip
    assert load_schedule(target).schedule == with_skips(schedule)
    assert "all reused" not in run_cli("describe", target)[1]


@pytest.mark.slow
def test_a_schedule_for_another_model_is_refused(searched: Path, tmp_path: Path, run_cli: Cli) -> None:
    run_cli("export", "--storage", searched / "study.db", "--knee", "--out", tmp_path)
    (path,) = tmp_path.glob("*.json")
    code, _, err = run_cli("generate", path, "--model", "shapes", "--out", tmp_path / "images")
    assert code == 2
    assert "blocks" in err
    assert len(err.strip().splitlines()) == 1
