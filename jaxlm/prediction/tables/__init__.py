"""The tables of the predict command, which other programs read.

In: what was found in each photo or frame, as `Entry`. Out: JSON, CSV, and COCO keypoints for labelling tools.
files.py keeps the entries and says when a table is written.
"""
