"""What the service says when it cannot do what was asked; never SQL, never a traceback."""

from __future__ import annotations


class ServiceError(Exception):
    """The base of every error that a client may see: its text, its code and its HTTP status are public."""

    status = 500
    code = "internal"
    retry_after_s = 1


class NotFoundError(ServiceError):
    """What was asked for does not exist."""

    status = 404
    code = "not_found"


class DatabaseUnavailableError(ServiceError):
    """The database does not answer; the request may be tried again."""

    status = 503
    code = "database_unavailable"


class PoolExhaustedError(ServiceError):
    """No database connection became free in time."""

    status = 503
    code = "pool_exhausted"


class RedisUnavailableError(ServiceError):
    """Redis does not answer; the request may be tried again."""

    status = 503
    code = "redis_unavailable"


class NotMigratedError(ServiceError):
    """The database lacks tables that this release needs."""

    status = 503
    code = "not_migrated"


class BusyError(ServiceError):
    """As many executions as allowed are already waiting."""

    status = 503
    code = "busy"


class PipelinePausedError(ServiceError):
    """The operators do not let this pipeline run at present."""

    status = 503
    code = "pipeline_paused"
    retry_after_s = 30


class NotResumableError(ServiceError):
    """The execution has completed, or somebody works on it."""

    status = 409
    code = "not_resumable"


class ClaimLostError(ServiceError):
    """Another replica has resumed this execution, so this one must write nothing more about it."""

    code = "claim_lost"


class StatementError(ServiceError):
    """The database refused a statement; the reason is in the log, not in the answer."""

    code = "database_error"


class UnauthenticatedError(ServiceError):
    """The caller has shown nothing, or nothing that is valid."""

    status = 401
    code = "unauthenticated"


class ForbiddenError(ServiceError):
    """The caller is known and may not do this."""

    status = 403
    code = "forbidden"


class CrossSiteError(ServiceError):
    """A request with a session that another site may have made a browser send."""

    status = 403
    code = "cross_site"


class AlreadyExistsError(ServiceError):
    """What was to be added is there."""

    status = 409
    code = "already_exists"


class TooManyError(ServiceError):
    """There are as many as allowed."""

    status = 409
    code = "too_many"


class TooLargeError(ServiceError):
    """The body is longer than this service reads."""

    status = 413
    code = "too_large"


class MediaTypeError(ServiceError):
    """The body is not JSON."""

    status = 415
    code = "unsupported_media_type"


class RateLimitedError(ServiceError):
    """Too much was asked in too little time."""

    status = 429
    code = "rate_limited"

    def __init__(self, message: str, retry_after_s: int) -> None:
        """Say after how many seconds it is worth another try."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotConfiguredError(ServiceError):
    """The operators have not switched this on."""

    status = 503
    code = "not_configured"
    retry_after_s = 30


class MalformedSpansError(ServiceError):
    """The body cannot be read, so none of its spans can."""

    status = 400
    code = "malformed_spans"


class InvalidQueryError(ServiceError):
    """A parameter of the request cannot be read."""

    status = 422
    code = "invalid_request"
