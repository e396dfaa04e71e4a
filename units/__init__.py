"""Apply manifests as one unit: `python -m units apply|wait|delete`, as the program's commands do.

Everything varying comes by the environment (`UNIT_…`) or on standard input. What was applied is recorded in
the cluster, before it is applied, so that a run that was killed is finished by the next, and a delete needs
no manifest.
"""
