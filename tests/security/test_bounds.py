"""Small files that claim to be large, deep or elsewhere."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecad_automl.api.config_file import read_search_file
from ecad_automl.api.terminal import PlainConsole, printable
from ecad_automl.errors import FileError, OptionError, PromptError, ScheduleError, UnsupportedModelError
from ecad_automl.files.arrays import read_arrays
from ecad_automl.files.json_file import MAX_JSON_BYTES, MAX_JSON_DEPTH, read_json_object
from ecad_automl.files.tensor_file import only_tensors, read_tensor_file
from ecad_automl.hub import load_pretrained
from ecad_automl.hub.fetching import parse_reference, reference_of
from ecad_automl.hub.folder import inside, is_plain
from ecad_automl.prompts import read_prompt_set
from ecad_automl.prompts.files import MAX_COLUMNS
from ecad_automl.schedules.ecad_format import read_ecad
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import load_schedule, save_schedule

Run = Callable[..., tuple[int, str, str]]


class Harmful:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_json_is_bounded_in_size_and_depth_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b" " * (MAX_JSON_BYTES + 1))
    with pytest.raises(FileError, match=f"more than {MAX_JSON_BYTES} bytes"):
        read_json_object(path, "schedule file")
    path.write_text('{"a": ' * MAX_JSON_DEPTH + "1" + "}" * MAX_JSON_DEPTH)
    read_json_object(path, "schedule file")
    path.write_text('{"a": ' * (MAX_JSON_DEPTH + 1) + "1" + "}" * (MAX_JSON_DEPTH + 1))
    with pytest.raises(FileError, match=f"nested deeper than {MAX_JSON_DEPTH} levels"):
        read_json_object(path, "schedule file")
    path.write_text(json.dumps({"a": "[{" * 1000, 'b"[': "\\"}))
    read_json_object(path, "schedule file")  # brackets in texts do not count


def test_a_layout_of_very_many_slots_is_refused_soon() -> None:
    slots = [{"block": "a", "component": str(number)} for number in range(60_000)]
    with pytest.raises(ScheduleError, match="names the slot 'a.59999' twice"):
        Layout.from_dict({"transformer": "T", "slots": [*slots, slots[-1]]})


def test_an_ecad_file_cannot_claim_any_number_of_steps(tmp_path: Path) -> None:
    document = {"cache_schedule": {"num_blocks": 1, "num_inference_steps": 10**15, "schedule": {"000": {"0": {}}}}}
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(FileError, match="its steps are not those from 0 to"):
        read_ecad(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = " + "[" * 5000, "cannot be read"),
        ("a = " + "9" * 5000, "cannot be read"),
        (".".join(["a"] * 200_000) + " = 1", "a key of more than 16 parts"),
        ("[" + ".".join(["a", '"b"'] * 20) + "]", "a key of more than 16 parts"),
    ],
)
def test_a_config_file_cannot_take_all_memory(text: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "search.toml").write_text(text)
    with pytest.raises(FileError, match=expected):
        read_search_file(tmp_path / "search.toml")


def test_a_table_has_so_many_columns_at_most(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(",".join(map(str, range(MAX_COLUMNS + 1))) + "\n")
    with pytest.raises(FileError, match=f"{MAX_COLUMNS + 1} columns, more than the {MAX_COLUMNS}"):
        read_prompt_set(str(tmp_path / "a.csv"))


def test_a_parquet_file_that_repeats_a_long_text_is_refused(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "bomb.parquet"
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(200_000, np.int32)), pa.array(["a cat " * 2000]))
    parquet.write_table(pa.table({"prompt": texts}), path)
    assert path.stat().st_size < 100_000  # 2.4 GB written out
    with pytest.raises(FileError, match="is larger than 1024 MiB"):
        read_prompt_set(str(path))


def test_lists_in_a_parquet_file_are_no_prompts(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"prompt": [["a"], ["b"]], "note": ["c", "d"]}), tmp_path / "a.parquet")
    with pytest.raises(PromptError, match="its columns are note"):
        read_prompt_set(str(tmp_path / "a.parquet"))


def test_a_picture_of_very_many_pixels_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    from ecad_automl.judging.comparison.sets import _pictures

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 9000, 9000, 8, 2, 0, 0, 0)
    path = tmp_path / "a.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )
    with pytest.raises(FileError, match="9000 x 9000 pixels, more than the"):
        next(_pictures([path], 64))


def test_an_archive_holds_what_it_says_and_no_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def archive(name: str, data: bytes) -> bytes:
        with io.BytesIO() as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
                made.writestr(name, data)
            return file.getvalue()

    header = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118)
    text = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000)}"
    with pytest.raises(ValueError, match=r"claims to be \(1000000000, 1000\)"):
        read_arrays(archive("a.npy", header + text.ljust(117) + b"\n"))
    monkeypatch.setattr("ecad_automl.files.arrays.MAX_ARCHIVE_BYTES", 1000)
    with pytest.raises(ValueError, match="its arrays have 1001 bytes, more than 1000"):
        read_arrays(archive("a.npy", bytes(1001)))
    with io.BytesIO() as file:
        np.savez(file, a=np.array([Harmful(tmp_path / "made")], dtype=object))
        with pytest.raises(ValueError, match="which it cannot hold"):
            read_arrays(file.getvalue())
    assert not (tmp_path / "made").exists()


def test_weights_run_no_code(tmp_path: Path) -> None:
    import torch

    torch.save({"a": Harmful(tmp_path / "made")}, tmp_path / "new.pt")
    (tmp_path / "old.pt").write_bytes(pickle.dumps({"a": Harmful(tmp_path / "made")}, 2))
    for name in ("new.pt", "old.pt"):
        with pytest.raises(ValueError, match="Weights only load failed"):
            read_tensor_file(tmp_path / name)
        with only_tensors(), pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
            torch.load(tmp_path / name, weights_only=False)
    assert not (tmp_path / "made").exists()
    torch.save({"a": torch.ones(2)}, tmp_path / "sound.pt")
    assert read_tensor_file(tmp_path / "sound.pt")["a"].tolist() == [1, 1]


@pytest.mark.parametrize("part", ["_class_name", "transformer"])
def test_a_model_folder_runs_no_code_of_its_own(part: str, tiny_pixart_folder: Path, tmp_path: Path) -> None:
    import shutil

    from ecad_automl.models import load_model

    folder = Path(shutil.copytree(tiny_pixart_folder, tmp_path / "model"))
    index = json.loads((folder / "model_index.json").read_text())
    code = f"import pathlib\npathlib.Path({str(tmp_path / 'made')!r}).mkdir()\n"
    index[part] = ["own", "Own"]
    (folder / "own.py").write_text(code)
    (folder / "transformer" / "own.py").write_text(code)
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(UnsupportedModelError, match=f"brings Python code of its own for '{part}', which is not run"):
        load_model(str(folder))
    assert not (tmp_path / "made").exists()


def test_a_model_folder_is_read_from_safetensors_alone(tiny_pixart_folder: Path, tmp_path: Path) -> None:
    import shutil

    from ecad_automl.models import load_model

    folder = Path(shutil.copytree(tiny_pixart_folder, tmp_path / "model"))
    (weights,) = (folder / "transformer").glob("*.safetensors")
    weights.unlink()
    weights.with_suffix(".bin").write_bytes(pickle.dumps(Harmful(tmp_path / "made")))
    with pytest.raises(UnsupportedModelError, match="could not be loaded"):
        load_model(str(folder))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "name",
    [
        *("../a.json", "a/../../b.json", "/etc/a.json", "C:/a.json", "C:a.json", "a\\b.json", "a//b.json", "./a.json"),
        *("NUL.json", "com1.json", "a/AUX.x.json", "a./b.json", "a /b.json", "a.json:b.json", "a\x1b[2Jb.json"),
        *("a?.json", "a.txt", "", "a" * 2000 + ".json"),
    ],
)
def test_names_in_a_document_stay_in_its_folder_on_any_system(name: str, tmp_path: Path) -> None:
    assert not is_plain(name)
    with pytest.raises(FileError):
        inside(tmp_path, name)
    with pytest.raises(OptionError):
        reference_of("owner/name", None, name or " ")


def test_links_in_a_shared_folder_do_not_lead_out(tmp_path: Path) -> None:
    layout = Layout("T", (Slot("a", "b"),))
    save_schedule(tmp_path / "outside.json", Schedule(layout, [[1]]))
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / "schedule.json").symlink_to(tmp_path / "outside.json")
    (folder / "up").symlink_to(tmp_path)
    for filename in (None, "schedule.json", "up/outside.json"):
        with pytest.raises(FileError, match="is no file in the folder"):
            load_pretrained(folder, filename=filename)
    assert load_schedule(tmp_path / "outside.json").schedule.steps == 1


@pytest.mark.parametrize("revision", ["../../x", "a//b", "/etc", "a\\b", "C:x", "a\nb", "a" * 300])
def test_revisions_are_such_as_git_has(revision: str) -> None:
    assert parse_reference(f"owner/name@{revision}") is None
    with pytest.raises(OptionError, match="is no revision"):
        reference_of("owner/name", revision, None)
    assert parse_reference("owner/name@refs/pr/1") is not None


def test_text_of_others_does_not_command_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    hostile = "a\x1b]0;title\x07\x1b[2J\x9b31m\u202eb [bold]c[/] :smile:"
    assert printable(hostile) == "a\ufffd]0;title\ufffd\ufffd[2J\ufffd31m\ufffdb [bold]c[/] :smile:"
    console = PlainConsole(force_terminal=True, width=200)
    console.print(hostile, style="bold", highlight=False)
    out = capsys.readouterr().out
    assert "[bold]c[/] :smile:" in out
    assert "\x1b]" not in out
    assert "\x1b[2J" not in out
    assert "\x1b[1m" in out  # rich's own


def test_names_and_messages_reach_the_terminal_as_text(tmp_path: Path, database: Path, run_cli: Run) -> None:
    import sqlite3
    from contextlib import closing

    hostile = "a\x1b]0;title\x07[link=http://192.0.2.1]b[/c]"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("update ecad_evaluations set origin = ?", (hostile,))
        connection.commit()
    code, out, err = run_cli("front", "--storage", database)
    assert code == 0
    assert "\x1b]" not in out + err
    code, out, err = run_cli("front", "--storage", f"{tmp_path}/{hostile}\n.db")
    assert code == 2
    assert "\x1b" not in out + err
    assert err.count("\n") == 1


def test_a_home_folder_of_nobody_is_bad_input(run_cli: Run) -> None:
    for arguments in (
        ("front", "--storage", "~nobody-has-this-name/a.db"),
        ("search", "--model", "~nobody-has-this-name/a"),
        ("search", "--config", "~nobody-has-this-name/a.toml"),
        ("search", "--prompts", "~nobody-has-this-name/a.txt"),
        ("search", "--init", "~nobody-has-this-name/a.db"),
        ("search", "--reward", "clip=~nobody-has-this-name/a"),
    ):
        code, _, err = run_cli(*arguments)
        assert code == 2, arguments
        assert err.count("\n") == 1, err
