-- Which replica and release took a job, and for which request: the library does not record it.
CREATE TABLE IF NOT EXISTS service_jobs (
    execution_id VARCHAR(255) PRIMARY KEY REFERENCES pipeline_executions (execution_id) ON DELETE CASCADE,
    replica VARCHAR(255) NOT NULL,
    release VARCHAR(255) NOT NULL,
    request_id VARCHAR(255),
    taken_at TIMESTAMP NOT NULL DEFAULT NOW()
);

CREATE INDEX IF NOT EXISTS idx_service_jobs_taken_at ON service_jobs (taken_at);
