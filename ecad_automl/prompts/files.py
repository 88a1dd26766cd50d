"""Reading files of prompts: their texts, tables and JSON values of the forms that people write."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecad_automl.errors import FileError, PromptError
from ecad_automl.prompts.prompt_set import Entry, listed, shown

#: Largest text, JSON or CSV file that is read: the captions of COCO 2017, the largest known set, are 92 MB.
MAX_TEXT_BYTES = 2**28
#: Largest parquet file that is read; of its columns, only those that are needed. It bounds these written out, too.
MAX_PARQUET_BYTES = 2**30
#: Most rows of a parquet file: unpacked, repeated texts take more room than the file says.
MAX_PARQUET_ROWS = 2**24
#: Most columns of a table.
MAX_COLUMNS = 2**12

INSTALL = 'install the extra: pip install "ecad-automl[datasets]"'
#: Names of the column of prompts, the first that exists is taken.
PROMPT_COLUMNS = ("prompt", "Prompt", "prompts", "Prompts", "caption", "Caption", "text", "Text")
#: Names of the column of categories, the first that exists is taken.
CATEGORY_COLUMNS = ("category", "Category", "classification")


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


@dataclass(frozen=True)
class Table:
    """Columns of equal length.

    Args:
        names: of all columns, in their order.
        columns: those that were read.
    """

    names: tuple[str, ...]
    columns: Mapping[str, Sequence[object]]


def choose_columns(names: Sequence[str], column: str | None, where: str) -> tuple[str, str | None]:
    """The names of the columns of prompts and of categories, of which there may be none.

    Prompts are in the column that was asked for, otherwise in the first of :data:`PROMPT_COLUMNS`.

    Raises:
        PromptError: there is no such column.
    """
    candidates = PROMPT_COLUMNS if column is None else (column,)
    found = next((name for name in candidates if name in names), None)
    if found is None:
        wanted = f"column {column!r}" if column is not None else f"column of prompts ({', '.join(PROMPT_COLUMNS)})"
        known = listed(list(map(str, names)))
        raise PromptError(f"{where} has no {wanted}; its columns are {known}: name one of them.")
    category = next((name for name in CATEGORY_COLUMNS if name in names and name != found), None)
    return found, category


def entries_of(content: object, column: str | None, where: str) -> list[Entry]:
    """Prompts and categories of a table or a JSON value.

    The value may be a list of texts or of objects, or an object whose values are

    - texts: prompts by their id;
    - objects: records by their id;
    - lists of texts or objects: prompts by their category (of one list alone, the key is no category).

    Args:
        content: the table or value.
        column: that of the prompts, or the key of objects under which they are; None takes the first of
            :data:`PROMPT_COLUMNS`.
        where: what holds the content, for messages.

    Raises:
        PromptError: the value has another form, an object lacks the key, or there is no such column.
    """
    if isinstance(content, Table):
        prompt, category = choose_columns(content.names, column, where)
        prompts = content.columns[prompt]
        categories = [None] * len(prompts) if category is None else content.columns[category]
        return list(zip(prompts, categories, strict=True))
    if isinstance(content, list):
        return _record_entries(content, column, where)
    if isinstance(content, dict) and content:
        values = list(content.values())
        if all(isinstance(value, str | dict) for value in values):
            return _record_entries(values, column, where)
        if all(isinstance(value, list) for value in values):
            return _grouped(content, column, where)
    raise PromptError(
        f"{where} holds {_kind(content)}; a list of texts or objects is expected, or an object whose values are all "
        "texts, all objects, or all lists of these."
    )


def _record_entries(records: Sequence[Any], column: str | None, where: str) -> list[Entry]:
    """Of a list of texts, or of objects that all have the same key for the prompt."""
    if all(isinstance(record, str) for record in records):
        if records and column is not None:
            raise PromptError(f"The column {column!r} was named, but {where} holds texts alone; leave it out.")
        return [(record, None) for record in records]
    keys: dict[str, None] = {}
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise PromptError(
                f"Item {number} of {where} is {shown(record)}; all items must be texts, or all must be objects."
            )
        keys.update(dict.fromkeys(record))
    prompt, category = choose_columns(list(keys), column, where)
    entries: list[Entry] = []
    for number, record in enumerate(records, start=1):
        if prompt not in record:
            raise PromptError(f"Item {number} of {where} has no {prompt!r}, under which others have their prompt.")
        entries.append((record[prompt], None if category is None else record.get(category)))
    return entries


def _grouped(groups: dict[str, list[object]], column: str | None, where: str) -> list[Entry]:
    entries: list[Entry] = []
    for key, records in groups.items():
        group = key if len(groups) > 1 else None
        found = _record_entries(records, column, f"the list {key!r} of {where}")
        entries += [(prompt, group if category is None else category) for prompt, category in found]
    return entries


def _kind(data: object) -> str:
    if isinstance(data, dict):
        return "an object with values of other or mixed types" if data else "an empty object"
    return shown(data)
