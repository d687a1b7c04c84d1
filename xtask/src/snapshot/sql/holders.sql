-- Who holds a lock that the exchange, or a dump, waits for.
SELECT format('%s of %s, %s for %s s (pid %s)', coalesce(nullif(application_name, ''), backend_type), usename, state,
              extract(epoch FROM clock_timestamp() - xact_start)::int, a.pid)
  FROM pg_catalog.pg_stat_activity a
 WHERE a.pid <> pg_catalog.pg_backend_pid() AND EXISTS (
   SELECT FROM pg_catalog.pg_locks l WHERE l.pid = a.pid AND l.granted AND l.locktype = 'relation'
      AND (l.relation = 'pg_catalog.pg_database'::regclass OR l.mode = 'AccessExclusiveLock' AND a.datname = :'live'));
