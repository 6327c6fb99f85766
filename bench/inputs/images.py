"""Repositories whose newest commits all have images, as a year of use leaves them."""

from datetime import UTC, datetime

from sqlalchemy import insert, text

from db.database import Database
from db.models import Build, Image, RefHead, Repository
from db.status import Priority, Status, Trigger

REPOSITORIES, COMMITS = 500, 20


def insert_images(address: str, recipe: str) -> None:
    """Insert REPOSITORIES repositories; the last COMMITS commits of each were pushed and built."""
    now = datetime.now(UTC)
    repositories, heads, builds, images = [], [], [], []
    for number in range(1, REPOSITORIES + 1):
        name = f"org/repo-{number - 1}"
        known = {"id": number, "provider": "gh", "provider_id": number, "full_name": name, "name_key": name}
        repositories.append({**known, "default_branch": "main", "webhook_since": now, "created_at": now})
        for age in range(COMMITS):
            build = (number - 1) * COMMITS + age + 1
            what = {"repository_id": number, "commit": f"{build:040x}", "recipe": recipe}
            push = {"ref": "refs/heads/main", "trigger": Trigger.PUSH, "priority": Priority.PUSH}
            times = {"run_after": now, "created_at": now, "finished_at": now}
            builds.append({"id": build, **what, **push, **times, "status": Status.SUCCEEDED})
            made = {"name": f"repo2hub/{name}:{build:040x}-{recipe}", "digest": f"sha256:{build:064x}"}
            images.append(
                {"build_id": build, **what, **made, "size": 10**9, "built_at": now, "last_used_at": now}
            )
        head = {"repository_id": number, "ref": "refs/heads/main", "commit": images[-1]["commit"]}
        heads.append({**head, "pushed_at": now, "learnt_at": now, "learnt_by": "push"})
    database = Database(address)
    with database.write() as session:
        for model, rows in ((Repository, repositories), (RefHead, heads), (Build, builds), (Image, images)):
            session.execute(insert(model), rows)
        if not database.is_sqlite:
            session.execute(text("ANALYZE"))
    database.dispose()
