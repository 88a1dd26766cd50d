"""What is fuzzed: parsers as functions of bytes, with sound inputs to begin from.

A target returns whatever happens to be parsed, or raises an error of ours; :func:`run` checks that it does no other.
"""

from __future__ import annotations

import base64
import io
import json
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ecad_automl.api.config_file import read_search_file
from ecad_automl.api.stored import read_study
from ecad_automl.errors import EcadError, RewardError
from ecad_automl.files.tensor_file import read_tensor_file
from ecad_automl.hub.fetching import parse_reference, reference_of
from ecad_automl.hub.folder import inside
from ecad_automl.hub.index import read_index, save_schedules
from ecad_automl.prompts import read_prompt_set
from ecad_automl.prompts.hub import parse_hub_id
from ecad_automl.prompts.splitting import SplitRecord
from ecad_automl.rewards.constraint import parse_constraint
from ecad_automl.rewards.image_reward._network import read_med_config
from ecad_automl.rewards.weighted import parse_sum
from ecad_automl.schedules.drift import Drift
from ecad_automl.schedules.ecad_format import read_ecad, write_ecad
from ecad_automl.schedules.ecad_macs import ecad_layout
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import Measured, ScheduleFile, ScheduleMetadata, load_schedule, save_schedule
from storage import check_database, database_path, is_server, redacted
from storage.location import server_url, split_study
from storage.records import pack_scores, unpack_scores

__all__ = ["TARGETS", "Target", "made_up_database", "run", "scratch"]

#: Longest message: names and values in it are cut.
_LONGEST = 3000


_BEYOND = (
    "UEFSMRUEFSQVKEwVBBUAEgAAEkQFAAAAYSBjYXQFAAAAYSBkb2cVABUSAQAsFQQVEBUGFQYcNgAoBWEgZG9nGAVhIGNhdBERAAAACSACAAAABA"
    "EBAwIVBBUUFRhMFQQVABIAAAokAQAAAHgBAAAAeRUAFRIVFiwVBBUQFQYVBhw2ACgBeRgBeBERAAAACSACAAAABAEBfgIVBBk8NQAYBnNjaGVt"
    "YRUEABUMJQIYBnBzb21wdCUATBwAAAAVDCUCGAhjYXRlZ29yeSUATBwAAAAWBBkcGSwmABwVDBk1AAYQGRgGcHJvbXB0FQIWBBacARakASZMJg"
    "gcNgAoBWEgZG9nGAVhIGNhdBERABksFQQVABUCABUAFRAVAgA8FhQZBhkmAAQAAAAmABwVDBk1AAYQGRgIY2F0ZWdvcnkVAhYEFnwWhAEm4AEm"
    "rAEcNgAoAXkYAXgREQAZLBUEFQAVAgAVABUQFQIAPBYEGQYZJgAEAAAAFpgCFgQmCBaoAgAZHBgMQVJST1c6c2NoZW1hGOABLy8vLy82QUFBQU"
    "FRQUFBQUFBQUtBQXdBQmdBRkFBZ0FDZ0FBQUFBQkJBQU1BQUFBQ0FBSUFBQUFCQUFJQUFBQUJBQUFBQUlBQUFCRUFBQUFCQUFBQU5ULy8vOEFB"
    "QUVGRUFBQUFCd0FBQUFFQUFBQUFBQUFBQWdBQUFCallYUmxaMjl5ZVFBQUFBREkvLy8vRUFBVUFBZ0FCZ0FIQUF3QUFBQVFBQkFBQUFBQUFBRU"
    "ZFQUFBQUJ3QUFBQUVBQUFBQUFBQUFBWUFBQUJ3Y205dGNIUUFBQVFBQkFBRUFBQUEAGCBwYXJxdWV0LWNwcC1hcnJvdyB2ZXJzaW9uIDI2LjAu"
    "MRksHAAAHAAAAAYCAABQQVIx"
)

_ABORTED = (
    "UEFSMRUEFRQVLBUEFRAVBhUGHDYAKAFiGAFhEREAAAAPOAIAAAAEAAIAAAAEAwEDAhUEGUw1ABgGc2NoZW1hFQIANUQYBnByb21wdBUCFQZMPA"
    "AAADUEGARsaXN0FQIAFQwlAhgHZWxlbWVudCUATBwAAAAWBBkcGRwmABwVDBk1AAYQGTgGcHJvbXB0BGxpc3QHZWxlbWVudBUCFgQWiAEWkAEm"
    "PCYIHDYAKAFiGAFhEREAGSwVBBUAFQIAFQAVEBUCADwWBBkmBAAZRgAAAAQAAAAWiAEWBCYIFpABABkcGAxBUlJPVzpzY2hlbWEY4AEvLy8vLz"
    "ZBQUFBQVFBQUFBQUFBS0FBd0FCZ0FGQUFnQUNnQUFBQUFCQkFBTUFBQUFDQUFJQUFBQUJBQUlBQUFBQkFBQUFBRUFBQUFFQUFBQTFQLy8vd0FB"
    "QVF3VUFBQUFIQUFBQUFRQUFBQUJBQUFBSkFBQUFBWUFBQUJ3Y205dGNIUUFBTWovLy84UUFCUUFDQUFHQUFjQURBQUFBQkFBRUFBQUFBQUFBUV"
    "VRQUFBQUhBQUFBQVFBQUFBQUFBQUFCQUFBQUdsMFpXMEFBQUFBQkFBRUFBUUFBQUFBQUFBQQAYIHBhcnF1ZXQtY3BwLWFycm93IHZlcnNpb24g"
    "MjYuMC4xGRwcAAAAygEAAFBBUjE="
)


@dataclass(frozen=True)
class Target:
    """A parser.

    Args:
        name: for people.
        parse: the parser.
        seeds: makes sound inputs, and such as were once a fault.
    """

    name: str
    parse: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]


def run(target: Target, data: bytes) -> bool:
    """Whether the input was parsed; False where it was refused as it should be.

    Raises:
        AssertionError: the message of the error is no sentence of one line.
        Exception: anything else that the parser raised, which is a fault.
    """
    try:
        target.parse(data)
    except EcadError as error:
        message = str(error)
        assert message.rstrip().endswith((".", ")", "?")), message
        assert "\n" not in message.replace("\\n", ""), message
        assert len(message) < _LONGEST, message[:200]
        return False
    return True


@cache
def scratch() -> Path:
    """A folder of this process for what parsers read."""
    return Path(tempfile.mkdtemp(prefix="fuzz-"))


def _as_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    def parse(data: bytes) -> object:
        path = scratch() / name
        path.write_bytes(data)
        return read(path)

    return parse


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _layout() -> Layout:
    slots = [Slot(f"blocks.{block}", name, None, 10) for block in range(2) for name in ("attn1", "ff")]
    return Layout("Made", tuple(slots), 5)


def _schedule() -> Schedule:
    return Schedule(_layout(), np.random.default_rng(0).integers(0, 2, (4, 4)))


def _schedule_files() -> list[bytes]:
    path = scratch() / "seed.json"
    meta = ScheduleMetadata(name="a", call={"guidance": 4.5}, objectives={"reward": Measured(value=1, low=0, high=2)})
    skip, levels = [0, 0, 0, 1], np.full((4, 3), 2)
    save_schedule(path, Schedule(_layout(), _schedule().compute, skip, levels, np.full((4, 5, 2), 0.5)), meta)
    forecasting = json.loads(path.read_text())
    save_schedule(path, _schedule(), meta)
    whole = json.loads(path.read_text())
    several = [whole, forecasting, {key: whole[key] for key in ("schema", "steps", "bits", "layout")}]
    again = [{key: whole[key] for key in ("schema", "steps", "view", "layout")}]
    # 70,000 slots of one name took minutes to be refused.
    same = {**whole, "layout": {"transformer": "T", "slots": [{"block": "a", "component": str(n)} for n in range(300)]}}
    return [json.dumps(document).encode() for document in (*several, *again, same)] + [b"[" * 5000, b'{"a":' * 300]


def _ecad_files() -> list[bytes]:
    path = scratch() / "seed-ecad.json"
    layout = ecad_layout(1, 0, {})
    write_ecad(path, Schedule(layout, np.ones((2, len(layout)), bool)), name="a")
    whole = json.loads(path.read_text())
    # A number of steps that was counted up to before it was compared.
    many = {**whole, "cache_schedule": {**whole["cache_schedule"], "num_inference_steps": 10**12}}
    return [json.dumps(whole).encode(), json.dumps(many).encode()]


def _index_files() -> list[bytes]:
    save_schedules(scratch() / "seed-index", {"a.json": ScheduleFile(_schedule(), ScheduleMetadata())})
    text = (scratch() / "seed-index" / "index.json").read_text()
    return [text.encode(), *(text.replace("a.json", name).encode() for name in ("../a.json", "C:/a.json", "NUL.json"))]


def _read_index(data: bytes) -> object:
    folder = scratch() / "index"
    folder.mkdir(exist_ok=True)
    (folder / "index.json").write_bytes(data)
    index = read_index(folder)
    for entry in index:
        assert inside(folder, entry.file).resolve().is_relative_to(folder.resolve())
    return index


def _config_files() -> list[bytes]:
    return [
        b'[model]\nmodel = "shapes"\nsteps = 20\n[search]\nevaluations = 10\nconstraint = ["fidelity>=-0.05"]\n',
        b"[method]\npool = 40\nrace = false\n",
        b"a = " + b"[" * 2000,
        b"a = " + b"9" * 5000,
        b".".join([b"a"] * 2000) + b" = 1",  # of 200,000 parts, it took all memory
    ]


_SUFFIXES = (".txt", ".json", ".jsonl", ".csv", ".tsv")


def _read_prompts(data: bytes) -> object:
    suffix = _SUFFIXES[data[0] % len(_SUFFIXES)] if data else ".txt"
    path = scratch() / f"prompts{suffix}"
    path.write_bytes(data[1:])
    found = read_prompt_set(str(path))
    assert all(prompt == prompt.strip() and "\x1b" not in prompt for prompt in found.prompts)
    return found


def _prompt_files() -> list[bytes]:
    texts = [
        (0, "a cat\n# no prompt\n\na dog\n"),
        (1, '[{"id": "1", "prompt": "a cat"}]'),
        (1, '{"a": {"category": "x", "prompt": "a cat"}}'),
        (1, '{"annotations": [{"image_id": 1, "id": 2, "caption": "a cat"}], "images": []}'),
        (2, '{"text": "a cat"}\n{"text": "a dog"}\n'),
        (3, 'Prompts,Category\n"a ""cat""",Colors\n'),
        (4, "Prompt\tCategory\tChallenge\tNote\na cat\tAnimals\tBasic\t\n"),
        (3, ",".join(str(number) for number in range(300)) + "\n"),  # columns were compared each with each
        (1, "[" * 3000),
    ]
    return [bytes([kind]) + text.encode() for kind, text in texts]


def _read_parquet(data: bytes) -> object:
    path = scratch() / "prompts.parquet"
    path.write_bytes(data)
    return read_prompt_set(str(path))


def _parquet_files() -> list[bytes]:
    import pyarrow as pa
    from pyarrow import parquet

    made = []
    for table in (
        pa.table({"prompt": ["a cat", "a dog"], "category": ["x", "y"]}),
        pa.table({"prompt": pa.array([["a"], ["b"]])}),
        pa.table({}),
    ):
        with io.BytesIO() as file:
            parquet.write_table(table, file)
            made.append(file.getvalue())
    # Statistics that do not fit made pyarrow end the process, and indices that do not, raise an error of its own.
    return [*made, base64.b64decode(_ABORTED), base64.b64decode(_BEYOND)]


def _score_blobs() -> list[bytes]:
    return [
        pack_scores({"reward": np.array([0.5, 1.0], np.float32), "psnr": np.array([30.0], np.float32)}),
        pack_scores({}),
        b'{"a": -1, "b": 2}\n\0\0\0\0',
        b'{"a": 99999999999999999999, "b": -99999999999999999998}\n\0\0\0\0',
        b"[" * 3000,
    ]


def _archives() -> list[bytes]:
    drift = Drift(("a.b", "a.c"), np.zeros((2, 3, 3), np.float32), np.ones((2, 3), np.float32))
    with io.BytesIO() as file:
        np.savez(file, slots=np.array(["a"]), distance=np.zeros((1, 2, 2), np.float32), magnitude=np.ones((1, 2)))
        return [drift.to_bytes(), file.getvalue()]


def _weights() -> list[bytes]:
    import torch
    from safetensors.torch import save

    with io.BytesIO() as file:
        torch.save({"a": torch.zeros(2)}, file)
        return [b"p" + file.getvalue(), b"s" + save({"a": torch.zeros(2)})]


def _read_weights(data: bytes) -> object:
    path = scratch() / ("weights.safetensors" if data[:1] == b"s" else "weights.pt")
    path.write_bytes(data[1:])
    try:
        return read_tensor_file(path)
    except ValueError as error:  # as its callers do
        raise RewardError(f"The weights cannot be read ({error}).") from error


def _parse_location(data: bytes) -> object:
    text = _text(data[:400]).replace("\0", "").replace("\n", " ")  # the command line writes line ends as spaces
    if "://" in text and not text.lower().startswith("sqlite"):
        # Whatever else is wrong with it: the password is not shown.
        scheme, _, rest = text.partition("://")
        secret = f"{scheme}://user:hunter2-secret@{rest.rpartition('@')[2]}"
        assert "hunter2-secret" not in redacted(secret) or not scheme or set(scheme) & set("/:@")
    split_study(text)
    return server_url(text) if is_server(text) else database_path(text)


def _parse_reference(data: bytes) -> object:
    text = _text(data[:400])
    found = parse_reference(text)
    if found is not None and found.file is not None:
        assert ".." not in found.file.split("/")
    parse_hub_id(text)
    name, _, revision = text.partition(" ")
    return reference_of(name, revision or None, None)


def _parse_expression(data: bytes) -> object:
    text = _text(data)
    return parse_constraint(text[1:]) if text[:1] == "c" else parse_sum(text[1:])


def _read_split(data: bytes) -> object:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):  # written and read by us alone
        return None
    return SplitRecord.from_dict(value) if isinstance(value, dict) else None


@cache
def made_up_database() -> Path:
    """A small study database in one file."""
    from benchmarks.made_up_study import made_up_study

    path = scratch() / "made-up.db"
    made_up_study(path, 8, size=(1, 3), prompts=["a", "b"])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma journal_mode = delete").fetchone()
    return path


@cache
def _database() -> bytes:
    return made_up_database().read_bytes()


def _read_database(data: bytes) -> object:
    """The input overwrites parts of a sound database: two bytes of place, one of length, and what to write."""
    content, at = bytearray(_database()), 0
    while at + 3 < len(data):
        place, length = int.from_bytes(data[at : at + 2], "big") * 37 % len(content), 1 + data[at + 2] % 16
        written = data[at + 3 : at + 3 + length]
        content[place : place + len(written)] = written
        at += 3 + length
    path = scratch() / "study.db"
    path.write_bytes(content)
    for finding in check_database(path).findings:
        assert finding.text.endswith("."), finding
    return read_study(path, None)


TARGETS = {
    target.name: target
    for target in (
        Target("schedule file", _as_file("schedule.json", load_schedule), _schedule_files),
        Target("ECAD file", _as_file("ecad.json", read_ecad), _ecad_files),
        Target("schedule index", _read_index, _index_files),
        Target("config file", _as_file("search.toml", read_search_file), _config_files),
        Target("prompt files", _read_prompts, _prompt_files),
        Target("parquet", _read_parquet, _parquet_files),
        Target("ImageReward's config", _as_file("med.json", read_med_config), lambda: [b"{}"]),
        Target("weights", _read_weights, _weights),
        Target("scores", unpack_scores, _score_blobs),
        Target("drift", Drift.from_bytes, _archives),
        Target("prompt split", _read_split, lambda: [b'{"name": "a", "source": "b", "seed": 0, "whole": {}}']),
        Target("study database", _read_database, lambda: [b"\x00\x10\x03abcd", b"\x20\x00\x0f0123456789abcdef"]),
        Target(
            "storage",
            _parse_location,
            lambda: [b"~nobody", b"sqlite:///a.db", b"postgresql://u:p@h:1/d?sslmode=a", b"a.db#s"],
        ),
        Target("hub reference", _parse_reference, lambda: [b"owner/name/a.json@main", b"owner/name@v1", b"a/b:c@d"]),
        Target(
            "reward and constraint", _parse_expression, lambda: [b"cfidelity>=-0.05", b"r0.8*image-reward+0.2*clip=a"]
        ),
    )
}
