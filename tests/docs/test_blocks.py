"""Whatever a reader may copy from README and docs works, or says why no test runs it."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from pkgutil import resolve_name

import pytest
import typer

from tests.docs.blocks import ADDED_OPTIONS, PAGES, ROOT, Block, cheaper, code_spans, page_blocks, parse
from tests.docs.warm import CLIENT, PROGRAMS, check_install

Done = subprocess.CompletedProcess[str]
RunPage = Callable[[Sequence[Block]], Done]

STUDY = """\
import os

import ecad_automl
from ecad_automl.shapes.world import prompts
from studies import SearchConfig

model = ecad_automl.load_model("shapes").with_settings(steps=6)
config = SearchConfig(offspring=2)
path = os.environ["STUDY"]
ecad_automl.search(model, prompts("calibration", 4), reward="shapes", storage=path, evaluations=6, config=config)
"""

WITH_CODE = [page for page, path in PAGES.items() if "```" in path.read_text(encoding="utf-8")]


def runnable(page: str) -> list[Block]:
    return [block for block in page_blocks(page) if block.reason is None and block.kind in {"shell", "python"}]


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory, tiny_pixart_folder: Path) -> Iterator[Callable[..., Done]]:
    """Runs a program in a folder, in a process that has PyTorch already."""
    root = tmp_path_factory.mktemp("warm")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("ECAD_", "HF_", "PYTEST_"))},
        "COLUMNS": "100",
        "ECAD_AUTOML_CACHE": str(root / "cache"),
        "HF_HOME": str(root / "hub"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "PATH": os.pathsep.join([str(root), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PIXART": str(tiny_pixart_folder),
        "STUDY": str(root / "study.db"),
    }
    # Names of sockets have at most 107 bytes.
    with tempfile.TemporaryDirectory() as short:
        address = f"{short}/warm"
        for name in PROGRAMS:
            (root / name).write_text(CLIENT.format(python=sys.executable, address=address))
            (root / name).chmod(0o755)
        command, pipe = [sys.executable, "-m", "tests.docs.warm", address], subprocess.PIPE
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True) as server:
            assert server.stdout is not None
            assert server.stdin is not None
            assert server.stdout.readline() == "ready\n"

            def run(folder: Path, *arguments: str) -> Done:
                return subprocess.run(
                    arguments,
                    cwd=folder,
                    env=environment,
                    executable=root / arguments[0],
                    stdin=subprocess.DEVNULL,
                    stdout=pipe,
                    stderr=subprocess.STDOUT,
                    text=True,
                    timeout=300,
                    check=False,
                )

            yield run
            server.stdin.close()  # which ends it


@pytest.fixture(scope="session")
def study(warm: Callable[..., Done], tmp_path_factory: pytest.TempPathFactory) -> None:
    """A short search on the bundled model, with 6 steps: ``$STUDY`` on pages."""
    script = tmp_path_factory.mktemp("study") / "steps.json"
    script.write_text(json.dumps([asdict(Block("study", 1, "python", STUDY))]))
    done = warm(script.parent, "run-page", str(script))
    assert done.returncode == 0, done.stdout


@pytest.fixture
def run_page(warm: Callable[..., Done], tmp_path: Path, request: pytest.FixtureRequest) -> RunPage:
    """Runs blocks in an empty folder."""

    def run(blocks: Sequence[Block]) -> Done:
        if any("$STUDY" in block.text for block in blocks):
            request.getfixturevalue("study")
        script, folder = tmp_path / "steps.json", tmp_path / "page"
        script.write_text(json.dumps([asdict(block) for block in blocks]))
        folder.mkdir(exist_ok=True)
        return warm(folder, "run-page", str(script))

    return run


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_CODE)
def test_the_blocks_of_a_page_run_in_their_order(page: str, request: pytest.FixtureRequest) -> None:
    if blocks := runnable(page):
        done = request.getfixturevalue("run_page")(blocks)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("page", WITH_CODE)
def test_what_is_not_run_is_something_that_the_project_takes(page: str) -> None:
    for block in page_blocks(page):
        if block.reason is not None and block.kind == "shell":
            for program, *arguments in commands(block.text):
                check_command(program, arguments)
        elif block.reason is not None and block.kind == "python":
            for node in ast.walk(ast.parse(block.text)):
                if isinstance(node, ast.ImportFrom) and node.module and is_ours(node.module):
                    for name in node.names:
                        resolve_name(f"{node.module}:{name.name}")


def commands(text: str) -> Iterator[list[str]]:
    """The commands of a shell block, each split into its words."""
    for line in text.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


def check_command(program: str, arguments: list[str]) -> None:
    if Path(program).name == "ecad-automl":
        from ecad_automl.cli.app import app

        group = typer.main.get_command(app)
        while arguments[0].startswith("-"):  # those of all commands
            assert arguments.pop(0) in {word for option in group.params for word in option.opts}
        name, *options = arguments
        group.commands[name].make_context(name, options)  # type: ignore[attr-defined] # an error where it takes none
    elif program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in arguments if "=" not in word} <= {*targets}
    elif program == "pip":
        check_install(arguments, installed=False)


def is_ours(name: str) -> bool:
    return name.partition(".")[0] in {"ecad_automl", "studies", "storage", "surrogate"}


@pytest.mark.parametrize("page", WITH_CODE)
def test_blocks_of_data_can_be_read(page: str, tmp_path: Path) -> None:
    from ecad_automl.api import read_search_file

    for block in page_blocks(page):
        if block.reason is None and block.kind == "toml":
            (tmp_path / "search.toml").write_text(block.text)
            read_search_file(tmp_path / "search.toml")
        elif block.reason is None and block.kind == "json":
            json.loads(block.text)


def test_options_and_python_names_in_the_prose_of_pages_exist() -> None:
    from ecad_automl.cli.app import app

    group = typer.main.get_command(app)
    options = {
        name: {word for parameter in command.params for word in (*parameter.opts, *parameter.secondary_opts)}
        | {"--help"}
        for name, command in group.commands.items()  # type: ignore[attr-defined]
    }
    options[""] = {word for parameter in group.params for word in parameter.opts}
    unknown = []
    for page, path in PAGES.items():
        for span in code_spans(path.read_text(encoding="utf-8")):
            first, *_ = words = span.removeprefix("ecad-automl ").split()
            if first.startswith("--") or first in options:
                known = options.get(first) or set().union(*options.values())
                found = (word.partition("=")[0] for word in words if re.match(r"--\w", word))
                unknown += [f"{page}: {span}" for word in found if word not in known]
            elif is_ours(first) and re.fullmatch(r"(\w+\.)+\w+", name := first.partition("(")[0]):
                try:
                    resolve_name(name)
                except (AttributeError, ImportError):
                    unknown.append(f"{page}: {span}")
    assert not unknown


def test_options_that_are_added_to_commands_exist() -> None:
    for command in ADDED_OPTIONS:
        check_command("ecad-automl", cheaper("", [command], {}))


PAGE = """\
# Page

<!-- setup:
echo made > before.txt
-->

```
test -f before.txt
```

- In a list:

  ```python title="example.py"
  from pathlib import Path

  word = Path("before.txt").read_text().strip()
  ```

=== "Tab"

    ```console
    $ echo one > after.txt
    one
    ```

*Not run in the tests: needs a
whole day.*

```sh
make venv
```

```text
made
```

```python
assert (word, Path("after.txt").read_text()) == ("made", "one\\n")
```
"""


def test_blocks_are_found_wherever_markdown_has_them() -> None:
    assert [(block.line, block.kind, block.reason, block.hidden) for block in parse("page", PAGE)] == [
        (3, "shell", None, True),
        (8, "shell", None, False),
        (14, "python", None, False),
        (22, "shell", None, False),
        (30, "shell", "needs a\nwhole day", False),
        (34, "text", None, False),
        (38, "python", None, False),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```cobol\n```\n", "page:1: nobody knows how to test 'cobol'"),
        ("Text\n\n    make venv\n", "page:3: code that is only indented"),
        ("*Not run in the tests: why.*\n\nText\n", "page:1: the mark 'not run' does not stand directly before"),
        ("*Not run in the tests: why.*\n", "page:1: the mark 'not run' does not stand directly before"),
        ("*Not run: why.*\n\n```\nmake venv\n```\n", "page:1: a mark that nobody understands"),
        ("<!-- not run: why -->\n```\nmake venv\n```\n", "page:1: a mark that nobody understands"),
        ('=== "Tab"\n    ```\n    make venv\n    ```\n', "page: not every fence is a block of its own"),
    ],
)
def test_a_page_in_which_a_block_would_be_missed_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        parse("page", text)


@pytest.mark.slow
def test_a_page_fails_where_one_of_its_blocks_does(run_page: RunPage) -> None:
    blocks = [block for block in parse("page", PAGE) if block.reason is None and block.kind != "text"]
    assert run_page(blocks).returncode == 0
    for text, message in {
        "```\nfalse\ntrue\n```\n": "page:2 ended with 1.",
        "```\nfalse | true\n```\n": "page:2 ended with 1.",
        "```\necad-automl search --evaluation 9\n```\n": "No such option: --evaluation",
        '```\npip install "ecad-automl[nothing]"\n```\n': "ecad-automl has no extra nothing",
        "```python\nx = 1\ny\n```\n": 'File "page", line 3',
        '```python\nimport warnings\nwarnings.warn("old")\n```\n': "UserWarning: old",
    }.items():
        done = run_page(parse("page", text))
        assert done.returncode == 1
        assert message in done.stdout
