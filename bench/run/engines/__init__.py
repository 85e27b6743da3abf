"""Engines: ways to map groups of cells over processes or machines. They know nothing of what a cell does."""
