"""What every answer tells a browser: this is data, show it nowhere, run nothing in it, keep it nowhere."""

from __future__ import annotations

SECURITY_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "strict-transport-security": "max-age=31536000",  # heeded over HTTPS alone
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
