"""Watching lippycatd: the dashboard of Grafana, from the metrics' own declarations."""
