-- ia-modules 0.1.3 and 0.2.0 carry different files under the one number V002: the older one makes
-- hitl_interactions.execution_id refer to pipeline_executions(id), a column that never existed. Where V001 has already
-- created the table neither text does anything, so what a database has depends on how it came to be. Whatever it has,
-- this leaves the reference that 0.2.0 writes by. Expand only: 0.1.3 runs on the result unchanged.
DO $reconcile$
BEGIN
    IF NOT EXISTS (
        SELECT 1
        FROM pg_constraint AS c
        JOIN pg_attribute AS a ON a.attrelid = c.confrelid AND a.attnum = ANY (c.confkey)
        WHERE c.contype = 'f'
          AND c.conrelid = 'hitl_interactions'::regclass
          AND c.confrelid = 'pipeline_executions'::regclass
          AND a.attname = 'execution_id'
    ) THEN
        ALTER TABLE hitl_interactions
            ADD CONSTRAINT hitl_interactions_execution_id_fkey
            FOREIGN KEY (execution_id) REFERENCES pipeline_executions (execution_id) ON DELETE CASCADE;
    END IF;
END
$reconcile$;

-- 0.2.0's V002 lists these; a database that got its tables another way may lack them.
CREATE INDEX IF NOT EXISTS idx_hitl_status ON hitl_interactions (status);
CREATE INDEX IF NOT EXISTS idx_hitl_expires ON hitl_interactions (expires_at);
CREATE INDEX IF NOT EXISTS idx_hitl_assignments_user ON hitl_assignments (user_id);

-- 0.2.0's runner records the reliability of every step, and reports read them by time.
CREATE INDEX IF NOT EXISTS idx_pipeline_executions_started_at ON pipeline_executions (started_at);
