"""A service as the stack sees one, small: the same commands, the same pages, its deeds written to files."""

import http.server
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    deeds = Path(os.environ["SHOP_DEEDS"])
    command = sys.argv[1]
    if command == "prepare":
        print(f"shop {command} runs")
        if os.environ.get("SHOP_FAILS") == command:
            sys.exit(f"shop {command} went wrong")
        note(deeds, f"{command} on {os.environ['SHOP_OWNER_DATABASE_URL'].rsplit('/')[-1]}")
        return
    options = dict(zip(sys.argv[2::2], sys.argv[3::2], strict=True))
    role, port = options["--role"], int(options["--port"])

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/readyz" else 404)
            self.end_headers()
            self.wfile.write(f"{role} {os.environ.get('SHOP_WORD', '')}".encode())

        def log_message(self, *_: Any) -> None:
            pass

    def drain(*_: Any) -> None:
        time.sleep(0.1)  # Work at hand.
        note(deeds, f"{role} drained")
        os._exit(0)

    signal.signal(signal.SIGTERM, drain)
    note(deeds, f"{role} ran")
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Answers).serve_forever()


def note(deeds: Path, deed: str) -> None:
    with deeds.open("a") as file:
        file.write(f"{deed}\n")


if __name__ == "__main__":
    main()
