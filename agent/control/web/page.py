"""The status page: a few files of the package, the login, and pictures of parts."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from agent.control.answers import answer
from agent.control.body import Body, path_id, read_json
from agent.control.web.access import COOKIE, LockedError
from agent.http.application import Route
from agent.http.response import Response

if TYPE_CHECKING:
    from agent.control.unit import UnitFacade
    from agent.control.web.access import Keyring
    from agent.http.request import Request

# path → file of the package, and its type: nothing else can be named.
FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/plot.js": ("plot.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    "/app.webmanifest": ("app.webmanifest", "application/manifest+json"),
}
PUBLIC = frozenset(
    {*(("GET", path) for path in FILES), *(("HEAD", path) for path in FILES), ("POST", "/login")}
)
"""What nobody needs a key for: it says nothing about the unit."""
SESSION_S = 30 * 86_400


class LoginBody(Body):
    """`POST /login`."""

    key: Annotated[str, Field(min_length=1, max_length=1024)]


class PageRoutes:
    """Serves the page and lets browsers in."""

    def __init__(self, unit: UnitFacade, keyring: Keyring) -> None:
        self._unit = unit
        self._keyring = keyring
        folder = resources.files("agent.control.web") / "panel"
        self._files = {
            path: ((folder / name).read_bytes(), media_type) for path, (name, media_type) in FILES.items()
        }

    def routes(self) -> list[Route]:
        """List the paths."""
        return [
            *(Route(path, self.file, methods=["GET"]) for path in FILES),
            Route("/login", self.login, methods=["POST"]),
            Route("/logout", self.logout, methods=["POST"]),
            Route("/v1/jobs/{id}/picture", self.picture, methods=["GET"]),
        ]

    async def file(self, request: Request) -> Response:
        """Answer one of the page's files."""
        data, media_type = self._files[request.path]
        return Response(data, headers={"cache-control": "no-cache"}, media_type=media_type)

    async def login(self, request: Request) -> Response:
        """Exchange the key for a cookie that no script can read and no other site can use."""
        if not self._keyring.fits((await read_json(request, LoginBody)).key.strip()):
            raise LockedError(
                "this is not the unit's key", code="wrong_key", remedy="it is in the unit's API key file"
            )
        response = answer({"unit": self._unit.identity.name})
        response.set_cookie(COOKIE, self._keyring.session, max_age_s=SESSION_S)
        return response

    async def logout(self, _request: Request) -> Response:
        """Take the cookie away."""
        response = answer({})
        response.set_cookie(COOKIE, "", max_age_s=0)
        return response

    async def picture(self, request: Request) -> Response:
        """Answer the part's picture, 204 where there is none."""
        job_id = path_id(request, "job")
        found = await self._unit.picture(job_id)
        if found is None:
            return Response(status=204)
        headers = {"cache-control": "private, max-age=3600"}
        return Response(found.data, headers=headers, media_type=found.media_type)
