"""TensorFlow and TensorFlow Datasets, which the light install leaves out: imported by the functions that need them."""

from __future__ import annotations

import importlib
from types import ModuleType


def load_tfds(purpose: str) -> ModuleType:
    """The package `tensorflow_datasets`, for a purpose that begins the message where it is missing.

    Raises:
      ImportError: It is not installed.
    """
    return _load("tensorflow_datasets", "TensorFlow Datasets", purpose)


def load_array_records(purpose: str) -> ModuleType:
    """The module that reads ArrayRecord files, which TensorFlow Datasets brings; see `load_tfds`."""
    return _load("array_record.python.array_record_data_source", "TensorFlow Datasets", purpose)


def load_tensorflow(purpose: str) -> ModuleType:
    """The package `tensorflow`; see `load_tfds`."""
    return _load("tensorflow", "TensorFlow", purpose)


def _load(module: str, title: str, purpose: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(f'{purpose} needs {title} ({error}): pip install "jaxlm[data]"') from error
