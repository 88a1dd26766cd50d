"""Reading files: bounded, as UTF-8, with errors that say where."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from ecad_automl.errors import FileError, PromptError
from ecad_automl.prompts.entries import Table
from ecad_automl.prompts.prompt_set import listed, shown

#: Largest text, JSON or CSV file that is read: the captions of COCO 2017, the largest known set, are 92 MB.
MAX_TEXT_BYTES = 2**28
#: Largest parquet file that is read; of its columns, only those that are needed. It bounds these written out, too.
MAX_PARQUET_BYTES = 2**30
#: Most rows of a parquet file: unpacked, repeated texts take more room than the file says.
MAX_PARQUET_ROWS = 2**24
#: Most columns of a table.
MAX_COLUMNS = 2**12

INSTALL = 'install the extra: pip install "ecad-automl[datasets]"'


def read_text(path: Path) -> str:
    r"""The text of a file, without a byte order mark and with lines that end in ``\n``.

    Raises:
        FileError: it cannot be read, is larger than :data:`MAX_TEXT_BYTES`, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TEXT_BYTES + 1)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if len(data) > MAX_TEXT_BYTES:
        raise _too_large(path, MAX_TEXT_BYTES)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(
            f"The prompt file {path} is not UTF-8 text (byte {error.start + 1}); save it as UTF-8."
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are neither blank nor start with ``#``."""
    return [line for line in read_text(path).split("\n") if line.strip() and not line.startswith("#")]


def read_json(path: Path) -> object:
    """What a JSON file holds.

    Raises:
        FileError: see :func:`read_text`, or it is not JSON; the message says line and column.
    """
    return _parse_json(read_text(path), path)


def read_json_lines(path: Path) -> list[object]:
    """What the lines of a file hold, each a JSON value; blank ones are skipped.

    Raises:
        FileError: see :func:`read_json`.
    """
    lines = enumerate(read_text(path).split("\n"), start=1)
    return [_parse_json(line, path, first_line=number) for number, line in lines if line.strip()]


def parse_table(text: str, path: Path, delimiter: str, *, quoted: bool = True) -> Table:
    """A table whose first row names its columns; blank rows are skipped.

    Where it is quoted, a cell may stand in double quotes, in which quotes are doubled (RFC 4180).

    Raises:
        FileError: there is no row, a row has another number of cells than the first, a quote is not closed, or a
            name occurs twice.
    """
    lines = (line + "\n" for line in text.split("\n"))
    if quoted:
        rows = csv.reader(lines, delimiter=delimiter, strict=True)
    else:
        rows = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE, strict=True)
    names: list[str] = []
    columns: list[list[object]] = []
    try:
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            if not names:
                names = [cell.strip() for cell in row]
                _check_names(names, path)
                columns = [[] for _ in names]
                continue
            if len(row) != len(names):
                raise FileError(
                    f"Line {rows.line_num} of {path} ends a row of {len(row)} cells, but the first row names "
                    f"{len(names)} columns ({listed(names)}); put cells that hold the delimiter in quotes."
                )
            for column, cell in zip(columns, row, strict=True):
                column.append(cell)
    except csv.Error as error:
        raise FileError(f"{path} is damaged at line {rows.line_num} ({error}); check the quotes there.") from error
    if not names:
        raise FileError(f"{path} is empty; its first row must name the columns.")
    return Table(tuple(names), dict(zip(names, columns, strict=True)))


def read_parquet(path: Path, wanted: Collection[str]) -> Table:
    """A parquet file, of whose columns only the wanted ones are read.

    Raises:
        PromptError: pyarrow is missing.
        FileError: the file cannot be read or is larger than :data:`MAX_PARQUET_BYTES` or
            :data:`MAX_PARQUET_ROWS`.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise PromptError(f"Reading the parquet file {path} needs pyarrow; {INSTALL}.") from error
    try:
        if path.stat().st_size > MAX_PARQUET_BYTES:
            raise _too_large(path, MAX_PARQUET_BYTES)
        with parquet.ParquetFile(path) as file:
            _check_names(file.schema_arrow.names, path)
            names = [field.name for field in file.schema_arrow if not _is_nested(field.type)]
            chosen = [name for name in names if name in wanted]
            if file.metadata.num_rows > MAX_PARQUET_ROWS:
                raise FileError(
                    f"{path} has {file.metadata.num_rows} rows, more than the {MAX_PARQUET_ROWS} that are read; cut it "
                    "down."
                )
        return Table(tuple(names), _columns(path, chosen))
    # Most of pyarrow's errors are of Python's kinds too, and some of its own kind alone.
    except (OSError, ValueError, RuntimeError, NotImplementedError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _check_names(names: Sequence[str], path: Path) -> None:
    if len(names) > MAX_COLUMNS:
        raise FileError(f"{path} has {len(names)} columns, more than the {MAX_COLUMNS} that are read; cut it down.")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise FileError(f"{path} has more than one column named {shown(twice[0])}; rename all but one.")


def _columns(path: Path, names: Sequence[str]) -> dict[str, list[object]]:
    """Columns of a parquet file, read in parts until they are too large.

    Texts stay numbers into a list of distinct ones until it is known how long they are written out: a file of a few
    kilobytes can repeat one long text millions of times. What the file itself says of its columns is not asked: where
    that is damaged, pyarrow ends the whole process.
    """
    from pyarrow import parquet

    columns: dict[str, list[object]] = {name: [] for name in names}
    total = 0
    with parquet.ParquetFile(path, read_dictionary=list(names)) as file:
        for batch in file.iter_batches(columns=list(names)) if names else ():
            total += sum(map(_written_out, batch.columns))
            if total > MAX_PARQUET_BYTES:
                raise _too_large(path, MAX_PARQUET_BYTES)
            for name in names:
                columns[name] += batch.column(name).to_pylist()
    return columns


def _is_nested(kind: Any) -> bool:
    """Whether a column holds lists or records, which are no prompts."""
    from pyarrow import types

    return bool(types.is_nested(kind.value_type if types.is_dictionary(kind) else kind))


def _written_out(column: Any) -> int:
    """Bytes of a column when every row has its own value."""
    import pyarrow as pa
    from pyarrow import compute, types

    if not types.is_dictionary(column.type):
        return int(column.nbytes)
    if not _has_length(column.dictionary.type):
        return 16 * len(column)
    lengths = compute.binary_length(column.dictionary).cast(pa.int64())
    return int(compute.sum(compute.take(lengths, column.indices)).as_py() or 0)


def _has_length(kind: Any) -> bool:
    from pyarrow import types

    checks = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    return any(check(kind) for check in checks)


def _parse_json(text: str, path: Path, first_line: int = 1) -> object:
    try:
        data: object = json.loads(text)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise FileError(
            f"{path} is not JSON from line {line}, column {error.colno} on ({error.msg}); correct it there."
        ) from error
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path} is JSON that cannot be read ({error}); check it.") from error
    return data


def _unreadable(path: Path, error: Exception) -> FileError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())[:200]
    return FileError(f"The prompt file {path} cannot be read ({reason}); check it.")


def _too_large(path: Path, limit: int) -> FileError:
    return FileError(
        f"The prompt file {path} is larger than {limit / 2**20:.0f} MiB; a file of prompts is smaller, cut it down."
    )
