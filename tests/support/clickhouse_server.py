"""chDB behind enough of ClickHouse's HTTP interface to be written to by clickhouse-connect.

A stand-in for a ClickHouse server, with the real engine: ``python -m ... PORT FOLDER``.
"""

import sys
import tempfile
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import chdb
import lz4.frame

WRONG_USER = "Basic " + b64encode(b"wrong:x").decode()


class Handler(BaseHTTPRequestHandler):
    session = None  # set by main

    def do_GET(self) -> None:
        self._answer(200, b"Ok.\n")

    def do_POST(self) -> None:
        asked = dict(parse_qsl(urlsplit(self.path).query))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or self._chunks()
        if self.headers.get("Content-Encoding") == "lz4":
            body = lz4.frame.decompress(body)
        if self.headers.get("Authorization") == WRONG_USER:
            self._answer(403, b"Code: 516. DB::Exception: Authentication failed.", code="516")
            return
        try:
            self.session.query(f"USE `{asked.get('database', 'default')}`")
            self._answer(200, self._run(asked.get("query", ""), body))
        except RuntimeError as e:
            text = str(e)
            code = text.partition("Code: ")[2].partition(".")[0]
            self._answer(500, text.encode(), code=code)

    def _chunks(self) -> bytes:
        body = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        return body

    def _run(self, query: str, body: bytes) -> bytes:
        head, _, data = body.partition(b"\n")
        if not query and head.startswith(b"INSERT") and b" FORMAT " in head:
            query, body = head.decode(), data
        if not query.upper().startswith("INSERT"):  # which has rows behind it, unless it selects
            sql = f"{query}\n{body.decode()}".strip()
            return self.session.query(sql, "TabSeparated").bytes() or b""
        before, _, output_format = query.strip().rpartition(" FORMAT ")
        with tempfile.NamedTemporaryFile() as file:
            file.write(body)
            file.flush()
            self.session.query(f"{before} FROM INFILE '{file.name}' FORMAT {output_format}")
        return b""

    def _answer(self, status: int, body: bytes, *, code: str = "") -> None:
        self.send_response(status)
        if code:
            self.send_header("X-ClickHouse-Exception-Code", code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


def main(port: int, folder: Path) -> None:
    Handler.session = chdb.connect(str(folder))
    Handler.protocol_version = "HTTP/1.1"
    HTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
