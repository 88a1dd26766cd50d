"""Reading NumPy archives of others: data alone, and not more of it than is asked for."""

from __future__ import annotations

import io
import zipfile
from typing import IO, Any

from numpy.lib import format as npy
from numpy.typing import NDArray

#: Most bytes that the arrays of an archive may have unpacked: 1 GiB.
MAX_ARCHIVE_BYTES = 2**30


def read_arrays(data: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of what ``np.savez`` or ``np.savez_compressed`` wrote.

    Args:
        data: the archive.

    Returns:
        Arrays by their names, in the order of the archive.

    Raises:
        ValueError: it is no such archive, is damaged, holds Python objects, has more than :data:`MAX_ARCHIVE_BYTES`
            unpacked, or an array that is larger than what there is of it.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if (size := sum(entry.file_size for entry in entries)) > MAX_ARCHIVE_BYTES:
                raise ValueError(f"its arrays have {size} bytes, more than {MAX_ARCHIVE_BYTES}")  # noqa: TRY301
            return {entry.filename.removesuffix(".npy"): _array(archive, entry) for entry in entries}
    except ValueError:
        raise
    # A broken archive raises whatever the zip, zlib and NumPy readers raise.
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any]:
    # NumPy makes room for what the header says before it reads, so the header is compared with what there is.
    with archive.open(entry) as stream:
        _check_header(stream, entry)
    with archive.open(entry) as stream:
        array: NDArray[Any] = npy.read_array(stream, allow_pickle=False)
        return array


def _check_header(stream: IO[bytes], entry: zipfile.ZipInfo) -> None:
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"its array {entry.filename!r:.60} is of the version {version}, which is not known")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, kind = read(stream)
    count = 1
    for extent in shape:
        count *= extent
    if kind.hasobject or min(shape, default=0) < 0 or count * kind.itemsize > entry.file_size:
        raise ValueError(f"its array {entry.filename!r:.60} claims to be {shape} of {kind}, which it cannot hold")
