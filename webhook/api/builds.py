"""The API of builds: list, request, show, cancel and rebuild them."""

import json
from dataclasses import dataclass

from flask import Blueprint, Response, jsonify, request

from db.queries import history
from db.status import CancelResult
from webhook.access.auth import Guard
from webhook.access.permissions import read_access
from webhook.builds import listing
from webhook.builds.json_types import (
    MAX_PAGE,
    BuildJson,
    BuildListQuery,
    BuildPageJson,
    BuildPath,
    BuildRequestJson,
    CancelledJson,
    NoFields,
    RequestedJson,
)
from webhook.builds.service import BuildRequest, BuildService, RequestedBuild
from webhook.http.errors import HttpError
from webhook.http.openapi import Operation, operation
from webhook.http.parameters import parse_build_id, parse_number, with_query
from webhook.lookup.revision import parse_repository

Answer = Response | tuple[Response, int] | tuple[Response, int, dict[str, str]]


@dataclass(frozen=True)
class BuildsApi:
    """The views of builds."""

    builds: BuildService
    guard: Guard

    def blueprint(self) -> Blueprint:
        """Return the routes, to be registered under /api/v1."""
        api = Blueprint("builds", __name__)
        api.before_request(lambda: self.guard.check(request))
        api.add_url_rule("/builds", view_func=self.list_builds, methods=["GET"])
        api.add_url_rule("/builds", view_func=self.request_build, methods=["POST"])
        api.add_url_rule("/builds/<build>", view_func=self.build, methods=["GET"])
        api.add_url_rule("/builds/<build>/cancel", view_func=self.cancel, methods=["POST"])
        api.add_url_rule("/builds/<build>/rebuild", view_func=self.rebuild, methods=["POST"])
        return api

    @operation(Operation({200: BuildPageJson}, errors=(401, 403, 422, 503), query=BuildListQuery))
    def list_builds(self) -> Answer:
        """Return builds, newest first; `next` is the URL of the next page."""
        arguments = request.args.to_dict()
        limit = parse_number(arguments.get("limit", "50"), "limit", MAX_PAGE)
        query = listing.parse_query(arguments, self.builds.settings.github_url)
        access = read_access(self.guard.user())
        with self.builds.database.read() as session:
            matching = listing.to_filter(session, query)
            page = history.page_with_active(session, access, matching, below=query.below, limit=limit + 1)
            shown = self.builds.describer.page(session, page[:limit], self.builds.clock())
        is_last = len(page) <= limit
        following = None if is_last else with_query(request.path, arguments, before=shown[-1]["id"])
        return jsonify(builds=shown, next=following)

    @operation(
        Operation(
            {200: RequestedJson, 202: RequestedJson},
            errors=(401, 403, 404, 415, 422, 429, 503),
            body=BuildRequestJson,
        )
    )
    def request_build(self) -> Answer:
        """Request the image of a repository and ref.

        200: the image exists. 202: a build is queued or running; `Location` is its path.
        """
        build_request = self._parse_request(request.get_data(cache=False))
        return self._requested(self.builds.request(build_request))

    @operation(Operation({200: BuildJson}, errors=(401, 403, 404, 503), path=BuildPath))
    def build(self, build: str) -> Answer:
        """Return a build."""
        return jsonify(self.builds.describe(parse_build_id(build), self.guard.user()))

    @operation(
        Operation(
            {200: CancelledJson, 202: CancelledJson},
            errors=(401, 403, 404, 409, 415, 503),
            path=BuildPath,
            body=NoFields,
        )
    )
    def cancel(self, build: str) -> Answer:
        """Cancel a build.

        200: the build is cancelled. 202: it is running, and its builder stops it with its next heartbeat.
        """
        build_id, user = parse_build_id(build), self.guard.user()
        outcome = self.builds.cancel(build_id, user)
        status = 200 if outcome is CancelResult.DONE else 202
        return jsonify(outcome=outcome, build=self.builds.describe(build_id, user)), status

    @operation(
        Operation(
            {202: RequestedJson},
            errors=(401, 403, 404, 415, 422, 429, 503),
            path=BuildPath,
            body=NoFields,
        )
    )
    def rebuild(self, build: str) -> Answer:
        """Build the commit of a build again, even though an image exists."""
        return self._requested(self.builds.rebuild(parse_build_id(build), self.guard.user()))

    def _requested(self, requested: RequestedBuild) -> Answer:
        answer = self.builds.describe_requested(requested)
        if "build" not in answer:
            return jsonify(answer)
        return jsonify(answer), 202, {"Location": answer["build"]["links"]["self"]}

    def _parse_request(self, raw: bytes) -> BuildRequest:
        """Return the request that a JSON body describes. Raises HttpError 422."""
        try:
            body = json.loads(raw)
        except (ValueError, RecursionError):  # deeply nested brackets
            body = None
        if not isinstance(body, dict):
            message = 'The body must be a JSON object such as {"repository": "org/repo", "ref": "main"}.'
            raise HttpError(422, "bad_body", message)
        if unknown := sorted(str(name) for name in body.keys() - BuildRequestJson.__annotations__.keys()):
            fields = ", ".join(BuildRequestJson.__annotations__)
            message = f"Unknown field: {', '.join(unknown)[:100]}. The fields are {fields}."
            raise HttpError(422, "unknown_field", message)
        repository, ref, force = body.get("repository"), body.get("ref", "HEAD"), body.get("force", False)
        if not isinstance(repository, str):
            raise HttpError(422, "bad_repository", "repository must be a string such as org/repo.")
        if not isinstance(ref, str):
            raise HttpError(422, "bad_ref", "ref must be a string: a branch, a tag, a commit or HEAD.")
        if not isinstance(force, bool):
            raise HttpError(422, "bad_force", "force must be true or false.")
        full_name = parse_repository(repository, self.builds.settings.github_url)
        return BuildRequest(full_name, ref, self.guard.user(), force=force)
