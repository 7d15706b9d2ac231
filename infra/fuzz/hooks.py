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
import sys
import threading
import uuid

import requests
import schemathesis

URL = os.environ["BAHI_URL"]
SPARE = re.compile(r"^/api/v1/(auth|users|roles|identity-providers|api-keys)([/:]|$)")
# A key that is used again answers with what was done before; a few are left as they come, so that this is seen too.
KEYS_KEPT = 0.1
CHANCE = random.Random(int(os.environ.get("BAHI_FUZZ_SEED", "1")))

# What is asked about should more often be there than not: the latest that answers have named.
KNOWN = collections.defaultdict(lambda: collections.deque(maxlen=20))
VERSIONS = {}
NAMED = 0.7
UUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

SEEN = collections.defaultdict(collections.Counter)
LOCK = threading.Lock()


def answer(path, body):
    # From another address than the questions: those who try passwords there have to wait, and we need not.
    reply = requests.post(URL + path, json=body, headers={"X-Forwarded-For": "192.0.2.1"}, timeout=30)
    if not reply.ok:
        # Schemathesis tells neither why nor what.
        print(f"{path} answers {reply.status_code}: {reply.text}", file=sys.stderr)
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


def positive(case):
    return case.meta is None or case.meta.generation.mode.is_positive


def noun(path):
    """`/api/v1/inventory/batches/{id}` and `batch_id` are both about `batch`."""
    word = path.rstrip("/").rsplit("/", 1)[-1].replace("-", "_")
    for plural, single in (("ies", "y"), ("ches", "ch"), ("s", "")):
        if word.endswith(plural):
            return word[: -len(plural)] + single
    return word


def remember(value, about):
    """Ids of the answer, by what they are ids of."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, str) and UUID.match(inner):
                if key == "id":
                    KNOWN[about].append(inner)
                elif key.endswith("_id"):
                    KNOWN[key.removesuffix("_id")].append(inner)
            else:
                remember(inner, about if key == "items" else noun(key))
    elif isinstance(value, list):
        for inner in value[:20]:
            remember(inner, about)


def put_known(value):
    """Ids of a body, where some are known."""
    if isinstance(value, dict):
        for key, inner in value.items():
            known = KNOWN.get(key.removesuffix("_id")) if key.endswith("_id") else None
            if known and isinstance(inner, str) and CHANCE.random() < NAMED:
                value[key] = CHANCE.choice(known)
            else:
                put_known(inner)
    elif isinstance(value, list):
        for inner in value:
            put_known(inner)


@schemathesis.hook
def before_call(context, case, kwargs):
    headers = case.headers
    for name in list(headers or {}):
        if name.lower() == "idempotency-key" and isinstance(headers[name], str):
            if 0 < len(headers[name]) <= 150 and CHANCE.random() > KEYS_KEPT:
                headers[name] += uuid.uuid4().hex
    if not positive(case):
        return
    with LOCK:
        place = case.operation.path
        for name in list(case.path_parameters or {}):
            about = noun(place.split("{" + name)[0]) if name == "id" else name.removesuffix("_id")
            if KNOWN.get(about) and CHANCE.random() < NAMED:
                case.path_parameters[name] = CHANCE.choice(KNOWN[about])
        put_known(case.query)
        put_known(case.body)
        version = VERSIONS.get(case.formatted_path)
        if version and headers and "If-Match" in headers and CHANCE.random() < NAMED:
            headers["If-Match"] = version


@schemathesis.hook
def after_call(context, case, response):
    with LOCK:
        SEEN[case.operation.label][response.status_code] += 1
        if response.status_code >= 300:
            return
        place = case.operation.path
        remember(body_of(response), noun(re.sub(r"(/\{[^/]*\})?(:[^/{]*)?$", "", place)))
        if etag := response.headers.get("etag"):
            VERSIONS[case.formatted_path.split(":")[0]] = etag[0]


def body_of(response):
    try:
        return response.json()
    except ValueError:
        return None


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """What is no failure of ours."""
    kind = type(failure).__name__
    # A document says what an operation answers, and nothing of methods that the path does not take: 405 (another check).
    if case.method.upper() != case.operation.method.upper():
        return kind != "UndefinedStatusCode" and not taken_by_another(case)
    # Schemathesis sometimes leaves out what may be left out, and takes it for required.
    missing = re.search(r"Missing required property: (\w+)", failure.message)
    if missing and missing[1] not in required(case):
        return False
    # Whatever stands in a header is text.
    return not ("in header - incorrect type" in failure.message.lower())


def required(case):
    """Names of all that a body must have, at whatever depth."""
    raw = case.operation.schema.raw_schema
    body = raw["paths"][case.operation.path][case.operation.method.lower()].get("requestBody", {})
    names, left, seen = set(), [body], set()
    while left:
        part = left.pop()
        if isinstance(part, list):
            left.extend(part)
        elif isinstance(part, dict):
            words = part.get("required")
            names.update(words if isinstance(words, list) else ())
            left.extend(part.values())
            name = part.get("$ref", "").rsplit("/", 1)[-1] if isinstance(part.get("$ref"), str) else ""
            if name and name not in seen:
                seen.add(name)
                left.append(raw["components"]["schemas"].get(name, {}))
    return names


def taken_by_another(case):
    """Whether `PUT /products/lookup` is `PUT /products/{id}`: it is asked for an id that is none, and says so."""
    path = case.operation.path
    for other, item in case.operation.schema.raw_schema["paths"].items():
        pattern = "/".join("[^/:]+" if part.startswith("{") and part.endswith("}") else re.escape(part) for part in other.split("/"))
        if other != path and case.method.lower() in item and re.fullmatch(pattern, path):
            return True
    return False


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
