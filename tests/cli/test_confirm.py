from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecad_automl import load_schedule
from ecad_automl.hub import schedule_paths
from ecad_automl.schedules.genomes import write_genome
from storage import ConfirmationRecord, Store
from tests.forked import Forked
from tests.storage.test_confirmations import without_table

Cli = Callable[..., tuple[int, str, str]]

STEPS = 4
SEARCHED = ["a large solid red circle", "a small hollow blue square"]
UNSEEN = ["a striped cross", "a small solid green circle", "a large hollow square"]


@pytest.fixture(scope="module")
def searched(tiny_pixart_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a short search."""
    from ecad_automl.models import load_model
    from ecad_automl.rewards import load_reward
    from studies import SearchConfig, SearchJob, run_search

    path = tmp_path_factory.mktemp("confirm") / "study.db"
    model = load_model(str(tiny_pixart_folder), device="cpu")
    model = model.with_settings(steps=STEPS, height=16, width=16, max_sequence_length=8)
    config = SearchConfig(evaluations=6, offspring=4, heuristics="all", step_seeds=0)
    run_search(SearchJob(model, SEARCHED, load_reward("fidelity"), path, "tiny", config=config))
    return path


@pytest.fixture
def database(searched: Path, tmp_path: Path) -> Path:
    path = tmp_path / "study.db"
    # A plain copy would miss what is still in the log beside the file.
    with closing(sqlite3.connect(searched)) as source, closing(sqlite3.connect(path)) as copy:
        source.backup(copy)
    return path


@pytest.fixture
def arguments(database: Path, tmp_path: Path) -> list[str]:
    """Confirms the front of the short search."""
    prompts = tmp_path / "unseen.txt"
    prompts.write_text("\n".join(UNSEEN))
    return ["confirm", "--storage", str(database), "--prompts", str(prompts), "--device", "cpu"]


def stored(database: Path) -> dict[str, ConfirmationRecord]:
    with Store.open(database, read_only=True) as store:
        return {record.run: record for record in store.confirmations("tiny")}


def asked_of(monkeypatch: pytest.MonkeyPatch, stop_at: int | None = None) -> list[str]:
    """Notes what is evaluated, and stops it with Ctrl-C at the given evaluation."""
    from ecad_automl.judging.evaluation import Evaluator

    asked: list[str] = []
    evaluate, evaluate_steps = Evaluator.evaluate, Evaluator.evaluate_steps

    def note(run: str) -> None:
        if stop_at is not None and len(asked) == stop_at:
            raise KeyboardInterrupt
        asked.append(run)

    def evaluate_noted(self: Any, schedule: Any) -> Any:
        note(write_genome(schedule, STEPS))
        return evaluate(self, schedule)

    def steps_noted(self: Any, steps: int) -> Any:
        note(f"{steps} steps")
        return evaluate_steps(self, steps)

    monkeypatch.setattr(Evaluator, "evaluate", evaluate_noted)
    monkeypatch.setattr(Evaluator, "evaluate_steps", steps_noted)
    return asked


def without_recommendation(text: str) -> list[str]:
    """Words of the tables alone."""
    return text.split("\n*", maxsplit=1)[0].replace("*", " ").split()


def one_error(err: str) -> bool:
    """Messages may stand before it."""
    return err.splitlines()[-1].startswith("Error: ") and err.count("Error: ") == 1 and "Traceback" not in err


def test_the_front_and_what_it_is_compared_with_are_scored_once(
    arguments: list[str], database: Path, run_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run_cli("front", "--storage", database)[1]
    asked = asked_of(monkeypatch)
    code, out, err = run_cli(*arguments, "--seeds", "4,7-8")
    assert code == 0, err
    assert "schedules survive" in out
    found = stored(database)
    with Store.open(database, read_only=True) as store:
        front = {record.genome for record in _front(store)}
        texts = json.loads(store.calibration("tiny", f"confirmation {next(iter(found.values())).sample}") or b"")
    assert texts == {"prompts": UNSEEN, "seeds": [4, 7, 8]}
    assert front <= found.keys()
    assert {"2 steps"} <= found.keys()
    assert {record.origin for record in found.values()} >= {"uncached", "fora-2", "fora-3"}
    assert all(record.scores["fidelity"].shape == (9,) for record in found.values())
    assert len(asked) == len(set(asked)) == len(found) - 1  # the uncached run is not asked for twice

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("loaded though there is nothing to score")

    monkeypatch.setattr("ecad_automl.models.load_model", fail)
    code, again, err = run_cli(*arguments, "--seeds", "4,7-8")
    assert code == 0
    assert " 0 runs to score" in err
    assert again == out
    code, again, _ = run_cli(*arguments, "--seeds", "4,7-8", "--json")
    assert code == 0
    assert json.loads(again)["prompts"] == 3
    assert again == run_cli("front", "--storage", database, "--confirmed", "--json")[1]
    # Its figures are those of the search; what is recommended goes by unseen prompts from here on.
    assert without_recommendation(run_cli("front", "--storage", database)[1]) == without_recommendation(before)
    code, out, _ = run_cli("front", "--storage", database, "--confirmed")
    assert code == 0
    assert "3 unseen prompts x 3 seeds" in out
    assert "survive" in out


def _front(store: Store) -> Any:
    from studies.cost import study_front

    return study_front(store.evaluations("tiny"), store.identity("tiny") or {})


def test_scores_are_those_of_a_plain_evaluation(
    arguments: list[str], database: Path, run_cli: Cli, tiny_pixart_folder: Path
) -> None:
    from ecad_automl.judging.evaluation import Evaluator
    from ecad_automl.models import load_model
    from ecad_automl.rewards import load_reward

    assert run_cli(*arguments, "--no-baselines")[0] == 0
    model = load_model(str(tiny_pixart_folder), device="cpu")
    model = model.with_settings(steps=STEPS, height=16, width=16, max_sequence_length=8)
    evaluator = Evaluator(model.pipe, UNSEEN, [1], load_reward("fidelity"), model.settings)
    found = stored(database)
    with Store.open(database, read_only=True) as store:
        genomes = store.genomes("tiny")
    assert not any(run.endswith("steps") for run in found)
    for run, record in found.items():
        expected = evaluator.evaluate(genomes.schedule(run)).scores
        np.testing.assert_allclose(record.scores["fidelity"], expected.ravel(), atol=1e-6)


def test_ctrl_c_keeps_every_run_and_the_same_command_goes_on(
    arguments: list[str], database: Path, run_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        first = asked_of(patch, stop_at=2)
        code, out, err = run_cli(*arguments)
    assert code == 130, err
    assert "the same command goes on" in err
    kept = stored(database)
    assert len(kept) == 3
    assert set(first) < kept.keys()
    code, out, _ = run_cli("front", "--storage", database, "--confirmed")
    assert code == 0
    assert "not confirmed yet" in out
    second = asked_of(monkeypatch)
    assert run_cli(*arguments)[0] == 0
    assert not set(first) & set(second)
    after = stored(database)
    assert all(after[run] == record for run, record in kept.items())
    assert len(after) == len(first) + len(second) + 1


@pytest.mark.slow
def test_a_killed_confirmation_loses_no_run(
    arguments: list[str], database: Path, run_cli: Cli, start_cli: Callable[..., Forked]
) -> None:
    process = start_cli(arguments)
    try:
        deadline = time.monotonic() + 120
        while not stored(database) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        process.kill()
        process.communicate()
    kept = stored(database)
    assert kept
    assert run_cli(*arguments)[0] == 0
    after = stored(database)
    assert all(after[run] == record for run, record in kept.items())


def test_a_changed_front_is_confirmed_in_its_new_part(
    arguments: list[str], database: Path, run_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    assert run_cli(*arguments)[0] == 0
    with Store.open(database) as store:
        known = stored(database)
        front = _front(store)
        other = next(record for record in store.evaluations("tiny") if record.genome not in known)
        # As if it had scored better than all: it is on the front now.
        store.save_evaluation("tiny", replace(other, reward=front[-1].reward + 0.1))
    asked = asked_of(monkeypatch)
    code, out, _ = run_cli(*arguments, "--no-baselines")
    assert code == 0, out
    assert asked == [other.genome]


def test_the_front_of_the_same_number_of_steps_is_confirmed_by_itself(
    arguments: list[str], database: Path, run_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from ecad_automl.schedules.genomes import write_genome
    from ecad_automl.schedules.schedule import Schedule

    with Store.open(database) as store:
        front = {record.genome for record in _front(store) if ":" not in record.genome}
        best = max(store.evaluations("tiny"), key=lambda record: record.reward)
        shorter = write_genome(Schedule.all_compute(store.genomes("tiny").layout, 2), 4)
        # As if a run of two steps were better than all: it alone is on the front.
        store.save_evaluation("tiny", replace(best, genome=shorter, reward=best.reward + 1, gmacs=1e-9, trial=None))
    asked = asked_of(monkeypatch)
    code, out, err = run_cli(*arguments, "--same-steps", "--json")
    assert code == 0, err
    assert front <= {*asked, *stored(database)}
    assert {record.steps for record in stored(database).values()} == {4}
    found = json.loads(out)
    assert {run["steps"] for run in (*found["front"], *found["others"])} == {4}
    assert (len(found["front"]), found["missing"]) == (len(front) - ("uncached" in _origins(database, front)), 0)
    code, out, _ = run_cli("front", "--storage", database, "--confirmed")
    assert "1 of the front are not confirmed yet; `ecad-automl confirm` goes on" in " ".join(out.split())


def _origins(database: Path, genomes: set[str]) -> set[str]:
    with Store.open(database, read_only=True) as store:
        return {record.origin for record in store.evaluations("tiny") if record.genome in genomes}


def test_prompts_and_seeds_of_the_search_are_refused(
    arguments: list[str], database: Path, run_cli: Cli, tmp_path: Path
) -> None:
    prompts = tmp_path / "unseen.txt"
    prompts.write_text("\n".join([UNSEEN[0], f" {SEARCHED[1].upper()}", SEARCHED[0]]))
    code, _, err = run_cli(*arguments)
    assert code == 2
    assert err.startswith(f"Error: The prompt '{SEARCHED[1].upper()}' was searched with")
    assert one_error(err)
    prompts.write_text("\n".join(UNSEEN))
    code, _, err = run_cli(*arguments, "--seeds", "3,0")
    assert code == 2
    assert "seed 0 was searched with" in err
    assert not stored(database)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--seeds", "x"), "'x' cannot be read"),
        (("--seeds", "5-3"), "'5-3' cannot be read"),
        (("--seeds", "5,4-6"), "name one twice"),
        (("--limit", "1"), "at least 2"),
        (("--study", "other"), "'other'"),
        (("--batch-size", "0"), "batch size is 0"),
    ],
)
def test_bad_options_are_one_sentence(
    arguments: list[str], database: Path, run_cli: Cli, options: tuple[str, str], message: str
) -> None:
    code, _, err = run_cli(*arguments, *options)
    assert code == 2
    assert message in err
    assert one_error(err)
    assert not stored(database)


def test_too_few_or_no_prompts_are_refused(arguments: list[str], database: Path, run_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "unseen.txt").write_text(UNSEEN[0])
    assert "at least 2" in run_cli(*arguments)[2]
    code, _, err = run_cli("confirm", "--storage", database)
    assert code == 2
    assert "--prompts" in err


def test_another_model_than_the_study_s_is_refused(
    arguments: list[str], database: Path, run_cli: Cli, tiny_folders: Callable[[str], Path]
) -> None:
    code, _, err = run_cli(*arguments, "--model", tiny_folders("sd3"))
    assert code == 2
    assert "searched with something else" in err
    assert one_error(err)
    assert not stored(database)


def test_a_file_from_before_confirmations_and_a_model_that_was_moved(
    arguments: list[str], database: Path, run_cli: Cli, tmp_path: Path, tiny_pixart_folder: Path
) -> None:
    without_table(database)
    assert run_cli("front", "--storage", database)[0] == 0
    assert run_cli("export", "--storage", database, "--out", tmp_path / "out")[0] == 0
    for command in ("front", "export"):
        code, _, err = run_cli(command, "--storage", database, "--confirmed")
        assert code == 2
        assert "ecad-automl confirm" in err
    moved = shutil.copytree(tiny_pixart_folder, tmp_path / "moved")
    code, _, err = run_cli(*arguments, "--model", moved, "--no-baselines")
    assert code == 0, err
    assert stored(database)


def test_exports_plots_and_optuna_know_what_was_confirmed(
    arguments: list[str], database: Path, run_cli: Cli, tmp_path: Path
) -> None:
    import optuna

    from storage import open_optuna_storage
    from studies.confirmation import load_confirmation

    assert run_cli(*arguments, "--no-baselines")[0] == 0
    with Store.open(database, read_only=True) as store:
        confirmation = load_confirmation(store, "tiny")
    assert confirmation is not None
    verdicts = {verdict.run.key: verdict for verdict in confirmation.verdicts.front}
    assert run_cli("export", "--storage", database, "--front", "--out", tmp_path / "all")[0] == 0
    files = [load_schedule(path) for path in schedule_paths(tmp_path / "all")]
    seen = 0
    for file in files:
        verdict = verdicts.get(write_genome(file.schedule, STEPS))
        if verdict is not None:
            seen += 1
            measured = file.metadata.objectives["confirmed_reward_difference"]
            assert measured.value == pytest.approx(verdict.difference.mean)
            assert (measured.low, measured.high) == pytest.approx((verdict.difference.low, verdict.difference.high))
            assert measured.samples == 3
            assert file.metadata.survives is verdict.survives
            assert file.metadata.objectives["confirmed_reward"].value == pytest.approx(verdict.reward)
    assert seen == len(verdicts) > 0
    assert run_cli("export", "--storage", database, "--confirmed", "--front", "--out", tmp_path / "some")[0] == 0
    paths = schedule_paths(tmp_path / "some")
    surviving = {write_genome(load_schedule(path).schedule, STEPS) for path in paths}
    assert surviving >= {key for key, verdict in verdicts.items() if verdict.survives}
    assert not surviving & {key for key, verdict in verdicts.items() if not verdict.survives}

    assert run_cli("plot", "--storage", database, "--out", tmp_path / "plots")[0] == 0
    assert (tmp_path / "plots" / "tiny-confirmed.png").exists()

    study = optuna.load_study(study_name="tiny", storage=open_optuna_storage(database))
    figures = study.user_attrs["confirmation"]
    genomes = {str(trial.number): trial.user_attrs["genome"] for trial in study.trials}
    assert {genomes[number] for number in figures["trials"]} == {key for key in verdicts if key in genomes.values()}
    for number, found in figures["trials"].items():
        verdict = verdicts[genomes[number]]
        assert found["confirmed_drop"] == pytest.approx(-verdict.difference.mean)
        assert found["confirmed_drop_low"] <= found["confirmed_drop"] <= found["confirmed_drop_high"]
        assert found["survives"] is verdict.survives
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        study._storage.set_trial_user_attr(study.trials[0]._trial_id, "survives", True)
