"""Sound documents of each target that has a structure, to be changed in one place."""

from __future__ import annotations

import io
import json
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import cache, partial
from typing import Any

import numpy as np
import tomli_w

from ecad_automl.api.config_file import resolved_config
from ecad_automl.api.settings import SCHEMA
from ecad_automl.api.stored import read_study
from ecad_automl.errors import StorageError
from ecad_automl.schedules.drift import Drift
from ecad_automl.schedules.genomes import Genomes
from ecad_automl.schedules.guidance import BOTH, KEEP, NONE
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import Measured, ScheduleMetadata, to_document
from storage import Store, check_database
from studies.config import SETTINGS
from tests.fuzz.structured import Changed, changed, near_text
from tests.fuzz.targets import TARGETS, Target, made_up_database, scratch

__all__ = ["STRUCTURED", "STRUCTURED_TARGETS"]

_STEPS = 5


def _layout() -> Layout:
    slots = [Slot(f"blocks.{block}", name, None, 10) for block in range(2) for name in ("attn1", "ff")]
    return Layout("Made", tuple(slots), 5, {"branches": 2})


def _schedules() -> list[Schedule]:
    """One that computes and reuses, one that skips and forecasts, and one that leaves out guidance."""
    layout, shape = _layout(), (_STEPS, 4)
    compute = np.random.default_rng(0).integers(0, 2, shape)
    compute[:2] = 1
    skip, levels = [0, 0, 0, 1, 0], np.full((_STEPS, 3), 2)
    weights = np.full((_STEPS, 5, 2), 0.5)
    actions = [BOTH, BOTH, NONE, KEEP, KEEP + 2]
    return [
        Schedule(layout, compute),
        Schedule(layout, compute, skip, levels, weights),
        Schedule(layout, compute, skip, levels, weights, actions, np.full((_STEPS, 2), 0.5)),
    ]


def _schedule_documents() -> list[Any]:
    measured = {
        "reward": Measured(value=1.0, low=0.5, high=1.5, confidence=0.95, samples=8),
        "gmacs": Measured(value=2),
    }
    meta = ScheduleMetadata(
        name="a",
        model="owner/name",
        scheduler="DDIMScheduler",
        height=64,
        width=64,
        guidance_scale=4.5,
        scheduler_config={"beta_start": 0.1, "steps_offset": 1},
        call={"guidance": 4.5, "names": ["a"]},
        objectives=measured,
        survives=True,
        trial=3,
        versions={"torch": "2.6"},
    )
    whole = [json.loads(json.dumps(to_document(schedule, meta))) for schedule in _schedules()]
    # The hash, and bits beside a view, refuse nearly every change of a schedule.
    unsigned = [{key: value for key, value in one.items() if key not in ("sha256", "view")} for one in whole]
    return [*whole, *unsigned, *unsigned]


def _ecad_documents() -> list[Any]:
    return [json.loads(TARGETS["ECAD file"].seeds()[0])]


def _index_documents() -> list[Any]:
    return [json.loads(TARGETS["schedule index"].seeds()[0])]


def _config_documents() -> list[Any]:
    model = {"model": "shapes", "steps": 20, "guidance-scale": 4.5, "height": 64, "width": 64}
    reward = {"reward": "fidelity", "constraint": ["fidelity>=-0.05"]}
    search, method = {"evaluations": 10, "offspring": 8, "seed": 0, "population": 16}, {"pool": 40}
    return [{"model": model, "reward": reward, "search": search, "method": method}]


def _toml(document: Any) -> bytes:
    if not isinstance(document, dict):
        raise TypeError("A TOML file is a table.")
    return tomli_w.dumps(document).encode("utf-8", "surrogatepass")


def _prompt_documents() -> list[Any]:
    entries = [{"id": str(number), "prompt": f"a cat {number}", "category": "x"} for number in range(3)]
    captions = [{"image_id": number, "id": number + 1, "caption": f"a dog {number}"} for number in range(2)]
    return [
        entries,
        {entry["id"]: entry for entry in entries},
        {"annotations": captions, "images": [{"id": 0}, {"id": 1}]},
    ]


def _med_config_documents() -> list[Any]:
    """As ImageReward's authors publish it, made small."""
    return [
        {
            "architectures": ["BertModel"],
            "add_cross_attention": True,
            "attention_probs_dropout_prob": 0.1,
            "encoder_width": 16,
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1,
            "hidden_size": 16,
            "initializer_range": 0.02,
            "intermediate_size": 32,
            "layer_norm_eps": 1e-12,
            "max_position_embeddings": 64,
            "model_type": "bert",
            "num_attention_heads": 2,
            "num_hidden_layers": 2,
            "pad_token_id": 0,
            "type_vocab_size": 2,
            "vocab_size": 100,
        }
    ]


def _json(document: Any, before: bytes = b"") -> bytes:
    return before + json.dumps(document).encode()


def _drift_documents() -> list[Any]:
    one, line, square = np.ones((2, 3), np.float32), np.ones(3, np.float32), np.zeros((3, 3), np.float32)
    drift = Drift(("a.b", "a.c"), np.zeros((2, 3, 3), np.float32), one, square, line, line, "", square, line)
    with np.load(io.BytesIO(drift.to_bytes())) as archive:  # our own, of a moment ago
        return [{name: archive[name] for name in archive.files}]


def _changed_arrays(arrays: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """One array with another number, another shape or another type, or none of it."""
    name = rng.choice(list(arrays))
    array = arrays[name]
    ways: list[Callable[[], Any]] = [
        lambda: array[..., :-1] if array.ndim else array,
        lambda: array[None],
        lambda: array.astype(rng.choice(("U8", "i8", "f8", "?", "f2")), copy=True),
        lambda: None,
    ]
    if array.dtype.kind == "f":
        ways += [partial(_other_number, array, rng)] * 4
    other = rng.choice(ways)()
    return {key: value for key, value in {**arrays, name: other}.items() if value is not None}


def _other_number(array: Any, rng: random.Random) -> Any:
    other = array.copy()
    other.flat[rng.randrange(array.size)] = rng.choice((0.5, 2.0, -1.0, 1e30, float("nan"), float("inf")))
    return other


def _npz(arrays: dict[str, Any]) -> bytes:
    with io.BytesIO() as file:
        np.savez(file, **arrays)
        return file.getvalue()


def _split_documents() -> list[Any]:
    parts = {name: {"size": size, "digest": 8 * "0f"} for name, size in (("calibration", 4), ("held_out", 8))}
    return [{"name": "a", "source": "b", "seed": 0, "whole": {"size": 12, "digest": 8 * "0f"}, **parts}]


def _genomes() -> list[str]:
    genomes = [schedule.to_genome() for schedule in _schedules()]
    return [*genomes, "3:fff0", "3:ff00/20/000010002"]


def _changed_genome(genome: str, rng: random.Random) -> str:
    """Most of the time another digit, since one more or less is refused by its number."""
    at = rng.randrange(len(genome))
    return genome[:at] + rng.choice("0123f") + genome[at + 1 :] if rng.random() < 0.7 else near_text(genome, rng)


@cache
def _reader() -> Genomes:
    layout = _layout()
    names = tuple(slot.name for slot in layout.slots)

    def drift(steps: int) -> bytes:
        count = len(names)
        rng = np.random.default_rng(steps)
        distance = rng.random((count, steps, steps)).astype(np.float32)
        distance = distance + distance.transpose(0, 2, 1)
        distance[:, np.arange(steps), np.arange(steps)] = 0
        ones = np.ones((count, steps), np.float32)
        return Drift(names, distance, ones, distance[0], ones[0], None, "", distance[0], ones[0]).to_bytes()

    return Genomes(layout, _STEPS, lambda: drift(_STEPS), lambda steps: drift(min(steps, 50)))


def _read_genome(data: bytes) -> object:
    text = data.decode("utf-8", "surrogateescape")
    schedule = _reader().schedule(text)
    _reader().outline(text)
    return schedule


_REFERENCES = ["owner/name/a.json@main", "owner/name@v1", "owner/name/folder/b.json", "owner/name", "a/b@refs/pr/1"]
_STORAGES = ["sqlite:///a.db", "a.db#study", "postgresql+psycopg://u:p@h:1/d?sslmode=require", "folder/a.db", "~/a.db"]
_EXPRESSIONS = [
    *("cfidelity>=-0.05", "cclip<=0.3", "cimage-reward>=-0.1"),
    *("r0.8*image-reward+0.2*clip", "rfidelity", "rclip+pickscore"),
]


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


@cache
def _study() -> bytes:
    """A study database that keeps the settings of its search."""
    path = scratch() / "settings.db"
    path.write_bytes(made_up_database().read_bytes())
    with Store.open(path) as store:
        (name,) = store.studies()
        settings = {"schema": SCHEMA, "settings": _config_documents()[0]}
        store.save_calibration(name, SETTINGS, json.dumps(settings).encode())
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma journal_mode = delete").fetchone()
    return path.read_bytes()


@cache
def _cells() -> list[Any]:
    """The cells of our tables in it, each with its table, column and row; what is JSON in them is read."""
    path = scratch() / "cells.db"
    path.write_bytes(_study())
    found = []
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("select name from sqlite_master where type = 'table' and name like 'ecad_%'")
        for (table,) in tables.fetchall():
            cursor = connection.execute(f"select rowid, * from {table}")
            names = [column[0] for column in cursor.description][1:]
            for row, *values in cursor:
                found += [_cell(table, name, row, value) for name, value in zip(names, values, strict=True)]
    return found


def _cell(table: str, name: str, row: int, value: Any) -> dict[str, Any]:
    kind = "text" if isinstance(value, str) else "bytes" if isinstance(value, bytes) else "number"
    if kind != "number":
        try:
            return {"at": (table, name, row), "kind": f"{kind} of JSON", "value": json.loads(value)}
        except ValueError:
            value = value if isinstance(value, str) else value.decode("latin-1")
    return {"at": (table, name, row), "kind": kind, "value": value}


def _changed_cell(cell: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    return {**cell, "value": changed(cell["value"], rng)}


def _read_study_with(data: bytes) -> object:
    """The study with one cell as the input says."""
    cell = json.loads(data)
    table, name, row = cell["at"]
    value = json.dumps(cell["value"]) if cell["kind"].endswith("JSON") else cell["value"]
    if cell["kind"].startswith("bytes") and isinstance(value, str):
        value = value.encode("latin-1", "replace")
    path = scratch() / "changed.db"
    path.write_bytes(_study())
    with closing(sqlite3.connect(path)) as connection:
        try:
            connection.execute(f"update {table} set {name} = ? where rowid = ?", (value, row))
            connection.commit()
        except (sqlite3.Error, OverflowError, UnicodeEncodeError) as error:
            raise StorageError(f"SQLite takes no such value: {type(error).__name__}.") from error
    for finding in check_database(path).findings:
        assert finding.text.endswith("."), finding
    resolved_config(path)
    return read_study(path, None)


#: Targets that are for documents alone.
STRUCTURED_TARGETS = {
    target.name: target
    for target in (
        Target("genome", _read_genome, lambda: [_encoded(genome) for genome in _genomes()]),
        Target("row of a study", _read_study_with, lambda: [_json(cell) for cell in _cells()[::17]]),
    )
}

STRUCTURED: dict[str, Changed] = {
    "schedule file": Changed(_schedule_documents, _json),
    "ECAD file": Changed(_ecad_documents, _json),
    "schedule index": Changed(_index_documents, _json),
    "config file": Changed(_config_documents, _toml),
    "prompt files": Changed(_prompt_documents, partial(_json, before=b"\x01")),
    "ImageReward's config": Changed(_med_config_documents, _json),
    "drift": Changed(_drift_documents, _npz, _changed_arrays),
    "prompt split": Changed(_split_documents, _json),
    "genome": Changed(_genomes, _encoded, _changed_genome),
    "row of a study": Changed(_cells, _json, _changed_cell),
    "storage": Changed(lambda: list(_STORAGES), _encoded, near_text),
    "hub reference": Changed(lambda: list(_REFERENCES), _encoded, near_text),
    "reward and constraint": Changed(lambda: list(_EXPRESSIONS), _encoded, near_text),
}
"""By the name of a target: sound documents of it, and how one thing in them is changed."""
