// A guest book: one table, which the server makes when it starts, and one page.
package main

import (
	"database/sql"
	"html/template"
	"log"
	"net/http"
	"os"

	_ "github.com/lib/pq"
)

var page = template.Must(template.New("page").Parse(`<h1>Guest book</h1><ul>{{range .}}<li>{{.}}</li>{{end}}</ul>`))

const schema = `
	CREATE TABLE IF NOT EXISTS entry (id serial PRIMARY KEY, text text UNIQUE NOT NULL);
	INSERT INTO entry (text) VALUES ('Hello from PostgreSQL') ON CONFLICT DO NOTHING`

func entries(db *sql.DB) (all []string, err error) {
	rows, err := db.Query("SELECT text FROM entry ORDER BY id")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, rows.Err()
}

func main() {
	db, err := sql.Open("postgres", os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := db.Exec(schema); err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok")) })
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		all, err := entries(db)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		page.Execute(w, all)
	})
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	log.Fatal(http.ListenAndServe(":"+port, nil))
}
