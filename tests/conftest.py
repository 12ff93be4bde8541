"""Test set-up: four virtual CPU devices, implicit rank promotion is an error."""

import os

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUM_CPU_DEVICES"] = "4"
os.environ["NPROC"] = "16"  # See jaxlm/__init__.py; set here for tests that import jax first.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
