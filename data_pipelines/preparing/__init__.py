"""What the command `prepare` takes care of beside the faces: what it tells, what it must not replace, how it ends.

In: a source, its labels, the records made of them. Out: lines for people, or an error before anything is lost.
Nothing here makes or stores a face.
"""
