"""The embedded staging stack: PostgreSQL, Valkey, the service behind Envoy, Prometheus and Alertmanager as processes."""
