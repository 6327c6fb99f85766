"""Renew the snapshot of the user-facing texts: `make texts`."""

from tests.texts.snapshot import PATH, snapshot

PATH.write_text(snapshot(), encoding="utf-8")
