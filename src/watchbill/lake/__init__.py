"""Events at rest: append, compact, search, export. Delta Lake on disk, searched by DuckDB."""

from watchbill.lake.columns import Row
from watchbill.lake.lake import Lake
from watchbill.lake.results import Bucket, Facets, Histogram, SearchResult, Total

__all__ = ["Bucket", "Facets", "Histogram", "Lake", "Row", "SearchResult", "Total"]
