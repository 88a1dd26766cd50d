from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from ecad_automl import Layout, Schedule, Slot
from ecad_automl.views.notebook import BLUE, ORANGE, schedule_html

BLOCKS, STEPS = 28, 20


def example() -> Schedule:
    slots = tuple(
        Slot(f"transformer_blocks.{block}", name, None, 10**8) for block in range(BLOCKS) for name in ("attn1", "<ff>")
    )
    compute = np.random.default_rng(0).random((STEPS, len(slots))) < 0.4
    return Schedule(Layout("PixArtTransformer2DModel", slots, 10**8), compute)


def pictures(html: str) -> list[ET.Element]:
    """The SVGs of well-formed HTML."""
    return list(ET.fromstring(html.replace("&rarr;", "").replace("&darr;", "")).iter("svg"))


def drawn(svg: ET.Element) -> np.ndarray:
    """``(blocks, steps)`` cells that the path of a picture fills."""
    cells = np.zeros((BLOCKS, STEPS), dtype=bool)
    path = svg.find("path")
    assert path is not None
    for x, y, width in re.findall(r"M(\d+) (\d+)h(\d+)v1H\d+z", path.attrib["d"]):
        cells[int(y), int(x) : int(x) + int(width)] = True
    return cells


def test_a_notebook_shows_for_each_component_what_is_computed() -> None:
    schedule = example()
    found = pictures(schedule_html(schedule))
    for index, svg in enumerate(found):
        assert np.array_equal(drawn(svg), schedule.effective[:, schedule.layout.component_index == index].T)
    assert len(found) == 2
    assert all(int(svg.attrib["width"]) <= 200 for svg in found)  # five or six stand beside each other


def test_ipython_shows_a_schedule_as_this_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "import numpy\n"
        "from ecad_automl import Layout, Schedule, Slot\n"
        "from ecad_automl.views.notebook import schedule_html\n"
        "schedule = Schedule(Layout('T', (Slot('blocks.0', 'ff'),)), numpy.ones((2, 1), bool))\n"
        "shown, _ = shell.display_formatter.format(schedule)\n"
        "assert shown['text/html'] == schedule_html(schedule)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_each_picture_is_told_in_words_and_names_are_escaped() -> None:
    html = schedule_html(example())
    first, second = (svg.attrib["aria-label"] for svg in pictures(html))
    assert re.fullmatch(r"attn1: \d+% of 20 steps x 28 blocks computed", first)
    assert second.startswith("<ff>: ")
    assert "<ff>" not in html
    assert "PixArtTransformer2DModel: 20 steps" in html


def test_the_page_stays_small_and_runs_no_script() -> None:
    html = schedule_html(example(), "a heading")
    assert "a heading" in html
    assert len(html) < 30_000
    assert "<script" not in html


def test_colors_stand_out_from_white_and_from_black() -> None:
    for color in (BLUE, ORANGE):
        red, green, blue = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
        # Relative luminance and contrast of WCAG 2; 3:1 is asked for graphics.
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
        luminance = 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
        assert 1.05 / (luminance + 0.05) >= 3
        assert (luminance + 0.05) / 0.05 >= 3


def test_showing_a_schedule_needs_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys, numpy\n"
        "from ecad_automl import Layout, Schedule, Slot\n"
        "from ecad_automl.views.notebook import schedule_html\n"
        "schedule_html(Schedule(Layout('T', (Slot('blocks.0', 'ff'),)), numpy.ones((2, 1), bool)))\n"
        "assert not {'torch', 'matplotlib', 'IPython'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_forecasts_and_skipped_steps_are_drawn_and_told() -> None:
    plain = example()
    levels = np.full((STEPS, 3), 2)
    weights = np.tile([1.5, -0.5], (STEPS, len(plain.layout) + 1, 1))
    schedule = Schedule(plain.layout, plain.compute, np.arange(STEPS) == 7, levels, weights)
    html = schedule_html(schedule)
    for index, svg in enumerate(pictures(html)[:2]):
        slots = schedule.layout.component_index == index
        assert np.array_equal(drawn(svg), schedule.effective[:, slots].T)
        forecast = schedule.forecast[:, :-1][:, slots].mean()
        assert f"{forecast:.0%} forecast by 2/3" in svg.attrib["aria-label"]
        assert "5% skipped" in svg.attrib["aria-label"]
    for told in ("> reused<", "> forecast by 2/3<", "> computed<", "> skipped<", "1 step skipped, 1 by a forecast"):
        assert told in html
    assert "forecast" not in schedule_html(plain)
