"""Access to the server: only for its known host names, and only from pages it served itself.

A web page from anywhere runs in the visitor's browser, next to this server. It can point a name of its own at the
loopback address (DNS rebinding), open a websocket, post a form, or put the app into a frame. All of that is refused
here, before Streamlit sees it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from engine.queue.access import LOOPBACK

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Message, Receive, Send], Awaitable[None]]

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(?P<port>\d{1,5}))?")
_SAFE = ("GET", "HEAD", "OPTIONS")


class Guard:
    """Middleware that answers only to known host names and to its own pages."""

    def __init__(self, app: AsgiApp, hosts: Iterable[str] = LOOPBACK) -> None:
        """Wrap ``app``; ``hosts`` are its known host names, without ports."""
        self.app = app
        self.hosts = frozenset(host.strip().strip("[]").rstrip(".").lower() for host in hosts if host.strip())

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        status, reason = self.refusal(scope["type"], scope.get("method", "GET"), headers)
        if not status:
            host = next(value for name, value in headers if name == "host")
            await self.app(scope, receive, _with_headers(send, host) if scope["type"] == "http" else send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": reason[:120]})
        else:
            text = reason.encode()
            plain = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(text)).encode())]
            await send({"type": "http.response.start", "status": status, "headers": plain})
            await send({"type": "http.response.body", "body": text})

    def refusal(self, kind: str, method: str, headers: Iterable[tuple[str, str]]) -> tuple[int, str]:
        """Return status and sentence of a refusal, (0, "") when the request is let in.

        ``kind`` is http or websocket; header names are lower case. A websocket without an Origin does not come from a
        web page and is let in.
        """
        listed = list(headers)
        named = [value.strip().lower() for name, value in listed if name == "host"]
        match = _HOST.fullmatch(named[0]) if len(named) == 1 else None
        if match is None or match["name"].strip("[]").rstrip(".") not in self.hosts:
            return 421, (
                "Forgetscope does not answer to this name. Open it as localhost, or list the name in FORGETSCOPE_HOSTS "
                "when it is served under one on purpose."
            )
        of = dict(listed)
        origin = of.get("origin")
        if origin is not None and (kind == "websocket" or method not in _SAFE) and not _same(origin, named[0]):
            return 403, "This request comes from another site's page and is not answered."
        if of.get("sec-fetch-site") == "cross-site" and of.get("sec-fetch-mode") not in (None, "navigate"):
            return 403, "This request comes from another site's page and is not answered."
        return 0, ""


def _same(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin.lower())
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc == host


def _with_headers(send: Send, host: str) -> Send:
    """Add the headers by which a browser fetches nothing from elsewhere and frames the app in no other site."""
    policy = (
        "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
        f"connect-src 'self' ws://{host} wss://{host} data: blob:; "
        "base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
    )
    added = [
        (b"content-security-policy", policy.encode("latin-1")),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"same-origin"),
        (b"x-frame-options", b"SAMEORIGIN"),
    ]
    replaced = {name for name, _ in added}

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [(name, value) for name, value in message.get("headers", []) if name.lower() not in replaced]
            message = {**message, "headers": [*headers, *added]}
        await send(message)

    return sending
