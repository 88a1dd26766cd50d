from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from ecad_automl import Schedule, apply_schedule
from ecad_automl.errors import HubError, ScheduleError
from ecad_automl.models import model_layout
from ecad_automl.schedules.heuristics import fora
from ecad_automl.schedules.schedule_file import ScheduleFile, save_schedule
from ecad_automl.sharing import load_pretrained, save_pretrained, save_schedules
from tests.sharing.examples import METADATA, every
from tests.sharing.test_pretrained import cached


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_name_of_the_hub_a_folder_and_a_path_put_the_same_schedule_on(
    tiny_model: Any, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe, layout = tiny_model.pipe, model_layout(tiny_model)
    two, four = fora(layout, 4, 2), fora(layout, 4, 4)
    save_schedule(cached(cache, "user/repo") / "schedule.json", two)
    files = cached(cache, "user/repo", "v1")
    save_schedule(files / "schedule.json", four)
    save_schedules(files, {"second.json": ScheduleFile(two, METADATA)})
    monkeypatch.chdir(tmp_path)
    save_pretrained("local/repo", four)
    for name, schedule in {
        "user/repo": two,
        "user/repo@v1": four,
        "user/repo/second.json@v1": two,
        "local/repo": four,
        "local/repo/schedule.json": four,
        tmp_path / "local" / "repo": four,
    }.items():
        with apply_schedule(pipe, name) as handle:
            assert handle.schedule == schedule
            pipe("a cross", **tiny_model.settings.call_arguments())
    # A folder of that name wins.
    save_pretrained("user/repo", four)
    with apply_schedule(pipe, "user/repo") as handle:
        assert handle.schedule == four


def test_a_shared_schedule_for_another_transformer_is_refused(tiny_model: Any, cache: Path) -> None:
    save_schedule(cached(cache, "user/repo") / "schedule.json", every(2))
    with pytest.raises(ScheduleError, match="does not fit this pipeline: it is for FluxTransformer2DModel"):
        apply_schedule(tiny_model.pipe, "user/repo")
    with pytest.raises(HubError, match="could be had from the repository of that name"):
        apply_schedule(tiny_model.pipe, "user/none")
    assert isinstance(load_pretrained("user/repo").schedule, Schedule)
