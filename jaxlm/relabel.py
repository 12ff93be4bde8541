"""Faces with the points of trained models: python -m jaxlm.relabel --workdir RUN [RUN ...] --dataset SET --out NEW.npz

Writes a pack of the same frames, in which each face has the points that the models find, their mean, in place of those
it came with. A student then learns from them beside those made by hand (`--data.dataset 300w.npz+NEW.npz`): of faces
whose labels are another protocol's, as in self-training (Xie et al., CVPR 2020, arXiv 1911.04252), or of the very faces
that the models learnt, which takes some of the chance out of labels (Furlanello et al., ICML 2018, arXiv 1805.04770).
Boxes stay as they are. Printed is how far the points have moved.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from jaxlm.checkpoints import Bundle
from jaxlm.checkpoints.opening import add_models, open_models
from jaxlm.data_pipelines import input as input_lib
from jaxlm.data_pipelines.input import Faces
from jaxlm.evaluation import inference
from jaxlm.runtime import allocation, distributed, progress
from jaxlm.runtime.commands import told_errors


def relabel(faces: Faces, teachers: Sequence[Bundle], flip_test: bool) -> Faces:
    """The faces with the mean of the points, in their frames, that models of one scheme find; all of them visible.

    Args:
      faces: In any scheme.
      teachers: The models.
      flip_test: Average with the points of the mirrored crop.

    Raises:
      ValueError: The models' schemes differ, or one looks at whole photos.
    """
    names = sorted({teacher.scheme.name for teacher in teachers})
    if len(names) > 1:
        raise ValueError(f"the models have points of different schemes: {', '.join(names)}")
    mesh, found = distributed.make_mesh(), []
    with progress.counting(len(teachers) * len(faces), faces.split) as advance:
        for trained, scheme, *_ in teachers:
            trained.require_crops()
            flip = scheme.flip if flip_test else None
            predictor = inference.Predictor(trained.model, trained.task, trained.config, faces.margin, mesh, flip=flip)
            found.append(predictor(trained.variables, faces, advance).points)
    points = np.mean(found, axis=0)
    scheme = teachers[0].scheme
    return dataclasses.replace(faces, scheme=scheme, points=points, visible=np.ones(points.shape[:2], bool))


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m jaxlm.relabel", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_models(parser)
    parser.add_argument("--dataset", required=True, help="a prepared set or a packed .npz file")
    parser.add_argument("--data-dir", default="data", help="where the set was prepared (default: data)")
    parser.add_argument("--flip-test", action="store_true", help="average with the points of the mirrored crop")
    parser.add_argument("--out", required=True, type=pathlib.Path, metavar="NEW.npz")
    arguments = parser.parse_args(argv)
    allocation.keep_memory()
    with told_errors():
        teachers = open_models(arguments)
        splits = input_lib.open_splits(arguments.dataset, arguments.data_dir)
        relabelled = {split: relabel(faces, teachers, arguments.flip_test) for split, faces in splits.items()}
        input_lib.write_pack(arguments.out, relabelled)
    for split, faces in splits.items():
        line = f"{faces.dataset}, {split}: {len(faces)} faces"
        if faces.points.shape == relabelled[split].points.shape:
            moved = inference.face_errors(relabelled[split].points, faces, teachers[0].scheme)
            line += f", whose points moved by {100 * moved.mean():.2f} % (NME)"
        print(line)
    print(f"Wrote {arguments.out}")


if __name__ == "__main__":
    main()
