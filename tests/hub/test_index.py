from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ecad_automl.errors import FileError, OptionError
from ecad_automl.hub import load_index, save_schedules, schedule_paths
from ecad_automl.schedules.schedule_file import (
    MAX_SCHEDULE_BYTES,
    Measured,
    ScheduleFile,
    ScheduleMetadata,
    save_schedule,
)
from tests.sharing.examples import every, found, several


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three schedules and their index."""
    save_schedules(tmp_path / "front", several())
    return tmp_path / "front"


def edited(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads((folder / "index.json").read_text())
    change(document)
    (folder / "index.json").write_text(json.dumps(document))


def test_an_index_tells_what_each_schedule_saves_and_what_was_measured(folder: Path) -> None:
    index = load_index(folder)
    assert [entry.file for entry in index] == ["every-2.json", "every-3.json", "every-6.json"]
    entry = index["every-3"]
    assert (entry.steps, entry.gmacs, entry.mac_speedup) == (6, 72.0, 2.5)
    assert (entry.speedup, entry.speedup_of) == (2.5, "MACs")
    assert entry.reward_difference == Measured(value=-0.2, low=-1.2, high=0.8)
    assert entry.confirmed_reward_difference == Measured(value=-0.25)
    assert entry.survives is True
    assert len(index) == 3
    for entry in index:
        assert index.load(entry).schedule == several()[entry.file].schedule
    assert index.load("every-2").metadata == several()["every-2.json"].metadata


def test_the_written_index_is_json_that_other_programs_can_read(folder: Path) -> None:
    document = json.loads((folder / "index.json").read_text())
    assert document["schema"] == "ecad-automl/index/1"
    first = document["schedules"][0]
    assert first["file"] == "every-2.json"
    assert first["sha256"] == json.loads((folder / "every-2.json").read_text())["sha256"]


def test_the_best_schedule_of_a_speedup_is_chosen_by_its_reward(folder: Path) -> None:
    index = load_index(folder)
    assert index.by_speedup(1.5).name == "every-2"
    assert index.by_speedup(2.5).name == "every-3"
    assert index.by_speedup(2.6).name == "every-6"
    # On unseen prompts every third step is better, and every sixth did not survive.
    assert index.by_speedup(1.5, confirmed=True).name == "every-3"
    with pytest.raises(OptionError, match=r"is 2\.6 times cheaper than the uncached run; the cheapest is 2\.50 times"):
        index.by_speedup(2.6, confirmed=True)
    with pytest.raises(OptionError, match=r"is 5 times cheaper .* the cheapest is 4\.00 times"):
        index.by_speedup(5)
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(OptionError, match="must be above 0"):
            index.by_speedup(wrong)


def test_a_schedule_that_nobody_measured_is_chosen_by_name_alone(tmp_path: Path) -> None:
    save_schedules(tmp_path, {"a.json": ScheduleFile(every(2), ScheduleMetadata())})
    index = load_index(tmp_path)
    assert index.load("a").schedule == every(2)
    with pytest.raises(OptionError, match="no schedule with a measured reward difference; choose one by name: 'a'"):
        index.by_speedup(1.5)
    with pytest.raises(OptionError, match="no schedule that survived on unseen prompts"):
        index.by_speedup(1.5, confirmed=True)
    with pytest.raises(OptionError, match="has no schedule 'b'; it has 'a'"):
        index.load("b")


def test_a_study_of_latency_is_chosen_from_by_latency(tmp_path: Path) -> None:
    metadata = ScheduleMetadata(
        objectives={"latency_speedup": Measured(value=1.9), "reward_difference": Measured(value=0)}
    )
    save_schedules(tmp_path, {"a.json": ScheduleFile(every(3), metadata)})
    (entry,) = load_index(tmp_path)
    assert (entry.speedup, entry.speedup_of, entry.mac_speedup) == (1.9, "latency", 2.5)
    with pytest.raises(OptionError, match=r"the cheapest is 1\.90 times"):
        load_index(tmp_path).by_speedup(2)


def test_a_file_that_is_another_schedule_than_the_index_tells_is_refused(folder: Path) -> None:
    save_schedule(folder / "every-2.json", every(3))
    with pytest.raises(FileError, match=r"every-2\.json has the hash [0-9a-f]{64}, but the index of .* tells"):
        load_index(folder).load("every-2")
    (folder / "every-2.json").unlink()
    with pytest.raises(FileError, match="There is no schedule file at"):
        load_index(folder).load("every-2")


@pytest.mark.parametrize(
    "name",
    [
        "../secret.json",
        "sub/../../secret.json",
        "/etc/secret.json",
        "./every-2.json",
        "sub//a.json",
        "..\\secret.json",
        "C:\\secret.json",
        "every-2.txt",
        "a\0.json",
        "a\n.json",
        "",
        ".json/",
    ],
)
def test_a_path_that_leads_out_of_the_folder_is_refused_with_the_whole_index(folder: Path, name: str) -> None:
    save_schedule(folder.parent / "secret.json", every(2))
    edited(folder, lambda document: document["schedules"][0].update(file=name))
    with pytest.raises(FileError, match=r"for 'schedules\.0\.file' \(.*without '\.\.', is needed") as caught:
        load_index(folder)
    assert "\n" not in str(caught.value)


def test_links_may_not_lead_out_of_the_folder(folder: Path) -> None:
    index = load_index(folder)
    outside = folder.parent / "outside"
    outside.mkdir()
    (folder / "every-2.json").rename(outside / "every-2.json")
    (folder / "every-2.json").symlink_to(outside / "every-2.json")
    with pytest.raises(FileError, match=r"'every-2\.json' is no file in the folder"):
        index.load("every-2")
    (folder / "sub").symlink_to(outside)
    edited(folder, lambda document: document["schedules"][0].update(file="sub/every-2.json"))
    with pytest.raises(FileError, match=r"'sub/every-2\.json' is no file in the folder"):
        load_index(folder).load("every-2")


def test_links_within_the_folder_and_to_the_hub_s_blobs_are_followed(folder: Path) -> None:
    (folder / "every-3.json").rename(folder / "real.json")
    (folder / "every-3.json").symlink_to("real.json")
    assert load_index(folder).load("every-3").schedule == every(3)
    repo = folder.parent / "models--user--repo"
    (repo / "blobs").mkdir(parents=True)
    (repo / "snapshots" / "c0").mkdir(parents=True)
    for number, path in enumerate(folder.glob("*.json")):
        blob = repo / "blobs" / str(number)
        blob.write_bytes(path.read_bytes())
        (repo / "snapshots" / "c0" / path.name).symlink_to(f"../../blobs/{number}")
    assert load_index(repo / "snapshots" / "c0").load("every-2").schedule == every(2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: d.update(schema="ecad-automl/index/2"),
            "'ecad-automl/index/2' for 'schema'.* or upgrade ecad-automl",
        ),
        (lambda d: d.pop("schema"), "None for 'schema'"),
        (lambda d: d.pop("schedules"), "for 'schedules'"),
        (lambda d: d.update(schedules=[]), "for 'schedules'"),
        (lambda d: d["schedules"][1].pop("sha256"), r"for 'schedules\.1\.sha256'"),
        (lambda d: d["schedules"][1].update(sha256="no"), r"'no' for 'schedules\.1\.sha256'"),
        (lambda d: d["schedules"][1].update(speedup="2"), r"'2' for 'schedules\.1\.speedup'"),
        (lambda d: d["schedules"][1].update(speedup=0), r"0 for 'schedules\.1\.speedup'"),
        (lambda d: d["schedules"][1].update(speedup_of="hope"), r"'hope' for 'schedules\.1\.speedup_of'"),
        (lambda d: d["schedules"][1].update(name="every-2"), "have the name 'every-2'"),
        (lambda d: d["schedules"][1].update(file="every-2.json"), r"have the file 'every-2\.json'"),
        (lambda d: d["schedules"][1].update(gmacs=float("nan")), "is damaged"),
    ],
)
def test_a_damaged_index_is_one_sentence_that_names_it(
    folder: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edited(folder, change)
    with pytest.raises(FileError, match=message) as caught:
        load_index(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_later_version_adds_to_an_index_is_kept(folder: Path) -> None:
    edited(folder, lambda document: document["schedules"][0].update(carbon=3))
    assert load_index(folder)["every-2"].model_dump()["carbon"] == 3


def test_a_large_or_missing_index_is_refused(folder: Path) -> None:
    with pytest.raises(FileError, match="There is no schedule index at"):
        load_index(folder.parent)
    with pytest.raises(OptionError, match="is a path, which has no revision"):
        load_index(folder, revision="main")
    with (folder / "index.json").open("a") as file:
        file.write(" " * MAX_SCHEDULE_BYTES)
    with pytest.raises(FileError, match=f"more than {MAX_SCHEDULE_BYTES} bytes, too many for a schedule index"):
        load_index(folder)


def test_names_that_no_file_of_an_index_can_have_write_nothing(tmp_path: Path) -> None:
    for name in ("../a.json", "sub/a.json", "index.json", "a.txt"):
        with pytest.raises(OptionError, match=r"cannot have the file .*; a name such as 'a\.json' can"):
            save_schedules(tmp_path / "out", {name: found(2, 0.0)})
    with pytest.raises(FileError, match="have the name 'every-2'; give each its own"):
        save_schedules(tmp_path / "out", {"a.json": found(2, 0.0), "b.json": found(2, 0.0)})
    with pytest.raises(FileError, match="no schedule for an index"):
        save_schedules(tmp_path / "out", {})
    assert not (tmp_path / "out").exists()


def test_the_index_is_not_among_the_schedules_of_its_folder(folder: Path) -> None:
    assert [path.name for path in schedule_paths(folder)] == ["every-2.json", "every-3.json", "every-6.json"]
