// Package generated runs the code in the golden directories of
// generate/golang: what is generated must not only look right.
package generated
