"""What pyproject.toml cannot say: data_pipelines/ and experiments/ are installed inside jaxlm, in nobody's way."""

import shutil

import setuptools

INSIDE = ("data_pipelines", "experiments")

# What an earlier build has left would be packed again, files that have moved since among it.
shutil.rmtree("build", ignore_errors=True)

setuptools.setup(
    packages=[
        *setuptools.find_packages(include=["jaxlm", "jaxlm.*"]),
        *(f"jaxlm.{name}" for top in INSIDE for name in setuptools.find_packages(include=[top, f"{top}.*"])),
    ],
    package_dir={f"jaxlm.{top}": top for top in INSIDE},
)
