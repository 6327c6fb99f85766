"""A hypothesis state machine that applies each transition to the database and to the model, and compares both."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from random import Random
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
)
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from base.report_channels import GITHUB_STATUS
from db.columns import Base
from db.database import Database
from db.models import Build
from db.queue import enqueue, supersede, transitions
from db.queue.transitions import BuildResult
from db.records import images, refs, repositories
from db.report_model import Report
from db.status import (
    ACTIVE,
    FINAL,
    TRANSITIONS,
    CancelResult,
    EnqueueOutcome,
    Lease,
    Phase,
    Reason,
    Status,
    Trigger,
)
from tests.conftest import NOW, RECIPE
from tests.db.queue.model import Model, ModelBuild

_COMMITS = [letter * 40 for letter in "abcd"]
_REFS = ["refs/heads/main", "refs/heads/dev"]
_ENDS = [
    BuildResult(Status.SUCCEEDED),
    BuildResult(Status.FAILED, Reason.USER_ERROR, "package_not_found", "No such package"),
    BuildResult(Status.FAILED, Reason.TIME_LIMIT),
]
_REQUESTS = ["push", "push", "push", *Trigger]
_BUILDER_STEPS = ["claim", "claim", "heartbeat", "record", "finish", "retry", "retry", "retry", "release"]
_OTHER_STEPS = ["reap"] * 6 + ["wait"] * 3 + ["cancel"] * 2 + ["delete_ref", "delete_repository"]
_SECONDS = [0, 1, 20, 60, 61, 700]
ONE_OF = st.sampled_from
ANY = st.integers(min_value=0, max_value=1000)
Row = dict[str, Any]
NOTIFICATION_CHANNEL = "notify:0123456789ab"


class QueueMachine(RuleBasedStateMachine):
    """Applies each step to the database and to the model, and compares them."""

    database: ClassVar[Database]

    def __init__(self) -> None:
        super().__init__()
        self.model = Model(NOW)
        self.leases: list[Lease] = []
        self.previous_rows: dict[int, Row] = {}
        self.last_report = 0
        self.existing_images: list[int] = []
        """The builds whose images were found by pushes of the last step."""
        with self.database.write() as session:
            for table in reversed(Base.metadata.sorted_tables):
                session.execute(delete(table))
            self.repository = repositories.record(
                session, full_name="Org/Repo", provider_id=1, webhook_active=True, now=NOW
            )

    @property
    def now(self) -> datetime:
        return self.model.now

    def request(
        self, ref: str, commit: str, trigger: Trigger, pushed_at: datetime | None, force: bool
    ) -> Build | None:
        expected = self.model.enqueue(ref, commit, trigger, pushed_at, force)
        with self.database.write() as session:
            result = enqueue.enqueue(
                session,
                repository=self.repository,
                ref=ref,
                commit=commit,
                recipe=RECIPE,
                trigger=trigger,
                pushed_at=pushed_at,
                force=force,
                now=self.now,
            )
        assert result.outcome is expected
        if expected is EnqueueOutcome.EXISTS:
            assert result.build is None and result.image is not None
            self.existing_images += [result.image.build_id] if trigger is Trigger.PUSH else []
            return None
        assert result.build is not None
        if expected is EnqueueOutcome.QUEUED:
            new = self.model.builds.pop(0)
            new.id = result.build.id
            assert new.id not in self.model.builds
            self.model.builds[new.id] = new
        active = self.model.active(commit)
        assert active is not None and result.build.id == active.id
        return result.build

    def move(self, session: Session, ref: str, commit: str | None) -> None:
        """Record that a ref points at a commit, as a delivery that is handled at once does."""
        before = self.model.heads.get(ref)
        now = self.now
        assert refs.record_push(
            session, self.repository, ref=ref, commit=commit, before=before, pushed_at=now, now=now
        )
        self.model.heads[ref] = commit

    @rule(what=ONE_OF(_REQUESTS), ref=ONE_OF(_REFS), commit=ONE_OF(_COMMITS), flag=st.booleans())
    def a_request_arrives(self, what: str, ref: str, commit: str, flag: bool) -> None:
        if what == "push":
            self.push(ref, commit, cancel=flag)
        else:
            self.request(ref, commit, Trigger(what), None, force=flag)

    def choose_lease(self, which: int) -> Lease | None:
        """Usually return a valid lease, and sometimes any earlier one."""
        held = [lease for lease in self.leases if self.model.held(lease)]
        choice = self.leases if which % 4 == 0 else held
        return choice[which % len(choice)] if choice else None

    @rule(what=ONE_OF(_BUILDER_STEPS), which=ANY, phase=ONE_OF(Phase), result=ONE_OF(_ENDS))
    def a_builder_works(self, what: str, which: int, phase: Phase, result: BuildResult) -> None:
        lease = self.choose_lease(which)
        if what == "claim" or lease is None:
            self.claim()
            return
        match what:
            case "heartbeat":
                self.heartbeat(lease)
            case "record":
                self.record(lease, phase)
            case "finish":
                self.finish(lease, result)
            case "retry":
                self.retry(lease)
            case "release":
                self.release(lease)

    @rule(what=ONE_OF(_OTHER_STEPS), which=ANY, ref=ONE_OF(_REFS), seconds=ONE_OF(_SECONDS))
    def something_else_happens(self, what: str, which: int, ref: str, seconds: int) -> None:
        match what:
            case "cancel" if self.model.builds:
                self.cancel(list(self.model.builds.values())[-1 - which % min(len(self.model.builds), 4)])
            case "reap":
                self.model.advance(seconds)
                self.reap()
            case "delete_ref":
                self.delete_ref(ref)
            case "delete_repository":
                self.delete_repository()
            case _:
                self.model.advance(seconds)

    def push(self, ref: str, commit: str, cancel: bool) -> None:
        with self.database.write() as session:
            self.move(session, ref, commit)
        build = self.request(ref, commit, Trigger.PUSH, self.now, force=False)
        if build is not None:
            with self.database.write() as session:
                count = supersede.supersede(session, build, cancel=cancel, now=self.now)
            assert count == self.model.supersede(self.model.builds[build.id], cancel)

    def claim(self) -> None:
        expected = self.model.claim()
        with self.database.write() as session:
            build = transitions.claim(session, worker="w", now=self.now)
        assert (build and build.id) == (expected and expected.id)
        if build is not None:
            self.leases.append(Lease(build.id, build.attempt))

    def heartbeat(self, lease: Lease) -> None:
        with self.database.write() as session:
            assert transitions.heartbeat(session, lease, now=self.now) is self.model.heartbeat(lease)

    def record(self, lease: Lease, phase: Phase) -> None:
        held = self.model.held(lease) is not None
        with self.database.write() as session:
            assert transitions.enter_phase(session, lease, phase, now=self.now) is held
            assert transitions.record_checkout(session, lease, fingerprint="f", title="t", author="a") is held

    def finish(self, lease: Lease, result: BuildResult) -> None:
        expected = self.model.held(lease)
        with self.database.write() as session:
            assert transitions.finish(session, lease, result, now=self.now) is (expected is not None)
            if expected is not None and result.status is Status.SUCCEEDED:
                build = session.get_one(Build, lease.build_id)
                images.record(
                    session, build=build, recipe=RECIPE, name="i", digest=None, size=1, now=self.now
                )
                self.model.images.add(expected.commit)
        if expected is not None:
            expected.end(result.status, result.reason, self.now, result.cause)

    def retry(self, lease: Lease) -> None:
        with self.database.write() as session:
            status = transitions.retry(session, lease, cause="engine", message="down", now=self.now)
        assert status is self.model.retry(lease, "engine")

    def release(self, lease: Lease) -> None:
        with self.database.write() as session:
            assert transitions.release(session, lease, now=self.now) is self.model.release(lease)

    def cancel(self, build: ModelBuild) -> None:
        with self.database.write() as session:
            result: CancelResult = transitions.cancel(session, build.id, by="alice", now=self.now)
        assert result is self.model.cancel(build)

    def reap(self) -> None:
        with self.database.write() as session:
            assert sorted(transitions.reap(session, now=self.now)) == sorted(self.model.reap())
            assert transitions.reap(session, now=self.now) == []

    def delete_ref(self, ref: str) -> None:
        with self.database.write() as session:
            self.move(session, ref, None)
            count = supersede.cancel_ref(session, self.repository, ref, now=self.now)
        assert count == self.model.cancel_ref(ref)

    def delete_repository(self) -> None:
        with self.database.write() as session:
            count = supersede.cancel_repository(session, self.repository, now=self.now)
        assert count == self.model.cancel_repository()

    def take_random_step(self, chance: Random) -> None:
        which, ref, commit = chance.randrange(1000), chance.choice(_REFS), chance.choice(_COMMITS)
        match chance.choice(["request", "build", "build", "build", "other"]):
            case "request":
                self.a_request_arrives(chance.choice(_REQUESTS), ref, commit, chance.random() < 0.3)
            case "build":
                phase, result = chance.choice(list(Phase)), chance.choice(_ENDS)
                self.a_builder_works(chance.choice(_BUILDER_STEPS), which, phase, result)
            case "other":
                self.something_else_happens(chance.choice(_OTHER_STEPS), which, ref, chance.choice(_SECONDS))

    @invariant()
    def the_records_match_the_model(self) -> None:
        with self.database.read() as session:
            found = session.execute(select(*Build.__table__.columns).order_by(Build.id))
            rows = {row["id"]: dict(row) for row in found.mappings()}
            reports = session.scalars(select(Report).where(Report.id > self.last_report).order_by(Report.id))
            self.check_reports(reports.all(), rows)
        assert rows.keys() == self.model.builds.keys()
        for number, row in rows.items():
            assert as_model(row) == self.model.builds[number]
            check_build(row)
            check_transition(self.previous_rows.get(number), row)
        active = [row["commit"] for row in rows.values() if row["status"] in ACTIVE]
        assert len(active) == len(set(active))
        self.previous_rows = rows

    def check_reports(self, reports: Sequence[Report], rows: dict[int, Row]) -> None:
        """Check that the outbox contains each transition of the last step once per channel, and nothing else.

        GitHub also gets reports of existing images that pushes found.
        """
        reported = Counter(
            (report.channel, report.build_id, report.status, report.reason, report.cause)
            for report in reports
        )
        changed = [
            (number, row["status"], row["reason"], row["cause"])
            for number, row in rows.items()
            if number not in self.previous_rows or self.previous_rows[number]["status"] is not row["status"]
        ]
        to_github = [
            change
            for change in changed
            if change[1] is not Status.RUNNING and change[2] is not Reason.REPOSITORY_GONE
        ]
        to_github += [(number, Status.SUCCEEDED, None, None) for number in self.existing_images]
        expected = [(NOTIFICATION_CHANNEL, *change) for change in changed] + [
            (GITHUB_STATUS, *change) for change in to_github
        ]
        self.existing_images.clear()
        assert reported == Counter(expected)
        self.last_report = max([self.last_report, *(report.id for report in reports)])


def transitions_between(before: dict[int, Row], after: dict[int, Row]) -> list[tuple[Status | None, Status]]:
    statuses = [
        (before[number]["status"] if number in before else None, row["status"])
        for number, row in after.items()
    ]
    return [(old, new) for old, new in statuses if old is not new]


def as_model(row: Row) -> ModelBuild:
    names = set(ModelBuild.__dataclass_fields__) - {"cancel_requested"}
    cancel_requested = row["cancel_requested_at"] is not None
    return ModelBuild(**{name: row[name] for name in names}, cancel_requested=cancel_requested)


def check_build(row: Row) -> None:
    """Check the invariants of a build, independently of the model."""
    status = row["status"]
    assert (row["finished_at"] is not None) == (status in FINAL)
    assert (row["lease_expires_at"] is not None) == (status is Status.RUNNING)
    assert (row["reason"] is not None) == (status in (Status.FAILED, Status.CANCELLED))
    assert 0 <= row["attempt"] <= row["max_attempts"]
    if status is Status.RUNNING:
        assert row["worker"] and row["started_at"] and row["attempt"] > 0


def check_transition(old: Row | None, new: Row) -> None:
    """Check that a step is allowed, that the attempt only grows, and that ended builds stay the same."""
    before = old["status"] if old else None
    if before is not new["status"]:
        assert (before, new["status"]) in TRANSITIONS
    if old is None:
        return
    assert new["attempt"] >= old["attempt"]
    assert (new["attempt"] > old["attempt"]) == ((before, new["status"]) == (Status.QUEUED, Status.RUNNING))
    if before in FINAL:
        assert new == old
