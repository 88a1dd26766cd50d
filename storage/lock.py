"""One search at a time on a study database: per file, or per study of a server."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from ecad_automl.errors import StorageError
from storage.location import database_path, is_server

#: Seconds between two tries to get a lock that another process holds.
_POLL = 0.5


class WriterLock(Protocol):
    """The right to drive searches, while the block of :func:`writer_lock` lasts.

    Attributes:
        advice: what to do where another one has it.
    """

    advice: str

    def acquire(self) -> str | None:
        """Try to get it; None if that worked, else a sentence that says who has it."""

    def release(self) -> None:
        """Give it back, if it is held."""

    def ensure(self) -> None:
        """Make sure that it is still held, and get it back where a broken connection has lost it.

        Raises:
            StorageError: another process has it by now.
        """


@contextmanager
def writer_lock(
    location: str | Path,
    study: str | None = None,
    *,
    wait: float = 0.0,
    waiting: Callable[[str], object] | None = None,
) -> Iterator[WriterLock]:
    """Hold the right to drive searches on a study database; it comes back by itself if the process is killed.

    A SQLite file has one driver: the lock is a file beside it, ``study.db.lock``, that the kernel frees and that goes
    away with the block; where the platform has no ``flock``, nothing is locked. A server has one driver per study: the
    lock is an advisory lock of the server, which frees it when the connection ends.

    Args:
        location: a path or URL.
        study: name of the study, which counts on a server only.
        wait: seconds to wait for another process at most; ``math.inf`` waits as long as it takes.
        waiting: is told once that another process is waited for, in a sentence.

    Yields:
        The lock, for :meth:`Store.open`.

    Raises:
        StorageError: another process holds the lock, the file cannot be made, or the server cannot be reached.
    """
    lock: WriterLock
    if is_server(location):
        from storage.server import ServerLock

        lock = ServerLock(location, study or "")
    else:
        lock = FileLock(database_path(location))
    with hold(lock, wait, waiting):
        yield lock


def table_lock(location: str | Path, wait: float) -> AbstractContextManager[None]:
    """Keep others on a server from making tables meanwhile, which would disturb; of a file SQLite does so by itself."""
    if not is_server(location):
        return nullcontext()
    from storage.server import ServerLock

    return hold(ServerLock(location, "", schema=True), wait)


@contextmanager
def hold(lock: WriterLock, wait: float = 0.0, waiting: Callable[[str], object] | None = None) -> Iterator[None]:
    """Hold a lock while the block lasts; see :func:`writer_lock`."""
    deadline = time.monotonic() + wait
    try:
        while (busy := lock.acquire()) is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise StorageError(f"{busy}; {lock.advice}.")
            if waiting is not None:
                waiting(f"{busy}; waiting for it to end.")
                waiting = None
            time.sleep(min(_POLL, left))
        yield
    finally:
        lock.release()


class FileLock:
    """A lock file beside a database; the kernel takes it from no living process."""

    advice = "wait for it or stop it, or use another file"

    def __init__(self, database: Path) -> None:
        self._database = database
        self._path = database.with_name(f"{database.name}.lock")
        self._handle: int | None = None

    def acquire(self) -> str | None:
        """Try to get it; see :class:`WriterLock`.

        Raises:
            StorageError: the file cannot be made.
        """
        while fcntl is not None:
            try:
                handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except OSError as error:
                raise StorageError(
                    f"The lock {self._path} cannot be made ({error.strerror}); check that its folder exists and can be "
                    "written."
                ) from error
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not _is_same_file(handle, self._path):  # its last holder removed it between our open and our lock
                    os.close(handle)
                    continue
                os.ftruncate(handle, 0)
                os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
            except BlockingIOError:
                holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
                os.close(handle)
                return f"Another search (process {holder}) is running on {self._database}"
            except BaseException:
                os.close(handle)
                raise
            self._handle = handle
            break
        return None

    def is_held(self) -> bool:
        """Whether a search holds it; it is left as it is. False where nothing is locked."""
        if fcntl is None:
            return False
        try:
            handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(handle)
        return False

    def ensure(self) -> None:
        """Nothing to do."""

    def release(self) -> None:
        """Remove the file, and the lock with it."""
        if self._handle is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = None


def _is_same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
