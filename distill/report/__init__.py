"""Pages a person can open anywhere: the report of a run and the hits of a search."""

from distill.report.page import Card, Panel, thumbnail, write_search_page
from distill.report.run import write_report

__all__ = ["Card", "Panel", "thumbnail", "write_report", "write_search_page"]
