"""The data sets that can be prepared: a new format is one file here.

In: the files of an archive as published. Out: annotated photos, which frames.py cuts.
Each file defines one dataclass, whose fields are the options of `prepare NAME`.
"""
