import { pool } from "../database.js";

// The page is made for each request, since the build has no database.
export const dynamic = "force-dynamic";

export default async function Page() {
  const { rows } = await pool.query("SELECT id, text FROM entry ORDER BY id");
  return (
    <main>
      <h1>Guest book</h1>
      <ul>
        {rows.map((row) => (
          <li key={row.id}>{row.text}</li>
        ))}
      </ul>
    </main>
  );
}
