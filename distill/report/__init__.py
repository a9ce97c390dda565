"""Pages a person can open anywhere: the report of a run and the hits of a search."""

from distill.report.comparison import check_out, write_comparison
from distill.report.groups import Entry
from distill.report.page import Card, Panel, thumbnail, write_search_page
from distill.report.panels import picture_of
from distill.report.run import write_report

__all__ = [
    "Card",
    "Entry",
    "Panel",
    "check_out",
    "picture_of",
    "thumbnail",
    "write_comparison",
    "write_report",
    "write_search_page",
]
