r"""GSR on WFLW, the global half of DPR (TPAMI 2021): one network brings the face to a normal state, one regresses it.

    python -m data_pipelines.prepare wflw --source WFLW --data-dir data
    python -m jaxlm.train --experiment dpr_gsr_wflw --workdir runs/dpr_gsr_wflw_reinit \
      --model.options.stage global_reinit --optim.rates global_regress 0
    python -m jaxlm.train --experiment dpr_gsr_wflw --workdir runs/dpr_gsr_wflw_regress \
      --model.options.stage global_regress --optim.rates global_reinit 0 --init-from runs/dpr_gsr_wflw_reinit
    python -m jaxlm.train --experiment dpr_gsr_wflw --workdir runs/dpr_gsr_wflw --init-from runs/dpr_gsr_wflw_regress
    python -m jaxlm.evaluate --workdir runs/dpr_gsr_wflw --dataset wflw
    python -m jaxlm.sensitivity --workdir runs/dpr_gsr_wflw

The last training is the joint one, that of `config()`; each starts from the one before. Equal weights for all
landmarks: `--task.options.weighting none`, in all of them. Without reinitialisation: the second training alone, with
no `--init-from`.

Data: WFLW, 7,500 training faces, of which 10 % (by photo) are held out; boxes are shifted and scaled by up to 12 %.
Published: NME 5.35 % (inter-ocular), FR@10 6.84 %, AUC@10 0.4859 on the 2,500 test faces. Ours: see
experiments/README.md.

As published: both networks, the frames and maps between them, the mean face and what is regressed, as the released
weights run; that landmarks of larger errors weigh more, without a number to set.

Differs: the training is not known, since the authors released weights alone; INFERRED are its stages, targets, losses,
optimiser, schedule, augmentation, and initial weights. Of what is known: boxes are made square, where the released code
stretches them; faces are sampled from a frame of twice the box, not from the photo; pixels are RGB (v - 127.5) / 128,
not BGR (v - 127.5) / 127.5; a degenerate map leaves the box as it is; running variances are the biased ones.
"""

from jaxlm.config import AugmentConfig, Config, DataConfig, ModelConfig, OptimConfig, TaskConfig


def config() -> Config:
    """Wide crops hold the box in their central half, so 0.06 of their side is 12 % of the box."""
    return Config(
        model=ModelConfig(name="dpr_gsr", input_size=256, options={"stage": "joint"}),
        task=TaskConfig(name="reinitialisation", options={"weighting": "sample"}),
        data=DataConfig(dataset="wflw", batch_size=32, crop=2.0),
        augment=AugmentConfig(probability=0.8, rotation=30.0, scale=0.06, shift=0.06, flip=True, colour=0.3),
        optim=OptimConfig(
            name="adamw", learning_rate=1e-3, weight_decay=1e-4, clip_norm=1.0, rates=(("global_reinit", 0.02),)
        ),
        epochs=60,
    )
