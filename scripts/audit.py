"""Known vulnerabilities of what is installed, by pip-audit: ``python scripts/audit.py PYTHON``.

pip-audit ends well also where its service knows none of the packages, as behind a mirror that has no such interface.
Here that is told apart from "none known". Run by ``make audit`` with the interpreter that has pip-audit.

Exit codes: 0 none known, 1 some known, 3 the service could not be asked.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

_ASKED = "the vulnerability service ({service}) could not be asked"
_ADVICE = "run it on a machine that reaches pypi.org, or name another service: AUDIT_SERVICE=osv make audit"


def main() -> int:
    """Ask, and say what came out."""
    service = os.environ.get("AUDIT_SERVICE", "pypi")
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off", "--skip-editable"]
    environment = {**os.environ, "PIPAPI_PYTHON_LOCATION": sys.argv[1]}
    done = subprocess.run(  # noqa: S603 - the interpreter is named by the Makefile
        [*command, "--vulnerability-service", service], check=False, capture_output=True, text=True, env=environment
    )
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        return _say(3, f"Not audited: {_ASKED.format(service=service)} ({last[:200]}); {_ADVICE}.")
    asked = [package for package in packages if "skip_reason" not in package]
    left = [package["name"] for package in packages if "editable" not in package.get("skip_reason", "editable")]
    known = [(package, fault) for package in asked for fault in package["vulns"]]
    for package, fault in known:
        fixed = ", ".join(fault["fix_versions"]) or "none yet"
        sys.stdout.write(f"{package['name']} {package['version']}: {fault['id']}, fixed in {fixed}\n")
    if known:
        return _say(1, f"{len(known)} known vulnerabilities in {len(asked)} packages; upgrade what is named above.")
    if not asked:
        count = len(left)
        return _say(3, f"Not audited: {_ASKED.format(service=service)} about any of {count} packages; {_ADVICE}.")
    if left:
        return _say(3, f"{len(asked)} packages have no known vulnerability; not looked up: {', '.join(left)}.")
    return _say(0, f"No known vulnerability in {len(asked)} packages.")


def _say(code: int, sentence: str) -> int:
    (sys.stderr if code else sys.stdout).write(f"{sentence}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
