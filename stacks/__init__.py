"""One Pulumi stack is one environment: its settings, its composition and its outputs."""
