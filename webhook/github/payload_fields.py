"""Read and validate the fields of one JSON object of a delivery.

Everyone who can push writes parts of a delivery, so no field is trusted. No I/O.
"""

from datetime import UTC, datetime

from db.columns import MAX_ID
from webhook.lookup.git_names import COMMIT


class MalformedPayload(ValueError):
    """Raised for a missing or invalid field. The message names the field and never contains its value."""

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(f"{field} must be {expected}")


class PayloadFields:
    """The fields of one JSON object. Methods that read a field raise MalformedPayload with the field's name."""

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            raise MalformedPayload(path or "payload", "an object")
        self._values: dict[str, object] = value
        self._prefix = f"{path}." if path else ""

    def get(self, name: str) -> object:
        return self._values.get(name)

    def malformed(self, name: str, expected: str) -> MalformedPayload:
        return MalformedPayload(self._prefix + name, expected)

    def text(self, name: str) -> str:
        value = self.get(name)
        if not isinstance(value, str):
            raise self.malformed(name, "a string")
        return value

    def optional_text(self, name: str) -> str | None:
        return None if self.get(name) is None else self.text(name)

    def flag(self, name: str) -> bool | None:
        value = self.get(name)
        if value is not None and not isinstance(value, bool):
            raise self.malformed(name, "true or false")
        return value

    def object(self, name: str) -> "PayloadFields":
        return PayloadFields(self.get(name), self._prefix + name)

    def optional_object(self, name: str) -> "PayloadFields | None":
        return None if self.get(name) is None else self.object(name)

    def commit(self, name: str) -> str:
        value = self.text(name)
        if not COMMIT.fullmatch(value):
            raise self.malformed(name, "40 or 64 hexadecimal digits")
        return value.lower()

    def number(self, name: str) -> int:
        """Return a positive integer that fits into the database, such as an id."""
        value = self.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= MAX_ID:
            raise self.malformed(name, "a positive number")
        return value

    def time(self, name: str) -> datetime | None:
        """Return a time or None. Push events contain Unix timestamps, and all other events ISO 8601."""
        value = self.get(name)
        try:
            if isinstance(value, str):
                return _aware(datetime.fromisoformat(value))
            if isinstance(value, int) and not isinstance(value, bool):
                return datetime.fromtimestamp(value, UTC)
        except (ValueError, OverflowError, OSError):
            raise self.malformed(name, "a time") from None
        if value is not None:
            raise self.malformed(name, "a time")
        return None


def _aware(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
