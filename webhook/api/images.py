"""The images that are ready, for the hub's spawn page: the newest of each ref, whoever had it built."""

from dataclasses import dataclass

from flask import Blueprint, Response, jsonify, request
from sqlalchemy import and_, exists

from base.repository_names import GITHUB
from db.database import Database
from db.models import Build, Repository
from db.queries import ref_images
from db.queries.visibility import visible
from webhook.access.auth import Guard
from webhook.access.permissions import read_access
from webhook.builds import build_json

MAX_IMAGES = 200
"""Images in an answer: more than anybody reads through, few enough to be asked for again and again."""


@dataclass(frozen=True)
class ImagesApi:
    """The view of one deployment, whose images are made by `recipe`."""

    database: Database
    guard: Guard
    recipe: str

    def blueprint(self) -> Blueprint:
        """Return the route, to be registered under /api/v1."""
        ready = Blueprint("ready", __name__)
        ready.before_request(lambda: self.guard.check(request))
        ready.add_url_rule("/images", view_func=self.images, methods=["GET"])
        return ready

    def images(self) -> Response:
        """Answer the images that may be started at once, the newest first."""
        # The spawn page asks for `org/repo`: what is elsewhere it could show, but not start.
        at_github = exists().where(Repository.id == Build.repository_id, Repository.provider == GITHUB)
        seen = and_(visible(read_access(self.guard.user())), at_github)
        with self.database.read() as session:
            shown = [
                build_json.image(image, repository=build.repository.full_name, ref=ref)
                | {"commit_title": build.commit_title, "build": build.id}
                for ref, image, build in ref_images.newest_of_refs(
                    session, self.recipe, visible=seen, limit=MAX_IMAGES
                )
            ]
        return jsonify(images=shown)
