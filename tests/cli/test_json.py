"""``--json``: the facts of the study, in documents of the schemas that docs/command-line.md names."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import stdtrit

from ecad_automl import Front
from ecad_automl.api.stored import read_study
from ecad_automl.schedules.ecad_format import read_ecad, write_ecad
from ecad_automl.schedules.ecad_macs import ecad_layout
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import load_schedule, save_schedule
from storage import Store
from studies.confirmation import load_confirmation
from tests.cli.made_up_study import FULL, IDENTITY, SCHEDULES, STEPS, save_shorter, save_study
from tests.commands import search_arguments

Cli = Callable[..., tuple[int, str, str]]


def refuse(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


#: Whose keys are the names of components, figures and speedups.
FREE = {"components", "objectives", "best"}


@pytest.fixture(scope="module")
def examples() -> dict[str, Any]:
    """The documents that docs/command-line.md shows, by schema."""
    page = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")
    blocks = map(json.loads, re.findall(r"^```json\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    found = {block["schema"]: block for block in blocks}
    front = found["ecad-automl/front/1"]
    for name in ("front", "fewer_steps", "heuristics"):  # shown once
        front[name] = [front["uncached"]]
    found["ecad-automl/confirmation/1"]["others"] = found["ecad-automl/confirmation/1"]["front"]
    return found


def check_keys(shown: Any, found: Any, where: str) -> None:
    """No key may be missing, or unknown to the page of the guide, and they stand in its order."""
    if isinstance(shown, dict) and isinstance(found, dict):
        if where.rpartition(".")[2] in FREE:
            shown = dict.fromkeys(found, next(iter(shown.values())))
        assert list(shown) == list(found), where
        for name, value in found.items():
            check_keys(shown[name], value, f"{where}.{name}")
    elif isinstance(shown, list) and isinstance(found, list):
        for value in found if shown else ():
            check_keys(shown[0], value, where)


@pytest.fixture
def printed(run_cli: Cli, examples: dict[str, Any]) -> Callable[..., dict[str, Any]]:
    """What a command prints with ``--json``, as long as that is one document of its schema."""

    def run(kind: str, *arguments: object, ends: int = 0) -> dict[str, Any]:
        code, out, err = run_cli(*arguments, "--json")
        assert code == ends, err
        found: dict[str, Any] = json.loads(out, parse_constant=refuse)
        assert found["schema"] == f"ecad-automl/{kind}/1"
        check_keys(examples[found["schema"]], found, kind)
        return found

    return run


def test_front_has_the_points_of_the_study(printed: Any, made_database: Path) -> None:
    front = Front.load(made_database)
    found = printed("front", "front", "--storage", made_database)
    assert (found["study"], found["storage"], found["reward"]) == ("made", str(made_database), "made-up")
    assert (found["cost"], found["evaluations"]) == ("MACs", len(front.evaluations))
    assert len(found["front"]) == len(front)
    for point, run in zip(front, found["front"], strict=True):
        for name in ("trial", "origin", "speedup", "mac_speedup", "gmacs", "latency_ms", "reward", "difference"):
            assert run[name] == getattr(point, name)
        assert run["genome"] == point.schedule.to_genome()
        half = float(stdtrit(len(IDENTITY["prompts"]) - 1, 0.975)) * point.standard_error
        assert run["difference_interval"] == pytest.approx([point.difference - half, point.difference + half])
    assert found["uncached"]["reward"] == front.uncached.reward
    assert [run["origin"] for run in found["fewer_steps"]] == ["2 steps"]
    assert found["fewer_steps"][0]["steps"] == 2
    found = printed("front", "front", "--storage", made_database, "--no-baselines")
    assert found["fewer_steps"] == []


def test_a_front_says_what_each_point_does_and_can_leave_out_fewer_steps(printed: Any, made_database: Path) -> None:
    save_shorter(made_database)
    found = printed("front", "front", "--storage", made_database)
    (shorter,) = (run for run in found["front"] if run["trial"] == 9)
    told = {name: shorter[name] for name in ("steps", "steps_run", "steps_guided", "slots_computed")}
    assert told == {"steps": 3, "steps_run": 2, "steps_guided": 1, "slots_computed": 1.0}
    assert found["uncached"]["steps_guided"] is None  # of a model of one branch, as far as its layout tells
    found = printed("front", "front", "--storage", made_database, "--same-steps")
    assert [run["trial"] for run in found["front"]] == [1, 2, 0]
    assert (found["fewer_steps"], found["evaluations"]) == ([], 4)


def test_without_fewer_steps_verdicts_are_against_the_others(printed: Any, made_database: Path) -> None:
    found = printed("confirmation", "front", "--storage", made_database, "--confirmed", "--same-steps")
    assert [(run["origin"], run["survives"]) for run in found["front"]] == [("fora-2", True)]
    assert [run["steps"] for run in found["others"]] == [STEPS]


def test_a_confirmed_front_has_the_verdicts(printed: Any, made_database: Path) -> None:
    with Store.open(made_database, read_only=True) as store:
        confirmation = load_confirmation(store, "made")
    assert confirmation is not None
    verdicts = confirmation.verdicts
    found = printed("confirmation", "front", "--storage", made_database, "--confirmed")
    assert (found["prompts"], found["seeds"], found["missing"]) == (5, 1, confirmation.missing)
    assert found["survivors"] == len(verdicts.survivors)
    for verdict, run in zip((*verdicts.front, *verdicts.others), found["front"] + found["others"], strict=True):
        assert (run["origin"], run["survives"]) == (verdict.run.label, verdict.survives)
        assert run["difference"] == verdict.difference.mean
        assert run["difference_interval"] == [verdict.difference.low, verdict.difference.high]
    (beaten,) = (run for run in found["front"] if not run["survives"])
    assert (beaten["origin"], beaten["trial"], beaten["beaten_by"]) == ("fora-2", 1, "2 steps")
    # Of a single schedule there is no rank correlation, and no such number in JSON.
    assert np.isnan(verdicts.rank_correlation)
    assert found["rank_correlation"] is None


def test_describe_has_what_the_file_computes(printed: Any, tmp_path: Path) -> None:
    schedule, path = SCHEDULES["bred"], tmp_path / "bred.json"
    save_schedule(path, schedule)
    found = printed("description", "describe", path, "--png", tmp_path / "map.png")
    assert found["file"] == str(path)
    assert (found["steps"], found["slots"], found["blocks"]) == (schedule.steps, len(schedule.layout), 2)
    assert (found["gmacs"], found["uncached_gmacs"]) == (schedule.gmacs, FULL.gmacs)
    assert found["computed"] == schedule.effective.mean()
    for row, slot, bits in zip(found["rows"], schedule.layout.slots, schedule.effective.T, strict=True):
        assert (row["block"], row["component"]) == (slot.block, slot.component)
        assert row["steps"] == np.flatnonzero(bits).tolist()
    assert Path(found["png"]).read_bytes().startswith(b"\x89PNG")


def test_export_names_its_files_and_a_snippet(printed: Any, made_database: Path, tmp_path: Path) -> None:
    found = printed("export", "export", "--storage", made_database, "--front", "--out", tmp_path / "all", "--card")
    front = Front.load(made_database)
    assert [run["trial"] for run in found["schedules"]] == [point.trial for point in front]
    for run, point in zip(found["schedules"], front, strict=True):
        assert load_schedule(run["file"]).schedule == point.schedule
    confirmed = {run["origin"]: run["survives"] for run in found["schedules"]}
    assert confirmed == {"fora-2": False, "bred": None, "uncached": True}
    assert set(json.loads(Path(found["index"]).read_text())) >= {"schema"}
    assert Path(found["card"]).name == "README.md"
    compile(found["snippet"], "snippet", "exec")
    chosen = printed("export", "export", "--storage", made_database, "--trial", 2, "--out", tmp_path)
    assert (len(chosen["schedules"]), chosen["index"], chosen["card"]) == (1, None, None)


def test_plot_report_and_convert_name_what_they_wrote(printed: Any, made_database: Path, tmp_path: Path) -> None:
    storage = ("--storage", made_database)
    found = printed("plot", "plot", *storage, "--out", tmp_path / "plots")
    for name in ("front", "hypervolume", "confirmed"):
        assert Path(found[name]).read_bytes().startswith(b"\x89PNG")

    pytest.importorskip("plotly", reason="plotly is not installed")
    found = printed("report", "report", *storage, "--out", tmp_path / "page.html")
    assert (found["format"], found["pictures"], found["image_prompts"]) == ("html", [], 0)
    assert Path(found["file"]).read_text().startswith("<!DOCTYPE html>")
    found = printed("report", "report", *storage, "--out", tmp_path / "page.md")
    assert found["format"] == "md"
    assert all(Path(path).is_file() for path in found["pictures"])
    assert len(found["pictures"]) == len(list((tmp_path / "page-files").iterdir()))

    write_ecad(tmp_path / "theirs.json", Schedule.all_compute(ecad_layout(4, 0), 4), name="theirs")
    for source, target, kind in (("theirs", "ours", "ecad-automl"), ("ours", "again", "ecad")):
        found = printed("conversion", "convert", tmp_path / f"{source}.json", tmp_path / f"{target}.json")
        assert (found["format"], found["target"]) == (kind, str(tmp_path / f"{target}.json"))
    assert read_ecad(tmp_path / "again.json").schedule == load_schedule(tmp_path / "ours.json").schedule


def test_generate_has_times_and_pictures(printed: Any, tiny_pixart_folder: Path, tmp_path: Path) -> None:
    from ecad_automl.models import load_model
    from ecad_automl.models.loading import model_layout
    from ecad_automl.schedules.schedule_file import ScheduleMetadata

    model = load_model(str(tiny_pixart_folder)).with_settings(steps=4, height=16, width=16)
    save_schedule(
        tmp_path / "full.json",
        Schedule.all_compute(model_layout(model), 4),
        ScheduleMetadata(height=16, width=16, guidance_scale=4.5),
    )
    found = printed(
        "generation",
        *("generate", tmp_path / "full.json", "--model", tiny_pixart_folder, "--prompt", "a cross"),
        *("--out", tmp_path / "images", "--device", "cpu"),
    )
    assert [(run["name"], run["images"], run["mac_speedup"]) for run in found["runs"]] == [
        ("uncached", 1, 1.0),
        ("full", 1, 1.0),
    ]
    for run in found["runs"]:
        assert run["seconds"] > 0
        low, high = run["speedup_range"]
        assert low <= run["speedup"] <= high
        assert run["times_measured"] >= 3
        assert (Path(run["folder"]) / "000.png").is_file()
    assert found["prompts"] == ["a cross"]
    assert Path(found["side_by_side"]).is_file()


def test_check_lists_what_it_finds(printed: Any, made_database: Path) -> None:
    found = printed("check", "check", "--storage", made_database, ends=1)  # the made-up study has no trials of Optuna
    assert (found["clean"], found["searching"]) == (False, False)
    assert {tuple(finding) for finding in found["findings"]} == {("kind", "study", "trial", "text")}


@pytest.mark.slow
def test_a_search_has_its_outcome(printed: Any, tiny_pixart_folder: Path, tmp_path: Path) -> None:
    found = printed("search", *search_arguments(tmp_path, tiny_pixart_folder, 6), "--fixed-steps")
    assert found["evaluations"] == 6


def test_an_error_prints_no_document(run_cli: Cli, tmp_path: Path) -> None:
    code, out, err = run_cli("front", "--storage", tmp_path / "none.db", "--json")
    assert (code, out) == (2, "")
    assert err.startswith("Error: There is no study database at ")


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_jq_reads_it(run_cli: Cli, tmp_path: Path) -> None:
    names = IDENTITY | {"reward": "\u00fcber \u001b[31m \u2028"}
    save_study(tmp_path / "s.db", names, SCHEDULES)
    code, out, _ = run_cli("front", "--storage", tmp_path / "s.db", "--json")
    assert code == 0
    filters = ".reward, .front[0].trial, (.front | map(.speedup) | max == .[0])"
    asked = subprocess.run(["jq", "-c", filters], input=out, capture_output=True, text=True, check=True)
    assert list(map(json.loads, asked.stdout.strip().split("\n"))) == [names["reward"], 1, True]
    assert read_study(tmp_path / "s.db", None).name == "made"
