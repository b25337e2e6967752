package catalog

import "time"

// Seen is what an instance sees that nobody else does, for people who ask why something does
// not work. Nothing depends on it. A list that is missing is not known.
type Seen struct {
	// Certificates are those that a proxy serves; missing too if they are too many to be told.
	Certificates []ServedCertificate `json:"certificates,omitzero"`
	// Secrets are the names of the secrets with users that a proxy has.
	Secrets []string `json:"secrets,omitzero"`
	// Unreached tells what the proxy meets at tasks that do not answer as they should, by full
	// name of the service and port ("8080", or "vip:8080" by the virtual IP).
	Unreached map[string]map[string]Meeting `json:"unreached,omitempty"`
	// Alerts are those of services that fire, as the monitor sees them.
	Alerts []FiringAlert `json:"alerts,omitzero"`
	// Unscraped are the targets of services that Prometheus does not reach, by address with port,
	// with its words; those are empty before it has tried. Missing too if they are too many.
	Unscraped map[string]string `json:"unscraped,omitzero"`
}

// ServedCertificate is a certificate without its key.
type ServedCertificate struct {
	Name string `json:"name"`
	// Hosts are those that it names, or for which alone it is served.
	Hosts    []string  `json:"hosts"`
	NotAfter time.Time `json:"notAfter,omitzero"`
}

// Meeting is what a connection to a task meets.
type Meeting string

// What a connection can meet.
const (
	MeetsHTTP    Meeting = "http"
	MeetsTLS     Meeting = "tls"
	MeetsRefusal Meeting = "refused"
	MeetsSilence Meeting = "timeout"
)

// FiringAlert is an alert of a service that fires.
type FiringAlert struct {
	Name string `json:"name"`
	// Service is the full name of the service whose alert it is.
	Service string            `json:"service"`
	Labels  map[string]string `json:"labels,omitempty"`
}
