// Package devpg runs a private PostgreSQL for development and tests.
package devpg
