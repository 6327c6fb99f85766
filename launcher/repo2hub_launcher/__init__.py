"""The hub's side of repo2hub, for the hub's environment. In jupyterhub_config.py:

from repo2hub_launcher import setup_dockerspawner
setup_dockerspawner(c, service_url="http://127.0.0.1:8585/services/binder/", service_token="...")
"""

from repo2hub_launcher.configuration import setup_dockerspawner, setup_kubespawner
from repo2hub_launcher.dockerspawner.bridge_network import bridge_address
from repo2hub_launcher.settings import LauncherError

__all__ = ["LauncherError", "bridge_address", "setup_dockerspawner", "setup_kubespawner"]
