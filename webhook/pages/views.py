"""The status pages: builds, a build, a repository, and the overview for admins.

They are complete without JavaScript. With it, an open page refreshes parts of itself (`?part=`). Buttons are forms
that call the same service object as the API, so that each rule exists once.
"""

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, g, jsonify, redirect, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from base.repository_names import GITHUB
from db.log_store import LogStore
from db.queries import durations
from db.records import builds as build_records
from db.records import images, repositories
from db.status import ACTIVE, Status
from webhook.access.auth import Guard
from webhook.access.permissions import may_change, may_see, may_see_build, read_access
from webhook.builds import listing
from webhook.builds.advice import advice
from webhook.builds.service import BuildService
from webhook.http import html
from webhook.http.errors import HttpError
from webhook.http.parameters import parse_build_id
from webhook.lookup.revision import parse_repository
from webhook.pages import overview, repository_page
from webhook.pages.timeline import timeline

Answer = Response | AnyResponse


@dataclass(frozen=True)
class Pages:
    """The views of pages."""

    builds: BuildService
    guard: Guard
    expected_durations: listing.ExpectedDurations
    log_store: LogStore

    def blueprint(self) -> Blueprint:
        """Return the routes, to be registered under the base path."""
        pages = Blueprint("pages", __name__)
        pages.before_request(lambda: self.guard.check(request))
        pages.context_processor(self._context)
        pages.add_url_rule("/", view_func=self.index, methods=["GET"])
        pages.add_url_rule("/builds/<build>", view_func=self.build, methods=["GET"])
        pages.add_url_rule("/builds/<build>/cancel", view_func=self.cancel, methods=["POST"])
        pages.add_url_rule("/builds/<build>/rebuild", view_func=self.rebuild, methods=["POST"])
        pages.add_url_rule("/gh/<org>/<repo>", view_func=self.repository, methods=["GET"])
        pages.add_url_rule("/admin", view_func=self.admin, methods=["GET"])
        return pages

    def index(self) -> Answer:
        """Show the builds in progress and the finished ones."""
        if not html.prefers_html() and "application/json" in request.accept_mimetypes.values():
            return jsonify(service="repo2hub", api=f"{self.builds.settings.base_url}api/v1/builds")
        query = listing.parse_query(request.args, self.builds.settings.github_url)
        access = read_access(self.guard.user())
        with self.builds.database.read() as session:
            if (number := listing.parse_build_number(query.q)) is not None and self._may_open(
                session, number
            ):
                return redirect(url_for("pages.build", build=number), 303)
            part = request.args.get("part")
            if part == "active":
                return html.page(
                    "builds_active.html",
                    listing=listing.collect_active(session, access, query, self.expected_durations),
                )
            found = listing.collect(session, access, query, self.expected_durations)
        return html.page("builds_list.html" if part == "list" else "builds.html", listing=found)

    def build(self, build: str) -> Answer:
        """Show one build."""
        now = self.builds.clock()
        with self.builds.database.read() as session:
            found = self.builds.get(session, parse_build_id(build), self.guard.user())
            good = durations.last_successful(session, found.repository_id, below=found.id)
            shown: dict[str, Any] = {
                "build": found,
                "good": good,
                "spans": timeline(found, good, now),
                "expected": durations.expected_duration(session, found.repository_id)
                if found.status in ACTIVE
                else None,
                "position": build_records.queue_position(session, found),
                "image": images.find(session, found.repository_id, found.commit, found.recipe)
                if found.status is Status.SUCCEEDED
                else None,
                "advice": advice(found),
                "may_change": may_change(self.guard.user(), found),
                "is_active": found.status in ACTIVE,
            }
        if request.args.get("part") == "summary":
            return html.page("summary.html", **shown)
        return html.page("build.html", log_tail=self.log_store.tail(found.id), **shown)

    def cancel(self, build: str) -> Answer:
        """Cancel a build and show it; a build that has already finished is shown unchanged."""
        try:
            self.builds.cancel(parse_build_id(build), self.guard.user())
        except HttpError as exc:
            if exc.code != "already_finished":
                raise
        return redirect(url_for("pages.build", build=build), 303)

    def rebuild(self, build: str) -> Answer:
        """Build a commit again and show the new build."""
        requested = self.builds.rebuild(parse_build_id(build), self.guard.user())
        return redirect(url_for("pages.build", build=requested.build_id), 303)

    def repository(self, org: str, repo: str) -> Answer:
        """Show a repository: its refs, builds, deliveries, and how to connect it."""
        full_name = parse_repository(f"{org}/{repo}", self.builds.settings.github_url)
        user = self.guard.user()
        with self.builds.database.read() as session:
            found = repositories.find(session, GITHUB, full_name)
            if found is not None and not may_see(user, found):
                # A user who requested one of its builds sees that build in the list, but not the repository.
                found = None
            shown: dict[str, Any] = (
                {}
                if found is None
                else repository_page.collect(session, read_access(user), found, self.builds.clock())
            )
        name = full_name if found is None else found.full_name
        status = 404 if found is None else 200
        return html.page("repository.html", status=status, name=name, repository=found, **shown)

    def admin(self) -> Answer:
        """Show the overview. Raises HttpError for users who are no admins."""
        user = self.guard.user()
        if not user.is_admin:
            raise HttpError(403, "admins_only", "Only admins of this service can view this page.")
        with self.builds.database.read() as session:
            return html.page("admin.html", **overview.collect(session, self.builds.clock()))

    def _commit_url(self, repository: str, commit: str) -> str | None:
        return self.builds.settings.git_provider(repository).commit_url(repository, commit)

    def _context(self) -> dict[str, Any]:
        """Return what every template needs: user, time and addresses."""
        settings = self.builds.settings
        requested_url = f"{request.scheme}://{request.host}{settings.base_url}".rstrip("/")
        user = g.get("user")  # unset when the error page of a refused request is rendered
        return {
            "user": user,
            "now": self.builds.clock(),
            "github": settings.github_url,
            "commit_url": self._commit_url,
            "login_link": self.guard.login_link() if user else None,
            "xsrf_token": self.guard.xsrf_token() if user else "",
            "base": settings.base_url,
            "here": f"{settings.public_url or requested_url}/",
            "has_launcher": settings.has_launcher,
            "launcher": settings.launcher_url,
        }

    def _may_open(self, session: Session, build_id: int) -> bool:
        build = build_records.get(session, build_id)
        return build is not None and may_see_build(self.guard.user(), build)
