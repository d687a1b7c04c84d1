-- What belongs to :'live' and would be lost with it, or keeps it from being exchanged.
SELECT 'replication slot ' || slot_name FROM pg_catalog.pg_replication_slots WHERE database = :'live'
UNION ALL
SELECT 'subscription ' || subname FROM pg_catalog.pg_subscription JOIN pg_catalog.pg_database d ON d.oid = subdbid WHERE datname = :'live'
UNION ALL
SELECT 'prepared transaction ' || gid FROM pg_catalog.pg_prepared_xacts WHERE database = :'live';
