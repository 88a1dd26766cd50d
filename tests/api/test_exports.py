from __future__ import annotations

import inspect

import ecad_automl
import ecad_automl.api


def test_every_exported_name_is_there() -> None:
    for package in (ecad_automl, ecad_automl.api):
        assert all(getattr(package, name) is not None for name in package.__all__)


def test_what_completion_offers_is_the_api() -> None:
    assert {name for name in dir(ecad_automl) if not name.startswith("__")} == set(ecad_automl.__all__)


def test_search_is_a_function_wherever_it_is_imported_from() -> None:
    assert inspect.isfunction(ecad_automl.search)
    assert ecad_automl.search is ecad_automl.api.search
