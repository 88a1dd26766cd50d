"""Calls are checked before a model is loaded, all faults at once, in the words of who calls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ecad_automl
from ecad_automl.errors import DeviceMemoryError, EcadError, HubError, OptionError, UnsupportedModelError

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("ecad_automl.models.loading._from_pretrained", refuse)


def test_a_command_tells_all_faults_at_once_before_it_loads_anything(run_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, out, err = run_cli(
        *("search", "--constraint", "fidelity=3", "--reward", "beauty", "--evaluations", 5, "--offspring", 12),
        *("--batch-size", 0),
        *(
            "--storage",
            tmp_path / "file" / "s.db",
            "--device",
            "cuda:99",
            "--model",
            "nowhere",
            "--prompts",
            "none.txt",
        ),
    )
    assert (code, out) == (2, "")
    assert err.startswith("Error: 8 things are wrong: (1) ")
    assert err.count("\n") == 1
    for told in (
        "--batch-size is 0",
        "fidelity=3",
        "beauty",
        "below the offspring",
        "no folder",
        "cuda:99",
        "nowhere",
        "none.txt",
    ):
        assert told in err


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (
            "quick --steps 1 --guidance-scale nan --deploy all --images 0 --check 1 --reward beauty --like a.json",
            ("one step", "--guidance-scale is nan", "--deploy is 'all'", "0 images", "beauty", "a.json"),
        ),
        ("generate a.json --offload all --prompts b.txt", ("no --offload 'all'", "a.json", "b.txt")),
    ],
)
def test_so_do_others(command: str, told: tuple[str, ...], run_cli: Cli, tmp_path: Path) -> None:
    code, out, err = run_cli(*command.split(), "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert err.startswith(f"Error: {len(told)} things are wrong: (1) ")
    assert all(each in err for each in told)
    assert not (tmp_path / "out").exists()


def test_values_out_of_range_are_told_together_as_the_caller_calls_them(run_cli: Cli) -> None:
    _, _, err = run_cli("search", "--population", 1, "--batch-size", 0, "--dtype", "int3")
    for told in ("--population is 1", "--batch-size is 0", "--dtype is 'int3'"):
        assert told in err
    with pytest.raises(OptionError) as caught:
        ecad_automl.search("shapes", ["a circle"], population=1, batch_size=0, dtype="int3")
    assert "--" not in str(caught.value)
    for told in ("population is 1", "batch_size is 0", "dtype is 'int3'"):
        assert told in str(caught.value)


def test_python_is_told_of_keywords(tmp_path: Path) -> None:
    with pytest.raises(EcadError) as caught:
        ecad_automl.search("shapes", storage=tmp_path / "s.db", evaluation_timeout=3.0, prompts=["a circle"])
    assert "use executor processes" in str(caught.value)
    assert "--" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["quick", "evaluate", "generate", "bench", "confirm", "report", "dashboard"])
def test_a_device_that_is_not_there_is_one_sentence(
    run_cli: Cli, made_study: Path, tmp_path: Path, command: str
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    arguments: dict[str, tuple[object, ...]] = {
        "generate": (saved(tmp_path),),
        **dict.fromkeys(("confirm", "report", "dashboard"), ("--storage", made_study)),
    }
    out = ("--out", tmp_path / "out") if command in ("quick", "evaluate", "generate", "bench") else ()
    code, _, err = run_cli(command, *arguments.get(command, ()), *out, "--device", "cuda")
    assert code == 2
    assert "The device 'cuda' was asked for, but there is no CUDA here" in err
    assert err.count("\n") == 1
    code, _, err = run_cli(command, *arguments.get(command, ()), *out, "--device", "cpu", "--offload", "model")
    assert code == 2
    assert "--offload model saves memory of a GPU, but the model runs on the CPU" in err
    assert not (tmp_path / "out").exists()


def saved(folder: Path) -> Path:
    from ecad_automl.schedules.schedule_file import save_schedule
    from tests.cli.made_up_study import FULL

    save_schedule(folder / "a.json", FULL)
    return folder / "a.json"


@pytest.fixture
def made_study(tmp_path: Path) -> Path:
    from tests.cli.made_up_study import IDENTITY, SCHEDULES, save_study

    save_study(tmp_path / "made.db", IDENTITY, SCHEDULES)
    return tmp_path / "made.db"


def gated() -> Exception:
    from unittest.mock import Mock

    from huggingface_hub.errors import GatedRepoError

    return GatedRepoError("401 Client Error. Access to model a/b is restricted.", response=Mock())


def test_a_gated_model_names_its_licence_page_and_the_login(monkeypatch: pytest.MonkeyPatch) -> None:
    import diffusers

    from ecad_automl.files.paths import hub_file
    from ecad_automl.models import loading

    monkeypatch.undo()

    def refuse(*_: object, **__: object) -> None:
        raise OSError("a/b is not a local folder and is not a valid model identifier") from gated()

    monkeypatch.setattr(diffusers.DiffusionPipeline, "from_pretrained", refuse)
    with pytest.raises(UnsupportedModelError, match=r"https://huggingface.co/a/b .* `hf auth login`"):
        loading.load_model("a/b")

    def refuse_file(*_: object, **__: object) -> None:
        raise gated()

    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse_file)
    with pytest.raises(HubError, match=r"https://huggingface.co/datasets/a/b .* `hf auth login`"):
        hub_file("a/b", "x.txt", kind="dataset")


def test_too_little_memory_at_load_is_one_sentence_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from ecad_automl.models import load_model

    def short(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 24.00 GiB.")

    monkeypatch.setattr("ecad_automl.models.loading._from_pretrained", short)
    with pytest.raises(DeviceMemoryError, match=r"^Loading the model 'shapes' takes more memory .* or offload model,"):
        load_model("shapes")


@pytest.mark.parametrize(
    ("offload", "method"),
    [
        ("model", "enable_model_cpu_offload"),
        ("group", "enable_group_offload"),
        ("sequential", "enable_sequential_cpu_offload"),
    ],
)
def test_each_way_of_offloading_is_that_of_diffusers(offload: str, method: str) -> None:
    from unittest.mock import Mock

    from ecad_automl.models.memory import place

    pipe = Mock()
    place(pipe, "cuda:1", offload)
    getattr(pipe, method).assert_called_once()
    assert not pipe.to.called
    place(pipe, "cuda:1", None)
    pipe.to.assert_called_once_with("cuda:1")
