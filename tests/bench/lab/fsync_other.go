//go:build !linux

package lab

import "os"

func dataSync(f *os.File) error { return f.Sync() }
