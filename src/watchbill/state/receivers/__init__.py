"""The tokens with which senders push; the receiving process knows their digests from a file alone."""
