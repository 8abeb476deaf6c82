"""Dashboards, alerts and the collector's configuration as code: one description, several forms.

`boards` and `alerting` say what is looked at and what is wrong, in terms of `shared.telemetry.catalogue`; the `to_`
modules write it for Grafana, CloudWatch, Prometheus and the OpenTelemetry collector. `python -m dashboards` writes all.
"""
