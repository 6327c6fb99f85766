"""The container engine: images, base image, temporary tags, push, memory limit."""
