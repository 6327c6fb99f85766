"""A hub on one machine: servers are Docker containers whose images repo2hub builds. See README.md beside it.

`make hub` runs this very file; what it sets by HUB_… variables has the values of a first installation otherwise.
"""

import os

from repo2hub_launcher import bridge_address, setup_dockerspawner

c = get_config()  # noqa: F821 -- given by the hub

# Browsers come to the proxy. Put a web server with TLS in front, or set c.JupyterHub.ssl_key and ssl_cert.
c.JupyterHub.bind_url = os.environ.get("HUB_URL", "http://127.0.0.1:8000")

# Containers reach the hub at the address of Docker's bridge.
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

# One password for all, to try it out. Put your own authenticator here.
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = os.environ["HUB_PASSWORD"]
c.Authenticator.allow_all = True

# Servers that nobody uses take memory from those who do: see jupyterhub-idle-culler.
