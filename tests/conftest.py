"""Fixtures that several folders share."""

from __future__ import annotations

import os

# Forks of a process whose PyTorch has threads wait for these forever; it reads this when it is first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests import commands
from tests.forked import Forked

# Times vary on shared machines; the promise is the property, not its speed.
settings.register_profile("ecad", deadline=None)
settings.load_profile("ecad")


def pytest_itemcollected(item: pytest.Item) -> None:
    # DPMSolverMultistepScheduler.set_timesteps hands a tensor to np.array, of which NumPy 2 and PyTorch warn.
    item.add_marker(pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"))


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process: exit code, standard output, standard error."""

    def run(*arguments: object, columns: int = 160) -> tuple[int, str, str]:
        code = commands.run(*arguments, columns=columns)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def start_cli() -> Callable[..., Forked]:
    """Start a command in a process of its own; see :func:`tests.commands.start`."""
    return commands.start


@pytest.fixture
def run_process() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the installed command in a process of its own; see :func:`tests.commands.run_installed`."""
    return commands.run_installed


@pytest.fixture
def search_arguments(tiny_pixart_folder: Path) -> Callable[[Path, int], list[str]]:
    """A search on the tiny pipeline that takes seconds, in a folder and with a budget."""
    return lambda folder, evaluations: commands.search_arguments(folder, tiny_pixart_folder, evaluations)


@pytest.fixture(scope="session")
def tiny_folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """From a family to a folder with a pipeline of it, as ``save_pretrained`` writes it."""
    from tests.tiny_models import TINY_PIPELINES

    root = tmp_path_factory.mktemp("tiny")

    def folder(family: str) -> Path:
        found = root / f"tiny-{family}"
        if not found.exists():
            if family in TINY_PIPELINES:
                make = TINY_PIPELINES[family]
            else:
                from tests.tiny_text_models import TEXT_PIPELINES

                make = TEXT_PIPELINES[family]
            make().save_pretrained(found)
        return found

    return folder


@pytest.fixture(scope="session")
def tiny_pixart_folder(tiny_folders: Callable[[str], Path]) -> Path:
    """A PixArt pipeline of two blocks with random weights, as ``save_pretrained`` writes it."""
    return tiny_folders("pixart")


@pytest.fixture(params=["pixart", "flux", "sd3"])
def any_tiny_model(request: pytest.FixtureRequest, tiny_folders: Callable[[str], Path]) -> Any:
    """A pipeline of each family, loaded, with four denoising steps of 16 x 16 pixels."""
    from ecad_automl.models import load_model

    model = load_model(str(tiny_folders(request.param)))
    return model.with_settings(steps=4, height=16, width=16, max_sequence_length=8)


_TEXT_FAMILIES = (
    *("sana", "sana-sprint", "qwen-image", "flux2-klein", "aura-flow", "lumina2", "z-image", "cogview4", "hunyuan-dit"),
    "hidream",
    # diffusers 0.42 builds its own Chroma of a part that it calls deprecated.
    pytest.param("chroma", marks=pytest.mark.filterwarnings("ignore::FutureWarning")),
)


@pytest.fixture(params=_TEXT_FAMILIES)
def text_tiny_model(request: pytest.FixtureRequest, tiny_folders: Callable[[str], Path]) -> Any:
    """A pipeline of each family that is given its prompts as text, loaded, with four steps of 32 x 32 pixels."""
    from ecad_automl.models import load_model

    model = load_model(str(tiny_folders(request.param)))
    tokens = None if model.settings.max_sequence_length is None else 64
    return model.with_settings(steps=4, height=32, width=32, max_sequence_length=tokens)


@pytest.fixture
def tiny_model(tiny_pixart_folder: Path) -> Any:
    """The tiny pipeline, loaded, with four denoising steps of 16 x 16 pixels."""
    from ecad_automl.models import load_model

    return load_model(str(tiny_pixart_folder)).with_settings(steps=4, height=16, width=16, max_sequence_length=8)
