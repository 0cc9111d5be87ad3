-- How much is needed for TARGET executions a second, from what a load has measured:
--   psql -XAt -v target=40 -v per_second=… -v replicas=… -v cpu_ms=… -v kb=… -v pool=10 -f deployment/load/capacity.sql "$DATABASE_URL"
-- per_second is what that many replicas have done together; cpu_ms and kb are what each execution has cost.
-- Prints: each replica: <n> executions a second
--         for <target> a second with 30 % headroom: <n> replicas, <n> cores for them, <n> of <n> connections, <n> GB a day
\set ON_ERROR_STOP on
WITH measured AS (
  SELECT :per_second::numeric / :replicas AS each
), needed AS (
  -- Two at least, so that one can be lost.
  SELECT each, greatest(2, ceil(:target / (each * 0.7))) AS replicas FROM measured
)
SELECT 'each replica: ' || round(each, 1) || ' executions a second' || E'\n'
  || 'for ' || :target || ' a second with 30 % headroom: ' || replicas || ' replicas, '
  || round(:target * :cpu_ms / 1000.0 / 0.7, 2) || ' cores for them, '
  -- The pool, and one connection for the probe of /health.
  || replicas * (:pool + 1) || ' of ' || current_setting('max_connections')::int
     - current_setting('superuser_reserved_connections')::int - current_setting('reserved_connections')::int
  || ' connections, ' || round(:target * :kb * 86400 / 1e6, 1) || ' GB a day'
FROM needed;
