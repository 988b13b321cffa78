"""Watchbill: continuous security monitoring for ISO/IEC 27001."""
