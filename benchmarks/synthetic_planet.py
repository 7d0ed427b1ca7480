"""Time and peak memory of making a synthetic planet: python benchmarks/synthetic_planet.py --rows 512 11520

Aims: 512 × 1024 in 10 s, 11520 × 23040 in 10 minutes, each with 4 GB, on 2 cores. Every size runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

AIMS = {512: (10.0, 4.0), 11520: (600.0, 4.0)}  # rows: seconds, GB


def measure(rows: int, workers: int, folder: str) -> dict:
    """One planet in this process: seconds per step, seconds in all, peak memory."""
    import resource

    started = time.perf_counter()
    from cratermill.synthetic import synthesise

    last, steps = [time.perf_counter()], {}

    def tick(what: str, done: int, total: int) -> None:
        now = time.perf_counter()
        steps[what] = steps.get(what, 0.0) + now - last[0]
        last[0] = now

    made = synthesise(folder, shape=(rows, 2 * rows), seed=2026, workers=workers, progress=tick)
    size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_gb": usage.ru_maxrss / 2**20,
        "steps": steps,
        "size_mb": size / 1e6,
        "craters": made.craters,
        "ejecta_share": made.ejecta_share,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[512], help="rows of the mosaic; it has twice as many columns")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--in-process", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.in_process:
        print(json.dumps(measure(options.rows[0], options.workers, options.in_process)))
        return
    for rows in options.rows:
        with tempfile.TemporaryDirectory(prefix="planet-") as folder:
            command = [sys.executable, __file__, "--rows", str(rows), "--workers", str(options.workers), "--in-process", folder]
            figures = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        _print(rows, figures)


def _print(rows: int, figures: dict) -> None:
    aim = f" (aim {AIMS[rows][0]:.0f} s, {AIMS[rows][1]:.0f} GB)" if rows in AIMS else ""
    per_pixel = figures["cpu_seconds"] / (2 * rows * rows) * 1e9
    print(f"{rows} × {2 * rows} × 3: {figures['seconds']:.1f} s, {figures['peak_gb']:.2f} GB peak{aim}")
    # On a shared machine the processor time tells more than the clock.
    print(f"  processor time {figures['cpu_seconds']:.1f} s, {per_pixel:.0f} ns per pixel")
    print("  steps: " + ", ".join(f"{what} {seconds:.1f} s" for what, seconds in figures["steps"].items()))
    print(f"  {figures['craters']} craters, {figures['ejecta_share']:.1%} ejecta, {figures['size_mb']:.0f} MB on disk")


if __name__ == "__main__":
    main()
