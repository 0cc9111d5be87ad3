"""Envoy in front of the replicas: health checks, shares, and retries that can never run a pipeline twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from embedded.instance import Instance

_FILTERS = "type.googleapis.com/envoy.extensions.filters"


def endpoints_file(instance: Instance) -> Path:
    """Return the file that Envoy watches for where requests go; it takes effect when it is renamed into place."""
    return instance.path / "conf/endpoints.json"


def endpoints(instance: Instance, weights: Mapping[str, int]) -> dict[str, object]:
    """Return the endpoints with each replica's share of the requests, in per cent; one with 0 gets no new ones."""
    hosts = [
        {
            "endpoint": {
                "address": _address(instance.ports[f"service-{replica}"]),
                "hostname": f"service-{replica}",
            },
            "health_status": "HEALTHY" if weight else "DRAINING",
            "load_balancing_weight": max(weight, 1),
        }
        for replica, weight in weights.items()
    ]
    kind = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
    assignment = {"@type": kind, "cluster_name": "service", "endpoints": [{"lb_endpoints": hosts}]}
    return {"resources": [assignment]}


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _header(name: str, value: str) -> dict[str, object]:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def configuration(instance: Instance) -> dict[str, object]:
    """Return Envoy's configuration (its v3 API)."""
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    }
    # Switched off at 0 %; POST /runtime_modify?fault.http.abort.abort_percent=10 on the admin port turns it on.
    fault = {
        "name": "envoy.filters.http.fault",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
            "delay": {"fixed_delay": "1s", "percentage": {"numerator": 0}},
            "abort": {"http_status": 503, "percentage": {"numerator": 0}},
        },
    }
    # Retried only where the replica cannot have seen the request: a pipeline must never run twice.
    retry = {
        "retry_on": "connect-failure,refused-stream",
        "num_retries": 3,
        "retry_back_off": {"base_interval": "0.02s", "max_interval": "0.2s"},
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
                },
            },
        ],
        "host_selection_retry_max_attempts": 3,
    }
    # Load shedding: POST /runtime_modify?shed.executions=50 on the admin port refuses half of the new executions.
    refusal = '{"error": "shed", "message": "too much is asked of us; try again later", "request_id": null}\n'
    shed = {
        "match": {
            "path": "/api/execute/pipeline",
            "runtime_fraction": {
                "default_value": {"numerator": 0, "denominator": "HUNDRED"},
                "runtime_key": "shed.executions",
            },
        },
        "direct_response": {"status": 503, "body": {"inline_string": refusal}},
        "response_headers_to_add": [
            _header("retry-after", "5"),
            _header("content-type", "application/json"),
        ],
    }
    route = {"match": {"prefix": "/"}, "route": {"cluster": "service", "timeout": "120s", "retry_policy": retry}}
    connections = {
        "@type": f"{_FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "service",
        "generate_request_id": True,
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "route_config": {"virtual_hosts": [{"name": "service", "domains": ["*"], "routes": [shed, route]}]},
        "http_filters": [fault, router],
    }
    listener = {
        "name": "service",
        "address": _address(instance.ports["envoy"]),
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": connections}]},
        ],
    }
    conf = instance.path / "conf"
    cluster = {
        "name": "service",
        "type": "EDS",
        "connect_timeout": "1s",
        "eds_cluster_config": {
            "eds_config": {
                "path_config_source": {"path": str(endpoints_file(instance)), "watched_directory": {"path": str(conf)}},
            },
        },
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        # Else three retries at a time: a replica that goes away under load needs more than that at once.
        "circuit_breakers": {"thresholds": [{"max_retries": 200}]},
        "health_checks": [
            {
                "timeout": "2s",
                "interval": "0.2s",
                "no_traffic_interval": "0.2s",
                "unhealthy_interval": "0.2s",
                # What answers no at /ready is out at once, whatever this says. A check without an answer in time may be
                # the fault of a machine that was busy for a moment, and of every replica at the same time.
                "unhealthy_threshold": 2,
                "healthy_threshold": 1,
                "http_health_check": {"path": "/ready"},
            },
        ],
    }
    return {
        "node": {"id": instance.id, "cluster": "staging"},
        "admin": {"address": _address(instance.ports["envoy-admin"])},
        "layered_runtime": {"layers": [{"name": "admin", "admin_layer": {}}]},
        "static_resources": {"listeners": [listener], "clusters": [cluster]},
    }
