"""A server of a folder's files that answers range requests and notes them: ``python -m tests.geo.range_server FOLDER`` prints its port.

It is a process of its own, since GDAL asks some of its questions while it holds Python's lock.
"""

from __future__ import annotations

import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ASKED = "asked.txt"
"""In the folder: first and last byte of what was asked for, a line each."""


class Handler(BaseHTTPRequestHandler):
    folder: Path

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        file = self.folder / Path(self.path).name
        if not file.is_file():
            self.send_error(404)
            return
        content = file.read_bytes()
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first, last = (int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)) if wanted else (0, len(content) - 1)
        self.send_response(206 if wanted else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.end_headers()
        if body:
            with (self.folder / ASKED).open("a") as asked:
                asked.write(f"{first} {last}\n")
            self.wfile.write(content[first : last + 1])

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    Handler.folder = Path(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
