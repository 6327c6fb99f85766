"""DockerSpawner with a spawn form. It starts only images that the service built or the admin listed."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import docker
from dockerspawner import DockerSpawner
from traitlets import Instance, default

from repo2hub_launcher.dockerspawner import form, permalink, start_failures
from repo2hub_launcher.service.client import ServiceClient, ServiceError
from repo2hub_launcher.service.records import Image
from repo2hub_launcher.service.user_token import service_as_user
from repo2hub_launcher.settings import Settings
from repo2hub_launcher.spawning import prepare_image, user_options
from repo2hub_launcher.spawning.progress import Progress
from repo2hub_launcher.spawning.user_options import Choice, InvalidOptions, parse_options

_LOOKUP_TOKEN_LIFETIME = 120
_FOUND_PERCENT = 78  # of the progress bar
_START_TIMEOUT_MARGIN = 5  # seconds of start_timeout that are left for the hub
_CONTAINER_POLL_INTERVAL, _POLL_INTERVAL = 0.5, 0.05
_AUTOSTART_REFUSED = "This hub does not allow links to start servers. Check the repository, then press Start."


class LauncherDockerSpawner(DockerSpawner):  # type: ignore[misc] # JupyterHub has no types
    """The spawner of `setup_dockerspawner`.

    The hub calls `apply_user_options`, which looks up the image, then `run_pre_spawn_hook`, which builds a
    missing image, then `start`. Only `start` has to finish within `start_timeout`; a build has `build_wait`.
    """

    launcher = Instance(Settings, config=True, help="The arguments of `setup_dockerspawner`.")

    extra_host_config: Any  # traits of DockerSpawner, which has no types
    object_id: Any

    @default("options_form")
    def _default_options_form(self) -> Any:
        return _render_form

    @default("options_from_form")
    def _default_options_from_form(self) -> Any:
        return _options_from_form

    @default("apply_user_options")
    def _default_apply_user_options(self) -> Any:
        return _apply_user_options

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._progress = Progress()
        self._choice_to_build: Choice | None = None
        self._choice_found: Choice | None = None
        self._description = ""

    async def run_auth_state_hook(self, auth_state: Any) -> None:
        """Run the hub's hook. This is also the last call before the hub reads a link's query."""
        await super().run_auth_state_hook(auth_state)
        permalink.prevent_autostart(self.handler, allow_autostart=self.launcher.allow_autostart)

    async def apply_choice(self, options: dict[str, Any]) -> None:
        """Set image, memory and CPU from user options. Raises SpawnRefused.

        All are set each time, because this object keeps their values after a server has stopped.
        """
        self._progress, self._choice_to_build, self._choice_found = Progress(), None, None
        try:
            choice = parse_options(options, self.launcher)
        except InvalidOptions as exc:
            raise prepare_image.SpawnRefused(str(exc)) from exc
        if choice.resources is not None:
            size = self.launcher.resources[choice.resources]
            self.mem_limit, self.cpu_limit = size.memory, size.cpu
        self._description = choice.describe()
        if choice.fixed is not None:
            self.image = self.launcher.fixed_images[choice.fixed]
            return
        started = asyncio.get_running_loop().time()
        with self._service_as_owner(_LOOKUP_TOKEN_LIFETIME) as service:
            found = await prepare_image.find_image(service, choice)
        seconds = asyncio.get_running_loop().time() - started
        state = found.name if isinstance(found, Image) else found.state
        self.log.info("Looked up %s at %s in %.3f s: %s", choice.repository, choice.ref, seconds, state)
        if isinstance(found, Image):
            self._choice_found = choice
            await self._use_image(found, choice)
        else:
            self._choice_to_build = choice

    async def run_pre_spawn_hook(self) -> None:
        """Build the image if it is missing, then run the admin's own hook."""
        is_removed = self._choice_found is not None and await self._is_removed(self.image)
        choice = self._choice_found if is_removed else self._choice_to_build
        if choice is not None:
            wait = self.launcher.build_wait
            with self._service_as_owner(wait + _LOOKUP_TOKEN_LIFETIME) as service:
                image = await prepare_image.build_image(
                    service, choice, self._progress, wait, is_removed=is_removed
                )
            await self._use_image(image, choice)
        hook = super().run_pre_spawn_hook()
        if hook is not None:
            await hook

    async def start(self) -> Any:
        """Start the container and return its address. Raises SpawnRefused if the image cannot run a server."""
        deadline = asyncio.get_running_loop().time() + self.start_timeout - _START_TIMEOUT_MARGIN
        await self._progress.add_message(
            f"Starting a server from {self._description[:1].lower()}{self._description[1:]}", 80
        )
        try:
            address = await super().start()
        except docker.errors.APIError as exc:
            if reason := start_failures.explain_start_error(str(exc.explanation or exc), self.cmd):
                raise prepare_image.SpawnRefused(f"{self._description}: {reason}") from exc
            raise
        await self._progress.add_message("The container is running. Waiting for the server in it", 90)
        ip, port = address
        await self._wait_until_responding(ip, port, deadline)
        return address

    async def create_object(self) -> Any:
        """Create the container, after checking what its volumes hide.

        The engine does not remove it when it exits, because its log explains why; `stop` and `poll` remove it.
        """
        await self._check_volumes()
        configured: Any = self.extra_host_config
        options = self._eval_if_callable(configured)
        if inspect.isawaitable(options):
            options = await options
        self.extra_host_config = {**options, "auto_remove": False}
        try:
            return await super().create_object()
        finally:
            self.extra_host_config = configured

    async def poll(self) -> Any:
        """Return None while the container runs, else its exit status; a container that has exited is removed."""
        status = await super().poll()
        if status is not None and self.object_id and self.remove and not self._start_pending:
            await self.remove_object()
            self.object_id = ""
        return status

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the events of the hub's progress page."""
        async for event in self._progress.events():
            yield event

    @contextmanager
    def _service_as_owner(self, seconds: int) -> Iterator[ServiceClient]:
        """Give a client that acts as the owner of this server, for at most `seconds`."""
        launcher = self.launcher
        try:
            with service_as_user(
                self, url=launcher.service_url, service=launcher.service_name, seconds=seconds
            ) as service:
                yield service
        except ServiceError as exc:
            raise prepare_image.SpawnRefused(str(exc), 403) from exc

    async def _use_image(self, image: Image, choice: Choice) -> None:
        self.image = image.name
        await self._progress.add_message(
            f"{choice.repository_and_ref}: commit {image.commit[:7]}", _FOUND_PERCENT
        )

    async def _is_removed(self, image: str) -> bool:
        """Return whether an image that is in no registry was removed from the engine.

        The service does not know that, and still reports the image as ready.
        """
        if not prepare_image.is_in_no_registry(image):
            return False
        try:
            await self.docker("inspect_image", image)
        except docker.errors.NotFound:
            return True
        return False

    async def _check_volumes(self) -> None:
        """Warn if a volume hides the image's repository. Raises SpawnRefused if it hides the `start` script."""
        found = await self.docker("inspect_image", self.image)
        hidden = start_failures.find_hidden_paths(self.volume_mount_points, found["Config"].get("Env") or [])
        if hidden.start:
            raise prepare_image.SpawnRefused(start_failures.START_IS_HIDDEN.format(mount=hidden.mount))
        if hidden.mount:
            await self._progress.add_message(start_failures.REPOSITORY_IS_HIDDEN.format(mount=hidden.mount))

    async def _wait_until_responding(self, ip: str, port: int, deadline: float) -> None:
        """Return when the server answers, or when the time of this call is over and the hub continues to wait.

        Raises SpawnRefused if the container has exited; the hub would only report a timeout.
        """
        if self.internal_ssl:
            return
        loop = asyncio.get_running_loop()
        deadline = min(deadline, loop.time() + self.http_timeout)
        next_poll = loop.time() + _CONTAINER_POLL_INTERVAL
        url = f"http://{ip}:{port}{self.server.base_url}api"
        while loop.time() < deadline and not await start_failures.is_responding(url):
            if loop.time() >= next_poll:
                if (status := await super().poll()) is not None:
                    reason = await self._explain_exit(status)
                    raise prepare_image.SpawnRefused(f"{self._description}: {reason}")
                next_poll = loop.time() + _CONTAINER_POLL_INTERVAL
            await asyncio.sleep(_POLL_INTERVAL)

    async def _explain_exit(self, status: object) -> str:
        try:
            log = await self.docker("logs", self.container_id, tail=20)
        except docker.errors.APIError:
            log = b""
        return start_failures.explain_exit(str(status), log.decode("utf-8", "replace"), self.cmd)


async def _render_form(spawner: LauncherDockerSpawner) -> str:
    """Return the form, filled in from the link, else from the last start of this or another server of the user."""
    arguments = spawner.handler.request.arguments if spawner.handler else {}
    link_fields = permalink.form_fields(arguments)
    note = (
        _AUTOSTART_REFUSED
        if permalink.asks_for_autostart(arguments) and not spawner.launcher.allow_autostart
        else ""
    )
    return form.render_form(
        spawner.launcher, link_fields=link_fields, last_options=_last_user_options(spawner), note=note
    )


def _last_user_options(spawner: LauncherDockerSpawner) -> dict[str, str]:
    """Return the last user options of this server; for a new server, the newest of any server of the user."""
    own = spawner.orm_spawner.user_options
    others = sorted(
        (other for other in spawner.user.orm_user._orm_spawners if other.user_options and other.started),
        key=lambda other: other.started,
    )
    last = own or (others[-1].user_options if others else {})
    return {name: value for name, value in last.items() if isinstance(value, str)}


def _options_from_form(data: dict[str, list[Any]]) -> dict[str, str]:
    try:
        return user_options.options_from_form(data)
    except InvalidOptions as exc:
        raise prepare_image.SpawnRefused(str(exc)) from exc


async def _apply_user_options(spawner: LauncherDockerSpawner, user_options: dict[str, Any]) -> None:
    await spawner.apply_choice(user_options)
