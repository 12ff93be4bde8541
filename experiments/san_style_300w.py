r"""SAN (Dong et al., CVPR 2018) on 300-W with its style branch: san_300w that also sees the face in an average style.

    python -m data_pipelines.prepare ibug300w --source 300W --data-dir data
    python -m jaxlm.train --experiment san_300w --workdir runs/san_300w
    python -m jaxlm.train --experiment vunet_300w --workdir runs/vunet_300w
    python -m jaxlm.train --experiment san_style_300w --workdir runs/san_style_300w
    python -m jaxlm.evaluate --workdir runs/san_style_300w --dataset ibug300w

The runs of the second and the third command are its frozen detector and translator; both are kept with the checkpoints.
Other runs of the same experiments: `--init-from WORKDIR detector WORKDIR translator`; a wider translator:
`--model.options.translator-size 128 --model.options.translator-width 32 --model.options.translator-max-width 128`. The
trained network starts from nothing, so that it compares with san_300w at equal updates; from the detector's weights:
`--init-copies detector siamese`; from ImageNet's, beside the two runs: `... vgg16.npz siamese`.

Data: see san_300w. No published figure is for this form. As published: the siamese network, which sees the face and the
same face in an average style. Differs: the paper's second photo is the mean of two renderings by a CycleGAN between two
clusters of photos; here it is the mean of eight by our translator, at 64 pixels, of the landmarks that the detector
finds; and as san_300w. Ours: see experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import san_300w


def config() -> Config:
    """san_300w with another model, which starts from two runs and keeps them as they are."""
    base = san_300w.config()
    return dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, name="san_style", options={"scheme": "ibug68"}),
        optim=dataclasses.replace(base.optim, rates=(("detector", 0.0), ("translator", 0.0))),
        init_from=(("runs/san_300w", "detector"), ("runs/vunet_300w", "translator")),
    )
