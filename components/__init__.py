"""The parts of Pipeline Service: each a thin Pulumi component round pure functions that make manifests."""
