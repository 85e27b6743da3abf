"""Runs on machines besides this one: a Ray cluster's, and those that SLURM gives."""
