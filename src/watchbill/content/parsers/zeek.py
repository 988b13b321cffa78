"""Zeek's logs in JSON (conn, dns, http, ssl, ssh, smb_files, kerberos, rdp, notice and the others).

Format: https://docs.zeek.org/en/current/logs/index.html . Which log a record is of stands in ``_path`` (JSON streaming
logs), else in the file's name, else follows from its fields.
"""

from __future__ import annotations

from typing import Any

from watchbill.content import connections
from watchbill.content.audit_logs import moment
from watchbill.sdk import Event, Line, LogSource, Parser, Sample, flat, ocsf

#: A field that only this log has.
_TELLING = (
    ("conn_state", "conn"), ("qtype_name", "dns"), ("qclass", "dns"), ("rcode_name", "dns"), ("call_id", "sip"), ("trans_depth", "http"), ("cipher_alg", "ssh"),
    ("auth_success", "ssh"), ("certificate.serial", "x509"), ("note", "notice"), ("request_type", "kerberos"), ("security_protocol", "rdp"),
    ("cookie", "rdp"), ("share_type", "smb_mapping"), ("ntlm_failure", "ntlm"), ("rtt", "dce_rpc"), ("mailfrom", "smtp"), ("msg_types", "dhcp"),
    ("cert_chain_fuids", "ssl"), ("next_protocol", "ssl"), ("server_name", "ssl"), ("tunnel_type", "tunnel"),
)  # fmt: skip
_ACTIONS_OF_FILES = {"SMB::FILE_OPEN": 2, "SMB::FILE_WRITE": 3, "SMB::FILE_READ": 2}
_METHODS = {"CONNECT": 1, "DELETE": 2, "GET": 3, "HEAD": 4, "OPTIONS": 5, "POST": 6, "PUT": 7, "TRACE": 8, "PATCH": 9}
#: conn_state: what became of the connection, as OCSF's activity.
_STATES = {
    "S0": 4, "REJ": 5, "S1": 1, "SF": 6, "S2": 6, "S3": 6, "RSTO": 3, "RSTR": 3, "RSTOS0": 3, "RSTRH": 3, "SH": 4, "SHR": 4, "OTH": 6,
}  # fmt: skip


def parse(line: Line) -> Event | None:
    """Translate one record."""
    data = line.data
    if not data or "ts" not in data:
        return None
    native = flat.flatten(data)
    path = _path(line, native)
    if not path:
        return None
    values = _values(path, native)
    return Event(
        values["class_uid"], values, native, line.text, moment(data["ts"]), LogSource("zeek", path), host=_sensor(native)
    )  # fmt: skip


def _path(line: Line, native: dict[str, Any]) -> str:
    path = native.get("_path")
    if isinstance(path, str) and path:
        return path[:40]
    if "id.orig_h" not in native and "certificate.serial" not in native:
        return ""
    name = line.source.rpartition("/")[2].partition(".")[0].lower()
    known = {kind for _, kind in _TELLING} | {
        "weird",
        "files",
        "smb_files",
        "smb_cmd",
        "ftp",
        "mysql",
        "intel",
        "sip",
        "socks",
    }
    if name in known:
        return name
    if "action" in native and str(native["action"]).startswith("SMB::"):
        return "smb_files"
    return next((kind for field, kind in _TELLING if field in native), "conn" if "proto" in native else "")


def _values(path: str, native: dict[str, Any]) -> dict[str, Any]:
    ends = connections.endpoints(*(native.get(f"id.{name}") for name in ("orig_h", "orig_p", "resp_h", "resp_p")))
    match path:
        case "dns":
            return _dns(native) | ends
        case "http":
            return _http(native) | ends
        case "ssh":
            return _ssh(native) | ends
    status = ocsf.UNKNOWN
    activity = 6
    if path == "conn":
        activity = _STATES.get(str(native.get("conn_state")), 6)
    values = ocsf.template(ocsf.NETWORK_ACTIVITY, activity, "Zeek", "Zeek", status)
    values["metadata.log_name"] = path
    values |= ends | connections.protocol(native.get("proto") or _transport(path))
    if isinstance(uid := native.get("uid"), str):
        values["connection_info.uid"] = uid
    for name, there in (("orig_bytes", "traffic.bytes_out"), ("resp_bytes", "traffic.bytes_in")):
        if isinstance(count := native.get(name), int):
            values[there] = count
    if path == "notice" and isinstance(native.get("msg"), str):
        values |= {"message": native["msg"][:2_048], "status_detail": str(native.get("note", ""))[:200]}
    return values


def _transport(path: str) -> str:
    return "udp" if path in {"dhcp", "sip", "ntp", "snmp"} else "tcp"


def _dns(native: dict[str, Any]) -> dict[str, Any]:
    failed = native.get("rcode_name") not in {None, "NOERROR"}
    status = (ocsf.FAILURE if failed else ocsf.SUCCESS) if "rcode_name" in native else ocsf.UNKNOWN
    values = ocsf.template(ocsf.DNS_ACTIVITY, 2 if "answers" in native else 1, "Zeek", "Zeek", status)
    values["severity_id"] = 1  # a name that does not exist is nothing to worry about by itself
    query = native.get("query")
    values["query.hostname"] = query if isinstance(query, str) and query else "unknown"
    if isinstance(kind := native.get("qtype_name"), str):
        values["query.type"] = kind
        native.setdefault("record_type", kind)
    answers = native.get("answers")
    if isinstance(answers, list):
        values["answers"] = [{"rdata": str(one)} for one in answers[:50]]
        native.setdefault("answer", answers)
    if isinstance(code := native.get("rcode_name"), str):
        values["rcode"] = code
    return values


def _http(native: dict[str, Any]) -> dict[str, Any]:
    method, code = str(native.get("method", "")), native.get("status_code")
    status = (ocsf.FAILURE if code >= 400 else ocsf.SUCCESS) if isinstance(code, int) else ocsf.UNKNOWN
    activity = _METHODS.get(method, ocsf.OTHER if method else ocsf.UNKNOWN)
    values = ocsf.template(ocsf.HTTP_ACTIVITY, activity, "Zeek", "Zeek", status)
    values["severity_id"] = 1
    if activity == ocsf.OTHER:
        values["activity_name"] = method[:40]
    uri, host = str(native.get("uri", "")), str(native.get("host", ""))
    stem, _, query = uri.partition("?")
    values["http_request.url.path"] = stem
    if method in _METHODS:
        values["http_request.http_method"] = method
    if host:
        values["http_request.url.hostname"] = host
    if query:
        values["http_request.url.query_string"] = query
    if isinstance(agent := native.get("user_agent"), str):
        values["http_request.user_agent"] = agent
    if isinstance(code, int):
        values["http_response.code"] = code
    return values


def _ssh(native: dict[str, Any]) -> dict[str, Any]:
    success = native.get("auth_success")
    status = ocsf.UNKNOWN if success is None else ocsf.SUCCESS if success is True else ocsf.FAILURE
    values = ocsf.template(
        ocsf.SSH_ACTIVITY, 6 if success is None else 1 if success is True else 4, "Zeek", "Zeek", status
    )
    if isinstance(client := native.get("client"), str):
        values["unmapped.client"] = client
    return values


def _sensor(native: dict[str, Any]) -> str:
    name = native.get("_system_name", native.get("_sensor", ""))
    return name if isinstance(name, str) else ""


_CONN = (
    '{"_path":"conn","ts":1772618400.5,"uid":"C1","id.orig_h":"192.0.2.7","id.orig_p":4242,"id.resp_h":"198.51.100.9","id.resp_p":443,"proto":"tcp",'
    '"service":"ssl","orig_bytes":120,"resp_bytes":4800,"conn_state":"SF"}'
)
_DNS = (
    '{"ts":1772618400.5,"uid":"C2","id.orig_h":"192.0.2.7","id.orig_p":5353,"id.resp_h":"192.0.2.53","id.resp_p":53,"proto":"udp","query":"www.example.com",'
    '"qtype_name":"A","rcode_name":"NOERROR","answers":["198.51.100.9"]}'
)
_HTTP = (
    '{"_path":"http","ts":"2026-03-04T10:00:00.500000Z","uid":"C3","id.orig_h":"192.0.2.7","id.orig_p":4242,"id.resp_h":"198.51.100.9","id.resp_p":80,'
    '"trans_depth":1,"method":"GET","host":"www.example.com","uri":"/a.exe?x=1","user_agent":"curl/8","status_code":200}'
)
PARSER = Parser(
    id="zeek",
    title="Zeek logs in JSON",
    logsource=LogSource("zeek", ""),
    parse=parse,
    keys=(frozenset({"ts", "id.orig_h"}), frozenset({"ts", "_path"}), frozenset({"ts", "certificate.serial"})),
    rank=20,
    samples=(
        Sample(
            _CONN,
            ocsf.NETWORK_ACTIVITY,
            {
                "activity_id": 6, "src_endpoint.ip": "192.0.2.7", "src_endpoint.port": 4242, "dst_endpoint.ip": "198.51.100.9", "dst_endpoint.port": 443,
                "connection_info.protocol_name": "tcp", "traffic.bytes_out": 120,
            },
            {"conn_state": "SF", "id.resp_p": 443},
            time="2026-03-04T10:00:00.500Z",
        ),
        Sample(
            _DNS,
            ocsf.DNS_ACTIVITY,
            {"activity_id": 2, "query.hostname": "www.example.com", "query.type": "A", "answers": [{"rdata": "198.51.100.9"}], "rcode": "NOERROR"},
            {"record_type": "A", "query": "www.example.com"},
        ),
        Sample(
            _HTTP,
            ocsf.HTTP_ACTIVITY,
            {"activity_id": 3, "http_request.url.path": "/a.exe", "http_request.url.query_string": "x=1", "http_response.code": 200},
            {"uri": "/a.exe?x=1"},
        ),
        Sample(
            _CONN.replace('"_path":"conn"', '"_path":"ssh","auth_success":false'),
            ocsf.SSH_ACTIVITY,
            {"activity_id": 4, "status_id": 2, "src_endpoint.ip": "192.0.2.7"},
        ),
        *(
            Sample(_CONN.replace('"_path":"conn"', f'"_path":"{path}",{more}'), ocsf.NETWORK_ACTIVITY, {"metadata.log_name": path})
            for path, more in (
                ("smb_files", '"action":"SMB::FILE_OPEN","path":"\\\\\\\\dc-01\\\\ADMIN$","name":"a.exe"'),
                ("dce_rpc", '"endpoint":"svcctl","operation":"CreateServiceW"'),
                ("kerberos", '"request_type":"TGS","cipher":"rc4-hmac"'),
                ("rdp", '"cookie":"ana","security_protocol":"HYBRID"'),
                ("x509", '"certificate.serial":"05"'),
            )
        ),
        Sample('{"ts":1,"id.orig_h":"192.0.2.7"}', None),
    ),
)  # fmt: skip
