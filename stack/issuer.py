"""A development OIDC issuer: it believes everybody who they say they are.

POST /token with `persona=<name>` or `email=<address>` gives a bearer token the services accept. It runs from
a checkout only, so no image can switch it on: images hold the services' wheels and nothing of this.
"""

import argparse
import html
import json
import time
import tomllib
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from stack.places import ROOT

PERSONAS = Path(__file__).with_name("personas.toml")
AUDIENCE = "tandem"
ALGORITHM = "ES256"
LIFETIME_S = 12 * 3600
LIFETIME_MAX_S = 30 * 24 * 3600


class BadRequest(Exception):
    """What the token endpoint was asked for makes no sense; answered as RFC 6749 says."""


class Issuer:
    """Signs who somebody is, under one address and one key."""

    def __init__(self, url: str, key_file: Path) -> None:
        self.url = url.rstrip("/")
        self.personas: dict[str, dict[str, str]] = tomllib.loads(PERSONAS.read_text())
        self._key = kept_key(key_file)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/", self.page),
                Route("/healthz", self.healthz),
                Route("/.well-known/openid-configuration", self.discovery),
                Route("/jwks", self.jwks),
                Route("/token", self.post_token, methods=["POST"]),
            ]
        )

    def token(self, form: dict[str, str]) -> tuple[str, int]:
        """A signed token and its lifetime in seconds. Raises BadRequest."""
        now = int(time.time())
        lifetime_s = _lifetime(form.get("expires_in"))
        claims = self._who(form) | {"iss": self.url, "aud": AUDIENCE, "iat": now, "exp": now + lifetime_s}
        return jwt.encode({"alg": ALGORITHM, "kid": self._key.kid}, claims, self._key), lifetime_s

    def _who(self, form: dict[str, str]) -> dict[str, str | bool]:
        """The claims about a persona, anybody with an e-mail address, or a client system that has none."""
        if (name := form.get("persona")) is not None:
            if name not in self.personas:
                raise BadRequest(f"no persona {name!r}; there are {', '.join(self.personas)}")
            form = form | self.personas[name]
        if client := form.get("client_id"):
            return {"sub": f"client/{client}", "client_id": client, "name": form.get("name", client)}
        email = form.get("email", "")
        if "@" not in email:
            raise BadRequest("give persona=<name>, email=<address> or client_id=<name>")
        # The same address is always the same subject, whichever way it signed in.
        subject = form.get("sub") or str(uuid.uuid5(uuid.NAMESPACE_URL, f"mailto:{email.lower()}"))
        verified = form.get("email_verified", "true") == "true"
        name = form.get("name") or email.split("@")[0]
        return {"sub": subject, "email": email, "email_verified": verified, "name": name}

    async def discovery(self, _: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/jwks",
                "token_endpoint": f"{self.url}/token",
                "grant_types_supported": ["client_credentials"],
                "response_types_supported": ["token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": [ALGORITHM],
            }
        )

    async def jwks(self, _: Request) -> Response:
        public = self._key.as_dict(private=False)
        return JSONResponse({"keys": [public | {"kid": self._key.kid, "use": "sig", "alg": ALGORITHM}]})

    async def post_token(self, request: Request) -> Response:
        async with request.form() as form:
            given = {name: value for name, value in form.items() if isinstance(value, str)}
        try:
            token, lifetime_s = self.token(given)
        except BadRequest as refused:
            said = {"error": "invalid_request", "error_description": str(refused)}
            return JSONResponse(said, status_code=400)
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": lifetime_s}
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})

    async def healthz(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def page(self, _: Request) -> Response:
        rows = "".join(
            f"<tr><td><code>{html.escape(name)}</code><td>{html.escape(persona['name'])}"
            f"<td>{html.escape(persona['email'])}<td>{html.escape(persona['about'])}"
            for name, persona in self.personas.items()
        )
        return HTMLResponse(
            "<!doctype html><html lang=en><meta charset=utf-8><title>Development issuer</title>"
            "<style>body{font:1rem/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}"
            "td,th{padding:.2rem 1rem .2rem 0;text-align:left}</style>"
            "<h1>Development issuer</h1><p>Signs in whoever asks; for this machine only."
            f"<table><tr><th>Persona<th>Name<th>E-mail<th>What{rows}</table>"
            f"<pre>curl -s {self.url}/token -d persona=admin\n"
            f"curl -s {self.url}/token -d email=you@customer.example -d name=You</pre></html>"
        )


def kept_key(file: Path) -> ECKey:
    """The signing key of a file, made the first time: tokens outlive a restart."""
    if not file.exists():
        key = ECKey.generate_key("P-256", private=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(".draft")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(key.as_dict(private=True)))
        draft.rename(file)
    key = ECKey.import_key(json.loads(file.read_text()))
    key.ensure_kid()
    return key


def _lifetime(asked: str | None) -> int:
    try:
        seconds = int(asked) if asked else LIFETIME_S
    except ValueError:
        raise BadRequest("expires_in is a number of seconds") from None
    if not 0 < seconds <= LIFETIME_MAX_S:
        raise BadRequest(f"expires_in is between 1 and {LIFETIME_MAX_S} seconds")
    return seconds


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m stack.issuer", description=__doc__)
    options.add_argument("--url", required=True, help="the address it is known under, also its `iss`")
    options.add_argument("--key", required=True, type=Path, help="file that keeps the signing key")
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, help="where to listen, unless the url says it")
    given = options.parse_args()
    if not (ROOT / "services").is_dir() or not (ROOT / "contracts-schemas").is_dir():
        raise SystemExit("the development issuer runs from a checkout of the sources only")
    issuer = Issuer(given.url, given.key)
    port = given.port or urlsplit(given.url).port or 80
    uvicorn.run(issuer.app(), host=given.host, port=port, log_level="warning", server_header=False)


if __name__ == "__main__":
    main()
