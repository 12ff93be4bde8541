"""Training: one pure step, what feeds it, and the loop around it.

In: a `Config` and a workdir. Out: checkpoints, metrics.jsonl.
loop.py reads from top to bottom; step.py is the step; objectives/ says what is minimised.
"""
