"""Apply manifests as one unit: `python -m units apply|wait|delete`, as the program's commands do.

`deliver` hands a cluster over to its Argo CD or takes it back, or refuses to; `undeliver` says what stays on
one when its environment is destroyed; `place` puts namespaces there that Secrets are put into before Argo CD
comes.

Everything varying comes by the environment (`UNIT_…`) or on standard input. What was applied is recorded in
the cluster, before it is applied, so that a run that was killed is finished by the next, and a delete needs
no manifest.
"""
