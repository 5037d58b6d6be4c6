"""Grading: collect → sandbox → compare → report; docs/grading.md says how and why."""
