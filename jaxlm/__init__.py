"""Facial-landmark detectors in JAX: train, evaluate and run them."""

import os

# jaxlib before 0.12 sizes its CPU thread pool by the cores; with fewer threads than queued collectives, several virtual
# devices on a small machine wait for each other for ever. The variable is read when JAX starts.
os.environ.setdefault("NPROC", "16")
