"""Data sets: from published archives to prepared faces, and from those to numpy batches. No JAX here.

In: the files of a data set (sources/), or nothing at all (synthetic/). Out: `Faces`, and batches of them (input.py).
`prepare` writes sets and packs, `prepared` opens them. TensorFlow is loaded only to write or stream a TFDS set.
"""
