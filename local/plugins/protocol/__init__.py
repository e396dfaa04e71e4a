"""The part of the provider protocol that both stand-ins share: values, paths, differences, errors, server."""
