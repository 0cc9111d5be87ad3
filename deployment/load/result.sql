-- What the database knows of one run of measure.js:
--   psql -XAt -v run=<id> -f deployment/load/result.sql "$DATABASE_URL"
-- Prints: <n> of <n> completed in <s> s, <n> a second, at most <n> at once
\set ON_ERROR_STOP on
WITH executions AS (
  SELECT status, started_at, completed_at FROM pipeline_executions
  WHERE input_data LIKE '%"' || :'run' || '"%'
), changes AS (
  SELECT started_at AS at, 1 AS change FROM executions
  UNION ALL
  SELECT completed_at, -1 FROM executions WHERE completed_at IS NOT NULL
), running AS (
  SELECT sum(change) OVER (ORDER BY at, change) AS n FROM changes
), result AS (
  SELECT count(*) AS taken, count(*) FILTER (WHERE status = 'completed') AS completed,
    extract(epoch FROM max(completed_at) - min(started_at)) AS seconds
  FROM executions
)
SELECT completed || ' of ' || taken || ' completed in ' || coalesce(round(seconds, 2)::text, '-') || ' s, '
  || coalesce(round(completed / nullif(seconds, 0), 1)::text, '-') || ' a second, at most '
  || coalesce((SELECT max(n) FROM running)::text, '0') || ' at once'
FROM result;
