"""Kubernetes API server audit log, as JSON lines; also as EKS and GKE-less clusters ship it.

Format: https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from watchbill.content import audit_logs as audit
from watchbill.sdk import Derived, Event, Kind, Line, LogSource, Parser, Sample, Shape, flat, ocsf

_FORM = audit.Form(
    product="Kubernetes",
    vendor="Kubernetes",
    operation=("operation",),
    actor=("impersonatedUser.username", "user.username"),
    actor_uid=("user.uid",),
    address=("sourceIPs",),
    agent=("userAgent",),
    time=("requestReceivedTimestamp", "stageTimestamp", "timestamp"),
    uid=("auditID",),
    detail=("responseStatus.message", "responseStatus.reason"),
)
_SOURCE = LogSource("kubernetes", "audit", "application")
_ACTIVITIES = {
    "create": 1, "get": 2, "list": 2, "watch": 2, "update": 3, "patch": 3, "delete": 4, "deletecollection": 4,
}  # fmt: skip


def _of_pod(name: str) -> Derived:
    """What a pod is given, as a field of its own (see ``_pod``)."""

    def make(spec: object) -> object:
        found: dict[str, Any] = {}
        _pod(found, spec)
        return found.get(name)

    return Derived(("requestObject.spec",), make)


_PODS = {name: _of_pod(name) for name in ("hostPath", "capabilities", "privileged")}
_OTHERS: dict[str, Derived] = {}


@lru_cache(8_192)
def _shaped(verb: object, user: object, resource: object) -> Kind | None:
    if not isinstance(verb, str) or not isinstance(user, str) or not isinstance(resource, str):
        return None
    constants = {"verb": verb, "objectRef.resource": resource}
    return Kind(_SOURCE, constants, _PODS if resource == "pods" else _OTHERS, ocsf.API_ACTIVITY)


_SHAPE = Shape(("verb", "user.username", "objectRef.resource"), lambda header: _shaped(*header))


def parse(line: Line) -> Event | None:
    """Translate one audit event; its operation is verb and resource, as "create pods/exec"."""
    return translate(line, line.data)


def translate(line: Line, data: dict[str, Any] | None) -> Event | None:
    """The same for an audit event that lies inside another record."""
    verb = data.get("verb") if data else None
    if not data or not isinstance(verb, str) or not isinstance(data.get("user", data.get("objectRef")), dict):
        return None
    native: dict[str, Any] = flat.flatten(data)
    resource = audit.first(native, ("objectRef.resource",))
    sub = audit.first(native, ("objectRef.subresource",))
    what = f"{resource}/{sub}" if sub else resource or audit.first(native, ("requestURI",)).partition("?")[0]
    name = audit.first(native, ("objectRef.name",))
    space = audit.first(native, ("objectRef.namespace",))
    code = native.get("responseStatus.code")
    decision = native.get("annotations.authorization.k8s.io/decision")
    act = audit.Act(
        (ocsf.API_ACTIVITY, _ACTIVITIES.get(verb, ocsf.OTHER)),
        failed=decision == "forbid" or (code >= 400 if isinstance(code, int) else None),
        resources=((f"{space}/{name}" if space else name, resource),) if name else (),
        extra=_extra(verb, what, code, space),
    )
    # Rules ask for what a pod is given by its bare name, wherever in the specification that stands.
    spec = data.get("requestObject")
    if isinstance(spec, dict) and resource == "pods":
        _pod(native, spec.get("spec"))
    event = audit.event(_FORM, line, native, _SOURCE, act)
    event.ocsf["api.operation"] = f"{verb} {what}".strip()
    event.ocsf["api.service.name"] = audit.first(native, ("objectRef.apiGroup",)) or "core"
    if event.ocsf["activity_id"] == ocsf.OTHER:
        event.ocsf["activity_name"] = verb[:100]
    return event


def _extra(verb: str, what: str, code: Any, space: str) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    if isinstance(code, int):
        extra["api.response.code"] = code
        extra["status_code"] = str(code)
    if space:
        extra["unmapped.namespace"] = space
    if what in {"pods/exec", "pods/attach"} and verb in {"create", "get"}:
        extra["unmapped.interactive"] = True
    return extra


def _pod(native: dict[str, Any], spec: Any) -> None:
    if not isinstance(spec, dict):
        return
    paths = [
        str(one["hostPath"].get("path", ""))
        for one in _objects(spec.get("volumes"))
        if isinstance(one.get("hostPath"), dict)
    ]
    if paths:
        native.setdefault("hostPath", paths)
    added: list[str] = []
    for one in _objects(spec.get("containers")):
        capabilities = one.get("securityContext", {}) if isinstance(one.get("securityContext"), dict) else {}
        wanted = capabilities.get("capabilities")
        if isinstance(wanted, dict) and isinstance(wanted.get("add"), list):
            added += [str(item) for item in wanted["add"]]
        if capabilities.get("privileged") is True:
            native.setdefault("privileged", True)
    if added:
        native.setdefault("capabilities", added)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _record(verb: str, what: str, rest: str = "") -> str:
    return (
        f'{{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"a1","stage":"ResponseComplete","verb":"{verb}","requestURI":"/api/v1/x",'
        f'"user":{{"username":"ana@example.com","groups":["system:masters"]}},"sourceIPs":["192.0.2.7"],"userAgent":"kubectl/v1.31",'
        f'"objectRef":{what},"responseStatus":{{"code":201}},"requestReceivedTimestamp":"2026-03-04T10:00:00.000000Z"{rest}}}'
    )


PARSER = Parser(
    id="kubernetes",
    title="Kubernetes API server audit log",
    logsource=_SOURCE,
    parse=parse,
    keys=(frozenset({"verb", "user", "auditID"}), frozenset({"verb", "user", "objectRef"}), frozenset({"verb", "user", "sourceIPs"}), frozenset({"verb", "objectRef", "kind"})),
    rank=20,
    shapes=(_SHAPE,),
    samples=(
        Sample(
            _record("create", '{"resource":"pods","namespace":"default","name":"web","subresource":"exec"}'),
            ocsf.API_ACTIVITY,
            {
                "activity_id": 1, "status_id": 1, "api.operation": "create pods/exec", "api.service.name": "core",
                "actor.user.name": "ana@example.com", "src_endpoint.ip": "192.0.2.7",
                "resources": [{"name": "default/web", "type": "pods"}],
            },
            {"verb": "create", "objectRef.resource": "pods", "objectRef.subresource": "exec"},
            time="2026-03-04T10:00:00Z",
        ),
        Sample(
            _record("create", '{"resource":"pods","namespace":"default","name":"x"}',
                    ',"requestObject":{"spec":{"volumes":[{"hostPath":{"path":"/"}}],"containers":[{"securityContext":{"capabilities":{"add":["SYS_ADMIN"]}}}]}}'),
            ocsf.API_ACTIVITY,
            {"activity_id": 1},
            {"hostPath": ["/"], "capabilities": ["SYS_ADMIN"]},
        ),
        Sample(
            _record("delete", '{"resource":"secrets","apiGroup":"","name":"k"}').replace("201", "403"),
            ocsf.API_ACTIVITY,
            {"activity_id": 4, "status_id": 2, "api.response.code": 403},
        ),
        Sample('{"verb":"get","user":"ana","auditID":"1"}', None),
    ),
)  # fmt: skip
