"""KubeSpawner with jupyterhub-fancy-profiles: "Build your own image" starts the newest image of a repository.

The page sends the name of the image that it has seen built, and the hub remembers that name, so a start next
week would use last week's image. So each start looks up the newest image of the repository and ref that the
user entered, waits for its build if there is none yet, and starts what the service answers, not what the page
(or anyone with a token) sent.

This happens around `pre_spawn_hook`, before KubeSpawner starts, so that a build does not have to finish within
`start_timeout`. KubeSpawner then validates and applies the name like any unlisted choice.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from jupyterhub.utils import maybe_future
from kubespawner import KubeSpawner

from repo2hub_launcher.kubespawner import fancy_profiles
from repo2hub_launcher.service.client import ServiceClient, ServiceError
from repo2hub_launcher.service.records import Image, ImageNotReady
from repo2hub_launcher.service.user_token import service_as_user
from repo2hub_launcher.settings import Settings
from repo2hub_launcher.spawning import prepare_image
from repo2hub_launcher.spawning.prepare_image import SpawnRefused
from repo2hub_launcher.spawning.progress import Progress
from repo2hub_launcher.spawning.user_options import Choice, InvalidOptions

_TOKEN_LIFETIME_MARGIN = 300  # seconds beyond the longest build


class LauncherKubeSpawner(KubeSpawner):  # type: ignore[misc]  # it has no types
    """The base class that `setup_kubespawner` adds to a hub's KubeSpawner."""

    launcher: Settings
    user_options: dict[str, Any]

    def clear_state(self) -> None:
        """Reset the spawner before and after a server, its progress messages included."""
        super().clear_state()
        self._build_progress = Progress()
        # Otherwise KubeSpawner's progress would end at once, because the previous start has ended.
        self._start_future = None

    async def get_options_form(self) -> str:
        """Return the form, with a script that makes the browser send all fields."""
        form: str = await super().get_options_form()
        return f"{form}{fancy_profiles.SEND_DISABLED_FIELDS}" if form else form

    async def run_pre_spawn_hook(self) -> None:
        """Choose the image, then run the admin's own hook, which can see it. Raises SpawnRefused."""
        try:
            await self._choose_image()
        finally:
            await self._build_progress.close()
        await maybe_future(super().run_pre_spawn_hook())

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the events of the build, if there is one, then those of KubeSpawner for the pod."""
        async for event in self._build_progress.events():
            yield event
        async for event in super().progress():
            yield event

    async def _choose_image(self) -> None:
        option = await self._image_option()
        try:
            requested = fancy_profiles.parse_requested_image(self.user_options, option)
        except InvalidOptions as exc:
            raise SpawnRefused(str(exc)) from exc
        if requested is None:
            return
        try:
            image = await self._find_image_name(requested, option)
        except ServiceError as exc:
            # Below 500, because an outage of the service is no failure of the hub.
            raise SpawnRefused(str(exc), exc.status if exc.status < 500 else 424) from exc
        if not fancy_profiles.is_allowed(option, image):
            raise SpawnRefused(
                f"This hub does not allow the image {image}. Its admin can allow it with validation_regex."
            )
        # A copy, so that the hub remembers what the user entered.
        self.user_options = {**self.user_options, fancy_profiles.IMAGE_NAME_OPTION: image}

    async def _image_option(self) -> Mapping[str, Any]:
        """Return the `image` option of the selected profile, {} if it has none."""
        profiles = self.profile_list
        if callable(profiles):
            profiles = await maybe_future(profiles(self))
        profiles = self._get_initialized_profile_list(self._sorted_dict_values(profiles))
        if not profiles:
            return {}
        try:
            profile = self._get_profile(self.user_options.get("profile"), profiles)
        except ValueError:
            return {}  # KubeSpawner will refuse it
        options: Mapping[str, Mapping[str, Any]] = profile.get("profile_options") or {}
        return options.get(fancy_profiles.IMAGE_OPTION) or {}

    async def _find_image_name(
        self, requested: fancy_profiles.RequestedImage, option: Mapping[str, Any]
    ) -> str:
        """Return the name of the image to start. Raises ServiceError, SpawnRefused."""
        is_ours = requested.image is not None and fancy_profiles.parse_image_name(requested.image) is not None
        if requested.choice is None and fancy_profiles.has_validation_regex(option) and not is_ours:
            return str(requested.image)  # not built by the service, but the admin's validation_regex decides
        url, name = self.launcher.service_url, self.launcher.service_name
        seconds = self.launcher.build_wait + _TOKEN_LIFETIME_MARGIN
        with service_as_user(self, url=url, service=name, seconds=seconds) as service:
            if requested.choice is None:
                return await _require_built_image(service, str(requested.image))
            try:
                found = await service.lookup(str(requested.choice.repository), requested.choice.ref)
            except ServiceError as exc:
                if (
                    exc.status < 500
                    or requested.image is None
                    or not fancy_profiles.has_validation_regex(option)
                ):
                    raise
                await self._build_progress.add_message(
                    f"{exc} Starting the image that was built earlier: {requested.image}"
                )
                return requested.image
            return await self._newest_image(service, requested.choice, found)

    async def _newest_image(
        self, service: ServiceClient, choice: Choice, found: Image | ImageNotReady
    ) -> str:
        """Return the newest commit's image, built if needed, else the last successful one. Raises SpawnRefused."""
        if isinstance(found, Image):
            await self._build_progress.add_message(
                f"{choice.repository_and_ref}: commit {found.commit[:10]} is ready."
            )
            return found.name
        try:
            if not found.can_be_built:
                raise SpawnRefused(found.message)
            return (
                await prepare_image.build_image(
                    service, choice, self._build_progress, self.launcher.build_wait
                )
            ).name
        except SpawnRefused as exc:
            if found.fallback is None:
                raise
            await self._build_progress.add_message(
                f"{exc.jupyterhub_message} Starting the last successful image: {found.fallback.name}"
            )
            return found.fallback.name


async def _require_built_image(service: ServiceClient, image: str) -> str:
    """Return the image's name if the service built it. Raises ServiceError, SpawnRefused."""
    named = fancy_profiles.parse_image_name(image)
    if named is not None:
        found = await service.lookup(str(named.repository), named.ref)
        of_commit = found if isinstance(found, Image) else found.fallback
        if of_commit is not None and of_commit.name == image:
            return image
    raise SpawnRefused(
        f"{image} was not built by this hub's build service. Enter a repository instead, or ask the hub's admin "
        "to allow the image with validation_regex."
    )
