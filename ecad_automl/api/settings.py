"""The settings of a search, each declared once.

Of the tables here come the options of ``ecad-automl search``, the keys of its config files, what
:func:`ecad_automl.search` checks its keywords by, and what a study keeps of its latest run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import ErrorDetails

from ecad_automl.errors import OptionError
from ecad_automl.execution.settings import Execution, ExecutorName
from ecad_automl.models.checks import Offload
from ecad_automl.wording import option
from studies.config import Deploy, GuidanceUse, Heuristics, LatencySettings, SearchConfig, Use

if TYPE_CHECKING:
    from ecad_automl.api.faults import Faults

#: Of what a study keeps.
SCHEMA = "ecad-automl/search/2"

#: The model of who names none: it needs no download.
DEFAULT_MODEL = "shapes"

_Dtype = Literal["float32", "float16", "bfloat16"]
OFFLOADS: tuple[str, ...] = get_args(Offload)
DTYPES: tuple[str, ...] = get_args(_Dtype)

T = TypeVar("T", SearchConfig, Execution)
_EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "a text in quotes",
    "bool_type": "true or false",
    "list_type": "a list of texts",
}


def setting_key(name: str) -> str:
    """The key of a setting in a file, from its name in Python."""
    return name.replace("_", "-")


def _at_least(least: float, text: str) -> Any:
    return Field(ge=least, description=text)


def _says(text: str) -> Any:
    return Field(description=text)


class _Table(BaseModel):
    """A table of a config file. Its fields are settings, with what ``--help`` says of them."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        alias_generator=setting_key,
    )


class ModelTable(_Table):
    """Which pipeline is searched, and how it generates."""

    model: Annotated[
        str,
        _says(
            "'shapes' or 'flow-shapes' (bundled), a pipeline folder, or a hub id such as "
            "PixArt-alpha/PixArt-XL-2-256x256."
        ),
    ] = DEFAULT_MODEL
    revision: Annotated[str | None, _says("Revision of a hub model.")] = None
    dtype: Annotated[_Dtype | None, _says("float32, float16 or bfloat16; by default what suits the device.")] = None
    device: Annotated[str | None, _says("Torch device, such as cuda:0; by default CUDA where there is one.")] = None
    offload: Annotated[
        Offload | None,
        _says(
            "To save GPU memory, keep there at a time one model of the pipeline (model), layers (group) or one layer "
            "(sequential); slower in this order."
        ),
    ] = None
    scheduler: Annotated[str | None, _says("Class of diffusers' schedulers; by default the model's own.")] = None
    steps: Annotated[int | None, _at_least(1, "Denoising steps; by default the model's usual count.")] = None
    guidance_scale: Annotated[float | None, _says("Guidance; by default the model's usual one.")] = None
    height: Annotated[int | None, _at_least(1, "Pixels.")] = None
    width: Annotated[int | None, _at_least(1, "Pixels.")] = None


class PromptsTable(_Table):
    """What images are made of."""

    prompts: Annotated[
        str | None, _says("File (txt, json, csv, tsv, parquet), hub data set id, or a set such as drawbench=FILE.")
    ] = None
    column: Annotated[str | None, _says("Column of the prompts, where it is not called prompt or the like.")] = None
    split: Annotated[str | None, _says("Split of a data set.")] = None
    limit: Annotated[int | None, _at_least(1, "Take only the first so many prompts.")] = None
    calibration_prompts: Annotated[
        int | None, _at_least(1, "Search on so many of the prompts, drawn evenly; confirm takes the others.")
    ] = None
    images_per_prompt: Annotated[int, _at_least(1, "Images (noise seeds) per prompt.")] = 1


class RewardTable(_Table):
    """What is maximized and minimized, within which bounds."""

    reward: Annotated[
        str | None, _says("Such as image-reward, clip=HUB-ID, 0.8*image-reward+0.2*clip, or your own module:attribute.")
    ] = None
    constraint: Annotated[
        list[str] | None,
        _says("Bound that a schedule must keep, such as 'fidelity>=-0.05'; may be given several times."),
    ] = None
    cost: Annotated[
        Literal["gmacs", "latency"], _says("What to minimize: gmacs, or latency as timed on this machine.")
    ] = "gmacs"
    latency_batch_size: Annotated[int, _at_least(1, "With --cost latency: images per timed call.")] = (
        LatencySettings.batch_size
    )
    latency_schedules: Annotated[int, _at_least(1, "With --cost latency: schedules that are timed first.")] = (
        LatencySettings.schedules
    )


class SearchTable(_Table):
    """Where the study is, and how long it searches."""

    storage: Annotated[
        str,
        _says("Study database: a path, sqlite:///FILE, or postgresql+psycopg://USER@HOST/DB."),
    ] = "sqlite:///ecad.db"
    study: Annotated[str | None, _says("Name of the study; may be left out where the database holds just one.")] = None
    evaluations: Annotated[int, _at_least(1, "Schedules to evaluate in all, earlier runs included.")] = (
        SearchConfig.evaluations
    )
    population: Annotated[int, _at_least(2, "Schedules that survive a generation and breed.")] = SearchConfig.population
    offspring: Annotated[int, _at_least(2, "Schedules evaluated in each generation.")] = SearchConfig.offspring
    init: Annotated[
        list[str] | None,
        _says("Start from another study (FILE.db or FILE.db#STUDY), or a schedule file or a folder of such."),
    ] = None
    init_limit: Annotated[int, _at_least(0, "With --init: schedules to take over at most.")] = 24
    batch_size: Annotated[int, _at_least(1, "Images per pipeline call.")] = 8
    seed: Annotated[int, _at_least(0, "Seed of the search.")] = SearchConfig.seed
    heuristics: Annotated[
        Heuristics | None,
        _says(
            "Published heuristics to evaluate first: fora, all (also TGATE, PAB, ...) or none; by default fora where "
            "schedules only reuse."
        ),
    ] = SearchConfig.heuristics
    use: Annotated[
        Use | None,
        _says(
            "What may stand in for computing: forecast (of outputs, and skipped steps), skip (whole steps alone) or "
            "reuse alone, as in ECAD; by default forecast, or what the study began with."
        ),
    ] = None
    steps_from: Annotated[
        float | None,
        Field(
            gt=0,
            le=1,
            description="Search runs of fewer steps too, from this share of the steps on; by default from the shortest "
            "of the calibration, about 0.2, or what the study began with.",
        ),
    ] = SearchConfig.steps_from
    fixed_steps: Annotated[bool, _says("Search runs of all steps alone; the same as --steps-from 1.")] = False
    guidance: Annotated[
        GuidanceUse | None,
        _says(
            "Whether to search in which steps both branches of classifier-free guidance are computed, or keep both in "
            "all; by default search, or what the study began with."
        ),
    ] = None
    deploy: Annotated[
        Deploy | None,
        _says(
            "Search what other engines run alone, for export --to: whole-steps, by one mask for a run, with the first "
            "block computed in every step; by default everything, or what the study began with."
        ),
    ] = None
    fit: Annotated[
        bool | None,
        _says(
            "Fit what the scheduler is given under each candidate to the uncached run, by four further images; by "
            "default wherever that can be done, or as the study began."
        ),
    ] = None
    race: Annotated[bool, _says("Stop candidates that promise little after the most telling images.")] = (
        SearchConfig.race
    )
    surrogate: Annotated[bool, _says("Let the surrogate choose candidates.")] = SearchConfig.surrogate
    backup_every: Annotated[
        int, _at_least(0, "Generations between two backups of the study file, FILE.backup; 0 makes none.")
    ] = 1


class ExecutionTable(_Table):
    """Where candidates are evaluated."""

    executor: Annotated[
        ExecutorName, _says("Where candidates are evaluated: local (this process), processes of this machine, or ray.")
    ] = Execution.executor
    workers: Annotated[int, _at_least(1, "Candidates evaluated at a time by the executor.")] = Execution.workers
    address: Annotated[
        str | None, _says("Of a running Ray cluster, such as auto; by default one starts on this machine.")
    ] = None
    gpus_per_worker: Annotated[
        float | None, _at_least(0, "With ray: GPUs of each worker; by default 1 where the search is on a GPU.")
    ] = None
    evaluation_timeout: Annotated[
        float | None,
        Field(
            gt=0,
            description="With processes or ray: seconds that a worker may take over a candidate; one that hangs is "
            "ended.",
        ),
    ] = None
    asynchronous: Annotated[
        bool,
        _says(
            "With several workers: propose as results arrive, or finish each generation first, which finds the same "
            "whatever the number of workers."
        ),
    ] = SearchConfig.asynchronous


class MethodTable(_Table):
    """Settings of :class:`~studies.config.SearchConfig` that have no option of their own; its fields follow that."""


if not TYPE_CHECKING:
    _WITH_OPTION = {*SearchTable.model_fields, *ExecutionTable.model_fields}
    _KINDS = get_type_hints(SearchConfig)
    MethodTable = create_model(
        "MethodTable",
        __base__=MethodTable,
        __module__=__name__,
        **{
            item.name: (_KINDS[item.name], item.default)
            for item in fields(SearchConfig)
            if item.name not in _WITH_OPTION
        },
    )

#: The tables by name.
TABLES: Mapping[str, type[_Table]] = {
    "model": ModelTable,
    "prompts": PromptsTable,
    "reward": RewardTable,
    "search": SearchTable,
    "execution": ExecutionTable,
    "method": MethodTable,
}


class SearchFile(BaseModel):
    """The settings of a search: a table for each of its parts, with keys as the long options of the command.

    Read from a file by :func:`~ecad_automl.api.config_file.read_search_file`, from a study by
    :func:`~ecad_automl.api.config_file.resolved_config`. What was not said has its default.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    model: ModelTable = ModelTable()
    prompts: PromptsTable = PromptsTable()
    reward: RewardTable = RewardTable()
    search: SearchTable = SearchTable()
    execution: ExecutionTable = ExecutionTable()
    method: MethodTable = MethodTable()

    @classmethod
    def from_options(cls, options: Mapping[str, Any], faults: Faults | None = None) -> Self:
        """The settings that some options say.

        Args:
            options: values by the names of settings in Python; None and empty lists are left out, as are names that
                are no setting of a search.
            faults: notes the values that are out of range, which then count as not said.

        Raises:
            OptionError: values are out of range, and nothing notes them; the message names all of them.
        """
        said = {name: value for name, value in options.items() if value is not None and value not in ([], ())}
        tables = {
            table: {setting_key(name): said[name] for name in kind.model_fields if name in said}
            for table, kind in TABLES.items()
        }
        try:
            return cls.model_validate(tables)
        except ValidationError as error:
            found = {fault["loc"][:2]: fault for fault in reversed(error.errors(include_url=False))}
            told = {at: f"{option(str(at[1]).replace('-', '_'))} {value_fault(found[at])}" for at in reversed(found)}
            if faults is None:
                raise OptionError(" ".join(told.values())) from error
            faults.add(*map(OptionError, told.values()))
            for table, key in told:
                del tables[str(table)][str(key)]
            return cls.model_validate(tables)

    def options(self) -> dict[str, Any]:
        """What was said, by the names of settings in Python."""
        return {name: value for table in self._tables() for name, value in table.model_dump(exclude_unset=True).items()}

    def values(self) -> dict[str, Any]:
        """All settings, with defaults for those that were not said, by their names in Python."""
        return {name: value for table in self._tables() for name, value in table.model_dump().items()}

    def build(self, kind: type[T]) -> T:
        """What these settings make of a class whose fields are settings.

        Raises:
            EcadError: they contradict each other.
        """
        values = self.values()
        return kind(**{item.name: values[item.name] for item in fields(kind)})

    def latency(self) -> LatencySettings | None:
        """How latency is modeled where it is the cost, None where MACs are.

        Raises:
            OptionError: see :class:`~studies.config.LatencySettings`.
        """
        if self.reward.cost == "gmacs":
            return None
        return LatencySettings(self.reward.latency_batch_size, self.reward.latency_schedules)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """What was said, by table and key."""
        tables = self.model_dump(by_alias=True, exclude_unset=True, exclude_none=True)
        return {name: table for name, table in tables.items() if table}

    def to_toml(self) -> str:
        """The text of a file that ``ecad-automl search --config`` reads."""
        import tomli_w

        return tomli_w.dumps(self.to_dict())

    def to_bytes(self) -> bytes:
        """What a study keeps; see :func:`~ecad_automl.api.config_file.resolved_config`."""
        return json.dumps({"schema": SCHEMA, "settings": self.to_dict()}).encode()

    def _tables(self) -> tuple[_Table, ...]:
        return self.model, self.prompts, self.reward, self.search, self.execution, self.method


def help_of(name: str) -> str:
    """What ``--help`` says of a setting."""
    found = [kind.model_fields[name].description for kind in TABLES.values() if name in kind.model_fields]
    return found[0] or ""


def table_keys() -> dict[str, tuple[str, ...]]:
    """The keys of each table."""
    return {name: tuple(map(setting_key, kind.model_fields)) for name, kind in TABLES.items()}


def value_fault(error: ErrorDetails) -> str:
    """The end of a sentence that begins with the name of the setting."""
    return f"is {shown(error['input'])}, but {_expected(error)} is expected."


def _expected(error: ErrorDetails) -> str:
    context: dict[str, Any] = error.get("ctx", {})
    if error["type"] == "literal_error":
        return f"one of {context['expected']}"
    if error["type"] == "greater_than_equal":
        return f"a number of at least {context['ge']:g}"
    if error["type"] == "greater_than":
        return f"a number above {context['gt']:g}"
    return _EXPECTED.get(error["type"], error["msg"])


def shown(value: object) -> str:
    """A value as it stands in a file, and not too long."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:56]} ..."
