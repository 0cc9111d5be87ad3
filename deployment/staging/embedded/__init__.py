"""The embedded staging stack: PostgreSQL, Valkey, the service, Envoy, Prometheus, Alertmanager as processes."""
