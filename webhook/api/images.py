"""The API of images: the image of a repository and ref, and the images that are ready to start."""

from dataclasses import dataclass

from flask import Blueprint, Response, jsonify, request

from base.repository_names import GITHUB
from db.queries import ref_images
from webhook.access.auth import Guard
from webhook.access.permissions import read_access
from webhook.builds.build_json import image_json
from webhook.builds.json_types import ImageJson, ImageListJson, MissJson, SpecPath
from webhook.builds.service import BuildRequest, BuildService
from webhook.http.openapi import ErrorJson, Operation, operation
from webhook.lookup.find_image import Hit, Miss
from webhook.lookup.revision import parse_spec
from webhook.monitoring.metrics import Metrics

MAX_IMAGES = 200
"""Images in a list: more than a user reads through, few enough to be requested often."""


@dataclass(frozen=True)
class ImagesApi:
    """The views of images."""

    builds: BuildService
    guard: Guard
    metrics: Metrics

    def blueprint(self) -> Blueprint:
        """Return the routes, to be registered under /api/v1."""
        api = Blueprint("images", __name__)
        api.before_request(lambda: self.guard.check(request))
        api.add_url_rule("/images", view_func=self.list_images, methods=["GET"])
        api.add_url_rule("/images/gh/<path:spec>", view_func=self.image, methods=["GET"])
        return api

    @operation(
        Operation(
            {200: ImageJson, 404: MissJson | ErrorJson},
            errors=(401, 403, 422, 503),
            path=SpecPath,
        )
    )
    def image(self, spec: str) -> Response | tuple[Response, int]:
        """Return the image of `org/repo/ref`, or why there is none; the ref defaults to HEAD."""
        target = parse_spec(spec, self.builds.settings.github_url)
        found = self.builds.find_image(BuildRequest(*target, self.guard.user()))
        self.metrics.lookup(hit=isinstance(found, Hit))
        if isinstance(found, Miss):
            return jsonify(self.builds.describer.miss(found)), 404
        answer = jsonify(image_json(found, repository=found.repository, ref=found.ref, stale=found.stale))
        lookup = self.builds.lookup
        if lookup.is_use_due(found):
            # After the response is sent: the start of a server does not wait for a write.
            answer.call_on_close(lambda: lookup.record_use(found.image_id))
        return answer

    @operation(Operation({200: ImageListJson}, errors=(401, 403, 503)))
    def list_images(self) -> Response:
        """Return the images that can be started now, newest first: the newest of each ref."""
        # The spawn page sends `org/repo`: it could show an image from another server, but not start it.
        access, recipe = read_access(self.guard.user()), self.builds.recipe
        with self.builds.database.read() as session:
            newest = ref_images.newest_of_refs(session, recipe, access, provider=GITHUB, limit=MAX_IMAGES)
        shown = [
            image_json(one, repository=one.repository, ref=one.ref)
            | {"commit_title": one.commit_title, "build": one.build_id}
            for one in newest
        ]
        return jsonify(images=shown)
