"""Stand-in for pulumi-resource-command v1.2.1: the resource ``local.Command``, and nothing else."""
