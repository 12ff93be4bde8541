"""AVS (ICCV 2019): a trained translator draws faces in the styles of others.

In: prepared faces and a translator's run. Out: renders with unchanged labels, and checks of what the styles carry.
translation.py is the translator at work; rendering.py draws a training set.
"""
