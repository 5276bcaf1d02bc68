"""`python -m schemas.publish`: release what is new and bring the generated documents up to date.

With `--check` nothing is written, and the exit status says whether something would be.
"""

import sys
from pathlib import Path

from schemas.event import all_events
from schemas.publish import asyncapi, index
from schemas.publish.files import PUBLISHED
from schemas.publish.release import Release, prepared
from schemas.publish.services import Silent, traffic


def everything(directory: Path = PUBLISHED) -> Release:
    """The schemas and the documents about them, as they should be."""
    events = list(all_events())
    services = traffic()
    release = prepared(events, directory)
    release.files[directory / "asyncapi.yaml"] = asyncapi.as_yaml(asyncapi.document(events, services))
    release.files[directory / "README.md"] = index.page(events, services)
    return release


def outdated(release: Release) -> list[Path]:
    """The files that are not as they should be."""
    return [path for path, text in release.files.items() if not path.exists() or path.read_text() != text]


def main(arguments: list[str]) -> int:
    say = sys.stderr.write
    try:
        release = everything()
    except Silent as trouble:
        say(f"{trouble}\nA service cannot be asked what it announces; nothing is written.\n")
        return 1
    if release.refusals:
        say("Released schemas stay as they are. Refused, nothing is written:\n")
        say("".join(f"  {refusal}\n" for refusal in release.refusals))
        say("Make a new class beside the old one, with schema_version 2 and the topic <name>.v2.\n")
        return 1
    stale = outdated(release)
    if "--check" in arguments:
        say("".join(f"out of date: {path.name} (run `make schemas`)\n" for path in stale))
        return 1 if stale else 0
    for path in stale:
        path.write_text(release.files[path])
    say("".join(f"{news}\n" for news in release.news))
    say(f"{len(stale)} files written, {len(release.files) - len(stale)} as they were\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
