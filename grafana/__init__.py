"""Dashboards for Grafana: builders in Python, one catalogue of texts, and the files that come of them."""
