package models

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// HTTPRequest is what an http pool sends for a task.
type HTTPRequest struct {
	URL     string            `json:"url,omitempty"`     // absolute, http or https; the pool's where it is empty
	Method  string            `json:"method,omitempty"`  // POST where it is empty
	Headers map[string]string `json:"headers,omitempty"` //
	Body    json.RawMessage   `json:"body,omitempty"`    // a string goes out as it is, anything else as JSON; the task's input where it is absent
}

// HTTPMethods are the methods that a request may have.
func HTTPMethods() []string {
	return []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
}

// ownHeaders are those that say how a message is framed, which is not the task's choice.
func ownHeaders() []string {
	return []string{"connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
}

// String is the request's first line, without a password.
func (r *HTTPRequest) String() string {
	address := r.URL
	if u, err := url.Parse(r.URL); err == nil {
		address = u.Redacted()
	}
	return cmp.Or(r.Method, "POST") + " " + address
}

// validate checks the request; the fields in the error are those of the task.
func (r *HTTPRequest) validate() error {
	if r.URL != "" {
		if err := checkURL("http.url", r.URL); err != nil {
			return err
		}
	}
	if r.Method != "" && !slices.Contains(HTTPMethods(), r.Method) {
		return Invalid("http.method", "%q is not one of %s", r.Method, strings.Join(HTTPMethods(), ", "))
	}
	for name, value := range r.Headers {
		switch {
		case !isToken(name):
			return Invalid("http.headers", "%q is not a header's name", name)
		case slices.Contains(ownHeaders(), strings.ToLower(name)):
			return Invalid("http.headers", "%s is not for a task to set", name)
		case strings.ContainsAny(value, "\r\n\x00"):
			return Invalid("http.headers", "the value of %s holds a line break or a NUL character", name)
		}
	}
	if len(r.Body) > 0 && !json.Valid(r.Body) {
		return Invalid("http.body", "it is not valid JSON")
	}
	return nil
}

// isToken reports whether the text is a token of RFC 9110, section 5.6.2.
func isToken(text string) bool {
	for _, c := range []byte(text) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"(),/:;<=>?@[\\]{}", c) >= 0 {
			return false
		}
	}
	return text != ""
}

// checkURL refuses what is not an absolute http or https address. The text is not
// repeated in the error: it may hold a password.
func checkURL(field, text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return Invalid(field, "it is not an address such as https://host/path")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Hostname() == "":
		return Invalid(field, "%q is not an absolute http or https address", u.Redacted())
	}
	return nil
}

// isObject reports whether the text is a JSON object.
func isObject(text json.RawMessage) bool {
	return json.Valid(text) && bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{"))
}
