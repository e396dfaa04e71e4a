"""Stand-ins for two Pulumi resource plugins, for machines where the official ones cannot be had.

They speak the provider protocol to the real engine and act on real API servers and real processes. They serve
the embedded environment and its tests only; what they do not support they refuse by name. Why they exist and
where they differ from the official plugins: ``docs/adr/0001-stand-in-plugins.md``.
"""
