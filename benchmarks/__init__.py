"""Run the benchmarks: `python -m benchmarks`, or `make bench`.

See docs/benchmarks.md for what is compared with what.
"""
