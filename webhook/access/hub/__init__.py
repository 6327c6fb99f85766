"""JupyterHub's users: log in with OAuth, ask the hub, apply the settings."""
