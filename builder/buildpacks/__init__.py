"""Turns a repository into a Dockerfile with repo2docker, or with uv."""
