from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from html.parser import HTMLParser
from importlib import resources

import pytest

from ecad_automl.errors import EcadError
from ecad_automl.views.report import html_page
from ecad_automl.views.report._payload import payload
from tests.views.report.made_up import HOSTILE_PROMPT, made_up_report

plotly = pytest.importorskip("plotly", reason="plotly is not installed")


class Scripts(HTMLParser):
    """Collects scripts as a browser tells them apart, and where the page points to."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.links: list[str] = []
        self.policy = ""
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.links += [str(named[name]) for name in ("src", "href") if name in named]
        if named.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(named["content"])
        if tag == "script":
            self._inside = True
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "script"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.scripts[-1] += data


@pytest.fixture(scope="module")
def scripts() -> Scripts:
    parser = Scripts()
    parser.feed(html_page(made_up_report()))
    return parser


def test_the_page_points_to_nothing_outside_itself(scripts: Scripts) -> None:
    assert scripts.links == ["#front"]
    assert "default-src 'none'" in scripts.policy


def test_a_prompt_cannot_end_the_data(scripts: Scripts) -> None:
    data = json.loads(scripts.scripts[1])
    assert data == json.loads(json.dumps(payload(made_up_report())))
    assert data["prompts"][0] == HOSTILE_PROMPT


def test_the_policy_names_every_script_that_runs_and_no_other(scripts: Scripts) -> None:
    runs = [script for script in scripts.scripts if not script.startswith("{")]
    wanted = {base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in runs}
    assert set(re.findall(r"'sha256-([^']+)'", scripts.policy)) == wanted
    assert len(wanted) == 3
    assert "unsafe-inline" not in scripts.policy.split("style-src")[0]


def test_without_plotly_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(EcadError, match=r"pip install 'ecad-automl\[report\]'"):
        html_page(made_up_report())


def luminance(color: str) -> float:
    """WCAG 2.2, relative luminance of #rrggbb."""
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("colors", "least"),
    [
        (("text", "quiet", "link", "orange"), 4.5),  # of texts
        (("blue", "green", "vermillion", "purple", "computed", "only-a", "only-b", "focus"), 3.0),  # of graphics
    ],
)
def test_texts_and_graphics_stand_out_from_their_ground(theme: str, colors: tuple[str, ...], least: float) -> None:
    style = (resources.files("ecad_automl.views.report") / "assets" / "report.css").read_text()
    block = re.findall(r":root[^{]*\{([^}]*)\}", style)[theme == "dark"]
    named = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
    grounds = ("ground", "raised") if least == 4.5 else ("ground",)
    for color in colors:
        for ground in grounds:
            if (color, ground) != ("orange", "raised"):
                assert contrast(named[color], named[ground]) >= least, (color, ground)
