"""Pipeline Service: load the stack's settings, compose the environment, export what others build on."""

from stacks.environment import compose
from stacks.loader import load
from stacks.outputs import export

export(compose(load()))
