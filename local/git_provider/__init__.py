"""A Git provider for the embedded environment: what events need of GitHub's and GitLab's APIs, for real.

Repositories are real Git repositories, deliveries real requests, signed as the providers sign them. What it
does not know it refuses with 404, and notes that it was asked.
"""
