"""KubeSpawner with the form of jupyterhub-fancy-profiles."""
