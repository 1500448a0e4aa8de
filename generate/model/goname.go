package model

import (
	"fmt"
	"strings"
	"unicode"
)

// initialisms are written in capitals in Go names, as the Go wiki's code
// review comments ask. The plurals are ours.
var initialisms = map[string]string{
	"acl": "ACL", "api": "API", "apis": "APIs", "ascii": "ASCII", "aws": "AWS", "cpu": "CPU", "crm": "CRM",
	"css": "CSS", "csv": "CSV", "db": "DB", "dns": "DNS", "eof": "EOF", "gid": "GID", "guid": "GUID",
	"html": "HTML", "http": "HTTP", "https": "HTTPS", "id": "ID", "ids": "IDs", "ip": "IP", "ips": "IPs",
	"json": "JSON", "jwt": "JWT", "kyc": "KYC", "lhs": "LHS", "pdf": "PDF", "qps": "QPS", "ram": "RAM",
	"rhs": "RHS", "rpc": "RPC", "sla": "SLA", "sms": "SMS", "smtp": "SMTP", "sql": "SQL", "ssh": "SSH",
	"tcp": "TCP", "tls": "TLS", "ttl": "TTL", "udp": "UDP", "ui": "UI", "uid": "UID", "uids": "UIDs",
	"uri": "URI", "uris": "URIs", "url": "URL", "urls": "URLs", "utf8": "UTF8", "uuid": "UUID",
	"uuids": "UUIDs", "vat": "VAT", "vm": "VM", "xml": "XML", "xmpp": "XMPP", "xsrf": "XSRF", "xss": "XSS",
	"yaml": "YAML",
}

// goName makes an exported Go name of a name in the spec: user_id becomes
// UserID, email:send EmailSend.
func goName(name string) string {
	var b strings.Builder
	for _, word := range strings.FieldsFunc(name, func(r rune) bool { return r == '_' || r == ':' }) {
		b.WriteString(goWord(word))
	}
	return b.String()
}

func goWord(word string) string {
	if known, ok := initialisms[word]; ok {
		return known
	}
	return strings.ToUpper(word[:1]) + word[1:]
}

// enumGoName makes the part of a constant's name that stands for an enum's
// value: EUR stays, in_progress becomes InProgress, text/html TextHTML. What
// cannot stand in a Go name is told by its number, so that signs such as <
// and > do not collide.
func enumGoName(value string) string {
	var b strings.Builder
	var word strings.Builder
	flush := func() {
		if word.Len() > 0 {
			b.WriteString(capitalised(word.String()))
			word.Reset()
		}
	}
	for _, r := range value {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			word.WriteRune(r)
		case strings.ContainsRune("_- ./:,", r):
			flush()
		default:
			flush()
			fmt.Fprintf(&b, "U%04X", r)
		}
	}
	flush()
	if b.Len() == 0 {
		for _, r := range value {
			fmt.Fprintf(&b, "U%04X", r)
		}
	}
	return b.String()
}

// capitalised is goWord for words that may hold any letters.
func capitalised(word string) string {
	if known, ok := initialisms[word]; ok {
		return known
	}
	runes := []rune(word)
	runes[0] = unicode.ToUpper(runes[0])
	return string(runes)
}
