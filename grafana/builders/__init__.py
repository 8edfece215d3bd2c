"""Makes the dashboards and provisioning files of this folder: `python -m grafana.builders`.

A development tool: the service does not import it, and Grafana reads only the files that are committed.
"""
