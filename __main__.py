"""Pipeline Service: one stack, one environment.

`load` reads and checks Pulumi.<stack>.yaml and what it refers to, `compose` registers everything that the
environment is made of, `export` hands out what others build on.
"""

from stacks.environment import compose
from stacks.loader import load
from stacks.outputs import export
from stacks.stack_traces import short_stack_traces

with short_stack_traces():
    outputs = compose(load())
export(outputs)
