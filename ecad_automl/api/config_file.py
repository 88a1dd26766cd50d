"""Reading the settings of a search, from a TOML file or from its study; every fault is told in one sentence."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ecad_automl.api.settings import SCHEMA, TABLES, SearchFile, shown, table_keys, value_fault
from ecad_automl.api.stored import find_study
from ecad_automl.errors import FileError, StorageError
from ecad_automl.files.paths import expand_home
from ecad_automl.presets import preset_path
from storage import Store, redacted
from studies.config import SETTINGS

_MOST_BYTES = 2**20

# A key of thousands of parts takes tomllib memory that grows with the square of their number.
_MOST_PARTS = 16
_PART = r"(?:[\w-]++|\"[^\"\n]*+\"|'[^'\n]*+')"
_LONG_KEY = re.compile(rf"(?<![\w-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{_MOST_PARTS}}}")
#: Here the offspring were called population, the population parents, and the least rank correlation trust.
_FIRST_SCHEMA = "ecad-automl/search/1"


def read_search_file(path: str | Path) -> SearchFile:
    """Read the settings of a search.

    The file has the tables ``[model]``, ``[prompts]``, ``[reward]``, ``[search]`` and ``[method]``, each of which may
    be left out, with the long options of ``ecad-automl search`` as keys; ``[method]`` holds the settings of
    :class:`~studies.config.SearchConfig` that have no option. Paths are relative to the working directory, as those on
    the command line are.

    Args:
        path: the TOML file.

    Raises:
        FileError: there is no such file, or it is no TOML, or has an unknown key or a value of another kind; the
            message names the line where that can be told.
    """
    text = _text(expand_home(path))
    if _LONG_KEY.search(text):
        raise FileError(f"The config file {path} has a key of more than {_MOST_PARTS} parts; its keys have one or two.")
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FileError(f"The config file {path} is no TOML: {error}.") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, or lists in lists in lists
        raise FileError(f"The config file {path} is TOML that cannot be read ({error}); check it.") from error
    try:
        return SearchFile.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        table, key = (*map(str, first["loc"]), "")[:2]
        line = _line(text, table, key)
        where = f"The config file {path}" + ("" if line is None else f", line {line}")
        raise FileError(f"{where}: {_fault(first, table, key)}") from error


def preset_options(name: str | None) -> dict[str, Any]:
    """What a preset says, by the names of options' parameters; nothing without one.

    Raises:
        StudyError: there is no such preset.
    """
    return {} if name is None else read_search_file(preset_path(name)).options()


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise FileError(f"The config file {path} cannot be read ({error.strerror}); give a TOML file.") from error
    if len(data) > _MOST_BYTES:
        raise FileError(f"The config file {path} has more than {_MOST_BYTES} bytes; it can hardly be one.")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise FileError(f"The config file {path} is not UTF-8; save it so.") from error


def _fault(error: ErrorDetails, table: str, key: str) -> str:
    """What is wrong, and what to do."""
    if table not in TABLES:
        return _unknown_table(table, error["input"])
    if not key:
        return f"{table} is {shown(error['input'])}, but a table is expected; write [{table}] above its keys."
    if error["type"] == "extra_forbidden":
        return _unknown_key(table, key)
    return f"{key} in [{table}] {value_fault(error)}"


def _unknown_table(name: str, value: object) -> str:
    if isinstance(value, dict):
        return f"there is no table [{name}]; {_instead(name, TABLES, '[{}]')}"
    homes = [table for table, keys in table_keys().items() if name in keys]
    if homes:
        return f"the key {name!r} stands outside of all tables; put it under [{homes[0]}]."
    return (
        f"there is no key {name!r}; {_instead(name, [key for keys in table_keys().values() for key in keys], '{!r}')}"
    )


def _unknown_key(table: str, key: str) -> str:
    homes = [name for name, keys in table_keys().items() if key in keys]
    if homes:
        return f"the key {key!r} belongs under [{homes[0]}], not [{table}]; move it there."
    return f"[{table}] has no key {key!r}; {_instead(key, table_keys()[table], '{!r}')}"


def _instead(name: str, known: Iterable[str], form: str) -> str:
    names = list(known)
    close = get_close_matches(name.replace("_", "-").lower(), names, 1)
    if close:
        return f"did you mean {form.format(close[0])}?"
    return f"choose one of {', '.join(map(form.format, names))}."


def _line(text: str, table: str, key: str) -> int | None:
    """The line, from 1, in which a key or the heading of a table stands; None where it is written in another way."""
    name = re.escape(key or table)
    heading = re.compile(rf"\s*\[\s*[\"']?{re.escape(table)}[\"']?\s*\]")
    entry = re.compile(rf"\s*[\"']?{name}[\"']?\s*=")
    dotted = re.compile(rf"\s*[\"']?{re.escape(table)}[\"']?\s*\.\s*[\"']?{name}[\"']?\s*=")
    inside = at_top = not key
    for number, line in enumerate(text.splitlines(), start=1):
        if re.match(r"\s*\[", line):
            inside, at_top = bool(heading.match(line)), False
            if inside and not key:
                return number
        elif ((inside if key else at_top) and entry.match(line)) or (key and dotted.match(line)):
            return number
    return None


def resolved_config(storage: str | Path, study: str | None = None) -> SearchFile:
    """The settings of the latest run of a study, defaults included; settings that this version lacks are left out.

    What a search from Python was given as an object is not in them, but for the names of the model and the reward:
    a list of prompts, for one, has no form in a file.

    Args:
        storage: path or URL of the study database.
        study: its name; may be left out where the file holds just one.

    Raises:
        StorageError: the file is missing or damaged, or was last written before settings were kept.
        StudyError: there is no such study, or none was named where there are several.
    """
    with Store.open(storage, read_only=True) as store:
        name, _ = find_study(store, storage, study)
        data = store.calibration(name, SETTINGS)
    where = redacted(storage)
    if data is None:
        raise StorageError(
            f"The study {name!r} in {where} keeps no settings, since it was last searched before they were kept; "
            "search on to have them."
        )
    try:
        kept = json.loads(data)
        if kept["schema"] not in (SCHEMA, _FIRST_SCHEMA):
            raise StorageError(
                f"The settings of the study {name!r} in {where} are of the schema {kept['schema']!r}, not {SCHEMA}; "
                "upgrade ecad-automl."
            )
        tables = _renamed(kept["settings"]) if kept["schema"] == _FIRST_SCHEMA else kept["settings"]
        # A version that had more settings may have kept them.
        known = {
            table: {key: value for key, value in tables.get(table, {}).items() if key in keys}
            for table, keys in table_keys().items()
        }
        return SearchFile.model_validate(known)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StorageError(
            f"The settings of the study {name!r} in {where} cannot be read ({type(error).__name__}); restore the file."
        ) from error


def _renamed(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Tables of the first schema in the names of this one."""
    found = {name: dict(table) for name, table in tables.items()}
    search, method = found.setdefault("search", {}), found.get("method", {})
    if "population" in search:
        search["offspring"] = search.pop("population")
    if "parents" in method:
        search["population"] = method.pop("parents")
    if "trust" in method:
        method["min-rank-correlation"] = method.pop("trust")
    return found
