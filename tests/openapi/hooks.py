"""What schemathesis cannot know of the api by its document: an image that the event takes, participants who
may send one more submission, which secret belongs to which submission, and that whoever sends wrong
tokens is not listened to for a while."""

import itertools
import os
import random

import schemathesis

IMAGE = os.environ["TRIED_WITH_IMAGE"]
TOKEN = os.environ["TRIED_WITH_TOKEN"]
WEBHOOK = os.environ["TRIED_WITH_WEBHOOK"]
SECRETS: dict[str, str] = {}
CHOICE = random.Random(5)
# What says where a message ends and who it is for (RFC 9112) belongs to no operation: `edge` tries it.
FRAMING = {"connection", "content-length", "expect", "host", "te", "trailer", "transfer-encoding", "upgrade"}
CLIENTS = itertools.count(1)
NAMES = itertools.count(1)


@schemathesis.hook
def map_case(context, case):
    """Makes most of what is well-formed acceptable too."""
    if case.meta is None or not case.meta.generation.mode.is_positive or CHOICE.random() < 0.3:
        return case
    label, body = case.operation.label, case.body
    if label == "POST /api/v1/events/{event}/submissions" and isinstance(body, dict):
        answers = {"vote": "Cats", "why": "because"}
        participant = {**body["participant"], "name": f"Participant {next(NAMES)}"}
        case.body = {**body, "participant": participant, "images": [IMAGE], "answers": answers}
    elif label == "POST /api/v1/admin/events/{event}/webhooks" and isinstance(body, dict):
        case.body = {**body, "url": WEBHOOK, "on": ["verdict"]}
    elif "/admin/submissions/{id}" in label and SECRETS:
        case.path_parameters["id"] = CHOICE.choice(list(SECRETS))
        if isinstance(body, dict) and body.get("note") is not None:
            case.body = {"note": "a note"}
    return case


@schemathesis.auth(refresh_interval=None)
class Bearer:
    """The organiser's token; for whoever cancels, the secret of the submission."""

    def get(self, case, context):
        if case.operation.label == "DELETE /api/v1/submissions/{id}":
            return SECRETS.get(str((case.path_parameters or {}).get("id")), TOKEN)
        return TOKEN if "/admin/" in case.operation.path else None

    def set(self, case, data, context):
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}


@schemathesis.hook
def before_call(context, case, kwargs) -> None:
    """Gives each case a client of its own, as the api is told by a balancer that it trusts,
    and leaves it to the library where a message ends."""
    for name in [name for name in case.headers if name.lower() in FRAMING]:
        del case.headers[name]
    client = next(CLIENTS)
    case.headers["X-Forwarded-For"] = f"10.{client >> 16 & 255}.{client >> 8 & 255}.{client & 255}"


@schemathesis.hook
def filter_failure(context, failure, case, response) -> bool:
    """A submission that is taken back stays where it is, with the state `cancelled`."""
    stays = case.operation.path.startswith("/api/v1/submissions/") or case.operation.path == "/competition/{id}"
    return not (stays and type(failure).__name__ == "UseAfterFree")


@schemathesis.hook
def after_call(context, case, response) -> None:
    """Remembers the secret of a submission."""
    if response.status_code == 202 and response.json().get("secret"):
        SECRETS[response.json()["id"]] = response.json()["secret"]
