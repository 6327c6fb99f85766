"""DockerSpawner with the spawn form, and explanations of containers that do not start."""
