"""The version of the answers: report and cache carry it; raise it whenever an answer can change."""

CHECKER_VERSION = 2
