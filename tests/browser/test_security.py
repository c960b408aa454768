"""Who the running server talks to: by raw sockets, as a hostile page or program would come."""

import base64
import http.client
import os
import re
import socket
from urllib.parse import urlsplit

import pytest
from conftest import PATIENCE

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.alone]


def ask(server, path="/", *, host=None, method="GET", **headers):
    """Send one request with exactly this Host (None: none) and return status and headers."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.putrequest(method, path, skip_host=True)
    for name, value in ({"Host": host} if host is not None else {}).items() | headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders())


def socket_status(server, *, host, origin):
    """Open a websocket as a page of ``origin`` would, and return the status of the answer."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        "GET /_stcore/stream HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", f"Origin: {origin}",
    ]  # fmt: skip
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as wire:
        wire.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        return int(wire.recv(64).split()[1])


def test_a_name_that_is_not_ours_gets_nothing(server):
    own = f"localhost:{server.port}"
    for path in ("/", "/klom", "/_stcore/health", "/_stcore/host-config", "/weights/0000000000000000/oracle"):
        for host in (f"evil.example:{server.port}", "evil.example", "localhost.evil.example", None):
            assert ask(server, path, host=host)[0] in (400, 421), (path, host)
    for host in (own, f"127.0.0.1:{server.port}", f"[::1]:{server.port}"):
        assert ask(server, host=host)[0] == 200
    assert socket_status(server, host=f"evil.example:{server.port}", origin=f"http://evil.example:{server.port}") == 403


def test_another_sites_page_cannot_talk_to_us(server):
    own = f"localhost:{server.port}"
    assert socket_status(server, host=own, origin=f"http://{own}") == 101
    for origin in ("http://evil.example", "null", "http://localhost:1", f"http://127.0.0.1:{server.port}"):
        assert socket_status(server, host=own, origin=origin) == 403, origin
    for origin in ("http://evil.example", f"http://{own}"):
        status, _ = ask(server, "/_stcore/upload_file/a/b", host=own, method="PUT", Origin=origin)
        assert status == 403, "another origin, or no XSRF token"
    assert ask(server, host=own, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")[0] == 403


def test_only_the_loopback_address_listens(server):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it only asks which address would be used
            outward = probe.getsockname()[0]
        except OSError:
            pytest.skip("this machine has no other address")
    if outward.startswith("127."):
        pytest.skip("this machine has no other address")
    with pytest.raises(OSError), socket.create_connection((outward, server.port), timeout=5):  # noqa: PT011 - any refusal
        pass


def test_the_browser_is_told_to_fetch_from_nowhere_else_and_every_page_lives_with_that(page, server):
    _, headers = ask(server, host=f"localhost:{server.port}")
    policy = headers["content-security-policy"]
    assert re.match(r"default-src 'self' ", policy)
    assert "frame-ancestors 'self'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    complaints = []
    page.on("console", lambda message: complaints.append(message.text) if "Content Security" in message.text else None)
    before = len(server.requests)
    for path in ("/", "/forget", "/unlearn", "/klom", "/methods", "/runs"):
        page.goto(server.url + path)
        page.locator(".fs-line").wait_for()
        page.locator("[data-testid=stStatusWidget]").wait_for(state="detached")
    assert not complaints
    hosts = {urlsplit(url).hostname for url in server.requests[before:] if not url.startswith(("data:", "blob:"))}
    assert hosts == {"127.0.0.1"}
    blocked = page.evaluate("fetch('http://192.0.2.1/').then(() => 'sent', () => 'blocked')")
    assert blocked == "blocked"
    assert complaints, "it was the policy that blocked it"
