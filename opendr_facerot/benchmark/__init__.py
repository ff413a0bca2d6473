"""Measuring the package's speed and memory: ``facerot bench``.

Times depend on the machine and on what else it does. Each figure therefore also is a ratio to a
baseline that the same process measures: a plain way to do the same, or what the machine can do at
all. :mod:`opendr_facerot.benchmark.comparison` compares ratios and never times.
"""
