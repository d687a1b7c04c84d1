-- What a new server would not have, although it gets the content of :'live': databases, and roles that log in, other than those that
-- CloudNativePG makes. :'managed' has the roles of the Cluster's `managed`, separated by commas.
SELECT 'database ' || datname FROM pg_catalog.pg_database
 WHERE NOT datistemplate AND datname NOT IN (:'live', 'postgres', :'scratch', :'replaced')
UNION ALL
SELECT 'role ' || rolname FROM pg_catalog.pg_roles
 WHERE rolcanlogin AND rolname NOT IN ('postgres', 'streaming_replica', :'owner') AND rolname !~ '^(cnpg|pg)_'
   AND NOT rolname = ANY (string_to_array(:'managed', ','));
