"""Turn the engine's push and pull events into progress lines for a build's log. Pure."""

from typing import Any

_LINE_INTERVAL = 2.0  # seconds between two lines with the total of all layers
_DONE = ("Pushed", "Layer already exists", "Download complete", "Pull complete", "Already exists")
_MOVING = {"Pushing": "pushing", "Downloading": "pulling"}


class LayerProgress:
    """Sums up the progress of all layers."""

    def __init__(self) -> None:
        self._done: dict[str, int] = {}
        self._size: dict[str, int] = {}
        self._last_line_at = 0.0

    def add(self, event: dict[str, Any], now: float) -> str | None:
        """Add an event of a push or a pull; return the line to show, or None."""
        layer, status = str(event.get("id") or ""), str(event.get("status") or "")
        if not layer:
            return None
        if status in _DONE or status.startswith("Mounted"):
            self._done[layer] = self._size.get(layer, 0)
            return f"{layer}: {status}"
        detail = event.get("progressDetail") or {}
        if status not in _MOVING or not detail.get("total"):
            return None
        self._done[layer], self._size[layer] = int(detail["current"]), int(detail["total"])
        if now - self._last_line_at < _LINE_INTERVAL:
            return None
        self._last_line_at = now
        return f"{_MOVING[status]} {sum(self._done.values()) / 1e6:.1f} of {sum(self._size.values()) / 1e6:.1f} MB"
