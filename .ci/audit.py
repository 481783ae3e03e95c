"""Known vulnerabilities of what a run installs; where no advisories can be had, says so.

Exit code 1 if there is one; 0 if there is none, or nobody to ask.
"""

import json
import subprocess
import sys

AUDIT = [
    *(sys.executable, "-m", "pip_audit", "--requirement", "requirements.txt"),
    *("--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json"),
]


def main() -> int:
    """Ask, and tell."""
    done = subprocess.run(AUDIT, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (KeyError, ValueError):
        print(f"not audited: {(done.stderr.strip().splitlines() or ['no answer'])[-1]}")
        return 0
    asked = [package for package in packages if "skip_reason" not in package]
    print(f"audited {len(asked)} of {len(packages)} packages; the others have no advisories here")
    found = [(package, flaw) for package in asked for flaw in package["vulns"]]
    for package, flaw in found:
        mended = ", ".join(flaw["fix_versions"]) or "no version"
        print(f"{package['name']} {package['version']}: {flaw['id']}, mended in {mended}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
