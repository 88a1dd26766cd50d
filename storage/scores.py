"""The file of an evaluation: scores of single images, feature vectors and times of several runs, as they come."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sqlite_utils import Database

from ecad_automl.errors import StorageError
from storage.faults import storage_faults
from storage.identity import described, differences
from storage.location import database_path
from storage.records import json_value
from storage.sqlite_file import connect

_APPLICATION = "ecad-automl/scores/1"

_TABLES: dict[str, tuple[dict[str, type], tuple[str, ...]]] = {
    "about": ({"key": str, "value": str}, ("key",)),
    "scores": ({"run": str, "metric": str, "prompt": int, "seed": int, "score": float},
               ("run", "metric", "prompt", "seed")),
    "features": ({"run": str, "metric": str, "prompt": int, "seed": int, "vector": bytes},
                 ("run", "metric", "prompt", "seed")),
    "times": ({"run": str, "images": int, "seconds": float, "created": str}, ()),
}  # fmt: skip

#: An image: the number of its prompt, and its seed.
Item = tuple[int, int]


class ScoreFile:
    """One SQLite file. Each :meth:`save` is one transaction, on the disk when the call returns.

    Made by :meth:`open`; a context manager that closes itself.

    Args:
        path: the file.
        connection: to it, in autocommit mode.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._database = Database(connection)

    @classmethod
    def open(cls, location: str | Path, identity: Mapping[str, Any]) -> Self:
        """Open the file of an evaluation, or make it.

        Args:
            location: a path.
            identity: all that the images depend on, JSON values.

        Raises:
            StorageError: the file is of another evaluation, of something else, or cannot be read or written.
        """
        path = database_path(location)
        path.parent.mkdir(parents=True, exist_ok=True)
        with storage_faults(path):
            connection = connect(path)
            try:
                file = cls(path, connection)
                file._claim(json_value(identity))
            except BaseException:
                connection.close()
                raise
        return file

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def known(self, run: str, metric: str) -> set[Item]:
        """The images of a run that have a score or a vector of a metric."""
        return {*self._kept("scores", "score", run, metric), *self._kept("features", "vector", run, metric)}

    def save(
        self,
        run: str,
        items: Sequence[Item],
        scores: Mapping[str, NDArray[np.float64]],
        features: Mapping[str, NDArray[np.float32]],
    ) -> None:
        """Keep what was found of some images, in place of what was kept of them before.

        Args:
            run: what made the images.
            items: ``n`` images.
            scores: by metric, ``(n,)``.
            features: by metric, ``(n, d)``.
        """
        rows = [
            {"run": run, "metric": metric, "prompt": prompt, "seed": seed, "score": float(value)}
            for metric, values in scores.items()
            for (prompt, seed), value in zip(items, values, strict=True)
        ]
        vectors = [
            {"run": run, "metric": metric, "prompt": prompt, "seed": seed, "vector": row.astype("<f4").tobytes()}
            for metric, values in features.items()
            for (prompt, seed), row in zip(items, values, strict=True)
        ]
        with self._transaction():
            self._database.table("scores").insert_all(rows, replace=True)
            self._database.table("features").insert_all(vectors, replace=True)

    def save_time(self, run: str, images: int, seconds: float, created: str) -> None:
        """Keep the time of one call that made some images of a run."""
        row = {"run": run, "images": images, "seconds": seconds, "created": created}
        with self._transaction():
            self._database.table("times").insert(row)

    def scores(self, run: str, metric: str, items: Sequence[Item]) -> NDArray[np.float64]:
        """``(n,)`` scores of ``n`` images; NaN where one is not known."""
        found = self._kept("scores", "score", run, metric)
        return np.array([found.get(item, np.nan) for item in items])

    def features(self, run: str, metric: str, items: Sequence[Item]) -> NDArray[np.float32]:
        """``(n, d)`` vectors of ``n`` images.

        Raises:
            StorageError: one is not known.
        """
        found = self._kept("features", "vector", run, metric)
        missing = [item for item in items if item not in found]
        if missing:
            raise StorageError(
                f"{self._path} lacks {metric} of {len(missing)} images of the run {run!r}; run the same command again."
            )
        return np.stack([np.frombuffer(found[item], dtype="<f4") for item in items]).astype(np.float32)

    def times(self, run: str) -> list[tuple[int, float]]:
        """Images and seconds of each timed call of a run, oldest first."""
        sql = "select images, seconds from times where run = ? order by rowid"
        with storage_faults(self._path):
            return [(int(images), float(seconds)) for images, seconds in self._connection.execute(sql, (run,))]

    def _kept(self, table: str, column: str, run: str, metric: str) -> dict[Item, Any]:
        with storage_faults(self._path):
            rows = self._database.table(table).rows_where("run = ? and metric = ?", (run, metric))
            return {(int(row["prompt"]), int(row["seed"])): row[column] for row in rows}

    def _claim(self, identity: Any) -> None:
        tables = set(self._database.table_names())
        if tables and "about" not in tables:
            raise StorageError(f"{self._path} is a database of something else; choose another folder for the results.")
        with self._transaction():
            for name, (columns, key) in _TABLES.items():
                if name not in tables:
                    self._database.table(name).create(columns, pk=key or None)
            about = dict(self._connection.execute("select key, value from about"))
            if not about:
                rows = {"application": _APPLICATION, "identity": json.dumps(identity)}
                self._database.table("about").insert_all({"key": k, "value": v} for k, v in rows.items())
                return
        if about.get("application") != _APPLICATION:
            raise StorageError(
                f"{self._path} is of the kind {about.get('application')!r}, not {_APPLICATION!r}; choose another "
                "folder for the results."
            )
        try:
            stored = dict(json.loads(about["identity"]))
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            raise StorageError(f"{self._path} is damaged ({error}); choose another folder for the results.") from error
        if found := differences(stored, identity, where="in the file"):
            raise StorageError(
                f"{self._path} holds scores of something else: {described(found)}; choose another folder for the "
                "results."
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Take the write lock first, so that what is read inside cannot change before the write."""
        with storage_faults(self._path), self._connection:  # commits, or rolls back
            self._connection.execute("begin immediate")
            yield
