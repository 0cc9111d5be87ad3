-- Fills the service's database with 100 000 executions of the pipeline `transform`, two steps and a job each, as if they had run
-- over the last 100 000 seconds:
--   psql -X -v ON_ERROR_STOP=1 "$DATABASE_URL" -f deployment/load/volume.sql
-- Their ids begin with `volume-`, by which they can be removed again, steps first:
--   DELETE FROM step_executions WHERE execution_id LIKE 'volume-%';
--   DELETE FROM pipeline_executions WHERE execution_id LIKE 'volume-%';
BEGIN;

INSERT INTO pipeline_executions (execution_id, pipeline_id, pipeline_name, status, started_at, completed_at, total_steps,
  completed_steps, input_data, output_data, execution_time_ms, metadata_json, created_at)
SELECT 'volume-' || lpad(n::text, 6, '0'), 'transform', 'transform', 'completed', at, at + interval '12 milliseconds', 2, 2,
  format('{"text": "one two three %s"}', n),
  format('{"text": "one two three %s", "words": ["one", "two", "three", "%1$s"], "word_count": 4, "digest": "%s"}', n, md5(n::text)),
  12, '{"replica": "service-a", "release": "volume", "request_id": "' || n || '"}', at
FROM (SELECT n, date_trunc('second', now())::timestamp - n * interval '1 second' AS at FROM generate_series(1, 100000) n) made;

INSERT INTO step_executions (step_execution_id, execution_id, step_id, step_name, step_type, status, started_at, completed_at,
  input_data, output_data, execution_time_ms, created_at)
SELECT 'volume-' || lpad(n::text, 6, '0') || '-' || step, 'volume-' || lpad(n::text, 6, '0'), step, step, 'task', 'completed', at,
  at + interval '3 milliseconds',
  format('{"text": "one two three %s"}', n),
  format('{"words": ["one", "two", "three", "%s"], "word_count": 4, "digest": "%s"}', n, md5(n::text)), 3, at
FROM (SELECT n, date_trunc('second', now())::timestamp - n * interval '1 second' AS at FROM generate_series(1, 100000) n) made,
  unnest(ARRAY['clean', 'count']) step;

INSERT INTO service_jobs (execution_id, replica, release, request_id, taken_at)
SELECT 'volume-' || lpad(n::text, 6, '0'), 'service-a', 'volume', n::text, date_trunc('second', now())::timestamp - n * interval '1 second'
FROM generate_series(1, 100000) n;

COMMIT;
ANALYZE pipeline_executions, step_executions, service_jobs;
