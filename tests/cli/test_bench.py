from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from ecad_automl.models import load_model, model_layout
from ecad_automl.schedules.heuristics import fora
from ecad_automl.schedules.schedule_file import ScheduleMetadata, save_schedule
from tests.forked import Forked

Cli = Callable[..., tuple[int, str, str]]
SIZE = ("--height", "16", "--width", "16", "--device", "cpu")


@pytest.fixture(scope="module")
def schedules(tiny_pixart_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Schedule files for the tiny pipeline: ``fora-2`` of four steps, ``longer`` of five, ``shorter`` of three."""
    folder = tmp_path_factory.mktemp("schedules")
    model = load_model(str(tiny_pixart_folder), device="cpu")
    layout = model_layout(model.with_settings(height=16, width=16))
    for name, steps, n in (("fora-2", 4, 2), ("fora-4", 4, 4), ("longer", 5, 2), ("shorter", 3, 2)):
        metadata = ScheduleMetadata(height=16, width=16, uncached_steps=max(4, steps))
        save_schedule(folder / f"{name}.json", fora(layout, steps, n), metadata)
    return lambda name: folder / f"{name}.json"


def one_sentence(err: str) -> bool:
    """Messages may stand before it."""
    return err.splitlines()[-1].startswith("Error: ") and err.count("Error: ") == 1 and "Traceback" not in err


def test_it_explains_itself(run_cli: Cli) -> None:
    code, out, _ = run_cli("bench", "--help")
    assert code == 0
    assert "--rivals" in out


def test_a_table_a_json_file_and_a_picture(
    run_cli: Cli, tiny_pixart_folder: Path, schedules: Callable[[str], Path], tmp_path: Path
) -> None:
    code, out, err = run_cli(
        *("bench", "--model", tiny_pixart_folder, *SIZE, "--out", tmp_path / "new" / "bench"),
        *("--schedule", schedules("fora-2"), "--schedule", schedules("fora-4")),
        *("--batch-size", 1, "--batch-size", 2, "--repeats", 2, "--warmup", 1, "--rivals"),
    )
    assert code == 0, err
    for text in ("1 image per call", "2 images per call", "uncached", "fora-2", "fora-4", "2 steps", "enable_cache"):
        assert text in out
    written = json.loads((tmp_path / "new" / "bench" / "bench.json").read_text())
    assert written["complete"] is True
    assert written["machine"]["versions"]["torch"]
    assert written["dtype"] == "float32"
    assert [batch["batch_size"] for batch in written["batches"]] == [1, 2]
    rows = {row["name"]: row for row in written["batches"][1]["rows"]}
    assert len(rows["fora-2"]["whole"]["seconds"]) == 2
    assert rows["2 steps"]["kind"] == "fewer steps"
    assert rows["fora-4"]["mac_speedup"] > rows["fora-2"]["mac_speedup"] > 1
    with Image.open(tmp_path / "new" / "bench" / "bench.png") as image:
        assert image.width > 300


def test_runs_of_fewer_steps_are_timed_beside_the_uncached_run_of_all(
    run_cli: Cli, tiny_pixart_folder: Path, schedules: Callable[[str], Path], tmp_path: Path
) -> None:
    code, out, err = run_cli(
        *("bench", "--model", tiny_pixart_folder, *SIZE, "--out", tmp_path, "--schedule", schedules("shorter")),
        *("--schedule", schedules("fora-2"), "--repeats", 1, "--warmup", 1, "--no-fewer-steps", "--json"),
    )
    assert code == 0, err
    uncached, shorter, fora_2 = json.loads(out)["batches"][0]["rows"]
    assert (uncached["steps"], shorter["steps"], fora_2["steps"]) == (4, 3, 4)
    # Two steps of three are computed, as of four: what is left differs by one step of what no schedule avoids.
    assert fora_2["mac_speedup"] < shorter["mac_speedup"] <= 2


def test_json_on_standard_output_is_nothing_else(
    run_cli: Cli, tiny_pixart_folder: Path, schedules: Callable[[str], Path], tmp_path: Path
) -> None:
    code, out, _ = run_cli(
        *("bench", "--model", tiny_pixart_folder, *SIZE, "--out", tmp_path, "--schedule", schedules("fora-2")),
        *("--repeats", 1, "--warmup", 1, "--json", "--transformer-only", "--no-fewer-steps"),
    )
    assert code == 0
    document = json.loads(out)
    assert document == json.loads((tmp_path / "bench.json").read_text())
    assert document["clocks"] == ["transformer"]
    assert [row["name"] for row in document["batches"][0]["rows"]] == ["uncached", "fora-2"]


def test_bad_input_is_one_sentence_and_leaves_nothing(
    run_cli: Cli, tiny_pixart_folder: Path, schedules: Callable[[str], Path], tmp_path: Path
) -> None:
    fine = schedules("fora-2")
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    (tmp_path / "file").write_text("")
    out = tmp_path / "out"
    cases: list[tuple[tuple[Any, ...], str]] = [
        (("--schedule", tmp_path / "none.json"), "none.json"),
        (("--schedule", broken), "broken.json"),
        (("--schedule", fine, "--schedule", fine), "given twice"),
        (("--schedule", fine, "--schedule", schedules("longer")), "beside 5 steps, but 'fora-2' beside 4"),
        (("--schedule", fine, "--steps", "7"), "--steps is 7"),
        (("--steps", "0"), "at least 1"),
        (("--batch-size", "0"), "batch size is 0"),
        (("--repeats", "0"), "0 repeats"),
        (("--warmup", "0"), "0 warm-up calls"),
        (("--prompts", tmp_path / "none.txt"), "none.txt"),
        (("--out", tmp_path / "file" / "deep"), "is no folder"),
        (("--dtype", "float8"), "float8"),
        (("--schedule", fine, "--width", "17"), "17"),
    ]
    for arguments, message in cases:
        code, stdout, err = run_cli("bench", "--model", tiny_pixart_folder, *SIZE, "--out", out, *arguments)
        assert code == 2, (arguments, stdout, err)
        assert one_sentence(err), err
        assert message in err
        assert not out.exists()


def test_a_schedule_for_another_model_is_refused(
    run_cli: Cli, schedules: Callable[[str], Path], tmp_path: Path
) -> None:
    code, _, err = run_cli("bench", "--schedule", schedules("fora-2"), "--out", tmp_path / "out")
    assert code == 2
    assert one_sentence(err)
    assert "'fora-2' does not fit this model: it is for 2 blocks" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is:DeprecationWarning")  # Inductor's own modules use it
def test_schedules_may_be_compiled(
    run_cli: Cli,
    tiny_pixart_folder: Path,
    schedules: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Traced, and not compiled, which takes a while and is tested in the runtime.
    compiler, modes = torch.compile, set()

    def traced(function: Any, *, mode: str, **options: Any) -> Any:
        modes.add(mode)
        return compiler(function, backend="eager", **options)

    monkeypatch.setattr(torch, "compile", traced)
    code, out, err = run_cli(
        *("bench", "--model", tiny_pixart_folder, *SIZE, "--out", tmp_path, "--compile", "reduce-overhead"),
        *("--schedule", schedules("fora-2"), "--repeats", 1, "--warmup", 1, "--no-fewer-steps", "--json"),
    )
    assert code == 0, err
    assert [row["name"] for row in json.loads(out)["batches"][0]["rows"]] == ["uncached", "all-compute", "fora-2"]
    assert modes == {"reduce-overhead"}


def test_ctrl_c_keeps_the_rounds_that_were_done(
    start_cli: Callable[..., Forked],
    tiny_pixart_folder: Path,
    schedules: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    process = start_cli(
        [
            *("bench", "--model", str(tiny_pixart_folder), *SIZE, "--out", str(tmp_path / "out")),
            *("--schedule", str(schedules("fora-2")), "--repeats", "100000"),
        ]
    )
    assert process.stderr is not None
    assert "Timing 1 per call" in process.stderr.readline()
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "the rounds that were done are kept" in err
    assert "Traceback" not in out + err
    written = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert written["complete"] is False
    rounds = written["batches"][0]["rounds"]
    assert rounds >= 1
    assert {len(row["transformer"]["seconds"]) for row in written["batches"][0]["rows"]} == {rounds}
