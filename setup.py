"""What pyproject.toml cannot say: data_pipelines/ and experiments/ are installed inside jaxlm, in nobody's way."""

import setuptools

INSIDE = ("data_pipelines", "experiments")

setuptools.setup(
    packages=[
        *setuptools.find_packages(include=["jaxlm", "jaxlm.*"]),
        *(f"jaxlm.{name}" for top in INSIDE for name in setuptools.find_packages(include=[top, f"{top}.*"])),
    ],
    package_dir={f"jaxlm.{top}": top for top in INSIDE},
)
