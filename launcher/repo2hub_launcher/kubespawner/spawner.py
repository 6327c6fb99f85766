"""KubeSpawner with jupyterhub-fancy-profiles: which image "Build your own image" means is decided when a server
starts.

The page names the image that it has just seen built, and the hub remembers that name: who starts again next
week would get last week's image. So each start asks the service for the newest image of the repository and ref
that were entered, waits for its build where there is none yet, and starts what the service answers, not what
the page (or anybody with a token) named.

All of it happens before KubeSpawner begins, in what runs around `pre_spawn_hook`, so that a build has its own
time limit and not the start's. KubeSpawner then checks and applies the name as it does with every unlisted
choice.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from jupyterhub.utils import maybe_future
from kubespawner import KubeSpawner

from repo2hub_launcher.kubespawner import fancy_profiles
from repo2hub_launcher.service.client import Image, ImageNotReady, ServiceClient, ServiceError
from repo2hub_launcher.service.user_token import service_as_user
from repo2hub_launcher.settings import Settings
from repo2hub_launcher.spawning import prepare_image
from repo2hub_launcher.spawning.prepare_image import SpawnRefused
from repo2hub_launcher.spawning.progress import Progress
from repo2hub_launcher.spawning.user_options import Choice, InvalidOptions

_BUILDABLE = ("none", "queued", "running", "cancelled")
_TOKEN_LIFETIME_MARGIN = 300  # seconds beyond the longest build


class LauncherKubeSpawner(KubeSpawner):  # type: ignore[misc]  # it has no types
    """What `setup_kubespawner` lays over a hub's KubeSpawner."""

    launcher: Settings
    user_options: dict[str, Any]

    def clear_state(self) -> None:
        """Begin a start, or end one: what is told of it is told anew."""
        super().clear_state()
        self._build_progress = Progress()
        # KubeSpawner's own progress would otherwise end at once, as that of the start before.
        self._start_future = None

    async def get_options_form(self) -> str:
        """Return the page's form, and see to it that all of it is sent."""
        form: str = await super().get_options_form()
        return f"{form}{fancy_profiles.SEND_DISABLED_FIELDS}" if form else form

    async def run_pre_spawn_hook(self) -> None:
        """Choose the image, then run the admin's own hook, which sees the choice. Raises SpawnRefused."""
        try:
            await self._choose_image()
        finally:
            await self._build_progress.close()
        await maybe_future(super().run_pre_spawn_hook())

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Tell of the build, where there is one, then what KubeSpawner tells of the pod."""
        async for event in self._build_progress.events():
            yield event
        async for event in super().progress():
            yield event

    async def _choose_image(self) -> None:
        option = await self._image_option()
        try:
            wanted = fancy_profiles.parse_requested_image(self.user_options, option)
        except InvalidOptions as exc:
            raise SpawnRefused(str(exc)) from exc
        if wanted is None:
            return
        try:
            image = await self._find_image_name(wanted, option)
        except ServiceError as exc:
            # Below 500: an outage of the service is none of the hub's.
            raise SpawnRefused(str(exc), exc.status if exc.status < 500 else 424) from exc
        if not fancy_profiles.is_allowed(option, image):
            raise SpawnRefused(
                f"This hub does not allow the image {image}; its admin can (validation_regex)."
            )
        # A new record: the one that the hub remembers stays as the person wrote it.
        self.user_options = {**self.user_options, fancy_profiles.IMAGE_NAME_OPTION: image}

    async def _image_option(self) -> Mapping[str, Any]:
        """Return the `image` option of the profile that was selected, {} where it has none."""
        profiles = self.profile_list
        if callable(profiles):
            profiles = await maybe_future(profiles(self))
        profiles = self._get_initialized_profile_list(self._sorted_dict_values(profiles))
        if not profiles:
            return {}
        try:
            profile = self._get_profile(self.user_options.get("profile"), profiles)
        except ValueError:
            return {}  # KubeSpawner refuses it
        options: Mapping[str, Mapping[str, Any]] = profile.get("profile_options") or {}
        return options.get(fancy_profiles.IMAGE_OPTION) or {}

    async def _find_image_name(self, wanted: fancy_profiles.RequestedImage, option: Mapping[str, Any]) -> str:
        """Return the name of the image to start. Raises ServiceError, SpawnRefused."""
        is_ours = wanted.image is not None and fancy_profiles.parse_image_name(wanted.image) is not None
        if wanted.choice is None and fancy_profiles.has_validation_regex(option) and not is_ours:
            return str(wanted.image)  # somebody's own image, and the admin's rule
        url, name = self.launcher.service_url, self.launcher.service_name
        life = self.launcher.build_wait + _TOKEN_LIFETIME_MARGIN
        with service_as_user(self, url=url, service=name, seconds=life) as service:
            if wanted.choice is None:
                return await _require_built_image(service, str(wanted.image))
            try:
                found = await service.lookup(str(wanted.choice.repository), wanted.choice.ref)
            except ServiceError as exc:
                if (
                    exc.status < 500
                    or wanted.image is None
                    or not fancy_profiles.has_validation_regex(option)
                ):
                    raise
                await self._build_progress.add_message(
                    f"{exc} Starting the image that was built before: {wanted.image}"
                )
                return wanted.image
            return await self._newest_image(service, wanted.choice, found)

    async def _newest_image(
        self, service: ServiceClient, choice: Choice, found: Image | ImageNotReady
    ) -> str:
        """Return the newest commit's image, built now if need be, else the last good one. Raises SpawnRefused."""
        if isinstance(found, Image):
            await self._build_progress.add_message(
                f"{choice.repository_and_ref}: commit {found.commit[:10]} is ready."
            )
            return found.name
        try:
            if found.state not in _BUILDABLE:
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
                f"{exc.jupyterhub_message} Starting the last good image: {found.fallback.name}"
            )
            return found.fallback.name


async def _require_built_image(service: ServiceClient, image: str) -> str:
    """Return the image's name if the service built it. Raises ServiceError, SpawnRefused."""
    said = fancy_profiles.parse_image_name(image)
    if said is not None:
        found = await service.lookup(str(said.repository), said.ref)
        of_commit = found if isinstance(found, Image) else found.fallback
        if of_commit is not None and of_commit.name == image:
            return image
    raise SpawnRefused(
        f"{image} was not built here, and this hub starts no other images: choose a repository instead. "
        "(Its admin can allow more by validation_regex.)"
    )
