#!/usr/bin/env bash
# Makes the files of this folder, in the working directory, with the code before modules moved into rooms.
# usage: make.sh CLONE PYTHON, where CLONE is a clone of this repository at commit 38fe67e.
set -euo pipefail
export PYTHONPATH="$1:$1/tests" JAX_PLATFORMS=cpu
python="$2"

cat > own.toml <<'TOML'
name = "mask+"
names = ["left_eye", "right_eye", "nose", "left_mouth", "right_mouth", "chin"]
flip = [[0, 1], [3, 4]]
eye_corners = [0, 1]
pupils = [[0], [1]]
edges = [[0, 2, 1], [3, 4]]
parts = { eyes = [0, 1], mouth = [3, 4] }
mean_face = [[0.2, 0.4], [0.8, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8], [0.5, 1.0]]
boundaries = { face = [0, 5, 1] }
TOML
"$python" - <<'PY'
import dataclasses

import numpy as np
from conftest import synthetic_faces
from data_pipelines.input import write_pack

chosen = [60, 72, 54, 76, 82, 16]
faces = {split: synthetic_faces(count, split) for split, count in {"train": 11, "test": 4}.items()}
masks = {}
for split, part in faces.items():
    fewer = part.take(np.arange(8 if split == "train" else 3))
    points, visible = fewer.points[:, chosen], fewer.visible[:, chosen]
    masks[split] = dataclasses.replace(fewer, dataset="masks", scheme="own.toml", points=points, visible=visible)
write_pack("faces.npz", faces)
write_pack("mask.npz", masks)
PY
rm own.toml  # `write_pack` put a copy beside the pack.

train() {
    "$python" -m jaxlm.train --data.batch-size 4 --data.validation-percent 40 --data.cache device "$@"
}
evaluate() {
    "$python" -m jaxlm.evaluate --split test "$@"
}

tiny="--experiment debug --model.options.widths 2 3 --model.options.head-width 2"
debug="$tiny --data.dataset faces.npz --epochs 4 --eval-every 2"
heads="$tiny --data.dataset faces.npz+mask.npz --data.scheme wflw98+mask.toml --epochs 1 --model.options.norm batch"
train $debug --workdir runs/debug
cp runs/debug/metrics.jsonl straight.jsonl
rm -r runs/debug/checkpoints/8  # As if the run had been stopped after step 4.
sed -i '/"step": 8/d' runs/debug/metrics.jsonl
train $debug --workdir runs/started --init-from runs/debug
train $heads --workdir runs/heads
(
    export XLA_FLAGS="--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"  # Compiles sooner.
    train --workdir runs/vunet --experiment vunet_synthetic --epochs 1 --eval-every 1 --data.dataset faces.npz \
        --model.input-size 8 --model.options.width 1 --model.options.encoder-width 1 --model.options.max-width 2
)

evaluate --workdir runs/debug
evaluate --workdir runs/heads
evaluate --workdir runs/heads --head mask

mkdir -p bundles
bundle() {
    "$python" -m jaxlm.export --format bundle "$@"
}
bundle --workdir runs/debug --out bundles/debug.npz
bundle --workdir runs/heads --head mask --out bundles/heads_mask.npz

"$python" - <<'PY'
import json
import pathlib

import jax
import numpy as np
from data_pipelines.input import open_splits
from jaxlm import Landmarker, translation
from jaxlm.progress import read_metrics

numbers = {}
for pack in ("faces", "mask"):
    for split, faces in open_splits(f"{pack}.npz", "").items():
        numbers[f"{pack}/{split}/points"] = faces.points
        numbers[f"{pack}/{split}/brightness"] = faces.images(np.arange(len(faces))).mean((1, 2, 3))
for run, folder in (("debug", "synthetic-test"), ("heads", "synthetic-test"), ("heads_mask", "masks-test-mask")):
    folder = pathlib.Path("runs", run.removesuffix("_mask"), "evaluation", folder)
    predictions = np.load(folder / "predictions.npz")
    numbers |= {f"{run}/{name}": predictions[name] for name in ("points", "nme")}
    numbers[f"{run}/mean"] = json.loads((folder / "metrics.json").read_text())["rows"][0]["nme"]
photo = open_splits("faces.npz", "")["test"].images(np.arange(1))[0]
for bundle in pathlib.Path("bundles").iterdir():
    (face,) = Landmarker.load(bundle).predict(photo, [10, 12, 47, 50])
    numbers[f"{bundle.stem}/face"] = face.points
translator = translation.load_translator("runs/vunet")
images, points = translation.crops_of(open_splits("faces.npz", "")["test"], np.arange(2), translator)
structures = translation.structures_of(points, translator)
rendered = translation.decode(translator, translation.encode(translator, images), structures)
numbers |= {"vunet/images": images, "vunet/structures": structures, "vunet/rendered": rendered}
for name, file in {"resumed": "straight.jsonl", "started": "runs/started/metrics.jsonl"}.items():
    for row in read_metrics(pathlib.Path(file)):
        for key in {"loss", "nme"} & row.keys():
            numbers[f"{name}/{row['step']}/{row['split']}/{key}"] = row[key]
np.savez_compressed("numbers.npz", **jax.device_get(numbers))
PY

rm -r runs/started
rm -r runs/*/evaluation runs/*/tensorboard runs/*/*.png straight.jsonl
find runs -name commit_success.txt -exec sed -i "s|$PWD/||" {} +  # Where it ran is nobody else's business.
tar --create --xz --file runs.tar.xz --owner 0 --group 0 --sort name runs
rm -r runs
