# The builder in a container. It builds with the engine of the host, through its socket:
#
#   docker buildx build -f Dockerfile.builder -t repo2hub-builder .
#   docker run -d --init --restart unless-stopped --name repo2hub-builder -v repo2hub-builder:/var/lib/repo2hub \
#       --user 1000 --group-add "$(stat -c %g /var/run/docker.sock)" -v /var/run/docker.sock:/var/run/docker.sock \
#       -v /etc/repo2hub/docker:/etc/repo2hub/docker:ro -e DOCKER_CONFIG=/etc/repo2hub/docker \
#       -e REPO2HUB_DATABASE_URL -e REPO2HUB_REGISTRY_URL repo2hub-builder
#
# The socket belongs to root and the group docker. Access to it is equivalent to root on the host, for any user.
#
# BASE_IMAGE is any Debian with Python 3.11 or newer and venv. If TLS is intercepted, use one with your CA bundle.
ARG BASE_IMAGE=python:3.11-slim-bookworm
FROM ${BASE_IMAGE}

RUN --mount=source=machine,target=/machine \
    /machine/packages ca-certificates git && /machine/docker-client && rm -rf /var/lib/apt/lists/*

# The locked requirements first, so that a change of our code reuses their layer.
RUN --mount=source=requirements-builder.lock,target=/requirements.lock \
    python3 -m venv /opt/repo2hub \
    && /opt/repo2hub/bin/pip install --quiet --no-cache-dir --no-deps --require-hashes -r /requirements.lock
RUN --mount=target=/source \
    /opt/repo2hub/bin/pip install --quiet --no-cache-dir --no-deps /source

# HOME is the data folder, which is writable for any --user.
ENV PATH=/opt/repo2hub/bin:$PATH \
    HOME=/var/lib/repo2hub \
    REPO2HUB_DATA_DIR=/var/lib/repo2hub
RUN mkdir -m 1777 /var/lib/repo2hub
WORKDIR /var/lib/repo2hub

# Without an engine that answers, the builder cannot build.
HEALTHCHECK --interval=60s --timeout=20s --start-period=10s CMD ["docker", "version"]
ENTRYPOINT ["repo2hub"]
CMD ["builder"]
