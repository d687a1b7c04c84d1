/** Next.js calls this once, when the server starts. */
export async function register() {
  if (process.env.NEXT_RUNTIME !== "nodejs") return;
  const { pool } = await import("./database.js");
  await pool.query("CREATE TABLE IF NOT EXISTS entry (id serial PRIMARY KEY, text text UNIQUE NOT NULL)");
  await pool.query("INSERT INTO entry (text) VALUES ('Hello from PostgreSQL') ON CONFLICT DO NOTHING");
}
