from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ecad_automl.execution._fleet import Fleet
from ecad_automl.execution._processes import ProcessEngine

Start = Callable[..., Fleet]


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Any]:
    """A Ray cluster of this machine, whose start takes seconds."""
    ray = pytest.importorskip("ray", reason="the package ray is not installed")
    ray.init("local", num_cpus=4, num_gpus=0, include_dashboard=False, logging_level="ERROR")
    yield ray
    ray.shutdown()


@pytest.fixture(params=["processes", pytest.param("ray", marks=pytest.mark.slow)])
def start_fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Starts fleets of either kind, and ends them."""
    started: list[Fleet] = []

    def start(setup: Any, workers: int = 2, **options: Any) -> Fleet:
        if request.param == "ray":
            from ecad_automl.execution._ray_cluster import RayEngine

            request.getfixturevalue("ray_cluster")
            fleet = Fleet(RayEngine(setup, workers), workers, **options)
        else:
            fleet = Fleet(ProcessEngine(setup), workers, **options)
        started.append(fleet)
        return fleet

    yield start
    for fleet in started:
        with closing(fleet):
            pass
