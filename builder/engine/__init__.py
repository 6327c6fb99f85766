"""The container engine and the registry: base image, temporary tags, push, memory limit."""
