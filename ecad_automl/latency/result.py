"""The result of a benchmark, and its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

_SCHEMA = "ecad-automl/bench/1"
#: Figures of a row that stand in the file as they are.
_FIGURES = ("name", "kind", "steps", "mac_speedup", "cache_bytes", "peak_bytes")

#: What a row runs: the plain pipeline, under a schedule, the plain pipeline with fewer steps, or with another cache.
Kind = Literal["uncached", "schedule", "fewer steps", "cache"]


class Spread(NamedTuple):
    """A median with its quartiles."""

    median: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """A JSON-ready form."""
        return {"median": self.median, "lower_quartile": self.low, "upper_quartile": self.high}


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles of at least one value."""
    low, median, high = np.percentile(np.asarray(values, dtype=np.float64), [25, 50, 75])
    return Spread(float(median), float(low), float(high))


def speedup(seconds: Sequence[float], uncached: Sequence[float]) -> Spread:
    """How many times as fast as the uncached run: the ratio within each round, and then its median and quartiles.

    Args:
        seconds: one time per round.
        uncached: the uncached time of the same rounds.
    """
    return spread([full / mine for mine, full in zip(seconds, uncached, strict=True)])


@dataclass(frozen=True)
class Row:
    """One contender in one batch size.

    Args:
        name: what it is called.
        kind: what it is.
        steps: denoising steps.
        mac_speedup: how many times fewer multiply-accumulates the transformer does than uncached; None if not known.
        whole: seconds of the pipeline call in each round.
        transformer: seconds inside the transformer's forwards in each round.
        cache_bytes: most bytes of cached outputs that were held after any forward; None where nobody tells.
        peak_bytes: most memory of the device in use; None on the CPU.
    """

    name: str
    kind: Kind
    steps: int
    mac_speedup: float | None = None
    whole: tuple[float, ...] = ()
    transformer: tuple[float, ...] = ()
    cache_bytes: int | None = None
    peak_bytes: int | None = None


@dataclass(frozen=True)
class Batch:
    """All contenders in one batch size.

    Args:
        size: images per pipeline call.
        rows: the contenders that ran, the uncached one first.
        failed: by name, why a contender did not run.
    """

    size: int
    rows: tuple[Row, ...]
    failed: Mapping[str, str] = field(default_factory=dict)

    @property
    def rounds(self) -> int:
        """Number of whole rounds."""
        return len(self.rows[0].transformer) if self.rows else 0

    def transformer_speedup(self, row: Row) -> Spread:
        """Of the transformer's time over that of the uncached run."""
        return speedup(row.transformer, self.rows[0].transformer)

    def whole_speedup(self, row: Row) -> Spread:
        """Of the whole call over the uncached one."""
        return speedup(row.whole, self.rows[0].whole)

    def efficiency(self, row: Row) -> float | None:
        """Share of the speedup promised by MACs that the transformer's time shows; None where MACs are not known."""
        return None if row.mac_speedup is None else self.transformer_speedup(row).median / row.mac_speedup

    def images_per_second(self, row: Row) -> float:
        """Images of one call over its median time."""
        return self.size / spread(row.whole).median

    def to_dict(self, *, whole: bool) -> dict[str, Any]:
        """A JSON-ready form; without ``whole`` only the transformer's time is told."""
        return {
            "batch_size": self.size,
            "rounds": self.rounds,
            "rows": [self._row(row, whole=whole) for row in self.rows],
            "failed": dict(self.failed),
        }

    def _row(self, row: Row, *, whole: bool) -> dict[str, Any]:
        def times(seconds: Sequence[float], ratio: Spread) -> dict[str, Any]:
            return {"seconds": list(seconds), **spread(seconds).to_dict(), "speedup": ratio.to_dict()}

        found = {name: getattr(row, name) for name in _FIGURES}
        found["transformer"] = times(row.transformer, self.transformer_speedup(row))
        found["transformer"]["efficiency"] = self.efficiency(row)
        if whole:
            found["whole"] = times(row.whole, self.whole_speedup(row))
            found["whole"]["images_per_second"] = self.images_per_second(row)
        return found


@dataclass(frozen=True)
class BenchResult:
    """A whole benchmark.

    Args:
        about: machine, versions, model and settings, as JSON values.
        batches: by batch size.
        whole: whether calls were timed to the finished image; otherwise they ended at the latents, and only the
            transformer's time counts.
        complete: False where it was stopped before its last round.
    """

    about: Mapping[str, Any]
    batches: tuple[Batch, ...]
    whole: bool = True
    complete: bool = True

    def to_dict(self) -> dict[str, Any]:
        """The content of the JSON file."""
        return {
            "schema": _SCHEMA,
            **self.about,
            "complete": self.complete,
            "clocks": ["transformer", "whole"] if self.whole else ["transformer"],
            "batches": [batch.to_dict(whole=self.whole) for batch in self.batches],
        }


def table(batch: Batch, *, whole: bool) -> Table:
    """The rows of one batch size: medians of times and of speedups over the uncached run of the same rounds.

    After each stands half the range between its quartiles.
    """
    size = f"{batch.size} image{'s' * (batch.size > 1)} per call"
    rounds = f"{batch.rounds} rounds: median ±half of the interquartile range"
    title = f"{size}, {rounds if batch.rounds > 1 else 'one round, which does not tell how far times vary'}"
    drawn = Table(title=title, title_justify="left", box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    drawn.add_column("run", overflow="fold", min_width=8)
    cached = any(row.cache_bytes for row in batch.rows)
    peaks = any(row.peak_bytes for row in batch.rows)
    # So narrow that all of it fits 80 columns.
    headings = ["fewer\nMACs", "trans-\nformer\nms", "speed-\nup", "of\nMACs'"]
    headings += ["whole\ncall\nms", "speed-\nup", "images\nper s"] if whole else []
    headings += ["cache\nMB"] * cached + ["peak\nMB"] * peaks
    for heading in headings:
        drawn.add_column(heading, justify="right", overflow="fold")
    for before, row in zip((None, *batch.rows), batch.rows, strict=False):
        if before is not None and before.kind != row.kind:
            drawn.add_section()
        drawn.add_row(row.name, *_cells(batch, row, whole=whole, cached=cached, peaks=peaks))
    return drawn


def failures(batch: Batch) -> list[str]:
    """One line for each reason that kept contenders from running."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in batch.failed.items():
        by_reason.setdefault(reason, []).append(name)
    return [f"{', '.join(names)}: {reason}" for reason, names in by_reason.items()]


def _cells(batch: Batch, row: Row, *, whole: bool, cached: bool, peaks: bool) -> list[str]:
    efficiency = batch.efficiency(row)
    cells = [
        "-" if row.mac_speedup is None else f"{row.mac_speedup:.2f}x",
        _milliseconds(spread(row.transformer)),
        _times(batch.transformer_speedup(row)),
        "-" if efficiency is None else f"{efficiency:.0%}",
    ]
    if whole:
        cells += [
            _milliseconds(spread(row.whole)),
            _times(batch.whole_speedup(row)),
            f"{batch.images_per_second(row):.3g}",
        ]
    cells += [_megabytes(row.cache_bytes)] * cached + [_megabytes(row.peak_bytes)] * peaks
    return cells


def _milliseconds(value: Spread) -> str:
    return f"{_short(1000 * value.median)}\n±{float(f'{500 * (value.high - value.low):.2g}'):g}"


def _times(value: Spread) -> str:
    half = (value.high - value.low) / 2
    return f"{value.median:.2f}x\n±{half:.2f}" if half else f"{value.median:.2f}x"


def _megabytes(count: int | None) -> str:
    return "-" if count is None else _short(count / 1e6)


def _short(value: float) -> str:
    """Four digits, or all of those before the point."""
    return f"{value:.0f}" if value >= 1000 else f"{value:.4g}"
