import pg from "pg";

const client = new pg.Client({ connectionString: process.env.DATABASE_URL });
await client.connect();
await client.query("CREATE TABLE IF NOT EXISTS entry (id serial PRIMARY KEY, text text UNIQUE NOT NULL)");
await client.query("INSERT INTO entry (text) VALUES ('Hello from PostgreSQL') ON CONFLICT DO NOTHING");
await client.end();
