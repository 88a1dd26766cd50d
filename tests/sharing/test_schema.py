from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings

from ecad_automl.errors import FileError
from ecad_automl.schedules.fitted import as_it_is
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import ScheduleMetadata, from_document, schedule_sha256, to_document
from ecad_automl.schedules.schema import schedule_schema
from tests.sharing.examples import METADATA, METADATAS, every, forecasting, guided, schedules

VALIDATOR = jsonschema.Draft202012Validator(schedule_schema())


def test_the_schema_is_one_of_draft_2020_12() -> None:
    schema = schedule_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)


@settings(max_examples=60)
@given(schedule=schedules(), metadata=METADATAS)
def test_whatever_is_written_is_accepted_and_read_again(schedule: Schedule, metadata: ScheduleMetadata) -> None:
    document = json.loads(json.dumps(to_document(schedule, metadata)))
    VALIDATOR.validate(document)
    file = from_document(document, "here")
    assert (file.schedule, file.metadata) == (schedule, metadata)


def fitted(seed: int) -> Schedule:
    schedule = guided(seed)
    table = as_it_is(schedule.steps)
    table[1:, 1] = np.where(schedule.sources[0, 1:, -1] >= 0, 0.5, 0.0)
    table[:, 0] = np.where(schedule.skip & (table[:, 1] != 0), 0.0, 1.0)
    return schedule.with_fitted(table)


@pytest.mark.parametrize(("make", "version"), [(forecasting, 2), (guided, 2), (fitted, 3)])
@pytest.mark.parametrize("seed", range(20))
def test_so_are_skipped_steps_forecasts_guidance_and_what_was_fitted(
    make: Callable[[int], Schedule], version: int, seed: int
) -> None:
    schedule = make(seed)
    document = json.loads(json.dumps(to_document(schedule, METADATA)))
    assert document["schema"] == f"ecad-automl/schedule/{version}"
    VALIDATOR.validate(document)
    assert from_document(document, "here").schedule == schedule
    for name in ("bits", "view", "sha256"):
        assert (
            from_document({key: value for key, value in document.items() if key != name}, "here").schedule == schedule
        )


def changed(**fields: Any) -> dict[str, Any]:
    document = to_document(every(2), METADATA) | fields
    return {key: value for key, value in document.items() if value != "gone"}


@pytest.mark.parametrize(
    "document",
    [
        changed(schema="ecad-automl/schedule/4"),
        changed(schema="ecad-automl/schedule/3"),
        changed(schema="gone"),
        changed(schema="ecad-automl/schedule/2"),
        changed(steps="gone"),
        changed(steps=0),
        changed(steps="6"),
        changed(steps=True),
        changed(layout="gone"),
        changed(layout={"transformer": "T", "slots": []}),
        changed(layout={"transformer": "T", "slots": [{"block": "b"}]}),
        changed(layout={"slots": [{"block": "b", "component": "c"}]}),
        changed(layout={"transformer": "T", "slots": [{"block": "b", "component": "c", "macs": -1}]}),
        changed(bits="gone", view="gone"),
        changed(bits="xyz"),
        changed(bits="fff"),
        changed(bits=[1, 0]),
        changed(view=[]),
        changed(view={"attn": "110"}),
        changed(view={"attn": ["1", "2"]}),
        changed(sha256="0123"),
        changed(sha256=None),
        changed(metadata=[]),
        changed(metadata={"height": "256"}),
        changed(metadata={"height": 0}),
        changed(metadata={"trial": -1}),
        changed(metadata={"call": {"os.system('x')": 1}}),
        changed(metadata={"objectives": {"reward": {"low": 1.0}}}),
        changed(metadata={"objectives": {"reward": {"value": 1.0, "confidence": 95}}}),
        changed(metadata={"versions": {"torch": 2}}),
    ],
    ids=lambda document: json.dumps({k: v for k, v in document.items() if v != changed().get(k)})[:60],
)
def test_damaged_documents_are_refused_by_the_schema_and_by_the_reader(document: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(document)
    with pytest.raises(FileError):
        from_document(document, "here")


def test_files_from_before_there_were_hashes_and_files_edited_by_hand_are_accepted() -> None:
    for removed in ("sha256", "metadata", "bits", "view"):
        document = changed(**{removed: "gone"})
        VALIDATOR.validate(document)
        assert from_document(document, "here").schedule == every(2)


def test_a_newer_version_is_refused_with_the_advice_to_upgrade() -> None:
    for version in ("4", "1.1", "10"):
        with pytest.raises(FileError, match="upgrade ecad-automl"):
            from_document(changed(schema=f"ecad-automl/schedule/{version}"), "here")


def rules(schema: Any) -> Any:
    """A schema without what is for people."""
    if isinstance(schema, list):
        return [rules(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: rules(value) for key, value in schema.items() if key not in ("description", "title", "default")}
    if "properties" in schema:
        kept["properties"] = {name: rules(value) for name, value in schema["properties"].items()}
    return kept


def test_the_schema_tells_of_metadata_what_the_reader_s_model_does() -> None:
    model = ScheduleMetadata.model_json_schema()
    written = schedule_schema()["$defs"]
    parts = {"ScheduleMetadata": {key: value for key, value in model.items() if key != "$defs"}, **model["$defs"]}
    assert {name: rules(written[name]) for name in parts} == {name: rules(part) for name, part in parts.items()}


def test_every_field_that_is_written_is_told_in_the_schema() -> None:
    schedule = guided()
    document, schema = to_document(schedule.with_fitted(as_it_is(schedule.steps)), METADATA), schedule_schema()
    assert set(document) == set(schema["properties"])
    assert set(document["layout"]) == set(schema["$defs"]["Layout"]["properties"])
    assert set(document["layout"]["slots"][0]) == set(schema["$defs"]["Slot"]["properties"])
    told = schema["$defs"]["ScheduleMetadata"]["properties"]
    assert all(field["description"].endswith(".") for field in told.values())


def test_the_hash_is_the_one_that_the_schema_tells() -> None:
    import hashlib

    slots = "".join(
        f',["{block}","{component}",{reader}]'
        for block, component, reader in [
            ("transformer_blocks.0", "attn", "null"),
            ("transformer_blocks.0", "ff", "null"),
            ("single_transformer_blocks.0", "proj_mlp", '"proj_out"'),
            ("single_transformer_blocks.0", "proj_out", "null"),
        ]
    )[1:]
    text = f'["FluxTransformer2DModel",6,[{slots}],"f0f0f0"]'
    assert schedule_sha256(every(2)) == hashlib.sha256(text.encode()).hexdigest()
