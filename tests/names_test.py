"""A model's or a task's name in experiments is that of its file; a model's class has the same letters."""

import pytest

from jaxlm import models, tasks


@pytest.mark.parametrize("name", models.MODELS)
def test_models_are_called_by_their_files_and_classes(name: str):
    """A file of several models, such as models/dpr/networks.py, lies in a folder whose name their names begin with."""
    where, of_class = models.MODELS[name].__module__.split(".")[2:], models.MODELS[name].__name__.lower()
    letters = name.replace("_", "")
    assert (where[0], of_class) == (name, letters) or where[0] + of_class == letters


@pytest.mark.parametrize("name", tasks.TASKS)
def test_tasks_are_called_by_their_files(name: str):
    assert tasks.TASKS[name].__module__ == f"jaxlm.tasks.{name}"
