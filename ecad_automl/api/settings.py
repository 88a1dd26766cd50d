"""The settings of a search as a TOML file, and as a study keeps them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from ecad_automl.api.stored import find_study
from ecad_automl.api.value_fault import value_fault
from ecad_automl.errors import StorageError, StudyError
from ecad_automl.execution.settings import ExecutorName
from storage import Store, shown
from studies.config import SETTINGS, Heuristics, SearchConfig

__all__ = ["TABLES", "MethodTable", "SearchFile", "resolved_config", "table_keys"]

_SCHEMA = "ecad-automl/search/2"
#: Here the offspring were called population, and the population parents.
_FIRST_SCHEMA = "ecad-automl/search/1"

Count = Annotated[int, Field(ge=1)]


def _key(name: str) -> str:
    return name.replace("_", "-")


class _Table(BaseModel):
    """A table of the file: what is None was not said, and is as the command has it by default."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, alias_generator=_key, validate_default=False
    )


class ModelTable(_Table):
    """Which pipeline is searched, and how it generates; keys as the options of ``ecad-automl search``."""

    model: str | None = None
    revision: str | None = None
    dtype: Literal["float32", "float16", "bfloat16"] | None = None
    device: str | None = None
    scheduler: str | None = None
    steps: Count | None = None
    guidance_scale: float | None = None
    height: Count | None = None
    width: Count | None = None


class PromptsTable(_Table):
    """What images are made of."""

    prompts: str | None = None
    column: str | None = None
    split: str | None = None
    limit: Count | None = None
    calibration_prompts: Count | None = None
    images_per_prompt: Count | None = None


class RewardTable(_Table):
    """What is maximized and minimized, within which bounds."""

    reward: str | None = None
    constraint: list[str] | None = None
    cost: Literal["gmacs", "latency"] | None = None
    latency_batch_size: Count | None = None
    latency_schedules: Count | None = None


class SearchTable(_Table):
    """Where the study is, and how long it searches."""

    storage: str | None = None
    study: str | None = None
    evaluations: Count | None = None
    population: Annotated[int, Field(ge=2)] | None = None
    offspring: Annotated[int, Field(ge=2)] | None = None
    init: list[str] | None = None
    init_limit: Annotated[int, Field(ge=0)] | None = None
    batch_size: Count | None = None
    seed: Annotated[int, Field(ge=0)] | None = None
    heuristics: Heuristics | None = None
    race: bool | None = None
    surrogate: bool | None = None
    backup_every: Annotated[int, Field(ge=0)] | None = None


class ExecutionTable(_Table):
    """Where candidates are evaluated."""

    executor: ExecutorName | None = None
    workers: Count | None = None
    address: str | None = None
    gpus_per_worker: Annotated[float, Field(ge=0)] | None = None
    evaluation_timeout: Annotated[float, Field(gt=0)] | None = None
    asynchronous: bool | None = None


class MethodTable(_Table):
    """Settings of :class:`~studies.config.SearchConfig` that have no option of their own; its fields follow that."""

    race_share: Annotated[float, Field(ge=0)] | None = None

    @classmethod
    def from_config(cls, config: SearchConfig) -> MethodTable:
        """What a configuration says beyond the options of the command."""
        values = {_key(name): getattr(config, name) for name in _WITHOUT_OPTION}
        return _Method.model_validate({**values, **({"race-share": config.race} if config.race else {})})

    def config(self, *, race: bool = True, **options: Any) -> SearchConfig:
        """The configuration of these settings.

        Args:
            race: whether candidates are stopped early at all.
            **options: the fields of the configuration that are options of the command.

        Raises:
            StudyError: a number is out of range.
        """
        further = self.model_dump(exclude_none=True)
        share = further.pop("race_share", 1.0)
        return SearchConfig(**options, race=share if race else 0.0, **further)


#: What the command has an option for, if of another name, or in part.
_WITH_OPTION = ("evaluations", "population", "offspring", "surrogate", "heuristics", "race", "seed", "asynchronous")
_WITHOUT_OPTION = {name: kind for name, kind in get_type_hints(SearchConfig).items() if name not in _WITH_OPTION}
if TYPE_CHECKING:
    _Method = MethodTable
else:
    _Method = create_model(
        "_Method",
        __base__=MethodTable,
        __module__=__name__,
        **{name: (kind | None, None) for name, kind in _WITHOUT_OPTION.items()},
    )


class SearchFile(BaseModel):
    """The settings of a search: a table for each of its parts, with keys as the long options of the command.

    Read from a file by :func:`~ecad_automl.api.config_file.read_search_file`, from a study by
    :func:`resolved_config`.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    model: ModelTable = ModelTable()
    prompts: PromptsTable = PromptsTable()
    reward: RewardTable = RewardTable()
    search: SearchTable = SearchTable()
    execution: ExecutionTable = ExecutionTable()
    method: _Method = _Method()

    @classmethod
    def from_options(cls, options: Mapping[str, Any], method: MethodTable | None = None) -> Self:
        """The file of options.

        Args:
            options: values by the names of their parameters, ``images_per_prompt`` for ``--images-per-prompt``; None
                and empty lists are left out, as are names that are no option of a search.
            method: the settings without an option.

        Raises:
            StudyError: a value is out of range.
        """
        said = {name: value for name, value in options.items() if value is not None and value not in ([], ())}
        tables = {
            table: {_key(name): said[name] for name in kind.model_fields if name in said}
            for table, kind in TABLES.items()
            if table != "method"
        }
        try:
            return cls.model_validate({**tables, "method": method or _Method()})
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise StudyError(f"The setting {first['loc'][1]} {value_fault(first)}") from error

    def options(self) -> dict[str, Any]:
        """What was said of the options, by the names of their parameters."""
        tables = (self.model, self.prompts, self.reward, self.search, self.execution)
        return {name: value for table in tables for name, value in table.model_dump(exclude_none=True).items()}

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """What was said, by table and key."""
        tables = self.model_dump(by_alias=True, exclude_none=True)
        return {name: table for name, table in tables.items() if table}

    def to_toml(self) -> str:
        """The text of a file that ``ecad-automl search --config`` reads."""
        import tomli_w

        return tomli_w.dumps(self.to_dict())

    def to_bytes(self) -> bytes:
        """What a study keeps; see :func:`resolved_config`."""
        return json.dumps({"schema": _SCHEMA, "settings": self.to_dict()}).encode()


#: The tables by name.
TABLES: Mapping[str, type[_Table]] = {
    "model": ModelTable,
    "prompts": PromptsTable,
    "reward": RewardTable,
    "search": SearchTable,
    "execution": ExecutionTable,
    "method": _Method,
}


def table_keys() -> dict[str, tuple[str, ...]]:
    """The keys of each table."""
    return {name: tuple(map(_key, kind.model_fields)) for name, kind in TABLES.items()}


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
    where = shown(storage)
    if data is None:
        raise StorageError(
            f"The study {name!r} in {where} keeps no settings, since it was last searched before they were kept; "
            "search on to have them."
        )
    try:
        kept = json.loads(data)
        tables = kept.get("settings", {})
        if kept["schema"] == _FIRST_SCHEMA:
            tables = _renamed(tables)
        elif kept["schema"] != _SCHEMA:
            raise StorageError(
                f"The settings of the study {name!r} in {where} are of the schema {kept['schema']!r}, not {_SCHEMA}; "
                "upgrade ecad-automl."
            )
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
    return found
