"""``ecad-automl report`` on study databases."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ecad_automl.api.stored import read_study
from ecad_automl.schedules.heuristics import fora
from ecad_automl.schedules.layout import Layout
from storage import Store, open_optuna_storage
from studies.quality import Scale, worst_of_interest
from tests.cli.made_up_study import IDENTITY, SCHEDULES, STEPS, reusing, save_confirmations, save_study
from tests.views.report.made_up import HOSTILE_PROMPT

pytest.importorskip("plotly", reason="plotly is not installed")

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "it's.db"
    save_study(path, IDENTITY, SCHEDULES)
    return path


def embedded(path: Path) -> dict[str, Any]:
    """The data that a page carries."""
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', path.read_text(), re.DOTALL)
    assert found is not None
    return dict(json.loads(found[1]))


def test_a_report_has_the_figures_of_the_study(database: Path, tmp_path: Path, run_cli: Cli) -> None:
    out = tmp_path / "page.html"
    code, said, _ = run_cli("report", "--storage", database, "--out", out)
    assert code == 0
    assert said.strip() == str(out)
    data = embedded(out)
    columns = data["schedules"]
    kinds = [columns["kind"]["texts"][row] for row in columns["kind"]["rows"]]
    origins = [columns["origin"]["texts"][row] for row in columns["origin"]["rows"]]
    assert dict(zip(origins, kinds, strict=True)) == {
        "fora-2": "front",
        "bred": "front",
        "uncached": "front",
        "stopped": "stopped",
    }
    assert columns["trial"] == [1, 2, 0, 3]
    assert columns["label"] == ["2.00", "1.14", "1.00", "1.23"]
    assert columns["difference"][:3] == [-0.5, -0.125, 0.0]
    # Student's t over two prompts, not the normal 1.96.
    assert columns["half"][0] == pytest.approx(12.7062 * 0.01, rel=1e-5)
    assert [run["name"] for run in data["runs"]] == ["2 steps"]
    assert data["prompts"] == [HOSTILE_PROMPT, "a dog"]
    facts = dict(data["facts"])
    assert facts["Evaluated"] == "4 schedules\n1 of them stopped early"
    assert facts["Searched on"] == "2026-01-01 to 2026-01-04"


@pytest.mark.parametrize("command", ["plot", "report"])
def test_a_study_whose_schedules_all_break_a_constraint_has_nothing_to_show(
    database: Path, run_cli: Cli, command: str
) -> None:
    with Store.open(database) as store:
        for record in store.evaluations("made"):
            store.save_evaluation("made", replace(record, feasible=False))
    code, _, error = run_cli(command, "--storage", database, "--out", database.parent / "out")
    assert code == 2
    assert "meets its constraints" in error
    assert error.count("\n") == 1


def test_hypervolume_is_that_of_the_front_after_each_evaluation(database: Path) -> None:
    study = read_study(str(database), None)
    cheapest = min(study.runs, key=lambda run: run.gmacs)
    scale = Scale(1.0, worst_of_interest(1.0, [1.0, 0.4], cheapest.reward), study.uncached.gmacs)
    done = [run for run in study.runs if run.complete]
    whole = [scale.hypervolume([r.reward for r in done[:n]], [r.gmacs for r in done[:n]]) for n in (1, 2, 3)]
    assert study.floor == scale.floor_reward
    assert study.hypervolume == pytest.approx([*whole, whole[-1]])


def test_the_command_of_a_report_exports_the_file_that_its_snippet_applies(
    database: Path, tmp_path: Path, run_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_cli("report", "--storage", f"sqlite:///{database}")
    data = embedded(tmp_path / "report.html")
    usage, columns = data["usage"], data["schedules"]
    for index in range(3):
        trial = columns["trial"][index]
        command = shlex.split(usage["export"].replace("{trial}", str(trial)).replace("\\\n", " "))
        assert command[0] == "ecad-automl"
        code, _, _ = run_cli(*command[1:])
        assert code == 0
        file = usage["file"].replace("{speedup}", columns["label"][index]).replace("{trial}", str(trial))
        assert Path(file).is_file()
    for argument in ('"made/up"', 'revision="abc"', "dtype=torch.float16", "guidance_scale=4.5"):
        assert argument in usage["snippet"]
    compile(usage["snippet"].replace("{file}", '"x.json"'), "snippet", "exec")


def test_confirmed_figures_stand_beside_those_of_the_search(database: Path, tmp_path: Path, run_cli: Cli) -> None:
    save_confirmations(database)
    out = tmp_path / "page.html"
    assert run_cli("report", "--storage", database, "--out", out)[0] == 0
    data = embedded(out)
    assert data["confirmed"]["prompts"] == 5
    confirmed = data["schedules"]["confirmed"]["0"]
    assert confirmed["difference"] == pytest.approx(-0.8, abs=1e-3)
    assert (confirmed["survives"], confirmed["beatenBy"]) == (False, "2 steps")
    assert data["runs"][0]["confirmed"]["difference"] == pytest.approx(-0.1, abs=1e-3)


def test_operators_and_generations_come_from_the_trials(tmp_path: Path, run_cli: Cli) -> None:
    import optuna

    database = tmp_path / "study.db"
    save_study(database, IDENTITY, SCHEDULES)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_optuna_storage(database)
    study = optuna.create_study(storage=storage, study_name="made", directions=["maximize", "minimize"])
    for number in range(4):
        attributes = {"operator": "steps+blocks"} if number == 2 else {}
        trial = optuna.trial.create_trial(
            values=[0.0, 0.0], user_attrs=attributes, system_attrs={"ScheduleNSGAIISampler:generation": 7 + number}
        )
        study.add_trial(trial)
    out = tmp_path / "page.html"
    assert run_cli("report", "--storage", database, "--out", out)[0] == 0
    columns = embedded(out)["schedules"]
    assert [columns["operator"]["texts"][row] for row in columns["operator"]["rows"]] == ["", "steps+blocks", "", ""]
    assert columns["generation"] == [8, 9, 7, 10]


def test_markdown_has_its_pictures_in_a_folder_beside_it(database: Path, tmp_path: Path, run_cli: Cli) -> None:
    out = tmp_path / "paper.md"
    assert run_cli("report", "--storage", database, "--out", out)[0] == 0
    text = out.read_text()
    linked = re.findall(r"\]\(<(.+?)>\)", text)
    assert "paper-files/front.png" in linked
    for name in linked:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in tmp_path.iterdir() if ".db" not in path.name} == {"paper.md", "paper-files"}
    assert "| 2 | bred | 1.14x |" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--study", "other"], "holds no study 'other'"),
        (["--images", "-1"], "Images of -1 prompts were asked for"),
        (["--images", "3"], "Images of 3 prompts were asked for, but the search has 2"),
        (["--images", "1", "--image-schedules", "0"], "at least 1 is needed"),
        (["--out", "."], "is a folder"),
        (["--out", "no/such/folder.html"], "its folder does not exist"),
    ],
)
def test_bad_input_is_one_sentence(
    database: Path, run_cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    monkeypatch.chdir(database.parent)
    code, _, error = run_cli("report", "--storage", database, *arguments)
    assert code == 2
    assert sentence in error
    assert error.count("\n") == 1
    assert not (database.parent / "report.html").exists()


def test_a_report_without_images_loads_neither_torch_nor_optuna(database: Path, tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from ecad_automl.cli.report import report
report({str(database)!r}, None, out=Path({str(tmp_path / "page.html")!r}), images=0, image_schedules=6, prompts=None,
       format=None, model=None, batch_size=8, device=None)
found = {{"torch", "optuna", "diffusers", "lightgbm"}} & sys.modules.keys()
assert not found, found
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def real_study(tiny_pixart_folder: Path, tmp_path: Path) -> tuple[Path, Layout]:
    """A study of a model that is there, with made-up rewards."""
    from ecad_automl.models import load_model
    from ecad_automl.models.loading import model_layout

    model = load_model(str(tiny_pixart_folder), device="cpu")
    model = model.with_settings(steps=STEPS, height=16, width=16, max_sequence_length=8)
    layout = model_layout(model)
    identity = IDENTITY | {
        "model": str(tiny_pixart_folder),
        "revision": model.revision,
        "layout": layout.to_dict(),
        "dtype": "float32",
        "generation": model.settings.to_dict(),
    }
    path = tmp_path / "real.db"
    save_study(path, identity, {"fora-2": fora(layout, STEPS, 2), "bred": reusing((1, 0), (2, 1), layout=layout)})
    return path, layout


def test_images_are_of_the_uncached_run_and_of_schedules_of_the_front(
    real_study: tuple[Path, Layout], tmp_path: Path, run_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, _ = real_study
    monkeypatch.chdir(tmp_path)
    code, _, error = run_cli("report", "--storage", database, "--images", "2")
    assert code == 0, error
    assert "2/3 Images, 1.0" in error
    images = embedded(tmp_path / "report.html")["images"]
    assert images["prompts"] == [HOSTILE_PROMPT, "a dog"]
    assert sorted(images["schedules"]) == ["0", "1"]
    for uris in (images["uncached"], *images["schedules"].values()):
        assert len(uris) == 2
        assert all(uri.startswith("data:image/") for uri in uris)
    assert images["uncached"] != images["schedules"]["0"]


def test_the_snippet_of_a_report_runs(
    real_study: tuple[Path, Layout], tmp_path: Path, run_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, _ = real_study
    monkeypatch.chdir(tmp_path)
    run_cli("report", "--storage", database)
    data = embedded(tmp_path / "report.html")
    run_cli("export", "--storage", database, "--trial", 1)
    file = data["usage"]["file"].replace("{speedup}", data["schedules"]["label"][0]).replace("{trial}", "1")
    names: dict[str, Any] = {}
    snippet = data["usage"]["snippet"].replace("{steps}", str(data["schedules"]["steps"][0]))
    exec(snippet.replace("{file}", json.dumps(file)), names)
    assert names["image"].size == (16, 16)


def test_stopped_while_images_are_made_nothing_is_written(
    real_study: tuple[Path, Layout], tmp_path: Path, run_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ecad_automl.judging.evaluation import Evaluator

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    database, _ = real_study
    monkeypatch.chdir(tmp_path)
    (tmp_path / "report.html").write_text("an earlier one")
    monkeypatch.setattr(Evaluator, "generate", stop)
    code, _, said = run_cli("report", "--storage", database, "--images", "1")
    assert code == 130
    assert "Stopped; no report was written." in said
    assert (tmp_path / "report.html").read_text() == "an earlier one"
    assert [path.name for path in tmp_path.iterdir() if ".db" not in path.name] == ["report.html"]


def test_a_changed_model_makes_no_images_of_the_study(
    real_study: tuple[Path, Layout], tmp_path: Path, run_cli: Cli, tiny_folders: Callable[[str], Path]
) -> None:
    database, _ = real_study
    arguments = ("--images", "1", "--model", tiny_folders("flux"), "--out", tmp_path / "page.html")
    code, _, error = run_cli("report", "--storage", database, *arguments)
    assert code == 2
    assert "name the model of the study with --model" in error
    assert not (tmp_path / "page.html").exists()
