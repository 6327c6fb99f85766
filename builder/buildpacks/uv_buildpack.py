"""A repo2docker buildpack that installs Python packages with uv on the base image's own Python.

repo2docker's conda buildpacks take minutes. This one builds a repository that needs only Python packages in
seconds, as an image that behaves the same: user, folders, entrypoint, programs, which files are read and in
which order. Layers, from the most to the least shared: locale and user (repo2docker's), Jupyter (the same for
all repositories, built once per engine), apt.txt, requirements.txt, the repository. A changed notebook rebuilds
the last one only.

File contents never reach a shell: scripts name files, and uv reads them. (repo2docker's own code handles apt.txt.)
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from repo2docker.buildpacks.base import BaseImage

from builder.buildpacks import uv_detect, uv_requirements

_DATA = Path(__file__).parent / "uv"
_JUPYTER, _UV, _PROFILE = (str(_DATA / name) for name in ("jupyter.txt", "uv.txt", "venv.sh"))
_MOUNT_UV = "--mount=type=bind,from=uv,source=/opt/uv,target=/opt/uv"
_CACHE_DIR = "/opt/uv-cache"

# A stage of its own: uv takes 38 MB that no image needs, so the image's steps only mount it. Debian's and Ubuntu's
# python3 may come without the venv package; installed here, it stays out of the image.
_UV_STAGE = """\
FROM {base_image} AS uv
RUN python3 -m venv /opt/uv 2> /dev/null || ( \\
      apt-get -qq update && \\
      apt-get -qq install --yes --no-install-recommends python3-venv > /dev/null && \\
      python3 -m venv /opt/uv )
COPY {uv_txt} /tmp/uv.txt
RUN /opt/uv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes -r /tmp/uv.txt
"""

# No cache mount: all repositories share this layer, so none may influence it.
_INSTALL_JUPYTER = """\\
    export UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never && \\
    /opt/uv/bin/uv venv --quiet --python /usr/bin/python3 ${NB_PYTHON_PREFIX} && \\
    /opt/uv/bin/uv pip install --quiet --compile-bytecode --only-binary :all: --require-hashes \\
        -r /tmp/fast-lane/jupyter.txt && \\
    rm -r /tmp/fast-lane"""


class UvBuildPack(BaseImage):  # type: ignore[misc] # repo2docker has no types
    """Builds the repositories that `uv_detect` accepts.

    `python_version` is the base image's ("3.11") or None. `cache_id` names the repository's cache mount; None
    for no cache. `required` means that no other buildpack follows, so that an unsupported repository fails the
    build.
    """

    def __init__(
        self,
        *,
        base_image: str,
        python_version: str | None,
        cache_id: str | None = None,
        required: bool = False,
    ) -> None:
        super().__init__(base_image)
        self._python_version = python_version
        self._cache_id = cache_id
        self._required = required
        self._uid = "1000"

    def detect(self) -> bool:
        """Return whether uv can build the repository in the current folder.

        Raises InvalidRepository for a link out of the repository, or if uv is `required` but cannot build it.
        """
        uv_detect.check_links(self.binder_dir)
        name, version, _ = self.runtime
        reason = uv_detect.unsupported_reason(self.binder_dir, (name, version), self._python_version)
        if reason is None:
            return True
        if self._required:
            raise uv_detect.InvalidRepository(
                f"{reason}. This service only builds Python packages with uv (REPO2HUB_BUILDPACKS=uv)."
            )
        self.log.info(f"Not built with uv: {reason}.\n")
        return False

    def get_build_env(self) -> list[tuple[str, str]]:
        """Return the variables in which repo2docker and uv look for Python's location."""
        return [
            *super().get_build_env(),
            ("NB_PYTHON_PREFIX", "${APP_BASE}/venv"),
            ("KERNEL_PYTHON_PREFIX", "${NB_PYTHON_PREFIX}"),
            ("VIRTUAL_ENV", "${NB_PYTHON_PREFIX}"),
        ]

    def get_path(self) -> list[str]:
        return ["${NB_PYTHON_PREFIX}/bin"]

    def get_build_script_files(self) -> dict[str, str]:
        return {
            _JUPYTER: "/tmp/fast-lane/jupyter.txt",  # noqa: S108 # a path in the image
            _UV: "/tmp/fast-lane/uv.txt",  # noqa: S108
            _PROFILE: "/etc/profile.d/venv.sh",
        }

    def get_build_scripts(self) -> list[tuple[str, str]]:
        """Return the layers before any file of the repository: Jupyter, then the packages of apt.txt.

        repo2docker installs apt.txt after it has copied requirements.txt, so a new requirement would repeat it.
        """
        return [
            ("root", "install -d -o ${NB_USER} -g ${NB_USER} ${NB_PYTHON_PREFIX}"),
            ("${NB_USER}", f"{_MOUNT_UV} {_INSTALL_JUPYTER}"),
            *super().get_preassemble_scripts(),
        ]

    def get_preassemble_script_files(self) -> dict[str, str]:
        return {self._requirements: self._requirements} if self._installs_before_copy() else {}

    def get_preassemble_scripts(self) -> list[tuple[str, str]]:
        return [self._install(f"-r {self._requirements}")] if self._installs_before_copy() else []

    def get_assemble_scripts(self) -> list[tuple[str, str]]:
        """Return the steps that need the repository's files: local requirements, then the repository as a
        package."""
        scripts = []
        if Path(self._requirements).exists() and not self._installs_before_copy():
            scripts.append(self._install(f"-r {self._requirements}"))
        if uv_detect.is_package(self.binder_dir):
            scripts.append(self._install("."))
        return scripts

    def render(self, build_args: dict[str, str] | None = None) -> str:
        """Return the Dockerfile: the stage with uv, then repo2docker's template."""
        self._uid = str(int((build_args or {}).get("NB_UID", self._uid)))
        uv_txt, _ = self.generate_build_context_filename(_UV)
        stage = _UV_STAGE.format(base_image=self.base_image, uv_txt=uv_txt)
        return stage + str(super().render(build_args))

    def build(self, *args: Any, **kwargs: Any) -> Iterator[str]:
        """Yield the engine's output with the cache id masked: BuildKit prints each instruction with its mounts."""
        for line in super().build(*args, **kwargs):
            yield line.replace(self._cache_id, "***") if self._cache_id else line

    @property
    def _requirements(self) -> str:
        return str(self.binder_path("requirements.txt"))

    def _installs_before_copy(self) -> bool:
        path = Path(self._requirements)
        # COPY copies a link's target, whose lines may be relative to its own folder.
        if not path.is_file() or path.is_symlink():
            return False
        return uv_requirements.is_independent(uv_requirements.decode_requirements(path.read_bytes()))

    def _install(self, what: str) -> tuple[str, str]:
        """Return the script that installs `what` as pip would, with the repository's cache mounted.

        Like pip, it compares all indices (uv's default is the first one that has the package) and compiles
        bytecode: an image is built once but started often. Importing pandas and scipy then takes 1.5 s instead
        of 3.8 s, for 6.6 s more in the build.
        """
        mounts, cache = _MOUNT_UV, "UV_NO_CACHE=1"
        if self._cache_id:
            owner = f"uid={self._uid},gid={self._uid}"
            mounts += f" --mount=type=cache,id={self._cache_id},target={_CACHE_DIR},{owner}"
            # The cache is on another file system than the environment, so files cannot be linked.
            cache = f"UV_CACHE_DIR={_CACHE_DIR} UV_LINK_MODE=copy"
        settings = f"{cache} UV_PYTHON_DOWNLOADS=never"
        command = f"/opt/uv/bin/uv pip install --index-strategy unsafe-best-match --compile-bytecode {what}"
        return ("${NB_USER}", f"{mounts} {settings} {command}")
