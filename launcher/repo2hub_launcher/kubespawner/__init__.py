"""KubeSpawner with jupyterhub-fancy-profiles."""
