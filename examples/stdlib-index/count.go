package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
)

// countLines counts as `wc -l` does: newlines, so a last line without one does
// not count.
func countLines(source []byte) int64 { return int64(bytes.Count(source, []byte("\n"))) }

// countExported counts the exported names that a file declares at its top level:
// types, aliases included, constants, variables, and functions without receiver.
// Every name of a group or a list counts; the blank identifier is not exported.
// A name declared twice, which parses but does not compile, counts twice.
//
// It returns the parser's error for a file that is not Go.
func countExported(path string, source []byte) (int, error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.SkipObjectResolution)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, declaration := range file.Decls {
		for _, name := range declared(declaration) {
			if name.IsExported() {
				n++
			}
		}
	}
	return n, nil
}

// declared lists the names of a top-level declaration. A method belongs to its
// type, and an import's name to the file.
func declared(declaration ast.Decl) (names []*ast.Ident) {
	switch d := declaration.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			names = append(names, d.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				names = append(names, s.Name)
			case *ast.ValueSpec:
				names = append(names, s.Names...)
			}
		}
	}
	return names
}
