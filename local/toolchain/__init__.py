"""The tools of the embedded environment: found on PATH where they fit, else built once from Go modules."""
