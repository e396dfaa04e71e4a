"""Stand-in for pulumi-resource-kubernetes v4.34.2: objects of any kind that is served, and nothing else.

Behaviour from the public source of pulumi-kubernetes (provider/pkg); ``docs/adr/0001-stand-in-plugins.md``
lists where the stand-in differs.
"""
