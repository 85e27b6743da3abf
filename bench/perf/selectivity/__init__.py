"""What a probe's settings tell apart: the same networks trained and untrained, under several protocols and scales.

    python -m bench.perf.selectivity FOLDER [--part candidates|signs|variants|scale|seeds] … [--data-root ROOT]

A cell here is one probe of one scene. Its row is appended to FOLDER/cells.csv as it ends; cells that stand there are not run
again. Scenes are the embedded ones and, where ROOT holds LLFF, its scene fern; networks those whose weights travel in
packages (extra `small`).
"""
