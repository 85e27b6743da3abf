"""What the commands of `bench.cli` do, one module a command: the edge where things are read, run and printed."""
