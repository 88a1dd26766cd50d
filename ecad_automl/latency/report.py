"""A benchmark as a table."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table

from ecad_automl.latency.result import Batch, Row, Spread, spread


def table(batch: Batch, *, whole: bool) -> Table:
    """The rows of one batch size: medians of times and of speedups over the uncached run of the same rounds.

    After each stands half the range between its quartiles.
    """
    size = f"{batch.size} image{'s' * (batch.size > 1)} per call"
    title = f"{size}, {batch.rounds} rounds: median ±half of the interquartile range"
    drawn = Table(title=title, title_justify="left", box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    drawn.add_column("run", overflow="fold", min_width=8)
    cached = any(row.cache_bytes for row in batch.rows)
    peaks = any(row.peak_bytes for row in batch.rows)
    headings = ["fewer\nMACs", "transformer\nms", "speedup\n", "of\nMACs'"]
    headings += ["whole call\nms", "speedup\n", "images\nper s"] if whole else []
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
    return f"{1000 * value.median:.4g} ±{500 * (value.high - value.low):.2g}"


def _times(value: Spread) -> str:
    half = (value.high - value.low) / 2
    return f"{value.median:.2f}x ±{half:.2f}" if half else f"{value.median:.2f}x"


def _megabytes(count: int | None) -> str:
    return "-" if count is None else f"{count / 1e6:.3g}"
