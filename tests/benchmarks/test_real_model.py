"""The experiment on a real model, on small checkpoints and small files in the form of each set."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.real_model import contestants, stages
from benchmarks.real_model.__main__ import app
from benchmarks.real_model.contestants import Target, carry, write_contestants
from benchmarks.real_model.stages import StageError, Stages
from benchmarks.real_model.table import table
from ecad_automl.schedules.heuristics import fora
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule_file import ScheduleMetadata, load_schedule, save_schedule
from tests import commands
from tests.metrics.random_inception import save_inception
from tests.rewards.image_reward.small import QUICK, write_folder, write_words
from tests.rewards.tiny_clip import save_clip

PROMPTS = [f"a {size} {color} circle" for size in ("large", "small") for color in ("red", "blue")]
UNSEEN = [text.replace("circle", "square") for text in PROMPTS]
LAYOUT = Layout("T", tuple(Slot(f"blocks.{index}", "ff", None, 1000) for index in range(4)))


def test_fewer_steps_and_fora_stand_beside_the_front(tmp_path: Path) -> None:
    front = []
    for every in (2, 3, 5):
        front.append(tmp_path / f"{every}.json")
        save_schedule(front[-1], fora(LAYOUT, 20, every), ScheduleMetadata(height=256, guidance_scale=4.5, trial=every))
    names = write_contestants(front, tmp_path / "all")
    assert names == [
        *("search-1.5x", "13-steps", "search-2x", "10-steps", "search-2.5x", "8-steps", "search-3x", "6-steps"),
        *("search-4x", "5-steps", "fora-2", "fora-3"),
    ]
    files = {name: load_schedule(tmp_path / "all" / f"{name}.json") for name in names}
    assert files["search-2.5x"].metadata.trial == 3
    assert (files["10-steps"].schedule.steps, files["10-steps"].uncached_steps) == (10, 20)
    assert files["10-steps"].mac_speedup == 2.0
    assert {(file.metadata.height, file.metadata.guidance_scale) for file in files.values()} == {(256, 4.5)}
    moved = carry([tmp_path / "all" / "search-2x.json"], Target.read("owner/other@1024"), tmp_path / "moved")
    carried = load_schedule(moved / "search-2x.json")
    assert carried.schedule == files["search-2x"].schedule
    assert (carried.metadata.model, carried.metadata.height, carried.metadata.width) == ("owner/other", 1024, 1024)


@pytest.mark.parametrize("text", ["owner/other", "@256", "owner/other@", "owner/other@0", "owner/other@big"])
def test_a_model_to_carry_to_has_a_size(text: str) -> None:
    with pytest.raises(ValueError, match=r"MODEL@256"):
        Target.read(text)


def test_what_is_done_is_not_done_again_and_what_fails_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = tmp_path / "count"
    script = f"import sys; open({str(count)!r}, 'a').write('x'); print('{{}}'); sys.exit('fail' in sys.argv)"
    monkeypatch.setattr(stages, "COMMAND", [sys.executable, "-c", script])
    for _ in range(2):
        Stages(tmp_path).run("part", ["first", "--json"])
        with pytest.raises(StageError, match="part 2 ended with 1"):
            Stages(tmp_path).run("part 2", ["fail"])
    Stages(tmp_path).run("part", ["other", "--json"])
    assert len(count.read_text()) == 1 + 2 + 1


def test_the_table_has_published_rows_below(tmp_path: Path) -> None:
    metric = {"mean": 0.9, "difference": -0.05, "difference_interval": [-0.1, 0.01]}
    run = {"name": "search-2x", "mac_speedup": 2.1, "metrics": {"image-reward": metric}}
    times = {"batches": [{"rows": [{"name": "search-2x", "whole": {"speedup": {"median": 1.9}}}]}]}
    lines = table("pixart-alpha-256", {"coco": {"runs": [run]}}, times)
    assert "| search-2x | 2.10x | 1.90 | 0.900, -0.050 (-0.100 to +0.010) |" in lines
    assert "| ECAD fast | 1.97 | 0.99 | 20.58 |" in lines
    assert not any("ECAD" in line for line in table("qwen-image-1024", {"coco": {"runs": [run]}}, times))


@pytest.fixture
def arguments(tiny_folders: Callable[[str], Path], tmp_path: Path) -> list[str]:
    """Of an experiment on a small PixArt, with a small file in the form of each set."""
    rows = [{"id": f"00569{index}-0057", "prompt": text} for index, text in enumerate(PROMPTS)]
    (tmp_path / "benchmark-prompts.json").write_text(json.dumps(rows))
    notes = [{"id": index, "image_id": index, "caption": text} for index, text in enumerate(UNSEEN)]
    (tmp_path / "captions.json").write_text(
        json.dumps({"images": [{"id": note["id"]} for note in notes], "annotations": notes})
    )
    parti = ["Prompt\tCategory\tChallenge\tNote", *(f"{text}\tAnimals\tBasic\t" for text in UNSEEN)]
    (tmp_path / "PartiPrompts.tsv").write_text("\n".join(parti) + "\n")
    write_folder(tmp_path / "reward", QUICK)
    write_words(tmp_path / "reward")
    save_clip(tmp_path / "clip")
    inception = save_inception(tmp_path / "inception.pth")
    config = f"""
[model]
model = "{tiny_folders("pixart")}"
dtype = "float32"
steps = 6
height = 16
width = 16
[prompts]
prompts = "imagerewarddb={tmp_path / "benchmark-prompts.json"}"
limit = 2
images-per-prompt = 1
[reward]
reward = "image-reward={tmp_path / "reward"}"
[search]
evaluations = 6
offspring = 3
[method]
pool = 40
"""
    (tmp_path / "small.toml").write_text(config)
    return [
        *("pixart-alpha-256", "--config", str(tmp_path / "small.toml"), "--work", str(tmp_path / "work")),
        *("--unseen", f"parti={tmp_path / 'PartiPrompts.tsv'}", "--limit", "2", "--device", "cpu"),
        *("--on", f"coco={tmp_path / 'captions.json'}"),
        *("--metrics", f"image-reward={tmp_path / 'reward'},clip={tmp_path / 'clip'},fid={inception}"),
        *("--carry-to", f"{tiny_folders('pixart')}@24", "--repeats", "1"),
    ]


def in_this_process(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
    """What takes the place of a process, which would import torch anew for each part."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = commands.run(*command[len(stages.COMMAND) :])
    return subprocess.CompletedProcess(command, code, printed.getvalue() if "--json" in command else None)


@pytest.mark.slow
def test_all_of_it_on_a_small_checkpoint(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "run", in_this_process)
    monkeypatch.setattr(contestants, "SPEEDUPS", (2.0,))
    found = CliRunner().invoke(app, [*arguments, "--hours", "1e-9"])
    assert found.exit_code == 2
    assert "--hours is 1e-09" in found.output
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0, found.output
    result: dict[str, Any] = json.loads((tmp_path / "work" / "pixart-alpha-256" / "result.json").read_text())
    assert list(result["scores"]) == ["coco", "carried to tiny-pixart-24"]
    for evaluation in result["scores"].values():
        runs = {run["name"]: run for run in evaluation["runs"]}
        assert {"uncached", "search-2x", "3-steps", "fora-2"} <= set(runs)
        assert all(set(run["metrics"]) == {"image-reward", "clip", "fid"} for run in runs.values())
    lines = (tmp_path / "work" / "pixart-alpha-256" / "result.md").read_text()
    assert "| ECAD fastest | 2.58 | 0.77 | 19.54 |" in lines
    assert "## carried to" in lines
