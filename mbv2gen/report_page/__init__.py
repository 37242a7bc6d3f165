# SPDX-License-Identifier: Apache-2.0
"""Report page: report.json as report.html, one file that needs no other. Python computes, templates arrange."""
