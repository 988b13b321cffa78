"""AWS CloudTrail: API Activity, and the classes that fit better for sign-ins, users, groups and the trail itself.

Record format: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from watchbill.core.times import from_rfc3339
from watchbill.sdk import Event, Kind, Line, LogSource, Parser, Sample, Shape, flat, ocsf

_IAM: dict[str, tuple[int, int]] = {
    "CreateUser": (ocsf.ACCOUNT_CHANGE, 1),
    "CreateLoginProfile": (ocsf.ACCOUNT_CHANGE, 2),
    "ChangePassword": (ocsf.ACCOUNT_CHANGE, 3),
    "UpdateLoginProfile": (ocsf.ACCOUNT_CHANGE, 4),
    "DeleteLoginProfile": (ocsf.ACCOUNT_CHANGE, 5),
    "DeleteUser": (ocsf.ACCOUNT_CHANGE, 6),
    "AttachUserPolicy": (ocsf.ACCOUNT_CHANGE, 7),
    "PutUserPolicy": (ocsf.ACCOUNT_CHANGE, 7),
    "DetachUserPolicy": (ocsf.ACCOUNT_CHANGE, 8),
    "DeleteUserPolicy": (ocsf.ACCOUNT_CHANGE, 8),
    "EnableMFADevice": (ocsf.ACCOUNT_CHANGE, 10),
    "DeactivateMFADevice": (ocsf.ACCOUNT_CHANGE, 11),
    "DeleteVirtualMFADevice": (ocsf.ACCOUNT_CHANGE, 11),
    "AttachGroupPolicy": (ocsf.GROUP_MANAGEMENT, 1),
    "PutGroupPolicy": (ocsf.GROUP_MANAGEMENT, 1),
    "DetachGroupPolicy": (ocsf.GROUP_MANAGEMENT, 2),
    "DeleteGroupPolicy": (ocsf.GROUP_MANAGEMENT, 2),
    "AddUserToGroup": (ocsf.GROUP_MANAGEMENT, 3),
    "RemoveUserFromGroup": (ocsf.GROUP_MANAGEMENT, 4),
    "DeleteGroup": (ocsf.GROUP_MANAGEMENT, 5),
    "CreateGroup": (ocsf.GROUP_MANAGEMENT, 6),
}
_TRAIL = {
    "DeleteTrail": (2, ""),
    "StartLogging": (6, ""),
    "StopLogging": (7, ""),
    "CreateTrail": (9, ""),
    "UpdateTrail": (ocsf.OTHER, "Update"),
    "PutEventSelectors": (ocsf.OTHER, "Update"),
    "PutInsightSelectors": (ocsf.OTHER, "Update"),
}
_VERB = re.compile(r"[A-Z][a-z]+|[A-Z]+(?![a-z])")
_VERBS = (
    (1, "Create Run Allocate Register Import Generate Issue Request Publish Copy Restore Upload Clone Provision Purchase Launch"),
    (2, "Get List Describe Lookup Head Search Select Query Scan Batch View Check Download Decrypt Verify Simulate Test Preview Read Discover Count Filter Estimate"),
    (3, "Update Modify Put Set Attach Detach Associate Disassociate Enable Disable Start Stop Add Remove Authorize Revoke Change Reset Tag Untag Replace Reboot Move Rotate Upgrade Apply Enter Assign Unassign Schedule Cancel Accept Reject"),
    (4, "Delete Terminate Deregister Release Purge Destroy"),
)  # fmt: skip
_ACTIVITIES = {verb: activity for activity, verbs in _VERBS for verb in verbs.split()}
#: requestParameters that name what was acted upon, to OCSF's resource type.
_RESOURCES = (
    ("bucketName", "AWS::S3::Bucket"), ("roleName", "AWS::IAM::Role"), ("userName", "AWS::IAM::User"),
    ("groupName", "AWS::IAM::Group"), ("policyArn", "AWS::IAM::Policy"), ("groupId", "AWS::EC2::SecurityGroup"),
    ("instanceId", "AWS::EC2::Instance"), ("functionName", "AWS::Lambda::Function"), ("keyId", "AWS::KMS::Key"),
    ("dBInstanceIdentifier", "AWS::RDS::DBInstance"), ("secretId", "AWS::SecretsManager::Secret"),
    ("trailName", "AWS::CloudTrail::Trail"), ("keyName", "AWS::EC2::KeyPair"), ("volumeId", "AWS::EC2::Volume"),
    ("snapshotId", "AWS::EC2::Snapshot"), ("vpcId", "AWS::EC2::VPC"), ("accessKeyId", "AWS::IAM::AccessKey"),
)  # fmt: skip


_SOURCE = LogSource("aws", "cloudtrail")


@lru_cache(8_192)
def _shaped(name: object, service: object) -> Kind | None:
    if not isinstance(name, str) or not isinstance(service, str):
        return None
    return Kind(_SOURCE, {"eventName": name, "eventSource": service}, class_uid=_kind(name, service, {})[0])


_SHAPE = Shape(("eventName", "eventSource"), lambda header: _shaped(*header))


def parse(line: Line) -> Event | None:
    """Translate one record. The host is the account, "aws:<id>", so that an account can be an asset."""
    data = line.data
    if not data or not isinstance(data.get("eventName"), str) or not isinstance(data.get("eventSource"), str):
        return None
    native = flat.flatten(data)
    name, service = data["eventName"], data["eventSource"]
    error = _text(native, "errorCode")
    failed = bool(error) or (name == "ConsoleLogin" and _text(native, "responseElements.ConsoleLogin") == "Failure")
    status = ocsf.FAILURE if failed else ocsf.SUCCESS
    class_uid, activity, activity_name = _kind(name, service, native)
    values = ocsf.template(class_uid, activity, "CloudTrail", "AWS", status)
    if activity_name:
        values["activity_name"] = activity_name
    values |= _about(native, name, service, error)
    _actor(values, native)
    _source(values, native)
    _subject(values, native, class_uid)
    try:
        time = from_rfc3339(_text(native, "eventTime"))
    except ValueError:
        time = 0
    account = _text(native, "recipientAccountId") or _text(native, "userIdentity.accountId")
    return Event(class_uid, values, native, line.text, time, host=f"aws:{account}" if account else "aws")


def _text(native: dict[str, Any], name: str) -> str:
    value = native.get(name)
    return value if isinstance(value, str) else ""


def _kind(name: str, service: str, native: dict[str, Any]) -> tuple[int, int, str]:
    if service == "signin.amazonaws.com" and name in {"ConsoleLogin", "Federate", "GetSigninToken"}:
        return (ocsf.AUTHENTICATION, 1, "") if name == "ConsoleLogin" else (ocsf.API_ACTIVITY, ocsf.OTHER, name)
    if service == "iam.amazonaws.com" and name in _IAM:
        return *_IAM[name], ""
    if service == "cloudtrail.amazonaws.com" and name in _TRAIL:
        return ocsf.EVENT_LOG_ACTIVITY, *_TRAIL[name]
    if native.get("readOnly") is True:
        return ocsf.API_ACTIVITY, 2, ""
    verb = _VERB.match(name)
    activity = _ACTIVITIES.get(verb[0], ocsf.OTHER) if verb else ocsf.OTHER
    return ocsf.API_ACTIVITY, activity, name if activity == ocsf.OTHER else ""


def _about(native: dict[str, Any], name: str, service: str, error: str) -> dict[str, Any]:
    values: dict[str, Any] = {
        "api.operation": name,
        "api.service.name": service,
        "cloud.provider": "AWS",
        "metadata.log_name": "AWS CloudTrail",
    }
    for field, path in (
        ("awsRegion", "cloud.region"),
        ("eventID", "metadata.uid"),
        ("eventType", "metadata.event_code"),
        ("eventVersion", "metadata.product.version"),
        ("requestID", "api.request.uid"),
        ("apiVersion", "api.version"),
    ):
        if text := _text(native, field):
            values[path] = text
    account = _text(native, "recipientAccountId") or _text(native, "userIdentity.accountId")
    if account:
        values["cloud.account.uid"] = account
    if error:
        values["api.response.error"] = values["status_code"] = error
    if message := _text(native, "errorMessage"):
        values["api.response.error_message"] = values["status_detail"] = message
    return values


def _actor(values: dict[str, Any], native: dict[str, Any]) -> None:
    kind = _text(native, "userIdentity.type")
    name = (
        _text(native, "userIdentity.userName")
        or _text(native, "userIdentity.sessionContext.sessionIssuer.userName")
        or ("root" if kind == "Root" else "")
        or _text(native, "userIdentity.invokedBy")
        or _text(native, "userIdentity.principalId").rpartition(":")[2]
        or kind
        or "unknown"
    )
    values["actor.user.name"] = name
    for field, path in (
        ("userIdentity.type", "actor.user.type"),
        ("userIdentity.principalId", "actor.user.uid_alt"),
        ("userIdentity.arn", "actor.user.uid"),
        ("userIdentity.accountId", "actor.user.account.uid"),
        ("userIdentity.accessKeyId", "actor.user.credential_uid"),
        ("userIdentity.invokedBy", "actor.invoked_by"),
        ("userIdentity.sessionContext.sessionIssuer.arn", "actor.session.issuer"),
    ):
        if text := _text(native, field):
            values[path] = text
    mfa = native.get("userIdentity.sessionContext.attributes.mfaAuthenticated")
    if mfa is not None:
        values["actor.session.is_mfa"] = str(mfa).lower() == "true"


def _source(values: dict[str, Any], native: dict[str, Any]) -> None:
    where, address = ocsf.source(_text(native, "sourceIPAddress") or "unknown")
    values[where] = address
    if where != "src_endpoint.ip":
        values["src_endpoint.svc_name"] = address
    if vpc := _text(native, "vpcEndpointId"):
        values["src_endpoint.uid"] = vpc


def _subject(values: dict[str, Any], native: dict[str, Any], class_uid: int) -> None:
    """What was acted upon, where the class has a place for it."""
    user = _text(native, "requestParameters.userName") or _text(native, "responseElements.user.userName")
    if class_uid == ocsf.AUTHENTICATION:
        values |= {"user.name": values["actor.user.name"], "service.name": "console", "is_remote": True}
        if kind := values.get("actor.user.type"):
            values["user.type"] = kind
        values["is_mfa"] = _text(native, "additionalEventData.MFAUsed") == "Yes"
    elif class_uid == ocsf.ACCOUNT_CHANGE:
        values["user.name"] = user or values["actor.user.name"]
        if arn := _text(native, "responseElements.user.arn"):
            values["user.uid"] = arn
        if policy := _text(native, "requestParameters.policyArn") or _text(native, "requestParameters.policyName"):
            values["policies"] = [{"uid": policy, "name": policy.rpartition("/")[2]}]
    elif class_uid == ocsf.GROUP_MANAGEMENT:
        values["group.name"] = _text(native, "requestParameters.groupName") or "unknown"
        if user:
            values["user.name"] = user
    elif class_uid == ocsf.EVENT_LOG_ACTIVITY:
        trail = _text(native, "requestParameters.name") or _text(native, "requestParameters.trailName")
        values |= {"log_name": trail.rpartition("/")[2] or "trail", "log_provider": "CloudTrail"}
        return  # this class has no place for the user agent
    else:
        values["resources"] = _resources(native)
        if not values["resources"]:
            del values["resources"]
    if agent := _text(native, "userAgent"):
        values["http_request.user_agent"] = agent


def _resources(native: dict[str, Any]) -> list[dict[str, str]]:
    found = [
        {"uid": item["ARN"], "type": str(item.get("type", ""))}
        for item in native.get("resources") or []
        if isinstance(item, dict) and isinstance(item.get("ARN"), str)
    ]
    for parameter, kind in _RESOURCES:
        if text := _text(native, f"requestParameters.{parameter}"):
            found.append({"uid": text, "name": text.rpartition("/")[2], "type": kind})
    return found


def _record(name: str, service: str, extra: str = "") -> str:
    return (
        '{"eventVersion":"1.09","userIdentity":{"type":"IAMUser","principalId":"AIDAEXAMPLE","arn":"arn:aws:iam::111122223333:user/ana",'
        '"accountId":"111122223333","userName":"ana"},"eventTime":"2026-03-04T10:00:00Z",'
        f'"eventSource":"{service}.amazonaws.com","eventName":"{name}","awsRegion":"eu-west-1",'
        f'"sourceIPAddress":"192.0.2.7","userAgent":"aws-cli","recipientAccountId":"111122223333"{extra}}}'
    )


PARSER = Parser(
    id="cloudtrail",
    title="AWS CloudTrail",
    logsource=_SOURCE,
    parse=parse,
    keys=(frozenset({"eventName", "eventSource"}),),
    rank=20,
    shapes=(_SHAPE,),
    samples=(
        Sample(
            _record("PutBucketAcl", "s3", ',"requestParameters":{"bucketName":"papers","acl":{"x":1}}'),
            ocsf.API_ACTIVITY,
            {
                "activity_id": 3, "status_id": 1, "api.operation": "PutBucketAcl", "api.service.name": "s3.amazonaws.com",
                "actor.user.name": "ana", "actor.user.type": "IAMUser", "actor.user.account.uid": "111122223333",
                "src_endpoint.ip": "192.0.2.7", "cloud.region": "eu-west-1", "cloud.account.uid": "111122223333",
                "resources": [{"uid": "papers", "name": "papers", "type": "AWS::S3::Bucket"}],
            },
            {"eventName": "PutBucketAcl", "userIdentity.type": "IAMUser", "requestParameters.bucketName": "papers", "requestParameters.acl.x": 1},
            time="2026-03-04T10:00:00Z",
            host="aws:111122223333",
        ),
        Sample(
            _record("ConsoleLogin", "signin", ',"responseElements":{"ConsoleLogin":"Failure"},"additionalEventData":{"MFAUsed":"No"}'),
            ocsf.AUTHENTICATION,
            {"activity_id": 1, "status_id": 2, "user.name": "ana", "service.name": "console", "is_mfa": False},
        ),
        Sample(
            _record("StopLogging", "cloudtrail", ',"requestParameters":{"name":"main"}'),
            ocsf.EVENT_LOG_ACTIVITY,
            {"activity_id": 7, "log_name": "main", "actor.user.name": "ana"},
        ),
        Sample(
            _record("AttachUserPolicy", "iam", ',"requestParameters":{"userName":"eve","policyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}'),
            ocsf.ACCOUNT_CHANGE,
            {"activity_id": 7, "user.name": "eve", "actor.user.name": "ana"},
        ),
        Sample(
            _record("AddUserToGroup", "iam", ',"requestParameters":{"userName":"eve","groupName":"admins"}'),
            ocsf.GROUP_MANAGEMENT,
            {"activity_id": 3, "user.name": "eve", "group.name": "admins"},
        ),
        Sample(
            _record("GetSecretValue", "secretsmanager", ',"errorCode":"AccessDenied","readOnly":true'),
            ocsf.API_ACTIVITY,
            {"activity_id": 2, "status_id": 2, "api.response.error": "AccessDenied"},
        ),
        Sample('{"eventName":"x"}', None),
        Sample('{"eventName":1,"eventSource":2}', None),
    ),
)  # fmt: skip
