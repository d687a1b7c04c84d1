import express from "express";
import pg from "pg";

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
const app = express();
const escaped = (text) => text.replace(/[&<>]/g, (sign) => `&#${sign.charCodeAt(0)};`);

app.get("/", async (request, response) => {
  const { rows } = await pool.query("SELECT text FROM entry ORDER BY id");
  const entries = rows.map((row) => `<li>${escaped(row.text)}</li>`).join("");
  response.send(`<h1>Guest book</h1><ul>${entries}</ul>`);
});

app.get("/healthz", (request, response) => response.send("ok"));

const server = app.listen(process.env.PORT || 3000);
process.on("SIGTERM", () => server.close(() => pool.end()));
