"""How fast Windtunnel is, and where its time goes.

`python -m benchmarks` measures everything, `python -m benchmarks partition` one thing; see
docs/benchmarks.md.  Figures are processor seconds, or ratios of such within one run.
"""
