"""Records as a year of use leaves them, written the way the service itself writes them: by `db.queue.transitions`.

For the tests of the pages, their screenshots and nothing else. Only the thousands of old builds of the history are
inserted at once.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import insert
from sqlalchemy.orm import Session

from base import image_names
from db.database import Database
from db.models import Build, Repository
from db.queue import enqueue, supersede, transitions
from db.queue.transitions import BuildResult
from db.records import builders, deliveries, images, logs, refs, repositories
from db.status import Lease, Phase, Reason, Status, Trigger
from tests.support.service import Service
from webhook.settings import WebSettings

RECIPE = WebSettings(base_image="none", buildpacks=("uv", "standard")).recipe()
"""What the service of `service_with_a_year` looks images up by."""
MAIN = "refs/heads/main"
HISTORY = 3_000

REPOSITORIES = (
    "earth-lab/tide-gauges",
    "Neuro-Course/week-by-week",
    "astro/light-curves",
    "org/private-notes",
)
TITLES = (
    "Add the notebook for week 7",
    "Pin xarray, the new one drops attributes",
    "Plot residuals beside the fit",
    "Merge pull request #41 from student/typos",
    "Use the smaller sample by default",
    "Explain how the tide gauges are levelled",
)
FAILURES: dict[str, tuple[Reason, str, str]] = {
    "package_not_found": (
        Reason.USER_ERROR,
        "package_not_found",
        "Python package numppy not found. Check its spelling.",
    ),
    "dependency_conflict": (
        Reason.USER_ERROR,
        "dependency_conflict",
        "The required packages conflict: xarray needs numpy>=1.23, but requirements.txt pins numpy==1.21.",
    ),
    "environment_yml_invalid": (
        Reason.USER_ERROR,
        "environment_yml_invalid",
        "environment.yml is not valid YAML: mapping values are not allowed here in line 7.",
    ),
    "out_of_memory": (
        Reason.MEMORY_LIMIT,
        "out_of_memory",
        "A step was killed because it exceeded the memory limit of builds (REPO2HUB_BUILD_MEMORY_LIMIT).",
    ),
    "registry_denied": (
        Reason.INFRASTRUCTURE,
        "registry_denied",
        "The registry denied the push. Log in on the builder with an account that may push: docker login",
    ),
}

HOSTILE_TITLE = "<script>document.title='owned'</script> & \"quotes\" \u202etxt.exe"
HOSTILE_LINES = (
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">",
    "\x1b[31mred\x1b[0m \x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07 \x1b[2J\x1b[1;1Hhome",
    "bell\x07 backspace\x08 \u202eright to left\u202c end",
    "</pre></noscript><script>document.title='owned'</script>",
)

PIP_LOG = """\
[repo2hub] attempt 1: fetching https://github.com/earth-lab/tide-gauges
#0 building with "default" instance using docker driver
#1 [internal] load build definition from Dockerfile
#1 transferring dockerfile: 3.08kB done
#1 DONE 0.0s

#2 [internal] load metadata for buildpack-deps:jammy
#2 DONE 0.4s

#3 [internal] load build context
#3 transferring context: 48.13kB done
#3 DONE 0.1s

#4 [ 1/12] FROM buildpack-deps:jammy
#4 CACHED

#5 [ 2/12] RUN apt-get -qq update && apt-get -qq install --yes gettext-base
#5 CACHED

#6 [ 3/12] RUN ${KERNEL_PYTHON_PREFIX}/bin/pip install --no-cache-dir -r requirements.txt
#6 1.402 Collecting matplotlib==3.10.1
#6 1.518   Downloading matplotlib-3.10.1-cp312-cp312-manylinux_2_17_x86_64.whl (8.6 MB)
#6 2.204 Collecting xarray
#6 2.310   Downloading xarray-2025.6.1-py3-none-any.whl (1.3 MB)
"""
PIP_FAILS = """\
#6 3.871 \x1b[31mERROR: Could not find a version that satisfies the requirement numppy (from versions: none)\x1b[0m
#6 3.872 \x1b[31mERROR: No matching distribution found for numppy\x1b[0m
#6 ERROR: process "/bin/sh -c ${KERNEL_PYTHON_PREFIX}/bin/pip install" did not complete successfully: exit code: 1
------
 > [ 3/12] RUN ${KERNEL_PYTHON_PREFIX}/bin/pip install --no-cache-dir -r requirements.txt:
3.871 ERROR: Could not find a version that satisfies the requirement numppy (from versions: none)
------
[repo2hub] failed: Python package numppy not found. Check its spelling.
"""


def long_log(lines: int) -> str:
    """Return a log of so many lines, with a word that stands in exactly one."""
    body = [f"#7 {n / 100:.3f} compiling module {n} of {lines}" for n in range(lines)]
    body[0] = "#7 [ 4/12] RUN make everything"
    body[lines * 3 // 5] += " needle-in-the-haystack"
    return "\n".join(body) + "\n"


@dataclass
class Year:
    """What was written, by the names that tests use."""

    database: Database
    now: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    ids: dict[str, int] = field(default_factory=dict)
    for_show: bool = False
    """Without what is there only to be told from the rest: hostile words, private repositories, endless logs."""
    _commits: int = 0

    def write(self) -> "Year":
        """Write all of it."""
        with self.database.write() as session:
            known = [self._repository(session, number, name) for number, name in enumerate(REPOSITORIES, 1)]
            self._history(session, known[:3])
        self._superseded(known[1])
        for name, failure in FAILURES.items():
            self._failed(name, known[0], failure)
        self.ids["ready"] = self._ready(known[0], log=PIP_LOG, title="Read the gauges' names from the file")
        if not self.for_show:
            self.ids["long"] = self._ready(known[1], log=long_log(50_000), title="Compile everything")
            hostile = "\n".join(HOSTILE_LINES) + "\n"
            self.ids["hostile"] = self._ready(known[2], log=hostile, title=HOSTILE_TITLE)
            self.ids["private"] = self._ready(known[3], log="a secret\n", title="Private thoughts")
        self._under_way(known)
        with self.database.write() as session:
            for name, slots in (("builder-1", 2), ("builder-2", 1)):
                say = {"slots": slots, "version": "0.1.0", "started_at": self.now - timedelta(days=3)}
                builders.record_presence(session, name=name, now=self.now + timedelta(hours=1), **say)
            silent = self.now - timedelta(hours=5)
            builders.record_presence(
                session, name="builder-3", slots=1, version="0.1.0", started_at=silent, now=silent
            )
        return self

    def commit(self) -> str:
        """Return a commit that no build has."""
        self._commits += 1
        return f"{random.Random(self._commits).getrandbits(160):040x}"

    def queued(
        self, repository: Repository, *, title: str, by: str | None = None, ref: str = MAIN, ago: float = 0
    ) -> Build:
        """Write a build that waits, since `ago` seconds."""
        commit, pushed_at = self.commit(), self.now - timedelta(seconds=ago)
        with self.database.write() as session:
            asked = enqueue.enqueue(
                session,
                repository=repository,
                ref=ref,
                commit=commit,
                recipe=RECIPE,
                trigger=Trigger.MANUAL if by else Trigger.PUSH,
                requested_by=by,
                commit_title=title,
                commit_author="Ada Lovelace",
                now=pushed_at,
            )
            assert asked.build is not None
            refs.record_push(
                session, repository, ref=ref, commit=commit, before=None, pushed_at=pushed_at, now=pushed_at
            )
            self._delivery(session, repository, asked.build)
            return asked.build

    def claimed(self, build: Build, *, worker: str = "builder-1", ago: float = 0, log: str = "") -> Lease:
        """Let a builder work on a build, since `ago` seconds."""
        began = self.now - timedelta(seconds=ago)
        with self.database.write() as session:
            # Whatever waits before it is not to be taken: a claim takes the first.
            taken = transitions.claim(session, worker=worker, now=began, lease=timedelta(days=1))
            assert taken is not None and taken.id == build.id, "another build waits"
            lease = Lease(taken.id, taken.attempt)
            transitions.enter_phase(session, lease, Phase.FETCHING, now=began)
            transitions.enter_phase(session, lease, Phase.BUILDING, now=began + timedelta(seconds=4))
            logs.append(session, lease, first_seq=1, texts=_chunks(log), now=self.now)
        return lease

    def _repository(self, session: Session, number: int, name: str) -> Repository:
        return repositories.record(
            session,
            full_name=name,
            provider_id=number,
            default_branch="main",
            private=name.endswith("private-notes"),
            webhook_active=True,
            now=self.now - timedelta(days=300),
        )

    def _delivery(self, session: Session, repository: Repository, build: Build) -> None:
        guid = f"{build.id:08d}-0000-4000-8000-000000000000"
        deliveries.record(session, guid=guid, event="push", action=None, now=self.now)
        where = {"repository_id": repository.id, "ref": build.ref, "commit": build.commit}
        deliveries.record_outcome(session, guid, outcome="queued", build_id=build.id, **where)

    def _history(self, session: Session, known: Sequence[Repository]) -> None:
        chance = random.Random(7)
        rows = [self._old(number, chance, known) for number in range(HISTORY)]
        session.execute(insert(Build), rows)

    def _old(self, number: int, chance: random.Random, known: Sequence[Repository]) -> dict[str, object]:
        began = self.now - timedelta(minutes=15 * (HISTORY - number) + 60)
        took = chance.uniform(40, 260)
        failed = chance.random() < 0.07
        reason, cause, message = chance.choice(list(FAILURES.values())) if failed else (None, None, None)
        trigger = chance.choices(list(Trigger), weights=(8, 3, 1))[0]
        return {
            "repository_id": chance.choice(known).id,
            "ref": chance.choice([MAIN, MAIN, MAIN, "refs/heads/dev", "refs/tags/v1.2"]),
            "commit": self.commit(),
            "recipe": RECIPE,
            "trigger": trigger,
            "requested_by": None if trigger is Trigger.PUSH else chance.choice(["ada", "grace", "linus"]),
            "priority": 20,
            "status": Status.FAILED if failed else Status.SUCCEEDED,
            "reason": reason,
            "cause": cause,
            "message": message,
            "attempt": 1,
            "worker": "builder-1",
            "run_after": began,
            "created_at": began - timedelta(seconds=3),
            "started_at": began,
            "fetching_at": began,
            "building_at": began + timedelta(seconds=4),
            "finished_at": began + timedelta(seconds=took),
            "commit_title": chance.choice(TITLES),
            "commit_author": "Ada Lovelace",
        }

    def _failed(self, name: str, repository: Repository, failure: tuple[Reason, str, str]) -> None:
        reason, cause, message = failure
        build = self.queued(
            repository, title="Use the new libraries", ref=f"refs/heads/{name.replace('_', '-')}", ago=122
        )
        log = (
            PIP_LOG + PIP_FAILS if name == "package_not_found" else f"{PIP_LOG}[repo2hub] failed: {message}\n"
        )
        lease = self.claimed(build, ago=120, log=log)
        with self.database.write() as session:
            ended = BuildResult(Status.FAILED, reason, cause, message)
            assert transitions.finish(session, lease, ended, now=self.now - timedelta(seconds=30))
        self.ids[name] = build.id

    def _ready(self, repository: Repository, *, log: str, title: str) -> int:
        build = self.queued(repository, title=title, ago=203)
        lease = self.claimed(build, ago=200, log=log)
        with self.database.write() as session:
            end = self.now - timedelta(seconds=42)
            assert transitions.finish(session, lease, BuildResult(Status.SUCCEEDED), now=end)
            images.record(
                session,
                build=build,
                recipe=RECIPE,
                name=image_names.image_name(repository.full_name, build.commit, RECIPE, prefix="repo2hub/"),
                digest=f"sha256:{build.id:064x}",
                size=1_412_000_000,
                now=end,
            )
        return build.id

    def _superseded(self, repository: Repository) -> None:
        older = self.queued(repository, title="A first try")
        newer = self.queued(repository, title="A second try")
        with self.database.write() as session:
            supersede.supersede(session, newer, cancel=True, now=self.now)
            transitions.cancel(session, newer.id, by="ada", now=self.now)
        self.ids |= {"superseded": older.id, "cancelled": newer.id}

    def _under_way(self, known: Sequence[Repository]) -> None:
        running = self.queued(known[1], title="Week 8: the visual cortex", ago=76)
        self.claimed(running, worker="builder-1", ago=75, log=PIP_LOG)
        self.ids["running"] = running.id
        second = self.queued(known[2], title="Fold the light curve at twice the period", ago=14)
        self.claimed(second, worker="builder-2", ago=12, log=PIP_LOG)
        self.ids["queued"] = self.queued(known[0], title="Add the gauges of Brest", by="grace").id
        self.queued(known[2], title="Say where the data are from")


def _chunks(text: str, size: int = 30_000) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@contextmanager
def service_with_a_year(folder: Path, *, for_show: bool = False) -> Iterator[tuple[Service, Year]]:
    """Run `repo2hub web` on such records. No builder runs: what is queued stays queued."""
    service = Service(folder, "https://github.com", "none", {"HUB_URL": "/hub/spawn"})
    migrated = service.run("db", "upgrade")
    assert migrated.returncode == 0, migrated.stderr
    database = Database(f"sqlite:///{folder / 'repo2hub.db'}")
    year = Year(database, for_show=for_show).write()
    service.start("web")
    try:
        service.wait_until_up()
        yield service, year
    finally:
        service.stop_all()
        database.dispose()
