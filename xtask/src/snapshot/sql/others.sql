-- What a new server would not have, although it gets the content of :'live': databases, and roles that log in, other than those that
-- CloudNativePG makes. :'managed' has the roles of the Cluster's `managed`, separated by commas.
SELECT 'database ' || datname FROM pg_catalog.pg_database
 WHERE NOT datistemplate AND datname NOT IN (:'live', 'postgres', :'scratch', :'replaced')
UNION ALL
SELECT 'role ' || rolname FROM pg_catalog.pg_roles
 WHERE rolcanlogin AND rolname NOT IN ('postgres', 'streaming_replica', :'owner') AND rolname !~ '^(cnpg|pg)_'
   AND NOT rolname = ANY (string_to_array(:'managed', ','))
UNION ALL
SELECT format('membership of %s in %s', member::regrole, roleid::regrole) FROM pg_catalog.pg_auth_members
 WHERE member::regrole::text !~ '^(cnpg|pg)_' AND roleid::regrole::text !~ '^(cnpg|pg)_'
   AND NOT member::regrole::text = ANY (string_to_array(:'managed', ','))
UNION ALL
SELECT format('setting %s of %s', array_to_string(setconfig, ', '), coalesce(nullif(setrole, 0)::regrole::text, 'all databases'))
  FROM pg_catalog.pg_db_role_setting
 WHERE setdatabase = 0 AND NOT setrole::regrole::text = ANY (string_to_array(:'managed', ',') || 'postgres'::text);
