"""Pipeline Service: one stack, one environment.

`load` reads and checks Pulumi.<stack>.yaml and what it refers to, `compose` registers everything that the
environment is made of, `export` hands out what others build on.
"""

from stacks.environment import compose
from stacks.loader import load
from stacks.outputs import export

export(compose(load()))
