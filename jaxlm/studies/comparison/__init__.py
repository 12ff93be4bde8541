"""Studies of arms and seeds, told by a TOML file: every run is trained and judged, and arms are compared in pairs.

In: the file and a workdir. Out: a folder for each run, study.md, study.csv, study.json and study.png.
file.py reads, planning.py makes the runs, workdirs.py knows them again, working.py does them, outcomes.py stores what
came out, results.py compares, reporting.py writes.
"""

from jaxlm.studies.comparison.file import Study, find_file, read_study
from jaxlm.studies.comparison.planning import Run, make_plan
from jaxlm.studies.comparison.reporting import report_study
from jaxlm.studies.comparison.working import follow_study, show_plan

__all__ = [
    "Run",
    "Study",
    "find_file",
    "follow_study",
    "make_plan",
    "read_study",
    "report_study",
    "show_plan",
]
