"""What is sent to the hub, seen by a stand-in for the class that makes the requests."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import HfApi as RealApi
from huggingface_hub.errors import LocalTokenNotFoundError, OfflineModeIsEnabled

from ecad_automl.errors import HubError, OptionError
from ecad_automl.schedules.schedule_file import load_schedule
from ecad_automl.sharing import load_index, push_schedule, push_schedules
from tests.sharing.examples import METADATA, every, several


class StandIn:
    """Repositories as folders; ``public`` says how those that exist are seen."""

    def __init__(self, root: Path, *, public: bool = True) -> None:
        self.root = root
        self.public = public
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, token: object = None) -> StandIn:
        self.calls.append(("HfApi", {"token": token}))
        return self

    def create_repo(self, repo_id: str, **options: Any) -> Any:
        inspect.signature(RealApi.create_repo).bind(self, repo_id, **options)
        self.calls.append(("create_repo", options))
        if not (self.root / repo_id).exists():
            (self.root / repo_id).mkdir(parents=True)
            self.public = not options["private"]
        return SimpleNamespace(repo_id=repo_id)

    def repo_info(self, repo_id: str) -> Any:
        return SimpleNamespace(private=not self.public)

    def file_exists(self, repo_id: str, filename: str, *, revision: str | None) -> bool:
        return (self.root / repo_id / filename).exists()

    def hf_hub_download(self, repo_id: str, filename: str, *, revision: str | None) -> str:
        return str(self.root / repo_id / filename)

    def upload_folder(self, *, repo_id: str, folder_path: Path, **options: Any) -> Any:
        inspect.signature(RealApi.upload_folder).bind(self, repo_id=repo_id, folder_path=folder_path, **options)
        self.calls.append(("upload_folder", options))
        for path in Path(folder_path).rglob("*"):
            (self.root / repo_id / path.relative_to(folder_path)).write_bytes(path.read_bytes())
        address = f"https://hub.example/{repo_id}"
        return SimpleNamespace(pr_url=f"{address}/pr/1" if options["create_pr"] else None, commit_url=f"{address}/c0")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "HfApi", stand_in)
    return stand_in


def test_a_pushed_schedule_has_its_card_with_the_name_of_the_repository(hub: StandIn) -> None:
    assert push_schedule("user/repo", every(2), METADATA) == "https://hub.example/user/repo/c0"
    repo = hub.root / "user" / "repo"
    assert {path.name for path in repo.iterdir()} == {"schedule.json", "README.md"}
    assert load_schedule(repo / "schedule.json").metadata == METADATA
    assert 'with apply_schedule(pipe, "user/repo"):' in (repo / "README.md").read_text()
    assert hub.calls[1] == ("create_repo", {"private": None, "exist_ok": True})


def test_options_reach_the_hub(hub: StandIn) -> None:
    options: Any = {"revision": "v2", "commit_message": "Half the MACs", "create_pr": True, "token": "hf_x"}
    address = push_schedule("user/repo", every(2), METADATA, private=True, license="mit", **options)
    assert address == "https://hub.example/user/repo/pr/1"
    assert hub.calls[0] == ("HfApi", {"token": "hf_x"})
    assert hub.calls[1][1]["private"] is True
    assert hub.calls[2] == ("upload_folder", {"revision": "v2", "commit_message": "Half the MACs", "create_pr": True})
    assert "license: mit" in (hub.root / "user/repo/README.md").read_text()


def test_several_are_pushed_with_their_index(hub: StandIn) -> None:
    push_schedules("user/front", several())
    repo = hub.root / "user" / "front"
    assert {path.name for path in repo.iterdir()} == {*several(), "index.json", "README.md"}
    assert load_index(repo).load("every-3").schedule == every(3)
    assert '"user/front/every-3.json"' in (repo / "README.md").read_text()
    assert hub.calls[-1][1]["commit_message"] == "3 schedules, index and card"


def test_what_shall_be_private_is_not_sent_to_a_public_repository(hub: StandIn) -> None:
    (hub.root / "user" / "repo").mkdir(parents=True)
    with pytest.raises(HubError, match="'user/repo' exists and is public; make it private, or leave private out"):
        push_schedule("user/repo", every(2), private=True)
    assert not list((hub.root / "user" / "repo").iterdir())
    hub.public = False
    push_schedule("user/repo", every(2), private=True)


def test_a_card_that_a_person_edited_on_the_hub_is_kept(hub: StandIn) -> None:
    card = hub.root / "user" / "repo" / "README.md"
    push_schedule("user/repo", every(2), METADATA)
    push_schedule("user/repo", every(3), METADATA)
    edited = card.read_text().replace("---\n", "---\nlicense: mit\n", 1)
    card.write_text(edited)
    with pytest.raises(HubError, match=r"README\.md of 'user/repo' was written or edited by a person"):
        push_schedule("user/repo", every(6), METADATA)
    schedule = card.parent / "schedule.json"
    assert load_schedule(schedule).schedule == every(3)
    push_schedule("user/repo", every(6), METADATA, card=False)
    assert (load_schedule(schedule).schedule, card.read_text()) == (every(6), edited)
    push_schedule("user/repo", every(6), METADATA, card=True)
    assert "license: mit" not in card.read_text()


@pytest.mark.parametrize("name", ["repo", "user/repo@main", "user/repo/a.json", "../repo", "user/repo/more", ""])
def test_what_is_no_repository_is_refused_before_anything_is_sent(hub: StandIn, name: str) -> None:
    with pytest.raises(OptionError, match="is no repository to push to; give one as 'owner/name'"):
        push_schedule(name, every(2))
    with pytest.raises(OptionError, match="is no repository to push to"):
        push_schedules(name, several())
    assert not hub.calls


@pytest.mark.parametrize("error", [OfflineModeIsEnabled("offline"), LocalTokenNotFoundError("no\ntoken")])
def test_what_the_hub_refuses_is_one_sentence(hub: StandIn, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(hub, "create_repo", refuse)
    with pytest.raises(HubError, match=r"Nothing was pushed to 'user/repo' \((offline|no token)\); check") as caught:
        push_schedule("user/repo", every(2))
    assert "\n" not in str(caught.value)


def test_a_hub_that_cannot_be_reached_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match=r"Nothing was pushed to 'user/repo' \(.*[Cc]onnect"):
        push_schedule("user/repo", every(2), token="hf_x")
