"""All that is wrong with a call, before anything is loaded or downloaded, and told at once. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ecad_automl.errors import EcadError, FileError, OptionError
from ecad_automl.models.checks import model_faults
from ecad_automl.rewards.registry import check_reward
from storage import database_path, is_server


class Faults:
    """Collects faults; at the end :meth:`tell` raises what there is."""

    def __init__(self) -> None:
        self._found: dict[str, EcadError] = {}

    @contextmanager
    def noted(self) -> Iterator[None]:
        """What fails inside is noted, and what follows goes on."""
        try:
            yield
        except EcadError as error:
            self.add(error)

    def add(self, *errors: EcadError) -> None:
        """Note some."""
        for error in errors:
            self._found.setdefault(str(error), error)

    def model(self, name: str, *, dtype: str | None, device: str | None, offload: str | None) -> None:
        """See :func:`ecad_automl.models.checks.model_faults`."""
        self.add(*model_faults(name, dtype=dtype, device=device, offload=offload))

    def rewards(self, names: Sequence[str]) -> None:
        """Names of rewards or metrics that cannot be loaded."""
        for name in names:
            with self.noted():
                check_reward(name)

    def folder(self, folder: Path) -> None:
        """Long work should not end with a folder that cannot be written."""
        nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not nearest.is_dir() or not os.access(nearest, os.W_OK):
            self.add(
                FileError(
                    f"The folder {folder} cannot be written, since {nearest} is no folder that can; choose another."
                )
            )

    def storage(self, location: str) -> None:
        """A study database that cannot be made where it should be."""
        with self.noted():
            if is_server(location):
                return
            path = database_path(location)
            if path.is_dir():
                raise FileError(f"The study database {path} is a folder; name a file in it.")
            if not path.exists():
                self.folder(path.parent)

    def tell(self) -> None:
        """Raise what was noted, if anything was.

        Raises:
            EcadError: the one fault, or all of them in one.
        """
        found = list(self._found.values())
        if len(found) == 1:
            raise found[0]
        if found:
            told = " ".join(f"({number}) {error}" for number, error in enumerate(found, start=1))
            raise OptionError(f"{len(found)} things are wrong: {told}")
