"""The demo: a month in the life of Larkfield Instruments, a company that does not exist.

Everything is made up by this code from a seed: 80 people with the names of their roles, 40 assets, addresses from the
documentation ranges (RFC 5737, RFC 3849), and eight incidents whose answers are known.
"""

from watchbill.content.demo.company import ASSETS, COMPANY, PEOPLE, DemoAsset
from watchbill.content.demo.incidents import INCIDENTS, Incident
from watchbill.content.demo.month import DAYS, DemoRecord, month

__all__ = ["ASSETS", "COMPANY", "DAYS", "INCIDENTS", "PEOPLE", "DemoAsset", "DemoRecord", "Incident", "month"]
