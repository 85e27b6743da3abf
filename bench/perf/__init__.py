"""How long the suite's inner loops take, against the plain way to do the same: what `bench perf` measures."""
