package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a delivery.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
)

// Event is the body of a delivery: how a task has ended.
type Event struct {
	// DeliveryID is the header webhook-id: the same whenever this delivery is
	// repeated.
	DeliveryID string `json:"-"`

	ID       int64  `json:"id"` // of the task
	Type     string `json:"type"`
	Queue    string `json:"queue"`
	State    string `json:"state"` // succeeded, dead, cancelled or expired
	Attempts int    `json:"attempts"`
	// Code and Message are of the last error of a task that has not succeeded.
	Code    string `json:"code,omitzero"`
	Message string `json:"message,omitzero"`
	// Result is that of a task that has succeeded, with "[redacted]" for what
	// is sensitive. ResultOmitted says that there is one that is too large, or
	// was not kept until it could be delivered.
	Result        json.RawMessage `json:"result,omitempty"`
	ResultOmitted bool            `json:"result_omitted,omitzero"`
	EnqueuedAt    time.Time       `json:"enqueued_at"`
	FinishedAt    time.Time       `json:"finished_at"`
}

// Secrets sign and verify. Deliveries are signed with all of them, and one that
// matches is enough, so that a secret can be replaced: add the new one where
// workers run, then where deliveries are received, then remove the old one.
type Secrets struct{ keys [][]byte }

const (
	secretPrefix = "whsec_"
	minSecret    = 24 // bytes, as Standard Webhooks says
	maxSecret    = 64
)

// ParseSecrets reads secrets with spaces or commas between them, each whsec_
// and base64 of 24 to 64 bytes. Its errors do not quote them.
func ParseSecrets(text string) (Secrets, error) {
	var s Secrets
	for i, one := range strings.FieldsFunc(text, func(c rune) bool { return c == ',' || c == ' ' || c == '\n' || c == '\t' }) {
		encoded, prefixed := strings.CutPrefix(one, secretPrefix)
		key, err := base64.StdEncoding.DecodeString(encoded)
		if !prefixed || err != nil || len(key) < minSecret || len(key) > maxSecret {
			return Secrets{}, fmt.Errorf("secret number %d is not whsec_ and base64 of %d to %d bytes: make one with `echo whsec_$(openssl rand -base64 32)`",
				i+1, minSecret, maxSecret)
		}
		s.keys = append(s.keys, key)
	}
	if len(s.keys) == 0 {
		return Secrets{}, errors.New("no secret: make one with `echo whsec_$(openssl rand -base64 32)`")
	}
	return s, nil
}

// String hides the secrets.
func (s Secrets) String() string { return fmt.Sprintf("[%d webhook secrets]", len(s.keys)) }

// GoString hides the secrets.
func (s Secrets) GoString() string { return s.String() }

// Sign sets the headers of a delivery.
func (s Secrets) Sign(header http.Header, id string, at time.Time, body []byte) {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	signatures := make([]string, len(s.keys))
	for i, key := range s.keys {
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(sign(key, id, timestamp, body))
	}
	header.Set(HeaderID, id)
	header.Set(HeaderTimestamp, timestamp)
	header.Set(HeaderSignature, strings.Join(signatures, " "))
}

func sign(key []byte, id, timestamp string, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return mac.Sum(nil)
}

// Tolerance is how far from now a delivery's timestamp may be for [Read].
const Tolerance = 5 * time.Minute

var (
	// ErrSignature says that a request was not signed with any of the secrets.
	ErrSignature = errors.New("webhook: the signature does not match")
	// ErrTimestamp says that a request was signed too long ago, or is of the
	// future: it may be a recorded one.
	ErrTimestamp = errors.New("webhook: the timestamp is out of tolerance")
)

// Verify checks that a body was signed with one of the secrets, no longer than
// tolerance ago.
func (s Secrets) Verify(header http.Header, body []byte, tolerance time.Duration) error {
	id, timestamp := header.Get(HeaderID), header.Get(HeaderTimestamp)
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if id == "" || err != nil {
		return fmt.Errorf("%w: the headers %s and %s are missing or bad", ErrSignature, HeaderID, HeaderTimestamp)
	}
	if !s.matches(header.Get(HeaderSignature), id, timestamp, body) {
		return ErrSignature
	}
	if age := time.Since(time.Unix(seconds, 0)); age.Abs() > tolerance {
		return fmt.Errorf("%w: %s old", ErrTimestamp, age.Round(time.Second))
	}
	return nil
}

// matches goes on after a match: how long it takes tells nothing.
func (s Secrets) matches(signatures, id, timestamp string, body []byte) (found bool) {
	for _, one := range strings.Fields(signatures) {
		encoded, v1 := strings.CutPrefix(one, "v1,")
		got, err := base64.StdEncoding.DecodeString(encoded)
		if !v1 || err != nil {
			continue // of another version or kind
		}
		for _, key := range s.keys {
			if hmac.Equal(got, sign(key, id, timestamp, body)) {
				found = true
			}
		}
	}
	return found
}

// maxBody is more than a worker sends.
const maxBody = 1 << 20

// Read reads the event of a request and verifies it, with [Tolerance].
func Read(r *http.Request, secrets Secrets) (Event, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return Event{}, fmt.Errorf("webhook: read the body: %w", err)
	}
	if len(body) > maxBody {
		return Event{}, errors.New("webhook: the body is too large")
	}
	if err := secrets.Verify(r.Header, body, Tolerance); err != nil {
		return Event{}, err
	}
	event := Event{DeliveryID: r.Header.Get(HeaderID)}
	if err := json.Unmarshal(body, &event); err != nil {
		return Event{}, fmt.Errorf("webhook: %w", err)
	}
	return event, nil
}
