"""One search at a time on a study database."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ecad_automl.errors import StorageError
from storage.location import database_path

__all__ = ["writer_lock"]


@contextmanager
def writer_lock(location: str | Path) -> Iterator[None]:
    """Hold the right to drive searches on a study database; the kernel gives it back if the process is killed.

    The lock is a file beside the database, ``study.db.lock``, and goes away with the block. Where the platform has no
    ``flock`` nothing is locked.

    Args:
        location: a path or ``sqlite:///`` URL.

    Raises:
        StorageError: another process holds the lock, or the file cannot be made.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    path = database_path(location)
    lock = path.with_name(f"{path.name}.lock")
    while True:
        try:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageError(
                f"The lock {lock} cannot be made ({error.strerror}); check that its folder exists and can be written."
            ) from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
                raise StorageError(
                    f"Another search (process {holder}) is running on {path}; wait for it or stop it, or use another "
                    "file."
                ) from error
            if not _is_same_file(handle, lock):  # its last holder removed it between our open and our lock
                continue
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return
        finally:
            os.close(handle)


def _is_same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
