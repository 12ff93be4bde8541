"""Several models together: reports that compare them, what few labels are worth, and studies of arms and seeds.

In: workdirs and files of weights, or a study's file. Out: one HTML page, or a table of arms, shares and seeds.
report_*.py make the page; limited_data_*.py plan, run and compare trainings on shares of the labels; comparison/ does
so for arms that a file names. intervals.py and run_errors.py are what both need.
"""

from jaxlm.studies.limited_data_arms import ARMS
from jaxlm.studies.limited_data_runs import follow_protocol
from jaxlm.studies.reporting import write_report

__all__ = [
    "ARMS",
    "follow_protocol",
    "write_report",
]
