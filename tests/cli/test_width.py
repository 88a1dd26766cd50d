"""Tables at 80 columns, with figures of full-size models: nothing of them is cut."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from rich.table import Table

from ecad_automl.api.live import status_table
from ecad_automl.api.terminal import PlainConsole
from ecad_automl.cli.evaluate import _table as evaluation_table
from ecad_automl.cli.output import print_table
from ecad_automl.cli.quick import _table as quick_table
from ecad_automl.judging.comparison.summary import MetricSummary, RunSummary
from ecad_automl.judging.statistics import Interval
from ecad_automl.judging.times import Times
from ecad_automl.latency.result import Batch, Row
from ecad_automl.latency.result import table as bench_table
from studies.progress import SearchStatus


@dataclass
class Point:
    name: str
    speedup: float
    predicted_error: float
    action: str
    checked: Any


@dataclass
class Front:
    points: list[Point]
    reward: str
    recommended: Point | None = None

    def __iter__(self) -> Iterator[Point]:
        return iter(self.points)


def status() -> Table:
    return status_table(
        SearchStatus(
            1042, 6000, 128, 733, 487.3, 0.87654, {1.5: -0.00012, 2.0: -0.04567, 3.0: -1.23456}, 0.87, 0.9, 123456.0,
            "Choosing among 12345 candidates of generation 129",
        )
    )  # fmt: skip


def bench() -> Table:
    seconds, faster = (61.2345, 63.9876, 59.1234), (30.1, 35.2, 28.9)
    rows = (
        Row("uncached", "uncached", 50, 1.0, seconds, seconds, 12_345_678, 38_123_456_789),
        Row(
            "flux-dev-2.46x-trial1234", "schedule", 50, 12.46, faster, faster[::-1], 7_512_345_678, 45_123_456_789
        ),
        Row("FirstBlockCache", "cache", 50, None, (0.0123, 0.0456, 0.02), (0.01, 0.04, 0.015), None, 1_234_567),
    )  # fmt: skip
    return bench_table(Batch(4, rows), whole=True)


def evaluation() -> Table:
    interval = Interval(-1.234e-05, -0.00012345, -4.567e-05)
    metric = MetricSummary(interval, True, 96, interval, 0.4567)
    names = ("0.8*image-reward+0.2*clip=openai/clip-vit-large-patch14", "latent-distance", "fidelity")
    times = Times((123.456, 130.0, 128.0), (250.0, 260.0, 255.0))
    return evaluation_table(
        [RunSummary("pixart-alpha-256-2.46x-trial1234", None, None, 2.4567, times, dict.fromkeys(names, metric))]
    )


def quick() -> Table:
    action = "skips 11 of 50 steps, 7 by forecast; computes 47% of all parts, forecasts 90% of the others"

    class Checked:
        difference = Interval(-0.12345, -0.2, 0.0)

    return quick_table(Front([Point("quick-2.46x", 2.46, 0.012, action, Checked())], "shapes-fidelity"))  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [status, bench, evaluation, quick])
def test_nothing_is_cut_at_80_columns(make: Any) -> None:
    table = make()
    written = io.StringIO()
    print_table(PlainConsole(file=written, width=80), table)
    text = written.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    shown = sorted(text)
    for column in table.columns:
        for cell in (column.header, *column._cells):
            for character in str(cell).replace("\n", "").replace(" ", ""):
                shown.remove(character)  # an error where it is missing


def test_figures_are_not_broken() -> None:
    """Words may go on in the next line, numbers may not."""
    written = io.StringIO()
    console = PlainConsole(file=written, width=80)
    print_table(console, bench())
    print_table(console, evaluation())
    print_table(console, status())
    words = written.getvalue().split()
    for figure in ("61234", "±1200", "2.03x", "±0.06", "45123", "[-0.000123,", "-4.57e-05]", "-1.23e-05", "34:17:36"):
        assert figure in words
