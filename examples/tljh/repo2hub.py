"""repo2hub on The Littlest JupyterHub: goes to /opt/tljh/config/jupyterhub_config.d/. See README.md beside it."""

import os
from pathlib import Path

from repo2hub_launcher import bridge_address, setup_dockerspawner

c = get_config()  # noqa: F821 -- given by the hub

# TLJH's hub listens where no container reaches it; Docker's bridge is where all of them do.
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

# What people keep. It hides what images have in the home folder: hence the service's REPO2HUB_REPO_DIR=/srv/repo.
c.DockerSpawner.volumes = {"jupyterhub-home-{username}": "/home/jovyan"}
