"""How fast the project is beside what people use instead: `make bench`.

A benchmark is a module `bench_*.py` with a function `measure(quick)` that returns a
`results.Result`; `python -m benchmarks` runs each in its own process and writes
docs/performance.md from the results alone.
"""
