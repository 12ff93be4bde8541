"""Reading the official WFLW lists."""

from pathlib import Path

import numpy as np
import pytest

from jaxlm.data_pipelines.source import BadFaceError
from jaxlm.data_pipelines.sources.wflw import WFLW, parse_line
from jaxlm.landmarks import geometry
from jaxlm.landmarks.tables import Line, read_lines
from tiny_archives import LISTS, ring, wflw_line, write_wflw


def stop(error):
    raise error


def parse(line):
    return parse_line(Line(Path("list.txt"), 7, line), Path("images"))


def test_a_line_is_read_in_full():
    points = ring(98)
    label = parse(wflw_line("0--Parade/a.jpg", points, box=(1, 2, 30, 40), flags=(1, 0, 0, 1, 0, 1)))
    np.testing.assert_allclose(label.points, points, rtol=0, atol=1e-6)  # Of six decimals.
    np.testing.assert_array_equal(label.box, [1, 2, 30, 40])
    np.testing.assert_array_equal(label.attributes, [True, False, False, True, False, True])
    assert label.image == Path("images/0--Parade/a.jpg")
    assert label.group == "0--Parade/a.jpg"
    assert label.name == "0--Parade/a.jpg:7"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tokens: tokens[1:], "206 values instead of 207"),
        (lambda tokens: [*tokens, "x"], "208 values instead of 207"),
        (lambda tokens: ["one", *tokens[1:]], "value 1 is 'one', not a number"),
        (lambda tokens: [*tokens[:9], "nan", *tokens[10:]], "value 10 is 'nan', not a finite number"),
        (lambda tokens: [*tokens[:-2], "2", tokens[-1]], "attributes are 0 or 1"),
    ],
)
def test_bad_lines_name_file_and_line(change, message):
    line = " ".join(change(wflw_line("a.jpg", ring(98)).split()))
    with pytest.raises(BadFaceError, match=f"list.txt, line 7: .*{message}"):
        parse(line)


def test_splits_and_order_are_those_of_the_lists(tmp_path):
    splits = WFLW(write_wflw(tmp_path, num_train=5, num_test=3)).read(stop)
    assert {split: len(labels) for split, labels in splits.items()} == {"train": 5, "test": 3}
    assert [label.where.rsplit(" ", 1)[1] for label in splits["train"]] == list("12345")


def test_a_missing_list_says_what_source_must_be(tmp_path):
    write_wflw(tmp_path)
    (tmp_path / LISTS / "list_98pt_rect_attr_test.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"list_98pt_rect_attr_test\.txt is missing; --source is"):
        WFLW(tmp_path).read(stop)


def test_subset_sizes_and_eye_distances_of_the_official_test_set(shared_data: Path):
    file = shared_data / "wflw" / "labels_only" / "list_98pt_rect_attr_test_1966.txt"
    labels = [parse_line(line, Path()) for line in read_lines(file)]
    attributes = np.stack([label.attributes for label in labels])
    np.testing.assert_array_equal(attributes.sum(axis=0), [326, 314, 698, 206, 736, 773])
    distances = []
    for label in labels:
        to_frame = geometry.frame_affine(geometry.square_box(label.box), 256, 2.0)
        corners = geometry.transform(label.points[[60, 72]], to_frame)
        distances.append(np.linalg.norm(corners[0] - corners[1]))
    means = [np.mean(np.array(distances)[subset]) for subset in attributes.T]
    # Two decimals are published.
    np.testing.assert_allclose(means, [39.49, 55.43, 58.70, 60.66, 58.81, 58.25], rtol=0, atol=0.01)


def test_the_official_sample_is_read(shared_data: Path):
    splits = WFLW(shared_data / "wflw").read(stop)
    assert {split: len(labels) for split, labels in splits.items()} == {"train": 5, "test": 4}
    records = [WFLW.to_record(label, 256, 2.0) for labels in splits.values() for label in labels]
    inside = np.mean([np.all((record.points >= 64) & (record.points < 192), axis=-1) for record in records])
    assert inside > 0.9
