"""Statistics over tables of results: DataFrames in, DataFrames out; nothing here knows the rest of the suite.

Scenes (and seeds, where there are several) are the units that vary; pixels and views never are.
"""
