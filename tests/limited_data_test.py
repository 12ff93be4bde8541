"""The limited-data protocol: shares of the faces, equal steps, going on, the table, and what it claims."""

import dataclasses
import functools
import json
import pathlib

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import experiment, limited_data
from jaxlm.checkpoints import Checkpoints, directory_of
from jaxlm.config import Config
from jaxlm.data_pipelines import input as input_lib
from jaxlm.images.augment import AugmentConfig
from jaxlm.studies import intervals, limited_data_report, limited_data_runs
from jaxlm.studies.limited_data_arms import geometric, photometric, total_steps, with_equal_steps
from jaxlm.studies.limited_data_plan import Plan, config_of, make_plan, pieces_of, read_plan, remember
from jaxlm.training import loop
from tiny_translator import make_translator
from tolerances import assert_float32_close, float32_error

TINY_TRANSLATOR = {"width": 4, "encoder_width": 4, "max_width": 8}


@pytest.fixture
def translator(debug: Config) -> Config:
    config = experiment.load("vunet_synthetic")
    data = dataclasses.replace(debug.data, crop=config.data.crop)
    model = dataclasses.replace(config.model, input_size=8, options=TINY_TRANSLATOR)
    return experiment.spell_out(dataclasses.replace(config, model=model, data=data, epochs=1))


@pytest.fixture
def plan(debug: Config, translator: Config) -> Plan:
    return make_plan(debug, translator, [100, 25], [0, 1], ["avs", "real", "self"], styles=2, steps=7)


def numbered_faces(pack: pathlib.Path, count: int = 900) -> input_lib.Faces:
    """Faces 0 to `count` - 1, three to a group."""
    faces = input_lib.open_faces(str(pack), "train", "").take(np.arange(count) % 60)
    names = tuple(map(str, range(count)))
    return dataclasses.replace(faces, names=names, groups=tuple(f"photo{i % (count // 3)}" for i in range(count)))


def test_smaller_shares_of_the_faces_are_parts_of_larger_ones(pack: pathlib.Path):
    faces = numbered_faces(pack)
    before: set[str] = set()
    for percent in (1, 10, 20, 50, 99, 100):
        share = input_lib.label_subset(faces, percent, seed=3)
        assert len(share) == pytest.approx(9 * percent, abs=2)  # Groups of three stay together.
        assert before < set(share.names)
        assert list(share.names) == sorted(share.names, key=int)
        assert all(share.groups.count(group) == 3 for group in share.groups)
        before = set(share.names)
    assert share.names == faces.names


def test_a_share_is_drawn_by_the_seed_and_not_by_the_order_of_the_faces(pack: pathlib.Path):
    faces = numbered_faces(pack)
    ours = set(input_lib.label_subset(faces, 20, seed=0).names)
    turned = input_lib.label_subset(faces.take(np.arange(900)[::-1]), 20, seed=0)
    assert set(turned.names) == ours
    other = set(input_lib.label_subset(faces, 20, seed=1).names)
    assert 0.1 < len(ours & other) / 180 < 0.35  # A fifth, by chance.


def test_all_see_the_same_share_and_the_same_held_out_faces(plan: Plan, tmp_path: pathlib.Path, pack: pathlib.Path):
    everyone, held_out = input_lib.hold_out(input_lib.open_faces(str(pack), "train", ""), 20)
    seen = {}
    for piece in pieces_of(plan):
        if piece.name in ("translator", "real"):
            _, training, validation = loop.prepare_run(config_of(plan, piece, tmp_path))
            seen[piece.seed, piece.percent, piece.name] = training.names
            assert validation.names == held_out.names
            assert len(training) == plan.faces[f"seed{piece.seed}/{piece.percent:g}_percent"]
    for seed in (0, 1):
        assert seen[seed, 100, "real"] == everyone.names
        assert set(seen[seed, 25, "real"]) < set(everyone.names)
        for percent in (25, 100):
            assert seen[seed, percent, "real"] == seen[seed, percent, "translator"]
    assert seen[0, 25, "real"] != seen[1, 25, "real"]


def test_arms_and_shares_have_equal_steps_and_schedules(plan: Plan, tmp_path: pathlib.Path):
    recipes = [
        loop.prepare_run(config_of(plan, piece, tmp_path))[0] for piece in pieces_of(plan) if piece.name == "real"
    ]
    assert [recipe.total_steps for recipe in recipes] == [6] * 4  # 7, in 3 epochs of 2.
    rates = {tuple(float(recipe.learning_rate(step)) for step in range(6)) for recipe in recipes}
    assert len(rates) == 1
    assert plan.translator.steps_per_epoch == plan.faces["seed0/100_percent"] // 8


def test_arms_differ_in_what_they_are_named_for_alone(debug: Config, translator: Config, tmp_path: pathlib.Path):
    plan = make_plan(debug, translator, [50], [4], ["real", "photometric", "self", "avs", "both"], styles=3)
    configs = {piece.name: config_of(plan, piece, tmp_path) for piece in pieces_of(plan) if piece.kind == "detector"}
    folder = tmp_path / "seed4" / "50_percent"
    styled = {name: config.data.styled for name, config in configs.items()}
    assert styled == {
        "real": None,
        "photometric": None,
        "self": str(folder / "self_set" / "faces.npz"),
        "avs": str(folder / "avs_set" / "faces.npz"),
        "both": str(folder / "avs_set" / "faces.npz"),
    }
    # The experiment's own strengths: colour 0.2.
    assert {name: config.augment.colour for name, config in configs.items()} == {
        "real": 0, "photometric": 0.2, "self": 0, "avs": 0, "both": 0.2,
    }  # fmt: skip
    for config in configs.values():
        data = dataclasses.replace(config.data, styled=None)
        assert dataclasses.replace(config, data=data, augment=configs["real"].augment) == configs["real"]
    assert configs["real"].seed == 4


def test_photometric_strengths_are_the_experiments_own_or_the_protocols():
    plain = AugmentConfig(rotation=30.0, flip=True, occlusion=0.5)
    assert photometric(plain) == dataclasses.replace(plain, colour=0.4, hue=0.05, grey=0.2, blur=0.2)
    own = dataclasses.replace(plain, grey=1.0)
    assert (photometric(own), geometric(own)) == (own, plain)


def test_the_pieces_and_their_work(plan: Plan):
    pieces = pieces_of(plan)
    names = ["translator", "avs_set", "self_set", "real", "self", "avs"]
    assert [piece.name for piece in pieces] == 4 * names
    assert [(piece.seed, piece.percent) for piece in pieces[::6]] == [(0, 25), (0, 100), (1, 25), (1, 100)]
    faces = plan.faces["seed0/25_percent"]
    assert [piece.work for piece in pieces[:6]] == [6, 2 * faces, faces, 6, 6, 6]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"detector": {"seed": 1}}, "the detector has seed = 1; leave it out"),
        ({"detector": {"data.styled": "x"}}, r"the detector has data\.styled = 'x'"),
        (
            {"translator": {"data.validation_percent": 5}},
            r"have data\.validation_percent = 20 and 5; give it behind --",
        ),
        (
            {"translator": {"model.name": "cnn", "model.options": {}, "task.name": "coordinates", "task.options": {}}},
            "model cnn: give a detector as --experiment, and as --translator one of the models vunet",
        ),
        ({"steps": 2}, "2 steps do not make 3 epochs of model cnn"),
        ({"styles": 60}, "--styles 60 of other faces want 61"),
        ({"styles": 0}, "--styles must be at least 1"),
        ({"fractions": [2.0]}, r"seed0/2_percent has 2 faces, .* want 8; leave out such small --fractions"),
        ({"fractions": [10, 110]}, "above 0 and at most 100"),
    ],
)
def test_wrong_plans_are_refused(debug: Config, translator: Config, changes: dict, message: str):
    def changed(config: Config, fields: dict) -> Config:
        values = json.loads(experiment.to_json(config))
        for name, value in fields.items():
            *sections, field = name.split(".")
            (values[sections[0]] if sections else values)[field] = value
        return experiment.from_json(json.dumps(values))

    options = {"fractions": [100], "styles": 2, "steps": 6} | changes
    options["detector"] = changed(debug, changes.get("detector", {}))
    options["translator"] = changed(translator, changes.get("translator", {}))
    with pytest.raises(ValueError, match=message):
        make_plan(seeds=[0], arms=["real", "avs"], **options)


def test_a_plan_is_remembered_and_another_one_is_refused(plan: Plan, tmp_path: pathlib.Path):
    remember(plan, tmp_path)
    assert read_plan(tmp_path / "plan.json") == plan
    assert len(json.loads((tmp_path / "plan.json").read_text())["pieces"]) == 24
    more = dataclasses.replace(
        plan, seeds=(0, 1, 2), faces=plan.faces | {"seed2/25_percent": 12, "seed2/100_percent": 48}
    )
    remember(more, tmp_path)
    other = dataclasses.replace(
        plan, detector=with_equal_steps(plan.detector, 9, 48), styles=3, faces=plan.faces | {"seed0/25_percent": 3}
    )
    expected = "detector, steps_per_epoch: 2 here, 3 asked for\n  styles: 2 here, 3 asked for\n  faces of seed0/25"
    with pytest.raises(ValueError, match=expected):
        remember(other, tmp_path)
    assert read_plan(tmp_path / "plan.json") == more


class Fakes:
    """Stands in for training, drawing and judging; the detector `avs` is as good as `skill` says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, interrupt_at: int | None = None) -> None:
        self.done: list[str] = []
        self.interrupt_at = interrupt_at
        monkeypatch.setattr(loop, "fit", lambda config, workdir: self.do(workdir))
        monkeypatch.setattr(limited_data_runs, "draw_set", lambda plan, piece, workdir: self.do(piece.folder(workdir)))
        monkeypatch.setattr(limited_data_runs, "judge_detector", self.judge)

    def do(self, folder: pathlib.Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if len(self.done) == self.interrupt_at:
            raise SystemExit(143)
        self.done.append("/".join(folder.parts[-3:]))

    def judge(self, plan, piece, workdir, split):
        base = {"real": 0.06, "self": 0.05, "avs": 0.04}[piece.name]
        return {"faces": [split, "b"], "nme": [base + 0.01 * piece.seed, base + 0.1 * (split == "test")]}


def test_a_stopped_command_goes_on_with_the_piece_it_stood_at(plan: Plan, tmp_path, monkeypatch, capsys):
    stopped = Fakes(monkeypatch, interrupt_at=4)
    with pytest.raises(SystemExit, match="143"):
        limited_data_runs.run_pieces(plan, tmp_path, ["validation"])
    assert stopped.done[-1] == "seed0/25_percent/real"
    printed = capsys.readouterr().out
    assert "[5/24] 25 %, seed 0: self; " in printed
    assert "[6/24]" not in printed
    rest = Fakes(monkeypatch)
    limited_data_runs.run_pieces(plan, tmp_path, ["validation"])
    assert rest.done[0] == "seed0/25_percent/self"
    assert len(stopped.done + rest.done) == len(set(stopped.done + rest.done)) == 24
    again = Fakes(monkeypatch)
    limited_data_runs.run_pieces(plan, tmp_path, ["validation"])
    assert again.done == []


def test_another_split_and_another_seed_do_what_is_missing(plan: Plan, tmp_path, monkeypatch):
    one = dataclasses.replace(plan, seeds=(0,))
    Fakes(monkeypatch)
    limited_data_runs.run_pieces(one, tmp_path, ["validation"])
    more = Fakes(monkeypatch)
    limited_data_runs.run_pieces(plan, tmp_path, ["validation", "test"])
    # Detectors of the first seed are looked up once more, and nothing is drawn or translated twice.
    assert [done for done in more.done if done.startswith("seed0")] == [
        f"seed0/{percent}_percent/{arm}" for percent in (25, 100) for arm in ("real", "self", "avs")
    ]
    errors = limited_data_runs.collect_errors(plan, tmp_path, "test")
    assert list(errors) == [(percent, arm) for percent in (25, 100) for arm in ("real", "self", "avs")]
    assert_float32_close(errors[25, "avs"], [[0.04, 0.14], [0.05, 0.14]], depth=1)


def test_time_left_is_that_of_finished_pieces_of_the_kind(plan: Plan):
    pieces = pieces_of(plan)[:6]
    results = {piece: {} for piece in pieces}
    results[pieces[0]], results[pieces[3]] = {"seconds": 100.0}, {"seconds": 60.0}
    assert limited_data_runs.time_left(pieces, results) == "time left not known yet"
    results[pieces[1]] = {"seconds": 2.0 * pieces[1].work}
    assert limited_data_runs.time_left(pieces, results) == f"about 0:02:{2 * pieces[2].work:02d} left"


def test_overrides_are_for_both_or_for_one():
    common, detector = ["--data.cache", "device"], ["--detector.epochs", "3"]
    translator = ["--translator.model.options.widths", "4", "-8"]
    assert limited_data.split_overrides([*common, *detector, *translator, "--seed", "1"]) == {
        "detector": ["--data.cache", "device", "--epochs", "3", "--seed", "1"],
        "translator": ["--data.cache", "device", "--model.options.widths", "4", "-8", "--seed", "1"],
    }


def made_up_errors() -> dict[tuple[float, str], np.ndarray]:
    """Two seeds of 400 faces of NME about 0.05; avs takes 0.01 off each, self 0.001 on average."""
    rng = np.random.default_rng(0)
    real = 0.05 + 0.02 * rng.standard_normal((2, 400)).astype(np.float32)
    luck = 0.02 * rng.standard_normal((2, 400)).astype(np.float32)
    return {(10.0, "real"): real, (10.0, "self"): real + luck - luck.mean() - 0.001, (10.0, "avs"): real - 0.01}


def test_the_table_and_its_differences():
    errors = {(20.0, "real"): np.float32([[0.02, 0.04], [0.06, 0.12]])} | made_up_errors()
    row = limited_data_report.results_of(errors)[0]
    close = functools.partial(pytest.approx, rel=float32_error(depth=10))
    # Seeds have 3 and 9 %; of faces, one of four fails; areas (8 + 6) / 20 and 4 / 20.
    assert row._asdict() == {
        "percent": 20.0,
        "arm": "real",
        "nme": close(6),
        "deviation": close(np.sqrt(18)),
        "failure_rate": close(25),
        "auc": close((0.7 + 0.2) / 2),
    }
    alone = limited_data_report.results_of({(20.0, "real"): np.float32([[0.02, 0.04]])})[0]
    assert (alone.nme, alone.deviation) == (close(3), None)
    found = {(d.arm, d.other): d for d in limited_data_report.differences_of(errors)}
    assert set(found) == {("avs", "real"), ("avs", "self")}
    exact = found["avs", "real"]
    # Percentages of differences of errors up to 0.15, in means over 800 faces.
    assert_float32_close((exact.mean, exact.low, exact.high), (-1, -1, -1), depth=800, scale=15)
    assert_float32_close(found["avs", "self"].mean, -0.9, depth=800, scale=15)


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution():
    values = np.random.default_rng(1).normal(3.0, 2.0, 400)
    low, high = intervals.bootstrap(values)
    expected = values.mean() + 1.96 * values.std() / np.sqrt(400) * np.array([-1, 1])
    np.testing.assert_allclose((low, high), expected, rtol=0, atol=0.03)  # By the chance of the bootstrap's draws.


def test_avs_works_only_where_it_beats_both_beyond_the_interval():
    def said(real: tuple[float, float], own: tuple[float, float]) -> limited_data_report.Verdict:
        differences = [
            limited_data_report.Difference(10.0, "avs", other, sum(bounds) / 2, *bounds)
            for other, bounds in (("real", real), ("self", own), ("photometric", (0.2, 0.3)))
        ]
        elsewhere = [limited_data_report.Difference(20.0, "avs", other, 1.0, 0.9, 1.1) for other in ("real", "self")]
        return limited_data_report.verdict(10.0, differences + elsewhere)

    better, unclear, worse = (-0.5, -0.1), (-0.5, 0.1), (0.1, 0.5)
    assert said(better, better) == (10.0, True, "AVS works at 10 %: better than real and than self")
    assert said(unclear, better) == (
        10.0, False, "AVS did not work at 10 %: not clearly better than real (-0.200, -0.500 to +0.100)",
    )  # fmt: skip
    assert said(better, worse).text.endswith("not clearly better than self (+0.300, +0.100 to +0.500)")
    assert not said(unclear, worse).works
    assert limited_data_report.verdict(50.0, []).works is None


def test_the_report_is_written(plan: Plan, tmp_path: pathlib.Path, capsys):
    errors = made_up_errors()
    plan = dataclasses.replace(plan, fractions=(10.0,), faces={"seed0/10_percent": 9, "seed1/10_percent": 8})
    limited_data_report.report_study(plan, tmp_path, {"validation": errors, "test": errors}, "the generator's")
    printed = capsys.readouterr().out
    for expected in (
        "9, 8 faces, by seed (0, 1)",
        "inter-ocular",
        "the generator's",
        "AVS works at 10 %",
        "6 steps of 8",
    ):
        assert expected in printed
    document = json.loads((tmp_path / "limited_data.json").read_text())
    assert document["protocol"]["box"] == "the generator's"
    split = document["splits"]["test"]
    assert split["faces"] == 400
    assert [row["nme"] for row in split["rows"]] == [
        pytest.approx(100 * float(nme.mean()), rel=float32_error(depth=800)) for nme in errors.values()
    ]
    assert [verdict["works"] for verdict in split["verdicts"]] == [True]
    assert cv2.imread(str(tmp_path / "limited_data.png")).std() > 5


def test_the_whole_protocol_at_its_smallest(pack: pathlib.Path, tmp_path: pathlib.Path, capsys, monkeypatch):
    """All but the training of translators, which takes far longer to compile: one of random weights is saved."""
    untrained, fit = make_translator(pack, 8), loop.fit

    def fit_detectors(config: Config, workdir: pathlib.Path) -> None:
        if config.model.name != "vunet":
            fit(config, workdir)
            return
        with Checkpoints(directory_of(workdir), config, config.keep) as checkpoints:
            checkpoints.save(total_steps(config), untrained.variables, {"step": jnp.zeros(())})

    monkeypatch.setattr(loop, "fit", fit_detectors)
    widths = " ".join(f"--translator.model.options.{name} {value}" for name, value in TINY_TRANSLATOR.items())
    arguments = (
        f"--experiment debug --translator vunet_synthetic --workdir {tmp_path} --fractions 50 100 --seeds 0 "
        "--arms real self avs --styles 2 --steps 4 --translator-steps 3 --split test "
        f"-- --data.dataset {pack} --data.validation-percent 20 --data.batch-size 8 --epochs 1 "
        "--detector.model.options.widths 4 --detector.model.options.norm none "
        f"--translator.model.input-size 8 --translator.task.options.structure dots {widths}"
    ).split()
    limited_data.main(["--dry-run", *arguments])
    assert "sets:         4; " in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
    limited_data.main(arguments)
    printed = capsys.readouterr().out
    assert "[12/12] 100 %, seed 0: avs" in printed
    assert "AVS did not work at" in printed or "AVS works at" in printed
    document = json.loads((tmp_path / "limited_data.json").read_text())
    assert {name: split["faces"] for name, split in document["splits"].items()} == {"validation": 60 - 54, "test": 22}
    rows = document["splits"]["test"]["rows"]
    assert len({row["nme"] for row in rows}) == len(rows) == 6
