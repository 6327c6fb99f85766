"""DockerSpawner with the spawn form, and what starting a container needs."""
