"""Schedules of folders, of the hub's cache, and of a server that answers as the hub does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from ecad_automl.errors import FileError, HubError, OptionError
from ecad_automl.schedules.schedule_file import MAX_SCHEDULE_BYTES, ScheduleMetadata, load_schedule, save_schedule
from ecad_automl.sharing import load_index, load_pretrained, save_pretrained, save_schedules
from tests.sharing.examples import METADATA, every, several
from tests.sharing.hub_server import COMMITS, Hub, serving


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache, empty; the hub itself is out of reach."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def cached(cache: Path, repo: str, revision: str = "main") -> Path:
    """The folder in which the cache keeps the files of a repository."""
    folder = cache / f"models--{repo.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / revision).write_text(COMMITS[revision])
    files = folder / "snapshots" / COMMITS[revision]
    files.mkdir(parents=True)
    return files


def test_a_saved_schedule_comes_back_with_what_was_measured(tmp_path: Path) -> None:
    path = save_pretrained(tmp_path / "new" / "mine", every(2), METADATA)
    assert path == tmp_path / "new" / "mine" / "schedule.json"
    assert load_pretrained(tmp_path / "new" / "mine").schedule == every(2)
    assert load_pretrained(str(path)).schedule == every(2)
    assert load_pretrained(tmp_path / "new" / "mine").metadata == METADATA
    assert f'apply_schedule(pipe, "{tmp_path}/new/mine")' in (tmp_path / "new" / "mine" / "README.md").read_text()


def test_saving_again_replaces_schedule_and_card_and_keeps_what_a_person_wrote(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    save_pretrained(tmp_path, every(2), METADATA)
    save_pretrained(tmp_path, every(3), METADATA, license="mit")
    assert load_pretrained(tmp_path).schedule == every(3)
    assert "license: mit" in card.read_text()
    card.write_text("# Mine\n")
    with pytest.raises(FileError, match="written or edited by a person"):
        save_pretrained(tmp_path, every(2), METADATA)
    assert load_pretrained(tmp_path).schedule == every(3)
    save_pretrained(tmp_path, every(2), METADATA, card=False)
    assert (load_pretrained(tmp_path).schedule, card.read_text()) == (every(2), "# Mine\n")
    save_pretrained(tmp_path, every(2), METADATA, card=True)
    assert card.read_text().startswith("---\nbase_model:")


def test_versions_are_added_where_there_are_none(tmp_path: Path) -> None:
    save_pretrained(tmp_path, every(2))
    assert "ecad-automl" in load_pretrained(tmp_path).metadata.versions
    assert load_pretrained(tmp_path).metadata.model_copy(update={"versions": {}}) == ScheduleMetadata()


def test_a_folder_of_several_needs_the_name_of_one(tmp_path: Path) -> None:
    save_schedules(tmp_path, several())
    with pytest.raises(OptionError, match=r"holds 3 schedules; name one \('every-2\.json', .*choose with load_index"):
        load_pretrained(tmp_path)
    assert load_pretrained(tmp_path, filename="every-3.json").schedule == every(3)
    save_schedules(tmp_path / "one", {"every-2.json": several()["every-2.json"]})
    assert load_pretrained(tmp_path / "one").schedule == every(2)


def test_a_folder_without_a_schedule_and_a_file_outside_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match=r"has neither schedule\.json nor index\.json"):
        load_pretrained(tmp_path / "empty")
    save_schedule(tmp_path / "schedule.json", every(2))
    with pytest.raises(OptionError, match=r"'\.\./schedule\.json' is no file of a shared folder"):
        load_pretrained(tmp_path / "empty", filename="../schedule.json")
    with pytest.raises(OptionError, match="is no folder, so filename"):
        load_pretrained(tmp_path / "schedule.json", filename="a.json")
    with pytest.raises(OptionError, match="is a path, which has no revision; leave out revision='main'"):
        load_pretrained(tmp_path, revision="main")
    with pytest.raises(FileError, match="There is no schedule file at"):
        load_pretrained(tmp_path / "gone")


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(FileError, match="cannot be made"):
            save_pretrained(folder, every(2))


def test_repositories_are_read_from_the_cache_where_the_hub_is_out_of_reach(cache: Path) -> None:
    files = cached(cache, "user/repo")
    save_schedule(files / "schedule.json", every(2), METADATA)
    save_schedule(files / "other.json", every(3))
    save_schedule(cached(cache, "user/repo", "v1") / "schedule.json", every(6))
    assert load_pretrained("user/repo").schedule == every(2)
    assert load_pretrained("user/repo").metadata == METADATA
    assert load_pretrained("user/repo/other.json").schedule == every(3)
    assert load_pretrained("user/repo", filename="other.json").schedule == every(3)
    for name, revision in (("user/repo@v1", None), ("user/repo", "v1"), (f"user/repo@{COMMITS['v1']}", None)):
        assert load_pretrained(name, revision=revision).schedule == every(6)


def test_an_index_of_a_repository_is_read_from_the_cache(cache: Path) -> None:
    save_schedules(cached(cache, "user/front"), several())
    index = load_index("user/front")
    assert index.source == f"user/front@{COMMITS['main']}"
    assert index.load(index.by_speedup(2)).schedule == every(3)
    with pytest.raises(OptionError, match=f"user/front@{COMMITS['main']} holds 3 schedules"):
        load_pretrained("user/front")
    with pytest.raises(OptionError, match="is of a whole repository; give 'user/front'"):
        load_index("user/front/every-2.json")


@pytest.mark.parametrize("name", ["user/none", "user/none@v1", "user/none/a.json"])
def test_a_repository_out_of_reach_is_one_sentence_that_says_what_to_do(name: str) -> None:
    with pytest.raises(HubError, match="There is no file or folder 'user/none' here, and no .* could be had") as caught:
        load_pretrained(name)
    text = str(caught.value)
    assert "offline mode is enabled" in text
    assert "nor is it in the local cache" in text
    assert text.endswith("check the name and the connection, or download the repository and give its folder.")
    assert "\n" not in text


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A server with the repository ``user/repo``, of one schedule at first and of three now."""
    save_schedule(tmp_path / "schedule.json", every(2), METADATA)
    save_schedules(tmp_path / "front", several())
    files = {("user/repo", "v1", "schedule.json"): (tmp_path / "schedule.json").read_bytes()}
    files |= {("user/repo", "main", path.name): path.read_bytes() for path in (tmp_path / "front").iterdir()}
    with serving(files) as server:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield server


def test_a_repository_is_downloaded_once_and_read_offline_after(hub: Hub) -> None:
    assert load_pretrained("user/repo@v1").schedule == every(2)
    assert load_pretrained("user/repo/every-3.json").schedule == every(3)
    downloads = [line for line in hub.asked if line.startswith("GET")]
    assert len(downloads) == 2
    assert load_pretrained("user/repo@v1").schedule == every(2)
    assert [line for line in hub.asked if line.startswith("GET")] == downloads
    hub.broken = True
    assert load_pretrained("user/repo@v1").schedule == every(2)


def test_the_files_of_an_index_are_those_of_its_commit(hub: Hub) -> None:
    index = load_index("user/repo")
    assert index.source == f"user/repo@{COMMITS['main']}"
    assert index.load("every-2").schedule == every(2)
    assert f"GET /user/repo/resolve/{COMMITS['main']}/every-2.json" in hub.asked


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("user/none", "Repository Not Found"),
        ("user/repo@v9", "Revision Not Found"),
        ("user/repo/none.json", "Entry Not Found"),
        ("user/repo/none.json@v1", "Entry Not Found"),
    ],
)
def test_what_the_hub_does_not_have_is_one_sentence(hub: Hub, name: str, reason: str) -> None:
    with pytest.raises(HubError, match=reason) as caught:
        load_pretrained(name)
    assert "\n" not in str(caught.value)


def test_a_repository_without_a_schedule_says_which_files_were_looked_for(hub: Hub) -> None:
    hub.files = {("user/repo", "main", "model.json"): b"{}"}
    with pytest.raises(HubError, match=r"no schedule\.json or index\.json could be had .*Entry Not Found"):
        load_pretrained("user/repo")


def test_a_large_file_is_not_downloaded(hub: Hub, cache: Path) -> None:
    hub.files[("user/repo", "main", "every-2.json")] = b" " * (MAX_SCHEDULE_BYTES + 1)
    with pytest.raises(HubError, match=f"has {MAX_SCHEDULE_BYTES + 1} bytes, .* it is not downloaded"):
        load_pretrained("user/repo/every-2.json")
    assert not any(line.startswith("GET") for line in hub.asked)
    assert not cache.exists() or not [path for path in cache.rglob("*") if path.is_file()]


def test_a_downloaded_file_that_was_tampered_with_is_refused(hub: Hub) -> None:
    key = ("user/repo", "main", "every-2.json")
    hub.files[key] = hub.files[key].replace(b"FluxTransformer2DModel", b"FluxTransformer3DModel")
    with pytest.raises(FileError, match="for 'sha256'"):
        load_pretrained("user/repo/every-2.json")
    other = ("user/repo", "main", "every-3.json")
    hub.files[other] = hub.files[("user/repo", "main", "every-6.json")]
    with pytest.raises(FileError, match="but the index of user/repo@.* tells"):
        load_index("user/repo").load("every-3")


def test_sharing_on_this_machine_imports_no_torch(tmp_path: Path) -> None:
    save_schedule(tmp_path / "a.json", every(2), METADATA)
    code = (
        "import sys; from ecad_automl import load_schedule\n"
        "from ecad_automl.sharing import load_pretrained, save_pretrained\n"
        f"file = load_schedule({str(tmp_path / 'a.json')!r})\n"
        f"load_pretrained(save_pretrained({str(tmp_path / 'b')!r}, file.schedule, file.metadata))\n"
        "print(sorted({'torch', 'diffusers', 'transformers', 'optuna'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
    assert load_schedule(tmp_path / "b" / "schedule.json").schedule == every(2)
