"""An HTTP proxy on loopback, written with the standard library alone, that records what passes through it."""

import http.client
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class Exchange:
    """A request and its answer, as they were on the wire. Header names are lower-case."""

    method: str
    path: str
    query: str
    headers: dict
    body: bytes
    status: int
    answer_headers: dict
    answer: bytes


class RecordingProxy:
    """Passes requests to ``upstream`` (``http://host:port``), with the Host that the client has named."""

    def __init__(self, upstream):
        self.exchanges = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(urlsplit(upstream).netloc, self.exchanges))
        self._thread = threading.Thread(target=self._server.serve_forever, name="proxy", kwargs={"poll_interval": 0.05})

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(upstream, exchanges):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            connection = http.client.HTTPConnection(upstream, timeout=60)
            try:
                connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    connection.putheader(name, value)
                connection.endheaders(body or None)
                answer = connection.getresponse()
                content = answer.read()
            finally:
                connection.close()
            path, _, query = self.path.partition("?")
            asked = {name.lower(): value for name, value in self.headers.items()}
            given = {name.lower(): value for name, value in answer.getheaders()}
            exchanges.append(Exchange(self.command, path, query, asked, body, answer.status, given, content))
            self.send_response_only(answer.status)
            for name, value in given.items():
                if name not in ("connection", "transfer-encoding", "content-length"):
                    self.send_header(name, value)
            if answer.status != 204:
                self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815  # names of the standard library

        def log_message(self, *_):
            """Quiet."""

    return Handler
