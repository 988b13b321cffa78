"""HTTP push with acknowledgements: Splunk HEC, OTLP/HTTP logs and NDJSON on one listener."""

from watchbill.engine.collect.push.server import Push
from watchbill.engine.collect.push.tokens import PushToken, Tokens, digest_of, write_tokens

__all__ = ["Push", "PushToken", "Tokens", "digest_of", "write_tokens"]
