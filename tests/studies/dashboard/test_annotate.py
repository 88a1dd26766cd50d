"""Notes, pictures and plots where optuna-dashboard's own functions find them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

from benchmarks.made_up_study import made_up_study
from ecad_automl.errors import StudyError
from storage import open_optuna_storage
from studies.dashboard import Artifact, Changes, Kind, StudyContent, TrialContent, annotate, artifact_id, trial_pictures

pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")

LONG = "é" * 5000  # notes are kept in pieces


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    database = tmp_path_factory.mktemp("made-up") / "study.db"
    made_up_study(database, 10, name="s")
    return database


class Shown:
    """A study and what the dashboard shows of it."""

    def __init__(self, database: Path) -> None:
        self.storage = open_optuna_storage(database)
        self.study = optuna.load_study(study_name="s", storage=self.storage)
        self.folder = database.with_name("artifacts")
        self.folder.mkdir()

    def trial_id(self, number: int) -> int:
        return int(self.study.trials[number]._trial_id)

    def picture(self, text: str, kind: Kind = Kind.HEATMAP) -> Artifact:
        artifact = Artifact(artifact_id(text), kind, f"{text}.png")
        (self.folder / artifact.id).write_bytes(text.encode())
        return artifact

    def annotate(self, content: StudyContent) -> Changes:
        return annotate(self.storage, "s", content, self.folder)

    def attributes(self) -> dict[str, Any]:
        return dict(self.storage.get_study_system_attrs(self.study._study_id))

    def note(self, number: int | None = None) -> str:
        from optuna_dashboard import get_note

        trial: Any = SimpleNamespace(storage=self.storage, study=self.study, _trial_id=self.trial_id(number or 0))
        return str(get_note(self.study if number is None else trial))

    def pictures(self, number: int) -> list[str]:
        from optuna_dashboard.artifact._backend import list_trial_artifacts

        return [meta["filename"] for meta in list_trial_artifacts(self.attributes(), {}, self.study.trials[number])]

    def files(self) -> list[bytes]:
        return sorted(path.read_bytes() for path in self.folder.iterdir())

    def edit(self, number: int, text: str) -> None:
        """As the page does it."""
        from optuna_dashboard._note import save_note_with_version

        save_note_with_version(self.storage, self.study._study_id, self.trial_id(number), 7, text)


@pytest.fixture
def shown(made_up: Path, tmp_path: Path) -> Shown:
    shutil.copy(made_up, tmp_path / "study.db")
    return Shown(tmp_path / "study.db")


@pytest.fixture
def content(shown: Shown) -> StudyContent:
    trials = (
        TrialContent(3, "three", (shown.picture("a"), shown.picture("b", Kind.GRID))),
        TrialContent(5, LONG, (shown.picture("c"),)),
    )
    return StudyContent("of the study", trials, {"ecad-x": json.dumps({"data": [], "layout": {"title": "x" * 3000}})})


def test_the_dashboard_finds_notes_pictures_and_plots(shown: Shown, content: StudyContent) -> None:
    from optuna_dashboard._custom_plot_data import get_plotly_graph_objects

    assert shown.annotate(content) == Changes(notes=3, pictures=3, figures=1, removed=0, edited=0)
    assert (shown.note(), shown.note(3), shown.note(5), shown.note(4)) == ("of the study", "three", LONG, "")
    assert (sorted(shown.pictures(3)), shown.pictures(5), shown.pictures(4)) == (["a.png", "b.png"], ["c.png"], [])
    assert get_plotly_graph_objects(shown.attributes()) == content.figures


def test_the_same_content_is_not_written_again(shown: Shown, content: StudyContent) -> None:
    shown.annotate(content)
    before = shown.attributes()
    assert shown.annotate(content) == Changes(notes=0, pictures=0, figures=0, removed=0, edited=0)
    assert shown.attributes() == before


def test_what_changed_is_replaced_without_duplicates(shown: Shown, content: StudyContent) -> None:
    shown.annotate(content)
    changed = StudyContent(
        "now", (TrialContent(3, "four", (shown.picture("d"),)), content.trials[1]), {"ecad-x": '{"data": []}'}
    )
    assert shown.annotate(changed) == Changes(notes=2, pictures=1, figures=1, removed=2, edited=0)
    assert (shown.note(), shown.note(3), shown.pictures(3)) == ("now", "four", ["d.png"])
    assert shown.files() == [b"c", b"d"]
    from optuna_dashboard._custom_plot_data import get_plotly_graph_objects

    assert get_plotly_graph_objects(shown.attributes()) == changed.figures


def test_a_trial_that_left_the_front_loses_its_note_and_pictures_and_gets_them_back(
    shown: Shown, content: StudyContent
) -> None:
    shown.annotate(content)
    shown.annotate(replace(content, trials=content.trials[:1]))
    assert (shown.note(5), shown.pictures(5), shown.files()) == ("", [], [b"a", b"b"])
    shown.picture("c")
    shown.annotate(content)
    assert (shown.note(5), shown.pictures(5)) == (LONG, ["c.png"])


def test_notes_that_people_wrote_or_edited_are_left_alone(shown: Shown, content: StudyContent) -> None:
    shown.edit(5, "mine")
    assert shown.annotate(content).edited == 1
    shown.edit(3, "three, and my thoughts")
    found = shown.annotate(replace(content, trials=(replace(content.trials[0], note="new"), content.trials[1])))
    assert found == Changes(notes=0, pictures=0, figures=0, removed=0, edited=2)
    assert (shown.note(3), shown.note(5)) == ("three, and my thoughts", "mine")
    shown.annotate(replace(content, trials=()))
    assert (shown.note(3), shown.note(5)) == ("three, and my thoughts", "mine")


def test_pictures_that_people_uploaded_are_left_alone(shown: Shown, content: StudyContent) -> None:
    meta = {"artifact_id": "0", "filename": "mine.png", "mimetype": "image/png", "encoding": None}
    key = f"dashboard:artifacts:{shown.trial_id(3)}:0"
    shown.storage.set_study_system_attr(shown.study._study_id, key, json.dumps(meta))
    shown.annotate(content)
    shown.annotate(replace(content, trials=()))
    assert shown.pictures(3) == ["mine.png"]


@pytest.mark.parametrize("writes", range(1, 12))
def test_an_interrupted_call_leaves_nothing_that_the_next_one_takes_for_edited(
    shown: Shown, content: StudyContent, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    shown.annotate(StudyContent("old", (replace(content.trials[0], note="older"),)))
    write: Callable[..., None] = shown.storage.set_study_system_attr
    done: list[str] = []

    def fail_after(study_id: int, key: str, value: Any) -> None:
        # A note of several pieces is written whole, or a kill in between shows as edited.
        if len(done) >= writes and not key.endswith(("note_str:0", "note_str:1", "note_str:2")):
            raise OSError("gone")
        done.append(key)
        write(study_id, key, value)

    monkeypatch.setattr(shown.storage, "set_study_system_attr", fail_after)
    with pytest.raises(OSError, match="gone"):
        shown.annotate(content)
    monkeypatch.undo()
    assert shown.annotate(content).edited == 0
    assert (shown.note(), shown.note(3), shown.note(5)) == ("of the study", "three", LONG)
    assert shown.pictures(5) == ["c.png"]


def test_pictures_of_a_trial_are_where_the_dashboard_has_them(shown: Shown, content: StudyContent) -> None:
    shown.annotate(content)
    found = trial_pictures(shown.storage, "s", [3, 9])
    assert found[3].grid == content.trials[0].artifacts[1]
    assert found[3].address == f"/artifacts/{shown.study._study_id}/{shown.trial_id(3)}/"


def test_a_study_that_optuna_does_not_know_is_named(shown: Shown, content: StudyContent) -> None:
    with pytest.raises(StudyError, match="'other'"):
        annotate(shown.storage, "other", content, shown.folder)
