-- :"scratch" takes the name of :"live" in one transaction. A connection that is made meanwhile waits before it looks for the
-- name, and then finds the new database. Sessions have five seconds to come to an end of their own: one that is idle between
-- transactions is ended the sooner the longer that lasts, so that a request is not cut off between two of its statements.
BEGIN;
SET LOCAL lock_timeout = '3s';
LOCK TABLE pg_catalog.pg_database IN ACCESS EXCLUSIVE MODE;
SELECT set_config('pocdeploy.live', :'live', true) AS live, set_config('pocdeploy.ended', '', true) AS ended \gset
DO $$
DECLARE
  began CONSTANT timestamptz := clock_timestamp();
  waited interval;
  present int;
  busy text;
BEGIN
  LOOP
    PERFORM pg_catalog.pg_stat_clear_snapshot();
    waited := clock_timestamp() - began;
    IF waited > '5 s' AND current_setting('pocdeploy.ended') = '' THEN
      SELECT string_agg(format('%s of %s, %s for %s s (pid %s)', coalesce(nullif(application_name, ''), backend_type), rolname, state,
                               extract(epoch FROM now() - coalesce(xact_start, state_change))::int, pid), '; ') INTO busy
        FROM pg_catalog.pg_stat_get_activity(NULL) s JOIN pg_catalog.pg_authid u ON u.oid = usesysid
       WHERE datid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_setting('pocdeploy.live')) AND state <> 'idle';
      PERFORM set_config('pocdeploy.ended', coalesce(busy, ''), true);
    END IF;
    SELECT count(*), count(CASE WHEN waited > '5 s' OR state = 'idle' AND clock_timestamp() - state_change > interval '1 s' - waited / 5
                                THEN pg_catalog.pg_terminate_backend(pid) END) INTO present
      FROM pg_catalog.pg_stat_get_activity(NULL) s
     WHERE datid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_setting('pocdeploy.live'));
    EXIT WHEN present = 0;
    IF waited > '15 s' THEN
      RAISE EXCEPTION '% sessions of the database do not end', present;
    END IF;
    PERFORM pg_catalog.pg_sleep(0.02);
  END LOOP;
END $$;
ALTER DATABASE :"live" RENAME TO :"replaced";
ALTER DATABASE :"scratch" RENAME TO :"live";
SELECT current_setting('pocdeploy.ended');
COMMIT;
