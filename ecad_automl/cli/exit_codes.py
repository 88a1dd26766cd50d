"""What the exit codes mean."""

from __future__ import annotations

#: ``ecad-automl check`` found something; of other commands, a fault of the program.
FINDINGS = 1

#: An option, a file, a model or a disk is not as it must be; one sentence on standard error says what to do.
BAD_INPUT = 2

#: Ctrl-C: 128 + SIGINT, as shells have it.
STOPPED = 130

#: Whatever read the output went away, as in ``ecad-automl front | head -1``: 128 + SIGPIPE.
BROKEN_PIPE = 141

EPILOG = (
    f"Exit codes: 0 done, {FINDINGS} a fault of the program or findings of `check`, {BAD_INPUT} bad input or a full "
    f"disk, {STOPPED} stopped by Ctrl-C, {BROKEN_PIPE} nobody reads the output any more."
)
