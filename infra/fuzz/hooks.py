"""What Schemathesis does not know of us: who it is, which operations end what, and what every answer has beside its schema.

Two businesses are asked. The one that the run was given does nearly everything. What may end a session or lock its
owner out (`/api/v1/auth`, users, roles) is done by owners of spare businesses, and a new one is registered when the last
one has locked himself out.
"""

import atexit
import collections
import json
import os
import random
import re
import threading
import uuid

import requests
import schemathesis

URL = os.environ["BAHI_URL"]
SPARE = re.compile(r"^/api/v1/(auth|users|roles|identity-providers|api-keys)([/:]|$)")
# A key that is used again answers with what was done before; a few are left as they come, so that this is seen too.
KEYS_KEPT = 0.1
CHANCE = random.Random(int(os.environ.get("BAHI_FUZZ_SEED", "1")))

SEEN = collections.defaultdict(collections.Counter)
LOCK = threading.Lock()


def answer(path, body):
    reply = requests.post(URL + path, json=body, timeout=30)
    reply.raise_for_status()
    return reply.json()


@schemathesis.auth(
    refresh_interval=600,
    retry_on=[401],
    cache_by_key=lambda case, _: "spare" if SPARE.match(case.operation.path) else "owner",
)
class Owner:
    """Signs in, again after a 401."""

    def get(self, case, context):
        if SPARE.match(case.operation.path):
            name = uuid.uuid4().hex
            made = answer(
                "/api/v1/auth/register",
                {
                    "tenant_name": name,
                    "name": "Spare Owner",
                    "email": f"{name}@bahi.example",
                    "password": os.environ["BAHI_PASSWORD"],
                },
            )
            return made["access_token"]
        known = {"email": os.environ["BAHI_EMAIL"], "password": os.environ["BAHI_PASSWORD"]}
        return answer("/api/v1/auth/login", known)["access_token"]

    def set(self, case, token, context):
        case.headers["Authorization"] = f"Bearer {token}"


@schemathesis.hook
def before_call(context, case, kwargs):
    headers = case.headers
    for name in list(headers or {}):
        if name.lower() == "idempotency-key" and isinstance(headers[name], str):
            if 0 < len(headers[name]) <= 150 and CHANCE.random() > KEYS_KEPT:
                headers[name] += uuid.uuid4().hex


@schemathesis.hook
def after_call(context, case, response):
    with LOCK:
        SEEN[case.operation.label][response.status_code] += 1


@schemathesis.check
def refusals_are_problems(ctx, response, case):
    """Whatever is refused is refused in one shape, under the id of the request."""
    if response.status_code < 400 or case.operation.path == "/api/v1/auth/token":
        return
    kind = (response.headers.get("content-type") or [""])[0]
    assert kind == "application/problem+json", f"{response.status_code} is {kind or 'nothing'}"
    problem = response.json()
    assert problem["status"] == response.status_code, problem
    assert re.fullmatch(r"[A-Z][A-Z0-9_]+", problem["code"]), problem
    assert problem["request_id"] == response.headers["x-request-id"][0], problem


@schemathesis.check
def waiting_is_told(ctx, response, case):
    """Who is told to come back is told when."""
    if response.status_code in (429, 503):
        assert "retry-after" in response.headers, f"{response.status_code} without Retry-After"


@atexit.register
def tell():
    if not SEEN:
        return
    well = [name for name, seen in SEEN.items() if any(status < 300 for status in seen)]
    known = [name for name, seen in SEEN.items() if set(seen) - {401, 403}]
    limited = sum(seen[429] for seen in SEEN.values())
    print(
        f"\n{sum(sum(seen.values()) for seen in SEEN.values())} requests; of {len(SEEN)} operations {len(known)} passed the door,"
        f" {len(well)} were carried out; {limited} answers of 429"
    )
    never = {name: dict(sorted(seen.items())) for name, seen in sorted(SEEN.items()) if name not in well}
    for name, seen in never.items():
        print(f"  never carried out: {name} {seen}")
    if path := os.environ.get("BAHI_FUZZ_SEEN"):
        with open(path, "w") as file:
            json.dump({name: dict(seen) for name, seen in sorted(SEEN.items())}, file, indent=1)
