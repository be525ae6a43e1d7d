"""Audits a lock file with pip-audit; exit status 1 for a known weakness, 0 with a word where nobody can be asked."""

from __future__ import annotations

import json
import subprocess
import sys

SECONDS = 90


def main(tool: str, lock: str) -> int:
    command = [tool, "--disable-pip", "--no-deps", "--require-hashes", "-r", lock, "--format", "json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        found = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError, OSError) as error:
        print(f"audit skipped: the list of weaknesses can't be reached ({type(error).__name__})")
        return 0
    audited = [each for each in found if "skip_reason" not in each]
    if not audited:
        print("audit skipped: the package index here knows no list of weaknesses")
        return 0
    weak = [each for each in audited if each["vulns"]]
    for each in weak:
        print(f"{each['name']} {each['version']}: {', '.join(vuln['id'] for vuln in each['vulns'])}")
    skipped = len(found) - len(audited)
    print(
        f"audited {len(audited)} packages, {len(weak)} with known weaknesses"
        + (f"; {skipped} skipped" if skipped else "")
    )
    return 1 if weak else 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
