"""A trained model on prepared faces: errors, tables, box errors, cost, SepBN's attention.

In: a `Trained` model and the faces of a set. Out: points, NME of each face, rows of a table, figures in files.
judging.py is the whole of one evaluation; inference.py is the jitted part.
"""
