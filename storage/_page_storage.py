"""Optuna's storage as the pages of the dashboard read it."""

from __future__ import annotations

from collections.abc import Container
from threading import Lock
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState


class PageStorage(RDBStorage):
    """Reads a trial that has ended once, as an Optuna study does that is loaded; a storage alone keeps none.

    A page asks for all trials when it is opened, and every ten seconds again.

    Args:
        reader: another storage of the same database, which the loaded studies use.
        arguments: of :class:`optuna.storages.RDBStorage`.
    """

    def __init__(self, reader: RDBStorage, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._reader = reader
        self._studies: dict[int, Study] = {}
        self._loading = Lock()

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Trials by their numbers.

        Raises:
            KeyError: there is no such study.
        """
        name = self.get_study_name_from_id(study_id)
        with self._loading:
            study = self._studies.get(study_id)
            if study is None or study.study_name != name:  # SQLite gives the id of a deleted study to another
                study = self._studies[study_id] = optuna.load_study(study_name=name, storage=self._reader)
        return study.get_trials(deepcopy=deepcopy, states=states)

    def delete_study(self, study_id: int) -> None:
        """Delete a study, and forget its trials.

        Raises:
            KeyError: there is no such study.
        """
        super().delete_study(study_id)
        with self._loading:
            self._studies.pop(study_id, None)

    def __getstate__(self) -> dict[Any, Any]:
        state: dict[Any, Any] = super().__getstate__()
        del state["_loading"], state["_studies"]
        return state

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        self._studies, self._loading = {}, Lock()
