-- Only superusers get into :"live" from now on; the sessions of all others end. A connection that is being made meanwhile is found by a
-- later look.
ALTER DATABASE :"live" CONNECTION LIMIT 0;
DO $$
BEGIN
  FOR look IN 1..10 LOOP
    PERFORM pg_catalog.pg_stat_clear_snapshot();
    PERFORM pg_catalog.pg_terminate_backend(pid, 5000) FROM pg_catalog.pg_stat_activity
      WHERE datname = current_setting('pocdeploy.live') AND pid <> pg_catalog.pg_backend_pid();
    PERFORM pg_catalog.pg_sleep(0.05);
  END LOOP;
END $$;
