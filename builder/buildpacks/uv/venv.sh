# Debian's /etc/profile sets PATH anew, and repo2docker's entrypoint runs a login shell: put back what the image's ENV said.
export PATH="${HOME}/.local/bin:${REPO_DIR}/.local/bin:${NB_PYTHON_PREFIX}/bin:${PATH}"
