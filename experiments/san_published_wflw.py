"""SAN's detector on WFLW as published for AVS, without the style branch: stride 8, a background, a summed squared loss.

    python -m data_pipelines.prepare wflw --source WFLW --data-dir data
    python -m jaxlm.convert vgg16.pth --model vgg16 --out vgg16.npz
    python -m jaxlm.train --experiment san_published_wflw --workdir runs/san_published_wflw --init-from vgg16.npz
    python -m jaxlm.evaluate --workdir runs/san_published_wflw --dataset wflw

The recipe wants the ImageNet weights of the second command, which runs with PyTorch; from nothing, train san_wflw.

Data: see san_wflw. Published: NME 5.22 % (inter-ocular) on the 2,500 test faces, with the style branch, by other code
than the released, which cannot evaluate 98 points. Ours: see experiments/README.md.

As published: stride 8 and a map of the background; pixels (v / 255 - 0.5) / 0.5; target, decoder and summed squared
loss; boxes that grow by 20 % on each side; crops moved by up to 30 pixels and changed in no other way; 50 epochs of
batches of 8; SGD at 5e-5, four times that in stages 2 and 3, halved at epochs 30, 35, 40 and 45, with a weight decay of
5e-4.

Differs: no style branch; crops are square, black outside of the photo and moved from the box's centre by parts of
pixels (published: the box stretched, grey, moved from the landmarks' centre by whole pixels); momentum is not
Nesterov's; biases learn and decay as kernels do (published: at twice the rate, without decay); kernels beyond VGG are
drawn as He et al. (ICCV 2015) do, not with deviation 0.01; 10 % of the faces are held out to choose the checkpoint.
"""

import dataclasses

from jaxlm.config import AugmentConfig, Config, OptimConfig, TaskConfig
from jaxlm.experiments import san_wflw


def config() -> Config:
    """san_wflw with the published model, task, crop, augmentation and schedule."""
    base = san_wflw.config()
    return dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, options={"stride": 8, "background": True, "pixels": "signed"}),
        task=TaskConfig(name="san"),
        data=dataclasses.replace(base.data, crop=1.4, batch_size=8),
        augment=AugmentConfig(probability=1.0, shift=30 / 128),
        optim=OptimConfig(
            name="sgd",
            learning_rate=5e-5,
            warmup_epochs=0,
            decay=((30, 0.5), (35, 0.5), (40, 0.5), (45, 0.5)),
            weight_decay=5e-4,
            rates=(("stage2", 4.0), ("stage3", 4.0)),
        ),
        epochs=50,
    )
