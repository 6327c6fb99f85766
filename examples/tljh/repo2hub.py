"""repo2hub on The Littlest JupyterHub. Copy to /opt/tljh/config/jupyterhub_config.d/. See README.md."""

import os
from pathlib import Path

from repo2hub_launcher import bridge_address, setup_dockerspawner

c = get_config()  # noqa: F821 -- given by the hub

# By default, TLJH's hub listens where containers cannot reach it. They can reach Docker's bridge.
c.JupyterHub.hub_ip = bridge_address()

token = Path(os.environ.get("REPO2HUB_TOKEN_FILE", "/opt/tljh/state/repo2hub.token"))

setup_dockerspawner(
    c,
    service_url=os.environ.get("REPO2HUB_SERVICE_URL", "http://127.0.0.1:8585/services/binder/"),
    service_token=token.read_text().strip(),
    resources={
        "Small": {"memory": "1G", "cpu": 1},
        "Large": {"memory": "4G", "cpu": 2},
    },
    # fixed_images={"Data science": "registry.example.org/data-science:2026.11"},
)

# Keeps users' files. It hides the image's home folder, so the service needs REPO2HUB_REPO_DIR=/srv/repo.
c.DockerSpawner.volumes = {"jupyterhub-home-{username}": "/home/jovyan"}
