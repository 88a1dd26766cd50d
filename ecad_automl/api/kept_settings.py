"""The settings that a study keeps of its latest run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ecad_automl.api.settings import SCHEMA, SearchFile, table_keys
from ecad_automl.api.stored import find_study
from ecad_automl.errors import StorageError
from storage import Store, redacted
from studies.config import SETTINGS

#: Here the offspring were called population, the population parents, and the least rank correlation trust.
_FIRST_SCHEMA = "ecad-automl/search/1"


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
    except (ValueError, KeyError, TypeError, ValidationError) as error:
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
