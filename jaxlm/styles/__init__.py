"""AVS (ICCV 2019): a trained translator draws faces in the styles of others.

In: prepared faces and a translator's run. Out: renders with unchanged labels, and checks of what the styles carry.
translation.py is the translator at work; rendering.py draws a training set; translator_report.py and disentangling.py
judge a translator.
"""

from jaxlm.styles.disentangling import check_translator
from jaxlm.styles.feature_networks import load_features
from jaxlm.styles.rendering import draw_renders, stylize
from jaxlm.styles.translation import Translator, load_translator
from jaxlm.styles.translator_report import judge_translator, report_translator

__all__ = [
    "Translator",
    "check_translator",
    "draw_renders",
    "judge_translator",
    "load_features",
    "load_translator",
    "report_translator",
    "stylize",
]
