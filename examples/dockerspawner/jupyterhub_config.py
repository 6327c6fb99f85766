"""JupyterHub on one machine: user servers are Docker containers, repo2hub builds their images. See README.md.

`make hub` runs this file and sets the HUB_… variables; their defaults suit a first installation.
"""

import os

from repo2hub_launcher import bridge_address, setup_dockerspawner

c = get_config()  # noqa: F821 -- given by the hub

# Address of the proxy, for browsers. Put a web server with TLS in front, or set c.JupyterHub.ssl_key and ssl_cert.
c.JupyterHub.bind_url = os.environ.get("HUB_URL", "http://127.0.0.1:8000")

# Containers reach the hub on the address of Docker's bridge.
c.JupyterHub.hub_bind_url = f"http://{bridge_address()}:{os.environ.get('HUB_API_PORT', '8081')}"

setup_dockerspawner(
    c,
    service_url=os.environ.get("HUB_SERVICE_URL", "http://127.0.0.1:8585/services/binder/"),
    service_token=os.environ["HUB_SERVICE_TOKEN"],
    resources={
        "Small": {"memory": "1G", "cpu": 1},
        "Large": {"memory": "4G", "cpu": 2},
    },
    # fixed_images={"Data science": "registry.example.org/data-science:2026.11"},
)

# One shared password, for a trial only. Replace it with your authenticator.
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = os.environ["HUB_PASSWORD"]
c.Authenticator.allow_all = True

# To stop idle servers, install jupyterhub-idle-culler.
