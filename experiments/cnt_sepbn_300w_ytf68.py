"""Cross-protocol training (CNT, arXiv 2101.06663): sepbn_300w with machine-labelled faces in a head of their own.

    python -m data_pipelines.prepare ibug300w --source 300W --data-dir data
    python -m data_pipelines.prepare points_table --source YTF/train --name ytf68 --scheme ibug68 \
        --annotations YTF/train_frames_keypoints.csv --group-by '(.*)_' --data-dir data
    python -m jaxlm.train --experiment cnt_sepbn_300w_ytf68 --workdir runs/cnt_sepbn_300w_ytf68
    python -m jaxlm.evaluate --workdir runs/cnt_sepbn_300w_ytf68 --dataset ibug300w
    python -m jaxlm.evaluate --workdir runs/cnt_sepbn_300w_ytf68 --head ytf68

Data: see sepbn_300w; and frames of YouTube Faces with 68 points, which a machine seems to have set, as a table. 10 % of
each set are held out, by photo and by person; the head of 300-W validates. An epoch is one pass over both sets;
`--steps-per-epoch 354` has as many updates as sepbn_300w. Two heads although both protocols have 68 points: see
sepbn_300w_ytf68 for one. Ours: see experiments/README.md.

As published: the name and the aim of CNT alone, and the recipe of sepbn_wflw. Differs: not known, since no code of CNT
was released; jaxlm/landmarks/heads.py says what is INFERRED.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import sepbn_300w


def config() -> Config:
    """sepbn_300w with another data set beside it."""
    base = sepbn_300w.config()
    return dataclasses.replace(
        base, data=dataclasses.replace(base.data, dataset="ibug300w+ytf68", scheme="ibug68+ibug68")
    )
