"""A trained model on prepared faces: errors, tables, box errors, cost, SepBN's attention.

In: a `Trained` model and the faces of a split. Out: points, the NME of each face, rows of a table, files.
judging.py is the whole of one evaluation; inference.py is the jitted part of it.
"""

from jaxlm.evaluation.box_sensitivity import ErrorCurve, error_curves
from jaxlm.evaluation.cost import Summary, check_size, summarise, summarise_experiment
from jaxlm.evaluation.error_table import ErrorRow, error_rows, print_error_rows
from jaxlm.evaluation.inference import Predictions, Predictor, face_errors, point_errors
from jaxlm.evaluation.judging import VALIDATION, Evaluation, evaluate_and_write, evaluate_model, open_evaluation
from jaxlm.evaluation.relabelling import relabel_and_write, relabel_faces
from jaxlm.evaluation.shapes import check_shapes

__all__ = [
    "VALIDATION",
    "ErrorCurve",
    "ErrorRow",
    "Evaluation",
    "Predictions",
    "Predictor",
    "Summary",
    "check_shapes",
    "check_size",
    "error_curves",
    "error_rows",
    "evaluate_and_write",
    "evaluate_model",
    "face_errors",
    "open_evaluation",
    "point_errors",
    "print_error_rows",
    "relabel_and_write",
    "relabel_faces",
    "summarise",
    "summarise_experiment",
]
