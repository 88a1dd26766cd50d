from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ecad_automl.models import model_layout
from ecad_automl.schedules.heuristics import fora
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import ScheduleMetadata, save_schedule

Cli = Callable[..., tuple[int, str, str]]

PROMPTS = ["a large solid red circle", "a small hollow blue square", "a striped cross", "a circle"]


@pytest.fixture
def arguments(tiny_model: Any, tiny_pixart_folder: Path, tmp_path: Path) -> list[str]:
    """Evaluates FORA at two intervals."""
    layout = model_layout(tiny_model)
    (tmp_path / "schedules").mkdir()
    for interval in (2, 4):
        meta = ScheduleMetadata(height=16, width=16)
        save_schedule(tmp_path / "schedules" / f"fora-{interval}.json", fora(layout, 4, interval), meta)
    (tmp_path / "prompts.csv").write_text("\n".join(["number,caption", *(f"{i},{p}" for i, p in enumerate(PROMPTS))]))
    return [
        *("evaluate", "--model", str(tiny_pixart_folder), "--schedule", str(tmp_path / "schedules")),
        *("--prompts", str(tmp_path / "prompts.csv"), "--out", str(tmp_path / "out"), "--device", "cpu"),
        *("--images-per-prompt", "2", "--metrics", "fidelity,psnr,latent-distance"),
    ]


def test_an_evaluation_writes_one_table_thrice(run_cli: Cli, arguments: list[str], tmp_path: Path) -> None:
    code, out, _ = run_cli(*arguments)
    assert code == 0
    data = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert [run["name"] for run in data["runs"]] == ["uncached", "fora-2", "fora-4"]
    assert data["of"]["prompts"] == PROMPTS
    assert data["of"]["seeds"] == [0, 1]
    rows = list(csv.DictReader((tmp_path / "out" / "evaluation.csv").read_text().splitlines()))
    assert len(rows) == 9
    fora_4 = data["runs"][2]
    assert fora_4["mac_speedup"] > data["runs"][1]["mac_speedup"] > 1
    for name in ("uncached", "fora-2", "fora-4", "latent-distance", f"{fora_4['mac_speedup']:.2f}x"):
        assert name in out
    assert fora_4["metrics"]["fidelity"]["mean"] < data["runs"][1]["metrics"]["fidelity"]["mean"] < 0
    low, high = fora_4["metrics"]["psnr"]["interval"]
    assert low < fora_4["metrics"]["psnr"]["mean"] < high


def test_the_same_command_makes_no_image_again(
    run_cli: Cli, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_cli(*arguments)[0] == 0
    before = (tmp_path / "out" / "evaluation.csv").read_text()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("images were made again")

    monkeypatch.setattr("ecad_automl.models.generation.generate_batch", refuse)
    code, out, err = run_cli(*arguments, "--json")
    assert code == 0
    assert "0 images to make" in err
    assert json.loads(out) == json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert (tmp_path / "out" / "evaluation.csv").read_text() == before


def test_images_are_written_and_are_those_of_the_pipeline(
    run_cli: Cli, arguments: list[str], tiny_model: Any, tmp_path: Path
) -> None:
    assert run_cli(*arguments, "--save-images", "--batch-size", "1")[0] == 0
    files = sorted((tmp_path / "out" / "images" / "uncached").iterdir())
    assert [file.name for file in files] == [f"{prompt:05}-{seed}.png" for prompt in range(4) for seed in (0, 1)]
    settings = tiny_model.with_settings(max_sequence_length=300).settings  # the usual length of this pipeline
    expected = tiny_model.pipe(
        PROMPTS[2], **settings.call_arguments(), generator=torch.Generator().manual_seed(1), output_type="np"
    ).images[0]
    written = np.asarray(Image.open(files[5]), dtype=np.float32)
    assert np.abs(written - (expected * 255).round()).max() <= 1


def test_other_prompts_need_another_folder(run_cli: Cli, arguments: list[str]) -> None:
    assert run_cli(*arguments)[0] == 0
    code, _, err = run_cli(*arguments, "--limit", "3")
    assert code == 2
    assert "prompts (4 entries in the file, 3 now)" in err
    assert "choose another folder" in err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--metrics", ""], "There is no metric"),
        (["--metrics", "fidelity,fidelity"], "The metric 'fidelity' is named twice"),
        (["--metrics", "beauty"], "There is no reward 'beauty'"),
        (["--images-per-prompt", "0"], "There are 0 images per prompt"),
        (["--limit", "0"], "The limit is 0 prompts"),
        (["--batch-size", "0"], "The batch size is 0"),
        (["--fid-reference", "nowhere"], "is for the metric fid, which is not among the metrics"),
        (["--schedule", "nowhere.json"], "There is no schedule file at nowhere.json"),
    ],
)
def test_bad_input_gets_one_sentence(
    run_cli: Cli, arguments: list[str], more: list[str], message: str, tmp_path: Path
) -> None:
    code, _, err = run_cli(*arguments, *more)
    assert code == 2
    assert err.splitlines()[-1].startswith("Error: ")
    assert message in err
    assert not (tmp_path / "out" / "evaluation.json").exists()


def test_schedules_of_another_model_are_refused_before_anything_is_made(
    run_cli: Cli, arguments: list[str], tmp_path: Path
) -> None:
    from tests.studies.conftest import small_layout

    save_schedule(tmp_path / "schedules" / "other.json", Schedule.all_compute(small_layout(), 4))
    code, _, err = run_cli(*arguments)
    assert code == 2
    assert "The schedule 'other' does not fit the model: it is for 3 blocks, not 2" in err
    assert not (tmp_path / "out" / "scores.db").exists()


@pytest.mark.slow
def test_a_killed_evaluation_goes_on(start_cli: Callable[..., Any], arguments: list[str], tmp_path: Path) -> None:
    import signal
    import time

    # Small batches, so that there is time to kill it in between.
    arguments = [*arguments, "--batch-size", "1", "--images-per-prompt", "6"]
    process = start_cli(arguments)
    database = tmp_path / "out" / "scores.db"

    def kept() -> int:
        if not database.exists():
            return 0
        with closing(sqlite3.connect(database)) as connection:
            try:
                return int(connection.execute("select count(*) from scores").fetchone()[0])
            except sqlite3.OperationalError:
                return 0

    deadline = time.monotonic() + 120
    while kept() < 20 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = kept()
    assert 20 <= before < 3 * 3 * 24
    again = start_cli(arguments)
    _, err = again.communicate(timeout=240)
    assert again.returncode == 0, err
    assert f"{3 * 24} images to make" not in err
    assert kept() == 3 * 3 * 24
