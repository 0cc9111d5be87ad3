"""What spans.sh runs: a client of OTLP and of the service's pages of spans."""
