"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import re
from importlib import metadata
from pathlib import Path

_PACKAGES = ("tensorflow", "keras", "keras-hub", "numpy", "pandas", "pyarrow", "tokenizers")
_FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8")


def machine_card() -> dict[str, str | int | float]:
    """Name the machine: cores, CPU, memory (GB), what it computes with, versions, load."""
    cpu = _first(r"model name\s*:\s*(.+)", "/proc/cpuinfo") or platform.processor()
    flags = (_first(r"flags\s*:\s*(.+)", "/proc/cpuinfo") or "").split()
    memory = _first(r"MemTotal:\s*(\d+)", "/proc/meminfo")
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(int(memory or 0) / 2**20, 1),
        "instructions": " ".join(flag for flag in _FLAGS if flag in flags),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **versions(_PACKAGES),
        # Others' work on the machine: what to read a noisy figure by.
        "load_before": round(os.getloadavg()[0], 2),
    }


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Versions of those of the packages that this environment has."""
    found = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _first(pattern: str, path: str) -> str | None:
    """The first group of the first match in a file, None where there is none."""
    try:
        match = re.search(pattern, Path(path).read_text())
    except OSError:
        return None
    return match.group(1).strip() if match else None
