"""How far the engine is with the layers that it pushes or pulls, as lines for a build's log. Pure."""

from typing import Any

_LINE_INTERVAL = 2.0  # seconds between two lines that add the layers up
_DONE = ("Pushed", "Layer already exists", "Download complete", "Pull complete", "Already exists")
_MOVING = {"Pushing": "pushing", "Downloading": "pulling"}


class LayerProgress:
    """Adds up what the engine tells of each layer, into a line now and then."""

    def __init__(self) -> None:
        self._done: dict[str, int] = {}
        self._size: dict[str, int] = {}
        self._last_line_at = 0.0

    def add(self, event: dict[str, Any], now: float) -> str | None:
        """Take an event of a push or a pull; return the line to show, when one is due."""
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
