package diagnostic

import (
	"encoding/json"
	"io"
)

// WriteJSON renders the list for editors and CI as one object:
//
//	{"diagnostics": [{"file": "tasks.yaml", "line": 14, "column": 5, "end_column": 9,
//	  "path": "tasks.email:send.quue", "message": "unknown key \"quue\"",
//	  "suggestion": "did you mean \"queue\"?", "related": []}]}
//
// Columns count characters from 1; end_column is the first one after the
// mistake. An empty list gives an empty array, never null.
func (l List) WriteJSON(w io.Writer) error {
	report := jsonReport{Diagnostics: make([]jsonDiagnostic, 0, len(l))}
	for _, d := range l {
		out := jsonDiagnostic{
			jsonPlace:  placeJSON(d.Place),
			Path:       d.Path,
			Message:    d.Message,
			Suggestion: d.Suggestion,
			Related:    make([]jsonRelated, 0, len(d.Related)),
		}
		for _, r := range d.Related {
			out.Related = append(out.Related, jsonRelated{jsonPlace: placeJSON(r.Place), Message: r.Message})
		}
		report.Diagnostics = append(report.Diagnostics, out)
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(report)
}

type jsonReport struct {
	Diagnostics []jsonDiagnostic `json:"diagnostics"`
}

type jsonPlace struct {
	File      string `json:"file"`
	Line      int    `json:"line"`
	Column    int    `json:"column"`
	EndColumn int    `json:"end_column"`
}

type jsonDiagnostic struct {
	jsonPlace
	Path       string        `json:"path,omitempty"`
	Message    string        `json:"message"`
	Suggestion string        `json:"suggestion,omitempty"`
	Related    []jsonRelated `json:"related"`
}

type jsonRelated struct {
	jsonPlace
	Message string `json:"message"`
}

func placeJSON(p Place) jsonPlace {
	return jsonPlace{File: p.File, Line: p.Line, Column: p.Column, EndColumn: p.Column + max(p.Length, 1)}
}
