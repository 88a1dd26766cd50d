"""One target guided by coverage: ``python -m tests.fuzz.guided NAME --seconds N --out FILE`` with Atheris installed.

Writes how many inputs were tried and parsed. Where there is a fault, the process ends with it and keeps the input.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ecad_automl", "storage", "tomllib", "json"]):
    from tests.fuzz.targets import TARGETS, run

#: Inputs that are longer say little more.
_LONGEST = 8192


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz one target.")
    parser.add_argument("name", choices=TARGETS)
    parser.add_argument("--seconds", type=float, default=20.0, help="of processor time")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    target = TARGETS[options.name]
    corpus = Path(tempfile.mkdtemp(prefix="corpus-"))
    for number, seed in enumerate(target.seeds()):
        (corpus / str(number)).write_bytes(seed)
    counts = {"inputs": 0, "parsed": 0, "crashes": 1}  # taken back at the end
    begin = time.process_time()

    def one(data: bytes) -> None:
        counts["inputs"] += 1
        counts["parsed"] += run(target, data)
        if time.process_time() - begin > options.seconds:
            counts["crashes"] = 0
            options.out.write_text(json.dumps(counts | {"seconds": round(time.process_time() - begin, 1)}))
            sys.stderr.flush()
            os._exit(0)  # an exception would be taken for a fault

    options.out.write_text(json.dumps(counts))
    atheris.Setup([sys.argv[0], f"-max_len={_LONGEST}", "-rss_limit_mb=4096", "-timeout=20", str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
