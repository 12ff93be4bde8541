"""Several runs together: reports that compare them, and what few labels are worth.

In: workdirs. Out: one HTML page, or a table of arms, shares and seeds.
report_*.py make the page; limited_data_*.py plan, run and compare trainings on shares of the labels.
"""
