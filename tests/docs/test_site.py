"""The documentation site: it builds without a warning, and has what it promises."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"

#: What a reader's browser would load by itself. ``data:`` is part of the page.
LOADED = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\bsrc=[\"']?(?:https?:)?//"
    r"|<link\b[^>]*\brel=[\"']?(?:stylesheet|preload|preconnect|dns-prefetch|icon)[^>]*\bhref=[\"']?(?:https?:)?//"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "site"
    # Any request would go to a proxy that nobody answers, so this fails where the build asks for something.
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **nowhere, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_every_page_of_the_docs_is_built(site: Path) -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        assert (site / page.relative_to(ROOT / "docs").with_suffix(".html")).is_file()


@pytest.mark.slow
def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert pages
    assert not {page.name: found for page in pages if (found := LOADED.findall(page.read_text(encoding="utf-8")))}
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(?:https?:)?//|@import", style.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_reference_has_every_command_and_option(site: Path) -> None:
    from ecad_automl.cli.app import app

    text = (site / "cli.html").read_text(encoding="utf-8")
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert {"search", "front", "export", "report"} <= set(commands)
    for name, command in commands.items():
        start = text.index(f'<h2 id="{name}">')
        section = text[start : text.find("<h2 ", start + 1)]
        assert command.help.split(".")[0].split("`")[0][:40] in section
        options = [option for parameter in command.params for option in parameter.opts if option.startswith("--")]
        assert not [option for option in options if f"{option}" not in section]


@pytest.mark.slow
def test_the_reference_has_every_public_name(site: Path) -> None:
    data = (site / "objects.inv").read_bytes()
    header_end = [match.end() for match in re.finditer(b"\n", data)][3]
    documented = {line.split()[0] for line in zlib.decompress(data[header_end:]).decode().splitlines()}
    packages = (
        "ecad_automl",
        "ecad_automl.api",
        "ecad_automl.models",
        "ecad_automl.prompts",
        "ecad_automl.rewards",
        "ecad_automl.runtime",
        "ecad_automl.sharing",
        "storage",
        "studies",
        "studies.binary",
        "surrogate",
    )
    missing = []
    for package in packages:
        module = importlib.import_module(package)
        for name in module.__all__:
            found = getattr(module, name)
            # Some functions have the name of their module, and so are listed under their full name.
            homes = {f"{package}.{name}", f"{getattr(found, '__module__', '')}.{name}"}
            if (inspect.isfunction(found) or inspect.isclass(found)) and not homes & documented:
                missing.append(f"{package}.{name}")
    assert not missing, "add them to docs/api"


@pytest.mark.slow
def test_cross_references_of_docstrings_are_no_roles_of_another_tool(site: Path) -> None:
    for page in (site / "api").glob("*.html"):
        assert not re.search(r":(?:func|class|meth|attr|mod):", page.read_text(encoding="utf-8"))


def test_every_picture_is_there_and_has_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from scripts.docs.make_pictures import PICTURES, pictures

    assert list(pictures()) == list(PICTURES)
    text = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md"))
    for name in PICTURES:
        assert (IMAGES / name).is_file(), "run: python -m scripts.docs.make_pictures"
        assert f"](images/{name})" in text
